"""What becomes of the Slurm job of a pilot: as rose, its bridge and a later session learn it from Slurm's commands."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from rose_cli.engine.pilot.engine import PilotManager
from rose_cli.engine.pilot.jobs import NamedJob, find_jobs, is_over_within, job_name
from rose_cli.engine.pilot.own_job import OwnJob
from rose_cli.engine.pilot.pilot import Pilot
from rose_cli.engine.pilot.records import RECORD, forget_pilots, wait_for_pilots
from rose_cli.engine.pilot.resource import (
    is_inside_slurm_job,
    is_slurm_job,
    sbatch_variables,
    starts_with_srun,
    too_few_cores,
)
from rose_cli.util.errors import EngineError, RunDirectoryError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RUN = "0123456789abcdef-fe00-1"
NAME = job_name(RUN, 1, 1)
PENDING = f"{'12':24}{'PENDING':24}{'Priority':60}"
HELD = f"{'12':24}{'PENDING':24}{'QOSMaxCpuPerUserLimit':60}"
RUNNING = f"{'12':24}{'RUNNING':24}{'None':60}"
COMPLETING = f"{'12':24}{'COMPLETING':24}{'None':60}"
TIMEOUT = f"{'12':24}{'TIMEOUT':24}{'TimeLimit':60}"


class Slurm:
    """A Slurm whose `squeue` prints what is in a file for that kind of question; all questions are written down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._script("squeue", 'for kind in steps ended jobs; do case "$kind $*" in '
                     "steps*--steps*|ended*--states=all*|jobs*) break;; esac; done; "
                     f'cat "{folder}/$kind"; test -e "{folder}/$kind"')  # fmt: skip
        self._script("scancel", f'rm -f "{folder}/jobs"; cat "{folder}/after" >"{folder}/jobs"')
        self._script("scontrol", "echo 'ClusterName = alpha'")
        for kind in ("jobs", "ended", "steps", "after"):
            self.says(kind)

    def _script(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.folder}/asked"\n{text}\n')
        path.chmod(0o755)

    def says(self, kind: str, *lines: str) -> None:
        (self.folder / kind).write_text("".join(f"{line}\n" for line in lines))

    def is_down(self) -> None:
        for name in ("squeue", "scontrol", "scancel"):
            self._script(name, "exit 1")

    def cancelled(self) -> list[str]:
        asked = (self.folder / "asked").read_text().splitlines() if (self.folder / "asked").exists() else []
        return [line.removeprefix("scancel ") for line in asked if line.startswith("scancel")]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return Slurm(folder)


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str = "pilot-1.1", **values: Any) -> Path:
        path = tmp_path / "run" / "engine" / name / RECORD
        path.parent.mkdir(parents=True)
        entries = {"host": "login", "resource": "lab.cluster", "here": False, "runtime_seconds": 600.0,
                   "submitted": 0.0, "workplace": "/nowhere", "active": None, "cluster": "alpha"}  # fmt: skip
        path.write_text(json.dumps({**entries, **values}))
        return path

    return write


# ---- a later session


def test_a_job_that_slurm_does_not_know_is_over(slurm: Slurm, record: Callable[..., Path]) -> None:
    path = record(job_name=NAME)
    (path.parents[1] / "locks").mkdir()
    ended = wait_for_pilots(path.parents[1], RUN, force=False)
    assert ended == {path}
    assert slurm.cancelled() == []
    forget_pilots(path.parents[1], ended=ended)
    assert not path.exists()
    assert not (path.parents[1] / "locks").exists(), "they protect nothing any more"


def test_a_job_of_this_run_that_is_still_queued_is_cancelled(slurm: Slurm, record: Callable[..., Path]) -> None:
    path, said = record(job_name=NAME), list[str]()
    slurm.says("jobs", HELD)
    assert wait_for_pilots(path.parents[1], RUN, force=False, tell=said.append) == {path}
    assert slurm.cancelled() == [f"--name={NAME}"]
    assert said == ["cancelled a pilot of an earlier session: its job 12 is queued (QOSMaxCpuPerUserLimit)"]


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"job_name": NAME, "cluster": "beta"},
        {"job_name": NAME, "cluster": None},
        {"job_name": "wrap"},
        {"job_name": "--help"},
        {"job_id": "12", "cluster": "beta"},
        {"job_id": "-12"},
        {"job_id": ""},
    ],
)
def test_what_cannot_be_asked_is_refused(record: Callable[..., Path], values: dict[str, Any]) -> None:
    path = record(**values)
    with pytest.raises(RunDirectoryError) as caught:
        wait_for_pilots(path.parents[1], RUN, force=False)
    assert "--force" in (caught.value.hint or "")


