"""Improve the policy with the merged experience."""

import argparse
import json

from learning import learn
from workspace import load, save

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument(
    "--optimism", type=float, default=0.6, help="what a move that was hardly tried counts for, at least"
)
options = parser.parse_args()

(counts,) = load("experience")
values = learn(counts, options.optimism)
save("values", values)
print(json.dumps({"worth_of_start": float(values[0].max())}))
