"""Campaigns and runs that were moved or copied between two sessions, in every way in which people do it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.journal.codec import decode, encode, from_json, to_json
from rose_cli.util.processes import process_is_running
from tests.conftest import PATIENCE, Rose, wait_until
from tests.forge import spread

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = """\
    #!/bin/sh
    # says whose script it is, and adds to what is there
    echo "{place} $ROSE_ITERATION $(cat data.csv)" >> log
    [ -e latest ] || ln -s "$ROSE_WORKSPACE/log" latest
    """
CAMPAIGN = """
    max_iter: 2
    files: [data.csv]
    tasks: {sim: {executable: ./sim.sh, args: ["{campaign_dir}/data.csv"]}, check: {executable: python check.py}}
    learners: [{name: a}, {name: b}]
    """


def settle(rose: Rose, place: str) -> None:
    """Make the scripts and data of a campaign say where they lie."""
    rose.script(SCRIPT.replace("{place}", place), "sim.sh")
    rose.write("import sys\n", "check.py")
    rose.write(place, "data.csv")


@pytest.fixture
def here(tmp_path: Path) -> Rose:
    """A campaign in folder `here` with a run that stands at its max_iter."""
    rose = Rose(tmp_path / "here")
    rose.folder.mkdir()
    settle(rose, "here")
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml").code == 0
    return rose


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system, where this machine has one."""
    here = tmp_path.stat().st_dev
    others = (path for path in map(Path, ("/dev/shm", "/var/tmp")) if path.is_dir() and path.stat().st_dev != here)
    if (other := next(others, None)) is None:
        pytest.skip("there is no second file system")
    place = other / f"rose-{tmp_path.parent.name}-{tmp_path.name}"
    place.mkdir()
    yield place
    shutil.rmtree(place)


def shell(line: str, folder: Path) -> None:
    subprocess.run(["/bin/sh", "-ec", line], cwd=folder, check=True)


def run_in(rose: Rose) -> Path:
    (run,) = (path for path in (rose.folder / "rose-runs").iterdir() if not path.is_symlink())
    return run


def log(rose: Rose, learner: str = "a") -> list[str]:
    return (run_in(rose) / "learners" / learner / "workspace/log").read_text().splitlines()


def all_files(folder: Path) -> dict[str, Any]:
    """Everything in a folder, with contents."""
    return {
        str(path.relative_to(folder)): path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
        for path in folder.rglob("*")
    }


def links(rose: Rose) -> set[str]:
    return {str(path.readlink()) for path in (run_in(rose) / "learners").rglob("*") if path.is_symlink()}


MOVES = ["mv here there", "cp -a here there && rm -r here", "cp -r here there && rm -r here"]
COPIES = ["cp -a here there", "cp -r here there", "mkdir there && tar c -C here . | tar x -C there"]


@pytest.mark.parametrize("line", MOVES)
def test_a_campaign_that_was_moved_goes_on_with_what_moved_along(here: Rose, tmp_path: Path, line: str) -> None:
    shell(line, tmp_path)
    there = Rose(tmp_path / "there")
    called = there("resume", "campaign.yaml", "--max-iter", "3")
    assert called.code == 0, called.err
    assert f"the campaign has moved from '{here.folder}' to '{there.folder}'" in called.err
    assert log(there) == ["here 0 here", "here 1 here", "here 2 here"]
    assert links(there) == {
        str(there.folder / "data.csv"),
        *(f"{run_in(there)}/learners/{n}/workspace/log" for n in "ab"),
    }
    assert "moved" not in there("resume", "campaign.yaml", "--max-iter", "4").err, "once is enough"


