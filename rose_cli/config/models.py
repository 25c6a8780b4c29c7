"""The campaign as the user wrote it: frozen models of every key that a campaign file may hold.

A field that is not given is None; `model_fields_set` distinguishes that from an explicit `null`. The description of a
field is also its text in the reference in docs/; its first example is shown in messages.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    model_validator,
)

from rose_cli.config import forms, shapes
from rose_cli.config.base import Model
from rose_cli.config.command import (
    AdaptiveValue,
    Argument,
    Boolean,
    CriterionValue,
    EndingWord,
    Executable,
    FilledFile,
    ForFunction,
    ForShell,
    OnFailureWord,
    OperatorWord,
    Option,
    VariableValue,
)
from rose_cli.config.errors import expected, fail, fail_if_any
from rose_cli.config.iterations import IterationName, iteration_key, overlaps
from rose_cli.config.parameter_types import ParameterName, ParameterValue
from rose_cli.config.python_tasks import FunctionReference, Modules
from rose_cli.config.replica_types import Condition, Replicas
from rose_cli.config.rules import ENDINGS, MAX_LEARNERS, EngineKind, PruneRule
from rose_cli.config.sweep import Sweep
from rose_cli.config.types import (
    CampaignName,
    Count,
    Difference,
    Duration,
    Factor,
    FilledText,
    JsonPath,
    LearnerName,
    Megabytes,
    Minutes,
    MpiType,
    Natural,
    Number,
    OptionName,
    Pause,
    Regex,
    Seed,
    ShellLines,
    Size,
    SrunOptions,
    TaskName,
    Text,
    ValueRange,
    VariableName,
)


class Retries(Model):
    times: Natural = Field(description="number of further attempts for a failed step", examples=["3"])
    pause: Pause = Field(default=1.0, description="delay before each of them", examples=["30s"])


class TaskFields(Model):
    """The keys of a task, which a learner may override."""

    executable: Executable | None = Field(
        default=None,
        description="the command: a string, split as by a shell, or a list of arguments",
        examples=["python sim.py"],
    )
    function: FunctionReference | None = Field(
        default=None,
        description="instead of `executable`: a Python function, as module:name, which gets the options by name",
        examples=["simulation:run"],
    )
    shell: Boolean | None = Field(
        default=None, description="true: `executable` is one line for a shell", examples=["true"]
    )
    args: tuple[Argument, ...] | None = Field(
        default=None, description="positional arguments, before the options", examples=["[data.csv, 5]"]
    )
    options: dict[OptionName, Option] | None = Field(
        default=None,
        description="name → value; `null` removes an option that a lower level has set",
        examples=["{--n_labeled: 300}"],
    )
    adaptive: dict[OptionName, AdaptiveValue] | None = Field(
        default=None,
        description="name → expression of i, max_iter, metric, results and so on",
        examples=["{--n_labeled: 100 + i*50}"],
    )
    env: dict[VariableName, VariableValue] | None = Field(
        default=None, description="environment variables", examples=["{OMP_NUM_THREADS: 1}"]
    )
    pre_exec: ShellLines | None = Field(
        default=None, description="shell lines that run before the command", examples=["[module load python]"]
    )
    timeout: Duration | None = Field(
        default=None, description="an attempt that takes longer is terminated and fails", examples=["30m"]
    )
    retries: Annotated[Retries, BeforeValidator(forms.normalize_retries), shapes.RETRIES] | None = Field(
        default=None,
        description="further attempts after a failure: a number, or {times: 3, pause: 30s}",
        examples=["3"],
    )
    on_failure: OnFailureWord | None = Field(
        default=None,
        description="what to do when the last attempt has failed: stop_learner, stop_campaign or continue",
        examples=["continue"],
    )
    when: Condition = Field(
        default=None,
        description="an expression: the task runs only in iterations where it holds",
        examples=["i % 5 == 0"],
    )
    replicas: Replicas = Field(
        default=None,
        description="parallel copies, each with its own {replica}: a number, a list of names, axis → names, "
        "or an expression for a number or a list of names",
        examples=["3"],
    )
    snapshot: Boolean | None = Field(
        default=None,
        description="true: every later attempt finds the workspace as the first one found it",
        examples=["true"],
    )
    preload: Modules | None = Field(
        default=None,
        description="installed modules that a Python program finds imported already: a list, or auto; "
        "false or `null`: none",
        examples=["[numpy, sklearn.linear_model]"],
    )
    ranks: Count | None = Field(default=None, description="MPI ranks", examples=["4"])
    cores_per_rank: Count | None = Field(default=None, description="processor cores per rank", examples=["2"])
    gpus_per_rank: Natural | None = Field(default=None, description="GPUs per rank", examples=["1"])
    mem_per_rank: Megabytes | None = Field(default=None, description="memory per rank, in MB", examples=["4096"])

    @model_validator(mode="before")
    @classmethod
    def _mark_shell_lines(cls, value: object) -> object:
        """The type of `executable` depends on the key after it."""
        if isinstance(value, dict) and isinstance(value.get("shell"), str) and "executable" not in value:
            hint = "did you mean 'executable'? with shell: true beside it, it is a line for a shell"
            fail("wrong-type", expected("true or false", value["shell"]), hint, below=("shell",))
        if isinstance(value, dict) and value.get("function") is not None:
            _refuse_beside_function(value)
            return {**value, "executable": ForFunction(value["function"])}
        if isinstance(value, dict) and value.get("shell") is True and "executable" in value:
            return {**value, "executable": ForShell(value["executable"])}
        return value


_BESIDE_FUNCTION = {
    "executable": "a task runs either a command or a function: remove one of the two",
    "shell": "remove it: no shell is involved",
    "args": "write them under 'options': a function gets its arguments by name",
    "ranks": "start ranks with an 'executable', or set cores_per_rank for a function that uses several cores",
}


def _refuse_beside_function(task: dict[Any, Any]) -> None:
    for key in (key for key in _BESIDE_FUNCTION if task.get(key) not in (None, [], 0)):
        if key == "ranks" and task[key] == 1:
            continue
        message = f"'{key}' cannot be combined with 'function'"
        fail("conflicting-keys", message, _BESIDE_FUNCTION[key], below=(key,), at_key=True)


class Task(TaskFields):
    executable: Executable = Field(
        description="or `function`; the command: a string, split as by a shell, or a list of arguments",
        examples=["python sim.py"],
    )

    @model_validator(mode="after")
    def _one_value_for_each_option(self) -> Task:
        forms.refuse_double_options(self.options, self.adaptive)
        return self


class Override(TaskFields):
    """A learner's overrides of a task: the full form, or a bare mapping of options."""

    @model_validator(mode="before")
    @classmethod
    def _full_form(cls, value: object) -> object:
        return forms.normalize_override(value, TaskFields.model_fields)

    @model_validator(mode="after")
    def _fits_together(self) -> Override:
        forms.refuse_double_options(self.options, self.adaptive)
        if self.shell is not None and self.executable is None:
            hint = "write the shell line here as well, or remove 'shell'"
            fail("conflicting-keys", "'shell' needs an 'executable' beside it", hint,
                   below=("shell",), at_key=True)  # fmt: skip
        return self


