"""Runs the functions of a Python campaign in its tasks: `function: rose_cli.api.task:NAME`.

The session has put each function as a pickle into the run directory. What it returns is kept there as well, for the
tasks that get it as an argument. This module is imported in every task: it needs the standard library, and cloudpickle
when a function is called.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pickle
import subprocess
import sys
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli.engine.function import PICKLE_SUFFIX, REPORT_BYTES, ReturnError, parameter_of, plain
from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import OpenDirectory, create_new, open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DIRECTORY = "python"
"""In the run directory: the functions, and what they returned."""

ARGUMENTS, NAMES = "rose_arguments", "rose_names"
"""Options: arguments that are no plain values, as a pickle; and the names that are no parameters (`--n_labeled`)."""

_SPARE_BYTES = 2048
_ITERATIONS_KEPT = 2


@dataclass(frozen=True)
class Entry:
    """A function of the script. `functions`: by replica, or under None the same for all.

    `after`: the tasks whose results are its first arguments, and whether those of the iteration before are meant.
    `makes_command`: it returns a command, which is run. `number`: what counts is a number that it returns or that the
    command prints. `axes`: names of arguments that are taken from the name of the replica: `name`, `name:0` (what comes
    before the last `-`), or `number:1` (the number after it).
    """

    task: str
    functions: Mapping[str | None, Callable[..., Any]]
    after: Sequence[tuple[str, bool]] = ()
    makes_command: bool = False
    number: bool = False
    axes: Mapping[str, str] = field(default_factory=dict)
    described: Mapping[str, Any] = field(default_factory=dict)


registered: dict[str, object] = {}
"""What the function has passed to `register_state`: it is reported like what it returns."""


def in_task() -> bool:
    """Whether this process runs the function of a task."""
    return "ROSE_TASK" in os.environ and "ROSE_RETURN" in os.environ


def __getattr__(name: str) -> Callable[..., object]:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Call(name)


class _Call:
    """What `function:` names: the function with that name in the run directory."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, **options: object) -> object:
        place = _Place.here()
        entry = _loaded(place.functions / f"{self._name}{PICKLE_SUFFIX}")
        args, kwargs = arguments(options)
        kwargs.update({name: _axis(axis) for name, axis in entry.axes.items()})
        given = [place.result_of(task, before) for task, before in entry.after]
        function = entry.functions.get(os.environ.get("ROSE_REPLICA"), entry.functions.get(None))
        if function is None:
            message = f"there is no function for the replica '{os.environ.get('ROSE_REPLICA')}' of '{entry.task}'"
            raise LookupError(message)
        value = function(*args, *given, **kwargs)
        if hasattr(value, "__await__") and hasattr(value, "send"):
            value = asyncio.run(value)
        if entry.makes_command:
            value = _run(value, entry)
        place.keep(entry.task, value)
        return _number(value, entry.task) if entry.number else _report(value)


def _loaded(path: Path) -> Entry:
    import cloudpickle  # registers what unpickling needs

    del cloudpickle
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        message = f"the run directory has no '{path.name}': only its script can start this task"
        raise FileNotFoundError(message) from None
    entry: Entry = pickle.loads(data)
    return entry


# --- arguments -----------------------------------------------------------------------------------------------------


