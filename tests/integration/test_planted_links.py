"""Nothing is written, read or removed through a link that somebody planted; a run is for one person to write."""

from __future__ import annotations

import os
import signal
import stat
import time
from typing import TYPE_CHECKING

import pytest

from rose_cli.runs.directory import create_run_directory, use_as_run_directory, write_new
from rose_cli.runs.stop_requests import StopRequest, send_request, take_requests
from rose_cli.runs.workspace import prepare_workspace
from rose_cli.util.errors import RunDirectoryError
from tests.conftest import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose

CAMPAIGN = "{max_iter: 2, tasks: {sim: {executable: ./sim.sh}}, learners: [{name: a}]}"
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link to another user")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of the user's that no run has to do with."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "precious.json").write_text('{"stop": null}')
    return folder


def untouched(victim: Path) -> bool:
    return {path.name: path.read_text() for path in victim.iterdir()} == {"precious.json": '{"stop": null}'}


def failed_run(rose: Rose) -> None:
    rose.script('#!/bin/sh\n[ -e "$ROSE_CAMPAIGN_DIR/ok" ]\n', "sim.sh")
    rose.write(CAMPAIGN.replace("./sim.sh", "./sim.sh, snapshot: true"))
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    (rose.folder / "ok").touch()


PLACES = (
    "engine",
    "requests",
    "learners",
    "learners/a",
    "learners/a/workspace",
    "learners/a/logs",
    "learners/a/snapshots",
)


@pytest.mark.parametrize("place", PLACES)
def test_a_link_in_the_run_directory_is_refused_on_resume(rose: Rose, victim: Path, place: str) -> None:
    failed_run(rose)
    path = rose.folder / "r" / place
    if path.exists():
        path.rename(rose.folder / "moved")
    path.symlink_to(victim)
    called = rose("resume", "r")
    assert (called.code, untouched(victim)) == (4, True)
    assert str(path) in called.err.replace("\n", "")
    assert "is a symbolic link" in called.err.replace("\n", " ")


@pytest.mark.parametrize("name", ["campaign.yaml", "plan.json", "journal.jsonl"])
def test_the_files_of_a_new_run_are_not_written_through_links(tmp_path: Path, name: str) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / name).symlink_to("victim")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / name, "new", private=False)
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_journal_that_became_a_link_is_not_written(rose: Rose) -> None:
    failed_run(rose)
    journal = rose.folder / "r/journal.jsonl"
    journal.rename(rose.folder / "elsewhere")
    journal.symlink_to(rose.folder / "elsewhere")
    before = (rose.folder / "elsewhere").read_bytes()
    assert rose("resume", "r").code == 4
    assert (rose.folder / "elsewhere").read_bytes() == before


def test_a_task_that_plants_links_where_its_next_logs_go(rose: Rose, victim: Path) -> None:
    rose.script(f'#!/bin/sh\n[ $ROSE_ITERATION = 1 ] || ln -s "{victim}" ../logs/1\n', "sim.sh")
    rose.write(CAMPAIGN)
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert (called.code, untouched(victim)) == (4, True)
    assert "logs/1" in called.err.replace("\n", "")


def test_a_task_that_plants_its_next_log(rose: Rose, victim: Path) -> None:
    rose.script(
        f"#!/bin/sh\n[ $ROSE_ITERATION = 0 ] || exit 0\nmkdir ../logs/1\n"
        f'ln -s "{victim}/precious.json" ../logs/1/sim.1.out\n',
        "sim.sh",
    )
    rose.write(CAMPAIGN)
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert (called.code, untouched(victim)) == (1, True)
    assert "cannot be written" in called.out.replace("\n", " ")


@pytest.mark.parametrize("place", [".", "../snapshots"])
def test_a_task_that_replaces_its_workspace_or_its_snapshots_by_a_link(rose: Rose, victim: Path, place: str) -> None:
    """Putting the workspace back would otherwise empty what the link leads to."""
    rose.script(
        f'#!/bin/sh\nfolder="$ROSE_WORKSPACE/{place}"; cd /\nrm -r "$folder" 2>/dev/null || rmdir "$ROSE_WORKSPACE"\n'
        f'folder=$(realpath -m "$folder"); rm -rf "$folder"; ln -s "{victim}" "$folder"\nexit 1\n',
        "sim.sh",
    )
    rose.write(CAMPAIGN.replace("./sim.sh", "./sim.sh, snapshot: true, retries: {times: 2, pause: 0}"))
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 4, called.out
    assert untouched(victim)


# --- requests ------------------------------------------------------------------------------------------------------


def test_requests_are_not_taken_from_behind_a_link(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "requests").symlink_to(victim)
    assert take_requests(tmp_path / "requests") == []
    with pytest.raises(OSError, match="link"):
        send_request(tmp_path / "requests", StopRequest())
    assert untouched(victim)


