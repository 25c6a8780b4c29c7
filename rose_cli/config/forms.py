"""Normalizes shorthand: each shorter way to write a value becomes the one form that its model has."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from rose_cli.config.errors import expected, fail, fail_if_any
from rose_cli.config.iterations import is_iteration_key
from rose_cli.config.parameters import MAX_PARAMETERS
from rose_cli.config.rules import MAX_LEARNERS, PRUNE_RULES, folded
from rose_cli.config.trackers import BUILT_IN, MOST_TRACKERS, is_tracker_name
from rose_cli.config.types import whole_number
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Diagnostic
from rose_cli.util.text import did_you_mean, nearest, shortened

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from rose_cli.util.errors import KeyPath

MAX_TASKS = 1_000

MAX_FILES = 1_000

_DIGITS = re.compile(r"-?[0-9]+")

_CALLED = {
    "slurm": re.compile(r"slurm|srun|sbatch|salloc|slurm[ _-]?(job|step|allocation)", re.IGNORECASE),
    "radical.pilot": re.compile(r"(radical|rp|pilot)([._ -]?pilot)?", re.IGNORECASE),
}
"""Other names for the kinds of engines."""

_KINDS = "'local', 'slurm'{} 'radical.pilot'"


# --- tasks and learners ----------------------------------------------------------------------------------------------


def bounded_tasks(value: object) -> object:
    return bounded(value, MAX_TASKS, "tasks", "combine several tasks into one program")


def shared_names(sections: Mapping[str, Collection[str]]) -> Iterator[Diagnostic]:
    """The tasks of all sections share the directories of logs, and the keys of learners."""
    known: dict[str, tuple[str, str]] = {}
    for path in [(section, task) for section, tasks in sections.items() for task in tasks]:
        first = known.setdefault(folded(path[1]), path)
        message = f"the tasks '{first[1]}' and '{path[1]}' differ only in case: they would share log files"
        if first[1] == path[1]:
            message = f"'{first[0]}' has a task '{path[1]}' too: it would share its log files"
        if first != path:
            yield Diagnostic("duplicate-name", message, path, "rename one of the two", at_key=True)


def bounded_parameters(value: object) -> object:
    return bounded(value, MAX_PARAMETERS, "parameters", "read the others from a file")


def learner_count(value: object) -> int:
    """The number of learners, if this is not a list of them."""
    if isinstance(value, dict):
        hint = "write each learner as a list item: - {name: a, …}"
        fail("wrong-type", expected("a list of learners or a number", value), hint)
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        fail("wrong-type", expected("a list of learners or a number", value))
    if isinstance(value, str) and not _DIGITS.fullmatch(value.strip()):
        fail("wrong-type", expected("a list of learners or a number", value))
    return whole_number(value, 1, MAX_LEARNERS)


def normalize_learner(value: object) -> object:
    if value is not None and isinstance(value, str | int | float | list):
        hint = f"write {{name: {value}}}" if isinstance(value, str) else "write {} for a learner without settings"
        fail("wrong-type", expected("a mapping of settings for each learner", value), hint)
    return {} if value is None else value


# --- the engine ----------------------------------------------------------------------------------------------------


def normalize_engine(value: object) -> object:
    """`local` for `{kind: local}`."""
    kind = value.get("kind") if isinstance(value, dict) else value
    meant = next((name for name, called in _CALLED.items() if isinstance(kind, str) and called.fullmatch(kind)), kind)
    if meant != kind:
        below = ("kind",) if isinstance(value, dict) else ()
        fail("wrong-value", expected(_KINDS.format(" or"), kind), f"did you mean '{meant}'?", below=below)
    if not isinstance(value, dict | str):
        fail("wrong-type", expected(f"{_KINDS.format(',')} or a mapping", value))
    return {"kind": value} if isinstance(value, str) else value


def gpu_ids(value: object) -> object:
    """For a number of GPUs, that many without an ID."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1024:
        return [""] * value
    if not isinstance(value, list | tuple):
        fail("wrong-type", expected("the number of GPUs or a list of their IDs", value), "for example gpus: [0, 1]")
    first: dict[str, int] = {}
    errors = [
        Diagnostic("duplicate-name", f"GPU '{each}' is listed twice", (position,), "list each GPU once")
        for position, each in enumerate(value)
        if first.setdefault(str(each), position) != position
    ]
    hint = "write a number of GPUs, or their IDs: gpus: [0, 1]"
    errors += [
        Diagnostic("wrong-value", "a GPU ID is empty", (position,), hint)
        for position, each in enumerate(value)
        if str(each).strip() == ""
    ]
    fail_if_any(errors)
    return value


