"""The JSON Schema of campaign files accepts what rose accepts, and refuses what a schema can know to be wrong."""

from __future__ import annotations

import copy
import dataclasses
import json
import random
import re
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from rose_cli.commands.schema import text as schema_text
from rose_cli.config import models
from rose_cli.config.document import parse_document
from rose_cli.config.load import load
from rose_cli.config.trackers import BUILT_IN
from rose_cli.config.validation import known_keys
from rose_cli.util.errors import CampaignError
from tests.campaign_texts import WRONG, as_json, data_of, valid_texts
from tests.check.fixture import HERE, Campaigns
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rose_cli.config.document import Document

STABLE = REPOSITORY / "schema" / "rose-campaign.schema.json"

SCHEMA = json.loads(schema_text())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)

UNKNOWABLE = {
    "after-converged": "a number is more than that of the items of a list",
    "conditions-that-never-hold": "only warnings",
    "criteria-of-learners": "names that are compared with each other",
    "criteria-twice": "names that are compared with each other",
    "criterion-on-a-task-after": "what the other tasks are called",
    "criterion-that-prints-nothing": "only a warning",
    "errors-that-are-not-allowed": "a file that is missing",
    "expressions-by-iteration": "values of expressions",
    "expressions-in-every-style": "names of parameters",
    "expressions-of-the-metric": "values of expressions",
    "expressions-outside-of-adaptive": "only warnings",
    "expressions-that-fail-at-some-iteration": "values of expressions",
    "expressions-without-a-value": "values of expressions",
    "functions-and-options": "the parameters of Python functions",
    "iterations-that-never-come": "only warnings",
    "keys-that-look-like-starts": "only warnings",
    "launchers-in-tasks": "only warnings",
    "names-that-differ-by-case": "names that are compared with each other",
    "names-twice": "names that are compared with each other",
    "one-argument-with-spaces": "only warnings",
    "options-that-differ-in-case": "only warnings",
    "options-without-dashes": "only warnings",
    "outcomes-of-expressions": "values of expressions",
    "parameters-of-learners": "names that are compared with each other",
    "path-in-the-environment": "a program that is missing",
    "paths-beside-the-campaign": "only warnings",
    "pilot-allocation": "what the machine of a label has",
    "pilot-ranks-on-nodes": "what the machine of a label has",
    "pilot-without-a-launcher": "programs and cores of this machine",
    "placeholders-in-code": "what a shell makes of a line",
    "preload-of-shell-lines": "only warnings",
    "preload-on-a-pilot": "only warnings",
    "preload-on-slurm": "only warnings",
    "programs": "programs that are missing",
    "prune-by-a-metric-that-is-not-there": "names that are compared with each other",
    "ranges-and-thresholds": "numbers that are compared with each other",
    "replicas-named-in-a-value": "how many replicas a task has",
    "reports-that-are-never-there": "the order of tasks",
    "resources": "numbers that are compared with each other",
    "resources-of-this-machine": "cores and GPUs of this machine",
    "scripts": "files that are missing",
    "sweeps-too-large": "the product of many lengths",
    "sweeps-with-fewer-than-one-point": "numbers that are compared with each other",
    "the-same-wrong-expression-twice": "values of expressions",
    "unused-preload": "files beside the campaign",
    "values-in-names": "only warnings",
    "warnings-that-cannot-be-allowed": "only warnings",
    "what-a-shell-would-expand": "programs that are missing",
    "words-of-a-shell": "programs that are missing",
    "words-that-are-files": "programs that are missing",
}
"""Wrong files that no schema can refuse, each with what it would have to know."""


def errors(text: str) -> list[str]:
    return [_shown(error) for error in VALIDATOR.iter_errors(data_of(text))]


def _shown(error: jsonschema.ValidationError) -> str:
    told = error.schema.get("errorMessage") if isinstance(error.schema, dict) else None
    return f"{'.'.join(map(str, error.absolute_path))}: {told or error.message}"


def all_errors(found: Iterable[jsonschema.ValidationError]) -> Iterator[jsonschema.ValidationError]:
    """With those of each alternative."""
    for error in found:
        yield error
        yield from all_errors(error.context or ())


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory: pytest.TempPathFactory) -> Campaigns:
    return Campaigns.set_up(tmp_path_factory.mktemp("schema"))


# --- the file --------------------------------------------------------------------------------------------------------


def test_the_file_in_the_repository_is_up_to_date() -> None:
    assert STABLE.read_text(encoding="utf-8") == schema_text(), "run: rose schema > schema/rose-campaign.schema.json"


def test_it_is_a_schema_of_draft_7() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$id"].startswith("https://")


def test_every_reference_leads_somewhere_and_every_definition_is_used() -> None:
    used = set(re.findall(r'"#/definitions/([^"]+)"', json.dumps(SCHEMA)))
    assert used == set(SCHEMA["definitions"])


