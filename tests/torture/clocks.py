"""Time that misbehaves: rose suspended, the wall clock set back and forth, the wall time over in mid-task."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from tests.conftest import PATIENCE, Rose
from tests.torture.campaign import LOCAL, Ground, history, whole_history, write_campaign
from tests.torture.session import Session
from tests.torture.shim import build_shim
from tests.torture.verdict import Report, events_of, judge, left_running

if TYPE_CHECKING:
    import random
    from pathlib import Path

_TIMEOUT_SECONDS = 4
_WALL_TIME_SECONDS = 5
"""Tasks are told to end a second before it is over."""
_HOUR, _DAY, _YEAR = 3600, 86_400, 365 * 86_400
_JUMPS = (1, -1, _HOUR, -_HOUR, _DAY, -_DAY, _YEAR, -_YEAR, 20 * _YEAR, -20 * _YEAR, 80 * _YEAR, -60 * _YEAR, 0)
"""Seconds that the clock is wrong by; among them the years before 1970, and beyond 2100."""

_LONGEST_SECONDS = 600.0
"""What no run here takes, however busy the machine is."""
_RUN = ("run", "campaign.yaml", "--run-dir", "r")


def suspend(folder: Path, seed: random.Random, times: int, ground: Ground = LOCAL) -> Report:
    """SIGSTOP, then SIGCONT; the first time for longer than any task may take, which is not the tasks' fault."""
    report = Report(f"rose suspended, {ground.engine}")
    rose = write_campaign(folder, max_iter=4)
    whole = whole_history(rose)
    session = Session(rose, *_RUN, *ground.options, "--set", f"timeout={_TIMEOUT_SECONDS}s")
    session.is_at_work(folder / "r")
    for number in range(times):
        if session.ended_within(seed.uniform(0.02, 1.5)) is not None:
            break
        session.freeze()
        time.sleep(_TIMEOUT_SECONDS + 1 if number == 0 else seed.uniform(0, 1))
        session.process.send_signal(signal.SIGCONT)
        report.count("times")
    report.expect("times" in report.counts, "it ended before it was suspended")
    code = session.process.wait(300)
    report.expect(code == 0, f"exit code {code}")
    report.findings += _false_timeouts(folder / "r")
    judge(report, folder / "r", history(rose, "r"), whole)
    return report


def _false_timeouts(run: Path) -> list[str]:
    """Attempts that had come to their end, by their own marks, and count as timed out."""
    ended = set()
    for path in (run / "learners").glob("*/workspace/marks"):
        for line in path.read_text().splitlines():
            what, *place = line.split()[:5]
            if what == "end":
                ended.add((path.parts[-3], *place))
    keys = ("learner", "iteration", "task", "replica", "attempt")
    failed = [event for event in events_of(run) if event.get("kind") == "timed_out"]
    places = [tuple(str(event[key]) for key in keys) for event in failed]
    return [f"had ended, and counts as timed out: {place}" for place in places if place in ended]


def set_the_clock(folder: Path, seed: random.Random, times: int, ground: Ground = LOCAL) -> Report:
    """The wall clock jumps by hours and by decades: no wall time is over, no duration shows it, no command minds."""
    report = Report(f"wall clock set, {ground.engine}")
    rose = write_campaign(folder, max_iter=4)
    whole = whole_history(rose)
    clock = folder / "clock"
    clock.write_text("0")
    variables = {"LD_PRELOAD": str(build_shim(folder)), "TORTURE_CLOCK": str(clock)}
    session = Session(rose, *_RUN, *ground.options, "--set", "limits.wall_time=10m", **variables)
    session.is_at_work(folder / "r")
    for number in range(times):
        if session.ended_within(seed.uniform(0.02, 1.5)) is None:
            clock.write_text(str(seed.choice(_JUMPS)))
            report.count("jumps")
            if number % 4 == 1:
                session.kill()
                clock.write_text(str(seed.choice(_JUMPS)))
                session = Session(rose, "resume", "r", **variables)
                session.is_at_work(folder / "r")
                report.count("resumed")
    report.expect("jumps" in report.counts, "it ended before the clock was set")
    code = session.process.wait(300)
    report.expect(code == 0, f"exit code {code}")
    report.findings += _impossible_durations(rose)
    for command in ("status r", "export r", "logs r", "list", "resume r --dry-run"):
        clock.write_text(str(seed.choice(_JUMPS)))
        called = rose(*command.split(), **variables)
        report.expect(called.code == 0, f"rose {command}: exit code {called.code}: {called.err}")
    judge(report, folder / "r", history(rose, "r"), whole)
    return report


