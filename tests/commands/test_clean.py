"""`rose clean`: what a run no longer needs goes, after it was shown, and nothing else."""

from __future__ import annotations

import csv
import io
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rose_cli.journal.codec import decode, encode
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
    assert "there is nothing to delete; `rose clean r --all` deletes the whole run" in rose("clean", "r").out
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
    assert "the run 'r' is running" in called.err
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


def test_the_number_of_files_and_what_is_impossible_afterwards_are_shown(rose: Rose) -> None:
    interrupted_run(rose)
    shown = rose("clean", "r", "--dry-run").out.splitlines()
    assert re.fullmatch(r" +[\d.]+ KB +2 files  lost workspaces that a resume has set aside \(a\)", shown[2]), shown
    assert shown[-1] == "afterwards: `rose status`, `export` and `resume` work as before"
    shown = rose("clean", "r", "--keep-logs", "0", "--workspaces", "--dry-run").out.splitlines()
    assert (
        "; `rose logs` lacks what is deleted; but learners without a workspace can be neither extended nor rerun"
        in (shown[-1])
    )


def test_only_what_is_named_goes(rose: Rose) -> None:
    run = interrupted_run(rose)
    before = everything(run)
    assert rose("clean", "r", "--failed", "-y").code == 0
    assert gone(before, run) == {f"learners/fails/logs/2/sim.1.{stream}" for stream in ("out", "err")}
    before = everything(run)
    assert rose("clean", "r", "--snapshots", "-y").code == 0
    assert gone(before, run) == {"learners/b/snapshots/1.sim", "learners/fails/snapshots/.new"}
    assert "there is nothing to delete" in rose("clean", "r", "--snapshots", "--failed", "-n").out
    (run / "learners/fails/snapshots/1.sim").mkdir()  # of an iteration that has finished
    before = everything(run)
    assert rose("clean", "r", "--snapshots", "-y").code == 0
    assert gone(before, run) == {"learners/fails/snapshots/1.sim"}
    (rose.folder / "ok").touch()
    assert rose("resume", "r").code == 0
    assert (run / "learners/fails/workspace/history").read_text() == "0\n1\n2\n3\n"


def test_after_a_clean_a_run_resumes_exactly_as_without(rose: Rose) -> None:
    run = interrupted_run(rose)
    shutil.copytree(run, rose.folder / "cleaned", symlinks=True)
    for options in ((), ("--failed", "--keep-logs", "0", "--snapshots")):
        assert rose("clean", "cleaned", *options, "-y").code == 0
    (rose.folder / "ok").touch()
    exports = []
    for name in ("r", "cleaned"):
        assert rose("resume", name).code == 0
        rows = list(csv.DictReader(io.StringIO(rose("export", name).out)))
        exports.append([{k: v for k, v in row.items() if not k.startswith(("started", "seconds"))} for row in rows])
        assert rose.learners(name)["fails"]["iterations_done"] == 4
    assert {tuple(row) for row in map(dict.keys, exports[0])} == {tuple(row) for row in map(dict.keys, exports[1])}
    assert [(row["learner"], row["iteration"]) for row in exports[0]] == [
        (row["learner"], row["iteration"]) for row in exports[1]
    ]
    for name in ("a", "b", "fails"):
        files = [run / f"learners/{name}/workspace/history", rose.folder / f"cleaned/learners/{name}/workspace/history"]
        assert files[0].read_text() == files[1].read_text() == "0\n1\n2\n3\n"


SHORT = "{name: c, max_iter: 1, tasks: {s: {executable: ./s.sh}}, learners: [{name: a}]}"


@pytest.fixture
def several(rose: Rose) -> Rose:
    """Four runs that have ended, the second failed; each is ten days older than the next, and the last is new."""
    rose.script('#!/bin/sh\n[ ! -e "$ROSE_CAMPAIGN_DIR/bad" ]\n', "s.sh")
    rose.write(SHORT)
    for number in range(4):
        if number == 1:
            (rose.folder / "bad").touch()
        rose("run", "campaign.yaml")
        (rose.folder / "bad").unlink(missing_ok=True)
    for age, run in enumerate(runs_in(rose)[::-1]):
        shift(rose.folder / "rose-runs" / run, age * 10 * 86400)
    return rose


