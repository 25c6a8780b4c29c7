"""A task that is really run by an engine, to see whether the engine works here."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import anyio

from rose_cli.commands.campaign_file import check_campaign
from rose_cli.commands.engines import make_engine
from rose_cli.commands.health import Check
from rose_cli.engine.base import TaskRequest
from rose_cli.errors import CampaignError, RoseError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rose_cli.engine.base import Engine

    MakeEngine = Callable[[Path], Engine]

LOCAL = "{kind: local}"
PILOT = "{kind: radical.pilot, resource: local.localhost, runtime: 10, cores: 1}"
_CAMPAIGN = "{engine: %s, learners: 1, max_iter: 1, tasks: {simulation: {executable: sh}}}\n"
_ANSWER = "rose was here"


def try_local(environment: Mapping[str, str]) -> Check:
    """Run a task on the local engine."""
    return try_engine(_maker(LOCAL, environment), environment)


def try_pilot(environment: Mapping[str, str]) -> Check:
    """Run a task on a pilot of this machine. Where that fails, what the pilot wrote stays, and the hint says where."""
    return try_engine(_maker(PILOT, environment), environment, keep=True)


def _maker(engine: str, environment: Mapping[str, str]) -> MakeEngine:
    """Makes the engine as a session would, from a campaign file that asks for it."""

    def make(folder: Path) -> Engine:
        campaign = folder / "campaign.yaml"
        campaign.write_text(_CAMPAIGN % engine, encoding="utf-8")
        plan = check_campaign(campaign, environment).good_plan
        return make_engine(plan, f"doctor-{uuid4().hex}", 1, folder / "engine", environment)

    return make


def try_engine(make: MakeEngine, environment: Mapping[str, str], *, keep: bool = False) -> Check:
    """Make the engine and start it, run one task on it, end it.

    `make` is given a folder for what the engine writes. With `keep` it stays where the engine failed.
    """
    folder = Path(tempfile.mkdtemp(prefix="rose-doctor-"))
    kept = False
    try:
        check = anyio.run(_check, make, folder, environment)
        kept = keep and check.verdict != "ok" and check.hint is None
        return replace(check, hint=f"what it wrote is in '{folder}'") if kept else check
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


async def _check(make: MakeEngine, folder: Path, environment: Mapping[str, str]) -> Check:
    try:
        (folder / "engine").mkdir()
        return await _try(make(folder), folder, environment)
    except CampaignError as error:
        wrong = error.diagnostics[0]
        return Check("a task", "missing", wrong.message, wrong.hint)
    except RoseError as error:  # its hint is for somebody who has a run
        return Check("a task", "missing", error.message)
    except OSError as error:
        return Check("a task", "missing", f"it cannot be run: {error}")


async def _try(engine: Engine, folder: Path, environment: Mapping[str, str]) -> Check:
    request = TaskRequest(
        uid="doctor",
        argv=("sh", "-c", f"echo {_ANSWER}"),
        environment={"PATH": environment["PATH"]} if "PATH" in environment else {},
        directory=folder,
        stdout=folder / "task.out",
        stderr=folder / "task.err",
    )
    start = time.monotonic()
    async with engine:
        outcome = await engine.run(request, _nothing)
        done = time.monotonic()
    ended = time.monotonic()
    printed = request.stdout.read_text(errors="replace").strip() if request.stdout.exists() else ""
    if outcome.succeeded and printed == _ANSWER:
        said = f"ran: {done - start:.2f} s until its result, {ended - done:.2f} s to end all"
        return Check("a task", "ok", said)
    why = outcome.message or f"it {outcome.ended.value}, exit code {outcome.exit_code}, and printed {printed!r}"
    return Check("a task", "missing", f"'sh' does not run: {why}")


async def _nothing() -> None:
    """Nothing has to be written down before this task starts."""