IterationKey = Annotated[IterationName, PlainValidator(iteration_key)]


class Iterations(Model):
    """Overrides by iteration: exact checkpoints and ranges, or starts with `hold`."""

    # an alias that no key of a user can be: errors have it in their location
    at: dict[IterationKey, Override] = Field(alias="<at>")
    hold: Boolean = Field(
        default=False, description="true: a key applies from its iteration on, not only in it", examples=["true"]
    )

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, value: dict[Any, Any]) -> dict[str, Any]:
        entries = {key: entry for key, entry in value.items() if key != "hold"}
        return {"<at>": entries, "hold": value["hold"]} if "hold" in value else {"<at>": entries}

    @model_validator(mode="after")
    def _each_iteration_once(self) -> Iterations:
        if self.hold and self.has_ranges:
            message = "'hold' cannot be combined with ranges, which say where they end"
            hint = "write each start as one number, or remove 'hold' and write 5+ for all iterations from 5 on"
            fail("conflicting-keys", message, hint, below=("hold",), at_key=True)
        fail_if_any(overlaps(self.at))
        return self

    @property
    def has_ranges(self) -> bool:
        return any(isinstance(key, str) for key in self.at)


def _schedule_kind(value: object) -> str:
    return "<iterations>" if forms.is_by_iteration(value) else "<override>"


