"""`rose status`: the state of a run, read from its directory alone."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rose_cli.find_runs import find_run
from rose_cli.journal.state import LearnerState, can_resume, learner_status
from rose_cli.loop.criterion import best_iteration, best_value, values_by
from rose_cli.loop.once import parts_of
from rose_cli.loop.preloads import modules_by_task
from rose_cli.loop.reports import replica_results
from rose_cli.loop.usage import core_seconds, learner_use
from rose_cli.run_info import RunInfo, by_metric, notice_ownership, ownership_text, read_run, require_metric
from rose_cli.runs.moves import RunLocation, lost_workspaces
from rose_cli.tables.iterations import spent_seconds
from rose_cli.util.errors import ExitCode
from rose_cli.util.json_output import finite, iso_time, json_safe, write_json
from rose_cli.util.ownership import owner_name
from rose_cli.util.shared import SHARED
from rose_cli.util.text import counted
from rose_cli.view.campaign_line import Facts, Outlook, iteration_counts
from rose_cli.view.console import complain, notice
from rose_cli.view.failures import causes, failures, missing_value
from rose_cli.view.outcome import outcome_of
from rose_cli.view.status import Plotted, print_legend, print_status, watch_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rose_cli.journal.events import AttemptFailed
    from rose_cli.loop.forecast import Estimate
    from rose_cli.plan.model import LearnerPlan
    from rose_cli.runs.directory import RunDirectory
    from rose_cli.view.failures import Cause

StatusFormat: TypeAlias = Literal["text", "json"]

LOSSES_SHOWN = 8

QUEUE_SECONDS = 5.0
"""How often the batch system is asked while nothing runs."""


def status(
    argument: str | None, status_format: StatusFormat, *, plot: bool = False, metric: str | None = None
) -> ExitCode:
    """`plot`: learning curves in place of the learners. `metric`: the one to go by."""
    info = read_run(find_run(argument, announce=False), cached=True)
    require_metric([info], metric)
    info = by_metric(info, metric)
    lost = lost_of(info)  # looks at the workspace of every learner
    if status_format == "json":
        write_json({**status_object(info, lost), "jobs": _jobs_object(info), "trackers": _trackers_object(info)})
    else:
        own = _can_continue(info, lost)
        shown = {"alive": info.alive, "own": own}
        plotted = Plotted(metric) if plot else None
        print_status(info.plan, info.state, directory=info.directory, jobs=_job_lines(info), plot=plotted, **shown)
    notice_ownership(info.doubt)
    where = RunLocation(info.directory, info.plan, info.state)
    for line in [where.lost_campaign] if where.lost_campaign else where.lines():
        notice(line)
    for line in (*_loss_lines(info, lost), *_tracker_lines(info)):
        notice(line)
    if info.damage is not None:
        complain(f"the journal is damaged, and the output incomplete: {info.damage.message}", info.damage.hint)
    return ExitCode.OK


def _job_lines(info: RunInfo) -> tuple[list[str], bool]:
    """Lines about the jobs that continue the run, and whether one of them waits or runs."""
    if not info.directory.jobs.is_dir():
        return [], False
    from rose_cli.view.jobs import job_lines, jobs_of

    jobs, queue = jobs_of(info.directory)
    return list(job_lines(info.directory, jobs, queue, is_over=not can_resume(info.state))), bool(queue)


def _jobs_object(info: RunInfo) -> dict[str, Any] | None:
    """The jobs of a batch system that continue the run; None if it has none."""
    if not info.directory.jobs.is_dir():
        return None
    from rose_cli.view.jobs import jobs_object, jobs_of

    return jobs_object(*jobs_of(info.directory))


def _has_trackers(info: RunInfo) -> bool:
    return bool(info.plan.track) or info.directory.track.is_dir()


def _tracker_lines(info: RunInfo) -> Iterator[str]:
    """A line for each tracker that lacks something."""
    if _has_trackers(info):
        from rose_cli.track.words import lines_of_trackers

        yield from lines_of_trackers(info)


def _trackers_object(info: RunInfo) -> list[dict[str, Any]]:
    """What each tracker has received."""
    if not _has_trackers(info):
        return []
    from rose_cli.track.words import trackers_object

    return trackers_object(info)


def _can_continue(info: RunInfo, lost: Mapping[str, str]) -> bool:
    """Whether `rose resume` would accept the run: it is the user's own and intact, and not all workspaces are lost."""
    unfinished = [each.name for each in info.state.everyone() if each.stop_reason in (None, "failed")]
    is_lost = SHARED in lost or (bool(unfinished) and all(name in lost for name in unfinished))
    return info.doubt is None and info.damage is None and not is_lost


def watch(argument: str | None, *, plot: bool = False, metric: str | None = None) -> ExitCode:
    """Redraw the table, or the learning curves, until the run ends."""
    directory = find_run(argument)
    if metric is not None:
        require_metric([read_run(directory, cached=True)], metric)
    notice_ownership(directory.doubt)
    watch_status(
        lambda: _look(by_metric(read_run(directory, cached=True), metric)),
        directory,
        own=directory.doubt is None,
        jobs=partial(_watched_jobs, directory, _Queued()),
        plot=Plotted(metric) if plot else None,
    )
    return ExitCode.OK


