"""From a request to a running process: the shell lines wrapped, the output files opened, the program executed."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rose_cli.engine.programs import NotStartedError, explain, look_up, short_of
from rose_cli.engine.shell import note_beside, shell_words
from rose_cli.ownership import make_folders, umask_of_user
from rose_cli.regular import Folder, open_alone
from rose_cli.shortage import shortage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rose_cli.engine.base import TaskRequest
    from rose_cli.engine.shell import Note


@dataclass(frozen=True)
class Launch:
    """`program` is the file that is executed, `argv` the words that it is given."""

    program: str
    argv: tuple[str, ...]


def prepare(request: TaskRequest, environment: Mapping[str, str]) -> Launch:
    """Find what to execute. With `pre_exec` the shell looks the program up: the lines may well change its PATH."""
    if not request.argv or not request.argv[0]:
        raise NotStartedError("the command is empty")
    if not request.directory.is_dir():
        raise NotStartedError(f"the working folder '{request.directory}' does not exist")
    if request.pre_exec:
        return Launch(request.argv[0], request.argv)
    search_path = environment.get("PATH", os.defpath)
    return Launch(look_up(request.argv[0], search_path, request.directory), request.argv)


def spawn(request: TaskRequest, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the request's program, leader of its own session; raises NotStartedError with a message for the user."""
    launch = prepare(request, environment)
    with ExitStack() as stack:
        stdout, stderr = open_outputs(request, stack, request.stdout, request.stderr)
        if request.pre_exec:
            launch = in_shell(request, note_beside(request.stderr), stack)
        try:
            # no preexec_fn: it costs four times as much, and 80 ms with a big parent
            return subprocess.Popen(
                launch.argv, executable=launch.program, cwd=request.directory, env=environment,
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True,
                umask=umask_of_user(),
            )  # fmt: skip
        except MemoryError as error:
            raise NotStartedError(f"'{launch.program}' could not be started: {shortage(error)}") from error
        except (OSError, ValueError) as error:
            raise NotStartedError(explain(error, launch.program, launch.argv, environment)) from error


def in_shell(request: TaskRequest, note: Note, stack: ExitStack) -> Launch:
    """The shell that runs the lines of `pre_exec` first, with the files that it needs."""
    open_outputs(request, stack, note.path, note.text)
    try:
        words = shell_words(request, note)
    except OSError as error:
        raise NotStartedError(f"'{note.text}' cannot be written: {short_of(error)}") from error
    return Launch(words[0], words)


def open_outputs(request: TaskRequest, stack: ExitStack, *paths: Path) -> list[int]:
    """Files that a task writes: made or emptied, and reached through no link from the folder of the learner."""
    found = []
    with ExitStack() as opened:
        folders: dict[Path, Folder] = {}  # one for all, most often: each is a question to the server of a network disk
        for path in paths:
            try:
                if path.parent not in folders:
                    folders[path.parent] = opened.enter_context(_folder_of(request, path))
                folder = folders[path.parent].descriptor
                found.append(open_alone(path.name, os.O_WRONLY | os.O_TRUNC, dir_fd=folder))
            except OSError as error:
                raise NotStartedError(f"the output file '{path}' cannot be written: {short_of(error)}") from error
            stack.callback(os.close, found[-1])
    return found


def _folder_of(request: TaskRequest, path: Path) -> Folder:
    inside = request.directory.parent
    if not path.is_relative_to(inside):
        inside = path.parent
        make_folders(inside)
    return Folder.at(path.parent, inside=inside, make=True)
