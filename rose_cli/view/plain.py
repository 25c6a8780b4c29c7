"""Screens for pipes, files and programs: a line for each important event, every event as JSON, or nothing."""

from __future__ import annotations

import json
from collections import Counter
from functools import singledispatchmethod
from typing import TYPE_CHECKING

import anyio

from rose_cli.journal import events as e
from rose_cli.journal.codec import to_json
from rose_cli.loop.campaign import FINISHED
from rose_cli.util.shared import CAMPAIGN, SHARED, part_of, shown_name
from rose_cli.util.text import counted
from rose_cli.view.campaign_line import SEPARATOR, Outlook, campaign_words
from rose_cli.view.columns import threshold_text
from rose_cli.view.console import SafeStream, notice, open_console, safe
from rose_cli.view.failures import cause_keys, dropped_report, has_log
from rose_cli.view.live import BackgroundWriter
from rose_cli.view.wording import REASONS, clock, number, short_path, short_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TextIO

    from rich.console import RenderableType

    from rose_cli.journal.codec import Record
    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import CriterionPlan, LearnerPlan, Plan
    from rose_cli.view.campaign_line import Facts

MAX_NAME = 32
LOOK_SECONDS = 0.5

FIRST_PROGRESS_SECONDS, LAST_PROGRESS_SECONDS = 60.0, 600.0
"""A line says how far the campaign is after this time, then after twice that time, and so on up to the last."""

MOST_COLUMNS = 200
"""How long that line may be."""

SHOWN_EQUAL = 3
"""Equal failures that are shown, each in a line of its own."""


