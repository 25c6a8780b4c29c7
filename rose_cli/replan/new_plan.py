"""Another plan for a run, ready to be recorded, and how it came about."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING

from rose_cli.campaign_file import settings_of
from rose_cli.journal import events as e
from rose_cli.loop.splice import spliced
from rose_cli.plan.compile import with_learners
from rose_cli.plan.file import dump_plan
from rose_cli.plan.model import Lineage
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.runs.changes import checksum
from rose_cli.util.dataclass import dataclass
from rose_cli.util.redact import Secrets, masked_setting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rose_cli.campaign_file import CheckedCampaign, Setting
    from rose_cli.loop.edits import Comparison
    from rose_cli.plan.model import Plan
    from rose_cli.runs.moves import RunLocation


@dataclass(frozen=True)
class NewPlan:
    """An edited campaign, ready to be applied.

    `base`: the plan of the run so far; `text`: the campaign file; `lines`: the edits as they are shown. `request`: of
    `rose set`, and `halfway`: as in `PlanChanged`.
    """

    base: Plan
    plan: Plan
    text: str
    comparison: Comparison
    lines: tuple[str, ...]
    request: str | None = None
    halfway: Mapping[str, int] = field(default_factory=dict)

    def event(self, where: RunLocation) -> e.PlanChanged:
        lineage, directory = self.plan.lineage or Lineage(), where.directory
        secrets = Secrets.of(secrets_of_plan(where.plan) | secrets_of_plan(self.plan))
        plan = dump_plan(self.plan, directory.path)
        return e.PlanChanged(
            lineage.changes[-1],
            tuple(map(secrets.masked, self.lines)),
            tuple(secrets.masked(masked_setting(text)) for text in lineage.settings),
            self.comparison.added,
            self.comparison.bounds,
            self.comparison.forgotten,
            {directory.plan.name: checksum(plan.encode()), directory.campaign_copy.name: checksum(self.text.encode())},
            (self.request,) if self.request else (),
            self.halfway,
        )


def with_earlier(lineage: Lineage, plan: Plan, check: Callable[[Sequence[Setting]], CheckedCampaign]) -> Plan:
    """The plan of a campaign with all its settings, before each change of steps by `rose set` with those before it.

    Raises CampaignError if the file does not go with those.
    """
    plans = [*(check(settings_of(earlier.settings)).good_plan for earlier in lineage.earlier), plan]
    first, *rest = (only_chosen(lineage, each) for each in plans)
    for earlier, following in zip(lineage.earlier, rest, strict=True):
        first, _ = spliced(first, following, earlier.until)
    return first


def only_chosen(lineage: Lineage, plan: Plan) -> Plan:
    return with_learners(plan, frozenset(lineage.only)) if lineage.only else plan


def next_lineage(where: RunLocation, comparison: Comparison, lineage: Lineage, settings: Sequence[Setting]) -> Lineage:
    dropped = _dropped(where.plan, comparison.plan)
    return replace(
        lineage,
        settings=tuple(setting.source for setting in settings),
        changes=(*lineage.changes, where.state.changes_announced + 1),
        added=(*lineage.added, *comparison.added),
        dropped=tuple(sorted({*lineage.dropped, *dropped})),
    )


def _dropped(old: Plan, new: Plan) -> frozenset[str]:
    """The tasks that a learner, or the campaign, had in the old plan and has no more in the new one."""
    before, after = (_task_sets(plan) for plan in (old, new))
    of_campaign = _tasks_of_campaign(old) - _tasks_of_campaign(new)
    return of_campaign | (frozenset().union(*before) - frozenset.intersection(*after))


def _task_sets(plan: Plan) -> set[frozenset[str]]:
    return {frozenset(step.task for step in learner.all_steps) for learner in plan.learners}


def _tasks_of_campaign(plan: Plan) -> frozenset[str]:
    return frozenset(step.task for step in plan.shared.all_steps) if plan.shared is not None else frozenset()
