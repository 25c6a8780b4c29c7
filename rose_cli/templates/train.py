"""The training: fit a committee of smooth curves to the measurements, from wavy to stiff (kernel ridge regression)."""

import argparse

from surrogate import LENGTHS, kernel
from workspace import load, save


def solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """The solution of a system of linear equations, by elimination; no pivots, since the matrix is positive."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(len(rows)):
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for number, row in enumerate(rows):
            if number != column:
                rows[number] = [value - row[column] * above for value, above in zip(row, rows[column], strict=True)]
    return [row[-1] for row in rows]


def fit(points: list[float], values: list[float], length: float, ridge: float) -> list[float]:
    """The weights of one member of the committee, one for each point."""
    matrix = [[kernel(x, y, length) for y in points] for x in points]
    for number in range(len(points)):
        matrix[number][number] += ridge
    return solve(matrix, values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ridge", type=float, default=0.001, help="how much noise to smooth away")
    options = parser.parse_args()

    measured = load("measured")
    points, values = measured["points"], measured["values"]
    weights = [fit(points, values, length, options.ridge) for length in LENGTHS]
    save("model", {"points": points, "weights": weights})


if __name__ == "__main__":
    main()
