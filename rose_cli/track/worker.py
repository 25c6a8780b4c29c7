"""The process that calls a tracker. Its supervisor starts it, reads what it reports, and ends it if it hangs.

It gets a task as a line of JSON on standard input, and "end" once nothing more will be written to the journal. It
reports through a pipe of its own, since trackers print what they like.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from rose_cli.config.trackers import declared_trackers, installation, missing_module
from rose_cli.journal import events as e
from rose_cli.journal.file import NOTHING, DamagedJournalError, JournalContents, read_journal
from rose_cli.plan.file import MOST_BYTES, MOST_CAMPAIGN_BYTES, load_plan
from rose_cli.plan.model import Lineage
from rose_cli.plan.secrets import masked_settings, secrets_of_plan
from rose_cli.runs.directory import RunDirectory
from rose_cli.runs.listing import is_running
from rose_cli.track import interface as t
from rose_cli.track.changes import ChangesOf, tracked_learners
from rose_cli.track.position import MOST_BYTES as POSITION_BYTES
from rose_cli.track.position import Position, checksum_of, read_position, target_of
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import RoseError
from rose_cli.util.files import read_regular
from rose_cli.util.redact import Secrets, masked_document
from rose_cli.util.secrets import secrets_of_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.journal.codec import Record

REPORT = "report.html"

POLL_SECONDS = 0.5
"""How often the journal is read while nothing is in it."""

PLAN_SECONDS = 30.0
"""How long after its record a change of the plan may come into plan.json."""

MOST_MEMORY = POSITION_BYTES - (1 << 12)
"""The size of what a tracker may remember."""

IDLE_SECONDS = 5.0
"""How often the position is saved if nothing was to be sent."""


@dataclass(frozen=True)
class Task:
    """What to send: a run to a tracker. `session`: the one to follow; None: what is in the journal by now.

    `with_report`: make a report at the end; not after a process that has failed, perhaps because of it.
    """

    run: str
    name: str
    settings: Mapping[str, Any]
    session: int | None = None
    most_changes: int = 1000
    with_report: bool = True


class _EnoughError(Exception):
    """Raised while a journal is read: what was read so far is to be sent first."""


class _SupersededError(Exception):
    """A later session has begun to work on the run: its own process sends the rest."""


def main() -> None:
    """The main function of the process: its argument is the descriptor of the pipe to its supervisor."""
    _die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    report = _Reports(os.fdopen(int(sys.argv[1]), "wb", buffering=0))
    task = Task(**json.loads(_line_of(0)))
    try:
        _Worker(task, report).work()
    except _SupersededError:
        report(superseded=True)
    except t.TrackerError as error:
        report(trouble={"message": error.message, "hint": error.hint, "fatal": not error.temporary})
        sys.exit(1)
    except RoseError as error:
        report(trouble={"message": error.message, "hint": error.hint, "fatal": True})
        sys.exit(1)
    except BaseException as error:  # noqa: BLE001 - whatever a tracker raises
        traceback.print_exc()
        first = (str(error).strip().splitlines() or [""])[0]
        report(trouble={"message": f"{type(error).__name__}: {first}" if first else type(error).__name__})
        sys.exit(1)


def _line_of(descriptor: int) -> bytes:
    """The next line, and no byte more: the rest must stay visible to `select`."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(descriptor, 1)):
        line += byte
    return line


def _die_with_parent() -> None:
    """A supervisor that is killed leaves no worker behind."""
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == 1:
            os._exit(1)


class _Reports:
    """Lines of JSON to the supervisor."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe

    def __call__(self, **values: object) -> None:
        text = json.dumps(values).encode("ascii") + b"\n"
        if len(text) > MOST_MEMORY:
            raise t.TrackerError(f"its memory is larger than {MOST_MEMORY >> 20} MB", temporary=False)
        data = memoryview(text)
        while data:
            data = data[self._pipe.write(data) :]

    @contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Around a call of the tracker, which must not take forever."""
        self(call=what)
        yield
        self(call=None)


