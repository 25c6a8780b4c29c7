"""The update: an evolution strategy. Move the policy towards the changes that all replicas found rewarding."""

import argparse
import json
from pathlib import Path

import numpy as np
from workspace import ITERATION, load, save


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=float, default=1.0, help="step size")
    options = parser.parse_args()

    policy = load("policy", ITERATION - 1)[0] if ITERATION else np.zeros(4)
    found = sorted(Path().glob(f"rollouts-*-{ITERATION:03d}.npz"))  # one from each replica
    changes, rewards = map(np.concatenate, zip(*(np.load(path).values() for path in found), strict=True))
    ranks = rewards.argsort(kind="stable").argsort() / (len(rewards) - 1) - 0.5  # the order counts, not the amount
    policy = policy + options.step * (ranks @ changes) / len(rewards)
    save("policy", policy)
    print(json.dumps({"rollouts": len(rewards), "weights": policy.round(3).tolist()}))


if __name__ == "__main__":
    main()
