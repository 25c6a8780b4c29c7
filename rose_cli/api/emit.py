"""A campaign as the text of a campaign file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

_WIDTH = 100


def emitted(campaign: Mapping[str, object], heading: str) -> str:
    """The text of a campaign file: strings are quoted, so that each value is read as it was."""
    lines = [f"# {heading}", *_mapping(campaign, "")]
    return "\n".join(lines) + "\n"


def _mapping(value: Mapping[str, object], indent: str) -> Iterator[str]:
    for key, each in value.items():
        yield from _entry(f"{indent}{_key(key)}:", each, f"{indent}  ")


def _entry(start: str, value: object, indent: str) -> Iterator[str]:
    flow = _flow(value)
    is_nested = isinstance(value, Mapping | list | tuple) and len(value) > 0
    if not is_nested or len(start) + len(flow) < _WIDTH:
        yield f"{start} {flow}"
        return
    yield start
    if isinstance(value, Mapping):
        yield from _mapping(value, indent)
        return
    assert isinstance(value, Sequence)  # noqa: S101 - it is nested
    for each in value:
        first, *rest = (
            _mapping(each, f"{indent}  ") if isinstance(each, Mapping) and each else [f"{indent}  {_flow(each)}"]
        )
        yield f"{indent}- {first.lstrip()}"
        yield from rest


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _key(key: object) -> str:
    text = str(key)
    plain = text.lstrip("-").replace("_", "").replace("-", "").replace(".", "")
    is_word = text.isascii() and plain.isalnum() and not plain[0].isdigit() and not text.endswith(":")
    return text if isinstance(key, int) or (is_word and text.casefold() not in _RESERVED) else json.dumps(text)


_RESERVED = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"}
"""Words that YAML may read as something else."""


def _scalar(value: object) -> str:
    if isinstance(value, float):
        text = repr(value)
        return text if "e" not in text or "." in text.partition("e")[0] else text.replace("e", ".0e")
    text = json.dumps(value, ensure_ascii=False)
    return "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in text)  # a byte order mark, say
