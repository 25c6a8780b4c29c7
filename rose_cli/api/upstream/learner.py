"""What all kinds of learners share: their tasks, their state, and how they run."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from rose_cli.api.script_errors import ScriptError, UnsupportedError, warn
from rose_cli.api.task import in_task, registered
from rose_cli.api.upstream.builder import CRITERION, Entry, Loop, Step, Stop
from rose_cli.api.upstream.configs import AdaptiveSchedule, LearnerConfig, TaskConfig
from rose_cli.api.upstream.control import Control
from rose_cli.api.upstream.decorators import Registered, TaskDecorator, Utility
from rose_cli.api.upstream.manifest import MLflowTracker, PipelineManifest, criterion_manifest, task_manifest
from rose_cli.api.upstream.resources import ResourceEngine
from rose_cli.api.upstream.states import Done, IterationState
from rose_cli.api.upstream.tracing import Definition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rose_cli.api.upstream.opening import Request
    from rose_cli.api.upstream.scripts import Resume
    from rose_cli.api.upstream.stream import StateStream
    from rose_cli.api.upstream.translate import Reports

P = ParamSpec("P")
R = TypeVar("R")

_INTERNAL = {"metric_value", "should_stop"}


class Tracker(Protocol):
    """What can be told of a run."""

    def on_start(self, manifest: PipelineManifest) -> None:
        """What runs."""

    def on_iteration(self, state: IterationState) -> None:
        """An iteration has finished."""

    def on_stop(self, final_state: IterationState | None, reason: str) -> None:
        """The run has ended."""


class Learner:
    """The base of all learners.

    `engine`: where the tasks run. `register_and_submit` has no effect: rose starts every task itself.
    """

    def __init__(self, asyncflow: ResourceEngine, register_and_submit: bool = True) -> None:
        if not hasattr(asyncflow, "settings"):
            message = f"a learner needs an engine, not {asyncflow!r:.60}"
            raise ScriptError(message, "make one: ResourceEngine({}), or await WorkflowEngine.create(backend)")
        self.asyncflow = asyncflow
        self.learner_id: int | str | None = None
        self._definitions: dict[str, Definition] = {}
        self._once: list[Definition] = []
        self._stop: Stop | None = None
        self._trackers: list[Tracker] = []
        self._state: dict[str, Any] = {}
        self._callbacks: list[Callable[[str, Any], None]] = []
        self._metrics: dict[Any, Any] = {}
        self._current: IterationState | None = None
        self._max_iter: int | None = None
        self.control = Control()
        self.simulation_task = TaskDecorator(self, "simulation")
        self.training_task = TaskDecorator(self, "training")
        self.prediction_task = TaskDecorator(self, "prediction")

    # --- tasks -----------------------------------------------------------------------------------------------------

    def register(self, definition: Definition, name: str | None = None) -> None:
        """Called by the decorators."""
        self._definitions[definition.task] = definition

    @overload
    def utility_task(self, function: Callable[P, R]) -> Utility[P, R]: ...

    @overload
    def utility_task(
        self, function: None = None, *, as_executable: bool = True, **resources: Any
    ) -> Callable[[Callable[P, R]], Utility[P, R]]: ...

    def utility_task(
        self, function: Callable[..., Any] | None = None, *, as_executable: bool = True, **resources: Any
    ) -> Any:
        """A task that runs once, before the first iteration, if the script calls the function before it starts."""

        def decorate(function: Callable[P, R]) -> Utility[P, R]:
            name = getattr(function, "__name__", "utility")

            def add(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
                self._once.append(Definition(name, _bound(function, args, kwargs), as_executable, resources))

            return Utility(function, add)

        return decorate if function is None else decorate(function)

    def as_stop_criterion(
        self, metric_name: str, threshold: float, operator: str = "", as_executable: bool = True, **resources: Any
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """The criterion: the learner stops when the number that its function gives is beyond the threshold.

        A metric that is not a standard one needs an `operator`: `<`, `<=`, `>`, `>=` or `==`.
        """

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            self._definitions[CRITERION] = Definition(CRITERION, function, as_executable, resources)
            self._stop = Stop(metric_name, float(threshold), "==" if operator == "=" else operator)
            return Registered(function, CRITERION)

        return decorate

    def create_iteration_schedule(
        self, task_name: str, schedule: Mapping[int, Mapping[str, Any]]
    ) -> dict[int, TaskConfig]:
        """A configuration for each iteration that is a key; -1 is for all others."""
        return {at: TaskConfig(**entry) for at, entry in schedule.items()}

    def create_adaptive_schedule(
        self, task_name: str, param_schedule: Callable[[int], Mapping[str, Any]]
    ) -> dict[int, TaskConfig]:
        """A configuration for each iteration, from a function of the iteration.

        It has the first hundred; `start` and `teach` work out more. The learner fails in an iteration beyond them.
        """
        return AdaptiveSchedule(param_schedule)

    # --- state -----------------------------------------------------------------------------------------------------

    def register_state(self, key: str, value: Any) -> None:
        """Make a value part of the state. In the function of a task, it is reported with what that returns."""
        if in_task():
            registered[key] = value
        self._state[key] = value
        for callback in list(self._callbacks):
            try:
                callback(key, value)
            except Exception as error:
                warn(f"a callback of on_state_update() failed: {error!r}")

    def get_state(self, key: str, default: Any = None) -> Any:
        """A value of the state of the present iteration."""
        return self._state.get(key, default)

    def get_all_state(self) -> dict[str, Any]:
        """The state of the present iteration."""
        return dict(self._state)

    def clear_state(self) -> None:
        """Forget it."""
        self._state.clear()

    def on_state_update(self, callback: Callable[[str, Any], None]) -> None:
        """Call a function with each key and value that becomes known."""
        self._callbacks.append(callback)

    def remove_state_callback(self, callback: Callable[[str, Any], None]) -> None:
        """Call it no more."""
        if callback in self._callbacks:
            self._callbacks.remove(callback)

    def get_current_state(self) -> IterationState | None:
        """The latest state."""
        return self._current

    def get_max_iterations(self) -> int | None:
        """The number of iterations that `start` was given; None if there is no limit."""
        return self._max_iter

    def get_metric_results(self) -> dict[Any, Any]:
        """The values of the metric by iteration; of parallel learners by learner and iteration."""
        return dict(self._metrics)

    # --- control ---------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop after the present iteration."""
        self.control.is_stopped = True

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self.control.is_stopped

    def set_next_config(self, config: LearnerConfig) -> None:
        """For one learner only. Raises UnsupportedError for several, as one configuration cannot be meant for all."""
        message = f"{type(self).__name__} has no set_next_config(): it is for one learner"
        hint = (
            "use SequentialActiveLearner or SequentialReinforcementLearner; several get a schedule by learner_configs"
        )
        raise UnsupportedError(message, hint)

    def add_tracker(self, tracker: Tracker) -> None:
        """Tell an object of the run: `on_start` now, so call this after the tasks are declared and before `start`."""
        tracker.on_start(self._manifest())
        self._trackers.append(tracker)

    def shutdown(self, *_: object, **__: object) -> Done:
        """End what still runs, if the script has left its loop. It may be awaited."""
        from rose_cli.api.upstream.stream import settle_those_of

        settle_those_of(self.control, is_error=sys.exc_info()[0] is not None)
        return Done()

    def __reduce__(self) -> tuple[Callable[[], Learner], tuple[()]]:
        """Functions of a script refer to their learner; in a task, only its state is of use."""
        return _learner_in_task, ()

    # --- running ---------------------------------------------------------------------------------------------------

    def _request(
        self, steps: Sequence[Step], learners: Sequence[Entry], max_iter: int, resume: Resume, **more: Any
    ) -> Request:
        """What a session needs, except for its process."""
        from rose_cli.api.upstream.opening import Request

        if max_iter < 0:
            raise ScriptError(f"max_iter is {max_iter}", "use 0 for no limit, or the number of iterations")
        self._max_iter = max_iter or None
        self.control.is_stopped, self.control.next_config = False, None
        loop = Loop(
            steps=steps, learners=learners, stop=more.pop("stop", self._stop), max_iter=max_iter,
            engine=self.asyncflow.settings, more=self._more(),
            once=[Step(each.task, each, each.task) for each in self._once],
        )  # fmt: skip
        return Request(loop, self, resume, **more)

    def _more(self) -> dict[str, Any]:
        trackers = [each for each in self._trackers if isinstance(each, MLflowTracker)]
        return {"track": {"mlflow": trackers[-1].settings}} if trackers else {}

    def _stream(self, request: Request) -> StateStream:
        from rose_cli.api.upstream.opening import opened
        from rose_cli.api.upstream.stream import StateStream

        return StateStream(lambda: opened(request))

    def _last(self, request: Request) -> IterationState:
        """Run to the end, and return the last state."""
        states = deque(self._stream(request), 1)
        if not states:
            message = "the learner was stopped before its first iteration had finished"
            raise ScriptError(message, "run the script again: it goes on from there")
        return states[0]

    def finish_state(self, state: IterationState, reports: Reports, steps: Sequence[Step]) -> None:
        """Put what the tasks reported into a state, in the order of the tasks."""
        for step in steps:
            for (task, _), report in sorted(reports.items()):
                if task == step.task:
                    state.state.update({key: value for key, value in report.items() if key not in _INTERNAL})

    def on_state(self, state: IterationState) -> None:
        """Called with each state before the script gets it."""
        self._current = state
        self._state = {}
        for key, value in state.state.items():
            self.register_state(key, value)
        if state.metric_value is not None:
            self._remember(state)
        for tracker in self._trackers:
            self._told(tracker.on_iteration, state)

    def _remember(self, state: IterationState) -> None:
        self._metrics[state.iteration] = state.metric_value

    def on_end(self, last: IterationState | None, reason: str) -> None:
        """Called when the run has ended."""
        for tracker in self._trackers:
            self._told(tracker.on_stop, last, reason)

    @staticmethod
    def _told(method: Callable[..., None], *args: object) -> None:
        """A tracker that fails ends nothing."""
        try:
            method(*args)
        except Exception as error:
            warn(f"{method.__qualname__}() failed: {error!r}")

    def _manifest(self) -> PipelineManifest:
        tasks = {name: task_manifest(each) for name, each in self._definitions.items() if name != CRITERION}
        criterion = None
        if self._stop is not None:
            stop = self._stop
            criterion = criterion_manifest(self._definitions[CRITERION], stop.metric, stop.threshold, stop.operator)
        return PipelineManifest(type(self).__name__, tasks, criterion)

    # --- steps -----------------------------------------------------------------------------------------------------

    def _need(self, task: str) -> Definition:
        definition = self._definitions.get(task)
        if definition is None:
            message = f"{type(self).__name__} has no '{task}' task"
            raise ScriptError(message, f"write @learner.{task}_task above its function")
        return definition

    def _need_end(self, max_iter: int) -> None:
        if max_iter == 0 and self._stop is None:  # as upstream: an uncertainty may never fall
            hint = "give max_iter, or write @learner.as_stop_criterion(…) above a function"
            raise ScriptError(f"{type(self).__name__} would never end", hint)

    def _criterion(self, after: Sequence[tuple[str, bool]] = ()) -> list[Step]:
        if CRITERION not in self._definitions:
            return []
        return [Step(CRITERION, self._definitions[CRITERION], CRITERION, after)]


def entries_of(count: int, configs: Sequence[LearnerConfig | None] | None, least: int = 2) -> list[Entry]:
    """The learners of a parallel run. Raises ScriptError if the numbers do not fit."""
    if count < least:
        message = f"parallel_learners is {count}"
        raise ScriptError(message, "use at least 2, or the sequential learner for one")
    if configs is not None and len(configs) != count:
        message = f"there are {count} parallel_learners, and {len(configs)} learner_configs"
        raise ScriptError(message, "give one configuration for each learner; None is one without")
    return [Entry(config=each) for each in configs or [None] * count]


def _bound(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[], Any]:
    def call() -> Any:
        return function(*args, **kwargs)

    return call


def _learner_in_task() -> Learner:
    return Learner(ResourceEngine())
