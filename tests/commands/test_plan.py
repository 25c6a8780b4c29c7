"""`rose plan`, for people and for programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Rose


def test_a_plan_as_json(campaign: Rose) -> None:
    plan = campaign.json("plan", "campaign.yaml", "--format", "json")
    assert list(plan)[:4] == ["campaign", "file", "engine", "learners"]
    bounds = {name: plan[name] for name in ("most_commands", "most_attempts", "limits")}
    limits = {"max_parallel_learners": None, "wall_time": None, "stop_after_converged": None, "prune": None}
    assert bounds == {"most_commands": 10, "most_attempts": 10, "limits": limits}
    assert plan["most_at_once"] in (1, 2), "as many as this machine has cores for"
    adaptive, short = plan["learners"]
    assert list(adaptive)[:5] == ["name", "index", "seed", "max_iter", "criterion"]
    assert (adaptive["more_criteria"], adaptive["stop_rule"]) == ([], None)
    assert list(adaptive)[-2:] == ["files", "iterations"]
    assert adaptive["criterion"] == {
        "metric": "own", "operator": "<=", "threshold": 0.0, "patience": None, "min_delta": 0.0,
        "min_delta_share": 0.0, "min_iter": 1, "value": None,
    }  # fmt: skip
    assert [entry["iteration"] for entry in adaptive["iterations"]] == [0, 1, 2, 3]
    first, second, _, last = (entry["tasks"][0] for entry in adaptive["iterations"])
    assert list(first)[:5] == ["name", "command", "program", "options", "env"]
    resources = {
        "when": None,
        "replica_names": None,
        "replicas_from": None,
        "replicas": 1,
        "ranks": 1,
        "cores": 1,
        "gpus": 0,
        "mem": 0,
        "timeout": None,
        "retries": 0,
    }
    assert {name: first[name] for name in resources} == {name: second[name] for name in resources} == resources
    words = [sys.executable, str(campaign.folder / "sim.py"), "--n", "1", "--rate", "1e-3"]
    assert first["command"] == [*words, "--noise", "0.1", "--last", "0"]
    assert last["command"] == [*words, "--noise", str(0.1 * 0.95**3), "--last", "0"]
    assert first["options"] == {"--n": 1, "--rate": 0.001, "--noise": 0.1, "--last": 0}
    assert first["env"]["ROSE_LEARNER"] == "adaptive"
    assert second["command"] is None
    assert second["unknown"] == "known only during the run: `metric` has no value yet at i=1"
    assert [task["name"] for task in short["iterations"][0]["tasks"]] == ["simulation", "criterion"]
    assert short["iterations"][0]["tasks"][0]["options"] == {"--rate": 0.001, "--flag": True}


def test_a_plan_for_people_and_parts_of_it(campaign: Rose) -> None:
    called = campaign("plan", "campaign.yaml", "--learner", "adaptive", "--iteration", "3")
    assert called.out.splitlines()[2].startswith("adaptive (max_iter 4, stops at own <= 0, seed ")
    assert f"3  simulation     {sys.executable} {campaign.folder}/sim.py --n 1 --rate 1e-3 --noise 0.0857" in called.out
    assert "short" not in called.out
    assert campaign("plan", "campaign.yaml", "--iteration", "4").code == 2
    assert campaign("plan", "campaign.yaml", "--learner", "adaptiv").code == 2


def test_a_plan_without_an_end_is_shown_for_ten_iterations(rose: Rose) -> None:
    rose.write("""
        tasks: {t: {executable: echo, args: ["{workspace}/x"]}}
        stop: {metric: mse, threshold: 0.1, executable: echo 1}
        learners: 1
        """)
    (learner,) = rose.json("plan", "campaign.yaml", "--format", "json")["learners"]
    assert [each["iteration"] for each in learner["iterations"]] == list(range(10))
    assert learner["iterations"][0]["tasks"][0]["command"] == ["echo", "{workspace}/x"]
    plan = rose.json("plan", "campaign.yaml", "--format", "json", "--iteration", "99")
    assert [each["iteration"] for each in plan["learners"][0]["iterations"]] == [99]


RANGES = """
    max_iter: 10
    tasks: {t: {executable: echo, adaptive: {--n: "min(i, 3)"}, replicas: 2}}
    learners: [{name: a}, {name: b, max_iter: 4}]
    """


def labels(text: str) -> list[str]:
    """What stands before the tasks of a full plan."""
    return [line.partition("t ")[0].strip() for line in text.splitlines() if " echo --n" in line]


def test_some_iterations_are_shown_in_full_and_equal_ones_once(rose: Rose) -> None:
    rose.write(RANGES)
    for words, found in {
        ("2-4,6",): ["2", "3-4, 6", "2", "3"],
        ("0", "0,9"): ["0", "9", "0"],
        (" 8+",): ["8-9"],
        ("1..2",): ["1", "2", "1", "2"],
    }.items():
        called = rose("plan", "campaign.yaml", *(part for word in words for part in ("--iteration", word)))
        assert (called.code, labels(called.out)) == (0, found), called.err
    assert "  (its last iteration is 3)\n" in rose("plan", "campaign.yaml", "--iteration", "8").out
    assert labels(rose("plan", "campaign.yaml", "--full").out) == [*map(str, range(10)), *map(str, range(4))]
    assert labels(rose("plan", "campaign.yaml", "--full", "--iteration", "3-5").out) == ["3", "4", "5", "3"]
    shown = rose.json("plan", "campaign.yaml", "--format", "json", "--iteration", "2-4")["learners"]
    assert [[each["iteration"] for each in learner["iterations"]] for learner in shown] == [[2, 3, 4], [2, 3]]


def test_iterations_that_cannot_be_shown_are_refused(rose: Rose) -> None:
    rose.write(RANGES)
    for word, said in {
        "10": "no learner has iteration 10",
        "0-10": "no learner has iteration 10",
        "3-0": "write 0-3",
        "-1": "not '-1'",
        "x": "--iteration 0,2,5-7",
        "": "not ''",
    }.items():
        called = rose("plan", "campaign.yaml", f"--iteration={word}")
        assert (called.code, said in called.err.replace("\n", " ")) == (2, True), called.err
    rose.write("{tasks: {t: {executable: echo}}, stop: {metric: mse, threshold: 1, executable: echo 1}, learners: 1}")
    assert "no max_iter" in rose("plan", "campaign.yaml", "--iteration", "3+").err
    assert rose("plan", "campaign.yaml", "--iteration", "99999-100001").code == 0


def test_a_command_that_needs_results_is_shown_with_its_expression(campaign: Rose) -> None:
    out = campaign("plan", "campaign.yaml", "--learner", "adaptive", "--iteration", "1").out
    known = "--noise 0.095 --last '<0 if i == 0 or i == 3 else metric>'"
    assert f"{known}  (known only during the run: `metric` has no value yet at i=1)\n" in out


def test_warnings_that_a_setting_causes_are_shown_with_the_plan(rose: Rose) -> None:
    """The file alone has none, and the values that they are about are not those of the command line."""
    rose.write("""
        max_iter: 9
        tasks: {t: {executable: echo}}
        stop: {metric: mse, patience: 5, executable: echo 1}
        learners: 1
        """)
    assert rose("plan", "campaign.yaml").err == ""
    for words in (
        ("plan", "campaign.yaml", "--set", "max_iter=2"),
        ("run", "campaign.yaml", "--dry-run", "--max-iter", "2"),
        ("run", "campaign.yaml", "--max-iter", "2", "--output", "quiet"),
    ):
        err = rose(*words).err.replace("\n", " ")
        assert err.startswith("warning[patience-too-long]: campaign.yaml:4:31: a patience of 5")
        assert err.count("warning") == 1


def test_a_plan_says_how_to_see_the_rest_of_it(campaign: Rose) -> None:
    last = campaign("plan", "campaign.yaml").out.splitlines()[-1]
    assert last == "full commands: `--iteration 0-3` shows those of some iterations, `--full` all"


def test_in_a_batch_job_the_variables_that_describe_tasks_are_shown(rose: Rose) -> None:
    rose.write("""
        name: c
        max_iter: 1
        engine: {kind: local, cores: 2}
        env: {LSB_DJOB_NUMPROC: 3}
        tasks: {simulation: {executable: "true", cores_per_rank: 2}, training: {executable: "true"}}
        learners: 1
        """)
    job = {"PBS_JOBID": "7.head", "NCPUS": "16", "LSB_JOBID": "7", "LSB_DJOB_NUMPROC": "16"}
    shown = rose("plan", "campaign.yaml", "--full", **job).out
    assert shown.endswith("""
