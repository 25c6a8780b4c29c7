"""`rose import`: a workflow file of ROSE as a campaign file."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.campaign_file import check_campaign, in_order, task_environment
from rose_cli.check.installed import InstalledModules
from rose_cli.config.document import parse_document, read_document
from rose_cli.config.load import located
from rose_cli.config.yaml.source import MAX_BYTES
from rose_cli.conversion.campaign import HANDOVER, convert
from rose_cli.plan.words import file_of_module
from rose_cli.runs.directory import write_new
from rose_cli.util.errors import CampaignError, Diagnostic, ExitCode, Severity, UsageError
from rose_cli.util.text import counted, listed
from rose_cli.view.console import notice, say
from rose_cli.view.diagnostics import print_diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.config.document import Document
    from rose_cli.conversion.campaign import Converted

_STANDARD = "-"

_FILE = "campaign.yaml"
"""What is written if no name is given, beside the workflow file."""


def import_spec(source: str, output: Path | None, *, force: bool) -> ExitCode:
    """`source`: a file, or - for standard input; `output`: a file, or - for standard output.

    By default, the campaign is written beside the workflow file; of standard input, to standard output. Nothing is
    overwritten unless `force`. Raises CampaignError with every mistake in the workflow file.
    """
    document = _read(source)
    to_file = output or (None if source == _STANDARD else Path(source).parent / _FILE)
    target = None if to_file is None or str(to_file) == _STANDARD else to_file
    converted = convert(document, _name_of(source))
    if target is None:
        sys.stdout.write(converted.text)
    else:
        wanted = _wanted(target, converted)
        _refuse_to_overwrite(wanted, source, force=force)
        _write(wanted)
        say(f"wrote {listed([str(path) for path in wanted], 2)}" if wanted else f"'{target}' is up to date")
    warnings = [*converted.warnings, *_missing_modules(document, converted, target)]
    if warnings:
        print_diagnostics(in_order(warnings, document.name), document.text, document.name, sys.stderr)
    if converted.functions and target is None:
        notice(f"its functions need a file that only -o FILE writes beside it: {HANDOVER}.py")
    if target is not None:
        _check(target)
    return ExitCode.OK


def _read(source: str) -> Document:
    if (what := _PROGRAMS.get(Path(source).suffix)) is not None and Path(source).is_file():
        message = f"'{source}' is {what}, and no workflow file: `rose import` reads the YAML files of ROSE"
        hint = "a program with learners of ROSE runs with rose as it is: import them from 'rose_cli'"
        raise UsageError(message, hint)
    try:
        if source == _STANDARD:
            return parse_document(sys.stdin.buffer.read(MAX_BYTES + 1), "<stdin>")
        return read_document(Path(source))
    except CampaignError as error:
        found = [
            replace(each, hint=_HINTS.get(each.code, each.hint), message=each.message.replace(*_KEYS))
            for each in error.diagnostics
        ]
        raise CampaignError(found, error.text) from error


_PROGRAMS = {".py": "a Python program", ".ipynb": "a notebook"}

_KEYS = ("'tasks' and 'learners'", "'learner' and 'simulation'")

_HINTS = {
    "empty-file": "start with 'learner:'",
    "not-a-map": "start with 'learner:', as the examples of ROSE do",
    "file-too-large": "is this the workflow file?",
}
"""Where those of a campaign file would mislead."""


def _name_of(source: str) -> str:
    stem = "" if source == _STANDARD else Path(source).stem
    return stem if stem.isprintable() and len(stem.encode(errors="replace")) <= 100 else ""


def _missing_modules(document: Document, converted: Converted, target: Path | None) -> Iterator[Diagnostic]:
    """The functions whose modules are neither beside the campaign nor installed."""
    if target is None:
        return
    installed = InstalledModules.of("python", task_environment())
    for path, function in converted.functions.items():
        module = function.partition(":")[0]
        if not module or file_of_module(module, str(target.absolute().parent)) is not None:
            continue
        if installed is not None and not installed.has(module.partition(".")[0]):
            message = f"there is no module '{module}' beside the campaign file, and none is installed"
            hint = f"put it into '{target.absolute().parent}'"
            yield located(document, Diagnostic("missing-module", message, path, hint, Severity.WARNING))


def _wanted(target: Path, converted: Converted) -> dict[Path, str]:
    """The files to write."""
    if not converted.functions:
        return {target: converted.text}
    name = f"{HANDOVER}.py"
    text = files("rose_cli").joinpath("templates").joinpath("import").joinpath(name).read_text(encoding="utf-8")
    return {target: converted.text, target.with_name(name): text}


def _refuse_to_overwrite(wanted: dict[Path, str], source: str, *, force: bool) -> None:
    if source != _STANDARD and any(path.exists() and path.samefile(source) for path in wanted):
        raise UsageError("the campaign would replace the workflow file itself", "choose another name: -o campaign.yaml")
    for path, text in list(wanted.items()):
        if _has(path, text):
            del wanted[path]
    there = [str(path) for path in wanted if os.path.lexists(path)]
    if there and not force:
        raise UsageError(f"{listed(there, 2)} exists and is kept", "choose another name with -o, or add --force")


def _has(path: Path, text: str) -> bool:
    """Whether the file is already what it would become."""
    try:
        return path.is_file() and path.stat().st_size < MAX_BYTES and path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False


def _write(wanted: dict[Path, str]) -> None:
    for path, text in wanted.items():
        unfinished = path.with_name(f".{path.name[:200]}.{os.getpid()}")
        try:
            write_new(unfinished, text, private=False)
            unfinished.replace(path)
        except OSError as error:
            raise UsageError(f"cannot write '{path}': {error.strerror}", "choose another place with -o") from error
        finally:
            unfinished.unlink(missing_ok=True)


def _check(target: Path) -> None:
    """Say what rose thinks of the campaign that was written."""
    checked = check_campaign(target, task_environment())
    if checked.diagnostics:
        notice("")
        print_diagnostics(checked.diagnostics, checked.text, str(target), sys.stderr)
    mistakes = sum(each.is_error for each in checked.diagnostics)
    file = shlex.quote(str(target))
    say(f"next: correct {counted(mistakes, 'mistake')} in {file}" if mistakes else f"next: rose plan {file}")
