"""Folder trees: everything comes along, nothing is followed, and a snapshot survives a crash at every point."""

from __future__ import annotations

import os
import random
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rose_cli.errors import RunDirectoryError
from rose_cli.plan.model import FilePlan
from rose_cli.run_directory import prepare_workspace
from rose_cli.snapshot import Snapshot, drop_snapshots
from rose_cli.tree import copy_contents, copy_file, remove_tree, shares_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator


def described(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that a copy has to bring along, by path."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        kind, mode = stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode)
        what: object = None
        if stat.S_ISLNK(status.st_mode):
            what = str(path.readlink())
        elif stat.S_ISREG(status.st_mode):
            what = path.read_bytes()
        found[str(path.relative_to(folder))] = (kind, mode, status.st_mtime_ns, what)
    return found


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A workspace with everything odd that a task may leave in one."""
    folder = tmp_path / "workspace"
    (folder / "deep/er/still").mkdir(parents=True)
    (folder / "deep/er/still/x").write_bytes(random.Random(1).randbytes(3 << 20))
    (folder / "empty").mkdir()
    (folder / "none").touch()
    (folder / "program").write_text("#!/bin/sh\n")
    (folder / "program").chmod(0o755)
    (folder / "read-only").write_text("x")
    (folder / "read-only").chmod(0o400)
    (folder / "outside").symlink_to("/etc")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "within").symlink_to("deep/er")
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / "pipe")
    (folder / "a b\n'\"$(x)").write_text("odd name")
    open(os.fsencode(folder) + b"/not-utf8-\xff", "wb").close()  # noqa: PTH123
    os.utime(folder / "none", (1_000_000_000, 1_000_000_000))
    (folder / "closed").mkdir()
    (folder / "closed/inner").write_text("x")
    (folder / "closed").chmod(0o500)
    return folder


def run(work: Iterator[None]) -> None:
    for _ in work:
        pass


def test_a_copy_is_the_same_in_everything(odd: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    run(copy_contents(odd, tmp_path / "copy", durable=True))
    assert described(tmp_path / "copy") == described(odd)
    run(remove_tree(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()
    assert list(Path("/etc").iterdir())


def test_hard_links_become_files_and_sockets_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "from/one").write_text("x")
    (tmp_path / "from/two").hardlink_to(tmp_path / "from/one")
    monkeypatch.chdir(tmp_path / "from")  # the path of a socket has to be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        run(copy_contents(tmp_path / "from", tmp_path / "to", durable=False))
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["one", "two"]
    assert [(tmp_path / "to" / name).stat().st_nlink for name in ("one", "two")] == [1, 1]


def test_removing_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (tmp_path / "link").symlink_to("kept")
    run(remove_tree(tmp_path / "link"))
    run(remove_tree(tmp_path / "nothing"))
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "kept/file").exists()


def test_a_file_is_copied_where_blocks_cannot_be_shared(tmp_path: Path) -> None:
    """And where they can, the copy does not change with the original."""
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "from/file").write_bytes(b"x" * 100_000)
    run(copy_contents(tmp_path / "from", tmp_path / "to", durable=False))
    (tmp_path / "from/file").write_bytes(b"y" * 100_000)
    assert (tmp_path / "to/file").read_bytes() == b"x" * 100_000
    read, write = os.pipe()
    assert not shares_blocks(read, write)
    os.close(read)
    os.close(write)


def blocks(path: Path) -> int:
    return path.stat().st_blocks


def sparse(path: Path) -> None:
    """A gigabyte, of which two pages are written."""
    with path.open("wb") as file:
        file.truncate(1 << 30)
        for at in (123, 700 << 20):
            file.seek(at)
            file.write(b"here")


def has_what_sparse_wrote(path: Path) -> bool:
    with path.open("rb") as file:
        return [os.pread(file.fileno(), 6, at - 1) for at in (123, 700 << 20)] == [b"\0here\0"] * 2


def test_a_hole_in_a_file_stays_a_hole(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    sparse(tmp_path / "from/some")
    (tmp_path / "from/only").touch()
    os.truncate(tmp_path / "from/only", 1 << 40)
    run(copy_contents(tmp_path / "from", tmp_path / "to", durable=True))
    assert (tmp_path / "to/some").stat().st_size == 1 << 30
    assert has_what_sparse_wrote(tmp_path / "to/some")
    assert blocks(tmp_path / "to/some") <= blocks(tmp_path / "from/some") + 16
    assert (tmp_path / "to/only").stat().st_size == 1 << 40
    assert blocks(tmp_path / "to/only") <= 16


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 200_000), st.binary(min_size=1, max_size=9000)), max_size=6), st.data())
def test_any_file_is_copied_byte_for_byte(written: list[tuple[int, bytes]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        with source.open("wb") as file:
            for at, text in written:
                file.seek(at)
                file.write(text)
            file.truncate(data.draw(st.integers(0, 300_000)))
        copy_file(source, target, durable=False)
        assert target.read_bytes() == source.read_bytes()
        assert target.stat().st_mtime_ns == source.stat().st_mtime_ns


def test_files_that_are_copied_into_a_workspace_keep_their_holes(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    sparse(tmp_path / "data/one")
    plans = [
        FilePlan(str(tmp_path / "data"), "data", copied=True),
        FilePlan(str(tmp_path / "data/one"), "one", copied=True),
    ]
    prepare_workspace(tmp_path / "workspace", plans)
    for name in ("data/one", "one"):
        assert has_what_sparse_wrote(tmp_path / "workspace" / name)
        assert blocks(tmp_path / "workspace" / name) <= blocks(tmp_path / "data/one") + 16


class Crash(BaseException):
    """Nothing may handle it, as nothing handles `kill -9`."""


def crashing(work: Iterator[None], after: int) -> None:
    for number, _ in enumerate(work):
        if number == after:
            raise Crash


def steps(work: Iterator[None]) -> int:
    return sum(1 for _ in work)


@pytest.mark.parametrize("seed", range(3))
def test_a_snapshot_holds_whatever_crash_comes_while_it_is_taken_or_put_back(odd: Path, seed: int) -> None:
    snapshot = Snapshot(odd.parent / "snapshots", odd, 3, "training")
    before = described(odd)
    count = steps(snapshot._taking())
    moments = random.Random(seed)
    for _ in range(6):  # crashes while it is taken: the workspace is untouched, and it is taken anew
        with pytest.raises(Crash):
            crashing(snapshot._taking(), moments.randrange(count))
        assert described(odd) == before
    anyio.run(snapshot.take)
    (odd / "program").write_text("changed")
    (odd / "new").mkdir()
    run(remove_tree(odd / "deep"))
    count = steps(snapshot._putting_back())
    for _ in range(6):  # crashes while it is put back: the snapshot is untouched, and it is put back again
        (odd / "more").write_text("written by the attempt that crashed")
        with suppress(Crash):  # what is left to remove, and so the number of steps, is never the same
            crashing(snapshot._putting_back(), moments.randrange(count))
        assert described(snapshot.path) == before
    anyio.run(snapshot.put_back)
    assert described(odd) == before
    anyio.run(snapshot.drop)
    assert list(snapshot.folder.iterdir()) == []


def test_a_snapshot_that_is_half_removed_is_none(odd: Path) -> None:
    snapshot = Snapshot(odd.parent / "snapshots", odd, 0, "a")
    anyio.run(snapshot.take)
    from rose_cli.snapshot import _discarding

    with pytest.raises(Crash):
        crashing(_discarding(snapshot.path), 2)
    assert not snapshot.path.exists()
    anyio.run(snapshot.take)
    assert described(snapshot.path) == described(odd)
    assert [path.name for path in snapshot.folder.iterdir()] == ["0.a"]
    anyio.run(drop_snapshots, snapshot.folder)
    assert list(snapshot.folder.iterdir()) == []


def test_a_workspace_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path / "snapshots", tmp_path / "no-workspace", 0, "a")
    with pytest.raises(RunDirectoryError, match="no-workspace"):
        anyio.run(snapshot.take)
