"""What failed: equal failures together, the first cause on the screen, and a command for its log."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len
from rich.console import Group

from rose_cli.journal import events as e
from rose_cli.runs.directory import RunDirectory
from rose_cli.view.failures import Page, causes, failure_lines, failures
from rose_cli.view.summary import RunEnd
from rose_cli.view.wording import short_path
from tests.view.rendering import rendered
from tests.view.scenarios import Scenario, make_plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def failure(learner: str, *stderr: str, **changes: Any) -> e.AttemptFailed:
    facts: dict[str, Any] = {
        "iteration": 0, "task": "train", "replica": 0, "attempt": 1, "kind": "exited", "message": "exit code 2",
        "command": f"python train.py --name {learner}", "seconds": 1.0, "exit_code": 2,
    }  # fmt: skip
    facts.update(changes)
    log = f"learners/{learner}/logs/{facts['iteration']}/{facts['task']}.1.err"
    return e.AttemptFailed(learner, log=log, stderr_tail=stderr, **facts)


def grouped(*found: e.AttemptFailed) -> list[list[str]]:
    return [cause.learners for cause in causes(found)]


ALIKE = {
    "no output": ((), ()),
    "the same lines": (("ValueError: no data",), ("ValueError: no data",)),
    "the learner's name": (("cannot open one.npz of 'one'",), ("cannot open two.npz of 'two'",)),
    "a name that is a word": (("the one file is missing",), ("the one file is missing",)),
    "workspaces": (("no /r/x-1/learners/one/workspace/a.npz",), ("no /r/x-1/learners/two/workspace/a.npz",)),
    "temporary files": (("no /tmp/tmpab12cd/x",), ("no /tmp/tmpzz98_q/x",)),
    "values": (("lr 0.3 is too large",), ("lr 1e-05 is too large",)),
    "hosts, processes, addresses": (("[node017:4711] at 0x7f00aa",), ("[node103:99] at 0x55de01",)),
    "progress": (("12%|██  | 12/100 [00:01<00:07]", "no data"), ("99%|██████ | 99/100 [00:09<00:00]", "no data")),
    "what comes before a traceback": (
        ("epoch one", "Traceback (most recent call last):", "KeyError: 'x'"),
        ("Traceback (most recent call last):", "KeyError: 'x'"),
    ),
}


@pytest.mark.parametrize("name", ALIKE)
def test_failures_that_differ_only_in_what_is_the_learners_own_are_one_cause(name: str) -> None:
    one, two = ALIKE[name]
    assert grouped(failure("one", *one), failure("two", *two)) == [["one", "two"]]


DIFFERENT: dict[str, tuple[dict[str, Any], Sequence[str], Sequence[str]]] = {
    "task": ({"task": "label"}, (), ()),
    "iteration": ({"iteration": 1}, (), ()),
    "exit code": ({"exit_code": 3}, (), ()),
    "signal": ({"exit_code": None, "signal": 9, "kind": "signalled"}, (), ()),
    "message": ({"message": "needs the interpreter 'x'"}, (), ()),
    "words": ({}, ("ValueError: no data",), ("ValueError: no labels",)),
    "one more line": ({}, ("no data",), ("disk full", "no data")),
    "a line of the program": ({}, ('File "a.py", line 12',), ('File "a.py", line 57',)),
    "a status": ({}, ("HTTP 404",), ("HTTP 500",)),
    "an error number": ({}, ("[Errno 2] x",), ("[Errno 13] x",)),
    "types": ({}, ("expected float32",), ("expected float64",)),
    "another learner's name": ({}, ("'one' is missing",), ("'one' is missing",)),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_no_cause_hides_another(name: str) -> None:
    changes, one, two = DIFFERENT[name]
    together = name == "another learner's name"  # the very same text is the same cause
    found = grouped(failure("one", *one), failure("two", *two, **changes))
    assert found == ([["one", "two"]] if together else [["one"], ["two"]])


def test_the_first_cause_in_time_comes_first(tmp_path: Path) -> None:
    scenario = Scenario.begin(make_plan(("a", "b", "c", "d")))
    for name, output in (("d", "late data"), ("b", "no data"), ("a", "late data"), ("c", "no data")):
        scenario.fail(name, "simulation", stderr=(output,))
        scenario.stop(name, "failed")
    found = failures(scenario.plan, scenario.state, "finished")
    assert [cause.learners for cause in causes(found)] == [["d", "a"], ["b", "c"]]
    text = rendered(Group(*failure_lines(found, RunDirectory(tmp_path))), 100)
    assert text.index("2 learners failed") < text.index("late data") < text.index("no data")


def test_every_replica_that_failed_is_reported(tmp_path: Path) -> None:
    """A learner's last failure is not its only one: its replicas may fail for different reasons."""
    scenario = Scenario.begin(make_plan(("a",)))
    for replica, output in enumerate(("no data", "no GPU", "no data")):
        where = scenario.start("a", "simulation", replica=replica)
        scenario.tell(e.AttemptFailed(*where, "exited", "exit code 1", "sim", "x.err", 1.0, 1, None, (output,)))
    scenario.stop("a", "failed")
    found = failures(scenario.plan, scenario.state, "finished")
    text = rendered(Group(*failure_lines(found, RunDirectory(tmp_path))), 100)
    assert "✗ a: 'simulation' (replicas 0, 2) failed in iteration 0, attempt 1: exit code 1\n" in text
    assert "✗ a: 'simulation' (replica 1) failed in iteration 0, attempt 1: exit code 1\n" in text


