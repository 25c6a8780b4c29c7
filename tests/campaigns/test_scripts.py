"""The scripts of the campaigns, run as rose runs them: each step once, once more, and from another seed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.campaigns.reference_loop import CAMPAIGNS, accuracy_history, run_step

if TYPE_CHECKING:
    from pathlib import Path


class Step(NamedTuple):
    script: str
    options: tuple[str, ...] = ()


LOOPS = {
    "tutorial": (
        Step("tutorial/sim.py", ("--n_labeled", "150", "--n_features", "2", "--noise_level", "0.095")),
        Step("tutorial/train.py", ("--learning_rate", "0.009000000000000001", "--batch_size", "36")),
        Step("tutorial/active.py"),
        Step("tutorial/check_mse.py"),
    ),
    "digits": (
        Step("digits/label.py", ("--start", "2")),
        Step("digits/train.py"),
        Step("digits/margin.py"),
        Step("digits/random_acquisition.py"),
        Step("digits/committee.py"),
        Step("digits/accuracy.py"),
    ),
    "cartpole-es": (
        Step("cartpole-es/environment.py", ("0",)),
        Step("cartpole-es/environment.py", ("1", "--size", "0.3")),
        Step("cartpole-es/update.py", ("--step", "5.0")),
        Step("cartpole-es/evaluate.py"),
    ),
}
CRITERION = {"tutorial/check_mse.py": None, "digits/accuracy.py": "accuracy", "cartpole-es/evaluate.py": None}


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> tuple[Step, ...]:
    return LOOPS[request.param]


def files(workspace: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in workspace.iterdir()}


def run_loop(
    loop: tuple[Step, ...], workspace: Path, *, seed: int, iterations: int = 2, interpreter: int = 0
) -> list[str]:
    """The last line of every step, in order."""
    workspace.mkdir(exist_ok=True)
    return [
        run_step(step.script, workspace, seed=seed, iteration=iteration, options=step.options, interpreter=interpreter)
        for iteration in range(iterations)
        for step in loop
    ]


def metrics(loop: tuple[Step, ...], lines: list[str]) -> list[float]:
    """What the criterion, the last step of each iteration, has said."""
    key = CRITERION[loop[-1].script]
    said = [json.loads(line) for line in lines[len(loop) - 1 :: len(loop)]]
    return [value if key is None else value[key] for value in said]


def test_each_step_reports_and_the_criterion_is_a_number(loop: tuple[Step, ...], tmp_path: Path) -> None:
    as_declared = tuple(step if "environment" in step.script else Step(step.script) for step in loop)
    lines = run_loop(as_declared, tmp_path, seed=1, iterations=1)
    assert all(json.loads(line) for line in lines[:-1])
    assert metrics(as_declared, lines)[0] > 0


def test_a_step_that_runs_again_leaves_the_same_files(loop: tuple[Step, ...], tmp_path: Path) -> None:
    for iteration in range(2):
        for step in loop:
            said, left = [], []
            for interpreter in range(2):
                asked = {"seed": 1, "iteration": iteration, "interpreter": interpreter}
                said.append(run_step(step.script, tmp_path, options=step.options, **asked))
                left.append(files(tmp_path))
            assert said[0] == said[1], step
            assert left[0] == left[1], step


def test_two_runs_with_one_seed_are_alike_and_with_another_differ(loop: tuple[Step, ...], tmp_path: Path) -> None:
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    assert run_loop(loop, one, seed=1) == run_loop(loop, two, seed=1, interpreter=1)
    assert files(one) == files(two)
    run_loop(loop, other, seed=2, iterations=1)
    left = files(other)
    assert left.keys() < files(one).keys()
    assert any(files(one)[name] != content for name, content in left.items())


def test_what_an_interrupted_attempt_left_does_no_harm(tmp_path: Path) -> None:
    loop = LOOPS["tutorial"]
    lines = run_loop(loop, tmp_path, seed=1, iterations=1)
    whole = files(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.with_suffix(".unfinished").write_bytes(path.read_bytes()[:100])
        path.unlink()
    assert (run_loop(loop, tmp_path, seed=1, iterations=1, interpreter=1), files(tmp_path)) == (lines, whole)


def test_a_learner_labels_no_more_than_it_is_told_and_never_forgets(tmp_path: Path) -> None:
    counts = []
    for iteration, n_labeled in enumerate((150, 400, 120, 170)):
        options = ("--n_labeled", str(n_labeled))
        line = run_step("tutorial/sim.py", tmp_path, seed=1, iteration=iteration, options=options)
        counts.append(json.loads(line)["labeled_count"])
        for script in ("tutorial/train.py", "tutorial/active.py"):
            run_step(script, tmp_path, seed=1, iteration=iteration)
    assert counts == [100, 150, 150, 170]


def test_another_number_of_features_half_way_is_refused(tmp_path: Path) -> None:
    run_loop(LOOPS["tutorial"], tmp_path, seed=1, iterations=1)
    with pytest.raises(AssertionError, match="this learner began with 2, keep to it"):
        run_step("tutorial/sim.py", tmp_path, seed=1, iteration=1, options=("--n_features", "3"))


@pytest.mark.parametrize(("name", "iterations"), [("tutorial", 4), ("cartpole-es", 4)])
def test_a_learner_learns(name: str, iterations: int, tmp_path: Path) -> None:
    loop = LOOPS[name]
    values = metrics(loop, run_loop(loop, tmp_path, seed=1, iterations=iterations))
    if name == "tutorial":
        assert values[-1] < values[0] / 2
    else:
        assert values[-1] > values[0] * 1.5


def test_a_chosen_label_is_worth_more_than_a_random_one(tmp_path: Path) -> None:
    histories = []
    for acquisition in ("random_acquisition.py", "margin.py", "committee.py"):
        workspace = tmp_path / acquisition
        workspace.mkdir()
        histories.append(accuracy_history(workspace, seed=1, acquisition=acquisition, max_iter=5, threshold=1))
    random, *chosen = histories
    assert [history[0] for history in chosen] == [random[0]] * 2  # all begin with the same images
    assert all(history[-1] > random[-1] + 0.01 for history in chosen)


def test_the_copies_of_workspace_are_alike() -> None:
    texts = {path.read_text() for path in CAMPAIGNS.glob("*/workspace.py")}
    assert len(texts) == 1
