"""JSON for other programs: how objects are written to standard output, and values that JSON has no words for."""

from __future__ import annotations

import json
import math
import sys
from datetime import datetime, timezone
from typing import Any, TypeAlias

JsonObject: TypeAlias = "dict[str, Any]"


def write_json(value: object) -> None:
    """Write to standard output. Raises ValueError for nan and infinities."""
    json.dump(value, sys.stdout, indent=1, allow_nan=False)
    sys.stdout.write("\n")


def json_safe(value: Any) -> Any:  # noqa: ANN401 - whatever tasks report
    """The value with null in place of nan and infinities."""
    if isinstance(value, float):
        return finite(value)
    if isinstance(value, dict):
        return {key: json_safe(entry) for key, entry in value.items()}
    return [json_safe(entry) for entry in value] if isinstance(value, list | tuple) else value


def finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def iso_time(seconds: float | None) -> str | None:
    """UNIX seconds as ISO 8601 in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, tz=timezone.utc).isoformat(timespec="milliseconds")
