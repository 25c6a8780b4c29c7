"""Comments that answer warnings: `# rose: allow keys-look-like-starts`.

At the end of a line, or in a line of its own above it, such a comment allows the warnings of this line; above the first
key, those of the whole file. Errors cannot be allowed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rose_cli.config.yaml.nodes import ListNode, MappingNode, ScalarNode
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Diagnostic, Severity, Span
from rose_cli.util.text import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.config.document import Document
    from rose_cli.config.yaml.nodes import Node

WARNING_CODES = frozenset(
    ("bare-word", "computed-option", "cut-by-comment", "doubtful-placeholder", "hidden-failure",
     "invisible-character", "iteration-never-comes", "keys-look-like-starts", "metric-name", "missing-interpreter",
     "never-prunes", "never-runs", "no-dashes", "no-launcher", "not-installed", "not-visible", "one-argument",
     "out-of-range", "patience-too-long", "prints-nothing", "relative-path", "shell-sign", "similar-option",
     "srun-in-task", "threshold-always-met", "threshold-in-percent", "threshold-never-met", "too-many-resources",
     "two-launchers", "typographic-sign", "unused-anchor", "unused-key", "unused-preload", "unusual-operator",
     "value-in-name", "wrong-value")
)  # fmt: skip
"""Every code that a warning can have."""

_COMMENT = re.compile(
    r"(?:^|(?<=[ \t]))#+[ \t]*rose:?[ \t]*(?P<verb>allow|ignore|disable|skip|noqa|nowarn)\b[:=]?(?P<codes>[^\r\n]*)",
    re.MULTILINE,
)

_WORD = re.compile(r"[A-Za-z][\w-]*")

MAX_COMMENTS = 1000


@dataclass
class _Allow:
    """One code of a comment. `line` None: the whole file."""

    code: str
    line: int | None
    span: Span
    is_used: bool = False

    def answers(self, diagnostic: Diagnostic, line: int | None) -> bool:
        return diagnostic.code == self.code and self.line in (None, line)


def without_allowed(
    document: Document, diagnostics: Sequence[Diagnostic], *, is_complete: bool = True
) -> tuple[Diagnostic, ...]:
    """The diagnostics without the warnings that a comment allows, and with warnings about comments without an effect.

    `is_complete`: whether the diagnostics are all of this file, and of nothing else: only then an allow can be unused.
    """
    comments = _comments(document)
    if not comments:
        return tuple(diagnostics)
    lines = _Lines(document)
    allows = [allow for match in comments if _is_allow(match) for allow in lines.allows(match)]
    kept = [each for each in diagnostics if not _is_allowed(each, allows, lines, document.name)]
    has_errors = any(each.is_error for each in diagnostics)
    kept += [_no_allow(match, document) for match in comments if not _is_allow(match)]
    for allow in allows:
        if allow.code not in WARNING_CODES and not any(_names(each, allow, lines, document.name) for each in kept):
            near = nearest(allow.code, WARNING_CODES)
            hint = f"did you mean '{near}'?" if near else "copy the code from the brackets of the warning"
            kept.append(_warning("unknown-code", f"there is no warning '{allow.code}'", hint, allow.span, document))
        elif any(_names(each, allow, lines, document.name) for each in kept):
            message = f"'{allow.code}' is an error here: only warnings can be allowed"
            kept.append(_warning("unused-allow", message, "fix the error, and remove this", allow.span, document))
        elif not allow.is_used and is_complete and not has_errors:
            where = "this file" if allow.line is None else f"line {allow.line}"
            message = f"{where} has no warning '{allow.code}'"
            kept.append(_warning("unused-allow", message, "remove it", allow.span, document))
    return tuple(kept)


def _is_allowed(diagnostic: Diagnostic, allows: Sequence[_Allow], lines: _Lines, name: str) -> bool:
    if diagnostic.is_error:
        return False
    line = lines.line_of(diagnostic) if diagnostic.file == name else None
    found = [allow for allow in allows if allow.answers(diagnostic, line)]
    for allow in found:
        allow.is_used = True
    return bool(found)


def _names(diagnostic: Diagnostic, allow: _Allow, lines: _Lines, name: str) -> bool:
    """Whether it is an error that the comment wants to allow."""
    return diagnostic.is_error and diagnostic.file == name and allow.answers(diagnostic, lines.line_of(diagnostic))


def _warning(code: str, message: str, hint: str, span: Span, document: Document) -> Diagnostic:
    return Diagnostic(code, message, hint=hint, severity=Severity.WARNING, file=document.name, span=span)


def _comments(document: Document) -> list[re.Match[str]]:
    if "rose" not in document.text:
        return []
    found = [match for match in _COMMENT.finditer(document.text) if _starts_comment(match)][:MAX_COMMENTS]
    inside = [(node.at.start, node.at.end) for node in _scalars(document)] if found else []
    return [match for match in found if not any(start <= match.start() < end for start, end in inside)]


def _starts_comment(match: re.Match[str]) -> bool:
    """In a line that is a comment, only its beginning counts."""
    before = match.string[match.string.rfind("\n", 0, match.start()) + 1 : match.start()]
    return not before.lstrip().startswith("#")


def _is_allow(match: re.Match[str]) -> bool:
    return match["verb"] == "allow" and _WORD.search(match["codes"]) is not None


def _no_allow(match: re.Match[str], document: Document) -> Diagnostic:
    """`# rose: ignore …`, and `# rose: allow` without a code."""
    line = match.string.count("\n", 0, match.start()) + 1
    column = match.start("verb") - match.string.rfind("\n", 0, match.start())
    span = Span(line, column, line, column + len(match["verb"]))
    message = "this comment names no warning" if match["verb"] == "allow" else f"'{match['verb']}' has no effect here"
    return _warning("unknown-code", message, "write # rose: allow CODE, with the code of the warning", span, document)


def _scalars(document: Document) -> Iterator[ScalarNode]:
    """The strings of the file in which a `#` is no comment."""
    open_nodes: list[Node] = [document.root]
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, ScalarNode):
            if node.style != "plain" and node.at.source.name == document.name:
                yield node
        elif isinstance(node, ListNode):
            open_nodes += node.items
        elif isinstance(node, MappingNode):
            open_nodes += [entry.value for entry in node.entries.values()]


class _Lines:
    """The lines of a file: which ones a comment is about, and on which one a warning counts."""

    def __init__(self, document: Document) -> None:
        self._lines = document.text.splitlines()
        self._starts = [0]
        for line in document.text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        spans = (node.at.source.span(node.at.start, node.at.end) for node in _scalars(document))
        self._first_lines = {
            number: span.line for span in spans for number in range(span.line + 1, span.end_line + 1)
        }  # fmt: skip
        self._content = [n for n, line in enumerate(self._lines, start=1) if self._has_content(line)]

    @staticmethod
    def _has_content(line: str) -> bool:
        content = line.lstrip(" -")
        return bool(content) and not content.startswith("#")

    def line_of(self, diagnostic: Diagnostic) -> int | None:
        """The line on which the value starts: inside of a string over several lines, nobody can comment."""
        if diagnostic.span is None:
            return None
        return self._first_lines.get(diagnostic.span.line, diagnostic.span.line)

    def allows(self, match: re.Match[str]) -> Iterator[_Allow]:
        offset = match.start("codes")
        number = next(n for n, start in enumerate(self._starts[1:], start=1) if start > offset or n == len(self._lines))
        line: int | None = number
        if not self._has_content(self._lines[number - 1]):
            below = next((n for n in self._content if n > number), None)
            line = None if number < next(iter(self._content), number + 1) else below or number
        column = offset - self._starts[number - 1] + 1
        for start, code in _codes(match["codes"]):
            yield _Allow(code, line, Span(number, column + start, number, column + start + len(code)))


def _codes(text: str) -> Iterator[tuple[int, str]]:
    """The words up to each comma are codes, and those after them a reason, unless they are codes too."""
    offset = 0
    for piece in text.split(","):
        for position, word in enumerate(_WORD.finditer(piece)):
            if position and word[0] not in WARNING_CODES:
                break
            yield offset + word.start(), word[0]
        offset += len(piece) + 1
