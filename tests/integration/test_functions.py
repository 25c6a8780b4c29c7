"""Functions as tasks: a campaign of them runs, resumes and is shown as one of commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Rose

if TYPE_CHECKING:
    from pathlib import Path

MODULE = """\
    from pathlib import Path

    import beside

    def simulate(n_samples, seed, iteration, replica=0, **more):
        print("simulating")
        print('{"printed": 1}')
        return {"samples": n_samples * beside.FACTOR, "replica": replica, **more}

    def train(results, lr=0.1):
        if lr > 5:
            raise ValueError(f"lr {lr} is too large")
        Path("model.txt").write_text(str(results))
        return 12.5

    def label(results):
        return None

    def check(results, iteration):
        print("loss = not a number")
        return 1 / 3 / (iteration + 1)

    def check_report():
        return {"val": {"mse": 0.25}, "epochs": 3}
    """

CAMPAIGN = """
    name: f
    max_iter: 3
    seed: 1
    tasks:
      sim: {function: own:simulate, options: {--n-samples: 300, --tag: "{learner}"}, replicas: 2}
      train: {function: own:train, adaptive: {--lr: 0.1 * i + 1}}
      label: {function: own:label}
    stop: {metric: mse, threshold: 0.01, function: own:check}
    learners: [{name: a}]
    """


def written(folder: Path, campaign: str = CAMPAIGN) -> Rose:
    rose = Rose(folder)
    rose.write(MODULE, "own.py")
    rose.write("FACTOR = 2", "beside.py")
    rose.write(campaign)
    (folder / "rose-runs").mkdir()
    return rose


RUN = ("--run-dir", "rose-runs/r", "--output", "plain")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Rose:
    rose = written(tmp_path_factory.mktemp("functions"))
    called = rose("run", "campaign.yaml", *RUN)
    assert called.code == 0, called.err
    return rose


def test_what_a_function_returns_is_its_report_and_its_metric_to_the_last_digit(run: Rose) -> None:
    (learner,) = run.status("rose-runs/r")["learners"]
    events = [event for event in run.events("rose-runs/r") if event["event"] == "attempt_succeeded"]
    last = {(event["task"], event["replica"]): event for event in events[-5:]}
    assert last["sim", 1]["result"] == {"samples": 600, "replica": 1, "tag": "a"}
    assert last["train", 0]["result"] == {"value": 12.5}
    assert last["label", 0].get("result", {}) == {}
    assert last["criterion", 0]["value"] == 1 / 3 / 3
    assert learner["metric_value"] == 1 / 3 / 3


def test_a_function_gets_the_reports_of_the_tasks_before_it(run: Rose) -> None:
    found = (run.folder / "rose-runs/r/learners/a/workspace/model.txt").read_text()
    reports = [{"samples": 600, "replica": number, "tag": "a"} for number in (0, 1)]
    assert found == str({"sim": reports})
    given = json.loads((run.folder / "rose-runs/r/learners/a/logs/2/criterion.1.results.json").read_text())
    assert given == {"sim": reports, "train": {"value": 12.5}, "label": {}}


def test_its_output_is_in_the_logs_as_always(run: Rose) -> None:
    assert "simulating\n" in run("logs", "rose-runs/r", "a", "0", "sim").out


def test_a_plan_shows_the_functions_with_their_options(run: Rose) -> None:
    page = run("plan", "campaign.yaml").out
    assert "own:simulate --n-samples=300 --tag={learner}" in page
    full = run("plan", "campaign.yaml", "--iteration", "1").out
    assert "own:train --lr=1.1" in full


def test_exec_calls_a_function_again_and_shows_what_it_returned(run: Rose) -> None:
    called = run("exec", "rose-runs/r", "a", "1", "criterion")
    assert (called.code, called.out) == (0, "loss = not a number\n")
    assert f"it returned {1 / 3 / 2}" in called.err
    assert [line.strip() for line in called.err.splitlines() if "own:check" in line] == ["own:check"]
    assert "it returned None\n" in run("exec", "rose-runs/r", "a", "1", "label").err
    assert "own:train --lr=1.0" in run("exec", "rose-runs/r", "a", "0", "train", "--print").out


def test_an_exception_is_a_failed_attempt_with_its_message_and_the_users_frames(tmp_path: Path) -> None:
    rose = written(tmp_path, CAMPAIGN.replace("0.1 * i + 1", "9"))
    called = rose("run", "campaign.yaml", *RUN)
    assert called.code == 1
    assert "'train' failed in iteration 0, attempt 1: ValueError: lr 9 is too large" in called.out
    (failure,) = [event for event in rose.events("rose-runs/r") if event["event"] == "attempt_failed"]
    assert failure["message"] == "ValueError: lr 9 is too large"
    assert failure["command"] == "own:train --lr=9"
    assert failure["stderr_tail"][0] == "Traceback (most recent call last):"
    assert not any("function.py" in line for line in failure["stderr_tail"])


@pytest.mark.parametrize("preload", ["false", "auto", "[numpy]"])
def test_arrays_are_reports_and_metrics_in_cold_and_in_warm_starts(tmp_path: Path, preload: str) -> None:
    stop = f"function: arrays:check}}\n    preload: {preload}"
    campaign = CAMPAIGN.replace("own:train", "arrays:train").replace("function: own:check}", stop)
    rose = written(tmp_path, campaign.replace("max_iter: 3", "max_iter: 2"))
    rose.write(
        "import numpy as np\n"
        "def train(lr): return {'one': np.array([lr]), 'eye': np.eye(2), 'n': np.arange(3)}\n"
        "def check(): return np.array([0.5])\n",
        "arrays.py",
    )
    called = rose("run", "campaign.yaml", *RUN)
    assert called.code in (0, 3), called.out
    done = [event for event in rose.events("rose-runs/r") if event["event"] == "attempt_succeeded"]
    reports = [event["result"] for event in done if event["task"] == "train"]
    eye = [[1.0, 0.0], [0.0, 1.0]]
    assert reports == [{"one": [0.1 * i + 1], "eye": eye, "n": [0, 1, 2]} for i in (0, 1)]
    assert rose.learners("rose-runs/r")["a"]["metric_value"] == 0.5


def test_a_report_over_the_limit_is_a_failed_attempt(tmp_path: Path) -> None:
    rose = written(tmp_path, CAMPAIGN.replace("own:label", "large:label"))
    rose.write("def label(): return {'text': 'x' * 200_000}", "large.py")
    called = rose("run", "campaign.yaml", *RUN)
    assert called.code == 1
    assert "what it returned has 200,012 bytes, and a report has at most 65,536 bytes: write it to a file" in " ".join(
        called.out.split()
    )


@pytest.mark.parametrize(
    ("stop", "value", "message"),
    [("function: own:check_report, read: {json: val.mse}", 0.25, None),
     ("function: own:check_report", None, "returned a report: return it, or name its key: read: {json: val.mse}"),
     ("function: own:label", None, "'own:label' returned nothing: return it"),
     ("function: own:check_report, read: {json: val.loss}", None, "expected the key 'val.loss'"),
     ("executable: '{python} -c \"print(0.5)\"'", 0.5, None)],
)  # fmt: skip
def test_the_criterion_reads_what_its_function_returned(
    tmp_path: Path, stop: str, value: float | None, message: str | None
) -> None:
    rose = written(tmp_path, CAMPAIGN.replace("function: own:check", stop).replace("max_iter: 3", "max_iter: 1"))
    called = rose("run", "campaign.yaml", *RUN)
    assert rose.learners("rose-runs/r")["a"]["metric_value"] == value
    if message is not None:
        assert message in " ".join(called.out.split())


def test_a_changed_function_of_a_finished_step_is_refused_as_a_changed_command_is(tmp_path: Path) -> None:
    rose = written(tmp_path)
    rose("run", "campaign.yaml", *RUN, "--max-iter", "1")
    rose.write(CAMPAIGN.replace("own:label", "own:check_report"))
    called = rose("resume", "rose-runs/r", "--max-iter", "2")
    assert called.code == 2
    assert "label function: 'own:label' → 'own:check_report'" in " ".join(called.err.split())
    rose.write(CAMPAIGN.replace("{function: own:label}", "{function: own:label, preload: false}"))
    assert rose("resume", "rose-runs/r", "--max-iter", "2").code == 0


def test_an_edited_module_is_noticed_by_a_resume(tmp_path: Path) -> None:
    rose = written(tmp_path)
    rose("run", "campaign.yaml", *RUN, "--max-iter", "1")
    rose.write("FACTOR = 1 + 2", "beside.py")  # of another size: Python compares it and the seconds
    called = rose("resume", "rose-runs/r", "--max-iter", "2")
    assert called.code == 0
    assert "'beside.py' has changed" in called.err
    done = [event for event in rose.events("rose-runs/r") if event["event"] == "attempt_succeeded"]
    results = [event["result"] for event in done if event["task"] == "sim"]
    assert results[-1]["samples"] == 900


def test_set_changes_an_option_of_a_function(tmp_path: Path) -> None:
    rose = written(tmp_path)
    called = rose("run", "campaign.yaml", *RUN, "--max-iter", "1", "--set", "tasks.sim.options.--n-samples=5")
    assert called.code == 0, called.err
    assert '"samples":10' in (rose.folder / "rose-runs/r/journal.jsonl").read_text().replace(" ", "")


def test_a_secret_option_is_masked_and_passed(tmp_path: Path) -> None:
    text = CAMPAIGN.replace("--tag: ", "--api-key: 0123456789abcdef, --tag: ")
    rose = written(tmp_path, text)
    called = rose("run", "campaign.yaml", *RUN, "--max-iter", "1")
    assert called.code == 0, called.err
    plan = rose("plan", "campaign.yaml", "--iteration", "0").out
    shown = plan + (rose.folder / "rose-runs/r/journal.jsonl").read_text()
    assert "0123456789abcdef" not in shown
    returned = rose.folder / "rose-runs/r/learners/a/logs/0/sim.1.return.json"
    assert json.loads(returned.read_text())["returned"]["api_key"] == "0123456789abcdef"
