"""The daemons of a Slurm cluster of the tests: each is a child of one process, the keeper, and ends with it.

`python -m tests.slurm.keeper BASE [PARENT]` runs it, until it gets SIGTERM or its parent has gone. What should run is
decided by files in `BASE/run`: a daemon is killed while `NAME.down` exists, and started again afterwards.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HIERARCHIES = ("freezer", "cpuset", "memory", "devices")
"""The cgroups (v1) of which each node has its own, if the cluster uses cgroups."""
CGROUPS = Path("/sys/fs/cgroup")
SEARCH_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""The daemons are in a directory that a user's PATH may lack."""
_DAEMONS = (b"munged", b"slurmctld", b"slurmd", b"slurmstepd", b"unshare")
_PR_SET_PDEATHSIG = 1
_PATIENCE_SECONDS = 20.0
_NODE_AS_HOST = """
hostname "$1" && mount --bind "$2" /proc/sys/kernel/random/boot_id && mount --bind "$3" /etc/hosts || exit 97
for name in $6; do mount --bind "/sys/fs/cgroup/$name/$5" "/sys/fs/cgroup/$name" || exit 98; done
trap : TERM
slurmd -D -N "$1" >>"$4" 2>&1 & wait $!
"""
"""A shell is the first process of a node: it reaps the orphans of tasks and jobs."""


@cache
def why_not_hosts() -> str | None:
    """Why a node cannot be a host of its own; None if it can."""
    words = ["unshare", "--uts", "--pid", "--mount", "--mount-proc", "--fork", "/bin/sh", "-c"]
    test = "hostname x && mount --bind /etc/hostname /proc/sys/kernel/random/boot_id && hostname"
    tried = subprocess.run([*words, test], capture_output=True, text=True, check=False)
    return None if tried.stdout == "x\n" else f"namespaces are not allowed here: {tried.stderr.strip()}"


@cache
def why_no_cgroups() -> str | None:
    """Why `proctrack/cgroup` cannot be used; None if it can."""
    missing = [name for name in HIERARCHIES if not (CGROUPS / name / "cgroup.procs").exists()]
    if missing:
        return f"no cgroup v1 hierarchy: {', '.join(missing)}"
    if why_not_hosts() is not None:
        return "nodes that share a host would share their cgroups"
    place = CGROUPS / "freezer" / f"rose-slurm-try-{os.getpid()}"
    try:
        place.mkdir()
        place.rmdir()
    except OSError as error:
        return f"cgroups cannot be made here: {error.strerror}"
    return None


def cgroup_of(base: Path, node: str) -> str:
    return f"{base.name}-{node}"


def remove_cgroups(base: Path) -> None:
    """Remove those of all nodes, from the leaves up; whoever is in one has to be dead."""
    for name in HIERARCHIES:
        for top in (CGROUPS / name).glob(f"{base.name}-*"):
            for place, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    Path(place).rmdir()


def processes_of(conf: Path) -> list[int]:
    """The processes of a cluster: its daemons, and what runs on its nodes; not a shell that only uses it."""
    found, mark = [], b"\0SLURM_CONF=" + os.fsencode(conf) + b"\0"
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if not entry.name.isdigit():
                continue
            environment = b"\0" + (entry / "environ").read_bytes() + b"\0"
            program = (entry / "cmdline").read_bytes().split(b"\0")[0].split(b"/")[-1]
            on_node = b"\0SLURMD_NODENAME=" in environment or program.startswith(_DAEMONS)
            if mark in environment and on_node:
                found.append(int(entry.name))
    return found


