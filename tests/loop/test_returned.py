"""What functions returned, as rose reads it from a file that the user's process wrote; and what they may ask for."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rose_cli.engine import function
from rose_cli.loop.output import REPORT_BYTES, Report
from rose_cli.loop.returned import FunctionCall, Returned, caller_for_nodes, results_before, returned_in
from rose_cli.plan.render import AttemptPaths
from rose_cli.runs.directory import RunDirectory
from tests.loop.simulation import Fate, Try, World, interrupt


@pytest.mark.parametrize(
    ("text", "found"),
    [('{"returned": 0.1}', Returned(0.1)), ('{"returned": null}', Returned()),
     ('{"returned": {"a": [1]}}', Returned({"a": [1]})),
     ('{"raised": "ValueError: x"}', Returned(raised="ValueError: x")), ('{"raised": ["x"]}', Returned()),
     ('{"returned": true}', None), ('{"returned": "x"}', None), ('{"returned": [1]}', None), ("[1]", None), ("", None),
     ('{"returned": ' + "[" * 5000, None), ("\\xff", None)],
)  # fmt: skip
def test_only_what_the_caller_writes_is_taken(tmp_path: Path, text: str, found: Returned | None) -> None:
    path = tmp_path / "return.json"
    path.write_text(text)
    read = returned_in(path, inside=tmp_path)
    if text == "[1]":
        assert read == Returned(problem="what it returned is nested too deeply")
    else:
        assert read == found


def test_a_long_exception_is_cut(tmp_path: Path) -> None:
    (tmp_path / "r").write_text(json.dumps({"raised": "ValueError: " + "x" * 5000}))
    found = returned_in(tmp_path / "r", inside=tmp_path)
    assert found is not None
    assert found.raised is not None
    assert len(found.raised) <= 300


def test_a_report_that_is_too_large_is_a_problem_of_the_report(tmp_path: Path) -> None:
    (tmp_path / "r").write_text(json.dumps({"returned": {"a": "x" * (REPORT_BYTES + 9000)}}))
    found = returned_in(tmp_path / "r", inside=tmp_path)
    assert found is not None
    assert found.report is not None
    assert "the maximum is 65,536" in str(found.report.problem)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "other").write_text('{"returned": 1}')
    (run / "r").symlink_to(tmp_path / "other")
    assert returned_in(run / "r", inside=run) is None


def test_a_number_is_the_report_of_a_task_under_a_name() -> None:
    assert Returned(5).report == Report({"value": 5})
    assert Returned().report is None


def test_the_files_of_a_call_are_new_and_have_the_reports(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in ("return.json", "results.json"):
        (logs / name).symlink_to(victim)
    call = FunctionCall("m:f", logs / "return.json", logs / "results.json", {"sim": {"n": 1}}, tmp_path)
    call.prepare()
    assert not os.path.lexists(logs / "return.json")
    assert json.loads((logs / "results.json").read_text()) == {"sim": {"n": 1}}
    assert victim.read_text() == "mine"
    assert call.paths(AttemptPaths("w", "r"), "c").results_file == str(logs / "results.json")
    empty = FunctionCall("m:f", logs / "return.json", logs / "none.json", {}, tmp_path)
    empty.prepare()
    assert not (logs / "none.json").exists()
    assert empty.paths(AttemptPaths("w", "r"), "c").results_file is None


THREE = """
    max_iter: 1
    tasks:
      sim: {executable: "true", replicas: 2, on_failure: continue}
      train: {executable: "true"}
      last: {executable: "true"}
    learners: [{name: a}]
    """


def test_the_results_are_those_of_the_tasks_before_by_task_and_replica(tmp_path: Path) -> None:
    def script(attempt: Try) -> Fate:
        if attempt.task == "last":
            return Fate(100.0)
        failed = attempt.task == "sim" and attempt.replica == 1
        return Fate(exit_code=int(failed), printed=json.dumps({"of": attempt.task}))

    world = World.of(tmp_path, THREE, script)
    world.run(interrupt(10))
    state = world.look()
    (learner,), current = world.plan.learners, state.learners["a"].current
    assert current is not None
    assert results_before(learner, "last", current) == {"sim": [{"of": "sim"}, None], "train": {"of": "train"}}
    assert results_before(learner, "train", current) == {"sim": [{"of": "sim"}, None]}
    assert results_before(learner, "sim", current) == {}
    assert results_before(learner, "last", None) == {}


def test_the_nodes_of_a_pilot_get_a_copy_that_needs_no_other_file(tmp_path: Path) -> None:
    directory = RunDirectory.at(tmp_path / "run")
    directory.path.mkdir()
    for _ in range(2):
        path = caller_for_nodes(directory)
    assert path == str(directory.engine / "function.py")
    assert (directory.engine / "function.py").read_bytes() == Path(function.__file__).read_bytes()
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    (tmp_path / "own.py").write_text("def f(x): return x + 1\n")
    environment: dict[str, Any] = {"ROSE_CAMPAIGN_DIR": str(tmp_path), "ROSE_RETURN": str(tmp_path / "r")}
    subprocess.run([sys.executable, "-I", path, "own:f", "--x=4"], env=environment, check=True)
    assert returned_in(tmp_path / "r", inside=tmp_path) == Returned(5)
