"""The command line: options in, exit code out, and the one place where errors become messages.

A command is imported only when it is called, so that `rose --help` answers immediately.
"""

from __future__ import annotations

import codecs
import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from rose_cli import COMMAND_NAMES, __version__, options
from rose_cli.options import INSPECT, MACHINE, RECOVER, RUN
from rose_cli.parser import AFTER_DASHES, Command, CommandBeforeDashes, CommandWithSynonyms, Group, only_called
from rose_cli.util.errors import CampaignError, ExitCode, RoseError, RunDirectoryError, ShortageError, UsageError
from rose_cli.util.shortage import shortage
from rose_cli.util.signals import StopRequested, exit_on_signal, raised_stop
from rose_cli.util.streams import discard_output, escape_unencodable, replace_closed_streams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.campaign_file import Setting
    from rose_cli.commands.run import RunOptions
    from rose_cli.commands.status import StatusFormat

app = typer.Typer(
    name="rose",
    cls=Group,
    help="Parallel active learning from one YAML file.",
    epilog="Without RUN, a command means the run that is running here, else the latest; `rose stop` and `rose exec`"
    " refuse to guess between two, `rose resume` takes the latest that can be resumed.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rose {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(cls=Command, rich_help_panel=RUN)
def init(
    directory: options.NewDirectory = Path(),
    template: options.Template = "python",
    show_list: options.ListTemplates = False,
) -> None:
    """Write a small example campaign, ready to run."""
    from rose_cli.commands.init import init as command
    from rose_cli.commands.init import list_templates

    raise typer.Exit(list_templates() if show_list else command(directory, template))


@app.command(cls=Command, rich_help_panel=RUN)
def validate(
    files: options.Files, settings: options.Settings = None, report_format: options.ReportFormat = "text"
) -> None:
    """Check campaign files and report every error. Runs nothing."""
    from rose_cli.campaign_file import parse_setting
    from rose_cli.commands.validate import validate as command

    raise typer.Exit(command(files, [parse_setting(text) for text in settings or ()], report_format))


@app.command("import", cls=Command, rich_help_panel=RUN)
def import_(
    file: options.WorkflowFile, output: options.CampaignOutput = None, force: options.ReplaceFile = False
) -> None:
    """Turn a workflow file of ROSE into a campaign file."""
    from rose_cli.commands.import_spec import import_spec as command

    raise typer.Exit(command(file, output, force=force))


@app.command(cls=Command, rich_help_panel=RUN)
def schema() -> None:
    """Print the JSON Schema of campaign files, for editors."""
    from rose_cli.commands.schema import schema as command

    raise typer.Exit(command())


@app.command(cls=Command, rich_help_panel=RUN)
def plan(
    file: options.FileOrRun,
    learner: options.Learners = None,
    iteration: options.Iterations = None,
    full: options.Full = False,
    settings: options.Settings = None,
    smoke: options.PlanOfSmoke = False,
    summary: options.PlanSummary = False,
    like: options.Like = None,
    no_pager: options.NoPager = False,
    plan_format: options.TextOrJson = "text",
) -> None:
    """Show what each learner would run in each iteration. Runs nothing."""
    from rose_cli.campaign_file import parse_setting
    from rose_cli.commands.plan import PlanOptions, show_plan

    given = [parse_setting(text) for text in settings or ()]
    wanted = PlanOptions(
        given, learner or (), iteration or (), plan_format, smoke, full, not no_pager, summary=summary, like=like
    )
    raise typer.Exit(show_plan(file, wanted))


@app.command(cls=Command, rich_help_panel=RUN)
def run(
    file: options.File,
    engine: options.Engine = None,
    max_iter: options.MaxIter = None,
    learner: options.Learners = None,
    run_dir: options.RunDir = None,
    resume_if_begun: options.ResumeIfBegun = False,
    as_it_was: options.RunAsItWas = False,
    settings: options.Settings = None,
    dry_run: options.DryRun = False,
    smoke: options.Smoke = False,
    require_criterion: options.RequireCriterion = False,
    output: options.Output = "auto",
) -> None:
    """Run a campaign."""
    given = _settings(settings, engine, max_iter)
    if smoke and (run_dir is not None or require_criterion or resume_if_begun):
        last = "--resume-if-begun" if resume_if_begun else "--require-criterion"
        raise UsageError(f"--smoke cannot be combined with --run-dir or {last}", "remove them")
    if as_it_was and not resume_if_begun:
        raise UsageError("--as-it-was needs --resume-if-begun", "add it, or remove --as-it-was")
    if smoke and not dry_run:
        from rose_cli.commands.smoke import smoke as command

        raise typer.Exit(command(file, given, learner or (), output))
    from rose_cli.commands.run import RunOptions

    wanted = RunOptions(given, learner or (), run_dir, output, require_criterion, as_it_was)
    raise typer.Exit((_dry_run if dry_run else _run)(file, wanted, resume_if_begun, smoke))


def _run(file: Path, wanted: RunOptions, resume_if_begun: bool, _: bool) -> ExitCode:
    if resume_if_begun:
        from rose_cli.commands.run_or_resume import run_or_resume

        return run_or_resume(file, wanted)
    from rose_cli.commands.run import run as command

    return command(file, wanted)


def _dry_run(file: Path, wanted: RunOptions, resume_if_begun: bool, smoke: bool) -> ExitCode:
    if resume_if_begun:
        from rose_cli.commands.run_or_resume import preview_run_or_resume

        if (code := preview_run_or_resume(file, wanted)) is not None:
            return code
    from rose_cli.commands.plan import PlanOptions, show_plan

    return show_plan(str(file), PlanOptions(wanted.settings, wanted.learners, smoke=smoke))


@app.command(cls=CommandWithSynonyms, rich_help_panel=RUN)
def submit(
    file: options.FileOrRun,
    time: options.JobTime = None,
    nodes: options.JobNodes = None,
    cores: options.JobCores = None,
    gpus: options.JobGpus = None,
    memory: options.JobMemory = None,
    queue: options.JobQueue = None,
    project: options.JobProject = None,
    reservation: options.JobReservation = None,
    constraint: options.JobConstraint = None,
    attribute: options.JobAttributes = None,
    job_name: options.JobName = None,
    batch_system: options.BatchSystem = "auto",
    jobs: options.MostJobs = None,
    core_hours: options.CoreHours = None,
    in_advance: options.InAdvance = False,
    engine: options.Engine = None,
    max_iter: options.MaxIter = None,
    learner: options.Learners = None,
    run_dir: options.RunDir = None,
    settings: options.Settings = None,
    as_it_was: options.SubmitAsItWas = False,
    dry_run: options.DryRunOfSubmit = False,
    trust: options.TrustToSubmit = False,
    submit_format: options.TextOrJson = "text",
) -> None:
    """Run a campaign in jobs of a batch system, one after the other, until it has finished."""
    from rose_cli.batch.request import RequestOptions
    from rose_cli.commands.submit import SubmitOptions
    from rose_cli.commands.submit import submit as command

    request = RequestOptions(
        time, nodes, cores, gpus, memory, queue, project, reservation, constraint, tuple(attribute or ())
    )
    given = _settings(settings, engine, None)
    raise typer.Exit(
        command(
            file,
            SubmitOptions(
                request, batch_system, given, learner or (), max_iter, as_it_was, run_dir, job_name, jobs, core_hours,
                in_advance, dry_run,
                trust, submit_format,
            ),
        )
    )  # fmt: skip


@app.command(cls=Command, rich_help_panel=RUN)
def stop(
    run_name: options.RunningRun = None, learner: options.StoppedLearner = None, trust: options.TrustToStop = False
) -> None:
    """Ask a running campaign to stop cleanly."""
    from rose_cli.commands.stop import stop as command

    raise typer.Exit(command(run_name, learner, trust=trust))


@app.command("set", cls=Command, rich_help_panel=RUN)
def set_values(
    words: options.SetWords = None,
    learner: options.SetLearners = None,
    unset: options.Unset = None,
    dry_run: options.DryRunOfSet = False,
    trust: options.TrustToSet = False,
) -> None:
    """Change values of a run, also while it runs: from the next iteration of each learner on."""
    from rose_cli.commands.steer import SetOptions
    from rose_cli.commands.steer import set_values as command

    run_name, values = _run_and_values(words or [])
    raise typer.Exit(command(run_name, values, SetOptions(learner or (), unset or (), dry_run, trust)))


@app.command(cls=Command, rich_help_panel=RUN)
def add(
    run_name: options.AddRun,
    file: options.AddFile = None,
    name: options.AddedName = None,
    dry_run: options.DryRunOfSet = False,
    trust: options.TrustToSet = False,
) -> None:
    """Add learners to a run, also while it runs."""
    from rose_cli.commands.steer import add_learners

    run, learners = (None, run_name) if file is None else (run_name, file)
    if file is None and not Path(run_name).suffix and not Path(run_name).is_file():
        raise UsageError("FILE is missing: a YAML file with the new learners", f"rose add {run_name} learner.yaml")
    raise typer.Exit(add_learners(run, Path(learners), name, dry_run=dry_run, trust=trust))


@app.command(cls=Command, rich_help_panel=INSPECT)
def status(
    runs: options.ShownRuns = None,
    watch: options.Watch = False,
    plot: options.Plot = False,
    legend: options.Legend = False,
    results: options.Results = False,
    only_changed: options.OnlyChanged = False,
    all_options: options.AllOptions = False,
    sort: options.SortResults = None,
    metric: options.ShownMetric = None,
    status_format: options.StatusFormat = "text",
) -> None:
    """Show the status of a run, or compare the results of its learners, or several runs."""
    if legend:
        from rose_cli.commands.status import legend as explain

        raise typer.Exit(explain())
    is_about_learners = results or only_changed or all_options or sort is not None
    alone = "--watch" if watch else "--results" if is_about_learners else None
    if is_about_learners and (watch or plot):
        raise UsageError(f"{'--watch' if watch else '--plot'} cannot be combined with --results", "remove one of them")
    if plot and status_format != "text":
        raise UsageError(f"--plot cannot be combined with --format {status_format}", "remove one of them")
    if alone is not None and len(runs or ()) > 1:
        raise UsageError(f"{alone} shows a single run", "name one run, or remove the option to compare them")
    if is_about_learners:
        from rose_cli.commands.results import ResultsOptions
        from rose_cli.commands.results import results as command

        given = ResultsOptions(sort or "best", only_changed, all_options, metric)
        raise typer.Exit(command(runs[0] if runs else None, status_format, given))
    if status_format == "csv":
        raise UsageError("only the results are available as CSV", "add --results, or use `rose export`")
    watch = watch and status_format == "text"
    raise typer.Exit(_status(runs or (), status_format, watch=watch, plot=plot, metric=metric))


def _status(
    runs: Sequence[str], status_format: StatusFormat, *, watch: bool, plot: bool, metric: str | None
) -> ExitCode:
    if len(runs) > 1:
        from rose_cli.commands.compare import compare

        return compare(runs, status_format, plot=plot, metric=metric)
    from rose_cli.commands import status as commands

    run_name = runs[0] if runs else None
    if watch:
        return commands.watch(run_name, plot=plot, metric=metric)
    return commands.status(run_name, status_format, plot=plot, metric=metric)


@app.command(name="list", cls=Command, rich_help_panel=INSPECT)
def list_(
    directory: options.RunsDirectory = Path(), sizes: options.Sizes = False, list_format: options.TextOrJson = "text"
) -> None:
    """List the runs in a directory."""
    from rose_cli.commands.list_runs import list_runs

    raise typer.Exit(list_runs(directory, list_format, sizes=sizes))


@app.command(cls=Command, rich_help_panel=INSPECT)
def logs(
    run_name: options.RunBeforeSteps = None,
    learner: options.OneLearner = None,
    iteration: options.OneIteration = None,
    task: options.OneTask = None,
    failed: options.FailedLogs = False,
    follow: options.Follow = False,
    raw: options.Raw = False,
) -> None:
    """Show the output of tasks."""
    from rose_cli.commands.logs import logs as command

    words = [word for word in (run_name, learner, iteration, task) if word is not None]
    raise typer.Exit(command(words, failed=failed, follow=follow, raw=raw))


@app.command(name="exec", cls=CommandBeforeDashes, rich_help_panel=INSPECT)
def exec_(
    ctx: typer.Context,
    run_name: options.RunBeforeSteps = None,
    learner: options.TaskLearner = None,
    iteration: options.TaskIteration = None,
    task: options.TaskName = None,
    replica: options.Replica = "0",
    shell: options.Shell = False,
    directory: options.InDirectory = None,
    keep: options.Keep = False,
    in_place: options.InPlace = False,
    shared_in_place: options.SharedInPlace = False,
    print_script: options.PrintScript = False,
    trust: options.TrustToExec = False,
) -> None:
    """Rerun one task in its environment, in a copy of its workspace. The run does not change.

    COMMAND, after `--`, replaces the command of the task.
    """
    from rose_cli.commands.exec import ExecOptions, exec_task

    words = [word for word in (run_name, learner, iteration, task) if word is not None]
    given = ExecOptions(
        ctx.meta[AFTER_DASHES], shell, replica, directory, keep, in_place, shared_in_place, print_script, trust
    )
    raise typer.Exit(exec_task(words, given))


@app.command(cls=Command, rich_help_panel=INSPECT)
def path(
    run_name: options.RunBeforeSteps = None,
    learner: options.WorkspaceLearner = None,
    iteration: options.FilesIteration = None,
    best: options.Best = False,
) -> None:
    """Print where a run, a workspace, or the files of an iteration are."""
    from rose_cli.commands.path import path as command

    words = [word for word in (run_name, learner, iteration) if word is not None]
    raise typer.Exit(command(words, best=best))


@app.command(cls=Command, rich_help_panel=INSPECT)
def report(
    runs: options.ShownRuns = None,
    report_format: options.ReportForm = None,
    output: options.ReportOutput = None,
    force: options.ReplaceReport = False,
    watch: options.WatchReport = False,
    metric: options.ShownMetric = None,
    chart: options.ReportChart = None,
    width: options.FigureWidth = None,
    dpi: options.FigureDpi = None,
) -> None:
    """Write a report on a run, or on several to compare them."""
    from rose_cli.commands.report import ReportOptions
    from rose_cli.commands.report import report as command
    from rose_cli.report.forms import Picture

    picture = Picture(chart, width, dpi)
    raise typer.Exit(command(runs or (), ReportOptions(report_format, output, force, watch, picture, metric)))


@app.command(cls=Command, rich_help_panel=INSPECT)
def export(
    run_name: options.RunName = None,
    learner: options.ExportedLearners = None,
    export_format: options.ExportFormat = None,
    output: options.OutputFile = None,
    table: options.ExportedTable = None,
    failures: options.Failures = False,
) -> None:
    """Export a table of a run (iterations, tasks or failures), or the whole run with its provenance."""
    if export_format == "ro-crate":
        if learner or failures or table:
            raise UsageError("an RO-Crate is always of the whole run", "remove --learner, --table and --failures")
        from rose_cli.commands.export_crate import export_crate

        raise typer.Exit(export_crate(run_name, output))
    from rose_cli.commands.export import export as command

    if failures and table not in (None, "failures"):
        raise UsageError(f"--failures and --table {table} exclude each other", "remove one of them")
    shown = "failures" if failures else table or "iterations"
    raise typer.Exit(command(run_name, export_format, output, learners=learner or (), table=shown))


@app.command(cls=Command, rich_help_panel=INSPECT)
def verify(
    run_name: options.RunName = None,
    crate: options.AgainstCrate = None,
    rerun: options.Rerun = False,
    tolerance: options.Tolerance = None,
    learner: options.RerunLearners = None,
    directory: options.RerunIn = None,
    keep: options.KeepRerun = False,
    trust: options.TrustToVerify = False,
    verify_format: options.TextOrJson = "text",
) -> None:
    """Check whether the files of a run have changed; with --rerun, whether it gives the same results again."""
    from rose_cli.commands.verify import VerifyOptions
    from rose_cli.commands.verify import verify as command

    given = VerifyOptions(crate, rerun, tolerance, learner or (), directory, keep, trust, verify_format)
    raise typer.Exit(command(run_name, given))


@app.command(cls=Command, rich_help_panel=INSPECT)
def track(
    run_name: options.RunName = None,
    names: options.Trackers = None,
    settings: options.TrackerSettings = None,
    trust: options.TrustToTrack = False,
) -> None:
    """Send a run to experiment trackers, or what they have missed of it."""
    from rose_cli.commands.track import track as command

    words = [word for word in (run_name, *(names or ())) if word is not None]
    raise typer.Exit(command(words, settings or (), trust=trust))


@app.command(cls=Command, rich_help_panel=RECOVER)
def resume(
    run_name: options.InterruptedRun = None,
    max_iter: options.RaisedMaxIter = None,
    from_iteration: options.FromIteration = None,
    learner: options.ResumedLearners = None,
    settings: options.Settings = None,
    as_it_was: options.AsItWas = False,
    dry_run: options.DryRunOfResume = False,
    steal_lock: options.StealLock = False,
    force: options.Force = False,
    trust: options.TrustToResume = False,
    require_criterion: options.RequireCriterion = False,
    without_decisions: options.WithoutDecisions = False,
    output: options.Output = "auto",
) -> None:
    """Resume an interrupted or failed run, with the current campaign file."""
    from rose_cli.campaign_file import parse_setting
    from rose_cli.commands.resume import ResumeOptions, preview
    from rose_cli.commands.resume import resume as command

    if as_it_was and settings:
        raise UsageError("--as-it-was cannot be combined with --set", "remove one of them")
    changes = [parse_setting(text) for text in settings or ()]
    given = ResumeOptions(
        max_iter, from_iteration, learner or (), output, require_criterion, steal_lock, force, trust, changes,
        as_it_was, without_decisions=without_decisions,
    )  # fmt: skip
    raise typer.Exit(preview(run_name, given) if dry_run else command(run_name, given))


@app.command(cls=Command, rich_help_panel=RECOVER)
def clean(
    runs: options.CleanedRuns = None,
    failed: options.FailedAttempts = False,
    snapshots: options.Snapshots = False,
    keep_logs: options.KeepLogs = None,
    workspaces: options.Workspaces = False,
    whole: options.WholeRuns = False,
    older_than: options.OlderThan = None,
    keep_last: options.KeepLast = None,
    statuses: options.WithStatus = None,
    dry_run: options.DryRunOfClean = False,
    yes: options.Yes = False,
    trust: options.TrustToClean = False,
) -> None:
    """Delete what runs no longer need, or whole runs. Lists it and asks first."""
    from rose_cli.commands.clean import clean as command
    from rose_cli.commands.clean_runs import CleanOptions, RunRule

    given = CleanOptions(keep_logs, workspaces, failed, snapshots, whole, dry_run, yes, trust)
    raise typer.Exit(command(runs or (), given, RunRule(older_than, keep_last, statuses or ())))


@app.command(cls=Command, rich_help_panel=MACHINE)
def doctor(pilot: options.Pilot = False, doctor_format: options.TextOrJson = "text") -> None:
    """Check which engines this machine can run."""
    from rose_cli.commands.doctor import doctor as command

    raise typer.Exit(command(doctor_format, with_pilot=pilot))


def _run_and_values(words: list[str]) -> tuple[str | None, list[str]]:
    """The run, if the first word is none of the values."""
    first = words[0] if words else "="
    is_value = "=" in first and not Path(first).is_dir()
    return (None, words) if is_value else (first, words[1:])


def _settings(settings: list[str] | None, engine: str | None, max_iter: str | None) -> list[Setting]:
    """What the command line overrides in the campaign file."""
    from rose_cli.campaign_file import Setting, parse_setting

    given = [parse_setting(text) for text in settings or ()]
    if engine is not None:
        given.insert(0, Setting(("engine",), engine, f"--engine {engine}"))  # so that `--set engine.…` overrides it
    if max_iter is not None:
        given.append(Setting(("max_iter",), max_iter, f"--max-iter {max_iter}"))
    return given


def main() -> NoReturn:
    """The `rose` command."""
    name = _name_used()
    if os.environ.get(f"_{name.replace('-', '_').upper()}_COMPLETE", "").startswith("complete_"):
        from rose_cli.completion import answer

        line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
        sys.exit(answer(lambda: only_called(line.split()[1:], app)(prog_name=name)))
    replace_closed_streams()
    escape_unencodable()
    code: int = ExitCode.OK
    try:
        code = _call()
    except StopRequested as stopped:
        code = _stopped(stopped)
    except SystemExit as exit_of_typer:
        code = exit_of_typer.code if isinstance(exit_of_typer.code, int) else ExitCode.OK
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the boundary
        code = _stopped(signalled) if (signalled := raised_stop()) else _report(error)
    exit_on_signal(code)
    sys.exit(code)


def _report(error: Exception) -> ExitCode:
    """An error that is neither rose's own nor the machine's is a bug."""
    if isinstance(error, CampaignError):
        return _report_diagnostics(error)
    short = error if isinstance(error, ShortageError) else shortage(error)
    if short is not None:
        _exit_short(short)
    known = error if isinstance(error, RoseError) else _machine_error(error)
    try:
        return _report_known(known) if known else _report_bug(error)
    except MemoryError as late:
        _exit_short(shortage(late) or ShortageError("there is not enough memory"))


def _exit_short(short: ShortageError) -> NoReturn:
    """Exit immediately: the interpreter's own shutdown may need what is missing. The watchdog kills tasks, if any."""
    short.say()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(short.exit_code)


def _stopped(stopped: StopRequested) -> ExitCode:
    if sys.argv[1:2] not in _READERS:
        stopped.say()
    return stopped.exit_code


def _name_used() -> str:
    """The program's name in usage lines and completion: `rose-cli` if it was called that way, since another package
    also installs a `rose`."""
    name = Path(sys.argv[0]).name
    return name if name in COMMAND_NAMES else COMMAND_NAMES[0]


_READERS = (["status"], ["list"], ["logs"], ["export"], ["path"], ["report"])
"""Commands that only show something: when terminated they say nothing, like `tail -f`."""


def _call() -> int:
    """Run the command and flush its output: at interpreter shutdown a full disk would become exit code 120."""
    try:
        return _parsed_and_run()
    except StopRequested:
        discard_output(sys.stdout)  # its reader may have stopped reading
        raise
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:  # `rose plan … | head` has read enough
            discard_output(sys.stdout)
        except OSError:
            discard_output(sys.stdout)
            raise


def _parsed_and_run() -> int:
    """Run the command; what the parser rejects becomes one of rose's own errors."""
    try:
        return only_called(sys.argv[1:], app)(prog_name=_name_used(), standalone_mode=False) or ExitCode.OK
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # type: ignore[attr-defined]
            return ExitCode.USAGE
        from rose_cli.util.usage import usage_error

        raise usage_error(error, typer.main.get_command(app)) from error


def _report_diagnostics(error: CampaignError) -> ExitCode:
    from rose_cli.view.diagnostics import print_diagnostics

    files = [each.file for each in error.diagnostics]
    name = next((file for file in files if not file.startswith("--")), next(iter(files), "campaign file"))
    print_diagnostics(error.diagnostics, error.text or "", name, sys.stderr)
    return error.exit_code


def _report_known(error: RoseError) -> ExitCode:
    try:
        from rose_cli.view.console import complain

        complain(error.message, *error.hints)
    except (MemoryError, ImportError):
        error.say()
    return error.exit_code


_MACHINE_ERRNOS = frozenset(
    (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE,
     errno.EINTR)
)  # fmt: skip
"""Errors of the machine rather than of rose: permissions, limits, and full, broken or remote disks."""


def _machine_error(error: Exception) -> RunDirectoryError | None:
    """The error to report if the machine refused access to a file or space for the output."""
    if isinstance(error, FileNotFoundError) and error.filename is None:  # raised by os.getcwd
        return RunDirectoryError("the current directory no longer exists", "cd to an existing one")
    if isinstance(error, UnicodeEncodeError) and codecs.lookup(error.encoding) == codecs.lookup(
        sys.getfilesystemencoding()
    ):
        message = f"'{error.object}' cannot name a file here: the encoding of this terminal is {error.encoding}"
        return RunDirectoryError(message, "call rose with PYTHONUTF8=1")
    if not isinstance(error, OSError) or error.errno not in _MACHINE_ERRNOS:
        return None
    what = f"use '{os.fsdecode(error.filename)}'" if error.filename else "write the output"
    hint = "check its owner and permissions: ls -l" if error.filename and error.errno == errno.EACCES else None
    return RunDirectoryError(f"cannot {what}: {os.strerror(error.errno).lower()}", hint)


def _report_bug(error: Exception) -> ExitCode:
    import tempfile
    import traceback

    from rose_cli.util.redact import fit_to_show, masked_words
    from rose_cli.view.console import complain

    with tempfile.NamedTemporaryFile(
        "w", prefix="rose-bug-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        arguments = list(masked_words(sys.argv))
        file.write(f"rose {__version__}, Python {sys.version}, {sys.platform}\n{arguments}\n\n")
        file.write(fit_to_show("".join(traceback.format_exception(error))))
    complain(f"this is a bug in rose: {type(error).__name__}: {error}", f"the report is in {file.name}")
    return ExitCode.BUG
