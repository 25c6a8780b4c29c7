"""asyncio: subprocesses, threads, a handler of a signal, an error in a task, no loop left from anywhere."""

import asyncio
import os
import signal
import sys


async def main():
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print('child')", stdout=asyncio.subprocess.PIPE)
    print(await process.communicate(), process.returncode)
    print(await asyncio.to_thread(sum, [1, 2]))
    came = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, came.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await came.wait()

    async def fails():
        raise ValueError("in a task")

    print(await asyncio.gather(fails(), asyncio.sleep(0.01, "slept"), return_exceptions=True))
    never = asyncio.create_task(fails())
    await asyncio.sleep(0)
    del never
    raise KeyError("out of main")


print(asyncio._get_running_loop(), asyncio.all_tasks.__name__)
asyncio.run(main())
