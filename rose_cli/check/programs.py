"""Checks that the program and the script of a command will exist when it runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import PurePath
from typing import TYPE_CHECKING

from rose_cli.check.arguments import TAKES_A_PATTERN, is_wildcard
from rose_cli.check.files import listed
from rose_cli.check.origin import word_location
from rose_cli.config.placeholders import PLACEHOLDERS, has_placeholder
from rose_cli.plan.words import INTERPRETERS, RUNNERS, code_at, is_beside, is_path, path_beside, scripts
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Diagnostic, Severity
from rose_cli.util.text import SAME_LOOKS, lookalike, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rose_cli.check.origin import Layer
    from rose_cli.config.models import Campaign, TaskFields
    from rose_cli.plan.context import CheckContext, SearchPath
    from rose_cli.plan.model import CommandPlan

_WORDS_OF_THE_SHELL = ("cd", "source", ".", "export", "module", "eval", "exec", "set", "unset", "ulimit", "if", "for")

_SHELL_SIGN = re.compile(r"\|\|?|&&?|;|[012&]?>>?(&[012])?|<<?|[012]?>&[012]|\*|\$\w.*|\$[{(].*|.*`.*|~(/.*)?")

_EXPANDED = re.compile(r"\$\w.*|~/.*|.*[*?].*")
"""What a shell would expand, and not an operator that a list of arguments may contain on purpose."""

MAX_GUESSES = 100

_VARIABLE = re.compile(r"\$[{(]*([A-Za-z_]\w*)[})]*")
"""A variable of a shell, for a parameter."""


@dataclass(frozen=True)
class ProgramChecker:
    campaign: Campaign
    ctx: CheckContext

    def check(self, command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Diagnostic]:
        if command.shell or command.function:  # of a function, rose provides the interpreter if there is no other
            return
        missing = self._missing_program(command) or self._invalid_program(command)
        if missing is not None:
            yield _located(missing, layers, 0)
        if _of_the_shell(command.words[0]):
            return
        missing_scripts = [
            f for position in scripts(command.words) for f in self._check_script(command, position, layers)
        ]
        yield from missing_scripts
        if missing is None and not missing_scripts:
            yield from self._check_signs(command, layers)
        yield from self._check_bare_words(command, layers)

    def _missing_program(self, command: CommandPlan) -> Diagnostic | None:
        """Why the program does not exist, or cannot be started."""
        word = command.words[0]
        program = self._in_place(word)
        # what pre_exec loads, or a placeholder names, is known only when it runs
        if "{" in program or command.pre_exec or self._may_be_there(program, command):
            return None
        beside = self.ctx.campaign_dir / program
        if not is_path(program) and os.path.isfile(beside):  # noqa: PTH113
            return self._only_beside("missing-program", word)
        if os.path.isdir(beside):  # noqa: PTH112 - those of pathlib raise for a name too long
            return Diagnostic("missing-program", f"'{word}' is a directory", hint="name the program in it")
        if os.path.isfile(beside):  # noqa: PTH113
            runner = RUNNERS.get(beside.suffix, ("python",))[0]
            hint = f"run chmod +x {shlex.quote(word)}, or name its interpreter: {runner} {shlex.quote(word)}"
            return Diagnostic("not-executable", f"'{word}' is not executable", hint=hint)
        where = "" if "/" in word else " on PATH"
        hint = self._program_hint(word, command)
        return Diagnostic("missing-program", f"there is no program '{word}'{where}", hint=hint)

    def _invalid_program(self, command: CommandPlan) -> Diagnostic | None:
        """Why the kernel would not execute the program, although it exists."""
        word, search = command.words[0], self.ctx.search_path(command)
        found = None if "{" in self._in_place(word) else self._which(self._in_place(word), search)
        error = error_of_program(found, word, search.known) if found is not None else None
        # pre_exec may well load the interpreter that its first line names
        is_sure = search.is_whole and not command.pre_exec
        return None if error is not None and error.code == "missing-interpreter" and not is_sure else error

    @staticmethod
    def _only_beside(code: str, word: str) -> Diagnostic:
        message = f"there is no program '{word}' on PATH, and a bare name is not looked up beside the campaign file"
        return Diagnostic(code, message, hint=f"write ./{word} for the file there")

    def _program_hint(self, program: str, command: CommandPlan) -> str:
        if (hint := _of_the_shell(program)) is not None:
            return hint
        if "$" in command.environment.get("PATH", ""):
            return "PATH under 'env:' is used literally: extend it under 'pre_exec:' with export PATH=…:$PATH"
        search = self.ctx.search_path(command)
        if program == "python" and self._which("python3", search) is not None:
            return "write python3, or {python} for the interpreter that runs rose"
        others = (word for word in sorted(INTERPRETERS - {program}) if self._which(word, search) is not None)
        near = self._nearest(program, others)
        if near is not None:
            return near
        if "/" in program:
            return self._where_paths_start(program)
        return "install it, activate its environment, or use {python} for the interpreter that runs rose"

    def _may_be_there(self, program: str, command: CommandPlan) -> bool:
        """Whether the program exists, or might be in a directory that is known only when the command runs."""
        search = self.ctx.search_path(command)
        is_far = "/" not in program and not search.is_whole
        return is_far or self._which(program, search) is not None

    def _which(self, program: str, search: SearchPath) -> str | None:
        directory = str(self.ctx.campaign_dir)
        found = path_beside(program, directory) if is_path(program) and is_beside(program, directory) else program
        if "/" in found and not os.path.isabs(found):  # noqa: PTH117
            return None  # otherwise it would be searched for from the current directory
        return shutil.which(found, path=search.known)

    def _check_script(
        self, command: CommandPlan, position: int, layers: Sequence[Layer[TaskFields]]
    ) -> Iterator[Diagnostic]:
        word = command.words[position]
        script = self._in_place(word)
        moves = any("cd " in line or "pushd " in line for line in command.pre_exec)
        if script.endswith(".sh") and (error := error_of_shell_script(str(self.ctx.campaign_dir / script), word)):
            yield _located(error, layers, position)
        if "{" in script or moves or self._will_be_there(script):
            return
        where = "" if script.startswith("/") else " beside the campaign file"
        message = f"there is no file '{word}'{where}"
        missing = Diagnostic("missing-script", message, hint=self._script_hint(word), depends_on=(("files",),))
        yield _located(missing, layers, position)

    def _script_hint(self, script: str) -> str:
        near = self._nearest(script)
        if near is not None:
            return near
        if script.startswith(("~", "$", "/", "{")):
            return self._where_paths_start(script)
        return f"write a path relative to {self._parent}; a script that a task writes is '{{workspace}}/{script}'"

    def _will_be_there(self, script: str) -> bool:
        path = PurePath(script)
        return os.path.isfile(self.ctx.campaign_dir / script) or not self._given.isdisjoint({path, *path.parents})  # noqa: PTH113

    @cached_property
    def _given(self) -> frozenset[PurePath]:
        """The paths of all `files` of the campaign and of the learners in their workspaces."""
        files = chain(self.campaign.files, *(learner.files or () for learner in self.campaign.learners))
        return frozenset(PurePath(file.to or file.path) for file in files)

    def _check_signs(self, command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Diagnostic]:
        """Operators of a shell in a command that no shell reads."""
        for position, word in enumerate(command.words[1:], start=1):
            path, inside = word_location(layers, position)
            is_bare = inside[1] == len(word) if inside is not None else not self.ctx.is_quoted(path)
            is_listed = inside is None and not _EXPANDED.fullmatch(word)
            is_pattern = is_wildcard(word) and not TAKES_A_PATTERN.search(command.words[position - 1])
            if is_bare and not is_listed and (_SHELL_SIGN.fullmatch(word) or is_pattern):
                message = f"'{word}' is passed literally: the command does not run in a shell"
                hint = "set shell: true beside 'executable', or quote it if this is meant"
                name = _VARIABLE.fullmatch(word)
                if name is not None and (name[1] in self.campaign.parameters or name[1] in PLACEHOLDERS):
                    hint = f"write {{{name[1]}}}, without the dollar sign"
                yield Diagnostic("shell-sign", message, path, hint, Severity.WARNING, inside=inside)
                return

    def _check_bare_words(self, command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Diagnostic]:
        """Words that are also the names of files beside the campaign file: the file or the word might be meant."""
        code, parent = code_at(command.words), str(self.ctx.campaign_dir)
        looked_up = set(command.beside or ()) | ({code[0]} if code else set())
        bare = [
            position
            for position, word in enumerate(command.words)
            if position not in looked_up and not is_path(word) and not has_placeholder(word) and is_beside(word, parent)
        ]
        if bare and bare[0] == 0 and command.pre_exec:
            word = command.words[0]
            found = self._only_beside("bare-word", word)
            hint = f"{found.hint}, or leave it if 'pre_exec' provides {word}"
            yield _located(replace(found, hint=hint, severity=Severity.WARNING), layers, 0)
        # files in the workspace are found there
        meant = [at for at in bare if at > 0 and PurePath(command.words[at]) not in self._given]
        if meant:
            words = ", ".join(f"'{command.words[at]}'" for at in meant)
            is_one = len(meant) == 1
            exist = "a file with this name exists" if is_one else "files with these names exist"
            message = f"{words} {'is' if is_one else 'are'} passed literally, although {exist} beside the campaign file"
            first = command.words[meant[0]]
            hint = f"write ./{first} for that file; if the word itself is meant, put it under 'args:'"
            yield _located(Diagnostic("bare-word", message, hint=hint, severity=Severity.WARNING), layers, meant[0])

    def _nearest(self, word: str, known: Iterable[str] = ()) -> str | None:
        """A hint with a similar file in the directory that the word names, or with a similar known word.

        Only for the first errors, since it is slow.
        """
        self._guesses.append(word)
        if len(self._guesses) > MAX_GUESSES:
            return None
        before, slash, name = word.rpartition("/")
        directory = self._in_place(before) or slash
        there = listed(self.ctx.campaign_dir / directory)
        if lookalike(name, there):
            return SAME_LOOKS
        near = nearest(name, [*there, *(known if not slash else ())], ratio=0.7)
        return None if near is None else f"did you mean '{before}{slash}{near}'?"

    @cached_property
    def _guesses(self) -> list[str]:
        return []

    def _in_place(self, word: str) -> str:
        return word.replace("{campaign_dir}", str(self.ctx.campaign_dir))

    def _where_paths_start(self, word: str) -> str:
        if word.startswith(("~", "$")):
            return (
                'no shell reads this: write an absolute path, or "{campaign_dir}/…" for a file beside the campaign, '
                "or set shell: true"
            )
        if word.startswith(("/", "{")):
            return "check the path"
        return f"a relative path starts at {self.ctx.where_paths_start}"

    @property
    def _parent(self) -> str:
        return f"'{self.ctx.campaign_dir.name or '/'}/'"


def _located(diagnostic: Diagnostic, layers: Sequence[Layer[TaskFields]], position: int) -> Diagnostic:
    """The diagnostic at a word of the command."""
    path, inside = word_location(layers, position)
    return replace(diagnostic, path=path, inside=inside)


def _of_the_shell(program: str) -> str | None:
    """A hint for a word that only a shell understands."""
    if program in _WORDS_OF_THE_SHELL:
        return "it is a shell builtin or keyword: set shell: true, or put the line under 'pre_exec:'"
    if re.match(r"[A-Za-z_]\w*=", program):
        return "set environment variables under 'env:'"
    if program.startswith(("~", "$")):
        return "the command does not run in a shell: write the full path, or set shell: true"
    return None


_HEAD_BYTES = 4096

_FIRST_LINE_BYTES = 253
"""The maximum length of a first line after '#!', without its line break (BINPRM_BUF_SIZE)."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def error_of_program(path: str, word: str, search_path: str) -> Diagnostic | None:
    """Why an executable file could not be run; `word` is what the user calls it."""
    head = _head(path)
    if head.startswith(_BYTE_ORDER_MARK + b"#!"):
        message = f"'{word}' starts with a byte order mark, which hides its first line"
        return Diagnostic("bad-script", message, hint="save it as UTF-8 without a byte order mark")
    if not head.startswith(b"#!"):
        return None if not head or _is_binary(head) else _no_first_line(word)
    return _error_of_first_line(os.fsdecode(head[2:].partition(b"\n")[0]), word, search_path)