def shift(run: Path, seconds: int) -> None:
    """Let a run be older."""
    records = [decode(line) for line in (run / "journal.jsonl").read_bytes().splitlines(keepends=True)]
    (run / "journal.jsonl").write_bytes(
        b"".join(encode(replace(record, time=record.time - seconds)) for record in records)
    )
    then = time.time() - seconds
    os.utime(run / "plan.json", (then, then))


def runs_in(rose: Rose) -> list[str]:
    return sorted(path.name for path in (rose.folder / "rose-runs").iterdir() if path.name != "latest")


def test_whole_runs_go_where_they_are_named(several: Rose) -> None:
    one, two, three, four = runs_in(several)
    called = several("clean", one, f"rose-runs/{four}", "--all")
    assert "use --yes to delete without asking" in called.err
    assert "nothing of these runs remains: no status, export, logs or resume" in called.out
    assert f"the whole run 'rose-runs/{one}': done, last used " in called.out
    assert runs_in(several) == [one, two, three, four]
    dry = several("clean", one, f"rose-runs/{four}", "--all", "-n")
    assert (dry.code, dry.out) == (0, called.out)
    called = several("clean", one, f"rose-runs/{four}", "--all", "--yes")
    assert (called.code, runs_in(several)) == (0, [two, three])
    assert (several.folder / "rose-runs/latest").readlink().name == three
    assert several("clean", "rose-runs/latest", "--all", "-y").code == 0
    assert several("clean", two, "--all", "-y").code == 0
    assert list((several.folder / "rose-runs").iterdir()) == []


def test_all_does_not_guess_which_runs(several: Rose) -> None:
    before = runs_in(several)
    for arguments in ((), (".",), ("campaign.yaml",), ("rose-runs",)):
        called = several("clean", *arguments, "--all", "-y")
        assert called.code == 2, arguments
        assert "--keep-last" in called.err
    assert runs_in(several) == before


def test_runs_are_chosen_by_a_rule(several: Rose) -> None:
    one, two, three, four = runs_in(several)
    for rule, chosen in (
        (("--older-than", "15d"), {one, two}),
        (("--older-than", "2w", "--status", "failed"), {two}),
        (("--older-than", "36h"), {one, two, three}),
        (("--status", "finished"), {one, two, three, four}),
        (("--status", "done", "--keep-last", "1"), {one, three}),
        (("--keep-last", "3"), {one}),
        (("--status", "interrupted"), set()),
    ):
        for place in ((), ("campaign.yaml",), (".",), ("rose-runs",)):
            out = several("clean", *place, *rule, "--all", "-n").out
            assert {run for run in (one, two, three, four) if f"'rose-runs/{run}'" in out} == chosen, rule
    assert "to be deleted, status failed, ended more than 2w ago:" in (
        several("clean", "--older-than", "2w", "--status", "failed", "--all", "-n").out
    )
    called = several("clean", "--older-than", "15d", "--all", "-y")
    assert (called.code, runs_in(several)) == (0, [three, four])
    called = several("clean", "--older-than", "soon", "--all", "-y")
    assert (called.code, "write an age: 30d, 12h or 2w" in called.err) == (2, True)
    called = several("clean", "--status", "finshed", "--all", "-y")
    assert (called.code, "did you mean 'finished'?" in called.err) == (2, True)


def test_a_rule_also_chooses_whose_logs_go(several: Rose) -> None:
    one, two, three, _ = runs_in(several)
    before = everything(several.folder)
    called = several("clean", "--older-than", "5d", "--keep-logs", "0", "-y")
    assert (called.code, "in all 2 runs:" in called.out) == (0, True)
    assert f"rose-runs/{two}: failed\nthere is nothing to delete" in called.out  # a resume retries that iteration
    assert gone(before, several.folder) == {f"rose-runs/{run}/learners/a/logs/0" for run in (one, three)}


