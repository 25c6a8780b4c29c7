"""The results as text: at the widths that people have, with whatever tasks report, and no number cut."""

from __future__ import annotations

import re
from dataclasses import replace
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.journal import events as e
from rose_cli.loop.results import Sort, results
from rose_cli.plan.model import CRITERION
from rose_cli.view.results import results_table
from tests.view.rendering import fits, rendered
from tests.view.scenarios import Scenario, make_criterion, make_plan, make_step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPTIONS: dict[str, dict[str, Any]] = {
    "ucb-1": {"--acq": "ucb", "--kappa": 2.5},
    "ucb-2": {"--acq": "ucb", "--kappa": 2.5},
    "random": {"--acq": "random"},
    "greedy": {"--acq": "std", "--kappa": 0.1},
}


def sweep(options: Mapping[str, Mapping[str, Any]] = OPTIONS, task: str = "choose") -> Scenario:
    """A comparison of strategies; each iteration of `task` takes ten seconds."""
    plan = make_plan(list(options), 12, make_criterion("RMSE", "<", 0.15), campaign="pendulum")
    step = make_step(task)
    learners = [
        replace(
            learner, seed=learner.index + 7, steps=(replace(step, otherwise=replace(step.otherwise, options=given)),)
        )
        for learner, given in zip(plan.learners, options.values(), strict=True)
    ]
    return Scenario.begin(replace(plan, learners=tuple(learners)))


def iterate(scenario: Scenario, learner: str, value: float | None, report: Mapping[str, Any]) -> None:
    number = len(scenario.state.learners[learner].iterations)
    step = next(each for each in scenario.plan.learners if each.name == learner).steps[0]
    where = (learner, number, step.task, 0, 1)
    scenario.tell(e.AttemptStarted(*where, options=dict(step.otherwise.options)))
    scenario.now += 10.0
    scenario.tell(e.AttemptSucceeded(*where, seconds=10.0, result=report))
    scenario.run(learner, CRITERION, 0.5, value)
    scenario.tell(e.IterationFinished(learner, number, 10.5, value))


def compared() -> Scenario:
    scenario = sweep()
    for name, values in {
        "ucb-1": (0.3, 0.1834),
        "ucb-2": (0.31, 0.22, 0.14012),
        "random": (0.4, 0.1423, 0.25),
        "greedy": (0.9,),
    }.items():
        for number, value in enumerate(values):
            iterate(scenario, name, value, {"labeled": 100 * (number + 1), "fit": value / 3})
    scenario.stop("ucb-2", "criterion_met")
    scenario.stop("random", "max_iter")
    return scenario


def lines(
    scenario: Scenario, width: int, sort: Sort = "best", shown: Sequence[str] | None = None, *, alive: bool = True
) -> list[str]:
    found = results(scenario.plan, scenario.state, scenario.now, sort)
    table = results_table(scenario.plan, found, found.changed if shown is None else shown, sort, width, alive=alive)
    return rendered(table, width).splitlines()


def expect(got: list[str], text: str) -> None:
    assert "\n".join(got) == dedent(text).strip("\n")


def test_four_learners_in_80_columns() -> None:
    expect(
        lines(compared(), 80),
        """
        pendulum · until RMSE < 0.15 · 4 learners · best value first

          learner         best     last     met after  --acq   --kappa  iterations  time
        ✓ ucb-2    ★0.14012 @2  0.14012  3 iterations  ucb         2.5           3  32 s
        • random    0.14230 @1  0.25000  2 iterations  random        —           3  32 s
        ▸ ucb-1     0.18340 @1  0.18340       not met  ucb         2.5           2  21 s
        ▸ greedy    0.90000 @0  0.90000       not met  std         0.1           1  10 s

        not shown: seed, labeled, fit, core-seconds; use a wider window, or --format csv

        repeats  n  best             met after
        ucb      2  0.16176 ± 0.031  3.00 (1 of 2 met)
        repeats differ only in name and seed; mean ± sample standard deviation of best
        values and of iterations
        """,
    )


def test_four_learners_in_120_columns() -> None:
    expect(
        [line[:110].rstrip() for line in lines(compared(), 120)],
        """
        pendulum · until RMSE < 0.15 · 4 learners · best value first

          learner         best     last     met after  --acq   --kappa  seed  labeled        fit  iterations  time  co
        ✓ ucb-2    ★0.14012 @2  0.14012  3 iterations  ucb         2.5     8      300  0.0467067           3  32 s
        • random    0.14230 @1  0.25000  2 iterations  random        —     9      200  0.0474333           3  32 s
        ▸ ucb-1     0.18340 @1  0.18340       not met  ucb         2.5     7      200  0.0611333           2  21 s
        ▸ greedy    0.90000 @0  0.90000       not met  std         0.1    10      100        0.3           1  10 s

        repeats  n  best             met after
        ucb      2  0.16176 ± 0.031  3.00 (1 of 2 met)
        repeats differ only in name and seed; mean ± sample standard deviation of best values and of iterations
        """,
    )


def test_four_learners_in_50_columns() -> None:
    expect(
        lines(compared(), 50),
        """
        pendulum · until RMSE < 0.15 · 4 learners

          learner         best     last  --acq   --kappa
        ✓ ucb-2    ★0.14012 @2  0.14012  ucb         2.5
        • random    0.14230 @1  0.25000  random        —
        ▸ ucb-1     0.18340 @1  0.18340  ucb         2.5
        ▸ greedy    0.90000 @0  0.90000  std         0.1

        not shown: met after, seed, labeled, fit,
        iterations, time, core-seconds; use a wider
        window, or --format csv

        repeats  n  best             met after
        ucb      2  0.16176 ± 0.031  3.00 (1 of 2 met)
        repeats differ only in name and seed; mean ±
        sample standard deviation of best values and of
        iterations
        """,
    )


