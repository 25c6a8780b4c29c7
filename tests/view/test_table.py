"""The table as text: at the widths that people have, with what people call things, and never larger than its window."""

from __future__ import annotations

import math
import re
import time
from dataclasses import replace
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.text import Text

from rose_cli.journal import events as e
from rose_cli.view.campaign_line import Facts
from rose_cli.view.selection import LearnerSelection
from rose_cli.view.table import campaign_table
from tests.view.rendering import fits, rendered, table_lines
from tests.view.scenarios import Scenario, crowd, make_criterion, make_plan, tutorial
from tests.work import on_an_idle_machine

if TYPE_CHECKING:
    from rose_cli.plan.model import CriterionPlan


def expect(lines: list[str], text: str) -> None:
    assert "\n".join(lines) == dedent(text).strip("\n")


def test_four_learners_in_a_window_of_80_by_24() -> None:
    expect(
        table_lines(tutorial(), 80, 24),
        """
        parallel-tutorial · until mean_squared_error_mse < 0.1 · local engine

          learner        done  now                last        best      elapsed     left
        ✓ adaptive       7/15  criterion met   0.09340 ↓  ★0.09340 @6      0:56
        ▸ per-it…ation   4/15  training #2      0.2311 ↓    0.2311 @3      1:35    ~2:09
        ▸ static         4/15  waiting          0.8100 ↑    0.7700 @2      0:44    ~0:52
        ✗ learner-4      1/15  failed           0.9000      0.9000 @0      0:07

        4 learners · 2 running · 1 failed · 1 done · 2:31 · 4 failed attempts
        16 of at most 38 iterations · 2 of 2 cores · ~2 to 3 min left
        """,
    )


@pytest.mark.parametrize(("seconds", "shown"), [(0.9, "0:00"), (12.4, "0:12"), (119, "1:59"), (3725, "1h 02m")])
def test_what_the_engine_does_stands_in_the_place_of_the_cores(seconds: float, shown: str) -> None:
    scenario = tutorial()
    facts = Facts(scenario.now, cores=2, doing=("starting pilot", scenario.now - seconds))
    lines = rendered(campaign_table(scenario.plan, scenario.state, facts, (80, 24)), 80).splitlines()
    assert lines[-1] == f"16 of at most 38 iterations · starting pilot … {shown} · ~2 to 3 min"
    lines = rendered(campaign_table(scenario.plan, scenario.state, facts, (120, 24)), 120).splitlines()
    assert lines[-1].endswith(" · ~2 to 3 min after the pilot starts")


def test_four_learners_in_a_window_of_120_by_40() -> None:
    lines = table_lines(tutorial(), 120, 40)
    expect(
        [line[:103].rstrip() for line in lines],
        """
        parallel-tutorial · until mean_squared_error_mse < 0.1 · local engine

          learner                   done  now                   last                  best      status
        ✓ adaptive       ━━━╌╌╌╌╌   7/15  —                  0.09340 ↓ █▆▇▄▂▁▁    ★0.09340 @6   criterion met
        ▸ per-iteration  ━━╌╌╌╌╌╌   4/15  training #2         0.2311 ↓ █▆▄▁         0.2311 @3   running
        ▸ static         ━━╌╌╌╌╌╌   4/15  waiting             0.8100 ↑ █?▁▇         0.7700 @2   running
        ✗ learner-4      ╌╌╌╌╌╌╌╌   1/15  —                   0.9000                0.9000 @0   failed

        4 learners · 2 running · 1 failed · 1 done · 2:31 · 4 failed attempts · 66 tasks done
        16 of at most 38 iterations · 2 of 2 cores · ~2 to 3 min left
        """,
    )
    assert [line[103:].split() for line in lines[2:5]] == [["elapsed", "left"], ["0:56"], ["1:35", "~2:09"]]


def test_four_learners_in_a_window_of_50_by_14() -> None:
    expect(
        table_lines(tutorial(), 50, 13),
        """
        parall…torial · until mean_squared_error_mse < 0.1

          learner      done  now                  best
        ✓ adaptive     7/15  criterion met    ★0.09340 @6
        ▸ per-i…tion   4/15  training #2        0.2311 @3
        ▸ static       4/15  waiting            0.7700 @2
        ✗ learner-4    1/15  failed             0.9000 @0

        4 learners · 2 running · 1 failed · 1 done · 2:31
        16 of at most 38 iterations · ~2 to 3 min left
        """,
    )


