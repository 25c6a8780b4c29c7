"""Checks schedules: keys that never apply, and expressions that fail in one of their iterations."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from rose_cli.check.origin import depending
from rose_cli.config.expression.parser import ExpressionError
from rose_cli.plan.render import EvaluationContext
from rose_cli.util.errors import Diagnostic, KeyPath, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rose_cli.config.expression.compiler import Expression
    from rose_cli.config.models import Iterations, TaskFields


def check_keys(schedule: Iterations, path: KeyPath, horizon: Horizon) -> Iterator[Diagnostic]:
    max_iter = horizon.max_iter
    keys = sorted(key for key in schedule.at if key >= 0)
    late = [key for key in keys if max_iter is not None and key >= max_iter]
    for key in late:
        message = f"iteration {key} is never reached: with max_iter {max_iter} the last one is {(max_iter or 0) - 1}"
        hint = "iterations count from 0; raise max_iter, or remove the key"
        # people shorten runs to try them: keys of later iterations do no harm
        late_key = Diagnostic("iteration-never-comes", message, (*path, key), hint, Severity.WARNING, at_key=True)
        yield replace(late_key, depends_on=horizon.sources("max_iter"))
    yield from depending(_check_rest(schedule, path, keys, max_iter), path)
    if not schedule.hold and not late:
        yield from depending(_check_starts(path, keys, others=-1 in schedule.at), path)


def _check_rest(schedule: Iterations, path: KeyPath, keys: Sequence[int], max_iter: int | None) -> Iterator[Diagnostic]:
    if -1 not in schedule.at or not keys:
        return
    message = None
    if schedule.hold and keys[0] == 0:
        message = "-1 is never used: with 'hold', the key 0 applies from the first iteration on"
    elif not schedule.hold and max_iter is not None and sum(key < max_iter for key in keys) == max_iter:
        message = "-1 is never used: every iteration has its own key"
    if message:
        yield Diagnostic("unused-key", message, (*path, -1), "remove it", Severity.WARNING, at_key=True)


def _check_starts(path: KeyPath, keys: Sequence[int], *, others: bool) -> Iterator[Diagnostic]:
    """With a key for the first iteration, or none for the others, keys far apart might be meant as starts."""
    apart = all(later - earlier > 1 for earlier, later in pairwise(keys))
    if len(keys) < 2 or not apart or (others and keys[0] != 0):
        return
    rest = "what -1 sets" if others else "the task as declared"
    message = f"each key is a single iteration: iteration {keys[0] + 1} uses {rest}, not what {keys[0]} sets"
    hint = "add 'hold: true' beside the keys if each should apply from there on"
    yield Diagnostic("keys-look-like-starts", message, path, hint, Severity.WARNING, at_key=True)


MAX_PARTS = 1_000_000
"""How many operations and values are evaluated for a whole campaign, about a quarter of a second."""

MAX_OF_EACH = 10_000

UNBOUNDED_ITERATIONS = 1_000
"""How many iterations are probed if there is no max_iter."""

_RESULTS = frozenset({"metric", "best"})


@dataclass(frozen=True)
class IterationRange:
    """The iterations in which an expression applies: `within`, without the `apart` ones."""

    within: range
    apart: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Horizon:
    """How many iterations a learner can have. `max_iter` None: no limit.

    `has_metric`: whether it has a criterion, which gives `metric` and `best` their values from iteration 1 on.
    `levels`: the paths to the campaign and to the learner, whose keys decide this.
    """

    max_iter: int | None
    has_metric: bool
    levels: tuple[KeyPath, ...] = field(default=(), compare=False)

    def sources(self, *names: str) -> tuple[KeyPath, ...]:
        """The locations of these keys at every level."""
        return tuple((*level, name) for name in names for level in self.levels)

    @property
    def all_iterations(self) -> IterationRange:
        return IterationRange(range(self.max_iter or UNBOUNDED_ITERATIONS))


class ExpressionProbe:
    """Evaluates each expression once for each iteration in which it applies."""

    def __init__(self) -> None:
        self._left = MAX_PARTS
        self._tried: dict[tuple[str, IterationRange, Horizon], tuple[ExpressionError, int] | None] = {}

    def probe_schedule(self, schedule: Iterations, path: KeyPath, horizon: Horizon) -> Iterator[Diagnostic]:
        for key, entry in schedule.at.items():
            if entry.adaptive:
                yield from self.probe_fields(entry, (*path, key), horizon, _counting(schedule, key, horizon))

    def probe_fields(
        self, fields: TaskFields, path: KeyPath, horizon: Horizon, span: IterationRange | None = None
    ) -> Iterator[Diagnostic]:
        """Diagnostics of the expressions of `fields`, whose path is `path`; `span` None: all iterations."""
        for name, expression in (fields.adaptive or {}).items():
            if expression is not None:
                yield from self._try(expression, (*path, "adaptive", name), horizon, span or horizon.all_iterations)

    def _try(
        self, expression: Expression, path: KeyPath, horizon: Horizon, span: IterationRange
    ) -> Iterator[Diagnostic]:
        key = (expression.text, span, horizon)
        if key not in self._tried:
            self._tried[key] = self._first_failure(expression, horizon, span)
        failure = self._tried[key]
        if failure is not None:
            names = [name for name in ("max_iter",) if name in expression.names]
            names += ["stop"] if expression.names & _RESULTS and not horizon.has_metric else []
            yield replace(_diagnostic(*failure, path, horizon), depends_on=horizon.sources(*names))

    def _first_failure(
        self, expression: Expression, horizon: Horizon, span: IterationRange
    ) -> tuple[ExpressionError, int] | None:
        iterations = self._within_bound(span, expression.parts)
        if expression.names & _RESULTS and horizon.has_metric:
            iterations = [0] if 0 in span.within and 0 not in span.apart else []
        for iteration in iterations:
            try:
                expression.evaluate(EvaluationContext(iteration, horizon.max_iter).scope)
            except ExpressionError as error:  # noqa: PERF203 - the failing iteration is wanted
                return error, iteration
        return None

    def _within_bound(self, span: IterationRange, parts: int) -> Iterable[int]:
        """All iterations; if these are too many, the first and the last of them."""
        most, count = min(self._left // max(1, parts), MAX_OF_EACH), len(span.within)
        self._left -= min(count, most) * parts
        half = max(1, most // 2)
        tried = (span.within,) if count <= most else (span.within[:half], span.within[-half:])
        return (iteration for iteration in chain(*tried) if iteration not in span.apart)


def _diagnostic(error: ExpressionError, iteration: int, path: KeyPath, horizon: Horizon) -> Diagnostic:
    message, hint = error.message, error.hint
    if "no value yet" in message and not horizon.has_metric:
        message, hint = "`metric` and `best` never have a value here: there is no 'stop'", "add a 'stop'"
    elif "i=" not in message:
        message = f"at i={iteration}: {message}"
        hint = hint or _way_out(error.message, iteration)
    return Diagnostic("bad-expression", message, path, hint, inside=(error.offset, error.length))


def _way_out(message: str, iteration: int) -> str | None:
    if "zero" in message:
        return f"write … if i != {iteration} else …"
    if "too large" in message or "infinite" in message:
        return f"limit what grows, for example with min(i, {max(iteration - 1, 0)})"
    return "keep it in range, with min(…), max(…) or clip(x, lo, hi)"


def _counting(schedule: Iterations, key: int, horizon: Horizon) -> IterationRange:
    """The iterations in which the entry under `key` applies."""
    upto = horizon.max_iter or UNBOUNDED_ITERATIONS
    keys = sorted(k for k in schedule.at if k >= 0)
    if not schedule.hold:
        return IterationRange(range(key, key + 1)) if key >= 0 else IterationRange(range(upto), frozenset(keys))
    if key < 0:
        return IterationRange(range(keys[0] if keys else upto))
    return IterationRange(range(key, next((later for later in keys if later > key), max(upto, key + 1))))
