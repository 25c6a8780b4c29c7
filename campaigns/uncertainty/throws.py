"""A thrown ball with drag and wind: how far it flies, for a speed, an angle, a drag and a wind from the unit cube."""

import numpy as np

GRAVITY = 9.81
STEP_SECONDS = 0.01
#               speed m/s, angle, drag 1/m, wind m/s
LOW = np.array([10.0, np.radians(20), 0.0, -10.0])
HIGH = np.array([40.0, np.radians(70), 0.02, 10.0])


def distance(throws: np.ndarray) -> np.ndarray:
    """In metres, by the classical Runge-Kutta method; the landing between two steps is interpolated."""
    speed, angle, drag, wind = (LOW + (HIGH - LOW) * throws).T
    state = np.array([np.zeros(len(throws)), np.zeros(len(throws)), speed * np.cos(angle), speed * np.sin(angle)])

    def change(now: np.ndarray) -> np.ndarray:
        _, _, along, up = now
        relative = along - wind
        slowing = -drag * np.hypot(relative, up)
        return np.array([along, up, slowing * relative, slowing * up - GRAVITY])

    landed = np.full(len(throws), np.nan)
    while np.isnan(landed).any():
        first = change(state)
        second = change(state + STEP_SECONDS / 2 * first)
        third = change(state + STEP_SECONDS / 2 * second)
        after = state + STEP_SECONDS / 6 * (first + 2 * second + 2 * third + change(state + STEP_SECONDS * third))
        down = (after[1] < 0) & np.isnan(landed)
        share = state[1] / np.where(down, state[1] - after[1], 1)
        landed[down] = (state[0] + share * (after[0] - state[0]))[down]
        state = after
    return landed


def pool() -> np.ndarray:
    """The throws that can be asked for; the same for every learner."""
    return np.random.default_rng([*b"pool"]).random((400, 4))


def held_out() -> np.ndarray:
    return np.random.default_rng([*b"held out"]).random((200, 4))
