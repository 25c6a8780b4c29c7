"""A plan as JSON, and back: by the types of its fields, and by the rules of a campaign file.

A plan on disk is input like a campaign file: it might have been edited, or be another user's. Every plan that `decode`
returns could have been compiled.

Thousands of learners have most steps in common. The document has each distinct one once, in `shared`, and a learner
refers to it by its position there. A value in place of such a number is read as well: plans of older formats have no
others. What runs once per campaign (`Plan.shared`) is `once` in the document.

pydantic's TypeAdapter could do the types, but not the rules, which are half of this file. Measured: it adds 0.17 s of
CPU time to every `rose status`, `logs` and `resume` (0.09 s to import pydantic, 0.08 s to build the adapter), a quarter
of their start-up, and saves 0.15 s on a plan of 2,000 learners.
"""

from __future__ import annotations

import json
import math
import os
import types
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from rose_cli.config.expression.compiler import parse
from rose_cli.config.expression.parser import ExpressionError
from rose_cli.config.parameters import declared, declared_axes_are, is_parameter_name
from rose_cli.config.placeholders import placeholder_errors
from rose_cli.config.rules import (
    ENDINGS,
    MAX_COUNT,
    MAX_REGEX_CHARACTERS,
    MAX_REPLICAS,
    MAX_SEED,
    MAX_SIZE,
    OWN_VARIABLES,
    directory_name_error,
    folded,
    is_function_reference,
    is_module_name,
    is_mpi_type,
    is_option_name,
    is_task_name,
    is_variable_name,
    leads_out,
    regex_error,
    replica_name_error,
    srun_option_fault,
)
from rose_cli.config.trackers import is_tracker_name
from rose_cli.engine.base import Resources
from rose_cli.plan import model as m
from rose_cli.util.shared import SHARED
from rose_cli.util.text import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Decode: TypeAlias = Callable[[Any], Any]
    Fault: TypeAlias = Callable[[Any], str | None]

_SHARED = {"steps": m.StepPlan, "criteria": m.CriterionPlan, "files": m.FilePlan}
"""What learners have in common, by its place in `shared`."""

