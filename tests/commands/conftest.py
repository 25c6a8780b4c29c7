"""A campaign with two learners, its finished run, and a run that is still running."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PATIENCE, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose

SIMULATION = """\
    import json, os, sys
    print("simulating", *sys.argv[1:])
    print("a word of warning", file=sys.stderr)
    print(json.dumps({"labeled_count": 10 * int(os.environ["ROSE_ITERATION"]), "share": 1 / 3}))
    """


CRITERION = """\
    import os
    print([0.1 + 0.2, 1e-300, float("nan"), 0.7][int(os.environ["ROSE_ITERATION"])])
    """


CAMPAIGN = """
    name: looks
    max_iter: 4
    tasks:
      simulation: {executable: "{python} sim.py", options: {--n: 1, --rate: 1e-3}}
    stop: {metric: own, operator: <=, threshold: 0, executable: "{python} check.py"}
    learners:
      - name: adaptive
        simulation: {adaptive: {--noise: 0.1 * 0.95**i, --last: "0 if i == 0 or i == 3 else metric"}}
      - {name: short, max_iter: 1, simulation: {--n: null, --flag: true}}
    """


@pytest.fixture
def campaign(rose: Rose) -> Rose:
    rose.write(SIMULATION, "sim.py")
    rose.write(CRITERION, "check.py")
    rose.write(CAMPAIGN)
    return rose


@pytest.fixture
def ended(campaign: Rose) -> Rose:
    assert campaign("run", "campaign.yaml", "--run-dir", "r").code == 0
    return campaign


@pytest.fixture
def going(rose: Rose) -> Any:
    """A run of two learners that goes on until it is told to stop."""
    rose.script("#!/bin/sh\necho hello\nsleep 0.05\n", "task.sh")
    rose.write("{max_iter: 100000, tasks: {s: {executable: ./task.sh}}, learners: [{name: a}, {name: b}]}")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_until(lambda: has_finished(rose.folder / "r", 2))
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)


def has_finished(run: Path, iterations: int) -> bool:
    journal = run / "journal.jsonl"
    return journal.exists() and journal.read_text().count("iteration_finished") >= iterations
