"""A picture of a run that was: from its directory, at any moment."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from rose_cli.journal.codec import encode
from rose_cli.plan.file import dump_plan
from rose_cli.runs.directory import RunDirectory
from tests.view.scenarios import tutorial
from tools.picture import run_svg

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
