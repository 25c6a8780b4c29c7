"""Parses an adaptive expression into Python's syntax tree, after checking all bounds."""

from __future__ import annotations

import ast
import math
import re
import unicodedata
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from rose_cli.util.dataclass import dataclass

Number: TypeAlias = int | float

Scalar: TypeAlias = int | float | bool | str

Value: TypeAlias = Scalar | tuple[Scalar, ...]

Scope: TypeAlias = Mapping[str, Any]

Run: TypeAlias = Callable[[Scope], Value]

NAMES = ("i", "max_iter", "metric", "previous", "best", "since_best")

CONSTANTS = {"pi": math.pi, "e": math.e}

MAX_CHARACTERS = 400

MAX_BRACKETS = 32

MAX_BITS = 1024

MAX_DIGITS = 15  # of round(x, n): round(1, -10**9) would take minutes

MAX_ITEMS = 10_000
"""Entries of a list."""

MAX_TEXT = 4_096
"""Characters of a text that a task reported."""

LIMIT = 1 << MAX_BITS


class ExpressionError(Exception):
    """An error in an expression; `offset` (from 0) and `length` count characters of the original text."""

    def __init__(self, message: str, offset: int, length: int, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.length = length
        self.hint = hint


class MissingError(ExpressionError):
    """Something has no value yet; `default` replaces it."""


@dataclass(frozen=True)
class TextRange:
    """A range of the text that an error can point at."""

    offset: int
    length: int

    def error(self, message: str, hint: str | None = None) -> ExpressionError:
        return ExpressionError(message, self.offset, self.length, hint)


def range_of(node: ast.expr) -> TextRange:
    return TextRange(node.col_offset, end_of(node) - node.col_offset)


def end_of(node: ast.expr) -> int:
    return node.end_col_offset or node.col_offset + 1


_BLANKS = " \t\r\n"

# Exactly Python's quoted strings, since there is neither a backslash nor a line break.
_QUOTED = re.compile(r"""(?:(?<!\w)((?i:[bfrtu]|r[bft]|[bft]r)))?(?:'''.*?'''|\"{3}.*?\"{3}|'[^']*'|"[^"]*\")""")

_FORBIDDEN = re.compile(r"[^ -~]|[\\`#;]")

_INSTEAD_OF_CHARACTER = {
    "\\": "remove it",
    "`": "remove it",
    "#": "remove the comment",
    ";": "write one expression",
    "\n": "write the expression on one line",
    "\t": "write a space",
    "\N{MINUS SIGN}": "write -",
    "\N{MULTIPLICATION SIGN}": "write *",
    "\N{SUPERSCRIPT TWO}": "write **2",
    "\N{LESS-THAN OR EQUAL TO}": "write <=",
    "\N{GREATER-THAN OR EQUAL TO}": "write >=",
    "\N{NOT EQUAL TO}": "write !=",
}

_CONDITIONAL = "write a if condition else b"

_ONLY = "write only the expression"

_PLAIN = "write plain names, as in 100 + i*50"

# What no expression contains; the first that matches counts: (pattern, message, hint), with the match and its groups.
_FORBIDDEN_WORDS: tuple[tuple[str, str, str | None], ...] = (
    (r"\^", "operator ^ is not allowed; use ** for powers", None),
    (r"&&?", "operator {0} is not allowed; use and", None),
    (r"\|\|?", "operator {0} is not allowed; use or", None),
    (r"~|!(?!=)", "operator {0} is not allowed; use not", None),
    (r"<>|!==|\bis\s+not\b|\bnot\s+in\b", "operator {0} is not allowed; use !=", None),
    (r"===|\bis\b|\bin\b", "operator {0} is not allowed; use ==", None),
    (r"<<", "operator << is not allowed; use * 2**n", None),
    (r">>", "operator >> is not allowed; use // 2**n", None),
    (r"@", "operator @ is not allowed; use *", None),
    (r"\?", "operator ?: is not allowed", _CONDITIONAL),
    (r":=", "operator := is not allowed", _ONLY),
    (r"\b(?:lambda|return|def|import|from|while|yield|await|async)\b", "{0} is not allowed", _ONLY),
    (r"\bfor\b", "loops are not allowed", "write one value for iteration i"),
    (r"\{", "braces are not allowed", _PLAIN),
    (r"\$", "the character '$' is not allowed", _PLAIN),
    (r"[(,]\s*([A-Za-z_]\w*\s*=)(?!=)", "arguments are passed by position, not by name", "remove {1!r}"),
    (r"(?<![<>=!])=(?!=)", "operator = is not allowed; use == to compare", None),
    (r"\b(?:AND|OR|NOT|IF|ELSE)\b", "{0!r} is not known", "write it in lower case"),
    (r"^if\b|\bif\b(?!.*\belse\b)", "'if' goes between two values", _CONDITIONAL),
    (
        r"(?<![\w.])(\d+\.?\d*)(i|max_iter|metric|previous|best|since_best|pi)\b",
        "{0!r} is not a number",
        "write {1}*{2}",
    ),
)

_UNFINISHED = re.compile(r"(?:[-+*/%<>=,.]+|\b(?:and|or|not|if|else))$")

_ANY_FORBIDDEN_WORD = re.compile("|".join(pattern for pattern, _, _ in _FORBIDDEN_WORDS))


def syntax_tree(text: str) -> ast.expr:
    """Python's tree of the text; all bounds are checked before Python's parser is called."""
    source = text.strip(_BLANKS)
    if not source:
        raise ExpressionError("the expression is empty", 0, len(text), "write a number, or for example 100 + i*50")
    shift = text.index(source)
    try:
        _check_characters(source)
        masked = _QUOTED.sub(_blank, source)
        _check_words(masked)
        _check_brackets(masked)
        tree = _python_tree(source, masked)
    except ExpressionError as error:
        error.offset += shift
        raise
    if shift:  # Python takes leading spaces for indentation, so it never saw them
        _move(tree, shift)
    return tree


def _move(tree: ast.expr, shift: int) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            node.col_offset += shift
            node.end_col_offset = (node.end_col_offset or 0) + shift


def _check_characters(source: str) -> None:
    if len(source) > MAX_CHARACTERS:
        message = f"the expression has {len(source)} characters; at most {MAX_CHARACTERS} are allowed"
        raise ExpressionError(message, MAX_CHARACTERS, len(source) - MAX_CHARACTERS)
    found = _FORBIDDEN.search(source)
    if found:
        hint = _INSTEAD_OF_CHARACTER.get(found[0], "write plain ASCII")
        raise ExpressionError(f"{_shown(found[0])} is not allowed", found.start(), 1, hint)


def _shown(character: str) -> str:
    """The character as a message can show it: with its name if it could be mistaken for another or is invisible."""
    if character.isascii():
        return f"the character {character!r}"
    name = unicodedata.name(character, f"U+{ord(character):04X}").lower()
    return f"the character {character!r} ({name})" if character.isprintable() else f"the character {name}"


def _blank(quoted: re.Match[str]) -> str:
    prefix = quoted[1]
    if prefix:  # f-strings can nest quotes from Python 3.12 on, and could hide what follows
        message = "f-strings are not allowed" if prefix in "fF" else f"the prefix {prefix!r} is not allowed"
        raise ExpressionError(message, quoted.start(), len(quoted[0]), "write the bare expression or string")
    return " " * len(quoted[0])


def _check_words(masked: str) -> None:
    """Reject what is not part of the language, so that Python's parser never sees it and need not explain it."""
    if not _ANY_FORBIDDEN_WORD.search(masked):
        return
    for pattern, message, hint in _FORBIDDEN_WORDS:
        found = re.search(pattern, masked)
        if found:
            parts = (found[0], *found.groups())
            raise ExpressionError(
                message.format(*parts), found.start(), len(found[0]), hint.format(*parts) if hint else None
            )


def _check_brackets(masked: str) -> None:
    """Python's own bounds differ by version. Quoted strings are spaces in `masked`."""
    unclosed: list[int] = []
    for offset, character in enumerate(masked):
        if character in "'\"":
            raise ExpressionError("the quoted string is never closed", offset, len(masked) - offset)
        if character in _CLOSED_BY:
            unclosed.append(offset)
            if len(unclosed) > MAX_BRACKETS:
                raise ExpressionError(f"more than {MAX_BRACKETS} nested brackets", offset, 1)
        elif character in ")]":
            if not unclosed:
                raise ExpressionError(f"'{character}' closes nothing", offset, 1)
            opening = masked[unclosed.pop()]
            if _CLOSED_BY[opening] != character:
                raise ExpressionError(f"'{character}' cannot close '{opening}'", offset, 1)
    if unclosed:
        raise ExpressionError(f"'{masked[unclosed[-1]]}' is never closed", unclosed[-1], 1)


_CLOSED_BY = {"(": ")", "[": "]"}


def _python_tree(source: str, masked: str) -> ast.expr:
    try:
        with warnings.catch_warnings():  # "1if i else 2" warns from Python 3.12 on
            warnings.simplefilter("ignore")
            return ast.parse(source, mode="eval").body
    except SyntaxError as error:
        raise _syntax_error(error, masked) from None
    except (ValueError, RecursionError, MemoryError, OverflowError):
        raise ExpressionError("the expression cannot be parsed", 0, len(source)) from None


def _syntax_error(error: SyntaxError, masked: str) -> ExpressionError:
    unfinished = _UNFINISHED.search(masked)
    if unfinished:  # Python's position for it differs by version
        return ExpressionError("the expression ends where a value is expected", unfinished.start(), len(unfinished[0]))
    offset = min(max(0, (error.offset or 1) - 1), len(masked) - 1)
    length = max(1, min((error.end_offset or 0) - 1, len(masked)) - offset)
    message = error.msg[0].lower() + error.msg[1:]
    if "forgot a comma" in message:
        message = "an operator or a comma is missing here"
    elif message.startswith("invalid syntax"):
        word = re.compile(r"\w+|.").match(masked, offset)
        token = word[0] if word else ""
        message, length = f"{token!r} is not expected here", len(token)
    return ExpressionError(message, offset, length)
