"""Run directories that somebody else made or edited: what comes back from a disk is input, and never a bug of rose."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rose_cli.commands import export, logs, resume, status
from rose_cli.plan.file import load_plan
from rose_cli.plan.render import AttemptPaths, EvaluationContext, NoCommandError, render
from rose_cli.report.forms import written
from rose_cli.report.reading import Reading
from rose_cli.run_info import read_run
from rose_cli.runs.directory import RunDirectory
from rose_cli.runs.workspace import prepare_workspace
from rose_cli.util.errors import ExitCode, RoseError, RunDirectoryError, UsageError
from tests import forge
from tests.conftest import Rose
from tests.forge import anything

if TYPE_CHECKING:
    from collections.abc import Callable

ASSET = Path(__file__).parent.parent / "journal/assets/v1"
ATTEMPT = {"learner": "a", "iteration": 0, "task": "sim", "replica": 0, "attempt": 9}
DONE = {"event": "attempt_succeeded", **ATTEMPT, "seconds": 1.0}
FAILED = {"event": "attempt_failed", **ATTEMPT, "kind": "exited", "message": "m", "command": "c", "log": "l",
          "seconds": 1.0}  # fmt: skip
STARTED = {"event": "session_started", "session": 2, "host": "h", "pid": 1, "engine": "local"}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign with a run `rose-runs/good`, whose only step failed; from now on it would succeed."""
    rose = Rose(tmp_path_factory.mktemp("once"))
    rose.script('#!/bin/sh\n[ -e "$ROSE_CAMPAIGN_DIR/ok" ]\n', "sim.sh")
    rose.write("{max_iter: 1, files: [sim.sh], tasks: {sim: {executable: ./sim.sh}}, learners: [{name: a}]}")
    (rose.folder / "rose-runs").mkdir()
    assert rose("run", "campaign.yaml", "--run-dir", "rose-runs/good", "--output", "quiet").code == 1
    (rose.folder / "ok").touch()
    return rose.folder


@pytest.fixture
def failed(once: Path, tmp_path: Path) -> Rose:
    """A copy of it."""
    return Rose(Path(shutil.copytree(once, tmp_path / "here", symlinks=True)))


def copy_of(good: Path, name: str) -> Path:
    return Path(shutil.copytree(good, good.with_name(name), symlinks=True))


def adding(*events: dict[str, Any]) -> Callable[[Path], None]:
    return lambda run: forge.append(run, *events)


def raw(*lines: bytes) -> Callable[[Path], None]:
    """Lines after those that are there, of which there are as many as the good run has."""

    def change(run: Path) -> None:
        with (run / "journal.jsonl").open("ab") as journal:
            journal.writelines(lines)

    return change


def first(event: dict[str, Any]) -> Callable[[Path], None]:
    return lambda run: forge.write_records(run, [event])


