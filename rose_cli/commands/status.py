"""`rose status` and `rose list`: what runs have come to, read from their journals alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rose_cli.find_runs import SeenRun, find_run, mention_doubt, see, told_doubt
from rose_cli.journal.state import LearnerState, learner_status
from rose_cli.loop.criterion import best_value
from rose_cli.runs.moves import RunLocation, lost_workspaces
from rose_cli.util.errors import ExitCode
from rose_cli.util.json_output import finite, iso_time, json_safe, write_json
from rose_cli.util.ownership import owner_name
from rose_cli.view.console import complain, notice
from rose_cli.view.status import print_status, watch_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.journal.state import IterationState
    from rose_cli.plan.model import LearnerPlan

StatusFormat: TypeAlias = Literal["text", "json"]

REPORTS_SHOWN = 8


def status(argument: str | None, status_format: StatusFormat) -> ExitCode:
    seen = see(find_run(argument))
    if status_format == "json":
        write_json(status_object(seen))
    else:
        print_status(seen.plan, seen.state, alive=seen.alive, directory=seen.directory, own=seen.doubt is None)
    mention_doubt(seen.doubt)
    where = RunLocation(seen.directory, seen.plan, seen.state)
    for line in [where.lost_campaign] if where.lost_campaign else where.lines():
        notice(line)
    for line in _told_losses(seen):
        notice(line)
    if seen.damage is not None:
        complain(f"this is not all: {seen.damage.message}", seen.damage.hint)
    return ExitCode.OK


def watch(argument: str | None) -> ExitCode:
    """Draw the table again and again until the run has ended."""
    directory = find_run(argument)
    mention_doubt(directory.doubt)
    watch_status(lambda: _look(see(directory)))
    return ExitCode.OK


def _look(seen: SeenRun) -> tuple[Any, Any, bool]:
    return seen.plan, seen.state, seen.alive


def status_object(seen: SeenRun) -> dict[str, Any]:
    """The object of `--format json`. JSON has no word for nan and infinities: they are null here."""
    state = seen.state
    now = time.time() if seen.alive else state.last_time
    lost = lost_of(seen)
    return {
        "run": str(seen.directory.path.absolute()),
        "campaign": seen.plan.campaign,
        "campaign_file": seen.plan.campaign_file,
        "engine": seen.plan.engine.kind,
        "status": seen.status.value,
        "started": iso_time(state.started),
        "elapsed_seconds": state.seconds(now),
        "damage": seen.damage.message if seen.damage else None,
        "owner": owner_name(seen.directory.path),
        "untrusted": told_doubt(seen.doubt) if seen.doubt else None,
        "learners": [_learner_object(seen, learner, lost.get(learner.name)) for learner in seen.plan.learners],
    }


def lost_of(seen: SeenRun) -> dict[str, str]:
    """Learners that may still be taken up, and whose workspace is lost, each with what is wrong."""
    found = {} if seen.alive else lost_workspaces(seen.directory, seen.plan, seen.state)
    may_go_on = (None, "failed", "max_iter")
    return {name: loss.words for name, loss in found.items() if seen.state.learners[name].stop_reason in may_go_on}


def _told_losses(seen: SeenRun) -> Iterator[str]:
    """A line for each learner that `rose resume` would take up; one for all that only --max-iter would."""
    lost = lost_of(seen)
    through = {name: words for name, words in lost.items() if seen.state.learners[name].stop_reason == "max_iter"}
    waiting = {name: words for name, words in lost.items() if name not in through}
    for name, words in list(waiting.items())[:REPORTS_SHOWN]:
        yield f"learner '{name}' cannot continue: {words}"
    if len(waiting) > REPORTS_SHOWN:
        yield f"and {len(waiting) - REPORTS_SHOWN} more learners"
    for name, words in list(through.items())[:1]:
        others = f", nor can {len(through) - 1} more learners" if len(through) > 1 else ""
        yield f"learner '{name}' cannot be extended: {words}{others}"


def _learner_object(seen: SeenRun, plan: LearnerPlan, lost: str | None) -> dict[str, Any]:
    learner = seen.state.learners[plan.name]
    criterion, history = plan.criterion, learner.history
    return {
        "name": plan.name,
        "index": plan.index,
        "status": learner_status(learner, alive=seen.alive).value,
        "stop_reason": learner.stop_reason,
        "iterations_done": len(history),
        "max_iter": seen.state.bound(plan.name, plan.max_iter),
        "task": learner.task if seen.alive else None,
        "metric_name": criterion.metric if criterion else None,
        "metric_value": finite(history[-1]) if history else None,
        "best_value": finite(best_value(criterion, history)),
        "threshold": criterion.threshold if criterion else None,
        "operator": criterion.operator if criterion else None,
        "history": [finite(value) for value in history],
        "result": json_safe(learner.iterations[-1].result) if learner.iterations else {},
        "replica_results": json_safe(replica_results(plan, learner.iterations[-1])) if learner.iterations else {},
        "report_problem": _report_problem(learner),
        "error": _error_object(seen, learner),
        "lost": lost,
    }


def replica_results(plan: LearnerPlan, iteration: IterationState) -> dict[str, list[Mapping[str, Any]]]:
    """What the replicas of each task that has several reported, by task."""
    counts = {step.task: step.command(iteration.number).replicas for step in plan.steps}
    return {task: iteration.reports_of(task, count) for task, count in counts.items() if count > 1}


def _report_problem(learner: LearnerState) -> dict[str, Any] | None:
    """The latest report of the learner that was not kept."""
    event = learner.unreported
    if event is None:
        return None
    where = {"task": event.task, "iteration": event.iteration, "replica": event.replica, "attempt": event.attempt}
    return {**where, "message": event.report_problem}


def _error_object(seen: SeenRun, learner: LearnerState) -> dict[str, Any] | None:
    """The failure that stopped the learner, or the latest that it got over."""
    error = learner.error
    if error is None or learner.stop_reason not in (None, "failed"):
        return None
    return {
        "task": error.task,
        "iteration": error.iteration,
        "attempt": error.attempt,
        "kind": error.kind,
        "message": error.message,
        "command": error.command,
        "exit_code": error.exit_code,
        "signal": error.signal,
        "stderr_tail": list(error.stderr_tail),
        "log": str(log) if (log := seen.directory.inside(error.log)) is not None else None,
    }
