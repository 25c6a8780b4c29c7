"""`rose run --resume-if-begun`: the same line starts a run, resumes it, and reports how it ended."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.commands import run_or_resume as commands
from rose_cli.commands.run import RunOptions
from rose_cli.runs.lock import RunLock
from rose_cli.runs.lock_owner import current_owner
from rose_cli.util.errors import RunLockedError
from tests.conftest import PATIENCE, wait_until

if TYPE_CHECKING:
    import subprocess

    from tests.conftest import Rose

COUNTING = """
    name: counting
    max_iter: 3
    tasks: {s: {executable: "sh -c 'echo $ROSE_ITERATION >> done; sleep 0.1'"}}
    learners: [{name: a}, {name: b}]
    """

FAILING = """
    max_iter: 3
    tasks: {s: {executable: ./task.sh}}
    learners: [{name: bad}, {name: good}]
    """

LINE = ("run", "campaign.yaml", "--run-dir", "r", "--resume-if-begun")


def done(rose: Rose, learner: str = "a", run: str = "r") -> list[int]:
    path = rose.folder / run / "learners" / learner / "workspace/done"
    return [int(line) for line in path.read_text().split()]


def kinds(rose: Rose, run: str = "r") -> list[str]:
    return [event["event"] for event in rose.events(run)]


def interrupted(rose: Rose, *words: str, after: str = '"iteration":1') -> Any:
    """The line, ended by TERM once the journal has `after`, as at the end of a job."""
    process = rose.start(*LINE, *words)
    wait_until(lambda: after in (journal.read_text() if (journal := rose.folder / "r/journal.jsonl").exists() else ""))
    process.send_signal(signal.SIGTERM)
    return ended(process)


def ended(process: subprocess.Popen[str]) -> Any:
    out, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err
    return process.returncode, out, err


def test_one_line_starts_resumes_and_reports_the_end(rose: Rose) -> None:
    rose.write(COUNTING)
    assert interrupted(rose)[0] == 143
    assert rose(*LINE).code == 0
    assert (done(rose), done(rose, "b")) == ([0, 1, 2], [0, 1, 2]) or kinds(rose).count("attempt_cancelled")
    assert kinds(rose).count("session_started") == 2
    journal = (rose.folder / "r/journal.jsonl").read_bytes()
    again = rose(*LINE)
    assert (again.code, "counting finished in" in again.out) == (0, True)
    assert again.err == "run 'r' has ended already, so nothing runs; `rose run campaign.yaml` starts a new one\n"
    assert (rose.folder / "r/journal.jsonl").read_bytes() == journal
    assert rose(*LINE, "--require-criterion", "--output", "quiet").code == 1, "as `rose run` judges it"


def failing(rose: Rose, more: str = "") -> None:
    """The learner `bad` fails in its first iteration, while `good` takes its time."""
    rose.script(
        """\
        #!/bin/sh
        echo $ROSE_ITERATION >> done
        case $ROSE_LEARNER in bad) exit 3;; *) sleep 0.3;; esac
        """,
        "task.sh",
    )
    rose.write(FAILING)
    if more:
        file = rose.folder / "campaign.yaml"
        file.write_text(f"{more}\n{file.read_text()}")


def test_a_learner_that_failed_stays_so_and_the_exit_code_is_the_same(rose: Rose) -> None:
    """`rose resume` tries it again: in a chain of jobs that would go on for ever."""
    failing(rose)
    code, _, _ = interrupted(rose, after="learner_stopped")
    assert code == 143
    called = rose(*LINE)
    assert called.code == 1
    assert "bad has failed; `rose resume r` retries that" in called.err
    assert done(rose, "bad") == [0]
    journal = (rose.folder / "r/journal.jsonl").read_bytes()
    again = rose(*LINE)
    assert again.code == 1
    assert "nothing runs; `rose resume r` retries what has failed" in again.err
    assert (rose.folder / "r/journal.jsonl").read_bytes() == journal
    assert rose("resume", "r").code == 1
    assert done(rose, "bad") == [0, 0]


@pytest.mark.parametrize("more", ["limits: {same_failure: 1}", "on_failure: stop_campaign"])
def test_a_campaign_that_a_failure_ended_stays_so_until_it_is_edited(rose: Rose, more: str) -> None:
    failing(rose, more)
    assert rose(*LINE).code == 1
    journal = (rose.folder / "r/journal.jsonl").read_bytes()
    again = rose(*LINE)
    assert again.code == 1
    assert "nothing runs" in again.err
    assert (rose.folder / "r/journal.jsonl").read_bytes() == journal
    file = rose.folder / "campaign.yaml"
    file.write_text(file.read_text().replace("max_iter: 3", "max_iter: 2"))
    assert rose(*LINE).code == 1
    assert done(rose, "bad") == [0, 0]


def test_settings_given_again_are_no_change_and_others_are_applied(rose: Rose) -> None:
    rose.write(COUNTING)
    words = ("--set", "max_iter=2", "--engine", "local")
    interrupted(rose, *words, after='"iteration":0')
    again = rose(*LINE, *words)
    assert (again.code, again.err) == (0, "")
    assert rose(*LINE, "--max-iter", "4").code == 0
    assert "plan_changed" in kinds(rose)
    assert rose.learners("r")["a"]["iterations_done"] == 4


def test_as_it_was_the_campaign_file_does_not_matter(rose: Rose) -> None:
    file = rose.write(COUNTING)
    interrupted(rose, "--as-it-was", "--set", "max_iter=4")
    file.write_text("tasks: [")
    assert rose(*LINE).code == 2
    file.unlink()
    called = rose(*LINE, "--as-it-was", "--set", "max_iter=9")
    assert called.code == 0
    assert "--set max_iter=9 has no effect: the run continues with the plan that it has" in called.err
    assert rose.learners("r")["a"]["iterations_done"] == 4


def test_an_edit_is_applied_as_by_resume(rose: Rose) -> None:
    file = rose.write(COUNTING)
    assert rose(*LINE).code == 0
    file.write_text(file.read_text().replace("max_iter: 3", "max_iter: 4"))
    assert rose(*LINE).code == 0
    assert done(rose) == [0, 1, 2, 3]


def test_a_run_that_was_created_and_never_worked_on_is_started(rose: Rose) -> None:
    """As `rose submit` leaves it for its job."""
    rose.write(COUNTING)
    assert rose(*LINE, "--max-iter", "1").code == 0
    journal = rose.folder / "r/journal.jsonl"
    journal.write_text(journal.read_text().splitlines(keepends=True)[0])
    assert rose(*LINE, "--as-it-was").code == 0
    assert kinds(rose).count("session_started") == 1


@pytest.mark.parametrize("left", [(), ("campaign.yaml",), ("campaign.yaml", "journal.jsonl", "journal.ballast")])
def test_a_start_that_was_killed_halfway_starts_over(rose: Rose, left: tuple[str, ...]) -> None:
    rose.write(COUNTING)
    run = rose.folder / "r"
    run.mkdir()
    dead = replace(current_owner(run), pid=1 << 22, start_ticks=1)
    for name in ("lock", f".lock-{dead.token}"):
        (run / name).write_bytes(dead.encode())
    for name in left:
        (run / name).write_text("half a fi" if name == "campaign.yaml" else "")
    assert rose(*LINE).code == 0
    assert done(rose) == [0, 1, 2]
    assert (run / "campaign.yaml").read_text() == (rose.folder / "campaign.yaml").read_text()


def test_files_of_the_user_are_neither_used_nor_deleted(rose: Rose) -> None:
    file = rose.write(COUNTING)
    for name, text in (("campaign.yaml", "mine"), ("journal.jsonl", "mine"), ("notes", "mine")):
        folder = rose.folder / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text(text)
        called = rose("run", file, "--run-dir", folder, "--resume-if-begun")
        assert (called.code, "is not empty" in called.err) == (4, True)
        assert {path.name: path.read_text() for path in folder.iterdir()} == {name: text}
    assert rose("run", file, "--run-dir", ".", "--resume-if-begun").code == 4
    assert file.exists()


def test_a_run_of_something_else_is_refused(rose: Rose) -> None:
    rose.write(COUNTING)
    rose.write(COUNTING, "other.yaml")
    assert rose("run", "other.yaml", "--run-dir", "r", "--max-iter", "1").code == 0
    called = rose(*LINE)
    assert (called.code, called.err.splitlines()[0]) == (
        2,
        "error: 'r' is a run of 'other.yaml', not of 'campaign.yaml'",
    )
    assert rose("run", "campaign.yaml", "--run-dir", "s", "--max-iter", "1", "-l", "a").code == 0
    called = rose("run", "campaign.yaml", "--run-dir", "s", "--resume-if-begun", "-l", "b")
    assert (called.code, "'s' was started with the learners a" in called.err) == (2, True)
    assert rose("run", "campaign.yaml", "--run-dir", "s", "--resume-if-begun", "-l", "a", "--max-iter", "1").code == 0


def test_without_a_directory_it_is_the_latest_run_whatever_its_state(rose: Rose) -> None:
    rose.write(COUNTING)
    line = ("run", "campaign.yaml", "--resume-if-begun", "--max-iter", "1")
    assert rose(*line).code == 0
    assert rose(*line).code == 0
    assert runs(rose) == 1
    assert rose("run", "campaign.yaml", "--max-iter", "1").code == 0
    again = rose(*line)
    assert (again.code, "-2' has ended already" in again.err) == (0, True)
    assert runs(rose) == 2
    assert [run["name"] for run in rose.json("list", "--format", "json")] == [
        path.name for path in sorted((rose.folder / "rose-runs").glob("counting-*"), reverse=True)
    ]


def runs(rose: Rose) -> int:
    return len(list((rose.folder / "rose-runs").glob("*/plan.json"))) - (rose.folder / "rose-runs/latest").exists()


@pytest.mark.parametrize("words", [(), ("--run-dir", "rose-runs/r")])
def test_of_several_that_start_at_the_same_moment_one_begins(rose: Rose, words: tuple[str, ...]) -> None:
    rose.write(COUNTING)
    started = [rose.start("run", "campaign.yaml", "--resume-if-begun", "-o", "plain", *words) for _ in range(3)]
    results = [ended(process) for process in started]
    assert [code for code, _, _ in results] == [0, 0, 0]
    assert sum("has ended already" in err for _, _, err in results) == 2
    assert runs(rose) == 1 or words
    (run,) = {path.parent.resolve() for path in (rose.folder / "rose-runs").glob("*/plan.json")}
    assert kinds(rose, str(run)).count("session_started") == 1
    assert done(rose, run=str(run)) == [0, 1, 2]


def test_it_goes_on_as_soon_as_the_session_before_it_has_ended(rose: Rose) -> None:
    """Two jobs overlap: the first has been told to stop, and its tasks take their time."""
    rose.script(
        "#!/bin/sh\n[ -e ready ] && exit\ntrap 'trap \"\" TERM; sleep 2; exit' TERM\ntouch ready\nsleep 60 & wait\n",
        "task.sh",
    )
    rose.write("tasks: {s: {executable: ./task.sh}}\nmax_iter: 3\nlearners: [{}]\n")
    first = rose.start(*LINE)
    wait_until((rose.folder / "r/learners/learner-0/workspace/ready").exists)
    first.send_signal(signal.SIGTERM)
    second = rose(*LINE)
    assert ended(first)[0] == 143
    assert second.code == 0
    assert "waiting up to 2 minutes for it to end" in second.err


def test_a_session_that_lives_on_is_named_with_exit_code_4(
    rose: Rose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = rose.write(COUNTING)
    monkeypatch.setattr(commands, "WAIT_SECONDS", 0.3)
    monkeypatch.setattr(commands, "_POLL_SECONDS", 0.1)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    run = rose.folder / "r"
    assert rose(*LINE).code == 0
    with RunLock.acquire(run), pytest.raises(RunLockedError) as caught:
        commands.run_or_resume(file, RunOptions(run_directory=run))
    assert caught.value.exit_code == 4
    assert f"is locked by process {os.getpid()}" in caught.value.message
    assert caught.value.message.endswith("and was not released within 2 minutes")
    assert (
        caught.value.hints[-1]
        == "give each task of a job array its own run: `--run-dir rose-runs/task-$SLURM_ARRAY_TASK_ID`"
    )
    assert capsys.readouterr().err.count("waiting up to") == 1


def test_a_dry_run_shows_what_would_happen(rose: Rose) -> None:
    rose.write(COUNTING)
    first = rose(*LINE, "--dry-run")
    assert (first.code, "counting" in first.out, (rose.folder / "r").exists()) == (0, True, False)
    interrupted(rose)
    second = rose(*LINE, "--dry-run")
    assert (second.code, "interrupted" in second.out) == (0, True)
    assert kinds(rose).count("session_started") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--smoke", "--resume-if-begun"), "--smoke cannot be combined with --run-dir or --resume-if-begun"),
        (("--as-it-was",), "--as-it-was needs --resume-if-begun"),
    ],
)
def test_options_that_do_not_fit_are_refused(rose: Rose, words: tuple[str, ...], message: str) -> None:
    rose.write(COUNTING)
    called = rose("run", "campaign.yaml", *words)
    assert (called.code, called.err.splitlines()[0]) == (2, f"error: {message}")


def test_errors_in_the_file_create_nothing(rose: Rose) -> None:
    rose.write("tasks: 3")
    assert rose(*LINE).code == 2
    assert sorted(path.name for path in rose.folder.iterdir()) == ["campaign.yaml"]


def test_in_a_job_its_last_line_is_to_submit_the_script_again(rose: Rose) -> None:
    rose.write(COUNTING.replace("max_iter: 3", "max_iter: 1000"))
    journal = rose.folder / "r/journal.jsonl"

    def have_started(sessions: int) -> bool:
        return journal.exists() and journal.read_text().count('"session_started"') == sessions

    for job in (1, 2):
        process = rose.start(*LINE, PBS_JOBID="7.server")
        wait_until(partial(have_started, job))
        process.send_signal(signal.SIGTERM)
        assert ended(process)[1].splitlines()[-1] == "  resume   submit the script of this job again"
