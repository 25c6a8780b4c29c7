"""`rose doctor`: what it says of a machine is what the machine has, and its exit code is to be relied on."""

from __future__ import annotations

import json
import os
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.commands.doctor import SCRIPTS, folder, installation, launcher_checks, mpi_launcher, try_engine
from rose_cli.engine.base import Capacity
from rose_cli.engine.local import LocalEngine

if TYPE_CHECKING:
    from tests.conftest import Rose

LOCAL_WITH_PROJECTS = (
    '{"localhost": {"resource_manager": "FORK", "schemas": {"local": {}}, "mandatory_args": ["project"]}}'
)

needs_pilot = pytest.mark.skipif(
    find_spec("radical") is None and not os.environ.get("CI"),
    reason="radical.pilot is not installed: `make test` adds it",
)


def sections(rose: Rose, *options: str, code: int = 0, **variables: str) -> dict[str, dict[str, Any]]:
    """What it reports, by section and by the name of the check."""
    called = rose("doctor", "--format", "json", *options, **variables)
    assert called.code == code, called.err
    report = json.loads(called.out)
    assert {tuple(each) for each in report} == {("section", "usable", "checks")}
    assert {tuple(check) for each in report for check in each["checks"]} == {("name", "verdict", "detail", "hint")}
    return {each["section"]: {check["name"]: check for check in each["checks"]} for each in report}


def program(rose: Rose, text: str, name: str) -> str:
    """A program alone in a folder; gives a PATH that has it, `sh`, and not what else this machine has."""
    (rose.folder / "bin").mkdir(exist_ok=True)
    rose.script(f"#!/bin/sh\n{text}\n", f"bin/{name}")
    shell = rose.folder / "bin" / "sh"
    if not shell.exists():
        shell.symlink_to("/bin/sh")
    return str(rose.folder / "bin")


def test_a_usable_machine_is_said_to_be_usable(rose: Rose) -> None:
    called = rose("doctor")
    assert called.code == 0, called.out
    assert "this machine: usable\n" in called.out
    assert "engine local: usable\n" in called.out
    assert "missing" not in called.out.partition("engine radical.pilot")[0]


def test_it_leaves_nothing_behind(rose: Rose) -> None:
    assert rose("doctor", TMPDIR=str(rose.folder), HOME=str(rose.folder)).code == 0
    assert list(rose.folder.iterdir()) == []


def test_the_local_engine_really_runs_a_task(rose: Rose) -> None:
    """Without a shell on PATH there is none to be run, and that is an engine which does not work: exit code 5."""
    found = sections(rose, code=5, PATH=str(rose.folder), VIRTUAL_ENV="set")
    assert found["engine local"]["a task"]["verdict"] == "missing"
    assert "'sh'" in found["engine local"]["a task"]["detail"]


def test_a_task_that_says_something_else_is_not_taken_for_a_success(rose: Rose) -> None:
    path = program(rose, "exit 0", "mpiexec")
    (rose.folder / "bin" / "sh").unlink()
    rose.script(f"#!{sys.executable}\nprint('hello')\n", "bin/sh")
    found = sections(rose, code=5, PATH=path, VIRTUAL_ENV="set")
    assert "printed 'hello'" in found["engine local"]["a task"]["detail"]


def test_an_engine_that_cannot_start_says_why_and_its_folder_stays_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(_: Path) -> LocalEngine:
        place = tmp_path / "nowhere"
        return LocalEngine(capacity=Capacity(1), run_id="x", session=1, directory=place, base_environment={})

    (tmp_path / "nowhere").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for keep in (False, True):
        check = try_engine(nowhere, {"PATH": os.defpath}, keep=keep)
        assert check.verdict == "missing"
        assert str(tmp_path) in check.detail
        kept = list(tmp_path.glob("rose-doctor-*"))
        assert check.hint == (f"its files are in '{kept[0]}'" if keep else None)
        assert len(kept) == keep


@needs_pilot
def test_a_pilot_that_is_asked_for_and_cannot_be_had_is_exit_code_5(rose: Rose) -> None:
    """Here the user's own description of this machine wants a project, which the trial has none of."""
    configs = rose.folder / ".radical" / "pilot" / "configs"
    configs.mkdir(parents=True)
    (configs / "resource_local.json").write_text(LOCAL_WITH_PROJECTS)
    check = sections(rose, "--pilot", code=5, HOME=str(rose.folder))["engine radical.pilot"]["a task"]
    assert check["verdict"] == "missing"
    assert "project" in check["detail"]