# --- small ones ----------------------------------------------------------------------------------------------------


def normalize_retries(value: object) -> object:
    return value if isinstance(value, dict) else {"times": value}


def bounded_files(value: object) -> object:
    return bounded(value, MAX_FILES, "files", "name the directory that contains them")


def bounded(value: object, most: int, what: str, hint: str) -> object:
    """`value`, unless it is a list or a mapping with more than `most` entries."""
    if isinstance(value, list | dict) and len(value) > most:
        fail("too-large", f"expected at most {most} {what}, not {len(value)}", hint)
    return value


def normalize_prune(value: object) -> object:
    """`median` for `{rule: median}`."""
    if not isinstance(value, dict | str):
        fail("wrong-type", expected("a rule or a mapping", value), "for example {rule: median, min_iter: 5}")
    return {"rule": value} if isinstance(value, str) else value


def prune_rule(value: object) -> object:
    meant = _RULES_MEANT.get(str(value).lower().replace("-", "_").replace(" ", "_"))
    near = meant or nearest(str(value), PRUNE_RULES)
    if value not in PRUNE_RULES:
        hint = f"did you mean '{near}'?" if near else "for example rule: median"
        fail("wrong-value", expected(" or ".join(PRUNE_RULES), value), hint)
    return value


_RULES_MEANT = {
    "medianpruner": "median", "median_stopping": "median", "median_stopping_rule": "median",
    "asha": "successive_halving", "sha": "successive_halving", "halving": "successive_halving",
    "hyperband": "successive_halving", "successivehalving": "successive_halving",
}  # fmt: skip


def normalize_file(value: object) -> object:
    return value if isinstance(value, dict) else {"path": value}


def normalize_notify(value: object) -> object:
    """From a command, or the full form."""
    return value if isinstance(value, dict) else {"executable": value}


def listed_endings(value: object) -> object:
    """One word, or a list of them."""
    if isinstance(value, list | tuple):
        if not value:
            fail("wrong-type", "expected at least one of finished, failed and interrupted", "remove 'when' for all")
        return value
    return (value,)


def normalize_read(value: object) -> object:
    if value in ("last_line", "last line"):
        return {}
    if not isinstance(value, dict):
        hint = (
            _read_hint(value)
            or "write last_line, {json: KEY}, {regex: 'acc=(\\S+)'} or {file: metrics.json, json: KEY}"
        )
        fail("wrong-type", expected("last_line or a mapping", value), hint)
    return value


_FILE_NAME = re.compile(r"[\w./{}-]*\w\.(?:txt|json|csv|dat|log|out|yaml|yml)")


def _read_hint(value: object) -> str | None:
    """`read: acc=(\\S+)` is a regular expression, `read: metrics.json` a file, `read: val.mse` a key."""
    if not isinstance(value, str) or not value.strip() or len(value) > 100:
        return None
    if ("(" in value or "\\" in value) and "'" not in value:
        return f"did you mean {{regex: '{value}'}}?"
    if _FILE_NAME.fullmatch(value):
        return f"did you mean {{file: {value}}}?"
    if re.fullmatch(r"[A-Za-z_][\w-]*(\.[\w-]+)*", value) and not nearest(value, ("last_line", "stdout"), ratio=0.7):
        return f"did you mean {{json: {value}}}?"
    return None


_UNDER_OPTIONS = "put it under 'options:', as in {options: {--n: 5}, timeout: 30m}"


