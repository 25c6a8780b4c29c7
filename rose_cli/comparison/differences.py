"""What is not the same in several runs: learners, tasks, settings, seeds, engines, code and files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rose_cli.plan.model import CRITERION
from rose_cli.plan.overview import Setting, overview, ranges_text
from rose_cli.util.dataclass import dataclass
from rose_cli.util.text import counted, listed
from rose_cli.view.console import safe
from rose_cli.view.settings import cell_text, title_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rose_cli.journal.events import SessionDescribed
    from rose_cli.plan.model import LearnerPlan
    from rose_cli.plan.overview import Group, Phase
    from rose_cli.run_info import RunInfo

MOST_ROWS = 4
"""A setting that differs in more ways than that, learner by learner, is summed up in one difference."""

MOST_VALUES = 3
MOST_PHASES = 4
DIGEST, COMMIT = 8, 10


@dataclass(frozen=True)
class Difference:
    """Something that is not the same in all runs: the value in each, as text; None: it is not there, or not known.

    `kind`: campaign, learners, task, setting, seed, engine, session, code, or file. `learners`: those of which it is
    true; empty: it is true of the whole run.
    """

    kind: str
    name: str
    values: tuple[str | None, ...]
    learners: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Its name, and whose it is."""
        return f"{self.name} ({listed(self.learners, 2)})" if self.learners else self.name


class _Value(NamedTuple):
    """A value as it is compared, and as it is shown: two secrets differ, and look the same."""

    key: object
    text: str


_Row: TypeAlias = "tuple[_Value | None, ...]"
"""A value for each run."""


class RunView:
    """What a run is compared by."""

    def __init__(self, info: RunInfo) -> None:
        self.info = info
        self.plans = {learner.name: learner for learner in info.plan.learners}
        self.overview = overview(info.plan)
        firsts = (group.learners[0] for group in self.overview.groups)
        self.tasks = dict.fromkeys(step.task for learner in firsts for step in learner.all_steps)
        self._groups = {each.name: group for group in self.overview.groups for each in group.learners}
        self._values: dict[tuple[int, Setting], _Value | None] = {}

    def value(self, learner: str, setting: Setting) -> _Value | None:
        """The setting of a learner, over all of its iterations."""
        group = self._groups[learner]
        key = id(group), setting
        if key not in self._values:
            self._values[key] = self._value(group, setting)
        return self._values[key]

    def _value(self, group: Group, setting: Setting) -> _Value | None:
        parts = [(phase, _raw(phase, setting)) for phase in group.phases]
        if all(raw is None for _, raw in parts):
            return None
        if len({repr(raw) for _, raw in parts}) == 1:
            return _Value(repr(parts[0][1]), safe(cell_text(setting, parts[0][0])))
        by_text: dict[str, list[Phase]] = {}
        for phase, _ in parts:
            by_text.setdefault(cell_text(setting, phase), []).append(phase)
        texts = [
            f"{safe(text)} in {ranges_text(sum((phase.iterations for phase in phases), ()))}"
            for text, phases in by_text.items()
        ]
        shown = "; ".join(texts[:MOST_PHASES]) + ("; …" if len(texts) > MOST_PHASES else "")
        return _Value(tuple((phase.iterations, repr(raw)) for phase, raw in parts), shown)

    def is_common(self, setting: Setting) -> object:
        """The value as it is compared, if every learner has it in every iteration."""
        return repr(_comparable(setting, self.overview.common[setting])) if setting in self.overview.common else None


def _raw(phase: Phase, setting: Setting) -> object:
    value = phase.settings.get(setting)
    return None if value is None else _comparable(setting, value)


def _comparable(setting: Setting, value: Any) -> object:  # noqa: ANN401 - any setting
    """Which words of a command name files depends on what was beside the campaign file."""
    return value[:2] if setting.kind == "command" else value


