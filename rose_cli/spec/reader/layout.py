"""Owns the rules for syntax errors of layout: colons, brackets, lists and indentation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rose_cli.spec.reader import traps
from rose_cli.spec.reader.complaint import CLOSING

if TYPE_CHECKING:
    from rose_cli.diagnostic import Diagnostic
    from rose_cli.spec.reader.complaint import Complaint, Rule


def _colon_in_brackets(it: Complaint) -> Diagnostic | None:
    """`{a:[1]}`."""
    if "unexpected ':'" not in it.problem:
        return None
    return traps.space_after_colon(it.source, it.text.find(":", it.at))


def _second_colon(it: Complaint) -> Diagnostic | None:
    """`a: b: c`, a key that is indented under a value, a line without a colon above one that has one."""
    if "mapping values are not allowed" not in it.problem:
        return None
    missing = traps.missing_space(it.source, it.line_start) or traps.missing_space(it.source, it.since)
    if missing:
        return missing
    if re.search(r":[ \t]", it.before):
        hint = "quote the value if the colon belongs to it, or begin a new line for the next key"
        return it.here("a second ': ' on one line", hint)
    indentation = it.indentation(it.at)
    above = next(it.lines_above(), None)
    if above and above[0] >= indentation:
        return it.no_colon(above[1])
    hint = "indent it like the keys beside it; a key that holds others has no value of its own"
    place = (it.line_start + indentation, it.at)
    return it.found("this key is indented under a value that is complete", place, hint, "indentation")


def _no_colon(it: Complaint) -> Diagnostic | None:
    if "could not find expected ':'" not in it.problem:
        return None
    if it.text[it.since : it.since + 1] in CLOSING:
        return it.unclosed(it.since)
    return traps.missing_space(it.source, it.since) or it.no_colon(it.since)


def _after_quote(it: Complaint) -> Diagnostic | None:
    """`'it's'`, `"a" b`."""
    quoted = re.search(r"(['\"])[ \t]*$", it.before)
    if not quoted or "expected" not in it.problem or it.character in ("", "\n", "\r"):
        return None
    quote = quoted.group(1)
    hint = "quote the whole value" + ("; inside '...' an apostrophe is written ''" if quote == "'" else "")
    if it.text.count(quote, 0, it.line_start) % 2:
        hint = f"is a {quote} above this line never closed?"
    return it.here("the value ends with the quote before this", hint, "unclosed-quote")


def _in_brackets(it: Complaint) -> Diagnostic | None:
    opening = it.since if "flow" in it.context and it.text[it.since : it.since + 1] in CLOSING else it.bracket
    if opening is None or it.text[opening] not in CLOSING:
        return None
    closing = CLOSING[it.text[opening]]
    same_line = it.source.line_number(opening) == it.source.line_number(it.at)
    if it.at_end_of_text or not (same_line or it.indentation(it.at) > it.indentation(opening)):
        return it.unclosed(opening)
    if it.character in ("]", "}"):
        hint = f"each '{it.text[opening]}' needs a '{closing}' of its own"
        return it.here(f"'{closing}' was expected here, not '{it.character}'", hint, "unclosed-bracket")
    if it.character == ",":
        return it.here("no value stands before this comma", "take the comma away, or write null")
    if it.character == ":" and ": " in re.split(r"[\[{,]", it.before)[-1]:
        return it.here(
            "a second colon in one value", "quote the value if the colon belongs to it, or put a comma before the key"
        )
    hint = "put a comma between values, and quotes around a text that holds one of [ ] { } ,"
    return it.here(f"',' or '{closing}' was expected before this", hint)


def _list_on_line_of_key(it: Complaint) -> Diagnostic | None:
    if "sequence entries" not in it.problem:
        return None
    return it.here("a list cannot begin on this line", "begin it on the next line, or quote the whole value")


def _unopened(it: Complaint) -> Diagnostic | None:
    if it.character not in ("]", "}", ",") or "expected" not in it.problem:
        return None
    what = "stands outside of brackets" if it.character == "," else "has no bracket that it closes"
    return it.here(f"this '{it.character}' {what}", traps.QUOTE_IT)


def _indentation(it: Complaint) -> Diagnostic | None:
    """A line that begins where no key or list item around it does."""
    if "expected" not in it.problem or it.before.strip():
        return None
    missing = traps.missing_space(it.source, it.at)
    if missing:
        return missing
    if it.character == ":":
        return it.here("a key is missing before this colon", traps.QUOTE_IT, "odd-key")
    place = it.to_end_of_line(it.at)
    mixed = _mixed(it)
    if mixed:
        hint = "a map and a list do not mix: indent it like what it belongs to"
        return it.found(mixed, place, hint, "indentation")
    message = f"this line is indented by {len(it.before)}, and fits nothing above it"
    return it.found(message, place, _possible_indentations(it), "indentation")


def _mixed(it: Complaint) -> str | None:
    if re.match(r"-(\s|$)", it.text[it.at : it.at + 2]):
        return "a list item stands where a key was expected"
    is_beside_items = any(indentation == len(it.before) for indentation, _ in it.lines_above())
    if is_beside_items and ("'-'" in it.problem or "block collection" in it.context):
        return "a key stands where a list item was expected"
    return None


def _possible_indentations(it: Complaint) -> str:
    """Those of the lines above that are still open."""
    found: list[int] = []
    for indentation, _ in it.lines_above():
        if not found or indentation < found[-1]:
            found.append(indentation)
        if indentation == 0 or len(found) == 4:
            break
    return f"indent it by {' or '.join(map(str, reversed(found or [0])))}, like the lines above"


def _left_over(it: Complaint) -> Diagnostic | None:
    if "expected" not in it.problem:
        return None
    place = it.to_end_of_line(it.at)
    return it.found("the value before this is complete", place, "put quotes around the whole value")


RULES: tuple[Rule, ...] = (
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
