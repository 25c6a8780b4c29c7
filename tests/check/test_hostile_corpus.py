"""The committed corpus of hostile campaign files, each read, compiled and shown within a second and 200 MB.

The files are in `hostile/campaigns.jsonl`, a name and a text a line: names that would leave the run directory, every
key with values that it cannot have, right files with a few characters damaged. Long lines for a shell are made here.
Expressions have a corpus of their own (`hostile_expressions.txt`, tried in test_expression.py), files of a megabyte too
(test_document_hostile.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rose_cli.campaign_file import check_campaign
from tests.conftest import PATIENCE, REPOSITORY

CORPUS = Path(__file__).parent / "hostile" / "campaigns.jsonl"
CASES = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]

_BEFORE_AND_AGAIN = (
    ("", "'a' "), ("", "{learner}"), ("", "{learner} "), ("", "| sh {learner} "), ("", "$(a) "),
    ("x | (", "sh "), ("sh ", "{learner}<<< "), ("sh ", "a <(x) "), ("", "-c {learner} "), ("-", "c"), ("sh -", "c"),
    ("", "case {learner} "),
    ("a" * 40_000, "["), ("~", "a{learner}"), ("sh -x -x -x -x -x -x -x -x $(" * 45, "{learner} "),
    ("", "cat <<E\n{learner}\nE\n"), ("cat <<E\n", "a {learner} "), ("cat <<E\n$(" * 9, "{learner} "),
    ("", "cat <<E{learner} "), ("${{a:-" * 45, "`a` "), ("cat <<E | sh\n", "x {learner}\n"), ("", "<()"),
)  # fmt: skip
"""How lines of 85 KB for a shell begin, and what they repeat."""


def _with_a_line(line: str, learners: str = "1") -> str:
    task = {"shell": True, "executable": line}
    return f"max_iter: 1\ntasks: {{sim: {json.dumps(task)}}}\nlearners: {learners}\n"


LINES = [
    {"name": f"{before[:40]!r}, then {again!r}", "text": _with_a_line(before + again * (85_000 // len(again)))}
    for before, again in _BEFORE_AND_AGAIN
]
LINES += [
    {"name": f"braces that are no placeholders, {after!r}", "text": _with_a_line("{ " * 5000 + after * 40_000)}
    for after in ("a", "\n")
]
MANY = "[" + ", ".join(f"{{name: l{number}}}" for number in range(6000)) + "]"
LINES += [
    {"name": f"6000 learners, {again!r}", "text": _with_a_line(again * (60_000 // len(again)), MANY)}
    for again in ("{learner} ", "cat <<E1\n{learner}\nE1\n", "cat <<E1\n{learner} {learner}\nE1\n")
]
SECONDS, MEGABYTES = 1.0, 200

# one process that has read everything forks a child for each file: that child's own processor time and peak count
BATCH = """
import json, os, resource, sys, traceback
from pathlib import Path
from rose_cli.campaign_file import check_campaign
from rose_cli.engine.base import Capacity
from rose_cli.plan.overview import overview
from rose_cli.view.overview import overview_lines
from rose_cli.view.plan import planned_tasks
from rose_cli.view.diagnostics import diagnostic_objects, print_diagnostics
from tests.work import on_an_idle_machine

def one(text):
    path = Path("campaign.yaml")
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
    checked = check_campaign(path, {"PATH": "/usr/bin:/bin"})
    with open(os.devnull, "w") as nowhere:
        print_diagnostics(checked.diagnostics, checked.text, str(path), nowhere)
    json.dumps(diagnostic_objects(checked.diagnostics))
    if checked.plan is None:
        assert any(found.is_error for found in checked.diagnostics)
        return
    lines = list(overview_lines(checked.plan, overview(checked.plan), Capacity(2), 80))
    assert len(lines) < 1000, len(lines)
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
    seconds = used.ru_utime + used.ru_stime
    if seconds > float(sys.argv[1]):
        seconds = on_an_idle_machine(seconds)
    ended.append([case["name"], code, seconds, used.ru_maxrss / 1024])
print(json.dumps(ended))
"""


@pytest.mark.parametrize("cases", [CASES, LINES], ids=["files", "lines for a shell"])
def test_every_file_ends_in_acceptance_or_a_diagnostic_soon_and_small(
    cases: list[dict[str, str]], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BATCH, str(SECONDS)],
        input=json.dumps(cases),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    ended: list[Any] = json.loads(done.stdout)
    assert [each for each in ended if each[1] != 0] == [], done.stderr[-4000:]
    assert [each for each in ended if each[2] > SECONDS or each[3] > MEGABYTES] == []
    assert len(ended) == len(cases)
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
