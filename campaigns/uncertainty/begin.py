"""The first throws, at random: their numbers in the pool."""

import argparse
import json

from throws import pool
from workspace import rng

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--count", type=int, default=12)
count = parser.parse_args().count
print(json.dumps({"selected": [str(each) for each in rng("begin").choice(len(pool()), count, replace=False)]}))
