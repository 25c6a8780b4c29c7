"""Where a snapshot of the workspace cannot be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.diagnostic import Finding
from rose_cli.plan.given import giver

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.plan.given import Layer
    from rose_cli.plan.model import CommandPlan
    from rose_cli.spec.campaign import TaskFields


def check_snapshot(command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Finding]:
    """Replicas work in one workspace at once: to put it back for one would take it from under the others."""
    if command.snapshot and command.replicas > 1:
        message = f"'snapshot' cannot go with {command.replicas} replicas, which share one workspace"
        hint = "take one of the two out, or give each replica a learner of its own"
        yield Finding("conflicting-keys", message, giver(layers, "snapshot", "replicas"), hint, at_key=True)
