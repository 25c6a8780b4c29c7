"""Quotes the value of a placeholder for its position in a shell line, which `plan.shell_scanner` finds.

Where a value cannot be quoted, only one that is plain everywhere is allowed.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Literal, TypeAlias

from rose_cli.config.placeholders import pieces_of
from rose_cli.config.rules import MAX_NAME_BYTES
from rose_cli.plan.words import Code
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

_BARE = re.compile(r"[A-Za-z0-9_./-]*[0-9_./-][A-Za-z0-9_./-]*")  # letters alone could be a shell keyword

_PLAIN = re.compile(r"[A-Za-z0-9_./@%+:,-]+")

_PLAIN_IN_A_LANGUAGE = re.compile(r"[\w ./@%+=:,~-]+")

HOLE = "\0"

HOLES = "\0\0"


class UnsafeValueError(ValueError):
    """A value would be read as code at its placeholder; the message says what to write instead."""

    def __init__(self, spot: Spot, value: str, reason: str) -> None:
        super().__init__(f"{{{spot.name}}} is {reason}, and '{value}' would be read as code; {spot.way_out}")


class Style(Enum):
    """How a value is written at its placeholder."""

    WORD = auto()
    QUOTED_WORD = auto()
    DOUBLE = auto()
    SINGLE = auto()
    HERE = auto()
    HERE_AS_IT_IS = auto()
    COMMENT = auto()
    ONLY_PLAIN = auto()
    ONLY_PLAIN_IN_A_LANGUAGE = auto()


@dataclass(frozen=True)
class Spot:
    """A placeholder and its position in the line; `reason` is why only plain values are allowed, if that is so.

    `after_dollar`: a `$` is before it, as in `${learner}`. `delimiter`: that of the here-document it is in; `line` is
    then its line, without its text if it contains other placeholders.
    """

    name: str
    offset: int
    style: Style
    reason: str | None = None
    in_backticks: bool = False
    after_dollar: bool = False
    delimiter: str = ""
    line: str = ""

    @property
    def length(self) -> int:
        return len(self.name) + 2

    @property
    def way_out(self) -> str:
        """What to write there instead."""
        variable = f"ROSE_{self.name.upper()}"
        if self.after_dollar and self.reason is None:
            return f"write ${{{{{self.name}}}}} for a shell variable, or {{{self.name}}} without the dollar sign"
        if self.name == "python":
            return "pass it as an argument to that code"
        if self.style is Style.ONLY_PLAIN_IN_A_LANGUAGE:
            return f"read the environment variable {variable} there; every task has it"
        if self.is_code:
            return f'put the code in single quotes, with "${variable}" in it; every task has this variable'
        return f'write "${variable}" there; every task has this variable'

    @property
    def is_code(self) -> bool:
        return self.reason in (reason_of(Code.SHELL), reason_of(Code.COMMAND))

    @property
    def is_in_document(self) -> bool:
        return self.style in (Style.HERE, Style.HERE_AS_IT_IS)

    def takes(self, value: str) -> bool:
        """Whether the value is allowed there."""
        try:
            _written(self, value)
        except UnsafeValueError:
            return False
        return True

    def ending_name(self, names: Collection[str]) -> str | None:
        """One of the names that could end its here-document, found without testing each; no name has whitespace."""
        if self.line == HOLES:
            whole = len(self.delimiter)
            parts = (
                self.delimiter[begin:end]
                for begin in range(whole)
                for end in range(begin + 1, min(begin + MAX_NAME_BYTES, whole) + 1)
            )
            return next((part for part in parts if part in names), None)
        before, _, after = self.line.partition(HOLE)
        name = self.delimiter[len(before.lstrip("\t")) : len(self.delimiter) - len(after)]
        return name if name in names and not self.takes(name) else None


Part: TypeAlias = str | Spot

HiddenBy: TypeAlias = Literal["pipe", "lines"]


@dataclass(frozen=True)
class ShellLine:
    """A line in parts; `ending` is why words cannot be appended to it, if that is so.

    `hides_failures`: one of its commands may fail while the line still succeeds.
    """

    parts: tuple[Part, ...]
    ending: str | None
    hides_failures: HiddenBy | None = None

    @property
    def spots(self) -> list[Spot]:
        return [part for part in self.parts if isinstance(part, Spot)]

    def filled(self, values: Mapping[str, str]) -> str:
        """Raises UnsafeValueError."""
        return "".join(part if isinstance(part, str) else _written(part, values[part.name]) for part in self.parts)


def unquoted(text: str, code: Code) -> ShellLine:
    """Code that is not a POSIX shell line: only a value that is plain there is allowed."""
    style = Style.ONLY_PLAIN_IN_A_LANGUAGE if code is Code.LANGUAGE else Style.ONLY_PLAIN
    pieces = list(pieces_of(text))
    return ShellLine(
        tuple(piece if name is None else Spot(name, at, style, reason_of(code)) for piece, name, at in pieces), None
    )


def reason_of(code: Code) -> str:
    return f"in code that {code.value} reads"


# --- values ----------------------------------------------------------------------------------------------------------


def _written(spot: Spot, value: str) -> str:
    if spot.name == "workspace" and value == "{workspace}":  # in a preview, where it is not known
        return value
    text = _in_style(spot, value)
    return text.replace("\\", "\\\\").replace("`", "\\`") if spot.in_backticks else text


def _in_style(spot: Spot, value: str) -> str:
    if spot.is_in_document and _could_end(spot, value):
        raise UnsafeValueError(spot, value, "in a here-document, which it could end")
    plain = _PLAIN_WHERE.get(spot.style)
    if plain is not None and not plain.fullmatch(value):
        raise UnsafeValueError(spot, value, spot.reason or "where it cannot be quoted")
    if spot.style is Style.WORD and _BARE.fullmatch(value):
        return value
    write = _WRITE.get(spot.style)
    return write(value) if write is not None else value


def _could_end(spot: Spot, value: str) -> bool:
    """Whether the value could make a line of a here-document its last one."""
    if "\n" in value or spot.line == HOLES:  # with another value in the line
        return "\n" in value or value in spot.delimiter
    return spot.line.replace(HOLE, value).lstrip("\t") == spot.delimiter


def _in_single_quotes(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"


_PLAIN_WHERE = {Style.ONLY_PLAIN: _PLAIN, Style.ONLY_PLAIN_IN_A_LANGUAGE: _PLAIN_IN_A_LANGUAGE}

_WRITE: Mapping[Style, Callable[[str], str]] = {
    Style.WORD: _in_single_quotes,
    Style.QUOTED_WORD: _in_single_quotes,
    Style.SINGLE: lambda value: value.replace("'", "'\\''"),
    Style.DOUBLE: lambda value: re.sub(r'[\\$`"]', r"\\\g<0>", value),
    Style.HERE: lambda value: re.sub(r"[\\$`]", r"\\\g<0>", value),
    Style.COMMENT: lambda value: value.replace("\n", " "),
}
