"""The settings of learners that change what they compute: which of them differ, and their values in one iteration.

A setting is named `TASK.NAME`, or `parameters.NAME`. It is an option (`train.--lr`), `executable`, `args`, `env.NAME`,
`pre_exec`, `replicas`, `when` or `ranks`. A task that calls a function has `function` in place of `executable`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

from rose_cli.plan.model import Adaptive
from rose_cli.plan.secrets import plain_value
from rose_cli.util.redact import masked_command, masked_environment, masked_line, masked_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rose_cli.plan.model import CommandPlan, LearnerPlan, StepPlan
    from rose_cli.util.redact import Secrets

Definition: TypeAlias = "tuple[str, ...]"
"""How a setting is defined over all iterations; two learners have the same one exactly if these are equal."""

PARAMETERS = "parameters"
"""What the settings that are parameters of a learner begin with; no task can be called so."""

_SEED = re.compile(r"(?:^|[^a-z])(?:seed|random[-_]?state)=?$", re.IGNORECASE)


def definitions(learner: LearnerPlan, cache: dict[int, dict[str, Definition]] | None = None) -> dict[str, Definition]:
    """The definition of each setting. A `cache` is for learners of one plan, which share their steps."""
    cache = {} if cache is None else cache
    found: dict[str, Definition] = {}
    for step in learner.all_steps:
        if id(step) not in cache:
            cache[id(step)] = _definitions(step)
        found.update(cache[id(step)])
    found.update({f"{PARAMETERS}.{name}": (repr(value),) for name, value in learner.parameters.items()})
    return found


def _definitions(step: StepPlan) -> dict[str, Definition]:
    """A setting that has the same value in every iteration is defined by that value alone."""
    commands = [(iteration, dict(_given(command))) for iteration, command in sorted(step.at.items())]
    otherwise = dict(_given(step.otherwise))
    names = dict.fromkeys(name for _, given in ((-1, otherwise), *commands) for name in given)
    found = {}
    for name in names:
        usual = repr(otherwise.get(name))
        values = [(iteration, repr(given.get(name))) for iteration, given in commands]
        special = [f"{iteration}: {value}" for iteration, value in values if step.hold or value != usual]
        if all(value == usual for _, value in values):
            special = []
        found[f"{step.task}.{name}"] = (usual, *special, *(["hold"] if step.hold and special else []))
    return found


def changed_settings(learners: Sequence[LearnerPlan]) -> list[str]:
    """The settings that differ between learners: options, then programs and the like, which are long and say less."""
    cache: dict[int, dict[str, Definition]] = {}
    found: dict[str, set[Definition | None]] = {}
    seen: set[object] = set()
    parameters = dict.fromkeys(f"{PARAMETERS}.{name}" for learner in learners for name in learner.parameters)
    for learner in learners:
        key = tuple(id(step) for step in learner.all_steps), repr(learner.parameters)
        if key not in seen:
            seen.add(key)
            own = definitions(learner, cache)
            for name in own.keys() - found.keys():
                found[name] = {None} if len(seen) > 1 else set()
            for name, values in found.items():
                values.add(own.get(name))
    order = {**parameters, **{name: None for each in cache.values() for name in each}}
    options = set(option_settings(learners))
    return sorted((name for name in order if len(found.get(name, ())) > 1), key=lambda name: name not in options)


def option_settings(learners: Iterable[LearnerPlan]) -> list[str]:
    """The settings that are parameters or options, each once."""
    learners = tuple(learners)
    steps = {id(step): step for learner in learners for step in learner.all_steps}.values()
    parameters = (f"{PARAMETERS}.{name}" for learner in learners for name in learner.parameters)
    options = (f"{step.task}.{name}" for step in steps for each in step.commands for name in each.options)
    return list(dict.fromkeys((*parameters, *options)))


def is_seed(setting: str) -> bool:
    """Whether a setting only seeds random numbers: its name is or ends in `seed` or `random_state`."""
    return _SEED.search(setting) is not None


def values_at(
    learner: LearnerPlan, iteration: int, options: Mapping[str, Mapping[str, Any]], secrets: Secrets
) -> dict[str, Any]:
    """The value of each setting in an iteration; secrets are masked.

    `options` are the journal's, by task. An option of a task that has not run yet has the planned value, which is left
    out if it is an expression: nobody has computed it.
    """
    found: dict[str, Any] = {f"{PARAMETERS}.{name}": value for name, value in parameters_at(learner, iteration).items()}
    for step in learner.all_steps:
        command = step.command(iteration)
        given = options.get(step.task)
        if given is None:
            given = masked_options(dict(_planned_options(command)))
        other = dict(_others(command, secrets))
        found.update({f"{step.task}.{name}": value for name, value in {**other, **given}.items()})
    return dict(secrets.hidden(found))


def parameters_at(learner: LearnerPlan, iteration: int) -> dict[str, Any]:
    """The parameters as the tasks of an iteration had them: another value may hold from a later one on. Masked."""
    found = dict(learner.parameters)
    for step in learner.all_steps if found else ():
        found.update(step.command(iteration).parameters)
    return masked_options({name: plain_value(value) for name, value in found.items()})


def _planned_options(command: CommandPlan) -> Iterator[tuple[str, Any]]:
    return ((name, plain_value(value)) for name, value in command.options.items() if not isinstance(value, Adaptive))


def _given(command: CommandPlan) -> Iterator[tuple[str, object]]:
    """All settings as they are defined. Nothing of it is shown."""
    yield ("function", command.called) if command.function else ("executable", (command.words, command.shell))
    yield "args", command.args
    yield from ((f"env.{name}", value) for name, value in command.environment.items())
    yield "pre_exec", command.pre_exec
    yield "replicas", command.replicas_text
    yield "when", command.when
    yield "ranks", command.ranks
    for name, value in command.options.items():
        yield name, value if isinstance(value, Adaptive) else plain_value(value)


def _others(command: CommandPlan, secrets: Secrets) -> Iterator[tuple[str, Any]]:
    """The settings that are not options, as they are shown."""
    if command.function:
        yield "function", command.called
    else:
        yield "executable", masked_line(command.words[0]) if command.shell else masked_command(command.words, secrets)
    if command.args:
        yield "args", masked_command(command.args, secrets)
    yield from ((f"env.{name}", value) for name, value in masked_environment(command.environment).items())
    if command.pre_exec:
        yield "pre_exec", "; ".join(map(masked_line, command.pre_exec))
    yield "replicas", command.replicas_text
    yield "when", command.when
    yield "ranks", command.ranks


def titles(settings: Sequence[str]) -> dict[str, str]:
    """How settings are called where there is little room: without their task, if no other has that name."""
    names = [setting.partition(".")[2] for setting in settings]
    return {setting: name if names.count(name) == 1 else setting for setting, name in zip(settings, names, strict=True)}
