"""An iteration of a learner, as a program sees it: while the run is going, and in the question for a decision."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from rose_cli.api.process import Asked, Began, Reading, Recorded
from rose_cli.journal import events as e
from rose_cli.loop.criterion import best_value
from rose_cli.run_info import expected_of, initial_state
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rose_cli.api.process import Message, SessionProcess
    from rose_cli.journal.codec import Record
    from rose_cli.journal.iterations import IterationState
    from rose_cli.journal.state import RunState
    from rose_cli.loop.gate import Question
    from rose_cli.plan.model import LearnerPlan

_LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Iteration:
    """An iteration whose tasks have finished. Numbers count from 0.

    `value`: of the metric `metric`; None if there is no criterion, or it gave none. `best`: the best value of the
    learner so far, and `history` all of them up to this iteration. `metrics`: the values of further criteria, by
    metric. `options` are those that the tasks got, by task; `results` what they reported, by task, one entry for each
    replica that reported anything. `stopped`: why the learner stopped after it, if it did: criterion_met, max_iter,
    decided, …
    """

    learner: str
    index: int
    number: int
    max_iter: int | None
    metric: str | None
    threshold: float | None
    value: float | None
    best: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    results: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    history: Sequence[float | None] = field(default_factory=tuple)
    stopped: str | None = None

    @property
    def result(self) -> dict[str, Any]:
        """All reports merged: a later task has precedence over an earlier one, a lower replica over a higher one."""
        return {
            key: value for reports in self.results.values() for one in reversed(reports) for key, value in one.items()
        }

    if not TYPE_CHECKING:  # else every name would be one

        def __getattr__(self, name: str) -> tuple[float | None, ...]:
            """`history`, if it is part of one that iterations share: who keeps them all keeps it once."""
            if name == "history" and "_past" in vars(self):
                return vars(self)["_past"].values
            raise AttributeError(f"'Iteration' object has no attribute '{name}'")


@dataclass(frozen=True)
class Past:
    """The beginning of a list that only grows."""

    grown: list[float | None]
    length: int

    @property
    def values(self) -> tuple[float | None, ...]:
        return tuple(self.grown[: self.length])


class Pasts:
    """The histories of learners, as long as somebody reads them."""

    def __init__(self) -> None:
        self._grown: dict[str, list[float | None]] = {}

    def of(self, learner: str, before: Sequence[float | None], value: float | None) -> Past:
        """`before`: the values of the iterations before, of which only those are read that are not known yet."""
        grown, number = self._grown.setdefault(learner, []), len(before)
        if len(grown) > number and not _is_same(grown[number:], value):
            self._grown[learner] = grown = grown[:number]  # it was sent back
        if len(grown) <= number:
            grown += [*before[len(grown) :], value]
        return Past(grown, number + 1)

    def forget(self, learner: str) -> None:
        """It has been sent back, perhaps to an iteration before those that were read."""
        self._grown.pop(learner, None)


def _is_same(values: Sequence[float | None], value: float | None) -> bool:
    return repr(list(values)) == repr([value])  # nan is nan


def with_past(iteration: Iteration, past: Past) -> Iteration:
    """The iteration with this history, which it shares."""
    vars(iteration).pop("history")
    vars(iteration)["_past"] = past
    return iteration


def iteration_asked_about(question: Question) -> Iteration:
    """What a program sees that has to decide, without the history."""
    return Iteration(
        question.learner,
        question.index,
        question.iteration,
        question.max_iter,
        question.metric,
        question.threshold,
        question.value,
        question.best,
        question.metrics,
        question.options,
        question.reports,
    )


def finished_iteration(
    plan: LearnerPlan, history: Sequence[float | None], found: IterationState, bound: int | None
) -> Iteration:
    """One that has finished, without `history`; `bound`: the learner's `max_iter`."""
    criterion = plan.criterion
    results: dict[str, list[Mapping[str, Any]]] = {}
    for (task, _), report in sorted(found.reports.items(), key=lambda entry: entry[0][1]):
        results.setdefault(task, []).append(report)
    order = [task for task in found.options if task in results]
    return Iteration(
        plan.name,
        plan.index,
        found.number,
        bound,
        criterion.metric if criterion else None,
        criterion.threshold if criterion else None,
        found.value,
        best_value(criterion, history),
        found.metrics,
        found.options,
        {task: results[task] for task in [*order, *(results.keys() - set(order))]},
    )


class Following(Reading):
    """The messages of a session, with the state of the run that they add up to."""

    state: RunState | None = None

    def __init__(self, process: SessionProcess, *, questions: bool = False) -> None:
        super().__init__(process, from_start=True, questions=questions)
        self._pasts = Pasts()

    def take(self) -> Iterator[Message]:
        for message in super().take():
            if isinstance(message, Began):
                self.state = initial_state(self.process.plan, self.process.run_directory.journal)
            elif isinstance(message, Recorded) and self.state is not None:
                if isinstance(message.record.event, e.PlanChanged):
                    self._expect_again(message.record, message.record.event.change)
                if isinstance(message.record.event, e.LearnerReopened):
                    self._pasts.forget(message.record.event.learner)
                self.state.apply(message.record)
            yield message

    def _expect_again(self, record: Record, change: int) -> None:
        """The plan is being replaced, and with it what it expects of the journal: the file is written after the record.

        A change of an earlier session whose file was never written has had no effect.
        """
        process = self.process
        while True:
            is_final = process.has_ended or record.position < process.position
            process.forget_plan()
            expected = expected_of(process.plan)
            if change in expected.changes or is_final:
                break
            process.join(_LOOK_SECONDS)
        if self.state is not None:
            self.state.expect(expected)

    def asked(self, message: Asked) -> Iteration:
        assert self.state is not None  # noqa: S101
        question = message.question
        past = self._pasts.of(question.learner, self.state.learners[question.learner].history, question.value)
        return with_past(iteration_asked_about(question), past)

    def finished(self, record: Record) -> Iteration | None:
        """The iteration that a record finishes, if it finishes one."""
        event, state = record.event, self.state
        if state is None or not isinstance(event, e.IterationFinished) or event.learner not in state.learners:
            return None
        learner, plan = state.learners[event.learner], self.process.learner(event.learner)
        found, history = learner.iterations[-1], learner.history
        iteration = finished_iteration(plan, history, found, state.bound(plan.name, plan.max_iter))
        return with_past(iteration, self._pasts.of(plan.name, history[: found.number], found.value))


class Iterations(Following):
    """The iterations that finish in a session, each with the reason if it was a learner's last one."""

    def take_iterations(self) -> Iterator[Iteration]:
        waiting: Iteration | None = None
        for message in self.take():
            if not isinstance(message, Recorded) or message.record.position < self.process.position:
                continue
            event = message.record.event
            if waiting is not None:
                is_last = isinstance(event, e.LearnerStopped) and event.learner == waiting.learner
                yield replace(waiting, stopped=event.reason) if is_last else waiting  # type: ignore[union-attr]
            waiting = self.finished(message.record)
        if waiting is not None:
            yield waiting
