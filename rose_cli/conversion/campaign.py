"""A workflow file of ROSE as a campaign file: its text, and what is different or could not be carried over."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rose_cli.config.rules import directory_name_error, folded
from rose_cli.conversion.comments import Comments
from rose_cli.conversion.resources import common_of, lost, resources_of, submit_command, trackers_of
from rose_cli.conversion.spec import PARALLEL, SLOTS, UNCERTAINTY, placed, read_spec
from rose_cli.conversion.text import lines_of
from rose_cli.conversion.words import command_of, escaped, is_parameter, stays_a_parameter
from rose_cli.plan.metrics import standard_metric
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import CampaignError, Diagnostic, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rose_cli.config.document import Document
    from rose_cli.conversion.spec import Spec, TaskSpec
    from rose_cli.util.errors import KeyPath

HANDOVER = "handover"
"""The module that calls functions of ROSE with the results of the tasks before them."""

_OWN_OPTIONS = ("function", "previous", "inputs", "pythonpath", "learner_label", "parameters")
"""Those that the module itself gets."""

_RISING = re.compile(
    r"accura|score|reward|return|recall|precision|auc|gain|efficiency|(^|_)(acc|r2|f1|iou)(_|$)", re.IGNORECASE
)

_ACTIVE_INPUTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "simulation": ("active_learn", ()),
    "training": ("", ("simulation",)),
    "active_learn": ("", ("simulation", "training")),
    "criterion": ("", ()),
}
_INPUTS: Mapping[str, Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "sequential_active_learner": _ACTIVE_INPUTS,
    PARALLEL: _ACTIVE_INPUTS,
    "sequential_reinforcement_learner": {
        "environment": ("criterion", ()),
        "update": ("", ("environment",)),
        "criterion": ("", ("update",)),
    },
    UNCERTAINTY: {
        "simulation": ("", ()),
        "training": ("", ("simulation",)),
        "prediction": ("", ("training",)),
        "uncertainty": ("", ("prediction",)),
        "active_learn": ("", ("uncertainty",)),
        "criterion": ("", ("active_learn",)),
    },
}
"""What ROSE 0.3 passes to each task: the result of a task of the iteration before, and those of tasks of this one."""


@dataclass(frozen=True)
class Converted:
    """`text` is a campaign file. `warnings` are about the workflow file, at their places in it.

    `functions` need the module `HANDOVER` beside it: where each is written, and its name if it has to be beside the
    campaign or installed.
    """

    text: str
    warnings: tuple[Diagnostic, ...]
    functions: Mapping[KeyPath, str]


def convert(document: Document, name: str) -> Converted:
    """`name` is that of the campaign. Raises CampaignError with every mistake in the workflow file."""
    differing: list[Diagnostic] = []
    spec = read_spec(document, differing, lambda task, parameters: command_of(task, parameters)[2])
    converter = _Converter(spec, Comments(document), name)
    text = converter.text()
    mistakes = [each for each in converter.found if each.is_error]
    if mistakes:
        raise CampaignError(placed(document, mistakes), document.text)
    warnings = (*document.warnings, *placed(document, [*differing, *converter.found]))
    is_elsewhere = bool(spec.remote.get("pythonpath"))
    functions = {
        (*task.path, "function"): "" if is_elsewhere else task.text for task in spec.all_tasks if task.is_function
    }
    return Converted(text, warnings, functions)


class _Converter:
    def __init__(self, spec: Spec, comments: Comments, name: str) -> None:
        self.found: list[Diagnostic] = []
        self._spec = spec
        self._comments = comments
        self._name = name
        self._used: set[str] = set()
        self._needed: set[str] = set()
        self._declared = {name: _literal(value) for name, value in spec.parameters.items() if is_parameter(name, value)}
        self._is_reported: set[str] = set()

    def text(self) -> str:
        spec = self._spec
        tasks = self._tasks()
        stop = lines_of("stop", self._stop(), comments=self._comments.take(("stop_criterion",)))
        learners = self._learners()
        common = common_of(spec.remote, self.found)
        track = trackers_of(spec.tracking, self.found)
        self._check_rest()
        parts = [self._head(), self._first(), tasks, stop, learners]
        others = [line for key, value in common.items() for line in lines_of(key, value)]
        tracked = lines_of("track", track, comments=self._comments.take(("tracking",))) if track else []
        parts += [others, tracked, self._comments.rest()]
        return "\n\n".join("\n".join(part) for part in parts if part) + "\n"

    # --- parts of the file -------------------------------------------------------------------------------------------

    def _head(self) -> list[str]:
        lines = ["# Made by `rose import` from a workflow file of ROSE."]
        command = submit_command(self._spec.remote, self.found)
        if command is not None:
            lines += ["# In a job, as its remote.target asks for; FILE is this file, on the login node of the cluster:"]
            lines += [f"#   {command}"]
        lines += self._comments.take_at(("remote",))
        self._comments.take(("remote",))  # about a machine that the file no longer names
        return lines

    def _first(self) -> list[str]:
        """Its name, its length and its parameters."""
        lines = lines_of("name", self._name) if self._name else []
        above = self._comments.take(("learner",))
        lines += lines_of("max_iter", self._spec.max_iter, comments=above) if self._spec.max_iter else above
        declared = {name: _literal(value) for name, value in self._declared.items() if name in self._needed}
        if "learner_id" in self._used:
            declared["learner_id"] = 0
        if declared:
            lines += lines_of("parameters", declared, comments=self._comments.take(("parameters",)))
        return lines

    def _tasks(self) -> list[str]:
        lines = ["tasks:"]
        for slot, task in self._default_tasks().items():
            own = [("learners", 0, slot)] if self._spec.learners else []
            above = self._comments.take((slot,), *own)
            if self._spec.kind == UNCERTAINTY and slot == "training":
                above += ["# several models: replicas: [cnn, mlp] here and in prediction; {replica} is the name of one"]
            lines += lines_of(slot, self._task(slot, task), 2, above)
        return lines

    def _default_tasks(self) -> dict[str, TaskSpec]:
        tasks = self._spec.learners[0].tasks if self._spec.learners else self._spec.tasks
        return {slot: tasks[slot] for slot in SLOTS[self._spec.kind] if slot in tasks}

    def _task(self, slot: str, task: TaskSpec) -> dict[str, Any]:
        called = self._called(slot, task) if task.is_function else {"executable": self._command(task)}
        return {**called, **resources_of(task, self.found)}

    def _command(self, task: TaskSpec) -> str:
        command, used, mistakes = command_of(task, self._spec.parameters)
        self.found += mistakes
        self._used |= used
        values = self._spec.parameters
        self._needed |= {name for name in used if name in values and stays_a_parameter(name, values[name])}
        return command

    def _called(self, slot: str, task: TaskSpec) -> dict[str, Any]:
        """A function, called through the module that passes it the results of the tasks before it."""
        options: dict[str, Any] = {"function": task.text}
        previous, inputs = _INPUTS[self._spec.kind][slot]
        if previous:
            options["previous"] = [previous]
        if inputs:
            options["inputs"] = list(inputs)
        paths = self._spec.remote.get("pythonpath")
        if paths:
            options["pythonpath"] = [_beside(str(path)) for path in paths]
        if any(learner.label for learner in self._spec.learners):
            options["learner_label"] = "{learner}"
        self._check_inputs(task, (previous, *inputs))
        for name, value in self._spec.parameters.items():
            self._pass(name, value, options)
        return {"function": f"{HANDOVER}:call", "options": options}

    def _pass(self, name: str, value: object, options: dict[str, Any]) -> None:
        """A parameter of the campaign reaches the module by itself, anything else as an option."""
        path = ("parameters", name)
        if name in _OWN_OPTIONS:
            self._lose_once(path, "give it another name", f"a parameter of a function cannot be called '{name}' here")
        elif name in self._declared:
            self._used.add(name)
            self._needed.add(name)
        elif not name.isidentifier() or value is None or not _is_option(value):
            self._lose_once(
                path, "write it into the function: rose passes numbers, strings, booleans and lists of them"
            )
        else:
            options[name] = _literal(value)

    def _stop(self) -> dict[str, Any]:
        stop = self._spec.stop
        path = ("stop_criterion", "metric")
        standard = standard_metric(stop.metric)
        operator = stop.operator or "<"
        is_rising = standard.operator != "<" if standard is not None else bool(_RISING.search(stop.metric))
        if stop.operator is None and is_rising:
            message = f"without an operator, ROSE stops as soon as '{stop.metric}' is below {stop.threshold}"
            hint = (
                f"more is probably better: write operator: '{standard.operator if standard else '>='}' in the campaign"
            )
            self.found.append(Diagnostic("default-operator", message, path, hint, Severity.WARNING))
        keys: dict[str, Any] = {"metric": stop.metric, "threshold": stop.threshold}
        if standard is None or standard.operator != operator:
            keys["operator"] = operator
        return {**keys, **self._task("criterion", stop.evaluator)}

    # --- learners ----------------------------------------------------------------------------------------------------

    def _learners(self) -> list[str]:
        spec = self._spec
        if not spec.learners:
            above = self._comments.take(("learners",))
            if "learner_id" not in self._used:
                return lines_of("learners", spec.learner_count, comments=above)
            entries = [{"name": f"learner-{n}", "parameters": {"learner_id": n}} for n in range(spec.learner_count)]
            return [*above, "learners:", *(line for entry in entries for line in _item(entry))]
        lines = [*self._comments.take_at(("learners",)), "learners:"]
        for number, name in enumerate(self._names()):
            above = [f"  {each}" for each in self._comments.take(("learners", number))]
            lines += [*above, *_item(self._learner(number, name))]
        return lines

    def _learner(self, number: int, name: str | None) -> dict[str, Any]:
        """Its name, and what differs from the tasks, which are those of the first learner."""
        entry: dict[str, Any] = {} if name is None else {"name": name}
        first, own = self._default_tasks(), self._spec.learners[number].tasks
        commands = {slot: self._command(own[slot]) for slot in own if not own[slot].is_function}
        if "learner_id" in self._used:
            entry["parameters"] = {"learner_id": number}
        for slot, task in first.items():
            self._check_same(own[slot], task)
            if own[slot].text == task.text:
                continue
            entry[slot] = (
                {"options": {"function": own[slot].text}} if task.is_function else {"executable": commands.get(slot)}
            )
        return entry

    def _check_same(self, task: TaskSpec, first: TaskSpec) -> None:
        if task.is_function != first.is_function:
            message = f"'{task.path[-1]}' has another type in the first learner"
            self.found.append(
                Diagnostic(
                    "wrong-value",
                    message,
                    (*task.path, "type"),
                    "ROSE allows one type for all learners: change one of the two",
                )
            )
        if task.description and task.description != first.description:
            message = f"'{task.path[-1]}' has another task_description in the first learner"
            hint = "ROSE allows one for all learners; in the campaign, each can have its own"
            self.found.append(Diagnostic("wrong-value", message, (*task.path, "task_description"), hint))

    def _names(self) -> Iterator[str | None]:
        taken: set[str] = set()
        for number, learner in enumerate(self._spec.learners):
            if not learner.label:
                yield None
                continue
            name = _directory_name(learner.label, number)
            while folded(name) in taken:
                name = f"{name}-{number}"
            taken.add(folded(name))
            if name != learner.label:
                message = f"the label cannot be the name of a learner and its directory: it has become '{name}'"
                path = ("learners", number, "label")
                self.found.append(
                    Diagnostic("renamed", message, path, "check that it still tells what it is", Severity.WARNING)
                )
            yield name

    # --- what is different -------------------------------------------------------------------------------------------

    def _check_inputs(self, task: TaskSpec, inputs: Sequence[str]) -> None:
        commands = {slot for slot, each in self._default_tasks().items() if not each.is_function}
        if not self._spec.stop.evaluator.is_function:
            commands.add("criterion")
        for slot in inputs:
            if slot in commands:
                message = f"in ROSE this function gets what '{slot}' prints; in rose it gets None"
                hint = f"let '{slot}' write a file, and read it here: both run in the same directory"
                self.found.append(Diagnostic("differs", message, (*task.path, "function"), hint, Severity.WARNING))

    def _check_rest(self) -> None:
        spec = self._spec
        if not any(task.is_function for task in spec.all_tasks):
            if spec.remote.get("pythonpath"):
                self.found.append(lost(("remote", "pythonpath"), "set PYTHONPATH under env: if a program needs it"))
            for name in spec.parameters:
                if name not in self._used:
                    self.found.append(lost(("parameters", name), f"write {{{name}}} in a command to use it"))
        elif any(not str(path).startswith("/") for path in spec.remote.get("pythonpath") or ()):
            message = "relative paths count from the directory of the campaign file, not from where rose is called"
            path = ("remote", "pythonpath")
            self.found.append(Diagnostic("differs", message, path, "check them", Severity.WARNING, at_key=True))
        self.found += [lost(path, "remove it: it has no effect in ROSE either") for path in spec.ignored]
        if spec.kind == UNCERTAINTY:
            message = "ROSE has the models, the number of predictions and the threshold of the uncertainty in Python"
            hint = (
                "name the models under replicas: of training and prediction; add the uncertainty as a second criterion"
            )
            self.found.append(Diagnostic("not-carried-over", message, ("learner", "type"), hint, Severity.WARNING))

    def _lose_once(self, path: tuple[str, str], hint: str, message: str | None = None) -> None:
        if path[1] not in self._is_reported:
            self._is_reported.add(path[1])
            self.found.append(lost(path, hint, message))


def _beside(path: str) -> str:
    return escaped(path) if path.startswith("/") else f"{{campaign_dir}}/{escaped(path.removeprefix('./'))}"


def _is_option(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, str | int | float) for each in value)
    return isinstance(value, str | int | float)


def _literal(value: object) -> object:
    if isinstance(value, list):
        return [_literal(each) for each in value]
    return escaped(value) if type(value) is str else value


def _directory_name(label: str, number: int) -> str:
    name = re.sub(r"[^\w.+=@ -]", "-", label)[:40].strip("-. ")
    return f"learner-{number}" if directory_name_error(name) is not None else name


def _item(entry: Mapping[str, Any]) -> list[str]:
    """A learner in the list."""
    inner = [line for key, value in entry.items() for line in lines_of(key, value, 4)]
    return [f"  - {inner[0].strip()}", *inner[1:]] if inner else ["  - {}"]
