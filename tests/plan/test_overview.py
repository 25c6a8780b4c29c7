"""The plan in short says the same as the plan in full."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose_cli.engine.base import Capacity, Resources
from rose_cli.plan.model import (
    CRITERION,
    Adaptive,
    CommandPlan,
    CriterionPlan,
    EnginePlan,
    LearnerPlan,
    Limits,
    MetricSource,
    Number,
    Plan,
    StepPlan,
)
from rose_cli.plan.overview import Setting, contains, joined, overview, ranges_text, settings_of, stop_settings
from rose_cli.plan.render import AttemptPaths, EvaluationContext, render
from rose_cli.plan.totals import totals
from tests.view.scenarios import make_plan

if TYPE_CHECKING:
    from collections.abc import Mapping

CAPACITY = Capacity(cores=8, memory_mb=16_000)

values = st.sampled_from(
    [Number("1"), Number("1.0"), True, "a b", (Number("1"), "x"), Adaptive("i + 1"), Adaptive("2")]
)
commands = st.builds(
    CommandPlan,
    words=st.sampled_from([("echo",), ("echo", "{learner}")]),
    shell=st.just(False),
    args=st.sampled_from([(), ("x",)]),
    options=st.dictionaries(st.sampled_from(["--a", "--b"]), values),
    environment=st.dictionaries(st.sampled_from(["A", "B"]), st.sampled_from(["1", "{seed}"])),
    pre_exec=st.sampled_from([(), ("true",)]),
    timeout_seconds=st.sampled_from([None, 60.0]),
    retries=st.integers(0, 1),
    retry_pause_seconds=st.just(0.0),
    on_failure=st.sampled_from(["stop_learner", "continue"]),
    replicas=st.integers(1, 3),
    ranks=st.integers(1, 2),
    resources=st.builds(Resources, cores=st.integers(1, 3), gpus=st.just(0), memory_mb=st.integers(0, 1)),
    snapshot=st.booleans(),
    preload=st.sampled_from([(), ("auto",), ("numpy", "scipy.linalg")]),
    beside=st.just(()),
)


def steps(task: str) -> st.SearchStrategy[StepPlan]:
    return st.builds(
        StepPlan, st.just(task), commands, st.dictionaries(st.integers(0, 6), commands, max_size=3), st.booleans()
    )


criteria = st.builds(
    CriterionPlan,
    step=steps(CRITERION),
    metric=st.just("own"),
    operator=st.just("<"),
    threshold=st.sampled_from([None, 0.5]),
    reading=st.sampled_from([MetricSource(None, None, None), MetricSource("f", None, None)]),
    patience=st.sampled_from([None, 3]),
    min_delta=st.sampled_from([0.0, 0.1]),
    min_iter=st.integers(1, 2),
)
learners = st.builds(
    LearnerPlan,
    name=st.just(""),
    index=st.just(0),
    seed=st.integers(0, 3),
    max_iter=st.none() | st.integers(1, 8),
    steps=st.tuples(steps("s"), steps("t")),
    criterion=st.none() | criteria,
    files=st.just(()),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Of several learners, some of them the same."""
    kinds = draw(st.lists(learners, min_size=1, max_size=3))
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4))
    named = tuple(replace(each, name=f"l{index}", index=index) for index, each in enumerate(chosen))
    engine = EnginePlan("local", 8, (), 5.0)
    parallel = draw(st.none() | st.integers(1, 3))
    return Plan("c", "/c/c.yaml", "/c", engine, named, Limits(parallel, None, None), None)


@given(plans())
def test_the_plan_in_short_says_the_same_as_in_full(plan: Plan) -> None:
    short = overview(plan)
    for learner in plan.learners:
        for iteration in range(learner.max_iter or 12):
            found = short.settings(learner.name, iteration)
            stop = {s: value for s, value in found.items() if s.kind == "stop"}
            assert stop == stop_settings(learner)
            for step in learner.all_steps:
                command = step.command(iteration)
                context, paths = EvaluationContext(iteration, learner.max_iter), AttemptPaths("/w", "/r")
                again = command_of(step.task, found, command)
                assert render(plan, learner, step.task, again, context, paths) == render(
                    plan, learner, step.task, command, context, paths
                )
                assert without_options(again) == without_options(command)
        group = next(group for group in short.groups if learner in group.learners)
        bound = learner.max_iter
        assert group.iterations == ((0, None if bound is None else bound - 1),)


