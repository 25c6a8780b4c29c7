"""A pole hinged on a cart, kept upright by pushing the cart left or right; many carts are simulated together.

The equations and parameters are those of Barto, Sutton and Anderson (1983); an episode ends when the pole leans by more
than 12 degrees, when the cart leaves the track, or after 500 steps. The reward is the number of steps it lasted.
"""

import numpy as np

STEPS = 500
STEP_SECONDS = 0.02
GRAVITY, PUSH = 9.8, 10.0
CART_MASS, POLE_MASS, HALF_LENGTH = 1.0, 0.1, 0.5
TRACK, LEAN = 2.4, np.radians(12)


def move(state: np.ndarray, push: np.ndarray) -> np.ndarray:
    """Advance by one step. The state of each cart: position, speed, angle and angular speed of the pole."""
    _, speed, angle, turning = state
    mass = CART_MASS + POLE_MASS
    pull = (push + POLE_MASS * HALF_LENGTH * turning**2 * np.sin(angle)) / mass
    inertia = HALF_LENGTH * (4 / 3 - POLE_MASS * np.cos(angle) ** 2 / mass)
    turn = (GRAVITY * np.sin(angle) - np.cos(angle) * pull) / inertia
    thrust = pull - POLE_MASS * HALF_LENGTH * turn * np.cos(angle) / mass
    return state + STEP_SECONDS * np.array([speed, thrust, turning, turn])


def rewards(policies: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Run one episode per policy. A policy is four weights, one per state variable; the weighted sum is the push."""
    state = rng.uniform(-0.1, 0.1, (4, len(policies)))
    lasted = np.zeros(len(policies))
    upright = np.ones(len(policies), dtype=bool)
    for _ in range(STEPS):
        push = PUSH * np.clip((policies.T * state).sum(axis=0), -1, 1)
        state = np.where(upright, move(state, push), state)
        upright &= (np.abs(state[0]) < TRACK) & (np.abs(state[2]) < LEAN)
        lasted += upright
    return lasted
