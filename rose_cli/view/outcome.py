"""How a run stands or has ended: one sign and one sentence, the same wherever they are shown."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

from rich.text import Text

from rose_cli.journal.state import LearnerState
from rose_cli.loop.criterion import checks_of
from rose_cli.util.dataclass import dataclass
from rose_cli.util.text import counted, listed
from rose_cli.view.columns import goal_text
from rose_cli.view.console import safe
from rose_cli.view.progress import DisplayStatus, display_status
from rose_cli.view.wording import REASONS, duration, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.journal.state import RunState
    from rose_cli.loop.criterion import History
    from rose_cli.plan.model import CriterionPlan, LearnerPlan, Plan

MOST_UNMET = 8


class Verdict(str, Enum):
    """The outcome of a run. `FINISHED`: as planned, and no learner had a threshold to reach."""

    PENDING = "pending"
    RUNNING = "running"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CRITERION_MET = "criterion_met"
    CRITERION_NOT_MET = "criterion_not_met"
    CANCELLED = "cancelled"
    FINISHED = "finished"


_SIGNS = {
    Verdict.PENDING: DisplayStatus.PENDING,
    Verdict.RUNNING: DisplayStatus.RUNNING,
    Verdict.FAILED: DisplayStatus.FAILED,
    Verdict.INTERRUPTED: DisplayStatus.INTERRUPTED,
    Verdict.CRITERION_MET: DisplayStatus.CRITERION_MET,
    Verdict.CRITERION_NOT_MET: DisplayStatus.MAX_ITER,
    Verdict.CANCELLED: DisplayStatus.CANCELLED,
    Verdict.FINISHED: DisplayStatus.CRITERION_MET,
}

_VERBS = {
    "finished": "finished in",
    "failed": "failed after",
    "interrupted": "interrupted after",
    "terminated": "terminated after",
    "stop_requested": "stopped after",
    "wall_time": "stopped after",
    "engine_lost": "lost its engine after",
}
"""By the reason why the session ended."""

_UNFINISHED = (DisplayStatus.RUNNING, DisplayStatus.INTERRUPTED, DisplayStatus.PENDING)

_ORDER = sorted(DisplayStatus, key=lambda status: (status is not DisplayStatus.FAILED, not status.is_done))
"""Failed learners come first, then those that stopped as planned."""


@dataclass(frozen=True)
class Outcome:
    """`reason`: why the latest session ended; None while it runs, and if it was killed. `seconds`: how long it took.

    `with_threshold` are the learners that have a threshold to reach; `criterion` is their criterion if they share it.
    `campaign`: the status of what runs once per campaign.
    """

    learners: int
    counts: Counter[DisplayStatus]
    with_threshold: Counter[DisplayStatus]
    criterion: str | None
    reason: str | None
    alive: bool
    seconds: float | None
    campaign: DisplayStatus | None = None

    @cached_property
    def verdict(self) -> Verdict:
        counts, aimed = self.counts, self.with_threshold
        cases = (
            (self.alive, Verdict.RUNNING),
            (self.reason in ("failed", "engine_lost") or counts[DisplayStatus.FAILED] > 0, Verdict.FAILED),
            (self.campaign is DisplayStatus.FAILED, Verdict.FAILED),
            (self.seconds is None, Verdict.PENDING),
            (any(counts[status] for status in _UNFINISHED) or self.campaign in _UNFINISHED, Verdict.INTERRUPTED),
            (_unmet(aimed), Verdict.CRITERION_NOT_MET),
            (counts[DisplayStatus.CANCELLED] > 0, Verdict.CANCELLED),
            (aimed.total() > 0, Verdict.CRITERION_MET),
        )
        return next((verdict for applies, verdict in cases if applies), Verdict.FINISHED)

    @property
    def sign(self) -> tuple[str, str]:
        """The mark and its style."""
        status = _SIGNS[self.verdict]
        return status.mark, status.style

    @property
    def words(self) -> str:
        """ "2 of 4 learners met RMSE < 0.02 (1 reached max_iter, 1 stopped improving)" """
        if self.verdict in (Verdict.CRITERION_MET, Verdict.CRITERION_NOT_MET) and self.with_threshold:
            return self._words_of_thresholds()
        return ", ".join(self._counted(self.counts, self.learners)) or "no learners"

    def _words_of_thresholds(self) -> str:
        total, met = self.with_threshold.total(), self.with_threshold[DisplayStatus.CRITERION_MET]
        unmet = Counter(self.with_threshold)
        del unmet[DisplayStatus.CRITERION_MET]
        others = ", ".join(self._counted(unmet))
        text = f"{met} of {counted(total, 'learner')} met {self.criterion or 'their criteria'}"
        text += f" ({others})" if others else ""
        without = self.counts - self.with_threshold
        return f"{text}; without a threshold: {', '.join(self._counted(without))}" if without else text

    @staticmethod
    def _counted(counts: Counter[DisplayStatus], total: int | None = None) -> Iterator[str]:
        """The counts by status; the first one names the `total` of which it is a part."""
        for status in _ORDER:
            if counts[status]:
                whole = f" of {counted(total, 'learner')}" if total is not None else ""
                yield f"{counts[status]}{whole} {REASONS.get(status.name.lower(), status.words)}"
                total = None

    @property
    def what(self) -> str:
        """ "failed after 0:30", "finished in 8:43" """
        if self.seconds is None:
            return "has not started"
        if self.alive:
            return f"running for {duration(self.seconds)}"
        failed = self.reason == "finished" and self.counts[DisplayStatus.FAILED]
        verb = _VERBS.get("failed" if failed else self.reason or "interrupted", "ended after")
        return f"{verb} {duration(self.seconds)}"

    def headline(self, campaign: str, message: str | None = None) -> Iterator[Text]:
        """ "✗ digits failed after 0:30: 5 of 5 learners failed", and the message of the session in a second line."""
        mark, style = self.sign
        yield Text.assemble((f"{mark} ", style), (safe(campaign), "bold"), f" {self.what}: {self.words}")
        if message:
            yield Text(f"  {safe(message)}")


def _unmet(aimed: Counter[DisplayStatus]) -> bool:
    """Whether one has not met its criterion; of a pruned one it was not asked."""
    return aimed.total() > aimed[DisplayStatus.CRITERION_MET] + aimed[DisplayStatus.PRUNED]


def outcome_of(plan: Plan, state: RunState, *, alive: bool, now: float | None = None) -> Outcome:
    """`alive`: a session is running, at the time `now`."""
    session = state.session
    statuses = {each.name: display_status(_state(each, state), alive=alive) for each in plan.learners}
    aimed = [each for each in plan.learners if any(criterion.threshold is not None for criterion in each.criteria)]
    texts = {goal_text(each, with_metric=True) for each in aimed}
    return Outcome(
        learners=len(plan.learners),
        counts=Counter(statuses.values()),
        with_threshold=Counter(statuses[each.name] for each in aimed),
        criterion=texts.pop() if len(texts) == 1 else None,
        reason=session.reason if session is not None and not alive else None,
        alive=alive,
        seconds=state.seconds(state.last_time if now is None else now) if session is not None else None,
        campaign=None if state.shared is None else display_status(state.shared, alive=alive),
    )


def _state(plan: LearnerPlan, state: RunState) -> LearnerState:
    return state.learners.get(plan.name) or LearnerState(plan.name)


def criterion_problem(plan: Plan, state: RunState) -> str | None:
    """Which learners have not met their criterion, with value and threshold; None if all have, but for pruned ones.

    "criterion not met by 2 of 5 learners: a (accuracy 0.651852, requires >= 0.97), b (failed)"
    """
    unmet = [each for each in plan.learners if _state(each, state).stop_reason not in ("criterion_met", "pruned")]
    if not unmet:
        return None
    names = [f"{each.name} ({_why_unmet(each, _state(each, state))})" for each in unmet[: MOST_UNMET + 1]]
    shown = listed([*names, *[""] * (len(unmet) - len(names))], MOST_UNMET)
    return f"criterion not met by {len(unmet)} of {counted(len(plan.learners), 'learner')}: {shown}"


def _why_unmet(plan: LearnerPlan, learner: LearnerState) -> str:
    """ "accuracy 0.651852, requires >= 0.97": the latest value of each criterion, which is the one that counts."""
    if plan.criterion is None:
        return "no criterion"
    aims = [(each, values) for each, values in zip(plan.criteria, checks_of(plan, learner), strict=True)
            if each.threshold is not None]  # fmt: skip
    if not aims:
        return f"{plan.criterion.metric} has no threshold"
    failed = "failed, " if learner.stop_reason == "failed" else ""
    joint = " and " if plan.stop_rule == "all" else " or "
    return failed + joint.join(_value_and_needs(each, values) for each, values in aims)


def _value_and_needs(criterion: CriterionPlan, values: History) -> str:
    value = values[-1] if values else None
    shown = f"no {criterion.metric}" if value is None else f"{criterion.metric} {number(value, 6)}"
    return f"{shown}, requires {criterion.operator} {number(criterion.threshold or 0.0, 6)}"
