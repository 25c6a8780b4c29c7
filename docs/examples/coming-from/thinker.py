"""The loop as a Colmena thinker: Python decides what runs next, and when it is enough."""

import json
import subprocess
import sys
from pathlib import Path

from colmena.queue.python import PipeQueues
from colmena.task_server.local import LocalTaskServer
from colmena.thinker import BaseThinker, agent

LEARNERS, MAX_ITER, THRESHOLD = {"few": 1, "many": 3}, 10, 0.01


def run(task: str, iteration: int, folder: str, count: int) -> str:
    words = [sys.executable, "curve.py", task, "--iteration", iteration, "--folder", folder, "--count", count]
    return subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True).stdout


class Learner(BaseThinker):
    """One agent per learner; each asks for a task, waits for its result, and asks for the next."""

    def learn(self, folder: str) -> None:
        for iteration in range(MAX_ITER):
            for task in ("measure", "fit", "choose", "error"):
                self.queues.send_inputs(task, iteration, folder, LEARNERS[folder], method="run", topic=folder)
                result = self.queues.get_result(topic=folder)
                assert result.success, result.failure_info
            if float(result.value) < THRESHOLD:
                return

    @agent
    def few(self) -> None:
        self.learn("few")

    @agent
    def many(self) -> None:
        self.learn("many")


if __name__ == "__main__":
    queues = PipeQueues(topics=list(LEARNERS))
    server = LocalTaskServer(queues, [run], num_workers=2)
    thinker = Learner(queues, daemon=True)
    server.start()
    thinker.start()
    thinker.join()
    queues.send_kill_signal()
    server.join()
    errors = {name: len(list(Path(name).glob("error-*.json"))) for name in LEARNERS}
    print(json.dumps(errors))
