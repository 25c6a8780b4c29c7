"""Pilots of radical.pilot over a real Slurm: as a job of their own, and in the nodes of the job that rose runs in.

The description of the cluster and the engines are those of docs/pilots.md.

Each start of a pilot takes 20 seconds on an idle machine, so each test has several purposes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.conftest import PATIENCE, REPOSITORY, Rose, wait_until
from tests.engine.conftest import require_pilot
from tests.pages import blocks
from tests.slurm.cluster import Ended
from tests.slurm.test_page import script_with, submit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.slurm.cluster import Cluster

pytestmark = [pytest.mark.xdist_group("pilot over slurm")]

PAGE = "docs/pilots.md"

NODE = {"cores_per_node": 2, "gpus_per_node": 2, "mem_per_node": 1000}
"""A node of the tests, in radical.pilot's words."""


def resource() -> dict[str, Any]:
    """The description of a cluster that users copy from the page, with the nodes of the tests."""
    (block,) = (block for block in blocks("json") if block.page == PAGE)
    shown = json.loads(block.text)
    assert NODE.keys() <= shown["slurm"].keys()
    return {"slurm": {**shown["slurm"], **NODE}}


def engine(words: str) -> dict[str, Any]:
    """The engine on the page in which that occurs."""
    shown = [yaml.safe_load(block.text) for block in blocks("yaml part") if block.page == PAGE and words in block.text]
    (found,) = (part["engine"] for part in shown if part["engine"].get("resource") == "mycluster.slurm")
    return {**found, "runtime": 20, "grace": 1}


CAMPAIGN = """\
    engine: {engine}
    tasks:
      simulation: {{executable: ./sample.sh, ranks: 2, gpus_per_rank: 1}}
      training: {{executable: ./train.sh, cores_per_rank: 2}}
    stop: {{metric: mse, threshold: 0.5, executable: ./value.sh}}
    learners: [{{name: a}}, {{name: b, seed: 7}}]
    max_iter: 3
"""
SAMPLE = """\
    #!/bin/sh
    echo "$SLURMD_NODENAME $CUDA_VISIBLE_DEVICES" >gpus.$ROSE_ITERATION.$SLURM_PROCID
    while [ "$SLURMD_NODENAME" ] && [ $ROSE_ITERATION = 1 ] && [ ! -e "$GO" ]; do sleep 0.2; done
    [ "${SLURM_PROCID:-0}" != 0 ] || echo $ROSE_SEED.$ROSE_ITERATION >point.$ROSE_ITERATION
"""
TRAIN = """\
    #!/bin/sh
    echo "<$CUDA_VISIBLE_DEVICES>" >trained.$ROSE_ITERATION
"""
VALUE = """\
    #!/bin/sh
    cat point.* | cksum | cut -d' ' -f1
"""


@pytest.fixture
def campaign(slurm: Cluster, tmp_path: Path) -> Callable[..., Rose]:
    """A campaign beside the home of a user who has described the cluster to radical.pilot."""
    require_pilot()
    configs = tmp_path / "home/.radical/pilot/configs"
    configs.mkdir(parents=True)
    (configs / "resource_mycluster.json").write_text(json.dumps(resource()))
    (tmp_path / "c").mkdir()

    def write(words: str = "restarts: 1") -> Rose:
        rose = Rose(tmp_path / "c")
        rose.write(CAMPAIGN.format(engine=json.dumps(engine(words))))
        for text, name in ((SAMPLE, "sample.sh"), (TRAIN, "train.sh"), (VALUE, "value.sh")):
            rose.script(text, name)
        return rose

    return write


def environment(slurm: Cluster, rose: Rose) -> dict[str, str]:
    """That of a user on the login node who has called rose by its path."""
    return {
        "HOME": str(rose.folder.parent / "home"), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(REPOSITORY), "SLURM_CONF": slurm.environment["SLURM_CONF"], "GO": str(rose.folder / "go"),
    }  # fmt: skip


