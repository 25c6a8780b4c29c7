"""Steps that run only in some iterations, and replicas that come from a report: real runs, killed and edited."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PATIENCE, wait_until

if TYPE_CHECKING:
    from tests.conftest import Rose

QUERY = """\
    import json, os
    i = int(os.environ["ROSE_ITERATION"])
    report = {"selected": [f"s{i}.{k}" for k in range(i)], "new": 10 * i, "pool": {"left": 100 - i}}
    json.dump(report, open(os.environ["ROSE_RESULT"], "w"))
"""
LABEL = """\
    import json, os, sys, time
    place = os.environ["ROSE_REPLICA_INDEX"]
    with open("labelled", "a") as file:
        print(sys.argv[1], os.environ["ROSE_REPLICA"], place, flush=True, file=file)
    while not os.path.exists(os.environ["ROSE_CAMPAIGN_DIR"] + "/go"):
        time.sleep(0.02)
    json.dump({"energy": 0.5 + int(place)}, open(os.environ["ROSE_RESULT"], "w"))
"""
TRAIN = """\
    import json, os, sys
    print("trained")
    report = {"rmse": 1 / (1 + int(os.environ["ROSE_ITERATION"])), "as": sys.argv[1:]}
    json.dump(report, open(os.environ["ROSE_RESULT"], "w"))
