"""What an earlier session may have left on a pilot, before a new one runs anything: waited for, or told of."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.engine.pilot.records import open_records, read_record, record_paths
from rose_cli.engine.pilot.script import LOCKS, SCRIPTS
from rose_cli.engine.pilot.wanted import HOME, bring_home, proven
from rose_cli.errors import RunDirectoryError
from rose_cli.host import host_name

if TYPE_CHECKING:
    from rose_cli.engine.pilot.records import PilotRecord

_WAIT_SECONDS = 30.0  # for a host process to end the pilot of a session that is gone
_LOOK_SECONDS = 0.2


def settle_pilots(engine_folder: Path, *, force: bool) -> None:
    """Return once no pilot of an earlier session can be at work, but for those whose processes are on this host.

    These the caller ends by their marks. Raises RunDirectoryError where a pilot may still be at work elsewhere;
    with `force` the user has made sure that none is.
    """
    if force:
        return
    until = time.monotonic() + _WAIT_SECONDS
    while elsewhere := _elsewhere(engine_folder):
        if any(record.host != host_name() for record in elsewhere.values()) or time.monotonic() > until:
            raise _refusal(next(iter(elsewhere.values())))
        time.sleep(_LOOK_SECONDS)


def forget_pilots(engine_folder: Path, *, of_a_copy: bool = False) -> None:
    """Nothing of them is at work any more: bring home what they wrote, take away what only they needed.

    `of_a_copy`: they are those of a run that this one was copied from; what they wrote is that run's.
    """
    were_here = [_forget(path, of_a_copy=of_a_copy) for path in record_paths(engine_folder)]
    for scripts in engine_folder.glob(f"{SCRIPTS}-*"):
        shutil.rmtree(scripts, ignore_errors=True)
    if of_a_copy or all(were_here):  # else the locks are the last fence, where `force` was wrong
        shutil.rmtree(engine_folder / LOCKS, ignore_errors=True)


def _forget(path: Path, *, of_a_copy: bool) -> bool:
    """Whether its tasks ran on this machine. Of what a record says, nothing but its own folder is believed unproven."""
    try:
        record = read_record(path)
    except RunDirectoryError:
        record = None
    if record is not None and record.may_run() and not of_a_copy:
        home = path.parent / HOME
        bring_home(home if record.token is None else proven(Path(record.workplace), record.token) or home, home)
    if not path.parent.is_symlink():
        path.unlink(missing_ok=True)
    return record is None or record.here or not record.may_run()


def _elsewhere(engine_folder: Path) -> dict[Path, PilotRecord]:
    here = host_name()
    return {p: record for p, record in open_records(engine_folder).items() if not (record.here and record.host == here)}


def _refusal(record: PilotRecord) -> RunDirectoryError:
    if record.here:
        message = f"a pilot of this run may still be at work on host '{record.host}'"
        hint = f"resume on '{record.host}'; or make sure that it is not, then: rose resume --force"
    else:
        message = f"a pilot of this run on '{record.resource}' may still be queued or at work"
        hint = "wait for its job to end, or cancel it in the batch system, then: rose resume --force"
    return RunDirectoryError(message, hint)
