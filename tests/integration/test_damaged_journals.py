"""A journal that is damaged in the middle: what can be read is shown, nobody goes on as if it were all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose


@pytest.fixture
def damaged(rose: Rose) -> Rose:
    """Run `r`, whose learner ran three iterations, damaged where the third begins."""
    rose.write("{max_iter: 3, tasks: {sim: {executable: 'true'}}, learners: [{name: a}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    journal = rose.folder / "r" / "journal.jsonl"
    text = journal.read_text(encoding="utf-8")
    at = text.index('"iteration":2')
    journal.write_text(text[:at] + "?" + text[at + 1 :], encoding="utf-8")
    return rose


def test_status_shows_what_stands_before_the_damage_and_says_so(damaged: Rose) -> None:
    called = damaged("status", "r")
    assert called.code == 0
    assert "2/3" in called.out
    assert "output incomplete" in called.err
    assert "is damaged at line" in called.err
    status = damaged.status("r")
    assert "is damaged at line" in status["damage"]
    assert status["learners"][0]["iterations_done"] == 2


def test_list_and_logs_work(damaged: Rose) -> None:
    (damaged.folder / "rose-runs").mkdir()
    (damaged.folder / "r").rename(damaged.folder / "rose-runs" / "r")
    assert "is damaged at line" in damaged.json("list", "--format", "json")[0]["note"]
    assert damaged("logs", "r").code == 0


@pytest.mark.parametrize("command", [("resume", "r"), ("resume", "r", "--dry-run"), ("export", "r")])
def test_what_needs_all_of_it_refuses_and_names_the_line(damaged: Rose, command: tuple[str, ...]) -> None:
    called = damaged(*command)
    assert called.code == 4
    assert called.out == ""
    assert "is damaged at line" in called.err
