"""The part of a task that runs on the node: a shell script around every task, and the pipe through which it reports."""

from __future__ import annotations

import hashlib
import os
import shlex
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.launch import note_beside
from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import open_unshared, read_regular
from rose_cli.util.ownership import make_directories
from rose_cli.util.streams import LineBuffer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from rose_cli.engine.launch import Note

_MOST_BYTES = 1 << 12

# One file for all tasks; $1 is the file of the task at hand. It is the parent of the task's program, and receives TERM
# and the like without obeying: it has to report how the program ended. Events go into a named pipe that rose reads; it
# is opened for reading and writing so that nobody hangs there when rose is gone. With several ranks each runs this
# script, and only the first reports; only radical.pilot knows that all have ended. `srun` shows each rank on a node the
# GPUs of all of them: each takes its own.
_COMMON = r"""
trap : TERM INT HUP QUIT USR1 USR2 XCPU ALRM
rank=${RP_RANK:-0} ranks=${RP_RANKS:-1}
. "$1" || exit 75
for name in CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES GPU_DEVICE_ORDINAL ZE_AFFINITY_MASK; do
  IFS=, read -r -a ids <<<"${!name-}"
  [ "${#ids[@]}" -gt "$gpus" ] && [ "$gpus" -gt 0 ] && [ -n "${SLURM_LOCALID-}" ] || continue
  ids=("${ids[@]:SLURM_LOCALID*gpus:gpus}")
  ids=$(IFS=,; printf '%s' "${ids[*]}")
  export "$name=$ids"
done
[ "$rank" = 0 ] || { cd -- "$directory" && task; exit; }
say() { [ -z "$events" ] || printf '%s %s\n' "$number" "$*" 1<>"$events"; }
finish() {
  printf '%s\n' "$1" >"$record.new" && mv -f -- "$record.new" "$record"
  say end "$1"
  exit "$2"
}
exec 9>>"$locks.$generation" || finish nowhere 75
flock -s 9
for other in "$locks".*; do
  [ "$other" = "$locks.$generation" ] && continue
  exec 8>>"$other"
  flock -n -x -E 75 8
  [ $? != 75 ] || finish held 75
  exec 8>&-
done
[ ! -e "$over" ] || finish over 75
cd -- "$directory" || finish nowhere 75
if read -r stat <"/proc/$$/stat"; then stat=${stat##*) }; set -- $stat; else set --; fi 2>/dev/null
say start $$ "${20:-0}"
[ -n "$events" ] || : >"$record.begun"
task
code=$?
[ "$ranks" = 1 ] || exit "$code"
finish "$code" "$code"
"""


@dataclass(frozen=True)
class Generation:
    """What the tasks of one pilot have in common. `events`: None if they run on other machines."""

    name: str
    over: Path
    locks: Path
    events: Path | None


@dataclass(frozen=True)
class TaskScript:
    """The files of one task: its script, and the record of how it ended."""

    path: Path

    @property
    def record(self) -> Path:
        return self.path.with_suffix(".end")

    @property
    def _begun(self) -> Path:
        return self.record.with_name(f"{self.record.name}.begun")

    def has_begun(self) -> bool:
        """Whether it ran, on whatever machine, up to where the program starts."""
        return self._begun.exists()

    @property
    def note(self) -> Note:
        """How far the lines of `pre_exec` got."""
        return note_beside(self.path)

    def withdraw(self) -> None:
        """Keep it from starting, wherever it is queued; a script that has started continues. Raises OSError."""
        self.path.unlink(missing_ok=True)

    def remove(self) -> None:
        """It has ended. A file that cannot be removed now may stay, and is removed with the directory."""
        for path in (self.path, self.record, self._begun):
            with suppress(OSError):
                path.unlink()
        self.note.remove()

    def read_record(self) -> str | None:
        try:
            return read_regular(self.record, _MOST_BYTES).decode("ascii", "replace").strip()
        except OSError:
            return None


def make_fresh(directory: Path) -> None:
    """Create a directory that nobody has put anything into. Whatever is in its place is renamed."""
    if os.path.lexists(directory):
        names = (directory.with_name(f"{directory.name}.before-{n}") for n in count(1))
        directory.rename(next(name for name in names if not os.path.lexists(name)))
    make_directories(directory)


def write_common(directory: Path) -> None:
    make_fresh(directory)
    (directory / "common.sh").write_text(_COMMON, encoding="utf-8")


def write_script(
    script: TaskScript,
    generation: Generation,
    argv: Sequence[str],
    environment: Mapping[str, str],
    paths: tuple[Path, Path, Path],
    *,
    exact: bool,
    gpus_per_rank: int = 0,
) -> None:
    """`paths` are the working directory and the files for output. `exact`: the program sees no other variables."""
    directory, stdout, stderr = (shlex.quote(str(path)) for path in paths)
    values = {
        "number": script.path.stem, "directory": paths[0], "record": script.record, "over": generation.over,
        "events": generation.events or "", "generation": generation.name, "gpus": gpus_per_rank,
        "locks": generation.locks / hashlib.sha256(directory.encode()).hexdigest()[:16],
    }  # fmt: skip
    lines = [f"{name}={shlex.quote(str(value))}" for name, value in values.items()]
    words = ["env", *(["-i"] if exact else []), *(f"{name}={value}" for name, value in environment.items()), *argv]
    lines.append(f"task() {{ (exec {shlex.join(words)}) </dev/null >>{stdout} 2>>{stderr}; }}")
    # readable only for its owner: variables may be secrets
    descriptor = open_unshared(script.path, os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\n".join([*lines, ""]))


def command_line(script: TaskScript, tag: tuple[str, str]) -> str:
    """The command that radical.pilot pastes into its own shell script; the tag is for it and all that it starts."""
    name, value = tag
    return shlex.join(
        ["env", f"{name}={value}", "/bin/bash", str(script.path.with_name("common.sh")), str(script.path)]
    )


class EventFifo:
    """A line is a task's number, `start` or `end`, and its values: shorter than what a pipe may split."""

    def __init__(self, path: Path) -> None:
        self.path = path
        make_directories(path.parent)
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
        # also for writing: otherwise it would be at its end whenever no task has it open
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    async def events(self) -> AsyncIterator[tuple[int, list[str]]]:
        async for line in lines_of(self._descriptor):
            number, *words = line.decode("ascii").split()
            yield int(number), words

    def close(self) -> None:
        os.close(self._descriptor)
        with suppress(OSError):
            self.path.unlink()


async def lines_of(descriptor: int) -> AsyncIterator[bytes]:
    """All lines of a pipe, until its other end is closed."""
    lines = LineBuffer()
    while True:
        await anyio.wait_readable(descriptor)
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            return
        for line in lines.feed(chunk):
            yield line
