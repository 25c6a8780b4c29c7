"""How a running campaign is shown: the interface of all screens, and the choice of one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from rose_cli.view.console import can_redraw

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TextIO

    from rich.console import RenderableType

    from rose_cli.journal.codec import Record
    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan
    from rose_cli.view.campaign_line import Facts

Output: TypeAlias = Literal["auto", "live", "plain", "json", "quiet"]


class Screen(Protocol):
    """Where a run is shown. No method waits for a slow reader, or raises if the reader has gone."""

    def on_record(self, record: Record) -> None:
        """A record has been written to disk and applied to the state."""
        ...

    def on_plan(self, plan: Plan) -> None:
        """From here on, the run has this plan."""
        ...

    async def run(self) -> None:
        """Keep the screen up to date until cancelled. Output that is printed afterwards stays."""
        ...

    def warn(self, message: str) -> None:
        """Show a line for the user."""
        ...

    def close(self, footer: RenderableType | None = None) -> None:
        """Restore the terminal, even if `run` was never called, and print `footer` below."""
        ...


def open_screen(
    output: Output,
    plan: Plan,
    state: RunState,
    facts: Callable[[], Facts],
    stream: TextIO = sys.stdout,
    run: Path | None = None,
) -> Screen:
    """The screen for the requested output; `state` is read whenever something is drawn. `run`: the run directory."""
    from rose_cli.view import plain  # only what is needed is imported

    match resolved(output, stream):
        case "live":
            from rose_cli.view.live import LiveScreen

            return LiveScreen(plan, state, facts, stream)
        case "json":
            return plain.JsonScreen(stream)
        case "quiet":
            return plain.QuietScreen()
        case _:
            return plain.PlainScreen(plan, state, stream, facts, run)


def resolved(output: Output, stream: TextIO) -> Output:
    """The output that `auto` and `live` stand for: a table needs a terminal whose cursor can be moved."""
    if output in ("auto", "live"):
        return "live" if can_redraw(stream) else "plain"
    return output
