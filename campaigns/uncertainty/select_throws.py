"""The throws to compute next: where the surrogates disagree most, or random ones."""

import argparse
import json

import numpy as np
from labels import numbers, predictions
from throws import pool
from workspace import rng

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--count", type=int, default=6)
parser.add_argument("--strategy", choices=["doubt", "random"], default="doubt")
options = parser.parse_args()

known, distances = numbers()
spread = predictions()[:, : len(pool())].std(axis=0)
open_ = np.setdiff1d(np.arange(len(pool())), known)
if options.strategy == "random":
    wanted = rng("select").choice(open_, options.count, replace=False)
else:  # in proportion to the square of the disagreement: the largest ones alone would all be in one corner
    weights = spread[open_] ** 2
    wanted = rng("select").choice(open_, options.count, replace=False, p=weights / weights.sum())
doubt = float(np.median(spread) / distances.std())
print(json.dumps({"selected": [str(each) for each in wanted], "doubt": doubt, "labels": len(known)}))
