"""The points of a sweep, and the names of the learners there: the same on every machine and with every Python.

Points are pure functions of `sweep` and of the campaign's seed. What is drawn comes from SHA-256 over the seed, the
axis and the number of the point, and numbers in a range are computed in decimal arithmetic: so neither a random
generator nor a mathematical library decides a digit. Only `latin_hypercube` takes its numbers from NumPy.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import re
import warnings
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from rose_cli.config.models import Override, TaskFields
from rose_cli.config.sweep import Range, value_text
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rose_cli.config.command import GivenOption
    from rose_cli.config.models import Campaign
    from rose_cli.config.sweep import RangeOrChoices, Sweep

OF_A_LEARNER = ("seed",)
"""What a sweep can vary of a learner itself."""

OF_A_TASK = (
    "executable", "function", "replicas", "timeout", "retries", "ranks", "cores_per_rank", "gpus_per_rank",
    "mem_per_rank",
)  # fmt: skip
"""The keys of a task that a sweep can vary; any other word after TASK. is an option."""

Point: TypeAlias = "tuple[GivenOption, ...]"
"""The value on each axis, in their order."""

DIGITS = 6
"""Significant digits of a number that is drawn from a range: the learner's name has all of them."""

_CONTEXT = Context(prec=30)


_OPTIONS = Override.model_construct(_fields_set={"options"}, options={})
"""A copy of it takes a fifth of the time that a new one takes."""


@dataclass(frozen=True)
class Axis:
    """What an axis varies. `kind`: option, key or env of the `task`; parameter or key of the learner, without one."""

    text: str
    kind: str
    name: str
    task: str | None = None

    @classmethod
    def of(cls, text: str) -> Axis:
        task, dot, name = text.partition(".")
        if not dot:
            return cls(text, "key" if text in OF_A_LEARNER else "parameter", text)
        if name.startswith("env."):
            return cls(text, "env", name.removeprefix("env."), task)
        return cls(text, "key" if name in TaskFields.model_fields else "option", name, task)

    def layer(self, value: GivenOption) -> TaskFields:
        """What gives a task this value. Raises ValueError for a value that the key cannot have."""
        if self.kind == "option":
            return _OPTIONS.model_copy(update={"options": {self.name: value}})
        if self.kind == "env":
            return Override.model_validate({"env": {self.name: value}})
        return Override.model_validate({self.name: value})


def axes_of(sweep: Sweep) -> tuple[Axis, ...]:
    return tuple(map(Axis.of, sweep.axes))


def options_by_task(sweep: Sweep) -> dict[str, list[str]]:
    """The options that the sweep varies."""
    found: dict[str, list[str]] = {}
    for axis in axes_of(sweep):
        if axis.kind == "option" and axis.task is not None:
            found.setdefault(axis.task, []).append(axis.name)
    return found


class Layers:
    """The layers of values, each made once; None for a value that its key cannot have, which `check` reports."""

    def __init__(self) -> None:
        self._made: dict[tuple[Axis, str], TaskFields | None] = {}

    def layer(self, axis: Axis, value: GivenOption) -> TaskFields | None:
        if axis.kind == "option":
            return axis.layer(value)
        key = axis, repr(value)
        if key not in self._made:
            try:
                self._made[key] = axis.layer(value)
            except ValueError:
                self._made[key] = None
        return self._made[key]


# --- points ----------------------------------------------------------------------------------------------------------


class ScipyMissingError(Exception):
    """A generator needs scipy, and it is not installed."""


def points_of(campaign: Campaign) -> tuple[Point, ...]:
    """The points of the sweep, each once, in their order; one without a sweep. Raises ScipyMissingError."""
    sweep = campaign.sweep
    if sweep is None:
        return ((),)
    most = sweep.most_points(len(campaign.learners))
    make = _MAKERS.get(sweep.sampled or "")
    with localcontext(_CONTEXT):
        found = _listed(sweep, most, campaign.seed) if make is None else make(sweep, most, campaign.seed)
        return tuple(found)


