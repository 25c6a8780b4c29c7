"""`rose validate`: check campaign files and report every error; nothing runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, TypeAlias

from rose_cli.campaign_file import CheckedCampaign, check_campaign, task_environment
from rose_cli.util.errors import Diagnostic, ExitCode, UsageError
from rose_cli.util.json_output import write_json
from rose_cli.view.diagnostics import diagnostic_objects, diagnostics_github, print_diagnostics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rose_cli.campaign_file import Setting

ReportFormat: TypeAlias = Literal["text", "json", "github", "sarif"]


def validate(files: Sequence[Path], settings: Sequence[Setting], report_format: ReportFormat) -> ExitCode:
    environment = task_environment()
    checked = [(file, _checked(file, environment, settings)) for file in files]
    diagnostics = [diagnostic for _, each in checked for diagnostic in each.diagnostics]
    if report_format == "json":
        write_json(diagnostic_objects(diagnostics))
    elif report_format == "sarif":
        from rose_cli.view.sarif import sarif_log

        write_json(sarif_log((file, each.text, each.diagnostics) for file, each in checked))
    elif report_format == "github":
        sys.stdout.write(diagnostics_github(diagnostics))
    else:
        for file, each in checked:
            print_diagnostics(each.diagnostics, each.text, str(file), sys.stdout)
    return ExitCode.USAGE if any(diagnostic.is_error for diagnostic in diagnostics) else ExitCode.OK


def _checked(file: Path, environment: Mapping[str, str], settings: Sequence[Setting]) -> CheckedCampaign:
    """A file that cannot be read becomes an error like others."""
    try:
        return check_campaign(file, environment, settings)
    except UsageError as error:
        return CheckedCampaign("", (Diagnostic("cannot-read", error.message, hint=error.hint, file=str(file)),), None)
