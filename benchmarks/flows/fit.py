"""A task whose time is that of its imports: it fits a small ridge regression and prints a number.

With the word `numpy` it does without scikit-learn.
"""

import sys


def main(only_numpy: bool = False) -> float:
    import numpy as np

    numbers = np.random.default_rng(7)
    inputs = numbers.normal(size=(200, 5))
    wanted = inputs @ np.arange(5.0) + numbers.normal(scale=0.1, size=200)
    if only_numpy:
        return float(np.linalg.solve(inputs.T @ inputs + np.eye(5), inputs.T @ wanted).sum())
    from sklearn.linear_model import Ridge

    return float(Ridge().fit(inputs, wanted).score(inputs, wanted))


if __name__ == "__main__":
    print(repr(main("numpy" in sys.argv)))
