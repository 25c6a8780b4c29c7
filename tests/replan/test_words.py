"""The words of `rose set` and `rose add`: whole paths, in every form that a schedule can have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rose_cli.campaign_file import parse_setting, settings_of
from rose_cli.config.document import parse_document
from rose_cli.replan.words import Words
from rose_cli.util.errors import CampaignError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
max_iter: 5
parameters: {n_start: 3}
before: {prepare: {executable: 'true'}}
tasks:
  train: {executable: 'true', options: {--lr: 0.1}}
  limits: {executable: 'true'}
  label: {executable: 'true', adaptive: {--n: i}}
stop: {metric: mse, threshold: 0.1, executable: echo 1}
learners:
  - {name: plain}
  - {name: static, train: {--lr: 0.2}}
  - {name: full, train: {options: {--lr: 0.2}, timeout: 1m}}
  - {name: steps, train: {0: {--lr: 0.3}, 3+: {adaptive: {--lr: i}}}}
  - {name: rest, train: {0: {--lr: 0.3}, -1: {--lr: 0.4}}}
  - {name: adaptive, train: {adaptive: {--lr: 0.1 * i}}}
  - {name: a.b}
"""
LEARNERS = ("plain", "static", "full", "steps", "rest", "adaptive", "a.b")


def words(*settings: str, text: str = TEXT, learners: tuple[str, ...] = LEARNERS) -> Words:
    return Words(text, settings_of([f"--set {each}" for each in settings]), learners)


def sources(found: object) -> list[str]:
    assert isinstance(found, list)
    return [each.source.removeprefix("--set ") for each in found]


@pytest.mark.parametrize(
    ("word", "whole"),
    [
        ("train.--lr=0.50", "tasks.train.options.--lr=0.50"),
        ("tasks.train.--lr=0.5", "tasks.train.options.--lr=0.5"),
        ("tasks.train.options.--lr=0.5", "tasks.train.options.--lr=0.5"),
        ("train.--model.lr=0.5", "tasks.train.options.--model.lr=0.5"),
        ("train.timeout=5m", "tasks.train.timeout=5m"),
        ("label.--n=4", "tasks.label.adaptive.--n=4"),
        ("label.--n=abc", 'tasks.label.adaptive.--n="\\"abc\\""'),
        ("prepare.--n=4", "before.prepare.options.--n=4"),
        ("n_start=4", "parameters.n_start=4"),
        ("stop.--n=4", "stop.options.--n=4"),
        ("stop.threshold=null", "stop.threshold=null"),
        ("limits.same_failure=3", "limits.same_failure=3"),
        ("max_iter=7", "max_iter=7"),
    ],
)
def test_a_short_path_is_completed(word: str, whole: str) -> None:
    assert sources(words().given([word], [])) == [whole]


@pytest.mark.parametrize(
    ("learner", "wholes"),
    [
        ("plain", ["learners.plain.train.--lr=0.5"]),
        ("static", ["learners.static.train.--lr=0.5"]),
        ("full", ["learners.full.train.options.--lr=0.5"]),
        (
            "steps",
            [
                "learners.steps.train.0.--lr=0.5",
                "learners.steps.train.3+.adaptive.--lr=0.5",
                "learners.steps.train.-1.--lr=0.5",
            ],
        ),
        ("rest", ["learners.rest.train.0.--lr=0.5", "learners.rest.train.-1.--lr=0.5"]),
        ("adaptive", ["learners.adaptive.train.adaptive.--lr=0.5"]),
        ("a.b", ['learners."a.b".train.--lr=0.5']),
    ],
)
def test_a_value_of_a_learner_is_set_in_all_iterations_of_its_schedule(learner: str, wholes: list[str]) -> None:
    found = words().given(["train.--lr=0.5"], [learner])
    assert sources(found) == wholes
    document = parse_document(TEXT, "file")
    for setting in found:
        assert parse_setting(setting.source.removeprefix("--set ")) == setting, "it is read as it was meant"
        document = document.with_value(setting.path, setting.text, setting.source)


