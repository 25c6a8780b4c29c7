"""Checks the program, the resources and the snapshot of every command, each once."""

from __future__ import annotations

import re
import shutil
from dataclasses import field, replace
from typing import TYPE_CHECKING

from rose_cli.check.engine import gpu_advice
from rose_cli.check.functions import FunctionChecker
from rose_cli.check.literals import RANK_LAUNCHERS, ShellLineChecker
from rose_cli.check.origin import Layer, declaration, depending, origin_of, stop_layers, task_layers, word_location
from rose_cli.check.programs import ProgramChecker
from rose_cli.check.python_tasks import PreloadChecker
from rose_cli.check.replicas import check_axes
from rose_cli.config.iterations import REST
from rose_cli.config.models import PLAIN_LEARNER, Iterations, Learner, TaskFields
from rose_cli.engine.machine import usable_cores, usable_memory
from rose_cli.engine.placement import fitting_ranks, of_one_rank, why_impossible
from rose_cli.plan.compile import Inherited, merge
from rose_cli.plan.engine import engine_cores, engine_gpus, engine_memory_mb, job_of, node_of, runs_here
from rose_cli.plan.sweep import options_by_task
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Diagnostic, KeyPath, Severity
from rose_cli.util.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rose_cli.config.models import Campaign, Engine, Override
    from rose_cli.engine.base import Capacity
    from rose_cli.engine.labels import ResourceLabel
    from rose_cli.engine.machine import Share
    from rose_cli.plan.context import CheckContext
    from rose_cli.plan.model import CommandPlan, LearnerPlan

_ONLY_ARGUMENTS = frozenset({"options", "adaptive", "args"})


@dataclass
class CommandChecker:
    campaign: Campaign
    ctx: CheckContext
    _seen: set[KeyPath] = field(default_factory=set)

    def __post_init__(self) -> None:
        is_local, sweep = self.campaign.engine.kind == "local", self.campaign.sweep
        swept = options_by_task(sweep) if sweep is not None else {}
        self._functions = FunctionChecker(self.ctx, is_local=is_local, swept=swept)
        self._programs = ProgramChecker(self.campaign, self.ctx)
        self._preload = PreloadChecker(self.campaign.engine, self.ctx)
        self._lines = ShellLineChecker(self.campaign, self.ctx)
        self._unseen = list(self.campaign.per_learner)

    @property
    def functions(self) -> FunctionChecker:
        return self._functions

    def check_shared(self, plan: LearnerPlan) -> Iterator[Diagnostic]:
        """The commands that run once per campaign."""
        for step in plan.all_steps:
            if (declared := declaration(self.campaign, step.task)) is not None:
                yield from self._check(step.otherwise, [declared])

    def check_learner(self, plan: LearnerPlan, learner: Learner) -> Iterator[Diagnostic]:
        """The commands that this learner changes, and the unchanged ones that no earlier learner runs."""
        every = (*plan.before, *plan.steps, *plan.after) if self._unseen or learner.schedules else ()
        steps = {step.task: step for step in every}
        declared = [task for task in self._unseen if _runs_as_declared(learner.schedules.get(task))]
        self._unseen = [task for task in self._unseen if task not in declared] if declared else self._unseen
        for task in declared:
            if (layer := declaration(self.campaign, task)) is not None:
                yield from self._check(steps[task].otherwise, [layer])
        for task in learner.schedules:
            for first, layers in task_layers(self.campaign, learner, plan.index, task) if task in steps else ():
                command = steps[task].otherwise if first == REST else steps[task].command(first)
                if not _is_declared(layers[0].fields):
                    yield from self._check(command, layers)
                else:
                    yield from self._functions.check(command, layers)
        for criterion, own in zip(plan.criteria, stop_layers(self.campaign, learner, plan.index), strict=False):
            if criterion.step is not None:
                yield from self._check(criterion.step.otherwise, own)

    def check_swept(self, command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Diagnostic]:
        """A command at a value of a sweep."""
        yield from self._check(command, layers)

    def check_smoke(self) -> Iterator[Diagnostic]:
        inherited = Inherited(self.campaign, PLAIN_LEARNER)
        for task, override in self.campaign.smoke.overrides.items():
            declared = declaration(self.campaign, task)
            if declared is not None:
                layers: list[Layer[TaskFields]] = [Layer(("smoke", task), override), declared]
                command = merge(inherited, [declared.fields, override])
                yield from (
                    self._functions.check(command, layers) if _is_declared(override) else self._check(command, layers)
                )

    def _check(self, command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Diagnostic]:
        if layers[0].path not in self._seen:
            self._seen.add(layers[0].path)
            yield from self._functions.check(command, layers)
            yield from self._programs.check(command, layers)
            yield from self._lines.check(command, layers)
            yield from check_resources(command, layers, self.campaign.engine, self.ctx)
            yield from check_snapshot(command, layers)
            yield from check_axes(command, layers, self.campaign.parameters or ())
            yield from check_start(command, layers, self.campaign.engine)
            yield from self._preload.check(command, layers)