@needs_pilot
@pytest.mark.xdist_group("pilot")
def test_a_pilot_is_really_started_and_runs_a_task(rose: Rose) -> None:
    check = sections(rose, "--pilot", TMPDIR=str(rose.folder))["engine radical.pilot"]["a task"]
    assert check["verdict"] == "ok"
    assert check["detail"].startswith("ran: ")
    assert list(rose.folder.iterdir()) == [], "nothing is left behind"


def test_a_folder_where_nothing_can_be_written() -> None:
    """Not even root can make a folder in /proc."""
    found = folder(Path("/proc/self"))
    assert not found.usable
    assert "no directory can be created" in found.checks[0].detail
    assert found.checks[0].hint


def test_gpus_are_counted_and_named(rose: Rose) -> None:
    path = program(rose, "echo 'GPU 0: A100 (UUID: GPU-a)'; echo 'GPU 1: A100 (UUID: GPU-b)'", "nvidia-smi")
    check = sections(rose, PATH=path, VIRTUAL_ENV="set")["this machine"]["GPUs"]
    assert check["detail"] == "2"
    assert "gpus: 2" in check["hint"]


def test_a_driver_that_does_not_work_is_a_warning(rose: Rose) -> None:
    path = program(rose, "echo 'Driver mismatch'; exit 9", "nvidia-smi")
    check = sections(rose, PATH=path, VIRTUAL_ENV="set")["this machine"]["GPUs"]
    assert (check["verdict"], "Driver mismatch" in check["detail"]) == ("warn", True)


def test_no_launcher_is_a_warning(rose: Rose) -> None:
    check = mpi_launcher({"PATH": str(rose.folder)})
    assert check.verdict == "warn"
    assert "mpiexec, mpirun, srun" in check.detail


@pytest.mark.skipif(os.geteuid() != 0, reason="it is root that Open MPI refuses")
def test_open_mpi_refuses_root(rose: Rose) -> None:
    path = program(rose, "echo 'mpiexec (OpenRTE) 4.1.4'", "mpiexec")
    assert mpi_launcher({"PATH": path}).verdict == "warn"
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    assert mpi_launcher({"PATH": path, **allowed}).verdict == "ok"


def test_another_launcher_takes_root(rose: Rose) -> None:
    path = program(rose, "echo 'HYDRA build details:'", "mpiexec")
    assert mpi_launcher({"PATH": path}).verdict == "ok"


def test_radical_pilot_is_reported_as_it_is_installed(rose: Rose) -> None:
    found = sections(rose)["engine radical.pilot"]
    try:
        installed = version("radical.pilot")
    except PackageNotFoundError:
        assert found["radical.pilot"]["detail"] == "not installed"
        assert "rose-cli[pilot]" in found["radical.pilot"]["hint"]
    else:
        assert found["radical.pilot"]["detail"] == installed
        assert {check["verdict"] for check in found.values()} <= {"ok", "warn"}


@needs_pilot
def test_scripts_that_are_not_beside_the_interpreter_are_named(tmp_path: Path) -> None:
    (tmp_path / SCRIPTS[0]).touch(mode=0o755)
    scripts = next(check for check in installation(tmp_path) if check.name == "its scripts")
    assert scripts.verdict == "missing"
    assert SCRIPTS[0] not in scripts.detail
    assert SCRIPTS[1] in scripts.detail


def test_a_batch_system_is_seen_by_its_program(rose: Rose) -> None:
    path = program(rose, "exit 0", "sbatch")
    batch = launcher_checks({"PATH": path})[1]
    assert batch.detail == "Slurm (sbatch)"


def test_what_the_slurm_engine_and_submit_need_is_said_where_there_is_slurm(rose: Rose) -> None:
    path = f"{program(rose, 'exit 1', 'srun')}:{os.environ['PATH']}"
    program(rose, "exit 1", "sbatch")
    there = {"PATH": path, "VIRTUAL_ENV": "set"}
    outside = sections(rose, code=0, **there)["jobs"]
    assert outside["engine slurm"]["hint"] == "`rose submit FILE --engine slurm`, or a script for sbatch"
    is_there = find_spec("psij") is not None
    assert outside["rose submit"]["verdict"] == ("ok" if is_there else "warn")
    assert outside["rose submit"]["hint"] == (None if is_there else "pip install 'rose-cli[submit]'")
    there |= {"SLURM_JOB_ID": "4", "SLURM_JOB_NODELIST": "n1", "SLURMD_NODENAME": "n1"}
    answers = {
        "echo 4 RUNNING 2099-01-01T00:00:00 0 n1": ("ok", "tasks can be steps of this job"),
        "echo 4 TIMEOUT 2020-01-01T00:00:00 0 n1": ("warn", "Slurm job 4 is over: TIMEOUT"),
        "echo 'Unable to contact slurm controller' >&2; exit 1": ("warn", "Slurm does not answer"),
    }
    for answer, expected in answers.items():
        program(rose, answer, "squeue")
        inside = sections(rose, code=0, **there)["jobs"]["engine slurm"]
        assert (inside["verdict"], inside["detail"]) == expected


