"""A campaign that a Python program has made: its text, and the files that its tasks need of the program."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.files import OpenDirectory, create_new

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.runs.directory import RunDirectory


@dataclass(frozen=True)
class Made:
    """`files`: for the run directory, by name: the functions of the program."""

    text: str
    files: Mapping[str, bytes] = field(default_factory=dict)

    @contextmanager
    def as_file(self, program: Path) -> Iterator[Path]:
        """The text as a file that others may read if they may read the program; it exists in the block."""
        with tempfile.TemporaryDirectory(prefix="rose-") as directory:
            path = Path(directory) / f"{program.stem}.yaml"
            path.write_text(self.text, encoding="utf-8")
            if program.exists():
                path.chmod(program.stat().st_mode & 0o666 | 0o600)
            yield path

    def write(self, directory: RunDirectory) -> None:
        """Put the files into the run, for this user alone. Raises RunDirectoryError."""
        try:
            with OpenDirectory.at(directory.python, inside=directory.path, make=True, mode=0o700) as folder:
                for name, data in self.files.items():
                    new = f".{name}-{os.getpid()}"
                    with open(create_new(new, 0o600, dir_fd=folder.descriptor), "wb") as file:  # noqa: PTH123 - a descriptor
                        file.write(data)
                        file.flush()
                        os.fsync(file.fileno())
                    os.replace(new, name, src_dir_fd=folder.descriptor, dst_dir_fd=folder.descriptor)
        except OSError as error:
            message = f"cannot write to '{directory.python}': {error.strerror}"
            raise RunDirectoryError(message, "free some space") from error
