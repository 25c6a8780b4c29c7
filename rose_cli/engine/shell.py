"""`pre_exec`: the shell that runs its lines before the program, and the note that proves that the program was reached.

The shell writes into the note, a file, how far it has come: which line is under way, which one failed, and, as the last
thing before it becomes the program, that the lines are through. Whatever a line does, be it `exit 0`, `exec true` or a
sourced file that does the same, it cannot look like a program that ran.
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.engine.base import Ended
from rose_cli.engine.programs import why_not_executed
from rose_cli.regular import open_regular, read_regular

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.engine.base import TaskOutcome, TaskRequest

_SHOWN_WIDTH = 80
_MOST_BYTES = 1 << 20

# The text is in a file, and not among the words of the command line, which every user of the machine can read: it may
# hold secrets. The shell evaluates it: what is sourced has another `$0` in messages, and may `return`.
_READ = 'IFS= read -r -d "" rose_text <"$2" || :\neval "$rose_text"'
_SH_READ = """\
rose_text=
while IFS= read -r rose_wait || [ "$rose_wait" ]; do rose_text="$rose_text$rose_wait
"; done <"$2"
eval "$rose_text\""""

# The lines are taken one by one: each that is whole, together with those that wait before it, is run and judged by its
# exit code. Whether it is whole, the shell's own parser says, which makes a function of it: so `if` blocks and
# here-documents may span lines. It is asked in a subshell, as some shells end over half a command.
#
# Not under `set -e`: what vendors and conda have for sourcing has inner commands that fail. And not in a function or a
# loop of ours: there `declare`, `return` and `break` mean something else.
#
# The command is put away before the lines run: a line like `source setvars.sh` hands the positional parameters on,
# and such scripts read them as their own. Its words never reach the shell's parser. `>|`: somebody may `set -C`.
#
# Of several ranks the first writes the note. The others make sure that no exit code of theirs looks like a success.
_COMMON = """\
rose_say() { [ "${RP_RANK:-0}" != 0 ] || printf '%s\\n' "$@" >|"$rose_note"; }
rose_end() {
  echo "rose: pre_exec ended at line ${rose_line:-0}; the program was not started" >&2
  [ "${RP_RANK:-0}" = 0 ] || [ "$1" != 0 ] || exit 1
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
unset rose_command rose_text rose_wait rose_run rose_line; export -n rose_note
shopt -s execfail
exec "$@" || rose_absent "$?"
"""
# Where there is no bash there are no arrays: a function keeps the words of the command from the lines.
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
exec "$@"
"""


@dataclass(frozen=True)
class Note:
    """The file in which the shell says how far it has come; `text` is what the shell reads, for its user alone."""

    path: Path

    @property
    def text(self) -> Path:
        return self.path.with_suffix(".lines")

    def remove(self) -> None:
        for path in (self.path, self.text):
            with suppress(OSError):
                path.unlink()

    def write_text(self, text: str) -> None:
        """Raises OSError."""
        descriptor = open_regular(self.text, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            os.fchmod(descriptor, 0o600)
            file.write(text)

    def judged(self, request: TaskRequest, outcome: TaskOutcome) -> TaskOutcome:
        """The outcome, or, where the program was not reached, that it was not started and why."""
        if outcome.ended not in (Ended.EXITED, Ended.SIGNALLED):
            return outcome
        word, *rest = self._read() or ["nothing"]
        if word == "program":
            return outcome
        return replace(outcome, ended=Ended.NOT_STARTED, message=_why_not(request, outcome, word, rest))

    def _read(self) -> list[str]:
        try:
            text = read_regular(self.path, _MOST_BYTES).decode("utf-8", "surrogateescape")
        except OSError:
            return []
        head, _, tail = text.partition("\n")
        return [*head.split(" "), *tail.split("\n")] if head else []


def note_beside(path: Path) -> Note:
    """That of the attempt whose standard error, or script, the path is."""
    return Note(path.absolute().with_suffix(".pre_exec"))


def shell_words(request: TaskRequest, note: Note, shell: Path | None = None) -> tuple[str, ...]:
    """The command line of the shell that runs the lines, which it reads from a file of the note's, and becomes the
    program; bash where there is one. Raises OSError where the file cannot be written."""
    bash = Path("/bin/bash")
    shell = shell or (bash if bash.exists() else Path("/bin/sh"))
    read, begin, line, end = (
        (_READ, _BASH_BEGIN, _BASH_LINE, _BASH_END)
        if shell.name == "bash"
        else (_SH_READ, _SH_BEGIN, _SH_LINE, _SH_END)
    )
    lines = [line.format(number=number, line=shlex.quote(text)) for number, text in enumerate(_lines(request), 1)]
    note.write_text("".join((begin, *lines, end)))
    return str(shell), "-c", read, "rose", str(note.path), str(note.text), *request.argv


def _lines(request: TaskRequest) -> list[str]:
    return "\n".join(request.pre_exec).split("\n")


def _why_not(request: TaskRequest, outcome: TaskOutcome, word: str, rest: Sequence[str]) -> str:
    if word == "absent":
        code, directory, search_path = rest[0], rest[1], "\n".join(rest[2:]).removesuffix("\n")
        why = why_not_executed(request.argv, search_path, Path(directory))
        return why or f"'{request.argv[0]}' could not be executed (exit code {code}); its standard error says more"
    if word == "nothing":
        return f"the shell ended with {outcome.how} before the first line of pre_exec; the program was not started"
    number = int(rest[0])
    line = request.hide(_lines(request)[number - 1].strip())
    shown = line if len(line) <= _SHOWN_WIDTH else f"{line[: _SHOWN_WIDTH - 1]}…"
    if outcome.signal is not None:
        did = f"was ended by {outcome.how}"
    else:
        did = f"ended {'with' if word == 'failed' else 'the shell with'} {outcome.how}"
    hint = "; if it may, write '|| true' after it" if word == "failed" and "&&" in line and "||" not in line else ""
    return f"pre_exec line {number}, '{shown}', {did}; the program was not started{hint}"
