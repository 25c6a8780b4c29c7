"""The settings of learners: which of them differ, and what they are in one iteration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.plan.model import Adaptive, CommandPlan, LearnerPlan, Number
from rose_cli.plan.settings import changed_settings, definitions, is_seed, option_settings, titles, values_at
from rose_cli.util.redact import MASK, Secrets
from tests.view.scenarios import make_criterion, make_plan, make_step

if TYPE_CHECKING:
    from collections.abc import Mapping


def command(**changes: Any) -> CommandPlan:
    return replace(make_step("train").otherwise, **changes)


def learner(
    otherwise: CommandPlan, at: Mapping[int, CommandPlan] | None = None, *, hold: bool = False, name: str = "a"
) -> LearnerPlan:
    step = replace(make_step("train"), otherwise=otherwise, at=at or {}, hold=hold)
    return replace(make_plan((name,)).learners[0], steps=(step,), criterion=None)


def with_options(**options: Any) -> LearnerPlan:
    return learner(command(options={f"--{name}": value for name, value in options.items()}))


def test_settings_that_are_the_same_for_all_are_not_among_those_that_differ() -> None:
    learners = [with_options(lr=0.1, n=1), with_options(lr=0.3, n=1), with_options(lr=0.3, n=1, flag=True)]
    assert changed_settings(learners) == ["train.--lr", "train.--flag"]
    assert changed_settings(learners[1:]) == ["train.--flag"]
    assert changed_settings(learners[:1]) == []
    assert option_settings(learners) == ["train.--lr", "train.--n", "train.--flag"]


@pytest.mark.parametrize(
    ("first", "second", "differ"),
    [
        (0.1, Number("0.10"), False),
        (Number("1e-3"), Number("0.001"), False),
        (1, True, True),
        (1, "1", True),
        (Adaptive("0.1 * i"), Adaptive("0.1 * i"), False),
        (Adaptive("0.1 * i"), 0.1, True),
        ((1, 2), (1, 3), True),
    ],
)
def test_values_are_compared_by_what_they_are(first: object, second: object, differ: bool) -> None:
    assert (changed_settings([with_options(x=first), with_options(x=second)]) == ["train.--x"]) is differ


def test_a_setting_is_compared_over_all_iterations() -> None:
    slow, fast = command(options={"--lr": 0.1}), command(options={"--lr": 0.3})
    always = learner(slow)
    assert changed_settings([always, learner(slow, {3: slow})]) == []
    assert changed_settings([always, learner(slow, {3: fast})]) == ["train.--lr"]
    assert changed_settings([learner(slow, {3: fast}), learner(slow, {4: fast})]) == ["train.--lr"]
    assert changed_settings([learner(slow, {3: fast}), learner(slow, {3: fast}, hold=True)]) == ["train.--lr"]


def test_programs_arguments_variables_and_replicas_are_settings_too() -> None:
    usual = command()
    others = {
        "train.executable": command(words=("python", "other.py")),
        "train.args": command(args=("x",)),
        "train.env.MODE": command(environment={"MODE": "fast"}),
        "train.pre_exec": command(pre_exec=("module load x",)),
        "train.replicas": command(replicas=4),
        "train.ranks": command(ranks=4),
    }
    for name, other in others.items():
        assert changed_settings([learner(usual), learner(other)]) == [name]
    assert changed_settings([learner(usual), learner(command(timeout_seconds=5.0, retries=3))]) == []


def test_the_criterion_has_settings() -> None:
    plan = make_plan(("a", "b"))
    other = make_criterion()
    assert other.step is not None
    step = replace(other.step, otherwise=replace(other.step.otherwise, options={"--test": "b.csv"}))
    changed = replace(plan.learners[1], criterion=replace(other, step=step))
    assert changed_settings([plan.learners[0], changed]) == ["criterion.--test"]


def test_values_are_those_of_the_journal_and_before_it_those_of_the_plan() -> None:
    plan = learner(command(options={"--lr": Adaptive("0.1 * i"), "--n": Number("1e3")}))
    assert values_at(plan, 0, {}, Secrets())["train.--n"] == 1000.0
    assert "train.--lr" not in values_at(plan, 0, {}, Secrets()), "nobody has computed it"
    values = values_at(plan, 2, {"train": {"--lr": 0.2, "--n": 1000}}, Secrets())
    assert (values["train.--lr"], values["train.--n"]) == (0.2, 1000)


def test_secrets_are_masked() -> None:
    plan = learner(
        command(
            options={"--password": "hunter2hunter2"},
            environment={"API_TOKEN": "tok-1234567890"},
            args=("--data", "x-tok-1234567890"),
        )
    )
    values = values_at(plan, 0, {}, Secrets(["tok-1234567890"]))
    assert values["train.--password"] == values["train.env.API_TOKEN"] == MASK
    assert "1234567890" not in str(values)


@pytest.mark.parametrize("name", ["--seed", "--random-seed", "--random_state", "seed=", "env.SEED", "--rng.seed"])
def test_names_of_seeds(name: str) -> None:
    assert is_seed(f"train.{name}")


@pytest.mark.parametrize("name", ["--seeds-file", "--n", "--reseed", "--seeded", "--seed-everything-else"])
def test_other_names(name: str) -> None:
    assert not is_seed(f"train.{name}")


def test_titles_have_their_task_only_if_they_need_it() -> None:
    shown = titles(["simulation.--n", "train.--n", "train.--model.lr"])
    assert list(shown.values()) == ["simulation.--n", "train.--n", "--model.lr"]


def test_definitions_of_shared_steps_are_worked_out_once() -> None:
    plan = make_plan([f"l{number}" for number in range(5)])
    shared = replace(plan.learners[0], name="other")
    cache: dict[int, dict[str, tuple[str, ...]]] = {}
    assert definitions(plan.learners[0], cache) == definitions(shared, cache)
    assert len(cache) == len(shared.all_steps)
