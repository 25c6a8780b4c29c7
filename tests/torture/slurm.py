"""Jobs of a real Slurm end at random moments: `scancel`, the time limit, a requeue, preemption, a node that fails.

Several runs go on at the same time, each in one job after the other, until it has finished. What its tasks do when the
signal reaches them, and what the campaign does about failures, changes from run to run.
"""

from __future__ import annotations

import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from tests.slurm.cluster import OVER, ROSE, Cluster, version
from tests.torture.campaign import history, whole_history, write_campaign
from tests.torture.verdict import Report, events_of, judge, left_running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose
    from tests.slurm.cluster import Left

_LONGEST_SECONDS = 1.5
_GONE_WITHIN_SECONDS = 20.0
_TERMINATED = 143
VARIANTS: tuple[dict[str, Any], ...] = (
    {"on_failure": "continue"},
    {"on_failure": "continue", "catch": 77},
    {"on_failure": "continue", "catch": 0, "pause_seconds": 0.2},
    {"on_failure": "stop_learner", "same_failure": 2, "fails": False},
    {"on_failure": "stop_learner", "same_failure": 2, "fails": False, "catch": 1},
    {"on_failure": "stop_learner"},
    {"on_failure": "stop_campaign"},
    {},
)
"""Without retries to spare, but for the last: what counts as failed shows."""


@dataclass(frozen=True)
class Ends:
    """How many ends of each kind there are."""

    scancels: int = 100
    limits: int = 20
    requeues: int = 20
    preemptions: int = 0
    failures: int = 0

    def shuffled(self, seed: random.Random) -> list[str]:
        kinds = ("scancel", "limit", "requeue", "preemption", "failure")
        numbers = (self.scancels, self.limits, self.requeues, self.preemptions, self.failures)
        ends = [kind for kind, number in zip(kinds, numbers, strict=True) for _ in range(number)]
        seed.shuffle(ends)
        return ends


@dataclass(frozen=True)
class Jobs:
    """What jobs ask for, and how many fit at the same time on two nodes with two cores each."""

    engine: str
    options: tuple[str, ...]
    lanes: int


LOCAL = Jobs("local", ("-c1",), 4)
STEPS = Jobs("slurm", ("-N2", "-n2", "-c1"), 2)


def end_slurm_jobs(
    cluster: Cluster, folder: Path, seed: random.Random, ends: Ends, jobs: Jobs = LOCAL, iterations: int = 4
) -> Report:
    """So many ends, shared between the lanes."""
    report = Report(f"jobs of Slurm {version()}, proctrack/{cluster.tracker}, engine {jobs.engine}")
    whole = whole_history(write_campaign(folder / "undisturbed", max_iter=iterations))
    shuffled = ends.shuffled(seed)
    lanes = [
        _Lane(
            cluster,
            folder,
            random.Random(seed.random()),
            shuffled[number :: jobs.lanes],
            jobs,
            whole,
            iterations,
            number,
        )
        for number in range(jobs.lanes)
    ]
    with ThreadPoolExecutor(jobs.lanes) as pool:
        for found in pool.map(_Lane.work, lanes):
            report.findings += found.findings
            for what, number in found.counts.items():
                report.count(what, number)
    report.expect(not (left := _left_on_nodes(cluster)), f"left on the nodes: {left}")
    return report


def _left_on_nodes(cluster: Cluster) -> list[Left]:
    """What is there once Slurm's own `slurmstepd`, which may outlive its job by a moment, had its time."""
    end = time.monotonic() + _GONE_WITHIN_SECONDS
    while (left := cluster.processes()) and time.monotonic() < end:
        time.sleep(0.1)
    return left


