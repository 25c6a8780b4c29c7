"""docs/from-laptop-to-cluster.md: its job scripts are submitted as they stand, with campaigns as they are shown there.

Only the size of a job is changed, on the command line of `sbatch`: nodes of the tests have two cores.
"""

from __future__ import annotations

import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.pages import blocks
from tests.slurm.cluster import Ended

if TYPE_CHECKING:
    from tests.conftest import Rose
    from tests.slurm.cluster import Cluster

PAGE = "docs/from-laptop-to-cluster.md"

SIZE = ("--time=10",)

RUN = "rose-runs/main"

SUCCESS = "attempt_succeeded"

CAMPAIGN = """\
    engine: {grace: 1}
    max_iter: 3
    tasks: {s: {executable: "sh -c 'sleep 0.5; echo $ROSE_ITERATION.$ROSE_SEED.$SLURMD_NODENAME >>done'"}}
    learners: 4
"""


def script_with(text: str) -> str:
    """The job script of the page in which that occurs."""
    (found,) = (block.text for block in blocks("text") if block.page == PAGE and text in block.text)
    return found


def submit(slurm: Cluster, rose: Rose, script: str, *options: str, **variables: str) -> int:
    """As a user whose environment is activated would."""
    path = f"{rose.folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return slurm.sbatch(script, *SIZE, *options, folder=rose.folder, **{**variables, "PATH": path})


def done(rose: Rose, run: str = RUN) -> list[list[str]]:
    """What each learner has written: iteration, seed and node of every task."""
    paths = sorted(rose.folder.glob(f"{run}/learners/*/workspace/done"))
    return [path.read_text().split() for path in paths]


def finished(rose: Rose, count: int) -> bool:
    journal = rose.folder / f"{RUN}/journal.jsonl"
    return journal.exists() and journal.read_text().count('"iteration_finished"') >= count


def started_after(rose: Rose, count: int) -> bool:
    """Whether an attempt is running that started after so many events."""
    journal = rose.folder / f"{RUN}/journal.jsonl"
    return journal.exists() and '"attempt_started"' in "".join(journal.read_text().splitlines(keepends=True)[count:])


def assert_once(rose: Rose, run: str = RUN) -> None:
    """Each task has succeeded once. One that was stopped with its job may have written just before, and again later."""
    succeeded = [(event["learner"], event["iteration"]) for event in rose.events(run) if event["event"] == SUCCESS]
    assert sorted(succeeded) == [(f"learner-{learner}", iteration) for learner in range(4) for iteration in range(3)]
    written = [[entry.split(".")[0] for entry in entries] for entries in done(rose, run)]
    assert [list(dict.fromkeys(entries)) for entries in written] == [["0", "1", "2"]] * 4


def test_one_node(slurm: Cluster, rose: Rose) -> None:
    """A requeue, a job that is cancelled, the next job, and one job more; the results are those of the laptop."""
    rose.write(CAMPAIGN)
    script = script_with("--nodes=1")
    first = submit(slurm, rose, script)
    slurm.until(lambda: finished(rose, 2))
    slurm.run("scontrol", "requeue", first)
    slurm.until(lambda: finished(rose, 6))
    slurm.run("scancel", first)
    assert slurm.wait(first) == Ended("CANCELLED", 143), slurm.output(first)
    second = submit(slurm, rose, script)
    assert slurm.wait(second) == Ended("COMPLETED", 0), slurm.output(second)
    third = submit(slurm, rose, script)
    assert slurm.wait(third) == Ended("COMPLETED", 0)
    assert "has ended already" in slurm.output(third)
    assert rose.status("main")["status"] == "done"
    assert len([event for event in rose.events(RUN) if event["event"] == "session_started"]) == 3
    assert_once(rose)


def test_an_array(slurm: Cluster, rose: Rose) -> None:
    rose.write(CAMPAIGN)
    job = submit(slurm, rose, script_with("--array=0-3"))
    slurm.until(lambda: not slurm.run("squeue", "--noheader", f"--jobs={job}", check=False))
    runs = [f"rose-runs/seed-{number}" for number in range(4)]
    for run in runs:
        assert rose.status(run)["status"] == "done"
        assert_once(rose, run)
    seeds = {entry.split(".")[1] for run in runs for entries in done(rose, run) for entry in entries}
    assert len(seeds) == 16, "one for each learner of each run"
    assert sorted(re.findall(r"seed-\d", rose("list").out)) == [f"seed-{number}" for number in range(4)]


