"""What a type checker says of scripts of users."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.api.upstream import programs
from tests.conftest import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """\
import asyncio
import sys
from typing import Any

from rose_cli import (
    AlgorithmSelector,
    ConcurrentExecutionBackend,
    IterationState,
    LearnerConfig,
    ParallelActiveLearner,
    ParallelLearnerConfig,
    ParallelUQLearner,
    ResourceEngine,
    SequentialReinforcementLearner,
    Task,
    TaskConfig,
    TrackerBase,
    WorkflowEngine,
)
from rose_cli.metrics import MEAN_SQUARED_ERROR_MSE

engine = ResourceEngine({"runtime": 30, "resource": "local.localhost"})
learner = ParallelActiveLearner(engine)


@learner.simulation_task
def simulation(*args: object, **kwargs: Any) -> Task:
    return Task(executable=f"{sys.executable} sim.py", ranks=2)


@learner.training_task(as_executable=False, gpus_per_rank=1)
async def training(*args: object, rate: float = 0.1) -> dict[str, float]:
    return {"rate": rate}


@learner.as_stop_criterion(metric_name=MEAN_SQUARED_ERROR_MSE, threshold=0.1)
def check() -> str:
    return "python check.py"


class Log(TrackerBase):
    def on_iteration(self, state: IterationState) -> None:
        print(state.iteration, state.labeled_count)


learner.add_tracker(Log())
schedule = learner.create_adaptive_schedule("simulation", lambda i: {"kwargs": {"--n": i}})
states = learner.teach(parallel_learners=2, learner_configs=[ParallelLearnerConfig(simulation=schedule), None])
last: IterationState | None = states[0]


async def main() -> None:
    flow = await WorkflowEngine.create(await ConcurrentExecutionBackend())
    rl = SequentialReinforcementLearner(flow)
    async for state in rl.start(max_iter=3):
        value: float | None = state.metric_value
        rl.set_next_config(LearnerConfig(update=TaskConfig(kwargs={"--lr": value})))
        if state.reward > 5:
            break
    for state in rl.start():
        rl.stop()
    selector = AlgorithmSelector(flow)

    @selector.active_learn_task(name="one")
    async def one(*args: object) -> str:
        return "true"

    best: str = (await selector.start(max_iter=2))["best_algorithm"]
    uq = ParallelUQLearner(flow)
    async for state in uq.start(learner_names=["a"], model_names=["m"], max_iter=1):
        print(best, state.to_dict())
    await flow.shutdown()


asyncio.run(main())
"""


def test_a_script_of_a_user_passes_mypy_in_strict_mode(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", "script.py"],
        cwd=tmp_path,
        env={**programs.environment(), "MYPYPATH": programs.environment()["PYTHONPATH"]},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
