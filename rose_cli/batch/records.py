"""The files of a run that say which jobs work on it: in `jobs/`, each written once, or replaced by its only writer.

No file is shared by two writers, since the jobs of a run, and the user on a login node, may write at the same time
from different hosts: a job's number is claimed by creating its file, which succeeds once. No job holds a lock, so
nothing is left locked by a job that was killed. Whoever reads takes what is there; anyone may have written it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from rose_cli.batch.request import SYSTEMS, JobRequest, core_hours, is_set_by_rose
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import RunLockedError
from rose_cli.util.files import OpenDirectory, create_new, read_regular, sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 1 << 16

MOST_FILES = 10_000

_MOST_SECONDS = 1 << 36
"""The latest time that a file can have: later ones have no date in Python's calendar."""

SUBMISSION, ENDED, PROBLEM = "submission.json", "ended.json", "problem.json"

SCRIPT = "job.sh"


@dataclass(frozen=True)
class Edits:
    """What changes in the plan of a run: the campaign file, unless `as_it_was`; these settings; a new `max_iter`."""

    settings: tuple[str, ...] = ()
    max_iter: int | None = None
    as_it_was: bool = False

    @classmethod
    def decode(cls, entries: Any) -> Edits | None:  # noqa: ANN401 - JSON that anyone may have written
        """Raises TypeError, KeyError or ValueError for anything else."""
        if entries is None:
            return None
        found = cls(tuple(entries["settings"]), entries["max_iter"], entries["as_it_was"] is True)
        if not all(type(text) is str for text in found.settings):
            raise ValueError(entries)
        if found.max_iter is not None and not _are_numbers(found.max_iter):
            raise ValueError(entries)
        return found


@dataclass(frozen=True)
class Submission:
    """What the user requested. `name`: of every job, made by `job_name`. `first`: the number of its first job.

    `most_jobs` and `core_hours` are the bounds on its jobs together; `core_hours` None: no bound. `run`: the real path
    of the run directory: a copy of it has the same file, but none of the jobs. `edits`: what its first session applies,
    the one after session number `after_session`: the clocks of a login node and of other nodes may differ.
    """

    system: str
    name: str
    request: JobRequest
    most_jobs: int
    time: float
    first: int = 1
    core_hours: float | None = None
    run: str = ""
    edits: Edits | None = None
    after_session: int = 0

    def names(self, name: object) -> bool:
        """Whether a job with that name is one of this run's, submitted now or before under another name."""
        return type(name) is str and name.rpartition("-")[2] == self.name.rpartition("-")[2]


@dataclass(frozen=True)
class JobRecord:
    """A job that was submitted, or is about to be: `job_id` is None until the batch system has given it one."""

    number: int
    job_id: str | None
    time: float


@dataclass(frozen=True)
class JobStart:
    """A job that has begun to work on the run. `restarts`: how often the batch system had requeued it.

    `progress`: how many steps had finished before. `ended` None: it runs, or was killed.
    """

    job_id: str
    restarts: int
    time: float
    host: str
    progress: int
    ended: float | None = None

    @property
    def file(self) -> str:
        return f"start-{re.sub(r'[^0-9A-Za-z]', '-', self.job_id)}-{self.restarts}.json"


