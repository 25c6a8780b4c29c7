"""A session whose run another session has taken over: it ends at once, and leaves the journal to the other."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from rose_cli.runs.lock import read_owner
from tests.conftest import PATIENCE, wait_until
from tests.processes import gone

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose


def take_over(run: Path) -> None:
    owner = read_owner(run)
    assert owner is not None
    new = run / ".lock-of-another-host"
    new.write_bytes(replace(owner, host="n2", boot_id="another", token="another").encode())
    new.rename(run / "lock")


def test_it_ends_its_tasks_and_records_nothing_more(rose: Rose) -> None:
    """As on a node that its batch system took for dead: nobody could ask this session before."""
    rose.write("tasks: {s: {executable: 'sh -c \"echo begun; exec sleep 600\"'}}\nmax_iter: 1\nlearners: [{}, {}]\n")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r")
    run = rose.folder / "r"
    wait_until(lambda: len([out for out in run.glob("learners/*/logs/0/s.1.out") if out.read_text()]) == 2)
    wait_until(lambda: (run / "journal.jsonl").read_text().count("process_spawned") == 2)
    journal = (run / "journal.jsonl").read_text()
    take_over(run)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4
    assert "was taken over by process" in err
    assert "on host 'n2'" in err
    assert "this session has ended, and records nothing more" in err
    assert (run / "journal.jsonl").read_text() == journal
    owner = read_owner(run)
    assert owner is not None
    assert owner.host == "n2"
    spawned = [event["pid"] for event in map(json.loads, journal.splitlines()) if event["event"] == "process_spawned"]
    assert len(spawned) == 2
    assert all(map(gone, spawned))


def test_a_session_that_wakes_up_writes_nothing_first(rose: Rose) -> None:
    """It was stopped (`scontrol suspend`, a machine that slept) while its run was taken over."""
    rose.write("tasks: {s: {executable: sleep 0.2}}\nmax_iter: 100000\nlearners: [{}, {}, {}, {}]\n")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r")
    run = rose.folder / "r"
    wait_until(lambda: (run / "journal.jsonl").exists() and "iteration_finished" in (run / "journal.jsonl").read_text())
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    journal = (run / "journal.jsonl").read_bytes()
    take_over(run)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 4
    assert (run / "journal.jsonl").read_bytes() == journal
