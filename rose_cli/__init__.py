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
}
"""Where each public name is. It is imported when it is used, since every command imports this package.

Type checkers read `__init__.pyi` instead.
"""


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'rose_cli' has no attribute '{name}'")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(_EXPORTS[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