Schedule = Annotated[
    Annotated[Iterations, Tag("<iterations>")] | Annotated[Override, Tag("<override>")],
    Discriminator(_schedule_kind),
]


class Read(Model):
    """Where to read the criterion's value: by default in the last line of standard output."""

    file: FilledFile | None = Field(
        default=None,
        description="a file to read instead of standard output, relative to the workspace; placeholders are replaced",
        examples=["metrics.json"],
    )
    json_path: JsonPath | None = Field(
        default=None, alias="json", description="dotted path into a JSON object: `val.mse`", examples=["val.mse"]
    )
    regex: Regex | None = Field(
        default=None, description="the first group of the last match", examples=["'acc=(\\S+)'"]
    )

    @model_validator(mode="after")
    def _check_combination(self) -> Read:
        if self.json_path is not None and self.regex is not None:
            message = "'json' and 'regex' cannot be combined"
            fail("conflicting-keys", message, "remove one of the two", below=("regex",), at_key=True)
        return self


class StopFields(TaskFields):
    metric: FilledText | None = Field(
        default=None, description="a standard metric, or a custom name with an operator", examples=["mse"]
    )
    threshold: Number | None = Field(default=None, description="the value to reach", examples=["0.1"])
    operator: OperatorWord | None = Field(
        default=None, description="the learner stops when `metric operator threshold` is true", examples=["'<'"]
    )
    range: ValueRange | None = Field(
        default=None,
        description="the possible values of the metric, `null` for an open end (default: those of the standard metric)",
        examples=["[0, 100]"],
    )
    read: Annotated[Read, BeforeValidator(forms.normalize_read), shapes.READ] | None = Field(
        default=None,
        description="where to read the value: last_line (default), {json:}, {regex:}, {file:}",
        examples=["{json: val.mse}"],
    )
    patience: Count | None = Field(
        default=None, description="number of iterations without improvement after which to stop", examples=["5"]
    )
    min_delta: Difference | None = Field(
        default=None,
        description="smallest change that counts as improvement, or its share of the best value so far "
        "(default 0: any change)",
        examples=["0.001"],
    )
    min_iter: Count | None = Field(
        default=None, description="number of iterations to finish before stopping", examples=["3"]
    )
    value: CriterionValue | None = Field(
        default=None,
        description="instead of `executable`: an expression of what tasks reported",
        examples=["mean(results.training.mse)"],
    )

    @model_validator(mode="before")
    @classmethod
    def _name_of_a_report(cls, value: object) -> object:
        return forms.normalize_reported(value)

    @model_validator(mode="after")
    def _no_program_beside_a_value(self) -> StopFields:
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        forms.refuse_beside_value(given, (*TaskFields.model_fields, "read"))
        return self


class Stop(StopFields):
    """A criterion, checked after the tasks of every iteration."""

    metric: FilledText | None = Field(
        default=None,
        description="required; a standard metric, or a custom name with an operator; "
        "result.KEY: what tasks report under KEY",
        examples=["mse"],
    )
    executable: Executable | None = Field(
        default=None,
        description="or `function`, or `value`; the command that prints the value",
        examples=["python check_mse.py"],
    )


class StopOverride(StopFields):
    """A learner's overrides of one of the campaign's criteria; with its own metric and source, a complete one."""


class SeveralCriteria(Model):
    """Several criteria, of which one is enough or all are needed. The metric of the first one ranks the learners."""

    @model_validator(mode="before")
    @classmethod
    def _one_list(cls, value: Any) -> Any:  # noqa: ANN401
        forms.refuse_beside_criteria(value, StopFields.model_fields)
        return value


class Criteria(SeveralCriteria):
    any: Annotated[tuple[Stop, ...], BeforeValidator(forms.bounded_criteria)] | None = Field(
        default=None,
        description="criteria of which one is enough to stop a learner",
        examples=["[{metric: mse, threshold: 0.1, executable: python check_mse.py}]"],
    )
    all: Annotated[tuple[Stop, ...], BeforeValidator(forms.bounded_criteria)] | None = Field(
        default=None,
        description="criteria that must all be met to stop a learner",
        examples=["[{metric: mse, threshold: 0.1, executable: python check_mse.py}]"],
    )

    @property
    def entries(self) -> tuple[Stop, ...]:
        return self.any or self.all or ()


