"""Scripts with the calls of upstream's examples, each run to its end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from rose_cli.journal import events as e
from tests.api.upstream import scripts
from tests.api.upstream.programs import records, run_script, runs

if TYPE_CHECKING:
    from pathlib import Path


def states(output: str) -> list[str]:
    return [line.partition(" ")[2] for line in output.splitlines() if re.match(r"(state|best|all|last) ", line)]


def test_a_sequential_learner_gives_a_state_after_each_iteration(tmp_path: Path) -> None:
    done = run_script(tmp_path, scripts.SEQUENTIAL)
    assert done.returncode == 0, done.stderr
    assert states(done.stdout) == ["0 1.0 2", "1 0.5 2", "2 0.01 2"]


def test_parallel_learners_give_theirs_with_the_number_of_each(tmp_path: Path) -> None:
    done = run_script(tmp_path, scripts.PARALLEL)
    assert done.returncode == 0, done.stderr
    expected = [f"{learner} {i} {value}" for learner in range(3) for i, value in enumerate((1.0, 0.5, 0.01))]
    assert sorted(states(done.stdout)) == expected
    assert "['learner-0', 'learner-1', 'learner-2']" in done.stdout


def test_the_selector_says_which_algorithm_needed_the_fewest_iterations(tmp_path: Path) -> None:
    done = run_script(tmp_path, scripts.SELECTOR)
    assert done.returncode == 0, done.stderr
    best, found = states(done.stdout)
    assert best == "quick {'iterations': 2, 'last_result': 0.01} quick"
    assert "('slow', {'iterations': 3, 'last_result': 0.01})" in found


def test_functions_hand_on_values_and_the_script_decides_between_iterations(tmp_path: Path) -> None:
    done = run_script(tmp_path, scripts.VALUES)
    assert done.returncode == 0, done.stderr
    assert states(done.stdout) == [
        "0 0.1667 6 0 2 1.0 None",
        "1 0.1250 8 6 2 1.0 None",
        "2 0.0769 13 8 5 1.0 None",
        "3 0.0556 18 13 5 1.0 None",
        "4 0.0435 23 18 5 1.0 None",
        "4 True",
    ]
    (run,) = runs(tmp_path)
    (stopped,) = [event for event in records(run) if isinstance(event, e.LearnerStopped)]
    assert (stopped.reason, stopped.message) == ("decided", "the script left its loop")


def test_a_reinforcement_learner_needs_no_more_than_its_import_lines(tmp_path: Path) -> None:
    done = run_script(tmp_path, scripts.REINFORCEMENT)
    assert done.returncode == 0, done.stderr
    assert states(done.stdout) == [f"{i} MODEL_REWARD {float(i)}" for i in range(3)]


def test_several_environments_run_at_once_and_their_experiences_are_merged(tmp_path: Path) -> None:
    done = run_script(tmp_path, scripts.EXPERIENCE)
    assert done.returncode == 0, done.stderr
    assert states(done.stdout) == ["0 3 4 7 7", "1 3 4 7 7"]


def test_the_first_iteration_may_leave_out_what_comes_before_the_loop(tmp_path: Path) -> None:
    done = run_script(tmp_path, FOR + "print('last', learner.teach(max_iter=2, skip_pre_loop=True).iteration)\n")
    assert states(done.stdout) == ["1"], done.stderr
    started = [
        (event.iteration, event.task) for event in records(*runs(tmp_path)) if isinstance(event, e.AttemptStarted)
    ]
    assert started == [(0, "active_learn"), (1, "simulation"), (1, "training"), (1, "active_learn")]


def test_a_learner_of_uncertainty_stops_by_its_uncertainty_before_it_selects(tmp_path: Path) -> None:
    done = run_script(tmp_path, scripts.UNCERTAINTY)
    assert done.returncode == 0, done.stderr
    assert states(done.stdout) == [
        "0 0.6 1.0 [0.5, 0.7] False",
        "1 0.6 0.5 [0.5, 0.7] False",
        "2 None 0.3333333333333333 None True",
        "['UQ1', 'UQ2'] {\"iteration\": 2, \"me",
    ]
    (run,) = runs(tmp_path)
    started = [event for event in records(run) if isinstance(event, e.AttemptStarted) and event.learner == "UQ1"]
    assert [event.task for event in started if event.iteration == 2].count("active_learn") == 0
    assert sum(event.task == "prediction" and event.iteration == 0 for event in started) == 4


FOR = """\
from rose_cli import LearnerConfig, ResourceEngine, SequentialActiveLearner, TaskConfig

learner = SequentialActiveLearner(ResourceEngine())

