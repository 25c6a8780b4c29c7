"""Values that programs give, and what is made of them: the reports of results.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose


def run(rose: Rose, stop: str, line: str = "", max_iter: int = 6, more: str = "") -> dict[str, Any]:
    """The learner after a run whose criterion is a shell script of that line; `stop` may name another."""
    rose.script(f"#!/bin/sh\n{line}\n", "check.sh")
    executable = "" if "executable" in stop else ", executable: ./check.sh"
    rose.write(
        f"""
        max_iter: {max_iter}
        tasks: {{training: {{executable: "true"}}}}
        stop: {{{stop}{executable}}}
        learners: 1
        {more}
        """
    )
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code in (0, 1), called.err
    learner: dict[str, Any] = rose.learners("r")["learner-0"]
    return learner


def test_a_file_of_an_earlier_iteration(rose: Rose) -> None:
    line = "test $ROSE_ITERATION != 0 || echo 0.5 > mse.txt"
    learner = run(rose, "metric: mse, threshold: 0.1, read: {file: mse.txt}", line)
    assert learner["history"] == [0.5]
    assert "'mse.txt' was not written in this iteration: it is from iteration 0" in learner["error"]["message"]


@pytest.mark.parametrize("copy", ["true", "false"])
def test_a_file_that_was_brought(rose: Rose, copy: str) -> None:
    rose.write("0.001\n", "mse.txt")
    files = f"files: [{{path: mse.txt, copy: {copy}}}]"
    learner = run(rose, "metric: mse, threshold: 0.1, read: {file: mse.txt}", more=files)
    assert learner["history"] == []
    assert "it comes from 'files'" in learner["error"]["message"]


def test_a_share_given_in_percent(rose: Rose) -> None:
    learner = run(rose, "metric: accuracy, threshold: 0.95, executable: echo 80")
    assert (learner["history"], learner["stop_reason"]) == ([], "failed")
    assert "print 0.8 for 80 %, or set range: [0, 100]" in learner["error"]["message"]


@pytest.mark.parametrize("value", ["-1", "-inf"])
def test_an_infinite_value(rose: Rose, value: str) -> None:
    learner = run(rose, f"metric: mse, threshold: 0.1, executable: echo {value}")
    assert (learner["error"]["kind"], learner["best_value"]) == ("no_metric", None)


@pytest.mark.parametrize(
    ("read", "line", "value"), [("", "1.0D-03", 0.001), (", read: {regex: 'E = *(\\S+)'}", "E =  -0.25D+01", -2.5)]
)
def test_numbers_of_fortran(rose: Rose, read: str, line: str, value: float) -> None:
    stop = f"metric: energy, operator: '<', threshold: -9{read}"
    assert run(rose, stop, f"echo '{line}'", max_iter=1)["history"] == [value]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("np.float64(0.12)", "print(float(x))"),
        ("tensor(0.5)", "print(x.item())"),
        ("0,5", "print 0.5"),
        ("0.5%", "print 0.5 without the %"),
    ],
)
def test_numbers_that_python_shows(rose: Rose, line: str, said: str) -> None:
    learner = run(rose, "metric: mse, threshold: 0.1", f"echo '{line}'")
    assert learner["error"]["kind"] == "no_metric"
    assert said in learner["error"]["message"]
    assert "regex" not in learner["error"]["message"]


def test_a_hint_finds_the_number_that_is_meant(rose: Rose) -> None:
    """What the message proposes is put into the file, and finds the number."""
    line = "echo 'step 40  val_mse: 0.375, lr: 1e-3'"
    said = run(rose, "metric: mse, threshold: 0.1", line)["error"]["message"]
    proposed = said[said.index("read: {") :]
    rose("stop", "r")
    (rose.folder / "r").rename(rose.folder / "first")
    assert run(rose, f"metric: mse, threshold: 0.1, {proposed}", line, max_iter=1)["history"] == [0.375]


def test_lines_of_windows(rose: Rose) -> None:
    stop = "metric: accuracy, threshold: 0.9, read: {regex: '^acc=(\\S+)$'}"
    assert run(rose, stop, "printf 'acc=0.95\\r\\ndone\\r\\n'")["history"] == [0.95]


def test_patience_counts_every_nan(rose: Rose) -> None:
    learner = run(rose, "metric: mse, patience: 3, executable: echo nan")
    assert (learner["stop_reason"], learner["iterations_done"]) == ("no_improvement", 3)


def test_an_improvement_by_just_min_delta(rose: Rose) -> None:
    line = 'set -- 1 0.99 0.98 0.97; shift "$ROSE_ITERATION"; echo "$1"'
    learner = run(rose, "metric: mse, patience: 1, min_delta: 0.01", line)
    assert (learner["stop_reason"], learner["iterations_done"]) == ("no_improvement", 2)


def test_every_replica_counts(rose: Rose) -> None:
    rose.script('#!/bin/sh\necho "{\\"labelled\\": $((ROSE_REPLICA + 3))}"\n', "sim.sh")
    rose.write("{max_iter: 1, learners: 1, tasks: {sim: {executable: ./sim.sh, replicas: 4}}}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    header, row = rose("export", "r").out.splitlines()
    values = dict(zip(header.split(","), row.split(","), strict=True))
    assert [values[f"replica.sim.{number}.labelled"] for number in range(4)] == ["3", "4", "5", "6"]
    assert values["result.labelled"] == "3"


@pytest.mark.parametrize("size", [65536, 65537])
def test_a_report_of_64_kib(rose: Rose, size: int) -> None:
    rose.write(f"print('{{\"pad\": \"' + 'x' * {size - 11} + '\"}}')\n", "sim.py")
    rose.write("{max_iter: 1, learners: 1, tasks: {sim: {executable: '{python} sim.py'}}}")
    called = rose("run", "campaign.yaml", "--run-dir", "r", "--output", "plain")
    learner = rose.learners("r")["learner-0"]
    if size == 65536:
        assert (len(learner["result"]["pad"]), learner["report_problem"]) == (size - 11, None)
    else:
        assert (learner["result"], "65,537 bytes; the maximum is 65,536" in called.out) == ({}, True)
