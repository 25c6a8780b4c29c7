"""The facts of a session: recorded beside the work, whatever git does."""

from __future__ import annotations

import os
import subprocess
import threading
from typing import TYPE_CHECKING, Any

from rose_cli import __version__
from rose_cli.provenance.session import SessionFacts
from rose_cli.run_info import read_run
from rose_cli.runs.directory import RunDirectory
from tests.conftest import PATIENCE
from tests.provenance.test_git import call, repository

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from rose_cli.journal.events import SessionDescribed
    from tests.conftest import Rose

__all__ = ["repository"]

CAMPAIGN = """
tasks:
  work: {executable: [sh, -c, 'until DONE; do sleep 0.05; done'], timeout: 5m}
learners: 1
max_iter: 1
"""
"""A task that waits until git has got somewhere: `DONE` says where."""


def described(rose: Rose, run: str) -> dict[str, Any]:
    (found,) = [event for event in rose.events(run) if event["event"] == "session_described"]
    return found


def test_the_facts_of_a_session_are_in_the_journal_and_in_the_state(rose: Rose) -> None:
    rose.write(CAMPAIGN.replace("DONE", "grep -q session_described $ROSE_CAMPAIGN_DIR/r/journal.jsonl"))
    call(rose.folder, "init", "-q", "-b", "main")
    call(rose.folder, "add", ".")
    call(rose.folder, "commit", "-q", "-m", "first")
    rose.write("x", "new.py")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    found = described(rose, "r")
    assert found["rose"] == __version__
    assert found["python"].startswith("CPython 3.")
    assert found["system"].startswith(os.uname().sysname)
    assert found["commit"] == call(rose.folder, "rev-parse", "HEAD")
    assert (found["branch"], found["campaign_path"], found["changes"]) == ("main", ".", 0)
    assert (found["untracked"], found["untracked_count"]) == (["new.py"], 1)
    assert "git_problem" not in found
    state = read_run(RunDirectory.at(rose.folder / "r")).state
    assert state.described[1].commit == found["commit"]


def test_each_session_has_its_own(rose: Rose) -> None:
    rose.write("{tasks: {work: {executable: [sh, -c, 'exit 1']}}, learners: 1, max_iter: 1}\n")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    assert rose("resume", "r").code == 1
    assert list(read_run(RunDirectory.at(rose.folder / "r")).state.described) == [1, 2]


def test_a_git_that_hangs_neither_holds_nor_outlives_a_session(rose: Rose) -> None:
    rose.write(CAMPAIGN.replace("DONE", "test -s $ROSE_CAMPAIGN_DIR/pids"))
    call(rose.folder, "init", "-q", "-b", "main")
    call(rose.folder, "commit", "-q", "--allow-empty", "-m", "first")
    (rose.folder / "bin").mkdir()
    rose.script(f"#!/bin/sh\necho $$ >> {rose.folder}/pids\nexec sleep 1000\n", "bin/git")
    called = rose("run", "campaign.yaml", "--run-dir", "r", PATH=f"{rose.folder / 'bin'}:{os.environ['PATH']}")
    assert called.code == 0
    found = described(rose, "r")
    assert len(found["commit"]) == 40
    assert found["git_problem"] == "the session ended before git did"
    assert_git_is_gone(rose)


def assert_git_is_gone(rose: Rose) -> None:
    for pid in (rose.folder / "pids").read_text().split():
        assert subprocess.run(["ps", "-p", pid, "-o", "stat="], check=False, capture_output=True).stdout[:1] in b"Z"


LOSES_ITS_ENGINE = """
import runpy
from pathlib import Path

import anyio

from rose_cli import run_session
from rose_cli.util.errors import EngineError


async def supervise(*_):
    while not Path("pids").exists() or not Path("pids").read_text():
        await anyio.sleep(0.02)
    raise EngineError("it has gone")


run_session._supervise = supervise
runpy.run_module("rose_cli", run_name="__main__", alter_sys=True)
"""


def test_nor_does_it_outlive_a_session_that_breaks_off(rose: Rose) -> None:
    rose.write("{tasks: {work: {executable: [sleep, '1000']}}, learners: 1, max_iter: 1}\n")
    call(rose.folder, "init", "-q", "-b", "main")
    call(rose.folder, "commit", "-q", "--allow-empty", "-m", "first")
    (rose.folder / "bin").mkdir()
    rose.script(f"#!/bin/sh\necho $$ >> {rose.folder}/pids\nexec sleep 1000\n", "bin/git")
    program = rose.write(LOSES_ITS_ENGINE, "program.py")
    path = f"{rose.folder / 'bin'}:{os.environ['PATH']}"
    command = [rose.python, str(program), "run", "campaign.yaml", "--run-dir", "r"]
    done = subprocess.run(
        command, cwd=rose.folder, env={**rose.environment, "PATH": path}, capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert "it has gone" in done.stderr
    assert [event["event"] for event in rose.events("r")][-2:] == ["session_described", "session_ended"]
    assert len(described(rose, "r")["commit"]) == 40
    assert_git_is_gone(rose)


def test_the_facts_are_delivered_once(repository: Path) -> None:
    delivered: list[SessionDescribed] = []
    facts = SessionFacts(3, str(repository), repository / "r", delivered.append)
    facts.start()
    facts._complete.wait(60)
    assert [event.session for event in delivered] == [3]
    assert facts.take() is None


def test_where_no_thread_can_be_started_nothing_is_gathered(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    facts = SessionFacts(1, str(repository), repository / "r", lambda _: None)
    facts.start()
    assert facts.is_complete
    assert facts.take() is None
