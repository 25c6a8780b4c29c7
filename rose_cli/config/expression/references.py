"""References to what tasks reported: `result.KEY`, `results.TASK.KEY`, `results.TASK[n].KEY`, `results.TASK["x"].KEY`.

A report is data of a stranger: it is only looked into, one key or position after the other, and what is found must be a
number, a truth value, a text or a list of these, within bounds.
"""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rose_cli.config.expression.parser import (
    LIMIT,
    MAX_BITS,
    MAX_ITEMS,
    MAX_TEXT,
    MissingError,
    TextRange,
    end_of,
    range_of,
)
from rose_cli.util.dataclass import dataclass
from rose_cli.util.text import cut, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rose_cli.config.expression.parser import ExpressionError, Run, Scope, Value
    from rose_cli.config.expression.reports import ReportView, TaskReports

LATEST, BY_TASK = "result", "results"
"""The names that references start with."""

ROOTS = (LATEST, BY_TASK)


class Read(NamedTuple):
    """A report that an expression reads: of which task (None: the latest of any), and the keys in it.

    `offset`, `length`: where the task is named, or the whole reference.
    """

    task: str | None
    keys: tuple[str | int, ...]
    offset: int
    length: int


@dataclass(frozen=True)
class _Part:
    """A step into a report: a key, or a position, which may have to be worked out."""

    key: str | Run
    where: TextRange
    is_attribute: bool = False


class _Each(list[Any]):
    """What each replica of a task has there; `_NOTHING` where one has nothing."""

    def __init__(self, values: Sequence[Any], names: tuple[str, ...] | None) -> None:
        super().__init__(values)
        self.names = names


_NOTHING = object()

Fail: TypeAlias = "Callable[[str, str | None], ExpressionError]"


class _Missing(Exception):  # noqa: N818 - it ends in an error that says more
    """There is nothing there (yet); the message says why, if more is known than that."""

    def __init__(self, why: str | None = None, hint: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint


class _Unfit(Exception):  # noqa: N818
    """What is there is nothing that an expression can work with: message and hint."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def root_of(node: ast.expr) -> ast.expr:
    """The expression that a chain of attributes and positions starts from."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node


def reference(node: ast.Attribute | ast.Subscript, text: str, number: Callable[[ast.expr], Run]) -> tuple[Run, Read]:
    """Compile a chain that starts with `result` or `results`; `number` compiles positions. Raises ExpressionError."""
    parts, root = _parts(node, number)
    where, label = range_of(node), text[node.col_offset : end_of(node)]
    task: str | None = None
    at = where
    if isinstance(root, ast.Name) and root.id == BY_TASK:
        first, *parts = parts
        if not isinstance(first.key, str):
            raise first.where.error("`results` has tasks, not positions", "write results.TASK.KEY")
        task, at = first.key, first.where
        if not parts or (len(parts) == 1 and not parts[0].is_attribute and not isinstance(parts[0].key, str)):
            raise where.error(f"`{label}` is a report, not a value", f"write {label}.KEY, with what the task reports")
    elif not isinstance(parts[0].key, str):
        raise parts[0].where.error("`result` has keys, not positions", "write result.KEY")
    keys = tuple(part.key for part in parts if isinstance(part.key, str))
    return _run(task, parts, where, label), Read(task, keys, at.offset, at.length)


def _parts(node: ast.expr, number: Callable[[ast.expr], Run]) -> tuple[list[_Part], ast.expr]:
    parts: list[_Part] = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute):
            length = len(node.attr)
            parts.append(_Part(node.attr, TextRange(end_of(node) - length, length), is_attribute=True))
        else:
            parts.append(_Part(position_of(node.slice, number), range_of(node.slice)))
        node = node.value
    return parts[::-1], node


