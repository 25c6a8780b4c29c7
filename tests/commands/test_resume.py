"""Interruptions of every kind, and going on after them: the history is that of an uninterrupted run."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.commands.resume import ResumeOptions, _opening
from rose_cli.engine.pilot.records import wait_for_pilots
from rose_cli.journal import events as e
from rose_cli.journal.codec import Record
from rose_cli.journal.state import RunState
from rose_cli.plan.model import PilotPlan
from rose_cli.util.errors import UsageError
from tests.conftest import PATIENCE, wait_until
from tests.loop.simulation import Fate, World
from tests.processes import gone
from tests.torture.verdict import run_id, watchdogs_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rose_cli.plan.model import Plan
    from tests.conftest import Rose

TASK = """\
    #!/bin/sh
    # a deterministic task that leaves a trace of when it ran, and computes from what was there before
    echo "$ROSE_ITERATION $ROSE_TASK start" >> trace
    sleep 0.03
    echo "$ROSE_ITERATION $ROSE_TASK" >> "state.new.$$"
    mv "state.new.$$" "state.$ROSE_ITERATION.$ROSE_TASK"
    echo "$ROSE_ITERATION $ROSE_TASK end" >> trace
    """
CAMPAIGN = """
    max_iter: 12
    tasks: {simulation: {executable: ./task.sh}, training: {executable: ./task.sh}}
    stop: {metric: mse, threshold: 0.03, executable: "sh -c 'echo 0.$((99 - $(ls state.[0-9]* | wc -l)))'"}
    learners: [{name: a}, {name: b}, {name: c, max_iter: 7}]
    """


@pytest.fixture
def campaign(rose: Rose) -> Rose:
    rose.script(TASK, "task.sh")
    rose.write(CAMPAIGN)
    return rose


def history(rose: Rose, run: str) -> dict[str, Any]:
    keys = ("history", "stop_reason", "iterations_done")
    return {name: [learner[key] for key in keys] for name, learner in rose.learners(run).items()}


def wait_for_work(rose: Rose, run: str, steps: int) -> None:
    """Until so many more steps have been recorded."""
    path = rose.folder / run / "journal.jsonl"
    end = time.monotonic() + PATIENCE
    while not path.exists() or path.read_text().count("attempt_succeeded") < steps:
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.01)


def left_running(run_directory: Path) -> list[str]:
    """The processes that still work in a run."""
    pids = subprocess.run(["ps", "-eo", "pid="], capture_output=True, text=True, check=True).stdout.split()
    return [pid for pid in pids if working_folder(pid).startswith(str(run_directory))]


def working_folder(pid: str) -> str:
    with suppress(OSError):
        return str(Path(f"/proc/{pid}/cwd").readlink())
    return ""


def finished_twice(rose: Rose, run: str) -> list[tuple[Any, ...]]:
    """Steps that started again after their success was in the journal."""
    done, again = set(), []
    for event in rose.events(run):
        step = tuple(event.get(key) for key in ("learner", "iteration", "task", "replica"))
        if event["event"] == "attempt_succeeded":
            done.add(step)
        elif event["event"] == "attempt_started" and step in done:
            again.append(step)
    return again


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_ends_a_session_cleanly_and_resume_goes_on(campaign: Rose, number: int, code: int) -> None:
    assert campaign("run", "campaign.yaml", "--run-dir", "whole").code == 0
    process = campaign.start("run", "campaign.yaml", "--run-dir", "r", "--output", "plain")
    wait_for_work(campaign, "r", 5)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, err
    assert "rose resume" in out.strip().splitlines()[-1]
    assert left_running(campaign.folder / "r") == []
    assert campaign.status("r")["status"] == "interrupted"
    assert campaign("resume", "r").code == 0
    assert history(campaign, "r") == history(campaign, "whole")
    assert finished_twice(campaign, "r") == []


def test_kill_9_again_and_again(campaign: Rose) -> None:
    assert campaign("run", "campaign.yaml", "--run-dir", "whole").code == 0
    moments = random.Random(1)
    process = campaign.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_for_work(campaign, "r", 2)
    kill_after(process, moments.uniform(0, 0.3))
    for _ in range(5):
        process = campaign.start("resume", "r", "--output", "quiet")
        kill_after(process, moments.uniform(0.3, 1.2))
    assert campaign("resume", "r", "--output", "quiet").code == 0
    assert history(campaign, "r") == history(campaign, "whole")
    assert finished_twice(campaign, "r") == []
    assert left_running(campaign.folder / "r") == []
    assert ends_by_attempt(campaign, "r") == {1}


def ends_by_attempt(rose: Rose, run: str) -> set[int]:
    """How many ends the attempts have that were started."""
    counts: dict[tuple[Any, ...], int] = {}
    for event in rose.events(run):
        attempt = tuple(event.get(key) for key in ("learner", "iteration", "task", "replica", "attempt"))
        if event["event"] == "attempt_started":
            counts[attempt] = 0
        elif event["event"] in {"attempt_succeeded", "attempt_failed", "attempt_cancelled", "attempt_lost"}:
            counts[attempt] += 1
    return set(counts.values())


def kill_after(process: subprocess.Popen[str], seconds: float) -> None:
    time.sleep(seconds)
    process.kill()
    process.communicate(timeout=PATIENCE)


def test_a_second_interrupt_ends_at_once(campaign: Rose) -> None:
    campaign.script("#!/bin/sh\ntrap '' TERM\necho started > started\nwhile :; do sleep 0.05; done\n", "task.sh")
    process = campaign.start(
        "run",
        "campaign.yaml",
        "--run-dir",
        "r",
        "--output",
        "plain",
        "--set",
        "engine.kind=local",
        "--set",
        "engine.grace=60",
    )
    started = campaign.folder / "r/learners/a/workspace/started"
    wait_until(started.exists)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert any("to kill them now" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert left_running(campaign.folder / "r") == []


def test_only_one_session_works_on_a_run(campaign: Rose) -> None:
    process = campaign.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_for_work(campaign, "r", 1)
    called = campaign("resume", "r")
    assert called.code == 4
    assert str(process.pid) in called.err
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)


def test_a_torn_last_line_is_repaired(campaign: Rose) -> None:
    process = campaign.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_for_work(campaign, "r", 3)
    kill_after(process, 0)
    with (campaign.folder / "r/journal.jsonl").open("a") as file:
        file.write('{"seq":9999,"time":1.5,"eve')
    called = campaign("resume", "r")
    assert called.code == 0
    assert "repaired" in called.out + called.err


def test_a_failed_run_goes_on_once_the_cause_is_gone(rose: Rose) -> None:
    rose.script('#!/bin/sh\necho x >> tries\n[ -e "$ROSE_CAMPAIGN_DIR/ok" ]\n', "sim.sh")
    rose.write("{max_iter: 2, tasks: {first: {executable: 'true'}, sim: {executable: ./sim.sh}}, learners: 2}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    (rose.folder / "ok").touch()
    told = rose("resume", "r", "--dry-run").out
    assert "continues at iteration 0 (resumed after a failure); keeps its first; reruns sim (attempt 1" in told
    assert rose("resume", "r").code == 0
    assert {name: each["iterations_done"] for name, each in rose.learners("r").items()} == {
        "learner-0": 2,
        "learner-1": 2,
    }
    assert finished_twice(rose, "r") == []


def test_resume_finds_the_latest_run_that_can_resume(campaign: Rose) -> None:
    assert campaign("run", "campaign.yaml", "--output", "quiet").code == 0
    called = campaign("resume")
    assert called.code == 2
    assert "can be resumed" in called.err
    process = campaign.start("run", "campaign.yaml", "--output", "quiet")
    (run,) = wait_for_second_run(campaign.folder / "rose-runs")
    wait_for_work(campaign, str(run), 1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert campaign("resume").code == 0
    assert campaign.status("campaign.yaml")["run"] == str(run)
    assert [each["status"] for each in campaign.json("list", "--format", "json")] == ["done", "done"]


def wait_for_second_run(runs: Path) -> list[Path]:
    wait_until(lambda: len(list(runs.glob("*-2"))) == 1)
    return list(runs.glob("*-2"))


def test_max_iter_extends_and_from_iteration_goes_back(campaign: Rose) -> None:
    assert campaign("run", "campaign.yaml", "--run-dir", "r", "--set", "max_iter=3", "--learner", "a").code == 0
    assert campaign("resume", "r", "--max-iter", "3").code == 2
    assert campaign("resume", "r", "--max-iter", "5").code == 0
    assert campaign.learners("r")["a"]["iterations_done"] == 5
    assert campaign("resume", "r", "--from-iteration", "2", "--learner", "a").code == 0
    learner = campaign.learners("r")["a"]
    assert learner["iterations_done"] == 5
    assert sorted(path.name for path in (campaign.folder / "r/learners/a/logs/2").glob("training*.out")) == [
        "training.1.out",
        "training.2.out",
    ]
    trace = (campaign.folder / "r/learners/a/workspace/trace").read_text().splitlines()
    assert trace.count("2 training end") == 2, "files in the workspace stay as they are"


@pytest.fixture
def ended(rose: Rose) -> Rose:
    """A run `r` of two learners that stand at their max_iter."""
    rose.write("""
        max_iter: 2
        tasks: {t: {executable: echo, adaptive: {--lr: "1 - i/max_iter"}, options: {--n: 1}}}
        learners: [{name: a}, {name: b}, {name: c, max_iter: 3}]
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    return rose


