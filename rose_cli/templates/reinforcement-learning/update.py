"""The update: move the policy to the mean of the best trials (the cross-entropy method)."""

import argparse
from pathlib import Path
from statistics import mean, stdev

from workspace import ITERATION, load, save

ELITE = 4  # how many of the best trials count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=("cross-entropy", "random-search"), default="cross-entropy")
    parser.add_argument("--spread", type=float, help="how far to vary it next (default: as the best trials do)")
    options = parser.parse_args()

    names = sorted(path.name.partition("-")[0] for path in Path().glob(f"trials*-{ITERATION:03d}.json"))
    trials = [trial for name in names for trial in load(name)["trials"]]
    trials.sort(key=lambda trial: trial["steps"], reverse=True)
    if options.method == "random-search":  # learns nothing: it goes on drawing at random and remembers the best
        earlier = [load("policy", ITERATION - 1)["best"]] if ITERATION else []
        best = max([*earlier, trials[0]], key=lambda trial: trial["steps"])
        save("policy", {"mean": [0.0] * 4, "spread": [1.0] * 4, "best": best, "play": best["policy"]})
        return
    weights = list(zip(*(trial["policy"] for trial in trials[:ELITE]), strict=True))
    middle = [mean(each) for each in weights]
    spread = [stdev(each) + 0.05 if options.spread is None else options.spread for each in weights]
    save("policy", {"mean": middle, "spread": spread, "play": middle})


if __name__ == "__main__":
    main()