@pytest.mark.parametrize("line", COPIES)
def test_a_copy_works_with_its_own_files_and_leaves_the_original_alone(here: Rose, tmp_path: Path, line: str) -> None:
    shell(line, tmp_path)
    there = Rose(tmp_path / "there")
    settle(there, "there")
    before = all_files(here.folder)
    for words in (("--dry-run",), ()):
        called = there("resume", "campaign.yaml", "--max-iter", "3", *words)
        told = called.out + called.err
        assert called.code == 0, told
        assert f"this is a copy of the run in '{run_in(here)}', which is not changed" in told
        assert f"this copy uses the campaign in '{there.folder}'" in told
        assert "'sim.sh' has changed since iterations 0-1 ran" in told
    assert log(there) == ["here 0 here", "here 1 here", "there 2 there"]
    assert not any(link.startswith(str(here.folder)) for link in links(there))
    assert all_files(here.folder) == before
    assert here("resume", "campaign.yaml", "--max-iter", "3").code == 0
    assert log(here) == ["here 0 here", "here 1 here", "here 2 here"]


def test_a_move_to_another_file_system(here: Rose, elsewhere: Path) -> None:
    shutil.move(here.folder, elsewhere / "there")
    there = Rose(elsewhere / "there")
    called = there("resume", "--max-iter", "3")
    assert (called.code, "the campaign has moved" in called.err) == (0, True), called.err
    assert log(there) == ["here 0 here", "here 1 here", "here 2 here"]


@pytest.mark.parametrize("command", [("status",), ("logs",), ("export",), ("resume", "--dry-run", "--max-iter", "3")])
def test_every_command_finds_the_run_of_a_campaign_that_was_moved(
    here: Rose, tmp_path: Path, command: tuple[str, ...]
) -> None:
    here.folder.rename(tmp_path / "there")
    there = Rose(tmp_path / "there")
    called = there(command[0], "campaign.yaml", *command[1:])
    assert called.code == 0, called.err
    if command[0] != "export" and command[0] != "logs":
        assert "the campaign has moved from" in called.out + called.err


def test_it_may_move_again_and_again(here: Rose, tmp_path: Path) -> None:
    for number in range(3, 6):
        here.folder.rename(tmp_path / f"place-{number}")
        here = Rose(tmp_path / f"place-{number}")
        assert here("resume", "campaign.yaml", "--max-iter", str(number)).code == 0
    assert log(here) == [f"here {iteration} here" for iteration in range(5)]
    assert all(link.startswith(str(here.folder)) for link in links(here))


def test_a_campaign_file_with_another_name(here: Rose) -> None:
    (here.folder / "campaign.yaml").rename(here.folder / "oscillator.yaml")
    called = here("resume", "oscillator.yaml", "--max-iter", "3")
    assert (called.code, "no longer exists" in called.err) == (0, False), called.err


def test_a_folder_that_was_moved_and_its_file_renamed(here: Rose, tmp_path: Path) -> None:
    here.folder.rename(tmp_path / "there")
    there = Rose(tmp_path / "there")
    (there.folder / "campaign.yaml").rename(there.folder / "oscillator.yaml")
    assert there("resume", "oscillator.yaml", "--max-iter", "3").code == 0
    there.folder.rename(tmp_path / "third")
    third = Rose(tmp_path / "third")
    third.write(CAMPAIGN.replace("max_iter: 2", "max_iter: 9"), "oscillator.yaml")
    called = third("resume", "--max-iter", "4")
    assert (called.code, "max_iter: 2 → 9  (line" in called.err) == (0, True), called.err
    assert len(log(third)) == 4


def test_a_run_that_was_moved_by_itself_finds_its_campaign(here: Rose, tmp_path: Path) -> None:
    moved = tmp_path / "archive" / "run"
    moved.parent.mkdir()
    run_in(here).rename(moved)
    called = Rose(tmp_path)("resume", "archive/run", "--max-iter", "3")
    assert called.code == 0
    assert f"the run has moved from '{here.folder}/rose-runs/" in called.err
    here.folder.rename(tmp_path / "there")
    refused = Rose(tmp_path)("resume", "archive/run", "--max-iter", "4")
    assert refused.code == 4
    assert f"the directory of the campaign, '{here.folder}', no longer exists" in refused.err
    assert f"ln -s NEW_DIRECTORY {here.folder}" in refused.err
    for command in ("status", "logs", "export"):
        assert Rose(tmp_path)(command, "archive/run").code == 0
    assert "no longer exists" in Rose(tmp_path)("status", "archive/run").err
    here.folder.symlink_to("there")
    assert Rose(tmp_path)("resume", "archive/run", "--max-iter", "4").code == 0


