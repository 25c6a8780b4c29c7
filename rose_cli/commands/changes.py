"""What has changed in a campaign file since its run began; a resume says so and does not apply it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.errors import RoseError
from rose_cli.plan.secrets import MASK, is_secret
from rose_cli.spec.document import read_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.plan.model import Plan
    from rose_cli.run_directory import RunDirectory

MOST_SHOWN = 8


def campaign_changes(directory: RunDirectory, plan: Plan) -> Iterator[str]:
    """A line for each value that differs between the run's own text and the file as it is now."""
    then, now = _values(directory.campaign_text), _values(Path(plan.campaign_file))
    if then is None or now is None or then == now:
        return
    changed = [path for path in {**then, **now} if then.get(path) != now.get(path)]
    yield f"'{plan.campaign_file}' has changed since this run began; the run goes on as it was:"
    for path in changed[:MOST_SHOWN]:
        yield f"  {path}: {_shown(path, then)} → {_shown(path, now)} (not applied)"
    if len(changed) > MOST_SHOWN:
        yield f"  and {len(changed) - MOST_SHOWN} more"


def _shown(path: str, values: dict[str, str]) -> str:
    if path not in values:
        return "not there"
    is_variable = ".env." in f".{path}"
    return MASK if is_variable and is_secret(path.rpartition(".")[2]) else values[path]


def _values(path: Path) -> dict[str, str] | None:
    """Every single value of a campaign file by its key path, None where the file cannot be read."""
    try:
        return dict(_flat(read_document(path).data, ""))
    except RoseError:
        return None


def _flat(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _flat(entry, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for position, entry in enumerate(value):
            yield from _flat(entry, f"{path}[{position}]")
    else:
        yield path, str(value)
