"""Every block of the tutorial runs, with the options that it configures."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rose_cli import LearnerConfig, TaskConfig
from rose_cli.api.upstream.configs import AdaptiveSchedule
from tests.api.upstream import tutorial
from tests.api.upstream.programs import arguments, environment, run_script, runs
from tests.conftest import PATIENCE

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


def rose(*words: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "rose_cli", *words],
        env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=True,
    ).stdout  # fmt: skip


def test_a_schedule_goes_on_when_its_run_is_extended_beyond_max_iter(tmp_path: Path) -> None:
    block = tutorial.COMBINED.replace("max_iter=15", "max_iter=1").replace("7: TaskConfig", "2: TaskConfig")
    done = run_script(tmp_path, tutorial.SETUP + block)
    assert done.returncode == 0, done.stderr
    (run,) = runs(tmp_path)
    assert "never reached" not in rose("validate", str(run / "campaign.yaml"))
    rose("resume", str(run), "--max-iter", "3", "--output", "quiet")
    given = [arguments(run, "simulation", f"learner-{number}") for number in range(3)]
    assert [each["--n_labeled"] for each in given[0].values()] == ["100", "150", "200"]
    assert [each["--n_labeled"] for each in given[1].values()] == ["150", "400", "250"]
    assert [each["--n_labeled"] for each in given[2].values()] == ["300"] * 3


def test_beyond_the_end_of_an_adaptive_schedule_no_task_runs_without_its_options(tmp_path: Path) -> None:
    schedule = "acl.create_adaptive_schedule('simulation', lambda i: {'kwargs': {'--n': i if i < 200 else 1 / 0}})"
    block = f"acl.teach(max_iter=1, learner_configs=[ParallelLearnerConfig(simulation={schedule}), None])\n"
    done = run_script(tmp_path, tutorial.SETUP + block)
    assert done.returncode == 0, done.stderr
    (run,) = runs(tmp_path)
    campaign = yaml.safe_load((run / "campaign.yaml").read_text(encoding="utf-8"))
    simulation = campaign["learners"][0]["simulation"]
    assert simulation[99] == {"options": {"--n": "99"}}
    ((name, expression),) = simulation["100+"]["adaptive"].items()
    assert (name, expression.startswith("result.the_schedule_ends_at_iteration_99__")) == ("--n", True)


def square(iteration: int) -> dict[str, Any]:
    if iteration >= 210:
        raise ValueError("there is no more")
    return {"kwargs": {"--n": iteration**2}}


@pytest.mark.parametrize(
    ("max_iter", "most", "count"), [(1, 5000, 100), (80, 5000, 160), (80, 10, 80), (150, 5000, 210), (None, 5000, 210)]
)
def test_an_adaptive_schedule_covers_the_run_and_one_that_is_twice_as_long(
    max_iter: int | None, most: int, count: int
) -> None:
    schedule = AdaptiveSchedule(square)
    assert [each.kwargs["--n"] for each in schedule.for_run(max_iter, most).values()] == [i**2 for i in range(count)]


def test_an_adaptive_schedule_that_fails_within_the_run_is_an_error() -> None:
    with pytest.raises(ValueError, match="no more"):
        AdaptiveSchedule(square).for_run(211, 5000)


def test_an_adaptive_schedule_gives_later_iterations_of_a_configuration_that_a_script_sets() -> None:
    config = LearnerConfig(simulation=AdaptiveSchedule(square)).get_task_config("simulation", 150)
    assert config == TaskConfig(kwargs={"--n": 150**2})