@learner.simulation_task
def simulation(*args, **kwargs):
    return ["true", *kwargs.get("words", [])]

@learner.training_task
def training(*args):
    return "true"

@learner.active_learn_task
def active_learn(*args):
    return "true"
"""


def test_a_loop_may_be_an_ordinary_one_and_stop_ends_it(tmp_path: Path) -> None:
    loop = (
        "for state in learner.start(max_iter=9):\n"
        "    print('state', state.iteration, learner.get_current_state() is state)\n"
        "    learner.set_next_config(LearnerConfig(simulation=TaskConfig(kwargs={'words': [f'w{state.iteration}']})))\n"
        "    if state.iteration == 2:\n"
        "        learner.stop()\n"
        "print('last', learner.is_stopped)\n"
    )
    done = run_script(tmp_path, FOR + loop)
    assert done.returncode == 0, done.stderr
    assert states(done.stdout) == ["0 True", "1 True", "2 True", "True"]
    made = [event for event in records(*runs(tmp_path)) if isinstance(event, e.DecisionMade)]
    assert [event.commands.get("simulation", {}).get("words") for event in made] == [
        ["true", "w0"],
        ["true", "w1"],
        None,
    ]


def test_a_utility_that_the_script_calls_runs_once_before_the_first_iteration(tmp_path: Path) -> None:
    utility = (
        "@learner.utility_task(as_executable=False)\n"
        "def bootstrap(count, name='x'):\n"
        "    return {name: count}\n"
        "bootstrap(3, name='points')\n"
        "states = list(learner.start(max_iter=2))\n"
        "print('last', len(states))\n"
    )
    done = run_script(tmp_path, FOR + utility)
    assert done.returncode == 0, done.stderr
    events = records(*runs(tmp_path))
    found = [(event.iteration, event.result) for event in events if getattr(event, "result", None)]
    assert found == [(0, {"points": 3})]
    assert [event.task for event in events if isinstance(event, e.AttemptStarted)][:2] == ["bootstrap", "simulation"]


WRONG = {
    "no task": ("learner.start()\n", "SequentialActiveLearner has no 'simulation' task"),
    "no end": (FOR, "SequentialActiveLearner would never end"),
    "unknown name": (
        FOR.replace("def training(*args)", "def training(*args, lr=1)"),
        "training() of the task 'training' does not take '--lr'",
    ),
    "no command": (FOR.replace('return "true"', "return 5"), "returned an object of type int, which is no command"),
    "own loop": (FOR + "simulation()\n", "simulation() is the task 'simulation' of a learner"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_what_cannot_run_is_an_error_that_says_what_to_do(name: str, tmp_path: Path) -> None:
    text, message = WRONG[name]
    if name == "no task":
        text = FOR.partition("@learner")[0] + text
    elif name == "no end":
        text += "learner.start()\n"
    else:
        text += (
            "next(learner.start(max_iter=1, initial_config=LearnerConfig(training=TaskConfig(kwargs={'--lr': 1}))))\n"
        )
    done = run_script(tmp_path, text.replace("{'--lr': 1}", "{}" if name != "unknown name" else "{'--lr': 1}"))
    assert done.returncode == 1
    assert message in done.stderr
    assert re.search(r"Error: .* \(.+\)$", done.stderr.strip().splitlines()[-1]), "a hint in brackets"


def test_a_task_that_fails_is_raised_when_all_have_ended_and_running_again_goes_on(tmp_path: Path) -> None:
    text = (
        FOR.replace('return "true"', 'return "test -e ready"', 1)
        + "print('last', learner.teach(max_iter=1).iteration)\n"
    )
    text = text.replace("def training(*args)", "def training(*args, task_description={'shell': True})")
    text = text.replace('"test -e ready"', f'"test -e {tmp_path}/ready"')
    done = run_script(tmp_path, text)
    assert done.returncode == 1
    assert "LearnersFailedError: learner 'learner-0' failed: 'training' failed in iteration 0" in done.stderr
    (tmp_path / "ready").touch()
    done = run_script(tmp_path, text)
    assert states(done.stdout) == ["0"], done.stderr
    assert len(runs(tmp_path)) == 1


def test_a_criterion_may_say_whether_it_is_met(tmp_path: Path) -> None:
    stop = (
        "@learner.as_stop_criterion('done', 0.5, '>', as_executable=False)\n"
        "def criterion(*args):\n"
        "    import os\n"
        "    return os.environ['ROSE_ITERATION'] == '1'\n"
    )
    done = run_script(tmp_path, FOR + stop + "print('last', learner.teach(max_iter=3).metric_history)\n")
    assert states(done.stdout) == ["[0.0, 1.0]"], done.stderr
