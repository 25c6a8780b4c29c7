"""A program that shows a made-up run on a real screen: `python -m tests.view.drive LEARNERS SECONDS [OUTPUT]`."""

from __future__ import annotations

import math
import sys
import time

import anyio

from rose_cli.journal import events as e
from rose_cli.view.campaign_line import Facts
from rose_cli.view.screen import Output, Screen, open_screen
from tests.view.scenarios import Scenario, live_scenario, make_plan


async def show(learners: int, seconds: float, output: Output) -> None:
    names = ["adaptive", "per-iteration", "static", "learner-4"]
    names += [f"learner-{number:03}" for number in range(5, learners + 1)]
    rounds = 15
    scenario = Scenario.begin(make_plan(names[:learners], max_iter=rounds), time.time())
    screen = open_screen(output, scenario.plan, scenario.state, lambda: Facts(time.time(), 2, 2))
    scenario.on_record = screen.on_record
    async with anyio.create_task_group() as group:
        group.start_soon(screen.run)
        await tell(scenario, screen, seconds)
        group.cancel_scope.cancel()
    scenario.tell(e.SessionEnded(1, "finished"))
    screen.close()
    sys.stdout.write("THE END\n")


async def tell(scenario: Scenario, screen: Screen, seconds: float) -> None:
    """The scenario at the speed of the clock; in between somebody warns, and somebody else prints."""
    began = time.time()
    for count, _ in enumerate(live_scenario(scenario)):
        scenario.now = time.time()
        if count == 5:
            screen.warn("stopping: this is only a warning")
            sys.stderr.write("a library's \x1b[2J warning\n")
        if time.time() - began > seconds:
            break
        await anyio.sleep(max(0.004, min(seconds, 60.0) / 400))


if __name__ == "__main__":
    sys.stdout.write("THE BEGINNING\n")
    wanted: Output = sys.argv[3] if len(sys.argv) > 3 else "auto"  # type: ignore[assignment]
    anyio.run(show, int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else math.inf, wanted)
