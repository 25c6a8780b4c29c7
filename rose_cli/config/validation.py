"""Pydantic's validation errors in rose's words, each at its key path; suggestions for unknown keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, get_origin

from pydantic import BaseModel, ValidationError

from rose_cli.config.errors import DIAGNOSTICS, expected
from rose_cli.config.iterations import is_iteration_key
from rose_cli.config.models import (
    LEARNER_KEYS,
    TASK_SECTIONS,
    Campaign,
    Engine,
    File,
    Keep,
    Learner,
    Limits,
    Override,
    Prune,
    Read,
    Retries,
    Smoke,
    Stop,
    StopCampaign,
    StopFields,
    Task,
    TaskFields,
)
from rose_cli.config.sweep import Range, Sweep
from rose_cli.config.synonyms import synonym
from rose_cli.util.errors import Diagnostic, KeyPath
from rose_cli.util.text import did_you_mean, nearest, shortened

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pydantic_core import ErrorDetails

_EXPECTED = {
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
}


def diagnostics_of(error: ValidationError, data: Any) -> list[Diagnostic]:  # noqa: ANN401 - what was validated
    """One or more for each error, in pydantic's order."""
    return [each for details in error.errors(include_url=False) for each in _diagnostics(details, data)]


def faults_in(model: type[BaseModel], data: dict[str, Any]) -> list[Diagnostic]:
    """What is wrong with these keys of a model; their paths start there."""
    try:
        model.model_validate(data)
    except ValidationError as error:
        return diagnostics_of(error, data)
    return []


def _diagnostics(error: ErrorDetails, data: Any) -> Iterator[Diagnostic]:  # noqa: ANN401
    path, at_key = _document_path(error["loc"], data)
    if error["type"] != DIAGNOSTICS:
        yield _in_our_words(error, path, data)
        return
    for each in error["ctx"][DIAGNOSTICS]:
        at = (*path, *each.path)
        message, hint = _labelled(each.message, at, data), each.hint or _example(each.message, at)
        yield replace(each, path=at, message=message, hint=hint, at_key=at_key or each.at_key)


def _in_our_words(error: ErrorDetails, path: KeyPath, data: Any) -> Diagnostic:  # noqa: ANN401
    last, given = str(error["loc"][-1]), error["input"]
    match error["type"]:
        case "extra_forbidden" | "invalid_key":
            return _unknown_key(path, error["loc"], data)
        case "missing":
            return Diagnostic("missing-key", _missing(path, last), (*path, last), example_of((*path, last)))
        case "literal_error":
            words = error["ctx"]["expected"]
            hint = did_you_mean(str(given), re.findall(r"'([^']*)'", words)) or f"write {words.replace(chr(39), '')}"
            return Diagnostic("wrong-value", _labelled(expected(words, given), path, data), path, hint)
        case kind:
            text = expected(_EXPECTED.get(kind, error["msg"].lower()), given)
            return Diagnostic("wrong-type", _labelled(text, path, data), path, _hint(path, given))


def _unknown_key(path: KeyPath, loc: tuple[int | str, ...], data: Any) -> Diagnostic:  # noqa: ANN401
    key, model, beside = str(loc[-1]), model_at(loc[:-1]), value_at(path[:-1], data)
    hint = _unless_there(unknown_key_hint(key, known_keys(model), model), beside)
    if hint.startswith("valid keys") and issubclass(model, TaskFields) and is_iteration_key(key):
        hint = "iterations belong under the name of the task in a learner"
    elif model is Sweep and isinstance(value_at(path, data), list | dict) and ("." in key or hint.startswith("valid")):
        hint = f"did you mean 'grid'? an axis belongs below it: grid: {{{shortened(key)}: [...]}}"
    elif issubclass(model, StopFields):
        hint = _about_criteria(key, value_at(path, data), hint, beside)
    elif model is Override and hint.startswith("valid keys"):
        hint = f"put an option under 'options:', as in {{options: {{{shortened(key)}: …}}}}"
    return Diagnostic("unknown-key", f"unknown key '{shortened(key)}'", path, hint, at_key=True)


NESTED = "criteria cannot be nested"