def bounds(rose: Rose) -> dict[str, tuple[int, int]]:
    """Iterations done and their bound, by learner."""
    return {name: (each["iterations_done"], each["max_iter"]) for name, each in rose.learners("r").items()}


def test_max_iter_for_one_learner_leaves_the_others_to_a_later_resume(ended: Rose) -> None:
    assert ended("resume", "r", "--max-iter", "4", "--learner", "b").code == 0
    assert bounds(ended) == {"a": (2, 2), "b": (4, 4), "c": (3, 3)}
    assert "nothing to do" in ended("resume", "r").err
    assert ended("resume", "r", "--max-iter", "4").code == 0
    assert bounds(ended) == {"a": (4, 4), "b": (4, 4), "c": (4, 4)}
    refused = ended("resume", "r", "--max-iter", "4")
    assert (refused.code, "any of the 3 learners: they have 4 already" in refused.err) == (2, True)


def test_whoever_may_go_on_for_longer_keeps_its_bound(ended: Rose) -> None:
    assert ended("resume", "r", "--max-iter", "3").code == 0
    assert bounds(ended) == {"a": (3, 3), "b": (3, 3), "c": (3, 3)}
    refused = ended("resume", "r", "--max-iter", "2", "--learner", "c")
    assert (refused.code, "learner 'c': it has 3 already" in refused.err) == (2, True)


