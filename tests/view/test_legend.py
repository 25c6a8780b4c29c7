"""The legend: complete, and made of the signs that the table is drawn with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rose_cli.journal import events as e
from rose_cli.view import columns
from rose_cli.view.campaign_line import Facts
from rose_cli.view.legend import COLUMNS, HINT, SIGNS, legend_lines
from rose_cli.view.progress import BARS, DisplayStatus
from rose_cli.view.table import campaign_table
from tests.view.rendering import rendered, table_lines
from tests.view.scenarios import Scenario, crowd, make_criterion, make_plan, tutorial

if TYPE_CHECKING:
    from collections.abc import Callable

PUNCTUATION = " /.,:;()[]-_<=+%"
"""In numbers, names and sentences, not signs."""


def odd() -> Scenario:
    """What the tutorial lacks: replicas, a cancelled learner, no value, an equal one, nothing seen of a task."""
    plan = make_plan(("a", "b", "c-with-quite-a-long-name", "d", "e"), replicas=4)
    scenario = Scenario.begin(plan)
    for value in (0.5, None, 0.7, 0.7):
        scenario.iterate("a", value)
    scenario.stop("b", "cancelled")
    scenario.stop("d", "no_improvement")
    scenario.stop("e", "criterion_met")
    scenario.start("a", "simulation", attempt=3, replica=1)
    return scenario


def interrupted() -> Scenario:
    scenario = tutorial()
    scenario.tell(e.SessionEnded(1, "interrupted"))
    return scenario


def unseen() -> Scenario:
    scenario = Scenario.begin(make_plan(("a", "b")))
    scenario.run("a", "simulation")
    scenario.start("a", "training")
    return scenario


@pytest.mark.parametrize("make", [tutorial, odd, interrupted, unseen, lambda: crowd(60, 10, 20, 5)])
@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
def test_every_sign_of_the_table_is_explained(make: Callable[[], Scenario], width: int) -> None:
    scenario = make()
    explained = set("".join(sign for sign, _ in SIGNS)) | set(BARS)
    shown = "".join(table_lines(scenario, width, 30))
    assert {sign for sign in shown if not sign.isalnum()} - set(PUNCTUATION) <= explained


def test_every_status_is_explained() -> None:
    for status in DisplayStatus:
        (meaning,) = (meaning for sign, meaning in SIGNS if sign == status.mark)
        assert status.words in meaning


def test_every_heading_is_explained_and_is_the_same_at_every_width() -> None:
    criteria = (make_criterion("mse"), make_criterion("accuracy", ">", 0.9), None)
    plan = make_plan(("a", "b", "c"), criterion=lambda index: criteria[index])
    measures = columns.measure(plan, Scenario.begin(plan).state)
    titles = {column.title.strip() for width in range(1, 300) for column in columns.choose_columns(measures, width)}
    assert titles - {""} == set(COLUMNS)


def test_the_legend_fits_its_window() -> None:
    for width, height in ((80, 20), (50, 9), (120, 36), (30, 3), (5, 1)):
        lines = [line.plain for line in legend_lines(width, height)]
        assert len(lines) <= height
        assert all(len(line) <= width for line in lines)
    assert [line.plain for line in legend_lines(50, 9)][-1] == "… the rest: rose status --legend"
    assert "…" not in "".join(line.plain for line in legend_lines(80, 20)[:-1]), "no meaning is cut there"
    assert "rose status" not in "".join(line.plain for line in legend_lines(80, 20)), "at 80 by 24 it is whole"


def test_the_legend_in_place_of_the_learners() -> None:
    scenario = tutorial()
    table = campaign_table(
        scenario.plan, scenario.state, Facts(scenario.now, 1, 2), (80, 23), hint=HINT, instead=legend_lines
    )
    lines = rendered(table, 80).splitlines()
    assert len(lines) <= 23
    assert lines[0] == "parallel-tutorial · until mean_squared_error_mse < 0.1 · local engine"
    assert lines[2].split() == ["▸", "running", "learner", "its", "name"]
    assert lines[-1] == "16 of at most 38 iterations · 1 of 2 cores · ~2 to 3 min left"
    short = replace(scenario.plan, campaign="t")
    wide = rendered(campaign_table(short, scenario.state, Facts(scenario.now), (80, 23), hint=HINT), 80)
    assert wide.splitlines()[0].endswith(" · ? for the legend")
