"""Environment variables that look like secrets: which they are, and how they are shown.

Their values are in the campaign file, the run's copies of it (which then are for nobody else to read) and the tasks'
environment. They are in no output of rose, and not in the journal.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rose_cli.plan.model import CommandPlan, Plan

MASK = "********"
SHORTEST = 6
"""Shorter values are not looked for in texts: they would be found in every second word."""

SECRET_NAMES = ("PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "CREDENTIAL", "APIKEY")
"""Anywhere in the name of a variable."""
SECRET_WORDS = ("TOKEN", "KEY", "PAT", "AUTH")
"""As a whole word of it, between underscores: `HF_TOKEN` is one, `TOKENIZERS_PARALLELISM` is none."""

_SECRET = re.compile(rf"{'|'.join(SECRET_NAMES)}|(?:^|_)(?:{'|'.join(SECRET_WORDS)})(?:_|$)", re.IGNORECASE)


_ASSIGNMENT = re.compile(r"""(?<![\w$])([A-Za-z_]\w*)=(?:'([^']*)'|"([^"]*)"|([^\s'"$`;&|]+))""")


def is_secret(name: str) -> bool:
    return bool(_SECRET.search(name))


def masked(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables as they may be shown."""
    return {name: MASK if value and is_secret(name) else value for name, value in environment.items()}


def assigned(lines: Iterable[str]) -> dict[str, str]:
    """The variables that lines for a shell set to plain values."""
    found = (match for line in lines for match in _ASSIGNMENT.finditer(line))
    return {match[1]: match[2] or match[3] or match[4] or "" for match in found}


def secrets_of(*environments: Mapping[str, str]) -> tuple[str, ...]:
    """The values to look for in texts, the longest first, since one may be a part of another."""
    found = {value for each in environments for name, value in each.items() if is_secret(name)}
    return tuple(sorted((value for value in found if len(value) >= SHORTEST), key=len, reverse=True))


def without(secrets: Iterable[str], value: Any) -> Any:  # noqa: ANN401 - as it came
    """The value, a text or something of texts, with a mask in the place of every secret."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, dict):
        return {without(secrets, key): without(secrets, entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(without(secrets, entry) for entry in value)
    return value


def has_secrets(plan: Plan) -> bool:
    values = (
        pair for each in _commands(plan) for pair in (*each.environment.items(), *assigned(each.pre_exec).items())
    )
    return any(is_secret(name) and value for name, value in values)


def _commands(plan: Plan) -> Iterable[CommandPlan]:
    """Each once: learners share what they do not change."""
    steps = {id(step): step for learner in plan.learners for step in learner.all_steps}.values()
    return {id(each): each for step in steps for each in (step.otherwise, *step.at.values())}.values()
