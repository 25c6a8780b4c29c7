"""The JSON Schema of a campaign file, for editors: made from the models, in draft 07, which every editor knows.

The models give the keys with their descriptions, defaults and examples, `shapes.py` the values, `schema_rules.py` what
depends on several keys.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from rose_cli.config import models
from rose_cli.config.document import read_setting
from rose_cli.config.schema_rules import REF, add_rules
from rose_cli.config.shapes import or_null
from rose_cli.config.yaml.nodes import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import core_schema

    from rose_cli.config.schema_rules import Metric
    from rose_cli.config.shapes import Shape

SCHEMA_ID = "https://www.schemastore.org/rose-campaign.json"

_ORDER = (
    "$schema", "$id", "$ref", "title", "description", "markdownDescription", "default", "examples", "type", "enum",
    "enumDescriptions", "doNotSuggest", "properties", "required", "propertyNames", "additionalProperties", "items",
)  # fmt: skip
"""The keywords that come first, in this order."""


def campaign_schema(metrics: Mapping[str, Metric]) -> Shape:
    """The schema; `metrics` are the standard ones by their names."""
    raw = models.Campaign.model_json_schema(ref_template=f"{REF}{{model}}", schema_generator=_Generator)
    found = {name: _cleaned(shape) for name, shape in raw.pop("$defs").items()}
    found["Campaign"] = _cleaned(raw)
    add_rules(found, metrics)
    whole = {"$schema": "http://json-schema.org/draft-07/schema#", "$id": SCHEMA_ID}
    schema: Shape = _ordered({**whole, **_shared(_assembled(found))})
    return schema


def schema_text(metrics: Mapping[str, Metric]) -> str:
    """The schema as the text of a file."""
    return json.dumps(campaign_schema(metrics), indent=2, ensure_ascii=False) + "\n"


class _Generator(GenerateJsonSchema):
    """Without defaults that are models, or that only mean that nothing is set."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        shape = self.generate_inner(schema["schema"])
        default = schema.get("default")
        if isinstance(default, tuple | dict) or default is None or hasattr(default, "model_fields_set"):
            return shape
        return {"allOf": [shape], "default": default} if "$ref" in shape else {**shape, "default": default}

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False


# --- from pydantic's schema to a plain one ---------------------------------------------------------------------------


def _cleaned(shape: Any) -> Any:  # noqa: ANN401 - any part of a schema
    if isinstance(shape, list):
        return [_cleaned(each) for each in shape]
    if not isinstance(shape, dict):
        return shape
    shape = {key: value for key, value in shape.items() if key not in ("title", "discriminator")}
    patterns = shape.pop("patternProperties", None)
    if patterns is not None and "propertyNames" in shape:  # where pydantic puts the type of keys
        ((pattern, value),) = patterns.items()
        names = {key: value for key, value in shape["propertyNames"].items() if key != "type"}
        shape["propertyNames"] = {**names, "pattern": pattern}  # of any type: `5: x` has a number as its key
        shape["additionalProperties"] = value
    elif patterns is not None:
        shape["patternProperties"] = patterns
    if "properties" in shape:
        properties = {key: _described(_cleaned(value)) for key, value in shape["properties"].items()}
        return {**shape, "properties": properties, **_cleaned({k: v for k, v in shape.items() if k != "properties"})}
    cleaned = {key: _cleaned(value) for key, value in shape.items()}
    return _flat(cleaned) if "anyOf" in cleaned else cleaned


def _described(shape: Shape) -> Shape:
    """A property with its description as plain text and with markup, and with values for the examples in YAML."""
    text = shape.get("description")
    if text is None:
        return shape
    default = shape.get("default")
    shown = "" if default is None or "default" in text else f" (default `{_written(default)}`)"
    shape["description"] = text.replace("`", "") + shown.replace("`", "")
    if re.search(r"[\\`*_{}\[\]#+!]", text + shown):  # what an editor would escape, to show it as it is
        shape["markdownDescription"] = text + shown
    if "examples" in shape:
        shape["examples"] = [plain(read_setting(each, "example").value) for each in shape["examples"]]
    return shape


