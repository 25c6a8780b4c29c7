"""The parts that need no session: commands, the text of a campaign, configurations, states and scores."""

from __future__ import annotations

import copy
import os
import pickle
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

import rose_cli
from rose_cli import (
    ClearMLTracker,
    DragonExecutionBackendV3,
    Experience,
    ExperienceBank,
    IterationState,
    LearnerConfig,
    ParallelActiveLearner,
    ResourceEngine,
    RoseWarning,
    ScriptError,
    Task,
    TaskConfig,
    TrackerBase,
    UnsupportedError,
    UQScorer,
    metrics,
    register_uq,
)
from rose_cli.api.commands import command_of
from rose_cli.api.emit import emitted
from rose_cli.api.task import _Place, arguments, options_for
from rose_cli.api.upstream import scripts
from rose_cli.api.upstream.experience import merge_files
from rose_cli.api.upstream.functions import fingerprint
from rose_cli.api.upstream.states import share_history
from rose_cli.api.upstream.tracing import Definition, NeedsResults, Tracer
from rose_cli.config.document import parse_document
from rose_cli.engine.function import parameter_of
from rose_cli.plan.metrics import STANDARD_METRICS
from rose_cli.view.decided import RECORD

if TYPE_CHECKING:
    from pathlib import Path

# --- commands ------------------------------------------------------------------------------------------------------


COMMANDS = [
    ("python sim.py 'a b'", {}, ("python", "sim.py", "a b"), None),
    ("a | b", {"shell": True}, (), "a | b"),
    (Task(executable="python sim.py", arguments=["--n", 5]), {}, ("python", "sim.py", "--n", "5"), None),
    (["python", "a b.py"], {}, ("python", "a b.py"), None),
]


@pytest.mark.parametrize(("value", "described", "words", "line"), COMMANDS)
def test_what_a_function_returns_becomes_words_or_a_shell_line(
    value: Any, described: dict[str, Any], words: tuple[str, ...], line: str | None
) -> None:
    command = command_of(value, "simulation", described)
    assert (command.words, command.line) == (words, line)


def test_what_a_task_needs_becomes_its_keys_whatever_the_backend_calls_it() -> None:
    command = command_of(Task("sim", gpus_per_rank=1, environment={"A": "{b}"}), "s", {"ranks": 2, "num_cpus": 4})
    assert command.keys == {
        "executable": ["sim"], "ranks": 2, "cores_per_rank": 4, "gpus_per_rank": 1, "env": {"A": "{{b}}"},
    }  # fmt: skip


@pytest.mark.parametrize("value", [None, 5, "", {"a": 1}, "unclosed 'quote"])
def test_what_is_no_command_is_an_error_with_a_hint(value: object) -> None:
    with pytest.raises(ScriptError) as raised:
        command_of(value, "simulation", {})
    assert raised.value.hint


# --- functions -----------------------------------------------------------------------------------------------------


def positional(*args: Any, **kwargs: Any) -> str:
    return f"sim.py {args[0]}"


def uses(*args: Any, **kwargs: Any) -> str:
    return f"sim.py --n {kwargs.get('--n', 1)}"


async def waits(*args: Any, **kwargs: Any) -> str:
    import asyncio

    await asyncio.sleep(0)
    return "sim.py"


def test_an_option_that_a_function_uses_is_not_added_again() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        command = Tracer().command(Definition("simulation", uses), TaskConfig(kwargs={"--n": 5}))
    assert getattr(command, "words", None) == ("sim.py", "--n", "5")


def test_options_and_arguments_that_a_function_ignores_are_added_with_a_warning() -> None:
    config = TaskConfig(args=("data.csv",), kwargs={"--n": 5, "rate": 1})
    with pytest.warns(RoseWarning) as told:
        command = Tracer().command(Definition("training", waits), config)
    assert getattr(command, "words", None) == ("sim.py", "data.csv", "--n", "5")
    added, lost = [str(each.message) for each in told]
    assert added.startswith("the function of 'training' ignores data.csv, --n: added to its command")
    assert lost.startswith("the function of 'training' ignores 'rate', which has no effect")


def test_a_function_that_needs_results_is_called_when_its_task_runs() -> None:
    assert isinstance(Tracer().command(Definition("training", positional), TaskConfig()), NeedsResults)


