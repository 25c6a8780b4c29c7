"""Which run a script continues: running a script again goes on where it was killed.

A script may start several runs, one after the other. Each has a record that names the script, the place of the run
among those of the script, and the *pass* of the script that it belongs to. When a pass has reached its end and all of
its runs are complete, the next one starts anew; else it repeats the pass: what has finished is only told again, and the
rest runs.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rose_cli.api.script_errors import ScriptError
from rose_cli.api.task import DIRECTORY
from rose_cli.api.upstream.alone import hold
from rose_cli.runs.directory import RUNS, RunDirectory
from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import OpenDirectory, create_new, read_regular
from rose_cli.view.decided import MOST_RECORD_BYTES, RECORD

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "ROSE_RESUME"
"""`no`: every run of the script is a new one."""

Resume: TypeAlias = "bool | str | os.PathLike[str]"
"""`auto`: go on with a pass that was interrupted, else start anew; True: there has to be one; False: start anew; or the
directory of the run to go on with."""


@dataclass(frozen=True)
class Record:
    """`script`: its path, relative to the directory that it runs in, and its arguments; an older rose has kept the
    absolute path. `ended`: the script has reached its end, and all of its runs are complete."""

    script: str
    place: int
    pass_id: str
    ended: bool = False

    @property
    def text(self) -> str:
        return json.dumps({"script": self.script, "place": self.place, "pass": self.pass_id, "ended": self.ended})

    @classmethod
    def of(cls, run: Path) -> Record | None:
        """The record of a run; None if it is none of a script."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(read_regular(run / DIRECTORY / RECORD, MOST_RECORD_BYTES))
            return cls(str(found["script"]), int(found["place"]), str(found["pass"]), found["ended"] is True)
        return None


class Pass:
    """The present pass of this process."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._place = 0
        self.is_repeated = False

    def next_place(self) -> int:
        """The place of the next run of the script."""
        self._place += 1
        return self._place

    def id_of(self, key: str, directory: Path) -> str:
        """The pass that the script is in: an interrupted one, or a new one."""
        if self._id is None:
            newest = next(iter(_runs_of(key, directory)), None)
            self.is_repeated = newest is not None and not newest[1].ended
            self._id = newest[1].pass_id if newest is not None and self.is_repeated else uuid.uuid4().hex
        return self._id


current = Pass()


@dataclass(frozen=True)
class Place:
    """Where a run of the script belongs. `run`: the one to go on with."""

    campaign_file: Path
    record: Record
    run: Path | None


def script_name() -> str:
    """The name of the script that runs, or of the notebook; of a prompt, `python`."""
    path = _script()
    return program_stem() if path is None else path.name


def program_stem() -> str:
    """What the runs of this program are called. Jupyter tells a kernel the path of its notebook."""
    return (_script() or Path(os.environ.get("JPY_SESSION_NAME") or "python")).stem or "python"


def place_of_next(resume: Resume, place: int) -> Place:
    """Where the run with this place belongs.

    Raises ScriptError if the one to go on with does not exist, and RunLockedError if the script runs already.
    """
    directory = Path.cwd()
    path = _script()
    key = _key(path, directory)
    name = program_stem()
    file = directory / (f"{name}.py" if place == 1 else f"{name}-{place}.py")
    if not isinstance(resume, bool) and resume != "auto":
        return Place(file, *_named(Path(resume), key, place))
    wanted = resume is True or (resume == "auto" and path is not None and os.environ.get(VARIABLE) != "no")
    if not wanted:
        return Place(file, Record(key, place, uuid.uuid4().hex), None)
    if path is not None:
        hold(key, directory, path.name)
    record = Record(key, place, current.id_of(key, directory))
    run = next(
        (run for run, each in _runs_of(key, directory) if (each.pass_id, each.place) == (record.pass_id, place)), None
    )
    if run is None and resume is True:
        message = f"there is no interrupted run of '{script_name()}' in '{directory / RUNS}'"
        raise ScriptError(message, "leave 'resume' out to start a new one")
    return Place(file, record, run)


def _key(path: Path | None, directory: Path) -> str:
    """What a script is known by: it goes on when the directory that it runs in has been moved."""
    return json.dumps(["" if path is None else os.path.relpath(path, directory), *sys.argv[1:]])


def mark_ended(run: Path) -> None:
    """The script is through with a run that is complete."""
    record = Record.of(run)
    if record is not None and not record.ended:
        text = Record(record.script, record.place, record.pass_id, ended=True).text
        new = f".{RECORD}-{os.getpid()}"
        with OpenDirectory.at(run / DIRECTORY, inside=run) as folder:
            at = folder.descriptor
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=at)
            with open(create_new(new, 0o600, dir_fd=at), "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
                file.write(text)
            os.replace(new, RECORD, src_dir_fd=at, dst_dir_fd=at)


def _named(run: Path, key: str, place: int) -> tuple[Record, Path]:
    path = run if run.is_dir() else Path.cwd() / RUNS / run
    record = Record.of(path)
    if not RunDirectory.at(path).plan.is_file() or record is None:
        raise ScriptError(f"'{run}' is no run of a script", f"choose one of those in '{Path.cwd() / RUNS}'")
    return Record(key, place, record.pass_id), path.absolute()


def _runs_of(key: str, directory: Path) -> Iterator[tuple[Path, Record]]:
    """The runs of a script in a directory, the newest first; `key`: as in new records."""
    found = []
    script, *arguments = json.loads(key)
    keys = (key, json.dumps([os.path.normpath(directory / script) if script else "", *arguments]))
    with suppress(OSError):
        for run in (directory / RUNS).iterdir():
            if not run.is_symlink() and (record := Record.of(run)) is not None and record.script in keys:
                with suppress(OSError):
                    found.append(((run / "plan.json").stat().st_mtime_ns, run, record))
    for _, run, record in sorted(found, key=lambda each: each[0], reverse=True):
        yield run, record


def _script() -> Path | None:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(file).resolve() if file is not None else None
