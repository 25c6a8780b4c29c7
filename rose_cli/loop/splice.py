"""Two plans of a run in one: up to an iteration that each learner is in, its steps are those of the old plan.

So what a user sets for a run at work holds from there on, and describes nothing else than what has run.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from rose_cli.plan.model import StepPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rose_cli.plan.model import CommandPlan, LearnerPlan, Plan

Starts: TypeAlias = "Mapping[str, int]"
"""The first iteration of the new plan by learner, or by learner/task where a task has another one; 0 if not named."""


def start_of(starts: Starts, learner: str, task: str) -> int:
    return starts.get(f"{learner}/{task}", starts.get(learner, 0))


def spliced(old: Plan, new: Plan, starts: Starts) -> tuple[Plan, dict[str, int]]:
    """The new plan, with the steps of the old one before the `starts`; and those of the starts that made a difference.

    Learners that share their steps share the spliced ones too.
    """
    splicer = _Splicer({learner.name: learner for learner in old.everyone}, starts)
    learners = tuple(map(splicer.learner, new.learners))
    shared = None if new.shared is None else splicer.learner(new.shared)
    return replace(new, learners=learners, shared=shared), splicer.used


class _Splicer:
    def __init__(self, old: Mapping[str, LearnerPlan], starts: Starts) -> None:
        self._old = old
        self._starts = starts
        self._known: dict[tuple[int, int, int], tuple[object, StepPlan]] = {}
        self.used: dict[str, int] = {}

    def learner(self, new: LearnerPlan) -> LearnerPlan:
        old = self._old.get(new.name)
        if old is None or old.all_steps == new.all_steps:
            return new
        theirs = {step.task: step for step in old.all_steps}

        def step(given: StepPlan) -> StepPlan:
            return given if given.task not in theirs else self._step(new.name, theirs[given.task], given)

        changed: LearnerPlan = _with_steps(new, step)
        return changed

    def _step(self, learner: str, old: StepPlan, new: StepPlan) -> StepPlan:
        start = start_of(self._starts, learner, new.task)
        if not start or old == new:
            return new
        key = id(old), id(new), start
        if key not in self._known:
            self._known[key] = (old, new), _spliced_step(old, new, start)
        found = self._known[key][1]
        if found is not new:
            named = f"{learner}/{new.task}" if f"{learner}/{new.task}" in self._starts else learner
            self.used[named] = start
        return found


def _with_steps(value: Any, change: Callable[[StepPlan], StepPlan]) -> Any:  # noqa: ANN401 - a part of a plan
    """The part of a plan with every step in it changed; the same object if none is."""
    if isinstance(value, StepPlan):
        return change(value)
    if isinstance(value, tuple):
        parts = tuple(_with_steps(each, change) for each in value)
        return value if all(one is other for one, other in zip(parts, value, strict=True)) else parts
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changed = {f.name: _with_steps(getattr(value, f.name), change) for f in fields(value)}
    different = {name: part for name, part in changed.items() if part is not getattr(value, name)}
    return replace(value, **different) if different else value


def _spliced_step(old: StepPlan, new: StepPlan, start: int) -> StepPlan:
    """One of the two where they are the same before or from the start on."""
    pieces = [*((at, command) for at, command in _pieces(old) if at < start), (start, new.command(start))]
    pieces += [(at, command) for at, command in _pieces(new) if at > start]
    kept = [piece for number, piece in enumerate(pieces) if not number or piece[1] != pieces[number - 1][1]]
    for whole in (new, old):
        if kept == _compact(whole):
            return whole
    return StepPlan(new.task, kept[0][1], dict(kept[1:]), hold=True)


def _compact(step: StepPlan) -> list[tuple[int, CommandPlan]]:
    pieces = list(_pieces(step))
    return [piece for number, piece in enumerate(pieces) if not number or piece[1] != pieces[number - 1][1]]


def _pieces(step: StepPlan) -> Iterator[tuple[int, CommandPlan]]:
    """The iterations at which the command may change, from 0, each with the command from there on."""
    bounds = {0, *step.at, *(() if step.hold else (at + 1 for at in step.at))}
    for at in sorted(bounds):
        yield at, step.command(at)
