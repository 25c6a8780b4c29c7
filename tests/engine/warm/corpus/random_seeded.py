"""Seeded generators give the same numbers, also after others have drawn from them in another task."""
# run: python random_seeded.py 5

import random
import sys

import numpy as np

seed = int(sys.argv[1])
random.seed(seed)
np.random.seed(seed)
print(random.random(), random.gauss(0, 1), random.sample(range(100), 5), np.random.rand(3), np.random.normal(size=2))
print(np.random.RandomState(seed).permutation(9), np.random.default_rng(seed).random(2))
print(np.random.get_state()[0], np.random.get_state()[2:])
