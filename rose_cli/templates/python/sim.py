"""The simulation: measure the unknown curve at the points that the previous iteration requested.

Replace it with your own program: a solver, a parallel code, an instrument.
"""

import argparse
import json
import math

from workspace import ITERATION, load, random_numbers, save

FIRST_POINTS = 4


def curve(x: float) -> float:
    """The unknown function, for x from 0 to 1: a wave with a narrow peak on it."""
    return math.sin(5 * x) + math.exp(-(((x - 0.7) / 0.06) ** 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--noise_level", type=float, default=0.0, help="standard deviation of the measurement")
    options = parser.parse_args()

    if ITERATION == 0:
        points, values = [], []
        wanted = [number / (FIRST_POINTS - 1) for number in range(FIRST_POINTS)]
    else:
        points, values = load("measured", ITERATION - 1).values()
        wanted = load("wanted", ITERATION - 1)["points"]
    noise = random_numbers("noise")
    values += [curve(x) + noise.gauss(0, options.noise_level) for x in wanted]
    save("measured", {"points": points + wanted, "values": values})
    print(json.dumps({"measured": len(values)}))  # rose stores a JSON object on the last line with the iteration


if __name__ == "__main__":
    main()
