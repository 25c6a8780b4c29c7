"""From a request to a running process: the shell lines wrapped, the output files opened, the program executed."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.engine.programs import NotStartedError, explain, look_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rose_cli.engine.base import TaskRequest

# The command is put away before the lines run: a line like `source setvars.sh` hands the positional parameters on,
# and such scripts read them as their own. Its words never reach the shell's parser.
_BASH_SCRIPT = """\
rose_command=("$@"); set --
trap 'echo "rose: pre_exec ended with exit code $?, the program was not started" >&2' EXIT
set -e
{lines}
exec "${{rose_command[@]}}"
"""
_SH_SCRIPT = """\
trap 'echo "rose: pre_exec ended with exit code $?, the program was not started" >&2' EXIT
set -e
{lines}
exec "$@"
"""


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
        return in_shell(request)
    search_path = environment.get("PATH", os.defpath)
    return Launch(look_up(request.argv[0], search_path, request.directory), request.argv)


def spawn(request: TaskRequest, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the request's program, leader of its own session; raises NotStartedError with a message for the user."""
    launch = prepare(request, environment)
    with ExitStack() as stack:
        stdout, stderr = open_output(request.stdout, stack), open_output(request.stderr, stack)
        try:
            # no preexec_fn: it costs four times as much, and 80 ms with a big parent
            return subprocess.Popen(
                launch.argv, executable=launch.program, cwd=request.directory, env=environment,
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise NotStartedError(explain(error, launch.program, launch.argv)) from error


def in_shell(request: TaskRequest) -> Launch:
    bash = Path("/bin/bash")
    shell, script = (str(bash), _BASH_SCRIPT) if bash.exists() else ("/bin/sh", _SH_SCRIPT)
    text = script.format(lines="\n".join(request.pre_exec))
    return Launch(shell, (shell, "-c", text, "rose", *request.argv))


def open_output(path: Path, stack: ExitStack) -> int:
    try:
        descriptor = _open_emptied(path)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _open_emptied(path)
    except OSError as error:
        raise NotStartedError(f"the output file '{path}' cannot be written: {error.strerror}") from error
    stack.callback(os.close, descriptor)
    return descriptor


def _open_emptied(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