def in_plan(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda run: forge.change_plan(run, change)


def in_command(**values: object) -> Callable[[Path], None]:
    return in_plan(lambda plan: [command.update(values) for command in forge.every_command(plan)])


def in_learner(**values: object) -> Callable[[Path], None]:
    return in_plan(lambda plan: plan["learners"][0].update(values))


def in_file(**values: object) -> Callable[[Path], None]:
    return in_plan(lambda plan: plan["learners"][0]["files"][0].update(values))


def replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        (run / name).unlink()
        make(run / name)

    return change


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(4 << 30)


ODD: dict[str, Callable[[Path], None]] = {
    "unknown learner": adding({"event": "learner_started", "learner": "zz"}),
    "learner that is a list": adding({"event": "learner_started", "learner": ["a"]}),
    "unknown task": adding({**DONE, "task": "../../over"}),
    "bound in words": adding({"event": "max_iter_changed", "max_iter": "ten"}),
    "bound below zero": adding({"event": "max_iter_changed", "max_iter": -3}),
    "bound of an unknown learner": adding({"event": "max_iter_changed", "max_iter": 3, "learners": ["zz"]}),
    "going back to a negative iteration": adding(
        {"event": "learner_reopened", "learner": "a", "reason": "r", "from_iteration": -1}
    ),
    "process zero": adding({"event": "process_spawned", **ATTEMPT, "pid": 0, "start_ticks": 1}),
    "process that is a path": adding({"event": "process_spawned", **ATTEMPT, "pid": "../tmp/x", "start_ticks": 1}),
    "directory that is none": adding({**STARTED, "directory": ""}),
    "directory with a zero byte": adding({**STARTED, "directory": "/a\0b", "campaign_dir": "/x"}),
    "log elsewhere": adding({**FAILED, "log": "/etc/shadow"}),
    "log above": adding({**FAILED, "log": "../../../etc/shadow"}),
    "workspace file above": adding({**DONE, "files": {"../../../../etc/passwd": 5}}),
    "workspace file with a zero byte": adding({**DONE, "files": {"a\0b": 5}}),
    "run that begins twice": lambda run: forge.append(run, forge.records(run)[0]),
    "run without a name": lambda run: forge.change_records(
        run, lambda entry: entry.update(run_id="") if "run_id" in entry else None
    ),
    "run of other learners": lambda run: forge.change_records(
        run, lambda entry: entry.update(learners=["a", "b"]) if "learners" in entry else None
    ),
    "journal that begins with its end": first({"event": "session_ended", "session": 1, "reason": "finished"}),
    "journal that begins with a session": first(STARTED),
    "journal that begins with a bound": first({"event": "max_iter_changed", "max_iter": 3}),
    "time in words": adding({"event": "learner_started", "learner": "a", "time": "yesterday"}),
    "time out of time": adding({"event": "learner_started", "learner": "a", "time": 1e300}),
    "deep report": lambda run: raw(
        forge.sealed(
            f'{{"seq":{len(forge.records(run)) + 1},"time":1,"event":"attempt_succeeded","learner":"a","iteration":0,'
            f'"task":"sim","replica":0,"attempt":1,"seconds":1,"result":{{"x":{"[" * 200_000}{"]" * 200_000}}}'
        )
    )(run),
    "report deep enough for what shows it": lambda run: raw(
        forge.sealed(
            f'{{"seq":{len(forge.records(run)) + 1},"time":1,"event":"attempt_succeeded","learner":"a","iteration":0,'
            f'"task":"sim","replica":0,"attempt":1,"seconds":1,"result":{{"x":{"[" * 600}{"]" * 600}}}'
        )
    )(run),
    "journal that is a folder": replaced("journal.jsonl", Path.mkdir),
    "plan of four gigabytes": replaced("plan.json", sparse),
    "plan without an end": replaced("plan.json", lambda path: path.write_text('{"format": 2, "plan": ' + "[" * 10**6)),
    "plan of format 0": replaced("plan.json", lambda path: path.write_text('{"format": 0, "plan": {}}')),
    "plan that is a link": replaced("plan.json", lambda path: path.symlink_to("/etc/passwd")),
    "target above": in_file(target="../../../../../victim"),
    "target that goes down and up": in_file(target="x/../../../../../victim"),
    "target that is the workspace": in_file(target="."),
    "target from the root": in_file(target="/tmp/x"),
    "target with a zero byte": in_file(target="a\0b"),
    "learner above": in_learner(name="../../../victim"),
    "learner that looks like above": in_learner(name="\uff0e\uff0e"),
    "learner without a name": in_learner(name=""),
    "learner with an escape": in_learner(name="a\x1b[2J"),
    "two learners of one folder": in_plan(
        lambda plan: plan["learners"].append({**plan["learners"][0], "name": "A", "index": 1})
    ),
    "task above": in_plan(lambda plan: plan["learners"][0]["steps"][0].update(task="../../../../../over")),
    "task of the criterion's name": in_plan(lambda plan: plan["learners"][0]["steps"][0].update(task="criterion")),
    "retries without bounds": in_command(retries=10**30),
    "retries below zero": in_command(retries=-1),
    "retries that are true": in_command(retries=True),
    "bound of a learner in words": in_learner(max_iter="ten"),
    "timeout that is infinite": in_command(timeout_seconds=float("inf")),
    "timeout that is no number": in_command(timeout_seconds=float("nan")),
    "no words": in_command(words=[]),
    "words of two kinds": in_command(words=["true", 5]),
    "word with a zero byte": in_command(words=["true\0"]),
    "unknown placeholder": in_command(words=["{home}"]),
    "unknown placeholder in a variable": in_command(environment={"X": "{home}"}),
    "variable of rose's own": in_command(environment={"ROSE_MARK": "x"}),
    "variable with an equals sign": in_command(environment={"A=B": "x"}),
    "option with a blank": in_command(options={"--a b": 1}),
    "expression that is none": in_command(options={"--a": {"expression": "__import__('os')"}}),
    "number that is none": in_command(options={"--a": {"text": "; rm"}}),
    "lines that are a text": in_command(pre_exec="id"),
    "resources below one": in_command(resources={"cores": 0, "gpus": 0, "memory_mb": 0}),
    "resources without bounds": in_command(resources={"cores": 1, "gpus": 0, "memory_mb": 10**40}),
    "lookup of words that are not there": in_command(beside=[7]),
    "campaign file elsewhere": in_plan(lambda plan: plan.update(campaign_file="../../../etc/passwd")),
    "origin that is relative": in_plan(lambda plan: plan.update(origin={"run": "x", "campaign": "y"})),
    "engine of two kinds": in_plan(lambda plan: plan["engine"].update(kind="radical.pilot")),
    "engine of no kind": in_plan(lambda plan: plan["engine"].update(kind="mallory")),
}


def test_odd_runs_are_unreadable_and_the_others_are_listed_and_go_on(failed: Rose, tmp_path: Path) -> None:
    good, reports = failed.folder / "rose-runs/good", tmp_path / "reports"
    reports.mkdir()
    for number, change in enumerate(ODD.values()):
        change(copy_of(good, f"odd-{number}"))
    listed = failed.json("list", "--format", "json")
    found = {run["name"]: run for run in listed}
    odd = {name: found[f"odd-{number}"] for number, name in enumerate(ODD)}
    assert {name for name, run in odd.items() if run["status"] != "unreadable"} == set()
    assert {name for name, run in odd.items() if "Error" in run["note"] or not run["note"]} == set()
    assert found["good"]["status"] == "failed"
    assert failed("status", "good", TMPDIR=str(reports)).code == 0
    called = failed("resume", "--output", "quiet", TMPDIR=str(reports))
    assert called.code == 0, called.err
    assert failed.status("good")["status"] == "done"
    assert list(reports.iterdir()) == [], "what is odd about a run is no bug of rose"


@pytest.mark.parametrize("name", ODD)
def test_an_odd_run_is_refused_by_every_command_with_what_to_do(failed: Rose, name: str) -> None:
    run = failed.folder / "rose-runs/good"
    ODD[name](run)
    for call in (
        lambda: read_run(RunDirectory.at(run)),
        lambda: status.status(str(run), "json"),
        lambda: resume.resume(str(run), resume.ResumeOptions(output="quiet")),
        lambda: resume.preview(str(run), resume.ResumeOptions(max_iter=3)),
        lambda: export.export(str(run), "csv", None),
        lambda: logs.logs([str(run)], raw=True),
        lambda: written([Reading(RunDirectory.at(run))], "html"),
    ):
        with pytest.raises(RoseError) as caught:
            call()
        assert caught.value.exit_code is ExitCode.RUN_DIRECTORY, caught.value
        assert caught.value.hint or "cannot read" in caught.value.message, caught.value


def test_what_a_plan_names_outside_is_neither_removed_nor_written(failed: Rose) -> None:
    """Targets and names of learners once led out of the run: a folder there was removed, and files were made."""
    run = failed.folder / "rose-runs/good"
    victim = failed.folder / "victim"
    victim.mkdir()
    (victim / "chapter1").write_text("precious")
    shutil.rmtree(run / "learners")
    forge.write_records(run, forge.records(run)[:1])
    for name in ("target above", "target that goes down and up", "learner above", "task above"):
        ODD[name](copy_of(run, "forged"))
        called = failed("resume", "rose-runs/forged")
        assert (called.code, "is damaged" in called.err) == (4, True), called.err
        assert not (failed.folder / "rose-runs/forged/learners").exists()
        shutil.rmtree(failed.folder / "rose-runs/forged")
    assert {path.name for path in failed.folder.iterdir()} == {"campaign.yaml", "sim.sh", "ok", "victim", "rose-runs"}
    assert (victim / "chapter1").read_text() == "precious"


def test_the_log_of_a_failure_lies_in_the_run_directory(failed: Rose, capsys: pytest.CaptureFixture[str]) -> None:
    """A program may upload what it is told of."""
    run = failed.folder / "rose-runs/good"

    def told() -> tuple[str | None, bool]:
        """The log in JSON, and whether the text has the command that prints it."""
        status.status(str(run), "json")
        (learner,) = json.loads(capsys.readouterr().out)["learners"]
        status.status(str(run), "text")
        text = capsys.readouterr().out
        assert "/etc" not in text
        return learner["error"]["log"], re.search(r"rose logs \S+ a 0 sim", text) is not None

    log = run / "learners/a/logs/0/sim.1.err"
    log.write_text("wrong\n", encoding="utf-8")
    assert told() == (str(log), True)
    log.unlink()
    log.symlink_to("/etc/passwd")
    assert told() == (None, False)
    shutil.rmtree(log.parent)
    log.parent.symlink_to("/etc")
    assert told() == (None, False)


# --- all that can be said of a field --------------------------------------------------------------------------------


def places_in(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a value of JSON."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, entry in entries for place in ((*way, key), *places_in(entry, (*way, key)))]


def put(value: Any, way: tuple[Any, ...], entry: object) -> None:
    for key in way[:-1]:
        value = value[key]
    if entry is ...:
        del value[way[-1]]
    else:
        value[way[-1]] = entry


EVERYTHING = """
engine: {kind: local, cores: 2, gpus: [g0], grace: 1}
max_iter: 4
files: [{path: data, copy: true}]
env: {A: '{learner}'}
pre_exec: [export B=1]
limits: {max_parallel_learners: 2, wall_time: 1h, same_failure: 3}
tasks:
  sim:
    executable: 'true {seed}'
    args: [x]
    options: {--n: 0.10, --l: [1, a]}
    retries: {times: 1, pause: 1}
    timeout: 5
  line: {executable: 'echo {learner} | cat', shell: true, replicas: 2}
stop:
  {metric: mse, threshold: 0.1, executable: echo 1, read: {file: m.json, json: a.b}, patience: 2, range: [0, 1]}
stop_campaign: {after_converged: 1}
learners:
  - {name: a, sim: {0: {--n: 5}, -1: {--n: 6}}, files: [own]}
  - {name: b, sim: {adaptive: {--n: 1 + i}}}
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign with a run of it that has all that a plan can hold; its journal is not of this run."""
    from rose_cli.campaign_file import check_campaign
    from rose_cli.plan.file import dump_plan

    folder = tmp_path_factory.mktemp("recorded")
    (folder / "campaign.yaml").write_text(EVERYTHING)
    (folder / "data").mkdir()
    (folder / "data/x").write_text("x")
    (folder / "own").write_text("own")
    run = folder / "runs" / "run"
    run.mkdir(parents=True)
    plan = check_campaign(folder / "campaign.yaml", {"PATH": os.environ["PATH"]}).good_plan
    (run / "plan.json").write_text(dump_plan(plan, run))
    return run


def outside(folder: Path, inside: Path) -> dict[str, object]:
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if not path.is_relative_to(inside)
    }


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_plan_is_refused_or_harms_nothing_outside(recorded: Path, data: st.DataObject) -> None:
    document = json.loads((recorded / "plan.json").read_text())
    way = data.draw(st.sampled_from(places_in(document["plan"])))
    changed = copy.deepcopy(document)
    put(changed["plan"], way, data.draw(anything | st.just(...)))
    run = recorded.with_name("forged")
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    (run / "plan.json").write_text(json.dumps(changed))
    before = outside(recorded.parent.parent, run)
    try:
        plan = load_plan(run / "plan.json")
    except RunDirectoryError:
        return
    directory = RunDirectory.at(run)
    for learner in plan.learners:
        with contextlib.suppress(RunDirectoryError):  # a source that is not there
            prepare_workspace(directory.workspace(learner.name), learner.files, inside=directory.path)
        for step in learner.all_steps:
            assert directory.log(learner.name, 0, step.task, 0, 1, "out").resolve().is_relative_to(run.resolve())
            with contextlib.suppress(NoCommandError):
                render(
                    plan,
                    learner,
                    step.task,
                    step.command(1),
                    EvaluationContext(1, learner.max_iter),
                    AttemptPaths("/w", "/r"),
                )
    assert outside(recorded.parent.parent, run) == before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_record_is_refused_or_can_be_shown_and_explained(tmp_path: Path, data: st.DataObject) -> None:
    """A whole journal, of which one value of one record says something else."""
    run = tmp_path / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(ASSET, run)
    entries = forge.records(run)
    kinds = sorted({entry["event"] for entry in entries})
    kind = data.draw(st.sampled_from(kinds))
    entry = data.draw(st.sampled_from([entry for entry in entries if entry["event"] == kind]))
    ways = [way for way in places_in(entry) if way[0] not in ("seq", "crc")]
    put(entry, data.draw(st.sampled_from(ways)), data.draw(anything | st.just(...)))
    forge.write_records(run, entries)
    screen, beside = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(beside):
        calls: tuple[Callable[[], object], ...] = (
            lambda: status.status(str(run), "text"),
            lambda: status.status(str(run), "json"),
            lambda: export.export(str(run), "csv", None),
            lambda: export.export(str(run), "jsonl", None),
            lambda: written([Reading(RunDirectory.at(run))], "html"),
            lambda: written([Reading(RunDirectory.at(run))], "md"),
            lambda: resume.preview(str(run), resume.ResumeOptions(max_iter=9)),
        )
        for call in calls:
            with contextlib.suppress(RunDirectoryError, UsageError):
                call()
    screen.seek(0)
    assert "\x1b" not in screen.read()


ENTRIES = ["host", "boot_id", "pid", "start_ticks", "time", "user", "job_id", "token", "folder", "path"]


@settings(max_examples=100, deadline=None)
@given(entries=st.dictionaries(st.sampled_from(ENTRIES), anything), whole=st.booleans())
def test_any_lock_is_judged(tmp_path_factory: pytest.TempPathFactory, entries: dict[str, Any], whole: bool) -> None:
    from rose_cli.runs.lock import read_owner
    from rose_cli.runs.lock_owner import is_alive

    folder = tmp_path_factory.mktemp("lock")
    if whole:
        first = {"host": "h", "boot_id": None, "pid": 5, "start_ticks": None, "time": 1.0, "user": "u", "job_id": None,
                 "token": "t"}  # fmt: skip
        entries = {**first, **entries}
    (folder / "lock").write_text(json.dumps(entries))
    owner = read_owner(folder)
    assert owner is None or is_alive(owner) in (True, False, None)
