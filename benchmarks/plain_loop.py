"""The plain loop that rose is compared with: `plain_loop.py CHAINS ITERATIONS PROGRAM`, in an empty directory.

It is as durable as rose, and does nothing else: chains of two tasks an iteration, two tasks at a time, a directory an
iteration, two log files a task, and one line a task in a journal, synced before the next task of the chain starts.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque

SLOTS = 2
TASKS = ("simulation", "training")


def run(chains: int, iterations: int, program: str) -> None:
    journal = os.open("journal.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    waiting = deque((chain, 0, 0) for chain in range(chains))
    running: dict[int, tuple[int, int, int]] = {}
    while waiting or running:
        while waiting and len(running) < SLOTS:
            chain, iteration, task = step = waiting.popleft()
            logs = f"chains/{chain}/logs/{iteration}"
            if task == 0:
                os.makedirs(logs)  # noqa: PTH103 - pathlib is slower
            running[_spawned(program, f"{logs}/{TASKS[task]}")] = step
        pid, status = os.waitpid(-1, 0)
        chain, iteration, task = running.pop(pid)
        event = {"chain": chain, "iteration": iteration, "task": TASKS[task], "status": status, "time": time.time()}
        os.write(journal, json.dumps(event).encode() + b"\n")
        os.fdatasync(journal)
        iteration, task = (iteration, task + 1) if task + 1 < len(TASKS) else (iteration + 1, 0)
        if iteration < iterations:
            waiting.append((chain, iteration, task))
    os.close(journal)


def _spawned(program: str, logs: str) -> int:
    create = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, f"{logs}.out", create, 0o644),
        (os.POSIX_SPAWN_OPEN, 2, f"{logs}.err", create, 0o644),
    ]
    return os.posix_spawn(program, [program], os.environ, file_actions=files, setsid=True)


if __name__ == "__main__":
    run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
