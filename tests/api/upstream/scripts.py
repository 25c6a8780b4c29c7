"""Scripts with the calls of upstream's example programs, in our own words."""

from __future__ import annotations

HEAD = """\
import asyncio, os, sys
from rose_cli import (
    AlgorithmSelector, ConcurrentExecutionBackend, LearnerConfig, ParallelActiveLearner, RadicalExecutionBackend,
    SequentialActiveLearner, TaskConfig, WorkflowEngine,
)
from rose_cli.metrics import MEAN_SQUARED_ERROR_MSE

PROGRAM = f"{sys.executable} {os.getcwd()}"
"""

TASKS = """
    @learner.simulation_task
    async def simulation(*args, task_description={"shell": True}, **kwargs):
        return f"{PROGRAM}/sim.py --n {kwargs.get('--n', 1)}"

    @learner.training_task
    async def training(*args, **kwargs):
        return f"{PROGRAM}/train.py"

    @learner.active_learn_task
    async def active_learn(*args, **kwargs):
        return f"{PROGRAM}/active.py"

    @learner.as_stop_criterion(metric_name=MEAN_SQUARED_ERROR_MSE, threshold=0.1)
    async def check(*args, **kwargs):
        return f"{PROGRAM}/check_mse.py"
"""

SEQUENTIAL = (
    HEAD
    + """
async def main():
    backend = await RadicalExecutionBackend({"resource": "local.localhost"})
    flow = await WorkflowEngine.create(backend)
    learner = SequentialActiveLearner(flow)
"""
    + TASKS
    + """
    async for state in learner.start():
        print("state", state.iteration, state.metric_value, state.arguments)
    await learner.shutdown()

asyncio.run(main())
"""
)

PARALLEL = (
    HEAD
    + """
async def main():
    from concurrent.futures import ThreadPoolExecutor
    flow = await WorkflowEngine.create(await ConcurrentExecutionBackend(ThreadPoolExecutor()))
    learner = ParallelActiveLearner(flow)
"""
    + TASKS
    + """
    growing = learner.create_adaptive_schedule("simulation", lambda i: {"kwargs": {"--n": 10 + i}})
    configs = [LearnerConfig(simulation=growing), LearnerConfig(simulation=TaskConfig(kwargs={"--n": 7})), None]
    async for state in learner.start(parallel_learners=3, max_iter=5, learner_configs=configs):
        print("state", state.learner_id, state.iteration, state.metric_value)
    print(sorted(learner.get_metric_results()))
    await flow.shutdown()

asyncio.run(main())
"""
)

SELECTOR = (
    HEAD
    + """
async def main():
    flow = await WorkflowEngine.create(await RadicalExecutionBackend({"resource": "local.localhost"}))
    learner = AlgorithmSelector(flow)
"""
    + TASKS.replace(
        "@learner.active_learn_task\n    async def active_learn",
        "@learner.active_learn_task(name='slow')\n    async def one",
    ).replace("active.py", "active_1.py")
    + """
    @learner.active_learn_task(name="quick")
    async def other(*args):
        return f"{PROGRAM}/active_2.py"

    found = await learner.start(max_iter=4)
    print("best", found["best_algorithm"], found["best_stats"], learner.get_best_algorithm()[0])
    print("all", sorted(found["algorithm_results"].items()))
    await learner.shutdown()

asyncio.run(main())
"""
)

VALUES = """\
import asyncio, json, os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from rose_cli import ConcurrentExecutionBackend, LearnerConfig, SequentialActiveLearner, TaskConfig, WorkflowEngine
from rose_cli.metrics import MEAN_SQUARED_ERROR_MSE

SHARED = Path("points.json")
PAUSE = Path(os.environ.get("PAUSE", "/nowhere"))

async def simulation(*args, n_initial=4):
    known = json.loads(SHARED.read_text()) if SHARED.exists() else list(range(n_initial))
    SHARED.write_text(json.dumps(known))
    return {"labeled_count": len(known), "seen": args[0]["labeled_count"] if args and args[0] else 0}

def training(*args, scale=1.0):
    assert args[0]["labeled_count"] >= 4
    return {"scale": scale, "model": object()}

async def active_learn(*args, n_select=2):
    simulated, trained = args
    known = json.loads(SHARED.read_text())
    SHARED.write_text(json.dumps(known + list(range(n_select))))
    return {"labeled_count": len(known) + n_select, "selected": n_select}

async def check(*args):
    return 1 / len(json.loads(SHARED.read_text()))

async def main():
    flow = await WorkflowEngine.create(await ConcurrentExecutionBackend(ProcessPoolExecutor()))
    learner = SequentialActiveLearner(flow)
    learner.simulation_task(as_executable=False)(simulation)
    learner.training_task(as_executable=False)(training)
    learner.active_learn_task(as_executable=False)(active_learn)
    learner.as_stop_criterion(metric_name=MEAN_SQUARED_ERROR_MSE, threshold=0.001, as_executable=False)(check)
    async for state in learner.start(max_iter=8):
        print("state", state.iteration, f"{state.metric_value:.4f}", state.labeled_count, state.seen, state.selected,
              state.scale, state.unknown, flush=True)
        if state.iteration == 1:
            learner.set_next_config(LearnerConfig(active_learn=TaskConfig(kwargs={"n_select": 5})))
        while state.iteration == 2 and PAUSE.exists():
            await asyncio.sleep(0.01)
        if state.labeled_count > 20:
            break
    print("last", state.to_dict()["iteration"], state.metric_history == sorted(state.metric_history, reverse=True))
    await learner.shutdown()

if __name__ == "__main__":
    asyncio.run(main())
"""

