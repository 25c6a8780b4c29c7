"""`rose submit`: run a campaign, or continue a run, in jobs of a batch system that follow each other."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rose_cli.batch import chain
from rose_cli.batch.queue import queue_size, queued_jobs
from rose_cli.batch.records import Edits, JobFiles, Submission, job_name
from rose_cli.batch.request import SYSTEMS, Defaults, RequestOptions, job_request
from rose_cli.batch.systems import BatchSystem, find_system
from rose_cli.campaign_file import (
    CheckedCampaign,
    Setting,
    Target,
    check_campaign,
    mention_settings,
    only_learners,
    task_environment,
)
from rose_cli.commands.in_job import place_of
from rose_cli.commands.resume import ResumeOptions, announce
from rose_cli.engine.base import Capacity, NodeCapacity
from rose_cli.engine.slurm.allocation import capacity_of
from rose_cli.find_runs import find_own_run, name_of
from rose_cli.new_run import begin, new_run_directory
from rose_cli.plan.file import load_plan
from rose_cli.plan.model import Lineage
from rose_cli.run_info import read_run
from rose_cli.runs.changes import campaign_has_changed
from rose_cli.runs.directory import RunDirectory, forget_latest
from rose_cli.runs.listing import is_run, runs_of
from rose_cli.runs.lock import RunLock
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import (
    CampaignError,
    Diagnostic,
    EngineError,
    ExitCode,
    RoseError,
    RunDirectoryError,
    UsageError,
)
from rose_cli.util.files import OpenDirectory
from rose_cli.util.json_output import iso_time, write_json
from rose_cli.util.text import counted, did_you_mean, listed, quoted
from rose_cli.util.trees import remove_entry
from rose_cli.view.console import notice, say
from rose_cli.view.jobs import budget_words, job_line
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rose_cli.batch.queue import Queue
    from rose_cli.batch.records import JobsOfRun
    from rose_cli.batch.request import JobRequest
    from rose_cli.plan.model import Plan
    from rose_cli.run_info import RunInfo

MOST_JOBS = 10
"""The bound on the jobs of a submission, if the user sets none."""


@dataclass(frozen=True)
class SubmitOptions:
    """`request`: what each job requests. `jobs`, `core_hours`: the bounds on all jobs together.

    `at_once`: how many jobs are submitted now, where nodes cannot submit any.
    """

    request: RequestOptions
    system: str = "auto"
    settings: Sequence[Setting] = ()
    learners: Sequence[str] = ()
    max_iter: str | None = None
    as_it_was: bool = False
    run_directory: Path | None = None
    job_name: str | None = None
    jobs: int | None = None
    core_hours: float | None = None
    in_advance: bool = False
    dry_run: bool = False
    trust: bool = False
    output_format: Literal["text", "json"] = "text"


def submit(argument: str, options: SubmitOptions) -> ExitCode:
    path = Path(argument)
    if path.is_file():
        if options.as_it_was:
            raise UsageError("--as-it-was is for runs that exist", "remove it")
        given = [*options.settings, *filter(None, [_bound(options.max_iter)])]
        return _submit_campaign(path, replace(options, settings=given))
    if path.suffix in (".yaml", ".yml") and not path.exists():
        there = sorted(each.name for each in Path().glob("*.y*ml"))
        raise UsageError(f"there is no file '{argument}'", did_you_mean(argument, there) or "give a campaign file")
    return _submit_run(argument, options)


def _bound(text: str | None) -> Setting | None:
    return None if text is None else Setting(("max_iter",), text, f"--max-iter {text}")


# --- a new run -------------------------------------------------------------------------------------------------------


def _submit_campaign(file: Path, options: SubmitOptions) -> ExitCode:
    if options.run_directory is not None and is_run(options.run_directory):
        run = shlex.quote(str(options.run_directory))
        raise RunDirectoryError(f"'{options.run_directory}' is a run already", f"continue it: rose submit {run}")
    name = find_system(options.system)
    environment = {name: text for name, text in task_environment().items() if not name.endswith("_VISIBLE_DEVICES")}
    plan, checked, request = _checked(file, environment, options, name)
    system = BatchSystem.load(name)
    lineage = Lineage(tuple(setting.source for setting in options.settings), tuple(options.learners))
    plan = replace(only_learners(plan, options.learners), lineage=lineage)
    mentioned = mention_settings(file, environment, options.settings, checked)
    if count := sum(each not in mentioned for each in checked.diagnostics):
        notice(f"{counted(count, 'warning')} in '{file}': see rose validate {shlex.quote(str(file))}")
    wanted = options.run_directory or Path(plan.campaign_dir) / "rose-runs" / "NEW-RUN"
    place = place_of(RunDirectory.at(wanted), plan)
    place.check()
    if options.dry_run:
        submission = _submission(place, plan.campaign, request, options, system)
        sys.stdout.write(chain.script(system, submission, place))
        return ExitCode.OK
    others = _queued_runs(file)
    directory = new_run_directory(plan, file, options.run_directory)
    with RunLock.acquire(directory.path):
        begin(directory, plan, checked.text, environment, "quiet").journal.close()
    place = place_of(directory, plan)
    submission = _submission(place, plan.campaign, request, options, system)
    try:
        new = _start(submission, place, options)
    except EngineError:
        if not place.files.read().records:  # nothing can have been submitted
            _discard(directory)
        raise
    code = _report(directory, submission, new, options)
    if others:
        notice(f"other runs of this campaign are queued or running: {listed(others, 3)}; `rose stop RUN` ends one")
    return code


def _discard(directory: RunDirectory) -> None:
    """Remove the run that was created for jobs that the batch system refused."""
    parent, name = directory.path.parent, directory.path.name
    with OpenDirectory.at(parent, inside=parent) as opened:
        for _ in remove_entry(opened, name):
            pass
    forget_latest(parent, name, next((each.path.name for each in runs_of(parent)), None))


def _queued_runs(file: Path) -> list[str]:
    """The runs of this campaign file on which jobs are to work."""
    found = []
    for directory in runs_of(file.parent):
        jobs = JobFiles(directory.path / "jobs").read()
        if jobs.submission is not None and jobs.ended is None and queued_jobs(jobs):
            with suppress(RoseError, OSError):  # a run that is damaged keeps nobody from submitting another one
                plan = load_plan(directory.plan)
                if Path(plan.campaign_file).resolve() == file.resolve():
                    found.append(name_of(directory))
    return found


def _checked(
    file: Path, environment: Mapping[str, str], options: SubmitOptions, system: str
) -> tuple[Plan, CheckedCampaign, JobRequest]:
    """The plan, checked for the nodes of the job, and the request. Raises CampaignError with all that is wrong."""
    given = options.request
    checked = check_campaign(
        file, environment, options.settings, Target(Capacity(_UNKNOWN), Target.this({}).find_labels)
    )
    # what the jobs request may be in the file: if it has errors, nobody can say that something is missing
    defaults = _defaults(checked.plan) if checked.plan is not None else Defaults(minutes=1)
    request, problems = job_request(given, defaults, system)
    if request is not None:
        queue = _queue_of(request, system)
        checked = check_campaign(file, environment, options.settings, _target(request, queue))
        problems += _too_much(request, queue)
        if checked.plan is not None:
            problems += _misfits(checked.plan, request)
    problems += _bound_problems(options, request)
    if problems or checked.plan is None or request is None:
        raise CampaignError([*checked.diagnostics, *problems], checked.text)
    return checked.plan, checked, request


def _defaults(plan: Plan | None) -> Defaults:
    """What the campaign file says of the jobs: with `engine: {kind: slurm}`, its nodes, runtime, queue and project."""
    slurm = plan.engine.slurm if plan is not None else None
    if slurm is None:
        return Defaults()
    return Defaults(slurm.runtime_minutes, slurm.nodes, slurm.queue, slurm.project)


_UNKNOWN = 1_000_000
"""Cores of a node of which nothing is known: then no task is too big."""


def _target(request: JobRequest, queue: Queue | None) -> Target:
    """The machine that the campaign is checked against: the nodes of the job, as large as the largest of the queue."""
    cores = request.cores or (queue.cores if queue is not None else _UNKNOWN)
    memory = request.memory_mb or (queue.memory_mb if queue is not None else None)
    names = (f"node-{number}" for number in range(request.nodes))
    nodes = tuple(NodeCapacity(name, cores, request.gpus, memory) for name in names)
    return Target(capacity_of(nodes) or Capacity(cores), Target.this({}).find_labels)


def _queue_of(request: JobRequest, system: str) -> Queue | None:
    """The nodes that a job can get, if Slurm tells: an option of Slurm's own may choose others."""
    is_known = system == "slurm" and not {"partition", "p", "clusters", "M"} & dict(request.attributes).keys()
    return queue_size(request.queue) if is_known else None


