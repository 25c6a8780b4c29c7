"""What somebody else put in the place of a file of a run: nothing freezes, nothing is followed, and it is said."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import sys
import time
from typing import TYPE_CHECKING

import pytest

from rose_cli.journal.codec import Record, holds_whole_line
from rose_cli.journal.file import JournalFile, read_journal
from rose_cli.run_info import read_run
from rose_cli.runs.directory import RunDirectory
from rose_cli.runs.moves import relocate_links
from rose_cli.runs.stop_requests import MOST_AT_ONCE, StopRequest, send_request, take_requests
from rose_cli.runs.workspace import prepare_workspace
from rose_cli.util.errors import JournalError, RunDirectoryError
from rose_cli.util.files import open_unshared
from tests.conftest import PATIENCE, wait_until
from tests.two_users import TEAM

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Rose
    from tests.two_users import Person

CAMPAIGN = "{max_iter: 1, tasks: {sim: {executable: ./sim.sh}}, learners: [{name: a}]}"
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link to another user")


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.mkdir()


def a_socket(path: Path) -> None:
    before = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)  # the path of a socket has to be short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.fchdir(before)
        os.close(before)


def a_link(path: Path) -> None:
    path.with_name("private").write_text("private")
    path.symlink_to("private")


def a_link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_hole(path: Path) -> None:
    """No memory holds that."""
    path.touch()
    os.truncate(path, 1 << 42)


KINDS: list[Callable[[Path], None]] = [a_pipe, a_folder, a_socket, a_link, a_link_to_a_device, a_hole]
SAID: dict[Callable[[Path], None], str] = {
    a_pipe: "it is a pipe, not a regular file",
    a_folder: "it is a directory, not a regular file",
    a_socket: "it is a socket, not a regular file",
    a_link: "it is a symbolic link that rose did not create",
    a_link_to_a_device: "it is a symbolic link that rose did not create",
    a_hole: "i",
}


def failed_run(rose: Rose, name: str = "r") -> Path:
    """A run whose task has failed once; it succeeds from now on."""
    rose.script('#!/bin/sh\n[ -e "$ROSE_CAMPAIGN_DIR/ok" ]\n', "sim.sh")
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "--run-dir", name).code == 1
    (rose.folder / "ok").touch()
    return rose.folder / name


def instead(path: Path, kind: Callable[[Path], None]) -> None:
    path.unlink(missing_ok=True)
    kind(path)


# --- what a run is read from ---------------------------------------------------------------------------------------


def test_a_run_that_cannot_be_read_does_not_hide_the_others(rose: Rose) -> None:
    run = failed_run(rose, "rose-runs/good")
    for place in ("journal.jsonl", "plan.json"):
        for kind in KINDS:
            bad = run.with_name(f"{place}-{kind.__name__}")
            bad.mkdir()
            for name in ("plan.json", "journal.jsonl", "campaign.yaml"):
                (bad / name).write_bytes((run / name).read_bytes())
            instead(bad / place, kind)
    listed = {each["name"]: each for each in rose.json("list", "--format", "json")}
    assert listed.pop("good")["status"] == "failed"
    assert len(listed) == 2 * len(KINDS)
    assert {each["status"] for each in listed.values()} == {"unreadable"}
    for kind in KINDS:
        assert SAID[kind] in listed[f"journal.jsonl-{kind.__name__}"]["note"]
    assert rose("resume").code == 0  # the good one


@pytest.mark.parametrize("command", ["status", "logs", "export", "report", "stop", "resume"])
def test_a_pipe_for_a_journal_freezes_no_command(rose: Rose, command: str) -> None:
    run = failed_run(rose)
    instead(run / "journal.jsonl", a_pipe)
    called = rose(command, "r")
    said = called.err.replace("\n", " ")
    assert (called.code, "it is a pipe" in said, "rose did not create that" in said) == (4, True, True), called.err


@pytest.mark.parametrize("kind", KINDS)
def test_no_plan_or_journal_is_read_without_end(rose: Rose, tmp_path: Path, kind: Callable[[Path], None]) -> None:
    run = failed_run(rose)
    instead(run / "journal.jsonl", kind)
    with pytest.raises(JournalError, match=SAID[kind]):
        read_run(RunDirectory.at(run))
    instead(run / "plan.json", kind)
    with pytest.raises(RunDirectoryError):
        read_run(RunDirectory.at(run))


def see_nothing(journal: Path) -> None:
    read_journal(journal, list[Record]().append)


def test_a_hole_at_the_end_of_a_journal_is_not_cut_off_as_what_a_crash_left(tmp_path: Path) -> None:
    JournalFile.create(tmp_path / "j").close()
    with (tmp_path / "j").open("r+b") as file:
        file.write(b'{"seq":1,')
        file.truncate(1 << 42)
    with pytest.raises(JournalError, match="longer than any record"):
        see_nothing(tmp_path / "j")


def test_a_line_full_of_beginnings_of_records_costs_no_time() -> None:
    """Each of them would be checked to the end of the line."""
    line = b"x" + b'{"seq":' * (1 << 21) + b',"crc":"00000000"}\n'
    assert holds_whole_line(line)
    assert not holds_whole_line(line[:-1])  # torn


# --- what a session writes and reads -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [a_pipe, a_socket, a_folder])
def test_a_log_that_cannot_be_one_fails_its_attempt(rose: Rose, kind: Callable[[Path], None]) -> None:
    run = failed_run(rose)
    kind(run / "learners/a/logs/0/sim.2.out")
    called = rose("resume", "r")
    assert (called.code, "cannot be written: it is a" in called.out.replace("\n", " ")) == (1, True), called.out


def test_pipes_for_the_reserve_and_for_the_watchdogs_log_do_not_freeze_a_resume(rose: Rose) -> None:
    run = failed_run(rose)
    (run / "engine").mkdir(exist_ok=True)
    instead(run / "engine/watchdog.log", a_pipe)
    called = rose("resume", "r")
    assert (called.code, "watchdog.log': it is a pipe" in called.err.replace("\n", " ")) == (4, True), called.err
    (run / "engine/watchdog.log").unlink()
    instead(run / "journal.ballast", a_pipe)
    assert rose("resume", "r").code == 0


def test_a_pipe_in_the_place_of_the_logs_of_an_iteration_fails_the_attempt(rose: Rose) -> None:
    run = failed_run(rose)
    shutil.rmtree(run / "learners/a/logs/0")
    os.mkfifo(run / "learners/a/logs/0")
    called = rose("resume", "r")
    assert (called.code, "cannot be written: Not a directory" in called.out.replace("\n", " ")) == (1, True), called.out


def test_a_pipe_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "snapshots")
    with pytest.raises(RunDirectoryError, match="cannot read") as caught:
        relocate_links([tmp_path / "snapshots"], {"/old": "/new"}, inside=tmp_path)
    assert "rose did not create that" in str(caught.value.hint)
    with pytest.raises(RunDirectoryError, match="cannot prepare workspace") as caught:
        prepare_workspace(tmp_path / "snapshots", [], inside=tmp_path)
    assert "rose did not create that" in str(caught.value.hint)


def test_a_task_that_puts_a_pipe_in_the_place_of_its_log_holds_up_nobody(rose: Rose) -> None:
    rose.script(
        '#!/bin/sh\ncase "$PWD" in */b/*) exit 0; esac\n'
        "rm ../logs/0/sim.1.*; mkfifo ../logs/0/sim.1.out ../logs/0/sim.1.err; exit 1\n",
        "sim.sh",
    )
    rose.write(CAMPAIGN.replace("{name: a}", "{name: a}, {name: b}"))
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    assert {name: each["status"] for name, each in rose.learners("r").items()} == {"a": "failed", "b": "done"}


def test_a_folder_in_the_place_of_the_lock_is_told(rose: Rose) -> None:
    (failed_run(rose) / "lock").mkdir()
    called = rose("resume", "r", "--steal-lock")
    assert (called.code, "remove the directory `lock`" in called.err.replace("\n", " ")) == (4, True), called.err


PLACES = [
    "learners/a/logs/0/sim.2.out",
    "learners/a/logs/0/sim.2.result.json",
    "journal.ballast",
    "engine/watchdog.log",
]


def test_what_has_other_names_is_not_written_to(rose: Rose) -> None:
    run = failed_run(rose)
    rose.script('#!/bin/sh\necho out\necho \'{"n": 1}\' > "$ROSE_RESULT"\n', "sim.sh")
    precious = rose.folder / "precious"
    precious.write_text('{"precious": 1}')
    for place in PLACES:
        (run / place).parent.mkdir(exist_ok=True)
        (run / place).unlink(missing_ok=True)
        (run / place).hardlink_to(precious)
    assert rose("resume", "r").code == 0
    assert precious.read_text() == '{"precious": 1}'
    assert (run / PLACES[0]).read_text() == "out\n"
    assert rose.learners("r")["a"]["result"] == {"n": 1}


def test_a_backup_of_hard_links_is_left_alone(rose: Rose) -> None:
    """`cp -al` gives every file of a run a second name."""
    run = failed_run(rose)
    backup = rose.folder / "backup"
    for path in run.rglob("*"):
        if path.is_file():
            place = backup / path.relative_to(run)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.hardlink_to(path)
    before = {path: path.read_bytes() for path in backup.rglob("*") if path.is_file()}
    mode = stat.S_IMODE((run / "journal.jsonl").stat().st_mode)
    assert rose("resume", "r").code == 0
    assert {path: path.read_bytes() for path in backup.rglob("*") if path.is_file()} == before
    assert stat.S_IMODE((run / "journal.jsonl").stat().st_mode) == mode
    assert not (run / "journal.new").exists()


def test_a_file_of_its_own_is_emptied_and_not_made_anew(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    before = (tmp_path / "f").stat().st_ino
    os.close(open_unshared(tmp_path / "f", os.O_WRONLY | os.O_TRUNC))
    assert ((tmp_path / "f").stat().st_ino, (tmp_path / "f").read_text()) == (before, "")


# --- reports and metrics -------------------------------------------------------------------------------------------


def test_a_report_that_lies_there_before_the_attempt_is_removed(rose: Rose) -> None:
    """Through a link it would bring a private file into the journal, and to whoever may read that."""
    run = failed_run(rose)
    (rose.folder / "secret.json").write_text('{"token": "s3cr3t"}')
    (run / "learners/a/logs/0/sim.2.result.json").symlink_to(rose.folder / "secret.json")
    assert rose("resume", "r").code == 0
    assert "s3cr3t" not in (run / "journal.jsonl").read_text()
    assert (rose.folder / "secret.json").exists()


def test_a_report_is_not_read_through_a_link_that_leads_out_of_the_run(rose: Rose) -> None:
    (rose.folder / "secret.json").write_text('{"token": "s3cr3t"}')
    rose.script('#!/bin/sh\nln -s "$ROSE_CAMPAIGN_DIR/secret.json" "$ROSE_RESULT"\n', "sim.sh")
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert "s3cr3t" not in (rose.folder / "r/journal.jsonl").read_text()
    assert "is not a regular file" in rose.learners("r")["a"]["report_problem"]["message"]


def test_a_metric_is_read_through_the_links_that_tasks_make(rose: Rose) -> None:
    """To the latest of several files, and to a larger disk."""
    (rose.folder / "scratch").mkdir()
    rose.script(
        '#!/bin/sh\nln -sfn "$ROSE_CAMPAIGN_DIR/scratch" big\necho 0.5 > big/mse-$ROSE_ITERATION.txt\n'
        "ln -sf big/mse-$ROSE_ITERATION.txt latest\n",
        "sim.sh",
    )
    rose.write(
        "{max_iter: 2, tasks: {sim: {executable: ./sim.sh}}, learners: [{name: a}],"
        " stop: {metric: mse, threshold: 0.1, executable: 'true', read: {file: latest}}}"
    )
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 0, called.out
    assert rose.learners("r")["a"]["history"] == [0.5, 0.5]


# --- rose logs and rose init ---------------------------------------------------------------------------------------


def test_logs_are_not_read_through_links_and_what_is_none_is_said(rose: Rose) -> None:
    run = failed_run(rose)
    (rose.folder / "secret").write_text("s3cr3t\n")
    logs = run / "learners/a/logs"
    (logs / "0/sim.1.err").write_text("good\n")
    (logs / "0/sim.2.out").symlink_to(rose.folder / "secret")
    os.mkfifo(logs / "0/sim.3.out")
    (logs / "0/sim.4.out").mkdir()
    (logs / "abc").mkdir()
    (logs / "abc/sim.1.out").write_text("odd\n")
    (rose.folder / "elsewhere").mkdir()
    (rose.folder / "elsewhere/sim.1.out").write_text("s3cr3t\n")
    (logs / "1").symlink_to(rose.folder / "elsewhere")
    (logs / "notes.txt").touch()
    called = rose("logs", "r")
    assert (called.code, "good" in called.out, "s3cr3t" in called.out, "odd" in called.out) == (0, True, False, False)
    said = called.err.replace("\n", " ")
    for name in ("0/sim.2.out", "0/sim.3.out", "0/sim.4.out", "logs/1"):
        assert f"{name}': it is " in said, said
    assert "logs/abc': not the directory of an iteration" in said
    assert "notes.txt" not in said


def test_a_link_in_the_place_of_all_logs_is_not_followed(rose: Rose) -> None:
    run = failed_run(rose)
    (run / "learners/a/logs").rename(rose.folder / "moved")
    (rose.folder / "moved/0/sim.1.out").write_text("s3cr3t\n")
    (run / "learners/a/logs").symlink_to(rose.folder / "moved")
    called = rose("logs", "r")
    assert "s3cr3t" not in called.out
    assert "it is a symbolic link" in called.err.replace("\n", " ")


def test_init_makes_no_file_through_a_link(rose: Rose) -> None:
    (rose.folder / "new").mkdir()
    (rose.folder / "new/sim.py").symlink_to(rose.folder / "profile")
    called = rose("init", "new")
    assert (called.code, "already has sim.py" in called.err) == (2, True), called.err
    assert not (rose.folder / "profile").exists()
    assert [path.name for path in (rose.folder / "new").iterdir()] == ["sim.py"]


# --- requests ------------------------------------------------------------------------------------------------------


def test_a_request_that_nobody_took_does_not_stop_the_next_session(rose: Rose) -> None:
    run = failed_run(rose)
    (run / "requests").mkdir(exist_ok=True)
    (run / "requests/old.json").write_text(json.dumps({"stop": None}))
    an_hour_ago = time.time() - 3600
    os.utime(run / "requests/old.json", (an_hour_ago, an_hour_ago))
    called = rose("resume", "r")
    assert called.code == 0
    assert "ignored a request to stop the run: it was left for an earlier session" in called.out.replace("\n", " ")
    assert list((run / "requests").iterdir()) == []


def test_of_a_flood_of_requests_some_are_taken_at_a_time(tmp_path: Path) -> None:
    for number in range(MOST_AT_ONCE + 50):
        (tmp_path / f"{number}.json").touch()
    send_request(tmp_path, StopRequest("a"))
    assert take_requests(tmp_path) + take_requests(tmp_path) == [StopRequest("a")]
    assert list(tmp_path.iterdir()) == []


def test_a_stop_that_is_interrupted_takes_its_request_back(rose: Rose) -> None:
    rose.script("#!/bin/sh\nsleep 1000\n", "sim.sh")
    rose.write(CAMPAIGN)
    session = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    try:
        wait_until((rose.folder / "r/learners/a/logs/0/sim.1.out").exists)
        session.send_signal(signal.SIGSTOP)  # it takes no request
        stop = rose.start("stop", "r")
        wait_until(lambda: list((rose.folder / "r").glob("requests/*.json")))
        stop.send_signal(signal.SIGINT)
        _, said = stop.communicate(timeout=PATIENCE)
        assert (stop.returncode, "withdrawn" in said) == (130, True), said
        assert list((rose.folder / "r/requests").iterdir()) == []
    finally:
        session.send_signal(signal.SIGCONT)
        session.terminate()
        session.communicate(timeout=PATIENCE)


# --- two users -----------------------------------------------------------------------------------------------------


EXCHANGES = """\
import ctypes, os, sys
exchange = ctypes.CDLL(None).renameat2
folder, link, private = map(os.fsencode, sys.argv[1:])
print("at it", flush=True)
while True:
    if exchange(-100, ctypes.c_char_p(folder), -100, ctypes.c_char_p(link), 2):  # AT_FDCWD, RENAME_EXCHANGE
        try:
            os.symlink(private, link)
        except OSError:
            pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two names in one step")
