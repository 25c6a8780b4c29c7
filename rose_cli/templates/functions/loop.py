"""The tasks of campaign.yaml. Each function gets its options by name, and what else it names: `iteration`, `seed`, ….

A task writes the file of its iteration, and reads those of earlier ones: interrupted, it can simply run again.
"""

import json
import math
import random
from itertools import pairwise
from pathlib import Path

FINE = 10_000


def curve(x: float) -> float:
    """The unknown curve, for x from 0 to 1. Replace it with your own measurement."""
    return 4 * (x - 0.6) ** 2 + 0.3 * math.sin(12 * x)


def measured_before(workspace: Path, iteration: int) -> list[tuple[float, float]]:
    """The points and values of the iterations so far, by point."""
    files = [workspace / f"measured-{number}.json" for number in range(iteration)]
    return sorted((x, y) for file in files for x, y in json.loads(file.read_text()))


def propose(iteration: int, seed: int, workspace: Path, strategy: str, count: int) -> dict:
    """The points to measure next: halve the intervals beside the lowest point, or choose at random."""
    if iteration == 0:
        return {"points": [0.0, 0.25, 0.5, 0.75, 1.0]}
    numbers = random.Random(f"{seed}-{iteration}")
    if strategy == "random":
        return {"points": [numbers.random() for _ in range(count)]}
    known = measured_before(workspace, iteration)
    lowest = min(range(len(known)), key=lambda at: known[at][1])
    around = [x for x, _ in known[max(0, lowest - 1) : lowest + 2]]
    middles = [(left + right) / 2 for left, right in pairwise(around)]
    return {"points": [*middles, *(numbers.uniform(around[0], around[-1]) for _ in range(count))][:count]}


def measure(results: dict, iteration: int, workspace: Path) -> dict:
    """Measure the curve at the points that `propose` returned; what this returns is stored with the iteration."""
    points = results["propose"]["points"]
    (workspace / f"measured-{iteration}.json").write_text(json.dumps([(x, curve(x)) for x in points]))
    known = measured_before(workspace, iteration + 1)
    x, y = min(known, key=lambda point: point[1])
    return {"lowest_at": x, "lowest": y, "measurements": len(known)}


def error(results: dict) -> float:
    """How far the lowest value that was measured is above that of the curve."""
    return results["measure"]["lowest"] - min(curve(number / FINE) for number in range(FINE + 1))
