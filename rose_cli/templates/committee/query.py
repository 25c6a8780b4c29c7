"""The query: choose the points that get a label next."""

import argparse
import random

from label import Point, pool
from train import Member, committee
from workspace import ITERATION, SEED, load, save

CHOICES = 20  # candidates per requested point: the best of all would lie side by side


def agreement(members: list[Member], point: Point) -> float:
    """How clearly the committee decides: near 0 if the votes cancel each other out."""
    return abs(sum(max(-1.0, min(1.0, member.vote(point))) for member in members))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strategy", choices=("disagreement", "random"), default="disagreement")
    parser.add_argument("--n_wanted", type=int, default=6, help="how many points to request")
    options = parser.parse_args()

    members, candidates, labels = committee(), pool(), load("labels")
    numbers = random.Random(f"{SEED} {ITERATION} query")
    unknown = [number for number in range(len(candidates)) if str(number) not in labels]
    wanted = numbers.sample(unknown, min(CHOICES * options.n_wanted, len(unknown)))
    if options.strategy == "disagreement":
        wanted.sort(key=lambda number: agreement(members, candidates[number]))
    save("wanted", {"numbers": wanted[: options.n_wanted]})


if __name__ == "__main__":
    main()