def test_who_shares_a_group_folder_cannot_have_a_private_folder_emptied(alice: Person, mallory: Person) -> None:
    """A workspace is kept and put back while a member of the group exchanges a folder of it and a link."""
    alice = alice.with_umask(0o002).at("project")
    alice.sh(f"chgrp {TEAM} . && chmod 2775 . && mkdir {alice.home}/private")
    names = [str(number) for number in range(60)]
    alice.sh(f"cd {alice.home}/private && touch {' '.join(names)}")
    alice.sh("cat > sim.sh && chmod +x sim.sh", f"#!/bin/sh\nmkdir -p d\ncd d && touch {' '.join(names)}\nexit 1\n")
    alice.write(CAMPAIGN.replace("./sim.sh", "./sim.sh, snapshot: true, retries: {times: 6, pause: 0}"))
    workspace = alice.folder / "r/learners/a/workspace"
    racer = mallory.process(
        mallory.python, "-c", EXCHANGES, f"{workspace}/d", f"{workspace}/x", f"{alice.home}/private"
    )
    try:
        called = alice("run", "campaign.yaml", "--run-dir", "r")
    finally:
        racer.kill()
        racer.communicate(timeout=PATIENCE)
    assert called.code in (1, 4), called.err  # it may find that somebody keeps changing the workspace
    assert sorted(path.name for path in (alice.home / "private").iterdir()) == sorted(names)


