"""The hook of `.pre-commit-hooks.yaml`, run by the real pre-commit in a repository with campaigns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.conftest import PATIENCE, REPOSITORY
from tests.others import other_program

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST = REPOSITORY / ".pre-commit-hooks.yaml"
RIGHT = "{tasks: {a: {executable: 'true'}}, learners: 1, max_iter: 1}\n"


def hook() -> dict[str, Any]:
    (found,) = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    return dict(found)


def test_the_manifest_is_one_that_pre_commit_accepts() -> None:
    done = subprocess.run(
        [other_program("pre-commit"), "validate-manifest", str(MANIFEST)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_its_entry_is_a_command_that_the_package_installs() -> None:
    assert hook()["language"] == "python"
    assert hook()["entry"] == "rose validate"
    scripts = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8").partition("[project.scripts]")[2]
    assert re.search(r'^rose = "rose_cli', scripts, re.MULTILINE)


@pytest.mark.parametrize(
    ("path", "is_checked"),
    [
        ("campaign.yaml", True),
        ("campaign.yml", True),
        ("my-campaign.yaml", True),
        ("studies/digits/campaign-2.yaml", True),
        ("campaigns/digits.yaml", True),
        ("deep/campaigns/digits.yml", True),
        ("config.yaml", False),
        ("campaigns/digits/settings.yaml", False),
        ("campaign.yaml.bak", False),
        ("campaign.py", False),
        ("rose-runs/x-1/campaign.yaml", False),
        ("study/rose-runs/x-1/campaign.yaml", False),
    ],
)
def test_it_looks_at_campaign_files_and_no_others(path: str, is_checked: bool) -> None:
    found = hook()
    assert bool(re.search(found["files"], path) and not re.search(found["exclude"], path)) == is_checked


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], subprocess.CompletedProcess[str]]:
    """A git repository that has the hook, with the rose of the tests in place of one that pre-commit would install."""
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for key in [key for key in os.environ if key.startswith("GIT_")]:
        monkeypatch.delenv(key)
    folder = tmp_path / "repository"
    folder.mkdir()
    local = {"repo": "local", "hooks": [{**hook(), "language": "system"}]}
    (folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [local]}), encoding="utf-8")

    def run() -> subprocess.CompletedProcess[str]:
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True, timeout=PATIENCE)
        subprocess.run(["git", "add", "-A"], cwd=folder, check=True, timeout=PATIENCE)
        command = [other_program("pre-commit"), "run", "--all-files", "--color=never", "--verbose"]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)

    return run


def test_pre_commit_checks_all_campaigns_in_one_go(
    repository: Callable[[], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "repository"
    (folder / "campaigns").mkdir()
    (folder / "rose-runs").mkdir()
    for name in ("campaign.yaml", "campaigns/a.yaml"):
        (folder / name).write_text(RIGHT, encoding="utf-8")
    for name in ("other.yaml", "rose-runs/campaign.yaml"):
        (folder / name).write_text("a: 1\n", encoding="utf-8")
    done = repository()
    assert done.returncode == 0, done.stdout
    assert "no errors in campaign.yaml" in done.stdout
    assert "no errors in campaigns/a.yaml" in done.stdout

    (folder / "campaigns" / "b c.yaml").write_text(RIGHT.replace("max_iter", "max_itr"), encoding="utf-8")
    done = repository()
    assert done.returncode == 1
    assert "Failed" in done.stdout
    assert re.search(r"campaigns/b c\.yaml:1:\d+: error\[unknown-key\]: unknown key .max_itr.", done.stdout)
    assert "help: did you mean 'max_iter'?" in done.stdout
