"""Checks what a sweep varies, each value once for all points, and whether `prune` can compare learners."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from rose_cli.check.arguments import ArgumentChecker, calls_function, names_of, same_option
from rose_cli.check.origin import Layer, declaration
from rose_cli.config.errors import expected
from rose_cli.config.models import PLAIN_LEARNER, Iterations, Override
from rose_cli.config.sweep import SAMPLED, Range
from rose_cli.config.validation import faults_in
from rose_cli.plan.compile import Inherited, merge
from rose_cli.plan.sweep import OF_A_LEARNER, OF_A_TASK, Axis, has_scipy
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Diagnostic, KeyPath, Severity
from rose_cli.util.text import counted, did_you_mean, listed, nearest, quoted, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.check.commands import CommandChecker
    from rose_cli.config.command import GivenOption
    from rose_cli.config.models import Campaign, Learner, Task, TaskFields
    from rose_cli.config.sweep import RangeOrChoices, Sweep
    from rose_cli.plan.context import CheckContext
    from rose_cli.plan.model import Plan

MOST_VALUES = 1000
"""How many values of an axis are examined one by one."""


@dataclass(frozen=True)
class SweepChecker:
    campaign: Campaign
    ctx: CheckContext
    commands: CommandChecker

    def check(self, sweep: Sweep, plan: Plan) -> Iterator[Diagnostic]:
        for text, (generator, values) in sweep.axes.items():
            axis, path = Axis.of(text), ("sweep", generator, text)
            faults = list(self._faults_of_target(axis, path))
            yield from faults
            if not faults:
                yield from self._check_values(axis, values, path)
                yield from self._conflicts(axis)
        yield from _check_counts(sweep, len(self.campaign.learners), len(plan.learners))
        if sweep.sampled in SAMPLED[1:] and not has_scipy():
            message = f"'{sweep.sampled}' needs scipy, which is not installed"
            hint = "install it into the environment of rose: pip install 'rose-cli[sweep]'"
            yield Diagnostic("not-installed", message, ("sweep", sweep.sampled), hint, at_key=True)

    # --- what is varied ----------------------------------------------------------------------------------------------

    def _faults_of_target(self, axis: Axis, path: KeyPath) -> Iterator[Diagnostic]:
        tasks = self.ctx.task_names
        if axis.task is None:
            if axis.kind == "parameter":
                yield from self._faults_of_parameter(axis, path)
        elif tasks and axis.task not in tasks:
            near = nearest(axis.task, tasks)
            hint = f"did you mean '{near}.{axis.name}'?" if near else f"the tasks are {', '.join(sorted(tasks))}"
            yield Diagnostic("unknown-key", f"there is no task '{shortened(axis.task)}'", path, hint, at_key=True)
        elif not axis.name:
            hint = f"write {axis.task}.--lr, or {axis.task}.ranks"
            yield Diagnostic("unknown-key", f"'{axis.text}' names no option", path, hint, at_key=True)
        elif axis.kind == "key" and axis.name not in OF_A_TASK:
            hint = f"options are named without it: {axis.task}.--lr; other keys are {', '.join(OF_A_TASK)}, env.NAME"
            yield Diagnostic("unknown-key", f"a sweep cannot vary '{axis.name}'", path, hint, at_key=True)
        elif (meant := _meant_option(axis)) is not None:
            message = f"'{shortened(axis.name)}' is not how an option is named here"
            yield Diagnostic("unknown-key", message, path, f"did you mean '{axis.task}.{meant}'?", at_key=True)

    def _faults_of_parameter(self, axis: Axis, path: KeyPath) -> Iterator[Diagnostic]:
        known = self._parameters
        if axis.name in known:
            return
        near = nearest(axis.name, [*known, *OF_A_LEARNER])
        hint = f"did you mean '{near}'?" if near else f"write TASK.OPTION, such as {self._example}.--lr"
        hint = hint if near or not known else f"{hint}; the parameters are {', '.join(known)}"
        message = f"'{shortened(axis.name)}' is neither an option, as TASK.OPTION, nor a parameter"
        yield Diagnostic("unknown-key", message, path, hint, at_key=True)

    @property
    def _parameters(self) -> Mapping[str, object]:
        return self.campaign.parameters

    @property
    def _example(self) -> str:
        return next(iter(self.campaign.tasks), "training")

    # --- values ------------------------------------------------------------------------------------------------------

    def _check_values(self, axis: Axis, values: RangeOrChoices, path: KeyPath) -> Iterator[Diagnostic]:
        task = self.campaign.per_learner.get(axis.task or "")
        if axis.kind == "option" and task is not None:
            yield from self._check_option(axis, values, path, task)
        elif isinstance(values, Range):
            if axis.kind != "parameter" and not values.integer and axis.kind == "key":
                message = f"'{axis.name}' takes whole numbers"
                yield Diagnostic("wrong-type", message, path, "add integer: true, or list the values")
        else:
            for place, value in enumerate(values[:MOST_VALUES]):
                yield from self._check_value(axis, value, (*path, place), task)

    def _check_value(self, axis: Axis, value: GivenOption, path: KeyPath, task: Task | None) -> Iterator[Diagnostic]:
        """Of a key: as if the learner set it."""
        if axis.task is None:
            if isinstance(value, tuple) or (axis.kind == "key" and (isinstance(value, bool) or not _is_whole(value))):
                what = "a number, a string, true or false" if axis.kind == "parameter" else "an integer of at least 0"
                message = f"{axis.name}: {expected(what, value)}"
                yield Diagnostic("wrong-type", message, path, "write another value, or remove it")
            return
        given = {"env": {axis.name: value}} if axis.kind == "env" else {axis.name: value}
        faults = faults_in(Override, given)
        yield from (replace(each, path=path, at_key=False, inside=None) for each in faults)
        if faults:
            return
        layer = axis.layer(value)
        if task is not None and axis.name in ("executable", "function", "ranks", "cores_per_rank", "gpus_per_rank"):
            layers: list[Layer[TaskFields]] = [Layer(path, layer), Layer(("tasks", axis.task), task)]
            command = merge(Inherited(self.campaign, PLAIN_LEARNER), [task, layer])
            for each in self.commands.check_swept(command, layers):
                yield _at_value(each, path)

    def _check_option(self, axis: Axis, values: RangeOrChoices, path: KeyPath, task: Task) -> Iterator[Diagnostic]:
        """The name once, and each value as if it stood in a learner."""
        listed = values if isinstance(values, tuple) else (0.5,)
        if calls_function(axis.layer(listed[0]), task):
            yield from self._check_argument(axis, listed[0], path, task)
        else:
            yield from self._check_name(axis, path, task)
        for place, value in enumerate(listed[:MOST_VALUES]):
            at = (*path, place)
            is_quoted = self.ctx.is_quoted(at)
            ctx = replace(self.ctx, is_quoted=_Always(is_quoted))
            for each in ArgumentChecker(self.campaign, ctx).check(axis.layer(value), path, task):
                if not (each.at_key and (place or each.code == "similar-option")):
                    found = replace(each, path=path) if each.at_key else replace(each, path=at)
                    yield _with_task(found, axis) if each.code == "no-dashes" else found

    def _check_name(self, axis: Axis, path: KeyPath, task: Task) -> Iterator[Diagnostic]:
        """Whether the task has an option that is almost called so, and that no axis sets."""
        known = names_of(task)
        if axis.name in known:
            return
        swept = self.campaign.sweep.axes if self.campaign.sweep is not None else {}
        near = same_option(axis.name, known) or nearest(axis.name, known, ratio=0.8)
        if near is not None and f"{axis.task}.{near}" not in swept:
            message = f"the task has no option '{axis.name}', but '{near}': the command gets both"
            yield Diagnostic("similar-option", message, path, f"did you mean '{axis.task}.{near}'?",
                             Severity.WARNING, at_key=True)  # fmt: skip

    def _check_argument(self, axis: Axis, value: GivenOption, path: KeyPath, task: Task) -> Iterator[Diagnostic]:
        """Whether the function has such a parameter, and no option for it under another name."""
        layer, declared = axis.layer(value), declaration(self.campaign, axis.task or "")
        if declared is None:
            return
        layers: list[Layer[TaskFields]] = [Layer(path, layer), declared]
        command = merge(Inherited(self.campaign, PLAIN_LEARNER), [task, layer])
        for each in self.commands.functions.check(command, layers):
            if each.path[: len(path)] == path:
                yield replace(each, path=path, at_key=True)

    # --- entries that set it too -------------------------------------------------------------------------------------

    def _conflicts(self, axis: Axis) -> Iterator[Diagnostic]:
        for index, learner in enumerate(self.campaign.learners):
            for below in _set_by(axis, learner):
                message = f"the sweep varies '{axis.text}', and this learner sets it"
                hint = "remove one of the two: an entry of 'learners' is at every point of the sweep"
                yield Diagnostic("conflicting-keys", message, ("learners", index, *below), hint, at_key=True)


@dataclass(frozen=True)
class _Always:
    answer: bool

    def __call__(self, _: KeyPath) -> bool:
        return self.answer


def _meant_option(axis: Axis) -> str | None:
    """`training.options.--lr`, `training.adaptive.--n`."""
    key, dot, rest = axis.name.partition(".")
    return rest if dot and rest and key in ("options", "adaptive") else None


def _with_task(found: Diagnostic, axis: Axis) -> Diagnostic:
    """A name without dashes, in the words of a sweep."""
    name = axis.name
    dashed = f"-{name}" if len(name) == 1 else f"--{name}"
    hint = f"write {axis.task}.{dashed}, or {axis.task}.{name}= to pass {name}=…"
    near = nearest(name, OF_A_TASK, ratio=0.8)
    return replace(found, hint=f"did you mean '{axis.task}.{near}'? If not, {hint}" if near else hint)


def _is_whole(value: GivenOption) -> bool:
    return isinstance(value, int) and value >= 0


def _at_value(found: Diagnostic, path: KeyPath) -> Diagnostic:
    """At the value, if it is below it; the words of a command are inside of it."""
    is_below = found.path[: len(path)] == path
    return replace(found, path=path, at_key=False) if is_below else found


def _set_by(axis: Axis, learner: Learner) -> Iterator[KeyPath]:
    """Where an entry sets what the axis varies."""
    if axis.task is None:
        if axis.kind == "key":
            if getattr(learner, axis.name) is not None:
                yield (axis.name,)
        elif axis.name in (learner.parameters or {}):
            yield ("parameters", axis.name)
        return
    schedule = learner.schedules.get(axis.task)
    if isinstance(schedule, Iterations):
        for key, entry in schedule.at.items():
            yield from ((axis.task, key, *below) for below in _set_in(axis, entry))
    elif schedule is not None:
        yield from ((axis.task, *below) for below in _set_in(axis, schedule))


def _set_in(axis: Axis, entry: Override) -> Iterator[KeyPath]:
    if axis.kind == "key":
        if axis.name in entry.model_fields_set:
            yield (axis.name,)
        return
    for key in ("options", "adaptive") if axis.kind == "option" else ("env",):
        if axis.name in (getattr(entry, key) or {}):
            yield (key, axis.name)


def _check_counts(sweep: Sweep, entries: int, made: int) -> Iterator[Diagnostic]:
    most, size = sweep.max_learners, sweep.size
    if most is None:
        return
    path = ("sweep", "max_learners")
    if most < entries:
        message = f"max_learners: {counted(entries, 'learner')} at each point are more than {most}"
        yield Diagnostic("out-of-range", message, path, f"write at least {entries}", depends_on=(("learners",),))
    elif size is not None and most > size * entries:
        message = f"max_learners {most} has no effect: the sweep makes only {counted(made, 'learner')}"
        yield Diagnostic("unused-key", message, path, "remove it, or list more values", Severity.WARNING)


# --- prune -----------------------------------------------------------------------------------------------------------


def check_prune(campaign: Campaign, plan: Plan) -> Iterator[Diagnostic]:
    """Whether learners can be compared at all."""
    rule = plan.prune
    if rule is None or campaign.prune is None:
        return
    criteria = [found for learner in plan.learners if (found := rule.criterion_of(learner)) is not None]
    known = dict.fromkeys(each.metric for learner in plan.learners for each in learner.criteria)
    if known and not criteria:
        message = f"no learner has a criterion with the metric {quoted(rule.metric or '')}"
        hint = did_you_mean(rule.metric or "", known) or f"write one of {listed([quoted(each) for each in known], 5)}"
        yield Diagnostic("unknown-metric", message, ("prune", "metric"), hint, depends_on=(("stop",), ("learners",)))
        return
    if not criteria:
        message = "'prune' compares values of a metric, and there is no 'stop'"
        yield Diagnostic("missing-key", message, ("prune",), "add a 'stop', or remove 'prune'", at_key=True,
                         depends_on=(("stop",), ("learners",)))  # fmt: skip
        return
    kinds = Counter(
        (each.metric, each.operator[0], each.threshold if each.operator == "==" else None) for each in criteria
    )
    most, needed = max(kinds.values()), rule.factor if rule.rule == "successive_halving" else rule.min_learners + 1
    if most < needed:
        key = "factor" if rule.rule == "successive_halving" else "min_learners"
        message = f"no learner can be pruned: at least {needed} with the same metric are needed, and there are {most}"
        hint = f"set a smaller {key}, or remove 'prune'"
        yield Diagnostic("never-prunes", message, _place(campaign, key), hint, Severity.WARNING)
    bounds = [learner.max_iter for learner in plan.learners]
    longest = None if None in bounds else max(bound for bound in bounds if bound is not None)
    if longest is not None and rule.min_iter >= longest:
        message = f"no learner can be pruned: after {rule.min_iter} iterations each has reached its max_iter"
        hint = f"write at most {longest - 1}" if longest > 1 else "remove 'prune'"
        yield Diagnostic("never-prunes", message, _place(campaign, "min_iter"), hint, Severity.WARNING,
                         depends_on=(("max_iter",),))  # fmt: skip


def _place(campaign: Campaign, key: str) -> KeyPath:
    is_given = campaign.prune is not None and key in campaign.prune.model_fields_set
    return ("prune", key) if is_given else ("prune",)
