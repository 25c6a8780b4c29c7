"""The digits campaign as a plain loop, without rose: what rose's metric history must equal to the last bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import PATIENCE
from tests.preloaded import run_script

if TYPE_CHECKING:
    from collections.abc import Sequence

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"


LIBRARIES = ("numpy", "scipy.integrate", "sklearn.datasets")
"""What the scripts import, loaded once: for most of them, that is most of what they take."""


def run_step(
    script: str,
    workspace: Path,
    *,
    seed: int,
    iteration: int,
    options: Sequence[str] = (),
    replica: int = 0,
    interpreter: int = 0,
) -> str:
    """Run `script`, a path below campaigns/, as rose would, and give the last line that it printed.

    A process of another `interpreter` shares neither hash seed nor random state with this one.
    The learner's options are what the campaign file would resolve to; a script that fails raises an AssertionError
    with what it said.
    """
    path = CAMPAIGNS / script
    surroundings = {
        "ROSE_CAMPAIGN": path.parent.name,
        "ROSE_CAMPAIGN_DIR": str(path.parent),
        "ROSE_LEARNER": workspace.name,
        "ROSE_LEARNER_INDEX": "0",
        "ROSE_ITERATION": str(iteration),
        "ROSE_TASK": path.stem,
        "ROSE_ATTEMPT": "1",
        "ROSE_REPLICA": str(replica),
        "ROSE_SEED": str(seed),
        "ROSE_WORKSPACE": str(workspace),
        "ROSE_RESULT": str(workspace / "result.json"),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = run_script([str(path), *options], workspace, surroundings, PATIENCE, modules=LIBRARIES, of=interpreter)
    assert done.returncode == 0, f"{script} ended with {done.returncode}: {done.stderr}"
    return done.stdout.splitlines()[-1] if done.stdout else ""


def accuracy_history(
    workspace: Path,
    *,
    seed: int,
    acquisition: str = "margin.py",
    start: int = 1,
    max_iter: int = 10,
    threshold: float = 0.96,
) -> list[float]:
    """What one learner of campaigns/digits gives in an empty `workspace`, until `threshold` is reached.

    `seed` is the learner's own (ROSE_SEED), `acquisition` its executable for active_learn, `start` its --start.
    """
    steps = (
        ("label.py", ("--start", str(start))),
        ("train.py", ()),
        (acquisition, ()),
        ("accuracy.py", ()),
    )
    history: list[float] = []
    for iteration in range(max_iter):
        for script, options in steps:
            line = run_step(f"digits/{script}", workspace, seed=seed, iteration=iteration, options=options)
        history.append(float(json.loads(line)["accuracy"]))
        if history[-1] >= threshold:
            break
    return history
