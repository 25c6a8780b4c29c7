"""`rose status RUN RUN`: runs compared, for people and for programs."""

from __future__ import annotations

import shutil
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose

CAMPAIGN = """
    name: sweep
    max_iter: 3
    tasks:
      train: {{executable: "true", options: {{--lr: {rate}, --token: "{token}"}}}}
    stop: {{metric: rmse, operator: <, threshold: {threshold}, executable: "cat {{campaign_dir}}/value"}}
    learners: [{{name: a}}, {{name: b}}]
    """


@pytest.fixture
def runs(rose: Rose) -> Rose:
    rose.write("0.2\n", "value")
    rose.write(CAMPAIGN.format(rate="0.1", token="tok-1234567890", threshold=0.3))
    rose("run", "campaign.yaml", "--output", "quiet")
    rose.write("0.1\n", "value")
    rose.write(CAMPAIGN.format(rate="0.20", token="tok-0987654321", threshold=0.05))
    rose("run", "campaign.yaml", "--output", "quiet")
    return rose


def names(rose: Rose) -> list[str]:
    return sorted(f"rose-runs/{path.name}" for path in (rose.folder / "rose-runs").iterdir() if not path.is_symlink())


def test_two_runs_in_one_table(runs: Rose) -> None:
    called = runs("status", *names(runs), COLUMNS="150")
    lines = called.out.splitlines()
    assert lines[0] == "sweep · 2 runs"
    assert lines[2].split() == [
        "run", "status", "threshold", "best", "of", "met", "first", "after", "in", "for", "core-h", "iterations",
        "time", "core-h",
    ]  # fmt: skip
    assert lines[3].startswith("✓ 1 rose-runs/sweep-")
    assert "0.20000  a @0  2 of 2  1 iteration" in lines[3]
    assert "★0.10000  a @0  0 of 2  —" in lines[4]
    sums = [sha256(text).hexdigest()[:8] for text in (b"0.2\n", b"0.1\n")]
    assert [line.split() for line in lines[6:] if line.strip()] == [
        ["differs", "1", "2"],
        ["train.--lr", "0.1", "0.20"],
        ["train.--token", "********", "********"],
        ["stops", "at", "rmse", "<", "0.3", "rmse", "<", "0.05"],
        ["value", *sums],
    ]
    assert (called.code, called.err) == (0, "")


def test_a_comparison_as_json(runs: Rose) -> None:
    found = runs.json("status", *names(runs), "--format", "json")
    assert set(found) == {"runs", "common_learners", "differences"}
    first, second = found["runs"]
    assert (first["campaign"], first["status"], first["learners"], first["iterations"]) == ("sweep", "done", 2, 2)
    assert first["metrics"][0]["first_met"]["iterations"] == 1
    assert first["metrics"][0]["first_met"]["core_seconds"] > 0
    assert (second["metrics"][0]["first_met"], second["metrics"][0]["is_best"]) == (None, True)
    assert {"kind": "setting", "name": "train.--lr", "learners": [], "values": ["0.1", "0.20"]} in found["differences"]


def test_the_same_run_twice_is_one_run(runs: Rose) -> None:
    first, second = names(runs)
    assert runs("status", second, "rose-runs/latest").out == runs("status", second).out
    assert runs("status", first, second, "rose-runs/latest").out == runs("status", first, second).out


@pytest.mark.parametrize("width", [20, 44, 80, 200])
def test_no_line_is_wider_than_the_window(runs: Rose, width: int) -> None:
    out = runs("status", *names(runs), COLUMNS=str(width)).out
    if width > 40:
        assert max(map(len, out.splitlines())) <= width
    assert ("not shown: " in out) == (width < 100)
    if width == 20:
        assert "\ntrain.--lr\n  1  0.1\n  2  0.20\n" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--watch",), "--watch shows a single run"),
        (("--results",), "--results shows a single run"),
        (("--sort", "best"), "--results shows a single run"),
        (("--format", "csv"), "only the results are available as CSV"),
    ],
)
def test_what_only_one_run_has(runs: Rose, flags: tuple[str, ...], message: str) -> None:
    called = runs("status", *names(runs), *flags)
    assert (called.code, message in called.err) == (2, True)


def test_a_damaged_journal_is_reported_with_its_run(runs: Rose) -> None:
    first, second = names(runs)
    journal = runs.folder / second / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:4], b"x\n", *lines[5:]]))
    called = runs("status", first, second)
    assert called.err.startswith(f"error: the journal of '{second}' is damaged, and the output incomplete: ")
    assert called.code == 0


def test_a_run_that_cannot_be_read_is_an_error(runs: Rose) -> None:
    first, second = names(runs)
    shutil.copy(runs.folder / "value", runs.folder / second / "plan.json")
    called = runs("status", first, second)
    assert (called.code, called.out) == (4, "")
