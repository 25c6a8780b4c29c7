"""`rose clean`: what a run no longer needs goes, after it was shown, and nothing else."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PATIENCE, REPOSITORY, Rose, wait_until
from tests.torture.full_disk import cannot_mount, small_disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.two_users import Person

CAMPAIGN = """
max_iter: 4
tasks:
  sim: {executable: ./sim.sh, snapshot: true}
learners: [{name: a}, {name: b}, {name: fails}]
"""
SIM = """#!/bin/sh
echo "$ROSE_ITERATION" >> history
[ "$ROSE_LEARNER" != fails ] || [ "$ROSE_ITERATION" != 2 ] || [ -e "$ROSE_CAMPAIGN_DIR/ok" ]
"""


def interrupted_run(rose: Rose) -> Path:
    """Two learners are done, the third has failed and can go on; with all that is left over in the course of time."""
    rose.script(SIM, "sim.sh")
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    run = rose.folder / "r"
    for place in ("a/workspace.lost-1", "a/workspace.lost-2", "b/snapshots/1.sim", "fails/snapshots/.new"):
        (run / "learners" / place / "deep").mkdir(parents=True)
        (run / "learners" / place / "deep/file").write_text("old" * 1000)
    (run / "learners/b/.rose-clean-7-workspace").mkdir()
    for number in (1, 2, 3):
        (run / f"engine/pilot-{number}/radical").mkdir(parents=True)
    (run / "engine/pilot-2/pilot.json").write_text("{}")
    return run


def everything(run: Path) -> set[str]:
    return {str(path.relative_to(run)) for path in run.rglob("*")} - {"lock"}


def gone(before: set[str], run: Path) -> set[str]:
    """What has been removed, without what was in it."""
    names = before - everything(run)
    return {name for name in names if os.path.dirname(name) not in names}  # noqa: PTH120


LEFT_OVER = {
    "learners/a/workspace.lost-1",
    "learners/a/workspace.lost-2",
    "learners/b/snapshots/1.sim",
    "learners/b/.rose-clean-7-workspace",
    "learners/fails/snapshots/.new",
    "engine/pilot-1",
}
"""Not the snapshot of the learner that failed, not a pilot that may be at work, and not the latest one."""


def test_what_is_left_over_goes_once_it_was_shown(rose: Rose) -> None:
    run = interrupted_run(rose)
    before = everything(run)
    for arguments in ((), ("--dry-run",), ("--dry-run", "--yes")):
        called = rose("clean", "r", *arguments)
        assert called.code == 0, called.err
        assert everything(run) == before
        for said in ("lost workspaces that a resume has set aside (a)", "snapshots that no resume needs (b, fails)"):
            assert said in called.out
    assert "use --yes to delete without asking" in rose("clean", "r").err
    called = rose("clean", "r", "--yes")
    assert (called.code, gone(before, run)) == (0, LEFT_OVER)
    assert "deleted " in called.err
    assert "there is nothing to delete; `rm -r r` deletes the whole run" in rose("clean", "r").out
    (rose.folder / "ok").touch()
    assert rose("resume", "r").code == 0
    assert (run / "learners/fails/workspace/history").read_text() == "0\n1\n2\n3\n"  # put back from its snapshot


def test_logs_and_workspaces_go_where_that_is_asked_for(rose: Rose) -> None:
    run = interrupted_run(rose)
    rose("clean", "r", "--yes")
    before = everything(run)
    assert rose("clean", "r", "--keep-logs", "1", "--yes").code == 0
    logs = {f"learners/{name}/logs/{number}" for name in "ab" for number in (0, 1, 2)}
    assert gone(before, run) == logs | {"learners/fails/logs/0"}  # of its last finished iteration and of its failure
    assert "the logs of 7 iterations have been deleted" in rose("logs", "r").err
    before = everything(run)
    called = rose("clean", "r", "--workspaces", "--yes")
    assert "workspaces of learners that are done, which cannot be extended without them (a, b)" in called.out
    assert gone(before, run) == {"learners/a/workspace", "learners/b/workspace"}
    assert rose("status", "r").code == 0
    assert rose("export", "r").code == 0
    (rose.folder / "ok").touch()
    assert rose("resume", "r").code == 0  # the one that failed goes on
    called = rose("resume", "r", "--max-iter", "6")
    assert called.code == 4
    assert "learner 'a' is not resumed: its workspace" in called.err
    assert rose.learners("r")["fails"]["iterations_done"] == 6


def test_the_campaigns_own_keep_counts(rose: Rose) -> None:
    rose.write("{max_iter: 4, keep: {logs: 3}, tasks: {s: {executable: echo x}}, learners: [{name: a}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert "nothing to delete" in rose("clean", "r", "--yes").out
    assert rose("clean", "r", "--keep-logs", "0", "--yes").code == 0
    assert not list((rose.folder / "r/learners/a/logs").iterdir())


def test_never_of_a_run_at_work(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {s: {executable: sleep 1000}}, learners: [{name: a}]}")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_until((rose.folder / "r/learners/a/logs/0/s.1.out").exists)
    (rose.folder / "r/learners/a/workspace.lost-1").mkdir()
    called = rose("clean", "r", "--yes")
    assert (called.code, (rose.folder / "r/learners/a/workspace.lost-1").exists()) == (4, True)
    assert "the run 'r' is already running" in called.err
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert rose("clean", "r", "--yes").code == 0
    assert not (rose.folder / "r/learners/a/workspace.lost-1").exists()


def test_never_of_a_run_of_which_not_all_is_known(rose: Rose) -> None:
    run = interrupted_run(rose)
    lines = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    (run / "journal.jsonl").write_text("".join([*lines[:5], "{garbled\n", *lines[6:]]))
    before = everything(run)
    assert rose("clean", "r", "--yes", "--workspaces").code == 4
    assert everything(run) == before


def test_nothing_goes_through_a_link(rose: Rose) -> None:
    run = interrupted_run(rose)
    (rose.folder / "mine/1.sim").mkdir(parents=True)
    (rose.folder / "mine/precious").write_text("kept")
    (run / "learners/a/workspace.lost-3").symlink_to(rose.folder / "mine")
    (run / "engine/pilot-0").symlink_to(rose.folder / "mine")
    called = rose("clean", "r", "--yes")
    assert (called.code, os.path.lexists(run / "learners/a/workspace.lost-3")) == (0, False)
    (run / "learners/b/snapshots").rmdir()
    (run / "learners/b/snapshots").symlink_to(rose.folder / "mine")
    (run / "learners/a/workspace.lost-1").mkdir()
    called = rose("clean", "r", "--yes", "--workspaces")
    assert called.code == 4
    assert "is a symbolic link that rose did not create" in called.err
    assert sorted(path.name for path in (rose.folder / "mine").iterdir()) == ["1.sim", "precious"]


@pytest.mark.parametrize(("answer", "goes"), [("y", True), ("n", False), ("", False), ("maybe", False)])
def test_on_a_terminal_it_asks(rose: Rose, answer: str, *, goes: bool) -> None:
    rose.write("{max_iter: 1, tasks: {s: {executable: echo x}}, learners: [{name: a}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    aside = rose.folder / "r/learners/a/workspace.lost-1"
    aside.mkdir()
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rose_cli", "clean", "r"], cwd=rose.folder, stdin=its_end, stdout=its_end,
        stderr=its_end, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    os.close(its_end)
    shown = b""
    while b"[y/N] " not in shown:
        shown += os.read(terminal, 10_000)
    assert b"workspace" in shown
    os.write(terminal, f"{answer}\n".encode())
    assert process.wait(timeout=PATIENCE) == 0
    os.close(terminal)
    assert aside.exists() is not goes


def test_what_cannot_be_removed_is_named_and_the_rest_goes(alice: Person) -> None:
    alice.write("{max_iter: 1, tasks: {s: {executable: echo x}}, learners: [{name: a}, {name: b}]}")
    assert alice("run", "campaign.yaml", "--run-dir", "r").code == 0
    alice.sh("mkdir r/learners/a/workspace.lost-1 r/learners/b/workspace.lost-1; chmod 555 r/learners/a")
    called = alice("clean", "r", "--yes")
    assert called.code == 4
    assert "cannot delete 'r/learners/a/workspace.lost-1': permission denied" in called.err
    assert alice.sh("cd r/learners; ls -d */workspace.lost-1") == "a/workspace.lost-1\n"


def test_on_a_disk_without_room_for_a_lock(tmp_path: Path) -> None:
    """Who is told to free some space can do so with it."""
    if why := cannot_mount():
        pytest.skip(why)
    with small_disk(tmp_path / "disk", 4000) as disk:
        rose = Rose(disk)
        rose.write("{max_iter: 9, tasks: {s: {executable: head -c 100000 /dev/zero}}, learners: [{name: a}]}")
        assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
        subprocess.run(f"cat /dev/zero > {disk}/big", shell=True, check=False, stderr=subprocess.DEVNULL)
        called = rose("clean", "r", "--yes")
        assert (called.code, "--keep-logs" in called.out) == (0, False)  # nothing to remove needs no lock
        called = rose("clean", "r", "--keep-logs", "2", "--yes", "--workspaces")
        assert called.code == 0, called.err
        assert len(list((disk / "r/learners/a/logs").iterdir())) == 2
        assert not (disk / "r/learners/a/workspace").exists()


def test_never_somebody_elses_run(alice: Person, mallory: Person) -> None:
    """Who could write it would have alice remove what she may and they may not; root could remove anything."""
    theirs = mallory.at(alice.folder / "theirs")
    theirs.write("{max_iter: 1, tasks: {s: {executable: echo x}}, learners: [{name: a}]}")
    assert theirs("run", "campaign.yaml", "--run-dir", "r").code == 0
    theirs.sh("mkdir r/learners/a/workspace.lost-1; chmod -R a+rwX r")
    called = alice("clean", "theirs/r", "--yes")
    assert called.code == 4
    assert "--trust` deletes files in it anyway" in called.err
    assert theirs.sh("ls -d r/learners/a/workspace.lost-1")
    assert "workspaces that a resume has set aside" in alice("clean", "theirs/r", "--dry-run").out
    assert alice("clean", "theirs/r", "--yes", "--trust").code == 0
    assert theirs.attempt("ls -d r/learners/a/workspace.lost-1").returncode != 0
