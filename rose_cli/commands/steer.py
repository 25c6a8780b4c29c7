"""`rose set` and `rose add`: change the plan of a run, whether a session works on it or not."""

from __future__ import annotations

import shlex
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rose_cli.campaign_file import recorded_settings, task_environment
from rose_cli.find_runs import find_own_run, name_of
from rose_cli.integrity import altered, refusal
from rose_cli.journal.file import JournalFile
from rose_cli.journal.state import can_resume
from rose_cli.plan.file import MOST_CAMPAIGN_BYTES, load_plan
from rose_cli.plan.model import Lineage
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.replan.steered import RefusedError, Steering, UnchangedError, apply_at_rest
from rose_cli.replan.words import Words
from rose_cli.run_info import initial_state, read_run
from rose_cli.runs import set_requests
from rose_cli.runs.changes import campaign_has_changed, checksums
from rose_cli.runs.directory import refuse_links
from rose_cli.runs.lock import RunLock, read_owner
from rose_cli.runs.lock_owner import is_alive
from rose_cli.runs.moves import RunLocation
from rose_cli.runs.set_requests import SetRequest
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import CampaignError, ExitCode, RunDirectoryError, RunLockedError
from rose_cli.util.files import read_regular
from rose_cli.util.ownership import restrict_umask, umask_kept
from rose_cli.util.redact import masked_setting, remember
from rose_cli.view.console import notice, say
from rose_cli.view.edits import shortened_list
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rose_cli.campaign_file import Setting
    from rose_cli.run_info import RunInfo
    from rose_cli.runs.directory import RunDirectory

POLL_SECONDS = 0.1

PATIENCE_SECONDS = 60.0
"""How long a session may take to answer: it looks twice a second, and compiles the campaign."""

LOCK_SECONDS = 10.0
"""How long the lock of a run may change hands before this command gives up."""


@dataclass(frozen=True)
class Wanted:
    """What is to change: `settings` as they are recorded, `checked` the same as this terminal checks them."""

    settings: Sequence[Setting] = ()
    checked: Sequence[Setting] = ()
    withdrawn: Sequence[str] = ()
    learners: Sequence[str] = ()

    def request(self, run_id: str, identity: str = "") -> SetRequest:
        sources = tuple(setting.source for setting in self.settings)
        return SetRequest(run_id, sources, tuple(self.withdrawn), tuple(self.learners), identity)


@dataclass(frozen=True)
class SetOptions:
    learners: Sequence[str] = ()
    unset: Sequence[str] = ()
    dry_run: bool = False
    trust: bool = False


def set_values(argument: str | None, words: Sequence[str], options: SetOptions) -> ExitCode:
    """`rose set`: change values of a run; without any, show those that were set."""
    info = _read(argument, "set", trust=options.trust)
    if not words and not options.unset:
        return _show(info)
    known = _words(info)
    settings = known.given(words, options.learners)
    wanted = Wanted(settings, settings, known.withdrawn(options.unset, options.learners))
    return _change(info, wanted, dry_run=options.dry_run)


def add_learners(argument: str | None, file: Path, name: str | None, *, dry_run: bool, trust: bool) -> ExitCode:
    """`rose add`: more learners for a run."""
    info = _read(argument, "add", trust=trust)
    recorded, checked = _words(info).added(file, name)
    names = [str(setting.path[1]) for setting in recorded if len(setting.path) == 2 and setting.path[0] == "learners"]
    try:
        return _change(info, Wanted(recorded, checked, (), names), dry_run=dry_run)
    except CampaignError as error:
        if not file.is_file() or any(each.file != str(file) for each in error.diagnostics):
            raise
        text = read_regular(file, MOST_CAMPAIGN_BYTES).decode("utf-8", "replace")
        raise CampaignError(error.diagnostics, text) from error


def _read(argument: str | None, command: str, *, trust: bool) -> RunInfo:
    restrict_umask()
    info = read_run(find_own_run(argument, command, trust=trust))
    remember(partial(secrets_of_plan, info.plan))
    if info.damage is not None:
        raise info.damage
    if changed := altered(info.state, checksums(info.directory)):
        raise refusal(info.directory, changed)
    return info


