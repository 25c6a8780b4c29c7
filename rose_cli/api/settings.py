"""Settings given in Python, as the command line has them: `--set key.path=value`."""

from __future__ import annotations

import inspect
import json
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rose_cli.api.emit import emitted
from rose_cli.campaign_file import parse_setting
from rose_cli.util.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


def settings_of(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Texts for `--set`. Raises UsageError for a path or a value that no campaign file can have."""
    texts = tuple(f"{path}={_text(path, value)}" for path, value in given.items())
    for text in texts:
        parse_setting(text)
    return texts


def campaign_text(entries: Mapping[str, Any], heading: str) -> str:
    """The text of a campaign file with these entries. Raises UsageError for a value that no campaign file can have."""
    return emitted({str(key): _checked(str(key), value) for key, value in entries.items()}, heading)


def _text(path: str, value: Any) -> str:  # noqa: ANN401 - whatever the program gives
    return json.dumps(_checked(path, value), ensure_ascii=False)


def _checked(path: str, value: Any) -> Any:  # noqa: ANN401
    try:
        plain = _plain(value)
        json.dumps(plain, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        message = f"'{path}' cannot be set to {value!r:.60}"
        raise UsageError(
            message, "give strings, numbers, booleans, None, and lists and dictionaries of them"
        ) from error
    return plain


def _plain(value: Any) -> Any:  # noqa: ANN401
    """As JSON has it, which YAML reads in the same way: paths as strings, numbers and arrays of NumPy as Python's."""
    if isinstance(value, Mapping):
        return {_key(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(entry) for entry in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if inspect.isfunction(value):
        return _function(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(value)
    return value


def _key(key: Any) -> int | str:  # noqa: ANN401
    key = key.tolist() if hasattr(key, "tolist") else key
    return key if type(key) is int else str(key)


def _function(function: Callable[..., object]) -> str:
    """A function of a module as campaign files name it. Raises UsageError for one that no task can import."""
    module, name = function.__module__, function.__qualname__
    if module == "__main__" or not name.isidentifier():
        message = f"{name} is a function of this program alone, which a task cannot import"
        raise UsageError(message, "write it at the top level of a module beside this program, and import it from there")
    return f"{module}:{name}"
