"""`rose logs`: what tasks printed."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rose_cli.commands.runs import SeenRun, find_run, mention_doubt, see
from rose_cli.diagnostic import did_you_mean
from rose_cli.errors import ExitCode, UsageError
from rose_cli.journal.events import StepKey
from rose_cli.loop.keeping import logged_iterations
from rose_cli.view.console import Filter, notice, say
from rose_cli.view.outlet import encodable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLL_SECONDS = 0.3
CHUNK_BYTES = 1 << 16

_NAME = re.compile(r"(?P<task>[^.]+)(?:\.r(?P<replica>\d+))?\.(?P<attempt>\d+)\.(?P<stream>out|err)")


@dataclass(frozen=True)
class Wanted:
    """Which logs: None stands for all."""

    learner: str | None = None
    iteration: int | None = None
    task: str | None = None
    failed: bool = False


@dataclass(frozen=True, order=True)
class Log:
    """One stream of one attempt, in the order in which a reader wants them."""

    learner_index: int
    iteration: int
    task_index: int
    replica: int
    attempt: int
    stream: str
    learner: str = field(compare=False)
    task: str = field(compare=False)
    path: Path = field(compare=False)

    @property
    def title(self) -> str:
        copy = f" replica {self.replica}" if self.replica else ""
        name = "stdout" if self.stream == "out" else "stderr"
        return f"{self.learner} · iteration {self.iteration} · {self.task}{copy} · attempt {self.attempt} · {name}"


def logs(argument: str, wanted: Wanted, *, follow: bool, raw: bool) -> ExitCode:
    seen = see(find_run(argument))
    mention_doubt(seen)
    _check(seen, wanted)
    printer = _Printer(filtered=sys.stdout.isatty() and not raw)
    printer.print_all(_find(seen, wanted))
    while follow and seen.alive:
        time.sleep(POLL_SECONDS)
        seen = see(seen.directory)
        printer.print_all(_find(seen, wanted))
    printer.finish()
    for line in _told_gone(seen, wanted):
        notice(line)
    if printer.is_blank:
        notice("nothing was printed" if not wanted.failed else "no attempt failed, or it printed nothing")
    return ExitCode.OK


def _check(seen: SeenRun, wanted: Wanted) -> None:
    names = [learner.name for learner in seen.plan.learners]
    if wanted.learner is not None and wanted.learner not in names:
        message = f"there is no learner '{wanted.learner}' in this run"
        raise UsageError(message, did_you_mean(wanted.learner, names) or f"there are {', '.join(names[:20])}")
    tasks = {step.task for learner in seen.plan.learners for step in learner.all_steps}
    if wanted.task is not None and wanted.task not in tasks:
        message = f"there is no task '{wanted.task}' in this run"
        raise UsageError(message, did_you_mean(wanted.task, tasks) or f"there are {', '.join(sorted(tasks))}")


def _find(seen: SeenRun, wanted: Wanted) -> list[Log]:
    return sorted(log for log in _all_logs(seen, wanted) if not wanted.failed or _has_failed(seen, log))


def _all_logs(seen: SeenRun, wanted: Wanted) -> Iterator[Log]:
    for learner in seen.plan.learners:
        if wanted.learner not in (None, learner.name):
            continue
        order = {step.task: position for position, step in enumerate(learner.all_steps)}
        folder = seen.directory.learner(learner.name) / "logs"
        for path in folder.glob("*/*") if wanted.iteration is None else folder.glob(f"{wanted.iteration}/*"):
            match = _NAME.fullmatch(path.name)
            if match is None or wanted.task not in (None, match["task"]):
                continue
            place = order.get(match["task"], len(order)), int(match["replica"] or 0), int(match["attempt"])
            iteration = int(path.parent.name)
            yield Log(learner.index, iteration, *place, match["stream"], learner.name, match["task"], path)


def _told_gone(seen: SeenRun, wanted: Wanted) -> Iterator[str]:
    """A line where logs that were asked for have been removed."""
    failed = {(step.learner, step.iteration) for step, _ in seen.failed_attempts} if wanted.failed else None
    gone = 0
    for learner in seen.plan.learners:
        if wanted.learner in (None, learner.name):
            there = set(logged_iterations(seen.directory.learner(learner.name) / "logs", seen.directory.path))
            done = {each.number for each in seen.state.learners[learner.name].iterations}
            asked = done if wanted.iteration is None else done & {wanted.iteration}
            gone += sum(failed is None or (learner.name, number) in failed for number in asked - there)
    if gone:
        most = seen.plan.keep.logs
        why = f"the campaign keeps those of each learner's last {most} (keep.logs)" if most else "they were removed"
        yield f"the logs of {gone} iteration{'s' if gone > 1 else ''} are no longer there: {why}"


def _has_failed(seen: SeenRun, log: Log) -> bool:
    step = StepKey(log.learner, log.iteration, log.task, log.replica)
    return (step, log.attempt) in seen.failed_attempts


@dataclass
class _Printer:
    """Prints what is new of each log, under its title.

    What tasks wrote is passed on byte by byte, `filtered` as text of which nothing acts on a terminal but its colours.
    """

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
        """The end of what was printed last, which waited for more."""
        if self._current in self._filters:
            self._write(self._filters[self._current].finish())
            sys.stdout.flush()

    def _print(self, log: Log) -> None:
        start = self._shown.get(log.path, 0)
        with log.path.open("rb") as file:
            file.seek(start)
            while chunk := file.read(CHUNK_BYTES):
                if self._current != log.path:
                    self.finish()
                    self._current = log.path
                    if self._is_within_line:  # what was printed before did not end its last line
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
