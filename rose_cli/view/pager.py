"""Long output, one screen after the other: through the user's pager, on a terminal."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.cells import cell_len

from rose_cli.util.signals import handled_by
from rose_cli.view.console import can_redraw, is_in_foreground, printable, terminal_size, width_off_terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import TextIO

_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"

_NO_PAGER = ("", "cat")


def line_width(stream: TextIO) -> int:
    """The columns of the stream's terminal, or those of a table in a file or a pipe."""
    return terminal_size(stream)[0] if stream.isatty() else width_off_terminal()


def show_pages(lines: Iterable[str], *, wanted: bool = True) -> None:
    """Print the lines; those that do not fit on the terminal through a pager, if one is `wanted` and there is one.

    Headings are bold on a terminal: lines without indentation that end in a colon or a bracket, and the first.
    """
    if not can_redraw(sys.stdout):
        for line in lines:
            sys.stdout.write(f"{printable(line, sys.stdout)}\n")
        return
    texts = (_styled(printable(line, sys.stdout), is_first=n == 0) for n, line in enumerate(lines))
    command = _pager(os.environ) if wanted and is_in_foreground(sys.stdout) else None
    first = list(_page(texts)) if command is not None else []
    rest = next(texts, None) if command is not None else None
    if command is None or rest is None:
        sys.stdout.writelines(f"{text}\n" for text in (*first, *texts))
    else:
        _page_through(command, _chained(first, rest, texts))


def _chained(first: Sequence[str], following: str, rest: Iterator[str]) -> Iterator[str]:
    yield from first
    yield following
    yield from rest


def _styled(text: str, *, is_first: bool) -> str:
    is_heading = is_first or (text[:1] not in ("", " ") and text[-1] in ":)")
    return f"{_BOLD}{text}{_PLAIN}" if is_heading and not os.environ.get("NO_COLOR") else text


def _page(texts: Iterator[str]) -> Iterator[str]:
    """As many lines as fit on the terminal, below which the shell's prompt needs one."""
    columns, room = terminal_size(sys.stdout)
    room -= 1
    for text in texts:
        yield text
        plain = text.removeprefix(_BOLD).removesuffix(_PLAIN)
        room -= max(1, -(-cell_len(plain) // columns))
        if room <= 0:
            return


def _pager(environment: Mapping[str, str]) -> list[str] | None:
    """The words of the user's pager, or of `less`; None if they want none, or it is not installed."""
    try:
        words = shlex.split(environment.get("PAGER", "less"))
    except ValueError:
        return None
    return words if words and words[0] not in _NO_PAGER and shutil.which(words[0]) is not None else None


def _page_through(command: Sequence[str], texts: Iterator[str]) -> None:
    """Feed the pager until it has everything or the user quits. Ctrl-C belongs to the pager."""
    given = os.environ.get("LESS")
    variables = {"LESS": "FRX" if given is None else f"-R {given}"}
    with handled_by(lambda _: None):
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, env={**os.environ, **variables}, text=True,
                encoding=sys.stdout.encoding, errors="replace",
            )  # fmt: skip
        except OSError:
            sys.stdout.writelines(f"{text}\n" for text in texts)
            return
        with process:
            if process.stdin is not None:
                with suppress(BrokenPipeError), process.stdin:
                    process.stdin.writelines(f"{text}\n" for text in texts)
            process.wait()
