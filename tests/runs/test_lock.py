"""Who gets the lock when sessions race, die, hang on other hosts or leave rubbish: with real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rose_cli.runs.lock import RunLock, _guard_of, read_lock, read_owner
from rose_cli.runs.lock_owner import LockOwner, current_owner, is_alive
from rose_cli.util.errors import RunDirectoryError, RunLockedError
from rose_cli.util.files import directory_identity
from rose_cli.util.host import boot_id
from rose_cli.util.processes import process_start_ticks
from tests.programs.refuse import supported

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Starter

NOBODY = 1 << 22  # Linux hands out no number from here on
needs_seccomp = pytest.mark.skipif(not supported(), reason="needs seccomp")
links = pytest.mark.parametrize("words", [(), pytest.param(("no-links",), marks=needs_seccomp)], ids=["links", "none"])


def dead_owner() -> LockOwner:
    return replace(current_owner(), pid=NOBODY, start_ticks=1)


def plant(run: Path, owner: LockOwner) -> Path:
    path = run / "lock"
    path.write_bytes(owner.encode())
    return path


def left_in(run: Path) -> list[str]:
    return sorted(path.name for path in run.iterdir())


def tell(process: subprocess.Popen[str], line: object) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().partition(":")[0].strip()


def told(process: subprocess.Popen[str], line: object) -> str:
    """What the program answers to a line."""
    tell(process, line)
    return answer(process)


def locker(start_program: Starter, *words: str) -> subprocess.Popen[str]:
    process = start_program("locker.py", *words)
    assert answer(process) == "ready"
    return process


def test_the_lock_says_who_holds_it_and_goes_when_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    before = time.time()
    with RunLock.acquire(tmp_path):
        owner = read_owner(tmp_path)
        assert owner is not None
        assert (owner.host, owner.pid, owner.job_id) == (socket.gethostname(), os.getpid(), "4711")
        assert (owner.boot_id, owner.start_ticks) == (boot_id(), process_start_ticks(os.getpid()))
        assert before <= owner.time <= time.time()
        assert is_alive(owner) is True
        assert left_in(tmp_path)[-1] == "lock"
    assert left_in(tmp_path) == []
    assert read_owner(tmp_path) is None


def test_the_lock_is_plain_json(tmp_path: Path) -> None:
    with RunLock.acquire(tmp_path):
        entries = json.loads((tmp_path / "lock").read_text())
    assert set(entries) >= {"host", "boot_id", "pid", "start_ticks", "time", "user", "job_id"}


def test_one_process_cannot_hold_it_twice(tmp_path: Path) -> None:
    with RunLock.acquire(tmp_path):
        with pytest.raises(RunLockedError):
            RunLock.acquire(tmp_path)
        assert read_owner(tmp_path) is not None
    RunLock.acquire(tmp_path).release()
    assert left_in(tmp_path) == []


def test_releasing_twice_does_no_harm(tmp_path: Path) -> None:
    lock = RunLock.acquire(tmp_path)
    lock.release()
    with RunLock.acquire(tmp_path):
        lock.release()
        assert read_owner(tmp_path) is not None


@links
def test_a_living_owner_is_named(tmp_path: Path, start_program: Starter, words: tuple[str, ...]) -> None:
    owner = locker(start_program, *words)
    assert told(owner, tmp_path) == "won"
    with pytest.raises(RunLockedError, match=f"process {owner.pid} on host '{socket.gethostname()}'") as caught:
        RunLock.acquire(tmp_path)
    assert caught.value.hint == f"it is alive: wait for it, or stop it with `rose stop {tmp_path}`"
    assert told(owner, "end") == "released"
    RunLock.acquire(tmp_path).release()
    assert left_in(tmp_path) == []


@links
def test_the_lock_of_a_killed_session_is_taken_over(
    tmp_path: Path, start_program: Starter, words: tuple[str, ...]
) -> None:
    victim = locker(start_program, *words, "die")
    assert told(victim, tmp_path) == "won"
    victim.wait()
    assert read_owner(tmp_path) is not None
    successor = locker(start_program, *words)
    assert told(successor, tmp_path) == "won"
    assert told(successor, "end") == "released"
    assert left_in(tmp_path) == []


def test_an_unreaped_owner_is_as_dead_as_any(tmp_path: Path, start_program: Starter) -> None:
    victim = locker(start_program, "die")
    tell(victim, tmp_path)
    os.waitid(os.P_PID, victim.pid, os.WEXITED | os.WNOWAIT)
    RunLock.acquire(tmp_path).release()
    assert victim.wait() == -signal.SIGKILL


def test_a_stopped_owner_is_alive(tmp_path: Path, start_program: Starter) -> None:
    owner = locker(start_program)
    assert told(owner, tmp_path) == "won"
    owner.send_signal(signal.SIGSTOP)
    with pytest.raises(RunLockedError):
        RunLock.acquire(tmp_path)


@pytest.mark.parametrize(
    ("change", "alive"),
    [
        ({}, True),
        ({"pid": NOBODY}, False),
        ({"start_ticks": 1}, False),
        ({"boot_id": "another"}, False),
        ({"start_ticks": None}, True),
        ({"boot_id": None}, True),
        ({"host": "renamed"}, True),
        ({"host": "renamed", "pid": NOBODY}, False),
        ({"host": "renamed", "start_ticks": 1}, False),
        ({"host": "elsewhere", "boot_id": "another"}, None),
        ({"host": "elsewhere", "boot_id": None, "pid": NOBODY}, None),
        ({"host": "elsewhere", "pid": NOBODY, "boot_id": "another"}, None),
        ({"pid": 1}, False),
        ({"pid": 1, "start_ticks": None}, True),
    ],
)
def test_a_owner_is_judged_only_on_its_own_host(change: dict[str, object], alive: bool | None) -> None:
    assert is_alive(replace(current_owner(), **change)) is alive  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{}, {"start_ticks": 1}, {"boot_id": "another"}, {"pid": 1}, {"host": "renamed"}])
def test_a_stale_lock_is_taken_over(tmp_path: Path, change: dict[str, object]) -> None:
    plant(tmp_path, replace(dead_owner(), **change))  # type: ignore[arg-type]
    with RunLock.acquire(tmp_path):
        owner = read_owner(tmp_path)
        assert owner is not None
        assert owner.pid == os.getpid()
    assert left_in(tmp_path) == []


def test_the_lock_of_another_host_is_kept_whatever_its_age(tmp_path: Path) -> None:
    path = plant(
        tmp_path, replace(dead_owner(), host="elsewhere", boot_id="another", time=0.0, user="ann", job_id="12")
    )
    text = path.read_bytes()
    with pytest.raises(RunLockedError, match="on host 'elsewhere' \\(user 'ann', job 12\\) since 19") as caught:
        RunLock.acquire(tmp_path)
    assert "cannot know" in (caught.value.hint or "")
    assert path.read_bytes() == text
    RunLock.acquire(tmp_path, steal=True).release()
    assert left_in(tmp_path) == []


def test_of_a_lock_of_another_host_it_is_said_that_it_may_have_been_copied(tmp_path: Path) -> None:
    identity = directory_identity(tmp_path)
    for folder, may_be in ((identity, False), (f"ff-{identity.split('-')[1]}", False), ("ff-1", True), (None, False)):
        plant(tmp_path, replace(dead_owner(), host="elsewhere", boot_id="another", folder=folder))
        with pytest.raises(RunLockedError) as caught:
            RunLock.acquire(tmp_path)
        assert ("or that this directory is a copy" in (caught.value.hint or "")) is may_be


def test_the_lock_of_a_living_session_is_seen_through_another_mount(tmp_path: Path, start_program: Starter) -> None:
    run, mounted = tmp_path / "run", tmp_path / "mounted"
    run.mkdir()
    mounted.mkdir()
    own_mounts = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
    mount = 'mount --bind "$0" "$1" && shift && exec "$@"'
    if (
        shutil.which("unshare") is None
        or subprocess.run([*own_mounts, mount, run, mounted, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("needs a user namespace that may mount")
    with RunLock.acquire(run):
        inside = start_program("locker.py", prefix=(*own_mounts, mount, str(run), str(mounted)))
        assert answer(inside) == "ready"
        assert told(inside, mounted) == "lost"


def test_a_stolen_lock_stays_the_thief_s(tmp_path: Path) -> None:
    robbed = RunLock.acquire(tmp_path)
    (tmp_path / "lock").unlink()
    thief = plant(tmp_path, replace(current_owner(), host="elsewhere", boot_id="another"))
    robbed.release()
    assert read_owner(tmp_path) == LockOwner.decode(thief.read_bytes())


def test_not_even_a_thief_takes_it_from_a_living_process(tmp_path: Path) -> None:
    with RunLock.acquire(tmp_path):
        text = (tmp_path / "lock").read_bytes()
        with pytest.raises(RunLockedError, match="is locked by"):
            RunLock.acquire(tmp_path, steal=True)
        assert (tmp_path / "lock").read_bytes() == text


def test_a_number_that_may_be_another_s_by_now_does_not_keep_it_for_ever(tmp_path: Path) -> None:
    plant(tmp_path, replace(current_owner(), start_ticks=None))  # as a system without /proc leaves it
    with pytest.raises(RunLockedError) as caught:
        RunLock.acquire(tmp_path)
    assert "--steal-lock" in (caught.value.hint or "")
    RunLock.acquire(tmp_path, steal=True).release()
    assert left_in(tmp_path) == []


def test_an_open_lock_file_counts_although_its_process_is_not_to_be_seen(tmp_path: Path) -> None:
    with RunLock.acquire(tmp_path):
        path = tmp_path / "lock"
        path.write_bytes(dead_owner().encode())  # as another container on this machine looks from here
        with pytest.raises(RunLockedError) as caught:
            RunLock.acquire(tmp_path)
        assert "container" in (caught.value.hint or "")
    RunLock.acquire(tmp_path).release()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\0" * 300,
        b"[" * 60_000,
        b"[]",
        b"{}",
        b"null",
        json.dumps(asdict(dead_owner()) | {"pid": 0}).encode(),
        json.dumps(asdict(dead_owner()) | {"pid": "1"}).encode(),
        json.dumps(asdict(dead_owner()) | {"time": 1e300}).encode(),
    ],
    ids=["empty", "cut", "zeros", "deep", "list", "object", "null", "pid of nobody", "pid as text", "time"],
)
def test_a_lock_that_says_nothing_is_nobody_s_to_break(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "lock").write_bytes(text)
    assert read_owner(tmp_path) is None
    with pytest.raises(RunLockedError, match="does not say by whom"):
        RunLock.acquire(tmp_path)
    assert (tmp_path / "lock").read_bytes() == text
    RunLock.acquire(tmp_path, steal=True).release()
    assert left_in(tmp_path) == []


@links
@pytest.mark.parametrize("steal", [(), ("steal",)])
def test_a_planted_link_is_not_followed(
    tmp_path: Path, start_program: Starter, words: tuple[str, ...], steal: tuple[str, ...]
) -> None:
    run, target = tmp_path / "run", tmp_path / "target"
    run.mkdir()
    target.write_bytes(dead_owner().encode())
    kept = target.read_bytes()
    (run / "lock").symlink_to(target)
    assert read_owner(run) is None
    process = locker(start_program, *words, *steal)
    assert told(process, run) == ("won" if steal else "lost")
    process.communicate()
    assert target.read_bytes() == kept


def test_a_planted_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(RunLockedError):
        RunLock.acquire(tmp_path)


def test_a_directory_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"cannot lock run .*No such file"):
        RunLock.acquire(tmp_path / "missing")


def test_what_dead_sessions_left_behind_is_swept(tmp_path: Path) -> None:
    for name in (".lock-0123", ".lock-0123-spare", ".lock-break-4567"):
        (tmp_path / name).write_bytes(dead_owner().encode())
    living = tmp_path / ".lock-89"
    living.write_bytes(current_owner().encode())
    RunLock.acquire(tmp_path).release()
    assert left_in(tmp_path) == [living.name]


def test_a_breaker_that_died_at_work_is_no_obstacle(tmp_path: Path, start_program: Starter) -> None:
    """The guard of a stale lock is left behind, and so is the guard of that guard, and so on."""
    racers = [locker(start_program) for _ in range(3)]
    for _ in range(20):
        plant(tmp_path, dead_owner())
        for _ in range(4):
            leave_next_guard(tmp_path)
        assert sorted(race(racers, tmp_path)) == ["lost", "lost", "won"]
        assert left_in(tmp_path) == []


def leave_next_guard(run: Path) -> None:
    path = run / "lock"
    while (found := read_lock(path)) is not None:
        path = _guard_of(path, found.text)
    path.write_bytes(dead_owner().encode())


def race(racers: list[subprocess.Popen[str]], run: Path) -> list[str]:
    """All reach for the lock at one time; nobody lets go before all have an answer."""
    moment = time.monotonic() + 0.005
    for racer in racers:
        tell(racer, f"{run}\t{moment}")
    answers = [answer(racer) for racer in racers]
    for racer, won in zip(racers, answers, strict=True):
        if won == "won":
            assert told(racer, "end") == "released"
    return answers


@links
def test_of_racing_breakers_exactly_one_wins(tmp_path: Path, start_program: Starter, words: tuple[str, ...]) -> None:
    racers = [locker(start_program, *words) for _ in range(4)]
    for number in range(40):
        run = tmp_path / str(number)
        run.mkdir()
        plant(run, dead_owner())
        assert sorted(race(racers, run)) == ["lost", "lost", "lost", "won"]
        assert left_in(run) == []


@pytest.mark.parametrize("words", [(), ("steal",)])
def test_of_racing_starters_exactly_one_wins(tmp_path: Path, start_program: Starter, words: tuple[str, ...]) -> None:
    racers = [locker(start_program, *words) for _ in range(4)]
    for number in range(40):
        run = tmp_path / str(number)
        run.mkdir()
        if words:
            plant(run, replace(dead_owner(), host="elsewhere", boot_id="another"))
        assert race(racers, run).count("won") == 1


def test_a_lock_that_was_copied_holds_nobody(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.mkdir()
    copy.mkdir()
    text = current_owner(original).encode()
    for folder in (original, copy):
        (folder / "lock").write_bytes(text)
    assert read_owner(original) is not None
    assert read_owner(copy) is None
    of_another_host = replace(current_owner(original), host="elsewhere", boot_id="another")
    (copy / "lock").write_bytes(of_another_host.encode())
    assert read_owner(copy) is not None, "another machine may know this very folder by another number"
