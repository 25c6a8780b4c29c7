"""Compiles a campaign into a plan: layers merged, criteria completed, paths made absolute."""

from __future__ import annotations

import hashlib
import os
import os.path
import re
from dataclasses import field, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli.config.command import written_number
from rose_cli.config.expression.compiler import Expression
from rose_cli.config.iterations import REST, sorted_spans
from rose_cli.config.models import PLAIN_LEARNER, Campaign, Iterations, Learner, TaskFields
from rose_cli.config.placeholders import pieces_of
from rose_cli.config.replica_types import Axes
from rose_cli.config.rules import AUTO
from rose_cli.engine.base import Resources
from rose_cli.plan.criteria import compiled_criterion, criteria_of, merged_stop
from rose_cli.plan.engine import compile_engine, local_stand_in
from rose_cli.plan.model import (
    SHARED_INDEX,
    Adaptive,
    CommandPlan,
    CriterionPlan,
    FilePlan,
    Keep,
    LearnerPlan,
    Limits,
    NotifyPlan,
    Number,
    OptionScalar,
    OptionValue,
    Plan,
    PrunePlan,
    StepPlan,
    StopRule,
    TrackerPlan,
    criterion_task,
)
from rose_cli.plan.sweep import Layers, Namer, axes_of, points_or_one
from rose_cli.plan.words import is_python, looked_up
from rose_cli.util.dataclass import dataclass
from rose_cli.util.shared import SHARED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rose_cli.config.command import CommandLine, GivenOption
    from rose_cli.config.models import File, Override, Prune, Task
    from rose_cli.config.replica_types import GivenReplicas
    from rose_cli.plan.context import CheckContext
    from rose_cli.plan.sweep import Axis


@dataclass(frozen=True)
class Inherited:
    """The settings that all tasks of a learner inherit: the campaign's and the learner's own."""

    campaign: Campaign
    learner: Learner
    beside: Callable[[tuple[str, ...]], tuple[int, ...]] = lambda _: ()
    """The positions of the words of a command that name files beside the campaign file."""

    @cached_property
    def parameters(self) -> dict[str, OptionScalar]:
        """The campaign's, with the learner's own values."""
        given = {**self.campaign.parameters, **(self.learner.parameters or {})}
        return {name: _number_or(value) for name, value in given.items()}

    @property
    def pre_exec(self) -> tuple[str, ...]:
        return (*self.campaign.pre_exec, *(self.learner.pre_exec or ()))


def merge(inherited: Inherited, layers: Sequence[TaskFields]) -> CommandPlan:
    """The command that `layers` define, the task's declaration first.

    `options`, `adaptive` and `env` are merged key by key (`None` removes a key), all other fields are replaced. An
    environment variable of the learner overrides that of the task; one of the learner's own task overrides both.
    """
    declared, *particular = layers
    variables = [inherited.campaign.env, declared.env, inherited.learner.env, *(layer.env for layer in particular)]
    retries = _last(layers, "retries", inherited.campaign.retries)
    ranks = _last(layers, "ranks", None) or 1
    line, shell = _command_line(layers)
    command = CommandPlan(
        words=line.words,
        shell=shell,
        args=() if line.function else _last(layers, "args", None) or (),
        options=_options(layers, for_function=line.function),
        environment=_variables(variables),
        pre_exec=(*inherited.pre_exec, *(_last(layers, "pre_exec", None) or ())),
        timeout_seconds=_last(layers, "timeout", inherited.campaign.timeout),
        retries=retries.times if retries else 0,
        retry_pause_seconds=retries.pause if retries else 0.0,
        on_failure=_last(layers, "on_failure", None) or inherited.campaign.on_failure,
        **_replicas(_last(layers, "replicas", None)),
        when=_condition(_last(layers, "when", None)),
        ranks=ranks,
        resources=_resources(layers, ranks),
        snapshot=bool(_last(layers, "snapshot", None)),
        beside=() if shell or line.function else inherited.beside(line.words),
        function=line.function,
    )
    if inherited.parameters:
        command = replace(command, parameters=_used(command, inherited.parameters))
    return command if why_never_warm(command) else replace(command, preload=preloaded(inherited, layers))


