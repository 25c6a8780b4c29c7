"""From a request to a running process: finds the program, wraps `pre_exec` around it, opens its output files.

The shell records its progress in a file, the note: which line is running, which one failed and, just before it becomes
the program, that all lines have run. So whatever a line does, be it `exit 0`, `exec true` or a sourced file that does
the same, it cannot pass for a program that ran.
"""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.engine.base import ExitReason
from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import OpenDirectory, open_regular, open_unshared, read_regular
from rose_cli.util.ownership import make_directories, user_umask
from rose_cli.util.shortage import shortage
from rose_cli.util.text import cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rose_cli.engine.base import TaskOutcome, TaskRequest

_SHORTAGES: dict[int | None, str] = {
    errno.ENOMEM: "there is not enough memory; raise 'ulimit -v', or give the engine fewer cores",
    errno.EMFILE: "rose has too many files open; raise 'ulimit -n', or give the engine fewer cores",
    errno.ENFILE: "this machine has too many files open; give the engine fewer cores",
    errno.EAGAIN: "there are too many processes; raise 'ulimit -u', or give the engine fewer cores",
}


class NotStartedError(Exception):
    """The program of a task could not be started; the message says why, and what to do."""


def look_up(name: str, search_path: str, directory: Path) -> str:
    """The file that a shell in that directory would execute; raises NotStartedError, which says why it could not."""
    if "/" in name:
        program = directory / name
        if problem := _problem(program):
            raise NotStartedError(problem)
        return str(program)
    entries, here = search_path.split(":"), str(directory)
    for entry in entries:  # not shutil.which, for which a colon in the path of the directory separates two
        place = os.path.join(here, entry, name)  # noqa: PTH118 - for every task, and a PATH may be long
        if os.access(place, os.X_OK) and os.path.isfile(place):  # noqa: PTH113
            return str(Path(place))
    for entry in entries:
        program = directory / entry / name
        if program.is_file():
            raise NotStartedError(_problem(program) or f"'{program}' is not executable")
    raise NotStartedError(
        f"there is no program '{name}' on the task's PATH ('{search_path}'); write its full path, or set PATH in 'env'"
    )


def why_not_executed(argv: Sequence[str], search_path: str, directory: Path) -> str | None:
    """Why a shell failed to execute that command; None if no reason is visible from here."""
    try:
        program = look_up(argv[0], search_path, directory)
        with open(program, "rb") as file:  # noqa: PTH123
            words = file.read(256).partition(b"\n")[0].split()
    except NotStartedError as error:
        return str(error)
    except OSError:
        return None
    if words and words[0].startswith(b"#!/") and not os.path.exists(words[0][2:]):  # noqa: PTH110 - bytes
        return explain(FileNotFoundError(errno.ENOENT, "no interpreter"), program, argv)
    return None


NO_PROGRAM = (126, 127)
"""The exit codes with which a shell reports that it could not execute the program."""


def why_no_program(request: TaskRequest, environment: Mapping[str, str]) -> str | None:
    """Why the program of a task that a shell started elsewhere could not be; None if no reason is visible from here."""
    try:
        prepare(request, environment)
    except NotStartedError as error:
        return str(error)
    if request.pre_exec:
        return None
    return why_not_executed(request.argv, environment.get("PATH", os.defpath), request.directory)


def explain(
    error: OSError | ValueError, program: str, argv: Sequence[str], environment: Mapping[str, str] | None = None
) -> str:
    """Why the kernel, or subprocess before it, refused to execute an existing file."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, UnicodeEncodeError):
        lacking = error.object[error.start : error.end]
        return f"the terminal's encoding, {error.encoding}, lacks '{lacking}'; call rose with PYTHONUTF8=1"
    if number == errno.ENOENT:
        return _missing_interpreter(program)
    if number == errno.ENOEXEC:
        return (
            f"'{program}' is not an executable for this machine: it has no first line like "
            "'#!/bin/sh', or was built for another architecture"
        )
    if number == errno.EACCES:
        return f"'{program}' must not be executed: check its interpreter, and whether its file system is 'noexec'"
    if number == errno.E2BIG:
        return f"{_what_is_too_long(argv, environment or {})}; pass values in a file"
    return f"'{program}' could not be started: {_SHORTAGES.get(number, str(error))}"


def short_of(error: OSError) -> str:
    """The resource that ran out, or the reason for another error."""
    return _SHORTAGES.get(error.errno) or error.strerror or str(error)


def _problem(program: Path) -> str | None:
    if program.is_dir():
        return f"'{program}' is a directory, not a program"
    if not program.exists():
        return f"'{program}' does not exist"
    if not os.access(program, os.X_OK):
        return f"'{program}' is not executable; 'chmod +x' it, or call its interpreter ('python {program.name}')"
    return None


_MAX_ARGUMENT_BYTES = 32 * 4096
"""Linux's limit for a single argument or variable, MAX_ARG_STRLEN."""


