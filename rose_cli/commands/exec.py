"""`rose exec`: one task of a run again, or another command, in the task's own environment. The run does not change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from rose_cli.campaign_file import task_environment
from rose_cli.engine.base import ExitReason, TaskOutcome, TaskRequest
from rose_cli.engine.batch import TaskEnvironment
from rose_cli.engine.function import RESULTS_FILE
from rose_cli.engine.launch import NotStartedError, explain, in_shell, note_beside, prepare
from rose_cli.engine.machine import gpu_variables
from rose_cli.engine.termination import terminate_leftovers
from rose_cli.engines import engine_capacity
from rose_cli.find_runs import find_own_run, name_of
from rose_cli.integrity import altered, altered_lines, refusal
from rose_cli.journal import events as e
from rose_cli.journal.file import read_journal
from rose_cli.loop.criterion import evaluation_context
from rose_cli.loop.reports import Reports, entry_of
from rose_cli.loop.returned import results_before, returned_in
from rose_cli.plan.render import AttemptPaths, Command, EvaluationContext, NoCommandError, render
from rose_cli.plan.secrets import as_shown, secrets_of, secrets_of_plan
from rose_cli.run_info import initial_state, read_run, require_trust
from rose_cli.runs.changes import checksums
from rose_cli.runs.directory import refuse_links
from rose_cli.runs.lock import RunLock
from rose_cli.runs.scratch import copy_workspace, refuse_much, scratch_directory
from rose_cli.runs.workspace import prepare_workspace
from rose_cli.step_words import find_step, split_run
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import RunDirectoryError, UsageError
from rose_cli.util.json_output import json_safe
from rose_cli.util.ownership import restrict_umask, user_umask
from rose_cli.util.processes import TAG_VARIABLE, run_tag
from rose_cli.util.redact import Secrets, masked_command, remember
from rose_cli.util.shared import SHARED, quoted_name
from rose_cli.util.signals import handled_by
from rose_cli.util.text import counted, listed
from rose_cli.view.console import complain, notice
from rose_cli.view.script import write_script
from rose_cli.view.wording import MOST_NAMED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rose_cli.journal.codec import Record
    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan
    from rose_cli.run_info import RunInfo
    from rose_cli.step_words import Step

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
"""The exit codes of a shell for a program that could not be started."""

_SIGNALLED = 128

_RESULTS = "results.json"


@dataclass(frozen=True)
class ExecOptions:
    """`command` replaces that of the task; `directory` is for the copy of the workspace.

    `shared_in_place`: without a copy of the directory that all tasks share.
    """

    command: Sequence[str] = ()
    shell: bool = False
    replica: str = "0"
    directory: Path | None = None
    keep: bool = False
    in_place: bool = False
    shared_in_place: bool = False
    print_script: bool = False
    trust: bool = False

    def __post_init__(self) -> None:
        if self.shell and self.command:
            raise UsageError("--shell cannot be combined with a command", "remove one of them")
        if self.in_place and self.shared_in_place:
            raise UsageError("--in-place includes the shared directory", "remove --shared-in-place")
        if self.in_place and (self.directory is not None or self.keep):
            raise UsageError("--in-place cannot be combined with --in or --keep: there is no copy", "remove them")


def exec_task(words: Sequence[str], options: ExecOptions) -> int:
    """The exit code of the task, as a shell reports it. `words`: RUN, LEARNER, ITERATION and TASK."""
    directory, words = split_run(words, partial(find_own_run, command="exec", trust=options.trust))
    info = read_run(directory)
    remember(partial(secrets_of_plan, info.plan))
    if info.damage is not None:
        raise info.damage
    step = find_step(info, words, options.replica)
    refuse_links(directory, [step.learner.name])
    require_trust(directory, "exec", trust=options.trust, doubt=directory.doubt_inside([step.learner.name]))
    if (changed := altered(info.state, checksums(directory))) and not options.trust:
        for line in altered_lines(directory, info.plan, changed):
            notice(line)
        raise refusal(directory, changed, "exec")
    restrict_umask(~directory.path.stat().st_mode & 0o077)
    attempt = _attempt(info, step)
    if options.shared_in_place and step.learner.is_shared:
        raise UsageError(f"'{step.task}' works in the shared directory", "use --in-place instead of --shared-in-place")
    if options.print_script:
        return _print_script(info, step, attempt, options)
    with ExitStack() as stack:
        if options.in_place:
            stack.enter_context(RunLock.acquire(directory.path))
        place = stack.enter_context(_place(info, step, options))
        return _run(info, step, attempt, place, options)


# --- the attempt ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Attempt:
    """The attempt that is repeated, or the next one; `options` are those that the journal has of it."""

    number: int
    context: EvaluationContext
    options: Mapping[str, Any] | None = None
    results: Mapping[str, Any] = field(default_factory=dict)
    """The reports that a function may ask for."""
    edits: Sequence[str] = ()
    """What a resume has changed in the plan since."""

    def differences(self, command: Command) -> Iterator[str]:
        """A line if the plan has other options by now. `command` is the one in the learner's own workspace."""
        if self.edits:
            yield f"since attempt {self.number}, a resume has changed the plan: {listed(self.edits, MOST_NAMED)}"
            return
        now = json_safe(json.loads(json.dumps(as_shown(command).options)))
        if self.options is None or (then := json_safe(dict(self.options))) == now:
            return
        names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        shown = listed([f"{name} {then.get(name, 'not set')}" for name in names], MOST_NAMED)
        yield f"the plan has changed since attempt {self.number}, which had {shown}"


