"""A frozen lake of 8 by 8 fields: from the top left to the goal at the bottom right, without falling into a hole.

The ice is slippery: a step goes where it should in four of five cases, else to the left or to the right of that. All
numbers follow from this table, so that the success of a policy is computed, not sampled.
"""

import numpy as np

MAP = (
    "........",
    "...O....",
    ".....O..",
    "..O.....",
    "...O..O.",
    ".OO...O.",
    ".O..O...",
    "...O...G",
)
SIZE = len(MAP)
FIELDS = SIZE * SIZE
STEPS = 100
"""An episode ends after so many."""
MOVES = ((0, -1), (1, 0), (0, 1), (-1, 0))
"""Left, down, right, up: rows count downwards."""
STRAIGHT, ASIDE = 0.8, 0.1
HOLES = frozenset(at for at in range(FIELDS) if MAP[at // SIZE][at % SIZE] == "O")
GOAL = FIELDS - 1
ENDS = HOLES | {GOAL}


def beside(field: int, move: int) -> int:
    row, column = field // SIZE + MOVES[move][0], field % SIZE + MOVES[move][1]
    return row * SIZE + column if 0 <= row < SIZE and 0 <= column < SIZE else field


def chances() -> np.ndarray:
    """The probability of each next field, by field and move."""
    table = np.zeros((FIELDS, 4, FIELDS))
    for field in range(FIELDS):
        for move in range(4):
            for turn, chance in ((0, STRAIGHT), (1, ASIDE), (-1, ASIDE)):
                after = field if field in ENDS else beside(field, (move + turn) % 4)
                table[field, move, after] += chance
    return table


CHANCES = chances()


def success(policy: np.ndarray) -> float:
    """The probability that a policy, a move for each field, reaches the goal within an episode."""
    reached = np.zeros(FIELDS)
    reached[GOAL] = 1
    steps = CHANCES[np.arange(FIELDS), policy]
    for _ in range(STEPS):
        reached = steps @ reached
    return float(reached[0])


def best_policy() -> np.ndarray:
    """By value iteration, with the true chances; a goal one step later is worth one percent less."""
    value = np.zeros(FIELDS)
    value[GOAL] = 1
    ends = np.isin(np.arange(FIELDS), list(ENDS))
    for _ in range(1000):
        value = np.where(ends, value, 0.99 * (CHANCES @ value).max(axis=1))
    return (CHANCES @ value).argmax(axis=1)
