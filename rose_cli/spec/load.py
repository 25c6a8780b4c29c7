"""From a document to a campaign and every mistake in it, each with its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rose_cli.diagnostic import Diagnostic, Finding, KeyPath
from rose_cli.spec.broken import NOTHING, Broken
from rose_cli.spec.campaign import LEARNER_KEYS, Campaign, Smoke
from rose_cli.spec.findings import findings_of, unknown_task, value_at
from rose_cli.spec.places import span_of
from rose_cli.spec.repair import repaired

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rose_cli.spec.document import Document

MAX_ROUNDS = 8


@dataclass(frozen=True)
class Loaded:
    """What could be made of a document: the campaign, None where nothing, has stand-ins at the `broken` paths."""

    campaign: Campaign | None
    findings: tuple[Finding, ...]
    broken: Broken


def load(document: Document, broken: Broken = NOTHING) -> Loaded:
    """Every mistake at once: what is wrong is reported and repaired, and the rest is looked at again.

    `broken` are the places that are known to be wrong from reading the document.
    """
    data, tasks = document.data, declared_tasks(document)
    findings: list[Finding] = []
    for _ in range(MAX_ROUNDS):
        try:
            return Loaded(Campaign.model_validate(data), tuple(findings), broken)
        except ValidationError as error:
            found = _about_tasks(findings_of(error, data), data, tasks)
        findings += _telling(found, broken)
        broken = broken.with_paths(path for finding in found for path in _broken(finding))
        data = repaired(data, found)
    return Loaded(None, tuple(findings), broken)


def declared_tasks(document: Document) -> frozenset[str]:
    """All that the file declares, broken ones too."""
    tasks = document.data.get("tasks") if isinstance(document.data, dict) else None
    return frozenset(str(name) for name in tasks) if isinstance(tasks, dict) else frozenset()


def diagnose(document: Document, findings: Iterable[Finding]) -> list[Diagnostic]:
    """The findings at their places."""
    return [_diagnostic(document, finding) for finding in findings]


def _diagnostic(document: Document, finding: Finding) -> Diagnostic:
    file, around = document.locate(finding.path)
    span = span_of(document, finding) or around
    hint = finding.hint if file == document.name else _hint_on_command_line(finding)
    return Diagnostic(finding.code, finding.message, file, span, hint, finding.severity)


def _hint_on_command_line(finding: Finding) -> str | None:
    """What helps where the value is that of a `--set`, which lies over the keys of the file."""
    if finding.code == "unknown-key" and finding.hint and finding.hint.startswith("take it out: '"):
        return f"did you mean '{finding.hint.split(chr(39))[1]}'?"
    if finding.code == "wrong-type" and finding.message.endswith("not a map"):
        return "a key with a point in it stands in quotes: --set 'options.\"model.lr\"=0.1'"
    return finding.hint


# --- which findings to tell ----------------------------------------------------------------------------------------


def _telling(found: Sequence[Finding], broken: Broken) -> list[Finding]:
    """Without those that follow from others: from an earlier round, a misspelt key, or one that is wrong itself."""
    guesses = {(*f.path[:-1], _guess(f)) for f in found if f.code == "unknown-key"}
    keys = Broken(frozenset(f.path for f in found if f.at_key))
    return [
        finding
        for finding in found
        if not broken.explains(finding)
        and not (finding.code == "missing-key" and finding.path in guesses)
        and not (keys.explains(finding) and not finding.at_key)
    ]


def _guess(finding: Finding) -> str:
    """The key that was meant."""
    return finding.hint.split("'")[1] if finding.hint and finding.hint.startswith("did you mean '") else ""


def _broken(finding: Finding) -> list[KeyPath]:
    if finding.code == "not-supported":
        return [finding.path[:1]]
    return [finding.path, (*finding.path[:-1], _guess(finding))] if _guess(finding) else [finding.path]


def _about_tasks(found: Sequence[Finding], data: Any, tasks: frozenset[str]) -> list[Finding]:  # noqa: ANN401
    """With one finding on the key where a learner's `nme: a` was taken for the options of a task `nme`."""
    misnamed = {path for finding in found if (path := _task_path(finding.path)) and _is_misnamed(path, data, tasks)}
    unknown = [unknown_task(str(path[-1]), path, tasks, value_at(path[:-1], data)) for path in misnamed]
    return [finding for finding in found if _task_path(finding.path) not in misnamed] + unknown


def _task_path(path: KeyPath) -> KeyPath | None:
    """What of a path leads to the key of a task, in a learner or in `smoke`."""
    length = {"learners": 3, "smoke": 2}.get(str(path[0])) if path else None
    return path[:length] if length and len(path) >= length else None


def _is_misnamed(path: KeyPath, data: Any, tasks: frozenset[str]) -> bool:  # noqa: ANN401
    own = LEARNER_KEYS if path[0] == "learners" else Smoke.model_fields
    is_map = isinstance(value_at(path, data), dict)
    return bool(tasks) and path[-1] not in tasks and path[-1] not in own and not is_map
