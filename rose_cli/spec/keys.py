"""Which keys there are, where each belongs, and what a user may have meant by one that there is not."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, get_origin

from pydantic import BaseModel

from rose_cli.diagnostic import nearest
from rose_cli.spec.campaign import (
    Campaign,
    Engine,
    File,
    Keep,
    Learner,
    Limits,
    Override,
    Read,
    Retries,
    Smoke,
    Stop,
    StopCampaign,
    StopFields,
    Task,
    TaskFields,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rose_cli.diagnostic import KeyPath

STANDARD_TASKS = ("simulation", "training", "active_learn")

_HOMES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("at the top of the file", Campaign),
    ("under a task", TaskFields),
    ("under a learner", Learner),
    ("under 'stop'", Stop),
    ("under 'limits'", Limits),
    ("under 'keep'", Keep),
    ("under 'engine'", Engine),
    ("under 'stop_campaign'", StopCampaign),
)


@cache
def known_keys(model: type[BaseModel]) -> tuple[str, ...]:
    """Without those that this version does not support."""
    keys = (field.alias or name for name, field in model.model_fields.items())
    return tuple(key for key in keys if key not in ("sweep", "track"))


def example_of(path: KeyPath) -> str | None:
    """`for example max_iter: 15`, of the key that the path ends in."""
    if not path:
        return None
    key = str(path[-1])
    if path[:-1] == ("limits",):
        return _LIMITS_EXAMPLES.get(key)
    return _STOP_EXAMPLES.get(key) if "stop" in path[:-1] else _EXAMPLES.get(key)


def _examples(models: Iterable[type[BaseModel]]) -> dict[str, str]:
    """Of several models that have a key, the first gives the example."""
    examples: dict[str, str] = {}
    for name, field in ((field.alias or name, field) for model in models for name, field in model.model_fields.items()):
        if field.examples:
            examples.setdefault(name, f"for example {name}: {field.examples[0]}")
    return examples


_EXAMPLES = _examples([Campaign, Task, Stop, Learner, Engine, Limits, Keep, StopCampaign, Smoke, Retries, File, Read])
_STOP_EXAMPLES = _examples([Stop, Retries, Read])
_LIMITS_EXAMPLES = _examples([Limits])


@lru_cache(maxsize=1024)
def unknown_key_hint(key: str, known: tuple[str, ...], model: type[BaseModel]) -> str:
    """What to write instead of `key`, which is not one of the `known` ones that `model` takes."""
    near = nearest(key, known, ratio=0.85)
    home = _home(key, model)
    if near is None and home is not None:
        return home
    near = near or nearest(key, known)
    if near is not None:
        return f"did you mean '{near}'?"
    if issubclass(model, StopFields):
        known = tuple(key for key in known if key not in TaskFields.model_fields)
        return f"known here are {', '.join(known)}, and the keys of a task"
    return f"known here are {', '.join(known)}"


def _home(key: str, model: type[BaseModel]) -> str | None:
    if model is Campaign and key in STANDARD_TASKS:
        return "it belongs under 'tasks'"
    homes = [home for home, other in _HOMES if key in _own_keys(other) and not issubclass(model, other)]
    return f"it belongs {' or '.join(homes)}" if homes else None


def _own_keys(model: type[BaseModel]) -> set[str]:
    keys = set(known_keys(model))
    return keys - set(TaskFields.model_fields) if model is Stop else keys


def model_at(loc: Iterable[int | str]) -> type[BaseModel]:
    """The model that a pydantic location leads to."""
    model: type[BaseModel] = Campaign
    for part in loc:
        model = _below(model, part)
    return model


def _below(model: type[BaseModel], part: int | str) -> type[BaseModel]:
    for name, field in model.model_fields.items():
        if part in (name, field.alias):
            return _model_in(field.annotation) or model
    by_task = isinstance(part, str) and model in (Learner, Smoke)
    return Override if by_task else model


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401
    """The model that an annotation holds, however deep in unions, tuples and maps."""
    # up to Python 3.10, dict[str, Task] is a type too
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)
