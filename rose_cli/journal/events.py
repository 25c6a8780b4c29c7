"""The events of a run: one frozen class each, named in the past tense. Times and durations are in seconds."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeAlias

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT_VERSION = 4
"""Raised whenever an older rose could not read the journals of a newer one."""


@dataclass(frozen=True)
class StepKey:
    """Identifies a step: one task (one of its replicas) in one iteration of a learner."""

    learner: str
    iteration: int
    task: str
    replica: int = 0


@dataclass(frozen=True)
class RunCreated:
    """`checksums`: of plan.json and of the run's copy of its campaign file, by name, as rose wrote them."""

    run_id: str
    campaign: str
    rose_version: str
    learners: tuple[str, ...]
    format: int = FORMAT_VERSION
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SessionStarted:
    """`directory`, `campaign_dir`: where run and campaign were; `identity`: identifies the run directory.

    `pid` and `start_ticks` identify its process, `boot` the boot of the machine that it runs on.
    `files`: fingerprints of the files that the plan names, if they differ from those of the session before; empty for
    a missing file. `checksums`: as in `RunCreated`, of files that rose has rewritten or the user has decided to trust.
    `cores`, `gpus`, `memory_mb`: what its engine has, on so many `nodes`, if it counts them. `decides`: the program
    that started it decides after each iteration of a learner how that goes on.
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
    cores: int | None = None
    gpus: int | None = None
    memory_mb: int | None = None
    nodes: int | None = None
    decides: bool = False


@dataclass(frozen=True)
class SessionDescribed:
    """What a session runs with, and the git commit of the campaign's directory; found out beside the work.

    `interpreter`: the Python of rose itself; `distribution`: the name of the operating system. `campaign_path`: the
    campaign's directory below the top of its git repository; None: it is in none. `remote`: without credentials.
    `changed`, `untracked`: the first of so many files that differ from the commit, or that git does not know; a number
    is None if it is not known. `git_problem`: why something is not known of a repository.
    """

    session: int
    rose: str | None = None
    python: str | None = None
    interpreter: str | None = None
    system: str | None = None
    distribution: str | None = None
    cpu: str | None = None
    user: str | None = None
    campaign_path: str | None = None
    commit: str | None = None
    branch: str | None = None
    remote: str | None = None
    changed: tuple[str, ...] = ()
    changes: int | None = None
    untracked: tuple[str, ...] = ()
    untracked_count: int | None = None
    git_problem: str | None = None


@dataclass(frozen=True)
class SessionEnded:
    """`reason`: finished, failed, interrupted, terminated, stop_requested, wall_time, engine_lost.

    Here and in events of attempts, `suspended` is for how long rose or its machine has been suspended in this session
    so far: stopped by Ctrl-Z, or asleep. The recorder sets it.
    """

    session: int
    reason: str
    message: str | None = None
    suspended: float | None = None


@dataclass(frozen=True)
class LearnerStarted:
    """The learner's workspace contains its files; `files` as in `AttemptEvent`."""

    learner: str
    files: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AttemptEvent:
    """The base of all events of an attempt: says which attempt.

    Events that end an attempt have `files`: what has changed in the workspace, by file, as its size, or -1 if it no
    longer exists. A resume compares them with the workspace, to see whether it is still the one that the steps left.
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
    """About to start; durable before the process exists. `options` are the values in this iteration.

    `cores`: those that it holds, since a resume may change the plan's; None, from an older rose: those of the plan.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    suspended: float | None = None
    cores: int | None = None


@dataclass(frozen=True)
class ProcessSpawned(AttemptEvent):
    """The process of the attempt, for killing it later; nothing waits until this event is durable."""

    pid: int
    start_ticks: int


