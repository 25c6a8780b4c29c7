"""`rose logs`: the output of tasks."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import time
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.find_runs import name_of
from rose_cli.journal.events import StepKey
from rose_cli.loop.retention import logged_iterations
from rose_cli.run_info import RunInfo, notice_ownership, read_run
from rose_cli.step_words import StepWords, read_step_words, replica_called_in, split_run
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import ExitCode, UsageError
from rose_cli.util.files import OpenDirectory, open_regular
from rose_cli.util.shared import SHARED, part_of, shown_name
from rose_cli.util.text import counted
from rose_cli.view.console import Filter, encodable, notice, say
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.runs.directory import RunDirectory

MOST_SHOWN = 8
POLL_SECONDS = 0.3
CHUNK_BYTES = 1 << 16

_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_NAME = re.compile(r"(?P<task>[^.]+)(?:\.r(?P<replica>\d+))?\.(?P<attempt>\d+)\.(?P<stream>out|err)")


@dataclass(frozen=True)
class Wanted(StepWords):
    """Which logs to print."""

    failed: bool = False


@dataclass(frozen=True, order=True)
class Log:
    """One stream of one attempt, sorted as they are printed."""

    learner_index: int
    iteration: int
    task_index: int
    replica: int
    attempt: int
    stream: str
    learner: str = field(compare=False)
    task: str = field(compare=False)
    path: Path = field(compare=False)
    name: str | None = field(default=None, compare=False)

    @property
    def title(self) -> str:
        copy = f" replica {self.name or self.replica}" if self.replica or self.name else ""
        name = "stdout" if self.stream == "out" else "stderr"
        where = f"iteration {self.iteration}" if self.learner != SHARED else part_of(self.iteration)
        return f"{shown_name(self.learner)} · {where} · {self.task}{copy} · attempt {self.attempt} · {name}"


def logs(words: Sequence[str], *, failed: bool = False, follow: bool = False, raw: bool = False) -> ExitCode:
    """`words`: RUN, LEARNER, ITERATION and TASK, of which each may be omitted."""
    directory, words = split_run(words)
    info = read_run(directory, cached=True)
    notice_ownership(info.doubt)
    wanted = Wanted(**vars(read_step_words(info.plan, words, directory)), failed=failed)
    skipped = _Skipped()
    printer = _Printer(info.directory.path, skipped, filtered=sys.stdout.isatty() and not raw)
    printer.print_all(_find(info, wanted, skipped))
    while follow and info.alive:
        time.sleep(POLL_SECONDS)
        info = read_run(info.directory, cached=True)
        printer.print_all(_find(info, wanted, skipped))
    printer.finish()
    gone = list(_removed_lines(info, wanted))
    for line in gone:
        notice(line)
    skipped.tell()
    if printer.is_blank and not gone:
        notice(_why_blank(info, wanted))
    return ExitCode.OK


def _why_blank(info: RunInfo, wanted: Wanted) -> str:
    """Raises UsageError if there can be no such iteration."""
    states = info.state.by_name()
    learners = [each for each in states.values() if wanted.learner in (None, each.name)]
    started = max((len(learner.iterations) + (learner.current is not None) for learner in learners), default=0)
    if wanted.iteration is not None and wanted.iteration >= started:
        whose = f"learner '{wanted.learner}' of " if wanted.learner is not None else ""
        have = (
            f"iterations 0 to {started - 1}" if started > 1 else "iteration 0 only" if started else "no iteration yet"
        )
        if all(learner.stop_reason for learner in learners):
            message = f"there is no iteration {wanted.iteration} in {whose}the run {name_of(info.directory)}"
            raise UsageError(message, f"it has {have}")
        return f"iteration {wanted.iteration} of {whose}the run has not started: it has {have}"
    return "no failed attempt has any output" if wanted.failed else "no output"


class _Skipped:
    """Entries among the logs that are not logs, such as symbolic links and pipes of other users."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def add(self, path: Path | str, error: OSError) -> None:
        self._reasons[str(path)] = error.strerror or str(error)

    def tell(self) -> None:
        for path, reason in list(self._reasons.items())[:MOST_SHOWN]:
            notice(f"skipped '{short_path(Path(path))}': {reason}")
        if len(self._reasons) > MOST_SHOWN:
            notice(f"skipped {len(self._reasons) - MOST_SHOWN} more")


def _find(info: RunInfo, wanted: Wanted, skipped: _Skipped) -> list[Log]:
    return sorted(log for log in _all_logs(info, wanted, skipped) if not wanted.failed or _has_failed(info, log))


