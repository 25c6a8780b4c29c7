"""What `rose doctor` finds out about this machine and the current folder."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from rose_cli.commands.health import Check, Section
from rose_cli.engine.gpus import visible_gpus
from rose_cli.engine.local import machine_capacity, process_start_ticks
from rose_cli.errors import RoseError
from rose_cli.journal.file import JournalFile
from rose_cli.journal.lock import RunLock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rose_cli.engine.base import Capacity

SLOW_SYNC_SECONDS = 0.1
_SYNCS = 5
_PROGRAM_SECONDS = 20
_FULL = "run campaigns from a folder on another file system"


def machine(environment: Mapping[str, str]) -> Section:
    capacity = machine_capacity()
    checks = (_python(), _cores(capacity), _memory(capacity), _gpus(environment), _proc(), _pidfd())
    return Section("this machine", checks)


def _python() -> Check:
    return Check("Python", "ok", f"{platform.python_version()}, {sys.executable}")


def _cores(capacity: Capacity) -> Check:
    there = os.cpu_count() or capacity.cores
    limited = f" of {there}: affinity or a cgroup keeps the others" if capacity.cores < there else ""
    return Check("cores", "ok", f"{capacity.cores}{limited}")


def _memory(capacity: Capacity) -> Check:
    return Check("memory", "ok", f"{(capacity.memory_mb or 0) / 1024:.1f} GB")


def _gpus(environment: Mapping[str, str]) -> Check:
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return Check("GPUs", "ok", "none seen: no 'nvidia-smi' on PATH")
    code, text = output_of([program, "-L"])
    cards = [line for line in text.splitlines() if line.startswith("GPU ")]
    if code != 0:
        return Check("GPUs", "warn", f"'nvidia-smi -L' fails: {_first_line(text)}", "ask who looks after this machine")
    if not cards:
        return Check("GPUs", "ok", "none")
    visible = visible_gpus(environment)
    count = len(cards) if visible is None else len(visible.ids)
    limited = "" if visible is None else f": {visible.source} leaves {count or 'none'} to this session"
    hint = f"share them out with `engine: {{kind: local, gpus: {count}}}`" if count else None
    return Check("GPUs", "ok", f"{len(cards)}{limited}", hint)


def output_of(argv: list[str]) -> tuple[int, str]:
    """Exit code of a small program and all that it printed; it gets some seconds, and no input."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_PROGRAM_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"no answer after {_PROGRAM_SECONDS} s"
    except OSError as error:
        return 1, error.strerror or str(error)
    return done.returncode, done.stdout


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].strip() if lines else "it says nothing"


def _proc() -> Check:
    if process_start_ticks(os.getpid()) is not None:
        return Check("/proc", "ok", "what a task leaves behind is found and ended")
    return Check("/proc", "warn", "none: of what a task leaves behind, only its process group is ended")


def _pidfd() -> Check:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # macOS, or Linux before 5.3
        return Check("pidfd", "warn", "none: every running task needs a thread of rose that waits for it")
    return Check("pidfd", "ok", "the end of a task is seen at once")


def folder(path: Path) -> Section:
    """Whether runs can be kept in this folder: tried out, in a folder of its own that is gone afterwards."""
    title = "this folder"
    try:
        with tempfile.TemporaryDirectory(prefix=".rose-doctor-", dir=path) as scratch:
            return Section(title, (Check("writing", "ok", "files can be made"), *_durability(Path(scratch))))
    except OSError as error:
        said = f"no folder can be made: {error.strerror}"
        return Section(title, (Check("writing", "missing", said, "go to a folder of your own"),))


def _durability(scratch: Path) -> tuple[Check, Check]:
    return _lock(scratch), _sync(scratch)


def _lock(scratch: Path) -> Check:
    try:
        with RunLock.acquire(scratch):
            return Check("locks", "ok", "two sessions cannot work on one run")
    except RoseError as error:
        return Check("locks", "missing", error.message, _FULL)


def _sync(scratch: Path) -> Check:
    try:
        with JournalFile.create(scratch / "journal.jsonl") as journal:
            seconds = median(_seconds_to_append(journal) for _ in range(_SYNCS))
    except RoseError as error:
        return Check("fsync", "missing", error.message, _FULL)
    said = f"{seconds * 1000:.1f} ms until a line of the journal is on disk"
    if seconds > SLOW_SYNC_SECONDS:
        return Check("fsync", "warn", said, "steps wait for it: a local disk is quicker")
    return Check("fsync", "ok", said)


def _seconds_to_append(journal: JournalFile) -> float:
    start = time.monotonic()
    journal.append_lines([b"{}\n"])
    return time.monotonic() - start
