"""The documentation says what is so: tables are up to date, examples validate, commands exist, links lead somewhere."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from typer.main import get_command

from rose_cli.cli import app
from rose_cli.config.placeholders import PLACEHOLDERS
from rose_cli.util.errors import ExitCode
from tests.conftest import CAMPAIGNS, REPOSITORY, Rose
from tests.pages import PAGES, Block, anchors, blocks, calls, links, name_of, whole_campaign
from tools.commands import command_name, parameters
from tools.dist_check import supported
from tools.promises import PAGES as PROMISING
from tools.promises import is_there, sentences, without_test
from tools.reference import PART, PARTS, reference

DOCS = REPOSITORY / "docs"
CAMPAIGN_PAGE = DOCS / "campaign-file.md"
COMMANDS_PAGE = DOCS / "commands.md"

COMMANDS = {command_name(command): command for command in app.registered_commands}


# --- made from the code --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=name_of)
def test_the_tables_are_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert reference(text) == text, "run: python -m tools.reference"


def test_every_part_stands_once() -> None:
    placed = [part["name"] for page in PAGES for part in PART.finditer(page.read_text(encoding="utf-8"))]
    assert sorted(placed) == sorted(PARTS)


def test_the_reference_writes_itself_where_it_is_out_of_date(tmp_path: Path) -> None:
    stale = "before\n<!-- made from the code: functions -->\nold\n<!-- end -->\nafter\n"
    fresh = reference(stale)
    assert "old" not in fresh
    assert "`clip(x, lo, hi)`" in fresh
    assert reference(fresh) == fresh


# --- examples ------------------------------------------------------------------------------------------------------

EXAMPLES = blocks("yaml", "yaml part")


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What `rose validate` has against each example, in a folder with every file that one of them names."""
    rose = Rose(tmp_path_factory.mktemp("examples"))
    for name in {name for block in EXAMPLES for name in re.findall(r"[\w/-]+\.(?:py|csv|json|dat)\b", block.text)}:
        path = rose.folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (rose.folder / ".venv/bin").mkdir(parents=True)
    for program in ("solver", "prepare", "mpiexec", ".venv/bin/python"):
        rose.script("#!/bin/sh\n", program)
    names = {f"example-{number}.yaml": str(block) for number, block in enumerate(EXAMPLES)}
    for name, block in zip(names, EXAMPLES, strict=True):
        rose.write(whole_campaign(block), name)
    search_path = f"{rose.folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    configs = rose.folder / ".radical/pilot/configs"
    configs.mkdir(parents=True)
    described = next(block for block in blocks("json") if block.page == "docs/pilots.md")
    (configs / "resource_mycluster.json").write_text(described.text)
    called = rose("validate", *names, "--format", "json", PATH=search_path, RADICAL_CONFIG_USER_DIR=str(rose.folder))
    found: dict[str, list[str]] = {str(block): [] for block in EXAMPLES}
    for each in json.loads(called.out):
        if each["severity"] == "error":
            found[names[each["file"]]].append(f"{each['line']}: {each['message']}")
    return found


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_every_campaign_shown_is_without_mistake(mistakes: dict[str, list[str]], block: Block) -> None:
    assert mistakes[str(block)] == []


def test_every_block_says_what_it_is() -> None:
    known = {"yaml", "yaml part", "yaml workflow", "yaml hooks", "console", "python", "json", "toml", "text", ""}
    assert {str(block): block.language for block in blocks() if block.language not in known} == {}


def test_the_first_campaign_of_the_readme_is_the_file_that_init_writes(rose: Rose) -> None:
    """Byte for byte; tests/commands/test_init.py runs it."""
    first = next(block for block in blocks("yaml") if block.page == "README.md")
    rose("init")
    assert first.text == (rose.folder / "campaign.yaml").read_text(encoding="utf-8")


# --- commands ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "words"), calls(), ids=repr)
def test_every_command_shown_exists(place: str, words: list[str]) -> None:
    if words[0].startswith("-"):
        options = {spelling for option in get_command(app).params for spelling in option.opts}
        assert words[0] in options | {"--help"}, place
        return
    assert words[0] in COMMANDS, place
    known = {spelling for each in parameters(COMMANDS[words[0]]) if not each.is_argument for spelling in each.spellings}
    own = words[1 : words.index("--")] if "--" in words else words[1:]  # another program and its options follow
    given = {word.partition("=")[0] for word in own if word.startswith("-")}
    assert given - known - {"--help"} == set(), place


