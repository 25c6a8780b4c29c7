"""What a script asks of its learner between two states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from rose_cli.api.upstream.configs import LearnerConfig


@dataclass(eq=False)
class Control:
    """To stop, or another configuration from the next iteration on."""

    is_stopped: bool = False
    next_config: LearnerConfig | None = None