def _too_much(request: JobRequest, queue: Queue | None) -> list[Diagnostic]:
    """What no job in the queue can ever get: Slurm may accept such a job, and let it wait for ever."""
    if queue is None:
        return []
    wanted = [
        ("--nodes", request.nodes, queue.nodes, f"it has {counted(queue.nodes, 'node')}"),
        ("--cores", request.cores, queue.cores, f"no node of it has more than {counted(queue.cores, 'core')}"),
        ("--memory", request.memory_mb, queue.memory_mb, f"no node of it has more than {queue.memory_mb} MB"),
    ]
    small, hint = f"queue '{queue.name}' is too small", "request less, or choose another --queue"
    return [
        Diagnostic("out-of-range", f"{small}: {why}", hint=hint, file=f"{option} {count}")
        for option, count, most, why in wanted
        if count is not None and most is not None and count > most
    ]


def _misfits(plan: Plan, request: JobRequest) -> list[Diagnostic]:
    """Where the engine of the campaign and the request contradict each other."""
    found = []
    kind, engine = plan.engine.kind, plan.engine
    if kind == "local" and request.nodes > 1:
        message = f"the local engine runs tasks on one node, and the job has {request.nodes}"
        hint = "add --engine slurm, to run tasks on all nodes, or request one node"
        found.append(Diagnostic("wrong-value", message, hint=hint, file=f"--nodes {request.nodes}"))
    gpus = len(engine.gpus) if isinstance(engine.gpus, tuple) else engine.gpus or 0
    if kind == "local" and gpus > request.gpus:
        message = f"the engine uses {counted(gpus, 'GPU')}, and the job requests {request.gpus or 'none'}"
        found.append(Diagnostic("wrong-value", message, hint=f"add --gpus {gpus}", file=f"--gpus {request.gpus}"))
    if engine.pilot is not None and engine.pilot.access_schema != "interactive":
        message = "a pilot is a separate job: rose would wait for it inside this one"
        hint = "use engine: {kind: slurm}, or access_schema: interactive, or start it on a login node with `rose run`"
        found.append(Diagnostic("wrong-value", message, hint=hint, file="--engine radical.pilot"))
    return found


