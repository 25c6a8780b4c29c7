"""Several criteria, values that tasks reported, and metrics that are only watched, by real runs."""

from __future__ import annotations

import csv
import io
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PATIENCE, wait_until

if TYPE_CHECKING:
    from tests.conftest import Rose

TRAIN = """\
    #!/bin/sh
    # reports falling and rising numbers
    echo "{\\"error\\": $((8 - ROSE_ITERATION)), \\"accuracy\\": 0.$((ROSE_ITERATION + 1))}" > "$ROSE_RESULT"
"""

VALUES = """\
    #!/bin/sh
    # prints the value of this iteration out of the list given as arguments
    shift "$ROSE_ITERATION"
    echo "$1"
"""


def campaign(rose: Rose, stop: str, learners: str = "1", more: str = "") -> None:
    rose.script(TRAIN, "train.sh")
    rose.script(VALUES, "values.sh")
    rose.write(
        f"""
        max_iter: 6
        tasks: {{training: {{executable: ./train.sh}}}}
        stop: {stop}
        learners: {learners}
        {more}
        """
    )


def run(rose: Rose, *arguments: str) -> dict[str, Any]:
    called = rose("run", "campaign.yaml", "--run-dir", "r", *arguments)
    assert called.code == 0, called.out + called.err
    return rose.learners("r")


TWO = """{%s: [
          {metric: mse, threshold: 0.5, executable: ./values.sh 3 0.4 2 0.3 0.2 0.1},
          {metric: accuracy, threshold: 0.3, executable: ./values.sh 0.1 0.2 0.3 0.4 0.5 0.6}]}"""


def stops(rose: Rose) -> dict[str, tuple[str, str | None]]:
    events = [event for event in rose.events("r") if event["event"] == "learner_stopped"]
    return {event["learner"]: (event["reason"], event.get("message")) for event in events}


def test_any_stops_at_the_first_that_is_met_and_says_which(rose: Rose) -> None:
    campaign(rose, TWO % "any")
    learner = run(rose)["learner-0"]
    assert learner["history"] == [3, 0.4]
    assert learner["criteria"][1]["history"] == [0.1, 0.2]
    assert stops(rose) == {"learner-0": ("criterion_met", "mse < 0.5")}
    tasks = [event["task"] for event in rose.events("r") if event["event"] == "attempt_started"]
    assert tasks == ["training", "criterion", "criterion-2"] * 2


def test_all_stops_when_all_are_met_in_the_same_iteration(rose: Rose) -> None:
    campaign(rose, TWO % "all")
    learner = run(rose)["learner-0"]
    assert learner["history"] == [3, 0.4, 2, 0.3], "mse was met before, but not any more when accuracy was"
    assert stops(rose) == {"learner-0": ("criterion_met", "mse < 0.5, accuracy >= 0.3")}


def test_a_metric_that_is_only_watched_stops_nothing(rose: Rose) -> None:
    campaign(rose, "{metric: mse, executable: ./values.sh 3 0 0 0 0 0}")
    learner = run(rose)["learner-0"]
    assert (learner["stop_reason"], learner["iterations_done"], learner["best_iteration"]) == ("max_iter", 6, 1)
    assert "without a threshold" not in rose("status", "r").out


def test_a_metric_that_is_only_watched_has_no_say_among_others(rose: Rose) -> None:
    watched = "{metric: mae, executable: ./values.sh 1 1 1 1 1 1}"
    met = "{metric: mse, threshold: 0.5, executable: ./values.sh 3 2 0.1 1 1 1}"
    campaign(rose, f"{{all: [{watched}, {met}]}}")
    assert run(rose)["learner-0"]["iterations_done"] == 3
    assert stops(rose) == {"learner-0": ("criterion_met", "mse < 0.5")}


