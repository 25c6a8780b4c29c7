"""Where a run and its campaign lie now and where they lay before: what moving and copying them means."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.errors import RunDirectoryError
from rose_cli.host import folder_identity, is_same_file
from rose_cli.journal import events as e
from rose_cli.journal.reader import MOST_BYTES, open_journal
from rose_cli.journal.record import decode, is_whole
from rose_cli.run_directory import RunDirectory, is_same_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan

MOST_SHOWN = 8


@dataclass(frozen=True)
class Whereabouts:
    directory: RunDirectory
    plan: Plan
    state: RunState

    @property
    def _before(self) -> tuple[str | None, str | None]:
        """The folders of the run and of the campaign in the latest session; in the beginning, where there was none."""
        session, origin = self.state.session, self.plan.origin
        if session is not None and session.directory is not None:
            return session.directory, session.campaign_dir
        return (origin.run, origin.campaign) if origin else (None, None)

    @property
    def is_another_folder(self) -> bool:
        """Whether the latest session worked in another folder: what it left on this machine is not this run's."""
        identity = self.state.session.identity if self.state.session else None
        run, _ = self._before
        if identity is not None and identity == folder_identity(self.directory.path):
            return False
        if run is None or not os.path.exists(run):  # noqa: PTH110 - it may have been moved, and what it left is this run's
            return identity is not None
        return not is_same_folder(run, str(self.directory.path)) and not is_same_file(
            RunDirectory.at(Path(run)).journal, self.directory.journal
        )

    @property
    def has_moved(self) -> bool:
        """Whether run or campaign lie elsewhere than plan.json has it."""
        origin, path = self.plan.origin, str(self.directory.path)
        if origin is None or (origin.run is None and origin.campaign == self.plan.campaign_dir):
            return False
        is_there = origin.run is not None and is_same_folder(origin.run, path)
        return not (is_there and is_same_folder(origin.campaign, self.plan.campaign_dir))

    @property
    def original(self) -> str | None:
        """The run directory that this one is a copy of, where that is still there."""
        run, _ = self._before
        if run is None or is_same_folder(run, str(self.directory.path)) or not self.state.run_id:
            return None
        if is_same_file(RunDirectory.at(Path(run)).journal, self.directory.journal):  # through another mount
            return None
        return run if _run_id(Path(run)) == self.state.run_id else None

    def told(self) -> Iterator[str]:
        """Lines about what is not where it was."""
        run, campaign = self._before
        original, now = self.original, self.plan.campaign_dir
        moved = campaign is not None and campaign != now and not is_same_folder(campaign, now)
        if original is not None:
            yield f"this is a copy of the run in '{original}', which is left alone"
            if moved:
                yield f"the campaign of this copy is the one in '{now}'"
        elif moved:
            yield f"the campaign has moved from '{campaign}' to '{now}'"
        elif run is not None and not is_same_folder(run, str(self.directory.path)):
            yield f"the run has moved from '{run}' to '{self.directory.path}'"

    @property
    def lost_campaign(self) -> str | None:
        """What to say where the folder of the campaign is gone."""
        folder = self.plan.campaign_dir
        if os.path.isdir(folder):  # noqa: PTH112
            return None
        return f"the folder of the campaign, '{folder}', is gone, and with it the programs of the tasks"

    def refuse_what_is_missing(self) -> None:
        """Raises RunDirectoryError where the campaign, or a file that was moved along with it, is not there."""
        folder = self.plan.campaign_dir
        again = f"`rose resume {shlex.quote(str(self.directory.path))}`"
        if self.lost_campaign is not None:
            way = f"move it back, or leave a link to where it is now: `ln -s NEW_FOLDER {shlex.quote(folder)}`"
            raise RunDirectoryError(self.lost_campaign, f"{way}; then {again}")
        _, before = self._before
        if before is None or before == folder or is_same_folder(before, folder):
            return
        missing = list(self._missing())
        if missing:
            names = ", ".join(f"'{name}'" for name in missing[:MOST_SHOWN])
            more = f" and {len(missing) - MOST_SHOWN} more" if len(missing) > MOST_SHOWN else ""
            message = f"the campaign has moved from '{before}' to '{folder}', and {names}{more} did not come along"
            raise RunDirectoryError(message, f"put {'it' if len(missing) == 1 else 'them'} there, then {again}")

    def _missing(self) -> Iterator[str]:
        """What the tasks used before, or the plan clearly names, and is not in the campaign's folder now."""
        folder = self.plan.campaign_dir
        noted = [name for name in self.state.files if not os.path.isabs(name)]  # noqa: PTH117
        steps = {id(step): step for learner in self.plan.learners for step in learner.all_steps}
        words = {command.words[0] for step in steps.values() for command in step.commands if not command.shell}
        clear = [word for word in words if "/" in word and "{" not in word and not word.startswith("/")]
        sources = [os.path.relpath(file.source, folder) for learner in self.plan.learners for file in learner.files]
        for name in dict.fromkeys((*noted, *map(os.path.normpath, sorted(clear)), *sources)):
            if not os.path.exists(os.path.join(folder, name)):  # noqa: PTH110, PTH118
                yield name


def _run_id(run: Path) -> str | None:
    """The run that a directory holds, by the first record of its journal."""
    try:
        with open_journal(RunDirectory.at(run).journal) as journal:
            line = journal.readline(MOST_BYTES)
        event = decode(line).event if is_whole(line) else None
    except (OSError, ValueError, KeyError, RecursionError):
        return None
    return event.run_id if isinstance(event, e.RunCreated) else None