def options_for(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a campaign file that `arguments` makes the same arguments from."""
    plain_ones = {name: each for name, each in kwargs.items() if _is_plain(each) and parameter_of(name).isidentifier()}
    taken: dict[str, str] = {}
    options: dict[str, Any] = {}
    for name, each in plain_ones.items():
        if taken.setdefault(parameter_of(name), name) == name and not name.startswith("rose_"):
            options[name] = list(each) if isinstance(each, tuple) else each
    if renamed := [name for name in options if parameter_of(name) != name]:
        options[NAMES] = renamed
    rest = {name: each for name, each in kwargs.items() if name not in options or isinstance(each, tuple)}
    if args or rest:
        import cloudpickle

        options[ARGUMENTS] = base64.b64encode(cloudpickle.dumps((tuple(args), rest), protocol=4)).decode()
    return options


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(each, str | int | float) for each in value)
    return isinstance(value, bool | int | str) or (isinstance(value, float) and value - value == 0)


def arguments(options: Mapping[str, object]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional arguments and those by name that `options_for` made options of."""
    rest = dict(options)
    given, names = rest.pop(ARGUMENTS, None), rest.pop(NAMES, None) or ()
    original = {parameter_of(str(name)): str(name) for name in names} if isinstance(names, list | tuple) else {}
    kwargs = {original.get(name, name): value for name, value in rest.items()}
    if given is None:
        return (), kwargs
    args, more = pickle.loads(base64.b64decode(str(given)))
    return args, {**kwargs, **more}


def _axis(axis: str) -> object:
    """What the name of this replica says, as in `Entry.axes`."""
    kind, _, position = axis.partition(":")
    name = os.environ["ROSE_REPLICA"]
    part = name.rsplit("-", 1) if position else [name]
    text = part[int(position)] if position and len(part) > 1 else name
    return int(text) if kind == "number" else text


# --- results -------------------------------------------------------------------------------------------------------


class Unavailable:
    """A result that could not be kept. Using it says why."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError(self._why)

    def __repr__(self) -> str:
        return f"<{self._why}>"


@dataclass(frozen=True)
class _Place:
    """Where the run keeps functions, and the results of this learner."""

    run: Path
    learner: str
    iteration: int

    @classmethod
    def here(cls) -> _Place:
        run = Path(os.environ["ROSE_WORKSPACE"]).parent.parent.parent
        return cls(run, os.environ["ROSE_LEARNER"], int(os.environ["ROSE_ITERATION"]))

    @property
    def functions(self) -> Path:
        return self.run / DIRECTORY

    def _results(self, iteration: int, *, make: bool = False) -> OpenDirectory:
        """The directory of an iteration, reached without following a link. Raises OSError."""
        path = self.functions / "results" / self.learner / str(iteration)
        return OpenDirectory.at(path, inside=self.run, make=make, mode=0o700)

    def keep(self, task: str, value: object) -> None:
        """Store a result for the tasks that get it, and remove those that nothing will ask for."""
        import cloudpickle

        try:
            data = cloudpickle.dumps(value)
        except Exception as error:
            why = f"what '{task}' returned cannot be handed on: {error}; write it to a file and return its path"
            data = cloudpickle.dumps(Unavailable(why))
        name = f"{task}.{os.environ.get('ROSE_REPLICA_INDEX', '0')}{PICKLE_SUFFIX}"
        new = f".{name}.{os.getpid()}"
        with self._results(self.iteration, make=True) as directory:
            at = directory.descriptor
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=at)
            with open(create_new(new, 0o600, dir_fd=at), "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(data)
            os.replace(new, name, src_dir_fd=at, dst_dir_fd=at)
        self._remove(self.iteration - _ITERATIONS_KEPT)

    def _remove(self, iteration: int) -> None:
        with suppress(OSError), self._results(iteration) as directory:
            for name in directory.names():
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=directory.descriptor)
            with OpenDirectory.at(self.functions / "results" / self.learner, inside=self.run) as above:
                os.rmdir(str(iteration), dir_fd=above.descriptor)

    def result_of(self, task: str, before: bool) -> object:
        """What a task returned: a list, by replica, if it had several. Of a command: what it printed."""
        iteration = self.iteration - 1 if before else self.iteration
        if iteration < 0:
            return None
        values = self._kept(iteration, task)
        if values:
            return values[0] if len(values) == 1 else values
        return self._printed(iteration, task)

    def _kept(self, iteration: int, task: str) -> list[object]:
        import cloudpickle  # registers what unpickling needs

        del cloudpickle
        try:
            directory = self._results(iteration)
        except FileNotFoundError:
            return []
        with directory:
            present = {name for name in directory.names() if name.startswith(f"{task}.")}
            indices = sorted(int(index) for name in present if (index := name.split(".")[1]).isdecimal())
            return [_unpickled(f"{task}.{index}{PICKLE_SUFFIX}", directory) for index in indices]

    def _printed(self, iteration: int, task: str) -> str | None:
        logs = self.run / "learners" / self.learner / "logs" / str(iteration)
        attempts = sorted(logs.glob(f"{task}.*.out"), key=lambda path: int(path.name.split(".")[-2]))
        return attempts[-1].read_text(encoding="utf-8", errors="replace").strip() if attempts else None


def _unpickled(name: str, directory: OpenDirectory) -> object:
    with open(open_regular(name, dir_fd=directory.descriptor), "rb") as file:  # noqa: PTH123 - a descriptor
        return pickle.load(file)


def _run(value: object, entry: Entry) -> object:
    """Run the command that the function returned, with the output of this process. Returns what it printed."""
    from rose_cli.api.commands import command_of

    command = command_of(value, entry.task, entry.described)
    words = command.words if command.line is None else ("/bin/sh", "-c", command.line)
    sys.stdout.flush()
    printed = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=_own_environment()) as process:
        for line in process.stdout or ():
            printed.append(line)
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
    if process.returncode:
        sys.exit(process.returncode if process.returncode > 0 else 128 - process.returncode)
    return b"".join(printed).decode(errors="replace").strip()


def _own_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("ROSE_RETURN", "ROSE_RESULTS")}


def _number(value: object, task: str) -> object:
    """The number that a criterion returned or printed; of a truth value 1 or 0, as upstream. Raises ReturnError."""
    if isinstance(value, dict) and "metric_value" in value:
        value = value["metric_value"]
    truth = value.item() if hasattr(value, "item") and not getattr(value, "shape", ()) else value
    if isinstance(truth, bool):
        return int(truth)
    if isinstance(value, str):
        lines = value.splitlines() or [""]
        with suppress(ValueError):
            return float(lines[-1])
    with suppress(ReturnError):
        if (number := plain(value)) is not None and not isinstance(number, dict):
            return number
    message = f"'{task}' gave {value!r:.80}, which is no number"
    raise ReturnError(message)


def _report(value: object) -> object:
    """What of a result can be the report of the task, with what was passed to `register_state`."""
    entries = dict(value) if isinstance(value, dict) else {}
    kept: dict[str, object] = {}
    for name, each in {**entries, **registered}.items():
        try:
            kept.update(plain({str(name): each}))  # type: ignore[call-overload]
        except (ReturnError, ValueError) as error:
            sys.stderr.write(f"rose: '{name}' is not part of the state: {error}\n")
    while kept and len(json.dumps(kept)) > REPORT_BYTES - _SPARE_BYTES:
        largest = max(kept, key=lambda name: len(json.dumps(kept[name])))
        del kept[largest]
        sys.stderr.write(f"rose: '{largest}' is not part of the state: it is too large\n")
    if kept:
        return kept
    with suppress(ReturnError):
        return plain(value)
    return None
