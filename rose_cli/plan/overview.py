"""A plan in short: what all learners and iterations have in common, what differs, and totals.

Nothing is lost: for each learner and iteration, the common settings together with those that differ are all settings of
its commands. No iteration is enumerated, and learners whose plans differ only in name and seed are one group.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeAlias

from rose_cli.config.expression.compiler import parse
from rose_cli.config.expression.parser import ExpressionError
from rose_cli.plan.metrics import StandardMetric, standard_metric
from rose_cli.plan.model import CRITERION, Adaptive, MetricSource, criterion_task
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rose_cli.plan.model import CommandPlan, CriterionPlan, LearnerPlan, OptionValue, Plan, StepPlan

Ranges: TypeAlias = tuple[tuple[int, int | None], ...]
"""Sets of iterations: first and last of each range, in order; a last one of None means that there is no end."""


@dataclass(frozen=True)
class Setting:
    """What a value belongs to: the task, the kind of setting and, if there are several of a kind, its name."""

    task: str
    kind: str
    name: str = ""


Settings: TypeAlias = "dict[Setting, Any]"


@dataclass(frozen=True)
class Phase:
    """Iterations with the same settings."""

    iterations: Ranges
    settings: Mapping[Setting, Any]


@dataclass(frozen=True)
class Group:
    """Learners with the same settings in the same iterations."""

    learners: tuple[LearnerPlan, ...]
    phases: tuple[Phase, ...]

    @property
    def iterations(self) -> Ranges:
        return joined(phase.iterations for phase in self.phases)


@dataclass(frozen=True)
class Overview:
    """`common`: settings that every iteration of every learner has, of the tasks that it has; `differing`: the others.

    Expressions always count as differing. A learner without a criterion has none of the settings of that task.
    """

    groups: tuple[Group, ...]
    common: Mapping[Setting, Any]
    differing: tuple[Setting, ...]

    def settings(self, learner: str, iteration: int) -> Settings:
        """All settings of one learner in one iteration."""
        group = next(group for group in self.groups if any(each.name == learner for each in group.learners))
        phase = next(phase for phase in group.phases if contains(phase.iterations, iteration))
        tasks = {setting.task for setting in phase.settings}
        shared = {setting: value for setting, value in self.common.items() if setting.task in tasks}
        own = {setting: phase.settings[setting] for setting in self.differing if setting in phase.settings}
        return {**shared, **own}


def overview(plan: Plan) -> Overview:
    reader = _Reader()
    learners: dict[object, list[LearnerPlan]] = {}
    for learner in plan.learners:
        learners.setdefault(reader.key_of(learner), []).append(learner)
    groups = tuple(Group(tuple(each), reader.phases(each[0])) for each in learners.values())
    return Overview(groups, *_divided(groups))


def settings_of(task: str, command: CommandPlan) -> Settings:
    """The settings of a command, without those that have their default."""
    resources, retries = command.resources, (command.retries, command.retry_pause_seconds)
    plain: dict[str, Any] = {
        "command": None if command.function else (command.words, command.shell, command.beside),
        "function": command.called,
        "args": command.args or None,
        "replicas": command.replicas if command.replicas > 1 else None,
        "replicas from": command.replicas_text if command.replica_axes or command.replicas_from else None,
        "when": command.when,
        "ranks": command.ranks if command.ranks > 1 else None,
        "cores": resources.cores if resources.cores > 1 else None,
        "gpus": resources.gpus or None,
        "mem": resources.memory_mb or None,
        "timeout": command.timeout_seconds,
        "retries": retries if command.retries else None,
        "on_failure": command.on_failure if command.on_failure != "stop_learner" else None,
        "snapshot": command.snapshot or None,
        "preload": command.preload or None,
        "pre_exec": command.pre_exec or None,
    }
    found: Settings = {Setting(task, kind): value for kind, value in plain.items() if value is not None}
    found |= {Setting(task, "option", name): _folded(value) for name, value in command.options.items()}
    return found | {Setting(task, "env", name): value for name, value in command.environment.items()}


def _folded(value: OptionValue) -> OptionValue:
    """An expression without variables is its value."""
    if not isinstance(value, Adaptive):
        return value
    with suppress(ExpressionError):
        expression = parse(value.expression)
        return value if expression.names or expression.reads else expression.evaluate({})
    return value


class _Reader:
    """Reads learners; what thousands of them share is read once."""

    def __init__(self) -> None:
        self._keys: dict[int, str] = {}
        self._settings: dict[tuple[str, int], Settings] = {}

    def key_of(self, learner: LearnerPlan) -> object:
        """Equal for learners whose plans differ only in name, position and seed."""
        stop, parameters = repr(stop_settings(learner)), repr(learner.parameters)
        return (tuple(map(self._text, learner.all_steps)), stop, learner.max_iter, learner.files, parameters)

    def phases(self, learner: LearnerPlan) -> tuple[Phase, ...]:
        by_text: dict[tuple[str, ...], tuple[list[tuple[int, int | None]], Settings]] = {}
        for first, last in _stretches(learner):
            commands = [(step.task, step.command(first)) for step in learner.all_steps]
            ranges, _ = by_text.setdefault(
                tuple(self._text(command) for _, command in commands), ([], self._all_settings(learner, commands))
            )
            ranges.append((first, last))
        return tuple(Phase(joined([tuple(ranges)]), settings) for ranges, settings in by_text.values())

    def _all_settings(self, learner: LearnerPlan, commands: Sequence[tuple[str, CommandPlan]]) -> Settings:
        found = stop_settings(learner)
        found |= {Setting("", "parameter", name): value for name, value in learner.parameters.items()}
        for task, command in commands:
            if (task, id(command)) not in self._settings:
                self._settings[task, id(command)] = settings_of(task, command)
            found |= self._settings[task, id(command)]
        return found

    def _text(self, part: StepPlan | CommandPlan) -> str:
        """What tells it from others, with the values as they were written: 1 is not 1.0."""
        if id(part) not in self._keys:
            self._keys[id(part)] = repr(part)
        return self._keys[id(part)]


def stop_settings(learner: LearnerPlan) -> Settings:
    """What the learner's criteria say, without their commands and defaults; `rule` is there if there are several."""
    found: Settings = {
        Setting(criterion_task(place), "stop", name): value
        for place, criterion in enumerate(learner.criteria)
        for name, value in stop_fields(criterion).items()
    }
    return {**found, Setting(CRITERION, "stop", "rule"): learner.stop_rule} if learner.more_criteria else found


