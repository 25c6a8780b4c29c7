"""What a program decides between two iterations of a learner."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeAlias

from rose_cli.check.functions import problems_with_options
from rose_cli.config.parameters import declared, declared_axes_are
from rose_cli.config.placeholders import placeholder_errors
from rose_cli.config.rules import is_option_name
from rose_cli.engine.function import parameter_of
from rose_cli.journal.events import DecisionMade
from rose_cli.loop.gate import Question
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import UsageError, check_known

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rose_cli.plan.model import LearnerPlan, StepPlan

__all__ = ["Decision", "Question", "TaskChange", "decision_made"]

_MOST_BITS = 4096

OptionValue: TypeAlias = "str | int | float | bool | Sequence[str | int | float | bool] | None"


@dataclass(frozen=True)
class TaskChange:
    """What is different from the plan in the command of a task, in all later iterations.

    `words`: the whole command line, without the arguments and options that the plan adds to it; for a shell line, a
    single word. `args` replace the planned arguments. `options` are set one by one, and `None` removes one. Text may
    contain placeholders, as in a campaign file: a brace that is meant is doubled. `TaskChange()` undoes earlier changes
    of the task.
    """

    words: Sequence[str] | None = None
    args: Sequence[str] | None = None
    options: Mapping[str, OptionValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """How a learner goes on after an iteration.

    `stop`: that iteration was its last; `message` says why, for people. `tasks`: changes by task; the criterion is
    called `criterion`. A change holds until a later decision names the task again.
    """

    stop: bool = False
    tasks: Mapping[str, TaskChange] = field(default_factory=dict)
    message: str | None = None


def decision_made(
    question: Question, decision: Decision | None, learner: LearnerPlan, campaign_dir: Path
) -> DecisionMade:
    """The event of a decision; None: go on as before. Raises UsageError if it does not fit the learner.

    `campaign_dir`: where the modules of functions are.
    """
    decision = decision or Decision()
    if not isinstance(decision, Decision):
        raise UsageError(f"a decision cannot be {decision!r:.60}", "return a rose_cli.Decision, or None to go on")
    known = {step.task: step.otherwise for step in learner.all_steps}
    for task, change in decision.tasks.items():
        check_known("task", task, known)
        if not isinstance(change, TaskChange):
            raise UsageError(f"the change of task '{task}' cannot be {change!r:.60}", "give a rose_cli.TaskChange")
        if change.words is not None and known[task].function:
            raise UsageError(f"task '{task}' calls a function, which stays", "change its `options`: its arguments")
        if change.words is not None and known[task].shell and len(change.words) != 1:
            raise UsageError(f"task '{task}' is a shell line", "give its words as a list with a single line")
    changes = {task: _as_json(task, change) for task, change in decision.tasks.items()}
    for step in learner.all_steps:
        _check_change(step, changes.get(step.task, {}))
        if step.task in changes:
            _check_function(step, changes[step.task].get("options", {}), question.iteration + 1, campaign_dir)
    return DecisionMade(question.learner, question.iteration, _truth(decision.stop), decision.message, changes)


def _truth(stop: Any) -> bool:  # noqa: ANN401
    """Whether to stop; a boolean of numpy is one of Python's. Raises UsageError."""
    plain = stop.item() if hasattr(stop, "item") else stop
    if not isinstance(plain, bool):
        raise UsageError(f"`stop` of a decision cannot be {stop!r:.60}", "give True or False; `message` says why")
    return plain


def _check_change(step: StepPlan, change: Mapping[str, Any]) -> None:
    """What could never run is no decision: it would be in the journal, and fail again at each resume."""
    options = change.get("options", {})
    values = [value for each in options.values() for value in (each if isinstance(each, list) else [each])]
    texts = [*change.get("words", ()), *change.get("args", ()), *(each for each in values if isinstance(each, str))]
    command = step.otherwise
    with declared(frozenset(command.parameters)), declared_axes_are(frozenset(command.replica_axes)):
        for text in texts:
            if "\0" in text:
                raise UsageError(f"{text!r:.60} for task '{step.task}' contains a NUL byte", "remove it")
            for error in placeholder_errors(text):
                raise UsageError(f"{text!r:.60} for task '{step.task}': {error.message}", *filter(None, [error.hint]))
    planned = {name for each in (command, *step.at.values()) for name in each.options}
    _check_names(step.task, options, planned)


def _check_function(step: StepPlan, changed: Mapping[str, Any], iteration: int, campaign_dir: Path) -> None:
    """Raises UsageError if the function of a task has no such parameters, or lacks one, as far as reading it tells."""
    command = step.command(iteration)
    kept = {name: value for name, value in command.options.items() if changed.get(name, value) is not None}
    options = {**kept, **{name: value for name, value in changed.items() if value is not None}}
    for each in problems_with_options(command, options, campaign_dir):
        message = f"a decision cannot change task '{step.task}' in this way: {each.message}"
        raise UsageError(message, *filter(None, [each.hint]))


def _check_names(task: str, options: Mapping[str, Any], planned: set[str]) -> None:
    for name, value in options.items():
        if not is_option_name(name):
            raise UsageError(f"{name!r:.60} cannot be an option of task '{task}'", "use a name like --n_labeled")
        for other in sorted(planned - options.keys()):
            if value is not None and name not in planned and parameter_of(other) == parameter_of(name):
                raise UsageError(f"task '{task}' has no option '{name}', but '{other}'", f"write '{other}'")


def _as_json(task: str, change: TaskChange) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if change.words is not None:
        found["words"] = _words(task, change.words)
        if not found["words"]:
            raise UsageError(f"the command of task '{task}' has no words", "leave `words` out to keep the planned ones")
    if change.args is not None:
        found["args"] = _words(task, change.args)
    if change.options:
        found["options"] = {str(name): _option(task, name, value) for name, value in change.options.items()}
    return found


def _words(task: str, words: Sequence[str]) -> list[str]:
    found: list[Any] = [words] if isinstance(words, str) else list(words)
    if isinstance(words, str) or not all(isinstance(word, str) and "\0" not in word for word in found):
        raise UsageError(f"the words of task '{task}' cannot be {words!r:.60}", "give a list of strings")
    return found


def _option(task: str, name: str, value: OptionValue) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, (list, tuple)):
        return [_scalar(task, name, entry) for entry in value]
    return None if value is None else _scalar(task, name, value)


def _scalar(task: str, name: str, value: Any) -> str | int | float | bool:  # noqa: ANN401
    """A number of numpy is one of Python's."""
    plain = value.item() if hasattr(value, "item") and not isinstance(value, (str, int, float, bool)) else value
    if not isinstance(plain, (str, int, float, bool)):
        message = f"option '{name}' of task '{task}' cannot be {value!r:.60}"
        raise UsageError(message, "give a string, a number, a boolean, or a list of them")
    if isinstance(plain, int) and plain.bit_length() > _MOST_BITS:
        raise UsageError(
            f"option '{name}' of task '{task}' has a number of {plain.bit_length()} bits", "make it smaller"
        )
    return plain if isinstance(plain, (str, bool)) or type(plain) in (int, float) else float(plain)
