"""Who may use which third-party package, and what is imported when. Who may import whom: [tool.importlinter]."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PATIENCE, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PACKAGE = REPOSITORY / "rose_cli"

OWNERS = {
    "typer": {"cli", "options", "parser"},
    "yaml": {"config.yaml"},
    "pydantic": {"config"},
    "pydantic_core": {"config"},
    "rich": {"view"},
    "anyio": {
        "api.child",
        "commands.doctor",
        "engine",
        "journal",
        "loop",
        "run_session",
        "runs.snapshot",
        "util.shortage",
        "view",
    },
    "matplotlib": {"report"},
    "plotille": {"view.canvas"},
    "radical": {"engine.pilot.bridge"},
    "psij": {"batch.systems"},
    "mlflow": {"track.mlflow_client"},
    "pyarrow": {"tables.parquet"},
    "pandas": {"api.table"},
    "polars": {"api.table"},
    "cloudpickle": {"api.task", "api.upstream.functions"},
    "numpy": {"api.upstream.scorer"},
    "scipy": {"plan.sweep"},
}
EXTRAS = {"matplotlib", "radical", "psij", "pyarrow", "mlflow", "scipy"}
"""Not among the dependencies: an extra brings them, and they are imported only when used."""
OF_PROGRAMS = {"numpy", "pandas", "polars"}
"""Neither dependencies nor extras: a program that asks for what needs them has them."""
TYPES_ONLY = {"typing_extensions"}
BROUGHT_ALONG = {"pydantic_core": "pydantic"}

WATCHDOG = {
    "engine.slurm_variables", "engine.sruns", "engine.termination", "util.dataclass", "util.processes",
    "util.slurm_commands",
}  # fmt: skip


HEAVY = {"yaml", "anyio", "asyncio", "rich.live", "rose_cli.view", "rose_cli.commands"}
"""What no help needs."""


@dataclass(frozen=True)
class Import:
    """`importer` and `imported` are names within the package for its own modules; else the imported name is whole."""

    importer: str
    imported: str
    own: bool
    only_types: bool

    @property
    def package(self) -> str:
        return self.imported.split(".")[0]


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its name within it; the templates are the user's scripts, not modules."""
    paths = [path for path in PACKAGE.rglob("*.py") if "templates" not in path.relative_to(PACKAGE).parts]
    return {_name(path): path for path in paths}


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def all_imports() -> tuple[Import, ...]:
    return tuple(found for name, path in modules().items() for found in _imports_of(name, path.read_text()))


def _imports_of(importer: str, text: str) -> Iterator[Import]:
    for node, only_types in _nodes(ast.parse(text), only_types=False):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (_import(importer, name, only_types=only_types) for name in names)