def _what_is_too_long(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    arguments = {f"the command's argument '{word[:20]}…'": len(os.fsencode(word)) + 1 for word in argv}
    variables = {
        f"the environment variable {name}": len(os.fsencode(f"{name}={value}")) + 1
        for name, value in environment.items()
    }
    what, size = max({**arguments, **variables}.items(), key=lambda item: item[1])
    if size > _MAX_ARGUMENT_BYTES:
        return f"{what} is too long for this system ({size} bytes, at most {_MAX_ARGUMENT_BYTES})"
    sizes = sum(arguments.values()), sum(variables.values())
    return f"the command ({sizes[0]} bytes) and its environment ({sizes[1]} bytes) are too long for this system"


def _missing_interpreter(program: str) -> str:
    with open(program, "rb") as file:  # noqa: PTH123
        first_line = file.readline(256).rstrip(b"\n")
    if not first_line.startswith(b"#!"):
        return f"'{program}' needs a loader that this machine does not have: it was built for another system"
    interpreter = os.fsdecode(first_line[2:].strip(b" \t"))
    hint = "; save it with Unix line endings" if interpreter.endswith("\r") else "; fix its first line"
    return f"'{program}' needs the interpreter {interpreter!r}, which does not exist{hint}"


_SHOWN_WIDTH = 80

_MOST_BYTES = 1 << 20

# The script is in a file and not on the command line, which every user of the machine can read: it may hold secrets.
# The shell evaluates it, because a sourced file has another `$0` in messages, and may `return`.
_READ = 'IFS= read -r -d "" rose_text <"$2" || :\neval "$rose_text"'

_SH_READ = """\
rose_text=
while IFS= read -r rose_wait || [ "$rose_wait" ]; do rose_text="$rose_text$rose_wait
"; done <"$2"
eval "$rose_text\""""

# The lines are handled one by one: as soon as a line completes a command, together with the lines waiting before it, it
# is run and judged by its exit code. The shell's own parser decides whether it is complete, by making a function of it,
# so `if` blocks and here-documents may span lines. It does so in a subshell, because some shells exit on half of one.
#
# Not under `set -e`: the scripts of vendors and conda that people source contain commands that fail. And not in a
# function or a loop of ours: `declare`, `return` and `break` mean something else there.
#
# The command is saved before the lines run: a line like `source setvars.sh` passes the positional parameters on, and
# such scripts read them as their own. Its arguments never reach the shell's parser. `>|`: a line may `set -C`.
#
# Of several ranks the first writes the note: number 0 by `rose_rank` or, on a pilot, by `RP_RANK`. The others make sure
# that none of their exit codes looks like a success.
_COMMON = """\
rose_say() { [ "${rose_rank:-${RP_RANK:-0}}" != 0 ] || printf '%s\\n' "$@" >|"$rose_note"; }
rose_end() {
  echo "rose: pre_exec ended at line ${rose_line:-0}; the program was not started" >&2
  [ "${rose_rank:-${RP_RANK:-0}}" = 0 ] || [ "$1" != 0 ] || exit 1
}
rose_judge() { [ "$1" = 0 ] || { rose_say "failed $rose_line"; exit "$1"; }; }
rose_absent() { rose_say "absent $1" "$PWD" "$PATH"; exit "$1"; }
rose_whole() { (eval "rose_probe() { :
$rose_wait}"); }
rose_add() {
  [ "$rose_wait" ] || { rose_line=$1; rose_say "line $1"; }
  rose_wait="$rose_wait$2
"
  if rose_whole; then rose_run=$rose_wait rose_wait=; else rose_run=; fi
}
trap 'rose_end "$?"' EXIT
"""

_BASH_BEGIN = (
    'rose_note=$1 rose_text= rose_wait= rose_run= rose_line=; shift 2; rose_command=("$@"); set --\n' + _COMMON
)

_BASH_LINE = 'rose_add {number} {line} 2>/dev/null\neval "$rose_run"\nrose_judge "$?"\n'

_BASH_END = """\
eval "$rose_wait"
rose_judge "$?"
rose_say program || exit 126
trap - EXIT
set -- "${rose_command[@]}"
unset rose_command rose_text rose_wait rose_run rose_line; export -n rose_note rose_rank
shopt -s execfail
exec "$@" || rose_absent "$?"
"""

# Without bash there are no arrays: a function keeps the arguments of the command away from the lines.
_SH_BEGIN = (
    "rose_note=$1 rose_text= rose_wait= rose_run= rose_line=; shift 2\n"
    + _COMMON
    + 'rose_do() { set --; eval "$rose_run"; }\n'
)

_SH_LINE = 'rose_add {number} {line} 2>/dev/null\nrose_do\nrose_judge "$?"\n'

_SH_END = """\
rose_run=$rose_wait
rose_do
rose_judge "$?"
rose_say program || exit 126
trap 'rose_absent "$?"' EXIT
unset rose_rank
exec "$@"
"""


@dataclass(frozen=True)
class Note:
    """The file in which the shell records its progress. `script` is what the shell reads, only for its user."""

    path: Path

    @property
    def script(self) -> Path:
        return self.path.with_suffix(".lines")

    def remove(self) -> None:
        for path in (self.path, self.script):
            with suppress(OSError):
                path.unlink()

    def write_script(self, text: str) -> None:
        """Raises OSError."""
        descriptor = open_regular(self.script, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            os.fchmod(descriptor, 0o600)
            file.write(text)

    def judged(self, request: TaskRequest, outcome: TaskOutcome) -> TaskOutcome:
        """The outcome, or, if the program was not reached, that it was not started and why."""
        if outcome.reason not in (ExitReason.EXITED, ExitReason.SIGNALLED):
            return outcome
        word, *rest = self._read() or ["nothing"]
        if word == "program":
            return outcome
        return replace(outcome, reason=ExitReason.NOT_STARTED, message=_why_not(request, outcome, word, rest))

    def _read(self) -> list[str]:
        try:
            text = read_regular(self.path, _MOST_BYTES).decode("utf-8", "surrogateescape")
        except OSError:
            return []
        head, _, tail = text.partition("\n")
        return [*head.split(" "), *tail.split("\n")] if head else []


def note_beside(path: Path) -> Note:
    """The note of the attempt that has this file for standard error, or this script."""
    return Note(path.absolute().with_suffix(".pre_exec"))


def shell_words(request: TaskRequest, note: Note, shell: Path | None = None) -> tuple[str, ...]:
    """The command line of the shell that runs the lines and becomes the program; bash if there is one.

    The shell reads the lines from the script beside the note. Raises OSError if that cannot be written.
    """
    bash = Path("/bin/bash")
    shell = shell or (bash if bash.exists() else Path("/bin/sh"))
    read, begin, line, end = (
        (_READ, _BASH_BEGIN, _BASH_LINE, _BASH_END)
        if shell.name == "bash"
        else (_SH_READ, _SH_BEGIN, _SH_LINE, _SH_END)
    )
    lines = [line.format(number=number, line=shlex.quote(text)) for number, text in enumerate(_lines(request), 1)]
    note.write_script("".join((begin, *lines, end)))
    return str(shell), "-c", read, "rose", str(note.path), str(note.script), *request.argv


def _lines(request: TaskRequest) -> list[str]:
    return "\n".join(request.pre_exec).split("\n")


def _why_not(request: TaskRequest, outcome: TaskOutcome, word: str, rest: Sequence[str]) -> str:
    if word == "absent":
        code, directory, search_path = rest[0], rest[1], "\n".join(rest[2:]).removesuffix("\n")
        why = why_not_executed(request.argv, search_path, Path(directory))
        return why or f"'{request.argv[0]}' could not be executed (exit code {code}); see its standard error"
    if word == "nothing":
        return f"the shell ended with {outcome.exit_status} before the first pre_exec line; the program was not started"
    number = int(rest[0])
    line = request.hide(_lines(request)[number - 1].strip())
    shown = cut(line, _SHOWN_WIDTH)
    if outcome.signal is not None:
        did = f"was killed by {outcome.exit_status}"
    else:
        did = f"ended {'with' if word == 'failed' else 'the shell with'} {outcome.exit_status}"
    hint = (
        "; if it may fail, write '|| true' after it" if word == "failed" and "&&" in line and "||" not in line else ""
    )
    return f"pre_exec line {number}, '{shown}', {did}; the program was not started{hint}"


@dataclass(frozen=True)
class Launch:
    """`program` is the file that is executed, `argv` its arguments, from argument 0."""

    program: str
    argv: tuple[str, ...]


def prepare(request: TaskRequest, environment: Mapping[str, str]) -> Launch:
    """Find the program. With `pre_exec` the shell looks it up, because the lines may change its PATH."""
    if not request.argv or not request.argv[0]:
        raise NotStartedError("the command is empty")
    if not request.directory.is_dir():
        raise NotStartedError(f"the working directory '{request.directory}' does not exist")
    if request.pre_exec:
        return Launch(request.argv[0], request.argv)
    search_path = environment.get("PATH", os.defpath)
    return Launch(look_up(request.argv[0], search_path, request.directory), request.argv)


def spawn(request: TaskRequest, environment: Mapping[str, str]) -> int:
    """Start the request's program, leader of its own session; its pid, which the caller has to reap.

    Raises NotStartedError with a message for the user.
    """
    launch = prepare(request, environment)
    with ExitStack() as stack:
        stdout, stderr = open_outputs(request, stack, request.stdout, request.stderr)
        if request.pre_exec:
            launch = in_shell(request, note_beside(request.stderr), stack)
        try:
            # without preexec_fn: with it a start takes four times as long, and 80 ms in a big process
            process = subprocess.Popen(
                launch.argv, executable=launch.program, cwd=request.directory, env=environment,
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True,
                umask=user_umask(),
            )  # fmt: skip
            # whoever waits by the pid must know of a status that was taken elsewhere, which Popen reports as success
            process.returncode = 0
            return process.pid
        except MemoryError as error:
            raise NotStartedError(f"'{launch.program}' could not be started: {shortage(error)}") from error
        except (OSError, ValueError) as error:
            raise NotStartedError(explain(error, launch.program, launch.argv, environment)) from error


def in_shell(request: TaskRequest, note: Note, stack: ExitStack) -> Launch:
    """The shell that runs the lines of `pre_exec` first; writes the files that it needs."""
    open_outputs(request, stack, note.path, note.script)
    try:
        words = shell_words(request, note)
    except OSError as error:
        raise NotStartedError(f"'{note.script}' cannot be written: {short_of(error)}") from error
    return Launch(words[0], words)


def open_outputs(request: TaskRequest, stack: ExitStack, *paths: Path) -> list[int]:
    """Open files that a task writes: created or emptied, and reached from the learner's directory without links."""
    found = []
    with ExitStack() as opened:
        directories: dict[Path, OpenDirectory] = {}  # usually one: each is a query to a network disk
        for path in paths:
            try:
                if path.parent not in directories:
                    directories[path.parent] = opened.enter_context(_directory_of(request, path))
                directory = directories[path.parent].descriptor
                found.append(open_unshared(path.name, os.O_WRONLY | os.O_TRUNC, dir_fd=directory))
            except OSError as error:
                raise NotStartedError(f"the output file '{path}' cannot be written: {short_of(error)}") from error
            stack.callback(os.close, found[-1])
    return found


def _directory_of(request: TaskRequest, path: Path) -> OpenDirectory:
    inside = request.directory.parent
    if not str(path).startswith(f"{inside}/"):
        inside = path.parent
        make_directories(inside)
    return OpenDirectory.at(path.parent, inside=inside, make=True)
