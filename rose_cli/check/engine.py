"""Checks the engine's settings against this machine, the Slurm job around rose, and radical.pilot's labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.check.origin import depending
from rose_cli.config.document import foreign_keys
from rose_cli.util.errors import Diagnostic, Severity
from rose_cli.util.text import counted, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.config.models import Engine
    from rose_cli.engine.base import Capacity
    from rose_cli.engine.labels import ResourceLabel
    from rose_cli.engine.machine import VisibleGpus
    from rose_cli.plan.context import CheckContext

_ON_A_NODE = (("cores", "cores_per_node", "core"), ("gpus", "gpus_per_node", "GPU"))


def check_engine(engine: Engine, ctx: CheckContext) -> Iterator[Diagnostic]:
    yield from depending(_check_kind(engine, ctx), ("engine", "kind"))


def _check_kind(engine: Engine, ctx: CheckContext) -> Iterator[Diagnostic]:
    yield from _check_foreign(engine)
    if engine.kind == "local":
        yield from _check_cores(engine, ctx.machine.cores)
        yield from _check_visible(engine, ctx.gpus)
        return
    if any(engine.gpus) and engine.gpus != tuple(str(number) for number in range(len(engine.gpus))):
        who = "Slurm" if engine.kind == "slurm" else "the pilot"
        hint = f"write gpus: {len(engine.gpus)}; {who} chooses which ones"
        message = f"{'a step' if engine.kind == 'slurm' else 'a pilot'} takes a number of GPUs, not their IDs"
        yield Diagnostic("wrong-value", message, ("engine", "gpus"), hint)
    if engine.kind == "slurm":
        yield from _check_job(engine, ctx.allocation)
        return
    if ctx.labels is None:
        message = "radical.pilot is not installed: the resource label is not checked, and `rose run` cannot start"
        hint = "install it into this environment: pip install 'rose-cli[pilot]' (adds packages under GPL and AGPL)"
        yield Diagnostic("not-installed", message, ("engine",), hint, Severity.WARNING)
    else:
        yield from depending(_check_label(engine, ctx.labels), ("engine", "resource"))


_KINDS = {"local": "the local engine", "slurm": "the Slurm engine", "radical.pilot": "a pilot"}


def _check_foreign(engine: Engine) -> Iterator[Diagnostic]:
    for key, kinds in foreign_keys(engine.kind).items():
        if key in engine.model_fields_set:
            theirs, mine = " or ".join(_KINDS[kind] for kind in kinds), _KINDS[engine.kind]
            hint = f"remove it, or write kind: {' or '.join(kinds)} beside '{key}'"
            message = f"'{key}' applies only to {theirs}, and this is {mine}"
            yield Diagnostic("unused-key", message, ("engine", key), hint, at_key=True)


def _check_job(engine: Engine, job: Capacity | None) -> Iterator[Diagnostic]:
    """Nothing where there is no job: campaigns are checked on a laptop and run on a cluster."""
    if job is None:
        return
    asked = {"cores": (engine.cores or 0, job.cores, "core"), "gpus": (len(engine.gpus), len(job.gpus), "GPU")}
    for key, (wanted, there, what) in asked.items():
        if wanted > there:
            hint = "remove it to use all that there are, or request more for the job"
            message = few_in_job(wanted, there, what)
            yield Diagnostic("too-many-resources", message, ("engine", key), hint, Severity.WARNING)


def few_in_job(asked: int, there: int, what: str) -> str:
    """The warning if the engine is set to more than the Slurm job has."""
    return f"the engine is set to {counted(asked, what)}, but the Slurm job has {there or 'none'}: tasks get no more"


def _check_cores(engine: Engine, there: int) -> Iterator[Diagnostic]:
    """A warning only: campaigns are written on one machine and run on another."""
    if engine.cores is not None and engine.cores > there:
        hint = f"write cores: {there}, or remove it to use all that there are"
        yield Diagnostic(
            "too-many-resources", few_cores(engine.cores, there), ("engine", "cores"), hint, Severity.WARNING
        )


def few_cores(asked: int, there: int) -> str:
    """The warning if the local engine is set to more cores than this process may use."""
    return f"the engine is set to {asked} cores, but rose may use only {there} here: tasks may slow each other down"


def _check_visible(engine: Engine, visible: VisibleGpus | None) -> Iterator[Diagnostic]:
    if visible is None:
        return
    at, asked, there = ("engine", "gpus"), len(engine.gpus), len(visible.ids)
    hidden = [gpu for gpu in engine.gpus if visible.lacks(gpu)]
    if not any(engine.gpus) and asked > there:
        yield Diagnostic("too-many-resources", few_gpus(asked, visible), at, gpu_advice(there), Severity.WARNING)
    elif any(engine.gpus) and hidden:
        named = f"GPU {hidden[0]} is" if len(hidden) == 1 else f"GPUs {', '.join(hidden)} are"
        message = f"{named} not among those that {visible.source} leaves: another user may be using {_them(hidden)}"
        hint = f"write gpus: {asked} to use any {asked} of those that are left"
        yield Diagnostic("not-visible", message, at, hint, Severity.WARNING)


def few_gpus(asked: int, visible: VisibleGpus) -> str:
    """The warning if a session may use fewer GPUs than the engine requests."""
    there = len(visible.ids)
    return f"the engine requests {counted(asked, 'GPU')}, but {visible.source} leaves {there or 'none'}"


def gpu_advice(there: int) -> str:
    return f"request at most {there}, or get more from the batch system" if there else "run this where GPUs are visible"


def _them(several: Sequence[str]) -> str:
    return "it" if len(several) == 1 else "them"


def _check_label(engine: Engine, labels: dict[str, ResourceLabel]) -> Iterator[Diagnostic]:
    at, label = ("engine", "resource"), labels.get(engine.resource)
    if label is None:
        hint = did_you_mean(engine.resource, labels) or _same_site(engine.resource, labels)
        yield Diagnostic("unknown-resource", f"radical.pilot has no resource label '{engine.resource}'", at, hint)
        return
    if engine.access_schema is not None and label.schemas and engine.access_schema not in label.schemas:
        hint = did_you_mean(engine.access_schema, label.schemas) or f"valid schemas: {', '.join(label.schemas)}"
        message = f"'{engine.resource}' has no access schema '{engine.access_schema}'"
        yield Diagnostic("wrong-value", message, ("engine", "access_schema"), hint)
    for key in label.mandatory:
        if key not in foreign_keys("radical.pilot") and getattr(engine, key, 0) is None:
            message = f"'{engine.resource}' needs a '{key}'"
            yield Diagnostic("missing-key", message, ("engine", key), f"add {key}: to 'engine'")
    if engine.nodes is not None:
        yield from _check_nodes(engine, label, engine.nodes)


def _check_nodes(engine: Engine, label: ResourceLabel, nodes: int) -> Iterator[Diagnostic]:
    asked = {"cores": engine.cores or 0, "gpus": len(engine.gpus)}
    for key, field, what in _ON_A_NODE:
        each = getattr(label, field)
        if each is not None and asked[key] > nodes * each and not label.forks:
            message = f"requests {counted(asked[key], what)} on {counted(nodes, 'node')} with {each} each"
            yield Diagnostic(
                "too-many-resources", message, ("engine", key), f"request at most {nodes * each}, or more nodes"
            )


def _same_site(resource: str, labels: dict[str, ResourceLabel]) -> str:
    site = resource.partition(".")[0] + "."
    near = [name for name in labels if name.startswith(site)] or sorted({name.partition(".")[0] for name in labels})
    what = f"labels of '{site[:-1]}':" if near[0].startswith(site) else "a label is site.machine; sites:"
    return f"{what} {', '.join(near[:20])}"
