"""The edits between two plans of a run, and the finished steps that each of them would falsify.

A run may get another plan if everything that its journal records as finished would still be what the new plan
describes: the same program, arguments and option values in that iteration, the same files, seed and metric. What
decides only how a step runs (retries, time, cores, environment) may always change, and so may what decides when a
learner stops: that decision is taken again, over the history in the journal.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields, is_dataclass, replace
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from rose_cli.journal.iterations import FinishedIterations, KeptIterations
from rose_cli.journal.state import LearnerState
from rose_cli.loop.criterion import evaluation_context
from rose_cli.loop.replicas import decided_step
from rose_cli.loop.reports import Reports, planned_count, replica_names
from rose_cli.plan.model import CRITERION, SHARED_INDEX, Adaptive, LearnerPlan
from rose_cli.plan.overview import contains
from rose_cli.plan.render import EvaluationContext, NoValueError, option_value
from rose_cli.util.dataclass import dataclass
from rose_cli.util.shared import SHARED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rose_cli.journal.iterations import IterationState
    from rose_cli.plan.model import CommandPlan, CriterionPlan, OptionValue, Plan, StepPlan
    from rose_cli.plan.overview import Ranges

Key: TypeAlias = tuple[str, ...]
"""What an edit changes, by the keys of the campaign file: ("train", "options", "--lr"), ("stop", "threshold")."""

ALWAYS: Ranges = ((0, None),)

_FREE = frozenset(
    ("environment", "pre_exec", "timeout_seconds", "retries", "retry_pause_seconds", "on_failure", "ranks", "resources",
     "snapshot", "preload", "order")
)  # fmt: skip
"""Fields of a command that decide how it runs, but not what it computes; and the order of its options."""


@dataclass(frozen=True)
class Edit:
    """An edit, its effect and its victims.

    `old`, `new`: values of the plan, None if there was or is none. `ranges`: the iterations that it concerns in these
    `learners` and `tasks`; `since`: the first one that each learner has not finished. `falsified`: the finished
    iterations of each learner that were not run as the new plan says. `kind`: of learners, added, removed or renamed;
    else "changed".
    """

    key: Key
    old: object
    new: object
    learners: tuple[str, ...] = ()
    ranges: Ranges = ALWAYS
    since: Mapping[str, int] | None = None
    falsified: Mapping[str, tuple[int, ...]] | None = None
    kind: str = "changed"
    tasks: tuple[str, ...] = ()

    @property
    def is_refused(self) -> bool:
        return bool(self.falsified) or self.kind in ("removed", "renamed")


@dataclass(frozen=True)
class Comparison:
    """What a resume would change. `plan` is the new plan, in which known learners keep their index.

    `refiled`: learners that have finished nothing and get a new workspace with other files; `bounds`: those with
    another `max_iter`; `forgotten`: unfinished steps that start over, as learner/task/replica. `has_other_finish`:
    whether the tasks at the end of the campaign would compute something else, or there are others.
    """

    plan: Plan
    edits: tuple[Edit, ...]
    added: tuple[str, ...] = ()
    refiled: tuple[str, ...] = ()
    bounds: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()
    has_other_finish: bool = False

    @property
    def refused(self) -> tuple[Edit, ...]:
        return tuple(edit for edit in self.edits if edit.is_refused)


def compare(
    old: Plan,
    new: Plan,
    states: Mapping[str, LearnerState],
    sent_back: Mapping[str, int],
    under_way: Mapping[str, int] = MappingProxyType({}),
) -> Comparison:
    """Compare the plan of a run with a new one. Learners in `sent_back` rerun from that iteration.

    Those in `under_way` are in that iteration at this moment, and finish it as the old plan says.
    """
    new = _with_known_indices(old, new)
    before, after = ({learner.name: learner for learner in plan.learners} for plan in (old, new))
    found: dict[object, _Found] = {}
    steps = _StepDifferences()
    pairs: list[_Pair] = []
    has_shared = SHARED in states or old.shared is not None or new.shared is not None
    setup = _setup(new, states)
    of_campaign = {SHARED: (_shared(old), _shared(new))} if has_shared else {}
    for name, (was, now) in {**of_campaign, **{name: (before[name], after.get(name)) for name in before}}.items():
        if now is not None:
            history = _History.of(states.get(name) or LearnerState(name), sent_back.get(name), was, under_way.get(name))
            pair = _Pair(was, now, history, steps, setup if name != SHARED else None)
            pairs.append(pair)
            for each in pair.differences():
                found.setdefault(each.group, _Found(each)).add(name, pair.history.done, each.falsified)
    own = _merged(each.edit() for each in found.values())
    edits = [*_campaign_edits(old, new), *_learner_edits(before, after), *own]
    return Comparison(
        new,
        tuple(edits),
        tuple(name for name in after if name not in before),
        tuple(pair.name for pair in pairs if pair.needs_new_files),
        tuple(pair.name for pair in pairs if pair.old.max_iter != pair.new.max_iter),
        tuple(f"{pair.name}/{task}/{replica}" for pair in pairs for task, replica in pair.forgotten()),
        SHARED in states and _is_other_finish(_shared(old), _shared(new), states[SHARED]),
    )


def _is_other_finish(old: LearnerPlan, new: LearnerPlan, state: LearnerState) -> bool:
    """Whether the next finish is another one than the latest: of one that is not complete, what has finished."""
    before, after = ([step.task for step in plan.after] for plan in (old, new))
    last, following, current = max(1, len(state.iterations) - 1), len(state.iterations), state.current
    if current is not None and state.iterations:
        last = current.number
        before = [task for task in before if task in current.finished_tasks]
        after = after[: len(before)]
    if before != after:
        return True
    theirs, own = ({step.task: step for step in plan.after} for plan in (old, new))
    return any(
        field not in _FREE
        for task in before
        for field, _ in _between_commands(theirs[task].command(last), own[task].command(following))
    )


def _names(command: CommandPlan) -> tuple[str, ...]:
    """Those of its replicas, or their numbers."""
    return command.replica_names or tuple(map(str, range(command.replicas)))


def _setup(plan: Plan, states: Mapping[str, LearnerState]) -> Reports | None:
    """The reports of the setup, which every learner sees."""
    state = states.get(SHARED)
    return None if state is None or plan.shared is None else Reports(plan.shared, state.iterations, 1, None)


def _shared(plan: Plan) -> LearnerPlan:
    """What runs once per campaign, even if it is nothing."""
    return plan.shared or LearnerPlan(SHARED, SHARED_INDEX, 0, None, (), None, ())


def _with_known_indices(old: Plan, new: Plan) -> Plan:
    """A learner keeps its index, which its tasks see, even if others were added before it in the file."""
    known = {learner.name: learner.index for learner in old.learners}
    free = 1 + max(known.values(), default=-1)
    learners = []
    for learner in new.learners:
        if learner.name not in known:
            known[learner.name] = free
            free += 1
        index = known[learner.name]
        learners.append(learner if learner.index == index else replace(learner, index=index))
    return replace(new, learners=tuple(learners))


# --- what a learner has finished -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _History:
    """The iterations of a learner that are kept, and the current one, unless it is rerun from the start.

    `going`: the tasks of one that it is in at this moment, all of which count as finished.
    """

    iterations: Sequence[IterationState]
    current: IterationState | None
    bound: int | None
    going: frozenset[str] | None = None

    @classmethod
    def of(cls, learner: LearnerState, back: int | None, plan: LearnerPlan, under_way: int | None) -> _History:
        if back is not None:
            return cls(learner.iterations[:back], None, learner.max_iter)
        is_going = under_way == len(learner.iterations)
        going = frozenset(step.task for step in plan.all_steps) if is_going else None
        return cls(learner.iterations, learner.current, learner.max_iter, going)

    @property
    def done(self) -> int:
        return len(self.iterations)

    @property
    def values(self) -> list[float | None]:
        return [iteration.value for iteration in self.iterations]

    def values_of(self, metric: str) -> list[float | None]:
        """The values of a further criterion."""
        return [iteration.metrics.get(metric) for iteration in self.iterations]

    @cached_property
    def succeeded(self) -> list[frozenset[str]]:
        """By iteration, the tasks with a replica that succeeded, so without those that were skipped."""
        if self.going is not None:
            return [*map(_succeeded, self.iterations), self.going]
        return [_succeeded(each) for each in chain(self.iterations, [self.current] if self.current else [])]

    def ran(self, task: str) -> list[int]:
        return [number for number, tasks in enumerate(self.succeeded) if task in tasks]

    @property
    def begun(self) -> tuple[int, ...]:
        """The iterations in which a task has finished."""
        return tuple(number for number, tasks in enumerate(self.succeeded) if tasks)

    @property
    def is_empty(self) -> bool:
        return not any(self.succeeded)


def _succeeded(iteration: IterationState) -> frozenset[str]:
    return frozenset(
        task
        for (task, replica), step in iteration.steps.items()
        if step.finished and (task, replica, step.attempt) not in iteration.failed
    )


# --- one learner ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Difference:
    """A value that differs in these iterations, and the finished iterations that the new one falsifies."""

    key: Key
    old: object
    new: object
    ranges: Ranges = ALWAYS
    falsified: tuple[int, ...] = ()
    task: str | None = None

    @property
    def group(self) -> object:
        return self.key, repr(self.old), repr(self.new), self.ranges


class _Found:
    """The same difference in several learners."""

    def __init__(self, difference: _Difference) -> None:
        self._difference = difference
        self._since: dict[str, int] = {}
        self._falsified: dict[str, tuple[int, ...]] = {}

    def add(self, name: str, done: int, falsified: tuple[int, ...]) -> None:
        self._since[name] = done
        if falsified:
            self._falsified[name] = falsified

    def edit(self) -> Edit:
        each = self._difference
        tasks = (each.task,) if each.task else ()
        return Edit(
            each.key, each.old, each.new, tuple(self._since), each.ranges, self._since, self._falsified, tasks=tasks
        )


@dataclass(frozen=True)
class _Pair:
    """A learner in the old and in the new plan, with what it has finished. `setup`: the reports that it sees of it."""

    old: LearnerPlan
    new: LearnerPlan
    history: _History
    steps: _StepDifferences
    setup: Reports | None

    @property
    def name(self) -> str:
        return self.old.name

    @property
    def needs_new_files(self) -> bool:
        return _files(self.old) != _files(self.new) and self.history.is_empty

    def forgotten(self) -> Iterator[tuple[str, int]]:
        """Unfinished steps that the new plan lacks or decides anew, or that now begin with a snapshot."""
        current = self.history.current if self.history.going is None else None
        if current is None:
            return
        again = {task for task in current.decisions if self._is_decided_anew(task, current)}
        for (task, replica), state in current.steps.items():
            if not state.finished and (task in again or self._is_forgotten(task, replica, current)):
                yield task, replica
        yield from ((task, 0) for task in again if all(other != task for other, _ in current.steps))

    def _is_forgotten(self, task: str, replica: int, current: IterationState) -> bool:
        was, now = self._commands(task, current.number)
        starts_over = now is not None and now.snapshot and was is not None and not was.snapshot
        return now is None or replica >= planned_count(now, current, task) or starts_over

    def _is_decided_anew(self, task: str, current: IterationState) -> bool:
        """Whether by the new plan other replicas run of a step of which none has finished."""
        was, now = self._commands(task, current.number)
        if was is None or now is None or task in current.finished_tasks:
            return False
        before, after = ((of.when, of.replicas_from, of.replica_axes, of.parameters) for of in (was, now))
        if before == after:
            return False
        known = current.decisions[task]
        names = (known.replicas or _names(was)) if known.runs else ()
        step = next(step for step in self.new.all_steps if step.task == task)
        return (known.runs or self._may_still_run(task)) and self._would_run(step, current.number) != names

    def _commands(self, task: str, number: int) -> tuple[CommandPlan | None, CommandPlan | None]:
        """That of the old plan and that of the new one."""
        old, new = (
            next((step.command(number) for step in plan.all_steps if step.task == task), None)
            for plan in (self.old, self.new)
        )
        return old, new

    def differences(self) -> Iterator[_Difference]:
        if self.old.seed != self.new.seed:
            yield _Difference(("seed",), self.old.seed, self.new.seed, falsified=self.history.begun)
        if self.old.max_iter != self.new.max_iter:
            yield _Difference(("max_iter",), self.old.max_iter, self.new.max_iter)
        old, new = _files(self.old), _files(self.new)
        for target in {**old, **new}:
            if old.get(target) != new.get(target):
                yield _Difference(("files", target), old.get(target), new.get(target), falsified=self.history.begun)
        yield from self._tasks()
        theirs = {step.task: step for step in self.old.all_steps}
        for step in self.new.all_steps:
            if step.task in theirs:
                yield from self._step(theirs[step.task], step)
        yield from self._criteria()

    def _tasks(self) -> Iterator[_Difference]:
        """Tasks that were added, removed or put into another order."""
        old, new = ([step.task for step in plan.all_steps] for plan in (self.old, self.new))
        for task in old:
            if task not in new:
                yield _Difference(_place(task, self.new, self.old), task, None, falsified=tuple(self.history.ran(task)))
        for task in new:
            if task not in old:
                yield _Difference(_place(task, self.new, self.old), None, task, falsified=tuple(self._without(task)))
        kept, moved = [task for task in old if task in new], [task for task in new if task in old]
        if kept != moved:
            yield _Difference(("tasks",), tuple(kept), tuple(moved), falsified=tuple(self._out_of_order()))

    def _without(self, task: str) -> Iterator[int]:
        """The iterations that a new task should have been in, up to the current one. The last one may still come."""
        if any(step.task == task for step in self.new.after):
            return
        for number in range(self.history.done + bool(self.history.current)):
            order = [step.task for step in self.new.steps_in(number)]
            if task not in order:
                continue
            step = next(step for step in self.new.all_steps if step.task == task)
            is_missed = number < self.history.done and self._would_run(step, number) != ()
            if is_missed or (number == self.history.done and not self._may_still_run(task)):
                yield number

    def _may_still_run(self, task: str) -> bool:
        """Whether no task that comes after it has finished in the current iteration."""
        if self.history.going is not None:
            return False
        order = [step.task for step in self.new.steps_in(self.history.done, is_last=True)]
        done = self.history.succeeded[self.history.done] if self.history.current else ()
        return not any(other in done for other in order[order.index(task) + 1 :])

    def _out_of_order(self) -> Iterator[int]:
        for number, done in enumerate(self.history.succeeded):
            order = [step.task for step in self.new.steps_in(number)]
            if number < self.history.done or self.history.going is not None:
                if len(done) > 1:
                    yield number
            elif set(order[: len(done)]) != done:
                yield number

    def _step(self, old: StepPlan, new: StepPlan) -> Iterator[_Difference]:
        place = _place(old.task, self.new, self.old)
        for field, key, before, after, ranges in self.steps.between(old, new):
            falsified: tuple[int, ...] = ()
            is_of_finish = self.new.is_shared and new in self.new.after
            if field in ("when", "replicas") and not is_of_finish:
                falsified = tuple(n for n in self._decided_before(old.task, ranges) if self._is_other(old, new, n))
            elif field not in _FREE and not is_of_finish:
                ran = (n for n in self.history.ran(old.task) if contains(ranges, n))
                is_same = field == "options" and self._has_same_value
                falsified = tuple(n for n in ran if not (is_same and is_same(old, new, key[-1], n)))
                if field == "parameters":
                    falsified = tuple(sorted({*falsified, *self._left_out_wrongly(old, new, ranges)}))
            yield _Difference((*place, *key), before, after, ranges, falsified, old.task)

    def _decided_before(self, task: str, ranges: Ranges) -> Iterator[int]:
        """The iterations in which it has run, or has been left out."""
        ran = {*self.history.ran(task)}
        for number in range(self.history.done + 1):
            if contains(ranges, number) and (number in ran or self._was_left_out(task, number)):
                yield number

    def _left_out_wrongly(self, old: StepPlan, new: StepPlan, ranges: Ranges) -> Iterator[int]:
        """The iterations in which it has been left out, and would have run with other parameters."""
        for number in self._decided_before(old.task, ranges):
            is_decided = new.command(number).is_decided and self._was_left_out(old.task, number)
            if is_decided and self._is_other(old, new, number):
                yield number

    def _was_left_out(self, task: str, number: int) -> bool:
        """Whether it has not run in an iteration, and cannot run in it any more."""
        if number < self.history.done:
            return self._happened(task, number) == ()
        current = self.history.current
        decided = current.decisions.get(task) if current is not None else None
        return decided is not None and not decided.runs and not self._may_still_run(task)

    def _is_other(self, old: StepPlan, new: StepPlan, number: int) -> bool:
        """Whether by the new plan other replicas would have run, or none."""
        names = self._happened(old.task, number)
        if names and (called := replica_names(self._entry(number), old)) is not None:
            names = called
        return self._would_run(new, number) != names

    def _happened(self, task: str, number: int) -> tuple[str, ...]:
        """The numbers of the replicas that ran in an iteration."""
        steps = self._entry(number).steps
        return tuple(map(str, range(sum(of == task for of, _ in steps))))

    def _entry(self, number: int) -> IterationState:
        current = self.history.current
        return self.history.iterations[number] if number < self.history.done or current is None else current

    def _would_run(self, step: StepPlan, number: int) -> tuple[str, ...] | None:
        """The replicas that the new plan has run in an iteration, by name; None if it cannot decide that."""
        command = step.command(number)
        try:
            decided = decided_step(self.name, self._seen(self.new, step.task, number), step.task, command)
        except NoValueError:
            return None
        if not decided.runs:
            return ()
        return decided.replicas or _names(command)

    def _seen(self, plan: LearnerPlan, task: str, number: int) -> EvaluationContext:
        """What the step could see in an iteration."""
        iterations = self.history.iterations
        known = iterations if isinstance(iterations, FinishedIterations) else KeptIterations(iterations)
        entry = self._entry(number) if number < self.history.done or self.history.current is not None else None
        reports = Reports(plan, known, number, entry, task, self.setup)
        return replace(self._context(plan, number), reports=reports, parameters=plan.values)

    def _has_same_value(self, old: StepPlan, new: StepPlan, option: str, iteration: int) -> bool:
        """Whether the option had the value that the new plan gives it, as the journal has it or as it was planned."""
        value = self._value(self.new, new, option, iteration)
        if _is_same(value, self._value(self.old, old, option, iteration)):
            return True
        entries = self.history.iterations[iteration] if iteration < self.history.done else self.history.current
        return entries is not None and _is_same(value, entries.options.get(new.task, {}).get(option, _UNKNOWN))

    def _value(self, plan: LearnerPlan, step: StepPlan, option: str, iteration: int) -> object:
        """What a plan gives an option in a finished iteration; only for an expression is the history read."""
        value = step.command(iteration).options.get(option)
        is_constant = not isinstance(value, Adaptive)
        return _value_of(
            value, EvaluationContext(iteration, None) if is_constant else self._seen(plan, step.task, iteration)
        )

    def _context(self, plan: LearnerPlan, iteration: int) -> EvaluationContext:
        """As in the run, with the same `max_iter` for both plans: what finished with another one stays."""
        values = self.history.values[:iteration]
        bound = self.history.bound if self.history.bound is not None else self.old.max_iter
        return evaluation_context(plan.criterion, values, bound, self._checks(plan, values))

    def _checks(self, plan: LearnerPlan, values: Sequence[float | None]) -> Sequence[float | None]:
        """The values of the iterations in which the criterion was checked."""
        if plan.criterion is None or None not in values:
            return values
        ran = (any(task == plan.criterion.task for task, _ in each.steps) for each in self.history.iterations)
        return [value for value, has_run in zip(values, ran, strict=False) if value is not None or has_run]

    def _criteria(self) -> Iterator[_Difference]:
        """The first criterion, which ranks learners, is compared with the first, further ones by their metrics."""
        old, new = self.old, self.new
        several = bool(old.more_criteria or new.more_criteria)
        if old.criterion is not None and new.criterion is not None:
            place: Key = ("stop", new.criterion.metric) if several else ("stop",)
            yield from self._criterion(old.criterion, new.criterion, place, self.history.values, self._other_best)
        elif (only := old.criterion or new.criterion) is not None and only.step is None:  # a program's step says it
            old_metric, new_metric = (each.criterion and each.criterion.metric for each in (old, new))
            yield _Difference(("stop", only.metric), old_metric, new_metric, ())
        before, after = ({each.metric: each for each in plan.more_criteria} for plan in (old, new))
        for metric in {**before, **after}:
            was, now = before.get(metric), after.get(metric)
            if was is not None and now is not None:
                yield from self._criterion(was, now, ("stop", metric), self.history.values_of(metric))
            elif any(each is not None and each.step is None for each in (was, now)):
                yield _Difference(("stop", metric), was and metric, now and metric, ())
        if old.criteria and new.criteria and several and old.stop_rule != new.stop_rule:
            yield _Difference(("stop", "rule"), old.stop_rule, new.stop_rule, ())
        for was in old.more_criteria:
            now = new.criterion_of(was.task or "")
            if now is not None and now.metric != was.metric:
                ran = tuple(self.history.ran(was.task or ""))
                yield _Difference(("stop", now.metric, "metric"), was.metric, now.metric, (), ran)

    def _criterion(
        self,
        old: CriterionPlan,
        new: CriterionPlan,
        place: Key,
        values: Sequence[float | None],
        other_best: Callable[[], Iterable[int]] = tuple,
    ) -> Iterator[_Difference]:
        measured = tuple(n for n, value in enumerate(values) if value is not None)
        measured = tuple(sorted({*measured, *self.history.ran(old.task or "")}))
        changed = [f.name for f in fields(old) if getattr(old, f.name) != getattr(new, f.name) and f.name != "step"]
        if {"lowest", "highest"} & set(changed):
            outside = tuple(n for n, value in enumerate(values) if not _is_within(new, value))
            yield _Difference((*place, "range"), (old.lowest, old.highest), (new.lowest, new.highest), (), outside)
        if _min_delta(old) != _min_delta(new):
            yield _Difference((*place, "min_delta"), _min_delta(old), _min_delta(new), (), ())
        for name in changed:
            if name not in ("lowest", "highest", "min_delta", "min_delta_share"):
                falsified = measured if name in ("metric", "reading", "value") else ()
                if name in ("operator", "threshold"):
                    falsified = tuple(other_best())
                key = (*place, "read" if name == "reading" else name)
                yield _Difference(key, getattr(old, name), getattr(new, name), (), falsified)

    def _other_best(self) -> Iterator[int]:
        """Finished iterations in which an expression got the best value, and would now get another one."""
        was, now = self.old.criterion, self.new.criterion
        if was is None or now is None or was.operator[0] == now.operator[0] != "=":
            return  # the threshold decides which value is the best one only for ==
        for number in range(len(self.history.succeeded)):
            contexts = self._context(self.old, number), self._context(self.new, number)
            if contexts[0] == contexts[1]:
                continue
            for step in self.new.all_steps:
                if step.task in self.history.succeeded[number] and any(
                    isinstance(value, Adaptive) and not _is_same(*(_value_of(value, each) for each in contexts))
                    for value in step.command(number).options.values()
                ):
                    yield number
                    break


def _place(task: str, *plans: LearnerPlan) -> Key:
    """Where a task is in the file; of a further criterion, its metric stands for its place in a list."""
    if task == CRITERION:
        return ("stop",)
    criterion = next((found for plan in plans if (found := plan.criterion_of(task)) is not None), None)
    return (task,) if criterion is None else ("stop", criterion.metric)


def _files(learner: LearnerPlan) -> dict[str, tuple[str, bool]]:
    return {file.target: (file.source, file.copied) for file in learner.files}


def _min_delta(criterion: CriterionPlan) -> float | str:
    """As it is written in a campaign file."""
    return f"{criterion.min_delta_share * 100:g}%" if criterion.min_delta_share else criterion.min_delta


def _is_within(criterion: CriterionPlan, value: float | None) -> bool:
    lowest, highest = criterion.lowest, criterion.highest
    return value is None or not ((lowest is not None and value < lowest) or (highest is not None and value > highest))


_NOTHING, _UNKNOWN = object(), object()


def _value_of(value: OptionValue | None, context: EvaluationContext) -> object:
    if value is None:
        return _NOTHING
    try:
        return option_value(value, context)
    except NoValueError:
        return None


def _is_same(one: object, other: object) -> bool:
    """Whether a program gets the same: 1 is neither True nor 1.0."""
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return one is other or (type(one) is type(other) and (one == other or (one != one and other != other)))  # noqa: PLR0124 - nan


def _merged(edits: Iterable[Edit]) -> list[Edit]:
    """One edit for a setting that several tasks inherit from the campaign or the learner."""
    found: dict[object, Edit] = {}
    for edit in edits:
        is_inherited = len(edit.key) > 1 and edit.key[1] in _INHERITED and bool(edit.tasks)
        group = (edit.key[is_inherited:], repr(edit.old), repr(edit.new), edit.learners, edit.ranges)
        other = found.get(group)
        if other is None:
            found[group] = edit
        else:
            found[group] = replace(other, key=edit.key[1:], tasks=(*other.tasks, *edit.tasks))
    return list(found.values())


_INHERITED = frozenset(("parameters", "env", "pre_exec", "timeout", "retries", "retry pause", "on_failure", "preload"))


# --- steps ---------------------------------------------------------------------------------------------------------


_StepDifference: TypeAlias = "tuple[str, Key, object, object, Ranges]"
"""Field of the command, key in the file, old and new value, iterations."""


class _StepDifferences:
    """Differences between steps; thousands of learners share theirs."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[object, list[_StepDifference]]] = {}

    def between(self, old: StepPlan, new: StepPlan) -> list[_StepDifference]:
        key = id(old), id(new)
        if key not in self._known:
            self._known[key] = ((old, new), list(_between(old, new)))
        return self._known[key][1]


