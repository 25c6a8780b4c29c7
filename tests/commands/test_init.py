"""`rose init`: what it writes runs as it is, on the standard library alone, and nothing is ever overwritten."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, get_args

import pytest

from rose_cli.commands.init import template_names
from rose_cli.options import TemplateName
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Called, Rose

TEMPLATES = REPOSITORY / "rose_cli" / "templates"
WRITTEN = [
    ".rose-schema.json",
    *("active.py", "campaign.yaml", "check_mse.py", "sim.py", "surrogate.py", "train.py", "workspace.py"),
]
NAMES = get_args(TemplateName)


def init(rose: Rose, template: str) -> None:
    """Write a template, and a launcher that starts two ranks where the machine has none."""
    assert rose("init", "--template", template).code == 0
    rose.script('#!/bin/sh\nshift 2\nPMI_RANK=1 PMI_SIZE=2 "$@" &\nPMI_RANK=0 PMI_SIZE=2 "$@" && wait $!\n', "mpiexec")


def call(rose: Rose, *arguments: str) -> Called:
    """Call rose with that launcher; the commands of the templates need no more than what every Unix has."""
    return rose(*arguments, PATH=f"{rose.folder}:/usr/bin:/bin")


def outcome(rose: Rose, template: str) -> dict[str, Any]:
    """The learners of a full run of the template, by name."""
    init(rose, template)
    ran = call(rose, "run", "campaign.yaml", "--engine", "local", "--output", "quiet", "--run-dir", "run")
    assert ran.code == 0, ran.err
    return rose.learners("run")


def test_writes_its_files_and_says_what_to_do_next(rose: Rose) -> None:
    called = rose("init", "first")
    assert called.code == 0
    assert sorted(path.name for path in (rose.folder / "first").iterdir()) == WRITTEN
    assert called.out.endswith("next: rose run first/campaign.yaml\n")


def test_without_a_folder_it_writes_here(rose: Rose) -> None:
    assert rose("init").code == 0
    assert sorted(path.name for path in rose.folder.iterdir()) == WRITTEN


# --- every template ------------------------------------------------------------------------------------------------


def test_the_templates_are_those_that_can_be_named() -> None:
    assert template_names() == list(NAMES)


def test_the_list_tells_what_each_shows_and_needs(rose: Rose) -> None:
    called = rose("init", "--list")
    assert called.code == 0
    assert called.out == (
        "python                  A first campaign: where to measure a curve next.\n"
        "committee               Query by committee: label where models disagree.\n"
        "functions               Functions as tasks: find the lowest point of a curve.\n"
        "mpi                     A parallel program with MPI ranks; a job for Slurm.\n"
        "                        needs: an MPI launcher (mpiexec), or set ranks: 1\n"
        "reinforcement-learning  Reinforcement learning: keep a pole upright.\n"
        "shell                   Programs that are not Python, and shell lines.\n"
        "                        needs: sh, awk and sed, which every Unix has\n"
        "\n"
        "write one: rose init DIR --template NAME\n"
    )
    assert list(rose.folder.iterdir()) == []
    assert max(map(len, called.out.splitlines())) <= 80


def test_a_template_that_needs_something_says_so_before_anything_runs(rose: Rose) -> None:
    assert (
        "\nneeds: an MPI launcher (mpiexec), or set ranks: 1\nnext: rose run"
        in rose("init", "parallel", "--template", "mpi").out
    )
    rose.script("#!/bin/sh\n", "parallel/sh")
    called = rose("validate", "parallel/campaign.yaml", PATH=f"{rose.folder}/parallel")
    assert called.code == 2
    assert "2 ranks need an MPI launcher, and there is no 'mpiexec' on PATH" in called.out
    ran = rose("run", "parallel/campaign.yaml", "--set", "tasks.simulation.ranks=1", "--max-iter", "1", PATH="/nowhere")
    assert ran.code == 0, ran.err


def test_a_template_that_does_not_exist_is_named_with_the_others(rose: Rose) -> None:
    called = rose("init", "--template", "comittee")
    assert called.code == 2
    assert called.err == (
        "error: --template must be python, committee, functions, mpi, reinforcement-learning or shell, not 'comittee'\n"
        "help: did you mean 'committee'?\n"
    )


@pytest.mark.parametrize("template", NAMES)
def test_what_it_writes_has_no_mistake(rose: Rose, template: str) -> None:
    init(rose, template)
    called = call(rose, "validate", "campaign.yaml", "--format", "json")
    assert (called.code, json.loads(called.out)) == (0, [])


@pytest.mark.parametrize("template", NAMES)
def test_it_has_a_smoke_run(rose: Rose, template: str) -> None:
    init(rose, template)
    called = call(rose, "run", "--smoke", "campaign.yaml")
    assert called.code == 0, called.err
    assert not (rose.folder / "rose-runs").exists()


@pytest.mark.parametrize("template", NAMES)
def test_an_iteration_that_runs_again_gives_the_same(rose: Rose, template: str) -> None:
    init(rose, template)
    call(rose, "run", "campaign.yaml", "--max-iter", "3", "--output", "quiet", "--run-dir", "run")
    before = rose.learners("run")
    assert call(rose, "resume", "run", "--from-iteration", "1", "--output", "quiet").code == 0
    after = rose.learners("run")
    assert {name: learner["history"] for name, learner in after.items()} == {
        name: learner["history"] for name, learner in before.items()
    }


@pytest.mark.parametrize("template", NAMES)
def test_the_scripts_need_no_package(rose: Rose, template: str) -> None:
    init(rose, template)
    scripts = list(rose.folder.glob("*.py"))
    known = {*sys.stdlib_module_names, *(path.stem for path in scripts)}
    for path in scripts:
        assert _imported(path.read_text()) <= known, path


@pytest.mark.parametrize("template", NAMES)
def test_the_commands_in_its_comments_exist(rose: Rose, template: str) -> None:
    """Those at the top of the file, which a reader tries first."""
    init(rose, template)
    shown = re.findall(r"^#   rose (\w+)", (rose.folder / "campaign.yaml").read_text(), re.MULTILINE)
    assert shown
    for command in shown:
        assert rose(command, "--help").code == 0, command


def test_every_shared_script_has_several_users() -> None:
    for script in (TEMPLATES / "common").glob("*.py"):
        users = {path.parent for path in TEMPLATES.glob("*/*.py") if f"from {script.stem} import" in path.read_text()}
        assert len(users) > 1, script


def _imported(text: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
    return found


# --- what the learners of each do ----------------------------------------------------------------------------------


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
    done = {name: learner["iterations_done"] for name, learner in learners.items()}
    assert done["committee"] < done["adaptive"] < done["random"] == 12
    measured = {name: learner["result"]["measured"] for name, learner in learners.items()}
    readme = " ".join((REPOSITORY / "README.md").read_text(encoding="utf-8").split())
    assert (
        f"`committee` meets the criterion after {done['committee']} iterations and {measured['committee']} "
        "measurements, "
        f"`adaptive` after {done['adaptive']} iterations and {measured['adaptive']} measurements; "
        f"`random` has not met it after {done['random']} iterations."
    ) in readme
    for learner in learners.values():
        assert learner["metric_value"] < learner["history"][0] / 10


def test_functions_find_the_lowest_point_with_fewer_measurements_than_their_baseline(rose: Rose) -> None:
    learners = outcome(rose, "functions")
    assert {name: learner["stop_reason"] for name, learner in learners.items()} == {
        "halve": "criterion_met",
        "grow": "criterion_met",
        "random": "max_iter",
    }
    measured = {name: learner["result"]["measurements"] for name, learner in learners.items()}
    assert measured["halve"] < measured["grow"] < measured["random"]


def test_the_committee_needs_fewer_labels_than_its_baselines(rose: Rose) -> None:
    learners = outcome(rose, "committee")
    labels = {name: learner["result"]["labelled"] for name, learner in learners.items()}
    assert labels["committee"] < labels["single"] < labels["random"]
    assert learners["committee"]["stop_reason"] == learners["single"]["stop_reason"] == "criterion_met"
    assert {name: len(learner["replica_results"].get("training", [])) for name, learner in learners.items()} == {
        "committee": 4,
        "single": 0,
        "random": 4,
    }
    first = [learner["history"][0] for learner in learners.values() if learner["name"] != "single"]
    assert first[0] == first[1], "the same seed, so the same start"


def test_the_members_of_the_committee_differ(rose: Rose) -> None:
    init(rose, "committee")
    call(rose, "run", "campaign.yaml", "--learner", "committee", "--max-iter", "1", "--run-dir", "run")
    workspace = rose.folder / "run/learners/committee/workspace"
    members = {path.read_text() for path in workspace.glob("member*-000.json")}
    assert len(members) == 4


def test_the_policy_learns_faster_with_more_environments_and_random_ones_do_not(rose: Rose) -> None:
    learners = outcome(rose, "reinforcement-learning")
    assert {name: learner["stop_reason"] for name, learner in learners.items()} == {
        "four": "criterion_met",
        "two": "criterion_met",
        "scheduled": "criterion_met",
        "random": "max_iter",
    }
    done = {name: learner["iterations_done"] for name, learner in learners.items()}
    assert done["four"] < done["two"]
    assert done["scheduled"] < done["two"]
    assert learners["random"]["best_value"] < 270 / 2


def test_samples_where_they_vary_most_give_the_smaller_error(rose: Rose) -> None:
    learners = outcome(rose, "mpi")
    assert learners["adaptive"]["stop_reason"] == "criterion_met"
    assert learners["even"]["stop_reason"] == "max_iter"
    assert learners["adaptive"]["iterations_done"] < 8
    for learner in learners.values():
        assert learner["result"]["ranks"] == 2
        assert learner["result"]["integral"] == pytest.approx(0.0785, rel=0.02)


def test_the_ranks_share_the_samples(rose: Rose) -> None:
    """As many in total, whatever their number."""
    init(rose, "mpi")
    for ranks in (1, 2):
        run = f"run-{ranks}"
        settings = ("--set", f"tasks.simulation.ranks={ranks}", "--max-iter", "2", "--run-dir", run)
        assert call(rose, "run", "campaign.yaml", *settings).code == 0
        sums = json.loads((rose.folder / run / "learners/even/workspace/sums-001.json").read_text())["sums"]
        assert sum(count for count, _, _ in sums) == 640 + 1280


def test_the_job_starts_a_run_and_then_resumes_it(rose: Rose) -> None:
    init(rose, "mpi")
    rose.script(f'#!/bin/sh\nexec {rose.python} -m rose_cli "$@" --max-iter 1 --set tasks.simulation.ranks=1\n', "rose")
    environment = {**rose.environment, "PATH": f"{rose.folder}:{os.environ['PATH']}"}
    for _ in range(2):
        subprocess.run(["/bin/sh", "job.sh"], cwd=rose.folder, check=True, env=environment, capture_output=True)
    assert [event["event"] for event in rose.events("rose-runs/main")].count("session_started") == 1
    assert rose("resume", "main", "--max-iter", "2").code == 0
    subprocess.run(["/bin/sh", "job.sh"], cwd=rose.folder, check=True, env=environment, capture_output=True)
    assert {learner["iterations_done"] for learner in rose.learners("main").values()} == {2}


@pytest.mark.parametrize("awk", ["mawk", "gawk", "original-awk"])
def test_bisection_finds_the_angle_and_the_sweep_does_not(rose: Rose, awk: str) -> None:
    if (program := shutil.which(awk)) is None:
        pytest.skip(f"no {awk}")
    (rose.folder / "awk").symlink_to(program)
    learners = outcome(rose, "shell")
    assert learners["bisection"]["stop_reason"] == "criterion_met"
    assert learners["bisection"]["result"]["distance"] == pytest.approx(50, abs=0.05)
    assert learners["sweep"]["stop_reason"] == "max_iter"
    assert learners["sweep"]["best_value"] > 0.5


def test_it_gives_the_same_numbers_at_every_run(rose: Rose) -> None:
    rose("init")
    for run in ("one", "two"):
        rose("run", "campaign.yaml", "--max-iter", "2", "--output", "quiet", "--run-dir", run)
    one, two = rose.learners("one"), rose.learners("two")
    assert all(one[name]["history"] == two[name]["history"] for name in one)


def test_the_scripts_run_without_rose(rose: Rose, tmp_path: Path) -> None:
    """A step can be tried by hand: without rose's variables it is iteration 0."""
    rose("init")
    for name in ("sim.py", "train.py", "active.py"):
        subprocess.run([sys.executable, "-B", name], cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-B", "check_mse.py"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert 0 < float(done.stdout) < 1
    assert len(json.loads((tmp_path / "wanted-000.json").read_text())["points"]) == 3


# --- for editors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", NAMES)
def test_its_first_line_names_the_schema_that_is_written_beside(rose: Rose, template: str) -> None:
    init(rose, template)
    first = (rose.folder / "campaign.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=.rose-schema.json"
    assert (rose.folder / ".rose-schema.json").read_text(encoding="utf-8") == rose("schema").out


def test_a_schema_that_is_there_stays(rose: Rose) -> None:
    """People print it before, or have one from another rose."""
    mine = rose.write("{}\n", ".rose-schema.json")
    assert rose("init").code == 0
    assert mine.read_text() == "{}\n"


# --- what is there stays -------------------------------------------------------------------------------------------


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
