"""What has been labelled so far, and what the ensemble predicts in this iteration."""

from pathlib import Path

import numpy as np
from throws import pool
from workspace import ITERATION


def numbers() -> tuple[np.ndarray, np.ndarray]:
    """The throws that are labelled, by their numbers in the pool, and their distances."""
    known = {}
    for path in Path().glob("label-*.npz"):
        throw, iteration = path.stem.removeprefix("label-").split("-")
        if int(iteration) <= ITERATION:
            with np.load(path) as arrays:
                known[int(throw)] = arrays["arr_1"][0]
    throws = np.array(sorted(known))
    return throws, np.array([known[each] for each in throws])


def labelled() -> tuple[np.ndarray, np.ndarray]:
    throws, distances = numbers()
    return pool()[throws], distances


def predictions() -> np.ndarray:
    """Of all surrogates: those on the pool come first, those on the held-out throws last."""
    files = sorted(Path().glob(f"prediction-*-{ITERATION:03d}.npz"))
    return np.array([np.load(path)["arr_0"] for path in files])
