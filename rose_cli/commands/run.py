"""`rose run`: a new run of a campaign."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from rose_cli.allocation import refuse_copies
from rose_cli.campaign_file import (
    CheckedCampaign,
    Setting,
    check_campaign,
    mention_settings,
    only_learners,
    task_environment,
)
from rose_cli.engines import capacity_warnings
from rose_cli.find_runs import MOST_SHOWN, name_of
from rose_cli.new_run import begin, new_run_directory
from rose_cli.plan.model import Lineage
from rose_cli.replan.steered import with_steering
from rose_cli.run_session import notices, run_and_report
from rose_cli.runs.listing import running_runs
from rose_cli.runs.lock import RunLock
from rose_cli.util.dataclass import dataclass
from rose_cli.util.text import counted, listed
from rose_cli.view.console import notice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rose_cli.loop.door import Door
    from rose_cli.made import Made
    from rose_cli.plan.model import Plan
    from rose_cli.util.errors import Diagnostic, ExitCode
    from rose_cli.view.screen import Output


@dataclass(frozen=True)
class RunOptions:
    settings: Sequence[Setting] = ()
    learners: Sequence[str] = ()
    run_directory: Path | None = None
    output: Output = "auto"
    require_criterion: bool = False
    as_it_was: bool = False
    door: Door | None = None
    made: Made | None = None
    """The campaign, if a Python program has made it."""


def run(file: Path, options: RunOptions) -> ExitCode:
    if options.made is None:
        return _run(file, file, options)
    with options.made.as_file(file) as source:
        return _run(source, file, options)


def _run(source: Path, file: Path, options: RunOptions) -> ExitCode:
    """`source`: the file with the text of the campaign."""
    environment = task_environment()
    refuse_copies(environment)
    checked, plan = checked_plan(source, options, environment, file)
    if running := running_runs(file.parent, file):
        notice(f"this campaign is already running: {listed([name_of(each) for each in running], MOST_SHOWN)}")
    directory = new_run_directory(plan, source, options.run_directory)
    with notices(), RunLock.acquire(directory.path):
        if options.made is not None:
            options.made.write(directory)
        work = begin(directory, plan, checked.text, environment, options.output)
        return run_and_report(
            with_steering(replace(work, door=options.door)), require_criterion=options.require_criterion
        )


def checked_plan(
    file: Path, options: RunOptions, environment: Mapping[str, str], at: Path | None = None
) -> tuple[CheckedCampaign, Plan]:
    """The campaign file and the plan of a new run. Raises CampaignError if there are errors; warnings are mentioned."""
    checked = check_campaign(file, environment, options.settings, at=at)
    lineage = Lineage(tuple(setting.source for setting in options.settings), tuple(options.learners))
    plan = replace(only_learners(checked.good_plan, options.learners), lineage=lineage)
    mentioned = mention_settings(file, environment, options.settings, checked)
    if options.made is None:
        mention_warnings(file, checked, mentioned, plan, environment)
    return checked, plan


def mention_warnings(
    file: Path, checked: CheckedCampaign, mentioned: Sequence[Diagnostic], plan: Plan, environment: Mapping[str, str]
) -> None:
    """Tell the user how many warnings `rose validate` has for the file."""
    later = " ".join(capacity_warnings(plan, environment))  # the session shows these
    count = sum(each not in mentioned and each.message not in later for each in checked.diagnostics)
    if count:
        notice(f"{counted(count, 'warning')} in '{file}': see rose validate {shlex.quote(str(file))}")
