"""Train one algorithm on the digits that are labelled so far, and report its accuracy on digits kept for that."""

import argparse
import json
import os

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

HELD_OUT = 600


def algorithm(name: str, seed: int) -> ClassifierMixin:
    made = {
        "bayes": lambda: GaussianNB(var_smoothing=1e-2),
        "forest": lambda: RandomForestClassifier(50, random_state=seed),
        "logistic": lambda: LogisticRegression(C=0.1, max_iter=500),
        "neighbours": lambda: KNeighborsClassifier(3),
        "perceptron": lambda: Perceptron(random_state=seed),
        "svm": lambda: SVC(C=10, gamma=0.02),
        "tree": lambda: DecisionTreeClassifier(random_state=seed),
    }
    if name == "voting":
        return VotingClassifier([(each, made[each]()) for each in ("bayes", "logistic", "neighbours")])
    return made[name]()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--algorithm", required=True)
    parser.add_argument("--batch", type=int, default=40, help="labels that each iteration adds")
    options = parser.parse_args()

    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng([*b"order"]).permutation(len(digits))  # the same for all algorithms
    images, digits = images[order] / 16, digits[order]
    count = options.batch * (int(os.environ.get("ROSE_ITERATION", "0")) + 1)
    model = algorithm(options.algorithm, int(os.environ.get("ROSE_SEED", "0")) % 2**31)
    model.fit(images[:count], digits[:count])
    accuracy = model.score(images[-HELD_OUT:], digits[-HELD_OUT:])
    print(json.dumps({"labels": count, "accuracy": accuracy}))


if __name__ == "__main__":
    main()