def _bound_problems(options: SubmitOptions, request: JobRequest | None) -> list[Diagnostic]:
    if options.core_hours is None or request is None:
        return []
    at = f"--core-hours {options.core_hours:g}"
    if request.hours is None:
        hint = "add --cores with the cores of a node"
        return [Diagnostic("missing-key", "the cores of whole nodes are not known", hint=hint, file=at)]
    if request.hours > options.core_hours:
        message = f"one job can use {request.hours:.3g} core-hours already"
        return [Diagnostic("out-of-range", message, hint="request less time or fewer cores, or allow more", file=at)]
    return []


# --- a run that exists -----------------------------------------------------------------------------------------------


def _submit_run(argument: str, options: SubmitOptions) -> ExitCode:
    """Continue a run in jobs: one that was interrupted, that is extended, or whose jobs have used up their bound."""
    if options.learners or options.run_directory is not None:
        raise UsageError("--learner and --run-dir are for new runs", "submit the campaign file for a new run")
    directory = find_own_run(argument, "submit", trust=options.trust)
    info = read_run(directory)
    place, run = place_of(directory, info.plan), shlex.quote(short_path(directory.path))
    place.check()
    old = _without_jobs(place).submission
    if info.alive:
        raise RunDirectoryError(f"{name_of(directory)} is running", f"stop it with `rose stop {run}`")
    if info.damage is not None:
        raise info.damage
    plan, edits = _edited(info, options)
    system = BatchSystem.load(find_system(old.system if old and options.system == "auto" else options.system))
    is_same = old is not None and old.system == system.name
    defaults = replace(_defaults(plan), request=old.request if old is not None and is_same else None)
    request, problems = job_request(options.request, defaults, system.name)
    problems += _bound_problems(options, request) + (_misfits(plan, request) if request else [])
    problems += _too_much(request, _queue_of(request, system.name)) if request else []
    if problems or request is None:
        raise CampaignError(problems, None)
    name = old.name.rpartition("-")[0] if old is not None else info.plan.campaign
    sessions = 0 if info.state.session is None else info.state.session.number
    submission = replace(_submission(place, name, request, options, system), edits=edits, after_session=sessions)
    if options.dry_run:
        sys.stdout.write(chain.script(system, submission, place))
        return ExitCode.OK
    return _report(directory, submission, _start(submission, place, options), options)


