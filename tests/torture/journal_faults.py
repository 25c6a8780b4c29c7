"""Damage to the journal: cut and garbled at every byte, lines doubled, lost and swapped, zeros at the end.

Every fault is opened in this process; a sample of them goes through `rose resume` as a user would call it.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rose_cli.journal.codec import Record
from rose_cli.journal.file import DamagedJournalError, JournalFile
from rose_cli.journal.state import RunState
from rose_cli.util.errors import JournalError
from tests.torture.campaign import LOCAL, Ground, history, whole_history, write_campaign
from tests.torture.session import interrupted_run
from tests.torture.verdict import Report, finished_twice, judge

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Called, Rose


@dataclass(frozen=True)
class Fault:
    """A damaged journal: its first `good` lines are as they were; `middle`: whole ones stand behind the damage."""

    name: str
    text: bytes
    good: int
    middle: bool


def every_fault(text: bytes, seed: random.Random, stride: int = 1) -> Iterator[Fault]:
    """The faults of a whole journal; with a stride only at every so many bytes."""
    lines = text.splitlines(keepends=True)
    for at in range(seed.randrange(stride), len(text), stride):
        good = text.count(b"\n", 0, at)
        yield Fault(f"cut at byte {at}", text[:at], good, middle=False)
        other = bytes([text[at] ^ seed.randrange(1, 256)])
        yield Fault(f"garbled byte {at}", text[:at] + other + text[at + 1 :], good, middle=good < len(lines) - 1)
    yield from _faults_of_lines(lines)


def _faults_of_lines(lines: list[bytes]) -> Iterator[Fault]:
    whole, last = b"".join(lines), len(lines) - 1
    yield Fault("last line doubled", whole + lines[-1], len(lines), middle=False)
    yield Fault("zeros behind the end", whole + bytes(5000), len(lines), middle=False)
    for index in range(last):
        before, after = b"".join(lines[:index]), b"".join(lines[index + 1 :])
        yield Fault(f"line {index + 1} doubled", before + lines[index] * 2 + after, index + 1, middle=True)
        yield Fault(f"line {index + 1} lost", before + after, index, middle=True)
        rest = b"".join(lines[index + 2 :])
        yield Fault(f"line {index + 1} swapped", before + lines[index + 1] + lines[index] + rest, index, middle=True)


def open_every_fault(folder: Path, seed: random.Random, stride: int = 1) -> Report:
    """In process: what opens is exactly the good part, what does not open says the line."""
    report = Report("journal, every byte, in process")
    text = (interrupted_run(write_campaign(folder, max_iter=2), 12) / "journal.jsonl").read_bytes()
    folds = _folds(folder / "fold.jsonl", text)
    for fault in every_fault(text, seed, stride):
        report.count("refused with the line" if fault.middle else "opened without the tail")
        problem = _problem(folder / "faulty.jsonl", fault, folds)
        report.expect(problem is None, f"{fault.name}: {problem}")
    return report


def _folds(path: Path, text: bytes) -> list[RunState]:
    """What the first so many lines come to."""
    lines = text.splitlines(keepends=True)
    return [_opened(path, b"".join(lines[:count]))[0] for count in range(len(lines) + 1)]


def _opened(path: Path, text: bytes) -> tuple[RunState, list[Record]]:
    path.write_bytes(text)
    state, records = RunState(), []

    def consume(record: Record) -> None:
        records.append(record)
        state.apply(record)

    with JournalFile.open(path, consume):
        return state, records


def _problem(path: Path, fault: Fault, folds: list[RunState]) -> str | None:
    try:
        state, records = _opened(path, fault.text)
    except DamagedJournalError as error:
        expected = fault.good + 1
        return None if fault.middle and error.line == expected else f"refused: {error.message}"
    except JournalError as error:
        return f"refused without a line: {error.message}"
    if fault.middle:
        return "opened, although whole records follow the damage"
    if state != folds[fault.good]:
        return "the fold is another one"
    return None if _goes_on(path, records) else "what is appended after the repair cannot be read"


def _goes_on(path: Path, records: list[Record]) -> bool:
    """Whether another record fits behind the repaired end, and all of it can be read again."""
    if not records:
        return True
    added = Record(len(records) + 1, records[-1].time, records[-1].event)
    with JournalFile.open(path) as journal:
        journal.append([added])
    again: list[Record] = []
    with JournalFile.open(path, again.append):
        return again == [*records, added]


def resume_from_faults(folder: Path, seed: random.Random, count: int, ground: Ground = LOCAL) -> Report:
    """For real: `rose resume` comes to the same history, or refuses with exit 4, the line, and a way out that works."""
    report = Report(f"journal, rose resume, {ground.engine}")
    rose = write_campaign(folder, max_iter=3)
    whole = whole_history(rose)
    origin = interrupted_run(rose, 40, *ground.options)
    text = (origin / "journal.jsonl").read_bytes()
    faults = [*_behind_the_workspace(text), *_sample(list(every_fault(text, seed)), seed, count)]
    for number, fault in enumerate(faults[:count]):
        pipes = shutil.ignore_patterns("events")
        run = shutil.copytree(origin, folder / f"r{number}", symlinks=True, ignore=pipes)
        (run / "journal.jsonl").write_bytes(fault.text)
        _resume(report, rose, run, fault, whole, _rewritten(text.splitlines()[fault.good :]))
    return report


def _behind_the_workspace(text: bytes) -> Iterator[Fault]:
    """Cut where a metric has been written to a file and not been read, and the workspace has the one of an iteration
    after it."""
    lines = text.splitlines(keepends=True)
    for good, line in enumerate(lines, 1):
        event = json.loads(line)
        written = event["event"] == "attempt_succeeded" and (event["learner"], event["task"]) == (
            "filed",
            "active_learn",
        )
        if written and "filed" in _rewritten(lines[good:]):
            yield Fault("cut behind the workspace", b"".join(lines[:good]), good, middle=False)
            return


def _rewritten(lost: list[bytes]) -> set[str]:
    """The learners whose metric's file an attempt has written of which the journal does not know any more."""
    events = map(json.loads, lost)
    return {each["learner"] for each in events if each["event"] == "attempt_started" and each["task"] == "active_learn"}


