"""What is wrong with an expression, in words: the message, and what to write instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rose_cli.config.expression.functions import FUNCTIONS, SHAPES
from rose_cli.config.expression.parser import CONSTANTS, MAX_BITS, NAMES
from rose_cli.config.expression.references import LATEST, ROOTS
from rose_cli.util.text import cut, nearest, quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rose_cli.config.expression.parser import Scope, Value

_NAMES_ELSEWHERE = {
    **dict.fromkeys(("iteration", "iter", "it", "epoch", "t", "n_iter"), "write i"),
    **dict.fromkeys(("none", "null", "nan", "inf"), "write a number; `null` outside of quotes removes an option"),
    **dict.fromkeys(("loss", "score", "value"), "write metric: that of the last iteration"),
    **dict.fromkeys(("prev", "previous_metric"), "write previous: the metric before that of the last iteration"),
    **dict.fromkeys(("history", "metric_history"), "write last(n): the last n values of the metric"),
    **dict.fromkeys(("replica", "learner", "seed", "task"), "expressions know no placeholders"),
    **dict.fromkeys(("patience", "stall", "stalled", "bad_epochs", "wait"), "write since_best"),
}

_FUNCTIONS_ELSEWHERE = {
    "str": "remove str(): values are written as by Python's str()",
    "float": "remove float(): / always gives a float",
    "int": "write floor(x), ceil(x) or round(x)",
    **dict.fromkeys(("avg", "average", "nanmean"), "write mean(x)"),
    **dict.fromkeys(("stdev", "pstdev", "stddev", "sd"), "write std(x)"),
    **dict.fromkeys(("count", "size", "length"), "write len(x)"),
    **dict.fromkeys(("get", "coalesce", "fallback", "ifnull"), "write default(x, fallback)"),
    "pow": "write x**y",
    "power": "write x**y",
    "ln": "write log(x)",
    **dict.fromkeys(("cos_decay", "cosine_decay", "cosine_annealing", "cosineannealing"), "write cosine(start, end)"),
    **dict.fromkeys(("lerp", "interp", "linspace", "linear_decay"), "write linear(start, end)"),
    **dict.fromkeys(("exponential", "exp_decay", "exponential_decay", "decay"), "write exp(start, gamma)"),
    **dict.fromkeys(("reduce_on_plateau", "reducelronplateau"), "write plateau(start, gamma, patience)"),
}


_TRUTH = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def unknown_name(name: str, parameters: Collection[str] = ()) -> tuple[str, str]:
    if name in ROOTS:
        where = "KEY" if name == LATEST else "TASK.KEY"
        return f"`{name}` needs a key", f"write {name}.{where}, with what a task reports"
    if name in SHAPES:
        return f"the function '{name}' has no arguments here", f"write {SHAPES[name]}"
    known = (*NAMES, *CONSTANTS, *sorted(parameters))
    hint = _nearest(name, parameters) or _NAMES_ELSEWHERE.get(name.lower())
    hint = hint or _nearest(name, (*known, *ROOTS, "True", "False"))
    return f"unknown name '{name}'", hint or f"known names: {', '.join(known)}, result, results"


def unknown_function(name: str) -> tuple[str, str]:
    hint = _FUNCTIONS_ELSEWHERE.get(name.lower()) or _nearest(name, FUNCTIONS)
    return f"unknown function '{name}'", hint or f"known functions: {' '.join(FUNCTIONS)}"


def _nearest(word: str, known: Collection[str]) -> str | None:
    near = nearest(word, known)
    return f"did you mean '{near}'?" if near else None


def no_value(name: str, value: object, scope: Scope) -> tuple[str, str | None]:
    iteration = scope.get("i")
    if isinstance(value, int) and not isinstance(value, bool):
        return f"`{name}` is too large (over {MAX_BITS} bits)", None
    if value is not None:
        return f"`{name}` is {value!r}, expected a number", None
    if name == "previous":
        at = "" if iteration is None else f" at i={iteration}"
        return f"`previous` has no value yet{at}", "write `... if i > 1 else ...`" if iteration in (0, 1) else None
    if name == "max_iter":
        return "`max_iter` has no value: the campaign sets none", "set max_iter, or do not use it here"
    if iteration is None:
        return f"`{name}` has no value yet", None
    return f"`{name}` has no value yet at i={iteration}", None if iteration else "write `... if i > 0 else ...`"


def from_zero(divisor: str, scope: Scope) -> str | None:
    by_iteration = scope.get("i") == 0 and re.search(r"\bi\b", divisor)
    return "i counts from 0: write, for example, i + 1" if by_iteration else None


def overflow(symbol: str, first: Value, second: Value) -> tuple[str, str | None]:
    if symbol == "**" and isinstance(first, int) and isinstance(second, int):
        return f"power too large (over {MAX_BITS} bits); write a float base, e.g. 2.0**i", None
    return f"the result of {symbol} is too large for a float", None


def call_text(name: str, values: Sequence[Value]) -> str:
    return f"{name}({', '.join(cut(repr(value), 24) for value in values)})"


def shown(value: object) -> str:
    """A value as a message names it."""
    if isinstance(value, tuple):
        return f"a list of {len(value):,}"
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    return cut(repr(value), 24)


def order_hint(text: str) -> str:
    """For `result.n >= "20"` and `result.phase > 'warm'`."""
    is_number = re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+(e[-+]?[0-9]+)?", text, re.IGNORECASE) is not None
    return f"write {text} without quotes" if is_number else "compare strings with == or !="


def not_a_number(label: str, value: object, *, is_parameter: bool = False) -> tuple[str, str | None]:
    hint = None
    if is_parameter and isinstance(value, str):
        word = _TRUTH.get(value.lower())
        hint = f"write {label}: {word}" if word else f"write a number under 'parameters', such as {label}: 10"
    if isinstance(value, tuple):
        name = cut(label, 40)
        hint = f"write mean({name}), max({name}), len({name}) or {name}[0]"
    return f"`{label}` is {shown(value)}, expected a number", hint