def test_an_extension_names_the_expressions_that_read_the_bound(ended: Rose) -> None:
    for words in (("--dry-run",), ()):
        called = ended("resume", "r", "--max-iter", "4", "--learner", "a", "--learner", "c", *words)
        told = called.out + called.err
        assert "t --lr = 1 - i/max_iter reads max_iter, which is 4 from here on" in told
        assert "old max_iter: a (0-1 with 2), c (0-2 with 3)" in told
    called = ended("resume", "r", "--max-iter", "4", "--from-iteration", "0", "--learner", "b", "--dry-run")
    assert "reads max_iter" not in called.out, "nothing of it was computed with the old bound"


@pytest.mark.parametrize("place", ["file", "file/x", "file/x/y", "loop", "loop/x", "/dev/null/x", "n" * 300])
def test_a_run_directory_that_cannot_be_is_refused(rose: Rose, place: str) -> None:
    rose.write("{max_iter: 1, tasks: {t: {executable: echo}}, learners: 1}")
    (rose.folder / "file").touch()
    (rose.folder / "loop").symlink_to("loop")
    called = rose("run", "campaign.yaml", "--run-dir", place)
    assert (called.code, called.out) == (4, "")
    assert f"cannot use '{place}' as a run directory: " in called.err.replace("\n", "")
    assert "--run-dir" in called.err


