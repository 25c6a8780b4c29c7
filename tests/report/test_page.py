"""The page of a report, as a real browser shows it. Each report is opened from its file, as a reader would."""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
import select
import subprocess
import sys
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.report import html
from rose_cli.report.data import Part
from tests.conftest import REPOSITORY
from tests.others import browser, node_module, other_python
from tests.report.forged import forged, forged_run, left_out
from tests.report.samples import SAMPLES, object_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("browser")

CURVES, TIMELINE = "[data-chart=curves]", "[data-chart=timeline]"
MINUS = "\N{MINUS SIGN}"
MOST_BYTES = 1_500_000
ASSETS = REPOSITORY / "rose_cli" / "report" / "assets"
ASKING = {"evaluate", "drawn", "axe", "loads"}
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\u202e\u2028\ud800"


class Reader:
    """A browser for all tests of the file, in the environment that has Playwright."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        axe = node_module("axe-core/axe.min.js")
        command = [other_python(), str(REPOSITORY / "tests" / "report" / "browser.py"), browser(), str(axe)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def visit(self, report: Mapping[str, Any], *steps: list[Any], clean: bool = True, **context: Any) -> list[Any]:
        """What the steps that ask give. `clean`: the browser has no complaint, and asks for nothing but the file."""
        file = self.folder / f"{hashlib.sha256(json.dumps(report).encode()).hexdigest()[:16]}.html"
        if not file.exists():
            file.write_text(html.html_page(report), encoding="utf-8")
        answer = self.ask({"file": str(file), "steps": steps, **context})
        if clean:
            assert answer["complaints"] == []
            assert [each for each in answer["requests"] if not each.startswith("data:")] == [file.as_uri()]
        return [result for step, result in zip(steps, answer["results"], strict=True) if step[0] in ASKING]

    def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        assert select.select([self.process.stdout], [], [], 120)[0], "the browser does not answer"
        answer = json.loads(self.process.stdout.readline())
        assert isinstance(answer, dict)
        assert "error" not in answer, answer["error"]
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    made = Reader(tmp_path_factory.mktemp("pages"))
    yield made
    made.close()


def js(expression: str) -> list[Any]:
    return ["evaluate", expression]


def text(selector: str) -> list[Any]:
    return js(f"document.querySelector({json.dumps(selector)})?.innerText ?? null")


def of_chart(name: str, expression: str) -> list[Any]:
    """Something of a chart: `option` is what ECharts draws, `model` what it makes of it."""
    return js(
        f"((chart) => (({{option, model}}) => {expression})({{option: chart.getOption(), model: chart.getModel()}}))"
        f"(echarts.getInstanceByDom(document.querySelector('[data-chart={name}]')))"
    )


FIRST = "option.series.find((one) => one.id === 'learner 0')"
Y_LABELS = "model.getComponent('yAxis').axis.getViewLabels().map((label) => label.formattedLabel)"
NAMES = "[option.xAxis[0].name, option.yAxis[0].name]"

CHART = "echarts.getInstanceByDom(document.querySelector('[data-chart=curves]'))"
ROWS = js("[...document.querySelectorAll('#ranking tbody tr:not([hidden])')].map((row) => row.cells[2].innerText)")
LINES = of_chart("curves", "option.series.filter((one) => one.id.startsWith('learner')).length")
LIT = js("document.querySelector('#ranking tr.lit')?.cells[2].innerText ?? null")


ZOOM = of_chart("curves", "[option.dataZoom[0].start, option.dataZoom[0].end]")


# --- the file --------------------------------------------------------------------------------------------------------


def test_the_library_is_the_one_that_npm_distributes_with_its_licences() -> None:
    library = (ASSETS / html.LIBRARY).read_bytes()
    assert hashlib.sha256(library).hexdigest() == html.LIBRARY_SHA256
    assert library == node_module("echarts/dist/echarts.min.js").read_bytes()
    for ours, theirs in {
        "echarts-LICENSE.txt": "echarts/LICENSE",
        "echarts-NOTICE.txt": "echarts/NOTICE",
        "d3-LICENSE.txt": "echarts/licenses/LICENSE-d3",
        "zrender-LICENSE.txt": "zrender/LICENSE",
    }.items():
        assert (ASSETS / "licences" / ours).read_bytes() == node_module(theirs).read_bytes()


def test_a_wheel_has_all_that_the_page_needs_with_the_licences(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for asset in ASSETS.iterdir():
        assert asset.is_dir() or f"rose_cli/report/assets/{asset.name}" in names
    licences = {name.rpartition("/")[2] for name in names if ".dist-info/licenses/" in name}
    assert licences == {"LICENSE", *(each.name for each in (ASSETS / "licences").iterdir())}


def test_the_policy_allows_the_scripts_and_the_style_of_the_page_only() -> None:
    page = html.html_page(forged(forged_run()))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; ")
    assert "unsafe" not in policy[1]
    assert policy[1].count("sha256-") == 3
    assert not re.search(r'\son\w+="|\sstyle="|<link[^>]+href="https?:|src="https?:', page.split("<script>")[0])


def test_nothing_of_a_report_can_end_its_block_of_data() -> None:
    run = replace(forged_run(), name=HOSTILE, campaign=HOSTILE, headline=HOSTILE)
    page = html.html_page(forged(run))
    assert page.count("</script>") == 3
    data = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert data[1].isascii()
    assert not set("<>&") & set(data[1])
    assert json.loads(data[1])["runs"][0]["campaign"] == HOSTILE
    assert page.isascii() or page.encode("utf-8")


def test_a_report_on_64_learners_with_50_iterations_of_4_tasks_is_below_1_5_megabytes() -> None:
    run = forged_run(64, 67)  # 3 tasks each: 12,864 attempts, as 50 iterations of 4 tasks have
    chance = random.Random(1)
    times = [[round(chance.uniform(0, 60), 3) for _ in run.tasks.start] for _ in range(3)]  # nothing to compress
    start = sorted(200 * each for each in times[0])
    report = forged(replace(run, tasks=replace(run.tasks, start=start, seconds=times[1], waited=times[2])))
    assert len(html.html_page(report).encode()) <= MOST_BYTES


def test_times_and_best_values_come_back_as_they_were(reader: Reader) -> None:
    run = forged_run(3, 5)
    values = [0.5, None, 0.75, math.nan, 0.25]
    learner = replace(
        run.learners[0], values=values, best=[0.5, 0.5, 0.5, 0.5, 0.25], seconds=[0.001, 2.5, 3, 100, 7200.125]
    )
    cells = "[...document.querySelectorAll('#curves .data tbody tr')].slice(0, 5).map((row) => row.cells[{}].innerText)"
    best, seconds = reader.visit(
        forged(replace(run, learners=(learner,))),
        ["click", "#curves summary"],
        js(cells.format(4)),
        js(cells.format(5)),
    )
    assert best == ["0.5", "0.5", "0.5", "0.5", "0.25"]
    assert seconds == ["0.001", "2.5", "3", "100", "7200.125"]


# --- what is drawn ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learners", [2, 500])
def test_every_chart_is_drawn(reader: Reader, learners: int) -> None:
    drawn, rows, lines = reader.visit(forged(forged_run(learners)), ["drawn"], ROWS, LINES)
    assert set(drawn) == {"curves", "timeline", "values"}
    assert min(drawn.values()) > 3
    assert len(rows) == lines == learners


def test_of_ten_thousand_learners_the_page_shows_some_and_percentiles(reader: Reader) -> None:
    report = forged(forged_run(20, **left_out(10_000)))
    drawn, notice, note, bands = reader.visit(
        report,
        ["drawn"],
        text("#run .notice:last-child"),
        text("#curves .note"),
        of_chart("curves", "option.series.filter((one) => one.id.startsWith('band')).length"),
    )
    assert min(drawn.values()) > 3
    assert notice == "20 of 10000 learners are shown one by one"
    assert "10\u202f000 learners, from the lowest value to the highest" in note
    assert bands == 3


KINDS = ("resumed", "nothing-yet", "never-started", "odd", "several-metrics", "hostile")


@pytest.mark.parametrize("name", KINDS)
def test_runs_of_every_kind_are_drawn(reader: Reader, tmp_path: Path, name: str) -> None:
    report = object_of(SAMPLES[name](tmp_path))
    headline, drawn = reader.visit(report, text("#run .headline"), ["drawn"])
    assert headline.lower() == report["runs"][0]["headline"].lower()
    assert all(
        colours > 3 for chart, colours in drawn.items() if chart != "timeline" or report["runs"][0]["tasks"]["start"]
    )


def test_hostile_text_stays_text(reader: Reader) -> None:
    run = forged_run()
    learners = tuple(replace(learner, name=f"{HOSTILE}{learner.name}") for learner in run.learners)
    hostile = replace(
        run,
        name=HOSTILE,
        campaign=HOSTILE,
        headline=HOSTILE,
        learners=learners,
        notices=(HOSTILE,),
        file=HOSTILE,
        criteria=(replace(run.criteria[0], metric=HOSTILE, text=HOSTILE),),
        columns=(replace(run.columns[0], name=HOSTILE),),
        failures=(replace(run.failures[0], lines=(HOSTILE,)),),
        ran=replace(run.ran, campaign=HOSTILE, plan=(HOSTILE,), facts=((HOSTILE, HOSTILE),)),
    )
    heading, images, row, hidden = reader.visit(
        forged(hostile),
        text("h1"),
        js("document.images.length + document.querySelectorAll('main script').length"),
        js("document.querySelector('#ranking tbody tr').innerText"),
        js(r"/[\u001b\u202e\u2028\ud800]/.test(document.getElementById('report').textContent)"),
        ["hover", CURVES, (0.5, 0.5)],
        width=360,
    )
    assert heading.startswith(
        "</script><script>alert(1)</script><img src=x onerror=alert(2)>\\u001b[31m\\u202e\\u2028\\ud800"
    )
    assert images == 0
    assert "\\u001b[31m" in row or "…" in row
    assert hidden is False


def test_values_that_no_axis_can_show_are_counted_and_kept_in_the_table(reader: Reader) -> None:
    run = forged_run()
    odd = [math.nan, math.inf, -math.inf, 1e308, -1e308, 0.0, 5e-324, None]
    learners = (replace(run.learners[0], values=odd, best=odd), *run.learners[1:])
    linear, note, cells, logarithmic, drawn = reader.visit(
        forged(replace(run, learners=learners)),
        ["drawn"],
        text("#curves .note"),
        ["click", "#curves summary"],
        js("[...document.querySelectorAll('#curves .data tbody tr')].slice(0, 8).map((row) => row.cells[3].innerText)"),
        ["click", "#curves label:has-text('logarithmic')"],
        text("#curves .note"),
        ["drawn"],
    )
    assert min(*linear.values(), *drawn.values()) > 3
    assert note == "3 values that are nan or infinite have no place in the chart."
    assert cells == [*"nan inf -inf 1e308 -1e308 0 4.9406565e-324".replace("-", MINUS).split(), ""]
    assert logarithmic.startswith("Logarithmic on both sides of 0, linear between ±")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1, 10, 100, 1000], ["1", "10", "100", "1000"]),
        ([-100, -1, 0, 1, 100], "-100 -10 -1 0 1 10 100".replace("-", MINUS).split()),
        ([0, 0, 0], None),
        ([1e-300, 1e-150, 1, 1e150, 1e300], None),
        ([-1e308, 0, 1e-300, 1e308], None),
    ],
)
def test_a_logarithmic_axis_has_round_numbers_and_takes_zero_and_negative_values(
    reader: Reader, values: list[float], labels: list[str] | None
) -> None:
    run = forged_run(1, len(values))
    learner = replace(run.learners[0], values=values, best=values)
    criterion = replace(run.criteria[0], threshold=None)
    shown, line = reader.visit(
        forged(replace(run, learners=(learner,), criteria=(criterion,))),
        ["click", "#curves label:has-text('logarithmic')"],
        of_chart("curves", Y_LABELS),
        of_chart("curves", FIRST + ".data.map(([, y]) => y)"),
    )
    assert all(math.isfinite(each) for each in line)
    assert line == sorted(line)
    if labels is not None:
        assert shown == labels
    elif any(values):
        assert len(shown) >= 5


def test_each_state_of_a_run_says_what_it_is(reader: Reader) -> None:
    run = forged_run()
    nothing = replace(
        forged_run(2, 0),
        status="running",
        alive=True,
        headline="running for 0:02: 2 of 2 learners running",
        sessions=(replace(run.sessions[0], end=None, reason=None),),
        cores=replace(run.cores, at=[], used=[], peak=[]),
    )
    asof, note, running = reader.visit(
        forged(nothing), text(".asof"), text("#curves .note"), text("#timeline section, #timeline")
    )
    assert asof == "The run continues. This page shows it as of 2026-01-01 00:00:01."
    assert note == "No iteration has finished yet."
    assert "running" in running
    without = replace(
        run,
        criteria=(),
        learners=tuple(
            replace(each, criterion=None, values=[None] * 8, best=[None] * 8, best_at=None, met=None)
            for each in run.learners
        ),
    )
    curves, ranking = reader.visit(forged(without), js("document.querySelector('#curves')"), text("#ranking .note"))
    assert curves is None
    assert ranking.startswith("The campaign has no stop criterion")
    failed = replace(run, learners=tuple(replace(each, reason="failed", met=None) for each in run.learners))
    winners, states = reader.visit(
        forged(failed), text(".winners"), js("[...document.querySelectorAll('.state')].map((each) => each.innerText)")
    )
    assert winners == "No learner has met its criterion."
    assert states == ["✗ failed"] * 3


# --- what a reader does ----------------------------------------------------------------------------------------------


def test_a_click_on_a_heading_sorts_and_another_turns_the_order(reader: Reader) -> None:
    head = "#ranking thead button:has-text('learner')"
    sorted_by = js(
        "(({ innerText, ariaSort }) => [innerText.trim(), ariaSort])(document.querySelector('#ranking [aria-sort]'))"
    )
    best, first, up, second, down, third, met = reader.visit(
        forged(forged_run(12)),
        ROWS,
        sorted_by,
        ["click", head],
        ROWS,
        sorted_by,
        ["click", head],
        ROWS,
        sorted_by,
        ["click", "#ranking thead button:has-text('met in')"],
        ROWS,
    )
    assert [first[0], second, third] == ["#", ["learner", "ascending"], ["learner", "descending"]]
    assert up == [f"learner-{at}" for at in range(12)]
    assert down == up[::-1]
    assert met[0] == best[0], "learners without a value come last"


def test_the_first_to_meet_the_criterion_is_named_for_each_measure(reader: Reader) -> None:
    said, marked = reader.visit(
        forged(forged_run()), text(".winners"), js("document.querySelectorAll('.first').length")
    )
    assert said == (
        "First to meet the criterion: by iterations learner-0 (8 iterations), by working time learner-0 (30 s), "
        "by core-hours learner-0 (0.0083)."
    )
    assert marked == 3


def test_hovering_a_row_lights_its_curve_and_hovering_a_curve_its_row(reader: Reader) -> None:
    state = js(
        "((chart) => [0, 1, 2].map((at) => chart.getViewOfSeriesModel(chart.getModel().getSeries().find("
        f"(one) => one.id === `learner ${{at}}`))._polyline.currentStates))({CHART})"
    )
    row, lit, tip, found = reader.visit(
        forged(forged_run()),
        ["hover", "#ranking tbody tr:nth-child(2)", (0.5, 0.5)],
        LIT,
        state,
        ["hover", CURVES, (0.4, 0.5)],
        text("#curves .tip"),
        LIT,
    )
    assert row == found or row
    assert "emphasis" in lit[1]
    assert "blur" in lit[0]
    assert tip.startswith(found)
    assert "iteration" in tip


def test_a_toggle_takes_a_curve_out_and_brings_it_back(reader: Reader) -> None:
    toggle = "#ranking tbody tr:first-child .toggle"
    pressed = js(f"document.querySelector({toggle!r}).getAttribute('aria-pressed')")
    results = reader.visit(
        forged(forged_run(12)),
        LINES,
        ["click", toggle],
        LINES,
        pressed,
        ["focus", toggle],
        ["keys", "Enter"],
        LINES,
        pressed,
        ["click", "#ranking .tools button:has-text('None')"],
        LINES,
        text("#curves .note"),
        ["click", "#ranking .tools button:has-text('Best 8')"],
        LINES,
        ["click", "#ranking .tools button:has-text('All')"],
        LINES,
    )
    assert results == [12, 11, "false", 12, "true", 0, "No learner is shown.", 8, 12]


def test_a_learner_is_found_by_its_name(reader: Reader) -> None:
    (rows,) = reader.visit(forged(forged_run(64)), ["fill", "#ranking input[type=search]", "learner-63"], ROWS)
    assert rows == ["learner-63"]


def test_dragging_zooms_a_double_click_shows_all_and_buttons_do_both(reader: Reader) -> None:
    dragged, button, out, whole = reader.visit(
        forged(forged_run()),
        ["drag", CURVES, (0.3, 0.3), (0.6, 0.8)],
        ZOOM,
        ["click", "#curves .zoom button:has-text('+')"],
        ZOOM,
        ["click", "#curves .zoom button:has-text('\N{MINUS SIGN}')"],
        ZOOM,
        ["click", "#curves .zoom button:has-text('Whole')"],
        ZOOM,
    )
    assert 15 < dragged[0] < 40
    assert 45 < dragged[1] < 70
    assert button[1] - button[0] < dragged[1] - dragged[0]
    assert out[1] - out[0] > button[1] - button[0]
    assert whole == [0, 100]


def test_the_axes_can_be_changed(reader: Reader) -> None:
    name = of_chart("curves", NAMES)
    results = reader.visit(
        forged(forged_run()),
        name,
        ["click", "#curves label:has-text('working time')"],
        name,
        ["click", "#curves label:has-text('core-hours')"],
        ["click", "#curves label:has-text('best so far')"],
        name,
    )
    assert results == [["iteration", "mse"], ["working time, seconds", "mse"], ["core-hours", "mse, best so far"]]


def test_names_of_a_sweep_are_told_apart_in_the_timeline(reader: Reader) -> None:
    run = forged_run(4)
    names = [f"network,learning_rate={rate},batch_size={size}" for rate in (0.1, 0.01) for size in (16, 32)]
    learners = tuple(
        replace(each, name=name, index=i) for i, (each, name) in enumerate(zip(run.learners, names, strict=True))
    )
    once = (Part("setup", "done", None, ("pool",), 1.0, 1.0, 1.0, {}),)
    (labels,) = reader.visit(forged(replace(run, learners=learners, once=once)), of_chart("timeline", Y_LABELS))
    assert [label for label in labels if label] == ["campaign", "0.1,16", "0.1,32", "0.01,16", "0.01,32"]


def test_the_timeline_tells_of_tasks_cores_sessions_and_what_went_wrong(reader: Reader) -> None:
    legend, task, cores, pauses, sessions = reader.visit(
        forged(forged_run()),
        text("#timeline .legend"),
        ["hover", TIMELINE, (0.2, 0.14)],
        text("#timeline .tip"),
        ["hover", TIMELINE, (0.2, 0.72)],
        text("#timeline .tip"),
        of_chart("timeline", "option.xAxis[0].breaks.length"),
        of_chart("timeline", "option.series.find((one) => one.id === 'sessions 0').markLine.data[0].label.formatter"),
    )
    for word in (
        *("simulate", "train", "waiting for cores", "failed", "retry", "start of a session"),
        "pause between sessions",
    ):
        assert word in legend
    assert re.search(r"^learner-\d[\s\S]*task\s+\w+[\s\S]*outcome\s+succeeded[\s\S]*cores\s+1", task)
    assert re.search(r"^Cores in use[\s\S]*in use\s+3[\s\S]*available\s+8", cores)
    assert (pauses, sessions) == (1, "session 2")


def test_what_options_and_tasks_report_is_chosen_from_a_list(reader: Reader) -> None:
    name = of_chart("values", "option.yAxis[0].name")
    first, drawn, kind, labels = reader.visit(
        forged(forged_run()),
        name,
        ["select_option", "#values select", "1"],
        ["drawn"],
        name,
        of_chart("values", Y_LABELS),
    )
    assert first == "samples"
    assert drawn["values"] > 3
    assert (kind, labels) == ("--kind (train)", ["gp", "nn"])


def test_several_runs_are_compared_and_each_can_be_chosen(reader: Reader) -> None:
    one, two = forged_run(), forged_run(5)
    drawn, rows, first, second, lines = reader.visit(
        forged(one, two),
        ["drawn"],
        js("[...document.querySelectorAll('#comparison > .scroll tbody th')].map((each) => each.innerText.trim())"),
        text("#run .headline"),
        ["click", "#comparison tbody tr:nth-child(2) button"],
        text("#run .headline"),
        of_chart("runs", "option.series.filter((one) => one.data.length).length"),
    )
    assert min(drawn.values()) > 3
    assert rows == ["forged-3", "forged-5"]
    assert ("of 3 learners" in first, "of 5 learners" in second) == (True, True)
    assert lines == 8


def test_a_watched_page_is_read_again_unless_its_reader_is_in_the_middle_of_something(reader: Reader) -> None:
    report = forged(replace(forged_run(), alive=True, status="running"), refresh=2)
    said, again = reader.visit(report, text(".asof"), ["loads", 30_000], clean=False)
    assert "It is read again while rose watches the run" in said
    assert again is True
    zoomed = ["click", "#curves .zoom button:has-text('+')"]
    (again,) = reader.visit({**report, "refresh": 6}, zoomed, ["loads", 7_000])  # time enough for the click
    assert again is False


# --- for everybody ---------------------------------------------------------------------------------------------------


def test_charts_are_read_and_zoomed_with_keys(reader: Reader) -> None:
    said = text("#announcer")
    first, second, other, zoomed, whole, closed = reader.visit(
        forged(forged_run()),
        ["focus", CURVES],
        ["keys", "ArrowRight"],
        said,
        ["keys", "ArrowRight"],
        said,
        ["keys", "ArrowDown"],
        said,
        ["keys", "+"],
        ZOOM,
        ["keys", "0"],
        ZOOM,
        ["keys", "ArrowRight"],
        ["keys", "Escape"],
        js("document.querySelector('#curves .tip').hidden"),
    )
    assert "iteration 0" in first
    assert "iteration 1" in second
    assert other.split(":")[0] != second.split(":")[0]
    assert zoomed[1] - zoomed[0] == pytest.approx(50)
    assert whole == [0, 100]
    assert closed is True
    task, next_task, row = reader.visit(
        forged(forged_run()),
        ["focus", TIMELINE],
        ["keys", "ArrowRight"],
        said,
        ["keys", "ArrowRight"],
        said,
        ["keys", "ArrowDown"],
        said,
    )
    assert "task simulate" in task
    assert "task train" in next_task
    assert task.split(":")[0] != row.split(":")[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_checker_of_accessibility_finds_nothing(reader: Reader, scheme: str) -> None:
    run, other = forged_run(12), forged_run(3)
    opened = ["do", "document.querySelectorAll('details').forEach((each) => { each.open = true })"]
    (found,) = reader.visit(forged(run, other), opened, ["axe"], scheme=scheme)
    assert found == []


def test_each_chart_has_its_data_as_a_table(reader: Reader) -> None:
    everywhere = "[...document.querySelectorAll('.data')]"
    shown, rows = reader.visit(
        forged(forged_run()),
        ["do", f"{everywhere}.forEach((each) => {{ each.open = true }})"],
        js(f"{everywhere}.map((each) => each.querySelector('summary').innerText)"),
        js(f"{everywhere}.map((each) => each.querySelector('tbody').rows.length)"),
    )
    assert shown == ["Data: learning curves", "Data: tasks", "Data: cores in use", "Data: options and reported values"]
    assert rows == [24, 72, 4, 24]


def test_charts_follow_the_theme_while_the_page_is_open(reader: Reader) -> None:
    colour = of_chart(
        "curves", f"[{FIRST}.lineStyle.color, getComputedStyle(document.documentElement).getPropertyValue('--paper')]"
    )
    light, dark = reader.visit(forged(forged_run()), colour, ["media", {"color_scheme": "dark"}], colour)
    assert light[0] != dark[0]
    assert light[1] != dark[1]


@pytest.mark.parametrize(("learners", "width"), [(3, 360), (64, 360), (3, 768), (64, 1280)])
def test_nothing_is_wider_than_the_window(reader: Reader, width: int, learners: int) -> None:
    size, drawn = reader.visit(
        forged(forged_run(learners)),
        js("[document.documentElement.scrollWidth, innerWidth]"),
        ["drawn"],
        width=width,
        touch=width == 360,
    )
    assert size == [width, width]
    assert min(drawn.values()) > 3


def test_paper_is_light_and_shows_all(reader: Reader, tmp_path: Path) -> None:
    colour = of_chart(
        "curves", f"[{FIRST}.lineStyle.color, getComputedStyle(document.documentElement).getPropertyValue('--paper')]"
    )
    before, printed, after = reader.visit(
        forged(forged_run(64)),
        colour,
        ["do", "dispatchEvent(new Event('beforeprint'))"],
        colour,
        ["do", "dispatchEvent(new Event('afterprint'))"],
        colour,
        ["pdf", str(tmp_path / "page.pdf")],
        scheme="dark",
        width=360,
    )
    assert before == after != printed
    assert printed[1] == "#ffffff"
    assert (tmp_path / "page.pdf").stat().st_size > 20_000


def test_paper_has_the_colours_that_a_legend_explains(reader: Reader) -> None:
    """Browsers leave out backgrounds in print."""
    adjusted = js("[...document.querySelectorAll('.legend .key')].map((key) => getComputedStyle(key).printColorAdjust)")
    (printed,) = reader.visit(forged(forged_run()), ["media", {"media": "print"}], adjusted)
    assert set(printed) == {"exact"}


def test_a_page_without_scripts_says_what_to_do(reader: Reader) -> None:
    file = reader.folder / "plain.html"
    file.write_text(html.html_page(forged(forged_run())), encoding="utf-8")
    answer = reader.ask({"file": str(file), "steps": [text("noscript")], "script": False})
    assert "rose report --format md" in answer["results"][0]
