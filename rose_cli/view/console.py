"""Text to a terminal: the one place that makes rich consoles, and that makes foreign text harmless."""

from __future__ import annotations

import codecs
import os
import re
import sys
import threading
from typing import IO, TYPE_CHECKING, cast

from rich.console import Console
from rich.text import Text

from rose_cli.util.redact import fit_to_show
from rose_cli.util.streams import give_up

if TYPE_CHECKING:
    from typing import TextIO

# One cell for one cell, so that a table stays a table where the encoding knows no more than ASCII.
_PLAIN_LETTERS = str.maketrans("…━╌▁▂▃▄▅▆▇█✓✗▸■•→↑↓≤│─·★☆—", "~=-_.,-~=^#+x>#*>^v<|-.*o-")


class Outlet:
    """Looks like a text stream to `rich` and to `print`, and never raises: a run goes on without its listener.

    Several threads may write; each call goes out whole.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.is_gone = False
        """Nobody reads any more: `rose run … | head`, a closed terminal, a full disk."""

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
                    give_up(self._stream)
        return len(text)

    def flush(self) -> None:
        """Every write is flushed."""


def encodable(text: str, encoding: str) -> str:
    """The text with plainer letters where the encoding lacks the fine ones."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN_LETTERS).encode(encoding, "replace").decode(encoding)
    except LookupError:
        return text
    return text


WIDTH_OFF_TERMINAL = 100
"""Columns of a table in a file or a pipe, unless COLUMNS says otherwise."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Controls of both sets, line breaks, half surrogates, and what turns the direction of the text around it.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

_COLOUR = re.compile(r"(\x1b\[[0-9;:]{0,40}m)")

_UNFINISHED = re.compile(r"(?:\x1b(?:\[[0-9;:]{0,40})?|\r)\Z")

_LINE_END = re.compile(r"\r\n?")


def safe(text: str, *, keep: str = "") -> str:
    """Foreign text (a name, what a task printed) for one line of a terminal: as long as before, nothing of it acts.

    ESC becomes "␛", a newline "␊", and so on for all that ASCII has a picture of; the rest becomes "�". What is in
    `keep` stays.
    """
    return _HARMFUL.sub(lambda match: match.group() if match.group() in keep else _picture(match), text)


def say(text: str) -> None:
    """A line of the output proper, as a person is to read it: on standard output."""
    line = safe(fit_to_show(text), keep="\n\t") + "\n"
    sys.stdout.write(encodable(line, sys.stdout.encoding))


class Filter:
    """What a program has printed, bytes for bytes, as text for a terminal on which only its colours act.

    Lines, tabs and colours stay, and all else is shown as `safe` does it; a CR by itself, as of a progress bar, ends a
    line. What is half there, at the end of the bytes, waits for the rest.
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
        """What is left; the colours of the terminal are then its own again."""
        text = self._filtered(self._held + self._decoder.decode(b"", final=True))
        self._held = ""
        is_coloured, self._is_coloured = self._is_coloured, False
        return text + ("\x1b[0m" if is_coloured else "")

    def _filtered(self, text: str) -> str:
        parts = _COLOUR.split(text)  # every second one is a colour
        self._is_coloured |= len(parts) > 1
        parts[::2] = [safe(_LINE_END.sub("\n", part), keep="\n\t") for part in parts[::2]]
        return "".join(parts)


def _picture(match: re.Match[str]) -> str:
    number = ord(match.group())
    if number < 0x20:
        return chr(0x2400 + number)
    return "\N{SYMBOL FOR DELETE}" if number == 0x7F else _REPLACEMENT


def open_console(stream: TextIO | Outlet) -> Console:
    """A console that takes text as it is: no markup, no emoji codes, no guessing at what to highlight.

    Colours as the terminal has them; NO_COLOR and FORCE_COLOR are obeyed. Lines are not broken: a command must be
    fit to be copied.
    """
    outlet = stream if isinstance(stream, Outlet) else Outlet(stream)
    return Console(
        file=cast("IO[str]", outlet),
        width=None if outlet.isatty() else _width_off_terminal(),
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=True,
        force_jupyter=False,
        legacy_windows=False,
    )


def terminal_size(stream: TextIO | Outlet) -> tuple[int, int]:
    """Columns and lines of the window behind the stream, as they are now; 80 by 24 where it does not know."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns, lines = 0, 0
    return columns or 80, lines or 24


def can_redraw(stream: TextIO | Outlet) -> bool:
    """Whether the stream is a terminal on which the cursor can be moved."""
    try:
        return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")
    except ValueError:  # closed
        return False


def is_in_foreground(stream: TextIO | Outlet) -> bool:
    """Whether the terminal is ours to draw on; it is the shell's while rose runs with `&` or after Ctrl-Z and `bg`."""
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return True


def notice(message: str) -> None:
    """A line for the user beside the output proper: on standard error."""
    open_console(sys.stderr).print(Text(safe(fit_to_show(message))))


def complain(message: str, hint: str | None = None) -> None:
    """Why rose could not do its work, and what to do about it; on standard error."""
    line = Text.assemble(("error:", "bold red"), f" {safe(fit_to_show(message))}")
    if hint:
        line.append("\n")
        line.append("help:", "bold")
        line.append(f" {safe(fit_to_show(hint))}")
    open_console(sys.stderr).print(line)


def _width_off_terminal() -> int:
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and 0 < int(columns) < 10_000 else WIDTH_OFF_TERMINAL
