"""Whose lock it is, where the owner ran on another host in a job of Slurm: judged by Slurm's answers, as recorded."""

from __future__ import annotations

import os
import stat
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest

from rose_cli.engine.slurm.job import JobReport
from rose_cli.runs import lock, lock_owner
from rose_cli.runs.lock import LockCheck, RunLock, read_owner
from rose_cli.runs.lock_owner import LockOwner, answer_about, current_owner, is_alive
from rose_cli.util.errors import RunLockedError
from tests.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Rose

NO_JOB = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
NO_CONTROLLER = "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1"
HANGING = "exec sleep 60"

IN_A_JOB = {
    "SLURM_JOB_ID": "15", "SLURM_CLUSTER_NAME": "alpha", "SLURMD_NODENAME": "n1", "SLURM_JOB_NODELIST": "n[1-2]",
}  # fmt: skip


def job_line(state: str, restarts: int = 0, job: str = "15") -> str:
    return f"{job:24}{state:24}{'2026-11-29T09:20:00':24}{restarts:<12}{'n1':1000}"


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
    for memory in (lock_owner._answers, lock_owner._silent, lock_owner._clusters):
        memory.clear()
    monkeypatch.setattr(lock, "FENCE_SECONDS", 0.0)


@pytest.fixture
def answer(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A Slurm that says this about jobs, with its cluster's name; returns where the questions are written down."""
    folder = tmp_path_factory.mktemp("bin")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    asked = folder / "asked"

    def says(*words: str, cluster: str = "alpha") -> Path:
        for memory in (lock_owner._answers, lock_owner._silent, lock_owner._clusters):
            memory.clear()
        scripts = {
            "squeue": "\n".join(f"echo '{line}'" if line[:1].isdecimal() else line for line in words),
            "scontrol": f"echo 'ClusterName             = {cluster}'",
        }
        for name, text in scripts.items():
            (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {asked}\n{text}\n')
            (folder / name).chmod(0o755)
        asked.write_text("")
        return asked

    return says


def owner(**change: object) -> LockOwner:
    """A process on node n1, which is another host, in job 15 that had been restarted once."""
    there = {"host": "n1", "boot_id": "another", "job_id": "15", "batch": "slurm", "cluster": "alpha", "restarts": 1}
    return replace(current_owner(), **{**there, "node": "n1", **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "restarts", "alive"),
    [
        ("RUNNING", 1, None),
        ("RUNNING", 0, None),
        ("RUNNING", 2, False),
        ("SUSPENDED", 1, None),
        ("COMPLETING", 1, None),
        ("COMPLETING", 2, None),
        ("CONFIGURING", 2, False),
        ("PENDING", 1, False),
        ("PENDING", 2, False),
        ("REQUEUED", 2, None),
        ("REQUEUE_HOLD", 1, False),
        ("COMPLETED", 1, False),
        ("CANCELLED", 1, False),
        ("FAILED", 1, False),
        ("TIMEOUT", 1, False),
        ("NODE_FAIL", 1, False),
        ("PREEMPTED", 1, False),
        ("OUT_OF_MEMORY", 1, False),
        ("REVOKED", 1, None),
        ("SOMETHING_NEW", 2, None),
    ],
)
def test_a_job_that_leaves_no_doubt_holds_no_lock(
    answer: Callable[..., Path], state: str, restarts: int, alive: bool | None
) -> None:
    answer(job_line(state, restarts))
    assert is_alive(owner()) is alive


def test_a_job_that_its_cluster_does_not_know_has_ended(answer: Callable[..., Path]) -> None:
    answer(NO_JOB)
    assert is_alive(owner()) is False


def test_a_job_of_another_user_may_be_hidden(answer: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    answer(NO_JOB)
    theirs = owner(user="ann")
    assert is_alive(theirs) is (False if os.geteuid() == 0 else None)
    lock_owner._answers.clear()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert is_alive(theirs) is None
    assert is_alive(owner()) is False


@pytest.mark.parametrize("silence", [NO_CONTROLLER, "exit 0", "exit 1"])
def test_no_answer_proves_nothing(answer: Callable[..., Path], silence: str) -> None:
    answer(silence)
    assert is_alive(owner()) is None
    assert answer_about(owner()).words == "Slurm does not answer from here"


def test_a_controller_that_hangs_is_asked_once_for_many_locks(
    answer: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("rose_cli.engine.slurm.job.ask_job", asked.append)
    answer(HANGING)
    assert [is_alive(owner(job_id=str(job))) for job in range(15, 25)] == [None] * 10
    assert asked == ["15"]


def test_without_slurm_on_this_host_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert is_alive(owner()) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cluster": "beta"}, "job 15 is on cluster 'beta', and this is cluster 'alpha'"),
        ({"cluster": None}, "the lock does not say which cluster job 15 is on"),
        ({"batch": None}, "an older version of rose wrote the lock, which does not say which cluster job 15 is on"),
        ({"node": None}, "its process may outlive job 15: it did not run on a node of that job"),
        ({"batch": "pbs", "job_id": "7.server"}, "rose cannot ask PBS about job 7.server"),
        ({"batch": None, "job_id": None}, ""),
    ],
)
def test_an_answer_that_may_be_about_something_else_proves_nothing(
    answer: Callable[..., Path], change: dict[str, object], words: str
) -> None:
    asked = answer(NO_JOB)
    assert is_alive(owner(**change)) is None
    assert answer_about(owner(**change)).words == words
    assert "squeue" not in asked.read_text()


@pytest.mark.parametrize(
    "job_id", ["", "0", "15 16", "15;reboot", "-a", "--all", "15_1", "9" * 11, "\u0661\u0665", "15\n"]
)
def test_a_job_id_that_is_none_reaches_no_command_line(answer: Callable[..., Path], job_id: str) -> None:
    asked = answer(NO_JOB)
    assert is_alive(owner(job_id=job_id)) is None
    assert asked.read_text() == ""


def test_slurm_is_not_asked_every_second_by_those_who_watch(
    answer: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = iter([JobReport("RUNNING"), JobReport("RUNNING"), JobReport("COMPLETED")])
    answer(NO_CONTROLLER)
    monkeypatch.setattr("rose_cli.engine.slurm.job.ask_job", lambda _: next(reports))
    now = 1000.0
    monkeypatch.setattr("rose_cli.runs.lock_owner.time.monotonic", lambda: now)
    alive = []
    for second in (0, 1, 4, 6, 9, 12, 20, 500):
        now = 1000.0 + second
        alive.append(is_alive(owner()))
    assert alive == [None] * 5 + [False] * 3


def test_other_tasks_of_an_array_are_other_jobs(answer: Callable[..., Path]) -> None:
    """`squeue --jobs=15` lists every task of the array 15, each with its own id."""
    answer(job_line("COMPLETED", job="16"), job_line("RUNNING", restarts=1))
    assert is_alive(owner()) is None


def test_a_lock_that_does_not_know_its_restarts_outlives_a_restart(answer: Callable[..., Path]) -> None:
    answer(job_line("RUNNING", restarts=3))
    assert is_alive(owner(restarts=None)) is None


def test_this_very_job_was_restarted_and_slurm_need_not_answer(
    answer: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answer(NO_CONTROLLER)
    for name, value in {**IN_A_JOB, "SLURM_RESTART_COUNT": "2"}.items():
        monkeypatch.setenv(name, value)
    assert is_alive(owner()) is False
    assert asked.read_text() == ""
    assert is_alive(owner(restarts=2)) is None
    assert is_alive(owner(restarts=3)) is None, "an orphan of an earlier start is not the heir of a later one"


def test_an_owner_on_this_host_is_judged_without_slurm(answer: Callable[..., Path]) -> None:
    asked = answer(NO_JOB)
    here = replace(owner(), host=current_owner().host, boot_id=current_owner().boot_id)
    assert is_alive(here) is True
    assert is_alive(replace(here, pid=1 << 22)) is False
    assert asked.read_text() == ""


def test_the_owner_knows_its_job(answer: Callable[..., Path]) -> None:
    asked = answer(job_line("RUNNING", restarts=4))
    found = current_owner(environment={**IN_A_JOB, "SLURM_RESTART_COUNT": "2"})
    assert (found.batch, found.job_id, found.cluster, found.restarts, found.node) == ("slurm", "15", "alpha", 2, "n1")
    assert current_owner(environment=IN_A_JOB).restarts == 0
    assert asked.read_text() == ""
    in_a_step = {**IN_A_JOB, "SLURM_STEP_ID": "0"}
    assert current_owner(environment=in_a_step).restarts == 4, "`srun --export=NONE` drops the number"
    answer(NO_CONTROLLER)
    assert current_owner(environment=in_a_step).restarts is None
    in_salloc = {name: value for name, value in IN_A_JOB.items() if name != "SLURMD_NODENAME"}
    assert current_owner(environment=in_salloc).node is None


@pytest.mark.parametrize("name", ["PBS_JOBID", "LSB_JOBID", "FLUX_JOB_ID"])
def test_jobs_of_other_batch_systems_are_recorded(name: str) -> None:
    found = current_owner(environment={name: "7.server"})
    assert (found.job_id, found.batch is not None, found.cluster) == ("7.server", True, None)
    assert LockOwner.decode(found.encode()) == found


def test_a_lock_of_an_older_version_is_read() -> None:
    entries = asdict(current_owner())
    old = {name: entries[name] for name in ("host", "boot_id", "pid", "start_ticks", "time", "user", "token")}
    found = LockOwner.decode(repr({**old, "job_id": "15"}).replace("'", '"').replace("None", "null").encode())
    assert found is not None
    assert (found.job_id, found.batch, found.cluster, found.restarts) == ("15", None, None, None)


# --- the lock ------------------------------------------------------------------------------------------------------


def test_the_lock_of_a_job_that_has_ended_is_taken_over(answer: Callable[..., Path], tmp_path: Path) -> None:
    answer(job_line("NODE_FAIL", 1))
    (tmp_path / "lock").write_bytes(owner().encode())
    with RunLock.acquire(tmp_path) as taken:
        found = read_owner(tmp_path)
        assert found is not None
        assert found.pid == os.getpid()
    assert taken.news is not None
    assert taken.news.startswith(f"took over from process {os.getpid()} on host 'n1' (user ")
    assert taken.news.endswith(": Slurm says that job 15 has ended (NODE_FAIL)")
    with RunLock.acquire(tmp_path) as free:
        assert free.news is None
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_job_that_may_live_is_kept_and_slurm_s_answer_shown(
    answer: Callable[..., Path], tmp_path: Path
) -> None:
    answer(job_line("COMPLETING", 1))
    path = tmp_path / "lock"
    path.write_bytes(owner().encode())
    text = path.read_bytes()
    with pytest.raises(RunLockedError, match=r"on host 'n1' .* job 15") as caught:
        RunLock.acquire(tmp_path)
    assert (caught.value.hint or "").startswith("Slurm says that job 15 is COMPLETING, so host ")
    assert path.read_bytes() == text


def test_a_lock_of_a_job_that_runs_is_not_to_be_stolen(answer: Callable[..., Path], tmp_path: Path) -> None:
    answer(job_line("RUNNING", 1))
    (tmp_path / "lock").write_bytes(owner(folder=None).encode())
    with pytest.raises(RunLockedError, match=r" since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$") as caught:
        RunLock.acquire(tmp_path)
    ways = f"wait for it, stop it with `rose stop {tmp_path}`, or end the job with `scancel 15`"
    assert caught.value.hint == f"Slurm says that job 15 is RUNNING: {ways}"


def test_whoever_believes_slurm_gives_the_owner_time_to_notice(
    answer: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm also calls a job ended whose node it cannot reach, where the session may live."""
    slept: list[float] = []
    monkeypatch.setattr(lock, "FENCE_SECONDS", 7.0)
    monkeypatch.setattr("rose_cli.runs.lock.time.sleep", slept.append)
    answer(NO_JOB)
    (tmp_path / "lock").write_bytes(owner().encode())
    RunLock.acquire(tmp_path).release()
    assert slept.count(7.0) == 1
    (tmp_path / "lock").write_bytes(replace(current_owner(), pid=1 << 22).encode())
    RunLock.acquire(tmp_path).release()
    assert slept.count(7.0) == 1, "the end of a process on this host is certain"


def test_a_session_notices_that_it_was_robbed(tmp_path: Path) -> None:
    with RunLock.acquire(tmp_path):
        check = LockCheck(tmp_path)
        check()
        path = tmp_path / "lock"
        own = path.read_bytes()
        thief = tmp_path / "thief"
        thief.write_bytes(owner().encode())
        thief.rename(path)
        with pytest.raises(RunLockedError, match=r"was taken over by process .* on host 'n1'"):
            check()
        path.unlink()
        check()  # deleted by hand: nobody else works on the run
        path.write_bytes(own)
        check()  # restored by hand: another file with its own content


def test_without_a_lock_of_its_own_there_is_nothing_to_lose(tmp_path: Path) -> None:
    check = LockCheck(tmp_path)
    (tmp_path / "lock").write_bytes(owner().encode())
    check()


def test_a_lock_that_became_unreadable_is_no_reason_to_end(tmp_path: Path) -> None:
    with RunLock.acquire(tmp_path):
        check = LockCheck(tmp_path)
        (tmp_path / "lock").rename(tmp_path / "aside")
        (tmp_path / "lock").write_bytes(b"{")
        (tmp_path / "lock").chmod(stat.S_IWUSR)
        check()


# --- commands ------------------------------------------------------------------------------------------------------


def test_commands_show_the_run_of_a_job_that_has_ended_as_lost(answer: Callable[..., Path], rose: Rose) -> None:
    rose.write("tasks: {s: {executable: sleep 600}}\nmax_iter: 1\nlearners: [{}]\n")
    process = rose.start("run", "campaign.yaml", "--run-dir", "rose-runs/r")
    run = rose.folder / "rose-runs/r"
    wait_until(lambda: (run / "journal.jsonl").exists() and "attempt_started" in (run / "journal.jsonl").read_text())
    process.kill()
    process.communicate()
    (run / "lock").write_bytes(owner().encode())

    def shown() -> tuple[str, str]:
        return rose.status("r")["status"], rose.json("list", "--format", "json")[0]["status"]

    answer(job_line("RUNNING", 1))
    assert shown() == ("running", "running")
    assert rose("clean", "r", "--workspaces", "--yes").code == 4
    answer(job_line("NODE_FAIL", 1))
    assert shown() == ("lost", "lost")
    called = rose("stop", "r")
    assert (called.code, "is not running" in called.err) == (4, True)
    assert rose("clean", "r", "--all", "--yes").code == 0
    assert not run.exists()
