"""What a learner lays over a task: a map of options, the full form, or entries by iteration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rose_cli.diagnostic import nearest
from rose_cli.spec.rejection import Slip, expected, reject, reject_any, shortened

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_DIGITS = re.compile(r"-?[0-9]+")
_EVERY_OTHER = ("default", "defaults", "else", "other", "others", "otherwise", "rest", "all", "any", "*", "_")
_UNDER_OPTIONS = "put it under 'options:', as in {options: {--n: 5}, timeout: 30m}"


def _override_hint(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[^\s:]+:[^\s:]+", value):
        return f"write a space after the colon: {shortened(value).replace(':', ': ')}"
    return "for example {--n_labeled: 300}, or in full {options: {--n_labeled: 300}, timeout: 30m}"


def override_form(value: object, known: Collection[str]) -> dict[Any, Any]:
    """The full form: a bare map of options becomes `{options: …}`, where no key of it is one that a task has."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        reject("wrong-type", expected("a map of options", value), _override_hint(value))
    if any(key in known for key in value):
        _refuse_options_among(value, known)
        return value
    slips = [slip for key, entry in value.items() for slip in _slips_of_bare(key, entry, known)]
    reject_any(slips)
    return {"options": value}


def _slips_of_bare(key: str | int, entry: object, known: Collection[str]) -> list[Slip]:
    if isinstance(key, int) and isinstance(entry, dict):
        hint = "iterations stand right under the task of a learner"
        return [Slip("wrong-type", f"iteration {key} cannot stand here", hint, (key,), at_key=True)]
    if key == "hold":
        hint = "write 'hold' beside the keys of iterations, as in {0: {--n: 10}, 5: {--n: 20}, hold: true}"
        return [Slip("unknown-key", "'hold' goes with iterations, and there are none", hint, ("hold",), at_key=True)]
    word = nearest(str(key), known, ratio=0.8) if not str(key).startswith("-") else None
    if word is None:
        return []
    hint = f"did you mean '{word}'? an option of this name goes under 'options:'"
    return [Slip("unknown-key", f"unknown key '{shortened(str(key))}'", hint, (key,), at_key=True)]


def _refuse_options_among(value: dict[Any, Any], known: Collection[str]) -> None:
    """`{--n: 5, timeout: 30m}`: beside a key of a task, options stand under `options`."""
    beside = next(key for key in value if key in known)
    message = f"the option '{{}}' stands beside '{beside}'"
    slips = [
        Slip("unknown-key", message.format(shortened(key)), _UNDER_OPTIONS, (key,), at_key=True)
        for key in value
        if isinstance(key, str) and key.startswith("-")
    ]
    reject_any(slips)


def refuse_double_options(options: Mapping[str, object] | None, adaptive: Mapping[str, object] | None) -> None:
    message, hint = "'{}' stands under 'options' too", "take one of the two away"
    slips = [
        Slip("duplicate-key", message.format(name), hint, ("adaptive", name), at_key=True)
        for name in adaptive or ()
        if name in (options or ())
    ]
    reject_any(slips)


# --- schedules by iteration ----------------------------------------------------------------------------------------


def is_by_iteration(value: object) -> bool:
    """By the majority of the keys, so that one stray key is what gets reported."""
    if not isinstance(value, dict):
        return False
    keys = [key for key in value if key != "hold"]
    numbers = [key for key in keys if _DIGITS.fullmatch(str(key))]
    maps = [key for key in numbers if isinstance(value[key], dict)]
    return bool(maps) or len(numbers) * 2 > len(keys) or (bool(numbers) and "hold" in value)


def iteration_key(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        reject("bad-iteration-key", f"'{shortened(str(value))}' is no iteration", _iteration_hint(str(value)))
    if value < -1:
        hint = "iterations count from 0; -1 stands for all that have no key of their own"
        reject("bad-iteration-key", f"{value} is no iteration", hint)
    return value


def _iteration_hint(word: str) -> str:
    if _DIGITS.fullmatch(word):
        return f"write {word} without quotes"
    if word.lower() in _EVERY_OTHER:
        return "write -1 for all iterations that have no key of their own"
    if re.fullmatch(r"[0-9]+ *(-|\.\.+|:|to) *[0-9]*|[0-9]+\+|[<>]=? *[0-9]+", word):
        return "a key is one iteration; with 'hold: true' beside the keys each counts until the next one"
    if re.fullmatch(r"\[?[0-9]+( *, *[0-9]+)+\]?", word):
        return "a key is one iteration: write an entry for each"
    return "every key is a whole number from 0, or -1 for all others; options go inside, as in 0: {--n: 10}"
