"""plan.json and the run's copy of its campaign file, edited after rose wrote them: found out, told, and refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from rose_cli.runs.changes import checksums
from rose_cli.runs.directory import RunDirectory
from rose_cli.util.errors import RunDirectoryError
from tests import forge
from tests.conftest import Rose

CAMPAIGN = """
    max_iter: 2
    tasks: {sim: {executable: "true", options: {--n: 5}}, train: {executable: ./train.sh}}
    learners: [{name: a}, {name: b}]
    """


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Rose:
    """A run `r` whose learners failed in 'train', and would not any more."""
    rose = Rose(tmp_path_factory.mktemp("once"))
    rose.script('#!/bin/sh\n[ -e "$ROSE_CAMPAIGN_DIR/ok" ]\n', "train.sh")
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet").code == 1
    (rose.folder / "ok").touch()
    return rose


@pytest.fixture
def failed(once: Rose, tmp_path: Path) -> Rose:
    return Rose(Path(shutil.copytree(once.folder, tmp_path / "here", symlinks=True)))


def runs_something_else(plan: dict[str, Any]) -> None:
    for command in forge.every_command(plan):
        if command["words"] == ["true"]:
            command.update(words=["/bin/sh", "-c", "touch $ROSE_CAMPAIGN_DIR/pwned"])


def test_the_first_record_has_the_checksums_of_both_files(once: Rose) -> None:
    noted = once.events("r")[0]["checksums"]
    assert set(noted) == {"plan.json", "campaign.yaml"}
    assert all(len(text) == 64 for text in noted.values())
    assert "checksums" not in once.events("r")[1], "noted once, and again only where they change"


def test_an_edited_plan_is_refused_with_what_differs_until_it_is_trusted(failed: Rose) -> None:
    run = failed.folder / "r"
    forge.change_plan(run, runs_something_else)
    before = (run / "journal.jsonl").read_bytes()
    refused = failed("resume", "r")
    said = refused.err.replace("\n", " ")
    assert (refused.code, (failed.folder / "pwned").exists()) == (4, False)
    assert "'r/plan.json' was modified after rose wrote it" in said
    assert "sim.words: plan.json has /bin/sh -c 'touch $ROSE_CAMPAIGN_DIR/pwned', campaign.yaml has true (a, b)" in said
    assert "restore it from a backup; or, to accept the change, run `rose resume r --trust`" in said
    assert (run / "journal.jsonl").read_bytes() == before
    dry = failed("resume", "r", "--dry-run")
    assert (dry.code, "campaign.yaml has true" in dry.out, "/bin/sh -c 'touch" in dry.out) == (4, True, True)
    assert "was modified after rose wrote it" in failed("plan", "r").err.replace("\n", " ")
    assert failed("resume", "r", "--trust", "--output", "quiet").code == 0
    assert (failed.folder / "pwned").exists()
    assert failed("resume", "r", "--max-iter", "3", "--output", "quiet").code == 0, "what was trusted once is known"


def test_what_differs_is_told_without_secrets(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 1
        learners: 1
        env: {A_TOKEN: of-the-file-12}
        tasks: {a: {executable: 'false', args: [--password, of-the-file-34]}}
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet").code == 1
    plan = rose.folder / "r/plan.json"
    plan.write_text(plan.read_text().replace("of-the-file", "of-somebody-else"))
    for words in (("plan", "r"), ("plan", "r", "--format", "json"), ("resume", "r", "--dry-run"), ("resume", "r")):
        called = rose(*words)
        said = f"{called.out}{called.err}"
        assert "A_TOKEN: plan.json has ********, campaign.yaml has ********" in said.replace("\n", " "), words
        assert "of-somebody-else" not in said, words
        assert "of-the-file" not in said, words


def test_a_copy_of_the_campaign_that_lies_about_the_plan_is_found_out(failed: Rose) -> None:
    path = failed.folder / "r/campaign.yaml"
    path.write_text(path.read_text().replace("--n: 5", "--n: 6"))
    refused = failed("resume", "r")
    said = refused.err.replace("\n", " ")
    assert refused.code == 4
    assert "'r/campaign.yaml' was modified after rose wrote it" in said
    assert "sim.options.--n: plan.json has 5, campaign.yaml has 6 (a, b)" in said
    assert "has changed since this run was started" not in failed("resume", "r", "--dry-run").out, (
        "the user's file did not"
    )
    path.write_text(path.read_text().replace("--n: 6", "--n: 5"))
    assert failed("resume", "r", "--output", "quiet").code == 0, "put back, it is as it was"


def test_both_files_together_are_found_out_too(failed: Rose) -> None:
    run = failed.folder / "r"
    path = run / "campaign.yaml"
    path.write_text(path.read_text().replace("max_iter: 2", "max_iter: 9"))
    forge.change_plan(run, lambda plan: [learner.update(max_iter=9) for learner in plan["learners"]])
    refused = failed("resume", "r")
    said = refused.err.replace("\n", " ")
    assert refused.code == 4
    assert "'r/plan.json' and 'r/campaign.yaml' were modified after rose wrote them" in said
    assert "does not affect commands, files or limits" in said


@pytest.mark.parametrize("change", ["moved whole", "moved alone", "copied"])
def test_what_moving_and_copying_change_is_no_alteration(failed: Rose, change: str) -> None:
    there = failed.folder.parent / "there"
    if change == "moved whole":
        failed.folder.rename(there)
        rose, name = Rose(there), "r"
    elif change == "moved alone":
        there.mkdir()
        (failed.folder / "r").rename(there / "r")
        rose, name = Rose(there), "r"
    else:
        shutil.copytree(failed.folder, there, symlinks=True)
        rose, name = Rose(there), "r"
    for bound in ("2", "3", "4"):
        called = rose("resume", name, *(("--max-iter", bound) if bound != "2" else ()), "--output", "quiet")
        assert called.code == 0, called.err
    assert "checksums" in [entry for entry in rose.events(name) if entry["event"] == "session_started"][1]


def test_a_run_from_before_checksums_goes_on_and_has_them_from_then_on(failed: Rose) -> None:
    run = failed.folder / "r"
    forge.change_records(run, lambda entry: entry.pop("checksums", None))
    forge.change_plan(run, lambda plan: [learner.update(max_iter=3) for learner in plan["learners"]])
    assert failed("resume", "r", "--output", "quiet").code == 0
    forge.change_plan(run, runs_something_else)
    refused = failed("resume", "r", "--max-iter", "5")
    assert (refused.code, "was modified after rose wrote it" in refused.err.replace("\n", " ")) == (4, True)


def test_a_run_that_was_given_values_goes_on_as_any_other(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {t: {executable: 'true'}}, learners: [{name: a}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r", "--set", "tasks.t.options.--n=7").code == 0
    called = rose("resume", "r", "--max-iter", "2")
    assert (called.code, "rose wrote" in called.err) == (0, False)


def test_what_cannot_be_compared_is_refused_all_the_same(failed: Rose) -> None:
    run = failed.folder / "r"
    forge.change_plan(run, runs_something_else)
    (run / "campaign.yaml").write_text("tasks: [")
    refused = failed("resume", "r")
    assert (refused.code, "the difference is unknown" in refused.err.replace("\n", " ")) == (4, True)
    (run / "campaign.yaml").unlink()
    with (run / "campaign.yaml").open("wb") as file:
        file.truncate(4 << 30)  # not read into memory
    with pytest.raises(RunDirectoryError, match="larger than"):
        checksums(RunDirectory.at(run))
    (run / "campaign.yaml").unlink()
    os.mkfifo(run / "campaign.yaml")  # nor waited for
    with pytest.raises(RunDirectoryError, match="cannot read"):
        checksums(RunDirectory.at(run))
    (run / "campaign.yaml").unlink()
    assert failed("resume", "r").code == 4
    assert json.loads((run / "plan.json").read_text())["format"] == 4
