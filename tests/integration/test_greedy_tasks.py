"""Tasks that take more than their share of a machine: the session, its other learners and the journal hold."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PATIENCE, Rose
from tests.torture.full_disk import cannot_mount, small_disk
from tests.two_users import environment_of_others, python_of_others

if TYPE_CHECKING:
    from pathlib import Path

    from tests.two_users import Person

REMOVED = {
    "whole-folder": 'cd /; rm -rf "$(dirname "$ROSE_WORKSPACE")"',
    "whole-folder-and-fails": 'cd /; rm -rf "$(dirname "$ROSE_WORKSPACE")"; exit 1',
    "logs": "rm -rf ../logs",
    "file-for-logs": "rm -rf ../logs; touch ../logs",
    "file-for-workspace": "cd ..; rm -rf workspace; touch workspace; exit 1",
    "snapshot": "rm -rf ../snapshots; exit 1",
    "file-for-snapshots": "rm -rf ../snapshots; touch ../snapshots; exit 1",
    "link-for-logs": "rm -rf ../logs/0; ln -s $ROSE_CAMPAIGN_DIR ../logs/0",
    "link-for-logs-of-replicas": "rm -rf ../logs/0; ln -s $ROSE_CAMPAIGN_DIR ../logs/0",
}
SAID = {
    "whole-folder": "does not exist",
    "whole-folder-and-fails": "no longer exists",
    "file-for-logs": "Not a directory",
    "file-for-workspace": "exit code 1",
    "snapshot": "no longer exists",
    "file-for-snapshots": "snapshots",
    "link-for-logs": "is a symbolic link that rose did not create",
    "link-for-logs-of-replicas": "is a symbolic link that rose did not create",
}
"""What is told of each; without logs there is nothing to tell."""


def test_folders_removed_by_a_task_end_its_own_learner_only(rose: Rose) -> None:
    for name, line in REMOVED.items():
        rose.script(f"#!/bin/sh\n{line}\n", f"{name}.sh")
    rose.script("#!/bin/sh\nsleep 0.5\n", "good.sh")
    learners = ", ".join(f"{{name: {name}{_settings(name)}}}" for name in (*REMOVED, "good"))
    rose.write(
        f"""
        max_iter: 3
        engine: {{kind: local, cores: 20, grace: 0.3}}
        tasks:
          s: {{executable: "sh -c 'exec $ROSE_CAMPAIGN_DIR/$ROSE_LEARNER.sh'"}}
          t: {{executable: echo ok}}
        learners: [{learners}]
        """
    )
    called = rose("run", "campaign.yaml", "--run-dir", "r", "--output", "plain")
    assert called.code == 4, called.err
    learners_now = rose.learners("r")
    assert learners_now["good"]["iterations_done"] == learners_now["logs"]["iterations_done"] == 3
    for name, said in SAID.items():
        assert learners_now[name]["iterations_done"] == 0
        lines = [line for line in called.out.splitlines() if name in line.replace("'", " ").split()]
        assert any(said in line for line in lines), (name, lines)
    assert "help: " in called.err
    last = rose.events("r")[-1]
    assert (last["event"], last["reason"]) == ("session_ended", "failed")
    assert "learner 'snapshot' cannot continue: " in last["message"]


def _settings(name: str) -> str:
    if "snapshot" in name or name == "whole-folder-and-fails":
        return ", s: {snapshot: true, retries: {times: 1, pause: 0}}"
    return ", t: {replicas: 2}" if "replicas" in name else ""


CLOSED = {
    "logs-of-an-iteration": "chmod 000 ../logs/0; exit 1",
    "logs": "chmod 000 ../logs; exit 1",
    "logs-of-the-next": "chmod 000 ../logs",
    "snapshots": "chmod 000 ../snapshots; exit 1",
    "snapshots-not-needed": "chmod 000 ../snapshots",
    "whole-folder": "chmod 000 ..; exit 1",
}


def test_folders_closed_by_a_task_end_its_own_learner_only(alice: Person) -> None:
    for name, line in CLOSED.items():
        alice.write(f"#!/bin/sh\n{line}\n", f"{name}.sh")
    alice.write("#!/bin/sh\nsleep 0.5\n", "good.sh")
    learners = ", ".join(f"{{name: {name}}}" for name in (*CLOSED, "good"))
    alice.write(
        f"""
        max_iter: 3
        engine: {{kind: local, cores: 20, grace: 0.3}}
        tasks:
          s: {{executable: "sh -c 'exec sh $ROSE_CAMPAIGN_DIR/$ROSE_LEARNER.sh'", snapshot: true, retries: 1}}
        learners: [{learners}]
        """
    )
    called = alice("run", "campaign.yaml", "--run-dir", "r", "--output", "plain")
    alice.sh("chmod -R u+rwX r")
    assert called.code == 4, called.err
    learners_now = alice.learners("r")
    assert learners_now["good"]["iterations_done"] == 3
    failed = "logs-of-an-iteration"  # its next attempt cannot write its output, which is a failure like any other
    assert "Permission denied" in learners_now[failed]["error"]["message"]
    for name in set(CLOSED) - {failed}:
        (line,) = [
            line for line in called.err.splitlines() if line.startswith(f"error: learner '{name}' cannot continue")
        ]
        assert "Permission denied" in line


PEAK_OF_CHILD = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:])
_, status, used = os.wait4(child.pid, 0)
print(used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Run from a small process of its own: a child's peak begins with that of the process that it was forked from."""