def test_without_a_batch_system_nothing_is_said_of_jobs(rose: Rose) -> None:
    assert "jobs" not in sections(rose, code=0, PATH=program(rose, "exit 0", "true"), VIRTUAL_ENV="set")


# --- in a batch job ------------------------------------------------------------------------------------------------

ON_NODE = {"SLURM_JOB_ID": "4", "SLURM_JOB_NODELIST": "n[1-2]", "SLURMD_NODENAME": "n1", "SLURM_CPUS_ON_NODE": "1"}


def in_job(rose: Rose, answer: str, **variables: str) -> dict[str, dict[str, Any]]:
    """The report where `squeue` answers so."""
    path = f"{program(rose, answer, 'squeue')}:{os.environ['PATH']}"
    return sections(rose, code=0, PATH=path, VIRTUAL_ENV="set", **variables)


def test_outside_a_job_nothing_is_said_of_one(rose: Rose) -> None:
    assert "batch job" not in sections(rose)


def test_the_job_its_place_and_its_end_are_shown(rose: Rose) -> None:
    found = in_job(rose, "echo '4 RUNNING 2027-01-15T08:00:00 0 n[1-2]'", **ON_NODE)
    checks = found["batch job"]
    assert [(name, check["verdict"]) for name, check in checks.items()] == [("job", "ok"), ("time", "ok")]
    assert checks["job"]["detail"] == "Slurm job 4 on n1, one of 2 nodes"
    assert re.fullmatch(r"until 2027-01-1\d \d\d:\d\d:00 \(squeue\)", checks["time"]["detail"])
    there = os.cpu_count() or 1
    limited = f" of {there}: limited by SLURM_CPUS_ON_NODE" if there > 1 else ""
    assert found["this machine"]["cores"]["detail"] == f"1{limited}"


def test_the_nodes_of_a_job_are_shown_with_what_it_has_of_each(rose: Rose) -> None:
    program(rose, "exit 1", "scontrol")
    several = {**ON_NODE, "SLURM_JOB_CPUS_PER_NODE": "4,1", "SLURM_MEM_PER_NODE": "2048"}
    check = in_job(rose, "echo '4 RUNNING NONE 0 n[1-2]'", **several)["batch job"]["nodes"]
    assert check["detail"] == "n1 4 cores, 2.0 GB; n2 1 core, 2.0 GB"
    assert check["hint"] == "`engine: slurm` runs tasks on all of them"


def test_an_unlimited_job_has_no_end(rose: Rose) -> None:
    found = in_job(rose, "echo '4 RUNNING NONE 0 n[1-2]'", **ON_NODE)
    assert found["batch job"]["time"]["detail"] == "no time limit"


def test_an_end_that_is_not_told_is_a_warning(rose: Rose) -> None:
    check = in_job(rose, "exit 1", **ON_NODE)["batch job"]["time"]
    assert (check["verdict"], check["detail"]) == ("warn", "unknown: squeue does not tell")
    assert check["hint"] == "set `limits.wall_time`"


def test_a_job_that_has_ended_is_a_warning(rose: Rose) -> None:
    check = in_job(rose, "echo '4 COMPLETED 2026-11-29T08:00:00 0 n1'", **ON_NODE)["batch job"]["job"]
    assert (check["verdict"], check["detail"]) == ("warn", "Slurm job 4 is ignored: it has ended (COMPLETED)")


def test_a_shell_of_salloc_and_several_copies_are_warnings(rose: Rose) -> None:
    salloc = {"SLURM_JOB_ID": "4", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_CPUS_PER_NODE": "2(x2)"}
    checks = in_job(rose, "echo '4 RUNNING NONE 0 n[1-2]'", SLURM_STEP_NUM_TASKS="2", **salloc)["batch job"]
    assert [checks[name]["verdict"] for name in ("job", "processes")] == ["warn", "warn"]
    assert "is not a node of Slurm job 4 (n1, n2)" in checks["job"]["detail"]
    assert "srun -N1 -n1 -c2 rose …" in checks["job"]["hint"]
    assert "srun has started rose 2 times" in checks["processes"]["detail"]
