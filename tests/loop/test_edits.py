"""A table of edits: what each of them changes, and which finished steps it would falsify."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose_cli.campaign_file import Target, check_campaign
from rose_cli.engine.base import Capacity
from rose_cli.journal.iterations import IterationState, KeptIterations, StepState
from rose_cli.journal.state import LearnerState
from rose_cli.loop.edits import Comparison, compare
from rose_cli.plan.render import EvaluationContext, option_value
from rose_cli.view.edits import edit_lines, refused_lines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rose_cli.plan.model import Plan

BASE = """
name: base
max_iter: 6
seed: 1
tasks:
  sim: {executable: "true", options: {--n: 1, --mode: fast}}
  train: {executable: "true", options: {--lr: 0.1}, retries: 1}
stop: {metric: mse, threshold: 0.1, patience: 5, executable: "echo 1"}
learners:
  - {name: a, train: {adaptive: {--decay: 0.1 * i}}}
  - {name: b}
"""
"""Learner a has finished iterations 0 and 1, and `sim` of iteration 2, in which `train` has failed; b has nothing."""


def compiled(text: str, folder: Path) -> Plan:
    file = folder / "campaign.yaml"
    file.write_text(text)
    checked = check_campaign(
        file, {"PATH": "/usr/bin:/bin"}, target=Target(Capacity(cores=8, memory_mb=8000), lambda: None)
    )
    assert checked.plan is not None, checked.diagnostics
    return checked.plan


def finished(value: float | None = 0.5, *tasks: str, number: int = 0) -> IterationState:
    steps = {(task, 0): StepState(attempt=1, finished=True) for task in tasks or ("sim", "train", "criterion")}
    return IterationState(number, 0.0, value=value, steps=steps)


def states() -> dict[str, LearnerState]:
    current = finished(None, "sim", number=2)
    current.steps["train", 0] = StepState(attempt=2, failures=2)
    current.failed = (("train", 0, 1), ("train", 0, 2))
    iterations = KeptIterations([finished(0.5), finished(0.4, number=1)])
    return {"a": LearnerState("a", prepared=True, iterations=iterations, current=current), "b": LearnerState("b")}


def compared(folder: Path, edits: Mapping[str, str], back: Mapping[str, int] | None = None) -> Comparison:
    text = BASE
    for old, new in edits.items():
        assert old in text, old
        text = text.replace(old, new)
    return compare(compiled(BASE, folder), compiled(text, folder), states(), back or {})


def shown(comparison: Comparison) -> list[str]:
    return edit_lines(comparison.edits, ["a", "b"], lambda _: None)


APPLIED: list[tuple[str, str, list[str]]] = [
    ("max_iter: 6", "max_iter: 9", ["max_iter: 6 → 9  (all learners)"]),
    ("threshold: 0.1", "threshold: 0.3", ["stop threshold: 0.1 → 0.3  (all learners)"]),
    ("patience: 5", "patience: 2, min_iter: 3", ["stop patience: 5 → 2  (all learners)", "stop min_iter"]),
    ("retries: 1", "retries: 3", ["train retries: 1 → 3  (train from the next iteration of all learners)"]),
    ("retries: 1", "timeout: 10m, retries: 1", ["train timeout: not set → 10m  (train from"]),
    ("retries: 1", "cores_per_rank: 2, retries: 1", ["train cores_per_rank: 1 → 2"]),
    ("seed: 1", "seed: 1\nenv: {MESH: fine}", ["env MESH: not set → 'fine'  (sim, train, criterion from the next"]),
    ("seed: 1", "seed: 1\nengine: {kind: local, cores: 2}", ["engine cores: not set → 2"]),
    ("seed: 1", "seed: 1\nlimits: {wall_time: 2h}", ["limits wall_time: not set → 2h"]),
    ("seed: 1", "seed: 1\nkeep: {logs: 3}", ["keep logs: not set → 3"]),
    ("seed: 1", "seed: 1\nstop_campaign: {after_converged: 1}", ["stop_campaign after_converged: not set → 1"]),
    ("name: base", "name: other", ["name: 'base' → 'other'"]),
    ("{name: b}", "{name: b}\n  - {name: c}", ["new learner 'c'"]),
    ("{name: b}", "{name: b, sim: {--n: 5}}", ["sim options --n: 1 → 5  (sim from iteration 0 of b)"]),
    ("{name: b}", "{name: b, seed: 5}", ["seed: "]),
    ("0.1 * i", "0.1 * i if i < 2 else 0.5", ['train adaptive --decay: "0.1 * i" → "0.1 * i if i < 2 else 0.5"']),
    ("--lr: 0.1", "--lr: 0.10", []),
    ("name: base", "name: base # a comment", []),
]


@pytest.mark.parametrize(("old", "new", "lines"), APPLIED)
def test_what_falsifies_nothing_is_applied(tmp_path: Path, old: str, new: str, lines: list[str]) -> None:
    comparison = compared(tmp_path, {old: new})
    assert comparison.refused == ()
    found = shown(comparison)
    if lines:
        assert len(found) == len(lines)
    for line, start in zip(found, lines, strict=False):
        assert line.startswith(start), line


def test_what_is_preloaded_may_always_change(tmp_path: Path) -> None:
    python = BASE.replace('"true"', '"{python} -c 1"')
    other = python.replace("seed: 1", "seed: 1\npreload: [numpy, scipy.linalg]").replace(
        "retries", "preload: auto, retries"
    )
    comparison = compare(compiled(python, tmp_path), compiled(other, tmp_path), states(), {})
    assert comparison.refused == ()
    assert shown(comparison) == [
        "sim preload: not set → numpy, scipy.linalg  (sim from the next iteration of all learners)",
        "train preload: not set → auto  (train from the next iteration of all learners)",
    ]


REFUSED: list[tuple[str, str, str]] = [
    ("--n: 1", "--n: 2", "sim options --n: 1 → 2: iterations 0-2 of a ran with 1"),
    ("--mode: fast", "--mode: slow", "sim options --mode: 'fast' → 'slow': iterations 0-2 of a ran with 'fast'"),
    (", --mode: fast", "", "sim options --mode: 'fast' → not set: iterations 0-2 of a ran with "),
    ("--lr: 0.1", "--lr: 0.2", "train options --lr: 0.1 → 0.2: iterations 0-1 of a ran with 0.1"),
    ("0.1 * i", "0.2 * i", 'train adaptive --decay: "0.1 * i" → "0.2 * i": iteration 1 of a ran with "0.1 * i"'),
    ("--lr: 0.1}", "--lr: 0.1}, args: [x]", "train args: not set → x: iterations 0-1 of a ran with not set"),
    ("--lr: 0.1}", "--lr: 0.1}, replicas: 2", "train replicas: 1 → 2: iterations 0-1 of a ran with 1"),
    ("seed: 1", "seed: 2", "seed: "),
    ("metric: mse", "metric: rmse", "stop metric: 'mse' → 'rmse': iterations 0-1 of a ran with 'mse'"),
    ("echo 1", "echo 2", "stop executable: echo 1 → echo 2: iterations 0-1 of a ran with echo 1"),
    ("{name: b}", "{name: c}", "learner 'b' is called 'c' in the file, with the same settings: a run keeps the names"),
    ("  - {name: b}\n", "", "learner 'b' is no longer in the file: a run keeps its learners"),
    ("  train:", "  new: {executable: 'true'}\n  train:", "new task 'new': iterations 0-1 of a ran without it"),
    ("  sim:", "  new: {executable: 'true'}\n  sim:", "new task 'new': iterations 0-2 of a ran without it"),
]


@pytest.mark.parametrize(("old", "new", "line"), REFUSED)
def test_what_falsifies_finished_steps_is_named(tmp_path: Path, old: str, new: str, line: str) -> None:
    comparison = compared(tmp_path, {old: new})
    lines = refused_lines(comparison.refused, ["a", "b"], lambda _: None)
    assert any(found.startswith(line) for found in lines), lines


@pytest.mark.parametrize(("old", "new"), [("--n: 1", "--n: 2"), ("echo 1", "echo 2"), ("seed: 1", "seed: 2")])
def test_from_the_start_everything_may_change(tmp_path: Path, old: str, new: str) -> None:
    assert compared(tmp_path, {old: new}, {"a": 0}).refused == ()
    later = compared(tmp_path, {old: new}, {"a": 1}).refused
    assert [edit.falsified for edit in later] == [{"a": (0,)}]


def test_only_what_succeeded_counts_as_finished(tmp_path: Path) -> None:
    """`train` was skipped in every iteration: nothing was computed with its options."""
    before, after = compiled(BASE, tmp_path), compiled(BASE.replace("--lr: 0.1", "--lr: 0.2"), tmp_path)
    learners = states()
    for iteration in learners["a"].iterations:
        iteration.failed = (("train", 0, 1),)
    assert compare(before, after, learners, {}).refused == ()


def test_known_learners_keep_their_index(tmp_path: Path) -> None:
    comparison = compared(tmp_path, {"  - {name: a,": "  - {name: first}\n  - {name: a,"})
    assert {learner.name: learner.index for learner in comparison.plan.learners} == {"first": 2, "a": 0, "b": 1}
    assert comparison.added == ("first",)


def test_unfinished_steps_that_are_no_longer_planned_start_over(tmp_path: Path) -> None:
    before, text = compiled(BASE, tmp_path), BASE.replace("train", "fit")
    learners = states()
    learners["a"].iterations = KeptIterations()
    current = learners["a"].current
    assert current is not None
    learners["a"].current = replace(current, number=0)
    comparison = compare(before, compiled(text, tmp_path), learners, {})
    assert comparison.refused == ()
    assert comparison.forgotten == ("a/train/0",)


def test_other_files_need_a_new_workspace(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1\n")
    comparison = compared(tmp_path, {"seed: 1": "seed: 1\nfiles: [data.csv]"})
    (edit,) = comparison.refused
    assert (edit.key, edit.falsified) == (("files", "data.csv"), {"a": (0, 1, 2)})
    assert comparison.refiled == ("b",)
    again = compared(tmp_path, {"seed: 1": "seed: 1\nfiles: [data.csv]"}, {"a": 0})
    assert (again.refused, again.refiled) == ((), ("a", "b"))


def test_another_direction_is_refused_where_an_expression_got_the_best_value(tmp_path: Path) -> None:
    text = BASE.replace("0.1 * i", "best if i > 1 else 0")
    before = compiled(text, tmp_path)
    after = compiled(text.replace("threshold: 0.1", 'operator: ">", threshold: 0.1'), tmp_path)
    learners = states()
    current = learners["a"].current
    assert current is not None
    assert compare(before, after, learners, {}).refused == (), "nothing that has finished was given it"
    learners["a"].iterations.append(finished(0.3, number=2))
    learners["a"].current = None
    (edit,) = compare(before, after, learners, {}).refused
    assert (edit.key, edit.falsified) == (("stop", "operator"), {"a": (2,)})


def test_a_range_is_refused_without_a_value_that_was_read(tmp_path: Path) -> None:
    threshold = "threshold: 0.1"
    (edit,) = compared(tmp_path, {threshold: f"{threshold}, range: [0, 0.45]"}).refused
    assert (edit.key, edit.falsified) == (("stop", "range"), {"a": (0,)})
    assert compared(tmp_path, {threshold: f"{threshold}, range: [0, 0.5]"}).refused == ()


VALUES = st.sampled_from(["1", "2", "'x'", "[1, 2]", "true"])


@given(st.dictionaries(st.integers(0, 5), VALUES, min_size=1), st.dictionaries(st.integers(0, 5), VALUES, min_size=1))
def test_an_applied_edit_never_changes_a_finished_step(
    tmp_path_factory: pytest.TempPathFactory, old: Mapping[int, str], new: Mapping[int, str]
) -> None:
    folder = tmp_path_factory.mktemp("edits")

    def plan(schedule: Mapping[int, str]) -> Plan:
        entries = ", ".join(f"{key}: {{--n: {value}}}" for key, value in schedule.items())
        return compiled(BASE.replace("{name: b}", f"{{name: b, sim: {{{entries}}}}}"), folder)

    learners = states()
    learners["b"] = replace(learners["a"], name="b")
    before, after = plan(old), plan(new)
    comparison = compare(before, after, learners, {})
    same = [_values(before, number) == _values(after, number) for number in range(3)]
    assert all(same) == (comparison.refused == ())
    victims = [number for edit in comparison.refused for number in (edit.falsified or {})["b"]]
    assert sorted(set(victims)) == [number for number in range(3) if not same[number]]


def _values(plan: Plan, number: int) -> Any:
    command = plan.learners[1].steps[0].command(number)
    context = EvaluationContext(number, 6)
    return repr({name: option_value(value, context) for name, value in command.options.items()})
