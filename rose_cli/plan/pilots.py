"""The engine compiled, and what is wrong with what a pilot is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.diagnostic import Finding, Severity, did_you_mean
from rose_cli.plan.model import EnginePlan, PilotPlan
from rose_cli.spec.engines import PILOT_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.engine.gpus import VisibleGpus
    from rose_cli.engine.labels import ResourceLabel
    from rose_cli.plan.model import LearnerPlan
    from rose_cli.plan.surroundings import Surroundings
    from rose_cli.spec.campaign import Engine

_ON_A_NODE = (("cores", "cores_per_node", "core"), ("gpus", "gpus_per_node", "GPU"))


def compile_engine(engine: Engine, around: Surroundings) -> EnginePlan:
    if engine.kind == "local":
        gpus = len(engine.gpus) if engine.gpus and not any(engine.gpus) else engine.gpus
        return EnginePlan("local", engine.cores, gpus, engine.grace)
    pilot = PilotPlan(
        engine.resource, engine.runtime, engine.nodes, engine.project, engine.queue, engine.access_schema,
        engine.restarts,
    )  # fmt: skip
    gpus = tuple(str(number) for number in range(pilot_gpus(engine, around)))
    return EnginePlan("radical.pilot", pilot_cores(engine, around), gpus, engine.grace, pilot)


def local_stand_in(engine: Engine, learners: Sequence[LearnerPlan], around: Surroundings) -> EnginePlan:
    """The local engine, where a smoke run tries what is meant for a pilot: with as much as its largest task wants."""
    if engine.kind == "local":
        return compile_engine(engine, around)
    wanted = [command.resources for learner in learners for step in learner.all_steps for command in step.commands]
    cores = max((resources.cores for resources in wanted), default=1)
    gpus = max((resources.gpus for resources in wanted), default=0)
    enough = None if cores <= around.machine.cores else cores
    visible = around.gpus
    there = gpus if visible is None or len(visible.ids) >= gpus else tuple(str(number) for number in range(gpus))
    return EnginePlan("local", enough, there, engine.grace)


def pilot_cores(engine: Engine, around: Surroundings) -> int | None:
    """What a pilot has: as asked for, else all of its nodes; None where that is this machine, or not known."""
    label = _label(engine, around)
    if engine.cores is not None or label is None or label.cores_per_node is None:
        return engine.cores
    if label.forks and engine.nodes is None:  # whatever such a label claims, it is this machine
        return None
    return (engine.nodes or 1) * label.cores_per_node


def pilot_gpus(engine: Engine, around: Surroundings) -> int:
    """As asked for; whole nodes of another machine come with theirs."""
    label = _label(engine, around)
    if "gpus" in engine.model_fields_set or engine.nodes is None or label is None or label.forks:
        return len(engine.gpus)
    return engine.nodes * (label.gpus_per_node or 0)


def engine_gpus(engine: Engine, around: Surroundings) -> int:
    """What tasks can have at most: of a number, no more than the session may use."""
    if engine.kind != "local":
        return pilot_gpus(engine, around)
    visible = None if any(engine.gpus) else around.gpus
    return len(engine.gpus) if visible is None else min(len(engine.gpus), len(visible.ids))


def node_of(engine: Engine, around: Surroundings) -> ResourceLabel | None:
    """What a single node has, where it is not this machine: no rank can have more."""
    label = _label(engine, around)
    return None if label is None or label.forks else label


def engine_cores(engine: Engine, around: Surroundings) -> int | None:
    """What tasks can have at most; None where that is not known."""
    asked = engine.cores if engine.kind == "local" else pilot_cores(engine, around)
    return around.machine.cores if asked is None and runs_here(engine, around) else asked


def engine_memory_mb(engine: Engine, around: Surroundings) -> int | None:
    """Megabytes that tasks can have at most; None where that is not known."""
    if runs_here(engine, around):
        return around.machine.memory_mb
    label = _label(engine, around)
    if label is None or label.memory_mb_per_node is None:
        return None
    return (engine.nodes or 1) * label.memory_mb_per_node


def runs_here(engine: Engine, around: Surroundings) -> bool:
    """Whether tasks are processes of this machine."""
    label = _label(engine, around)
    return engine.kind == "local" or (label is not None and label.forks)


def _label(engine: Engine, around: Surroundings) -> ResourceLabel | None:
    return (around.labels or {}).get(engine.resource) if engine.kind == "radical.pilot" else None


def check_engine(engine: Engine, around: Surroundings) -> Iterator[Finding]:
    if around.broken.touches(("engine", "kind")):
        return
    if engine.kind == "local":
        yield from _check_foreign(engine)
        yield from _check_cores(engine, around.machine.cores)
        yield from _check_visible(engine, around.gpus)
        return
    if any(engine.gpus) and engine.gpus != tuple(str(number) for number in range(len(engine.gpus))):
        hint = f"write gpus: {len(engine.gpus)}; which ones they are is for the pilot to say"
        yield Finding("wrong-value", "a pilot is asked for a number of GPUs, not for ids", ("engine", "gpus"), hint)
    if around.labels is None:
        message = "radical.pilot is not installed here: its resource label is not checked, and `rose run` cannot start"
        hint = "install it into this environment: pip install 'rose-cli[pilot]' (brings packages under GPL and AGPL)"
        yield Finding("not-installed", message, ("engine",), hint, Severity.WARNING)
    elif not around.broken.touches(("engine", "resource")):
        yield from _check_label(engine, around.labels)


def _check_foreign(engine: Engine) -> Iterator[Finding]:
    for key in PILOT_KEYS:
        if key in engine.model_fields_set:
            hint = f"take it out, or write kind: radical.pilot beside '{key}'"
            yield Finding("unused-key", f"'{key}' is for a pilot, and this is the local engine", ("engine", key), hint,
                          at_key=True)  # fmt: skip


def _check_cores(engine: Engine, there: int) -> Iterator[Finding]:
    """Campaigns are written on one machine and run on another: that it fits here is not for certain what is meant."""
    if engine.cores is not None and engine.cores > there:
        hint = f"write cores: {there}, or take it out: rose then uses as many as there are"
        yield Finding("too-many-resources", few_cores(engine.cores, there), ("engine", "cores"), hint, Severity.WARNING)


def few_cores(asked: int, there: int) -> str:
    """What is to be said where the local engine is told of more cores than this process may use."""
    return f"the engine counts on {asked} cores, and rose may use {there} here: tasks may slow each other down"


def _check_visible(engine: Engine, visible: VisibleGpus | None) -> Iterator[Finding]:
    if visible is None:
        return
    at, asked, there = ("engine", "gpus"), len(engine.gpus), len(visible.ids)
    hidden = [gpu for gpu in engine.gpus if visible.lacks(gpu)]
    if not any(engine.gpus) and asked > there:
        yield Finding("too-many-resources", few_gpus(asked, visible), at, gpu_advice(there), Severity.WARNING)
    elif any(engine.gpus) and hidden:
        named = f"GPU {hidden[0]} is" if len(hidden) == 1 else f"GPUs {', '.join(hidden)} are"
        message = f"{named} not among those that {visible.source} leaves: somebody else may be using {_them(hidden)}"
        hint = f"write gpus: {asked}, for any {asked} that this session may use"
        yield Finding("not-visible", message, at, hint, Severity.WARNING)


def few_gpus(asked: int, visible: VisibleGpus) -> str:
    """What is to be said where a session may use fewer GPUs than the engine asks for."""
    there = len(visible.ids)
    return f"the engine asks for {asked} GPU{'s' if asked > 1 else ''}, and {visible.source} leaves {there or 'none'}"


def gpu_advice(there: int) -> str:
    return f"ask for at most {there}, or get more from the batch system" if there else "run this where GPUs are visible"


def _them(several: Sequence[str]) -> str:
    return "it" if len(several) == 1 else "them"


def _check_label(engine: Engine, labels: dict[str, ResourceLabel]) -> Iterator[Finding]:
    at, label = ("engine", "resource"), labels.get(engine.resource)
    if label is None:
        hint = did_you_mean(engine.resource, labels) or _same_site(engine.resource, labels)
        yield Finding("unknown-resource", f"radical.pilot knows no resource '{engine.resource}'", at, hint)
        return
    if engine.access_schema is not None and label.schemas and engine.access_schema not in label.schemas:
        hint = did_you_mean(engine.access_schema, label.schemas) or f"it has {', '.join(label.schemas)}"
        message = f"'{engine.resource}' has no access schema '{engine.access_schema}'"
        yield Finding("wrong-value", message, ("engine", "access_schema"), hint)
    for key in label.mandatory:
        if key in PILOT_KEYS and getattr(engine, key) is None:
            message = f"'{engine.resource}' needs a '{key}'"
            yield Finding("missing-key", message, ("engine", key), f"add {key}: to 'engine'")
    if engine.nodes is not None:
        yield from _check_nodes(engine, label, engine.nodes)


def _check_nodes(engine: Engine, label: ResourceLabel, nodes: int) -> Iterator[Finding]:
    asked = {"cores": engine.cores or 0, "gpus": len(engine.gpus)}
    for key, field, what in _ON_A_NODE:
        each = getattr(label, field)
        if each is not None and asked[key] > nodes * each and not label.forks:
            message = f"{asked[key]} {what}s on {nodes} node{'s' if nodes > 1 else ''} of {each}"
            yield Finding(
                "too-many-resources", message, ("engine", key), f"ask for at most {nodes * each}, or more nodes"
            )


def _same_site(resource: str, labels: dict[str, ResourceLabel]) -> str:
    site = resource.partition(".")[0] + "."
    near = [name for name in labels if name.startswith(site)] or sorted({name.partition(".")[0] for name in labels})
    what = f"those of '{site[:-1]}' are" if near[0].startswith(site) else "it is site.machine, with the sites"
    return f"{what} {', '.join(near[:20])}"
