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

MOST_EVALUATIONS = 1_000_000
"""Of conditions that use parameters, for all learners together: they may differ from learner to learner."""

_BLOCK = 512
"""Iterations that are evaluated together, and kept."""


def times_it_runs(command: CommandPlan, learner: LearnerPlan, first: int, end: int, learners: int = 1) -> int | None:
    """In how many of the iterations from `first` to before `end` a command runs. `learners`: those of the plan.

    None: only the run decides, by what is reported or measured, or there are too many iterations.
    """
    count = end - first
    if command.when is None or count <= 0:
        return max(0, count)
    if count > MOST_LOOKED_AT:
        return None
    expression = _parsed(command.when, frozenset(learner.values))
    used = tuple((name, value) for name, value in learner.values.items() if name in expression.names)
    is_known = not expression.reads and expression.names <= {"i", "max_iter", *learner.values}
    if not is_known or (used and count > max(1, MOST_EVALUATIONS // learners)):
        return None
    if count == 1:
        return _bits(expression, used, learner.max_iter, first, end)
    starts = range(first - first % _BLOCK, end, _BLOCK)
    blocks = (_bits(expression, used, learner.max_iter, start, min(start + _BLOCK, end)) for start in starts)
    found = sum(bits << at * _BLOCK for at, bits in enumerate(blocks))
    return (found >> first % _BLOCK).bit_count()


@lru_cache(maxsize=1024)
def _parsed(when: str, parameters: frozenset[str]) -> Expression:
    return parse(when, parameters)


@lru_cache(maxsize=1 << 16)
def _bits(
    condition: Expression, parameters: tuple[tuple[str, Value], ...], max_iter: int | None, first: int, end: int
) -> int:
    """A bit for each iteration, the lowest for the first: whether the condition holds."""
    scope = {"max_iter": max_iter, **dict(parameters)}
    return sum(_holds(condition, {**scope, "i": first + at}) << at for at in range(end - first))


def _holds(condition: Expression, scope: Scope) -> bool:
    """An error counts as a run: the learner fails in it."""
    try:
        return bool(condition.evaluate(scope))
    except ExpressionError:
        return True
