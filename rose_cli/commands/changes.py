"""What is not as it was when a run began: values in its campaign file, and bounds that expressions read.

A resume says so. It does not apply what the campaign file says now.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.errors import RoseError, RunDirectoryError
from rose_cli.journal import events as e
from rose_cli.masking import masked_entry, masked_words
from rose_cli.plan.file import MOST_BYTES
from rose_cli.plan.model import Adaptive
from rose_cli.regular import read_regular
from rose_cli.spec.document import parse_document, read_document
from rose_cli.spec.expression import parse
from rose_cli.spec.reader.text import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.run_directory import RunDirectory

MOST_SHOWN = 8


def campaign_changes(directory: RunDirectory, plan: Plan, state: RunState) -> Iterator[str]:
    """A line for each value that differs between the run's own text and the file as it is now.

    None where the run's own text was edited since: then it does not tell what the file said when the run began.
    """
    noted = state.checksums.get(directory.campaign_text.name)
    if noted and _checksum_of(directory.campaign_text) != noted[0]:
        return
    then, now = _values(directory.campaign_text, is_copy=True), _values(Path(plan.campaign_file))
    if then is not None and now is None:
        what = "cannot be read as a campaign any more" if os.path.exists(plan.campaign_file) else "is gone"  # noqa: PTH110
        yield f"'{plan.campaign_file}' {what}; the run keeps the values that it began with"
    if then is None or now is None or then == now:
        return
    changed = [path for path in {**then, **now} if then.get(path) != now.get(path)]
    yield f"'{plan.campaign_file}' has changed since this run began; the run keeps the values that it began with:"
    for path in changed[:MOST_SHOWN]:
        yield f"  {path}: {_shown(path, then)} → {_shown(path, now)} (not applied)"
    if len(changed) > MOST_SHOWN:
        yield f"  and {len(changed) - MOST_SHOWN} more"


def checksum(data: bytes) -> str:
    return sha256(data).hexdigest()


def checksums(directory: RunDirectory) -> dict[str, str]:
    """Of the files that say what a run does, as they are now, by name; without one that is not there."""
    found = {path.name: _checksum_of(path) for path in (directory.plan, directory.campaign_text)}
    return {name: text for name, text in found.items() if text is not None}


def _checksum_of(path: Path) -> str | None:
    try:
        return checksum(read_regular(path, MOST_BYTES))
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"cannot read '{path}': {(error.strerror or str(error)).lower()}"
        raise RunDirectoryError(message, "restore the file from a backup, or start a new run") from error


def unknown_checksums(state: RunState, now: Mapping[str, str]) -> dict[str, str]:
    """Those of `now` that are not in the journal."""
    return {name: text for name, text in now.items() if text not in state.checksums.get(name, ())}


def bound_changes(plan: Plan, state: RunState, opening: Sequence[e.Event]) -> Iterator[str]:
    """A line for each expression that reads `max_iter` where a new bound follows finished iterations."""
    changed = next((event for event in opening if isinstance(event, e.MaxIterChanged)), None)
    if changed is None:
        return
    sent_back = {event.learner: event.from_iteration for event in opening if isinstance(event, e.LearnerReopened)}
    affected: dict[tuple[str, str, str], list[str]] = {}
    for learner in plan.learners:
        done = len(state.learners[learner.name].iterations)
        kept = min(done, back) if (back := sent_back.get(learner.name)) is not None else done
        if kept and learner.name in (changed.learners or state.learners):
            was = state.bound(learner.name, learner.max_iter)
            for place in _readers_of_max_iter(learner):
                affected.setdefault(place, []).append(f"{learner.name} (0-{kept - 1} with {was})")
    for (task, option, text), learners in list(affected.items())[:MOST_SHOWN]:
        more = f" and {len(learners) - MOST_SHOWN} more" if len(learners) > MOST_SHOWN else ""
        yield f"{task} {option} = {text} reads max_iter, which is {changed.max_iter} from here on;"
        yield f"  finished iterations keep the values of the old bound: {', '.join(learners[:MOST_SHOWN])}{more}"
    if len(affected) > MOST_SHOWN:
        yield f"so do {len(affected) - MOST_SHOWN} more expressions"


def file_changes(plan: Plan, state: RunState, now: Mapping[str, str]) -> dict[str, str]:
    """What is news among the fingerprints of the files that the plan names; empty for a file that is gone."""
    gone = [name for name in state.files if name not in now and not os.path.exists(Path(plan.campaign_dir, name))]  # noqa: PTH110
    return {**{name: text for name, text in now.items() if state.files.get(name) != text}, **dict.fromkeys(gone, "")}


def told_file_changes(plan: Plan, state: RunState, changes: Mapping[str, str]) -> Iterator[str]:
    """A line for each file that is not as the session before had it; nothing where that one did not look."""
    if not state.files:
        return
    when = _when(state)
    copied = {file.source for learner in plan.learners for file in learner.files if file.copied}
    for name, text in list(changes.items())[:MOST_SHOWN]:
        is_copied = str(Path(plan.campaign_dir, name)) in copied
        effect = "workspaces keep the copy that they began with" if is_copied else "from here on tasks have the new one"
        if not text:
            yield f"'{name}' is gone; it was there {when}"
        elif name not in state.files:
            yield f"'{name}' is new; it was not there {when}"
        else:
            yield f"'{name}' has changed since {when.removeprefix('when ')}; {effect}"
    if len(changes) > MOST_SHOWN:
        yield f"so have {len(changes) - MOST_SHOWN} more files"


def _when(state: RunState) -> str:
    """ "when iterations 0-2 ran" """
    done = max((len(learner.iterations) for learner in state.learners.values()), default=0)
    if done == 0:
        return "when this run began"
    is_first = state.session is not None and state.session.number == 1
    return f"when iterations 0-{done - 1} ran" if is_first and done > 1 else f"when iteration {done - 1} ran"


def _readers_of_max_iter(learner: LearnerPlan) -> Iterator[tuple[str, str, str]]:
    """Task, option and text of each such expression, once."""
    found = {
        (step.task, name, value.expression)
        for step in learner.all_steps
        for command in step.commands
        for name, value in command.options.items()
        if isinstance(value, Adaptive) and "max_iter" in value.expression
    }
    yield from sorted(place for place in found if "max_iter" in parse(place[2]).names)


def _shown(path: str, values: dict[str, _Value]) -> str:
    return values[path].shown if path in values else "not there"


@dataclass(frozen=True)
class _Value:
    """A single value of a campaign file; `shown`: without secrets."""

    text: str
    shown: str = field(compare=False)


def _values(path: Path, *, is_copy: bool = False) -> dict[str, _Value] | None:
    """Every single value of a campaign file by its key path, None where the file cannot be read.

    The run's own copy is no link.
    """
    try:
        if is_copy:
            return dict(_flat(parse_document(read_regular(path, MAX_BYTES), str(path)).data, ""))
        return dict(_flat(read_document(path).data, ""))
    except (RoseError, OSError):
        return None


def _flat(value: object, path: str, name: str = "") -> Iterator[tuple[str, _Value]]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _flat(entry, f"{path}.{key}" if path else str(key), str(key))
    elif isinstance(value, list):
        shown = masked_words([str(entry) for entry in value])
        for position, entry in enumerate(value):
            if isinstance(entry, dict | list):
                yield from _flat(entry, f"{path}[{position}]", name)
            else:
                yield f"{path}[{position}]", _Value(str(entry), masked_entry(name, shown[position]))
    else:
        yield path, _Value(str(value), masked_entry(name, str(value)))
