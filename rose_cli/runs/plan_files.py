"""The files of a run that another plan replaces: plan.json, and the run's copy of its campaign file."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from rose_cli.plan.file import dump_plan
from rose_cli.plan.secrets import has_secrets
from rose_cli.runs.directory import write_new

if TYPE_CHECKING:
    from pathlib import Path

    from rose_cli.plan.model import Plan
    from rose_cli.runs.directory import RunDirectory


def write_plan(directory: RunDirectory, plan: Plan) -> None:
    """Write or replace plan.json atomically. Its time stays, because runs are sorted by it. Raises OSError."""
    _replace(directory.plan, dump_plan(plan, directory.path), private=has_secrets(plan))


def write_changed(directory: RunDirectory, plan: Plan, text: str) -> None:
    """Replace plan.json, then the run's copy of the campaign file, by those of an edited campaign.

    In this order: a session that was killed in between leaves a copy that differs from the campaign file, so that the
    next one compares them again. Raises OSError.
    """
    if has_secrets(plan):
        with suppress(OSError):
            directory.path.chmod(stat.S_IMODE(directory.path.stat().st_mode) & ~0o077)
    write_plan(directory, plan)
    _replace(directory.campaign_copy, text, private=has_secrets(plan))


def _replace(path: Path, text: str, *, private: bool) -> None:
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    write_new(unfinished, text, private=private)
    with suppress(FileNotFoundError):
        before = path.stat()
        os.utime(unfinished, ns=(before.st_atime_ns, before.st_mtime_ns))
    unfinished.rename(path)
