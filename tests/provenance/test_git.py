"""What is known of the git repository of a campaign; and that nothing which the repository names is ever run."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from rose_cli.provenance import git
from rose_cli.provenance.git import Git, GitState, read_git, without_credentials

if TYPE_CHECKING:
    from pathlib import Path


def call(directory: Path, *words: str) -> str:
    person = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **person}
    done = subprocess.run(
        ["git", *words], cwd=directory, env={**os.environ, **own}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, and a campaign in a directory of it."""
    tree = tmp_path / "tree"
    (tree / "campaign").mkdir(parents=True)
    (tree / "campaign" / "campaign.yaml").write_text("x")
    (tree / "model.py").write_text("x")
    call(tree, "init", "-q", "-b", "main")
    call(tree, "add", ".")
    call(tree, "commit", "-q", "-m", "first")
    return tree


def state(directory: Path, seconds: float = 60.0) -> GitState | None:
    found: list[GitState] = []
    read_git(directory, Git(seconds), lambda name: "rose-runs" in name.split("/"), found.append)
    return found[-1] if found else None


def test_a_clean_repository(repository: Path) -> None:
    call(repository, "remote", "add", "origin", "https://user:secret@example.org/group/project.git")
    found = state(repository / "campaign")
    assert found == GitState(
        str(repository), call(repository, "rev-parse", "HEAD"), "main", "https://example.org/group/project.git",
        (), 0, (), 0,
    )  # fmt: skip


def test_what_differs_is_named_and_runs_are_not(repository: Path) -> None:
    (repository / "model.py").write_text("y")
    (repository / "campaign" / "new.py").write_text("y")
    (repository / "campaign" / "odd\n\x1b[31m ü.py").write_text("y")
    (repository / "campaign" / "rose-runs").mkdir()
    (repository / "campaign" / "rose-runs" / "journal").write_text("y")
    call(repository, "mv", "campaign/campaign.yaml", "campaign/renamed.yaml")
    found = state(repository / "campaign")
    assert found is not None
    assert found.changed == ("campaign/campaign.yaml", "campaign/renamed.yaml", "model.py")
    assert (found.changes, found.untracked_count, found.problem) == (3, 2, None)
    assert found.untracked == ("campaign/new.py", "campaign/odd\n\x1b[31m ü.py")


def test_a_thousand_changes_are_counted_and_the_first_named(repository: Path) -> None:
    for number in range(1000):
        (repository / f"{number:04}.txt").write_text("x")
    call(repository, "add", ".")
    found = state(repository)
    assert found is not None
    assert (found.changes, len(found.changed)) == (1000, git.MOST_NAMED)


def test_no_repository(tmp_path: Path) -> None:
    assert state(tmp_path) is None


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    call(tmp_path, "init", "-q", "-b", "main")
    assert state(tmp_path) == GitState(str(tmp_path), None, "main", problem="it has no commit yet")


def test_a_detached_head_packed_refs_and_a_worktree(repository: Path, tmp_path: Path) -> None:
    call(repository, "pack-refs", "--all")
    found = state(repository)
    assert found is not None
    assert (found.branch, found.changes) == ("main", 0)
    call(repository, "worktree", "add", "-q", "-b", "other/branch", str(tmp_path / "second"))
    (tmp_path / "second" / "model.py").write_text("longer")
    found = state(tmp_path / "second")
    assert found is not None
    assert (found.root, found.branch, found.changed) == (str(tmp_path / "second"), "other/branch", ("model.py",))
    call(repository, "checkout", "-q", "--detach")
    found = state(repository)
    assert found is not None
    assert (found.branch, found.commit, found.changes) == (None, call(repository, "rev-parse", "HEAD"), 0)


def test_the_settings_that_say_how_files_are_compared_are_kept(repository: Path) -> None:
    (repository / "model.py").chmod(0o755)
    call(repository, "config", "core.fileMode", "false")
    found = state(repository)
    assert found is not None
    assert found.changes == 0


def test_a_split_index(repository: Path) -> None:
    call(repository, "update-index", "--split-index")
    (repository / "model.py").write_text("longer")
    found = state(repository)
    assert found is not None
    assert (found.changed, found.problem) == (("model.py",), None)


