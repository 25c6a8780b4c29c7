"""What has to hold after every attack, checked from the outside: the journal, the tasks' own marks, `/proc`."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli.engines import unique_run_id
from rose_cli.util.files import directory_identity
from rose_cli.util.processes import read_tag

if TYPE_CHECKING:
    from collections.abc import Iterator

GONE_WITHIN_SECONDS = 60.0
"""Grace, and the time that a loaded machine needs."""


@dataclass
class Report:
    """How one attack went: what was done, counted, and what should not have happened."""

    attack: str
    counts: dict[str, float] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    skipped: str | None = None
    """Why it could not be tried."""

    def count(self, what: str, number: float = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + number

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.findings.append(otherwise)

    def line(self) -> str:
        if self.skipped is not None:
            return f"{self.attack}: not tried: {self.skipped}"
        counts = ", ".join(f"{number:g} {what}" for what, number in self.counts.items())
        verdict = "holds" if not self.findings else f"BROKEN ({len(self.findings)})"
        return "\n    ".join([f"{self.attack}: {verdict}: {counts}", *self.findings[:20]])


def events_of(run: Path) -> list[dict[str, Any]]:
    """The facts in a journal, up to the first line that is not whole."""
    events = []
    with suppress(FileNotFoundError, ValueError):
        for line in (run / "journal.jsonl").read_bytes().splitlines():
            events.append(json.loads(line))  # noqa: PERF401 - those before a bad line count
    return events


def run_id(run: Path) -> str | None:
    """What its processes are known by; None where the session died before it recorded anything."""
    name = next((event["run_id"] for event in events_of(run) if event["event"] == "run_created"), None)
    return None if name is None else unique_run_id(name, directory_identity(run))


def key_of(event: dict[str, Any]) -> tuple[str, ...]:
    """What tells an event from all others of its run."""
    return tuple(str(event.get(key)) for key in ("event", "learner", "iteration", "task", "replica", "attempt"))


def finished_twice(run: Path) -> list[str]:
    """Steps that were started again after their success was in the journal."""
    done: set[tuple[Any, ...]] = set()
    again = []
    for event in events_of(run):
        step = tuple(event.get(key) for key in ("learner", "iteration", "task", "replica"))
        if event["event"] == "attempt_succeeded":
            done.add(step)
        elif event["event"] == "learner_stopped" and event["learner"]:  # a finish that has begun starts over
            done = {step for step in done if step[0] or not step[1]}
        elif event["event"] == "learner_reopened" and (first := event.get("from_iteration")) is not None:
            done = {step for step in done if step[0] != event["learner"] or step[1] < first}
        elif event["event"] == "attempt_started" and step in done:
            again.append(f"finished step ran again: {step}")
    return again


def decided_again(run: Path) -> list[str]:
    """What was decided although the journal had the decision, and attempts of learners that had stopped."""
    known: set[tuple[Any, ...]] = set()
    wrong = []
    for event in events_of(run):
        kind, learner = event["event"], event.get("learner")
        if kind in ("step_decided", "decision_made"):
            decision = (learner, kind, event["iteration"], event.get("task"))
            if decision in known:
                wrong.append(f"decided again: {decision}")
            known.add(decision)
        elif kind == "learner_stopped":
            known.add((learner, "has stopped"))
        elif kind == "attempt_started" and (learner, "has stopped") in known:
            wrong.append(f"'{learner}' had stopped, and ran {event['task']} in iteration {event['iteration']}")
        elif kind in ("learner_reopened", "plan_changed"):
            known = {each for each in known if not _is_open_again(each, event)}
    return wrong


def _is_open_again(known: tuple[Any, ...], event: dict[str, Any]) -> bool:
    """Whether something counts no longer: the end of a reopened learner and with it of the campaign, and decisions of
    iterations that run again. A changed plan forgets decisions on steps that have not begun."""
    learner, kind, *place = known
    if event["event"] == "plan_changed":
        return bool(kind == "step_decided" or learner == "")
    if kind == "has stopped":
        return learner in ("", event["learner"])
    first = event.get("from_iteration")
    return bool(learner == event["learner"] and first is not None and place[0] >= first)


def overlaps(run: Path) -> list[str]:
    """Attempts that met another one of their step, or of their learner's other tasks."""
    marks = [*(run / "learners").glob("*/workspace/marks"), *run.glob("campaign/workspace/marks")]
    lines = [(path.parts[-3], line) for path in marks for line in path.read_text().splitlines()]
    return [f"'{learner}' overlapped: {line}" for learner, line in lines if line.startswith("overlap")]


def processes_of(run: str) -> Iterator[int]:
    """Tasks of a run by the mark in their environment; their watchdogs by the one in their command line."""
    mark = f"ROSE_MARK={run}.".encode()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            environment, arguments = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
            if b"\0" + mark in b"\0" + environment or f"\0{run}.".encode() in arguments:
                yield int(entry.name)


def watchdogs_of(run: str) -> list[int]:
    """Only the watchdogs among `processes_of`."""
    found = []
    for pid in processes_of(run):
        with suppress(OSError):
            if f"\0{run}.".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def servers_of(run: str) -> list[int]:
    """The servers of warm starts among `processes_of`."""
    return [pid for pid in processes_of(run) if (read_tag(pid) or "").endswith("(warm starts)")]


def starts(run: Path) -> tuple[int, int]:
    """How many programs of the run were started warm, and how many with a new interpreter."""
    found = [line for path in (run / "learners").glob("*/workspace/starts") for line in path.read_text().splitlines()]
    return found.count("warm"), found.count("cold")


def left_running(run: Path) -> list[str]:
    """Processes of the run that are there although all that should end them had its time."""
    name = run_id(run)
    end = time.monotonic() + GONE_WITHIN_SECONDS
    while name is not None and (left := list(processes_of(name))):
        if time.monotonic() > end:
            return [f"process {pid} is left: {_command(pid)}" for pid in left]
        time.sleep(0.05)
    return []


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return "?"


def judge(report: Report, run: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    """The verdict on a run that was brought to its end."""
    report.expect(found == expected, f"{run.name}: the history differs: {found} instead of {expected}")
    judge_marks(report, run)


def judge_marks(report: Report, run: Path) -> None:
    """The verdict on all but the history."""
    found = (*finished_twice(run), *decided_again(run), *overlaps(run), *left_running(run))
    report.findings += [f"{run.name}: {what}" for what in found]
