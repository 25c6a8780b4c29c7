"""The algorithm selector: one learner for each algorithm, with everything else the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from rose_cli.api.script_errors import ScriptError
from rose_cli.api.upstream.active import ActiveSteps
from rose_cli.api.upstream.builder import Entry
from rose_cli.api.upstream.decorators import NamedDecorator
from rose_cli.plan.metrics import standard_metric

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from rose_cli.api.upstream.configs import LearnerConfig
    from rose_cli.api.upstream.resources import ResourceEngine
    from rose_cli.api.upstream.scripts import Resume
    from rose_cli.api.upstream.states import IterationState
    from rose_cli.api.upstream.stream import StateStream
    from rose_cli.api.upstream.tracing import Definition

Stats: TypeAlias = dict[str, Any]
"""`iterations` and `last_result` of an algorithm."""


class Selection(dict[str, Any]):
    """`algorithm_results`, `best_algorithm` and `best_stats`. It can be awaited, and is there already."""

    def __await__(self) -> Generator[None, None, Selection]:
        yield from ()
        return self


class AlgorithmSelector(ActiveSteps):
    """Runs each algorithm as a learner, and says which needed the fewest iterations."""

    def __init__(self, asyncflow: ResourceEngine) -> None:
        super().__init__(asyncflow)
        self._algorithms: dict[str, Definition] = {}
        self._results: dict[str, Stats] = {}
        self.best_pipeline_name: str | None = None
        self.best_pipeline_stats: Stats | None = None
        self.active_learn_task = NamedDecorator(self, "active_learn")

    def register(self, definition: Definition, name: str | None = None) -> None:
        """Called by the decorators."""
        if name is not None:
            self._algorithms[name] = definition
        else:
            super().register(definition)

    def start(
        self,
        max_iter: int = 0,
        skip_pre_loop: bool = False,
        algorithm_configs: Mapping[str, LearnerConfig] | None = None,
        *,
        resume: Resume = "auto",
    ) -> Selection:
        """Run all algorithms to the end, and return their results and the best one. It may be awaited as well.

        The best is the one with the fewest iterations; of equal ones, the one with the better last result.
        """
        for state in self._states(max_iter, skip_pre_loop, algorithm_configs or {}, resume):
            name = str(state.learner_id)
            self._results[name] = {"iterations": state.iteration + 1, "last_result": state.metric_value}
        self._select()
        return Selection(
            algorithm_results=dict(self._results),
            best_algorithm=self.best_pipeline_name,
            best_stats=self.best_pipeline_stats,
        )

    teach_and_select = start
    """The name of it in the tutorial's time."""

    def get_best_algorithm(self) -> tuple[str | None, Stats | None]:
        """The name of the best algorithm, and its results."""
        return self.best_pipeline_name, self.best_pipeline_stats

    def get_all_results(self) -> dict[str, Stats]:
        """The results of all algorithms by name."""
        return dict(self._results)

    def _states(
        self, max_iter: int, skip_pre_loop: bool, configs: Mapping[str, LearnerConfig], resume: Resume
    ) -> StateStream:
        if not self._algorithms:
            message = "AlgorithmSelector has no algorithm"
            raise ScriptError(message, "write @learner.active_learn_task(name='…') above the function of each")
        if unknown := sorted(configs.keys() - self._algorithms.keys()):
            message = f"algorithm_configs names '{unknown[0]}', which is no algorithm"
            raise ScriptError(message, f"choose from {', '.join(self._algorithms)}")
        self._need_end(max_iter)
        steps = self._active_steps(skip_pre_loop=skip_pre_loop, skip_simulation=False)
        entries = [Entry(name, configs.get(name), {"active_learn": each}) for name, each in self._algorithms.items()]
        steps += self._criterion([("active_learn", False)])
        request = self._request(steps, entries, max_iter, resume, gated=False, ids=list(self._algorithms))
        return self._stream(request)

    def _active(self) -> Definition:
        """The first algorithm stands for all in the tasks of the campaign; each learner has its own."""
        return replace(next(iter(self._algorithms.values())), task="active_learn")

    def _select(self) -> None:
        rises = self._stop is not None and _rises(self._stop.metric, self._stop.operator)

        def rank(name: str) -> tuple[int, float]:
            stats = self._results[name]
            value = stats["last_result"]
            return stats["iterations"], float("inf") if value is None else -value if rises else value

        if self._results:
            self.best_pipeline_name = min(self._results, key=rank)
            self.best_pipeline_stats = dict(self._results[self.best_pipeline_name])

    def _remember(self, state: IterationState) -> None:
        self._metrics.setdefault(f"learner-{state.learner_id}", {})[state.iteration] = state.metric_value


def _rises(metric: str, operator: str) -> bool:
    """Whether higher values of the metric are better."""
    standard = standard_metric(metric)
    return (operator or (standard.operator if standard is not None else "<")).startswith(">")
