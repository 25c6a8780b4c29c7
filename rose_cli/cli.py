"""The command line: options in, exit code out, and the one place where errors become messages.

Commands are imported when they are called, so that `rose --help` answers at once.
"""

from __future__ import annotations

import codecs
import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, NoReturn, Optional

import typer

from rose_cli import __version__
from rose_cli.util.errors import CampaignError, ExitCode, RoseError, RunDirectoryError, ShortageError, UsageError
from rose_cli.util.shortage import shortage
from rose_cli.util.signals import Stopped, end_with, raised
from rose_cli.util.streams import escape_what_has_no_encoding, give_up, stand_in_for_closed

app = typer.Typer(
    name="rose",
    help="Parallel active learning from one YAML file.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

COMMAND_NAMES = ("rose", "rose-cli")
"""The names that the command is installed under."""

File = Annotated[Path, typer.Argument(metavar="FILE", help="The campaign file.", show_default=False)]
FileOrRun = Annotated[
    str, typer.Argument(metavar="FILE", help="The campaign file; or a run's folder or name.", show_default=False)
]
RunName = Annotated[
    Optional[str],  # noqa: UP045 - typer on Python 3.10 reads this form
    typer.Argument(metavar="RUN", help="A run's folder or name, or a campaign file; default: the latest run here."),
]
NamedRun = Annotated[str, typer.Argument(metavar="RUN", help="A run's folder or name, or a campaign file.")]
Learners = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--learner", metavar="NAME", help="Only this learner; repeatable."),
]
Settings = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Lay a value over the file's; repeatable."),
]
OutputKind = Literal["auto", "live", "plain", "json", "quiet"]
Output = Annotated[
    OutputKind, typer.Option("--output", help="auto: a live table on a terminal, plain lines elsewhere.")
]
RequireCriterion = Annotated[
    bool, typer.Option("--require-criterion", help="Exit 1 unless every learner meets its criterion.")
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Use RUN although others own it or can change it, or its plan was edited: what it runs, it runs as you.",
    ),
]
TextOrJson = Annotated[Literal["text", "json"], typer.Option("--format", help="For people or for programs.")]


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


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it.")] = Path(),
) -> None:
    """Write a small campaign that runs as it is."""
    from rose_cli.commands.init import init as command

    raise typer.Exit(command(folder))


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Campaign files.", show_default=False)],
    report_format: Annotated[
        Literal["text", "json", "github"], typer.Option("--format", help="How to report.")
    ] = "text",
) -> None:
    """Show every mistake in campaign files at once; nothing runs."""
    from rose_cli.commands.validate import validate as command

    raise typer.Exit(command(files, report_format))


@app.command()
def plan(
    file: FileOrRun,
    learner: Learners = None,
    iteration: Annotated[
        Optional[list[int]],  # noqa: UP045
        typer.Option("--iteration", metavar="N", help="Only this iteration; repeatable."),
    ] = None,
    settings: Settings = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="The plan of `rose run --smoke`.")] = False,
    plan_format: TextOrJson = "text",
) -> None:
    """Show what each learner would run at each iteration, by a campaign file or by the plan of a run."""
    from rose_cli.campaign_file import parse_setting
    from rose_cli.commands.plan import PlanOptions, show_plan

    given = [parse_setting(text) for text in settings or ()]
    raise typer.Exit(show_plan(file, PlanOptions(given, learner or (), iteration or (), plan_format, smoke)))


@app.command()
def run(
    file: File,
    engine: Annotated[Optional[str], typer.Option(metavar="KIND", help="The engine: local or radical.pilot.")] = None,  # noqa: UP045
    max_iter: Annotated[Optional[str], typer.Option(metavar="N", help="Iterations per learner.")] = None,  # noqa: UP045
    learner: Learners = None,
    run_dir: Annotated[Optional[Path], typer.Option(metavar="DIR", help="The run directory to make.")] = None,  # noqa: UP045
    settings: Settings = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; run nothing.")] = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="One quick iteration of every learner, then clean up.")
    ] = False,
    require_criterion: RequireCriterion = False,
    output: Output = "auto",
) -> None:
    """Run a campaign."""
    from rose_cli.campaign_file import Setting, parse_setting

    given = [parse_setting(text) for text in settings or ()]
    if engine is not None:
        given.insert(0, Setting(("engine",), engine, f"--engine {engine}"))  # --set engine.… lies over it
    if max_iter is not None:
        given.append(Setting(("max_iter",), max_iter, f"--max-iter {max_iter}"))
    if smoke and (run_dir is not None or require_criterion):
        raise UsageError("--smoke goes with neither --run-dir nor --require-criterion", "leave them out")
    if dry_run:
        from rose_cli.commands.plan import PlanOptions, show_plan

        raise typer.Exit(show_plan(str(file), PlanOptions(given, learner or (), smoke=smoke)))
    if smoke:
        from rose_cli.commands.smoke import smoke as command

        raise typer.Exit(command(file, given, learner or (), output))
    from rose_cli.commands.run import RunOptions
    from rose_cli.commands.run import run as command_run

    raise typer.Exit(command_run(file, RunOptions(given, learner or (), run_dir, output, require_criterion)))