def _impossible_durations(rose: Rose) -> list[str]:
    elapsed = rose.status("r")["elapsed_seconds"]
    found = [] if 0 <= elapsed < _LONGEST_SECONDS else [f"the run is said to have taken {elapsed} s"]
    measured = [event for event in events_of(rose.folder / "r") if "seconds" in event]
    return found + [
        f"it took {event['seconds']} s: {event}" for event in measured if not 0 <= event["seconds"] < _LONGEST_SECONDS
    ]


def run_out_of_wall_time(folder: Path, _seed: random.Random, ground: Ground = LOCAL) -> Report:
    """`limits.wall_time` ends session after session in mid-task: each ends cleanly, the last one finishes."""
    report = Report(f"wall time over, {ground.engine}")
    rose = write_campaign(folder, max_iter=2, pause_seconds=0.7 + ground.start_seconds / 8)
    whole = whole_history(rose)
    wall_time = f"limits.wall_time={_WALL_TIME_SECONDS + ground.start_seconds}s"
    command: tuple[str, ...] = (*_RUN, *ground.options, "--set", wall_time, "--output", "plain")
    code = None
    for _ in range(60):
        called = rose(*command)
        code = called.code
        if code == 0:
            break
        report.count("sessions that ran out of time")
        report.expect(code == 143, f"exit code {code}: {called.err}")
        report.expect("rose resume" in called.out.strip().splitlines()[-1], f"no way on: {called.out}")
        report.expect(events_of(folder / "r")[-1].get("reason") == "wall_time", "the journal does not say why")
        command = ("resume", "r", "--output", "plain")
    report.expect(code == 0, f"the last session ended with {code}")
    judge(report, folder / "r", history(rose, "r"), whole)
    return report


_STUBBORN = """\
#!/bin/sh
[ -e "$ROSE_CAMPAIGN_DIR/quick" ] && exit 0
trap '' TERM
: > "$ROSE_CAMPAIGN_DIR/started"
while :; do sleep 0.05; done
"""


def sleep_through_wall_time(folder: Path, _seed: random.Random, ground: Ground = LOCAL) -> Report:
    """The wall time ends while rose is suspended, in the middle of a task that ignores TERM."""
    report = Report(f"wall time over while suspended, {ground.engine}")
    rose = Rose(folder)
    rose.script(_STUBBORN, "stubborn.sh")
    rose.write("{max_iter: 2, engine: {kind: local, grace: 1}, tasks: {a: {executable: ./stubborn.sh}}, learners: 1}")
    wall_time_seconds = 4 + ground.start_seconds
    wall_time = f"limits.wall_time={wall_time_seconds}s"
    session = rose.start(*_RUN, *ground.options, "--set", wall_time, "--output", "plain")
    while session.poll() is None and not (folder / "started").exists():
        time.sleep(0.02)
    session.send_signal(signal.SIGSTOP)
    time.sleep(wall_time_seconds + 1)
    session.send_signal(signal.SIGCONT)
    out, err = session.communicate(timeout=PATIENCE)
    report.count("sessions")
    report.expect(session.returncode == 143, f"exit code {session.returncode}: {out}{err}")
    report.expect("rose resume r" in out, f"no way on: {out}")
    kinds = [event["event"] for event in events_of(folder / "r")]
    report.expect("attempt_cancelled" in kinds, f"the task is not said to have been ended: {kinds}")
    report.findings += left_running(folder / "r")
    (folder / "quick").touch()
    for _ in range(20):  # on a busy machine a pilot may take all of a session's wall time to start
        called = rose("resume", "r", "--output", "quiet")
        if called.code != 143:
            break
    report.expect(called.code == 0, f"resume: exit code {called.code}: {called.err}")
    return report
