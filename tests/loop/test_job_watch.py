"""The end of a job moves while a session runs: heeded, and nothing is lost if nobody answers."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING

import anyio
import pytest

from rose_cli.loop import job_watch
from rose_cli.loop.deadline import Deadline, WallTimeReached, deadline_of
from rose_cli.loop.job_watch import JobWatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

GRACE = 5.0


class Cluster:
    """A `squeue` whose answers a test sets, and what a session is told because of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        self.command("squeue", f"cd {folder}; cat answer; cat error >&2; echo >>asked; exit $(cat code)")
        self.says("")
        self.environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "SLURM_JOB_ID": "4",
            "SLURM_JOB_NODELIST": "n1",
            "SLURMD_NODENAME": "n1",
        }
        self.said: list[str] = []

    def command(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def says(self, answer: str, error: str = "", code: int = 0) -> None:
        for name, text in (("error", error), ("code", str(code)), ("answer", answer)):
            (self.folder / "new").write_text(text, encoding="utf-8")
            (self.folder / "new").rename(self.folder / name)

    def ends_in(self, seconds: float, state: str = "RUNNING", restarts: int = 0) -> None:
        end = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + seconds))
        self.says(f"4   {state}   {end}   {restarts}   n1\n")

    def is_unknown(self) -> None:
        self.says("", "slurm_load_jobs error: Invalid job id specified\n", 1)

    @property
    def asked(self) -> int:
        path = self.folder / "asked"
        return path.read_text().count("\n") if path.exists() else 0

    def run(self, deed: Callable[[Deadline, JobWatch], Awaitable[None]], wall_time: float | None = None) -> Deadline:
        """Watch the job while the deed is done."""

        async def session() -> Deadline:
            deadline = deadline_of(wall_time, self.environment, GRACE, time.time())
            assert deadline.batch is not None
            watch = JobWatch(deadline.batch, deadline, self.environment, GRACE, self.said.append)
            deadline.ask_with(watch.refresh)
            async with anyio.create_task_group() as group:
                group.start_soon(watch.keep)
                await watch.first_answer()
                await deed(deadline, watch)
                group.cancel_scope.cancel()
            return deadline

        return anyio.run(session)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch system is asked as often as possible."""
    monkeypatch.setattr(job_watch, "ASK_SECONDS", 0.05)
    monkeypatch.setattr(job_watch, "FRESH_SECONDS", 0.0)


async def nothing(_: Deadline, __: JobWatch) -> None:
    """The first answer is enough."""


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not is_so():  # noqa: ASYNC110
            await anyio.sleep(0.01)


def test_the_end_that_slurm_tells_is_the_limit(cluster: Cluster) -> None:
    cluster.ends_in(1000)
    deadline = cluster.run(nothing)
    assert 1000 - GRACE - 10 - 60 < deadline.seconds_left <= 1000 - GRACE - 10
    assert deadline.source.startswith("the end of Slurm job 4 (squeue: 20")
    assert deadline.source.endswith(", less 15s to stop tasks)")
    assert (cluster.said, cluster.asked) == ([], 1)


def test_a_job_without_a_limit_limits_nothing(cluster: Cluster) -> None:
    cluster.says("4   RUNNING   NONE   0   n1\n")
    assert cluster.run(nothing).seconds_left == math.inf
    assert cluster.run(nothing, wall_time=100).source.startswith("limits.wall_time")


def test_the_wall_time_counts_where_it_is_nearer(cluster: Cluster) -> None:
    cluster.ends_in(1000)
    assert cluster.run(nothing, wall_time=100).source.startswith("limits.wall_time")


def test_the_variable_counts_until_slurm_says_otherwise(cluster: Cluster) -> None:
    end = int(time.time()) + 500
    cluster.environment["SLURM_JOB_END_TIME"] = str(end)
    assert cluster.run(nothing).source.startswith("$SLURM_JOB_END_TIME (")
    cluster.ends_in(end - time.time())
    assert cluster.run(nothing).source.startswith("$SLURM_JOB_END_TIME (")
    cluster.ends_in(5000)
    assert cluster.run(nothing).source.startswith("the end of Slurm job 4 (squeue: ")


@pytest.mark.parametrize("script", ["exit 1", "echo 'slurm_load_jobs error: Zero Bytes' >&2; exit 1"])
def test_a_controller_that_fails_limits_nothing(cluster: Cluster, script: str) -> None:
    cluster.command("squeue", script)
    assert cluster.run(nothing).seconds_left == math.inf
    assert cluster.said == ["squeue does not tell when Slurm job 4 ends: set `limits.wall_time` to stop cleanly before"]
    cluster.run(nothing, wall_time=100)
    cluster.environment["SLURM_JOB_END_TIME"] = str(int(time.time()) + 500)
    cluster.run(nothing)
    assert len(cluster.said) == 1, "where there is a limit, nothing is missing"


def test_a_controller_that_hangs_delays_nothing(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.command("squeue", "exec sleep 600")
    monkeypatch.setattr(job_watch, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(job_watch, "PATIENCE_SECONDS", 0.05)

    async def check(deadline: Deadline, _: JobWatch) -> None:
        await deadline.check(1000.0)

    assert cluster.run(check).seconds_left == math.inf
    assert cluster.said == []


def test_that_nothing_is_known_is_told_once_slurm_had_its_time(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.command("squeue", "exec sleep 600")
    monkeypatch.setattr(job_watch, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(job_watch, "TIMEOUT_SECONDS", 0.5)

    async def wait(_: Deadline, __: JobWatch) -> None:
        await until(lambda: len(cluster.said) == 1)

    cluster.run(wait)


def test_a_machine_without_squeue_limits_nothing(cluster: Cluster) -> None:
    cluster.environment["PATH"] = str(cluster.folder)
    assert cluster.run(nothing).seconds_left == math.inf


@pytest.mark.usefixtures("often")
def test_an_extension_is_heeded_and_told(cluster: Cluster) -> None:
    cluster.ends_in(1000)

    async def extend(deadline: Deadline, _: JobWatch) -> None:
        cluster.ends_in(9000)
        await until(lambda: deadline.seconds_left > 8000)
        cluster.says("4   RUNNING   NONE   0   n1\n")
        await until(lambda: deadline.seconds_left == math.inf)

    cluster.run(extend)
    assert len(cluster.said) == 2
    assert cluster.said[0].startswith("Slurm job 4 now ends 20")
    assert cluster.said[1].startswith("Slurm job 4 now ends never, and not ")


@pytest.mark.usefixtures("often")
def test_a_job_that_is_cut_short_ends_the_session_in_time(cluster: Cluster) -> None:
    cluster.ends_in(1000)

    async def cut(deadline: Deadline, _: JobWatch) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(deadline.reached)
            cluster.ends_in(GRACE + 10)

    assert cluster.run(cut).seconds_left <= 0


def test_before_a_task_is_refused_slurm_is_asked_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_watch, "FRESH_SECONDS", 0.0)
    cluster.ends_in(100)

    async def check(deadline: Deadline, _: JobWatch) -> None:
        cluster.ends_in(900)
        await deadline.check(500.0)
        cluster.ends_in(300)
        with pytest.raises(WallTimeReached):
            await deadline.check(1000.0)
        await deadline.check(100.0)

    cluster.run(check)
    assert cluster.asked == 3, "a task that fits needs no question"


def test_many_learners_share_one_question(cluster: Cluster) -> None:
    cluster.ends_in(100)

    async def check(deadline: Deadline, _: JobWatch) -> None:
        for __ in range(20):
            with pytest.raises(WallTimeReached):
                await deadline.check(500.0)

    cluster.run(check)
    assert cluster.asked == 1


def test_before_the_session_ends_slurm_is_asked_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `scontrol suspend`: the clock has passed the old end, and the job has a new one."""
    monkeypatch.setattr(job_watch, "FRESH_SECONDS", 0.0)
    cluster.ends_in(GRACE + 10)

    async def wait(deadline: Deadline, _: JobWatch) -> None:
        assert deadline.seconds_left <= 1
        cluster.ends_in(1000)
        async with anyio.create_task_group() as group:
            group.start_soon(deadline.reached)
            await until(lambda: deadline.seconds_left > 800)
            group.cancel_scope.cancel()

    assert cluster.run(wait).seconds_left > 800