def test_four_learners_in_a_window_of_40_by_5() -> None:
    expect(
        table_lines(tutorial(), 40, 5),
        """
        ✓ adaptive   7/15  criter…  ★0.09340 @6
        ▸ per-…ion   4/15  tra… #2    0.2311 @3
        ▸ static     4/15  waiting    0.7700 @2
        ✗ lear…r-4   1/15  failed     0.9000 @0
        16 of at most 38 iterations
        """,
    )


def test_columns_do_not_move_while_the_run_goes_on() -> None:
    scenario = Scenario.begin(tutorial().plan)
    head = table_lines(scenario, 100, 24)[2]
    for record in tutorial().records[2:]:
        scenario.now = record.time
        scenario.tell(record.event)
        assert table_lines(scenario, 100, 24)[2] == head


def test_nan_is_shown_as_such_and_in_red() -> None:
    scenario = Scenario.begin(make_plan(("a",)))
    scenario.iterate("a", 0.5, math.nan)
    assert "     nan   ▄?" in table_lines(scenario, 100, 24)[3]
    table = campaign_table(scenario.plan, scenario.state, Facts(scenario.now), (100, 24))
    assert "\x1b[1;31m     nan" in rendered(table, 100, color=True)


@pytest.mark.parametrize(
    ("operator", "values", "looks"),
    [
        ("<", (0.5, 0.4), ("32m", "★0.4000 @1")),
        ("<", (0.4, 0.5), ("31m", "★0.4000 @0")),
        (">", (0.4, 0.5), ("32m", "★0.5000 @1")),
        ("==", (0.4, 0.2), ("32m", "★0.2000 @1")),
    ],
)
def test_the_colour_says_whether_the_last_value_got_better_and_the_star_is_at_the_best(
    operator: str, values: tuple[float, float], looks: tuple[str, str]
) -> None:
    criterion = make_criterion("own", operator, 0.1)  # type: ignore[arg-type]
    scenario = Scenario.begin(make_plan(("a", "b"), criterion=criterion))
    scenario.iterate("a", *values)
    shown = rendered(campaign_table(scenario.plan, scenario.state, Facts(scenario.now), (100, 24)), 100, color=True)
    assert f"\x1b[{looks[0]}  {values[1]:.4f}" in shown
    assert looks[1] in Text.from_ansi(shown).plain


def test_a_metric_without_value_and_a_campaign_without_criterion() -> None:
    scenario = Scenario.begin(make_plan(("a",)))
    scenario.iterate("a", None, 0.4)
    assert " 0.4000   ·▄ " in table_lines(scenario, 100, 24)[3]
    bare = Scenario.begin(make_plan(("a", "b"), criterion=None))
    bare.iterate("a", None)
    lines = table_lines(bare, 100, 24)
    assert lines[0] == "parallel-tutorial · local engine"
    assert lines[2].split() == ["learner", "done", "now", "status", "elapsed", "left"]
    assert " ~0:" in lines[3]
    assert lines[-1].startswith("1 of 30 iterations · "), "nothing can end it sooner"


def test_a_learner_that_has_done_more_than_it_may_now_is_not_counted_beyond_its_bound() -> None:
    scenario = Scenario.begin(make_plan(("a",), max_iter=1))
    scenario.iterate("a", 0.5, 0.4)
    text = "\n".join(table_lines(scenario, 120, 24))
    assert "2/1" not in text
    assert " 2 " in text


def test_without_max_iter_there_is_no_bound_and_nothing_left_to_tell() -> None:
    scenario = Scenario.begin(make_plan(("a",), max_iter=None))
    scenario.iterate("a", 0.5, 0.4)
    lines = table_lines(scenario, 120, 24)
    assert "left" not in lines[2].split()
    assert lines[3].split()[:3] == ["▸", "a", "2"]