@dataclass(frozen=True)
class AttemptSucceeded(AttemptEvent):
    """`result` is the report of the task; `value` the metric, if the task is the criterion.

    `report_problem` says why its report was not kept; `metric_file` is the signature of the file that the criterion
    reads, if the attempt wrote it; `metric_files` are those of further criteria, by their tasks. `cold`: why it was
    started in a new interpreter, although modules were to be preloaded; `imported`: the modules that it imported, if
    `preload: auto` found them out in this attempt.
    """

    seconds: float
    result: Mapping[str, Any] = field(default_factory=dict)
    value: float | None = None
    files: Mapping[str, int] = field(default_factory=dict)
    report_problem: str | None = None
    metric_file: str | None = None
    suspended: float | None = None
    cold: str | None = None
    imported: tuple[str, ...] = ()
    metric_files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AttemptFailed(AttemptEvent):
    """`kind`: exited, signalled, timed_out, not_started, over_limit, or no_metric for a criterion without one.

    `metric_file`, `metric_files` and `cold` as above.
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
    suspended: float | None = None
    cold: str | None = None
    metric_files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AttemptCancelled(AttemptEvent):
    """Stopped by rose before it was done. `reason` says why: an interruption, a stop, the wall time.

    `seconds` is always 0: it belongs to the lines of format 1, and nobody reads it.
    """

    reason: str
    seconds: float = 0.0
    files: Mapping[str, int] = field(default_factory=dict)
    suspended: float | None = None


@dataclass(frozen=True)
class AttemptLost(AttemptEvent):
    """Was running when an earlier session or the engine died; none of its processes is alive."""

    reason: str


@dataclass(frozen=True)
class StepSkipped(AttemptEvent):
    """Failed in its last attempt; with `on_failure: continue` the learner continues without it."""


@dataclass(frozen=True)
class StepDecided:
    """Whether a step with `when` runs, and which replicas one has whose replicas depend on the iteration.

    Durable before its first attempt; a resume does as it says. `replicas`: their names, or so many numbers; None: those
    of the plan, or none at all, if it does not run. `values`: what the expressions used, by how they name it.
    """

    learner: str
    iteration: int
    task: str
    runs: bool
    replicas: tuple[str, ...] | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class IterationFinished:
    """All tasks of the iteration have finished. `value` is the metric, if there is a criterion and it gave one.

    `metrics`: the values of further criteria, by metric. A criterion without a value was not checked, unless it has a
    task that ran: nothing that it is worked out from is of this iteration.
    """

    learner: str
    iteration: int
    seconds: float
    value: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DecisionAwaited:
    """The tasks of the iteration have finished, and the program that started the session is asked how to go on."""

    learner: str
    iteration: int


@dataclass(frozen=True)
class DecisionMade:
    """The program's answer, in the iteration that it saw; durable before rose acts on it.

    `stop`: that iteration is the learner's last. `commands`: by task, what replaces parts of its planned command in all
    later iterations, until a later decision names the task again: `words` (the command line), `args`, and `options`, of
    which `null` removes one. An empty change means the plan's own command.
    """

    learner: str
    iteration: int
    stop: bool = False
    message: str | None = None
    commands: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LearnerStopped:
    """`reason`: criterion_met, max_iter, no_improvement, pruned, decided, failed, cancelled; of the
    campaign: finished, failed.

    `message`: of a failure, what failed; of a pruned one, what it is behind; with several criteria, which of them
    stopped the learner; of a decision, what the program said.
    """

    learner: str
    reason: str
    message: str | None = None


@dataclass(frozen=True)
class LearnerReopened:
    """Continues although it had stopped: resumed after a failure, extended, or rerun from an earlier iteration.

    Rerun: all iterations from `from_iteration` on, and every step in them, count as not done. `fresh`: its workspace
    was lost, and is created again.
    """

    learner: str
    reason: str
    from_iteration: int | None = None
    fresh: bool = False


@dataclass(frozen=True)
class MaxIterChanged:
    """A new `max_iter`, set by a resume for `learners`, or for all learners if none is named."""

    max_iter: int
    learners: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanChanged:
    """The run has another plan, by an edited campaign file or `rose set`. It took effect only if plan.json has its
    number (`change`).

    `edits`: each as it was shown; `settings`: every `--set` and the like of the run, masked. `added`: new learners;
    `bounds`: learners whose `max_iter` is again the planned one; `forgotten`: unfinished steps of current iterations
    that start over, as learner/task/replica. `checksums`: as in `RunCreated`, of the files that it writes.

    `requests`: the requests to the session that it answers. `halfway`: learners that were in an iteration, each with
    the `max_iter` that it has to the end of that one; 0: none.
    """

    change: int
    edits: tuple[str, ...]
    settings: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    bounds: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()
    checksums: Mapping[str, str] = field(default_factory=dict)
    requests: tuple[str, ...] = ()
    halfway: Mapping[str, int] = field(default_factory=dict)


Event: TypeAlias = (
    RunCreated
    | SessionStarted
    | SessionDescribed
    | SessionEnded
    | LearnerStarted
    | AttemptStarted
    | ProcessSpawned
    | AttemptSucceeded
    | AttemptFailed
    | AttemptCancelled
    | AttemptLost
    | StepSkipped
    | StepDecided
    | IterationFinished
    | DecisionAwaited
    | DecisionMade
    | LearnerStopped
    | LearnerReopened
    | MaxIterChanged
    | PlanChanged
)
