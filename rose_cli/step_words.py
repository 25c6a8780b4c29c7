"""RUN LEARNER ITERATION TASK on a command line: which run and which steps these words mean, where some are omitted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.find_runs import default_run, find_run, name_of, refers_to_run, runs_of
from rose_cli.plan.file import load_plan
from rose_cli.util.errors import RunDirectoryError, UsageError, check_known
from rose_cli.util.text import did_you_mean
from rose_cli.view.console import notice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rose_cli.plan.model import Plan
    from rose_cli.runs.directory import RunDirectory

_ITERATION = re.compile(r"[0-9]{1,18}")


def split_run(
    words: Sequence[str], find: Callable[[str | None], RunDirectory] = find_run
) -> tuple[RunDirectory, list[str]]:
    """The run that words on a command line mean, found by `find`, and the words after RUN.

    The first word is RUN if it refers to a run. If instead it is a learner, a task or an iteration of the run that is
    meant without RUN, then RUN was omitted. Raises UsageError if it is neither.
    """
    if not words:
        return find(None), []
    default = default_run()
    names = _step_names(default) if default is not None else []
    is_step = word_is_iteration(words[0]) or words[0] in names
    if refers_to_run(words[0]):
        if is_step and default is not None:
            run = name_of(default)
            notice(f"'{words[0]}' is taken as RUN; if you mean the learner or task, put {run} before it")
        return find(words[0]), list(words[1:])
    if is_step or (default is not None and not names):
        return find(None), list(words)
    where = f", nor a learner or task '{words[0]}' in {name_of(default)}" if default is not None else ""
    near = did_you_mean(words[0], [*(directory.path.name for directory in runs_of(Path())), *names])
    hint = near or "give its directory, a campaign file, or a name that `rose list` shows"
    raise UsageError(f"there is no run '{words[0]}'{where}", hint)


def word_is_iteration(word: str) -> bool:
    return _ITERATION.fullmatch(word) is not None


def _step_names(directory: RunDirectory) -> list[str]:
    """The learners and tasks of a run; none if its plan cannot be read."""
    try:
        plan = load_plan(directory.plan)
    except (RunDirectoryError, MemoryError):
        return []
    return [*(learner.name for learner in plan.learners), *_tasks(plan)]


def _tasks(plan: Plan) -> list[str]:
    return list(dict.fromkeys(step.task for learner in plan.learners for step in learner.all_steps))


@dataclass(frozen=True)
class StepWords:
    """The learner, iteration and task that words name; None stands for all."""

    learner: str | None = None
    iteration: int | None = None
    task: str | None = None


def read_step_words(plan: Plan, words: Sequence[str], directory: RunDirectory) -> StepWords:
    """LEARNER, ITERATION and TASK after RUN. Each may be omitted: a number is an iteration. Raises UsageError."""
    learners, tasks = [each.name for each in plan.learners], _tasks(plan)
    learner = iteration = task = None
    for word in words:
        if learner is None and word in learners:
            learner = word
        elif iteration is None and word_is_iteration(word):
            iteration = int(word)
        elif task is None and word in tasks:
            task = word
        else:
            is_learner = learner is None and iteration is None and task is None
            known = learners if is_learner else tasks
            check_known("learner" if is_learner else "task", word, known, f" in the run {name_of(directory)}")
            raise UsageError(f"unexpected argument '{word}'", "the order is RUN LEARNER ITERATION TASK")
    return StepWords(learner, iteration, task)
