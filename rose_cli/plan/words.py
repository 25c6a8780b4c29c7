"""What the words of a command are: the program, a script, code that an interpreter or a shell reads, or plain words."""

from __future__ import annotations

import os
import re
from enum import Enum
from functools import lru_cache
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING

from rose_cli.config.placeholders import fill_placeholders, has_placeholder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RUNNERS = {
    ".py": ("python", "{python}", "pypy", "ipython"),
    ".sh": ("sh", "bash", "zsh", "dash", "ksh"),
    ".R": ("Rscript", "R"),
    ".r": ("Rscript", "R"),
    ".jl": ("julia",),
    ".pl": ("perl",),
    ".rb": ("ruby",),
    ".js": ("node",),
    ".m": ("octave", "matlab"),
}
"""The interpreters for each suffix of a script; a hint suggests the first."""
INTERPRETERS = frozenset(name for names in RUNNERS.values() for name in names)

_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"})
_GIVE_TO_A_SHELL = frozenset({"su", "runuser", "script", "flock", "csh", "tcsh", "fish"})
_RUN_WHAT_FOLLOWS = frozenset(
    ("env", "nice", "ionice", "time", "timeout", "nohup", "setsid", "stdbuf", "taskset", "numactl", "chrt", "exec",
     "command", "sudo", "srun", "mpiexec", "mpirun", "mpiexec.hydra", "orterun", "prun", "prterun", "jsrun", "lrun",
     "aprun", "ibrun", "flux", "conda", "mamba", "micromamba", "pixi", "poetry", "uv", "singularity", "apptainer",
     "docker", "podman", "shifter", "ch-run", "xvfb-run", "strace", "valgrind", "perf", "nsys", "ncu")
)  # fmt: skip
_TAKE_A_VALUE = ("-W", "-X", "-o", "-O", "+o", "+O", "-eo", "-euo", "-uo", "-exo", "-euxo")
_CODE_FOLLOWS = ("-c", "-m", "-e", "-")
_SHELL_CODE_FOLLOWS = re.compile(r"-[A-Zabd-z]*c[A-Za-z]*")
_COMMAND_FOLLOWS = re.compile("-[a-z]*c|--command")
_OTHER_CODE_FOLLOWS = {
    ".py": re.compile("-[A-Za-z]*c"), ".pl": re.compile("-[A-Za-z]*[eE]"), ".rb": re.compile("-[A-Za-z]*e"),
    ".R": re.compile("-e"), ".r": re.compile("-e"), ".jl": re.compile("-[eE]|--eval|--print"),
    ".js": re.compile("-[ep]|--eval|--print"), ".m": re.compile("--eval|-r|-batch"),
}  # fmt: skip
_VALUES_OF_SHELLS = frozenset({"pipefail", "errexit", "nounset", "xtrace", "posix"})
_FAR_ENOUGH = 16
"""How many words before the code are examined: those of a shell and its options."""
_FAR_SHELLS = frozenset({"ssh", "rsh"})
_READ_INPUT = _SHELLS | _GIVE_TO_A_SHELL | _FAR_SHELLS | INTERPRETERS
_MOST_WORDS = 64
HERE_STRING = "<<<"
"""Marks, among the words of a command, that the next one is its input."""
_READS_ITS_WORDS_AS_CODE = frozenset({"eval", "trap", "let", "ssh", "rsh", "watch", "parallel"})


class Code(Enum):
    """Who reads a word as code: a shell by the rules of POSIX, another shell or program, an interpreter."""

    SHELL = "another shell"
    COMMAND = "another shell or machine"
    LANGUAGE = "an interpreter"


def scripts(words: Sequence[str]) -> Iterator[int]:
    """The positions of the scripts of interpreters."""
    for position, word in enumerate(words):
        at = _first_argument(words, position) if base_name(word) in INTERPRETERS else None
        if at is not None and PurePath(words[at]).suffix in RUNNERS:
            yield at


def code_at(words: Sequence[str]) -> tuple[int, Code] | None:
    """The position of the word that the program of a command reads as code, and its reader."""
    if not words:
        return None
    starts = range(len(words)) if base_name(words[0]) in _RUN_WHAT_FOLLOWS else range(1)
    found = (code for start in starts if (code := _code_after(words, start)) is not None)
    return next(found, None)


def code_read_by_command(words: Sequence[str]) -> Code | None:
    """Who reads the word after `words` as code, if these are the start of a simple command in a shell line."""
    if base_name(words[0]) in _READS_ITS_WORDS_AS_CODE:
        return Code.COMMAND
    if words[-1] == HERE_STRING:
        return code_read_from_input(words[: min(len(words) - 1, _MOST_WORDS + 1)]) if len(words) > 1 else None
    if not words[-1].startswith(("-", "+")) and words[-1] not in _VALUES_OF_SHELLS:
        return None
    last = [*words[-_FAR_ENOUGH:], ""]
    found = (_code_after(last, start) for start in range(len(last) - 1))
    return next((code[1] for code in found if code is not None and code[0] == len(last) - 1), None)


