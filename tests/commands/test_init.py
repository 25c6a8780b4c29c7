"""`rose init`: what it writes runs as it is, on the standard library alone, and nothing is ever overwritten."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose

TEMPLATES = REPOSITORY / "rose_cli" / "templates"
WRITTEN = ["active.py", "campaign.yaml", "check_mse.py", "sim.py", "surrogate.py", "train.py", "workspace.py"]
SCRIPTS = [name for name in WRITTEN if name.endswith(".py")]


def test_writes_its_files_and_says_what_to_do_next(rose: Rose) -> None:
    called = rose("init", "first")
    assert called.code == 0
    assert sorted(path.name for path in (rose.folder / "first").iterdir()) == WRITTEN
    assert called.out.endswith("next: rose run first/campaign.yaml\n")


def test_without_a_folder_it_writes_here(rose: Rose) -> None:
    assert rose("init").code == 0
    assert sorted(path.name for path in rose.folder.iterdir()) == WRITTEN


def test_what_it_writes_has_no_mistake(rose: Rose) -> None:
    rose("init")
    assert rose.json("validate", "campaign.yaml", "--format", "json") == []


def test_it_runs_as_it_is_and_learns(rose: Rose) -> None:
    """Where no `python` is on PATH, too: the tasks run with the interpreter of rose."""
    rose("init")
    ran = rose("run", "campaign.yaml", "--output", "quiet", "--run-dir", "run", PATH="/nowhere")
    assert ran.code == 0, ran.err
    learners = rose.learners("run")
    assert {name: learner["stop_reason"] for name, learner in learners.items()} == {
        "committee": "criterion_met",
        "adaptive": "criterion_met",
        "random": "max_iter",
    }
    assert learners["committee"]["iterations_done"] < learners["adaptive"]["iterations_done"] < 12
    for learner in learners.values():
        assert learner["metric_value"] < learner["history"][0] / 10


def test_it_gives_the_same_numbers_at_every_run(rose: Rose) -> None:
    rose("init")
    for run in ("one", "two"):
        rose("run", "campaign.yaml", "--max-iter", "2", "--output", "quiet", "--run-dir", run)
    one, two = rose.learners("one"), rose.learners("two")
    assert all(one[name]["history"] == two[name]["history"] for name in one)


def test_an_iteration_that_runs_again_gives_the_same(rose: Rose) -> None:
    rose("init")
    rose("run", "campaign.yaml", "--max-iter", "3", "--output", "quiet", "--run-dir", "run")
    before = rose.learners("run")
    assert rose("resume", "run", "--from-iteration", "1", "--output", "quiet").code == 0
    after = rose.learners("run")
    assert {name: learner["history"] for name, learner in after.items()} == {
        name: learner["history"] for name, learner in before.items()
    }


def test_it_has_a_smoke_run(rose: Rose) -> None:
    rose("init")
    assert rose("run", "--smoke", "campaign.yaml").code == 0
    assert not (rose.folder / "rose-runs").exists()


def test_overwrites_nothing(rose: Rose) -> None:
    mine = rose.write("# mine\n", "sim.py")
    called = rose("init")
    assert called.code == 2
    assert "already has sim.py" in called.err
    assert mine.read_text() == "# mine\n"
    assert [path.name for path in rose.folder.iterdir()] == ["sim.py"]


def test_a_folder_that_cannot_be_made_is_said(rose: Rose) -> None:
    rose.write("", "file")
    called = rose("init", "file/below")
    assert called.code == 2
    assert "cannot write to 'file/below'" in called.err


def test_the_scripts_need_no_package() -> None:
    known = {*sys.stdlib_module_names, *(name.removesuffix(".py") for name in SCRIPTS)}
    for name in SCRIPTS:
        text = (TEMPLATES / name).read_text()
        assert _imported(text) <= known, name


def _imported(text: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
    return found


def test_the_scripts_run_without_rose(tmp_path: Path) -> None:
    """A step can be tried by hand: without rose's variables it is iteration 0."""
    for name in ("sim.py", "train.py", "active.py"):
        subprocess.run([sys.executable, "-B", TEMPLATES / name], cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-B", TEMPLATES / "check_mse.py"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert 0 < float(done.stdout) < 1
    assert len(json.loads((tmp_path / "wanted-000.json").read_text())["points"]) == 3
