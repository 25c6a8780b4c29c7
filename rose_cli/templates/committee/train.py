"""One member of the committee: waves of random direction and phase, weighted so that their sum fits the labels.

Each replica runs this program at the same time, with the same labels and other random numbers.
"""

import argparse
import json
import math
import os
import random
from pathlib import Path

from label import Point, pool
from workspace import ITERATION, SEED, load, save

REPLICA = int(os.environ.get("ROSE_REPLICA", "0"))
WAVES = 40  # per member

Wave = tuple[float, float, float]


class Member:
    """A vote for each point: above 0 means inside."""

    def __init__(self, waves: list[Wave], weights: list[float]) -> None:
        self.waves = waves
        self.weights = weights

    def features(self, point: Point) -> list[float]:
        return [math.sin(a * point[0] + b * point[1] + phase) for a, b, phase in self.waves]

    def vote(self, point: Point) -> float:
        return sum(map(float.__mul__, self.weights, self.features(point)))


def fit(member: Member, examples: list[tuple[Point, bool]], ridge: float, rounds: int = 60) -> None:
    """Least squares by coordinate descent: one weight after the other, until nothing changes much."""
    columns = list(zip(*(member.features(point) for point, _ in examples), strict=True))
    rest = [1.0 if label else -1.0 for _, label in examples]
    for _ in range(rounds):
        for number, column in enumerate(columns):
            old = member.weights[number]
            norm = sum(x * x for x in column)
            new = (sum(map(float.__mul__, column, rest)) + old * norm) / (norm + ridge)
            member.weights[number] = new
            rest = [r - (new - old) * x for r, x in zip(rest, column, strict=True)]


def committee() -> list[Member]:
    """All members of this iteration, however many replicas there are."""
    names = sorted(path.name.partition("-")[0] for path in Path().glob(f"member*-{ITERATION:03d}.json"))
    return [Member(**load(name)) for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ridge", type=float, default=0.1, help="how smooth the outline is")
    options = parser.parse_args()

    numbers = random.Random(f"{SEED} {ITERATION} {REPLICA}")
    waves = [(numbers.gauss(0, 3), numbers.gauss(0, 3), numbers.uniform(0, 2 * math.pi)) for _ in range(WAVES)]
    member = Member(waves, [0.0] * WAVES)
    candidates = pool()
    examples = [(candidates[int(number)], label) for number, label in load("labels").items()]
    fit(member, examples, options.ridge)
    save(f"member{REPLICA}", {"waves": member.waves, "weights": member.weights})
    right = sum((member.vote(point) > 0) == label for point, label in examples)
    print(json.dumps({"fitted": right / len(examples)}))


if __name__ == "__main__":
    main()