class _Queued:
    """What the batch system has said last of the jobs of a run: lines about them, and whether any are queued."""

    lines: tuple[str, ...] = ()
    answer, expires = False, 0.0


def _watched_jobs(directory: RunDirectory, queued: _Queued) -> tuple[Sequence[str], bool]:
    """Lines about the jobs of a run, and whether one waits or runs, by asking every few seconds; no answer is the last
    one again."""
    if time.monotonic() >= queued.expires and directory.jobs.is_dir():
        from rose_cli.view.jobs import job_lines, jobs_of

        jobs, queue = jobs_of(directory)
        queued.lines = tuple(job_lines(directory, jobs, queue, is_over=jobs.is_over))
        queued.answer = queued.answer if queue is None else bool(queue)
        queued.expires = time.monotonic() + QUEUE_SECONDS
    return queued.lines, queued.answer


def legend() -> ExitCode:
    """Explain the signs and the columns of the table."""
    print_legend()
    return ExitCode.OK


def _look(info: RunInfo) -> tuple[Any, Any, bool]:
    return info.plan, info.state, info.alive


def status_object(info: RunInfo, lost: Mapping[str, str]) -> dict[str, Any]:
    """The object of `--format json`. JSON has no nan and no infinities: they are null here."""
    state = info.state
    now = time.time() if info.alive else state.last_time
    outcome = outcome_of(info.plan, state, alive=info.alive, now=now)
    outlook = Outlook.of(info.plan, state, Facts(now, alive=info.alive))
    return {
        "run": str(info.directory.path.absolute()),
        "campaign": info.plan.campaign,
        "campaign_file": info.plan.campaign_file,
        "engine": info.plan.engine.kind,
        "status": info.status.value,
        "outcome": outcome.verdict.value,
        "outcome_text": outcome.words,
        "started": iso_time(state.started),
        "elapsed_seconds": state.seconds(now),
        "damage": info.damage.message if info.damage else None,
        "owner": owner_name(info.directory.path),
        "untrusted": ownership_text(info.doubt) if info.doubt else None,
        "preload_found": modules_by_task(info.plan, state),
        "causes": [_cause_object(info, cause) for cause in _causes(info)],
        "learners": [
            {**_learner_object(info, learner, lost.get(learner.name)), **_activity_object(info, learner.name, outlook)}
            for learner in info.plan.learners
        ],
        "campaign_tasks": _campaign_object(info, lost.get(SHARED)),
        "progress": _progress_object(info, outlook),
    }


def _campaign_object(info: RunInfo, lost: str | None) -> dict[str, Any] | None:
    """What runs once per campaign; None if nothing does."""
    if info.plan.shared is None:
        return None
    shared, now = info.state.shared, time.time() if info.alive else info.state.last_time
    current = shared.current if shared is not None else None
    return {
        "status": None if shared is None else learner_status(shared, alive=info.alive).value,
        "setup_done": bool(shared is not None and shared.iterations),
        "finishes_done": max(0, len(shared.iterations) - 1) if shared is not None else 0,
        "running": [key.task for key, _ in shared.running_steps()] if shared is not None and info.alive else [],
        "finished_tasks": current.finished_tasks if current is not None else [],
        "message": shared.message if shared is not None else None,
        "lost": lost,
        "parts": [part.as_object() for part in parts_of(info.plan, info.state, now, alive=info.alive)],
        "workspace": str(info.directory.workspace(SHARED)),
        "logs": str(info.directory.all_logs(SHARED)),
    }


def _progress_object(info: RunInfo, outlook: Outlook) -> dict[str, Any]:
    done, most = iteration_counts(info.plan, info.state, is_active=outlook.is_active)
    return {
        "iterations_done": done,
        "iterations_at_most": most,
        "cores_in_use": outlook.occupation.used.cores if outlook.is_active else 0,
        "cores": outlook.occupation.room.cores,
        "nodes": outlook.occupation.room.nodes,
        "waiting": {reason.value: count for reason, count in outlook.occupation.counts.items()},
        "remaining_seconds": _estimate_object(outlook.forecast.campaign),
    }


def _activity_object(info: RunInfo, learner: str, outlook: Outlook) -> dict[str, Any]:
    wait = outlook.occupation.waits.get(learner)
    is_over = info.state.learners[learner].stop_reason is not None
    return {
        "waiting_for": wait.reason.value if wait else None,
        "remaining_seconds": None if is_over else _estimate_object(outlook.forecast.learners.get(learner)),
    }


