"""Explains YAML syntax errors in the words of someone who writes a campaign file.

libyaml and PyYAML word the same error differently, so a rule looks for what both say, and at the text itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rose_cli.config.yaml import anchors, pitfalls
from rose_cli.config.yaml.source import WHITESPACE
from rose_cli.util.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rose_cli.config.yaml.parser import SyntaxProblem
    from rose_cli.config.yaml.source import Source
    from rose_cli.util.errors import Diagnostic

    Rule = Callable[["ParserError"], Diagnostic | None]

CLOSING = {"[": "]", "{": "}"}


class ParserError:
    """`at` is where the parser stopped, `since` where the token or node started that it could not finish.

    `bracket` is the position of the innermost open [ or {, if one is open.
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
        message = f"{quoted(self.text[slice(*place)])} has no colon"
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
        """The indentation of the line at the offset."""
        line = self.source.line_at(offset)
        return len(line) - len(line.lstrip(WHITESPACE))

    def lines_above(self) -> Iterator[tuple[int, int]]:
        """The indentation of each non-empty line above, and the offset where its content starts."""
        end = self.line_start
        while end > 0:
            start = self.source.line_start(end - 1)
            line = self.text[start:end]
            if line.strip() and not line.lstrip().startswith("#"):
                indentation = len(line) - len(line.lstrip(WHITESPACE))
                yield indentation, start + indentation
            end = start


def _colon_in_brackets(it: ParserError) -> Diagnostic | None:
    """`{a:[1]}`."""
    if "unexpected ':'" not in it.problem:
        return None
    return pitfalls.space_after_colon(it.source, it.text.find(":", it.at))


def _second_colon(it: ParserError) -> Diagnostic | None:
    """`a: b: c`, a key that is indented under a value, a line without a colon above one that has one."""
    if "mapping values are not allowed" not in it.problem:
        return None
    missing = pitfalls.missing_space(it.source, it.line_start) or pitfalls.missing_space(it.source, it.since)
    if missing:
        return missing
    if re.search(r":[ \t]", it.before):
        hint = "quote the value if the colon is part of it, or start a new line for the next key"
        return it.here("a second ': ' on one line", hint)
    indentation = it.indentation(it.at)
    above = next(it.lines_above(), None)
    if above and above[0] >= indentation:
        return it.no_colon(above[1])
    hint = "indent it like the keys beside it; a key with keys below it cannot also have a value"
    place = (it.line_start + indentation, it.at)
    return it.found("this key is indented under a value that is complete", place, hint, "indentation")


def _no_colon(it: ParserError) -> Diagnostic | None:
    if "could not find expected ':'" not in it.problem:
        return None
    if it.text[it.since : it.since + 1] in CLOSING:
        return it.unclosed(it.since)
    return pitfalls.missing_space(it.source, it.since) or it.no_colon(it.since)


def _after_quote(it: ParserError) -> Diagnostic | None:
    """`'it's'`, `"a" b`."""
    quoted = re.search(r"(['\"])[ \t]*$", it.before)
    if not quoted or "expected" not in it.problem or it.character in ("", "\n", "\r"):
        return None
    quote = quoted.group(1)
    hint = "quote the whole value" + ("; inside '...' an apostrophe is written ''" if quote == "'" else "")
    if it.text.count(quote, 0, it.line_start) % 2:
        hint = f"is a {quote} above this line never closed?"
    return it.here("the value ends with the quote before this", hint, "unclosed-quote")


def _in_brackets(it: ParserError) -> Diagnostic | None:
    opening = it.since if "flow" in it.context and it.text[it.since : it.since + 1] in CLOSING else it.bracket
    if opening is None or it.text[opening] not in CLOSING:
        return None
    closing = CLOSING[it.text[opening]]
    same_line = it.source.line_number(opening) == it.source.line_number(it.at)
    if it.at_end_of_text or not (same_line or it.indentation(it.at) > it.indentation(opening)):
        return it.unclosed(opening)
    if it.character in ("]", "}"):
        hint = f"each '{it.text[opening]}' needs its own '{closing}'"
        return it.here(f"expected '{closing}' here, not '{it.character}'", hint, "unclosed-bracket")
    if it.character == ",":
        return it.here("there is no value before this comma", "remove the comma, or write null")
    if it.character == ":" and ": " in re.split(r"[\[{,]", it.before)[-1]:
        return it.here(
            "a second colon in one value", "quote the value if the colon is part of it, or put a comma before the key"
        )
    hint = "put a comma between values, and quotes around a string that contains one of [ ] { } ,"
    if it.character in CLOSING and re.search(r":[ \t]+[^\s,:\[{][^,:\[{]*$", it.before):
        hint = "put quotes around the whole value, which contains [ ] { or }"
    return it.here(f"expected ',' or '{closing}' before this", hint)


def _list_on_line_of_key(it: ParserError) -> Diagnostic | None:
    if "sequence entries" not in it.problem:
        return None
    return it.here("a list cannot start on this line", "start it on the next line, or quote the whole value")


def _unopened(it: ParserError) -> Diagnostic | None:
    if it.character not in ("]", "}", ",") or "expected" not in it.problem:
        return None
    what = "is outside brackets" if it.character == "," else "closes no bracket"
    return it.here(f"this '{it.character}' {what}", pitfalls.QUOTE_IT)


def _indentation(it: ParserError) -> Diagnostic | None:
    """A line that starts where no key or list item around it does."""
    if "expected" not in it.problem or it.before.strip():
        return None
    missing = pitfalls.missing_space(it.source, it.at)
    if missing:
        return missing
    if it.character == ":":
        return it.here("a key is missing before this colon", pitfalls.QUOTE_IT, "odd-key")
    place = it.to_end_of_line(it.at)
    mixed = _mixed(it)
    if mixed:
        hint = "a mapping and a list cannot be mixed: indent it like what it belongs to"
        return it.found(mixed, place, hint, "indentation")
    message = f"this line is indented by {len(it.before)}, which matches nothing above it"
    return it.found(message, place, _possible_indentations(it), "indentation")


def _mixed(it: ParserError) -> str | None:
    if re.match(r"-(\s|$)", it.text[it.at : it.at + 2]):
        return "this is a list item where a key was expected"
    is_beside_items = any(indentation == len(it.before) for indentation, _ in it.lines_above())
    if is_beside_items and ("'-'" in it.problem or "block collection" in it.context):
        return "this is a key where a list item was expected"
    return None


def _possible_indentations(it: ParserError) -> str:
    """The indentations of the open lines above."""
    found: list[int] = []
    for indentation, _ in it.lines_above():
        if not found or indentation < found[-1]:
            found.append(indentation)
        if indentation == 0 or len(found) == 4:
            break
    return f"indent it by {' or '.join(map(str, reversed(found or [0])))}, like the lines above"


LEFT_OVER = "the value before this is complete"


def _left_over(it: ParserError) -> Diagnostic | None:
    if "expected" not in it.problem:
        return None
    place = it.to_end_of_line(it.at)
    return it.found(LEFT_OVER, place, "put quotes around the whole value")


_LAYOUT_RULES: tuple[Rule, ...] = (
    _colon_in_brackets,
    _second_colon,
    _no_colon,
    _after_quote,
    _in_brackets,
    _list_on_line_of_key,
    _unopened,
    _indentation,
    _left_over,
)

_OPEN_ANCHOR = re.compile(r"&[0-9A-Za-z_-]+[ \t]+$")

_ESCAPE = re.compile(
    r"""\\(?: x(?P<x>[0-9a-fA-F]{2}) | u(?P<u>[0-9a-fA-F]{4}) | U(?P<U>[0-9a-fA-F]{8})
          | [0abt\tnvfre\x20"/\\N_LP\r\n] | (?P<unknown>.) )""",
    re.VERBOSE | re.DOTALL,
)


def explain(problem: SyntaxProblem, source: Source, bracket: int | None) -> Diagnostic:
    """The explanation of the first rule that applies; `bracket` is the position of the innermost open [ or {."""
    complaint = ParserError(problem, source, bracket)
    for rule in (*_RULES, *_LAYOUT_RULES):
        found = rule(complaint)
        if found is not None:
            return found
    message = f"this is not YAML: {complaint.problem}"
    return complaint.here(message, "look at the brackets, quotes and indentation before it")


def _tab(it: ParserError) -> Diagnostic | None:
    if (it.character == "\t" and "token" in it.problem) or "tab character" in it.problem:
        offset = it.text.find("\t", it.at)
        return pitfalls.tab(it.source, it.at if offset < 0 else offset)
    return None


def _first_character(it: ParserError) -> Diagnostic | None:
    """`@`, a backtick and `%` are reserved; `|` and `>` cannot start a block string inside brackets."""
    if "cannot start any token" not in it.problem:
        return None
    if it.character in "|>":
        return pitfalls.block_text(it.source, it.at)
    hint = pitfalls.quote_it(_value_from(it, it.at))
    return it.here(f"an unquoted value cannot start with '{it.character}'", hint)


def _value_from(it: ParserError, start: int) -> str:
    """The value that probably starts there: up to the end of the line, or to a comma inside brackets."""
    begin, end = it.to_end_of_line(start)
    text = it.text[begin:end]
    return text if it.bracket is None else re.split(r"[,\]}]", text, maxsplit=1)[0]


def _name_of_anchor(it: ParserError) -> Diagnostic | None:
    """`*.py`, `& b`."""
    if not it.context.endswith(("an alias", "an anchor")):
        return None
    # in `&i * 2` the anchor was taken for one, and the alias is what fails
    anchor = _OPEN_ANCHOR.search(it.text[it.source.line_start(it.since) : it.since])
    start = it.since - len(anchor.group()) if anchor else it.since
    text = _value_from(it, start)
    place = (start, start + max(1, len(text)))
    return it.found(
        f"an unquoted value cannot start with '{it.text[start : start + 1]}'", place, pitfalls.quote_it(text)
    )


def _tag(it: ParserError) -> Diagnostic | None:
    if "tag" not in it.context and "tag" not in it.problem:
        return None
    start = it.text.rfind("!", it.line_start, it.at + 1)
    return anchors.tag(it.source, it.since if start < 0 else start, len(it.text))


def _directive(it: ParserError) -> Diagnostic | None:
    if "directive" not in it.context and "incompatible" not in it.problem:
        return None
    return pitfalls.directive(it.source, it.to_end_of_line(it.source.line_start(it.since)))


def _quoted(it: ParserError) -> Diagnostic | None:
    if "quoted scalar" not in it.context and "double-quoted" not in it.context:
        return None
    if "escape" in it.problem or "hexadecimal" in it.problem:
        return _bad_escape(it)
    quote = it.text[it.since : it.since + 1]
    hint = f"close it with {quote}" + ("; inside '...' an apostrophe is written ''" if quote == "'" else "")
    return it.found("the quote that opens here is never closed", (it.since, it.since + 1), hint, "unclosed-quote")


def _bad_escape(it: ParserError) -> Diagnostic:
    wrong = (match for match in _ESCAPE.finditer(it.text, it.since) if _is_wrong(match))
    start, end = next((match.span() for match in wrong), (it.at, it.at + 1))
    hint = "double the backslash, or use single quotes, where it is literal"
    message = f"{quoted(it.text[start:end])} is not a valid escape sequence"
    return it.found(message, (start, end), hint, "bad-escape")


def _is_wrong(escape: re.Match[str]) -> bool:
    """Unknown, or a number that is not a character."""
    digits = escape["x"] or escape["u"] or escape["U"]
    number = int(digits, 16) if digits else 0
    return escape["unknown"] is not None or 0xD800 <= number <= 0xDFFF or number > 0x10FFFF


def _block_text(it: ParserError) -> Diagnostic | None:
    return pitfalls.block_text(it.source, it.since) if it.context.endswith("a block scalar") else None


def _question_mark(it: ParserError) -> Diagnostic | None:
    if "mapping keys are not allowed" not in it.problem:
        return None
    return it.here("a '?' marks a key here", f"write 'key: value'; {pitfalls.QUOTE_IT}", "odd-key")


_RULES: tuple[Rule, ...] = (
    _tab,
    _first_character,
    _name_of_anchor,
    _tag,
    _directive,
    _quoted,
    _block_text,
    _question_mark,
)
