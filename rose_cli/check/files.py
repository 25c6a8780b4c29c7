"""Checks that the files of the workspaces exist, and where they would be put."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.config.rules import leads_out
from rose_cli.plan.compile import target_of
from rose_cli.util.errors import Diagnostic, KeyPath
from rose_cli.util.text import SAME_LOOKS, lookalike

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.config.models import File
    from rose_cli.plan.context import CheckContext


def check_files(files: Sequence[File], path: KeyPath, ctx: CheckContext) -> Iterator[Diagnostic]:
    targets: set[str] = set()
    linked: set[str] = set()
    for position, file in enumerate(files):
        at = (*path, position)
        if not os.path.exists(ctx.campaign_dir / file.path):  # noqa: PTH110 - pathlib's raises for a name too long
            yield _missing(file.path, (*at, "path"), ctx)
        elif file.copy_:
            yield from _check_copied(file.path, (*at, "path"), ctx)
        target = target_of(file, ctx.campaign_dir)
        if leads_out(target):
            message = f"'{file.to or file.path}' would be outside the workspace"
            to = (*at, "to") if file.to else (*at, "path")
            yield Diagnostic("outside-workspace", message, to, "set 'to:' to a relative path without '..'")
        elif target in targets:
            message = f"two of these files would be '{target}' in the workspace"
            to = (*at, "to") if file.to else (*at, "path")
            yield Diagnostic("duplicate-name", message, to, "set another path with 'to:', or remove one of them")
        elif outer := next((other for other in linked if _lies_in(target, other) or _lies_in(other, target)), None):
            message = f"one of '{target}' and '{outer}' is inside the other, which may be a link to your own directory"
            to = (*at, "to") if file.to else (*at, "path")
            hint = "set copy: true for the directory, or another path with 'to:'"
            yield Diagnostic("duplicate-name", message, to, hint)
        targets.add(target)
        linked |= set() if file.copy_ else {target}


def _lies_in(inner: str, outer: str) -> bool:
    return inner.startswith(f"{outer}/")


def _check_copied(path: str, at: KeyPath, ctx: CheckContext) -> Iterator[Diagnostic]:
    """A symbolic link may point anywhere; a copy must come to an end."""
    source = (ctx.campaign_dir / path).resolve()
    if ctx.campaign_dir.resolve().is_relative_to(source):
        message = f"'{path}' contains the campaign file and its runs: it would be copied into itself"
        yield Diagnostic("cannot-copy", message, at, "name the files and directories in it that the tasks need")
    elif not (source.is_file() or source.is_dir()):
        message = f"'{path}' is a pipe, a socket or a device, and cannot be copied"
        yield Diagnostic("cannot-copy", message, at, "remove copy: true to get a symbolic link")


def _missing(path: str, at: KeyPath, ctx: CheckContext) -> Diagnostic:
    hint = f"paths are relative to {ctx.where_paths_start}"
    if any(sign in path for sign in "*?["):
        hint = "wildcards are not expanded: name the directory, or each file"
    elif path.startswith("~"):
        hint = "write the full path instead of '~'"
    elif lookalike(Path(path).name, listed(ctx.campaign_dir / Path(path).parent)):
        hint = SAME_LOOKS
    return Diagnostic("missing-file", f"there is no file or directory '{path}'", at, hint)


def listed(directory: Path) -> list[str]:
    """The names in a directory, at most a thousand; none if it cannot be read. Opens no file in it."""
    try:
        return sorted(os.listdir(directory))[:1000]  # noqa: PTH208 - names are all it needs
    except (OSError, ValueError):
        return []
