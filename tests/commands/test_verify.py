"""`rose verify`: whether the files of a run are still those of the run, and whether it gives the same results again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import rose_cli
from rose_cli.commands.rerun import plan_of_rerun
from rose_cli.plan.file import dump_plan, load_plan
from rose_cli.plan.model import NotifyPlan, SlurmPlan, TrackerPlan
from rose_cli.run_info import read_run
from rose_cli.runs.directory import RunDirectory
from tests.conftest import PATIENCE, Rose, wait_until

if TYPE_CHECKING:
    from pathlib import Path

CAMPAIGN = r"""
name: small
seed: 5
tasks:
  simulation: {executable: [sh, ./sim.sh], options: {--n: 10}}
  training: {executable: [sh, -c, 'echo x > model.txt; echo "{{\"loss\": 0.5}}" > $ROSE_RESULT']}
stop: {metric: mse, threshold: 0.2, executable: [sh, -c, 'echo 0.$((3 - $ROSE_ITERATION))$ROSE_SEED']}
max_iter: 4
learners:
  - {name: a}
  - {name: b c, training: {executable: [sh, -c, 'exit 3']}}
  - {name: 'd', max_iter: 1}
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Rose:
    rose = Rose(tmp_path_factory.mktemp("verify"))
    rose.write(CAMPAIGN)
    rose.write("echo hi > out.txt\n", "sim.sh")
    assert rose("run", "campaign.yaml", "--run-dir", "r", "-o", "quiet").code == 1
    return rose


@pytest.fixture
def run(rose: Rose, original: Rose) -> Rose:
    shutil.copytree(original.folder, rose.folder, dirs_exist_ok=True)
    return rose


def verified(rose: Rose, *words: str | Path, code: int = 0) -> dict[str, Any]:
    called = rose("verify", "r", "--format", "json", *words)
    assert called.code == code, called.err + called.out
    found: dict[str, Any] = json.loads(called.out)
    return found


def faults(found: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["verdict"] for each in found["files"] if each["verdict"] != "same"}


def test_nothing_has_changed(run: Rose) -> None:
    found = verified(run)
    assert (found["verdict"], found["campaign_file"], found["rerun"], faults(found)) == ("same", "same", None, {})
    assert {each["name"] for each in found["files"]} == {
        "journal.jsonl", "plan.json", "campaign.yaml", "sim.sh", "model.txt", "out.txt",
    }  # fmt: skip
    assert {each["name"]: each["by"] for each in found["files"]}["model.txt"] == "size"
    assert run("verify", "r").out == "'r': 9 files as recorded\n"


def test_what_is_changed_missing_and_new_is_named(run: Rose) -> None:
    workspace = run.folder / "r" / "learners" / "a" / "workspace"
    (workspace / "model.txt").write_text("longer than before")
    (workspace / "out.txt").unlink()
    (workspace / "new\n\x1b[31m.txt").write_text("x")
    (run.folder / "sim.sh").write_text("echo other")
    with (run.folder / "r" / "plan.json").open("a") as file:
        file.write("\n")
    found = verified(run, code=1)
    assert faults(found) == {
        "model.txt": "changed", "out.txt": "missing", "new\n\x1b[31m.txt": "new", "sim.sh": "changed",
        "plan.json": "changed",
    }  # fmt: skip
    assert found["counts"] == {"same": 5, "changed": 3, "missing": 1, "new": 1, "unknown": 0}
    called = run("verify", "r")
    assert called.code == 1
    assert "changed  'model.txt' (workspace of a): it had 2 bytes, and has 18\n" in called.out
    assert "missing  'out.txt' (workspace of a)\n" in called.out
    assert "\x1b" not in called.out
    assert called.out.endswith("'r': 5 files as recorded, 3 files changed, 1 file missing, 1 file new\n")