def _estimate_object(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    likely = {"low": estimate.low, "likely": estimate.likely, "high": estimate.high}
    return {**likely, "is_lower_bound": estimate.is_open}


def lost_of(info: RunInfo) -> dict[str, str]:
    """Learners that could be resumed if their workspace were complete, each with the reason why it is not."""
    found = {} if info.alive else lost_workspaces(info.directory, info.plan, info.state)
    resumable, states = (None, "failed", "max_iter"), info.state.by_name()
    reasons = {name: learner.stop_reason for name, learner in states.items()}
    if any(reason in resumable for reason in reasons.values()):  # it takes what all tasks share
        reasons.pop(SHARED, None)
    return {name: loss.words for name, loss in found.items() if reasons.get(name) in resumable}


def _loss_lines(info: RunInfo, lost: Mapping[str, str]) -> Iterator[str]:
    """A line for each learner that `rose resume` cannot continue, and one for all that --max-iter cannot extend."""
    if SHARED in lost:
        yield f"the campaign cannot continue: {lost[SHARED]}"
        return
    finished = {name: words for name, words in lost.items() if info.state.learners[name].stop_reason == "max_iter"}
    unfinished = {name: words for name, words in lost.items() if name not in finished}
    for name, words in list(unfinished.items())[:LOSSES_SHOWN]:
        yield f"learner '{name}' cannot continue: {words}"
    if len(unfinished) > LOSSES_SHOWN:
        yield f"and {counted(len(unfinished) - LOSSES_SHOWN, 'more learner')}"
    for name, words in list(finished.items())[:1]:
        others = f", nor can {counted(len(finished) - 1, 'more learner')}" if len(finished) > 1 else ""
        yield f"learner '{name}' cannot be extended: {words}{others}"


def _learner_object(info: RunInfo, plan: LearnerPlan, lost: str | None) -> dict[str, Any]:
    learner = info.state.learners[plan.name]
    criterion, history = plan.criterion, learner.history
    return {
        "name": plan.name,
        "index": plan.index,
        "status": learner_status(learner, alive=info.alive).value,
        "stop_reason": learner.stop_reason,
        "stop_message": learner.message if learner.stop_reason is not None else None,
        "iterations_done": len(history),
        "max_iter": info.state.bound(plan.name, plan.max_iter),
        "task": learner.task if info.alive else None,
        "metric_name": criterion.metric if criterion else None,
        "metric_value": finite(history[-1]) if history else None,
        "best_value": finite(best_value(criterion, history)),
        "best_iteration": best_iteration(criterion, history),
        "threshold": criterion.threshold if criterion else None,
        "operator": criterion.operator if criterion else None,
        "history": [finite(value) for value in history],
        "criteria": [_criterion_object(plan, learner, place) for place in range(len(plan.criteria))],
        "stop_rule": plan.stop_rule if plan.more_criteria else None,
        "result": json_safe(learner.iterations[-1].result) if learner.iterations else {},
        "replica_results": json_safe(replica_results(plan, learner.iterations[-1])) if learner.iterations else {},
        "report_problem": _report_problem(learner),
        "error": _error_object(info, plan, learner),
        "lost": lost,
        **_time_object(info, plan),
    }


def _criterion_object(plan: LearnerPlan, learner: LearnerState, place: int) -> dict[str, Any]:
    """A criterion with its values; the first one is also described by the keys of the learner itself."""
    criterion = plan.criteria[place]
    history = values_by(criterion, plan, learner)
    return {
        "metric_name": criterion.metric,
        "operator": criterion.operator,
        "threshold": criterion.threshold,
        "patience": criterion.patience,
        "metric_value": finite(history[-1]) if history else None,
        "best_value": finite(best_value(criterion, history)),
        "best_iteration": best_iteration(criterion, history),
        "history": [finite(value) for value in history],
    }


def _time_object(info: RunInfo, plan: LearnerPlan) -> dict[str, Any]:
    now = time.time() if info.alive else info.state.last_time
    moment, learner = info.state.moment(now), info.state.learners[plan.name]
    uses = learner_use(plan, learner, moment)
    return {
        **spent_seconds(learner.times.clock.spent(moment)),
        "core_seconds": core_seconds(uses),
        "task_times": {
            task: {**spent_seconds(use.spent), "core_seconds": use.core_seconds} for task, use in uses.items()
        },
    }


def _causes(info: RunInfo) -> list[Cause]:
    return causes(failures(info.plan, info.state, info.state.session.reason if info.state.session else None))


def _cause_object(info: RunInfo, cause: Cause) -> dict[str, Any]:
    """Equal failures, by the first of them."""
    return {"learners": cause.learners, "replicas": cause.replicas, **_failure_object(info, cause.first)}


def _report_problem(learner: LearnerState) -> dict[str, Any] | None:
    """The latest report of the learner that was ignored."""
    event = learner.unreported
    if event is None:
        return None
    where = {"task": event.task, "iteration": event.iteration, "replica": event.replica, "attempt": event.attempt}
    return {**where, "message": event.report_problem}


def _error_object(info: RunInfo, plan: LearnerPlan, learner: LearnerState) -> dict[str, Any] | None:
    """The failure that stopped the learner, or the latest one that it survived."""
    error = missing_value(plan, learner) or learner.error
    if error is None or learner.stop_reason not in (None, "failed"):
        return None
    return _failure_object(info, error)


def _failure_object(info: RunInfo, error: AttemptFailed) -> dict[str, Any]:
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
        "log": str(log) if error.log and (log := info.directory.inside(error.log)) is not None else None,
    }
