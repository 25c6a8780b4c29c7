"""Checks a compiled campaign: all that no single value shows."""

from __future__ import annotations

import os
import os.path
from dataclasses import field
from typing import TYPE_CHECKING

from rose_cli.check.arguments import ArgumentChecker
from rose_cli.check.commands import CommandChecker
from rose_cli.check.criterion import check_common_stop, check_end
from rose_cli.check.engine import check_engine
from rose_cli.check.expressions import check_expressions
from rose_cli.check.files import check_files
from rose_cli.check.literals import check_lines, check_variables
from rose_cli.check.notify import check_notify
from rose_cli.check.once import check_overrides, check_placeholders, check_task_names
from rose_cli.check.origin import declared_tasks, stop_layers
from rose_cli.check.parameters import check_own_parameters, check_use
from rose_cli.check.python_tasks import PreloadChecker
from rose_cli.check.schedules import UNBOUNDED_ITERATIONS, Conditions, ExpressionProbe, Horizon, check_keys
from rose_cli.check.sweep import SweepChecker, check_prune
from rose_cli.check.trackers import check_trackers
from rose_cli.config.models import Campaign, Iterations, Learner, TaskFields
from rose_cli.config.rules import folded
from rose_cli.config.validation import unknown_task
from rose_cli.plan.compile import compile_plan
from rose_cli.plan.criteria import listed
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Diagnostic, KeyPath
from rose_cli.util.shared import CAMPAIGN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rose_cli.config.recovery import InvalidPaths
    from rose_cli.plan.context import CheckContext
    from rose_cli.plan.model import LearnerPlan, Plan


