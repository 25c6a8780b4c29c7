"""The cache of long journals: it saves time, and is never believed over the journal."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rose_cli.journal import checkpoint
from rose_cli.journal import events as e
from rose_cli.journal.checkpoint import CachedReading, cache_directory
from rose_cli.journal.codec import Record, encode
from rose_cli.journal.file import DamagedJournalError, read_journal
from rose_cli.journal.state import Expected, RunState
from tests.journal.assets.record import plain

if TYPE_CHECKING:
    from collections.abc import Callable

ASSET = Path(__file__).parent / "assets/v2/journal.jsonl"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, in which every journal counts as long, and every new record is worth a checkpoint."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(checkpoint, "LONG_BYTES", -(1 << 40))
    return tmp_path / "cache/rose"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(ASSET.read_bytes())
    return path


def lines(journal: Path) -> list[bytes]:
    return journal.read_bytes().splitlines(keepends=True)


def text(state: RunState) -> str:
    """All that is known of a run; `nan` is `nan`."""
    return repr(plain(state))


class Reading:
    """One reading of a journal. `records`: how many were read from the journal itself."""

    def __init__(self, journal: Path, expected: Expected | None = None) -> None:
        def initial() -> RunState:
            state = RunState.recalling(journal)
            if expected is not None:
                state.expect(expected)
            return state

        self.records = 0
        apply = RunState.apply

        def counted(state: RunState, record: Record) -> None:
            self.records += 1
            apply(state, record)

        reading = CachedReading(journal, initial)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunState, "apply", counted)
            try:
                reading.read()
            finally:
                self.state = reading.state
        self.text = text(reading.state)


def in_full(journal: Path) -> str:
    state = RunState.recalling(journal)
    read_journal(journal, state.apply)
    return text(state)


def test_a_second_reading_starts_where_the_first_one_ended(journal: Path) -> None:
    every = len(lines(journal))
    assert Reading(journal).records == every
    again = Reading(journal)
    assert (again.records, again.text) == (0, in_full(journal))


@pytest.mark.parametrize("count", [1, 2, 3, 50, 200, 399, 400])
def test_what_was_written_since_is_read(journal: Path, count: int) -> None:
    whole = lines(journal)
    journal.write_bytes(b"".join(whole[:count]))
    Reading(journal)
    journal.write_bytes(b"".join(whole))
    again = Reading(journal)
    assert (again.records, again.text) == (len(whole) - count, in_full(journal))
    assert Reading(journal).records == 0


def test_every_prefix_adds_up_to_the_same(journal: Path) -> None:
    whole = lines(journal)
    for count in range(1, len(whole), 23):
        journal.write_bytes(b"".join(whole[:count]))
        assert Reading(journal).text == in_full(journal)


def test_decisions_of_a_program_are_part_of_it(journal: Path) -> None:
    journal.write_bytes((Path(__file__).parent / "assets/v4/journal.jsonl").read_bytes())
    assert b'"decision_made"' in journal.read_bytes()
    first = Reading(journal)
    again = Reading(journal)
    assert (again.records, again.text) == (0, first.text)


def test_a_run_that_was_moved_has_its_checkpoint(journal: Path) -> None:
    Reading(journal)
    moved = journal.rename(journal.with_name("moved"))
    again = Reading(moved)
    assert (again.records, again.text) == (0, in_full(moved))


def test_a_torn_last_line_is_not_part_of_it(journal: Path) -> None:
    whole = lines(journal)
    journal.write_bytes(b"".join(whole[:100]) + whole[100][:20])
    Reading(journal)
    journal.write_bytes(b"".join(whole))
    assert Reading(journal).records == len(whole) - 100


# --- what does not fit -----------------------------------------------------------------------------------------------


def only(cache: Path) -> Path:
    (found,) = cache.iterdir()
    return found


def deleted(cache: Path) -> None:
    only(cache).unlink()


def emptied(cache: Path) -> None:
    only(cache).write_bytes(b"")


def cut(cache: Path) -> None:
    only(cache).write_bytes(only(cache).read_bytes()[:-1])


def cut_in_half(cache: Path) -> None:
    data = only(cache).read_bytes()
    only(cache).write_bytes(data[: len(data) // 2])


def one_bit(cache: Path) -> None:
    data = bytearray(only(cache).read_bytes())
    data[-1000] ^= 1
    only(cache).write_bytes(data)


def noise(cache: Path) -> None:
    only(cache).write_bytes(b"[1, 2]\n" + bytes(range(256)) * 100)


def nested(cache: Path) -> None:
    only(cache).write_bytes(b"[" * 4000 + b"\n")


def without_attributes(cache: Path) -> None:
    """A state, with all its checksums right, that has nothing that a state has."""
    import hashlib
    import json

    body = pickle.dumps((5, RunState.__new__(RunState)))
    header = json.loads(only(cache).read_bytes().split(b"\n", 1)[0])
    header["body"] = hashlib.sha256(body).hexdigest()
    only(cache).write_bytes(json.dumps(header).encode() + b"\n" + body)


def other_version(cache: Path) -> None:
    header, body = only(cache).read_bytes().split(b"\n", 1)
    only(cache).write_bytes(header.replace(b'"reader": "', b'"reader": "0') + b"\n" + body)


def of_a_directory(cache: Path) -> None:
    path = only(cache)
    path.unlink()
    path.mkdir()


def writable_by_others(cache: Path) -> None:
    only(cache).chmod(0o666)


def in_a_directory_for_all(cache: Path) -> None:
    cache.chmod(0o777)


def symbolic_link(cache: Path) -> None:
    path = only(cache)
    path.rename(cache.parent / "elsewhere")
    path.symlink_to(cache.parent / "elsewhere")


WRONGS = (
    deleted, emptied, cut, cut_in_half, one_bit, noise, nested, without_attributes, other_version, of_a_directory,
    writable_by_others, in_a_directory_for_all, symbolic_link,
)  # fmt: skip


@pytest.mark.parametrize("damage", WRONGS)
def test_a_checkpoint_that_is_not_as_it_was_written_is_not_used(
    journal: Path, cache: Path, damage: Callable[[Path], None]
) -> None:
    Reading(journal)
    damage(cache)
    again = Reading(journal)
    assert (again.records, again.text) == (len(lines(journal)), in_full(journal))


def rewritten(journal: Path, place: int, change: Callable[[bytes], bytes]) -> None:
    """One line with other contents and the same length, with a right checksum."""
    whole = lines(journal)
    before = whole[place]
    from zlib import crc32

    body = change(before[: before.rindex(b',"crc"')])
    whole[place] = body + b',"crc":"%08x"}\n' % crc32(body)
    assert len(whole[place]) == len(before)
    journal.write_bytes(b"".join(whole))


@pytest.mark.parametrize("place", [0, 20, 200])
def test_the_journal_counts_where_both_differ(journal: Path, place: int) -> None:
    Reading(journal)
    rewritten(journal, place, lambda body: body.replace(b'"time":17', b'"time":16'))
    again = Reading(journal)
    assert (again.records, again.text) == (len(lines(journal)), in_full(journal))


def test_a_journal_that_was_cut_counts(journal: Path) -> None:
    Reading(journal)
    journal.write_bytes(b"".join(lines(journal)[:120]))
    again = Reading(journal)
    assert (again.records, again.text) == (120, in_full(journal))


def test_damage_in_what_a_checkpoint_has_is_reported(journal: Path) -> None:
    Reading(journal)
    whole = lines(journal)
    whole[50] = b"#" + whole[50][1:]
    journal.write_bytes(b"".join(whole))
    with pytest.raises(DamagedJournalError, match="damaged at line 51:"):
        Reading(journal)


def test_damage_after_it_is_reported_with_its_line(journal: Path) -> None:
    whole = lines(journal)
    journal.write_bytes(b"".join(whole[:100]))
    Reading(journal)
    journal.write_bytes(b"".join([*whole[:120], b"#" + whole[120][1:], *whole[121:]]))
    with pytest.raises(DamagedJournalError, match="damaged at line 121:"):
        Reading(journal)


def test_a_repeated_last_line_is_a_tail_after_a_checkpoint_too(journal: Path) -> None:
    Reading(journal)
    journal.write_bytes(journal.read_bytes() + lines(journal)[-1])
    assert Reading(journal).records == 0


def test_another_plan_reads_the_journal_again(journal: Path) -> None:
    tasks = ("simulation", "rollout", "training", "criterion")
    names = ("converges", "per iteration", "adaptive", "fails", "nan", "stopped")
    one = Expected({name: frozenset(tasks) for name in names})
    assert Reading(journal, one).records == len(lines(journal))
    assert Reading(journal, Expected({name: frozenset(tasks) for name in names})).records == 0
    other = Expected({name: frozenset((*tasks, "more")) for name in names})
    assert Reading(journal, other).records == len(lines(journal))


def test_a_journal_with_the_same_first_record_does_not_get_the_state_of_another(journal: Path, tmp_path: Path) -> None:
    Reading(journal)
    other = tmp_path / "other.jsonl"
    first = lines(journal)[0]
    other.write_bytes(first + encode(Record(2, 1.8e9, e.SessionStarted(1, "h", 5, "local"))))
    again = Reading(other)
    assert (again.records, again.text) == (2, in_full(other))


class _Bomb:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch /tmp/rose-must-not-exist",)


@pytest.mark.parametrize("thing", [_Bomb(), (5, _Bomb()), (5, Path("/")), (5, RunState.apply), "state", (1, "x"), 7])
def test_a_forged_checkpoint_creates_nothing_but_a_state(journal: Path, cache: Path, thing: object) -> None:
    """With all its checksums right, as only this user can write it."""
    import hashlib
    import json

    Reading(journal)
    header = json.loads(only(cache).read_bytes().split(b"\n", 1)[0])
    body = pickle.dumps(thing)
    header["body"] = hashlib.sha256(body).hexdigest()
    only(cache).write_bytes(json.dumps(header).encode() + b"\n" + body)
    again = Reading(journal)
    assert (again.records, again.text) == (len(lines(journal)), in_full(journal))
    assert not Path("/tmp/rose-must-not-exist").exists()


# --- the cache -------------------------------------------------------------------------------------------------------


def test_without_a_place_for_it_the_journal_is_read(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    for _ in range(2):
        assert Reading(journal).records == len(lines(journal))


def test_on_a_read_only_disk_nothing_counts_twice(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Reading(journal)

    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "utime", read_only)
    again = Reading(journal)
    assert (again.records, again.text) == (0, in_full(journal))


def test_a_relative_place_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_directory() == tmp_path / "home/.cache/rose"


def test_nothing_is_created_in_the_home_of_another_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home/.cache"))
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: real + 1)
    assert cache_directory() is None
    assert list(tmp_path.iterdir()) == []


def test_only_the_user_can_read_it(journal: Path, cache: Path) -> None:
    Reading(journal)
    assert (cache.stat().st_mode & 0o777, only(cache).stat().st_mode & 0o777) == (0o700, 0o600)


def test_the_oldest_checkpoints_are_deleted(journal: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MOST_CHECKPOINTS", 3)
    cache.mkdir(parents=True, mode=0o700)
    for number in range(5):
        (cache / f"{number}.state").write_bytes(b"")
    Reading(journal)
    assert len(list(cache.iterdir())) == 3
    assert Reading(journal).records == 0


def test_the_size_of_all_checkpoints_is_bounded(journal: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MOST_BYTES", 1 << 20)
    cache.mkdir(parents=True, mode=0o700)
    for number in range(5):
        (cache / f"{number}.state").write_bytes(bytes(1 << 18))
        os.utime(cache / f"{number}.state", (number, number))
    Reading(journal)
    others = {"3.state", "4.state"}
    assert others <= {path.name for path in cache.iterdir()}
    assert sum(path.stat().st_size for path in cache.iterdir()) <= 1 << 20


def test_the_latest_checkpoint_is_kept_whatever_its_size(
    journal: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "MOST_BYTES", 1)
    Reading(journal)
    assert Reading(journal).records == 0
