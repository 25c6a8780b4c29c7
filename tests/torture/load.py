"""Campaigns of thousands of learners under the live table: memory and open files stay bounded."""

from __future__ import annotations

import fcntl
import os
import pty
import resource
import struct
import subprocess
import sys
import termios
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.conftest import REPOSITORY, Rose
from tests.torture.gauge import Peak, watch
from tests.torture.verdict import Report, events_of, left_running

if TYPE_CHECKING:
    import random
    from pathlib import Path

MOST_FILES = 128
"""The limit that rose runs under here; a login shell gives 1,024."""

_CAMPAIGN = """
max_iter: {iterations}
tasks: {{a: {{executable: "true"}}}}
learners: {learners}
engine: {{kind: local, cores: 8}}
"""


def crowd(folder: Path, _seed: random.Random, learners: int, iterations: int, most_megabytes: float) -> Report:
    """`true` for so many learners and iterations."""
    report = Report(f"{learners} learners x {iterations}")
    rose = Rose(folder)
    rose.write(_CAMPAIGN.format(learners=learners, iterations=iterations))
    process, peak = run_on_a_terminal(rose, "run", "campaign.yaml", "--run-dir", "r", "--output", "live")
    report.count("MB", round(peak.megabytes))
    report.count("open files", peak.files)
    report.count("threads", peak.threads)
    report.expect(process.returncode == 0, f"exit code {process.returncode}")
    report.expect(peak.megabytes < most_megabytes, f"rose grew to {peak.megabytes:.0f} MB")
    done = Counter(event["learner"] for event in events_of(folder / "r") if event["event"] == "iteration_finished")
    report.expect(sorted(done.values()) == [iterations] * learners, f"only {sum(done.values())} iterations were done")
    report.findings += left_running(folder / "r")
    return report


def run_on_a_terminal(rose: Rose, *arguments: str) -> tuple[subprocess.Popen[bytes], Peak]:
    """Rose on a terminal of 40 lines, which somebody reads; with few files to open."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    limit = f'ulimit -n {min(MOST_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[0])}; exec "$@"'
    process = subprocess.Popen(
        ["sh", "-c", limit, "sh", sys.executable, "-m", "rose_cli", *arguments],
        cwd=rose.folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    reader = threading.Thread(target=_drain, args=(ours,))
    reader.start()
    peak = watch(process)
    reader.join()
    os.close(ours)
    return process, peak


def _drain(terminal: int) -> None:
    with suppress(OSError):  # what a terminal says once nobody has it open any more
        while os.read(terminal, 1 << 16):
            pass