@pytest.mark.parametrize(
    ("word", "chosen", "message"),
    [
        ("trian.--lr=1", [], "there is no task and no key 'trian' in this campaign"),
        ("keep.logs=1", ["plain"], "'keep.logs' is a setting of the campaign, not of a learner"),
        ("max_iter=3", ["pain"], "there is no learner 'pain' in this run"),
        ("max_iter", [], "rose set takes key.path=value, not 'max_iter'"),
    ],
)
def test_a_wrong_word_is_refused(word: str, chosen: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace(".", r"\.")):
        words().given([word], chosen)


def test_learners_that_are_only_counted_are_written_out_to_be_named() -> None:
    text = "{max_iter: 1, tasks: {t: {executable: 'true'}}, learners: 2}"
    found = words(text=text, learners=("learner-0", "learner-1")).given(["t.--n=1"], ["learner-1"])
    assert sources(found) == ["learners=[{name: learner-0}, {name: learner-1}]", "learners.learner-1.t.--n=1"]


def test_a_learner_that_a_sweep_makes_has_no_place_of_its_own() -> None:
    text = "{max_iter: 1, tasks: {t: {executable: 'true'}}, sweep: {grid: {t.--n: [1, 2]}}}"
    swept = words(text=text, learners=("n=1", "n=2"))
    with pytest.raises(UsageError, match="learner 'n=1' is made by 'sweep'"):
        swept.given(["t.--m=1"], ["n=1"])
    assert sources(swept.given(["t.--m=1"], [])) == ["tasks.t.options.--m=1"]


def test_what_was_set_is_withdrawn_by_its_short_path() -> None:
    known = words("tasks.train.options.--lr=1", "max_iter=3", "learners.rest.train.0.--lr=1")
    assert known.withdrawn(["train.--lr"], []) == ["--set tasks.train.options.--lr=1"]
    assert known.withdrawn(["train.--lr"], ["rest"]) == ["--set learners.rest.train.0.--lr=1"]
    with pytest.raises(UsageError, match="nothing to unset: this run has no setting of its own for 'seed'"):
        known.withdrawn(["seed"], [])


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ("name: new\ntrain:\n  --lr: 0.10\n", ["{name: new, train: {--lr: 0.10}}"]),
        ("- {name: new}\n- {name: 'other one', max_iter: 3}\n", ["{name: new}", '{name: "other one", max_iter: 3}']),
        ("learners: [{name: new, env: {A: '1', B: yes, C: ''}}]\n", ['{name: new, env: {A: "1", B: yes, C: ""}}']),
        ("name: new\ntrain: {0: {--s: 'a: b', --t: null, --u: [1e-3, x]}}\n",
         ['{name: new, train: {0: {--s: "a: b", --t: null, --u: [1e-3, x]}}}']),
    ],
)  # fmt: skip
def test_a_learner_of_a_file_becomes_a_setting_that_reads_the_same(text: str, added: list[str], tmp_path: Path) -> None:
    file = tmp_path / "learner.yaml"
    file.write_text(text)
    recorded, checked = words().added(file, None)
    assert [each.text for each in recorded] == added
    document, other = parse_document(TEXT, "file"), parse_document(TEXT, "file")
    for one, same in zip(recorded, checked, strict=True):
        document = document.with_value(one.path, one.value, one.source)
        other = other.with_value(same.path, same.value, same.source)
    assert document.data == other.data
    assert len(document.data["learners"]) == len(LEARNERS) + len(added)  # type: ignore[index,arg-type,call-overload]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("max_iter: 3\n", 1, "a new learner needs a name"),
        ("- {name: x}\n- 5\n", 2, "a learner is a mapping"),
        ("name: [\n", None, None),
        ("", None, "the file is empty"),
    ],
)
def test_a_mistake_in_the_file_of_a_learner_has_its_place(
    text: str, line: int | None, message: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "learner.yaml"
    file.write_text(text)
    with pytest.raises(CampaignError) as raised:
        words().added(file, None)
    first = raised.value.diagnostics[0]
    assert first.file == str(file)
    assert first.span is not None
    assert line in (None, first.span.line)
    assert message is None or message in first.message
