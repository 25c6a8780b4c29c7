"""The plan: the compiled, frozen campaign. It contains no defaults, and every path is absolute.

It needs neither YAML nor pydantic, and is stored as `plan.json`: `resume` needs nothing else. On disk its paths are
relative, so that a directory with campaign and runs can be moved and copied (`plan/file.py`).
"""

from __future__ import annotations

import os
from dataclasses import field
from itertools import product
from typing import TYPE_CHECKING, Literal, TypeAlias

from rose_cli.config.rules import REPLICA, EngineKind, OnFailure, Operator, PruneRule
from rose_cli.engine.base import Resources  # noqa: TC001
from rose_cli.util.dataclass import dataclass
from rose_cli.util.shared import SHARED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CRITERION = "criterion"
"""The name of the first criterion where a task is named: in logs, in the journal, in `ROSE_TASK`."""


def criterion_task(place: int) -> str:
    """The name of the criterion at that place of `stop`, from 0: `criterion`, `criterion-2`, `criterion-3`."""
    return CRITERION if place == 0 else f"{CRITERION}-{place + 1}"


StopRule: TypeAlias = Literal["any", "all"]
"""How many criteria must agree for a learner to stop."""

SHARED_INDEX = -1
"""The index of what belongs to the campaign."""


@dataclass(frozen=True)
class Adaptive:
    """An option's value as an expression of the iteration."""

    expression: str


@dataclass(frozen=True)
class Number:
    """An option's value that is a number, passed as it was written: `0.10`, `1e-3`."""

    text: str

    @property
    def value(self) -> int | float:
        try:
            return int(self.text, 0)
        except ValueError:
            return float(self.text)


def plain_values(values: Mapping[str, OptionScalar]) -> dict[str, str | int | float | bool]:
    """Numbers as numbers, however they were written."""
    return {name: value.value if isinstance(value, Number) else value for name, value in values.items()}


OptionScalar: TypeAlias = str | int | float | bool | Number
OptionValue: TypeAlias = OptionScalar | tuple[OptionScalar, ...] | Adaptive