def test_a_hundred_thousand_files_cost_rose_little(rose: Rose) -> None:
    """Looked for between steps only as far as it has to be; neither the journal nor what rose needs grows with them."""
    rose.script("#!/bin/sh\nmkdir d; cd d; seq 100000 | xargs touch\n", "many.sh")
    rose.write(
        """
        max_iter: 1
        tasks:
          s: {executable: "sh -c '[ $ROSE_LEARNER = good ] || exec $ROSE_CAMPAIGN_DIR/many.sh'"}
          t: {executable: "true"}
        learners: [{name: many}, {name: good}]
        """
    )
    command = [rose.python, "-m", "rose_cli", "run", "campaign.yaml", "--run-dir", "r"]
    measured = subprocess.run(
        [sys.executable, "-c", PEAK_OF_CHILD, *command],
        cwd=rose.folder,
        env=rose.environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert (rose.folder / "r/journal.jsonl").stat().st_size < 10_000
    assert int(measured.stdout.splitlines()[-1]) < 200_000
    subprocess.run(["rm", "-r", str(rose.folder / "r")], check=True)


BOMBS = {
    "forks-and-forks": "b() { b | b & }\nb\nsleep 1000",
    "never-reaps": "while :; do (trap '' TERM; exec sleep 1000) & done",
    "leaves-its-session": "while :; do setsid sleep 1000 & done",
}


def test_a_fork_bomb_within_its_limit_is_ended_whole(shared: Path) -> None:
    """As a user of its own, whose processes are bounded before it begins: without that, no machine survives it."""
    folder = shared / "bombs"
    folder.mkdir()
    rose = Rose(folder)
    for name, lines in BOMBS.items():
        rose.script(f"#!/bin/sh\n{lines}\n", f"{name}.sh")
    rose.script("#!/bin/sh\necho ok\n", "good.sh")
    rose.write(
        f"""
        max_iter: 2
        engine: {{kind: local, cores: 1, grace: 0.3}}
        tasks: {{s: {{executable: "sh -c 'exec $ROSE_CAMPAIGN_DIR/$ROSE_LEARNER.sh'", timeout: 2s}}}}
        learners: [{", ".join(f"{{name: {name}}}" for name in (*BOMBS, "good"))}]
        """
    )
    user = 40_000 + os.getpid() % 10_000
    for path in (folder, *folder.iterdir()):
        os.chown(path, user, user)

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_NPROC, (100, 100))
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)

    done = subprocess.run(
        [str(python_of_others()), "-m", "rose_cli", "run", "campaign.yaml", "--run-dir", "r"],
        cwd=folder, preexec_fn=bound,
        env={**environment_of_others(), "HOME": str(folder)}, capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    learners = rose.learners("r")
    assert learners["good"]["iterations_done"] == 2
    for name in BOMBS:
        error = learners[name]["error"]
        assert error["kind"] in ("timed_out", "exited"), error
    assert processes_of(user) == []


def processes_of(user: int) -> list[str]:
    listed = subprocess.run(["ps", "-u", str(user), "-o", "stat=,args="], capture_output=True, text=True, check=False)
    return [line for line in listed.stdout.splitlines() if not line.startswith("Z")]


def test_no_inode_is_left(tmp_path: Path) -> None:
    """One learner takes them all; what fails then says why, and with inodes again the run comes to its end."""
    if why := cannot_mount():
        pytest.skip(why)
    with small_disk(tmp_path / "disk", 4000, inodes=200) as disk:
        rose = Rose(disk)
        rose.script(
            "#!/bin/sh\n[ -e ../../../../ok ] && exit 0\nexec sh -c 'seq 1000 | xargs -n 1 touch'\n", "greedy.sh"
        )
        rose.write(
            "{max_iter: 3, tasks: {a: {executable: ./greedy.sh}, b: {executable: echo ok}}, learners: 3,"
            " engine: {kind: local, cores: 1}}"
        )
        called = rose("run", "campaign.yaml", "--run-dir", "r")
        assert called.code in (1, 4)
        assert "No space left on device" in called.out + called.err
        for line in (disk / "r/journal.jsonl").read_text().splitlines():
            json.loads(line)
        for file in disk.glob("r/learners/*/workspace/*"):
            file.unlink()
        (disk / "ok").touch()
        called = rose("resume", "r")
        assert called.code == 0, called.err
        assert [learner["iterations_done"] for learner in rose.learners("r").values()] == [3] * 3