def _attempt(info: RunInfo, step: Step) -> _Attempt:
    """The latest attempt at the step, with the history and the bound that it had; else the one that comes next."""
    state, found = initial_state(info.plan, info.directory.journal), list[_Attempt]()
    key = e.StepKey(step.learner.name, step.iteration, step.task, step.replica)

    def consume(record: Record) -> None:
        event = record.event
        if isinstance(event, e.AttemptStarted) and event.step == key:
            edits = [each for time, change in info.state.plan_changes if time > record.time for each in change.edits]
            results = _results(state, step)
            found[:] = [_Attempt(event.attempt, _context(state, step), event.options, results, edits)]
        state.apply(record)

    read_journal(info.directory.journal, consume)
    if found:
        return found[0]
    return _Attempt(1, _context(info.state, step), results=_results(info.state, step))


def _results(state: RunState, step: Step) -> dict[str, Any]:
    """The reports of the tasks before this one, if its iteration is the current one."""
    current = state.of(step.learner.name).current
    is_current = current is not None and current.number == step.iteration
    return results_before(step.learner, step.task, current) if step.command.function and is_current else {}


def _context(state: RunState, step: Step) -> EvaluationContext:
    name, criterion = step.learner.name, step.learner.criterion
    learner = state.of(name)
    history = learner.history[: step.iteration]
    checked = learner.iterations.checked(None, criterion.task if criterion is not None else None)
    checks = [history[place] for place in checked if place < step.iteration]
    context = evaluation_context(criterion, history, state.bound(name, step.learner.max_iter), checks)
    reports = Reports(step.learner, learner.iterations, step.iteration, entry_of(learner, step.iteration), step.task)
    return replace(context, reports=reports, parameters=step.learner.values)


def _workspace_source(info: RunInfo, step: Step) -> tuple[Path | None, str]:
    """The directory to copy, None for a new workspace, and what it is, in words."""
    directory, name = info.directory, step.learner.name
    state = info.state.of(name)
    snapshot = directory.snapshots(name) / f"{step.iteration}.{step.task}"
    if snapshot.is_dir():
        return snapshot, "a copy of the snapshot from before this task"
    workspace = directory.workspace(name)
    if not state.prepared and not workspace.is_dir():
        return None, f"a new workspace, since {'the campaign' if name == SHARED else 'the learner'} has not started"
    if not workspace.is_dir():
        raise RunDirectoryError(f"the workspace '{workspace}' no longer exists", "name another learner")
    return workspace, f"a copy of the workspace as it is now, {_now(info, step)}"


def _now(info: RunInfo, step: Step) -> str:
    """How far the learner is, so that nobody takes the files for those from before the task."""
    if info.alive:
        return "while the run is running"
    state = info.state.of(step.learner.name)
    done = state.current.finished_tasks if state.current else []
    if done:
        return f"after '{done[-1]}' of iteration {len(state.iterations)}"
    return f"after iteration {len(state.iterations) - 1}" if state.iterations else "before the first task has finished"


# --- where it runs --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where the command runs, the directory for its report and for what starting it needs, and what all tasks share."""

    workspace: Path
    scratch: Path
    shared: Path


def _copied(info: RunInfo, step: Step, scratch: Path, options: ExecOptions) -> _Place:
    """In a scratch directory, with a copy of what all tasks share: the run does not change."""
    workspace = scratch / "workspace"
    if step.learner.is_shared:
        return _Place(workspace, scratch, workspace)
    shared = info.directory.workspace(SHARED)
    return _Place(workspace, scratch, shared if options.shared_in_place else scratch / "shared")


def _refuse_much(step: Step, shared: Path) -> None:
    """A data set of the campaign does not go into a temporary directory."""
    here = "--in-place" if step.learner.is_shared else "--shared-in-place"
    refuse_much(
        shared,
        "the shared directory",
        f"`{here}` uses it itself, without a copy: what the command changes in it has changed for the run",
        "`--in DIR` copies it to DIR: at once and without space, where the file system of the run can share blocks",
    )


