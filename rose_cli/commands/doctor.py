"""`rose doctor`: whether this machine can run each engine, on one page."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rose_cli.commands.engine_trial import try_local
from rose_cli.commands.health import Section
from rose_cli.commands.health_of_machine import folder, machine
from rose_cli.commands.health_of_pilot import installation, surroundings
from rose_cli.commands.surroundings import task_environment
from rose_cli.errors import ExitCode
from rose_cli.view.health import print_health

if TYPE_CHECKING:
    from collections.abc import Mapping

ReportFormat: TypeAlias = Literal["text", "json"]
_LOCAL, _PILOT = "engine local", "engine radical.pilot"


def doctor(report_format: ReportFormat) -> ExitCode:
    environment = task_environment(os.environ)
    here = folder(Path())
    local = Section(_LOCAL, (try_local(environment),))
    sections = [machine(environment), here, local, _pilot(environment)]
    if report_format == "json":
        json.dump([_object(section) for section in sections], sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        print_health(sections)
    if not local.usable:
        return ExitCode.ENGINE
    return ExitCode.OK if here.usable else ExitCode.RUN_DIRECTORY


def _pilot(environment: Mapping[str, str]) -> Section:
    found = Section(_PILOT, installation())
    return Section(_PILOT, (*found.checks, *surroundings(environment))) if found.usable else found


def _object(section: Section) -> dict[str, Any]:
    return {"section": section.title, "usable": section.usable, "checks": [asdict(check) for check in section.checks]}