def _is_declared(fields: TaskFields) -> bool:
    """Whether a layer leaves program and resources unchanged."""
    return fields.model_fields_set <= _ONLY_ARGUMENTS


def _runs_as_declared(schedule: Iterations | Override | None) -> bool:
    if isinstance(schedule, Iterations):
        return REST not in schedule.at
    return schedule is None or _is_declared(schedule)


def check_resources(
    command: CommandPlan, layers: Sequence[Layer[TaskFields]], engine: Engine, ctx: CheckContext
) -> Iterator[Diagnostic]:
    wanted = command.resources
    at, there = origin_of(layers, "cores_per_rank", "ranks"), engine_cores(engine, ctx)
    hint = f"request at most {there}{_or_more('cores', wanted.cores, there, usable_cores, ctx)}"
    if engine.cores is not None:
        hint += f", or write {_in_engine(engine, 'cores', wanted.cores)}"
    decisive = ("cores",) if engine.cores is not None else ("cores", "kind", "resource", "nodes")
    yield from _check(wanted.cores, there, "core", at, hint, decisive)
    at, gpus = origin_of(layers, "gpus_per_rank", "ranks"), engine_gpus(engine, ctx)
    hint = f"write {_in_engine(engine, 'gpus', wanted.gpus)}, if there are that many"
    if engine.kind == "slurm":
        hint = "request fewer GPUs, or submit the job with more"
    elif gpus is not None and gpus < len(engine.gpus) and ctx.gpus is not None:
        hint = f"{ctx.gpus.source} leaves {gpus or 'none'} of the {len(engine.gpus)}; {gpu_advice(gpus)}"
    yield from _check(wanted.gpus, gpus, "GPU", at, hint, ("gpus",))
    at, there = origin_of(layers, "mem_per_rank", "ranks"), engine_memory_mb(engine, ctx)
    hint = f"request less{_or_more('memory', wanted.memory_mb, there, usable_memory, ctx)}"
    yield from _check(wanted.memory_mb, there, "MB of memory", at, hint, ())
    yield from depending(_check_rank(command, layers, node_of(engine, ctx)), ("engine", "resource"))
    if (job := job_of(engine, ctx)) is not None:
        yield from depending(_check_ranks(command, layers, job), ("engine", "kind"))
    if runs_here(engine, ctx):
        yield from depending(_check_launcher(command, layers, engine, ctx), ("engine", "kind"))


def _or_more(
    what: str, wanted: int, there: int | None, usable: Callable[[Mapping[str, str]], Share], ctx: CheckContext
) -> str:
    """Advice where the batch job, and not this machine, has less than a task requests."""
    if there is None or wanted <= there:
        return ""
    here = usable(ctx.environment)
    is_of_job = here.source.startswith("SLURM_") and here.amount == there
    return f", or submit the job with more {what}: {here.source} leaves {there} here" if is_of_job else ""


def _in_engine(engine: Engine, key: str, count: int) -> str:
    return f"engine: {{{key}: {count}}}" if engine.kind == "local" else f"{key}: {count} in 'engine'"


def _check(
    wanted: int, there: int | None, what: str, path: KeyPath, hint: str, decisive: Iterable[str]
) -> Iterator[Diagnostic]:
    """`there` None: not known. `decisive`: the keys of the engine that say how much there is."""
    if there is not None and wanted > there:
        message = f"requests {_counted(wanted, what)}, but the engine has {there or 'none'}"
        depends_on = tuple(("engine", key) for key in decisive)
        yield Diagnostic("too-many-resources", message, path, hint, depends_on=depends_on)


def _counted(count: int, what: str) -> str:
    return counted(count, what, what if " " in what else None)  # no plural of "MB of memory"


