"""A job ends: a batch system signals the tasks and rose, in any order and up to half a second apart."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from rose_cli.engine.pilot.pilot import AGENT
from rose_cli.util.processes import read_tag
from tests.torture.campaign import LOCAL, Ground, history, whole_history, write_campaign
from tests.torture.session import Session
from tests.torture.verdict import Report, events_of, judge, processes_of, run_id, watchdogs_of

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from tests.conftest import Rose

ON_FAILURE = ("stop_learner", "stop_campaign", "continue")
CAUGHT = 77
"""With what tasks exit that catch the signal, as those of every second run do."""
_ITERATIONS = 4
_APART_SECONDS = 0.5
_HEARD_SECONDS = 0.9
"""What comes later than this, as this machine has other things to do, is a failure of the task, and rightly so."""
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)


def end_jobs(folder: Path, seed: random.Random, ends: int, ground: Ground = LOCAL) -> Report:
    """So many ends for each `on_failure`, run after run. No step has a retry to spare: what counts as failed shows."""
    report = Report(f"end of job, {ground.name}")
    whole = whole_history(write_campaign(folder / "undisturbed", max_iter=_ITERATIONS, on_failure="stop_learner"))
    for on_failure in ON_FAILURE:
        left, number = ends, 0
        while left > 0:
            catch = CAUGHT if number % 2 else None
            rose = write_campaign(
                folder / on_failure, max_iter=_ITERATIONS, on_failure=on_failure, warm=ground.warm, catch=catch
            )
            number += 1
            run = rose.folder / f"r{number}"
            left -= _until_it_is_done(report, rose, run, seed, left, ground)
            judge(report, run, history(rose, run.name), whole)
            report.findings += [f"{run}: counted as failed: {event}" for event in _wrongly_failed(run)]
    return report


def _until_it_is_done(report: Report, rose: Rose, run: Path, seed: random.Random, ends: int, ground: Ground) -> int:
    """The sessions of one run, and how many of them were ended."""
    ended = 0
    while True:
        arguments = ("resume", run.name) if run.exists() else (
            "run", "campaign.yaml", "--run-dir", run.name, *ground.options
        )  # fmt: skip
        session = Session(rose, *arguments, PBS_JOBID="7.torture")
        report.count("sessions")
        session.is_at_work(run)
        if ended < ends and session.ended_within(seed.uniform(0, 1)) is None:
            if not _end(session, run, seed):
                report.count("late")
            ended += 1
        code = session.process.wait(300)
        wanted = (0, 130, 143) if ground.engine == LOCAL.engine else (0, 5, 130, 143)
        report.expect(code in wanted, f"{run}: a session ended with {code}")
        if code not in (5, 130, 143):
            return ended


def _end(session: Session, run: Path, seed: random.Random) -> bool:
    """Signal tasks and rose; whether that came in time to be one end."""
    number, apart, rose_first = seed.choice(_SIGNALS), seed.uniform(0, _APART_SECONDS), seed.random() < 0.5
    for_tasks = signal.SIGKILL if seed.random() < 0.2 else number
    began = time.monotonic()
    if rose_first:
        session.process.send_signal(number)
        time.sleep(apart)
    tasks, started = _tasks(run), _started(run)
    for pid in tasks:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM if for_tasks == signal.SIGINT and pid not in started else for_tasks)
    if not rose_first:
        time.sleep(apart)
        session.process.send_signal(number)
    return rose_first or time.monotonic() - began < _HEARD_SECONDS


def _started(run: Path) -> set[int]:
    """The processes that have reached their program: a Python that gets INT before exits with 1, as after an error."""
    marks = [path.read_text() for path in run.glob("learners/*/workspace/marks")]
    return {int(line.split()[5]) for text in marks for line in text.splitlines() if len(line.split()) == 7}


def _tasks(run: Path) -> list[int]:
    name = run_id(run)
    if name is None:
        return []
    tasks = set(processes_of(name)) - set(watchdogs_of(name))  # servers of warm starts too
    return sorted(pid for pid in tasks if not _is_of_a_pilot(read_tag(pid) or "", name))


def _is_of_a_pilot(tag: str, name: str) -> bool:
    words = tag.removeprefix(f"{name}.").split(".")
    return "host" in words[:1] or AGENT in words[1:2]


def _wrongly_failed(run: Path) -> list[str]:
    """Attempts that failed otherwise than the campaign has it, whose task exits with 3 now and then."""
    failures = [event for event in events_of(run) if event["event"] == "attempt_failed"]
    return [f"{event['task']} {event['message']}" for event in failures if event.get("exit_code") != 3]
