"""Where the module of a function is searched: beside the campaign file, and in the environment of `python`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.check.fixture import Campaigns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rose_cli.util.errors import Diagnostic

TEXT = "{max_iter: 1, learners: 1, tasks: {a: {function: 'some_package.work:go'}}}"


@pytest.fixture
def campaigns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Campaigns:
    """Beside the directory of the programs is that of the packages, as in a virtual environment."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "lib/python3.11/site-packages").mkdir(parents=True)
    return Campaigns.set_up(tmp_path)


def codes(campaigns: Campaigns, text: str = TEXT) -> list[str]:
    return [each.code for each in campaigns.check_text(text).diagnostics]


def test_a_module_that_is_neither_beside_nor_installed_is_an_error(campaigns: Campaigns) -> None:
    (found,) = campaigns.check_text(TEXT).diagnostics
    assert found.code == "missing-module"
    assert found.message == "there is no module 'some_package.work' beside the campaign file, and none is installed"
    assert found.hint == "write the function to 'some_package/work.py', or install the module"


@pytest.mark.parametrize(
    "where", ["site-packages/some_package/__init__.py", "site-packages/some_package.py", "some_package.py",
              "site-packages/some_package.cpython-311-x86_64-linux-gnu.so", "dist-packages/some_package/x.py"]
)  # fmt: skip
def test_one_that_is_installed_is_none(campaigns: Campaigns, tmp_path: Path, where: str) -> None:
    path = tmp_path / "lib/python3.11" / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert codes(campaigns) == []


def test_one_in_the_home_of_the_user_is_none(campaigns: Campaigns, tmp_path: Path) -> None:
    (tmp_path / "home/.local/lib/python3.11/site-packages/some_package").mkdir(parents=True)
    assert codes(campaigns) == []


@pytest.mark.parametrize("name", ["math", "json", "sys"])
def test_the_standard_library_is_installed(campaigns: Campaigns, name: str) -> None:
    assert codes(campaigns, TEXT.replace("some_package.work", name)) == []


def test_one_that_is_installed_in_place_is_found_through_its_pth_file(campaigns: Campaigns, tmp_path: Path) -> None:
    place = tmp_path / "lib/python3.11/site-packages/_some_package.pth"
    place.write_text(f"{tmp_path / 'src'}\n")
    assert codes(campaigns) == ["missing-module"]
    (tmp_path / "src/some_package").mkdir(parents=True)
    assert codes(campaigns) == []
    place.write_text("import some_finder\n")
    assert codes(campaigns, TEXT.replace("some_package", "other")) == []
    place.unlink()
    (place.parent / "distutils-precedence.pth").write_text("import os\n")
    assert codes(campaigns) == ["missing-module"]


@pytest.mark.parametrize(
    "more", ["pre_exec: module load python", "env: {PYTHONPATH: /opt/lab}", "engine: {kind: radical.pilot, cores: 1}"]
)
def test_nobody_knows_what_is_installed_elsewhere(campaigns: Campaigns, more: str) -> None:
    assert codes(campaigns, TEXT.replace("max_iter: 1", f"max_iter: 1, {more}")) == []


# --- a module with a syntax error ----------------------------------------------------------------------------------

BROKEN = """
max_iter: 1
learners: 2
tasks: {a: {function: 'own:f'}, b: {function: 'own:g'}}
stop: {metric: mse, threshold: 1, function: 'own:h'}
"""


def of_broken(campaigns: Campaigns, more: str = "", module: str = "x = 1\ndef f(a b): ...\n") -> Sequence[Diagnostic]:
    (campaigns.folder / "own.py").write_text(module)
    return campaigns.check_text(f"{BROKEN}{more}").diagnostics


def test_a_syntax_error_is_one_error_with_its_place_in_the_module(campaigns: Campaigns) -> None:
    (found,) = of_broken(campaigns)
    assert (found.code, found.is_error) == ("bad-module", True)
    assert found.message.startswith("syntax error in own.py:2:")
    assert found.hint == "correct that line: def f(a b): ..."
    assert found.span is not None
    assert found.span.line == 4


@pytest.mark.parametrize("more", ["pre_exec: module load python", "env: {PYTHONPATH: /opt/lab}"])
def test_another_python_might_know_the_syntax(campaigns: Campaigns, more: str) -> None:
    assert [(each.code, each.is_error) for each in of_broken(campaigns, more)] == [("bad-module", False)]


@pytest.mark.parametrize(("version", "is_error"), [("python3.9", True), ("python3", True), ("python3.99", False)])
def test_a_newer_python_might_know_the_syntax(campaigns: Campaigns, version: str, is_error: bool) -> None:
    (campaigns.folder.parent / "lib" / version).mkdir()
    assert [each.is_error for each in of_broken(campaigns)] == [is_error]


# --- options -------------------------------------------------------------------------------------------------------

CHOOSE = """
max_iter: 1
tasks: {choose: {function: 'own:choose'}}
learners:
  - {name: random, choose: {--strategy: random}}
  - {name: spread, choose: {OPTION: spread}}
"""


@pytest.mark.parametrize(
    ("parameters", "option", "codes"),
    [("strategy", "--strateggy", ["unknown-parameter"]), ("strategy", "--n", ["missing-argument", "unknown-parameter"]),
     ("strategy, size", "--strateggy", ["missing-argument", "unknown-parameter"]),
     ("strategy, **more", "--strateggy", ["missing-argument"])],
)  # fmt: skip
def test_a_misspelt_option_is_not_also_a_missing_one(
    campaigns: Campaigns, parameters: str, option: str, codes: list[str]
) -> None:
    (campaigns.folder / "own.py").write_text(f"def choose({parameters}): ...\n")
    found = campaigns.check_text(CHOOSE.replace("OPTION", option)).diagnostics
    assert [each.code for each in found] == codes
    if "strateggy" in option and codes[-1] == "unknown-parameter":
        assert found[-1].hint == "did you mean 'strategy'?"
        assert not any("'strategy'" in each.message for each in found)
