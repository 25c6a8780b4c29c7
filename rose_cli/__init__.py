"""rose: parallel active learning from one YAML file."""

__version__ = "0.1.0"

COMMAND_NAMES = ("rose", "rose-cli")
"""The names that the command is installed under."""

_EXPORTS = {
    "load": "rose_cli.api.campaign",
    "problems": "rose_cli.api.campaign",
    "Campaign": "rose_cli.api.campaign",
    "Learner": "rose_cli.api.results",
    "open_run": "rose_cli.api.running",
    "Run": "rose_cli.api.running",
    "Best": "rose_cli.api.results",
    "LearnerResult": "rose_cli.api.results",
    "RunningRun": "rose_cli.api.running",
    "Iteration": "rose_cli.api.iteration",
    "Decision": "rose_cli.api.decisions",
    "TaskChange": "rose_cli.api.decisions",
    "Table": "rose_cli.api.table",
    "Status": "rose_cli.journal.state",
    "Diagnostic": "rose_cli.util.errors",
    "RoseError": "rose_cli.util.errors",
    "CampaignError": "rose_cli.util.errors",
    "UsageError": "rose_cli.util.errors",
    "RunDirectoryError": "rose_cli.util.errors",
    "EngineError": "rose_cli.util.errors",
    # upstream ROSE's names
    "Task": "rose_cli.api.commands",
    "RoseWarning": "rose_cli.api.script_errors",
    "ScriptError": "rose_cli.api.script_errors",
    "UnsupportedError": "rose_cli.api.script_errors",
    "ActiveLearner": "rose_cli.api.upstream.active",
    "ParallelActiveLearner": "rose_cli.api.upstream.active",
    "SequentialActiveLearner": "rose_cli.api.upstream.active",
    "LearnerConfig": "rose_cli.api.upstream.configs",
    "ParallelLearnerConfig": "rose_cli.api.upstream.configs",
    "TaskConfig": "rose_cli.api.upstream.configs",
    "UQLearnerConfig": "rose_cli.api.upstream.configs",
    "Experience": "rose_cli.api.upstream.experience",
    "ExperienceBank": "rose_cli.api.upstream.experience",
    "create_experience": "rose_cli.api.upstream.experience",
    "LearnersFailedError": "rose_cli.api.upstream.failures",
    "ClearMLTracker": "rose_cli.api.upstream.manifest",
    "CriterionManifest": "rose_cli.api.upstream.manifest",
    "MLflowTracker": "rose_cli.api.upstream.manifest",
    "PipelineManifest": "rose_cli.api.upstream.manifest",
    "TaskManifest": "rose_cli.api.upstream.manifest",
    "TrackerBase": "rose_cli.api.upstream.manifest",
    "ParallelExperience": "rose_cli.api.upstream.reinforcement",
    "ParallelReinforcementLearner": "rose_cli.api.upstream.reinforcement",
    "ReinforcementLearner": "rose_cli.api.upstream.reinforcement",
    "SequentialReinforcementLearner": "rose_cli.api.upstream.reinforcement",
    "ConcurrentExecutionBackend": "rose_cli.api.upstream.resources",
    "DragonExecutionBackendV3": "rose_cli.api.upstream.resources",
    "RadicalExecutionBackend": "rose_cli.api.upstream.resources",
    "ResourceEngine": "rose_cli.api.upstream.resources",
    "WorkflowEngine": "rose_cli.api.upstream.resources",
    "init_default_logger": "rose_cli.api.upstream.resources",
    "UQScorer": "rose_cli.api.upstream.scorer",
    "register_uq": "rose_cli.api.upstream.scorer",
    "AlgorithmSelector": "rose_cli.api.upstream.selector",
    "IterationState": "rose_cli.api.upstream.states",
    "ParallelUQLearner": "rose_cli.api.upstream.uncertainty",
    "SeqUQLearner": "rose_cli.api.upstream.uncertainty",
    "UQLearner": "rose_cli.api.upstream.uncertainty",
}
"""Where each public name is. It is imported when it is used, since every command imports this package.

Type checkers read `__init__.pyi` instead.
"""


_FROM_HERE = "import its names from rose_cli itself"
_FROM_SPEC = "`rose import workflow.yaml` makes a campaign file of it, which `rose run` runs and rose_cli.load() reads"
_OTHER_BACKEND = "use ConcurrentExecutionBackend on one machine, RadicalExecutionBackend, or ResourceEngine with a kind"
_ABSENT = {
    "StreamingActiveLearner": "write a campaign file with a task that takes what has arrived; `when` tells the others",
    "load_spec": _FROM_SPEC,
    "LearnerBuilder": _FROM_SPEC,
    "WorkflowSpec": _FROM_SPEC,
    "DaskExecutionBackend": _OTHER_BACKEND,
    "DragonExecutionBackendV1": _OTHER_BACKEND,
    "DragonExecutionBackendV2": _OTHER_BACKEND,
    "NoopExecutionBackend": "`rose plan` shows what would run",
    **dict.fromkeys(("al", "learner", "rl", "tracking", "uq"), _FROM_HERE),
}
"""Names of upstream ROSE that are not here, with what to use."""


def __getattr__(name: str) -> object:
    if name in _ABSENT:  # `from … import` shows the message of an ImportError only
        raise ImportError(f"rose has no '{name}': {_ABSENT[name]}", name=name)
    if name not in _EXPORTS:
        raise AttributeError(f"module 'rose_cli' has no attribute '{name}'")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(_EXPORTS[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
