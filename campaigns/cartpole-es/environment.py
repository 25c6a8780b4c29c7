"""The environment: try out the policy with small random changes. Each replica tries its own changes."""

import argparse
import json

import numpy as np
from cartpole import rewards
from workspace import ITERATION, load, rng, save


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("replica", help="the number of this replica")
    parser.add_argument("--changes", type=int, default=2, help="each is tried in both directions")
    parser.add_argument("--size", type=float, default=0.5, help="standard deviation of the changes")
    options = parser.parse_args()

    policy = load("policy", ITERATION - 1)[0] if ITERATION else np.zeros(4)
    random = rng(f"replica {options.replica}")
    changes = random.normal(size=(options.changes, 4))
    changes = np.vstack([changes, -changes])
    got = rewards(policy + options.size * changes, random)
    save(f"rollouts-{options.replica}", changes, got)
    print(json.dumps({"rollout_reward": got.mean()}))


if __name__ == "__main__":
    main()
