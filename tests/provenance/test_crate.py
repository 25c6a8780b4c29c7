"""`rose export --format ro-crate`: what is in a crate, and that the profile's own validator accepts it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from rose_cli.plan.file import dump_plan, load_plan
from rose_cli.plan.model import FilePlan
from rose_cli.provenance import actions, package
from tests.conftest import Rose
from tests.others import other_environment, other_python
from tests.provenance.test_git import call

if TYPE_CHECKING:
    from collections.abc import Iterator

CAMPAIGN = r"""
name: small
seed: 5
tasks:
  simulation:
    executable: [sh, ./sim.sh]
    options: {--n: 10, --rate: 0.1, --name: "two words", --flag: true}
    retries: 1
  training: {executable: [sh, -c, 'echo x > model.txt; echo trained; echo "{{\"loss\": 0.5, \"odd\": NaN, \"big\": 123456789012345678901}}" > $ROSE_RESULT']}
stop: {metric: mse, threshold: 0.2, executable: [sh, -c, 'echo 0.$((3 - $ROSE_ITERATION))']}
max_iter: 3
learners:
  - {name: a}
  - {name: "b <c>", training: {executable: [sh, -c, 'echo "</script>" >&2; exit 3']}}
"""  # noqa: E501

SCRIPT = 'echo hi > "out $ROSE_ITERATION.txt"; [ $ROSE_ATTEMPT != 1 ] || [ $ROSE_ITERATION != 0 ]\n'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Rose:
    """A run in a git repository, one learner of which fails."""
    rose = Rose(tmp_path_factory.mktemp("crate"))
    rose.write(CAMPAIGN)
    rose.write(SCRIPT, "sim.sh")
    call(rose.folder, "init", "-q", "-b", "main")
    call(rose.folder, "add", ".")
    call(rose.folder, "commit", "-q", "-m", "first")
    call(rose.folder, "remote", "add", "origin", "https://user:secret@example.org/project")
    assert rose("run", "campaign.yaml", "--run-dir", "r", "-o", "quiet").code == 1
    return rose


@pytest.fixture(scope="module")
def crate(run: Rose) -> Path:
    called = run("export", "r", "--format", "ro-crate", "-o", "r.crate")
    assert (called.code, called.out) == (0, "")
    assert "wrote 'r.crate': 13 attempts" in called.err
    return run.folder / "r.crate"


@pytest.fixture(scope="module")
def entities(crate: Path) -> dict[str, Any]:
    return entities_of((crate / "ro-crate-metadata.json").read_bytes())


def entities_of(text: bytes) -> dict[str, Any]:
    graph = json.loads(text)["@graph"]
    assert len({each["@id"] for each in graph}) == len(graph)
    return {each["@id"]: each for each in graph}


def listed(value: Any) -> list[str]:
    return [each["@id"] for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]


def of_type(entities: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    return (each for each in entities.values() if name == each["@type"] or name in each["@type"])


def issues(crate: Path, severity: str) -> list[dict[str, Any]]:
    program = Path(__file__).with_name("validator.py")
    done = subprocess.run(
        [other_python(), program, crate, severity],
        env=other_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


NOT_APPLICABLE = {
    "process-run-crate-0.5_3.2",  # a program of the user's has no URL
    "process-run-crate-0.5_4.1",  # nor a version, unless it is a file whose fingerprint is known
    "process-run-crate-0.5_5.1",  # nor is its identifier a URL
    "ro-crate-1.1_22.3",  # nobody has published the run
    "ro-crate-1.1_30.2",  # rose knows the name of the user, not where they work
    "ro-crate-1.1_30.3",
}
"""The recommendations that docs/provenance.md explains."""


@pytest.mark.xdist_group("rocrate")
def test_the_validator_of_the_profile_finds_nothing_but_what_does_not_apply(crate: Path) -> None:
    found = issues(crate, "RECOMMENDED")
    assert [each for each in found if each["severity"] == "REQUIRED"] == []
    assert {each["check"] for each in found} == NOT_APPLICABLE


@pytest.mark.xdist_group("rocrate")
def test_the_validator_does_look(crate: Path, tmp_path: Path) -> None:
    shutil.copytree(crate, tmp_path / "broken")
    path = tmp_path / "broken" / "ro-crate-metadata.json"
    path.write_text(path.read_text().replace('"instrument"', '"instrumentt"'))
    assert [each for each in issues(tmp_path / "broken", "REQUIRED") if each["severity"] == "REQUIRED"]


def test_the_page_names_each_recommendation_that_does_not_apply() -> None:
    page = (Path(__file__).parents[2] / "docs" / "provenance.md").read_text(encoding="utf-8")
    assert {name for name in NOT_APPLICABLE if f"`{name}`" not in page} == set()


def test_every_file_is_there_with_its_size_and_checksum(crate: Path, entities: dict[str, Any]) -> None:
    files = {unquote(each["@id"]): each for each in of_type(entities, "File")}
    there = {str(path.relative_to(crate)) for path in crate.rglob("*") if path.is_file()}
    assert there == {*files, "ro-crate-metadata.json"}
    for name, entity in files.items():
        data = (crate / name).read_bytes()
        assert (entity["sha256"], entity["contentSize"]) == (sha256(data).hexdigest(), str(len(data)))
    assert set(listed(entities["./"]["hasPart"])) == {each["@id"] for each in files.values()}
    assert "learners/a/workspace/model.txt" in files
    assert "inputs/sim.sh" in files


def test_everything_that_is_referred_to_is_there(entities: dict[str, Any]) -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from [value["@id"]] if "@id" in value else []
        elif isinstance(value, list):
            for each in value:
                yield from references(each)

    outside = ("https://w3id.org/ro/crate/", "https://bioschemas.org/")
    for entity in entities.values():
        for name, value in entity.items():
            for each in references(value):
                assert each in entities or each.startswith(outside), (entity["@id"], name, each)


def test_an_action_says_what_ran_with_what_and_what_came_of_it(entities: dict[str, Any]) -> None:
    action = entities["#run/a/1/simulation.0/1"]
    assert action["actionStatus"] == "http://schema.org/CompletedActionStatus"
    assert action["startTime"] < action["endTime"]
    values = {entities[each]["name"]: entities[each].get("value") for each in listed(action["object"])}
    assert values.pop("seed") > 0
    assert values == {"--n": 10, "--rate": 0.1, "--name": "two words", "--flag": True}
    assert "learners/a/workspace/out%201.txt" in listed(action["result"])
    tool = entities[listed(action["instrument"])[0]]
    assert (tool["name"], tool["softwareVersion"][:7]) == ("simulation", "sha256:")
    kinds = {entities[each]["name"]: entities[each]["additionalType"] for each in listed(tool["input"])}
    assert kinds == {"--n": "Integer", "--rate": "Float", "--name": "Text", "--flag": "Boolean"}
    trained = entities["#run/a/2/training.0/1"]
    values = {entities[each]["name"]: entities[each].get("value") for each in listed(trained["result"])}
    assert (values["loss"], values["odd"], values["big"]) == (0.5, "nan", "123456789012345678901")
    checked = entities["#run/a/1/criterion.0/1"]
    assert 0.2 in [entities[each].get("value") for each in listed(checked["result"])]


def test_a_failed_action_has_its_error(entities: dict[str, Any]) -> None:
    failed = entities["#run/b%20%3Cc%3E/0/training.0/1"]
    assert failed["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert failed["error"] == "exit code 3\n</script>"
    assert listed(failed["instrument"]) != listed(entities["#run/a/0/training.0/1"]["instrument"])
    assert entities["#run"]["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert entities["#run"]["error"] == "1 learner failed"


def test_the_session_has_versions_host_and_commit(run: Rose, entities: dict[str, Any]) -> None:
    session = entities["#session/1"]
    facts = {entities[each]["name"]: entities[each]["value"] for each in listed(session["additionalProperty"])}
    commit = call(run.folder, "rev-parse", "HEAD")
    assert (facts["host"], facts["git commit"]) == (os.uname().nodename, commit)
    assert facts["git: files that differ from the commit"] == 0
    assert facts["git remote"] == "https://example.org/project"
    workflow = entities["campaign.yaml"]
    assert (workflow["version"], workflow["codeRepository"]) == (commit, "https://example.org/project")
    engine = entities[listed(session["instrument"])[0]]
    assert entities[listed(engine["softwareRequirements"])[0]]["name"] == "CPython"
    assert len(listed(session["object"])) == 13


def test_a_zip_file_has_the_same(run: Rose, crate: Path) -> None:
    assert run("export", "r", "--format", "ro-crate").code == 0
    with zipfile.ZipFile(run.folder / "r.crate.zip") as archive:
        assert archive.testzip() is None
        names = {name: archive.read(name) for name in archive.namelist()}
    there = {str(path.relative_to(crate)): path.read_bytes() for path in crate.rglob("*") if path.is_file()}
    assert set(names) == set(there)
    assert names["journal.jsonl"] == there["journal.jsonl"]


@pytest.mark.parametrize("name", ["r.crate", "campaign.yaml"])
def test_nothing_is_overwritten(run: Rose, crate: Path, name: str) -> None:
    called = run("export", "r", "--format", "ro-crate", "-o", name)
    assert called.code == 2
    assert f"'{name}' exists already" in called.err


@pytest.mark.parametrize("name", ["private", "private.zip"])
@pytest.mark.parametrize(("of_run", "withheld"), [(0o700, 0o077), (0o750, 0o027)])
def test_nobody_may_read_a_crate_who_may_not_read_the_run(small: Rose, name: str, of_run: int, withheld: int) -> None:
    (small.folder / "r").chmod(of_run)
    exported(small, name) if name == "private" else small("export", "r", "--format", "ro-crate", "-o", name)
    assert (small.folder / name).stat().st_mode & withheld == 0


@pytest.mark.parametrize("words", [("--learner", "a"), ("--failures",), ("--table", "tasks")])
def test_a_crate_is_of_the_whole_run(run: Rose, words: tuple[str, ...]) -> None:
    called = run("export", "r", "--format", "ro-crate", "-o", "new", *words)
    assert (called.code, "always of the whole run" in called.err) == (2, True)


def test_a_crate_that_cannot_be_written_leaves_nothing(run: Rose) -> None:
    called = run("export", "r", "--format", "ro-crate", "-o", "missing/new.zip")
    assert (called.code, "cannot write" in called.err) == (2, True)
    assert not list(run.folder.rglob("*.new"))


# --- what is not as it should be -------------------------------------------------------------------------------------


def exported(rose: Rose, name: str = "crate") -> tuple[dict[str, Any], str]:
    called = rose("export", "r", "--format", "ro-crate", "-o", name)
    assert called.code == 0, called.err
    return entities_of((rose.folder / name / "ro-crate-metadata.json").read_bytes()), called.err


@pytest.fixture
def small(rose: Rose, run: Rose) -> Rose:
    """A copy of the run that a test may change."""
    for name in ("campaign.yaml", "sim.sh", "r"):
        source = run.folder / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, rose.folder / name)
    return rose


def test_files_that_have_changed_or_gone_are_not_included(small: Rose) -> None:
    (small.folder / "sim.sh").write_text("other")
    workspace = small.folder / "r" / "learners" / "a" / "workspace"
    (workspace / "out 0.txt").unlink()
    (workspace / "out 1.txt").write_text("longer than before")
    (workspace / "model.txt").unlink()
    (workspace / "model.txt").symlink_to("/etc/passwd")
    found, told = exported(small)
    assert "inputs/sim.sh" not in found
    (script,) = (each for each in found.values() if each.get("name") == "sim.sh")
    assert "it has changed since the run used it. Its fingerprint: sha256:" in script["description"]
    for name in ("out%200.txt", "out%201.txt", "model.txt"):
        assert f"learners/a/workspace/{name}" not in found
    assert "not included: 1 file: no longer exist" in told
    assert "it has changed since" in told
    assert "links that lead elsewhere" in told
    assert not [path for path in (small.folder / "crate").rglob("*") if path.is_symlink()]


def test_a_forged_plan_takes_no_private_file_along(small: Rose) -> None:
    private = small.write("a private key", "private")
    plan = load_plan(small.folder / "r" / "plan.json")
    first = replace(plan.learners[0], files=(FilePlan(str(private), "key", copied=True, fixed=True),))
    forged = dump_plan(replace(plan, learners=(first, *plan.learners[1:])), small.folder / "r")
    (small.folder / "r" / "plan.json").write_text(forged)
    found, _ = exported(small)
    assert not list((small.folder / "crate").rglob("private"))
    (entity,) = (each for each in found.values() if each.get("name") == "private")
    assert "the journal has no fingerprint of it" in entity["description"]


def test_secrets_of_the_terminal_stay_out_too(rose: Rose) -> None:
    rose.write("{tasks: {work: {executable: [sh, -c, 'echo $MY_TOKEN > leak']}}, learners: 1, max_iter: 1}\n")
    secret = {"MY_TOKEN": "hunter2hunter2"}
    assert rose("run", "campaign.yaml", "--run-dir", "r", **secret).code == 0
    called = rose("export", "r", "--format", "ro-crate", "-o", "crate", **secret)
    assert (called.code, "it contains a secret" in called.err) == (0, True)
    assert not list((rose.folder / "crate").rglob("leak"))


def test_secrets_are_masked_and_files_with_them_left_out(rose: Rose) -> None:
    secret = "hunter2hunter2"
    rose.write(f"""
        env: {{API_TOKEN: {secret}}}
        tasks: {{work: {{executable: [sh, -c, 'echo $API_TOKEN; echo $API_TOKEN > leak; echo fine > good']}}}}
        learners: 1
        max_iter: 1
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    found, told = exported(rose)
    assert "it contains a secret of the campaign" in told
    assert "learners/learner-0/workspace/good" in found
    for path in (rose.folder / "crate").rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_a_large_file_is_not_copied(small: Rose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "MOST_FILE_BYTES", 1 << 20)
    path = small.folder / "r" / "learners" / "a" / "workspace" / "model.txt"
    os.truncate(path, 1 << 21)
    with (
        package.new_package(small.folder / "crate", ()) as files,
        pytest.raises(package.OmittedError, match="larger than 1 MiB"),
    ):
        files.add("model.txt", os.open(path, os.O_RDONLY))