def start(slurm: Cluster, rose: Rose, *arguments: str) -> subprocess.Popen[bytes]:
    """Not in the terminal's group, and with INT as a terminal would send it."""
    with (rose.folder.parent / "rose.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "rose_cli", *arguments], cwd=rose.folder, env=environment(slurm, rose),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def said(rose: Rose) -> str:
    return (rose.folder.parent / "rose.log").read_text(encoding="utf-8")


def is_named(rose: Rose, words: str) -> bool:
    return words in said(rose)


def events(rose: Rose, kind: str) -> list[dict[str, Any]]:
    path = rose.folder / "r/journal.jsonl"
    return [event for event in rose.events("r") if event["event"] == kind] if path.exists() else []


def pilots(slurm: Cluster, state: str = "") -> list[int]:
    lines = [line.split() for line in slurm.run("squeue", "-h", "-o", "%A %T %j").splitlines()]
    return [int(job) for job, now, name in lines if name.startswith("rose-pilot-") and state in ("", now)]


def wait_for(rose: Rose, process: subprocess.Popen[bytes], condition: Callable[[], Any]) -> Any:
    def is_true() -> Any:
        assert process.poll() is None, f"rose ended with {process.returncode}: {said(rose)}"
        return condition()

    wait_until(is_true)
    return condition()


def histories(rose: Rose, run: str) -> dict[str, Any]:
    return {name: learner["history"] for name, learner in rose.learners(run).items()}


def test_a_pilot_that_slurm_ends_is_replaced_and_every_rank_has_its_own_gpu(
    slurm: Cluster, campaign: Callable[..., Rose]
) -> None:
    """It is ended at the limit of its job, while the ranks of both learners run: they are lost, and run again."""
    rose = campaign()
    process = start(slurm, rose, "run", "campaign.yaml", "--run-dir", "r")
    wait_for(rose, process, lambda: len(list(rose.folder.glob("r/learners/*/workspace/gpus.1.*"))) == 4)
    (job,) = pilots(slurm)
    slurm.end_within(job, 1)
    wait_for(rose, process, lambda: events(rose, "attempt_lost"))
    (rose.folder / "go").touch()
    assert process.wait(PATIENCE) == 0, said(rose)

    lost = events(rose, "attempt_lost")
    assert {event["learner"] for event in lost} == {"a", "b"}
    assert all(f"Slurm job {job} ended (TIMEOUT)" in event["reason"] for event in lost), lost
    assert not events(rose, "attempt_failed"), "lost is not failed"
    assert "starting another pilot" in said(rose)
    nodes = set()
    for workspace in rose.folder.glob("r/learners/*/workspace"):
        for iteration in range(3):
            ranks = [(workspace / f"gpus.{iteration}.{rank}").read_text().split() for rank in (0, 1)]
            assert all(gpu in ("0", "1") for _, gpu in ranks)
            assert ranks[0] != ranks[1], "each has its own, on whatever node"
            assert (workspace / f"trained.{iteration}").read_text() == "<>\n", "it has requested none"
            nodes |= {node for node, _ in ranks}
    assert nodes == {"n1", "n2"}
    assert pilots(slurm) == []
    assert list(rose.folder.glob("r/engine/*/pilot.json")) == []
    rose.write(CAMPAIGN.format(engine="{kind: local, gpus: 2}"), "local.yaml")
    called = rose("run", "local.yaml", "--run-dir", "local")
    assert called.code == 0, called.err
    assert histories(rose, "r") == histories(rose, "local")


def test_a_pilot_in_the_queue_is_named_and_goes_with_rose(slurm: Cluster, campaign: Callable[..., Rose]) -> None:
    """However rose ends: killed, interrupted, or terminated twice at once."""
    rose = campaign()
    slurm.wait_for(slurm.sbatch("sleep 1000", "-N2", "--exclusive"), "RUNNING")
    calls = [("run", "campaign.yaml", "--run-dir", "r"), ("resume", "r"), ("resume", "r")]
    for arguments, signals, code in zip(calls, ((9,), (2,), (15, 15)), (-9, 130, 143), strict=True):
        process = start(slurm, rose, *arguments)
        (job,) = wait_for(rose, process, lambda: pilots(slurm, "PENDING"))
        if signals != (9,):
            wait_for(rose, process, partial(is_named, rose, f"job {job} is queued"))
        for number in signals:
            process.send_signal(number)
        assert process.wait(PATIENCE) == code, said(rose)
        wait_until(lambda: pilots(slurm) == [])
    assert list(rose.folder.glob("r/engine/*/pilot.json")) == []


def test_a_pilot_in_the_two_nodes_of_a_job_of_the_user(slurm: Cluster, campaign: Callable[..., Rose]) -> None:
    """The first job is cancelled, and ends in order; the second one resumes the run, and uses both nodes."""
    rose = campaign("access_schema: interactive")
    script = script_with("--nodes=1").replace("--run-dir rose-runs/main", "--run-dir r")
    nodes = "--nodes=2", "--gres=gpu:2"
    variables = environment(slurm, rose)
    first = submit(slurm, rose, script, *nodes, **variables)
    wait_until(lambda: len(list(rose.folder.glob("r/learners/*/workspace/gpus.1.*"))) == 4)
    slurm.run("scancel", first)
    assert slurm.wait(first) == Ended("CANCELLED", 143), slurm.output(first)
    assert not events(rose, "attempt_failed"), slurm.output(first)
    assert slurm.processes() == []
    (rose.folder / "go").touch()
    second = submit(slurm, rose, script, *nodes, **variables)
    assert slurm.wait(second) == Ended("COMPLETED", 0), slurm.output(second)
    found = {path.read_text() for path in rose.folder.glob("r/learners/*/workspace/gpus.1.*")}
    assert found == {"n1 0\n", "n1 1\n", "n2 0\n", "n2 1\n"}
    assert list(rose.folder.glob("r/engine/*/pilot.json")) == []
