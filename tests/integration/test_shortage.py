"""Rose where memory, threads, processes or open files are short: it ends soon, and names the limit."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import REPOSITORY, wait_until

if TYPE_CHECKING:
    from tests.conftest import Rose

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
SOON_SECONDS = 120
"""On a machine that has other things to do; what hangs, hangs for ever."""
ROSE = (sys.executable, "-m", "rose_cli", "run", "campaign.yaml", "--run-dir", "r", "--output", "plain")
FEW = "{max_iter: 1, learners: 1, tasks: {t: {executable: echo ok}}}"
MANY = "{max_iter: 2, learners: 400, limits: {same_failure: 5}, tasks: {t: {executable: echo ok}}}"


def limited(rose: Rose, limit: str, *prefix: str, words: tuple[str, ...] = ROSE) -> subprocess.CompletedProcess[str]:
    command = [*prefix, "sh", "-c", f'ulimit {limit}; exec "$@"', "sh", *words]
    done = subprocess.run(
        command, cwd=rose.folder, env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SOON_SECONDS,
        check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stdout, done.stdout
    assert "bug" not in done.stdout, done.stdout
    return done


@pytest.mark.parametrize("megabytes", [40, *range(48, 92, 2), 120, 200, 400])
def test_little_memory(rose: Rose, megabytes: int) -> None:
    rose.write(FEW)
    done = limited(rose, f"-v {megabytes << 10}")
    assert done.returncode in (0, 5), done.stdout
    assert (done.returncode == 0) != (f"'ulimit -v' allows {megabytes} MB of memory" in done.stdout), done.stdout


@pytest.mark.parametrize("megabytes", [72, 84, 300])
def test_little_memory_for_many_learners(rose: Rose, megabytes: int) -> None:
    rose.write(MANY)
    words = (*ROSE[:-1], "live")
    pty = ("script", "-qec", " ".join(words), "/dev/null") if shutil.which("script") else words
    done = limited(rose, f"-v {megabytes << 10}", words=pty)
    assert done.returncode in (0, 5), done.stdout
    assert (done.returncode == 0) != (f"'ulimit -v' allows {megabytes} MB of memory" in done.stdout), done.stdout


@pytest.mark.parametrize("megabytes", [1, 6, 12])
def test_the_memory_ends_in_the_middle_of_a_run(rose: Rose, megabytes: int) -> None:
    rose.write("{max_iter: 100000, learners: 4, tasks: {t: {executable: echo ok}}}")
    process = rose.start(*ROSE[3:])
    journal = rose.folder / "r/journal.jsonl"
    wait_until(lambda: journal.exists() and "iteration_finished" in journal.read_text())
    size = re.search(r"VmSize:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
    assert size is not None
    bound = (int(size[1]) << 10) + (megabytes << 20)
    resource.prlimit(process.pid, resource.RLIMIT_AS, (bound, resource.RLIM_INFINITY))
    out, err = process.communicate(timeout=SOON_SECONDS)
    assert process.returncode == 5, (out[-1000:], err)
    assert "there is not enough memory ('ulimit -v' allows" in err
    assert "Traceback" not in err
    assert rose("resume", "r", "--max-iter", "100001", "--dry-run").code == 0


@pytest.mark.parametrize("number", [*range(6, 20), 24, 32])
def test_few_open_files(rose: Rose, number: int) -> None:
    rose.write(FEW)
    done = limited(rose, f"-n {number}")
    assert done.returncode in (0, 1, 4, 5), done.stdout
    assert (done.returncode == 0) != ("ulimit -n" in done.stdout), done.stdout


def _another_user() -> tuple[str, ...]:
    """Somebody who has no process yet, and may read these files all the same."""
    right = "+dac_read_search"
    return ("setpriv", "--reuid", "12345", "--clear-groups", f"--inh-caps={right}", f"--ambient-caps={right}")


def _cannot_be_another() -> bool:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return True
    return subprocess.run([*_another_user(), "true"], check=False, capture_output=True).returncode != 0


@pytest.mark.skipif(_cannot_be_another(), reason="only root can be another user")
@pytest.mark.parametrize(("number", "text"), [*((number, FEW) for number in range(9)), (4, MANY), (12, MANY)])
def test_few_processes(rose: Rose, number: int, text: str) -> None:
    rose.write(text)
    os.chown(rose.folder, 12345, -1)
    done = limited(rose, f"-u {number}", *_another_user())
    assert done.returncode in (0, 1, 5), done.stdout
    assert (done.returncode == 0) != ("ulimit -u" in done.stdout), done.stdout
