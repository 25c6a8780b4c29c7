"""Unseeded generators: no two tasks draw the same numbers."""
# run: python random_unseeded.py
# differs

import multiprocessing
import random
import secrets
import tempfile
import uuid

import numpy as np
from scipy import stats
from sklearn.utils import check_random_state, shuffle

print(random.random())
print(random.gauss(0, 1))
print(np.random.rand())
print(np.random.default_rng().random())
print(np.random.RandomState().rand())
print(np.random.mtrand._rand.rand())
print(check_random_state(None).rand())
print(shuffle(list(range(50))))
print(stats.norm.rvs())
print(uuid.uuid4(), uuid.uuid1())
print(tempfile.mktemp())
print(next(tempfile._get_candidate_names()))
print(secrets.token_hex(8))
print(bytes(multiprocessing.current_process().authkey))
print(random.SystemRandom().random())
print(np.random.get_state()[1][:4])
print(random.getstate()[1][:4])
