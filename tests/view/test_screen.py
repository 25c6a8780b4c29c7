"""What a run says while it goes on, off a terminal; and that a reader can neither stop nor break it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rose_cli.journal import events as e
from rose_cli.view.campaign_line import Facts
from rose_cli.view.console import SafeStream
from rose_cli.view.live import BackgroundWriter
from rose_cli.view.plain import PlainScreen
from rose_cli.view.screen import open_screen, resolved
from tests.conftest import PATIENCE
from tests.view.scenarios import START, TRACEBACK, Scenario, make_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from rose_cli.plan.model import Plan
    from rose_cli.view.screen import Output, Screen

REPOSITORY = Path(__file__).parent.parent.parent


def begin(output: Output, plan: Plan, stream: io.StringIO) -> tuple[Scenario, Screen]:
    scenario = Scenario(plan)
    screen = open_screen(output, plan, scenario.state, lambda: Facts(scenario.now), stream)
    names = tuple(learner.name for learner in plan.learners)
    scenario.tell(e.RunCreated("r1", plan.campaign, "0.1", names), e.SessionStarted(1, "host", 1, "local"))
    scenario.on_record = screen.on_record
    return scenario, screen


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock in the lines is the one of the place where they are read."""
    monkeypatch.setenv("TZ", "UTC")
    __import__("time").tzset()


def test_a_line_for_each_thing_worth_telling() -> None:
    stream = io.StringIO()
    scenario, screen = begin("plain", make_plan(("adaptive", "[b]b[/b]\x1b"), retries=1), stream)
    scenario.iterate("adaptive", 0.61, 0.123456789, seconds=30.0)
    scenario.fail("[b]b[/b]\x1b", "training", stderr=TRACEBACK)
    screen.warn("stopping:\x1b[2J wait")
    scenario.fail("[b]b[/b]\x1b", "training", attempt=2)
    scenario.tell(e.StepSkipped("[b]b[/b]\x1b", 0, "training", 0, 2))
    where = scenario.start("adaptive", "simulation")
    scenario.tell(e.AttemptLost(*where, reason="its session ended"))
    scenario.stop("adaptive", "failed", "'training' failed in iteration 2")
    scenario.tell(e.LearnerReopened("adaptive", "resumed"), e.LearnerReopened("adaptive", "sent back", 1))
    scenario.tell(e.MaxIterChanged(100))
    scenario.iterate("adaptive", None)
    screen.close()
    text = re.sub(r"\(log: learners/\[b\]b\[/b\]␛/logs/0/training\.(\d)\.err\)", r"(\1)", stream.getvalue())
    assert text == dedent(
        """\
        parallel-tutorial: 2 learners on the local engine
        00:02:00 adaptive   1/15 mean_squared_error_mse 0.61 (< 0.1) 2:00
        00:04:00 adaptive   2/15 mean_squared_error_mse 0.123457 (< 0.1) 2:00
        00:04:01 [b]b[/b]␛  0/15 'training' failed in iteration 0, attempt 1: exit code 1; next: attempt 2 of 2 (1)
        stopping:␛[2J wait
        00:04:02 [b]b[/b]␛  0/15 'training' failed in iteration 0, attempt 2: exit code 1; no retries left (2)
        00:04:02 [b]b[/b]␛  0/15 continues without 'training'
        00:04:02 adaptive   2/15 'simulation' was interrupted: its session ended
        00:04:02 adaptive   2/15 stopped: failed ('training' failed in iteration 2)
        00:04:02 adaptive   2/15 continues (resumed)
        00:04:02 adaptive   1/15 continues from iteration 1 (sent back)
        00:04:06 adaptive    2/100 mean_squared_error_mse no value (< 0.1) 4.0 s
        """
    )