def test_a_bound_that_was_given_later_counts() -> None:
    scenario = Scenario.begin(make_plan(("a",), max_iter=2))
    scenario.iterate("a", 0.5, 0.4)
    scenario.tell(e.MaxIterChanged(20))
    assert " 2/20 " in table_lines(scenario, 80, 24)[3]


def test_different_criteria_are_named_in_their_lines() -> None:
    criteria: tuple[CriterionPlan | None, ...] = (
        make_criterion("mse", "<", 0.1),
        make_criterion("accuracy", ">", 0.95),
        make_criterion("accuracy", ">", None),
        None,
    )
    scenario = Scenario.begin(make_plan(("a", "b", "c", "d"), criterion=lambda index: criteria[index]))
    scenario.iterate("a", 0.5)
    scenario.iterate("b", 0.5)
    scenario.iterate("c", 0.6)
    lines = table_lines(scenario, 120, 24)
    assert lines[0] == "parallel-tutorial · local engine"
    assert "mse < 0.1" in lines[3]
    assert "accuracy > 0.95" in lines[4]
    assert "accuracy patience 5" in lines[5]
    assert lines[2].split() == ["learner", "done", "now", "last", "best", "threshold", "status", "elapsed", "left"]
    # a star for the best of each thing that is measured
    assert ["★" in line for line in lines[3:7]] == [True, False, True, False]


def test_a_metric_with_different_thresholds_is_named_in_the_title() -> None:
    criteria = (make_criterion("mse", "<", 0.1), make_criterion("mse", "<", 0.2))
    scenario = Scenario.begin(make_plan(("a", "b"), criterion=lambda index: criteria[index]))
    lines = table_lines(scenario, 80, 24)
    assert lines[0] == "parallel-tutorial · metric mse · local engine"
    assert lines[2].split()[-2:] == ["threshold", "elapsed"]
    assert ["< 0.1" in lines[3], "< 0.2" in lines[4]] == [True, True]


@pytest.mark.parametrize("width", range(40, 160, 7))
def test_no_number_is_cut_at_any_width(width: int) -> None:
    scenario = Scenario.begin(make_plan(("a", "b"), max_iter=None))
    scenario.iterate("a", *[-1.23456e-05] * 12, seconds=0.001)
    scenario.iterate("b", 1234567.0, -123.456, seconds=0.001)
    first, second = table_lines(scenario, width, 24)[3:5]
    assert re.search(r" -1(\.2)?e-05 @0\b", first)
    assert re.search(r"★-123\.5 @1\b", second)


def test_replicas_and_attempts_stay_readable_where_the_name_is_cut() -> None:
    task = "a-very-long-name-of-a-task"
    scenario = Scenario.begin(make_plan(("a", "b"), tasks=(task,), replicas=4))
    scenario.run("a", task)
    scenario.start("a", task, replica=1)
    scenario.start("a", task, replica=2)
    scenario.start("b", task, attempt=12)
    assert "a-very-lo… 1/4 " in table_lines(scenario, 80, 24)[3]
    assert "a-ver… 0/4 #12 " in table_lines(scenario, 80, 24)[4]
    brief = Scenario.begin(make_plan(("a",), tasks=("train",), replicas=4))
    brief.start("a", "train", attempt=2)
    assert " train 0/4, attempt 2 " in table_lines(brief, 130, 24)[3]


def test_a_learner_says_what_it_waits_for() -> None:
    plan = make_plan(("a", "b", "c", "d"), retries=1)
    step = plan.learners[0].steps[0]
    delayed = replace(step, otherwise=replace(step.otherwise, retry_pause_seconds=60.0))
    learners = tuple(replace(learner, steps=(delayed, *learner.steps[1:])) for learner in plan.learners)
    scenario = Scenario.begin(replace(plan, learners=learners, limits=replace(plan.limits, max_parallel_learners=3)))
    scenario.tell(e.SessionStarted(1, "host", 1, "local", cores=1))
    scenario.fail("a", "simulation")
    scenario.start("b", "simulation")
    scenario.now += 30.4
    lines = table_lines(scenario, 80, 24)
    assert [line[18:33].strip() for line in lines[3:7]] == [
        "retry in 0:30", "simulation", "waiting: cores", "waiting: place",
    ]  # fmt: skip
    assert " waiting: retry in 0:30 " in table_lines(scenario, 150, 24)[3]
    assert lines[-1].startswith("0 of at most 60 iterations · ")
    assert "1 waits for cores, 1 for a place, 1 for a retry" in table_lines(scenario, 120, 24)[-1]


