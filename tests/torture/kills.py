"""`kill -9` at random moments: of rose, of a task, of everything at once, of rose and its watchdog, of a server of warm
starts."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.torture.campaign import LOCAL, Ground, history, whole_history, write_campaign
from tests.torture.session import Session
from tests.torture.verdict import Report, events_of, judge, processes_of, run_id, servers_of, starts, watchdogs_of

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from tests.conftest import Rose

_LONGEST_SECONDS = 1.5
"""Between two kills, once tasks can run: now and then in the session's start, mostly in its work."""
_KINDS = ("rose", "task", "everything", "rose and watchdog")


class Killer:
    """Brings one run after the other to its end, and kills on the way there."""

    attack = "kill -9"
    most_events = 60
    """Of which a session records some before it is killed: on a busy machine, time alone kills only its start."""
    kinds: tuple[str, ...] = _KINDS

    def __init__(self, folder: Path, seed: random.Random, kills: int, ground: Ground = LOCAL) -> None:
        self.report = Report(f"{self.attack}, {ground.name}")
        self._seed = seed
        self._left = kills
        self._ground = ground
        self._kinds = (*self.kinds, "server", "server") if ground.warm else self.kinds
        self._struck = 0
        self._rose = self._written(folder)

    def _written(self, folder: Path) -> Rose:
        """The campaign, and what it comes to if nobody disturbs it."""
        rose = write_campaign(folder, warm=self._ground.warm)
        self._whole = whole_history(write_campaign(folder / "undisturbed") if self._ground.warm else rose)
        return rose

    def run(self) -> Report:
        number = 0
        while self._left > 0:
            number += 1
            self._round(self._rose.folder / f"r{number}")
        return self.report

    def _round(self, run: Path) -> None:
        """One run, from its start to its end, and the verdict."""
        code = None
        self._struck = 0
        for _ in range(1000):
            code = self._session(run)
            if code in (0, 3):
                break
        self.report.count("runs")
        self.report.expect(code == 0, f"{run.name}: the last session ended with {code}")
        self._judge(run)

    def _judge(self, run: Path) -> None:
        judge(self.report, run, history(self._rose, run.name), self._whole)
        if self._ground.warm:
            self._judge_starts(run)

    def _judge_starts(self, run: Path) -> None:
        """Most were warm, and no attempt failed because of a server: only those tasks that were killed themselves."""
        warm, cold = starts(run)
        self.report.count("warm starts", warm)
        self.report.count("cold starts", cold)
        self.report.expect(warm > cold, f"{run.name}: {cold} starts were cold, and {warm} warm")
        failed = [
            event for event in events_of(run) if event["event"] == "attempt_failed" and event.get("exit_code") != 3
        ]
        self.report.expect(len(failed) <= self._struck, f"{run.name}: {self._struck} tasks were killed: {failed}")

    def _session(self, run: Path) -> int | None:
        """One session, killed or not; its exit code where it ended by itself."""
        self._clear(run)
        session = self._started(run)
        self.report.count("sessions")
        if self._seed.random() < 0.7:
            session.has_recorded(run, self._seed.randint(1, self.most_events))
        while self._left > 0:
            code = session.ended_within(self._seed.uniform(0.02, _LONGEST_SECONDS + self._ground.start_seconds))
            if code is not None:
                return self._ended(run, code)
            if self._strike(session, run):
                return None
        return self._ended(run, session.process.wait(300))

    def _clear(self, run: Path) -> None:
        """Make room for a new run where a session died before there was one."""
        if run.exists() and not (run / "plan.json").exists():  # killed before there was a run
            refused = self._rose("resume", run.name)
            self.report.expect(refused.code == 2, f"resume of nothing ended with {refused.code}: {refused.err}")
            self.report.count("that never began")
            shutil.rmtree(run)

    def _started(self, run: Path) -> Session:
        if run.exists():
            return Session(self._rose, "resume", run.name)
        return Session(self._rose, "run", "campaign.yaml", "--run-dir", run.name, *self._ground.options)

    def _ended(self, run: Path, code: int) -> int:
        """1: a task was killed more often than it may be retried; 5: a part of the pilot was hit. Both can go on."""
        wanted = (0, 1) if self._ground.engine == LOCAL.engine else (0, 1, 5)
        self.report.expect(code in wanted, f"{run.name}: a session ended with {code}")
        return code

    def _strike(self, session: Session, run: Path) -> bool:
        """Kill something; whether that was rose."""
        kind = self._seed.choice(self._kinds)
        name = run_id(run)
        if kind in ("task", "server"):
            targets = self._tasks(session, name) if kind == "task" else servers_of(name or "-")
            if not targets:
                return False
            kill(self._seed.choice(targets))
            self._struck += kind == "task"
        else:
            session.freeze()
            if name is not None and kind != "rose":
                for pid in processes_of(name) if kind == "everything" else watchdogs_of(name):
                    kill(pid)
            session.kill()
            if self._seed.random() < 0.2:
                self._look(run)
        self._left -= 1
        self.report.count(f"x {kind}")
        return kind not in ("task", "server")

    def _tasks(self, session: Session, name: str | None) -> list[int]:
        """The processes of tasks, once there are some; none where the session ends before."""
        while name is not None and session.ended_within(0.01) is None:
            if tasks := sorted(set(processes_of(name)) - {*watchdogs_of(name), *servers_of(name)}):
                return tasks
        return []

    def _look(self, run: Path) -> None:
        """`rose status` has to say something about whatever was left."""
        called = self._rose("status", run.name, "--format", "json")
        begun = (run / "plan.json").exists()
        self.report.expect(called.code == 0 or not begun, f"{run.name}: status: {called.err}")
        if self._seed.random() < 0.5:
            time.sleep(self._seed.uniform(0, 1))


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_again_and_again(folder: Path, seed: random.Random, kills: int, ground: Ground = LOCAL) -> Report:
    """So many kills; the history to come to is that of the local engine."""
    return Killer(folder, seed, kills, ground).run()
