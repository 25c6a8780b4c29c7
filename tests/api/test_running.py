"""A run from Python: in a process of its own, with nothing left behind in the program that started it."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import rose_cli
from rose_cli.api.iteration import Pasts
from rose_cli.journal import events as e

if TYPE_CHECKING:
    from tests.conftest import Rose

CAMPAIGN = """\
    max_iter: 3
    tasks:
      simulation: {executable: echo simulated, options: {--steps: 5}}
    stop: {executable: "echo 0.{iteration}", metric: accuracy, threshold: 0.9}
    learners: [{name: a}, {name: b}]
"""
FOREVER = """\
    max_iter: 2
    learners: 1
    tasks:
      simulation: {executable: "touch started; sleep 300", shell: true}
"""


@pytest.fixture
def campaign(rose: Rose) -> rose_cli.Campaign:
    return rose_cli.load(rose.write(CAMPAIGN))


def test_a_run_returns_when_it_is_done_and_knows_its_results(campaign: rose_cli.Campaign, rose: Rose) -> None:
    run = campaign.run(output="quiet")
    assert run.status == "done"
    assert run.path.parent == rose.folder / "rose-runs"
    assert run.learners["a"].history == (0.0, 0.1, 0.2)
    assert run.learners["b"].stopped == "max_iter"
    assert run.best == rose_cli.Best("a", 2, "accuracy", 0.2, {"simulation": {"--steps": 5}, "criterion": {}}, {})
    assert repr(run) == f"<Run '{run.name}': done, 2 learners, 6 iterations, best accuracy 0.2 ('a', iteration 2)>"
    assert rose("status", run.path).code == 0


def test_the_program_keeps_its_signal_handlers_threads_and_children(campaign: rose_cli.Campaign) -> None:
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    threads, children = set(threading.enumerate()), _children()
    campaign.run(output="quiet")
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == handlers
    for thread in set(threading.enumerate()) - threads:
        thread.join(60)
        assert not thread.is_alive()
    assert _children() == children


def _children() -> set[str]:
    return {pid for file in Path(f"/proc/{os.getpid()}/task").glob("*/children") for pid in file.read_text().split()}


def test_several_runs_at_once_in_threads_of_one_program(campaign: rose_cli.Campaign) -> None:
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda _: campaign.run(output="quiet"), range(3)))
    assert [run.status for run in runs] == ["done"] * 3
    assert len({run.path for run in runs}) == 3


def test_a_run_inside_an_event_loop_as_in_a_notebook(campaign: rose_cli.Campaign) -> None:
    async def cell() -> rose_cli.Run:
        return campaign.run(output="quiet")

    assert asyncio.run(cell()).status == "done"


def test_iterations_come_as_they_finish_with_for_and_with_async_for(campaign: rose_cli.Campaign) -> None:
    expected = [("a", 0, 0.0, None), ("a", 1, 0.1, None), ("a", 2, 0.2, "max_iter")]
    with campaign.start(output="quiet", learners=["a"]) as running:
        found = [(one.learner, one.number, one.value, one.stopped) for one in running]
    assert found == expected
    assert [one.number for one in running] == [0, 1, 2], "a second loop sees them too"

    async def follow() -> list[tuple[Any, ...]]:
        running = campaign.start(output="quiet", learners=["a"])
        found = [(one.learner, one.number, one.value, one.stopped) async for one in running]
        assert (await running).status == "done"
        return found

    assert asyncio.run(follow()) == expected


def test_events_are_those_of_the_journal(campaign: rose_cli.Campaign) -> None:
    running = campaign.start(output="quiet")
    events = list(running.events())
    assert isinstance(events[0], e.RunCreated)
    assert isinstance(events[-1], e.SessionEnded)
    assert sum(isinstance(event, e.AttemptSucceeded) for event in events) == 12
    resumed = running.wait().start(max_iter=4, output="quiet")
    assert isinstance(next(iter(resumed.events())), e.SessionStarted), "of this session alone"
    assert resumed.wait().learners["a"].iterations == 4


def test_a_run_is_stopped_and_resumed(rose: Rose) -> None:
    running = rose_cli.load(rose.write(FOREVER)).start(output="quiet")
    for event in running.events():
        if isinstance(event, e.AttemptStarted):
            running.stop()
    run = running.wait()
    assert run.status == "interrupted"
    rose.write(FOREVER.replace("; sleep 300", ""))
    assert run.resume(output="quiet").status == "done"


def test_the_latest_run_stays_the_one_that_was_opened(rose: Rose) -> None:
    campaign = rose_cli.load(rose.write(CAMPAIGN))
    first = campaign.run(output="quiet")
    opened = rose_cli.open_run(rose.folder / "rose-runs" / "latest")
    assert campaign.run(output="quiet").path != first.path
    assert opened.path == first.path


def test_errors_are_exceptions_with_message_and_hint(rose: Rose) -> None:
    path = rose.write("tasks: {a: {executable: echo, retrys: 2}}\nmax_iter: 1\nlearners: 1\n")
    with pytest.raises(rose_cli.CampaignError, match=r"campaign\.yaml:1:31(.|\n)*retrys(.|\n)*\^\^\^") as caught:
        rose_cli.load(path)
    assert [problem.code for problem in caught.value.diagnostics] == ["unknown-key"]
    assert rose_cli.problems(path) == caught.value.diagnostics
    with pytest.raises(rose_cli.UsageError, match="there is no file"):
        rose_cli.load(rose.folder / "none.yaml")
    with pytest.raises(rose_cli.RunDirectoryError, match="not the directory of a run"):
        rose_cli.open_run(rose.folder)


def test_errors_of_the_session_are_raised_in_the_program(campaign: rose_cli.Campaign, rose: Rose) -> None:
    (rose.folder / "full").mkdir()
    (rose.folder / "full" / "file").touch()
    with pytest.raises(rose_cli.RunDirectoryError, match=r"(?s)full.*help: ") as caught:
        campaign.run(run_dir=rose.folder / "full", output="quiet")
    assert caught.value.hint
    rose.write(CAMPAIGN.replace("max_iter: 3", "max_iter: 4"))
    with pytest.raises(rose_cli.UsageError, match=r"has changed since it was loaded(.|\n)*load it again"):
        campaign.run(output="quiet")


def test_settings_of_the_program_reach_the_run(rose: Rose, tmp_path: Path) -> None:
    path = rose.write(CAMPAIGN)
    given = {"max_iter": 1, "tasks.simulation.options.--steps": "7", "tasks.simulation.env": {"DATA": str(tmp_path)}}
    run = rose_cli.load(path, set=given).run(output="quiet")
    assert run.history("a").rows()[0]["option.simulation.--steps"] == "7"
    with pytest.raises(rose_cli.UsageError, match="'max_iter' cannot be set to"):
        rose_cli.load(path, set={"max_iter": {1, 2}})


def test_a_program_that_ends_without_waiting_interrupts_its_run(rose: Rose) -> None:
    rose.write(FOREVER)
    program = """\
        import rose_cli
        from rose_cli.journal import events as e
        running = rose_cli.load("campaign.yaml").start(run_dir="run")
        for event in running.events():
            if isinstance(event, e.AttemptStarted):
                break
        """
    rose.write(program, "program.py")
    done = subprocess.run([sys.executable, "program.py"], cwd=rose.folder, env=rose.environment, check=False)
    assert done.returncode == 0
    run = rose_cli.open_run(rose.folder / "run")
    assert run.status == "interrupted", "it had ended when the program did"
    session = next(event for event in rose.events("run") if event["event"] == "session_ended")
    assert session["message"] == "because the program that started it has ended"


def test_iterations_that_are_all_kept_keep_one_history(campaign: rose_cli.Campaign) -> None:
    kept = list(campaign.start(learners=["a"]))
    assert [each.history for each in kept] == [(0.0,), (0.0, 0.1), (0.0, 0.1, 0.2)]
    assert vars(kept[0])["_past"].grown is vars(kept[1])["_past"].grown
    assert dataclasses.asdict(kept[1])["history"] == (0.0, 0.1)
    for again in (copy.deepcopy(kept[1]), pickle.loads(pickle.dumps(kept[1]))):
        assert (again, again.history) == (kept[1], (0.0, 0.1))
    with pytest.raises(AttributeError, match="no attribute 'histroy'"):
        getattr(kept[1], "histroy")  # noqa: B009 - a type checker knows it too


def test_histories_of_learners_that_are_sent_back_do_not_mix() -> None:
    pasts = Pasts()
    first = [pasts.of("a", [float(each) for each in range(n)], float(n)) for n in range(4)]
    again = pasts.of("a", [0.0, 1.0], 9.0)
    assert pasts.of("a", [0.0, 1.0], 9.0).grown is again.grown, "asked about, and finished"
    assert list(first[3].values) == [0, 1, 2, 3]
    assert list(again.values) == [0, 1, 9]
    pasts.forget("a")
    assert pasts.of("a", [5.0], math.nan).values[0] == 5