def _edited(info: RunInfo, options: SubmitOptions) -> tuple[Plan, Edits | None]:
    """The plan that the first job gives the run, and what it applies. Raises RoseError if nothing continues."""
    run, most = shlex.quote(short_path(info.directory.path)), options.max_iter
    if most is not None and not (most.isdecimal() and 0 < int(most) < 10**9):
        raise UsageError(f"--max-iter takes a number from 1, not {quoted(most)}")
    if options.as_it_was and options.settings:
        raise UsageError("--as-it-was cannot be combined with --set and --engine", "remove one of them")
    count = None if most is None else int(most)
    wanted = ResumeOptions(max_iter=count, settings=options.settings, as_it_was=options.as_it_was, trust=options.trust)
    plan = announce(info, wanted)
    if plan is None:
        raise UsageError(f"{name_of(info.directory)} has finished", f"extend it: rose submit {run} --max-iter N")
    has_edits = options.settings or count is not None or campaign_has_changed(info.directory, info.plan)
    if (options.as_it_was and count is None) or not has_edits:
        return plan, None
    return plan, Edits(tuple(setting.source for setting in options.settings), count, options.as_it_was)


def _submission(
    place: chain.Place, name: str, request: JobRequest, options: SubmitOptions, system: BatchSystem
) -> Submission:
    """`name`: how the names of the jobs begin, unless the user chooses another one."""
    slug = re.sub(r"[^A-Za-z0-9_.+-]+", "-", options.job_name or name).strip("-.")[:40] or "rose"
    run = os.path.realpath(place.run)
    jobs = options.jobs or MOST_JOBS
    if not system.can_wait and jobs > 1:
        if options.jobs is not None:
            notice(f"{system.words} gets one job at a time: `rose submit` the run again when it has ended")
        jobs = 1
    return Submission(
        system.name, job_name(slug, run), request, jobs, time.time(), core_hours=options.core_hours, run=run
    )


def _start(submission: Submission, place: chain.Place, options: SubmitOptions) -> list[str]:
    """Write down what was requested, then submit the first jobs, unless somebody else has done so meanwhile."""
    try:
        with place.files.submitting():
            before = _without_jobs(place)
            place.files.submit(replace(submission, first=before.next_number))
            try:
                return chain.extend(place, most=submission.most_jobs if options.in_advance else chain.AHEAD)
            except EngineError:
                if before.submission is not None and place.files.read().records == before.records:
                    _restore(place.files, before.submission, before)
                raise
    except OSError as error:
        raise RunDirectoryError(f"cannot write to '{place.files.path}': {error.strerror}") from error


def _restore(files: JobFiles, submission: Submission, before: JobsOfRun) -> None:
    """The submission of before, since no job was accepted: the next one must not take over a request that fails."""
    with suppress(OSError):
        files.submit(submission)
        if before.ended is not None:
            files.end(before.ended)
        if before.problem is not None:
            files.complain(before.problem)


def _without_jobs(place: chain.Place) -> JobsOfRun:
    """What the files of the jobs say. Raises RoseError if jobs of the run wait or run, or may do so."""
    jobs = place.files.read()
    queue = queued_jobs(jobs)
    if queue is None:
        raise EngineError("the batch system cannot be asked whether jobs of this run are queued", "try again later")
    if queue:
        ids, run = listed([job.job_id for job in queue], 3), shlex.quote(short_path(place.run))
        message = f"{name_of(RunDirectory.at(place.run))} has {counted(len(queue), 'job')} already: {ids}"
        raise RunDirectoryError(message, f"see `rose status {run}`, or cancel them with `rose stop {run}`")
    return jobs


def _report(directory: RunDirectory, submission: Submission, new: Sequence[str], options: SubmitOptions) -> ExitCode:
    place = JobFiles(directory.path / "jobs")
    run, jobs = shlex.quote(short_path(directory.path)), place.read()
    queue = queued_jobs(jobs) or []
    if options.output_format == "json":
        write_json(
            {
                "run": str(directory.path),
                "batch_system": submission.system,
                "job_name": submission.name,
                "job_ids": list(new),
                "script": str(place.path / "job.sh"),
                "most_jobs": submission.most_jobs,
                "core_hours": submission.core_hours,
                "submitted": iso_time(submission.time),
                "request": _request_object(submission.request),
            }
        )
        return ExitCode.OK
    system = SYSTEMS[submission.system]
    others = f", and {listed(new[1:], 3)} to continue the run after it" if new[1:] else ""
    say(f"submitted job {new[0] if new else '?'} to {system}{others}")
    for job in queue[:1]:
        say(f"  {job_line(job, jobs)}")
    say(f"  budget  {budget_words(submission)}")
    say(f"  run     {short_path(directory.path)}")
    say(f"  next    rose status {run}, or rose stop {run}")
    return ExitCode.OK


def _request_object(request: JobRequest) -> dict[str, Any]:
    return {
        "minutes": request.minutes,
        "nodes": request.nodes,
        "cores_per_node": request.cores,
        "gpus_per_node": request.gpus,
        "memory_mb_per_node": request.memory_mb,
        "queue": request.queue,
        "project": request.project,
    }
