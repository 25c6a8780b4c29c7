"""The environment: a pole on a cart, in gusts of wind, and a policy that pushes the cart to keep the pole upright."""

import math
import random

MAX_STEPS = 300
WIND = 3.0

Policy = list[float]
"""How hard to push for each metre, metre per second, radian and radian per second; all zero: not at all."""


def play(policy: Policy, numbers: random.Random) -> int:
    """How many steps the pole stays up; the start and the wind are random."""
    x, speed = numbers.uniform(-0.8, 0.8), numbers.uniform(-0.3, 0.3)
    angle, turn = numbers.uniform(-0.12, 0.12), numbers.uniform(-0.3, 0.3)
    for done in range(MAX_STEPS):
        push = 10 * sum(weight * state for weight, state in zip(policy, (x, speed, angle, turn), strict=True))
        force = max(-10.0, min(10.0, push)) + numbers.gauss(0, WIND)
        pull = (force + 0.05 * turn**2 * math.sin(angle)) / 1.1
        turning = 9.8 * math.sin(angle) - math.cos(angle) * pull
        turning /= 0.5 * (4 / 3 - 0.1 * math.cos(angle) ** 2 / 1.1)
        x, speed = x + 0.02 * speed, speed + 0.02 * (pull - 0.05 * turning * math.cos(angle) / 1.1)
        angle, turn = angle + 0.02 * turn, turn + 0.02 * turning
        if abs(x) > 2.4 or abs(angle) > 0.2:
            return done
    return MAX_STEPS
