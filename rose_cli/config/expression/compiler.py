"""Compiles an expression into a function of the iteration.

Python's own parser reads the text, so that arithmetic is exactly Python's; a whitelist of its nodes becomes closures,
and nothing is passed to `eval`. Time and memory are bounded by the length of the text, its brackets, and the size of
every intermediate value: an integer of at most `MAX_BITS` bits or a finite float.

simpleeval and asteval evaluate such expressions too, but not as needed here: an error must point at characters of the
campaign file and come with a hint before anything runs, an expression is checked once and then evaluated in thousands
of iterations, and huge integers, nan and infinity must be rejected at every step.
"""

from __future__ import annotations

import ast
import re
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeVar

from rose_cli.config.expression.functions import (
    ARITHMETIC,
    COMPARISONS,
    FUNCTION_TABLE,
    FUNCTIONS,
    UNARY,
    Function,
    bounded,
)
from rose_cli.config.expression.parser import (
    CONSTANTS,
    LIMIT,
    MAX_BITS,
    NAMES,
    ExpressionError,
    Run,
    Scope,
    TextRange,
    Value,
    end_of,
    range_of,
    syntax_tree,
)
from rose_cli.util.dataclass import dataclass
from rose_cli.util.text import counted, cut, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REFUSED: dict[type[ast.expr], tuple[str, str]] = {
    ast.Tuple: ("a comma only separates the arguments of a function", "write decimals with a dot, as in 1.5"),
    ast.Starred: ("* and ** before an argument are not allowed", "write the arguments one by one"),
}

_NAMES_ELSEWHERE = {
    **dict.fromkeys(("iteration", "iter", "it", "epoch", "t", "n_iter"), "write i"),
    **dict.fromkeys(("loss", "score", "value", "last", "prev", "previous"), "write metric: that of the last iteration"),
    **dict.fromkeys(("patience", "stall", "stalled", "bad_epochs", "wait"), "write since_best"),
}

_FUNCTIONS_ELSEWHERE = {
    "str": "remove str(): values are written as by Python's str()",
    "float": "remove float(): / always gives a float",
    "int": "write floor(x), ceil(x) or round(x)",
    "pow": "write x**y",
    "power": "write x**y",
    "ln": "write log(x)",
    **dict.fromkeys(("cos_decay", "cosine_decay", "cosine_annealing", "cosineannealing"), "write cosine(start, end)"),
    **dict.fromkeys(("lerp", "interp", "linspace", "linear_decay"), "write linear(start, end)"),
    **dict.fromkeys(("exponential", "exp_decay", "exponential_decay", "decay"), "write exp(start, gamma)"),
    **dict.fromkeys(("reduce_on_plateau", "reducelronplateau"), "write plateau(start, gamma, patience)"),
}


def unknown_name(name: str) -> tuple[str, str]:
    if name in FUNCTION_TABLE:
        return f"the function '{name}' has no arguments here", f"write {FUNCTION_TABLE[name].shape}"
    hint = _NAMES_ELSEWHERE.get(name.lower()) or _nearest(name, (*NAMES, *CONSTANTS, "True", "False"))
    return f"unknown name '{name}'", hint or f"known names: {', '.join((*NAMES, *CONSTANTS))}"


def unknown_function(name: str) -> tuple[str, str]:
    hint = _FUNCTIONS_ELSEWHERE.get(name.lower()) or _nearest(name, FUNCTIONS)
    return f"unknown function '{name}'", hint or f"known functions: {' '.join(FUNCTIONS)}"


def _nearest(word: str, known: tuple[str, ...]) -> str | None:
    near = nearest(word, known)
    return f"did you mean '{near}'?" if near else None


def no_value(name: str, value: object, scope: Scope) -> tuple[str, str | None]:
    iteration = scope.get("i")
    if isinstance(value, int):
        return f"`{name}` is too large (over {MAX_BITS} bits)", None
    if value is not None:
        return f"`{name}` is {value!r}, expected a number", None
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


def call_text(name: str, values: list[Value]) -> str:
    return f"{name}({', '.join(cut(repr(value), 24) for value in values)})"


_T = TypeVar("_T")

_Op = TypeVar("_Op", bound=ast.AST)


