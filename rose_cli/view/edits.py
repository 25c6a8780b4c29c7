"""The edits that a resume applies or refuses, in the words of the campaign file."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rose_cli.plan.model import CRITERION, Adaptive, MetricSource, NotifyPlan, Number, TrackerPlan
from rose_cli.plan.overview import joined, ranges_text
from rose_cli.plan.secrets import masked_settings, shown_notify
from rose_cli.util.redact import masked_entry, masked_words
from rose_cli.util.shared import SHARED, part_of
from rose_cli.util.text import counted, cut
from rose_cli.view.wording import exact_duration, some

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from rose_cli.loop.edits import Edit
    from rose_cli.plan.overview import Ranges

MOST_SHOWN = 20

_MOST_CHARACTERS = 60


def edit_lines(edits: Sequence[Edit], learners: Collection[str], place: Callable[[Edit], str | None]) -> list[str]:
    """A line for each edit: what changes, where it is written, and which steps it concerns."""
    lines = []
    for edit in edits:
        notes = "; ".join(filter(None, (place(edit), _steps(edit, len(learners)))))
        lines.append(f"{_change(edit)}  ({notes})" if notes else _change(edit))
    return lines


def refused_lines(edits: Sequence[Edit], learners: Collection[str], place: Callable[[Edit], str | None]) -> list[str]:
    """A line for each edit that cannot be applied, with what it would falsify."""
    lines = []
    for edit in edits:
        where = place(edit)
        lines.append(f"{_change(edit)}{f'  ({where})' if where else ''}: {_falsified(edit, len(learners))}")
    return lines


def shortened_list(lines: Sequence[str]) -> list[str]:
    more = len(lines) - MOST_SHOWN
    return [*lines[:MOST_SHOWN], *([f"and {counted(more, 'more change')}"] if more > 0 else [])]


def _change(edit: Edit) -> str:
    if edit.kind == "added":
        return f"new learner '{edit.new}'"
    if edit.kind == "removed":
        return f"learner '{edit.old}' is no longer in the file{f', {edit.new!r} is in its place' if edit.new else ''}"
    if edit.kind == "renamed":
        return f"learner '{edit.old}' is called '{edit.new}' in the file, with the same settings"
    return _new_or_gone(edit) or f"{_key(edit)}: {shown(edit.key, edit.old)} → {shown(edit.key, edit.new)}"


def _new_or_gone(edit: Edit) -> str | None:
    """A task or a criterion that is new, or that is no longer there; None if the edit is another one."""
    is_new = edit.old is None
    if edit.key[0] == "stop" and len(edit.key) == 2 and _is_criterion(edit):
        what = f"criterion '{edit.key[1]}'"
    elif (
        len(edit.key) != 1 or None not in (edit.old, edit.new) or not isinstance(edit.new if is_new else edit.old, str)
    ):
        return None
    elif edit.key == ("stop",):
        return "new: stop" if is_new else "stop is no longer there"
    else:
        what = f"task '{edit.new if is_new else edit.old}'"
    return f"new {what}" if is_new else f"{what} is no longer in the file"


def _is_criterion(edit: Edit) -> bool:
    """Whether a whole criterion was added or removed, which is named by its metric or by its task."""
    named = edit.new if edit.old is None else edit.old
    is_one = isinstance(named, str) and (named == edit.key[1] or named.startswith(f"{CRITERION}-"))
    return is_one and None in (edit.old, edit.new)


def _key(edit: Edit) -> str:
    is_adaptive = isinstance(edit.old, Adaptive) or isinstance(edit.new, Adaptive)
    return " ".join("adaptive" if is_adaptive and part == "options" else part for part in edit.key)


def shown(key: Sequence[str], value: object) -> str:
    """A value of the plan as a campaign file has it, without secrets."""
    if value is None or value == ():
        return "not set"
    if isinstance(value, tuple) and len(key) < 3 and key[-1] in _LISTS:
        words = masked_words(value)
        return _cut(" ".join(words) if len(words) == 1 else _LISTS[key[-1]](words))
    if key[0] == "files" and isinstance(value, tuple):
        return f"{value[0]}{' (a copy)' if value[1] else ''}"
    if isinstance(value, TrackerPlan | MetricSource | NotifyPlan):
        return _cut(_parts(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _amount(key[-1], value)
    return _cut(masked_entry(key[-1], _scalar(value)))


def _parts(value: TrackerPlan | MetricSource | NotifyPlan) -> str:
    if isinstance(value, NotifyPlan):
        return shown_notify(value)
    if isinstance(value, TrackerPlan):
        entries = (f"{name} {_scalar(entry)}" for name, entry in masked_settings(value.settings).items())
        return ", ".join(entries) or "without settings"
    parts = {"file": value.file, "json": value.json_path, "regex": value.regex}
    return ", ".join(f"{name} {part}" for name, part in parts.items() if part) or "the last line of the output"


_LISTS = {
    "executable": shlex.join, "args": shlex.join, "pre_exec": "; ".join, "options": " ".join, "preload": ", ".join,
}  # fmt: skip


def _cut(text: str) -> str:
    return cut(text, _MOST_CHARACTERS)


def _scalar(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_scalar, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_scalar(entry)}' for name, entry in value.items())}}}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Number):
        return value.text
    if isinstance(value, Adaptive):
        return f'"{value.expression}"'
    return f"'{value}'" if isinstance(value, str) else "none" if value is None else f"{value:g}"


_IN_SECONDS = frozenset(("timeout", "retry pause", "wall_time", "grace"))


def _amount(key: str, value: float) -> str:
    if key in _IN_SECONDS:
        return exact_duration(value)
    if key == "mem_per_rank":
        return f"{value:g} MB"
    return repr(value).removesuffix(".0")


def _steps(edit: Edit, count: int) -> str | None:
    """ "train from iteration 4 of all learners" """
    if edit.kind != "changed" or not edit.learners:
        return None
    whose = _whose(edit.learners, count)
    if not edit.ranges or edit.key[0] in ("max_iter", "seed", "files", "tasks"):
        return whose.removeprefix("of ")
    task = ", ".join(edit.tasks) or edit.key[0]
    if tuple(edit.learners) == (SHARED,):
        return f"{task} {whose}"
    firsts = set((edit.since or {}).values())
    if len(firsts) > 1:
        return f"{task} from the next iteration {whose}"
    left = _clipped(edit.ranges, next(iter(firsts), 0))
    return f"{task} {_iterations(left)} {whose}" if left else "no iteration that is left"


def _whose(names: Sequence[str], count: int) -> str:
    learners = [name for name in names if name != SHARED]
    groups = ["all learners" if len(learners) == count > 1 else some(learners)] if learners else []
    return f"of {' and '.join([*groups, *(['the campaign'] if SHARED in names else [])])}"


def _clipped(ranges: Ranges, since: int) -> Ranges:
    return tuple((max(first, since), last) for first, last in ranges if last is None or last >= since)


def _iterations(ranges: Ranges) -> str:
    *others, (first, last) = ranges
    if last is None:
        since = f"from iteration {first}"
        return f"in iterations {ranges_text(tuple(others))} and {since}" if others else since
    return f"in {'iteration' if not others and first == last else 'iterations'} {ranges_text(ranges)}"


def _falsified(edit: Edit, count: int) -> str:
    if edit.kind == "renamed":
        return "a run keeps the names of its learners"
    if edit.kind == "removed":
        return "a run keeps its learners"
    victims = edit.falsified or {}
    groups: dict[str, list[str]] = {}
    for name, iterations in victims.items():
        numbers = _numbers(iterations) if name != SHARED else f"the {part_of(min(iterations))}"
        groups.setdefault(numbers, []).append(name)
    whose = ", ".join(f"{numbers} {_whose(names, count)}" for numbers, names in groups.items())
    without = edit.old is None and (edit.key[0] == "files" or len(edit.key) == 1)
    is_gone = edit.new is None and len(edit.key) < 3
    what = "without it" if without else "with it" if is_gone else f"with {shown(edit.key, edit.old)}"
    return f"{whose} ran {what}"


def _numbers(iterations: Sequence[int]) -> str:
    """ "iterations 0-3, 5" """
    words = ranges_text(joined([tuple((number, number) for number in iterations)]))
    return f"iteration {words}" if words.isdecimal() else f"iterations {words}"


def ways_on(edits: Sequence[Edit], learners: Collection[str], run: str, file: str) -> Iterator[str]:
    """What can be done about edits that cannot be applied; `run` and `file` as on a command line."""
    victims = _victims(edits)
    if any(edit.kind == "renamed" for edit in edits):
        yield "write the old name of the learner"
    if any(edit.kind == "removed" for edit in edits):
        yield "put the learner back, with its old name (`max_iter` can end it where it is)"
    if victims and SHARED not in victims and all(edit.falsified for edit in edits):
        chosen = "" if len(victims) == len(learners) else "".join(f" --learner {shlex.quote(name)}" for name in victims)
        yield f"`rose resume {run} --from-iteration {_first(edits)}{chosen}` reruns those steps with the new file"
    yield from filter(None, (_expression(edit) for edit in edits[:2]))
    yield f"`rose resume {run} --as-it-was` keeps the run's own plan"
    yield f"`rose run {file}` starts a new run"


def _victims(edits: Sequence[Edit]) -> list[str]:
    return list(dict.fromkeys(name for edit in edits for name in edit.falsified or ()))


def _first(edits: Sequence[Edit]) -> int:
    """The first falsified iteration; other files need a new workspace, and so a start from 0."""
    if any(edit.key[0] == "files" for edit in edits):
        return 0
    return min(iteration for edit in edits for each in (edit.falsified or {}).values() for iteration in each)


def _expression(edit: Edit) -> str | None:
    """The value that keeps the old one in finished iterations, ready to be pasted."""
    values = edit.old, edit.new
    if len(edit.key) != 3 or edit.key[1] != "options" or not edit.falsified or SHARED in edit.falsified:
        return None
    if not all(isinstance(value, Number | str | int | float) and not isinstance(value, bool) for value in values):
        return None
    old, new = (_scalar(value) for value in values)
    done = 1 + max(max(each) for each in edit.falsified.values())
    task, _, option = edit.key
    text = f'{task}: {{adaptive: {{{option}: "{old} if i < {done} else {new}"}}}}'
    return f"`{text}` keeps {old} for the finished iterations"