@dataclass
class _Checker:
    """Collects diagnostics, each once even if many learners share it, and drops those that follow from others."""

    campaign: Campaign
    ctx: CheckContext
    invalid: InvalidPaths
    _diagnostics: dict[tuple[str, KeyPath], Diagnostic] = field(default_factory=dict)
    _names: dict[str, tuple[str, int]] = field(default_factory=dict)
    _probe: ExpressionProbe = field(default_factory=ExpressionProbe)
    _horizons: set[Horizon] = field(default_factory=set)
    _conditions: Conditions = field(default_factory=Conditions)
    _has_seen_plain: bool = False

    def __post_init__(self) -> None:
        self._commands = CommandChecker(self.campaign, self.ctx)
        self._arguments = ArgumentChecker(self.campaign, self.ctx)
        layers = list(declared_tasks(self.campaign))
        self._sections = {str(layer.path[1]): str(layer.path[0]) for layer in layers}
        self._declared = {str(layer.path[1]): layer.fields for layer in layers}

    @property
    def diagnostics(self) -> list[Diagnostic]:
        return list(self._diagnostics.values())

    def check_campaign(self, plan: Plan) -> None:
        self._take(self._check_tasks())
        self._take(self._check_counts(plan))
        self._take(check_engine(self.campaign.engine, self.ctx))
        self._take(PreloadChecker(self.campaign.engine, self.ctx).check_common(self.campaign, plan))
        self._take(check_files(self.campaign.files, ("files",), self.ctx))
        self._take(check_common_stop(self.campaign))
        self._take(check_expressions(self.campaign))
        self._take(check_variables(self.campaign.env, ("env",)))
        self._take(check_lines(self.campaign.pre_exec, ("pre_exec",), self.ctx.campaign_dir))
        for layers in listed(self.campaign.stop, ("stop",))[0]:
            self._take(self._arguments.check(layers[0][1], layers[0][0], None))
        self._take(check_trackers(self.campaign))
        self._take(check_prune(self.campaign, plan))
        self._take(check_notify(self.campaign, plan, self.ctx))
        self._take(self._check_smoke())
        self._take(self._commands.check_smoke())
        if plan.shared is not None:
            self._take(self._commands.check_shared(plan.shared))
            self._take(self._check_once(("setup", "finish"), Horizon(1, has_metric=False, is_once=True)))
        self._take(check_use(self.campaign, plan, self._commands.functions))

    def check_sweep(self, plan: Plan) -> None:
        """The axes, and the names of the learners that it makes."""
        if self.campaign.sweep is not None:
            self._take(SweepChecker(self.campaign, self.ctx, self._commands).check(self.campaign.sweep, plan))
            self._names.clear()
            for place, learner in enumerate(plan.learners):
                entry = place % len(self.campaign.learners)
                self._take(self._check_name(learner.name, ("learners", entry), place))

    def check_conditions(self) -> None:
        """What no learner has shown to be of use; after all of them."""
        self._take(self._conditions.never_true())

    def check_learner(self, plan: LearnerPlan, learner: Learner) -> None:
        path: KeyPath = ("learners", plan.index)
        if self.campaign.sweep is None:
            self._take(self._check_name(plan.name, path, plan.index))
        if learner.is_plain and self._has_seen_plain:
            return
        self._has_seen_plain |= learner.is_plain
        self._take(self._check_task_names(learner, path))
        self._take(check_overrides(learner, path, self._sections))
        self._take(check_own_parameters(self.campaign, learner, path))
        self._take(check_files(learner.files or (), (*path, "files"), self.ctx))
        self._take(check_end(self.campaign, learner, plan))
        self._take(self._commands.check_learner(plan, learner))
        self._take(check_variables(learner.env, (*path, "env")))
        self._take(check_lines(learner.pre_exec, (*path, "pre_exec"), self.ctx.campaign_dir))
        self._take(self._check_stop_texts(learner, plan.index))
        self._take(self._check_schedules(plan, learner, path))

    def _take(self, diagnostics: Iterable[Diagnostic]) -> None:
        for diagnostic in diagnostics:
            if not self.invalid.hide(diagnostic):
                self._diagnostics.setdefault((diagnostic.code, diagnostic.path), diagnostic)

    def _check_tasks(self) -> Iterator[Diagnostic]:
        if not self.campaign.tasks and not self.ctx.task_names - self._sections.keys():
            hint = "for example simulation: {executable: python sim.py}"
            yield Diagnostic("no-tasks", "no task is declared", ("tasks",), hint)
        yield from check_task_names(self.campaign)
        yield from check_placeholders(self.campaign)

    def _check_counts(self, plan: Plan) -> Iterator[Diagnostic]:
        wanted, there = plan.stop_after_converged, len(plan.learners)
        at = ("stop_campaign", "after_converged")
        if wanted is None:
            return
        one_more = ("learners", there)
        if wanted > there:
            message = f"{wanted} learners cannot converge: there {'is' if there == 1 else 'are'} only {there}"
            yield Diagnostic("out-of-range", message, at, f"write at most {there}", depends_on=(one_more,))
        if not any(learner.criterion for learner in plan.learners):
            message, needed = "no learner can converge: there is no 'stop'", (("stop",), ("learners",))
            yield Diagnostic("missing-key", message, at, "add a 'stop'", depends_on=needed)

    def _check_name(self, name: str, path: KeyPath, place: int) -> Iterator[Diagnostic]:
        """Names that differ only in case or Unicode form would share a directory on some file systems."""
        other, first = self._names.setdefault(folded(name), (name, place))
        if first != place:
            message = f"two learners are named '{name}'"
            if other != name:
                message = f"the learners '{other}' and '{name}' would share a directory where case is ignored"
            yield Diagnostic("duplicate-name", message, (*path, "name"), "give each learner a unique name")
        if name == CAMPAIGN and (self.campaign.setup or self.campaign.finish):
            message = f"a learner cannot be named '{CAMPAIGN}' here: commands call the tasks of 'setup' and 'finish' so"
            yield Diagnostic("bad-name", message, (*path, "name"), "choose another name")
        try:
            os.fsencode(name)
        except UnicodeEncodeError as error:
            message = f"no directory can be named '{name}' here: the encoding of this terminal is {error.encoding}"
            yield Diagnostic(
                "bad-name", message, (*path, "name"), "call rose with PYTHONUTF8=1, or choose another name"
            )

    def _check_task_names(self, learner: Learner, path: KeyPath) -> Iterator[Diagnostic]:
        names = self.ctx.task_names
        for task in learner.schedules if names else ():
            if task not in names:
                yield unknown_task(task, (*path, task), names, learner.schedules, self.campaign.per_campaign)

    def _check_schedules(self, plan: LearnerPlan, learner: Learner, path: KeyPath) -> Iterator[Diagnostic]:
        horizon = Horizon(plan.max_iter, plan.criterion is not None, ((), path), tuple(plan.values.items()))
        if horizon not in self._horizons:
            self._horizons.add(horizon)
            for task, declared in self.campaign.tasks.items():
                yield from self._check_fields(declared, ("tasks", task), horizon)
            yield from self._check_once(("before", "after"), horizon)
        for layer in (layer for layers in stop_layers(self.campaign, learner, plan.index) for layer in layers):
            self._conditions.note(layer.fields, layer.path, horizon)
            yield from self._probe.probe_fields(layer.fields, layer.path, horizon)
        for task, schedule in learner.schedules.items():
            if self._sections.get(task, "tasks") != "tasks":
                if not isinstance(schedule, Iterations):
                    yield from self._arguments.check(schedule, (*path, task), self._declared.get(task))
            elif isinstance(schedule, Iterations):
                yield from check_keys(schedule, (*path, task), horizon)
                yield from self._probe.probe_schedule(schedule, (*path, task), horizon)
                for key, entry in schedule.at.items():
                    yield from self._arguments.check(entry, (*path, task, key), self._declared.get(task))
            else:
                yield from self._check_fields(schedule, (*path, task), horizon, self._declared.get(task))

    def _check_once(self, sections: Sequence[str], horizon: Horizon) -> Iterator[Diagnostic]:
        """The tasks that are in no or only one iteration: `after` follows one with a metric."""
        for layer in declared_tasks(self.campaign):
            if layer.path[0] in sections:
                last = horizon.max_iter or UNBOUNDED_ITERATIONS
                span = (range(1, last + 1),) if layer.path[0] == "after" else (range(1),)
                self._conditions.note(layer.fields, layer.path, horizon, span)
                yield from self._probe.probe_fields(layer.fields, layer.path, horizon, span)
                yield from self._arguments.check(layer.fields, layer.path)

    def _check_fields(
        self, fields: TaskFields, path: KeyPath, horizon: Horizon, declared: TaskFields | None = None
    ) -> Iterator[Diagnostic]:
        self._conditions.note(fields, path, horizon)
        yield from self._probe.probe_fields(fields, path, horizon)
        yield from self._arguments.check(fields, path, declared)

    def _check_stop_texts(self, learner: Learner, index: int) -> Iterator[Diagnostic]:
        for own, *below in stop_layers(self.campaign, learner, index) if learner.stop is not None else ():
            if own.path[0] == "learners":
                yield from self._arguments.check(own.fields, own.path, below[0].fields if below else None)

    def _check_smoke(self) -> Iterator[Diagnostic]:
        smoke, names = self.campaign.smoke, self.ctx.task_names
        horizon = Horizon(smoke.max_iter, has_metric=True)
        for task, override in smoke.overrides.items():
            yield from self._check_fields(override, ("smoke", task), horizon, self._declared.get(task))
            if names and task not in names:
                yield unknown_task(task, ("smoke", task), names, smoke.overrides)


def check_plan(campaign: Campaign, plan: Plan, ctx: CheckContext, invalid: InvalidPaths) -> list[Diagnostic]:
    """Every error and warning of the cross-checks, without those that only follow from what is `invalid`."""
    checker = _Checker(campaign, ctx, invalid)
    checker.check_campaign(plan)
    entries = plan if campaign.sweep is None else compile_plan(campaign.model_copy(update={"sweep": None}), ctx)
    for compiled, learner in zip(entries.learners, campaign.learners, strict=True):
        checker.check_learner(compiled, learner)
    checker.check_conditions()
    checker.check_sweep(plan)
    return checker.diagnostics
