"""What a record of a pilot says is believed for its own folder only: it may be of another place, or anybody's."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rose_cli.engine.pilot.records import (
    RECORD,
    PilotRecord,
    forget_pilots,
    open_records,
    wait_for_pilots,
    write_record,
)
from rose_cli.engine.pilot.script import make_fresh
from rose_cli.engine.pilot.work_dir import WorkDirectory
from rose_cli.util.errors import RunDirectoryError
from tests.forge import anything

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose


RUN = "0123456789abcdef-fe00-1"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder that no pilot has to do with."""
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o700)
    (folder / "paper.tex").write_text("precious")
    return folder


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "engine"
    (folder / "pilot-1.1").mkdir(parents=True)
    return folder


def record(**values: object) -> dict[str, Any]:
    here = {"host": socket.gethostname(), "resource": "local.localhost", "here": True, "runtime_seconds": 60.0}
    return {**here, "submitted": 0.0, "active": None, "workplace": "/nowhere", **values}


def write(engine: Path, entries: object, name: str = "pilot-1.1") -> Path:
    path = engine / name / RECORD
    path.write_text(json.dumps(entries))
    return path


def untouched(mine: Path) -> bool:
    return {path.name: path.read_text() for path in mine.iterdir()} == {"paper.tex": "precious"}


def test_a_folder_that_a_record_calls_its_workplace_is_left_alone(engine: Path, mine: Path) -> None:
    claims: list[dict[str, object]] = [
        {},
        {"home": str(engine / "took")},  # as an older rose wrote it
        {"token": "x" * 32},
        {"token": ""},
        {"here": False, "active": 1e15},
    ]
    for number, values in enumerate(claims):
        (engine / f"pilot-{number}.9").mkdir()
        path = write(engine, record(workplace=str(mine), **values), f"pilot-{number}.9")
        forget_pilots(engine)
        assert untouched(mine)
        assert not path.exists()
    assert not (engine / "took").exists()


def test_what_a_record_calls_home_is_not_written(engine: Path, mine: Path) -> None:
    """A private folder was once replaced file by file by what somebody had laid ready."""
    gift = engine / "gift"
    gift.mkdir()
    (gift / "paper.tex").write_text("mallory's")
    (gift / "authorized_keys").write_text("mallory's")
    write(engine, record(workplace=str(gift), home=str(mine)))
    forget_pilots(engine)
    assert untouched(mine)


def test_a_folder_of_the_right_name_needs_the_right_token(engine: Path, tmp_path: Path) -> None:
    folder = tmp_path / "rose-pilot-abc"
    folder.mkdir(mode=0o700)
    (folder / "paper.tex").write_text("precious")
    token = "0" * 32
    for written in (None, "", "1" * 32, token + "0"):
        if written is not None:
            (folder / "rose.token").write_text(written)
        write(engine, record(workplace=str(folder), token=token))
        forget_pilots(engine)
        assert (folder / "paper.tex").exists()
    (folder / "rose.token").write_text(token)
    folder.chmod(0o755)
    write(engine, record(workplace=str(folder), token=token))
    forget_pilots(engine)
    assert (folder / "paper.tex").exists(), "a folder that rose made is for nobody else to enter"


def test_a_temporary_workplace_comes_home_also_after_the_run_was_moved(tmp_path: Path) -> None:
    engine = tmp_path / "it's a run" / "engine"
    (engine / "pilot-1.1").mkdir(parents=True)
    work_dir = WorkDirectory(engine / "pilot-1.1" / "radical")
    assert not work_dir.needs_no_quotes
    work_dir.create(tmp_path / "no configs")
    (work_dir.path / "client" / "log").write_text("words")
    (work_dir.path / "tmp" / "scratch").write_text("x")
    path = engine / "pilot-1.1" / RECORD
    made = PilotRecord(socket.gethostname(), "r", True, 60.0, 0.0, str(work_dir.path), token=work_dir.token)
    write_record(path, made)
    assert path.stat().st_mode & 0o077 == 0
    engine.parent.rename(tmp_path / "moved")
    engine = tmp_path / "moved" / "engine"
    assert list(open_records(engine).values()) == [made]
    forget_pilots(engine)
    home = engine / "pilot-1.1" / "radical"
    assert (home / "client" / "log").read_text() == "words"
    assert sorted(path.name for path in home.iterdir()) == ["agent", "client", "config", "home"]
    assert not work_dir.path.exists()


