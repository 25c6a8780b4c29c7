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
import math
from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeVar

from rose_cli.config.expression.functions import (
    ARITHMETIC,
    COMPARISONS,
    FUNCTION_TABLE,
    LIST_FUNCTIONS,
    SHAPES,
    UNARY,
    Function,
    ListFunction,
    bounded,
)
from rose_cli.config.expression.mistakes import (
    call_text,
    from_zero,
    no_value,
    not_a_number,
    order_hint,
    overflow,
    shown,
    unknown_function,
    unknown_name,
)
from rose_cli.config.expression.outcomes import Kind, kind_of_tree
from rose_cli.config.expression.parser import (
    CONSTANTS,
    LIMIT,
    MAX_BITS,
    MAX_ITEMS,
    NAMES,
    ExpressionError,
    MissingError,
    Run,
    Scope,
    TextRange,
    Value,
    end_of,
    range_of,
    syntax_tree,
)
from rose_cli.config.expression.references import ROOTS, Read, position_of, reference, root_of
from rose_cli.config.parameters import declared_parameters
from rose_cli.util.dataclass import dataclass
from rose_cli.util.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

REFUSED: dict[type[ast.expr], tuple[str, str]] = {
    ast.Tuple: ("a comma only separates the arguments of a function", "write decimals with a dot, as in 1.5"),
    ast.Starred: ("* and ** before an argument are not allowed", "write the arguments one by one"),
}

_T = TypeVar("_T")

_Op = TypeVar("_Op", bound=ast.AST)


