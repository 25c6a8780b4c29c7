"""Finds the pitfalls of YAML: places where it silently reads something other than the author meant."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from rose_cli.config.yaml.source import WHITESPACE
from rose_cli.util.errors import Severity
from rose_cli.util.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.config.yaml.nodes import SourceRange
    from rose_cli.config.yaml.source import Source
    from rose_cli.util.errors import Diagnostic

QUOTE_IT = "if it is part of the string, put quotes around the whole value"

_MAX_PARENTHESES_LENGTH = 400

_MAX_TABS = 20

_TAB_INDENT = re.compile(r"^ *\t[ \t]*(?=[^ \t\r\n#])", re.MULTILINE)

_NESTING = re.compile(r"[()\[\]{}\r\n]")

_COMMENT = re.compile(r"#[^\r\n]*")

_NO_SPACE_AFTER_COLON = re.compile(r"[ \t]*(?:- +)*[^\s:#'\"{\[][^\s:#]*(:)(?=[^\s:/])")

_DIRECTIVE = re.compile(r"^%(?!YAML[ \t]+1\.[12][ \t]*(?:#.*)?\r?$)[^\r\n]*", re.MULTILINE)

_CONTENT = re.compile(r"^[ \t]*[^ \t\r\n#%]", re.MULTILINE)

_BLOCK_HEADER = re.compile(r"[|>][-+0-9]*( *(?=[\r\n]|$)| +#)")

_COMMENT_OR_END = re.compile(r"[ \t]#|[\r\n,\]}]")

_CUT_BY_COMMENT = re.compile(r" #(?=\d)[^\r\n]*")

# Characters that look like a space or like nothing; joiners and variation selectors are part of emoji and scripts.
_INVISIBLE = re.compile(r"[\u00a0\u00ad\u2007\u200b\u200e\u200f\u202a-\u202f\u2060\u2066-\u2069\u3000]")


def are_in(text: str) -> bool:
    """Whether any unquoted string may hide something: checked once for a whole file, where it is rarely true."""
    return bool(_CUT_BY_COMMENT.search(text) or _INVISIBLE.search(text))


def in_plain_text(source: Source, at: SourceRange) -> Iterator[Diagnostic]:
    cut = _CUT_BY_COMMENT.match(source.text, at.end)
    if cut and at.start < at.end:
        text = quoted(source.text[at.start : at.end])
        message = f"the value is only {text}: everything after the # is a comment"
        place = (cut.start() + 1, cut.end())
        yield source.diagnostic("cut-by-comment", message, place, QUOTE_IT, Severity.WARNING)
    found = _INVISIBLE.search(source.text, at.start, at.end)
    if found:
        message = f"the string contains the invisible character U+{ord(found.group()):04X}"
        hint = "write an ordinary space, or quote the string if this is meant"
        yield source.diagnostic("invisible-character", message, found.span(), hint, Severity.WARNING)


def in_double_quotes(source: Source, at: SourceRange, value: str) -> Iterator[Diagnostic]:
    if "\0" in value:
        message = "an escape in here stands for the NUL character, which cannot be passed to a program"
        yield source.diagnostic("bad-escape", message, (at.start, at.end), "remove the escape")


def in_block_text(source: Source, at: SourceRange) -> Iterator[Diagnostic]:
    """`operator: >` starts a folded string, and an empty one if nothing is indented below it."""
    text = source.text[at.start : at.end]
    head, _, body = text.partition("\n")
    if not _BLOCK_HEADER.match(head) or not body.strip(WHITESPACE):
        yield block_text(source, at.start)
    indent = body[: len(body) - len(body.lstrip(WHITESPACE))]
    if "\t" in indent:
        yield tab(source, at.start + len(head) + 1 + indent.index("\t"))


def block_text(source: Source, start: int) -> Diagnostic:
    """A `>` or `|` that was meant as such, as in `operator: >=`."""
    text = _COMMENT_OR_END.split(source.text[start : start + 80], maxsplit=1)[0]
    message = f"'{text[0]}' starts a block of text here, whose lines would follow, indented"
    return source.diagnostic("block-text", message, (start, start + len(text.rstrip(WHITESPACE))), quote_it(text))


def quote_it(text: str) -> str:
    """The hint that shows the text in quotes, if it is short enough."""
    text = text.strip(WHITESPACE)
    return f'quote it: "{text}"' if len(text) < 40 and text.isprintable() and '"' not in text else "quote it"


def split_by_comma(source: Source, at: SourceRange) -> Diagnostic | None:
    """`{lr: min(64, 32)}` is two entries to YAML: `lr: min(64` and `32)`."""
    end = _closing_parenthesis(source.text, at.start)
    if end is None:
        return None
    text = source.text[at.start : end]
    message = f"the comma inside {{ }} or [ ] ends the value after {quoted(source.text[at.start : at.end])}"
    return source.diagnostic("split-by-comma", message, (at.start, end), quote_it(text))


def _closing_parenthesis(text: str, start: int) -> int | None:
    """Where the first parenthesis is closed, on its line and before a bracket closes around it."""
    parentheses = brackets = 0
    for match in _NESTING.finditer(text, start, start + _MAX_PARENTHESES_LENGTH):
        sign = match.group()
        parentheses += (sign == "(") - (sign == ")")
        brackets += (sign in "[{") - (sign in "]}")
        if sign in "\r\n" or brackets < 0 or parentheses < 0:
            return None
        if sign == ")" and parentheses == 0:
            return match.end()
    return None


_OPTION_AND_VALUE = re.compile(r"(-{1,2}[A-Za-z][\w.-]*)(?:[ \t]+|=)([^\s:].{0,60})")


def missing_value(source: Source, key: SourceRange) -> Diagnostic:
    """`{a:1}` and `{a}` are mappings with a key that has no value."""
    text = source.text[key.start : key.end]
    name, colon, _ = text.partition(":")
    option = _OPTION_AND_VALUE.fullmatch(text)
    hint = "write a space after the colon" if colon and name else "write 'key: value'"
    hint = f"write {option[1]}: {option[2]}" if option else hint
    return source.diagnostic("missing-value", f"{quoted(text)} has no value", (key.start, key.end), hint)


def missing_space(source: Source, offset: int) -> Diagnostic | None:
    """`key:value` on the line of the offset."""
    match = _NO_SPACE_AFTER_COLON.match(source.line_at(offset))
    return space_after_colon(source, source.line_start(offset) + match.start(1)) if match else None


def space_after_colon(source: Source, colon: int) -> Diagnostic:
    message = "a space is missing after this colon"
    return source.diagnostic("missing-space", message, (colon, colon + 1), "write 'key: value'")


def explicit_key(source: Source, start: int, end: int) -> Iterator[Diagnostic]:
    """`? key`, searched for in the text before a key."""
    offset = _COMMENT.sub(lambda comment: " " * len(comment.group()), source.text[start:end]).find("?")
    if offset >= 0:
        place = (start + offset, start + offset + 1)
        yield source.diagnostic("odd-key", "a '?' marks a key here", place, f"write 'key: value'; {QUOTE_IT}")


def directives(source: Source) -> Iterator[Diagnostic]:
    """Lines such as `%TAG` above the document; libyaml rejects those that it does not know, PyYAML does not."""
    content = _CONTENT.search(source.text)
    for match in _DIRECTIVE.finditer(source.text, 0, content.start() if content else len(source.text)):
        yield directive(source, match.span())


def directive(source: Source, place: tuple[int, int]) -> Diagnostic:
    message = f"{quoted(source.text[slice(*place)])} is a YAML directive, which is not allowed"
    return source.diagnostic("directive", message, place, "delete the line")


def tab_indents(source: Source, opaque: Sequence[tuple[int, int]], until: int) -> list[Diagnostic]:
    """Tabs at the start of lines up to the one with `until`, except inside quoted and block strings."""
    found: list[Diagnostic] = []
    for match in _TAB_INDENT.finditer(source.text):
        if match.start() > until or len(found) >= _MAX_TABS:
            break
        before = bisect_right(opaque, (match.start(), 0)) - 1
        if before < 0 or match.start() >= opaque[before][1]:
            found.append(tab(source, source.text.index("\t", match.start())))
    return found


def tab(source: Source, offset: int) -> Diagnostic:
    message = "this line is indented with a tab"
    return source.diagnostic("tab", message, (offset, offset + 1), "indent with spaces; YAML does not allow tabs")
