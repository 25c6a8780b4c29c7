"""Checks the replicas of a task: placeholders of axes that it does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.check.origin import word_location
from rose_cli.config.placeholders import PLACEHOLDERS, pieces_of
from rose_cli.util.errors import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from rose_cli.check.origin import Layer
    from rose_cli.config.models import TaskFields
    from rose_cli.plan.model import CommandPlan
    from rose_cli.util.errors import KeyPath


def check_axes(
    command: CommandPlan, layers: Sequence[Layer[TaskFields]], parameters: Collection[str]
) -> Iterator[Diagnostic]:
    """The first placeholder of an axis that only another task has, or that an override has removed."""
    known = {*PLACEHOLDERS, *parameters, *command.replica_axes}
    for layer in layers:
        for text, path, inside in _texts(layer, layers):
            for piece, name, offset in pieces_of(text) if "{" in text else ():
                if name is not None and name not in known:
                    message = f"'{piece}' is an axis of other replicas, not of those of this task"
                    there = ", ".join(f"{{{axis}}}" for axis in command.replica_axes)
                    hint = f"this task has {there}" if there else f"add replicas: {{{name}: [...]}} to this task"
                    at = inside or (offset, len(piece))
                    yield Diagnostic("bad-placeholder", message, path, hint, inside=at, depends_on=(("parameters",),))
                    return


def _texts(
    layer: Layer[TaskFields], layers: Sequence[Layer[TaskFields]]
) -> Iterator[tuple[str, KeyPath, tuple[int, int] | None]]:
    """Every text of a layer that counts, with its place."""
    fields = layer.fields
    first = next((each for each in layers if each.fields.executable is not None), layers[-1])
    if fields.executable is not None and layer is first:
        for position, word in enumerate(fields.executable.words):
            yield word, *word_location([layer], position)
    yield from ((text, (*layer.path, "args", n), None) for n, text in enumerate(fields.args or ()))
    yield from ((text, (*layer.path, "env", name), None) for name, text in (fields.env or {}).items() if text)
    for name, value in (fields.options or {}).items():
        for at, entry in enumerate(value if isinstance(value, tuple) else (value,)):
            if isinstance(entry, str):
                path = (*layer.path, "options", name)
                yield entry, (*path, at) if isinstance(value, tuple) else path, None
