"""The metric of a criterion: read from output or a file, which must be of this iteration, and checked for its range.

A file counts if a successful attempt has written it: of the criterion, or of another task in the same iteration. An
attempt has written a file if its signature differs before and after; no clock is involved. The journal records what an
attempt wrote, so that a resume comes to the same decision.

Only the end of an output or file is read. Anything that is not certainly the metric's number is rejected: the message
says what was found and what to print instead.
"""

from __future__ import annotations

import errno
import json
import math
import os
import os.path
import re
import time
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any

import anyio

from rose_cli.loop.numerals import (
    Wanted,
    advice_on_line,
    advice_on_regex,
    advice_on_word,
    cleaned,
    last_line,
    number_of,
    number_paths,
)
from rose_cli.loop.output import FileEnd, end_of, opened
from rose_cli.loop.regex import SECONDS, SlowMatchError, find_last
from rose_cli.plan.model import CRITERION
from rose_cli.util.files import OpenDirectory
from rose_cli.util.text import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rose_cli.journal.state import LearnerState
    from rose_cli.loop.returned import Returned
    from rose_cli.plan.model import CriterionPlan, LearnerPlan, MetricSource

METRIC_BYTES = 1 << 20

MOST_CITED = 1 << 12

MOST_ENTRIES = 1000
"""Entries of a directory that are read in search of names like the one that is missing."""

MOST_NEAR = 4

ROUNDING = 1e-6
"""By how much (relative to the bound or 1) a value may exceed the range: in floats, a score of 1 may be 1.0000001."""

GRAIN_SECONDS = 0.02

COARSE_GRAIN_SECONDS = 2.1
"""After this time a rewritten file has another timestamp: systems count in ticks, some file systems in seconds."""

_LINE_END = re.compile(r"\r+\n?|\n")

_UNITS = ((86400, "days"), (3600, "hours"), (60, "min"), (1, "s"))


class NoMetricError(ValueError):
    """The criterion gave no number; the message says what was found and what was expected."""


async def read_metric(
    criterion: CriterionPlan, stdout: Path, workspace: Path, hide: Callable[[str], str] = str, *, inside: Path
) -> float:
    """Read the criterion's value, in the run directory `inside`.

    Raises NoMetricError if there is none; `hide` masks secrets in the text that it quotes.
    """
    reading = criterion.reading
    path = workspace / reading.file if reading.file is not None else stdout
    source = f"'{reading.file}'" if reading.file is not None else "its standard output"
    end = metric_end(path, inside=inside)
    if end is None:
        raise NoMetricError(f"expected the metric in {source}: {_what_is_there(path, workspace, inside, hide)}")
    text = _whole_lines(end)
    lines = cleaned(text)
    if not end.is_whole and not lines.strip():
        raise NoMetricError(f"expected the metric in {source}: its last line is longer than 1 MB")
    wanted = Wanted(criterion.metric, (criterion.lowest, criterion.highest) == (0.0, 1.0), reading.file)
    value = await _Reader(reading, source, wanted, hide).value(lines, text)
    return in_range(value, criterion)


async def returned_metric(
    criterion: CriterionPlan, called: str, returned: Returned | None, hide: Callable[[str], str] = str
) -> float:
    """The criterion's value, as its function returned it: as a number, or in a report by the key that `read` names.

    Raises NoMetricError if there is none.
    """
    path = criterion.reading.json_path
    value = returned.value if returned is not None else None
    if returned is None or returned.problem is not None:
        why = returned.problem if returned is not None else "its process ended before it returned"
        raise NoMetricError(f"expected the number of '{criterion.metric}' from '{called}': {why}")
    if isinstance(value, Mapping) and path is not None:
        wanted = Wanted(criterion.metric, (criterion.lowest, criterion.highest) == (0.0, 1.0), None)
        text = json.dumps(value)
        number = await _Reader(criterion.reading, f"what '{called}' returned", wanted, hide).value(text, text)
    elif isinstance(value, int | float):
        number = as_float(value)
    else:
        what = "nothing" if value is None else "a report"
        advice = "return it" if value is None else f"return it, or name its key: read: {{json: {_first_number(value)}}}"
        raise NoMetricError(f"expected the number of '{criterion.metric}'; '{called}' returned {what}: {advice}")
    return in_range(number, criterion)


