"""Campaigns of thousands of learners under the live table: memory and open files stay bounded."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import resource
import struct
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.conftest import REPOSITORY, Rose
from tests.torture.campaign import LOCAL, Ground
from tests.torture.gauge import Peak, watch
from tests.torture.verdict import Report, left_running

if TYPE_CHECKING:
    import random
    from pathlib import Path

KILOBYTES_A_LEARNER, KILOBYTES_AN_ITERATION, MEGABYTES_ALONE = 25.0, 2.0, 80.0
"""Of memory, at most: for each learner, for each of its iterations, and for rose itself."""

MOST_FILES = 128
"""That rose may have open; a login shell gives 1,024."""

_CAMPAIGN = """
max_iter: {iterations}
tasks: {{a: {{executable: "true"}}}}
learners: {learners}
engine: {{kind: local, cores: 8}}
"""


def crowd(folder: Path, _seed: random.Random, learners: int, iterations: int, ground: Ground = LOCAL) -> Report:
    """`true` for so many learners and iterations."""
    report = Report(f"{learners} learners x {iterations}, {ground.engine}")
    rose = Rose(folder)
    rose.write(_CAMPAIGN.format(learners=learners, iterations=iterations))
    process, peak = _run_on_a_terminal(
        rose, ground.files, "run", "campaign.yaml", "--run-dir", "r", "--output", "live", *ground.options
    )
    report.count("MB", round(peak.megabytes))
    report.count("open files", peak.files)
    report.count("threads", peak.threads)
    report.expect(process.returncode == 0, f"exit code {process.returncode}")
    report.expect(peak.files <= MOST_FILES, f"rose had {peak.files} files open")
    most = MEGABYTES_ALONE + learners * (KILOBYTES_A_LEARNER + KILOBYTES_AN_ITERATION * iterations) / 1024
    report.expect(peak.megabytes < most, f"rose grew to {peak.megabytes:.0f} MB; at most {most:.0f} were expected")
    status = rose("status", "r", "--format", "json")  # seconds, on a machine that is not busy
    report.expect(status.code == 0, f"rose status: exit code {status.code}: {status.err}")
    done = [learner["iterations_done"] for learner in json.loads(status.out)["learners"]]
    report.expect(done == [iterations] * learners, f"only {sum(done)} iterations were done")
    report.findings += left_running(folder / "r")
    return report


def _run_on_a_terminal(rose: Rose, files: int, *arguments: str) -> tuple[subprocess.Popen[bytes], Peak]:
    """Rose on a terminal of 40 lines, which somebody reads; with few files to open."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    limit = f'ulimit -n {min(files, resource.getrlimit(resource.RLIMIT_NOFILE)[0])}; exec "$@"'
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
