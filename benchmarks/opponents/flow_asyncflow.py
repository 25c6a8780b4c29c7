"""`flow_asyncflow.py CHAINS ITERATIONS`: the chains with radical.asyncflow on rhapsody's concurrent back end.

The back end starts all tasks that it gets at once, so a semaphore keeps them to two. It keeps nothing on disk but the
output of the tasks.
"""

import asyncio
import sys

from radical.asyncflow import WorkflowEngine
from rhapsody.backends import ConcurrentExecutionBackend

TASKS = ("simulation", "training")


async def main(chains: int, iterations: int) -> None:
    backend = await ConcurrentExecutionBackend()
    flow = await WorkflowEngine.create(backend=backend)
    slots = asyncio.Semaphore(2)

    @flow.executable_task(capture_stdio=True)
    async def simulation() -> str:
        return "true"

    @flow.executable_task(capture_stdio=True)
    async def training() -> str:
        return "true"

    async def chain() -> None:
        for _ in range(iterations):
            for task in (simulation, training):
                async with slots:
                    await task()

    await asyncio.gather(*(chain() for _ in range(chains)))
    await flow.shutdown()


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
