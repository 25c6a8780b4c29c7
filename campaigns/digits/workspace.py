"""A learner's files, one per name and iteration, and the random numbers of one step.

A step reads what earlier steps wrote and writes one file of its own, whole or not at all. Its random numbers depend
on the learner's seed and the iteration only. So a step that was interrupted and runs again gives the same bytes.
"""

import os
from pathlib import Path

import numpy as np

ITERATION = int(os.environ.get("ROSE_ITERATION", "0"))
SEED = int(os.environ.get("ROSE_SEED", "0"))


def path_of(name: str, iteration: int) -> Path:
    return Path(f"{name}-{iteration:03d}.npz")  # relative: rose runs a task in its learner's workspace


def load(name: str, iteration: int = ITERATION) -> list[np.ndarray]:
    """The arrays, in the order in which they were saved."""
    with np.load(path_of(name, iteration)) as arrays:
        return list(arrays.values())


def save(name: str, *arrays: np.ndarray) -> None:
    """Write under another name first: whoever reads the file sees all of it, even after a power cut."""
    path = path_of(name, ITERATION)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        np.savez(file, *arrays)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def rng(purpose: str) -> np.random.Generator:
    """Random numbers for one purpose in this iteration, independent of those for any other purpose."""
    return np.random.default_rng([SEED, ITERATION, *purpose.encode()])
