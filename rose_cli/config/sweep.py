"""`sweep` in a campaign file: axes with their values, and how points are made of them."""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, PlainValidator, Tag, model_validator

from rose_cli.config import shapes
from rose_cli.config.base import Model
from rose_cli.config.command import Boolean, GivenOption, Option
from rose_cli.config.errors import expected, fail, fail_if_any
from rose_cli.config.types import Count, Number
from rose_cli.config.yaml.nodes import WrittenExponent
from rose_cli.util.errors import Diagnostic
from rose_cli.util.text import shortened

if TYPE_CHECKING:
    from collections.abc import Iterator

GENERATORS = ("grid", "zip", "random", "latin_hypercube", "sobol")

SAMPLED = ("random", "latin_hypercube", "sobol")
"""Those that draw points, as many as `max_learners` says."""

MOST_AXES = 100


class Range(Model):
    """The numbers between two bounds."""

    from_: Number = Field(alias="from", description="the lowest value", examples=["1e-4"])
    to: Number = Field(description="the highest value", examples=["1e-1"])
    scale: Literal["linear", "log"] = Field(
        default="linear", description="linear, or log: each power of ten gets as many points", examples=["log"]
    )
    integer: Boolean = Field(default=False, description="true: whole numbers only", examples=["true"])

    @property
    def bounds(self) -> tuple[Decimal, Decimal]:
        """As they are printed."""
        return Decimal(repr(self.from_)), Decimal(repr(self.to))

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        if not self.from_ < self.to:
            hint = f"write {{from: {self.to}, to: {self.from_}}}" if self.from_ > self.to else f"write [{self.from_}]"
            fail("out-of-range", f"to: expected more than {self.from_}, not {self.to}", hint, below=("to",))
        if self.scale == "log" and self.from_ <= 0:
            message = f"from: expected more than 0 where scale is log, not {self.from_}"
            fail("out-of-range", message, "write a positive number, or scale: linear", below=("from",))
        for key, value in (("from", self.from_), ("to", self.to)) if self.integer else ():
            if not float(value).is_integer():
                message = f"{key}: expected an integer where integer is true, not {value}"
                fail("wrong-type", message, "write an integer, or integer: false", below=(key,))
        return self


def _choices(value: object) -> object:
    """A list without repetitions: 1 and 1.0 are two values, 0.1 and 0.10 are one."""
    if not isinstance(value, list | tuple):
        hint = _as_list(value) if isinstance(value, str | int | float) else "for example [0.1, 0.01]"
        if isinstance(value, dict) and {"from", "to"} & set(value):
            hint = f"ranges belong under {', '.join(SAMPLED[:-1])} or {SAMPLED[-1]}; here, list the values"
        fail("wrong-type", expected("a list of values", value), hint)
    if not value:
        fail("wrong-type", "expected at least one value, got none", "for example [0.1, 0.01]")
    fail_if_any(
        Diagnostic("wrong-type", "expected a value, got nothing", (position,), "write a value, or remove the entry")
        for position, entry in enumerate(value)
        if entry is None
    )
    return value


_STEPS = re.compile(r"(?:range|np\.arange|arange)?\(? *(-?\d{1,9}) *, *(-?\d{1,9}) *(?:, *(\d{1,9}))? *\)", re.ASCII)


def _as_list(value: object) -> str:
    """How the values of `0.1, 0.2`, `range(16, 64, 16)` or `0.1..0.5` are listed."""
    text = str(value).strip()
    if (found := _STEPS.fullmatch(text)) and "(" in text:
        numbers = range(int(found[1]), int(found[2]), int(found[3] or 1) or 1)
        return f"write [{', '.join(map(str, numbers))}]" if 0 < len(numbers) <= 20 else "list the values: [1, 2, 3]"
    if re.search(r"\.\.|\(|:| to ", text):
        ranges = f"ranges belong under {', '.join(SAMPLED[:-1])} or {SAMPLED[-1]}, as {{from: 0.1, to: 0.5}}"
        return f"list the values, as in [0.1, 0.3, 0.5]; {ranges}"
    return f"write [{shortened(text)}]"


