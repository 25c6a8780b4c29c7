"""Owns the complaint of a YAML parser with the text around it: what the rules in `mistakes` and `layout` look at.

libyaml and PyYAML word the same error differently, so a rule looks for what both say, and for what stands in the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.spec.reader.text import BLANKS, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rose_cli.diagnostic import Diagnostic
    from rose_cli.spec.reader.syntax import SyntaxProblem
    from rose_cli.spec.reader.text import Source

    Rule = Callable[["Complaint"], Diagnostic | None]

CLOSING = {"[": "]", "{": "}"}


class Complaint:
    """`at` is where the parser stopped, `since` where it began what it could not finish.

    `bracket` is where the innermost open [ or { stands, if one is open.
    """

    def __init__(self, problem: SyntaxProblem, source: Source, bracket: int | None) -> None:
        self.source = source
        self.text = source.text
        self.problem = problem.problem
        self.context = problem.context
        self.at = min(problem.at, len(self.text))
        self.since = self.at if problem.since is None else min(problem.since, len(self.text))
        self.bracket = bracket
        self.character = self.text[self.at : self.at + 1]
        self.line_start = source.line_start(self.at)
        self.before = self.text[self.line_start : self.at]

    @property
    def at_end_of_text(self) -> bool:
        is_marker = not self.before and self.text.startswith(("---", "..."), self.at)
        return is_marker or not self.text[self.at :].strip()

    def found(self, message: str, place: tuple[int, int], hint: str, code: str = "yaml-syntax") -> Diagnostic:
        return self.source.diagnostic(code, message, place, hint)

    def here(self, message: str, hint: str, code: str = "yaml-syntax") -> Diagnostic:
        return self.found(message, (self.at, min(self.at + 1, len(self.text))), hint, code)

    def no_colon(self, start: int) -> Diagnostic:
        place = self.to_end_of_line(start)
        message = f"{shown(self.text[slice(*place)])} has no colon"
        return self.found(message, place, "write 'key: value'", "missing-value")

    def unclosed(self, opening: int) -> Diagnostic:
        sign = self.text[opening]
        message = f"the '{sign}' that opens here is not closed before line {self.source.line_number(self.at)}"
        hint = f"close it with '{CLOSING[sign]}'"
        return self.found(message, (opening, opening + 1), hint, "unclosed-bracket")

    def to_end_of_line(self, start: int) -> tuple[int, int]:
        """From there to the end of its line, without a comment."""
        line = self.source.line_at(start)
        end = self.source.line_start(start) + len(line.split(" #", maxsplit=1)[0].rstrip())
        return start, max(start, end)

    def indentation(self, offset: int) -> int:
        """Of the line that holds the offset."""
        line = self.source.line_at(offset)
        return len(line) - len(line.lstrip(BLANKS))

    def lines_above(self) -> Iterator[tuple[int, int]]:
        """The indentation of each line above that holds something, and the offset where that begins."""
        end = self.line_start
        while end > 0:
            start = self.source.line_start(end - 1)
            line = self.text[start:end]
            if line.strip() and not line.lstrip().startswith("#"):
                indentation = len(line) - len(line.lstrip(BLANKS))
                yield indentation, start + indentation
            end = start
