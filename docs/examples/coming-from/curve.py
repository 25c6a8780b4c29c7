"""Learn a curve from few measurements: one program for the four tasks of an active-learning loop.

    python curve.py measure|fit|choose|error --iteration N [--count N] [--folder DIR]

Each task reads what earlier ones have written to the folder, and writes a file of its iteration. `error` prints the
mean squared error, the criterion.
"""

import argparse
import json
import math
from pathlib import Path

GRID = [number / 200 for number in range(201)]
START = [0.0, 0.25, 0.5, 0.75, 1.0]
APART = 0.03


def curve(x: float) -> float:
    """The unknown curve: a wave with a narrow peak on it."""
    return math.sin(5 * x) + math.exp(-(((x - 0.7) / 0.06) ** 2))


def measure(folder: Path, iteration: int, _count: int) -> None:
    """Measure where the iteration before wanted it."""
    known, wanted = [], START
    if iteration > 0:
        known = load(folder, "measured", iteration - 1)
        wanted = load(folder, "wanted", iteration - 1)
    save(folder, "measured", iteration, sorted(known + [[x, curve(x)] for x in wanted]))


def fit(folder: Path, iteration: int, _count: int) -> None:
    """Two surrogates: straight lines between neighbours, and parabolas through the three nearest points."""
    known = load(folder, "measured", iteration)
    models = {name: [model(known, x) for x in GRID] for name, model in (("lines", line), ("parabolas", parabola))}
    save(folder, "model", iteration, models)


def line(known: list, x: float) -> float:
    at = next(n for n in range(1, len(known)) if x <= known[n][0])
    (x0, y0), (x1, y1) = known[at - 1], known[at]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def parabola(known: list, x: float) -> float:
    near = sorted(known, key=lambda point: (abs(point[0] - x), point[0]))[:3]
    return sum(y * math.prod((x - other) / (own - other) for other, _ in near if other != own) for own, y in near)


def choose(folder: Path, iteration: int, count: int) -> None:
    """Where the surrogates disagree most, but not beside what is measured already."""
    model = load(folder, "model", iteration)
    taken = [x for x, _ in load(folder, "measured", iteration)]
    doubts = [(-abs(a - b), x) for a, b, x in zip(model["lines"], model["parabolas"], GRID, strict=True)]
    wanted: list[float] = []
    for _, x in sorted(doubts):
        if len(wanted) < count and all(abs(x - other) >= APART for other in taken + wanted):
            wanted.append(x)
    save(folder, "wanted", iteration, wanted)


def error(folder: Path, iteration: int, _count: int) -> None:
    model = load(folder, "model", iteration)["parabolas"]
    value = sum((y - curve(x)) ** 2 for x, y in zip(GRID, model, strict=True)) / len(GRID)
    save(folder, "error", iteration, value)
    print(value)


def load(folder: Path, name: str, iteration: int) -> list | dict:
    return json.loads((folder / f"{name}-{iteration}.json").read_text())


def save(folder: Path, name: str, iteration: int, value: object) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}-{iteration}.json").write_text(json.dumps(value))


TASKS = {"measure": measure, "fit": fit, "choose": choose, "error": error}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--iteration", type=int, required=True)
    parser.add_argument("--count", type=int, default=1, help="points to ask for")
    parser.add_argument("--folder", type=Path, default=Path())
    options = parser.parse_args()
    TASKS[options.task](options.folder, options.iteration, options.count)
