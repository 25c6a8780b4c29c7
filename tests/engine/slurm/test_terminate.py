"""How steps are terminated while Slurm does not answer."""

from __future__ import annotations

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
