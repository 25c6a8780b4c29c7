"""How a script is told that its run could not go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.api.script_errors import ScriptError
from rose_cli.util.errors import CampaignError, ExitCode, RoseError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class LearnersFailedError(RoseError, RuntimeError):
    """Learners failed; all the others have ended. `failed`: the message of each, by name. `run`: the directory."""

    exit_code = ExitCode.LEARNER_FAILED

    def __init__(self, failed: Mapping[str, str | None], run: Path | None) -> None:
        self.failed, self.run = dict(failed), run
        first, message = next(iter(failed.items()))
        text = f"learner '{first}' failed: {message}" if message else f"learner '{first}' failed"
        others = f" ({len(failed) - 1} more failed)" if len(failed) > 1 else ""
        super().__init__(f"{text}{others}", "correct the cause and run the script again: it goes on from there")

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}"


def explained(error: RoseError) -> RoseError:
    """The error with everything that the user needs in its text."""
    if isinstance(error, CampaignError):
        wrong = [each for each in error.diagnostics if each.is_error] or list(error.diagnostics)
        hints = [f"{each.message} ({each.hint})" if each.hint else each.message for each in wrong]
        return ScriptError("; ".join(hints))
    if error.hint and error.hint not in str(error):
        error.args = (f"{error.message} ({error.hint})",)
    return error
