"""Modules of `preload` that are not installed, as far as that can be known without running Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.check.fixture import Campaigns, shown

if TYPE_CHECKING:
    from pathlib import Path

TASKS = "max_iter: 1\nlearners: 1\n"
ONE = TASKS + "tasks: {a: {executable: python sim.py, preload: [nmpy]}}\n"


@pytest.fixture
def campaigns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Campaigns:
    """Beside the directory of the programs is that of the packages, as in a virtual environment."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    site = tmp_path / "lib/python3.11/site-packages"
    for file in ("numpy/linalg/__init__.py", "numpy/core.cpython-311.so", "numpy/__init__.py", "single.py"):
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).touch()
    return Campaigns.set_up(tmp_path)


def warnings(campaigns: Campaigns, text: str) -> list[tuple[str, str | None]]:
    found = campaigns.check_text(text).diagnostics
    return [(each.code, each.hint) for each in found]


def test_a_module_that_is_not_installed_is_a_warning_at_its_name(campaigns: Campaigns) -> None:
    text = TASKS + "preload: [numpy, nmpy, qqqq.x]\ntasks: {a: {executable: python sim.py}}\n"
    assert (
        shown(campaigns.check_text(text))
        == """\
3:18-22 warning[not-installed] no module 'nmpy' is installed: every task with this list starts in a new interpreter
    preload: [numpy, nmpy, qqqq.x]
                     ^^^^
    help: did you mean 'numpy'?
3:24-30 warning[not-installed] no module 'qqqq' is installed: every task with this list starts in a new interpreter
    preload: [numpy, nmpy, qqqq.x]
                           ^^^^^^
    help: install it, or remove it from the list
"""
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nmpy.linalg", "did you mean 'numpy.linalg'?"),
        ("numpy.linlag", "did you mean 'numpy.linalg'?"),
        ("numpy.linlag.x", "did you mean 'numpy.linalg.x'?"),
        ("jsn", "did you mean 'json'?"),
        ("matplotlib", "install it, or remove it from the list"),
    ],
)
def test_the_hint_has_the_whole_name(campaigns: Campaigns, name: str, hint: str) -> None:
    assert warnings(campaigns, ONE.replace("nmpy", name)) == [("not-installed", hint)]


@pytest.mark.parametrize(
    "name",
    ["numpy", "numpy.linalg", "numpy.core", "numpy.made_at_run_time", "single", "single.moves", "os.path", "sys"],
)
def test_what_is_installed_or_may_come_from_a_package_is_fine(campaigns: Campaigns, name: str) -> None:
    assert warnings(campaigns, ONE.replace("nmpy", name)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max_iter", "env: {PYTHONPATH: /opt/lab}\nmax_iter"),
        ("max_iter", "env: {PATH: /opt/lab/bin}\nmax_iter"),
        ("python sim.py", "env/bin/python sim.py"),
        ("python sim.py", "/opt/of/nobody/python sim.py"),
        ("[nmpy]", "auto"),
    ],
)
def test_what_nobody_knows_is_no_warning(campaigns: Campaigns, old: str, new: str) -> None:
    assert "not-installed" not in [code for code, _ in warnings(campaigns, ONE.replace(old, new, 1))]


@pytest.mark.parametrize(("shared", "expected"), [("false", ["not-installed"]), ("True", [])])
def test_a_virtual_environment_has_its_own_modules_only(
    campaigns: Campaigns,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    shared: str,
    expected: list[str],
) -> None:
    base = tmp_path_factory.mktemp("base")
    other = base / "lib/python3.11/site-packages/nmpy.py"
    other.parent.mkdir(parents=True)
    other.touch()
    (base / "bin").mkdir()
    (tmp_path / "bin/python").rename(base / "bin/python")
    (tmp_path / "bin/python").symlink_to(base / "bin/python")
    (tmp_path / "pyvenv.cfg").write_text(f"home = x\ninclude-system-site-packages = {shared}\n")
    assert [code for code, _ in warnings(campaigns, ONE)] == expected


def test_where_a_pth_file_may_add_modules_only_a_slip_is_a_warning(campaigns: Campaigns, tmp_path: Path) -> None:
    (tmp_path / "lib/python3.11/site-packages/finder.pth").write_text("import some_finder\n")
    assert warnings(campaigns, ONE) == [("not-installed", "did you mean 'numpy'?")]
    assert warnings(campaigns, ONE.replace("nmpy", "nump_of_mine")) == []


def test_one_interpreter_that_nobody_knows_is_enough(campaigns: Campaigns) -> None:
    tasks = "tasks: {a: {executable: python sim.py}, b: {executable: '{python} sim.py', env: {PYTHONPATH: /x}}}\n"
    assert warnings(campaigns, TASKS + "preload: [nmpy]\n" + tasks) == []


def test_the_modules_of_a_function_are_those_of_python(campaigns: Campaigns) -> None:
    text = TASKS + "tasks: {a: {function: 'closed:replaced', preload: [nmpy]}}\n"
    assert warnings(campaigns, text) == [("not-installed", "did you mean 'numpy'?")]
