"""Owns the lines of a terminal that are drawn again and again, below everything that stays.

Between two frames the cursor rests, hidden, on the *first* cell of the region. When the window is resized, a terminal
keeps the cursor on its character and breaks or cuts the lines below it: so "erase from the cursor to the end" removes
the old frame whatever has become of it. With the cursor below the frame one would have to know how many lines it now
takes, and terminals differ.

A program learns of a resize later than the terminal (tmux waits up to 0.25 s), so a frame may come that is too large.
Therefore frames are drawn with line wrapping off, and go from line to line by moving the cursor, which never scrolls;
the room for them is made beforehand, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
WRAP_OFF, WRAP_ON = "\x1b[?7l", "\x1b[?7h"
BEGIN_FRAME, END_FRAME = "\x1b[?2026h", "\x1b[?2026l"  # terminals that know it show a frame at once, others ignore it
ERASE_LINE = "\x1b[2K"

# From the first cell of the window, tmux would take a plain "erase below" for a cleared screen, and keep the old frame
# in its history: so the line goes first, and the rest from its second cell on.
ERASE_BELOW = f"\r{ERASE_LINE}\x1b[C\x1b[J\r"
NEW_LINE, NEXT_LINE = "\r\n", "\r\x1b[B"
SAVE_CURSOR, RESTORE_CURSOR = "\x1b7", "\x1b8"


def _up(lines: int) -> str:
    return f"\r\x1b[{lines}A" if lines > 0 else "\r"


class Region:
    """`write` gets each frame in one piece. A frame has fewer lines than the window."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._height = 0
        self._size: tuple[int, int] | None = None
        self._is_open = False
        self._stands = False

    def draw(self, lines: Sequence[str], size: tuple[int, int], above: Sequence[str] = ()) -> None:
        """A new frame in place of the one before; the lines `above` it are printed to stay."""
        parts = [BEGIN_FRAME, "\r" if self._is_open else HIDE_CURSOR]
        if above or size != self._size or len(lines) != self._height or not self._is_open:
            room = max(0, len(lines) - 1)
            parts += [ERASE_BELOW, *(f"{line}{NEW_LINE}" for line in above), NEW_LINE * room, _up(room)]
        parts += [SAVE_CURSOR, WRAP_OFF, NEXT_LINE.join(f"{ERASE_LINE}{line}" for line in lines), WRAP_ON]
        parts += [RESTORE_CURSOR, END_FRAME]
        self._height, self._size, self._is_open, self._stands = len(lines), size, True, False
        self._write("".join(parts))

    def leave(self) -> None:
        """Put the cursor below the frame and show it: the frame stands, and others may write."""
        if self._is_open:
            self._is_open, self._stands = False, True
            self._write(NEW_LINE * self._height + SHOW_CURSOR)

    def forget(self) -> None:
        """Others write now: what stands here is never drawn over again."""
        self._stands = False

    def replace(self, lines: Sequence[str]) -> None:
        """Put something final, of any height, in the place of the frame that was left standing."""
        before = _up(self._height) + ERASE_BELOW if self._stands else ""
        self._stands = False
        self._write(before + "".join(f"{line}{NEW_LINE}" for line in lines))
