"""What rose brings along and how it is released: pins, licences, the list of packages, and the workflows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rose_cli.commands.doctor import installation
from tests.conftest import REPOSITORY
from tests.others import other_python
from tools.packages import LOCKS, PAGE, Pin, bill_of_materials, licence, licences, pins, used_by

if TYPE_CHECKING:
    from pathlib import Path

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
COPYLEFT = {name for name, said in licences().items() if "GPL" in said}


def is_installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def families(text: str) -> set[str]:
    """The licences that a text names, without their versions: those of a package may differ from Python to Python."""
    return set(re.findall(r"A?GPL|LGPL|BSD|MIT|Apache|MPL|ISC|PSF|Zlib|CC0|CNRI", text))


# --- licences ------------------------------------------------------------------------------------------------------


def test_the_page_lists_every_package_that_is_pinned() -> None:
    assert set(licences()) == {pin.name for pin in pins()}, "run: python -m tools.packages"


@pytest.mark.parametrize("name", sorted({pin.name for pin in pins()}))
def test_a_licence_is_that_which_the_package_names(name: str) -> None:
    if not is_installed(name):
        pytest.skip("it is for another Python or system")
    assert families(licence(name))
    assert families(licence(name)) <= families(licences()[name]), "run: python -m tools.packages"


@pytest.mark.skipif(not is_installed("radical.pilot") and not os.environ.get("CI"), reason="needs radical.pilot")
def test_packages_under_the_gpl_come_with_the_extra_only_and_are_named() -> None:
    uses = {name: use for name, use in used_by().items() if name in COPYLEFT}
    assert uses == {"radical-gtod": "`pilot`", "rc-process": "`pilot`", "docutils": "tests and tools"}
    rows = dict(re.findall(r"^\| `([^`]+)` \| [^|]+ \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows == used_by(), "run: python -m tools.packages"
    for name in ("README.md", "docs/pilots.md", "docs/licences.md"):
        assert "under the GPL and the AGPL" in (REPOSITORY / name).read_text(encoding="utf-8"), name


def test_who_is_told_to_install_the_extra_is_told_of_the_licences(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr("rose_cli.commands.doctor.version", missing)
    (check,) = installation()
    assert "GPL and AGPL" in str(check.hint)
    places = [path for path in (REPOSITORY / "rose_cli").rglob("*.py") if "rose-cli[pilot]" in path.read_text()]
    assert len(places) == 3
    assert [path.name for path in places if "under GPL and AGPL" not in path.read_text()] == []


_CLOSURE = """
from importlib.metadata import distribution
from packaging.requirements import Requirement

todo, found = ["mlflow-skinny", "pyarrow", "matplotlib"], {}
while todo:
    wanted = Requirement(todo.pop())
    name = wanted.name.lower().replace("_", "-")
    if name in found:
        continue
    there = distribution(name)
    classifiers = [each for each in there.metadata.get_all("Classifier") or () if each.startswith("License ::")]
    texts = [there.metadata["License-Expression"], (there.metadata["License"] or "")[:80], *classifiers]
    found[name] = " ".join(each for each in texts if each)
    for each in map(Requirement, there.requires or ()):
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)):
            todo.append(str(each).partition(";")[0])
for name, texts in found.items():
    print(name, "::", texts.replace(chr(10), " "))
"""


def test_the_other_extras_bring_no_package_under_the_gpl() -> None:
    said = subprocess.run([other_python(), "-c", _CLOSURE], capture_output=True, text=True, check=True, timeout=60)
    lines = said.stdout.splitlines()
    assert len(lines) > 45
    assert [line for line in lines if "GPL" in line or "GNU" in line] == []


# --- pins and the list of packages ---------------------------------------------------------------------------------


def test_every_package_is_pinned_with_checksums() -> None:
    for lock in (*LOCKS, REPOSITORY / "requirements" / "rose.txt"):
        lines = lock.read_text(encoding="utf-8").splitlines()
        named = [line for line in lines if line[:1].isalpha()]
        assert [line for line in named if not re.match(r"[\w.-]+==\S+", line) or not line.endswith("\\")] == []
    assert [pin for pin in pins() if not pin.hashes] == []


def test_what_rose_needs_is_pinned_alike_for_users_and_for_the_tests() -> None:
    lock, alone = (
        (REPOSITORY / "requirements" / name).read_text(encoding="utf-8") for name in ("lock.txt", "rose.txt")
    )
    pinned = re.findall(r"^[\w.-]+==[^\\\n]+", alone, re.MULTILINE)
    assert [each for each in pinned if each not in lock] == [], "run: make lock"
    wanted = {pin.name for pin in pins() if used_by()[pin.name] == "rose"}
    assert {each.partition("==")[0] for each in pinned} == wanted


def test_the_list_of_packages_has_every_version_with_its_checksums() -> None:
    made = bill_of_materials()
    assert made == bill_of_materials()
    text = "".join(lock.read_text(encoding="utf-8") for lock in LOCKS)
    found = {each["content"] for part in made["components"] for each in part["hashes"]}
    assert found == set(re.findall(r"sha256:(\w+)", text))
    references = [part["bom-ref"] for part in made["components"]]
    assert len(references) == len(set(references)) == len(pins())
    assert {part["scope"] for part in made["components"]} == {"required", "optional", "excluded"}
    assert Pin("anyio", version("anyio"), None, ()).url in references


# --- releases ------------------------------------------------------------------------------------------------------


def test_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    """In other folders, with other times and other permissions of the files."""
    built = []
    for name, umask in (("one", 0o022), ("another/place", 0o077)):
        folder = tmp_path / name
        ignored = shutil.ignore_patterns("__pycache__", "rose-runs", ".*")
        for part in ("rose_cli", "docs"):
            shutil.copytree(REPOSITORY / part, folder / part, ignore=ignored, copy_function=shutil.copyfile)
        for part in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copyfile(REPOSITORY / part, folder / part)
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build"],
            cwd=folder,
            env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
            umask=umask,
            check=True,
            capture_output=True,
        )
        built.append({path.name: path.read_bytes() for path in (folder / "dist").iterdir()})
    assert len(built[0]) == 2
    assert built[0] == built[1]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_named_by_commit(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", each)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_job_may_do_more_than_it_has_to(path: Path) -> None:
    workflow: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    granted = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    expected = {"publish": {"id-token": "write"}, "attach": {"contents": "write"}} if path.name == "release.yml" else {}
    assert granted == expected
    for name in granted:  # where there is a right, nothing of the repository runs
        steps = workflow["jobs"][name]["steps"]
        assert not any("checkout" in step.get("uses", "") or "make " in step.get("run", "") for step in steps)