class PlainScreen:
    """Lines for a log: no control characters, nothing is redrawn."""

    def __init__(
        self,
        plan: Plan,
        state: RunState,
        stream: TextIO,
        facts: Callable[[], Facts] | None = None,
        run: Path | None = None,
    ) -> None:
        """`run`: the run directory, for the paths of logs."""
        self._facts = facts
        self._run = run
        self._state = state
        self.on_plan(plan)
        self._name_width = min(MAX_NAME, max((len(safe(shown_name(name))) for name in self._learners), default=0))
        self._writer = BackgroundWriter(SafeStream(stream))
        self._is_open = False
        self._unreported: set[tuple[str, str]] = set()
        self._equal_failures: Counter[int] = Counter()
        self._unmentioned: set[str] = set()

    def on_plan(self, plan: Plan) -> None:
        self._plan = plan
        self._learners = {learner.name: learner for learner in plan.everyone}

    def on_record(self, record: Record) -> None:
        text = self._event_text(record.event)
        if text is not None:
            self._open()
            self._writer.post(f"{clock(record.time)} {text}\n")

    async def run(self) -> None:
        self._open()
        try:
            await self._report_activity()
        finally:
            self._writer.finish()

    def warn(self, message: str) -> None:
        self._writer.post(f"{safe(message)}\n")

    def close(self, footer: RenderableType | None = None) -> None:
        self._writer.finish()
        if footer is not None:
            open_console(self._writer.stream).print(footer)

    async def _report_activity(self) -> None:
        """A line when the engine starts something that tasks wait for, when it has finished, and on the progress."""
        before: tuple[str, float] | None = None
        pause, due = FIRST_PROGRESS_SECONDS, self._facts().now + FIRST_PROGRESS_SECONDS if self._facts else 0.0
        while self._facts is not None:
            facts = self._facts()
            if facts.now >= due:
                self._report_progress(facts)
                pause = min(2 * pause, LAST_PROGRESS_SECONDS)
                due = facts.now + pause
            if facts.doing != before and before is not None:
                self._writer.post(f"{clock(facts.now)} {before[0]} took {short_time(facts.now - before[1])}\n")
            if facts.doing != before and facts.doing is not None:
                self._writer.post(f"{clock(facts.now)} {facts.doing[0]} …\n")
            before = facts.doing
            await anyio.sleep(LOOK_SECONDS)
        await anyio.sleep_forever()

    def _report_progress(self, facts: Facts) -> None:
        """ "12:03:40 so far: 37 of at most 40 iterations · 6 of 8 cores · ~10 to 20 min left" """
        outlook = Outlook.of(self._plan, self._state, facts)
        words = campaign_words(self._plan, self._state, facts, outlook, MOST_COLUMNS)
        self._writer.post(f"{clock(facts.now)} so far: {SEPARATOR.join(words.values())}\n")

    def _open(self) -> None:
        """The first line, once: the first events of a resume are recorded before `run` is called."""
        if not self._is_open:
            self._is_open = True
            plan = self._plan
            count = counted(len(plan.learners), "learner")
            self._writer.post(f"{safe(plan.campaign)}: {count} on the {plan.engine.kind} engine\n")

    @singledispatchmethod
    def _event_text(self, event: e.Event) -> str | None:  # noqa: ARG002 - most events are not reported
        return None

    @_event_text.register
    def _(self, event: e.AttemptStarted) -> str | None:
        """Of the campaign's own tasks, for which everybody waits."""
        if event.learner != SHARED:
            return None
        return self._line(SHARED, event.iteration, f"{_task(event)} of the {part_of(event.iteration)} starts")

    @_event_text.register
    def _(self, event: e.IterationFinished) -> str | None:
        if event.learner == SHARED:
            shared = self._learners.get(SHARED)
            is_something = shared is not None and shared.steps_in(event.iteration)
            text = f"{part_of(event.iteration)} done in {short_time(event.seconds)}"
            return self._line(SHARED, event.iteration, text) if is_something else None
        learner = self._learners.get(event.learner)
        metric = _metrics(learner, event)
        return self._line(event.learner, event.iteration + 1, *metric, short_time(event.seconds))

    @_event_text.register
    def _(self, event: e.LearnerStopped) -> str | None:
        if (event.reason == "failed" and event.learner in self._unmentioned) or event.reason == FINISHED:
            return None
        reason = REASONS.get(event.reason, event.reason)
        state = self._state.by_name().get(event.learner)
        is_known = state is not None and state.error is not None and state.error.message in (event.message or "")
        message = f" ({safe(event.message)})" if event.message and not is_known else ""
        return self._line(event.learner, self._done(event.learner), f"stopped: {reason}{message}")

    @_event_text.register
    def _(self, event: e.LearnerReopened) -> str:
        back = "" if event.from_iteration is None else f" from iteration {event.from_iteration}"
        return self._line(event.learner, self._done(event.learner), f"continues{back} ({safe(event.reason)})")

    @_event_text.register
    def _(self, event: e.AttemptSucceeded) -> str | None:
        """A report that was ignored, once for each task of a learner."""
        if event.report_problem is None or (event.learner, event.task) in self._unreported:
            return None
        self._unreported.add((event.learner, event.task))
        return self._line(event.learner, self._done(event.learner), dropped_report(event))

    @_event_text.register
    def _(self, event: e.AttemptFailed) -> str | None:
        """The first few of equal failures; the end of the run counts them all."""
        keys = [hash(key) for key in cause_keys(event)]
        self._equal_failures.update(dict.fromkeys(keys, 1))
        count = max(self._equal_failures[key] for key in keys)
        if count > SHOWN_EQUAL:
            self._unmentioned.add(event.learner)
            is_first = count == SHOWN_EQUAL + 1
            return (
                f"more failures of {_task(event)} like these are not shown here; the summary at the end counts them"
                if is_first
                else None
            )
        self._unmentioned.discard(event.learner)
        place = f"iteration {event.iteration}" if event.learner != SHARED else f"the {part_of(event.iteration)}"
        where = f"failed in {place}, attempt {event.attempt}"
        text = f"{_task(event)} {where}: {safe(event.message)}; {self._next(event)}"
        path = short_path(self._run / event.log) if self._run is not None else event.log
        log = f" (log: {safe(path)})" if has_log(event) else ""
        return self._line(event.learner, self._done(event.learner), f"{text}{log}")

    @_event_text.register
    def _(self, event: e.AttemptLost) -> str:
        return self._line(
            event.learner, self._done(event.learner), f"{_task(event)} was interrupted: {safe(event.reason)}"
        )

    @_event_text.register
    def _(self, event: e.StepSkipped) -> str:
        return self._line(event.learner, self._done(event.learner), f"continues without {_task(event)}")

    def _line(self, learner: str, done: int, *words: str) -> str:
        if learner == SHARED:
            return " ".join((CAMPAIGN.ljust(self._name_width), *words))
        plan = self._learners.get(learner)
        bound = self._state.bound(learner, plan.max_iter if plan else None)
        count = f"{done:>{len(str(bound))}}/{bound}" if bound else f"{done}"
        return " ".join((safe(learner).ljust(self._name_width), count, *words))

    def _done(self, learner: str) -> int:
        state = self._state.learners.get(learner)
        return len(state.iterations) if state else 0

    def _next(self, event: e.AttemptFailed) -> str:
        """What follows a failed attempt. Lost and cancelled attempts use up no retry."""
        plan, state = self._learners.get(event.learner), self._state.by_name().get(event.learner)
        steps = [step for step in plan.all_steps if step.task == event.task] if plan else []
        if not steps or state is None:
            return "no retry"
        left = steps[0].command(event.iteration).retries + 1 - state.step(event.task, event.replica).failures
        if event.kind == "over_limit":
            return "not retried"
        if left <= 0:
            return "no retries left"
        return f"next: attempt {event.attempt + 1} of {event.attempt + left}"


