"""What a shell offers while a command line is being typed: runs, learners, tasks, iterations, keys of `--set`.

It answers quickly, from the names of files and from the plan of one run, and never with an error: whoever presses TAB
waits, and a message would end up in the middle of the command line.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
from contextlib import redirect_stdout, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli.config.rules import ENGINE_KINDS
from rose_cli.runs.directory import RUNS, RunDirectory
from rose_cli.runs.listing import default_run, is_of, is_run, refers_to_run, running_runs, runs_of
from rose_cli.util.files import OpenDirectory, read_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

SECONDS = 2
"""Rose gives up after that: a file server may be slow."""

MOST_OFFERED = 200
FEW_KEYS = 24
MOST_ENTRIES = 10_000
MOST_PLAN_BYTES = 1 << 23
MOST_CAMPAIGN_BYTES = 1 << 18

_YAML = (".yaml", ".yml")

SETTINGS = {
    "name": "NAME",
    "seed": "1",
    "max_iter": "10",
    "on_failure": "stop_learner",
    "engine": "local",
    "engine.cores": "4",
    "limits.max_parallel_learners": "2",
    "limits.wall_time": "1h",
    "limits.same_failure": "3",
    "limits.output": "1GB",
    "limits.files": "1000",
    "limits.workspace": "10GB",
    "keep.logs": "10",
    "stop.threshold": "0.1",
    "stop.patience": "3",
    "stop.min_delta": "0.01",
    "stop.min_iter": "2",
    "stop_campaign.after_converged": "1",
    "smoke.max_iter": "1",
}
"""Keys that a campaign file need not have, each with an example."""

TASK_SETTINGS = {"timeout": "1h", "retries": "1", "replicas": "2", "ranks": "2", "cores_per_rank": "2"}
"""The same for each task."""


def offers(kind: str, given: Mapping[str, Any], typed: str) -> list[str]:
    """The words of a kind that start with what was typed; `given`: the other values on the command line, by name."""
    with suppress(Exception), _deadline():
        words = (word for word in _KINDS[kind](given, typed) if word.startswith(typed) and word.isprintable())
        return list(dict.fromkeys(islice(words, MOST_OFFERED)))
    return []


class _deadline:  # noqa: N801 - a context manager
    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        signal.alarm(SECONDS)

    def __exit__(self, *exc: object) -> None:
        signal.alarm(0)


# --- the answer to a shell -------------------------------------------------------------------------------------------


def answer(program: Callable[[], object]) -> int:
    """Let typer, which is in `program`, answer the shell that asks, and return the exit code; without any message."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    words, output = _joined_words(), io.StringIO()
    try:
        with redirect_stdout(output):
            program()
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001
        return 0
    lines = [line for line in output.getvalue().splitlines(keepends=True) if line.strip()]
    sys.stdout.write("".join(map(words, lines) if words else lines))
    return 1 if code == 1 else 0  # fish asks by the exit code whether there is anything to offer


def _joined_words() -> Callable[[str], str] | None:
    """For bash, which splits words at `=` and `:`, so that typer takes the parts for arguments: join them.

    Returned is how a line of the answer looks for bash, which replaces only the last part and does not quote.
    """
    words, place = os.environ.get("COMP_WORDS", "").split("\n"), os.environ.get("COMP_CWORD", "")
    if not place.isdecimal() or int(place) >= len(words):
        return None
    joined = [""]
    for number, word in enumerate(words[: int(place) + 1]):
        if number > 1 and (word in _BREAKS or words[number - 1] in _BREAKS):
            joined[-1] += word
        else:
            joined.append(word)
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(joined[1:]), str(len(joined) - 2)
    last = "" if words[int(place)] in _BREAKS else words[int(place)]
    before, is_quoted = joined[-1].removesuffix(last), last.startswith(("'", '"'))
    return lambda line: line.removeprefix(before) if is_quoted else _SPECIAL.sub(r"\\\1", line.removeprefix(before))


_BREAKS = ("=", ":")
_SPECIAL = re.compile(r"([^\w@%+=:,./{}\n-])")


# --- runs and files --------------------------------------------------------------------------------------------------