_AS: dict[tuple[type, str], str] = {(m.Plan, "shared"): "once"}
"""Fields with another name in the document."""


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
    """As plain values, with everything in its place."""
    if is_dataclass(value):
        cls = type(value)
        return {_AS.get((cls, name), name): encode(getattr(value, name)) for name in _names(cls)}  # type: ignore[arg-type]
    if isinstance(value, dict):
        return {str(key): encode(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return [encode(entry) for entry in value]
    return value


def encode_plan(plan: m.Plan) -> dict[str, Any]:
    """The plan as plain values, with what its learners share in `shared`."""
    steps, criteria, files = _Shared(), _Shared(), _Shared()

    def referring(learner: m.LearnerPlan) -> dict[str, Any]:
        some = {
            "parameters": encode(learner.parameters),
            "before": [steps.position(step) for step in learner.before],
            "after": [steps.position(step) for step in learner.after],
        }
        return {
            **{name: encode(getattr(learner, name)) for name in _names(m.LearnerPlan) if name not in _REFERRING},
            "steps": [steps.position(step) for step in learner.steps],
            "criterion": None if learner.criterion is None else criteria.position(learner.criterion),
            "more_criteria": [criteria.position(each) for each in learner.more_criteria],
            "files": [files.position(file) for file in learner.files],
            **{name: value for name, value in some.items() if value},
        }

    learners = [referring(learner) for learner in plan.learners]
    once = None if plan.shared is None else referring(plan.shared)
    shared = {"steps": steps.entries, "criteria": criteria.entries, "files": files.entries}
    rest = {name: encode(getattr(plan, name)) for name in _names(m.Plan) if name not in ("learners", "shared")}
    return {**rest, "shared": shared, "once": once, "learners": learners}


_REFERRING = frozenset({"steps", "criterion", "more_criteria", "files", "parameters", "before", "after"})


class _Shared:
    """Equal values, once. The plan keeps them alive, so that an id stands for one of them."""

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self._by_id: dict[int, int] = {}
        self._by_text: dict[str, int] = {}

    def position(self, value: object) -> int:
        found = self._by_id.get(id(value))
        if found is None:
            entry = encode(value)
            found = self._by_text.setdefault(json.dumps(entry), len(self.entries))
            if found == len(self.entries):
                self.entries.append(entry)
            self._by_id[id(value)] = found
        return found


def decode(value: object) -> m.Plan:
    """The plan. Raises InvalidPlanError for anything that no campaign file could produce."""
    decoder = _Decoder()
    with declared(_parameters_in(value)), declared_axes_are(_axes_in(value)):
        if isinstance(value, dict):
            decoder.read_shared(value.get("shared", {}))
        plan: m.Plan = decoder.of(m.Plan)(value)
    return plan


def _parameters_in(value: object) -> frozenset[str]:
    """The names of all parameters of a plan: what learners share may use them."""
    entries = [value.get("once"), *_list_of(value.get("learners"))] if isinstance(value, dict) else []
    given = {json.dumps(names): names for entry in entries if (names := _parameter_names(entry))}
    return frozenset(name for names in given.values() for name in names)


def _axes_in(value: object) -> frozenset[str]:
    """The axes of all replicas of a plan."""
    shared = value.get("shared") if isinstance(value, dict) else None
    found: set[str] = set()
    for kind in ("steps", "criteria"):
        for step in _list_of(shared.get(kind)) if isinstance(shared, dict) else ():
            found |= _axes_of(step)
    return frozenset(found)


def _axes_of(step: object) -> set[str]:
    if not isinstance(step, dict):
        return set()
    at = step.get("at")
    commands = [step.get("otherwise"), *(at.values() if isinstance(at, dict) else ())]
    given = [command.get("replica_axes") for command in commands if isinstance(command, dict)]
    return {name for axes in given if isinstance(axes, dict) for name in axes if is_parameter_name(name)}


def _parameter_names(learner: object) -> list[str]:
    given = learner.get("parameters") if isinstance(learner, dict) else None
    return [name for name in given if is_parameter_name(name)] if isinstance(given, dict) else []


def _list_of(value: object) -> list[object]:
    return value if isinstance(value, list) else []


class _Decoder:
    """The decoders of one plan, made once a type. Fields that an older rose did not know have their defaults."""

    def __init__(self) -> None:
        self._made: dict[Any, Decode] = {}
        self._shared: dict[type, list[Any]] = {kind: [] for kind in _SHARED.values()}

    def read_shared(self, tables: object) -> None:
        """What learners refer to."""
        if not isinstance(tables, dict):
            raise InvalidPlanError(_cannot_be(tables), "shared")
        for name, kind in _SHARED.items():
            try:
                entries = _in_place(name, self.of(tuple[kind, ...]), tables.get(name, []))  # type: ignore[valid-type]
            except InvalidPlanError as error:
                raise error.below("shared") from None
            self._shared[kind].extend(entries)

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
                table[kind] = _plain if kind is str else _unchanged
        if float in table:
            table.setdefault(int, float)
        if classes:
            table |= self._table_of(classes)

        def decoded(value: Any) -> Any:  # noqa: ANN401
            found = table.get(type(value))
            if found is None:
                raise InvalidPlanError(_cannot_be(value))
            return found(value)

        return decoded

    def _table_of(self, classes: list[type]) -> dict[type, Decode]:
        objects = [(frozenset(_names(cls)), self._object(cls)) for cls in classes]
        if len(objects) == 1:
            entries = self._shared.get(classes[0])
            return {dict: objects[0][1]} | ({int: partial(_referred, entries)} if entries is not None else {})

        def decoded(value: dict[str, Any]) -> Any:  # noqa: ANN401
            return next((made for names, made in objects if value.keys() & names), objects[0][1])(value)

        return {dict: decoded}

    def _tuple(self, kind: Any) -> Decode:  # noqa: ANN401
        decoded = self.of(kind)

        def entries_of(value: list[Any]) -> tuple[Any, ...]:
            return tuple([_in_place(at, decoded, entry) for at, entry in enumerate(value)])

        return _of_references(entries_of) if kind in self._shared else entries_of

    def _map(self, key_kind: type, kind: Any) -> Decode:  # noqa: ANN401
        entry_of = self.of(kind)

        def decoded(value: dict[str, Any]) -> dict[Any, Any]:
            entries = {key: _in_place(key, entry_of, entry) for key, entry in value.items()}
            return {_number(key): entry for key, entry in entries.items()} if key_kind is int else entries

        return decoded

    def _object(self, cls: type) -> Decode:
        hints = get_type_hints(cls, localns={**vars(m), "Mapping": dict})
        parts = [
            (name, _AS.get((cls, name), name), self.of(hint), _RULES.get((cls, name), _bounded))
            for name, hint in hints.items()
        ]
        needed = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
        check = _CHECKS.get(cls)

        def made(value: dict[str, Any]) -> Any:  # noqa: ANN401
            entries = {}
            try:
                for name, key, decoded, _ in parts:
                    if key in value:
                        entries[name] = decoded(value[key])
            except InvalidPlanError as error:
                raise error.below(key) from None
            if lacking := [name for name in needed if name not in entries]:
                raise InvalidPlanError("is missing", lacking[0])
            for name, key, _, fault in parts:
                if (entry := entries.get(name)) is not None and (why := fault(entry)) is not None:
                    raise InvalidPlanError(why, key)
            result = cls(**entries)
            if check is not None and (why := check(result)) is not None:
                raise InvalidPlanError(why)
            return result

        return _once(made) if cls in self._shared else made


def _in_place(place: str | int, decoded: Decode, value: Any) -> Any:  # noqa: ANN401
    """The value, or what is wrong with it and where."""
    try:
        return decoded(value)
    except InvalidPlanError as error:
        raise error.below(place) from None


def _once(made: Decode) -> Decode:
    """Decode equal values once: plans of older formats repeat them."""
    seen: dict[str, Any] = {}

    def found(value: dict[str, Any]) -> Any:  # noqa: ANN401
        key = repr(value)
        if key not in seen:
            seen[key] = made(value)
        return seen[key]

    return found


def _of_references(decoded: Decode) -> Decode:
    """The same tuple for the same references: most learners have all their steps in common."""
    seen: dict[tuple[int, ...], Any] = {}

    def found(value: list[Any]) -> Any:  # noqa: ANN401
        if any(type(entry) is not int for entry in value):
            return decoded(value)
        key = tuple(value)
        if key not in seen:
            seen[key] = decoded(value)
        return seen[key]

    return found


def _referred(entries: Sequence[Any], position: int) -> Any:  # noqa: ANN401
    if not 0 <= position < len(entries):
        raise InvalidPlanError(f"{_cannot_be(position)}: 'shared' has {len(entries)} of its kind")
    return entries[position]


@lru_cache(maxsize=64)
def _names(cls: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls))


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


def _plain(value: str) -> str:
    """Strings end up in paths and command lines, which end at a NUL character."""
    if "\0" in value:
        raise InvalidPlanError("contains a NUL character")
    return value


def _unchanged(value: Any) -> Any:  # noqa: ANN401 - number or boolean
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
    if name == SHARED:  # of the campaign: see `_check_plan`
        return None
    fault = directory_name_error(name)
    return None if fault is None else f"cannot be the name of a learner and its directory: {fault[0]}"


def _task_name(name: str) -> str | None:
    return None if is_task_name(name) else f"{_cannot_be(name)}: a task cannot have that name"


def _module_name(name: str) -> str | None:
    return None if is_module_name(name) else f"{_cannot_be(name)}: a module cannot have that name"


def _target(target: str) -> str | None:
    way = os.path.normpath(target)
    return f"{_cannot_be(target)}: it would be outside the workspace" if not target or leads_out(way) else None


def _variables(environment: Mapping[str, str]) -> str | None:
    odd = next((name for name in environment if not is_variable_name(name) or name.startswith(OWN_VARIABLES)), None)
    return f"cannot set {odd!r:.60}" if odd is not None else _each(_fillable)(environment.values())


def _parameters(parameters: Mapping[str, m.OptionScalar]) -> str | None:
    odd = next((name for name in parameters if not is_parameter_name(name)), None)
    return f"cannot have a parameter named {odd!r:.60}" if odd is not None else _each(_parameter)(parameters.values())


def _parameter(value: m.OptionScalar) -> str | None:
    if isinstance(value, m.Number):
        return _written_number(value)
    with declared(frozenset()):
        return _fillable(value) if isinstance(value, str) else None


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


def _replica_axes(axes: Mapping[str, tuple[str, ...]]) -> str | None:
    odd = next((name for name in axes if not is_parameter_name(name)), None)
    if odd is not None:
        return f"cannot have an axis named {odd!r:.60}"
    names = [name for each in axes.values() for name in each]
    fault = next((fault for name in names if (fault := replica_name_error(name)) is not None), None)
    if fault is not None:
        return f"contains a name that no replica can have: {fault}"
    is_clear = all(each and len({*each}) == len(each) for each in axes.values())
    return None if is_clear else "contains an axis without names, or with the same name twice"


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


def _of_learners(learners: tuple[m.LearnerPlan, ...]) -> str | None:
    is_odd = any(learner.is_shared or learner.index < 0 for learner in learners)
    return "contains a learner without a name and an index" if is_odd else None


def _of_campaign(shared: m.LearnerPlan) -> str | None:
    own = (shared.name, shared.index, shared.max_iter, shared.criterion, shared.steps)
    return None if own == (SHARED, m.SHARED_INDEX, None, None, ()) else "contains settings of a learner"


_count, _positive, _share = _within(0, MAX_COUNT), _within(1, MAX_COUNT), _within(0, MAX_COUNT**2)

_seconds, _duration = _within(0, 1e300), _within(5e-324, 1e300)

_finite = _within(-1.7976931348623157e308, 1.7976931348623157e308)

_RULES: dict[tuple[type, str], Fault] = {
    (m.Plan, "campaign_file"): _filled,
    (m.Plan, "campaign_dir"): _filled,
    (m.Plan, "stop_after_converged"): _positive,
    (m.Plan, "learners"): _of_learners,
    (m.Plan, "shared"): _of_campaign,
    (m.Origin, "run"): _absolute,
    (m.Origin, "campaign"): _absolute,
    (m.LearnerPlan, "name"): _learner_name,
    (m.LearnerPlan, "index"): _within(m.SHARED_INDEX, MAX_COUNT),
    (m.LearnerPlan, "parameters"): _parameters,
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
    (m.CommandPlan, "replica_axes"): _replica_axes,
    (m.CommandPlan, "replicas_from"): _expression,
    (m.CommandPlan, "when"): _expression,
    (m.CommandPlan, "ranks"): _positive,
    (m.CommandPlan, "preload"): _each(_module_name),
    (m.CommandPlan, "parameters"): _parameters,
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
    (m.CriterionPlan, "value"): _expression,
    (m.EnginePlan, "cores"): _within(1, MAX_COUNT**2),
    (m.EnginePlan, "gpus"): _gpus,
    (m.EnginePlan, "grace_seconds"): _seconds,
    (m.PilotPlan, "resource"): _filled,
    (m.PilotPlan, "runtime_minutes"): _positive,
    (m.PilotPlan, "nodes"): _positive,
    (m.PilotPlan, "restarts"): _count,
    (m.SlurmPlan, "mpi"): lambda name: None if is_mpi_type(name) else _cannot_be(name),
    (m.SlurmPlan, "srun"): _each(lambda option: None if srun_option_fault(option) is None else _cannot_be(option)),
    (m.SlurmPlan, "nodes"): _positive,
    (m.SlurmPlan, "runtime_minutes"): _positive,
    (m.SlurmPlan, "project"): _filled,
    (m.SlurmPlan, "queue"): _filled,
    (m.TrackerPlan, "name"): lambda name: None if is_tracker_name(name) else _cannot_be(name),
    (m.NotifyPlan, "when"): _each(lambda word: None if word in ENDINGS else _cannot_be(word)),
    (m.NotifyPlan, "timeout_seconds"): _duration,
    (m.PrunePlan, "min_iter"): _positive,
    (m.PrunePlan, "min_learners"): _positive,
    (m.PrunePlan, "factor"): _within(2, MAX_COUNT),
    (m.Limits, "wall_time_seconds"): _duration,
    (m.Limits, "max_parallel_learners"): _positive,
    (m.Limits, "same_failure"): _positive,
    (m.Limits, "output_bytes"): _within(1, MAX_SIZE),
    (m.Limits, "workspace_files"): _positive,
    (m.Limits, "workspace_bytes"): _within(1, MAX_SIZE),
}
"""The rules for values besides their types; other numbers must be at least zero and not huge."""


def _check_replicas(command: m.CommandPlan) -> str | None:
    if command.replica_axes and command.replicas != math.prod(map(len, command.replica_axes.values())):
        return "has another number of replicas than names for them"
    if command.replicas_from is not None and (command.replica_axes or command.replicas != 1):
        return "has two sources of its replicas"
    if command.replicas > MAX_REPLICAS and command.replica_axes:
        return "has too many replicas"
    return None


def _check_command(command: m.CommandPlan) -> str | None:
    if not command.words or not command.words[0] or (command.shell and len(command.words) > 1):
        return "contains no command"
    if any(not 0 <= position < len(command.words) for position in command.beside or ()):
        return "refers to arguments that do not exist"
    if command.function and (
        command.shell or command.args or len(command.words) != 2 or not is_function_reference(command.words[1])
    ):
        return "names no function of a module"
    return _check_replicas(command)


def _check_learner(learner: m.LearnerPlan) -> str | None:
    own = [each.step.task for each in learner.more_criteria if each.step is not None]
    steps = (*learner.before, *learner.steps, *learner.after)
    if not _are_distinct((*[step.task for step in steps], *own)):
        return "has two tasks with the same name"
    return _check_criteria(learner.criterion, learner.more_criteria)


@lru_cache(maxsize=1024)
def _are_distinct(names: tuple[str, ...]) -> bool:
    return len({folded(name) for name in names}) == len(names) and m.CRITERION not in names


def _check_criteria(first: m.CriterionPlan | None, more: tuple[m.CriterionPlan, ...]) -> str | None:
    if first is None:
        return "has further criteria, but no first one" if more else None
    criteria = (first, *more)
    for place, each in enumerate(criteria):
        if each.step is not None and each.step.task != m.criterion_task(place):
            return f"has a criterion that is not named '{m.criterion_task(place)}'"
    metrics = {each.metric for each in criteria}
    return None if len(metrics) == len(criteria) else "has two criteria with the same metric"


def _check_criterion(criterion: m.CriterionPlan) -> str | None:
    is_one = (criterion.step is None) != (criterion.value is None)
    return None if is_one else "takes its value from a task or from an expression: one of the two"


def _check_engine(engine: m.EnginePlan) -> str | None:
    configured = {"radical.pilot": engine.pilot is not None, "slurm": engine.slurm is not None}
    if configured != {kind: kind == engine.kind for kind in configured}:
        return "names one engine and configures another"
    if engine.slurm is None:
        return "has no number of GPUs" if engine.gpus is None else None
    return "chooses GPUs that Slurm chooses" if isinstance(engine.gpus, tuple) else None


def _check_plan(plan: m.Plan) -> str | None:
    names = {folded(learner.name) for learner in plan.learners}
    indices = {learner.index for learner in plan.learners}
    is_clear = len(names) == len(indices) == len(plan.learners)
    if len({tracker.name.casefold() for tracker in plan.track}) < len(plan.track):
        return "has two trackers with the same name"
    return None if is_clear else "has two learners with the same name or index"


_CHECKS: dict[type, Callable[[Any], str | None]] = {
    m.CommandPlan: _check_command,
    m.CriterionPlan: _check_criterion,
    m.LearnerPlan: _check_learner,
    m.EnginePlan: _check_engine,
    m.Plan: _check_plan,
}
"""The rules between the fields of an object."""