plain = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=9))
names = st.from_regex(r"-{0,2}[a-z][a-z_-]{0,8}", fullmatch=True)
values = st.one_of(plain, st.lists(plain, max_size=3), st.none(), st.tuples(plain), st.dictionaries(st.text(), plain))


@given(st.lists(values, max_size=2), st.dictionaries(names, values, max_size=4))
def test_arguments_reach_a_function_as_they_were(args: list[Any], kwargs: dict[str, Any]) -> None:
    options = options_for(args, kwargs)
    assert arguments({parameter_of(name): value for name, value in options.items()}) == (tuple(args), kwargs)


def test_a_fingerprint_follows_what_a_function_does_and_not_where_it_stands() -> None:
    def compiled(text: str) -> str:
        names: dict[str, Any] = {"__name__": "script"}
        exec(text, names)
        return fingerprint([names["task"]])

    first = compiled("def helper(): return {1, 2}\ndef task(): return helper()\n")
    assert compiled("\n\ndef helper(): return {1, 2}\n\ndef task(): return helper()\n") == first
    assert compiled("def helper(): return {1, 3}\ndef task(): return helper()\n") != first


# --- the text ------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=30)
leaves = st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(-1e9, 1e9), texts)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(names, st.integers(-1, 99)), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(names, trees, min_size=1, max_size=4))
@example({"a": "\ufeff\u2028\x7f\u200b"})
def test_the_text_of_a_campaign_says_what_was_meant(campaign: dict[str, Any]) -> None:
    text = emitted(campaign, "a heading")
    assert yaml.safe_load(text) == campaign
    assert parse_document(text, "x.yaml").data is not None


# --- configurations, states, engines -------------------------------------------------------------------------------


def test_a_configuration_is_that_of_the_iteration_else_the_one_for_all_others() -> None:
    config = LearnerConfig(
        simulation={0: TaskConfig(kwargs={"a": 1}), -1: TaskConfig(kwargs={"a": 2})}, training=TaskConfig()
    )
    assert [getattr(config.get_task_config("simulation", i), "kwargs", None) for i in (0, 3)] == [{"a": 1}, {"a": 2}]
    assert config.get_task_config("training", 7) == TaskConfig()
    assert config.get_task_config("active_learn", 0) is None


@pytest.mark.parametrize("wrong", [{"one": TaskConfig()}, {-5: TaskConfig()}, 7, {0: 3}])
def test_a_configuration_that_is_none_is_an_error(wrong: Any) -> None:
    with pytest.raises(ScriptError):
        LearnerConfig(simulation=wrong)


def test_a_state_has_what_tasks_reported_as_attributes() -> None:
    state = IterationState(3, "mse", 0.5, state={"labeled": 7})
    assert (state.labeled, state.unknown, state.get("unknown", 1), state.to_dict()["labeled"]) == (7, None, 1, 7)
    assert pickle.loads(pickle.dumps(state)).labeled == 7


ENGINES = [
    ({}, {"kind": "local"}),
    ({"resource": "local.localhost", "runtime": 30, "cores": 4}, {"kind": "local", "cores": 4}),
    (
        {"resource": "tacc.frontera", "runtime": 60, "nodes": 2},
        {"kind": "radical.pilot", "resource": "tacc.frontera", "runtime": 60, "nodes": 2},
    ),
    ({"kind": "slurm"}, {"kind": "slurm"}),
]


@pytest.mark.parametrize(("description", "settings"), ENGINES)
def test_an_engine_is_that_of_a_campaign_file(description: dict[str, Any], settings: dict[str, Any]) -> None:
    assert ResourceEngine(description).settings == settings


@pytest.mark.parametrize("make", [DragonExecutionBackendV3, ClearMLTracker])
def test_what_is_out_of_reach_says_what_to_use(make: Any) -> None:
    with pytest.raises(UnsupportedError, match="use "):
        make("name")


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("StreamingActiveLearner", "write a campaign file"),
        ("load_spec", "rose import"),
        ("DaskExecutionBackend", "use ConcurrentExecutionBackend"),
        ("al", "import its names from rose_cli itself"),
    ],
)
def test_an_import_of_what_is_out_of_reach_says_what_to_use(name: str, instead: str) -> None:
    for statement in (f"from rose_cli import {name}", f"import rose_cli; rose_cli.{name}"):
        with pytest.raises(ImportError, match=rf"^rose has no '{name}': .*{instead}"):
            exec(statement, {})