def _campaign_files(given: Mapping[str, Any], typed: str) -> Iterator[str]:  # noqa: ARG001
    """Those in the current directory; the shell itself completes paths."""
    with os.scandir() as entries:
        found = [entry.name for entry in islice(entries, MOST_ENTRIES) if entry.name.endswith(_YAML)]
    yield from (name for name in sorted(found) if not name.startswith("."))


def _runs(given: Mapping[str, Any], typed: str) -> Iterator[str]:
    """The names of the runs here, the latest first, and campaign files; paths if the beginning of one was typed."""
    chosen = given.get("runs") or ()
    yield from (directory.path.name for directory in runs_of(Path()) if directory.path.name not in chosen)
    yield from _campaign_files(given, typed)
    if typed.startswith(f"{RUNS}/"):
        yield from (f"{RUNS}/{directory.path.name}" for directory in runs_of(Path()))


def _running(given: Mapping[str, Any], typed: str) -> Iterator[str]:
    """For `rose stop`: runs that are running, if there are any."""
    running = [directory.path.name for directory in running_runs(Path(), None)]
    yield from running or _runs(given, typed)


def _files_and_runs(given: Mapping[str, Any], typed: str) -> Iterator[str]:
    yield from _campaign_files(given, typed)
    yield from _runs(given, typed)


def _run_of(argument: str | None) -> RunDirectory | None:
    """The run that RUN means, by the rule of `find_runs`; without telling the user anything."""
    if argument is None:
        return default_run()
    path = Path(argument)
    for place in (path, Path(RUNS) / argument):
        if is_run(place):
            return RunDirectory.at(place)
    if path.is_file():
        running = running_runs(path.parent, path)
        return running[0] if running else next((each for each in runs_of(path.parent) if is_of(each, path)), None)
    return next(runs_of(path), None) if path.is_dir() else None


# --- learners, tasks, iterations -------------------------------------------------------------------------------------


class _Campaign:
    """The names in a plan or a campaign file, which anyone may have written: whatever does not fit is left out."""

    def __init__(self, learners: Mapping[str, Sequence[str]], data: object = None) -> None:
        self.learners = learners
        self.data = data

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(task for tasks in self.learners.values() for task in tasks))


def _plan_of(directory: RunDirectory) -> _Campaign:
    data = json.loads(read_regular(directory.plan, MOST_PLAN_BYTES, text=True))
    plan = data["plan"]
    shared = plan.get("shared", {})
    return _Campaign({learner["name"]: _tasks_of(learner, shared) for learner in plan["learners"]})


def _tasks_of(learner: Mapping[str, Any], shared: Mapping[str, Any]) -> list[str]:
    """A position stands for what learners have in common; plans of older formats have no positions."""
    steps = [shared["steps"][step] if isinstance(step, int) else step for step in learner["steps"]]
    for each in _criteria_of(learner):
        criterion = shared["criteria"][each] if isinstance(each, int) else each or {}
        steps.append(criterion.get("step"))
    return [step["task"] for step in steps if step is not None]


def _campaign_of(path: Path) -> _Campaign:
    from rose_cli.config.document import parse_document

    data: Any = parse_document(read_regular(path, MOST_CAMPAIGN_BYTES, text=True), path.name).data
    tasks = [*data.get("tasks", ())]
    learners = data.get("learners") or ()
    if isinstance(learners, int):
        learners = [{}] * min(learners, MOST_OFFERED)
    names = [learner.get("name", f"learner-{number}") for number, learner in enumerate(learners)]
    return _Campaign({str(name): tasks for name in names}, data)


def _campaign(given: Mapping[str, Any]) -> _Campaign:
    """Of the campaign file or the run on the command line, else of the run that is meant without."""
    file, run = given.get("file"), given.get("run_name") or _run_among(given)
    argument = str(file) if file is not None else run
    if file is not None and Path(argument or "").is_file():
        return _campaign_of(Path(str(argument)))
    directory = _run_of(argument)
    return _plan_of(directory) if directory is not None else _Campaign({})