def _words(info: RunInfo) -> Words:
    try:
        text = read_regular(info.directory.campaign_copy, MOST_CAMPAIGN_BYTES).decode("utf-8", "replace")
    except OSError as error:
        message = f"cannot read '{short_path(info.directory.campaign_copy)}': {error.strerror}"
        raise RunDirectoryError(message, "edit the campaign file and `rose resume` instead") from error
    settings = recorded_settings(info.plan.lineage or Lineage())
    return Words(text, settings, [learner.name for learner in info.plan.learners])


def _show(info: RunInfo) -> ExitCode:
    settings = (info.plan.lineage or Lineage()).settings
    for source in settings:
        say(masked_setting(source).removeprefix("--set "))
    if not settings:
        notice(f"run {name_of(info.directory)} has no settings of its own: all values are those of its campaign file")
    return ExitCode.OK


def _change(info: RunInfo, wanted: Wanted, *, dry_run: bool) -> ExitCode:
    """Check it here first, so that a mistake is shown at its place and nothing wrong reaches the run."""
    where = RunLocation(info.directory, info.plan, info.state)
    try:
        lines = _checked(where, wanted, is_going=info.alive)
        if dry_run:
            _tell("would be applied", lines)
            return ExitCode.OK
        if campaign_has_changed(info.directory, info.plan):
            file = short_path(Path(info.plan.campaign_file))
            notice(f"'{file}' has changed since this run was started: the next resume applies that")
        applied = _carried_out(info, wanted)
        _tell("applied", applied.lines)
        if applied.rest:
            notice(f"no session works on the run; {applied.rest}")
        return ExitCode.OK
    except UnchangedError as error:
        for line in (error.message, *error.hints):
            notice(line)
        return ExitCode.OK
    except RefusedError as error:
        if error.lines:
            _tell("this cannot be applied", error.lines)
        raise


def values_set(run: Path, words: Sequence[str], learners: Sequence[str], *, trust: bool = False) -> tuple[str, ...]:
    """What `rose set` applies, line by line, for a Python program; nothing if the run has these values already.

    Raises RefusedError, CampaignError and others, as the command does.
    """
    with umask_kept():
        info = _read(str(run), "set", trust=trust)
        settings = _words(info).given(words, learners)
        wanted = Wanted(settings, settings)
        try:
            _checked(RunLocation(info.directory, info.plan, info.state), wanted, is_going=info.alive)
            return tuple(_carried_out(info, wanted).lines)
        except UnchangedError:
            return ()


@dataclass(frozen=True)
class Applied:
    """What was applied, line by line; `rest`: what comes of it if no session works on the run."""

    lines: Sequence[str]
    rest: str = ""


def _checked(where: RunLocation, wanted: Wanted, *, is_going: bool) -> Sequence[str]:
    request = wanted.request(where.state.run_id)
    steering = Steering(where, request, task_environment(), wanted.checked)
    for line in steering.warnings:
        notice(line)
    steered = steering.steered(_under_way(where) if is_going else {}, is_going=is_going)
    return steered.change(where).lines


def _under_way(where: RunLocation) -> Mapping[str, int]:
    """The iterations that learners are in, as far as the journal tells; the session knows better."""
    learners = where.state.learners.values()
    return {each.name: len(each.iterations) for each in learners if each.current is not None and not each.stop_reason}


def _tell(what: str, lines: Sequence[str]) -> None:
    notice(f"{what}:")
    for line in shortened_list(lines):
        notice(f"  {line}")


def _carried_out(info: RunInfo, wanted: Wanted) -> Applied:
    """By the session that works on the run, else by this command: sessions may end and begin meanwhile."""
    directory, request, end = info.directory, "", time.monotonic() + LOCK_SECONDS
    try:
        while True:
            if _may_be_running(directory):
                request = request or _send(info, wanted)
                if (answer := _awaited(directory, request)) is not None:
                    return _told(answer)
            try:
                return _at_rest(directory, wanted, request)
            except RunLockedError:  # by a session that has begun meanwhile, or by a command for a moment
                if time.monotonic() > end and not _may_be_running(directory):
                    raise
            time.sleep(POLL_SECONDS)
    except BaseException:
        if request and set_requests.withdraw(directory.requests, request):
            notice("request withdrawn: no session has seen it")
        raise


