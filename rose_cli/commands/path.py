"""`rose path`: where a run, the workspace of a learner, and the files of an iteration are."""

from __future__ import annotations

import math
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from rose_cli.find_runs import find_run
from rose_cli.loop.criterion import best_iteration, metric_key
from rose_cli.loop.results import results
from rose_cli.run_info import RunInfo, notice_ownership, read_run
from rose_cli.runs.workspace import walk_files
from rose_cli.step_words import read_step_words, split_run
from rose_cli.util.errors import ExitCode, RunDirectoryError, UsageError
from rose_cli.util.files import OpenDirectory
from rose_cli.util.shared import SHARED, part_of
from rose_cli.util.text import counted, listed
from rose_cli.view.console import notice, say
from rose_cli.view.wording import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from rose_cli.journal.iterations import IterationState
    from rose_cli.journal.state import LearnerState

MOST_NAMED = 5


def path(words: Sequence[str], *, best: bool = False) -> ExitCode:
    """Print absolute paths, one per line. `words`: RUN, LEARNER and ITERATION, of which each may be omitted."""
    directory, rest = split_run(words, partial(find_run, announce=False))
    if not rest and not best:
        _print([directory.path])
        return ExitCode.OK
    info = read_run(directory, cached=True)
    notice_ownership(info.doubt)
    wanted = read_step_words(info.plan, rest, directory)
    if wanted.task is not None or (best and wanted.iteration is not None):
        raise UsageError("too many arguments", "give RUN LEARNER, RUN LEARNER ITERATION, or RUN [LEARNER] --best")
    if best:
        learner, iteration = _best(info, wanted.learner)
        _print_iteration(info, learner, iteration)
    elif wanted.iteration is not None:
        learner = info.state.of(_only_learner(info) if wanted.learner is None else wanted.learner)
        _print_iteration(info, learner, _iteration(learner, wanted.iteration))
    elif wanted.learner is not None:
        _print([_workspace(info, wanted.learner)])
    return ExitCode.OK


def _workspace(info: RunInfo, learner: str) -> Path:
    workspace = info.directory.workspace(learner)
    if not os.path.lexists(workspace):
        why = "has been deleted" if info.state.of(learner).prepared else "does not exist before it starts"
        whose = f"learner '{learner}'" if learner != SHARED else "the campaign"
        raise RunDirectoryError(f"the workspace of {whose} {why}", f"it would be '{workspace}'")
    return workspace


def _best(info: RunInfo, name: str | None) -> tuple[LearnerState, IterationState]:
    """The best iteration of a learner, or of all; if only different metrics have values, nobody knows which."""
    if not any(learner.criterion for learner in info.plan.learners if name in (None, learner.name)):
        raise UsageError("without a stop criterion, no iteration is the best", "name one: `rose path RUN LEARNER 2`")
    if name is None:
        ranked = [each for each in results(info.plan, info.state, info.state.last_time).learners if each.best]
        if len({metric_key(each.plan) for each in ranked}) > 1:
            names = listed([each.name for each in ranked], MOST_NAMED)
            raise UsageError("the learners have different metrics, of which none is the best", f"name one: {names}")
        if not ranked:
            raise UsageError("no learner has a value yet", "`rose status` shows how far they are")
        name = ranked[0].name
        if same := [each.name for each in ranked[1:] if each.best_value == ranked[0].best_value]:
            notice(f"{listed(same, MOST_NAMED)} {'has' if len(same) == 1 else 'have'} the same best value as '{name}'")
    learner = info.state.learners[name]
    plan = next(each for each in info.plan.learners if each.name == name)
    place = best_iteration(plan.criterion, learner.history)
    if place is None:
        raise UsageError(f"learner '{name}' has no value yet", f"name an iteration: `rose path RUN {name} 0`")
    return learner, learner.iterations[place]


def _only_learner(info: RunInfo) -> str:
    names = [learner.name for learner in info.plan.learners]
    if len(names) > 1:
        raise UsageError("an iteration of which learner?", f"name one: {listed(names, MOST_NAMED)}")
    return names[0]


def _iteration(learner: LearnerState, wanted: int) -> IterationState:
    done, current = len(learner.iterations), learner.current
    if wanted < done:
        return learner.iterations[wanted]
    if wanted == done and current is not None:
        return current
    have = f"it has 0 to {done if current else done - 1}" if done or current else "it has none yet"
    raise UsageError(f"learner '{learner.name}' has no iteration {wanted}", have)


# --- the files of an iteration ---------------------------------------------------------------------------------------


def _print_iteration(info: RunInfo, learner: LearnerState, iteration: IterationState) -> None:
    """Print what the iteration wrote to the workspace, then its logs; on standard error, which iteration it is."""
    written = sorted(_written(info, learner.name, iteration))
    logs = info.directory.logs(learner.name, iteration.number)
    kept = [logs / name for name in _names(logs, info.directory.path)]
    value = "" if iteration.value is None else f" ({number(iteration.value, 6)})"
    which = f"learner '{learner.name}', iteration {iteration.number}{value}"
    if learner.name == SHARED:
        which = f"{part_of(iteration.number)} of the campaign"
    if not written and not kept:
        raise RunDirectoryError(f"{which}: none of its files is left", "`rose status --results` shows its values")
    files = f"{counted(len(written), 'file')} in the workspace" if written else _WHY_NONE
    notice(f"{which}: {files}; {counted(len(kept), 'log')}")
    _print([*written, *kept])


_WHY_NONE = "no file in the workspace is its own: put {iteration} into names so that later iterations keep such files"


def _written(info: RunInfo, learner: str, iteration: IterationState) -> Iterator[Path]:
    """The files that the iteration was the last to write, by their modification times."""
    workspace = info.directory.workspace(learner)
    ended = iteration.ended or math.inf
    try:
        with OpenDirectory.at(workspace, inside=info.directory.path) as opened:
            for name, status in walk_files(opened):
                if _was_modified(status.st_mtime_ns, iteration.started, ended):
                    yield workspace / name
    except OSError:
        return


def _was_modified(nanoseconds: int, started: float, ended: float) -> bool:
    """Whether a file was modified between the two times, in UNIX seconds; some file systems store whole seconds."""
    first = math.floor(started) if nanoseconds % 10**9 == 0 else started
    return first <= nanoseconds / 1e9 <= ended


def _names(logs: Path, run: Path) -> list[str]:
    try:
        with OpenDirectory.at(logs, inside=run) as directory:
            return sorted(directory.names())
    except OSError:
        return []


def _print(paths: Iterable[Path]) -> None:
    """One path per line: the bytes of its name, for `cd "$(rose path)"`, or what is safe to see on a terminal."""
    odd = 0
    for each in paths:
        if "\n" in str(each):
            odd += 1
        elif sys.stdout.isatty():
            say(str(each))
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(os.fsencode(each) + b"\n")
    if odd:
        notice(f"{counted(odd, 'path')} with a line break omitted")
