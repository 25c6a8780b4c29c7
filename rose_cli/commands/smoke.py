"""`rose run --smoke`: one quick iteration of every learner, in a directory that is kept only after a failure."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.allocation import refuse_copies
from rose_cli.campaign_file import (
    Setting,
    check_campaign,
    mention_settings,
    only_learners,
    smoke_settings,
    task_environment,
)
from rose_cli.check.schedules import RESULTS
from rose_cli.config.expression.compiler import parse
from rose_cli.new_run import begin
from rose_cli.plan.model import Adaptive
from rose_cli.run_session import exit_code, run_session
from rose_cli.runs.directory import RunDirectory
from rose_cli.runs.lock import RunLock
from rose_cli.util.errors import ExitCode
from rose_cli.util.signals import StopRequested, handled_by
from rose_cli.util.text import listed
from rose_cli.view.console import notice, safe
from rose_cli.view.failures import failure_lines, failures
from rose_cli.view.summary import print_summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.plan.model import Plan
    from rose_cli.run_session import SessionSetup
    from rose_cli.view.screen import Output


_ENDED = {ExitCode.INTERRUPTED: "was interrupted", ExitCode.TERMINATED: "was stopped"}


def smoke(file: Path, settings: Sequence[Setting], learners: Sequence[str], output: Output) -> ExitCode:
    environment = task_environment()
    refuse_copies(environment)
    settings = smoke_settings(settings)
    checked = check_campaign(file, environment, settings)
    plan = only_learners(checked.good_smoke_plan, learners)
    mention_settings(file, environment, settings, checked, is_smoke=True)
    if checked.good_plan.engine.slurm is not None:
        notice("the smoke run uses the local engine, on this machine: no srun around tasks, nor its variables")
    directory = RunDirectory.at(Path(tempfile.gettempdir()) / f"rose-smoke-{uuid.uuid4().hex[:12]}")
    with _never_left_behind(directory.path, file):
        directory.path.mkdir(mode=0o700)
        with RunLock.acquire(directory.path):
            work = begin(directory, plan, checked.text, environment, "plain" if output == "auto" else output)
            code = _carry_out(work, f"rose run {shlex.quote(str(file))} --smoke")
        _append_summary(os.environ.get("GITHUB_STEP_SUMMARY"), work, code)
        if code is ExitCode.OK:
            shutil.rmtree(directory.path)
            notice(f"smoke run of '{file}' passed; its directory has been deleted")
            _mention_untried(plan)
        else:
            notice(f"smoke run of '{file}' {_ENDED.get(code, 'failed')}; its directory is kept: {directory.path}")
    return code


def _mention_untried(plan: Plan) -> None:
    """Expressions that use a metric value do so from iteration 1 on."""
    commands = {
        id(c): c for learner in plan.learners if learner.max_iter == 1 for s in learner.steps for c in s.commands
    }
    untried = {
        name: value.expression
        for command in commands.values()
        for name, value in command.options.items()
        if isinstance(value, Adaptive) and parse(value.expression, command.parameters).names & RESULTS
    }
    if untried:
        names = listed([f"'{name}'" for name in untried], 3)
        notice(f"not tried: {names} with a metric value, which exists from iteration 1 on; set smoke: {{max_iter: 2}}")


@contextmanager
def _never_left_behind(folder: Path, file: Path) -> Iterator[None]:
    """However the block ends, even by a signal: the directory is deleted, or its path printed."""
    try:
        yield
    except BaseException as error:
        with handled_by(lambda _: None):
            is_empty = not (folder / "learners").exists()
            if is_empty and isinstance(error, StopRequested | KeyboardInterrupt):
                shutil.rmtree(folder, ignore_errors=True)
            if folder.exists():
                notice(f"smoke run of '{file}' did not finish; its directory is kept: {folder}")
        raise


def _carry_out(work: SessionSetup, again: str) -> ExitCode:
    """A summary is printed only after a failure: otherwise its paths would not exist."""
    with work.journal:
        ending = run_session(work)
    code = exit_code(work.state, ending, require_criterion=False)
    if code is not ExitCode.OK:
        print_summary(work.output, work.plan, work.state, work.directory, ending, again=again)
    return code


def _append_summary(path: str | None, work: SessionSetup, code: ExitCode) -> None:
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(f"{safe(line)}\n" for line in _markdown(work, code))
    except OSError as error:
        notice(f"no summary for GitHub: cannot write '{path}' ($GITHUB_STEP_SUMMARY): {error.strerror}")


def _markdown(work: SessionSetup, code: ExitCode) -> Iterator[str]:
    """A table of the learners and, as a block of code, what failed."""
    plan, state = work.plan, work.state
    verdict = "passed" if code is ExitCode.OK else f"failed (exit code {int(code)})"
    yield f"### Smoke run of {_cell(plan.campaign)}: {verdict}"
    yield ""
    yield "| learner | iterations | metric | stop reason |"
    yield "| --- | --- | --- | --- |"
    for learner in plan.learners:
        now = state.learners[learner.name]
        last = now.iterations[-1] if now.iterations else None
        values = [
            last and (last.metrics.get(each.metric) if at else last.value) for at, each in enumerate(learner.criteria)
        ]
        shown = ["" if value is None else f"{value:.6g}" for value in values]
        metric = ", ".join(f"{each.metric} {text}" for each, text in zip(learner.criteria, shown, strict=True))
        reason = now.message or now.stop_reason or "interrupted"
        yield f"| {_cell(learner.name)} | {len(now.history)} | {_cell(metric)} | {_cell(reason)} |"
    yield ""
    for line in failure_lines(failures(plan, state, state.session.reason if state.session else None), work.directory):
        yield f"    {line.plain}"


def _cell(text: str) -> str:
    """Escape text for a cell of a Markdown table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("`", "\\`")
