"""One command out of the layers that a campaign lays over each other: the more particular layer wins, key by key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rose_cli.engine.base import Resources
from rose_cli.plan.model import Adaptive, CommandPlan, Number, OptionScalar, OptionValue
from rose_cli.spec.values import written_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rose_cli.spec.campaign import Campaign, Learner, TaskFields


@dataclass(frozen=True)
class Ground:
    """What lies under every task of one learner: the campaign's settings and the learner's own."""

    campaign: Campaign
    learner: Learner
    beside: Callable[[tuple[str, ...]], tuple[int, ...]] = lambda _: ()
    """The positions of the words of a command that name files beside the campaign file."""

    @property
    def pre_exec(self) -> tuple[str, ...]:
        return (*self.campaign.pre_exec, *(self.learner.pre_exec or ()))


def merge(ground: Ground, layers: Sequence[TaskFields]) -> CommandPlan:
    """The command that `layers` give, the task's declaration first.

    `options`, `adaptive` and `env` are laid over each other key by key (`None` takes a key away), all other fields
    as a whole. A variable of the learner goes before one of the task, one of the learner's own task before both.
    """
    declared, *particular = layers
    variables = [ground.campaign.env, declared.env, ground.learner.env, *(layer.env for layer in particular)]
    retries = _last(layers, "retries", ground.campaign.retries)
    ranks = _last(layers, "ranks", None) or 1
    words, shell = [(layer.executable.words, bool(layer.shell)) for layer in layers if layer.executable is not None][-1]
    return CommandPlan(
        words=words,
        shell=shell,
        args=_last(layers, "args", None) or (),
        options=_options(layers),
        environment=_variables(variables),
        pre_exec=(*ground.pre_exec, *(_last(layers, "pre_exec", None) or ())),
        timeout_seconds=_last(layers, "timeout", ground.campaign.timeout),
        retries=retries.times if retries else 0,
        retry_pause_seconds=retries.pause if retries else 0.0,
        on_failure=_last(layers, "on_failure", None) or ground.campaign.on_failure,
        replicas=_last(layers, "replicas", None) or 1,
        ranks=ranks,
        resources=_resources(layers, ranks),
        snapshot=bool(_last(layers, "snapshot", None)),
        beside=() if shell else ground.beside(words),
    )


def _last(layers: Sequence[TaskFields], field: str, default: Any) -> Any:  # noqa: ANN401 - the field's own type
    """The value of the last layer that gives the field; a given `null` counts."""
    given = [getattr(layer, field) for layer in layers if field in layer.model_fields_set]
    return given[-1] if given else default


def _options(layers: Sequence[TaskFields]) -> dict[str, OptionValue]:
    """In the order in which they are first named, also where a `null` takes one away in between."""
    merged: dict[str, OptionValue | None] = {}
    for layer in layers:
        merged.update({name: _as_written(value) for name, value in (layer.options or {}).items()})
        merged.update({name: Adaptive(e.text) if e else None for name, e in (layer.adaptive or {}).items()})
    return {name: value for name, value in merged.items() if value is not None}


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