"""
CAMPAIGN = """\
    max_iter: 4
    tasks:
      query: {executable: python query.py}
      label:
        executable: python label.py {replica}
        replicas: result.selected
      train:
        executable: python train.py {model} {draw} {replica}
        replicas: {model: [cnn, mlp], draw: 2}
        when: result.new >= 20
        adaptive:
          --energy: default(mean(results.label.energy), -1)
          --left: result.pool.left
          --before: default(results.train['mlp-1'].rmse, 9)
    stop: {metric: mse, threshold: 0.01, executable: echo 0.5, when: i % 2 == 1}
    learners: 1
    """


@pytest.fixture
def campaign(rose: Rose) -> Rose:
    for name, text in (("query.py", QUERY), ("label.py", LABEL), ("train.py", TRAIN)):
        rose.script(text, name)
    rose.write(CAMPAIGN)
    return rose


def let_go(rose: Rose) -> None:
    (rose.folder / "go").touch()


def labelled(rose: Rose, run: str) -> list[str]:
    path = rose.folder / f"{run}/learners/learner-0/workspace/labelled"
    return path.read_text().splitlines() if path.exists() else []


def history(rose: Rose, run: str) -> list[Any]:
    """What was decided, what ran with which options and what it reported, and the values; not when."""
    found: list[Any] = []
    options: dict[Any, Any] = {}
    for event in rose.events(run):
        place = tuple(event.get(key) for key in ("iteration", "task", "replica"))
        if event["event"] == "step_decided":
            found.append((*place, event["runs"], event.get("replicas"), event.get("values")))
        elif event["event"] == "attempt_started":
            options[place] = event.get("options")
        elif event["event"] == "attempt_succeeded":
            found.append((*place, options[place], event.get("result"), event.get("value")))
        elif event["event"] == "iteration_finished":
            found.append((event["iteration"], event.get("value")))
    return sorted(found, key=repr)


def test_a_task_runs_only_where_it_is_to_and_with_the_replicas_of_a_report(campaign: Rose) -> None:
    let_go(campaign)
    assert campaign("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert sorted(labelled(campaign, "r")) == sorted(f"s{i}.{k} s{i}.{k} {k}" for i in range(4) for k in range(i))
    decided = [event for event in campaign.events("r") if event["event"] == "step_decided"]
    label = [(each["iteration"], each["runs"], each.get("replicas")) for each in decided if each["task"] == "label"]
    assert label == [
        (0, False, None),
        (1, True, ["s1.0"]),
        (2, True, ["s2.0", "s2.1"]),
        (3, True, ["s3.0", "s3.1", "s3.2"]),
    ]
    assert [each["iteration"] for each in decided if each["task"] == "train" and each["runs"]] == [2, 3]
    assert decided[1]["values"] == {"result.new": 0}
    assert campaign.learners("r")["learner-0"]["history"] == [None, 0.5, None, 0.5]


def test_what_a_step_sees_are_reports_before_it_and_of_earlier_iterations(campaign: Rose) -> None:
    let_go(campaign)
    assert campaign("run", "campaign.yaml", "--run-dir", "r").code == 0
    started = [e for e in campaign.events("r") if e["event"] == "attempt_started" and e["task"] == "train"]
    seen = {(each["iteration"], *each["options"].values()) for each in started}
    assert seen == {(2, 1.0, 98, 9), (3, 1.5, 97, 1 / 3)}
    reports = [
        e["result"]["as"] for e in campaign.events("r") if e["event"] == "attempt_succeeded" and e["task"] == "train"
    ]
    names = sorted(each[:3] for each in reports[:4])
    assert names == [["cnn", "0", "cnn-0"], ["cnn", "1", "cnn-1"], ["mlp", "0", "mlp-0"], ["mlp", "1", "mlp-1"]]


def test_a_killed_run_comes_to_the_history_of_one_that_was_left_alone(campaign: Rose) -> None:
    process = campaign.start("run", "campaign.yaml", "--run-dir", "killed")
    wait_until(lambda: labelled(campaign, "killed") != [])
    os.kill(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)
    let_go(campaign)
    assert campaign("resume", "killed").code == 0
    assert campaign("run", "campaign.yaml", "--run-dir", "alone").code == 0
    assert history(campaign, "killed") == history(campaign, "alone")


def test_what_was_decided_stays_whatever_an_edit_says_and_the_edit_decides_what_follows(campaign: Rose) -> None:
    process = campaign.start("run", "campaign.yaml", "--run-dir", "r")
    wait_until(lambda: labelled(campaign, "r") != [])
    os.kill(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)
    let_go(campaign)
    campaign.write(CAMPAIGN.replace("replicas: result.selected", "replicas: 2 if i > 1 else result.selected"))
    assert campaign("resume", "r").code == 0
    decided = [e for e in campaign.events("r") if e["event"] == "step_decided" and e["task"] == "label"]
    assert [each.get("replicas") for each in decided] == [None, ["s1.0"], ["0", "1"], ["0", "1"]]


WAITING = """\
    max_iter: 1
    tasks:
      first: {executable: 'true'}
      extra: {executable: "sh -c 'echo {replica} >> ran; test {replica} != bad'", replicas: "['bad']", when: i >= 0}
      last: {executable: "test -e {campaign_dir}/go"}
    learners: [{name: a}]
    """


def ran(rose: Rose) -> list[str]:
    path = rose.folder / "r/learners/a/workspace/ran"
    return path.read_text().split() if path.exists() else []


def test_a_step_that_has_not_finished_runs_as_an_edit_says(rose: Rose) -> None:
    rose.write(WAITING)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    let_go(rose)
    rose.write(WAITING.replace("['bad']", "['x', 'y']"))
    called = rose("resume", "r")
    assert (called.code, sorted(ran(rose))) == (0, ["bad", "x", "y"]), called.err


def test_a_step_that_was_left_out_runs_as_an_edit_says_while_nothing_after_it_has_finished(rose: Rose) -> None:
    text = WAITING.replace("i >= 0", "i > 5").replace("['bad']", "['good']")
    rose.write(text)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    let_go(rose)
    rose.write(text.replace("i > 5", "i >= 0"))
    called = rose("resume", "r")
    assert (called.code, ran(rose)) == (0, ["good"]), called.err


def test_an_edit_cannot_run_a_step_before_others_that_have_finished(rose: Rose) -> None:
    text = WAITING.replace("i >= 0", "i > 5").replace("      last", "      next: {executable: 'true'}\n      last")
    rose.write(text)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    let_go(rose)
    rose.write(text.replace("i > 5", "i >= 0"))
    refused = rose("resume", "r")
    assert (refused.code, "when" in refused.err) == (2, True), refused.err


def test_an_edit_that_finished_iterations_contradict_is_refused(campaign: Rose) -> None:
    let_go(campaign)
    campaign.write(CAMPAIGN.replace("max_iter: 4", "max_iter: 3"))
    assert campaign("run", "campaign.yaml", "--run-dir", "r").code == 0
    campaign.write(CAMPAIGN.replace("when: result.new >= 20", "when: result.new >= 10"))
    refused = campaign("resume", "r")
    assert refused.code != 0
    assert "when" in refused.err
    campaign.write(CAMPAIGN.replace("when: result.new >= 20", "when: result.new == 20"))
    assert campaign("resume", "r").code == 0
    decided = [e for e in campaign.events("r") if e["event"] == "step_decided" and e["task"] == "train"]
    assert [each["runs"] for each in decided] == [False, False, True, False]


def test_iterations_that_are_undone_take_their_reports_with_them(campaign: Rose) -> None:
    let_go(campaign)
    assert campaign("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert campaign("resume", "r", "--from-iteration", "3").code == 0
    again = [e for e in campaign.events("r") if e["event"] == "attempt_started" and e["task"] == "train"][-1]
    assert again["options"] == {"--energy": 1.5, "--left": 97, "--before": 1 / 3}


def test_tables_logs_and_exec_know_replicas_by_their_names(campaign: Rose) -> None:
    let_go(campaign)
    assert campaign("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert "train replica mlp-1" in campaign("logs", "r", "learner-0", "3").out
    assert "s2.1 s2.1 1" not in campaign("exec", "r", "learner-0", "2", "label", "--replica", "s2.1").err
    unknown = campaign("exec", "r", "learner-0", "2", "label", "--replica", "s9")
    assert "choose from s2.0, s2.1" in unknown.err
    assert "did not run" in campaign("exec", "r", "learner-0", "0", "train").err
    rows = campaign("export", "r", "--table", "tasks", "--format", "jsonl").out
    assert '"replica_name": "mlp-1"' in rows or '"replica_name":"mlp-1"' in rows
    columns = campaign("export", "r", "--format", "csv").out.splitlines()[0].split(",")
    assert {"replica.train.cnn-0.rmse", "replica.train.mlp-1.rmse", "replica.label.2.energy"} <= {*columns}


def test_a_condition_or_a_number_of_replicas_without_a_value_fails_the_step(rose: Rose) -> None:
    rose.write("""\
        max_iter: 1
        tasks:
          a: {executable: "true"}
          b: {executable: "true", when: result.nothing > 1, on_failure: continue}
          c: {executable: "true", replicas: result.nothing, on_failure: continue}
        learners: 1
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    failed = [e["message"] for e in rose.events("r") if e["event"] == "attempt_failed"]
    assert failed == [
        "'when' has no value: `result.nothing` has no value yet at i=0",
        "'replicas' has no value: `result.nothing` has no value yet at i=0",
    ]