def differences_of(views: Sequence[RunView], common: Sequence[str]) -> Iterator[Difference]:
    yield from _whole(views, "campaign", "campaign", lambda view: view.info.plan.campaign)
    yield from _learners(views)
    yield from _tasks(views)
    for setting in _settings(views):
        label = title_of(setting) if setting.task == CRITERION and setting.kind == "stop" else _label(setting)
        if common:
            yield from _by_learner("setting", label, common, [_reader(view, setting) for view in views])
        else:
            yield from _summed("setting", label, [(view.plans, _reader(view, setting)) for view in views])
    yield from _by_learner("setting", "max_iter", common, [_bound_reader(view) for view in views])
    yield from _by_learner("setting", "files", common, [_files_reader(view) for view in views])
    yield from _by_learner("seed", "seed", common, [_seed_reader(view) for view in views])
    yield from _whole(views, "engine", "engine", lambda view: view.info.plan.engine.kind)
    for name in ("cores", "host"):
        yield from _known("session", name, [_of_session(view, name) for view in views])
    yield from _known("code", "git commit", [_described(view, _commit_text) for view in views])
    yield from _known("code", "python", [_described(view, lambda each: each.python) for view in views])
    yield from _known("code", "rose", [_described(view, lambda each: each.rose) for view in views])
    yield from _whole(views, "code", "edits", lambda view: str(len(view.info.state.plan_changes) or "") or None)
    yield from _files(views)


def _label(setting: Setting) -> str:
    return f"{safe(setting.task)}.{safe(title_of(setting))}"


def _learners(views: Sequence[RunView]) -> Iterator[Difference]:
    if len({frozenset(view.plans) for view in views}) > 1:
        yield Difference("learners", "learners", tuple(str(len(view.plans)) for view in views))
        shared = set.intersection(*(set(view.plans) for view in views))
        own = [[safe(name) for name in view.plans if name not in shared] for view in views]
        yield Difference("learners", "not in all runs", tuple(listed(names, MOST_VALUES) or None for names in own))


def _tasks(views: Sequence[RunView]) -> Iterator[Difference]:
    for task in dict.fromkeys(task for view in views for task in view.tasks):
        there = tuple("yes" if task in view.tasks else None for view in views)
        if not all(there):
            yield Difference("task", "criterion" if task == CRITERION else f"task {safe(task)}", there)


def _settings(views: Sequence[RunView]) -> Iterator[Setting]:
    """Those that may differ: of tasks that all runs have, and not the same everywhere."""
    tasks = [task for task in views[0].tasks if all(task in view.tasks for view in views)]
    found: dict[Setting, None] = {}
    for view in views:
        found.update(dict.fromkeys((*view.overview.differing, *view.overview.common)))
    order = {task: place for place, task in enumerate(tasks)}
    for setting in sorted((each for each in found if each.task in order), key=lambda each: order[each.task]):
        shared = {view.is_common(setting) for view in views}
        if len(shared) > 1 or None in shared:
            yield setting


_Reader: TypeAlias = "Callable[[str], _Value | None]"
"""From the name of a learner to its value."""


def _reader(view: RunView, setting: Setting) -> _Reader:
    return lambda learner: view.value(learner, setting)


def _seed_reader(view: RunView) -> _Reader:
    return lambda learner: _plain(str(view.plans[learner].seed))


def _bound_reader(view: RunView) -> _Reader:
    def read(learner: str) -> _Value | None:
        bound = view.info.state.bound(learner, view.plans[learner].max_iter)
        return None if bound is None else _plain(str(bound))

    return read


def _files_reader(view: RunView) -> _Reader:
    directory = view.info.plan.campaign_dir

    def read(learner: str) -> _Value | None:
        return _plain(", ".join(_files_of(view.plans[learner], directory))) if view.plans[learner].files else None

    return read


def _files_of(plan: LearnerPlan, directory: str) -> Iterator[str]:
    for file in plan.files:
        source = file.source if file.fixed else os.path.relpath(file.source, directory)
        yield safe(source if file.target == source else f"{source} as {file.target}")


def _plain(text: str) -> _Value:
    return _Value(text, text)