def test_time_between_two_sessions_is_nobodys_time() -> None:
    scenario = Scenario.begin(make_plan(("a",)))
    scenario.iterate("a", 0.5, seconds=10.0)
    where = scenario.start("a", "simulation")
    scenario.now += 5.0
    scenario.tell(e.AttemptCancelled(*where, reason="interrupted"), e.SessionEnded(1, "interrupted"))
    assert "interrupted" in table_lines(scenario, 80, 24)[3]
    scenario.now += 86400.0
    scenario.tell(e.SessionStarted(2, "host", 1, "local"))
    assert table_lines(scenario, 80, 24)[3].startswith("· a ")
    scenario.start("a", "simulation", attempt=2)
    scenario.now += 3.0
    assert "simulation #2" in table_lines(scenario, 80, 24)[3]
    assert " 0:48 " in table_lines(scenario, 80, 24)[3], "it never jumps back"
    assert " · 0:48 · " in table_lines(scenario, 80, 24)[-2]


def test_a_learner_whose_session_died_is_lost() -> None:
    scenario = tutorial()
    table = campaign_table(scenario.plan, scenario.state, Facts(scenario.now, alive=False), (120, 24))
    lines = rendered(table, 120).splitlines()
    assert [" interrupted " in line for line in lines[3:7]] == [False, True, True, False]
    assert "cores" not in lines[-1]


@pytest.mark.parametrize(
    "name",
    [
        "[red]x[/red]",
        ":boom:",
        "表示" * 50,
        "x" * 100,
        "e\u0301" * 40,
        "👩\u200d👩\u200d👧" * 30,
        "\x1b]0;pwned\x07\x1b[2J",
        "a\nb\rc\td",
        "\u202etxt.exe",
    ],
)
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 5), (17, 9), (1, 1)])
def test_any_name_fits_and_nothing_of_it_acts(name: str, size: tuple[int, int]) -> None:
    scenario = Scenario.begin(make_plan((name, "b"), campaign=name, criterion=make_criterion(name)))
    scenario.iterate(name, 0.5)
    lines = table_lines(scenario, *size)
    assert fits(lines, *size)
    assert not set("".join(lines)) & set("\x1b\x07\r\t\u202e")


def test_markup_in_a_name_is_just_its_name() -> None:
    scenario = Scenario.begin(make_plan(("[red]x[/red]", ":boom:")))
    lines = table_lines(scenario, 80, 24)
    assert lines[3].startswith("· [red]x[/red] ")
    assert lines[4].startswith("· :boom: ")


def test_long_names_keep_both_ends() -> None:
    names = [f"training.--learning_rate={rate},simulation.--n_features=4" for rate in (0.1, 0.01)]
    lines = table_lines(Scenario.begin(make_plan(names)), 80, 24)
    assert lines[3].startswith("· traini…res=4 ")


def test_thirty_learners_in_24_lines_and_in_13() -> None:
    scenario = crowd(30, done=5, running=8, failed=2)
    lines = table_lines(scenario, 80, 24)
    assert lines[3:6] == [
        "✓ learner-001   1/15  criterion met     0.9000      0.9000 @0      0:00",
        "• learner-002   2/15  max_iter          0.8001 ↓    0.8001 @1      0:00",
        "• learner-003   3/15  max_iter          0.7002 ↓    0.7002 @2      0:00",
    ]
    assert lines[-4:] == [
        "… and 13 more: 13 pending; 13 wait for cores",
        "",
        "30 learners · 8 running · 2 failed · 5 done · 15 pending · 0:01",
        "36 of at most 361 iterations · 2 of 2 cores · 21 wait for cores · ~10 s left",
    ]
    narrow = table_lines(scenario, 50, 13)
    assert len(narrow) == 13
    assert narrow[0] == "parall…torial · until mean_squared_error_mse < 0.1"
    assert narrow[-4] == "… and 24 more: 5 running, 4 done, 15 pending; 20…"
    assert narrow[-1] == "36 of at most 361 iterations · ~10 s left"


