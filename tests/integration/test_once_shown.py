"""What runs once per campaign, wherever people look for its values, times and failures."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.report.build import report
from rose_cli.report.reading import Reading
from rose_cli.runs.directory import RunDirectory
from tests.track.test_tensorboard import read

if TYPE_CHECKING:
    from rose_cli.report.data import Run
    from tests.conftest import Rose

REPORT = 'shell: true, executable: "echo \'{{{{\\"{0}\\": {1}}}}}\' > $ROSE_RESULT"'
BROKEN = 'shell: true, executable: "test ! -e ../../../broken"'
CAMPAIGN = f"""
    setup: {{pool: {{{REPORT.format("n", 4)}, replicas: [cnn, mlp]}}, check: {{{BROKEN}}}}}
    before: {{boot: {{{REPORT.format("b", "{replica}")}, replicas: 2}}}}
    tasks: {{train: {{{REPORT.format("x", "{iteration}")}}}}}
    after: {{gather: {{{REPORT.format("g", "{replica}")}, replicas: 2}}}}
    finish: {{table: {{{REPORT.format("score", 0.75)}}}, last: {{{BROKEN}-last"}}}}
    notify: {{executable: cp /dev/stdin summary.json, when: [finished, failed]}}
    track: tensorboard
    max_iter: 2
    learners: [{{name: a}}]
    """.replace('broken"-last"', 'broken-last"')
OF_SETUP = {'pool["cnn"].n': 4, 'pool["mlp"].n': 4}


@pytest.fixture
def ended(rose: Rose) -> Rose:
    rose.write(CAMPAIGN)
    called = rose("run", "campaign.yaml", "--run-dir", "r", "-o", "quiet")
    assert called.code == 0, called.err
    return rose


def shown(rose: Rose) -> Run:
    info, timeline = Reading(RunDirectory.at(rose.folder / "r")).read()
    return report([(info, timeline)], info.state.last_time).runs[0]


def rows(rose: Rose, table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(rose("export", "r", "--table", table).out)))


def test_a_status_has_times_and_values(ended: Rose) -> None:
    out = ended("status", "r").out
    assert "  setup: done in 0." in out
    assert 'pool["cnn"].n 4, pool["mlp"].n 4' in out
    assert "table.score 0.75" in out
    assert "table.score 0.75" in ended("status", "r", "--results").out
    parts = ended.status("r")["campaign_tasks"]["parts"]
    assert [(each["part"], each["status"], each["tasks"]) for each in parts] == [
        ("setup", "done", ["pool", "check"]),
        ("finish", "done", ["table", "last"]),
    ]
    assert [each["result"] for each in parts] == [OF_SETUP, {"table.score": 0.75}]
    assert all(each["working_seconds"] > 0 and each["core_seconds"] > 0 for each in parts)
    results = json.loads(ended("status", "r", "--results", "--format", "json").out)
    assert results["campaign_tasks"] == parts


def test_a_report_has_a_row_and_counts_its_attempts(ended: Rose) -> None:
    run = shown(ended)
    assert [(each.name, each.reported) for each in run.once] == [("setup", OF_SETUP), ("finish", {"table.score": 0.75})]
    assert (run.totals.attempts, [each.task for each in run.durations]) == (
        11,
        ["pool", "check", "boot", "train", "gather", "table", "last"],
    )
    bars = [run.tasks.names[task] for task, learner in zip(run.tasks.task, run.tasks.learner, strict=True) if learner]
    assert sorted(bars) == ["check", "last", "pool", "pool", "table"], "behind the only learner"
    waited = {run.tasks.names[task]: run.tasks.waited[at] for at, task in enumerate(run.tasks.task)}
    assert (waited["table"], waited["last"]) == (0, 0), "a finish waits for learners, not for cores"
    assert ended("report", "r", "-o", "r.md").code == 0
    text = (ended.folder / "r.md").read_text()
    assert "| once per campaign |" in text
    assert "`table.score` `0.75`" in text


def test_the_page_has_a_table_of_it(ended: Rose) -> None:
    assert ended("report", "r", "-o", "r.html").code == 0
    data = (ended.folder / "r.html").read_text().split('<script id="data" type="application/json">', 1)[1]
    run = json.loads(data.split("</script>", 1)[0])["runs"][0]
    assert [(each["name"], each["reported"]) for each in run["once"]] == [
        ("setup", OF_SETUP),
        ("finish", {"table.score": 0.75}),
    ]


def test_replicas_before_the_first_and_after_the_last_iteration_have_columns(ended: Rose) -> None:
    first, last = rows(ended, "iterations")
    assert (first["replica.boot.0.b"], first["replica.boot.1.b"], first["replica.gather.0.g"]) == ("0", "1", "")
    assert (last["replica.gather.0.g"], last["replica.gather.1.g"], last["replica.boot.1.b"]) == ("0", "1", "")
    assert ended.learners("r")["a"]["replica_results"] == {"gather": [{"g": 0}, {"g": 1}]}


def test_the_notice_has_it(ended: Rose) -> None:
    found = json.loads((ended.folder / "summary.json").read_text())["campaign_tasks"]
    assert {each["part"]: each["result"] for each in found} == {"setup": OF_SETUP, "finish": {"table.score": 0.75}}


def scalars(rose: Rose) -> dict[str, Any]:
    found: dict[str, Any] = read(rose.folder / "r/tensorboard")["campaign"]["scalars"]
    return {tag: [(step, value) for step, value, _ in values] for tag, values in found.items() if "seconds" not in tag}


def test_tensorboard_has_it_once(ended: Rose) -> None:
    before = {'setup/pool["cnn"].n': [(0, 4.0)], 'setup/pool["mlp"].n': [(0, 4.0)], "finish/table.score": [(1, 0.75)]}
    assert scalars(ended) == before
    assert ended("resume", "r", "--max-iter", "3").code == 0
    assert scalars(ended) == {**before, "finish/table.score": [(1, 0.75), (2, 0.75)]}


@pytest.mark.parametrize(("part", "other"), [("setup", "finish"), ("finish", "setup")])
def test_what_is_not_declared_is_not_shown(rose: Rose, part: str, other: str) -> None:
    once = f"{part}: {{once: {{executable: ':', shell: true}}}}"
    rose.write(f"{{max_iter: 1, learners: 1, {once}, tasks: {{t: {{executable: 'true'}}}}}}")
    assert rose("run", "campaign.yaml", "--output", "quiet", "--run-dir", "r").code == 0
    shown = rose("status", "r").out
    assert f"  {part}: done" in shown
    assert f"{other}:" not in shown


@pytest.mark.parametrize(("name", "part", "task"), [("broken", "setup", "check"), ("broken-last", "finish", "last")])
def test_a_failure_is_that_of_the_campaign(rose: Rose, name: str, part: str, task: str) -> None:
    (rose.folder / name).touch()
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "--run-dir", "r", "-o", "quiet").code == 1
    [failure] = shown(rose).failures
    assert (failure.learner, failure.where, failure.task, failure.learners) == ("campaign", part, task, ("campaign",))
    once = shown(rose).once[-1]
    assert (once.name, once.status) == (part, "failed")
    assert f"'{task}' failed in the {part} of the campaign" in str(once.message)
    [row] = rows(rose, "failures")
    assert (row["learner"], row["task"]) == ("", task)
    assert rose("report", "r", "-o", "r.md").code == 0
    text = (rose.folder / "r.md").read_text()
    stopped = f"<code>{task}</code> of <code>campaign</code>, {part}: <code>exit code 1</code> (the campaign stopped)"
    assert f"<summary>✗ {stopped}</summary>" in text
    assert f"  {part}: failed" in rose("status", "r").out
    assert rose("export", "r", "--format", "ro-crate", "-o", "crate").code == 0
    graph = json.loads((rose.folder / "crate/ro-crate-metadata.json").read_text())["@graph"]
    errors = [each["error"] for each in graph if "error" in each]
    assert any(f"'{task}' failed in the {part} of the campaign" in error for error in errors)
    assert any(str(each["@id"]).startswith("campaign/logs/") for each in graph)
    assert Path(rose.folder / "crate/campaign/logs").is_dir()
    assert rose("verify", "r", "--crate", "crate").code == 0