def test_a_link_that_a_colleague_puts_in_the_place_of_a_metric_is_not_read(alice: Person, mallory: Person) -> None:
    """The message would cite the private file, in a journal that others may read."""
    alice = alice.with_umask(0o002).at("project")
    alice.sh(f"chgrp {TEAM} . && chmod 2775 . && echo hunter2 > {alice.home}/private")
    waits = "echo 1 > m; touch $ROSE_CAMPAIGN_DIR/here; until [ -L m ]; do sleep 0.1; done"
    alice.sh("cat > sim.sh && chmod +x sim.sh", f"#!/bin/sh\n{waits}\n")
    stop = "stop: {metric: mse, threshold: 0.1, executable: 'true', read: {file: m}}"
    alice.write(CAMPAIGN.replace("max_iter", f"{stop}, max_iter"))
    session = alice.start("run", "campaign.yaml", "--run-dir", "r")
    wait_until((alice.folder / "here").exists)
    mallory.sh(f"cd {alice.folder}/r/learners/a/workspace && rm m && ln -s {alice.home}/private m")
    said, _ = session.communicate(timeout=PATIENCE)
    refusal = "another user's symbolic link points outside the run directory, and is not followed"
    assert refusal in said.replace("\n", " ")
    assert "hunter2" not in said + (alice.folder / "r/journal.jsonl").read_text()


