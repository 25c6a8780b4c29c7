"""A plan as JSON, and back: by the types of its fields, and by the rules of a campaign file.

A plan on disk is input like a campaign file: it might have been edited, or be another user's. Every plan that `decode`
returns could have been compiled.

pydantic's TypeAdapter could do the types, but not the rules, which are half of this file. Measured: it adds 0.17 s of
CPU time to every `rose status`, `logs` and `resume` (0.09 s to import pydantic, 0.08 s to build the adapter), a quarter
of their start-up, and saves 0.15 s on a plan of 2,000 learners.
"""

from __future__ import annotations

import math
import os
import types
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from rose_cli.config.expression.compiler import parse
from rose_cli.config.expression.parser import ExpressionError
from rose_cli.config.placeholders import placeholder_errors
from rose_cli.config.rules import (
    MAX_COUNT,
    MAX_REGEX_CHARACTERS,
    MAX_SEED,
    MAX_SIZE,
    OWN_VARIABLES,
    directory_name_error,
    folded,
    is_option_name,
    is_task_name,
    is_variable_name,
    leads_out,
    regex_error,
)
from rose_cli.engine.base import Resources
from rose_cli.plan import model as m
from rose_cli.util.text import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Decode: TypeAlias = Callable[[Any], Any]
    Fault: TypeAlias = Callable[[Any], str | None]

_REPEATED = (m.StepPlan, m.CriterionPlan, m.FilePlan)
"""What thousands of learners have in common: each is decoded once, and shared."""


class InvalidPlanError(ValueError):
    """Why a plan is invalid, and where: the path grows from the inside out."""

    def __init__(self, why: str, *way: str | int) -> None:
        super().__init__(why)
        self.why = why
        self.way = way

    def __str__(self) -> str:
        return f"'{'.'.join(map(str, self.way))}' {self.why}" if self.way else self.why

    def below(self, step: str | int) -> InvalidPlanError:
        return InvalidPlanError(self.why, step, *self.way)


def encode(value: Any) -> Any:  # noqa: ANN401 - any part of a plan
    if is_dataclass(value):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(key): encode(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return [encode(entry) for entry in value]
    return value


def decode(value: object) -> m.Plan:
    """The plan. Raises InvalidPlanError for anything that no campaign file could produce."""
    plan: m.Plan = _Decoder().of(m.Plan)(value)
    return plan


class _Decoder:
    """The decoders of one plan, by type. Fields that an older rose did not know have their defaults."""

    def __init__(self) -> None:
        self._made: dict[Any, Decode] = {}

    def of(self, hint: Any) -> Decode:  # noqa: ANN401 - any type
        if hint not in self._made:
            kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
            self._made[hint] = self._one_of(kinds)
        return self._made[hint]

    def _one_of(self, kinds: Iterable[Any]) -> Decode:
        """By the type of a value in JSON; a mapping belongs to the class that has its keys."""
        table: dict[type, Decode] = {}
        classes: list[type] = []
        for kind in kinds:
            origin, arguments = get_origin(kind), get_args(kind)
            if isinstance(kind, type) and is_dataclass(kind):
                classes.append(kind)
            elif origin is Literal:
                table[str] = _one_out_of(arguments)
            elif origin is tuple:
                table[list] = self._tuple(arguments[0])
            elif origin is dict:
                table[dict] = self._map(*arguments)
            else:
                table[kind] = _plain
        if float in table:
            table.setdefault(int, float)
        if classes:
            table[dict] = self._class_of(classes)

        def decoded(value: Any) -> Any:  # noqa: ANN401
            found = table.get(type(value))
            if found is None:
                raise InvalidPlanError(_cannot_be(value))
            return found(value)

        return decoded

    def _class_of(self, classes: list[type]) -> Decode:
        objects = [(_names(cls), self._object(cls)) for cls in classes]

        def decoded(value: dict[str, Any]) -> Any:  # noqa: ANN401
            return next((made for names, made in objects if value.keys() & names), objects[0][1])(value)

        return decoded

    def _tuple(self, kind: Any) -> Decode:  # noqa: ANN401
        return lambda value: tuple(self._entry(kind, at, entry) for at, entry in enumerate(value))

    def _map(self, key_kind: type, kind: Any) -> Decode:  # noqa: ANN401
        def decoded(value: dict[str, Any]) -> dict[Any, Any]:
            entries = {key: self._entry(kind, key, entry) for key, entry in value.items()}
            return {_number(key): entry for key, entry in entries.items()} if key_kind is int else entries

        return decoded

    def _entry(self, kind: Any, place: str | int, value: Any) -> Any:  # noqa: ANN401
        try:
            return self.of(kind)(value)
        except InvalidPlanError as error:
            raise error.below(place) from None

    def _object(self, cls: type) -> Decode:
        hints = get_type_hints(cls, localns={**vars(m), "Mapping": dict})
        rules = {f.name: _RULES.get((cls, f.name), _bounded) for f in fields(cls)}
        needed = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
        check = _CHECKS.get(cls)

        def made(value: dict[str, Any]) -> Any:  # noqa: ANN401
            entries = {name: self._entry(hint, name, value[name]) for name, hint in hints.items() if name in value}
            if lacking := [name for name in needed if name not in entries]:
                raise InvalidPlanError("is missing", lacking[0])
            for name, entry in entries.items():
                if entry is not None and (why := rules[name](entry)) is not None:
                    raise InvalidPlanError(why, name)
            result = cls(**entries)
            if check is not None and (why := check(result)) is not None:
                raise InvalidPlanError(why)
            return result

        return _once(made) if cls in _REPEATED else made


def _once(made: Decode) -> Decode:
    """Decode equal values once."""
    seen: dict[str, Any] = {}

    def found(value: dict[str, Any]) -> Any:  # noqa: ANN401
        key = repr(value)
        if key not in seen:
            seen[key] = made(value)
        return seen[key]

    return found


@lru_cache(maxsize=64)
def _names(cls: type) -> frozenset[str]:
    return frozenset(f.name for f in fields(cls))


def _number(key: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) < 9):
        raise InvalidPlanError("is not an iteration")
    return int(key)


