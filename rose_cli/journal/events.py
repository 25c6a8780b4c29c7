"""The facts of a run: one frozen class each, named in the past tense, and their form as JSON objects.

Field names are the keys in the file. Times and durations are seconds. A number that JSON has no word for
(`nan`, `inf`) is written as that word in quotes; a `value` or `seconds` comes back as the number, what stands inside
`options` and `result` as the word. There, keys come back as text and tuples as lists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT_VERSION = 1
"""Counts up whenever a journal of the new kind could not be read by an older rose."""


@dataclass(frozen=True)
class StepKey:
    """A place in a learner's life: one task (and one of its replicas) in one iteration."""

    learner: str
    iteration: int
    task: str
    replica: int = 0


@dataclass(frozen=True)
class RunCreated:
    """`checksums`: of plan.json and of the run's copy of its campaign file, by their names, as rose wrote them."""

    run_id: str
    campaign: str
    rose_version: str
    learners: tuple[str, ...]
    format: int = FORMAT_VERSION
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SessionStarted:
    """`directory` and `campaign_dir`: where run and campaign lay; `identity`: which folder the run directory was.

    `pid` and `start_ticks` name its process, in the boot of the machine that is called `boot`.
    `files`: fingerprints of the files that the plan names, where they are not those of the session before; empty for
    one that is gone. `checksums`: as in `RunCreated`, of what rose wrote anew, or the user has said to trust.
    """

    session: int
    host: str
    pid: int
    engine: str
    directory: str | None = None
    identity: str | None = None
    campaign_dir: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    boot: str | None = None
    start_ticks: int | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SessionEnded:
    """`reason`: finished, failed, interrupted, terminated, stop_requested, wall_time, engine_lost."""

    session: int
    reason: str
    message: str | None = None


@dataclass(frozen=True)
class LearnerStarted:
    """The learner's workspace holds its files; `files` as in `AttemptEvent`."""

    learner: str
    files: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AttemptEvent:
    """What every fact about an attempt says first: which one.

    Those that tell of its end have `files`: what is news in the workspace, each file with its size, -1 for one that is
    gone. By that a resume knows whether a workspace is still the one that the steps have left.
    """

    learner: str
    iteration: int
    task: str
    replica: int
    attempt: int

    @property
    def step(self) -> StepKey:
        return StepKey(self.learner, self.iteration, self.task, self.replica)


@dataclass(frozen=True)
class AttemptStarted(AttemptEvent):
    """About to start; durable before the process exists. `options` are the values of this iteration."""

    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ProcessSpawned(AttemptEvent):
    """Which process it became; a help for ending it later, never waited for."""

    pid: int
    start_ticks: int


@dataclass(frozen=True)
class AttemptSucceeded(AttemptEvent):
    """`result` is what the task reported; `value` the metric, where the task is the criterion.

    `report_problem` says why a report that it made was not kept; `metric_file` is the signature of the file that the
    criterion reads, where the attempt wrote it.
    """

    seconds: float
    result: Mapping[str, Any] = field(default_factory=dict)
    value: float | None = None
    files: Mapping[str, int] = field(default_factory=dict)
    report_problem: str | None = None
    metric_file: str | None = None


@dataclass(frozen=True)
class AttemptFailed(AttemptEvent):
    """`kind`: exited, signalled, timed_out, not_started, over_limit, lost, or no_metric for a criterion without one.

    `metric_file` is the signature of the file that the criterion reads, where the attempt wrote it.
    """

    kind: str
    message: str
    command: str
    log: str
    seconds: float
    exit_code: int | None = None
    signal: int | None = None
    stderr_tail: tuple[str, ...] = ()
    files: Mapping[str, int] = field(default_factory=dict)
    metric_file: str | None = None


@dataclass(frozen=True)
class AttemptCancelled(AttemptEvent):
    """Ended by rose before it was done: an interruption, a stop. `reason` says which."""

    reason: str
    seconds: float = 0.0
    files: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AttemptLost(AttemptEvent):
    """Was under way when an earlier session or the engine died; nothing of it is alive any more."""

    reason: str


@dataclass(frozen=True)
class StepSkipped(AttemptEvent):
    """Failed in its last attempt; `on_failure: continue` lets the learner go on without it."""


@dataclass(frozen=True)
class IterationFinished:
    """All tasks of the iteration are through. `value` is the metric, if there is a criterion that gave one."""

    learner: str
    iteration: int
    seconds: float
    value: float | None = None


@dataclass(frozen=True)
class LearnerStopped:
    """`reason`: criterion_met, max_iter, no_improvement, failed, cancelled."""

    learner: str
    reason: str
    message: str | None = None


@dataclass(frozen=True)
class LearnerReopened:
    """Goes on although it had stopped: resumed after a failure, extended, or sent back.

    Sent back: iterations from `from_iteration` on, and every step in them, count as not done. `fresh`: its workspace
    was lost, and is made anew.
    """

    learner: str
    reason: str
    from_iteration: int | None = None
    fresh: bool = False


@dataclass(frozen=True)
class MaxIterChanged:
    """A bound on iterations that a resume gave: to `learners`, or to all where none is named."""

    max_iter: int
    learners: tuple[str, ...] = ()


Event: TypeAlias = (
    RunCreated
    | SessionStarted
    | SessionEnded
    | LearnerStarted
    | AttemptStarted
    | ProcessSpawned
    | AttemptSucceeded
    | AttemptFailed
    | AttemptCancelled
    | AttemptLost
    | StepSkipped
    | IterationFinished
    | LearnerStopped
    | LearnerReopened
    | MaxIterChanged
)
