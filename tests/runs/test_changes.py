"""Fingerprints: whether a file or directory has changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from rose_cli.runs.changes import MOST_WHOLE_BYTES, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write_large(path: Path, middle: bytes = b"") -> None:
    with path.open("wb") as file:
        file.truncate(2 * MOST_WHOLE_BYTES)
        file.seek(MOST_WHOLE_BYTES)
        file.write(middle)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def write_at(place: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(place, os.SEEK_SET if place >= 0 else os.SEEK_END)
            file.write(b"x")

    return write


@pytest.mark.parametrize("change", [append, write_at(0), write_at(-1), write_at(1000)])
def test_a_large_file_is_told_by_its_size_and_ends(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "large"
    write_large(path)
    before = fingerprint(path)
    write_large(path, b"in the middle")
    assert fingerprint(path) == before, "this is the price, and the docs say so"
    change(path)
    assert fingerprint(path) != before


def test_what_cannot_be_read_has_no_fingerprint(tmp_path: Path) -> None:
    assert fingerprint(tmp_path / "gone") is None
    (tmp_path / "loop").symlink_to("loop")
    assert fingerprint(tmp_path / "loop") is None
    os.mkfifo(tmp_path / "pipe")
    assert fingerprint(tmp_path / "pipe") is None


def test_a_folder_is_told_by_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "inputs"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/a").write_text("1")
    seen = {fingerprint(folder)}
    for change in (
        lambda: (folder / "deep/a").write_text("2"),
        lambda: (folder / "b").write_text("2"),
        lambda: (folder / "b").rename(folder / "c"),
    ):
        change()
        seen.add(fingerprint(folder))
    assert len(seen) == 4
    os.mkfifo(folder / "fifo")
    assert fingerprint(folder) in seen
