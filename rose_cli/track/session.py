"""What a session does for its trackers: it starts their supervisor, and tells at its end what they have received."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from rose_cli.track.child import clean_environment, command_of
from rose_cli.track.position import is_sending, read_position
from rose_cli.util.processes import add_helper
from rose_cli.util.text import shortened
from rose_cli.view.wording import short_path

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
        return any(
            (position := read_position(self._directory, name)) is None or position.trouble is None
            for name in self._names
        )


def tracker_lines(directory: RunDirectory, name: str, *, announce: bool = False) -> Iterator[str]:
    """What the user should know of a tracker: if it lacks something, and with `announce` where the run is."""
    position = read_position(directory, name)
    rest = f"`rose track {short_path(directory.path)} {name}` sends the rest"
    sending = is_sending(directory, name)
    if announce and position is not None and position.line:
        yield f"tracker '{name}': {shortened(position.line, 300)}"
    if position is None:
        if not sending:
            yield f"tracker '{name}' has received nothing; {rest}"
    elif position.trouble is not None:
        hint = f" ({shortened(position.trouble.hint, 200)})" if position.trouble.hint else ""
        again = "rose tries again" if sending and not position.trouble.fatal else rest
        yield f"tracker '{name}' has not received everything: {shortened(position.trouble.message, 300)}{hint}; {again}"
    elif sending and announce:
        yield f"tracker '{name}' has not received everything yet: rose continues in the background for up to 10 minutes"
    elif not sending and not position.closed:
        yield f"tracker '{name}' has not received everything; {rest}"
