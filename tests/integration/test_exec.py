"""`rose exec`: a task again as it was, and nothing of its run changes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.commands.exec import ExecOptions, exec_task
from rose_cli.runs import scratch
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.processes import read_process
from tests import forge
from tests.conftest import PATIENCE, Rose, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

DUMP = """\
    import json, os, sys
    what = {"argv": sys.argv, "env": dict(os.environ), "cwd": os.getcwd(), "umask": os.umask(0)}
    name = "{ROSE_LEARNER_INDEX}-{ROSE_TASK}-{ROSE_ITERATION}-{ROSE_REPLICA}.json".format(**os.environ)
    place = os.environ.get("DUMPS", ".")
    with open(os.path.join(place, name), "w") as file:
        json.dump(what, file)
    with open(os.environ["ROSE_RESULT"], "w") as file:
        file.write('{"loss": 1}')
    print("dumped", file=sys.stderr)
    print(os.environ["ROSE_ITERATION"] + ".5")
    sys.exit(int(os.environ["ROSE_ATTEMPT"]) < int(os.environ.get("FROM_ATTEMPT", 1)))
    """

CAMPAIGN = """
    name: c
    max_iter: 4
    env: {DUMPS: "{campaign_dir}/dumps", HF_TOKEN: 0123456789abcdef, MESH: "fine one"}
    files: [{path: data.csv, copy: true}]
    tasks:
      first:
        executable: "{python} dump.py"
        pre_exec: ["export STAGE='two words'"]
        env: {FROM_ATTEMPT: "2"}
        retries: 1
        args: ["{workspace}/x", "{iteration}"]
        adaptive: {--n: "max_iter if i == 0 else metric + best", --left: max_iter - i}
      second: {executable: "{python} dump.py {replica}", replicas: 2}
    stop: {metric: own, operator: "<", threshold: 0, executable: "{python} dump.py"}
    learners: [{name: a b}, {name: idle}]
    """


OF_THE_TEST = ("TMPDIR", "PYTEST_CURRENT_TEST")
"""Variables of the terminal that rose is called on, which differ from test to test."""


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Rose:
    """A run `rose-runs/r` of two iterations that a resume could continue; only looked at."""
    rose = Rose(tmp_path_factory.mktemp("once"))
    rose.write(DUMP, "dump.py")
    rose.write("1,2", "data.csv")
    (rose.folder / "dumps").mkdir()
    rose.write(CAMPAIGN)
    (rose.folder / "rose-runs").mkdir()
    called = rose("run", "campaign.yaml", "--run-dir", "rose-runs/r", "--output", "quiet", "--max-iter", "2")
    assert called.code == 0, called.err
    shutil.copytree(rose.folder / "dumps", rose.folder / "first")
    return rose


@pytest.fixture
def ran(once: Rose, tmp_path: Path) -> Rose:
    """A copy, to be changed."""
    return Rose(Path(shutil.copytree(once.folder, tmp_path / "here", symlinks=True)))


@pytest.fixture(autouse=True)
def _no_directory_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    yield
    assert list(temporary.glob("rose-exec-*")) == []


def dumped(rose: Rose, name: str, folder: str = "dumps") -> dict[str, Any]:
    """What the task found; in the folder `first`, in its attempt."""
    found: dict[str, Any] = json.loads((rose.folder / folder / f"{name}.json").read_text())
    return found


def state_of(run: Path) -> dict[str, bytes]:
    """Every file of the run with its contents."""
    return {str(path): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file() and not path.is_symlink()}


@pytest.mark.parametrize(
    ("task", "iteration", "replica"), [("first", 0, 0), ("first", 1, 0), ("second", 1, 1), ("criterion", 1, 0)]
)
def test_arguments_and_environment_are_those_of_the_attempt(
    once: Rose, task: str, iteration: int, replica: int
) -> None:
    """All of them, byte for byte, but for the directory and the mark by which rose finds its processes."""
    name = f"0-{task}-{iteration}-{replica}"
    before, run = dumped(once, name, "first"), state_of(once.folder / "rose-runs")
    shutil.rmtree(once.folder / "scratch", ignore_errors=True)
    step = ("r", "a b", str(iteration), task, "--replica", str(replica))
    called = once("exec", *step, "--in", once.folder / "scratch")
    again = dumped(once, name)
    assert (called.code, called.out) == (0, f"{iteration}.5\n"), called.err
    there = Path(again["cwd"])
    assert there == once.folder / "scratch/workspace"
    text = json.dumps(before).replace(before["env"]["ROSE_RESULT"], str(once.folder / "scratch/result.json"))
    expected = json.loads(text.replace(before["cwd"], str(there)))
    assert again["env"].pop("ROSE_MARK") != expected["env"].pop("ROSE_MARK")
    for found in (again, expected):
        found["env"] = {name: value for name, value in found["env"].items() if name not in OF_THE_TEST}
    assert again == expected
    assert (once.folder / "scratch/result.json").read_text() == '{"loss": 1}'
    assert state_of(once.folder / "rose-runs") == run, "the run has not changed"
    assert "dumped" in called.err, "its output goes straight to the terminal"
    assert "0123456789" not in called.err
    assert "has changed" not in called.err


def test_in_a_batch_job_the_environment_describes_the_task(ran: Rose) -> None:
    job = {"PBS_JOBID": "7.head", "NCPUS": "16", "PBS_TASKNUM": "3", "PMI_RANK": "0"}
    assert ran("exec", "r", "a b", "1", "first", **job).code == 0
    found = dumped(ran, "0-first-1-0")["env"]
    assert {name: found.get(name) for name in job} == {
        "PBS_JOBID": "7.head",
        "NCPUS": "1",
        "PBS_TASKNUM": None,
        "PMI_RANK": None,
    }


def test_an_iteration_that_comes_next_uses_the_history_so_far(ran: Rose) -> None:
    """One that was extended; later iterations need results that do not exist."""
    ran("resume", "rose-runs/r", "--max-iter", "3", "--learner", "a b", "--output", "quiet")
    ran("resume", "rose-runs/r", "--max-iter", "9", "--learner", "idle", "--dry-run")
    called = ran("exec", "r", "idle", "2", "first")
    assert (called.code, "its last one is 1" in called.err) == (2, True)
    forge.change_plan(ran.folder / "rose-runs/r", lambda plan: [each.update(max_iter=5) for each in plan["learners"]])
    called = ran("exec", "r", "idle", "2", "first", "--trust")
    assert called.code == 1, "this attempt is the first, which fails"
    assert dumped(ran, "1-first-2-0")["argv"][-4:] == ["--n", "2.0", "--left", "3"]
    assert dumped(ran, "1-first-2-0")["env"]["ROSE_ATTEMPT"] == "1"
    called = ran("exec", "r", "idle", "3", "first", "--trust")
    assert called.code == 2
    assert "needs results of iterations that have not finished" in called.err
    assert "give a number from 0 to 2" in called.err


def test_exit_codes_are_those_of_a_shell(once: Rose) -> None:
    step = ("exec", "r", "idle", "1", "second", "--")
    for command, code in {"exit 0": 0, "exit 5": 5, "kill -TERM $$": 143, "kill -KILL $$": 137}.items():
        assert once(*step, "sh", "-c", command).code == code
    called = once(*step, "no-such-program")
    assert (called.code, "there is no program 'no-such-program'" in called.err) == (127, True)
    called = once(*step, "./data.csv")
    assert (called.code, "is not executable" in called.err) == (126, True)


def test_another_command_runs_in_the_environment_of_the_task(once: Rose) -> None:
    line = 'echo "$STAGE|$MESH|$ROSE_TASK|$HF_TOKEN"; ls; test "$PWD" = "$ROSE_WORKSPACE"'
    called = once("exec", "r", "idle", "0", "first", "--", "sh", "-c", line, "--keep")
    assert (called.code, called.out) == (0, "two words|fine one|first|0123456789abcdef\ndata.csv\n")
    called = once("exec", "r", "idle", "0", "first", "--shell", SHELL="/bin/pwd")
    assert called.code == 0
    assert re.fullmatch(r"/\S+/rose-exec-\w+/workspace\n", called.out)


def test_lines_before_the_command_that_fail_are_named(ran: Rose) -> None:
    def change(plan: dict[str, Any]) -> None:
        for command in forge.every_command(plan):
            command["pre_exec"] = ["true", "exit 0"]

    forge.change_plan(ran.folder / "rose-runs/r", change)
    called = ran("exec", "r", "idle", "0", "second", "--trust")
    assert called.code == 126
    assert "pre_exec line 2, 'exit 0', ended the shell with exit code 0" in called.err.replace("\n", " ")


def test_the_copy_is_kept_if_asked_for(once: Rose) -> None:
    step = ("exec", "r", "idle", "1", "second", "--keep", "--", "pwd")
    place = Path(once(*step).out.strip())
    assert (place / "data.csv").read_text() == "1,2"
    shutil.rmtree(place.parent)
    used = once("exec", "r", "idle", "1", "second", "--in", ".", "--", "pwd")
    assert (used.code, "is not empty" in used.err) == (4, True)


def test_nothing_is_written_through_links_into_the_workspace(ran: Rose) -> None:
    workspace = ran.folder / "rose-runs/r/learners/idle/workspace"
    (workspace / "best").symlink_to(workspace / "data.csv")
    line = "echo changed > best; cat data.csv"
    assert ran("exec", "r", "idle", "1", "second", "--", "sh", "-c", line).out == "changed\n"
    assert (workspace / "data.csv").read_text() == "1,2"


def test_in_place_needs_the_lock_and_uses_the_workspace_itself(ran: Rose) -> None:
    workspace = ran.folder / "rose-runs/r/learners/idle/workspace"
    step = ("exec", "r", "idle", "1", "second", "--in-place")
    called = ran(*step, "--", "sh", "-c", 'test "$PWD" = "$ROSE_WORKSPACE" && touch new')
    assert (called.code, (workspace / "new").exists()) == (0, True)
    assert "a resume continues with what you change in it" in called.err
    assert not (workspace.parent / "result.json").exists()
    assert ran(*step, "--keep").code == 2
    sleeper = ran.start(*step, "--", "sleep", "300")
    try:
        wait_until((ran.folder / "rose-runs/r/lock").exists)
        refused = ran(*step)
        assert refused.code == 4
        assert "running" in refused.err or "lock" in refused.err
    finally:
        sleeper.send_signal(signal.SIGTERM)
        sleeper.communicate(timeout=PATIENCE)
    assert sleeper.returncode == 143, "the signal was passed on"


def test_a_step_that_cannot_be_meant_is_refused_with_what_there_is(once: Rose) -> None:
    for words, said in {
        (): "choose from a b, idle",
        ("idle",): "which iteration of learner 'idle'?",
        ("idle", "0"): "choose from first, second, criterion",
        ("idel", "0", "first"): "did you mean 'idle'?",
        ("idle", "0", "frist"): "did you mean 'first'?",
        ("idle", "2", "first"): "its last one is 1",
        ("idle", "0", "second", "--replica", "2"): "numbered from 0 to 1",
        ("idle", "0", "first", "--shell", "--", "ls"): "--shell cannot be combined with a command",
    }.items():
        called = once("exec", "r", *words)
        assert (called.code, said in called.err.replace("\n", " ")) == (2, True), called.err


def test_the_run_may_be_left_out(once: Rose) -> None:
    assert once("exec", "idle", "0", "first", "--", "echo", "here").out == "here\n"


def test_a_plan_that_was_modified_needs_trust(ran: Rose) -> None:
    def change(plan: dict[str, Any]) -> None:
        for command in forge.every_command(plan):
            command["options"] = {"--evil": True}

    forge.change_plan(ran.folder / "rose-runs/r", change)
    refused = ran("exec", "r", "idle", "1", "first")
    assert refused.code == 4
    assert "rose exec rose-runs/r --trust" in refused.err.replace("\n", " ")
    trusted = ran("exec", "r", "idle", "1", "first", "--trust")
    assert "the plan has changed since attempt 2, which had --n 1.0, --left 1" in trusted.err.replace("\n", " ")


def test_the_script_does_the_same_without_secrets(once: Rose) -> None:
    script = once("exec", "r", "a b", "1", "first", "--in", once.folder / "by hand", "--print").out
    assert not (once.folder / "by hand").exists(), "nothing was run or copied"
    assert "0123456789" not in script
    assert "# HF_TOKEN contains a secret: set it yourself\n" in script
    again = {name: value for name, value in once.environment.items() if name != "PWD"}
    before = dumped(once, "0-first-1-0", "first")
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=once.folder,
        env={**again, "COLUMNS": "120", "HF_TOKEN": "0123456789abcdef"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout) == (0, "1.5\n"), done.stderr
    after = dumped(once, "0-first-1-0")
    new = str(once.folder / "by hand/workspace")
    old = before["env"]["ROSE_WORKSPACE"]
    assert after["argv"] == [word.replace(old, new) for word in before["argv"]]
    for name in ("STAGE", "MESH", "ROSE_SEED", "ROSE_ATTEMPT", "ROSE_CAMPAIGN_DIR", "DUMPS"):
        assert after["env"][name] == before["env"][name]
    assert (after["cwd"], after["env"]["ROSE_WORKSPACE"]) == (new, new)
    shutil.rmtree(once.folder / "by hand")


def test_a_learner_that_has_not_started_gets_a_new_workspace(rose: Rose) -> None:
    rose.write("here", "data.csv")
    rose.write("""
        max_iter: 1
        files: [data.csv]
        limits: {max_parallel_learners: 1, same_failure: 1}
        tasks: {t: {executable: "false", on_failure: stop_campaign}}
        learners: [{name: a}, {name: b}]
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet").code == 1
    called = rose("exec", "r", "b", "0", "t", "--", "cat", "data.csv")
    assert (called.code, called.out) == (0, "here")
    assert "in a new workspace, since the learner has not started" in called.err
    assert not (rose.folder / "r/learners/b").exists()


