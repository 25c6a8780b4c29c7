"""What the live table costs: the same campaign in a terminal, with the table and quiet."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import termios
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.measure import ROSE, Reading, in_turns, measured, new_directory, scratch, spread
from benchmarks.report import Rows, Section, Size, compared

if TYPE_CHECKING:
    from pathlib import Path


def watched(folder: Path, learners: int, iterations: int, output: str, rates: list[float]) -> Reading:
    """A campaign in a terminal of 120 columns that somebody reads; `rates` gets its events a second."""
    campaign = (
        f"engine: {{kind: local, cores: 2}}\nlearners: {learners}\nmax_iter: {iterations}\n"
        "tasks: {simulation: {executable: sleep 0.02}, training: {executable: sleep 0.02}}\n"
    )
    with new_directory(folder) as directory:
        (directory / "campaign.yaml").write_text(campaign, encoding="utf-8")
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        reader = threading.Thread(target=_read_all, args=(ours,))
        reader.start()
        try:
            command = [*ROSE, "run", "campaign.yaml", "--run-dir", "run", "--output", output]
            environment = {**os.environ, "TERM": "xterm-256color", "XDG_CACHE_HOME": str(directory / "cache")}
            reading = measured(command, directory, environment, terminal=theirs)
        finally:
            os.close(theirs)
            reader.join()
        lines = (directory / "run" / "journal.jsonl").read_text(encoding="utf-8").splitlines()
        times = [json.loads(line)["time"] for line in (lines[0], lines[-1])]
        rates.append(len(lines) / (times[1] - times[0]))
        return reading


def _read_all(terminal: int) -> None:
    with suppress(OSError):  # at its end
        while os.read(terminal, 1 << 16):
            pass
    os.close(terminal)


def screen(size: Size) -> Rows:
    learners, iterations, rounds = size.pick((2, 2, 1), (16, 16, 3), (16, 40, 9))
    rates: list[float] = []
    with scratch() as folder:
        live, quiet = in_turns(
            rounds,
            partial(watched, folder, learners, iterations, "live", rates),
            partial(watched, folder, learners, iterations, "quiet", rates),
        )
    return [
        compared("wall time", [each.wall for each in live], [each.wall for each in quiet], "s", at_most=1.05),
        compared("own CPU", [each.own for each in live], [each.own for each in quiet], "s"),
        ["events a second", spread(rates), "", "", ""],
    ]


SECTION = Section(
    name="screen",
    title="The live table",
    text="""A campaign of short tasks (`sleep 0.02`), two at a time, in a terminal of 120 × 40 whose output is read at
    once: `--output live` against `--output quiet`, start-up included.""",
    unfair="""To the table: a session that is only waited for has nothing to draw, so most campaigns are cheaper to
    watch than this one. To the quiet side: a terminal that draws what it reads takes CPU time, too, which is not in
    here.""",
    columns=("", "live", "quiet", "ratio", "to reach"),
    run=screen,
)
