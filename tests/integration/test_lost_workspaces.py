"""Workspaces that a purge, or somebody, has taken away, emptied or replaced between two sessions or within one."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PATIENCE, Rose, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CAMPAIGN = """
    max_iter: 3
    files: [{path: start.csv, copy: true}]
    tasks: {sim: {executable: ./sim.sh}}
    stop: {metric: n, operator: ">", threshold: 100, executable: ./check.sh}
    learners: [{name: a}, {name: b}]
    """


@pytest.fixture
def ended(rose: Rose) -> Rose:
    """A run `r` at its max_iter, whose metric counts what the iterations have added up."""
    rose.script('#!/bin/sh\nmkdir -p model\necho "$ROSE_ITERATION" >> labels.txt\necho m > model/weights\n', "sim.sh")
    rose.script("#!/bin/sh\nwc -l < labels.txt\n", "check.sh")
    rose.write("x", "start.csv")
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    return rose


def workspace(rose: Rose, learner: str = "a") -> Path:
    return rose.folder / "r/learners" / learner / "workspace"


def histories(rose: Rose) -> dict[str, list[float | None]]:
    return {name: learner["history"] for name, learner in rose.learners("r").items()}


def gone(place: Path) -> None:
    shutil.rmtree(place)


def gone_with_logs(place: Path) -> None:
    shutil.rmtree(place.parent)


def a_file_in_its_place(place: Path) -> None:
    shutil.rmtree(place)
    place.write_text("?")


def emptied(place: Path) -> None:
    shutil.rmtree(place)
    place.mkdir()


def purged_by_age(place: Path) -> None:
    for path in place.rglob("*"):
        if path.is_file():
            path.unlink()


def replaced(place: Path) -> None:
    emptied(place)
    (place / "others.txt").write_text("0\n1\n2\n")


def lost_a_file(place: Path) -> None:
    (place / "labels.txt").unlink()


def lost_a_file_below(place: Path) -> None:
    (place / "model/weights").unlink()


def truncated(place: Path) -> None:
    (place / "labels.txt").write_text("")


LOSSES: dict[Callable[[Path], None], str] = {
    gone: "no longer exists",
    gone_with_logs: "no longer exists",
    a_file_in_its_place: "no longer exists",
    emptied: "has been emptied",
    purged_by_age: "all of its 3 files are missing",
    replaced: "has been replaced: all of its 3 files are missing",
    lost_a_file: "has lost 1 of its 3 files: 'labels.txt'",
    lost_a_file_below: "has lost 1 of its 3 files: 'model/weights'",
    truncated: "'labels.txt' became empty",
}
CHANGES = pytest.mark.parametrize(("lose", "says"), LOSSES.items(), ids=lambda it: getattr(it, "__name__", ""))


@CHANGES
def test_a_learner_whose_workspace_is_lost_is_refused_and_the_others_go_on(
    ended: Rose, lose: Callable[[Path], None], says: str
) -> None:
    lose(workspace(ended))
    dry = ended("resume", "r", "--max-iter", "5", "--dry-run")
    assert (dry.code, "a: cannot continue: " in dry.out, says in dry.out) == (4, True, True), dry.out
    assert "b: keeps 3 iterations; continues at iteration 3" in dry.out
    assert (says in ended("status", "r").err, says in ended.learners("r")["a"]["lost"]) == (True, True)
    called = ended("resume", "r", "--max-iter", "5")
    assert (called.code, says in called.err) == (4, True), called.err
    assert "`rose resume r --from-iteration 0 --learner a`" in called.err
    assert histories(ended) == {"a": [1, 2, 3], "b": [1, 2, 3, 4, 5]}
    assert ended.learners("r")["b"]["lost"] is None
    alone = ended("resume", "r", "--max-iter", "6", "--learner", "a")
    assert (alone.code, says in alone.err) == (4, True)
    over = ended("resume", "r", "--from-iteration", "0", "--learner", "a")
    assert over.code == 0, over.err
    assert histories(ended)["a"] == [1, 2, 3, 4, 5], "as if nothing had been there before"
    assert (workspace(ended) / "start.csv").read_text() == "x"
    assert ended.learners("r")["a"]["lost"] is None


def test_what_is_left_of_a_workspace_is_kept_when_it_is_made_anew(ended: Rose) -> None:
    for number in (1, 2):
        lost_a_file(workspace(ended))
        dry = ended("resume", "r", "--from-iteration", "0", "--learner", "a", "--dry-run")
        assert (dry.code, "a: keeps 0 iterations; " in dry.out, "starts with a new workspace" in dry.out) == (
            0,
            True,
            True,
        )
        called = ended("resume", "r", "--from-iteration", "0", "--learner", "a")
        aside = workspace(ended).with_name(f"workspace.lost-{number}")
        assert (called.code, f"are in '{aside}'" in called.err) == (0, True)
        assert sorted(path.name for path in aside.iterdir()) == ["model", "start.csv"]


def test_going_back_to_a_later_iteration_does_not_help(ended: Rose) -> None:
    gone(workspace(ended))
    called = ended("resume", "r", "--from-iteration", "1", "--learner", "a")
    assert called.code == 4
    assert histories(ended)["a"] == [1, 2, 3]
    assert not workspace(ended).exists()


def test_what_was_put_back_goes_on(ended: Rose) -> None:
    kept = ended.folder / "kept"
    shutil.copytree(workspace(ended), kept)
    gone(workspace(ended))
    assert ended("resume", "r", "--max-iter", "5").code == 4
    shutil.copytree(kept, workspace(ended))
    assert ended("resume", "r", "--max-iter", "5").code == 0
    assert histories(ended) == {"a": [1, 2, 3, 4, 5], "b": [1, 2, 3, 4, 5]}


def test_the_user_may_know_better(ended: Rose) -> None:
    lost_a_file_below(workspace(ended))
    called = ended("resume", "r", "--max-iter", "4", "--force")
    assert called.code == 0, called.err
    assert histories(ended) == {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]}
    gone(workspace(ended))
    assert ended("resume", "r", "--max-iter", "5", "--force").code == 4, "nobody knows better than nothing"


def test_when_nobody_can_resume_nothing_begins(ended: Rose) -> None:
    before = (ended.folder / "r/journal.jsonl").read_bytes()
    for learner in "ab":
        gone(workspace(ended, learner))
    called = ended("resume", "r", "--max-iter", "5")
    assert called.code == 4
    assert "learner 'a' cannot continue" in called.err
    assert "learner 'b' cannot continue" in called.err
    assert "--from-iteration 0 --learner a --learner b`" in called.err
    assert (ended.folder / "r/journal.jsonl").read_bytes() == before


def test_what_somebody_changed_or_added_is_no_loss_and_a_change_is_said(ended: Rose) -> None:
    (workspace(ended) / "notes").write_text("mine")
    (workspace(ended) / ".hidden").write_text("mine")
    assert "changed since" not in ended("resume", "r", "--max-iter", "4", "--dry-run").out
    (workspace(ended) / "model/weights").write_text("better ones")
    called = ended("resume", "r", "--max-iter", "4")
    assert (called.code, "in the workspace of 'a', 'model/weights' changed since its last step" in called.err) == (
        0,
        True,
    )


def test_tasks_may_remove_what_they_like(rose: Rose) -> None:
    rose.script(
        '#!/bin/sh\nrm -f *.tmp\necho > "$ROSE_ITERATION.tmp"\n[ "$ROSE_ITERATION" != 2 ] || rm -rf ./*\n', "sim.sh"
    )
    rose.write("{max_iter: 2, tasks: {sim: {executable: ./sim.sh}}, learners: [{name: a}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    for number in (3, 4):
        called = rose("resume", "r", "--max-iter", str(number))
        assert (called.code, "workspace" in called.err) == (0, False), called.err


def interrupted(rose: Rose, task: str) -> None:
    """A run `r` whose session was killed while `task` was under way for the first time, in iteration 0."""
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_until((rose.folder / "r/learners/a/workspace/begun").exists)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert [event["task"] for event in rose.events("r") if event["event"] == "attempt_started"][-1] == task


SLOW = '#!/bin/sh\n[ -e "$ROSE_CAMPAIGN_DIR/go" ] && exit\n{change}\ntouch begun\nexec sleep 600\n'


@pytest.mark.parametrize(
    ("made", "change"),
    [("made-by-first kept", "rm -f made-by-first"), ("model-0", "mv model-0 model-1")],
    ids=["removed one", "replaced all"],
)
def test_a_task_that_was_killed_may_have_changed_files_itself(rose: Rose, made: str, change: str) -> None:
    rose.script(f"#!/bin/sh\nfor name in {made}; do echo x > $name; done\n", "first.sh")
    rose.script(SLOW.format(change=change), "slow.sh")
    rose.write(
        "{max_iter: 1, tasks: {first: {executable: ./first.sh}, slow: {executable: ./slow.sh}}, learners: [{name: a}]}"
    )
    interrupted(rose, "slow")
    (rose.folder / "go").touch()
    called = rose("resume", "r")
    assert (called.code, "workspace" in called.err) == (0, False), called.err


def test_replicas_may_make_and_remove_files_at_once(rose: Rose) -> None:
    rose.script(
        '#!/bin/sh\nfor n in 1 2 3; do echo x > "tmp.$ROSE_REPLICA.$n"; done\nrm tmp.$ROSE_REPLICA.*\n', "sim.sh"
    )
    rose.write(
        "{max_iter: 2, tasks: {sim: {executable: ./sim.sh, replicas: 12}}, engine: {cores: 12}, learners: [{name: a}]}"
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    called = rose("resume", "r", "--max-iter", "3")
    assert (called.code, "workspace" in called.err) == (0, False), called.err


@pytest.mark.parametrize("lose", [gone, emptied])
def test_steps_of_the_iteration_under_way_are_lost_too(rose: Rose, lose: Callable[[Path], None]) -> None:
    rose.script("#!/bin/sh\necho x > made-by-first\necho x > kept\n", "first.sh")
    rose.script(SLOW.format(change="rm -f made-by-first"), "slow.sh")
    rose.write(
        "{max_iter: 1, tasks: {first: {executable: ./first.sh}, slow: {executable: ./slow.sh}}, learners: [{name: a}]}"
    )
    interrupted(rose, "slow")
    (rose.folder / "go").touch()
    lose(workspace(rose))
    refused = rose("resume", "r")
    assert (refused.code, "learner 'a' cannot continue" in refused.err) == (4, True), refused.err
    assert rose("resume", "r", "--from-iteration", "0", "--learner", "a").code == 0
    assert (workspace(rose) / "made-by-first").exists()


def test_a_snapshot_makes_up_for_a_lost_workspace(rose: Rose) -> None:
    rose.script("#!/bin/sh\necho x > made-by-first\n", "first.sh")
    rose.script(SLOW.format(change="rm -f made-by-first"), "slow.sh")
    rose.write("""
        max_iter: 1
        tasks: {first: {executable: ./first.sh}, slow: {executable: ./slow.sh, snapshot: true}}
        learners: [{name: a}]
        """)
    interrupted(rose, "slow")
    (rose.folder / "go").touch()
    gone(workspace(rose))
    called = rose("resume", "r")
    assert called.code == 0, called.err
    assert (workspace(rose) / "made-by-first").exists()


def test_a_learner_without_a_finished_step_has_nothing_to_lose(rose: Rose) -> None:
    rose.script(SLOW.format(change="rm -f made-by-first"), "slow.sh")
    rose.write("{max_iter: 1, tasks: {slow: {executable: ./slow.sh}}, learners: [{name: a}]}")
    interrupted(rose, "slow")
    (rose.folder / "go").touch()
    gone(workspace(rose))
    assert rose("resume", "r").code == 0


@pytest.mark.parametrize("on_failure", ["stop_learner", "continue"])
def test_a_workspace_that_goes_in_mid_session_is_not_made_again(rose: Rose, on_failure: str) -> None:
    rose.script('#!/bin/sh\n[ "$ROSE_LEARNER$ROSE_ITERATION" != a1 ] || rm -rf "$ROSE_WORKSPACE"\n', "sim.sh")
    rose.write(f"""
        max_iter: 4
        on_failure: {on_failure}
        tasks: {{sim: {{executable: ./sim.sh}}, train: {{executable: touch model}}}}
        learners: [{{name: a}}, {{name: b}}]
        """)
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 1
    assert "does not exist" in called.out
    assert {name: each["iterations_done"] for name, each in rose.learners("r").items()} == {"a": 1, "b": 4}
    assert not workspace(rose).exists()
    refused = rose("resume", "r")
    assert (refused.code, "no longer exists" in refused.err) == (4, True), refused.err


def test_a_folder_with_many_files_hides_no_other(rose: Rose) -> None:
    rose.script(
        "#!/bin/sh\nmkdir -p ckpt\nfor k in $(seq 120); do echo x > s-$ROSE_ITERATION-$k; done\necho x >> ckpt/model\n",
        "sim.sh",
    )
    rose.write("{max_iter: 2, tasks: {sim: {executable: ./sim.sh}}, learners: [{name: a}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    shutil.rmtree(rose.folder / "r/learners/a/workspace/ckpt")
    called = rose("resume", "r", "--max-iter", "4")
    assert (called.code, "ckpt/model" in called.err) == (4, True), called.err
