"""Finding and ending processes, by the processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from rose_cli.engine.cleanup import Claims, Ending, end_leftovers
from rose_cli.util.host import process_start_ticks
from rose_cli.util.processes import MARK_VARIABLE, Census, mark_of, read_process, run_mark, send_signal, session_mark
from tests.engine.conftest import PROGRAMS, gone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLEEP = ("sleep", "1000")


@contextmanager
def started(*argv: str, mark: str | None = None, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process, reaped by a thread as soon as it ends, as the init process would do."""
    environment = {**os.environ, **({} if mark is None else {MARK_VARIABLE: mark})}
    process = subprocess.Popen(argv, env=environment, **options)  # type: ignore[call-overload]
    reaper = threading.Thread(target=process.wait)
    reaper.start()
    try:
        yield process
    finally:
        process.kill()
        reaper.join()


@pytest.fixture
def run_id() -> str:
    return f"run {uuid.uuid4().hex}"


def marked(prefix: str) -> list[int]:
    return [process.pid for process in Census().members(lambda mark: mark.startswith(prefix))]


@pytest.mark.parametrize("name", ["a) R 1 2 3 (b", ")))", "with blank"])
def test_a_name_does_not_confuse(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/bin/sleep")
    with started(str(tmp_path / name), "1000", start_new_session=True) as process:
        found = read_process(process.pid)
    assert found is not None
    assert (found.pid, found.group, found.parent) == (process.pid, process.pid, os.getpid())
    assert found.state in "RSD"
    assert abs(found.start_ticks - (process_start_ticks(os.getpid()) or 0)) < 10**7


def test_the_mark_is_read_back(run_id: str) -> None:
    mark = session_mark(run_id, 1) + 'a task\'s uid, with "all" of it = ü'
    with started(*SLEEP, mark=mark) as process:
        assert mark_of(process.pid) == mark
    assert mark_of(process.pid) is None


def test_no_mark_begins_with_that_of_another_run_or_session() -> None:
    assert not session_mark("a.1", 2).startswith(run_mark("a"))
    assert not session_mark("ab", 2).startswith(run_mark("a"))
    assert not session_mark("a", 11).startswith(session_mark("a", 1))
    assert not session_mark("a%2E1", 1).startswith(run_mark("a.1"))


def test_whoever_got_the_number_of_another_is_left_alone(run_id: str) -> None:
    with started(*SLEEP, mark=session_mark(run_id, 1)) as process:
        found = read_process(process.pid)
        assert found is not None
        send_signal(found._replace(start_ticks=found.start_ticks - 1), signal.SIGKILL)
        assert not gone(process.pid)
        send_signal(found, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


def test_signals_arrive_where_there_is_no_pidfd(run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with started(*SLEEP, mark=session_mark(run_id, 1)) as process:
        found = read_process(process.pid)
        assert found is not None
        send_signal(found._replace(start_ticks=found.start_ticks - 1), signal.SIGKILL)
        assert not gone(process.pid)
        send_signal(found, signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM


def test_a_census_for_many_looks_sees_who_comes_and_goes(run_id: str) -> None:
    session = session_mark(run_id, 1)
    with started(*SLEEP, mark=session + "early"):
        census = Census(session)

        def look(uid: str) -> list[int]:
            return [process.pid for process in census.members(lambda mark: mark == session + uid)]

        with started(*SLEEP, mark=session + "a") as first, started(*SLEEP, mark=session + "b") as second:
            assert (look("a"), look("b"), look("early")) == ([first.pid], [second.pid], [])
            assert look("a") == [first.pid]
        assert (look("a"), look("b")) == ([], [])


def test_children_without_a_mark_belong_to_their_parents(run_id: str) -> None:
    script = "env -i setsid sleep 1000 & echo $!; wait"
    with started("sh", "-c", script, mark=session_mark(run_id, 1), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.stdout.close()
        assert set(marked(run_mark(run_id))) >= {process.pid, child}
        end_leftovers(run_id, grace_seconds=0.1)
        assert gone(child)


def test_leftovers_end_but_for_the_session_kept(run_id: str) -> None:
    with (
        started(*SLEEP, mark=session_mark(run_id, 1) + "a"),
        started(*SLEEP, mark=session_mark(run_id, 2) + "a"),
        started(*SLEEP, mark=session_mark(run_id, 3) + "a") as kept,
        started(*SLEEP, mark=session_mark(run_id + "0", 1) + "a") as another,
    ):
        assert end_leftovers(run_id, keep_session=3) == 2
        assert marked(run_mark(run_id)) == [kept.pid]
        assert not gone(another.pid)
        assert end_leftovers(run_id) == 1
        assert end_leftovers(run_id) == 0


def test_leftovers_that_do_not_obey_end_too(run_id: str, tmp_path: Path) -> None:
    argv = (sys.executable, "-S", str(PROGRAMS / "ignores_term.py"))
    with started(*argv, mark=session_mark(run_id, 1), cwd=tmp_path) as process:
        while not (tmp_path / "pid").exists():
            time.sleep(0.002)
        assert end_leftovers(run_id, grace_seconds=3.0) == 1
        assert process.wait() == -signal.SIGKILL
    assert (tmp_path / "terms").read_text() == "1"


def test_a_stopped_process_gets_to_act_on_term(run_id: str, tmp_path: Path) -> None:
    argv = (sys.executable, "-S", str(PROGRAMS / "obeys_term.py"))
    with started(*argv, mark=session_mark(run_id, 1), cwd=tmp_path) as process:
        while not (tmp_path / "pid").exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGSTOP)
        assert end_leftovers(run_id, grace_seconds=60) == 1
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
            assert end_leftovers(run_id, claims=Claims(claimed, [], str(folder))) == 0
        assert not gone(process.pid)
        assert end_leftovers(run_id, claims=Claims([this], [], str(logs))) == 2
        assert gone(process.pid)
        assert gone(child)


def test_a_mark_that_is_only_claimed_proves_nothing(run_id: str, tmp_path: Path) -> None:
    logs, other = tmp_path.resolve(), f"{run_id}-of-another"
    with started(*SLEEP, mark=session_mark(other, 1)) as process:
        assert end_leftovers(run_id, claims=Claims([], [other], str(logs))) == 0
        assert not gone(process.pid)
    with (logs / "err").open("wb") as err, started(*SLEEP, mark=session_mark(other, 1), stderr=err):
        assert end_leftovers(run_id, claims=Claims([], [other], str(logs))) == 1


def test_an_ending_gives_up_on_nobody_it_was_patient_with(run_id: str) -> None:
    with started("sleep", "0.1", mark=session_mark(run_id, 1)):
        ending = Ending(
            lambda _: Census().members(lambda mark: mark.startswith(run_mark(run_id))), 0.0, patience_seconds=60
        )
        ending.run()
    assert (ending.signalled, ending.left) == (0, [])
