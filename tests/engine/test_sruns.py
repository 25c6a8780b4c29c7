"""The steps of tasks that call `srun`: found by its process, and ended in its place. Slurm's answers are recorded."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from rose_cli.engine.sruns import SrunSteps, cut_off, orphans, read_steps
from rose_cli.engine.termination import Terminator
from rose_cli.util.processes import TAG_VARIABLE, read_process

if TYPE_CHECKING:
    from pathlib import Path

HOST = os.uname().nodename.partition(".")[0]

BATCH = (
    "StepId=7.batch UserId=0 StartTime=2026-11-29T09:30:55 TimeLimit=UNLIMITED State=RUNNING Partition=debug "
    "NodeList=n1 Nodes=1 CPUs=0 Tasks=1 Name=batch Network=(null) TRES=(null) ResvPorts=(null) CPUFreqReq=Default "
    "SrunHost:Pid=(null):0\n"
)


def step(pid: int, step_id: str = "7.0", *, name: str = "prog", host: str = HOST, start: float = 0.0) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(start))
    return (
        f"StepId={step_id} UserId={os.getuid()} StartTime={moment} TimeLimit=UNLIMITED State=RUNNING Partition=debug "
        f"NodeList=n2 Nodes=1 CPUs=1 Tasks=1 Name={name} Network=(null) TRES=cpu=1,mem=500M,node=1 ResvPorts=(null) "
        f"CPUFreqReq=Default Dist=Cyclic SrunHost:Pid={host}:{pid}\n"
    )


class FakeSlurm:
    """A Slurm whose `scontrol` prints the file `shown`, and whose `scancel` notes its words and ends the step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._write("scontrol", 'echo "$*" >"$0.words"; cat "$0.shown"')
        self._write("scancel", 'echo "$*" >>"$0.words"; case $* in *TERM*) ;; *) : >"${0%/*}/scontrol.shown";; esac')
        self._write("srun", 'trap \'echo TERM >>"$0.term"; exit\' TERM\necho >"$0.began"\nwhile :; do sleep 0.02; done')

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def show(self, text: str) -> None:
        (self.folder / "scontrol.shown").write_text(text)

    @property
    def asked(self) -> str:
        return (self.folder / "scontrol.words").read_text().strip()

    @property
    def cancelled(self) -> list[str]:
        path = self.folder / "scancel.words"
        return path.read_text().splitlines() if path.exists() else []

    def srun(self, **variables: str) -> subprocess.Popen[bytes]:
        environment = {"PATH": os.environ["PATH"], "SLURM_JOB_ID": "7", **variables}
        process = subprocess.Popen([self.folder / "srun"], env=environment, start_new_session=True)
        while not (self.folder / "srun.began").exists():
            time.sleep(0.002)
        return process

    @property
    def srun_got_term(self) -> bool:
        return (self.folder / "srun.term").exists()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return FakeSlurm(tmp_path)


def terminated(process: subprocess.Popen[bytes], grace_seconds: float) -> Terminator:
    def find(_: object) -> list[object]:
        process.poll()
        found = read_process(process.pid)
        return [found] if found is not None and not found.finished else []

    terminator = Terminator(find, grace_seconds, group=process.pid)  # type: ignore[arg-type]
    terminator.run_blocking()
    return terminator


def test_steps_are_read_with_the_process_that_asked_for_them() -> None:
    text = BATCH + step(23, "1_3.0", name="two words") + step(5, "3+1.2", start=60.0)
    assert [tuple(found) for found in read_steps(text)] == [
        ("1_3.0", "two words", 0.0, HOST, 23, os.getuid()),
        ("3+1.2", "prog", 60.0, HOST, 5, os.getuid()),
    ]
    assert list(read_steps("slurm_load_job_steps error: Invalid job id specified\n")) == []


def test_the_step_gets_the_signals_and_the_srun_does_not_get_term(fake: FakeSlurm) -> None:
    process = fake.srun()
    fake.show(BATCH + step(process.pid) + step(process.pid, "7.1", host="another"))
    terminator = terminated(process, grace_seconds=0.3)
    assert fake.cancelled == ["--signal=TERM 7.0", "--signal=KILL 7.0"]
    assert not fake.srun_got_term
    assert terminator.signalled == 1


def test_an_srun_that_waits_for_a_step_is_terminated_itself(fake: FakeSlurm) -> None:
    process = fake.srun()
    fake.show(BATCH)
    terminated(process, grace_seconds=60)
    assert fake.srun_got_term
    assert fake.cancelled == []


def test_the_sruns_of_the_slurm_engine_are_left_to_it(fake: FakeSlurm) -> None:
    process = fake.srun(**{TAG_VARIABLE: "run.1.(srun) 0.0.simulation"})
    fake.show(step(process.pid))
    terminated(process, grace_seconds=60)
    assert fake.srun_got_term
    assert fake.cancelled == []


def test_outside_of_a_job_the_job_that_an_srun_has_made_is_cancelled(fake: FakeSlurm) -> None:
    process = fake.srun(SLURM_JOB_ID="")
    another = step(process.pid, "8.0").replace(f"UserId={os.getuid()}", f"UserId={os.getuid() + 1}")
    fake.show(another + step(process.pid, "9.0"))
    terminated(process, grace_seconds=0.3)
    assert fake.asked == "--all --oneliner show step"
    assert fake.cancelled == ["--signal=TERM 9.0", "9"]


def test_without_an_answer_an_srun_is_terminated_itself(fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    process = fake.srun()
    monkeypatch.setenv("PATH", "/nowhere")
    terminated(process, grace_seconds=60)
    assert fake.srun_got_term


def test_all_steps_of_one_srun_are_ended(fake: FakeSlurm) -> None:
    process = fake.srun()
    fake.show(step(process.pid, "7+0.0") + step(process.pid, "7+1.0"))
    terminated(process, grace_seconds=0)
    assert fake.cancelled == ["--signal=KILL 7+0.0 7+1.0"]


def test_the_step_of_an_srun_that_is_killed_is_killed_after_it(fake: FakeSlurm) -> None:
    process = fake.srun()
    fake.show(step(process.pid))
    found = read_process(process.pid)
    assert found is not None
    steps = cut_off([found])
    process.kill()
    process.wait()
    Terminator(lambda _: [], 0.0, steps=steps).run_blocking()
    assert fake.cancelled == ["--signal=KILL 7.0"]


def test_orphans_are_steps_of_this_job_and_host_whose_srun_is_dead(fake: FakeSlurm) -> None:
    alive, dead = fake.srun(), subprocess.Popen(["true"])
    dead.wait()
    fake.show(
        step(alive.pid, "7.0", start=100)
        + step(dead.pid, "7.1", start=100)
        + step(dead.pid, "7.2", start=50)
        + step(dead.pid, "7.3", start=100, host="another")
        + step(dead.pid, "7.4", start=100, name="rose-0f.1.1-0")
        + step(dead.pid, "8.5", start=100)
        + step(dead.pid, "6_2.6", start=100)
        + step(dead.pid, "6_3.7", start=100)
        + step(os.getpid(), "7.8", start=100)
    )
    found = orphans({"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "6", "SLURM_ARRAY_TASK_ID": "2"}, since=100)
    alive.kill()
    alive.wait()
    assert [each.step_id for each in found] == ["7.1", "6_2.6", "7.8"]
    Terminator(lambda _: [], 0.2, steps=SrunSteps(found)).run_blocking()
    assert fake.cancelled == ["--signal=TERM 6_2.6 7.1 7.8", "--signal=KILL 6_2.6 7.1 7.8"]
