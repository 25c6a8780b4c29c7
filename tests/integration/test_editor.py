"""What yaml-language-server shows with rose's schema: offers, explanations, errors, and none on a valid campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rose_cli.commands.schema import text as schema_text
from rose_cli.config.models import Campaign
from rose_cli.config.rules import ENGINE_KINDS, ON_FAILURE, OPERATORS
from rose_cli.config.validation import known_keys
from rose_cli.plan.metrics import STANDARD_METRICS
from tests.campaign_texts import valid_texts
from tests.check.fixture import Campaigns
from tests.conftest import CAMPAIGNS
from tests.language_server import CURSOR, LanguageServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("language server")

HEAD = "# yaml-language-server: $schema=../.rose-schema.json\n"
TOP = "max_iter: 3\n"
TASKS = "tasks:\n  simulation: {executable: python sim.py}\n"
LEARNERS = "learners: 2\n"
WHOLE = HEAD + TOP + TASKS + LEARNERS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageServer]:
    folder = tmp_path_factory.mktemp("editor")
    (folder / ".rose-schema.json").write_text(schema_text(), encoding="utf-8")
    with LanguageServer(folder) as server:
        yield server


# --- errors ----------------------------------------------------------------------------------------------------------


def test_a_valid_campaign_has_no_error(server: LanguageServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each one of the repository: files, templates, pages, tests."""
    campaigns = Campaigns.set_up(tmp_path_factory.mktemp("valid"))
    valid = valid_texts(campaigns)
    assert len(valid) > 350
    paths = {server.folder / "valid" / f"{number}.yaml": place for number, place in enumerate(valid)}
    found = server.errors_of_all({path: _with_schema(valid[place]) for path, place in paths.items()})
    assert {paths[path]: errors for path, errors in found.items() if errors} == {}


def _with_schema(text: str) -> str:
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("# yaml-language-server")]
    return HEAD + "".join(lines)


@pytest.mark.parametrize("line", ["# yaml-language-server: $schema=.rose-schema.json", "# $schema: .rose-schema.json"])
def test_both_forms_of_the_first_line_name_a_schema_beside_the_file(server: LanguageServer, line: str) -> None:
    """The second is that of JetBrains."""
    found = server.errors_of(server.folder / f"{len(line)}.yaml", f"{line}\n{TOP}{TASKS}{LEARNERS}sed: 1\n")
    assert found == ["6: sed: Property sed is not allowed."]


def test_without_the_schema_there_is_one_warning(server: LanguageServer) -> None:
    (found,) = server.errors_of(server.folder / "elsewhere" / "campaign.yaml", HEAD.replace("../", "") + "a: 1\n")
    assert "Unable to load schema" in found


@pytest.mark.parametrize("path", sorted(CAMPAIGNS.glob("*/campaign.yaml")), ids=lambda path: path.parent.name)
def test_the_campaigns_of_the_repository_find_their_schema(server: LanguageServer, path: Path) -> None:
    """By the path in their first line, which the server resolves beside the file."""
    text = path.read_text(encoding="utf-8")
    wrong = text.replace("\nmax_iter:", "\nmax_itr:", 1) + "on_failur: continue\n"
    found = server.errors_of(path, wrong)
    assert any("on_failur" in each for each in found), found


