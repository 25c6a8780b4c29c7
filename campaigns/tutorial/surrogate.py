"""The surrogate: a committee of small neural networks. Where its members disagree, it is uncertain.

The weights are a list of arrays; the first axis of each is the member, so that numpy works on all members at once.
"""

import numpy as np

MEMBERS = 5
HIDDEN = 32


def new_committee(n_features: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Two hidden layers; every member starts from different weights."""
    weights = []
    for inputs, outputs in ((n_features, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 1)):
        weights.append(rng.normal(0, 1 / np.sqrt(inputs), (MEMBERS, inputs, outputs)))
        weights.append(rng.normal(0, 0.3, (MEMBERS, 1, outputs)))
    return weights


def layers(weights: list[np.ndarray], points: np.ndarray) -> list[np.ndarray]:
    """The activations of all layers for points in the unit cube: the input first, the prediction last."""
    w1, b1, w2, b2, w3, b3 = weights
    x = 2 * points - 1
    first = np.tanh(x @ w1 + b1)
    second = np.tanh(first @ w2 + b2)
    return [x, first, second, second @ w3 + b3]


def predict(weights: list[np.ndarray], points: np.ndarray) -> np.ndarray:
    """The prediction of each member for each point: an array of members by points."""
    return layers(weights, points)[-1][..., 0]


def transposed(matrices: np.ndarray) -> np.ndarray:
    return np.swapaxes(matrices, 1, 2)


def gradients(weights: list[np.ndarray], points: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """The gradient of the mean squared error by each weight (back-propagation); every member has its own batch."""
    x, first, second, prediction = layers(weights, points)
    slope = 2 * (prediction - labels[..., None]) / labels.shape[1]
    slope2 = slope @ transposed(weights[4]) * (1 - second**2)
    slope1 = slope2 @ transposed(weights[2]) * (1 - first**2)
    found = []
    for below, above in ((x, slope1), (first, slope2), (second, slope)):
        found += [transposed(below) @ above, above.sum(axis=1, keepdims=True)]
    return found


def fit(
    weights: list[np.ndarray],
    points: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    *,
    learning_rate: float,
    batch_size: int,
    epochs: int,
) -> None:
    """Continue training, in place, with Adam; every member sees the data in a different order."""
    mean, square = [0 * w for w in weights], [0 * w for w in weights]
    step = 0
    for _ in range(epochs):
        order = rng.permuted(np.tile(np.arange(len(points)), (MEMBERS, 1)), axis=1)
        for begin in range(0, len(points), batch_size):
            batch = order[:, begin : begin + batch_size]
            step += 1
            for k, slope in enumerate(gradients(weights, points[batch], labels[batch])):
                mean[k] += 0.1 * (slope - mean[k])
                square[k] += 0.001 * (slope**2 - square[k])
                scale = np.sqrt(square[k] / (1 - 0.999**step)) + 1e-8
                weights[k] -= learning_rate * mean[k] / (1 - 0.9**step) / scale
