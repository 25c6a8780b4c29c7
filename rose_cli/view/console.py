"""Text for a terminal: rich consoles, text cut to fit, and foreign text made harmless. All output goes through here."""

from __future__ import annotations

import codecs
import os
import re
import sys
import threading
from typing import IO, TYPE_CHECKING, cast

from rich.cells import cell_len, set_cell_size

from rose_cli.util.redact import fit_to_show
from rose_cli.util.streams import discard_output

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from rich.console import Console

# One cell for each cell, so that a table stays aligned if the encoding has only ASCII.
_PLAIN_LETTERS = str.maketrans("…━╌▁▂▃▄▅▆▇█✓✗▸■•→↑↓≤│─·★☆—\N{MULTIPLICATION SIGN}", "~=-_.,-~=^#+x>#*>^v<|-.*o-x")


class SafeStream:
    """A text stream, for `rich` and `print`, that never raises: a run continues even if nobody reads its output.

    Several threads may write; each call is written whole.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.is_gone = False
        """No more output is possible: `rose run … | head`, a closed terminal, a full disk."""

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write and flush."""
        with self._lock:
            if not self.is_gone:
                try:
                    self._stream.write(encodable(text, self.encoding))
                    self._stream.flush()
                except (OSError, ValueError):  # ValueError: the stream was closed
                    self.is_gone = True
                    discard_output(self._stream)
        return len(text)

    def flush(self) -> None:
        """Every write is flushed."""


