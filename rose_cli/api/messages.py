"""What a program and the session that it started tell each other: JSON objects, one in a line.

From the program: first its job, then `decision`, `stop` and `kill`. From the session: `began`, `records` (all up to the
one that starts at this byte of the journal are durable), `question`, `withdrawn`, `error`, and last `ended`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rose_cli.util import errors
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rose_cli.view.screen import Output


@dataclass(frozen=True)
class NewRun:
    """A new run of a campaign file, as `rose run` starts it. `settings`: texts as for `--set`.

    `digest`: the SHA-256 of the file when it was loaded, if it was. `text`: the campaign, if a program has made it;
    then `file` is the program. `python`: files for the tasks of a program, by name, in base64.
    """

    file: Path
    settings: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    run_dir: Path | None = None
    output: Output = "auto"
    digest: str | None = None
    text: str | None = None
    python: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Resume:
    """A run to continue, as `rose resume` does it. `text`, `python`: as in `NewRun`."""

    run: Path
    settings: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    max_iter: int | None = None
    from_iteration: int | None = None
    output: Output = "auto"
    trust: bool = False
    without_decisions: bool = False
    text: str | None = None
    python: Mapping[str, str] = field(default_factory=dict)


Job: TypeAlias = NewRun | Resume


def dump_job(job: Job, *, gated: bool) -> dict[str, Any]:
    return {"job": type(job).__name__, "gated": gated, **asdict(job)}


def load_job(entries: dict[str, Any]) -> tuple[Job, bool]:
    """The job, and whether the program decides."""
    kind, gated = entries.pop("job"), entries.pop("gated")
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in entries.items()
    }
    for name in ("file", "run_dir", "run"):
        if given.get(name) is not None:
            given[name] = Path(given[name])
    return (NewRun if kind == "NewRun" else Resume)(**given), gated


def encode(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, default=str).encode("ascii") + b"\n"


def dump_error(error: errors.RoseError) -> dict[str, Any]:
    kind = next(each.__name__ for each in type(error).__mro__ if vars(errors).get(each.__name__) is each)
    found: dict[str, Any] = {"kind": kind, "message": error.message, "hints": error.hints}
    if isinstance(error, errors.CampaignError):
        found |= {"diagnostics": [asdict(each) for each in error.diagnostics], "text": error.text}
    return found


def load_error(entries: Mapping[str, Any]) -> Exception:
    """The error of a session, as it would have been raised here."""
    if entries["kind"] == "bug":
        return RuntimeError(entries["message"])
    if entries["kind"] == "CampaignError":
        return errors.CampaignError([_diagnostic(each) for each in entries["diagnostics"]], entries["text"])
    error: Exception = getattr(errors, entries["kind"])(entries["message"], *entries["hints"])
    return error


def _diagnostic(entries: dict[str, Any]) -> errors.Diagnostic:
    span, severity, inside = entries["span"], errors.Severity(entries["severity"]), entries["inside"]
    changed = {
        "span": None if span is None else errors.Span(**span),
        "severity": severity,
        "inside": None if inside is None else tuple(inside),
        "path": tuple(entries["path"]),
        "depends_on": tuple(tuple(path) for path in entries["depends_on"]),
    }
    return errors.Diagnostic(**{**entries, **changed})