def test_equal_failures_are_shown_three_times_and_others_always() -> None:
    stream = io.StringIO()
    names = [f"l{number}" for number in range(1000)]
    scenario, screen = begin("plain", make_plan([*names, "odd"]), stream)
    for name in names:
        scenario.fail(name, "training", stderr=(f"no data for {name}",))
        scenario.stop(name, "failed", "'training' failed in iteration 0: exit code 1")
    scenario.fail("odd", "training", stderr=("out of memory",))
    scenario.stop("odd", "failed", "'training' failed in iteration 0: exit code 1")
    screen.close()
    lines = stream.getvalue().splitlines()[1:]
    assert [line.split()[1] for line in lines] == ["l0", "l0", "l1", "l1", "l2", "l2", "more", "odd", "odd"]
    assert lines[1].endswith(" stopped: failed"), "why is in the line above"
    assert lines[6].endswith(
        " more failures of 'training' like these are not shown here; the summary at the end counts them"
    )


def test_the_path_of_a_log_can_be_used_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stream = io.StringIO()
    scenario = Scenario.begin(make_plan(("a",)))
    screen = PlainScreen(scenario.plan, scenario.state, stream, run=tmp_path / "rose-runs/r")
    scenario.on_record = screen.on_record
    scenario.fail("a", "training")
    screen.close()
    assert "(log: rose-runs/r/learners/a/logs/0/training.1.err)\n" in stream.getvalue()


def test_lost_attempts_do_not_count_towards_the_retries() -> None:
    stream = io.StringIO()
    scenario, screen = begin("plain", make_plan(("a",), retries=2), stream)
    where = scenario.start("a", "training")
    scenario.tell(e.AttemptLost(*where, reason="its session ended"))
    scenario.fail("a", "training", attempt=2)
    screen.close()
    assert "attempt 2: exit code 1; next: attempt 3 of 4" in stream.getvalue()


def test_a_learner_without_criterion_or_bound() -> None:
    stream = io.StringIO()
    scenario, screen = begin("plain", make_plan(("a",), max_iter=None, criterion=None), stream)
    scenario.iterate("a", None)
    screen.close()
    assert stream.getvalue() == "parallel-tutorial: 1 learner on the local engine\n00:00:03 a 1 3.0 s\n"


@pytest.mark.anyio
async def test_what_the_engine_does_is_told_when_it_begins_and_when_it_is_over() -> None:
    stream, doing = io.StringIO(), [("starting pilot", 100.0)]
    scenario = Scenario.begin(make_plan(("a",)))
    now = [102.0]
    screen = PlainScreen(
        scenario.plan, scenario.state, stream, lambda: Facts(now[0], doing=doing[0] if doing else None)
    )
    async with anyio.create_task_group() as group:
        group.start_soon(screen.run)
        await until(lambda: "starting pilot …" in stream.getvalue())
        doing.clear()
        now[0] = 119.9
        await until(lambda: "starting pilot took 20 s" in stream.getvalue())
        group.cancel_scope.cancel()
    assert len(stream.getvalue().splitlines()) == 3


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - a thread of the screen's own writes
            await anyio.sleep(0.01)


async def show(screen: Screen, scenario: Scenario) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(screen.run)
        await anyio.lowlevel.checkpoint()
        scenario.iterate("a", 0.5)
        group.cancel_scope.cancel()


def test_all_is_written_when_run_returns() -> None:
    stream = io.StringIO()
    scenario, screen = begin("plain", make_plan(("a",)), stream)
    anyio.run(show, screen, scenario)
    assert stream.getvalue().splitlines() == [
        "parallel-tutorial: 1 learner on the local engine",
        "00:00:04 a  1/15 mean_squared_error_mse 0.5 (< 0.1) 4.0 s",
    ]