def properties(part: Any = SCHEMA) -> Iterator[tuple[str, dict[str, Any]]]:
    """All keys of the schema that have a description."""
    if isinstance(part, dict):
        for key, value in part.get("properties", {}).items() if isinstance(part.get("properties"), dict) else ():
            if isinstance(value, dict) and "$ref" not in value and "description" in value:
                yield key, value
        for key, value in part.get("definitions", {}).items():
            if isinstance(value, dict) and "description" in value and "properties" not in value:
                yield key, value
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from properties(each)


OF_TRACKERS = {*BUILT_IN, *(setting for tracker in BUILT_IN.values() for setting in tracker.settings)}
"""Keys that are no fields of a model."""


def test_every_key_has_a_description_an_example_and_a_type() -> None:
    """A type of a field that the schema does not know accepts anything: add its shape to config/shapes.py."""
    for key, shape in properties():
        assert shape.keys() & {"type", "enum", "anyOf", "allOf", "oneOf", "$ref"}, key
        assert shape.get("examples") or key in OF_TRACKERS, key


def test_the_examples_and_defaults_are_valid_and_those_of_the_models() -> None:
    for key, shape in properties():
        validator = jsonschema.Draft7Validator({**shape, "definitions": SCHEMA["definitions"]})
        for value in [*shape.get("examples", ()), *([shape["default"]] if "default" in shape else [])]:
            assert not list(validator.iter_errors(as_json(value))), (key, value)
    assert SCHEMA["properties"]["on_failure"]["default"] == "stop_learner"


def test_it_has_all_keys_of_the_models_and_no_other() -> None:
    assert set(SCHEMA["properties"]) == set(known_keys(models.Campaign))
    engine = SCHEMA["properties"]["engine"]["anyOf"][1]
    assert set(engine["properties"]) == set(known_keys(models.Engine))
    assert "<" not in "".join(key for key, _ in properties())
    assert set(SCHEMA["definitions"]["Override"]["properties"]) == set(models.TaskFields.model_fields)


