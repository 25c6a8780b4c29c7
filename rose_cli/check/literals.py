"""Finds values that are passed literally although a shell was meant, and placeholders in code."""

from __future__ import annotations

import os
import re
import sys
from functools import cached_property
from typing import TYPE_CHECKING

from rose_cli.check.origin import origin_of, word_location
from rose_cli.plan.shell_quoting import unquoted
from rose_cli.plan.shell_scanner import NUMBERS, scan
from rose_cli.plan.words import Code, code_at
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Diagnostic, KeyPath, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rose_cli.check.origin import Layer
    from rose_cli.config.models import Campaign, TaskFields
    from rose_cli.plan.context import CheckContext
    from rose_cli.plan.model import CommandPlan
    from rose_cli.plan.shell_quoting import ShellLine, Spot, Style

_HOME = r"~(?:[\w.-]*/|(?=:|$))[^:=]*"

# the dynamic linker knows three of its own
_VARIABLE = r"\$(?!\{*(?:ORIGIN|LIB|PLATFORM)\b)(?:\{+\w+[^{}]*\}+|\([^()]+\)|[A-Za-z_]\w*)[^:=]*"

# at the beginning, in a list such as PATH, or in --name=value
FOR_A_SHELL = re.compile(f"(?:^|[:=])({_HOME}|{_VARIABLE}|`[^`]+`)")

_DASHES = "\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{FIGURE DASH}\N{EN DASH}\N{EM DASH}\N{HORIZONTAL BAR}\N{MINUS SIGN}"

# curly quotes, low ones, and those that point
_TYPOGRAPHIC = re.compile(f"-?[{_DASHES}](?=[^\\W\\d]|-)|[\u2018-\u201f\u00ab\u00bb]")

_SOURCED = re.compile(r"(?:^|[;&|]\s*)(?:source|\.)\s+([\"']?)([\w.][\w./+ -]*?)\1(?=\s|$|[;&|])")


def check_variables(variables: Mapping[str, str | None] | None, path: KeyPath) -> Iterator[Diagnostic]:
    for name, value in (variables or {}).items():
        if value is not None and (found := FOR_A_SHELL.search(value)):
            message = f"'{found[1]}' is passed literally: rose expands neither variables nor '~'"
            hint = f'write the full path, or set it under pre_exec: export {name}="{_for_export(value)}"'
            yield Diagnostic("shell-sign", message, (*path, name), hint, Severity.WARNING)


def check_lines(lines: Sequence[str] | None, path: KeyPath, campaign_dir: Path) -> Iterator[Diagnostic]:
    """`source .venv/bin/activate`: the lines run in the workspace, which has no such file."""
    for line in lines or ():
        for _, name in _SOURCED.findall(line):
            if os.path.isfile(campaign_dir / name):  # noqa: PTH113 - pathlib's raises for a name too long
                message = f"'{name}' is looked up in the workspace, where pre_exec runs"
                hint = f'write "$ROSE_CAMPAIGN_DIR/{name}", or add it to files:'
                yield Diagnostic("relative-path", message, path, hint, Severity.WARNING)


def _for_export(value: str) -> str:
    """The value for double quotes in a shell line, where `~` is not expanded."""
    plain = value.replace("{{", "{").replace("}}", "}")
    return re.sub(r"(^|[:=])~(?=/|:|$)", r"\1$HOME", plain)


def check_sign(
    word: str, path: KeyPath, *, at_key: bool = False, inside: tuple[int, int] | None = None
) -> Iterator[Diagnostic]:
    """`—rate` and `“text”`: word processors and web pages produce them, programs do not understand them."""
    if found := _TYPOGRAPHIC.match(word):
        sign = found[0][-1]
        meant = f"write --{word[found.end() :].lstrip('-')} or -{word[found.end() :].lstrip('-')}"
        what, hint = ("hyphen", meant) if sign in _DASHES else ("quote", "write ' or \" if a quote is meant")
        message = f"'{sign}' (U+{ord(sign):04X}) is not a {what}: it is passed literally"
        yield Diagnostic("typographic-sign", message, path, hint, Severity.WARNING, at_key=at_key, inside=inside)


