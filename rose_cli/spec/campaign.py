"""The campaign as the user wrote it: frozen models of every key that a campaign file may hold.

A field that is None was not given; `model_fields_set` tells a given `null` from that. What a key means is said in its
description, from which the reference in docs/ is made; its first example is what a message shows.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationInfo,
    model_validator,
)

from rose_cli.spec import overrides, shapes
from rose_cli.spec.command_line import ForShell
from rose_cli.spec.names import (
    CampaignName,
    FilledText,
    LearnerName,
    Lines,
    OptionName,
    TaskName,
    Text,
    VariableName,
)
from rose_cli.spec.numbers import (
    Count,
    Difference,
    Duration,
    Megabytes,
    Minutes,
    Natural,
    Number,
    Pause,
    Seed,
    Size,
    ValueRange,
)
from rose_cli.spec.reading import JsonPath, Regex
from rose_cli.spec.rejection import reject
from rose_cli.spec.values import (
    AdaptiveValue,
    Argument,
    Boolean,
    Command,
    FilledFile,
    OnFailureWord,
    Operator,
    OperatorWord,
    Option,
    VariableValue,
)

__all__ = ["Campaign", "Learner", "Operator", "Override", "Smoke", "Task"]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Retries(Model):
    times: Natural = Field(description="how many further attempts a failed step gets", examples=["3"])
    pause: Pause = Field(default=1.0, description="how long to wait before each of them", examples=["30s"])


class TaskFields(Model):
    """What a task declares, and what a learner may lay over it."""

    executable: Command | None = Field(
        default=None,
        description="the command: a string split as a shell splits words, or a list of words",
        examples=["python sim.py"],
    )
    shell: Boolean | None = Field(
        default=None, description="true: `executable` is one line for a shell", examples=["true"]
    )
    args: tuple[Argument, ...] | None = Field(
        default=None, description="positional arguments, before the options", examples=["[data.csv, 5]"]
    )
    options: dict[OptionName, Option] | None = Field(
        default=None,
        description="name → value; `null` takes an option of the layer below away",
        examples=["{--n_labeled: 300}"],
    )
    adaptive: dict[OptionName, AdaptiveValue] | None = Field(
        default=None,
        description="name → expression of i, max_iter, metric, best",
        examples=["{--n_labeled: 100 + i*50}"],
    )
    env: dict[VariableName, VariableValue] | None = Field(
        default=None, description="environment variables", examples=["{OMP_NUM_THREADS: 1}"]
    )
    pre_exec: Lines | None = Field(
        default=None, description="shell lines that run before the command", examples=["[module load python]"]
    )
    timeout: Duration | None = Field(
        default=None, description="an attempt that takes longer is ended and has failed", examples=["30m"]
    )
    retries: Annotated[Retries, BeforeValidator(shapes.retries_form)] | None = Field(
        default=None,
        description="further attempts after a failure: a number, or {times: 3, pause: 30s}",
        examples=["3"],
    )
    on_failure: OnFailureWord | None = Field(
        default=None,
        description="when the last attempt failed: stop_learner, stop_campaign or continue",
        examples=["continue"],
    )
    replicas: Count | None = Field(
        default=None, description="so many at once, each with its own {replica}", examples=["3"]
    )
    snapshot: Boolean | None = Field(
        default=None,
        description="true: an attempt after the first finds the workspace as the first one found it",
        examples=["true"],
    )
    ranks: Count | None = Field(default=None, description="MPI ranks", examples=["4"])
    cores_per_rank: Count | None = Field(default=None, description="processor cores for each rank", examples=["2"])
    gpus_per_rank: Natural | None = Field(default=None, description="GPUs for each rank", examples=["1"])
    mem_per_rank: Megabytes | None = Field(default=None, description="memory for each rank, in MB", examples=["4096"])

    @model_validator(mode="before")
    @classmethod
    def _mark_shell_lines(cls, value: object) -> object:
        """What `executable` may be depends on the key after it."""
        if isinstance(value, dict) and value.get("shell") is True and "executable" in value:
            return {**value, "executable": ForShell(value["executable"])}
        return value


class Task(TaskFields):
    executable: Command = Field(
        description="the command: a string split as a shell splits words, or a list of words",
        examples=["python sim.py"],
    )

    @model_validator(mode="after")
    def _one_value_for_each_option(self) -> Task:
        overrides.refuse_double_options(self.options, self.adaptive)
        return self


class Override(TaskFields):
    """What a learner lays over a task: the full form, or a bare map of options."""

    @model_validator(mode="before")
    @classmethod
    def _full_form(cls, value: object) -> object:
        return overrides.override_form(value, TaskFields.model_fields)

    @model_validator(mode="after")
    def _fits_together(self) -> Override:
        overrides.refuse_double_options(self.options, self.adaptive)
        if self.shell is not None and self.executable is None:
            hint = "give the line for the shell here too, or take 'shell' out"
            reject("conflicting-keys", "'shell' is said of an 'executable' beside it, and there is none", hint,
                   below=("shell",), at_key=True)  # fmt: skip
        return self


IterationKey = Annotated[int, PlainValidator(overrides.iteration_key)]


class Iterations(Model):
    """Overrides by iteration: exact checkpoints, or starts with `hold`."""

    # by an alias that no key of a user can have: errors name it in their location
    at: dict[IterationKey, Override] = Field(alias="<at>")
    hold: Boolean = Field(default=False, description="true: a key counts from its iteration on, not only in it")

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, value: dict[Any, Any]) -> dict[str, Any]:
        entries = {key: entry for key, entry in value.items() if key != "hold"}
        return {"<at>": entries, "hold": value["hold"]} if "hold" in value else {"<at>": entries}


def _schedule_kind(value: object) -> str:
    return "<iterations>" if overrides.is_by_iteration(value) else "<override>"


Schedule = Annotated[
    Annotated[Iterations, Tag("<iterations>")] | Annotated[Override, Tag("<override>")],
    Discriminator(_schedule_kind),
]


class Read(Model):
    """Where the criterion's value stands: the last line of standard output unless said otherwise."""

    file: FilledFile | None = Field(
        default=None,
        description="a file, relative to the workspace, instead of standard output; placeholders are filled in",
        examples=["metrics.json"],
    )
    json_path: JsonPath | None = Field(
        default=None, alias="json", description="keys into a JSON object: `val.mse`", examples=["val.mse"]
    )
    regex: Regex | None = Field(
        default=None, description="the first group of the last match", examples=["'acc=(\\S+)'"]
    )

    @model_validator(mode="after")
    def _one_place(self) -> Read:
        if self.json_path is not None and self.regex is not None:
            message = "'json' and 'regex' cannot both say where the value stands"
            reject("conflicting-keys", message, "take one of the two out", below=("regex",), at_key=True)
        return self


