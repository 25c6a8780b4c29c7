"""What explorers do on the lake, and what a policy learns from their experience."""

import numpy as np
from lake import CHANCES, ENDS, FIELDS, GOAL, STEPS

DISCOUNT = 0.99
IS_END = np.isin(np.arange(FIELDS), list(ENDS))


def walk(values: np.ndarray, boldness: float, episodes: int, random: np.random.Generator) -> np.ndarray:
    """The steps (field, move, next field) of some episodes: by the policy, except for random moves."""
    fields, steps = np.zeros(episodes, dtype=int), []
    for _ in range(STEPS):
        fields = fields[~IS_END[fields]]
        best = (values[fields] + 1e-9 * random.random((len(fields), 4))).argmax(axis=1)  # equal ones at random
        moves = np.where(random.random(len(fields)) < boldness, random.integers(4, size=len(fields)), best)
        after = (CHANCES[fields, moves].cumsum(axis=1) > random.random((len(fields), 1))).argmax(axis=1)
        steps.append(np.column_stack([fields, moves, after]))
        fields = after
    return np.vstack(steps)


def learn(counts: np.ndarray, optimism: float) -> np.ndarray:
    """The value of each move in each field: value iteration with what was seen in place of the true chances.

    A move that was tried fewer than three times counts as at least `optimism`, so that explorers go and look.
    """
    tried = counts.sum(axis=2)
    seen = counts / np.maximum(tried, 1)[:, :, None]
    worth = np.zeros(FIELDS)
    worth[GOAL] = 1
    values = np.zeros((FIELDS, 4))
    for _ in range(300):
        values = np.where(tried < 3, np.maximum(optimism, DISCOUNT * seen @ worth), DISCOUNT * seen @ worth)
        worth = np.where(IS_END, worth, values.max(axis=1))
    return values
