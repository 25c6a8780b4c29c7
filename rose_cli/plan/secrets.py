"""The secrets in the commands of a plan, and commands with their secrets masked.

Secrets are in the campaign file, in the run's copies of it (which then only their owner can read) and in the commands
and environments of tasks. They are neither in the output of rose nor in the journal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rose_cli.plan.model import Adaptive, Number
from rose_cli.util.redact import Secrets, masked_environment, masked_line, masked_options, masked_words
from rose_cli.util.secrets import secrets_in, secrets_of_environment, secrets_of_options, secrets_of_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rose_cli.plan.model import CommandPlan, NotifyPlan, OptionValue, Plan
    from rose_cli.plan.render import Command


def secrets_of(command: Command) -> Secrets:
    """The secrets of a command as it runs: in its arguments, its environment and its `pre_exec`."""
    return Secrets.of(
        secrets_of_words(command.argv)
        | secrets_of_options(command.options)
        | secrets_of_environment(command.environment)
        | secrets_in_lines(command.pre_exec)
    )


def as_shown(command: Command, secrets: Secrets | None = None) -> Command:
    """The command with its secrets masked, and others that are known."""
    secrets = secrets_of(command) | (secrets or Secrets())
    return replace(
        command,
        argv=tuple(map(secrets.masked, masked_words(command.argv))),
        options=secrets.hidden(masked_options(command.options)),
        environment=secrets.hidden(masked_environment(command.environment)),
        pre_exec=tuple(secrets.masked(masked_line(line)) for line in command.pre_exec),
    )


def secrets_in_lines(lines: Iterable[str]) -> frozenset[str]:
    """The secrets in shell lines."""
    return frozenset(secret for line in lines for secret in secrets_in(line))


def secrets_given(command: CommandPlan) -> Secrets:
    """The secrets of a command with placeholders."""
    return Secrets.of(_given(command))


def has_secrets(plan: Plan) -> bool:
    return any(_given(each) for each in _commands(plan)) or bool(_of_settings(plan))


def secrets_of_plan(plan: Plan) -> frozenset[str]:
    """All secrets in the commands and settings of a plan, as in the campaign file: placeholders are not filled in."""
    return frozenset(secret for each in _commands(plan) for secret in _given(each)) | _of_settings(plan)


def _of_settings(plan: Plan) -> frozenset[str]:
    """Those in the settings of the command line and of trackers."""
    settings = plan.lineage.settings if plan.lineage is not None else ()
    given = frozenset(secret for text in settings for secret in secrets_of_words([text.partition(" ")[2]]))
    return given.union(*(secrets_of_options(each) for tracker in plan.track for each in _mappings(tracker.settings)))


def _mappings(settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The settings of a tracker, and the mappings among them."""
    yield settings
    yield from (value for value in settings.values() if isinstance(value, dict))


def shown_notify(notify: NotifyPlan) -> str:
    """The command that is told of ends, with masks, and of which ends."""
    words = masked_words((*notify.command.words, *notify.command.args))
    return f"{secrets_given(notify.command).masked(' '.join(words))} ({', '.join(notify.when)})"


def masked_settings(settings: Mapping[str, Any], secrets: Secrets | None = None) -> dict[str, Any]:
    """The settings of a tracker as they may be shown."""
    nested = {name: masked_options(value) for name, value in settings.items() if isinstance(value, dict)}
    shown: dict[str, Any] = (secrets or Secrets()).hidden({**masked_options(settings), **nested})
    return shown


def _given(command: CommandPlan) -> frozenset[str]:
    return (
        secrets_of_words(plain_words(command))
        | secrets_of_options({name: plain_value(value) for name, value in command.options.items()})
        | secrets_of_environment(command.environment)
        | secrets_in_lines(command.pre_exec)
    )


def plain_words(command: CommandPlan) -> tuple[str, ...]:
    """The arguments of a command with placeholders, without its options."""
    return (*(("/bin/sh", "-c") if command.shell else ()), *command.words, *command.args)


def plain_value(value: OptionValue) -> Any:  # noqa: ANN401 - a scalar, or a tuple of them
    """An option's value with numbers as numbers, however they were written; None for an expression."""
    if isinstance(value, tuple):
        return tuple(plain_value(entry) for entry in value)
    if isinstance(value, Adaptive):
        return None
    return value.value if isinstance(value, Number) else value


def _commands(plan: Plan) -> Iterable[CommandPlan]:
    """Each command once: learners share what they do not change."""
    steps = {id(step): step for learner in plan.everyone for step in learner.all_steps}.values()
    notify = [plan.notify.command] if plan.notify is not None else []
    return {id(each): each for each in (*(each for step in steps for each in step.commands), *notify)}.values()
