"""From a campaign to its plan: what each learner runs at each iteration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from rose_cli.campaign_file import Setting, parse_setting
from rose_cli.config.models import StopFields
from rose_cli.plan.compile import learner_seed, with_learners
from rose_cli.plan.criteria import is_whole, measured, operator_of
from rose_cli.plan.metrics import StandardMetric, standard_metric
from rose_cli.plan.model import CRITERION, Adaptive, EnginePlan, FilePlan, PilotPlan

if TYPE_CHECKING:
    from pathlib import Path

    from rose_cli.plan.model import LearnerPlan, Plan
    from tests.check.fixture import Campaigns
    from tests.plan.conftest import Compile


def only(plan: Plan) -> LearnerPlan:
    (learner,) = plan.learners
    return learner


def options(learner: LearnerPlan, iteration: int, task: int = 0) -> dict[str, object]:
    return dict(learner.steps[task].command(iteration).options)


# --- learners ------------------------------------------------------------------------------------------------------


def test_a_number_of_learners_gives_as_many_alike_but_for_name_and_seed(compiled: Compile) -> None:
    plan = compiled("learners: 3")
    assert [learner.name for learner in plan.learners] == ["learner-0", "learner-1", "learner-2"]
    assert [learner.index for learner in plan.learners] == [0, 1, 2]
    assert len({learner.seed for learner in plan.learners}) == 3
    assert all(learner.steps == plan.learners[0].steps for learner in plan.learners)


def test_a_learner_without_a_name_is_named_by_its_place(compiled: Compile) -> None:
    plan = compiled("learners: [{}, {name: mine}, null]")
    assert [learner.name for learner in plan.learners] == ["learner-0", "mine", "learner-2"]


def test_the_campaign_is_named_by_its_file_unless_it_says_otherwise(compiled: Compile) -> None:
    assert compiled("").campaign == "campaign"
    assert compiled("name: My own").campaign == "My own"


def test_tasks_of_any_name_run_in_the_order_of_the_file(compiled: Compile) -> None:
    plan = compiled("""
        tasks:
          update: {executable: python train.py}
          environment: {executable: python sim.py}
          post_process: {executable: echo done}
        stop: {metric: mse, threshold: 0.1, executable: python check.py}
    """)
    assert [step.task for step in only(plan).all_steps] == ["update", "environment", "post_process", CRITERION]


# --- seeds ---------------------------------------------------------------------------------------------------------


def test_seeds_stay_when_learners_are_reordered_or_others_come(compiled: Compile) -> None:
    few = compiled("seed: 7\nlearners: [{name: a}, {name: b}]")
    more = compiled("seed: 7\nlearners: [{name: c}, {name: b}, {name: a}]")
    seeds = {learner.name: learner.seed for learner in more.learners}
    assert {learner.name: learner.seed for learner in few.learners}.items() <= seeds.items()
    assert len(set(seeds.values())) == 3


def test_seeds_change_with_the_campaigns_seed(compiled: Compile) -> None:
    assert only(compiled("seed: 1")).seed != only(compiled("seed: 2")).seed
    assert only(compiled("")).seed == only(compiled("seed: 0")).seed


def test_the_seed_of_a_name_never_changes() -> None:
    """Written down, since a seed that changed with a new rose would change every result."""
    assert learner_seed(0, "learner-0") == 842776430
    assert learner_seed(2024, "adaptive") == 131280437


def test_a_learners_own_seed_is_taken_as_it_is(compiled: Compile) -> None:
    assert [learner.seed for learner in compiled("learners: [{seed: 0}, {seed: 5}]").learners] == [0, 5]


# --- schedules -----------------------------------------------------------------------------------------------------


def test_a_key_is_one_iteration_and_minus_one_all_others(compiled: Compile) -> None:
    learner = only(compiled("learners: [{simulation: {0: {--n: 1}, 5: {--n: 2}, -1: {--n: 3}}}]"))
    assert [options(learner, i)["--n"] for i in range(8)] == [1, 3, 3, 3, 3, 2, 3, 3]


def test_without_minus_one_the_others_run_as_declared(compiled: Compile) -> None:
    learner = only(
        compiled("""
        tasks: {simulation: {executable: python sim.py, options: {--n: 9, --m: 8}}}
        learners: [{simulation: {1: {--n: 1}}}]
        """)
    )
    assert [options(learner, i) for i in range(3)] == [
        {"--n": 9, "--m": 8},
        {"--n": 1, "--m": 8},
        {"--n": 9, "--m": 8},
    ]


def test_with_hold_a_key_counts_until_the_next(compiled: Compile) -> None:
    text = "learners: [{simulation: {2: {--n: 1}, 5: {--n: 2}, hold: true}}]"
    learner = only(compiled(text))
    assert [options(learner, i).get("--n") for i in range(8)] == [None, None, 1, 1, 1, 2, 2, 2]
    with_rest = only(compiled(text.replace("hold", "-1: {--n: 0}, hold")))
    assert [options(with_rest, i).get("--n") for i in range(8)] == [0, 0, 1, 1, 1, 2, 2, 2]


def test_only_minus_one_is_for_every_iteration(compiled: Compile) -> None:
    learner = only(compiled("learners: [{simulation: {-1: {--n: 3}}}]"))
    assert options(learner, 0) == options(learner, 9) == {"--n": 3}


def test_the_order_of_keys_does_not_matter(compiled: Compile) -> None:
    learner = only(compiled("learners: [{simulation: {5: {--n: 2}, -1: {--n: 3}, 0: {--n: 1}, hold: false}}]"))
    assert [options(learner, i)["--n"] for i in (0, 1, 5)] == [1, 3, 2]


def test_an_entry_may_be_adaptive_full_or_empty(compiled: Compile) -> None:
    learner = only(
        compiled("""
        learners:
          - simulation:
              0: {adaptive: {--n: i + 1}}
              1: {executable: python train.py, options: {--m: 1}, timeout: 5m}
              2: {}
              -1: {--n: 5}
        """)
    )
    assert options(learner, 0) == {"--n": Adaptive("i + 1")}
    second = learner.steps[0].command(1)
    assert (second.words, second.timeout_seconds) == (("python", "train.py"), 300.0)
    assert options(learner, 2) == {}
    assert options(learner, 3) == {"--n": 5}


def test_a_learner_changes_only_the_tasks_that_it_names(compiled: Compile) -> None:
    plan = compiled("""
        tasks: {simulation: {executable: python sim.py, options: {--n: 1}}, training: {executable: python train.py}}
        learners: [{simulation: {--n: 2}}, {}]
    """)
    changed, plain = plan.learners
    assert options(changed, 0) == {"--n": 2}
    assert options(plain, 0) == {"--n": 1}
    assert changed.steps[1] == plain.steps[1]


def test_the_environment_of_a_learner_is_in_all_its_commands_and_in_no_others(compiled: Compile) -> None:
    plan = compiled("""
        tasks: {simulation: {executable: python sim.py}, training: {executable: python train.py}}
        stop: {metric: mse, threshold: 0.1, executable: python check.py}
        learners: [{env: {A: 1}, pre_exec: [b], simulation: {--n: 2}}, {}]
    """)
    own, plain = plan.learners
    assert all(step.command(0).environment == {"A": "1"} for step in own.all_steps)
    assert all(step.command(0).pre_exec == ("b",) for step in own.all_steps)
    assert all(step.command(0).environment == {} and step.command(0).pre_exec == () for step in plain.all_steps)


def test_a_learner_has_an_environment_or_lines_before_its_commands_alone(compiled: Compile) -> None:
    plan = compiled("learners: [{env: {A: 1}}, {pre_exec: [b]}]")
    given = [
        (dict(step.command(0).environment), step.command(0).pre_exec) for each in plan.learners for step in each.steps
    ]
    assert given == [({"A": "1"}, ()), ({}, ("b",))]


# --- the end -------------------------------------------------------------------------------------------------------


def test_a_standard_metric_brings_its_operator(compiled: Compile) -> None:
    text = "stop: {{metric: {}, threshold: 0.5, executable: python check.py}}"
    operators = {}
    for metric in ("mse", "mean_squared_error_mse", "accuracy", "F1", "Model Accuracy", "model-accuracy"):
        criterion = only(compiled(text.format(metric))).criterion
        assert criterion is not None
        operators[metric] = criterion.operator
    assert operators == {
        "mse": "<",
        "mean_squared_error_mse": "<",
        "accuracy": ">=",
        "F1": ">",
        "Model Accuracy": ">=",
        "model-accuracy": ">=",
    }


def test_a_learners_stop_is_laid_over_the_campaigns(compiled: Compile) -> None:
    plan = compiled("""
        stop:
          {metric: mse, threshold: 0.1, executable: python check.py, patience: 3, read: {json: a}, retries: 2}
        learners:
          - {}
          - stop: {threshold: 0.05}
          - stop: {metric: accuracy, threshold: 0.9, read: last_line, patience: null}
          - stop: {executable: python train.py, options: {--x: 1}}
          - stop: null
    """)
    plain, nearer, other, program, none = (learner.criterion for learner in plan.learners)
    assert plain is not None
    assert nearer is not None
    assert other is not None
    assert program is not None
    assert program.step is not None
    assert (plain.threshold, plain.patience, plain.reading.json_path) == (0.1, 3, "a")
    assert (nearer.threshold, nearer.metric, nearer.patience) == (0.05, "mse", 3)
    assert (other.operator, other.patience, other.reading.json_path) == (">=", None, None)
    assert program.step.otherwise.words == ("python", "train.py")
    assert program.step.otherwise.retries == 2
    assert none is None


def test_another_metric_does_not_inherit_the_operator(compiled: Compile) -> None:
    plan = compiled("""
        stop: {metric: my_loss, operator: "<=", threshold: 0.1, executable: python check.py}
        learners:
          - stop: {metric: accuracy, threshold: 0.9}
          - stop: {metric: my_loss, threshold: 0.2}
    """)
    assert [learner.criterion.operator for learner in plan.learners if learner.criterion] == [">=", "<="]


def test_a_learners_own_number_of_iterations_goes_before_the_campaigns(compiled: Compile) -> None:
    plan = compiled("max_iter: 5\nlearners: [{}, {max_iter: 7}]")
    assert [learner.max_iter for learner in plan.learners] == [5, 7]


def test_without_max_iter_there_is_no_bound(compiled: Compile, campaigns: Campaigns) -> None:
    text = "tasks: {a: {executable: python sim.py}}\nlearners: 1\n"
    checked = campaigns.check_text(text + "stop: {metric: mse, threshold: 0.1, executable: python check.py}\n")
    assert checked.plan is not None
    assert only(checked.plan).max_iter is None


# --- the rest ------------------------------------------------------------------------------------------------------


def test_files_lie_at_the_same_relative_path_unless_said_otherwise(compiled: Compile, campaigns: Campaigns) -> None:
    learner = only(
        compiled("""
        files: [scripts/prepare.py, {path: data.csv, to: a/./b.csv, copy: true}, ../bin/python]
        learners: [{files: [data.csv]}]
        """)
    )
    folder: Path = campaigns.folder
    assert learner.files == (
        FilePlan(str(folder / "scripts/prepare.py"), "scripts/prepare.py", copied=False),
        FilePlan(str(folder / "data.csv"), "a/b.csv", copied=True),
        FilePlan(str(folder.parent / "bin/python"), "python", copied=False),
        FilePlan(str(folder / "data.csv"), "data.csv", copied=False),
    )


def test_a_smoke_run_has_its_own_length_and_lies_over_everything(compiled: Compile) -> None:
    text = """
        tasks: {simulation: {executable: python sim.py, options: {--n: 500}}}
        smoke: {max_iter: 2, simulation: {options: {--n: 5, --fast: true}, timeout: 10}}
        learners: [{simulation: {--m: 1}}, {simulation: {0: {--n: 7}}}, {max_iter: 9}]
    """
    smoke = compiled(text, smoke=True)
    assert [learner.max_iter for learner in smoke.learners] == [2, 2, 2]
    assert options(smoke.learners[0], 0) == {"--n": 5, "--m": 1, "--fast": True}
    assert options(smoke.learners[1], 0) == {"--n": 5, "--fast": True}
    assert smoke.learners[0].steps[0].command(0).timeout_seconds == 10.0
    assert [learner.max_iter for learner in compiled(text).learners] == [10, 10, 9]


@pytest.mark.parametrize(
    ("runtime", "minutes", "memory", "megabytes"),
    [
        ("120", 120, "4096", 4096),
        ("2h", 120, "4GB", 4096),
        ("01:30:00", 90, "1.5 G", 1536),
        ("90s", 2, "1KB", 1),
        ("1d", 1440, "2gb", 2048),
    ],
)
def test_units_of_run_time_and_memory(
    compiled: Compile, runtime: str, minutes: int, memory: str, megabytes: int
) -> None:
    plan = compiled(f"""
        engine: {{kind: radical.pilot, runtime: {runtime}}}
        tasks: {{simulation: {{executable: python sim.py, mem_per_rank: {memory}}}}}
    """)
    assert plan.engine.pilot is not None
    assert plan.engine.pilot.runtime_minutes == minutes
    assert plan.learners[0].steps[0].otherwise.resources.memory_mb == megabytes


def test_limits_and_engine_arrive_in_seconds_and_numbers(compiled: Compile) -> None:
    plan = compiled("""
        engine: {cores: 4, gpus: 2, grace: 1m}
        limits: {wall_time: 11h30m, max_parallel_learners: 3, same_failure: 2, output: 1.5 GB, files: 9, workspace: 5m}
        stop_campaign: {after_converged: 1}
        stop: {metric: mse, threshold: 0.1, executable: python check.py}
    """)
    assert (plan.engine.kind, plan.engine.cores, plan.engine.gpus, plan.engine.grace_seconds) == (
        "local",
        4,
        2,
        60.0,
    )
    assert (plan.limits.wall_time_seconds, plan.limits.max_parallel_learners, plan.limits.same_failure) == (
        41400.0,
        3,
        2,
    )
    assert (plan.limits.output_bytes, plan.limits.workspace_files, plan.limits.workspace_bytes) == (
        3 * 2**29,
        9,
        5 * 2**20,
    )
    assert plan.stop_after_converged == 1


def test_chosen_learners_keep_their_index_and_seed(compiled: Compile) -> None:
    plan = compiled("learners: [{name: a}, {name: b}, {name: c}]")
    chosen = with_learners(plan, frozenset({"c", "a"}))
    assert chosen.learners == (plan.learners[0], plan.learners[2])


# --- pilots --------------------------------------------------------------------------------------------------------


def test_a_pilot_arrives_with_all_that_it_is_asked_for(compiled: Compile) -> None:
    plan = compiled("""
        engine: {kind: radical.pilot, resource: lab.cluster, runtime: 90, nodes: 2, gpus: 2, project: p, queue: q,
                 access_schema: ssh, restarts: 3, grace: 1m}
    """)
    assert plan.engine == EnginePlan(
        "radical.pilot", 112, ("0", "1"), 60.0, PilotPlan("lab.cluster", 90, 2, "p", "q", "ssh", 3)
    )


def test_a_pilot_of_which_nothing_is_said_is_one_of_this_machine(compiled: Compile) -> None:
    engine = compiled("engine: radical.pilot").engine
    assert engine.pilot == PilotPlan("local.localhost", 30, None, None, None, None, 0)
    assert engine.cores is None


def test_a_smoke_run_stays_on_this_machine(compiled: Compile) -> None:
    text = """
        engine: {kind: radical.pilot, resource: lab.cluster, project: p, gpus: 4, nodes: 1}
        tasks: {simulation: {executable: python sim.py, cores_per_rank: 40, gpus_per_rank: 3}}
    """
    assert compiled(text).engine.kind == "radical.pilot"
    assert compiled(text, smoke=True).engine == EnginePlan("local", 40, 3, 5.0)


@pytest.mark.parametrize(
    ("engine", "option", "expected"),
    [
        ("{kind: local, cores: 3}", "local", ("local", 3)),
        ("{kind: local, cores: 3}", "radical.pilot", ("radical.pilot", 3)),
        ("{kind: local, gpus: [2, 3]}", "radical.pilot", ("radical.pilot", None)),
        ("{resource: lab.cluster, project: p}", "radical.pilot", ("radical.pilot", 56)),
        ("{kind: locl, cores: 3}", "local", ("local", None)),
        ("{cores: 3}", "local", ("local", 3)),
        ("radical.pilot", "radical.pilot", ("radical.pilot", None)),
        ("{kind: radical.pilot, resource: lab.cluster, project: p}", "radical.pilot", ("radical.pilot", 56)),
        ("{kind: radical.pilot, resource: lab.cluster, project: p}", "local", ("local", None)),
        ("{kind: radical.pilot, cores: 99, gpus: 99, runtime: 5}", "local", ("local", None)),
    ],
)
def test_an_engine_given_on_the_command_line(
    campaigns: Campaigns, engine: str, option: str, expected: tuple[str, int | None]
) -> None:
    """It changes the kind, and nothing where the file names that kind already."""
    text = f"max_iter: 1\nengine: {engine}\ntasks: {{simulation: {{executable: python sim.py}}}}\nlearners: 1\n"
    plan = campaigns.check_text(text, [Setting(("engine",), option, f"--engine {option}")]).good_plan
    assert (plan.engine.kind, plan.engine.cores) == expected


def settings(*texts: str) -> list[Setting]:
    return [parse_setting(text) for text in texts]


def test_what_stays_of_an_engine_whose_kind_is_changed(campaigns: Campaigns) -> None:
    text = "max_iter: 1\nengine: {0}\ntasks: {{simulation: {{executable: python sim.py}}}}\nlearners: 1\n"
    here = text.format("{cores: 3, gpus: [2, 3], grace: 1m}")
    pilot = campaigns.check_text(here, settings("engine=radical.pilot")).good_plan.engine
    assert (pilot.cores, pilot.gpus, pilot.grace_seconds) == (3, ("0", "1"), 60.0)
    there = text.format(
        "{kind: radical.pilot, resource: lab.cluster, project: p, nodes: 2, cores: 9, gpus: 1, grace: 1m}"
    )
    assert campaigns.check_text(there, settings("engine=local")).good_plan.engine == EnginePlan("local", None, (), 60.0)
    assert campaigns.check_text(there, settings("engine=local", "engine.cores=2")).good_plan.engine.cores == 2


def test_whole_nodes_come_with_their_gpus(compiled: Compile) -> None:
    at = "kind: radical.pilot, resource: lab.cluster, project: p"
    assert compiled(f"engine: {{{at}, nodes: 2}}").engine.gpus == tuple("01234567")
    assert compiled(f"engine: {{{at}, nodes: 2, gpus: 0}}").engine.gpus == ()
    assert compiled(f"engine: {{{at}}}").engine.gpus == ()
    assert compiled("engine: {kind: radical.pilot, nodes: 2}").engine.gpus == ()


# --- preload -------------------------------------------------------------------------------------------------------


def preloads(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {step.task: step.command(0).preload for step in only(plan).all_steps}


def test_what_the_campaign_preloads_every_task_that_runs_python_preloads(compiled: Compile) -> None:
    plan = compiled("""
        preload: [numpy, scipy.linalg]
        tasks:
          script: {executable: python sim.py}
          same: {executable: "{python} sim.py"}
          path: {executable: /usr/bin/python3.11 sim.py}
          shell: {executable: python sim.py, shell: true}
          prepared: {executable: python sim.py, pre_exec: module load python}
          other: {executable: bash sim.py}
        stop: {metric: mse, threshold: 1, executable: python check.py}
    """)
    warm, cold = ("numpy", "scipy.linalg"), ()
    assert preloads(plan) == {
        "script": warm, "same": warm, "path": warm, "shell": cold, "prepared": cold, "other": cold, "criterion": warm,
    }  # fmt: skip


@pytest.mark.parametrize("nothing", ["null", "[]", "false"])
def test_a_task_and_a_learner_can_preload_something_else_or_nothing(compiled: Compile, nothing: str) -> None:
    plan = compiled(f"""
        preload: [numpy]
        tasks:
          a: {{executable: python sim.py}}
          b: {{executable: python sim.py, preload: auto}}
          c: {{executable: python sim.py, preload: {nothing}}}
          d: {{executable: python sim.py, preload: auto}}
          e: {{executable: python sim.py, preload: auto}}
        learners: [{{d: {{preload: {nothing}}}, e: {{preload: [json, json]}}}}]
    """)
    assert preloads(plan) == {"a": ("numpy",), "b": ("auto",), "c": (), "d": (), "e": ("json",)}


def test_functions_start_warm_unless_it_is_turned_off(compiled: Compile) -> None:
    text = (
        "tasks: {a: {function: package.inner:go}, b: {function: package.inner:go, preload: [numpy]},"
        " c: {function: package.inner:go, preload: false}, d: {executable: python sim.py}}"
    )
    assert preloads(compiled(text)) == {"a": ("auto",), "b": ("numpy",), "c": (), "d": ()}
    assert preloads(compiled(f"{text}\npreload: false"))["a"] == ()
    assert preloads(compiled(f"{text}\npreload: [json]"))["a"] == ("json",)


# --- what is not said ----------------------------------------------------------------------------------------------


def test_what_is_not_said_has_its_default(compiled: Compile) -> None:
    command = only(compiled("")).steps[0].command(0)
    assert (command.retries, command.retry_pause_seconds, command.replicas, command.ranks) == (0, 0.0, 1, 1)
    assert (command.resources.cores, command.resources.gpus, command.resources.memory_mb) == (1, 0, 0)
    assert (command.timeout_seconds, command.snapshot, command.shell, command.args) == (None, False, False, ())
    criterion = only(compiled("stop: {metric: own, operator: <, threshold: 1, executable: python check.py}")).criterion
    assert criterion is not None
    assert criterion.step is not None
    assert (criterion.min_delta, criterion.min_iter, criterion.patience) == (0.0, 1, None)
    assert (criterion.lowest, criterion.highest, criterion.step.hold) == (None, None, False)


def test_what_each_rank_needs_is_needed_as_often(compiled: Compile) -> None:
    plan = compiled("""
        engine: {kind: local, gpus: ["0", "1"]}
        tasks:
          s: {executable: python sim.py, shell: true, ranks: 2, cores_per_rank: 2, gpus_per_rank: 1, mem_per_rank: 10}
    """)
    resources = only(plan).steps[0].command(0).resources
    assert (resources.cores, resources.gpus, resources.memory_mb) == (4, 2, 20)


def test_a_null_of_a_learner_takes_the_campaigns_value_away(compiled: Compile) -> None:
    plan = compiled("""
        tasks: {s: {executable: python sim.py, args: [x], replicas: 3, snapshot: true, timeout: 60, pre_exec: [a]}}
        learners: [{s: {args: null, replicas: null, snapshot: null, timeout: null, pre_exec: null}}]
    """)
    command = only(plan).steps[0].command(0)
    assert (command.args, command.replicas, command.snapshot, command.pre_exec) == ((), 1, False, ())
    assert command.timeout_seconds is None


def test_a_metric_of_its_own_has_no_operator_and_no_range_of_another(compiled: Compile) -> None:
    plan = compiled("""
        stop: {metric: mse, range: [0, 5], threshold: 0.5, executable: python check.py}
        learners:
          - {stop: {metric: accuracy}}
          - {stop: {threshold: 0.25}}
          - {stop: {metric: mse}}
          - {stop: null}
    """)
    found = [learner.criterion for learner in plan.learners]
    assert [(c.metric, c.operator, c.lowest, c.highest, c.threshold) if c else None for c in found] == [
        ("accuracy", ">=", 0.0, 1.0, 0.5), ("mse", "<", 0.0, 5.0, 0.25), ("mse", "<", 0.0, 5.0, 0.5), None,
    ]  # fmt: skip


def test_a_range_may_be_open_at_one_end(compiled: Compile) -> None:
    text = "stop: {{metric: own, operator: <, range: {}, threshold: 0.5, executable: python check.py}}"
    found = [only(compiled(text.format(given))).criterion for given in ("[0, null]", "[null, 1]", "[0, 1]")]
    assert [(c.lowest, c.highest) for c in found if c] == [(0.0, None), (None, 1.0), (0.0, 1.0)]


def test_a_learner_may_have_a_criterion_where_the_campaign_has_none(compiled: Compile) -> None:
    plan = compiled("""
        learners: [{stop: {metric: mse, threshold: 0.1, executable: python check.py}}, {}]
    """)
    assert [learner.criterion is not None for learner in plan.learners] == [True, False]


def test_bounds_of_a_learner_and_of_a_smoke_run(compiled: Compile) -> None:
    text = "max_iter: 7\nlearners: [{name: a}, {name: b, max_iter: 3}]\nsmoke: {max_iter: 2}"
    assert [learner.max_iter for learner in compiled(text).learners] == [7, 3]
    assert [learner.max_iter for learner in compiled(text, smoke=True).learners] == [2, 2]


def test_places_of_files_are_plain(compiled: Compile, campaigns: Campaigns) -> None:
    (campaigns.folder / "data").mkdir()
    for file in (campaigns.folder / "data" / "pool.csv", campaigns.folder.parent / "other.csv"):
        file.touch()
    (learner,) = compiled("files: [./data/../data/pool.csv, ../other.csv]").learners
    assert [(file.source, file.target) for file in learner.files] == [
        (str(campaigns.folder / "data" / "pool.csv"), "data/pool.csv"),
        (str(campaigns.folder.parent / "other.csv"), "other.csv"),
    ]  # fmt: skip
    assert [(file.copied, file.fixed) for file in learner.files] == [(False, False)] * 2


# --- what a later layer removes or replaces ------------------------------------------------------------------------


def test_null_removes_an_adaptive_option(compiled: Compile) -> None:
    plan = compiled("""
        tasks: {s: {executable: python sim.py, adaptive: {--a: i, --b: 2 * i}, options: {--c: 1, --d: 2}}}
        learners: [{s: {adaptive: {--a: null}, options: {--c: null}}}, {}]
    """)
    assert options(plan.learners[0], 0) == {"--d": 2, "--b": Adaptive("2 * i")}
    assert options(plan.learners[1], 0) == {"--c": 1, "--d": 2, "--a": Adaptive("i"), "--b": Adaptive("2 * i")}


def test_the_learners_own_task_has_the_last_word_about_a_variable(compiled: Compile) -> None:
    plan = compiled("""
        env: {A: campaign, B: campaign, C: campaign, D: campaign}
        tasks: {s: {executable: python sim.py, env: {B: task, C: task, D: task}}}
        learners: [{env: {C: learner, D: learner}, s: {env: {D: own}}}, {env: {B: null}}]
    """)
    given = [dict(learner.steps[0].command(0).environment) for learner in plan.learners]
    assert given == [
        {"A": "campaign", "B": "task", "C": "learner", "D": "own"},
        {"A": "campaign", "C": "task", "D": "task"},
    ]


def test_the_fields_of_a_criterion_arrive(compiled: Compile) -> None:
    plan = compiled("""
        stop:
          {metric: own, operator: ">", threshold: 2, executable: python check.py, patience: 4, min_delta: 0.5,
           min_iter: 3, read: {file: m.txt, regex: "=(.*)"}}
    """)
    criterion = only(plan).criterion
    assert criterion is not None
    assert (criterion.metric, criterion.operator, criterion.threshold) == ("own", ">", 2)
    assert (criterion.patience, criterion.min_delta, criterion.min_iter) == (4, 0.5, 3)
    assert (criterion.reading.file, criterion.reading.regex, criterion.reading.json_path) == ("m.txt", "=(.*)", None)


def test_a_line_for_a_shell_names_no_files_beside_the_campaign(compiled: Compile, campaigns: Campaigns) -> None:
    (campaigns.folder / "tool.sh").chmod(0o755)
    words = [
        only(compiled(f"tasks: {{s: {{executable: ./tool.sh, shell: {shell}}}}}")).steps[0].command(0).beside
        for shell in ("true", "false")
    ]
    assert words == [(), (0,)]


def test_each_step_of_a_schedule_is_written_to_the_plan_by_its_iteration(compiled: Compile) -> None:
    plan = compiled("learners: [{simulation: {0: {--n: 1}, 5: {--n: 2}, -1: {--n: 3}, hold: true}}]")
    step = only(plan).steps[0]
    assert (list(step.at), step.hold) == ([0, 5], True)
    assert [command.options for command in step.commands] == [{"--n": 3}, {"--n": 1}, {"--n": 2}]


def test_a_learner_adds_a_part_of_a_criterion_only_to_one_of_the_campaign(compiled: Compile) -> None:
    whole = "{metric: mse, threshold: 0.1, executable: python check.py}"
    learners = "learners: [{stop: {threshold: 0.5}}]"
    criterion = only(compiled(f"stop: {whole}\n{learners}")).criterion
    assert criterion is not None
    assert (criterion.metric, criterion.threshold) == ("mse", 0.5)


@pytest.mark.parametrize(
    ("given", "is_complete"),
    [
        ({"metric": "mse", "executable": "x"}, True),
        ({"metric": "mse"}, False),
        ({"executable": "x"}, False),
        ({}, False),
    ],
)
def test_a_criterion_needs_a_metric_and_a_command(given: dict[str, str], *, is_complete: bool) -> None:
    assert is_whole(StopFields.model_validate(given)) is is_complete


def test_an_operator_comes_from_the_file_or_from_the_name_of_the_metric() -> None:
    def found(**given: object) -> tuple[str | None, StandardMetric | None]:
        stop = StopFields.model_validate(given)
        return operator_of(stop), measured(stop)

    assert found(metric="own") == (None, None)
    assert found() == (None, None)
    assert found(metric="accuracy")[0] == ">="
    assert found(metric="accuracy", operator="<")[0] == "<"
    assert found(metric="own", operator="<") == ("<", StandardMetric("<"))
    assert found(metric="accuracy")[1] == standard_metric("accuracy")
    assert found(metric="accuracy", range=[0.5, None])[1] == StandardMetric(">=", 0.5, math.inf)
    assert found(metric="own", operator=">", range=[None, 0.5])[1] == StandardMetric(">", -math.inf, 0.5)
