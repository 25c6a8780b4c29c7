"""A campaign file that was edited between two sessions: applied if it falsifies nothing, refused by name if it does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Called, Rose

SLIP = """\
    name: digits
    max_iter: 3
    tasks:
      train: {executable: ./train.sh, options: {--hidden: 32 32, --lr: 0.1}}
    stop: {metric: mse, threshold: 0.01, executable: ./check.sh}
    learners: [{name: a}, {name: b}]
    """


@pytest.fixture
def slip(rose: Rose) -> Rose:
    """A run `r` whose learners have failed because of a slip in the file."""
    rose.script('#!/bin/sh\necho "$ROSE_ITERATION $@" >> ran\n[ "$2" = 32 ] || exit 2\n', "train.sh")
    rose.script("#!/bin/sh\necho 0.5\n", "check.sh")
    rose.write(SLIP)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    return rose


@pytest.fixture
def done(slip: Rose) -> Rose:
    """The run with the slip corrected, all iterations done."""
    slip.write(SLIP.replace("32 32", "[32, 32]"))
    assert slip("resume", "r").code == 0
    return slip


def edit(rose: Rose, old: str, new: str) -> None:
    path = rose.folder / "campaign.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def ran(rose: Rose, learner: str = "a") -> list[str]:
    return (rose.folder / f"r/learners/{learner}/workspace/ran").read_text().splitlines()


def flat(called: Called) -> str:
    return " ".join((called.out + called.err).split())


def test_a_slip_in_the_file_is_corrected_and_the_run_continues(slip: Rose) -> None:
    edit(slip, "32 32", "[32, 32]")
    line = "  train options --hidden: '32 32' → [32, 32]  (line 4; train from iteration 0 of all learners)"
    before = {path: path.read_bytes() for path in (slip.folder / "r").rglob("*") if path.is_file()}
    shown = slip("resume", "r", "--dry-run")
    assert shown.code == 0, shown.err
    assert f"'campaign.yaml' has changed since this run was started; applied:\n{line}\n" in shown.out
    assert "train.sh --hidden 32 32 --lr 0.1" in shown.out
    assert before == {path: path.read_bytes() for path in (slip.folder / "r").rglob("*") if path.is_file()}
    called = slip("resume", "r")
    assert called.code == 0, called.err
    assert line in called.err
    assert ran(slip) == ["0 --hidden 32 32 --lr 0.1", *(f"{n} --hidden 32 32 --lr 0.1" for n in range(3))]
    attempts = [event["attempt"] for event in slip.events("r") if event["event"] == "attempt_started"]
    assert max(attempts) == 2, "attempts are counted on"
    (changed,) = (event for event in slip.events("r") if event["event"] == "plan_changed")
    assert changed["edits"] == [line.strip()]
    again = slip("resume", "r")
    assert "has changed" not in again.err
    assert (slip.folder / "r/campaign.yaml").read_text() == (slip.folder / "campaign.yaml").read_text()


REFUSED = """\
2 changes in campaign.yaml cannot be applied to this run:
  learner 'b' is no longer in the file, 'c' is in its place  (line 6): a run keeps its learners
  train options --lr: 0.1 → 0.2  (line 4): iterations 0-2 of a ran with 0.1
error: nothing was applied: finished steps would no longer be what campaign.yaml describes
help: """


def test_a_dry_run_promises_no_task_to_a_learner_that_meets_the_new_threshold(done: Rose) -> None:
    called = done("resume", "r", "--dry-run", "--set", "stop.threshold=0.9")
    assert called.code == 0, called.err
    assert "  a: keeps 3 iterations; stops: met the criterion (stop has changed)\n" in called.out
    assert "runs next" not in called.out
    assert "continues at" not in called.out


def test_the_order_of_options_is_applied(rose: Rose) -> None:
    rose.script('#!/bin/sh\necho "$ROSE_ITERATION $@" >> ran\n[ "$1" = --b ] || exit 2\n', "train.sh")
    rose.write("""\
        name: digits
        max_iter: 1
        tasks: {train: {executable: ./train.sh, options: {--a: 1, --b: 2}}}
        learners: [{name: a}]
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    edit(rose, "--a: 1, --b: 2", "--b: 2, --a: 1")
    called = rose("resume", "r")
    assert called.code == 0, called.err
    assert "  train options: --a --b → --b --a  (line 3; train from iteration 0 of a)" in called.err
    assert ran(rose) == ["0 --a 1 --b 2", "0 --b 2 --a 1"]


