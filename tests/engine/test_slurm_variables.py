"""A Slurm job as the environment of its processes describes it: recorded with Slurm 22.05."""

from __future__ import annotations

import pytest

from rose_cli.engine.slurm_variables import MOST_NODES, SlurmJob, current_job, node_names

BATCH = {
    "SLURMD_NODENAME": "n1",
    "SLURM_CLUSTER_NAME": "rosetest",
    "SLURM_JOBID": "3",
    "SLURM_JOB_ID": "3",
    "SLURM_JOB_NODELIST": "n[1-2]",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "0",
}
STEP = BATCH | {"SLURM_STEP_ID": "0", "SLURM_STEPID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}
SALLOC = {"SLURM_JOB_ID": "2", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_CLUSTER_NAME": "rosetest"}


def test_the_environment_of_a_batch_script_describes_its_job() -> None:
    assert current_job(BATCH) == SlurmJob("3", "rosetest", node="n1", nodes=("n1", "n2"))
    assert current_job({"SLURM_JOBID": "3"}) == SlurmJob("3")  # before Slurm 2.6


def test_the_environment_of_a_step_names_the_step_and_its_processes() -> None:
    assert current_job(STEP) == SlurmJob("3", "rosetest", node="n1", nodes=("n1", "n2"), step_id="0", tasks=2, rank=1)


def test_the_shell_of_an_interactive_job_is_not_a_step_of_srun() -> None:
    job = current_job(STEP | {"SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1"})
    assert job is not None
    assert (job.step_id, job.tasks, job.is_batch_step) == (None, 1, True)


def test_the_shell_of_salloc_is_on_no_node_of_its_job() -> None:
    job = current_job(SALLOC)
    assert job is not None
    assert (job.node, job.nodes) == (None, ("n1", "n2"))


def test_the_node_of_another_job_is_not_one_of_this_job() -> None:
    """`salloc` in the script of another job leaves that job's node in the environment."""
    job = current_job(SALLOC | {"SLURMD_NODENAME": "n7"})
    assert job is not None
    assert job.node is None


def test_restarts_arrays_and_the_end_are_read() -> None:
    job = current_job(
        BATCH
        | {
            "SLURM_RESTART_COUNT": "2",
            "SLURM_ARRAY_JOB_ID": "1",
            "SLURM_ARRAY_TASK_ID": "4",
            "SLURM_JOB_END_TIME": "1795943560",
        }
    )
    assert job is not None
    assert (job.restarts, job.array_id, job.array_index, job.end) == (2, "1", "4", 1795943560)
    assert job.title == "Slurm job 1_4", "as squeue and scancel call it"


def test_a_job_outside_an_array_has_its_number_as_name() -> None:
    for variables in ({}, {"SLURM_ARRAY_JOB_ID": "1"}, {"SLURM_ARRAY_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "\x1b[1m"}):
        job = current_job({"SLURM_JOB_ID": "17", **variables})
        assert job is not None
        assert job.title == "Slurm job 17"


@pytest.mark.parametrize("job_id", ["", "x", "-1", "3; rm", "٣", "1" * 30])
def test_what_is_not_a_job_id_is_no_job(job_id: str) -> None:
    assert current_job({"SLURM_JOB_ID": job_id}) is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ("n1",)),
        ("n[1-3,07-09],login", ("n1", "n2", "n3", "n07", "n08", "n09", "login")),
        ("x[1-2]y[3-4]", ("x1y3", "x1y4", "x2y3", "x2y4")),
        ("a[1-2]-ib", ("a1-ib", "a2-ib")),
        ("", ()),
        ("(null)", ()),
        ("n[1-", ()),
        (f"n[1-{MOST_NODES + 1}]", ()),
        ("n[1-" + "9" * 5000 + "]", ()),
        ("n[" + "9" * 5000 + "]", ()),
        ("n[1-2]" * 30, ()),
        ("n[2-1]", ()),
        ("n[1,]", ()),
    ],
)
def test_lists_of_nodes_are_expanded(text: str, names: tuple[str, ...]) -> None:
    assert node_names(text) == names
