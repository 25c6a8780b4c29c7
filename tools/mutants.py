"""The small faults that `tools.mutate` puts into the code, and those that are known to change nothing.

A mutant is one change of one expression or statement: a comparison that is off by one, a condition that always holds,
an operand or a keyword left out, a call that is not made. Strings stay as they are (golden files hold the wording), and
so does what is only for the type checker.
"""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathlib import Path

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
_OTHER_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_PASSED_ON = {"sorted", "reversed", "abs", "bool", "round"}
"""Built-in functions whose argument may stand in for their result; without the others, any use fails at once."""


@dataclass(frozen=True)
class Mutant:
    """`lines` are those of the statement (of its head, if it has a body); `begin` and `end` count bytes of the file."""

    path: str
    line: int
    lines: tuple[int, int]
    in_function: bool
    begin: int
    end: int
    new: str
    code: str
    change: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.change}"

    def put_into(self, source: bytes) -> bytes:
        return source[: self.begin] + self.new.encode() + source[self.end :]


@dataclass(frozen=True)
class Equivalent:
    """A change that no test could notice. `code` is the line as it stands in the file, without its indent."""

    path: str
    code: str
    change: str
    reason: str

    def is_for(self, mutant: Mutant) -> bool:
        return (self.path, self.code, self.change) == (mutant.path, mutant.code, mutant.change)


def read_equivalents(path: Path) -> list[Equivalent]:
    """A YAML file: for each file of the repository a list of `code`, `change` and `reason`."""
    files = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return [Equivalent(name, **entry) for name, entries in files.items() for entry in entries]


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """Every mutant of a module, in the order of the file; `path` is only its name."""
    found = _Finder(path, source)
    found.visit(ast.parse(source))
    return sorted(found.mutants, key=lambda mutant: (mutant.begin, mutant.end, mutant.change))


