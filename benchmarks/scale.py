"""How rose grows with the learners of a campaign and with the lines of its file."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.measure import ROSE, in_turns, measured, scratch, spread
from benchmarks.overhead import a_task, rose_once
from benchmarks.plain_loop import TASKS
from benchmarks.report import COMPARED, Rows, Section, Size, compared, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.measure import Reading

LOADER = (sys.executable, "-c", "import yaml; yaml.load(open('campaign.yaml', 'rb'), yaml.CSafeLoader)")


def scale(size: Size) -> Iterator[list[str]]:
    yield from lines(size)
    yield from learners(size)


def learners(size: Size) -> Rows:
    """As many tasks in many learners as in ten, where the program has to do as much in all."""
    few, iterations, many, rounds = size.pick((1, 2, 2, 1), (10, 100, 1_000, 2), (10, 1_000, 10_000, 3))
    with scratch() as folder:
        start, small, large = in_turns(
            rounds,
            partial(rose_once, folder, 1, 1),
            partial(rose_once, folder, few, iterations),
            partial(rose_once, folder, many, 1),
        )
    tasks = [many * len(TASKS), few * iterations * len(TASKS)]

    def row(what: str, value: Callable[[Reading], float], bound: float | None = None) -> list[str]:
        ours, theirs = (a_task(value, each, start, number) for each, number in zip((large, small), tasks, strict=True))
        return compared(f"{what} a task with {many:,} learners, against {few}", ours, theirs, "ms", at_most=bound)

    memory = [(a.peak - b.peak) * 1024 / (many - few) for a, b in zip(large, small, strict=True)]
    return [
        row("wall time", lambda reading: reading.wall, 1.25),
        row("own CPU", lambda reading: reading.own),
        [f"memory of each learner beyond {few}", spread(memory, "kB"), "", "", verdict(memory, "kB", at_most=10)],
    ]


def lines(size: Size) -> Rows:
    number, rounds = size.pick((20, 1), (6_700, 3), (6_700, 7))
    head = 'tasks: {simulation: {executable: "true"}}\nmax_iter: 3\nlearners:\n'
    learner = "  # learner {0}\n" + 5 * "  # has notes\n" + "  - name: learner-{0}\n    simulation:\n      --n: {0}\n"
    with scratch() as folder:
        text = head + "".join(learner.format(place) for place in range(number))
        (folder / "campaign.yaml").write_text(text, encoding="utf-8")
        validate, load = in_turns(
            rounds,
            partial(measured, [*ROSE, "validate", "campaign.yaml"], folder),
            partial(measured, LOADER, folder),
        )
    what = f"`rose validate` of {text.count(chr(10)):,} lines, against the C loader of PyYAML"
    return [
        compared(what, [each.wall for each in validate], [each.wall for each in load], "s", at_most=4),
        compared("its CPU time", [each.cpu for each in validate], [each.cpu for each in load], "s"),
        compared("its memory", [each.peak for each in validate], [each.peak for each in load], "MB"),
    ]


SECTION = Section(
    name="scale",
    title="Large campaigns",
    text="""The last three rows are about the campaign of the first section, with tasks that do nothing, once with many
    learners of one iteration each, and once with few learners and many iterations, so that there are as many tasks.
    The start of rose with one learner is subtracted from the wall time. The first three are about a campaign file in
    which each learner has an option of its own and lines of comments; the loader of PyYAML that is written in C only
    reads it.""",
    unfair="""To rose: many learners cost what few do not: a workspace each, their part of the plan, and an entry in
    the journal when each starts and stops. The loader checks nothing and keeps no locations, which error messages
    need.""",
    columns=COMPARED,
    run=scale,
)
