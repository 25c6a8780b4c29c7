"""Margin acquisition: an image is worth a label if the classifier hesitates between the two most likely digits."""

import numpy as np
from acquisition import ask_for
from label import POOL
from workspace import load

(scores,) = load("scores")
ordered = np.sort(scores[:POOL], axis=1)
ask_for(ordered[:, -2] - ordered[:, -1])
