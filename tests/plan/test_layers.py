"""The layers of a command: the campaign, the task, the learner, the learner's own task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.config.models import Campaign, Learner, Override, Task
from rose_cli.engine.base import Resources
from rose_cli.plan.compile import Inherited, merge
from rose_cli.plan.model import Adaptive

if TYPE_CHECKING:
    from rose_cli.plan.model import CommandPlan

Map = dict[str, Any]


def merged(
    task: Map | None = None, override: Map | None = None, campaign: Map | None = None, learner: Map | None = None
) -> CommandPlan:
    whole = {"tasks": {}, "learners": 1, **(campaign or {})}
    inherited = Inherited(Campaign.model_validate(whole), Learner.model_validate(learner or {}))
    declared = Task.model_validate({"executable": "python sim.py", **(task or {})})
    return merge(inherited, [declared] if override is None else [declared, Override.model_validate(override)])


@pytest.mark.parametrize(
    ("declared", "given", "result"),
    [
        ({"--a": 1, "--b": 2}, {"--b": 3}, {"--a": 1, "--b": 3}),
        ({"--a": 1, "--b": 2}, {"--c": 3}, {"--a": 1, "--b": 2, "--c": 3}),
        ({"--a": 1, "--b": 2}, {"--a": None}, {"--b": 2}),
        ({"--a": 1}, {"--b": None}, {"--a": 1}),
        ({"--a": None}, {}, {}),
        ({"--a": None}, {"--a": 5}, {"--a": 5}),
        ({"--a": [1, 2]}, {"--a": [3]}, {"--a": (3,)}),
        ({"--a": [1, 2]}, {"--a": False}, {"--a": False}),
        ({"--a": True}, {"--a": "yes"}, {"--a": "yes"}),
        ({"--a": 1}, {}, {"--a": 1}),
    ],
)
def test_options_are_laid_over_options_key_by_key(declared: Map, given: Map, result: Map) -> None:
    assert dict(merged({"options": declared}, given).options) == result


def test_an_option_keeps_the_place_where_it_was_first_named() -> None:
    command = merged({"options": {"--a": 1, "--b": 2, "--c": 3}}, {"--d": 4, "--b": 5})
    assert list(command.options) == ["--a", "--b", "--c", "--d"]


def test_an_option_that_was_taken_away_and_given_again_is_where_it_was_first_named() -> None:
    top = Override.model_validate({"--a": 9})
    whole = Campaign.model_validate({"tasks": {}, "learners": 1})
    layers = [
        Task.model_validate({"executable": "x", "options": {"--a": 1, "--b": 2}}),
        Override.model_validate({"--a": None}),
        top,
    ]
    assert list(merge(Inherited(whole, Learner()), layers).options.items()) == [("--a", 9), ("--b", 2)]


def test_null_in_the_declaration_names_a_place() -> None:
    command = merged({"options": {"--n": None, "--m": 2}, "adaptive": {"--k": None}}, {"--x": 1, "--k": 3, "--n": 5})
    assert list(command.options.items()) == [("--n", 5), ("--m", 2), ("--k", 3), ("--x", 1)]


def test_true_and_false_in_a_list_are_words_as_in_the_file() -> None:
    assert merged({"options": {"--mix": [True, 1, False, "True"]}}).options["--mix"] == ("true", 1, "false", "True")


def test_an_expression_lies_over_a_value_and_a_value_over_an_expression() -> None:
    task = {"options": {"--a": 1}, "adaptive": {"--b": "i * 2"}}
    override = {"adaptive": {"--a": "i + 1"}, "options": {"--b": 5}}
    assert dict(merged(task, override).options) == {"--a": Adaptive("i + 1"), "--b": 5}


def test_null_takes_an_expression_away() -> None:
    assert dict(merged({"adaptive": {"--b": "i"}}, {"adaptive": {"--b": None}}).options) == {}
    assert dict(merged({"adaptive": {"--b": "i"}}, {"--b": None}).options) == {}
    assert dict(merged({"options": {"--b": 1}}, {"adaptive": {"--b": None}}).options) == {}


def test_a_plain_number_under_adaptive_stands_for_itself() -> None:
    assert dict(merged({"adaptive": {"--a": 2, "--b": 0.5}}).options) == {"--a": Adaptive("2"), "--b": Adaptive("0.5")}


def test_lists_of_arguments_are_replaced_as_a_whole() -> None:
    assert merged({"args": ["a", 1, 0.5]}).args == ("a", "1", "0.5")
    assert merged({"args": ["a", "b"]}, {"args": ["c"]}).args == ("c",)
    assert merged({"args": ["a", "b"]}, {"args": []}).args == ()
    assert merged({"args": ["a", "b"]}, {"args": None}).args == ()
    assert merged({"args": ["a", "b"]}, {"--n": 1}).args == ("a", "b")


def test_the_environment_has_four_layers() -> None:
    """docs/campaign-file.md, Environment: campaign, task, learner, task within the learner."""
    command = merged(
        campaign={"env": {"A": "campaign", "B": "campaign", "C": "campaign", "D": "campaign"}},
        task={"env": {"B": "task", "C": "task", "D": "task"}},
        learner={"env": {"C": "learner", "D": "learner"}},
        override={"env": {"D": "both"}},
    )
    assert dict(command.environment) == {"A": "campaign", "B": "task", "C": "learner", "D": "both"}


def test_null_takes_a_variable_away() -> None:
    assert dict(merged(campaign={"env": {"A": 1, "B": True}}, override={"env": {"A": None}}).environment) == {
        "B": "true"
    }
    assert dict(merged(task={"env": {"A": 1}}, learner={"env": {"A": None}}).environment) == {}


def test_shell_lines_of_the_campaign_come_first_then_the_learners_then_the_tasks() -> None:
    command = merged(campaign={"pre_exec": "a"}, learner={"pre_exec": ["b"]}, task={"pre_exec": ["c", "d"]})
    assert command.pre_exec == ("a", "b", "c", "d")
    own = merged(campaign={"pre_exec": "a"}, task={"pre_exec": ["c"]}, override={"pre_exec": ["e"]})
    assert own.pre_exec == ("a", "e")
    none = merged(campaign={"pre_exec": "a"}, task={"pre_exec": ["c"]}, override={"pre_exec": None})
    assert none.pre_exec == ("a",)


def test_the_defaults_of_the_campaign_hold_where_nobody_says_otherwise() -> None:
    campaign = {"timeout": "1h", "retries": {"times": 2, "pause": "5s"}, "on_failure": "continue"}
    command = merged(campaign=campaign)
    assert (command.timeout_seconds, command.retries, command.retry_pause_seconds) == (3600.0, 2, 5.0)
    assert command.on_failure == "continue"
    own = merged(campaign=campaign, task={"timeout": 5, "retries": 0, "on_failure": "stop_campaign"})
    assert (own.timeout_seconds, own.retries, own.on_failure) == (5.0, 0, "stop_campaign")
    learners = merged(campaign=campaign, task={"timeout": 5}, override={"timeout": "2m"})
    assert learners.timeout_seconds == 120.0
    without = merged(campaign=campaign, override={"timeout": None, "retries": None})
    assert (without.timeout_seconds, without.retries) == (None, 0)


def test_without_anything_said_there_are_no_retries_and_no_timeout() -> None:
    command = merged()
    assert (command.timeout_seconds, command.retries, command.on_failure) == (None, 0, "stop_learner")
    assert (command.replicas, command.ranks, command.resources) == (1, 1, Resources(1, 0, 0))


def test_a_number_of_retries_pauses_for_a_second() -> None:
    command = merged({"retries": 3})
    assert (command.retries, command.retry_pause_seconds) == (3, 1.0)


def test_a_learner_may_bring_its_own_program() -> None:
    command = merged({"options": {"--n": 1}}, {"executable": "python committee.py --fast", "options": {"--m": 2}})
    assert command.words == ("python", "committee.py", "--fast")
    assert dict(command.options) == {"--n": 1, "--m": 2}


def test_whether_it_is_a_line_for_a_shell_belongs_to_the_executable() -> None:
    shell_line = {"executable": "a | b", "shell": True}
    assert merged(shell_line).shell
    assert merged(shell_line).words == ("a | b",)
    assert not merged(shell_line, {"executable": "python x.py"}).shell
    assert merged(None, shell_line).shell
    assert merged(shell_line, {"--n": 1}).shell


@pytest.mark.parametrize(
    ("task", "override", "resources"),
    [
        ({"cores_per_rank": 2}, None, Resources(2, 0, 0)),
        ({"ranks": 3, "cores_per_rank": 2, "gpus_per_rank": 1, "mem_per_rank": 100}, None, Resources(6, 3, 300)),
        ({"ranks": 3, "cores_per_rank": 2}, {"ranks": 1}, Resources(2, 0, 0)),
        ({"cores_per_rank": 2}, {"cores_per_rank": 4, "options": {"--n": 1}}, Resources(4, 0, 0)),
        ({"mem_per_rank": 100}, {"mem_per_rank": None}, Resources(1, 0, 0)),
    ],
)
def test_resources_are_those_of_all_ranks(task: Map, override: Map | None, resources: Resources) -> None:
    assert merged(task, override).resources == resources


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("python sim.py --n 5", ("python", "sim.py", "--n", "5")),
        ("python 'a b' \"c d\" e\\ f ''", ("python", "a b", "c d", "e f", "")),
        (["python", "a b", 5, 0.5], ("python", "a b", "5", "0.5")),
        ("python\n  sim.py\n  --n 5\n", ("python", "sim.py", "--n", "5")),
        ("echo a|b > c; d", ("echo", "a|b", ">", "c;", "d")),
    ],
)
def test_a_command_is_split_as_a_shell_splits_words(text: object, words: tuple[str, ...]) -> None:
    assert merged({"executable": text}).words == words