class LearnerCriteria(SeveralCriteria):
    """The whole list of a learner; a criterion with the metric of one of the campaign's inherits its keys."""

    any: Annotated[tuple[StopOverride, ...], BeforeValidator(forms.bounded_criteria)] | None = Field(
        default=None, description="criteria of which one is enough to stop the learner", examples=["[{metric: mse}]"]
    )
    all: Annotated[tuple[StopOverride, ...], BeforeValidator(forms.bounded_criteria)] | None = Field(
        default=None, description="criteria that must all be met to stop the learner", examples=["[{metric: mse}]"]
    )

    @property
    def entries(self) -> tuple[StopOverride, ...]:
        return self.any or self.all or ()


def _stop_kind(value: object) -> str:
    return "<several>" if forms.has_several_criteria(value) else "<one>"


AnyStop = Annotated[Annotated[Stop, Tag("<one>")] | Annotated[Criteria, Tag("<several>")], Discriminator(_stop_kind)]

AnyLearnerStop = Annotated[
    Annotated[StopOverride, Tag("<one>")] | Annotated[LearnerCriteria, Tag("<several>")], Discriminator(_stop_kind)
]


class File(Model):
    path: FilledText = Field(description="relative to the campaign file", examples=["data.csv"])
    to: FilledText | None = Field(
        default=None, description="path in the workspace (default: the same relative path)", examples=["data.csv"]
    )
    copy_: Boolean = Field(
        default=False, alias="copy", description="true: a copy, not a symbolic link", examples=["true"]
    )


Files = Annotated[
    tuple[Annotated[File, BeforeValidator(forms.normalize_file), shapes.FILE], ...],
    BeforeValidator(forms.bounded_files),
]


