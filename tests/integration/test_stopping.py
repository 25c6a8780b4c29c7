"""When learners stop, by real runs of small shell scripts."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PATIENCE, wait_until

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
    campaign(rose, "{metric: mse, patience: 3, executable: ./values.sh nan nan nan 0 0}", max_iter="")
    learner = run(rose)["learner-0"]
    assert (learner["stop_reason"], learner["iterations_done"]) == ("no_improvement", 3)


@pytest.mark.parametrize(
    ("values", "bounds", "done"),
    [
        ("3 2 1 nan nan 0", "patience: 2", 5),
        ("inf nan 5 6 4 9", "patience: 3", 6),  # a first number is better than none, and 4 better than 5
        ("nan nan 5 4 3 2", "patience: 2", 2),
        ("nan nan 5 4 3 2", "patience: 2, min_iter: 3", 6),
        ("inf inf inf 0 0 0", "patience: 3", 3),  # infinity is no better than nothing
        ("1 0.99 0.98 0.97 0 0", "patience: 1, min_delta: 0.01", 2),  # better by 0.01 is not by more than 0.01
        ("0.3 0.2 0.1 0 0 0", "patience: 1, min_delta: 0.1", 2),
        ("0.3 0.199 0.098 0.0 0 0", "patience: 1, min_delta: 0.1", 4),
        ("1 0.99 0.98 0.97 0 0", "patience: 1, min_delta: 1%", 2),  # by exactly 1 % of the best so far
        ("1 0.98 0.96 0.959 0 0", "patience: 1, min_delta: 1 %", 4),
        ("1e-9 0.9e-9 0.8e-9 0 0 0", "patience: 1", 5),  # without min_delta whatever is less counts
    ],
)
def test_what_counts_as_no_improvement(rose: Rose, values: str, bounds: str, done: int) -> None:
    campaign(rose, f"{{metric: mse, {bounds}, executable: ./values.sh {values}}}")
    assert run(rose)["learner-0"]["iterations_done"] == done


@pytest.mark.parametrize(
    ("metric", "values", "done"),
    [
        ("accuracy", "0.5 0.6 0.7 0.7 0.6 0.9", 5),
        ("mine, operator: '<='", "5 4 3 3 4 1", 5),
        ("mine, operator: '==', threshold: 2", "5 4 1 3 4 2", 5),  # nearer to 2
    ],
)
def test_better_is_what_the_operator_says(rose: Rose, metric: str, values: str, done: int) -> None:
    campaign(rose, f"{{metric: {metric}, patience: 2, executable: ./values.sh {values}}}")
    learner = run(rose)["learner-0"]
    assert (learner["stop_reason"], learner["iterations_done"]) == ("no_improvement", done)


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
    assert rose("resume", "r").code == 0
    assert rose.learners("r")["slow"] == learners["slow"], "for good"


RED = "\\033[31m"
READINGS = {
    "last line of standard output": ("", "echo 1; echo 0.25", 0.25),
    "json": ("read: {json: val.mse},", """echo words; echo '{"val": {"mse": 0.25}}'""", 0.25),
    "json over several lines": ("read: {json: mse},", """printf '{\n"mse":\n0.25}\n'""", 0.25),
    "regex": ("read: {regex: 'acc=(\\S+)'},", "echo acc=0.1 x; echo acc=0.25 y; echo end", 0.25),
    "file": ("read: {file: out.txt},", "echo 0.25 > out.txt", 0.25),
    "json in a file": ("read: {file: m.json, json: a.b},", """echo '{"a": {"b": 0.25}}' > m.json""", 0.25),
    "fortran": ("", "echo 2.5D-01", 0.25),
    "fortran, small d": ("", "echo ' .25d0'", 0.25),
    "colours": ("", f"printf '{RED}0.25\\033[0m\\033[K\\n'", 0.25),
    "a title and a hidden cursor": ("", "printf '\\033]0;mse 9\\007\\033[?25h0.25\\n'", 0.25),
    "a line drawn over": ("", "printf '10 %%\\r\\033[2K0.25\\n'", 0.25),
    "a byte order mark": ("read: {file: out.txt},", "printf '\\357\\273\\2770.25\\r\\n' > out.txt", 0.25),
    "fortran in json": ("read: {json: mse},", """echo '{"mse": "2.5D-01"}'""", 0.25),
    "text in json": ("read: {json: mse},", """echo '{"mse": " 0.25 "}'""", 0.25),
    "coloured json": ("read: {json: mse},", f"""printf '{RED}{{"mse": {RED}0.25\\033[0m}}\\n'""", 0.25),
    "fortran by regex": ("read: {regex: 'mse *= *(\\S+)'},", "echo 'mse =  2.5D-01'", 0.25),
    "colours by regex": ("read: {regex: 'mse=(\\d\\S+)'},", f"printf 'mse={RED}0.25\\033[0m\\n'", 0.25),
    "regex made for colours": (r"read: {regex: '\x1b\[31m(\S+?)\x1b'},", f"printf '1 {RED}0.25\\033[0m\\n'", 0.25),
    "lines of windows by regex": ("read: {regex: '^mse=(\\S+)$'},", "printf 'mse=0.25\\r\\nend\\r\\n'", 0.25),
    "a progress bar by regex": ("read: {regex: '^mse=(\\S+)$'},", "printf 'step 9\\rmse=0.25\\rend'", 0.25),
    "regex made for windows": ("read: {regex: 'mse=([.0-9]+)\\r'},", "printf 'mse=0.25\\r\\n'", 0.25),
    "a regex of a long output": ("read: {regex: 'mse=(.*)'},", "seq 100000; echo mse=0.1; echo mse=0.25; seq 9", 0.25),
    "a regex with repeats in a repeat": (r"read: {regex: 'mse=((?:\d+|[.])+)$'},", "echo mse=0.25", 0.25),
    "a regex that finds nothing in a file": ("read: {file: é, regex: 'é=(.+)+$'},", "echo é=0.25 > é", 0.25),
    "fortran in a file": ("read: {file: out.txt, regex: 'E=(\\S+)'},", "echo E=2.5D-01 > out.txt", 0.25),
    "a little less than none": ("", "echo -1e-7", -1e-7),
    "exact digits": ("", "echo 0.1000000000000000055511151231257827", 0.1),
}


@pytest.mark.parametrize("name", READINGS)
def test_where_the_value_is_read(rose: Rose, name: str) -> None:
    read, line, value = READINGS[name]
    rose.script(f"#!/bin/sh\n{line}\n", "check.sh")
    campaign(rose, f"{{metric: mse, threshold: 0.01, {read} executable: ./check.sh}}", max_iter="max_iter: 1")
    assert run(rose)["learner-0"]["history"] == [value]


ENDLESS = "read: {regex: '^(x+x+)+y'}, executable: ./check.sh"


def test_a_search_without_an_end_fails_its_attempt_and_holds_up_nobody(rose: Rose) -> None:
    rose.script("#!/bin/sh\necho 1; echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", "check.sh")
    campaign(
        rose,
        "{metric: mse, threshold: 0.5, executable: ./values.sh 1 0.1}",
        f"[{{name: endless, stop: {{{ENDLESS}}}}}, {{name: other}}]",
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    learners = rose.learners("r")
    error = learners["endless"]["error"]
    assert (error["task"], error["kind"]) == ("criterion", "no_metric")
    assert "the search for '^(x+x+)+y' in its standard output was stopped after 2 seconds" in error["message"]
    assert learners["other"]["stop_reason"] == "criterion_met"
    failed = [event["event"] for event in rose.events("r")].index("attempt_failed")
    assert [event["learner"] for event in rose.events("r")[failed:] if event["event"] == "attempt_started"] == []


def test_a_search_without_an_end_can_be_interrupted(rose: Rose) -> None:
    rose.script("#!/bin/sh\necho xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", "check.sh")
    campaign(rose, f"{{metric: mse, threshold: 0.5, {ENDLESS}}}")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r")
    out = rose.folder / "r/learners/learner-0/logs/0/criterion.1.out"
    wait_until(lambda: out.is_file() and out.read_text())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert [event["event"] for event in rose.events("r") if event.get("task") == "criterion"][-1] == "attempt_cancelled"


NO_NUMBER = {
    "words": ("", "echo converged", "found 'converged'"),
    "a number within words": ("", "echo mse 0.5", r"write read: {regex: 'mse\s+(\S+)'}"),
    "json": ("", """echo '{"mse": 0.5}'""", "write read: {json: mse}"),
    "a dict of Python": ("", """echo "{'mse': 0.5}\"""", "print(json.dumps(…))"),
    "nothing": ("", "true", "found nothing"),
    "a decimal comma": ("", "echo 0,5", "print 0.5"),
    "percent": ("", "echo 0.5%", "print 0.5 without the %"),
    "a number of numpy": ("", "echo 'np.float64(0.12)'", "print(float(x))"),
    "a tensor": ("", """echo "tensor(0.5, device='cuda:0')\"""", "print(x.item())"),
    "an exponent without its letter": ("", "echo 1.23-105", "Fortran may mean 1.23E-105"),
    "a cursor that moves": ("", "printf '0.5\\033[1D7\\n'", "found"),
    "a number above": ("", "echo 0.5; echo done", "print the value last: '0.5' is above it"),
    "half a number at the edge of the last megabyte": (
        "read: {regex: '^([\\d.]+)$'},",
        "printf 'mse\\n1023.5\\n'; head -c 1048571 /dev/zero | tr '\\0' x",
        "to match",
    ),
    "a last line of megabytes": ("", "head -c 2000000 /dev/zero | tr '\\0' 1", "longer than 1 MB"),
    "true in json": ("read: {json: mse},", """echo '{"mse": true}'""", "found 'true'"),
    "null in json": ("read: {json: mse},", """echo '{"mse": null}'""", "print nan"),
    "another key in json": ("read: {json: mse},", """echo '{"val": {"mse": 1}}'""", "did you mean 'val.mse'?"),
    "a regex that finds too much": ("read: {regex: 'mse=(\\S+)'},", "echo mse=0.5,", "print 0.5 and nothing else"),
    "a regex that finds a unit": ("read: {regex: 'mse=(\\S+)'},", "echo mse=0.5eV", r"write 'mse=([-+]?[.\d]+)'"),
    "a regex that finds a comma": ("read: {regex: 'mse=(\\S+)'},", "echo mse=0,5", "print 0.5"),
    "a folder": ("read: {file: out},", "mkdir -p out", "that is a directory"),
    "a pipe": ("read: {file: out},", "mkfifo out", "that is not a regular file"),
    "no file": ("read: {file: out},", "true", "there is no such file"),
}


