"""`rose report`: the command, its files, and what it does while a run is running."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.commands import report as module
from rose_cli.report.destination import Destination
from rose_cli.report.reading import Reading
from rose_cli.runs.directory import RunDirectory
from rose_cli.view import jobs
from tests.commands.conftest import has_finished
from tests.conftest import PATIENCE, wait_until
from tests.report import samples

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose


@pytest.fixture
def two(rose: Rose) -> Rose:
    samples.two(rose.folder)
    return rose


def test_a_page_is_the_default_and_is_put_into_the_run(two: Rose) -> None:
    called = two("report")
    assert (called.code, called.out) == (0, "rose-runs/two/report.html\n")
    page = (two.folder / "rose-runs" / "two" / "report.html").read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert two("report", "two").out == "rose-runs/two/report-2.html\n"
    assert two.status("two")["status"] == "done"
    assert two("resume", "two", "--dry-run").code == 0


def test_the_name_of_the_file_says_which_form_it_has(two: Rose) -> None:
    for name, start in (("a.md", "## "), ("a.HTML", "<!doctype html>"), ("a", "<!doctype html>")):
        assert two("report", "two", "-o", name).code == 0
        assert (two.folder / name).read_text(encoding="utf-8").lower().startswith(start)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("a.pdf", "a PDF file"),
        ("a.JPG", "an image"),
        ("a.csv", "a CSV file"),
        ("a.ipynb", "a notebook"),
        ("a.docx", "a text document"),
    ],
)
def test_a_name_of_another_format_is_refused_unless_the_format_is_given(two: Rose, name: str, what: str) -> None:
    called = two("report", "two", "-o", name)
    assert called.code == 2
    assert f"'{name}' is the name of {what}, which" in called.err
    assert not (two.folder / name).exists()
    assert two("report", "two", "-o", name, "--format", "html").code == 0


def test_a_page_on_standard_output(two: Rose) -> None:
    called = two("report", "two", "-o", "-")
    assert called.out.lower().startswith("<!doctype html>")
    assert not (two.folder / "-").exists()


def test_markdown_goes_to_standard_output(two: Rose) -> None:
    called = two("report", "--format", "md")
    assert called.code == 0
    assert called.out.startswith("## • `tutorial` finished in 16:04: 1 of 2 learners met `rmse < 0.2`")
    assert "run 'rose-runs/two'" in called.err
    assert not list((two.folder / "rose-runs" / "two").glob("report*"))


def test_a_file_gets_its_path_printed_and_an_older_one_is_kept(two: Rose) -> None:
    first = two("report", "two", "--format", "md", "-o", "r.md")
    assert (first.code, first.out) == (0, "r.md\n")
    second = two("report", "two", "--format", "md", "-o", "r.md")
    assert (second.code, second.out) == (0, "r-2.md\n")
    assert "'r.md' exists and is kept; --force replaces it" in second.err
    forced = two("report", "two", "--format", "md", "-o", "r.md", "--force")
    assert forced.out == "r.md\n"
    assert (two.folder / "r.md").read_text(encoding="utf-8").startswith("## ")


def test_a_summary_of_github_is_written_to(two: Rose) -> None:
    (two.folder / "summary").touch()
    assert two("report", "--format", "md", "-o", "summary").out == "summary\n"
    with (two.folder / "summary").open("a") as summary:  # `>> "$GITHUB_STEP_SUMMARY"`
        command = [two.python, "-m", "rose_cli", "report", "two", "--format", "md"]
        subprocess.run(command, cwd=two.folder, env=two.environment, stdout=summary, check=True)
    assert (two.folder / "summary").read_text(encoding="utf-8").count("## • `tutorial`") == 2


def test_several_runs_are_compared_each_once(two: Rose) -> None:
    samples.compared(two.folder)
    called = two("report", "two", "compared", "rose-runs/two", "--format", "md")
    assert called.code == 0
    assert called.out.startswith("## 2 runs compared\n")
    assert called.out.count("\n### ") == 2


def test_a_watched_report_needs_a_file(two: Rose) -> None:
    called = two("report", "--format", "md", "--watch")
    assert called.code == 2
    assert "--watch writes the report again and again, so it needs a file" in called.err


def test_a_run_that_has_ended_is_watched_once(two: Rose) -> None:
    called = two("report", "--format", "md", "--watch", "-o", "w.md")
    assert called.code == 0
    assert "written again" not in called.err


def test_a_running_run_is_reported_and_never_touched(going: Any, rose: Rose) -> None:
    before = set((rose.folder / "r").iterdir())
    called = rose("report", "r", "--format", "md", "-o", "report.md")
    assert called.code == 0
    assert "`campaign` running for" in (rose.folder / "report.md").read_text(encoding="utf-8")
    assert set((rose.folder / "r").iterdir()) == before
    wait_until(lambda: has_finished(rose.folder / "r", 3))


def test_watching_ends_with_the_run(rose: Rose) -> None:
    rose.script("#!/bin/sh\nsleep 0.2\n", "task.sh")
    rose.write("{max_iter: 1000, tasks: {s: {executable: ./task.sh}}, learners: 1}")
    run = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_until(lambda: has_finished(rose.folder / "r", 1))
    watching = rose.start("report", "r", "--format", "md", "-o", "w.md", "--watch")
    path = rose.folder / "w.md"
    wait_until(path.exists)
    first = path.stat().st_ino
    wait_until(lambda: path.stat().st_ino != first)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=PATIENCE)
    out, err = watching.communicate(timeout=PATIENCE)
    assert (watching.returncode, out) == (0, "w.md\n")
    assert "it is written again until the run ends" in err
    assert "`campaign` interrupted after" in path.read_text(encoding="utf-8")
    assert sorted(each.name for each in rose.folder.glob("*w*.md*")) == ["w.md"]


def test_a_run_whose_next_job_waits_is_still_watched(two: Rose, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = RunDirectory.at(two.folder / "rose-runs" / "two")
    directory.jobs.mkdir()
    answers: list[list[str] | None] = [["job"], None, []]
    monkeypatch.setattr(jobs, "jobs_of", lambda _: (None, answers.pop(0)))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(os, "nice", lambda _: None)
    written: list[object] = []
    destination = Destination(two.folder / "w.md")
    monkeypatch.setattr(destination, "write", written.append)
    reading = Reading(directory)
    module._watch([reading], [reading.read()[0]], "md", destination)
    assert (answers, len(written)) == ([], 2)


def test_a_damaged_journal_is_said_to_be(two: Rose) -> None:
    journal = two.folder / "rose-runs" / "two" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:20], b"x" + lines[20], *lines[21:]]))
    called = two("report", "--format", "md")
    assert called.code == 0
    assert "the journal of 'rose-runs/two' is damaged, and the report incomplete" in called.err
    assert "> `the journal is damaged, and the report incomplete" in called.out


def test_nothing_is_written_into_a_run_of_others(two: Rose, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    run = two.folder / "rose-runs" / "two"
    for path in (run, *run.rglob("*")):
        os.chown(path, 4242, 4242)
    called = two("report", "two", "--format", "md", "-o", "here.md")
    assert called.code == 0
    assert "this run is not yours" in called.err
    assert "> `this run is not yours" in (tmp_path / "here.md").read_text(encoding="utf-8")
