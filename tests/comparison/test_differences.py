"""What differs between runs: nothing is missed, and nothing is said that is not so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli.comparison.runs import compare
from rose_cli.journal import events as e
from rose_cli.plan.model import Adaptive, Number
from rose_cli.run_info import RunInfo
from rose_cli.runs.directory import RunDirectory
from tests.view.scenarios import START, Scenario, make_criterion, make_plan, make_step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rose_cli.plan.model import Plan


def run_of(plan: Plan, files: Mapping[str, str] | None = None, **session: Any) -> RunInfo:
    scenario = Scenario(plan, now=START)
    scenario.tell(e.RunCreated("r1", plan.campaign, "0.1", tuple(learner.name for learner in plan.learners)))
    scenario.tell(e.SessionStarted(1, session.pop("host", "host"), 1, "local", files=files or {}, **session))
    return RunInfo(RunDirectory.at(Path("r")), plan, scenario.state, alive=False)


def plan_with(options: Mapping[str, Mapping[str, Any]], **given: Any) -> Plan:
    """A plan whose learners have these options."""
    plan = make_plan(list(options), tasks=("train",), **given)
    step = make_step("train")
    return replace(
        plan,
        learners=tuple(
            replace(each, steps=(replace(step, otherwise=replace(step.otherwise, options=options[each.name])),))
            for each in plan.learners
        ),
    )


def differences(*infos: RunInfo) -> dict[str, tuple[str | None, ...]]:
    return {each.label: each.values for each in compare(infos).differences}


def of_options(*runs: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str | None, ...]]:
    return differences(*(run_of(plan_with(options)) for options in runs))


def test_equal_runs_do_not_differ() -> None:
    assert of_options({"a": {"--lr": Number("0.1")}}, {"a": {"--lr": Number("0.1")}}) == {}


def test_an_option_that_differs_in_all_learners_is_one_difference() -> None:
    first, second = ({name: {"--lr": Number(text), "--n": 1} for name in "abc"} for text in ("0.1", "0.10"))
    assert of_options(first, second) == {"train.--lr": ("0.1", "0.10")}


def test_an_option_that_differs_in_some_learners_names_them() -> None:
    first = {"a": {"--lr": 1}, "b": {"--lr": 2}, "c": {"--lr": 3}}
    second = {**first, "b": {"--lr": 5}, "c": {}}
    assert of_options(first, second) == {"train.--lr (b)": ("2", "5"), "train.--lr (c)": ("3", None)}


def test_many_ways_to_differ_are_summed_up() -> None:
    runs = [{f"l{number}": {"--lr": number + plus} for number in range(9)} for plus in (0, 100)]
    assert of_options(*runs) == {"train.--lr": ("0, 1, 2 and 6 more", "100, 101, 102 and 6 more")}


def test_runs_without_a_common_learner_are_compared_by_their_values() -> None:
    found = of_options({"a": {"--lr": 1}, "b": {"--lr": 2}}, {"c": {"--lr": 2}, "d": {"--lr": 1}})
    assert "train.--lr" not in found
    found = of_options({"a": {"--lr": 1}}, {"c": {"--lr": 2}})
    assert found["train.--lr"] == ("1", "2")
    assert found["not in all runs"] == ("a", "c")


def test_expressions_and_values_by_iteration_are_shown_as_they_are() -> None:
    step = make_step("train")
    at = {0: replace(step.otherwise, options={"--lr": 3})}
    plan = plan_with({"a": {"--lr": 1}})
    other = replace(plan, learners=(replace(plan.learners[0], steps=(replace(plan.learners[0].steps[0], at=at),)),))
    assert differences(run_of(plan), run_of(other)) == {"train.--lr": ("1", "3 in 0; 1 in 1-14")}
    assert of_options({"a": {"--lr": Adaptive("0.1 * i")}}, {"a": {"--lr": 1}}) == {"train.--lr": ("= 0.1 * i", "1")}


def test_two_secrets_differ_and_are_not_shown() -> None:
    found = of_options({"a": {"--password": "hunter2hunter2"}}, {"a": {"--password": "hunter3hunter3"}})
    assert found == {"train.--password": ("********", "********")}


def test_criteria_bounds_seeds_tasks_and_campaigns() -> None:
    first = make_plan(("a", "b"), criterion=make_criterion("mse", "<", 0.1))
    second = make_plan(("a", "b"), 20, make_criterion("mse", "<", 0.2), tasks=("simulation", "training"), campaign="x")
    second = replace(second, learners=tuple(replace(each, seed=each.seed + 7) for each in second.learners))
    assert differences(run_of(first), run_of(second)) == {
        "campaign": ("parallel-tutorial", "x"),
        "task active_learn": ("yes", None),
        "stops at": ("mse < 0.1", "mse < 0.2"),
        "max_iter": ("15", "20"),
        "seed (a)": ("0", "7"),
        "seed (b)": ("1", "8"),
    }


def test_tasks_of_single_learners_are_found() -> None:
    first = plan_with({"a": {}, "b": {}})
    extra = replace(first.learners[1], steps=(make_step("other"),))
    found = differences(run_of(first), run_of(replace(first, learners=(first.learners[0], extra))))
    assert found["task other"] == (None, "yes")


def test_learners_that_not_all_runs_have_are_named() -> None:
    found = of_options({"a": {}, "b": {}}, {"a": {}}, {"a": {}, "c": {}})
    assert found == {"learners": ("2", "1", "2"), "not in all runs": ("b", None, "c")}


def test_files_that_changed_or_are_missing() -> None:
    plan = plan_with({"a": {}})
    first = {"train.py": "sha256:0123456789ab", "data": "folder:77", "same.py": "sha256:1"}
    second = {"train.py": "sha256:fedcba987654", "same.py": "sha256:1"}
    assert differences(run_of(plan, first), run_of(plan, second)) == {
        "data": ("77", None),
        "train.py": ("01234567", "fedcba98"),
    }
    assert differences(run_of(plan, first), run_of(plan)) == {}, "an older rose recorded none"


def test_where_sessions_ran() -> None:
    plan = plan_with({"a": {}})
    found = differences(run_of(plan, host="laptop", cores=4), run_of(plan, host="node\x1b[2J1", cores=64))
    assert found == {"cores": ("4", "64"), "host": ("laptop", "node␛[2J1")}


def described(*facts: e.SessionDescribed) -> RunInfo:
    info = run_of(plan_with({"a": {}}))
    info.state.described = {each.session: each for each in facts}
    return info


def test_which_code_ran() -> None:
    first = described(e.SessionDescribed(1, "0.1", "3.11.2", commit="0123456789abcdef", changes=0))
    second = described(
        e.SessionDescribed(1, "0.1", "3.11.2", commit="fedcba9876543210", changes=1),
        e.SessionDescribed(2, "0.1", "3.12.0", commit="fedcba9876543210", changes=None),
    )
    assert differences(first, second) == {
        "git commit": ("0123456789", "fedcba9876, 1 file changed, then fedcba9876, changes unknown"),
        "python": ("3.11.2", "3.11.2, then 3.12.0"),
    }
    assert differences(first, described()) == {}, "an older rose recorded nothing"
    assert differences(first, described(e.SessionDescribed(1, "0.1", git_problem="git hangs"))) == {}
    outside = described(e.SessionDescribed(1, "0.1", "3.11.2"))
    assert differences(first, outside) == {"git commit": ("0123456789", "none")}


def test_names_and_values_that_would_act_on_a_terminal_are_made_safe() -> None:
    def texts(*runs: Mapping[str, Mapping[str, Any]]) -> Sequence[str | None]:
        return [text for label, values in of_options(*runs).items() for text in (label, *values)]

    found = texts({"a\x1b[2J": {"--x\n": "\x1b]0;x\x07"}}, {"a\x1b[2J": {"--x\n": "\u202e"}}, {"b": {}})
    assert not any(sign in text for text in found if text for sign in "\x1b\n\x07\u202e")
