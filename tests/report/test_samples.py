"""The sample runs of the report: rose reads all of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from rose_cli.journal.state import Status
from rose_cli.report import data
from rose_cli.run_info import read_run
from rose_cli.runs.directory import RunDirectory
from tests.report.samples import SAMPLES

if TYPE_CHECKING:
    from pathlib import Path

STATUSES = {
    "two": Status.DONE,
    "large": Status.DONE,
    "five-hundred": Status.FAILED,
    "running": Status.RUNNING,
    "interrupted": Status.LOST,
    "resumed": Status.DONE,
    "failed": Status.FAILED,
    "nothing-yet": Status.RUNNING,
    "never-started": Status.PENDING,
    "odd": Status.DONE,
    "without-criterion": Status.DONE,
    "several-metrics": Status.DONE,
    "hostile": Status.FAILED,
    "compared": Status.DONE,
}


@pytest.mark.parametrize("name", sorted(STATUSES.keys() - {"large", "five-hundred"}))
def test_every_sample_is_a_whole_run(name: str, tmp_path: Path) -> None:
    info = read_run(RunDirectory.at(SAMPLES[name](tmp_path)))
    assert info.damage is None
    assert info.status is STATUSES[name]


def test_every_sample_is_known() -> None:
    assert SAMPLES.keys() == {*STATUSES, "ten-thousand"}


def test_numbers_that_json_lacks_are_words() -> None:
    cost = data.Cost(1, 2.00049, math.inf)
    assert data.to_json(data.Report(1.5, "0.1", (), {"a": [math.nan, 2**60, True, None, 3.0]})) == {
        "version": 1,
        "made": 1.5,
        "rose": "0.1",
        "runs": [],
        "comparison": {"a": ["nan", str(2**60), True, None, 3]},
        "refresh": None,
        "metric": None,
    }
    assert data.plain_number(-cost.core_seconds) == "-inf"
