"""Merge the experience of all explorers with that of earlier iterations: how often each step led where."""

import json
from pathlib import Path

import numpy as np
from lake import FIELDS
from workspace import ITERATION, load, save

(counts,) = load("experience", ITERATION - 1) if ITERATION else [np.zeros((FIELDS, 4, FIELDS), dtype=int)]
known = counts.any(axis=2).sum()
for path in sorted(Path().glob(f"walk-*-{ITERATION:03d}.npz")):
    with np.load(path) as arrays:
        field, move, after = arrays["arr_0"].T
    np.add.at(counts, (field, move, after), 1)
save("experience", counts)
pairs = counts.any(axis=2)
print(
    json.dumps({"new": int(pairs.sum() - known), "visited": int(pairs.any(axis=1).sum()), "steps": int(counts.sum())})
)
