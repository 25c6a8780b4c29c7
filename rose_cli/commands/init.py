"""`rose init`: a small campaign that runs as it is, on the standard library alone."""

from __future__ import annotations

import shlex
from importlib.resources import files
from typing import TYPE_CHECKING

from rose_cli.errors import ExitCode, UsageError
from rose_cli.view.console import say

if TYPE_CHECKING:
    from pathlib import Path


def init(folder: Path) -> ExitCode:
    """Write the files; one that is there already is never overwritten."""
    templates = [entry for entry in files("rose_cli").joinpath("templates").iterdir() if _is_template(entry.name)]
    there = [entry.name for entry in templates if (folder / entry.name).exists()]
    if there:
        message = f"'{folder}' already has {', '.join(sorted(there))}"
        raise UsageError(message, "choose another folder: rose init NEW_FOLDER")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for entry in templates:
            (folder / entry.name).write_bytes(entry.read_bytes())
    except OSError as error:
        message = f"cannot write to '{folder}': {error.strerror}"
        raise UsageError(message, "choose another folder") from error
    say(f"wrote {', '.join(sorted(entry.name for entry in templates))} to '{folder}'")
    say(f"next: rose run {shlex.quote(str(folder / 'campaign.yaml'))}")
    return ExitCode.OK


def _is_template(name: str) -> bool:
    return name.endswith((".py", ".yaml")) and not name.startswith("_")