class _Lane:
    """Brings one run after the other to its end, through its share of ends."""

    nodes = Lock()
    """Held while a node is down: that of another lane stays up, so that jobs can go on there."""

    calls = Lock()
    """Held while rose is called here: `tests.preloaded` does one thing after the other."""

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        seed: random.Random,
        ends: list[str],
        jobs: Jobs,
        whole: dict[str, Any],
        iterations: int,
        number: int,
    ) -> None:
        self._cluster = cluster
        self._folder = folder
        self._seed = seed
        self._ends = ends
        self._jobs = jobs
        self._whole = whole
        self._iterations = iterations
        self._number = number
        self.report = Report(f"lane {number}")

    def work(self) -> Report:
        number = 0
        while self._ends:
            variant = VARIANTS[(2 * self._number + number) % len(VARIANTS)]
            folder, engine = self._folder / f"{self._number}-{number}", self._jobs.engine
            rose = write_campaign(folder, max_iter=self._iterations, kind=engine, cores=2, **variant)
            self._bring_to_its_end(rose, rose.folder / "r")
            number += 1
        return self.report

    def _bring_to_its_end(self, rose: Rose, run: Path) -> None:
        self.report.count("runs")
        code = -1
        while code in (-1, _TERMINATED):
            code = self._job(rose, run)
        if code == 0 and _is_ended(run):
            with self.calls:
                found = history(rose, run.name)
            judge(self.report, run, found, self._whole)
            wrong = [f"{run.parent.name}: counted as failed: {failed}" for failed in _wrongly_failed(run)]
            self.report.findings += wrong

    def _job(self, rose: Rose, run: Path) -> int:
        """One job from its submission to its end; the exit code of rose, -1 where it never got as far as rose."""
        cluster = self._cluster
        script = f"exec {ROSE} run campaign.yaml --run-dir r --resume-if-begun --output plain"
        job = cluster.sbatch(script, *self._jobs.options, "--requeue", folder=rose.folder)
        self.report.count("jobs")
        requeued = False
        while self._ends and self._comes_to_a_moment(job, run):
            kind = self._ends.pop()
            self.report.count(f"x {kind}")
            requeued |= kind == "requeue"
            getattr(self, f"_{kind}")(job)
            if kind in ("scancel", "limit"):
                break
        ended = cluster.wait(job)
        self.report.findings += [f"after job {job}: {left}" for left in left_running(run)]
        said = [line for line in cluster.output(job).splitlines() if not line.startswith("slurmstepd")]
        began = bool(said) and not (requeued and ended.code == 128 + signal.SIGUSR1 and _is_ended(run))
        code = ended.code if began else -1  # while Python itself was starting; after a requeue, others have said it
        fine = code in (-1, _TERMINATED) or (code == 0 and _is_ended(run))
        self.report.expect(
            fine, f"{run.parent.name}: job {job} ended {ended}: {cluster.output(job)[-800:]}{self._log(job)}"
        )
        return code

    def _log(self, job: int) -> str:
        """What the nodes wrote about the ends of its script."""
        logs = [path.read_text(errors="replace") for path in (self._cluster.base / "log").glob("slurmd.*.log")]
        return "\n".join(sorted(line for log in logs for line in log.splitlines() if f"[{job}.batch]" in line)[-30:])

    def _comes_to_a_moment(self, job: int, run: Path) -> bool:
        """Wait for one at random, from the start of the script on; whether the job is still running then."""
        before = len(events_of(run))
        self._cluster.until(lambda: self._cluster.state(job) in OVER | {"RUNNING"})
        if self._seed.random() < 0.8:
            self._cluster.until(lambda: len(events_of(run)) > before or self._cluster.state(job) in OVER)
        time.sleep(self._seed.uniform(0, _LONGEST_SECONDS))
        return self._cluster.state(job) == "RUNNING"

    # ---- ends

    def _scancel(self, job: int) -> None:
        way = self._seed.choice(((), (), (), ("--full",), ("--batch", "--signal=TERM"), ("--batch", "--signal=USR1")))
        self._cluster.run("scancel", *way, job, check=False)

    def _limit(self, job: int) -> None:
        self._cluster.end_within(job, 1)

    def _requeue(self, job: int) -> None:
        self._cluster.run("scontrol", "requeue", job, check=False)
        self._is_restarted(job)

    def _preemption(self, job: int) -> None:
        node = self._cluster.job(job).get("BatchHost", "n1")
        urgent = self._cluster.sbatch("exec sleep 1", "-p", "urgent", "-w", node, "-n2")
        self._cluster.wait(urgent)

    def _failure(self, job: int) -> None:
        with self.nodes:
            node = self._cluster.job(job).get("BatchHost", "n1")
            self._cluster.fail(node)
            self._cluster.revive(node)

    def _is_restarted(self, job: int) -> None:
        self._cluster.until(lambda: self._cluster.state(job) in OVER | {"PENDING", "RUNNING"})


def _is_ended(run: Path) -> bool:
    return [event["event"] for event in events_of(run)[-1:]] == ["session_ended"]


def _wrongly_failed(run: Path) -> list[str]:
    failures = [event for event in events_of(run) if event["event"] in ("attempt_failed", "step_given_up")]
    return [f"{event['task']} {event.get('message')}" for event in failures if event.get("exit_code") != 3]
