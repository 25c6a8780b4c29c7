"""The command line and environment of an `srun`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.engine.base import NodeShare, Place, Resources, TaskRequest
from rose_cli.engine.slurm.srun import StepFiles, passed_on, srun_environment, srun_words

if TYPE_CHECKING:
    from pathlib import Path


def words(tmp_path: Path, place: Place, resources: Resources, ranks: int = 1) -> list[str]:
    files = StepFiles.of(tmp_path, "7", "run-1-2", 1, None, ())
    out, err = tmp_path / "out", tmp_path / "err"
    request = TaskRequest("a/b 1", ("prog",), {}, tmp_path, out, err, resources=resources, ranks=ranks)
    return srun_words(files, 3, request, place, 1, outputs=(5, 6), argv=("prog",), shielded=())


def test_ranks_on_several_nodes_are_where_rose_counted_them(tmp_path: Path) -> None:
    place = Place(nodes=(NodeShare("n1", 1), NodeShare("n2", 2)))
    found = words(tmp_path, place, Resources(cores=6, gpus=3, memory_mb=300), ranks=3)
    expected = {
        "--nodes=2", "--ntasks=3", "--cpus-per-task=2", "--nodelist=n1,n2,n2", "--distribution=arbitrary", "--mem=200",
        "--gpus-per-task=1",
    }  # fmt: skip
    assert expected <= set(found)


def test_a_task_without_gpus_and_memory_leaves_them_to_the_others(tmp_path: Path) -> None:
    found = words(tmp_path, Place(nodes=(NodeShare("n1", 1),)), Resources())
    assert {"--nodes=1", "--ntasks=1", "--nodelist=n1", "--mem=0", "--gres=none"} <= set(found)
    assert next(word for word in found if word.startswith("--job-name=")).endswith(".1.3-a-b-1")


def test_no_word_of_a_program_is_a_lone_colon(tmp_path: Path) -> None:
    """Which `srun` takes for the start of another component of the job, even behind the program."""
    files = StepFiles.of(tmp_path, "7", "run-1-2", 1, None, ())
    request = TaskRequest("uid", ("prog", ":"), {}, tmp_path, tmp_path / "out", tmp_path / "err")
    place = Place(nodes=(NodeShare("n1", 1),))
    argv = ("prog", "a", ":", "")
    found = srun_words(files, 3, request, place, 1, outputs=(5, 6), argv=argv, shielded=())
    assert found[-5:] == ["dots", ".prog", ".a", ".:", "."]


def test_what_srun_reads_as_options_does_not_change_ours(tmp_path: Path) -> None:
    files = StepFiles.of(tmp_path, "7", "run-1-2", 1, None, ())
    base = {"SLURM_LABELIO": "1", "SLURM_CONF": "c", "SLURM_NTASKS": "4", "PATH": "p"}
    own = {"SLURM_HINT": "memory_bound", "LD_PRELOAD": "x.so", "SEED": "1"}
    passed, shielded = srun_environment(passed_on(base), own, files, "uid")
    assert sorted(shielded) == ["LD_PRELOAD", "SLURM_HINT"]
    assert {name for name in passed if name.startswith(("SLURM", "LD"))} == {"SLURM_CONF"}
    assert (passed["ROSE_SET_LD_PRELOAD"], passed["SEED"]) == ("x.so", "1")
