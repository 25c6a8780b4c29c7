"""The output of a task: the last lines that it printed, and its report.

Only the end of a file is read, so that gigabytes of output cost nothing. Only regular files are opened: nothing here
blocks. Bytes that are not UTF-8 are shown as replacement characters and never fail a task.
"""

from __future__ import annotations

import codecs
import json
import os
from contextlib import suppress
from dataclasses import field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from rose_cli.engine import function
from rose_cli.journal.codec import is_shallow
from rose_cli.loop.numerals import cleaned
from rose_cli.runs.directory import unusable
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.files import OpenDirectory, open_inside, open_regular
from rose_cli.util.shortage import shortage
from rose_cli.util.text import cut

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rose_cli.util.redact import Secrets

REPORT_BYTES = function.REPORT_BYTES
SLACK_BYTES = 1 << 12
"""Allowed for spaces and line ends around a report."""
SHOWN_LINES = 10
SHOWN_WIDTH = 300

_LAST_LINE = "the last line of its output"


@dataclass(frozen=True)
class FileEnd:
    """The end of a regular file, with the size and the modification time of the file."""

    size: int
    mtime_ns: int
    data: bytes

    @property
    def is_whole(self) -> bool:
        return self.size <= len(self.data)

    @property
    def signature(self) -> str:
        """Changes whenever the file is written; not if it is copied with its times, linked, or its mode is changed."""
        return f"{self.size}:{self.mtime_ns}:{blake2b(self.data, digest_size=8).hexdigest()}"


def same_content(signature: str, other: str | None) -> bool:
    """Whether two signatures belong to the same bytes, regardless of when they were written."""
    return other is not None and signature.split(":")[::2] == other.split(":")[::2]


def end_of(path: Path, size: int, *, inside: Path, own_links_out: bool = False) -> FileEnd | None:
    """The last `size` bytes of a regular file; None if it does not exist or cannot be read.

    It is reached from the run directory `inside`, following links as `open_inside` does.
    """
    try:
        # opening it makes a network file system ask its server for the present state
        descriptor = opened(path, inside=inside, own_links_out=own_links_out)
        try:
            status = os.fstat(descriptor)
            return FileEnd(status.st_size, status.st_mtime_ns, _read_end(descriptor, status.st_size, size))
        finally:
            os.close(descriptor)
    except OSError:
        return None


def _read_end(descriptor: int, length: int, size: int) -> bytes:
    offset, data = max(0, length - size), b""
    while len(data) < size and (chunk := os.pread(descriptor, size - len(data), offset + len(data))):
        data += chunk
    return data


def opened(path: Path, *, inside: Path, own_links_out: bool) -> int:
    """A descriptor of such a file. Raises OSError."""
    try:
        with OpenDirectory.at(path.parent, inside=inside) as directory:  # usually there is no link on the way
            return open_regular(path.name, dir_fd=directory.descriptor)
    except FileNotFoundError:
        raise
    except (OSError, ValueError):
        _refresh(path.parent)
        with OpenDirectory.at(inside, inside=inside) as top:
            return open_inside(top, os.path.relpath(path, inside), own_links_out=own_links_out)


