"""From what a learner was asked for to a run: a new one, or the one that an earlier process of the script began."""

from __future__ import annotations

import atexit
import json
import sys
from base64 import b64encode
from contextlib import suppress
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from rose_cli.api.messages import NewRun, Resume
from rose_cli.api.notebook import Display, in_notebook
from rose_cli.api.process import SessionProcess
from rose_cli.api.running import child_output, page_of
from rose_cli.api.script_errors import warn
from rose_cli.api.task import DIRECTORY
from rose_cli.api.upstream import scripts
from rose_cli.api.upstream.builder import INDEX, Builder, Loop, Stop
from rose_cli.api.upstream.replay import FinishedRun, is_finished
from rose_cli.api.upstream.stream import Running
from rose_cli.api.upstream.translate import Learning, Translator
from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import read_regular
from rose_cli.view.decided import RECORD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rose_cli.api.upstream.builder import Step
    from rose_cli.api.upstream.control import Control
    from rose_cli.api.upstream.states import IterationState
    from rose_cli.api.upstream.translate import Reports

_MOST_BYTES = 1 << 22

_complete: dict[Path, bool] = {}
"""The runs of this process that have ended, and whether nothing is left to do in them."""


class Owner(Protocol):
    """The learner that is told of its run."""

    control: Control

    def finish_state(self, state: IterationState, reports: Reports, steps: Sequence[Step]) -> None:
        """Put into a state what the tasks reported."""

    def on_state(self, state: IterationState) -> None:
        """An iteration has finished."""

    def on_end(self, last: IterationState | None, reason: str) -> None:
        """The run has ended."""


@dataclass
class Request:
    """`gated`: the script decides after each iteration. `ids`: the learner_id of each learner."""

    loop: Loop
    learner: Owner
    resume: scripts.Resume
    gated: bool = True
    ids: list[int | str | None] = field(default_factory=list)
    place: int = 0

    def __post_init__(self) -> None:
        self.place = scripts.current.next_place()


def opened(request: Request) -> Running:
    """Start the session. Raises ScriptError, or another RoseError if the run cannot be continued."""
    place = scripts.place_of_next(request.resume, request.place)
    builder = Builder(request.loop, scripts.script_name())
    index = json.dumps(builder.fingerprints)
    files = {**builder.files, INDEX: index.encode(), RECORD: place.record.text.encode()}
    sent = {name: b64encode(data).decode() for name, data in files.items()}
    process: SessionProcess | FinishedRun
    output = child_output("auto")
    if place.run is None:
        new = NewRun(place.campaign_file, text=builder.text, python=sent, output=output)
        process = _shown(SessionProcess(new, gated=request.gated))
    elif is_finished(place.run, builder.text):
        process = FinishedRun(place.run)
    else:
        _mention_changed(place.run, builder)
        again = Resume(place.run, text=builder.text, python=sent, output=output)
        process = _shown(SessionProcess(again, gated=request.gated))
    learner = request.learner
    if not _complete:
        atexit.register(mark_pass)
    return Running(
        process=process,
        translator=Translator(
            _learners(request),
            _metric(request.loop),
            partial(learner.finish_state, steps=request.loop.steps),
        ),
        control=learner.control,
        changes=partial(_changes, builder, request.loop),
        on_state=learner.on_state,
        on_end=learner.on_end,
        ended=_ended,
    )


def _shown(process: SessionProcess) -> SessionProcess:
    """In a notebook, the table is below the cell."""
    if in_notebook():
        Display(process, lambda: page_of(process)).follow_in_background()
    return process


def _learners(request: Request) -> dict[str, Learning]:
    found = {}
    for number, entry in enumerate(request.loop.learners):
        name = entry.name or f"learner-{number}"
        found[name] = Learning(name, number, request.ids[number], entry.config)
    return found


def _metric(loop: Loop) -> tuple[str, float] | None:
    stop = loop.stop
    if stop is None:
        return None
    first = stop if isinstance(stop, Stop) else stop[0]
    return first.metric, first.threshold


def _changes(builder: Builder, loop: Loop, learning: Learning, iteration: int) -> Mapping[str, dict[str, Any]]:
    """What holds in an iteration with the configuration that the script has set."""
    entry = loop.learners[learning.number]
    return {step.task: builder.change(step, entry, learning.config, iteration) for step in loop.steps}


def _mention_changed(run: Path, builder: Builder) -> None:
    """Tell the user of functions that are not those which have run."""
    with suppress(OSError, ValueError):
        before = json.loads(read_regular(run / DIRECTORY / INDEX, _MOST_BYTES))
        changed = sorted(name for name, each in builder.fingerprints.items() if before.get(name, each) != each)
        if changed:
            what = ", ".join(f"'{name}'" for name in changed)
            message = f"changed since '{run.name}' began: the function of {what}. What has finished is kept as it is"
            warn(message)


def _ended(running: Running) -> None:
    if running.process.directory is not None:
        _complete[running.process.directory] = running.is_complete


def mark_pass() -> None:
    """At the end of a script that no error has ended: its next pass starts anew."""
    is_error = getattr(sys, "last_exc", getattr(sys, "last_value", None)) is not None
    if not is_error and _complete and all(_complete.values()):
        for run in _complete:
            with suppress(OSError):
                scripts.mark_ended(run)