def _override_hint(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[^\s:]+:[^\s:]+", value):
        return f"write a space after the colon: {shortened(value).replace(':', ': ')}"
    return "for example {--n_labeled: 300}, or in full {options: {--n_labeled: 300}, timeout: 30m}"


def normalize_override(value: object, known: Collection[str]) -> dict[Any, Any]:
    """The full form: a bare mapping of options, which has no key of a task, becomes `{options: …}`."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        fail("wrong-type", expected("a mapping of options", value), _override_hint(value))
    if any(key in known for key in value):
        _refuse_options_among(value, known)
        return value
    fail_if_any(error for key, entry in value.items() for error in _errors_in_bare(key, entry, known))
    return {"options": value}


_COMMANDS = ("cmd", "command", "script", "run", "shell_cmd", "exec", "program")

_LOOKS_LIKE_COMMAND = re.compile(r"\S\s+\S|/|\.(?:py|sh|R|jl|pl|m)$")


def _errors_in_bare(key: str | int, entry: object, known: Collection[str]) -> list[Diagnostic]:
    if isinstance(entry, dict) and is_iteration_key(key):
        hint = "iterations belong directly under a task of a learner"
        return [Diagnostic("wrong-type", f"iteration {key} is not allowed here", (key,), hint, at_key=True)]
    if key == "hold":
        hint = "put 'hold' beside iteration keys, as in {0: {--n: 10}, 5: {--n: 20}, hold: true}"
        message = "'hold' needs iteration keys beside it, and there are none"
        return [Diagnostic("unknown-key", message, (key,), hint, at_key=True)]
    word = nearest(str(key), known, ratio=0.8) if not str(key).startswith("-") else None
    if key in _COMMANDS and isinstance(entry, str) and _LOOKS_LIKE_COMMAND.search(entry):
        word = "executable"
    if word is None:
        return []
    hint = f"did you mean '{word}'? an option with this name belongs under 'options:'"
    return [Diagnostic("unknown-key", f"unknown key '{shortened(str(key))}'", (key,), hint, at_key=True)]


def _refuse_options_among(value: dict[Any, Any], known: Collection[str]) -> None:
    """`{--n: 5, timeout: 30m}`: beside a key of a task, options belong under `options`."""
    beside = next(key for key in value if key in known)
    message = f"the option '{{}}' is on the same level as '{beside}'"
    fail_if_any(
        Diagnostic("unknown-key", message.format(shortened(key)), (key,), _UNDER_OPTIONS, at_key=True)
        for key in value
        if isinstance(key, str) and key.startswith("-")
    )


def refuse_double_options(options: Mapping[str, object] | None, adaptive: Mapping[str, object] | None) -> None:
    message, hint = "'{}' is also under 'options'", "remove one of the two"
    fail_if_any(
        Diagnostic("duplicate-key", message.format(name), ("adaptive", name), hint, at_key=True)
        for name in adaptive or ()
        if name in (options or ())
    )


# --- criteria ------------------------------------------------------------------------------------------------------

MAX_CRITERIA = 20

_REPORTED = re.compile(
    r"""result\.(?P<key>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)|"""
    r"""results\.[A-Za-z_]\w*(?:\[(?:-?\d+|'[^']*'|"[^"]*")\])?\.(?P<own>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)""",
    re.ASCII,
)

_SOURCES = ("executable", "function", "value")


def has_several_criteria(value: object) -> bool:
    return isinstance(value, dict) and ("any" in value or "all" in value)


def refuse_bare_criteria(value: object) -> object:
    """A list alone does not say how many of its criteria must be met."""
    if isinstance(value, list | tuple):
        hint = "put it under any: (one is enough) or all: (every one is needed), as in stop: {any: […]}"
        fail("wrong-type", "expected a criterion, or several under 'any' or 'all', not a list", hint)
    return value


def bounded_criteria(value: object) -> object:
    hint = "for example [{metric: mse, threshold: 0.1, value: result.mse}]"
    if isinstance(value, list) and not value:
        fail("missing-key", "there is no criterion in it", hint)
    if isinstance(value, dict):
        hint = "start the criterion with a dash, or put it into square brackets: [{metric: ...}]"
    if value is not None and not isinstance(value, list | tuple):
        fail("wrong-type", expected("a list of criteria", value), hint)
    return bounded(value, MAX_CRITERIA, "criteria", "combine several of them into one expression")


def refuse_beside_criteria(value: object, known: Collection[str]) -> None:
    """`any` or `all`, and nothing that belongs to a single criterion."""
    if not isinstance(value, dict):
        return
    there = [key for key in ("any", "all") if value.get(key) is not None]
    if len(there) == 2:
        hint = "keep one: 'any' stops a learner when one criterion is met, 'all' when every one is"
        fail("conflicting-keys", "'any' and 'all' cannot be combined", hint, below=("all",), at_key=True)
    beside = there[0] if there else next(key for key in ("any", "all") if key in value)
    metrics = _metrics_of(value[beside])
    fail_if_any(_beside_criteria(key, beside, known, metrics) for key in value if key not in ("any", "all"))
    if not there:
        fail("missing-key", f"there is no criterion under '{beside}'", "list at least one", below=(beside,))


IS_ENTRY = "'{key}' is entry {place} of '{beside}', counted from 0: change it there"


def _metrics_of(entries: object) -> dict[object, int]:
    """The position of each metric in a list of criteria."""
    found = [entry.get("metric") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return {metric: place for place, metric in enumerate(found) if isinstance(metric, str)}


def _beside_criteria(key: object, beside: str, known: Collection[str], metrics: Mapping[object, int]) -> Diagnostic:
    hint = f"put it into an entry of '{beside}'"
    if key in known:
        return Diagnostic("unknown-key", f"'{key}' belongs to one criterion, not beside '{beside}'", (str(key),), hint,
                          at_key=True)  # fmt: skip
    near = nearest(str(key), known)
    hint = f"did you mean '{near}'? {hint}" if near else f"what one criterion says is in an entry of '{beside}'"
    if key in metrics:
        hint = IS_ENTRY.format(key=shortened(str(key)), place=metrics[key], beside=beside)
    place = key if isinstance(key, int) else str(key)
    return Diagnostic("unknown-key", f"unknown key '{shortened(str(key))}'", (place,), hint, at_key=True)


def normalize_reported(value: object) -> object:
    """`metric: result.KEY` stands for the metric KEY, with that as its value."""
    metric = value.get("metric") if isinstance(value, dict) else None
    found = _REPORTED.fullmatch(metric.strip()) if isinstance(metric, str) else None
    if found is None or not isinstance(value, dict) or metric is None:
        return value
    name = found["key"] or found["own"]
    beside = next((key for key in _SOURCES if value.get(key) is not None), None)
    if beside is not None:
        message = f"'{shortened(metric)}' says where the value comes from, and so does '{beside}'"
        fail("conflicting-keys", message, f"write metric: {name}, or remove '{beside}'", below=("metric",))
    return {**value, "metric": name, "value": metric}


def refuse_beside_value(given: Collection[str], program: Collection[str]) -> None:
    """What belongs to a program, beside an expression that needs none."""
    hint = "remove one of the two: an expression of what tasks reported runs no program"
    when = "remove it: a value is checked in the iterations in which a task has reported what it reads"
    is_function = "function" in given
    fail_if_any(
        Diagnostic(
            "conflicting-keys",
            f"'{key}' cannot be combined with 'value'",
            (key,),
            when if key == "when" else hint,
            at_key=True,
        )
        for key in program
        if "value" in given and key in given and not (is_function and key == "executable")
    )


# --- schedules by iteration ----------------------------------------------------------------------------------------


def is_by_iteration(value: object) -> bool:
    """Decided by the majority of the keys, so that one stray key is reported as such."""
    if not isinstance(value, dict):
        return False
    keys = [key for key in value if key != "hold"]
    numbers = [key for key in keys if is_iteration_key(key)]
    maps = [key for key in numbers if isinstance(value[key], dict)]
    return bool(maps) or len(numbers) * 2 > len(keys) or (bool(numbers) and "hold" in value)


# --- trackers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tracked:
    """A tracker as the campaign file names it; `place` is its location below `track`."""

    name: str
    settings: Mapping[str, Any]
    place: KeyPath = ()


def trackers(value: object) -> tuple[Tracked, ...]:
    """From `tensorboard`, `[tensorboard, {mlflow: {uri: …}}]` or `{mlflow: {uri: …}}`."""
    bounded(value, MOST_TRACKERS, "trackers", "remove some")
    found: list[Tracked] = []
    errors: list[Diagnostic] = []
    for name, settings, place in _trackers_in(value):
        if not is_tracker_name(name):
            hint = "use letters, digits, '_', '-' and '.', as in tensorboard"
            message = f"'{shortened(name)}' cannot be the name of a tracker"
            errors.append(Diagnostic("bad-name", message, place, hint, at_key=place[-1:] == (name,)))
        elif any(other.name.casefold() == name.casefold() for other in found):
            errors.append(Diagnostic("duplicate-name", f"the tracker '{name}' is listed twice", place, "list it once"))
        else:
            errors += _errors_in_settings(name, settings, place)
            given = settings if isinstance(settings, dict) else {}
            found.append(Tracked(name, _plain(given), place))
    fail_if_any(errors)
    return tuple(found)


def settings_of(name: str, given: dict[str, Any]) -> dict[str, Any] | Diagnostic:
    """The settings of a tracker from the command line, or what is wrong with them."""
    errors = list(_errors_in_settings(name, given, ()))
    settings: dict[str, Any] = _plain(given)
    return errors[0] if errors else settings


def _trackers_in(value: object) -> Iterator[tuple[str, object, KeyPath]]:
    """The name, the settings and the location of each."""
    if isinstance(value, dict):
        yield from ((str(name), settings, (name,)) for name, settings in value.items())
        return
    for position, entry in enumerate(value if isinstance(value, list | tuple) else [value]):
        place: KeyPath = (position,) if isinstance(value, list | tuple) else ()
        if isinstance(entry, dict) and place:
            yield from ((str(name), settings, (*place, name)) for name, settings in entry.items())
        elif isinstance(entry, str) and entry.strip():
            yield entry, {}, place
        else:
            hint = "for example track: tensorboard, or track: {mlflow: {experiment: first}}"
            fail("wrong-type", expected("the name of a tracker", entry), hint, below=place)


def _errors_in_settings(name: str, settings: object, place: KeyPath) -> Iterator[Diagnostic]:
    if settings is None:
        return
    if not isinstance(settings, dict):
        hint = f"for example {name}: {{{next(iter(BUILT_IN[name].settings), 'key') if name in BUILT_IN else 'key'}: …}}"
        yield Diagnostic("wrong-type", expected("a mapping of settings", settings), place, hint)
        return
    known = BUILT_IN[name].settings if name in BUILT_IN else None
    for key, entry in settings.items():
        if known is not None and key not in known:
            hint = did_you_mean(str(key), known) or f"settings of {name}: {', '.join(known)}"
            yield Diagnostic("unknown-key", f"unknown key '{shortened(str(key))}'", (*place, key), hint, at_key=True)
        else:
            yield from _errors_in_setting(entry, (*place, key))


def _errors_in_setting(entry: object, place: KeyPath, depth: int = 0) -> Iterator[Diagnostic]:
    """Scalars, lists of them, and mappings of one level."""
    if isinstance(entry, dict) and depth == 0:
        for key, inner in entry.items():
            yield from _errors_in_setting(inner, (*place, key), 1)
    elif isinstance(entry, list | tuple) and depth == 0:
        for position, inner in enumerate(entry):
            yield from _errors_in_setting(inner, (*place, position), 2)
    elif isinstance(entry, float) and not math.isfinite(entry):
        yield Diagnostic("wrong-type", expected("a finite number", entry), place)
    elif entry is not None and not isinstance(entry, str | int | float):
        hint = "a setting is a string, a number, a list of these, or a mapping of one level"
        yield Diagnostic("wrong-type", expected("a string or a number", entry), place, hint)


def _plain(entry: Any) -> Any:  # noqa: ANN401 - a value of YAML
    """Without nulls, which stand for the default."""
    if isinstance(entry, dict):
        return {str(key): _plain(inner) for key, inner in entry.items() if inner is not None}
    if isinstance(entry, list | tuple):
        return tuple(_plain(inner) for inner in entry if inner is not None)
    if isinstance(entry, bool):
        return entry
    return next((kind(entry) for kind in (int, float) if isinstance(entry, kind)), str(entry))
