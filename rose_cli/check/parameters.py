"""Checks the parameters of a campaign: those that a learner sets must be declared, and each should be used."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rose_cli.config.placeholders import pieces_of
from rose_cli.util.errors import Diagnostic, Severity
from rose_cli.util.text import did_you_mean, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.check.functions import FunctionChecker
    from rose_cli.config.models import Campaign, Learner
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.util.errors import KeyPath

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_own_parameters(campaign: Campaign, learner: Learner, path: KeyPath) -> Iterator[Diagnostic]:
    for name in learner.parameters or ():
        if name not in campaign.parameters:
            hint = did_you_mean(name, campaign.parameters)
            hint = hint or f"declare it for the campaign, with the value for other learners: parameters: {{{name}: …}}"
            message = f"the campaign has no parameter '{shortened(name)}'"
            at, depends_on = (*path, "parameters", name), (("parameters",),)
            yield Diagnostic("unknown-key", message, at, hint, at_key=True, depends_on=depends_on)


def check_use(campaign: Campaign, plan: Plan, functions: FunctionChecker) -> Iterator[Diagnostic]:
    """A warning for each parameter that nothing uses."""
    unused = set(campaign.parameters)
    if not unused:
        return
    seen: set[int] = set()
    for learner in plan.everyone:
        unused -= _used_by_criteria(learner)
        for step in learner.all_steps:
            if id(step) not in seen:
                seen.add(id(step))
                unused = {name for name in unused if not any(functions.uses(each, name) for each in step.commands)}
        if not unused:
            return
    sections = tuple((section,) for section in ("setup", "before", "tasks", "after", "finish", "stop", "learners"))
    for name in (name for name in campaign.parameters if name in unused):
        hint = f"write {{{name}}} where a task needs it, or {name} in an expression; or remove it"
        message = f"nothing uses the parameter '{name}'"
        path = ("parameters", name)
        yield Diagnostic("unused-key", message, path, hint, Severity.WARNING, at_key=True, depends_on=sections)


def _used_by_criteria(learner: LearnerPlan) -> set[str]:
    found: set[str] = set()
    for criterion in learner.criteria:
        found.update(name for _, name, _ in pieces_of(criterion.reading.file or "") if name is not None)
        found.update(_WORD.findall(criterion.value or ""))
    return found