def test_what_falsifies_finished_steps_is_refused_by_name(done: Rose) -> None:
    edit(done, "--lr: 0.1", "--lr: 0.2")
    edit(done, "name: b", "name: c")
    edit(done, "max_iter: 3", "max_iter: 5")
    before = (done.folder / "r/journal.jsonl").read_bytes()
    for words in ((), ("--dry-run",), ("--set", "max_iter=9")):
        called = done("resume", "r", *words)
        assert called.code == 2
        assert called.err.startswith(REFUSED), called.err
    assert "put the learner back, with its old name (`max_iter` can end it where it is)" in flat(called)
    assert "`rose resume r --as-it-was` keeps the run's own plan" in flat(called)
    assert "`rose run campaign.yaml` starts a new run" in flat(called)
    assert (done.folder / "r/journal.jsonl").read_bytes() == before


def test_a_learner_with_another_name_is_recognised(done: Rose) -> None:
    edit(done, "name: b", "name: c")
    said = flat(done("resume", "r"))
    assert "learner 'b' is called 'c' in the file, with the same settings: a run keeps the names of its" in said
    assert "help: write the old name of the learner `rose resume r --as-it-was` keeps" in said


def test_from_an_iteration_on_the_new_file_applies(done: Rose) -> None:
    edit(done, "--lr: 0.1", "--lr: 0.2")
    assert "`rose resume r --from-iteration 0` reruns those steps" in flat(done("resume", "r"))
    refused = done("resume", "r", "--from-iteration", "2")
    assert (refused.code, "iterations 0-1 of all learners ran with 0.1" in flat(refused)) == (2, True)
    called = done("resume", "r", "--from-iteration", "0")
    assert called.code == 0, called.err
    assert ran(done)[-3:] == [f"{n} --hidden 32 32 --lr 0.2" for n in range(3)]


def test_the_expression_that_a_refusal_shows_is_accepted(done: Rose) -> None:
    edit(done, "--lr: 0.1", "--lr: 0.2")
    edit(done, "max_iter: 3", "max_iter: 4")
    said = flat(done("resume", "r"))
    text = '`train: {adaptive: {--lr: "0.1 if i < 3 else 0.2"}}` keeps 0.1 for the finished iterations'
    assert text in said
    edit(done, "--lr: 0.2}}", '}, adaptive: {--lr: "0.1 if i < 3 else 0.2"}}')
    called = done("resume", "r")
    assert called.code == 0, called.err
    assert "train from iteration 3 of all learners" in flat(called)
    assert ran(done)[-1] == "3 --hidden 32 32 --lr 0.2"


def test_an_export_has_the_options_that_each_iteration_ran_with(done: Rose) -> None:
    edit(done, "--lr: 0.1}}", '}, adaptive: {--lr: "0.1 if i < 3 else 0.2"}}')
    edit(done, "max_iter: 3", "max_iter: 4")
    assert done("resume", "r").code == 0
    rows = [json.loads(line) for line in done("export", "r", "--format", "jsonl").out.splitlines()]
    assert [row["option.train.--lr"] for row in rows if row["learner"] == "a"] == [0.1, 0.1, 0.1, 0.2]
    for words in (("status", "r"), ("list",), ("logs", "r"), ("plan", "r")):
        assert done(*words).code == 0


def test_a_setting_of_a_resume_is_kept_by_the_next_one(done: Rose) -> None:
    called = done("resume", "r", "--set", "max_iter=4")
    assert called.code == 0, called.err
    assert "the settings have changed again; applied:" in called.err
    assert "  max_iter: 3 → 4  (--set max_iter=4; all learners)" in called.err
    edit(done, "max_iter: 3", "max_iter: 9")
    again = done("resume", "r")
    idle = "the new value of max_iter in the file has no effect: this run was started with --set max_iter=4"
    assert idle in flat(again)
    assert done.learners("r")["a"]["iterations_done"] == 4
    assert done("resume", "r", "--set", "max_iter=5").code == 0
    assert done.learners("r")["a"]["iterations_done"] == 5


