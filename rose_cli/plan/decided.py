"""The plan of a learner with the changes that decisions made to its commands."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rose_cli.plan.words import looked_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rose_cli.plan.model import CommandPlan, LearnerPlan, OptionValue, StepPlan


def with_changes(learner: LearnerPlan, changes: Mapping[str, Any], iteration: int, campaign_dir: str) -> LearnerPlan:
    """The plan for this iteration. `changes`: the `commands` of `DecisionMade`, by task."""
    if not changes:
        return learner

    def changed(step: StepPlan) -> StepPlan:
        change = changes.get(step.task)
        if not change:
            return step
        return replace(step, otherwise=changed_command(step.command(iteration), change, campaign_dir), at={})

    criteria = tuple(each if each.step is None else replace(each, step=changed(each.step)) for each in learner.criteria)
    criterion, more = (criteria[0], criteria[1:]) if criteria else (None, ())
    steps, after = (tuple(changed(step) for step in steps) for steps in (learner.steps, learner.after))
    return replace(learner, steps=steps, criterion=criterion, more_criteria=more, after=after)


def changed_command(command: CommandPlan, change: Mapping[str, Any], campaign_dir: str) -> CommandPlan:
    """The command with the words, arguments and options of a change."""
    if "words" in change:
        words = tuple(change["words"])
        beside = () if command.shell or command.function else looked_up(words, campaign_dir)
        command = replace(command, words=words, beside=beside)
    if "args" in change:
        command = replace(command, args=tuple(change["args"]))
    if "options" in change:
        options = {**command.options, **{name: _value(value) for name, value in change["options"].items()}}
        command = replace(command, options={name: value for name, value in options.items() if value is not None})
    return command


def _value(value: Any) -> OptionValue | None:  # noqa: ANN401 - from JSON
    return tuple(value) if isinstance(value, list) else value