def test_the_first_attempt_is_reported_too_if_it_failed_for_another_reason(tmp_path: Path) -> None:
    """The first failure may be the cause, and the last one only what it left behind."""
    scenario = Scenario.begin(make_plan(("a", "b"), retries=2))
    for attempt, output in enumerate(("out of memory", "x exists", "x exists"), 1):
        scenario.fail("a", "simulation", attempt, stderr=(output,))
        scenario.fail("b", "simulation", attempt, stderr=("x exists",))
    scenario.stop("a", "failed")
    scenario.stop("b", "failed")
    found = failures(scenario.plan, scenario.state, "finished")
    assert [(error.learner, error.attempt) for error in found] == [("a", 1), ("a", 3), ("b", 3)]
    text = rendered(Group(*failure_lines(found, RunDirectory(tmp_path))), 100)
    assert text.startswith("✗ a: 'simulation' failed in iteration 0, attempt 1: exit code 1\n")
    assert "✗ 2 learners failed in the same way: 'simulation', iteration 0, exit code 1\n" in text


def test_a_failure_that_a_retry_made_good_is_not_what_stopped_the_campaign() -> None:
    scenario = Scenario.begin(make_plan(("a", "b"), retries=1))
    scenario.fail("a", "simulation")
    scenario.run("a", "simulation")
    scenario.fail("b", "simulation")
    scenario.tell(e.SessionEnded(1, "failed", "'simulation' failed in the same way 2 times in a row: exit code 1"))
    assert [error.learner for error in failures(scenario.plan, scenario.state, "failed")] == ["b"]


def crash(count: int, *, other: bool = False) -> Scenario:
    """All learners fail in the same way; with `other`, one more differently."""
    names = [f"learner-{number}" for number in range(count)]
    scenario = Scenario.begin(make_plan([*names, *(["odd"] if other else [])], campaign="digits"))
    stderr = ("usage: train.py [-h] --hidden HIDDEN", "train.py: error: argument --hidden: invalid int value: '32 32'")
    for name in names:
        scenario.fail(name, "training", stderr=stderr)
        scenario.stop(name, "failed")
    if other:
        scenario.fail("odd", "training", stderr=("out of memory",))
        scenario.stop("odd", "failed")
    scenario.tell(e.SessionEnded(1, "finished"))
    return scenario


def end_of(scenario: Scenario, run: Path, columns: int, lines: int) -> list[str]:
    """The end of the run as a terminal of that size shows it."""
    end = RunEnd(scenario.plan, scenario.state, RunDirectory(run))
    return [line.plain for line in end.lines(Page(columns, lines - 2))]


