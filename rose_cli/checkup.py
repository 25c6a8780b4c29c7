"""What was found out about a machine: values, without any opinion on how they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["ok", "note", "missing"]
"""`note`: it works without, or is for the user to know. `missing`: what its part is about does not work."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `part` is what it belongs to: the machine, an engine, the place of the runs."""

    part: str
    name: str
    verdict: Verdict
    value: str
    hint: str | None = None


def is_usable(checks: tuple[Check, ...], part: str) -> bool:
    return not any(check.verdict == "missing" for check in checks if check.part == part)
