"""Hand-written chains of tasks for radical.pilot: `by_hand.py CHAINS LENGTH CORES COMMAND`. Prints the time they took.

The next task of a chain is submitted from the callback that reports the end of the previous one.
"""

from __future__ import annotations

import json
import shlex
import sys
import threading
import time
from typing import Any

import radical.pilot as rp


class Chains:
    def __init__(self, manager: Any, chains: int, length: int, command: str) -> None:  # noqa: ANN401 - it has no types
        self._manager = manager
        self._executable, *self._arguments = shlex.split(command)
        self._left = {f"chain.{chain}": length for chain in range(chains)}
        self._lock = threading.Lock()
        self.done = threading.Event()

    def start(self) -> None:
        self._manager.submit_tasks([self._task(name) for name in list(self._left)])

    def on_task(self, task: Any, state: str) -> None:  # noqa: ANN401
        if state not in rp.FINAL:
            return
        if state != rp.DONE:
            print(f"{task.uid} ended as {state}", file=sys.stderr)
        with self._lock:
            self._left[task.name] -= 1
            goes_on = self._left[task.name] > 0
        if goes_on:
            self._manager.submit_tasks([self._task(task.name)])
        elif not any(self._left.values()):
            self.done.set()

    def _task(self, name: str) -> Any:  # noqa: ANN401
        return rp.TaskDescription({"name": name, "executable": self._executable, "arguments": self._arguments})


def main() -> None:
    chains, length, cores, command = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    session = rp.Session()
    try:
        pilots = rp.PilotManager(session)
        pilot = pilots.submit_pilots(
            rp.PilotDescription({"resource": "local.localhost", "runtime": 30, "cores": cores, "exit_on_error": False})
        )
        manager = rp.TaskManager(session)
        manager.add_pilots(pilot)
        work = Chains(manager, chains, length, command)
        manager.register_callback(work.on_task)
        pilot.wait(rp.PMGR_ACTIVE)
        started = time.time()
        work.start()
        work.done.wait()
        print(json.dumps({"seconds": time.time() - started}))
    finally:
        session.close(download=False)


if __name__ == "__main__":
    main()
