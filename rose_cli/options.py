"""The arguments and options of the commands, as typer reads them.

typer on Python 3.10 reads `Optional[str]`, not `str | None`.
"""

# ruff: noqa: UP045

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer
from typer.core import TyperArgument

if TYPE_CHECKING:
    from collections.abc import Callable

RUN, INSPECT, RECOVER, MACHINE = "Run", "Inspect", "Recover", "Machine"
"""The panels of commands in the help."""

_JOB, _MORE_JOBS = "What each job requests", "The jobs"

_CHANGE, _TRY, _WHAT, _OVERRIDE = "Change the campaign", "Try it first", "What to resume", "Override a safeguard"
_DELETE, _WHICH = "What to delete (default: what no resume needs)", "Which runs, by a rule instead of names"
_RESULTS = "Compare learners"
_FIGURE = "One chart (needs matplotlib)"
"""The panels of options in the help."""


def _offers(kind: str) -> Callable[[typer.Context, str], list[str]]:
    """Completion of a value in a shell; `completion.py` is loaded only then."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        from rose_cli.completion import offers

        # typer leaves all arguments in `args` while the value of an option is missing
        names = [str(param.name) for param in ctx.command.params if isinstance(param, TyperArgument)]
        return offers(kind, {**ctx.params, **dict(zip(names, ctx.args, strict=False))}, incomplete)

    return complete


# --- arguments -------------------------------------------------------------------------------------------------------

_RUN_HELP = "Run directory, run name or campaign file."

File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="Campaign file.", show_default=False, autocompletion=_offers("campaign file")),
]
Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE", help="Campaign files.", show_default=False, autocompletion=_offers("campaign file")),
]
FileOrRun = Annotated[
    str,
    typer.Argument(
        metavar="FILE|RUN",
        help="Campaign file, run directory or run name.",
        show_default=False,
        autocompletion=_offers("file or run"),
    ),
]


def _run(default: str, offered: str = "run") -> Any:  # noqa: ANN401 - as typer.Argument
    return typer.Argument(metavar="RUN", help=f"{_RUN_HELP} Default: {default}.", autocompletion=_offers(offered))


RunName = Annotated[Optional[str], _run("the run that is running, else the latest here")]
ShownRuns = Annotated[
    Optional[list[str]],
    typer.Argument(
        metavar="RUN",
        help=f"{_RUN_HELP} Several are compared. Default: the run that is running, else the latest here.",
        autocompletion=_offers("run"),
    ),
]
RunBeforeSteps = Annotated[Optional[str], _run("the run that is running, else the latest here", "step")]
RunningRun = Annotated[Optional[str], _run("the only run that is running here", "running run")]
InterruptedRun = Annotated[Optional[str], _run("the latest run here that can be resumed")]
WorkflowFile = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="Workflow file of ROSE; - is standard input.",
        show_default=False,
        autocompletion=_offers("campaign file"),
    ),
]
CampaignOutput = Annotated[
    Optional[Path],
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Campaign file to write; - is standard output. Default: campaign.yaml beside FILE.",
        show_default=False,
    ),
]
NewDirectory = Annotated[Path, typer.Argument(metavar="DIR", help="Directory to write to, created if missing.")]
TemplateName = Literal["python", "committee", "functions", "mpi", "reinforcement-learning", "shell"]
Template = Annotated[TemplateName, typer.Option("--template", metavar="NAME", help="Kind of campaign; see --list.")]
ListTemplates = Annotated[bool, typer.Option("--list", help="List the templates and write nothing.")]
RunsDirectory = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the campaigns.")]
WorkspaceLearner = Annotated[
    Optional[str], typer.Argument(metavar="LEARNER", help="Print its workspace.", autocompletion=_offers("step"))
]
FilesIteration = Annotated[
    Optional[str],
    typer.Argument(
        metavar="ITERATION", help="Print the files that this iteration has left.", autocompletion=_offers("step")
    ),
]
OneLearner = Annotated[
    Optional[str], typer.Argument(metavar="LEARNER", help="Only this learner.", autocompletion=_offers("step"))
]
OneIteration = Annotated[
    Optional[str], typer.Argument(metavar="ITERATION", help="Only this iteration.", autocompletion=_offers("step"))
]
OneTask = Annotated[
    Optional[str], typer.Argument(metavar="TASK", help="Only this task.", autocompletion=_offers("step"))
]


TaskLearner = Annotated[
    Optional[str],
    typer.Argument(
        metavar="LEARNER", help="Learner; may be omitted if there is only one.", autocompletion=_offers("step")
    ),
]
TaskIteration = Annotated[
    Optional[str],
    typer.Argument(
        metavar="ITERATION", help="An iteration that has run, or the next one.", autocompletion=_offers("step")
    ),
]
TaskName = Annotated[
    Optional[str], typer.Argument(metavar="TASK", help="Task, or `criterion`.", autocompletion=_offers("step"))
]
Replica = Annotated[str, typer.Option("--replica", metavar="REPLICA", help="Replica of the task: number or name.")]
Shell = Annotated[bool, typer.Option("--shell", help="Start a shell instead of the task's command.")]
InDirectory = Annotated[
    Optional[Path], typer.Option("--in", metavar="DIR", help="New directory for the copy of the workspace; it is kept.")
]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the temporary copy of the workspace.")]
InPlace = Annotated[bool, typer.Option("--in-place", help="Use the workspace itself, not a copy.")]
SharedInPlace = Annotated[
    bool, typer.Option("--shared-in-place", help="Use the shared directory itself, and a copy of the workspace only.")
]
PrintScript = Annotated[bool, typer.Option("--print", help="Print a script that does the same, without secrets.")]
Rerun = Annotated[bool, typer.Option("--rerun", help="Also run it again and compare the history, value by value.")]
Tolerance = Annotated[
    Optional[str],
    typer.Option("--tolerance", metavar="X", help="With --rerun, accept numbers that differ by this share: 1e-9."),
]
AgainstCrate = Annotated[
    Optional[Path], typer.Option("--crate", metavar="PATH", help="Also compare with the checksums of this RO-Crate.")
]
RerunLearners = Annotated[
    Optional[list[str]],
    typer.Option("--learner", "-l", metavar="NAME", help="With --rerun, only this learner (repeatable)."),
]
RerunIn = Annotated[
    Optional[Path], typer.Option("--in", metavar="DIR", help="New directory for the second run; it is kept.")
]
KeepRerun = Annotated[bool, typer.Option("--keep", help="Keep the temporary directory of the second run.")]
TrustToVerify = Annotated[
    bool,
    typer.Option("--trust", help="Rerun RUN even if other users own it or can modify it, or its plan was edited."),
]
TrustToExec = Annotated[
    bool, typer.Option("--trust", help="Use RUN even if other users own it or can modify it, or its plan was edited.")
]

# --- what to run -----------------------------------------------------------------------------------------------------

Learners = Annotated[
    Optional[list[str]],
    typer.Option(
        "--learner",
        "-l",
        metavar="NAME",
        help="Only this learner (repeatable).",
        rich_help_panel=_CHANGE,
        autocompletion=_offers("learner"),
    ),
]
Iterations = Annotated[
    Optional[list[str]],
    typer.Option(
        "--iteration",
        metavar="N",
        help="Full commands of these iterations: 3, 0-3, 0,2,5-7 or 8+ (repeatable).",
        autocompletion=_offers("iteration"),
    ),
]
Full = Annotated[bool, typer.Option("--full", help="Full commands of every iteration, one by one.")]
PlanSummary = Annotated[
    bool, typer.Option("--summary", help="Count learners, commands, attempts and core-hours at most.")
]
Like = Annotated[
    Optional[str],
    typer.Option(
        "--like",
        metavar="RUN",
        help="With --summary: estimate core-hours by how long tasks took in this run.",
        autocompletion=_offers("run"),
    ),
]
NoPager = Annotated[bool, typer.Option("--no-pager", help="Print a long plan without a pager.")]
Settings = Annotated[
    Optional[list[str]],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value in the campaign file (repeatable).",
        rich_help_panel=_CHANGE,
        autocompletion=_offers("setting"),
    ),
]
Engine = Annotated[
    Optional[str],
    typer.Option(
        "--engine",
        metavar="KIND",
        help="Engine: local, slurm or radical.pilot.",
        rich_help_panel=_CHANGE,
        autocompletion=_offers("engine"),
    ),
]
MaxIter = Annotated[
    Optional[str],
    typer.Option("--max-iter", metavar="N", help="Iterations per learner.", rich_help_panel=_CHANGE),
]
RunDir = Annotated[Optional[Path], typer.Option("--run-dir", metavar="DIR", help="Run directory to create.")]
ResumeIfBegun = Annotated[
    bool,
    typer.Option(
        "--resume-if-begun", help="Resume the run if it was started before (for jobs). Default: the latest run of FILE."
    ),
]
RunAsItWas = Annotated[
    bool, typer.Option("--as-it-was", help="With --resume-if-begun: ignore edits of the campaign file.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Print the plan without running anything.", rich_help_panel=_TRY)
]
Smoke = Annotated[
    bool,
    typer.Option("--smoke", help="Run one quick iteration of every learner, then clean up.", rich_help_panel=_TRY),
]
PlanOfSmoke = Annotated[bool, typer.Option("--smoke", help="Show the plan of `rose run --smoke`.")]
RequireCriterion = Annotated[
    bool, typer.Option("--require-criterion", help="Exit with code 1 unless every learner meets its criterion.")
]

# --- to submit ------------------------------------------------------------------------------------------------------


def _job(*names: str, metavar: str, help: str, panel: str = _JOB, **more: Any) -> Any:  # noqa: A002, ANN401
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=panel, **more)


JobTime = Annotated[
    Optional[str], _job("--time", metavar="TIME", help="Time limit: 4:00:00, 4h, 1-12:00:00, or minutes.")
]
JobNodes = Annotated[Optional[int], _job("--nodes", metavar="N", min=1, max=100_000, help="Nodes. Default: 1.")]
JobCores = Annotated[
    Optional[int],
    _job("--cores", metavar="N", min=1, help="Cores of each node. Default: all, of whole nodes."),
]
JobGpus = Annotated[Optional[int], _job("--gpus", metavar="N", min=0, help="GPUs of each node.")]
JobMemory = Annotated[
    Optional[str], _job("--memory", metavar="SIZE", help="Memory of each node: 64G, or megabytes; also --mem.")
]
JobQueue = Annotated[Optional[str], _job("--queue", metavar="NAME", help="Queue; also --partition.")]
JobProject = Annotated[Optional[str], _job("--project", metavar="NAME", help="Project to charge; also --account.")]
JobReservation = Annotated[Optional[str], _job("--reservation", metavar="NAME", help="Reservation to use.")]
JobConstraint = Annotated[
    Optional[str], _job("--constraint", metavar="LIST", help="Features that nodes must have (Slurm).")
]
JobAttributes = Annotated[
    Optional[list[str]],
    _job(
        "--attribute",
        metavar="SYSTEM.NAME=VALUE",
        help="Another option of the batch system: slurm.qos=debug (repeatable).",
    ),
]
JobName = Annotated[
    Optional[str],
    _job("--job-name", metavar="NAME", help="The first part of the name of the jobs.", panel=_MORE_JOBS),
]
BatchSystem = Annotated[
    str,
    _job(
        "--batch-system",
        metavar="NAME",
        help="slurm, pbs, pbs_classic, lsf or flux; auto: the one whose commands are found.",
        panel=_MORE_JOBS,
    ),
]
MostJobs = Annotated[
    Optional[int],
    _job("--jobs", metavar="N", min=1, help="At most N jobs, one after the other. Default: 10.", panel=_MORE_JOBS),
]
CoreHours = Annotated[
    Optional[float],
    _job("--core-hours", metavar="H", min=0, help="At most H core-hours in all jobs.", panel=_MORE_JOBS),
]
InAdvance = Annotated[
    bool,
    typer.Option(
        "--in-advance",
        help="Submit all N jobs now, for a cluster whose nodes may not submit jobs.",
        rich_help_panel=_MORE_JOBS,
    ),
]
SubmitAsItWas = Annotated[
    bool,
    typer.Option("--as-it-was", help="Of RUN, ignore edits of the campaign file.", rich_help_panel=_CHANGE),
]
DryRunOfSubmit = Annotated[
    bool,
    typer.Option("--dry-run", "-n", help="Print the script of the jobs and submit nothing.", rich_help_panel=_TRY),
]
TrustToSubmit = Annotated[
    bool,
    typer.Option("--trust", help="Submit RUN even if other users own it or can modify it."),
]

# --- output ----------------------------------------------------------------------------------------------------------

Output = Annotated[
    Literal["auto", "live", "plain", "json", "quiet"],
    typer.Option(
        "--output",
        "-o",
        metavar="MODE",
        help="live (a table), plain (lines), json (events), quiet, or auto: live on a terminal, plain elsewhere.",
    ),
]
TextOrJson = Annotated[Literal["text", "json"], typer.Option("--format", help="Output format.")]
ReportFormat = Annotated[Literal["text", "json", "github", "sarif"], typer.Option("--format", help="Report format.")]
ExportedLearners = Annotated[
    Optional[list[str]],
    typer.Option(
        "--learner",
        "-l",
        metavar="NAME",
        help="Only this learner (repeatable).",
        autocompletion=_offers("learner"),
    ),
]
Best = Annotated[bool, typer.Option("--best", help="Print the files of the best iteration: of LEARNER, else of all.")]
ExportFormat = Annotated[
    Optional[Literal["csv", "jsonl", "parquet", "ro-crate"]],
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="csv; jsonl: JSON Lines; parquet; or ro-crate: the whole run with its provenance. Default: by the output "
        "file (.jsonl, .parquet), else csv.",
    ),
]
ExportedTable = Annotated[
    Optional[Literal["iterations", "tasks", "failures"]],
    typer.Option(
        "--table",
        metavar="TABLE",
        help="iterations (the default), tasks (each attempt at a task), or failures (the failed ones).",
    ),
]
OutputFile = Annotated[
    Optional[Path],
    typer.Option(
        "--output", "-o", metavar="FILE", help="Output file. Default: standard output; of an RO-Crate: RUN.crate.zip."
    ),
]
Trackers = Annotated[
    Optional[list[str]],
    typer.Argument(metavar="NAME", help="Trackers. Default: those of the campaign.", autocompletion=_offers("tracker")),
]
TrackerSettings = Annotated[
    Optional[list[str]],
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting of the tracker (repeatable)."),
]
TrustToTrack = Annotated[bool, typer.Option("--trust", help="Send RUN even if other users own it or can modify it.")]
StatusFormat = Annotated[
    Literal["text", "json", "csv"], typer.Option("--format", help="Output format; csv for the results.")
]
ReportForm = Annotated[
    Optional[Literal["html", "md", "svg", "png"]],
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="html: a page; md: Markdown, for pull requests and terminals; svg or png: one chart, as for a paper."
        " Default: by the output file, else html.",
    ),
]
ReportChart = Annotated[
    Optional[Literal["curves", "timeline", "cores", "ranking"]],
    typer.Option(
        "--chart",
        metavar="NAME",
        help="Which chart an SVG or PNG shows: curves (the default), timeline, cores or ranking.",
        rich_help_panel=_FIGURE,
    ),
]
FigureWidth = Annotated[
    Optional[float],
    typer.Option(
        "--width", metavar="MM", min=20, max=1000, help="Its width. Default: 89, a column.", rich_help_panel=_FIGURE
    ),
]
FigureDpi = Annotated[
    Optional[int],
    typer.Option("--dpi", metavar="N", min=30, max=1200, help="Dots per inch. Default: 300.", rich_help_panel=_FIGURE),
]
ReportOutput = Annotated[
    Optional[Path],
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Output file; - is standard output. Default: in the run directory, if it is yours, else here.",
    ),
]
ReplaceReport = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]
ReplaceFile = ReplaceReport
WatchReport = Annotated[bool, typer.Option("--watch", "-w", help="Write it again and again until the run ends.")]
Results = Annotated[
    bool,
    typer.Option("--results", help="Compare learners: best values, settings, results, cost.", rich_help_panel=_RESULTS),
]
OnlyChanged = Annotated[
    bool,
    typer.Option(
        "--only-changed", help="Show only options that differ between learners (the default).", rich_help_panel=_RESULTS
    ),
]
AllOptions = Annotated[
    bool, typer.Option("--all-options", help="Show all options of the learners.", rich_help_panel=_RESULTS)
]
SortResults = Annotated[
    Optional[Literal["best", "iterations", "time", "core-seconds", "name"]],
    typer.Option(
        "--sort",
        metavar="ORDER",
        help="best (the default), name, or by what it took to meet the criterion: iterations, time or core-seconds.",
        rich_help_panel=_RESULTS,
    ),
]
Legend = Annotated[bool, typer.Option("--legend", help="Explain the signs and columns of the table.")]
Plot = Annotated[bool, typer.Option("--plot", help="Draw the learning curves, with the threshold.")]
ShownMetric = Annotated[
    Optional[str],
    typer.Option(
        "--metric",
        metavar="NAME",
        help="Go by this metric: it ranks learners and runs, and has the curves. Default: that of the first criterion.",
        autocompletion=_offers("metric"),
    ),
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Refresh until the run ends.")]
Sizes = Annotated[bool, typer.Option("--size", help="Also show how much disk space each run uses.")]
Failures = Annotated[bool, typer.Option("--failures", help="The same as --table failures.")]
FailedLogs = Annotated[bool, typer.Option("--failed", help="Only failed attempts.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Follow new output until the run ends.")]
Raw = Annotated[bool, typer.Option("--raw", help="Print control sequences unchanged, even on a terminal.")]

# --- to stop, resume and clean ---------------------------------------------------------------------------------------

StoppedLearner = Annotated[
    Optional[str],
    typer.Option("--learner", "-l", metavar="NAME", help="Only this learner.", autocompletion=_offers("learner")),
]
TrustToStop = Annotated[bool, typer.Option("--trust", help="Stop RUN even if other users own it or can modify it.")]
SetWords = Annotated[
    Optional[list[str]],
    typer.Argument(
        metavar="[RUN] [KEY=VALUE]",
        show_default=False,
        help="Run (see below), then values: training.--lr=0.01, stop.threshold=0.1, max_iter=30."
        " Without any: show those that were set.",
        autocompletion=_offers("set word"),
    ),
]
SetLearners = Annotated[
    Optional[list[str]],
    typer.Option(
        "--learner", "-l", metavar="NAME", help="Only this learner (repeatable).", autocompletion=_offers("learner")
    ),
]
Unset = Annotated[
    Optional[list[str]],
    typer.Option("--unset", metavar="KEY", help="Back to the value of the campaign file (repeatable)."),
]
DryRunOfSet = Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would change.")]
TrustToSet = Annotated[bool, typer.Option("--trust", help="Change RUN even if other users own it or can modify it.")]
AddRun = Annotated[
    str, typer.Argument(metavar="RUN", help="Run (see below); may be omitted.", autocompletion=_offers("run"))
]
AddFile = Annotated[
    Optional[str], typer.Argument(metavar="FILE", help="File with a learner, or a list of them, as under learners.")
]
AddedName = Annotated[Optional[str], typer.Option("--name", metavar="NAME", help="Name of the new learner.")]
RaisedMaxIter = Annotated[
    Optional[int],
    typer.Option("--max-iter", metavar="N", min=1, help="Raise max_iter to N.", rich_help_panel=_WHAT),
]
FromIteration = Annotated[
    Optional[int],
    typer.Option(
        "--from-iteration",
        metavar="N",
        min=0,
        help="Rerun from iteration N.",
        rich_help_panel=_WHAT,
        autocompletion=_offers("iteration"),
    ),
]
ResumedLearners = Annotated[
    Optional[list[str]],
    typer.Option(
        "--learner",
        "-l",
        metavar="NAME",
        help="Of the learners that have stopped, resume only this one (repeatable).",
        rich_help_panel=_WHAT,
        autocompletion=_offers("learner"),
    ),
]
AsItWas = Annotated[
    bool,
    typer.Option(
        "--as-it-was", help="Keep the run's own plan, even if the campaign file has changed.", rich_help_panel=_WHAT
    ),
]
WithoutDecisions = Annotated[
    bool,
    typer.Option(
        "--without-decisions",
        help="Continue a run whose learners wait for decisions of a Python program, without that.",
        rich_help_panel=_WHAT,
    ),
]
DryRunOfResume = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Show what would be kept and what would be rerun.")
]
StealLock = Annotated[
    bool,
    typer.Option(
        "--steal-lock",
        help="Take over the run even if another host appears to hold its lock.",
        rich_help_panel=_OVERRIDE,
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Resume even if a pilot may still be running elsewhere or a workspace has lost files.",
        rich_help_panel=_OVERRIDE,
    ),
]
TrustToResume = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Resume even if other users own the run or can modify it, or its plan was edited."
        " Its commands then run as you.",
        rich_help_panel=_OVERRIDE,
    ),
]
CleanedRuns = Annotated[
    Optional[list[str]],
    typer.Argument(
        metavar="RUN",
        help=f"{_RUN_HELP} Default: the latest run here that has ended. With a rule: where to look, default: here.",
        autocompletion=_offers("run"),
    ),
]
KeepLogs = Annotated[
    Optional[int],
    typer.Option(
        "--keep-logs",
        metavar="N",
        min=0,
        help="Delete old logs; keep those of each learner's last N iterations.",
        rich_help_panel=_DELETE,
    ),
]
FailedAttempts = Annotated[
    bool, typer.Option("--failed", help="Delete the logs of failed attempts.", rich_help_panel=_DELETE)
]
Snapshots = Annotated[
    bool, typer.Option("--snapshots", help="Delete the snapshots that no resume needs.", rich_help_panel=_DELETE)
]
Workspaces = Annotated[
    bool,
    typer.Option(
        "--workspaces",
        help="Delete the workspaces of finished learners, which then cannot be extended.",
        rich_help_panel=_DELETE,
    ),
]
WholeRuns = Annotated[
    bool, typer.Option("--all", help="Delete whole runs, with their results.", rich_help_panel=_DELETE)
]
OlderThan = Annotated[
    Optional[str],
    typer.Option(
        "--older-than", metavar="AGE", help="Runs that ended longer ago: 12h, 30d or 2w.", rich_help_panel=_WHICH
    ),
]
KeepLast = Annotated[
    Optional[int],
    typer.Option(
        "--keep-last",
        metavar="N",
        min=0,
        help="All runs except the latest N of each campaign file.",
        rich_help_panel=_WHICH,
    ),
]
WithStatus = Annotated[
    Optional[list[str]],
    typer.Option(
        "--status",
        metavar="STATUS",
        help="Runs with this status: done, failed, finished (either), interrupted, lost or pending (repeatable).",
        rich_help_panel=_WHICH,
        autocompletion=_offers("status"),
    ),
]
DryRunOfClean = Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would be deleted without deleting it.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")]
TrustToClean = Annotated[bool, typer.Option("--trust", help="Clean RUN even if other users own it or can modify it.")]

Pilot = Annotated[bool, typer.Option("--pilot", help="Start a pilot on this machine and run a task on it.")]