def test_a_python_program(any_slurm: Cluster, rose: Rose) -> None:
    rose.write(CAMPAIGN.replace("engine: {grace: 1}", "engine: {grace: 10}"))
    (program,) = (block.text for block in blocks("python") if block.page == PAGE)
    rose.write(program, "program.py")
    script = f"#!/bin/sh\nexec {sys.executable} program.py"
    for signals in (("--full",), ("--batch", "--signal=USR1")):
        job = submit(any_slurm, rose, script, "-c2", "--mem=500", PYTHONPATH=os.environ.get("PYTHONPATH", ""))
        before = len(rose.events(RUN)) if (rose.folder / RUN / "journal.jsonl").exists() else 0
        any_slurm.until(partial(started_after, rose, before))
        any_slurm.run("scancel", *signals, job)
        assert any_slurm.wait(job).code == 143, any_slurm.output(job)
        names = [event["event"] for event in rose.events(RUN)]
        assert names[-1] == "session_ended"
        assert "attempt_lost" not in names
    last = submit(any_slurm, rose, script, "-c2", "--mem=500")
    assert any_slurm.wait(last) == Ended("COMPLETED", 0), any_slurm.output(last)
    assert_once(rose)
    assert any_slurm.processes() == []


def test_several_nodes(slurm: Cluster, rose: Rose) -> None:
    rose.write(CAMPAIGN)
    job = submit(slurm, rose, script_with("--nodes=2"))
    assert slurm.wait(job) == Ended("COMPLETED", 0), slurm.output(job)
    assert_once(rose)
    assert {entry.split(".")[2] for entries in done(rose) for entry in entries} == {"n1", "n2"}


def test_mpi_and_gpus(slurm: Cluster, rose: Rose) -> None:
    """The ranks of one task are on both nodes; the task with a GPU sees it, the others see none."""
    (shown,) = (block.text for block in blocks("yaml part") if block.page == PAGE and "kind: slurm, mpi" in block.text)
    rose.write(yaml.safe_dump({**yaml.safe_load(shown), "max_iter": 1, "learners": 1}))
    show = 'echo "$SLURMD_NODENAME <$CUDA_VISIBLE_DEVICES> $SLURM_MPI_TYPE"'
    rose.script(f"#!/bin/sh\n{show} >solver.$SLURM_PROCID\n", "solver")
    rose.script('#!/bin/sh\necho "$*" >>modules\n', "module")
    rose.write(f"import os; os.system('''{show} >trained''')\n", "train.py")
    rose.write("", "active.py")
    job = submit(slurm, rose, script_with("--nodes=2"), "--gres=gpu:2")
    assert slurm.wait(job) == Ended("COMPLETED", 0), slurm.output(job)
    (workspace,) = rose.folder.glob(f"{RUN}/learners/*/workspace")
    ranks = sorted(path.read_text() for path in workspace.glob("solver.*"))
    assert ranks == ["n1 <> pmi2\n"] * 2 + ["n2 <> pmi2\n"] * 2
    assert re.fullmatch(r"n[12] <\d> pmi2\n", (workspace / "trained").read_text())
    assert "load gcc mpich" in (workspace / "modules").read_text()


def test_what_to_read(slurm: Cluster, rose: Rose) -> None:
    """Each command of the last table says something of a job that waits, and of one that runs."""
    rose.write(CAMPAIGN.replace("sleep 0.5", "echo working; touch done; sleep 1000"))
    hog = slurm.sbatch("sleep 1000", "-N2", "--exclusive")
    slurm.wait_for(hog, "RUNNING")
    job = submit(slurm, rose, script_with("--nodes=2"))
    slurm.until(lambda: re.search(r"Resources|Priority", slurm.run("squeue", "--job", job, "--start")))
    slurm.run("scancel", hog)
    slurm.until(lambda: len(list(rose.folder.glob(f"{RUN}/learners/*/workspace/done"))) == 4)
    assert re.search(rf"Slurm job {job}\b.* until 2", slurm.output(job))
    slurm.until(lambda: len(re.findall(rf"{job}\.\d+ ", slurm.run("squeue", "--steps", "--job", job))) == 4)
    assert "learner-0" in rose("status", "main").out
    assert "working" in rose("logs", "main", "learner-0").out
    assert (rose.folder / f"{RUN}/engine/srun-1.log").exists()
    slurm.run("scancel", job)
    assert slurm.wait(job) == Ended("CANCELLED", 143), slurm.output(job)


def test_longer_than_one_job(slurm: Cluster, rose: Rose) -> None:
    """The commands of the page, from the submission to the end."""
    rose.write(CAMPAIGN.replace("max_iter: 3", "max_iter: 10000"))
    (shown,) = (block.text for block in blocks("console") if block.page == PAGE and "rose submit" in block.text)
    submitted, status, stop = (line.removeprefix("$ ") for line in shown.splitlines() if line.startswith("$ rose"))
    (rose.folder / "rose").symlink_to(Path(sys.executable).parent / "rose")

    def call(words: str) -> str:
        path = f"{rose.folder}:{os.environ['PATH']}"
        return slurm.run("sh", "-c", f'cd "$1" && {words} 2>&1', "sh", rose.folder, PATH=path)

    assert "submitted job" in call(submitted)
    slurm.until(lambda: list(rose.folder.glob("rose-runs/*/learners/*/workspace/done")))
    said = call(status)
    assert "RUNNING" in said or "running" in said
    call(stop)
    slurm.until(lambda: not slurm.run("squeue", "--noheader"))
    assert "stopped" in call(status)
