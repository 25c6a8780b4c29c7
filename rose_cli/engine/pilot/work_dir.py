"""The directory and the environment in which radical.pilot works, and the names that a run's engine directory holds.

Standard library only: the bridge process loads this file without the package around it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.engine.batch import inherited
from rose_cli.util.files import OpenDirectory, create_new, read_regular
from rose_cli.util.trees import copy_contents, remove_contents, remove_entry

if TYPE_CHECKING:
    from collections.abc import Mapping

SCRIPTS = "tasks"

LOCKS = "locks"

WORK_DIR = "radical"
"""In the directory of a pilot: where the files of radical.pilot belong."""

SETTINGS = {
    # without it each of a dozen processes asks the network for the time, and waits if nothing answers
    "RADICAL_DEFAULT_PROFILE": "FALSE",
    "RADICAL_PROFILE": "FALSE",
    "RADICAL_REPORT": "FALSE",
    "RADICAL_LOG_LVL": "ERROR",
    # setproctitle would overwrite the environment, and with it the tag
    "SPT_NOENV": "1",
}

_TEMPORARY, _TOKEN, _TOKEN_BYTES = "rose-pilot-", "rose.token", 16

_UNQUOTED = re.compile(r"[A-Za-z0-9_./+-]+")

_NEEDED_HERE = re.compile(
    r"PATH|LANG|LC_\w+|TZ|USER|LOGNAME|SHELL|TERM|LD_LIBRARY_PATH|PYTHONPATH|VIRTUAL_ENV|CONDA_PREFIX|(OMPI|PRTE|PMIX|MPI|UCX|FI)_\w+"
)

_FROM_ANOTHER_PILOT = re.compile(r"RP_\w+|RADICAL_\w+|ROSE_\w+|BASH_FUNC_.*")


class WorkDirectory:
    """Where all files of radical.pilot go, including those that it would otherwise put into the user's directories.

    It does not quote paths in its shell scripts. If the path of the run directory needs quotes, radical.pilot works in
    a temporary directory (`path`), whose contents are collected at the end into the one in the run (`home`). `token` is
    then in a file there and in the pilot's record: only if the two agree is it that directory.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home
        self.token: str | None = None

    @property
    def needs_no_quotes(self) -> bool:
        return _UNQUOTED.fullmatch(str(self.home)) is not None

    def create(self, user_configs: Path) -> None:
        """Raises OSError."""
        if self.needs_no_quotes:
            self.home.mkdir(parents=True)
        else:
            self.path, self.token = Path(tempfile.mkdtemp(prefix=_TEMPORARY)), secrets.token_hex(_TOKEN_BYTES)
            with open(create_new(self.path / _TOKEN, 0o600), "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(self.token)
        for name in ("client", "agent", "home", "config", "tmp"):
            (self.path / name).mkdir()
        if user_configs.is_dir():
            shutil.copytree(user_configs, self.path / "config" / ".radical", dirs_exist_ok=True)


def verified(work_dir: Path, token: str) -> Path | None:
    """The directory, if it is one that rose created for a pilot, and the one that this token was created for."""
    try:
        status = work_dir.lstat()
        is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
        if not (is_own and work_dir.is_absolute() and work_dir.name.startswith(_TEMPORARY)):
            return None
        written = read_regular(work_dir / _TOKEN, 64).decode("ascii")
    except (OSError, ValueError):
        return None
    return work_dir if len(token) == 2 * _TOKEN_BYTES and written == token else None


def collect_files(work_dir: Path, home: Path) -> None:
    """Keep in the run what may be read later, and leave nothing elsewhere."""
    engine = home.parents[1]
    if work_dir == home:
        with suppress(OSError), OpenDirectory.at(home, inside=engine) as directory:
            deque(remove_entry(directory, "tmp"), 0)
        return
    with suppress(OSError), OpenDirectory.at(work_dir, inside=work_dir) as source:
        deque(remove_entry(source, "tmp"), 0)
        os.unlink(_TOKEN, dir_fd=source.descriptor)
        with OpenDirectory.at(home, inside=engine, make=True) as target:
            deque(remove_contents(target), 0)  # from a session that ended during its own collection
            deque(copy_contents(source, target), 0)
    shutil.rmtree(work_dir, ignore_errors=True)


def bridge_environment(work_dir: Path, tag: tuple[str, str], *, is_local: bool) -> dict[str, str]:
    """The environment of the bridge process, and with it of a pilot on this machine.

    radical.pilot finds its own scripts only on PATH, which need not contain their directory if rose was called by its
    path. Every variable costs an agent time; the commands of a batch system may need any of them.
    """
    keep = _NEEDED_HERE.fullmatch if is_local else lambda name: not _FROM_ANOTHER_PILOT.fullmatch(name)
    given = inherited(os.environ) if is_local else os.environ
    kept = {name: value for name, value in given.items() if keep(name)}
    programs = str(Path(sys.executable).parent)
    if sys.prefix != sys.base_prefix:
        kept["VIRTUAL_ENV"] = sys.prefix
    return {
        **kept,
        **SETTINGS,
        "PATH": os.pathsep.join([programs, kept.get("PATH", os.defpath)]),
        "HOME": str(work_dir / "home"),
        "TMPDIR": str(work_dir / "tmp"),
        "RADICAL_BASE": str(work_dir / "home"),
        "RADICAL_CONFIG_USER_DIR": str(work_dir / "config"),
        tag[0]: tag[1],
    }


def user_configs(environment: Mapping[str, str] = os.environ) -> Path:
    """Where radical.pilot would look for the user's own resource descriptions."""
    home = environment.get("RADICAL_CONFIG_USER_DIR") or environment.get("HOME") or "/nonexistent"
    return Path(home) / ".radical"
