"""Errors of rose with all that is known of them in their text, as a traceback shows it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from rose_cli.util.errors import CampaignError, RoseError
from rose_cli.view.diagnostics import diagnostics_text

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH = 120

Error = TypeVar("Error", bound=Exception)


def explained(error: Error) -> Error:
    """The error, whose text has its hints, and each mistake of a campaign file with its line. `message` stays."""
    if isinstance(error, CampaignError):
        files = [each.file for each in error.diagnostics]
        name = next((file for file in files if not file.startswith("--")), "campaign file")
        error.args = (f"\n{diagnostics_text(error.diagnostics, error.text or '', name, _WIDTH).plain}".rstrip(),)
    elif isinstance(error, RoseError):
        error.args = ("\n".join([error.message, *(f"help: {hint}" for hint in error.hints)]),)
    return error


@contextmanager
def explaining() -> Iterator[None]:
    """Errors of rose that the block raises have all that is known of them in their text."""
    try:
        yield
    except RoseError as error:
        raise explained(error)  # noqa: B904 - it is the same error
