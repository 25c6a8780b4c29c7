"""Signals that ask rose to stop, at any moment of its life."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from rose_cli.util.host import SUSPENDED_SECONDS
from rose_cli.util.processes import process_is_running
from tests.conftest import PATIENCE, REPOSITORY, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose

NAMES = ("SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGQUIT", "SIGALRM", "SIGHUP", "SIGTERM")
WAITS = """
max_iter: 1
engine: {kind: local, grace: 60}
tasks: {t: {executable: "{python} {campaign_dir}/task.py"}}
learners: 1
"""
TASK = """
import pathlib, signal, time

def end(*_):
    time.sleep(0.3)
    pathlib.Path("ended").touch()
    raise SystemExit

signal.signal(signal.SIGTERM, end)
status = pathlib.Path("/proc/self/status")
if status.exists():
    print(*(line for line in status.read_text().splitlines() if line.startswith(("SigIgn", "SigBlk"))), sep="\\n")
pathlib.Path("begun").touch()
while True:
    time.sleep(60)
"""


def waiting(rose: Rose, *prefix: str) -> subprocess.Popen[str]:
    """A run whose task waits for its end, and writes of it a while later; `prefix` is what starts rose."""
    rose.script(TASK, "task.py")
    rose.write(WAITS)
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "rose_cli", "run", "campaign.yaml", "--run-dir", "r", "--output", "plain"],
        cwd=rose.folder, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until((workspace(rose) / "begun").exists)
    return process


def workspace(rose: Rose) -> Path:
    return rose.folder / "r/learners/learner-0/workspace"


@pytest.mark.parametrize("name", NAMES)
def test_each_ends_a_session_cleanly_and_is_named(rose: Rose, name: str) -> None:
    process = waiting(rose)
    process.send_signal(signal.Signals[name])
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (143, "")
    assert f"{name} received, terminating running tasks" in out
    assert f"  by {name}\n" in out
    assert out.splitlines()[-1] == "  resume   rose resume r"
    assert (workspace(rose) / "ended").exists()
    assert [event["event"] for event in rose.events("r")][-2:] == ["attempt_cancelled", "session_ended"]


def test_what_a_machine_sends_again_and_again_is_no_haste(rose: Rose) -> None:
    process = waiting(rose)
    assert process.stdout is not None
    process.send_signal(signal.SIGXCPU)
    assert any("to kill them now" in line for line in process.stdout)
    for _ in range(5):
        process.send_signal(signal.SIGXCPU)
        process.send_signal(signal.SIGUSR2)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert (workspace(rose) / "ended").exists()


def signals_of_the_task(rose: Rose) -> list[int]:
    """Those that it had blocked, and ignored.

    PIPE and XFSZ are Python's own to ignore; 32 and 33 the C library's, which lets nobody change them.
    """
    text = (rose.folder / "r/learners/learner-0/logs/0/t.1.out").read_text()
    own = sum(1 << number - 1 for number in (signal.SIGPIPE, signal.SIGXFSZ, 32, 33))
    return [int(line.split()[1], 16) & ~own for line in text.splitlines()]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_was_ignored_stays_without_effect_and_is_not_handed_on(rose: Rose) -> None:
    process = waiting(rose, "sh", "-c", "trap '' HUP USR1; exec \"$@\"", "sh")
    for name in ("SIGHUP", "SIGUSR1"):
        process.send_signal(signal.Signals[name])
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert "  by SIGTERM\n" in out
    assert signals_of_the_task(rose) == [0, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_was_blocked_is_heard_and_not_handed_on(rose: Rose) -> None:
    block = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})"
    code = f"import os, signal, sys; {block}; os.execv(sys.argv[1], sys.argv[1:])"
    process = waiting(rose, sys.executable, "-c", code)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert signals_of_the_task(rose) == [0, 0]


def test_the_time_for_which_rose_was_stopped_is_paused(rose: Rose) -> None:
    rose.write("{max_iter: 2, tasks: {s: {executable: sleep 1}}, learners: 1}")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    journal = rose.folder / "r/journal.jsonl"
    wait_until(lambda: journal.exists() and "process_spawned" in journal.read_text())
    process.send_signal(signal.SIGSTOP)
    time.sleep(SUSPENDED_SECONDS + 3.0)
    process.send_signal(signal.SIGCONT)
    assert process.wait(PATIENCE) == 0
    (learner,) = rose.learners("r").values()
    assert learner["paused_seconds"] > SUSPENDED_SECONDS
    assert learner["task_times"]["s"]["paused_seconds"] == learner["paused_seconds"]
    assert learner["working_seconds"] > 1.0


def test_a_script_may_interrupt_what_it_has_in_the_background(rose: Rose) -> None:
    """A shell ignores INT for it."""
    process = waiting(rose, "sh", "-c", "trap '' INT QUIT; exec \"$@\"", "sh")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130


# ---- before and after the session

INJECTED = """
import os, sys

