"""Time that goes wrong: the wall clock jumps, rose is suspended, the wall time ends in the middle of a task."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.torture.chain import left_running, slips, undisturbed, write_chain
from tests.torture.tally import Tally

if TYPE_CHECKING:
    import random

    from tests.conftest import Rose

HOUR, DAY, YEAR = 3600, 86_400, 365 * 86_400
JUMPS = (1, -1, HOUR, -HOUR, DAY, -DAY, YEAR, -YEAR, 20 * YEAR, -20 * YEAR, 80 * YEAR, -60 * YEAR, 0)
"""Seconds that the clock is wrong by; among them the years before 1970 and beyond 2100."""

LONGEST_SECONDS = 300.0
"""What no step of these campaigns can take, however busy the machine is."""

_RUN = ("run", "campaign.yaml", "--run-dir")
SHIM = Path(__file__).parent / "programs" / "clock_shim.c"


def jump_about(folder: Path, seed: random.Random, sessions: int) -> Tally:
    """The clock jumps to and fro under sessions that are killed; the last one may come to its end."""
    tally = Tally("the wall clock jumps")
    rose = write_chain(folder, max_iter=5 + sessions)
    clock = folder / "clock"
    library = compiled(folder)
    if library is None:
        tally.skipped = "no C compiler"
        return tally
    variables = {"LD_PRELOAD": str(library), "WRONG_CLOCK": str(clock)}
    expected = undisturbed(rose)
    words: tuple[str, ...] = (*_RUN, "r")
    for number in range(sessions):
        session = rose.start(*words, "--output", "quiet", **variables)
        last = number == sessions - 1
        _set_wrong(clock, session, seed, tally, None if last else seed.uniform(0.7, 2.5))
        out, err = session.communicate(timeout=LONGEST_SECONDS)
        tally.count("sessions")
        tally.expect(
            session.returncode in ((0,) if last else (0, -signal.SIGKILL)),
            f"ended with {session.returncode}: {out}{err}",
        )
        if (folder / "r" / "plan.json").exists():
            words = ("resume", "r")
        _read_by_all(rose, seed, tally, variables)
    tally.findings += [*slips(rose, "r", expected), *_odd_durations(rose)]
    return tally


def _set_wrong(
    clock: Path, session: subprocess.Popen[str], seed: random.Random, tally: Tally, kill_after: float | None
) -> None:
    """Until the session ends, by itself or killed."""
    end = time.monotonic() + (LONGEST_SECONDS if kill_after is None else kill_after)
    while session.poll() is None:
        if time.monotonic() > end:
            session.kill()
        _replace(clock, seed.choice(JUMPS))
        tally.count("jumps")
        time.sleep(seed.uniform(0.01, 0.2))


def _replace(path: Path, number: int) -> None:
    new = path.with_suffix(".new")
    new.write_text(str(number))
    new.replace(path)


def _read_by_all(rose: Rose, seed: random.Random, tally: Tally, variables: dict[str, str]) -> None:
    """Whatever moment it is, what reads a run can read it."""
    if not (rose.folder / "r" / "plan.json").exists():
        return
    for command in ("status r", "status r --format json", "export r", "list", "resume r --dry-run"):
        _replace(rose.folder / "clock", seed.choice(JUMPS))
        called = rose(*command.split(), timeout_seconds=60, **variables)
        tally.expect(called.code == 0, f"rose {command} ended with {called.code}: {called.err}")


def _odd_durations(rose: Rose) -> list[str]:
    """Durations that the clock has got at."""
    odd = [
        f"it is said to have taken {event['seconds']} s: {event}"
        for event in rose.events("r")
        if not 0 <= event.get("seconds", 0) < LONGEST_SECONDS
    ]
    elapsed = rose.status("r")["elapsed_seconds"]
    return odd if 0 <= elapsed < LONGEST_SECONDS else [*odd, f"the run is said to have taken {elapsed} s"]


def suspend(folder: Path, seed: random.Random, stops: int, longest_seconds: float = 3.0) -> Tally:
    """SIGSTOP and SIGCONT again and again: tasks end while nobody looks, and none of it is lost or called late."""
    tally = Tally("rose is suspended")
    rose = write_chain(folder, max_iter=12)
    expected = undisturbed(rose)
    number = 0
    while tally.figures.get("stops", 0) < stops:
        number += 1
        session = rose.start(*_RUN, f"r{number}", "--output", "quiet", "--set", "timeout=2s")
        while session.poll() is None:
            time.sleep(seed.uniform(0.05, 0.8))
            session.send_signal(signal.SIGSTOP)
            asleep = seed.uniform(0.01, longest_seconds)
            time.sleep(asleep)
            session.send_signal(signal.SIGCONT)
            tally.count("stops")
            tally.count("seconds asleep", round(asleep, 1))
        out, err = session.communicate()
        tally.expect(session.returncode == 0, f"ended with {session.returncode}: {out}{err}")
        failed = [event for event in rose.events(f"r{number}") if event["event"] == "attempt_failed"]
        tally.expect(not failed, f"attempts failed: {failed}")
        tally.findings += slips(rose, f"r{number}", expected)
    return tally


_WALL = """
engine: {kind: local, grace: 1}
limits: {wall_time: 3s}
max_iter: 2
tasks: {first: {executable: "true"}, second: {executable: ./second.sh}}
stop: {metric: mse, threshold: 0.1, executable: "sh -c 'echo 1.$ROSE_ITERATION'"}
learners: [{name: a}, {name: b}]
"""
_SECOND = """\
#!/bin/sh
[ -e "$ROSE_CAMPAIGN_DIR/quick" ] && exit 0
{trap}
: > "{started}.$ROSE_LEARNER"
while :; do sleep 0.05; done
"""


def run_out_of_wall_time(folder: Path, *, stubborn: bool, asleep: bool) -> Tally:
    """The wall time ends in the middle of a task, which may ignore TERM, or while rose is suspended."""
    how = [word for word, holds in (("task ignores TERM", stubborn), ("rose suspended", asleep)) if holds]
    tally = Tally(f"wall time in the middle of a task{''.join(f', {word}' for word in how)}")
    folder.mkdir(parents=True, exist_ok=True)
    rose = _slow_campaign(folder, stubborn=stubborn)
    session = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "plain")
    if asleep:
        _wait_for(folder / "started.a")
        session.send_signal(signal.SIGSTOP)
        time.sleep(4)
        session.send_signal(signal.SIGCONT)
    out, err = session.communicate(timeout=60)
    tally.expect(session.returncode == 143, f"ended with {session.returncode}, not 143: {out}{err}")
    tally.expect("rose resume r" in out, f"it does not say how to go on: {out}")
    kinds = [event["event"] for event in rose.events("r")]
    tally.expect(kinds.count("attempt_cancelled") == 2, f"the tasks under way are not journalled as cancelled: {kinds}")
    tally.expect(rose.events("r")[-1].get("reason") == "wall_time", f"the last event is {rose.events('r')[-1]}")
    tally.expect(rose.status("r")["status"] == "cancelled", f"its status is {rose.status('r')['status']}")
    tally.findings += left_running(rose, "r")
    _go_on(rose, tally)
    return tally


def _slow_campaign(folder: Path, *, stubborn: bool) -> Rose:
    rose = write_chain(folder)
    rose.write(_WALL)
    rose.script(_SECOND.format(trap="trap '' TERM" if stubborn else "", started=folder / "started"), "second.sh")
    return rose


def _go_on(rose: Rose, tally: Tally) -> None:
    (rose.folder / "quick").touch()
    called = rose("resume", "r", "--output", "quiet")
    tally.expect(called.code == 0, f"resume ended with {called.code}: {called.err}")
    tally.findings += slips(rose, "r", {name: [[1.0, 1.1], "max_iter", 2, 1.0] for name in "ab"})
    tally.count("runs")


def _wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"'{path}' never came"
        time.sleep(0.01)


def compiled(folder: Path) -> Path | None:
    """The shim as a library; None where nothing can compile it."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        assert not os.environ.get("CI"), "this machine has no C compiler"
        return None
    library = folder / "clock_shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM)], check=True)
    return library
