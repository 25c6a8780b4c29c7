"""What has changed since a run was started: the files that its plan names, and `max_iter`.

These files are programs and scripts beside the campaign file, absolute paths, paths below `{campaign_dir}`, the `files`
of workspaces, and the modules that a named Python script imports from its own directory. A file of up to 16 MiB is read
completely; of a larger one, its size and both ends; of a directory, the first thousand files, each with its size and
its beginning.

A resume reports the changes. Those of the campaign file itself: see `replan.py`.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.config.expression.compiler import parse
from rose_cli.journal import events as e
from rose_cli.plan.file import MOST_BYTES, MOST_CAMPAIGN_BYTES
from rose_cli.plan.model import Adaptive
from rose_cli.plan.words import file_of_module, is_beside, path_beside
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.files import read_regular
from rose_cli.util.text import counted, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import CommandPlan, LearnerPlan, Plan
    from rose_cli.runs.directory import RunDirectory

MOST_SHOWN = 8

MOST_WHOLE_BYTES = 16 << 20

_END_BYTES = 4 << 20

_HEAD_BYTES = 64 << 10

_MOST_IN_DIRECTORY = 1_000

_MOST_MODULES = 200

_WAYS_TO_CAMPAIGN = re.compile(r"\{campaign_dir\}|\$ROSE_CAMPAIGN_DIR\b|\$\{ROSE_CAMPAIGN_DIR\}")

_BETWEEN_WORDS = re.compile(r"""[\s;|&<>()"'`]+""")

_IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+(\w+)|import[ \t]+([\w., \t]+))", re.MULTILINE)

PROGRAM = ".py"
"""The suffix of a campaign file that is a Python program."""


def campaign_has_changed(directory: RunDirectory, plan: Plan) -> bool | None:
    """Whether the campaign file differs from the run's copy of it; None if it no longer exists.

    A Python program that made the campaign has nothing to compare: it gives its campaign when it continues the run.
    """
    if plan.campaign_file.endswith(PROGRAM):
        return False
    file = os.path.realpath(plan.campaign_file)
    try:
        now = read_regular(file, MOST_CAMPAIGN_BYTES)
    except OSError:
        return True if os.path.exists(file) else None  # noqa: PTH110 - reading it again reports the reason
    try:
        then = read_regular(directory.campaign_copy, MOST_CAMPAIGN_BYTES)
    except OSError:  # an older rose kept no copy
        return False
    return now.removeprefix(codecs.BOM_UTF8) != then


def file_changes(plan: Plan, state: RunState, now: Mapping[str, str]) -> dict[str, str]:
    """The changed fingerprints of the files that the plan names; empty for a missing file."""
    gone = [name for name in state.files if name not in now and not os.path.exists(Path(plan.campaign_dir, name))]  # noqa: PTH110
    return {**{name: text for name, text in now.items() if state.files.get(name) != text}, **dict.fromkeys(gone, "")}


def file_change_lines(plan: Plan, state: RunState, changes: Mapping[str, str]) -> Iterator[str]:
    """A line for each file that has changed since the last session; none if that did not record them."""
    if not state.files:
        return
    when = _when(state)
    copied = {file.source for learner in plan.learners for file in learner.files if file.copied}
    for name, text in list(changes.items())[:MOST_SHOWN]:
        is_copied = str(Path(plan.campaign_dir, name)) in copied
        effect = "workspaces keep their old copy" if is_copied else "from now on, tasks use the new one"
        if not text:
            yield f"'{name}' no longer exists; it existed {when}"
        elif name not in state.files:
            yield f"'{name}' is new; it did not exist {when}"
        else:
            yield f"'{name}' has changed since {when.removeprefix('when ')}; {effect}"
    if len(changes) > MOST_SHOWN:
        yield f"{counted(len(changes) - MOST_SHOWN, 'more file')} changed too"


def _when(state: RunState) -> str:
    """ "when iterations 0-2 ran" """
    done = max((len(learner.iterations) for learner in state.learners.values()), default=0)
    if done == 0:
        return "when this run was started"
    is_first = state.session is not None and state.session.number == 1
    return f"when iterations 0-{done - 1} ran" if is_first and done > 1 else f"when iteration {done - 1} ran"