HOSTILE = ("core.fsmonitor", "core.pager", "core.hooksPath", "core.sshCommand", "core.editor", "diff.external",
           "filter.x.clean", "filter.x.smudge", "filter.x.process", "credential.helper", "core.askPass",
           "core.gitProxy", "alias.status", "pager.status", "uploadpack.packObjectsHook", "core.alternateRefsCommand",
           "diff.x.textconv", "diff.x.command", "merge.x.driver", "gpg.program")  # fmt: skip


def test_nothing_that_a_repository_names_is_run(repository: Path, tmp_path: Path) -> None:
    proof = tmp_path / "was-run"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {proof}\n")
    program.chmod(0o755)
    (repository / ".gitattributes").write_text("* filter=x diff=x merge=x\n")
    call(repository, "add", ".")
    call(repository, "commit", "-q", "-m", "attributes")
    for name in HOSTILE:
        call(repository, "config", name, str(program))
    (tmp_path / "included").write_text(f"[core]\nfsmonitor = {program}\n")
    call(repository, "config", "include.path", str(tmp_path / "included"))
    for hook in ("post-index-change", "fsmonitor-watchman", "pre-commit", "post-checkout", "reference-transaction"):
        (repository / ".git" / "hooks").mkdir(exist_ok=True)
        (repository / ".git" / "hooks" / hook).write_text(program.read_text())
        (repository / ".git" / "hooks" / hook).chmod(0o755)
    (repository / "model.py").write_text("z")  # of the same size: it has to be read, by a filter if there were one
    found = state(repository)
    assert found is not None
    assert (found.changed, found.problem) == (("model.py",), None)
    assert not proof.exists()
    subprocess.run(["git", "status"], cwd=repository, check=False, capture_output=True)
    assert proof.exists(), "the trap works"


def test_a_submodule_runs_nothing_either(repository: Path, tmp_path: Path) -> None:
    proof = tmp_path / "was-run"
    call(tmp_path, "init", "-q", "inner")
    (tmp_path / "inner" / "f").write_text("x")
    call(tmp_path / "inner", "add", ".")
    call(tmp_path / "inner", "commit", "-q", "-m", "first")
    call(repository, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / "inner"), "sub")
    call(repository, "commit", "-q", "-m", "sub")
    call(repository / "sub", "config", "core.fsmonitor", f"touch {proof}; true")
    (repository / "sub" / "f").write_text("longer")
    found = state(repository)
    assert found is not None
    assert (found.changes, found.problem) == (0, None)
    assert not proof.exists()


def test_another_users_repository_is_read(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git refuses to read one, since it would run what that names; rose runs nothing of it."""
    other = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    plain = subprocess.run(["git", "status"], cwd=repository, env={**os.environ, **other}, check=False)
    assert plain.returncode != 0, "the trap works"
    ours = git._environment()
    monkeypatch.setattr(git, "_environment", lambda: {**ours, **other})
    found = state(repository)
    assert found is not None
    assert (found.changes, found.problem) == (0, None)


def test_without_git_the_commit_is_known(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = state(repository)
    assert found is not None
    assert found.commit is not None
    assert (found.changes, found.problem) == (None, "git is not installed")


def test_a_git_that_hangs_is_killed(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "git"
    fake.write_text("#!/bin/sh\nsleep 1000\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    found = state(repository, 0.2)
    assert found is not None
    assert (found.changes, found.problem) == (None, "git took too long")


def test_a_damaged_repository_says_why(repository: Path) -> None:
    (repository / ".git" / "index").write_bytes(b"DIRC noise")
    found = state(repository)
    assert found is not None
    assert found.changes is None
    assert found.problem is not None
    assert "index" in found.problem


def test_a_repository_is_left_as_it_was(repository: Path) -> None:
    (repository / "model.py").touch()
    before = {path: path.stat().st_mtime_ns for path in repository.rglob("*")}
    state(repository)
    assert {path: path.stat().st_mtime_ns for path in repository.rglob("*")} == before


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://token@example.org/a.git", "https://example.org/a.git"),
        ("https://a:b@c@example.org/a.git?key=1#x", "https://example.org/a.git"),
        ("ssh://git@example.org:22/a.git", "ssh://example.org:22/a.git"),
        ("git@example.org:group/a.git", "git@example.org:group/a.git"),
        ("alice:secret@example.org:group/a.git", "git@example.org:group/a.git"),
        ("/data/projects/a@b.git", "/data/projects/a@b.git"),
        ("", ""),
    ],
)
def test_a_remote_has_no_credentials(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