def _error_of_first_line(line: str, word: str, search_path: str) -> Diagnostic | None:
    if len(line) > _FIRST_LINE_BYTES:
        message = f"the first line of '{word}' is longer than the {_FIRST_LINE_BYTES} bytes that Linux reads"
        return Diagnostic(
            "bad-script", message, hint="put its interpreter before it, or start it with '#!/usr/bin/env …'"
        )
    if line.endswith("\r"):
        return _windows_line_endings(word)
    wanted = _interpreter(line.split())
    if wanted is None or (os.path.isabs(wanted) and os.access(wanted, os.X_OK)):  # noqa: PTH117
        return None
    if "/" not in wanted and shutil.which(wanted, path=search_path):
        return None
    where = "does not exist" if "/" in wanted else "is not on PATH"
    message = f"the first line of '{word}' names '{wanted}', which {where}"
    return Diagnostic("missing-interpreter", message, hint="fix its first line, or put its interpreter before it")


def error_of_shell_script(path: str, word: str) -> Diagnostic | None:
    """Why a shell could not run a script; other interpreters accept Windows line endings."""
    return _windows_line_endings(word) if b"\r\n" in _head(path) else None


def _windows_line_endings(word: str) -> Diagnostic:
    message = f"'{word}' has Windows line endings, which neither a shell nor a first line may have"
    hint = f"save it with Unix line endings: sed -i 's/\\r$//' {shlex.quote(PurePath(word).name)}"
    return Diagnostic("bad-script", message, hint=hint)


def _no_first_line(word: str) -> Diagnostic:
    runner = "python" if word.endswith(".py") else "sh"
    hint = f"start it with a line like '#!/usr/bin/env {runner}', or name its interpreter: {runner} {shlex.quote(word)}"
    message = f"'{word}' does not name its interpreter: its first line has no '#!'"
    return Diagnostic("bad-script", message, hint=hint)


def _interpreter(words: list[str]) -> str | None:
    """The interpreter that the first line names; for `env`, the program that it searches for."""
    if not words:
        return None
    if PurePath(words[0]).name != "env":
        return words[0]
    return next((word for word in words[1:] if not word.startswith("-") and "=" not in word), None)


def _head(path: str) -> bytes:
    """The beginning of a regular file; empty if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError):
        return b""
    try:
        return os.read(descriptor, _HEAD_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _is_binary(head: bytes) -> bool:
    return b"\0" in head