def _between(old: StepPlan, new: StepPlan) -> Iterator[_StepDifference]:
    keys = {first for key in (*old.at, *new.at) for first in (key, key + 1)}
    bounds = sorted({0, *keys})
    found: dict[tuple[str, Key], list[tuple[object, object, int, int | None]]] = defaultdict(list)
    for first, end in zip(bounds, [*bounds[1:], None], strict=True):
        for place, (before, after) in _between_commands(old.command(first), new.command(first)).items():
            pieces = found[place]
            if pieces and pieces[-1][3] == first and _is_same(pieces[-1][:2], (before, after)):
                first_of_all = pieces.pop()[2]
                pieces.append((before, after, first_of_all, end))
            else:
                pieces.append((before, after, first, end))
    for (field, key), pieces in found.items():
        grouped: dict[str, list[tuple[object, object, int, int | None]]] = defaultdict(list)
        for piece in pieces:
            grouped[repr(piece[:2])].append(piece)
        for same in grouped.values():
            yield (
                field,
                key,
                same[0][0],
                same[0][1],
                tuple((first, None if end is None else end - 1) for _, _, first, end in same),
            )


def _between_commands(old: CommandPlan, new: CommandPlan) -> dict[tuple[str, Key], tuple[object, object]]:
    one, other = _parts(old), _parts(new)
    pairs = ((old, new), (new, old))
    orders = tuple(tuple(name for name in before.options if name in after.options) for before, after in pairs)
    if orders[0] != orders[1]:
        one["order", ("options",)], other["order", ("options",)] = orders
    return {
        place: (one.get(place), other.get(place))
        for place in {**one, **other}
        if not _is_same(one.get(place), other.get(place))
    }


