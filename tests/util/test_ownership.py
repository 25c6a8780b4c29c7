"""Who else could change a file, a directory or a run."""

from __future__ import annotations

import os
import stat
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from rose_cli.runs.directory import RunDirectory, refuse_links
from rose_cli.util import ownership
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.ownership import ownership_problem, restrict_umask, umask_kept, user_umask
from rose_cli.util.shared import SHARED
from tests.two_users import MALLORY, MOST, NAMED_GROUP, NAMED_USER, NOBODY, OTHERS, OWN, OWN_GROUP, RW, TEAM, R

if TYPE_CHECKING:
    from pathlib import Path

NOT_YOURS = f"belongs to uid {MALLORY}"

PLACES = [".", "plan.json", "journal.jsonl", "campaign.yaml", "lock", "engine", "requests", "learners", "python"]


OF_CAMPAIGN = ["campaign", "campaign/logs", "campaign/snapshots"]


OF_PYTHON = ["python/sim.pkl", "python/results", "python/results/a"]


INSIDE = ["engine/pilot-1", "learners/a", "learners/a/logs", "learners/a/snapshots", *OF_CAMPAIGN, *OF_PYTHON]


@pytest.mark.parametrize("place", [*PLACES, *INSIDE])
def test_everything_in_a_run_counts(tmp_path: Path, place: str) -> None:
    directory = RunDirectory.at(tmp_path / "r")
    files = ("plan.json", "journal.jsonl", "campaign.yaml", "lock", "python/sim.pkl")
    for inside in (*PLACES, *INSIDE, "learners/a/workspace", "campaign/workspace"):
        if inside not in files:
            (directory.path / inside).mkdir(parents=True, mode=0o755, exist_ok=True)
    for name in files:
        (directory.path / name).touch(0o644)
    path = directory.path / place

    def doubt() -> str | None:
        found = directory.doubt or directory.doubt_inside(["a"])
        assert found is None or found.path.samefile(path)
        return None if found is None else found.what

    assert doubt() is None
    mode = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode | 0o002)
    assert doubt() == "can be changed by everybody on this machine"
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, 0, TEAM)
        path.chmod(mode | 0o020)
        assert doubt() == f"can be changed by the group {TEAM}"
        path.chmod(mode)
        os.chown(path, MALLORY, 0)
        assert doubt() == NOT_YOURS


@pytest.mark.parametrize("place", ["python", "python/results", "python/results/a", *OF_CAMPAIGN, "campaign/workspace"])
def test_no_session_writes_through_a_link_that_rose_did_not_create(tmp_path: Path, place: str) -> None:
    directory = RunDirectory.at(tmp_path / "r")
    path = directory.path / place
    path.mkdir(parents=True)
    refuse_links(directory, ["a"])
    path.rmdir()
    path.symlink_to(tmp_path)
    with pytest.raises(RunDirectoryError, match=f"'{path}' is a symbolic link"):
        refuse_links(directory, ["a"])


@pytest.mark.parametrize("learner", ["a", SHARED])
def test_a_workspace_may_be_written_by_a_group_and_belongs_to_nobody_else(tmp_path: Path, learner: str) -> None:
    directory = RunDirectory.at(tmp_path)
    workspace = directory.workspace(learner)
    workspace.mkdir(parents=True)
    workspace.chmod(0o777)
    assert directory.doubt_inside(["a"]) is None
    if os.geteuid() == 0:
        os.chown(workspace, MALLORY, MALLORY)
        found = directory.doubt_inside(["a"])
        assert (found and found.what) == NOT_YOURS


ACCESS_LISTS: list[tuple[list[tuple[int, int, int]], str | None]] = [
    ([(NAMED_USER, RW, MALLORY), (OWN_GROUP, R, NOBODY), (MOST, RW, NOBODY)], f"uid {MALLORY}"),
    ([(OWN_GROUP, R, NOBODY), (NAMED_GROUP, RW, TEAM), (MOST, RW, NOBODY)], f"the group {TEAM}"),
    ([(NAMED_USER, RW, MALLORY), (OWN_GROUP, R, NOBODY), (MOST, R, NOBODY)], None),
    ([(NAMED_USER, R, MALLORY), (OWN_GROUP, R, NOBODY), (MOST, RW, NOBODY)], None),
]


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="there are no access lists here")
@pytest.mark.parametrize(("entries", "who"), ACCESS_LISTS)
def test_an_access_list_counts(tmp_path: Path, entries: list[tuple[int, int, int]], who: str | None) -> None:
    path = tmp_path / "plan.json"
    path.touch(0o644)
    whole = [(OWN, RW, NOBODY), *entries, (OTHERS, R, NOBODY)]
    data = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in whole)
    try:
        os.setxattr(path, "system.posix_acl_access", data)
    except OSError:
        pytest.skip("this file system has no access lists")
    found = ownership_problem(path)
    assert (found and found.what) == (who and f"can be changed by {who}")


WSL_1 = "35 24 0:{minor} / /mnt/c rw,noatime - drvfs C: rw,uid=1000,gid=1000"


WSL_2 = "60 58 0:{minor} / /mnt/c rw,noatime - 9p C:\\134 rw,dirsync,aname=drvfs;path=C:\\;uid=1000,mmap,access=client"


PLAN_9 = "60 58 0:{minor} / /data rw,relatime - 9p share rw,sync,dirsync,access=client,trans=virtio"


EXT4 = "29 1 0:{minor} / / rw,relatime - ext4 /dev/root rw"


@pytest.mark.parametrize(("line", "is_one"), [(WSL_1, True), (WSL_2, True), (PLAN_9, False), (EXT4, False)])
def test_on_a_drive_of_windows_the_permissions_say_nothing(line: str, is_one: bool) -> None:
    device = os.makedev(0, 47)
    assert ownership.is_windows_drive(line.format(minor=47), device) is is_one
    assert not ownership.is_windows_drive(line.format(minor=471), device)


def test_root_takes_the_runs_of_who_called_it_through_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("SUDO_UID", raising=False)
    assert ownership.own_uids() == {0}
    monkeypatch.setenv("SUDO_UID", "4001")
    assert ownership.own_uids() == {0, 4001}
    monkeypatch.setattr(os, "geteuid", lambda: 4002)
    assert ownership.own_uids() == {0, 4002}, "the variable is believed of root alone"


def test_a_program_keeps_its_umask_however_calls_of_its_threads_overlap() -> None:
    inside, over = threading.Event(), threading.Event()

    def first() -> None:
        with umask_kept():
            restrict_umask(0o077)
            inside.set()
            over.wait()

    before = os.umask(0o002)
    try:
        thread = threading.Thread(target=first)
        thread.start()
        inside.wait()
        with umask_kept():
            restrict_umask()
            over.set()
            thread.join()
        now = os.umask(0o002)
        assert (now, user_umask()) == (0o002, -1)
    finally:
        over.set()
        os.umask(before)
