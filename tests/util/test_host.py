"""Facts about this machine, asked of real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rose_cli.util.host import SuspensionGauge, boot_id, steady_clock
from rose_cli.util.processes import process_is_running, process_start_ticks

on_linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def test_the_steady_clock_begins_with_the_wall_clock_and_goes_on() -> None:
    before = time.time()
    clock = steady_clock()
    first, second = clock(), clock()
    assert before - 0.01 <= first <= second <= time.time() + 0.01


@on_linux
def test_the_boot_has_a_name_that_does_not_change() -> None:
    assert boot_id() == boot_id()
    assert len(boot_id() or "") == 36


@on_linux
def test_a_child_starts_after_its_parent() -> None:
    mine = process_start_ticks(os.getpid())
    with running("cat") as child:
        ticks = process_start_ticks(child.pid)
    assert mine is not None
    assert ticks is not None
    assert 0 < mine <= ticks


@on_linux
@pytest.mark.parametrize("name", ["with blank", "a) S 1 2 3 (b", ")))", "line\nbreak", "x)"])
def test_the_name_of_a_program_does_not_confuse(tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    shutil.copy("/bin/cat", program)
    with running(str(program)) as named_oddly, running("cat") as neighbour:
        ticks, later = process_start_ticks(named_oddly.pid), process_start_ticks(neighbour.pid)
        assert ticks is not None
        assert later is not None
        assert 0 <= later - ticks < 1000
        assert process_is_running(named_oddly.pid, ticks)


def running(program: str) -> subprocess.Popen[bytes]:
    """A program that does nothing until its standard input is closed."""
    return subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def test_a_process_that_was_reaped_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert process_start_ticks(child.pid) is None
    assert not process_is_running(child.pid, None)


@on_linux
def test_a_zombie_has_its_ticks_but_does_not_run() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert process_start_ticks(child.pid) is not None
        assert not process_is_running(child.pid, process_start_ticks(child.pid))
    finally:
        child.wait()


@on_linux
def test_the_same_number_with_another_start_is_another_process() -> None:
    ticks = process_start_ticks(os.getpid())
    assert ticks is not None
    assert process_is_running(os.getpid(), ticks)
    assert process_is_running(os.getpid(), None)
    assert not process_is_running(os.getpid(), ticks + 1)


@pytest.mark.parametrize("pid", [0, -1, 1 << 22, 1 << 80])
def test_a_number_that_no_process_can_have_is_nobody(pid: int) -> None:
    assert process_start_ticks(pid) is None
    assert not process_is_running(pid, None)


def test_a_gauge_counts_only_pulses_that_are_far_too_late() -> None:
    now = 100.0
    gauge = SuspensionGauge(lambda: now)
    for pause, suspended in ((0.1, 0.0), (1.0, 0.0), (5.9, 0.0), (3601.0, 3600.0), (1.0, 3600.0), (11.0, 3610.0)):
        now += pause
        assert gauge.pulse() == suspended
