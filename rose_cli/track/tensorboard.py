"""Writes the results of a run for TensorBoard: a directory of logs for each learner, which TensorBoard overlays.

A log is a file of records (TFRecord) that hold protobuf messages of four kinds, which is little enough to write here.
Measured for 64 learners with 50 iterations: 0.3 s and nothing to install; tensorboardX takes 2.5 s and installs 61 MB
(numpy, protobuf), TensorBoard's own writer 1.4 s, after an import of 6 s, and 133 MB. And a writer that decides what is
in each file can cut off what was written after the last saved position: the records come again, byte for byte.
"""

from __future__ import annotations

import math
import os
import shlex
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli.track.interface import (
    IterationFinished,
    LearnerReopened,
    LearnerStarted,
    StartOverError,
    TrackerError,
    numbers,
)
from rose_cli.util.files import OpenDirectory, open_unshared
from rose_cli.util.shared import CAMPAIGN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.track.interface import CampaignPart, Change, TrackedEnd, TrackedLearner, TrackedRun

DIRECTORY = "tensorboard"
"""The directory in a run that has the logs, unless the settings name another one."""

MOST_TAGS = 1000
"""How many values of an iteration are written at most."""

_MOST_CHARACTERS = 300


class TensorBoardTracker:
    """One file for each learner: `DIR/LEARNER/events.out.tfevents.STARTED.rose`.

    Its memory has the size of each file after the last call that was saved, and whether their ends are written.
    """

    def open(self, run: TrackedRun, memory: dict[str, Any]) -> str:
        """Cut off what was written since the position was saved."""
        self._top, self._folder = _places(run)
        self._name = f"events.out.tfevents.{int(run.started)}.rose"
        self._started = run.started
        self._run = run.name
        self._learners = {learner.name: learner for learner in run.learners}
        self._memory = memory
        self._sizes: dict[str, int] = memory.setdefault("sizes", {})
        if not isinstance(self._sizes, dict) or any(type(size) is not int or size < 0 for size in self._sizes.values()):
            raise StartOverError  # anyone who can write to the run directory can put anything there
        for learner, size in self._sizes.items():
            if learner in self._learners and self._size(learner) < size:
                raise StartOverError
        return f"tensorboard --logdir {shlex.quote(str(self._folder))}"

    def send(self, changes: Sequence[Change]) -> None:
        """Append to the file of each learner that something has happened to."""
        written: dict[str, list[bytes]] = {}
        for change in changes:
            learner = getattr(change, "learner", None)
            if learner in self._learners:
                written.setdefault(learner, []).extend(self._events(change))
        for learner, events in written.items():
            self._append(learner, events)

    def close(self, end: TrackedEnd) -> None:
        """Write what has run once per campaign, and how each learner ended, unless a resume continues it."""
        self._write_parts(end.campaign)
        if not end.is_final or self._memory.get("ended"):
            return
        for learner in end.learners:
            if learner.name in self._sizes:
                status = _FAILURE if learner.status == "failed" else _SUCCESS
                content = _bytes(4, _varint(1, status) + _double(2, end.time))
                self._append(learner.name, [_event(end.time, 0, _hparams("_hparams_/session_end_info", content))])
        self._memory["ended"] = True

    def _write_parts(self, parts: Sequence[CampaignPart]) -> None:
        """In a directory of their own: no learner has this name beside them."""
        written = self._memory.setdefault("once", [])
        for part in parts:
            if (key := f"{part.part}.{part.number}") not in written:
                written.append(key)
                values = {f"{part.part}/{name}": value for name, value in numbers(part.result).items()}
                values |= {f"{part.part}/seconds": part.seconds, f"{part.part}/core_seconds": part.core_seconds}
                summary = b"".join(_scalar(tag, value) for tag, value in list(values.items())[:MOST_TAGS])
                self._append(CAMPAIGN, [_event(part.ended, part.number, summary)])

    # --- files ---

    def _append(self, learner: str, events: Sequence[bytes]) -> None:
        """Add events after those that were saved: whatever follows them was written by a process that was killed."""
        if not events:
            return
        size = self._sizes.get(learner, 0)
        planned = self._learners.get(learner)
        head = () if size else self._head(planned) if planned is not None else _start_of_file(self._started)
        data = b"".join(map(_record, (*head, *events)))
        with self._opened(learner, make=True) as directory:
            descriptor = open_unshared(self._name, os.O_WRONLY, dir_fd=directory.descriptor)
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
                file.truncate(size)
                file.seek(size)
                file.write(data)
        self._sizes[learner] = size + len(data)

    def _size(self, learner: str) -> int:
        with suppress(OSError), self._opened(learner) as directory:
            return os.stat(self._name, dir_fd=directory.descriptor, follow_symlinks=False).st_size
        return -1

    def _opened(self, learner: str, *, make: bool = False) -> OpenDirectory:
        return OpenDirectory.at(self._folder / learner, inside=self._top, make=make)

    # --- events ---

    def _head(self, learner: TrackedLearner) -> Iterator[bytes]:
        """What a file begins with: its version, and the options of the learner for the table of hyperparameters."""
        yield from _start_of_file(self._started)
        options = {f"{task}.{name}": value for task, given in learner.options.items() for name, value in given.items()}
        entries = b"".join(
            _bytes(1, _bytes(1, _text(name)) + _bytes(2, _value(value)))
            for name, value in sorted({**options, "seed": learner.seed}.items())
        )
        group = _bytes(4, _text(f"{self._run}/{learner.name}"))
        content = _bytes(3, entries + group + _double(5, self._started))
        yield _event(self._started, 0, _hparams("_hparams_/session_start_info", content))

    def _events(self, change: Change) -> Iterator[bytes]:
        if isinstance(change, IterationFinished):
            values = list(self._values(change))
            summary = b"".join(_scalar(tag, value) for tag, value in values[:MOST_TAGS])
            yield _event(change.ended, change.iteration, summary)
            if len(values) > MOST_TAGS:
                where = f"{change.learner}, iteration {change.iteration}"
                sys.stderr.write(f"{where}: {MOST_TAGS:,} of {len(values):,} values are kept\n")
        elif isinstance(change, LearnerReopened) and change.from_iteration is not None:
            # the start of a session: TensorBoard drops everything from its step on
            yield _double(1, change.time) + _varint(2, change.from_iteration) + _bytes(7, _varint(1, 1))
        elif isinstance(change, LearnerStarted):
            yield _double(1, change.time)

    def _values(self, change: IterationFinished) -> Iterator[tuple[str, float]]:
        metric = self._learners[change.learner].metric
        if change.value is not None and metric is not None:
            yield metric, change.value
        yield from change.metrics.items()
        for name, value in numbers(change.result).items():
            yield f"result/{name}", value
        for task, reports in change.replicas.items():
            for replica, report in enumerate(reports):
                yield from ((f"replica/{task}.{replica}.{name}", value) for name, value in numbers(report).items())
        for task, options in change.options.items():
            yield from ((f"option/{task}.{name}", value) for name, value in numbers(options).items())
        yield "time/seconds", change.seconds
        yield "time/core_seconds", change.core_seconds