def test_an_option_without_a_value_is_named_with_what_was_reported_instead(rose: Rose) -> None:
    rose.write(
        "import json, os, pathlib\npathlib.Path(os.environ['ROSE_RESULT']).write_text('{\"mse\": 1, \"acc\": 2}')\n",
        "a.py",
    )
    rose.write("""\
        max_iter: 1
        tasks:
          a: {executable: python a.py}
          b: {executable: echo, adaptive: {--lr: result.accc}, on_failure: continue}
          c: {executable: echo, adaptive: {--lr: results.a.mes}, on_failure: continue}
          d: {executable: echo, when: result.axc > 1, on_failure: continue}
        learners: 1
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    failed = [e["message"] for e in rose.events("r") if e["event"] == "attempt_failed"]
    nothing = "has no value yet at i=0: nothing is reported under this key"
    instead = "; reported are 'mse', 'acc'; did you mean"
    assert failed == [
        f"the option '--lr' has no value: `result.accc` has no value yet at i=0{instead} 'acc'?",
        f"the option '--lr' has no value: `results.a.mes` {nothing}{instead} 'mse'?",
        f"'when' has no value: `result.axc` has no value yet at i=0{instead} 'acc'?",
    ]


def test_an_edited_parameter_decides_anew_like_an_edited_condition(rose: Rose) -> None:
    text = """
        parameters: {n: 6}
        tasks:
          rare: {executable: "true", when: i >= n}
          sim: {executable: "test ! -e {campaign_dir}/broken", shell: true}
        max_iter: 1
        learners: 1
        """
    (rose.folder / "broken").touch()
    rose.write(text)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    (rose.folder / "broken").unlink()
    rose.write(text.replace("n: 6", "n: 0"))
    assert rose("resume", "r").code == 0
    decided = [event["runs"] for event in rose.events("r") if event["event"] == "step_decided"]
    assert decided == [False, True]


def test_a_parameter_by_which_a_step_was_left_out_cannot_change_what_is_finished(rose: Rose) -> None:
    text = """
        parameters: {n: 6}
        tasks: {rare: {executable: "true", when: i >= n}, sim: {executable: "true"}}
        max_iter: 1
        learners: 1
        """
    rose.write(text)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    rose.write(text.replace("n: 6", "n: 0"))
    refused = rose("resume", "r", "--max-iter", "2")
    assert (refused.code, "iteration 0 of learner-0 ran with 6" in refused.err) == (2, True), refused.err
    rose.write(text.replace("n: 6", "n: 1"))
    assert rose("resume", "r", "--max-iter", "2").code == 0
    decided = [event["runs"] for event in rose.events("r") if event["event"] == "step_decided"]
    assert decided == [False, True]
