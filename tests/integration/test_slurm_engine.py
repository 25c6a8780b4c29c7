"""The Slurm engine where there is no Slurm job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose

CAMPAIGN = "{engine: {kind: slurm, mpi: pmix, cores: 4}, max_iter: 1, tasks: {s: {executable: 'true'}}, learners: 2}"

OUTSIDE = "error: the slurm engine runs tasks in a Slurm job, and rose is not in one\n"


def test_without_a_job_nothing_is_started_and_the_way_to_one_is_shown(rose: Rose) -> None:
    rose.write(CAMPAIGN)
    ran = rose("run", "campaign.yaml")
    assert (ran.code, ran.out) == (5, "")
    assert ran.err.startswith(OUTSIDE)
    for way in ("sbatch", "salloc", "--engine local"):
        assert way in ran.err
    assert [path.name for path in rose.folder.iterdir()] == ["campaign.yaml"]


def test_a_resume_without_a_job_changes_nothing(rose: Rose) -> None:
    rose.write(CAMPAIGN.replace("{kind: slurm, mpi: pmix, cores: 4}", "local"))
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    plan = (rose.folder / "r" / "plan.json").read_bytes()
    rose.write(CAMPAIGN.replace("max_iter: 1", "max_iter: 2"))
    before = (rose.folder / "r" / "journal.jsonl").read_bytes()
    resumed = rose("resume", "r")
    assert resumed.code == 5
    assert resumed.err.startswith(OUTSIDE), "nothing was applied, so nothing is said to be"
    for way in ("`rose submit r`", "`exec rose resume …`", "`--set engine=local`"):
        assert way in resumed.err
    assert (rose.folder / "r" / "journal.jsonl").read_bytes() == before
    assert (rose.folder / "r" / "plan.json").read_bytes() == plan
    assert rose("resume", "r", "--set", "engine=local").code == 0


def test_a_job_that_has_ended_is_named(rose: Rose) -> None:
    rose.write(CAMPAIGN.replace("'true'", "'{python} -V'"))
    ran = rose("run", "campaign.yaml", SLURM_JOB_ID="17", PATH="/nowhere")
    assert ran.code == 5
    assert "job 17 has ended, or Slurm does not answer" in ran.err


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_a_laptop_checks_and_plans_what_a_cluster_runs(rose: Rose, command: str) -> None:
    rose.write(CAMPAIGN)
    ran = rose(command, "campaign.yaml")
    assert (ran.code, ran.err) == (0, "")
    if command == "plan":
        assert "up to 2 at a time on the cores of a Slurm job" in ran.out


def test_a_smoke_run_needs_no_job(rose: Rose) -> None:
    rose.write(CAMPAIGN)
    ran = rose("run", "campaign.yaml", "--smoke")
    assert ran.code == 0
    assert ran.err.startswith("the smoke run uses the local engine, on this machine: no srun around tasks")
