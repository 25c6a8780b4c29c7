"""The criterion: the error of the ensemble's mean on throws that nobody learns from, in metres."""

import numpy as np
from labels import predictions
from throws import distance, held_out, pool

mean = predictions().mean(axis=0)[len(pool()) :]
print(np.sqrt(np.mean((mean - distance(held_out())) ** 2)))
