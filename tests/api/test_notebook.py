"""A run in a notebook: with IPython played, of which rose uses three names, and once in a kernel of Jupyter."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

import rose_cli
from tests.conftest import REPOSITORY, wait_until
from tests.others import other_environment, other_python

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


KERNEL = """\
import json, sys, nbformat
from nbclient import NotebookClient
cells = [nbformat.v4.new_code_cell(text) for text in json.load(sys.stdin)]
book = nbformat.v4.new_notebook(cells=cells)
NotebookClient(book, timeout=None, kernel_name="python3", allow_errors=True).execute()
print(json.dumps([cell.outputs for cell in book.cells]))
"""
JOIN = """\
import threading
_ = [each.join() for each in threading.enumerate() if each.name == "rose-display"]
"""
"""Wait for the last update of a table: nbclient drops what comes after the end of the cell that it belongs to."""
CELLS = [
    """
import rose_cli
from rose_cli import ConcurrentExecutionBackend, SequentialActiveLearner, WorkflowEngine
campaign = rose_cli.load({
    "max_iter": 2,
    "tasks": {"work": {"executable": "true"}},
    "stop": {"executable": "echo 0.{iteration}", "metric": "accuracy", "threshold": 0.9},
    "learners": [{"name": "<a>"}],
})
run = campaign.run()
""",
    "running = campaign.start()\nrunning",
    "values = [each.value async for each in running]\n" + JOIN + "values",
    """
learner = SequentialActiveLearner(await WorkflowEngine.create(await ConcurrentExecutionBackend()))
factor = 2
@learner.simulation_task(as_executable=False)
async def simulation(*given, n=2):
    return {"n": n * factor}
@learner.training_task
def training(*given):
    return "true"
@learner.active_learn_task
def active_learn(*given):
    return "true"
async for state in learner.start(max_iter=1):
    print(state.n)
"""
    + JOIN,
    "campaign.run(decide=lambda state: 1 / 0)",
    "run.resume(max_iter=3).status",
]
"""Each shows one thing below it, or prints, or raises."""


@pytest.mark.timeout(0)
def test_a_kernel_of_jupyter_shows_tables_and_awaits_in_its_cells(rose: Rose) -> None:
    done = subprocess.run(
        [other_python(), "-c", KERNEL], input=json.dumps(CELLS), cwd=rose.folder,
        env={**other_environment(), "PYTHONPATH": str(REPOSITORY), "JPY_SESSION_NAME": "/home/me/study.ipynb"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cells: list[list[dict[str, Any]]] = json.loads(done.stdout.splitlines()[-1])
    cells[4] = [each for each in cells[4] if each["output_type"] != "stream"]  # the summary, if it comes in time
    assert [[each["output_type"] for each in outputs] for outputs in cells] == [
        ["display_data"], ["display_data"], ["execute_result"], ["display_data", "stream"], ["display_data", "error"],
        ["display_data", "execute_result"],
    ]  # fmt: skip
    pages = ["".join(cell[0]["data"]["text/html"]) for cell in cells[:2]]
    assert all("&lt;a&gt;" in page and ">max iter<" in page for page in pages)
    assert cells[2][0]["data"]["text/plain"] == "[0.0, 0.1]"
    assert cells[3][1]["text"] == "4\n", "and nothing that a terminal gets"
    assert ">learner-0<" in cells[3][0]["data"]["text/html"]
    assert cells[4][1]["ename"] == "ZeroDivisionError"
    assert "DONE" in cells[5][1]["data"]["text/plain"]
    assert {path.name.partition("-")[0] for path in (rose.folder / "rose-runs").iterdir()} <= {"study", "latest", ""}
