"""The choice: add up the parts of all ranks, and decide how many samples each cell gets next."""

import argparse
import json
from pathlib import Path

from sample import CELLS
from workspace import ITERATION, load, save

Sums = list[list[float]]
"""For each cell: how many samples, their sum, and the sum of their squares."""


def variance(cell: list[float]) -> float:
    count, total, squares = cell
    return max(0.0, squares - total * total / count) / (count - 1)


def estimate(sums: Sums) -> tuple[float, float]:
    """The integral, and its standard error in per cent."""
    integral = sum(total / count for count, total, _ in sums) / CELLS**2
    error: float = sum(variance(cell) / cell[0] for cell in sums) ** 0.5 / CELLS**2
    return integral, 100 * error / integral


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strategy", choices=("variance", "even"), default="variance")
    parser.add_argument("--n_samples", type=int, default=1280, help="how many samples to request, over all cells")
    options = parser.parse_args()

    earlier: list[Sums] = [load("sums", ITERATION - 1)["sums"]] if ITERATION else []
    parts = [load(path.name.partition("-")[0])["sums"] for path in sorted(Path().glob(f"part*-{ITERATION:03d}.json"))]
    sums = [[sum(each) for each in zip(*cells, strict=True)] for cells in zip(*earlier, *parts, strict=True)]
    save("sums", {"sums": sums})

    spread = [variance(cell) ** 0.5 if options.strategy == "variance" else 1.0 for cell in sums]
    save("wanted", {"samples": [round(options.n_samples * each / sum(spread)) for each in spread]})
    integral, error = estimate(sums)
    print(json.dumps({"integral": integral, "error": error, "ranks": len(parts)}))  # rose stores the last line


if __name__ == "__main__":
    main()
