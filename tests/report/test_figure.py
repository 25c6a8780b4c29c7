"""Charts as figures for papers: drawn by the real matplotlib, which only the other environment has."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, TypeAlias
from xml.etree import ElementTree as ET

import pytest

from rose_cli.report.figure import CHARTS
from tests.conftest import PATIENCE, REPOSITORY
from tests.others import other_python
from tests.report import samples

if TYPE_CHECKING:
    from pathlib import Path

    from rose_cli.report.figure import Chart
    from tests.conftest import Rose

pytestmark = pytest.mark.xdist_group("figures")

SHOWN: dict[str, tuple[tuple[str, ...], tuple[Chart, ...]]] = {
    "two": (("two",), CHARTS),
    "odd": (("odd",), ("curves",)),
    "hostile": (("hostile",), CHARTS),
    "resumed": (("resumed",), ("curves", "timeline", "cores")),
    "nothing": (("nothing-yet",), ("curves", "timeline")),
    "many": (("large",), ("curves", "ranking")),
    "both": (("two", "resumed"), ("curves", "timeline")),
}
"""Runs, and charts of them."""

Wanted: TypeAlias = "tuple[str, list[str], str, str, dict[str, object]]"
"""A name, the runs, the chart, the form, and more."""

DRAW = """\
import json, pathlib, sys
from rose_cli.report.build import report
from rose_cli.report.figure import figure
from rose_cli.report.reading import Reading
from rose_cli.runs.directory import RunDirectory
out, figures = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
for name, runs, chart, form, given in figures:
    read = [Reading(RunDirectory.at(pathlib.Path(run))).read() for run in runs]
    (out / f"{name}-{chart}.{form}").write_bytes(figure(report(read, 1.8e9), chart, form, **given))
"""


def draw(out: Path, figures: list[Wanted], **variables: str) -> None:
    """Each of them as a file `NAME-CHART.FORM`."""
    done = subprocess.run(
        [other_python(), "-W", "error::UserWarning", "-c", DRAW, str(out), json.dumps(figures)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    errors = [line for line in done.stderr.splitlines() if "font cache" not in line]  # that of a new home
    assert (done.returncode, errors) == (0, [])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The directories of sample runs by name."""
    other_python()
    folder = tmp_path_factory.mktemp("runs")
    names = sorted({name for names, _ in SHOWN.values() for name in names})
    return {name: str(samples.SAMPLES[name](folder)) for name in names}


