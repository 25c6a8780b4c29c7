"""Owns what a plain (unquoted) YAML scalar means: YAML 1.2's core schema, without its surprises.

Exponent forms (`1e-3`), leading zeros (`007`), dates, `1:30`, `1_000`, `yes` and `no` stay text, and so does a number
of more than 64 characters; whoever wants a number makes it one. A number that Python would write in another way
(`0.10`, `0x1F`) keeps its text, for whoever hands it on.
"""

from __future__ import annotations

import re
from math import inf, nan

Scalar = str | int | float | bool | None


class WrittenInt(int):
    """A whole number that prints as it was written, such as `0x1F`."""

    text: str

    def __str__(self) -> str:
        return self.text


class WrittenFloat(float):
    """A number that prints as it was written, such as `0.10`."""

    text: str

    def __str__(self) -> str:
        return self.text


class WrittenExponent(str):
    """`1e-3` without quotes: a text, and a number to whoever wants one."""

    __slots__ = ()


MAX_NUMBER_LENGTH = 64

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), nan),
}
_NUMBER = re.compile(
    r"""(?P<int>   [-+]? (?: 0 | [1-9][0-9]* ) )
      | (?P<hex>   0x [0-9a-fA-F]+ )
      | (?P<octal> 0o [0-7]+ )
      | (?P<float> [-+]? (?: \.[0-9]+ | [0-9]+\.[0-9]* ) )
      | (?P<exponent> [-+]? (?: \.[0-9]+ | [0-9]+\.?[0-9]* ) [eE] [-+]? [0-9]+ )""",
    re.VERBOSE,
)
_BASES = {"int": 10, "hex": 16, "octal": 8}


def plain_value(text: str) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > MAX_NUMBER_LENGTH + (text[0] in "+-"):
        return text
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    if match.lastgroup == "exponent":
        return WrittenExponent(text)
    kind = WrittenFloat if match.lastgroup == "float" else WrittenInt
    number = float(text) if kind is WrittenFloat else int(text, _BASES[match.lastgroup or "int"])
    if str(number) == text:
        return number
    kept = kind(number)
    kept.text = text
    return kept