def test_a_private_file_gets_into_no_run_of_a_colleague(alice: Person, mallory: Person) -> None:
    theirs = mallory.at("theirs")
    theirs.sh("cat > sim.sh && chmod +x sim.sh", '#!/bin/sh\n[ -e "$ROSE_CAMPAIGN_DIR/ok" ]\n')
    theirs.write(CAMPAIGN)
    assert theirs("run", "campaign.yaml", "--run-dir", "r").code == 1
    alice.sh(f'echo \'{{"token": "s3cr3t"}}\' > {alice.home}/private')
    for name in ("sim.2.result.json", "sim.9.out"):
        theirs.sh(f"ln -s {alice.home}/private r/learners/a/logs/0/{name}")
    theirs.sh("touch ok && chmod -R a+rwX r")
    called = alice("logs", theirs.folder / "r")
    assert "s3cr3t" not in called.out
    assert "sim.9.out': it is a symbolic link" in called.err.replace("\n", " ")
    assert alice("resume", theirs.folder / "r", "--trust").code == 0
    assert "s3cr3t" not in (theirs.folder / "r/journal.jsonl").read_text()


def test_a_program_of_a_colleague_does_not_become_one_with_my_rights(alice: Person, mallory: Person) -> None:
    mallory.sh("mkdir data && cp /bin/sh data/tool && chmod 4777 data/tool && chmod 2777 data")
    alice.write(
        CAMPAIGN.replace("./sim.sh", "'true'").replace("max_iter", "files: [{path: data, copy: true}], max_iter")
    )
    assert alice("run", "campaign.yaml", "--run-dir", "r").code == 0
    tool = alice.folder / "r/learners/a/workspace/data/tool"
    assert (stat.S_IMODE(tool.stat().st_mode), tool.stat().st_uid) == (0o755, alice.uid)
    assert mallory.attempt(f"{tool} -p -c 'cat {alice.home}/x'").returncode != 0
    assert mallory.attempt(f"echo >> {tool}").returncode != 0
    assert mallory.attempt(f"touch {tool.parent}/new").returncode != 0
