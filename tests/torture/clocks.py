"""Time that misbehaves: rose suspended, the wall clock set back and forth, the wall time over in mid-task."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

from tests.torture.campaign import history, whole_history, write_campaign
from tests.torture.session import Session
from tests.torture.shim import build_shim
from tests.torture.verdict import Report, events_of, judge

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from tests.conftest import Rose

_TIMEOUT_SECONDS = 4
_WALL_TIME_SECONDS = 2
_DAY_SECONDS = 86_400
_RUN = ("run", "campaign.yaml", "--run-dir", "r")


def suspend(folder: Path, seed: random.Random, times: int) -> Report:
    """SIGSTOP, then SIGCONT; the last time for longer than any task may take, which is not the tasks' fault."""
    report = Report("rose suspended")
    rose = write_campaign(folder, max_iter=4)
    whole = whole_history(rose)
    session = Session(rose, *_RUN, "--set", f"timeout={_TIMEOUT_SECONDS}s")
    for number in range(times):
        if session.ended_within(seed.uniform(0.2, 1.5)) is not None:
            break
        session.freeze()
        time.sleep(_TIMEOUT_SECONDS + 1 if number == times - 1 else seed.uniform(0, 1))
        session.process.send_signal(signal.SIGCONT)
        report.count("times")
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


def set_the_clock(folder: Path, seed: random.Random, times: int) -> Report:
    """The wall clock jumps by hours and days: no wall time is over, no duration is negative, no resume minds."""
    report = Report("wall clock set")
    rose = write_campaign(folder, max_iter=4)
    whole = whole_history(rose)
    clock = folder / "clock"
    clock.write_text("0")
    variables = {"LD_PRELOAD": str(build_shim(folder)), "TORTURE_CLOCK": str(clock)}
    session = Session(rose, *_RUN, "--set", "limits.wall_time=10m", **variables)
    session.has_begun(folder / "r")
    for number in range(times):
        if session.ended_within(seed.uniform(0.2, 1.5)) is None:
            clock.write_text(str(seed.randint(-3 * _DAY_SECONDS, 3 * _DAY_SECONDS)))
            report.count("jumps")
            if number == times // 2:
                session.kill()
                session = Session(rose, "resume", "r", **variables)
                report.count("resumed")
    code = session.process.wait(300)
    report.expect(code == 0, f"exit code {code}")
    report.findings += _impossible_durations(rose)
    judge(report, folder / "r", history(rose, "r"), whole)
    return report


def _impossible_durations(rose: Rose) -> list[str]:
    status: dict[str, Any] = rose.status("r")
    found = [f"elapsed: {status['elapsed_seconds']}"] if status["elapsed_seconds"] < 0 else []
    measured = [event for event in events_of(rose.folder / "r") if "seconds" in event]
    return found + [f"it took {event['seconds']} s: {event}" for event in measured if not 0 <= event["seconds"] < 600]


def run_out_of_wall_time(folder: Path, _seed: random.Random) -> Report:
    """`limits.wall_time` ends session after session in mid-task: each ends cleanly, the last one finishes."""
    report = Report("wall time over")
    rose = write_campaign(folder, max_iter=2, pause_seconds=0.3)
    whole = whole_history(rose)
    command: tuple[str, ...] = (*_RUN, "--set", f"limits.wall_time={_WALL_TIME_SECONDS}s", "--output", "plain")
    code = None
    for _ in range(60):
        called = rose(*command, timeout_seconds=300)
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