def test_a_wrong_setting_is_reported_as_in_a_new_run(done: Rose) -> None:
    before = (done.folder / "r/journal.jsonl").read_bytes()
    called = done("resume", "r", "--set", "max_iters=9")
    assert called.code == 2
    assert called.err.startswith("--set max_iters=9: error[unknown-key]: unknown key 'max_iters'"), called.err
    assert "did you mean 'max_iter'?" in called.err
    assert (done.folder / "r/journal.jsonl").read_bytes() == before


def test_the_options_of_the_first_command_line_stay(rose: Rose) -> None:
    rose.script('#!/bin/sh\necho "$ROSE_ITERATION $@" >> ran\n[ -e "$ROSE_CAMPAIGN_DIR/ok" ]\n', "t.sh")
    rose.write("""
        max_iter: 9
        tasks: {t: {executable: ./t.sh, options: {--n: 1, --m: 1}}}
        learners: [{name: a}, {name: b}]
        """)
    words = ("--set", "tasks.t.options.--n=5", "--max-iter", "2", "--learner", "a")
    assert rose("run", "campaign.yaml", "--run-dir", "r", *words).code == 1
    edit(rose, "--m: 1", "--m: 2")
    (rose.folder / "ok").touch()
    called = rose("resume", "r")
    assert called.code == 0, called.err
    assert list(rose.learners("r")) == ["a"]
    assert ran(rose) == ["0 --n 5 --m 1", "0 --n 5 --m 2", "1 --n 5 --m 2"]


