"""Which replicas of a step run in an iteration, and what they are called: decided once, by the plan and the journal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rose_cli.config.expression.outcomes import OutcomeError, holds, replica_names
from rose_cli.config.rules import REPLICA
from rose_cli.journal import events as e
from rose_cli.plan.render import NoValueError, compiled, value_of
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rose_cli.config.expression.parser import Value
    from rose_cli.plan.model import CommandPlan
    from rose_cli.plan.render import EvaluationContext

MOST_RECORDED = 100
"""Entries of a list among the values that a decision used; a longer one is in the report that it came from."""


@dataclass(frozen=True)
class Replica:
    """`name`: None if it only has a number; `axes`: its place on each axis of the plan, by name."""

    name: str | None
    axes: Mapping[str, str]


def decided_step(learner: str, context: EvaluationContext, task: str, command: CommandPlan) -> e.StepDecided:
    """Whether a step runs, and which replicas. Raises NoValueError if an expression has no value of use."""
    values: dict[str, Any] = {}
    if command.when is not None:
        values |= _values_used(command.when, context)
        if not _holds("when", command.when, context):
            return e.StepDecided(learner, context.iteration, task, runs=False, values=values)
    if command.replicas_from is None:
        return e.StepDecided(learner, context.iteration, task, runs=True, values=values)
    values |= _values_used(command.replicas_from, context)
    names = _names(command.replicas_from, context)
    return e.StepDecided(learner, context.iteration, task, runs=bool(names), replicas=names or None, values=values)


def replicas_of(command: CommandPlan, decided: e.StepDecided | None) -> Sequence[Replica | None]:
    """The replicas that run, in order; None for one without a name."""
    if decided is not None and not decided.runs:
        return ()
    if decided is not None and decided.replicas is not None:
        return [replica_called(name, place) for place, name in enumerate(decided.replicas)]
    return [command_replica(command, place) for place in range(command.replicas)]


def replica_called(name: str, place: int) -> Replica | None:
    """Of replicas whose names were decided; a number in its own place is no name."""
    return None if name == str(place) else Replica(name, {})


def command_replica(command: CommandPlan, place: int) -> Replica | None:
    """The replica in that place, by the axes of the plan."""
    if not command.replica_axes:
        return None
    axes, rest = {}, place
    for axis, names in reversed(list(command.replica_axes.items())):
        rest, at = divmod(rest, len(names))
        axes[axis] = names[at]
    names_in_order = [axes[axis] for axis in command.replica_axes]
    axes.pop(REPLICA, None)
    return Replica("-".join(names_in_order), axes)


def _holds(key: str, text: str, context: EvaluationContext) -> bool:
    with _fitting(key):
        return holds(_value(key, text, context))


def _names(text: str, context: EvaluationContext) -> tuple[str, ...]:
    with _fitting("replicas"):
        return replica_names(_value("replicas", text, context))


@contextmanager
def _fitting(key: str) -> Iterator[None]:
    try:
        yield
    except OutcomeError as error:
        raise NoValueError(f"'{key}' {error}") from error


def _value(key: str, text: str, context: EvaluationContext) -> Value:
    try:
        return value_of(text, context)
    except NoValueError as error:
        raise NoValueError(f"'{key}' has no value: {error.reason}{error.advice}") from error


def _values_used(text: str, context: EvaluationContext) -> dict[str, Any]:
    used = compiled(text, context).values_used(context.scope)
    return {name: value for name, value in used.items() if not isinstance(value, tuple) or len(value) <= MOST_RECORDED}
