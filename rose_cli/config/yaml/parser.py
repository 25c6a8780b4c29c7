"""YAML events with offsets into the text, on top of PyYAML; the same with and without libyaml.

Only its parser is used: PyYAML's tree builder recurses (the C one until it crashes), its resolvers surprise, and its
constructors run code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import yaml
from yaml.parser import Parser as _YamlParser
from yaml.reader import Reader as _YamlReader
from yaml.scanner import Scanner as _YamlScanner
from yaml.scanner import ScannerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# The reader ends its buffer with a NUL.
_SPACES = re.compile(r" *")

_BLANK_LINE = re.compile(r"^[ \t]+(?=[\r\n]|\Z)", re.MULTILINE)  # libyaml refuses a tab on a line of its own

_BLANKS = re.compile(r"[ \t]*")

_COMMENT = re.compile(r"[^\0\r\n]*")

_BLOCK_WORD = re.compile(r"(?:[^\0 \t\r\n:]+|:+(?![\0 \t\r\n]))*")

_FLOW_WORD = re.compile(r"(?:[^\0 \t\r\n:,\[\]{}]+|:+(?![\0 \t\r\n,?\[\]{}]))*")

_COLON_IN_FLOW = re.compile(r":[,?\[\]{}]")

_DOCUMENT_MARK = re.compile(r"(?:---|\.\.\.)[\0 \t\r\n]")


class SyntaxProblem(Exception):  # noqa: N818 - a signal on its way to a diagnostic
    """The parser's message, its offset, and what it was parsing since which offset."""

    def __init__(self, problem: str, at: int, context: str = "", since: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.at = at
        self.context = context
        self.since = since


Event: TypeAlias = Any  # PyYAML's events have no common typed base


class EventParser(Protocol):
    def get_event(self) -> Event: ...


class PurePythonParser(_YamlReader, _YamlScanner, _YamlParser):
    """PyYAML's own parser, for installations without libyaml: slower, and changed to treat whitespace in the same way.

    Unchanged, it fails on the tab in `key:\tvalue` and the question mark in `{text: why?}`.
    """

    def __init__(self, text: str) -> None:
        _YamlReader.__init__(self, text)
        _YamlScanner.__init__(self)
        _YamlParser.__init__(self)

    def scan_flow_scalar(self, style: str) -> yaml.ScalarToken:
        start = self.get_mark()
        try:
            token: yaml.ScalarToken = super().scan_flow_scalar(style)
            token.value.encode()
        except (ValueError, OverflowError):  # it calls chr() on whatever "\uD800" and "\UFFFFFFFF" say
            problem = "found invalid Unicode character escape code"
            raise ScannerError("while parsing a quoted scalar", start, problem, start) from None
        return token

    def scan_to_next_token(self) -> None:
        while True:
            self._skip(_BLANKS if self.flow_level or not self.allow_simple_key else _SPACES)
            if self.peek() == "#":
                self._skip(_COMMENT)
            if not self.scan_line_break():  # type: ignore[no-untyped-call]
                return
            if not self.flow_level:
                self.allow_simple_key = True

    def scan_plain(self) -> yaml.ScalarToken:
        chunks: list[str] = []
        start = end = self.get_mark()
        while self.peek() != "#" and (word := self._plain_word(start)):
            chunks.append(word)
            self.allow_simple_key = False
            end = self.get_mark()
            blanks = self._plain_blanks()
            if not blanks or (not self.flow_level and self.column <= self.indent):
                break
            chunks.append(blanks)
        return yaml.ScalarToken("".join(chunks).rstrip(" \t\n"), True, start, end)

    def _plain_word(self, start: yaml.Mark) -> str:
        word = self._skip(_FLOW_WORD if self.flow_level else _BLOCK_WORD)
        if self.flow_level and _COLON_IN_FLOW.match(self.buffer, self.pointer):
            raise ScannerError("while scanning a plain scalar", start, "found unexpected ':'", self.get_mark())
        return word

    def _plain_blanks(self) -> str:
        """The whitespace between two words of an unquoted string; empty if the string ends here."""
        blanks = self._skip(_BLANKS)
        breaks = 0
        while self.scan_line_break():  # type: ignore[no-untyped-call]
            breaks += 1
            self.allow_simple_key = True
            if _DOCUMENT_MARK.match(self.buffer, self.pointer):
                return ""
            self._skip(_BLANKS)
        return blanks if not breaks else "\n" * (breaks - 1) or " "

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.buffer, self.pointer)
        text = match.group() if match else ""
        self.forward(len(text))
        return text


def _fastest_parser() -> Callable[[str], EventParser]:
    try:
        from yaml._yaml import CParser
    except ImportError:
        return PurePythonParser
    return CParser


new_parser = _fastest_parser()

Takers: TypeAlias = "Mapping[type[yaml.Event], Callable[[Event], object]]"


def parse(text: str, takers: Takers) -> None:
    """Give each event of a text of printable characters to its taker. Raises `SyntaxProblem` if it is not YAML.

    The start of an event includes its anchor and its tag; the end of a mapping or a list is that of its first token.
    Their marks have offsets into the text. There are two events for each line of a file: nothing is between the parser
    and the takers.
    """
    parser = new_parser(_BLANK_LINE.sub(lambda blank: " " * len(blank.group()), text))
    next_event, taker_of = parser.get_event, takers.get
    try:
        while (event := next_event()) is not None:
            if (take := taker_of(type(event))) is not None:
                take(event)
    except yaml.MarkedYAMLError as error:
        since = error.context_mark.index if error.context_mark else None
        at = error.problem_mark.index if error.problem_mark else since or 0
        raise SyntaxProblem(error.problem or "", at, error.context or "", since) from None
