"""What other tools call the keys of a campaign file: Snakemake, DVC, Nextflow, Ray, Optuna, GitHub Actions, Slurm, ….

Keys are compared without case, `_` and `-`. A value with a space in it is advice; any other is the key that was meant.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from rose_cli.config.models import (
    Campaign,
    Engine,
    File,
    Keep,
    Learner,
    Limits,
    Notify,
    Prune,
    Read,
    Retries,
    Smoke,
    StopCampaign,
    StopFields,
    TaskFields,
)
from rose_cli.config.sweep import Range, Sweep

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic import BaseModel


def synonym(key: str, model: type[BaseModel]) -> str | None:
    """A hint for a key that another tool has for one of this model."""
    word = "".join(letter for letter in key.casefold() if letter not in "_- ")
    meant = {known.replace("_", ""): meant for known, meant in _words_of(model).items()}.get(word)
    return None if meant is None else _hint(meant)


def hints(model: type[BaseModel], known: Collection[str]) -> dict[str, list[str]]:
    """The hints for wrong keys of this model, each with patterns of the words that it answers."""
    keys = {key.replace("_", "") for key in known}
    found: dict[str, list[str]] = {}
    for word, meant in _words_of(model).items():
        if word.replace("_", "") not in keys:
            pattern = "[-_]?".join(f"[{part[0]}{part[0].upper()}]{part[1:]}" for part in word.split("_"))
            found.setdefault(_hint(meant), []).append(pattern)
    return found


def _hint(meant: str) -> str:
    return meant if " " in meant else f"did you mean '{meant}'?"


@cache
def _words_of(model: type[BaseModel]) -> dict[str, str]:
    """Earlier tables have precedence."""
    kinds = [kind for kind in _SYNONYMS if issubclass(model, kind)]
    return {word: meant for kind in reversed(kinds) for word, meant in _SYNONYMS[kind].items()}


def _table(**words: str) -> dict[str, str]:
    """From `key="words for it"` to word → key; `_` is between the parts of a word, however people join them."""
    return {word: key.rstrip("_") for key, listed in words.items() for word in listed.split()}


def _advice(advice: str, words: str) -> dict[str, str]:
    return dict.fromkeys(words.split(), advice)


_IN_ORDER = "tasks run one after the other, in the order of the file, and share the workspace of their learner"

_OWN_WORKSPACE = "every task runs in the workspace of its learner; 'files' puts files there"

_OWN_PYTHON = "name the environment's own python in 'executable', or activate it in 'pre_exec'"

_PER_TASK = "options belong under a task, or under its name in a learner: training: {--lr: 0.1}"

_WALL_TIME = "write limits: {wall_time: 2h}"

_AT_ONCE = "write limits: {max_parallel_learners: 4}, or engine: {cores: 4}"

_PARALLEL = "max_parallel parallel parallelism concurrency concurrent max_concurrent max_concurrent_trials max_workers"

_ITERATIONS = (
    "iterations max_iterations iters n_iter n_iters num_iter num_iterations n_iterations iteration_count max_iters "
    "max_rounds rounds n_rounds cycles n_cycles max_cycles epochs n_epochs max_epochs generations n_trials num_samples"
)

_COMMAND = (
    "cmd command commands script run shell_cmd shell_command exec execute program prog binary bin call entrypoint"
)

_ENVIRONMENT = "environment environ envs env_vars env_var env_variables environment_variables variables vars"

_SYNONYMS: dict[type[BaseModel], dict[str, str]] = {
    StopFields: {
        **_table(
            metric="name monitor objective quantity measure score loss metrics metric_name",
            threshold="value target limit goal cutoff until target_value stop_value",
            operator="mode direction op compare comparison comparator order",
            executable="evaluate evaluation check evaluator",
            read="source parse output reading reader pattern regex json file",
            min_delta="tolerance tol epsilon eps delta min_delta min_improvement improvement",
            patience="wait early_stopping_rounds n_iter_no_change no_improvement stall",
            min_iter="min_iterations min_epochs warm_up burn_in start_from_epoch min_iters after",
            range="bounds interval min_max",
        ),
        **_table(any="or any_of one_of", all="and all_of both every"),
        **{word: f"write read: {{{word}: …}}" for word in ("regex", "json", "file")},
    },
    TaskFields: {
        **_table(
            executable=_COMMAND,
            function="func fn callable python_function py_func",
            args="arguments arg argv positional positionals cli_args",
            options="params param parameters parameter hyper_parameters hparams opts flags config kwargs settings with",
            adaptive="expressions expression dynamic schedule schedules computed",
            env=_ENVIRONMENT,
            pre_exec="before_script before setup prologue modules module pre_exec pre_command pre_run activate",
            timeout="wall_time time time_limit max_time timeout_minutes timeout_seconds max_runtime duration deadline",
            retries="retry max_retries attempts restart_times max_attempts n_retries tries",
            on_failure="on_error continue_on_error error_strategy ignore_errors allow_failure if_fail on_fail",
            when="if condition only_if run_if cond enabled",
            replicas="copies n_replicas num_replicas replica repeat repeats instances count members",
            snapshot="checkpoint backup restore",
            preload="imports import pre_import pre_imports warm warm_up warm_start preloads modules_to_preload",
            ranks="n_tasks mpi mpi_ranks n_ranks processes n_procs n_proc num_procs np procs",
            cores_per_rank="cpus cpu cores n_cpus n_cores num_cpus num_cores cpus_per_task threads n_threads "
            "n_jobs slots",
            gpus_per_rank="gpus gpu n_gpus num_gpus gpus_per_task",
            mem_per_rank="memory mem mem_mb ram mem_gb mem_per_cpu memory_mb request_memory",
        ),
        **_advice(_IN_ORDER, "depends depends_on depend needs deps dependencies requires after upstream"),
        **_advice(_IN_ORDER, "input inputs output outputs outs"),
        **_advice("write when: i % 5 == 0", "every every_n frequency interval period"),
        **_advice("write cores_per_rank, gpus_per_rank and mem_per_rank", "resources resource requirements"),
        **_advice(_OWN_WORKSPACE, "work_dir cwd wd wdir working_dir working_directory dir directory publish_dir"),
        **_advice(_OWN_PYTHON, "conda container venv virtualenv"),
    },
    Smoke: _table(max_iter=_ITERATIONS),
    Campaign: {
        **_table(
            name="campaign title campaign_name experiment experiment_name study_name study project project_name "
            "job_name",
            max_iter=_ITERATIONS,
            tasks="task steps stages stage rules rule processes jobs job pipeline workflow",
            learners="learner trials agents runs variants experiments configurations candidates models members",
            stop="criterion criteria stop_criterion stopping stopping_criterion until early_stopping goal metrics",
            seed="random_seed rng_seed random_state rng",
            env=_ENVIRONMENT,
            files="inputs input data input_files copy_files stage_in datasets",
            pre_exec="before_script setup prologue modules pre_exec preamble",
            engine="backend executor runner launcher cluster platform resources machine profile",
            retries="retry max_retries attempts",
            timeout="task_timeout",
            on_failure="on_error continue_on_error error_strategy",
            sweep="matrix grid_search param_grid parameter_grid sampler search_alg search_algorithm search_space space "
            "hyper_parameter_search multirun sweeper",
            prune="pruner pruning scheduler early_terminate early_termination hyperband asha",
            finish="teardown finalize cleanup",
            parameters="constants globals",
        ),
        **_advice("write sweep: {random: {...}, max_learners: 20}", "n_trials num_samples max_trials num_trials"),
        **_advice("write cores_per_rank, gpus_per_rank and mem_per_rank in a task", "resources_per_trial"),
        **_advice("write the 'operator' of the criterion in 'stop': '<' or '>'", "direction directions mode"),
        **_advice(_WALL_TIME, "wall_time time_limit max_time time time_budget"),
        **_advice(_AT_ONCE, f"{_PARALLEL} njobs workers"),
        **_advice(_PER_TASK, "params param parameters parameter hyper_parameters hparams config"),
        **_advice("a command belongs under a task: tasks: {simulation: {executable: …}}", _COMMAND),
    },
    Learner: {
        **_table(
            name="id label title learner learner_name",
            max_iter=_ITERATIONS,
            stop="criterion criteria stopping stop_criterion stop_when until early_stopping",
            seed="random_seed rng_seed random_state rng",
            env=_ENVIRONMENT,
            files="inputs input data input_files",
        ),
        **_advice(_PER_TASK, "params param parameters parameter hyper_parameters hparams config kwargs settings"),
        **_advice("a command belongs under the name of a task: training: {executable: …}", _COMMAND),
    },
    Engine: _table(
        kind="type name backend executor scheduler",
        cores="cpus cpu n_cpus n_cores num_cpus num_cores threads slots max_workers workers",
        gpus="gpu n_gpus num_gpus",
        grace="grace_period kill_wait",
        runtime="wall_time time time_limit max_time duration runtime_minutes wall_clock",
        nodes="node n_nodes num_nodes",
        project="account allocation project_id",
        queue="partition qos queue_name",
        resource="machine host platform cluster site label",
        restarts="restart max_restarts retries",
    ),
    Limits: _table(
        wall_time="wall_time time time_limit max_time timeout runtime duration wall_clock",
        max_parallel_learners=f"{_PARALLEL} learners maxlearners",
        same_failure="max_failures failures max_fail same_failures max_errors",
        output="log logs stdout max_output output_size",
        files="max_files inodes n_files",
        workspace="disk disk_space size space quota max_size storage",
    ),
    Notify: _table(
        executable="command cmd run exec program hook script",
        args="arguments",
        env="environment variables",
        when="on events event if",
        timeout="time_limit limit",
    ),
    Sweep: {
        **_table(
            grid="matrix cartesian product combinations grid_search exhaustive",
            zip="zipped paired pairs lists",
            random="random_search uniform sample samples sampler",
            latin_hypercube="lhs latin hypercube latin_hypercube_sampling latin_hyper_cube",
            sobol="sobol_sequence quasi_random qmc",
            max_learners="n_trials num_samples n_samples max_trials num_trials trials points n_points n budget count "
            "max_points limit size",
        ),
        **_advice("list only the values that are wanted", "exclude include filter constraints"),
        **_advice("it belongs at the top of the file", "seed random_seed"),
    },
    Range: {
        **_table(from_="low min lower start minimum lo begin", to="high max upper stop end maximum hi"),
        **_advice("write scale: log", "log log_scale logarithmic log_uniform distribution dist"),
        **_advice("write integer: true", "int type dtype is_int"),
        **_advice("list the values instead: [1, 2, 3]", "step steps num n q"),
    },
    Prune: _table(
        rule="type name kind algorithm method strategy policy",
        min_iter="grace_period grace n_startup_trials warm_up n_warmup_steps min_iters after start",
        min_learners="n_min_trials min_trials min_samples_required",
        factor="reduction_factor eta rate",
    ),
    Keep: _table(logs="log iterations last history"),
    StopCampaign: _table(after_converged="converged count number n after met after_met after_converging"),
    Retries: _table(
        times="count max n number attempts retries max_attempts max_retries limit",
        pause="delay wait backoff sleep interval seconds",
    ),
    File: _table(path="source src from file name file_name", to="target dest destination dst as into", copy="copied"),
    Read: _table(regex="pattern re regexp match grep", json="key json_path path field", file="file_name from source"),
}  # fmt: skip
