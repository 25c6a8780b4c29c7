"""One `srun`: its command line and environment, the script in front of the program, and what it says."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING

from rose_cli.engine.batch import inherited
from rose_cli.engine.slot_engine import LINGER_SECONDS
from rose_cli.engine.slurm.steps import GATE, cleaner_words, gate_directory_name, session_prefix
from rose_cli.engine.sruns import SRUN_MARK
from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import open_unshared
from rose_cli.util.ownership import make_directories
from rose_cli.util.processes import TAG_VARIABLE, session_tag
from rose_cli.util.slurm_commands import CONNECTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rose_cli.engine.base import Place, TaskRequest

# The parent of the program, on its node: `bash GATE RECORD DIRECTORY TAG NAMES LINES DOTS PROGRAM …`.
#
# `srun` takes a word ":" for the start of another component of the job, wherever it stands. So where there is one,
# each word of the program has a dot in front, which is removed here (`dots`).
#
# It outlives TERM and the like, because it has to report how the program ended and to terminate what that left behind.
# Where Slurm tracks processes by cgroups, it signals none but the first process of a step: that is this one, so it
# passes signals on (`forwards`). TERM is for the whole group, as on the local engine.
#
# It records how the program ended: `srun` answers with 1 for troubles of its own, and with 0 if a node fails. Of
# several ranks, one that fails overrides the others.
#
# What the program leaves behind becomes a child of the process that adopts the orphans of this node, so it is among the
# children that this one did not have before: to read their numbers takes no process, unlike a search of all of them.
# With several ranks, Slurm itself ends what is left of the last ones.
#
# In bash, for `set -m`: without job control a shell starts programs in the background that ignore SIGINT.
_GATE = r"""
[ "$BASH_VERSION" ] && set -m
record=$1 directory=$2 mark=$3 names=$4 lines=$5 dots=$6; shift 6
[ ! "$dots" ] || for word; do shift; set -- "$@" "${word#.}"; done
for name in $names; do eval "export $name=\"\$ROSE_SET_$name\"; unset ROSE_SET_$name"; done
exec 3>&2 2>/dev/null
pid= signalled=
pass() { signalled=$1; [ ! "$forwards" ] || [ ! "$pid" ] || kill -s "$1" -- "$2$pid"; }
trap 'pass TERM -' TERM
for name in INT HUP QUIT USR1 USR2 ALRM; do trap "pass $name ''" "$name"; done
say() { if [ "$1" = 0 ]; then set -C; else set +C; fi; echo "$1" >"$record"; set +C; }
cd -- "$directory" || { say nowhere; exit 75; }
if [ "$lines" ]; then
  export rose_rank="${SLURM_PROCID:-0}"