class _Finder(ast.NodeVisitor):
    """Goes through a module and collects its mutants."""

    def __init__(self, path: str, source: bytes) -> None:
        self.mutants: list[Mutant] = []
        self._path = path
        self._lines = source.splitlines(keepends=True)
        self._offsets = [0]
        for line in self._lines:
            self._offsets.append(self._offsets[-1] + len(line))
        self._statement = (1, 1)
        self._depth = 0
        self._decided: set[ast.expr] = set()

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            self._statement = (node.lineno, max(node.lineno, last))
        elif isinstance(node, ast.ExceptHandler):  # these two come after other statements of the same one
            self._statement = (node.lineno, node.body[0].lineno)
        elif isinstance(node, ast.match_case):
            self._statement = (node.pattern.lineno, node.body[0].lineno)
        super().visit(node)

    # --- what stays as it is

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Before Python 3.12, what is in an f-string has no place in the file."""

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(default)
        self._depth += 1
        for statement in node.body:
            self.visit(statement)
        self._depth -= 1

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not (isinstance(node.value, ast.Name) and node.value.id in {"Literal", "Annotated"}):
            self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        """For the type checker."""

    # --- statements

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return
        if not isinstance(node.value, ast.Yield | ast.YieldFrom):
            self._replace(node, "pass")
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        for child in ast.iter_child_nodes(call):
            self.visit(child)
        if isinstance(call, ast.Call):
            self._keywords(call)

    def visit_Raise(self, node: ast.Raise) -> None:
        if node.exc is None or "NotImplementedError" not in ast.unparse(node.exc):
            self._replace(node, "pass")
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if any(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets):
            self._replace(node, "pass")
        self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        other = _ARITHMETIC.get(type(node.op))
        if other is not None:
            self._replace(node, ast.unparse(ast.AugAssign(node.target, other(), node.value)))
        self._replace(node, "pass")
        self.visit(node.value)

    def visit_Delete(self, node: ast.Delete) -> None:
        self._replace(node, "pass")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace(node, "break")

    def visit_Break(self, node: ast.Break) -> None:
        self._replace(node, "continue")

    def visit_Return(self, node: ast.Return) -> None:
        if not isinstance(node.value, ast.Constant | ast.Compare | ast.BoolOp | ast.UnaryOp | None):
            self._replace(node, "return None")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" in ast.unparse(node.test):
            return
        self._condition(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        if not isinstance(node.test, ast.Constant):
            self._replace(node.test, "False")
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        first, last = node.body[0], node.body[-1]
        if not isinstance(last, ast.Raise):
            begin, end = self._span(first)[0], self._span(last)[1]
            self._add(node, begin, end, "raise", f"except {ast.unparse(node.type) if node.type else ''} -> raise")
        self.generic_visit(node)

    # --- expressions

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for condition in node.ifs:
            self._replace(condition, "True")
            self._decided.add(condition)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for index, operator in enumerate(node.ops):
            if node in self._decided and not isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
                continue
            other = _COMPARISONS[type(operator)]()
            operators = [*node.ops[:index], other, *node.ops[index + 1 :]]
            self._replace(node, ast.unparse(ast.Compare(node.left, operators, node.comparators)))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self._decided.update(node.values)
        for index in range(len(node.values)):
            rest = [*node.values[:index], *node.values[index + 1 :]]
            self._replace(node, ast.unparse(rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        is_seen = node in self._decided if isinstance(node.op, ast.Not) else isinstance(node.operand, ast.Constant)
        if isinstance(node.op, ast.Not | ast.USub) and not is_seen:
            self._replace(node, ast.unparse(node.operand))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        other = _ARITHMETIC.get(type(node.op))
        if other is not None and not isinstance(node.left, ast.Constant | ast.JoinedStr):
            self._replace(node, ast.unparse(ast.BinOp(node.left, other(), node.right)))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value))
        elif isinstance(node.value, int | float) and node.value + 1 != node.value:
            self._replace(node, repr(node.value + 1))

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in _OTHER_NAMES:
            other = ast.Name(_OTHER_NAMES[name])
            self._replace(node, ast.unparse(ast.Call(other, node.args, node.keywords)))
        is_own = not hasattr(builtins, name)
        called = name or ast.unparse(node.func).rpartition(".")[2]
        is_function = called.lower() == called and (is_own or name in _PASSED_ON)
        if is_function and len(node.args) == 1 and not node.keywords and not isinstance(node.args[0], ast.Starred):
            self._replace(node, ast.unparse(node.args[0]))
        self._keywords(node)
        self.generic_visit(node)

    def visit_List(self, node: ast.List | ast.Tuple) -> None:
        for index, element in enumerate(node.elts):
            if isinstance(element, ast.Starred):
                rest = [*node.elts[:index], *node.elts[index + 1 :]]
                self._replace(node, ast.unparse(ast.List(rest, ast.Load())) if rest else "()")
        self.generic_visit(node)

    def visit_Tuple(self, node: ast.Tuple) -> None:
        self.visit_List(node)

    # --- how it is noted

    def _condition(self, test: ast.expr) -> None:
        """What always holds and never does; for `a and b`, leaving one of them out stands in for what always holds."""
        joined = test.op if isinstance(test, ast.BoolOp) else None
        if not isinstance(joined, ast.And):
            self._replace(test, "True")
        if not isinstance(joined, ast.Or):
            self._replace(test, "False")
        self._decided.add(test)

    def _keywords(self, node: ast.Call) -> None:
        """A class takes what it is given as a rule; a function has a reason for its default."""
        called = ast.unparse(node.func).rpartition(".")[2]
        if called.lower() != called or called in {"field", "partial", "replace"}:
            return
        for index, keyword in enumerate(node.keywords):
            if keyword.arg is not None and not isinstance(keyword.value, ast.Constant):
                rest = [*node.keywords[:index], *node.keywords[index + 1 :]]
                self._replace(node, ast.unparse(ast.Call(node.func, node.args, rest)))

    def _replace(self, node: ast.expr | ast.stmt, new: str) -> None:
        begin, end = self._span(node)
        text = f"({new})" if isinstance(node, ast.expr) else new
        self._add(node, begin, end, text, f"{ast.unparse(node)} -> {new}")

    def _add(self, node: ast.expr | ast.stmt | ast.ExceptHandler, begin: int, end: int, new: str, change: str) -> None:
        line = node.lineno
        code = self._lines[line - 1].decode().strip()
        is_inside = self._depth > 0
        change = " ".join(change.split())
        self.mutants.append(Mutant(self._path, line, self._statement, is_inside, begin, end, new, code, change))

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        begin = self._offsets[node.lineno - 1] + node.col_offset
        return begin, self._offsets[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