@contextmanager
def _place(info: RunInfo, step: Step, options: ExecOptions) -> Iterator[_Place]:
    """The workspace itself or, in a scratch directory, a copy of it."""
    own, shared = info.directory.workspace(step.learner.name), info.directory.workspace(SHARED)
    with scratch_directory(options.directory, keep=options.keep) as scratch:
        if options.in_place:
            if not own.is_dir():
                raise RunDirectoryError(f"there is no workspace '{own}'", "omit --in-place")
            notice(f"in the workspace itself, '{own}': a resume continues with what you change in it")
            yield _Place(own, scratch, shared)
            return
        place = _copied(info, step, scratch, options)
        source, what = _workspace_source(info, step)
        is_copied = place.shared != shared and shared.is_dir()
        if is_copied and options.directory is None:
            _refuse_much(step, shared)
        if source is None:
            prepare_workspace(place.workspace, step.learner.files, inside=scratch)
        else:
            copy_workspace(source, place.workspace, original=own, inside=info.directory.path)
        if is_copied and place.shared != place.workspace:
            copy_workspace(shared, place.shared, original=shared, inside=info.directory.path)
        is_kept = options.directory is not None or options.keep
        notice(f"in {what}: {place.workspace} ({'kept' if is_kept else 'deleted afterwards; --keep keeps it'})")
        if place.shared == shared:
            notice(
                f"with the shared directory itself, '{shared}': what the command changes in it has changed for the run"
            )
        yield place


# --- the command ----------------------------------------------------------------------------------------------------


def _rendered(info: RunInfo, step: Step, attempt: _Attempt, place: _Place) -> Command:
    """The command as the local engine would get it, which also starts ranks itself."""
    plan = _locally(info.plan)
    paths = AttemptPaths(
        str(place.workspace), str(place.scratch / "result.json"), attempt.number, step.replica,
        shared=str(place.shared), run=str(info.directory.path),
    )  # fmt: skip
    if step.called is not None:
        paths = replace(paths, name=step.called.name, axes=step.called.axes)
    if attempt.results:
        paths = replace(paths, results_file=str(place.scratch / _RESULTS))
    try:
        return render(plan, step.learner, step.task, step.command, attempt.context, paths)
    except NoCommandError as error:
        raise UsageError(f"'{step.task}' has no command in iteration {step.iteration}: {error}") from error


def _locally(plan: Plan) -> Plan:
    """The plan on the local engine, with the cores and GPUs of its own."""
    engine = plan.engine
    return replace(plan, engine=replace(engine, kind="local", pilot=None, slurm=None, gpus=engine.gpus or ()))


def _environment(info: RunInfo, step: Step, command: Command, workspace: Path) -> dict[str, str]:
    """As the local engine merges it, without a tag: a session of the run would take its own for that of a leftover."""
    base = task_environment()
    capacity = engine_capacity(_locally(info.plan), base)
    of_task = TaskEnvironment(base, capacity.cores).of(step.command.resources, step.command.ranks)
    environment = {**of_task, "PWD": str(workspace), **command.environment}
    if capacity.gpus:
        environment.update(gpu_variables(base, capacity.gpus[: step.command.resources.gpus]))
    environment.pop(TAG_VARIABLE, None)
    return environment


def _words(command: Command, options: ExecOptions) -> tuple[str, ...]:
    if options.shell:
        return (os.environ.get("SHELL") or "/bin/sh",)
    return tuple(options.command) or command.argv


def _run(info: RunInfo, step: Step, attempt: _Attempt, place: _Place, options: ExecOptions) -> int:
    command = _rendered(info, step, attempt, place)
    own = _Place(info.directory.workspace(step.learner.name), place.scratch, info.directory.workspace(SHARED))
    for line in attempt.differences(_rendered(info, step, attempt, own)):
        notice(line)
    if info.plan.engine.slurm is not None:
        notice("on this machine, not as a step of a Slurm job, where the run has its tasks")
    if info.plan.engine.pilot is not None:
        notice(f"on this machine, not on {info.plan.engine.pilot.resource}, where the run has its tasks")
    name = step.called.name if step.called is not None else None
    copy = f", replica {name or step.replica}" if step.command.is_replicated else ""
    where = f"{quoted_name(step.learner.name)}, iteration {step.iteration}, '{step.task}'{copy}"
    instead = "; the command of the task is" if _words(command, options) != command.argv else ""
    notice(f"run {name_of(info.directory)}, {where}, as attempt {attempt.number}{instead}:")
    notice(f"  {masked_command(step.command.as_written(as_shown(command).argv), Secrets())}")
    own_id = f"exec-{uuid4().hex}"
    request = TaskRequest(
        uid="exec",
        argv=_words(command, options),
        environment={**_environment(info, step, command, place.workspace), TAG_VARIABLE: run_tag(own_id)},
        directory=place.workspace,
        stdout=place.scratch / "exec.out",
        stderr=place.scratch / "exec.err",
        pre_exec=command.pre_exec,
        hide=secrets_of(command).masked,
    )
    if attempt.results:
        (place.scratch / _RESULTS).write_text(json.dumps(attempt.results), encoding="utf-8")
    try:
        code = _exit_code(request)
        if step.command.function and not options.command and not options.shell:
            _show_returned(place.scratch)
        return code
    finally:  # as after a task; its workspace may be deleted next
        if ended := terminate_leftovers(own_id, grace_seconds=info.plan.engine.grace_seconds):
            notice(f"terminated {counted(ended, 'process', 'processes')} that the command left behind")


