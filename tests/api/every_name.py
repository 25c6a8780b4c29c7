"""Each public name, as somebody uses it who checks strictly: mypy reads this file, and nothing runs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rose_cli
from rose_cli.metrics import GREATER_THAN_THRESHOLD, MEAN_SQUARED_ERROR_MSE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def use(*values: object) -> None:
    """What takes any value."""


def modern() -> None:
    made: rose_cli.Campaign = rose_cli.load({"max_iter": 1, "learners": 1, "tasks": {}}, name="made")
    text: str | None = made.text
    found: tuple[rose_cli.Diagnostic, ...] = rose_cli.problems(Path("campaign.yaml"), set={"max_iter": 2})
    learner: rose_cli.Learner = made.learners[0]
    tasks: tuple[str, ...] = learner.tasks
    run: rose_cli.Run = rose_cli.open_run("run")
    lines: tuple[str, ...] = run.set({"stop.threshold": 0.1}, learners=["a"])
    results: dict[str, rose_cli.LearnerResult] = run.learners
    best: rose_cli.Best | None = results["a"].best
    table: rose_cli.Table = run.history("a")
    is_done: bool = run.status is rose_cli.Status.DONE
    frame_rows: list[dict[str, Any]] = table.rows()
    try:
        running: rose_cli.RunningRun = run.start(max_iter=4, set={"stop.threshold": 0.1})
        with running:
            running.set({"max_iter": 9})
            for iteration in running.iterations():
                past: Sequence[float | None] = iteration.history
                reports: Mapping[str, Sequence[Mapping[str, Any]]] = iteration.results
                use(past, reports)
            for event in running.events():
                use(event)
            running.stop("a")
            running.kill()
    except (rose_cli.CampaignError, rose_cli.UsageError) as error:
        use(error.hints)
    except (rose_cli.RunDirectoryError, rose_cli.EngineError, rose_cli.RoseError) as error:
        message: str = error.message
        use(message)
    use(text, found, tasks, lines, best, is_done, frame_rows, run.tasks(), run.failures(), run.workspace("a"))


def decide(state: rose_cli.Iteration) -> rose_cli.Decision | None:
    change = rose_cli.TaskChange(options={"--n": [1, 2.5], "--x": None}, args=["a"], words=["b"])
    return rose_cli.Decision(stop=state.value is None, tasks={"training": change}, message="why")


class Log(rose_cli.TrackerBase):
    def on_start(self, manifest: rose_cli.PipelineManifest) -> None:
        task: rose_cli.TaskManifest = manifest.tasks["training"]
        criterion: rose_cli.CriterionManifest | None = manifest.criterion
        use(task.log_params, criterion)

    def on_iteration(self, state: rose_cli.IterationState) -> None:
        history: list[float] = state.metric_history
        use(history, state.to_dict(), state.get("n", 0))


async def upstream() -> None:
    backend = await rose_cli.ConcurrentExecutionBackend()
    flow: rose_cli.WorkflowEngine = await rose_cli.WorkflowEngine.create(backend)
    acl = rose_cli.SequentialActiveLearner(flow)
    rose_cli.init_default_logger("INFO")
    acl.add_tracker(Log())
    acl.add_tracker(rose_cli.MLflowTracker(experiment_name="e"))

    @acl.utility_task
    def prepare(path: str) -> str:
        return f"make {path}"

    @acl.utility_task(as_executable=False)
    async def prepare_too(path: str) -> int:
        return 1

    @acl.simulation_task
    async def simulation(*args: object, **kwargs: Any) -> rose_cli.Task:
        return rose_cli.Task("sim.py", ["a"], ranks=2, pre_exec=["module load x"], environment={"A": "b"})

    @acl.training_task(as_executable=False, log_params={"lr": 1}, gpus_per_rank=1)
    def training(data: dict[str, float], *, rate: float = 0.1) -> dict[str, float]:
        return {"rate": rate}

    @acl.prediction_task
    def prediction() -> list[str]:
        return ["predict.py"]

    @acl.active_learn_task()
    def active(*args: object) -> str:
        return "active.py"

    @acl.as_stop_criterion(metric_name=MEAN_SQUARED_ERROR_MSE, threshold=0.1, as_executable=False)
    def check(*args: object) -> float:
        return 0.5

    prepare("data")
    await prepare_too("data")
    await run_it(acl)
    await acl.shutdown()
    await flow.shutdown()


async def run_it(acl: rose_cli.SequentialActiveLearner) -> None:
    acl.register_state("n", 1)
    acl.on_state_update(use)
    every: dict[int, rose_cli.TaskConfig] = acl.create_iteration_schedule("training", {0: {"kwargs": {"rate": 1}}})
    config = rose_cli.LearnerConfig(training=every, simulation=rose_cli.TaskConfig(args=(1,), kwargs={"--n": 2}))
    try:
        async for state in acl.start(max_iter=3, skip_pre_loop=True, initial_config=config, resume=False):
            value: float | None = state.metric_value
            acl.set_next_config(config)
            if value is not None and state.labeled > 3:
                acl.stop()
    except rose_cli.LearnersFailedError as error:
        failed: Mapping[str, str | None] = error.failed
        use(failed)
    last: rose_cli.IterationState = acl.teach(max_iter=1)
    again: rose_cli.IterationState = await acl.teach(max_iter=1)
    results: dict[Any, Any] = acl.get_metric_results()
    use(last, again, results, acl.is_stopped, acl.get_state("n"), acl.get_all_state())


async def others(flow: rose_cli.WorkflowEngine) -> None:
    one = rose_cli.ActiveLearner(rose_cli.ResourceEngine({"resource": "local.localhost"}))
    several = rose_cli.ParallelActiveLearner(rose_cli.RadicalExecutionBackend({"resource": "local.localhost"}))
    configs = [rose_cli.ParallelLearnerConfig(criterion=rose_cli.TaskConfig()), None]
    for state in several.start(parallel_learners=2, learner_configs=configs):
        number: int | str | None = state.learner_id
        use(number)
    lasts: list[rose_cli.IterationState | None] = await several.teach(parallel_learners=2, max_iter=1)
    selector = rose_cli.AlgorithmSelector(flow)

    @selector.active_learn_task(name="one", as_executable=False)
    async def first(*args: object) -> None:
        return None

    best: str = (await selector.start(max_iter=2))["best_algorithm"]
    name, stats = selector.get_best_algorithm()
    rl = rose_cli.SequentialReinforcementLearner(flow)

    @rl.environment_task
    async def environment(*args: object) -> str:
        return "env.py"

    @rl.update_task(as_executable=False)
    def update(*args: object, lr: float = 0.1) -> dict[str, float]:
        return {"lr": lr}

    for state in rl.start(max_iter=2, skip_environment_step=True):
        use(state.reward)
    many: rose_cli.ReinforcementLearner = rose_cli.ParallelReinforcementLearner(flow)
    shared = rose_cli.ParallelExperience(flow)

    @shared.environment_task(name="north")
    def north(*args: object) -> str:
        return "env.py"

    bank = rose_cli.ExperienceBank(max_size=10)
    bank.add(rose_cli.create_experience([1], 2, 3.0, [4], True))
    sample: list[rose_cli.Experience] = bank.sample(3)
    use(one, lasts, best, name, stats, many, sample)


@rose_cli.register_uq("spread")
def spread(predictions: Any) -> Any:
    return predictions


async def uncertainty(flow: rose_cli.WorkflowEngine) -> None:
    one: rose_cli.UQLearner = rose_cli.SeqUQLearner(flow)
    uq = rose_cli.ParallelUQLearner(flow)

    @uq.uncertainty_quantification(
        uq_metric_name="entropy", threshold=0.1, query_size=4, operator=GREATER_THAN_THRESHOLD
    )
    def entropy(*args: object) -> str:
        return "uq.py"

    config = rose_cli.UQLearnerConfig(uncertainty=rose_cli.TaskConfig())
    async for state in uq.start(
        learner_names=["a"], model_names=["m"], num_predictions=2, max_iter=1, learner_configs={"a": config}
    ):
        use(state.uq_value, state.to_dict())
    scorer = rose_cli.UQScorer("regression")
    use(one, scorer.compute_uncertainty("spread", [[1.0]]))


def refused() -> None:
    try:
        rose_cli.ClearMLTracker("project", "task")
        rose_cli.DragonExecutionBackendV3()
    except (rose_cli.UnsupportedError, rose_cli.ScriptError, rose_cli.RoseWarning) as error:
        use(error)
