"""The forms in which a user may write one and the same thing, each brought into the one that a model has."""

from __future__ import annotations

import re

from rose_cli.spec.numbers import whole_number
from rose_cli.spec.rejection import Slip, expected, reject, reject_any

MAX_LEARNERS = 100_000
MAX_TASKS = 1_000
MAX_FILES = 1_000

_DIGITS = re.compile(r"-?[0-9]+")
_CALLED_PILOT = re.compile(r"(radical|rp|pilot)([._ -]?pilot)?", re.IGNORECASE)


# --- tasks and learners ----------------------------------------------------------------------------------------------


def tasks_form(value: object) -> object:
    return bounded(value, MAX_TASKS, "tasks", "let one program do the work of several")


def learner_count(value: object) -> int:
    """The number of learners where no list is given."""
    if isinstance(value, dict):
        hint = "write each as an item of a list: - {name: a, …}"
        reject("wrong-type", expected("a list of learners or their number", value), hint)
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        reject("wrong-type", expected("a list of learners or their number", value))
    if isinstance(value, str) and not _DIGITS.fullmatch(value.strip()):
        reject("wrong-type", expected("a list of learners or their number", value))
    return whole_number(value, 1, MAX_LEARNERS)


def learner_form(value: object) -> object:
    if value is not None and isinstance(value, str | int | float | list):
        hint = f"write {{name: {value}}}" if isinstance(value, str) else "write {} for a learner without settings"
        reject("wrong-type", expected("a map of settings for each learner", value), hint)
    return {} if value is None else value


# --- the engine ----------------------------------------------------------------------------------------------------


def engine_form(value: object) -> object:
    """`local` for `{kind: local}`."""
    kind = value.get("kind") if isinstance(value, dict) else value
    if isinstance(kind, str) and kind != "radical.pilot" and _CALLED_PILOT.fullmatch(kind):
        message = expected("'local' or 'radical.pilot'", kind)
        below = ("kind",) if isinstance(value, dict) else ()
        reject("wrong-value", message, "did you mean 'radical.pilot'?", below=below)
    if not isinstance(value, dict | str):
        reject("wrong-type", expected("'local', 'radical.pilot' or a map", value))
    return {"kind": value} if isinstance(value, str) else value


def gpu_ids(value: object) -> object:
    """For a number of GPUs so many without an id."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1024:
        return [""] * value
    if not isinstance(value, list | tuple):
        reject("wrong-type", expected("the number of GPUs, or a list of their ids", value), "for example gpus: [0, 1]")
    first: dict[str, int] = {}
    slips = [
        Slip("duplicate-name", f"GPU '{each}' is named twice", "name each GPU once", (position,))
        for position, each in enumerate(value)
        if first.setdefault(str(each), position) != position
    ]
    slips += [
        Slip("wrong-value", "a GPU's id is empty", "write a number of GPUs, or their ids: gpus: [0, 1]", (position,))
        for position, each in enumerate(value)
        if str(each).strip() == ""
    ]
    reject_any(slips)
    return value


# --- small ones ----------------------------------------------------------------------------------------------------


def retries_form(value: object) -> object:
    return value if isinstance(value, dict) else {"times": value}


def files_form(value: object) -> object:
    return bounded(value, MAX_FILES, "files", "name the folder that they lie in")


def bounded(value: object, most: int, what: str, hint: str) -> object:
    """`value`, if it is a list or a map of at most so many entries."""
    if isinstance(value, list | dict) and len(value) > most:
        reject("too-large", f"expected at most {most} {what}, not {len(value)}", hint)
    return value


def file_form(value: object) -> object:
    return value if isinstance(value, dict) else {"path": value}


def read_form(value: object) -> object:
    if value in ("last_line", "last line"):
        return {}
    if not isinstance(value, dict):
        hint = "write last_line, {json: KEY}, {regex: 'acc=(\\S+)'} or {file: metrics.json, json: KEY}"
        reject("wrong-type", expected("last_line or a map", value), hint)
    return value
