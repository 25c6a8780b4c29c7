"""Whether the values of placeholders can be put where a shell, or an interpreter, reads them as code."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from rose_cli.diagnostic import Finding, Severity
from rose_cli.plan.given import giver, word_place
from rose_cli.plan.shell import NUMBERS, scan, unquoted
from rose_cli.plan.words import Code, code_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.diagnostic import KeyPath
    from rose_cli.plan.given import Layer
    from rose_cli.plan.model import CommandPlan
    from rose_cli.plan.shell import ShellLine, Spot, Style
    from rose_cli.plan.surroundings import Surroundings
    from rose_cli.spec.campaign import Campaign, TaskFields

_LAUNCHER = re.compile(
    r"\b(mpiexec|mpirun|orterun|prun|prterun|srun|jsrun|lrun|aprun|ibrun|flux|charmrun|torchrun|accelerate|deepspeed)\b"
)


@dataclass(frozen=True)
class Lines:
    campaign: Campaign
    around: Surroundings

    def check(self, command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Finding]:
        if command.shell:
            line = scan(command.words[0])
            yield from self._check_spots(line, 0, layers)
            yield from _check_ending(line, command, layers)
            yield from _check_failures(line, layers)
            yield from _check_ranks(command, layers)
        elif (found := code_at(command.words)) is not None:
            position, code = found
            word = command.words[position]
            line = scan(word) if code is Code.SHELL else unquoted(word, code)
            yield from self._check_spots(line, position, layers)

    def _check_spots(self, line: ShellLine, position: int, layers: Sequence[Layer[TaskFields]]) -> Iterator[Finding]:
        """Of those in doubt the first, of those that cannot be filled in as things are rather than of others."""
        path, word = word_place(layers, position)
        findings = [finding for spot in line.spots if (finding := self._check_spot(spot, path, word)) is not None]
        yield from sorted(findings, key=lambda finding: finding.severity is Severity.WARNING)[:1]

    def _check_spot(self, spot: Spot, path: KeyPath, word: tuple[int, int] | None) -> Finding | None:
        name = f"{{{spot.name}}}"
        refused = self._refused(spot)
        is_doubtful = spot.reason is not None and spot.name not in NUMBERS
        if refused is not None:
            reason = spot.reason or "in a here-document, which it could end"
            message = f"'{name}' stands {reason}, and '{refused}' would be read as code"
        elif is_doubtful:
            message = f"'{name}' stands {spot.reason}: its value cannot be quoted there, and has to be plain"
        elif spot.after_dollar:
            message = f"'${name}' is a dollar sign and the value of '{name}'"
        else:
            return None
        severity = Severity.ERROR if refused is not None else Severity.WARNING
        # a text that was split has its words in quotes: the whole word is shown
        is_exact = word is None or word[0] == 0
        inside = (spot.offset, spot.length) if is_exact else word
        return Finding("doubtful-placeholder", message, path, spot.way_out, severity, inside=inside)

    def _refused(self, spot: Spot) -> str | None:
        """The first known value that cannot stand there. There may be thousands of learners, and of spots."""
        values = self._values.get(spot.name, {})
        if spot.name != "learner":
            return next((value for value in values if not spot.takes(value)), None)
        if spot.is_in_document:
            return spot.ending_name(values)
        if spot.style not in self._refused_names:
            self._refused_names[spot.style] = next((name for name in values if not spot.takes(name)), None)
        return self._refused_names[spot.style]

    @cached_property
    def _refused_names(self) -> dict[Style, str | None]:
        return {}

    @cached_property
    def _values(self) -> dict[str, dict[str, None]]:
        """What is known of the values that placeholders will have."""
        folder = str(self.around.campaign_dir)
        learners = [learner.name for learner in self.campaign.learners if learner.name is not None]
        known = {"campaign_dir": [folder], "workspace": [folder], "python": [sys.executable], "learner": learners}
        return {name: dict.fromkeys(values) for name, values in known.items()}


def _check_ending(line: ShellLine, command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Finding]:
    if line.ending is not None and (command.args or command.options):
        what = "args" if command.args else "options"
        message = f"'{what}' cannot be put at the end of the line: {line.ending}"
        hint = "write them into the line, or let the line end in the command that takes them"
        path, _ = word_place(layers, 0)
        yield Finding("lost-arguments", message, path, hint)


_HIDDEN = {
    "pipe": (
        "a pipe ends as its last command does: that one before it has failed goes unseen",
        "leave shell: true out and write [bash, -o, pipefail, -c, '…']",
    ),
    "lines": (
        "a shell goes on after a line that failed: the task ends as its last line does",
        "begin with a line 'set -e'",
    ),
}


def _check_failures(line: ShellLine, layers: Sequence[Layer[TaskFields]]) -> Iterator[Finding]:
    if line.hides_failures is not None:
        message, hint = _HIDDEN[line.hides_failures]
        path, _ = word_place(layers, 0)
        yield Finding("hidden-failure", message, path, hint, Severity.WARNING)


def _check_ranks(command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Finding]:
    if command.ranks > 1 and not _LAUNCHER.search(command.words[0]):
        message = f"{command.ranks} ranks are asked for, but the line starts no MPI launcher: it runs once"
        hint = f"write mpiexec -n {command.ranks} in the line, or ask for cores_per_rank: {command.ranks} instead"
        yield Finding("no-launcher", message, giver(layers, "ranks"), hint, Severity.WARNING)
