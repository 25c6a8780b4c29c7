"""A small file system that fills up at random moments, with rose's journal and all workspaces on it."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.conftest import PATIENCE
from tests.torture.campaign import history, whole_history, write_campaign
from tests.torture.system_calls import said
from tests.torture.verdict import Report, events_of, judge, key_of

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.conftest import Rose

_SIZE_KB = 3000


def cannot_mount() -> str | None:
    """Why there can be no small file system here; None where there can. Root alone is not enough in a container."""
    try:
        with TemporaryDirectory() as folder, small_disk(Path(folder) / "disk"):
            return None
    except (OSError, subprocess.CalledProcessError) as error:
        return f"a small tmpfs cannot be mounted here: {error}"


@contextmanager
def small_disk(place: Path, size_kb: int = _SIZE_KB, inodes: int | None = None) -> Iterator[Path]:
    """A tmpfs at `place`; gone with all that is on it when this is left."""
    place.mkdir(parents=True)
    bounds = f"size={size_kb}k" if inodes is None else f"size={size_kb}k,nr_inodes={inodes}"
    options = ["-t", "tmpfs", "-o", bounds, "tmpfs"]
    subprocess.run(["mount", *options, str(place)], check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill_the_disk(folder: Path, seed: random.Random, fills: int) -> Report:
    """Session after session meets a full disk; each time space is freed and the run goes on."""
    report = Report("full disk")
    whole = whole_history(write_campaign(folder / "elsewhere", max_iter=4))
    with small_disk(folder / "disk") as disk:
        rose = write_campaign(disk, max_iter=4)
        run = disk / "r"
        for _ in range(fills):
            if _session(report, rose, run, seed) == 0:
                judge(report, run, history(rose, run.name), whole)
                subprocess.run(["rm", "-rf", str(run)], check=True)
        codes = [_last_session(rose, run) for _ in range(3)]  # a learner whose tasks found no space has failed once
        report.expect(codes[-1] == 0, f"the last sessions ended with {codes}")
        judge(report, run, history(rose, run.name), whole)
    return report


def _arguments(run: Path) -> tuple[str, ...]:
    if not (run / "plan.json").exists():
        subprocess.run(["rm", "-rf", str(run)], check=True)
        return ("run", "campaign.yaml", "--run-dir", run.name, "--output", "json")
    return ("resume", run.name, "--output", "json")


def _last_session(rose: Rose, run: Path) -> int:
    return rose(*_arguments(run)).code


def _session(report: Report, rose: Rose, run: Path, seed: random.Random) -> int:
    """One session; at some moment before or in it the disk fills up but for a few kilobytes. Its exit code."""
    arguments = _arguments(run)
    filler, free_kb = rose.folder / "filler", seed.choice((0, 0, 4, 40, 90))
    process = rose.start(*arguments)
    with suppress(subprocess.TimeoutExpired):
        process.wait(seed.uniform(0, 4))
    _fill(filler, free_kb)
    out, err = process.communicate(timeout=PATIENCE)
    filler.unlink()
    report.count("fills")
    report.count(f"x exit {process.returncode}")
    report.expect(process.returncode in (0, 1, 4), f"exit code {process.returncode}: {err}")
    if process.returncode == 4:
        report.expect("error:" in err, "exit code 4 without a message")
    lost = said(out) - {key_of(event) for event in events_of(run)}
    report.expect(not lost, f"rose had said, and lost: {sorted(lost)}")
    return process.returncode


def _fill(filler: Path, free_kb: int) -> None:
    """All of the disk, then so much of it free again."""
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o644)
    size = 0
    with suppress(OSError):
        while True:
            size += os.write(descriptor, bytes(4096))
    os.ftruncate(descriptor, max(0, size - free_kb * 1024))
    os.close(descriptor)