def sweep(base: Path) -> None:
    """Kill every process of a cluster, and remove its cgroups."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while (left := [pid for pid in processes_of(base / "etc/slurm.conf") if pid != os.getpid()]) and (
        time.monotonic() < end
    ):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    remove_cgroups(base)


@dataclass
class Daemon:
    """A daemon that is kept running. `node`: it is the slurmd of that node."""

    base: Path
    name: str
    setup: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    @property
    def is_node(self) -> bool:
        return self.name not in ("munged", "slurmctld")

    def settle(self) -> None:
        """Start or kill it, whatever is wanted now."""
        down = (self.base / "run" / f"{self.name}.down").exists()
        if self.process is None and not down:
            self.start()
        elif self.process is not None and down:
            self.stop()

    def start(self) -> None:
        run = self.base / "run"
        if self.is_node:
            (run / f"{self.name}.boot_id").write_text(f"{uuid.uuid4()}\n")
        with (self.base / "log" / f"{self.name}.out").open("ab") as log:
            self.process = subprocess.Popen(
                self._words(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=self._prepare,  # noqa: PLW1509 - the keeper has no threads
                env={"PATH": SEARCH_PATH, "SLURM_CONF": str(self.base / "etc/slurm.conf")},
            )  # fmt: skip
        (run / f"{self.name}.pid").write_text(str(self.process.pid))

    def stop(self) -> None:
        """A node dies at once, with all that runs on it; the others end in order."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL if self.is_node else signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE_SECONDS)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.is_node and not self.setup["hosts"]:
            self._kill_jobs()
        self.process = None
        (self.base / "run" / f"{self.name}.pid").unlink(missing_ok=True)

    def _kill_jobs(self) -> None:
        """Where nodes share a host, those of this node only: SLURMD_NODENAME tells."""
        mark = f"\0SLURMD_NODENAME={self.name}\0".encode()
        for pid in processes_of(self.base / "etc/slurm.conf"):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                ours = mark in b"\0" + Path(f"/proc/{pid}/environ").read_bytes() + b"\0"
                if ours or b"slurmstepd" in words:
                    os.kill(pid, signal.SIGKILL)

    def _words(self) -> list[str]:
        base, log = self.base, str(self.base / "log" / f"{self.name}.out")
        if self.name == "munged":
            place = base / "munge"
            return [
                "munged", "--foreground", "--force", f"--key-file={place / 'key'}", f"--socket={place / 'sock'}",
                f"--pid-file={place / 'pid'}", f"--log-file={base / 'log/munged.log'}", f"--seed-file={place / 'seed'}",
            ]  # fmt: skip
        if not self.setup["hosts"]:
            return ["slurmctld", "-D"] if self.name == "slurmctld" else ["slurmd", "-D", "-N", self.name]
        hosts = str(base / "etc/hosts")
        if self.name == "slurmctld":
            text = 'mount --bind "$0" /etc/hosts && exec slurmctld -D'
            return ["unshare", "--mount", "/bin/sh", "-c", text, hosts]
        names = " ".join(HIERARCHIES) if self.setup["cgroups"] else ""
        namespaces = ["--uts", "--pid", "--mount", "--mount-proc", *(["--cgroup"] if names else [])]
        boot_id = str(base / "run" / f"{self.name}.boot_id")
        words = ["unshare", *namespaces, "--fork", "--kill-child=KILL", "/bin/sh", "-c", _NODE_AS_HOST]
        return [*words, "node", self.name, boot_id, hosts, log, cgroup_of(base, self.name), names]

    def _prepare(self) -> None:
        """In the new process: it ends with the keeper; a node has its own cgroups."""
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if self.is_node and self.setup["cgroups"]:
            for name in HIERARCHIES:
                place = CGROUPS / name / cgroup_of(self.base, self.name)
                place.mkdir(exist_ok=True)
                if name == "cpuset":
                    for item in ("cpuset.cpus", "cpuset.mems"):
                        (place / item).write_text((place.parent / item).read_text())
                (place / "cgroup.procs").write_text(str(os.getpid()))


def keep(base: Path, parent: int | None) -> None:
    """Start the daemons and keep them, until SIGTERM or until the parent is no longer there."""
    setup = json.loads((base / "etc/setup.json").read_text())
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: stopped.append(number))
    (base / "run/keeper.pid").write_text(str(os.getpid()))
    daemons = [Daemon(base, name, setup) for name in ("munged", "slurmctld", *setup["nodes"])]
    try:
        for daemon in daemons:
            daemon.settle()
            while daemon.name == "munged" and not (base / "munge/sock").exists() and not stopped:
                time.sleep(0.02)
        while not stopped and (parent is None or os.getppid() == parent):
            for daemon in daemons:
                daemon.settle()
                if daemon.process is not None and daemon.process.poll() is not None:
                    (base / "run" / f"{daemon.name}.down").write_text("it ended by itself")
            time.sleep(0.1)
    finally:
        for daemon in [*daemons[2:], *daemons[1::-1]]:  # slurmd first, munged last
            if daemon.process is not None:
                daemon.stop()
        sweep(base)
        if parent is not None:
            shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    keep(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