def position_of(node: ast.expr, number: Callable[[ast.expr], Run]) -> str | Run:
    """What stands between square brackets: a name in quotes, or a number."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Slice | ast.Tuple):
        raise TextRange(node.col_offset, max(1, end_of(node) - node.col_offset)).error(
            "a part of a list is not allowed", "write one position, counted from 0, as in [0]"
        )
    return number(node)


def _run(task: str | None, parts: Sequence[_Part], where: TextRange, label: str) -> Run:
    def run(scope: Scope) -> Value:
        try:
            found = _start(task, parts, scope)
            for part in parts[_is_only(found, parts, scope) :]:
                found = _inside(found, part.key if isinstance(part.key, str) else _whole(part, scope), part)
            return _value(found)
        except _Missing as missing:
            raise _no_value(label, missing, where, scope) from None
        except _Unfit as unfit:
            raise where.error(f"`{label}` {unfit.message}", unfit.hint) from None

    return run


def _no_value(label: str, missing: _Missing, where: TextRange, scope: Scope) -> MissingError:
    iteration = scope.get("i")
    at = "" if iteration is None else f" at i={iteration}"
    hint = missing.hint or ("write `... if i > 0 else ...`, or " if iteration == 0 else "write ") + _default(label)
    why = f": {missing.why}" if missing.why else ""
    return MissingError(f"`{label}` has no value yet{at}{why}", where.offset, where.length, hint)


def _default(label: str) -> str:
    return f"default({cut(label, 40)}, ...)"


def _start(task: str | None, parts: Sequence[_Part], scope: Scope) -> Any:  # noqa: ANN401 - any part of a report
    view: ReportView | None = scope.get("reports")
    if view is None and scope.get("is_planned"):
        raise _Unfit("is known only during the run")
    if view is None:
        raise _Missing
    if task is not None:
        reports = view.of(task)
        if reports is None:
            raise _Missing
        return _each(reports)
    key = parts[0].key
    for reports in view.latest():
        if any(key in report for report in reports.replicas):
            return _each(reports)
    raise _Missing


def _each(reports: TaskReports) -> Any:  # noqa: ANN401
    return _Each(reports.replicas, reports.names) if reports.is_list else next(iter(reports.replicas), {})


def _is_only(found: Any, parts: Sequence[_Part], scope: Scope) -> bool:  # noqa: ANN401
    """Whether `[0]` stands for the report of a task without replicas: one replica is like several."""
    return isinstance(found, dict) and callable(parts[0].key) and _whole(parts[0], scope) in (0, -1)


def _whole(part: _Part, scope: Scope) -> int:
    value = part.key(scope) if callable(part.key) else 0
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise part.where.error(f"a position is an integer, not {value!r:.40}", "it counts from 0")


def _inside(found: Any, key: str | int, part: _Part) -> Any:  # noqa: ANN401
    """What is there under a key or at a position."""
    if isinstance(found, _Each):
        return _inside_each(found, key, part)
    if isinstance(found, dict):
        if isinstance(key, int):
            raise _Unfit("has a position where a report has keys", "write a key")
        if key not in found:
            raise _Missing(*_no_such_key(key, found))
        return found[key]
    if isinstance(found, list | tuple) and isinstance(key, int):
        return entry_of(found, key)
    what = "list" if isinstance(found, list | tuple) else "value"
    hint = "write a position, as in [0], to get one of them" if what == "list" else None
    raise _Unfit(f"looks for '{cut(str(key), 40)}' inside a {what}", hint)


def entry_of(found: Sequence[Any], position: int) -> Any:  # noqa: ANN401
    """Raises `_Missing` if the list is not that long."""
    if not -len(found) <= position < len(found):
        raise _Missing(f"position {position:.6g} of a list of {len(found)}")
    return found[position]


def _inside_each(found: _Each, key: str | int, part: _Part) -> Any:  # noqa: ANN401
    if isinstance(key, int):
        entry = entry_of(found, key)
    elif not part.is_attribute and key in (found.names or ()):
        entry = found[(found.names or ()).index(key)]
    else:
        return _inside_all(found, key, part)
    if entry is _NOTHING:
        raise _Missing("this replica reported nothing there")
    return entry


def _inside_all(found: _Each, key: str, part: _Part) -> _Each:
    entries = [_NOTHING if entry is _NOTHING else _inside_one(entry, key, part) for entry in found]
    if all(entry is _NOTHING for entry in entries):
        raise _Missing("no replica reported anything there")
    return _Each(entries, found.names)


def _inside_one(found: Any, key: str, part: _Part) -> Any:  # noqa: ANN401
    try:
        return _inside(found, key, part)
    except _Missing:
        return _NOTHING


def _no_such_key(key: str, found: Mapping[Any, Any]) -> tuple[str | None, str | None]:
    known = [name for name in [*found][:1000] if isinstance(name, str) and name.isidentifier() and len(name) <= 40]
    near = nearest(key, known)
    return ("nothing is reported under this key" if found else None), f"did you mean '{near}'?" if near else None


# --- values ----------------------------------------------------------------------------------------------------------

_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""What a journal has in place of numbers that JSON has no form for."""


def _value(found: Any) -> Value:  # noqa: ANN401
    if found is None:
        raise _Missing
    if isinstance(found, _Each):
        found = [entry for entry in found if entry is not _NOTHING]
    if isinstance(found, list | tuple):
        if len(found) > MAX_ITEMS:
            raise _Unfit(
                f"is a list of {len(found):,}; the maximum is {MAX_ITEMS:,}", "write its length into the report"
            )
        return tuple([_scalar(entry, "has an entry that ") for entry in found])
    if isinstance(found, dict):
        raise _Unfit("is a report, not a value", "add the key of a value in it")
    return _scalar(found, "")


def _scalar(value: Any, subject: str) -> int | float | bool | str:  # noqa: ANN401
    if isinstance(value, str):
        if not _is_plain(value):
            raise _Unfit(f"{subject}contains a character that no argument of a command can have")
        if len(value) > MAX_TEXT:
            raise _Unfit(f"{subject}is a text of {len(value):,} characters; the maximum is {MAX_TEXT:,}")
        return _WORDS.get(value, value)
    if isinstance(value, int) and not -LIMIT < value < LIMIT:
        raise _Unfit(f"{subject}is too large (over {MAX_BITS} bits)")
    if isinstance(value, bool | int | float):
        return float(value) if isinstance(value, float) else value
    what = "a list" if isinstance(value, list | tuple) else "a mapping" if isinstance(value, dict) else "nothing"
    raise _Unfit(f"{subject}is {what}", "write which of them is meant, with [position] or .key" if subject else None)


def _is_plain(text: str) -> bool:
    """Whether it can be passed to a program."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
