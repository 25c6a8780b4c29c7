"""The text of a campaign file: read within bounds, decoded as UTF-8, with line and column of every character."""

from __future__ import annotations

import os
import re
import shlex
import stat
from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING

from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import CampaignError, Diagnostic, Severity, Span, UsageError
from rose_cli.util.text import listed, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_BYTES = 1 << 22

WHITESPACE = " \t\r\n"  # what YAML takes for whitespace; str.strip() takes more

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Control characters, line breaks of YAML 1.1 and Python that editors do not know, and what cannot be encoded at all.
# Without them a line is the same for YAML, for `str.splitlines` and for an editor.
_ODD_RANGES = ((0x00, 0x08), (0x0B, 0x0C), (0x0E, 0x1F), (0x7F, 0x9F), (0x2028, 0x2029), (0xD800, 0xDFFF))

_ODD_NUMBERS = (0xFEFF, 0xFFFE, 0xFFFF, *(n for first, last in _ODD_RANGES for n in range(first, last + 1)))

_ODD = re.compile("[\ufeff\ufffe\uffff" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _ODD_RANGES) + "]")

_LINE_BREAK = re.compile(r"\r\n|\r|\n")

_UTF_16_OR_32 = re.compile(rb"\xff\xfe|\xfe\xff|\x00\x00\xfe\xff|[^\x00]\x00[^\x00]\x00|\x00[^\x00]\x00[^\x00]")

_MAX_ODD_LINES = 20


@dataclass(frozen=True)
class Source:
    """A text and its name in messages. Offsets count characters from 0, spans count from 1."""

    name: str
    text: str

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in _LINE_BREAK.finditer(self.text))]

    def span(self, start: int, end: int) -> Span:
        return Span(*self._line_and_column(start), *self._line_and_column(max(start, end)))

    def line_number(self, offset: int) -> int:
        return self._line_and_column(offset)[0]

    def line_start(self, offset: int) -> int:
        return self._line_starts[self.line_number(offset) - 1]

    def line_at(self, offset: int) -> str:
        """The whole line at the offset, without its line break."""
        start = self.line_start(offset)
        end = _LINE_BREAK.search(self.text, start)
        return self.text[start : end.start() if end else len(self.text)]

    def _line_and_column(self, offset: int) -> tuple[int, int]:
        offset = min(offset, len(self.text))
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def diagnostic(
        self,
        code: str,
        message: str,
        place: tuple[int, int],
        hint: str | None = None,
        severity: Severity = Severity.ERROR,
    ) -> Diagnostic:
        """`place` is the first offset and the one after the last."""
        return Diagnostic(code, message, hint=hint, severity=severity, file=self.name, span=self.span(*place))


def read_bytes(path: Path, name: str) -> bytes:
    """The contents of a regular file, at most one byte over the limit; anything else is a `UsageError`."""
    try:
        # without O_NONBLOCK, opening a named pipe waits for its writer
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise _cannot_read(name, error) from error
    if os.path.isdir(path):  # noqa: PTH112 - pathlib's raises for a name too long
        os.close(descriptor)
        raise UsageError(f"cannot read {quoted(name)}: it is a directory", _directory_hint(path))
    try:
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123  # the descriptor is what was checked
            return _read_regular(file.fileno(), name)
    except OSError as error:
        raise _cannot_read(name, error) from error


def _read_regular(descriptor: int, name: str) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        hint = "name a campaign file, e.g. campaign.yaml"
        raise UsageError(f"cannot read {quoted(name)}: it is a pipe or a device", hint)
    if status.st_size > MAX_BYTES:
        raise too_large(name)
    chunks, wanted = [], MAX_BYTES + 1
    while wanted and (chunk := os.read(descriptor, wanted)):
        chunks.append(chunk)
        wanted -= len(chunk)
    return b"".join(chunks)


_CAMPAIGN = re.compile(rb"^tasks[ \t]*:", re.MULTILINE)

_MAX_FILES_IN_HINT = 5


def _directory_hint(path: Path) -> str:
    """The campaign files in a directory, of its first files that are YAML by their name."""
    try:
        names = sorted(name for name in os.listdir(path)[:1000] if name.endswith((".yaml", ".yml")))[:50]  # noqa: PTH208
    except OSError:
        names = []
    found = [str(path / name) for name in names if _is_campaign(path / name)]
    if not found:
        return "there is no campaign file in it; `rose init` creates one"
    return f"name a campaign file in it: {listed([shlex.quote(name) for name in found], _MAX_FILES_IN_HINT)}"


def _is_campaign(path: Path) -> bool:
    try:
        return _CAMPAIGN.search(read_bytes(path, path.name)) is not None
    except (UsageError, OSError):
        return False


def _cannot_read(name: str, error: Exception) -> UsageError:
    reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is not a file name"
    return UsageError(f"cannot read {quoted(name)}: {reason}", "check the path and its permissions")


def too_large(name: str) -> CampaignError:
    message = f"the file is larger than {MAX_BYTES // 1024} KiB, more than any campaign file needs"
    return CampaignError([Diagnostic("file-too-large", message, hint="is this the campaign file?", file=name)], "")


def decode(data: bytes | str, name: str) -> tuple[Source, list[Diagnostic]]:
    """The text without its byte order mark, and the errors in its characters.

    Each wrong character is replaced by a single one, so that the text can be parsed, printed and pointed into.
    """
    if len(data) > MAX_BYTES:
        raise too_large(name)
    if isinstance(data, bytes):
        if _UTF_16_OR_32.match(data):
            message, hint = "the file is in UTF-16 or UTF-32, not in UTF-8", "save it as UTF-8"
            raise CampaignError([Diagnostic("not-utf8", message, hint=hint, file=name, span=Span(1, 1, 1, 1))], "")
        data = data.decode("utf-8", errors="surrogateescape")
    text = data.removeprefix("\ufeff")
    if not _ODD.search(text):
        return Source(name, text), []
    source = Source(name, text.translate(dict.fromkeys(_ODD_NUMBERS, REPLACEMENT)))
    return source, list(_odd_characters(text, source))


def _odd_characters(text: str, source: Source) -> Iterator[Diagnostic]:
    """The first of each line, on the first lines: a binary file has thousands."""
    offset = 0
    for _ in range(_MAX_ODD_LINES):
        match = _ODD.search(text, offset)
        if match is None:
            return
        yield _odd_character(match, source)
        line_break = _LINE_BREAK.search(text, match.end())
        offset = line_break.end() if line_break else len(text)


def _odd_character(match: re.Match[str], source: Source) -> Diagnostic:
    number = ord(match.group())
    if 0xDC80 <= number <= 0xDCFF:  # a byte that surrogateescape let through
        byte = bytes([number - 0xDC00])
        latin = byte.decode("latin-1")
        meaning = f"; it is {quoted(latin)} in Latin-1" if latin.isprintable() else ""
        message = f"the byte 0x{byte.hex()} is not UTF-8"
        return source.diagnostic("not-utf8", message, match.span(), f"save the file as UTF-8{meaning}")
    message = f"the character U+{number:04X} cannot be used in a campaign file"
    hint = 'delete it; inside double quotes it can be written as an escape, e.g. "\\e"'
    return source.diagnostic("odd-character", message, match.span(), hint)
