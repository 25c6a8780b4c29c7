"""A run in a notebook. IPython is played: rose uses of it three names, and only if the program has loaded it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

import rose_cli
from tests.conftest import wait_until

if TYPE_CHECKING:
    from tests.conftest import Rose

CAMPAIGN = """\
    max_iter: 2
    tasks: {work: {executable: "true"}}
    stop: {executable: "echo 0.{iteration}", metric: accuracy, threshold: 0.9}
    learners: [{name: <a>}, {name: b}]
"""


@dataclass
class Cell:
    """What is below a cell: the pages one after the other, each in place of the one before."""

    pages: list[str] = field(default_factory=list)

    def update(self, page: str) -> None:
        self.pages.append(page)


@dataclass
class Notebook:
    cells: list[Cell] = field(default_factory=list)
    kernel: object = "a kernel"

    def display(self, page: str, *, display_id: bool) -> Cell:
        assert display_id
        self.cells.append(Cell([page]))
        return self.cells[-1]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    played = Notebook()
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    vars(ipython).update(get_ipython=lambda: played, display=display)
    vars(display).update(display=played.display, HTML=str)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return played


def test_a_run_shows_a_table_that_ends_as_the_run_does(
    notebook: Notebook, rose: Rose, capfd: pytest.CaptureFixture[str]
) -> None:
    campaign = rose_cli.load(rose.write(CAMPAIGN))
    run = campaign.run(decide=lambda _: None)
    (cell,) = notebook.cells
    assert cell.pages[-1] == run._repr_html_()
    assert "&lt;a&gt;" in cell.pages[-1]
    assert ">max iter<" in cell.pages[-1]
    assert "<polyline" in cell.pages[-1]
    assert "━" not in capfd.readouterr().out, "the session shows no table of its own"


def test_a_run_in_the_background_is_shown_where_it_is_looked_at(notebook: Notebook, rose: Rose) -> None:
    running = rose_cli.load(rose.write(CAMPAIGN)).start()
    assert notebook.cells == []
    running._ipython_display_()
    run = running.wait()
    (cell,) = notebook.cells
    wait_until(lambda: cell.pages[-1] == run._repr_html_())
    assert repr(running).endswith(": ended>")


def test_an_error_in_a_decision_is_raised_in_the_cell(notebook: Notebook, rose: Rose) -> None:
    with pytest.raises(ZeroDivisionError):
        rose_cli.load(rose.write(CAMPAIGN)).run(run_dir=rose.folder / "run", decide=lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    assert rose_cli.open_run(rose.folder / "run").status == "interrupted"
    assert len(notebook.cells) == 1


def test_campaigns_show_their_learners(rose: Rose) -> None:
    page = rose_cli.load(rose.write(CAMPAIGN))._repr_html_()
    assert "&lt;a&gt;" in page
    assert "accuracy 0.9" in page
