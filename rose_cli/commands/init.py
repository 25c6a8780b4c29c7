"""`rose init`: write a small example campaign that needs only the standard library."""

from __future__ import annotations

import os
import shlex
from importlib.resources import files
from pathlib import Path

from rose_cli.runs.directory import write_new
from rose_cli.util.errors import ExitCode, UsageError
from rose_cli.view.console import say


def init(folder: Path) -> ExitCode:
    """Write the files; existing ones are never overwritten."""
    templates = [entry for entry in files("rose_cli").joinpath("templates").iterdir() if _is_template(entry.name)]
    there = [entry.name for entry in templates if os.path.lexists(folder / entry.name)]
    if there:
        raise _already_has(folder, there)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for entry in templates:
            write_new(folder / entry.name, entry.read_text(encoding="utf-8"), private=False)
    except FileExistsError as error:
        raise _already_has(folder, [Path(error.filename).name]) from error
    except OSError as error:
        message = f"cannot write to '{folder}': {error.strerror}"
        raise UsageError(message, "choose another directory") from error
    say(f"wrote {', '.join(sorted(entry.name for entry in templates))} to '{folder}'")
    say(f"next: rose run {shlex.quote(str(folder / 'campaign.yaml'))}")
    return ExitCode.OK


def _already_has(folder: Path, names: list[str]) -> UsageError:
    """Even if it is a broken symbolic link: writing through it would create a file elsewhere."""
    message = f"'{folder}' already has {', '.join(sorted(names))}"
    return UsageError(message, "choose another directory: rose init NEW_DIRECTORY")


def _is_template(name: str) -> bool:
    return name.endswith((".py", ".yaml")) and not name.startswith("_")