def _about_criteria(key: str, value: object, hint: str, beside: Mapping[object, object]) -> str:
    """`stop: {rmse: 0.05}`, and `all` in an entry of `any`."""
    if key in ("any", "all"):
        return f"{NESTED}: list all of them under one 'any' or 'all', or combine values in one expression"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and "metric" not in beside and hint.startswith(("valid keys", "did you mean 'metric'")):
        return f"did you mean 'metric'? write metric: {shortened(key)}, threshold: {value}"
    return hint


def _unless_there(hint: str, beside: Iterable[object]) -> str:
    """Do not suggest a key that is already there."""
    meant = hint.split("'")[1] if hint.startswith("did you mean") else None
    return f"remove it: '{meant}' is already there" if meant in beside else hint


def unknown_task(
    task: str, path: KeyPath, tasks: frozenset[str], beside: Iterable[object], once: Collection[str] = ()
) -> Diagnostic:
    """The error for a key of a learner or of `smoke` that is neither known nor a task; `beside` are its siblings.

    `once`: tasks of `setup` and `finish`, which a learner cannot change.
    """
    model, own = (Smoke, frozenset(Smoke.model_fields)) if path[0] == "smoke" else (Learner, LEARNER_KEYS)
    hint = unknown_key_hint(task, tuple(sorted(tasks | own)), model)
    if hint.startswith("valid keys"):
        names = ", ".join(sorted(tasks.difference(once if path[0] == "learners" else ())))
        hint = f"valid here: the tasks {names}; the keys {', '.join(sorted(own))}"
        if task.startswith("-"):
            hint = f"put the option under its task ({names}), as in TASK: {{{shortened(task)}: …}}"
    hint = _unless_there(hint, beside)
    if task in TASK_SECTIONS and path[0] == "learners":
        hint = f"'{task}' belongs at the top of the file; a learner names a task and what changes: training: {{--n: 5}}"
    return Diagnostic("unknown-key", f"unknown key '{shortened(task)}'", path, hint, at_key=True)


CONDITION = re.compile(r"\s*([^\s<>=!]+(?: [^\s<>=!]+){0,4})\s*(<=|>=|==?|<|>)\s*([-+.\d][-+.\deE]{0,40})\s*(%?)")
"""`accuracy >= 0.97`, where a metric is asked for."""


def _missing(path: KeyPath, key: str) -> str:
    if not path:
        return f"'{key}' is missing"
    where = f"task '{path[1]}'" if path[0] in TASK_SECTIONS and len(path) == 2 else f"'{path[-1]}'"
    if isinstance(path[-1], int):
        where = f"{path[-2]}[{path[-1]}]"
    return f"{where} has no '{key}'"


def _hint(path: KeyPath, given: object) -> str | None:
    if path and path[0] in TASK_SECTIONS and len(path) == 2:
        return _task_hint(str(path[0]), str(path[1]), given)
    if path and path[-1] == "stop" and isinstance(given, str) and (found := CONDITION.fullmatch(given)) is not None:
        return f"write stop: {{metric: {found[1]}, operator: '{found[2]}', threshold: {found[3]}, executable: ...}}"
    if len(path) > 1 and path[-2] in ("any", "all"):
        return "for example {metric: mse, threshold: 0.1, value: result.mse}"
    if len(path) == 1 and path[0] in TASK_SECTIONS and isinstance(given, list):
        return "write a mapping, in the order of execution: simulation: {executable: python sim.py}"
    if path == ("files",) and isinstance(given, str):
        return f"write a list: files: [{shortened(given)}]"
    return example_of(path)


def _task_hint(section: str, task: str, given: object) -> str:
    if task in TaskFields.model_fields:
        return f"give the task a name: {section}: {{NAME: {{{task}: {shortened(str(given))}}}}}"
    if isinstance(given, str):
        return f"write {task}: {{executable: {shortened(given)}}}"
    return f"for example {task}: {{executable: python {task}.py}}"


def _example(message: str, path: KeyPath) -> str | None:
    """The example of the key, if its value is wrong."""
    if not message.startswith("expected"):
        return None
    return example_of(path) or example_of(path[:-1]) or "write another value, or remove it"


