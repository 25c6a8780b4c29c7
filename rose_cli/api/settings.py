"""Settings given in Python, as the command line has them: `--set key.path=value`."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

from rose_cli.campaign_file import parse_setting
from rose_cli.util.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


def settings_of(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Texts for `--set`. Raises UsageError for a path or a value that no campaign file can have."""
    texts = tuple(f"{path}={_text(path, value)}" for path, value in given.items())
    for text in texts:
        parse_setting(text)
    return texts


def _text(path: str, value: Any) -> str:  # noqa: ANN401 - whatever the program gives
    try:
        return json.dumps(_plain(value), ensure_ascii=False)
    except (TypeError, ValueError) as error:
        message = f"'{path}' cannot be set to {value!r:.60}"
        raise UsageError(
            message, "give strings, numbers, booleans, None, and lists and dictionaries of them"
        ) from error


def _plain(value: Any) -> Any:  # noqa: ANN401
    """As JSON has it, which YAML reads in the same way: paths as strings, numbers of numpy as those of Python."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "item") and not isinstance(value, str):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(value)
    return value
