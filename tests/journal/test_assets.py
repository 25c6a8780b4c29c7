"""Old journals: an older version's run is read to the same state, and can be resumed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

from rose_cli.journal.codec import encode
from rose_cli.journal.events import FORMAT_VERSION, Event
from rose_cli.journal.file import read_journal
from rose_cli.journal.state import RunState
from rose_cli.plan.file import load_plan
from tests.journal.assets.record import PLACE, plain

if TYPE_CHECKING:
    from rose_cli.journal.codec import Record
    from tests.conftest import Rose

ASSETS = Path(__file__).parent / "assets"
VERSIONS = sorted(path.name for path in ASSETS.glob("v*"))
RENAMED = {"over": "finished"}
"""Attributes of the state that had another name when an asset was recorded."""


@pytest.fixture
def old(rose: Rose) -> Rose:
    """The run of the latest asset, as if it lay in `rose.folder`."""
    place(ASSETS / VERSIONS[-1], rose.folder)
    return rose


def place(asset: Path, folder: Path) -> Path:
    run = folder / "run"
    shutil.copytree(asset, run)
    (run / "plan.json").write_text((asset / "plan.json").read_text().replace(PLACE, str(folder)))
    shutil.copy(asset / "campaign.yaml", folder)
    for learner in load_plan(run / "plan.json").learners:
        (run / "learners" / learner.name / "workspace").mkdir(parents=True)
    (run / "campaign" / "workspace").mkdir(parents=True)
    return run


NOT_YET_RECORDED: set[type] = set()
"""Events that came after the latest asset; the next one has them."""


def holds(there: Any, expected: Any) -> bool:
    """Whether all that was expected is there; a later rose may know more about the same."""
    if isinstance(there, dict) and "durations" in there:
        longest = {task: durations["longest"] for task, durations in there["durations"].items()}
        there = {**there, "longest_seconds": longest}  # what older states had in place of the durations
    if isinstance(expected, dict):
        expected = {RENAMED.get(key, key): value for key, value in expected.items()}
        return isinstance(there, dict) and all(key in there and holds(there[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(there) == len(expected) and all(map(holds, there, expected))
    return json.dumps(there) == json.dumps(expected)  # nan is nan


def test_there_is_an_asset_for_every_format() -> None:
    assert [f"v{number}" for number in range(1, FORMAT_VERSION + 1)] == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_read_to_the_state_that_it_was(version: str) -> None:
    state = RunState()
    contents = read_journal(ASSETS / version / "journal.jsonl", state.apply)
    assert (contents.torn_bytes, contents.records > 400) == (0, True)
    expected = json.loads((ASSETS / version / "state.json").read_text(encoding="utf-8"))
    for name, learner in expected["learners"].items():
        assert holds(json.loads(json.dumps(plain(state.learners[name]))), learner), name
    assert holds(json.loads(json.dumps(plain(state))), expected)


def test_the_asset_has_every_event() -> None:
    records: list[Record] = []
    read_journal(ASSETS / VERSIONS[-1] / "journal.jsonl", records.append)
    assert {type(record.event) for record in records} == set(get_args(Event)) - NOT_YET_RECORDED


def test_what_is_written_today_is_what_was_written_then() -> None:
    """A change of the form would pass unseen until an older rose met it."""
    lines: list[bytes] = []
    read_journal(ASSETS / f"v{FORMAT_VERSION}" / "journal.jsonl", lambda record: lines.append(encode(record)))
    assert b"".join(lines) == (ASSETS / f"v{FORMAT_VERSION}" / "journal.jsonl").read_bytes()


@pytest.mark.parametrize("version", VERSIONS)
def test_its_plan_is_read(version: str) -> None:
    plan = load_plan(ASSETS / version / "plan.json")
    learners = {learner.name: learner for learner in plan.learners}
    assert list(learners) == ["converges", "per iteration", "adaptive", "fails", "nan", "stopped"]
    command = learners["per iteration"].steps[0].command(2)
    assert dict(command.options) == {"--n": (1, 2.5)}
    assert (plan.limits.wall_time_seconds, plan.engine.cores, learners["nan"].max_iter) == (3600.0, 4, 4)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_command_takes_it_and_a_resume_goes_on(version: str, rose: Rose) -> None:
    place(ASSETS / version, rose.folder)
    learners = rose.learners("run")
    assert learners["converges"]["stop_reason"] == "criterion_met"
    assert learners["per iteration"]["iterations_done"] == 6
    assert learners["fails"]["error"]["signal"] == 11
    assert learners["stopped"]["stop_reason"] == "cancelled"
    assert len(rose("export", "run", "--format", "jsonl").out.splitlines()) == sum(
        len(learner["history"]) for learner in learners.values()
    )
    assert rose("list").code == rose("logs", "run").code == 0
    assert "fails" in rose("resume", "run", "--dry-run").out
    assert rose("resume", "run", "--max-iter", "7", "--output", "quiet").code == 1  # `fails` still fails
    assert rose.learners("run")["per iteration"]["history"] == [*learners["per iteration"]["history"], 0.3]


# --- what is newer than this rose ----------------------------------------------------------------------------------


def _rewritten(run: Path, old: bytes, new: bytes) -> None:
    """Some text of the journal changed, with checksums that fit."""
    from zlib import crc32

    lines = []
    for line in (run / "journal.jsonl").read_bytes().splitlines(keepends=True):
        body = line[: line.rindex(b',"crc"')].replace(old, new)
        lines.append(body + b',"crc":"%08x"}\n' % crc32(body))
    (run / "journal.jsonl").write_bytes(b"".join(lines))


@pytest.mark.parametrize("command", [("status",), ("resume",), ("export",), ("logs",), ("resume", "--dry-run")])
def test_a_newer_format_is_refused_with_what_to_do(old: Rose, command: tuple[str, ...]) -> None:
    newer = FORMAT_VERSION + 1
    _rewritten(old.folder / "run", b'"format":%d' % FORMAT_VERSION, b'"format":%d' % newer)
    before = (old.folder / "run/journal.jsonl").read_bytes()
    called = old(command[0], "run", *command[1:])
    assert called.code == 4
    what = f"written by a newer rose (format {newer}; this one reads up to format {FORMAT_VERSION})"
    assert what in called.err.replace("\n", " ")
    assert "use the version of rose that wrote it" in called.err.replace("\n", " ")
    assert (old.folder / "run/journal.jsonl").read_bytes() == before


def test_an_unknown_event_is_refused_with_its_line(old: Rose) -> None:
    _rewritten(old.folder / "run", b'"event":"max_iter_changed"', b'"event":"sun_has_risen"')
    called = old("status", "run")
    assert called.code == 4
    assert "unknown event 'sun_has_risen'" in called.err
    assert "line" in called.err


def test_an_unknown_key_of_a_known_event_is_passed_over(old: Rose) -> None:
    before = old.learners("run")
    _rewritten(old.folder / "run", b'"event":"learner_stopped"', b'"event":"learner_stopped","mood":"good"')
    assert old.learners("run") == before


# --- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [2, 100, 400])
def test_damage_in_the_middle_is_named_and_what_stands_before_it_is_shown(old: Rose, line: int) -> None:
    path = old.folder / "run/journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1][:20] + b"#" + lines[line - 1][21:]
    path.write_bytes(b"".join(lines))
    called = old("status", "run", "--format", "json")
    assert called.code == 0
    assert f"damaged at line {line}:" in called.err.replace("\n", " ")
    seen = json.loads(called.out)
    assert f"line {line}" in seen["damage"]
    read = RunState()
    with_good = path.with_name("good")
    with_good.write_bytes(b"".join(lines[: line - 1]))
    read_journal(with_good, read.apply)
    assert {each["name"]: each["iterations_done"] for each in seen["learners"]} == {
        name: len(learner.iterations) for name, learner in read.learners.items()
    }
    assert "converges" in old("status", "run").out
    for words in (("resume", "run"), ("export", "run"), ("resume", "run", "--dry-run")):
        refused = old(*words)
        assert (refused.code, f"line {line}:" in refused.err.replace("\n", " ")) == (4, True), words
    assert path.read_bytes() == b"".join(lines)


def test_a_journal_of_nothing_but_noise_is_refused(old: Rose) -> None:
    (old.folder / "run/journal.jsonl").write_bytes(b"\x1b[31mnoise\n" * 100)
    called = old("status", "run")
    assert (called.code, called.out) == (4, "")
    assert "line 1" in called.err