class Signals:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {number})

sys.meta_path.insert(0, Signals())
sys.argv = ["rose", *sys.argv[1:]]
from rose_cli.__main__ import main
main()
"""


def signalled_at(rose: Rose, module: str, number: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """rose, which sends itself the signal when that module is loaded."""
    return subprocess.run(
        [sys.executable, "-c", INJECTED.format(module=module, number=int(number)), *arguments],
        cwd=rose.folder, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("module", ["typer", "rose_cli.cli", "pydantic", "rose_cli.run_session"])
def test_before_a_session_it_ends_rose_with_a_word(rose: Rose, module: str) -> None:
    rose.write("{max_iter: 1, tasks: {s: {executable: 'true'}}, learners: 1}")
    done = signalled_at(rose, module, signal.SIGUSR1, "run", "campaign.yaml", "--run-dir", "r")
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "rose: stopped by SIGUSR1\n")
    assert not (rose.folder / "r").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_only_shows_something_dies_quietly(rose: Rose, number: int) -> None:
    done = signalled_at(rose, "rose_cli.commands.status", number, "status", "--watch")
    assert (done.returncode, done.stdout, done.stderr) == (130 if number == signal.SIGINT else 143, "", "")


def test_while_a_session_begins_it_ends_it_before_any_task(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {s: {executable: 'true'}}, learners: 1}")
    arguments = ("run", "campaign.yaml", "--run-dir", "r", "--output", "plain")
    done = signalled_at(rose, "rose_cli.view.plain", signal.SIGUSR1, *arguments)
    assert (done.returncode, done.stderr) == (143, "")
    assert "by SIGUSR1" in done.stdout
    names = [event["event"] for event in rose.events("r")]
    assert (names[-1], "attempt_started" in names) == ("session_ended", False)
    assert rose("resume", "r").code == 0


LAST_WORDS = """
import os, signal

class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGUSR1)
        [0 for _ in range(99)]

Last()
"""


def test_where_code_that_cannot_raise_is_hit_no_session_begins(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {s: {executable: 'true'}}, learners: 1}")
    rose.write(LAST_WORDS, "last_words.py")
    code = (
        "from rose_cli.util.signals import install_handlers; install_handlers(); "
        "import last_words; from rose_cli.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "campaign.yaml", "--run-dir", "r"], cwd=rose.folder, check=False,
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{rose.folder}"}, capture_output=True, text=True,
        timeout=PATIENCE,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "rose: stopped by SIGUSR1\n")
    assert [event["event"] for event in rose.events("r")] == ["run_created"]


def test_after_the_session_it_ends_what_nobody_reads(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {s: {executable: 'false'}}, learners: 1}")
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 512)
    os.set_blocking(writing, True)
    process = subprocess.Popen(
        [sys.executable, "-m", "rose_cli", "run", "campaign.yaml", "--run-dir", "r", "--output", "quiet"],
        cwd=rose.folder, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdin=subprocess.DEVNULL,
        stdout=writing, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    journal = rose.folder / "r/journal.jsonl"
    wait_until(lambda: journal.exists() and "session_ended" in journal.read_text())
    while process.poll() is None:  # the first may still come before it writes
        process.send_signal(signal.SIGUSR2)
        with suppress(subprocess.TimeoutExpired):
            process.wait(2)
    _, err = process.communicate(timeout=PATIENCE)
    os.close(reading)
    os.close(writing)
    assert (process.returncode, err) == (143, "rose: stopped by SIGUSR2\n")
    assert rose.learners("r")["learner-0"]["status"] == "failed"


AT_THE_END = """
import os, signal

class AtTheEnd:
    def __init__(self, kill=os.kill, pid=os.getpid()):
        self.kill, self.pid = kill, pid
    def __del__(self):
        self.kill(self.pid, {number})