@pytest.mark.parametrize(
    ("change", "name", "verdict"),
    [
        (lambda folder: (folder / "r" / "campaign.yaml").unlink(), "campaign.yaml", "missing"),
        (lambda folder: (folder / "r" / "campaign.yaml").write_text("x"), "campaign.yaml", "changed"),
        (lambda folder: (folder / "sim.sh").unlink(), "sim.sh", "missing"),
        (lambda folder: shutil.rmtree(folder / "r" / "learners" / "a" / "workspace"), "model.txt", "missing"),
    ],
)
def test_each_kind_of_change(run: Rose, change: Any, name: str, verdict: str) -> None:
    change(run.folder)
    assert faults(verified(run, code=1))[name] == verdict


def test_a_pipe_in_place_of_an_input_is_a_change(run: Rose) -> None:
    (run.folder / "sim.sh").unlink()
    os.mkfifo(run.folder / "sim.sh")
    assert faults(verified(run, code=1)) == {"sim.sh": "changed"}


def test_a_damaged_journal_is_a_change(run: Rose) -> None:
    path = run.folder / "r" / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"seconds":0', b'"seconds":9', 1))
    found = verified(run, code=1)
    assert faults(found)["journal.jsonl"] == "changed"


def test_an_edited_campaign_file_does_not_affect_the_run(run: Rose) -> None:
    with (run.folder / "campaign.yaml").open("a") as file:
        file.write("# edited\n")
    assert verified(run)["campaign_file"] == "changed"
    assert "was edited since; the run has its own copy" in run("verify", "r").err.replace("\n", " ")


def test_a_run_without_its_campaign_file_can_be_verified(rose: Rose) -> None:
    rose.write("{tasks: {work: {executable: 'true'}}, learners: 1, max_iter: 1}\n")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    (rose.folder / "campaign.yaml").unlink()
    assert verified(rose, "--rerun")["campaign_file"] == "missing"


def test_a_crate_tells_more_than_sizes(run: Rose) -> None:
    for name in ("crate", "crate.zip"):
        assert run("export", "r", "--format", "ro-crate", "-o", name).code == 0
    assert verified(run, "--crate", "crate")["verdict"] == "same"
    (run.folder / "r" / "learners" / "a" / "workspace" / "model.txt").write_text("y\n")
    assert verified(run)["verdict"] == "same", "its size is the same"
    log = run.folder / "r" / "learners" / "a" / "logs" / "0" / "criterion.1.out"
    log.write_text("0.1\n")
    (run.folder / "r" / "learners" / "a" / "logs" / "1" / "criterion.1.out").unlink()
    with (run.folder / "r" / "journal.jsonl").open("a") as file:
        file.write('{"seq":')
    for name in ("crate", "crate.zip"):
        assert faults(verified(run, "--crate", name, code=1)) == {
            "learners/a/workspace/model.txt": "changed",
            "learners/a/logs/0/criterion.1.out": "changed",
            "learners/a/logs/1/criterion.1.out": "missing",
        }


@pytest.mark.parametrize(
    "text", ["", "[]", '{"@graph": 3}', '{"@graph": [{"@id": "x", "sha256": "y"}]}', "[" * 100_000]
)
def test_what_is_no_crate_is_refused(run: Rose, text: str) -> None:
    (run.folder / "crate").mkdir()
    (run.folder / "crate" / "ro-crate-metadata.json").write_text(text)
    called = run("verify", "r", "--crate", "crate")
    assert (called.code, "cannot be read as a crate" in called.err) == (2, True)
    os.mkfifo(run.folder / "pipe")
    for name in ("missing", "pipe", "/dev/zero"):
        assert run("verify", "r", "--crate", name).code == 2


def test_a_crate_without_checksums_confirms_nothing(run: Rose) -> None:
    (run.folder / "crate").mkdir()
    for graph in ([], [{"@id": "journal.jsonl"}]):
        (run.folder / "crate" / "ro-crate-metadata.json").write_text(json.dumps({"@graph": graph}))
        called = run("verify", "r", "--crate", "crate")
        assert (called.code, "it has no checksums" in called.err) == (2, True)


def test_a_journal_without_its_last_records_is_noticed_with_a_crate(run: Rose) -> None:
    assert run("export", "r", "--format", "ro-crate", "-o", "crate").code == 0
    journal = run.folder / "r" / "journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    assert verified(run)["verdict"] == "same"
    assert faults(verified(run, "--crate", "crate", code=1)) == {"journal.jsonl": "changed"}