def bound_changes(plan: Plan, state: RunState, opening: Sequence[e.Event], new: Plan | None = None) -> Iterator[str]:
    """A line for each expression that reads `max_iter`, if it changes after finished iterations.

    `new`: the plan that the run gets, if it gets another one.
    """
    bounds = _new_bounds(state, opening, new or plan)
    sent_back = {event.learner: event.from_iteration for event in opening if isinstance(event, e.LearnerReopened)}
    affected: dict[tuple[str, str, str, int], list[str]] = {}
    planned = {learner.name: learner.max_iter for learner in plan.learners}
    for learner in (new or plan).learners if bounds else ():
        if learner.name not in bounds or learner.name not in state.learners:
            continue
        done = len(state.learners[learner.name].iterations)
        kept = min(done, back) if (back := sent_back.get(learner.name)) is not None else done
        was = state.bound(learner.name, planned[learner.name])
        if kept and was != bounds[learner.name]:
            for place in readers_of_max_iter(learner):
                affected.setdefault((*place, bounds[learner.name]), []).append(
                    f"{learner.name} (0-{kept - 1} with {was})"
                )
    for (task, option, text, bound), learners in list(affected.items())[:MOST_SHOWN]:
        yield f"{task} {option} = {text} reads max_iter, which is {bound} from here on;"
        yield f"  finished iterations keep the values of the old max_iter: {listed(learners, MOST_SHOWN)}"
    if len(affected) > MOST_SHOWN:
        yield f"so do {len(affected) - MOST_SHOWN} more expressions"


def _new_bounds(state: RunState, opening: Sequence[e.Event], plan: Plan) -> dict[str, int]:
    """The new `max_iter` of each learner that gets one."""
    reset = {name for event in opening if isinstance(event, e.PlanChanged) for name in event.bounds}
    found = {each.name: each.max_iter for each in plan.learners if each.name in reset and each.max_iter is not None}
    for event in opening:
        if isinstance(event, e.MaxIterChanged):
            found.update(dict.fromkeys(event.learners or state.learners, event.max_iter))
    return found


def readers_of_max_iter(learner: LearnerPlan) -> Iterator[tuple[str, str, str]]:
    """Task, option or other key, and source of each such expression, once."""
    found = {place for place in _expressions(learner) if "max_iter" in place[2]}
    yield from sorted(place for place in found if "max_iter" in parse(place[2], learner.parameters).names)


def _expressions(learner: LearnerPlan) -> Iterator[tuple[str, str, str]]:
    """Task, option or other key, and source of every expression of a learner."""
    for step in learner.all_steps:
        for command in step.commands:
            for name, value in command.options.items():
                if isinstance(value, Adaptive):
                    yield step.task, name, value.expression
            if command.when is not None:
                yield step.task, "when", command.when
            if command.replicas_from is not None:
                yield step.task, "replicas", command.replicas_from
    for criterion in learner.criteria:
        if criterion.value is not None:
            yield "stop", f"value of {criterion.metric}", criterion.value


def named_files(plan: Plan) -> dict[str, Path]:
    """Every existing file and directory that the plan names, by its path relative to the directory of the campaign.

    Files outside of that directory have their absolute paths.
    """
    directory = plan.campaign_dir
    found = {path: None for word in dict.fromkeys(_words(plan)) for path in _as_file(word, directory)}
    sources = {file.source for learner in plan.learners for file in learner.files}
    modules = _modules(found)
    there = [*found, *modules, *(source for source in sorted(sources) if os.path.exists(source))]  # noqa: PTH110
    return {_key(path, directory): Path(path) for path in there}


def fingerprints(plan: Plan) -> dict[str, str]:
    """The fingerprint of every file that the plan names and that can be read."""
    found = {name: fingerprint(path) for name, path in named_files(plan).items()}
    return {name: text for name, text in found.items() if text is not None}


def fingerprint(path: Path) -> str | None:
    """A string that differs once the file or directory has changed; None if it cannot be read."""
    try:
        if path.is_dir():
            return f"folder:{_directory_digest(path)}"
        status = path.stat()
        size = status.st_size
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would block
            return None
        if size > MOST_WHOLE_BYTES:
            return f"ends:{size}:{_digest(path, _END_BYTES, ends=True)}"
        return f"sha256:{_digest(path, MOST_WHOLE_BYTES)}"
    except OSError:
        return None