GOLDEN = """\
    ✗ 1000 learners failed in the same way: 'training', iteration 0, exit code 1
      learners learner-0, learner-1, learner-2 and 997 more
      command  python training.py --n_labeled 150
      stderr   usage: train.py [-h] --hidden HIDDEN
               train.py: error: argument --hidden: invalid int value: '32 32'
      logs     rose logs rose-runs/digits-1 learner-0 0 training

    ✗ odd: 'training' failed in iteration 0, attempt 1: exit code 1

    ✗ digits failed after 16:41: 1001 of 1001 learners failed
      run      RUN
      fix      edit /home/ada/digits.yaml or the program that failed, then
      resume   rose resume rose-runs/digits-1
"""


@pytest.mark.parametrize("columns", [50, 80, 120])
def test_a_thousand_equal_failures_on_a_terminal(tmp_path: Path, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is wrapped by rose, so that commands can be copied whole; the terminal itself wraps long lines."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "rose-runs/digits-1"
    lines = end_of(crash(1000, other=True), run, columns, 24)
    assert "\n".join(lines) + "\n" == dedent(GOLDEN).replace("RUN", str(run))


@pytest.mark.parametrize("columns", [50, 80, 120])
@pytest.mark.parametrize("causes_", [1, 2, 3, 9, 40])
def test_the_first_cause_and_the_way_on_are_on_the_last_screen(tmp_path: Path, columns: int, causes_: int) -> None:
    names = [f"learner-{number}" for number in range(causes_)]
    scenario = Scenario.begin(make_plan(names, campaign="digits"))
    for number, name in enumerate(names):
        frames = [f'  File "train.py", line {line}, in step' for line in range(9)]
        scenario.fail(name, "training", stderr=(*frames, f"ValueError: {'abcdefghij'[number % 10] * (1 + number)}"))
        scenario.stop(name, "failed")
    scenario.tell(e.SessionEnded(1, "finished"))
    lines = end_of(scenario, tmp_path / "r", columns, 24)
    rows = [max(1, -(-cell_len(line) // columns)) for line in lines]
    first = next(number for number, line in enumerate(lines) if line.startswith("✗ learner-0"))
    assert sum(rows[first:]) <= 23
    text = "\n".join(lines)
    assert "ValueError: a\n" in text, "the last line of standard error stays"
    if columns >= 80:
        assert text.count("✗ learner-") == min(causes_, 4)
    assert ("more cause" in text) == (causes_ > text.count("✗ learner-"))


def test_off_a_terminal_ten_causes_are_shown_in_full(tmp_path: Path) -> None:
    found = [failure(f"l{number}", "x" * number) for number in range(13)]
    text = rendered(Group(*failure_lines(found, RunDirectory(tmp_path))), 400)
    assert text.count("  command  ") == 10
    assert f"✗ and 3 more causes: rose logs {short_path(tmp_path)} --failed\n" in text


def test_where_a_file_is_missing_the_workspace_is_shown(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    missing = failure("a", "FileNotFoundError: [Errno 2] No such file or directory: 'x.npz'")
    text = rendered(Group(*failure_lines([missing], run)), 400)
    assert f"  in       {tmp_path}/learners/a/workspace\n" in text
    assert "  in  " not in rendered(Group(*failure_lines([failure("a", "ValueError: x")], run)), 400)


def test_paths_and_names_are_quoted_for_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = rendered(Group(*failure_lines([failure("it's", "x")], RunDirectory(tmp_path / "my run"))), 400)
    assert """  logs     rose logs 'my run' 'it'"'"'s' 0 train\n""" in text


def test_the_logs_of_a_task_without_output_are_not_advised(tmp_path: Path) -> None:
    run, error = RunDirectory(tmp_path), failure("a", "x")
    log = tmp_path / error.log
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    assert "rose logs" not in rendered(Group(*failure_lines([error], run)), 400)
    log.write_text("why\n")
    assert "rose logs" in rendered(Group(*failure_lines([error], run)), 400)
