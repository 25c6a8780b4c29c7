"""The words of a command, and where each of them stands in what the user wrote."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from rose_cli.spec.placeholders import placeholder_mistakes
from rose_cli.spec.rejection import Slip, expected, reject, reject_any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.diagnostic import KeyPath

MAX_MISTAKES = 20
EXAMPLE = "for example executable: python sim.py"

# The parts of a command line as a shell, and Python's shlex, see them: what none of these is never ends.
_PART = re.compile(
    r"""(?P<blank>[ \t\r\n]+) | '[^']*' | "(?:\\.|[^"\\])*" | \\. | [^ \t\r\n'"\\]+ | (?P<open>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class ForShell:
    """What was given as a command beside `shell: true`."""

    value: object


@dataclass(frozen=True)
class CommandLine:
    """`stretches` holds offset and length of each word where a text was given, None where a list was."""

    words: tuple[str, ...]
    stretches: tuple[tuple[int, int], ...] | None = None

    def place(self, position: int) -> tuple[KeyPath, tuple[int, int] | None]:
        """Where a word stands: what leads from the command to it, and its stretch inside of the text there."""
        return ((position,), None) if self.stretches is None else ((), self.stretches[position])


def command_line(value: object) -> CommandLine:
    """The command that a user gave: words in a text or a list, or one line for a shell, whatever is in it."""
    if isinstance(value, ForShell):
        return _shell_line(value.value)
    if isinstance(value, list | tuple) and value:
        return _listed(value)
    return _split(_text(value))


def _shell_line(value: object) -> CommandLine:
    if isinstance(value, list | tuple):
        if len(value) != 1:
            reject("wrong-type", "expected one line for the shell, not a list of words", "write it as one text")
        return _listed(value)
    text = _text(value)
    reject_any(placeholder_slips(text))
    return CommandLine((text,), ((0, len(text)),))


def _listed(words: list[object] | tuple[object, ...]) -> CommandLine:
    reject_any(slip for position, word in enumerate(words) for slip in _word_slips(word, position))
    return CommandLine(tuple(str(word) for word in words))


def _word_slips(word: object, position: int) -> Iterator[Slip]:
    if isinstance(word, bool) or not isinstance(word, str | int | float):
        hint = "take it out, or quote it where it is a word"
        yield Slip("wrong-type", expected("a word of the command", word), hint, (position,))
    elif word == "" and position == 0:
        yield Slip("wrong-type", "expected the name of a program, but it is empty", EXAMPLE, (position,))
    else:
        yield from placeholder_slips(str(word), (position,))


def _split(text: str) -> CommandLine:
    reject_any([*placeholder_slips(text), *_unclosed(text)])
    words = tuple(shlex.split(text))
    if not words or not words[0]:
        reject("wrong-type", expected("a command", None), EXAMPLE)
    return CommandLine(words, tuple(_stretches(text)))


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        # there are programs of these names
        hint = f"quote it: '{str(value).lower()}'" if isinstance(value, bool) else EXAMPLE
        reject("wrong-type", expected("a command", None if value == [] or isinstance(value, str) else value), hint)
    return value


def placeholder_slips(text: str, below: KeyPath = ()) -> Iterator[Slip]:
    """The first mistakes of a text: one that has more of them is made for another program."""
    for mistake in islice(placeholder_mistakes(text), MAX_MISTAKES):
        place = (mistake.offset, mistake.length)
        yield Slip("bad-placeholder", mistake.message, mistake.hint, below, place)


def _unclosed(text: str) -> Iterator[Slip]:
    for part in _PART.finditer(text):
        if part["open"] == "\\":
            yield Slip("bad-quotes", "the backslash stands before nothing", "take it out", (), (part.start(), 1))
        elif part["open"]:
            hint = f"close it with {part['open']}, or write \\{part['open']} where it belongs to a word"
            message = "the quote that opens here is never closed"
            yield Slip("bad-quotes", message, hint, (), (part.start(), 1))
            return


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    """Offset and length of each word, its quotes included."""
    start = None
    for part in _PART.finditer(text):
        if part["blank"] is None:
            start = part.start() if start is None else start
        elif start is not None:
            yield start, part.start() - start
            start = None
    if start is not None:
        yield start, len(text) - start
