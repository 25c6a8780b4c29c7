"""Notices: a command that gets the summary of a session as JSON on standard input when the session has ended.

Whatever the command does, the exit code of the session stays, and rose waits only for a limited time. Nobody can be
told of the end of a session that was killed with `kill -9`.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rose_cli import __version__
from rose_cli.engine.batch import TaskEnvironment, in_batch_job
from rose_cli.engine.launch import NotStartedError, explain, look_up
from rose_cli.journal.state import can_resume, learner_status, run_status
from rose_cli.loop.criterion import best_iteration, best_value
from rose_cli.loop.once import parts_of
from rose_cli.plan.render import NoCommandError, render_plain
from rose_cli.plan.secrets import secrets_of, secrets_of_plan
from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import open_unshared
from rose_cli.util.json_output import finite, iso_time
from rose_cli.util.processes import TAG_VARIABLE
from rose_cli.util.redact import Secrets
from rose_cli.util.secrets import secrets_of_environment
from rose_cli.util.signals import StopRequested
from rose_cli.view.console import notice
from rose_cli.view.decided import decided_by_program
from rose_cli.view.failures import causes, failures
from rose_cli.view.outcome import outcome_of
from rose_cli.view.selection import LearnerSelection
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.config.rules import Ending
    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.plan.model import LearnerPlan, NotifyPlan, Plan
    from rose_cli.plan.render import Command
    from rose_cli.runs.directory import RunDirectory

    Object: TypeAlias = "dict[str, Any]"

MOST_LEARNERS, MOST_CAUSES, MOST_LINES = 1_000, 20, 10

MOST_LOGGED = 1 << 16
"""Bytes of the command's output that are kept."""

MOST_LOG = 1 << 20
"""A longer log starts over."""

HURRY_SECONDS = 10.0
"""The time that there is in a batch job that is being ended."""

_GRACE_SECONDS = 1.0

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Ended:
    """The end of a session. `error`: the message of what broke it; `code`: the exit code of rose."""

    plan: Plan
    state: RunState
    directory: RunDirectory
    environment: Mapping[str, str]
    code: int
    error: str | None = None

    @property
    def ending(self) -> Ending:
        reasons = [learner.stop_reason for learner in self.state.everyone()]
        if self.error is None and all(reasons):
            return "failed" if "failed" in reasons else "finished"
        session = self.state.session
        reason = session.reason if session is not None else None
        return "failed" if self.error is not None or reason in ("failed", "engine_lost", None) else "interrupted"


def send(ended: Ended) -> None:
    """Call the command, if it is to be told of this end; whatever goes wrong is one line."""
    plan = ended.plan.notify
    if plan is None or ended.ending not in plan.when or _is_followed(ended):
        return
    try:
        trouble = _send(ended, plan)
    except StopRequested:
        trouble = "was terminated, because rose was told to stop"
    except Exception as error:  # noqa: BLE001 - a notice changes nothing
        trouble = f"failed: {error}"
    if trouble is not None:
        with suppress(Exception):
            notice(f"notify: the command {' '.join(trouble.split())}")


def _is_followed(ended: Ended) -> bool:
    """Whether the next job of a chain continues the run: only the end of the chain is one."""
    if ended.ending != "interrupted" or not ended.directory.jobs.is_dir():
        return False
    from rose_cli.view.jobs import following_lines

    return any(following_lines(ended.directory))


