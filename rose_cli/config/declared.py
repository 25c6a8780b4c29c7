"""The names that a campaign file declares and other values of it use: known before any value is validated.

`load` makes them known to validators (`parameters.py`); an error in a value that uses them is then found in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Declared:
    """`parameters`: of the campaign; `axes`: of the replicas of any task, which are placeholders of that task."""

    parameters: frozenset[str]
    axes: frozenset[str]


def declared_in(data: Any) -> Declared:  # noqa: ANN401 - the file as plain values
    """What the file declares, be it valid or not."""
    file = _mapping(data)
    tasks = [_mapping(task) for part in _PARTS for task in _mapping(file.get(part)).values()]
    axes = {str(name) for task in tasks for name in _mapping(task.get("replicas"))}
    return Declared(frozenset(map(str, _mapping(file.get("parameters")))), frozenset(axes))


_PARTS = ("setup", "before", "tasks", "after", "finish")
"""Where tasks are declared."""


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}
