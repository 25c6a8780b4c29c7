"""The arithmetic and the functions of expressions, with bounds on their results."""

from __future__ import annotations

import ast
import math
import operator
from typing import TYPE_CHECKING, Any

from rose_cli.config.expression import schedules
from rose_cli.config.expression.parser import LIMIT, MAX_BITS, MAX_DIGITS, Number, TextRange
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAN_GUARD = "write `... if metric == metric else ...`: only nan differs from itself"


def _power(base: Number, exponent: Number) -> Number | complex:
    whole = isinstance(base, int) and isinstance(exponent, int)
    # A lower bound of the power: if it is small enough, the power has at most twice its bits.
    # Powers of -1, 0 and 1 are small for every exponent.
    if whole and abs(base) > 1 and (int(base).bit_length() - 1) * exponent >= MAX_BITS:
        raise OverflowError
    power: Number | complex = base**exponent
    if isinstance(power, int) and not -LIMIT < power < LIMIT:
        raise OverflowError
    return power


def _round(x: Number, digits: Number | None = None) -> Number:
    if digits is None:
        return round(x)
    if isinstance(digits, float) or abs(digits) > MAX_DIGITS:
        raise ValueError
    return round(x, digits)


def _clip(x: Number, low: Number, high: Number) -> Number:
    if x != x or not low <= high:  # noqa: PLR0124 - nan
        raise ValueError
    return min(max(x, low), high)


def _ordered(choose: Callable[[Sequence[Number]], Number]) -> Callable[[Sequence[Number]], Number]:
    """`min` or `max` that rejects nan: Python's result would depend on the order of the arguments."""

    def call(values: Sequence[Number]) -> Number:
        for value in values:
            if value != value:  # noqa: PLR0124 - math.isnan fails for large integers
                raise ValueError
        return choose(values)

    return call


def total(numbers: Sequence[Number]) -> Number:
    """The sum: of integers exact, of others rounded once, so that it is the same with every version of Python."""
    return math.fsum(numbers) if any(isinstance(number, float) for number in numbers) else sum(numbers)


def mean(numbers: Sequence[Number]) -> float:
    """The arithmetic mean."""
    return math.fsum(numbers) / len(numbers)


def std(numbers: Sequence[Number]) -> float:
    """The standard deviation of the numbers themselves (divided by n), as `numpy.std`."""
    if min(numbers) == max(numbers):
        return 0.0
    middle = mean(numbers)
    return math.sqrt(math.fsum((number - middle) ** 2 for number in numbers) / len(numbers))


def median(numbers: Sequence[Number]) -> Number:
    """The middle one, or the mean of the two in the middle."""
    for number in numbers:
        if number != number:  # noqa: PLR0124 - nan
            raise ValueError
    ordered = sorted(numbers)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else mean(ordered[half - 1 : half + 1])


@dataclass(frozen=True)
class ListFunction:
    """A function of a list, or of several numbers: `least` arguments, if none of them is a list.

    `of_nothing`: its value for an empty list; None: it has none.
    """

    call: Callable[[Sequence[Number]], Number]
    shape: str
    least: int = 1
    of_nothing: int | None = None
    domain: str | None = None


@dataclass(frozen=True)
class Function:
    """A function: how it is called, how many arguments it takes, and their domain.

    `defaults` are the variables for the last arguments, where these are not given; `hidden` are further arguments, for
    which a user cannot give values. Both apply from `filled_from` arguments on.
    """

    call: Callable[..., Number]
    shape: str
    least: int = 1
    most: int = 1
    domain: str | None = None
    defaults: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    filled_from: int = 2

    def variables(self, given: int) -> tuple[str, ...]:
        """The variables that follow as many arguments."""
        if given < self.filled_from:
            return ()
        return (*self.defaults[len(self.defaults) - (self.most - given) :], *self.hidden)


def _exp(*arguments: Number) -> Number:
    return math.exp(*arguments) if len(arguments) == 1 else schedules.exponential(*arguments)


