"""Mistakes in what `rose set` and `rose add` are given: each is shown where it is, with what to write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose

CAMPAIGN = """\
    max_iter: 1
    tasks: {train: {executable: echo, options: {--lr: 1}}}
    stop:
      any:
        - {metric: mse, threshold: 1, executable: echo 2}
        - {metric: mae, threshold: 1, executable: echo 2}
    learners: 1
    """


@pytest.fixture
def steered(rose: Rose) -> Rose:
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    return rose


def test_what_to_write_instead_of_a_key_that_is_none(steered: Rose) -> None:
    assert "help: for an option write train.--lr; valid keys: " in steered("set", "r", "train.lr=2").err
    criterion = steered("set", "r", "stop.threshold=2")
    assert "help: write stop.any.0.threshold for the first criterion" in criterion.err
    named = steered("set", "r", "stop.mae.threshold=2")
    assert "help: write stop.any.1 in place of stop.mae" in named.err
    assert steered("set", "r", "--dry-run", "stop.any.0.threshold=2", "train.--lr=2").code == 0


def test_a_mistake_in_the_file_of_a_learner_is_shown_with_the_line_of_that_file(steered: Rose) -> None:
    steered.write("# a learner\ntrainig: {--lr: 0.9}\n", "more.yaml")
    called = steered("add", "r", "more.yaml", "--name", "six")
    assert "more.yaml:2:1: error[unknown-key]: unknown key 'trainig'" in called.err
    assert "2 | trainig: {--lr: 0.9}" in called.err


def test_add_without_a_file_says_that_it_is_missing(steered: Rose) -> None:
    called = steered("add", "r")
    assert (called.code, called.err.splitlines()[0]) == (2, "error: FILE is missing: a YAML file with the new learners")
    assert "help: rose add r learner.yaml" in called.err


SEVERAL = """\
    max_iter: 1
    tasks: {train: {executable: echo}}
    stop:
      any:
        - {metric: mse, threshold: 1, executable: echo 2}
        - {metric: result.size, operator: "<", threshold: 1, value: 3 - i}
    learners: [{name: a}, {name: b, stop: {metric: size, threshold: 2}}, {name: c}]
    """


def test_one_of_several_criteria_is_set_for_one_learner_by_its_place(rose: Rose) -> None:
    rose.write(SEVERAL.replace("metric: result.size", "metric: size"))
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    for learner, value in (("a", "5"), ("b", "6")):
        called = rose("set", "r", "--learner", learner, f"stop.any.1.threshold={value}")
        assert called.code == 0, called.err
        assert f"stop size threshold: {1 if learner == 'a' else 2} → {value}" in called.out + called.err
    thresholds = {name: [each["threshold"] for each in found["criteria"]] for name, found in rose.learners("r").items()}
    assert thresholds == {"a": [1, 5], "b": [1, 6], "c": [1, 1]}
    other = rose("set", "r", "--learner", "b", "stop.any.0.threshold=5")
    assert "learner 'b' overrides the criterion 'size', and so no other one" in other.err
    beyond = rose("set", "r", "--learner", "a", "stop.any.2.threshold=5")
    assert "there is no criterion at 'stop.any.2'" in beyond.err
    assert "write 0 to 1" in beyond.err
