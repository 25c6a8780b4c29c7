"""`kill -9` of a Python program that decides, of its session, and of both: no decision is lost, or made twice."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import PATIENCE
from tests.torture.campaign import history, write_campaign
from tests.torture.kills import Killer, kill
from tests.torture.session import Session
from tests.torture.verdict import GONE_WITHIN_SECONDS, events_of, processes_of, run_id, watchdogs_of

if TYPE_CHECKING:
    import random

    from tests.conftest import Rose
    from tests.torture.verdict import Report

PROGRAM = Path(__file__).parent / "programs" / "decide.py"
_LOST = 5


def kill_who_decides(folder: Path, seed: random.Random, kills: int) -> Report:
    """So many kills; the decisions of the program depend on all that it is told."""
    return _Killer(folder, seed, kills).run()


class _Killer(Killer):
    attack = "kill -9, decisions in Python"
    kinds = ("program", "session", "task", "everything", "session and watchdog")

    def _written(self, folder: Path) -> Rose:
        rose = write_campaign(folder)
        session = self._begun(rose, folder / "whole")
        assert session.process.wait(PATIENCE) == 0, (folder / "sessions.log").read_text()
        self._whole = history(rose, "whole")
        decided = [event for event in events_of(folder / "whole") if event["event"] == "decision_made"]
        assert any(event.get("stop") for event in decided)
        assert any(event.get("commands") for event in decided)
        return rose

    def _started(self, run: Path) -> Session:
        return self._begun(self._rose, run)

    def _begun(self, rose: Rose, run: Path) -> Session:
        return Session(rose, "campaign.yaml", str(run), program=str(PROGRAM))

    def _judge(self, run: Path) -> None:
        super()._judge(run)
        made = [(each["learner"], each["iteration"]) for each in events_of(run) if each["event"] == "decision_made"]
        self.report.count("decisions", len(made))
        twice = sorted({each for each in made if made.count(each) > 1})
        self.report.expect(not twice, f"{run.name}: decided twice: {twice}")
        asked = (run / "asked").read_text().splitlines() if (run / "asked").exists() else []
        again = [line for line in asked if line.startswith("again")]
        self.report.expect(not again, f"{run.name}: asked, although the journal has the answer: {again}")

    def _strike(self, session: Session, run: Path) -> bool:
        kind, name = self._seed.choice(self.kinds), run_id(run)
        children = _children(session.process.pid)
        if kind == "task" or (not children and kind != "program"):
            return self._strike_task(session, name)
        self._left -= 1
        self.report.count(f"x {kind}")
        if kind == "program":
            session.kill()
            self.report.findings += [f"{run.name}: the session outlives its program" for pid in children if _stays(pid)]
            return True
        targets = {"session": (), "everything": processes_of, "session and watchdog": watchdogs_of}[kind]
        doomed = list(targets(name)) if callable(targets) and name is not None else []
        if kind == "everything":
            session.freeze()
        for pid in (*children, *doomed):
            kill(pid)
        if kind == "everything":
            session.kill()
            return True
        code = session.process.wait(PATIENCE)
        self.report.expect(code in (0, 1, _LOST), f"{run.name}: the program of a killed session ended with {code}")
        return True

    def _strike_task(self, session: Session, name: str | None) -> bool:
        if tasks := self._tasks(session, name):
            kill(self._seed.choice(tasks))
            self._left -= 1
            self.report.count("x task")
        return False


def _children(pid: int) -> list[int]:
    """Of the program: its session, if that runs."""
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _stays(pid: int) -> bool:
    """Whether a session goes on although its program has gone and it had time to end its tasks."""
    end = time.monotonic() + GONE_WITHIN_SECONDS
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > end:
            return True
        time.sleep(0.02)
    return False
