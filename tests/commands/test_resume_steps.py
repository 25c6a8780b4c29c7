"""What `rose resume` does before its session begins, in process: the session itself is only noted, not run."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.commands import resume as resuming
from rose_cli.commands.resume import ResumeOptions, _terminate_leftovers, preview, resume
from rose_cli.engines import unique_run_id
from rose_cli.journal import events as e
from rose_cli.journal.codec import Record
from rose_cli.plan.file import load_plan
from rose_cli.runs.moves import RunLocation
from rose_cli.util.errors import ExitCode, RunDirectoryError, UsageError
from rose_cli.util.files import directory_identity
from rose_cli.util.host import boot_id, host_name
from rose_cli.util.processes import process_start_ticks
from tests.loop.simulation import Fate, World, interrupt

if TYPE_CHECKING:
    from pathlib import Path

    from rose_cli.engine.termination import RecordedProcesses
    from rose_cli.run_session import SessionSetup

TWO = "{max_iter: 2, tasks: {t: {executable: 'true'}}, learners: [{name: a}, {name: b}]}"


class Resumed:
    """What the sessions were to begin with, and what was looked for before them."""

    def __init__(self) -> None:
        self.setups: list[SessionSetup] = []
        self.searched: list[tuple[str, float, RecordedProcesses | None]] = []
        self.since: float | None = None
        self.ended = 0
        self.code = ExitCode.OK

    def run_and_report(self, setup: SessionSetup, *, require_criterion: bool) -> ExitCode:
        del require_criterion
        self.setups.append(setup)
        return self.code

    def terminate(
        self, run_id: str, *, grace_seconds: float, recorded: RecordedProcesses | None, since: float | None
    ) -> int:
        self.searched.append((run_id, grace_seconds, recorded))
        self.since = since
        return self.ended


@pytest.fixture
def resumed(monkeypatch: pytest.MonkeyPatch) -> Resumed:
    noted = Resumed()
    monkeypatch.setattr(resuming, "run_and_report", noted.run_and_report)
    monkeypatch.setattr(resuming, "terminate_leftovers", noted.terminate)
    return noted


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.of(tmp_path, TWO, lambda _: Fate(10))


def again(world: World, **options: Any) -> ExitCode:
    return resume(str(world.directory.path), ResumeOptions(**options))


def look(world: World, **options: Any) -> ExitCode:
    return preview(str(world.directory.path), ResumeOptions(**options))


def test_a_session_begins_where_the_last_one_was_interrupted(world: World, resumed: Resumed) -> None:
    world.run(interrupt(15))
    assert again(world, output="quiet") is ExitCode.OK
    (setup,) = resumed.setups
    assert setup.opening == []
    assert (setup.output, setup.left_out, setup.recorded) == ("quiet", {}, ())
    assert setup.plan == load_plan(world.directory.plan)
    assert setup.directory.path == world.directory.path
    assert setup.environment["PATH"].endswith(os.environ["PATH"])
    assert setup.checksums == {}
    assert setup.rewrite is None


def test_a_finished_run_has_nothing_to_do(world: World, resumed: Resumed, capsys: pytest.CaptureFixture[str]) -> None:
    world.run()
    assert again(world) is ExitCode.OK
    said = capsys.readouterr().err
    assert "nothing to do: every learner has stopped (2 reached max_iter)\n  `rose resume" in said
    assert again(world, require_criterion=True) is ExitCode.LEARNER_FAILED, "its criterion was not met"
    assert resumed.setups == []
    assert again(world, max_iter=3) is ExitCode.OK
    assert [event for event in resumed.setups[0].opening if isinstance(event, e.MaxIterChanged)] == [
        e.MaxIterChanged(3, ())
    ]


def test_a_lost_workspace_leaves_its_learner_out(
    world: World, resumed: Resumed, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run(interrupt(15))
    shutil.rmtree(world.directory.workspace("a"))
    for code, expected in (
        (ExitCode.OK, ExitCode.RUN_DIRECTORY),
        (ExitCode.LEARNER_FAILED, ExitCode.RUN_DIRECTORY),
        (ExitCode.INTERRUPTED, ExitCode.INTERRUPTED),
    ):
        resumed.code = code
        assert again(world) is expected
        assert set(resumed.setups[-1].left_out) == {"a"}
    said = capsys.readouterr().err
    assert "learner 'a' is not resumed: its workspace" in said
    assert "learner 'a' cannot continue: its workspace" in said
    with pytest.raises(RunDirectoryError, match="learner 'a' cannot continue: its workspace"):
        look(world)


def test_without_any_workspace_there_is_no_session(tmp_path: Path, resumed: Resumed) -> None:
    text = "{max_iter: 2, tasks: {t: {executable: 'true'}}, learners: 10}"
    world = World.of(tmp_path, text, lambda _: Fate(10), cores=20)
    world.run(interrupt(15))
    shutil.rmtree(world.directory.learners)
    with pytest.raises(RunDirectoryError) as caught:
        again(world)
    assert caught.value.message.count("cannot continue: ") == 8
    assert caught.value.message.endswith("; and 2 more learners")
    assert resumed.setups == []


def test_a_stopped_learner_alone_does_not_resume_the_others(
    tmp_path: Path, resumed: Resumed, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "{max_iter: 2, tasks: {t: {executable: 'true'}}, learners: [{name: a, max_iter: 1}, {name: b}]}"
    world = World.of(tmp_path, text, lambda _: Fate(10))
    world.run(interrupt(15))
    for call in (again, look):
        with pytest.raises(UsageError) as caught:
            call(world, learners=["a"])
        run = world.directory.path.name
        assert caught.value.message.startswith("learner 'a' has stopped (reached max_iter): `rose resume ")
        assert caught.value.message.endswith(f"{run} --max-iter 2 --learner a` extends it")
        assert (caught.value.hint or "").endswith(f"{run}` continues the learners that have not stopped: b")
    assert resumed.setups == []
    assert again(world, learners=["a", "b"]) is ExitCode.OK
    assert "learner 'a' has stopped (reached max_iter)" in capsys.readouterr().err
    assert again(world, learners=["a"], max_iter=3) is ExitCode.OK
    said = capsys.readouterr().err
    assert "b continues too: `--learner` chooses only among learners that have stopped\n" in said


def test_a_learner_sent_back_to_the_start_gets_a_new_workspace(
    world: World, resumed: Resumed, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run()
    workspace = world.directory.workspace("a")
    shutil.rmtree(workspace)
    workspace.write_text("what a task left in its place")
    assert again(world, from_iteration=0, learners=["a"]) is ExitCode.OK
    (setup,) = resumed.setups
    assert [event for event in setup.opening if isinstance(event, e.LearnerReopened)] == [
        e.LearnerReopened("a", "sent back to iteration 0", 0, fresh=True)
    ]
    assert not os.path.lexists(workspace)
    assert "the remains of the workspace of 'a' are in '" in capsys.readouterr().err


def test_a_plan_that_was_altered_is_refused_unless_trusted(
    world: World, resumed: Resumed, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run(interrupt(15))
    world.directory.campaign_copy.write_text(TWO.replace("max_iter: 2", "max_iter: 3"))
    for command in (again, look):
        with pytest.raises(RunDirectoryError, match=r"campaign\.yaml' was modified after rose wrote it"):
            command(world)
        seen = capsys.readouterr()
        assert "campaign.yaml of this run was modified after rose wrote it:" in seen.out + seen.err
    assert resumed.setups == []
    assert look(world, trust=True) is ExitCode.OK
    assert again(world, trust=True) is ExitCode.OK
    assert set(resumed.setups[0].checksums) == {"campaign.yaml"}


def test_a_preview_changes_nothing_and_shows_what_a_resume_would_do(
    world: World, resumed: Resumed, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run(interrupt(15))
    before = {path: path.stat().st_mtime_ns for path in world.folder.rglob("*")}
    assert look(world) is ExitCode.OK
    said = capsys.readouterr().out
    assert said.startswith(f"run {world.directory.path}: ")
    assert {path: path.stat().st_mtime_ns for path in world.folder.rglob("*")} == before
    assert (resumed.setups, resumed.searched) == ([], [])
    assert "a: keeps 1 iteration" in said
    assert "runs next:" in said
    look(world, from_iteration=0)
    assert "a: keeps 1 iteration" not in capsys.readouterr().out


def test_a_run_that_was_moved_gets_its_plan_rewritten_once_the_journal_knows_it(
    world: World, resumed: Resumed, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run(interrupt(15))
    moved = world.folder / "elsewhere"
    world.directory.path.rename(moved)
    assert resume(str(moved), ResumeOptions()) is ExitCode.OK
    (setup,) = resumed.setups
    assert set(setup.checksums) == {"plan.json"}
    before = setup.directory.plan.read_bytes()
    assert setup.rewrite is not None
    setup.rewrite()
    assert setup.directory.plan.read_bytes() != before
    resume(str(moved), ResumeOptions(trust=True))
    assert resumed.setups[1].rewrite is None


def test_a_plan_that_cannot_be_rewritten_is_an_error(
    world: World, resumed: Resumed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    world.run(interrupt(15))
    world.directory.path.rename(world.folder / "elsewhere")
    resume(str(world.folder / "elsewhere"), ResumeOptions())
    monkeypatch.setattr(resuming, "write_plan", refuse)
    rewrite = resumed.setups[0].rewrite
    assert rewrite is not None
    with pytest.raises(RunDirectoryError, match=r"cannot write '.*/elsewhere/plan\.json': No space left on device"):
        rewrite()


def test_a_copy_leaves_the_processes_of_the_original_alone(
    world: World, resumed: Resumed, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run(interrupt(15))
    copy = world.folder / "copy"
    shutil.copytree(world.directory.path, copy, symlinks=True)
    resumed.ended = 2
    resume(str(copy), ResumeOptions())
    assert resumed.searched == []
    assert "this is a copy of the run in" in capsys.readouterr().err
    again(world)
    assert len(resumed.searched) == 1
    assert "terminated 2 leftover processes from an earlier session" in capsys.readouterr().err


def test_nothing_is_said_of_no_leftovers(world: World, resumed: Resumed, capsys: pytest.CaptureFixture[str]) -> None:
    world.run(interrupt(15))
    again(world)
    assert "leftover" not in capsys.readouterr().err
    (_, grace, recorded) = resumed.searched[0]
    assert (grace, recorded) == (world.plan.engine.grace_seconds, None), "its session was on another host"


def located(world: World, *, host: str, boot: str | None, identity: str | None) -> RunLocation:
    """A run that rose left when it was killed on that host, with an attempt of `a` under way."""
    state = world.look()
    session = e.SessionStarted(2, host, 1, "local", str(world.directory.path), identity, boot=boot)
    spawned = e.ProcessSpawned("a", 1, "t", 0, 2, os.getpid(), process_start_ticks(os.getpid()) or 0)
    for event in (session, e.AttemptStarted("a", 1, "t", 0, 2), spawned):
        state.apply(Record(0, 0.0, event))
    return RunLocation(world.directory, world.plan, state)


def test_the_processes_in_the_journal_are_looked_for_on_the_machine_that_they_ran_on(
    world: World, resumed: Resumed, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run(interrupt(15))
    here = directory_identity(world.directory.path)
    for host, boot, is_here in (
        (host_name(), None, True), ("other", None, False), ("other", boot_id(), True), (host_name(), "before", False),
    ):  # fmt: skip
        where = located(world, host=host, boot=boot, identity=here)
        _terminate_leftovers(where, force=False)
        run_id, _, recorded = resumed.searched[-1]
        assert run_id == unique_run_id(where.state.run_id, here)
        assert (recorded is not None) == (resumed.since is not None) == is_here
        said = capsys.readouterr().err
        assert (f"process {os.getpid()} is left alone: nothing but the journal says that" in said) == is_here
        if recorded is not None:
            assert [pid for pid, _ in recorded.processes] == [os.getpid()]
            assert list(recorded.run_ids) == []
            folder = world.directory.path.resolve()
            assert list(recorded.directories) == [f"{folder}/learners", f"{folder}/campaign"]


@pytest.mark.parametrize("identity", [None, "of-another-mount"])
def test_tasks_that_bear_another_tag_are_looked_for_too(world: World, resumed: Resumed, identity: str | None) -> None:
    """An older rose tagged them without the directory; one that is mounted anew has another identity."""
    world.run(interrupt(15))
    where = located(world, host=host_name(), boot=boot_id(), identity=identity)
    _terminate_leftovers(where, force=False)
    recorded = resumed.searched[-1][2]
    assert recorded is not None
    run_id = where.state.run_id
    assert list(recorded.run_ids) == [run_id if identity is None else unique_run_id(run_id, identity)]


def test_a_campaign_that_is_gone_is_refused_before_anything_is_done(tmp_path: Path, resumed: Resumed) -> None:
    world = World.of(tmp_path / "campaign", TWO, lambda _: Fate(10))
    world.run(interrupt(15))
    run = tmp_path / "the run"
    world.directory.path.rename(run)
    shutil.rmtree(tmp_path / "campaign")
    for command in (resume, preview):
        with pytest.raises(RunDirectoryError, match=r"the directory of the campaign, '.*', no longer exists"):
            command(str(run), ResumeOptions())
    assert (resumed.setups, resumed.searched) == ([], [])


def test_a_hint_can_be_pasted_into_a_shell(tmp_path: Path, resumed: Resumed) -> None:
    world = World.of(tmp_path, TWO, lambda _: Fate(10))
    world.run(interrupt(15))
    run = tmp_path / "the run"
    world.directory.path.rename(run)
    shutil.rmtree(run / "learners")
    with pytest.raises(RunDirectoryError) as caught:
        resume(str(run), ResumeOptions())
    assert "/the run'" in (caught.value.hint or ""), "in quotes"


def test_a_journal_that_ends_in_the_middle_of_a_record_is_repaired(
    world: World, resumed: Resumed, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run(interrupt(15))
    with world.directory.journal.open("ab") as journal:
        journal.write(b'{"half')
    again(world)
    assert "repaired the journal: cut 6 bytes of an unfinished record at its end" in capsys.readouterr().err
    assert len(resumed.setups) == 1


def test_a_run_that_was_killed_before_its_first_record_starts_now(
    world: World, resumed: Resumed, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run(interrupt(15))
    world.directory.journal.write_bytes(b"")
    again(world)
    assert "the journal was empty: the run starts now" in capsys.readouterr().err
    assert resumed.setups[0].state.run_id
    assert list(resumed.setups[0].state.learners) == ["a", "b"]


def test_a_process_of_the_journal_that_has_ended_is_not_mentioned(
    world: World, resumed: Resumed, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run(interrupt(15))
    where = located(world, host=host_name(), boot=boot_id(), identity=directory_identity(world.directory.path))
    spawned = e.ProcessSpawned("a", 1, "t", 0, 2, os.getpid(), (process_start_ticks(os.getpid()) or 0) + 1)
    where.state.apply(Record(0, 0.0, spawned))
    _terminate_leftovers(where, force=False)
    assert len(resumed.searched) == 1
    assert "left alone" not in capsys.readouterr().err


def test_what_a_session_writes_is_as_private_as_its_run(world: World, resumed: Resumed) -> None:
    world.run(interrupt(15))
    before = os.umask(0o022)
    try:
        for mode, umask in ((0o700, 0o077), (0o750, 0o027), (0o755, 0o022)):
            os.umask(0o022)
            world.directory.path.chmod(mode)
            again(world)
            assert os.umask(0o022) == umask
    finally:
        os.umask(before)
    assert len(resumed.setups) == 3
