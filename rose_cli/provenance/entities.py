"""The entities of a crate: JSON-LD objects with an `@id`, written one by one, since a run can have many thousands."""

from __future__ import annotations

import json
import math
import mimetypes
import re
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from rose_cli.util.json_output import iso_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rose_cli.provenance.package import Stored

MOST_CHARACTERS = 10_000
"""Of a text in the metadata; a longer one is cut."""

_LARGEST = 2**53
"""Readers of JSON do not agree on integers beyond it: they are written as text."""

_SURROGATES = re.compile("[\ud800-\udfff]")

_TYPES = {
    ".yaml": ("application/yaml", "fmt/818", "YAML"),
    ".yml": ("application/yaml", "fmt/818", "YAML"),
    ".json": ("application/json", "fmt/817", "JSON"),
    ".out": ("text/plain", "x-fmt/111", "Plain text"),
    ".err": ("text/plain", "x-fmt/111", "Plain text"),
    ".txt": ("text/plain", "x-fmt/111", "Plain text"),
    ".csv": ("text/csv", "x-fmt/18", "Comma-separated values"),
    ".jsonl": ("application/jsonl", None, None),
}
"""The media type of a file, and the identifier and name of its format in the PRONOM registry."""

_PRONOM = "https://www.nationalarchives.gov.uk/PRONOM/"


def reference(identifier: str) -> dict[str, str]:
    return {"@id": identifier}


def references(identifiers: Iterable[str]) -> Any:  # noqa: ANN401 - one reference, or a list of them
    """A single one is not a list, as RO-Crate recommends."""
    found = [reference(each) for each in dict.fromkeys(identifiers)]
    return found[0] if len(found) == 1 else found


def local_id(*parts: object) -> str:
    """The `@id` of an entity that is not a file: the parts, which can be any text, in an order that stays unique."""
    return "#" + "/".join(quote(clean(str(part)), safe="-._~:+=") for part in parts)


def clean(text: str) -> str:
    """The text without what is not Unicode, and not too long."""
    text = _SURROGATES.sub("\ufffd", text)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def value_as_json(value: Any) -> Any:  # noqa: ANN401 - whatever an option or a report has
    """A value that every reader of JSON-LD takes for the same one."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else value
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST else clean(str(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return clean(value if isinstance(value, str) else json.dumps(value))


def kind_of(value: Any) -> str:  # noqa: ANN401 - whatever an option or a report has
    """The type of a parameter with that value, in the words of schema.org."""
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, int):
        return "Integer"
    return "Float" if isinstance(value, float) or value in ("nan", "inf", "-inf") else "Text"


def time_as_json(seconds: float) -> str:
    return iso_time(seconds) or ""


class Graph:
    """Writes entities, each once, and collects what the root of the crate refers to.

    `parts`: the files; `actions`: what the root mentions. `kinds`: the types of the values of each parameter.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._written: set[str] = set()
        self._parameters: dict[str, tuple[str, set[str]]] = {}
        self.parts: list[str] = []
        self.actions: list[str] = []

    def add(self, identifier: str, types: str | list[str], **properties: Any) -> str:  # noqa: ANN401 - JSON
        """Write an entity, unless there is one with that `@id`. Properties without a value are omitted."""
        if identifier not in self._written:
            self._written.add(identifier)
            kept = {
                name: value for name, value in properties.items() if name == "value" or value not in (None, "", [], {})
            }
            separator = ",\n" if len(self._written) > 1 else ""
            entity = {"@id": identifier, "@type": types, **kept}
            self._stream.write(separator + json.dumps(entity, allow_nan=False))
        return identifier

    def add_file(self, stored: Stored, name: str, types: tuple[str, ...] = (), **properties: Any) -> str:  # noqa: ANN401
        if stored.url not in self._written:
            self.parts.append(stored.url)
        return self.add(
            stored.url,
            ["File", *types] if types else "File",
            name=clean(name),
            contentSize=str(stored.size),
            sha256=stored.sha256,
            dateModified=time_as_json(max(0.0, stored.changed)),
            **{"encodingFormat": self.format_of(name), **properties},
        )

    def format_of(self, name: str) -> Any:  # noqa: ANN401 - as `references`
        known = _TYPES.get(name[name.rfind(".") :].lower()) if "." in name else None
        if known is None:
            return mimetypes.guess_type(name)[0] or "application/octet-stream"
        media, pronom, title = known
        if pronom is None:
            return media
        return [media, reference(self.add(_PRONOM + pronom, "WebSite", name=title))]

    def add_missing(self, name: str, reason: str, size: int | None = None, fingerprint: str | None = None) -> str:
        """A file that is known, and not in the crate."""
        description = f"Not in this crate: {reason}." + (f" Its fingerprint: {fingerprint}" if fingerprint else "")
        return self.add(
            local_id("not-included", name, size, fingerprint), "CreativeWork", name=clean(name),
            description=clean(description),
            contentSize=None if size is None else str(size),
        )  # fmt: skip

    def add_value(self, scope: tuple[str, ...], name: str, value: Any, **properties: Any) -> str:  # noqa: ANN401
        """The value of a parameter; equal values are one entity."""
        parameter = local_id("parameter", *scope, name)
        _, kinds = self._parameters.setdefault(parameter, (name, set()))
        kinds.add(kind_of(value))
        shown = value_as_json(value)
        digest = sha256(json.dumps([type(shown).__name__, shown]).encode()).hexdigest()[:16]
        return self.add(
            local_id("value", *scope, name, digest), "PropertyValue", name=clean(name), value=shown,
            exampleOfWork=reference(parameter), **properties,
        )  # fmt: skip

    def add_fact(self, name: str, value: Any, **properties: Any) -> str:  # noqa: ANN401 - a scalar
        """Something about an action, which is no parameter."""
        shown = value_as_json(value)
        digest = sha256(json.dumps([type(shown).__name__, shown]).encode()).hexdigest()[:16]
        return self.add(local_id("fact", name, digest), "PropertyValue", name=name, value=shown, **properties)

    def parameters(self, *scope: str) -> list[str]:
        """Those in a scope that have had a value."""
        start = local_id("parameter", *scope) + "/"
        return [each for each in self._parameters if each.startswith(start)]

    def add_parameters(self) -> None:
        """Write the parameters, once all values are known."""
        for identifier, (name, kinds) in self._parameters.items():
            kind = next(iter(kinds)) if len(kinds) == 1 else "Float" if kinds == {"Integer", "Float"} else "Text"
            self.add(
                identifier, "FormalParameter", name=clean(name), additionalType=kind,
                conformsTo=reference("https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"),
            )  # fmt: skip
