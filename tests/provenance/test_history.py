"""Two histories, value by value."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rose_cli.provenance.history import match_of

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("one", "other", "tolerance", "match"),
    [
        (0.1 + 0.2, 0.3, 0.0, "different"),
        (0.1 + 0.2, 0.3, 1e-12, "close"),
        (0.3, 0.3, 0.0, "equal"),
        (NAN, NAN, 0.0, "equal"),
        (NAN, 1.0, 1.0, "different"),
        (INF, INF, 0.0, "equal"),
        (INF, -INF, 1.0, "different"),
        (0.0, -0.0, 0.0, "different"),
        (0.0, -0.0, 1e-12, "close"),
        (1, 1.0, 0.0, "equal"),
        (2**53, 2**53 + 1, 0.0, "different"),
        (10**400, 10**400, 0.0, "equal"),
        (10**400, 1.0, 0.5, "different"),
        (10**400, 10**400 + 1, 0.5, "different"),
        (True, 1, 0.0, "different"),
        (None, None, 0.0, "equal"),
        (None, 0.0, 1.0, "different"),
        ("a", "a", 0.0, "equal"),
        ("nan", "nan", 0.0, "equal"),
        ([1.0, 2.0], [1.0, 2.0 + 1e-9], 1e-6, "close"),
        ([1.0, 2.0], [1.0], 1.0, "different"),
        ({"a": [1, {"b": NAN}]}, {"a": [1, {"b": NAN}]}, 0.0, "equal"),
        ({"a": 1}, {"b": 1}, 1.0, "different"),
        ([], [], 0.0, "equal"),
    ],
)
def test_two_values(one: Any, other: Any, tolerance: float, match: str) -> None:
    assert match_of(one, other, tolerance) == match
    assert match_of(other, one, tolerance) == match
