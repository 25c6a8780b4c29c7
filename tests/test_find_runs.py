"""What RUN means, and what is said where it means nothing, or a run that cannot go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PATIENCE, Rose, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

CAMPAIGN = "{name: c, max_iter: 1, tasks: {t: {executable: ./t.sh, options: {--n: 1}}}, learners: [{name: a}]}"


@pytest.fixture
def ended(tmp_path: Path) -> Rose:
    """A campaign in a folder `here` with a run that has ended."""
    rose = Rose(tmp_path / "here")
    rose.folder.mkdir()
    rose.script("#!/bin/sh\n", "t.sh")
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml").code == 0
    return rose


def name_of(rose: Rose) -> str:
    return str((rose.folder / "rose-runs/latest").readlink())


def test_a_resume_of_an_edited_file_continues_the_latest_run_though_it_has_finished(ended: Rose) -> None:
    ended.write(CAMPAIGN.replace("max_iter: 1", "max_iter: 4").replace("{name: a}", "{name: a}, {name: b}"))
    for words in (("campaign.yaml", "--dry-run"), ("--dry-run",)):
        called = ended("resume", *words)
        assert called.code == 0, called.err
        assert "'campaign.yaml' has changed since this run was started; applied:" in called.out
        assert "a: keeps 1 iteration; continues at iteration 1 (extended to 4 iterations)" in called.out
        assert "b: keeps 0 iterations; continues at iteration 0" in called.out
    kept = ended("resume", "--as-it-was")
    assert (kept.code, "nothing to do" in kept.err) == (0, True), kept.err
    assert ended("resume").code == 0
    called = ended("resume")
    assert (called.code, called.out) == (2, "")
    assert f"can be resumed: the latest, 'rose-runs/{name_of(ended)}', has finished (2 reached max_iter)" in called.err
    assert f"`rose resume rose-runs/{name_of(ended)} --max-iter N` extends it" in called.err
    assert "`rose run campaign.yaml` starts a new run of the current file" in called.err


def test_a_resume_of_a_run_that_has_met_its_criterion_offers_no_extension(ended: Rose) -> None:
    ended.write(CAMPAIGN.replace("tasks:", "stop: {metric: mse, threshold: 1, executable: echo 0}, tasks:"))
    assert ended("run", "campaign.yaml").code == 0
    called = ended("resume", "campaign.yaml")
    assert (called.code, "1 met the criterion" in called.err, "--max-iter" in called.err) == (2, True, False), (
        called.err
    )


def test_a_resume_of_a_run_that_is_at_work_says_so(tmp_path: Path) -> None:
    rose = Rose(tmp_path)
    rose.script('#!/bin/sh\nuntil [ -e "$ROSE_CAMPAIGN_DIR/go" ]; do sleep 0.05; done\n', "t.sh")
    rose.write(CAMPAIGN)
    process = rose.start("run", "campaign.yaml", "--output", "quiet")
    wait_until(lambda: any((tmp_path / "rose-runs").glob("c-*/learners/a/workspace")))
    called = rose("resume", "campaign.yaml")
    (tmp_path / "go").touch()
    process.communicate(timeout=PATIENCE)
    assert (called.code, "the run 'rose-runs/c-" in called.err and "is already running" in called.err) == (4, True), (
        called.err
    )
    assert "rose stop" in called.err


def test_the_runs_of_another_campaign_file_are_named(ended: Rose) -> None:
    ended.write(CAMPAIGN, "other.yaml")
    for command in ("status", "logs", "resume", "export"):
        called = ended(command, "other.yaml")
        assert (called.code, called.out) == (2, "")
        assert "there is no run of 'other.yaml' in '.'; it has runs of 'campaign.yaml'" in called.err


@pytest.mark.parametrize("command", ["status", "resume", "export"])
def test_runs_that_are_seen_from_here_are_named(ended: Rose, command: str) -> None:
    (ended.folder / "deep").mkdir()
    run = ended.folder / "rose-runs" / name_of(ended)
    above, inside, below = map(Rose, (ended.folder / "deep", run / "learners/a", ended.folder.parent))
    assert "there are runs in '..'; try `rose status ..`" in above(command).err
    assert "this directory is inside a run; try `rose status ../..`" in inside(command).err
    assert "there are runs in 'here'; try `rose status here`" in below(command).err
    for rose in (above, inside, below):
        assert rose(command).code == 2


def test_a_resume_of_the_latest_run_stays_in_that_run_when_another_one_starts(rose: Rose) -> None:
    """Each iteration moves the link `latest`, as a new run does, and then writes into its workspace."""
    runs = "{campaign_dir}/rose-runs"
    line = f"mkdir -p {runs}/newer && ln -sfn newer {runs}/latest; touch $ROSE_WORKSPACE/made-{{iteration}}"
    rose.write(f"max_iter: 1\ntasks: {{a: {{executable: '{line}', shell: true}}}}\nlearners: 1\n")
    assert rose("run", "campaign.yaml").code == 0
    run = next((rose.folder / "rose-runs").glob("campaign-*"))
    (rose.folder / "rose-runs/latest").unlink()
    (rose.folder / "rose-runs/latest").symlink_to(run.name)
    resumed = rose("resume", "rose-runs/latest", "--max-iter", "3")
    assert resumed.code == 0, resumed.err
    made = {path.name for path in run.glob("learners/*/workspace/made-*")}
    assert made == {"made-0", "made-1", "made-2"}
    assert "rose-runs/latest" not in resumed.out


def test_a_run_in_a_folder_of_its_own_is_named(ended: Rose, tmp_path: Path) -> None:
    other = Rose(tmp_path / "other")
    other.folder.mkdir()
    other.script("#!/bin/sh\n", "t.sh")
    other.write(CAMPAIGN)
    assert other("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert "there are runs in 'r'" in other("status").err


def test_a_name_with_a_slip_is_corrected(ended: Rose) -> None:
    called = ended("status", name_of(ended)[:-1])
    assert (called.code, f"did you mean '{name_of(ended)}'?" in called.err) == (2, True), called.err


WAITING = "{name: c, max_iter: 2, tasks: {t: {executable: ./wait.sh}}, learners: [{name: a}, {name: b}]}"
WAIT = """#!/bin/sh
echo "this is $ROSE_LEARNER"
until [ -e "$ROSE_CAMPAIGN_DIR/go" ]; do sleep 0.05; done
"""


@dataclass
class Started:
    """A campaign file, runs of which are running."""

    rose: Rose
    processes: dict[str, subprocess.Popen[str]]

    def start(self, file: str = "campaign.yaml") -> str:
        """The name of one more run that is running now."""
        before = set(self._runs())
        process = self.rose.start("run", file, "--output", "quiet")
        wait_until(lambda: any((run / "learners/a/logs/0").exists() for run in set(self._runs()) - before))
        (run,) = set(self._runs()) - before
        self.processes[f"rose-runs/{run.name}"] = process
        return f"rose-runs/{run.name}"

    def end(self) -> list[str]:
        """Let all of them end; what each said to standard error."""
        (self.rose.folder / "go").touch()
        said = [process.communicate(timeout=PATIENCE)[1] for process in self.processes.values()]
        (self.rose.folder / "go").unlink()
        self.processes.clear()
        return said

    def _runs(self) -> Iterator[Path]:
        return self.rose.folder.glob("rose-runs/[!l.]*")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    rose = Rose(tmp_path)
    rose.script(WAIT, "wait.sh")
    rose.write(WAITING)
    started = Started(rose, {})
    yield started
    started.end()


def test_a_run_that_is_running_is_preferred_to_a_later_one_that_has_ended(started: Started) -> None:
    rose = started.rose
    running = started.start()
    rose.write(WAITING.replace("./wait.sh", "'true'"))
    assert rose("run", "campaign.yaml").code == 0
    ended = f"rose-runs/{name_of(rose)}"
    which = f"run '{running}', which is running; '{ended}' is newer, but has ended\n"
    for given in ((), ("campaign.yaml",), (".",)):
        assert rose.json("status", *given, "--format", "json")["run"].endswith(running)
        for command in ("status", "logs", "export"):
            called = rose(command, *given)
            assert (called.code, called.err) == (0, which), (command, given)
    for named in (ended, ended.removeprefix("rose-runs/")):
        called = rose("stop", named)
        assert (called.code, f"help: '{running}' is running: `rose stop {running}`" in called.err) == (4, True)
        assert rose("status", named).err == ""
    assert f"the run '{running}' is already running" in rose("resume").err
    called = rose("stop", "campaign.yaml")
    assert (called.code, called.err) == (0, f"run '{running}'\nthe run has stopped\n")
    assert rose("status").err == ""  # the latest one, which the output names
    called = rose("resume", "--dry-run")
    assert (called.code, f"run '{running}', the latest that can be resumed\n" in called.err) == (0, True)
    assert "there is nothing to stop" in rose("stop").err


def test_of_two_that_are_running_each_is_named_and_none_is_guessed_where_that_does_harm(started: Started) -> None:
    rose = started.rose
    first, second = started.start(), started.start()
    for command in ("status", "logs", "export"):
        called = rose(command)
        assert (called.code, called.err) == (0, f"run '{second}', the latest of 2 that are running: '{first}' too\n")
    called = rose("stop", "campaign.yaml")
    assert (called.code, called.err.splitlines()) == (
        2,
        [
            f"error: 2 runs of 'campaign.yaml' are running: '{second}', '{first}'",
            f"help: name the one that you mean: `rose stop {second}`",
        ],
    )
    called = rose("exec", "a", "0", "t")
    assert (called.code, f"2 runs are running: '{second}', '{first}'" in called.err) == (2, True)
    called = rose("resume")
    assert (called.code, f"the runs '{second}', '{first}' are already running" in called.err) == (4, True)
    assert rose("stop", first, "--learner", "a").code == 0
    called = rose("stop", first, "--learner", "aa")
    assert f"there is no learner 'aa' in the run '{first}'" in called.err
    assert started.end()[1].startswith(f"this campaign is already running: '{first}'\n")


def test_a_running_run_of_another_campaign_is_not_meant(started: Started) -> None:
    rose = started.rose
    running = started.start()
    rose.write(WAITING.replace("./wait.sh", "'true'").replace("name: c,", "name: d,"), "other.yaml")
    called = rose("run", "other.yaml")
    assert "running" not in called.err
    assert rose.json("status", "other.yaml", "--format", "json")["campaign"] == "d"
    assert rose.json("status", "--format", "json")["run"].endswith(running)
    called = rose("stop", "other.yaml")
    assert (called.code, f"'{running}' is running" in called.err) == (4, True)


def test_run_may_be_omitted_before_a_learner(ended: Rose) -> None:
    run = f"rose-runs/{name_of(ended)}"
    for words in (("a",), ("a", "0"), ("a", "0", "t"), ("t",), ("0",)):
        called = ended("logs", *words)
        assert (called.code, called.err.splitlines()[0]) == (0, f"run '{run}'"), words
        assert ended("logs", run, *words).err == called.err.partition("\n")[2]
    called = ended("logs", "aa")
    assert (called.code, called.err.splitlines()[0]) == (
        2,
        f"error: there is no run 'aa', nor a learner or task 'aa' in '{run}'",
    )
    assert "did you mean 'a'?" in called.err
    called = ended("logs", "a", "7")
    assert (called.code, f"there is no iteration 7 in learner 'a' of the run '{run}'" in called.err) == (2, True)


def test_a_word_that_is_a_run_and_a_learner_is_taken_as_the_run(ended: Rose) -> None:
    run = f"rose-runs/{name_of(ended)}"
    (ended.folder / "a").mkdir()  # without a run in it: the learner is meant
    assert ended("logs", "a").err.startswith(f"run '{run}'\n")
    assert ended("run", "campaign.yaml", "--run-dir", "a").code == 0
    called = ended("logs", "a")
    assert f"'a' is taken as RUN; if you mean the learner or task, put '{run}' before it\n" in called.err
    called = ended("logs", "a", "a", "5")
    assert "there is no iteration 5 in learner 'a' of the run 'a'" in called.err


def test_an_error_about_a_learner_names_the_run(ended: Rose) -> None:
    run = f"rose-runs/{name_of(ended)}"
    for words in (("resume", run, "--learner"), ("export", "--learner"), ("logs", run)):
        called = ended(*words, "nobody")
        assert (called.code, f"there is no learner 'nobody' in the run '{run}'" in called.err) == (2, True), words
