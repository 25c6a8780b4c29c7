"""What the expression language says about what it does not know."""

from __future__ import annotations

import ast
import difflib
import math
import re

from rose_cli.spec.adaptive.arithmetic import FUNCTION_TABLE, FUNCTIONS
from rose_cli.spec.adaptive.mistake import MAX_BITS, NAMES, Scope, Value

REFUSED: dict[type[ast.expr], tuple[str, str]] = {
    ast.Tuple: ("a comma only separates the arguments of a function", "write decimals with a point, as in 1.5"),
    ast.Starred: ("* and ** before an argument are not allowed", "write the arguments one by one"),
}
_NAMES_ELSEWHERE = {
    "iteration": "write i",
    "iter": "write i",
    "pi": f"write {math.pi}",
    "e": f"write exp(1), or {math.e}",
}
_FUNCTIONS_ELSEWHERE = {
    "str": "leave str() out: values are printed as Python's str does",
    "float": "leave float() out: / always gives a float",
    "int": "write floor(x), ceil(x) or round(x)",
    "pow": "write x**y",
    "power": "write x**y",
    "ln": "write log(x)",
}


def unknown_name(name: str) -> tuple[str, str]:
    if name in FUNCTION_TABLE:
        return f"the function '{name}' has no arguments here", f"write {FUNCTION_TABLE[name].shape}"
    hint = _NAMES_ELSEWHERE.get(name.lower()) or _nearest(name, (*NAMES, "True", "False"))
    return f"unknown name '{name}'", hint or f"known names: {', '.join(NAMES)}"


def unknown_function(name: str) -> tuple[str, str]:
    hint = _FUNCTIONS_ELSEWHERE.get(name.lower()) or _nearest(name, FUNCTIONS)
    return f"unknown function '{name}'", hint or f"known functions: {' '.join(FUNCTIONS)}"


def _nearest(word: str, known: tuple[str, ...]) -> str | None:
    by_lower_case = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower_case, n=1)
    return f"did you mean '{by_lower_case[near[0]]}'?" if near else None


def no_value(name: str, value: object, scope: Scope) -> tuple[str, str | None]:
    iteration = scope.get("i")
    if isinstance(value, int):
        return f"`{name}` is too large (over {MAX_BITS} bits)", None
    if value is not None:
        return f"`{name}` is {value!r}, expected a number", None
    if name == "max_iter":
        return "`max_iter` has no value: the campaign sets none", "set max_iter, or leave it out here"
    if iteration is None:
        return f"`{name}` has no value yet", None
    return f"`{name}` has no value yet at i={iteration}", None if iteration else "write `... if i > 0 else ...`"


def from_zero(divisor: str, scope: Scope) -> str | None:
    by_iteration = scope.get("i") == 0 and re.search(r"\bi\b", divisor)
    return "i counts from 0: write, say, i + 1" if by_iteration else None


def overflow(symbol: str, first: Value, second: Value) -> tuple[str, str | None]:
    if symbol == "**" and isinstance(first, int) and isinstance(second, int):
        return f"power too large (over {MAX_BITS} bits); write a float base, e.g. 2.0**i", None
    return f"the result of {symbol} is too large for a float", None


def call_text(name: str, values: list[Value]) -> str:
    texts = [text if len(text) <= 24 else f"{text[:20]}..." for text in map(repr, values)]
    return f"{name}({', '.join(texts)})"
