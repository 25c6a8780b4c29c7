"""What a task left behind: the last lines of its output, a reported result, the criterion's value.

Only the end of a file is read, so that a task that prints gigabytes costs nothing. Bytes that are no UTF-8 are shown
as replacement characters and never fail a task.
"""

from __future__ import annotations

import json
import math
import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rose_cli.plan.model import Reading

TAIL_BYTES = 1 << 20
RESULT_BYTES = 1 << 16
SHOWN_LINES = 10
SHOWN_WIDTH = 300

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|infinity|nan)", re.IGNORECASE | re.ASCII)


class NoMetricError(ValueError):
    """The criterion gave no number; the message says what it gave and what was expected."""


def last_lines(path: Path, count: int = SHOWN_LINES) -> tuple[str, ...]:
    """The last lines of a file that are not blank, each cut to a width that a screen can show."""
    lines = [line.rstrip() for line in _tail(path, count * 4096).splitlines() if line.strip()]
    return tuple(line if len(line) <= SHOWN_WIDTH else f"{line[: SHOWN_WIDTH - 1]}…" for line in lines[-count:])


def reported_result(result_file: Path, stdout: Path) -> Mapping[str, Any]:
    """The JSON object in the result file, or on the last line of standard output; empty where there is none."""
    text = _tail(result_file, RESULT_BYTES) if result_file.is_file() else _last_line(_tail(stdout, RESULT_BYTES))
    text = text.strip()
    if not text.startswith("{") or len(text) >= RESULT_BYTES:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def read_metric(reading: Reading, stdout: Path, workspace: Path) -> float:
    """The criterion's value. Raises NoMetricError where there is none."""
    path = workspace / reading.file if reading.file is not None else stdout
    source = f"'{reading.file}'" if reading.file is not None else "its standard output"
    if not path.is_file():
        message = f"expected the metric in {source}: there is no such file in the workspace"
        raise NoMetricError(message)
    text = _tail(path, TAIL_BYTES)
    if reading.json_path is not None:
        return _from_json(text, reading.json_path, source)
    if reading.regex is not None:
        return _from_regex(text, reading.regex, source)
    return _number(_last_line(text), f"the last line of {source}")


def _from_json(text: str, path: str, source: str) -> float:
    value = _json(text, source)
    keys = path.split(".")
    while keys:
        used = _matching(value, keys)
        if used is None:
            message = f"expected the key '{path}' in the JSON of {source}, which has {_shown(value)}"
            raise NoMetricError(message)
        key: str | int = ".".join(keys[:used])
        value, keys = value[int(key) if isinstance(value, list) else key], keys[used:]
    if isinstance(value, float):
        return value
    return _number(value if isinstance(value, str) else json.dumps(value), f"'{path}' in the JSON of {source}")


def _matching(value: object, keys: list[str]) -> int | None:
    """How many of the keys name what is in `value`: one, or more where a key holds points; None: nothing is there."""
    if isinstance(value, dict):
        return next((used for used in range(len(keys), 0, -1) if ".".join(keys[:used]) in value), None)
    is_place = isinstance(value, list) and re.fullmatch(r"-?[0-9]{1,9}", keys[0]) is not None
    return 1 if is_place and -len(value) <= int(keys[0]) < len(value) else None  # type: ignore[arg-type]


def _json(text: str, source: str) -> Any:  # noqa: ANN401 - any JSON
    for candidate in (_last_line(text), text):
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):  # noqa: PERF203 - two rounds
            continue
    message = f"expected JSON in {source}; {_ending(text)}"
    raise NoMetricError(message)


def _from_regex(text: str, regex: str, source: str) -> float:
    last = None
    for match in re.finditer(regex, text, re.MULTILINE):
        last = match
    if last is None:
        message = f"expected {source} to match '{regex}'; {_ending(text)}"
        raise NoMetricError(message)
    return _number(last.group(1 if last.re.groups else 0) or "", f"what '{regex}' finds in {source}")


def _number(text: str, place: str) -> float:
    if not _NUMBER.fullmatch(text.strip()):
        found = _shown(text) if text.strip() else "nothing"
        message = f"expected a number on {place}, found {found}{_advice(text)}"
        raise NoMetricError(message)
    return float(text)


def _advice(text: str) -> str:
    if text.lstrip().startswith("{"):
        return "; for a key of a JSON object write read: {json: KEY}"
    if any(_is_number(word) for word in re.split(r"[\s=:,]+", text)):
        return "; for a number within a line write read: {regex: 'name=(\\S+)'}"
    return ""


def _is_number(word: str) -> bool:
    return bool(_NUMBER.fullmatch(word)) and math.isfinite(float(word))


def _ending(text: str) -> str:
    line = _last_line(text)
    return f"it ends in {_shown(line)}" if line else "it is empty"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return f"the keys {', '.join(list(value)[:10])}" if value else "no keys"
    if isinstance(value, list):
        return f"a list of {len(value)}, counted from 0"
    text = str(value).strip()
    return f"'{text}'" if len(text) <= 120 else f"'{text[:117]}...'"


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def _tail(path: Path, size: int) -> str:
    """The last `size` bytes of a regular file as text; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - size))
            return file.read(size).decode("utf-8", "replace")
    except OSError:
        return ""
