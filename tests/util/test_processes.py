"""Finding and signalling processes, tried on real ones."""

from __future__ import annotations

import os
import signal
import uuid
from typing import TYPE_CHECKING

import pytest

from rose_cli.util.processes import (
    ProcessScan,
    process_start_ticks,
    read_process,
    read_tag,
    run_tag,
    send_signal,
    session_tag,
)
from tests.processes import SLEEP, gone, started

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run_id() -> str:
    return f"run {uuid.uuid4().hex}"


@pytest.mark.parametrize("name", ["a) R 1 2 3 (b", ")))", "with blank"])
def test_a_name_does_not_confuse(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/bin/sleep")
    with started(str(tmp_path / name), "1000", start_new_session=True) as process:
        found = read_process(process.pid)
    assert found is not None
    assert (found.pid, found.group, found.parent) == (process.pid, process.pid, os.getpid())
    assert found.state in "RSD"
    assert abs(found.start_ticks - (process_start_ticks(os.getpid()) or 0)) < 10**7


def test_the_tag_is_read_back(run_id: str) -> None:
    tag = session_tag(run_id, 1) + 'a task\'s uid, with "all" of it = ü'
    with started(*SLEEP, tag=tag) as process:
        assert read_tag(process.pid) == tag
    assert read_tag(process.pid) is None


def test_no_tag_begins_with_that_of_another_run_or_session() -> None:
    assert not session_tag("a.1", 2).startswith(run_tag("a"))
    assert not session_tag("ab", 2).startswith(run_tag("a"))
    assert not session_tag("a", 11).startswith(session_tag("a", 1))
    assert not session_tag("a%2E1", 1).startswith(run_tag("a.1"))


def test_whoever_got_the_number_of_another_is_left_alone(run_id: str) -> None:
    with started(*SLEEP, tag=session_tag(run_id, 1)) as process:
        found = read_process(process.pid)
        assert found is not None
        send_signal(found._replace(start_ticks=found.start_ticks - 1), signal.SIGKILL)
        assert not gone(process.pid)
        send_signal(found, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


def test_signals_arrive_where_there_is_no_pidfd(run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with started(*SLEEP, tag=session_tag(run_id, 1)) as process:
        found = read_process(process.pid)
        assert found is not None
        send_signal(found._replace(start_ticks=found.start_ticks - 1), signal.SIGKILL)
        assert not gone(process.pid)
        send_signal(found, signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM


def test_a_scan_for_many_looks_sees_who_comes_and_goes(run_id: str) -> None:
    session = session_tag(run_id, 1)
    with started(*SLEEP, tag=session + "early"):
        scan = ProcessScan(session)

        def look(uid: str) -> list[int]:
            return [process.pid for process in scan.find(lambda tag: tag == session + uid)]

        with started(*SLEEP, tag=session + "a") as first, started(*SLEEP, tag=session + "b") as second:
            assert (look("a"), look("b"), look("early")) == ([first.pid], [second.pid], [])
            assert look("a") == [first.pid]
        assert (look("a"), look("b")) == ([], [])
