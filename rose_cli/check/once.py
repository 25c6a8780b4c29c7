"""Checks the tasks that run once per learner or once per campaign, and how learners change them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.check.origin import Layer, declared_tasks, word_location
from rose_cli.config.models import RESERVED_TASK_NAMES, Campaign, Iterations, Learner, TaskFields
from rose_cli.config.placeholders import pieces_of
from rose_cli.util.errors import Diagnostic, KeyPath

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OF_LEARNERS = ("learner", "iteration")
"""Placeholders that only the tasks of learners have."""

_RUNS = {
    "setup": "once, before all learners",
    "finish": "once, when all learners have ended",
    "before": "once, before the first iteration",
    "after": "once, after the last iteration",
}


def check_task_names(campaign: Campaign) -> Iterator[Diagnostic]:
    """Learners have keys of their own beside those of tasks."""
    for path in [layer.path for layer in declared_tasks(campaign)]:
        if path[1] in RESERVED_TASK_NAMES:
            message = f"'{path[1]}' cannot be the name of a task: it is a reserved key"
            yield Diagnostic("bad-name", message, path, "rename the task", at_key=True)


def check_placeholders(campaign: Campaign) -> Iterator[Diagnostic]:
    """What belongs to a learner has no value in a task of the campaign."""
    for layer in declared_tasks(campaign):
        if layer.path[0] in ("setup", "finish"):
            for text, path, inside in _texts(layer):
                for piece, name, _ in pieces_of(text):
                    if name in _OF_LEARNERS:
                        message = f"{piece} has no value in '{layer.path[0]}': its tasks belong to no learner"
                        hint = "remove it, or move the task to 'before' or 'after', which run for every learner"
                        yield Diagnostic("bad-placeholder", message, path, hint, inside=inside)


def _texts(layer: Layer[TaskFields]) -> Iterator[tuple[str, KeyPath, tuple[int, int] | None]]:
    """Every text of a task that may contain placeholders, with its place."""
    fields = layer.fields
    for position, word in enumerate(fields.executable.words if fields.executable is not None else ()):
        yield word, *word_location([layer], position)
    yield from ((text, (*layer.path, "args", n), None) for n, text in enumerate(fields.args or ()))
    yield from ((text, (*layer.path, "env", name), None) for name, text in (fields.env or {}).items() if text)
    for name, value in (fields.options or {}).items():
        for entry in value if isinstance(value, tuple) else (value,):
            if isinstance(entry, str):
                yield entry, (*layer.path, "options", name), None


def check_overrides(learner: Learner, path: KeyPath, sections: Mapping[str, str]) -> Iterator[Diagnostic]:
    """`sections`: where each task is declared."""
    for task, schedule in learner.schedules.items():
        section = sections.get(task, "tasks")
        if section in ("setup", "finish"):
            message = f"a learner cannot change '{task}': it runs {_RUNS[section]}"
            hint = f"change it under '{section}', or move it to 'before' or 'after', which run for every learner"
            yield Diagnostic("unknown-key", message, (*path, task), hint, at_key=True)
        elif section != "tasks" and isinstance(schedule, Iterations):
            message = f"'{task}' has no iterations to choose from: it runs {_RUNS[section]}"
            yield Diagnostic("wrong-type", message, (*path, task), f"write {task}: {{--n: 5}}", at_key=True)