@pytest.fixture(scope="module")
def figures(runs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every chart of the samples as SVG, and two as PNG."""
    out = tmp_path_factory.mktemp("figures")
    wanted: list[Wanted] = [
        (name, [runs[run] for run in names], chart, "svg", {})
        for name, (names, charts) in SHOWN.items()
        for chart in charts
    ]
    wanted += [
        ("two", [runs["two"]], "curves", "png", {}),
        ("odd", [runs["odd"]], "curves", "png", {"width_mm": 180, "dpi": 100}),
    ]
    draw(out, wanted)
    return out


def texts(file: Path) -> list[str]:
    """The texts of an SVG: matplotlib puts each into a comment before its outlines."""
    found = re.findall("<!-- (.*?) -->", file.read_text(encoding="utf-8"), re.DOTALL)
    return [text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for text in found]


@pytest.mark.parametrize(("name", "chart"), [(name, chart) for name, (_, charts) in SHOWN.items() for chart in charts])
def test_every_chart_is_whole_and_has_outlines_for_texts(figures: Path, name: str, chart: str) -> None:
    data = (figures / f"{name}-{chart}.svg").read_bytes()
    root = ET.fromstring(data)  # the run is forged, the file is ours
    assert root.attrib["width"].startswith("252.2"), "89 mm in points"
    kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert "path" in kinds
    assert kinds & {"text", "script", "foreignObject", "a"} == set()
    rest = re.sub(rb"<!--.*?-->|d=\"[^\"]*\"|<metadata>.*?</metadata>", b"", data, flags=re.DOTALL)
    assert not re.search(rb"\d{4}-\d\d-\d\d|nan|\binf\b", rest)
    assert b"<dc:date>" not in data


def test_curves_have_their_threshold_and_the_best_so_far(figures: Path) -> None:
    assert {"adaptive", "static", "best so far", "< 0.2", "iteration", "rmse"} <= set(texts(figures / "two-curves.svg"))


def test_of_many_learners_the_distribution_is_drawn(figures: Path) -> None:
    found = texts(figures / "many-curves.svg")
    assert {"10th to 90th percentile of 64", "median", "best so far", "0.001"} <= set(found)
    assert "learner-3" not in found


def test_the_timeline_shows_what_failed_was_lost_and_waited(figures: Path) -> None:
    assert {"simulate", "train", "failed", "lost", "cancelled", "waiting", "time (min)"} <= set(
        texts(figures / "resumed-timeline.svg")
    )


def test_cores_and_ranks(figures: Path) -> None:
    assert {"cores", "in use", "available"} <= set(texts(figures / "resumed-cores.svg"))
    found = texts(figures / "two-ranking.svg")
    assert {"1 of 2 learners met their criterion", "static", "iterations", "core-hours", "11"} <= set(found)
    assert "none of 64 learners has met its criterion" in texts(figures / "many-ranking.svg")
    assert "no value yet" in texts(figures / "nothing-curves.svg")


def test_several_runs_are_told_apart_by_their_names(figures: Path) -> None:
    found = texts(figures / "both-curves.svg")
    assert any(text.startswith("two: adaptive") for text in found)
    assert any(text.startswith("resumed: ") for text in found)
    assert {"two", "resumed"} <= set(texts(figures / "both-timeline.svg"))


def test_a_png_has_the_size_that_was_asked_for(figures: Path) -> None:
    def width(name: str) -> int:
        data = (figures / name).read_bytes()
        assert data.startswith(b"\x89PNG")
        return int(struct.unpack(">I", data[16:20])[0])

    assert width("two-curves.png") == round(89 / 25.4 * 300)
    assert abs(width("odd-curves.png") - 180 / 25.4 * 100) <= 1


def test_the_same_run_gives_the_same_bytes(figures: Path, runs: dict[str, str], tmp_path: Path) -> None:
    """In another process, another time zone, with another order of sets and another style of the user's."""
    (tmp_path / "matplotlibrc").write_text("font.size: 20\naxes.grid: True\nsavefig.dpi: 30\n")
    wanted: list[Wanted] = [("resumed", [runs["resumed"]], chart, "svg", {}) for chart in ("curves", "timeline")]
    wanted.append(("two", [runs["two"]], "curves", "png", {}))
    draw(tmp_path, wanted, PYTHONHASHSEED="7", TZ="Asia/Tokyo", MATPLOTLIBRC=str(tmp_path / "matplotlibrc"))
    for file in [*tmp_path.glob("*.svg"), *tmp_path.glob("*.png")]:
        assert file.read_bytes() == (figures / file.name).read_bytes(), file.name


def test_without_matplotlib_the_way_to_install_it_is_said(rose: Rose) -> None:
    samples.two(rose.folder)
    called = rose("report", "rose-runs/two", "--format", "svg")
    assert (called.code, called.out) == (2, "")
    if "matplotlib" not in sys.modules:
        assert called.err.startswith("error: --format svg needs matplotlib, which cannot be imported")
        assert "pip install 'rose-cli[plots]'" in called.err


@pytest.mark.parametrize("flags", [("--chart", "cores"), ("--width", "120"), ("--dpi", "100", "--format", "md")])
def test_only_a_picture_has_a_chart_a_width_and_dots(rose: Rose, flags: tuple[str, ...]) -> None:
    samples.two(rose.folder)
    called = rose("report", "rose-runs/two", *flags)
    assert (called.code, called.err.splitlines()[0]) == (2, "error: --chart, --width and --dpi are for one chart")


def test_the_command_writes_the_chart_beside_the_run(rose: Rose, runs: dict[str, str]) -> None:
    done = subprocess.run(
        [other_python(), "-m", "rose_cli", "report", runs["two"], "--format", "svg", "--chart", "ranking"],
        cwd=rose.folder,
        env={**rose.environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("two/report.ranking.svg\n")