class JsonScreen:
    """Every event as a JSON object in its own line; nothing else is written to the stream."""

    def __init__(self, stream: TextIO) -> None:
        self._writer = BackgroundWriter(SafeStream(stream))

    def on_record(self, record: Record) -> None:
        # ASCII only, for readers of any encoding and with any idea of a line break
        entries = {"seq": record.sequence, "time": record.time, **to_json(record.event)}
        self._writer.post(json.dumps(entries, allow_nan=False) + "\n")

    def on_plan(self, plan: Plan) -> None:
        """Nothing: the records tell."""

    async def run(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self._writer.finish()

    def warn(self, message: str) -> None:
        notice(message)

    def close(self, footer: RenderableType | None = None) -> None:  # noqa: ARG002 - only events go to this stream
        self._writer.finish()


class QuietScreen:
    """Shows nothing but warnings."""

    def on_plan(self, plan: Plan) -> None:
        """Nothing."""

    def on_record(self, record: Record) -> None:
        """Nothing."""

    async def run(self) -> None:
        await anyio.sleep_forever()

    def warn(self, message: str) -> None:
        notice(message)

    def close(self, footer: RenderableType | None = None) -> None:
        """Nothing; the summary has a quiet form."""


def _metrics(learner: LearnerPlan | None, event: e.IterationFinished) -> tuple[str, ...]:
    """ "mse 0.1234 (< 0.1), accuracy 0.8 (>= 0.9)" """
    criteria = learner.criteria if learner else ()
    found = [_metric(each, event.metrics.get(each.metric) if at else event.value) for at, each in enumerate(criteria)]
    return (", ".join(found),) if found else ()


def _metric(criterion: CriterionPlan, value: float | None) -> str:
    shown = "no value" if value is None else number(value, 6)
    goal = threshold_text(criterion, with_metric=False)
    return f"{safe(criterion.metric)} {shown}{f' ({goal})' if goal else ''}"


def _task(event: e.AttemptEvent) -> str:
    return f"'{safe(event.task)}'" + (f" (replica {event.replica})" if event.replica else "")
