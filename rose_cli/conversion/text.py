"""Values as YAML that people read and rose reads back unchanged, whatever they contain."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from rose_cli.config.yaml.nodes import WrittenExponent, WrittenFloat, WrittenInt, plain_value

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 120

_PLAIN = re.compile(r"[A-Za-z0-9_./(+][A-Za-z0-9_./ ()+<>=*:;@%^~-]*", re.ASCII)
"""What needs no quotes, in brackets either, unless it is a number or a word of YAML."""

_NEVER_PLAIN = re.compile(r": |:$| #|^[-?:] |^[-.?]+$| $|^(?:y|n|yes|no|on|off)$", re.IGNORECASE)


def scalar(value: object) -> str:
    """A number, a string, true, false or null."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, WrittenExponent | WrittenFloat | WrittenInt):
        return str(value)
    if isinstance(value, int | float):
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(str(value), str(value))
    text = str(value)
    if _PLAIN.fullmatch(text) and not _NEVER_PLAIN.search(text) and plain_value(text) == text and not _is_number(text):
        return text
    if text.isprintable() and '"' in text and "'" not in text:
        return f"'{text}'"
    return f'"{"".join(map(_escaped, text))}"'


_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _escaped(character: str) -> str:
    """As in double quotes; YAML has no surrogate pairs, so that JSON's escapes would not do."""
    if character in '"\\':
        return f"\\{character}"
    if character in _SHORT:
        return _SHORT[character]
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _is_number(text: str) -> bool:
    return isinstance(plain_value(text), WrittenExponent)


def flow(value: object) -> str:
    """On one line: `{a: 1, b: [x, y]}`."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{scalar(key)}: {flow(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(flow, value))}]"
    return scalar(value)


def lines_of(key: str, value: object, indent: int = 0, comments: Sequence[str] = ()) -> list[str]:
    """A key with its value, on one line if that fits, below its comments."""
    before = " " * indent
    above = [f"{before}{each}" for each in comments]
    line = f"{before}{scalar(key)}: {flow(value)}"
    if not isinstance(value, dict) or not value or len(line) <= WIDTH:
        return [*above, line]
    inner = [line for name, entry in value.items() for line in lines_of(str(name), entry, indent + 2)]
    return [*above, f"{before}{scalar(key)}:", *inner]