@given(plans())
def test_totals_are_those_of_the_plan_in_full(plan: Plan) -> None:
    found = totals(plan, overview(plan), CAPACITY)
    if any(learner.max_iter is None for learner in plan.learners):
        assert (found.commands, found.attempts) == (None, None)
        return
    all_commands = [
        step.command(i) for learner in plan.learners for i in range(learner.max_iter or 0) for step in learner.all_steps
    ]
    assert found.commands == sum(command.replicas for command in all_commands)
    assert found.attempts == sum(command.replicas * (1 + command.retries) for command in all_commands)


@given(plans())
def test_the_number_of_commands_at_the_same_time_is_the_most_that_fit(plan: Plan) -> None:
    """Each learner is in one step of one iteration, with any number of its replicas."""
    fits = {(0, 0): 0}  # learners and cores → commands
    for learner in plan.learners:
        commands = [step.command(i) for step in learner.all_steps for i in range(learner.max_iter or 12)]
        choices = {(n, n * each.resources.cores) for each in commands for n in range(1, each.replicas + 1)}
        for (taken, used), total in list(fits.items()):
            for count, cores in choices:
                key = (taken + 1, used + cores)
                if key[0] <= (plan.limits.max_parallel_learners or 9) and key[1] <= 8:
                    fits[key] = max(fits.get(key, 0), total + count)
    assert totals(plan, overview(plan), CAPACITY).at_once == max(fits.values())


def test_a_large_plan_gets_a_higher_bound_of_commands_at_the_same_time() -> None:
    plan = make_plan(["a"])
    many = replace(plan, learners=tuple(replace(plan.learners[0], name=f"l{n}") for n in range(5000)))
    assert totals(many, overview(many), Capacity(cores=10_000)).at_once == 5000
    assert totals(many, overview(many), Capacity(cores=3000)).at_once == 3000
    assert totals(many, overview(many), None).at_once == 5000
    few = replace(many, limits=replace(many.limits, max_parallel_learners=2000))
    assert totals(few, overview(few), Capacity(cores=3000)).at_once == 2000


def command_of(task: str, settings: Mapping[Setting, Any], like: CommandPlan) -> CommandPlan:
    """The command with these settings alone."""
    own = {setting: value for setting, value in settings.items() if setting.task == task}
    given = {setting.kind: value for setting, value in own.items() if not setting.name}
    words, shell, beside = given["command"]
    retries, pause = given.get("retries", (0, like.retry_pause_seconds))
    return CommandPlan(
        words=words,
        shell=shell,
        args=given.get("args", ()),
        options={name: own[Setting(task, "option", name)] for name in like.options},
        environment={name: own[Setting(task, "env", name)] for name in like.environment},
        pre_exec=given.get("pre_exec", ()),
        timeout_seconds=given.get("timeout"),
        retries=retries,
        retry_pause_seconds=pause,
        on_failure=given.get("on_failure", "stop_learner"),
        replicas=given.get("replicas", 1),
        ranks=given.get("ranks", 1),
        resources=Resources(given.get("cores", 1), given.get("gpus", 0), given.get("mem", 0)),
        snapshot=given.get("snapshot", False),
        preload=given.get("preload", ()),
        beside=beside,
    )


def without_options(command: CommandPlan) -> CommandPlan:
    """Expressions without variables become values, which are rendered the same."""
    return replace(command, options=dict.fromkeys(command.options, ""))


def test_no_setting_is_added_to_those_of_a_command() -> None:
    command = CommandPlan(
        ("echo",), False, (), {"--a": Number("1")}, {}, (), None, 0, 0.0, "stop_learner", 1, 1, Resources()
    )
    assert settings_of("t", command) == {
        Setting("t", "command"): (("echo",), False, None),
        Setting("t", "option", "--a"): Number("1"),
    }


@pytest.mark.parametrize(
    ("ranges", "text"),
    [
        (((3, 3),), "3"),
        (((1, 2), (3, 6), (8, 14)), "1-6, 8-14"),
        (((0, 0), (2, None)), "0, 2+"),
        (((2, None), (5, 9)), "2+"),
        (((0, 9), (2, 3)), "0-9"),
    ],
)
def test_sets_of_iterations(ranges: tuple[tuple[int, int | None], ...], text: str) -> None:
    whole = joined([ranges])
    assert ranges_text(whole) == text
    for iteration in range(20):
        assert contains(whole, iteration) == any(a <= iteration <= (20 if b is None else b) for a, b in ranges)