def test_every_event_is_a_line_of_strict_json(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    scenario, screen = begin("json", make_plan(("a\n\ud800\x1b",)), stream)
    scenario.iterate("a\n\ud800\x1b", float("nan"))
    screen.warn("only for people")
    scenario.tell(e.SessionEnded(1, "finished"))
    screen.close()
    lines = stream.getvalue().splitlines()
    assert stream.getvalue().isascii()
    objects = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [entry["seq"] for entry in objects] == list(range(3, 3 + len(objects)))
    assert objects[-2] == {
        "seq": 11,
        "time": START + 4.0,
        "event": "iteration_finished",
        "learner": "a\n\ud800\x1b",
        "iteration": 0,
        "seconds": 4.0,
        "value": "nan",
    }
    assert capsys.readouterr().err == "only for people\n"


RESULTS = st.dictionaries(st.text(), st.one_of(st.floats(), st.text(), st.lists(st.floats())))


@settings(deadline=None)
@given(RESULTS, st.floats())
def test_any_result_stays_on_its_line(result: dict[str, object], value: float) -> None:
    stream = io.StringIO()
    scenario, screen = begin("json", make_plan(("a",)), stream)
    where = scenario.start("a", "criterion")
    scenario.tell(e.AttemptSucceeded(*where, seconds=1.0, result=result, value=value))
    screen.close()
    assert len([json.loads(line, parse_constant=pytest.fail) for line in stream.getvalue().splitlines()]) == 2


def test_quiet_says_nothing() -> None:
    stream = io.StringIO()
    scenario, screen = begin("quiet", make_plan(("a",)), stream)
    anyio.run(show, screen, scenario)
    screen.close()
    assert stream.getvalue() == ""


def test_a_table_needs_a_terminal() -> None:
    assert resolved("auto", io.StringIO()) == "plain"
    assert resolved("live", io.StringIO()) == "plain"
    assert resolved("json", io.StringIO()) == "json"


def drive(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-u", "-m", "tests.view.drive", *arguments]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_lines_come_while_the_run_goes_on() -> None:
    with drive("2", "60", "plain") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]  # far from its end
        process.kill()
    assert lines[1] == b"parallel-tutorial: 2 learners on the local engine\n"
    assert b" adaptive " in lines[2]


@pytest.mark.parametrize("output", ["plain", "json"])
def test_a_run_goes_on_without_its_reader(output: str) -> None:
    with drive("2", "1", output) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(timeout=PATIENCE) == 0
    assert b"Traceback" not in errors
    assert b"Broken" not in errors


def test_a_reader_that_does_not_read_holds_nobody_up() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        scribe = BackgroundWriter(SafeStream(stream))
        text = "x" * 100_000 + "\n"  # more than a pipe holds
        for _ in range(5):
            scribe.post(text)
        assert not scribe.is_idle
        with os.fdopen(reader, "rb") as source:
            drained = threading.Thread(target=partial(source.read, 5 * len(text)))
            drained.start()
            scribe.finish()
            drained.join()
        assert scribe.is_idle


def test_a_line_says_now_and_then_how_far_the_campaign_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rose_cli.view.plain.LOOK_SECONDS", 0.001)
    stream = io.StringIO()
    scenario = Scenario.begin(make_plan(("a", "b"), max_iter=3))
    scenario.iterate("a", 0.5, seconds=10.0)
    times = iter([0.0, 0.0, 59.0, 61.0, 100.0, 179.0, 182.0, 419.0, 425.0, 3000.0, 3599.0, 3601.0])

    async def show() -> None:
        async with anyio.create_task_group() as group:

            def facts() -> Facts:
                if (now := next(times, None)) is None:
                    group.cancel_scope.cancel()
                return Facts(START + 40.0 + (now or 0.0), 1, 2)

            group.start_soon(PlainScreen(scenario.plan, scenario.state, stream, facts).run)

    anyio.run(show)
    lines = stream.getvalue().splitlines()[1:]
    assert [line[:17] for line in lines] == [
        "00:01:41 so far: ", "00:03:42 so far: ", "00:07:45 so far: ", "00:50:40 so far: ", "01:00:41 so far: ",
    ]  # fmt: skip
    assert lines[0][17:].startswith("1 of at most 6 iterations · 1 of 2 cores · ~")
    assert lines[0].endswith(" left")