class Learner(Model):
    """One independent loop. Every further key is the name of a task, with its overrides."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Schedule] = Field(init=False)

    name: LearnerName | None = Field(default=None, description="default: learner-<index>", examples=["small-steps"])
    max_iter: Count | None = Field(
        default=None, description="maximum number of iterations of this learner", examples=["15"]
    )
    seed: Seed | None = Field(default=None, description="seed of this learner, used unchanged", examples=["2024"])
    stop: Annotated[AnyLearnerStop, BeforeValidator(forms.refuse_bare_criteria)] | None = Field(
        default=None,
        description="overrides a criterion of the campaign, or all with `any` or `all`; `null` removes them",
        examples=["{threshold: 0.05}"],
    )
    files: Files | None = Field(default=None, description="additional files for its workspace", examples=["[data.csv]"])
    env: dict[VariableName, VariableValue] | None = Field(
        default=None, description="environment variables", examples=["{OMP_NUM_THREADS: 1}"]
    )
    pre_exec: ShellLines | None = Field(
        default=None, description="shell lines that run before each of its commands", examples=["[module load python]"]
    )
    parameters: Annotated[dict[ParameterName, ParameterValue], BeforeValidator(forms.bounded_parameters)] | None = (
        Field(default=None, description="its own values of parameters of the campaign", examples=["{n_start: 500}"])
    )

    @property
    def schedules(self) -> dict[str, Iterations | Override]:
        return dict(self.__pydantic_extra__ or {})

    @property
    def is_plain(self) -> bool:
        """Whether it sets nothing at all."""
        return not self.model_fields_set


PLAIN_LEARNER = Learner.model_construct()
"""A learner that sets nothing."""


def _learners(value: object) -> object:
    if isinstance(value, list) and not value:
        fail("no-learners", "there are no learners", "write a number, or a list like [{}]")
    return value if isinstance(value, list | tuple) else (PLAIN_LEARNER,) * forms.learner_count(value)


class Engine(Model):
    """Where tasks run."""

    kind: Annotated[EngineKind, shapes.ENGINE_KIND] = Field(
        default="local",
        description="local: processes on this machine; slurm: steps of the Slurm job that rose runs in; "
        "radical.pilot: tasks of a pilot",
        examples=["local"],
    )
    cores: Count | None = Field(
        default=None,
        description="number of cores to use (default: those of this machine, of the job or of the nodes of the pilot)",
        examples=["8"],
    )
    gpus: Annotated[tuple[Text, ...], BeforeValidator(forms.gpu_ids), shapes.GPUS] = Field(
        default=(),
        description="how many to use or, on this machine, which ones (default: none; with `slurm`, all of its job)",
        examples=["[0, 1]"],
    )
    grace: Pause = Field(
        default=5.0, description="time between TERM and KILL when a task is terminated", examples=["10s"]
    )
    mpi: MpiType | None = Field(
        default=None,
        description="how srun starts MPI ranks: pmix, pmi2, none, … (default: as the cluster is configured)",
        examples=["pmix"],
    )
    srun: SrunOptions = Field(default=(), description="more options for srun", examples=["[--cpu-bind=cores]"])
    nodes: Count | None = Field(
        default=None, description="number of nodes to request for the pilot or the job", examples=["2"]
    )
    runtime: Minutes = Field(
        default=30, description="run time to request for the pilot or the job, in minutes", examples=["120"]
    )
    project: FilledText | None = Field(default=None, description="the allocation to charge", examples=["abc123"])
    queue: FilledText | None = Field(default=None, description="the queue of the batch system", examples=["normal"])
    resource: FilledText = Field(
        default="local.localhost",
        description="the label of the machine in radical.pilot",
        examples=["tacc.frontera"],
    )
    access_schema: FilledText | None = Field(
        default=None, description="how to access the machine, if there are several ways", examples=["interactive"]
    )
    restarts: Natural = Field(default=0, description="how many times a lost pilot may be replaced", examples=["2"])


class Limits(Model):
    max_parallel_learners: Count | None = Field(
        default=None, description="maximum number of learners that run at the same time", examples=["8"]
    )
    wall_time: Duration | None = Field(
        default=None, description="maximum time of a session; it stops cleanly before that", examples=["11h30m"]
    )
    same_failure: Count | None = Field(
        default=None,
        description="number of identical failures in a row, over all learners, that stops the campaign",
        examples=["5"],
    )
    output: Size | None = Field(
        default=10 * 2**30,
        description="maximum output of one attempt, stdout and stderr together (default `10 GB`; `null`: no limit)",
        examples=["1 GB"],
        json_schema_extra={"default": "10 GB"},
    )
    files: Count | None = Field(
        default=None, description="maximum number of files and directories in a workspace", examples=["100000"]
    )
    workspace: Size | None = Field(default=None, description="maximum disk space of a workspace", examples=["50 GB"])


class Keep(Model):
    """What is kept of finished iterations."""

    logs: Count | None = Field(
        default=None,
        description="number of latest iterations per learner whose logs to keep, besides its best one (default: all)",
        examples=["10"],
    )


class Notify(Model):
    """A command that gets the summary of a session as JSON on standard input when it has ended."""

    executable: Executable = Field(
        description="the command: a string, split as by a shell, or a list of arguments", examples=["./tell.sh"]
    )
    shell: Boolean = Field(default=False, description="true: `executable` is one line for a shell", examples=["true"])
    args: tuple[Argument, ...] = Field(default=(), description="further arguments", examples=["[me@example.org]"])
    env: dict[VariableName, VariableValue] = Field(
        default={}, description="environment variables, besides those of the campaign", examples=["{TOPIC: runs}"]
    )
    when: Annotated[tuple[EndingWord, ...], BeforeValidator(forms.listed_endings), shapes.ENDINGS] = Field(
        default=ENDINGS,
        description="which ends to tell of: finished, failed, interrupted (default: all)",
        examples=["[failed, interrupted]"],
    )
    timeout: Duration = Field(default=60.0, description="after this time, it is terminated", examples=["30s"])

    @model_validator(mode="before")
    @classmethod
    def _mark_shell_lines(cls, value: object) -> object:
        if isinstance(value, dict) and value.get("shell") is True and "executable" in value:
            return {**value, "executable": ForShell(value["executable"])}
        return value

    @property
    def command(self) -> TaskFields:
        """What it shares with tasks."""
        return TaskFields.model_construct(
            _fields_set={"executable", "shell", "args", "env"},
            executable=self.executable,
            shell=self.shell,
            args=self.args,
            env=self.env,
        )


class Prune(Model):
    """When a learner ends because it is clearly behind the others."""

    rule: Annotated[PruneRule, BeforeValidator(forms.prune_rule), shapes.PRUNE_RULE] = Field(
        description="median: its best value is behind the median of the others; successive_halving: it is not among "
        "the best after min_iter, min_iter·factor, … iterations",
        examples=["median"],
    )
    min_iter: Count = Field(default=3, description="number of iterations that each learner finishes", examples=["5"])
    min_learners: Count | None = Field(
        default=None,
        description="for median: number of other learners that are needed for a comparison (default 5)",
        examples=["5"],
    )
    factor: Factor | None = Field(
        default=None,
        description="for successive_halving: of so many learners one goes on (default 3)",
        examples=["3"],
    )
    metric: FilledText | None = Field(
        default=None,
        description="which of several criteria compares learners (default: the first one)",
        examples=["mse"],
    )

    @model_validator(mode="after")
    def _has_its_own_keys(self) -> Prune:
        foreign, own = ("factor", "min_learners") if self.rule == "median" else ("min_learners", "factor")
        if getattr(self, foreign) is not None:
            message = f"'{foreign}' is not a key of rule: {self.rule}"
            fail("conflicting-keys", message, f"remove it; {self.rule} has '{own}'", below=(foreign,), at_key=True)
        return self


class StopCampaign(Model):
    after_converged: Count = Field(
        description="number of learners that must meet their criterion before the others are stopped", examples=["1"]
    )


class Smoke(Model):
    """The overrides of `rose run --smoke`. Further keys are tasks, with options for every learner."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Override] = Field(init=False)

    max_iter: Count = Field(default=1, description="iterations of a smoke run", examples=["1"])

    @property
    def overrides(self) -> dict[str, Override]:
        return dict(self.__pydantic_extra__ or {})