def test_no_name_is_here_and_out_of_reach() -> None:
    absent = vars(rose_cli)["_ABSENT"]
    assert not absent.keys() & vars(rose_cli)["_EXPORTS"].keys()
    assert [name for name in absent if find_spec(f"rose_cli.{name}") is not None] == []


def test_a_learner_with_a_loop_of_its_own_says_what_to_use() -> None:
    with pytest.raises(UnsupportedError, match=r"'Mine' cannot be .*use ActiveLearner"):

        class Mine(rose_cli.Learner):
            """As upstream's programs derive one."""


def test_a_tracker_is_told_what_runs() -> None:
    told = []

    class Tracker(TrackerBase):
        def on_start(self, manifest: Any) -> None:
            told.append(manifest)

    learner = ParallelActiveLearner(ResourceEngine())
    learner.training_task(as_executable=False, gpus_per_rank=1, log_params={"kernel": "RBF"})(positional)
    learner.as_stop_criterion(metric_name="mse", threshold=0.1)(uses)
    learner.add_tracker(Tracker())
    (manifest,) = told
    assert manifest.learner_type == "ParallelActiveLearner"
    assert manifest.tasks["training"].log_params == {"kernel": "RBF"}
    assert (manifest.criterion.metric_name, manifest.criterion.threshold) == ("mse", 0.1)


def test_every_constant_of_the_metrics_is_a_standard_metric_or_an_operator() -> None:
    values = {value for name, value in vars(metrics).items() if name.isupper()}
    assert values - {"<", ">", "==", "<=", ">="} <= STANDARD_METRICS.keys()
    assert len(values) > 35


# --- experiences and scores ----------------------------------------------------------------------------------------


def test_banks_of_experiences_are_merged_once(tmp_path: Path) -> None:
    for name, count in (("a", 2), ("b", 3)):
        bank = ExperienceBank(max_size=9, session_id=f"experience_bank_{name}")
        bank.add_batch(Experience(i, 0, 1.0, i, False) for i in range(count))
        bank.save(tmp_path)
    assert merge_files(tmp_path) == 5
    assert merge_files(tmp_path) == 5, "an attempt that comes again finds them merged"
    merged = ExperienceBank.load(tmp_path / "experience_bank.pkl", max_size=4)
    assert [each.state for each in merged.get_recent(2)] == [1, 2]
    assert (len(merged), len(merged.merge(merged)), len(merged.sample(3))) == (4, 4, 3)
    with pytest.raises(ValueError, match="4 experiences"):
        merged.sample(9, replace=False)


SURE, SPLIT = [[0.98, 0.02]] * 4, [[0.98, 0.02]] * 2 + [[0.02, 0.98]] * 2


def test_scores_tell_sure_predictions_from_split_ones() -> None:
    predictions = np.stack([SURE, SPLIT], axis=1)
    scores = UQScorer("classification").compute_uncertainty(predictions, y_true=[0, 0])
    assert scores["predictive_entropy"] == pytest.approx([0.0980, 0.6931], abs=1e-3)
    assert scores["mutual_information"] == pytest.approx([0.0, 0.5951], abs=1e-3)
    assert scores["variation_ratio"] == pytest.approx([0.0, 0.5])
    assert scores["margin"] == pytest.approx([0.96, 0.0])
    assert scores["negative_log_likelihood"] == pytest.approx([0.0202, 0.6931], abs=1e-3)
    top, values = UQScorer("classification").select_top_uncertain(predictions, k=1)
    assert (list(top), values) == ([1], pytest.approx([0.6931], abs=1e-3))


def test_scores_of_values_and_a_measure_of_ones_own() -> None:
    @register_uq("spread_of_test")
    def spread(scorer: UQScorer, predictions: Any) -> Any:
        return np.ptp(scorer.validated(predictions)[0], axis=0)

    scorer = UQScorer("regression")
    draws = [[0.0, 1.0], [2.0, 1.0]]
    scores = scorer.compute_uncertainty(draws)
    assert scores["predictive_variance"] == pytest.approx([1.0, 0.0])
    assert scores["predictive_interval_width"] == pytest.approx([1.9, 0.0])
    assert scorer.select_top_uncertain(draws, metric="spread_of_test", k=1)[1] == pytest.approx([2.0])
    with pytest.raises(ValueError, match="draws x samples"):
        scorer.select_top_uncertain([1.0, 2.0])