class Compiler:
    """Turns nodes into closures; collects the declared names on the way."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: set[str] = set()
        self.parts = 0
        self._kinds: dict[type[ast.expr], Callable[[Any], Run]] = {
            ast.Constant: self._constant,
            ast.Name: self._name,
            ast.BinOp: self._binary,
            ast.UnaryOp: self._unary,
            ast.Call: self._call,
            ast.Compare: self._comparison,
            ast.BoolOp: self._logic,
            ast.IfExp: lambda node: self._conditional(node, self.number),
        }

    def value(self, node: ast.expr) -> Run:
        """Where a quoted string is allowed: as the whole result, a branch of a conditional, a side of `==`."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return _always(node.value)
        if isinstance(node, ast.IfExp):
            return self._conditional(node, self.value)
        return self.number(node)

    def number(self, node: ast.expr) -> Run:
        kind = self._kinds.get(type(node))
        if kind is None:
            raise self._refused(node)
        self.parts += 1
        return kind(node)

    def _constant(self, node: ast.Constant) -> Run:
        value, where = node.value, range_of(node)
        if isinstance(value, str):
            hint = "it can be the whole result, a branch of `a if c else b`, or a side of =="
            raise where.error("a quoted string cannot be used in arithmetic", hint)
        if not isinstance(value, (int, float)):
            raise where.error(f"{self._source(node)!r} is not a number")
        if not -LIMIT < value < LIMIT:  # an infinite float, too
            raise where.error(f"the number is too large (over {MAX_BITS} bits)")
        return _always(value)

    def _name(self, node: ast.Name) -> Run:
        if node.id in CONSTANTS:
            return _always(CONSTANTS[node.id])
        if node.id not in NAMES:
            raise range_of(node).error(*unknown_name(node.id))
        self.names.add(node.id)
        return _load(node.id, range_of(node))

    def _unary(self, node: ast.UnaryOp) -> Run:
        """A chain of signs in one go: hundreds of them would be too deep for Python's stack."""
        operations = [_operation(UNARY, node.op, node)]
        while isinstance(node.operand, ast.UnaryOp):
            node = node.operand
            operations.append(_operation(UNARY, node.op, node))
        self.parts += len(operations)
        operand = self.number(node.operand)

        def run(scope: Scope) -> Value:
            value = operand(scope)
            for operate in reversed(operations):
                value = operate(value)
            return value

        return run

    def _binary(self, node: ast.BinOp) -> Run:
        """A chain to the left in one go, as in `1 + 2 + 3`, for the same reason."""
        chain = [node]
        while isinstance(chain[-1].left, ast.BinOp):
            chain.append(chain[-1].left)
        self.parts += len(chain)
        first = self.number(chain[-1].left)
        steps = [self._step(link) for link in reversed(chain)]

        def run(scope: Scope) -> Value:
            value = first(scope)
            for step in steps:
                value = step(value, scope)
            return value

        return run

    def _step(self, node: ast.BinOp) -> Callable[[Value, Scope], Value]:
        """From the value of the left operand to that of the operation."""
        symbol, operate = _operation(ARITHMETIC, node.op, node)
        right = self.number(node.right)
        # Nodes do not know where their operator is: between the operands, with only spaces and brackets beside it.
        where = TextRange(self.text.index(symbol, end_of(node.left)), len(symbol))
        divisor = self._source(node.right)

        def step(first: Value, scope: Scope) -> Value:
            second = right(scope)
            try:
                value = operate(first, second)
            except ZeroDivisionError:
                raise where.error("division by zero", from_zero(divisor, scope)) from None
            except OverflowError:
                raise where.error(*overflow(symbol, first, second)) from None
            return bounded(value, where, symbol)

        return step

    def _call(self, node: ast.Call) -> Run:
        name, function = self._function(node)
        arguments = [self.number(argument) for argument in node.args]
        where, count = range_of(node), len(arguments)
        if not function.least <= count <= function.most:
            given = counted(count, "argument")
            raise where.error(f"{name} is called with {given}, expected {function.shape}")
        filled_in = [self._variable(variable, where) for variable in function.variables(count)]

        def run(scope: Scope) -> Value:
            values = [argument(scope) for argument in arguments]
            others = [variable(scope) for variable in filled_in]
            try:
                value = function.call(*values, *others)
            except ValueError:
                raise where.error(f"{call_text(name, values)} is not defined", function.domain) from None
            except OverflowError:
                raise where.error(f"{call_text(name, values)} is too large for a float") from None
            return bounded(value, where, name)

        return run

    def _variable(self, name: str, where: TextRange) -> Run:
        """A variable that a function uses although the expression does not name it."""
        if name == "improved":
            self.names.add("since_best")
            return _load_improved(where)
        self.names.add("max_iter" if name == "last" else name)
        if name == "last":
            load = _load("max_iter", where)
            return lambda scope: load(scope) - 1  # type: ignore[operator]
        return _load(name, where)

    def _function(self, node: ast.Call) -> tuple[str, Function]:
        called = node.func
        if isinstance(called, ast.Name) and called.id not in (*NAMES, *CONSTANTS):
            if called.id not in FUNCTION_TABLE:
                raise range_of(called).error(*unknown_function(called.id))
            return called.id, FUNCTION_TABLE[called.id]
        if isinstance(called, ast.Attribute):
            raise self._attribute(called, arguments=self.text[end_of(called) : end_of(node)])
        self.number(called)  # a lambda, a list: their own errors come first
        message = f"{self._source(called)!r} is not a function"
        raise range_of(called).error(message, "write * to multiply")

    def _comparison(self, node: ast.Compare) -> Run:
        operands = [node.left, *node.comparators]
        equality = [isinstance(operation, (ast.Eq, ast.NotEq)) for operation in node.ops]
        beside = zip([True, *equality], [*equality, True], operands, strict=True)
        first, *others = [self.value(o) if left and right else self.number(o) for left, right, o in beside]
        tests = [(_operation(COMPARISONS, o, node), other) for o, other in zip(node.ops, others, strict=True)]

        def run(scope: Scope) -> bool:
            left = first(scope)
            for holds, other in tests:
                right = other(scope)
                if not holds(left, right):
                    return False
                left = right
            return True

        return run

    def _logic(self, node: ast.BoolOp) -> Run:
        parts = [self.number(part) for part in node.values]
        decisive = isinstance(node.op, ast.Or)

        def run(scope: Scope) -> Value:
            for part in parts:
                value = part(scope)
                if bool(value) is decisive:
                    break
            return value

        return run

    def _conditional(self, node: ast.IfExp, branch: Callable[[ast.expr], Run]) -> Run:
        test, then, otherwise = self.number(node.test), branch(node.body), branch(node.orelse)
        return lambda scope: then(scope) if test(scope) else otherwise(scope)

    def _refused(self, node: ast.expr) -> ExpressionError:
        if isinstance(node, ast.Attribute):
            return self._attribute(node, arguments="")
        return range_of(node).error(*REFUSED.get(type(node), ("this is not allowed in an expression", None)))

    def _attribute(self, node: ast.Attribute, arguments: str) -> ExpressionError:
        written, attribute = self._source(node), node.attr
        if not isinstance(node.value, ast.Name):
            return range_of(node).error(f"the attribute '.{attribute}' is not allowed")
        if attribute in FUNCTION_TABLE:
            hint: str | None = f"write {attribute}{arguments or '(...)'}"
        elif attribute in CONSTANTS:
            hint = f"write {attribute}"
        else:
            hint = (unknown_function if arguments else unknown_name)(attribute)[1]
        return range_of(node).error(f"{written!r} is not allowed", hint)

    def _source(self, node: ast.expr) -> str:
        return self.text[node.col_offset : end_of(node)]