def _send(ended: Ended, plan: NotifyPlan) -> str | None:
    """What went wrong, if anything did."""
    try:
        command = render_plain(ended.plan, plan.command)
    except NoCommandError as error:
        return f"cannot be run: {error}"
    known = Secrets.of(secrets_of_plan(ended.plan) | secrets_of_environment(ended.environment)) | secrets_of(command)
    found: Object = known.hidden(summary(ended))
    environment = _environment(ended, command, found)
    seconds = plan.timeout_seconds
    if ended.ending == "interrupted" and in_batch_job(ended.environment):
        seconds = min(seconds, HURRY_SECONDS)
    place = Path(ended.plan.campaign_dir)
    try:
        program = look_up(command.argv[0], environment.get("PATH", os.defpath), place)
    except NotStartedError as error:
        return f"was not started: {known.masked(str(error))}"
    with tempfile.TemporaryFile() as text:  # not a pipe: the command need not read it
        text.write(json.dumps(found, indent=1, allow_nan=False).encode("ascii") + b"\n")
        text.seek(0)
        with _pipe() as (descriptor, end):
            try:
                process = subprocess.Popen(
                    command.argv, executable=program, cwd=place, env=environment, stdin=text, stdout=end, stderr=end,
                    start_new_session=True,
                )  # fmt: skip
            except (OSError, ValueError) as error:
                return f"was not started: {known.masked(explain(error, program, command.argv, environment))}"
            output, problem = _outcome(process, descriptor, seconds)
    log = _write_log(ended, known.masked(output.decode(errors="replace")), problem)
    where = f"; its output is in {short_path(log)}" if log is not None and output.strip() else ""
    return None if problem is None else f"{problem}{where}"


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    descriptor, end = os.pipe()
    try:
        yield descriptor, end
    finally:
        os.close(descriptor)
        os.close(end)


def _environment(ended: Ended, command: Command, found: Object) -> dict[str, str]:
    """As of a task on this machine, with the end in short."""
    plan = ended.plan.notify
    base = dict(ended.environment)
    if plan is not None:
        base = dict(TaskEnvironment(base, 1).of(plan.command.resources, 1))
    own = {"ROSE_ENDING": found["ending"], "ROSE_SUMMARY": found["text"], "ROSE_RUN": found["run"]}
    environment = {**base, "PWD": ended.plan.campaign_dir, **command.environment, **own}
    environment.pop(TAG_VARIABLE, None)
    return {name: value.replace("\0", "") for name, value in environment.items()}


def _outcome(process: subprocess.Popen[bytes], descriptor: int, seconds: float) -> tuple[bytes, str | None]:
    """The start of its output, and what went wrong. Nothing that it has started in its session stays."""
    output, end, problem = b"", time.monotonic() + seconds, None
    os.set_blocking(descriptor, False)
    try:
        while (code := process.poll()) is None:
            left = end - time.monotonic()
            if left <= 0:
                problem = f"did not end within {seconds:g} s, and was killed"
                break
            output = _read(descriptor, output, min(left, _POLL_SECONDS))
        output = _read(descriptor, output, 0.0)
        if code:
            signalled = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
            problem = problem or signalled
    finally:
        _kill(process)
    return output, problem


def _read(descriptor: int, output: bytes, seconds: float) -> bytes:
    """Wait for output, and add it as far as it is kept; the rest is dropped."""
    ready, _, _ = select.select([descriptor], [], [], seconds)
    if not ready:
        return output
    try:
        piece = os.read(descriptor, MOST_LOGGED)
    except BlockingIOError:
        return output
    if not piece:  # it has closed its output, but not ended
        time.sleep(seconds)
    return output + piece[: max(0, MOST_LOGGED - len(output))]


def _kill(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS if number == signal.SIGTERM else None)


