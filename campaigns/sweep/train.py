"""Train a network of one hidden layer for some epochs more, and report its error on patients kept for that.

The data are those of Efron et al. (2004): 442 patients, ten numbers of each, and how far their diabetes had progressed
a year later.
"""

import argparse
import json

import numpy as np
from sklearn.datasets import load_diabetes
from workspace import ITERATION, load, rng, save

TRAINED, BATCH = 300, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=8, help="hidden neurons")
    parser.add_argument("--rate", type=float, default=0.05, help="learning rate")
    parser.add_argument("--decay", type=float, default=0.001, help="weight decay")
    parser.add_argument("--epochs", type=int, default=4, help="in each iteration")
    options = parser.parse_args()

    patients, progress = load_diabetes(return_X_y=True, scaled=False)
    order = np.random.default_rng([*b"order"]).permutation(len(progress))  # the same for all learners
    patients, progress = patients[order], progress[order]
    scale, middle = progress[:TRAINED].std(), progress[:TRAINED].mean()
    inputs = (patients - patients[:TRAINED].mean(axis=0)) / patients[:TRAINED].std(axis=0)
    target = (progress - middle) / scale
    weights = load("weights", ITERATION - 1) if ITERATION else first(inputs.shape[1], options.width)
    random = rng("batches")
    for _ in range(options.epochs):
        for batch in np.array_split(random.permutation(TRAINED), TRAINED // BATCH):
            downhill = slopes(weights, inputs[batch], target[batch])
            weights = [
                weight - options.rate * (np.clip(slope, -1, 1) + options.decay * weight)
                for weight, slope in zip(weights, downhill, strict=True)
            ]
    save("weights", *weights)
    errors = predict(weights, inputs[TRAINED:]) - target[TRAINED:]
    print(json.dumps({"rmse": float(scale * np.sqrt(np.mean(errors**2)))}))


def first(inputs: int, width: int) -> list[np.ndarray]:
    random = rng("weights")
    return [
        random.normal(0, 1 / np.sqrt(inputs), (inputs, width)),
        np.zeros(width),
        random.normal(0, 1 / np.sqrt(width), width),
        np.zeros(1),
    ]


def predict(weights: list[np.ndarray], inputs: np.ndarray) -> np.ndarray:
    into, offset, out, last = weights
    return np.tanh(inputs @ into + offset) @ out + last


def slopes(weights: list[np.ndarray], inputs: np.ndarray, target: np.ndarray) -> list[np.ndarray]:
    """Of half the mean squared error, by each weight."""
    into, offset, out, _ = weights
    hidden = np.tanh(inputs @ into + offset)
    wrong = (predict(weights, inputs) - target) / len(target)
    back = np.outer(wrong, out) * (1 - hidden**2)
    return [inputs.T @ back, back.sum(axis=0), hidden.T @ wrong, np.array([wrong.sum()])]


if __name__ == "__main__":
    main()
