"""What each job of a run requests from the batch system, as the command line says it or the run directory has it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Diagnostic
from rose_cli.util.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SYSTEMS = {
    "slurm": "Slurm",
    "pbs": "PBS Pro",
    "pbs_classic": "PBS",
    "lsf": "LSF",
    "flux": "Flux",
}
"""The batch systems by the names of their executors in PSI/J."""

MOST_MINUTES = 366 * 24 * 60

MOST_COUNT = 1 << 30


@dataclass(frozen=True)
class JobRequest:
    """The resources of one job. `cores`, `gpus` and `memory_mb` are per node; `cores` None: whole nodes.

    `attributes` are further options of the batch system, in its own spelling; None: an option without a value.
    """

    minutes: int
    nodes: int = 1
    cores: int | None = None
    gpus: int = 0
    memory_mb: int | None = None
    queue: str | None = None
    project: str | None = None
    reservation: str | None = None
    constraint: str | None = None
    attributes: tuple[tuple[str, str | None], ...] = ()

    @property
    def all_cores(self) -> int | None:
        """The cores of all nodes; None if a node has as many as it has."""
        return None if self.cores is None else self.cores * self.nodes

    @property
    def hours(self) -> float | None:
        """The core-hours that the job uses if it runs to its time limit."""
        return None if self.all_cores is None else self.all_cores * self.minutes / 60

    @classmethod
    def decode(cls, entries: Any) -> JobRequest | None:  # noqa: ANN401 - JSON that anyone may have written
        """The request in a file of the run directory; None if it is not one."""
        try:
            found = cls(**{**entries, "attributes": tuple((key, value) for key, value in entries["attributes"])})
        except (TypeError, KeyError, ValueError):
            return None
        return found if not any(found.faults()) else None

    def faults(self) -> Iterator[str]:
        """What a batch system must not be given: every text becomes a line of the job's script."""
        counts = {"minutes": (self.minutes, 1), "nodes": (self.nodes, 1), "gpus": (self.gpus, 0)}
        counts |= {} if self.cores is None else {"cores": (self.cores, 1)}
        counts |= {} if self.memory_mb is None else {"memory": (self.memory_mb, 1)}
        for name, (count, least) in counts.items():
            if type(count) is not int or not least <= count <= MOST_COUNT:
                yield f"{name} must be an integer from {least}"
        names = {"queue": self.queue, "project": self.project, "reservation": self.reservation}
        for name, text in names.items():
            if text is not None and not (type(text) is str and _WORD.fullmatch(text)):
                yield f"{name} {quoted(str(text))} has characters that no batch system accepts in a name"
        texts = (self.constraint, *(text for pair in self.attributes for text in pair))
        if not all(text is None or (type(text) is str and text.isprintable() and text) for text in texts):
            yield "attribute and constraint must be one line of text"
        if not all(type(key) is str and _KEY.fullmatch(key) for key, _ in self.attributes):
            yield "attribute names have only letters, digits, '-' and '_'"


_WORD = re.compile(r"[\w.@+=:,/%-]+", re.ASCII)

_KEY = re.compile(r"[A-Za-z][\w-]*", re.ASCII)


@dataclass(frozen=True)
class RequestOptions:
    """The options of `rose submit` for the jobs, as they were typed; None: not given."""

    time: str | None = None
    nodes: int | None = None
    cores: int | None = None
    gpus: int | None = None
    memory: str | None = None
    queue: str | None = None
    project: str | None = None
    reservation: str | None = None
    constraint: str | None = None
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Defaults:
    """What is requested where no option says otherwise: by an earlier submission, or by the campaign file."""

    minutes: int | None = None
    nodes: int | None = None
    queue: str | None = None
    project: str | None = None
    request: JobRequest | None = None


def job_request(options: RequestOptions, defaults: Defaults, system: str) -> tuple[JobRequest | None, list[Diagnostic]]:
    """The request, or everything that is wrong with the options."""
    problems: list[Diagnostic] = []
    base = defaults.request or JobRequest(defaults.minutes or 0)
    minutes = _read(problems, "--time", options.time, _minutes, base.minutes)
    memory = _read(problems, "--memory", options.memory, _megabytes, base.memory_mb)
    if options.time is None and not minutes:
        hint = "add --time with the longest time that one job may take, for example --time 4:00:00"
        problems.append(Diagnostic("missing-key", "the time limit of a job is missing", hint=hint, file="--time"))
    attributes = tuple(dict([*base.attributes, *_attributes(options, system, problems)]).items())
    request = JobRequest(
        minutes or 1,
        options.nodes or base.nodes if defaults.request else options.nodes or defaults.nodes or 1,
        base.cores if options.cores is None else options.cores,
        base.gpus if options.gpus is None else options.gpus,
        memory,
        options.queue or base.queue or defaults.queue,
        options.project or base.project or defaults.project,
        options.reservation or base.reservation,
        options.constraint or base.constraint,
        attributes,
    )
    faults = [Diagnostic("wrong-value", fault, file=f"--{fault.split()[0]}") for fault in request.faults()]
    found = [*problems, *faults, *_unsupported(request, system)]
    return (request if not found else None), found


def _read(problems: list[Diagnostic], option: str, text: str | None, parse: Any, default: int | None) -> int | None:  # noqa: ANN401
    """The number that the text of an option means; what is wrong with it is added to the problems."""
    if text is None:
        return default
    found = parse(text)
    if isinstance(found, int):
        return found
    message = f"{option} does not understand {quoted(text)}"
    problems.append(Diagnostic("wrong-value", message, hint=found, file=f"{option} {text}"))
    return default


