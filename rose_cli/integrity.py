"""Whether plan.json and the run's copy of its campaign file are as rose wrote them and, if not, how they differ.

The journal has their checksums. A resume runs what plan.json says, while people read the campaign file beside it. If
either was modified, rose refuses to resume the run unless the user trusts it.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from rose_cli.campaign_file import check_campaign, task_environment
from rose_cli.plan.codec import encode
from rose_cli.runs.changes import unknown_checksums
from rose_cli.util.errors import RoseError, RunDirectoryError
from rose_cli.util.text import cut
from rose_cli.view.wording import short_path, some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan
    from rose_cli.runs.directory import RunDirectory

MOST_SHOWN = 8

MOST_COMPARED = 200

MOST_CHARACTERS = 200

_NOT_COMPARED = ("origin", "campaign_dir", "campaign_file", "beside", "index", "lineage")


def altered(state: RunState, now: Mapping[str, str]) -> list[str]:
    """The files whose checksums (`now`) are not those in the journal; none if the journal has no checksums."""
    return [name for name in unknown_checksums(state, now) if name in state.checksums]


def refusal(directory: RunDirectory, names: list[str], command: str = "resume") -> RunDirectoryError:
    """Why `command` may not run what is in plan.json, and what to do."""
    run = shlex.quote(short_path(directory.path))
    files = " and ".join(f"'{short_path(directory.path / name)}'" for name in names)
    were, it = ("was", "it") if len(names) == 1 else ("were", "them")
    hint = f"restore {it} from a backup; or, to accept the change, run `rose {command} {run} --trust`"
    hint += f", which follows plan.json (`rose plan {run}` shows it)"
    return RunDirectoryError(f"{files} {were} modified after rose wrote {it}", hint)


def altered_lines(directory: RunDirectory, plan: Plan, names: list[str]) -> Iterator[str]:
    """Lines about the modifications, as far as comparing plan.json with the campaign file shows them."""
    if not names:
        return
    were, it = ("was", "it") if len(names) == 1 else ("were", "them")
    yield f"{' and '.join(names)} of this run {were} modified after rose wrote {it}:"
    found = _differences(directory, plan)
    if found is None:
        yield "  the difference is unknown: the run's campaign.yaml is not valid, so there is no plan to compare with"
    elif not found:
        yield "  the change does not affect commands, files or limits in plan.json and campaign.yaml"
    else:
        lines = [f"  {where} ({some(whose)})" if whose else f"  {where}" for where, whose in found.items()]
        yield from lines[:MOST_SHOWN]
        if len(lines) > MOST_SHOWN:
            yield f"  and {len(lines) - MOST_SHOWN} more differences"
        yield "  (this includes values that --set and other options changed for this run)"


def _differences(directory: RunDirectory, plan: Plan) -> dict[str, list[str]] | None:
    """The differences between plan.json and the run's campaign file, each with the learners that it applies to."""
    from pathlib import Path

    try:
        at = Path(plan.campaign_file)
        given = check_campaign(directory.campaign_copy, task_environment(), at=at).plan
    except RoseError:
        given = None
    if given is None:
        return None
    found: dict[str, list[str]] = {}
    theirs = {learner.name: learner for learner in given.learners}
    for learner in plan.learners[:MOST_COMPARED]:
        if learner.name not in theirs:
            found.setdefault("campaign.yaml has no such learner:", []).append(learner.name)
        elif learner != theirs[learner.name]:
            for line in _unlike("", _named(encode(learner)), _named(encode(theirs[learner.name]))):
                found.setdefault(line, []).append(learner.name)
    rest = (_named({**encode(each), "learners": []}) for each in (plan, given))
    found.update((line, []) for line in _unlike("", *rest))
    return found


def _named(value: Any) -> Any:  # noqa: ANN401 - any part of a plan
    """Lists of named items as mappings by name, for readable paths; without location and history."""
    if isinstance(value, dict):
        return {key: _named(entry) for key, entry in value.items() if key not in _NOT_COMPARED}
    if isinstance(value, list) and value and all(isinstance(entry, dict) and "task" in entry for entry in value):
        return {entry["task"]: _named({k: v for k, v in entry.items() if k != "task"}) for entry in value}
    return value


def _unlike(path: str, one: Any, other: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from _unlike(f"{path}.{key}" if path else str(key), one.get(key), other.get(key))
    elif one != other:
        place = path.removeprefix("steps.").replace(".otherwise", "")
        yield f"{place}: plan.json has {_shown(one)}, campaign.yaml has {_shown(other)}"


def _shown(value: object) -> str:
    is_words = isinstance(value, list) and all(isinstance(word, str) for word in value)
    text = shlex.join(value) if is_words and isinstance(value, list) else "nothing" if value is None else str(value)
    return cut(text, MOST_CHARACTERS)