def test_a_whole_run_goes_never_while_a_session_works_on_it(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {s: {executable: sleep 1000}}, learners: [{name: a}]}")
    process = rose.start("run", "campaign.yaml", "--output", "quiet")
    wait_until(lambda: any(rose.folder.glob("rose-runs/*/learners/a/logs/0/s.1.out")))
    (run,) = runs_in(rose)
    called = rose("clean", run, "--all", "-y")
    assert (called.code, "is running" in called.err) == (4, True)
    called = rose("clean", "--keep-last", "0", "--all", "-y")
    assert f"left alone: 'rose-runs/{run}' (running)" in called.err
    assert runs_in(rose) == [run]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert rose("clean", run, "--all", "-y").code == 0
    assert runs_in(rose) == []


def test_a_whole_run_goes_never_with_anything_else(several: Rose) -> None:
    one, two, three, four = runs_in(several)
    runs = several.folder / "rose-runs"
    (runs / one / "notes.txt").touch()
    called = several("clean", one, "--all", "-y")
    assert (called.code, "that rose did not create: 'notes.txt'" in called.err) == (4, True)
    (several.folder / "mine").mkdir()
    (several.folder / "mine/precious").touch()
    (runs / two / "learners/a/workspace/link").symlink_to(several.folder / "mine")
    shutil.rmtree(runs / two / "learners/a/logs")
    (runs / two / "learners/a/logs").symlink_to(several.folder / "mine")
    assert several("clean", two, "--all", "-y").code == 0
    assert (several.folder / "mine/precious").exists()
    (several.folder / "elsewhere").symlink_to(runs / three)
    called = several("clean", "elsewhere", "--all", "-y")
    assert (called.code, "is a symbolic link" in called.err) == (4, True)
    (runs / three / "engine/pilot-1").mkdir(parents=True)
    (runs / three / "engine/pilot-1/pilot.json").write_text("{}")
    called = several("clean", three, "--all", "-y")
    assert (called.code, f"a pilot of 'rose-runs/{three}' may still be running" in called.err) == (4, True)
    inside = Rose(runs / four / "learners")
    called = inside("clean", runs / four, "--all", "-y")
    assert (called.code, "you are inside the run" in called.err) == (4, True)
    assert runs_in(several) == [one, three, four]


def test_what_an_interrupted_deletion_left_goes_with_the_next_one(several: Rose) -> None:
    one, two, *_ = runs_in(several)
    runs = several.folder / "rose-runs"
    (runs / two / "plan.json").unlink()
    (runs / two).rename(runs / f".rose-clean-1-{two}")
    assert two not in several("list").out
    assert several("clean", one, "--all", "-y").code == 0
    assert not list(runs.glob(".rose-clean-*"))


def test_never_somebody_elses_whole_run(alice: Person, mallory: Person) -> None:
    alice.sh("mkdir -m 1777 rose-runs")
    theirs = mallory.at(alice.folder / "theirs")
    theirs.write(SHORT.replace("./s.sh", "echo x"))
    assert theirs("run", "campaign.yaml", "--run-dir", "r").code == 0
    theirs.sh("chmod -R a+rwX r; mv r ../rose-runs/r")
    called = alice("clean", "r", "--all", "-y")
    assert (called.code, "--trust` deletes files in it anyway" in called.err) == (4, True)
    called = alice("clean", "--keep-last", "0", "--all", "-y")
    assert "left alone: 'rose-runs/r' (not yours alone)" in called.err
    assert (alice.folder / "rose-runs/r/plan.json").exists()


def test_without_a_name_the_latest_run_that_has_ended_is_cleaned(several: Rose) -> None:
    *_, four = runs_in(several)
    (several.folder / f"rose-runs/{four}/learners/a/workspace.lost-1").mkdir()
    called = several("clean", "-y")
    assert (called.code, called.err.startswith(f"run 'rose-runs/{four}'\n")) == (0, True)
    assert not (several.folder / f"rose-runs/{four}/learners/a/workspace.lost-1").exists()