def _write_log(ended: Ended, output: str, problem: str | None) -> Path | None:
    """Append what the command has printed to the run's log of notices."""
    log = ended.directory.notify_log
    session = ended.state.session
    head = f"--- session {session.number if session else 0}, {ended.ending}, {iso_time(time.time())}: "
    try:
        descriptor = open_unshared(log, os.O_WRONLY | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            if os.fstat(descriptor).st_size > MOST_LOG:
                file.truncate(0)
            file.write(f"{head}{problem or 'sent'}\n{output}")
            file.write("" if output.endswith("\n") or not output else "\n")
    except OSError:
        return None
    return log


# --- the summary -----------------------------------------------------------------------------------------------------


def summary(ended: Ended) -> Object:
    """What the command gets: how the run stands, in words and as data. Without nan and infinities."""
    plan, state = ended.plan, ended.state
    session, run = state.session, ended.directory.path
    outcome = outcome_of(plan, state, alive=False, now=state.last_time)
    end = str(next(iter(outcome.headline(plan.campaign, ended.error))))
    shown = plan.learners[:MOST_LEARNERS] if len(plan.learners) <= MOST_LEARNERS else ()
    return {
        "ending": ended.ending,
        "text": end,
        "campaign": plan.campaign,
        "campaign_file": plan.campaign_file,
        "run": str(run),
        "run_id": state.run_id,
        "status": run_status(state, alive=False).value,
        "outcome": outcome.verdict.value,
        "outcome_text": outcome.words,
        "exit_code": ended.code,
        "reason": session.reason if session is not None else None,
        "message": ended.error or (session.message if session is not None else None),
        "session": session.number if session is not None else None,
        "host": session.host if session is not None else socket.gethostname(),
        "engine": plan.engine.kind,
        "started": iso_time(state.started),
        "ended": iso_time(session.ended if session is not None and session.ended is not None else state.last_time),
        "elapsed_seconds": state.seconds(state.last_time),
        "campaign_tasks": [part.as_object() for part in parts_of(plan, state, state.last_time, alive=False)],
        "rose_version": __version__,
        "learners_total": len(plan.learners),
        "stop_reasons": _stop_reasons(state),
        "best": _best(plan, state),
        "causes": _causes(ended),
        "learners": [_learner(each, state) for each in shown],
        "resume": f"rose resume {shlex.quote(str(run))}" if _resumes(state) else None,
    }


def _resumes(state: RunState) -> bool:
    """Whether `rose resume` alone continues the run."""
    return can_resume(state) and not decided_by_program(state)


def _stop_reasons(state: RunState) -> dict[str, int]:
    """How many learners have stopped for each reason; `unfinished` have not."""
    counts: dict[str, int] = {}
    for learner in state.learners.values():
        reason = learner.stop_reason or "unfinished"
        counts[reason] = counts.get(reason, 0) + 1
    return counts


def _best(plan: Plan, state: RunState) -> list[Object]:
    """The best value of each metric, the learners that reached it, and the iteration in which each did."""
    selection = LearnerSelection(plan, state)
    selection.refresh()
    found = []
    for name in selection.best_learners:
        criterion, best = selection.plan(name).criterion, selection.summary(name)
        if criterion is not None and best.best is not None:
            equal = list(selection.equals(name))[:MOST_CAUSES]
            iterations = [selection.summary(each).best_iteration for each in equal]
            value = {"metric_name": criterion.metric, "value": finite(best.best)}
            found.append({"learners": equal, "iterations": iterations, **value})
    return found


def _causes(ended: Ended) -> list[Object]:
    session = ended.state.session
    found = causes(failures(ended.plan, ended.state, session.reason if session else None))
    return [
        {
            "learners": len(cause.learners),
            "learner": cause.first.learner,
            "task": cause.first.task,
            "iteration": cause.first.iteration,
            "kind": cause.first.kind,
            "message": cause.first.message,
            "exit_code": cause.first.exit_code,
            "signal": cause.first.signal,
            "stderr_tail": list(cause.first.stderr_tail[-MOST_LINES:]),
            "log": str(ended.directory.path / cause.first.log),
        }
        for cause in found[:MOST_CAUSES]
    ]


def _latest(learner: LearnerState, metric: str) -> float | None:
    values = learner.iterations.values_of(metric)
    return finite(values[-1]) if values else None


def _learner(plan: LearnerPlan, state: RunState) -> Object:
    learner = state.learners[plan.name]
    history = learner.history
    return {
        "name": plan.name,
        "status": learner_status(learner, alive=False).value,
        "stop_reason": learner.stop_reason,
        "iterations_done": len(history),
        "metric_name": plan.criterion.metric if plan.criterion else None,
        "metric_value": finite(history[-1]) if history else None,
        "metrics": {each.metric: _latest(learner, each.metric) for each in plan.more_criteria},
        "best_value": finite(best_value(plan.criterion, history)),
        "best_iteration": best_iteration(plan.criterion, history),
    }
