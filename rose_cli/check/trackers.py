"""Checks that the trackers of a campaign are installed, without importing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.config.trackers import declared_trackers, installation, missing_module
from rose_cli.util.errors import Diagnostic, KeyPath, Severity
from rose_cli.util.text import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.config.models import Campaign


def check_trackers(campaign: Campaign) -> Iterator[Diagnostic]:
    """A missing tracker is a warning: campaigns are checked on one machine and run on another."""
    if not campaign.track:
        return
    declared = declared_trackers()
    for tracker in campaign.track:
        path: KeyPath = ("track", *tracker.place)
        at_key = tracker.place[-1:] == (tracker.name,)
        if tracker.name not in declared:
            meant = nearest(tracker.name, declared, ratio=0.75)
            hint = f"did you mean '{meant}'?" if meant else installation(tracker.name)
            severity = Severity.ERROR if meant else Severity.WARNING
            message = f"no tracker '{tracker.name}' is installed: it gets no results"
            yield Diagnostic("not-installed", message, path, hint, severity, at_key=at_key)
        elif (module := missing_module(tracker.name)) is not None:
            message = f"'{module}' is not installed: the tracker '{tracker.name}' gets no results"
            yield Diagnostic(
                "not-installed", message, path, installation(tracker.name), Severity.WARNING, at_key=at_key
            )
