"""Owns the choice of how a run is shown while it goes on, and what every way of showing it can do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from rose_cli.view.console import can_redraw

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from rich.console import RenderableType

    from rose_cli.journal.codec import Record
    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan
    from rose_cli.view.table import Facts

Output: TypeAlias = Literal["auto", "live", "plain", "json", "quiet"]


class Screen(Protocol):
    """Where a run is shown. Nothing here raises for a reader that is slow or gone, or waits for one."""

    def on_record(self, record: Record) -> None:
        """A record is durable and folded into the state."""
        ...

    async def run(self) -> None:
        """Show what there is to show until cancelled. What is printed when this has returned stays."""
        ...

    def warn(self, message: str) -> None:
        """A line for the user in between."""
        ...

    def close(self, ending: RenderableType | None = None) -> None:
        """Leave the terminal as it was found, whether or not `run` was ever called, and print `ending` below."""
        ...


def open_screen(
    output: Output, plan: Plan, state: RunState, facts: Callable[[], Facts], stream: TextIO = sys.stdout
) -> Screen:
    """The screen for the wanted output; `state` is read whenever something is drawn."""
    from rose_cli.view import plain  # what is not wanted is not imported

    match resolved(output, stream):
        case "live":
            from rose_cli.view.live import LiveScreen

            return LiveScreen(plan, state, facts, stream)
        case "json":
            return plain.JsonScreen(stream)
        case "quiet":
            return plain.QuietScreen()
        case _:
            return plain.PlainScreen(plan, state, stream, facts)


def resolved(output: Output, stream: TextIO) -> Output:
    """What `auto` and `live` come to: a table needs a terminal that can be drawn on."""
    if output in ("auto", "live"):
        return "live" if can_redraw(stream) else "plain"
    return output
