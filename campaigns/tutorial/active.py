"""The active-learning step: request labels where the members of the committee disagree."""

import argparse
import json

from surrogate import predict
from workspace import load, rng, save


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n_candidates", type=int, default=1000, help="points to choose from")
    parser.add_argument("--n_wanted", type=int, default=50, help="points to ask for")
    options = parser.parse_args()

    points, _ = load("labeled")
    random = rng("candidates")
    candidates = random.random((options.n_candidates, points.shape[1]))
    variance = predict(load("model"), candidates).var(axis=0)
    # drawn in proportion to their variance: always taking the largest would request the same corner fifty times
    wanted = random.choice(candidates, options.n_wanted, replace=False, p=variance / variance.sum())
    save("wanted", wanted)
    print(json.dumps({"uncertainty": variance.mean()}))


if __name__ == "__main__":
    main()
