"""What a session does for its trackers: it starts their supervisor, and tells at its end what they have received."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from rose_cli.track.child import clean_environment, command_of
from rose_cli.track.position import read_position
from rose_cli.track.words import tracker_lines
from rose_cli.util.processes import add_helper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.runs.directory import RunDirectory

WAIT_SECONDS = 5.0

WAIT_SECONDS_IN_JOB = 60.0
"""How long the end of a session waits for trackers that are still sending. Nothing outlives a batch job."""

_LOOK_SECONDS = 0.05


class Tracking:
    """The trackers of a session. Nothing that happens to them delays, stops or fails it."""

    def __init__(self, directory: RunDirectory, names: list[str]) -> None:
        self._directory = directory
        self._names = names
        self._started = time.time()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, session: int) -> str | None:
        """Start the process; why that is not possible, if it is not."""
        try:
            self._process = subprocess.Popen(
                command_of("supervisor", str(self._directory.path), str(session)),
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                cwd="/", env=clean_environment(), start_new_session=True,
            )  # fmt: skip
            add_helper(self._process)
        except (OSError, MemoryError) as error:
            return f"trackers get nothing in this session: {error}"
        return None

    def finish(self, *, in_job: bool, in_a_hurry: bool) -> Iterator[str]:
        """Wait for a moment until everything is sent. Lines about what the trackers have, and what they lack.

        `in_a_hurry`: the job, or the user, wants to end.
        """
        process = self._process
        if process is None or process.stdin is None:
            return
        with suppress(OSError):
            process.stdin.close()
        end = time.monotonic() + (WAIT_SECONDS_IN_JOB if in_job and not in_a_hurry else WAIT_SECONDS)
        while process.poll() is None and time.monotonic() < end and self._any_is_well():
            time.sleep(_LOOK_SECONDS)
        for name in self._names:
            yield from tracker_lines(self._directory, name, announce=True)

    def _any_is_well(self) -> bool:
        positions = (read_position(self._directory, name) for name in self._names)
        return any(each is None or each.trouble is None or each.trouble.since < self._started for each in positions)
