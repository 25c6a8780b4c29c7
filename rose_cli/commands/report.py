"""`rose report`: one file that shows a run, or compares several, made from their directories alone."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from rose_cli.commands.output_format import format_by_name
from rose_cli.find_runs import find_each, find_run, name_of
from rose_cli.report.destination import Destination, default_path, readable_by
from rose_cli.report.forms import PICTURES, SUFFIXES, Picture, written
from rose_cli.report.reading import Reading
from rose_cli.run_info import notice_ownership, read_run, require_metric
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import ExitCode, UsageError
from rose_cli.view.console import complain, notice, say
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rose_cli.report.forms import Form
    from rose_cli.run_info import RunInfo

SECONDS, SHARE = 5.0, 10
"""A watched run is reported again after so many seconds, or, if that is longer, so many times what a report took."""

_STANDARD_OUTPUT = ("-", "/dev/stdout")


@dataclass(frozen=True)
class ReportOptions:
    """`output` None: in the run, or for Markdown standard output. `form` None: by the name of the file, else HTML."""

    form: Form | None = None
    output: Path | None = None
    force: bool = False
    watch: bool = False
    picture: Picture = Picture()
    metric: str | None = None


def report(arguments: Sequence[str], options: ReportOptions) -> ExitCode:
    directories = find_each(arguments) if arguments else [find_run()]
    wanted = options.form or _form_by_name(options.output)
    if options.picture != Picture() and wanted not in PICTURES:
        raise UsageError("--chart, --width and --dpi are for one chart", "add --format svg, or --format png")
    is_printed = str(options.output) in _STANDARD_OUTPUT or (options.output is None and wanted == "md")
    if options.watch and is_printed:
        raise UsageError("--watch writes the report again and again, so it needs a file", "add --output FILE")
    path = options.output or default_path(directories, options.picture.suffix(wanted))
    mode = readable_by(directories)
    destination = Destination(path, force=options.force, mode=mode, chosen=options.output is not None)
    readings = [Reading(directory, options.metric) for directory in directories]
    if options.metric is not None:
        require_metric([read_run(directory, cached=True) for directory in directories], options.metric)
    picture = options.picture if wanted in PICTURES else None
    infos = _write(readings, wanted, None if is_printed else destination, SECONDS if options.watch else None, picture)
    for info in infos:
        notice_ownership(info.doubt)
        if info.damage is not None:
            complain(f"the journal of {name_of(info.directory)} is damaged, and the report incomplete:"
                     f" {info.damage.message}", info.damage.hint)  # fmt: skip
    if not is_printed:
        _tell(destination)
    if options.watch:
        _watch(readings, infos, wanted, destination, picture)
    return ExitCode.OK


def _form_by_name(output: Path | None) -> Form:
    hints = {".pdf": "print the page from a browser, or write .svg, which LaTeX and word processors turn into PDF"}
    return "html" if output is None else format_by_name(output, SUFFIXES, "html", hints)


def _write(
    readings: Sequence[Reading],
    form: Form,
    destination: Destination | None,
    refresh: float | None = None,
    picture: Picture | None = None,
) -> list[RunInfo]:
    """Make the report and write it; the runs as they were read for it."""
    data, infos = written(readings, form, refresh=refresh, picture=picture)
    if destination is not None:
        destination.write(data)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    return infos


def _tell(destination: Destination) -> None:
    """The path is the only output, for scripts."""
    if destination.path != destination.wanted:
        kept = short_path(destination.wanted)
        notice(f"'{kept}' exists and is kept; --force replaces it")
    say(short_path(destination.path))
    sys.stdout.flush()


def _watch(
    readings: Sequence[Reading],
    infos: Sequence[RunInfo],
    wanted: Form,
    destination: Destination,
    picture: Picture | None = None,
) -> None:
    """Write the report again while a run is running, at low priority: the tasks come first."""
    with suppress(OSError):
        os.nice(10)
    pause, is_queued, is_told = SECONDS, False, False
    while True:
        is_queued = any(_is_queued(info, is_queued) for info in infos)
        if not is_queued and not any(info.alive for info in infos):
            return
        if not is_told:
            notice("it is written again until the run ends; stop with Ctrl-C")
            is_told = True
        time.sleep(pause)
        began = time.monotonic()
        infos = _write(readings, wanted, destination, pause, picture)
        pause = max(SECONDS, SHARE * (time.monotonic() - began))


def _is_queued(info: RunInfo, before: bool) -> bool:
    """Whether a job that continues the run waits or runs; `before`: the last answer, if the batch system gives none."""
    if not info.directory.jobs.is_dir():
        return False
    from rose_cli.view.jobs import jobs_of

    queue = jobs_of(info.directory)[1]
    return before if queue is None else bool(queue)