def patterns(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from part.get("patternProperties", {})
        if isinstance(part.get("pattern"), str):
            yield part["pattern"]
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from patterns(each)


def test_patterns_mean_the_same_in_python_and_javascript_and_take_no_time() -> None:
    r"""No \w, \d or \b, which know other letters there; nothing that a regular expression with `u` refuses."""
    found = set(patterns(SCHEMA))
    assert len(found) > 40
    for pattern in found:
        escapes = set(re.findall(r"\\(.)", pattern))
        assert escapes <= set("sSnrtx\\.^$*+?()[]{}|/"), pattern
        for nasty in ("a" * 5000 + "}", "1" * 5000 + "x", "'" * 4999, '"' * 4999, "1 " * 2500 + "!", "\\" * 4999):
            re.search(pattern, nasty)


# --- what rose accepts -----------------------------------------------------------------------------------------------


def test_no_valid_campaign_of_the_repository_is_refused(campaigns: Campaigns) -> None:
    valid = valid_texts(campaigns)
    assert len(valid) > 350
    assert {place: errors(text) for place, text in valid.items() if errors(text)} == {}


TEXTS = (
    "", "x", " ", "1", "1e3", "1e-3", "+1e3", "-1e3", "5s", "1h30m", "01:30:00", "2d 3h", "0s", "90", "4 GB", "1%",
    "100%", "any", "auto", "last_line", "last line", "a b", "{learner}", "{x}", "{{}}", "it's", '"', "a:b", "-", "--n",
    "<", ">=", "==", "continue", "local", "slurm", "i*2", "100 + i*50", "0x10", "metric", "'a' if i else 'b'", "1_000",
    "pmix", "no", "0-3", "../x", "a.csv", "mse", "f1-score", "my metric", "accuracy > 3",
)  # fmt: skip
MAPPINGS: tuple[Any, ...] = (
    {}, {"--n": 1}, {"0": 1}, {0: {"--n": 1}}, {-1: {"--n": 1}, "5+": {}}, {"hold": True, 0: {}}, {"hold": True},
    {"times": 1}, {"path": "x"}, {"json": "a.b"}, {"kind": "slurm"}, {"executable": "python x"}, {"function": "a:b"},
    {"a": 1}, {"a": {"b": 1}}, {"timeout": 3}, {"metric": "mse"}, {"threshold": 1},
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3.0, 1.5, -0.5, 1e300, float("inf"), 10**8, 2**63, [], ["a"], [1, 2], [0, None],
    [None], [{}],
)  # fmt: skip
ODD: tuple[Any, ...] = (*TEXTS, *MAPPINGS, *OTHERS)
KEYS = (
    "name", "timeout", "stop", "max_iter", "hold", "--x", "function", "executable", "shell", "options", "adaptive", 0,
    -1, "1-3", "5+", "0, 3", "A", "args", "ranks", "seed", "files", "operator", "read", "range", "replicas", "preload",
    "gpus", "mpi", "kind", "retries", "env", "pre_exec", "iterations",
)  # fmt: skip


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    files = sorted((HERE / "right").glob("*.yaml"))
    return [parse_document(path.read_text(encoding="utf-8"), path.name) for path in files]


@pytest.mark.parametrize("number", range(12))
def test_what_rose_accepts_the_schema_accepts(campaigns: Campaigns, documents: list[Document], number: int) -> None:
    """Right files with one odd value or key: rose refuses most of them, and the schema none of the others."""
    chance = random.Random(number)
    for _ in range(60):
        document = chance.choice(documents)
        data = odd(document.data, chance)
        if any(each.is_error for each in load(dataclasses.replace(document, data=data)).diagnostics):
            continue
        found = [_shown(error) for error in VALIDATOR.iter_errors(as_json(data))]
        if found:
            codes = {each.code for each in campaigns.check_text(json.dumps(data)).diagnostics if each.is_error}
            assert codes, (found, data)  # what several values make wrong


def odd(data: Any, chance: random.Random) -> Any:
    """A copy with another value somewhere, or with a key more or less."""
    data = copy.deepcopy(data)
    *way, last = chance.choice([path for path in _paths(data) if path])
    parent = data
    for part in way:
        parent = parent[part]
    kind, value = chance.random(), copy.deepcopy(chance.choice(ODD))
    if kind < 0.15 and isinstance(parent, dict):
        parent[chance.choice(KEYS)] = value
    elif kind < 0.3 and isinstance(parent[last], dict):
        parent[last][chance.choice(KEYS)] = value
    elif kind < 0.4:
        del parent[last]
    else:
        parent[last] = value
    return data


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in entries:
        yield from _paths(each, (*path, key))


# --- what a schema can know ------------------------------------------------------------------------------------------


def is_yaml(path: Any) -> bool:
    """Otherwise an editor itself shows the error."""
    try:
        parse_document(path.read_text(encoding="utf-8"), path.name)
    except CampaignError:
        return False
    return True


@pytest.mark.parametrize("path", [path for path in WRONG if is_yaml(path)], ids=lambda path: path.stem)
def test_every_wrong_file_is_refused_but_for_those_that_no_schema_can_know(path: Any) -> None:
    found = errors(path.read_text(encoding="utf-8"))
    assert bool(found) == (path.stem not in UNKNOWABLE), "is the list of what no schema can know up to date?"


def test_the_list_of_what_no_schema_can_know_is_no_longer_than_it_must_be() -> None:
    assert {path.stem for path in WRONG} >= UNKNOWABLE.keys()
    assert len(UNKNOWABLE) <= len(WRONG) * 0.27
    for name, reason in UNKNOWABLE.items():
        told = (HERE / "wrong" / f"{name}.txt").read_text(encoding="utf-8")
        assert ("error[" in told) != reason.startswith("only"), name


DURATION = "expected a duration above zero: seconds as a number, or 90s, 30m, 11h30m, 2d, 01:30:00"

BEGINNING = "max_iter: 3\ntasks: {a: {executable: python a.py}}\nlearners: 2\n"


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ("max_itr: 3", ": Additional properties are not allowed ('max_itr' was unexpected)"),
        ("iterations: 3", ": Additional properties are not allowed ('iterations' was unexpected)"),
        ("seed: [1]", "seed: expected an integer of at least 0"),
        ("timeout: soon", f"timeout: {DURATION}"),
        ("limits: {output: 5}", "limits.output: expected a size with a unit, such as 500 MB or 10 GB"),
        ("env: {ROSE_SEED: 1}", "env: expected letters, digits and '_', starting with a letter; "),
        ("retries: many", "retries: 'many' is not valid under any of the given schemas"),
        ("stop: {metric: mse, threshold: -1, executable: python a.py}", "stop.threshold: this can never be met"),
    ],
)  # fmt: skip
def test_errors_say_what_is_expected(more: str, error: str) -> None:
    found = list(all_errors(VALIDATOR.iter_errors(data_of(f"{BEGINNING}{more}\n"))))
    assert any(_shown(each).startswith(error) for each in found)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("iterations: 3", "did you mean 'max_iter'?"),
        ("maxIterations: 3", "did you mean 'max_iter'?"),
        ("max-iterations: 3", "did you mean 'max_iter'?"),
        ("wall_time: 2h", "write limits: {wall_time: 2h}"),
        ("stop: {metric: mse, executable: python a.py, target: 3}", "did you mean 'threshold'?"),
        ("engine: {kind: slurm, partition: short}", "did you mean 'queue'?"),
        ("limits: {timeout: 2h}", "did you mean 'wall_time'?"),
        ("track: [-x]", "expected the name of a tracker: letters, digits, '_', '-' and '.'"),
    ],
)
def test_keys_of_other_tools_have_a_hint(key: str, hint: str) -> None:
    """As a message of a pattern of keys, which editors show."""
    found = all_errors(VALIDATOR.iter_errors(data_of(f"{BEGINNING}{key}\n")))
    told = [error.schema for error in found if isinstance(error.schema, dict)]
    assert hint in {shape.get("patternErrorMessage", shape.get("errorMessage")) for shape in told}
