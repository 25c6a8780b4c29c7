"""Sweeps and pruning with real processes: edited between sessions, and killed in between."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose

RACE = """\
    max_iter: 6
    tasks: {train: {executable: "true"}}
    stop: {metric: loss, operator: "<", threshold: 0.0001, executable: "./loss.sh"}
    sweep: {grid: {train.--lr: [1, 2, 9, 8, 0.5, 7]}}
    prune: {rule: median, min_iter: 2, min_learners: 2}
    limits: {max_parallel_learners: 1}
    """

LOSS = """\
#!/bin/sh
if [ "$ROSE_LEARNER $ROSE_ITERATION" = "$KILL_AT" ] && [ ! -e "$MARK" ]; then
  touch "$MARK"
  kill -9 $PPID
  exit 1
fi
echo "${ROSE_LEARNER#*=} $ROSE_ITERATION" | awk '{print $1 / ($2 + 1)}'
"""


@pytest.fixture
def race(rose: Rose) -> Rose:
    """One learner after the other, so that who is pruned is the same in each run."""
    rose.script(LOSS, "loss.sh")
    rose.write(RACE)
    return rose


def history(rose: Rose, run: str) -> dict[str, tuple[Any, ...]]:
    events = rose.events(run)
    ended = {
        each["learner"]: (each["reason"], each.get("message")) for each in events if each["event"] == "learner_stopped"
    }
    values: dict[str, list[float]] = {}
    for each in events:
        if each["event"] == "iteration_finished":
            values.setdefault(each["learner"], []).append(each["value"])
    return {name: (*end, *values.get(name, ())) for name, end in ended.items()}


@pytest.mark.parametrize("place", ["lr=9 0", "lr=9 1", "lr=8 1", "lr=0.5 5"])
def test_a_race_prunes_those_behind_and_a_resume_keeps_it(race: Rose, place: str) -> None:
    assert race("run", "campaign.yaml", "--run-dir", "whole").code == 0
    whole = history(race, "whole")
    assert {name: entry[0] for name, entry in whole.items()} == {
        "lr=1": "max_iter", "lr=2": "max_iter", "lr=9": "pruned", "lr=8": "pruned", "lr=0.5": "max_iter",
        "lr=7": "pruned",
    }  # fmt: skip
    assert whole["lr=9"][1:] == (
        "loss 4.5 after 2 iterations is behind 1.125, the median of the averages of 2 other learners",
        9.0,
        4.5,
    )
    killed = race("run", "campaign.yaml", "--run-dir", "r", KILL_AT=place, MARK=str(race.folder / "mark"))
    assert killed.code == -signal.SIGKILL
    assert race("resume", "r").code == 0
    assert history(race, "r") == whole
    assert race("resume", "r").code == 0
    assert history(race, "r") == whole, "and nothing is decided again"
    pruned = race.learners("r")["lr=9"]
    assert (pruned["status"], pruned["stop_reason"]) == ("done", "pruned")
    table = race("status", "r").out
    assert "◦ lr=9" in table
    assert "pruned" in table


WATCHED = """
    max_iter: 6
    tasks: {train: {executable: "./gain.sh"}}
    stop:
      any:
        - {metric: loss, operator: "<", threshold: 0.0001, executable: "echo 1"}
        - {metric: gain, operator: ">", value: result.gain}
    sweep: {grid: {train.--lr: [9, 8, 1, 2, 9.5, 7]}}
    prune: {rule: median, metric: gain, min_iter: 2, min_learners: 2}
    limits: {max_parallel_learners: 1}
    """

GAIN = LOSS.rpartition("echo")[0] + 'echo "{\\"gain\\": ${ROSE_LEARNER#*=}}" > "$ROSE_RESULT"\n'


def test_a_watched_metric_can_prune(rose: Rose) -> None:
    rose.script(GAIN, "gain.sh")
    rose.write(WATCHED)
    assert rose("run", "campaign.yaml", "--run-dir", "whole").code == 0
    whole = history(rose, "whole")
    pruned = [name for name, (reason, *_) in whole.items() if reason == "pruned"]
    assert pruned == ["lr=1", "lr=2", "lr=7"]
    assert whole["lr=1"][1] == "gain 1 after 2 iterations is behind 8.5, the median of the averages of 2 other learners"
    killed = rose("run", "campaign.yaml", "--run-dir", "r", KILL_AT="lr=2 1", MARK=str(rose.folder / "mark"))
    assert killed.code == -signal.SIGKILL
    assert rose("resume", "r").code == 0
    assert history(rose, "r") == whole
    plan = rose("plan", "campaign.yaml").out
    assert "prune: median by gain, from 2 iterations on" in plan


def test_without_prune_the_pruned_continue(race: Rose) -> None:
    assert race("run", "campaign.yaml", "--run-dir", "r").code == 0
    called = race("resume", "r", "--set", "prune=null")
    assert called.code == 0, called.err
    assert "prune" in called.out + called.err
    assert {each["iterations_done"] for each in race.learners("r").values()} == {6}
    assert {each["stop_reason"] for each in race.learners("r").values()} == {"max_iter"}


def test_a_pruned_learner_is_continued_by_name(race: Rose) -> None:
    assert race("run", "campaign.yaml", "--run-dir", "r").code == 0
    said = race("resume", "r", "--learner", "lr=9")
    assert "--from-iteration 2 --learner" in said.out + said.err
    assert race("resume", "r", "--from-iteration", "2", "--learner", "lr=9").code == 0
    again = race.learners("r")["lr=9"]
    assert (again["stop_reason"], again["iterations_done"]) == ("pruned", 3)


def test_an_added_value_adds_learners_on_resume(race: Rose) -> None:
    race.write(
        RACE.replace("    prune: {rule: median, min_iter: 2, min_learners: 2}\n", "").replace(
            "[1, 2, 9, 8, 0.5, 7]", "[1, 2]"
        )
    )
    assert race("run", "campaign.yaml", "--run-dir", "r").code == 0
    before = history(race, "r")
    indices = {name: each["index"] for name, each in race.learners("r").items()}
    race.write(
        RACE.replace("    prune: {rule: median, min_iter: 2, min_learners: 2}\n", "").replace(
            "[1, 2, 9, 8, 0.5, 7]", "[3, 1, 2]"
        )
    )
    called = race("resume", "r")
    assert called.code == 0, called.err
    assert "lr=3" in called.out + called.err
    after = history(race, "r")
    assert set(after) == {"lr=1", "lr=2", "lr=3"}
    assert {name: after[name] for name in before} == before, "nothing of the others ran again"
    assert {name: race.learners("r")[name]["index"] for name in indices} == indices
    race.write(RACE.replace("[1, 2, 9, 8, 0.5, 7]", "[1, 3]"))
    refused = race("resume", "r")
    assert refused.code == 2
    assert "lr=2" in refused.err


def test_points_are_run_alone_by_their_names(race: Rose) -> None:
    assert race("run", "campaign.yaml", "--run-dir", "r", "--learner", "lr=2", "--learner", "lr=0.5").code == 0
    assert set(race.learners("r")) == {"lr=2", "lr=0.5"}
    assert "--lr" in race("status", "r", "--results").out
    exported = race("export", "r").out
    assert "lr=0.5" in exported
    assert "train.--lr" in exported.splitlines()[0]


def test_swept_parameters_are_in_results_and_exports_and_make_no_repeats(rose: Rose) -> None:
    rose.write("""\
        max_iter: 2
        parameters: {width: 5}
        tasks: {train: {executable: "echo {width}"}}
        stop: {metric: mse, threshold: 0.0001, executable: "echo {width}"}
        sweep: {grid: {width: [1, 2]}}
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    found = rose.json("status", "r", "--results", "--format", "json")
    assert found["changed_options"] == ["parameters.width"]
    assert {each["name"]: each["options"]["parameters.width"] for each in found["learners"]} == {
        "width=1": 1,
        "width=2": 2,
    }
    shown = rose("status", "r", "--results").out
    assert "width" in shown.splitlines()[2]
    assert "repeats" not in shown
    header, first, *_ = rose("export", "r").out.splitlines()
    assert first.split(",")[header.split(",").index("parameter.width")] == "1"


