"""Learners that measure uncertainty: several models, several predictions of each, and two criteria.

In each iteration: simulation, training of each model, the predictions of each model, uncertainty. If the uncertainty
has reached its threshold, the learner ends; else follow active learning, and the criterion of each model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from rose_cli.api.script_errors import ScriptError
from rose_cli.api.upstream.active import LATER, ActiveLearnerBase
from rose_cli.api.upstream.builder import CRITERION, Entry, Step, Stop
from rose_cli.api.upstream.decorators import Registered
from rose_cli.api.upstream.states import IterationState, States
from rose_cli.api.upstream.tracing import Definition
from rose_cli.plan.metrics import standard_metric

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rose_cli.api.upstream.configs import UQLearnerConfig
    from rose_cli.api.upstream.opening import Request
    from rose_cli.api.upstream.resources import ResourceEngine
    from rose_cli.api.upstream.scripts import Resume
    from rose_cli.api.upstream.stream import StateStream
    from rose_cli.api.upstream.translate import Reports

P = ParamSpec("P")
R = TypeVar("R")

_UNCERTAINTY, _CHECK = "uncertainty", "check"
_VALUE = "value"
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!="}


class UQLearner(ActiveLearnerBase):
    """What learners that measure uncertainty share."""

    def __init__(self, asyncflow: ResourceEngine) -> None:
        super().__init__(asyncflow)
        self._uncertainty: Stop | None = None
        self._uncertainties: dict[Any, Any] = {}

    def uncertainty_quantification(
        self, uq_metric_name: str, query_size: float, threshold: float, operator: str = "", as_executable: bool = True,
        **resources: Any,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:  # fmt: skip
        """The task that gives the uncertainty: the learner stops when it is beyond the threshold.

        `query_size` is for the script: rose does not use it.
        """

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            self._definitions[_UNCERTAINTY] = Definition(_UNCERTAINTY, function, as_executable, resources)
            self._uncertainty = Stop(uq_metric_name, float(threshold), operator, f"results.{_UNCERTAINTY}.{_VALUE}")
            return Registered(function, _UNCERTAINTY)

        return decorate

    def get_uncertainty_results(self) -> dict[Any, Any]:
        """The uncertainties by iteration; of several learners by learner and iteration."""
        return dict(self._uncertainties)

    # --- steps -----------------------------------------------------------------------------------------------------

    def _uq_steps(self, models: Sequence[str], draws: int, *, skip_pre_loop: bool) -> list[Step]:
        if not models or draws < 1:
            raise ScriptError(
                "there is nothing to predict", "give at least one of model_names, and num_predictions >= 1"
            )
        names = [str(each) for each in models]
        later = {"when": LATER} if skip_pre_loop else {}
        model, number = {"--model_name": "name"}, {"--model_name": "name:0", "--iteration": "number:1"}
        predictions = {"replicas": {"model": names, "draw": draws}, **later}
        steps = [
            Step("simulation", self._need("simulation"), "simulation", [("active_learn", True)], keys=later),
            Step("training", self._need("training"), "training", [("simulation", False)], axes=model,
                 keys={"replicas": names, **later}, at_run_time=True),
            Step("prediction", self._need("prediction"), "prediction", [("training", False)], axes=number,
                 keys=predictions, at_run_time=True),
        ]  # fmt: skip
        after = [("prediction", False)]
        goes_on: dict[str, Any] = {}
        if self._uncertainty is not None:
            uncertainty = self._need(_UNCERTAINTY)
            steps.append(Step(_UNCERTAINTY, uncertainty, _UNCERTAINTY, after, at_run_time=True, reports_number=True))
            after = [(_UNCERTAINTY, False)]
            opposite = _OPPOSITE[operator_of(self._uncertainty)]
            goes_on = {"when": f"{self._uncertainty.value} {opposite} {self._uncertainty.threshold!r}"}
        steps.append(Step("active_learn", self._need("active_learn"), "active_learn", after, keys=goes_on))
        if CRITERION in self._definitions:
            criterion = self._definitions[CRITERION]
            steps.append(
                Step(_CHECK, Definition(_CHECK, criterion.function, criterion.as_executable, criterion.described),
                     CRITERION, [("active_learn", False)], axes=model, keys={"replicas": names, **goes_on},
                     at_run_time=True, reports_number=True)
            )  # fmt: skip
        return steps

    def _stops(self) -> list[Stop] | None:
        """The accuracy counts for the worst model: the learner ends when all models have met the criterion."""
        found = [self._uncertainty] if self._uncertainty is not None else []
        if self._stop is not None:
            worst = "min" if operator_of(self._stop).startswith(">") else "max"
            value = f"{worst}(results.{_CHECK}.{_VALUE})"
            found.insert(0, Stop(self._stop.metric, self._stop.threshold, self._stop.operator, value))
        return found or None

    def finish_state(self, state: IterationState, reports: Reports, steps: Sequence[Step]) -> None:
        """The state of active learning, the uncertainty, and the criterion of each model; the metric is their mean."""
        super().finish_state(state, reports, [step for step in steps if step.task == "active_learn"])
        uncertainty = reports.get((_UNCERTAINTY, 0), {}).get(_VALUE)
        if uncertainty is not None:
            state.state["uq_value"] = uncertainty
        values = [
            report[_VALUE] for (task, _), report in sorted(reports.items()) if task == _CHECK and _VALUE in report
        ]
        state.metric_value = sum(values) / len(values) if values else None
        if values:
            state.state["criterion_values"] = values

    def on_state(self, state: IterationState) -> None:
        """Called with each state before the script gets it."""
        if "uq_value" in state.state:
            self._place(self._uncertainties, state)[state.iteration] = state.state["uq_value"]
        super().on_state(state)

    def _remember(self, state: IterationState) -> None:
        self._place(self._metrics, state)[state.iteration] = state.metric_value

    def _place(self, values: dict[Any, Any], state: IterationState) -> dict[Any, Any]:
        found: dict[Any, Any] = (
            values if state.learner_id is None else values.setdefault(f"learner-{state.learner_id}", {})
        )
        return found

    def _asked(
        self, names: Sequence[str | None], models: Sequence[str], draws: int, max_iter: int, skip_pre_loop: bool,
        configs: Mapping[str, UQLearnerConfig | None], resume: Resume, *, gated: bool,
    ) -> Request:  # fmt: skip
        steps = self._uq_steps(models, draws, skip_pre_loop=skip_pre_loop)
        self._need_end(max_iter)
        entries = [Entry(name, configs.get(name or "")) for name in names]
        return self._request(steps, entries, max_iter, resume, gated=gated, ids=list(names), stop=self._stops())


class SeqUQLearner(UQLearner):
    """One learner that measures uncertainty."""

    def start(
        self, model_names: Sequence[str], num_predictions: int = 1, max_iter: int = 0, skip_pre_loop: bool = False,
        learning_config: UQLearnerConfig | None = None, *, resume: Resume = "auto",
    ) -> StateStream:  # fmt: skip
        """Run, and give the state after each iteration. `num_predictions`: for each model."""
        configs = {"": learning_config}
        request = self._asked(
            [None], model_names, num_predictions, max_iter, skip_pre_loop, configs, resume, gated=True
        )
        return self._stream(request)

    def teach(
        self, model_names: Sequence[str], num_predictions: int = 1, max_iter: int = 0, skip_pre_loop: bool = False,
        learning_config: UQLearnerConfig | None = None, *, resume: Resume = "auto",
    ) -> States[dict[str, Any]]:  # fmt: skip
        """Run to the end, and return `iterations`, `uq` and `criterion` of each iteration."""
        configs = {"": learning_config}
        request = self._asked(
            [None], model_names, num_predictions, max_iter, skip_pre_loop, configs, resume, gated=False
        )
        return States(_summary(state) for state in self._stream(request))


class ParallelUQLearner(UQLearner):
    """Several learners that measure uncertainty at the same time; each has a name."""

    def start(
        self, learner_names: Sequence[str], model_names: Sequence[str], num_predictions: int = 1, max_iter: int = 0,
        skip_pre_loop: bool = False, learner_configs: Mapping[str, UQLearnerConfig | None] | None = None,
        *, resume: Resume = "auto",
    ) -> StateStream:  # fmt: skip
        """Run, and give the state after each iteration of each learner, in the order in which they end."""
        configs = self._configs(learner_names, learner_configs)
        return self._stream(
            self._asked(
                learner_names, model_names, num_predictions, max_iter, skip_pre_loop, configs, resume, gated=True
            )
        )

    def teach(
        self, learner_names: Sequence[str], model_names: Sequence[str], num_predictions: int = 1, max_iter: int = 0,
        skip_pre_loop: bool = False, learner_configs: Mapping[str, UQLearnerConfig | None] | None = None,
        *, resume: Resume = "auto",
    ) -> States[IterationState | None]:  # fmt: skip
        """Run to the end, and return the last state of each learner."""
        configs = self._configs(learner_names, learner_configs)
        request = self._asked(
            learner_names, model_names, num_predictions, max_iter, skip_pre_loop, configs, resume, gated=False
        )
        last = {state.learner_id: state for state in self._stream(request)}
        return States(last.get(name) for name in learner_names)

    @staticmethod
    def _configs(
        names: Sequence[str], configs: Mapping[str, UQLearnerConfig | None] | None
    ) -> Mapping[str, UQLearnerConfig | None]:
        if not names:
            raise ScriptError("there are no learner_names", "give at least one")
        if configs is not None and set(configs) != set(names):
            unknown = sorted(set(configs) ^ set(names))
            message = f"'{unknown[0]}' is not in both learner_names and learner_configs"
            raise ScriptError(message, "give one configuration for each learner; None is one without")
        return configs or {}


def operator_of(stop: Stop) -> str:
    """The operator of a criterion; that of its standard metric, if it has none."""
    standard = standard_metric(stop.metric)
    if not stop.operator and standard is None:
        message = f"the metric '{stop.metric}' needs an operator"
        raise ScriptError(message, "give one of <, <=, >, >=, ==: rose knows it for standard metrics only")
    return stop.operator or (standard.operator if standard is not None else "<")


def _summary(state: IterationState) -> dict[str, Any]:
    found = {"iterations": state.iteration, "uq": state.get("uq_value"), "criterion": state.get("criterion_values")}
    return {name: value for name, value in found.items() if value is not None}
