"""What a plan takes at most, counted by task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.plan.effort import Measured, efforts
from rose_cli.view.effort import effort_lines

if TYPE_CHECKING:
    from tests.plan.conftest import Compile

CAMPAIGN = """
    max_iter: 10
    setup: {pool: {executable: echo, timeout: 1h}}
    before: {boot: {executable: echo, cores_per_rank: 2, timeout: 1h}}
    tasks:
      simulation: {executable: python sim.py, replicas: 3, retries: 2, timeout: 30m}
      training: {executable: python sim.py}
    stop: {metric: mse, threshold: 0.1, executable: python check.py, timeout: 36s}
    sweep: {grid: {training.--lr: [1, 2]}}
    learners:
      - {training: {0: {cores_per_rank: 4}, 3-5: {replicas: 2}}}
      - {name: short, max_iter: 4}
    """


def test_each_task_is_counted_with_its_replicas_retries_and_iterations(compiled: Compile) -> None:
    found = efforts(compiled(CAMPAIGN))
    assert (found.learners, found.iterations) == (4, 10)
    counts = {each.task: (each.commands, each.attempts, each.cores) for each in found.tasks.values()}
    assert counts == {
        "pool": (1, 1, (1, 1)),
        "boot": (4, 4, (2, 2)),
        "simulation": (2 * 14 * 3, 2 * 14 * 3 * 3, (1, 1)),
        "training": (2 * (13 + 4), 2 * (13 + 4), (1, 4)),
        "criterion": (28, 28, (1, 1)),
    }
    assert (found.total.commands, found.total.attempts, found.total.cores) == (151, 319, (1, 4))


def test_hours_have_a_bound_only_if_every_attempt_has_a_timeout(compiled: Compile) -> None:
    found = efforts(compiled(CAMPAIGN))
    hours = {each.task: each.core_seconds and each.core_seconds / 3600 for each in found.tasks.values()}
    assert hours == {"pool": 1.0, "boot": 8.0, "simulation": 126.0, "training": None, "criterion": 0.28}
    assert found.total.core_seconds is None
    bounded = efforts(
        compiled(
            CAMPAIGN.replace(
                "training: {executable: python sim.py}", "training: {executable: python sim.py, timeout: 1h}"
            )
        )
    )
    assert bounded.tasks["training"].core_seconds == 3600 * (34 + 2 * 3)
    assert bounded.total.core_seconds == 3600 * (1 + 8 + 126 + 0.28 + 40)


def test_durations_give_an_estimate_of_the_tasks_that_have_some(compiled: Compile) -> None:
    found = efforts(compiled(CAMPAIGN), {"simulation": Measured(10.0, 3.0), "boot": Measured(5.0, 0.1)})
    assert found.tasks["simulation"].expected == 840.0
    assert found.tasks["boot"].expected == 40.0
    assert found.tasks["training"].expected is None
    assert found.total.expected is None


def test_without_a_bound_there_is_no_number(compiled: Compile) -> None:
    plan = compiled("""
        tasks: {simulation: {executable: python sim.py, timeout: 1h}}
        stop: {metric: mse, threshold: 0.1, executable: python check.py, timeout: 1h}
        max_iter: null
    """)
    found = efforts(plan)
    assert (found.iterations, found.total.commands, found.total.attempts, found.total.core_seconds) == (None,) * 4
    lines = list(effort_lines(plan, found, None))
    assert lines[0] == "campaign: 1 learner, no max_iter"
    assert any(line.startswith("no bound: simulation, criterion") for line in lines)


def test_the_table_says_what_is_not_known(compiled: Compile) -> None:
    plan = compiled(CAMPAIGN)
    lines = list(
        effort_lines(plan, efforts(plan, {"simulation": Measured(10.0, 3.0), "boot": Measured(5.0, 0.1)}), "r-1")
    )
    assert lines[:5] == [
        "campaign: 4 learners, at most 10 iterations each",
        "",
        "task        commands  attempts  cores  core-hours  as in r-1",
        "pool               1         1      1           1          —",
        "boot               4         4      2           8     0.0111",
    ]
    assert lines[-2:] == ["no bound of hours: training (no timeout)", "not in r-1: pool, training, criterion"]


WHEN = """
    max_iter: 20
    parameters: {every: 5}
    tasks:
      train: {executable: python sim.py, replicas: 2, timeout: 1h}
      fifth: {executable: python sim.py, when: i % every == 0, retries: 1}
      late: {executable: python sim.py, when: max_iter - i <= 3}
      rare: {executable: python sim.py, when: result.size > 9}
      label: {executable: python sim.py, replicas: result.chosen}
    after: {end: {executable: python sim.py, when: i > 3}}
    learners: [{}, {}, {name: often, parameters: {every: 2}}, {name: odd, fifth: {0: {--a: 1}, 7: {--a: 1}}}]
    """


def test_a_condition_on_the_iteration_alone_is_evaluated_ahead(compiled: Compile) -> None:
    plan = compiled(WHEN)
    counts = {each.task: (each.commands, each.is_conditional) for each in efforts(plan).tasks.values()}
    assert counts == {
        "train": (160, False),
        "fifth": (4 + 4 + 10 + 4, False),
        "late": (12, False),
        "rare": (80, True),
        "label": (None, False),
        "end": (4, True),
    }
    lines = list(effort_lines(plan, efforts(plan), None))
    assert "counted in every iteration, although it may run in fewer: rare, end (when)" in lines


def test_another_run_tells_how_often_a_condition_holds_and_how_many_replicas_there_are(compiled: Compile) -> None:
    measured = {"rare": Measured(10.0, 0.25), "label": Measured(2.0, 6.0), "end": Measured(3.0, 0.1)}
    found = efforts(compiled(WHEN), measured).tasks
    assert (found["rare"].expected, found["label"].expected, found["end"].expected) == (200.0, 960.0, 12.0)


def test_conditions_of_very_many_iterations_are_not_looked_at_one_by_one(compiled: Compile) -> None:
    found = efforts(compiled(WHEN.replace("max_iter: 20", "max_iter: 1000000"))).tasks["fifth"]
    assert (found.commands, found.is_conditional) == (4_000_000, True)


def test_a_schedule_that_begins_beyond_the_bound_counts_as_the_others_do(compiled: Compile) -> None:
    plan = compiled("""
        max_iter: 3
        tasks: {train: {executable: python sim.py}}
        learners: [{train: {5: {--a: 1}, hold: true}}]
        """)
    assert efforts(plan).total.commands == 3


def test_a_command_of_no_iteration_has_no_say(compiled: Compile) -> None:
    found = efforts(
        compiled("""
            max_iter: 2
            tasks:
              training: {executable: echo, cores_per_rank: 2}
              late: {executable: echo, replicas: "default(result.n, 2)", when: i > 5}
            learners: [{training: {0-1: {cores_per_rank: 1, timeout: 60}}}]
            """)
    )
    assert (found.tasks["training"].cores, found.tasks["training"].core_seconds) == ((1, 1), 120)
    assert (found.tasks["late"].commands, found.total.commands, found.total.core_seconds) == (0, 2, 120)
