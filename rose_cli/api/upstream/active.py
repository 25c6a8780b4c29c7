"""Active learners: simulation, training, active learning and the criterion in each iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.api.script_errors import ScriptError
from rose_cli.api.upstream.builder import Entry, Step
from rose_cli.api.upstream.configs import LearnerConfig
from rose_cli.api.upstream.decorators import TaskDecorator
from rose_cli.api.upstream.learner import Learner, entries_of
from rose_cli.api.upstream.states import IterationState, States

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.api.upstream.opening import Request
    from rose_cli.api.upstream.resources import ResourceEngine
    from rose_cli.api.upstream.scripts import Resume
    from rose_cli.api.upstream.stream import StateStream
    from rose_cli.api.upstream.tracing import Definition

LATER = "i > 0"
"""`when` of a task that the first iteration leaves out."""


class ActiveSteps(Learner):
    """The tasks of active learners."""

    def _active_steps(self, *, skip_pre_loop: bool, skip_simulation: bool) -> list[Step]:
        later = {"when": LATER} if skip_pre_loop else {}
        training_after, active_after = [("simulation", False)], [("simulation", False), ("training", False)]
        steps = []
        if skip_simulation:
            training_after, active_after = [("active_learn", True)], [("training", False)]
        else:
            after = [("active_learn", True)]
            steps = [Step("simulation", self._need("simulation"), "simulation", after, keys=later)]
        steps.append(Step("training", self._need("training"), "training", training_after, keys=later))
        return [*steps, Step("active_learn", self._active(), "active_learn", active_after)]

    def _active(self) -> Definition:
        return self._need("active_learn")


class ActiveLearnerBase(ActiveSteps):
    """What active learners with one algorithm share."""

    def __init__(self, asyncflow: ResourceEngine, register_and_submit: bool = True) -> None:
        super().__init__(asyncflow, register_and_submit)
        self.active_learn_task = TaskDecorator(self, "active_learn")


class SequentialActiveLearner(ActiveLearnerBase):
    """One active learner. Its script may change its configuration between iterations."""

    def start(
        self,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        skip_simulation_step: bool = False,
        initial_config: LearnerConfig | None = None,
        *,
        resume: Resume = "auto",
    ) -> StateStream:
        """Run, and give the state after each iteration: `async for state in learner.start(…)`, or `for`.

        `max_iter`: 0 is no limit. `skip_pre_loop`: no simulation and no training in the first iteration.
        `skip_simulation_step`: none in any. `resume`: which run of this script to go on with.
        """
        request = self._one(max_iter, skip_pre_loop, skip_simulation_step, initial_config, resume, gated=True)
        return self._stream(request)

    def teach(
        self,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        skip_simulation_step: bool = False,
        learner_config: LearnerConfig | None = None,
        *,
        resume: Resume = "auto",
    ) -> IterationState:
        """Run to the end, and return the last state. It may be awaited as well."""
        request = self._one(max_iter, skip_pre_loop, skip_simulation_step, learner_config, resume, gated=False)
        return self._last(request)

    def set_next_config(self, config: LearnerConfig) -> None:
        """Use another configuration from the next iteration on. Tasks that it leaves out get no arguments."""
        if not isinstance(config, LearnerConfig):
            raise ScriptError(f"{config!r:.60} is no configuration", "give a LearnerConfig")
        self.control.next_config = config

    def _one(
        self, max_iter: int, skip_pre_loop: bool, skip_simulation: bool, config: LearnerConfig | None, resume: Resume,
        *, gated: bool,
    ) -> Request:  # fmt: skip
        steps = self._active_steps(skip_pre_loop=skip_pre_loop, skip_simulation=skip_simulation)
        self._need_end(max_iter)
        return self._request(
            [*steps, *self._criterion()], [Entry(config=config)], max_iter, resume, gated=gated, ids=[None]
        )


ActiveLearner = SequentialActiveLearner


class ParallelActiveLearner(ActiveLearnerBase):
    """Several active learners at the same time, each with its own configuration, workspace and end."""

    def start(
        self,
        parallel_learners: int = 2,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        skip_simulation_step: bool = False,
        learner_configs: Sequence[LearnerConfig | None] | None = None,
        *,
        resume: Resume = "auto",
    ) -> StateStream:
        """Run, and give the state after each iteration of each learner, in the order in which they end.

        Leaving the loop stops all learners at the end of their present iterations.
        """
        skip = skip_pre_loop, skip_simulation_step
        return self._stream(self._several(parallel_learners, max_iter, skip, learner_configs, resume, gated=True))

    def teach(
        self,
        parallel_learners: int = 2,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        skip_simulation_step: bool = False,
        learner_configs: Sequence[LearnerConfig | None] | None = None,
        *,
        resume: Resume = "auto",
    ) -> States[IterationState | None]:
        """Run to the end, and return the last state of each learner. It may be awaited as well."""
        skip = skip_pre_loop, skip_simulation_step
        request = self._several(parallel_learners, max_iter, skip, learner_configs, resume, gated=False)
        last = {state.learner_id: state for state in self._stream(request)}
        return States(last.get(number) for number in range(parallel_learners))

    def _several(
        self, count: int, max_iter: int, skip: tuple[bool, bool], configs: Sequence[LearnerConfig | None] | None,
        resume: Resume, *, gated: bool,
    ) -> Request:  # fmt: skip
        steps = self._active_steps(skip_pre_loop=skip[0], skip_simulation=skip[1])
        entries = entries_of(count, configs)
        self._need_end(max_iter)
        ids = list(range(count))
        return self._request([*steps, *self._criterion()], entries, max_iter, resume, gated=gated, ids=ids)

    def _remember(self, state: IterationState) -> None:
        self._metrics.setdefault(f"learner-{state.learner_id}", {})[state.iteration] = state.metric_value
