"""The training: fit a committee of smooth curves, from flexible to stiff, to the measurements (kernel ridge)."""

import argparse

from surrogate import LENGTHS, kernel
from workspace import load, save


def solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve a system of linear equations by elimination; it needs no pivoting, as the matrix is positive definite."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(len(rows)):
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for number, row in enumerate(rows):
            if number != column:
                rows[number] = [value - row[column] * above for value, above in zip(row, rows[column], strict=True)]
    return [row[-1] for row in rows]


def fit(points: list[float], values: list[float], length: float, ridge: float) -> list[float]:
    """The weights of one committee member, one per point."""
    matrix = [[kernel(x, y, length) for y in points] for x in points]
    for number in range(len(points)):
        matrix[number][number] += ridge
    return solve(matrix, values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ridge", type=float, default=0.001, help="how much noise to smooth out")
    options = parser.parse_args()

    measured = load("measured")
    points, values = measured["points"], measured["values"]
    weights = [fit(points, values, length, options.ridge) for length in LENGTHS]
    save("model", {"points": points, "weights": weights})


if __name__ == "__main__":
    main()