_ELSEWHERE = frozenset(("words", "beside", "function", "replicas", "replica_axes", "replicas_from"))


def _parts(command: CommandPlan) -> dict[tuple[str, Key], object]:
    """The values of a command by field and by their keys in the file."""
    words: object = command.called if command.function else command.words
    found: dict[tuple[str, Key], object] = {("words", ("function" if command.function else "executable",)): words}
    found["replicas", ("replicas",)] = command.replicas_text
    for name in (f.name for f in fields(command) if f.name not in _ELSEWHERE):
        value = getattr(command, name)
        if name in ("options", "environment", "parameters"):
            key = "env" if name == "environment" else name
            found.update({(name, (key, entry)): each for entry, each in value.items()})
        elif name == "resources":
            ranks = max(1, command.ranks)
            per_rank = {"cores_per_rank": value.cores, "gpus_per_rank": value.gpus, "mem_per_rank": value.memory_mb}
            found.update({(name, (key,)): amount // ranks for key, amount in per_rank.items()})
        else:
            found[name, (_KEYS.get(name, name),)] = value
    return found


_KEYS = {"timeout_seconds": "timeout", "retry_pause_seconds": "retry pause"}


# --- the campaign --------------------------------------------------------------------------------------------------


_CAMPAIGN_KEYS: dict[str, Key] = {
    "wall_time_seconds": ("wall_time",),
    "output_bytes": ("output",),
    "workspace_files": ("files",),
    "workspace_bytes": ("workspace",),
    "grace_seconds": ("grace",),
    "runtime_minutes": ("runtime",),
    "pilot": (),
    "campaign": ("name",),
    "stop_after_converged": ("stop_campaign", "after_converged"),
}


def _campaign_edits(old: Plan, new: Plan) -> Iterator[Edit]:
    """What applies to the whole campaign; none of it decides a result."""
    one, other = dict(_flat(old)), dict(_flat(new))
    for key in {**one, **other}:
        if not _is_same(one.get(key), other.get(key)):
            yield Edit(key, one.get(key), other.get(key))


def _flat(value: Any, key: Key = ()) -> Iterator[tuple[Key, object]]:  # noqa: ANN401 - a part of a plan
    for f in fields(value):
        if f.name in ("learners", "shared", "campaign_file", "campaign_dir", "origin", "lineage"):
            continue
        part, inner = getattr(value, f.name), (*key, *_CAMPAIGN_KEYS.get(f.name, (f.name,)))
        if f.name == "notify":
            yield inner, part
        elif f.name == "track":
            yield from (((*inner, tracker.name), tracker) for tracker in part)
        elif is_dataclass(part):
            yield from _flat(part, inner)
        else:
            yield inner, part


def _learner_edits(before: Mapping[str, LearnerPlan], after: Mapping[str, LearnerPlan]) -> Iterator[Edit]:
    """Learners that were added, removed or renamed; a removed one may have another in its place."""
    added = [name for name in after if name not in before]
    in_place = dict(zip(before, after, strict=False)) if len(before) == len(after) else {}
    for name in (name for name in before if name not in after):
        other = next((each for each in added if _is_renamed(before[name], after[each])), None)
        if other is not None:
            added.remove(other)
            yield Edit(("learners",), name, other, (name,), kind="renamed")
        else:
            other = in_place.get(name)
            yield Edit(("learners",), name, other if other in added else None, (name,), kind="removed")
    for name in added:
        yield Edit(("learners",), None, name, (name,), kind="added")


def _is_renamed(old: LearnerPlan, new: LearnerPlan) -> bool:
    return replace(new, name=old.name, index=old.index, seed=old.seed) == old