def _one_out_of(words: tuple[Any, ...]) -> Decode:
    def decoded(value: str) -> str:
        if value not in words:
            raise InvalidPlanError(_cannot_be(value))
        return value

    return decoded


def _plain(value: Any) -> Any:  # noqa: ANN401 - string, number or boolean
    """Strings end up in paths and command lines, which end at a NUL character."""
    if isinstance(value, str) and "\0" in value:
        raise InvalidPlanError("contains a NUL character")
    return value


def _cannot_be(value: object) -> str:
    shown = {dict: "a mapping", list: "a list", type(None): "empty"}.get(type(value)) or repr(value)
    return f"cannot be {cut(shown, 60)}"


# --- rules ---------------------------------------------------------------------------------------------------------


def _within(least: float, most: float) -> Fault:
    """Rejects infinity and nan as well."""
    return lambda value: None if least <= value <= most else _cannot_be(value)


def _bounded(value: object) -> str | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return None if not is_number or 0 <= value <= MAX_SEED else _cannot_be(value)  # type: ignore[operator]


def _each(fault: Fault) -> Fault:
    return lambda entries: next((why for entry in entries if (why := fault(entry)) is not None), None)


def _filled(text: str) -> str | None:
    return None if text.strip() else "is empty"


def _fillable(text: str) -> str | None:
    """Whether every brace in it is doubled or part of a known placeholder."""
    if "{" not in text and "}" not in text:
        return None
    error = next(iter(placeholder_errors(text)), None)
    return None if error is None else f"contains an error: {error.message}"


def _learner_name(name: str) -> str | None:
    fault = directory_name_error(name)
    return None if fault is None else f"cannot be the name of a learner and its directory: {fault[0]}"


def _task_name(name: str) -> str | None:
    return None if is_task_name(name) else f"{_cannot_be(name)}: a task cannot have that name"


def _target(target: str) -> str | None:
    way = os.path.normpath(target)
    return f"{_cannot_be(target)}: it would be outside the workspace" if not target or leads_out(way) else None


def _variables(environment: Mapping[str, str]) -> str | None:
    odd = next((name for name in environment if not is_variable_name(name) or name.startswith(OWN_VARIABLES)), None)
    return f"cannot set {odd!r:.60}" if odd is not None else _each(_fillable)(environment.values())


def _options(options: Mapping[str, m.OptionValue]) -> str | None:
    odd = next((name for name in options if not is_option_name(name) or "\0" in name), None)
    return f"cannot have an option named {odd!r:.60}" if odd is not None else _each(_option)(options.values())


def _option(value: m.OptionValue) -> str | None:
    if isinstance(value, tuple):
        return _each(_option)(value)
    if isinstance(value, m.Adaptive):
        return _expression(value.expression)
    if isinstance(value, m.Number):
        return _written_number(value)
    return _fillable(value) if isinstance(value, str) else None


@lru_cache(maxsize=4096)
def _expression(text: str) -> str | None:
    try:
        parse(text)
    except ExpressionError as error:
        return f"contains an invalid expression: {error.message}"
    return None


def _written_number(number: m.Number) -> str | None:
    try:
        is_one = math.isfinite(number.value) and number.text == number.text.strip()
    except (ValueError, OverflowError):
        is_one = False
    return None if is_one else f"is not a number: {number.text!r:.60}"


def _regex(pattern: str) -> str | None:
    fault = regex_error(pattern) if 0 < len(pattern) <= MAX_REGEX_CHARACTERS else "its length is out of bounds"
    return None if fault is None else f"is not a regular expression: {fault}"


def _json_path(path: str) -> str | None:
    return None if all(path.split(".")) else "contains an empty key"