def test_two_names_that_some_systems_take_for_one_are_both_kept(tmp_path: Path) -> None:
    with package.new_package(tmp_path / "crate", ()) as files:
        for name in ("Model", "model"):
            (tmp_path / name).write_text(name)
            files.add(f"x/{name}", os.open(tmp_path / name, os.O_RDONLY))
    assert sorted(path.name for path in (tmp_path / "crate" / "x").iterdir()) == ["Model", "model~2"]


def test_directories_among_the_inputs_are_named(rose: Rose) -> None:
    (rose.folder / "data").mkdir()
    rose.write("x", "data/points.txt")
    rose.write("{tasks: {work: {executable: 'true'}}, files: [data], learners: 1, max_iter: 1}\n")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    found, _ = exported(rose)
    (data,) = (each for each in found.values() if each.get("name") == "data")
    assert "Not in this crate: it is a directory. Its fingerprint: folder:" in data["description"]
    (action,) = (each for each in found.values() if each["@id"].startswith("#run/"))
    assert data["@id"] in listed(action["object"])


def test_attempts_beyond_the_most_are_counted(small: Rose, monkeypatch: pytest.MonkeyPatch) -> None:
    from rose_cli.provenance.crate import write_crate
    from rose_cli.run_info import read_run
    from rose_cli.runs.directory import RunDirectory

    monkeypatch.setattr(actions, "MOST_ACTIONS", 5)
    report = write_crate(read_run(RunDirectory.at(small.folder / "r"), kept=True), small.folder / "crate")
    assert report.actions + report.left_out == 13
    found = entities_of((small.folder / "crate" / "ro-crate-metadata.json").read_bytes())
    assert "#run/b%20%3Cc%3E/0/training.0/1" in found, "all that failed are there"
    assert "beyond the first have no action here" in found["./"]["description"]


