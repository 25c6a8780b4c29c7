"""The committed corpus of hostile campaign files, each read, compiled and shown within a second and 200 MB.

The files are in `hostile/campaigns.jsonl`, a name and a text a line: names that would leave the run directory, every
key with values that it cannot have, right files with a few characters damaged. Expressions have a corpus of their own
(`hostile_expressions.txt`, tried in test_expression.py), files of a megabyte too (test_document_hostile.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rose_cli.commands.campaign_file import check_campaign
from tests.conftest import REPOSITORY

CORPUS = Path(__file__).parent / "hostile" / "campaigns.jsonl"
CASES = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
SECONDS, MEGABYTES = 1.0, 200

# one process that has read everything forks a child for each file: that child's own processor time and peak count
BATCH = """
import json, os, resource, sys, traceback
from pathlib import Path
from rose_cli.commands.campaign_file import check_campaign
from rose_cli.commands.plan import planned_tasks
from rose_cli.view.diagnostics import diagnostics_json, print_diagnostics

def one(text):
    path = Path("campaign.yaml")
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
    checked = check_campaign(path, {"PATH": "/usr/bin:/bin"})
    with open(os.devnull, "w") as nowhere:
        print_diagnostics(checked.diagnostics, checked.text, str(path), nowhere)
    diagnostics_json(checked.diagnostics)
    if checked.plan is None:
        assert any(found.is_error for found in checked.diagnostics)
        return
    for learner in checked.plan.learners[:3]:
        for iteration in range(min(learner.max_iter or 3, 3)):
            planned_tasks(checked.plan, learner, iteration)

ended = []
for case in json.load(sys.stdin):
    child = os.fork()
    if child == 0:
        try:
            one(case["text"])
        except BaseException:
            traceback.print_exc()
            os._exit(3)
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    ended.append([case["name"], code, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024])
print(json.dumps(ended))
"""


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(CASES) >= 300


@pytest.mark.timeout(600)
def test_every_file_ends_in_acceptance_or_a_diagnostic_soon_and_small(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BATCH],
        input=json.dumps(CASES),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    ended: list[Any] = json.loads(done.stdout)
    assert [each for each in ended if each[1] != 0] == [], done.stderr[-4000:]
    assert [each for each in ended if each[2] > SECONDS or each[3] > MEGABYTES] == []
    assert len(ended) == len(CASES)
    assert [path.name for path in tmp_path.iterdir()] == ["campaign.yaml"]


@pytest.mark.parametrize("kind", ["learner name", "task name", "file target"])
@pytest.mark.parametrize("name", ["../x", "/abs", "..", "a/b", "a\\0b", "n" * 20, "\\uff0e\\uff0e", "a\\uff0fb"])
def test_a_name_that_would_leave_the_run_directory_is_refused(kind: str, name: str, tmp_path: Path) -> None:
    (case,) = [case for case in CASES if case["name"] == f"{kind} {name}"]
    (tmp_path / "data.csv").touch()
    path = tmp_path / "campaign.yaml"
    path.write_text(case["text"], encoding="utf-8")
    checked = check_campaign(path, {"PATH": "/usr/bin:/bin"})
    inside = kind == "file target" and (name in ("a/b", "n" * 20) or "uff0" in name)
    assert (checked.plan is not None) == inside, (checked.diagnostics, case)


def test_the_name_of_a_campaign_never_leads_out_of_the_folder_of_runs() -> None:
    import re

    for case in CASES:
        if case["name"].startswith("campaign name "):
            name = case["name"].removeprefix("campaign name ")
            assert "/" not in re.sub(r"[^\w.+=@-]+", "-", name)
