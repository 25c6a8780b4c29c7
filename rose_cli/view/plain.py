"""Owns what a run says off a terminal: a line for each thing worth telling, or every event as JSON."""

from __future__ import annotations

import json
from functools import singledispatchmethod
from typing import TYPE_CHECKING

import anyio

from rose_cli.journal import events as e
from rose_cli.journal.codec import to_json
from rose_cli.view.columns import threshold_text
from rose_cli.view.console import Outlet, notice, open_console, safe
from rose_cli.view.failures import dropped_report, has_log
from rose_cli.view.live import Scribe
from rose_cli.view.wording import REASONS, clock, counted, number, short_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from rich.console import RenderableType

    from rose_cli.journal.codec import Record
    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.view.table import Facts

MAX_NAME = 32
LOOK_SECONDS = 0.5


class PlainScreen:
    """Lines for a log: no control characters, nothing that is drawn over."""

    def __init__(self, plan: Plan, state: RunState, stream: TextIO, facts: Callable[[], Facts] | None = None) -> None:
        self._plan = plan
        self._facts = facts
        self._state = state
        self._learners = {learner.name: learner for learner in plan.learners}
        self._name_width = min(MAX_NAME, max((len(safe(name)) for name in self._learners), default=0))
        self._scribe = Scribe(Outlet(stream))
        self._is_open = False
        self._unreported: set[tuple[str, str]] = set()

    def on_record(self, record: Record) -> None:
        text = self._said(record.event)
        if text is not None:
            self._open()
            self._scribe.post(f"{clock(record.time)} {text}\n")

    async def run(self) -> None:
        self._open()
        try:
            await self._tell_doings()
        finally:
            self._scribe.finish()

    def warn(self, message: str) -> None:
        self._scribe.post(f"{safe(message)}\n")

    def close(self, ending: RenderableType | None = None) -> None:
        self._scribe.finish()
        if ending is not None:
            open_console(self._scribe.outlet).print(ending)

    async def _tell_doings(self) -> None:
        """A line when the engine does something that tasks wait for, and one when that is over."""
        told: tuple[str, float] | None = None
        while self._facts is not None:
            facts = self._facts()
            if facts.doing != told and told is not None:
                self._scribe.post(f"{clock(facts.now)} {told[0]} took {short_time(facts.now - told[1])}\n")
            if facts.doing != told and facts.doing is not None:
                self._scribe.post(f"{clock(facts.now)} {facts.doing[0]} …\n")
            told = facts.doing
            await anyio.sleep(LOOK_SECONDS)
        await anyio.sleep_forever()

    def _open(self) -> None:
        """The line above all others, once: what a resume begins with is recorded before `run` is called."""
        if not self._is_open:
            self._is_open = True
            plan = self._plan
            count = counted(len(plan.learners), "learner")
            self._scribe.post(f"{safe(plan.campaign)}: {count} on the {plan.engine.kind} engine\n")

    @singledispatchmethod
    def _said(self, event: e.Event) -> str | None:  # noqa: ARG002 - most events say nothing
        return None

    @_said.register
    def _(self, event: e.IterationFinished) -> str:
        learner = self._learners.get(event.learner)
        metric = _metric(learner, event.value)
        return self._line(event.learner, event.iteration + 1, *metric, short_time(event.seconds))

    @_said.register
    def _(self, event: e.LearnerStopped) -> str:
        reason = REASONS.get(event.reason, event.reason)
        message = f": {safe(event.message)}" if event.message else ""
        return self._line(event.learner, self._done(event.learner), f"stopped, {reason}{message}")

    @_said.register
    def _(self, event: e.LearnerReopened) -> str:
        back = "" if event.from_iteration is None else f" from iteration {event.from_iteration}"
        return self._line(event.learner, self._done(event.learner), f"goes on{back}, {safe(event.reason)}")

    @_said.register
    def _(self, event: e.AttemptSucceeded) -> str | None:
        """A report that is not kept, once for each task of a learner."""
        if event.report_problem is None or (event.learner, event.task) in self._unreported:
            return None
        self._unreported.add((event.learner, event.task))
        return self._line(event.learner, self._done(event.learner), dropped_report(event))

    @_said.register
    def _(self, event: e.AttemptFailed) -> str:
        where = f"failed in iteration {event.iteration}, attempt {event.attempt}"
        text = f"{_task(event)} {where}: {safe(event.message)}; {self._next(event)}"
        log = f" (log: {safe(event.log)})" if has_log(event) else ""
        return self._line(event.learner, self._done(event.learner), f"{text}{log}")

    @_said.register
    def _(self, event: e.AttemptLost) -> str:
        return self._line(event.learner, self._done(event.learner), f"{_task(event)} was lost: {safe(event.reason)}")

    @_said.register
    def _(self, event: e.StepSkipped) -> str:
        return self._line(event.learner, self._done(event.learner), f"goes on without {_task(event)}")

    def _line(self, learner: str, done: int, *words: str) -> str:
        plan = self._learners.get(learner)
        bound = self._state.bound(learner, plan.max_iter if plan else None)
        count = f"{done:>{len(str(bound))}}/{bound}" if bound else f"{done}"
        return " ".join((safe(learner).ljust(self._name_width), count, *words))

    def _done(self, learner: str) -> int:
        state = self._state.learners.get(learner)
        return len(state.iterations) if state else 0

    def _next(self, event: e.AttemptFailed) -> str:
        """What comes after a failed attempt. Lost and cancelled ones do not count towards the retries."""
        plan, state = self._learners.get(event.learner), self._state.learners.get(event.learner)
        steps = [step for step in plan.all_steps if step.task == event.task] if plan else []
        if not steps or state is None:
            return "no attempt follows"
        left = steps[0].command(event.iteration).retries + 1 - state.step(event.task, event.replica).failures
        if event.kind == "over_limit":
            return "it is not tried again"
        if left <= 0:
            return "no attempt is left"
        return f"attempt {event.attempt + 1} of {event.attempt + left} follows"


class JsonScreen:
    """Every event as a JSON object on a line of its own; nothing else goes to the stream."""

    def __init__(self, stream: TextIO) -> None:
        self._scribe = Scribe(Outlet(stream))

    def on_record(self, record: Record) -> None:
        # ASCII only: no encoding and no reader of lines can stumble over it
        entries = {"seq": record.sequence, "time": record.time, **to_json(record.event)}
        self._scribe.post(json.dumps(entries, allow_nan=False) + "\n")

    async def run(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self._scribe.finish()

    def warn(self, message: str) -> None:
        notice(message)

    def close(self, ending: RenderableType | None = None) -> None:  # noqa: ARG002 - all has been said
        self._scribe.finish()


class QuietScreen:
    """Says nothing while all goes well."""

    def on_record(self, record: Record) -> None:
        """Nothing."""

    async def run(self) -> None:
        await anyio.sleep_forever()

    def warn(self, message: str) -> None:
        notice(message)

    def close(self, ending: RenderableType | None = None) -> None:
        """Nothing; the summary has a quiet form of its own."""


def _metric(learner: LearnerPlan | None, value: float | None) -> tuple[str, ...]:
    """ "mean_squared_error_mse 0.1234 (< 0.1)" """
    criterion = learner.criterion if learner else None
    if criterion is None:
        return ()
    shown = "no value" if value is None else number(value, 6)
    return (f"{safe(criterion.metric)} {shown} ({threshold_text(criterion, with_metric=False)})",)


def _task(event: e.AttemptEvent) -> str:
    return f"'{safe(event.task)}'" + (f" (replica {event.replica})" if event.replica else "")
