"""The labels: look up on which side of the outline the requested points lie.

Replace it with what is expensive for you: a simulation, a measurement, a person who labels images.
"""

import json
import random

from workspace import ITERATION, SEED, load, save

FIRST_POINTS = 8
Point = tuple[float, float]


def points(purpose: str, count: int) -> list[Point]:
    """Points of the plane, the same in all iterations: those that can get a label, and those of the test."""
    numbers = random.Random(f"{SEED} {purpose}")
    return [(numbers.uniform(-1, 1), numbers.uniform(-1, 1)) for _ in range(count)]


def pool() -> list[Point]:
    return points("pool", 400)


def is_inside(point: Point) -> bool:
    """The unknown: an ellipse that is bent like a banana."""
    x, y = point
    return (x + 0.1) ** 2 + (y - 0.2 - 0.8 * x * x) ** 2 < 0.25


def main() -> None:
    labels: dict[str, bool] = load("labels", ITERATION - 1) if ITERATION else {}
    wanted: list[int] = load("wanted", ITERATION - 1)["numbers"] if ITERATION else list(range(FIRST_POINTS))
    candidates = pool()
    labels |= {str(number): is_inside(candidates[number]) for number in wanted}
    save("labels", labels)
    print(json.dumps({"labelled": len(labels)}))  # rose stores a JSON object on the last line with the iteration


if __name__ == "__main__":
    main()
