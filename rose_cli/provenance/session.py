"""The facts of a session that nobody can find out later: where, with what, and from which commit it ran."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli import __version__
from rose_cli.journal.events import SessionDescribed
from rose_cli.provenance.git import Git, read_git
from rose_cli.runs.directory import RUNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from rose_cli.provenance.git import GitState

GIT_SECONDS = 20.0
"""How long git may take, beside the work."""

LAST_SECONDS = 0.5
"""How long the end of a session waits for facts that are not complete."""

_CLEANUP_SECONDS = 0.2

_MOST_CHARACTERS = 200

_MOST_BYTES = 1 << 14


class SessionFacts:
    """Gathers the facts of a session in a thread of its own, which nothing waits for: no disk and no git can hold it.

    `deliver` is called once, in that thread, with all of them; unless `take` has taken what there was before.
    """

    def __init__(
        self, session: int, campaign_dir: str, run: Path, deliver: Callable[[SessionDescribed], object]
    ) -> None:
        self._session = session
        self._directory = Path(campaign_dir)
        self._run = run
        self._deliver = deliver
        self._running = Git(GIT_SECONDS)
        self._lock = threading.Lock()
        self._complete = threading.Event()
        self._world: SessionDescribed | None = None
        self._git: GitState | None = None
        self._is_taken = False

    def start(self) -> None:
        """Never fails: where no thread can be started, nothing is gathered."""
        with suppress(RuntimeError, MemoryError):
            threading.Thread(target=self._gather, name="facts", daemon=True).start()
            return
        self._complete.set()

    @property
    def is_complete(self) -> bool:
        return self._complete.is_set()

    def take(self) -> SessionDescribed | None:
        """What is known so far, if it was not delivered; nothing is delivered after that."""
        event = self._taken("the session ended before git did")
        if not self.is_complete:
            self._running.stop()
            self._complete.wait(_CLEANUP_SECONDS)
        return event

    def _taken(self, unfinished: str) -> SessionDescribed | None:
        with self._lock:
            if self._is_taken or self._world is None:
                return None
            self._is_taken = True
            return self._described(self._world, unfinished)

    def _gather(self) -> None:
        try:
            self._set_world(_world(self._session))
            with suppress(Exception):  # whatever a strange repository does, the rest is known
                read_git(self._directory, self._running, self._is_of_runs, self._set_git)
            if (event := self._taken("its repository cannot be read")) is not None:
                self._deliver(event)
        except Exception:  # noqa: BLE001 - the event loop has closed, or worse: no reason to fail a session
            return
        finally:
            self._complete.set()

    def _set_world(self, world: SessionDescribed) -> None:
        with self._lock:
            self._world = world

    def _set_git(self, git: GitState) -> None:
        with self._lock:
            self._git = copy(git)

    def _is_of_runs(self, name: str) -> bool:
        """Whether an untracked path is that of runs, which rose itself writes beside the campaign."""
        git = self._git
        if RUNS in name.split("/"):
            return True
        root = Path(os.path.realpath(git.root if git is not None else self._directory), name.rstrip("/"))
        run = Path(os.path.realpath(self._run))
        return root == run or root.is_relative_to(run)

    def _described(self, world: SessionDescribed, unfinished: str) -> SessionDescribed:
        git = self._git
        if git is None:
            return world
        path = os.path.relpath(os.path.realpath(self._directory), os.path.realpath(git.root))
        problem = git.problem or (unfinished if git.untracked_count is None else None)
        return replace(
            world, commit=git.commit, branch=git.branch, remote=git.remote, campaign_path=path, changed=git.changed,
            changes=git.changes, untracked=git.untracked, untracked_count=git.untracked_count, git_problem=problem,
        )  # fmt: skip


def _world(session: int) -> SessionDescribed:
    import platform

    system = [platform.system(), platform.release(), platform.machine()]
    return SessionDescribed(
        session,
        __version__,
        f"{platform.python_implementation()} {platform.python_version()}",
        sys.executable[: 5 * _MOST_CHARACTERS] or None,
        " ".join(filter(None, system))[:_MOST_CHARACTERS],
        _distribution(),
        _cpu(),
        _user(),
    )


def _distribution() -> str | None:
    import platform

    with suppress(OSError):
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")[:_MOST_CHARACTERS] or None
    return f"macOS {version}" if (version := platform.mac_ver()[0]) else None


def _cpu() -> str | None:
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
        for line in file.read(_MOST_BYTES).splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Hardware", "cpu"):
                return value.strip()[:_MOST_CHARACTERS] or None
    return None


def _user() -> str | None:
    import pwd

    with suppress(KeyError, OSError):
        return pwd.getpwuid(os.geteuid()).pw_name[:_MOST_CHARACTERS]
    return None