REINFORCEMENT = """\
import asyncio, os, sys
from rose_cli import ConcurrentExecutionBackend, SequentialReinforcementLearner, WorkflowEngine
from rose_cli.metrics import GREATER_THAN_THRESHOLD

PROGRAM = f"{sys.executable} {os.getcwd()}"
data = os.path.join(os.getcwd(), "data")

async def main():
    flow = await WorkflowEngine.create(await ConcurrentExecutionBackend())
    learner = SequentialReinforcementLearner(flow)

    @learner.environment_task
    async def environment(*args, task_description={"shell": True}):
        return f"{PROGRAM}/sim.py {data} 0.1"

    @learner.update_task
    async def update(*args, task_description={"shell": True}):
        return f"{PROGRAM}/train.py {data}"

    @learner.as_stop_criterion(metric_name="MODEL_REWARD", threshold=1.5, operator=GREATER_THAN_THRESHOLD)
    async def check(*args, task_description={"shell": True}):
        return "echo $((ROSE_ITERATION))"

    async for state in learner.start():
        print("state", state.iteration, state.metric_name, state.metric_value)
    await learner.shutdown()

asyncio.run(main())
"""

EXPERIENCE = """\
import asyncio
from rose_cli import ConcurrentExecutionBackend, Experience, ExperienceBank, ParallelExperience, WorkflowEngine

def collected(name, count):
    bank = ExperienceBank(session_id=f"experience_bank_{name}")
    for number in range(count):
        bank.add(Experience(number, 0, 1.0, number + 1, False))
    bank.save(".")
    return {f"steps_{name}": count}

async def main():
    learner = ParallelExperience(await WorkflowEngine.create(await ConcurrentExecutionBackend()))

    @learner.environment_task(name="left", as_executable=False)
    def left(*args):
        return collected("left", 3)

    @learner.environment_task(name="right", as_executable=False)
    def right(*args):
        return collected("right", 4)

    @learner.update_task(as_executable=False)
    def update(*args):
        return {"used": len(ExperienceBank.load("experience_bank.pkl"))}

    async for state in learner.start(max_iter=2):
        print("state", state.iteration, state.steps_left, state.steps_right, state.experiences, state.used)
    await learner.shutdown()

asyncio.run(main())
"""

UNCERTAINTY = """\
import asyncio, json, sys
from pathlib import Path
from rose_cli import ConcurrentExecutionBackend, ParallelUQLearner, TaskConfig, UQLearnerConfig, WorkflowEngine
from rose_cli.metrics import MODEL_ACCURACY, PREDICTIVE_ENTROPY

ECHO = f"{sys.executable} -c 'import sys; print(sys.argv[1:])' "

async def main():
    learner = ParallelUQLearner(await WorkflowEngine.create(await ConcurrentExecutionBackend()))

    @learner.simulation_task()
    async def simulation(*args, **kwargs):
        return ECHO + kwargs["--name"]

    @learner.training_task()
    async def training(*args, **kwargs):
        return ECHO + f"--model {kwargs['--model_name']} --epochs {kwargs.get('--epochs')}"

    @learner.prediction_task()
    async def prediction(*args, **kwargs):
        return ECHO + f"{kwargs['--model_name']} {kwargs['--iteration'] + 1}"

    @learner.active_learn_task()
    async def active_learn(*args, **kwargs):
        return ECHO

    @learner.as_stop_criterion(metric_name=MODEL_ACCURACY, threshold=0.99)
    async def accuracy(*args, **kwargs):
        return "echo 0.5" if kwargs["--model_name"] == "cnn" else "echo 0.7"

    @learner.uncertainty_quantification(uq_metric_name=PREDICTIVE_ENTROPY, threshold=0.5, query_size=1)
    async def uncertainty(*args, **kwargs):
        return [sys.executable, "-c", "import os; print(1.0 / (1 + int(os.environ['ROSE_ITERATION'])))"]

    configs = {
        name: UQLearnerConfig(
            simulation=TaskConfig(kwargs={"--name": name}), training=TaskConfig(kwargs={"--epochs": 3})
        )
        for name in ("UQ1", "UQ2")
    }
    last = {}
    async for state in learner.start(
        learner_names=["UQ1", "UQ2"], model_names=["cnn", "mlp"], learner_configs=configs, max_iter=4, num_predictions=2
    ):
        last[state.learner_id] = state.to_dict()
        if state.learner_id == "UQ1":
            print("state", state.iteration, state.metric_value, state.uq_value, state.criterion_values,
                  state.should_stop)
    print("last", sorted(last), json.dumps(last["UQ2"])[:20])
    await learner.shutdown()

asyncio.run(main())
"""
