"""Conditions (`when`) that can be evaluated before a run, because they ask for nothing but the iteration."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from rose_cli.config.expression.compiler import parse
from rose_cli.config.expression.parser import ExpressionError

if TYPE_CHECKING:
    from rose_cli.config.expression.compiler import Expression
    from rose_cli.config.expression.parser import Scope, Value
    from rose_cli.plan.model import CommandPlan, LearnerPlan

MOST_LOOKED_AT = 10_000
"""Iterations for which a condition is evaluated one by one."""


def times_it_runs(command: CommandPlan, learner: LearnerPlan, first: int, end: int) -> int | None:
    """In how many of the iterations from `first` to before `end` a command runs.

    None: only the run decides, by what is reported or measured, or there are too many iterations.
    """
    if command.when is None or first >= end:
        return max(0, end - first)
    if end - first > MOST_LOOKED_AT:
        return None
    return _count(command.when, tuple(learner.values.items()), learner.max_iter, first, end)


@lru_cache(maxsize=4096)
def _count(
    when: str, parameters: tuple[tuple[str, Value], ...], max_iter: int | None, first: int, end: int
) -> int | None:
    values = dict(parameters)
    expression = parse(when, frozenset(values))
    if expression.reads or not expression.names <= {"i", "max_iter", *values}:
        return None
    scope = {"max_iter": max_iter, **values}
    return sum(_holds(expression, {**scope, "i": iteration}) for iteration in range(first, end))


def _holds(condition: Expression, scope: Scope) -> bool:
    """An error counts as a run: the learner fails in it."""
    try:
        return bool(condition.evaluate(scope))
    except ExpressionError:
        return True
