"""A picture of a run that was: from its directory, at any moment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from rose_cli.journal.codec import encode
from rose_cli.plan.file import dump_plan
from rose_cli.runs.directory import RunDirectory
from tests.conftest import REPOSITORY
from tests.view.scenarios import tutorial
from tools.picture import report_html, run_svg

if TYPE_CHECKING:
    from pathlib import Path


def recorded(path: Path) -> RunDirectory:
    scenario = tutorial()
    directory = RunDirectory(path)
    directory.plan.write_text(dump_plan(scenario.plan, path), encoding="utf-8")
    directory.journal.write_bytes(b"".join(map(encode, scenario.records)))
    return directory


def words(svg: str) -> str:
    return " ".join(ET.fromstring(svg).itertext()).replace("\xa0", " ")


def test_a_picture_of_the_last_moment_and_of_an_earlier_one(tmp_path: Path) -> None:
    directory = recorded(tmp_path)
    last = words(run_svg(directory))
    assert "criterion met" in last
    assert "1 of 2 cores" in last
    earlier = words(run_svg(directory, records=20, width=80))
    assert "criterion met" not in earlier
    assert "0.4800" in earlier


def test_a_picture_is_the_same_every_time_and_needs_no_network(tmp_path: Path) -> None:
    directory = recorded(tmp_path)
    svg = run_svg(directory)
    assert svg == run_svg(directory)
    assert svg.count("http") == svg.count('xmlns="http://www.w3.org/2000/svg"')


def test_the_picture_of_a_report_names_no_path_and_no_host_of_the_machine_that_draws_it(tmp_path: Path) -> None:
    directory = recorded(tmp_path)
    page = report_html(directory)
    (run,) = json.loads(page.split('<script id="data" type="application/json">')[1].split("</script>")[0])["runs"]
    assert run["directory"] == "/home/ann/tutorial/rose-runs/tutorial-20250131-1"
    assert {session["host"] for session in run["sessions"]} == {"node017"}
    assert page == report_html(directory)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_pictures_of_a_report_are_small_and_the_pages_show_both(theme: str) -> None:
    picture = REPOSITORY / "docs" / f"report-{theme}.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size <= 150_000
    for page in ("README.md", "docs/report.md"):
        assert picture.name in (REPOSITORY / page).read_text(encoding="utf-8")
