"""`flow_asyncflow.py CHAINS ITERATIONS [fit | function]`: the chains with radical.asyncflow and rhapsody.

The concurrent back end starts all programs that it gets at once, so a semaphore keeps them to two. It keeps nothing on
disk but the output of the tasks. `fit`: the program fit.py in place of `true`; `function`: `fit.main` in two processes.
"""

import asyncio
import sys
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

from radical.asyncflow import WorkflowEngine
from rhapsody.backends import ConcurrentExecutionBackend

HERE = Path(__file__).parent


async def main(chains: int, iterations: int, what: str, executor: Executor | None) -> None:
    backend = await ConcurrentExecutionBackend(executor)
    flow = await WorkflowEngine.create(backend=backend)
    slots = asyncio.Semaphore(2)
    program = f"{sys.executable} {HERE}/fit.py" if what == "fit" else "true"

    @flow.executable_task(capture_stdio=True)
    async def simulation() -> str:
        return program

    @flow.executable_task(capture_stdio=True)
    async def training() -> str:
        return program

    here = str(HERE)

    @flow.function_task
    async def fitted() -> float:
        if here not in sys.path:
            sys.path.insert(0, here)
        import fit

        return fit.main()

    async def chain() -> None:
        for _ in range(iterations):
            for task in (fitted, fitted) if executor else (simulation, training):
                async with slots:
                    await task()

    await asyncio.gather(*(chain() for _ in range(chains)))
    await flow.shutdown()


if __name__ == "__main__":
    last = sys.argv[-1]
    pool = ProcessPoolExecutor(max_workers=2) if last == "function" else None
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), last, pool))