def _start_of_file(time: float) -> Iterator[bytes]:
    yield _double(1, time) + _bytes(3, b"brain.Event:2")


def _places(run: TrackedRun) -> tuple[Path, Path]:
    """A directory of the user's own, and the one in it that gets the logs."""
    wanted = run.settings.get("dir")
    if wanted is None:
        return run.directory, run.directory / DIRECTORY
    top = run.campaign_dir / Path(os.path.expanduser(str(wanted)))  # noqa: PTH111 - raises nothing
    try:
        top.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrackerError(
            f"cannot create '{top}': {error.strerror}", "choose another 'dir'", temporary=False
        ) from error
    return top, top / run.name


# --- protobuf: fields of a number and a type, and records with checksums ----------------------------------------------

_SUCCESS, _FAILURE = 1, 2


def _bytes(number: int, data: bytes) -> bytes:
    return _key(number, 2) + _variable(len(data)) + data


def _double(number: int, value: float) -> bytes:
    return _key(number, 1) + struct.pack("<d", value)


def _varint(number: int, value: int) -> bytes:
    return _key(number, 0) + _variable(value)


def _key(number: int, kind: int) -> bytes:
    return _variable(number << 3 | kind)


def _variable(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def _text(text: str) -> bytes:
    return text[:_MOST_CHARACTERS].encode("utf-8", "replace")


def _event(time: float, step: int, summary: bytes) -> bytes:
    return _double(1, time) + _varint(2, step) + _bytes(5, summary)


def _scalar(tag: str, value: float) -> bytes:
    """TensorBoard stores 32 bits of a number: beyond 3.4e38 they are infinite."""
    try:
        number = struct.pack("<f", value)
    except OverflowError:
        number = struct.pack("<f", math.copysign(math.inf, value))
    return _bytes(1, _bytes(1, _text(tag)) + _key(2, 5) + number)


def _hparams(tag: str, content: bytes) -> bytes:
    """A value of the plugin for hyperparameters: a tensor without numbers, and the content as its metadata."""
    tensor = _varint(1, 1) + _bytes(2, _bytes(2, b""))
    plugin = _bytes(1, b"hparams") + _bytes(2, content)
    return _bytes(1, _bytes(1, _text(tag)) + _bytes(8, tensor) + _bytes(9, _bytes(1, plugin)))


def _value(value: object) -> bytes:
    """An option as a google.protobuf.Value."""
    if isinstance(value, bool):
        return _varint(4, int(value))
    if isinstance(value, int | float):
        return _double(2, numbers({"": value})[""])
    return _bytes(3, _text(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)))


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    """The masked CRC-32C of a TFRecord."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _entry(index: int) -> int:
    for _ in range(8):
        index = index >> 1 ^ (0x82F63B78 if index & 1 else 0)
    return index


_TABLE = tuple(map(_entry, range(256)))