@pytest.mark.parametrize(
    "kind", [ParallelActiveLearner, rose_cli.ParallelReinforcementLearner, rose_cli.AlgorithmSelector]
)
def test_a_configuration_for_the_next_iteration_of_several_learners_is_an_error_with_a_hint(kind: Any) -> None:
    with pytest.raises(UnsupportedError, match=rf"{kind.__name__} has no set_next_config\(\)") as raised:
        kind(ResourceEngine()).set_next_config(LearnerConfig())
    assert "SequentialActiveLearner" in str(raised.value.hint)


def test_a_loop_of_its_own_on_upstreams_learner_is_an_error_that_says_what_to_use() -> None:
    with pytest.raises(UnsupportedError, match="takes no engine") as raised:
        rose_cli.Learner(ResourceEngine())  # type: ignore[call-arg, arg-type]
    assert "campaign file" in str(raised.value.hint)


# --- what functions return, in the run directory -------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "r" / "python").mkdir(parents=True, mode=0o700)
    return tmp_path / "r"


def test_results_of_replicas_come_in_the_order_of_the_replicas(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = _Place(run, "lr=0.1,n=2", 3)
    expected = [f"value {index}" for index in range(12)]
    for index in reversed(range(12)):
        monkeypatch.setenv("ROSE_REPLICA_INDEX", str(index))
        monkeypatch.setenv("ROSE_REPLICA", f"name-{(7 * index) % 12}")
        place.keep("predict", expected[index])
    assert place.result_of("predict", False) == expected
    assert _Place(run, "lr=0.1,n=2", 4).result_of("predict", True) == expected
    _Place(run, "lr=0.1,n=2", 5).keep("predict", 1)
    assert [path.name for path in (run / "python" / "results" / "lr=0.1,n=2").iterdir()] == ["5"]
    assert place.result_of("predict", False) is None


@pytest.mark.parametrize("linked", ["results", "results/a", "results/a/0", "results/a/2"])
def test_results_are_neither_written_nor_removed_through_a_link(linked: str, run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for folder in (other, other / "0", other / "a" / "0"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "precious").touch()
    (run / "python" / linked).parent.mkdir(parents=True, exist_ok=True)
    (run / "python" / linked).symlink_to(other)
    before = sorted(other.rglob("*"))
    if linked == "results/a/0":
        _Place(run, "a", 2).keep("train", 1)
    else:
        with pytest.raises(OSError, match="symbolic link"):
            _Place(run, "a", 2).keep("train", 1)
    assert sorted(other.rglob("*")) == before


def test_the_end_of_a_script_is_noted_without_following_links(run: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept", encoding="utf-8")
    record = run / "python" / RECORD
    record.write_text(scripts.Record("s", 1, "p").text, encoding="utf-8")
    for name in ("script.new", f".{RECORD}-{os.getpid()}"):
        (run / "python" / name).symlink_to(precious)
    scripts.mark_ended(run)
    assert precious.read_text(encoding="utf-8") == "kept"
    found = scripts.Record.of(run)
    assert found is not None
    assert found.ended


def test_states_that_are_all_kept_keep_one_history() -> None:
    grown: list[float] = []
    states = []
    for number in range(3):
        grown.append(float(number))
        states.append(IterationState(number))
        share_history(states[-1], grown)
    assert [each.metric_history for each in states] == [[0.0], [0.0, 1.0], [0.0, 1.0, 2.0]]
    assert states[1].to_dict()["metric_history"] == [0.0, 1.0]
    assert copy.deepcopy(states[1]) == states[1]
    assert IterationState(0).metric_history == []
    assert "metric_history=[0.0, 1.0]" in repr(states[1])


@pytest.mark.parametrize("name", ["function_task", "executable_task", "block"])
def test_an_engine_for_loops_of_ones_own_says_what_to_use(name: str) -> None:
    with pytest.raises(rose_cli.UnsupportedError, match="write a campaign file"):
        getattr(rose_cli.WorkflowEngine(), name)
    assert not hasattr(rose_cli.WorkflowEngine(), "nonesuch")
