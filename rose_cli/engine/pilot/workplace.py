"""What a pilot is asked for, and the folder and the environment that radical.pilot is given to work in.

Standard library only: the host process loads this file without the package around it.
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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.util.files import Folder, read_regular
from rose_cli.util.trees import copy_contents, remove_contents, remove_entry

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTINGS = {
    # without it each of a dozen processes asks the network for the time, and waits where nobody answers
    "RADICAL_DEFAULT_PROFILE": "FALSE",
    "RADICAL_PROFILE": "FALSE",
    "RADICAL_REPORT": "FALSE",
    "RADICAL_LOG_LVL": "ERROR",
    # setproctitle writes over the environment else, and with it over the tag
    "SPT_NOENV": "1",
}

HOME = "radical"
"""In the folder of a pilot: where the files of radical.pilot belong."""

_TEMPORARY, _TOKEN, _TOKEN_BYTES = "rose-pilot-", "rose.token", 16

_UNQUOTED = re.compile(r"[A-Za-z0-9_./+-]+")

_NEEDED_HERE = re.compile(
    r"PATH|LANG|LC_\w+|TZ|USER|LOGNAME|SHELL|TERM|LD_LIBRARY_PATH|PYTHONPATH|VIRTUAL_ENV|CONDA_PREFIX|(OMPI|PRTE|PMIX|MPI|UCX|FI)_\w+"
)

_FROM_ANOTHER_PILOT = re.compile(r"RP_\w+|RADICAL_\w+|ROSE_\w+|BASH_FUNC_.*")


@dataclass(frozen=True)
class PilotWanted:
    """In radical.pilot's words. `cores` and `gpus` are those of all nodes; `ranks`: some task has more than one."""

    resource: str
    runtime_minutes: int
    cores: int
    gpus: int = 0
    nodes: int | None = None
    project: str | None = None
    queue: str | None = None
    access_schema: str | None = None
    ranks: bool = False

    @property
    def is_local(self) -> bool:
        return self.resource.startswith("local.")


class Workplace:
    """The folder that radical.pilot's own files go to: everything that it would else put into the user's.

    It does not quote paths for its shell scripts. Where the run directory's would need that, it works in a temporary
    folder, whose content is brought home at the end. `token` is then in a file there, and in the pilot's record: only
    where both agree it is that folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home
        self.token: str | None = None

    @property
    def is_plain(self) -> bool:
        return _UNQUOTED.fullmatch(str(self.home)) is not None

    def make(self, user_configs: Path) -> None:
        """Raises OSError."""
        if self.is_plain:
            self.home.mkdir(parents=True)
        else:
            self.path, self.token = Path(tempfile.mkdtemp(prefix=_TEMPORARY)), secrets.token_hex(_TOKEN_BYTES)
            with open(os.open(self.path / _TOKEN, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
                file.write(self.token)
        for name in ("client", "agent", "home", "config", "tmp"):
            (self.path / name).mkdir()
        if user_configs.is_dir():
            shutil.copytree(user_configs, self.path / "config" / ".radical", dirs_exist_ok=True)


def proven(workplace: Path, token: str) -> Path | None:
    """The folder, where it is one that rose has made for a pilot, and the one that this token was made for."""
    try:
        status = workplace.lstat()
        is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
        if not (is_own and workplace.is_absolute() and workplace.name.startswith(_TEMPORARY)):
            return None
        written = read_regular(workplace / _TOKEN, 64).decode("ascii")
    except (OSError, ValueError):
        return None
    return workplace if len(token) == 2 * _TOKEN_BYTES and written == token else None


def bring_home(workplace: Path, home: Path) -> None:
    """Leave what can be read later where the run is; nothing is left elsewhere."""
    engine = home.parents[1]
    if workplace == home:
        with suppress(OSError), Folder.at(home, inside=engine) as folder:
            deque(remove_entry(folder, "tmp"), 0)
        return
    with suppress(OSError), Folder.at(workplace, inside=workplace) as source:
        deque(remove_entry(source, "tmp"), 0)
        os.unlink(_TOKEN, dir_fd=source.descriptor)
        with Folder.at(home, inside=engine, make=True) as target:
            deque(remove_contents(target), 0)  # of a session that ended while it did the same
            deque(copy_contents(source, target), 0)
    shutil.rmtree(workplace, ignore_errors=True)


def host_environment(wanted: PilotWanted, workplace: Path, tag: tuple[str, str]) -> dict[str, str]:
    """What the host process sees, and with it a pilot on this machine.

    radical.pilot finds its own scripts on PATH only, whose folder need not be there where rose was called by its
    path. Every variable costs an agent time; a batch system's commands may need any of them.
    """
    keep = _NEEDED_HERE.fullmatch if wanted.is_local else lambda name: not _FROM_ANOTHER_PILOT.fullmatch(name)
    kept = {name: value for name, value in os.environ.items() if keep(name)}
    programs = str(Path(sys.executable).parent)
    if sys.prefix != sys.base_prefix:
        kept["VIRTUAL_ENV"] = sys.prefix
    return {
        **kept,
        **SETTINGS,
        "PATH": os.pathsep.join([programs, kept.get("PATH", os.defpath)]),
        "HOME": str(workplace / "home"),
        "TMPDIR": str(workplace / "tmp"),
        "RADICAL_BASE": str(workplace / "home"),
        "RADICAL_CONFIG_USER_DIR": str(workplace / "config"),
        tag[0]: tag[1],
    }


def user_configs(environment: Mapping[str, str] = os.environ) -> Path:
    """Where radical.pilot would look for descriptions of resources that are the user's own."""
    home = environment.get("RADICAL_CONFIG_USER_DIR") or environment.get("HOME") or "/nonexistent"
    return Path(home) / ".radical"