def test_a_crate_of_a_forger_reads_nothing_outside(run: Rose) -> None:
    entity = {"@id": "learners/../../../etc/passwd", "contentSize": "1", "sha256": "0"}
    (run.folder / "crate").mkdir()
    (run.folder / "crate" / "ro-crate-metadata.json").write_text(json.dumps({"@graph": [entity]}))
    (found,) = (each for each in verified(run, "--crate", "crate", code=1)["files"] if each["part"] == "crate")
    assert found["verdict"] == "changed"
    assert "outside the run directory" in found["detail"]


# --- the second run --------------------------------------------------------------------------------------------------


def test_a_rerun_gives_the_same_history(run: Rose) -> None:
    (run.folder / "campaign.yaml").write_text("tasks: of another campaign by now\n")
    before = sorted(run.folder.rglob("*"))
    found = verified(run, "--rerun")
    assert found["rerun"]["verdict"] == "same"
    assert found["rerun"]["metrics"] == {"equal": 4, "close": 0, "different": 0, "missing": 0}
    assert found["rerun"]["directory"] is None
    assert sorted(run.folder.rglob("*")) == before
    called = run("verify", "r", "--rerun", "--learner", "a")
    assert called.out.splitlines()[1:] == [
        "✓ a: 6 values equal, stopped for the same reason", "the history is the same",
    ]  # fmt: skip


def test_a_rerun_that_differs_says_where(run: Rose) -> None:
    again = "echo 0.$([ -e {campaign_dir}/again ] && echo 9)$((3"
    run.write(CAMPAIGN.replace("echo 0.$((3", again))
    shutil.rmtree(run.folder / "r")
    assert run("run", "campaign.yaml", "--run-dir", "r", "-o", "quiet").code == 1
    (run.folder / "again").touch()
    found = verified(run, "--rerun", "--learner", "a", "--in", "second", code=1)
    assert found["rerun"]["verdict"] == "different"
    assert found["rerun"]["metrics"]["different"] > 0
    assert run.status("second/run")["campaign"] == "small"
    called = run("verify", "r", "--rerun", "--learner", "a")
    assert called.code == 1
    assert "iteration 0: mse is 0.9" in called.out
    assert called.out.endswith("the history is not the same\n")