def _refresh(directory: Path) -> None:
    """Opening a directory makes a network file system ask its server which files exist."""
    with suppress(OSError):
        os.close(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


def last_lines(path: Path, secrets: Secrets, count: int = SHOWN_LINES, *, inside: Path) -> tuple[str, ...]:
    """The last lines of a file that are not blank, with secrets masked, each cut to a width that fits a screen."""
    end = end_of(path, count * 4096 + secrets.longest, inside=inside)
    text = secrets.masked(end.data.decode("utf-8", "replace")) if end else ""
    if end and not end.is_whole:
        text = text[secrets.longest :]  # the rest of a secret that is cut off
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return tuple(cut(line, SHOWN_WIDTH) for line in lines[-count:])


@dataclass(frozen=True)
class Report:
    """The report of a task; `problem` says why it is not kept."""

    result: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None


def report_of(result_file: Path, stdout: Path, *, inside: Path) -> Report:
    """The JSON object in the result file, or on the last line of standard output."""
    _refresh(result_file.parent)
    if not os.path.lexists(result_file):
        return _report_in_output(stdout, inside)
    end = end_of(result_file, REPORT_BYTES + SLACK_BYTES, inside=inside)
    if end is None:
        return Report(problem="$ROSE_RESULT is not a regular file inside the run, or cannot be read")
    data = end.data.strip()
    if not end.is_whole or len(data) > REPORT_BYTES:
        return Report(problem=_too_large("$ROSE_RESULT", end.size))
    report = _parsed(data)
    return Report(problem=f"$ROSE_RESULT {report}") if isinstance(report, str) else Report(report)


def remove_old_report(result_file: Path, *, inside: Path) -> None:
    """Delete a result file from before the attempt: it is not its report, and as a link it might point anywhere.

    Raises RunDirectoryError; LearnerDirectoryError if a task has removed the permission to do so.
    """
    _refresh(result_file.parent)
    if not os.path.lexists(result_file):  # the usual case
        return
    try:
        with OpenDirectory.at(result_file.parent, inside=inside) as directory:
            os.unlink(result_file.name, dir_fd=directory.descriptor)
    # a directory is not a report; without the directory of the logs, the attempt will not start
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        pass
    except PermissionError as error:
        raise unusable(result_file.parent, error) from error
    except OSError as error:
        message = f"cannot remove '{result_file}', which existed before its task: {error.strerror}"
        raise shortage(error) or RunDirectoryError(message, "remove it, then `rose resume`") from error


def _report_in_output(stdout: Path, inside: Path) -> Report:
    end = end_of(stdout, REPORT_BYTES + SLACK_BYTES, inside=inside)
    if end is None:
        return Report()
    text = end.data.rstrip()
    start = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
    if start == 0 and not end.is_whole:
        return _report_in_long_line(text)
    last = text[start:].strip()
    line = cleaned(last.decode("utf-8", "replace")).strip().encode() if b"\x1b" in last else last
    line = line.removeprefix(codecs.BOM_UTF8)
    if not line.startswith(b"{"):
        return _report_over_lines(text) if line == b"}" else Report()
    if len(line) > REPORT_BYTES:
        return Report(problem=_too_large(_LAST_LINE, len(line)))
    report = _parsed(line)
    return Report(problem=f"{_LAST_LINE} {report}") if isinstance(report, str) else Report(report)


def _report_in_long_line(text: bytes) -> Report:
    """A line that is longer than any report: its end shows whether it was meant to be one."""
    if not text.endswith(b"}"):
        return Report()
    return Report(problem=_too_large(f"{_LAST_LINE}, cut here,", len(text)))


def _report_over_lines(text: bytes) -> Report:
    """The output of `json.dumps(…, indent=2)` was meant to be a report."""
    start = 0 if text.startswith(b"{") else text.rfind(b"\n{") + 1
    is_object = text[start : start + 1] == b"{" and isinstance(_parsed(text[start:]), dict)
    return (
        Report(problem="its output ends with JSON over several lines: print it on one line") if is_object else Report()
    )


def _too_large(what: str, size: int) -> str:
    return f"{what} has {size:,} bytes; the maximum is {REPORT_BYTES:,}"


def _parsed(data: bytes) -> dict[str, Any] | str:
    """The object, or what is wrong with it."""
    if not data:
        return "is empty"
    try:
        value = json.loads(data.decode("utf-8", "replace").removeprefix("\ufeff"))
    except RecursionError:
        return "is nested too deeply"
    except json.JSONDecodeError as error:
        return f"is not JSON ({error.msg}, character {error.pos + 1}): print it with json.dumps"
    except ValueError:
        return "contains a number with too many digits"
    if isinstance(value, dict) and not is_shallow(value):
        return "is nested too deeply"
    return value if isinstance(value, dict) else 'is not a JSON object, as in {"loss": 0.1}'