def test_a_run_without_a_task_is_refused(rose: Rose) -> None:
    rose.write("{tasks: {work: {executable: 'true'}}, learners: 1, max_iter: 1}\n")
    rose("run", "campaign.yaml", "--run-dir", "r")
    lines = (rose.folder / "r" / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (rose.folder / "r" / "journal.jsonl").write_bytes(lines[0])
    called = rose("export", "r", "--format", "ro-crate")
    assert called.code == 4
    assert "has not started a task" in called.err


def test_a_modified_plan_is_mentioned(small: Rose) -> None:
    with (small.folder / "r" / "campaign.yaml").open("a") as file:
        file.write("# edited\n")
    found, _ = exported(small)
    assert "campaign.yaml of the run were modified" in found["./"]["description"]


def test_names_of_any_kind_are_files_of_the_crate(small: Rose) -> None:
    """A journal can say that a task wrote a file of any name; nothing leaves the crate's own directory."""
    assert package.path_in_crate("a/b:c", "../x\n", "\udcff") == "a/b%3Ac/%2E%2E/x%0A/%FF"
    assert package.path_in_crate("/../../etc", "..") == "%2E%2E/%2E%2E/etc/%2E%2E"
    assert package.url_of("a b/ü%.txt") == "a%20b/%C3%BC%25.txt"