def _nodes(node: ast.AST, *, only_types: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below, and whether it is there for the type checker alone."""
    for child in ast.iter_child_nodes(node):
        for_types = only_types or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        yield child, for_types
        yield from _nodes(child, only_types=for_types)


def _import(importer: str, name: str, *, only_types: bool) -> Import:
    """`from package.module import name` may name a module or something in one."""
    if name.split(".", maxsplit=1)[0] != PACKAGE.name:
        return Import(importer, name, own=False, only_types=only_types)
    inner = name.partition(".")[2]
    module = inner if inner in modules() else inner.rpartition(".")[0]
    return Import(importer, module, own=True, only_types=only_types)


def covers(allowed: Iterable[str], module: str) -> bool:
    """Whether the module is one of those allowed, or in one; the empty name is the package itself, nothing below."""
    return any(module == each or (each and module.startswith(f"{each}.")) for each in allowed)


def test_the_imports_are_found() -> None:
    """The tests below prove nothing where the reader sees nothing."""
    assert Import("loop.session", "engine.base", own=True, only_types=True) in all_imports()
    assert Import("cli", "commands.run", own=True, only_types=False) in all_imports()
    assert Import("cli", "typer", own=False, only_types=False) in all_imports()


def test_the_picture_of_the_packages_shows_the_layers_that_are_checked() -> None:
    layers = (
        (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8").partition("\nlayers = [\n")[2].partition("\n]")[0]
    )
    page = (REPOSITORY / "docs" / "how-it-works.md").read_text(encoding="utf-8")
    picture = page.partition("```text\n")[2].partition("```")[0]
    checked = [sorted(re.findall(r"\w+", line)) for line in layers.splitlines()]
    shown = [sorted(re.findall(r"\w+", line.replace(".py", ""))) for line in picture.splitlines()]
    assert shown == [sorted(["__main__", *checked[1]]), *checked[2:]]


def test_the_table_of_the_packages_names_them_all_with_what_they_import() -> None:
    page = (REPOSITORY / "docs" / "how-it-works.md").read_text(encoding="utf-8").partition("## How a campaign")[0]
    rows = re.findall(r"^\| `(\w+)[^|]*\|[^|]*\|([^|]*)\|$", page, re.MULTILINE)
    assert {name for name, _ in rows} == rooms() - {"__main__", "__init__"}
    owned = {(place.partition(".")[0], package) for package, places in OWNERS.items() for place in places}
    shown = {(name, each.partition(".")[0]) for name, packages in rows for each in packages.split(", ") if each.strip()}
    assert {(name, each.strip()) for name, each in shown} == owned - {("config", "pydantic_core")}


def rooms() -> set[str]:
    """What lies in the package: its subpackages and modules, and the templates."""
    return {
        path.stem
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or any(path.rglob("*.py"))  # git leaves __pycache__ behind where a package was
    }


def test_every_package_has_its_owner() -> None:
    foreign = [each for each in all_imports() if not each.own and each.package not in sys.stdlib_module_names]
    used = {each.package for each in foreign if not each.only_types}
    assert used == set(OWNERS), "an owner is wanted for each package, and each package is used"
    strays = {
        (each.importer, each.package)
        for each in foreign
        if each.package not in TYPES_ONLY and not covers(OWNERS.get(each.package, ()), each.importer)
    }
    assert strays == set()


def test_every_package_is_declared_and_every_declared_package_is_used() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    listed = text.partition("\ndependencies = [\n")[2].partition("\n]")[0]
    declared = set(re.findall(r'^\s*"([a-z-]+)', listed, re.MULTILINE))
    distributions = {"yaml": "pyyaml", **BROUGHT_ALONG}
    assert {distributions.get(package, package) for package in OWNERS.keys() - EXTRAS - OF_PROGRAMS} == declared
    assert set(re.findall(r'^(?:pilot|submit|parquet|plots|mlflow|sweep) = \["([a-z]+)', text, re.MULTILINE)) == EXTRAS


def test_the_watchdog_needs_the_standard_library_alone() -> None:
    """It loads these files without any package around them."""
    for each in all_imports():
        if each.importer in WATCHDOG and not each.only_types:
            assert each.imported in WATCHDOG if each.own else each.package in sys.stdlib_module_names, each


def test_dataclasses_are_those_that_compile_nothing_at_import() -> None:
    standard = {each.importer for each in all_imports() if each.imported == "dataclasses.dataclass"}
    assert standard == {"util.dataclass"}


def test_the_plan_knows_neither_yaml_nor_pydantic() -> None:
    assert "yaml" not in loaded("-c", "import rose_cli.plan.model, rose_cli.plan.file, rose_cli.plan.render")
    assert "pydantic" not in loaded("-c", "import rose_cli.plan.model, rose_cli.plan.file, rose_cli.plan.render")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"], ["exec", "-h"]])
def test_help_loads_nothing_of_the_commands(words: list[str]) -> None:
    imported = loaded("-m", "rose_cli", *words)
    assert "typer" in imported
    assert imported & {"pydantic", "rich.markdown", "rich.traceback", *HEAVY} == set()


def test_validate_imports_nothing_that_runs(tmp_path: Path) -> None:
    campaign = tmp_path / "campaign.yaml"
    campaign.write_text("{tasks: {simulation: {executable: 'true'}}, learners: 1, max_iter: 1}\n", encoding="utf-8")
    imported = loaded("-m", "rose_cli", "validate", str(campaign))
    assert "pydantic" in imported
    assert imported & {"numpy", "radical", "rich.console", "rose_cli.loop", "rose_cli.journal"} == set()
    assert imported & {"anyio", "asyncio", "importlib.metadata"} == set()


READERS = [
    "status",
    "logs",
    "export",
    "path",
    "list",
    "list --format=json",
    "report --format=md",
    "status --results",
    "verify",
    "export --format=ro-crate",
    "clean -n",
]
"""Commands that read what runs have left, as they are called."""


@pytest.mark.parametrize("command", READERS)
def test_looking_at_a_run_loads_neither_yaml_nor_pydantic(command: str, finished_run: Path) -> None:
    unused = {"pydantic", "yaml", "asyncio", "plotille"}
    assert loaded("-m", "rose_cli", *command.split(), cwd=finished_run) & unused == set()


def test_plots_are_drawn_by_plotille_which_nothing_else_loads(finished_run: Path) -> None:
    imported = loaded("-m", "rose_cli", "status", "--plot", cwd=finished_run)
    assert "plotille" not in imported, "the run has no metric"
    assert imported & {"pydantic", "yaml", "asyncio"} == set()


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one run."""
    directory = tmp_path_factory.mktemp("finished")
    text = "{tasks: {simulation: {executable: 'true'}}, learners: 1, max_iter: 1}\n"
    (directory / "campaign.yaml").write_text(text, encoding="utf-8")
    loaded("-m", "rose_cli", "run", "campaign.yaml", cwd=directory)
    return directory


def loaded(*arguments: str, cwd: Path = REPOSITORY) -> set[str]:
    """What an interpreter of its own imports on the way; it has to end well."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def test_nothing_of_batch_systems_is_loaded_outside_a_job(tmp_path: Path) -> None:
    campaign = tmp_path / "campaign.yaml"
    campaign.write_text("{max_iter: 1, tasks: {s: {executable: 'true'}}, learners: 1}")
    imported = loaded("-m", "rose_cli", "run", str(campaign), "--run-dir", str(tmp_path / "r"))
    assert "rose_cli.engine.local" in imported
    assert [name for name in imported if "slurm" in name or name.endswith(("batch_clock", "job_watch"))] == []


# ---- the tests themselves


@pytest.mark.xdist_group("nobody else")
def test_groups_of_tests_are_seen(request: pytest.FixtureRequest) -> None:
    """Unseen, each process of the tests has a pilot of its own, and terminals are looked at side by side."""
    if "PYTEST_XDIST_WORKER" in os.environ and request.config.getoption("loadgroup"):
        assert request.node.nodeid.endswith("@nobody else")
