"""`kill -9` at random moments: of rose, of a task, of everything at once, of rose and its watchdog."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.torture.campaign import LOCAL, Ground, history, whole_history, write_campaign
from tests.torture.session import Session
from tests.torture.verdict import Report, judge, processes_of, run_id, watchdogs_of

if TYPE_CHECKING:
    import random
    from pathlib import Path


_LONGEST_SECONDS = 1.5
"""Between two kills, once tasks can run: now and then in the session's start, mostly in its work."""
_KINDS = ("rose", "task", "everything", "rose and watchdog")


class Killer:
    """Brings one run after the other to its end, and kills on the way there."""

    def __init__(self, folder: Path, seed: random.Random, kills: int, ground: Ground) -> None:
        self.report = Report(f"kill -9, {ground.engine}")
        self._seed = seed
        self._left = kills
        self._ground = ground
        self._rose = write_campaign(folder)
        self._whole = whole_history(self._rose)

    def run(self) -> Report:
        number = 0
        while self._left > 0:
            number += 1
            self._round(self._rose.folder / f"r{number}")
        return self.report

    def _round(self, run: Path) -> None:
        """One run, from its start to its end, and the verdict."""
        code = None
        for _ in range(1000):
            code = self._session(run)
            if code in (0, 3):
                break
        self.report.count("runs")
        self.report.expect(code == 0, f"{run.name}: the last session ended with {code}")
        judge(self.report, run, self._history(run), self._whole)

    def _history(self, run: Path) -> dict[str, Any]:
        return history(self._rose, run.name)

    def _session(self, run: Path) -> int | None:
        """One session, killed or not; its exit code where it ended by itself."""
        session = Session(self._rose, *self._arguments(run))
        self.report.count("sessions")
        if self._seed.random() < 0.7:
            session.has_recorded(run)
        while self._left > 0:
            code = session.ended_within(self._seed.uniform(0.02, _LONGEST_SECONDS + self._ground.start_seconds))
            if code is not None:
                return self._ended(run, code)
            if self._strike(session, run):
                return None
        return self._ended(run, session.process.wait(300))

    def _arguments(self, run: Path) -> tuple[str, ...]:
        if run.exists() and not (run / "plan.json").exists():  # killed before there was a run
            refused = self._rose("resume", run.name)
            self.report.expect(refused.code == 2, f"resume of nothing ended with {refused.code}: {refused.err}")
            self.report.count("that never began")
            shutil.rmtree(run)
        if run.exists():
            return ("resume", run.name)
        return ("run", "campaign.yaml", "--run-dir", run.name, *self._ground.options)

    def _ended(self, run: Path, code: int) -> int:
        """1: a task was killed more often than it may be retried; 5: a part of the pilot was hit. Both can go on."""
        wanted = (0, 1) if self._ground is LOCAL else (0, 1, 5)
        self.report.expect(code in wanted, f"{run.name}: a session ended with {code}")
        return code

    def _strike(self, session: Session, run: Path) -> bool:
        """Kill something; whether that was rose."""
        kind = self._seed.choice(_KINDS)
        name = run_id(run)
        if kind == "task":
            tasks = self._tasks(session, name)
            if not tasks:
                return False
            _kill(self._seed.choice(tasks))
        else:
            session.freeze()
            if name is not None and kind != "rose":
                for pid in processes_of(name) if kind == "everything" else watchdogs_of(name):
                    _kill(pid)
            session.kill()
            if self._seed.random() < 0.2:
                self._look(run)
        self._left -= 1
        self.report.count(f"x {kind}")
        return kind != "task"

    def _tasks(self, session: Session, name: str | None) -> list[int]:
        """The processes of tasks, once there are some; none where the session ends before."""
        while name is not None and session.ended_within(0.01) is None:
            if tasks := sorted(set(processes_of(name)) - set(watchdogs_of(name))):
                return tasks
        return []

    def _look(self, run: Path) -> None:
        """`rose status` has to say something about whatever was left."""
        called = self._rose("status", run.name, "--format", "json")
        begun = (run / "plan.json").exists()
        self.report.expect(called.code == 0 or not begun, f"{run.name}: status: {called.err}")
        if self._seed.random() < 0.5:
            time.sleep(self._seed.uniform(0, 1))


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_again_and_again(folder: Path, seed: random.Random, kills: int, ground: Ground = LOCAL) -> Report:
    """So many kills; the history to come to is that of the local engine."""
    return Killer(folder, seed, kills, ground).run()
