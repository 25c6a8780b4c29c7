"""A directory tree with everything odd, and what a copy of it must have."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.util.files import OpenDirectory
from rose_cli.util.trees import copy_contents, remove_entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def described(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that a copy has to bring along, by path."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        kind, mode = stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode)
        what: object = None
        if stat.S_ISLNK(status.st_mode):
            what = str(path.readlink())
        elif stat.S_ISREG(status.st_mode):
            what = path.read_bytes()
        found[str(path.relative_to(folder))] = (kind, mode, status.st_mtime_ns, what)
    return found


def odd_tree(folder: Path) -> Path:
    """A workspace with everything odd that a task may leave in one."""
    (folder / "deep/er/still").mkdir(parents=True)
    (folder / "deep/er/still/x").write_bytes(random.Random(1).randbytes(3 << 20))
    (folder / "empty").mkdir()
    (folder / "none").touch()
    (folder / "program").write_text("#!/bin/sh\n")
    (folder / "program").chmod(0o755)
    (folder / "read-only").write_text("x")
    (folder / "read-only").chmod(0o400)
    (folder / "outside").symlink_to("/etc")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "within").symlink_to("deep/er")
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / "pipe")
    (folder / "a b\n'\"$(x)").write_text("odd name")
    open(os.fsencode(folder) + b"/not-utf8-\xff", "wb").close()  # noqa: PTH123
    os.utime(folder / "none", (1_000_000_000, 1_000_000_000))
    (folder / "closed").mkdir()
    (folder / "closed/inner").write_text("x")
    (folder / "closed").chmod(0o500)
    return folder


def run(work: Iterator[None]) -> None:
    for _ in work:
        pass


def opened(path: Path) -> OpenDirectory:
    return OpenDirectory.at(path, inside=path.parent)


def copy(source: Path, target: Path, *, durable: bool = False, exact: bool = True) -> None:
    with opened(source) as old, opened(target) as new:
        run(copy_contents(old, new, durable=durable, exact=exact))


def remove(path: Path) -> None:
    with opened(path.parent) as folder:
        run(remove_entry(folder, path.name))
