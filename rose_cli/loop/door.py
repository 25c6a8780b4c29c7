"""What a session knows of the program that started it in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from rose_cli.journal.codec import Record
    from rose_cli.loop.gate import Gate
    from rose_cli.loop.session import Session


class Door(Protocol):
    """Between the session and that program. No method waits for it, except the gate."""

    @property
    def gate(self) -> Gate | None:
        """Set if the program decides how learners go on."""
        ...

    def begin(self, run: Path, position: int) -> None:
        """The session starts on this run; its records begin at this byte of the journal."""
        ...

    def on_record(self, record: Record) -> None:
        """A record has been written to disk and applied to the state."""
        ...

    async def follow(self, session: Session) -> None:
        """Do what the program asks for, until cancelled; stop the session when the program ends."""
        ...
