"""A long plan on a terminal is read with the user's pager; nothing else is."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conftest import Rose

LONG = "{max_iter: 9, tasks: {t: {executable: echo, adaptive: {--n: i}}}, learners: 1}"
FULL = ("plan", "campaign.yaml", "--full")


def on_terminal(rose: Rose, words: Sequence[str], lines: int = 12, **variables: str) -> tuple[int, str]:
    """The exit code and what the terminal gets, if rose is called on one."""
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", lines, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "rose_cli", *words],
        cwd=rose.folder,
        env={**rose.environment, "TERM": "xterm", **variables},
        stdin=inside,
        stdout=inside,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    os.close(inside)
    found = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # everybody has closed it
            break
        if not data:
            break
        found += data
    os.close(terminal)
    return process.wait(timeout=PATIENCE), found.decode().replace("\r\n", "\n")


@pytest.fixture
def plan(rose: Rose) -> Rose:
    rose.write(LONG)
    rose.script('#!/bin/sh\necho "PAGER $* LESS=$LESS"\ncat\necho END\n', "pager")
    return rose


def test_a_long_plan_is_paged_with_its_colours(plan: Rose) -> None:
    code, out = on_terminal(plan, FULL, PAGER=f"{plan.folder}/pager -x 'a b'")
    lines = out.splitlines()
    assert code == 0
    assert (lines[0], lines[-1]) == ("PAGER -x a b LESS=FRX", "END")
    assert lines[1] == "\x1b[1mcampaign: 1 learner, engine local\x1b[0m"
    assert "\n".join(lines[1:-1]).replace("\x1b[1m", "").replace("\x1b[0m", "") == plan(*FULL).out.rstrip("\n")
    _, out = on_terminal(plan, FULL, PAGER=f"{plan.folder}/pager", LESS="-iM", NO_COLOR="1")
    assert out.splitlines()[0] == "PAGER  LESS=-R -iM"
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        ((*FULL, "--no-pager"), {}),
        (FULL, {"PAGER": "cat"}),
        (FULL, {"PAGER": ""}),
        (FULL, {"PAGER": "no-such-pager -R"}),
        (FULL, {"PAGER": "'unclosed"}),
        (FULL, {"TERM": "dumb"}),
        (("plan", "campaign.yaml", "--iteration", "0", "--learner", "learner-0", "--format", "json"), {}),
    ],
)
def test_a_plan_is_printed_if_no_pager_is_wanted_or_there_is_none(
    plan: Rose, words: tuple[str, ...], variables: dict[str, str]
) -> None:
    given = {"PAGER": f"{plan.folder}/pager", **variables}
    code, out = on_terminal(plan, words, 12, **given)
    assert (code, "PAGER" in out) == (0, False)
    assert out.replace("\x1b[1m", "").replace("\x1b[0m", "") == plan(*words).out


def test_a_plan_that_fits_is_not_paged(plan: Rose) -> None:
    assert "PAGER" not in on_terminal(plan, FULL, lines=80, PAGER=f"{plan.folder}/pager")[1]
    out = plan(*FULL, PAGER=f"{plan.folder}/pager").out
    assert "PAGER" not in out, "it is no terminal"
    assert "\x1b" not in out


def test_a_pager_that_is_left_early_is_no_error(plan: Rose) -> None:
    plan.write("{max_iter: 3000, tasks: {t: {executable: echo, adaptive: {--n: i}}}, learners: 1}")
    code, out = on_terminal(plan, FULL, PAGER="head -n 1")
    assert (code, out) == (0, "\x1b[1mcampaign: 1 learner, engine local\x1b[0m\n")


def test_ctrl_c_belongs_to_the_pager(plan: Rose) -> None:
    plan.script("#!/bin/sh\ntrap 'echo CAUGHT' INT\nkill -INT $PPID $$\ncat >/dev/null\necho END\n", "pager")
    code, out = on_terminal(plan, FULL, PAGER=f"{plan.folder}/pager")
    assert (code, out) == (0, "CAUGHT\nEND\n")
