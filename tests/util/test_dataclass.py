"""Rose's dataclasses behave as those of the standard library, whose own decorator is the reference here."""

# mypy: disable-error-code="call-arg, operator, type-var"
# The decorator is a value here: mypy cannot know what it adds.

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import pytest

from rose_cli.util import dataclass as module

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")
LAZY: Any = module._dataclass


@pytest.fixture(params=[dataclasses.dataclass, LAZY], ids=["standard", "rose"])
def decorator(request: pytest.FixtureRequest) -> Any:
    return request.param


def point(decorator: Any, **options: bool) -> Any:
    class Point:
        """A point."""

        kind: ClassVar[str] = "point"
        x: int
        y: int = 5
        tags: dict[str, int] = field(default_factory=dict)
        note: str = field(default="", repr=False, compare=False, kw_only=True)

        @cached_property
        def total(self) -> int:
            return self.x + self.y

    return decorator(**options)(Point)


def test_arguments_and_defaults(decorator: Any) -> None:
    cls = point(decorator, frozen=True)
    first, second = cls(1), cls(x=1, y=5)
    assert (first.x, first.y, first.tags, first.note, first.total) == (1, 5, {}, "", 6)
    assert first == second
    assert first.tags is not second.tags
    assert cls(1, note="a") == cls(1, note="b")
    assert cls(1) != cls(2)
    assert cls(1) != (1, 5, {})
    assert repr(first).endswith("Point(x=1, y=5, tags={})")
    assert cls.__match_args__ == ("x", "y", "tags")
    assert [each.name for each in dataclasses.fields(cls)] == ["x", "y", "tags", "note"]
    assert dataclasses.replace(first, y=7).total == 8
    assert dataclasses.asdict(first) == {"x": 1, "y": 5, "tags": {}, "note": ""}
    assert dataclasses.is_dataclass(cls)
    assert copy.deepcopy(first) == first


@pytest.mark.parametrize("arguments", [{}, {"x": 1, "z": 2}])
def test_wrong_arguments(decorator: Any, arguments: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"Point\.__init__\(\)"):
        point(decorator, frozen=True)(**arguments)
    with pytest.raises(TypeError):
        point(decorator, frozen=True)(1, 2, {}, "a keyword")


def test_frozen_objects_do_not_change(decorator: Any) -> None:
    made = point(decorator, frozen=True)(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        made.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
        del made.x


@pytest.mark.parametrize("options", [{}, {"frozen": True}, {"eq": False}, {"order": True}, {"slots": True}])
def test_methods_of_each_kind(decorator: Any, options: dict[str, bool]) -> None:
    @decorator(**options)
    class Pair:
        a: int
        b: float

    one, other = Pair(1, 2.0), Pair(1, 3.0)
    assert (one == Pair(1, 2.0)) is options.get("eq", True)
    assert one != other
    assert (Pair.__hash__ is not None) == bool(options.get("frozen") or "eq" in options)
    if options.get("frozen"):
        assert hash(one) == hash(Pair(1, 2.0))
    else:
        one.a = 4
        assert one.a == 4
    assert hasattr(one, "__dict__") is not options.get("slots", False)
    if options.get("order"):
        assert one > other
        assert sorted([other, Pair(0, 9.0)]) == [Pair(0, 9.0), other]
    else:
        with pytest.raises(TypeError):
            sorted([one, other])


def test_methods_that_a_class_defines_stay(decorator: Any) -> None:
    @decorator(frozen=True)
    class Own:
        a: int

        def __post_init__(self) -> None:
            object.__setattr__(self, "a", self.a + 1)

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 3

    assert (Own(1).a, repr(Own(1)), Own(1) == 7, hash(Own(1))) == (2, "own", True, 3)


def test_inherited_fields_come_first_and_are_replaced_in_place(decorator: Any) -> None:
    @decorator(frozen=True)
    class Base(Generic[Value]):
        a: int
        b: int = 2

        def __post_init__(self) -> None:
            assert self.b

    @decorator(frozen=True)
    class Derived(Base[int]):
        b: int = 7
        c: int = 3

    class Plain(Derived):
        """With the methods of its base."""

    assert repr(Derived(1)).endswith("Derived(a=1, b=7, c=3)")
    assert repr(Plain(1)).endswith("Plain(a=1, b=7, c=3)")
    assert Plain(1) != Derived(1)
    assert Plain(1) == Plain(1)
    assert repr(Base(1)).endswith("Base(a=1, b=2)")
    assert hash(Derived(1)) == hash(Derived(1, 7, 3))


def test_without_fields_and_with_one(decorator: Any) -> None:
    @decorator(frozen=True)
    class Nothing:
        pass

    @decorator(frozen=True)
    class One:
        a: Any

    no_number = float("nan")
    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(Nothing())
    assert One(no_number) == One(no_number)  # as tuples compare
    assert repr(One(1)).endswith("One(a=1)")


@LAZY(frozen=True)
class Pickled:
    a: int


def test_objects_can_be_pickled() -> None:
    made: Any = Pickled
    assert pickle.loads(pickle.dumps(made(4))) == made(4)


def test_nothing_is_compiled_before_the_first_object(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[type] = []
    real: Callable[..., Any] = module._compiled_init

    def counted(cls: type, *, frozen: bool) -> Any:
        compiled.append(cls)
        return real(cls, frozen=frozen)

    monkeypatch.setattr(module, "_compiled_init", counted)
    cls = point(LAZY, frozen=True)
    assert compiled == []
    assert cls(1) == cls(1)
    assert compiled == [cls]
