"""Rules for names, numbers and strings, in a campaign file and in a plan that is read from disk.

Plain functions without pydantic: commands that only read runs do not load the models of campaign files.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from keyword import iskeyword
from typing import Literal, TypeAlias, get_args

EngineKind: TypeAlias = Literal["local", "slurm", "radical.pilot"]

Operator: TypeAlias = Literal["<", "<=", ">", ">=", "=="]

OnFailure: TypeAlias = Literal["stop_learner", "stop_campaign", "continue"]

PruneRule: TypeAlias = Literal["median", "successive_halving"]

Ending: TypeAlias = Literal["finished", "failed", "interrupted"]

PRUNE_RULES = get_args(PruneRule)

ENGINE_KINDS, OPERATORS, ON_FAILURE = get_args(EngineKind), get_args(Operator), get_args(OnFailure)

ENDINGS = get_args(Ending)

MAX_NAME_BYTES = 100

MAX_COUNT = 10_000_000

MAX_LEARNERS = 100_000

MAX_REPLICAS = 10_000
"""Of a step, if they have names or come from an expression."""

MAX_MODULE_NAME = 200

AUTO = "auto"
"""The value of `preload` for modules that rose finds out."""

MAX_SEED = 2**63 - 1

MAX_SIZE = 2**60

MAX_REGEX_CHARACTERS = 1000

_TASK_NAME = re.compile(r"[^\W\d][\w-]*")

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

OWN_VARIABLES = "ROSE_"
"""The prefix of the environment variables that rose sets itself."""


def directory_name_error(name: str) -> tuple[str, str] | None:
    """Why a name cannot be that of a learner and its directory: message and hint."""
    # full-width dots are harmless here, but become '..' wherever they are normalised
    if (found := _directory_name_error(name)) is not None or name.isascii():
        return found
    return _directory_name_error(unicodedata.normalize("NFKC", name))


def _directory_name_error(name: str) -> tuple[str, str] | None:
    if not name.strip():
        return "it is empty", "omit 'name' to get the name learner-<index>"
    if not name.isprintable() or "/" in name or "\\" in name:
        odd = next(c for c in name if c in "/\\" or not c.isprintable())
        return f"it contains '{odd if odd.isprintable() else repr(odd)[1:-1]}'", "write - or _ instead"
    if name[0] in "-. " or name[-1] in ". ":
        return f"it starts or ends with '{name[0] if name[0] in '-. ' else name[-1]}'", "remove it"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"it is longer than {MAX_NAME_BYTES} bytes", "shorten it"
    return None


def folded(name: str) -> str:
    """Names that are equal in this form share a directory or a log file where case or Unicode form is ignored."""
    return unicodedata.normalize("NFKC", name).casefold()


def is_task_name(name: str) -> bool:
    return _TASK_NAME.fullmatch(name) is not None and len(name.encode()) <= MAX_NAME_BYTES


REPLICA = "replica"
"""The axis of replicas that are a plain list of names: the placeholder with the name of a replica."""

_REPLICA_NAME = re.compile(r"\w[\w.+-]*")


def replica_name_error(name: str) -> str | None:
    """Why it cannot be the name of a replica, which tasks use in names of files."""
    if not name.strip():
        return "it is empty"
    if _REPLICA_NAME.fullmatch(name) is None:
        odd = next((c for c in name if not re.match(r"[\w.+-]", c)), name[0])
        return (
            f"it contains '{odd if odd.isprintable() else repr(odd)[1:-1]}'"
            if odd != name[0]
            else (f"it starts with '{odd if odd.isprintable() else repr(odd)[1:-1]}'")
        )
    return f"it is longer than {MAX_NAME_BYTES} bytes" if len(name.encode()) > MAX_NAME_BYTES else None


def is_variable_name(name: str) -> bool:
    return _VARIABLE.fullmatch(name) is not None


def is_module_name(name: str) -> bool:
    """Whether it is a dotted name that Python could import."""
    parts = name.split(".")
    return len(name) <= MAX_MODULE_NAME and all(part.isidentifier() and not iskeyword(part) for part in parts)


def is_function_reference(text: str) -> bool:
    """Whether it is MODULE:NAME."""
    module, _, name = text.partition(":")
    return is_module_name(module) and name.isidentifier() and not iskeyword(name) and len(name) <= MAX_MODULE_NAME


def is_option_name(name: str) -> bool:
    return name != "" and not any(c.isspace() or not c.isprintable() for c in name)


_MPI = re.compile(r"[A-Za-z][\w-]*", re.ASCII)

_LONG_OPTION = re.compile(r"--[A-Za-z][A-Za-z0-9-]*(=.+)?|-[A-Za-z].*", re.ASCII)


def is_mpi_type(text: str) -> bool:
    """Whether it can be the name of one of Slurm's MPI plugins."""
    return _MPI.fullmatch(text) is not None and len(text) <= MAX_NAME_BYTES