def test_a_run_that_is_kept_elsewhere_and_both_are_moved_together(tmp_path: Path) -> None:
    project = tmp_path / "project"
    rose = Rose(project / "campaign")
    rose.folder.mkdir(parents=True)
    settle(rose, "project")
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "--run-dir", "../runs/r").code == 0
    shutil.copytree(project, tmp_path / "copy", symlinks=True)
    copy = Rose(tmp_path / "copy" / "campaign")
    settle(copy, "copy")
    assert copy("resume", "../runs/r", "--max-iter", "3").code == 0
    project.rename(tmp_path / "moved")
    moved = Rose(tmp_path / "moved" / "campaign")
    assert moved("resume", "../runs/r", "--max-iter", "3").code == 0
    logs = [(folder / "runs/r/learners/a/workspace/log").read_text().splitlines()[-1] for folder in
            (tmp_path / "copy", tmp_path / "moved")]  # fmt: skip
    assert logs == ["copy 2 copy", "project 2 project"]


def test_what_did_not_move_along_is_named(here: Rose, tmp_path: Path) -> None:
    here.folder.rename(tmp_path / "there")
    there = Rose(tmp_path / "there")
    (there.folder / "sim.sh").unlink()
    (there.folder / "data.csv").unlink()
    for words in (("--dry-run",), ()):
        called = there("resume", "campaign.yaml", "--max-iter", "3", *words)
        assert called.code == 4
        assert f"the campaign has moved from '{here.folder}' to '{there.folder}'" in called.err
        assert "'sim.sh', 'data.csv' did not move with it" in called.err
    assert there.learners("campaign.yaml")["a"]["iterations_done"] == 2


def test_a_path_that_was_written_out_stays_as_it_is(tmp_path: Path) -> None:
    rose = Rose(tmp_path / "here")
    rose.folder.mkdir()
    rose.write(
        f"{{max_iter: 1, tasks: {{t: {{executable: echo, args: ['{rose.folder}/x']}}}}, learners: [{{name: a}}]}}"
    )
    assert rose("run", "campaign.yaml").code == 0
    rose.folder.rename(tmp_path / "there")
    there = Rose(tmp_path / "there")
    assert there("resume", "--max-iter", "2").code == 0
    assert (run_in(there) / "learners/a/logs/1/t.1.out").read_text() == f"{rose.folder}/x\n"


def test_data_beside_the_campaigns_folder_is_found_where_it_is(tmp_path: Path) -> None:
    rose = Rose(tmp_path / "project" / "here")
    rose.folder.mkdir(parents=True)
    (tmp_path / "project/data.csv").write_text("shared")
    rose.write("{max_iter: 1, files: [../data.csv], tasks: {t: {executable: cat data.csv}}, learners: 1}")
    assert rose("run", "campaign.yaml").code == 0
    rose.folder.rename(tmp_path / "there")
    there = Rose(tmp_path / "there")
    assert there("resume", "--max-iter", "2").code == 0
    (tmp_path / "project").rename(tmp_path / "other")
    refused = there("resume", "--max-iter", "3")
    assert refused.code in (1, 4)
    assert "data.csv" in refused.err + refused.out