else
  case $1 in
  */*) [ -f "$1" ] && [ -x "$1" ] ;;
  *) command -v "$1" >/dev/null ;;
  esac || { say absent; exit 127; }
fi
parent() { read -r parent <"/proc/$1/stat" && parent=${parent##*) } && parent=${parent#* } && parent=${parent%% *}; }
orphans() {
  found=
  for adopter in $adopters; do
    children=
    read -r children <"/proc/$adopter/task/$adopter/children"
    found="$found $children"
  done
}
left() {
  [ "$adopters" ] || return 0
  before=$found files=
  orphans
  for child in $found; do
    case " $before " in *" $child "*) continue ;; esac
    read -r name <"/proc/$child/comm" && [ "$name" != slurmstepd ] && files="$files /proc/$child/environ"
  done
  [ "$files" ] && grep -qsF "$variable=$mark" $files
}
adopters= parent=$PPID
if [ "${SLURM_NTASKS:-1}" = 1 ]; then
  while [ "${parent:-0}" -gt 1 ] && parent "$parent"; do adopters="$adopters $parent"; done
  [ -r "/proc/${adopters##* }/task/${adopters##* }/children" ] || adopters=
  orphans
fi
if [ "$signalled" ]; then say 143; exit 143; fi
(export "$variable=$mark"; trap - TERM INT HUP QUIT USR1 USR2 ALRM; exec "$@") </dev/null 2>&3 3>&- &
pid=$!
exec 3>&-
while :; do
  previous=$code signalled=
  wait "$pid"
  code=$?
  [ "$signalled" ] || break
done
[ "$code" != 127 ] || [ ! "$previous" ] || code=$previous
say "$code"
if [ "${SLURM_NTASKS:-1}" = 1 ] && left; then
  printf '%s\n' "$code $(clean "$mark")" >"$record"
fi
exit "$code"
"""

_SHELL = ("/bin/bash", "-p") if os.path.exists("/bin/bash") else ("/bin/sh",)  # noqa: PTH110 - -p: not BASH_ENV

_OPTIONS = re.compile(r"(SLURMD?|SBATCH|SALLOC|SRUN)_\w+|HOSTNAME", re.ASCII)
"""What would be options for `srun`, which sets most of them for the step."""

_SHIELDED = re.compile(r"(LD_|DYLD_|GCONV_|MUNGE_|SLURM|SBATCH|SALLOC|SRUN|PMI|PMIX)\w*|CUDA_VISIBLE_DEVICES", re.ASCII)
"""What a campaign sets for its programs, and `srun` itself must not see."""


@dataclass(frozen=True)
class StepFiles:
    """The directory that a session has for its steps, and all that their names and command lines have in common."""

    directory: Path
    job_id: str
    tag: str
    prefix: str
    mpi: str | None = None
    options: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, engine: Path, job_id: str, run_id: str, session: int, mpi: str | None, options: tuple[str, ...]
    ) -> StepFiles:
        directory = engine / gate_directory_name(session, job_id)
        return cls(directory, job_id, session_tag(run_id, session), session_prefix(run_id, session), mpi, options)

    def open_gate(self, grace_seconds: float, *, forwards: bool) -> None:
        """From now on steps can start. Raises OSError."""
        make_directories(self.directory)
        cleaner = shlex.join(
            cleaner_words("$1", exact=True, patience_seconds=LINGER_SECONDS, grace_seconds=grace_seconds)
        )
        cleaner = cleaner.replace("'$1'", '"$1"')
        settings = f"variable={TAG_VARIABLE} forwards={'yes' if forwards else ''} code="
        text = f"{settings}\nclean() {{ {cleaner}; }}\n{_GATE}"
        descriptor = open_unshared(self.directory / GATE, os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)

    def record(self, number: int) -> Path:
        return self.directory / f"{number}.end"

    def name(self, number: int, uid: str) -> str:
        """The name of a step: unique, and readable in Slurm's lists and accounts."""
        return f"{self.prefix}{number}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', uid)[:80]}"

    def task_tag(self, request: TaskRequest) -> str:
        return self.tag + request.uid


def srun_words(
    files: StepFiles, number: int, request: TaskRequest, place: Place, cpus_per_core: int, *, outputs: Sequence[int],
    argv: Sequence[str], shielded: Sequence[str], shares: bool = False,
) -> list[str]:  # fmt: skip
    """The command line. `argv` is that of the program, or of the shell in front of it.

    `shares`: Slurm's own account of free cores is wrong, so only rose's counts.
    """
    ranks, resources = max(1, sum(share.ranks for share in place.nodes)), request.resources
    nodes = [share.node for share in place.nodes for _ in range(share.ranks)]
    several = len(place.nodes) > 1
    where = [f"--nodelist={','.join(nodes if several else nodes[:1])}"] if nodes else []
    most = max((share.ranks for share in place.nodes), default=1)
    return [
        "srun", "--verbose", f"--jobid={files.job_id}", f"--job-name={files.name(number, request.uid)}", "--exact",
        f"--nodes={max(1, len(place.nodes))}", f"--ntasks={ranks}",
        f"--cpus-per-task={max(1, resources.cores // ranks) * cpus_per_core}",
        f"--mem={resources.memory_mb // ranks * most}",
        *([f"--gpus-per-task={resources.gpus // ranks}"] if resources.gpus else ["--gres=none"]),
        *where, *(["--distribution=arbitrary"] if several else []),
        *([f"--mpi={files.mpi}"] if files.mpi else []),
        *(["--overlap", "--cpu-bind=none"] if shares and not resources.gpus else []),
        "--input=none", f"--output=/proc/self/fd/{outputs[0]}", f"--error=/proc/self/fd/{outputs[1]}",
        "--export=ALL", "--chdir=/", "--kill-on-bad-exit=1", "--wait=0", *files.options,
        *_SHELL, str(files.directory / GATE), str(files.record(number)), str(request.directory),
        files.task_tag(request), " ".join(shielded), "lines" if request.pre_exec else "",
        *(["dots", *(f".{word}" for word in argv)] if ":" in argv else ["", *argv]),
    ]  # fmt: skip


def passed_on(base: Mapping[str, str]) -> dict[str, str]:
    """What `srun` and all tasks are given of rose's environment."""
    passed = {name: value for name, value in inherited(base).items() if not _OPTIONS.fullmatch(name)}
    passed.update((name, base[name]) for name in CONNECTION if name in base)
    return passed


def srun_environment(
    passed: Mapping[str, str], own: Mapping[str, str], files: StepFiles, uid: str
) -> tuple[dict[str, str], list[str]]:
    """The environment of `srun`, which it passes on, and the names that the script on the node sets from ROSE_SET_*.

    `own` are the variables that the task itself sets over those that are passed on.
    """
    passed = dict(passed)
    shielded = [name for name in own if _SHIELDED.fullmatch(name)]
    passed.update((f"ROSE_SET_{name}" if name in shielded else name, value) for name, value in own.items())
    passed[TAG_VARIABLE] = f"{files.tag}{SRUN_MARK} {uid}"
    return passed, shielded