def _replicas(given: GivenReplicas) -> dict[str, Any]:
    if isinstance(given, Axes):
        return {"replicas": given.count, "replica_axes": given.names}
    return {"replicas": 1, "replicas_from": given.text} if isinstance(given, Expression) else {"replicas": given or 1}


def _condition(given: Expression | None) -> str | None:
    """None for a condition that always holds."""
    return None if given is None or given.text == "True" else given.text


def _used(command: CommandPlan, parameters: Mapping[str, OptionScalar]) -> dict[str, OptionScalar]:
    """The parameters that a command uses. A function may take any by its name."""
    if command.function:
        return dict(parameters)
    used = {name for text in command.texts for _, name, _ in pieces_of(text) if name is not None}
    used.update(word for text in command.expressions for word in _WORD.findall(text))
    return {name: value for name, value in parameters.items() if name in used}


_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def preloaded(inherited: Inherited, layers: Sequence[TaskFields]) -> tuple[str, ...]:
    """The modules that the layers name for a task, or only `AUTO`, as for a function without a value."""
    modules: tuple[str, ...] | None = _last(layers, "preload", inherited.campaign.preload or None)
    is_open = inherited.campaign.preload is None and not any("preload" in layer.model_fields_set for layer in layers)
    return (AUTO,) if is_open and _command_line(layers)[0].function else modules or ()


def why_never_warm(command: CommandPlan) -> str | None:
    """Why no engine can start a command with modules imported already; None if one might."""
    if command.shell:
        return "a shell runs the command"
    if not is_python(command.words):
        return "the program is not Python"
    if command.ranks > 1:
        return "an MPI launcher starts its ranks"
    return "'pre_exec' runs before it in a shell" if command.pre_exec else None


def _command_line(layers: Sequence[TaskFields]) -> tuple[CommandLine, bool]:
    """The command or the function of the last layer that has one, and whether a shell runs it."""
    return [(layer.executable, bool(layer.shell)) for layer in layers if layer.executable is not None][-1]


def _last(layers: Sequence[TaskFields], field: str, default: Any) -> Any:  # noqa: ANN401 - the field's own type
    """The value in the last layer that defines the field, even if it is `null`."""
    for layer in reversed(layers):
        if field in layer.model_fields_set:
            return getattr(layer, field)
    return default


def _options(layers: Sequence[TaskFields], *, for_function: bool) -> dict[str, OptionValue]:
    """In the order in which they first appear, even if a `null` removes one in between."""
    merged: dict[str, OptionValue | None] = {}
    written = _as_written if for_function else _as_argument
    for layer in layers:
        merged.update({name: written(value) for name, value in (layer.options or {}).items()})
        merged.update({name: Adaptive(e.text) if e else None for name, e in (layer.adaptive or {}).items()})
    return {name: value for name, value in merged.items() if value is not None}


def _as_argument(value: OptionValue | None) -> OptionValue | None:
    """In a list, `true` is not a flag, but an argument, and is passed as written."""
    if isinstance(value, tuple):
        value = tuple(str(entry).lower() if isinstance(entry, bool) else entry for entry in value)
    return _as_written(value)


def _as_written(value: OptionValue | None) -> OptionValue | None:
    if isinstance(value, tuple):
        return tuple(_number_or(entry) for entry in value)
    return value if value is None or isinstance(value, Adaptive) else _number_or(value)


def _number_or(value: OptionScalar) -> OptionScalar:
    text = written_number(value)
    return value if text is None else Number(text)


def _variables(layers: Sequence[Mapping[str, str | None] | None]) -> dict[str, str]:
    merged: dict[str, str | None] = {}
    for layer in layers:
        merged.update(layer or {})
    return {name: value for name, value in merged.items() if value is not None}


def _resources(layers: Sequence[TaskFields], ranks: int) -> Resources:
    return Resources(
        cores=ranks * (_last(layers, "cores_per_rank", None) or 1),
        gpus=ranks * (_last(layers, "gpus_per_rank", None) or 0),
        memory_mb=ranks * (_last(layers, "mem_per_rank", None) or 0),
    )


