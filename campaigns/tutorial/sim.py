"""The simulation: label the points that the previous iteration requested, by solving an equation of motion for each.

A ball between two valleys (a double well) is pushed, and friction brings it to rest, mostly in one of them:

    x'' = x - x³ + tilt - friction x'

The label is its measured final position x. It changes from one valley to the other at narrow fronts, and there labels
are most useful. The first `--n_features` parameters vary; the others are constant.
"""

import argparse
import json
import sys

import numpy as np
from workspace import ITERATION, load, rng, save

FIRST = 100  # labels in iteration 0; after that, as many as the previous iteration requested
HELD_OUT = 200
END = 15.0
#                 push  friction tilt start
LOW = np.array([0.0, 0.17, -0.2, -1.2])
USUAL = np.array([1.375, 0.36, 0.0, -1.0])
HIGH = np.array([2.75, 0.55, 0.2, -0.6])


def position(points: np.ndarray) -> np.ndarray:
    """The final position of the ball, for points in the unit cube."""
    from scipy.integrate import solve_ivp  # slow to import, and not needed once there are enough labels

    count, varied = points.shape
    parameters = np.tile(USUAL, (count, 1))
    parameters[:, :varied] = LOW[:varied] + (HIGH - LOW)[:varied] * points
    push, friction, tilt, start = parameters.T

    def motion(_time: float, state: np.ndarray) -> np.ndarray:
        x, v = state.reshape(2, count)
        return np.concatenate([v, x - x**3 + tilt - friction * v])

    return solve_ivp(motion, (0, END), np.append(start, push), rtol=1e-6, atol=1e-8).y[:count, -1]


def begin(n_features: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Iteration 0: label nothing yet, request points all over, and create the test set for all iterations."""
    held_out = np.random.default_rng([*b"held out"]).random((HELD_OUT, n_features))  # the same for every learner
    save("heldout", held_out, position(held_out))
    return np.empty((0, n_features)), np.empty(0), rng("first").random((FIRST, n_features))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n_labeled", type=int, default=100, help="label no more points than this in all")
    parser.add_argument("--n_features", type=int, default=3, choices=range(1, 5), help="parameters that vary")
    parser.add_argument("--noise_level", type=float, default=0.1, help="standard deviation of what is measured")
    options = parser.parse_args()

    if ITERATION == 0:
        points, labels, wanted = begin(options.n_features)
    else:
        points, labels = load("labeled", ITERATION - 1)
        (wanted,) = load("wanted", ITERATION - 1)
    if points.shape[1] != options.n_features:
        sys.exit(f"--n_features {options.n_features}: this learner began with {points.shape[1]}, keep to it")

    new = wanted[: max(0, options.n_labeled - len(points))]
    if len(new):
        measured = position(new) + options.noise_level * rng("noise").normal(size=len(new))
        points, labels = np.vstack([points, new]), np.append(labels, measured)
    save("labeled", points, labels)
    print(json.dumps({"labeled_count": len(points), "labeled_now": len(new)}))


if __name__ == "__main__":
    main()