def _distinct(values: tuple[GivenOption, ...]) -> tuple[GivenOption, ...]:
    first: dict[str, int] = {}
    fail_if_any(
        Diagnostic("duplicate-value", f"the value {value_text(value)} is listed twice", (position,), "list it once")
        for position, value in enumerate(values)
        if first.setdefault(value_text(value).casefold(), position) != position
    )
    return values


def value_text(value: GivenOption) -> str:
    """A value as people read it: `0.1`, `true`, `a b`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return " ".join(map(value_text, value))
    if isinstance(value, int):
        return str(int(value))
    return repr(float(value)) if isinstance(value, float | WrittenExponent) else str(value)


Choices: TypeAlias = tuple[GivenOption, ...]

_LISTED = Annotated[tuple[Option, ...], BeforeValidator(_choices), shapes.CHOICES]

_DISTINCT = Annotated[_LISTED, AfterValidator(_distinct)]


def _axis_name(value: object) -> str:
    name = str(value)
    if not name.strip() or any(c.isspace() or not c.isprintable() for c in name):
        hint = "write TASK.OPTION, such as training.--lr, or the name of a parameter"
        fail("bad-name", f"'{shortened(name)}' cannot be what a sweep varies", hint)
    return name


AxisName = Annotated[str, PlainValidator(_axis_name), shapes.AXIS_NAME]


def _axis_kind(value: object) -> str:
    return "<range>" if isinstance(value, dict) else "<choices>"


def _has_axes(value: object) -> object:
    if not isinstance(value, dict):
        fail("wrong-type", expected("a mapping", value), "for example {training.--lr: [0.1, 0.01]}")
    if not value:
        fail("wrong-type", "expected at least one axis, got none", "for example {training.--lr: [0.1, 0.01]}")
    if len(value) > MOST_AXES:
        fail("too-large", f"expected at most {MOST_AXES} axes, not {len(value)}", "vary fewer settings")
    fail_if_any(fault for axis, given in value.items() for fault in _nested(str(axis), given))
    return value


_LISTS = ("values", "choices", "grid", "options", "categorical", "choice", "list", "suggest_categorical", "grid_search")
"""What other tools call the list of an axis."""


def _nested(axis: str, given: object) -> Iterator[Diagnostic]:
    """`training: {--lr: [1, 2]}`, as options are written elsewhere."""
    if not isinstance(given, dict) or not given or set(given) <= {"from", "to", "scale", "integer"}:
        return
    listed = next((given[name] for name in _LISTS if isinstance(given.get(name), list)), None)
    if listed is not None:
        values = ", ".join(value_text(each) for each in listed[:4]) + (", ..." if len(listed) > 4 else "")
        hint = f"write the list alone: {shortened(axis)}: [{values}]"
        yield Diagnostic("wrong-type", expected("a list of values", given), (axis,), hint)
    if "." in axis or listed is not None:
        return
    names = [str(name) for name in given]
    if any(name in ("options", "adaptive") for name in names):
        names = [str(name) for inner in given.values() if isinstance(inner, dict) for name in inner] or ["--lr"]
    hint = f"write {', '.join(f'{shortened(axis)}.{shortened(name)}: …' for name in names[:3])}"
    yield Diagnostic("wrong-type", expected("a list of values", given), (axis,), hint)


_Listed = Annotated[dict[AxisName, _DISTINCT], BeforeValidator(_has_axes)]

_Zipped = Annotated[dict[AxisName, _LISTED], BeforeValidator(_has_axes)]

RangeOrChoices: TypeAlias = Range | Choices

_Ranged = Annotated[
    dict[
        AxisName,
        Annotated[Annotated[Range, Tag("<range>")] | Annotated[_DISTINCT, Tag("<choices>")], Discriminator(_axis_kind)],
    ],
    BeforeValidator(_has_axes),
]


class Sweep(Model):
    """Learners made of points: every entry of `learners` at every point."""

    grid: _Listed | None = Field(
        default=None,
        description="every combination of the values: TASK.OPTION or a parameter → list",
        examples=["{training.--lr: [0.1, 0.01]}"],
    )
    zip: _Zipped | None = Field(
        default=None,
        description="the first values of all lists, then the second ones, …; with `grid`, at each of its points",
        examples=["{training.--lr: [0.1, 0.01], training.--epochs: [10, 100]}"],
    )
    random: _Ranged | None = Field(
        default=None,
        description="independent points: TASK.OPTION or a parameter → {from, to, scale, integer}, or a list",
        examples=["{training.--lr: {from: 1e-4, to: 1e-1, scale: log}}"],
    )
    latin_hypercube: _Ranged | None = Field(
        default=None,
        description="like `random`, but each n-th part of each range has one of n points",
        examples=["{training.--lr: {from: 1e-4, to: 1e-1, scale: log}}"],
    )
    sobol: _Ranged | None = Field(
        default=None,
        description="like `random`, but evenly spread, and more points keep the first ones",
        examples=["{training.--lr: {from: 1e-4, to: 1e-1, scale: log}}"],
    )
    max_learners: Count | None = Field(
        default=None,
        description="maximum number of learners; needed where points are drawn from ranges",
        examples=["20"],
    )

    @property
    def generators(self) -> tuple[str, ...]:
        return tuple(name for name in GENERATORS if getattr(self, name) is not None)

    @property
    def sampled(self) -> str | None:
        """The generator that draws points, if there is one."""
        return next((name for name in SAMPLED if getattr(self, name) is not None), None)

    @property
    def axes(self) -> dict[str, tuple[str, RangeOrChoices]]:
        """Each axis with its generator and its values."""
        return {axis: (name, values) for name in self.generators for axis, values in getattr(self, name).items()}

    @property
    def size(self) -> int | None:
        """How many different points there are; None without a bound."""
        total = 1
        for name, values in self.axes.values():
            if name != "zip":
                count = len(values) if isinstance(values, tuple) else _size(values)
                if count is None:
                    return None
                total *= count
        return total * max((len(values) for values in (self.zip or {}).values()), default=1)

    def most_points(self, entries: int) -> int:
        """How many points there are at most, if each makes so many learners."""
        size, most = self.size, self.max_learners
        bound = most // max(1, entries) if most is not None else size
        return min(bound if bound is not None else 0, size if size is not None else sys.maxsize)

    @model_validator(mode="after")
    def _fits_together(self) -> Sweep:
        fail_if_any(self._faults())
        return self

    def _faults(self) -> Iterator[Diagnostic]:
        names = self.generators
        if not names:
            hint = "for example sweep: {grid: {training.--lr: [0.1, 0.01]}}"
            yield Diagnostic("missing-key", f"'sweep' has none of {', '.join(GENERATORS)}", ("grid",), hint,
                             depends_on=tuple(("sweep", name) for name in GENERATORS))  # fmt: skip
        for name in names[1:]:
            if name in SAMPLED:
                message = f"'{name}' cannot be combined with {', '.join(each for each in names if each != name)}"
                hint = "keep one of them: the axes of a drawn point can be lists too"
                yield Diagnostic("conflicting-keys", message, (name,), hint, at_key=True)
        if self.sampled is not None and self.max_learners is None:
            message = f"'sweep' has no 'max_learners': how many points shall '{self.sampled}' draw?"
            yield Diagnostic("missing-key", message, ("max_learners",), "for example max_learners: 20")
        yield from self._uneven()
        for axis in self.grid or {}:
            if axis in (self.zip or {}):
                message = f"'{shortened(axis)}' is also under 'grid'"
                yield Diagnostic("duplicate-key", message, ("zip", axis), "remove one of the two", at_key=True)

    def _uneven(self) -> Iterator[Diagnostic]:
        """Lists that are zipped need one length: the first one is right."""
        first, length = None, 0
        for axis, values in (self.zip or {}).items():
            if first is None:
                first, length = axis, len(values)
            elif len(values) != length:
                message = f"{shortened(axis)}: expected {length} values, as '{shortened(first)}' has, not {len(values)}"
                yield Diagnostic("wrong-value", message, ("zip", axis), "give each list the same number of values")


def _size(values: Range) -> int | None:
    low, high = values.bounds
    return int(high) - int(low) + 1 if values.integer else None
