"""Shared by the acquisition functions: request the unlabelled images of the pool that are worth most."""

import json

import numpy as np
from workspace import load, save

WANTED = 15


def ask_for(worth: np.ndarray) -> None:
    (labeled,) = load("labeled")
    worth[labeled] = -np.inf
    save("wanted", np.argsort(-worth, kind="stable")[:WANTED])
    print(json.dumps({"wanted_count": WANTED}))