def test_three_hundred_learners_show_those_that_matter_and_count_the_rest() -> None:
    scenario = crowd(300, done=81, running=17, failed=2)
    lines = table_lines(scenario, 80, 24)
    assert len(lines) == 24
    names = [line.split()[1] for line in lines[3:20]]
    assert names[:5] == ["learner-004", "learner-082", "learner-083", "learner-084", "learner-085"]
    assert [line[0] for line in lines[3:20]] == ["✓", "✗", "✗", *"▸" * 14]
    assert lines[20] == "… and 283 more: 3 running, 80 done, 200 pending; 203 wait for cores"
    assert lines[22].startswith("300 learners · 17 running · 2 failed · 81 done · 200 pending · ")
    assert lines[23] == "250 of at most 3461 iterations · 2 of 2 cores · 215 wait for cores · ~1 min left"


def test_ten_thousand_learners_are_redrawn_in_20_milliseconds() -> None:
    scenario = crowd(10_000, done=3000, running=600, failed=50, active=64)
    selection = LearnerSelection(scenario.plan, scenario.state)
    table_lines(scenario, 120, 40, selection)
    seconds = []
    for number in range(15):
        for place in range(3051 + number, 3115 + number):
            selection.touch(f"learner-{place:03}")
        began = time.process_time()
        lines = table_lines(scenario, 120, 40, selection)
        seconds.append(time.process_time() - began)
        assert fits(lines, 120, 40)
    assert on_an_idle_machine(min(seconds)) < 0.020


NAMES = st.text(st.characters(exclude_categories=()), max_size=30)
VALUES = st.one_of(st.none(), st.floats())


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Runs of any length with any names and values, stopped anywhere."""
    names = draw(st.lists(NAMES, min_size=1, max_size=12, unique=True))
    criterion = draw(st.sampled_from([None, make_criterion(), make_criterion("accuracy", ">=", 0.9)]))
    max_iter = draw(st.sampled_from([None, 1, 15, 10**9]))
    tasks = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    scenario = Scenario.begin(make_plan(names, max_iter, criterion, tasks, campaign=draw(NAMES)))
    for name in names:
        scenario.iterate(name, *draw(st.lists(VALUES, max_size=4)), seconds=draw(st.sampled_from([0.0, 7.0, 4e6])))
        _leave_off(draw, scenario, name, tasks[0])
    if draw(st.booleans()):
        scenario.tell(e.SessionEnded(1, "interrupted"))
    return scenario


def _leave_off(draw: st.DrawFn, scenario: Scenario, name: str, task: str) -> None:
    match draw(st.sampled_from(["waits", "runs", "fails", "stops"])):
        case "runs":
            scenario.start(name, task, draw(st.integers(1, 1000)))
        case "fails":
            scenario.fail(name, task)
            scenario.stop(name, "failed")
        case "stops":
            scenario.stop(name, draw(st.sampled_from(["criterion_met", "max_iter", "no_improvement", "cancelled"])))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenarios(), st.integers(1, 200), st.integers(1, 40))
def test_the_table_is_never_larger_than_its_window(scenario: Scenario, width: int, height: int) -> None:
    assert fits(table_lines(scenario, width, height), width, height)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenarios(), st.integers(1, 60), st.integers(1, 200))
def test_a_kept_roster_draws_what_a_new_one_would(scenario: Scenario, height: int, width: int) -> None:
    told = Scenario(scenario.plan)
    selection = LearnerSelection(told.plan, told.state)
    for record in scenario.records:
        told.now = record.time
        told.tell(record.event)
        selection.touch(getattr(record.event, "learner", None))
        selection.refresh()
    told.now = scenario.now
    height = max(height, len(scenario.plan.learners) + 10)  # where all are shown, there is no memory of who was
    assert table_lines(told, width, height, selection) == table_lines(scenario, width, height)
