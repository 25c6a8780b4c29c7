"""What a task costs on the slurm engine, beside a bare `srun --exact` at the same width: `python -m benchmarks.slurm`.

On a Slurm of its own, with two nodes on this machine; in turns, since their speed depends on whatever else runs here.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import anyio

from rose_cli.engine.base import Capacity, NodeCapacity, TaskRequest
from rose_cli.engine.slurm.engine import SlurmEngine
from tests.slurm.cluster import Cluster

TASKS, ROUNDS, WIDTHS = 24, 5, (1, 2, 4)


async def with_rose(cluster: Cluster, job: str, width: int, directory: Path) -> float:
    """Seconds for each task."""
    names = cluster.nodes[: min(width, 2)]
    nodes = tuple(NodeCapacity(name, width // len(names)) for name in names)
    engine = SlurmEngine(
        capacity=Capacity(width, nodes=nodes), run_id=uuid.uuid4().hex, session=1, directory=directory / "engine",
        base_environment=cluster.environment, job_id=job,
    )  # fmt: skip

    async def on_start() -> None:
        pass

    async def task(number: int) -> None:
        stdout, stderr = directory / f"{number}.out", directory / f"{number}.err"
        outcome = await engine.run(TaskRequest(f"{number}", ("true",), {}, directory, stdout, stderr), on_start)
        if not outcome.succeeded:
            raise RuntimeError(outcome.message)

    async with engine:
        begun = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for number in range(TASKS):
                tasks.start_soon(task, number)
        return (time.perf_counter() - begun) / TASKS


def with_srun(cluster: Cluster, job: str, width: int) -> float:
    """Seconds for each step."""
    options = "--exact -N1 -n1 -c1 --mem=0 --gres=none --input=none -o /dev/null -e /dev/null"
    step = f"exec srun -Q --jobid={job} {options} -w n$((1 + @ % {min(width, 2)})) true"
    begun = time.perf_counter()
    line = f"seq {TASKS} | xargs -P{width} -I@ sh -c '{step}'"
    subprocess.run(line, shell=True, env=cluster.environment, check=True)
    return (time.perf_counter() - begun) / TASKS


def main() -> None:
    with Cluster.start(gpus=0) as cluster:
        job = cluster.allocate("--nodes=2", "--ntasks-per-node=2")
        for width in WIDTHS:
            bare, rose = [], []
            for _ in range(ROUNDS):
                bare.append(with_srun(cluster, job, width))
                with tempfile.TemporaryDirectory() as directory:
                    rose.append(anyio.run(with_rose, cluster, job, width, Path(directory)))
            usual = statistics.median(bare), statistics.median(rose)
            sys.stdout.write(
                f"{width} at once: srun {usual[0] * 1e3:.0f} ms, rose {usual[1] * 1e3:.0f} ms, "
                f"ratio {usual[1] / usual[0]:.2f}, of the fastest {min(rose) / min(bare):.2f}\n"
            )


if __name__ == "__main__":
    main()
