"""The training: continue to train the surrogate of the previous iteration on all labels collected so far."""

import argparse
import json

import numpy as np
from surrogate import fit, new_committee, predict
from workspace import ITERATION, load, rng, save


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learning_rate", type=float, default=0.01)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()

    points, labels = load("labeled")
    weights = load("model", ITERATION - 1) if ITERATION else new_committee(points.shape[1], rng("weights"))
    fit(weights, points, labels, rng("order"), **vars(options))
    save("model", *weights)
    print(json.dumps({"loss": np.mean((predict(weights, points) - labels) ** 2)}))


if __name__ == "__main__":
    main()