def test_a_tolerance_accepts_what_is_near(rose: Rose) -> None:
    rose.write(r"""
        tasks: {work: {executable: 'true'}}
        stop: {metric: mse, threshold: 0.001, executable: [sh, -c, 'echo 0.10000$(date +%N)']}
        learners: 1
        max_iter: 2
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert verified(rose, "--rerun", code=1)["rerun"]["metrics"]["different"] == 2
    found = verified(rose, "--rerun", "--tolerance", "0.01")
    assert (found["rerun"]["verdict"], found["rerun"]["metrics"]["close"]) == ("same", 2)


def test_reported_values_count_where_there_is_no_metric(rose: Rose) -> None:
    report = r"""executable: [sh, -c, 'echo "{{\"t\": $(date +%s%N)}}" > $ROSE_RESULT']"""
    rose.write(f"{{tasks: {{work: {{{report}}}}}, learners: 1, max_iter: 1}}\n")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert verified(rose, "--rerun", code=1)["rerun"]["verdict"] == "different"
    rose.write(
        f"{{tasks: {{work: {{{report}}}}}, stop: {{metric: mse, threshold: 0.001, executable: [echo, 0.5]}}, "
        "learners: 1, max_iter: 1}\n"
    )
    shutil.rmtree(rose.folder / "r")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    called = rose("verify", "r", "--rerun")
    assert called.code == 0
    assert "(reported, does not count)" in called.out


def test_an_interrupted_run_is_rerun_as_far_as_it_came(rose: Rose) -> None:
    rose.write("""
        tasks: {work: {executable: [sh, -c, '[ $ROSE_ITERATION != 2 ] || sleep 1000']}}
        stop: {metric: mse, threshold: 0.001, executable: [echo, 0.5]}
        learners: 1
        max_iter: 5
        """)
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "-o", "quiet")
    journal = rose.folder / "r" / "journal.jsonl"
    wait_until(lambda: journal.exists() and journal.read_text().count('"iteration_finished"') == 2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    found = verified(rose, "--rerun")
    assert found["rerun"]["metrics"]["equal"] == 2


def test_an_interrupted_rerun_leaves_nothing_and_says_what_is_missing(rose: Rose) -> None:
    rose.write("""
        tasks: {work: {executable: [sh, -c, '[ ! -e $ROSE_CAMPAIGN_DIR/again ] || sleep 1000']}}
        stop: {metric: mse, threshold: 0.001, executable: [echo, 0.5]}
        learners: 1
        max_iter: 1
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    (rose.folder / "again").touch()
    (rose.folder / "tmp").mkdir()
    process = rose.start("verify", "r", "--rerun", TMPDIR=str(rose.folder / "tmp"))
    wait_until(lambda: any("attempt_started" in p.read_text() for p in rose.folder.glob("tmp/*/run/journal.jsonl")))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "iteration 0: mse is missing" in out
    assert "was interrupted" in err
    assert not list((rose.folder / "tmp").glob("rose-verify-*"))


def test_a_modified_plan_is_not_run_without_consent(run: Rose) -> None:
    path = run.folder / "r" / "plan.json"
    path.write_text(path.read_text().replace("./sim.sh", "./evil.sh"))
    run.write("touch $ROSE_CAMPAIGN_DIR/evil\n", "evil.sh")
    called = run("verify", "r", "--rerun")
    assert (called.code, "modified after rose wrote it" in called.err.replace("\n", " ")) == (4, True)
    assert "`rose verify --rerun r --trust`" in called.err.replace("\n", " ")
    assert not (run.folder / "evil").exists()
    run("verify", "r", "--rerun", "--trust")
    assert (run.folder / "evil").exists()


def test_another_users_run_is_not_rerun_without_consent(run: Rose) -> None:
    (run.folder / "r").chmod(0o777)
    called = run("verify", "r", "--rerun")
    assert (called.code, "is not yours alone" in called.err.replace("\n", " ")) == (4, True)
    assert verified(run)["verdict"] == "same", "only reading it needs no consent"


@pytest.mark.parametrize("words", [("--tolerance", "1"), ("--keep",), ("--in", "x"), ("--learner", "a"), ("--trust",)])
def test_options_of_a_rerun_need_it(run: Rose, words: tuple[str, ...]) -> None:
    called = run("verify", "r", *words)
    assert (called.code, "needs --rerun" in called.err) == (2, True)


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "x"])
def test_a_tolerance_is_a_share(run: Rose, text: str) -> None:
    called = run("verify", "r", "--rerun", f"--tolerance={text}")
    assert (called.code, f"--tolerance cannot be '{text}'" in called.err) == (2, True)


def test_a_directory_that_is_used_is_refused(run: Rose) -> None:
    assert run("verify", "r", "--rerun", "--in", ".").code == 4
    assert (run.folder / "r" / "plan.json").exists()


def test_a_run_without_history_is_not_rerun(rose: Rose) -> None:
    rose.write("{tasks: {work: {executable: [sleep, '1000']}}, learners: 1, max_iter: 1}\n")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "-o", "quiet")
    journal = rose.folder / "r" / "journal.jsonl"
    wait_until(lambda: journal.exists() and "attempt_started" in journal.read_text())
    assert "still running" in rose("verify", "r", "--rerun").err
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    called = rose("verify", "r", "--rerun")
    assert (called.code, "no history to compare" in called.err) == (2, True)


