"""Calls the MLflow tracker in the environment that has MLflow: a line of JSON in, one out.

So it is imported once.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from rose_cli.track import interface as t
from rose_cli.track.mlflow import MLflowTracker

START = 1_700_000_000.0
FOLDER = Path(os.environ["DRIVER_FOLDER"])


def run(run_id: str, learners: int = 1, **changed: Any) -> t.TrackedRun:
    """A run of a campaign of the same name, with learners `l0`, `l1`, …"""
    options = changed.pop("options", {"train": {"--lr": 0.1}})
    settings = {"uri": os.environ["DRIVER_URI"], **changed.pop("settings", {})}
    each = tuple(t.TrackedLearner(f"l{i}", i, 7, 5, "mse", "<", 0.1, options) for i in range(learners))
    facts = {
        "name": f"{run_id}-1",
        "campaign": run_id,
        "directory": FOLDER,
        "campaign_dir": FOLDER,
        "rose_version": "1",
        "session": 1,
    }
    return t.TrackedRun(run_id=run_id, started=START, settings=settings, learners=each, **{**facts, **changed})


def iteration(number: int, value: float | None = 0.5, learner: str = "l0", **fields: Any) -> t.IterationFinished:
    began = START + 10 * number
    return t.IterationFinished(learner, number, began, began + 5, 5.0, 10.0, value, **fields)


def opened(of: t.TrackedRun, memory: dict[str, Any] | None = None) -> MLflowTracker:
    """A tracker that has opened the run; as the process does it, it starts over if it must."""
    tracker = MLflowTracker()
    memory = {} if memory is None else memory
    try:
        tracker.open(of, memory)
    except t.StartOverError:
        memory.clear()
        memory["started_over"] = True
        tracker.open(of, memory)
    return tracker


def end(status: str = "done", *learners: t.LearnerEnd, seconds: float = 100.0) -> t.TrackedEnd:
    return t.TrackedEnd(status, START + seconds, status == "done", learners)


def trouble(call: Any) -> list[Any]:
    """What the tracker says of a call that fails: message, hint, whether it is temporary."""
    try:
        call()
    except t.TrackerError as error:
        return [error.message, error.hint, error.temporary]
    return []


def main() -> None:
    """Run each text of standard input, and print what it leaves in `answer`."""
    import mlflow.tracking  # noqa: F401 - takes seconds, while the server starts

    for line in sys.stdin:
        names = {**globals(), "math": math, "answer": None}
        try:
            exec(json.loads(line), names)
            answer = {"answer": names["answer"]}
        except Exception:  # noqa: BLE001 - the test shows it
            answer = {"error": traceback.format_exc()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
