"""Checks schedules: keys that never apply, and expressions that fail in one of their iterations."""

from __future__ import annotations

from dataclasses import field, replace
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING, TypeAlias

from rose_cli.check.origin import depending
from rose_cli.check.outcomes import FITS, evaluated, fault_of_kind
from rose_cli.config.expression.compiler import Expression
from rose_cli.config.expression.parser import ExpressionError
from rose_cli.config.iterations import REST, first_of, sorted_spans, spans_of
from rose_cli.config.rules import MAX_COUNT
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Diagnostic, KeyPath, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rose_cli.config.iterations import IterationName, IterationSpan
    from rose_cli.config.models import Iterations, TaskFields


def check_keys(schedule: Iterations, path: KeyPath, horizon: Horizon) -> Iterator[Diagnostic]:
    spans, max_iter = sorted_spans(schedule.at), horizon.max_iter
    late = {key: span for span, key in spans if max_iter is not None and max(span.first, span.last or 0) >= max_iter}
    for key, span in late.items():
        # people shorten runs to try them: keys of later iterations do no harm
        message, hint = _late(key, span, max_iter or 0)
        late_key = Diagnostic("iteration-never-comes", message, (*path, key), hint, Severity.WARNING, at_key=True)
        yield replace(late_key, depends_on=horizon.sources("max_iter"))
    yield from depending(_check_rest(schedule, path, [span for span, _ in spans], max_iter), path)
    if not schedule.hold and not late and not schedule.has_ranges:
        keys = [span.first for span, _ in spans]
        yield from depending(_check_starts(path, keys, others=REST in schedule.at), path)


def _late(key: IterationName, span: IterationSpan, max_iter: int) -> tuple[str, str]:
    """Message and hint for a key whose `span` goes beyond the last iteration."""
    start, last = max(span.first, max_iter), max_iter - 1
    is_one = span.last in (None, start)
    which = f"iteration {start}" if is_one else f"iterations {start} to {span.last}"
    which += f" of '{key}'" if isinstance(key, str) else ""
    message = f"{which} {'is' if is_one else 'are'} never reached: with max_iter {max_iter} the last one is {last}"
    if isinstance(key, str) and span.first < max_iter:
        shorter = f"{span.first}-{last}" if span.first < last else f"{last}"
        return (
            message,
            f"iterations count from 0; raise max_iter, or write {shorter}, or {span.first}+ for all from there on",
        )
    return message, "iterations count from 0; raise max_iter, or remove the key"


def _check_rest(
    schedule: Iterations, path: KeyPath, spans: Sequence[IterationSpan], max_iter: int | None
) -> Iterator[Diagnostic]:
    if REST not in schedule.at or not spans:
        return
    message = None
    if schedule.hold and spans[0].first == 0:
        message = "-1 is never used: with 'hold', the key 0 applies from the first iteration on"
    elif not schedule.hold and not _gaps(spans, max_iter or MAX_COUNT + 1):
        message = "-1 is never used: every iteration has its own key"
    if message:
        yield Diagnostic("unused-key", message, (*path, REST), "remove it", Severity.WARNING, at_key=True)


def _gaps(spans: Sequence[IterationSpan], upto: int) -> tuple[range, ...]:
    """The iterations below `upto` in none of the sorted spans."""
    found, start = [], 0
    for covered in (span.within(upto) for span in spans):
        found.append(range(start, covered.start))
        start = covered.stop
    return tuple(gap for gap in (*found, range(start, upto)) if gap)


def _check_starts(path: KeyPath, keys: Sequence[int], *, others: bool) -> Iterator[Diagnostic]:
    """With a key for the first iteration, or none for the others, keys far apart might be meant as starts."""
    apart = all(later - earlier > 1 for earlier, later in pairwise(keys))
    if len(keys) < 2 or not apart or (others and keys[0] != 0):
        return
    rest = "what -1 sets" if others else "the task as declared"
    message = f"each key is a single iteration: iteration {keys[0] + 1} uses {rest}, not what {keys[0]} sets"
    ranges = [f"{first}-{after - 1}" for first, after in pairwise(keys[:3])]
    ranges.append(f"{keys[-1]}+" if len(keys) <= 3 else "…")
    hint = f"if each should apply from there on, write ranges ({', '.join(ranges)}), or 'hold: true' beside the keys"
    yield Diagnostic("keys-look-like-starts", message, path, hint, Severity.WARNING, at_key=True)


MAX_PARTS = 1_000_000
"""How many operations and values are evaluated for a whole campaign, about a quarter of a second."""

MAX_OF_EACH = 10_000

MAX_WITH_METRIC = 40
"""In how many iterations an expression is tried that uses a metric value."""

UNBOUNDED_ITERATIONS = 1_000
"""How many iterations are probed if there is no max_iter."""