def test_an_expression_that_reads_max_iter_sees_the_same_one(rose: Rose) -> None:
    rose.write("""
        tasks: {work: {executable: [echo]}}
        stop: {metric: mse, threshold: 0.75, executable: [sh, -c, 'echo 0.$((9 - $ROSE_ITERATION))']}
        learners: [{name: learner-0, work: {adaptive: {--v: 0.5 + i / max_iter}}}]
        max_iter: 10
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert len(rose.learners("r")["learner-0"]["history"]) < 10
    called = rose("verify", "r", "--rerun")
    assert called.code == 0
    assert "an expression reads max_iter" in called.err.replace("\n", " ")
    assert verified(rose, "--rerun", "--in", "second")["rerun"]["verdict"] == "same"
    first, second = (
        [event.get("options") for event in rose.events(run) if event["event"] == "attempt_started"]
        for run in ("r", "second/run")
    )
    assert first == second
    assert {"--v": 0.6} in first


def test_tasks_of_other_nodes_need_a_directory_that_they_can_use(run: Rose, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = load_plan(run.folder / "r" / "plan.json")
    slurm = replace(plan.engine, kind="slurm", slurm=SlurmPlan(None, ()), cores=None, gpus=None)
    (run.folder / "r" / "plan.json").write_text(dump_plan(replace(plan, engine=slurm), run.folder / "r"))
    called = run("verify", "r", "--rerun", "--trust")
    assert (called.code, "add --in DIR" in called.err) == (2, True)


def test_a_rerun_neither_tracks_nor_notifies(run: Rose) -> None:
    info = read_run(RunDirectory.at(run.folder / "r"), kept=True)
    command = info.plan.learners[0].steps[0].command(0)
    plan = replace(info.plan, track=(TrackerPlan("mlflow", {}),), notify=NotifyPlan(command, ("finished",), 60.0))
    again = plan_of_rerun(replace(info, plan=plan), ())
    assert (again.track, again.notify) == ((), None)


DECIDED = """\
max_iter: 5
tasks:
  work: {executable: [sh, -c, 'echo "{{\\"count\\": $(( $ROSE_ITERATION + $2 ))}}"', work], options: {--add: 1}}
stop: {metric: result.count, operator: ">", threshold: 1000}
learners: [{name: a}, {name: b}]
"""


def test_a_rerun_repeats_the_decisions_of_the_program(rose: Rose) -> None:
    def decide(state: rose_cli.Iteration) -> rose_cli.Decision | None:
        if (state.learner, state.number) == ("b", 2):
            return rose_cli.Decision(stop=True, message="enough of b")
        if state.number % 2:
            return None
        change = rose_cli.TaskChange(options={"--add": 10 + state.result["count"]})
        return rose_cli.Decision(tasks={"work": change})

    campaign = rose_cli.load(rose.write(DECIDED))
    run = campaign.run(decide=decide, run_dir=rose.folder / "r", output="quiet")
    assert [learner.history[-1] for learner in run.learners.values()] == [27, 13]
    found = verified(rose, "--rerun")["rerun"]
    assert found["verdict"] == "same"
    assert found["metrics"] == {"equal": 8, "close": 0, "different": 0, "missing": 0}
    (end,) = (value for value in found["values"] if value["kind"] == "end")
    assert (end["learner"], end["before"], end["after"]) == ("b", "decided", "decided")


FUNCTIONS = """\
import asyncio, os
from rose_cli import ParallelActiveLearner, ResourceEngine

learner = ParallelActiveLearner(ResourceEngine({"resource": "local.localhost", "runtime": 30}))
known = {"scale": 3}


@learner.simulation_task(as_executable=False)
def simulation(*args, **kwargs):
    return {"n": known["scale"]}


@learner.training_task(as_executable=False)
def training(simulated, *args, **kwargs):
    return {"loss": simulated["n"] / 2}


@learner.active_learn_task(as_executable=False)
def active_learn(*args, **kwargs):
    return {"chosen": 1}


@learner.as_stop_criterion(metric_name="mean_squared_error_mse", threshold=0.2, as_executable=False)
def check(*args, **kwargs):
    return 0.3 / (1 + int(os.environ["ROSE_ITERATION"]))


learner.teach(parallel_learners=2, max_iter=3)
"""


def test_a_rerun_has_the_functions_of_the_program(rose: Rose) -> None:
    script = rose.write(FUNCTIONS, "program.py")
    done = subprocess.run([sys.executable, script], cwd=rose.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (rose.folder / "rose-runs" / "latest").resolve().rename(rose.folder / "r")
    found = verified(rose, "--rerun", "--in", "second")["rerun"]
    assert found["verdict"] == "same"
    assert {value["match"] for value in found["values"]} == {"equal"}
    assert not (rose.folder / "second" / "run" / "python" / "script.json").exists()
