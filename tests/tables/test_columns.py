"""One type for each column, from all of its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.tables.columns import Column, Kind, distinct, json_text, typed_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rose_cli.tables.columns import Look


class Rows:
    """A table of one column, whose values are these."""

    name = "rows"

    def __init__(self, values: list[Any], declared: dict[str, Kind] | None = None) -> None:
        self.declared: Mapping[str, Kind] = declared or {}
        self._values = values

    def columns(self, look: Look | None = None) -> list[str]:
        if look is not None:
            self.scan(look)
        return ["x"]

    def scan(self, consume: Look) -> None:
        for value in self._values:
            consume({"x": value})


def word(kind: Kind) -> str:
    return kind.word if kind.inside is None else f"{kind.word} of {word(kind.inside)}"


KINDS: list[tuple[list[Any], str]] = [
    ([1, 2, None], "int"),
    ([1, 2.5], "float"),
    ([2**60, 2.5], "float"),
    ([2**60 + 1, 1], "int"),
    ([2**60 + 1, 2.5], "json"),
    ([2.5, 1, 2**60 + 1], "json"),
    ([-(2**63), 2**63 - 1], "int"),
    ([2**63], "json"),
    ([1, -(2**63) - 1], "json"),
    ([10**400, 0.5], "json"),
    ([1, "nan"], "float"),
    (["inf", 0.5, "-inf"], "float"),
    (["nan", "nan"], "float"),
    (["nan", "a"], "text"),
    (["nan", True], "json"),
    ([float("nan"), float("inf")], "float"),
    (["a", "b", None], "text"),
    (["a", 1], "json"),
    ([1, "a", "b"], "json"),
    ([True, False, None], "bool"),
    ([True, 1], "json"),
    ([None, None], "text"),
    ([], "text"),
    ([[1, 2], [], None], "list of int"),
    ([[1], [2.5]], "list of float"),
    ([["a"], ["b", None]], "list of text"),
    ([[1, "a"]], "json"),
    ([[1], ["a"]], "json"),
    ([[1], 1], "json"),
    ([[[1], [2, 3]], [[]]], "list of list of int"),
    ([[[[[[1]]]]]], "json"),
    ([[]], "list of text"),
    ([{"a": 1}], "json"),
    ([[{"a": 1}]], "json"),
    ([["nan", 1]], "list of float"),
]


@pytest.mark.parametrize(("values", "kind"), KINDS)
def test_a_column_has_the_type_that_all_of_its_values_have(values: list[Any], kind: str) -> None:
    (column,) = typed_columns(Rows(values))
    assert word(column.kind) == kind
    (column,) = typed_columns(Rows(values[::-1]))
    assert word(column.kind) == kind, "in any order"


@pytest.mark.parametrize(
    ("declared", "values", "kind"),
    [
        ("text", ["nan", "inf"], "text"),
        ("float", [None], "float"),
        ("int", [2**70], "json"),
        ("time", ["2026"], "time"),
    ],
)
def test_a_declared_column_keeps_its_type_while_its_values_fit(declared: str, values: list[Any], kind: str) -> None:
    (column,) = typed_columns(Rows(values, {"x": Kind(declared)}))
    assert word(column.kind) == kind


def test_values_without_a_common_type_are_json() -> None:
    assert [json_text(value) for value in ("a", 1, True, None, {"a": [float("inf")]}, 2**70)] == [
        '"a"', "1", "true", None, '{"a": [null]}', str(2**70),
    ]  # fmt: skip


def test_units_are_those_of_what_rose_measures() -> None:
    kind = Kind("float")
    names = ("seconds", "time.train.core_seconds", "working_seconds", "memory_mb", "result.seconds", "iteration")
    assert [Column(name, kind).unit for name in names] == ["s", "core s", "s", "MB", None, None]


def test_no_two_columns_have_the_same_name() -> None:
    assert distinct(["a", "b", "a", "a_2", "a"]) == ["a", "b", "a_3", "a_2", "a_4"]