def _first_number(report: Mapping[str, Any]) -> str:
    return next((path for path in number_paths(report)), "KEY")


def metric_end(path: Path, *, inside: Path) -> FileEnd | None:
    """The end of the file with the metric, which may be a symbolic link, if a task has moved the file elsewhere."""
    return end_of(path, METRIC_BYTES, inside=inside, own_links_out=True)


def _what_is_there(path: Path, workspace: Path, inside: Path, hide: Callable[[str], str]) -> str:
    if path.is_dir():
        return "that is a directory"
    try:
        os.close(opened(path, inside=inside, own_links_out=True))
    except (FileNotFoundError, NotADirectoryError):
        return _missing(path, workspace, inside, hide)
    except OSError as error:
        return f"{error.strerror}, and is not followed" if error.errno == errno.ELOOP else "that is not a regular file"
    return "it appeared only after the task had ended"


def _missing(path: Path, workspace: Path, inside: Path, hide: Callable[[str], str]) -> str:
    """What is missing, and what the directory has instead: the closest names first."""
    if not path.is_relative_to(workspace):
        return "there is no such file"
    parts = path.relative_to(workspace).parts
    for depth in range(len(parts) - 1, -1, -1):
        with suppress(OSError), OpenDirectory.at(workspace.joinpath(*parts[:depth]), inside=inside) as directory:
            folder, name = "/".join(parts[:depth]), parts[depth]
            what = "no such file" if depth == len(parts) - 1 else f"no directory {quoted(hide(name))}"
            place = f"the directory {quoted(hide(folder))} of the workspace" if folder else "the workspace"
            return f"there is {what} in {place}, {_contents(directory, name, hide)}"
    return "there is no such file in the workspace"


def _contents(directory: OpenDirectory, like: str, hide: Callable[[str], str]) -> str:
    """ "which has 'score0.json', 'out/' and 3 more" """
    with os.scandir(directory.descriptor) as entries:
        seen = [each for each in islice(entries, MOST_ENTRIES) if not each.name.startswith(".")]
        names = sorted(f"{each.name}/" if each.is_dir() else each.name for each in seen)
    if not names:
        return "which is empty"
    near = get_close_matches(like[:100], names, n=MOST_NEAR, cutoff=0.4)
    ordered = [*near, *(name for name in names if name not in near)]
    return f"which has {listed([quoted(hide(name)) for name in ordered], MOST_NEAR)}"


def _whole_lines(end: FileEnd) -> str:
    """The end of a large file without the line that is cut off: part of a number is another number."""
    text = end.data.decode("utf-8", "replace")
    if end.is_whole:
        return text
    first_end = _LINE_END.search(text)
    return text[first_end.end() :] if first_end else ""


def in_range(value: float, criterion: CriterionPlan) -> float:
    lowest, highest = criterion.lowest, criterion.highest
    if lowest is not None and value < lowest - ROUNDING * max(1.0, abs(lowest)):
        raise NoMetricError(_outside(value, criterion))
    if highest is not None and value > highest + ROUNDING * max(1.0, abs(highest)):
        raise NoMetricError(_outside(value, criterion))
    return value


def _outside(value: float, criterion: CriterionPlan) -> str:
    """The message distinguishes percent from a fraction, and a value from one that stands for no value."""
    lowest, highest = criterion.lowest, criterion.highest
    match (lowest, highest):
        case (None, _):
            values = f"up to {highest:g}"
        case (_, None):
            values = f"{lowest:g} and above"
        case _:
            values = f"{lowest:g} to {highest:g}"
    said = f"{value:.15g} is outside the range of '{criterion.metric}', {values}"
    if criterion.value is not None:
        percent = (lowest, highest) == (0.0, 1.0) and 1 < value <= 100
        return f"{said}: {'divide it by 100, or ' if percent else ''}set range: any if such values are valid"
    if (lowest, highest) == (0.0, 1.0) and 1 < value <= 100:
        return f"{said}: print {value / 100:.15g} for {value:.15g} %, or set range: [0, 100] and a threshold in percent"
    if math.isfinite(value):
        return f"{said}: print nan if there is no value, or set range: any if such values are valid"
    return f"{said}: print nan if there is no value"