_DECAY = "gamma must be above 0, and all arguments finite"

_WAY = "steps must be at least 0, and all arguments finite"


_NAN_ORDER = "nan is neither smaller nor greater than a number"

LIST_FUNCTIONS = {
    "min": ListFunction(_ordered(min), "min(a, b, ...) or min(list)", 2, domain=_NAN_ORDER),
    "max": ListFunction(_ordered(max), "max(a, b, ...) or max(list)", 2, domain=_NAN_ORDER),
    "mean": ListFunction(mean, "mean(list) or mean(a, b, ...)"),
    "sum": ListFunction(total, "sum(list) or sum(a, b, ...)", of_nothing=0),
    "median": ListFunction(median, "median(list) or median(a, b, ...)", domain=_NAN_ORDER),
    "std": ListFunction(std, "std(list) or std(a, b, ...)"),
}

OTHER_SHAPES = {"len": "len(list)", "last": "last(n)", "default": "default(x, fallback)"}
"""Functions that are no arithmetic."""

FUNCTION_TABLE = {
    "abs": Function(abs, "abs(x)"),
    "round": Function(_round, "round(x) or round(x, n)", 1, 2, "n must be an integer from -15 to 15"),
    "floor": Function(math.floor, "floor(x)"),
    "ceil": Function(math.ceil, "ceil(x)"),
    "sqrt": Function(math.sqrt, "sqrt(x)", domain="x must be at least 0"),
    "exp": Function(_exp, "exp(x) or exp(start, gamma)", 1, 3, _DECAY, defaults=("i",)),
    "log": Function(math.log, "log(x)", domain="x must be greater than 0"),
    "log2": Function(math.log2, "log2(x)", domain="x must be greater than 0"),
    "log10": Function(math.log10, "log10(x)", domain="x must be greater than 0"),
    "sin": Function(math.sin, "sin(x)"),
    "cos": Function(math.cos, "cos(x)"),
    "tan": Function(math.tan, "tan(x)"),
    "tanh": Function(math.tanh, "tanh(x)"),
    "clip": Function(_clip, "clip(x, lo, hi)", 3, 3, "lo must not be greater than hi, and none of them nan"),
    "linear": Function(
        schedules.linear, "linear(start, end) or linear(start, end, steps)", 2, 4, _WAY, defaults=("last", "i")
    ),
    "cosine": Function(
        schedules.cosine, "cosine(start, end) or cosine(start, end, steps)", 2, 4, _WAY, defaults=("last", "i")
    ),
    "step": Function(
        schedules.step,
        "step(start, step_size, gamma)",
        3,
        4,
        "step_size must be an integer from 1, and gamma above 0",
        defaults=("i",),
    ),
    "plateau": Function(
        schedules.plateau,
        "plateau(start, gamma, patience)",
        3,
        3,
        "patience must be an integer from 1, and gamma above 0",
        hidden=("improved",),
    ),
}

SHAPES = {
    **{name: function.shape for name, function in FUNCTION_TABLE.items()},
    **{name: function.shape for name, function in LIST_FUNCTIONS.items()},
    **OTHER_SHAPES,
}
"""How each function is called."""

FUNCTIONS = tuple(SHAPES)

ARITHMETIC: dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", operator.mod),
    ast.Pow: ("**", _power),
}

UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
}

COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def bounded(value: object, where: TextRange, label: str) -> Number:
    """The value, if it is a finite float or an integer of at most `MAX_BITS` bits."""
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        if math.isnan(value):
            raise where.error(f"the result of {label} is nan", NAN_GUARD)
        raise where.error(f"the result of {label} is infinite (over 1.8e308)")
    if not isinstance(value, int):
        message = f"the result of {label} is complex"
        raise where.error(message, "a negative number cannot be raised to a fractional power")
    if -LIMIT < value < LIMIT:
        return value
    message = f"the result of {label} is too large (over {MAX_BITS} bits)"
    raise where.error(message, "write a float, e.g. 2.0 instead of 2")
