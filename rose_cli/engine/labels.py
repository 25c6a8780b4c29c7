"""The resource labels of the installed radical.pilot, read from its configuration files: nothing of it is imported.

Besides its own there are those of the user, under `~/.radical/pilot/configs` or `$RADICAL_CONFIG_USER_DIR`. No path is
ever made from what a campaign says.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.util.json_output import JsonObject

MAX_BYTES = 1 << 20
"""Of one file: the largest of radical.pilot 1.103 has 12 kB."""
_FILES = "resource_*.json"
_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)


@dataclass(frozen=True)
class ResourceLabel:
    """What radical.pilot knows of a machine; a number is None where it finds out only once the pilot runs.

    `mandatory`: what a pilot there has to be given, such as `project`. `forks`: the pilot is a process of this host.
    """

    cores_per_node: int | None
    gpus_per_node: int | None
    memory_mb_per_node: int | None
    schemas: tuple[str, ...]
    mandatory: tuple[str, ...]
    forks: bool


def known_labels(environment: Mapping[str, str]) -> dict[str, ResourceLabel] | None:
    """Every label, `site.machine`; None where radical.pilot is not installed."""
    try:
        own = Path(str(distribution("radical.pilot").locate_file("radical/pilot/configs")))
    except PackageNotFoundError:
        return None
    return labels_in(own, _of_the_user(environment))


def labels_in(*folders: Path) -> dict[str, ResourceLabel]:
    """The labels that the configuration files of the folders describe; a later one adds to what an earlier one says."""
    machines: dict[str, JsonObject] = {}
    for path in (path for folder in folders for path in sorted(folder.glob(_FILES))):
        site = path.stem.removeprefix("resource_")
        for machine, entries in _machines_in(path):
            name = f"{site}.{machine}"
            machines[name] = _laid_over(machines.get(name, {}), entries)
    return {name: _label(entries) for name, entries in machines.items()}


def _laid_over(below: JsonObject, above: JsonObject) -> JsonObject:
    """As radical.pilot lays the user's descriptions over its own: key by key, maps within maps too."""
    both = {key: _laid_over(below[key], above[key]) for key in below.keys() & above.keys()
            if isinstance(below[key], dict) and isinstance(above[key], dict)}  # fmt: skip
    return {**below, **above, **both}


def _of_the_user(environment: Mapping[str, str]) -> Path:
    base = environment.get("RADICAL_CONFIG_USER_DIR") or environment.get("HOME") or "/nonexistent"
    return Path(base) / ".radical" / "pilot" / "configs"


def _machines_in(path: Path) -> Iterator[tuple[str, JsonObject]]:
    """What is no configuration is passed over: radical.pilot itself says so once it is used."""
    if not path.is_file():  # a pipe would be waited for
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
