"""What the parts of a session share: here, who inspects a workspace."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from rose_cli.loop import session, step
from tests.loop.simulation import Fate, World

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("quick_seconds", "is_inline"), [(1000.0, True), (0.0, False)])
def test_a_workspace_is_inspected_in_a_thread_unless_it_was_quick_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_seconds: float, is_inline: bool
) -> None:
    threads: list[bool] = []

    def look(*_: object, **__: object) -> dict[str, int]:
        threads.append(threading.current_thread() is threading.main_thread())
        return {}

    monkeypatch.setattr(step, "workspace_changes", look)
    monkeypatch.setattr(session, "QUICK_SECONDS", quick_seconds)
    world = World.of(tmp_path, "{max_iter: 3, tasks: {s: {executable: 'true'}}, learners: 1}", lambda _: Fate())
    world.run()
    assert threads == [False, is_inline, is_inline]


def test_a_workspace_that_becomes_slow_is_inspected_in_a_thread_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []

    def look(*_: object, **__: object) -> dict[str, int]:
        threads.append(threading.current_thread() is threading.main_thread())
        time.sleep(0.2 if len(threads) == 2 else 0)
        return {}

    monkeypatch.setattr(step, "workspace_changes", look)
    monkeypatch.setattr(session, "QUICK_SECONDS", 0.2)
    world = World.of(tmp_path, "{max_iter: 3, tasks: {s: {executable: 'true'}}, learners: 1}", lambda _: Fate())
    world.run()
    assert threads == [False, True, False]