def _all_logs(info: RunInfo, wanted: Wanted, skipped: _Skipped) -> Iterator[Log]:
    for learner in info.plan.everyone:
        if wanted.learner not in (None, learner.name):
            continue
        order = {step.task: position for position, step in enumerate(learner.all_steps)}
        for iteration, name in _names(info.directory, learner.name, wanted, skipped):
            match = _NAME.fullmatch(name)
            if match is None or wanted.task not in (None, match["task"]):
                continue
            place = order.get(match["task"], len(order)), int(match["replica"] or 0), int(match["attempt"])
            path = info.directory.logs(learner.name, iteration) / name
            called = replica_called_in(info, learner, iteration, match["task"], place[1])
            yield Log(learner.index, iteration, *place, match["stream"], learner.name, match["task"], path, called)


def _removed_lines(info: RunInfo, wanted: Wanted) -> Iterator[str]:
    """A line if requested logs have been deleted."""
    failed = {(step.learner, step.iteration) for step, _ in info.failed_attempts} if wanted.failed else None
    gone = 0
    for learner in info.plan.learners:
        if wanted.learner in (None, learner.name):
            there = set(logged_iterations(info.directory.all_logs(learner.name), info.directory.path))
            done = {each.number for each in info.state.learners[learner.name].iterations}
            asked = done if wanted.iteration is None else done & {wanted.iteration}
            gone += sum(failed is None or (learner.name, number) in failed for number in asked - there)
    if gone:
        most = info.plan.keep.logs
        why = f"the campaign keeps those of each learner's last {most} (keep.logs)" if most else "they were cleaned up"
        yield f"the logs of {counted(gone, 'iteration')} have been deleted: {why}"


def _names(directory: RunDirectory, learner: str, wanted: Wanted, skipped: _Skipped) -> Iterator[tuple[int, str]]:
    """The entries in the directories of iterations, whose names are numbers."""
    path = directory.all_logs(learner)
    try:
        with OpenDirectory.at(path, inside=directory.path) as logs:
            for number in logs.names() if wanted.iteration is None else (str(wanted.iteration),):
                yield from ((int(number), name) for name in _names_of_iteration(logs, number, skipped))
    except FileNotFoundError:  # nothing has run yet
        return
    except OSError as error:
        skipped.add(path, error)


def _names_of_iteration(logs: OpenDirectory, number: str, skipped: _Skipped) -> list[str]:
    try:
        if _NUMBER.fullmatch(number):
            with logs.subdirectory(number) as iteration:
                return iteration.names()
        if not stat.S_ISREG(os.lstat(number, dir_fd=logs.descriptor).st_mode):  # a regular file is a note by the user
            raise OSError(errno.EINVAL, "not the directory of an iteration", number)
    except FileNotFoundError:
        pass
    except OSError as error:
        skipped.add(f"{logs.path}/{number}", error)
    return []


def _has_failed(info: RunInfo, log: Log) -> bool:
    step = StepKey(log.learner, log.iteration, log.task, log.replica)
    return (step, log.attempt) in info.failed_attempts


@dataclass
class _Printer:
    """Prints what is new in each log, under its title.

    Output is passed on byte for byte or, if `filtered`, as text that affects a terminal only by its colours.
    """

    run: Path
    skipped: _Skipped
    filtered: bool
    _filters: dict[Path, Filter] = field(default_factory=dict)
    _shown: dict[Path, int] = field(default_factory=dict)
    _current: Path | None = None
    _is_within_line: bool = False

    @property
    def is_blank(self) -> bool:
        return self._current is None

    def print_all(self, found: list[Log]) -> None:
        for log in found:
            self._print(log)
        sys.stdout.flush()

    def finish(self) -> None:
        """Print the end of the last log, which the filter held back."""
        if self._current in self._filters:
            self._write(self._filters[self._current].finish())
            sys.stdout.flush()

    def _print(self, log: Log) -> None:
        try:
            with OpenDirectory.at(log.path.parent, inside=self.run) as folder:
                descriptor = open_regular(log.path.name, dir_fd=folder.descriptor)
        except FileNotFoundError:  # removed since it was found
            return
        except OSError as error:
            self.skipped.add(log.path, error)
            return
        self._pass_on_from(descriptor, log)

    def _pass_on_from(self, descriptor: int, log: Log) -> None:
        start = self._shown.get(log.path, 0)
        with open(descriptor, "rb") as file:
            file.seek(start)
            while chunk := file.read(CHUNK_BYTES):
                if self._current != log.path:
                    self.finish()
                    self._current = log.path
                    if self._is_within_line:  # the log before does not end with a newline
                        sys.stdout.write("\n")
                    say(f"── {log.title}")
                    sys.stdout.flush()
                self._pass_on(log.path, chunk)
                start += len(chunk)
        self._shown[log.path] = start

    def _pass_on(self, path: Path, chunk: bytes) -> None:
        if self.filtered:
            self._write(encodable(self._filters.setdefault(path, Filter()).feed(chunk), sys.stdout.encoding))
        else:
            sys.stdout.buffer.write(chunk)
            self._is_within_line = not chunk.endswith(b"\n")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        if text:
            self._is_within_line = not text.endswith("\n")
