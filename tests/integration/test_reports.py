"""What tasks report: what is kept, of every replica, and what is said of a report that is not."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import Rose

if TYPE_CHECKING:
    from pathlib import Path

REPORT = """\
    import json, os, sys
    def padded(size, indent=None):
        text = json.dumps({"n": 1, "pad": ""}, indent=indent)
        return text.replace('""', '"' + "x" * (size - len(text)) + '"')
    def to_file(text):
        open(ROSE_RESULT, "w").write(text)
    ROSE_RESULT = os.environ["ROSE_RESULT"]
    to, what = sys.argv[1:]
    value = eval(what)
    if to == "out":
        print("words before")
        print(value)
    elif to == "file":
        to_file(value)
        print('{"from": "output"}')
    """
KEPT = {
    "65535 bytes": ("out", "padded(65535)"),
    "65536 bytes": ("out", "padded(65536)"),
    "65536 bytes and blanks": ("out", "'  ' + padded(65536) + '   '"),
    "65536 bytes in a file": ("file", "padded(65536)"),
    "65536 bytes in a file with blanks": ("file", "padded(65536, 1) + chr(10) * 99"),
    "in colour": ("out", "chr(27) + '[32m' + padded(99) + chr(27) + '[0m'"),
    "with a line separator in it": ("out", "json.dumps(dict(n=1, text=chr(0x2028)), ensure_ascii=False)"),
    "nested": ("out", "'{\"n\":1,\"pad\":' + '[' * 390 + ']' * 390 + '}'"),
    "through a link": ("none", "open('r', 'w').write(padded(99)), os.symlink(os.path.abspath('r'), ROSE_RESULT)"),
}
DROPPED = {
    "65537 bytes": ("out", "padded(65537)", "the last line of its output has 65,537 bytes; the maximum is 65,536"),
    "65537 bytes in a file": ("file", "padded(65537)", "$ROSE_RESULT has 65,537 bytes"),
    "a line of a megabyte": ("out", "padded(1 << 20)", "the maximum is 65,536"),
    "a file of a megabyte": ("file", "padded(1 << 20)", "$ROSE_RESULT has 1,048,576 bytes"),
    "a dict of Python": ("out", "dict(n=1)", "is not JSON"),
    "cut JSON": ("out", "padded(99)[:50]", "is not JSON"),
    "cut JSON in a file": ("file", "padded(99)[:50]", "$ROSE_RESULT is not JSON"),
    "over several lines": ("out", "padded(99, 2)", "JSON over several lines: print it on one line"),
    "a list in a file": ("file", "'[1, 2]'", "$ROSE_RESULT is not a JSON object"),
    "an empty file": ("file", "''", "$ROSE_RESULT is empty"),
    "nested too deeply": ("out", "'{\"a\":' + '[' * 30000 + ']' * 30000 + '}'", "is nested too deeply"),
    "nested deeper than every reader reads": ("out", "'{\"a\":' + '[' * 600 + ']' * 600 + '}'", "is nested too deeply"),
    "a number of 5000 digits": ("out", "'{\"a\": ' + '9' * 5000 + '}'", "too many digits"),
    "a pipe": ("none", "os.mkfifo(ROSE_RESULT)", "is not a regular file"),
    "a folder": ("none", "os.mkdir(ROSE_RESULT)", "is not a regular file"),
    "a link to a device": ("none", "os.symlink('/dev/zero', ROSE_RESULT)", "is not a regular file"),
    "a link to nothing": ("none", "os.symlink('nowhere', ROSE_RESULT)", "is not a regular file"),
}
NONE = {
    "words": ("out", "'n=1'"),
    "a list": ("out", "'[1]'"),
    "a long line of words": ("out", "'x' * (1 << 20)"),
    "a brace that ends a program": ("out", "'int main() {' + chr(10) + '}'"),
    "a file of another attempt": ("none", "open(ROSE_RESULT.replace('.1.', '.2.'), 'w').write('{}')"),
}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rose, Any, str]:
    """One run for all: the learners, and what was said off a terminal."""
    rose = Rose(tmp_path_factory.mktemp("reports"))
    rose.write(REPORT, "report.py")
    cases = {**KEPT, **{name: case[:2] for name, case in DROPPED.items()}, **NONE}
    learners = [{"name": name, "sim": {"args": list(case)}} for name, case in cases.items()]
    for learner in learners:
        learner["sim"]["executable"] = ["{python}", "{campaign_dir}/report.py"]  # type: ignore[index]
        learner["sim"]["args"] = [word.replace("{", "{{").replace("}", "}}") for word in learner["sim"]["args"]]  # type: ignore[index]
    rose.write(json.dumps({"max_iter": 1, "tasks": {"sim": {"executable": "true"}}, "learners": learners}))
    called = rose("run", "campaign.yaml", "--run-dir", "r", "--output", "plain")
    assert called.code == 0, called.out + called.err
    return rose, rose.learners("r"), called.out


@pytest.mark.parametrize("name", KEPT)
def test_a_report_within_the_bounds_is_kept(reported: tuple[Rose, Any, str], name: str) -> None:
    learner = reported[1][name]
    assert (learner["result"].get("n"), learner["report_problem"]) == (1, None)


@pytest.mark.parametrize("name", DROPPED)
def test_a_report_that_is_not_kept_is_told(reported: tuple[Rose, Any, str], name: str) -> None:
    _, learners, said = reported
    learner, problem = learners[name], learners[name]["report_problem"]
    assert learner["result"] == {}
    assert (problem["task"], problem["iteration"], problem["attempt"]) == ("sim", 0, 1)
    assert DROPPED[name][2] in problem["message"]
    assert f"the report of 'sim' in iteration 0 was ignored: {problem['message']}" in said


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_report_is_no_matter(reported: tuple[Rose, Any, str], name: str) -> None:
    learner = reported[1][name]
    assert (learner["result"], learner["report_problem"]) == ({}, None)


def test_the_status_tells_of_some_reports_that_are_not_kept(reported: tuple[Rose, Any, str]) -> None:
    shown = reported[0]("status", "r").out
    assert "! 65537 bytes: the report of 'sim' in iteration 0 was ignored" in shown
    assert f"! and reports of {len(DROPPED) - 3} more learners" in shown


def test_a_file_that_was_there_before_is_no_report(rose: Rose) -> None:
    rose.script(
        """\
        #!/bin/sh
        # reports in iteration 0, and leaves a file where the next iteration reports
        [ "$ROSE_ITERATION" = 0 ] || exit 0
        mkdir -p ../logs/1
        echo '{"n": 1}' | tee ../logs/1/sim.1.result.json > "$ROSE_RESULT"
        """,
        "sim.sh",
    )
    rose.write("{max_iter: 2, learners: 1, tasks: {sim: {executable: ./sim.sh}}}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    rows = [json.loads(line) for line in rose("export", "r", "--format", "jsonl").out.splitlines()]
    assert [row.get("result.n") for row in rows] == [1, None]


# --- replicas ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Rose:
    """Replicas that end in the order 2, 1, 0; the last one reports more; and a task without replicas."""
    rose = Rose(tmp_path_factory.mktemp("replicas"))
    rose.script(
        """\
        #!/bin/sh
        while [ "$ROSE_REPLICA" != 2 ] && [ ! -e "ended.$ROSE_ITERATION.$((ROSE_REPLICA + 1))" ]; do sleep 0.02; done
        touch "ended.$ROSE_ITERATION.$ROSE_REPLICA"
        more=; [ "$ROSE_REPLICA" != 2 ] || more=', "of_last": true'
        echo "{\\"labelled\\": $((10 * ROSE_ITERATION + ROSE_REPLICA)), \\"loss\\": 0.5$more}"
        """,
        "sim.sh",
    )
    rose.write(
        """
        max_iter: 2
        engine: {kind: local, cores: 3}
        tasks:
          sim: {executable: ./sim.sh, replicas: 3}
          silent: {executable: "true", replicas: 2}
          train: {executable: [echo, '{{"epochs": 7, "loss": 0.25}}']}
        learners: 1
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    return rose


