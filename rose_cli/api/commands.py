"""What the function of a task returns for a program to run, and what rose makes of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from rose_cli.api.script_errors import ScriptError
from rose_cli.util.dataclass import dataclass

RESOURCES = ("ranks", "cores_per_rank", "gpus_per_rank", "mem_per_rank", "pre_exec", "timeout")
"""Descriptions of tasks have them under the same names as campaign files."""

_SAME = {
    "cpu_processes": "ranks", "cpu_threads": "cores_per_rank", "gpu_processes": "gpus_per_rank",
    "num_gpus": "gpus_per_rank", "num_cpus": "cores_per_rank", "cores": "cores_per_rank", "gpus": "gpus_per_rank",
    "mem": "mem_per_rank",
}  # fmt: skip
"""Other names for them: of older descriptions, and of other backends."""

_WITHOUT_EFFECT = {"name", "uid", "stdout", "stderr", "sandbox", "mode", "metadata", "tags"}
"""Of a description: rose has its own names, logs and workspaces."""


@dataclass
class Task:
    """A program to run: `executable` with `arguments`, and what it needs.

    An executable with blanks in it is split into words, as a shell would. `ranks`, `cores_per_rank`, `gpus_per_rank`,
    `mem_per_rank` (MB), `pre_exec` and `timeout` (seconds) are those of a campaign file.
    """

    executable: str | Sequence[str] = ""
    arguments: Sequence[Any] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: dict[str, Any] = field(default_factory=dict)

    def __init__(
        self,
        executable: str | Sequence[str] = "",
        arguments: Sequence[Any] = (),
        *,
        environment: Mapping[str, str] | None = None,
        shell: bool = False,
        **needs: Any,
    ) -> None:
        self.executable, self.arguments = executable, arguments
        self.environment, self.shell, self.needs = dict(environment or {}), shell, needs


@dataclass(frozen=True)
class Command:
    """A command as a campaign file has it: words, or one line for a shell. `needs`: more keys of its task."""

    words: tuple[str, ...]
    line: str | None = None
    needs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.line if self.line is not None else shlex.join(self.words)

    def with_options(self, options: Mapping[str, object], args: Sequence[object] = ()) -> Command:
        """The command with more words at its end."""
        words = [str(each) for each in args]
        for name, value in options.items():
            words += [name] if value is None else [name, str(value)]
        line = None if self.line is None else " ".join([self.line, *map(shlex.quote, words)])
        return Command((*self.words, *words), line, self.needs)

    @property
    def keys(self) -> dict[str, Any]:
        """The keys of the task in a campaign file."""
        command: dict[str, Any] = {"executable": [escaped(word) for word in self.words]}
        if self.line is not None:
            command = {"executable": escaped(self.line), "shell": True}
        return {**command, **self.needs}


def escaped(text: str) -> str:
    """The text in a campaign file, where a single brace belongs to a placeholder."""
    return text.replace("{", "{{").replace("}", "}}")


def command_of(value: object, task: str, described: Mapping[str, Any]) -> Command:
    """The command that a function returned. Raises ScriptError if it is none.

    `described`: what the decorator and the parameter `task_description` say of the task.
    """
    needs, shell = needs_of(described), bool(described.get("shell", False))
    if isinstance(value, Task):
        needs = {**needs, **needs_of({**value.needs, "environment": value.environment})}
        return _of_words(value.executable, value.arguments, task, needs, shell=shell or value.shell)
    if isinstance(value, str):
        return _of_words(value, (), task, needs, shell=shell)
    if isinstance(value, Sequence) and value and all(isinstance(word, str) for word in value):
        return Command(tuple(value), None, needs)
    message = f"the function of '{task}' returned {_kind(value)}, which is no command"
    hint = "return a command as a string or a Task, or write as_executable=False if it returns a result"
    raise ScriptError(message, hint)


def _of_words(
    executable: str | Sequence[str], arguments: Sequence[object], task: str, needs: Mapping[str, Any], *, shell: bool
) -> Command:
    if not executable:
        raise ScriptError(
            f"the command of '{task}' is empty", "name the program, for example Task(executable='sim.py')"
        )
    rest = tuple(map(str, arguments))
    if not isinstance(executable, str):
        return Command((*executable, *rest), None, needs)
    if shell:
        return Command((), " ".join([executable, *map(shlex.quote, rest)]), needs)
    if rest and Path(executable).exists():
        return Command((executable, *rest), None, needs)
    try:
        return Command((*shlex.split(executable), *rest), None, needs)
    except ValueError as error:
        message = f"the command of '{task}' cannot be split into words: {str(error).lower()}"
        raise ScriptError(message, "close the quotation, or return a list of words") from None


def needs_of(described: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a task in a campaign file for what a description asks for."""
    needs: dict[str, Any] = {}
    for name, value in described.items():
        key = _SAME.get(name, name)
        if key in RESOURCES and value not in (None, [], ()):
            needs[key] = _plain(key, value)
        elif name in ("environment", "env") and value:
            needs["env"] = {str(variable): escaped(str(text)) for variable, text in value.items()}
    return needs


def without_effect(described: Mapping[str, Any]) -> list[str]:
    """The names in a description that rose does not know."""
    known = {*RESOURCES, *_SAME, *_WITHOUT_EFFECT, "environment", "env", "shell", "executable", "arguments"}
    return sorted(described.keys() - known)


def _plain(key: str, value: object) -> object:
    if key == "pre_exec":
        return [value] if isinstance(value, str) else [str(line) for line in value]  # type: ignore[attr-defined]
    return int(value) if isinstance(value, float) and value == int(value) and key != "timeout" else value


def _kind(value: object) -> str:
    return "nothing" if value is None else f"an object of type {type(value).__name__}"
