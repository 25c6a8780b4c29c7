"""Jobs that follow each other on a real Slurm, until the run has finished, whatever happens to single ones."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.batch.records import JobFiles
from tests.conftest import Rose

if TYPE_CHECKING:
    from tests.conftest import Called
    from tests.slurm.cluster import Cluster

pytest.importorskip("psij")

STEP = """\
    import os, sys, time
    from pathlib import Path
    time.sleep(float(sys.argv[1]))
    value = 1 / (1 + int(os.environ["ROSE_ITERATION"])) + int(os.environ["ROSE_SEED"]) % 7
    Path("value").write_text(repr(value))
    """

CAMPAIGN = """
    name: chain
    max_iter: 6
    tasks:
      simulation: {executable: "{python} step.py 0.3"}
      training: {executable: "{python} step.py 0.3"}
    stop: {metric: error, operator: <=, threshold: 0, executable: cat value}
    learners: [{name: a}, {name: b}]
    """


class Site:
    """rose on the login node of a real Slurm."""

    def __init__(self, rose: Rose, slurm: Cluster) -> None:
        self.rose, self.slurm = rose, slurm
        rose.write(STEP, "step.py")
        rose.write(CAMPAIGN)

    def __call__(self, *words: str) -> Called:
        return self.rose(*words, SLURM_CONF=self.slurm.environment["SLURM_CONF"])

    def submit(self, *words: str) -> None:
        called = self("submit", *words)
        assert called.code == 0, called.err

    @property
    def jobs(self) -> JobFiles:
        return JobFiles(self.rose.folder / "r/jobs")

    def queued(self, *options: str) -> list[int]:
        """The jobs that have not ended."""
        return [int(word) for word in self.slurm.run("squeue", "-h", "-o", "%i", *options).split()]

    def working(self, event: str = "attempt_started") -> int:
        """The job whose session has recorded such an event; waits for one."""

        def find() -> list[int]:
            starts = [start for start in self.jobs.read().starts if start.ended is None]
            running = self.queued("-t", "running")
            return [int(start.job_id) for start in starts if int(start.job_id) in running and self._has(start, event)]

        return self.slurm.until(find)[0]

    def _has(self, start: Any, event: str) -> bool:
        journal = (self.rose.folder / "r/journal.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in journal[-20:] if line.endswith("}")]
        return any(each.get("time", 0) > start.time and each["event"] == event for each in records)

    def wait_for_the_end(self) -> None:
        self.slurm.until(lambda: not self.queued())

    def history(self, run: str) -> list[tuple[str, list[Any], str]]:
        found = self.rose.learners(run)
        return [(name, each["history"], each["stop_reason"]) for name, each in found.items()]


@pytest.fixture
def site(rose: Rose, slurm: Cluster) -> Site:
    return Site(rose, slurm)


def test_whatever_ends_a_job_the_next_continues_and_the_history_is_that_of_one_run(site: Site) -> None:
    site.submit("campaign.yaml", "--time", "5", "--cores", "2", "--memory", "500", "--run-dir", "r")

    def kill_rose(job: int) -> None:
        pids = [each.pid for each in site.slurm.processes() if "--resume-if-begun" in each.command]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        site.slurm.until(lambda: job not in site.queued())

    ways = (
        lambda job: site.slurm.run("scancel", job),
        kill_rose,
        lambda job: site.slurm.run("scontrol", "requeue", job),
    )
    ended = []
    for way in ways:
        ended.append(site.working("attempt_succeeded"))
        assert len(site.queued("-t", "running")) == 1
        way(ended[-1])
    site.wait_for_the_end()
    site.rose.write(CAMPAIGN.replace("0.3", "0"), "uninterrupted.yaml")
    assert site("run", "uninterrupted.yaml", "--run-dir", "reference", "--output", "quiet").code == 0
    assert site.history("r") == site.history("reference")
    jobs = site.jobs.read()
    assert jobs.ended == "finished"
    assert len(ended) == 3
    assert len({start.job_id for start in jobs.starts}) >= 3
    spans = [(start.time, start.ended) for start in jobs.starts]
    for (_, end), (begin, _) in pairwise(spans):
        assert end is None or end <= begin, "two jobs at once"
    assert site.slurm.processes() == []


def test_a_campaign_that_fails_ends_its_jobs(site: Site) -> None:
    site.rose.write("{max_iter: 3, tasks: {s: {executable: 'false'}}, learners: [{name: a}]}", "bad.yaml")
    site.submit("bad.yaml", "--time", "5", "--cores", "1", "--run-dir", "r")
    site.wait_for_the_end()
    assert site.jobs.read().ended == "failed"
    assert len(site.jobs.read().starts) == 1
    assert site.rose.status("r")["status"] == "failed"


def test_a_job_of_two_nodes_as_the_campaign_file_requests_it(site: Site) -> None:
    engine = "engine: {kind: slurm, nodes: 2, runtime: 5}"
    text = CAMPAIGN.replace("max_iter: 6", "max_iter: 2").replace("max_iter: 2", f"max_iter: 2\n    {engine}")
    site.rose.write(text)
    site.submit("campaign.yaml", "--cores", "2", "--run-dir", "r")
    site.wait_for_the_end()
    assert site.jobs.read().ended == "finished"
    (output,) = site.jobs.path.glob("*.out")
    assert "4 cores on 2 nodes" in output.read_text()


def test_stop_from_the_login_node_ends_the_job_that_runs_and_cancels_those_that_wait(site: Site) -> None:
    site.rose.write(CAMPAIGN.replace("0.3", "60"))
    site.submit("campaign.yaml", "--time", "5", "--cores", "1", "--run-dir", "r")
    job = site.working()
    called = site("resume", "r")
    assert called.code == 4
    assert f"job {job}" in called.err
    assert "(2 of at most 10) waits for the one before" in site("status", "r").out
    called = site("stop", "r")
    assert (called.code, called.err.splitlines()[-1]) == (0, "the run has stopped")
    site.wait_for_the_end()
    assert site.jobs.read().ended == "stopped"
    assert site.rose.events("r")[-1]["event"] == "session_ended"


def test_set_and_add_hold_from_the_job_that_comes_next_on(site: Site) -> None:
    site.rose.write(CAMPAIGN.replace("max_iter: 6", "max_iter: 2"))
    site.rose.write("{name: c}", "more.yaml")
    blocking = site.slurm.sbatch("exec sleep 300", "--nodes=2", "--exclusive")
    site.slurm.wait_for(blocking, "RUNNING")
    site.submit("campaign.yaml", "--time", "5", "--cores", "2", "--memory", "500", "--run-dir", "r")
    first = min(site.queued("-t", "pending"))
    called = site("set", "r", "max_iter=3")
    assert (called.code, called.err.splitlines()[-1]) == (
        0, f"no session works on the run; the next one has this, in job {first}"
    )  # fmt: skip
    assert site("add", "r", "more.yaml").code == 0
    site.slurm.run("scancel", blocking)
    site.wait_for_the_end()
    assert [(name, len(history)) for name, history, _ in site.history("r")] == [("a", 3), ("b", 3), ("c", 3)]
    called = site("add", "r", "--name", "d", "more.yaml")
    assert (called.code, called.err.splitlines()[-1]) == (
        0, "no session works on the run; the next one has this: `rose submit r`"
    )  # fmt: skip
    site.submit("r")
    site.wait_for_the_end()
    assert [(name, len(history)) for name, history, _ in site.history("r")][-1] == ("d", 3)
    assert site.jobs.read().ended == "finished"


def test_jobs_that_finish_nothing_do_not_follow_each_other_for_ever(site: Site) -> None:
    site.rose.write(CAMPAIGN.replace("0.3", "60"))
    site.submit("campaign.yaml", "--time", "5", "--cores", "1", "--run-dir", "r")
    for _ in range(3):
        site.slurm.run("scancel", site.working())
    site.wait_for_the_end()
    assert site.jobs.read().ended == "fruitless"
    assert len(site.jobs.read().starts) == 3
    assert "3 jobs in a row finished no step" in site("status", "r").out


def test_a_job_in_a_strange_place(rose: Rose, slurm: Cluster) -> None:
    place = Path(rose.folder) / 'a b\'c%j"q"'
    place.mkdir()
    site = Site(Rose(place), slurm)
    site.rose.write(CAMPAIGN.replace("max_iter: 6", "max_iter: 1"))
    site.submit("campaign.yaml", "--time", "5", "--cores", "2", "--run-dir", "r")
    site.wait_for_the_end()
    assert site.rose.status("r")["status"] == "done"
    (output,) = (place / "r/jobs").glob("*.out")
    assert "chain: 2 learners on the local engine" in output.read_text()