@dataclass(frozen=True)
class JobsOfRun:
    """All that the files say. `ended`: why no more jobs are to follow; `problem`: why the last one could not be
    submitted."""

    submission: Submission | None = None
    records: tuple[JobRecord, ...] = ()
    starts: tuple[JobStart, ...] = ()
    ended: str | None = None
    problem: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether the run needs no more jobs, and none is left."""
        return self.ended in ("finished", "failed")

    @property
    def submitted(self) -> tuple[JobRecord, ...]:
        """The jobs of the latest submission."""
        first = self.submission.first if self.submission else 0
        return tuple(record for record in self.records if record.number >= first)

    @property
    def ran(self) -> set[str]:
        """The IDs of those that have begun."""
        return {start.job_id for start in self.starts} & {record.job_id for record in self.submitted if record.job_id}

    @property
    def next_number(self) -> int:
        return max((record.number for record in self.records), default=0) + 1

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(record.job_id for record in self.records if record.job_id is not None)

    def number_of(self, job_id: str) -> int | None:
        """The number of a job in its submission, from 1 on."""
        first = self.submission.first if self.submission else 1
        return next((each.number - first + 1 for each in self.submitted if each.job_id == job_id), None)


ENDINGS = ("finished", "failed", "stopped", "fruitless")
"""Why no more jobs follow: the run has finished, or failed; `rose stop`; several jobs in a row finished no step."""


@dataclass(frozen=True)
class JobFiles:
    """The directory `jobs` of a run. Methods that write raise OSError."""

    path: Path

    def read(self) -> JobsOfRun:
        """Everything in it, as far as it can be understood; nothing if there is no such directory."""
        with suppress(OSError), self._opened() as directory:
            found = dict(_entries(directory))
            records = sorted(filter(None, map(_record, found.items())), key=lambda record: record.number)
            starts = sorted(filter(None, map(_start, found.items())), key=lambda start: start.time)
            ended, problem = found.get(ENDED, {}).get("reason"), found.get(PROBLEM, {}).get("message")
            return JobsOfRun(
                self._own(_submission(found.get(SUBMISSION))),
                tuple(records),
                tuple(starts),
                ended if ended in ENDINGS else None,
                problem if isinstance(problem, str) else None,
            )
        return JobsOfRun()

    def submit(self, submission: Submission) -> None:
        """Record a new submission, whose jobs follow each other again."""
        self._write(SUBMISSION, asdict(submission), make=True)
        self.forget(ENDED)
        self.forget(PROBLEM)

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """Only one process at a time submits the first jobs of a run. Raises RunLockedError if another one does.

        The kernel releases the lock of a process that was killed. A file system without locks has none.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with self._opened(make=True) as directory:
            descriptor = os.open(".submitting", flags, 0o600, dir_fd=directory.descriptor)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                message = "another `rose submit` is submitting jobs of this run"
                raise RunLockedError(message, "`rose status` shows them in a moment") from error
            except OSError:
                pass
            yield
        finally:
            os.close(descriptor)

    def _own(self, submission: Submission | None) -> Submission | None:
        """The submission, unless it is that of another run, of which this one is a copy."""
        try:
            return submission if submission is None or self.path.parent.samefile(submission.run) else None
        except (FileNotFoundError, NotADirectoryError):  # it was moved
            return submission
        except (OSError, ValueError):
            return None

    def claim(self, number: int) -> bool:
        """Whether this number is now that of a job that the caller is about to submit: False if another one has it."""
        with self._opened() as directory:
            text = json.dumps(asdict(JobRecord(number, None, time.time())))
            try:
                descriptor = create_new(_name(number), dir_fd=directory.descriptor)
            except FileExistsError:
                return False
            _fill(descriptor, text)
            sync(directory.descriptor)
            return True

    def record(self, number: int, job_id: str) -> None:
        """The job with this number was submitted."""
        self._write(_name(number), asdict(JobRecord(number, job_id, time.time())))

    def withdraw(self, number: int) -> None:
        """The job with this number was refused."""
        self.forget(_name(number))

    def start(self, start: JobStart) -> None:
        self._write(start.file, asdict(start))

    def finish(self, start: JobStart) -> None:
        self._write(start.file, asdict(replace(start, ended=time.time())))

    def end(self, reason: str) -> None:
        """No more jobs are to follow."""
        self._write(ENDED, {"reason": reason, "time": time.time()})

    def complain(self, message: str) -> None:
        """Record why the next job could not be submitted."""
        self._write(PROBLEM, {"message": message[:1000], "time": time.time()})

    def forget(self, name: str) -> None:
        with self._opened() as directory, suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory.descriptor)

    def write_script(self, text: str) -> Path:
        """Replace the script of the jobs; its path."""
        self._replace(SCRIPT, text)
        return self.path / SCRIPT

    def _write(self, name: str, entries: dict[str, Any], *, make: bool = False) -> None:
        self._replace(name, json.dumps(entries), make=make)

    def _replace(self, name: str, text: str, *, make: bool = False) -> None:
        """Durably, and atomically for readers."""
        temporary = f".{name}-{os.getpid()}-{time.monotonic_ns()}"
        with self._opened(make=make) as directory:
            here = directory.descriptor
            _fill(create_new(temporary, dir_fd=here), text)
            os.rename(temporary, name, src_dir_fd=here, dst_dir_fd=here)
            sync(here)

    def _opened(self, *, make: bool = False) -> OpenDirectory:
        return OpenDirectory.at(self.path, inside=self.path.parent, make=make)