def _show_returned(scratch: Path) -> None:
    """What a function returned, which it does not print."""
    returned = returned_in(scratch / "return.json", inside=scratch)
    if returned is not None and returned.raised is None:
        value = "None" if returned.value is None else json.dumps(returned.value, ensure_ascii=False)
        notice(returned.problem or f"it returned {value}")


def _exit_code(request: TaskRequest) -> int:
    """Run it on the terminal and wait for it; its exit code as a shell reports it."""
    environment = dict(request.environment)
    with ExitStack() as stack:
        try:
            launch = prepare(request, environment)
            if request.pre_exec:
                launch = in_shell(request, note_beside(request.stderr), stack)
            sys.stdout.flush()
            process = subprocess.Popen(
                launch.argv, executable=launch.program, cwd=request.directory, env=environment, umask=user_umask()
            )
        except NotStartedError as error:
            complain(str(error))
            return _NOT_EXECUTABLE if _exists(request) else _NOT_FOUND
        except (OSError, ValueError) as error:
            complain(explain(error, launch.program, launch.argv, environment))
            return _NOT_EXECUTABLE
        code = _waited_for(process)
    if not request.pre_exec:
        return code
    outcome = note_beside(request.stderr).judged(request, TaskOutcome(ExitReason.EXITED, 0.0, exit_code=code))
    note_beside(request.stderr).remove()
    if outcome.reason is ExitReason.NOT_STARTED:
        complain(outcome.message or "the program was not started")
        return code or _NOT_EXECUTABLE
    return code


def _exists(request: TaskRequest) -> bool:
    name = request.argv[0]
    places = [""] if "/" in name else request.environment.get("PATH", os.defpath).split(os.pathsep)
    return any((request.directory / place / name).is_file() for place in places)


def _waited_for(process: subprocess.Popen[bytes]) -> int:
    """Signals are passed on; Ctrl-C reaches the command directly, as it reaches everything on a terminal."""

    def pass_on(number: int) -> None:
        is_from_terminal = number in (signal.SIGINT, signal.SIGQUIT) and os.isatty(0)
        if not is_from_terminal:
            with suppress(ProcessLookupError):
                process.send_signal(number)

    with handled_by(pass_on):
        code = process.wait()
    return code if code >= 0 else _SIGNALLED - code


# --- the script -----------------------------------------------------------------------------------------------------


def _print_script(info: RunInfo, step: Step, attempt: _Attempt, options: ExecOptions) -> int:
    """A script that does the same, without secrets."""
    own = info.directory.workspace(step.learner.name)
    name = f"rose-exec-{info.directory.path.name}-{step.learner.index}-{step.iteration}-{step.task}"
    scratch = (options.directory or Path(tempfile.gettempdir(), name)).absolute()
    shared = info.directory.workspace(SHARED)
    place = _Place(own, scratch, shared) if options.in_place else _copied(info, step, scratch, options)
    command = _rendered(info, step, attempt, place)
    source, what = _workspace_source(info, step)
    if source is None and not options.in_place:
        message = f"there is no workspace to copy: {quoted_name(step.learner.name)} has not started"
        raise UsageError(message, "omit --print")
    environment = _environment(info, step, command, place.workspace)
    if RESULTS_FILE in environment:  # as the attempt itself got them, if it has started
        recorded = info.directory.log(
            step.learner.name, step.iteration, step.task, step.replica, attempt.number, _RESULTS
        )
        environment[RESULTS_FILE] = str(recorded) if recorded.is_file() else ""
    own_variables = {name: value for name, value in environment.items() if os.environ.get(name) != value}
    shown = replace(command, argv=_words(command, options), environment=own_variables)
    title = f"'{step.task}', iteration {step.iteration} of {quoted_name(step.learner.name)}, run {info.directory.path}"
    copies = [] if options.in_place or source is None else [(source, place.workspace)]
    if copies and place.shared not in (place.workspace, shared) and shared.is_dir():
        copies.append((shared, place.shared))
    write_script(title, shown, place.workspace, copies=copies, what=what)
    return 0