def _sample(faults: list[Fault], seed: random.Random, count: int) -> list[Fault]:
    """As many of each kind as of any other."""
    kinds = sorted({_kind(fault) for fault in faults})
    by_kind = {kind: [fault for fault in faults if _kind(fault) == kind] for kind in kinds}
    return [seed.choice(by_kind[kinds[number % len(kinds)]]) for number in range(count)]


def _kind(fault: Fault) -> tuple[str, bool]:
    words = fault.name.split()
    return (words[-1] if words[0] == "line" else words[0], fault.middle)


def _resume(report: Report, rose: Rose, run: Path, fault: Fault, whole: dict[str, Any], rewritten: set[str]) -> None:
    called = rose("resume", run.name, "--output", "quiet")
    if fault.middle:
        report.expect(called.code == 4, f"{fault.name}: exit code {called.code}")
        report.count("refused")
        shown = rose("status", run.name)
        report.findings += [f"{fault.name}: {what}" for what in _complaints(called, shown, fault)]
        if fault.good == 0:
            return
        assert _take_the_way_out(called, rose), called.err
        called = rose("resume", run.name, "--output", "quiet")
    report.count("resumed")
    if called.code == 1:
        called = _run_again(report, rose, called, fault, rewritten)
    report.expect(called.code == 0, f"{fault.name}: exit code {called.code}: {called.err}")
    judge(report, run, history(rose, run.name), whole)
    report.findings += [f"{fault.name}: {what}" for what in finished_twice(run)]


_STALE = "'metric.txt' has changed since 'active_learn' wrote it in this iteration"


def _run_again(report: Report, rose: Rose, refused: Called, fault: Fault, rewritten: set[str]) -> Called:
    """The workspace is ahead of the journal, so that a file with a metric is not the one that the journal knows: rose
    does not read it, and names the iteration to run again. Nobody else may be refused."""
    failures = re.findall(r"^✗ (\w+): (.*)", refused.out, re.MULTILINE)
    failed, stale = {name for name, _ in failures}, {name for name, why in failures if _STALE in why}
    report.expect(stale == failed <= rewritten, f"{fault.name}: {failed} have failed: {refused.out}")
    report.count("files of a metric that were not believed", len(stale))
    found = re.search(r"^ +or +(rose resume .* --from-iteration [^#\n]*)", refused.out, re.MULTILINE)
    report.expect(found is not None, f"{fault.name}: no way out is named: {refused.out}")
    return rose(*shlex.split(found[1])[1:], "--output", "quiet") if found else refused


def _complaints(refused: Called, shown: Called, fault: Fault) -> Iterator[str]:
    """What a refusal, and `rose status` after it, leaves to be desired."""
    if fault.good > 0 and f"line {fault.good + 1}:" not in refused.err:
        yield f"the refusal does not name line {fault.good + 1}: {refused.err}"
    if fault.good > 0 and (shown.code != 0 or "adaptive" not in shown.out):
        yield f"rose status shows nothing: {shown.err}"


def _take_the_way_out(refused: Called, rose: Rose) -> bool:
    """Do, to the word, what the hint says."""
    found = re.search(r"`(cp .*?)`", refused.err.replace("\n", " "))
    command = found[1] if found else "false"
    return subprocess.run(command, shell=True, check=False, cwd=rose.folder).returncode == 0
