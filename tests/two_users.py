"""Two people on one machine: the fixtures `alice` and `mallory` are rose as each of them calls it.

Only root can be somebody else, and others than root have to be able to read a Python, this repository and what rose
needs: where that is not so, a test that asks for one of them is skipped with the reason.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from tests.conftest import PATIENCE, REPOSITORY, Rose

if TYPE_CHECKING:
    from pathlib import Path

ALICE, MALLORY = 4001, 4002
"""Each is the number of a user and of a group of their own, of which this machine knows no name."""
TEAM = 4100
"""A group that both are members of."""

# The entries of an access control list as Linux stores it
OWN, NAMED_USER, OWN_GROUP, NAMED_GROUP, MOST, OTHERS = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
R, RW, NOBODY = 4, 6, 0xFFFFFFFF


@dataclass(frozen=True)
class Person(Rose):
    """rose, called in `folder` by a user with a home that nobody else may enter."""

    uid: int
    home: Path
    umask: int = 0o022

    @property
    def python(self) -> str:
        return str(python_of_others())

    @property
    def environment(self) -> dict[str, str]:
        return {**environment_of_others(), "HOME": str(self.home), "USER": self.home.name}

    @property
    def as_whom(self) -> dict[str, Any]:
        return {**_as(self.uid), "umask": self.umask}

    def at(self, folder: Path | str) -> Person:
        """The same person in another folder, which is made where it is missing."""
        path = self.folder / folder
        self.sh(f"mkdir -p '{path}'")
        return replace(self, folder=path)

    def with_umask(self, umask: int) -> Person:
        return replace(self, umask=umask)

    def write(self, text: str, name: str = "campaign.yaml") -> Path:
        path = self.folder / name
        self.sh(f"cat > '{path}'", dedent(text))
        return path

    def sh(self, line: str, given: str = "") -> str:
        """What a shell line of this person's prints; it has to succeed."""
        done = self.attempt(line, given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def attempt(self, line: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """A shell line of this person's that may fail."""
        return subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=self.folder,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            **self.as_whom,
        )

    def process(self, *words: str) -> subprocess.Popen[str]:
        """A process of this person's that rose did not start; whoever asks for it ends it."""
        return subprocess.Popen(words, cwd=self.folder, env=self.environment, text=True, **self.as_whom)


def settle(name: str, uid: int, shared: Path) -> Person:
    """Somebody who works in the folder `shared`."""
    home = shared / f"home-{name}"
    home.mkdir(mode=0o700)
    os.chown(home, uid, uid)
    return Person(shared, uid, home)


def why_not(folder: Path) -> str | None:
    """Why nobody else can use rose in `folder` here; None where they can."""
    if os.geteuid() != 0:
        return "only root can act for two users"
    if python_of_others() is None:
        return "other users can read no Python of this version together with rose and what it needs"
    if not _works(ALICE, "/bin/sh", "-c", f"cd '{folder}'"):
        return f"other users cannot enter '{folder}'"
    return None


@cache
def python_of_others() -> str | None:
    """An interpreter with which other users can call rose."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    names = [sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"]
    imports = "import rose_cli.cli, rose_cli.commands.resume, rose_cli.commands.status"
    return next((name for name in names if _works(ALICE, name, "-c", imports)), None)


def _works(uid: int, *words: str) -> bool:
    try:
        done = subprocess.run(
            words,
            cwd="/",
            env=environment_of_others(),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            **_as(uid),
        )
    except OSError:  # it may not be executed
        return False
    return done.returncode == 0


def _as(uid: int) -> dict[str, Any]:
    return {"user": uid, "group": uid, "extra_groups": [TEAM]}


def environment_of_others() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SUDO_", "XDG_", "VIRTUAL_"))}
    path = f"{REPOSITORY}:{sysconfig.get_path('purelib')}"
    return {**kept, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
