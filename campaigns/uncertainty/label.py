"""Compute one throw of the pool."""

import argparse
import json

import numpy as np
from throws import distance, pool
from workspace import save

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("throw", type=int, help="its number in the pool")
throw = parser.parse_args().throw
value = distance(pool()[[throw]])
save(f"label-{throw}", np.array([throw]), value)
print(json.dumps({"distance": float(value[0])}))
