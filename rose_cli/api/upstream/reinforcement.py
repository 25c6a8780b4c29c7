"""Reinforcement learners: environment, update and the criterion in each iteration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rose_cli.api.script_errors import ScriptError
from rose_cli.api.upstream.active import LATER
from rose_cli.api.upstream.builder import Entry, Step
from rose_cli.api.upstream.configs import LearnerConfig
from rose_cli.api.upstream.decorators import NamedDecorator, TaskDecorator
from rose_cli.api.upstream.experience import merge_files
from rose_cli.api.upstream.learner import Learner, entries_of
from rose_cli.api.upstream.states import IterationState, States
from rose_cli.api.upstream.tracing import Definition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.api.upstream.opening import Request
    from rose_cli.api.upstream.resources import ResourceEngine
    from rose_cli.api.upstream.scripts import Resume
    from rose_cli.api.upstream.stream import StateStream

_UPDATE = "update"
_ENVIRONMENT = "environment"
_MERGE = "merge"


class ReinforcementSteps(Learner):
    """What all reinforcement learners share."""

    def __init__(self, asyncflow: ResourceEngine, register_and_submit: bool = True) -> None:
        super().__init__(asyncflow, register_and_submit)
        self.update_task = TaskDecorator(self, _UPDATE)

    def _steps(self, *, skip_pre_loop: bool, skip_environment: bool = False) -> list[Step]:
        later = {"when": LATER} if skip_pre_loop else {}
        before = [("criterion", True)]
        steps: list[Step] = []
        if not skip_environment:
            steps = [Step(_ENVIRONMENT, self._need(_ENVIRONMENT), _ENVIRONMENT, before, keys=later)]
        after = before if skip_environment else [(_ENVIRONMENT, False)]
        steps.append(Step(_UPDATE, self._need(_UPDATE), _UPDATE, after, keys=later))
        return [*steps, *self._criterion([(_UPDATE, False)])]


class ReinforcementLearner(ReinforcementSteps):
    """What reinforcement learners with one environment share."""

    def __init__(self, asyncflow: ResourceEngine, register_and_submit: bool = True) -> None:
        super().__init__(asyncflow, register_and_submit)
        self.environment_task = TaskDecorator(self, _ENVIRONMENT)


class _OneLearner(ReinforcementSteps):
    """A single learner, whose script may change its configuration between iterations."""

    def set_next_config(self, config: LearnerConfig) -> None:
        """Use another configuration from the next iteration on. Tasks that it leaves out get no arguments."""
        if not isinstance(config, LearnerConfig):
            raise ScriptError(f"{config!r:.60} is no configuration", "give a LearnerConfig")
        self.control.next_config = config

    def _one(
        self, steps: Sequence[Step], max_iter: int, config: LearnerConfig | None, resume: Resume, *, gated: bool
    ) -> Request:
        self._need_end(max_iter)
        return self._request(steps, [Entry(config=config)], max_iter, resume, gated=gated, ids=[None])


class SequentialReinforcementLearner(_OneLearner, ReinforcementLearner):
    """One reinforcement learner."""

    def start(
        self,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        skip_environment_step: bool = False,
        initial_config: LearnerConfig | None = None,
        *,
        resume: Resume = "auto",
    ) -> StateStream:
        """Run, and give the state after each iteration: `async for state in learner.start(…)`, or `for`.

        `max_iter`: 0 is no limit. `skip_pre_loop`: no environment and no update in the first iteration.
        `skip_environment_step`: no environment in any. `resume`: which run of this script to go on with.
        """
        steps = self._steps(skip_pre_loop=skip_pre_loop, skip_environment=skip_environment_step)
        return self._stream(self._one(steps, max_iter, initial_config, resume, gated=True))

    def learn(
        self,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        skip_simulation_step: bool = False,
        learner_config: LearnerConfig | None = None,
        *,
        resume: Resume = "auto",
    ) -> IterationState:
        """Run to the end, and return the last state. It may be awaited as well."""
        steps = self._steps(skip_pre_loop=skip_pre_loop, skip_environment=skip_simulation_step)
        return self._last(self._one(steps, max_iter, learner_config, resume, gated=False))


class ParallelReinforcementLearner(ReinforcementLearner):
    """Several reinforcement learners at the same time."""

    def start(
        self,
        parallel_learners: int = 2,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        learner_configs: Sequence[LearnerConfig | None] | None = None,
        *,
        resume: Resume = "auto",
    ) -> StateStream:
        """Run, and give the state after each iteration of each learner, in the order in which they end."""
        return self._stream(
            self._several(parallel_learners, max_iter, skip_pre_loop, learner_configs, resume, gated=True)
        )

    def learn(
        self,
        parallel_learners: int = 2,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        learner_configs: Sequence[LearnerConfig | None] | None = None,
        *,
        resume: Resume = "auto",
    ) -> States[IterationState | None]:
        """Run to the end, and return the last state of each learner. It may be awaited as well."""
        request = self._several(parallel_learners, max_iter, skip_pre_loop, learner_configs, resume, gated=False)
        last = {state.learner_id: state for state in self._stream(request)}
        return States(last.get(number) for number in range(parallel_learners))

    def _several(
        self, count: int, max_iter: int, skip_pre_loop: bool, configs: Sequence[LearnerConfig | None] | None,
        resume: Resume, *, gated: bool,
    ) -> Request:  # fmt: skip
        steps, entries = self._steps(skip_pre_loop=skip_pre_loop), entries_of(count, configs)
        self._need_end(max_iter)
        return self._request(steps, entries, max_iter, resume, gated=gated, ids=list(range(count)))

    def _remember(self, state: IterationState) -> None:
        self._metrics.setdefault(f"learner-{state.learner_id}", {})[state.iteration] = state.metric_value


class ParallelExperience(_OneLearner):
    """One learner with several environments that run at the same time; their experiences are merged before the update.

    Each environment writes `experience_bank_NAME.pkl` in the workspace, and the update finds `experience_bank.pkl`.
    """

    def __init__(self, asyncflow: ResourceEngine) -> None:
        super().__init__(asyncflow)
        self.work_dir = "."
        self._environments: dict[str, Definition] = {}
        self.environment_task = NamedDecorator(self, _ENVIRONMENT)

    def register(self, definition: Definition, name: str | None = None) -> None:
        """Called by the decorators."""
        if name is not None:
            self._environments[name] = definition
        else:
            super().register(definition)

    def start(
        self, max_iter: int = 0, skip_pre_loop: bool = False, initial_config: LearnerConfig | None = None,
        *, resume: Resume = "auto",
    ) -> StateStream:  # fmt: skip
        """Run, and give the state after each iteration: `async for state in learner.start(…)`, or `for`."""
        return self._stream(self._one(self._all(skip_pre_loop), max_iter, initial_config, resume, gated=True))

    def learn(
        self, max_iter: int = 0, skip_pre_loop: bool = False, learner_config: LearnerConfig | None = None,
        *, resume: Resume = "auto",
    ) -> IterationState:  # fmt: skip
        """Run to the end, and return the last state. It may be awaited as well."""
        return self._last(self._one(self._all(skip_pre_loop), max_iter, learner_config, resume, gated=False))

    def merge_banks(self) -> None:
        """Merge the experiences that lie in `work_dir`. Rose does so in each iteration by itself."""
        merge_files(self.work_dir)

    def _all(self, skip_pre_loop: bool) -> list[Step]:
        if not self._environments:
            message = "ParallelExperience has no environment"
            raise ScriptError(message, "write @learner.environment_task(name='…') above the function of each")
        later = {"when": LATER} if skip_pre_loop else {}
        first = replace(next(iter(self._environments.values())), task=_ENVIRONMENT)
        replicas = {"replicas": list(self._environments), **later}
        work_dir = self.work_dir

        def merge() -> dict[str, int]:
            return {"experiences": merge_files(work_dir)}

        return [
            Step(_ENVIRONMENT, first, _ENVIRONMENT, [("criterion", True)], variants=self._environments, keys=replicas),
            Step(_MERGE, Definition(_MERGE, merge, as_executable=False), _MERGE, keys=later),
            Step(_UPDATE, self._need(_UPDATE), _UPDATE, keys=later),
            *self._criterion([(_UPDATE, False)]),
        ]