def _words(plan: Plan) -> Iterator[tuple[str, bool]]:
    """Words that may name files, and whether each is searched beside the campaign file."""
    steps = {id(step): step for learner in plan.everyone for step in learner.all_steps}  # many learners share theirs
    commands = {id(command): command for step in steps.values() for command in step.commands}
    for command in commands.values():
        for position, word in enumerate(_command_words(command)):
            yield word, not command.shell and (command.beside is None or position in command.beside)
        if command.function and (file := file_of_module(command.words[1].partition(":")[0], plan.campaign_dir)):
            yield file, True
        for text in _texts(command):
            yield text, False


def _command_words(command: CommandPlan) -> Iterable[str]:
    return _BETWEEN_WORDS.split(command.words[0]) if command.shell else command.words


def _texts(command: CommandPlan) -> Iterator[str]:
    yield from command.args
    yield from command.environment.values()
    for value in command.options.values():
        yield from (entry for entry in (value if isinstance(value, tuple) else (value,)) if isinstance(entry, str))
    for line in command.pre_exec:
        yield from _BETWEEN_WORDS.split(line)


def _as_file(word: tuple[str, bool], directory: str) -> Iterator[str]:
    text, may_be_beside = word
    path = _WAYS_TO_CAMPAIGN.sub(lambda _: directory, text)
    if "{" in path.replace(directory, "") or "\0" in path:
        return
    if may_be_beside and is_beside(path, directory):
        path = path_beside(path, directory)
    if os.path.isabs(path) and os.path.isfile(path):  # noqa: PTH113, PTH117
        yield os.path.normpath(path)


def _modules(scripts: Iterable[str]) -> list[str]:
    """The modules that Python scripts import from their own directory, and those that these import."""
    found: dict[str, None] = {}
    waiting = [script for script in scripts if script.endswith(".py")]
    while waiting and len(found) < _MOST_MODULES:
        for path in _imported(waiting.pop()):
            if path not in found:
                found[path] = None
                waiting.append(path)
    return list(found)


def _imported(script: str) -> Iterator[str]:
    directory = os.path.dirname(script)  # noqa: PTH120
    try:
        text = Path(script).read_bytes()[:MOST_WHOLE_BYTES]
    except OSError:
        return
    for match in _IMPORT.finditer(text):
        for name in (match[1] or match[2]).split(b","):
            first = name.split()[0].partition(b".")[0].decode(errors="replace") if name.strip() else ""
            path = os.path.join(directory, f"{first}.py")  # noqa: PTH118
            if first and os.path.isfile(path):  # noqa: PTH113
                yield path


def _key(path: str, directory: str) -> str:
    relative = os.path.relpath(path, directory)
    return path if relative.split(os.sep, 1)[0] == ".." else relative


def _digest(path: Path, most: int, *, ends: bool = False) -> str:
    digest = sha256()
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
        left = most
        while left > 0 and (chunk := file.read(min(left, 1 << 20))):
            digest.update(chunk)
            left -= len(chunk)
        if ends:
            file.seek(-most, os.SEEK_END)
            digest.update(file.read(most))
    return digest.hexdigest()[:32]


def _directory_digest(directory: Path) -> str:
    digest = sha256()
    count = 0
    for where, directories, names in os.walk(directory):
        directories.sort()
        for name in sorted(names):
            if count == _MOST_IN_DIRECTORY:
                return digest.hexdigest()[:32]
            count += 1
            path = Path(where, name)
            if path.is_file():
                what = f"{path.relative_to(directory)}\0{path.stat().st_size}\0{_digest(path, _HEAD_BYTES)}\n"
                digest.update(os.fsencode(what))
    return digest.hexdigest()[:32]


def checksum(data: bytes) -> str:
    return sha256(data).hexdigest()


def checksums(directory: RunDirectory) -> dict[str, str]:
    """The present checksums of the files that define a run, by name, without missing ones."""
    found = {path.name: _checksum_of(path) for path in (directory.plan, directory.campaign_copy)}
    return {name: text for name, text in found.items() if text is not None}


def _checksum_of(path: Path) -> str | None:
    try:
        return checksum(read_regular(path, MOST_BYTES))
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"cannot read '{path}': {(error.strerror or str(error)).lower()}"
        raise RunDirectoryError(message, "restore the file from a backup, or start a new run") from error


def unknown_checksums(state: RunState, now: Mapping[str, str]) -> dict[str, str]:
    """Those of `now` that are not in the journal."""
    return {name: text for name, text in now.items() if text not in state.checksums.get(name, ())}