@pytest.mark.parametrize("name", NO_NUMBER)
def test_a_criterion_that_prints_no_number_has_failed_and_says_what_it_printed(rose: Rose, name: str) -> None:
    read, line, said = NO_NUMBER[name]
    rose.script(f"#!/bin/sh\n{line}\n", "check.sh")
    campaign(rose, f"{{metric: mse, threshold: 0.01, {read} executable: ./check.sh}}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    error = rose.learners("r")["learner-0"]["error"]
    assert (error["task"], error["kind"]) == ("criterion", "no_metric")
    assert "expected" in error["message"]
    assert said in error["message"], error["message"]


OUTSIDE = {
    "percent for a fraction": ("accuracy, threshold: 0.95", "80", "print 0.8 for 80 %, or set range: [0, 100]"),
    "an error below 0": ("mse, threshold: 0.1", "-1", "'mse', 0 and above: print nan if there is no value"),
    "minus infinity": ("mse, threshold: 0.1", "-inf", "-inf is outside"),
    "an r2 above 1": ("r2, threshold: 0.9", "1.2", "1.2 is outside the range of 'r2', up to 1"),
    "another name of the same": ("Model-Accuracy, threshold: 0.9", "1.01", "0 to 1"),
    "percent beyond 100": ("f1, threshold: 0.9, range: [0, 100]", "101", "0 to 100"),
    "one's own range": ("mine, operator: '>', threshold: 3, range: [0, 5]", "-99", "0 to 5"),
    "a range open below": ("mine, operator: '>', threshold: 3, range: [null, 5]", "inf", "up to 5"),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_value_outside_of_the_metrics_range_is_no_number(rose: Rose, name: str) -> None:
    metric, value, said = OUTSIDE[name]
    campaign(rose, f"{{metric: {metric}, executable: echo {value}}}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    learner = rose.learners("r")["learner-0"]
    assert (learner["error"]["kind"], learner["history"], learner["stop_reason"]) == ("no_metric", [], "failed")
    assert said in learner["error"]["message"]


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("accuracy, threshold: 95, range: [0, 100]", 96),
        ("mse, threshold: 0.1, range: any", -1),
        ("accuracy, threshold: 0.9", 1.0000002),  # as single precision has it
        ("r2, threshold: 0.9, range: [-1, null]", 1.2),
        ("mine, operator: '<', threshold: 0.1", -80),  # a metric of one's own has no range but the one it is given
    ],
)
def test_a_value_that_the_range_allows_meets_the_criterion(rose: Rose, metric: str, value: float) -> None:
    campaign(rose, f"{{metric: {metric}, executable: echo {value}}}")
    learner = run(rose)["learner-0"]
    assert (learner["stop_reason"], learner["history"]) == ("criterion_met", [value])


def test_infinity_meets_no_criterion_and_is_never_the_best(rose: Rose) -> None:
    stop = "{metric: mine, operator: '>', threshold: 5, range: any,"
    campaign(rose, f"{stop} executable: ./values.sh inf 3 1e999 -inf 4 2}}")
    learner = run(rose)["learner-0"]
    assert (learner["stop_reason"], learner["best_value"]) == ("max_iter", 4)
    assert learner["history"] == [None, 3, None, None, 4, 2]
    assert "inf" in rose("export", "r").out


def test_a_metric_of_ones_own_inherits_no_range(rose: Rose) -> None:
    learners = "[{stop: {metric: mine, operator: '>', threshold: 0.5}}, {name: b, stop: {range: null}}]"
    campaign(rose, "{metric: mse, threshold: 2.5, range: [2, 3], executable: echo 1}", learners)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert [learner["history"] for learner in rose.learners("r").values()] == [[1], [1]]


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
