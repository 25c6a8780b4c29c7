"""The journal after every crash that a test can make: cut, garbled, killed, full, refused."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest

from rose_cli.journal import file
from rose_cli.journal.codec import Record, encode
from rose_cli.journal.events import (
    FORMAT_VERSION,
    AttemptSucceeded,
    Event,
    IterationFinished,
    LearnerStarted,
    RunCreated,
)
from rose_cli.journal.file import DamagedJournalError, JournalContents, JournalFile, read_journal
from rose_cli.util.errors import JournalError
from tests.conftest import PATIENCE
from tests.programs.refuse import supported

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Starter

EVENTS: tuple[Event, ...] = (
    RunCreated("r1", "c", "0.1", ("a",)),
    LearnerStarted("a"),
    AttemptSucceeded("a", 0, "simulation", 0, 1, 2.5, {"seq": 3, "note": '{"seq":1,"}\n'}, 0.25),
    IterationFinished("a", 0, 3.5, float("nan")),
)
RECORDS = tuple(Record(number, 100.0 + number, event) for number, event in enumerate(EVENTS, 1))
LINES = tuple(map(encode, RECORDS))
TEXT = b"".join(LINES)
ENDS = tuple(sum(map(len, LINES[:count])) for count in range(len(LINES) + 1))
NEXT = LearnerStarted("b")


def records_of(path: Path) -> tuple[str, ...]:
    """By their lines: a nan is not equal to itself."""
    found: list[Record] = []
    read_journal(path, found.append)
    return tuple(encode(record).decode() for record in found)


def survey(path: Path) -> JournalContents:
    return read_journal(path, encode)


def lines_of(*records: Record) -> tuple[str, ...]:
    return tuple(encode(record).decode() for record in records)


def append_one(path: Path) -> tuple[JournalFile, Record]:
    with JournalFile.open(path) as journal:
        record = Record(journal.next_sequence, 200.0, NEXT)
        journal.append([record])
    return journal, record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_what_is_appended_is_read(path: Path) -> None:
    with JournalFile.create(path) as journal:
        journal.append(RECORDS[:1])
        journal.append(RECORDS[1:])
        assert journal.next_sequence == len(RECORDS) + 1
    assert path.read_bytes() == TEXT
    assert records_of(path) == lines_of(*RECORDS)
    assert survey(path) == JournalContents(len(RECORDS), len(TEXT))


def test_opening_hands_out_every_record_and_goes_on_after_the_last(path: Path) -> None:
    path.write_bytes(TEXT)
    found: list[int] = []
    with JournalFile.open(path, lambda record: found.append(record.sequence)) as journal:
        assert found == [1, 2, 3, 4]
        assert journal.next_sequence == 5
        assert journal.repaired_bytes == 0


def test_a_journal_is_created_once(path: Path) -> None:
    JournalFile.create(path).close()
    with pytest.raises(JournalError, match="already"):
        JournalFile.create(path)


def test_a_planted_link_is_not_written_through(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalError):
        JournalFile.create(path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_missing_journal_is_an_error_of_the_run_directory(path: Path) -> None:
    for use in (JournalFile.open, survey):
        with pytest.raises(JournalError, match="No such file"):
            use(path)


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "Broken pipe"), OSError(errno.ENOSPC, "no space")])
def test_an_error_of_the_consumer_is_not_one_of_the_journal(path: Path, error: OSError) -> None:
    """`rose export --table tasks | head` writes to a pipe that nobody reads any more."""
    path.write_bytes(TEXT)

    def write(_: Record) -> None:
        raise error

    with pytest.raises(OSError, match=error.strerror) as raised:
        read_journal(path, write)
    assert raised.value is error


def test_records_out_of_sequence_are_not_taken(path: Path) -> None:
    with JournalFile.create(path) as journal:
        for wrong in ([RECORDS[1]], [RECORDS[0], RECORDS[0]], [RECORDS[0], RECORDS[2]]):
            with pytest.raises(ValueError, match="sequence numbers"):
                journal.append(wrong)
    assert path.read_bytes() == b""


def test_a_closed_journal_takes_nothing(path: Path) -> None:
    journal = JournalFile.create(path)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.append(RECORDS[:1])


def test_the_reserve_is_there_while_the_journal_is_open(path: Path) -> None:
    reserve = path.with_suffix(".ballast")
    with JournalFile.create(path):
        assert reserve.stat().st_blocks * 512 >= 64 * 1024
    assert not reserve.exists()


def test_cut_at_any_byte_it_opens_and_only_the_tail_is_lost(path: Path) -> None:
    for cut in range(len(TEXT) + 1):
        path.write_bytes(TEXT[:cut])
        whole = sum(end <= cut for end in ENDS[1:])
        torn = cut - ENDS[whole]
        assert survey(path) == JournalContents(whole, ENDS[whole], torn)
        journal, appended = append_one(path)
        assert journal.repaired_bytes == torn
        assert records_of(path) == lines_of(*RECORDS[:whole], appended)
        assert path.read_bytes() == TEXT[: ENDS[whole]] + encode(appended)


@pytest.mark.parametrize("noise", [b"\0", b"\n", b"{", b"9", b"\xff", b"\r"])
def test_a_garbled_byte_is_cut_in_the_last_line_and_fatal_before(path: Path, noise: bytes) -> None:
    for place in range(len(TEXT)):
        garbled = TEXT[:place] + noise + TEXT[place + 1 :]
        if garbled == TEXT:
            continue
        path.write_bytes(garbled)
        line = sum(end <= place for end in ENDS[1:]) + 1
        if line == len(LINES):
            assert append_one(path)[0].repaired_bytes == len(LINES[-1])
            assert len(records_of(path)) == len(LINES)
        else:
            with pytest.raises(DamagedJournalError, match=f"at line {line}:") as caught:
                JournalFile.open(path)
            assert caught.value.line == line
            assert path.read_bytes() == garbled


@pytest.mark.parametrize(
    "junk", [b"\0" * 5000, b"\0\n\0\n", b"\n\n\n", b'{"seq":5,"ti', b"\xff\xfe\n" * 3, LINES[-1][:-2]]
)
def test_whatever_stands_behind_the_last_record_is_cut(path: Path, junk: bytes) -> None:
    path.write_bytes(TEXT + junk)
    assert survey(path).torn_bytes == len(junk)
    assert append_one(path)[0].repaired_bytes == len(junk)
    assert len(records_of(path)) == len(LINES) + 1


@pytest.mark.parametrize("copies", [1, 2])
def test_the_last_record_written_again_is_cut(path: Path, copies: int) -> None:
    path.write_bytes(TEXT + LINES[-1] * copies)
    assert append_one(path)[0].repaired_bytes == len(LINES[-1]) * copies
    assert len(records_of(path)) == len(LINES) + 1


@pytest.mark.parametrize(
    ("lines", "damaged"),
    [
        (LINES[:2] + LINES[1:], 3),  # doubled
        (LINES[:1] + LINES[2:], 2),  # missing
        (LINES[1:], 1),
        ((LINES[1], LINES[0], *LINES[2:]), 1),  # swapped
        ((*LINES, LINES[0]), 5),
        ((*LINES, *LINES), 5),
        ((LINES[0], b"\n", *LINES[1:]), 2),
        ((LINES[0], LINES[1][:20], *LINES[1:]), 2),  # torn, and glued to the next: another program's append
        ((LINES[0].replace(b"\n", b"\r\n"), *LINES[1:]), 1),
    ],
)
def test_whole_records_out_of_place_are_fatal(path: Path, lines: tuple[bytes, ...], damaged: int) -> None:
    path.write_bytes(b"".join(lines))
    with pytest.raises(DamagedJournalError, match=f"line {damaged}:"):
        JournalFile.open(path)
    assert path.read_bytes() == b"".join(lines)


def test_the_records_before_the_damage_are_handed_out_and_the_hint_works(path: Path, tmp_path: Path) -> None:
    odd = tmp_path / "it's $HOME"
    odd.mkdir()
    path = odd / "journal.jsonl"
    path.write_bytes(LINES[0] + LINES[1] + b"#" + TEXT[ENDS[2] + 1 :])
    found: list[Record] = []
    with pytest.raises(DamagedJournalError) as caught:
        read_journal(path, found.append)
    assert found == list(RECORDS[:2])
    assert caught.value.contents == JournalContents(2, ENDS[2])
    assert caught.value.hint is not None
    subprocess.run(["sh", "-c", caught.value.hint.split("`")[1]], check=True)
    assert records_of(path) == lines_of(*RECORDS[:2])


@pytest.mark.parametrize(
    "text", [b"hello\n", b"name: campaign\nmax_iter: 3\n", b'{"seq":2', b"\n", LINES[0].lower()[1:]]
)
def test_a_file_that_is_no_journal_is_left_alone(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    with pytest.raises(DamagedJournalError, match="line 1"):
        JournalFile.open(path)
    assert path.read_bytes() == text


@pytest.mark.parametrize("text", [b"", b"{", b'{"seq":1,"time":17', b"\0" * 100, LINES[0][:-1]])
def test_a_journal_of_which_nothing_was_acknowledged_begins_anew(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    with JournalFile.open(path) as journal:
        assert (journal.next_sequence, journal.repaired_bytes) == (1, len(text))
        journal.append(RECORDS)
    assert path.read_bytes() == TEXT


def test_a_newer_format_is_named(path: Path) -> None:
    path.write_bytes(encode(Record(1, 1.0, RunCreated("r", "c", "9.0", ("a",), format=FORMAT_VERSION + 1))) + LINES[1])
    with pytest.raises(JournalError, match=rf"written by a newer rose \(format {FORMAT_VERSION + 1};"):
        JournalFile.open(path)


@pytest.mark.parametrize("last", [False, True])
def test_an_unknown_event_is_no_damage_to_cut(path: Path, last: bool) -> None:
    line = b'{"seq":2,"time":1.0,"event":"sung"'
    whole = line + b',"crc":"%08x"}\n' % crc32(line)
    text = LINES[0] + whole + (b"" if last else LINES[2])
    path.write_bytes(text)
    with pytest.raises(JournalError, match="line 2: unknown event 'sung'") as caught:
        JournalFile.open(path)
    assert not isinstance(caught.value, DamagedJournalError)
    assert path.read_bytes() == text


def test_an_error_of_the_consumer_is_not_taken_for_damage(path: Path) -> None:
    path.write_bytes(TEXT)

    def stumble(record: Record) -> None:
        raise ValueError(record.sequence)

    with pytest.raises(ValueError, match="1"):
        read_journal(path, stumble)


def test_nothing_is_acknowledged_that_goes_into_a_removed_file(path: Path) -> None:
    journal = JournalFile.create(path)
    journal.append(RECORDS[:1])
    path.unlink()
    with pytest.raises(JournalError, match="was removed"):
        journal.append(RECORDS[1:2])


def test_another_writer_is_noticed_before_anything_is_overwritten(path: Path) -> None:
    first = JournalFile.create(path)
    first.append(RECORDS[:1])
    with JournalFile.open(path) as second:
        second.append(RECORDS[1:2])
    with pytest.raises(JournalError, match="changed by another session"):
        first.append(RECORDS[1:2])
    with pytest.raises(JournalError, match="accepts no more records"):
        first.append(RECORDS[1:2])
    assert path.read_bytes() == TEXT[: ENDS[2]]


def test_readers_always_see_whole_records_while_it_is_written(path: Path) -> None:
    counts: list[int] = []
    with JournalFile.create(path) as journal:
        journal.append([Record(1, 1.0, NEXT)])
        writer = threading.Thread(target=append_many, args=(journal, 300))
        writer.start()
        while writer.is_alive():
            counts.append(survey(path).records)
        writer.join()
    assert counts == sorted(counts)
    assert len(records_of(path)) == 301


def append_many(journal: JournalFile, count: int) -> None:
    for _ in range(count):
        journal.append([Record(journal.next_sequence, 1.0, LearnerStarted("x" * 3000))])


def test_killed_in_the_middle_of_writing_nothing_acknowledged_is_lost(path: Path, start_program: Starter) -> None:
    JournalFile.create(path).close()
    acknowledged = 0
    for kill in range(10):
        writer = start_program("endless_writer.py", path)
        assert writer.stdout is not None
        for _ in range(1 + 7 * kill):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        rest = writer.communicate()[0].splitlines()
        acknowledged = int(rest[-1]) if rest else acknowledged
        found: list[Record] = []
        with JournalFile.open(path, found.append) as journal:
            assert journal.next_sequence > acknowledged
        assert [record.sequence for record in found] == list(range(1, len(found) + 1))


def said_by(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    said: dict[str, Any] = json.loads(out)
    return said


def assert_holds_what_was_acknowledged(path: Path, said: dict[str, Any]) -> None:
    found: list[Record] = []
    contents = read_journal(path, found.append)
    assert contents.torn_bytes == 0
    assert [record.sequence for record in found] == sorted(said["first"]["acknowledged"])


def test_a_file_that_may_not_grow_ends_on_a_whole_record(path: Path, start_program: Starter) -> None:
    said = said_by(start_program("failing_writer.py", path, "file_size"))
    assert "File too large" in said["first"]["message"]
    assert "File too large" in said["second"]["message"]
    assert_holds_what_was_acknowledged(path, said)
    assert append_one(path)[0].repaired_bytes == 0


# a file system of its own at $1 for the program, almost filled; what it leaves there is kept in $2
FULL_DISK = """
disk=$1; kept=$2; shift 2
mount -t tmpfs -o size=256k tmpfs "$disk" || exit 77
dd if=/dev/zero of="$disk/filler" bs=4096 count=40 2>/dev/null
"$@"; code=$?
cp "$disk"/* "$kept"
exit $code
"""


def test_on_a_full_disk_the_reserve_records_the_end(tmp_path: Path, start_program: Starter) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    own_mounts = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", FULL_DISK, "sh", str(disk), str(kept))
    if shutil.which("unshare") is None or subprocess.run([*own_mounts, "true"], check=False).returncode:
        pytest.skip("needs a user namespace that may mount")
    said = said_by(start_program("failing_writer.py", disk / "journal.jsonl", "full", prefix=own_mounts))
    for part in ("first", "second"):
        assert said[part]["message"].endswith("is full")
        assert said[part]["hint"] == "free some space, then `rose resume`"
    assert said["first"]["nearly_full"]
    assert_holds_what_was_acknowledged(kept / "journal.jsonl", said)


@pytest.mark.skipif(not supported(), reason="needs seccomp")
@pytest.mark.parametrize("kind", ["fdatasync", "fdatasync+ftruncate"])
def test_after_a_failed_sync_the_journal_is_closed_for_good(path: Path, start_program: Starter, kind: str) -> None:
    said = said_by(start_program("failing_writer.py", path, kind))
    assert "Input/output error" in said["first"]["message"]
    assert "accepts no more records" in said["second"]["message"]
    if kind == "fdatasync":
        assert_holds_what_was_acknowledged(path, said)
    assert append_one(path)[1].sequence >= 4


# --- what is made durable ------------------------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files and folders that were made durable, in their order, without the reserve."""
    names: list[str] = []

    def note(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        names.extend([name] if not name.endswith(".ballast") else [])

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, note)
    monkeypatch.setattr(file, "_sync", note)
    return names


def test_a_new_journal_is_durable_with_its_name(path: Path, synced: list[str]) -> None:
    JournalFile.create(path).close()
    assert synced == [path.name, path.parent.name]


def test_what_was_handed_out_is_durable(path: Path, synced: list[str]) -> None:
    """The session that wrote it may have died before its own sync."""
    path.write_bytes(TEXT)
    with JournalFile.open(path) as journal:
        assert synced == [path.name]
        journal.append([Record(journal.next_sequence, 200.0, NEXT)])
        assert synced == [path.name] * 2


def test_a_journal_with_other_names_is_durable_under_its_own(path: Path, synced: list[str]) -> None:
    path.write_bytes(TEXT)
    os.link(path, path.with_name("backup"))
    JournalFile.open(path).close()
    assert synced == ["journal.new", path.parent.name, path.name]


# --- what else may stand in the way --------------------------------------------------------------------------------


def test_a_line_longer_than_any_record_is_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "MOST_BYTES", 400)
    path.write_bytes(TEXT + b"x" * 399)
    assert survey(path).torn_bytes == 399
    path.write_bytes(TEXT + b"x" * 400)
    with pytest.raises(DamagedJournalError, match="longer than any record"):
        survey(path)


def test_a_journal_that_grows_while_it_is_opened_is_anothers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(TEXT)

    def grow(path: Path, consume: Callable[[Record], object]) -> JournalContents:
        contents = read_journal(path, consume)
        path.write_bytes(path.read_bytes() + encode(Record(5, 200.0, NEXT)))
        return contents

    monkeypatch.setattr(file, "read_journal", grow)
    with pytest.raises(JournalError, match="changed by another session"):
        JournalFile.open(path)
    assert path.read_bytes() == TEXT + encode(Record(5, 200.0, NEXT))


def test_a_journal_is_cut_only_where_its_tail_is_bad(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts: list[int] = []

    def cut(descriptor: int, size: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == path.name:
            cuts.append(size)

    monkeypatch.setattr(os, "ftruncate", cut)
    path.write_bytes(TEXT)
    JournalFile.open(path).close()
    assert cuts == []
    path.write_bytes(TEXT + b"x")
    JournalFile.open(path).close()
    assert cuts == [len(TEXT)]


def test_the_reserve_is_in_use_only_on_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with JournalFile.create(path) as journal:
        journal.append(RECORDS[:1])
        full = [journal.nearly_full]
        write, errors = os.write, [errno.ENOSPC]

        def refuse_once(descriptor: int, data: memoryview) -> int:
            if errors:
                raise OSError(errors.pop(), "full")
            return write(descriptor, data)

        monkeypatch.setattr(os, "write", refuse_once)
        journal.append(RECORDS[1:2])
        full.append(journal.nearly_full)
        assert full == [False, True]
        assert not path.with_suffix(".ballast").exists()
        errors.append(errno.ENOSPC)
        with pytest.raises(JournalError):
            journal.append(RECORDS[2:3])
    assert records_of(path) == lines_of(*RECORDS[:2])


def test_another_error_of_a_write_leaves_the_reserve_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EIO, "broken")

    with JournalFile.create(path) as journal:
        monkeypatch.setattr(os, "write", refuse)
        with pytest.raises(JournalError, match=r"cannot write to journal '.*': broken"):
            journal.append(RECORDS[:1])
        assert not journal.nearly_full


def test_a_journal_whose_file_nobody_can_ask_about_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a network file system says of a file that was removed elsewhere."""
    with JournalFile.create(path) as journal:

        def refuse(_: int) -> os.stat_result:
            raise OSError(errno.ESTALE, "stale")

        monkeypatch.setattr(os, "fstat", refuse)
        with pytest.raises(JournalError, match="stale"):
            journal.append(RECORDS[:1])
        monkeypatch.undo()
        with pytest.raises(JournalError, match="no more records"):
            journal.append(RECORDS[:1])


def test_a_journal_with_other_names_leaves_them_as_they_are(path: Path) -> None:
    """As in a backup made with `cp -al`."""
    backup = path.with_name("backup")
    path.write_bytes(TEXT)
    path.chmod(0o640)
    os.link(path, backup)
    path.with_suffix(".new").write_bytes(b"of a session that died here")
    _, record = append_one(path)
    assert backup.read_bytes() == TEXT
    assert records_of(path) == lines_of(*RECORDS, record)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert not path.with_suffix(".new").exists()
    inode = path.stat().st_ino
    backup.unlink()
    JournalFile.open(path).close()
    assert path.stat().st_ino == inode


def test_a_journal_that_cannot_be_opened_to_write_says_why(path: Path) -> None:
    path.write_bytes(TEXT)
    with pytest.raises(JournalError, match=r"already exists"):
        JournalFile.create(path)
    path.unlink()
    path.symlink_to("elsewhere")
    with pytest.raises(JournalError, match="cannot read journal"):
        JournalFile.open(path)


def test_records_have_the_numbers_that_come_next(path: Path) -> None:
    with JournalFile.create(path) as journal:
        for records in (RECORDS[1:], RECORDS[::-1], [*RECORDS[:1], *RECORDS[:1]]):
            with pytest.raises(ValueError, match="sequence numbers"):
                journal.append(records)
        journal.append(RECORDS)
    assert journal.next_sequence == 5


def test_what_is_in_the_place_of_a_journal_is_named(path: Path) -> None:
    with pytest.raises(JournalError, match="cannot read journal") as raised:
        survey(path)
    assert raised.value.hint is None
    path.with_name("other").write_bytes(TEXT)
    path.symlink_to("other")
    with pytest.raises(JournalError, match="cannot read journal") as raised:
        survey(path)
    assert "did not create" in str(raised.value.hint)
    with pytest.raises(JournalError, match="already exists") as raised:
        JournalFile.create(path)
    assert "`rose resume`" in str(raised.value.hint)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_without_room_for_a_record_it_says_what_to_do(path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A quota is a full disk too; the reserve is released first, and only then is the disk called full."""
    with JournalFile.create(path) as journal:

        def refuse(*_: object) -> int:
            raise OSError(code, "no room")

        monkeypatch.setattr(os, "write", refuse)
        with pytest.raises(JournalError, match=r"the disk of '.*' is full") as raised:
            journal.append(RECORDS[:1])
        assert "free some space" in str(raised.value.hint)
        assert journal.nearly_full
        monkeypatch.undo()
        journal.append(RECORDS[:1])
    assert records_of(path) == lines_of(RECORDS[0])


def test_half_a_record_does_not_stay_in_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = os.write
    with JournalFile.create(path) as journal:
        journal.append(RECORDS[:1])

        def refuse_the_rest(descriptor: int, data: memoryview) -> int:
            if len(data) < 20:
                raise OSError(errno.EIO, "broken")
            return written(descriptor, data[:-10])

        monkeypatch.setattr(os, "write", refuse_the_rest)
        with pytest.raises(JournalError, match="broken"):
            journal.append(RECORDS[1:2])
        monkeypatch.undo()
        assert path.read_bytes() == LINES[0]
        journal.append(RECORDS[1:2])
    assert path.read_bytes() == LINES[0] + LINES[1]


@pytest.mark.parametrize("call", ["fdatasync", "ftruncate"])
def test_after_an_error_that_leaves_the_disk_unknown_nothing_is_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EIO, "broken")

    with JournalFile.create(path) as journal:
        journal.append(RECORDS[:1])
        if call == "fdatasync":
            monkeypatch.setattr(file, "_sync", refuse)
        else:
            monkeypatch.setattr(os, "write", refuse)
            monkeypatch.setattr(os, "ftruncate", refuse)
        with pytest.raises(JournalError, match="broken"):
            journal.append(RECORDS[1:2])
        monkeypatch.undo()
        with pytest.raises(JournalError, match="accepts no more records: cannot write to journal"):
            journal.append(RECORDS[1:2])
    assert path.read_bytes() == LINES[0]


def test_a_reserve_takes_room_until_it_is_released(tmp_path: Path) -> None:
    place = tmp_path / "reserve"
    reserve = file.ReserveFile(place)
    reserve.allocate()
    data = place.read_bytes()
    assert (len(data), stat.S_IMODE(place.stat().st_mode)) == (64 * 1024, 0o600)
    assert len(set(data)) > 100, "not zeros, which take no room on some disks"
    reserve.allocate()
    assert len(place.read_bytes()) == 64 * 1024
    assert reserve.release()
    assert not place.exists()
    assert not reserve.release()


def test_a_disk_without_room_for_the_reserve_does_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").mkdir()
    file.ReserveFile(tmp_path / "taken").allocate()

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    for call in ("write", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, refuse)
            file.ReserveFile(tmp_path / "reserve").allocate()
        assert not (tmp_path / "reserve").exists(), call


def test_what_is_not_understood_names_its_line_and_what_to_do(path: Path) -> None:
    body = b'{"seq":2,"time":101.0,"event":"sung"'
    path.write_bytes(LINES[0] + body + b',"crc":"%08x"}\n' % crc32(body))
    with pytest.raises(JournalError, match=r"line 2: unknown event 'sung'") as raised:
        survey(path)
    assert raised.value.hint == "use the version of rose that wrote it"
    body = b'{"seq":2,"time":-1,"event":"learner_started","learner":"a"'
    path.write_bytes(LINES[0] + body + b',"crc":"%08x"}\n' % crc32(body))
    with pytest.raises(JournalError, match=r"line 2: 'seq' and 'time' cannot be 2 and -1") as raised:
        survey(path)
    assert "rose never writes such a record" in str(raised.value.hint)
