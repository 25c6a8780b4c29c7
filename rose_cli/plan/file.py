"""plan.json: the plan as JSON and back, by the types of its fields."""

from __future__ import annotations

import json
import types
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from rose_cli.errors import RunDirectoryError
from rose_cli.plan import model
from rose_cli.plan.model import Plan

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_VERSION = 1


def dump_plan(plan: Plan) -> str:
    """The text of plan.json."""
    return json.dumps({"format": FORMAT_VERSION, "plan": _encode(plan)}, indent=1) + "\n"


def load_plan(path: Path) -> Plan:
    """The plan in `path`. Raises RunDirectoryError where it is missing, damaged or of a newer rose."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version = document["format"]
        plan: Plan | None = _decode(Plan, document["plan"]) if version == FORMAT_VERSION else None
    except OSError as error:
        message = f"cannot read '{path}': {error.strerror}"
        raise RunDirectoryError(message, "is this the folder of a run?") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        message = f"'{path}' is damaged: {error}"
        raise RunDirectoryError(message, "put the file back from a copy, or start a new run") from error
    if plan is None:
        message = f"'{path}' was written by a newer rose (format {version}, this one reads {FORMAT_VERSION})"
        raise RunDirectoryError(message, "update rose")
    return plan


def _encode(value: Any) -> Any:  # noqa: ANN401 - any part of a plan
    if is_dataclass(value):
        return {f.name: _encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(key): _encode(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return [_encode(entry) for entry in value]
    return value


@cache
def _field_types(cls: type) -> dict[str, Any]:
    names = {**vars(model), "Mapping": dict}
    return get_type_hints(cls, localns=names)


def _decode(kind: Any, value: Any) -> Any:  # noqa: ANN401 - the counterpart
    if isinstance(kind, type) and is_dataclass(kind):
        # what an older rose did not know has its default; what has none is missing, and a TypeError
        return kind(**{name: _decode(hint, value[name]) for name, hint in _field_types(kind).items() if name in value})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict:
        key_kind, entry_kind = arguments
        return {key_kind(key): _decode(entry_kind, entry) for key, entry in value.items()}
    if origin is tuple:
        if not isinstance(value, list):
            raise TypeError(f"a list was expected, not {value!r}")
        return tuple(_decode(arguments[0], entry) for entry in value)
    if origin in (Union, types.UnionType):
        return _decode_union(arguments, value)
    if kind is float:
        return float(value)
    return value


def _decode_union(kinds: tuple[Any, ...], value: Any) -> Any:  # noqa: ANN401
    """A map is the dataclass among `kinds` that has its keys, a list the tuple, a number of a float field a float."""
    if isinstance(value, dict):
        classes = [kind for kind in kinds if isinstance(kind, type) and is_dataclass(kind)]
        return _decode(next((kind for kind in classes if value.keys() & _field_types(kind)), classes[0]), value)
    if isinstance(value, list):
        return _decode(next(kind for kind in kinds if get_origin(kind) is tuple), value)
    if isinstance(value, int) and not isinstance(value, bool) and float in kinds and int not in kinds:
        return float(value)
    return value