class _Reader:
    """Finds the number as `read` says; `source` is what messages call the output or file."""

    def __init__(self, reading: MetricSource, source: str, wanted: Wanted, hide: Callable[[str], str]) -> None:
        self._hide = hide
        self._reading = reading
        self._source = source
        self._wanted = wanted

    async def value(self, text: str, raw: str) -> float:
        if self._reading.json_path is not None:
            return self._from_json(text, self._reading.json_path)
        if self._reading.regex is not None:
            return await self._from_regex(text, raw, self._reading.regex)
        line = last_line(text)
        if (number := number_of(line)) is not None:
            return number
        found = self._shown(line) if line else "nothing"
        advice = advice_on_line(line, text, self._wanted) if line else None
        raise _no_number(f"the last line of {self._source}", found, advice)

    def _from_json(self, text: str, path: str) -> float:
        document = value = self._json(text)
        keys = path.split(".")
        while keys:
            used = _matching(value, keys)
            if used is None:
                raise NoMetricError(self._missing_key(path, document, value))
            key: str | int = ".".join(keys[:used])
            value, keys = value[int(key) if isinstance(value, list) else key], keys[used:]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return as_float(value)
        word = value if isinstance(value, str) else json.dumps(value)
        if isinstance(value, str) and (number := number_of(cleaned(value))) is not None:
            return number
        place = f"'{path}' in the JSON of {self._source}"
        raise _no_number(
            place,
            self._shown(value if isinstance(value, dict | list) else word),
            advice_on_word(cleaned(word).strip(), self._wanted),
        )

    def _missing_key(self, path: str, document: object, value: object) -> str:
        last = path.rpartition(".")[2]
        near = [each for each in number_paths(document) if each.rpartition(".")[2] == last and each != path]
        hint = f"; did you mean '{near[0]}'?" if near else ""
        return f"expected the key '{path}' in the JSON of {self._source}, which has {self._shown(value)}{hint}"

    def _json(self, text: str) -> Any:  # noqa: ANN401 - any JSON
        line = last_line(text)
        for candidate in (line, text):
            try:
                return json.loads(candidate)
            except (ValueError, RecursionError):  # noqa: PERF203 - two rounds
                continue
        hint = advice_on_line(line, text, self._wanted) if line.lstrip().startswith("{") else None
        message = f"expected JSON in {self._source}; {self._last_part(line)}{f'; {hint}' if hint else ''}"
        raise NoMetricError(message)

    async def _from_regex(self, text: str, raw: str, regex: str) -> float:
        """Search the text as a person sees it, then the raw output: the expression may be written for either."""
        try:
            found = await find_last(regex, text)
            if found is None and raw != text:
                found = await find_last(regex, raw)
        except SlowMatchError:
            message = f"the search for '{regex}' in {self._source} was stopped after {SECONDS} seconds of CPU time; "
            message += "write an expression without nested repeats, such as (a+)+ or (.*,)*"
            raise NoMetricError(message) from None
        if found is None:
            raise NoMetricError(f"expected {self._source} to match '{regex}'; {self._last_part(last_line(text))}")
        found = cleaned(found)
        if (number := number_of(found)) is not None:
            return number
        advice = advice_on_regex(found, regex, text, self._wanted)
        raise _no_number(
            f"what '{regex}' finds in {self._source}", self._shown(found) if found.strip() else "nothing", advice
        )

    def _last_part(self, line: str) -> str:
        return f"it ends with {self._shown(line)}" if line else "it is empty"

    def _shown(self, value: object) -> str:
        if isinstance(value, dict):
            return f"the keys {', '.join(list(value)[:10])}" if value else "no keys"
        if isinstance(value, list):
            return f"a list of {len(value)}, counted from 0"
        text = self._hide(str(value).strip()[:MOST_CITED])
        return "'" + "".join(map(_visible, text if len(text) <= 120 else f"{text[:117]}...")) + "'"


