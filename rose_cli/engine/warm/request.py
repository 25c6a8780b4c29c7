"""What rose sends to a server of warm starts. Runs in the task's interpreter, see `server`."""

from __future__ import annotations

import os


class Request:
    """A task to start. `program` is the interpreter, `argv` its whole command line, `mode` "", "-c" or "-m"."""

    def __init__(
        self,
        token: str,
        program: str,
        argv: list[str],
        mode: str,
        environment: list[tuple[bytes, bytes]],
        directory: str,
        umask: int,
        report: str | None,
        name: str | None,
    ) -> None:
        self.token = token
        self.program = program
        self.argv = argv
        self.mode = mode
        self.environment = environment
        self.directory = directory
        self.umask = umask
        self.report = report
        self.name = name
        self.first_entry = self._first_entry()

    def _first_entry(self) -> str:
        """The directory that is first on the path for modules."""
        if self.mode:
            return self.directory
        return os.path.dirname(os.path.realpath(os.path.join(self.directory, self.argv[1])))
