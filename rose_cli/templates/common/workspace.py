"""The files of a learner, one per name and iteration, and its random numbers.

rose runs every task in its learner's workspace. A step reads the files of earlier steps and writes its
own file completely or not at all: an interrupted step that runs again finds the same input and gives the same result.
"""

import json
import os
import random
from pathlib import Path
from typing import Any

ITERATION = int(os.environ.get("ROSE_ITERATION", "0"))
SEED = int(os.environ.get("ROSE_SEED", "0"))


def path_of(name: str, iteration: int) -> Path:
    return Path(f"{name}-{iteration:03d}.json")


def load(name: str, iteration: int = ITERATION) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path_of(name, iteration).read_text())
    return value


def save(name: str, value: dict[str, Any]) -> None:
    """Write to a temporary file first: readers see the whole file or none of it, even after a power failure."""
    path = path_of(name, ITERATION)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def random_numbers(purpose: str) -> random.Random:
    """Random numbers for one purpose in this iteration, the same in every run."""
    return random.Random(f"{SEED} {ITERATION} {purpose}")
