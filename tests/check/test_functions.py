"""Where the module of a function is searched: beside the campaign file, and in the environment of `python`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.check.fixture import Campaigns

if TYPE_CHECKING:
    from pathlib import Path

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