class StopFields(TaskFields):
    metric: FilledText | None = Field(
        default=None, description="a standard metric, or a name of one's own with an operator", examples=["mse"]
    )
    threshold: Number | None = Field(default=None, description="the value to be reached", examples=["0.1"])
    operator: OperatorWord | None = Field(
        default=None, description="the metric stops the learner when metric ∘ threshold", examples=["'<'"]
    )
    range: ValueRange | None = Field(
        default=None,
        description="the values that the metric can take, `null` for an open end (default: those of a standard metric)",
        examples=["[0, 100]"],
    )
    read: Annotated[Read, BeforeValidator(shapes.read_form)] | None = Field(
        default=None,
        description="where the value stands: last_line (default), {json:}, {regex:}, {file:}",
        examples=["{json: val.mse}"],
    )
    patience: Count | None = Field(
        default=None, description="stop after so many iterations without improvement", examples=["5"]
    )
    min_delta: Difference | None = Field(
        default=None, description="what counts as improvement (default 0: anything)", examples=["0.001"]
    )
    min_iter: Count | None = Field(
        default=None, description="never stop before so many iterations are complete", examples=["3"]
    )


class Stop(StopFields):
    """The criterion, checked after the tasks of every iteration."""

    metric: FilledText = Field(
        description="a standard metric, or a name of one's own with an operator", examples=["mse"]
    )
    executable: Command = Field(description="prints the value", examples=["python check_mse.py"])


class StopOverride(StopFields):
    """What a learner lays over the campaign's criterion; with a metric and executable of its own, all of it."""


class File(Model):
    path: FilledText = Field(description="relative to the campaign file", examples=["data.csv"])
    to: FilledText | None = Field(
        default=None, description="the place in the workspace (default: the same relative path)", examples=["data.csv"]
    )
    copy_: Boolean = Field(default=False, alias="copy", description="true: a copy, not a link", examples=["true"])