in this batch job, rose sets for simulation:
  NCPUS=2

in this batch job, rose sets for training:
  NCPUS=1
""")
    assert "NCPUS" not in rose("plan", "campaign.yaml", "--full").out


DECIDED = """
    max_iter: 2
    env: {MESH: fine}
    setup: {pool: {executable: "sh pool.sh {shared}/pool.csv"}}
    tasks:
      label: {executable: "echo {replica}", replicas: result.selected, when: i > 0}
      train: {executable: echo train, when: i == 0 or result.n > 1}
    finish: {table: {executable: echo table}}
    learners: 1
    """


def test_a_condition_stands_beside_its_task_and_one_that_is_false_leaves_it_out(rose: Rose) -> None:
    rose.write(DECIDED)
    (rose.folder / "pool.sh").write_text("", encoding="utf-8")
    lines = rose("plan", "campaign.yaml", "--iteration", "0-1").out.splitlines()
    label, train, later = [line for line in lines if line[8:].startswith(("label", "train"))][:3]
    assert label.endswith("(not in this iteration: runs when i > 0)")
    assert train.endswith("echo train  (when i == 0 or result.n > 1)")
    assert later.endswith("echo '{replica}'  (replicas from result.selected, when i > 0)")
    plan = rose.json("plan", "campaign.yaml", "--format", "json")
    first, second = (each["tasks"][0] for each in plan["learners"][0]["iterations"])
    assert (first["command"], first["unknown"]) == (None, "not in this iteration: runs when i > 0")
    assert second["command"] == ["echo", "{replica}"]
    assert plan["most_commands"] is None


def test_the_lists_below_a_plan_have_the_tasks_of_the_campaign_and_only_its_files(rose: Rose) -> None:
    rose.write(DECIDED)
    (rose.folder / "pool.sh").write_text("", encoding="utf-8")
    lines = rose("plan", "campaign.yaml").out.splitlines()
    at = next(place for place, line in enumerate(lines) if line.startswith("environment variables of"))
    assert lines[at : at + 2] == ["environment variables of pool, table, label, train:", "  MESH=fine"]
    beside = next(line for line in lines if line.startswith("beside the campaign file"))
    assert beside.endswith(": pool.sh")
