"""docs/coming-from.md: the same campaign in several programs; those that can be installed come to the same numbers."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PATIENCE, REPOSITORY
from tests.others import neighbour

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.conftest import Rose

PAGE = REPOSITORY / "docs" / "coming-from.md"
EXAMPLES = REPOSITORY / "docs" / "examples" / "coming-from"
COUNTS = {"few": 1, "many": 3}
SHOWN = re.findall(r"<!-- file: (\S+) -->\n```[\w ]*\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@cache
def loop() -> Any:
    """curve.py, as a module."""
    spec = importlib.util.spec_from_file_location("curve_of_the_page", EXAMPLES / "curve.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def errors(folder: Path, count: int) -> list[float]:
    """What ten iterations come to, in a plain loop."""
    found = []
    for iteration in range(10):
        for task in ("measure", "fit", "choose", "error"):
            loop().TASKS[task](folder, iteration, count)
        found.append(json.loads((folder / f"error-{iteration}.json").read_text()))
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[float]]:
    """By learner, all ten iterations."""
    folder = tmp_path_factory.mktemp("expected")
    return {name: errors(folder / name, count) for name, count in COUNTS.items()}


def until_met(values: list[float]) -> list[float]:
    return values[: next(n for n, value in enumerate(values, 1) if value < 0.01)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in EXAMPLES.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    return tmp_path


def found_in(folder: Path) -> list[float]:
    files = sorted(folder.glob("error-*.json"), key=lambda path: int(path.stem.partition("-")[2]))
    return [json.loads(path.read_text()) for path in files]


def call(*words: str, folder: Path) -> str:
    """One of the other programs, in an environment that has its `python` first."""
    environment = {**os.environ, "PATH": f"{os.path.dirname(words[0])}{os.pathsep}{os.environ['PATH']}"}  # noqa: PTH120
    environment.pop("PYTHONPATH", None)
    called = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert called.returncode == 0, called.stdout + called.stderr
    return called.stdout


def metrics(rose: Rose) -> dict[str, list[float]]:
    rows = [json.loads(line) for line in rose("export", "run", "--format", "jsonl").out.splitlines()]
    return {name: [row["metric_value"] for row in rows if row["learner"] == name] for name in COUNTS}


@pytest.mark.parametrize(("name", "text"), SHOWN, ids=[name for name, _ in SHOWN])
def test_the_page_shows_what_the_files_say(name: str, text: str) -> None:
    assert text in (EXAMPLES / name).read_text(encoding="utf-8")


def test_every_file_is_shown() -> None:
    assert {name for name, _ in SHOWN} == {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"curve.py"}


def test_the_campaign_of_rose_comes_to_the_numbers_of_a_plain_loop(
    rose: Rose, folder: Path, expected: Mapping[str, list[float]]
) -> None:
    ran = rose("run", "campaign.yaml", "--run-dir", "run", "--output", "quiet")
    assert ran.code == 0, ran.err
    assert metrics(rose) == {name: until_met(values) for name, values in expected.items()}


def test_the_page_tells_how_many_measurements_and_tasks_it_took(expected: Mapping[str, list[float]]) -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    needed = {name: len(until_met(values)) for name, values in expected.items()}
    measured = {name: 5 + COUNTS[name] * (needed[name] - 1) for name in COUNTS}
    assert (
        f"`few` meets the criterion with {measured['few']} measurements in its {needed['few']}th iteration, "
        f"`many` with {measured['many']} in its {needed['many']}th." in page
    )
    tasks = 4 * sum(needed.values())
    assert f"| rose | the campaign | yes, each learner by itself | {tasks} |" in page
    assert f"| Snakemake | written out as a graph | no: all ten iterations | {2 * (4 * 10 - 1)} |" in page


def test_the_workflow_file_of_rose_is_imported_and_comes_to_the_same(
    rose: Rose, folder: Path, expected: Mapping[str, list[float]]
) -> None:
    imported = rose("import", "workflow.yaml", "-o", "imported.yaml")
    assert (imported.code, imported.err) == (0, "")
    ran = rose("run", "imported.yaml", "--run-dir", "run", "--output", "quiet")
    assert ran.code == 0, ran.err
    assert metrics(rose) == {name: until_met(values) for name, values in expected.items()}


@pytest.mark.xdist_group("neighbours")
def test_snakemake_comes_to_the_same(folder: Path, expected: Mapping[str, list[float]]) -> None:
    call(neighbour("snakemake"), "--cores", "2", folder=folder)
    assert {name: found_in(folder / name) for name in COUNTS} == expected


@pytest.mark.xdist_group("neighbours")
def test_maestro_comes_to_the_same(folder: Path, expected: Mapping[str, list[float]]) -> None:
    call(neighbour("maestro"), "run", "-y", "-fg", "-s", "1", "-o", "out", "study.yaml", folder=folder)
    found = {name: found_in(folder / "out" / "learn" / f"COUNT.{count}") for name, count in COUNTS.items()}
    assert found == {name: until_met(values) for name, values in expected.items()}


@pytest.mark.xdist_group("neighbours")
def test_colmena_comes_to_the_same(folder: Path, expected: Mapping[str, list[float]]) -> None:
    call(neighbour("python"), "thinker.py", folder=folder)
    assert {name: found_in(folder / name) for name in COUNTS} == {
        name: until_met(values) for name, values in expected.items()
    }


def test_the_file_of_dpgen_is_json() -> None:
    """DP-GEN 0.14 itself accepts it (`dpgen.generator.arginfo.run_jdata_arginfo`); it takes 650 MB to install."""
    assert json.loads((EXAMPLES / "param.json").read_text())["numb_models"] == 4