_CLOCK = re.compile(r"(?:(\d{1,3})-)?(\d{1,5}):(\d{1,2}):(\d{1,2})", re.ASCII)

_DAYS = re.compile(r"(\d{1,3})-(\d{1,2})(?::(\d{1,2}))?", re.ASCII)

_UNITS = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m(?:in)?)?(?:(\d{1,9})s)?", re.ASCII)


def _minutes(text: str) -> int | str:
    """Minutes from `90`, `4h`, `1h30m`, `4:00:00`, `1-12:00:00`, `2-12`, rounded up; else a hint."""
    bare = text.replace(" ", "").lower()
    if re.fullmatch(r"\d{1,9}", bare, re.ASCII):
        parts = ["0", "0", bare, "0"]
    elif found := _CLOCK.fullmatch(bare) or _UNITS.fullmatch(bare):
        parts = [part or "0" for part in found.groups()]
    elif found := _DAYS.fullmatch(bare):
        parts = [*(part or "0" for part in found.groups()), "0"]
    elif re.fullmatch(r"\d+:\d+", bare):
        first, _, second = bare.partition(":")
        return f"write {first}:{second}:00 for hours and minutes, or 0:{first}:{second} for minutes and seconds"
    else:
        return "write 4:00:00, 4h, 1h30m, 1-12:00:00, or a number of minutes"
    days, hours, minutes, seconds = map(int, parts)
    total = days * 1440 + hours * 60 + minutes + math.ceil(seconds / 60)
    return total if 1 <= total <= MOST_MINUTES else f"write a time from one minute to {MOST_MINUTES // 1440} days"


_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(|[kmgt])i?b?", re.ASCII | re.IGNORECASE)

_MEGABYTES = {"k": 1 / 1024, "": 1, "m": 1, "g": 1024, "t": 1024 * 1024}


def _megabytes(text: str) -> int | str:
    """Megabytes from `4000`, `64G`, `1.5 TB`; else a hint."""
    found = _SIZE.fullmatch(text.strip())
    size = math.ceil(float(found[1]) * _MEGABYTES[found[2].lower()]) if found else 0
    return size if 1 <= size <= 1 << 40 else "write the memory of each node, for example 64G, or a number of megabytes"


def _attributes(options: RequestOptions, system: str, problems: list[Diagnostic]) -> Iterator[tuple[str, str | None]]:
    """Those for this batch system, of `slurm.qos=debug`, `slurm.requeue`."""
    for text in options.attributes:
        key, equals, value = text.partition("=")
        prefix, dot, name = key.partition(".")
        prefix = {"pbspro": "pbs", "torque": "pbs"}.get(prefix.lower(), prefix.lower())
        if not dot or not name or (prefix not in SYSTEMS and prefix != "pbs"):
            hint = "write the name of the batch system and one of its own options, for example slurm.qos=debug"
            message = f"--attribute does not understand {quoted(text)}"
            problems.append(Diagnostic("wrong-value", message, hint=hint, file=f"--attribute {text}"))
        elif prefix == system.partition("_")[0]:
            name = name.lstrip("-")
            if is_set_by_rose(system, name):
                message = f"rose itself sets '{name}' for the jobs of a run"
                hint = "use the options of `rose submit`, such as --job-name and --time, or omit it"
                problems.append(Diagnostic("wrong-value", message, hint=hint, file=f"--attribute {text}"))
            yield name, value if equals else None


_SET_BY_ROSE = {
    "slurm": (
        "array", "chdir", "clusters", "dependency", "error", "gid", "help", "job-name", "nodes", "open-mode", "output",
        "parsable", "quiet", "test-only", "time", "uid", "usage", "version", "wait", "wrap",
    ),
    "pbs": ("N", "J", "t", "W", "o", "e", "j", "z", "I", "X"),
    "lsf": ("J", "Jd", "w", "o", "oo", "e", "eo", "I", "Ip", "Is", "K", "W", "env"),
}  # fmt: skip
"""By these, a job is found, follows another one, and has its output; others would start jobs that are not counted."""


def is_set_by_rose(system: str, name: str) -> bool:
    """Slurm accepts long options that are cut off."""
    names = _SET_BY_ROSE.get(system.partition("_")[0], ())
    return any(each.startswith(name) if system == "slurm" else each == name for each in names)


def _unsupported(request: JobRequest, system: str) -> Iterator[Diagnostic]:
    """What PSI/J does not pass on to a batch system: a silent loss would be found hours later, in the job."""
    name = SYSTEMS[system]
    if request.gpus and system == "pbs":
        message, hint = f"rose cannot request GPUs from {name}", "use --attribute 'pbs.l=select=1:ncpus=8:ngpus=2'"
        yield Diagnostic("not-supported", message, hint=hint, file=f"--gpus {request.gpus}")
    if request.constraint and system != "slurm":
        message, hint = "--constraint is an option of Slurm", f"use --attribute {system}.NAME=VALUE"
        yield Diagnostic("not-supported", message, hint=hint, file="--constraint")
    if system == "flux":
        extra = {
            "--memory": request.memory_mb,
            "--reservation": request.reservation,
            "--queue": request.queue,
            "--project": request.project,
            "--attribute": request.attributes,
        }
        for option, given in extra.items():
            if given:
                yield Diagnostic(
                    "not-supported", f"{option} cannot be passed on to Flux", hint="remove it", file=option
                )


def core_hours(text: Mapping[str, Any] | float | None) -> float | None:
    """A bound on core-hours from the run directory; None for anything that is not one."""
    is_number = isinstance(text, int | float) and not isinstance(text, bool) and 0 < text < math.inf
    return float(text) if is_number and isinstance(text, int | float) else None
