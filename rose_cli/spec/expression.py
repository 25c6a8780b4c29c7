"""The language of adaptive schedules: from a text to a function of the iteration that cannot do harm.

Python's own parser reads the text, so that arithmetic is Python's to the last bit; a whitelist of its nodes becomes
closures, and nothing is handed to `eval`. Time and memory are bounded by the length of the text, its brackets, and the
size of every value on the way: a whole number of at most `MAX_BITS` bits or a finite float.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rose_cli.spec.adaptive.arithmetic import FUNCTIONS
from rose_cli.spec.adaptive.closures import Compiler, checked_result
from rose_cli.spec.adaptive.mistake import NAMES, ExpressionError, Number, Run, Scope, Value, place_of
from rose_cli.spec.adaptive.syntax import syntax_tree

__all__ = ["FUNCTIONS", "NAMES", "Expression", "ExpressionError", "Number", "Scope", "Value", "parse"]


@dataclass(frozen=True)
class Expression:
    """A compiled expression. Two of the same text are equal.

    `names` are the declared names that it uses, `parts` the operations and values that one evaluation may take.
    """

    text: str
    names: frozenset[str]
    parts: int = field(repr=False, compare=False)
    _run: Run = field(repr=False, compare=False)

    def evaluate(self, scope: Scope) -> Value:
        """The value for the names in `scope`, where None means that a name has no value yet."""
        return self._run(scope)


def parse(text: str) -> Expression:
    """Compile `text`; an `ExpressionError` says where and why it is no expression."""
    tree = syntax_tree(text)
    compiler = Compiler(text)
    run = checked_result(compiler.value(tree), place_of(tree))
    return Expression(text, frozenset(compiler.names), compiler.parts, run)
