"""Writes that fail: whichever call of rose's that changes the run directory, with the errors that disks really give."""

from __future__ import annotations

import errno
import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.conftest import PATIENCE
from tests.torture.campaign import LOCAL, Ground, history, whole_history, write_campaign
from tests.torture.shim import FOR_GOOD, NO_FAULT, SystemCallFault, build_shim, failed_calls_in
from tests.torture.verdict import Report, events_of, judge, key_of

if TYPE_CHECKING:
    import random
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from tests.conftest import Rose

_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EINTR)
_RESULTS = frozenset({"attempt_succeeded", "attempt_failed", "iteration_finished", "learner_stopped"})


def fail_system_calls(folder: Path, seed: random.Random, count: int, ground: Ground = LOCAL) -> Report:
    """One run for each fault, then a resume without: nothing that rose had said was done is lost, and the rest follows.

    Rose has to get over the fault, to end with exit 4 and a message, or, where only a task's own log could not be
    written, to count that as the task's failure.
    """
    report = Report(f"system calls that fail, {ground.engine}")
    rose = write_campaign(folder, max_iter=2)
    whole = whole_history(rose)
    attack = _Attack(report, rose, str(build_shim(folder)), ground)
    totals = attack.count_calls()
    for number in range(count):
        fault = _any_fault(seed, totals)
        run = folder / f"r{number}"
        attack.run(run, fault)
        if not (run / "plan.json").exists():
            report.count("that never began")
            shutil.rmtree(run, ignore_errors=True)
            continue
        called = rose("resume", run.name, "--output", "quiet")
        report.expect(called.code == 0, f"{fault}: resume ended with {called.code}: {called.err}")
        judge(report, run, history(rose, run.name), whole)
    return report


def _any_fault(seed: random.Random, totals: Mapping[str, int]) -> SystemCallFault:
    call = seed.choices(tuple(totals), [min(total, 40) for total in totals.values()])[0]
    number = 0 if call == "write" and seed.random() < 0.25 else seed.choice(_ERRORS)
    how_many = seed.randint(1, 3) if number in (errno.EINTR, 0) else seed.choice((1, 2, FOR_GOOD))
    return SystemCallFault(call, seed.randint(1, totals[call]), how_many, number)


class _Attack:
    def __init__(self, report: Report, rose: Rose, library: str, ground: Ground) -> None:
        self._report = report
        self._rose = rose
        self._library = library
        self._options = ground.options
        self._log = rose.folder / "shim.log"

    def count_calls(self) -> Counter[str]:
        """How many calls of each name a run makes that nothing disturbs."""
        self._start("count", NO_FAULT).communicate(timeout=PATIENCE)
        shutil.rmtree(self._rose.folder / "count")
        names = [line.split()[0] for line in failed_calls_in(self._log)]
        return Counter([*names, *("any" for _ in names)])

    def run(self, run: Path, fault: SystemCallFault) -> None:
        process = self._start(run.name, fault)
        out, err = process.communicate(timeout=PATIENCE)
        failed = failed_calls_in(self._log)
        self._report.count("faults" if failed else "faults that never came")
        self._report.count(f"x exit {process.returncode}")
        what = f"{fault} ({failed[0] if failed else 'none'})"
        self._report.expect(process.returncode in (0, 1, 4), f"{what}: exit code {process.returncode}: {err}")
        self._report.expect("Traceback" not in err, f"{what}: {err}")
        if process.returncode == 4:
            self._report.expect("error:" in err, f"{what}: exit code 4 without a message")
        lost = said(out) - {key_of(event) for event in events_of(run)}
        self._report.expect(not lost, f"{what}: rose had said, and lost: {sorted(lost)}")

    def _start(self, run: str, fault: SystemCallFault) -> subprocess.Popen[str]:
        self._log.unlink(missing_ok=True)
        return self._rose.start(
            "run", "campaign.yaml", "--run-dir", run, "--output", "json", *self._options,
            LD_PRELOAD=self._library, TORTURE_ROOT=str(self._rose.folder / run), TORTURE_FAULT=fault.text,
            TORTURE_LOG=str(self._log),
        )  # fmt: skip


def said(out: str) -> set[tuple[Any, ...]]:
    """The results that were printed as events, and so were acknowledged."""
    return {key_of(event) for event in map(json.loads, out.splitlines()) if event["event"] in _RESULTS}