def test_no_answer_is_refused(slurm: Slurm, record: Callable[..., Path]) -> None:
    slurm.is_down()
    with pytest.raises(RunDirectoryError, match="may still be queued or running"):
        wait_for_pilots(record(job_name=NAME).parents[1], RUN, force=False)


def test_only_jobs_of_this_run_are_cancelled(
    slurm: Slurm, record: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of another run, or of a run that was moved: its job is waited for, and the user has to cancel it."""
    monkeypatch.setattr("rose_cli.engine.pilot.records._WAIT_SECONDS", 0.0)
    slurm.says("jobs", PENDING)
    path = record(job_name=job_name("another", 1, 1))
    with pytest.raises(RunDirectoryError, match="has not ended: its job 12 is queued") as caught:
        wait_for_pilots(path.parents[1], RUN, force=False)
    assert "scancel" in (caught.value.hint or "")
    assert slurm.cancelled() == []


def test_a_job_that_does_not_end_is_named(
    slurm: Slurm, record: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rose_cli.engine.pilot.records._SLURM_SECONDS", 0.0)
    slurm.says("jobs", RUNNING)
    slurm.says("after", COMPLETING)
    with pytest.raises(RunDirectoryError, match="has not ended: its job 12 is RUNNING"):
        wait_for_pilots(record(job_name=NAME).parents[1], RUN, force=False)


def of_job(state: str, restarts: int = 0) -> str:
    return f"{'7':24}{state:24}{'2026-11-29T09:20:00':24}{restarts:<12}{'n1':1000}"


@pytest.mark.parametrize(
    ("line", "steps", "expected"),
    [
        (of_job("TIMEOUT"), [], True),
        (of_job("PENDING"), [], True),
        (of_job("RUNNING", 2), ["7.0  task.000001.exec.sh"], True),
        (of_job("RUNNING", 1), ["7.batch  batch", "7.4  solver"], True),
        (of_job("RUNNING", 1), ["7.batch  batch", "7.4  task.000001.exec.sh"], False),
        (of_job("COMPLETING", 2), [], None),
    ],
)
def test_a_pilot_within_a_job_is_over_with_it_or_with_its_steps(
    slurm: Slurm, line: str, steps: list[str], expected: bool | None
) -> None:
    slurm.says("ended", line)
    slurm.says("steps", *steps)
    assert is_over_within("7", "alpha", 1) is expected


# ---- the session that has the pilot


@pytest.mark.anyio
async def test_what_a_queued_job_waits_for_is_said_unless_it_is_its_turn(slurm: Slurm) -> None:
    job = OwnJob(NAME)
    said = []
    for line in ([], [PENDING], [HELD], [RUNNING]):
        slurm.says("jobs", *line)
        said.append(await job.queued())
    assert said == [None, "Slurm job 12 is queued", "Slurm job 12 is queued (QOSMaxCpuPerUserLimit)", None]


@pytest.mark.anyio
async def test_a_task_that_failed_with_its_job_is_told_from_one_that_just_failed(slurm: Slurm) -> None:
    job = OwnJob(NAME)
    slurm.says("jobs", RUNNING)
    assert await job.has_ended(after_signal=False) is None
    slurm.says("jobs", COMPLETING)
    slurm.says("ended", COMPLETING)
    assert await job.has_ended(after_signal=False) == "Slurm job 12 is COMPLETING"
    slurm.says("jobs")
    slurm.says("ended", TIMEOUT)
    assert await job.has_ended(after_signal=True) == "Slurm job 12 ended (TIMEOUT)"
    slurm.says("ended")
    assert await job.has_ended(after_signal=True) == "its Slurm job has ended"
    assert await job.how_it_ended() is None, "as for a job that was never accepted"
    slurm.is_down()
    assert await job.has_ended(after_signal=True) is None


@pytest.mark.anyio
async def test_the_end_of_a_job_is_certain_only_if_slurm_says_so(slurm: Slurm) -> None:
    slurm.says("jobs", RUNNING)
    slurm.says("after", COMPLETING)
    assert not await OwnJob(NAME).end(lambda: True)
    second_signal = iter([False, False, True])
    assert not await OwnJob(NAME).end(lambda: next(second_signal)), "it no longer waits"
    slurm.says("after")
    assert await OwnJob(NAME).end(lambda: False)
    assert slurm.cancelled() == [f"--name={NAME}"] * 3
    slurm.is_down()
    assert not await OwnJob(NAME).end(lambda: False)


def test_jobs_are_found_by_name_on_their_own_cluster(slurm: Slurm) -> None:
    slurm.says("jobs", HELD)
    assert find_jobs(NAME, "alpha") == [NamedJob("12", "PENDING", "QOSMaxCpuPerUserLimit")]
    assert find_jobs(NAME, "beta") is None
    assert f"--name={NAME}" in (slurm.folder / "asked").read_text()


def test_names_of_jobs_differ() -> None:
    assert len({job_name(run, session, number) for run in ("a", "b") for session in (1, 11) for number in (1, 11)}) == 8


# ---- what radical.pilot is told

SCHEMAS = {
    "batch": {"job_manager_endpoint": "slurm://localhost/"},
    "interactive": {"job_manager_endpoint": "fork://localhost/"},
    "remote": {"job_manager_endpoint": "ssh+slurm://login.lab/"},
}
RESOURCE = {"default_schema": "batch", "schemas": SCHEMAS, "resource_manager": "SLURM", "gpus_per_node": 2}


def test_it_is_known_which_pilot_is_a_job_of_this_slurm() -> None:
    assert [is_slurm_job(RESOURCE, schema) for schema in (None, "interactive", "remote")] == [True, False, False]
    assert [is_inside_slurm_job(RESOURCE, schema) for schema in (None, "interactive")] == [False, True]
    assert starts_with_srun({"launch_methods": {"order": ["SRUN", "FORK"], "SRUN": {}, "FORK": {}}})
    assert not starts_with_srun({"launch_methods": {"order": ["MPIRUN"], "MPIRUN": {}}})


def test_gpus_are_requested_from_slurm_unless_the_user_or_the_site_does() -> None:
    spec = {"gpus": 4, "nodes": 2}
    named = {"SBATCH_JOB_NAME": NAME}
    assert sbatch_variables(RESOURCE, spec, NAME, {}) == {**named, "SBATCH_GRES": "gpu:2"}
    assert sbatch_variables({**RESOURCE, "gpus_per_node": None}, spec, NAME, {}) == {**named, "SBATCH_GRES": "gpu:2"}
    assert sbatch_variables(RESOURCE, {"gpus": 0, "nodes": 2}, NAME, {}) == named
    assert sbatch_variables(RESOURCE, spec, NAME, {"SBATCH_GPUS_PER_NODE": "a100:2"}) == named
    whole = {**RESOURCE, "system_architecture": {"exclusive": True}}
    assert sbatch_variables(whole, spec, NAME, {}) == named


def test_a_job_with_fewer_cores_than_its_nodes_is_refused() -> None:
    assert too_few_cores({"cores_per_node": 2}, {"SLURM_CPUS_ON_NODE": "1"}) == (
        "the Slurm job has fewer cores on this node (1) than the resource says ('cores_per_node': 2): request "
        "whole nodes (sbatch --exclusive)"
    )
    for cores, cpus in ((2, "2"), (2, "4"), (None, "1"), (2, "")):
        assert too_few_cores({"cores_per_node": cores}, {"SLURM_CPUS_ON_NODE": cpus}) is None


# ---- the next pilot


class Ended(Pilot):
    """A pilot that was active and is over."""

    def __init__(self, *, may_have_tasks: bool) -> None:
        self.active, self.over, self.reason, self.queued = anyio.Event(), anyio.Event(), "Slurm job 12 ended", None
        self.may_have_tasks = may_have_tasks
        self.active.set()
        self.over.set()

    async def run(self) -> None:
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
@pytest.mark.parametrize(("may_have_tasks", "count"), [(False, 3), (True, 1)])
async def test_no_pilot_follows_one_whose_job_may_be_alive(may_have_tasks: bool, count: int) -> None:
    """Its tasks would run twice at the same time in one workspace."""
    launched = []

    def launch(number: int) -> Pilot:
        launched.append(number)
        return Ended(may_have_tasks=may_have_tasks)

    async def lose(_: Pilot) -> None:
        pass

    manager = PilotManager(launch, 2, lose)
    await manager.keep()
    assert len(launched) == count
    with pytest.raises(EngineError, match="no other pilot is started" if may_have_tasks else "^Slurm job 12 ended$"):
        await manager.ready()
