"""The workflow file of ROSE, read and checked: what it says, and every mistake in it at its place.

Its keys and rules are those of ROSE's `rose/spec/schema.py` (2026).
"""

from __future__ import annotations

import math
import re
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from rose_cli.config.load import located
from rose_cli.config.rules import MAX_COUNT, MAX_LEARNERS, OPERATORS, is_function_reference
from rose_cli.config.yaml.nodes import WrittenExponent
from rose_cli.config.yaml.version_1_1 import as_in_yaml_1_1
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import CampaignError, Diagnostic, KeyPath, Severity
from rose_cli.util.text import did_you_mean, listed, quoted, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from rose_cli.config.document import Document

_ACTIVE = ("simulation", "training", "active_learn")

SLOTS = {
    "sequential_active_learner": _ACTIVE,
    "parallel_active_learner": _ACTIVE,
    "sequential_reinforcement_learner": ("environment", "update"),
    "uq_active_learner": ("simulation", "training", "prediction", "uncertainty", "active_learn"),
}
"""The tasks of each type of learner, in the order in which they run."""

PARALLEL, UNCERTAINTY = "parallel_active_learner", "uq_active_learner"

RESERVED = ("iteration", "learner_id", "learner_label", "pythonpath")
"""What ROSE gives to tasks itself."""

_EVERY_SLOT = tuple(dict.fromkeys(slot for slots in SLOTS.values() for slot in slots))

_TOP = ("learner", *_EVERY_SLOT, "learners", "stop_criterion", "parameters", "remote", "tracking")

_TARGET = (
    "kind", "endpoint", "resource_id", "home_dir", "login_host", "edge_name", "executor", "account", "queue_name",
    "walltime_min", "n_nodes", "constraint", "reservation", "workdir", "environment", "setup", "tunnel",
)  # fmt: skip

_TRACKERS = ("mlflow", "clearml", "none")


@dataclass(frozen=True)
class TaskSpec:
    """A task: a command (`shell`) or a function (`python`), and hints for the backend that runs it."""

    path: KeyPath
    text: str
    is_function: bool
    description: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LearnerSpec:
    """An entry of `learners`."""

    label: str
    tasks: Mapping[str, TaskSpec]


@dataclass(frozen=True)
class StopSpec:
    metric: str
    threshold: int | float | str
    operator: str | None
    evaluator: TaskSpec


@dataclass(frozen=True)
class Spec:
    """What a workflow file says. `learners` is empty if all of them run the tasks at the top."""

    kind: str
    max_iter: int
    learner_count: int
    tasks: Mapping[str, TaskSpec]
    learners: Sequence[LearnerSpec]
    stop: StopSpec
    parameters: Mapping[str, Any]
    remote: Mapping[str, Any]
    tracking: Mapping[str, Any]
    ignored: Sequence[KeyPath] = ()
    """Keys that ROSE accepts here and does not use."""

    @property
    def all_tasks(self) -> Iterator[TaskSpec]:
        yield from self.tasks.values()
        for learner in self.learners:
            yield from learner.tasks.values()
        yield self.stop.evaluator


MistakesIn: TypeAlias = "Callable[[TaskSpec, Mapping[str, Any]], Sequence[Diagnostic]]"


def read_spec(document: Document, differing: list[Diagnostic], mistakes_in: MistakesIn) -> Spec:
    """Raises CampaignError with every mistake; `mistakes_in` finds those of a command.

    `differing` gets warnings of parameters that ROSE reads as other values than rose would.
    """
    reader = _Reader(document.data)
    spec = reader.read()
    if spec is None or reader.found:
        raise CampaignError(placed(document, [*reader.found, *reader.found_in_commands(mistakes_in)]), document.text)
    values = {
        name: value if document.is_quoted(("parameters", name)) else _as_in_yaml_1_1(name, value, differing)
        for name, value in spec.parameters.items()
    }
    return replace(spec, parameters=values)


def _as_in_yaml_1_1(name: str, value: object, differing: list[Diagnostic]) -> object:
    """ROSE reads YAML 1.1, where `yes` is true, `010` is 8 and `1:30` is 90."""
    read = as_in_yaml_1_1(value) if type(value) is str else None
    if read is None:
        return value
    message, hint = f"ROSE reads this as {read}, and so does the campaign", f"put it in quotes if '{value}' is meant"
    differing.append(Diagnostic("differs", message, ("parameters", name), hint, Severity.WARNING))
    return read


class _Wrong(Exception):  # noqa: N818 - a signal, not an error
    """The value is not what it has to be, which has been reported."""


