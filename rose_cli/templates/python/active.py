"""The active-learning step: choose the points to measure next."""

import argparse
import json

from surrogate import Surrogate
from workspace import load, random_numbers, save

CANDIDATES = 200


def most_uncertain(surrogate: Surrogate, candidates: list[float], n_wanted: int) -> list[float]:
    """The candidates on which the committee disagrees most, away from measured points and from each other."""
    uncertainty = {x: surrogate.uncertainty(x) for x in candidates}
    wanted: list[float] = []
    for _ in range(n_wanted):
        taken = surrogate.points + wanted
        wanted.append(max(candidates, key=lambda x: uncertainty[x] * min(abs(x - y) for y in taken)))
    return wanted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strategy", choices=("committee", "random"), default="committee")
    parser.add_argument("--n_wanted", type=int, default=3, help="how many points to request")
    options = parser.parse_args()

    numbers = random_numbers("candidates")
    candidates = [numbers.random() for _ in range(CANDIDATES)]
    surrogate = Surrogate(load("model"))
    if options.strategy == "committee":
        wanted = most_uncertain(surrogate, candidates, options.n_wanted)
    else:
        wanted = candidates[: options.n_wanted]
    save("wanted", {"points": wanted})
    print(json.dumps({"uncertainty": max(map(surrogate.uncertainty, candidates))}))


if __name__ == "__main__":
    main()
