"""What rose sends to a server of warm starts. Runs in the task's interpreter, see `server`."""

from __future__ import annotations

import os


class Request:
    """A task to start. `program` is the interpreter, `argv` its whole command line.

    `mode` is "", "-c" or "-m", `words` the script, or what comes after the mode, and its arguments. `searched`: other
    directories from which the program imports modules. `report`: the file in which it reports the modules that it
    imported. `name`: that of the process, if it is not the interpreter's.
    """

    def __init__(
        self,
        token: str,
        program: str,
        argv: list[str],
        mode: str,
        words: list[str],
        environment: list[tuple[bytes, bytes]],
        directory: str,
        searched: list[str],
        umask: int,
        report: str | None,
        name: str | None,
    ) -> None:
        self.token = token
        self.program = program
        self.argv = argv
        self.mode = mode
        self.words = words
        self.environment = environment
        self.directory = directory
        self.searched = searched
        self.umask = umask
        self.report = report
        self.name = name
        self.first_entry = self._first_entry()

    def _first_entry(self) -> str:
        """The directory that is first on the path for modules."""
        if self.mode:
            return self.directory
        return os.path.dirname(os.path.realpath(os.path.join(self.directory, self.words[0])))
