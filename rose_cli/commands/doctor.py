"""`rose doctor`: whether this machine can run each engine; a task is really run, and with --pilot a pilot started."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio

from rose_cli.checkup import Check, is_usable
from rose_cli.commands.engines import make_engine
from rose_cli.commands.surroundings import task_environment
from rose_cli.engine.base import TaskRequest
from rose_cli.engine.survey import LOCAL, PILOT, survey
from rose_cli.errors import EngineError, ExitCode, RunDirectoryError, UsageError
from rose_cli.journal.trial import file_system, try_place
from rose_cli.plan.model import EnginePlan, Limits, PilotPlan, Plan
from rose_cli.run_directory import RUNS
from rose_cli.view.checkup import checkup_json, print_checkup
from rose_cli.view.console import notice

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.engine.base import TaskOutcome

Kind: TypeAlias = Literal["local", "radical.pilot"]

RUNS_PART = "runs"
_BOUNDS_SECONDS = {LOCAL: 60.0, PILOT: 300.0}
_SLOW_SECONDS = 0.1
_LOCALHOST = PilotPlan("local.localhost", 10, None, None, None, None, 0)


@dataclass(frozen=True)
class DoctorOptions:
    folder: Path
    engine: str | None
    pilot: bool
    report_format: Literal["text", "json"]


def doctor(options: DoctorOptions) -> ExitCode:
    """0 where every engine that was asked for is usable (the local one, if none was), else 5; 4 if runs cannot be."""
    wanted = _wanted(options)
    environment = task_environment(os.environ)
    checks = [*survey(environment), *_place(options.folder), _try(LOCAL, environment)]
    if options.pilot and is_usable(tuple(checks), PILOT):
        notice("starting a pilot on local.localhost, about half a minute")
        checks.append(_try(PILOT, environment))
    found = tuple(checks)
    if options.report_format == "json":
        sys.stdout.write(checkup_json(found, (LOCAL, PILOT)) + "\n")
    else:
        print_checkup(found, (LOCAL, PILOT), sys.stdout)
    if not all(is_usable(found, engine) for engine in wanted):
        return ExitCode.ENGINE
    return ExitCode.OK if is_usable(found, RUNS_PART) else ExitCode.RUN_DIRECTORY


def _wanted(options: DoctorOptions) -> list[str]:
    if options.engine not in (None, LOCAL, PILOT):
        message = f"there is no engine '{options.engine}'"
        raise UsageError(message, f"there are {LOCAL} and {PILOT}")
    asked = {options.engine or LOCAL, *([PILOT] if options.pilot else [])}
    return sorted(asked)


# ---- the place of the runs


def _place(folder: Path) -> Iterator[Check]:
    place = folder.absolute() / RUNS
    place = place if place.is_dir() else place.parent
    try:
        seconds, free = try_place(place), shutil.disk_usage(place).free
    except (RunDirectoryError, OSError) as error:
        hint = "choose another place for the runs: rose run --run-dir DIR"
        yield Check(RUNS_PART, "folder", "missing", str(error), hint)
        return
    kind = file_system(place.resolve(), _text(Path("/proc/self/mounts")))
    yield Check(RUNS_PART, "folder", "ok", f"{place}" + (f", on {kind}" if kind else ""))
    yield Check(RUNS_PART, "free", "ok", f"{free >> 20} MB")
    yield Check(RUNS_PART, "lock", "ok", "works")
    if seconds > _SLOW_SECONDS:
        hint = "short tasks will wait for it: a local or a scratch file system may be faster"
        yield Check(RUNS_PART, "journal", "note", f"a durable record takes up to {seconds * 1000:.0f} ms", hint)
    else:
        yield Check(RUNS_PART, "journal", "ok", f"a durable record takes up to {seconds * 1000:.1f} ms")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


# ---- a task for real


def _try(kind: Kind, environment: Mapping[str, str]) -> Check:
    """Start the engine in a folder that is kept only where it fails, and run one task."""
    folder = Path(tempfile.mkdtemp(prefix="rose-doctor-"))
    begin = time.monotonic()
    try:
        outcome = anyio.run(_one_task, _plan(kind, folder), folder, environment)
    except EngineError as error:
        return Check(kind, "a task", "missing", error.message, error.hint or f"its logs are in {folder}")
    except TimeoutError:
        message = f"nothing came of it in {_BOUNDS_SECONDS[kind]:.0f} s"
        return Check(kind, "a task", "missing", message, f"its logs are in {folder}")
    if not outcome.succeeded:
        message = f"it ended as {outcome.ended.value}, exit code {outcome.exit_code}: {outcome.message or ''}"
        return Check(kind, "a task", "missing", message.rstrip(": "), f"its logs are in {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    whole = time.monotonic() - begin
    return Check(kind, "a task", "ok", f"ran in {outcome.seconds:.2f} s; with start and end {whole:.1f} s")


async def _one_task(plan: Plan, folder: Path, environment: Mapping[str, str]) -> TaskOutcome:
    request = TaskRequest(
        uid="doctor",
        argv=(sys.executable, "-c", "print('well')"),
        environment={},
        directory=folder,
        stdout=folder / "task.out",
        stderr=folder / "task.err",
    )
    with anyio.fail_after(_BOUNDS_SECONDS[plan.engine.kind]):
        async with make_engine(plan, uuid.uuid4().hex, 1, folder / "engine", environment) as engine:
            return await engine.run(request, _nothing)


async def _nothing() -> None:
    """Nobody wants to know that it starts."""


def _plan(kind: Kind, folder: Path) -> Plan:
    engine = EnginePlan(kind, 1, (), 5.0, _LOCALHOST if kind == PILOT else None)
    return Plan("doctor", "", str(folder), engine, (), Limits(None, None, None), None)