def test_what_a_learner_is_sorted_by_is_shown() -> None:
    shown = {sort: lines(compared(), 80, sort) for sort in ("iterations", "time", "core-seconds", "name")}
    assert [line.split()[1] for line in shown["iterations"][3:7]] == ["random", "ucb-2", "ucb-1", "greedy"]
    assert re.search(r" 2 iterations ", shown["iterations"][3])
    assert re.search(r" 21 s ", shown["time"][3])
    assert re.search(r" 21.0 core-s ", shown["core-seconds"][3])
    assert all(" not met " in line for line in shown["time"][5:7])
    assert [line.split()[1] for line in shown["name"][3:7]] == ["greedy", "random", "ucb-1", "ucb-2"]
    assert "shortest time to the threshold first" in shown["time"][0]


@pytest.mark.parametrize("width", range(30, 200, 9))
def test_no_number_is_cut_at_any_width(width: int) -> None:
    got = lines(compared(), width)
    assert fits(got, width, 99)
    assert not re.search(r"\d…|…\d", "\n".join(got))
    assert any("★0.14012 @2" in line for line in got)


def test_columns_that_do_not_fit_are_named() -> None:
    names = " ".join(lines(compared(), 60)).partition("not shown: ")[2]
    titles = set(lines(compared(), 200)[2].split())
    shown = set(lines(compared(), 60)[2].split())
    assert titles - shown
    assert all(title in names for title in titles - shown)
    assert "not shown" not in " ".join(lines(compared(), 200))


def test_replicas_have_all_their_values_or_the_range_of_many() -> None:
    scenario = sweep()
    where = [("ucb-1", 0, "choose", replica, 1) for replica in range(9)]
    for replica, place in enumerate(where):
        scenario.tell(e.AttemptStarted(*place), e.AttemptSucceeded(*place, 1.0, {"loss": replica / 7, "n": 1}))
    scenario.run("ucb-1", CRITERION, 1.0, 0.5)
    scenario.tell(e.IterationFinished("ucb-1", 0, 2.0, 0.5))
    line = lines(scenario, 200)[3]
    assert " 0 to 1.14286 " in line
    assert " 1, 1, 1, 1, 1, 1, 1, 1, " not in line


def test_without_a_criterion_options_and_reports_remain() -> None:
    plan = sweep().plan
    scenario = Scenario.begin(replace(plan, learners=tuple(replace(each, criterion=None) for each in plan.learners)))
    scenario.run("random", "choose", 10.0)
    scenario.tell(e.IterationFinished("random", 0, 10.0, None))
    got = lines(scenario, 120)
    assert got[0] == "pendulum · 4 learners"
    assert not any("repeats" in line for line in got), "no value, no spread"
    assert got[2].split()[:3] == ["learner", "--acq", "--kappa"]
    assert "best" not in got[2].split()


def test_different_metrics_have_their_names() -> None:
    scenario = sweep()
    other = replace(scenario.plan.learners[0], criterion=make_criterion("accuracy", ">", 0.9))
    scenario = Scenario.begin(replace(scenario.plan, learners=(other, *scenario.plan.learners[1:])))
    iterate(scenario, "ucb-1", 0.5, {})
    iterate(scenario, "random", 0.5, {})
    got = lines(scenario, 120)
    assert got[2].split()[:4] == ["learner", "metric", "threshold", "best"]
    assert re.search(r" accuracy +> 0\.9 ", got[3] + got[4])
    assert sum("★" in line for line in got) == 2


def test_a_metric_with_different_thresholds_is_named_in_the_title() -> None:
    scenario = sweep()
    other = replace(scenario.plan.learners[0], criterion=make_criterion("RMSE", "<", 0.3))
    scenario = Scenario.begin(replace(scenario.plan, learners=(other, *scenario.plan.learners[1:])))
    got = lines(scenario, 120)
    assert got[0].startswith("pendulum · metric RMSE · 4 learners")
    assert "threshold" in got[2].split()


def test_options_come_before_programs() -> None:
    plan = sweep().plan
    step = plan.learners[0].steps[0]
    command = replace(step.otherwise, words=("python", "other.py"), args=("x",))
    other = replace(plan.learners[0], steps=(replace(step, otherwise=command),))
    heading = lines(Scenario.begin(replace(plan, learners=(other, *plan.learners[1:]))), 200)[2]
    places = [heading.index(name) for name in ("--acq", "--kappa", "executable", "args")]
    assert max(places[:2]) < min(places[2:])


def test_what_tasks_report_and_names_cannot_act_on_the_terminal() -> None:
    scenario = sweep({"[red]a": {"--x\x1b[2J": "\x1b]0;x\x07"}, "b\n": {"--x\x1b[2J": "[bold]"}})
    iterate(scenario, "[red]a", 0.3, {"k\x9b": "v\u202e", "long": "x" * 500, "deep": {"a": [1, None]}})
    text = "\n".join(lines(scenario, 200))
    assert "[red]a" in text
    assert "[bold]" in text
    assert not set(text) & set("\x1b\x07\r\t\x9b\u202e")


def test_every_learner_has_its_line() -> None:
    names = [f"l{number}" for number in range(500)]
    got = lines(Scenario.begin(make_plan(names)), 80)
    assert [line.split()[1] for line in got[3:503]] == names