Files = Annotated[tuple[Annotated[File, BeforeValidator(shapes.file_form)], ...], BeforeValidator(shapes.files_form)]


class Learner(Model):
    """One independent loop. Every further key is the name of a task, with what is laid over it."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Schedule] = Field(init=False)

    name: LearnerName | None = Field(default=None, description="default: learner-<index>", examples=["small-steps"])
    max_iter: Count | None = Field(default=None, description="its own number of iterations", examples=["15"])
    seed: Seed | None = Field(default=None, description="its own seed, as given", examples=["2024"])
    stop: StopOverride | None = Field(
        default=None, description="laid over the campaign's criterion; null: none", examples=["{threshold: 0.05}"]
    )
    files: Files | None = Field(default=None, description="further files of its workspace", examples=["[data.csv]"])
    env: dict[VariableName, VariableValue] | None = Field(
        default=None, description="environment variables", examples=["{OMP_NUM_THREADS: 1}"]
    )
    pre_exec: Lines | None = Field(
        default=None, description="shell lines before each of its commands", examples=["[module load python]"]
    )

    @property
    def schedules(self) -> dict[str, Iterations | Override]:
        return dict(self.__pydantic_extra__ or {})

    @property
    def is_plain(self) -> bool:
        """Whether nothing at all is said of it."""
        return not self.model_fields_set


_PLAIN = Learner()


def _learners(value: object) -> object:
    if isinstance(value, list) and not value:
        reject("no-learners", "there is no learner", "write a number, or a list like [{}]")
    return value if isinstance(value, list | tuple) else (_PLAIN,) * shapes.learner_count(value)


class Engine(Model):
    """Where tasks run."""

    kind: Literal["local", "radical.pilot"] = Field(
        default="local",
        description="local: processes on this machine; radical.pilot: tasks of a pilot",
        examples=["local"],
    )
    cores: Count | None = Field(
        default=None,
        description="how many to use (default: those of this machine, or of the pilot's nodes)",
        examples=["8"],
    )
    gpus: Annotated[tuple[Text, ...], BeforeValidator(shapes.gpu_ids)] = Field(
        default=(), description="their number; on this machine also the ids of those to share out", examples=["[0, 1]"]
    )
    grace: Pause = Field(default=5.0, description="time between TERM and KILL when a task has to end", examples=["10s"])
    resource: FilledText = Field(
        default="local.localhost",
        description="radical.pilot's label of the machine",
        examples=["tacc.frontera"],
    )
    runtime: Minutes = Field(default=30, description="minutes that the pilot is asked for", examples=["120"])
    nodes: Count | None = Field(default=None, description="nodes that the pilot is asked for", examples=["2"])
    project: FilledText | None = Field(default=None, description="the allocation that is charged", examples=["abc123"])
    queue: FilledText | None = Field(default=None, description="the batch system's queue", examples=["normal"])
    access_schema: FilledText | None = Field(
        default=None, description="how to reach the machine, where it has several ways", examples=["interactive"]
    )
    restarts: Natural = Field(
        default=0, description="how many fresh pilots may follow one that was lost", examples=["2"]
    )


class Limits(Model):
    max_parallel_learners: Count | None = Field(
        default=None, description="learners that are under way at once", examples=["8"]
    )
    wall_time: Duration | None = Field(
        default=None, description="stop cleanly before a session takes longer", examples=["11h30m"]
    )
    same_failure: Count | None = Field(
        default=None,
        description="the same failure so many times in a row, over all learners, stops the campaign",
        examples=["5"],
    )
    output: Size | None = Field(
        default=10 * 2**30,
        description="what one attempt may print, stdout and stderr together (default `10 GB`; `null`: any amount)",
        examples=["1 GB"],
    )
    files: Count | None = Field(
        default=None, description="how many files and folders a workspace may hold", examples=["100000"]
    )
    workspace: Size | None = Field(
        default=None, description="how much space a workspace may take up", examples=["50 GB"]
    )


class Keep(Model):
    """What stays of iterations that are over."""

    logs: Count | None = Field(
        default=None,
        description="logs of each learner's last so many iterations, and of its best one (default: of all)",
        examples=["10"],
    )


class StopCampaign(Model):
    after_converged: Count = Field(
        description="end the others once so many learners have met their criterion", examples=["1"]
    )


class Smoke(Model):
    """What `rose run --smoke` lays over the rest. Further keys are tasks, with options for every learner."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Override] = Field(init=False)

    max_iter: Count = Field(default=1, description="iterations of a smoke run", examples=["1"])

    @property
    def overrides(self) -> dict[str, Override]:
        return dict(self.__pydantic_extra__ or {})