# --- a run that is running -----------------------------------------------------------------------------------------


def _send(info: RunInfo, wanted: Wanted) -> str:
    """Ask the session; the id of the request."""
    folder = info.directory.requests
    try:
        return set_requests.send(folder, wanted.request(info.state.run_id))
    except OSError as error:
        raise RunDirectoryError(f"cannot write a request to '{folder}': {error.strerror}") from error


def _told(answer: set_requests.Answer) -> Applied:
    if not answer.is_applied:
        _refuse(answer)
    return Applied(answer.lines)


def _refuse(answer: set_requests.Answer) -> NoReturn:
    if answer.exit_code == ExitCode.OK:
        raise UnchangedError(answer.message, *answer.hints)
    if answer.exit_code == ExitCode.USAGE:
        raise RefusedError(answer.lines, answer.message, *answer.hints)
    raise RunDirectoryError(answer.message, *answer.hints)


def _awaited(directory: RunDirectory, request: str) -> set_requests.Answer | None:
    """The answer of the session; None if it has ended without one. Raises RunDirectoryError if it does not answer."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        still_alive = _may_be_running(directory)  # asked first: a session answers before it ends
        if (answer := set_requests.read_answer(directory.requests, request)) is not None:
            return answer
        if not still_alive:
            return None
        if time.monotonic() > end:
            break
        time.sleep(POLL_SECONDS)
    run, owner = shlex.quote(short_path(directory.path)), read_owner(directory.path)
    host = f" on {owner.host}" if owner is not None else ""
    if set_requests.withdraw(directory.requests, request):
        message = f"the session{host} has not taken the request within {PATIENCE_SECONDS:.0f} s; nothing was applied"
        raise RunDirectoryError(message, f"it may have been killed, or be of an older rose: `rose status {run}`")
    message = f"the session{host} has taken the request, but has not finished within {PATIENCE_SECONDS:.0f} s"
    raise RunDirectoryError(message, f"`rose status {run}` shows the change once it is applied")


def _may_be_running(directory: RunDirectory) -> bool:
    """Whether a session works on the run, or may do so on another host."""
    owner = read_owner(directory.path)
    return owner is not None and is_alive(owner) is not False


# --- a run that is not -----------------------------------------------------------------------------------------------


def _at_rest(directory: RunDirectory, wanted: Wanted, request: str = "") -> Applied:
    """Under the lock of the run. `request`: one that a session got, which may have carried it out before it ended."""
    with RunLock.acquire(directory.path):
        plan = load_plan(directory.plan)
        refuse_links(directory, [learner.name for learner in plan.learners])
        state = initial_state(plan, directory.journal)
        with JournalFile.open(directory.journal, state.apply) as journal:
            try:
                lines = _applied(RunLocation(directory, plan, state), journal, wanted, request)
            finally:
                if request:
                    set_requests.forget(directory.requests, request)
    return Applied(lines, _next_session(directory) if can_resume(state) else "every learner stays stopped")


def _next_session(directory: RunDirectory) -> str:
    """Who continues the run with the change: a job that waits already, or what the user has to call."""
    from rose_cli.view.jobs import jobs_of

    jobs, queue = jobs_of(directory)
    if queue:
        return f"the next one has this, in job {queue[0].job_id}"
    command = "submit" if jobs.submission is not None else "resume"
    return f"the next one has this: `rose {command} {shlex.quote(short_path(directory.path))}`"


def _applied(where: RunLocation, journal: JournalFile, wanted: Wanted, request: str) -> Sequence[str]:
    state = where.state
    if request and state.has_answered(request):
        return [line for _, event in state.plan_changes if request in event.requests for line in event.edits]
    if changed := altered(state, checksums(where.directory)):
        raise refusal(where.directory, changed)
    return apply_at_rest(where, journal, wanted.request(state.run_id, request)).lines
