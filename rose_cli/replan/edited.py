"""The plan of a resume: that of the run, or the one that its edited campaign file gives, if that falsifies nothing."""

from __future__ import annotations

import shlex
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.campaign_file import (
    CheckedCampaign,
    caused_by_settings,
    check_campaign,
    recorded_settings,
    task_environment,
    warning_line,
)
from rose_cli.config.document import parse_document
from rose_cli.loop.edits import compare
from rose_cli.plan.compile import with_learners
from rose_cli.plan.file import CAMPAIGN_TEXT, MOST_CAMPAIGN_BYTES
from rose_cli.plan.model import Lineage
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.replan.new_plan import NewPlan, next_lineage, with_earlier
from rose_cli.replan.places import at_path, places_in
from rose_cli.runs.changes import PROGRAM, campaign_has_changed
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import CampaignError, RoseError, UsageError
from rose_cli.util.files import read_regular
from rose_cli.util.ownership import ownership_problem
from rose_cli.util.redact import masked_setting, remember
from rose_cli.util.text import counted
from rose_cli.view.console import notice
from rose_cli.view.edits import edit_lines, refused_lines, shortened_list, ways_on
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rose_cli.campaign_file import Setting
    from rose_cli.loop.edits import Edit
    from rose_cli.made import Made
    from rose_cli.runs.moves import RunLocation


@dataclass(frozen=True)
class Wanted:
    """What the command line says about the plan: new settings, and the learners that rerun, each from where.

    `made`: the campaign as a Python program has just made it.
    """

    settings: Sequence[Setting] = ()
    sent_back: Mapping[str, int] = field(default_factory=dict)
    as_it_was: bool = False
    trust: bool = False
    made: Made | None = None


@dataclass(frozen=True)
class Replan:
    """`new`: the plan to apply, None to keep that of the run; `what` has changed; `news`: more to tell the user."""

    new: NewPlan | None = None
    news: tuple[str, ...] = ()
    what: str = ""

    def lines(self, *, is_applied: bool, words: str = "applied:") -> Iterator[str]:
        """What to tell the user, if a session applies the changes or, since nothing continues, none does.

        `words`: what happens to the changes, if no session has begun to apply them.
        """
        if self.new is not None:
            yield f"{self.what}; {words if is_applied else 'not applied, because no learner continues:'}"
            yield from (f"  {line}" for line in shortened_list(self.new.lines))
        yield from self.news


def replan(where: RunLocation, wanted: Wanted) -> Replan:
    """Compile the campaign file of a run again, if it or the settings have changed.

    Raises CampaignError if it is no longer valid, UsageError if it describes finished steps otherwise.
    """
    file = Path(where.plan.campaign_file)
    if wanted.made is not None:
        with wanted.made.as_file(file) as source:
            return Replan() if _is_copy(where, wanted.made.text) else _compiled(where, source, wanted)
    has_changed = campaign_has_changed(where.directory, where.plan)
    if wanted.as_it_was:
        kept = f"'{short_path(file)}' has changed since this run was started; the run keeps its own plan"
        return Replan(news=(kept,) if has_changed else ())
    if has_changed is False and not wanted.settings:
        return Replan()
    if has_changed is None:
        missing = f"'{where.plan.campaign_file}' no longer exists; the run keeps its own values"
        if not wanted.settings:
            return Replan(news=(missing,))
        file = where.directory.campaign_copy
    if file.suffix == PROGRAM:  # the run has what it made
        file = where.directory.campaign_copy
    if (why := _untrusted(where, file, wanted)) is not None:
        return Replan(news=(why,))
    return _compiled(where, file, wanted)


def _is_copy(where: RunLocation, text: str) -> bool:
    """Whether the run has the same text."""
    try:
        return read_regular(where.directory.campaign_copy, MOST_CAMPAIGN_BYTES) == text.encode()
    except OSError:
        return False


def _untrusted(where: RunLocation, file: Path, wanted: Wanted) -> str | None:
    """Why the file is not applied: it would decide which commands run."""
    directory, name = where.directory, short_path(file)
    if directory.doubt is not None:
        return f"'{name}' is not applied, because this run is not yours alone; the run keeps its own plan"
    doubt = ownership_problem(file.resolve())
    if doubt is not None and not wanted.trust:
        run = shlex.quote(short_path(directory.path))
        message = f"'{name}' has changed since this run was started, and it {doubt.what}"
        kept = f"`rose resume {run} --as-it-was` keeps the run's own plan"
        raise UsageError(message, "inspect the file, then add `--trust`", kept)
    return None