def test_every_replicas_report_is_exported(replicas: Rose, tmp_path: Path) -> None:
    assert replicas("export", "r", "-o", tmp_path / "rows.csv").code == 0
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    reports = [{name: row[name] for name in row if name.startswith(("result.", "replica."))} for row in rows]
    assert reports == [
        {
            "result.labelled": f"{10 * i}",
            "result.loss": "0.25",
            "result.of_last": "true",
            "result.epochs": "7",
            **{f"replica.sim.{number}.labelled": f"{10 * i + number}" for number in range(3)},
            **{f"replica.sim.{number}.loss": "0.5" for number in range(3)},
            "replica.sim.2.of_last": "true",
        }
        for i in range(2)
    ]
    lines = [json.loads(line) for line in replicas("export", "r", "--format", "jsonl").out.splitlines()]
    assert [line["replica.sim.1.labelled"] for line in lines] == [1, 11]


def test_every_replicas_report_is_in_the_status(replicas: Rose) -> None:
    learner = replicas.learners("r")["learner-0"]
    assert learner["result"] == {"labelled": 10, "loss": 0.25, "of_last": True, "epochs": 7}
    assert learner["replica_results"] == {
        "sim": [
            {"labelled": 10, "loss": 0.5},
            {"labelled": 11, "loss": 0.5},
            {"labelled": 12, "loss": 0.5, "of_last": True},
        ],
        "silent": [{}, {}],
    }
    shown = replicas("status", "r").out
    assert "labelled 10, 11, 12 (by replica)" in shown
    assert "loss 0.25," in shown
