"""The training: one classifier on all labelled images, and a committee of classifiers, each on a random part of them.

It saves the predictions of all models for every image, so that later steps need no model at all.
"""

import argparse
import json

import numpy as np
from label import POOL
from workspace import load, rng, save

CLASSES = 10


def similarity(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """1 for two identical images, approaching 0 the more they differ (a radial kernel)."""
    squares = (some**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * some @ others.T
    return np.exp(-0.08 * squares)


def scores(images: np.ndarray, labels: np.ndarray, everything: np.ndarray) -> np.ndarray:
    """Kernel ridge classification: for each of `everything`, close to 1 for its digit and to -1 for the others."""
    targets = 2 * np.eye(CLASSES)[labels] - 1
    weights = np.linalg.solve(similarity(images, images) + 0.1 * np.eye(len(images)), targets)
    return similarity(everything, images) @ weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=15, help="of the committee")
    options = parser.parse_args()

    images, labels = load("digits", 0)
    (labeled,) = load("labeled")
    save("scores", scores(images[labeled], labels[labeled], images))
    random = rng("committee")
    votes = np.zeros((POOL, CLASSES))
    for _ in range(options.members):
        part = np.unique(random.choice(labeled, len(labeled)))  # drawn with replacement: about two thirds of them
        votes[np.arange(POOL), scores(images[part], labels[part], images[:POOL]).argmax(axis=1)] += 1
    save("votes", votes)
    print(json.dumps({"disputed_count": int(np.sum(votes.max(axis=1) < options.members))}))


if __name__ == "__main__":
    main()