def _matching(value: object, keys: list[str]) -> int | None:
    """How many of the keys name an entry of `value`: one, or more if a key contains dots; None: there is none."""
    if isinstance(value, dict):
        return next((used for used in range(len(keys), 0, -1) if ".".join(keys[:used]) in value), None)
    is_place = isinstance(value, list) and re.fullmatch(r"-?[0-9]{1,9}", keys[0]) is not None
    return 1 if is_place and -len(value) <= int(keys[0]) < len(value) else None  # type: ignore[arg-type]


def as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer too large for a float is infinite, as such a decimal number is
        return math.inf if value > 0 else -math.inf


def _no_number(place: str, found: str, advice: str | None) -> NoMetricError:
    return NoMetricError(f"expected a number on {place}, found {found}{f'; {advice}' if advice else ''}")


def _visible(character: str) -> str:
    """Spell out invisible characters, which may be why it is not a number; control characters are filtered later."""
    is_hidden = character != " " and unicodedata.category(character) in ("Cf", "Zs", "Zl", "Zp")
    return f"\\u{ord(character):04x}" if is_hidden else character


class MetricFile:
    """The file that a learner's criterion reads, watched from attempt to attempt. `criterion`: the criterion's task."""

    def __init__(self, name: str, workspace: Path, *, inside: Path, criterion: str = CRITERION) -> None:
        self.name = name
        self.criterion = criterion
        self._path = workspace / name
        self._inside = inside
        self._signature: str | None = None
        self._since = 0.0
        self._grain_seconds = GRAIN_SECONDS

    def look(self) -> str | None:
        """The present signature; None if there is no such file."""
        end = metric_end(self._path, inside=self._inside)
        signature = end.signature if end else None
        if end is not None and signature != self._signature:
            self._since = anyio.current_time()
            self._grain_seconds = COARSE_GRAIN_SECONDS if end.mtime_ns % 10**9 == 0 else GRAIN_SECONDS
        self._signature = signature
        return signature

    def written(self) -> float:
        """When it was last written, in UNIX seconds; 0 if there is no such file."""
        end = metric_end(self._path, inside=self._inside)
        return end.mtime_ns / 1e9 if end else 0.0

    async def settle(self) -> None:
        """Wait until the same bytes, if written again, would have another signature."""
        if self.look() is not None:
            await anyio.sleep(max(0.0, self._since + self._grain_seconds - anyio.current_time()))

    def why_stale(self, plan: LearnerPlan, state: LearnerState, run_started: float | None) -> str:
        """Where a file comes from that no successful attempt of this iteration has written, and what to do."""
        end, written = metric_end(self._path, inside=self._inside), self.written()
        origins = [each for each in reversed(state.file_origins) if each.criterion == self.criterion]
        origin = next((each for each in origins if end and each.signature == end.signature), None)
        number = len(state.iterations)
        writer = next((each.task for each in origins if each.iteration == number and not each.failed), None)
        if origin is None and writer is not None:
            message = f"'{self.name}' has changed since '{writer}' wrote it in this iteration{_age(written)}, and by no"
            return f"{message} attempt in the journal; `rose resume` with `--from-iteration {number}` writes it again"
        if origin is not None and origin.failed:
            where = f"an attempt of '{origin.task}' wrote it in iteration {origin.iteration}, and failed"
        elif origin is not None:
            where = f"it is from iteration {origin.iteration}"
        elif any(_holds(file.target, self.name) for file in plan.files):
            where = "it comes from 'files'"
        elif run_started is not None and written < run_started:
            where = "it is older than this run"
        else:
            where = "no successful attempt wrote it"
        message = f"'{self.name}' was not written in this iteration: {where}{_age(written)}"
        return f"{message}; write it in every iteration, and delete the old file when the criterion starts"


def _holds(target: str, name: str) -> bool:
    """Whether `name` is the file at `target` in the workspace, or in the directory at `target`."""
    target, name = os.path.normpath(target), os.path.normpath(name)
    return name == target or name.startswith(f"{target}/")


def _age(written: float) -> str:
    """How old the file is; empty if the clocks of this machine and of the file system disagree."""
    seconds = time.time() - written
    unit, name = next(((unit, name) for unit, name in _UNITS if seconds >= 2 * unit), (1, "s"))
    return f" ({seconds / unit:.0f} {name} old)" if seconds >= 0 else ""