@dataclass(frozen=True)
class Overlay:
    """The overrides of a smoke run for every learner: options by task, and the number of iterations."""

    is_smoke: bool = False
    max_iter: int | None = None
    tasks: Mapping[str, Override] = field(default_factory=dict)

    @classmethod
    def smoke(cls, campaign: Campaign) -> Overlay:
        return cls(is_smoke=True, max_iter=campaign.smoke.max_iter, tasks=campaign.smoke.overrides)


def compile_plan(campaign: Campaign, ctx: CheckContext, overlay: Overlay | None = None) -> Plan:
    overlay = overlay or Overlay()
    compiler = _Compiler(campaign, ctx.campaign_dir, overlay)
    limits = campaign.limits
    learners = tuple(compiler.learners())
    shared = compiler.shared(learners)
    return Plan(
        campaign=campaign.name or ctx.campaign_file.stem,
        campaign_file=str(ctx.campaign_file),
        campaign_dir=str(ctx.campaign_dir),
        engine=local_stand_in(campaign.engine, learners if shared is None else (shared, *learners), ctx)
        if overlay.is_smoke
        else compile_engine(campaign.engine, ctx),
        learners=learners,
        shared=shared,
        limits=Limits(
            limits.max_parallel_learners,
            limits.wall_time,
            limits.same_failure,
            limits.output,
            limits.files,
            limits.workspace,
        ),
        stop_after_converged=campaign.stop_campaign.after_converged if campaign.stop_campaign else None,
        keep=Keep(campaign.keep.logs),
        prune=None if overlay.is_smoke else _prune(campaign.prune),
        notify=None if overlay.is_smoke else compiler.notify,
        track=() if overlay.is_smoke else tuple(TrackerPlan(each.name, each.settings) for each in campaign.track),
    )


def _prune(given: Prune | None) -> PrunePlan | None:
    if given is None:
        return None
    metric = None if given.metric is None else given.metric.strip()
    return PrunePlan(given.rule, given.min_iter, given.min_learners or 5, given.factor or 3, metric)


def learner_name(learner: Learner, index: int) -> str:
    return learner.name or f"learner-{index}"