def test_of_a_workplace_at_home_only_its_scratch_goes_wherever_the_run_lies_now(engine: Path, mine: Path) -> None:
    home = engine / "pilot-1.1" / "radical"
    (home / "tmp").mkdir(parents=True)
    (home / "tmp" / "scratch").write_text("x")
    (home / "log").write_text("words")
    write(engine, record(workplace=str(mine)))  # the place where the run was, of which something else has become
    forget_pilots(engine)
    assert [path.name for path in home.iterdir()] == ["log"]
    assert untouched(mine)


@pytest.mark.parametrize("place", ["pilot-1.1", "pilot-1.1/radical", "pilot-1.1/radical/tmp"])
def test_no_link_leads_there(engine: Path, mine: Path, place: str) -> None:
    (mine / "tmp").mkdir()
    (mine / "tmp" / "x").write_text("precious")
    (mine / "radical").mkdir()
    (mine / "radical" / "tmp").mkdir()
    (mine / "radical" / "tmp" / "x").write_text("precious")
    (mine / RECORD).write_text(json.dumps(record()))
    before = sorted(path for path in mine.rglob("*"))
    path = engine / place
    if place == "pilot-1.1":
        path.rmdir()
    else:
        path.parent.mkdir(exist_ok=True)
        write(engine, record())
    path.symlink_to(mine)
    forget_pilots(engine)
    assert sorted(path for path in mine.rglob("*")) == before


ODD = ["{", "[]", "null", "5", '{"x": 1}', "[" * 100_000, '{"host": 1}', json.dumps(record(runtime_seconds=1e999)),
       json.dumps(record(here="yes")), json.dumps(record(active="x")), json.dumps(record(workplace="\0"))]  # fmt: skip


@pytest.mark.parametrize("text", ODD)
def test_what_is_no_record_is_a_message_and_no_bug(engine: Path, text: str) -> None:
    path = engine / "pilot-1.1" / RECORD
    path.write_text(text)
    with pytest.raises(RunDirectoryError, match="is not a pilot record") as caught:
        wait_for_pilots(engine, RUN, force=False)
    assert "--force" in (caught.value.hint or "")
    wait_for_pilots(engine, RUN, force=True)
    forget_pilots(engine)
    assert not path.exists()


def test_a_pipe_in_the_place_of_a_record_is_not_waited_for(engine: Path) -> None:
    os.mkfifo(engine / "pilot-1.1" / RECORD)
    with pytest.raises(RunDirectoryError, match="not a regular file"):
        wait_for_pilots(engine, RUN, force=False)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(sorted({*record(), "token", "home"})), value=anything)
def test_any_record_is_refused_or_harms_nothing(engine: Path, mine: Path, key: str, value: object) -> None:
    (engine / "pilot-1.1").mkdir(exist_ok=True)
    write(engine, {**record(workplace=str(mine), home=str(mine)), key: value})
    try:
        wait_for_pilots(engine, RUN, force=False)
    except RunDirectoryError:
        wait_for_pilots(engine, RUN, force=True)
    forget_pilots(engine)
    assert untouched(mine)


def test_a_run_on_this_machine_does_not_look_at_records_of_pilots(rose: Rose, mine: Path) -> None:
    rose.write("{max_iter: 1, tasks: {t: {executable: 'true'}}, learners: [{name: a}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    folder = rose.folder / "r/engine/pilot-1"
    folder.mkdir()
    (folder / RECORD).write_text(json.dumps(record(workplace=str(mine), home=str(folder / "took"))))
    (rose.folder / "r/engine/pilot-2").mkdir()
    os.mkfifo(rose.folder / "r/engine/pilot-2" / RECORD)
    assert rose("resume", "r", "--max-iter", "2").code == 0
    assert untouched(mine)
    assert (folder / RECORD).exists()


def test_folders_of_a_session_are_its_own(engine: Path, mine: Path) -> None:
    """What was laid ready in their place is put aside, a link as well as a folder with links in it."""
    (engine / "tasks-1").symlink_to(mine)
    make_fresh(engine / "tasks-1")
    make_fresh(engine / "tasks-1")
    assert list((engine / "tasks-1").iterdir()) == []
    assert (engine / "tasks-1.before-1").is_symlink()
    assert untouched(mine)