def _written(default: object) -> str:
    return (
        str(default).lower()
        if isinstance(default, bool)
        else f"{default:g}"
        if isinstance(default, float)
        else str(default)
    )


def _flat(shape: Shape) -> Shape:
    """Alternatives of alternatives on one level; `null` as one of the types where there is only one alternative."""
    found = [inner for each in shape.pop("anyOf") for inner in (each["anyOf"] if set(each) == {"anyOf"} else [each])]
    others = [each for each in found if each != {"type": "null"}]
    if len(others) == 1 and len(others) < len(found) and "type" in others[0]:
        return {**or_null(others[0]), **shape}
    if len(found) == 1:
        return {**found[0], **shape}
    return {"anyOf": found, **shape}


# --- one place for what is used several times ------------------------------------------------------------------------


def _assembled(found: Mapping[str, Shape]) -> Shape:
    """The campaign with what it uses once in its place, and with definitions of the rest."""
    counts = Counter(re.findall(rf'"\$ref": "{REF}(\w+)"', json.dumps(found)))

    def walk(part: Any) -> Any:  # noqa: ANN401 - any part of a schema
        if isinstance(part, list):
            return [walk(each) for each in part]
        if not isinstance(part, dict):
            return part
        name = str(part.get("$ref", "")).removeprefix(REF)
        if counts[name] == 1:
            part = {**found[name], **{key: value for key, value in part.items() if key != "$ref"}}
        return {key: walk(value) for key, value in part.items()}

    definitions = {name: walk(found[name]) for name in sorted(found) if counts[name] > 1}
    return {**walk(found["Campaign"]), "definitions": definitions}


def _shared(top: Shape) -> Shape:
    """With one definition for properties that are the same in several places, such as those of a task."""
    counts: Counter[str] = Counter()

    def properties_in(part: Any) -> Iterator[tuple[Shape, str]]:  # noqa: ANN401
        for each in part if isinstance(part, list) else part.values() if isinstance(part, dict) else ():
            yield from properties_in(each)
        if isinstance(part, dict) and isinstance(part.get("properties"), dict):
            yield from ((part["properties"], key) for key in part["properties"])

    places = list(properties_in(top))
    counts.update(json.dumps(place[key]) for place, key in places)
    names: dict[str, str] = {}
    for place, key in places:
        text = json.dumps(place[key])
        if counts[text] > 1 and "description" in place[key]:
            if text not in names:
                names[text] = next(
                    name for name in (key, *(f"{key}_{n}" for n in range(2, 9))) if name not in names.values()
                )
                top["definitions"][names[text]] = place[key]
            place[key] = {"$ref": f"{REF}{names[text]}"}
    return top


def _ordered(part: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """The keywords in one order, whichever version of pydantic wrote them; properties in that of the models."""
    if isinstance(part, list):
        return [_ordered(each) for each in part]
    if not isinstance(part, dict):
        return part
    known = [key for key in _ORDER if key in part]
    listed = {key: part[key] for key in [*known, *sorted(key for key in part if key not in known)]}
    return {key: _ordered_in(key, value) for key, value in listed.items()}


def _ordered_in(keyword: str, value: Any) -> Any:  # noqa: ANN401
    if keyword in ("properties", "patternProperties", "definitions"):
        entries = {name: _ordered(each) for name, each in value.items()}
        return entries if keyword != "properties" else {name: _quiet(each) for name, each in entries.items()}
    return value if keyword in ("default", "examples") else _ordered(value)


def _quiet(shape: Shape) -> Shape:
    """A property that is only part of a condition: an editor would offer it without its description."""
    return shape if "description" in shape or "$ref" in shape else {**shape, "doNotSuggest": True}