@app.command()
def resume(
    run_name: RunName = None,
    max_iter: Annotated[Optional[int], typer.Option(metavar="N", min=1, help="Extend to N iterations.")] = None,  # noqa: UP045
    from_iteration: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(metavar="N", min=0, help="Go back to iteration N."),
    ] = None,
    learner: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="NAME", help="Of those that have stopped, take up only this one; repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is kept and what runs again.")] = False,
    steal_lock: Annotated[
        bool, typer.Option("--steal-lock", help="Take the run over although another host seems to hold it.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Continue even if a pilot may be at work elsewhere or a workspace has lost files."
        ),
    ] = False,
    trust: Trust = False,
    require_criterion: RequireCriterion = False,
    output: Output = "auto",
) -> None:
    """Continue an interrupted or failed run."""
    from rose_cli.commands.resume import ResumeOptions, explain
    from rose_cli.commands.resume import resume as command

    options = ResumeOptions(
        max_iter, from_iteration, learner or (), output, require_criterion, steal_lock, force, trust
    )
    raise typer.Exit(explain(run_name, options) if dry_run else command(run_name, options))


@app.command()
def status(
    run_name: RunName = None,
    watch: Annotated[bool, typer.Option("--watch", help="Redraw until the run has ended.")] = False,
    status_format: TextOrJson = "text",
) -> None:
    """Show the table of a run, whether it is running, was interrupted or has finished."""
    from rose_cli.commands import status as commands

    raise typer.Exit(
        commands.watch(run_name) if watch and status_format == "text" else commands.status(run_name, status_format)
    )


@app.command(name="list")
def list_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the campaigns.")] = Path(),
    list_format: TextOrJson = "text",
) -> None:
    """List the runs of a folder."""
    from rose_cli.commands.list_runs import list_runs

    raise typer.Exit(list_runs(folder, list_format))


@app.command()
def logs(
    run_name: NamedRun,
    learner: Annotated[Optional[str], typer.Argument(metavar="LEARNER", help="Only this learner.")] = None,  # noqa: UP045
    iteration: Annotated[Optional[int], typer.Argument(metavar="ITERATION", help="Only this one.")] = None,  # noqa: UP045
    task: Annotated[Optional[str], typer.Argument(metavar="TASK", help="Only this task.")] = None,  # noqa: UP045
    failed: Annotated[bool, typer.Option("--failed", help="Only attempts that failed.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Keep printing until the run has ended.")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Also on a terminal byte by byte, control sequences included.")
    ] = False,
) -> None:
    """Show what tasks printed."""
    from rose_cli.commands.logs import Wanted
    from rose_cli.commands.logs import logs as command

    raise typer.Exit(command(run_name, Wanted(learner, iteration, task, failed), follow=follow, raw=raw))


@app.command()
def export(
    run_name: RunName = None,
    export_format: Annotated[Literal["csv", "jsonl"], typer.Option("--format", help="CSV or JSON Lines.")] = "csv",
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", metavar="FILE", help="Default: standard output."),
    ] = None,
) -> None:
    """Export the iterations of a run."""
    from rose_cli.commands.export import export as command

    raise typer.Exit(command(run_name, export_format, output))


@app.command()
def stop(
    run_name: NamedRun,
    learner: Annotated[Optional[str], typer.Option(metavar="NAME", help="Only this learner.")] = None,  # noqa: UP045
    trust: Trust = False,
) -> None:
    """Ask a running campaign, from another terminal, to stop cleanly."""
    from rose_cli.commands.stop import stop as command

    raise typer.Exit(command(run_name, learner, trust=trust))