@dataclass(frozen=True)
class CommandPlan:
    """A task's command with all layers merged. Words, arguments, options and variables may contain placeholders.

    `beside` are the positions of the words that name files beside the campaign file; None, from an older rose: all
    words that do so when it runs. `function`: the words are an interpreter, and MODULE:NAME, which it calls. `preload`
    are the modules to import before the program starts, or only `AUTO`.

    `when`: an expression; the step runs only in iterations where it holds. `replicas` is the number of replicas, the
    product of `replica_axes` if they have names: by the name of a placeholder, `replica` for a plain list of names.
    `replicas_from`: an expression for their number or their names, worked out when the step's turn comes.
    `parameters`: those of the learner that it uses; of a function all, since it may ask for any.
    """

    words: tuple[str, ...]
    shell: bool
    args: tuple[str, ...]
    options: Mapping[str, OptionValue]
    environment: Mapping[str, str]
    pre_exec: tuple[str, ...]
    timeout_seconds: float | None
    retries: int
    retry_pause_seconds: float
    on_failure: OnFailure
    replicas: int
    ranks: int
    resources: Resources
    snapshot: bool = False
    beside: tuple[int, ...] | None = None
    preload: tuple[str, ...] = ()
    function: bool = False
    when: str | None = None
    replica_axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    replicas_from: str | None = None
    parameters: Mapping[str, OptionScalar] = field(default_factory=dict)

    @property
    def parameter_values(self) -> dict[str, str | int | float | bool]:
        """Its parameters as expressions and functions get them."""
        return plain_values(self.parameters)

    @property
    def is_decided(self) -> bool:
        """Whether what runs depends on the iteration, so that the journal says what was decided."""
        return self.when is not None or self.replicas_from is not None

    @property
    def is_replicated(self) -> bool:
        """Whether it has several replicas, or might have: what it reports is then a list."""
        return self.replicas > 1 or bool(self.replica_axes) or self.replicas_from is not None

    @property
    def replica_names(self) -> tuple[str, ...] | None:
        """The names that the plan gives the replicas, in order; None: they have only numbers, or are not known yet."""
        if not self.replica_axes:
            return None
        return tuple("-".join(names) for names in product(*self.replica_axes.values()))

    @property
    def replicas_text(self) -> int | str:
        """As a campaign file has them: their number, their names by axis, or the expression."""
        if self.replicas_from is not None:
            return self.replicas_from
        axes = {axis: f"[{', '.join(names)}]" for axis, names in self.replica_axes.items()}
        if not axes or [*axes] == [REPLICA]:
            return axes.get(REPLICA, self.replicas)
        return f"{{{', '.join(f'{axis}: {names}' for axis, names in axes.items())}}}"

    @property
    def called(self) -> str | None:
        """The function of a module that it calls, as MODULE:NAME."""
        return self.words[1] if self.function else None

    @property
    def expressions(self) -> Iterator[str]:
        yield from (value.expression for value in self.options.values() if isinstance(value, Adaptive))
        yield from (text for text in (self.when, self.replicas_from) if text is not None)

    @property
    def texts(self) -> Iterator[str]:
        """Everything in it that may contain placeholders."""
        yield from self.words
        yield from self.args
        yield from self.environment.values()
        for value in self.options.values():
            yield from (entry for entry in (value if isinstance(value, tuple) else (value,)) if isinstance(entry, str))

    def as_written(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """The arguments of a rendered command; of a function without the interpreter and the program that calls it."""
        return argv[2:] if self.function else argv

    @property
    def launched_ranks(self) -> int:
        """The number of processes to start: a shell line runs once, and starts its ranks itself."""
        return 1 if self.shell else self.ranks


@dataclass(frozen=True)
class StepPlan:
    """One task of one learner over all iterations: `at` holds the commands of exact checkpoints, or of starts with
    `hold`; `otherwise` is for every other iteration."""

    task: str
    otherwise: CommandPlan
    at: Mapping[int, CommandPlan]
    hold: bool

    @property
    def commands(self) -> tuple[CommandPlan, ...]:
        return (self.otherwise, *self.at.values())

    def command(self, iteration: int) -> CommandPlan:
        """The command of iteration `iteration` (from 0)."""
        if not self.at:
            return self.otherwise
        if not self.hold:
            return self.at.get(iteration, self.otherwise)
        starts = [key for key in self.at if key <= iteration]
        return self.at[max(starts)] if starts else self.otherwise


@dataclass(frozen=True)
class MetricSource:
    """Where the criterion's value is read; all None: in the last line of standard output."""

    file: str | None
    json_path: str | None
    regex: str | None


@dataclass(frozen=True)
class CriterionPlan:
    """When a learner stops: `metric ∘ threshold`, or no improvement by more than `min_delta` in `patience` checks.

    Its values come from a task of its own, `step`, or from reports of other tasks: `value` is an expression of them.
    `operator` also says which way is better: down for < and <=, up for > and >=, towards the threshold for ==.
    A value below `lowest` or above `highest` is invalid; None leaves that end open. `min_delta_share` is `min_delta` as
    a share of the best value so far; one of the two is 0.
    """

    step: StepPlan | None
    metric: str
    operator: Operator
    threshold: float | None
    reading: MetricSource
    patience: int | None
    min_delta: float
    min_iter: int
    lowest: float | None = None
    highest: float | None = None
    min_delta_share: float = 0.0
    value: str | None = None

    @property
    def task(self) -> str | None:
        """The name of its own task, if it has one."""
        return None if self.step is None else self.step.task

    @property
    def named(self) -> str:
        """What messages call it."""
        return f"the {'watched metric' if self.is_watched else 'criterion'} '{self.metric}'"

    @property
    def is_watched(self) -> bool:
        """Whether its metric is only watched: no value of it stops a learner."""
        return self.threshold is None and self.patience is None


@dataclass(frozen=True)
class FilePlan:
    """A file or directory that a workspace starts with: `source` absolute, `target` relative to the workspace.

    `fixed`: the campaign file has its absolute path, so it stays where it is when the campaign moves.
    """

    source: str
    target: str
    copied: bool
    fixed: bool = False

    def source_from(self, campaign_dir: str, other: str) -> str:
        """The path of the source if the campaign were in `other` instead of `campaign_dir`."""
        if self.fixed:
            return self.source
        return os.path.normpath(os.path.join(other, os.path.relpath(self.source, campaign_dir)))  # noqa: PTH118


@dataclass(frozen=True)
class LearnerPlan:
    """A learner; with the name `SHARED`, the tasks that run once per campaign.

    `steps` run in every iteration. `before` are the first steps of the first iteration, `after` the last ones of the
    iteration after which the learner stops. Of the campaign, `before` is `setup`, its iteration 0, and `after` is
    `finish`, each later iteration; it has no `steps`. `criterion` is the first one: its metric ranks learners and is
    `metric` in expressions.
    """

    name: str
    index: int
    seed: int
    max_iter: int | None
    steps: tuple[StepPlan, ...]
    criterion: CriterionPlan | None
    files: tuple[FilePlan, ...]
    more_criteria: tuple[CriterionPlan, ...] = ()
    stop_rule: StopRule = "any"
    parameters: Mapping[str, OptionScalar] = field(default_factory=dict)
    before: tuple[StepPlan, ...] = ()
    after: tuple[StepPlan, ...] = ()

    @property
    def is_shared(self) -> bool:
        return self.name == SHARED

    @property
    def criteria(self) -> tuple[CriterionPlan, ...]:
        return (self.criterion, *self.more_criteria) if self.criterion else ()

    @property
    def all_steps(self) -> tuple[StepPlan, ...]:
        """All that may run in some iteration, in order."""
        if not self.before and not self.after:
            return self.in_every_iteration
        return (*self.before, *self.in_every_iteration, *self.after)

    @property
    def in_every_iteration(self) -> tuple[StepPlan, ...]:
        """The tasks of an iteration in order, those of the criteria last."""
        own = tuple([each.step for each in self.criteria if each.step is not None])
        return (*self.steps, *own) if own else self.steps

    def steps_in(self, iteration: int, *, is_last: bool = False) -> tuple[StepPlan, ...]:
        """The steps of an iteration in order. It is known to be the last one once its criteria have been checked."""
        if self.is_shared:
            return self.after if iteration else self.before
        first, last = () if iteration else self.before, self.after if is_last else ()
        return (*first, *self.in_every_iteration, *last) if first or last else self.in_every_iteration

    def criterion_of(self, task: str) -> CriterionPlan | None:
        """The criterion whose task has that name."""
        found = (each for each in self.criteria if each.step is not None and each.step.task == task)
        return next(found, None) if task.startswith(CRITERION) else None

    @property
    def values(self) -> dict[str, str | int | float | bool]:
        """The parameters as expressions see them."""
        return plain_values(self.parameters)


@dataclass(frozen=True)
class PilotPlan:
    """The request for a pilot, in radical.pilot's terms. `restarts`: how many times a lost pilot is replaced."""

    resource: str
    runtime_minutes: int
    nodes: int | None
    project: str | None
    queue: str | None
    access_schema: str | None
    restarts: int


@dataclass(frozen=True)
class SlurmPlan:
    """How tasks run as steps of the Slurm job that a session is in, and the request for such a job.

    `mpi`: how srun starts ranks; `srun`: more of its options. The others are what `rose submit` requests; None: not
    given. A session runs on the nodes that its job has.
    """

    mpi: str | None
    srun: tuple[str, ...]
    nodes: int | None = None
    runtime_minutes: int | None = None
    project: str | None = None
    queue: str | None = None


@dataclass(frozen=True)
class EnginePlan:
    """Where tasks run.

    Local: `cores` None means all cores of the session's machine; `gpus` are IDs, or a number of any that the session
    may use. With a pilot, `pilot` is set, `cores` None means those of `nodes` or of the resource's single node, and
    `gpus` are "0" to "n-1". With `slurm`, `cores` and `gpus` are how many of the job's are used at most, None: all.
    """

    kind: EngineKind
    cores: int | None
    gpus: tuple[str, ...] | int | None
    grace_seconds: float
    pilot: PilotPlan | None = None
    slurm: SlurmPlan | None = None

    @property
    def is_local(self) -> bool:
        """Whether tasks are processes that rose starts itself; the other engines have their own launchers of ranks."""
        return self.kind == "local"


@dataclass(frozen=True)
class Limits:
    """`output_bytes` limits the output of one attempt, the last two limit each workspace; None: no limit."""

    max_parallel_learners: int | None
    wall_time_seconds: float | None
    same_failure: int | None
    output_bytes: int | None = None
    workspace_files: int | None = None
    workspace_bytes: int | None = None


@dataclass(frozen=True)
class PrunePlan:
    """When a learner ends because it is clearly behind others: `loop/prune.py` has the rules.

    `min_iter`: iterations that a learner finishes before; `min_learners`: how many others the median is taken of;
    `factor`: of so many learners, successive halving lets one go on. `metric`: that of the criterion that compares
    learners; None: the first one of each.
    """

    rule: PruneRule
    min_iter: int
    min_learners: int
    factor: int
    metric: str | None = None

    def criterion_of(self, learner: LearnerPlan) -> CriterionPlan | None:
        """The criterion by which a learner is compared with others; None: it is not."""
        if self.metric is None:
            return learner.criterion
        return next((each for each in learner.criteria if each.metric == self.metric), None)


@dataclass(frozen=True)
class Keep:
    """What is kept of finished iterations: the logs of the last ones, and of the best one; None: all."""

    logs: int | None = None


@dataclass(frozen=True)
class TrackerPlan:
    """An experiment tracker that gets the results, and its settings."""

    name: str
    settings: Mapping[
        str, str | int | float | bool | tuple[str | int | float | bool, ...] | Mapping[str, str | int | float | bool]
    ]


@dataclass(frozen=True)
class NotifyPlan:
    """The command that gets a summary when a session ends, and the ends that it is told of."""

    command: CommandPlan
    when: tuple[str, ...]
    timeout_seconds: float


@dataclass(frozen=True)
class Origin:
    """The absolute paths of run and campaign when the run was created. `run` None: from an older rose."""

    run: str | None
    campaign: str


@dataclass(frozen=True)
class Earlier:
    """The `settings` that steps had before an iteration: that of each learner, or of learner/task, in `until`."""

    settings: tuple[str, ...]
    until: Mapping[str, int]


@dataclass(frozen=True)
class Lineage:
    """How a run came to its plan.

    `settings`: the options of the command line that override the campaign file, as the user wrote them (`--set a=b`);
    `only`: the learners that the run is restricted to, if any. `changes`: the numbers of the changes that a resume made
    to the plan; `added`: the learners that came with them; `dropped`: the tasks that went. `earlier`: the settings
    before each change of them that `rose set` made to steps, oldest first.
    """

    settings: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    changes: tuple[int, ...] = ()
    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    earlier: tuple[Earlier, ...] = ()


@dataclass(frozen=True)
class Plan:
    """`campaign_file` and `campaign_dir` are the present paths; a plan that was read has an `origin`.

    `shared`: what runs once per campaign, in a workspace that every task knows as `{shared}`; None if nothing needs it.
    `lineage`: None if an older rose started the run.
    """

    campaign: str
    campaign_file: str
    campaign_dir: str
    engine: EnginePlan
    learners: tuple[LearnerPlan, ...]
    limits: Limits
    stop_after_converged: int | None
    keep: Keep = Keep()
    prune: PrunePlan | None = None
    track: tuple[TrackerPlan, ...] = ()
    notify: NotifyPlan | None = None
    shared: LearnerPlan | None = None
    origin: Origin | None = field(default=None, compare=False)
    lineage: Lineage | None = field(default=None, compare=False)

    @property
    def everyone(self) -> tuple[LearnerPlan, ...]:
        """The learners, after what runs once per campaign."""
        return self.learners if self.shared is None else (self.shared, *self.learners)
