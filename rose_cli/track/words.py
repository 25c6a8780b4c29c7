"""What the user is told of the trackers of a run."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from rose_cli.track.position import is_sending, read_position, trackers_in
from rose_cli.util.json_output import iso_time
from rose_cli.util.text import shortened
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.run_info import RunInfo
    from rose_cli.runs.directory import RunDirectory


def names_of_trackers(info: RunInfo) -> list[str]:
    """The trackers of the plan, and others that the run was sent to."""
    return list(dict.fromkeys([*(each.name for each in info.plan.track), *trackers_in(info.directory)]))


def lines_of_trackers(info: RunInfo) -> Iterator[str]:
    """A line for each tracker of a run that lacks something, or is in trouble."""
    planned = {each.name for each in info.plan.track}
    for name in names_of_trackers(info):
        if info.state.run_id and not (info.alive and read_position(info.directory, name) is None):
            yield from tracker_lines(info.directory, name, is_planned=name in planned)


def tracker_lines(
    directory: RunDirectory, name: str, *, announce: bool = False, is_planned: bool = True
) -> Iterator[str]:
    """What the user should know of a tracker: what it lacks, and with `announce` also where it has the run."""
    position, sending = read_position(directory, name), is_sending(directory, name)
    rest = f"`rose track {shlex.quote(short_path(directory.path))} {name}` sends the rest"
    if announce and position is not None and position.line:
        yield f"tracker '{name}': {shortened(position.line, 300)}"
    if position is None:
        if is_planned and not sending:
            yield f"tracker '{name}' has received nothing; {rest}"
    elif (trouble := position.trouble) is not None:
        hint = f" ({shortened(trouble.hint, 200)})" if trouble.hint else ""
        again = "rose tries again" if sending and not trouble.fatal else rest
        yield f"tracker '{name}' has not received everything: {shortened(trouble.message, 300)}{hint}; {again}"
    elif sending:
        if announce:
            yield f"tracker '{name}' has not received everything yet: rose continues in the background"
    elif not position.closed or (is_planned and position.bytes < journal_bytes(directory)):
        yield f"tracker '{name}' has not received everything; {rest}"


def journal_bytes(directory: RunDirectory) -> int:
    """0 if it cannot be read."""
    try:
        return directory.journal.lstat().st_size
    except OSError:
        return 0


def trackers_object(info: RunInfo) -> list[dict[str, Any]]:
    """The trackers of a run in JSON."""
    return [_object(info.directory, name) for name in names_of_trackers(info)]


def _object(directory: RunDirectory, name: str) -> dict[str, Any]:
    position = read_position(directory, name)
    trouble = position.trouble if position is not None else None
    return {
        "name": name,
        "sending": is_sending(directory, name),
        "complete": position is not None and position.closed and position.bytes >= journal_bytes(directory),
        "records": position.records if position is not None else 0,
        "where": position.line if position is not None else None,
        "trouble": None if trouble is None else trouble.message,
        "trouble_since": None if trouble is None else iso_time(trouble.since),
    }