def _by_learner(kind: str, name: str, learners: Sequence[str], readers: Sequence[_Reader]) -> Iterator[Difference]:
    """A difference for all learners, or one for each group of them; many groups are summed up."""
    rows: dict[tuple[object, ...], tuple[_Row, list[str]]] = {}
    for learner in learners:
        row = tuple(read(learner) for read in readers)
        keys = tuple(value.key if value is not None else None for value in row)
        if len(set(keys)) > 1:
            rows.setdefault(keys, (row, []))[1].append(learner)
    groups = list(rows.values())
    if len(groups) == 1 and len(groups[0][1]) == len(learners):
        yield Difference(kind, name, _texts(groups[0][0]))
    elif len(groups) <= MOST_ROWS:
        for row, whose in groups:
            yield Difference(kind, name, _texts(row), tuple(map(safe, whose)))
    else:
        whose = [learner for _, group in groups for learner in group]
        values = tuple(_listed(read(learner) for learner in whose) for read in readers)
        yield Difference(kind, name, values, () if len(whose) == len(learners) else tuple(map(safe, whose)))


def _summed(kind: str, name: str, sides: Sequence[tuple[Iterable[str], _Reader]]) -> Iterator[Difference]:
    """A difference between runs that have no learner in common: the values that there are in each."""
    found = [list(dict.fromkeys(map(read, learners))) for learners, read in sides]
    if len({frozenset(value.key if value else None for value in values) for values in found}) > 1:
        yield Difference(kind, name, tuple(map(_listed, found)))


def _texts(row: _Row) -> tuple[str | None, ...]:
    return tuple(value.text if value is not None else None for value in row)


def _listed(values: Iterable[_Value | None]) -> str | None:
    """Different values, as many as there is room for."""
    texts = [value.text for value in dict.fromkeys(values) if value is not None]
    return listed(texts, MOST_VALUES) if texts else None


def _whole(
    views: Sequence[RunView], kind: str, name: str, read: Callable[[RunView], str | None]
) -> Iterator[Difference]:
    """A difference of whole runs; None: there is none."""
    values = tuple(None if (text := read(view)) is None else safe(text) for view in views)
    if len(set(values)) > 1:
        yield Difference(kind, name, values)


def _known(kind: str, name: str, values: Sequence[str | None]) -> Iterator[Difference]:
    """A difference of whole runs, if at least two of them are known to differ; None: nobody knows."""
    if len({value for value in values if value is not None}) > 1:
        yield Difference(kind, name, tuple(None if value is None else safe(value) for value in values))


def _described(view: RunView, read: Callable[[SessionDescribed], str | None]) -> str | None:
    """What the sessions ran with, one after the other; None if an older rose did not record it."""
    texts = [read(each) for _, each in sorted(view.info.state.described.items())]
    return ", then ".join(dict.fromkeys(text for text in texts if text is not None)) or None


def _commit_text(session: SessionDescribed) -> str | None:
    """ "1a2b3c4d5e, 2 files changed" """
    if session.commit is None:
        return None if session.git_problem else "none"
    changes = f", {counted(session.changes, 'file')} changed" if session.changes else ""
    return session.commit[:COMMIT] + (", changes unknown" if session.changes is None else changes)


def _of_session(view: RunView, name: str) -> str | None:
    found = getattr(view.info.state.session, name, None)
    return None if found is None else str(found)


def _files(views: Sequence[RunView]) -> Iterator[Difference]:
    """The files that the plans name, if their contents differ. An older rose recorded none."""
    recorded: list[Mapping[str, str]] = [view.info.state.files for view in views]
    for name in sorted({name for files in recorded for name in files}):
        values = [files.get(name) for files in recorded]
        known = {value for value, files in zip(values, recorded, strict=True) if files}
        if len(known) > 1:
            yield Difference("file", safe(name), tuple(value and _digest(value) for value in values))


def _digest(fingerprint: str) -> str:
    """Enough of a fingerprint to tell it from another one."""
    return safe(fingerprint.rpartition(":")[2])[:DIGEST]