def test_whatever_lies_among_the_requests_ends_no_session(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    folder.mkdir()
    os.mkfifo(folder / "pipe.json")
    (folder / "dangling.json").symlink_to("nowhere")
    (folder / "zero.json").symlink_to("/dev/zero")
    (folder / "folder.json").mkdir()
    (folder / "deep.json").write_text("[" * 60_000)
    (folder / "latin.json").write_bytes(b'{"stop": "\xe9"}')
    (folder / "other.json").write_text('{"stop": 5}')
    (folder / "list.json").write_text("[]")
    (folder / "huge.json").write_text('{"stop": "' + "x" * 1_000_000 + '"}')
    send_request(folder, StopRequest("a"))
    assert take_requests(folder) == [StopRequest("a")]
    assert [path.name for path in folder.iterdir()] == ["folder.json"]
    assert take_requests(folder) == []


def test_a_pipe_among_the_requests_does_not_hold_up_a_session(rose: Rose) -> None:
    rose.script("#!/bin/sh\nsleep 1000\n", "sim.sh")
    rose.write(CAMPAIGN)
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    journal = rose.folder / "r/journal.jsonl"
    end = time.monotonic() + PATIENCE
    while not journal.exists() or b"attempt_started" not in journal.read_bytes():
        assert time.monotonic() < end
        time.sleep(0.02)
    (rose.folder / "r/requests").mkdir(exist_ok=True)
    os.mkfifo(rose.folder / "r/requests/pipe.json")
    assert rose("stop", "r").code == 0
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)


# --- the folders of runs -------------------------------------------------------------------------------------------


def test_names_that_are_taken_by_links_are_passed_over(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "x-20260101-1").symlink_to(victim)
    (tmp_path / "x-20260101-2").symlink_to("nowhere")
    assert create_run_directory(tmp_path, "x", "20260101").path == tmp_path / "x-20260101-3"
    assert untouched(victim)


def test_latest_is_replaced_and_not_followed(rose: Rose, victim: Path) -> None:
    rose.script("#!/bin/sh\n", "sim.sh")
    rose.write(CAMPAIGN)
    (rose.folder / "rose-runs").mkdir()
    (rose.folder / "rose-runs/latest").symlink_to(victim)
    assert rose("run", "campaign.yaml", "--output", "quiet").code == 0
    assert untouched(victim)
    assert (rose.folder / "rose-runs/latest/plan.json").is_file()


def test_ones_own_link_to_a_larger_disk_is_welcome(rose: Rose) -> None:
    rose.script("#!/bin/sh\n", "sim.sh")
    rose.write(CAMPAIGN)
    (rose.folder / "scratch").mkdir()
    (rose.folder / "rose-runs").symlink_to("scratch")
    assert rose("run", "campaign.yaml", "--output", "quiet").code == 0
    assert (rose.folder / "scratch/latest/plan.json").is_file()


@needs_root
def test_somebody_elses_link_is_not(rose: Rose, victim: Path) -> None:
    rose.script("#!/bin/sh\n", "sim.sh")
    rose.write(CAMPAIGN)
    for name, words in (("rose-runs", ()), ("planted", ("--run-dir", "planted"))):
        (rose.folder / name).symlink_to(victim)
        os.lchown(rose.folder / name, NOBODY, NOBODY)
        called = rose("run", "campaign.yaml", *words)
        assert (called.code, untouched(victim)) == (4, True)
        assert "another user" in called.err.replace("\n", " ")
    with pytest.raises(RunDirectoryError, match="another user"):
        use_as_run_directory(rose.folder / "planted")


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002, 0o000])
def test_a_run_is_made_for_one_person_to_write_and_its_workspaces_with_the_umask(rose: Rose, umask: int) -> None:
    """Also what tasks make goes by the umask of the user."""
    rose.script("#!/bin/sh\necho x > file\nmkdir -p folder\n", "sim.sh")
    rose.write(CAMPAIGN)
    before = os.umask(umask)
    try:
        assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    finally:
        os.umask(before)
    workspace = rose.folder / "r/learners/a/workspace"
    for path in [rose.folder / "r", *(rose.folder / "r").rglob("*")]:
        most = 0o777 if path.is_relative_to(workspace) else 0o755
        usual = most & ~umask & (0o777 if path.is_dir() else 0o666)
        assert stat.S_IMODE(path.stat().st_mode) == usual, path


# --- files of a workspace ------------------------------------------------------------------------------------------


def test_a_file_laid_into_a_linked_folder_is_a_mistake_and_removes_nothing(rose: Rose) -> None:
    (rose.folder / "data").mkdir()
    (rose.folder / "data/pool.csv").write_text("precious")
    rose.script("#!/bin/sh\n", "sim.sh")
    for files in ("[data, data/pool.csv]", "[data/pool.csv, data]", "[data, {path: sim.sh, to: data/new}]"):
        rose.write(CAMPAIGN.replace("max_iter", f"files: {files}, max_iter"))
        called = rose("validate", "campaign.yaml")
        assert (called.code, "is inside the other" in called.out) == (2, True), called.out
    # one from the campaign, one from the learner: found when the workspace is made
    rose.write(
        CAMPAIGN.replace("max_iter", "files: [data], max_iter").replace("name: a", "name: a, files: [data/pool.csv]")
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 4
    assert (rose.folder / "data/pool.csv").read_text() == "precious"
    rose.write(CAMPAIGN.replace("max_iter", "files: [{path: data, copy: true}, {path: sim.sh, to: data/s}], max_iter"))
    assert rose("run", "campaign.yaml", "--run-dir", "s").code == 0


def test_a_workspace_that_cannot_be_made_is_an_error_of_the_run_directory(tmp_path: Path) -> None:
    from rose_cli.plan.model import FilePlan

    for source, target in (("/nowhere/at/all", "x"), ("/etc/hostname", "n" * 300)):
        with pytest.raises(RunDirectoryError, match="cannot prepare"):
            prepare_workspace(tmp_path / "w", [FilePlan(source, target, copied=True)], inside=tmp_path)
