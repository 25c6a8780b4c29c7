"""A plan as JSON is input: what no campaign file gives is refused, with its place, and everything else comes back."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.config.rules import MAX_COUNT, MAX_REGEX_CHARACTERS, MAX_SEED, MAX_SIZE
from rose_cli.plan.codec import InvalidPlanError, decode, encode, encode_plan
from rose_cli.plan.model import CRITERION, Adaptive, Number
from tests.check.fixture import Campaigns

if TYPE_CHECKING:
    from collections.abc import Sequence

FULL = """
    max_iter: 5
    limits: {wall_time: 1h, max_parallel_learners: 2, same_failure: 3}
    stop_campaign: {after_converged: 1}
    files: [pool.csv]
    tasks:
      sim:
        {executable: python sim.py, args: [x], options: {--n: 1, --name: y, --list: [1, z], --flag: true}, env: {A: b},
         timeout: 60}
      train: {executable: python train.py, adaptive: {--lr: 0.1 * 0.9**i}}
    stop: {metric: mse, threshold: 0.1, executable: python check.py, patience: 3}
    learners: [{name: a}, {name: b}]
    """
LEARNER = ("learners", 0)
STEP = (*LEARNER, "steps", 0)
COMMAND = (*STEP, "otherwise")
CHECK = (*LEARNER, "criterion")

Way = tuple[str | int, ...]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> str:
    campaigns = Campaigns.set_up(tmp_path_factory.mktemp("full"))
    (campaigns.folder / "pool.csv").touch()
    plan = campaigns.check_text(FULL).plan
    assert plan is not None
    return json.dumps(encode(plan))


@pytest.fixture
def document(full: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(full)
    return found


def changed(document: dict[str, Any], way: Sequence[str | int], value: object) -> dict[str, Any]:
    document = deepcopy(document)
    place: Any = document
    for step in way[:-1]:
        place = place[step]
    place[way[-1]] = value
    return document


def fault(document: dict[str, Any], way: Sequence[str | int], value: object) -> InvalidPlanError:
    with pytest.raises(InvalidPlanError) as raised:
        decode(changed(document, way, value))
    return raised.value


def test_it_comes_back_with_the_types_of_its_values(document: dict[str, Any]) -> None:
    plan = decode(document)
    assert json.loads(json.dumps(encode(plan))) == document
    sim, train = plan.learners[0].steps
    assert dict(sim.otherwise.options) == {"--n": 1, "--name": "y", "--list": (1, "z"), "--flag": True}
    assert train.otherwise.options == {"--lr": Adaptive("0.1 * 0.9**i")}
    assert type(plan.limits.wall_time_seconds) is float
    assert type(decode(changed(document, ("limits", "wall_time_seconds"), 3600)).limits.wall_time_seconds) is float
    assert plan.learners[0].steps[0] is plan.learners[1].steps[0], "what learners have alike is shared"


EDGES: list[tuple[Way, list[object], list[object]]] = [
    (("campaign_file",), [], ["", " "]),
    (("campaign_dir",), [], ["", "\t"]),
    (("stop_after_converged",), [None, 1, MAX_COUNT], [0, -1, MAX_COUNT + 1, 1.5, "1", True]),
    ((*LEARNER, "name"), ["c"], ["", "..", "a/b", "."]),
    ((*LEARNER, "index"), [0, 7], [-1, MAX_COUNT + 1, None]),
    ((*LEARNER, "seed"), [0, MAX_SEED], [-1, MAX_SEED + 1]),
    ((*LEARNER, "max_iter"), [None, 1, MAX_COUNT], [0, MAX_COUNT + 1]),
    ((*LEARNER, "files", 0, "source"), ["x"], ["", " "]),
    ((*LEARNER, "files", 0, "target"), ["x", "x/../y"], ["", "..", "/x", "x/../../y", "."]),
    ((*STEP, "task"), ["other"], ["", CRITERION, "a/b", "train", "Train"]),
    ((*COMMAND, "words"), [["x", "y"], ["x", "{workspace}"], ["x", "{{"], ["x", ""]], [[], ["", "x"], ["x"],
     ["x", "{"], ["x", "{no}"], "x", [1]]),
    ((*COMMAND, "args"), [[], ["{iteration}"]], [["}"], ["{no}"], ["a\0"], [["x"]]]),
    ((*COMMAND, "options"), [{}, {"--x": 1.5}], [{"--x": None}, {"": 1}, {"a b": 1}, {"--x\0": 1}, {"--x": "{"},
     {"--x": ["{"]}, {"--x": {}}]),
    ((*COMMAND, "environment"), [{"B": ""}], [{"1B": ""}, {"ROSE_X": ""}, {"B": "{no}"}, {"": ""}, {"B": 1}]),
    ((*COMMAND, "timeout_seconds"), [None, 5e-324, 0.5, 1e300], [0, -1, float("inf"), float("nan")]),
    ((*COMMAND, "retries"), [0, MAX_COUNT], [-1, MAX_COUNT + 1, None]),
    ((*COMMAND, "retry_pause_seconds"), [0, 0.5], [-0.5, float("inf")]),
    ((*COMMAND, "replicas"), [1, MAX_COUNT], [0, MAX_COUNT + 1]),
    ((*COMMAND, "ranks"), [1, MAX_COUNT], [0, MAX_COUNT + 1]),
    ((*COMMAND, "shell"), [False], [True, 0, None]),
    ((*COMMAND, "beside"), [None, [], [0, 1]], [[2], [0, 2], [-1], ["0"]]),
    ((*COMMAND, "snapshot"), [True], [1, None]),
    ((*COMMAND, "function"), [False], [True, 1, None]),
    ((*COMMAND, "preload"), [[], ["auto"], ["numpy", "a.b_c"]],
     [None, "numpy", [1], [""], ["a..b"], ["a b"], ["a/b"], ["-m"], ["a\0"], ["\x1b[1m"], ["import"], ["a" * 201]]),
    ((*COMMAND, "on_failure"), ["continue", "stop_learner", "stop_campaign"], ["", "retry", None, "x" * 100]),
    ((*COMMAND, "resources", "cores"), [1, MAX_COUNT**2], [0, MAX_COUNT**2 + 1]),
    ((*COMMAND, "resources", "gpus"), [0, MAX_COUNT**2], [-1, MAX_COUNT**2 + 1]),
    ((*COMMAND, "resources", "memory_mb"), [0, MAX_COUNT**2], [-1, MAX_COUNT**2 + 1]),
    ((*CHECK, "threshold"), [None, -1.5, 1.7976931348623157e308], [float("inf"), float("nan"), "0"]),
    ((*CHECK, "lowest"), [None, 0], [float("-inf")]),
    ((*CHECK, "highest"), [None, 0], [float("inf")]),
    ((*CHECK, "patience"), [None, 1], [0, MAX_COUNT + 1]),
    ((*CHECK, "min_delta"), [0, 0.5], [-0.1, float("nan")]),
    ((*CHECK, "min_delta_share"), [0, 0.5, 1], [-0.1, 1.1, float("nan")]),
    ((*CHECK, "min_iter"), [1], [0, MAX_COUNT + 1]),
    ((*CHECK, "operator"), ["<", "<=", ">", ">=", "=="], ["!=", ""]),
    ((*CHECK, "step", "task"), [], ["check", "sim"]),
    ((*CHECK, "reading", "file"), [None, "x"], ["", " "]),
    ((*CHECK, "reading", "json_path"), [None, "a", "a.b"], ["", ".", "a.", "a..b", ".a"]),
    ((*CHECK, "reading", "regex"), [None, ".", "(.)", "(" + "." * (MAX_REGEX_CHARACTERS - 2) + ")"],
     ["", "(", "." * (MAX_REGEX_CHARACTERS + 1)]),
    (("engine", "cores"), [None, 1, MAX_COUNT**2], [0, MAX_COUNT**2 + 1]),
    (("engine", "gpus"), [0, MAX_COUNT, ["0", "3"], []], [None, -1, MAX_COUNT + 1, [0]]),
    (("engine", "grace_seconds"), [0, 0.5], [-1, float("inf")]),
    (("engine", "kind"), ["local"], ["radical.pilot", "other"]),
    (("limits", "wall_time_seconds"), [None, 0.5], [0, float("inf")]),
    (("limits", "max_parallel_learners"), [None, 1], [0, MAX_COUNT + 1]),
    (("limits", "same_failure"), [None, 1], [0]),
    (("limits", "output_bytes"), [None, 1, MAX_SIZE], [0, MAX_SIZE + 1]),
    (("limits", "workspace_files"), [None, 1, MAX_COUNT], [0, MAX_COUNT + 1]),
    (("limits", "workspace_bytes"), [None, 1, MAX_SIZE], [0, MAX_SIZE + 1]),
    ((*LEARNER, "criterion"), [None], [[], "x"]),
    (("keep", "logs"), [None, 0, MAX_SEED], [-1, MAX_SEED + 1, 0.5, True, "1"]),
    (("origin",), [None, {"run": "/r", "campaign": "/c"}, {"run": None, "campaign": "/c"}],
     [{"run": "r", "campaign": "/c"}, {"run": "/r", "campaign": "c"}]),
    (("campaign",), ["x"], ["a\0b", 1]),
]  # fmt: skip


@pytest.mark.parametrize(("way", "right", "wrong"), EDGES, ids=[".".join(map(str, way)) for way, _, _ in EDGES])
def test_a_value_is_what_a_campaign_file_gives(
    document: dict[str, Any], way: Way, right: list[object], wrong: list[object]
) -> None:
    for value in right:
        decode(changed(document, way, value))
    for value in wrong:
        found = fault(document, way, value)
        shared = min(len(found.way), len(way))
        assert shared, value
        assert found.way[:shared] == way[:shared], value
        assert re.match("(is|its|has|cannot|contains|names|refers) ?", str(found.why)), found.why


def test_a_line_for_a_shell_is_one_word(document: dict[str, Any]) -> None:
    command = document["learners"][0]["steps"][0]["otherwise"]
    line = {**command, "shell": True, "words": ["echo a; echo b"], "beside": []}
    assert decode(changed(document, COMMAND, line)).learners[0].steps[0].otherwise.words == ("echo a; echo b",)
    assert fault(document, COMMAND, {**line, "words": ["echo", "a"]}).why == "contains no command"


def test_the_kinds_of_faults_of_text_are_named(document: dict[str, Any]) -> None:
    def why(way: Way, value: object) -> str:
        return str(fault(document, way, value).why)

    assert why((*LEARNER, "name"), "..").startswith("cannot be the name of a learner and its directory: ")
    assert why((*STEP, "task"), "a/b") == "cannot be 'a/b': a task cannot have that name"
    assert why((*LEARNER, "files", 0, "target"), "..") == "cannot be '..': it would be outside the workspace"
    assert why((*COMMAND, "environment"), {"ROSE_X": ""}) == "cannot set 'ROSE_X'"
    assert why((*COMMAND, "options"), {"a b": 1}) == "cannot have an option named 'a b'"
    assert why((*COMMAND, "args"), ["{no}"]).startswith("contains an error: ")
    assert why((*COMMAND, "options"), {"--x": {}}) == "is missing"
    assert why((*CHECK, "reading", "regex"), "(").startswith("is not a regular expression: ")
    assert why((*CHECK, "reading", "json_path"), "a..b") == "contains an empty key"
    origin = {"run": "r", "campaign": "/c"}
    assert why(("origin",), origin) == "cannot be 'r': it is not an absolute path"


def test_a_fault_says_where_it_is(document: dict[str, Any]) -> None:
    assert str(fault(document, (*COMMAND, "retries"), -1)) == "'learners.0.steps.0.otherwise.retries' cannot be -1"
    assert str(fault(document, (*COMMAND, "options"), {"--x": {"expression": "1 +"}})).startswith(
        "'learners.0.steps.0.otherwise.options' contains an invalid expression: "
    )
    with pytest.raises(InvalidPlanError, match=r"^cannot be a list$"):
        decode([])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({}, "a mapping"), ([], "a list"), (None, "empty"), (5, "5"), ("x" * 58, f"'{'x' * 58}'"),
        ("x" * 59, f"'{'x' * 58}…"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_shown_shortened(document: dict[str, Any], value: object, shown: str) -> None:
    assert fault(document, ("engine", "kind"), value).why == f"cannot be {shown}"


def test_what_is_missing_is_named(document: dict[str, Any]) -> None:
    del document["engine"]["kind"]
    with pytest.raises(InvalidPlanError, match=r"^'engine.kind' is missing$"):
        decode(document)


def test_what_an_older_rose_did_not_know_has_its_default(document: dict[str, Any]) -> None:
    del document["learners"][0]["steps"][0]["otherwise"]["beside"]
    assert decode(document).learners[0].steps[0].otherwise.beside is None


@pytest.mark.parametrize("key", ["x", "-1", "1.5", "", "²", "123456789"])
def test_an_iteration_is_a_number(document: dict[str, Any], key: str) -> None:
    command = document["learners"][0]["steps"][0]["otherwise"]
    assert fault(document, (*STEP, "at"), {key: command}).why == "is not an iteration"


def test_the_highest_iteration_has_eight_digits(document: dict[str, Any]) -> None:
    command = document["learners"][0]["steps"][0]["otherwise"]
    assert list(decode(changed(document, (*STEP, "at"), {"12345678": command})).learners[0].steps[0].at) == [12345678]


@pytest.mark.parametrize(
    ("text", "value", "is_one"),
    [
        ("1e-3", 0.001, True),
        ("0x10", 16, True),
        (" 1", 1, False),
        ("inf", 1, False),
        ("1e999", 1, False),
        ("x", 1, False),
    ],
)
def test_a_number_is_written_as_one(document: dict[str, Any], text: str, value: float, is_one: bool) -> None:
    given = {"--x": {"text": text}}
    if is_one:
        (number,) = (
            decode(changed(document, (*COMMAND, "options"), given)).learners[0].steps[0].otherwise.options.values()
        )
        assert isinstance(number, Number)
        assert number.value == value
    else:
        assert "is not a number" in fault(document, (*COMMAND, "options"), given).why


@pytest.mark.parametrize(
    ("first", "second"),
    [({"name": "A"}, {}), ({}, {"index": 0}), ({"index": 1}, {}), ({"name": "b"}, {})],
)
def test_learners_have_names_and_indices_of_their_own(
    document: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    document["learners"][0].update(first)
    document["learners"][1].update(second)
    if first == {"name": "A"}:
        decode(document)
        document["learners"][1]["name"] = "a"
    with pytest.raises(InvalidPlanError, match="two learners"):
        decode(document)


def test_an_engine_has_what_it_needs_and_no_more(document: dict[str, Any]) -> None:
    pilot = {"resource": "lab", "runtime_minutes": 1, "nodes": None, "queue": None, "project": None,
             "access_schema": None, "restarts": 0}  # fmt: skip
    with pytest.raises(InvalidPlanError, match="names one engine and configures another"):
        decode(changed(document, ("engine", "pilot"), pilot))
    engine = {**document["engine"], "kind": "radical.pilot", "pilot": pilot}
    decode(changed(document, ("engine",), engine))
    for name, wrong in (("resource", ""), ("runtime_minutes", 0), ("nodes", 0), ("restarts", -1)):
        assert fault(document, ("engine",), {**engine, "pilot": {**pilot, name: wrong}}).way == (
            "engine",
            "pilot",
            name,
        )


def test_slurm_gets_numbers_of_gpus_and_only_options_of_the_user(document: dict[str, Any]) -> None:
    slurm = {
        "mpi": "pmix",
        "srun": ["--cpu-bind=cores"],
        "nodes": 2,
        "runtime_minutes": 5,
        "project": None,
        "queue": "q",
    }
    with pytest.raises(InvalidPlanError, match="names one engine and configures another"):
        decode(changed(document, ("engine", "slurm"), slurm))
    engine = {**document["engine"], "kind": "slurm", "gpus": None, "slurm": slurm}
    plan = decode(changed(document, ("engine",), engine))
    assert decode(json.loads(json.dumps(encode(plan)))) == plan
    for gpus in (["0"], True, -1):
        fault(document, ("engine",), {**engine, "gpus": gpus})
    for name, wrong in (
        ("mpi", "pmix --uid=0"),
        ("srun", ["--ntasks=5"]),
        ("srun", ["x"]),
        ("nodes", 0),
        ("queue", ""),
    ):
        assert fault(document, ("engine",), {**engine, "slurm": {**slurm, name: wrong}}).way == (
            "engine",
            "slurm",
            name,
        )
    with pytest.raises(InvalidPlanError, match="names one engine and configures another"):
        decode(changed(document, ("engine", "kind"), "slurm"))


# --- what learners share -------------------------------------------------------------------------------------------


@pytest.fixture
def shared(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(encode_plan(decode(document))))
    return found


def test_what_is_shared_comes_back(document: dict[str, Any], shared: dict[str, Any]) -> None:
    assert decode(shared) == decode(document)
    assert shared["learners"][1]["steps"] == [0, 1]
    shared["learners"][1]["steps"] = [0, document["learners"][1]["steps"][1]]
    assert decode(shared) == decode(document), "a value may stand where a position could"


@pytest.mark.parametrize("position", [2, -1, 10**30, True, 0.0, "0", None])
@pytest.mark.parametrize("key", ["steps", "files"])
def test_a_position_is_one_in_the_table(shared: dict[str, Any], key: str, position: object) -> None:
    found = fault(shared, ("learners", 1, key), [position])
    assert found.way == ("learners", 1, key, 0)
    assert str(found.why).startswith("cannot be ")


@pytest.mark.parametrize("position", [1, -1, True, "0"])
def test_the_position_of_a_criterion_too(shared: dict[str, Any], position: object) -> None:
    assert fault(shared, ("learners", 1, "criterion"), position).way == ("learners", 1, "criterion")


def test_a_position_that_the_table_does_not_have_is_explained(shared: dict[str, Any]) -> None:
    assert str(fault(shared, ("learners", 1, "steps"), [0, 2])) == (
        "'learners.1.steps.1' cannot be 2: 'shared' has 2 of its kind"
    )


@pytest.mark.parametrize("value", [None, [], "x", {"steps": {}}, {"steps": [5]}, {"steps": [[]]}, {"criteria": [0]}])
def test_tables_of_another_shape_are_refused(shared: dict[str, Any], value: object) -> None:
    assert fault(shared, ("shared",), value).way[0] == "shared"


def test_a_fault_in_what_is_shared_says_where_it_is(shared: dict[str, Any]) -> None:
    found = fault(shared, ("shared", "steps", 0, "otherwise", "retries"), -1)
    assert str(found) == "'shared.steps.0.otherwise.retries' cannot be -1"


def test_a_step_that_no_learner_refers_to_is_checked_as_well(shared: dict[str, Any]) -> None:
    unused = {**shared["shared"]["steps"][0], "task": "../x"}
    found = fault(shared, ("shared", "steps"), [*shared["shared"]["steps"], unused])
    assert found.way == ("shared", "steps", 2, "task")


def test_the_same_step_twice_in_a_learner_is_two_tasks_of_one_name(shared: dict[str, Any]) -> None:
    assert fault(shared, ("learners", 1, "steps"), [0, 0]).why == "has two tasks with the same name"
