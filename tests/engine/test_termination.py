"""Finding and terminating what earlier sessions left running."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from rose_cli.engine.termination import RecordedProcesses, Terminator, terminate_leftovers
from rose_cli.util.processes import ProcessScan, process_start_ticks, run_tag, session_tag
from tests.engine.conftest import PROGRAMS
from tests.processes import SLEEP, gone, started, tagged

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run_id() -> str:
    return f"run {uuid.uuid4().hex}"


def test_children_without_a_tag_belong_to_their_parents(run_id: str) -> None:
    script = "env -i setsid sleep 1000 & echo $!; wait"
    with started("sh", "-c", script, tag=session_tag(run_id, 1), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.stdout.close()
        assert set(tagged(run_tag(run_id))) >= {process.pid, child}
        terminate_leftovers(run_id, grace_seconds=0.1)
        assert gone(child)


def test_leftovers_end_but_for_the_session_kept(run_id: str) -> None:
    with (
        started(*SLEEP, tag=session_tag(run_id, 1) + "a"),
        started(*SLEEP, tag=session_tag(run_id, 2) + "a"),
        started(*SLEEP, tag=session_tag(run_id, 3) + "a") as kept,
        started(*SLEEP, tag=session_tag(run_id + "0", 1) + "a") as another,
    ):
        assert terminate_leftovers(run_id, keep_session=3) == 2
        assert tagged(run_tag(run_id)) == [kept.pid]
        assert not gone(another.pid)
        assert terminate_leftovers(run_id) == 1
        assert terminate_leftovers(run_id) == 0


def test_leftovers_that_do_not_obey_end_too(run_id: str, tmp_path: Path) -> None:
    argv = (sys.executable, "-S", str(PROGRAMS / "ignores_term.py"))
    with started(*argv, tag=session_tag(run_id, 1), cwd=tmp_path) as process:
        while not (tmp_path / "pid").exists():
            time.sleep(0.002)
        assert terminate_leftovers(run_id, grace_seconds=3.0) == 1
        assert process.wait() == -signal.SIGKILL
    assert (tmp_path / "terms").read_text() == "1"


def test_a_stopped_process_gets_to_act_on_term(run_id: str, tmp_path: Path) -> None:
    argv = (sys.executable, "-S", str(PROGRAMS / "obeys_term.py"))
    with started(*argv, tag=session_tag(run_id, 1), cwd=tmp_path) as process:
        while not (tmp_path / "pid").exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGSTOP)
        assert terminate_leftovers(run_id, grace_seconds=60) == 1
        assert process.wait() == 0
    assert (tmp_path / "ended-well").exists()


def test_a_process_written_down_is_ended_with_its_group_where_it_prints_into_the_run(
    run_id: str, tmp_path: Path
) -> None:
    logs, others = tmp_path.resolve() / "logs", tmp_path.resolve() / "log"
    logs.mkdir()
    script = "sleep 1000 & echo $!; wait"
    with (
        (logs / "out").open("wb") as out,
        started("sh", "-c", script, stdout=out, start_new_session=True) as process,
    ):
        while not (text := (logs / "out").read_text()).endswith("\n"):
            time.sleep(0.002)
        child, ticks = int(text), process_start_ticks(process.pid)
        assert ticks is not None
        this = (process.pid, ticks)
        for claimed, folder in (([(process.pid, ticks + 1), (1 << 22, 5)], logs), ([this], others)):
            assert terminate_leftovers(run_id, recorded=RecordedProcesses(claimed, [], [str(folder)])) == 0
        assert not gone(process.pid)
        assert terminate_leftovers(run_id, recorded=RecordedProcesses([this], [], [str(others), str(logs)])) == 2
        assert gone(process.pid)
        assert gone(child)


def test_a_tag_that_is_only_claimed_proves_nothing(run_id: str, tmp_path: Path) -> None:
    logs, other = tmp_path.resolve(), f"{run_id}-of-another"
    with started(*SLEEP, tag=session_tag(other, 1)) as process:
        assert terminate_leftovers(run_id, recorded=RecordedProcesses([], [other], [str(logs)])) == 0
        assert not gone(process.pid)
    with (logs / "err").open("wb") as err, started(*SLEEP, tag=session_tag(other, 1), stderr=err):
        assert terminate_leftovers(run_id, recorded=RecordedProcesses([], [other], [str(logs)])) == 1


def test_a_terminator_with_patience_lets_processes_end_on_their_own(run_id: str) -> None:
    with started("sleep", "0.1", tag=session_tag(run_id, 1)):
        terminator = Terminator(
            lambda _: ProcessScan().find(lambda tag: tag.startswith(run_tag(run_id))), 0.0, patience_seconds=60
        )
        terminator.run_blocking()
    assert (terminator.signalled, terminator.survivors) == (0, [])
