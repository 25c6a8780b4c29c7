"""Schedules of the iteration, as PyTorch, Keras and optax know them: `cosine`, `linear`, `step`, `exp` and `plateau`.

They compute with decimal numbers as they are printed, so that both ends are exact and `step(0.1, 5, 0.1)` becomes 0.01,
not 0.010000000000000002. All arguments must be finite.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal

_DECIMALS = Context(prec=40, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999, traps=[])

SIGNIFICANT = 15
"""Digits of a value of `cosine`: the last ones of a float are noise."""


def linear(start: float, end: float, steps: float, at: float) -> float:
    """From `start` at iteration 0 to `end` at iteration `steps`, and `end` from there on.

    start + (end - start) * at / steps, as `optax.linear_schedule` and `torch.optim.lr_scheduler.LinearLR`, which takes
    factors.
    """
    share = _share(steps, at, start, end)
    if share in (0, 1):
        return float(end if share else start)
    first, last = _decimal(start), _decimal(end)
    way = _DECIMALS.multiply(_DECIMALS.subtract(last, first), _decimal(at))
    return float(_DECIMALS.add(first, _DECIMALS.divide(way, _decimal(steps))))


def cosine(start: float, end: float, steps: float, at: float) -> float:
    """Half a cosine from `start` at iteration 0 to `end` at iteration `steps`, and `end` from there on.

    end + (start - end) * (1 + cos(pi * at / steps)) / 2, as `torch.optim.lr_scheduler.CosineAnnealingLR` (`end` is
    `eta_min`, `steps` is `T_max`), `keras.optimizers.schedules.CosineDecay` and `optax.cosine_decay_schedule`; like the
    last two, it does not rise again.
    """
    share = _share(steps, at, start, end)
    if share in (0, 1):
        return float(end if share else start)
    value = end + (start - end) * (1 + math.cos(math.pi * share)) / 2
    return min(max(float(f"{value:.{SIGNIFICANT}g}"), min(start, end)), max(start, end))


def step(start: float, step_size: float, gamma: float, at: float) -> float:
    """`start`, multiplied by `gamma` every `step_size` iterations.

    start * gamma ** (at // step_size), as `torch.optim.lr_scheduler.StepLR` and, with `staircase`,
    `keras.optimizers.schedules.ExponentialDecay`.
    """
    _check_finite(start, step_size, gamma, at)
    if step_size < 1 or step_size != int(step_size):
        raise ValueError
    return _decayed(start, gamma, max(0, int(at // step_size)))


def exponential(start: float, gamma: float, at: float) -> float:
    """`start`, multiplied by `gamma` in every iteration.

    start * gamma ** at, as `torch.optim.lr_scheduler.ExponentialLR` and `optax.exponential_decay` with one
    `transition_step`.
    """
    _check_finite(start, gamma, at)
    return _decayed(start, gamma, max(0, at))


def plateau(start: float, gamma: float, patience: float, improved: str) -> float:
    """`start`, multiplied by `gamma` each time that the metric has not improved in `patience` iterations.

    As `keras.callbacks.ReduceLROnPlateau` with `min_delta` 0 and no cooldown: the count starts over after every
    reduction and every improvement. `torch.optim.lr_scheduler.ReduceLROnPlateau` waits for one iteration more.

    `improved` has a character for every finished iteration, "1" if its metric was the best so far.
    """
    _check_finite(start, gamma, patience)
    if patience < 1 or patience != int(patience):
        raise ValueError
    reductions = waited = 0
    for each in improved:
        waited = 0 if each == "1" else waited + 1
        if waited == patience:
            reductions, waited = reductions + 1, 0
    return _decayed(start, gamma, reductions)


def _share(steps: float, at: float, *others: float) -> float:
    """How much of the way is done, from 0 to 1."""
    _check_finite(steps, at, *others)
    if steps < 0:
        raise ValueError
    return 0 if at <= 0 else 1 if at >= steps else at / steps


def _decayed(start: float, gamma: float, times: float) -> float:
    if gamma <= 0:
        raise ValueError
    factor = _DECIMALS.power(_decimal(gamma), _decimal(times))
    return float(_DECIMALS.multiply(_decimal(start), factor))


def _check_finite(*values: float) -> None:
    for value in values:
        if not -math.inf < value < math.inf:
            raise ValueError


def _decimal(value: int | float) -> Decimal:  # noqa: PYI041 - an integer can be too large for a float
    return _DECIMALS.create_decimal(int(value) if isinstance(value, int) else repr(float(value)))