def _learners(given: Mapping[str, Any], typed: str) -> Iterator[str]:  # noqa: ARG001
    chosen = given.get("learner") or ()
    yield from (name for name in _campaign(given).learners if isinstance(chosen, str) or name not in chosen)


def _iterations(given: Mapping[str, Any], typed: str) -> Iterator[str]:  # noqa: ARG001
    """Those with logs; for a campaign file, those that it has a bound for."""
    file = given.get("file")
    if file is not None and Path(str(file)).is_file():
        data: Any = _campaign_of(Path(str(file))).data
        most = data.get("max_iter")
        yield from map(str, range(min(most, MOST_OFFERED) if isinstance(most, int) else 0))
        return
    directory = _run_of(given.get("run_name") if file is None else str(file))
    if directory is not None:
        chosen = given.get("learner")
        names = [chosen] if isinstance(chosen, str) else list(_plan_of(directory).learners)
        yield from _logged(directory, names[:MOST_OFFERED])


def _logged(directory: RunDirectory, learners: Iterable[str]) -> Iterator[str]:
    found: set[int] = set()
    for learner in learners:
        with suppress(OSError), OpenDirectory.at(directory.all_logs(learner), inside=directory.path) as logs:
            found.update(int(name) for name in logs.names()[:MOST_ENTRIES] if name.isdecimal() and name.isascii())
    yield from map(str, sorted(found))


def _steps(given: Mapping[str, Any], typed: str) -> Iterator[str]:
    """The next of RUN LEARNER ITERATION TASK, each of which may be omitted: those of the first kind that fits."""
    words = [str(word) for name in ("run_name", "learner", "iteration", "task") if (word := given.get(name))]
    if not words:
        yield from _runs(given, typed)
    directory = _run_of(words.pop(0) if words and refers_to_run(words[0]) else None)
    if directory is None:
        return
    plan = _plan_of(directory)
    learner = next((word for word in words if word in plan.learners), None)
    tasks = plan.tasks if learner is None else plan.learners[learner]
    kinds: list[Iterable[str]] = [tasks] if not set(words) & {*tasks} else []
    if not any(word.isdecimal() for word in words):
        kinds.insert(0, _logged(directory, plan.learners if learner is None else [learner]))
    if not words:
        kinds.insert(0, plan.learners)
    for kind in kinds:
        if found := [word for word in kind if word.startswith(typed)]:
            yield from found
            return


def _metrics(given: Mapping[str, Any], typed: str) -> Iterator[str]:  # noqa: ARG001
    """Those of the criteria of a run, or of several."""
    runs = given.get("runs") or (None,)
    for directory in map(_run_of, (runs,) if isinstance(runs, str) else tuple(runs)):
        if directory is not None:
            plan = json.loads(read_regular(directory.plan, MOST_PLAN_BYTES, text=True))["plan"]
            inline = (each for learner in plan["learners"] for each in _criteria_of(learner))
            criteria = (*plan.get("shared", {}).get("criteria", ()), *inline)
            yield from dict.fromkeys(each["metric"] for each in criteria if isinstance(each, dict))


def _criteria_of(learner: Mapping[str, Any]) -> tuple[Any, ...]:
    return learner.get("criterion"), *learner.get("more_criteria", ())


def _engines(given: Mapping[str, Any], typed: str) -> Iterable[str]:  # noqa: ARG001
    return ENGINE_KINDS


def _statuses(given: Mapping[str, Any], typed: str) -> Iterable[str]:  # noqa: ARG001
    return ("finished", "done", "failed", "interrupted", "lost", "pending")


def _trackers(given: Mapping[str, Any], typed: str) -> Iterable[str]:  # noqa: ARG001
    from rose_cli.config.trackers import declared_trackers

    return [name for name in declared_trackers() if name not in (given.get("names") or ())]


# --- keys of --set ---------------------------------------------------------------------------------------------------


def _settings(given: Mapping[str, Any], typed: str) -> list[str]:
    """KEY= and KEY=VALUE with the present value, or an example; a level at a time if there are many keys."""
    file, run = given.get("file"), given.get("run_name")
    if file is not None and Path(str(file)).is_file():
        campaign = _campaign_of(Path(str(file)))
    else:
        directory = _run_of(str(file) if file is not None else run)
        campaign = _campaign_of(directory.campaign_copy) if directory is not None else _Campaign({})
    values = {key: value for key, value in _keys(campaign).items() if key.startswith(typed.partition("=")[0])}
    if "=" in typed:
        return [f"{key}={value}" for key, value in values.items()]
    return _level(values, typed)


