"""What all benchmarks share: programs measured in interleaved pairs, and what can be said of the figures.

The speed of a shared machine drifts. So two programs take turns, the ratio is taken within each pair, and what is shown
is a median with its quartiles.
"""

from __future__ import annotations

import math
import os
import platform
import select
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

REPOSITORY = Path(__file__).resolve().parent.parent
BUILD = REPOSITORY / "build" / "benchmarks"
"""On the same file system as the repository: a directory for temporary files might be in memory."""

ROSE = (sys.executable, "-m", "rose_cli")
OUTPUT = "benchmark.out"
"""What a measured program prints, in the directory that it ran in."""

BUSY = 0.05
"""The share of the machine that other programs may use before the figures come with a warning."""


class BenchmarkError(Exception):
    """A program that is measured did not do its work, or cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Reading:
    """What one program took. `own` is the CPU time of the process itself, `children` that of what it started and waited
    for, in seconds; `peak` is the most memory of the process itself, in MB.
    """

    wall: float
    own: float
    children: float
    peak: float

    @property
    def cpu(self) -> float:
        return self.own + self.children


def measured(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str] | None = None,
    limit: float = 300,
    terminal: int | None = None,
) -> Reading:
    """Run a program to its end. Its output goes to a file, which is quoted if it fails, its caches to the directory.

    `terminal` is a descriptor that takes the place of the file.
    """
    said = directory / OUTPUT
    environment = environment or {**os.environ, "XDG_CACHE_HOME": str(directory / "cache")}
    started = time.perf_counter()
    with said.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=directory, env=dict(environment), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output if terminal is None else terminal, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        ended, peak = _ends(process.pid, limit)
        wall = time.perf_counter() - started
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # of a program that ended, what it left in its group
    stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    own = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")  # kept until it is waited for
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not ended:
        why = f"ended with {process.returncode}" if ended else f"was killed after {limit:g} s"
        end = said.read_text(encoding="utf-8", errors="replace")[-1500:]
        message = f"{shlex.join(command)[:200]} {why}: {end}"
        raise BenchmarkError(message)
    return Reading(wall, own, max(0.0, usage.ru_utime + usage.ru_stime - own), peak)


def _ends(pid: int, seconds: float) -> tuple[bool, float]:
    """Wait for the end of a child, and leave it in the process table; its peak memory in MB, looked at every 20 ms.

    What the system keeps of the peak after the end includes the memory of the process that started it.
    """
    descriptor, peak, until = os.pidfd_open(pid), 0, time.perf_counter() + seconds
    try:
        while not select.select([descriptor], [], [], 0.02)[0]:
            with suppress(ValueError, IndexError, OSError):  # it is about to end
                status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
                peak = int(status.split("VmHWM:")[1].split()[0])
            if time.perf_counter() > until:
                return False, peak / 1024
        return True, peak / 1024
    finally:
        os.close(descriptor)


def in_turns(rounds: int, *works: Callable[[], Reading]) -> list[list[Reading]]:
    """The readings of each work. In every other round the order is reversed."""
    found: list[list[Reading]] = [[] for _ in works]
    for number in range(rounds):
        turns = list(zip(works, found, strict=True))
        for work, readings in turns if number % 2 == 0 else reversed(turns):
            readings.append(work())
    return found


def timed(work: Callable[[], object]) -> Reading:
    """The same for a piece of this process; its memory is not measured."""
    cpu, started = time.process_time(), time.perf_counter()
    work()
    return Reading(time.perf_counter() - started, time.process_time() - cpu, 0.0, math.nan)


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty directory on the disk of the repository, removed afterwards."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="scratch-") as name:
        yield Path(name)


@contextmanager
def new_directory(parent: Path) -> Iterator[Path]:
    """The same within another, for one program; what it left there is gone before the next is measured."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        yield Path(name)


# --- figures -------------------------------------------------------------------------------------------------------


NOT_MEASURABLE = "not measurable"


def spread(values: Sequence[float], unit: str = "") -> str:
    """The median and the quartiles, as `1.32 ms (1.28-1.40)`; a single value alone.

    Times, sizes and ratios are positive: the median of differences may not be, on a busy machine, and is no reading.
    """
    middle = statistics.median(values)
    if not middle >= 0:
        return NOT_MEASURABLE
    written = f"{_digits(middle)} {unit}".rstrip()
    if len(values) < 2:
        return written
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{written} ({_digits(low)}–{_digits(high)})"


def _digits(value: float) -> str:
    """Three digits that count."""
    if value == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(places, 4)}f}"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Pair by pair. A difference of two readings can be below zero on a busy machine: such a pair says nothing."""
    return [a / b for a, b in zip(ours, theirs, strict=True) if a > 0 and b > 0] or [math.nan]


# --- the machine ---------------------------------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """What the figures depend on. Nothing here identifies the machine or its user."""
    return {
        "Processor": f"{os.cpu_count()} × {_first('/proc/cpuinfo', 'model name')}, {platform.machine()}",
        "Memory": f"{int(_first('/proc/meminfo', 'MemTotal').split()[0]) / (1 << 20):.0f} GB",
        "System": f"{platform.system()} {platform.release()}",
        "Disk": f"{_file_system()}; an appended line is on disk after {spread(_syncs(), 'ms')}",
        "Python": platform.python_version(),
    }


def rose_version() -> str:
    """Its version and commit, and whether rose or its benchmarks were changed since; not the page that is written."""
    from rose_cli import __version__

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False
        ).stdout.strip()

    commit = git("rev-parse", "--short", "HEAD")
    changed = ", changed" if git("status", "--porcelain", "--", "rose_cli", "benchmarks", "campaigns") else ""
    return f"{__version__} ({commit}{changed})" if commit else __version__


def _first(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _file_system() -> str:
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    holding = [(len(where), kind) for where, kind in mounts if BUILD.is_relative_to(where)]
    return max(holding)[1]


def _syncs(number: int = 50) -> list[float]:
    """Milliseconds from an appended line to its being on disk."""
    found = []
    with scratch() as folder:
        descriptor = os.open(folder / "lines", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for _ in range(number):
            started = time.perf_counter()
            os.write(descriptor, b"x" * 200 + b"\n")
            os.fdatasync(descriptor)
            found.append((time.perf_counter() - started) * 1000)
        os.close(descriptor)
    return found


class Others:
    """What share of the machine other programs take, from the creation of this object on."""

    def __init__(self) -> None:
        self._before = self._read()

    def share(self) -> float:
        busy, total, ours = (now - then for now, then in zip(self._read(), self._before, strict=True))
        return max(0.0, busy - ours) / total if total > 0 else 0.0

    @staticmethod
    def _read() -> tuple[float, float, float]:
        """Seconds of all cores: busy, in total, and by this process and what it has waited for."""
        line = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0]
        ticks = [int(word) / os.sysconf("SC_CLK_TCK") for word in line.split()[1:9]]
        times = os.times()
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks), sum(times[:4])


def which(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        message = f"{program} is not installed"
        raise BenchmarkError(message)
    return found
