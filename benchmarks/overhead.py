"""What rose adds to a task that does nothing, against a plain loop that is as durable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import ROSE, Reading, in_turns, measured, new_directory, scratch, which
from benchmarks.plain_loop import SLOTS, TASKS
from benchmarks.report import COMPARED, Rows, Section, Size, compared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def loop_once(folder: Path, chains: int, iterations: int) -> Reading:
    script = str(Path(__file__).with_name("plain_loop.py"))
    return in_new(folder, [sys.executable, script, str(chains), str(iterations), which("true")])


def rose_once(folder: Path, chains: int, iterations: int) -> Reading:
    tasks = ", ".join(f'{name}: {{executable: "true"}}' for name in TASKS)
    campaign = (
        f"engine: {{kind: local, cores: {SLOTS}}}\ntasks: {{{tasks}}}\nlearners: {chains}\nmax_iter: {iterations}\n"
    )
    command = [*ROSE, "run", "campaign.yaml", "--run-dir", "run", "--output", "quiet"]
    return in_new(folder, command, campaign)


def in_new(
    folder: Path, command: Sequence[str], campaign: str | None = None, environment: Mapping[str, str] | None = None
) -> Reading:
    """One program in a directory of its own; what it left there is removed before anything else is measured."""
    with new_directory(folder) as directory:
        if campaign is not None:
            (directory / "campaign.yaml").write_text(campaign, encoding="utf-8")
        return measured(command, directory, environment)


def a_task(
    value: Callable[[Reading], float], large: Sequence[Reading], small: Sequence[Reading], tasks: int
) -> list[float]:
    """Milliseconds a task, without start-up: a large and a small campaign differ by so many tasks."""
    return [(value(a) - value(b)) * 1000 / tasks for a, b in zip(large, small, strict=True)]


def overhead(size: Size) -> Rows:
    """Each round runs a small and a large campaign, so that the difference has no start-up in it."""
    chains, iterations, rounds = size.pick((2, 2, 1), (16, 20, 5), (16, 40, 11))
    tasks = chains * (iterations - 1) * len(TASKS)
    with scratch() as folder:
        rose_small, loop_small, rose, loop = in_turns(
            rounds,
            lambda: rose_once(folder, chains, 1),
            lambda: loop_once(folder, chains, 1),
            lambda: rose_once(folder, chains, iterations),
            lambda: loop_once(folder, chains, iterations),
        )

    def row(what: str, value: Callable[[Reading], float], **bound: float) -> list[str]:
        return compared(
            what, a_task(value, rose, rose_small, tasks), a_task(value, loop, loop_small, tasks), "ms", **bound
        )

    return [
        row("wall time a task", lambda reading: reading.wall, at_most=1.8),
        row("own CPU a task", lambda reading: reading.own, ours_at_most=2.5),
        row("CPU of the task's process", lambda reading: reading.children),
        compared(
            f"{chains * iterations * len(TASKS)} tasks with start-up, wall time",
            [reading.wall for reading in rose], [reading.wall for reading in loop], "s",
        ),
        compared("peak memory", [reading.peak for reading in rose], [reading.peak for reading in loop], "MB"),
    ]  # fmt: skip


SECTION = Section(
    name="overhead",
    title="Overhead of a task",
    text="""Chains of tasks that do nothing (`true`), two tasks at a time, each with two log files. The other side is a
    plain loop in Python on the same disk: it starts a task with `posix_spawn`, waits, appends one line to a journal,
    syncs it, and starts the next task of the chain. The first three rows have no start-up in them: they are the
    difference between a large and a small campaign, divided by the number of tasks.""",
    unfair="""To rose: the loop syncs one line a task, rose also one before each task, so that a task that was running
    in a power cut is known. The loop does not look for processes that a task left behind, cannot resume, and changes
    no working directory. `posix_spawn` counts some work for the new process as that of the task, which Python's
    `subprocess` counts as rose's. To the loop: it has one thread, which waits for the disk, so the slower a sync is,
    the closer rose comes to it.""",
    columns=COMPARED,
    run=overhead,
)
