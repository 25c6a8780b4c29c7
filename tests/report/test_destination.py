"""Where reports are written: nothing is lost, and nothing is written where others could have planted something."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rose_cli.report.destination import Destination, default_path, readable_by
from rose_cli.runs.directory import RunDirectory
from rose_cli.util.errors import UsageError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    path = tmp_path / "rose-runs" / "campaign-20260101-1"
    path.mkdir(parents=True)
    path.parent.chmod(0o755)
    path.chmod(0o755)
    return RunDirectory.at(path)


def test_an_older_report_is_kept(tmp_path: Path) -> None:
    for number in range(1, 4):
        destination = Destination(tmp_path / "report.html")
        destination.write(b"%d" % number)
        assert destination.path.name == ("report.html" if number == 1 else f"report-{number}.html")
    assert names(tmp_path) == ["report-2.html", "report-3.html", "report.html"]
    assert (tmp_path / "report.html").read_bytes() == b"1"


def test_force_replaces_it_and_a_watched_report_replaces_itself(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("old")
    forced = Destination(tmp_path / "report.md", force=True)
    forced.write(b"new")
    assert names(tmp_path) == ["report.md"]
    watched = Destination(tmp_path / "report.md")
    for text in (b"1", b"2", b"3"):
        watched.write(text)
    assert names(tmp_path) == ["report-2.md", "report.md"]
    assert (tmp_path / "report.md").read_bytes() == b"new"
    assert (tmp_path / "report-2.md").read_bytes() == b"3"


def test_a_watched_report_that_was_removed_or_replaced_is_written_anew(tmp_path: Path) -> None:
    watched = Destination(tmp_path / "report.md")
    watched.write(b"1")
    (tmp_path / "report.md").unlink()
    watched.write(b"2")
    assert (tmp_path / "report.md").read_bytes() == b"2"
    (tmp_path / "other").write_bytes(b"mine")
    (tmp_path / "other").replace(tmp_path / "report.md")
    watched.write(b"3")
    assert (tmp_path / "report.md").read_bytes() == b"mine"
    assert watched.path.read_bytes() == b"3"


def test_an_empty_file_is_no_report(tmp_path: Path) -> None:
    """As GITHUB_STEP_SUMMARY is in each step."""
    (tmp_path / "summary").touch()
    Destination(tmp_path / "summary").write(b"text")
    assert names(tmp_path) == ["summary"]
    assert (tmp_path / "summary").read_bytes() == b"text"


@pytest.mark.parametrize("force", [True, False])
def test_a_link_is_not_followed(force: bool, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "report.html").symlink_to(target)
    (folder / "report-2.html").symlink_to(tmp_path / "nowhere")
    destination = Destination(folder / "report.html", force=force)
    destination.write(b"report")
    assert target.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()
    assert destination.path.name == ("report.html" if force else "report-3.html")
    assert not destination.path.is_symlink()


def test_a_pipe_is_written_to_only_if_the_user_names_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    planted = Destination(tmp_path / "pipe")
    planted.write(b"report")
    assert planted.path.name == "pipe-2"
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        Destination(tmp_path / "pipe", chosen=True).write(b"report")
        assert os.read(reader, 100) == b"report"
    finally:
        os.close(reader)


def test_what_cannot_be_written_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write '.*report\.md': No such file or directory"):
        Destination(tmp_path / "missing" / "report.md").write(b"x")
    (tmp_path / "report.md").mkdir()
    with pytest.raises(UsageError, match="it is a directory"):
        Destination(tmp_path / "report.md", force=True).write(b"x")
    assert names(tmp_path) == ["report.md"]


def test_a_full_disk_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report.md").write_bytes(b"old")

    def full(descriptor: int) -> os.stat_result:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fstat", full)
    with pytest.raises(UsageError, match="No space left") as raised:
        Destination(tmp_path / "report.md", force=True).write(b"x")
    assert "free some space" in (raised.value.hint or "")
    assert names(tmp_path) == ["report.md"]
    assert (tmp_path / "report.md").read_bytes() == b"old"


def test_without_hard_links_nothing_is_overwritten_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(source: object, target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    for text in (b"1", b"2"):
        Destination(tmp_path / "report.md").write(text)
    assert names(tmp_path) == ["report-2.md", "report.md"]
    assert (tmp_path / "report.md").read_bytes() == b"1"
    assert (tmp_path / "report-2.md").read_bytes() == b"2"


def test_the_default_is_the_run_directory_if_it_is_the_users_own(run: RunDirectory) -> None:
    assert default_path([run], "html") == run.path / "report.html"
    assert default_path([run, run], "html") == Path("rose-report.html")
    run.path.chmod(0o777)
    assert default_path([run], "html") == Path("campaign-20260101-1-report.html")


def test_a_report_is_as_private_as_its_run(run: RunDirectory) -> None:
    assert readable_by([run]) & 0o444 == 0o444
    run.path.chmod(0o700)
    Destination(run.path / "report.md", mode=readable_by([run])).write(b"x")
    assert stat.S_IMODE((run.path / "report.md").stat().st_mode) == 0o600
