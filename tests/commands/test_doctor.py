"""`rose doctor` as a user calls it, on this machine and on ones that lack something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import REPOSITORY, Called

if TYPE_CHECKING:
    from tests.conftest import Rose


def has_pilot() -> bool:
    try:
        return bool(version("radical.pilot"))
    except PackageNotFoundError:
        return False


needs_pilot = pytest.mark.skipif(
    not has_pilot() and "CI" not in os.environ, reason="radical.pilot is not installed: make venv says why"
)


def checks(called: Called) -> dict[tuple[str, str], dict[str, Any]]:
    return {(check["part"], check["name"]): check for check in json.loads(called.out)["checks"]}


def test_this_machine_can_run_the_local_engine(rose: Rose) -> None:
    called = rose("doctor")
    assert called.code == 0
    assert "engine local: usable\n" in called.out
    assert "engine radical.pilot: " in called.out
    assert len(called.out.splitlines()) < 40
    assert list(rose.folder.iterdir()) == []


def test_a_program_reads_the_same(rose: Rose) -> None:
    called = rose("doctor", "--format", "json")
    report = json.loads(called.out)
    assert report["engines"]["local"] is True
    assert {check["part"] for check in report["checks"]} == {"machine", "local", "radical.pilot", "runs"}
    assert set(report["checks"][0]) == {"part", "name", "verdict", "value", "hint"}
    assert checks(called)["local", "a task"]["value"].startswith("ran in ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_no_place_for_runs(rose: Rose) -> None:
    rose.folder.chmod(0o500)
    called = rose("doctor")
    rose.folder.chmod(0o700)
    assert called.code == 4
    assert "missing  folder" in called.out
    assert "--run-dir" in called.out


def test_a_folder_that_is_not_there_is_no_place_for_runs(rose: Rose) -> None:
    called = rose("doctor", "nosuch", "--format", "json")
    assert called.code == 4
    assert checks(called)["runs", "folder"]["verdict"] == "missing"


def test_the_runs_are_where_rose_puts_them(rose: Rose) -> None:
    (rose.folder / "rose-runs").mkdir()
    place = checks(rose("doctor", "--format", "json"))["runs", "folder"]["value"]
    assert place.startswith(str(rose.folder / "rose-runs"))
    assert list((rose.folder / "rose-runs").iterdir()) == []


def test_what_is_on_the_path_is_named(rose: Rose) -> None:
    tools = rose.folder / "bin"
    tools.mkdir()
    for name in ("mpiexec", "sbatch"):
        (tools / name).touch(mode=0o755)
    found = checks(rose("doctor", "--format", "json", PATH=str(tools), SLURM_JOB_ID="77"))
    assert found["machine", "MPI launcher"]["value"] == str(tools / "mpiexec")
    assert found["machine", "batch system"]["value"] == "Slurm, inside Slurm job 77"


def test_without_a_launcher_it_says_what_to_install(rose: Rose) -> None:
    launcher = checks(rose("doctor", "--format", "json", PATH=str(rose.folder)))["machine", "MPI launcher"]
    assert (launcher["verdict"], "mpirun, mpiexec" in launcher["value"]) == ("note", True)
    assert "MPICH" in launcher["hint"]


def test_an_engine_that_there_is_not(rose: Rose) -> None:
    called = rose("doctor", "--engine", "slurm")
    assert called.code == 2
    assert "there are local and radical.pilot" in called.err


def test_without_radical_pilot_it_says_how_to_install_it(rose: Rose) -> None:
    """In an environment that has all that rose needs, and no radical.pilot: this one's packages without it."""
    bare = without_radical(rose.folder / "bare")
    asked = call(bare, rose.folder, "doctor", "--engine", "radical.pilot", "--format", "json")
    assert asked.code == 5, asked.err
    package = checks(asked)["radical.pilot", "package"]
    assert package["verdict"] == "missing"
    assert "rose-cli[pilot]" in package["hint"]
    assert call(bare, rose.folder, "doctor", "--pilot").code == 5
    assert call(bare, rose.folder, "doctor").code == 0


def without_radical(place: Path) -> Path:
    """The interpreter of an environment with links to the packages of this one."""
    venv.create(place, with_pip=False, symlinks=True)
    site = next(place.glob("lib/python*/site-packages"))
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if not package.name.startswith("radical"):
            (site / package.name).symlink_to(package)
    return place / "bin" / "python"


def call(python: Path, folder: Path, *arguments: str) -> Called:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [python, "-m", "rose_cli", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return Called(done.returncode, done.stdout, done.stderr)


@needs_pilot
@pytest.mark.xdist_group("pilot")
@pytest.mark.timeout(400)
def test_a_pilot_is_really_started(rose: Rose) -> None:
    """Also where the environment is not activated, and with nothing left in the folder or at home."""
    home = rose.folder / "home"
    home.mkdir()
    path = os.pathsep.join(
        part for part in os.environ["PATH"].split(os.pathsep) if Path(part) != Path(sys.executable).parent
    )
    called = rose("doctor", "--pilot", "--format", "json", timeout_seconds=380, HOME=str(home), PATH=path)
    assert called.code == 0, called.out
    assert json.loads(called.out)["engines"] == {"local": True, "radical.pilot": True}
    assert checks(called)["radical.pilot", "a task"]["value"].startswith("ran in ")
    assert "starting a pilot" in called.err
    assert [path.name for path in rose.folder.iterdir()] == ["home"]
