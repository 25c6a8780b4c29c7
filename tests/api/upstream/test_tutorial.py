"""Every block of the tutorial runs, with the options that it configures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.upstream import tutorial
from tests.api.upstream.programs import arguments, run_script, runs

if TYPE_CHECKING:
    from pathlib import Path

SHOW = "for state in results: print(state.learner_id, state.iteration, state.metric_value, state.should_stop)\n"

BLOCKS: dict[str, tuple[str, list[dict[str, str]], list[dict[str, str]]]] = {
    "static": (
        tutorial.STATIC,
        [{"--n_labeled": "200", "--n_features": "2"}] * 3,
        [{"--learning_rate": "0.01"}] * 3,
    ),
    "per-iteration": (
        tutorial.PER_ITERATION,
        [{"--n_labeled": "200", "--n_features": "2"}] * 3,
        [{}] * 3,
    ),
    "adaptive": (
        tutorial.ADAPTIVE,
        [
            {"--n_labeled": str(100 + i * 50), "--n_features": "2", "--noise_level": str(0.1 * 0.95**i)}
            for i in range(3)
        ],
        [{"--learning_rate": str(0.01 * 0.9**i), "--batch_size": str(32 + i * 4)} for i in range(3)],
    ),
    "combined": (
        tutorial.COMBINED,
        [{"--n_labeled": str(100 + i * 50), "--n_features": "2"} for i in range(3)],
        [{}] * 3,
    ),
}


@pytest.mark.parametrize("name", list(BLOCKS))
def test_a_block_of_the_tutorial_runs_with_the_options_that_it_configures(name: str, tmp_path: Path) -> None:
    block, simulation, training = BLOCKS[name]
    done = run_script(tmp_path, tutorial.SETUP + block + SHOW)
    assert done.returncode == 0, done.stderr
    (run,) = runs(tmp_path)
    assert arguments(run, "simulation", "learner-0") == dict(enumerate(simulation))
    assert arguments(run, "training", "learner-0") == dict(enumerate(training))
    shown = [line for line in done.stdout.splitlines() if line.endswith("2 0.01 True")]
    assert [line.split()[0] for line in shown] == [str(number) for number in range(len(shown))]
    assert len(shown) == (3 if name in ("per-iteration", "combined") else 2)


def test_the_options_that_the_functions_ignore_are_added_and_said_once_for_each_task(tmp_path: Path) -> None:
    done = run_script(tmp_path, tutorial.SETUP + tutorial.STATIC)
    assert done.stderr.count("the function of 'simulation' ignores --n_labeled, --n_features: added") == 1
    assert done.stderr.count("the function of 'training' ignores --learning_rate: added") == 1
    assert "script.py:" in done.stderr


def test_a_schedule_has_its_own_options_in_its_iterations_and_others_elsewhere(tmp_path: Path) -> None:
    done = run_script(tmp_path, tutorial.SETUP + tutorial.PER_ITERATION)
    assert done.returncode == 0, done.stderr
    (run,) = runs(tmp_path)
    assert arguments(run, "simulation", "learner-1") == {
        0: {"--n_labeled": "100"}, 1: {"--n_labeled": "500"}, 2: {"--n_labeled": "500"},
    }  # fmt: skip
    assert arguments(run, "simulation", "learner-2") == {0: {}, 1: {}, 2: {}}


@pytest.mark.parametrize(
    ("block", "name"), [(tutorial.ITERATION_SCHEDULE, "config"), (tutorial.ADAPTIVE_SCHEDULE, "adaptive_config")]
)
def test_the_quick_reference_gives_schedules_of_configurations(block: str, name: str, tmp_path: Path) -> None:
    show = f"print({name}[0].kwargs, {name}[5].kwargs, len({name}))\n"
    done = run_script(tmp_path, tutorial.SETUP + block + show)
    expected = {
        "config": "{'--learning_rate': '0.01'} {'--learning_rate': '0.005'} 3",
        "adaptive_config": f"{{'--learning_rate': '0.01'}} {{'--learning_rate': '{0.01 * 0.95**5}'}} 100",
    }
    assert done.stdout.strip() == expected[name], done.stderr
