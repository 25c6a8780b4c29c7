"""`rose init`: write a small campaign from a template, ready to run on the standard library."""

from __future__ import annotations

import os
import shlex
from importlib.resources import files
from typing import TYPE_CHECKING

from rose_cli.commands.schema import text as schema_text
from rose_cli.runs.directory import write_new
from rose_cli.util.errors import ExitCode, UsageError
from rose_cli.view.console import say

if TYPE_CHECKING:
    from importlib.abc import Traversable
    from pathlib import Path

_ROOT = files("rose_cli").joinpath("templates")
_SHARED = "common"
"""The directory of the scripts that several templates import."""

_NEEDS = "# Needs: "

_SCHEMA, _MODELINE = ".rose-schema.json", "# yaml-language-server: "
"""The JSON Schema beside the campaign file, whose first line names it for editors."""


def init(folder: Path, template: str) -> ExitCode:
    """Write the files of the template, and the schema for editors; existing ones are never overwritten."""
    contents = _contents(template)
    if not os.path.lexists(folder / _SCHEMA):
        contents[_SCHEMA] = schema_text()
    there = [name for name in contents if os.path.lexists(folder / name)]
    if there:
        raise _already_has(folder, there)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            write_new(folder / name, text, private=False)
    except FileExistsError as error:
        raise _already_has(folder, [os.path.basename(error.filename)]) from error  # noqa: PTH119
    except OSError as error:
        message = f"cannot write to '{folder}': {error.strerror}"
        raise UsageError(message, "choose another directory") from error
    say(f"wrote {', '.join(contents)} to '{folder}'")
    if needs := _needs(contents["campaign.yaml"]):
        say(f"needs: {needs}")
    say(f"next: rose run {shlex.quote(str(folder / 'campaign.yaml'))}")
    return ExitCode.OK


def list_templates() -> ExitCode:
    """Print the templates with what they show and what they need, from the first comments of their campaign files."""
    campaigns = {name: _contents(name)["campaign.yaml"] for name in template_names()}
    width = max(map(len, campaigns))
    for name, text in campaigns.items():
        first = next(line for line in text.splitlines() if not line.startswith(_MODELINE))
        say(f"{name:{width}}  {first.removeprefix('# ')}")
        if needs := _needs(text):
            say(f"{'':{width}}  needs: {needs}")
    say("\nwrite one: rose init DIR --template NAME")
    return ExitCode.OK


def template_names() -> list[str]:
    """The default first, the others in alphabetical order."""
    names = [entry.name for entry in _ROOT.iterdir() if entry.joinpath("campaign.yaml").is_file()]
    return sorted(names, key=lambda name: (name != "python", name))


def _contents(template: str) -> dict[str, str]:
    """The text of each file by its name, in alphabetical order, with the shared scripts that the template imports."""
    own = _texts(_ROOT.joinpath(template))
    shared = _texts(_ROOT.joinpath(_SHARED))
    scripts = "\n".join(own.values())
    imported = {name: text for name, text in shared.items() if f"\nfrom {name.removesuffix('.py')} import" in scripts}
    return dict(sorted({**own, **imported}.items()))


def _texts(directory: Traversable) -> dict[str, str]:
    return {entry.name: entry.read_text(encoding="utf-8") for entry in directory.iterdir() if entry.is_file()}


def _needs(campaign: str) -> str | None:
    """What a template needs besides Python, from the comment at the top of its campaign file."""
    return next((line.removeprefix(_NEEDS) for line in campaign.splitlines() if line.startswith(_NEEDS)), None)


def _already_has(folder: Path, names: list[str]) -> UsageError:
    """Even if it is a broken symbolic link: writing through it would create a file elsewhere."""
    message = f"'{folder}' already has {', '.join(sorted(names))}"
    return UsageError(message, "choose another directory: rose init NEW_DIRECTORY")
