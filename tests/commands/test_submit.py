"""`rose submit`, with a Slurm that only queues: what is asked of it, what is written down, and what is refused.

Jobs that really run: tests/slurm/test_submit.py.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.batch.records import JobFiles, JobStart
from tests.conftest import PATIENCE, PROGRAMS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Called, Rose

CAMPAIGN = """
    name: digits and more
    max_iter: 2
    tasks: {simulation: {executable: echo sim, cores_per_rank: 2}}
    learners: [{name: a}, {name: b}]
    """


@dataclass
class Login:
    """rose on a login node of a cluster."""

    rose: Rose
    queue: Path

    @property
    def variables(self) -> dict[str, str]:
        programs = self.queue.parent / "bin"
        return {"FAKE_SLURM": str(self.queue), "PATH": f"{programs}:{os.environ['PATH']}"}

    def __call__(self, *words: str | Path, **variables: str) -> Called:
        return self.rose(*words, **{**self.variables, **variables})

    def json(self, *words: str) -> Any:
        called = self(*words, "--format", "json")
        assert called.code == 0, called.err
        return json.loads(called.out)

    def job(self, number: int) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.queue / f"{number}.json").read_text())
        return found

    def change(self, number: int, **values: str) -> None:
        (self.queue / f"{number}.json").write_text(json.dumps({**self.job(number), **values}))

    @property
    def queued(self) -> list[str]:
        return sorted(path.stem for path in self.queue.glob("*.json"))


@pytest.fixture
def login(rose: Rose, tmp_path_factory: pytest.TempPathFactory) -> Login:
    pytest.importorskip("psij")
    place = tmp_path_factory.mktemp("slurm")
    for folder in ("bin", "queue"):
        (place / folder).mkdir()
    program = rose.script(f"#!{sys.executable}\n{(PROGRAMS / 'fake_slurm.py').read_text()}", "fake_slurm.py")
    program.rename(place / "fake_slurm.py")
    for name in ("sbatch", "squeue", "scancel", "sinfo"):
        (place / "bin" / name).symlink_to(place / "fake_slurm.py")
    rose.write(CAMPAIGN)
    return Login(rose, place / "queue")


def test_a_run_is_created_and_its_first_jobs_are_submitted(login: Login) -> None:
    called = login("submit", "campaign.yaml", "--time", "4:00:00", "--cores", "4", "--run-dir", "r")
    assert (called.code, called.err) == (0, "")
    assert called.out == (
        "submitted job 1 to Slurm, and 2 to continue the run after it\n"
        "  job 1 (1 of at most 10) waits for nodes\n"
        "  budget  at most 10 jobs, each of 1 node with 4 cores for 4h 00m: up to 160 core-hours\n"
        "  run     r\n"
        "  next    rose status r, or rose stop r\n"
    )
    name = login.job(1)["name"]
    assert re.fullmatch("digits-and-more-[0-9a-f]{16}", name)
    folder = login.rose.folder
    words = shlex.split(login.job(1)["words"])
    assert words[-1] == str(folder / "r/jobs/job.sh")
    assert {*words} >= {f"--job-name={name}", "--nodes=1", "--ntasks-per-node=4", "--time=4:0:0"}
    assert "--dependency=singleton" in words
    assert "--dependency=afterany:1,singleton" in shlex.split(login.job(2)["words"])
    last = login.job(1)["script"].splitlines()[-1]
    assert last.startswith("exec ")
    call = f"run {folder}/campaign.yaml --run-dir {folder}/r --resume-if-begun --as-it-was --output plain"
    assert last.endswith(call)
    assert login.rose.status("r")["status"] == "pending"


def test_the_request_in_the_words_of_a_batch_system(login: Login) -> None:
    words = [
        "--time=90", "--nodes=1", "--cores-per-node=4", "--gpus-per-node=2", "--mem=64G", "--partition=big",
        "--account=abc", "--reservation=res", "--constraint=a&b", "--attribute=slurm.qos=x y",
        "--attribute=slurm.requeue", "--attribute=pbs.q=z", "--job-name=My job",
    ]  # fmt: skip
    called = login("submit", "campaign.yaml", *words, "--dry-run")
    assert (called.code, called.err) == (0, "")
    name, *lines = (line for line in called.out.splitlines() if line.startswith("#SBATCH"))
    assert name.startswith("#SBATCH --job-name=My-job-")
    assert lines == [
        "#SBATCH --nodes=1", "#SBATCH --ntasks=4", "#SBATCH --ntasks-per-node=4", "#SBATCH --time=1:30:0",
        '#SBATCH --partition="big"', '#SBATCH --account="abc"', '#SBATCH --reservation="res"',
        "#SBATCH --gpus-per-node=2", "#SBATCH --mem=65536M", '#SBATCH --constraint="a&b"',
        f"#SBATCH --output={login.rose.folder}/rose-runs/NEW-RUN/jobs/%j.out", "#SBATCH --open-mode=append",
        '#SBATCH --qos="x y"', "#SBATCH --requeue",
    ]  # fmt: skip
    assert login.queued == []
    assert not (login.rose.folder / "rose-runs").exists()


def test_whole_nodes_without_a_number_of_cores(login: Login) -> None:
    out = login("submit", "campaign.yaml", "--time", "1h", "--dry-run").out
    assert "#SBATCH --exclusive\n" in out
    assert "--ntasks" not in out


def test_everything_that_is_wrong_is_reported_at_once(login: Login) -> None:
    login.rose.write(f"{CAMPAIGN}\nmax_itr: 3\n".replace("\n    ", "\n"))
    words = ["--time", "1:30", "--memory", "much", "--attribute", "qos=x"]
    called = login("submit", "campaign.yaml", *words)
    assert called.code == 2
    for message in (
        "unknown key 'max_itr'",
        "--time does not understand '1:30'",
        "write 1:30:00 for hours and minutes, or 0:1:30 for minutes and seconds",
        "--memory does not understand 'much'",
        "--attribute does not understand 'qos=x'",
        "4 errors in campaign.yaml",
    ):
        assert message in called.err
    assert login.queued == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--cores 1 --time 10", "requests 2 cores, but the engine has 1"),
        ("--cores 4", "the time limit of a job is missing"),
        ("--cores 4 --time 10 --nodes 2", "the local engine runs tasks on one node, and the job has 2"),
        ("--cores 4 --time 10 --set engine.gpus=2", "the engine uses 2 GPUs, and the job requests none"),
        ("--time 10 --core-hours 5", "the cores of whole nodes are not known"),
        ("--cores 4 --time 10h --core-hours 5", "one job can use 40 core-hours already"),
        ("--time 10 --nodes 4 --engine slurm", "queue 'debug' is too small: it has 3 nodes"),
        ("--time 10 --cores 5", "'debug' is too small: no node of it has more than 4 cores"),
        ("--time 10 --cores 4 --memory 8001", "no node of it has more than 8000 MB"),
        ("--time 10 --set tasks.simulation.mem_per_rank=9000", "requests 9000 MB of memory, but the engine has 8000"),
        ("--time 10 --memory 2G --set tasks.simulation.mem_per_rank=3000", "memory, but the engine has 2048"),
        ("--cores 4 --time 10 --queue $(x)", "queue '$(x)' has characters that no batch system accepts in a name"),
        ("--cores 4 --time 10 --batch-system sge", "there is no batch system 'sge'"),
    ],
)
def test_what_cannot_work_is_refused(login: Login, words: str, message: str) -> None:
    called = login("submit", "campaign.yaml", *words.split(" "))
    assert called.code == 2
    assert message in called.err
    assert login.queued == []
    assert not (login.rose.folder / "rose-runs").exists()


def test_the_campaign_file_may_say_what_a_job_requests(login: Login) -> None:
    login.rose.write(
        "engine: {kind: slurm, nodes: 2, runtime: 2h, queue: big, project: abc}" + CAMPAIGN.replace("\n    ", "\n")
    )
    lines = login("submit", "campaign.yaml", "--dry-run").out.splitlines()
    assert {"#SBATCH --nodes=2", "#SBATCH --time=2:0:0", '#SBATCH --partition="big"', '#SBATCH --account="abc"'} < {
        *lines
    }
    lines = login(
        "submit", "campaign.yaml", "--dry-run", "--nodes", "1", "--time", "1h", "--cores", "8"
    ).out.splitlines()
    assert {"#SBATCH --nodes=1", "#SBATCH --time=1:0:0", "#SBATCH --ntasks-per-node=8"} < {*lines}


def test_a_task_is_measured_by_the_nodes_of_the_queue_and_not_by_this_machine(login: Login) -> None:
    login.rose.write(CAMPAIGN.replace("cores_per_rank: 2", "cores_per_rank: 60"))
    assert "requests 60 cores, but the engine has 4" in login("submit", "campaign.yaml", "--time", "9", "-n").err
    called = login("submit", "campaign.yaml", "--time", "9", "--queue", "big", "-n")
    assert (called.code, called.err) == (0, "")


def test_a_job_that_is_refused_leaves_no_run(login: Login) -> None:
    text = "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified"
    (login.queue / "refuse").write_text(text)
    called = login("submit", "campaign.yaml", "--time", "10")
    assert called.code == 5
    assert called.err == (
        "error: 'sbatch' failed: Batch job submission failed:"
        " Invalid account or account/partition combination specified\n"
        "help: `sinfo` lists the partitions and what their nodes have\n"
    )
    assert list((login.rose.folder / "rose-runs").iterdir()) == []


def test_without_an_answer_of_the_controller_nothing_is_submitted(login: Login) -> None:
    (login.queue / "down").touch()
    called = login("submit", "campaign.yaml", "--time", "10")
    assert called.code == 5
    assert "the batch system cannot be asked for the jobs of this run" in called.err
    assert list((login.rose.folder / "rose-runs").iterdir()) == []


def test_a_run_that_has_jobs_is_not_submitted_again(login: Login) -> None:
    words = ["--time", "10", "--run-dir", "r"]
    assert login("submit", "campaign.yaml", *words).code == 0
    called = login("submit", "campaign.yaml", *words)
    assert (called.code, called.err) == (4, "error: 'r' is a run already\nhelp: continue it: rose submit r\n")
    called = login("submit", "r")
    assert called.code == 4
    assert called.err.startswith("error: 'r' has 2 jobs already: 1, 2\n")
    assert login.queued == ["1", "2"]


def test_another_run_of_a_campaign_that_is_queued_is_mentioned(login: Login) -> None:
    assert login("submit", "campaign.yaml", "--time", "10").code == 0
    called = login("submit", "campaign.yaml", "--time", "10")
    assert called.code == 0
    assert re.match(
        r"other runs of this campaign are queued or running: 'rose-runs/digits-and-more-\d+-1'; `rose stop RUN` ends",
        called.err,
    )
    assert login.job(1)["name"] != login.job(3)["name"]


def test_status_and_list_show_what_waits_and_since_when_it_will_run(login: Login) -> None:
    assert login("submit", "campaign.yaml", "--time", "10").code == 0
    login.change(1, start="2035-11-29T09:30:00")
    called = login("status", TZ="UTC")
    assert "  jobs     job 1 (1 of at most 10) waits for nodes, starts ~2035-11-29 09:30\n" in called.out
    assert "           job 2 (2 of at most 10) waits for the one before\n" in called.out
    assert "resume" not in called.out
    (line,) = login("list").out.splitlines()[1:]
    assert " queued " in line
    login.change(1, state="RUNNING", nodes="n[1-2]", end="2035-11-29T13:30:00")
    called = login("status", TZ="UTC")
    assert "job 1 (1 of at most 10) runs on n[1-2], until 2035-11-29 13:30 at the latest\n" in called.out
    jobs = login.json("status")["jobs"]
    assert (jobs["batch_system"], jobs["submitted"], jobs["most_jobs"], jobs["ended"]) == ("slurm", 2, 10, None)
    assert jobs["queue"][0] == {
        "job_id": "1",
        "number": 1,
        "state": "RUNNING",
        "reason": "Resources",
        "start": "2035-11-29T09:30:00.000+00:00",
        "end": "2035-11-29T13:30:00.000+00:00",
        "nodes": "n[1-2]",
    }
    assert login.json("list")[0]["jobs"] == jobs
    (login.queue / "down").touch()
    assert "Slurm does not say whether jobs of this run are queued" in login("status").out
    assert login.json("status")["jobs"]["queue"] is None


def test_a_run_that_waits_for_a_job_is_watched_until_none_follows(login: Login) -> None:
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    watching = login.rose.start("status", "r", "--watch", **login.variables)
    with pytest.raises(subprocess.TimeoutExpired):
        watching.communicate(timeout=4)
    job = ["run", "campaign.yaml", "--run-dir", "r", "--resume-if-begun", "--as-it-was"]
    assert login(*job, SLURM_JOB_ID="1").code == 0
    out, _ = watching.communicate(timeout=PATIENCE)
    assert "digits and more finished in" in out


def test_stop_cancels_the_jobs_that_wait(login: Login) -> None:
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    called = login("clean", "r", "--all", "--yes")
    assert called.code == 4
    assert "'r' has 2 jobs in the queue" in called.err
    called = login("stop", "r")
    assert (called.code, called.err) == (0, "cancelled 2 jobs that waited: 1, 2\n")
    assert login.queued == []
    assert "no more jobs: they were stopped by `rose stop` (0 jobs ran)" in login("status", "r").out
    assert login("submit", "r", "--jobs", "1").code == 0
    assert login.queued == ["3"]
    assert login.json("status", "r")["jobs"]["submitted"] == 1
    assert login("stop", "r").code == 0
    assert login("clean", "r", "--all", "--yes").code == 0


def test_a_run_from_elsewhere_cannot_have_other_jobs_cancelled(login: Login) -> None:
    for run in ("r", "other"):
        assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", run).code == 0
    path = login.rose.folder / "r/jobs/submission.json"
    forged = {**json.loads(path.read_text()), "name": login.job(3)["name"]}
    for run in (forged["run"], "/nowhere", ""):
        path.write_text(json.dumps({**forged, "run": run}))
        assert login("stop", "r").code == 4
        assert login.queued == ["1", "2", "3", "4"]


def test_a_stop_that_could_not_cancel_the_jobs_is_no_success(login: Login) -> None:
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    (login.queue / "down").touch()
    for _ in range(2):
        called = login("stop", "r")
        assert (called.code, "those that wait are not cancelled" in called.err) == (5, True)
    (login.queue / "down").unlink()
    assert login("stop", "r").code == 0
    assert login.queued == []


def test_jobs_of_a_run_under_another_name_are_its_jobs_too(login: Login) -> None:
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    login.change(2, name=login.job(2)["name"].replace("digits-and-more", "another"))
    assert login("submit", "r", "--job-name", "x").err.startswith("error: 'r' has 2 jobs already: 1, 2\n")
    assert "job 2 " in login("status", "r").out
    assert login("stop", "r").code == 0
    assert login.queued == []


def test_only_one_process_submits_the_jobs_of_a_run(login: Login) -> None:
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    assert login("stop", "r").code == 0
    with JobFiles(login.rose.folder / "r/jobs").submitting():
        called = login("submit", "r")
    assert (called.code, called.err) == (
        4,
        "error: another `rose submit` is submitting jobs of this run\nhelp: `rose status` shows them in a moment\n",
    )
    assert login.queued == []
    assert login("submit", "r").code == 0


def test_a_run_is_submitted_once_by_two_users_at_the_same_time(login: Login) -> None:
    """Whichever comes second finds the other one at work, or its jobs."""
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    assert login("stop", "r").code == 0
    words = [sys.executable, "-m", "rose_cli", "submit", "r", "--job-name", "x"]
    environment = {**os.environ, **login.variables}
    both = [subprocess.Popen(words, cwd=login.rose.folder, env=environment) for _ in range(2)]
    assert sorted(each.wait() for each in both) == [0, 4]
    assert login.queued == ["3", "4"]


@pytest.mark.parametrize("name", ["n\nl", "x\n#SBATCH --uid=0", "a\x85b", "\x1b[31m", "\udcff"])
def test_a_path_that_no_script_can_name_is_refused_before_a_run_is_created(login: Login, name: str) -> None:
    place = login.rose.folder / name
    place.mkdir()
    (place / "campaign.yaml").write_text((login.rose.folder / "campaign.yaml").read_text())
    for words in ((place / "campaign.yaml", "--run-dir", "r"), ("campaign.yaml", "--run-dir", place / "r")):
        called = login("submit", *words, "--time", "10")
        assert called.code == 2, called.err
        assert "a script of a batch system cannot name" in called.err
    assert [path.name for path in place.iterdir()] == ["campaign.yaml"]
    assert not (login.rose.folder / "r").exists()
    assert login.queued == []


def test_nothing_is_submitted_for_a_run_that_others_can_change(login: Login) -> None:
    """What the jobs of a run execute is in its directory."""
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    (login.rose.folder / "r/jobs").chmod(0o777)
    words = ("run", "campaign.yaml", "--run-dir", "r", "--resume-if-begun", "--as-it-was")
    called = login(*words, SLURM_JOB_ID="1", SLURM_JOB_NAME=login.job(1)["name"])
    assert (called.code, "can be changed by everybody" in called.err) == (4, True)
    assert login.queued == ["1", "2"]


def test_a_run_that_is_damaged_does_not_keep_others_from_being_submitted(login: Login) -> None:
    assert login("submit", "campaign.yaml", "--time", "10").code == 0
    run = next(path for path in (login.rose.folder / "rose-runs").iterdir() if path.is_dir() and not path.is_symlink())
    (run / "plan.json").write_text("garbage")
    assert login("submit", "campaign.yaml", "--time", "10").code == 0


def test_a_run_continues_with_the_request_of_before_unless_it_is_changed(login: Login) -> None:
    first = ["--time", "10", "--cores", "4", "--queue", "debug", "--attribute", "slurm.qos=a"]
    assert login("submit", "campaign.yaml", *first, "--run-dir", "r").code == 0
    name = login.job(1)["name"]
    assert login("stop", "r").code == 0
    assert login("submit", "r", "--time", "20", "--attribute", "slurm.qos=b").code == 0
    words = shlex.split(login.job(3)["words"])
    assert {*words} >= {f"--job-name={name}", "--time=0:20:0", "--ntasks-per-node=4", "--partition=debug", "--qos=b"}
    assert "--qos=a" not in words


def test_a_job_that_was_submitted_but_not_recorded_is_found(login: Login) -> None:
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    record = login.rose.folder / "r/jobs/0002.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "job_id": None}))
    assert login("submit", "r").err.startswith("error: 'r' has 2 jobs already: 1, 2\n")
    assert login("stop", "r").code == 0
    assert login.queued == []


def test_the_jobs_of_a_finished_run_are_not_asked_for(login: Login) -> None:
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    called = login("run", "campaign.yaml", "--run-dir", "r", "--resume-if-begun", "--as-it-was", SLURM_JOB_ID="1")
    assert called.code == 0
    assert login.queued == ["1"]  # the job itself: a real Slurm forgets it when it ends
    (login.queue / "down").touch()
    called = login("status", "r")
    assert "\n  jobs " not in called.out
    assert login.json("status", "r")["jobs"]["ended"] == "finished"


def test_a_finish_that_has_yet_to_run_needs_the_next_job(login: Login) -> None:
    finish = "finish: {table: {executable: 'test -e again || (touch again; kill -TERM $PPID; sleep 600)', shell: true}}"
    login.rose.write(f"{{max_iter: 1, tasks: {{s: {{executable: 'true'}}}}, learners: 1, {finish}}}")
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    job = ["run", "campaign.yaml", "--run-dir", "r", "--resume-if-begun", "--as-it-was"]
    login(*job, SLURM_JOB_ID="1")
    ends = [event["event"] for event in login.rose.events("r")]
    assert ends.count("iteration_finished") == 2, "of the setup and the learner"
    assert login.json("status", "r")["jobs"]["ended"] is None
    assert login(*job, SLURM_JOB_ID="2").code == 0
    assert login.json("status", "r")["jobs"]["ended"] == "finished"


def test_what_has_failed_is_retried_by_the_first_job_of_a_new_submission_only(login: Login) -> None:
    login.rose.write("{max_iter: 1, tasks: {s: {executable: ./s.sh}}, learners: [{name: a}]}")
    login.rose.script("#!/bin/sh\nfalse\n", "s.sh")
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    job = ["run", "campaign.yaml", "--run-dir", "r", "--resume-if-begun", "--as-it-was"]
    assert login(*job, SLURM_JOB_ID="1").code == 1
    assert login(*job, SLURM_JOB_ID="2").code == 1
    assert login.rose.events("r")[-1]["session"] == 1
    (login.queue / "1.json").unlink(missing_ok=True)
    login.rose.script("#!/bin/sh\ntrue\n", "s.sh")
    assert login("submit", "r").code == 0
    assert login(*job, SLURM_JOB_ID="4").code == 0
    assert login.rose.learners("r")["a"]["stop_reason"] == "max_iter"


def test_the_first_session_of_a_submission_is_known_without_clocks(login: Login) -> None:
    login.rose.write("{max_iter: 1, tasks: {s: {executable: 'false'}}, learners: [{name: a}]}")
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    file = login.rose.folder / "r/jobs/submission.json"
    entries = json.loads(file.read_text())
    file.write_text(json.dumps({**entries, "time": entries["time"] + 3600}))  # the clock of the login node is ahead
    job = ["run", "campaign.yaml", "--run-dir", "r", "--resume-if-begun", "--as-it-was"]
    assert login(*job, SLURM_JOB_ID="1").code == 1
    assert login(*job, SLURM_JOB_ID="2").code == 1
    assert login.rose.events("r")[-1]["session"] == 1


def test_at_most_as_many_jobs_as_allowed(login: Login) -> None:
    words = ["--time", "60", "--cores", "4", "--run-dir", "r"]
    assert login("submit", "campaign.yaml", *words, "--core-hours", "6").code == 0
    assert login.queued == ["1"]
    (login.queue / "1.json").unlink()
    JobFiles(login.rose.folder / "r/jobs").start(JobStart("1", 0, 0.0, "n1", 0))  # it was killed
    called = login("status", "r")
    assert "no more jobs: the bound is reached, 4 of 6 core-hours, and another job could use 4" in called.out
    assert login("submit", "r", "--jobs", "3", "--in-advance").code == 0
    assert login.queued == ["2", "3", "4"]


def test_without_psij_the_command_says_how_to_install_it(login: Login) -> None:
    login.rose.write("raise ImportError", "psij.py")
    path = f"{login.rose.folder}:{login.rose.environment['PYTHONPATH']}"
    called = login("submit", "campaign.yaml", "--time", "10", PYTHONPATH=path)
    assert called.code == 2
    assert called.err == (
        "error: `rose submit` needs PSI/J, and psij-python is not installed\n"
        "help: install it into the environment of rose: pip install 'rose-cli[submit]'\n"
    )


def test_without_a_batch_system_the_command_says_so(rose: Rose) -> None:
    pytest.importorskip("psij")
    rose.write(CAMPAIGN)
    called = rose("submit", "campaign.yaml", "--time", "10", PATH="/nowhere")
    assert called.code == 2
    assert called.err.startswith(
        "error: no batch system was found: none of sbatch, bsub, qsub and flux is on the PATH\n"
    )


def test_the_next_job_inherits_nothing_that_describes_the_one_that_submits_it(login: Login) -> None:
    variables = {"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "10", "PMI_RANK": "0", "MY_OWN": "x"}
    assert login("submit", "campaign.yaml", "--time", "10", **variables).code == 0
    inherited = login.job(1)["environment"].splitlines()
    assert "MY_OWN" in inherited
    assert [name for name in inherited if name.startswith(("SLURM", "PMI"))] == []


_JOB = ("run", "campaign.yaml", "--run-dir", "r", "--resume-if-begun", "--as-it-was")


def _ended(login: Login, number: int) -> None:
    for path in login.queue.glob("*.json"):
        if int(path.stem) >= number:
            path.unlink()


def test_the_first_job_applies_edits_of_the_file_and_settings_and_the_next_ones_keep_that_plan(login: Login) -> None:
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    assert login("stop", "r").code == 0
    login.rose.write(CAMPAIGN.replace("echo sim", "echo other"))
    called = login("submit", "r", "--set", "max_iter=1")
    assert called.code == 0
    assert "'campaign.yaml' has changed since this run was started; the first job applies:" in called.err
    assert "echo sim → echo other" in called.err
    assert "max_iter: 2 → 1" in called.err
    called = login(*_JOB, SLURM_JOB_ID="3")
    assert called.code == 0
    assert {each["iterations_done"] for each in login.rose.status("r")["learners"]} == {1}
    assert login("logs", "r", "a").out.count("other") == 1


def test_edits_that_falsify_finished_steps_are_refused_before_a_job_waits(login: Login) -> None:
    login.rose.write("{max_iter: 1, tasks: {s: {executable: echo}}, learners: [{name: a}]}")
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    assert login(*_JOB, SLURM_JOB_ID="1").code == 0
    _ended(login, 1)
    called = login("submit", "r")
    assert (called.code, called.err.splitlines()[-2:]) == (
        2,
        ["error: 'r' has finished", "help: extend it: rose submit r --max-iter N"],
    )
    called = login("submit", "r", "--set", "tasks.s.executable=ls")
    assert called.code == 2
    assert "nothing was applied" in called.err
    assert login.queued == []


def test_a_finished_run_is_extended_in_jobs(login: Login) -> None:
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    assert login(*_JOB, SLURM_JOB_ID="1").code == 0
    _ended(login, 1)
    assert login("submit", "r", "--max-iter", "x").code == 2
    assert login("submit", "r", "--max-iter", "2").code == 2
    assert login("submit", "r", "--max-iter", "3").code == 0
    for _ in range(2):  # it is applied once
        assert login(*_JOB, SLURM_JOB_ID=login.queued[0]).code == 0
    assert {each["iterations_done"] for each in login.rose.status("r")["learners"]} == {3}


def test_a_run_can_keep_its_plan(login: Login) -> None:
    assert login("submit", "campaign.yaml", "--time", "10", "--run-dir", "r").code == 0
    assert login("stop", "r").code == 0
    login.rose.write(CAMPAIGN.replace("max_iter: 2", "max_iter: 1"))
    called = login("submit", "r", "--as-it-was")
    assert called.code == 0
    assert "the run keeps its own plan" in called.err
    assert login(*_JOB, SLURM_JOB_ID="3").code == 0
    assert {each["iterations_done"] for each in login.rose.status("r")["learners"]} == {2}


def test_whole_nodes_come_with_all_of_their_memory(login: Login) -> None:
    words = ["submit", "campaign.yaml", "--time", "9", "-n"]
    assert "#SBATCH --mem=0\n" in login(*words).out
    assert "--mem=0" not in login(*words, "--cores", "4").out
    assert "--mem=0" not in login(*words, "--memory", "1G").out
    assert "--mem=0" not in login(*words, "--attribute", "slurm.mem-per-cpu=1G").out


def test_a_request_that_was_refused_is_not_kept(login: Login) -> None:
    assert login("submit", "campaign.yaml", "--time", "10", "--cores", "4", "--run-dir", "r").code == 0
    assert login("stop", "r").code == 0
    (login.queue / "refuse").write_text("sbatch: error: Memory specification can not be satisfied")
    assert login("submit", "r", "--memory", "7G", "--jobs", "2").code == 5
    (login.queue / "refuse").unlink()
    assert "no more jobs" in login("status", "r").out
    assert login.json("status", "r")["jobs"]["most_jobs"] == 10
    assert login("submit", "r").code == 0
    assert "--mem" not in login.job(3)["words"]


def test_a_queue_that_an_option_of_slurm_chooses_is_not_judged(login: Login) -> None:
    words = ["submit", "campaign.yaml", "--time", "9", "-n", "--cores", "60"]
    assert login(*words, "--attribute", "slurm.partition=big").code == 0
    assert login(*words).code == 2
    assert login(*words, SBATCH_PARTITION="big").code == 0


def test_a_request_in_the_short_options_of_slurm(login: Login) -> None:
    login.rose.write("engine: slurm" + CAMPAIGN.replace("\n    ", "\n"))
    called = login("submit", "campaign.yaml", "-t", "90", "-N", "2", "-p", "big", "-A", "abc", "--dry-run")
    assert called.code == 0, called.err
    wanted = {"--time=1:30:0", "--nodes=2", '--partition="big"', '--account="abc"'}
    assert {f"#SBATCH {option}" for option in wanted} < {*called.out.splitlines()}


def test_a_campaign_file_that_is_not_there(login: Login) -> None:
    called = login("submit", "campaing.yaml", "--time", "9")
    assert (called.code, called.err) == (
        2,
        "error: there is no file 'campaing.yaml'\nhelp: did you mean 'campaign.yaml'?\n",
    )
