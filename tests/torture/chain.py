"""A small deterministic campaign, and what has to hold of a run of it whatever happened on the way."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conftest import Rose

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINK = Path(__file__).parent / "programs" / "chain_link.py"
_TEXT = """
name: chain
max_iter: {max_iter}
seed: 11
timeout: 30s
engine: {{kind: local, cores: 3, grace: 1}}
env: {{CHAIN_PAUSE: "{pause}"}}
tasks:
  first: {{executable: "{link}", options: {{--n: 1}}}}
  second: {{executable: "{link}"}}
stop: {{metric: length, operator: "<", threshold: 0, executable: "{link}"}}
learners:
  - name: growing
    first: {{adaptive: {{--n: "1 + i*2", --last: "metric if i > 0 else 0"}}}}
  - {{name: plain}}
  - {{name: short, max_iter: 3}}
"""
_PATIENCE_SECONDS = 30.0


def write_chain(folder: Path, *, max_iter: int = 5, pause_seconds: float = 0.03) -> Rose:
    """The campaign in a folder of its own, made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    rose = Rose(folder)
    link = f"{sys.executable} -I -S -B {_LINK}"
    rose.write(_TEXT.format(max_iter=max_iter, pause=pause_seconds, link=link))
    return rose


def history(rose: Rose, run: str) -> dict[str, Any]:
    keys = ("history", "stop_reason", "iterations_done", "best_value")
    return {name: [learner[key] for key in keys] for name, learner in rose.learners(run).items()}


def undisturbed(rose: Rose) -> dict[str, Any]:
    """The history of a run that nothing happens to."""
    called = rose("run", "campaign.yaml", "--run-dir", "undisturbed", "--output", "quiet", timeout_seconds=300)
    assert called.code == 0, called.err
    return history(rose, "undisturbed")


def slips(rose: Rose, run: str, expected: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a run that came to its end: another history, a step done twice, a process left."""
    found = history(rose, run)
    if found != expected:
        yield f"{run}: the history is {found} instead of {expected}"
    yield from (f"{run}: {slip}" for slip in (*finished_twice(rose, run), *left_running(rose, run)))


def finished_twice(rose: Rose, run: str) -> Iterator[str]:
    done = set()
    for event in rose.events(run):
        step = tuple(event.get(key) for key in ("learner", "iteration", "task", "replica"))
        if event["event"] == "attempt_succeeded":
            done.add(step)
        elif event["event"] == "attempt_started" and step in done:
            yield f"a finished step started again: {step}"


def left_running(rose: Rose, run: str) -> list[str]:
    """Tasks and watchdogs of the run that are there long after all that should end them."""
    name = rose.events(run)[0]["run_id"]
    end = time.monotonic() + _PATIENCE_SECONDS
    while left := list(_processes_of(name)):
        if time.monotonic() > end:
            return [f"process {pid} is left" for pid in left]
        time.sleep(0.02)
    return []


def _processes_of(run_id: str) -> Iterator[int]:
    """By the mark in the environment (a task) or among the arguments (a watchdog)."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            words = (entry / "environ").read_bytes() + b"\0" + (entry / "cmdline").read_bytes()
            if f"ROSE_MARK={run_id}.".encode() in words or f"\0{run_id}.".encode() in words:
                yield int(entry.name)
