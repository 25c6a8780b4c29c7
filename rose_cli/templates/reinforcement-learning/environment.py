"""Try variations of the current policy in the environment. Each replica tries its own, all at the same time."""

import argparse
import json
import random
from statistics import mean

from cartpole import play
from workspace import ITERATION, SEED, load, save

EPISODES = 2  # for each variation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replica", type=int, default=0)
    parser.add_argument("--variations", type=int, default=4)
    options = parser.parse_args()

    policy = load("policy", ITERATION - 1) if ITERATION else {"mean": [0.0] * 4, "spread": [1.0] * 4}
    numbers = random.Random(f"{SEED} {ITERATION} {options.replica}")
    trials = []
    for _ in range(options.variations):
        tried = [numbers.gauss(*each) for each in zip(policy["mean"], policy["spread"], strict=True)]
        trials.append({"policy": tried, "steps": mean(play(tried, numbers) for _ in range(EPISODES))})
    save(f"trials{options.replica}", {"trials": trials})
    print(json.dumps({"best_trial": max(trial["steps"] for trial in trials)}))  # the last line: rose stores it


if __name__ == "__main__":
    main()
