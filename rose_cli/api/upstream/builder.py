"""From the learners of a script to a campaign: its text, and the functions that its tasks call."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from rose_cli.api import task as in_task
from rose_cli.api.commands import Command, needs_of
from rose_cli.api.emit import emitted
from rose_cli.api.script_errors import ScriptError
from rose_cli.api.upstream.configs import OTHERWISE, AdaptiveSchedule, LearnerConfig, TaskConfig, TaskSetting
from rose_cli.api.upstream.functions import fingerprint, pickled
from rose_cli.api.upstream.tracing import Definition, NeedsResults, Tracer, refuse_unexpected, trailing_options
from rose_cli.engine.function import PICKLE_SUFFIX
from rose_cli.util.dataclass import dataclass

CRITERION = "criterion"

_MOST_KEYS = 20_000
"""How many iterations of schedules a campaign gets for a run that is extended."""

INDEX = "functions.json"
"""Fingerprints of the functions, beside their pickles."""


@dataclass(frozen=True)
class Stop:
    """A criterion: with a function of its own, or (`value`) an expression of what tasks reported."""

    metric: str
    threshold: float
    operator: str = ""
    value: str | None = None

    @property
    def keys(self) -> dict[str, Any]:
        """Its keys in a campaign file."""
        operator = {"operator": self.operator} if self.operator else {}
        value = {"value": self.value} if self.value is not None else {}
        return {"metric": self.metric, **operator, "threshold": self.threshold, **value}


@dataclass(frozen=True)
class Step:
    """A task of each iteration. `config`: the name of its configuration; `after`: as in `api.task.Entry`.

    `variants`: functions of single replicas. `keys`: more keys of the task. `at_run_time`: its command is only known
    when it runs. `reports_number`: what it prints is a number, which it reports.
    """

    task: str
    definition: Definition
    config: str
    after: Sequence[tuple[str, bool]] = ()
    variants: Mapping[str, Definition] = field(default_factory=dict)
    axes: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, Any] = field(default_factory=dict)
    at_run_time: bool = False
    reports_number: bool = False


@dataclass(frozen=True)
class Entry:
    """One learner. `own`: functions of tasks that only this learner has."""

    name: str | None = None
    config: LearnerConfig | None = None
    own: Mapping[str, Definition] = field(default_factory=dict)


@dataclass(frozen=True)
class Loop:
    """What `start()` was asked for. `once`: the tasks that each learner runs before its first iteration."""

    steps: Sequence[Step]
    learners: Sequence[Entry]
    stop: Stop | Sequence[Stop] | None
    max_iter: int
    engine: Mapping[str, Any]
    more: Mapping[str, Any] = field(default_factory=dict)
    once: Sequence[Step] = ()


class Builder:
    """Makes the campaign; `campaign`, `text` and `files` are what a session needs."""

    def __init__(self, loop: Loop, script: str) -> None:
        self._loop = loop
        settings = (_setting(entry.config, step.config) for entry in loop.learners for step in loop.steps)
        self._schedules = max(1, sum(isinstance(setting, AdaptiveSchedule) for setting in settings))
        self._tracer = Tracer()
        self._late: set[str] = set()
        self._names: dict[int, str] = {}
        self.files: dict[str, bytes] = {}
        self.fingerprints: dict[str, str] = {}
        for step in (*loop.once, *loop.steps):
            self._prepare(step)
        self.campaign = self._campaign()
        what = "its functions are in the run directory" if self.files else "it runs with `rose run` too"
        allowed = ["# rose: allow iteration-never-comes: a run may be extended"] if self._has_later_keys else []
        self.text = "\n".join([*allowed, emitted(self.campaign, f"written by rose from {script}: {what}")])

    # --- which tasks call a function when they run -----------------------------------------------------------------

    def _prepare(self, step: Step) -> None:
        if (
            not step.definition.as_executable
            or step.at_run_time
            or step.variants
            or any(isinstance(self._traced(step, each), NeedsResults) for each in self._all_configs(step))
        ):
            self._late.add(step.task)
        if step.task in self._late:
            self._store(step)

    def _store(self, step: Step) -> None:
        definitions = {step.definition.task: {None: step.definition}}
        if step.variants:
            definitions = {step.task: dict(step.variants)}  # type: ignore[dict-item]
        for entry in self._loop.learners:
            if step.task in entry.own:
                definitions[self._name(step, entry)] = {None: entry.own[step.task]}
        for name, functions in definitions.items():
            first = next(iter(functions.values()))
            stored = in_task.Entry(
                task=step.task,
                functions={replica: each.function for replica, each in functions.items()},
                after=tuple(step.after),
                makes_command=first.as_executable,
                number=step.task == CRITERION or step.reports_number,
                axes=dict(step.axes),
                described=first.description if first.as_executable else {},
            )
            self.files[f"{name}{PICKLE_SUFFIX}"] = pickled(stored, step.task)
            self.fingerprints[name] = fingerprint([each.function for each in functions.values()])

    @staticmethod
    def _name(step: Step, entry: Entry | None) -> str:
        if entry is None or step.task not in entry.own:
            return step.task if step.variants else step.definition.task
        return f"{step.task}_{_identifier(entry.name or '')}"

    # --- commands --------------------------------------------------------------------------------------------------

    def _definition(self, step: Step, entry: Entry | None) -> Definition:
        return entry.own.get(step.task, step.definition) if entry is not None else step.definition

    def _all_configs(self, step: Step) -> Iterator[tuple[Entry | None, TaskConfig]]:
        """Every call of the function that the plan needs."""
        covered = True
        for entry in self._loop.learners:
            setting = _setting(entry.config, step.config)
            for _, config in self._entries(setting):
                yield entry, config
            covered &= isinstance(setting, TaskConfig) or (isinstance(setting, Mapping) and OTHERWISE in setting)
        if not covered:
            yield None, TaskConfig()
            for entry in self._loop.learners:
                if step.task in entry.own:
                    yield entry, TaskConfig()

    def _entries(self, setting: TaskSetting) -> list[tuple[int | None, TaskConfig]]:
        """The configurations by iteration (None: in all), also of iterations that only an extended run has."""
        if setting is None:
            return []
        if isinstance(setting, TaskConfig):
            return [(None, setting)]
        if isinstance(setting, AdaptiveSchedule):
            setting = setting.for_run(self._loop.max_iter or None, _MOST_KEYS // self._schedules)
        return [*setting.items()]

    def _traced(self, step: Step, call: tuple[Entry | None, TaskConfig]) -> Command | NeedsResults:
        return self._tracer.command(self._definition(step, call[0]), call[1])

    def _keys(self, step: Step, entry: Entry | None, config: TaskConfig) -> dict[str, Any]:
        """The keys of a task in the campaign file with this configuration."""
        definition = self._definition(step, entry)
        if step.task in self._late:
            refuse_unexpected(definition, config, tuple(step.axes))
            name = f"{in_task.__name__}:{self._name(step, entry)}"
            options = _escaped(in_task.options_for(config.args, config.kwargs))
            return {"function": name, **({"options": options} if options else {}), **needs_of(definition.description)}
        command = self._tracer.command(definition, config)
        if isinstance(command, NeedsResults):
            raise command.error
        command, options = trailing_options(command, config)
        return {**command.keys, **({"options": _escaped(options)} if options else {})}

    def change(self, step: Step, entry: Entry, config: LearnerConfig | None, iteration: int) -> dict[str, Any]:
        """What is different from the plan in one iteration, with a configuration that the script has just set."""
        found = config.get_task_config(step.config, iteration) if config is not None else None
        keys = self._keys(step, entry, found or TaskConfig())
        planned = {name for at in self._planned(step, entry) for name in at.get("options", {})}
        options: dict[str, Any] = dict.fromkeys(sorted(planned))
        if "function" in keys:
            return {"options": {**options, **keys.get("options", {})}}
        words, line = keys["executable"], keys.get("shell", False)
        more = [word for pair in keys.get("options", {}).items() for word in pair]
        words = [words] if line else [*words, *more]
        if line and not self._declared(step).get("shell"):
            words = ["/bin/sh", "-c", *words]
        if not line and self._declared(step).get("shell"):
            words = [shlex.join(words)]
        return {"words": words, **({"options": options} if options else {})}

    def _planned(self, step: Step, entry: Entry) -> Iterator[dict[str, Any]]:
        """The keys of a task in all of its planned configurations."""
        yield self._declared(step)
        for _, config in self._entries(_setting(entry.config, step.config)):
            yield self._keys(step, entry, config)

    # --- the campaign ----------------------------------------------------------------------------------------------

    def _campaign(self) -> dict[str, Any]:
        loop = self._loop
        tasks = {step.task: self._declared(step) for step in loop.steps if step.task != CRITERION}
        campaign: dict[str, Any] = {"engine": dict(loop.engine)}
        if loop.max_iter:
            campaign["max_iter"] = loop.max_iter
        if loop.once:
            campaign["before"] = {step.task: self._declared(step) for step in loop.once}
        campaign |= {**loop.more, "tasks": tasks}
        if loop.stop is not None:
            campaign["stop"] = self._stop(loop.stop)
        learners = [self._learner(entry) for entry in loop.learners]
        return {**campaign, "learners": learners if any(learners) else len(learners)}

    def _declared(self, step: Step) -> dict[str, Any]:
        calls = list(self._all_configs(step))
        base = next((call for call in calls if call == (None, TaskConfig())), calls[0])
        return {**self._keys(step, *base), **step.keys}

    def _stop(self, stop: Stop | Sequence[Stop]) -> dict[str, Any]:
        if isinstance(stop, Stop):
            own = next((self._declared(step) for step in self._loop.steps if step.task == CRITERION), {})
            return {**stop.keys, **own}
        return {"any": [each.keys for each in stop]}

    def _learner(self, entry: Entry) -> dict[str, Any]:
        found: dict[str, Any] = {} if entry.name is None else {"name": entry.name}
        for step in self._loop.steps:
            key = "stop" if step.task == CRITERION else step.task
            if schedule := self._schedule(step, entry):
                found[key] = schedule
        return found

    def _schedule(self, step: Step, entry: Entry) -> dict[Any, Any]:
        """What differs for one learner: the keys of a task, or those of each iteration."""
        base = self._declared(step)
        entries = self._entries(_setting(entry.config, step.config))
        if not entries:
            return _difference(self._keys(step, entry, TaskConfig()), base) if step.task in entry.own else {}
        changes: dict[Any, dict[str, Any]] = {
            key: _difference(self._keys(step, entry, config), base) for key, config in entries
        }
        if None in changes:
            return changes[None]
        if isinstance(_setting(entry.config, step.config), AdaptiveSchedule):
            changes[f"{len(entries)}+"] = _end_of_schedule(changes.values(), len(entries))
        elif step.task in entry.own and OTHERWISE not in changes:
            changes[OTHERWISE] = _difference(self._keys(step, entry, TaskConfig()), base)
        if step.task == CRITERION:
            message = "the configuration of 'criterion' cannot change from iteration to iteration"
            raise ScriptError(message, "use one TaskConfig for it; its program gets the iteration from $ROSE_ITERATION")
        return dict(changes) if any(changes.values()) else {}

    @property
    def _has_later_keys(self) -> bool:
        """Whether a schedule has keys that come only if the run is extended."""
        most = self._loop.max_iter
        settings = (_setting(entry.config, step.config) for entry in self._loop.learners for step in self._loop.steps)
        schedules = [each for each in settings if isinstance(each, Mapping)]
        return bool(most) and any(
            isinstance(each, AdaptiveSchedule) or max(each, default=0) >= most for each in schedules
        )


def _setting(config: LearnerConfig | None, name: str) -> TaskSetting:
    setting: TaskSetting = getattr(config, name, None) if config is not None else None
    return setting


def _end_of_schedule(entries: Iterable[Mapping[str, Any]], iteration: int) -> dict[str, Any]:
    """Options that have no value: no iteration runs without those that a schedule would give it.

    They are named as one that it gives, so that tables of what differs between learners get no column for this.
    """
    name = next((name for entry in entries for name in entry.get("options", {})), "--schedule")
    return {"adaptive": {name: f"result.the_schedule_ends_at_iteration_{iteration - 1}__raise_max_iter_in_the_program"}}


def _difference(keys: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """What of a task's keys differs from its declaration. Options are merged by name: what is left out is removed."""
    found = {key: value for key, value in keys.items() if key != "options" and base.get(key) != value}
    if base.get("shell") and "executable" in found and "shell" not in keys:
        found["shell"] = False
    before, after = base.get("options", {}), keys.get("options", {})
    options = {name: value for name, value in after.items() if before.get(name) != value}
    options |= {name: None for name in before if name not in after}
    return {**found, **({"options": options} if options else {})}


def _escaped(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _escaped_value(value) for name, value in options.items()}


def _escaped_value(value: object) -> object:
    if isinstance(value, list):
        return [_escaped_value(each) for each in value]
    return value.replace("{", "{{").replace("}", "}}") if isinstance(value, str) else value


def _identifier(name: str) -> str:
    return "".join(each if each.isalnum() else "_" for each in name)