RESULTS = frozenset({"metric", "previous", "best", "since_best", "history"})

_SAMPLES = (0.5, 2.0, 0.0, -1.0, 1e-6, 100.0, 1e15, -1e15)
"""Values of a metric, and of the best one, that expressions are tried with. Only if all fail, there is an error."""


Applies: TypeAlias = tuple[range, ...]
"""The iterations in which an expression applies."""


@dataclass(frozen=True)
class Horizon:
    """How many iterations a learner can have. `max_iter` None: no limit.

    `has_metric`: whether it has a criterion, which gives `metric` and `best` their values from iteration 1 on.
    `is_once`: these are tasks of the campaign, which have no learner's metric.
    `parameters`: of the learner. `levels`: the paths to the campaign and to the learner, whose keys decide this.
    """

    max_iter: int | None
    has_metric: bool
    is_once: bool = field(default=False, kw_only=True)
    levels: tuple[KeyPath, ...] = field(default=(), compare=False)
    parameters: tuple[tuple[str, str | int | float | bool], ...] = ()

    def sources(self, *names: str) -> tuple[KeyPath, ...]:
        """The locations of these keys at every level."""
        return tuple((*level, name) for name in names for level in self.levels)

    @property
    def all_iterations(self) -> Applies:
        return (range(self.max_iter or UNBOUNDED_ITERATIONS),)


_Trial: TypeAlias = "tuple[str, Applies, Horizon, Expression | None, str | None]"


