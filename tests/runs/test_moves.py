"""Where a run is now, and whether its workspaces are as its tasks left them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.runs.moves import moves_between, relocate_links
from rose_cli.runs.workspace import GONE, MOST_KNOWN_FILES, workspace_changes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def known_after(*changes: Callable[[], Any], place: Path) -> list[dict[str, int]]:
    """The news after each change, all before it being known."""
    known: dict[str, int] = {}
    found = []
    for change in changes:
        change()
        news = workspace_changes(place, known, inside=place)
        found.append(news)
        known = {name: size for name, size in {**known, **news}.items() if size != GONE}
    return found


def test_the_news_of_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    outside = tmp_path.with_name("outside")
    outside.write_text("outside")
    news = known_after(
        lambda: (tmp_path / "a").write_text("12"),
        lambda: (tmp_path / "deep/b").write_text("1"),
        lambda: (tmp_path / "a").write_text("123"),
        lambda: (tmp_path / "link").symlink_to(outside),
        lambda: (tmp_path / "a").rename(tmp_path / "c"),
        lambda: shutil.rmtree(tmp_path / "deep"),
        lambda: (tmp_path / ".hidden").write_text("1"),
        place=tmp_path,
    )
    assert news == [{"a": 2}, {"deep/b": 1}, {"a": 3}, {}, {"a": GONE, "c": 3}, {"deep/b": GONE}, {}]
    assert workspace_changes(tmp_path / "gone", {"a": 1}, inside=tmp_path) == {}


def test_only_so_many_files_are_known(tmp_path: Path) -> None:
    for number in range(3 * MOST_KNOWN_FILES):
        (tmp_path / f"{number % 6}").mkdir(exist_ok=True)
        (tmp_path / f"{number % 6}/{number}").touch()
    known = workspace_changes(tmp_path, {}, inside=tmp_path)
    assert len(known) == MOST_KNOWN_FILES
    assert workspace_changes(tmp_path, known, inside=tmp_path) == {}
    for name in list(known)[:10]:
        (tmp_path / name).unlink()
    assert sorted(workspace_changes(tmp_path, known, inside=tmp_path).values()) == [GONE] * 10 + [0] * 10


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/old/data", "/new/data"),
        ("/old", "/new"),
        ("/old/rose-runs/r/x", "/moved/x"),
        ("/older/data", "/older/data"),
        ("old/data", "old/data"),
        ("../old", "../old"),
        ("/", "/"),
    ],
)
def test_links_are_led_by_whole_folder_names(tmp_path: Path, target: str, expected: str) -> None:
    moves = moves_between(("/old/rose-runs/r", "/old"), ("/moved", "/new"))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/link").symlink_to(target)
    relocate_links([tmp_path], moves, inside=tmp_path)
    assert str((tmp_path / "deep/link").readlink()) == expected
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["link"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "link").symlink_to("/old/data")
    (inside / "way-out").symlink_to(outside)
    assert relocate_links([inside, tmp_path / "gone"], {"/old": "/new"}, inside=tmp_path) == 0
    assert str((outside / "link").readlink()) == "/old/data"
