"""The plan: the compiled, frozen campaign. Nothing in it is left to default, every path is absolute.

It knows neither YAML nor pydantic, and is what `plan.json` holds: `resume` works from it alone. On disk its paths are
relative, so that a folder with campaign and runs can be moved and copied (`plan/file.py`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from rose_cli.engine.base import Resources  # noqa: TC001 - plan/file.py reads the types of fields

if TYPE_CHECKING:
    from collections.abc import Mapping

OnFailure: TypeAlias = Literal["stop_learner", "stop_campaign", "continue"]
Operator: TypeAlias = Literal["<", "<=", ">", ">=", "=="]

CRITERION = "criterion"
"""The name of the criterion where a task is named: in logs, in the journal, in `ROSE_TASK`."""


@dataclass(frozen=True)
class Adaptive:
    """An option's value as an expression of the iteration."""

    expression: str


@dataclass(frozen=True)
class Number:
    """An option's value that is a number, and stands on the command line as it was written: `0.10`, `1e-3`."""

    text: str

    @property
    def value(self) -> int | float:
        try:
            return int(self.text, 0)
        except ValueError:
            return float(self.text)


OptionScalar: TypeAlias = str | int | float | bool | Number
OptionValue: TypeAlias = OptionScalar | tuple[OptionScalar, ...] | Adaptive


@dataclass(frozen=True)
class CommandPlan:
    """A task's command with all layers merged. Words, arguments, texts and variables may hold placeholders.

    `beside` are the positions of the words that name files beside the campaign file; None, as an older rose left it:
    every word that does so when it runs.
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

    @property
    def launched_ranks(self) -> int:
        """As many processes are started: a line for a shell runs once, and starts its ranks by itself."""
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
        """What runs in iteration `iteration` (from 0)."""
        if not self.at:
            return self.otherwise
        if not self.hold:
            return self.at.get(iteration, self.otherwise)
        starts = [key for key in self.at if key <= iteration]
        return self.at[max(starts)] if starts else self.otherwise


@dataclass(frozen=True)
class MetricSource:
    """Where the criterion's value stands; all None: the last line of standard output."""

    file: str | None
    json_path: str | None
    regex: str | None


@dataclass(frozen=True)
class CriterionPlan:
    """When a learner stops: `metric ∘ threshold`, or no improvement by more than `min_delta` in `patience` checks.

    `operator` also says which way is better: down for < and <=, up for > and >=, towards the threshold for ==.
    A value below `lowest` or above `highest` is none of the metric's; None leaves that end open.
    """

    step: StepPlan
    metric: str
    operator: Operator
    threshold: float | None
    reading: MetricSource
    patience: int | None
    min_delta: float
    min_iter: int
    lowest: float | None = None
    highest: float | None = None


@dataclass(frozen=True)
class FilePlan:
    """A file or folder that a workspace starts with: `source` absolute, `target` relative to the workspace.

    `fixed`: the campaign file names it by its absolute path, so that it stays where it is when the campaign moves.
    """

    source: str
    target: str
    copied: bool
    fixed: bool = False

    def source_from(self, campaign_dir: str, other: str) -> str:
        """Where the source would lie if the campaign lay in `other` instead of `campaign_dir`."""
        if self.fixed:
            return self.source
        return os.path.normpath(os.path.join(other, os.path.relpath(self.source, campaign_dir)))  # noqa: PTH118


@dataclass(frozen=True)
class LearnerPlan:
    name: str
    index: int
    seed: int
    max_iter: int | None
    steps: tuple[StepPlan, ...]
    criterion: CriterionPlan | None
    files: tuple[FilePlan, ...]

    @property
    def all_steps(self) -> tuple[StepPlan, ...]:
        """The tasks of an iteration in order, the criterion last."""
        return (*self.steps, self.criterion.step) if self.criterion else self.steps


@dataclass(frozen=True)
class PilotPlan:
    """What a pilot is asked for, in radical.pilot's words. `restarts`: fresh pilots that may follow a lost one."""

    resource: str
    runtime_minutes: int
    nodes: int | None
    project: str | None
    queue: str | None
    access_schema: str | None
    restarts: int


@dataclass(frozen=True)
class EnginePlan:
    """Where tasks run.

    Local: `cores` None means as many as the machine has that the session runs on, and `gpus` are ids, or a number of
    those that the session may use, whichever they are. On a pilot, `pilot` is there, `cores` None means what `nodes`
    gives or the resource's one node, and `gpus` are "0" to "n-1".
    """

    kind: Literal["local", "radical.pilot"]
    cores: int | None
    gpus: tuple[str, ...] | int
    grace_seconds: float
    pilot: PilotPlan | None = None


@dataclass(frozen=True)
class Limits:
    """`output_bytes` bounds what one attempt prints, the last two each workspace; None: any amount."""

    max_parallel_learners: int | None
    wall_time_seconds: float | None
    same_failure: int | None
    output_bytes: int | None = None
    workspace_files: int | None = None
    workspace_bytes: int | None = None


@dataclass(frozen=True)
class Keep:
    """What stays of iterations that are over: the logs of the last so many, and some more; None: all."""

    logs: int | None = None


@dataclass(frozen=True)
class Origin:
    """Where the run and its campaign lay when the run began: absolute paths. `run` None: an older rose did not say."""

    run: str | None
    campaign: str


@dataclass(frozen=True)
class Plan:
    """`campaign_file` and `campaign_dir` are where the campaign lies now; `origin` is there in a plan that was read."""

    campaign: str
    campaign_file: str
    campaign_dir: str
    engine: EnginePlan
    learners: tuple[LearnerPlan, ...]
    limits: Limits
    stop_after_converged: int | None
    keep: Keep = Keep()
    origin: Origin | None = field(default=None, compare=False)