def learner_seed(campaign_seed: int, name: str) -> int:
    """A learner's own seed: 31 bits of SHA-256 over the campaign's seed and the learner's name.

    It depends on the name, not the position, so that a learner keeps its seed if others are added or removed.
    """
    digest = hashlib.sha256(f"{campaign_seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


@dataclass(frozen=True)
class _Compiler:
    campaign: Campaign
    campaign_dir: Path
    overlay: Overlay

    @cached_property
    def _beside(self) -> Callable[[tuple[str, ...]], tuple[int, ...]]:
        """Looks up each command once, even if many learners share it."""
        return cache(partial(looked_up, campaign_dir=str(self.campaign_dir)))

    @property
    def notify(self) -> NotifyPlan | None:
        """With the variables of the campaign, but without its `pre_exec`, timeout and retries."""
        given = self.campaign.notify
        if given is None:
            return None
        merged = merge(Inherited(self.campaign, PLAIN_LEARNER, self._beside), [given.command])
        command = replace(merged, pre_exec=(), timeout_seconds=None, retries=0, retry_pause_seconds=0.0, preload=())
        return NotifyPlan(command, given.when, given.timeout)

    def learners(self) -> Iterator[LearnerPlan]:
        """All learners: each entry, or, with a sweep, all entries at one point after the other."""
        entries = [(entry, self._entry(entry, index)) for index, entry in enumerate(self.campaign.learners)]
        if self.campaign.sweep is None:
            for index, (entry, plan) in enumerate(entries):
                yield self._named(plan, learner_name(entry, index), index, entry.seed)
            return
        axes = axes_of(self.campaign.sweep)
        namer, number = Namer(axes), 0
        for point in points_or_one(self.campaign):
            values = dict(zip(axes, point, strict=True))
            for index, (entry, plan) in enumerate(entries):
                found, seed = self._at(values, entry, plan)
                yield self._named(found, namer.name(entry.name, index, point), number, seed)
                number += 1

    def _named(self, plan: LearnerPlan, name: str, index: int, seed: int | None) -> LearnerPlan:
        return replace(
            plan, name=name, index=index, seed=learner_seed(self.campaign.seed, name) if seed is None else seed
        )

    def _entry(self, learner: Learner, index: int) -> LearnerPlan:
        return self._plain if learner.is_plain else self._particular(learner, index)

    def _at(
        self, values: Mapping[Axis, GivenOption], entry: Learner, plan: LearnerPlan
    ) -> tuple[LearnerPlan, int | None]:
        """An entry at a point of the sweep, and its seed: what the entry sets itself has precedence."""
        layers: dict[str, list[TaskFields]] = {}
        own: dict[str, Any] = {}
        for axis, value in values.items():
            if axis.task is not None and (layer := self._layers.layer(axis, value)) is not None:
                layers.setdefault(axis.task, []).append(layer)
            elif axis.task is None:
                own[axis.name] = value
        seed = own.pop("seed", None) if entry.seed is None else entry.seed
        given = {name: value for name, value in own.items() if name in self.campaign.parameters}
        if given:
            entry = entry.model_copy(update={"parameters": {**given, **(entry.parameters or {})}})
            plan = self._particular(entry, plan.index)
        inherited, declared = Inherited(self.campaign, entry, self._beside), self.campaign.per_learner

        def swept(steps: tuple[StepPlan, ...]) -> tuple[StepPlan, ...]:
            if layers.keys().isdisjoint(step.task for step in steps):
                return steps
            return tuple(
                self._step(inherited, step.task, declared[step.task], layers[step.task])
                if step.task in layers
                else step
                for step in steps
            )

        steps, before, after = swept(plan.steps), swept(plan.before), swept(plan.after)
        return replace(plan, steps=steps, before=before, after=after), seed

    @cached_property
    def _layers(self) -> Layers:
        return Layers()

    @cached_property
    def _plain(self) -> LearnerPlan:
        """A learner without settings: others share with it what they do not change."""
        inherited = Inherited(self.campaign, PLAIN_LEARNER, self._beside)
        criteria, rule = self._criteria(inherited, 0)
        return LearnerPlan(
            name="",
            index=0,
            seed=0,
            max_iter=self.overlay.max_iter or self.campaign.max_iter,
            steps=self._steps(inherited, self.campaign.tasks),
            criterion=criteria[0] if criteria else None,
            more_criteria=criteria[1:],
            stop_rule=rule,
            files=tuple(self._file(file) for file in self.campaign.files),
            parameters=inherited.parameters,
            before=self._steps(inherited, self.campaign.before),
            after=self._steps(inherited, self.campaign.after),
        )

    def shared(self, learners: Sequence[LearnerPlan]) -> LearnerPlan | None:
        """What runs once per campaign; without tasks if learners only use the directory; None if nobody does."""
        campaign = self.campaign
        if not campaign.setup and not campaign.finish and not _use_shared(learners):
            return None
        inherited = Inherited(campaign, PLAIN_LEARNER, self._beside)
        return LearnerPlan(
            name=SHARED,
            index=SHARED_INDEX,
            seed=campaign.seed,
            max_iter=None,
            steps=(),
            criterion=None,
            files=self._plain.files,
            parameters=inherited.parameters,
            before=self._steps(inherited, campaign.setup),
            after=self._steps(inherited, campaign.finish),
        )

    def _steps(self, inherited: Inherited, tasks: Mapping[str, Task]) -> tuple[StepPlan, ...]:
        return tuple(self._step(inherited, task, declared) for task, declared in tasks.items())

    def _particular(self, learner: Learner, index: int) -> LearnerPlan:
        plain, inherited = self._plain, Inherited(self.campaign, learner, self._beside)
        changes_all = learner.env is not None or learner.pre_exec is not None
        declared, criteria, rule = self.campaign.per_learner, plain.criteria, plain.stop_rule
        given = learner.parameters or {}

        def is_own(step: StepPlan) -> bool:
            uses = given and any(name in given for command in step.commands for name in command.parameters)
            return changes_all or step.task in learner.schedules or bool(uses)

        def own(steps: tuple[StepPlan, ...]) -> tuple[StepPlan, ...]:
            if not any(map(is_own, steps)):
                return steps
            return tuple(
                self._step(inherited, step.task, declared[step.task]) if is_own(step) else step for step in steps
            )

        if changes_all or given or "stop" in learner.model_fields_set:
            criteria, rule = self._criteria(inherited, index)
        files = (*plain.files, *(self._file(file) for file in learner.files or ()))
        return replace(
            plain,
            max_iter=self.overlay.max_iter or learner.max_iter or self.campaign.max_iter,
            steps=own(plain.steps),
            criterion=criteria[0] if criteria else None,
            more_criteria=criteria[1:],
            stop_rule=rule,
            files=files,
            parameters=inherited.parameters if given else plain.parameters,
            before=own(plain.before),
            after=own(plain.after),
        )

    def _step(self, inherited: Inherited, task: str, declared: Task, swept: Sequence[TaskFields] = ()) -> StepPlan:
        schedule = inherited.learner.schedules.get(task)
        top = self.overlay.tasks.get(task)

        def merged(entry: Override | None) -> CommandPlan:
            return merge(inherited, [layer for layer in (declared, *swept, entry, top) if layer is not None])

        if not isinstance(schedule, Iterations):
            return StepPlan(task, merged(schedule), {}, hold=False)
        otherwise, at = merged(schedule.at.get(REST)), {}
        commands = {key: merged(entry) for key, entry in schedule.at.items() if key != REST}
        if not schedule.has_ranges:
            return StepPlan(task, otherwise, {int(key): command for key, command in commands.items()}, schedule.hold)
        # a range is two starts: its own, and that of what follows
        for span, key in sorted_spans(commands):
            at[span.first] = commands[key]
            at |= {} if span.last is None else {span.last + 1: otherwise}
        return StepPlan(task, otherwise, at, hold=True)

    def _criteria(self, inherited: Inherited, index: int) -> tuple[tuple[CriterionPlan, ...], StopRule]:
        """The campaign's criteria with the learner's overrides, without those that lack a source of their value."""
        found = criteria_of(self.campaign, inherited.learner, index)
        criteria: list[CriterionPlan] = []
        for layers in found.criteria:
            fields = [each for _, each in layers]
            stop = merged_stop(fields)
            if stop.metric is None or (stop.value is None and not any(each.executable for each in fields)):
                continue
            step = None
            if stop.value is None:
                step = StepPlan(criterion_task(len(criteria)), merge(inherited, fields), {}, hold=False)
            criteria.append(compiled_criterion(stop, step))
        return tuple(criteria), found.rule

    def _file(self, file: File) -> FilePlan:
        source = os.path.normpath(self.campaign_dir / file.path)
        fixed = os.path.isabs(file.path)  # noqa: PTH117
        return FilePlan(source, target_of(file, self.campaign_dir), copied=file.copy_, fixed=fixed)


def _use_shared(learners: Sequence[LearnerPlan]) -> bool:
    """Whether a task names the shared workspace."""
    steps = {id(step): step for learner in learners for step in learner.all_steps}.values()
    return any("{shared}" in text for step in steps for command in step.commands for text in command.texts)


def with_learners(plan: Plan, names: frozenset[str]) -> Plan:
    """The plan with only the named learners, which keep their index and seed."""
    return replace(plan, learners=tuple(learner for learner in plan.learners if learner.name in names))


def target_of(file: File, campaign_dir: Path) -> str:
    """Its path in the workspace: the same relative path, so that scripts find it; of files from elsewhere the name."""
    relative = os.path.relpath(os.path.normpath(campaign_dir / file.path), campaign_dir)
    return os.path.normpath(file.to or (Path(file.path).name if relative.startswith("..") else relative))