def points_or_one(campaign: Campaign) -> tuple[Point, ...]:
    """The points, or one of them where none can be drawn, which `check` reports."""
    try:
        points = points_of(campaign)
    except ScipyMissingError:
        points = ()
    sweep = campaign.sweep
    if points or sweep is None:
        return points
    with localcontext(_CONTEXT):
        return (_at(sweep, [Decimal(0)] * len(sweep.axes)),)


def _listed(sweep: Sweep, most: int, seed: int) -> Iterator[Point]:
    """Of `grid` and `zip`: all, the last axis fastest; if there are more, some of them that the seed chooses."""
    rows = list(zip(*sweep.zip.values(), strict=True)) if sweep.zip else [()]
    sizes = [len(values) for values in (sweep.grid or {}).values()]
    size = math.prod(sizes) * len(rows)
    for place in range(size) if size <= most else sorted(_chosen(size, most, seed)):
        point: list[GivenOption] = []
        rest, row = divmod(place, len(rows))
        for values in reversed(list((sweep.grid or {}).values())):
            rest, at = divmod(rest, len(values))
            point.insert(0, values[at])
        yield (*point, *rows[row])


def _chosen(size: int, most: int, seed: int) -> set[int]:
    found: set[int] = set()
    number = 0
    while len(found) < most:
        found.add(_hash(seed, "grid", number) % size)
        number += 1
    return found


def _random(sweep: Sweep, most: int, seed: int) -> Iterable[Point]:
    """Point after point, until there are enough different ones: more points keep the first ones."""
    found: dict[str, Point] = {}
    for number in range(20 * most + 100):
        if len(found) >= most:
            break
        point = _at(sweep, [_unit(seed, axis, number) for axis in sweep.axes])
        found.setdefault(repr(point), point)
    return found.values()


def _latin_hypercube(sweep: Sweep, most: int, seed: int) -> Iterable[Point]:
    sample = _scipy_sample(lambda qmc, rng: qmc.LatinHypercube(len(sweep.axes), **rng), most, _hash(seed, "lhs", 0))
    return _distinct(sweep, ([Decimal(float(u)) for u in row] for row in sample))


_BITS = 30
"""Of a coordinate of Sobol's sequence."""


def _sobol(sweep: Sweep, most: int, seed: int) -> Iterable[Point]:
    """Sobol's sequence with a random digital shift: each coordinate XOR a number that the seed and the axis give.

    Source: the sequence with the direction numbers of Joe and Kuo (2008) is scipy's; the shift keeps its properties
    (Owen, Variance with alternative scramblings of digital nets, 2003, section 2).
    """
    shifts = [_hash(seed, f"sobol:{axis}", 0) >> (64 - _BITS) for axis in sweep.axes]
    sample = _scipy_sample(lambda qmc, _: qmc.Sobol(len(sweep.axes), scramble=False, bits=_BITS), most, 0)
    scaled = ((int(float(u) * 2**_BITS) ^ shift for u, shift in zip(row, shifts, strict=True)) for row in sample)
    return _distinct(sweep, ([(Decimal(number) + Decimal("0.5")) / 2**_BITS for number in row] for row in scaled))


def has_scipy() -> bool:
    return importlib.util.find_spec("scipy") is not None


def _scipy_sample(make: Callable[..., Any], count: int, seed: int) -> Iterable[Sequence[float]]:
    try:
        from scipy.stats import qmc
    except ImportError as error:
        raise ScipyMissingError from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a number of points that is no power of 2 is a choice
        try:
            sampler = make(qmc, {"rng": seed})
        except TypeError:  # before scipy 1.15
            sampler = make(qmc, {"seed": seed})
        sample: Iterable[Sequence[float]] = sampler.random(count)
        return sample


def _distinct(sweep: Sweep, rows: Iterable[Sequence[Decimal]]) -> Iterable[Point]:
    points = (_at(sweep, row) for row in rows)
    return {repr(point): point for point in points}.values()


_MAKERS: Mapping[str, Callable[[Sweep, int, int], Iterable[Point]]] = {
    "random": _random,
    "latin_hypercube": _latin_hypercube,
    "sobol": _sobol,
}


