"""The surrogate: a committee of curves. Where its members disagree, it is uncertain."""

import math
from statistics import mean, stdev
from typing import Any

LENGTHS = (0.05, 0.07, 0.1)  # the length scale of each member


def kernel(x: float, y: float, length: float) -> float:
    """How much a measurement at y says about x: 1 at distance zero, almost 0 beyond three length scales."""
    return math.exp(-(((x - y) / length) ** 2) / 2)


class Surrogate:
    """`model` holds the measured points and, for each member, the weight that training gave to each point."""

    def __init__(self, model: dict[str, Any]) -> None:
        self.points: list[float] = model["points"]
        self._weights: list[list[float]] = model["weights"]

    def members(self, x: float) -> list[float]:
        """The prediction of each member at x."""
        return [
            sum(weight * kernel(x, point, length) for weight, point in zip(weights, self.points, strict=True))
            for weights, length in zip(self._weights, LENGTHS, strict=True)
        ]

    def predict(self, x: float) -> float:
        return mean(self.members(x))

    def uncertainty(self, x: float) -> float:
        return stdev(self.members(x))
