"""Owns how a look at the machine is shown: one page for a person, one object for a program."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING

from rich.text import Text

from rose_cli.checkup import is_usable
from rose_cli.host import host_name
from rose_cli.view.console import open_console, safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from rose_cli.checkup import Check

_STYLES = {"ok": "green", "note": "yellow", "missing": "bold red"}


def print_checkup(checks: tuple[Check, ...], engines: Sequence[str], stream: TextIO) -> None:
    open_console(stream).print(Text("\n").join(_lines(checks, engines)))


def checkup_json(checks: tuple[Check, ...], engines: Sequence[str]) -> str:
    """`engines`: whether each is usable; `checks`: what was looked at, the hint null where there is none."""
    found = [asdict(check) for check in _sorted(checks)]
    usable = {engine: is_usable(checks, engine) for engine in engines}
    return json.dumps({"host": host_name(), "engines": usable, "checks": found}, indent=1)


def _sorted(checks: tuple[Check, ...]) -> list[Check]:
    """Part by part, in the order in which the parts come first."""
    parts = list(dict.fromkeys(check.part for check in checks))
    return sorted(checks, key=lambda check: parts.index(check.part))


def _lines(checks: tuple[Check, ...], engines: Sequence[str]) -> Iterator[Text]:
    width = max(len(check.name) for check in checks)
    for part, group in groupby(_sorted(checks), key=lambda check: check.part):
        yield _title(part, engines, usable=is_usable(checks, part))
        for check in group:
            yield Text.assemble("  ", (f"{check.verdict:<7}", _STYLES[check.verdict]),
                                f"  {check.name:<{width}}  {safe(check.value)}")  # fmt: skip
            if check.hint:
                yield Text.assemble(" " * (width + 13), ("help:", "bold"), f" {safe(check.hint)}")


def _title(part: str, engines: Sequence[str], *, usable: bool) -> Text:
    if part not in engines:
        return Text(part, "bold")
    return Text.assemble((f"engine {part}: ", "bold"), ("usable", "bold") if usable else ("not usable", "bold red"))
