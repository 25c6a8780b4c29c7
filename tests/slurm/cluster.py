"""A Slurm cluster on this machine: `with Cluster.start() as cluster:`; its nodes are hosts of their own where possible.

By hand: `python -m tests.slurm.cluster BASE [--tracker cgroup]` starts one and prints how to use it, `--stop BASE`
stops it. Several can run side by side. Nothing outside the folder `BASE` is changed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tests.slurm.keeper import SEARCH_PATH, processes_of, sweep, why_not_hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Self

REPOSITORY = Path(__file__).parent.parent.parent
PACKAGES = ("slurm-wlm", "munge")
"""What Debian and Ubuntu call it."""
TRACKERS = ("linuxproc", "cgroup")
PATIENCE_SECONDS = 300.0
ROSE = f"{sys.executable} -m rose_cli"
"""How a job's script calls rose."""
OVER = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT",
}  # fmt: skip
_PREFIX = "rose-slurm-"
_T = TypeVar("_T")


class Ended(NamedTuple):
    """How a job ended: Slurm's word for it, and the exit code of its script (128 + signal as a shell would say)."""

    state: str
    code: int


class Left(NamedTuple):
    """A process on a node."""

    pid: int
    command: str


def _find(program: str) -> str | None:
    return shutil.which(program, path=SEARCH_PATH)


