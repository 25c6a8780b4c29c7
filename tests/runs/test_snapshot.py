"""Snapshots of workspaces: whole or not there, whatever crash comes."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from rose_cli.runs.snapshot import Snapshot, delete_snapshots
from rose_cli.util import files, trees
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.files import supports_syncfs, sync_file_system
from tests.trees import described, odd_tree, opened, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    return odd_tree(tmp_path / "workspace")


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
    snapshot = Snapshot(odd.parent, odd.parent / "snapshots", odd, 3, "training")
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
    remove(odd / "deep")
    count = steps(snapshot._restoring())
    for _ in range(6):  # crashes while it is put back: the snapshot is untouched, and it is put back again
        (odd / "more").write_text("written by the attempt that crashed")
        with suppress(Crash):  # what is left to remove, and so the number of steps, is never the same
            crashing(snapshot._restoring(), moments.randrange(count))
        assert described(snapshot.path) == before
    anyio.run(snapshot.restore)
    assert described(odd) == before
    anyio.run(snapshot.delete)
    assert list(snapshot.directory.iterdir()) == []


def test_a_snapshot_that_is_half_removed_is_none(odd: Path) -> None:
    snapshot = Snapshot(odd.parent, odd.parent / "snapshots", odd, 0, "a")
    anyio.run(snapshot.take)
    from rose_cli.runs.snapshot import _discarding

    with opened(snapshot.directory) as snapshots, pytest.raises(Crash):
        crashing(_discarding(snapshots, snapshot.path.name), 2)
    assert not snapshot.path.exists()
    anyio.run(snapshot.take)
    assert described(snapshot.path) == described(odd)
    assert [path.name for path in snapshot.directory.iterdir()] == ["0.a"]
    anyio.run(delete_snapshots, snapshot.directory, snapshot.run)
    assert list(snapshot.directory.iterdir()) == []


def test_a_workspace_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path, tmp_path / "snapshots", tmp_path / "no-workspace", 0, "a")
    with pytest.raises(RunDirectoryError, match="no-workspace"):
        anyio.run(snapshot.take)


def snapshot_of(folder: Path, files: int) -> Snapshot:
    for number in range(files):
        (folder / "workspace" / f"d{number % 7}").mkdir(parents=True, exist_ok=True)
        (folder / "workspace" / f"d{number % 7}" / str(number)).touch()
    return Snapshot(folder, folder / "snapshots", folder / "workspace", 0, "t")


def watched_syncs(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[tuple[str, int, list[str]]]:
    """Every sync that really is done: its kind, with how many files copied and under which names."""
    seen: list[tuple[str, int, list[str]]] = []

    def spied(kind: str, call: Callable[[int], None]) -> Callable[[int], None]:
        def sync_and_tell(descriptor: int) -> None:
            there = folder / "snapshots"
            seen.append(
                (kind, sum(path.is_file() for path in there.rglob("*")), [path.name for path in there.iterdir()])
            )
            call(descriptor)

        return sync_and_tell

    monkeypatch.setattr(trees, "sync", spied("file", files.sync))
    monkeypatch.setattr(trees, "sync_file_system", spied("all", files.sync_file_system))
    return seen


def test_many_files_are_synced_as_one_before_the_snapshot_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_be_synced_as_one_at(tmp_path):
        pytest.skip("the temporary folder lies on a file system that is synced file by file")
    snapshot = snapshot_of(tmp_path, 500)
    seen = watched_syncs(monkeypatch, tmp_path)
    anyio.run(snapshot.take)
    assert [kind for kind, *_ in seen] == ["file"] * trees.MOST_SYNCED + ["all"]
    assert seen[-1][1:] == (500, [".new"])
    assert described(snapshot.path) == described(tmp_path / "workspace")
    few = snapshot_of(tmp_path / "few", 5)
    seen = watched_syncs(monkeypatch, tmp_path / "few")
    anyio.run(few.take)
    assert {kind for kind, *_ in seen} == {"file"}


def test_where_a_file_system_cannot_be_synced_as_one_every_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = snapshot_of(tmp_path, 300)
    monkeypatch.setattr(trees, "supports_syncfs", lambda _: False)
    seen = watched_syncs(monkeypatch, tmp_path)
    anyio.run(snapshot.take)
    assert [kind for kind, *_ in seen] == ["file"] * (300 + 7 + 1)


def can_be_synced_as_one_at(folder: Path) -> bool:
    with opened(folder) as place:
        return supports_syncfs(place.descriptor)


def test_which_file_systems_are_synced_as_one() -> None:
    assert not can_be_synced_as_one_at(Path("/proc/sys"))
    assert not supports_syncfs(-1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        sync_file_system(-1)