@pytest.mark.parametrize(
    ("learners", "before"),
    [("", ["lr=1", "lr=2"]), ("learners: 2", ["lr=1", "lr=2", "learner-1,lr=1", "learner-1,lr=2"])],
)
def test_a_learner_can_be_added_to_a_sweep_without_a_list_of_learners(
    rose: Rose, learners: str, before: list[str]
) -> None:
    rose.write(f"""
        max_iter: 1
        tasks: {{train: {{executable: "true"}}}}
        sweep: {{grid: {{train.--lr: [1, 2]}}}}
        {learners}
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    rose.write("train: {--x: 1}\n", "more.yaml")
    assert rose("add", "r", "more.yaml", "--name", "new").code == 0
    assert rose("resume", "r").code == 0
    found = rose.learners("r")
    assert sorted(found) == sorted([*before, "new,lr=1", "new,lr=2"])
    assert {each["iterations_done"] for each in found.values()} == {1}
    again = rose("add", "r", "more.yaml", "--name", "new")
    assert (again.code, again.err.splitlines()[0]) == (2, "error: there is a learner 'new' in this run already")


def test_a_learner_that_a_sweep_made_has_no_settings_of_its_own(rose: Rose) -> None:
    rose.write("max_iter: 1\ntasks: {train: {executable: 'true'}}\nsweep: {grid: {train.--lr: [1, 2]}}\n")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    called = rose("set", "r", "--learner", "lr=1", "train.--x=3")
    assert called.err.splitlines() == [
        "error: learner 'lr=1' is made by 'sweep', and has no place of its own in the campaign file",
        "help: set the value for all learners, or change the sweep: `sweep.grid.AXIS=[…]`",
    ]
