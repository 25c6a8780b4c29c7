"""What the machine refuses: output that nobody reads or that has no room, files that are closed to us. Never a bug."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PATIENCE, REPOSITORY

if TYPE_CHECKING:
    from tests.conftest import Rose

READING = ("plan campaign.yaml", "validate --format json campaign.yaml", "list", "status", "export", "--help")
HAS_FULL_DISK = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@pytest.fixture
def campaign(rose: Rose) -> Rose:
    rose.write("{max_iter: 2, tasks: {simulation: {executable: 'true'}}, learners: 2}")
    return rose


def in_shell(rose: Rose, line: str) -> subprocess.CompletedProcess[str]:
    """A line for bash, where `rose` is ours."""
    script = f"""set -o pipefail; rose() {{ {shlex.quote(sys.executable)} -m rose_cli "$@"; }}; {line}"""
    return subprocess.run(
        ["bash", "-c", script],
        cwd=rose.folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(campaign: Rose, closed: str) -> None:
    for command in ("run campaign.yaml", *READING):
        done = in_shell(campaign, f"rose {command} {closed}")
        told = re.sub(r"\Arun 'rose-runs/campaign-\d+-1'\n\Z", "", done.stderr)  # which run it shows
        assert (command, done.returncode, told) == (command, 0, "")
    assert [run["status"] for run in campaign.json("list", "--format", "json")] == ["done"]


def test_a_reader_that_goes_away_is_not_worth_a_word(campaign: Rose) -> None:
    for command in ("run campaign.yaml --output json", "run campaign.yaml --output quiet", *READING):
        done = in_shell(campaign, f"rose {command} | true")
        assert "Traceback" not in done.stderr
        assert "bug" not in done.stderr
    assert [run["status"] for run in campaign.json("list", "--format", "json")] == ["done", "done"]


@HAS_FULL_DISK
def test_a_full_disk_under_the_output_is_said(campaign: Rose) -> None:
    for command in ("plan campaign.yaml", "validate --format json campaign.yaml", "--help"):
        done = in_shell(campaign, f"rose {command} > /dev/full")
        assert done.returncode == 4
        assert done.stderr.startswith("error: cannot write the output: no space left on device")


@HAS_FULL_DISK
def test_a_run_goes_on_where_its_output_has_no_room(campaign: Rose) -> None:
    assert in_shell(campaign, "rose run campaign.yaml > /dev/full").returncode == 0
    assert [run["status"] for run in campaign.json("list", "--format", "json")] == ["done"]


def test_a_path_that_the_machine_refuses_is_said(rose: Rose) -> None:
    for command in ("status", "resume", "stop", "logs", "export", "list"):
        called = rose(command, "x" * 300)
        assert called.code in (2, 4)
        assert called.err.startswith("error: ")


def test_a_working_folder_that_is_gone_is_no_bug(campaign: Rose) -> None:
    for command in ("run ../campaign.yaml", "list", "status", "resume", "init"):
        done = in_shell(campaign, f"mkdir gone && cd gone && rmdir ../gone && rose {command}")
        assert "bug" not in done.stderr
        assert done.returncode != 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_others_have_closed_is_left_out_or_named(campaign: Rose) -> None:
    assert campaign("run", "campaign.yaml", "--run-dir", "rose-runs/closed").code == 0
    assert campaign("run", "campaign.yaml", "--run-dir", "rose-runs/open").code == 0
    (campaign.folder / "rose-runs/closed").chmod(0)
    assert [run["name"] for run in campaign.json("list", "--format", "json")] == ["open"]
    called = campaign("status", "rose-runs/closed")
    assert called.code == 4
    assert "permission denied" in called.err
    (campaign.folder / "rose-runs/closed").chmod(0o700)