RANK_LAUNCHERS = ("mpiexec", "mpirun", "orterun", "prun", "prterun", "srun", "jsrun", "lrun", "aprun", "ibrun")
"""Programs that start the ranks of a program of MPI."""

_LAUNCHER = re.compile(rf"\b({'|'.join(RANK_LAUNCHERS)}|flux|charmrun|torchrun|accelerate|deepspeed)\b")


@dataclass(frozen=True)
class ShellLineChecker:
    campaign: Campaign
    ctx: CheckContext

    def check(self, command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Diagnostic]:
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

    def _check_spots(self, line: ShellLine, position: int, layers: Sequence[Layer[TaskFields]]) -> Iterator[Diagnostic]:
        """The first doubtful placeholder; one that cannot be filled in comes before the others."""
        path, word = word_location(layers, position)
        diagnostics = [
            diagnostic for spot in line.spots if (diagnostic := self._check_spot(spot, path, word)) is not None
        ]
        yield from sorted(diagnostics, key=lambda diagnostic: diagnostic.severity is Severity.WARNING)[:1]

    def _check_spot(self, spot: Spot, path: KeyPath, word: tuple[int, int] | None) -> Diagnostic | None:
        name = f"{{{spot.name}}}"
        refused = self._refused(spot)
        is_doubtful = spot.reason is not None and spot.name not in NUMBERS
        if refused is not None:
            reason = spot.reason or "in a here-document, which it could end"
            message = f"'{name}' is {reason}, and '{refused}' would be read as code"
        elif is_doubtful:
            message = f"'{name}' is {spot.reason}: its value cannot be quoted there and must be plain"
        elif spot.after_dollar:
            message = f"'${name}' is a dollar sign followed by the value of '{name}'"
        else:
            return None
        severity = Severity.ERROR if refused is not None else Severity.WARNING
        # a string that was split has its words in quotes: the whole word is shown
        is_exact = word is None or word[0] == 0
        inside = (spot.offset, spot.length) if is_exact else word
        return Diagnostic("doubtful-placeholder", message, path, spot.way_out, severity, inside=inside)

    def _refused(self, spot: Spot) -> str | None:
        """The first known value that cannot be put there. There may be thousands of learners and of spots."""
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
        """The values of placeholders that are known before a run."""
        directory = str(self.ctx.campaign_dir)
        learners = [learner.name for learner in self.campaign.learners if learner.name is not None]
        known = {"campaign_dir": [directory], "workspace": [directory], "python": [sys.executable], "learner": learners}
        return {name: dict.fromkeys(values) for name, values in known.items()}


def _check_ending(line: ShellLine, command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Diagnostic]:
    if line.ending is not None and (command.args or command.options):
        what = "args" if command.args else "options"
        message = f"'{what}' cannot be appended to the line: {line.ending}"
        hint = "write them in the line, or end the line with the command that takes them"
        path, _ = word_location(layers, 0)
        yield Diagnostic("lost-arguments", message, path, hint)


_HIDDEN = {
    "pipe": (
        "the exit status of a pipe is that of its last command: earlier failures go unnoticed",
        "remove shell: true and write [bash, -o, pipefail, -c, '…']",
    ),
    "lines": (
        "a shell continues after a failed line: the exit status is that of the last line",
        "start with the line 'set -e'",
    ),
}


def _check_failures(line: ShellLine, layers: Sequence[Layer[TaskFields]]) -> Iterator[Diagnostic]:
    if line.hides_failures is not None:
        message, hint = _HIDDEN[line.hides_failures]
        path, _ = word_location(layers, 0)
        yield Diagnostic("hidden-failure", message, path, hint, Severity.WARNING)


def _check_ranks(command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Diagnostic]:
    if command.ranks > 1 and not _LAUNCHER.search(command.words[0]):
        message = f"{command.ranks} ranks are requested, but the line starts no MPI launcher: it runs once"
        hint = f"write mpiexec -n {command.ranks} in the line, or set cores_per_rank: {command.ranks} instead"
        yield Diagnostic("no-launcher", message, origin_of(layers, "ranks"), hint, Severity.WARNING)
