"""`rose track`: send a run to trackers, after it has ended or in addition to those of its campaign."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rose_cli.config.trackers import declared_trackers, installation, missing_module
from rose_cli.find_runs import find_run, name_of
from rose_cli.run_info import require_trust
from rose_cli.runs.listing import is_running, refers_to_run
from rose_cli.track.position import Position
from rose_cli.track.supervisor import Feed, SupervisedRun, supervise
from rose_cli.track.words import journal_bytes
from rose_cli.util.errors import Diagnostic, ExitCode, RunLockedError, UsageError
from rose_cli.util.ownership import restrict_umask
from rose_cli.util.redact import remember
from rose_cli.util.text import did_you_mean, shortened
from rose_cli.view.console import complain, notice, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rose_cli.plan.model import Plan

NEWS_SECONDS = 5.0
"""How often the user is told how far it is."""


def track(words: Sequence[str], settings: Sequence[str], *, trust: bool) -> ExitCode:
    """`words`: the run and the names of trackers, or either of them."""
    declared = declared_trackers()
    has_run = bool(words) and (refers_to_run(words[0]) or words[0] not in declared)
    directory = find_run(words[0] if has_run else None)
    require_trust(directory, "track", trust=trust)
    restrict_umask(~directory.path.stat().st_mode & 0o077)
    run = SupervisedRun(directory)
    wanted = _wanted(run.plan, list(words[has_run:]), settings, declared)
    remember(lambda: run.secrets.values)
    feeds = [Feed(run, name, given, None) for name, given in wanted.items()]
    news = _News(feeds, journal_bytes(directory))
    try:
        supervise(feeds, None, news.tell)
    except RunLockedError as error:
        hint = "the process of its session sends all of it" if is_running(directory) else "wait until it is done"
        raise RunLockedError("another process sends this run to the tracker already", hint) from error
    for feed in feeds:
        _report(feed, name_of(directory))
    return ExitCode.OK if all(feed.is_well and feed.trouble is None for feed in feeds) else ExitCode.LEARNER_FAILED


def _report(feed: Feed, run: str) -> None:
    """What a tracker has now, or why it lacks something."""
    position = feed.position or Position("")
    if feed.trouble is not None or not feed.is_well:
        trouble = feed.trouble
        complain(
            f"'{feed.name}' has not received everything: {trouble.message if trouble else 'it was not started'}",
            (trouble.hint if trouble else None) or f"see track/{feed.name}/log.txt in the run directory",
        )
        return
    say(f"{feed.name} has received {run}{'' if position.closed else ' so far'}")
    if position.line:
        say(f"  {shortened(position.line, 300)}")


def _wanted(
    plan: Plan, names: list[str], settings: Sequence[str], declared: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """The trackers with their settings. Raises UsageError for one that is not installed."""
    planned = {each.name: dict(each.settings) for each in plan.track}
    for name in names:
        if name not in declared:
            raise UsageError(f"no tracker '{name}' is installed", did_you_mean(name, declared) or installation(name))
    names = names or list(planned)
    if not names:
        known = ", ".join(sorted(declared))
        raise UsageError("the campaign of this run names no tracker", f"name one of those that are installed: {known}")
    for name in names:
        if (module := missing_module(name)) is not None:
            raise UsageError(f"the tracker '{name}' needs '{module}', which is not installed", installation(name))
    if settings and len(names) > 1:
        raise UsageError("--set needs a single tracker", "name it after the run")
    return {name: {**planned.get(name, {}), **_parsed(name, settings)} for name in names}


def _parsed(name: str, settings: Sequence[str]) -> dict[str, Any]:
    """`uri=…` and `tags.team=…`, checked like the settings in a campaign file."""
    if not settings:
        return {}
    from rose_cli.campaign_file import parse_setting
    from rose_cli.config.forms import settings_of
    from rose_cli.config.yaml.nodes import plain_value

    given: dict[str, Any] = {}
    for text in settings:
        setting = parse_setting(text)
        inner = given
        for part in setting.path[:-1]:
            inner = inner.setdefault(str(part), {})
            if not isinstance(inner, dict):
                raise UsageError(f"--set gives '{shortened(str(part))}' both a value and keys", "remove one of them")
        inner[str(setting.path[-1])] = plain_value(setting.text)
    found = settings_of(name, given)
    if isinstance(found, Diagnostic):
        raise UsageError(f"--set: {found.message}", found.hint)
    return found


class _News:
    """Tells the user every few seconds how much was sent."""

    def __init__(self, feeds: Sequence[Feed], size: int) -> None:
        self._feeds = feeds
        self._size = max(1, size)
        self._next = time.monotonic() + NEWS_SECONDS

    def tell(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + NEWS_SECONDS
        for feed in self._feeds:
            if not feed.is_finished:
                share = feed.position.bytes / self._size if feed.is_well and feed.position is not None else 0.0
                notice(f"{feed.name}: {min(1.0, share):.0%} sent")
