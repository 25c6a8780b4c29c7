"""What a type checker says of a program that uses rose."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

import rose_cli
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """\
from __future__ import annotations

import rose_cli


def decide(state: rose_cli.Iteration) -> rose_cli.Decision | None:
    value: float | None = state.value
    if value is not None and value < 0.1:
        return rose_cli.Decision(stop=True)
    return rose_cli.Decision(tasks={"training": rose_cli.TaskChange(options={"--n": [1, 2.5], "--x": None})})


campaign: rose_cli.Campaign = rose_cli.load("campaign.yaml", set={"max_iter": 3})
run: rose_cli.Run = campaign.run(decide=decide)
names: list[str] = [learner.name for learner in campaign.learners]
best: rose_cli.Best | None = run.best
rows: list[dict[str, object]] = run.history().rows()
status: rose_cli.Status = run.resume(max_iter=4).status
for iteration in campaign.start():
    number: int = iteration.number


async def follow() -> rose_cli.Run:
    running = campaign.start()
    async for iteration in running:
        print(iteration.best)
    return await running
"""
WRONG = {
    "campaign.run(decide=lambda state: True)": "Decision",
    "rose_cli.load(3)": "load",
    "rose_cli.Decision(stopp=True)": "stopp",
    "run.histroy()": "histroy",
}


def checked(folder: Path, text: str) -> str:
    (folder / "program.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), "program.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.mark.timeout(0)
def test_a_program_is_checked_strictly(tmp_path: Path) -> None:
    assert "Success" in checked(tmp_path, PROGRAM)
    found = checked(tmp_path, "\n".join([PROGRAM, *WRONG])).splitlines()
    first = PROGRAM.count("\n") + 2
    for number, word in enumerate(WRONG.values(), first):
        assert any(f"program.py:{number}: error" in line and word in line for line in found), (word, found)


def test_every_public_name_is_used_in_a_program_that_mypy_checks() -> None:
    program = (REPOSITORY / "tests" / "api" / "every_name.py").read_text(encoding="utf-8")
    used = {
        node.attr
        for node in ast.walk(ast.parse(program))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "rose_cli"
    }
    assert vars(rose_cli)["_EXPORTS"].keys() <= used
    assert "type: ignore" not in program


def test_what_checkers_see_is_what_there_is() -> None:
    stub = ast.parse((REPOSITORY / "rose_cli" / "__init__.pyi").read_text(encoding="utf-8"))
    imported = {
        alias.asname: (node.module, alias.name)
        for node in stub.body if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }  # fmt: skip
    assert imported.keys() == vars(rose_cli)["_EXPORTS"].keys()
    for name, (module, inner) in imported.items():
        assert getattr(rose_cli, str(name)) is getattr(import_module(str(module)), inner)
    assert set(imported) <= set(dir(rose_cli))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rose_cli.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_the_package_costs_nothing_until_a_name_is_used() -> None:
    program = "import sys, rose_cli; print(sorted(name for name in sys.modules if name.startswith('rose_cli')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout == "['rose_cli']\n"
