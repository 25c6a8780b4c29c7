"""Checks of the command that is told of the end of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.check.literals import check_variables
from rose_cli.check.origin import Layer, word_location
from rose_cli.check.programs import ProgramChecker
from rose_cli.config.placeholders import pieces_of
from rose_cli.plan.render import PLAIN_PLACEHOLDERS
from rose_cli.util.errors import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.config.models import Campaign
    from rose_cli.plan.context import CheckContext
    from rose_cli.plan.model import Plan
    from rose_cli.util.errors import KeyPath

_PATH: KeyPath = ("notify",)


def check_notify(campaign: Campaign, plan: Plan, ctx: CheckContext) -> Iterator[Diagnostic]:
    """Whether its program exists, as that of a task, and its placeholders have values."""
    if campaign.notify is None or plan.notify is None:
        return
    layers = [Layer(_PATH, campaign.notify.command)]
    yield from ProgramChecker(campaign, ctx).check(plan.notify.command, layers)
    yield from check_variables(campaign.notify.env, (*_PATH, "env"))
    command = plan.notify.command
    texts: list[tuple[str, KeyPath, int]] = []
    for position, word in enumerate(command.words):
        path, inside = word_location(layers, position)
        texts.append((word, path, inside[0] if inside is not None and not command.shell else 0))
    texts += [(word, (*_PATH, "args", position), 0) for position, word in enumerate(command.args)]
    texts += [(str(text), (*_PATH, "env", name), 0) for name, text in campaign.notify.env.items() if text is not None]
    for text, path, start in texts:
        for piece, name, offset in pieces_of(text) if "{" in text else ():
            if name is not None and name not in PLAIN_PLACEHOLDERS:
                known = " and ".join(f"{{{each}}}" for each in PLAIN_PLACEHOLDERS)
                message = f"'{piece}' has no value in 'notify', which belongs to no task"
                hint = f"use {known}, or read the summary"
                yield Diagnostic("bad-placeholder", message, path, hint, inside=(start + offset, len(piece)))