def _run_among(given: Mapping[str, Any]) -> str | None:
    """The run among the words of `rose set`."""
    words = given.get("words") or ()
    first = words if isinstance(words, str) else next(iter(words), "=")
    return None if "=" in str(first) else str(first)


def _set_words(given: Mapping[str, Any], typed: str) -> Iterator[str]:
    """A run, unless there is one, then KEY= and KEY=VALUE of it; TASK.KEY is short for tasks.TASK.KEY."""
    run = _run_among(given)
    if not given.get("words") and "=" not in typed:
        yield from _runs(given, typed)
    found = _settings({"run_name": run}, typed)
    yield from found or (word.removeprefix("tasks.") for word in _settings({"run_name": run}, f"tasks.{typed}"))


def _level(values: Mapping[str, str], typed: str) -> list[str]:
    """All keys if they are few, else their beginnings up to the next dot.

    A key comes twice, with and without its value: bash puts a space after a word that is the only one.
    """
    if len(values) == 1:
        return [word for key, value in values.items() for word in (f"{key}=", f"{key}={value}")]
    if len(values) <= FEW_KEYS:
        return [f"{key}=" for key in values]
    start = len(typed)
    heads = list(dict.fromkeys(key[: key.find(".", start) + 1] or f"{key}=" for key in values))
    if len(heads) == 1 and heads[0].endswith("."):
        return _level(values, heads[0])
    return heads


def _keys(campaign: _Campaign) -> dict[str, str]:
    found: dict[str, str] = {}
    data: Any = campaign.data
    if isinstance(data, dict):
        found.update(_leaves("", {key: value for key, value in data.items() if key not in ("learners", "tasks")}))
        tasks = data.get("tasks") or {}
        for task, fields in tasks.items():
            found.update(_leaves(f"tasks.{_part(task)}.", fields))
            found.update({f"tasks.{_part(task)}.{key}": value for key, value in TASK_SETTINGS.items()} | found)
        options = {task: fields.get("options") or {} for task, fields in tasks.items() if isinstance(fields, dict)}
        for name in campaign.learners:
            found[f"learners.{_part(name)}.max_iter"] = str(data.get("max_iter", SETTINGS["max_iter"]))
            for task, fields in options.items():
                found.update(_leaves(f"learners.{_part(name)}.{_part(task)}.", fields))
        learners = data.get("learners")
        for learner in learners if isinstance(learners, list) else ():
            if isinstance(learner, dict) and "name" in learner:
                rest = {key: value for key, value in learner.items() if key != "name"}
                found.update(_leaves(f"learners.{_part(learner['name'])}.", rest))
    return {**{key: value for key, value in SETTINGS.items() if key not in found}, **found}


def _leaves(start: str, value: object) -> Iterator[tuple[str, str]]:
    """The paths to values that are no mappings, as `--set` reads them. Options are addressed without `options`."""
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        path = f"{start}{_part(key)}"
        if isinstance(inner, dict) and inner:
            yield from _leaves(f"{path}.", inner)
        else:
            yield path, json.dumps(inner) if isinstance(inner, list | bool) or inner is None else str(inner)


def _part(key: object) -> str:
    """A key as a part of a path: quoted if it contains a dot or an equals sign and is no option."""
    text = str(key)
    return f'"{text}"' if ("." in text or "=" in text) and not text.startswith("-") else text


_KINDS: dict[str, Callable[[Mapping[str, Any], str], Iterable[str]]] = {
    "campaign file": _campaign_files,
    "run": _runs,
    "running run": _running,
    "file or run": _files_and_runs,
    "learner": _learners,
    "iteration": _iterations,
    "step": _steps,
    "engine": _engines,
    "metric": _metrics,
    "setting": _settings,
    "set word": _set_words,
    "status": _statuses,
    "tracker": _trackers,
}
