"""How an attack went: what was done, in figures, and what should not have happened."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Tally:
    """`figures` by what they count; an attack holds where there are no findings. `skipped`: why it was not made."""

    attack: str
    figures: dict[str, float] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    skipped: str | None = None

    def count(self, what: str, number: float = 1) -> None:
        self.figures[what] = self.figures.get(what, 0) + number

    def most(self, what: str, number: float) -> None:
        """Keep the largest that was seen."""
        self.figures[what] = max(number, self.figures.get(what, number))

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.findings.append(otherwise)

    def line(self) -> str:
        if self.skipped is not None:
            return f"{self.attack}: skipped: {self.skipped}"
        figures = ", ".join(f"{number:g} {what}" for what, number in self.figures.items())
        verdict = "holds" if not self.findings else f"BROKEN ({len(self.findings)})"
        return "\n    ".join([f"{self.attack}: {verdict}: {figures}", *self.findings[:20]])