def _compiled(where: RunLocation, file: Path, wanted: Wanted) -> Replan:
    old, environment = where.plan, task_environment()
    lineage = old.lineage or _lineage_of(where, environment)
    if lineage is None and not wanted.settings:
        name = short_path(file)
        why = "it was started by an older rose, which did not record its `--set` options"
        return Replan(news=(f"'{name}' has changed since this run was started; not applied: {why}",))
    lineage = lineage or Lineage()
    before = recorded_settings(lineage)
    given = {setting.path for setting in wanted.settings}
    settings = [*(setting for setting in before if setting.path not in given), *wanted.settings]
    checked = _checked(where, file, environment, settings)
    plan = with_earlier(lineage, checked.good_plan, lambda earlier: _checked(where, file, environment, earlier))
    comparison = compare(old, plan, where.state.by_name(), wanted.sent_back)
    place = places_in(checked.text, str(file), settings, plan)
    learners = [learner.name for learner in comparison.plan.learners]
    refused = comparison.refused
    if refused:
        raise _refusal(where, refused, refused_lines(refused, learners, place), wanted)
    caused = caused_by_settings(file, environment, wanted.settings, checked, before)
    news = [*map(warning_line, caused), *_idle_lines(where, checked.text, before, wanted.settings)]
    if not comparison.edits:
        return Replan(news=tuple(news))
    lines = tuple(edit_lines(comparison.edits, learners, place))
    new = replace(comparison.plan, lineage=next_lineage(where, comparison, lineage, settings))
    remember(partial(secrets_of_plan, new))
    is_file = campaign_has_changed(where.directory, where.plan)
    what = f"'{short_path(file)}' has changed" if is_file else "the settings have changed"
    if wanted.made is not None:
        what = f"what '{short_path(Path(where.plan.campaign_file))}' describes has changed"
    since = "again" if lineage.changes else "since this run was started"
    return Replan(NewPlan(old, new, checked.text, comparison, lines), tuple(news), f"{what} {since}")


def _checked(
    where: RunLocation, file: Path, environment: Mapping[str, str], settings: Sequence[Setting]
) -> CheckedCampaign:
    """The checked file. Raises CampaignError after telling how to continue without it."""
    run = shlex.quote(short_path(where.directory.path))
    kept = f"keep the run's own plan: `rose resume {run} --as-it-was`"
    try:
        checked = check_campaign(file, environment, settings, at=Path(where.plan.campaign_file))
    except UsageError as error:
        if file.is_file():  # the settings are wrong
            raise
        raise UsageError(error.message, f"restore the file, or {kept}") from error
    if checked.plan is None:
        if campaign_has_changed(where.directory, where.plan):  # otherwise it is the new settings that are wrong
            notice(f"'{short_path(file)}' has changed since this run was started, and has errors now: correct them; or")
            notice(kept)
        raise CampaignError(checked.diagnostics, checked.text)
    return checked


def _lineage_of(where: RunLocation, environment: Mapping[str, str]) -> Lineage | None:
    """Of a run that an older rose started: known if its copy of the file alone gives its plan, so without settings."""
    try:
        plan = check_campaign(where.directory.campaign_copy, environment, at=Path(where.plan.campaign_file)).plan
    except RoseError:
        return None
    if plan is None:
        return None
    names = tuple(learner.name for learner in where.plan.learners)
    is_whole = len(names) == len(plan.learners)
    same = compare(where.plan, plan if is_whole else with_learners(plan, frozenset(names)), where.state.by_name(), {})
    return None if same.edits else Lineage(only=() if is_whole else names)


def _refusal(where: RunLocation, refused: Sequence[Edit], lines: Sequence[str], wanted: Wanted) -> UsageError:
    given = wanted.settings
    file, run = (shlex.quote(short_path(path)) for path in (Path(where.plan.campaign_file), where.directory.path))
    what = "the new settings" if given and not campaign_has_changed(where.directory, where.plan) else file
    notice(f"{counted(len(refused), 'change')} in {what} cannot be applied to this run:")
    for line in shortened_list(lines):
        notice(f"  {line}")
    names = [learner.name for learner in where.plan.learners]
    message = f"nothing was applied: finished steps would no longer be what {what} describes"
    if wanted.made is not None:  # no command has the campaign that the program has just made
        return UsageError(message, "undo that in the program", f"`ROSE_RESUME=no python {file}` starts a new run")
    return UsageError(message, *ways_on(refused, names, run, file))


def _idle_lines(where: RunLocation, text: str, before: Sequence[Setting], given: Sequence[Setting]) -> list[str]:
    """Values that were edited in the file, while a setting of the run overrides them."""
    try:
        copy = read_regular(where.directory.campaign_copy, MOST_CAMPAIGN_BYTES).decode()
        then, now = (parse_document(each, CAMPAIGN_TEXT).data for each in (copy, text))
    except (OSError, ValueError, RoseError):
        return []
    replaced = {setting.path for setting in given}
    return [
        f"the new value of {'.'.join(map(str, setting.path))} in the file has no effect:"
        f" this run was started with {masked_setting(setting.source)}; `--set` replaces that"
        for setting in before
        if setting.path not in replaced and at_path(then, setting.path) != at_path(now, setting.path)
    ]
