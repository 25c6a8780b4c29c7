"""A campaign of `engine: slurm` on the nodes of a real job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rose_cli.engine.slurm.allocation import allocated
from tests.slurm.cluster import ROSE, Cluster, Ended

if TYPE_CHECKING:
    from tests.conftest import Rose

CAMPAIGN = """\
engine: {kind: slurm, grace: 1}
max_iter: 1
learners: 4
tasks:
  one: {executable: sh -c "hostname >one; echo GPUs=$CUDA_VISIBLE_DEVICES; sleep 1"}
  many: {executable: sh -c "hostname; echo $SLURM_CPUS_PER_TASK $SLURM_NTASKS", ranks: 3}
  gpu: {executable: sh -c "echo GPUs=$CUDA_VISIBLE_DEVICES", gpus_per_rank: 2}
"""


def logs(rose: Rose, task: str) -> list[list[str]]:
    return [sorted(path.read_text().split()) for path in sorted(rose.folder.glob(f"r/learners/*/logs/*/{task}*.out"))]


def test_tasks_run_on_all_nodes_of_the_job_and_see_their_gpus(slurm: Cluster, rose: Rose) -> None:
    rose.write(CAMPAIGN)
    job = slurm.sbatch(f"exec {ROSE} run campaign.yaml --run-dir r", "-N2", "--exclusive", folder=rose.folder)
    assert slurm.wait(job) == Ended("COMPLETED", 0), slurm.output(job)
    places = sorted(path.read_text().strip() for path in rose.folder.glob("r/learners/*/workspace/one"))
    assert places == ["n1", "n1", "n2", "n2"], "two cores on each node"
    assert [sorted(set(lines) - {"1", "3"}) for lines in logs(rose, "many")] == [["n1", "n2"]] * 4
    assert logs(rose, "gpu") == [["GPUs=0,1"]] * 4
    assert logs(rose, "one") == [["GPUs="]] * 4
    started = rose.events("r")[1]
    assert (started["cores"], started["gpus"], started["nodes"]) == (4, 4, 2)
    said = json.loads(rose("status", "r", "--format", "json").out)
    assert (said["engine"], said["progress"]["cores"], said["progress"]["nodes"]) == ("slurm", 4, 2)


def test_the_template_with_ranks_runs_on_all_nodes_as_it_is(slurm: Cluster, rose: Rose) -> None:
    assert rose("init", "mpi", "--template", "mpi").code == 0
    script = f"cd mpi && exec {ROSE} run campaign.yaml --engine slurm --run-dir r --max-iter 1"
    job = slurm.sbatch(script, "-N2", "--exclusive", folder=rose.folder)
    assert slurm.wait(job) == Ended("COMPLETED", 0), slurm.output(job)
    assert "2 of 2 learners" in slurm.output(job) or "2 reached max_iter" in slurm.output(job)


def test_what_the_job_has_is_what_slurm_says(slurm: Cluster, rose: Rose) -> None:
    script = f"env -0 >environment; {ROSE} validate campaign.yaml; {ROSE} plan campaign.yaml; sleep 1000"
    rose.write("{engine: slurm, max_iter: 1, learners: 1, tasks: {a: {executable: 'true', cores_per_rank: 3}}}")
    job = slurm.sbatch(script, "-n3", "--mem-per-cpu=100", "--gres=gpu:1", folder=rose.folder)
    slurm.until(lambda: "hint" in slurm.output(job) or "help" in slurm.output(job))
    environment = dict(
        entry.split("=", 1) for entry in (rose.folder / "environment").read_text().split("\0") if "=" in entry
    )
    capacity = allocated({**slurm.environment, **environment})
    assert capacity is not None
    assert capacity.cores == 3
    assert sorted((node.cores, node.gpus, node.memory_mb) for node in capacity.nodes) == [(1, 1, 100), (2, 1, 200)]
    assert "requests 3 cores on one node, but no node of the job has more than 2" in slurm.output(job)
    slurm.run("scancel", str(job))
    slurm.wait(job)
    assert allocated({**slurm.environment, **environment}) is None, "the job is over"


def test_in_a_heterogeneous_job_tasks_run_on_the_nodes_of_its_first_part(slurm: Cluster, rose: Rose) -> None:
    rose.write("{engine: {kind: slurm, grace: 1}, max_iter: 2, learners: 3, tasks: {s: {executable: hostname}}}")
    size = "#SBATCH --ntasks=1 --cpus-per-task=1 --mem=200"
    script = f"#!/bin/sh\n{size}\n#SBATCH hetjob\n{size}\nexec {ROSE} run campaign.yaml --run-dir r"
    job = slurm.sbatch(script, folder=rose.folder)
    assert slurm.wait(job) == Ended("COMPLETED", 0), slurm.output(job)
    (node,) = {name for lines in logs(rose, "s") for name in lines}
    words = f"Slurm job {job} has 2 heterogeneous parts: rose uses the nodes of the first one, {node}"
    assert words in slurm.output(job)