def _not_supported(_value: object, info: ValidationInfo) -> object:
    hint = "take it out, and write the learners one by one" if info.field_name == "sweep" else "take it out"
    message = f"'{info.field_name}' is not supported by this version"
    reject("not-supported", message, hint, at_key=True)


NotSupported = Annotated[None, PlainValidator(_not_supported)]


class Campaign(Model):
    """The whole file."""

    name: CampaignName | None = Field(default=None, description="default: the file's stem", examples=["my-campaign"])
    engine: Annotated[Engine, BeforeValidator(shapes.engine_form)] = Field(
        default=Engine(), description="`local`, or a map", examples=["local"]
    )
    max_iter: Count | None = Field(
        default=None, description="iterations per learner; needed where there is no stop", examples=["15"]
    )
    tasks: Annotated[dict[TaskName, Task], BeforeValidator(shapes.tasks_form)] = Field(
        description="name → task, in the order of an iteration", examples=["{simulation: {executable: python sim.py}}"]
    )
    stop: Stop | None = Field(
        default=None,
        description="the criterion",
        examples=["{metric: mse, threshold: 0.1, executable: python check_mse.py}"],
    )
    learners: Annotated[
        tuple[Annotated[Learner, BeforeValidator(shapes.learner_form)], ...], BeforeValidator(_learners)
    ] = Field(description="a list, or a number of learners alike", examples=["3"])
    seed: Seed = Field(default=0, description="each learner's own seed is derived from it", examples=["2024"])
    files: Files = Field(default=(), description="what every workspace starts with", examples=["[data.csv]"])
    env: dict[VariableName, VariableValue] = Field(
        default={}, description="environment variables of every task", examples=["{OMP_NUM_THREADS: 1}"]
    )
    pre_exec: Lines = Field(default=(), description="shell lines before every task", examples=["[module load python]"])
    retries: Annotated[Retries, BeforeValidator(shapes.retries_form)] | None = Field(
        default=None, description="for every task", examples=["3"]
    )
    timeout: Duration | None = Field(default=None, description="for every task", examples=["30m"])
    on_failure: OnFailureWord = Field(default="stop_learner", description="for every task", examples=["continue"])
    limits: Limits = Field(default=Limits(), description="bounds of the whole run", examples=["{wall_time: 11h30m}"])
    keep: Keep = Field(default=Keep(), description="what stays of iterations that are over", examples=["{logs: 10}"])
    stop_campaign: StopCampaign | None = Field(
        default=None, description="when to end the learners that go on", examples=["{after_converged: 1}"]
    )
    smoke: Smoke = Field(
        default=Smoke(), description="laid over the rest by `rose run --smoke`", examples=["{max_iter: 1}"]
    )
    sweep: NotSupported = Field(default=None, description="not supported by this version")
    track: NotSupported = Field(default=None, description="not supported by this version")

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_left_out(cls, value: object) -> object:
        """A key with nothing under it, such as `env:` with all of its lines commented out, is not given."""
        if not isinstance(value, dict):
            return value
        return {k: v for k, v in value.items() if v is not None or k not in cls.model_fields or k in _NEEDED}

    @model_validator(mode="after")
    def _is_of_a_size(self) -> Campaign:
        """Every learner has every task: what is compiled grows with both."""
        commands = len(self.tasks) * len(self.learners)
        if commands > MAX_COMMANDS:
            message = f"{len(self.learners)} learners with {len(self.tasks)} tasks each are {commands} commands"
            reject("too-large", message, f"at most {MAX_COMMANDS} are allowed", below=("learners",))
        return self


MAX_COMMANDS = 1_000_000
_NEEDED = ("tasks", "learners")
LEARNER_KEYS = frozenset(Learner.model_fields)
RESERVED_TASK_NAMES = LEARNER_KEYS | set(Smoke.model_fields) | {"criterion", "hold"}
