"""What other tools call the keys of a campaign file: Snakemake, DVC, Nextflow, Ray, Optuna, GitHub Actions, Slurm, ….

Keys are compared without case, `_` and `-`. A value with a space in it is advice; any other is the key that was meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.config.models import (
    Campaign,
    Engine,
    File,
    Keep,
    Learner,
    Limits,
    Read,
    Retries,
    Smoke,
    StopCampaign,
    StopFields,
    TaskFields,
)

if TYPE_CHECKING:
    from pydantic import BaseModel


def synonym(key: str, model: type[BaseModel]) -> str | None:
    """A hint for a key that another tool has for one of this model."""
    word = "".join(letter for letter in key.casefold() if letter not in "_- ")
    kinds = [kind for kind in _SYNONYMS if issubclass(model, kind)]
    meant = next((_SYNONYMS[kind][word] for kind in kinds if word in _SYNONYMS[kind]), None)
    return f"did you mean '{meant}'?" if meant is not None and " " not in meant else meant


def _table(**words: str) -> dict[str, str]:
    """From `key="words for it"` to word → key."""
    return {word: key for key, listed in words.items() for word in listed.split()}


def _advice(advice: str, words: str) -> dict[str, str]:
    return dict.fromkeys(words.split(), advice)


_IN_ORDER = "tasks run one after the other, in the order of the file, and share the workspace of their learner"

_OWN_WORKSPACE = "every task runs in the workspace of its learner; 'files' puts files there"

_OWN_PYTHON = "name the environment's own python in 'executable', or activate it in 'pre_exec'"

_PER_TASK = "options belong under a task, or under its name in a learner: training: {--lr: 0.1}"

_WALL_TIME = "write limits: {wall_time: 2h}"

_AT_ONCE = "write limits: {max_parallel_learners: 4}, or engine: {cores: 4}"

_PARALLEL = "maxparallel parallel parallelism concurrency concurrent maxconcurrent maxconcurrenttrials maxworkers"

_ITERATIONS = (
    "iterations maxiterations iters niter niters numiter numiterations niterations iterationcount maxiters maxrounds "
    "rounds nrounds cycles ncycles maxcycles epochs nepochs maxepochs generations ntrials numsamples"
)

_COMMAND = "cmd command commands script run shellcmd shellcommand exec execute program prog binary bin call entrypoint"

_ENVIRONMENT = "environment environ envs envvars envvar envvariables environmentvariables variables vars"

_SYNONYMS: dict[type[BaseModel], dict[str, str]] = {
    StopFields: {
        **_table(
            metric="name monitor objective quantity measure score loss metrics metricname",
            threshold="value target limit goal cutoff until targetvalue stopvalue",
            operator="mode direction op compare comparison comparator order",
            executable="evaluate evaluation check evaluator",
            read="source parse output reading reader pattern regex json file",
            min_delta="tolerance tol epsilon eps delta mindelta minimprovement improvement",
            patience="wait earlystoppingrounds niternochange noimprovement stall",
            min_iter="miniterations minepochs warmup burnin startfromepoch miniters after",
            range="bounds interval minmax",
        ),
        **{word: f"write read: {{{word}: …}}" for word in ("regex", "json", "file")},
    },
    TaskFields: {
        **_table(
            executable=_COMMAND,
            function="func fn callable pythonfunction pyfunc",
            args="arguments arg argv positional positionals cliargs",
            options="params param parameters parameter hyperparameters hparams opts flags config kwargs settings with",
            adaptive="expressions expression dynamic schedule schedules computed",
            env=_ENVIRONMENT,
            pre_exec="beforescript before setup prologue modules module preexec precommand prerun activate",
            timeout="walltime time timelimit maxtime timeoutminutes timeoutseconds maxruntime duration deadline",
            retries="retry maxretries attempts restarttimes maxattempts nretries tries",
            on_failure="onerror continueonerror errorstrategy ignoreerrors allowfailure iffail onfail",
            replicas="copies nreplicas numreplicas replica repeat repeats instances count members",
            snapshot="checkpoint backup restore",
            preload="imports import preimport preimports warm warmup warmstart preloads modulestopreload",
            ranks="ntasks mpi mpiranks nranks processes nprocs nproc numprocs np procs",
            cores_per_rank="cpus cpu cores ncpus ncores numcpus numcores cpuspertask threads nthreads njobs slots",
            gpus_per_rank="gpus gpu ngpus numgpus gpuspertask",
            mem_per_rank="memory mem memmb ram memgb mempercpu memorymb requestmemory",
        ),
        **_advice(_IN_ORDER, "depends dependson depend needs deps dependencies requires after upstream"),
        **_advice(_IN_ORDER, "input inputs output outputs outs"),
        **_advice(_OWN_WORKSPACE, "workdir cwd wd wdir workingdir workingdirectory dir directory publishdir"),
        **_advice(_OWN_PYTHON, "conda container venv virtualenv"),
    },
    Smoke: _table(max_iter=_ITERATIONS),
    Campaign: {
        **_table(
            name="campaign title campaignname experiment experimentname studyname study project projectname jobname",
            max_iter=_ITERATIONS,
            tasks="task steps stages stage rules rule processes jobs job pipeline workflow",
            learners="learner trials agents runs variants experiments configurations candidates models members",
            stop="criterion criteria stopcriterion stopping stoppingcriterion until earlystopping goal metrics",
            seed="randomseed rngseed randomstate rng",
            env=_ENVIRONMENT,
            files="inputs input data inputfiles copyfiles stagein datasets",
            pre_exec="beforescript setup prologue modules preexec preamble",
            engine="backend executor runner launcher cluster platform resources machine profile",
            retries="retry maxretries attempts",
            timeout="tasktimeout",
            on_failure="onerror continueonerror errorstrategy",
        ),
        **_advice(_WALL_TIME, "walltime timelimit maxtime time timebudget"),
        **_advice(_AT_ONCE, f"{_PARALLEL} njobs workers"),
        **_advice(_PER_TASK, "params param parameters parameter hyperparameters hparams config searchspace space"),
        **_advice("a command belongs under a task: tasks: {simulation: {executable: …}}", _COMMAND),
    },
    Learner: {
        **_table(
            name="id label title learner learnername",
            max_iter=_ITERATIONS,
            stop="criterion criteria stopping stopcriterion stopwhen until earlystopping",
            seed="randomseed rngseed randomstate rng",
            env=_ENVIRONMENT,
            files="inputs input data inputfiles",
        ),
        **_advice(_PER_TASK, "params param parameters parameter hyperparameters hparams config kwargs settings"),
        **_advice("a command belongs under the name of a task: training: {executable: …}", _COMMAND),
    },
    Engine: _table(
        kind="type name backend executor scheduler",
        cores="cpus cpu ncpus ncores numcpus numcores threads slots maxworkers workers",
        gpus="gpu ngpus numgpus",
        grace="graceperiod killwait",
        runtime="walltime time timelimit maxtime duration runtimeminutes wallclock",
        nodes="node nnodes numnodes",
        project="account allocation projectid",
        queue="partition qos queuename",
        resource="machine host platform cluster site label",
        restarts="restart maxrestarts retries",
    ),
    Limits: _table(
        wall_time="walltime time timelimit maxtime timeout runtime duration wallclock",
        max_parallel_learners=f"{_PARALLEL} learners maxlearners",
        same_failure="maxfailures failures maxfail samefailures maxerrors",
        output="log logs stdout maxoutput outputsize",
        files="maxfiles inodes nfiles",
        workspace="disk diskspace size space quota maxsize storage",
    ),
    Keep: _table(logs="log iterations last history"),
    StopCampaign: _table(after_converged="converged count number n after met aftermet afterconverging"),
    Retries: _table(
        times="count max n number attempts retries maxattempts maxretries limit",
        pause="delay wait backoff sleep interval seconds",
    ),
    File: _table(path="source src from file name filename", to="target dest destination dst as into", copy="copied"),
    Read: _table(regex="pattern re regexp match grep", json="key jsonpath path field", file="filename from source"),
}  # fmt: skip