def test_a_run_reached_through_links(here: Rose, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("here")
    (tmp_path / "runs").symlink_to("here/rose-runs")
    for number, place in enumerate(("link/campaign.yaml", f"runs/{run_in(here).name}"), start=3):
        called = Rose(tmp_path)("resume", place, "--max-iter", str(number))
        assert (called.code, "moved" in called.err or "copy" in called.err) == (0, False), called.err
    before = here.folder.rename(tmp_path / "there")
    here.folder.symlink_to("there")
    called = here("resume", "--max-iter", "5")
    assert (called.code, "moved" in called.err) == (0, False), (called.err, before)


def test_runs_that_are_kept_on_another_disk(tmp_path: Path) -> None:
    rose = Rose(tmp_path / "here")
    (tmp_path / "big").mkdir()
    rose.folder.mkdir()
    (rose.folder / "rose-runs").symlink_to(tmp_path / "big")
    settle(rose, "here")
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml").code == 0
    (run,) = (path for path in (tmp_path / "big").iterdir() if not path.is_symlink())
    assert Rose(tmp_path)("resume", run, "--max-iter", "3").code == 0
    rose.folder.rename(tmp_path / "there")
    assert Rose(tmp_path / "there")("resume", "campaign.yaml", "--max-iter", "4").code == 0
    assert len((run / "learners/a/workspace/log").read_text().splitlines()) == 4


# --- a copy of a run that is at work --------------------------------------------------------------------------------


@pytest.fixture
def working(tmp_path: Path) -> Iterator[tuple[Rose, subprocess.Popen[str]]]:
    """A campaign whose task is under way until its folder has a file `go`."""
    rose = Rose(tmp_path / "here")
    rose.folder.mkdir()
    rose.script('#!/bin/sh\ntouch begun\nuntil [ -e "$ROSE_CAMPAIGN_DIR/go" ]; do sleep 0.05; done\n', "sim.sh")
    rose.write("{max_iter: 1, tasks: {sim: {executable: ./sim.sh}}, learners: [{name: a}]}")
    process = rose.start("run", "campaign.yaml", "--output", "quiet")
    wait_until(lambda: any((rose.folder / "rose-runs").glob("*-1/learners/a/workspace/begun")))
    yield rose, process
    (rose.folder / "go").touch()
    process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("line", ["cp -a here there", "cp -r here there"])
def test_a_copy_neither_waits_for_the_original_nor_ends_its_tasks(
    working: tuple[Rose, subprocess.Popen[str]], tmp_path: Path, line: str
) -> None:
    here, process = working
    shell(line, tmp_path)
    there = Rose(tmp_path / "there")
    assert there.status("campaign.yaml")["status"] == "lost"
    assert here.status("campaign.yaml")["status"] == "running"
    assert there("stop", "campaign.yaml").code == 4
    (there.folder / "go").touch()
    called = there("resume", "campaign.yaml")
    assert called.code == 0, called.err
    assert "this is a copy" in called.err
    assert "leftover" not in called.err
    assert process.poll() is None
    (here.folder / "go").touch()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    kinds = [event["event"] for event in here.events(run_in(here))]
    assert ("attempt_failed" in kinds, "attempt_lost" in kinds, kinds.count("attempt_started")) == (False, False, 1)


def test_what_a_killed_session_left_is_ended_by_the_original_and_not_by_a_copy(tmp_path: Path) -> None:
    here = Rose(tmp_path / "here")
    here.folder.mkdir()
    here.script('#!/bin/sh\n[ -e "$ROSE_CAMPAIGN_DIR/go" ] && exit\necho $$ > pid\nexec sleep 600\n', "sim.sh")
    here.write(
        "{max_iter: 1, tasks: {sim: {executable: ./sim.sh}}, learners: [{name: a}], engine: {kind: local, grace: 0}}"
    )
    process = here.start("run", "campaign.yaml", "--output", "quiet")
    wait_until(lambda: any(p.read_text() for p in (here.folder / "rose-runs").glob("*-1/learners/a/workspace/pid")))
    pid = int((run_in(here) / "learners/a/workspace/pid").read_text())
    wait_until(lambda: any(event["event"] == "process_spawned" for event in here.events(run_in(here))))
    process.send_signal(signal.SIGSTOP)
    for watchdog in children(process.pid) - {pid}:
        shell(f"kill -9 {watchdog}", tmp_path)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert process_is_running(pid, None)
    shell("cp -a here there; touch there/go here/go", tmp_path)
    assert Rose(tmp_path / "there")("resume").code == 0
    assert process_is_running(pid, None), "the copy ended a task of the original"
    called = here("resume")
    assert (called.code, "terminated 1 leftover process" in called.err) == (0, True), called.err
    assert not process_is_running(pid, None)


def children(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


# --- an older rose ---------------------------------------------------------------------------------------------------


@pytest.fixture
def old(here: Rose) -> Rose:
    """The same run as an older rose wrote it: a plan of format 1, a journal that does not say where it lies."""
    path = run_in(here) / "plan.json"
    document = json.loads(path.read_text())
    plan = document["plan"]
    assert (document["format"], plan["campaign_dir"], plan["campaign_file"]) == (4, "../..", "campaign.yaml")
    spread(plan)
    del plan["origin"]
    plan["campaign_dir"], plan["campaign_file"] = str(here.folder), str(here.folder / "campaign.yaml")
    for learner in plan["learners"]:
        for file in learner["files"]:
            file["source"] = str(here.folder / file["source"])
            del file["fixed"]
    path.write_text(json.dumps({"format": 1, "plan": plan}))
    rewrite_journal(run_in(here) / "journal.jsonl", ("directory", "identity", "campaign_dir", "files", "checksums"))
    return here


def rewrite_journal(path: Path, without: tuple[str, ...]) -> None:
    lines = []
    for line in path.read_bytes().splitlines(keepends=True):
        record = decode(line)
        entries = {name: value for name, value in to_json(record.event).items() if name not in without}
        lines.append(encode(replace(record, event=from_json(entries))))
    path.write_bytes(b"".join(lines))


def test_a_run_of_an_older_rose_that_was_moved(old: Rose, tmp_path: Path) -> None:
    old.folder.rename(tmp_path / "there")
    there = Rose(tmp_path / "there")
    called = there("resume", "campaign.yaml", "--max-iter", "3")
    assert called.code == 0, called.err
    assert f"the campaign has moved from '{old.folder}' to '{there.folder}'" in called.err
    assert log(there)[-1] == "here 2 here"
    assert all(link.startswith(str(there.folder)) for link in links(there))


def test_a_run_of_an_older_rose_that_was_copied(old: Rose, tmp_path: Path) -> None:
    shell("cp -a here there", tmp_path)
    there = Rose(tmp_path / "there")
    settle(there, "there")
    before = all_files(old.folder)
    called = there("resume", "campaign.yaml", "--max-iter", "3")
    assert (called.code, f"this is a copy of the run in '{run_in(old)}'" in called.err) == (0, True), called.err
    assert log(there)[-1] == "there 2 there"
    assert all_files(old.folder) == before


def test_a_run_of_an_older_rose_misses_what_did_not_move_along(old: Rose, tmp_path: Path) -> None:
    old.folder.rename(tmp_path / "there")
    there = Rose(tmp_path / "there")
    (there.folder / "sim.sh").unlink()
    called = there("resume", "campaign.yaml", "--max-iter", "3")
    assert (called.code, "'sim.sh' did not move with it" in called.err) == (4, True), called.err


def test_a_run_of_an_older_rose_that_stayed(old: Rose) -> None:
    called = old("resume", "campaign.yaml", "--max-iter", "3")
    assert (called.code, "moved" in called.err or "copy" in called.err) == (0, False), called.err


def test_a_plan_on_disk_holds_no_path_but_where_it_was_made(here: Rose) -> None:
    text = (run_in(here) / "plan.json").read_text()
    origin = json.loads(text)["plan"]["origin"]
    assert origin == {"run": str(run_in(here)), "campaign": str(here.folder)}
    assert text.count(str(here.folder)) == 2