class _Worker:
    def __init__(self, task: Task, report: _Reports) -> None:
        self._task = task
        self._report = report
        self._directory = RunDirectory.at(Path(task.run))
        self._plan = load_plan(self._directory.plan)
        self._secrets = Secrets.of(secrets_of_plan(self._plan) | secrets_of_environment(os.environ))
        self._changes = ChangesOf(self._plan, self._directory.journal)
        self._read = NOTHING
        self._damage: DamagedJournalError | None = None
        self._waiting: list[t.Change] = []
        self._has_more_learners = self._is_open = False
        self._is_last = task.session is None
        self._saved = 0.0
        target = target_of(task.name, masked_settings(task.settings))
        found = read_position(self._directory, task.name)
        self._before = found if found is not None and found.target == target else Position(target)
        self._memory = dict(self._before.memory)

    def work(self) -> None:
        """Open the run, send what is in the journal, follow it, and close the run."""
        self._find_start()
        tracker = self._made()
        self._open(tracker)
        while True:
            was_last = self._is_last
            is_whole = self._read_on()
            if self._waiting:
                with self._report.calling("send"):
                    tracker.send(self._waiting)
                self._waiting = []
                self._save()
            if self._has_more_learners:
                self._has_more_learners = False
                tracker = self._made()
                self._open(tracker)
            elif time.monotonic() > self._saved + IDLE_SECONDS:
                self._save()
            if is_whole and (was_last or self._has_ended or self._damage is not None):
                break
            if is_whole:
                self._wait()
        self._save()
        if self._damage is not None:
            raise self._damage
        if self._task.session is None and is_running(self._directory):
            return
        with self._artifacts(with_report=self._task.with_report) as files, self._report.calling("close"):
            tracker.close(self._changes.end(files))
        self._save(closed=True)

    @property
    def _has_ended(self) -> bool:
        """Whether the session that is followed has ended, by its own record."""
        return self._changes.has_ended and self._changes.session == self._task.session

    # --- the tracker ---

    def _made(self) -> t.Tracker:
        name = self._task.name
        target = declared_trackers().get(name)
        if target is None:
            raise t.TrackerError(f"no tracker '{name}' is installed", installation(name), temporary=False)
        if (module := missing_module(name)) is not None:
            raise t.TrackerError(f"'{module}' is not installed", installation(name), temporary=False)
        from importlib import import_module

        module_name, _, attribute = target.partition(":")
        with self._report.calling("import"):
            made: Any = import_module(module_name)
            for part in attribute.split("."):
                made = getattr(made, part)
            tracker: t.Tracker = made()
        return tracker

    def _open(self, tracker: t.Tracker) -> None:
        self._is_open = True
        state, plan = self._changes.state, self._plan
        with self._artifacts() as files:
            run = t.TrackedRun(
                run_id=state.run_id,
                name=self._directory.path.resolve().name,
                campaign=plan.campaign,
                directory=self._directory.path,
                campaign_dir=Path(plan.campaign_dir),
                rose_version=self._changes.rose_version,
                started=state.started or 0.0,
                session=self._task.session,
                settings=self._task.settings,
                learners=tracked_learners(plan, self._secrets),
                artifacts=files,
            )
            with self._report.calling("open"):
                try:
                    line = tracker.open(run, self._memory)
                except t.StartOverError:
                    self._start_over()
                    line = tracker.open(run, self._memory)
        self._before = replace(self._before, line=None if line is None else self._secrets.masked(str(line))[:1000])
        self._save(well=False)

    @contextmanager
    def _artifacts(self, *, with_report: bool = False) -> Iterator[dict[str, Path]]:
        """The campaign, the plan and the report of the run, without secrets, in a directory that is deleted then."""
        copy, plan, masked = self._directory.campaign_copy, self._directory.plan, self._secrets.masked
        with tempfile.TemporaryDirectory(prefix="rose-track-") as folder:
            texts: dict[str, bytes] = {}
            with suppress(OSError):
                document = read_regular(copy, MOST_CAMPAIGN_BYTES).decode("utf-8", "replace")
                texts[copy.name] = masked(masked_document(document)).encode("utf-8", "replace")
            with suppress(OSError):
                document = read_regular(plan, MOST_BYTES).decode("utf-8", "replace")
                texts[plan.name] = masked(document).encode("utf-8", "replace")
            if with_report and (report := self._page()) is not None:
                texts[REPORT] = report
            for name, text in texts.items():
                Path(folder, name).write_bytes(text)
            yield {name: Path(folder, name) for name in texts}

    def _page(self) -> bytes | None:
        """The report; without one, if it cannot be made, everything else is sent nevertheless."""
        from rose_cli.report.forms import written
        from rose_cli.report.reading import Reading

        try:
            return written([Reading(self._directory)], "html", ended=True)[0]  # although its session waits for us
        except Exception:  # noqa: BLE001 - whatever is wrong with the run
            traceback.print_exc()
            return None

    # --- the journal ---

    def _find_start(self) -> None:
        """Read what the tracker has received already. If the journal is no longer the same, that is nothing."""
        while not self._changes.state.run_id:
            self._read_on(until=1)
            if not self._changes.state.run_id:
                if self._is_last:
                    raise t.TrackerError("the journal has no record yet", temporary=False)
                self._wait()
        before, run_id = self._before, self._changes.state.run_id
        if before.records > 1:
            self._read_on(until=before.records)
        here = (self._read.records, self._read.good_bytes, checksum_of(self._read.last))
        if before.records and (before.run_id, here) != (run_id, (before.records, before.bytes, before.last)):
            self._start_over()
        self._before = replace(self._before, run_id=run_id)

    def _start_over(self) -> None:
        """The tracker has received nothing, or something else."""
        self._changes = ChangesOf(self._plan, self._directory.journal)
        self._read, self._memory = NOTHING, {}
        self._read_on(until=1)
        self._before = Position(self._before.target, self._changes.state.run_id)

    def _read_on(self, until: int | None = None) -> bool:
        """Read further records; whether these are all that there are. Otherwise there are many to send first.

        `until`: read up to this one, which the tracker has received.
        """
        here = self._read
        records, good_bytes = here.records, here.good_bytes

        def consume(record: Record) -> None:
            event = record.event
            if isinstance(event, e.SessionStarted) and event.session > (self._task.session or event.session):
                raise _SupersededError
            if isinstance(event, e.PlanChanged):
                self._take_plan(event)
            change = self._changes.apply(record)
            if change is not None and until is None:
                self._waiting.append(change)

        def on_good(line: bytes) -> None:
            nonlocal records, good_bytes
            records, good_bytes = records + 1, good_bytes + len(line)
            self._read = JournalContents(records, good_bytes, last=line)
            if records == until or self._has_more_learners or len(self._waiting) >= self._task.most_changes:
                raise _EnoughError

        try:
            read_journal(self._directory.journal, consume, partial(self._again, here), on_good)
        except _EnoughError:
            return False
        except DamagedJournalError as error:
            self._damage = error
        return True

    def _take_plan(self, event: e.PlanChanged) -> None:
        """The plan with this change, which plan.json has a moment later, unless its session is killed in between."""
        until = time.monotonic() + PLAN_SECONDS
        while event.change not in (self._plan.lineage or Lineage()).changes:
            plan = load_plan(self._directory.plan)
            if event.change in (plan.lineage or Lineage()).changes:
                self._plan = plan
                self._changes.take_plan(plan)
                self._has_more_learners = bool(event.added) and self._is_open
            elif time.monotonic() > until or not is_running(self._directory):
                return
            else:
                time.sleep(POLL_SECONDS)

    @staticmethod
    def _again(here: JournalContents, file: BinaryIO) -> JournalContents:
        """Where to continue to read. Raises TrackerError if it is no longer the same journal."""
        file.seek(max(0, here.good_bytes - len(here.last)))
        if file.read(len(here.last)) != here.last:
            raise t.TrackerError("the journal was cut or replaced")
        return here

    def _wait(self) -> None:
        """Until there may be more in the journal, or nothing more is to come."""
        ready, _, _ = select.select([0], [], [], POLL_SECONDS)
        if ready:
            if not os.read(0, 64):
                os._exit(0)  # the supervisor is gone
            self._is_last = True

    def _save(self, *, closed: bool = False, well: bool = True) -> None:
        """Report the position. `well`: the tracker has taken everything up to it in this process."""
        here, self._saved = self._read, time.monotonic()
        self._before = replace(
            self._before,
            bytes=here.good_bytes,
            records=here.records,
            last=checksum_of(here.last),
            closed=closed,
            memory=self._memory,
        )
        values = {name: getattr(self._before, name) for name in _SAVED}
        self._report(position=values, well=well)


_SAVED = ("target", "run_id", "bytes", "records", "last", "closed", "line", "memory")
