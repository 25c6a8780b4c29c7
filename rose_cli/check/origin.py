"""Which layer of a campaign defines a field of a command, so that a diagnostic points at what the user wrote."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from rose_cli.config.iterations import first_of
from rose_cli.config.models import TASK_SECTIONS, Iterations, StopFields, TaskFields
from rose_cli.plan.criteria import criteria_of
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rose_cli.config.models import Campaign, Learner
    from rose_cli.util.errors import Diagnostic, KeyPath

Fields_co = TypeVar("Fields_co", bound=TaskFields, covariant=True)


@dataclass(frozen=True)
class Layer(Generic[Fields_co]):
    path: KeyPath
    fields: Fields_co

    def defines(self, name: str) -> bool:
        return name in self.fields.model_fields_set


def origin_of(layers: Sequence[Layer[TaskFields]], *names: str) -> KeyPath:
    """The location of the first of the fields that a layer defines; in the declaration if no layer defines any.

    `layers` go from the most specific one to the declaration.
    """
    for layer in layers:
        if name := next((name for name in names if layer.defines(name)), None):
            return (*layer.path, name)
    return (*layers[-1].path, names[0])


def sources_of(layers: Sequence[Layer[TaskFields]], *names: str) -> tuple[KeyPath, ...]:
    """Every location that decides the values of the fields: in each layer down to the one that defines the field."""
    found: list[KeyPath] = []
    for name in names:
        for layer in layers:
            found.append((*layer.path, name))
            if layer.defines(name):
                break
    return tuple(found)


def depending(diagnostics: Iterable[Diagnostic], *paths: KeyPath) -> Iterator[Diagnostic]:
    """The diagnostics, which also depend on the values at these paths."""
    return (replace(each, depends_on=(*each.depends_on, *paths)) for each in diagnostics)


def word_location(layers: Sequence[Layer[TaskFields]], position: int) -> tuple[KeyPath, tuple[int, int] | None]:
    """The location of a word of the command: a path, and the range within the string there."""
    layer = next((layer for layer in layers if layer.fields.executable is not None), layers[-1])
    line = layer.fields.executable
    below, inside = line.place(position) if line is not None else ((), None)
    return (*layer.path, "executable", *below), inside


def declaration(campaign: Campaign, task: str) -> Layer[TaskFields] | None:
    """Where a task is declared; None if it is in no section."""
    return next((layer for layer in declared_tasks(campaign) if layer.path[1] == task), None)


def declared_tasks(campaign: Campaign) -> Iterator[Layer[TaskFields]]:
    for section in TASK_SECTIONS:
        for task, fields in getattr(campaign, section).items():
            yield Layer((section, task), fields)


def task_layers(
    campaign: Campaign, learner: Learner, index: int, task: str
) -> Iterator[tuple[int, list[Layer[TaskFields]]]]:
    """Each variant of a task's command that the learner defines: its first iteration (-1: all others), its layers."""
    path: KeyPath = ("learners", index, task)
    declared = [layer for layer in declared_tasks(campaign) if layer.path[1] == task]
    schedule = learner.schedules[task]
    if isinstance(schedule, Iterations):
        for key, entry in schedule.at.items():
            yield first_of(key), [Layer((*path, key), entry), *declared]
    else:
        yield -1, [Layer(path, schedule), *declared]


def stop_layers(campaign: Campaign, learner: Learner, index: int) -> list[list[Layer[StopFields]]]:
    """For each criterion: the learner's settings of it, if there are any, then the campaign's."""
    return [
        [Layer(path, stop) for path, stop in reversed(layers) if stop.model_fields_set] or [Layer(*layers[0])]
        for layers in criteria_of(campaign, learner, index).criteria
    ]
