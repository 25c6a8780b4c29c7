"""A program that decides in Python: starts a run or continues it, and may be killed while it decides.

Arguments: the campaign file, the run directory, and what happens in iteration 1 of learner 'a', if anything:
`kill-me`, `kill-session`, or `wait` (which says "deciding" and waits to be interrupted).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import rose_cli

file, directory, what = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]


def decide(state: rose_cli.Iteration) -> rose_cli.Decision | None:
    with (directory.parent / "asked.txt").open("a") as asked:
        asked.write(f"{state.learner} {state.number}\n")
    if (state.learner, state.number) == ("a", 1):
        act(what)
    if state.learner == "b" and state.number == 2:
        return rose_cli.Decision(stop=True, message="enough of b")
    if state.number % 2:
        return None
    count = state.result["count"] + len(state.history)
    return rose_cli.Decision(tasks={"work": rose_cli.TaskChange(options={"--extra": count})})


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def act(what: str) -> None:
    if what == "kill-me":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "kill-session":
        for child in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
    elif what == "wait":
        say("deciding")
        time.sleep(300)


try:
    if directory.exists():
        run = rose_cli.open_run(directory).resume(decide=decide, output="quiet")
    else:
        run = rose_cli.load(file).run(run_dir=directory, decide=decide, output="quiet")
except KeyboardInterrupt:
    say(f"interrupted: {rose_cli.open_run(directory).status.value}")
    sys.exit(130)
except rose_cli.EngineError as error:
    say(f"lost: {error}")
    sys.exit(5)
say(run.status.value)
