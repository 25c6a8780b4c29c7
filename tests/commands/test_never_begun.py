"""A session killed before its first record: a plan, and an empty or torn journal. Nothing is done, and all can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose


@pytest.fixture(params=[0, 1, 40])
def never_begun(rose: Rose, request: pytest.FixtureRequest) -> Rose:
    """Run `r`, of whose journal only so many bytes were written."""
    rose.write("{max_iter: 2, tasks: {sim: {executable: 'true'}}, learners: [{name: a}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    journal = rose.folder / "r" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[: request.param])
    return rose


def test_it_is_pending(never_begun: Rose) -> None:
    status = never_begun.status("r")
    assert status["status"] == "pending"
    assert [learner["iterations_done"] for learner in status["learners"]] == [0]
    assert "pending" in never_begun("status", "r").out
    assert len(never_begun("export", "r").out.splitlines()) <= 1
    assert "continues in iteration 0" in never_begun("resume", "r", "--dry-run").out


def test_resume_begins_it(never_begun: Rose) -> None:
    called = never_begun("resume", "r")
    assert called.code == 0
    assert "the run begins now" in called.err
    assert never_begun.learners("r")["a"]["iterations_done"] == 2