def test_a_learner_that_lost_patience_gets_more_and_one_that_meets_a_new_threshold_stops(rose: Rose) -> None:
    rose.script("#!/bin/sh\necho 0.5\n", "check.sh")
    rose.write("""
        max_iter: 9
        tasks: {t: {executable: "true"}}
        stop: {metric: mse, threshold: 0.01, patience: 2, executable: ./check.sh}
        learners: [{name: a}, {name: b, stop: {patience: 7}, max_iter: 4}]
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert {name: each["stop_reason"] for name, each in rose.learners("r").items()} == {
        "a": "no_improvement",
        "b": "max_iter",
    }
    called = rose("resume", "r", "--set", "stop.patience=5")
    assert called.code == 0, called.err
    assert "  stop patience: 2 → 5  (--set stop.patience=5; a)" in called.err
    assert rose.learners("r")["a"]["iterations_done"] == 6
    edit(rose, "threshold: 0.01", "threshold: 0.6")
    assert rose("resume", "r").code == 0
    for learner in rose.learners("r").values():
        assert (learner["stop_reason"], learner["metric_value"]) == ("criterion_met", 0.5)
    assert [each["iterations_done"] for each in rose.learners("r").values()] == [6, 4]


def test_an_added_learner_starts_and_the_others_keep_their_index(done: Rose) -> None:
    edit(done, "{name: a}", "{name: new}, {name: a}")
    called = done("resume", "r")
    assert called.code == 0, called.err
    assert "  new learner 'new'  (line 6)" in called.err
    assert {name: each["index"] for name, each in done.learners("r").items()} == {"new": 2, "a": 0, "b": 1}
    assert done.learners("r")["new"]["iterations_done"] == 3
    edit(done, "threshold: 0.01", "threshold: 0.001")
    assert "new learner" not in flat(done("resume", "r")), "and it is known from then on"


def test_comments_and_formatting_are_no_change(done: Rose) -> None:
    path = done.folder / "campaign.yaml"
    path.write_text("# checked\n" + path.read_text().replace("{name: a}", "{name: 'a'}") + "\n\n")
    called = done("resume", "r")
    assert "has changed" not in called.err
    assert "nothing to do" in called.err


def test_a_task_that_never_succeeded_may_get_another_name_and_other_files(rose: Rose) -> None:
    rose.write("1\n", "data.csv")
    rose.write("{max_iter: 2, tasks: {tarin: {executable: 'cat data.csv'}}, learners: [{name: a}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    rose.write("{max_iter: 2, files: [data.csv], tasks: {train: {executable: 'cat data.csv'}}, learners: [{name: a}]}")
    called = rose("resume", "r")
    assert called.code == 0, called.err
    assert "task 'tarin' is no longer in the file" in called.err
    assert "new task 'train'" in called.err
    assert rose.learners("r")["a"]["iterations_done"] == 2
    assert rose.status("r")["status"] == "done"
    assert [path.name for path in (rose.folder / "r/learners/a/workspace").iterdir()] == ["data.csv"]


@pytest.mark.parametrize("more", [("--dry-run",), ()])
def test_warnings_that_a_new_value_causes_are_shown_once(done: Rose, more: tuple[str, ...]) -> None:
    called = done("resume", "r", "--set", "max_iter=5", "--set", "learners.a.train.3+.--x=8 8", *more)
    assert called.code == 0
    assert flat(called).count("warning[one-argument]: --set learners.a.train.3+.--x=8 8: '8 8' is passed as one") == 1
    assert flat(called).count("warning[") == 1


def test_the_plan_from_before_a_change_is_not_taken_for_that_of_the_run(slip: Rose) -> None:
    plan = slip.folder / "r/plan.json"
    old = plan.read_bytes()
    edit(slip, "32 32", "[32, 32]")
    assert slip("resume", "r").code == 0
    plan.write_bytes(old)
    called = slip("resume", "r", "--max-iter", "5")
    assert (called.code, "'r/plan.json' was modified after rose wrote it" in flat(called)) == (4, True), called.err


def test_a_dry_run_tallies_what_is_lost_and_what_is_left(slip: Rose) -> None:
    edit(slip, "32 32", "[32, 32]")
    shown = slip("resume", "r", "--dry-run").out
    assert "lost: 0:0" in shown
    assert "of work, in 2 attempts of steps that run again\n" in shown
    assert "left: at most 12 runs of tasks, of 2 learners\n" in shown
    slip("resume", "r")
    shown = slip("resume", "r", "--set", "max_iter=5", "--dry-run").out
    assert "lost:" not in shown
    assert "left: at most 8 runs of tasks, of 2 learners\n" in shown
    back = slip("resume", "r", "--from-iteration", "2", "--learner", "a", "--dry-run").out
    assert "in 2 attempts of steps that run again" in back
    assert "left: at most 2 runs of tasks, of 1 learner\n" in back


def test_what_is_left_without_a_limit_is_said(rose: Rose) -> None:
    rose.write(
        "{tasks: {t: {executable: 'false'}}, stop: {metric: mse, threshold: 1, executable: 'echo 2'}, learners: 1}"
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    assert "left: no limit, because learner-0 has no max_iter" in rose("resume", "r", "--dry-run").out


def test_an_edit_of_a_run_in_which_nothing_continues_is_not_applied(done: Rose) -> None:
    edit(done, "max_iter: 3", "max_iter: 3\nenv: {MESH: fine}")
    before = (done.folder / "r/plan.json").read_bytes()
    called = done("resume", "r")
    assert "has changed again; not applied, because no learner continues:\n  env MESH: not set → 'fine'" in called.err
    assert (done.folder / "r/plan.json").read_bytes() == before


def test_a_cancelled_learner_that_is_named_is_told_how_it_continues(rose: Rose) -> None:
    rose.write("""
        max_iter: 3
        stop_campaign: {after_converged: 1}
        tasks: {t: {executable: "sh -c 'sleep 0.$(( 1 + 8 * ROSE_LEARNER_INDEX ))'"}}
        stop: {metric: mse, threshold: 1, executable: "sh -c 'echo $ROSE_LEARNER_INDEX'"}
        learners: [{name: a}, {name: b}]
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert rose.learners("r")["b"]["stop_reason"] == "cancelled"
    said = flat(rose("resume", "r", "--learner", "b"))
    assert "learner 'b' has stopped (cancelled): `rose resume r --from-iteration 0 --learner b` continues it" in said
    edit(rose, "after_converged: 1", "after_converged: 2")
    assert rose("resume", "r").code == 0
    assert rose.learners("r")["b"]["stop_reason"] == "max_iter", "the decision was taken again"


KILLED = """
import os, signal, sys
from pathlib import Path
left = [int(sys.argv.pop(1))]
def deadly(real):
    def call(*arguments, **more):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **more)
    return call
os.fsync, os.fdatasync, Path.rename, Path.chmod = map(deadly, (os.fsync, os.fdatasync, Path.rename, Path.chmod))
from rose_cli.cli import main
main()
"""


@pytest.mark.parametrize("flags", [(), ("--as-it-was",)])
def test_killed_between_any_two_writes_a_run_has_the_old_plan_or_the_new_one(
    slip: Rose, flags: tuple[str, ...]
) -> None:
    edit(slip, "32 32", "[32, 32]")
    edit(slip, "{name: b}", "{name: b}, {name: c}")
    edit(slip, "max_iter: 3", "max_iter: 2")
    shutil.copytree(slip.folder / "r", slip.folder / "fresh")
    slip.write(KILLED, "killed.py")
    seen = set()
    for number in range(1, 10):
        shutil.rmtree(slip.folder / "r")
        shutil.copytree(slip.folder / "fresh", slip.folder / "r")
        killed = subprocess.run(
            [slip.python, "killed.py", str(number), "resume", "r", "--output", "quiet"],
            cwd=slip.folder, env=slip.environment, capture_output=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        names = set(slip.learners("r"))
        assert names in ({"a", "b"}, {"a", "b", "c"})
        seen.add(len(names))
        assert slip("export", "r").code == 0
        called = slip("resume", "r", *flags)
        is_new = "c" in names or not flags
        assert called.code == (0 if is_new else 1), called.err
        ended = {name: each["iterations_done"] for name, each in slip.learners("r").items()}
        assert ended == ({"a": 2, "b": 2, "c": 2} if is_new else {"a": 0, "b": 0}), number
    assert seen == {2, 3}, "some kills came before the new plan, some after it"


def test_a_relative_min_delta_is_one_change(done: Rose) -> None:
    edit(done, "threshold: 0.01,", "threshold: 0.01, patience: 9, min_delta: 1%,")
    called = done("resume", "r", "--dry-run")
    assert called.code == 0
    assert "  stop min_delta: 0 → '1%'  (line 5; all learners)\n" in called.out
    assert "share" not in called.out


def test_a_file_that_only_the_edited_criterion_names_counts_if_this_iteration_wrote_it(rose: Rose) -> None:
    """The tasks of the iteration wrote it while the criterion still read a file of another name."""
    campaign = """
        max_iter: 1
        tasks: {train: {executable: "sh -c 'echo 0.95 > score.txt'"}}
        stop: {metric: accuracy, threshold: 0.9, executable: "true", read: {file: NAME}}
        learners: [{name: a, files: [{path: old.txt, copy: true}]}]
        """
    (rose.folder / "old.txt").write_text("0.99", encoding="utf-8")
    rose.write(campaign.replace("NAME", "scores.txt"))
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    rose.write(campaign.replace("NAME", "old.txt"))
    stale = rose("resume", "r")
    assert stale.code == 1
    assert "'old.txt' was not written in this iteration: it comes from 'files'" in stale.out
    rose.write(campaign.replace("NAME", "score.txt"))
    assert rose("resume", "r").code == 0
    learner = rose.learners("r")["a"]
    assert (learner["stop_reason"], learner["history"]) == ("criterion_met", [0.95])


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_campaign_file_that_is_no_file_any_more_names_the_way_on(rose: Rose, make: Callable[[Path], None]) -> None:
    rose.write("max_iter: 1\ntasks: {t: {executable: 'false'}}\nlearners: [{name: a}]\n")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    (rose.folder / "campaign.yaml").unlink()
    make(rose.folder / "campaign.yaml")
    for options in ([], ["--dry-run"]):
        refused = rose("resume", "r", *options)
        assert refused.code == 2
        assert "help: restore the file, or keep the run's own plan: `rose resume r --as-it-was`" in refused.err
    assert rose("resume", "r", "--as-it-was").code == 1
