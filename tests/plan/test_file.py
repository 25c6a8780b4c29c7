"""plan.json: what is read back is the plan that was written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rose_cli.campaign_file import check_campaign
from rose_cli.plan.file import dump_plan, load_plan
from rose_cli.util.errors import RunDirectoryError
from tests.check.fixture import HERE
from tests.conftest import CAMPAIGNS

if TYPE_CHECKING:
    from pathlib import Path

    from rose_cli.plan.model import Plan
    from tests.check.fixture import Campaigns
    from tests.plan.conftest import Compile

EXAMPLES = sorted(CAMPAIGNS.glob("*/*.yaml"))
RIGHT = sorted((HERE / "right").glob("*.yaml"))


def read_back(plan: Plan, folder: Path) -> Plan:
    path = folder / "plan.json"
    path.write_text(dump_plan(plan, folder), encoding="utf-8")
    return load_plan(path)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.parent.name)
def test_the_plans_of_all_campaigns_come_back_as_they_were(campaigns: Campaigns, file: Path, tmp_path: Path) -> None:
    plan = check_campaign(file, {"PATH": str(campaigns.folder.parent / "bin")}).plan
    assert plan is not None
    assert read_back(plan, tmp_path) == plan


@pytest.mark.parametrize("file", RIGHT, ids=lambda file: file.stem)
def test_the_plans_of_odd_campaigns_come_back_as_they_were(campaigns: Campaigns, file: Path, tmp_path: Path) -> None:
    checked = campaigns.check(file)
    for plan in (checked.plan, checked.smoke_plan):
        assert plan is not None
        back = read_back(plan, tmp_path)
        assert back == plan
        assert [type(v) for v in _option_values(back)] == [type(v) for v in _option_values(plan)]


def _option_values(plan: Plan) -> list[object]:
    steps = [step for learner in plan.learners for step in learner.all_steps]
    return [
        value for step in steps for command in (step.otherwise, *step.at.values()) for value in command.options.values()
    ]


def test_the_same_plan_gives_the_same_text(compiled: Compile, tmp_path: Path) -> None:
    text = "learners: [{name: a}, {name: b}]"
    assert dump_plan(compiled(text), tmp_path) == dump_plan(compiled(text), tmp_path)


def test_what_changes_the_plan_changes_the_text(compiled: Compile, tmp_path: Path) -> None:
    plan = compiled("")
    assert dump_plan(replace(plan, campaign="other"), tmp_path) != dump_plan(plan, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        '{"format": 1}',
        '{"format": 1, "plan": {}}',
        '{"format": 1, "plan": null}',
        '{"format": 1, "plan": []}',
        '{"format": 1, "plan": {"campaign": 1}}',
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_said_to_be_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RunDirectoryError, match="is damaged"):
        load_plan(path)


@pytest.mark.parametrize("key", ["learners", "engine", "limits"])
@pytest.mark.parametrize("value", [None, 5, "x", [], {}, [5], [[]], [{}]])
def test_a_file_with_another_shape_is_damaged(compiled: Compile, tmp_path: Path, key: str, value: object) -> None:
    document = json.loads(dump_plan(compiled(""), tmp_path))
    document["plan"][key] = value
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    if (key, value) == ("learners", []):
        assert load_plan(path).learners == ()
        return
    with pytest.raises(RunDirectoryError, match="is damaged"):
        load_plan(path)


def test_a_file_of_a_newer_rose_is_said_to_be_one(compiled: Compile, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(dump_plan(compiled(""), tmp_path).replace('"format": 2', '"format": 3'), encoding="utf-8")
    with pytest.raises(RunDirectoryError, match="newer rose"):
        load_plan(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="cannot read"):
        load_plan(tmp_path / "plan.json")
