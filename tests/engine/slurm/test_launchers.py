"""Programs that call a launcher, inside their step of the Slurm engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rose_cli.engine.base import Resources
from tests.engine.conftest import open_slurm, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.engine.conftest import Folder, SlurmAllocation

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("launcher", "ranks"), [("srun", 2), ("mpiexec -n 2", 2), ("srun", 1)])
async def test_its_launcher_starts_the_ranks_within_the_step(
    allocation_of: Callable[[str], SlurmAllocation], folder: Folder, tmp_path: Path, launcher: str, ranks: int
) -> None:
    """Otherwise it waits for cores that its own step holds."""
    async with open_slurm(allocation_of("linuxproc"), tmp_path / "engine")() as engine:
        line = f"{launcher} sh -c 'echo rank ${{PMI_RANK-$SLURM_PROCID}}'"
        resources = Resources(cores=2)
        request = folder.request("sh", "-c", line, described_ranks=ranks, resources=resources, timeout_seconds=20)
        outcome = await run(engine, request)
    assert outcome.succeeded, request.stderr.read_text()
    assert sorted(request.stdout.read_text().splitlines()) == ["rank 0", "rank 1"][:ranks]