@pytest.mark.parametrize("answer", ["4   COMPLETED   2026-11-29T09:07:33   0   n1\n", ""])
def test_a_job_that_was_over_before_limits_nothing(cluster: Cluster, answer: str) -> None:
    if answer:
        cluster.says(answer)
    else:
        cluster.is_unknown()
    assert cluster.run(nothing).seconds_left == math.inf


def test_a_variable_counts_where_slurm_does_not_know_the_job(cluster: Cluster) -> None:
    """It may be the job of another cluster."""
    cluster.environment["SLURM_JOB_END_TIME"] = str(int(time.time()) + 500)
    cluster.is_unknown()
    assert cluster.run(nothing).source.startswith("$SLURM_JOB_END_TIME (")
    cluster.ends_in(-5, state="CANCELLED")
    assert cluster.run(nothing).seconds_left == math.inf


def test_the_job_of_another_cluster_is_not_taken_for_this_one(cluster: Cluster) -> None:
    cluster.ends_in(100)
    cluster.environment |= {"SLURM_JOB_NODELIST": "x[1-2]", "SLURMD_NODENAME": "x1"}
    assert cluster.run(nothing).seconds_left == math.inf


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(("state", "restarts", "why"), [("FAILED", 0, "FAILED"), ("PENDING", 1, "it was requeued")])
def test_a_job_that_ends_under_the_session_ends_it(cluster: Cluster, state: str, restarts: int, why: str) -> None:
    """Slurm has lost track of this process: its cores may be another job's by now."""
    cluster.ends_in(1000)

    async def end(deadline: Deadline, _: JobWatch) -> None:
        cluster.ends_in(-5, state, restarts)
        await deadline.reached()

    assert cluster.run(end).source == f"Slurm job 4 has ended ({why})"


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("where", ["a controller that has lost its state", "a login node"])
def test_what_is_not_sure_to_have_ended_is_not_ended(cluster: Cluster, where: str) -> None:
    cluster.ends_in(1000)
    if where == "a login node":
        del cluster.environment["SLURMD_NODENAME"]

    async def vanish(deadline: Deadline, _: JobWatch) -> None:
        if where == "a login node":
            cluster.ends_in(-5, "COMPLETED")
        else:
            cluster.is_unknown()
        asked = cluster.asked
        await until(lambda: cluster.asked > asked + 2)
        assert deadline.seconds_left > 800

    cluster.run(vanish)


