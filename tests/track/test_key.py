"""`track:` in a campaign file: its forms, and what `rose validate` says without importing a tracker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.config.forms import trackers
from rose_cli.config.trackers import BUILT_IN, declared_trackers
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from tests.track.conftest import Tracked


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("tensorboard", {"tensorboard": {}}),
        (["tensorboard", {"mlflow": {"uri": "x"}}], {"tensorboard": {}, "mlflow": {"uri": "x"}}),
        ({"tensorboard": None, "other": {"a": [1, 2.5], "b": {"c": True}, "d": None}},
         {"tensorboard": {}, "other": {"a": (1, 2.5), "b": {"c": True}}}),
        ({}, {}),
    ],
)  # fmt: skip
def test_each_form_means_names_with_settings(written: Any, meant: dict[str, Any]) -> None:
    assert {each.name: each.settings for each in trackers(written)} == meant


@pytest.mark.parametrize(
    ("track", "code", "hint"),
    [
        ("mlflow", "not-installed", "pip install 'rose-cli[mlflow]'"),
        (
            "wandb",
            "not-installed",
            "install the package that declares it as an entry point of the group 'rose.trackers'",
        ),
        ("tensorbord", "not-installed", "did you mean 'tensorboard'?"),
        ("[small, small]", "duplicate-name", "list it once"),
        ("{tensorboard: {dri: x}}", "unknown-key", "did you mean 'dir'?"),
        ("{small: 3}", "wrong-type", "for example small: {key: …}"),
        (
            "{small: {a: {b: {c: 1}}}}",
            "wrong-type",
            "a setting is a string, a number, a list of these, or a mapping of one level",
        ),
        ("3", "wrong-type", "for example track: tensorboard, or track: {mlflow: {experiment: first}}"),
        ("../x", "bad-name", "use letters, digits, '_', '-' and '.', as in tensorboard"),
    ],
)
def test_what_is_wrong_is_told_without_importing_anything(
    tracked: Tracked, track: str, code: str, hint: str | None
) -> None:
    tracked.install("small", "raise SystemExit('imported')")
    tracked.campaign(track)
    (found,) = json.loads(tracked("validate", "campaign.yaml", "--format", "json").out)
    assert (found["code"], found["hint"], found["line"]) == (code, hint, 6)


def test_a_tracker_that_is_installed_is_no_problem(tracked: Tracked) -> None:
    tracked.campaign("[small, tensorboard]")
    assert tracked("validate", "campaign.yaml", "--format", "json").out.strip() == "[]"


def test_the_built_in_ones_are_declared_like_any_other() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    lines = text.partition('[project.entry-points."rose.trackers"]\n')[2].partition("\n\n")[0].splitlines()
    assert {line.split(" = ")[0]: line.split('"')[1] for line in lines} == {
        name: built_in.target for name, built_in in BUILT_IN.items()
    }
    assert declared_trackers().items() >= {name: each.target for name, each in BUILT_IN.items()}.items()


def test_a_smoke_run_tracks_nothing(tracked: Tracked) -> None:
    tracked.campaign()
    assert tracked("run", "campaign.yaml", "--smoke").code == 0
    assert tracked.heard == []