def _check_rank(
    command: CommandPlan, layers: Sequence[Layer[TaskFields]], node: ResourceLabel | None
) -> Iterator[Diagnostic]:
    """A rank runs on a single node, regardless of the number of nodes."""
    if node is None:
        return
    wanted, ranks = command.resources, command.launched_ranks
    for key, each, there, what in (
        ("cores_per_rank", wanted.cores // ranks, node.cores_per_node, "core"),
        ("gpus_per_rank", wanted.gpus // ranks, node.gpus_per_node, "GPU"),
        ("mem_per_rank", wanted.memory_mb // ranks, node.memory_mb_per_node, "MB of memory"),
    ):
        if there is not None and each > max(there, 1 if what == "core" else 0):
            message = f"requests {_counted(each, what)} per rank, but a node has {there or 'none'}"
            hint = f"request at most {there} per rank, and more ranks" if there else "choose nodes that have some"
            yield Diagnostic("too-many-resources", message, origin_of(layers, key, "ranks"), hint)


def _check_ranks(command: CommandPlan, layers: Sequence[Layer[TaskFields]], job: Capacity) -> Iterator[Diagnostic]:
    """A rank runs on a single node of a Slurm job; a shell line is one rank, since it starts its ranks itself."""
    ranks = command.launched_ranks
    if why_impossible(replace(job, nodes=()), command.resources, ranks) is not None:
        return  # reported for the job as a whole
    each = of_one_rank(command.resources, ranks)
    room = fitting_ranks(job, each)
    if room is None or room >= ranks:
        return
    largest = [
        ("cores_per_rank", each.cores, max(node.cores for node in job.nodes), "core"),
        ("gpus_per_rank", each.gpus, max(node.gpus for node in job.nodes), "GPU"),
        ("mem_per_rank", each.memory_mb, max(node.memory_mb or each.memory_mb for node in job.nodes), "MB of memory"),
    ]
    for key, wanted, most, what in largest:
        if wanted > most:
            per = " per rank" if ranks > 1 else ""
            message = f"requests {_counted(wanted, what)}{per} on one node, but no node of the job has more than {most}"
            hint = f"request at most {most}, or split it into ranks, each of which runs on one node"
            yield Diagnostic("too-many-resources", message, origin_of(layers, key, "ranks"), hint)
            return
    message = f"requests {counted(ranks, 'rank')}, but the nodes of the job have room for {room or 'none'} of them"
    hint = "request fewer, or less for each: a rank runs on one node"
    yield Diagnostic("too-many-resources", message, origin_of(layers, "ranks", "cores_per_rank"), hint)


_LAUNCHERS = {"local": ("mpiexec",), "radical.pilot": ("mpirun", "mpiexec")}
"""One of these must be available."""


def _check_launcher(
    command: CommandPlan, layers: Sequence[Layer[TaskFields]], engine: Engine, ctx: CheckContext
) -> Iterator[Diagnostic]:
    """A pilot needs its launcher where rose runs, before any `pre_exec`; the local engine right before the task."""
    launchers = _LAUNCHERS[engine.kind]
    path = ctx.environment.get("PATH", "")
    if engine.kind == "local":
        search = ctx.search_path(command)
        if command.pre_exec or not search.is_whole:
            return
        path = search.known
    if command.launched_ranks > 1 and not any(shutil.which(launcher, path=path) for launcher in launchers):
        names = " or ".join(f"'{launcher}'" for launcher in launchers)
        message = f"{command.ranks} ranks need an MPI launcher, and there is no {names} on PATH"
        yield Diagnostic(
            "missing-program", message, origin_of(layers, "ranks"), "install one (Open MPI, MPICH), or set ranks: 1"
        )


_RANKS = re.compile(r"(?:-n|--ntasks)(?:[ =]?)(\d{1,6})(?!\S)", re.ASCII)


def check_start(command: CommandPlan, layers: Sequence[Layer[TaskFields]], engine: Engine) -> Iterator[Diagnostic]:
    """A launcher in the command starts once more what rose, or its own launcher, has started."""
    words = command.words[0].split() if command.shell else command.words
    launcher = next((word.rpartition("/")[2] for word in words if word != "exec"), "")
    path, inside = word_location(layers, 0)
    if command.launched_ranks > 1 and launcher in RANK_LAUNCHERS:
        message = f"rose starts the {command.ranks} ranks itself, and each of them would start '{launcher}'"
        hint = f"remove '{launcher}' and its options: ranks: {command.ranks} is enough"
        yield Diagnostic("two-launchers", message, path, hint, Severity.WARNING, inside=inside)
    elif launcher == "srun" and engine.kind in _MEANINGS_OF_SRUN:
        found = _RANKS.search(" ".join((*words, *command.args)))
        ranks = f" with ranks: {found[1]}" if found and found[1] != "1" else ""
        message, hint = _MEANINGS_OF_SRUN[engine.kind]
        at, depends = None if command.shell else inside, (("engine", "kind"),)
        hint = hint.format(ranks=ranks)
        yield Diagnostic("srun-in-task", message, path, hint, Severity.WARNING, inside=at, depends_on=depends)


_MEANINGS_OF_SRUN = {
    "local": (
        "'srun' runs the program as a step of the Slurm job, whose cores the local engine does not assign",
        "write the program alone{ranks}; engine: slurm starts every task as a step",
    ),
    "slurm": (
        "rose starts the task with srun itself: this 'srun' makes a second step inside the first",
        "write the program alone{ranks}",
    ),
}


def check_snapshot(command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Diagnostic]:
    """Replicas share a workspace: restoring it for one would remove it from under the others."""
    if command.snapshot and command.is_replicated:
        count = "any" if command.replicas_from is not None else command.replicas
        message = f"'snapshot' cannot be combined with {count} replicas, which share one workspace"
        hint = "remove one of the two, or use a learner for each replica"
        yield Diagnostic("conflicting-keys", message, origin_of(layers, "snapshot", "replicas"), hint, at_key=True)
