"""A short, seeded part of every attack; `make torture` runs them at length."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.torture.kills import kill_again_and_again

if TYPE_CHECKING:
    from pathlib import Path


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    report = kill_again_and_again(tmp_path, random.Random(4), kills=8)
    assert report.findings == [], report.line()
