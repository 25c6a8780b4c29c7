"""`rose export --format ro-crate`: a run, with its files and what says how they came about, for others."""

from __future__ import annotations

from pathlib import Path

from rose_cli.find_runs import find_run
from rose_cli.provenance.crate import write_crate
from rose_cli.run_info import notice_ownership, read_run
from rose_cli.util.errors import ExitCode
from rose_cli.util.text import counted
from rose_cli.view.console import notice


def export_crate(argument: str | None, output: Path | None) -> ExitCode:
    """`output`: a new directory, or a ZIP file by its name; default: RUN.crate.zip here."""
    info = read_run(find_run(argument), kept=True)
    notice_ownership(info.doubt)
    if info.damage is not None:
        raise info.damage
    report = write_crate(info, output or Path(f"{info.directory.path.resolve().name}.crate.zip"))
    for reason, number in report.omitted.items():
        notice(f"not included: {counted(number, 'file')}: {reason}")
    if report.left_out:
        notice(f"{counted(report.left_out, 'attempt')} beyond the first are only in the journal of the crate")
    notice(f"wrote '{report.path}': {counted(report.actions, 'attempt')}, {counted(report.files, 'file')}")
    return ExitCode.OK