def encodable(text: str, encoding: str) -> str:
    """The text with ASCII substitutes for characters that the encoding lacks."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN_LETTERS).encode(encoding, "replace").decode(encoding)
    except LookupError:
        return text
    return text


WIDTH_OFF_TERMINAL = 100
"""Columns of a table in a file or a pipe, unless COLUMNS sets another number."""

ELLIPSIS = "…"

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# C0 and C1 control characters, line breaks, lone surrogates, and characters that change the direction of text.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

_COLOUR = re.compile(r"(\x1b\[[0-9;:]{0,40}m)")

_UNFINISHED = re.compile(r"(?:\x1b(?:\[[0-9;:]{0,40})?|\r)\Z")

_LINE_END = re.compile(r"\r\n?")


def safe(text: str, *, keep: str = "") -> str:
    """Foreign text (a name, a task's output) for one line of a terminal: of the same length, with no effect on it.

    ESC becomes "␛", a newline "␊", and so on for every ASCII control character; others become "�". Characters in
    `keep` stay.
    """
    return _HARMFUL.sub(lambda match: match.group() if match.group() in keep else _picture(match), text)


def shortened(text: str, width: int) -> str:
    """The text in at most `width` cells, its end replaced by an ellipsis if it is too long.

    Rich's `Text.truncate` does the same, but leaves a space before the ellipsis.
    """
    text = safe(text)
    if cell_len(text) <= width:
        return text
    return f"{head(text, width - 1)}{ELLIPSIS}" if width > 0 else ""


def shortened_in_middle(text: str, width: int) -> str:
    """As `shortened`, but both ends stay: names of a sweep differ at their ends."""
    text = safe(text)
    if cell_len(text) <= width or width < 5:
        return shortened(text, width)
    tail_width = (width - 1) // 2
    return f"{head(text, width - 1 - tail_width)}{ELLIPSIS}{tail(text, tail_width)}"


_BETWEEN_PARTS = re.compile(r"[,;:=/ ]+")


def shortened_names(names: Sequence[str], width: int) -> list[str]:
    """Names in at most `width` cells each. If one is too long, they lose the parts that are the same in all of them, so
    that those of a sweep can still be told apart: "lr=0.1,n=10" and "lr=0.01,n=10" become "0.1" and "0.01"."""
    shown = [safe(name) for name in names]
    if any(cell_len(name) > width for name in shown):
        parts = [_BETWEEN_PARTS.split(name) for name in shown]
        if len({len(each) for each in parts}) == 1:
            differing = [place for place, each in enumerate(zip(*parts, strict=True)) if len(set(each)) > 1]
            short = [",".join(each[place] for place in differing) for each in parts]
            if len(set(short)) == len(set(shown)) > 1:
                shown = short
    return [shortened_in_middle(name, width) for name in shown]


def head(text: str, width: int) -> str:
    """As much of the beginning as fits into `width` cells."""
    return set_cell_size(text, max(0, width)).rstrip() if cell_len(text) > width else text


def tail(text: str, width: int) -> str:
    """As much of the end as fits into `width` cells."""
    start = len(text)
    while start > 0 and cell_len(text[start - 1 :]) <= width:
        start -= 1
    return text[start:].lstrip()


def say(text: str) -> None:
    """Print a human-readable line to standard output."""
    sys.stdout.write(f"{printable(text, sys.stdout)}\n")


def printable(text: str, stream: TextIO) -> str:
    """The text as it may be written to the stream: without known secrets and without effect on a terminal."""
    return encodable(safe(fit_to_show(text), keep="\n\t"), stream.encoding)


class Filter:
    """The output of a program, fed as bytes, as text that affects a terminal only by its colours.

    Lines, tabs and colours stay; anything else is shown as by `safe`. A lone CR, as of a progress bar, ends a line. An
    incomplete sequence at the end of the bytes waits for the rest.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._is_coloured = False

    def feed(self, data: bytes) -> str:
        text = self._held + self._decoder.decode(data)
        unfinished = _UNFINISHED.search(text)
        cut = unfinished.start() if unfinished else len(text)
        self._held = text[cut:]
        return self._filtered(text[:cut])

    def finish(self) -> str:
        """The rest of the output; afterwards the terminal has its default colours."""
        text = self._filtered(self._held + self._decoder.decode(b"", final=True))
        self._held = ""
        is_coloured, self._is_coloured = self._is_coloured, False
        return text + ("\x1b[0m" if is_coloured else "")

    def _filtered(self, text: str) -> str:
        parts = _COLOUR.split(text)  # every second part is a colour
        self._is_coloured |= len(parts) > 1
        parts[::2] = [safe(_LINE_END.sub("\n", part), keep="\n\t") for part in parts[::2]]
        return "".join(parts)


def _picture(match: re.Match[str]) -> str:
    number = ord(match.group())
    if number < 0x20:
        return chr(0x2400 + number)
    return "\N{SYMBOL FOR DELETE}" if number == 0x7F else _REPLACEMENT


def open_console(stream: TextIO | SafeStream) -> Console:
    """A console that prints text unchanged: no markup, no emoji codes, no automatic highlighting.

    It uses the terminal's colours and respects NO_COLOR and FORCE_COLOR. Lines are not wrapped, so that commands can
    be copied.
    """
    from rich.console import Console

    safe_stream = stream if isinstance(stream, SafeStream) else SafeStream(stream)
    return Console(
        file=cast("IO[str]", safe_stream),
        width=None if safe_stream.isatty() else width_off_terminal(),
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=True,
        force_jupyter=False,
        legacy_windows=False,
    )


def terminal_size(stream: TextIO | SafeStream) -> tuple[int, int]:
    """Columns and lines of the stream's terminal as they are now; 80 by 24 if unknown."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns, lines = 0, 0
    return columns or 80, lines or 24


def can_redraw(stream: TextIO | SafeStream) -> bool:
    """Whether the stream is a terminal whose cursor can be moved."""
    try:
        return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")
    except ValueError:  # closed
        return False


def is_in_foreground(stream: TextIO | SafeStream) -> bool:
    """Whether rose may draw on the terminal; it may not while it runs with `&`, or after Ctrl-Z and `bg`."""
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return True


def notice(message: str, *, folds: bool = False) -> None:
    """Print a line for the user to standard error. `folds`: on a terminal, break it between words."""
    stream, text = SafeStream(sys.stderr), safe(fit_to_show(message))
    if folds and stream.isatty():
        text = folded(text, terminal_size(stream)[0])
    stream.write(f"{text}\n")


def is_colourless(stream: TextIO) -> bool:
    """Whether text printed there has no styles, so that it can be printed without loading rich."""
    return not stream.isatty() and not any(os.environ.get(name) for name in ("FORCE_COLOR", "TTY_COMPATIBLE"))


_WHOLE = re.compile(r"\s*(?:`[^`]*`|'[^']*'|\S)+")


def folded(text: str, width: int) -> str:
    """The text with line breaks between words; commands in backticks and quoted names stay whole, to be copied."""
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    lines = [""]
    for part in _WHOLE.findall(text):
        if lines[-1].strip() and cell_len(lines[-1] + part) > width:
            lines.append(indent + part.lstrip())
        else:
            lines[-1] += part
    return "\n".join(lines)


def complain(message: str, *hints: str | None) -> None:
    """Print an error, and hints on what to do about it, each in a line of its own, to standard error."""
    parts = [("error:", safe(fit_to_show(message)))]
    for number, hint in enumerate(filter(None, hints)):
        parts.append(("     " if number else "help:", safe(fit_to_show(hint))))
    if is_colourless(sys.stderr):
        SafeStream(sys.stderr).write("".join(f"{label} {text}\n" for label, text in parts))
        return
    from rich.text import Text

    lines = [Text.assemble((label, "bold" if at else "bold red"), f" {text}") for at, (label, text) in enumerate(parts)]
    open_console(sys.stderr).print(Text("\n").join(lines))


def width_off_terminal() -> int:
    """Columns of a table in a file or a pipe."""
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and 0 < int(columns) < 10_000 else WIDTH_OFF_TERMINAL
