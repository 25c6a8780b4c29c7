"""A campaign that a program makes of a dictionary, and values that it sets while a run is going or at rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import rose_cli
from rose_cli.journal import events as e
from tests.conftest import PATIENCE, REPOSITORY

if TYPE_CHECKING:
    from tests.conftest import Rose

CAMPAIGN: dict[str, Any] = {
    "max_iter": np.int64(2),
    "tasks": {"work": {"executable": ["echo", Path("{{}}"), "{iteration}"], "options": {"--n": 1, "--rate": 1e-7}}},
    "stop": {"metric": "error", "operator": "<", "threshold": np.float64(0.05), "executable": "echo 0.5"},
    "learners": [{"name": "a"}, {"name": "b", "work": {0: {"--n": 5}, "1+": {"--n": None}}}],
}


@pytest.fixture
def folder(rose: Rose, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(rose.folder)
    return rose.folder


def options(run: rose_cli.Run, learner: str) -> list[Any]:
    return run.history(learner)["option.work.--n"]


def test_a_dictionary_is_a_campaign_whose_run_is_one_like_any_other(folder: Path) -> None:
    campaign = rose_cli.load(CAMPAIGN, name="made", set={"tasks.work.options.--rate": 0.5})
    assert (campaign.name, campaign.path) == ("made", folder / "made.py")
    assert campaign.text is not None
    run = campaign.run(output="quiet")
    assert run.path.parent == folder / "rose-runs"
    assert options(run, "a") == [1, 1]
    assert options(run, "b") == [5, None]
    assert run.history()["option.work.--rate"] == [0.5] * 4
    assert run.resume(max_iter=3, output="quiet").history()["iteration"] == [0, 1, 2] * 2
    (folder / "made.yaml").write_text(campaign.text, encoding="utf-8")
    assert rose_cli.load("made.yaml").plan.learners == rose_cli.load(CAMPAIGN, name="made").plan.learners


def test_a_run_of_a_dictionary_is_continued_by_the_command_line(folder: Path) -> None:
    run = rose_cli.load(CAMPAIGN, name="made").run(output="quiet")
    words = ["resume", run.name, "--max-iter", "3", "--set", "stop.threshold=0.04"]
    done = subprocess.run(
        [sys.executable, "-m", "rose_cli", *words],
        cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False, env={"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert run.history()["iteration"] == [0, 1, 2] * 2
    assert run.history()["threshold"][-1] == 0.04


def test_mistakes_in_a_dictionary_are_shown_in_its_text(folder: Path) -> None:
    with pytest.raises(rose_cli.CampaignError, match="the dictionary, as YAML:2:1: error") as raised:
        rose_cli.load({"max_itr": 3, **CAMPAIGN})
    assert "remove it: 'max_iter' is already there" in str(raised.value)
    assert "^^^^^^^" in str(raised.value)
    assert [each.code for each in rose_cli.problems({**CAMPAIGN, "nonesuch": 1})] == ["unknown-key"]


@pytest.mark.parametrize("name", ["a/b", "../a", "..", "a\0b", "a\nb", "x" * 300], ids=repr)
def test_a_name_that_no_file_can_have_is_refused(name: str, folder: Path) -> None:
    with pytest.raises(rose_cli.UsageError, match="cannot be the name of a campaign"):
        rose_cli.load(CAMPAIGN, name=name)


def test_arrays_and_ranges_are_lists_and_numbers_of_numpy_are_keys(folder: Path) -> None:
    learner = {"name": "a", "work": {iteration: {"--n": iteration} for iteration in np.arange(2)}}
    run = rose_cli.load({**CAMPAIGN, "learners": [learner]}).run(output="quiet")
    assert options(run, "a") == [0, 1]
    grid = {"work.--n": range(2), "work.--rate": np.array([0.5, 0.25])}
    swept = rose_cli.load({**CAMPAIGN, "learners": [{"name": "a"}], "sweep": {"grid": grid}})
    assert len(swept.plan.learners) == 4


def local(count: int) -> None:
    """Not at the top level of a module that a task can import under its own name."""


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "'tasks' cannot be set to"),
        (float("nan"), "'tasks' cannot be set to"),
        (lambda: 1, "a function of this program alone"),
        ((circle := dict[str, object]()).setdefault("itself", circle), "'tasks' cannot be set to"),
    ],
    ids=["object", "nan", "lambda", "circle"],
)
def test_what_no_campaign_file_can_have_is_refused(value: object, message: str, folder: Path) -> None:
    with pytest.raises(rose_cli.UsageError, match=message):
        rose_cli.load({**CAMPAIGN, "tasks": {"work": {"executable": value}}})


def test_a_name_is_for_a_dictionary(rose: Rose) -> None:
    with pytest.raises(rose_cli.UsageError, match="a file has its name already"):
        rose_cli.load(rose.write("{}"), name="other")


def test_a_function_of_a_module_is_named_as_in_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "made_module.py").write_text("def go(n):\n    return {'twice': 2 * n}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    import made_module  # type: ignore[import-not-found]

    tasks = {"work": {"function": made_module.go, "options": {"--n": 4}}}
    run = rose_cli.load({"max_iter": 1, "learners": 1, "tasks": tasks}).run(output="quiet")
    assert run.history()["result.twice"] == [8]


def test_values_are_set_while_a_run_is_going_and_hold_from_the_next_iteration_on(folder: Path) -> None:
    lines: list[tuple[str, ...]] = []

    def decide(state: rose_cli.Iteration) -> None:
        if state.number == 0:
            lines.append(running.set({"work.--n": 9, "max_iter": 3}, learners=[state.learner]))
            lines.append(running.set({"work.--n": 9}, learners=[state.learner]))

    running = rose_cli.load(CAMPAIGN, name="made").start(decide=decide, learners=["a"])
    run = running.wait()
    assert options(run, "a") == [1, 9, 9]
    assert any("--n: 1 → 9" in line for line in lines[0])
    assert lines[1] == (), "the run has these values already"
    assert sum(isinstance(event, e.PlanChanged) for event in running.events()) == 1


def test_values_are_set_at_rest_for_the_next_session(folder: Path) -> None:
    run = rose_cli.load(CAMPAIGN, name="made").run(output="quiet")
    assert run.set({"stop.threshold": 0.6}) != ()
    assert run.learners["a"].threshold == 0.6
    with pytest.raises(rose_cli.CampaignError, match="did you mean 'threshold'"):
        run.set({"stop.treshold": 1})
    with pytest.raises(rose_cli.UsageError, match="there is no learner 'c'"):
        run.set({"work.--n": 1}, learners=["c"])
    with pytest.raises(rose_cli.UsageError, match=r"nothing was applied(.|\n)*metric"):
        run.set({"stop.metric": "other"})
