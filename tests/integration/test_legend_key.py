"""The key that shows the legend, on a real terminal: what it shows, and that the terminal is always given back."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PATIENCE, Rose, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

CAMPAIGN = "{max_iter: 100000, tasks: {s: {executable: sleep 0.2}}, learners: [{name: a}, {name: b}]}"

PLOTTED = """
    max_iter: 100000
    tasks: {s: {executable: sleep 0.1}}
    stop: {metric: loss, operator: <, threshold: 0.5, executable: echo 1}
    learners: [{name: a}, {name: b}]
    """

OWN_TERMINAL = f"import fcntl, sys; fcntl.ioctl(0, {termios.TIOCSCTTY}, 0)"


@dataclass
class Window:
    """A terminal of 80 by 24 that is rose's own, and everything that it was sent."""

    master: int
    slave: int
    before: list[Any]
    process: subprocess.Popen[bytes]
    sent: bytearray = field(default_factory=bytearray)

    def read_all(self) -> None:
        with suppress(OSError):  # nobody has it open any more
            while True:
                self.sent += os.read(self.master, 65536)

    @property
    def text(self) -> str:
        return self.sent.decode("utf-8", "replace")

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def shows(self, text: str) -> None:
        """Wait until it is drawn, from now on."""
        start = len(self.text)
        wait_until(lambda: text in self.text[start:])

    @property
    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.slave)

    def reads_keys(self) -> bool:
        return not self.modes[3] & termios.ICANON


@contextmanager
def window(rose: Rose, *arguments: str) -> Iterator[Window]:
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(slave)
    program = f"{OWN_TERMINAL}; import os; os.execv(sys.executable, [sys.executable, '-m', 'rose_cli', *sys.argv[1:]])"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=rose.folder,
        env={**rose.environment, "TERM": "xterm-256color"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    there = Window(master, slave, before, process)
    reader = threading.Thread(target=there.read_all, daemon=True)
    reader.start()
    try:
        yield there
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        os.close(slave)
        reader.join(10)
        os.close(master)


@pytest.fixture
def endless(rose: Rose) -> Rose:
    rose.write(CAMPAIGN)
    return rose


def test_the_key_shows_the_legend_and_hides_it_again(endless: Rose) -> None:
    with window(endless, "run", "campaign.yaml", "--run-dir", "r") as there:
        there.shows("? for the legend")
        assert there.reads_keys()
        there.press("x?y")
        there.shows("an estimate: it may take longer")
        there.press("?")
        there.shows("2 learners · ")
        there.press("??")  # as if none was pressed
        there.shows("2 learners · ")
        there.press("\x03")  # Ctrl-C still reaches rose
        assert there.process.wait(PATIENCE) == 130
        assert there.modes == there.before
        assert "resume" in there.text


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGQUIT])
def test_whatever_ends_rose_the_terminal_has_its_modes_back(endless: Rose, number: signal.Signals) -> None:
    with window(endless, "run", "campaign.yaml", "--run-dir", "r") as there:
        there.shows("? for the legend")
        wait_until(there.reads_keys)
        there.process.send_signal(number)
        there.process.wait(PATIENCE)
        wait_until(lambda: there.modes == there.before)


def test_modes_that_somebody_else_has_set_are_left_alone(endless: Rose) -> None:
    """The user's shell is back at its prompt, in a mode of its own, before the terminal is given back."""
    with window(endless, "run", "campaign.yaml", "--run-dir", "r") as there:
        there.shows("? for the legend")
        os.kill(there.process.pid, signal.SIGSTOP)
        shells = there.modes
        shells[0] &= ~termios.ICRNL
        termios.tcsetattr(there.slave, termios.TCSANOW, shells)
        shells = there.modes
        there.process.kill()
        there.process.wait(PATIENCE)
        time.sleep(0.5)  # the shell at the end of the pipe has looked
        assert there.modes == shells


def test_a_stopped_rose_gives_the_terminal_back_and_takes_it_again(endless: Rose) -> None:
    with window(endless, "run", "campaign.yaml", "--run-dir", "r") as there:
        there.shows("? for the legend")
        wait_until(there.reads_keys)
        there.process.send_signal(signal.SIGTSTP)
        wait_until(lambda: there.modes == there.before)
        there.process.send_signal(signal.SIGCONT)
        wait_until(there.reads_keys)
        there.press("?")
        there.shows("an estimate: it may take longer")


def test_in_the_background_it_neither_reads_the_terminal_nor_stops(endless: Rose) -> None:
    """As after `rose run &`: a shell that is not rose has the terminal."""
    program = f"{OWN_TERMINAL}; import os, subprocess; rose = [sys.executable, '-m', 'rose_cli', *sys.argv[1:]]\n"
    program += "sys.exit(subprocess.Popen(rose, preexec_fn=os.setpgrp).wait())"
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program, "run", "campaign.yaml", "--run-dir", "r", "--output", "live"],
        cwd=endless.folder, env={**endless.environment, "TERM": "xterm"},
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    try:
        before = termios.tcgetattr(slave)
        journal = endless.folder / "r/journal.jsonl"
        wait_until(lambda: journal.exists() and journal.read_text().count("iteration_finished") > 4)
        os.write(master, b"typed for the shell\n")
        seen = journal.read_text().count("iteration_finished")
        wait_until(lambda: journal.read_text().count("iteration_finished") > seen + 10)
        assert termios.tcgetattr(slave) == before
        assert os.read(slave, 100) == b"typed for the shell\n"
    finally:
        endless("stop", "r")
        process.wait(PATIENCE)
        os.close(slave)
        os.close(master)


def test_a_watched_status_has_the_key_too(endless: Rose) -> None:
    going = endless.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    try:
        wait_until((endless.folder / "r/journal.jsonl").exists)
        with window(endless, "status", "r", "--watch") as there:
            there.shows("? for the legend")
            there.press("?")
            there.shows("an estimate: it may take longer")
            assert f"{endless.folder}/r" in there.text
            going.send_signal(signal.SIGTERM)
            going.communicate(timeout=PATIENCE)
            assert there.process.wait(PATIENCE) == 0
            assert there.modes == there.before
            assert "2 of 2 learners interrupted" in there.text or "terminated" in there.text
    finally:
        if going.poll() is None:
            going.kill()
            going.communicate()


def test_a_watched_plot_has_the_key_too_and_grows(rose: Rose) -> None:
    rose.write(PLOTTED)
    going = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    try:
        wait_until((rose.folder / "r/journal.jsonl").exists)
        with window(rose, "status", "r", "--watch", "--plot") as there:
            there.shows(" by iteration")
            there.press("?")
            there.shows("an estimate: it may take longer")
            there.press("?")
            there.shows(" by iteration")
            wait_until(lambda: "⠤" in there.text)  # a line: of a single iteration, there is only a dot
            going.send_signal(signal.SIGTERM)
            going.communicate(timeout=PATIENCE)
            assert there.process.wait(PATIENCE) == 0
            assert there.modes == there.before
    finally:
        if going.poll() is None:
            going.kill()
            going.communicate()
