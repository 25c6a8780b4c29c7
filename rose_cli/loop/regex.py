"""Searches with a user's regular expression: directly if that is certainly quick, else in a process that can be killed.

Python's re blocks the whole process while it searches, and an expression such as `(a+)+b` may search for years.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from typing import IO

import anyio

from rose_cli.util.processes import add_helper
from rose_cli.util.shortage import process_shortage

SECONDS = 2
"""Of CPU time: a megabyte takes a hundredth of that."""

_MOST_STEPS = 2_000_000
"""A few hundredths of a second."""

_REPEATED_GROUP = re.compile(r"\)[*+?{]")

_MAY_LEAVE_LINE = re.compile(r"\\(?![dSw]|[^\w\s])|\[\^|\(\?(?![:=!]|P<|<[=!])|[\x00-\x1f]")
"""What might match the end of a line: all escapes except those that certainly do not."""

_CHARACTERS = re.compile(r"\\.|\[(?:\\.|[^\]\\])+\]")

_POLL_SECONDS = 0.01

_WAS_FOUND, _WAS_NOT_FOUND = 10, 11

_PROGRAM = """\
import re, resource, sys
seconds, length, megabytes, found, not_found = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
try:
    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
except (ValueError, OSError):
    pass
given = sys.stdin.buffer.read()
regex, text = (part.decode("utf-8", "surrogatepass") for part in (given[:length], given[length:]))
last = None
for last in re.finditer(regex, text, re.MULTILINE):
    pass
if last is None:
    sys.exit(not_found)
sys.stdout.buffer.write((last.group(1 if last.re.groups else 0) or "").encode("utf-8", "surrogatepass"))
sys.stdout.buffer.flush()
sys.exit(found)
"""

_MEGABYTES = 1024


class SlowMatchError(Exception):
    """The search took longer than `SECONDS`, or more memory than any search should."""


def is_quick(regex: str, text: str) -> bool:
    """Whether no search of the text can take long, by the most steps that its repeats and choices allow."""
    if _REPEATED_GROUP.search(regex):
        return False
    parts = [text]
    if not _MAY_LEAVE_LINE.search(regex):
        regex, parts = _CHARACTERS.sub(".", regex), text.split("\n")
    repeats = sum(map(regex.count, "*+{"))
    choices = sum(map(regex.count, "?|"))
    steps: int = sum((len(part) + 1) ** (repeats + 1) for part in parts) << choices
    return steps <= _MOST_STEPS


def last_match(regex: str, text: str) -> str | None:
    """The first group of the last match, or the whole match if there is no group; None if nothing matches."""
    last = None
    for match in re.finditer(regex, text, re.MULTILINE):
        last = match
    return None if last is None else last.group(1 if last.re.groups else 0) or ""


async def find_last(regex: str, text: str) -> str | None:
    """The same, but never blocking, even if the search takes long. Raises SlowMatchError."""
    if is_quick(regex, text):
        return last_match(regex, text)
    pattern = regex.encode("utf-8", "surrogatepass")
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as found:
        given.write(pattern + text.encode("utf-8", "surrogatepass"))
        given.seek(0)
        code = await _searched(len(pattern), given, found)
        if code == _WAS_NOT_FOUND:
            return None
        if code != _WAS_FOUND:
            raise SlowMatchError
        found.seek(0)
        return found.read().decode("utf-8", "surrogatepass")


async def _searched(length: int, given: IO[bytes], found: IO[bytes]) -> int:
    """The exit code of a process that searches; it limits its own CPU time."""
    numbers = map(str, (SECONDS, length, _MEGABYTES, _WAS_FOUND, _WAS_NOT_FOUND))
    try:
        process = subprocess.Popen(  # noqa: ASYNC220 - only waits for the fork
            [sys.executable, "-I", "-S", "-B", "-c", _PROGRAM, *numbers],
            stdin=given, stdout=found, stderr=subprocess.DEVNULL, cwd="/", start_new_session=True,
        )  # fmt: skip
    except (OSError, MemoryError) as error:
        raise process_shortage("the search for the metric", error) from error
    add_helper(process)
    try:
        while (code := process.poll()) is None:  # noqa: ASYNC110 - the kernel kills it
            await anyio.sleep(_POLL_SECONDS)
    finally:
        process.kill()
        process.wait()
    return code
