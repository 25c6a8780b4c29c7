"""One explorer: walks by the policy, except for random moves, and keeps what happened."""

import argparse
import json

import numpy as np
from lake import FIELDS, GOAL
from learning import walk
from workspace import ITERATION, load, rng, save

BOLDNESS = {"bold": 0.6, "curious": 0.25, "careful": 0.05}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--explorer", required=True, help="bold, curious or careful, and a number if there are several")
    parser.add_argument("--episodes", type=int, default=15)
    options = parser.parse_args()

    (values,) = load("values", ITERATION - 1) if ITERATION else [np.zeros((FIELDS, 4))]
    boldness = BOLDNESS[options.explorer.partition("-")[0]]
    steps = walk(values, boldness, options.episodes, rng(options.explorer))
    save(f"walk-{options.explorer}", steps)
    print(json.dumps({"steps": len(steps), "reached": int((steps[:, 2] == GOAL).sum())}))


if __name__ == "__main__":
    main()
