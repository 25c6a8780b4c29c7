"""Owns what a YAML syntax error is in the words of somebody who writes a campaign; here the errors within one value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rose_cli.spec.reader import anchors, layout, traps
from rose_cli.spec.reader.complaint import Complaint
from rose_cli.spec.reader.text import shown

if TYPE_CHECKING:
    from rose_cli.diagnostic import Diagnostic
    from rose_cli.spec.reader.complaint import Rule
    from rose_cli.spec.reader.syntax import SyntaxProblem
    from rose_cli.spec.reader.text import Source

_OPEN_ANCHOR = re.compile(r"&[0-9A-Za-z_-]+[ \t]+$")
_ESCAPE = re.compile(
    r"""\\(?: x(?P<x>[0-9a-fA-F]{2}) | u(?P<u>[0-9a-fA-F]{4}) | U(?P<U>[0-9a-fA-F]{8})
          | [0abt\tnvfre\x20"/\\N_LP\r\n] | (?P<unknown>.) )""",
    re.VERBOSE | re.DOTALL,
)


def explain(problem: SyntaxProblem, source: Source, bracket: int | None) -> Diagnostic:
    """The first rule that knows the error; `bracket` is where the innermost open [ or { stands."""
    complaint = Complaint(problem, source, bracket)
    for rule in (*_RULES, *layout.RULES):
        found = rule(complaint)
        if found is not None:
            return found
    message = f"this is no YAML: {complaint.problem}"
    return complaint.here(message, "look at the brackets, quotes and indentation before it")


def _tab(it: Complaint) -> Diagnostic | None:
    if (it.character == "\t" and "token" in it.problem) or "tab character" in it.problem:
        offset = it.text.find("\t", it.at)
        return traps.tab(it.source, it.at if offset < 0 else offset)
    return None


def _first_character(it: Complaint) -> Diagnostic | None:
    """`@`, a backtick and `%` are reserved; `|` and `>` cannot begin a text block inside of brackets."""
    if "cannot start any token" not in it.problem:
        return None
    if it.character in "|>":
        return traps.block_text(it.source, it.at)
    hint = traps.quote_it(_value_from(it, it.at))
    return it.here(f"a plain value cannot begin with '{it.character}'", hint)


def _value_from(it: Complaint, start: int) -> str:
    """The value that begins there, as far as one can tell: up to the end of the line, or a comma inside brackets."""
    begin, end = it.to_end_of_line(start)
    text = it.text[begin:end]
    return text if it.bracket is None else re.split(r"[,\]}]", text, maxsplit=1)[0]


def _name_of_anchor(it: Complaint) -> Diagnostic | None:
    """`*.py`, `& b`."""
    if not it.context.endswith(("an alias", "an anchor")):
        return None
    # in `&i * 2` the anchor was taken for one, and the alias is what fails
    anchor = _OPEN_ANCHOR.search(it.text[it.source.line_start(it.since) : it.since])
    start = it.since - len(anchor.group()) if anchor else it.since
    text = _value_from(it, start)
    place = (start, start + max(1, len(text)))
    return it.found(f"a plain value cannot begin with '{it.text[start : start + 1]}'", place, traps.quote_it(text))


def _tag(it: Complaint) -> Diagnostic | None:
    if "tag" not in it.context and "tag" not in it.problem:
        return None
    start = it.text.rfind("!", it.line_start, it.at + 1)
    return anchors.tag(it.source, it.since if start < 0 else start, len(it.text))


def _directive(it: Complaint) -> Diagnostic | None:
    if "directive" not in it.context and "incompatible" not in it.problem:
        return None
    return traps.directive(it.source, it.to_end_of_line(it.source.line_start(it.since)))


def _quoted(it: Complaint) -> Diagnostic | None:
    if "quoted scalar" not in it.context and "double-quoted" not in it.context:
        return None
    if "escape" in it.problem or "hexadecimal" in it.problem:
        return _bad_escape(it)
    quote = it.text[it.since : it.since + 1]
    hint = f"close it with {quote}" + ("; inside '...' an apostrophe is written ''" if quote == "'" else "")
    return it.found("the quote that opens here is never closed", (it.since, it.since + 1), hint, "unclosed-quote")


def _bad_escape(it: Complaint) -> Diagnostic:
    wrong = (match for match in _ESCAPE.finditer(it.text, it.since) if _is_wrong(match))
    start, end = next((match.span() for match in wrong), (it.at, it.at + 1))
    hint = "use single quotes, where a backslash is a backslash, or double it"
    message = f"{shown(it.text[start:end])} is no escape that double quotes know"
    return it.found(message, (start, end), hint, "bad-escape")


def _is_wrong(escape: re.Match[str]) -> bool:
    """Unknown, or the number of no character."""
    digits = escape["x"] or escape["u"] or escape["U"]
    number = int(digits, 16) if digits else 0
    return escape["unknown"] is not None or 0xD800 <= number <= 0xDFFF or number > 0x10FFFF


def _block_text(it: Complaint) -> Diagnostic | None:
    return traps.block_text(it.source, it.since) if it.context.endswith("a block scalar") else None


def _question_mark(it: Complaint) -> Diagnostic | None:
    if "mapping keys are not allowed" not in it.problem:
        return None
    return it.here("a '?' marks a key here", f"write 'key: value'; {traps.QUOTE_IT}", "odd-key")


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
