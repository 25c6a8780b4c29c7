"""`rose doctor`: whether this machine can run each engine, on one page."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rose_cli.commands.engine_trial import try_local, try_pilot
from rose_cli.commands.health import Check, Section
from rose_cli.commands.health_of_machine import folder, machine
from rose_cli.commands.health_of_pilot import installation, surroundings
from rose_cli.commands.surroundings import task_environment
from rose_cli.errors import ExitCode
from rose_cli.view.console import notice
from rose_cli.view.health import print_health

if TYPE_CHECKING:
    from collections.abc import Mapping

ReportFormat: TypeAlias = Literal["text", "json"]
_LOCAL, _PILOT = "engine local", "engine radical.pilot"


def doctor(report_format: ReportFormat, *, with_pilot: bool) -> ExitCode:
    """Show the report. Without `with_pilot`, radical.pilot is not asked for: what it lacks does not count."""
    environment = task_environment(os.environ)
    here = folder(Path())
    local = Section(_LOCAL, (try_local(environment),))
    pilot = _pilot(environment, start_one=with_pilot)
    sections = [machine(environment), here, local, pilot]
    if report_format == "json":
        json.dump([_object(section) for section in sections], sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        print_health(sections)
    if not local.usable or (with_pilot and not pilot.usable):
        return ExitCode.ENGINE
    return ExitCode.OK if here.usable else ExitCode.RUN_DIRECTORY


def _pilot(environment: Mapping[str, str], *, start_one: bool) -> Section:
    found = Section(_PILOT, installation())
    if not found.usable:
        return found
    checks = (*found.checks, *surroundings(environment))
    if not start_one:
        tried = Check("a task", "ok", "not tried: `rose doctor --pilot` starts a pilot here, and runs one on it")
        return Section(_PILOT, (*checks, tried))
    notice("starting a pilot, about half a minute")
    return Section(_PILOT, (*checks, try_pilot(environment)))


def _object(section: Section) -> dict[str, Any]:
    return {"section": section.title, "usable": section.usable, "checks": [asdict(check) for check in section.checks]}