def stop_fields(criterion: CriterionPlan) -> dict[str, Any]:
    """What a criterion says, without its command and defaults.

    `at` is the metric with its operator and threshold; `range` is there if it is not that of the metric.
    """
    given = {each.name: getattr(criterion, each.name) for each in fields(criterion) if each.name != "step"}
    at = tuple(given.pop(name) for name in ("metric", "operator", "threshold"))
    plain = {"min_iter": 1, "reading": MetricSource(None, None, None), "range": _standard_range(criterion.metric)}
    given["range"] = (given.pop("lowest"), given.pop("highest"))
    others = {name: v for name, v in given.items() if v not in (None, 0.0) and v != plain.get(name)}
    return {"at": at, **others}


def _standard_range(metric: str) -> tuple[float | None, float | None]:
    standard = standard_metric(metric) or StandardMetric("<")
    lowest, highest = (end if math.isfinite(end) else None for end in (standard.lowest, standard.highest))
    return lowest, highest


def _stretches(learner: LearnerPlan) -> Iterator[tuple[int, int | None]]:
    """Ranges of iterations in which no command changes."""
    end = learner.max_iter
    keys = {key for step in learner.all_steps for key in step.at}
    starts = sorted({0, *(start for key in keys for start in (key, key + 1) if end is None or start < end)})
    for start, following in zip(starts, [*starts[1:], end], strict=True):
        yield start, None if following is None else following - 1


def _divided(groups: Sequence[Group]) -> tuple[Settings, tuple[Setting, ...]]:
    """The settings that all phases share, and the others in the order of tasks."""
    common: dict[str, Settings] = {}
    seen: dict[str, dict[Setting, None]] = {}
    tasks: dict[str, None] = {}
    for phase in (phase for group in groups for phase in group.phases):
        by_task: dict[str, Settings] = {}
        for setting, value in phase.settings.items():
            by_task.setdefault(setting.task, {})[setting] = value
        for task, settings in by_task.items():
            tasks.setdefault(task)
            seen.setdefault(task, {}).update(dict.fromkeys(settings))
            so_far = common.setdefault(task, settings)
            if so_far is not settings:
                common[task] = {s: v for s, v in so_far.items() if s in settings and _same(v, settings[s])}
    shared = (item for task in tasks for item in common[task].items())
    fixed = {setting: value for setting, value in shared if not isinstance(value, Adaptive)}
    order = sorted(tasks, key=lambda task: task.startswith(CRITERION))
    others = (setting for task in order for setting in seen[task] if setting not in fixed)
    return fixed, tuple(sorted(others, key=lambda setting: setting.kind != "stop"))


def _same(value: object, other: object) -> bool:
    """Whether they are equal and would be written the same: 1, 1.0 and true are not."""
    return value is other or (value == other and repr(value) == repr(other))


# --- sets of iterations --------------------------------------------------------------------------------------------


def contains(ranges: Ranges, iteration: int) -> bool:
    return any(first <= iteration and (last is None or iteration <= last) for first, last in ranges)


def joined(parts: Iterable[Ranges]) -> Ranges:
    """All iterations of the parts; ranges that touch become one."""
    found: list[tuple[int, int | None]] = []
    for first, last in sorted((each for part in parts for each in part), key=lambda each: each[0]):
        before = found[-1] if found else None
        if before is None or (before[1] is not None and first > before[1] + 1):
            found.append((first, last))
        elif before[1] is not None:
            found[-1] = (before[0], None if last is None else max(last, before[1]))
    return tuple(found)


def ranges_text(ranges: Ranges) -> str:
    """ "0", "1-6, 8-14", "8+" """
    return ", ".join(
        f"{first}+" if last is None else str(first) if last == first else f"{first}-{last}" for first, last in ranges
    )


def tasks_of(found: Overview) -> list[str]:
    """All tasks in their order, the criterion last."""
    longest = max((group.learners[0] for group in found.groups), key=lambda learner: len(learner.all_steps))
    return [step.task for step in longest.all_steps]
