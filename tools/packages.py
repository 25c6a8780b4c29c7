"""The packages pinned in requirements/: their licences as a page of docs/, and a list of them for a release.

    python -m tools.packages                  rewrites the table in docs/licences.md
    python -m tools.packages sbom FILE        writes a software bill of materials (CycloneDX, JSON) with all hashes

A licence is read from the metadata of the installed package. A package that is not installed, because it is for another
Python or system, keeps the licence on the page.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import rose_cli
from tools.markdown import table

REPOSITORY = Path(__file__).parent.parent
PAGE = REPOSITORY / "docs" / "licences.md"
LOCKS = [REPOSITORY / "requirements" / name for name in ("lock.txt", "pilot.txt", "docs.txt")]
LEFT_OUT = "netifaces"
"""radical.pilot requires it; pilot.txt contains netifaces2 in its place."""

_ENTRY = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^ \\\n]+)(?: ; (?P<marker>[^\\\n]+?))? \\\n", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_PART = re.compile(r"(<!-- written by tools.packages -->\n).*?(<!-- end -->)", re.DOTALL)
_ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<licence>[^|]+) \|", re.MULTILINE)
_USES = (("rose", ""), ("`examples`", "examples"), ("`pilot`", "pilot"))
_FOR_DEVELOPERS = "tests and tools"
_SCOPES = {"rose": "required", "`examples`": "optional", "`pilot`": "optional", _FOR_DEVELOPERS: "excluded"}
_SAME = {
    "Apache 2.0": "Apache-2.0", "Apache Software License": "Apache-2.0", "MIT License": "MIT", "ISC License": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0", "BSD License": "BSD", "GPL3": "GPL-3.0", "AGPL": "AGPL-3.0",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0", "GNU General Public License (GPL)": "GPL",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0",
}  # fmt: skip
"""The names that packages use for their licences, and the short names."""


@dataclass(frozen=True)
class Pin:
    name: str
    version: str
    marker: str | None
    hashes: tuple[str, ...]

    @property
    def url(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def pins() -> list[Pin]:
    """Every pinned version, once; some packages have different versions for different Pythons."""
    found = {}
    for lock in LOCKS:
        text = lock.read_text(encoding="utf-8")
        entries = [*_ENTRY.finditer(text)]
        for entry, following in zip(entries, [*entries[1:], None], strict=True):
            end = following.start() if following else len(text)
            hashes = tuple(_HASH.findall(text, entry.end(), end))
            found[entry["name"], entry["version"]] = Pin(entry["name"], entry["version"], entry["marker"], hashes)
    return sorted(found.values(), key=lambda pin: (pin.name, pin.version))


def licence(name: str) -> str:
    """Raises PackageNotFoundError if it is not installed, and LookupError if it states no licence."""
    said = metadata(name)
    named = [word.rpartition(" :: ")[2] for word in said.get_all("Classifier") or () if word.startswith("License ::")]
    short = [text for text in (said["License-Expression"], said["License"]) if text and len(text) < 80]
    for text in (*short, " OR ".join(_SAME.get(each, each) for each in named if each != "DFSG approved")):
        if text:
            return _SAME.get(text, text)
    message = f"{name} does not state its licence"
    raise LookupError(message)


def licences() -> dict[str, str]:
    """The licences on the page, by package."""
    return {row["name"]: row["licence"] for row in _ROW.finditer(PAGE.read_text(encoding="utf-8"))}


def used_by() -> dict[str, str]:
    """What requires each package: rose itself, one of its extras, or its tests and tools."""
    found: dict[str, str] = {}
    for words, extra in _USES:
        _add("rose-cli", extra, words, found)
    return {pin.name: found.get(pin.name, _FOR_DEVELOPERS) for pin in pins()}


def _add(name: str, extra: str, words: str, found: dict[str, str]) -> None:
    """The packages with all their dependencies, for every Python and system."""
    for line in _requires(name):
        wanted = Requirement(line)
        of_extra = re.findall(r'extra == "([^"]+)"', str(wanted.marker or ""))
        brought = canonicalize_name(wanted.name)
        if of_extra == ([extra] if extra else []) and brought not in found:
            found[brought] = words
            _add(brought, "", words, found)


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return ["netifaces2"] if name == LEFT_OUT else []


def page(before: str) -> str:
    """The page with an up-to-date table."""
    known, uses = licences(), used_by()
    rows = []
    for name in uses:
        try:
            said = licence(name)
        except PackageNotFoundError:
            said = known[name]
        rows.append((f"`{name}`", said, uses[name]))
    order = list(_SCOPES)
    text = table(("package", "licence", "comes with"), sorted(rows, key=lambda row: (order.index(row[2]), row[0])))
    return _PART.sub(lambda part: f"{part[1]}\n{text}\n{part[2]}", before)


def bill_of_materials() -> dict[str, Any]:
    """CycloneDX 1.6. Reproducible: it contains no time and no random number."""
    said, uses = licences(), used_by()
    root = {"type": "application", "name": "rose-cli", "version": rose_cli.__version__}
    url = f"pkg:pypi/rose-cli@{rose_cli.__version__}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**root, "bom-ref": url, "purl": url, "licenses": [{"expression": "MIT"}]}},
        "components": [_component(pin, said[pin.name], _SCOPES[uses[pin.name]]) for pin in pins()],
    }


def _component(pin: Pin, said: str, scope: str) -> dict[str, Any]:
    marker = [{"name": "rose:marker", "value": pin.marker}] if pin.marker else []
    return {
        "type": "library",
        "bom-ref": pin.url,
        "name": pin.name,
        "version": pin.version,
        "scope": scope,
        "hashes": [{"alg": "SHA-256", "content": each} for each in pin.hashes],
        "licenses": [{"license": {"name": said}}],
        "purl": pin.url,
        "properties": marker,
    }


def main(arguments: list[str]) -> None:
    match arguments:
        case []:
            PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        case ["sbom", file]:
            Path(file).write_text(json.dumps(bill_of_materials(), indent=2) + "\n", encoding="utf-8")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
