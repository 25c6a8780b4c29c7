"""What happens to a folder between two sessions: it is moved, copied, and its workspaces are purged."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.conftest import Rose
from tests.torture.campaign import history, whole_history, write_campaign
from tests.torture.session import interrupted_run
from tests.torture.verdict import Report, events_of, judge

if TYPE_CHECKING:
    import random
    from pathlib import Path

_MOVES = ("mv {here} {there}", "cp -a {here} {there} && rm -r {here}", "cp -r {here} {there} && rm -r {here}")
_COPIES = ("cp -a {here} {there}", "cp -r {here} {there}", "mkdir {there} && tar c -C {here} . | tar x -C {there}")


def move_between_sessions(folder: Path, seed: random.Random, times: int) -> Report:
    """A run that is killed, moved, killed again and moved again comes to the history of one that nobody touched."""
    report = Report("moved between sessions")
    whole = whole_history(write_campaign(folder / "whole", max_iter=4))
    for number in range(times):
        rose = write_campaign(folder / f"{number}.0", max_iter=4)
        interrupted_run(rose, seed.randint(1, 12))
        for place in range(1, seed.randint(2, 4)):
            there = folder / f"{number}.{place}"
            _shell(seed.choice(_MOVES), rose.folder, there)
            rose = Rose(there)
            report.count("moves")
        _bring_to_its_end(report, rose, whole)
    return report


def copy_between_sessions(folder: Path, seed: random.Random, times: int) -> Report:
    """Original and copy come to the same history, and neither changes the other."""
    report = Report("copied between sessions")
    whole = whole_history(write_campaign(folder / "whole", max_iter=4))
    for number in range(times):
        here = write_campaign(folder / f"{number}.0", max_iter=4)
        origin = interrupted_run(here, seed.randint(1, 12))
        there = Rose(folder / f"{number}.1")
        _shell(seed.choice(_COPIES), here.folder, there.folder)
        report.count("copies")
        first, second = seed.sample((here, there), 2)
        before = _contents(second.folder / origin.name)
        _bring_to_its_end(report, first, whole)
        report.expect(_contents(second.folder / origin.name) == before, f"{first.folder.name} changed the other one")
        _bring_to_its_end(report, second, whole)
    return report


def purge_between_sessions(folder: Path, seed: random.Random, times: int) -> Report:
    """A learner that lost its workspace is refused by name, the others end as if nothing had been, and so it does
    once it is started over."""
    report = Report("purged between sessions")
    whole = whole_history(write_campaign(folder / "whole", max_iter=4))
    for number in range(times):
        rose = write_campaign(folder / f"{number}", max_iter=4)
        run = interrupted_run(rose, seed.randint(8, 16))
        ended = [event for event in events_of(run) if event["event"] == "iteration_finished"]
        begun = sorted({event["learner"] for event in ended} - {""})  # "": what runs once per campaign
        victims = seed.sample(begun, seed.randint(1, len(begun))) if begun else []
        for victim in victims:
            place = run / "learners" / victim / "workspace"
            shutil.rmtree(place)
            if seed.random() < 0.5:
                place.mkdir()
            report.count("purges")
        stopped = {event["learner"] for event in events_of(run) if event["event"] == "learner_stopped"}
        lost = [victim for victim in victims if victim not in stopped]
        called = rose("resume", run.name, "--output", "quiet")
        report.expect(called.code == (4 if lost else 0), f"{number}: exit code {called.code}: {called.err}")
        for victim in lost:
            is_named = f"'{victim}' cannot continue" in called.err
            report.expect(is_named, f"{number}: '{victim}' is not named: {called.err}")
        unfinished = {*lost, *(("campaign",) if lost else ())}
        others = {name: found for name, found in history(rose, run.name).items() if name not in unfinished}
        report.expect(others == {name: whole[name] for name in others}, f"{number}: others came to {others}")
        if lost:
            chosen = [word for victim in lost for word in ("--learner", victim)]
            over = rose("resume", run.name, "--from-iteration", "0", *chosen, "--output", "quiet")
            report.expect(over.code == 0, f"{number}: started over: {over.code}: {over.err}")
        found = history(rose, run.name)
        report.expect(found == whole, f"{number}: the history differs: {found} instead of {whole}")
    return report


def _bring_to_its_end(report: Report, rose: Rose, whole: dict[str, object]) -> None:
    called = rose("resume", "origin", "--output", "quiet")
    report.expect(called.code == 0, f"{rose.folder.name}: the last session ended with {called.code}: {called.err}")
    judge(report, rose.folder / "origin", history(rose, "origin"), whole)


def _shell(line: str, here: Path, there: Path) -> None:
    subprocess.run(["/bin/sh", "-ec", line.format(here=here, there=there)], check=True)


def _contents(folder: Path) -> dict[str, object]:
    return {
        str(path.relative_to(folder)): path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
        for path in folder.rglob("*")
    }
