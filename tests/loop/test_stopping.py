"""When learners stop, by real runs of small shell scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose

COUNTER = """\
    #!/bin/sh
    # prints the value of this iteration out of the list given as arguments
    shift "$ROSE_ITERATION"
    echo "some words before"
    echo "$1"
"""


def campaign(rose: Rose, stop: str, learners: str = "[{}]", max_iter: str = "max_iter: 6") -> None:
    rose.script(COUNTER, "values.sh")
    rose.write(
        f"""
        {max_iter}
        tasks:
          training: {{executable: "sh -c 'echo $ROSE_ITERATION >> trained'"}}
          last: {{executable: "sh -c 'echo $ROSE_ITERATION >> last'"}}
        stop: {stop}
        learners: {learners}
        """
    )


def run(rose: Rose, *arguments: str) -> dict[str, Any]:
    called = rose("run", "campaign.yaml", "--run-dir", "r", *arguments)
    assert called.code == 0, called.out + called.err
    return rose.learners("r")


def trained(rose: Rose, learner: str = "learner-0") -> int:
    return len((rose.folder / f"r/learners/{learner}/workspace/trained").read_text().splitlines())


def test_no_task_runs_after_the_iteration_in_which_the_criterion_is_met(rose: Rose) -> None:
    campaign(rose, "{metric: mse, threshold: 0.5, executable: ./values.sh 3 2 0.4 0.1 0 0}")
    learner = run(rose)["learner-0"]
    assert (learner["stop_reason"], learner["history"], learner["iterations_done"]) == ("criterion_met", [3, 2, 0.4], 3)
    assert trained(rose) == 3
    assert len((rose.folder / "r/learners/learner-0/workspace/last").read_text().splitlines()) == 3


def test_max_iter_stops_a_learner_that_never_meets_it(rose: Rose) -> None:
    campaign(rose, "{metric: mse, threshold: 0.5, executable: ./values.sh 3 2 1 3 2 1}")
    learner = run(rose)["learner-0"]
    assert (learner["stop_reason"], learner["status"], learner["best_value"]) == ("max_iter", "done", 1)
    assert rose("run", "campaign.yaml", "--require-criterion").code == 1


@pytest.mark.parametrize(
    ("stop", "done"),
    [
        ("{metric: accuracy, threshold: 0.9, executable: ./values.sh 0.5 0.9 1 1 1 1}", 2),
        ("{metric: f1, threshold: 0.9, executable: ./values.sh 0.5 0.9 0.91 1 1 1}", 3),
        ("{metric: mine, operator: '>', threshold: 2, executable: ./values.sh 1 2 3 4 5 6}", 3),
        ("{metric: mine, operator: '>=', threshold: 2, executable: ./values.sh 1 2 3 4 5 6}", 2),
        ("{metric: mine, operator: '<=', threshold: 2, executable: ./values.sh 3 2 1 0 0 0}", 2),
        ("{metric: mine, operator: '==', threshold: 2, executable: ./values.sh 3 1 2 0 0 0}", 3),
        ("{metric: mine, operator: '<', threshold: 1e-3, executable: ./values.sh 1 1e-3 9e-4 0 0 0}", 3),
        ("{metric: mse, threshold: 0.5, min_iter: 4, executable: ./values.sh 0 0 0 0 0 0}", 4),
    ],
)
def test_each_operator(rose: Rose, stop: str, done: int) -> None:
    campaign(rose, stop)
    learner = run(rose)["learner-0"]
    assert (learner["stop_reason"], learner["iterations_done"]) == ("criterion_met", done)


def test_patience_stops_a_learner_that_no_longer_improves(rose: Rose) -> None:
    stop = "{metric: mse, threshold: 0, operator: '<=', patience: 2, min_delta: 0.1,"
    campaign(rose, stop + " executable: ./values.sh 3 2 1.95 1.97 1 1}")
    learner = run(rose)["learner-0"]
    assert (learner["stop_reason"], learner["iterations_done"]) == ("no_improvement", 4)


def test_patience_needs_no_threshold_and_no_max_iter(rose: Rose) -> None:
    campaign(rose, "{metric: mse, patience: 1, executable: ./values.sh 3 2 2}", max_iter="")
    assert run(rose)["learner-0"]["stop_reason"] == "no_improvement"


def test_patience_stops_a_learner_that_never_gives_a_number(rose: Rose) -> None:
    campaign(rose, "{metric: mse, patience: 2, executable: ./values.sh nan nan nan 0 0}", max_iter="")
    learner = run(rose)["learner-0"]
    assert (learner["stop_reason"], learner["iterations_done"]) == ("no_improvement", 3)


def test_nan_never_meets_a_criterion_and_is_no_crash(rose: Rose) -> None:
    campaign(rose, "{metric: mse, threshold: 0.5, executable: ./values.sh nan NaN 0.1}")
    learner = run(rose)["learner-0"]
    assert (learner["stop_reason"], learner["history"]) == ("criterion_met", [None, None, 0.1])
    assert "nan" in rose("export", "r").out


def test_each_learner_evaluates_its_own_criterion(rose: Rose) -> None:
    campaign(
        rose,
        "{metric: mse, threshold: 0.5, executable: ./values.sh 3 2 0.4 0 0 0}",
        learners="""
          - {}
          - {name: strict, stop: {threshold: 0.1}}
          - {name: other, stop: {metric: accuracy, threshold: 0.9, executable: ./values.sh 0.95}}
          - {name: free, stop: null}
        """,
    )
    learners = run(rose)
    ended = {name: (each["stop_reason"], each["iterations_done"]) for name, each in learners.items()}
    assert ended == {
        "learner-0": ("criterion_met", 3),
        "strict": ("criterion_met", 4),
        "other": ("criterion_met", 1),
        "free": ("max_iter", 6),
    }
    assert learners["free"]["history"] == [None] * 6


def test_after_converged_ends_the_others(rose: Rose) -> None:
    rose.script(COUNTER, "values.sh")
    rose.write(
        """
        max_iter: 1000000
        stop_campaign: {after_converged: 1}
        tasks: {training: {executable: sleep 0.01}}
        stop: {metric: mse, threshold: 0.5, executable: ./values.sh 3 0.1}
        learners:
          - {name: quick}
          - {name: slow, stop: null}
        """
    )
    learners = run(rose)
    assert learners["quick"]["stop_reason"] == "criterion_met"
    assert learners["slow"]["stop_reason"] == "cancelled"


READINGS = {
    "last line of standard output": ("", "echo 1; echo 0.25", 0.25),
    "json": ("read: {json: val.mse},", """echo words; echo '{"val": {"mse": 0.25}}'""", 0.25),
    "json over several lines": ("read: {json: mse},", """printf '{\n"mse":\n0.25}\n'""", 0.25),
    "regex": ("read: {regex: 'acc=(\\S+)'},", "echo acc=0.1 x; echo acc=0.25 y; echo end", 0.25),
    "file": ("read: {file: out.txt},", "echo 0.25 > out.txt", 0.25),
    "json in a file": ("read: {file: m.json, json: a.b},", """echo '{"a": {"b": 0.25}}' > m.json""", 0.25),
    "exact digits": ("", "echo 0.1000000000000000055511151231257827", 0.1),
}


@pytest.mark.parametrize("name", READINGS)
def test_where_the_value_is_read(rose: Rose, name: str) -> None:
    read, line, value = READINGS[name]
    rose.script(f"#!/bin/sh\n{line}\n", "check.sh")
    campaign(rose, f"{{metric: mse, threshold: 0.01, {read} executable: ./check.sh}}", max_iter="max_iter: 1")
    assert run(rose)["learner-0"]["history"] == [value]


NO_NUMBER = {
    "words": ("echo converged", "found 'converged'"),
    "a number within words": ("echo mse 0.5", "regex"),
    "json": ("""echo '{"mse": 0.5}'""", "read: {json: KEY}"),
    "nothing": ("true", "found nothing"),
}


@pytest.mark.parametrize("name", NO_NUMBER)
def test_a_criterion_that_prints_no_number_has_failed_and_says_what_it_printed(rose: Rose, name: str) -> None:
    line, said = NO_NUMBER[name]
    rose.script(f"#!/bin/sh\n{line}\n", "check.sh")
    campaign(rose, "{metric: mse, threshold: 0.01, executable: ./check.sh}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    error = rose.learners("r")["learner-0"]["error"]
    assert (error["task"], error["kind"]) == ("criterion", "no_metric")
    assert "expected a number" in error["message"]
    assert said in error["message"]


def test_a_criterion_that_fails_is_told_apart_from_one_that_is_not_met(rose: Rose) -> None:
    campaign(rose, "{metric: mse, threshold: 0.01, executable: \"sh -c 'echo 0.001; echo broken >&2; exit 7'\"}")
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 1
    learner = rose.learners("r")["learner-0"]
    assert (learner["status"], learner["history"]) == ("failed", [])
    assert (learner["error"]["exit_code"], learner["error"]["stderr_tail"]) == (7, ["broken"])


def test_a_learners_own_criterion_lies_above_the_learners_variables(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 1
        tasks: {training: {executable: "true"}}
        learners:
          - env: {VALUE: "1"}
            stop: {metric: mse, threshold: 0.5, executable: "sh -c 'echo $VALUE'", env: {VALUE: "0.25"}}
        """
    )
    assert run(rose)["learner-0"]["history"] == [0.25]