@pytest.mark.parametrize(
    ("watched", "why"),
    [
        ("value: '0.2 - result.accuracy'", "-0.1 is outside the range of 'accuracy', 0 to 1"),
        ("value: result.acuracy", "did you mean 'accuracy'?"),
        ("executable: ./values.sh 0.1 0.2 0.3 -0.2 0.5 -0.4", "-0.2 is outside the range of 'accuracy', 0 to 1"),
        ("executable: ./values.sh 0.1 0.2 0.3 none 0.5 none", "none"),
    ],
)
def test_a_watched_value_that_is_not_there_is_no_value_and_fails_nothing(rose: Rose, watched: str, why: str) -> None:
    first = "{metric: error, operator: '<', threshold: 0, value: result.error}"
    campaign(rose, f"{{any: [{first}, {{metric: accuracy, {watched}}}]}}", learners="2")
    called = rose("run", "campaign.yaml", "--run-dir", "r", "--output", "plain")
    assert called.code == 0, called.out + called.err
    said = [line for line in (called.out + called.err).splitlines() if why in line]
    assert len(said) == 1, called.out + called.err
    assert "the watched metric 'accuracy' has no value in iteration " in said[0]
    for learner in rose.learners("r").values():
        assert (learner["stop_reason"], learner["history"]) == ("max_iter", [8, 7, 6, 5, 4, 3])
        values = learner["criteria"][1]["history"]
        assert None in values or not values
        assert all(value is None or 0 <= value <= 1 for value in values)


def test_a_watched_value_alone_may_be_missing_too(rose: Rose) -> None:
    campaign(rose, "{metric: accuracy, value: '0.2 - result.accuracy'}")
    learner = run(rose)["learner-0"]
    assert (learner["stop_reason"], learner["iterations_done"]) == ("max_iter", 6)
    assert learner["history"][2:] == [None] * 4


def test_a_message_names_the_expression_that_failed(rose: Rose) -> None:
    campaign(
        rose,
        """{any: [
          {metric: error, operator: "<", threshold: 1, value: result.error},
          {metric: accuracy, threshold: 0.9, value: 'result.accuracy - 3'}]}""",
        learners="2",
    )
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 1
    text = called.out + called.err
    assert "failed in the same way: the criterion 'accuracy' has no value in iteration 0: -2.9 is outside" in text
    assert "'criterion'" not in text
    assert "print nan" not in text
    assert rose.learners("r")["learner-0"]["error"]["command"] == "result.accuracy - 3"


def test_the_first_metric_is_that_of_expressions(rose: Rose) -> None:
    campaign(rose, TWO % "any", "[{training: {adaptive: {--n: '0 if i == 0 else metric'}}}]")
    run(rose)
    given = [e["options"] for e in rose.events("r") if e["event"] == "attempt_started" and e["task"] == "training"]
    assert given == [{"--n": 0}, {"--n": 3.0}]


def test_a_reported_value_is_a_criterion_without_a_program(rose: Rose) -> None:
    campaign(
        rose,
        """{any: [
          {metric: result.error, operator: "<", threshold: 6},
          {metric: ratio, operator: ">", value: 'results.training.accuracy / results.training.error'},
          {metric: accuracy, value: result.accuracy}]}""",
    )
    learner = run(rose)["learner-0"]
    assert learner["history"] == [8, 7, 6, 5]
    assert learner["criteria"][2]["history"] == [0.1, 0.2, 0.3, 0.4]
    assert learner["criteria"][1]["history"] == [0.1 / 8, 0.2 / 7, 0.3 / 6, 0.4 / 5]
    assert {e["task"] for e in rose.events("r") if e["event"] == "attempt_started"} == {"training"}


def test_a_misspelt_key_fails_at_once_and_an_edited_file_goes_on(rose: Rose) -> None:
    campaign(rose, "{metric: accuracy, threshold: 0.2, value: result.acuracy}")
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 1
    assert "did you mean 'accuracy'?" in called.out + called.err
    error = rose.learners("r")["learner-0"]["error"]
    assert (error["kind"], error["attempt"], error["command"]) == ("no_value", 0, "result.acuracy")
    assert "--from-iteration 0" in called.out + called.err, "if the task is to report something else"
    assert len([e for e in rose.events("r") if e["event"] == "attempt_started"]) == 1
    campaign(rose, "{metric: accuracy, threshold: 0.2, value: result.accuracy}")
    resumed = rose("resume", "r")
    assert resumed.code == 0, resumed.out + resumed.err
    assert rose.learners("r")["learner-0"]["history"] == [0.1, 0.2]
    assert len([e for e in rose.events("r") if e["event"] == "attempt_started"]) == 2, "nothing ran twice"


