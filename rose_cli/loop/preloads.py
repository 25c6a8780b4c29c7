"""Which modules the attempts of a session find imported, and what is said about it: each thing once.

With `preload: auto`, the first attempt of a command that succeeds tells which modules it imported; the following ones
of that command, in whatever learner, start with these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from rose_cli.config.rules import AUTO, is_module_name
from rose_cli.engine.base import Preload
from rose_cli.util.text import cut, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rose_cli.engine.base import TaskOutcome
    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import CommandPlan, Plan

Program: TypeAlias = "tuple[str, tuple[str, ...]]"
"""A task and the words of its command."""

MOST_MODULES = 100

_MOST_CHARACTERS = 200

_MOST_NAMED = 6

_MOST_SAID = 100


class Preloads:
    """`warn` shows a line to the user."""

    def __init__(self, plan: Plan, state: RunState, warn: Callable[[str], object]) -> None:
        self._is_local = plan.engine.is_local
        self._warn = warn
        self._said: set[tuple[str, str]] = set()
        self._found = found_modules(plan, state)

    def for_attempt(self, task: str, command: CommandPlan) -> Preload | None:
        """What the engine is to preload; on other engines, every program starts in a new interpreter."""
        if not command.preload or not self._is_local:
            return None
        if command.preload != (AUTO,):
            return Preload(command.preload)
        found = self._found.get((task, command.words))
        return Preload(learn=True) if found is None else Preload(found, learned=bool(found))

    def imported_by(self, task: str, command: CommandPlan, outcome: TaskOutcome) -> tuple[str, ...]:
        """The modules that a successful attempt imported, if they were not known before."""
        program = task, command.words
        if outcome.imported is None or not outcome.succeeded or program in self._found:
            return ()
        # the process of the user wrote them
        names = tuple(name for name in dict.fromkeys(outcome.imported) if is_module_name(name) and name != AUTO)
        self._found[program] = names = names[:MOST_MODULES]
        if names:
            shown = listed(list(names), _MOST_NAMED)
            self._say(task, f"preload: auto found {shown} for '{task}', whose later attempts start with them imported")
        return names

    def why_cold(self, task: str, outcome: TaskOutcome, hide: Callable[[str], str]) -> str | None:
        """Why an attempt was started in a new interpreter although it has `preload`, shortened; secrets are hidden."""
        if outcome.cold_because is None:
            return None
        reason = cut(hide(outcome.cold_because), _MOST_CHARACTERS)
        self._say(task, f"preload: '{task}' starts in a new interpreter: {reason}")
        return reason

    def _say(self, task: str, text: str) -> None:
        if (task, text) not in self._said and len(self._said) < _MOST_SAID:
            self._said.add((task, text))
            self._warn(text)


def found_modules(plan: Plan, state: RunState) -> dict[Program, tuple[str, ...]]:
    """What earlier attempts imported, as the journal has it."""
    found: dict[Program, tuple[str, ...]] = {}
    if not state.imported:
        return found
    steps = {(learner.name, step.task): step for learner in plan.everyone for step in learner.all_steps}
    for (learner, task), (iteration, modules) in state.imported.items():
        if (step := steps.get((learner, task))) is not None:
            found[task, step.command(iteration).words] = modules
    return found


def modules_by_task(plan: Plan, state: RunState) -> Mapping[str, list[str]]:
    """The same by task, for display."""
    found: dict[str, dict[str, None]] = {}
    for (task, _), modules in found_modules(plan, state).items():
        found.setdefault(task, {}).update(dict.fromkeys(modules))
    return {task: list(modules) for task, modules in found.items()}
