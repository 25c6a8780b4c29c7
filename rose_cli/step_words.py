"""RUN LEARNER ITERATION TASK on a command line: which run and which steps these words mean, where some are omitted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.find_runs import find_run, name_of
from rose_cli.loop.replicas import replicas_of
from rose_cli.loop.reports import entry_of
from rose_cli.plan.decided import with_changes
from rose_cli.plan.file import load_plan
from rose_cli.runs.listing import default_run, refers_to_run, runs_of
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import RunDirectoryError, UsageError, check_known
from rose_cli.util.shared import CAMPAIGN, SHARED, part_of, quoted_name, shown_name
from rose_cli.util.text import did_you_mean, listed
from rose_cli.view.console import notice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rose_cli.loop.replicas import Replica
    from rose_cli.plan.model import CommandPlan, LearnerPlan, Plan
    from rose_cli.run_info import RunInfo
    from rose_cli.runs.directory import RunDirectory

_MOST_CHOICES = 8

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
    return [*(shown_name(learner.name) for learner in plan.everyone), *_tasks(plan)]


def _tasks(plan: Plan) -> list[str]:
    return list(dict.fromkeys(step.task for learner in plan.everyone for step in learner.all_steps))


@dataclass(frozen=True)
class StepWords:
    """The learner, iteration and task that words name; None stands for all."""

    learner: str | None = None
    iteration: int | None = None
    task: str | None = None


def read_step_words(plan: Plan, words: Sequence[str], directory: RunDirectory) -> StepWords:
    """LEARNER, ITERATION and TASK after RUN. Each may be omitted: a number is an iteration. Raises UsageError.

    `campaign` is in place of a learner for what runs once per campaign: iteration 0 is its setup, 1 its finish.
    """
    learners, tasks = [each.name for each in plan.learners], _tasks(plan)
    is_shared = plan.shared is not None and CAMPAIGN not in learners
    learner = iteration = task = None
    for word in words:
        if learner is None and (word in learners or (is_shared and word == CAMPAIGN)):
            learner = word if word in learners else SHARED
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


@dataclass(frozen=True)
class Step:
    """One step that has run, or is next. `command` is that of its iteration. `called`: its named replica."""

    learner: LearnerPlan
    iteration: int
    task: str
    replica: int
    command: CommandPlan
    called: Replica | None = None


def find_step(info: RunInfo, words: Sequence[str], replica: str = "0") -> Step:
    """The step that LEARNER, ITERATION and TASK mean. Raises UsageError if it cannot have run or be next."""
    found = _of_campaign(info, read_step_words(info.plan, words, info.directory))
    learners = {learner.name: learner for learner in info.plan.everyone}
    names = [learner.name for learner in info.plan.learners]
    name = found.learner if found.learner is not None or len(names) > 1 else names[0]
    if name is None:
        raise UsageError("which learner?", f"the order is RUN LEARNER ITERATION TASK; {_choices(names)}")
    learner, state = learners[name], info.state.of(name)
    done, bound = len(state.iterations), info.state.bound(name, learner.max_iter)
    whose = quoted_name(name)
    steps = {step.task: step for step in learner.all_steps}
    if found.task is not None:
        check_known("task", found.task, steps, f" in {whose}")
    if found.iteration is None:
        raise UsageError(f"which iteration of {whose}?", f"give a number from 0 to {done}, before the task")
    if found.task is None:
        raise UsageError(f"which task of {whose}?", _choices(list(steps)))
    if bound is not None and found.iteration >= bound:
        raise UsageError(f"{whose} has no iteration {found.iteration}", f"its last one is {bound - 1}")
    if found.iteration > done:
        message = f"iteration {found.iteration} of {whose} needs results of iterations that have not finished"
        raise UsageError(message, f"it has finished {done}: give a number from 0 to {done}")
    changes = state.changes_before(found.iteration)
    learner = with_changes(learner, changes, found.iteration, info.plan.campaign_dir)
    command = {step.task: step for step in learner.all_steps}[found.task].command(found.iteration)
    entry = entry_of(state, found.iteration)
    decided = entry.decisions.get(found.task) if entry is not None else None
    replicas = replicas_of(command, decided)
    place = _place(replicas, replica)
    if place is None:
        message = f"'{found.task}' has no replica {replica} in iteration {found.iteration}"
        raise UsageError(message, _which(replicas))
    return Step(learner, found.iteration, found.task, place, command, replicas[place])


def _of_campaign(info: RunInfo, found: StepWords) -> StepWords:
    """A task that runs once per campaign says by itself whose it is, and in which iteration it ran or is next."""
    shared = info.plan.shared
    if shared is None or found.learner not in (None, SHARED):
        return found
    if found.task is None:
        return found
    if found.task in {step.task for step in shared.before}:
        place = 0
    elif found.task in {step.task for step in shared.after}:
        state = info.state.of(SHARED)
        place = max(1, state.current.number if state.current is not None else len(state.iterations) - 1)
    else:
        return found
    iteration = place if found.iteration is None else found.iteration
    if bool(iteration) != bool(place):
        message = f"'{found.task}' belongs to the {part_of(place)} of the campaign, which is no iteration {iteration}"
        raise UsageError(message, f"omit the number: `rose exec {CAMPAIGN} {found.task}`")
    return StepWords(SHARED, iteration, found.task)


def _place(replicas: Sequence[Replica | None], wanted: str) -> int | None:
    """The number of the replica with that name or, if none has it, with that number."""
    names = [each.name if each is not None else None for each in replicas]
    if wanted in names:
        return names.index(wanted)
    is_number = wanted.isascii() and wanted.isdigit() and len(wanted) < 9
    return int(wanted) if is_number and int(wanted) < len(replicas) else None


def _which(replicas: Sequence[Replica | None]) -> str:
    if not replicas:
        return "the task did not run in this iteration: see `when` and `replicas`"
    names = [each.name for each in replicas if each is not None and each.name is not None]
    return _choices(names) if names else f"its replicas are numbered from 0 to {len(replicas) - 1}"


def replica_called_in(info: RunInfo, learner: LearnerPlan, iteration: int, task: str, place: int) -> str | None:
    """What a replica that has run was called, if it had a name."""
    step = next((step for step in learner.all_steps if step.task == task), None)
    if step is None or not step.command(iteration).is_replicated:
        return None
    entry = entry_of(info.state.of(learner.name), iteration)
    decided = entry.decisions.get(task) if entry is not None else None
    replicas = replicas_of(step.command(iteration), decided)
    called = replicas[place] if place < len(replicas) else None
    return called.name if called is not None else None


def _choices(names: Sequence[str]) -> str:
    return f"choose from {listed(names, _MOST_CHOICES)}"
