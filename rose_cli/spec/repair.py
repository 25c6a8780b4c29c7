"""What takes the place of a mistake, so that all the rest can be looked at again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rose_cli.diagnostic import Finding, KeyPath

# For keys that a model must have. What is said of them later is not shown.
_FILLERS: dict[str, Any] = {
    "tasks": {},
    "learners": [{}],
    "executable": "{python}",
    "metric": "metric",
    "path": "file",
    "times": 0,
    "after_converged": 1,
}


def repaired(data: Any, findings: Iterable[Finding]) -> Any:  # noqa: ANN401 - plain values
    """A copy of `data` in which what the findings point at is taken out or filled in."""
    data = _copied(data)
    for path, is_key in sorted({_cut(finding) for finding in findings}, key=lambda cut: -len(cut[0])):
        if path:
            _mend(data, path, is_key=is_key)
    return data


def _copied(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _copied(entry) for key, entry in value.items()}
    return [_copied(entry) for entry in value] if isinstance(value, list) else value


def _cut(finding: Finding) -> tuple[KeyPath, bool]:
    if finding.code == "not-supported":  # with all that is beside it
        return finding.path[:1], True
    return finding.path, finding.at_key


def _mend(data: Any, path: KeyPath, *, is_key: bool) -> None:  # noqa: ANN401
    for part in path[:-1]:
        data = data[part]
    last = path[-1]
    if isinstance(data, list):
        data[int(last)] = {} if path[0] == "learners" and len(path) == 2 else f"item {last}"
    elif not isinstance(data, dict):
        return
    elif is_key:
        data.pop(last, None)
    elif path[:1] == ("tasks",) and len(path) == 2:
        data[last] = {"executable": "{python}"}
    elif last in _FILLERS:
        data[last] = _FILLERS[str(last)]
    else:
        data.pop(last, None)
