"""Logs as TensorBoard itself reads them."""

from __future__ import annotations

import json
import math
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.track.interface import IterationFinished, StartOverError, TrackedLearner, TrackedRun
from rose_cli.track.tensorboard import TensorBoardTracker
from tests.conftest import PATIENCE
from tests.others import other_python

if TYPE_CHECKING:
    from tests.track.conftest import Tracked


def read(folder: Path) -> dict[str, Any]:
    """By learner: `scalars`, by tag a list of step, value and time, and `hparams`."""
    command = [other_python(), str(Path(__file__).parent / "reader.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_tensorboard_reads_values_steps_times_and_options_and_a_resume_adds_to_them(tracked: Tracked) -> None:
    tracked.campaign("tensorboard")
    tracked("run", "campaign.yaml", "--max-iter", "2", "-o", "quiet")
    called = tracked("resume", "--max-iter", "3", "-o", "quiet")
    assert f"tracker 'tensorboard': tensorboard --logdir {tracked.run}/tensorboard" in called.err
    found = read(tracked.run / "tensorboard")
    assert set(found) == {"a", "b"}
    scalars = found["b"]["scalars"]
    assert [(step, value) for step, value, _ in scalars["mse"]] == [(0, 10.0), (1, 9.0), (2, 8.0)]
    ended = [
        event["time"]
        for event in tracked.rose.events(tracked.run)
        if event["event"] == "iteration_finished" and event["learner"] == "b"
    ]
    assert [time for _, _, time in scalars["mse"]] == ended
    assert [value for _, value, _ in scalars["result/loss.train"]] == [0.5, 0.5, 0.5]
    assert all(math.isnan(value) for _, value, _ in scalars["result/loss.test"])
    assert [value for _, value, _ in scalars["option/train.--lr"]] == [0.25, 0.25, 0.25]
    assert "result/note" not in scalars
    begin = found["b"]["hparams"]["_hparams_/session_start_info"]
    assert 'key: "train.--lr"\n    value {\n      number_value: 0.25' in begin
    assert f'group_name: "{tracked.run.name}/b"' in begin
    assert "STATUS_SUCCESS" in found["b"]["hparams"]["_hparams_/session_end_info"]


def test_iterations_that_are_run_again_replace_those_that_no_longer_count(tracked: Tracked) -> None:
    tracked.campaign("tensorboard")
    tracked("run", "campaign.yaml", "-o", "quiet")
    tracked.rose.write("echo $((20 - ROSE_ITERATION))\n", "value.sh")
    tracked("resume", "--from-iteration", "1", "-o", "quiet")
    found = read(tracked.run / "tensorboard")
    assert [(step, value) for step, value, _ in found["a"]["scalars"]["mse"]] == [(0, 10.0), (1, 19.0), (2, 18.0)]


def run_in(folder: Path, **settings: Any) -> TrackedRun:
    learner = TrackedLearner(
        "a", 0, 1, 3, "mse", "<", 0.5, {"t": {"--s": "text", "--l": [1, 2], "--b": True, "--n": 2**70}}
    )
    return TrackedRun("id", "run-1", "c", folder / "run-1", folder, "1", 1.75e9, 1, settings, (learner,))


def finished(iteration: int, value: float | None = 1.0, **result: Any) -> IterationFinished:
    return IterationFinished("a", iteration, 1.0, 2.0 + iteration, 1.0, 1.0, value, {}, result)


def test_what_was_sent_but_not_saved_is_written_once(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    memory: dict[str, Any] = {}
    run.directory.mkdir()
    tracker = TensorBoardTracker()
    tracker.open(run, memory)
    tracker.send([finished(0), finished(1)])
    saved = json.loads(json.dumps(memory))
    (path,) = (tmp_path / "run-1/tensorboard/a").iterdir()
    tracker.send([finished(2)])
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b"half a record")
    again = TensorBoardTracker()
    again.open(run, saved)
    again.send([finished(2)])
    assert path.read_bytes() == whole


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, 0.1, None])
def test_any_number_is_written(tmp_path: Path, value: float | None) -> None:
    run = run_in(tmp_path, dir="logs")
    tracker = TensorBoardTracker()
    tracker.open(run, {})
    tracker.send([finished(0, value, **{"x/y\n<>\ud800": value, "deep": {"a": {"b": 2**2000}}})])
    assert (tmp_path / "logs/run-1/a").is_dir()


def test_every_criterion_has_a_scalar_of_its_own(tmp_path: Path) -> None:
    tracker = TensorBoardTracker()
    tracker.open(run_in(tmp_path, dir="logs"), {})
    tracker.send([replace(finished(step, 1.0), metrics={"accuracy": step / 4}) for step in range(3)])
    scalars = read(tmp_path / "logs/run-1")["a"]["scalars"]
    assert [(step, value) for step, value, _ in scalars["accuracy"]] == [(0, 0.0), (1, 0.25), (2, 0.5)]


def test_odd_values_are_read_back(tmp_path: Path) -> None:
    run = run_in(tmp_path, dir="logs")
    tracker = TensorBoardTracker()
    tracker.open(run, {})
    values = [math.nan, math.inf, -math.inf, 1e308, 0.1]
    tracker.send([finished(step, value) for step, value in enumerate(values)])
    tracker.send([finished(9, None, **{"</script>\n\ud800": 1, **{f"k{number}": number for number in range(2000)}})])
    scalars = read(tmp_path / "logs/run-1")["a"]["scalars"]
    assert [str(value) for _, value, _ in scalars["mse"]] == ["nan", "inf", "-inf", "inf", "0.10000000149011612"]
    assert scalars["result/</script>\n?"] == [[9, 1.0, 11.0]]
    assert len(scalars) == 1000 + 3


def test_a_link_in_place_of_a_directory_is_not_followed(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.directory.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (run.directory / "tensorboard").symlink_to(tmp_path / "elsewhere")
    tracker = TensorBoardTracker()
    tracker.open(run, {})
    with pytest.raises(OSError, match="symbolic link"):
        tracker.send([finished(0)])
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("sizes", [[1], 3, {"a": "x"}, {"a": -5}, {"a": 1.5}])
def test_a_forged_memory_is_forgotten(tmp_path: Path, sizes: object) -> None:
    with pytest.raises(StartOverError):
        TensorBoardTracker().open(run_in(tmp_path), {"sizes": sizes})
