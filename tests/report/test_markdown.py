"""The Markdown report: as a renderer of GitHub's Markdown reads it, and as it is read in a terminal."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rose_cli.comparison.runs import compare, comparison_object
from rose_cli.report import build
from rose_cli.report import markdown as module
from rose_cli.report.markdown import code, markdown
from rose_cli.report.reading import Reading
from rose_cli.runs.directory import RunDirectory
from rose_cli.view.console import safe
from tests.report import samples
from tests.report.samples import BEGAN, HOSTILE, SAMPLES, SECRET

if TYPE_CHECKING:
    from rose_cli.report.data import Report

GOLDEN = Path(__file__).parent / "golden"

RENDER = MarkdownIt("gfm-like", {"linkify": False, "html": True}).enable("table")


def report_on(*directories: Path) -> Report:
    read = [Reading(RunDirectory.at(directory)).read() for directory in directories]
    found = comparison_object(compare([info for info, _ in read])) if len(read) > 1 else None
    return replace(build.report(read, BEGAN + 1e6, found), made=BEGAN + 1e6)


def stable(text: str, folder: Path) -> str:
    return text.replace(str(folder), "/home/ada/work")


def padded(text: str) -> str:
    """Without the padding of cells, which depends on the length of the folder's name."""
    return re.sub(r"-{3,}", "---", re.sub(r" +\|", " |", text))


@pytest.mark.parametrize("name", ["two", "resumed", "failed", "hostile", "never-started", "several-metrics"])
def test_the_report_is_as_expected(name: str, tmp_path: Path) -> None:
    text = padded(stable(markdown(report_on(SAMPLES[name](tmp_path))), tmp_path))
    path = GOLDEN / f"{name}.md"
    assert text == path.read_text(encoding="utf-8")


def test_a_comparison_is_as_expected(tmp_path: Path) -> None:
    text = markdown(report_on(samples.two(tmp_path), samples.compared(tmp_path)))
    assert padded(stable(text, tmp_path)) == (GOLDEN / "comparison.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(SAMPLES.keys() - {"ten-thousand", "five-hundred", "large"}))
def test_every_report_renders_and_has_no_secret(name: str, tmp_path: Path) -> None:
    text = markdown(report_on(SAMPLES[name](tmp_path)))
    assert SECRET not in text
    assert safe(text, keep="\n") == text
    rendered = RENDER.render(text)
    tags = set(re.findall(r"<(/?\w+)", rendered))
    assert tags <= {
        f"{slash}{tag}" for slash in ("", "/")
        for tag in ("h2", "p", "code", "table", "thead", "tbody", "tr", "th", "td", "strong", "pre", "details", "hr",
                    "summary", "blockquote")
    }  # fmt: skip
    assert rendered.count("<details>") == rendered.count("</details>") == text.count("<details>")


@given(st.text(max_size=30) | st.text("`|\\<>*_&#@:~$[]() \n", max_size=12))
@example("\\|")
@example("a\\\\|b")
@example("` ``|")
@example(" ")
@example("`")
@example("www.x.y|\\|")
def test_whatever_is_written_stays_code_in_a_cell(text: str) -> None:
    rendered = RENDER.render(f"| a | b |\n| --- | --- |\n| {code(text)} | end |\n")
    (cell, end) = re.findall(r"<td>(.*?)</td>", rendered, re.DOTALL)
    assert end == "end"
    shown = html.unescape(re.sub(r"</?code>", "", cell))
    expected = safe(text)
    if expected.strip():
        assert shown == expected or shown.strip() == expected.strip()
        assert re.fullmatch(r"<code>[^<>]*</code>", cell)


@given(st.lists(st.text(max_size=30) | st.sampled_from(HOSTILE), max_size=5))
def test_a_block_of_code_ends_where_it_should(lines: list[str]) -> None:
    rendered = RENDER.render("\n".join([*module._block(lines), "", "end", ""]))
    assert rendered.endswith("<p>end</p>\n")
    assert rendered.count("<pre>") == 1
    assert re.findall(r"<(\w+)", rendered) == ["pre", "code", "p"]


def test_a_report_fits_into_a_comment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = report_on(samples.resumed(tmp_path))
    assert "This is not all" not in markdown(whole)
    for most in (6_000, 3_000, 1_500):
        monkeypatch.setattr(module, "MOST_BYTES", most)
        text = markdown(whole)
        assert len(text.encode()) <= most
        assert "This is not all: it would be longer than a comment on GitHub may be." in text
        assert text.splitlines()[0] == markdown(whole).splitlines()[0]
        rendered = RENDER.render(text)
        assert rendered.count("<details>") == rendered.count("</details>")


def test_of_many_learners_the_first_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LEARNERS", 2)
    text = markdown(report_on(samples.resumed(tmp_path)))
    assert "and 4 more learners, sorted by best value" in text
