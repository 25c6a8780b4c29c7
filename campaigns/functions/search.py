"""Bayesian optimisation of a landscape: the tasks of campaign.yaml, each a function that gets what it names.

A Gaussian process predicts the landscape from the measurements so far. The next one is taken where the prediction, less
`curiosity` standard deviations, is lowest: the lower confidence bound of Srinivas et al. (2010).
"""

import csv
import json
import os
from pathlib import Path

import numpy as np

LOWEST = 0.39788735772973816
"""Of Branin's function, in its three minima."""
NOISE = 1e-6
LENGTHS = (0.1, 0.15, 0.2, 0.3, 0.45)


def landscape(points: np.ndarray) -> np.ndarray:
    """Branin's function, on the unit square."""
    x, y = 15 * points[:, 0] - 5, 15 * points[:, 1]
    valley = (y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6) ** 2
    return valley + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10


def candidates(shared: Path, n_candidates: int, seed: int) -> dict:
    """The places that can be measured: the same for all learners, made once."""
    save(shared / "candidates.npy", np.random.default_rng([seed, 0]).random((n_candidates, 2)))
    return {"candidates": n_candidates}


def begin(shared: Path, n_first: int, seed: int, workspace: Path) -> dict:
    """The first measurements, at random."""
    places = np.load(shared / "candidates.npy")
    chosen = np.random.default_rng([seed, 1]).choice(len(places), n_first, replace=False)
    store(workspace, -1, places[chosen])
    return {"length": 0.2}


def tune(iteration: int, workspace: Path) -> dict:
    """The length with the highest marginal likelihood."""
    points, values = measured(workspace, iteration)
    return {"length": max(LENGTHS, key=lambda length: likelihood(points, values, length))}


def propose(shared: Path, curiosity: float, iteration: int, seed: int, workspace: Path) -> dict:
    """The place to measure next; without curiosity, a random one."""
    places = np.load(shared / "candidates.npy")
    points, values = measured(workspace, iteration)
    if curiosity < 0:
        return {"place": places[np.random.default_rng([seed, 2, iteration]).integers(len(places))]}
    mean, deviation = predict(points, values, places, length_of(workspace, iteration))
    return {"place": places[np.argmin(mean - curiosity * deviation)], "doubt": deviation.max()}


def measure(results: dict, iteration: int, workspace: Path) -> dict:
    store(workspace, iteration, np.array([results["propose"]["place"]]))
    _, values = measured(workspace, iteration + 1)
    return {"lowest": values.min(), "regret": values.min() - LOWEST, "measurements": len(values)}


def summary(iteration: int, workspace: Path, learner: str) -> dict:
    """What this learner has found, for the table."""
    points, values = measured(workspace, iteration + 1)
    best = int(values.argmin())
    found = {"learner": learner, "measurements": len(values), "lowest": values[best], "at": points[best].round(3)}
    (workspace / "summary.json").write_text(json.dumps({**found, "at": found["at"].tolist()}))
    return found


def table() -> dict:
    """One row for each learner, in the run directory."""
    run = Path(os.environ["ROSE_RUN"])
    rows = [json.loads(path.read_text()) for path in sorted(run.glob("learners/*/workspace/summary.json"))]
    if not rows:
        return {}
    with (run / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return {"best": min(rows, key=lambda row: row["lowest"])["learner"]}


# --- the Gaussian process ----------------------------------------------------------------------------------------


def kernel(first: np.ndarray, second: np.ndarray, length: float) -> np.ndarray:
    """Squared-exponential: how much two places have in common."""
    squares = ((first[:, None] - second[None]) ** 2).sum(axis=2)
    return np.exp(-squares / (2 * length**2))


def predict(points: np.ndarray, values: np.ndarray, places: np.ndarray, length: float) -> tuple:
    """Mean and standard deviation at the places (Rasmussen and Williams 2006, algorithm 2.1)."""
    scale, middle = values.std(), values.mean()
    factor = np.linalg.cholesky(kernel(points, points, length) + NOISE * np.eye(len(points)))
    common = np.linalg.solve(factor, kernel(points, places, length))
    mean = common.T @ np.linalg.solve(factor, (values - middle) / scale)
    deviation = np.sqrt(np.maximum(1 - (common**2).sum(axis=0), 0))
    return middle + scale * mean, scale * deviation


def likelihood(points: np.ndarray, values: np.ndarray, length: float) -> float:
    """The logarithm of the marginal likelihood, without its constant."""
    factor = np.linalg.cholesky(kernel(points, points, length) + NOISE * np.eye(len(points)))
    weighted = np.linalg.solve(factor, (values - values.mean()) / values.std())
    return float(-0.5 * weighted @ weighted - np.log(np.diag(factor)).sum())


# --- files: one for each iteration, whole or not at all ----------------------------------------------------------


def store(workspace: Path, iteration: int, points: np.ndarray) -> None:
    save(workspace / f"measured-{iteration}.npy", np.column_stack([points, landscape(points)]))


def measured(workspace: Path, iteration: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and values of all iterations before this one."""
    rows = np.vstack([np.load(workspace / f"measured-{number}.npy") for number in range(-1, iteration)])
    return rows[:, :2], rows[:, 2]


def length_of(workspace: Path, iteration: int) -> float:
    """As `tune` would choose it in the last iteration in which it ran."""
    points, values = measured(workspace, iteration - iteration % 4)
    return max(LENGTHS, key=lambda length: likelihood(points, values, length))


def save(path: Path, array: np.ndarray) -> None:
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        np.save(file, array)
    unfinished.replace(path)
