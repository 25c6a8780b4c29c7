"""Campaign → Plan. Cross-references are checked on the way; what is wrong becomes findings, never an exception."""

from __future__ import annotations

import hashlib
import os.path
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING

from rose_cli.plan.checks import Checker
from rose_cli.plan.files import target_of
from rose_cli.plan.layers import Ground, merge
from rose_cli.plan.model import FilePlan, Keep, LearnerPlan, Limits, Plan, StepPlan
from rose_cli.plan.pilots import compile_engine, local_stand_in
from rose_cli.plan.stop import compile_criterion, is_whole
from rose_cli.plan.words import looked_up
from rose_cli.spec.campaign import Campaign, Iterations, Learner, StopFields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rose_cli.diagnostic import Finding
    from rose_cli.plan.model import CommandPlan, CriterionPlan
    from rose_cli.plan.surroundings import Surroundings
    from rose_cli.spec.campaign import File, Override, Task


@dataclass(frozen=True)
class Overlay:
    """What lies on top of every learner: the options by task and the iterations of a smoke run, on this machine."""

    is_smoke: bool = False
    max_iter: int | None = None
    tasks: Mapping[str, Override] = field(default_factory=dict)

    @classmethod
    def smoke(cls, campaign: Campaign) -> Overlay:
        return cls(is_smoke=True, max_iter=campaign.smoke.max_iter, tasks=campaign.smoke.overrides)


def compile_campaign(
    campaign: Campaign, around: Surroundings, overlay: Overlay | None = None
) -> tuple[Plan, list[Finding]]:
    """The plan, and every finding of the cross-checks; the plan is good to run where none of them is an error."""
    plan = _plan(campaign, around, overlay or Overlay())
    checker = Checker(campaign, around)
    checker.check_campaign(plan)
    for compiled, learner in zip(plan.learners, campaign.learners, strict=True):
        checker.check_learner(compiled, learner)
    return plan, checker.findings


def _plan(campaign: Campaign, around: Surroundings, overlay: Overlay) -> Plan:
    compiler = _Compiler(campaign, around.campaign_dir, overlay)
    limits = campaign.limits
    learners = tuple(compiler.learner(learner, index) for index, learner in enumerate(campaign.learners))
    return Plan(
        campaign=campaign.name or around.campaign_file.stem,
        campaign_file=str(around.campaign_file),
        campaign_dir=str(around.campaign_dir),
        engine=local_stand_in(campaign.engine, learners, around)
        if overlay.is_smoke
        else compile_engine(campaign.engine, around),
        learners=learners,
        limits=Limits(
            limits.max_parallel_learners,
            limits.wall_time,
            limits.same_failure,
            limits.output,
            limits.files,
            limits.workspace,
        ),
        stop_after_converged=campaign.stop_campaign.after_converged if campaign.stop_campaign else None,
        keep=Keep(campaign.keep.logs),
    )


def learner_name(learner: Learner, index: int) -> str:
    return learner.name or f"learner-{index}"


def learner_seed(campaign_seed: int, name: str) -> int:
    """A learner's own seed: 31 bits of SHA-256 over the campaign's seed and the learner's name.

    By name and not by place, so that a learner keeps its seed when others come or go.
    """
    digest = hashlib.sha256(f"{campaign_seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


@dataclass(frozen=True)
class _Compiler:
    campaign: Campaign
    campaign_dir: Path
    overlay: Overlay

    @cached_property
    def _beside(self) -> Callable[[tuple[str, ...]], tuple[int, ...]]:
        """Looks for each command once, however many learners share it."""
        return cache(partial(looked_up, campaign_dir=str(self.campaign_dir)))

    def learner(self, learner: Learner, index: int) -> LearnerPlan:
        name, seed = learner_name(learner, index), learner.seed
        plan = self._plain if learner.is_plain else self._particular(learner)
        return replace(
            plan, name=name, index=index, seed=learner_seed(self.campaign.seed, name) if seed is None else seed
        )

    @cached_property
    def _plain(self) -> LearnerPlan:
        """A learner of which nothing is said: others share with it what they do not change."""
        ground = Ground(self.campaign, Learner(), self._beside)
        return LearnerPlan(
            name="",
            index=0,
            seed=0,
            max_iter=self.overlay.max_iter or self.campaign.max_iter,
            steps=tuple(self._step(ground, task, declared) for task, declared in self.campaign.tasks.items()),
            criterion=self._criterion(ground),
            files=tuple(self._file(file) for file in self.campaign.files),
        )

    def _particular(self, learner: Learner) -> LearnerPlan:
        plain, ground = self._plain, Ground(self.campaign, learner, self._beside)
        changes_all = learner.env is not None or learner.pre_exec is not None
        steps, criterion = plain.steps, plain.criterion
        if changes_all or learner.schedules:
            changed = self.campaign.tasks if changes_all else learner.schedules
            steps = tuple(
                self._step(ground, step.task, self.campaign.tasks[step.task]) if step.task in changed else step
                for step in steps
            )
        if changes_all or "stop" in learner.model_fields_set:
            criterion = self._criterion(ground)
        files = (*plain.files, *(self._file(file) for file in learner.files or ()))
        max_iter = self.overlay.max_iter or learner.max_iter or self.campaign.max_iter
        return replace(plain, max_iter=max_iter, steps=steps, criterion=criterion, files=files)

    def _step(self, ground: Ground, task: str, declared: Task) -> StepPlan:
        schedule = ground.learner.schedules.get(task)
        top = self.overlay.tasks.get(task)

        def merged(entry: Override | None) -> CommandPlan:
            return merge(ground, [layer for layer in (declared, entry, top) if layer is not None])

        if not isinstance(schedule, Iterations):
            return StepPlan(task, merged(schedule), {}, hold=False)
        at = {key: merged(entry) for key, entry in schedule.at.items() if key >= 0}
        return StepPlan(task, merged(schedule.at.get(-1)), at, schedule.hold)

    def _criterion(self, ground: Ground) -> CriterionPlan | None:
        """The campaign's criterion with the learner's laid over it; a learner's `stop: null` takes it away."""
        declared, given = self.campaign.stop, ground.learner.stop
        if given is None and "stop" in ground.learner.model_fields_set:
            return None
        if declared is None and (given is None or not is_whole(given)):
            return None
        # without a declaration the learner's own still lies above the learner's variables, as it does over one
        return compile_criterion([declared or StopFields(), *([given] if given is not None else [])], ground)

    def _file(self, file: File) -> FilePlan:
        source = os.path.normpath(self.campaign_dir / file.path)
        fixed = os.path.isabs(file.path)  # noqa: PTH117
        return FilePlan(source, target_of(file, self.campaign_dir), copied=file.copy_, fixed=fixed)


def with_learners(plan: Plan, names: frozenset[str]) -> Plan:
    """The plan with only the named learners; they keep their index and seed."""
    return replace(plan, learners=tuple(learner for learner in plan.learners if learner.name in names))
