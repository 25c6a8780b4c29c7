"""Disk space kept in reserve, so that a run whose disk is full can still record how its running tasks ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rose_cli.regular import open_alone

if TYPE_CHECKING:
    from pathlib import Path

_SIZE_BYTES = 64 * 1024
"""Room for a few hundred records."""


class Ballast:
    """A file of noise beside the journal. A disk without room for it costs the reserve, not the run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take_on(self) -> None:
        """Noise and not zeros, which a compressing file system would keep in no space at all."""
        try:
            descriptor = open_alone(self._path, os.O_WRONLY | os.O_TRUNC, 0o600)
        except OSError:
            return
        try:
            os.write(descriptor, os.urandom(_SIZE_BYTES))
            os.fsync(descriptor)
        except OSError:
            self.drop()
        finally:
            os.close(descriptor)

    def drop(self) -> bool:
        """Gives the space back; whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
