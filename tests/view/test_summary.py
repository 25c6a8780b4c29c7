"""What stays on the screen: every failure with all that is needed to look into it, and how to go on."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from rich.console import Group
from rich.text import Text

from rose_cli.journal import events as e
from rose_cli.loop.session import SessionResult
from rose_cli.runs.directory import RunDirectory
from rose_cli.view.decided import how_to_continue
from rose_cli.view.summary import RunEnd, print_summary
from tests.view.rendering import rendered
from tests.view.scenarios import Scenario, make_criterion, make_plan, tutorial

if TYPE_CHECKING:
    from pathlib import Path

    from rose_cli.view.failures import Page
    from rose_cli.view.screen import Output


def over(scenario: Scenario, reason: str = "finished", message: str | None = None) -> SessionResult:
    scenario.tell(e.SessionEnded(1, reason, message))
    return SessionResult(reason, message)


def told(scenario: Scenario, directory: Path, ending: SessionResult, page: Page | None = None) -> str:
    end = RunEnd(scenario.plan, scenario.state, RunDirectory(directory), message=ending.message)
    return rendered(Group(Text(), *end.lines(page)), page.columns if page else 400)


def test_the_end_of_an_interrupted_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scenario = tutorial()
    run = tmp_path / "rose-runs" / "my run-1"
    text = told(scenario, run, over(scenario, "interrupted"))
    assert text == dedent(
        f"""
        ✗ learner-4: 'training' failed in iteration 1, attempt 3: exit code 1
          command  python training.py --n_labeled 150
          stderr   Traceback (most recent call last):
                     File "training.py", line 12, in <module>
                   ValueError: no data
          logs     rose logs 'rose-runs/my run-1' learner-4 1 training

        ✗ parallel-tutorial interrupted after 2:31: 1 of 4 learners failed, 1 met the criterion, 2 interrupted
          best     adaptive, mean_squared_error_mse 0.0934 in iteration 6
          run      {run}
          fix      edit /home/ada/parallel-tutorial.yaml or the program that failed, then
          resume   rose resume 'rose-runs/my run-1'
        """
    )


def printed(
    scenario: Scenario, directory: Path, ending: SessionResult, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """The lines of the plain output."""
    print_summary("plain", scenario.plan, scenario.state, RunDirectory(directory), ending)
    return capsys.readouterr().out.splitlines()


def test_the_table_comes_first_where_no_screen_has_left_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = tutorial()
    lines = printed(scenario, tmp_path, over(scenario), capsys)
    assert lines[1] == "parallel-tutorial · until mean_squared_error_mse < 0.1 · local engine"
    assert [line[:15].strip() for line in lines[4:8]] == ["✓ adaptive", "■ per-iteration", "■ static", "✗ learner-4"]


def test_a_run_that_is_through_has_nothing_to_go_on_with(tmp_path: Path) -> None:
    scenario = Scenario.begin(make_plan(("a", "b")))
    for name in ("a", "b"):
        scenario.iterate(name, 0.05)
        scenario.stop(name, "criterion_met")
    lines = told(scenario, tmp_path, over(scenario)).splitlines()
    assert lines[1] == "✓ parallel-tutorial finished in 0:08: 2 of 2 learners met mean_squared_error_mse < 0.1"
    assert lines[-1] == f"  run      {tmp_path}"
    assert not any("resume" in line for line in lines)


def test_many_learners_are_shown_by_those_that_matter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = Scenario.begin(make_plan([f"l{number}" for number in range(60)]))
    lines = printed(scenario, tmp_path, over(scenario, "wall_time", "wall-time limit reached"), capsys)
    assert any(line.startswith("… and ") for line in lines)
    assert "  wall-time limit reached" in lines


def test_a_failure_that_another_attempt_made_up_for_is_not_told(tmp_path: Path) -> None:
    scenario = Scenario.begin(make_plan(("a",), retries=1))
    scenario.fail("a", "simulation")
    scenario.run("a", "simulation")
    scenario.stop("a", "max_iter")
    assert "✗" not in told(scenario, tmp_path, over(scenario))


def test_a_step_that_was_given_up_and_what_stopped_the_campaign_are_told(tmp_path: Path) -> None:
    scenario = Scenario.begin(make_plan(("a", "b")))
    scenario.fail("a", "simulation")
    scenario.tell(e.StepSkipped("a", 0, "simulation", 0, 1))
    for task in ("training", "active_learn", "criterion"):
        scenario.run("a", task)
    scenario.tell(e.IterationFinished("a", 0, 4.0, 0.5))
    scenario.fail("b", "training")
    assert "✗ a: 'simulation' failed in iteration 0" in told(scenario, tmp_path, SessionResult("interrupted"))
    assert "✗ b: " not in told(scenario, tmp_path, SessionResult("interrupted"))
    text = told(scenario, tmp_path, over(scenario, "failed", "'training' failed in the same way 5 times"))
    assert "✗ b: 'training' failed" in text
    assert "✗ parallel-tutorial failed after 0:05: 2 of 2 learners interrupted\n  'training' failed in the same" in text


def test_the_best_of_each_thing_that_is_measured(tmp_path: Path) -> None:
    criteria = (
        make_criterion("mse", "<", 0.1),
        make_criterion("accuracy", ">", 0.9),
        make_criterion("accuracy", ">", 0.8),
    )
    scenario = Scenario.begin(make_plan(("a", "b", "c"), criterion=lambda index: criteria[index]))
    scenario.iterate("a", 0.3, 0.2, 0.4)
    scenario.iterate("b", 0.95)
    scenario.iterate("c", 0.7, 0.96, 0.96)
    lines = told(scenario, tmp_path, over(scenario)).splitlines()
    assert lines[2:4] == ["  best     a, mse 0.2 in iteration 1", "  best     c, accuracy 0.96 in iteration 1"]


def test_learners_that_share_the_best_value_are_named_together(tmp_path: Path) -> None:
    scenario = Scenario.begin(make_plan(("a", "b", "c", "d"), max_iter=2))
    for name, values in (("a", (0.3,)), ("b", (0.5, 0.3)), ("c", (0.4,)), ("d", (0.4,))):
        scenario.iterate(name, *values)
    text = told(scenario, tmp_path, over(scenario, "interrupted"))
    assert "  best     a and b, mean_squared_error_mse 0.3 in iterations 0, 1\n" in text
    scenario.iterate("c", 0.3)
    text = told(scenario, tmp_path, over(scenario, "interrupted"))
    assert "  best     a, b and 1 more, mean_squared_error_mse 0.3 in iterations 0, 1\n" in text


def test_the_iterations_of_equal_learners_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    scenario = Scenario.begin(make_plan(("a", "b"), max_iter=3))
    scenario.iterate("a", 0.5, 0.4, 0.3)
    scenario.iterate("b", 0.5, 0.3)
    text = told(scenario, tmp_path, over(scenario, "interrupted"))
    assert "  best     a and b, mean_squared_error_mse 0.3 in iterations 2, 1\n" in text


def test_what_tasks_printed_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    scenario = Scenario.begin(make_plan(("[red]a[/red]",)))
    scenario.fail("[red]a[/red]", "simulation", stderr=("\x1b]0;owned\x07", "[bold]x[/bold]\t|", "\x9b2J\u202e"))
    scenario.stop("[red]a[/red]", "failed")
    text = told(scenario, tmp_path, over(scenario))
    assert "✗ [red]a[/red]: 'simulation'" in text
    assert "  stderr   ␛]0;owned␇\n           [bold]x[/bold]  |\n           �2J�\n" in text


def test_the_exit_code_is_told_also_where_the_message_is_about_something_else(tmp_path: Path) -> None:
    scenario = Scenario.begin(make_plan(("a",)))
    where = scenario.start("a", "criterion")
    scenario.tell(e.AttemptFailed(*where, "no_metric", "expected a number", "python c.py", "x.err", 1.0, exit_code=0))
    scenario.stop("a", "failed")
    assert "attempt 1: expected a number (exit code 0)\n" in told(scenario, tmp_path, over(scenario))


@pytest.mark.parametrize(
    ("output", "out", "err"),
    [("plain", True, False), ("auto", True, False), ("json", False, True), ("quiet", True, False)],
)
def test_where_each_output_says_it(
    output: Output, out: bool, err: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = tutorial()
    print_summary(output, scenario.plan, scenario.state, RunDirectory(tmp_path), over(scenario))
    captured = capsys.readouterr()
    assert [bool(captured.out), bool(captured.err)] == [out, err]
    text = captured.out + captured.err
    assert "ValueError: no data" in text
    assert text.splitlines()[-1].startswith("  resume   rose resume ")
    assert ("learner  " in text) == (output in ("plain", "auto"))


def test_quiet_says_nothing_where_all_went_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = Scenario.begin(make_plan(("a",)))
    scenario.stop("a", "max_iter")
    print_summary("quiet", scenario.plan, scenario.state, RunDirectory(tmp_path), over(scenario))
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.parametrize(
    ("job", "repeats", "advice"),
    [
        ({}, False, "rose resume r"),
        ({"SLURM_JOB_ID": "7"}, False, "rose resume r  # in the next job"),
        ({"PBS_JOBID": "7"}, True, "submit the script of this job again"),
        ({}, True, "rose resume r"),
    ],
)
def test_in_a_job_the_advice_is_for_the_next_job(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    job: dict[str, str],
    repeats: bool,
    advice: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.isatty", lambda _: False)
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    scenario = Scenario.begin(make_plan(("a", "b")))
    ending = over(scenario, "terminated")
    print_summary("plain", scenario.plan, scenario.state, RunDirectory(tmp_path / "r"), ending, repeats=repeats)
    assert capsys.readouterr().out.splitlines()[-1] == f"  resume   {advice}"


def test_a_run_that_was_submitted_continues_in_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scenario = Scenario.begin(make_plan(("a", "b")))
    ending = over(scenario, "terminated")
    (tmp_path / "r/jobs").mkdir(parents=True)
    assert told(scenario, tmp_path / "r", ending).splitlines()[-1] == "  resume   rose submit r"


SCRIPT = '{"script": "[\\"%s/loop one.py\\", \\"--n\\", \\"2\\"]", "place": 1, "pass": "1", "ended": false}'
NOTEBOOK = '{"script": "[\\"\\"]", "place": 1, "pass": "1", "ended": false}'


@pytest.mark.parametrize(
    ("record", "again", "extended"),
    [
        (SCRIPT, "run the script again: python 'loop one.py' --n 2", "start(max_iter=12, resume='r') in loop one.py"),
        (NOTEBOOK, "start(resume='r') in Python", "start(max_iter=12, resume='r') in Python"),
        (
            None,
            "rose_cli.open_run('r').resume(decide=…) in Python",
            "rose_cli.open_run('r').resume(max_iter=12, decide=…) in Python",
        ),
        ('{"script": 5}', "rose_cli.open_run('r').resume(decide=…) in Python", None),
    ],
)
def test_a_run_that_a_program_decides_goes_on_in_python(
    record: str | None, again: str, extended: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunDirectory(tmp_path / "r")
    run.python.mkdir(parents=True)
    if record is not None:
        (run.python / "script.json").write_text(record.replace("%s", str(tmp_path)), encoding="utf-8")
    assert how_to_continue(run) == again
    assert extended is None or how_to_continue(run, 12) == extended
    scenario = tutorial()
    assert scenario.state.session is not None
    scenario.state.session.decides = True
    text = told(scenario, run.path, over(scenario, "interrupted"))
    assert text.splitlines()[-1] == f"  resume   {again}"


def test_what_is_said_of_a_change_is_no_change_of_its_own(tmp_path: Path) -> None:
    scenario = tutorial()
    notes = ("    not in static, where 'begin' has run or is running: it runs once",)
    scenario.tell(e.PlanChanged(1, ("a: 1 → 2", "b: 1 → 2")))
    scenario.tell(e.PlanChanged(2, ("begin n: 6 → 9", *notes)))
    lines = [line.strip() for line in told(scenario, tmp_path, over(scenario)).splitlines()]
    at = next(place for place, line in enumerate(lines) if line.startswith("changed"))
    assert lines[at : at + 3] == ["changed  a: 1 → 2", "b: 1 → 2", "begin n: 6 → 9"]
    assert not any("earlier change" in line or "it runs once" in line for line in lines)
