"""The reports of processes.md, each as its reporter would try it on rose."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PATIENCE, REPOSITORY, wait_until

if TYPE_CHECKING:
    from tests.conftest import Rose


def error_of(rose: Rose) -> dict[str, Any]:
    error: dict[str, Any] = rose.learners("r")["learner-0"]["error"]
    return error


def with_pre_exec(rose: Rose, *lines: str) -> int:
    text = "max_iter: 1\nlearners: 1\ntasks: {t: {executable: sh -c 'echo $SOLVER > ran'}}\npre_exec:\n"
    rose.write(text + "".join(f"- |-\n  {line}\n" for line in lines))
    return rose("run", "campaign.yaml", "--run-dir", "r").code


def ran(rose: Rose) -> str | None:
    path = rose.folder / "r/learners/learner-0/workspace/ran"
    return path.read_text().strip() if path.exists() else None


def test_an_activation_script_may_fail_inside(rose: Rose) -> None:
    rose.write("false\ngrep -q nothing /dev/null\nexport SOLVER=fast\n", "setvars.sh")
    assert with_pre_exec(rose, f". '{rose.folder}/setvars.sh'", "false; true") == 0
    assert ran(rose) == "fast"


def test_the_line_that_fails_is_named(rose: Rose) -> None:
    rose.write("return 3\n", "setvars.sh")
    assert with_pre_exec(rose, "true", f". '{rose.folder}/setvars.sh'", "true") == 1
    assert error_of(rose)["kind"] == "not_started"
    assert "pre_exec line 2, '. " in error_of(rose)["message"]
    assert "ended with exit code 3; the program was not started" in error_of(rose)["message"]


def test_a_script_that_exits_is_no_success(rose: Rose) -> None:
    rose.write("echo already active; exit 0\n", "activate.sh")
    assert with_pre_exec(rose, f". '{rose.folder}/activate.sh'") == 1
    assert "ended the shell with exit code 0; the program was not started" in error_of(rose)["message"]
    assert ran(rose) is None


def started(rose: Rose) -> bool:
    return (rose.folder / "r/learners/learner-0/workspace/begun").exists()


WAITS = """
max_iter: 1
learners: 1
tasks: {t: {executable: "sh -c 'grep SigIgn /proc/self/status; touch begun; sleep 600'"}}
"""


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGQUIT", "SIGALRM"])
def test_the_signals_of_batch_systems_stop_a_run_cleanly(rose: Rose, name: str) -> None:
    rose.write(WAITS)
    process = rose.start("run", "campaign.yaml", "--run-dir", "r")
    wait_until(lambda: started(rose))
    process.send_signal(signal.Signals[name])
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (143, "")
    assert f"by {name}" in out
    assert "rose resume r" in out


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nohup_keeps_a_run_alive(rose: Rose) -> None:
    rose.write(WAITS.replace("sleep 600", "while [ ! -e ../../../../go ]; do sleep 0.05; done"))
    command = ["nohup", sys.executable, "-m", "rose_cli", "run", "campaign.yaml", "--run-dir", "r"]
    process = subprocess.Popen(
        command,
        cwd=rose.folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: started(rose))
    process.send_signal(signal.SIGHUP)
    (rose.folder / "go").touch()
    assert process.wait(30) == 0
    _, ignored = (rose.folder / "r/learners/learner-0/logs/0/t.1.out").read_text().split()
    assert not int(ignored, 16) & 1 << signal.SIGHUP - 1


@pytest.mark.parametrize("on_failure", ["stop_learner", "stop_campaign", "continue"])
def test_the_end_of_a_job_is_no_failure_of_its_tasks(rose: Rose, on_failure: str) -> None:
    task = "{t: {executable: 'echo $$ > pid; sleep 600', shell: true}}"
    rose.write(f"{{max_iter: 1, learners: 1, on_failure: {on_failure}, tasks: {task}}}")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r")
    pid = rose.folder / "r/learners/learner-0/workspace/pid"
    wait_until(lambda: pid.exists() and pid.read_text())
    os.kill(int(pid.read_text()), signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert [event["event"] for event in rose.events("r")][-2:] == ["attempt_cancelled", "session_ended"]


def limited(rose: Rose, limit: str) -> subprocess.CompletedProcess[str]:
    rose.write("{max_iter: 1, learners: 1, tasks: {t: {executable: echo ok}}}")
    command = [sys.executable, "-m", "rose_cli", "run", "campaign.yaml", "--run-dir", "r", "--output", "plain"]
    return subprocess.run(
        ["sh", "-c", f'ulimit {limit}; exec "$@"', "sh", *command], cwd=rose.folder, timeout=PATIENCE, check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no such limit")
def test_a_limit_on_memory_is_named(rose: Rose) -> None:
    done = limited(rose, "-v 60000")
    assert done.returncode == 5, done
    assert "'ulimit -v' allows 58 MB of memory" in done.stderr


def test_a_limit_on_open_files_is_named(rose: Rose) -> None:
    done = limited(rose, "-n 8")
    assert done.returncode == 5, done
    assert "'ulimit -n' allows 8 open files" in done.stderr