@pytest.mark.parametrize(
    ("more", "errors"),
    [
        ("max_itr: 3", ["max_itr: Property max_itr is not allowed."]),
        (
            "iterations: 3",
            ["iterations: Property iterations is not allowed.", "iterations: did you mean 'max_iter'?"],
        ),
        ("seed: [1]", ["[1]: expected an integer of at least 0"]),
        (
            "on_failure: explode",
            ['explode: Value is not accepted. Valid values: "stop_learner", "stop_campaign", "continue", null.'],
        ),
        (
            "stop: {metric: mse, operator: =<, threshold: 1, executable: a}",
            ['=<: Value is not accepted. Valid values: "<", "<=", ">", ">=", "==", null.'],
        ),
        ("engine: {kind: local, corse: 3}", ["corse: Property corse is not allowed."]),
        ("env: {A: [1]}", ["[1]: "]),
        ("files: [{path: a, cpoy: true}]", ["cpoy: Property cpoy is not allowed."]),
        ("timeout: soon", ["soon: expected a duration above zero"]),
        ("retries: {times: many}", ["many: expected an integer of at least 0"]),
        ("stop: {metric: accuracy, threshold: 95, executable: a}", ["95: Value is above the maximum of 1."]),
    ],
)
def test_errors_say_what_is_wrong_where_it_is(server: LanguageServer, more: str, errors: list[str]) -> None:
    found = [each.partition(": ")[2] for each in server.errors(f"{WHOLE}{more}\n")]
    for error in errors:
        assert any(each.startswith(error) for each in found), found


@pytest.mark.parametrize(
    ("learner", "error"),
    [
        ("nme: a", "a: expected the overrides of a task"),
        ("max_iter: many", "many: expected an integer of at least 1"),
        ("simulation: {--n: 5, timeout: 3}", "--n: not a key of a task"),
        ("simulation: {--n: {a: 1}}", "{a: 1}: expected a number, a string, true, false, or a list of these"),
        ("simulation: {0: {--n: 1}, one: {--n: 2}}", "one: each key is an integer from 0"),
        ("simulation: {0: {--n: 1}, 1: {timout: 2, timeout: 3}}", "timout: not a key of a task"),
        ("simulation: {adaptive: {--n: 100 + i^2}}", "100 + i^2: expected an expression of i"),
        ("simulation: {options: {--n: '{learner'}}", "'{learner': single brace"),
        ("stop: {treshold: 5}", "treshold: Property treshold is not allowed."),
    ],
)
def test_errors_in_a_learner_are_found_in_every_form(server: LanguageServer, learner: str, error: str) -> None:
    stop = "stop: {metric: mse, threshold: 1, executable: python a.py}\n"
    found = server.errors(f"{HEAD}{TOP}{TASKS}{stop}learners:\n  - {learner}\n")
    assert any(each.partition(": ")[2].startswith(error) for each in found), found


# --- offers ----------------------------------------------------------------------------------------------------------


def offers(server: LanguageServer, text: str) -> dict[str, str]:
    return server.completions(HEAD + text)


def test_keys_at_the_top(server: LanguageServer) -> None:
    found = offers(server, f"{TASKS}{CURSOR}")
    assert set(found) >= set(known_keys(Campaign)) - {"tasks"}
    assert found["max_iter"].startswith("maximum number of iterations per learner")


STOP = f"{TOP}{TASKS}{LEARNERS}stop:\n  "
TASK_KEYS = {"executable", "function", "options", "adaptive", "timeout", "retries", "on_failure", "replicas"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{STOP}{CURSOR}", {"metric", "threshold", "operator", "read", "patience", "executable"}),
        (f"{TOP}{LEARNERS}tasks:\n  simulation:\n    {CURSOR}", TASK_KEYS),
        (f"{TOP}{LEARNERS}tasks:\n  simulation:\n    ti{CURSOR}", {"timeout"}),
        (f"{TOP}{TASKS}learners:\n  - {CURSOR}", {"name", "max_iter", "seed", "stop", "files", "env"}),
        (f"{TOP}{TASKS}learners:\n  - name: a\n    simulation:\n      {CURSOR}", TASK_KEYS),
        (f"{TOP}{TASKS}learners:\n  - name: a\n    simulation:\n      0:\n        {CURSOR}", TASK_KEYS),
        (f"{TOP}{TASKS}learners:\n  - name: a\n    stop:\n      {CURSOR}", {"threshold", "operator", "metric"}),
        (f"{TOP}{TASKS}{LEARNERS}engine:\n  {CURSOR}", {"kind", "cores", "gpus", "grace", "mpi", "queue"}),
        (f"{TOP}{TASKS}{LEARNERS}limits:\n  {CURSOR}", {"wall_time", "max_parallel_learners", "output"}),
        (f"{TOP}{TASKS}{LEARNERS}retries:\n  {CURSOR}", {"times", "pause"}),
        (f"{TOP}{TASKS}{LEARNERS}track:\n  mlflow:\n    {CURSOR}", {"uri", "experiment", "tags"}),
        (f"{STOP}metric: mse\n  executable: a\n  read:\n    {CURSOR}", {"json", "regex", "file"}),
    ],
    ids=["stop", "task", "typing", "learner", "schedule", "iteration", "stop of a learner", "engine", "limits",
         "retries", "track", "read"],
)  # fmt: skip
def test_keys_further_down(server: LanguageServer, text: str, expected: set[str]) -> None:
    found = offers(server, text)
    assert set(found) >= expected
    assert all(found[key] for key in expected), "each with its description"
    assert not {key for key in found if key.startswith("<") or key == "at"}


