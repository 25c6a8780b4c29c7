"""A command as a shell script that users can read, change and run, without the secrets in it."""

from __future__ import annotations

import re
import shlex
import sys
from typing import TYPE_CHECKING

from rose_cli.plan.secrets import as_shown
from rose_cli.util.redact import MASK, Secrets, fit_to_show, masked_command
from rose_cli.view.console import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rose_cli.plan.render import Command

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def write_script(
    title: str, command: Command, workspace: Path, *, copies: Sequence[tuple[Path, Path]], what: str
) -> None:
    """Print the script. On a terminal, control characters are replaced with visible ones.

    `copies`: what the script copies first, and where to.
    """
    for line in _lines(title, command, workspace, copies, what):
        if sys.stdout.isatty():
            say(line)
        else:
            sys.stdout.write(f"{fit_to_show(line)}\n")


def _lines(
    title: str, command: Command, workspace: Path, copies: Sequence[tuple[Path, Path]], what: str
) -> Iterator[str]:
    shown = as_shown(command)
    yield "#!/bin/bash"
    yield f"# {_on_one_line(title)}"
    if copies:
        yield f"# in {what}"
        scratch = shlex.quote(str(workspace.parent))
        yield f"mkdir -m 700 {scratch} || exit"
        for source, target in copies:
            yield f"cp -Rp {shlex.quote(str(source))} {shlex.quote(str(target))} || exit"
    yield f"cd {shlex.quote(str(workspace))} || exit"
    for name, value in shown.environment.items():
        if MASK in value:
            yield f"# {_on_one_line(name)} contains a secret: set it yourself"
        elif _NAME.fullmatch(name):
            yield f"export {name}={shlex.quote(value)}"
        else:
            yield f"# {_on_one_line(name)} is set too, but a shell cannot set a variable of that name"
    for lines in shown.pre_exec:
        yield lines
        yield "[ $? = 0 ] || exit 1"
    if MASK in "".join((*shown.argv, *shown.pre_exec)):
        yield f"# put the secrets in place of {MASK}"
    yield f"exec {masked_command(shown.argv, Secrets())}"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
