"""Query by committee: an image is worth a label if the members vote for different digits (entropy of the votes)."""

import numpy as np
from acquisition import ask_for
from workspace import load, rng

(votes,) = load("votes")
share = votes / votes.sum(axis=1, keepdims=True)
entropy = -np.sum(share * np.log(np.where(share > 0, share, 1)), axis=1)
ask_for(entropy + 1e-6 * rng("ties").random(len(votes)))
