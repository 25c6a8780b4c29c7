"""What `rose doctor` finds: one line each, in sections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["ok", "warn", "missing"]


@dataclass(frozen=True)
class Check:
    """One fact. `warn`: rose works, with less; `missing`: something cannot be done. `hint` is what to do about it."""

    name: str
    verdict: Verdict
    detail: str
    hint: str | None = None


@dataclass(frozen=True)
class Section:
    """The checks of one thing; it is usable where nothing is missing."""

    title: str
    checks: tuple[Check, ...]

    @property
    def usable(self) -> bool:
        return all(check.verdict != "missing" for check in self.checks)
