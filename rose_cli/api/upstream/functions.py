"""The functions of a script, as pickles for its tasks, and whether they are still the same."""

from __future__ import annotations

import hashlib
from types import CodeType
from typing import TYPE_CHECKING, Any

from rose_cli.api.script_errors import ScriptError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rose_cli.api.task import Entry


def pickled(entry: Entry, task: str) -> bytes:
    """The pickle of a function and of what it uses of its script. Raises ScriptError if that cannot be pickled."""
    import cloudpickle

    try:
        data: bytes = cloudpickle.dumps(entry)
    except Exception as error:
        message = f"the function of '{task}' uses something that cannot be sent to another process: {error}"
        hint = "open files, connections, locks and the like inside the function"
        raise ScriptError(message, hint) from error
    return data


def fingerprint(functions: Sequence[Callable[..., Any]]) -> str:
    """A digest of what the functions do, and of the functions of the same module that they use.

    Line numbers do not count, so an edit elsewhere in the script changes nothing.
    """
    digest = hashlib.sha256()
    seen: set[int] = set()
    for function in functions:
        _add(digest, function, seen)
    return digest.hexdigest()[:16]


def _add(digest: Any, function: Any, seen: set[int]) -> None:
    function = getattr(function, "__wrapped__", function)
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType) or id(code) in seen or len(seen) > 1000:
        digest.update(repr(getattr(function, "__qualname__", type(function))).encode())
        return
    seen.add(id(code))
    digest.update(_of_code(code).encode())
    digest.update(
        repr((getattr(function, "__defaults__", None), sorted((function.__kwdefaults__ or {}).items()))).encode()
    )
    for name in code.co_names:
        other = function.__globals__.get(name)
        if getattr(other, "__module__", None) == function.__module__ and callable(other):
            _add(digest, other, seen)


def _of_code(code: CodeType) -> str:
    constants = [_of_code(each) if isinstance(each, CodeType) else _constant(each) for each in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {constants}"


def _constant(value: object) -> str:
    """Sets have another order in each process."""
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)
