"""The resource labels of the installed radical.pilot, read from its configuration files without importing it.

The user may add their own, in `~/.radical/pilot/configs` or `$RADICAL_CONFIG_USER_DIR`. No path is ever built from a
value in a campaign file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.util.json_output import JsonObject

MAX_BYTES = 1 << 20
"""The limit for one file: the largest of radical.pilot 1.103 has 12 kB."""

_FILES = "resource_*.json"
_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)


@dataclass(frozen=True)
class ResourceLabel:
    """A machine as radical.pilot describes it; a number is None if it is known only once the pilot runs.

    `mandatory`: the settings that a pilot there requires, such as `project`. `forks`: it is a process of this host.
    """

    cores_per_node: int | None
    gpus_per_node: int | None
    memory_mb_per_node: int | None
    schemas: tuple[str, ...]
    mandatory: tuple[str, ...]
    forks: bool


def known_labels(environment: Mapping[str, str]) -> dict[str, ResourceLabel] | None:
    """Every label, `site.machine`; None if radical.pilot is not installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        own = Path(str(distribution("radical.pilot").locate_file("radical/pilot/configs")))
    except PackageNotFoundError:
        return None
    return labels_in(own, _of_the_user(environment))


def labels_in(*directories: Path) -> dict[str, ResourceLabel]:
    """The labels in the configuration files of the directories; later ones are merged over earlier ones."""
    machines: dict[str, JsonObject] = {}
    for path in (path for directory in directories for path in sorted(directory.glob(_FILES))):
        site = path.stem.removeprefix("resource_")
        for machine, entries in _machines_in(path):
            name = f"{site}.{machine}"
            machines[name] = _merged(machines.get(name, {}), entries)
    return {name: _label(entries) for name, entries in machines.items()}


def _merged(below: JsonObject, above: JsonObject) -> JsonObject:
    """Key by key and recursively, as radical.pilot merges the user's descriptions over its own."""
    both = {key: _merged(below[key], above[key]) for key in below.keys() & above.keys()
            if isinstance(below[key], dict) and isinstance(above[key], dict)}  # fmt: skip
    return {**below, **above, **both}


def _of_the_user(environment: Mapping[str, str]) -> Path:
    base = environment.get("RADICAL_CONFIG_USER_DIR") or environment.get("HOME") or "/nonexistent"
    return Path(base) / ".radical" / "pilot" / "configs"


def _machines_in(path: Path) -> Iterator[tuple[str, JsonObject]]:
    """Skips files that are not configurations: radical.pilot itself reports them once it is used."""
    if not path.is_file():  # reading a pipe would block
        return
    try:
        with path.open(encoding="utf-8") as file:
            machines = json.loads(_COMMENT.sub("", file.read(MAX_BYTES)))
    except (OSError, ValueError, RecursionError):
        return
    for machine, entries in machines.items() if isinstance(machines, dict) else ():
        if isinstance(entries, dict):
            yield machine, entries


def _label(entries: JsonObject) -> ResourceLabel:
    return ResourceLabel(
        cores_per_node=_count(entries.get("cores_per_node")),
        gpus_per_node=_count(entries.get("gpus_per_node"), least=0),
        memory_mb_per_node=_count(entries.get("mem_per_node")),
        schemas=_words(entries.get("schemas")),
        mandatory=_words(entries.get("mandatory_args")),
        forks=entries.get("resource_manager") == "FORK",
    )


def _count(value: object, least: int = 1) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= least else None


def _words(value: object) -> tuple[str, ...]:
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, dict | list) else ()