def test_tasks_see_the_terminal_of_the_resume(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {t: {executable: printenv PLACE}}, learners: [{name: a}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r", PLACE="first").code == 0
    assert rose("resume", "r", "--max-iter", "2", PLACE="second").code == 0
    logs = rose.folder / "r/learners/a/logs"
    assert [(logs / f"{iteration}/t.1.out").read_text() for iteration in (0, 1)] == ["first\n", "second\n"]


PILOT = {"host": "elsewhere", "resource": "lab.cluster", "here": False, "runtime_seconds": 600.0, "submitted": 0.0,
         "workplace": "/nowhere", "home": "/nowhere", "active": None}  # fmt: skip


@pytest.mark.parametrize(
    ("pilot", "said"),
    [
        (PILOT, "a pilot of this run on 'lab.cluster' may still be queued or running"),
        ({**PILOT, "here": True}, "a pilot of this run may still be running on host 'elsewhere'"),
        ({**PILOT, "active": 5.0}, None),  # its runtime has been over for years
    ],
)
def test_a_pilot_that_may_be_at_work_elsewhere_is_named(ended: Rose, pilot: dict[str, Any], said: str | None) -> None:
    """It is known by what its session wrote down."""
    record = ended.folder / "r/engine/pilot-1.1/pilot.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps(pilot))
    if said is None:
        wait_for_pilots(record.parents[1], "a-b", force=False)
        return
    path = ended.folder / "r/plan.json"
    document = json.loads(path.read_text())
    document["plan"]["engine"] |= {
        "kind": "radical.pilot",
        "pilot": asdict(PilotPlan("lab.cluster", 10, None, None, None, None, 0)),
    }
    path.write_text(json.dumps(document))
    refused = ended("resume", "r", "--max-iter", "4", "--trust")  # the plan was edited
    assert (refused.code, said in refused.err, "rose resume --force" in refused.err) == (4, True, True), refused.err
    assert bounds(ended)["a"] == (2, 2)
    wait_for_pilots(record.parents[1], "a-b", force=True)


def test_a_changed_campaign_is_applied_unless_the_run_is_to_stay_as_it_was(campaign: Rose) -> None:
    process = campaign.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_for_work(campaign, "r", 2)
    kill_after(process, 0)
    campaign.write(CAMPAIGN.replace("max_iter: 12", "max_iter: 13"))
    shown = campaign("resume", "r", "--dry-run", "--as-it-was")
    assert "'campaign.yaml' has changed since this run was started; the run keeps its own plan" in shown.out
    assert campaign("resume", "r", "--as-it-was").code == 0
    assert campaign.learners("r")["a"]["iterations_done"] == 12
    called = campaign("resume", "r")
    assert called.code == 0
    assert "  max_iter: 12 → 13  (line 2; a, b)" in called.err
    assert campaign.learners("r")["a"]["iterations_done"] == 13
    assert campaign.learners("r")["c"]["iterations_done"] == 7


def test_stop_from_another_terminal(campaign: Rose) -> None:
    process = campaign.start("run", "campaign.yaml", "--run-dir", "r", "--set", "max_iter=100000", "--set", "stop=null")
    wait_for_work(campaign, "r", 2)
    assert campaign("stop", "r", "--learner", "a").code == 0
    assert campaign.learners("r")["a"]["stop_reason"] == "cancelled"
    assert campaign.status("r")["status"] == "running"
    assert campaign("stop", "r").code == 0
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert campaign("stop", "r").code == 4


# --- a session killed before its first record: a plan, and an empty or torn journal --------------------------------


@pytest.fixture(params=[0, 1, 40])
def never_started(rose: Rose, request: pytest.FixtureRequest) -> Rose:
    """Run `r`, of whose journal only so many bytes were written."""
    rose.write("{max_iter: 2, tasks: {sim: {executable: 'true'}}, learners: [{name: a}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    journal = rose.folder / "r" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[: request.param])
    return rose


def test_a_run_that_was_never_started_is_pending(never_started: Rose) -> None:
    status = never_started.status("r")
    assert status["status"] == "pending"
    assert [learner["iterations_done"] for learner in status["learners"]] == [0]
    assert "pending" in never_started("status", "r").out
    assert len(never_started("export", "r").out.splitlines()) <= 1
    assert "continues at iteration 0" in never_started("resume", "r", "--dry-run").out


def test_a_run_that_was_never_started_starts_on_resume(never_started: Rose) -> None:
    called = never_started("resume", "r")
    assert called.code == 0
    assert "the run starts now" in called.err
    assert never_started.learners("r")["a"]["iterations_done"] == 2


# --- places in a run directory that cannot be written: each a message, never a bug ---------------------------------


@pytest.fixture
def finished(rose: Rose) -> Rose:
    """Run `r`, which has run one iteration and can be extended."""
    rose.write("{max_iter: 1, tasks: {sim: {executable: 'true'}}, learners: [{name: a}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    return rose


def put_a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.touch()


def put_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("place", "put", "says"),
    [
        ("engine", put_a_file, "cannot create the engine's directory"),
        ("engine/watchdog.log", put_a_folder, "cannot write the watchdog's log"),
        ("learners", put_a_file, "cannot continue: its workspace"),
    ],
)
def test_what_stands_in_the_way_is_named(finished: Rose, place: str, put: Callable[[Path], None], says: str) -> None:
    put(finished.folder / "r" / place)
    called = finished("resume", "r", "--max-iter", "2")
    assert called.code == 4
    assert says in called.err


def test_logs_that_cannot_be_made_are_the_tasks_failure(finished: Rose) -> None:
    logs = finished.folder / "r/learners/a/logs"
    put_a_file(logs)
    called = finished("resume", "r", "--max-iter", "2")
    assert called.code == 1
    assert "cannot be written: Not a directory" in finished.learners("r")["a"]["error"]["message"]


def test_a_request_that_cannot_be_removed_is_obeyed(finished: Rose) -> None:
    (finished.folder / "r/requests/all.json").mkdir(parents=True)  # no request, and no file either
    assert finished("resume", "r", "--max-iter", "2").code == 0


# --- what a session begins with ------------------------------------------------------------------------------------


THREE = """
    {max_iter: 3, tasks: {t: {executable: 'true'}}, learners: [{name: a}, {name: b, max_iter: 9}, {name: c}]}
    """


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return World.of(tmp_path, THREE, lambda _: Fate()).plan


def stands(*events: e.Event, iterations: int = 3) -> RunState:
    """What learner `a` has come to: so many iterations, and what else was recorded."""
    state = RunState()
    work = [
        event
        for number in range(iterations)
        for event in (e.AttemptStarted("a", number, "t", 0, 1), e.IterationFinished("a", number, 1.0, 0.5))
    ]
    opening = (e.RunCreated("r", "c", "0.1", ("a", "b", "c")), e.SessionStarted(1, "h", 1, "local"))
    for sequence, event in enumerate([*opening, *work, *events], 1):
        state.apply(Record(sequence, float(sequence), event))
    return state


def opening(plan: Plan, state: RunState, *, lost: tuple[str, ...] = (), **options: Any) -> list[e.Event]:
    return _opening(plan, state, ResumeOptions(**options), lost)


AT_MAX_ITER = e.LearnerStopped("a", "max_iter")


def test_nothing_is_noted_where_nothing_is_lost_or_asked_for(plan: Plan) -> None:
    assert opening(plan, stands()) == []
    assert opening(plan, stands(AT_MAX_ITER)) == [], "it has no bound to be extended to"
    assert opening(plan, stands(e.LearnerStopped("a", "criterion_met"))) == []
    assert opening(plan, stands(e.LearnerStopped("a", "cancelled"))) == []


def test_every_attempt_that_was_under_way_is_lost(plan: Plan) -> None:
    state = stands(
        e.AttemptStarted("a", 3, "t", 0, 1), e.AttemptFailed("a", 3, "t", 0, 1, "exited", "m", "c", "l", 1.0),
        e.AttemptStarted("a", 3, "t", 0, 2), e.AttemptStarted("b", 0, "t", 0, 1), e.AttemptStarted("b", 0, "t", 1, 1),
        e.AttemptSucceeded("b", 0, "t", 0, 1, 1.0),
    )  # fmt: skip
    assert opening(plan, state) == [
        e.AttemptLost("a", 3, "t", 0, 2, "its session ended"),
        e.AttemptLost("b", 0, "t", 1, 1, "its session ended"),
    ]


def test_a_learner_that_failed_is_reopened_and_no_other(plan: Plan) -> None:
    state = stands(AT_MAX_ITER, e.LearnerStopped("b", "failed"))
    assert opening(plan, state) == [e.LearnerReopened("b", "resumed after a failure")]
    assert opening(plan, state, learners=("a",)) == []


def test_a_bound_is_for_those_it_takes_further(plan: Plan) -> None:
    state = stands(AT_MAX_ITER)
    extended = e.LearnerReopened("a", "extended to 5 iterations")
    assert opening(plan, state, max_iter=5) == [e.MaxIterChanged(5, ("a", "c")), extended]
    assert opening(plan, state, max_iter=5, learners=("a",)) == [e.MaxIterChanged(5, ("a",)), extended]
    assert opening(plan, state, max_iter=10) == [
        e.MaxIterChanged(10, ()), e.LearnerReopened("a", "extended to 10 iterations"),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="does not extend any of the 3 learners: they have 3 or 9 already"):
        opening(plan, state, max_iter=3)
    with pytest.raises(UsageError, match="does not extend learner 'b': it has 9 already"):
        opening(plan, state, max_iter=9, learners=("b",))


def test_an_earlier_extension_counts(plan: Plan) -> None:
    state = stands(e.MaxIterChanged(5, ("a", "c")))
    assert opening(plan, state, max_iter=6) == [e.MaxIterChanged(6, ("a", "c"))]
    for less in (4, 5):
        with pytest.raises(UsageError, match="they have 5 or 9 already"):
            opening(plan, state, max_iter=less)


def test_a_bound_that_an_older_rose_noted_for_all_still_takes_further_who_stands_below(plan: Plan) -> None:
    state = stands(e.MaxIterChanged(5), AT_MAX_ITER)
    extended = [e.MaxIterChanged(5, ("a",)), e.LearnerReopened("a", "extended to 5 iterations")]
    assert opening(plan, state, max_iter=5) == extended
    with pytest.raises(UsageError):
        opening(plan, stands(e.MaxIterChanged(5), e.LearnerStopped("a", "criterion_met")), max_iter=5)
    with pytest.raises(UsageError):
        opening(plan, stands(e.MaxIterChanged(5), AT_MAX_ITER, iterations=5), max_iter=5)


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_learner_is_sent_back_to_any_iteration_up_to_the_one_under_way(plan: Plan, number: int) -> None:
    sent = e.LearnerReopened("a", f"sent back to iteration {number}", number)
    assert opening(plan, stands(AT_MAX_ITER), from_iteration=number, learners=("a",)) == [sent]


def test_a_learner_is_not_sent_forward(plan: Plan) -> None:
    with pytest.raises(UsageError, match="it has finished only 3") as refused:
        opening(plan, stands(), from_iteration=4, learners=("a",))
    assert refused.value.hint is not None
    assert "from 0 to 3" in refused.value.hint


def test_only_from_the_start_a_lost_workspace_is_made_anew(plan: Plan) -> None:
    def is_fresh(number: int, *lost: str) -> bool:
        (event,) = opening(plan, stands(), from_iteration=number, learners=("a",), lost=lost)
        assert isinstance(event, e.LearnerReopened)
        return event.fresh

    assert is_fresh(0, "a")
    assert not is_fresh(1, "a")
    assert not is_fresh(0, "b")


def test_a_learner_that_is_not_in_the_run_is_named(plan: Plan) -> None:
    with pytest.raises(UsageError, match="no learner 'd'"):
        opening(plan, stands(), learners=("a", "d"), max_iter=5)


def test_a_finished_run_is_found_to_be_taken_further_or_back(rose: Rose) -> None:
    rose.write("{max_iter: 2, tasks: {t: {executable: echo}}, learners: [{name: a}]}")
    assert rose("run", "campaign.yaml").code == 0
    assert rose("resume").code == 2
    for words in (("--from-iteration", "1"), ("--max-iter", "3")):
        called = rose("resume", *words, "--dry-run")
        assert (called.code, "learner 'a'" in called.out or "a:" in called.out) == (0, True), called


def test_a_task_that_outlived_rose_and_its_watchdog_is_ended_before_it_runs_again(rose: Rose) -> None:
    rose.script("#!/bin/sh\n[ -e pid ] && exit 0\necho $$ > pid.new\nmv pid.new pid\nexec sleep 1000\n", "task.sh")
    rose.write("{max_iter: 1, tasks: {t: {executable: ./task.sh}}, learners: [{name: a}]}")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    pid = rose.folder / "r/learners/a/workspace/pid"
    wait_until(pid.exists)
    process.send_signal(signal.SIGSTOP)
    name = run_id(rose.folder / "r")
    watchdogs = watchdogs_of(name) if name is not None else []
    assert watchdogs
    for watchdog in watchdogs:
        os.kill(watchdog, signal.SIGKILL)
    kill_after(process, 0)
    task = pid.read_text().strip()
    assert not gone(task), "nobody was left to end it"
    called = rose("resume", "r", "--output", "quiet")
    assert called.code == 0, called.err
    assert re.search(r"1 left-?over process\b", called.err)
    assert gone(task)
    ends = {"attempt_lost", "attempt_succeeded", "attempt_failed", "attempt_cancelled"}
    assert [event["event"] for event in rose.events("r") if event["event"] in ends] == [
        "attempt_lost",
        "attempt_succeeded",
    ]
