"""What an `srun` of Slurm 22.05 says, as it was recorded, and what is made of it."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.engine.slurm.running import Messages, Recorded, RunningStep, read_record, remove_notices

if TYPE_CHECKING:
    from pathlib import Path

STARTS = b"""\
srun: defined options
srun: jobid 1: nodes(2):`n[1-2]', cpu counts: 2(x2)
srun: Job 1 step creation temporarily disabled, retrying (Requested nodes are busy)
"""
LAUNCHED = b"""\
srun: Step created for job 1
srun: launching StepId=1.110 on host n1, 1 tasks: 0
srun: launch/slurm: _task_start: Node n1, 1 tasks started
"""
ENDS = b"""\
srun: launch/slurm: _task_finish: Received task exit notification for 1 task of StepId=1.110 (status=0x0300).
srun: error: n1: task 0: Exited with exit code 3
"""


def test_a_step_waits_starts_and_ends() -> None:
    messages = Messages(lambda _: None)
    messages.feed(STARTS)
    assert (messages.waiting, messages.launched) == ("Requested nodes are busy", False)
    messages.feed(LAUNCHED[:60])
    messages.feed(LAUNCHED[60:])
    assert (messages.waiting, messages.launched, messages.step_id) == (None, True, "1.110")
    assert messages.finished_at is None
    messages.feed(ENDS)
    assert messages.finished


def test_the_telling_line_is_the_one_that_says_why() -> None:
    logged: list[str] = []
    messages = Messages(logged.append)
    messages.feed(LAUNCHED + b"srun: error: n1: task 0: Exited with exit code 1\nsrun: error: Node failure on n2\n")
    assert messages.telling == "Node failure on n2"
    assert len(logged) == 2


@pytest.mark.parametrize(
    "refusal", ["unrecognized option '--bogus'", "invalid option -- 'y'", "option '--mem' requires an argument"]
)
def test_an_option_that_srun_refuses_is_named(refusal: str) -> None:
    logged: list[str] = []
    messages = Messages(logged.append)
    messages.feed(f'srun: {refusal}\nTry "srun --help" for more information\n'.encode())
    assert messages.telling == refusal
    assert logged[0] == f"srun: {refusal}"


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("3\n", Recorded("3")),
        ("0 2 17\n", Recorded("0", 2, (17,))),
        ("absent\n", Recorded("absent")),
        ("", None),
        ("rubbish\n", None),
    ],
)
def test_a_record_is_what_the_script_writes(tmp_path: Path, text: str, record: Recorded | None) -> None:
    (tmp_path / "1.end").write_text(text)
    assert read_record(tmp_path / "1.end") == record


def test_what_slurm_says_of_an_ended_step_is_no_output_of_its_program(tmp_path: Path) -> None:
    notice = "slurmstepd-n1: error: *** STEP 1.2 ON n1 CANCELLED AT 2026-11-29T09:09:23 ***\n"
    other = notice.replace("1.2", "1.3")
    path = tmp_path / "err"
    path.write_text(f"first\n{notice}last\n{other}")
    descriptor = os.open(path, os.O_WRONLY)
    remove_notices(descriptor, "1.2")
    os.close(descriptor)
    assert path.read_text() == f"first\nlast\n{other}"


KILLED = b"""\
srun: launch/slurm: _task_finish: Received task exit notification for 1 task of StepId=1.110 (status=0x0009).
srun: launch/slurm: _step_signal: Terminating StepId=1.110
srun: Force Terminated StepId=1.110
"""
RECEIVED = b"""\
srun: Complete StepId=1.0+0 received
srun: Job step aborted: Waiting up to 32 seconds for job step to finish.
"""
NOTICE = "slurmstepd-n1: error: *** STEP 1.110 ON n1 CANCELLED AT 2026-11-29T10:59:09%s ***\n"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("said", "notice", "was_cancelled"),
    [
        pytest.param(RECEIVED + KILLED, "", True, id="srun hears of it in time"),
        pytest.param(KILLED, NOTICE % "", True, id="srun does not"),
        pytest.param(KILLED, "", False, id="its program was killed"),
        pytest.param(RECEIVED + KILLED, NOTICE % " DUE TO TIME LIMIT", False, id="its own time limit"),
        pytest.param(RECEIVED + b"srun: error: Node failure on n1\n", "", False, id="its node"),
        pytest.param(RECEIVED + b"srun: error: Exceeded job memory limit\n" + KILLED, NOTICE % "", False, id="memory"),
        pytest.param(KILLED, (NOTICE % "").replace("1.110", "1.111"), False, id="the notice of another step"),
    ],
)
async def test_a_step_that_somebody_cancelled_is_told_from_one_that_failed(
    tmp_path: Path, said: bytes, notice: str, *, was_cancelled: bool
) -> None:
    """With what srun 22.05 says in each case; the order of its lines varies."""
    (tmp_path / "err").write_text(f"output\n{notice}")
    messages = Messages(lambda _: None)
    child: Any = SimpleNamespace(
        reap=lambda: None, close=lambda: None, status=SimpleNamespace(code=137), has_ended=True, reaped=True
    )
    reader, writer = os.pipe()
    stderr = os.open(tmp_path / "err", os.O_WRONLY)
    step = RunningStep("step", "tag", child, reader, stderr, messages, ["n1"])
    messages.feed(LAUNCHED + said)
    assert step.was_cancelled is was_cancelled
    os.close(writer)
    step.close()


def test_of_several_ranks_one_that_fails_has_the_others_cancelled(tmp_path: Path) -> None:
    messages = Messages(lambda _: None)
    messages.feed(LAUNCHED.replace(b"1 tasks: 0", b"2 tasks: [0-1]").replace(b"1 tasks started", b"2 tasks started"))
    assert messages.all_started
    path = tmp_path / "err"
    path.write_text(NOTICE % "")
    descriptor = os.open(path, os.O_WRONLY)
    step: Any = SimpleNamespace(messages=messages, _stderr=descriptor)
    assert RunningStep.was_cancelled.fget(step) is False  # type: ignore[attr-defined]
    messages.feed(RECEIVED)
    assert RunningStep.was_cancelled.fget(step) is True  # type: ignore[attr-defined]
    os.close(descriptor)
