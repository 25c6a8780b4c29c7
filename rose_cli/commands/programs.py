"""What a plan runs, as it is on this machine: the file behind each program, and who else could change it."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.masking import MASK, masked_environment, masked_line
from rose_cli.ownership import Doubt, doubt_about, may_be_roots
from rose_cli.plan.secrets import secrets_given

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rose_cli.plan.model import CommandPlan, Plan
    from rose_cli.plan.render import Command

MOST_NAMED = 3
_MPI_WORDS = 3


def program_of(command: Command, environment: Mapping[str, str]) -> str | None:
    """The file that will be executed; None where only the run can tell, or it is not there."""
    word = command.argv[0]
    is_sure = "/" in word or not (command.pre_exec or _may_come_from_workspace(word, command, environment))
    return _found(word, command, environment) if is_sure else None


def _found(word: str, command: Command, environment: Mapping[str, str]) -> str | None:
    """As far as can be seen from here: lines of pre_exec may change the PATH, and tasks make programs."""
    if "/" in word:
        is_there = os.path.isabs(word) and os.path.isfile(word) and os.access(word, os.X_OK)  # noqa: PTH113, PTH117
        return os.path.normpath(word) if is_there else None
    folders = filter(os.path.isabs, _path(command, environment).split(os.pathsep))
    return shutil.which(word, path=os.pathsep.join(folders))


def _path(command: Command, environment: Mapping[str, str]) -> str:
    return command.environment.get("PATH", environment.get("PATH", os.defpath))


def _may_come_from_workspace(word: str, command: Command, environment: Mapping[str, str]) -> bool:
    """Whether `.`, an empty entry or the like comes on the PATH before the folder that has the program."""
    for entry in _path(command, environment).split(os.pathsep):
        if not os.path.isabs(entry):  # noqa: PTH117
            return True
        if shutil.which(word, path=entry) is not None:
            return False
    return False


def settled_lines(
    commands: Mapping[str, Iterable[tuple[CommandPlan, Command | None]]], environment: Mapping[str, str]
) -> Iterator[str]:
    """What `commands`, by task, bring along besides their words: variables, lines before them, files of programs."""
    variables: dict[tuple[str, ...], dict[str, None]] = {}
    before: dict[tuple[str, ...], dict[str, None]] = {}
    programs: dict[tuple[str, str], dict[str, None]] = {}
    for task, pairs in commands.items():
        for planned, command in pairs:
            secrets = secrets_given(planned)
            shown = secrets.hidden(masked_environment(planned.environment))
            pairs_shown = (f"{name}={value if value == MASK else shlex.quote(value)}" for name, value in shown.items())
            variables.setdefault(tuple(pairs_shown), {})[task] = None
            lines = tuple(secrets.masked(masked_line(line)) for line in planned.pre_exec)
            before.setdefault(lines, {})[task] = None
            for place in _places(command, environment) if command is not None else ():
                programs.setdefault(place, {})[task] = None
    yield from _block("variables of", variables)
    yield from _block("before each command of", before)
    if programs:
        width = min(24, max(len(word) for word, _ in programs))
        yield from ("", "programs:")
        yield from (f"  {word:<{width}}  {where}  ({', '.join(tasks)})" for (word, where), tasks in programs.items())


def _block(title: str, found: Mapping[tuple[str, ...], Mapping[str, None]]) -> Iterator[str]:
    for lines, tasks in found.items():
        if lines:
            yield from ("", f"{title} {', '.join(tasks)}:", *(f"  {line}" for line in lines))


def _places(command: Command, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each program that is named without its folder, and where it is found."""
    for word in _programs(command):
        if "/" not in word and "{" not in word:
            found = _found(word, command, environment) or "not found on PATH"
            others = ["pre_exec brings another"] if command.pre_exec else []
            others += ["the workspace has one"] if _may_come_from_workspace(word, command, environment) else []
            yield word, f"{found}, unless {' or '.join(others)}" if others else found


def _programs(command: Command) -> list[str]:
    """The program, and where that starts the ranks of another one, that as well."""
    words = command.argv
    starts_ranks = words[:2] == ("mpiexec", "-n") and len(words) > _MPI_WORDS
    return [words[0], *([words[_MPI_WORDS]] if starts_ranks else [])]


def files_lines(plan: Plan) -> Iterator[str]:
    """What workspaces begin with, each once for all learners that have it."""
    by_file: dict[str, list[str]] = {}
    for learner in plan.learners:
        for file in learner.files:
            how = "a copy of" if file.copied else "a link to"
            by_file.setdefault(f"{file.target}: {how} {file.source}", []).append(learner.name)
    if by_file:
        yield from ("", "files in each workspace:")
    for line, names in by_file.items():
        whom = "" if len(names) == len(plan.learners) else f"  ({some(names)})"
        yield f"  {line}{whom}"


def some(names: list[str]) -> str:
    """A few of many names: "a, b, c and 9,997 more"."""
    shown = ", ".join(names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED:,} more"


def told_doubts(commands: Iterable[Command], environment: Mapping[str, str]) -> Iterator[str]:
    """A line where others than the user and root can change a program or a script that will run."""
    found: dict[Path, Doubt] = {}
    for path in dict.fromkeys(_files_run(commands, environment)):
        for place in _way_to(Path(path)):
            doubt = None if place in found else doubt_about(place, sticky=place.is_dir())
            if doubt is not None and not may_be_roots(place):
                found[place] = doubt
    if found:
        shown = [f"'{place}' {doubt.what}" for place, doubt in list(found.items())[:MOST_NAMED]]
        more = f"; and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        yield f"warning: others can change what runs here as you: {'; '.join(shown)}{more}"


def _files_run(commands: Iterable[Command], environment: Mapping[str, str]) -> Iterator[str]:
    for command in commands:
        found = (_found(word, command, environment) for word in _programs(command))
        yield from (path for path in found if path is not None)
        for word in command.argv[1:]:
            if word.startswith("/") and os.path.isfile(word):  # noqa: PTH113 - a script; that of Path raises
                yield word


def _way_to(path: Path) -> Iterator[Path]:
    """The file and every folder on the way to it, as it is named and as it is once links are followed."""
    places = dict.fromkeys((path, Path(os.path.realpath(path))))
    yield from dict.fromkeys(step for place in places for step in (*reversed(place.parents), place))