def _labelled(message: str, path: KeyPath, data: Any) -> str:  # noqa: ANN401
    """`max_iter: expected at least 1, not 0`: the message must make sense on its own in a list of annotations."""
    if not path or not message.startswith("expected"):
        return message
    last = path[-1]
    if isinstance(last, str):
        return f"{shortened(last)}: {message}"
    is_item = not isinstance(value_at(path[:-1], data), Mapping)
    return f"{path[-2]}[{last}]: {message}" if is_item else f"iteration {last}: {message}"


def value_at(path: KeyPath, data: Any) -> Any:  # noqa: ANN401
    for part in path:
        data = data[part]
    return data


def _document_path(loc: tuple[int | str, ...], data: Any) -> tuple[KeyPath, bool]:  # noqa: ANN401
    """The parts of a pydantic location that are in the document, and whether it is about the last key."""
    path: list[str | int] = []
    for part in loc:
        if isinstance(data, Mapping):
            key = part if part in data else _as_integer(part)
            if key in data:
                path.append(key)
                data = data[key]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            path.append(part)
            data = data[part]
    return tuple(path), loc[-1:] == ("[key]",)


def _as_integer(part: int | str) -> int | str:
    """Pydantic returns an integer key of a mapping as a string."""
    return int(part) if isinstance(part, str) and part.removeprefix("-").isdecimal() else part


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
    ("under 'sweep'", Sweep),
)


@cache
def known_keys(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())


def example_of(path: KeyPath) -> str | None:
    """`for example max_iter: 15`, of the key that the path ends in."""
    if not path:
        return None
    key = str(path[-1])
    if path[:-1] == ("limits",):
        return _LIMITS_EXAMPLES.get(key)
    if path[0] in ("sweep", "prune") and len(path) > 1:
        return _SWEEP_EXAMPLES.get(key, "for example [0.1, 0.01]" if len(path) == 3 else None)
    return _STOP_EXAMPLES.get(key) if "stop" in path[:-1] else _EXAMPLES.get(key)


def _examples(models: Iterable[type[BaseModel]]) -> dict[str, str]:
    """If several models have a key, the first one provides the example."""
    examples: dict[str, str] = {}
    for name, field in ((field.alias or name, field) for model in models for name, field in model.model_fields.items()):
        if field.examples:
            examples.setdefault(name, f"for example {name}: {field.examples[0]}")
    return examples


_EXAMPLES = _examples([Campaign, Task, Stop, Learner, Engine, Limits, Keep, StopCampaign, Smoke, Retries, File, Read])

_STOP_EXAMPLES = _examples([Stop, Retries, Read])

_SWEEP_EXAMPLES = _examples([Sweep, Range, Prune])

_LIMITS_EXAMPLES = _examples([Limits])


@lru_cache(maxsize=1024)
def unknown_key_hint(key: str, known: tuple[str, ...], model: type[BaseModel]) -> str:
    """What to write instead of `key`, which is not one of the `known` ones that `model` takes."""
    near = nearest(key, known, ratio=0.85)
    home, meant = _home(key, model), synonym(key, model) if near is None else None
    if near is None and home is not None and (meant is None or meant.startswith("did you mean")):
        per_rank = f"{key}_per_rank"
        return f"did you mean '{per_rank}'? '{key}' belongs {home}" if per_rank in known else f"it belongs {home}"
    if meant is not None:
        return meant
    near = near or nearest(key, known, ratio=0.65)
    if near is not None:
        return f"did you mean '{near}'?"
    if issubclass(model, StopFields):
        known = tuple(key for key in known if key not in TaskFields.model_fields)
        return f"valid keys: {', '.join(known)}, and the keys of a task"
    return f"valid keys: {', '.join(known)}"


def _home(key: str, model: type[BaseModel]) -> str | None:
    if model is Campaign and key in STANDARD_TASKS:
        return "under 'tasks'"
    homes = [home for home, other in _HOMES if key in _own_keys(other) and not issubclass(model, other)]
    return " or ".join(homes) if homes else None


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
    """The model that an annotation holds, however deep in unions, tuples and mappings."""
    # up to Python 3.10, dict[str, Task] is a type too
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)
