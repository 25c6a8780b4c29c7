"""A learner's files, one per name and iteration, and its random numbers.

rose runs every task in its learner's workspace. A step reads what earlier steps wrote and writes a file of its own,
whole or not at all: when it was interrupted and runs again, it finds the same and gives the same.
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
    """Write under another name first: whoever reads the file sees all of it, even after a power cut."""
    path = path_of(name, ITERATION)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def random_numbers(purpose: str) -> random.Random:
    """Random numbers for one purpose in this iteration: the same at every run."""
    return random.Random(f"{SEED} {ITERATION} {purpose}")