def test_each_criterion_reads_a_file_of_its_own_of_this_iteration(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 3
        tasks: {training: {executable: [sh, -c, "echo 5 > a.txt; test $ROSE_ITERATION = 1 || echo 0.5 > b.txt"]}}
        stop:
          all:
            - {metric: mse, threshold: 0.1, executable: "true", read: {file: a.txt}}
            - {metric: mae, threshold: 0.1, executable: "true", read: {file: b.txt}}
        learners: 1
        """
    )
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 1
    assert "'b.txt' was not written in this iteration: it is from iteration 0" in called.out + called.err
    assert rose.learners("r")["learner-0"]["history"] == [5]


def test_a_threshold_in_the_list_can_be_set_and_changed_for_a_resume(rose: Rose) -> None:
    campaign(rose, TWO % "any")
    run(rose, "--set", "stop.any.0.threshold=0.35", "--set", "stop.any.1.threshold=0.9")
    assert rose.learners("r")["learner-0"]["iterations_done"] == 4
    resumed = rose("resume", "r", "--set", "stop.any.0.threshold=0.15")
    assert resumed.code == 0, resumed.out + resumed.err
    assert rose.learners("r")["learner-0"]["iterations_done"] == 6
    assert stops(rose)["learner-0"] == ("criterion_met", "mse < 0.15")


def test_a_criterion_that_is_added_or_removed_decides_from_there_on(rose: Rose) -> None:
    two = "{any: [{metric: result.error, operator: '<', threshold: 7}%s]}"
    campaign(rose, two % "")
    run(rose)
    campaign(rose, "{all: [{metric: result.error, operator: '<', threshold: 7}, "
                   "{metric: accuracy, threshold: 0.5, value: result.accuracy}]}")  # fmt: skip
    resumed = rose("resume", "r")
    assert resumed.code == 0, resumed.out + resumed.err
    learner = rose.learners("r")["learner-0"]
    assert learner["history"] == [8, 7, 6, 5, 4]
    assert learner["criteria"][1]["history"] == [None, None, None, 0.4, 0.5]


def test_another_expression_for_what_has_values_is_refused(rose: Rose) -> None:
    campaign(rose, "{metric: result.error, operator: '<', threshold: 7}")
    run(rose)
    campaign(rose, "{metric: error, operator: '<', threshold: 3, value: result.error * 2}")
    resumed = rose("resume", "r")
    assert resumed.code == 2
    assert "value" in resumed.err


def test_more_iterations_go_on_with_all_criteria(rose: Rose) -> None:
    campaign(rose, "{all: [{metric: result.error, operator: '<', threshold: 1},"
                   " {metric: accuracy, value: result.accuracy}]}")  # fmt: skip
    assert run(rose)["learner-0"]["stop_reason"] == "max_iter"
    assert rose("resume", "r", "--max-iter", "9").code == 0
    learner = rose.learners("r")["learner-0"]
    assert (learner["iterations_done"], learner["stop_reason"]) == (9, "criterion_met")


def test_a_required_criterion_names_every_value(rose: Rose) -> None:
    campaign(rose, TWO.replace("0.5, exec", "0, operator: '<=', exec") % "all")
    called = rose("run", "campaign.yaml", "--run-dir", "r", "--require-criterion")
    assert called.code == 1
    assert "mse 0.1, requires <= 0 and accuracy 0.6, requires >= 0.3" in called.err


def test_the_campaign_stops_after_learners_have_met_all(rose: Rose) -> None:
    slow = "{metric: mse, threshold: 0.5, executable: echo 3}"
    campaign(rose, TWO % "all", f"[{{}}, {{stop: {{any: [{slow}]}}}}]", "stop_campaign: {after_converged: 1}")
    run(rose, "--max-iter", "500")
    assert stops(rose)["learner-0"][0] == "criterion_met"
    assert stops(rose)["learner-1"][0] == "cancelled"


def test_a_smoke_run_checks_every_criterion_once(rose: Rose) -> None:
    campaign(rose, TWO % "all")
    called = rose("run", "campaign.yaml", "--smoke")
    assert called.code == 0, called.out + called.err


def test_every_metric_is_in_status_exports_and_notices(rose: Rose) -> None:
    campaign(rose, TWO % "all", more="notify: {executable: 'sh -c \"cat > told.json\"'}")
    learner = run(rose)["learner-0"]
    assert [each["metric_name"] for each in learner["criteria"]] == ["mse", "accuracy"]
    assert (learner["stop_rule"], learner["criteria"][1]["metric_value"]) == ("all", 0.4)
    rows = list(csv.DictReader(io.StringIO(rose("export", "r").out)))
    assert [(row["metric.mse"], row["metric.accuracy"]) for row in rows][1] == ("0.4", "0.2")
    told = json.loads(next(rose.folder.rglob("told.json")).read_text())
    assert told["learners"][0]["metrics"] == {"accuracy": 0.4}
    table = rose("status", "r").out
    assert "until mse < 0.5 and accuracy >= 0.3" in table
    assert "accuracy" in table.splitlines()[2]
    found = rose.json("status", "r", "--results", "--format", "json")
    assert found["learners"][0]["metrics"] == {"accuracy": 0.4}
    assert "stops when all are met: mse < 0.5; accuracy >= 0.3" in rose("plan", "campaign.yaml").out


def test_which_criterion_stopped_a_learner_is_shown_everywhere(rose: Rose) -> None:
    campaign(rose, TWO % "any", learners="2", more="")
    called = rose("run", "campaign.yaml", "--run-dir", "r", "--output", "plain")
    line = "met      mse < 0.5: learner-0, learner-1"
    assert line in called.out
    assert line in rose("status", "r").out
    assert {each["stop_message"] for each in rose.learners("r").values()} == {"mse < 0.5"}
    rows = list(csv.DictReader(io.StringIO(rose("export", "r").out)))
    assert [row["stop_message"] for row in rows] == ["", "mse < 0.5"] * 2
    assert rose("report", "r", "-o", "r.md").code == 0
    page = (rose.folder / "r.md").read_text()
    assert "met mse &lt; 0.5" in page.replace(" < ", " &lt; ").replace("`", "")
    assert "best `accuracy`" in page
    assert "last `accuracy`" in page


def test_the_results_show_the_latest_value_of_a_metric_that_was_not_checked(rose: Rose) -> None:
    campaign(
        rose,
        """{all: [
          {metric: mse, threshold: 0.5, executable: ./values.sh 3 2 1 1 1 1},
          {metric: mae, threshold: 0.5, when: i == 1, executable: ./values.sh 0 7}]}""",
    )
    run(rose)
    found = rose.json("status", "r", "--results", "--format", "json")
    assert found["learners"][0]["metrics"] == {"mae": 7}


@pytest.mark.parametrize("moment", ["criterion", "criterion-2"])
def test_killed_between_two_criteria_a_run_has_the_history_of_an_uninterrupted_one(rose: Rose, moment: str) -> None:
    campaign(rose, TWO % "all")
    rose.script(
        f"""\
        #!/bin/sh
        if test "$ROSE_TASK.$ROSE_ITERATION" = {moment}.1 && ! test -e go; then touch here; sleep 600; fi
        shift "$ROSE_ITERATION"
        echo "$1"
        """.replace("-e go", f"-e {rose.folder}/go").replace("touch here", f"touch {rose.folder}/here"),
        "values.sh",
    )
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_until((rose.folder / "here").exists)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    (rose.folder / "go").touch()
    assert rose("resume", "r").code == 0
    learner = rose.learners("r")["learner-0"]
    assert learner["history"] == [3, 0.4, 2, 0.3]
    assert learner["criteria"][1]["history"] == [0.1, 0.2, 0.3, 0.4]


ONE = 'stop: {metric: result.error, operator: "<", threshold: 6}'


def test_the_only_criterion_can_come_and_go_if_its_value_is_reported(rose: Rose) -> None:
    rose.script(TRAIN, "train.sh")
    bare = "max_iter: {}\ntasks: {{training: {{executable: ./train.sh}}}}\nlearners: [{{name: a}}, {{name: b}}]\n{}\n"
    rose.write(bare.format(2, ""))
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    rose.write(bare.format(7, ONE))
    called = rose("resume", "r")
    assert "new criterion 'error'" in called.out + called.err
    assert {name: each["stop_reason"] for name, each in rose.learners("r").items()} == dict.fromkeys(
        "ab", "criterion_met"
    )
    assert [each["iterations_done"] for each in rose.learners("r").values()] == [4, 4]
    assert rose.learners("r")["a"]["history"] == [None, None, 6, 5]
    gone = rose("set", "r", "--learner", "a", "stop=null")
    assert "criterion 'error' is no longer in the file" in gone.out + gone.err
    assert rose("resume", "r").code == 0
    assert {name: each["iterations_done"] for name, each in rose.learners("r").items()} == {"a": 7, "b": 4}