def test_metrics_with_what_is_good(server: LanguageServer) -> None:
    found = offers(server, f"{STOP}metric: {CURSOR}")
    assert set(found) >= set(STANDARD_METRICS)
    assert found["accuracy"] == "higher is better; met at or above the threshold; its value is between 0 and 1"


@pytest.mark.parametrize("text", [STOP, f"{TOP}{TASKS}learners:\n  - stop:\n      "], ids=["top", "learner"])
def test_operators_with_their_meaning_and_quotes_where_yaml_needs_them(server: LanguageServer, text: str) -> None:
    found = offers(server, f"{text}operator: {CURSOR}")
    assert {label.strip('"') for label in found} >= set(OPERATORS)
    assert found["<"] == "stop when the value is below the threshold"
    assert server.insertions(f"{HEAD}{text}operator: {CURSOR}")['">"'] == '">"'


@pytest.mark.parametrize(
    ("before", "words"),
    [("on_failure: ", ON_FAILURE), ("engine: ", ENGINE_KINDS), ("engine:\n  kind: ", ENGINE_KINDS),
     ("preload: ", ("auto",)), ("track: ", ("mlflow", "tensorboard"))],
)  # fmt: skip
def test_words_with_their_meaning(server: LanguageServer, before: str, words: tuple[str, ...]) -> None:
    found = offers(server, f"{TOP}{TASKS}{LEARNERS}{before}{CURSOR}")
    assert set(found) >= set(words)
    assert all(found[word] for word in words)


# --- explanations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (f"max_{CURSOR}iter: 3\n{TASKS}{LEARNERS}", ["maximum number of iterations per learner", "```yaml\n15\n```"]),
        (f"{TOP}{TASKS}{LEARNERS}on_fail{CURSOR}ure: continue\n", ["(default `stop_learner`)", "* `stop_campaign`: "]),
        (f"{STOP}met{CURSOR}ric: mse\n", ["a standard metric", "`mse`: lower is better; met below the threshold"]),
        (f"{TOP}{TASKS}{LEARNERS}engine: {{gr{CURSOR}ace: 3}}\n", ["time between TERM and KILL", "(default `5`)"]),
        (f"{TOP}{TASKS}{LEARNERS}limits: {{out{CURSOR}put: 1 GB}}\n", ["maximum output of one attempt", "1 GB"]),
        (f"{TOP}{TASKS}learners:\n  - simulation:\n      ada{CURSOR}ptive: {{--n: i}}\n", ["name → expression of i"]),
        (f"{TOP}{TASKS}learners:\n  - se{CURSOR}ed: 1\n", ["seed of this learner, used unchanged"]),
    ],
)
def test_hovering_over_a_key_explains_it(server: LanguageServer, text: str, parts: list[str]) -> None:
    shown = server.hover(HEAD + text)
    for part in parts:
        assert part in shown