def code_read_from_input(words: Sequence[str]) -> Code | None:
    """Who reads the standard input of a command, or of one of several in a line, as code.

    In a command with too many words to examine, any shell might do so.
    """
    first, is_long = words[:_MOST_WORDS], len(words) > _MOST_WORDS
    for at, word in enumerate(first):
        name = base_name(word)
        if name in _READ_INPUT and (is_long or _has_no_script(first, at, is_far=name in _FAR_SHELLS)):
            return Code.LANGUAGE if name in INTERPRETERS - _SHELLS else Code.COMMAND
    if first[0] in (".", "source") and (len(first) == 1 or "/dev/stdin" in first or is_long):
        return Code.COMMAND
    return None


def _has_no_script(words: Sequence[str], position: int, *, is_far: bool) -> bool:
    """Whether the shell or interpreter at `position` runs only its input; a remote one has a host as an argument."""
    after = words[position + 1 :]
    if "-s" in after or "-" in after:
        return True
    before = ("", *after)
    arguments = (
        word
        for word, last in zip(after, before, strict=False)
        if word[:1] not in ("-", "+") and last not in _TAKE_A_VALUE
    )
    return len(list(islice(arguments, 1 + is_far))) <= is_far


def looked_up(words: Sequence[str], campaign_dir: str) -> tuple[int, ...]:
    """The positions of the words that name files beside the campaign file.

    The program and later words if they contain a slash or have the suffix of a script; the script right after an
    interpreter regardless of its name. A word with a placeholder counts by its form; the file is looked up later.
    """
    code = code_at(words)
    script = _first_argument(words, 0) if base_name(words[0]) in INTERPRETERS else None
    wanted = (
        position
        for position, word in enumerate(words)
        if (code is None or position != code[0]) and (position == script or is_path(word))
    )
    return tuple(
        position
        for position in wanted
        if has_placeholder(words[position]) or is_beside(fill_placeholders(words[position], {}), campaign_dir)
    )


def is_python(words: Sequence[str]) -> bool:
    """Whether a command starts an interpreter of Python."""
    return base_name(words[0]) in ("python", "{python}")


def file_of_module(name: str, directory: str) -> str | None:
    """The file of a module or package in a directory, relative to it."""
    path = name.replace(".", "/")
    return next((file for file in (f"{path}/__init__.py", f"{path}.py") if is_beside(file, directory)), None)


def is_path(word: str) -> bool:
    """Whether a word looks like a path: with a slash in it, or the suffix of a script."""
    return "/" in word or PurePath(word).suffix in RUNNERS


def is_beside(word: str, campaign_dir: str) -> bool:
    return bool(word) and os.path.isfile(path_beside(word, campaign_dir))  # noqa: PTH113 - does not raise for odd names


def path_beside(word: str, campaign_dir: str) -> str:
    return os.path.normpath(os.path.join(campaign_dir, word))  # noqa: PTH118 - pathlib is ten times slower here


@lru_cache(maxsize=1024)
def base_name(word: str) -> str:
    """The name of a program without its directory and version: `/usr/bin/python3.11` is `python`."""
    return PurePath(word).name.rstrip("0123456789.")


def _first_argument(words: Sequence[str], position: int) -> int | None:
    """The position of the first word after an interpreter that is not an option, unless it is code or a module."""
    previous = ""
    for at in range(position + 1, len(words)):
        word = words[at]
        if word in _CODE_FOLLOWS or (base_name(words[position]) in _SHELLS and _SHELL_CODE_FOLLOWS.fullmatch(word)):
            return None
        if not word.startswith("-") and previous not in _TAKE_A_VALUE:
            return at
        previous = word
    return None


def _code_after(words: Sequence[str], start: int) -> tuple[int, Code] | None:
    """The code that the program at `start` reads."""
    name = base_name(words[start])
    if name in _SHELLS:
        return _code_of(words, start, _SHELL_CODE_FOLLOWS, Code.SHELL)
    if name in _GIVE_TO_A_SHELL:
        option = next((at for at, word in enumerate(words) if at > start and _COMMAND_FOLLOWS.fullmatch(word)), None)
        return None if option is None or option + 1 >= len(words) else (option + 1, Code.COMMAND)
    ending = next((ending for ending, names in RUNNERS.items() if name in names), None)
    return _code_of(words, start, _OTHER_CODE_FOLLOWS[ending], Code.LANGUAGE) if ending else None


def _code_of(words: Sequence[str], start: int, option: re.Pattern[str], kind: Code) -> tuple[int, Code] | None:
    previous = ""
    for at in range(start + 1, len(words)):
        word = words[at]
        if option.fullmatch(word):
            return _word_after(words, at, kind)
        if not word.startswith(("-", "+")) and previous not in _TAKE_A_VALUE:
            return None
        previous = word
    return None


def _word_after(words: Sequence[str], option: int, kind: Code) -> tuple[int, Code] | None:
    """A shell accepts further options between `-c` and the code."""
    at = option + 1
    while kind is Code.SHELL and at < len(words) and words[at].startswith(("-", "+")):
        at += 2 if words[at] in _TAKE_A_VALUE else 1
    return (at, kind) if at < len(words) else None
