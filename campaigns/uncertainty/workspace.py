"""The files of a learner, one per name and iteration, and the random numbers of one step.

A step reads the files of earlier steps and writes its own file completely or not at all. Its random numbers depend
only on the learner's seed and the iteration. An interrupted step that runs again therefore gives the same bytes.
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
    """Write to a temporary file first: readers see the whole file or none of it, even after a power failure."""
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
