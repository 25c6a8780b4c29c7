"""The benchmarks run, in a size that says nothing, and their page is of the form that they write."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.__main__ import SECTIONS, measure
from benchmarks.measure import BenchmarkError, measured, ratios, spread
from benchmarks.report import Result, Section, Size, compared, form, page
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="they read /proc")

PAGE = REPOSITORY / "docs" / "benchmarks.md"


def test_all_of_it_runs_and_writes_a_page_of_the_form_of_the_documentation(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "--tiny",
        "--results",
        str(tmp_path),
        "--write",
        str(tmp_path / "it.md"),
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert form((tmp_path / "it.md").read_text(encoding="utf-8")) == form(PAGE.read_text(encoding="utf-8")), (
        "run: make bench"
    )
    results = [Result.stored(tmp_path, section.name) for section in SECTIONS]
    assert [result.failed for result in results if result] == [None] * len(SECTIONS)
    assert all(result.rows for result in results if result)


def test_a_section_that_fails_is_named_and_keeps_the_others(tmp_path: Path) -> None:
    def broken(size: Size) -> Iterator[list[str]]:
        yield ["first", "kept"]
        raise OSError(f"no disk for {size.name}")

    def works(_: Size) -> list[list[str]]:
        return [["row", "1 | 2"]]

    sections = [Section(run.__name__, run.__name__, "Text.", "nothing.", ("", "x"), run) for run in (broken, works)]
    for section in sections:
        measure(section, Size.TINY).store(tmp_path)
    written = page(sections, tmp_path, {"Disk": "slow"})
    assert "Not measured to the end: OSError: no disk for TINY. Tried on" in written
    assert "| first | kept |" in written
    assert "| row | 1 \\| 2 |" in written
    assert form(written)[-3:] == ["Text.", "What is unfair: nothing.", "|  | x |"]


def test_a_program_is_measured_with_what_it_started(tmp_path: Path) -> None:
    work = "sum(range(6_000_000))"
    script = f"import subprocess, sys; {work}; subprocess.run([sys.executable, '-c', '{work};{work}'])"
    reading = measured([sys.executable, "-c", script], tmp_path)
    assert 0 < reading.own < reading.children < reading.wall
    assert reading.cpu == reading.own + reading.children
    assert reading.peak > 1


def test_a_program_that_fails_or_does_not_end_is_an_error_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="ended with 3: why"):
        measured(["sh", "-c", "echo why; exit 3"], tmp_path)
    with pytest.raises(BenchmarkError, match=r"was killed after 0\.2 s: begun"):
        measured(["sh", "-c", "echo begun; sleep 60"], tmp_path, limit=0.2)


def test_figures_are_medians_with_quartiles() -> None:
    assert spread([3.0], "ms") == "3.00 ms"
    assert spread([1, 2, 3, 4, 1000], "ms") == "3.00 ms (2.00–4.00)"  # noqa: RUF001
    assert ratios([2, 9, 5], [1, 3, 0]) == [2, 3]
    assert compared("x", [2, 4], [2, 2], "s", at_most=1.5)[-1].endswith(": yes")
    assert compared("x", [2, 4], [2, 2], "s", at_most=1.4)[-1].endswith(": no")
    assert compared("x", [2, 4], [2, 2], "ms", ours_at_most=2.5)[-1] == "≤ 2.5 ms: no"