class ExpressionProbe:
    """Evaluates each expression once for each iteration in which it applies."""

    def __init__(self) -> None:
        self._left = MAX_PARTS
        self._tried: dict[_Trial, tuple[ExpressionError, int] | None] = {}

    def probe_schedule(self, schedule: Iterations, path: KeyPath, horizon: Horizon) -> Iterator[Diagnostic]:
        for key, entry in schedule.at.items():
            if entry.adaptive:
                yield from self.probe_fields(entry, (*path, key), horizon, _applies(schedule, key, horizon))

    def probe_fields(
        self, fields: TaskFields, path: KeyPath, horizon: Horizon, span: Applies | None = None
    ) -> Iterator[Diagnostic]:
        """Diagnostics of the expressions of `fields`, whose path is `path`; `span` None: all iterations."""
        applies = horizon.all_iterations if span is None else span
        for name, expression in (fields.adaptive or {}).items():
            if expression is not None:
                yield from self._try(expression, (*path, "adaptive", name), horizon, applies, fields.when)
        if fields.when is not None:
            yield from self._try(fields.when, (*path, "when"), horizon, applies)
        for name in ("replicas", "value"):
            if isinstance(deciding := getattr(fields, name, None), Expression):
                yield from self._try(deciding, (*path, name), horizon, applies, fields.when)

    def _try(
        self, expression: Expression, path: KeyPath, horizon: Horizon, span: Applies, guard: Expression | None = None
    ) -> Iterator[Diagnostic]:
        """`guard`: the `when` of the task, without which nobody asks for the value."""
        role = str(path[-1]) if path[-1] in FITS and path[-2] != "adaptive" else None
        if expression.reads:  # nobody knows before the run what is reported
            if role is not None and (unfit := fault_of_kind(role, expression)) is not None:
                yield replace(unfit, path=path)
            return
        key = (expression.text, span, horizon, guard, role)
        if key not in self._tried:
            self._tried[key] = self._first_failure(expression, horizon, span, guard, role)
        failure = self._tried[key]
        if failure is not None:
            names = [name for name in ("max_iter",) if name in expression.names]
            is_missing = expression.names & RESULTS and not horizon.has_metric and not horizon.is_once
            names += ["stop"] if is_missing else []
            found = _diagnostic(*failure, path, horizon, is_constant=not expression.names)
            yield replace(found, depends_on=horizon.sources(*names))

    def _first_failure(
        self, expression: Expression, horizon: Horizon, span: Applies, guard: Expression | None, role: str | None
    ) -> tuple[ExpressionError, int] | None:
        names = expression.names | (guard.names if guard is not None else frozenset())
        uses_metric = bool(names & RESULTS) and horizon.has_metric
        known: dict[str, object] = {**dict(horizon.parameters), "max_iter": horizon.max_iter}
        for iteration in self._within_bound(span, expression.parts, MAX_WITH_METRIC if uses_metric else MAX_OF_EACH):
            known["i"] = iteration
            scopes = _scopes(iteration, known) if uses_metric else (known,)
            error = _common_error(expression, (scope for scope in scopes if _may_run(guard, scope)), role)
            if error is not None:
                return error, iteration
        return None

    def _within_bound(self, span: Applies, parts: int, most_of_each: int) -> Iterable[int]:
        """All iterations; if these are too many, the first and the last of them."""
        most, count = min(self._left // max(1, parts), most_of_each), sum(len(each) for each in span)
        self._left -= min(count, most) * parts
        if count <= most:
            return chain(*span)
        half = max(1, most // 2)
        last = islice(chain(*(reversed(each) for each in reversed(span))), half)
        return (*islice(chain(*span), half), *reversed([*last]))


class Conditions:
    """Finds each `when` that is false in every iteration of every learner, where only the iteration decides."""

    def __init__(self) -> None:
        self._never: dict[KeyPath, Diagnostic | None] = {}

    def note(self, fields: TaskFields, path: KeyPath, horizon: Horizon, span: Applies | None = None) -> None:
        """`span` None: all iterations of the learner."""
        condition, at = fields.when, (*path, "when")
        if condition is None or condition.reads or "i" not in condition.names or condition.names - {"i", "max_iter"}:
            return
        if path[0] == "smoke" or self._never.get(at, ()) is None:
            return
        applies = horizon.all_iterations if span is None else span
        iterations = list(islice(chain(*applies), UNBOUNDED_ITERATIONS + 1))
        is_open = len(iterations) > UNBOUNDED_ITERATIONS or (horizon.max_iter is None and len(iterations) > 1)
        if is_open or any(_holds(condition, i, horizon) for i in iterations):
            self._never[at] = None
            return
        is_once = iterations == [0] and (horizon.max_iter != 1 or horizon.is_once)
        what = "it could run only in iteration 0" if is_once else f"the last iteration is {(horizon.max_iter or 1) - 1}"
        message = f"`{condition.text}` never holds: {what}"
        hint = f"change it{'' if is_once else ', raise max_iter,'} or remove the task"
        self._never[at] = Diagnostic("never-runs", message, at, hint, Severity.WARNING,
                                     depends_on=horizon.sources("max_iter"))  # fmt: skip

    def never_true(self) -> Iterator[Diagnostic]:
        yield from (each for each in self._never.values() if each is not None)


def _holds(condition: Expression, iteration: int, horizon: Horizon) -> bool:
    """An error is reported elsewhere."""
    try:
        return bool(condition.evaluate({"i": iteration, "max_iter": horizon.max_iter}))
    except ExpressionError:
        return True


def _scopes(iteration: int, known: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """What an expression may find in an iteration: before the first check nothing, later one of many values."""
    if iteration == 0:
        yield {**known, "improved": ""}
    else:
        for value in _SAMPLES:
            before = value if iteration > 1 else None
            history = (value,) * min(iteration, MAX_WITH_METRIC)
            yield {
                **known,
                "metric": value,
                "previous": before,
                "best": value,
                "since_best": 1,
                "improved": "10",
                "history": history,
            }


def _may_run(guard: Expression | None, scope: Mapping[str, object]) -> bool:
    try:
        return guard is None or bool(guard.evaluate(scope))
    except ExpressionError:
        return bool(guard and not guard.reads and scope.get("i"))


def _common_error(
    expression: Expression, scopes: Iterable[Mapping[str, object]], role: str | None
) -> ExpressionError | None:
    """The error in the first scope, if there is one in all of them."""
    first = None
    for scope in scopes:
        try:
            evaluated(expression, scope, role)
        except ExpressionError as error:  # noqa: PERF203 - the first success is wanted
            first = first or error
        else:
            return None
    return first


def _diagnostic(
    error: ExpressionError, iteration: int, path: KeyPath, horizon: Horizon, *, is_constant: bool
) -> Diagnostic:
    message, hint = error.message, error.hint
    if "no value yet" in message and not horizon.has_metric and "`" in message:
        why, hint = "there is no 'stop'", "add a 'stop'"
        if horizon.is_once:
            why, hint = (
                "a task of 'setup' or 'finish' belongs to no learner",
                "put the task into 'after' of the learners",
            )
        message = f"`metric` and `best` never have a value here: {why}"
    elif "i=" not in message and is_constant:
        hint = hint or "write another value"
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


def _applies(schedule: Iterations, key: IterationName, horizon: Horizon) -> Applies:
    """The iterations in which the entry under `key` applies."""
    upto = horizon.max_iter or UNBOUNDED_ITERATIONS
    spans = [span for span, _ in sorted_spans(schedule.at)]
    if not schedule.hold:
        own = (span.within(max(upto, span.first + 1)) for span in spans_of(key))
        return _gaps(spans, upto) if key == REST else tuple(own)
    starts = [span.first for span in spans]
    if key == REST:
        return (range(starts[0] if starts else upto),)
    first = first_of(key)
    return (range(first, next((later for later in starts if later > first), max(upto, first + 1))),)
