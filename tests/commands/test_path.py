"""`rose path`: absolute paths, one per line, that a shell can use."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose

CAMPAIGN = """
    name: sweep
    max_iter: 3
    tasks: {train: {executable: "sh train.sh"}}
    stop: {metric: rmse, operator: <, threshold: 0.01, executable: "cat value"}
    learners: [{name: a}, {name: b c}]
    """

TRAIN = """\
    i=$ROSE_ITERATION
    echo $((ROSE_LEARNER_INDEX + 1))$(echo 5 1 3 | cut -d' ' -f$((i + 1))) > value
    echo x > model-$i
    mkdir -p deep/$i
    echo x > deep/$i/state
    echo x > .hidden
    """


@pytest.fixture
def compared(rose: Rose) -> Rose:
    rose.write(TRAIN, "train.sh")
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "--output", "quiet").code == 0
    return rose


def run_of(rose: Rose) -> Path:
    return (rose.folder / "rose-runs" / "latest").resolve()


def names(out: str, run: Path) -> list[str]:
    paths = [Path(line) for line in out.splitlines()]
    assert all(path.is_absolute() and path.is_file() for path in paths)
    return [str(path.relative_to(run)) for path in paths]


def test_the_path_of_a_run_and_of_a_workspace(compared: Rose) -> None:
    run = run_of(compared)
    for argument in ([], ["campaign.yaml"], [run.name]):
        called = compared("path", *argument)
        assert (called.code, called.out) == (0, f"{run}\n")
        assert compared("path", *argument, "b c").out == f"{run}/learners/b c/workspace\n"


def test_learners_with_the_same_best_value_are_named(rose: Rose) -> None:
    rose.write(TRAIN, "train.sh")
    rose.write(CAMPAIGN.replace("cat value", "echo 3"))
    assert rose("run", "campaign.yaml", "--output", "quiet").code == 0
    assert "b c has the same best value as 'a'\n" in rose("path", "--best").err
    assert "same best value" not in rose("path", "latest", "a", "--best").err


def test_a_shell_can_change_to_it(compared: Rose) -> None:
    out = compared("path", "a").out
    done = subprocess.run(
        ["sh", "-c", 'cd "$1" && pwd -P && ls', "sh", out.rstrip("\n")], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[0] == str(run_of(compared) / "learners/a/workspace")
    assert "model-2" in done.stdout


def test_the_files_of_the_best_iteration_are_those_that_it_was_the_last_to_write(compared: Rose) -> None:
    run = run_of(compared)
    called = compared("path", "--best")
    assert called.code == 0
    learner = "learners/a"
    logs = [f"{learner}/logs/1/{task}.1.{stream}" for task in ("criterion", "train") for stream in ("err", "out")]
    assert names(called.out, run) == [f"{learner}/workspace/deep/1/state", f"{learner}/workspace/model-1", *logs]
    assert "learner 'a', iteration 1 (11): 2 files in the workspace; 4 logs" in called.err
    last = names(compared("path", "a", "2").out, run)
    assert last[:3] == [f"{learner}/workspace/{name}" for name in ("deep/2/state", "model-2", "value")]
    assert names(compared("path", "b c", "--best").out, run)[0] == "learners/b c/workspace/deep/1/state"


def test_files_that_a_later_iteration_has_overwritten_are_not_the_best_ones(compared: Rose) -> None:
    run = run_of(compared)
    for name in ("model-1", "deep/1/state"):
        (run / "learners/a/workspace" / name).write_text("changed later")
    called = compared("path", "--best")
    assert all("/logs/1/" in path for path in called.out.splitlines())
    assert "put {iteration} into names" in called.err


def test_links_and_odd_names_are_left_out(compared: Rose) -> None:
    run = run_of(compared)
    workspace = run / "learners/a/workspace"
    model = workspace / "model-1"
    for name in ("two\nlines", "b\x1b[2J"):
        (workspace / name).write_text("x")
        os.utime(workspace / name, ns=(model.stat().st_mtime_ns,) * 2)
    (workspace / "link").symlink_to(model)
    called = compared("path", "--best")
    assert "two" not in called.out
    assert "1 path with a line break omitted" in called.err
    assert "/link\n" not in called.out
    assert f"{workspace}/b\x1b[2J\n" in called.out, "into a pipe, the bytes of the name"


def test_what_is_not_there_is_an_error(compared: Rose) -> None:
    for words, code, message in (
        (("a", "7"), 2, "no iteration 7"),
        (("1",), 2, "of which learner"),
        (("nobody",), 2, "nobody"),
        (("a", "1", "--best"), 2, "too many arguments"),
        (("a", "train"), 2, "too many arguments"),
    ):
        called = compared("path", *words)
        assert (called.code, called.out) == (code, ""), words
        assert message in called.err
    assert compared("clean", "campaign.yaml", "--workspaces", "--yes").code == 0
    called = compared("path", "a")
    assert (called.code, called.out) == (4, "")
    assert "has been deleted" in called.err


def test_without_a_value_nothing_is_the_best(rose: Rose) -> None:
    campaign = "{max_iter: 1, tasks: {s: {executable: 'true'}}, learners: [{name: a}]}"
    failing = campaign.replace("max", "stop: {metric: own, operator: <, threshold: 0, executable: 'false'}, max", 1)
    for text, code, messages in (
        (failing, 1, ("no learner has a value yet", "learner 'a' has no value yet")),
        (campaign, 0, ("without a stop criterion",) * 2),
    ):
        rose.write(text)
        assert rose("run", "campaign.yaml", "--output", "quiet").code == code
        for words, message in zip((("--best",), ("a", "--best")), messages, strict=True):
            called = rose("path", "campaign.yaml", *words)
            assert (called.code, called.out) == (2, "")
            assert message in called.err
    assert rose("path", "0").code == 0, "the only learner"


def test_of_different_metrics_none_is_the_best(rose: Rose) -> None:
    stop = "{metric: %s, operator: <, threshold: 0, executable: 'echo 1'}"
    rose.write(
        "{max_iter: 1, tasks: {s: {executable: 'true'}}, learners:"
        f" [{{name: a, stop: {stop % 'mine'}}}, {{name: b, stop: {stop % 'yours'}}}]}}"
    )
    assert rose("run", "campaign.yaml", "--output", "quiet").code == 0
    called = rose("path", "--best")
    assert (called.code, "different metrics" in called.err) == (2, True)
    assert rose("path", "b", "--best").code == 0


def test_a_damaged_journal_does_not_hide_where_a_run_is(compared: Rose) -> None:
    journal = run_of(compared) / "journal.jsonl"
    journal.write_bytes(b"x" + journal.read_bytes())
    assert compared("path").out == f"{run_of(compared)}\n"