@pytest.mark.parametrize(
    ("place", "words"), [call for call in calls() if ":" in call[0] and "[OPTIONS]" not in call[1]], ids=repr
)
def test_every_command_in_a_block_has_what_it_needs(place: str, words: list[str]) -> None:
    """Its arguments are there and its values are possible. Not in the text, where `rose run` stands for all of it."""
    if words[0] in COMMANDS:
        arguments = list(itertools.takewhile(lambda word: word not in {">", "|"}, words[1:]))
        group = cast("Any", get_command(app))
        group.commands[words[0]].make_context(words[0], arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_usage_line_is_that_of_the_help(name: str) -> None:
    command = cast("Any", get_command(app)).commands[name]
    pieces = command.collect_usage_pieces(command.make_context(name, [], resilient_parsing=True))
    assert f"\nrose {name} {' '.join(pieces)}\n" in COMMANDS_PAGE.read_text(encoding="utf-8")


def test_the_commands_are_all_of_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rose_cli", "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert set(re.findall(r"^│ (\w+) ", done.stdout, re.MULTILINE)) == set(COMMANDS)


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:`|^\$ )make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
        assert named <= targets, name_of(page)


def test_every_campaign_is_in_the_readme() -> None:
    there = {str(path.relative_to(REPOSITORY)) for path in CAMPAIGNS.glob("*/*.yaml")}
    assert {target for page, target in links() if page.name == "README.md"} >= there


# --- links ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "target"), links(), ids=lambda each: each if isinstance(each, str) else each.name)
def test_every_link_leads_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    found = (page.parent / path).resolve() if path else page
    assert found.exists()
    if anchor:
        assert anchor in anchors(found)


# --- what programs rely on -----------------------------------------------------------------------------------------


def first_column(page: Path, heading: str) -> list[str]:
    """The names in the first column of the first table below a heading."""
    text = page.read_text(encoding="utf-8").partition(f"# {heading}\n")[2]
    table = re.search(r"^\|.*?\n\n", f"{text}\n\n", re.MULTILINE | re.DOTALL)
    assert table is not None, heading
    return re.findall(r"^\| `([^`]+)` \|", table[0], re.MULTILINE)


def test_the_variables_of_a_task_are_as_documented(rose: Rose) -> None:
    rose.write(
        "{setup: {prepare: {executable: env}}, tasks: {simulation: {executable: env}}, learners: 1, max_iter: 1}"
    )
    rose("run", "campaign.yaml", "--output", "quiet", "--run-dir", "run")
    logs = ("campaign/logs/0/prepare.1.out", "learners/learner-0/logs/0/simulation.1.out")
    printed = "".join((rose.folder / "run" / log).read_text() for log in logs)
    names = set(re.findall(r"^(ROSE_\w+)=", printed, re.MULTILINE))
    assert names == {*first_column(CAMPAIGN_PAGE, "What a task gets"), "ROSE_MARK"}


def test_the_placeholders_are_as_documented() -> None:
    assert set(first_column(CAMPAIGN_PAGE, "Commands")) == {f"{{{name}}}" for name in PLACEHOLDERS}


def test_the_exit_codes_are_as_documented() -> None:
    assert first_column(COMMANDS_PAGE, "Exit codes") == [str(int(code)) for code in ExitCode]


def test_status_gives_what_is_documented(rose: Rose) -> None:
    _run_one(rose)
    status = rose.status("run")
    assert list(status) == first_column(COMMANDS_PAGE, "Status as JSON")
    assert list(status["learners"][0]) == first_column(COMMANDS_PAGE, "A learner in it")
    assert list(status["progress"]) == first_column(COMMANDS_PAGE, "Progress in it")
    assert list(status["learners"][1]["error"]) == first_column(COMMANDS_PAGE, "An error in it")


def test_results_give_what_is_documented(rose: Rose) -> None:
    rose.write(
        "{tasks: {s: {executable: 'true'}}, learners: 2, max_iter: 1,"
        " stop: {metric: own, operator: <, threshold: 1, executable: 'echo 2'}}"
    )
    rose("run", "campaign.yaml", "--output", "quiet", "--run-dir", "run")
    found = rose.json("status", "run", "--results", "--format", "json")
    assert list(found) == first_column(COMMANDS_PAGE, "Results as JSON")
    assert list(found["learners"][0]) == first_column(COMMANDS_PAGE, "A learner in the results")
    assert list(found["repeats"][0]) == first_column(COMMANDS_PAGE, "A group of repeats")


def test_export_gives_what_is_documented(rose: Rose) -> None:
    _run_one(rose)
    head = rose("export", "run").out.splitlines()[0].split(",")
    documented = [name for name in first_column(COMMANDS_PAGE, "Columns of an export") if name != "metric.NAME"]
    patterns = documented.index("option.TASK.NAME")
    spent = ["working_seconds", "waiting_seconds", "paused_seconds", "core_seconds"]
    assert head[:patterns] == documented[:patterns]
    assert documented[patterns : patterns + 4] == [
        "option.TASK.NAME",
        "parameter.NAME",
        "result.KEY",
        "replica.TASK.N.KEY",
    ]
    context = ["run", "learner_index", "seed", "operator", "threshold", "failed_attempts", "stop_message"]
    assert documented[patterns + 4 :] == [*spent, "time.TASK.NAME", *context]
    own = ["replica.simulation.0.loss", "replica.simulation.1.loss"]
    times = [f"time.simulation.{name}" for name in spent]
    assert head[patterns:] == ["option.simulation.--n", "result.loss", *own, *spent, *times, *context[:-1]]


def test_the_table_of_tasks_is_what_is_documented(rose: Rose) -> None:
    _run_one(rose)
    head = rose("export", "run", "--table", "tasks").out.splitlines()[0].split(",")
    page = COMMANDS_PAGE.read_text(encoding="utf-8").partition("### The table of tasks")[2].partition("### Parquet")[0]
    documented = [
        name for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for name in re.findall(r"`(.*?)`", row)
    ]
    fixed = documented[: documented.index("option.TASK.NAME")]
    assert set(head[: len(fixed)]) == set(fixed)
    assert head[len(fixed) :] == ["option.simulation.--n", "result.loss"]


def test_validate_gives_what_is_documented(rose: Rose) -> None:
    rose.write("{tasks: {simulation: {executable: 'true'}}, learners: 1, max_iter: many}")
    found = json.loads(rose("validate", "campaign.yaml", "--format", "json").out)
    assert list(found[0]) == first_column(COMMANDS_PAGE, "Diagnostics as JSON")


def test_plan_gives_what_is_documented(rose: Rose) -> None:
    rose.write("{tasks: {simulation: {executable: 'true'}}, learners: 1, max_iter: 1}")
    plan = rose.json("plan", "campaign.yaml", "--format", "json")
    learner = plan["learners"][0]
    iteration = learner["iterations"][0]
    keys = {*plan, *learner, *iteration, *iteration["tasks"][0]}
    assert set(first_column(COMMANDS_PAGE, "The plan as JSON")) == {*keys, "pre_exec", "unknown"}


def test_a_run_directory_is_as_documented(rose: Rose) -> None:
    _run_one(rose)
    documented = first_column(COMMANDS_PAGE, "The run directory")
    there = {path.name for path in (rose.folder / "run").iterdir()} - {"journal.ballast", "lock"}
    assert there == {entry.partition("/")[0] for entry in documented} - {"lock"}


def _run_one(rose: Rose) -> None:
    """A run with an option, a reported value, and a learner that fails."""
    rose.write("""print('{"loss": 1}')""", "report.py")
    rose.write(
        """
        tasks: {simulation: {executable: "{python} report.py"}}
        max_iter: 1
        learners:
          - simulation: {options: {--n: 1}, replicas: 2}
          - simulation: {executable: 'false'}
        """
    )
    assert rose("run", "campaign.yaml", "--output", "quiet", "--run-dir", "run").code == 1


# --- continuous integration ----------------------------------------------------------------------------------------


def test_the_workflows_on_the_page_are_the_files() -> None:
    shown = [block.text for block in blocks("yaml workflow")]
    texts = [(DOCS / "examples" / name).read_text(encoding="utf-8") for name in ("smoke.yml", "code-scanning.yml")]
    assert shown == texts
    for text in texts:
        (job,) = yaml.safe_load(text)["jobs"].values()
        assert all("uses" in step or "run" in step for step in job["steps"])


def test_the_hooks_shown_are_those_of_the_repository() -> None:
    (hook,) = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    for block in blocks("yaml hooks"):
        ((shown,),) = (each["hooks"] for each in yaml.safe_load(block.text)["repos"])
        assert shown["id"] == hook["id"]
        assert shown.get("entry", hook["entry"]) == hook["entry"]


def test_the_pythons_that_are_supported_are_those_that_ci_runs() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    pythons = workflow["jobs"]["check"]["strategy"]["matrix"]["python"]
    assert pythons == supported()
    ends = {each["python"]: each["end"] for each in workflow["jobs"]["bounds"]["strategy"]["matrix"]["include"]}
    assert ends == {pythons[0]: "lowest-direct", pythons[-1]: "highest"}
    page = (DOCS / "pilots.md").read_text(encoding="utf-8")
    assert f"Python {pythons[0]} to {pythons[-1]} are supported." in page


def test_no_page_names_a_place_of_one_machine() -> None:
    for page in PAGES:
        assert not re.search(r"(?<!\w)/(?:work|root|home|tmp)/", page.read_text(encoding="utf-8")), name_of(page)


def test_contributors_find_every_package_in_the_list() -> None:
    page = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:rose_cli/)?(\w+)/`|\(rose_cli/(\w+\.py)\)", page))
    there = {path.name for path in (REPOSITORY / "rose_cli").iterdir() if (path / "__init__.py").exists()}
    there |= {path.name for path in (REPOSITORY / "rose_cli").glob("[a-z]*.py")} | {"templates"}
    assert {package or module for package, module in named} >= there


# --- promises ------------------------------------------------------------------------------------------------------

COMPLETE = {"campaign-file.md", "ci.md", "commands.md", "from-laptop-to-cluster.md", "guarantees.md", "pilots.md",
    "provenance.md",
}  # fmt: skip
"""Pages of which every sentence names the test that holds it; `python -m tools.promises` lists those that do not."""


@pytest.mark.parametrize("page", PROMISING, ids=name_of)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    named = {test for sentence in sentences(page) for test in sentence.tests or ()}
    assert sorted(test for test in named if not is_there(test)) == []


@pytest.mark.parametrize("page", sorted(COMPLETE))
def test_every_sentence_names_the_test_that_holds_it(page: str) -> None:
    assert [str(sentence) for sentence in without_test(DOCS / page)] == []


def test_a_sentence_is_held_by_the_comment_behind_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Head\n\nOne. Two\nlines. <!-- held by: tests/a.py::test_a, tests/b.py -->\nThree.\n\n"
        "- item one\n- item two <!-- no promise -->\n  <!-- held by: tests/c.py -->\n\n"
        "1. first\n2. second. More. <!-- held by:\n   tests/e.py -->\n\n## Next\n\n"
        "| a | b |\n| --- | --- |\n| row | `tests/d.py` |\n| bare | x |\n\n```text\nNo sentence.\n```\n",
        encoding="utf-8",
    )
    assert {sentence.text: sentence.tests for sentence in sentences(page)} == {
        "One.": ("tests/a.py::test_a", "tests/b.py"),
        "Two lines.": ("tests/a.py::test_a", "tests/b.py"),
        "Three.": None,
        "- item one": ("tests/c.py",),
        "- item two": (),
        "first": None,
        "second.": ("tests/e.py",),
        "More.": ("tests/e.py",),
        "| row | `tests/d.py` |": ("tests/d.py",),
        "| bare | x |": None,
    }
    assert [sentence.line for sentence in sentences(page)] == [3, 3, 5, 7, 8, 11, 12, 12, 19, 20]
