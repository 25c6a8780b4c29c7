"""How long unequal learners take side by side, on a simulated clock, against what no order could beat."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest

from tests.loop.simulation import Fate, Try, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LEARNERS = 16

ALLOWED = {"mixed": 1.05, "one is slow": 1.05, "one is long": 1.1}
"""Against the lower bound. A slot is not kept for a learner: between two tasks of the longest one, another gets it."""


def _iterations(kind: str, draw: random.Random) -> list[int]:
    if kind == "one is long":
        return [*(draw.randint(5, 12) for _ in range(LEARNERS - 1)), 36]
    return [20] * LEARNERS if kind == "one is slow" else [draw.randint(4, 24) for _ in range(LEARNERS)]


def _paces(kind: str, draw: random.Random) -> list[float]:
    if kind == "one is slow":
        return [*(draw.uniform(0.8, 1.2) for _ in range(LEARNERS - 1)), 4.0]
    return [draw.lognormvariate(0, 0.5) if kind == "mixed" else 1.0 for _ in range(LEARNERS)]


@pytest.fixture(autouse=True)
def _threads_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """How soon threads of the machine get on decides which of several learners asks for a slot first."""

    async def run(function: Callable[..., object], *arguments: object) -> object:
        return function(*arguments)

    monkeypatch.setattr(anyio.to_thread, "run_sync", run)


@pytest.mark.parametrize("slots", [2, 4, 8])
@pytest.mark.parametrize("kind", ALLOWED)
def test_unequal_learners_take_hardly_longer_than_they_must(kind: str, slots: int, tmp_path: Path) -> None:
    draw = random.Random(f"{kind} {slots}")
    iterations, paces = _iterations(kind, draw), _paces(kind, draw)
    seconds = [
        [pace * draw.lognormvariate(0, 0.2) for _ in range(n)] for n, pace in zip(iterations, paces, strict=True)
    ]
    learners = ", ".join(f"{{name: l{number}, max_iter: {n}}}" for number, n in enumerate(iterations))
    text = f"{{max_iter: 1, tasks: {{s: {{executable: 'true'}}}}, learners: [{learners}]}}"

    def script(tried: Try) -> Fate:
        return Fate(seconds[int(tried.learner[1:])][tried.iteration])

    world = World.of(tmp_path / "run", text, script, cores=slots)
    world.run()
    longest, together = max(map(sum, seconds)), sum(map(sum, seconds)) / slots
    assert world.most_under_way == slots
    assert world.seconds <= ALLOWED[kind] * max(longest, together)