def test_a_snapshot_is_the_workspace_from_before_the_task(rose: Rose) -> None:
    """A failed attempt has left the workspace half done."""
    rose.write("""
        max_iter: 1
        tasks: {t: {executable: "echo half > done; false", shell: true, snapshot: true}}
        learners: 1
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet").code == 1
    assert (rose.folder / "r/learners/learner-0/workspace/done").exists()
    snapshots = list((rose.folder / "r/learners/learner-0/snapshots").iterdir())
    called = rose("exec", "r", "0", "t", "--", "ls")
    assert [path.name for path in snapshots] == ["0.t"]
    assert called.out == ""
    assert "in a copy of the snapshot from before this task" in called.err


def test_nothing_of_it_carries_the_mark_of_the_run(once: Rose) -> None:
    """A session of the run that starts meanwhile would take it for a leftover."""
    line = "import os; print(os.environ['ROSE_MARK'])"
    called = once("exec", "r", "idle", "0", "first", "--", sys.executable, "-c", line)
    assert re.fullmatch(r"exec-[0-9a-f]{32}\.\n", called.out)
    assert "left behind" not in called.err


def test_what_the_command_leaves_behind_is_terminated(once: Rose) -> None:
    called = once("exec", "r", "idle", "0", "first", "--", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!")
    assert "terminated 1 process that the command left behind" in called.err
    left = read_process(int(called.out))
    assert left is None or left.finished  # nobody may have reaped it yet


def test_a_task_of_a_pilot_runs_here_with_its_ranks(ran: Rose) -> None:
    """The launcher is the local one: radical.pilot starts ranks itself."""

    def change(plan: dict[str, Any]) -> None:
        pilot = {"resource": "some.where", "runtime_minutes": 5, "nodes": None, "project": None, "queue": None}
        plan["engine"].update(kind="radical.pilot", pilot={**pilot, "access_schema": None, "restarts": 0})
        for command in forge.every_command(plan):
            command.update(ranks=2, words=["echo", "hello"], beside=[], args=[])
            command["resources"]["cores"] = 2

    ran.script('#!/bin/sh\necho "LAUNCHED $*"\n', "mpiexec")
    forge.change_plan(ran.folder / "rose-runs/r", change)
    path = f"{ran.folder}:{os.environ['PATH']}"
    called = ran("exec", "r", "idle", "1", "second", "--trust", PATH=path)
    assert (called.code, called.out) == (0, "LAUNCHED -n 2 echo hello\n"), called.err
    assert "on this machine, not on some.where" in called.err
    assert ran("exec", "r", "idle", "1", "second", "--trust", "--", "echo", "once", PATH=path).out == "once\n"


def test_a_run_that_is_running_is_said_to_be(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {t: {executable: sleep 300}}, learners: 1}")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    try:
        wait_until(lambda: (rose.folder / "r/journal.jsonl").exists() and "attempt_started" in _journal(rose))
        called = rose("exec", "r", "0", "t", "--", "echo", "beside it")
        assert (called.code, called.out) == (0, "beside it\n")
        assert "as it is now, while the run is running" in called.err
        assert rose("exec", "r", "0", "t", "--in-place", "--", "true").code == 4
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)


def _journal(rose: Rose) -> str:
    return (rose.folder / "r/journal.jsonl").read_text()


def test_signals_reach_the_command_and_their_end_is_passed_on(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {t: {executable: 'true'}}, learners: 1}")
    assert rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet").code == 0
    process = rose.start("exec", "r", "0", "t", "--", "sh", "-c", "trap 'exit 9' INT; touch ready; sleep 300 & wait")
    ready = "rose-exec-*/workspace/ready"
    wait_until(lambda: list(Path(os.environ["TMPDIR"]).glob(ready)))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 9


def test_edits_that_a_resume_has_applied_are_named(rose: Rose) -> None:
    tasks = "{t: {executable: sh task.sh, options: {--lr: LR}}}"
    campaign = (
        f"{{max_iter: 1, limits: {{max_parallel_learners: 1}}, tasks: {tasks}, learners: [{{name: a}}, {{name: b}}]}}"
    )
    rose.write('echo "$@"; exit 1', "task.sh")
    rose.write(campaign.replace("LR", "0.1"))
    assert rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet").code == 1
    rose.write(campaign.replace("LR", "0.2"))
    before = rose("exec", "r", "b", "0", "t")
    assert (before.code, before.out, "changed the plan" in before.err) == (1, "--lr 0.1\n", False)
    rose.write('echo "$@"; sleep 300', "task.sh")
    process = rose.start("resume", "r", "--output", "quiet")
    wait_until(lambda: _journal(rose).count("attempt_started") == 3)  # b waits until a has ended
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    rose.write('echo "$@"', "task.sh")
    after = rose("exec", "r", "b", "0", "t")
    assert (after.code, after.out) == (0, "--lr 0.2\n"), "the script and the plan as they are now"
    assert "since attempt 1, a resume has changed the plan: " in after.err
    assert re.search(r"changed the plan: .*--lr.*0\.1.*0\.2", after.err)
    assert "changed the plan" not in rose("exec", "r", "a", "0", "t").err, "its latest attempt had the new plan"


# --- what all tasks share --------------------------------------------------------------------------------------------

SHARING = """
    setup: {pool: {executable: "sh -c 'echo data > pool; echo done >> $ROSE_CAMPAIGN_DIR/log'"}}
    tasks: {sim: {executable: "sh -c 'echo more >> {shared}/pool; wc -l < $ROSE_SHARED/pool'"}}
    max_iter: 1
    learners: [{name: a}]
    """


@pytest.fixture
def sharing(rose: Rose) -> Rose:
    rose.write(SHARING)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    return rose


def pool(rose: Rose) -> list[str]:
    return (rose.folder / "r/campaign/workspace/pool").read_text().split()


@pytest.mark.parametrize("words", ["a 0 sim", "campaign 0 pool"])
def test_what_all_tasks_share_is_copied(sharing: Rose, words: str) -> None:
    called = sharing("exec", "r", *words.split(), "--in", "copy")
    assert called.code == 0, called.err
    assert pool(sharing) == ["data", "more"]
    where = "copy/shared/pool" if words.startswith("a") else "copy/workspace/pool"
    assert len((sharing.folder / where).read_text().split()) == (3 if words.startswith("a") else 1)


@pytest.mark.parametrize(("words", "option"), [("a 0 sim", "--shared-in-place"), ("campaign 0 pool", "--in-place")])
def test_a_large_shared_directory_is_not_copied_to_a_temporary_one(
    sharing: Rose, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, words: str, option: str
) -> None:
    monkeypatch.setattr(scratch, "MOST_BYTES", 100)
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    words_of_run = [str(sharing.folder / "r"), *words.split()]
    with pytest.raises(RunDirectoryError, match=r"the shared directory has .*, too much for a copy") as error:
        exec_task(words_of_run, ExecOptions())
    assert f"`{option}` uses it itself" in str(error.value.hint)
    assert "`--in DIR` copies it" in str(error.value.hint)
    assert list(temporary.iterdir()) == []
    assert exec_task(words_of_run, ExecOptions(directory=sharing.folder / "copy")) == 0


def test_the_shared_directory_itself_if_asked_for(sharing: Rose) -> None:
    called = sharing("exec", "r", "a", "0", "sim", "--shared-in-place")
    assert (called.code, called.out) == (0, "3\n")
    assert "with the shared directory itself, " in called.err
    assert pool(sharing) == ["data", "more", "more"]
    script = sharing("exec", "r", "a", "0", "sim", "--shared-in-place", "--print").out
    assert f"export ROSE_SHARED={sharing.folder}/r/campaign/workspace\n" in script
    assert sharing("exec", "r", "campaign", "0", "pool", "--shared-in-place").code == 2
    assert sharing("exec", "r", "a", "0", "sim", "--shared-in-place", "--in-place").code == 2