def _fill(descriptor: int, text: str) -> None:
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _name(number: int) -> str:
    return f"{number:04}.json"


def _entries(directory: OpenDirectory) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in sorted(directory.names())[:MOST_FILES]:
        if name.endswith(".json") and not name.startswith("."):
            with suppress(OSError, ValueError, RecursionError):
                entries = json.loads(read_regular(name, MOST_BYTES, dir_fd=directory.descriptor))
                if isinstance(entries, dict):
                    yield name, entries


def _submission(entries: dict[str, Any] | None) -> Submission | None:
    with suppress(TypeError, KeyError, ValueError):
        request = JobRequest.decode(entries["request"]) if entries else None
        if entries is None or request is None:
            return None
        edits, hours = Edits.decode(entries.get("edits")), core_hours(entries["core_hours"])
        found = Submission(**{**entries, "request": request, "core_hours": hours, "edits": edits})
        is_own = (
            is_job_name(found.name)
            and str(found.run).startswith("/")
            and found.name == job_name(found.name.rpartition("-")[0], found.run)
        )
        is_own = is_own and not any(is_set_by_rose(found.system, key) for key, _ in request.attributes)
        numbers = found.most_jobs, found.first, found.after_session
        if is_own and found.system in SYSTEMS and _are_numbers(*numbers) and _are_times(found.time):
            return found
    return None


def job_name(slug: str, run: str) -> str:
    """The name of the jobs of a run. It ends with a digest of the run's real path, so that a file from elsewhere cannot
    have other jobs of the user cancelled."""
    return f"{slug}-{hashlib.sha256(os.fsencode(run)).hexdigest()[:16]}"


def is_job_name(text: Any) -> bool:  # noqa: ANN401 - from a file that anyone may have written
    """Whether it can be the name of a run's jobs: it becomes an argument of the batch system's commands."""
    return type(text) is str and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,80}", text, re.ASCII) is not None


def _record(entry: tuple[str, dict[str, Any]]) -> JobRecord | None:
    name, entries = entry
    if not re.fullmatch(r"\d{4,9}\.json", name, re.ASCII):
        return None
    with suppress(TypeError, ValueError):
        found = JobRecord(**entries)
        is_named = _are_numbers(found.number) and _name(found.number) == name
        if is_named and _are_times(found.time) and (found.job_id is None or is_job_id(found.job_id)):
            return found
    return None


def _start(entry: tuple[str, dict[str, Any]]) -> JobStart | None:
    name, entries = entry
    if not name.startswith("start-"):
        return None
    with suppress(TypeError, ValueError):
        found = JobStart(**entries)
        is_one = is_job_id(found.job_id) and _are_numbers(found.restarts, found.progress)
        if is_one and _are_times(found.time, found.ended or 0.0) and type(found.host) is str:
            return found
    return None


def is_job_id(text: Any) -> bool:  # noqa: ANN401
    """Whether it can be the ID of a job: `12`, `1234.server`, `ƒ2b` of Flux; it becomes an argument of commands."""
    return type(text) is str and text != "0" and re.fullmatch(r"[\wƒ][\w.\[\]@-]{0,99}", text) is not None


def _are_times(*values: object) -> bool:
    """Not `NaN`, which JSON may have too: no bound would ever be reached."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return len(numbers) == len(values) and all(0 <= number < _MOST_SECONDS for number in numbers)


def _are_numbers(*values: object) -> bool:
    return all(type(value) is int and 0 <= value < 10**9 for value in values)
