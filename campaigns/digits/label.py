"""The oracle: label the images that the previous iteration requested.

1,797 images of written digits, 8 by 8 pixels (scikit-learn's `load_digits`, from the UCI repository); the label of
each is known, but a learner sees only those that it requested. 1,000 images are the pool; the others are the test set.
"""

import argparse
import json

import numpy as np
from workspace import ITERATION, load, save

POOL = 1000


def begin(start: int, count: int) -> np.ndarray:
    """Iteration 0: put the images into the workspace and request a few at random, the same for every learner."""
    from sklearn.datasets import load_digits  # slow to import, and needed only once

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng([*b"digits"]).permutation(len(images))
    save("digits", images[order] / 16, labels[order])
    return np.random.default_rng([start, *b"start"]).choice(POOL, count, replace=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--start", type=int, default=1, help="which images to start from")
    parser.add_argument("--n_start", type=int, default=30, help="how many images to start from")
    options = parser.parse_args()

    if ITERATION == 0:
        labeled = begin(options.start, options.n_start)
    else:
        labeled = np.concatenate([*load("labeled", ITERATION - 1), *load("wanted", ITERATION - 1)])
    save("labeled", labeled)
    print(json.dumps({"labeled_count": len(labeled)}))


if __name__ == "__main__":
    main()