class Compiler:
    """Turns nodes into closures; collects what they use on the way: names, reports, and each of these by its text.

    `parameters`: names that may be used besides those of the language.
    """

    def __init__(self, text: str, parameters: Collection[str] = ()) -> None:
        self.text = text
        self.names: set[str] = set()
        self.parts = 0
        self.reads: list[Read] = []
        self.used: dict[str, Run] = {}
        self._parameters = parameters
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
        """Where a quoted string or a list is allowed: as the whole result, a branch, a side of `==`, in brackets."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return _always(node.value)
        if isinstance(node, ast.IfExp):
            return self._conditional(node, self.value)
        if isinstance(node, ast.List):
            self.parts += 1
            return self._list(node)
        if self._is_open(node):
            self.parts += 1
            return self._open(node)
        return self.number(node)

    def number(self, node: ast.expr) -> Run:
        if self._is_open(node):
            self.parts += 1
            return self._checked_number(node, self._open(node))
        kind = self._kinds.get(type(node))
        if kind is None:
            raise self._refused(node)
        self.parts += 1
        return kind(node)

    def _is_open(self, node: ast.expr) -> bool:
        """Whether its value can be of any type, which only shows when it is evaluated."""
        if isinstance(node, ast.Subscript):
            return True
        if isinstance(node, ast.Attribute):
            root = root_of(node)
            return isinstance(root, ast.Name) and root.id in ROOTS
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return node.func.id in ("default", "last")
        return isinstance(node, ast.Name) and node.id in self._parameters

    def _open(self, node: ast.expr) -> Run:
        if isinstance(node, ast.Name):
            self.names.add(node.id)
            return self._using(node, _parameter(node.id, range_of(node)))
        if isinstance(node, ast.Call):
            return self._default(node) if self._source(node.func) == "default" else self._last(node)
        root = root_of(node)
        if isinstance(root, ast.Name) and root.id in ROOTS:
            run, read = reference(node, self.text, self.number)  # type: ignore[arg-type]
            self.reads.append(read)
            return self._using(node, run)
        return self._entry(node)  # type: ignore[arg-type]

    def _using(self, node: ast.expr, run: Run) -> Run:
        self.used[self._source(node)] = run
        return run

    def _checked_number(self, node: ast.expr, run: Run) -> Run:
        where, label = range_of(node), self._source(node)
        is_parameter = isinstance(node, ast.Name)

        def checked(scope: Scope) -> Value:
            value = run(scope)
            if isinstance(value, str | tuple):
                raise where.error(*not_a_number(label, value, is_parameter=is_parameter))
            return value

        return checked

    def _default(self, node: ast.Call) -> Run:
        """The first argument, or the second where the first has no value yet."""
        where, count = range_of(node), len(node.args)
        if count != 2:
            raise where.error(f"default is called with {counted(count, 'argument')}, expected {SHAPES['default']}")
        wanted, fallback = self.value(node.args[0]), self.value(node.args[1])

        def run(scope: Scope) -> Value:
            try:
                return wanted(scope)
            except MissingError:
                return fallback(scope)

        return run

    def _last(self, node: ast.Call) -> Run:
        """The last values of the metric, without iterations that gave no finite one."""
        where, count = range_of(node), len(node.args)
        if count != 1:
            raise where.error(f"last is called with {counted(count, 'argument')}, expected {SHAPES['last']}")
        most = self.number(node.args[0])
        self.names.add("history")

        def run(scope: Scope) -> Value:
            length = most(scope)
            if not isinstance(length, int) or not 1 <= length <= MAX_ITEMS:
                raise where.error(f"{call_text('last', [length])} is not defined", f"n must be from 1 to {MAX_ITEMS}")
            if scope.get("is_planned") and scope.get("i"):
                raise where.error("the metric is known only during the run")
            return latest(scope.get("history") or (), length)

        return self._using(node, run)

    def _entry(self, node: ast.Subscript) -> Run:
        """One entry of a list."""
        where, label = range_of(node), self._source(node.value)
        several = self.value(node.value)
        position = position_of(node.slice, self.number)
        if isinstance(position, str):
            raise range_of(node.slice).error("a position is a number, not a name", "it counts from 0")

        def run(scope: Scope) -> Value:
            entries, at = several(scope), position(scope)
            if not isinstance(entries, tuple):
                raise where.error(f"`{label}` is {shown(entries)}, not a list", "remove the position")
            if not isinstance(at, int) or isinstance(at, bool):
                raise where.error(f"a position is an integer, not {shown(at)}", "it counts from 0")
            if not -len(entries) <= at < len(entries):
                message = f"`{label}` has no value at position {at:.6g}: it has {len(entries)}"
                raise MissingError(message, where.offset, where.length, "write default(..., ...) around it")
            return entries[at]

        return run

    def _list(self, node: ast.List) -> Run:
        entries = [self.value(entry) for entry in node.elts]
        places = [range_of(entry) for entry in node.elts]

        def run(scope: Scope) -> Value:
            values = [entry(scope) for entry in entries]
            for value, where in zip(values, places, strict=True):
                if isinstance(value, tuple):
                    raise where.error("a list cannot be inside a list", "write its entries one by one")
            return tuple(values)  # type: ignore[arg-type]

        return run

    def _constant(self, node: ast.Constant) -> Run:
        value, where = node.value, range_of(node)
        if isinstance(value, str):
            hint = "it can be the whole result, a branch of `a if c else b`, or a side of =="
            raise where.error("a quoted string cannot be used in arithmetic", hint)
        if not isinstance(value, (int, float)):
            way_out = "write null, outside of an expression, to remove an option" if value is None else None
            raise where.error(f"{self._source(node)!r} is not a number", way_out)
        if not -LIMIT < value < LIMIT:  # an infinite float, too
            raise where.error(f"the number is too large (over {MAX_BITS} bits)")
        return _always(value)

    def _name(self, node: ast.Name) -> Run:
        if node.id in CONSTANTS:
            return _always(CONSTANTS[node.id])
        if node.id not in NAMES:
            raise range_of(node).error(*unknown_name(node.id, self._parameters))
        self.names.add(node.id)
        load = _load(node.id, range_of(node))
        return load if node.id == "i" else self._using(node, load)

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
        name = self._called(node)
        if name == "len":
            return self._length(node)
        if name in LIST_FUNCTIONS:
            return self._of_list(node, name, LIST_FUNCTIONS[name])
        return self._of_numbers(node, name, FUNCTION_TABLE[name])

    def _length(self, node: ast.Call) -> Run:
        where, count = range_of(node), len(node.args)
        if count != 1:
            raise where.error(f"len is called with {counted(count, 'argument')}, expected {SHAPES['len']}")
        several, label = self.value(node.args[0]), self._source(node.args[0])
        root = root_of(node.args[0])
        is_reported = isinstance(root, ast.Name) and root.id in ROOTS

        def run(scope: Scope) -> Value:
            value = several(scope)
            if is_reported and isinstance(value, int | float):
                return 1  # what one replica reported, for which mean, min and max also stand
            if not isinstance(value, tuple):
                raise where.error(f"`{label}` is {shown(value)}, not a list")
            return len(value)

        return run

    def _of_list(self, node: ast.Call, name: str, function: ListFunction) -> Run:
        """Of the entries of one list, or of several numbers."""
        where, count = range_of(node), len(node.args)
        is_list = count == 1 and self._may_be_list(node.args[0])
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self._refused(next(each for each in node.args if isinstance(each, ast.Starred)))
        if not is_list and count < function.least:
            raise where.error(f"{name} is called with {counted(count, 'argument')}, expected {function.shape}")
        arguments = [(self.value if is_list else self.number)(argument) for argument in node.args]

        def run(scope: Scope) -> Value:
            values = [argument(scope) for argument in arguments]
            numbers = _numbers(values[0], name, where) if is_list else values
            if not numbers:
                return _of_nothing(name, function, where)
            try:
                value = function.call(numbers)  # type: ignore[arg-type]
            except ValueError:
                raise where.error(f"{call_text(name, numbers)} is not defined", function.domain) from None
            except OverflowError:
                raise where.error(f"{call_text(name, numbers)} is too large for a float") from None
            return bounded(value, where, name)

        return run

    def _may_be_list(self, node: ast.expr) -> bool:
        if isinstance(node, ast.IfExp):
            return self._may_be_list(node.body) or self._may_be_list(node.orelse)
        return isinstance(node, ast.List) or self._is_open(node)

    def _of_numbers(self, node: ast.Call, name: str, function: Function) -> Run:
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

    def _called(self, node: ast.Call) -> str:
        """The name of the function."""
        called = node.func
        if isinstance(called, ast.Name) and called.id in SHAPES:
            return called.id
        if isinstance(called, ast.Name) and called.id not in (*NAMES, *CONSTANTS, *ROOTS, *self._parameters):
            raise range_of(called).error(*unknown_function(called.id))
        if isinstance(called, ast.Attribute):
            raise self._attribute(called, arguments=self.text[end_of(called) : end_of(node)])
        self.number(called)  # a lambda, a list: their own errors come first
        message = f"{self._source(called)!r} is not a function"
        raise range_of(called).error(message, "write * to multiply")

    def _comparison(self, node: ast.Compare) -> Run:
        operands = [node.left, *node.comparators]
        equality = [isinstance(operation, (ast.Eq, ast.NotEq)) for operation in node.ops]
        beside = zip([True, *equality], [*equality, True], operands, strict=True)
        first, *others = [self._compared(o, is_equality=left and right) for left, right, o in beside]
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

    def _compared(self, node: ast.expr, *, is_equality: bool) -> Run:
        """One side of a comparison; strings are only equal or not."""
        if not is_equality and isinstance(node, ast.Constant) and isinstance(node.value, str):
            raise range_of(node).error("a quoted string is neither smaller nor greater", order_hint(node.value))
        try:
            return self.value(node) if is_equality else self.number(node)
        except ExpressionError as error:
            if is_equality and isinstance(node, ast.Name) and (error.hint or "").startswith("known names"):
                raise range_of(node).error(error.message, f"a string needs quotes: '{node.id}'") from None
            raise

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
        if isinstance(node, ast.List):
            return range_of(node).error("a list cannot be used in arithmetic", "write mean(...), sum(...) or len(...)")
        return range_of(node).error(*REFUSED.get(type(node), ("this is not allowed in an expression", None)))

    def _attribute(self, node: ast.Attribute, arguments: str) -> ExpressionError:
        written, attribute = self._source(node), node.attr
        if self._is_open(node):
            hint = f"write {attribute}({self._source(node.value)})" if attribute in SHAPES else "remove the brackets"
            return range_of(node).error(f"{written!r} is not a function", hint)
        if not isinstance(node.value, ast.Name):
            return range_of(node).error(f"the attribute '.{attribute}' is not allowed")
        if attribute in SHAPES:
            hint = f"write {attribute}{arguments or '(...)'}"
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
        raise _absent(name, value, scope, where)

    return run


def _absent(name: str, value: object, scope: Scope, where: TextRange) -> ExpressionError:
    message, hint = no_value(name, value, scope)
    if value is None and not (scope.get("is_planned") and scope.get("i")):
        return MissingError(message, where.offset, where.length, hint)
    return where.error(message, hint)


def _load_improved(where: TextRange) -> Run:
    def run(scope: Scope) -> str:
        value = scope.get("improved")
        if isinstance(value, str):
            return value
        raise _absent("metric", None, scope, where)

    return run


def _parameter(name: str, where: TextRange) -> Run:
    def run(scope: Scope) -> Value:
        value = scope.get(name)
        if isinstance(value, str | int | float):
            return value
        raise where.error(f"the parameter `{name}` has no value")

    return run


def latest(history: Sequence[float | None], most: int) -> tuple[float, ...]:
    """The last finite values, in order."""
    found: list[float] = []
    for value in reversed(history):
        if value is not None and math.isfinite(value):
            found.append(float(value))
            if len(found) == most:
                break
    return tuple(found[::-1])


def _numbers(value: Value, name: str, where: TextRange) -> tuple[int | float, ...]:
    """The entries of a list; a single number counts as a list of one."""
    several = value if isinstance(value, tuple) else (value,)
    for entry in several:
        if isinstance(entry, str):
            raise where.error(f"{name} needs numbers, and there is {shown(entry)}")
    return several  # type: ignore[return-value]


def _of_nothing(name: str, function: ListFunction, where: TextRange) -> Value:
    if function.of_nothing is not None:
        return function.of_nothing
    message, hint = f"{name} of an empty list has no value yet", f"write default({name}(...), ...)"
    raise MissingError(message, where.offset, where.length, hint)


def checked_result(run: Run, where: TextRange) -> Run:
    def checked(scope: Scope) -> Value:
        value = run(scope)
        if isinstance(value, tuple):
            return tuple([each if isinstance(each, str) else bounded(each, where, "the expression") for each in value])
        return value if isinstance(value, str) else bounded(value, where, "the expression")

    return checked


@dataclass(frozen=True)
class Expression:
    """A compiled expression. Two with the same text are equal.

    `names` are the variables that it uses, `parts` the number of operations and values of one evaluation, `reads` the
    reports that it reads, `kind` what it always gives.
    """

    text: str
    names: frozenset[str]
    parts: int = field(repr=False, compare=False)
    reads: tuple[Read, ...] = field(repr=False, compare=False)
    _run: Run = field(repr=False, compare=False)
    _used: dict[str, Run] = field(repr=False, compare=False)
    kind: Kind | None = field(default=None, repr=False, compare=False)

    def evaluate(self, scope: Scope) -> Value:
        """The value for the variables in `scope`, where None means that a variable has no value yet."""
        return self._run(scope)

    def values_used(self, scope: Scope) -> dict[str, Value]:
        """The values that there are of what it uses (but `i`), by how it names them."""
        found: dict[str, Value] = {}
        for label, run in self._used.items():
            with suppress(ExpressionError):
                found[label] = run(scope)
        return found


def parse(text: str, parameters: Collection[str] | None = None) -> Expression:
    """Compile `text`. Raises ExpressionError with the reason and the position if it is not an expression.

    `parameters`: names that it may use besides those of the language; None: those that are declared at the moment.
    """
    tree = syntax_tree(text)
    compiler = Compiler(text, declared_parameters() if parameters is None else parameters)
    run = checked_result(compiler.value(tree), range_of(tree))
    names, reads = frozenset(compiler.names), tuple(compiler.reads)
    return Expression(text, names, compiler.parts, reads, run, compiler.used, kind_of_tree(tree))