SRUN_OWN = {
    "ntasks": "n", "nodes": "N", "cpus-per-task": "c", "nodelist": "w", "distribution": "m", "job-name": "J",
    "chdir": "D", "output": "o", "error": "e", "input": "i", "label": "l", "wait": "W", "relative": "r",
    "quiet": "Q", "verbose": "v", "unbuffered": "u", "kill-on-bad-exit": "K", "no-kill": "k", "immediate": "I",
    "quit-on-interrupt": "q", "threads": "T", "time": "t", "help": "h", "version": "V", "exclude": "x",
    "nodefile": "F", "ntasks-per-node": "", "exact": "", "overlap": "", "exclusive": "", "whole": "", "mem": "",
    "mem-per-cpu": "", "mem-per-gpu": "", "gres": "", "gpus": "G", "gpus-per-task": "", "gpus-per-node": "",
    "gpus-per-socket": "", "cpus-per-gpu": "", "tres-per-task": "", "export": "", "export-file": "", "jobid": "",
    "mpi": "", "multi-prog": "", "pty": "", "het-group": "", "slurmd-debug": "", "usage": "", "test-only": "",
    "interactive": "", "ntasks-per-core": "", "ntasks-per-socket": "", "ntasks-per-gpu": "", "bcast": "",
    "threads-per-core": "", "hint": "",
}  # fmt: skip
"""The options of srun, with their short forms, that say which program runs where: rose sets them."""


def srun_option_fault(option: str) -> tuple[str, str] | None:
    """Why it cannot be one of the user's options of srun: message and hint."""
    if not _LONG_OPTION.fullmatch(option) or not option.isprintable():
        return "this is not an option of srun with its value", "write --option=value, each as one item of the list"
    if option.startswith("--"):
        abbreviated = option[2:].partition("=")[0]
        name = next((own for own in SRUN_OWN if own.startswith(abbreviated)), None)
    else:
        name = next((own for own, short in SRUN_OWN.items() if short == option[1]), None)
    if name is None:
        return None
    why = (
        "this option changes what a core is"
        if name in ("hint", "threads-per-core")
        else "rose sets this option of srun itself"
    )
    return why, _INSTEAD.get(name, _AS_A_KEY)


_OF_THE_JOB = "request it for the job instead: sbatch --{}"

_INSTEAD = {
    "mpi": "write mpi: beside it",
    "time": "set the 'timeout' of the task",
    "threads-per-core": _OF_THE_JOB.format("threads-per-core=1"),
    "hint": _OF_THE_JOB.format("hint=nomultithread"),
}

_AS_A_KEY = "remove it: ranks, cores, GPUs and memory are keys of a task"


def leads_out(target: str) -> bool:
    """Whether a normalised path in a workspace would be outside it."""
    return target.startswith(("/", "..")) or target == "."


def regex_error(pattern: str) -> re.error | str | None:
    """Why it is not a regular expression. Only compiled here: nothing is searched with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except re.error as error:
        return error
    except (RecursionError, OverflowError, MemoryError):
        return "this regular expression is too large"
    return None