def _operation(table: Mapping[type[_Op], _T], operation: _Op, node: ast.expr) -> _T:
    """The parser rejects the known operators by name; this is for any that it might have missed."""
    found = table.get(type(operation))
    if found is None:
        raise range_of(node).error("this operator is not allowed")
    return found


def _always(value: Value) -> Run:
    return lambda _: value


def _load(name: str, where: TextRange) -> Run:
    def run(scope: Scope) -> Value:
        value = scope.get(name)
        if isinstance(value, float):
            return float(value)  # numpy's floats warn where Python's raise
        if isinstance(value, int) and -LIMIT < value < LIMIT:
            return value
        raise where.error(*no_value(name, value, scope))

    return run


def _load_improved(where: TextRange) -> Run:
    def run(scope: Scope) -> str:
        value = scope.get("improved")
        if isinstance(value, str):
            return value
        raise where.error(*no_value("metric", None, scope))

    return run


def checked_result(run: Run, where: TextRange) -> Run:
    def checked(scope: Scope) -> Value:
        value = run(scope)
        return value if isinstance(value, str) else bounded(value, where, "the expression")

    return checked


@dataclass(frozen=True)
class Expression:
    """A compiled expression. Two with the same text are equal.

    `names` are the variables that it uses, `parts` the number of operations and values of one evaluation.
    """

    text: str
    names: frozenset[str]
    parts: int = field(repr=False, compare=False)
    _run: Run = field(repr=False, compare=False)

    def evaluate(self, scope: Scope) -> Value:
        """The value for the variables in `scope`, where None means that a variable has no value yet."""
        return self._run(scope)


def parse(text: str) -> Expression:
    """Compile `text`. Raises ExpressionError with the reason and the position if it is not an expression."""
    tree = syntax_tree(text)
    compiler = Compiler(text)
    run = checked_result(compiler.value(tree), range_of(tree))
    return Expression(text, frozenset(compiler.names), compiler.parts, run)
