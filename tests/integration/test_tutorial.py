"""The tutorial's configurations, held against the tutorial's own Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import CAMPAIGNS, Rose

if TYPE_CHECKING:
    from collections.abc import Callable

Options = dict[str, Any]
Schedule = "Callable[[int], Options]"


def by_iteration(table: dict[int, Options]) -> Callable[[int], Options]:
    """The tutorial's per-iteration configuration: exact keys, -1 for all others."""
    return lambda i: table.get(i, table[-1])


def always(**options: Any) -> Callable[[int], Options]:
    return lambda _i: {f"--{name}": value for name, value in options.items()}


def adaptive_sim(i: int) -> Options:
    return {"--n_labeled": str(100 + i * 50), "--n_features": 2, "--noise_level": str(0.1 * (0.95**i))}


def adaptive_train(i: int) -> Options:
    return {"--learning_rate": str(0.01 * (0.9**i)), "--batch_size": str(min(64, 32 + i * 4))}


def combined_sim(i: int) -> Options:
    return {"--n_labeled": str(100 + i * 50), "--n_features": 2}


full_example_per_iteration = by_iteration(
    {
        0: {"--n_labeled": "150", "--n_features": 3},
        7: {"--n_labeled": "250", "--n_features": 3},
        -1: {"--n_labeled": "400", "--n_features": 3},
    }
)
nothing = always()

CASES: dict[str, tuple[int, list[dict[str, Callable[[int], Options]]]]] = {
    "tutorial": (
        15,
        [
            {"simulation": adaptive_sim, "training": adaptive_train},
            {"simulation": full_example_per_iteration, "training": nothing},
            {"simulation": always(n_labeled="300", n_features=4), "training": nothing},
            {"simulation": nothing, "training": nothing},
        ],
    ),
    "static": (
        10,
        [
            {"simulation": always(n_labeled="200", n_features=2), "training": always(learning_rate="0.01")},
            {"simulation": always(n_labeled="300", n_features=4), "training": always(learning_rate="0.005")},
        ],
    ),
    "per-iteration": (
        15,
        [
            {"simulation": always(n_labeled="200", n_features=2), "training": nothing},
            {
                "simulation": by_iteration(
                    {
                        0: {"--n_labeled": "100"},
                        5: {"--n_labeled": "200"},
                        10: {"--n_labeled": "400"},
                        -1: {"--n_labeled": "500"},
                    }
                ),
                "training": by_iteration(
                    {0: {"--learning_rate": "0.01"}, 5: {"--learning_rate": "0.005"}, -1: {"--learning_rate": "0.001"}}
                ),
            },
            {"simulation": nothing, "training": nothing},
        ],
    ),
    "adaptive": (
        20,
        [
            {"simulation": adaptive_sim, "training": adaptive_train},
            {"simulation": always(n_labeled="300", n_features=4), "training": always(learning_rate="0.005")},
        ],
    ),
    "combined": (
        15,
        [
            {"simulation": combined_sim, "training": nothing},
            {"simulation": full_example_per_iteration, "training": nothing},
            {"simulation": always(n_labeled="300", n_features=4), "training": nothing},
        ],
    ),
}


def words(options: Options) -> list[str]:
    return [word for name, value in options.items() for word in (name, str(value))]


@pytest.mark.parametrize("name", CASES)
def test_the_plan_gives_what_the_tutorials_python_gives(rose: Rose, name: str) -> None:
    max_iter, expected = CASES[name]
    plan = rose.json("plan", CAMPAIGNS / name / "campaign.yaml", "--format", "json")
    assert [len(learner["iterations"]) for learner in plan["learners"]] == [max_iter] * len(expected)
    for learner, schedules in zip(plan["learners"], expected, strict=True):
        for iteration in learner["iterations"]:
            tasks = {task["name"]: task["command"] for task in iteration["tasks"]}
            assert list(tasks) == ["simulation", "training", "active_learn", "criterion"]
            for task, schedule in schedules.items():
                assert tasks[task][0] == "python"
                assert tasks[task][2:] == words(schedule(iteration["iteration"]))


def test_adaptive_schedules_have_no_bound_at_100(rose: Rose) -> None:
    campaign = CAMPAIGNS / "tutorial" / "campaign.yaml"
    wanted = [99, 100, 101, 250, 499, 500]
    asked = [word for i in wanted for word in ("--iteration", str(i))]
    plan = rose.json("plan", campaign, "--format", "json", "--learner", "adaptive", "--set", "max_iter=501", *asked)
    (learner,) = plan["learners"]
    for iteration, i in zip(learner["iterations"], wanted, strict=True):
        simulation, training = iteration["tasks"][:2]
        assert simulation["command"][2:] == words(adaptive_sim(i))
        assert training["command"][2:] == words(adaptive_train(i))


def test_every_adaptive_value_up_to_500_is_pythons_own_to_the_last_digit(rose: Rose) -> None:
    campaign = CAMPAIGNS / "adaptive" / "campaign.yaml"
    plan = rose.json("plan", campaign, "--format", "json", "--set", "max_iter=501")
    iterations = plan["learners"][0]["iterations"]
    assert len(iterations) == 501
    for i, iteration in enumerate(iterations):
        simulation, training = iteration["tasks"][:2]
        assert simulation["command"][2:] == words(adaptive_sim(i))
        assert training["command"][2:] == words(adaptive_train(i))
        assert simulation["options"]["--noise_level"] == 0.1 * (0.95**i)