def _absolute(path: str) -> str | None:
    return None if os.path.isabs(path) else f"{_cannot_be(path)}: it is not an absolute path"  # noqa: PTH117


def _gpus(gpus: tuple[str, ...] | int) -> str | None:
    return _count(gpus) if isinstance(gpus, int) else None


_count, _positive, _share = _within(0, MAX_COUNT), _within(1, MAX_COUNT), _within(0, MAX_COUNT**2)

_seconds, _duration = _within(0, 1e300), _within(5e-324, 1e300)

_finite = _within(-1.7976931348623157e308, 1.7976931348623157e308)

_RULES: dict[tuple[type, str], Fault] = {
    (m.Plan, "campaign_file"): _filled,
    (m.Plan, "campaign_dir"): _filled,
    (m.Plan, "stop_after_converged"): _positive,
    (m.Origin, "run"): _absolute,
    (m.Origin, "campaign"): _absolute,
    (m.LearnerPlan, "name"): _learner_name,
    (m.LearnerPlan, "index"): _count,
    (m.LearnerPlan, "seed"): _within(0, MAX_SEED),
    (m.LearnerPlan, "max_iter"): _positive,
    (m.FilePlan, "source"): _filled,
    (m.FilePlan, "target"): _target,
    (m.StepPlan, "task"): _task_name,
    (m.CommandPlan, "words"): _each(_fillable),
    (m.CommandPlan, "args"): _each(_fillable),
    (m.CommandPlan, "options"): _options,
    (m.CommandPlan, "environment"): _variables,
    (m.CommandPlan, "timeout_seconds"): _duration,
    (m.CommandPlan, "retries"): _count,
    (m.CommandPlan, "retry_pause_seconds"): _seconds,
    (m.CommandPlan, "replicas"): _positive,
    (m.CommandPlan, "ranks"): _positive,
    (Resources, "cores"): _within(1, MAX_COUNT**2),
    (Resources, "gpus"): _share,
    (Resources, "memory_mb"): _share,
    (m.MetricSource, "file"): _filled,
    (m.MetricSource, "json_path"): _json_path,
    (m.MetricSource, "regex"): _regex,
    (m.CriterionPlan, "threshold"): _finite,
    (m.CriterionPlan, "lowest"): _finite,
    (m.CriterionPlan, "highest"): _finite,
    (m.CriterionPlan, "patience"): _positive,
    (m.CriterionPlan, "min_delta"): _seconds,
    (m.CriterionPlan, "min_delta_share"): _within(0, 1),
    (m.CriterionPlan, "min_iter"): _positive,
    (m.EnginePlan, "cores"): _within(1, MAX_COUNT**2),
    (m.EnginePlan, "gpus"): _gpus,
    (m.EnginePlan, "grace_seconds"): _seconds,
    (m.PilotPlan, "resource"): _filled,
    (m.PilotPlan, "runtime_minutes"): _positive,
    (m.PilotPlan, "nodes"): _positive,
    (m.PilotPlan, "restarts"): _count,
    (m.Limits, "wall_time_seconds"): _duration,
    (m.Limits, "max_parallel_learners"): _positive,
    (m.Limits, "same_failure"): _positive,
    (m.Limits, "output_bytes"): _within(1, MAX_SIZE),
    (m.Limits, "workspace_files"): _positive,
    (m.Limits, "workspace_bytes"): _within(1, MAX_SIZE),
}
"""The rules for values besides their types; other numbers must be at least zero and not huge."""


def _check_command(command: m.CommandPlan) -> str | None:
    if not command.words or not command.words[0] or (command.shell and len(command.words) > 1):
        return "contains no command"
    if any(not 0 <= position < len(command.words) for position in command.beside or ()):
        return "refers to arguments that do not exist"
    return None


def _check_learner(learner: m.LearnerPlan) -> str | None:
    names = [step.task for step in learner.steps]
    if len({folded(name) for name in names}) < len(names) or m.CRITERION in names:
        return "has two tasks with the same name"
    if learner.criterion is not None and learner.criterion.step.task != m.CRITERION:
        return f"has a criterion that is not named '{m.CRITERION}'"
    return None


def _check_engine(engine: m.EnginePlan) -> str | None:
    return (
        None
        if (engine.kind == "radical.pilot") == (engine.pilot is not None)
        else "names one engine and configures another"
    )


def _check_plan(plan: m.Plan) -> str | None:
    names = {folded(learner.name) for learner in plan.learners}
    indices = {learner.index for learner in plan.learners}
    is_clear = len(names) == len(indices) == len(plan.learners)
    return None if is_clear else "has two learners with the same name or index"


_CHECKS: dict[type, Callable[[Any], str | None]] = {
    m.CommandPlan: _check_command,
    m.LearnerPlan: _check_learner,
    m.EnginePlan: _check_engine,
    m.Plan: _check_plan,
}
"""The rules between the fields of an object."""