@app.command()
def clean(
    run_name: NamedRun,
    keep_logs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(metavar="N", min=0, help="Also old logs: keep those of each learner's last N iterations."),
    ] = None,
    workspaces: Annotated[
        bool, typer.Option("--workspaces", help="Also workspaces of learners that are done; these cannot be extended.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove it without a question.")] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Clean RUN although others own it or can change it.")] = False,
) -> None:
    """Free the space that a run no longer needs. Shows what would be removed, and asks."""
    from rose_cli.commands.clean import CleanOptions
    from rose_cli.commands.clean import clean as command

    raise typer.Exit(command(run_name, CleanOptions(keep_logs, workspaces, dry_run, yes, trust)))


@app.command()
def doctor(
    pilot: Annotated[bool, typer.Option("--pilot", help="Start a pilot on this machine and run a task on it.")] = False,
    doctor_format: TextOrJson = "text",
) -> None:
    """Tell whether this machine can run each engine."""
    from rose_cli.commands.doctor import doctor as command

    raise typer.Exit(command(doctor_format, with_pilot=pilot))


def main() -> NoReturn:
    """The `rose` command. What is wrong with the command line itself, typer has said and ended in exit code 2."""
    stand_in_for_closed()
    escape_what_has_no_encoding()
    code: int = ExitCode.OK
    try:
        _call()
    except Stopped as stopped:
        code = _stopped(stopped)
    except SystemExit as ended:  # of typer
        code = ended.code if isinstance(ended.code, int) else ExitCode.OK
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the boundary
        code = _stopped(lost) if (lost := raised()) else _tell(error)
    end_with(code)
    sys.exit(code)


def _tell(error: Exception) -> ExitCode:
    """Anything that is neither an error of rose's own nor the machine's is a bug."""
    if isinstance(error, CampaignError):
        return _show_mistakes(error)
    short = error if isinstance(error, ShortageError) else shortage(error)
    if short is not None:
        _leave(short)
    known = error if isinstance(error, RoseError) else _refusal(error)
    try:
        return _say(known) if known else _report_bug(error)
    except MemoryError as late:
        _leave(shortage(late) or ShortageError("there is not enough memory"))


def _leave(short: ShortageError) -> NoReturn:
    """At once: what the interpreter does at its end may need what is not there. The watchdog ends tasks, if need be."""
    short.say()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(short.exit_code)


def _stopped(stopped: Stopped) -> ExitCode:
    if sys.argv[1:2] not in _READERS:
        stopped.say()
    return stopped.stop_code


def _name_used() -> str:
    """How usage lines and completion call the program: `rose-cli` where it was called so, for another package installs
    a `rose` too."""
    name = Path(sys.argv[0]).name
    return name if name in COMMAND_NAMES else COMMAND_NAMES[0]


_READERS = (["status"], ["list"], ["logs"], ["export"])
"""Commands that only show something: one that is ended has nothing to say, as with `tail -f`."""


def _call() -> None:
    """Run the command, and have its output written: at the interpreter's end a full disk would be told as exit 120."""
    try:
        app(prog_name=_name_used())
    except Stopped:
        give_up(sys.stdout)  # whoever reads it may have stopped reading
        raise
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:  # `rose plan … | head` has read enough
            give_up(sys.stdout)
        except OSError:
            give_up(sys.stdout)
            raise


def _show_mistakes(error: CampaignError) -> ExitCode:
    from rose_cli.view.diagnostics import print_diagnostics

    name = error.diagnostics[0].file if error.diagnostics else "campaign file"
    print_diagnostics(error.diagnostics, error.text or "", name, sys.stderr)
    return error.exit_code


def _say(error: RoseError) -> ExitCode:
    try:
        from rose_cli.view.console import complain

        complain(error.message, error.hint)
    except (MemoryError, ImportError):
        error.say()
    return error.exit_code


_REFUSALS = frozenset(
    (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE,
     errno.EINTR)
)  # fmt: skip
"""What a machine may answer without a mistake in rose: rights, bounds, full, broken and far-away disks."""


def _refusal(error: Exception) -> RunDirectoryError | None:
    """What there is to say where the machine refused a file, or room for the output."""
    if isinstance(error, FileNotFoundError) and error.filename is None:  # out of os.getcwd
        return RunDirectoryError("the folder that rose was called in is gone", "change to one that is there")
    if isinstance(error, UnicodeEncodeError) and codecs.lookup(error.encoding) == codecs.lookup(
        sys.getfilesystemencoding()
    ):
        message = f"'{error.object}' cannot name a file here: the encoding of this terminal is {error.encoding}"
        return RunDirectoryError(message, "call rose with PYTHONUTF8=1")
    if not isinstance(error, OSError) or error.errno not in _REFUSALS:
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