@pytest.mark.usefixtures("often")
def test_what_a_controller_forgets_and_knows_again_is_no_news(cluster: Cluster) -> None:
    cluster.ends_in(1000)

    async def forget(deadline: Deadline, _: JobWatch) -> None:
        cluster.is_unknown()
        asked = cluster.asked
        await until(lambda: cluster.asked > asked + 1)
        cluster.ends_in(1000)
        await until(lambda: cluster.asked > asked + 4)
        cluster.ends_in(-5, "CANCELLED")
        await deadline.reached()

    assert cluster.run(forget).source == "Slurm job 4 has ended (CANCELLED)"
    assert cluster.said == []


@pytest.mark.usefixtures("often")
def test_a_requeued_job_is_not_taken_for_ended_by_the_session_that_it_started(cluster: Cluster) -> None:
    """`srun --export=NONE` leaves SLURM_RESTART_COUNT out."""
    cluster.ends_in(1000, restarts=3)
    assert cluster.run(nothing).seconds_left > 800


@pytest.mark.usefixtures("often")
def test_an_answer_that_comes_late_is_told(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_watch, "FIRST_SECONDS", 0.02)
    cluster.ends_in(1000)
    cluster.command("squeue", f"while [ ! -e {cluster.folder}/go ]; do sleep 0.02; done; cat {cluster.folder}/answer")

    async def wait(deadline: Deadline, _: JobWatch) -> None:
        assert deadline.seconds_left == math.inf
        (cluster.folder / "go").touch()
        await until(lambda: deadline.seconds_left < 1000)

    cluster.run(wait)
    assert len(cluster.said) == 1
    assert cluster.said[0].startswith("Slurm job 4 ends 20")


# --- other batch systems -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "left"),
    [("3600", 3585.0), ("0", -15.0), ("4294967295", math.inf), ("", math.inf), ("1h", math.inf)],
)
def test_flux_tells_the_seconds_that_are_left(cluster: Cluster, answer: str, left: float) -> None:
    cluster.environment = {"PATH": cluster.environment["PATH"], "FLUX_JOB_ID": "ƒ2WUQ"}
    cluster.command("flux", f'test "$*" = "job timeleft" && test -n "{answer}" && echo "{answer}"')
    deadline = cluster.run(nothing)
    assert deadline.seconds_left == pytest.approx(left, abs=60)
    if math.isfinite(left):
        assert deadline.source.startswith("the end of Flux job ƒ2WUQ (flux job timeleft: ")


def test_an_instance_of_flux_may_be_a_job(cluster: Cluster) -> None:
    cluster.environment = {"PATH": cluster.environment["PATH"], "FLUX_URI": "local:///tmp/flux/local"}
    cluster.command("flux", "echo 3600")
    assert cluster.run(nothing).source.startswith("the end of the Flux job (flux job timeleft: ")
    cluster.command("flux", "echo 'flux-job: timeleft: not in a job' >&2; exit 1")
    assert cluster.run(nothing).seconds_left == math.inf
    assert cluster.said == []


@pytest.mark.parametrize(
    ("answer", "left"), [("1:30 L", 5385.0), ("1:30 E", math.inf), ("-", math.inf), ("0:01:30 L", 75.0)]
)
def test_lsf_tells_hours_and_minutes_of_a_limit_but_estimates_are_none(
    cluster: Cluster, answer: str, left: float
) -> None:
    cluster.environment = {"PATH": cluster.environment["PATH"], "LSB_JOBID": "12", "LSB_JOBINDEX": "3"}
    cluster.command("bjobs", f'test "$*" = "-noheader -o time_left 12[3]" && echo "{answer}"')
    assert cluster.run(nothing).seconds_left == pytest.approx(left, abs=60)