def _hash(seed: int, word: str, number: int) -> int:
    """64 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{word}:{number}".encode()).digest()[:8], "big")


def _unit(seed: int, axis: str, number: int) -> Decimal:
    """From 0 to 1, without 1."""
    return Decimal(_hash(seed, axis, number)) / 2**64


def _at(sweep: Sweep, units: Sequence[Decimal]) -> Point:
    """The point at these coordinates from 0 to 1."""
    return tuple(_value(values, unit) for (_, values), unit in zip(sweep.axes.values(), units, strict=True))


def _value(values: RangeOrChoices, unit: Decimal) -> GivenOption:
    if not isinstance(values, Range):
        return values[min(int(unit * len(values)), len(values) - 1)]
    low, high = values.bounds
    if values.integer:
        return _whole(low, high, unit, is_log=values.scale == "log")
    found = _between(low, high, unit) if values.scale == "log" else low + (high - low) * unit
    if values.scale == "log":
        found = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN).plus(found)
    else:  # digits of the range: 300.123 between 300 and 301
        found = found.quantize(Decimal(1).scaleb((high - low).adjusted() - DIGITS + 1), ROUND_HALF_EVEN)
    return float(min(max(found, low), high))


def _whole(low: Decimal, high: Decimal, unit: Decimal, *, is_log: bool) -> int:
    """Each integer has an equal share of the range, or of its logarithm."""
    half = Decimal("0.5")
    found = _between(low - half, high + half, unit) + half if is_log else low + (high - low + 1) * unit
    return int(min(max(found.to_integral_value(ROUND_FLOOR), low), high))


def _between(low: Decimal, high: Decimal, unit: Decimal) -> Decimal:
    """On the scale of the logarithm."""
    first, last = _logarithm(low), _logarithm(high)
    return (first + (last - first) * unit).exp()


@lru_cache(maxsize=256)
def _logarithm(value: Decimal) -> Decimal:
    return value.ln(_CONTEXT)


# --- names -----------------------------------------------------------------------------------------------------------

MOST_NAME_BYTES = 80

_MOST_VALUE = 24

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._+-]+")


class Namer:
    """The names of the learners of a sweep: the entry if it has a name or is not the first, then axis=value, ….

    A name depends on the axes, the values and the entry alone: it stays if values, points or entries are added.
    """

    def __init__(self, axes: Sequence[Axis]) -> None:
        self._titles = _titles(axes)

    def name(self, entry: str | None, index: int, point: Point) -> str:
        head = entry or (f"learner-{index}" if index else "")
        parts = [f"{title}={_short(value)}" for title, value in zip(self._titles, point, strict=True)]
        name = ",".join([*([head] if head else []), *parts])
        return name if len(name.encode()) <= MOST_NAME_BYTES else _cut(name, MOST_NAME_BYTES)


def _titles(axes: Sequence[Axis]) -> list[str]:
    """An option without dashes, as in `lr`; with its task where another axis has the same name."""
    plain = [_in_name(axis.name).strip("-.") or "x" for axis in axes]
    return [
        title if plain.count(title) == 1 else _in_name(axis.text.replace("--", ""))
        for title, axis in zip(plain, axes, strict=True)
    ]


def _short(value: GivenOption) -> str:
    """The value, if a file can be named so and it is short; else its start, and a digest of all of it."""
    text = value_text(value)
    plain = _in_name(text)
    is_fit = plain == text and len(text) <= _MOST_VALUE and not text.endswith(".")
    return plain if is_fit else _cut(plain, _MOST_VALUE, text)


def _in_name(text: str) -> str:
    return _NOT_IN_NAMES.sub("_", text)


def _cut(text: str, most: int, whole: str | None = None) -> str:
    digest = hashlib.sha256((text if whole is None else whole).encode()).hexdigest()[:8]
    kept = text.encode()[: most - 9].decode(errors="ignore").rstrip("-. ,=")
    return f"{kept}~{digest}"
