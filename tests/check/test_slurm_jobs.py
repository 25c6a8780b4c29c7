"""Campaigns for the Slurm engine, checked inside a job and where there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rose_cli.config.document import parse_document, with_engine
from rose_cli.engine.base import Capacity, NodeCapacity
from tests.check.fixture import TARGET, Campaigns, shown

JOB = Capacity(
    cores=7,
    gpus=("0", "1"),
    memory_mb=6000,
    nodes=(NodeCapacity("n1", 4, 2, 4000), NodeCapacity("n2", 3, 0, 2000)),
)
"""The Slurm job around rose."""

CAMPAIGN = """\
engine: {engine}
max_iter: 3
learners: 1
tasks:
  a: {{executable: {executable}{resources}}}
"""


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Campaigns:
    made = Campaigns.set_up(tmp_path_factory.mktemp("inside"))
    return replace(made, target=replace(TARGET, find_nodes=lambda: JOB))


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Campaigns:
    return Campaigns.set_up(tmp_path_factory.mktemp("outside"))


def campaign(resources: str = "", engine: str = "slurm", executable: str = "python sim.py") -> str:
    return CAMPAIGN.format(engine=engine, executable=executable, resources=f", {resources}" if resources else "")


@pytest.mark.parametrize(
    ("resources", "message", "at"),
    [
        ("ranks: 8", "requests 8 cores, but the engine has 7", "8"),
        ("cores_per_rank: 5", "requests 5 cores on one node, but no node of the job has more than 4", "5"),
        (
            "ranks: 2, gpus_per_rank: 3",
            "requests 6 GPUs, but the engine has 2",
            "3",
        ),
        (
            "mem_per_rank: 5000",
            "requests 5000 MB of memory on one node, but no node of the job has more than 4000",
            "5000",
        ),
        (
            "ranks: 2, mem_per_rank: 2500",
            "requests 2 ranks, but the nodes of the job have room for 1 of them",
            "2",
        ),
        (
            "ranks: 2, cores_per_rank: 3, gpus_per_rank: 1",
            "requests 2 ranks, but the nodes of the job have room for 1 of them",
            "2",
        ),
    ],
)
def test_a_task_that_never_fits_into_the_job_is_an_error_with_its_place(
    inside: Campaigns, resources: str, message: str, at: str
) -> None:
    checked = inside.check_text(campaign(resources))
    (found,) = checked.diagnostics
    assert (found.code, found.message, found.is_error) == ("too-many-resources", message, True)
    assert found.span is not None
    assert checked.text.splitlines()[4][found.span.column - 1 : found.span.end_column - 1] == at


@pytest.mark.parametrize(
    "resources",
    ["ranks: 7", "ranks: 2, cores_per_rank: 3", "ranks: 2, gpus_per_rank: 1", "cores_per_rank: 4, mem_per_rank: 4000"],
)
def test_what_fits_on_the_nodes_is_right(inside: Campaigns, resources: str) -> None:
    assert not inside.check_text(campaign(resources)).diagnostics


def test_a_shell_line_starts_its_ranks_on_one_node(inside: Campaigns) -> None:
    text = campaign("shell: true, ranks: 5", executable="mpirun ./solver")
    messages = [each.message for each in inside.check_text(text).diagnostics if each.is_error]
    assert messages == ["requests 5 cores on one node, but no node of the job has more than 4"]


@pytest.mark.parametrize("resources", ["ranks: 800", "cores_per_rank: 500", "gpus_per_rank: 9", "mem_per_rank: 99999"])
def test_without_a_job_nobody_knows_what_it_will_have(outside: Campaigns, resources: str) -> None:
    checked = outside.check_text(campaign(resources))
    assert not checked.diagnostics
    assert checked.plan is not None


def test_limits_of_the_campaign_itself_count_everywhere(outside: Campaigns, inside: Campaigns) -> None:
    text = campaign("ranks: 5", engine="{kind: slurm, cores: 4, gpus: 0}")
    for campaigns in (outside, inside):
        messages = [each.message for each in campaigns.check_text(text).diagnostics]
        assert messages == ["requests 5 cores, but the engine has 4"]


def test_more_than_the_job_has_is_a_warning(inside: Campaigns) -> None:
    checked = inside.check_text(campaign(engine="{kind: slurm, cores: 8, gpus: 3}"))
    assert [(each.message, each.is_error) for each in checked.diagnostics] == [
        ("the engine is set to 8 cores, but the Slurm job has 7: tasks get no more", False),
        ("the engine is set to 3 GPUs, but the Slurm job has 2: tasks get no more", False),
    ]


def test_ranks_need_no_launcher(inside: Campaigns) -> None:
    assert not inside.check_text(campaign("ranks: 2")).diagnostics


def test_nodes_that_are_given_stand_for_a_job(outside: Campaigns) -> None:
    at_submission = replace(outside, target=replace(TARGET, machine=JOB))
    assert "no node of the job" in shown(at_submission.check_text(campaign("cores_per_rank: 5")))


def test_a_smoke_run_uses_the_job_if_there_is_one(inside: Campaigns, outside: Campaigns) -> None:
    text = campaign("ranks: 2, cores_per_rank: 3", engine="{kind: slurm, mpi: pmix}")
    assert inside.check_text(text).good_smoke_plan.engine.kind == "slurm"
    here = outside.check_text(text).good_smoke_plan.engine
    assert (here.kind, here.cores, here.slurm) == ("local", 6, None)


@pytest.mark.parametrize(
    ("before", "to", "after"),
    [
        ("{kind: local, cores: 4, gpus: [0], grace: 9s}", "slurm", {"kind": "slurm", "grace": "9s"}),
        (
            "{kind: slurm, cores: 4, gpus: 2, mpi: pmix, srun: [--foo], nodes: 2, queue: q}",
            "local",
            {"kind": "local"},
        ),
        (
            "{kind: slurm, cores: 4, mpi: pmix, nodes: 2, queue: q, runtime: 30}",
            "radical.pilot",
            {"kind": "radical.pilot", "cores": 4, "nodes": 2, "queue": "q", "runtime": 30},
        ),
        (
            "{kind: radical.pilot, resource: a.b, cores: 4, nodes: 2, queue: q, project: p, restarts: 1}",
            "slurm",
            {"kind": "slurm", "nodes": 2, "queue": "q", "project": "p"},
        ),
        ("local", "slurm", "slurm"),
    ],
)
def test_what_stays_of_an_engine_whose_kind_is_changed(before: str, to: str, after: object) -> None:
    document = parse_document(f"engine: {before}\n", "campaign.yaml")
    changed = with_engine(document, to, f"--engine {to}")
    assert isinstance(changed.data, dict)
    assert changed.data["engine"] == after
