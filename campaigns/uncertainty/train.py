"""One surrogate of the ensemble: a model that learns from a random draw of the labels, with replacement."""

import argparse
import json
from itertools import combinations_with_replacement

import numpy as np
from labels import labelled
from throws import distance, held_out, pool
from workspace import rng, save


def kernel(throws: np.ndarray, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Ridge regression with a Gaussian kernel."""

    def common(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.exp(-((first[:, None] - second[None]) ** 2).sum(axis=2) / (2 * 0.7**2))

    weights = np.linalg.solve(common(throws, throws) + 1e-3 * np.eye(len(throws)), values)
    return common(places, throws) @ weights


def polynomial(throws: np.ndarray, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Ridge regression on all products of up to two of the four numbers."""

    def products(points: np.ndarray) -> np.ndarray:
        ones = np.column_stack([points, np.ones(len(points))])
        return np.column_stack([ones[:, a] * ones[:, b] for a, b in combinations_with_replacement(range(5), 2)])

    matrix = products(throws)
    weights = np.linalg.solve(matrix.T @ matrix + 1e-3 * np.eye(matrix.shape[1]), matrix.T @ values)
    return products(places) @ weights


def neighbours(throws: np.ndarray, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The mean of the five nearest throws, the nearer the heavier; on top of a plane through all of them."""
    plane, *_ = np.linalg.lstsq(np.column_stack([throws, np.ones(len(throws))]), values, rcond=None)
    rest = values - np.column_stack([throws, np.ones(len(throws))]) @ plane
    squares = ((places[:, None] - throws[None]) ** 2).sum(axis=2)
    near = squares.argsort(axis=1, kind="stable")[:, :5]
    heavy = 1 / (np.take_along_axis(squares, near, axis=1) + 1e-3)
    return np.column_stack([places, np.ones(len(places))]) @ plane + (rest[near] * heavy).sum(axis=1) / heavy.sum(
        axis=1
    )


MODELS = {"kernel": kernel, "polynomial": polynomial, "neighbours": neighbours}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--draw", type=int, default=0)
    options = parser.parse_args()

    throws, values = labelled()
    drawn = np.unique(rng(f"draw {options.draw}").integers(len(throws), size=2 * len(throws)))
    scale, middle = values.std(), values.mean()
    places = np.vstack([pool(), held_out()])
    predicted = middle + scale * MODELS[options.model](throws[drawn], (values[drawn] - middle) / scale, places)
    save(f"prediction-{options.model}-{options.draw}", predicted)
    error = np.sqrt(np.mean((predicted[len(pool()) :] - distance(held_out())) ** 2))
    print(json.dumps({"error": error}))


if __name__ == "__main__":
    main()
