"""How steps are terminated while Slurm does not answer."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from rose_cli.engine.slurm import terminate
from rose_cli.engine.slurm.running import Messages
from rose_cli.engine.slurm.srun import StepFiles
from rose_cli.engine.slurm.terminate import StepTerminator

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("has_ended", [True, False])
async def test_a_controller_that_stays_silent_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_ended: bool
) -> None:
    """Even if the `srun` has ended without a word about its step."""
    monkeypatch.setattr(terminate, "GIVE_UP_SECONDS", 0.0)
    killed: list[int] = []
    monkeypatch.setattr(terminate, "signal_group", lambda pid, _: killed.append(pid))
    child = SimpleNamespace(has_ended=has_ended, pid=123456)
    step: Any = SimpleNamespace(
        name="step", nodes=["n1"], child=child, messages=Messages(lambda _: None), read=lambda: None, abort=lambda: None
    )
    environment = {"PATH": str(tmp_path)}  # without any command of Slurm
    terminator = StepTerminator(StepFiles.of(tmp_path, "7", "run", 1, None, ()), environment)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(terminator.keep, list)
            await terminator.terminate([step], 0.0)
            group.cancel_scope.cancel()
    assert terminator.has_given_up
    assert killed == ([] if has_ended else [123456])


async def test_a_step_of_which_nothing_is_alive_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose srun and slurmstepd were killed: Slurm lists it until its job ends."""
    monkeypatch.setattr(terminate, "GHOST_SECONDS", 0.0)
    monkeypatch.setattr(terminate, "_AGAIN_SECONDS", 0.0)
    answers = {
        "squeue": "echo '7.3|n1|step'", "scancel": ":", "sinfo": "echo 'n1|mixed'", "srun": "echo 1",
        "scontrol": "echo 'ProctrackType = proctrack/cgroup'",
    }  # fmt: skip
    for name, line in answers.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    messages = Messages(lambda _: None)
    messages.feed(b"srun: launching StepId=7.3 on host n1, 1 tasks: 0\nsrun: x: Node n1, 1 tasks started\n")
    child = SimpleNamespace(has_ended=True, pid=123456)
    step: Any = SimpleNamespace(
        name="step", nodes=["n1"], tag="t", child=child, messages=messages, read=lambda: None, abort=lambda: None
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    files = StepFiles.of(tmp_path, "7", "run", 1, None, ())
    files = replace(files, prefix="step")
    terminator = StepTerminator(files, {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    activities = set()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(terminator.keep, list)
            group.start_soon(terminator.terminate, [step], 0.0)
            while not terminator.has_given_up:
                activities.add(terminator.activity and terminator.activity.words)
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
    assert "waiting for Slurm to end 1 step" in activities