@cache
def why_not() -> str | None:
    """Why no cluster can be started here; None if one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a Slurm for the tests needs Linux and root"
    missing = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if _find(name) is None]
    return f"no Slurm here (`make slurm` installs it): {', '.join(missing)}" if missing else None


@cache
def version() -> str:
    done = subprocess.run([_find("slurmctld") or "slurmctld", "-V"], capture_output=True, text=True, check=False)
    return done.stdout.split()[-1] if done.stdout else "?"


@dataclass
class Cluster:
    """A running cluster, and what tests do with it. All its state is below `base`."""

    base: Path
    tracker: str
    nodes: tuple[str, ...]
    hosts: bool
    """Whether each node has its own host name, processes and boot id."""
    _keeper: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @classmethod
    def start(
        cls,
        base: Path | None = None,
        *,
        tracker: str = "linuxproc",
        nodes: int = 2,
        cpus: int = 2,
        gpus: int = 2,
        settings: dict[str, str] | None = None,
        hosts: bool = True,
        keep: bool = False,
    ) -> Cluster:
        """Start one; `settings` override lines of slurm.conf. It ends with this process, unless it is to be kept.

        Without `hosts`, its nodes share the processes of this host: a process has the same number for all.
        """
        sweep_leftovers()
        if base is None or len(str(base)) > 60 or re.search(r"\s", str(base)):  # the limit of a socket's path
            base = Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp"))
        hosts = hosts and why_not_hosts() is None
        cluster = cls(base, tracker, tuple(f"n{number + 1}" for number in range(nodes)), hosts)
        for _ in range(3):  # a port may be taken meanwhile
            cluster._configure(cpus, gpus, settings or {})
            parent = [] if keep else [str(os.getpid())]
            words = [sys.executable, "-m", "tests.slurm.keeper", str(base), *parent]
            with (base / "log/keeper.log").open("ab") as log:
                cluster._keeper = subprocess.Popen(
                    words, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            if cluster._is_ready():
                return cluster
            logs = "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in (base / "log").iterdir())
            cluster.stop()
        raise RuntimeError(f"Slurm does not start: {logs}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop every daemon and all that runs on the nodes."""
        if self._keeper is not None:
            self._keeper.terminate()
            self._keeper.wait()

    @property
    def environment(self) -> dict[str, str]:
        """That of a shell on the login node."""
        return {**os.environ, "SLURM_CONF": str(self.base / "etc/slurm.conf"), "PYTHONPATH": str(REPOSITORY)}

    # ---- jobs

    def run(self, *words: str | int | Path, check: bool = True, **variables: str) -> str:
        """What a command prints, such as `scontrol show job 1`."""
        done = subprocess.run(
            [*map(str, words)], env={**self.environment, **variables}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def allocate(self, *options: str) -> str:
        """The id of a job that runs nothing of its own, like that of a shell of `salloc`."""
        name = f"allocation-{time.monotonic_ns()}"
        self.run("salloc", "--no-shell", f"--job-name={name}", *options)
        return self.run("squeue", "--noheader", f"--name={name}", "--format=%i").strip()

    def sbatch(self, script: str, *options: str, folder: Path | None = None, **variables: str) -> int:
        """Submit a script (for sh, unless it says otherwise) that starts in `folder`; the job's id."""
        text = script if script.startswith("#!") else f"#!/bin/sh\n{script}"
        place = [f"--output={self.base}/out/%j.out", "--open-mode=append", f"--chdir={folder or self.base / 'out'}"]
        done = subprocess.run(
            ["sbatch", "--parsable", *place, *options], env={**self.environment, **variables}, input=text,
            capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return int(done.stdout.strip().split(";")[0])

    def job(self, job: int) -> dict[str, str]:
        """The fields of `scontrol show job`; empty if Slurm no longer knows it."""
        shown = self.run("scontrol", "show", "job", "-o", job, check=False)
        return dict(word.split("=", 1) for word in shown.split(" ") if "=" in word)

    def state(self, job: int) -> str:
        return self.job(job).get("JobState", "GONE")

    def wait(self, job: int) -> Ended:
        """Wait until it is over, and all its processes have ended as far as Slurm knows."""
        self.until(lambda: self.state(job) in OVER)
        mine = f"slurmstepd: [{job}."  # that of a step may outlive the job by a moment
        self.until(lambda: not any(left.command.startswith(mine) for left in self.processes()))
        return Ended(self.state(job), self.code(job))

    def wait_for(self, job: int, *states: str) -> str:
        """Wait until it is in one of these states."""
        self.until(lambda: self.state(job) in states)
        return self.state(job)

    def until(self, condition: Callable[[], _T]) -> _T:
        end = time.monotonic() + PATIENCE_SECONDS
        while not (found := condition()):
            assert time.monotonic() < end, f"it never came; {self.run('squeue', check=False)}"
            time.sleep(0.1)
        return found

    def code(self, job: int) -> int:
        """The exit code of its script, from the log of its last node: Slurm forgets that of a cancelled job."""
        lines = "".join(path.read_text(errors="replace") for path in (self.base / "log").glob("slurmd.*.log"))
        logs = "\n".join(sorted(lines.splitlines()))  # of all nodes, by time
        pattern = rf"\[{job}\.batch\] job {job} completed with slurm_rc = \d+, job_rc = (\d+)"
        if not (found := re.findall(pattern, logs)):
            return -1
        status = int(found[-1])
        return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def output(self, job: int) -> str:
        path = self.base / "out" / f"{job}.out"
        return path.read_text() if path.exists() else ""

    def end_within(self, job: int, seconds: float) -> None:
        """Set its time limit. Slurm looks every 30 s whether one is reached, unless its controller has just started."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + seconds))
        self.run("scontrol", "update", f"JobId={job}", f"EndTime={moment}")

    # ---- what goes wrong

    def fail(self, node: str) -> None:
        """The node fails: all its processes die at once, and Slurm hears of it."""
        self._down(node)
        self.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")

    def revive(self, node: str) -> None:
        """Start a node that has failed; it has another boot id."""
        self._up(node)
        self.until(lambda: self._state_of(node) == "idle" or self._resumed(node))

    def _resumed(self, node: str) -> bool:
        """Ask for it again: the controller may hear only after the first time that the node has another boot id."""
        self.run("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)
        time.sleep(0.5)
        return False

    def stop_controller(self) -> None:
        self._down("slurmctld")

    def start_controller(self) -> None:
        self._up("slurmctld")
        self.until(lambda: "UP" in self.run("scontrol", "ping", check=False))

    def _down(self, name: str) -> None:
        (self.base / "run" / f"{name}.down").touch()
        self.until(lambda: not (self.base / "run" / f"{name}.pid").exists())

    def _up(self, name: str) -> None:
        (self.base / "run" / f"{name}.down").unlink(missing_ok=True)
        self.until((self.base / "run" / f"{name}.pid").exists)

    def processes(self, node: str | None = None) -> list[Left]:
        """What is on the nodes, or on one, except for their daemons; slurmstepd is there while a job has processes."""
        found = self._inside(self.nodes if node is None else (node,)) if self.hosts else processes_of(self._conf)
        left = []
        for pid in found:
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                program = Path(words[0].decode(errors="replace")).name
                if words[0] and program not in ("slurmd", "slurmctld", "munged", "unshare") and words[3:4] != [b"node"]:
                    left.append(Left(pid, b" ".join(words).decode(errors="replace").strip()))
        return left

    def _inside(self, nodes: Iterable[str]) -> list[int]:
        spaces = set()
        for node in nodes:
            with suppress(OSError):
                pid = (self.base / "run" / f"{node}.pid").read_text()
                spaces.add(Path(f"/proc/{pid}/ns/pid_for_children").readlink())
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and (entry / "ns/pid").readlink() in spaces:
                    found.append(int(entry.name))
        return found

    def restore(self) -> None:
        """Cancel all jobs, and make everything run again that a test has stopped."""
        if (self.base / "run/slurmctld.down").exists():
            self.start_controller()
        for node in self.nodes:
            if (self.base / "run" / f"{node}.down").exists():
                self.revive(node)
        self.run("scancel", "--full", *self.run("squeue", "-h", "-o", "%A").split(), check=False)
        self.run("scancel", "-s", "KILL", *self.run("squeue", "-h", "-o", "%A").split(), check=False)
        self.until(lambda: not self.run("squeue", "-h"))

    # ---- start

    @property
    def _conf(self) -> Path:
        return self.base / "etc/slurm.conf"

    def _is_ready(self) -> bool:
        assert self._keeper is not None
        end = time.monotonic() + 60
        while time.monotonic() < end and self._keeper.poll() is None and not any(self.base.glob("run/*.down")):
            if all(self._state_of(node) == "idle" for node in self.nodes):
                return True
            time.sleep(0.1)
        return False

    def _state_of(self, node: str) -> str:
        return self.run("sinfo", "-h", "-n", node, "-p", "debug", "-o", "%t", check=False).strip()

    def _configure(self, cpus: int, gpus: int, settings: dict[str, str]) -> None:
        base = self.base
        for name in ("etc", "run", "log", "state", "out", "dev", "munge", *(f"spool.{node}" for node in self.nodes)):
            (base / name).mkdir(parents=True, exist_ok=True)
        for path in (path for name in ("run", "dev", "log", "state") for path in (base / name).iterdir()):
            path.unlink()
        base.chmod(0o755)
        (base / "munge/key").write_bytes(random.randbytes(1024))
        (base / "munge/key").chmod(0o600)
        for number in range(gpus):
            (base / f"dev/nvidia{number}").symlink_to("/dev/null")  # a device, of which Slurm only wants the number
        cgroups = self.tracker == "cgroup"
        setup = {"nodes": self.nodes, "hosts": self.hosts, "cgroups": cgroups}
        (base / "etc/setup.json").write_text(json.dumps(setup))
        hosts = Path("/etc/hosts").read_text() + "".join(f"127.0.0.1 {node}\n" for node in self.nodes)
        (base / "etc/hosts").write_text(hosts)
        (base / "etc/cgroup.conf").write_text(
            "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\nConstrainCores=yes\n"
        )
        devices = f"File={base}/dev/nvidia[0-{gpus - 1}]" if gpus > 1 else f"File={base}/dev/nvidia0"
        gres = f"NodeName={','.join(self.nodes)} Name=gpu {devices}\n" if gpus else ""
        (base / "etc/gres.conf").write_text(gres)
        (base / "etc/slurm.conf").write_text(self._slurm_conf(cpus, gpus, settings))

    def _slurm_conf(self, cpus: int, gpus: int, settings: dict[str, str]) -> str:
        base, host, cgroups = self.base, socket.gethostname().split(".")[0], self.tracker == "cgroup"
        control, *ports = _free_ports(1 + len(self.nodes))
        binds = ["task/affinity"] if cpus <= (os.cpu_count() or 1) else []
        lines = {
            "ClusterName": base.name.replace("-", "_").lower(),
            "SlurmctldHost": f"{host}(127.0.0.1)", "SlurmctldPort": str(control),
            # nodes that share a host share its cgroups, of which Slurm names one by node, job and step
            **({} if self.hosts else {"FirstJobId": str(control)}),
            "SlurmUser": "root", "SlurmdUser": "root",
            "AuthType": "auth/munge", "CredType": "cred/munge", "MpiDefault": "none",
            "AuthInfo": f"socket={base}/munge/sock,cred_expire=5",  # a requeued job waits for as long
            "ProctrackType": f"proctrack/{self.tracker}",
            "TaskPlugin": ",".join(["task/cgroup"] * cgroups + binds) or "task/none",
            "StateSaveLocation": f"{base}/state", "SlurmdSpoolDir": f"{base}/spool.%n",
            "SlurmctldPidFile": f"{base}/run/slurmctld.own.pid", "SlurmdPidFile": f"{base}/run/slurmd.%n.own.pid",
            "SlurmctldLogFile": f"{base}/log/slurmctld.log", "SlurmdLogFile": f"{base}/log/slurmd.%n.log",
            "SlurmctldDebug": "info", "SlurmdDebug": "verbose",
            "SelectType": "select/cons_tres", "SelectTypeParameters": "CR_Core_Memory", "DefMemPerCPU": "500",
            "SchedulerType": "sched/backfill",
            "SchedulerParameters": "batch_sched_delay=0,sched_interval=1,bf_interval=1",
            "PreemptType": "preempt/partition_prio", "PreemptMode": "REQUEUE",
            "SlurmdParameters": "config_overrides", "SlurmdTimeout": "0", "MessageTimeout": "60",
            "ReturnToService": "2", "JobRequeue": "1", "KillWait": "30", "PropagateResourceLimits": "NONE",
            "AccountingStorageType": "accounting_storage/none",
            "JobCompType": "jobcomp/filetxt", "JobCompLoc": f"{base}/log/jobcomp.txt",
            **({"GresTypes": "gpu"} if gpus else {}),
            **settings,
        }  # fmt: skip
        text = [f"{name}={value}" for name, value in lines.items()]
        gres = f" Gres=gpu:{gpus}" if gpus else ""
        for node, port in zip(self.nodes, ports, strict=True):
            place = node if self.hosts else host
            text.append(
                f"NodeName={node} NodeHostname={place} NodeAddr=127.0.0.1 Port={port} "
                f"CPUs={cpus} CoresPerSocket={cpus} RealMemory=4000{gres}"
            )
        everywhere = f"Nodes={','.join(self.nodes)} DefaultTime=60 MaxTime=INFINITE State=UP OverSubscribe=NO"
        text += [f"PartitionName=debug {everywhere} Default=YES PriorityTier=1"]
        text += [f"PartitionName=urgent {everywhere} PriorityTier=10 PreemptMode=OFF"]
        return "\n".join([*text, ""])


def _free_ports(number: int) -> list[int]:
    """Below those that the system gives to connections."""
    found: list[int] = []
    while len(found) < number:
        port = random.randrange(20000, 30000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            found = sorted({*found, port})
    return found


def sweep_leftovers() -> bool:
    """End what clusters have left whose keeper was killed; whether there was one."""
    swept = False
    for base in Path("/tmp").glob(f"{_PREFIX}*"):
        with suppress(OSError, ValueError):
            pid = int((base / "run/keeper.pid").read_text())
            if b"tests.slurm.keeper" not in _command(pid):
                sweep(base)
                shutil.rmtree(base, ignore_errors=True)
                swept = True
    return swept


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def install() -> None:
    """Install what is missing, as root on Debian or Ubuntu."""
    if _find("slurmctld") and _find("munged"):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"Slurm is missing, and this is not root on Debian, who could install it: {' '.join(PACKAGES)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    words = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *PACKAGES]
    subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.slurm.cluster", description=__doc__)
    parser.add_argument("base", type=Path, nargs="?", default=Path("/tmp/rose-slurm"))
    parser.add_argument("--tracker", choices=TRACKERS, default="linuxproc")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a line of slurm.conf")
    parser.add_argument("--stop", action="store_true")
    parser.add_argument("--install", action="store_true", help="only install Slurm, if it is missing")
    given = parser.parse_args()
    base: Path = given.base.absolute()
    if given.stop:
        stop_by_hand(base)
        return 0
    install()
    if given.install:
        return 0
    stop_by_hand(base)
    settings = dict(text.split("=", 1) for text in given.set)
    base.mkdir(parents=True, exist_ok=True)
    cluster = Cluster.start(
        base, tracker=given.tracker, nodes=given.nodes, cpus=given.cpus, settings=settings, keep=True
    )
    print(f"# Slurm {version()}, proctrack/{cluster.tracker}; {why_not_hosts() or 'each node is a host of its own'}")
    print(
        f"# a node is dead while {cluster.base}/run/NODE.down exists; stop: python -m tests.slurm.cluster --stop {base}"
    )
    print(f"export SLURM_CONF={cluster.base}/etc/slurm.conf")
    return 0


def stop_by_hand(base: Path) -> None:
    with suppress(OSError, ValueError):
        pid = int((base / "run/keeper.pid").read_text())
        if b"tests.slurm.keeper" in _command(pid):
            os.kill(pid, 15)
            while _command(pid):
                time.sleep(0.05)
    sweep(base)


if __name__ == "__main__":
    sys.exit(main())