OnceTasks = Annotated[dict[TaskName, Task], BeforeValidator(forms.bounded_tasks)]
"""Tasks that are no part of an iteration."""


class Campaign(Model):
    """The whole file."""

    name: CampaignName | None = Field(
        default=None, description="default: the name of the file without its extension", examples=["my-campaign"]
    )
    engine: Annotated[Engine, BeforeValidator(forms.normalize_engine), shapes.ENGINE] = Field(
        default=Engine.model_construct(), description="`local`, or a mapping", examples=["local"]
    )
    max_iter: Count | None = Field(
        default=None,
        description="maximum number of iterations per learner; required if there is no `stop`",
        examples=["15"],
    )
    tasks: Annotated[dict[TaskName, Task], BeforeValidator(forms.bounded_tasks)] = Field(
        description="name → task, in the order in which they run",
        examples=["{simulation: {executable: python sim.py}}"],
    )
    before: OnceTasks = Field(
        default={},
        description="name → task: tasks that run once per learner, before its first iteration",
        examples=["{bootstrap: {executable: python bootstrap.py}}"],
    )
    after: OnceTasks = Field(
        default={},
        description="name → task: tasks that run once per learner, after its last iteration",
        examples=["{gather: {executable: python gather.py}}"],
    )
    setup: OnceTasks = Field(
        default={},
        description="name → task: tasks that run once per campaign, before all learners, in the directory `{shared}`",
        examples=["{pool: {executable: python make_pool.py}}"],
    )
    finish: OnceTasks = Field(
        default={},
        description="name → task: tasks that run once per campaign, when all learners have ended",
        examples=["{table: {executable: rose export, args: [-o, table.csv]}}"],
    )
    parameters: Annotated[dict[ParameterName, ParameterValue], BeforeValidator(forms.bounded_parameters)] = Field(
        default={},
        description="name → value: known as {name} wherever placeholders are, and by name in expressions",
        examples=["{n_start: 100}"],
    )
    stop: Annotated[AnyStop, BeforeValidator(forms.refuse_bare_criteria)] | None = Field(
        default=None,
        description="the criterion, or several under `any` or `all`",
        examples=["{metric: mse, threshold: 0.1, executable: python check_mse.py}"],
    )
    learners: Annotated[
        tuple[Annotated[Learner, BeforeValidator(forms.normalize_learner)], ...],
        BeforeValidator(_learners),
        shapes.LEARNERS,
    ] = Field(description="a list, or a number of identical learners", examples=["3"])
    seed: Seed = Field(default=0, description="the seed of each learner is derived from it", examples=["2024"])
    files: Files = Field(default=(), description="initial contents of every workspace", examples=["[data.csv]"])
    env: dict[VariableName, VariableValue] = Field(
        default={}, description="environment variables of every task", examples=["{OMP_NUM_THREADS: 1}"]
    )
    pre_exec: ShellLines = Field(
        default=(), description="shell lines that run before every task", examples=["[module load python]"]
    )
    retries: Annotated[Retries, BeforeValidator(forms.normalize_retries), shapes.RETRIES] | None = Field(
        default=None, description="for every task", examples=["3"]
    )
    timeout: Duration | None = Field(default=None, description="for every task", examples=["30m"])
    on_failure: OnFailureWord = Field(default="stop_learner", description="for every task", examples=["continue"])
    preload: Modules | None = Field(default=None, description="for every task that runs Python", examples=["auto"])
    limits: Limits = Field(
        default=Limits.model_construct(),
        description="limits of the whole run",
        examples=["{wall_time: 11h30m}"],
    )
    keep: Keep = Field(
        default=Keep.model_construct(),
        description="what to keep of finished iterations",
        examples=["{logs: 10}"],
    )
    stop_campaign: StopCampaign | None = Field(
        default=None, description="when to stop the remaining learners", examples=["{after_converged: 1}"]
    )
    smoke: Smoke = Field(
        default=Smoke.model_construct(),
        description="overrides everything else in `rose run --smoke`",
        examples=["{max_iter: 1}"],
    )
    track: Annotated[tuple[Any, ...], PlainValidator(forms.trackers), shapes.TRACK] = Field(  # of forms.Tracked
        default=(),
        description="experiment trackers that get the results: a name, a list, or name → settings",
        examples=["tensorboard"],
    )
    notify: Annotated[Notify, BeforeValidator(forms.normalize_notify), shapes.NOTIFY] | None = Field(
        default=None,
        description="a command that gets a summary as JSON when a session has ended",
        examples=["./tell.sh"],
    )
    sweep: Sweep | None = Field(
        default=None,
        description="makes learners: every entry of `learners` at every point",
        examples=["{grid: {training.--lr: [0.1, 0.01]}}"],
    )
    prune: Annotated[Prune, BeforeValidator(forms.normalize_prune), shapes.PRUNE] | None = Field(
        default=None,
        description="ends learners that are clearly behind the others: a rule, or a mapping",
        examples=["{rule: median, min_iter: 5}"],
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_empty_keys(cls, value: object) -> object:
        """A key with no value, such as `env:` with all its lines commented out, counts as not given."""
        if not isinstance(value, dict):
            return value
        if value.get("sweep") is not None and "learners" not in value:
            value = {**value, "learners": 1}
        return {k: v for k, v in value.items() if v is not None or k not in cls.model_fields or k in _NEEDED}

    @property
    def per_learner(self) -> dict[str, Task]:
        """All tasks of a learner, in order."""
        return {**self.before, **self.tasks, **self.after} if self.before or self.after else self.tasks

    @property
    def per_campaign(self) -> dict[str, Task]:
        return {**self.setup, **self.finish}

    @model_validator(mode="after")
    def _names_its_tasks_apart(self) -> Campaign:
        fail_if_any(forms.shared_names({section: getattr(self, section) for section in TASK_SECTIONS}))
        return self

    @model_validator(mode="after")
    def _check_size(self) -> Campaign:
        """Every learner has every task: the size of the plan grows with both."""
        learners, below = len(self.learners), "learners"
        if self.sweep is not None:
            points = self.sweep.most_points(learners)
            learners, below = learners * points, "sweep"
        commands = len(self.per_learner) * learners
        if learners > MAX_LEARNERS:
            most = f"at most {MAX_LEARNERS:,} are allowed: list fewer values, or add max_learners to draw some"
            fail("too-large", f"the sweep makes {learners:,} learners", most, below=(below,))
        if commands > MAX_COMMANDS:
            message = f"{learners} learners with {len(self.per_learner)} tasks each are {commands} commands"
            fail("too-large", message, f"at most {MAX_COMMANDS} are allowed", below=(below,))
        return self


MAX_COMMANDS = 1_000_000

_NEEDED = ("tasks", "learners")

LEARNER_KEYS = frozenset(Learner.model_fields)

TASK_SECTIONS = ("setup", "before", "tasks", "after", "finish")
"""The keys that tasks are declared under, in the order in which they run."""

RESERVED_TASK_NAMES = LEARNER_KEYS | set(Smoke.model_fields) | {"criterion", "hold"}