kept = AtTheEnd()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_while_the_interpreter_is_taken_down_the_exit_code_stands(rose: Rose, number: int) -> None:
    """A job that has finished its run is no failed job."""
    rose.write("{max_iter: 1, tasks: {s: {executable: 'true'}}, learners: 1}")
    rose.write(AT_THE_END.format(number=int(number)), "at_the_end.py")
    code = "import at_the_end; from rose_cli.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "campaign.yaml", "--run-dir", "r", "--output", "plain"], check=False,
        cwd=rose.folder, env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{rose.folder}"}, capture_output=True,
        text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "finished" in done.stdout


# ---- the end of a job, which may reach tasks before rose

JOB = """
max_iter: 1
engine: {{kind: local, cores: {cores}}}
on_failure: {on_failure}
limits: {{same_failure: 2}}
tasks: {{t: {{executable: "{{campaign_dir}}/task.sh"}}}}
learners: {learners}
"""


def job(rose: Rose, script: str, on_failure: str = "stop_learner", learners: int = 1, cores: int = 4) -> None:
    """`script` has `$go`: the task does well once that file is there."""
    rose.script(f"#!/bin/sh\ngo=$ROSE_CAMPAIGN_DIR/go\n{script}", "task.sh")
    rose.write(JOB.format(on_failure=on_failure, learners=learners, cores=cores))


def events_named(rose: Rose, name: str) -> list[dict[str, object]]:
    journal = rose.folder / "r/journal.jsonl"
    return [event for event in rose.events("r") if event["event"] == name] if journal.exists() else []


def pid_of_task(rose: Rose, learner: int = 0) -> int:
    path = rose.folder / f"r/learners/learner-{learner}/workspace/pid"
    wait_until(lambda: path.exists() and path.read_text().strip())
    return int(path.read_text())


UNTIL_GO = "echo $$ > pid\nwhile [ ! -e $go ]; do sleep 0.05; done\n"


@pytest.mark.parametrize("on_failure", ["stop_learner", "stop_campaign", "continue"])
def test_a_task_that_was_ended_with_its_job_was_cancelled(rose: Rose, on_failure: str) -> None:
    job(rose, UNTIL_GO, on_failure, learners=3)
    process = rose.start("run", "campaign.yaml", "--run-dir", "r")
    pids = [pid_of_task(rose, learner) for learner in range(3)]
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: all(gone(pid) for pid in pids))
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, out
    assert events_named(rose, "attempt_failed") == []
    assert [event["reason"] for event in events_named(rose, "attempt_cancelled")] == ["terminated"] * 3
    (rose.folder / "go").touch()
    assert rose("resume", "r").code == 0
    assert {learner["iterations_done"] for learner in rose.learners("r").values()} == {1}
    assert events_named(rose, "step_given_up") == []


def test_a_code_that_names_the_signal_counts_like_the_signal(rose: Rose) -> None:
    job(rose, "trap 'exit 143' TERM\n" + UNTIL_GO)
    process = rose.start("run", "campaign.yaml", "--run-dir", "r")
    pid = pid_of_task(rose)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: gone(pid))
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert (events_named(rose, "attempt_failed"), len(events_named(rose, "attempt_cancelled"))) == ([], 1)


@pytest.mark.parametrize("code", [0, 1, 77])
def test_in_a_job_a_task_may_catch_the_signal(rose: Rose, code: int) -> None:
    """It saves what it has, and exits as it likes: the next job runs it again."""
    job(rose, f"trap 'exit {code}' TERM\n" + UNTIL_GO, "continue", learners=2)
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", PBS_JOBID="7.host")
    pids = [pid_of_task(rose, learner) for learner in range(2)]
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, out
    assert [*events_named(rose, "attempt_failed"), *events_named(rose, "attempt_succeeded")] == []
    (rose.folder / "go").touch()
    assert rose("resume", "r").code == 0
    assert len(events_named(rose, "attempt_succeeded")) == 2


def test_where_rose_is_not_stopped_it_is_a_failure_like_any(rose: Rose) -> None:
    job(rose, "kill -KILL $$\n")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    error = rose.learners("r")["learner-0"]["error"]
    assert (error["kind"], error["signal"], error["message"]) == ("signalled", 9, "killed by SIGKILL (signal 9)")


def test_while_it_waits_to_be_judged_it_holds_no_cores(rose: Rose) -> None:
    job(rose, "[ $ROSE_LEARNER_INDEX = 1 ] || kill -KILL $$\n", learners=2, cores=1)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    names = [(event["event"], event.get("learner")) for event in rose.events("r")]
    assert names.index(("attempt_succeeded", "learner-1")) < names.index(("attempt_failed", "learner-0"))


def gone(pid: int) -> bool:
    """Or a zombie."""
    return not process_is_running(pid, None)
