"""What each batch system is told: by PSI/J's executors, of which Slurm's is proven in tests/slurm."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rose_cli.batch.chain import end
from rose_cli.batch.records import JobFiles, Submission, job_name
from rose_cli.batch.request import JobRequest
from rose_cli.batch.systems import BatchSystem, RefusedError, find_system, job_environment
from rose_cli.util.errors import EngineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    Programs = Callable[..., Path]

pytest.importorskip("psij")

REQUEST = JobRequest(90, 2, 4, 0, 4000, "debug", "abc", None, None, ())


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Programs on the PATH that note how they were called, and print something."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    def write(**outputs: str) -> Path:
        (tmp_path / "bin").mkdir(exist_ok=True)
        for name, text in outputs.items():
            path = tmp_path / "bin" / name
            path.write_text(f"#!/bin/sh\nprintf '%s\\n' {name} \"$@\" >>{tmp_path}/calls\ncat <<'END'\n{text}\nEND\n")
            path.chmod(0o755)
        return tmp_path / "calls"

    return write


def script_of(system: str, request: JobRequest = REQUEST) -> list[str]:
    words = ["rose", "run", "a b.yaml"]
    return BatchSystem.load(system).script(request, "x-1", Path("/r"), Path("/c d"), words).splitlines()


def test_a_job_of_slurm() -> None:
    assert script_of("slurm") == [
        "#!/bin/bash",
        "#SBATCH --job-name=x-1",
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks=8",
        "#SBATCH --ntasks-per-node=4",
        "#SBATCH --time=1:30:0",
        '#SBATCH --partition="debug"',
        '#SBATCH --account="abc"',
        "#SBATCH --mem=4000M",
        "#SBATCH --output=/r/jobs/%j.out",
        "#SBATCH --open-mode=append",
        "",
        "# written by `rose submit`: every job of the run has this script",
        "cd '/c d' || exit",
        "test -e /r/plan.json || { echo 'the run was moved or deleted' >&2; exit 4; }",
        "exec rose run 'a b.yaml'",
    ]


def test_a_job_of_pbs() -> None:
    lines = script_of("pbs")
    assert "#PBS -N x-1" in lines
    assert "#PBS -l select=2:ncpus=4:mpiprocs=4:mem=4194304000" in lines
    assert {"#PBS -l walltime=1:30:0", "#PBS -q debug", "#PBS -A abc"} < {*lines}
    assert lines[-4:-2] == ['exec >>/r/jobs/"$PBS_JOBID".out 2>&1', "cd '/c d' || exit"]
    assert "#PBS -l nodes=2:ppn=4:mem=4194304000" in script_of("pbs_classic")


def test_a_job_of_lsf() -> None:
    request = JobRequest(90, 2, 4, 1, 4000, "debug", None, None, None, (("R", "span[hosts=1]"),))
    lines = script_of("lsf", request)
    assert {"#BSUB -J x-1", "#BSUB -nnodes 2", "#BSUB -n 8", "#BSUB -W 1:30", '#BSUB -q "debug"'} < {*lines}
    assert {'#BSUB -gpu "num=1"', '#BSUB -R "span[hosts=1]"'} < {*lines}
    assert lines[-4] == 'exec >>/r/jobs/"$LSB_JOBID".out 2>&1'


@pytest.mark.parametrize(
    ("system", "variable"), [("slurm", None), ("pbs", "PBS_JOBID"), ("pbs_classic", "PBS_JOBID"), ("lsf", "LSB_JOBID")]
)
def test_the_script_becomes_the_command(system: str, variable: str | None, tmp_path: Path) -> None:
    """No shell is left between the batch system and rose, whatever the paths look like."""
    place = tmp_path / "a b'c\"%j$(x)"
    (place / "jobs").mkdir(parents=True)
    (place / "plan.json").touch()
    words = ["python3", "-c", "import os, sys; print(os.getpid(), os.getcwd(), sys.argv[1:])", "it's", "$(x) `y`"]
    script = BatchSystem.load(system).script(REQUEST, "x-1", place, place, words)
    (tmp_path / "job.sh").write_text(script)
    environment = {**os.environ, **({variable: "12.server"} if variable else {})}
    job = subprocess.Popen(["bash", str(tmp_path / "job.sh")], stdout=subprocess.PIPE, text=True, env=environment)
    out = job.communicate()[0] if variable is None else (job.wait(), (place / "jobs/12.server.out").read_text())[1]
    assert out == f"{job.pid} {place} [\"it's\", '$(x) `y`']\n"


def test_a_run_that_was_moved_or_deleted_is_not_started_anew(tmp_path: Path) -> None:
    script = BatchSystem.load("slurm").script(REQUEST, "x-1", tmp_path / "r", tmp_path, ["echo", "started"])
    done = subprocess.run(["bash", "-s"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (4, "", "the run was moved or deleted\n")


def test_a_path_that_slurm_would_misread_is_left_to_the_script() -> None:
    words = ["rose"]
    lines = BatchSystem.load("slurm").script(REQUEST, "x-1", Path("/a\\b"), Path("/c"), words).splitlines()
    assert "#SBATCH --output=/dev/null" in lines
    assert lines[-4] == "exec >>'/a\\b/jobs'/\"$SLURM_JOB_ID\".out 2>&1"


def test_how_a_job_is_submitted_after_others(programs: Programs, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text('#!/bin/sh\n#SBATCH --qos="a b"\n')
    calls = programs(sbatch="Submitted batch job 12", qsub="12.server", bsub="Job <12> is submitted to queue <x>.")
    assert BatchSystem.load("slurm").submit(script, ["3", "4"]) == "12"
    assert BatchSystem.load("pbs").submit(script, ["3", "4"]) == "12.server"
    assert BatchSystem.load("lsf").submit(script, ["3", "4"]) == "12"
    assert BatchSystem.load("pbs").submit(script, []) == "12.server"
    path = str(script)
    assert calls.read_text().splitlines() == [
        "sbatch", "--qos=a b", "--dependency=afterany:3:4,singleton", path,
        "qsub", "-W", "depend=afterany:3:4", path,
        "bsub", "-w", "ended(3) && ended(4)", path,
        "qsub", path,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        "Submitted batch job 12 on cluster west",
        "--> checking your quota\nSubmitted batch job 12\n--> have a nice day",
        "12",
    ],
)
def test_the_id_of_a_job_is_found_whatever_a_site_lets_sbatch_say(
    programs: Programs, tmp_path: Path, answer: str
) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\n")
    programs(sbatch=answer)
    assert BatchSystem.load("slurm").submit(script, []) == "12"


@pytest.mark.parametrize("answer", ["thank you for using our cluster", "n[1-999999999]", "Submitted batch job x"])
def test_words_of_slurm_that_are_no_number_are_no_id(programs: Programs, tmp_path: Path, answer: str) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\n")
    programs(sbatch=answer)
    with pytest.raises(EngineError, match="Slurm returned no job ID"):
        BatchSystem.load("slurm").submit(script, [])


def test_an_answer_without_an_id_is_an_error(programs: Programs, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\n")
    programs(sbatch="")
    with pytest.raises(EngineError, match="Slurm returned no job ID"):
        BatchSystem.load("slurm").submit(script, [])
    (tmp_path / "bin/sbatch").write_text("#!/bin/sh\necho 'sbatch: error: a'>&2; echo 'sbatch: error: b' >&2; exit 1\n")
    with pytest.raises(RefusedError, match=r"^'sbatch' failed: a; b$"):
        BatchSystem.load("slurm").submit(script, [])


def is_own(name: object) -> bool:
    return name == "own"


def test_which_jobs_of_pbs_have_not_ended(programs: Programs) -> None:
    states = {"1.s": ("R", "own"), "2.s": ("H", "own"), "3.s": ("F", "own"), "5.s": ("Q", "another")}
    jobs = {job_id: {"job_state": state, "Job_Name": name} for job_id, (state, name) in states.items()}
    programs(qstat=json.dumps({"Jobs": {**jobs, "6.s": {"job_state": "Q"}}}), qdel="")
    system = BatchSystem.load("pbs")
    ids = [f"{number}.s" for number in range(1, 7)]
    assert system.states(ids, is_own) == {"1.s": "RUNNING", "2.s": "PENDING"}
    system.cancel(["2.s"], is_own)
    programs(qstat="server down")
    assert system.states(["1.s"], is_own) is None


def test_which_jobs_of_lsf_have_not_ended(programs: Programs) -> None:
    reasons = dict.fromkeys(("EXIT_REASON", "KILL_REASON", "SUSPEND_REASON"), "")
    states = {"1": ("RUN", "own"), "2": ("PEND", "own"), "3": ("DONE", "own"), "4": ("PEND", "another")}
    jobs = [{"JOBID": job_id, "STAT": state, "JOB_NAME": name, **reasons} for job_id, (state, name) in states.items()]
    calls = programs(bjobs=json.dumps({"RECORDS": [*jobs, {"JOBID": "5", "ERROR": "Job <5> is not found"}]}))
    system = BatchSystem.load("lsf")
    assert system.states([*"12345"], is_own) == {"1": "RUNNING", "2": "PENDING"}
    assert calls.read_text().splitlines()[1:3] == ["-o", "JOBID STAT JOB_NAME EXIT_REASON KILL_REASON SUSPEND_REASON"]


@pytest.mark.parametrize("system", ["pbs", "lsf"])
def test_a_run_from_elsewhere_has_no_jobs_that_have_other_names(
    programs: Programs, tmp_path: Path, system: str
) -> None:
    reasons = dict.fromkeys(("EXIT_REASON", "KILL_REASON", "SUSPEND_REASON"), "")
    name = job_name("wrap", str(tmp_path))
    for named, found in ((name, ["7"]), (job_name("other", str(tmp_path)), ["7"]), ("wrap", []), (f"{name}x", [])):
        calls = programs(
            qstat=json.dumps({"Jobs": {"7": {"job_state": "Q", "Job_Name": named}}}), qdel="", bkill="",
            bjobs=json.dumps({"RECORDS": [{"JOBID": "7", "STAT": "PEND", "JOB_NAME": named, **reasons}]}),
        )  # fmt: skip
        files = JobFiles(tmp_path / "jobs")
        files.submit(Submission(system, name, REQUEST, 10, 1000.0, run=str(tmp_path)))
        files.record(1, "7")
        assert end(files, "stopped") == found
        assert bool({"qdel", "bkill"} & {*calls.read_text().split()}) == bool(found)
        calls.unlink()


@pytest.mark.parametrize(
    ("there", "found"), [("sbatch qsub", "slurm"), ("bsub", "lsf"), ("qsub", "pbs"), ("flux", "flux")]
)
def test_the_batch_system_is_the_one_whose_commands_are_there(programs: Programs, there: str, found: str) -> None:
    programs(**dict.fromkeys(there.split(), ""))
    assert find_system("auto", {"PATH": os.environ["PATH"].split(":")[0]}) == found


def test_a_batch_system_by_its_name() -> None:
    assert [find_system(name) for name in ("slurm", "pbspro", "torque")] == ["slurm", "pbs", "pbs_classic"]
    with pytest.raises(UsageError, match="there is no batch system 'sge'"):
        find_system("sge")


def test_flux_needs_its_own_package() -> None:
    with pytest.raises(UsageError, match="PSI/J cannot use Flux here"):
        BatchSystem.load("flux")


def test_a_job_inherits_what_belongs_to_the_site_and_not_what_belongs_to_a_job() -> None:
    environment = {
        "SLURM_CONF": "a",
        "SLURM_JOB_ID": "1",
        "PBS_JOBID": "2",
        "PMIX_RANK": "3",
        "SBATCH_QOS": "b",
        "SBATCH_ARRAY_INX": "1-3",
        "A": "",
    }
    assert job_environment(environment) == {"SLURM_CONF": "a", "SBATCH_QOS": "b", "A": ""}