class _Reader:
    def __init__(self, data: object) -> None:
        self._data: dict[Any, Any] = data if isinstance(data, dict) else {}
        self.found: list[Diagnostic] = []
        self._read: list[TaskSpec] = []

    def found_in_commands(self, mistakes_in: MistakesIn) -> Iterator[Diagnostic]:
        """In those tasks that could be read, although the file has other mistakes."""
        given = self._data.get("parameters") or {}
        parameters = {str(name): value for name, value in given.items()} if isinstance(given, dict) else None
        for task in self._read if parameters is not None else ():
            if not task.is_function:
                yield from mistakes_in(task, parameters or {})

    def read(self) -> Spec | None:
        """None if there is a mistake."""
        data = self._data
        if "tasks" in data and "learner" not in data:
            message = "this is a campaign file of rose already, not a workflow file of ROSE"
            self._report("not-a-workflow", message, ("tasks",), "run it: rose run FILE", at_key=True)
            return None
        self._check_keys(data, (), _TOP)
        kind, max_iter, count = self._learner()
        tasks, learners, stop = (self._try(part, kind) for part in (self._tasks, self._learners, self._stop))
        others = [self._try(part) for part in (self._parameters, self._remote, self._tracking)]
        if self.found or stop is None:
            return None
        given = data["learner"].get("parallel_learners") is not None
        is_ignored = given and (kind != PARALLEL or bool(learners))
        ignored = [
            *([("learner", "parallel_learners")] if is_ignored else []),
            *((slot,) for slot in tasks if learners),
        ]
        parameters, remote, tracking = (each or {} for each in others)
        return Spec(
            kind, max_iter, count, tasks or {}, learners or (), stop, parameters, remote, tracking, ignored
        )  # fmt: skip

    # --- learners and tasks ------------------------------------------------------------------------------------------

    def _learner(self) -> tuple[str, int, int]:
        found = self._try(self._mapping, self._data, ("learner",), ("type", "max_iter", "parallel_learners"))
        if found is None:
            return "", 0, 0
        kind = self._try(self._word, found, ("learner", "type"), tuple(SLOTS)) or ""
        max_iter = self._try(self._whole, found, ("learner", "max_iter"), 0, MAX_COUNT)
        count = self._try(self._whole, found, ("learner", "parallel_learners"), 1, MAX_LEARNERS)
        return kind, max_iter or 0, (count or 2) if kind == PARALLEL else 1

    def _tasks(self, kind: str) -> dict[str, TaskSpec]:
        has_own = kind == PARALLEL and self._data.get("learners") is not None
        given = {slot: self._data[slot] for slot in _EVERY_SLOT if self._data.get(slot) is not None}
        if kind and not has_own:
            self._check_slots(given, (), kind)
        return {slot: task for slot in given if (task := self._try(self._task, (slot,), given[slot])) is not None}

    def _check_slots(self, given: Collection[str], path: KeyPath, kind: str) -> None:
        for slot in SLOTS[kind]:
            if slot not in given:
                hint = f"add it, as in {slot}: {{type: shell, command: python {slot}.py}}"
                self._report("missing-key", f"'{slot}' is missing: a {kind} needs it", (*path, slot), hint)
        for slot in given:
            if slot not in SLOTS[kind]:
                hint = f"remove it: the tasks of this type are {', '.join(SLOTS[kind])}"
                self._report("unknown-key", f"a {kind} has no task '{slot}'", (*path, slot), hint, at_key=True)

    def _learners(self, kind: str) -> list[LearnerSpec]:
        given = self._data.get("learners")
        if given is None:
            return []
        if kind and kind != PARALLEL:
            message = f"'learners' needs the type {PARALLEL}, not {kind}"
            self._wrong("conflicting-keys", message, ("learners",), "change the type, or remove it", at_key=True)
        if not isinstance(given, list) or not given:
            self._wrong(
                "wrong-type", _expected("a list of learners", given), ("learners",), "start each with '- label:'"
            )
        read = (self._try(self._one_learner, ("learners", number), entry) for number, entry in enumerate(given))
        return [each for each in read if each is not None]

    def _one_learner(self, path: KeyPath, entry: object) -> LearnerSpec:
        if not isinstance(entry, dict):
            hint = "as in - {label: a, simulation: …}"
            self._wrong("wrong-type", _expected("a mapping of a label and tasks", entry), path, hint)
        self._check_keys(entry, path, ("label", *_EVERY_SLOT))
        given = {slot: entry[slot] for slot in _EVERY_SLOT if entry.get(slot) is not None}
        self._check_slots(given, path, PARALLEL)
        label = self._try(self._text, entry, (*path, "label")) if entry.get("label") else ""
        read = {slot: self._try(self._task, (*path, slot), given[slot]) for slot in given}
        return LearnerSpec(label or "", {slot: task for slot, task in read.items() if task is not None})

    def _task(self, path: KeyPath, entry: object) -> TaskSpec:
        if not isinstance(entry, dict):
            self._wrong(
                "wrong-type", _expected("a mapping", entry), path, "as in {type: shell, command: python sim.py}"
            )
        self._check_keys(entry, path, ("type", "command", "function", "task_description"))
        kind = self._word(entry, (*path, "type"), ("shell", "python"))
        description = entry.get("task_description") or {}
        if not isinstance(description, dict):
            at = (*path, "task_description")
            self._wrong("wrong-type", _expected("a mapping", description), at, "as in {cores_per_rank: 2}")
        text = self._text(entry, (*path, "command" if kind == "shell" else "function"))
        if kind == "python" and not is_function_reference(text.strip()):
            message = f"expected module:name, not {quoted(text)}"
            hint = "rose calls a function of a module, for example tasks:simulate"
            self._wrong("wrong-value", message, (*path, "function"), hint)
        unused = "function" if kind == "shell" else "command"
        if entry.get(unused) is not None:
            message = f"'{unused}' has no meaning in a task of the type {kind}"
            self._wrong("conflicting-keys", message, (*path, unused), "remove it, or change the type", at_key=True)
        read = TaskSpec(path, text if kind == "shell" else text.strip(), kind == "python", description)
        self._read.append(read)
        return read

    def _stop(self, _kind: str) -> StopSpec:
        path = ("stop_criterion",)
        found = self._mapping(self._data, path, ("metric", "threshold", "operator", "evaluator"))
        metric = self._try(self._text, found, (*path, "metric"))
        threshold = self._try(self._number, found, (*path, "threshold"))
        operator = None
        if found.get("operator") is not None:
            operator = self._try(self._word, found, (*path, "operator"), OPERATORS)
        if found.get("evaluator") is None:
            hint = "as in evaluator: {type: shell, command: python check.py}"
            self._wrong("missing-key", "'evaluator' is missing in 'stop_criterion'", (*path, "evaluator"), hint)
        evaluator = self._task((*path, "evaluator"), found["evaluator"])
        if metric is None or threshold is None:
            raise _Wrong
        return StopSpec(metric, threshold, operator, evaluator)

    # --- the rest ----------------------------------------------------------------------------------------------------

    def _parameters(self) -> dict[str, Any]:
        found = self._data.get("parameters")
        if found is None:
            return {}
        if not isinstance(found, dict):
            self._wrong(
                "wrong-type", _expected("a mapping of name and value", found), ("parameters",), "as in {size: 30}"
            )
        for name in found:
            if name in RESERVED:
                message = f"'{name}' cannot be a parameter: ROSE sets it itself"
                self._report("bad-name", message, ("parameters", name), "remove it", at_key=True)
        return {str(name): value for name, value in found.items()}

    def _remote(self) -> dict[str, Any]:
        keys = ("pythonpath", "backends", "broker_url", "target", "embedded")
        found = self._optional_mapping("remote", keys)
        for key in ("pythonpath", "backends"):
            self._check_texts(found.get(key), ("remote", key))
        if found.get("target") is None:
            return found
        path = ("remote", "target")
        target = self._mapping(found, path, _TARGET)
        self._word(target, (*path, "kind"), ("iri", "sfapi", "psij"))
        self._try(self._check_texts, target.get("setup"), (*path, "setup"))
        for key in ("walltime_min", "n_nodes"):
            self._try(self._whole, target, (*path, key), 1, MAX_COUNT)
        environment = target.get("environment") or {}
        if not isinstance(environment, dict):
            at = (*path, "environment")
            self._wrong(
                "wrong-type", _expected("a mapping of variables", environment), at, "as in {OMP_NUM_THREADS: 1}"
            )
        return found

    def _tracking(self) -> dict[str, Any]:
        found = self._optional_mapping("tracking", ("backend", "experiment", "run_name"))
        for key in ("experiment", "run_name"):
            if found.get(key) is not None:
                self._text(found, ("tracking", key))
        if found.get("backend") is not None:
            self._word(found, ("tracking", "backend"), _TRACKERS)
        return found

    # --- values ------------------------------------------------------------------------------------------------------

    def _optional_mapping(self, key: str, known: Sequence[str]) -> dict[str, Any]:
        return {} if self._data.get(key) is None else self._mapping(self._data, (key,), known)

    def _mapping(self, parent: Mapping[Any, Any], path: KeyPath, known: Sequence[str]) -> dict[str, Any]:
        found = self._given(parent, path)
        if not isinstance(found, dict):
            hint = f"its keys are {', '.join(known)}"
            self._wrong("wrong-type", _expected("a mapping", found), path, hint)
        self._check_keys(found, path, known)
        return found

    def _check_keys(self, found: Mapping[Any, Any], path: KeyPath, known: Sequence[str]) -> None:
        for key in found:
            if key not in known:
                hint = did_you_mean(str(key), known) or f"valid keys: {', '.join(known)}"
                at = (*path, key)
                self._report("unknown-key", f"unknown key '{shortened(str(key))}'", at, hint, at_key=True)

    def _check_texts(self, found: object, path: KeyPath) -> None:
        if found is None:
            return
        if not isinstance(found, list):
            self._wrong(
                "wrong-type", _expected("a list of strings", found), path, "write it in brackets: [first, second]"
            )
        for number, each in enumerate(found):
            if isinstance(each, bool) or not isinstance(each, str | int | float):
                self._wrong("wrong-type", _expected("a string", each), (*path, number), "put it in quotes")

    def _given(self, parent: Mapping[Any, Any], path: KeyPath) -> Any:  # noqa: ANN401 - as YAML has it
        key = path[-1]
        if parent.get(key) is None:
            where = f" in '{path[-2]}'" if len(path) > 1 and isinstance(path[-2], str) else ""
            hint = _EXAMPLES.get(str(key), f"add {key}:")
            self._wrong("missing-key", f"'{key}' is missing{where}", path, hint)
        return parent[key]

    def _text(self, parent: Mapping[Any, Any], path: KeyPath) -> str:
        found = self._given(parent, path)
        if isinstance(found, bool) or not isinstance(found, str | int | float) or not str(found).strip():
            hint = "write text; put quotes around it if in doubt"
            shown = None if isinstance(found, str) else found
            self._wrong("wrong-type", _expected("a string", shown), path, hint)
        return str(found)

    def _word(self, parent: Mapping[Any, Any], path: KeyPath, words: Sequence[str]) -> str:
        found = self._text(parent, path)
        if found not in words:
            choice = listed(words, len(words))
            hint = did_you_mean(found, words) or f"write one of {choice}"
            self._wrong("wrong-value", f"expected one of {choice}, not {quoted(found)}", path, hint)
        return found

    def _whole(self, parent: Mapping[Any, Any], path: KeyPath, least: int, most: int) -> int | None:
        found = parent.get(path[-1])
        if isinstance(found, str) and re.fullmatch(r"[0-9]{1,12}", found.strip()):
            found = int(found)
        if found is not None and (isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most):
            hint = "0: until the criterion is met" if least == 0 else f"write at least {least}"
            self._wrong("wrong-value", _expected(f"a whole number from {least} to {most}", found), path, hint)
        return found

    def _number(self, parent: Mapping[Any, Any], path: KeyPath) -> int | float | str:
        """As it is written, so that no digit changes."""
        found = self._given(parent, path)
        try:
            value = math.nan if isinstance(found, bool) else float(found)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            percent = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*%\s*", str(found))
            hint = f"write {float(percent[1]) / 100:g}" if percent else "write the number alone, such as 0.01"
            self._wrong("wrong-type", _expected("a number", found), path, hint)
        return WrittenExponent(found.strip()) if isinstance(found, str) else found

    # --- mistakes ----------------------------------------------------------------------------------------------------

    def _try(self, part: Any, *arguments: Any) -> Any:  # noqa: ANN401 - the result of `part`, or None
        try:
            return part(*arguments)
        except _Wrong:
            return None

    def _wrong(
        self, code: str, message: str, path: KeyPath, hint: str | None = None, *, at_key: bool = False
    ) -> NoReturn:
        self._report(code, message, path, hint, at_key=at_key)
        raise _Wrong

    def _report(self, code: str, message: str, path: KeyPath, hint: str | None = None, *, at_key: bool = False) -> None:
        self.found.append(Diagnostic(code, message, path, hint, at_key=at_key))


_EXAMPLES = {
    "learner": "as in learner: {type: sequential_active_learner, max_iter: 10}",
    "stop_criterion": "as in stop_criterion: {metric: mse, threshold: 0.1, evaluator: {type: shell, command: …}}",
    "type": "a learner: sequential_active_learner, …; a task: shell or python",
}


def _expected(what: str, found: object) -> str:
    from rose_cli.config.errors import expected

    return expected(what, found)


def placed(document: Document, diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The diagnostics at their places, each once, in the order of the file."""
    found = dict.fromkeys(located(document, each) for each in diagnostics)
    return sorted(found, key=lambda each: (each.span is None, each.span, each.code))
