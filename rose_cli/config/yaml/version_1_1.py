"""What programs that read YAML 1.1, as PyYAML does, make of a word that is a string in YAML 1.2."""

from __future__ import annotations

import re

import yaml

_WORD = re.compile(r"[\w:.+-]{1,40}", re.ASCII)


def as_in_yaml_1_1(text: str) -> bool | int | float | None:
    """`yes` is true there, `010` is 8 and `1:30` is 90; None if it is a string there too."""
    if _WORD.fullmatch(text) is None:
        return None
    try:
        read = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return None
    return read if isinstance(read, bool | int | float) else None
