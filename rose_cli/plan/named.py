"""The files that a plan names, and what tells whether one of them has changed.

Named are programs and scripts beside the campaign file, absolute paths, what `{campaign_dir}` leads to, the `files` of
workspaces, and the modules that a named Python script imports from its own folder. A file of up to 16 MiB is read
whole; of a larger one its size and both ends count. Of a folder, the first thousand files count, each with its size and
its head.
"""

from __future__ import annotations

import os
import re
import stat
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.plan.words import is_beside, path_beside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rose_cli.plan.model import CommandPlan, Plan

MOST_WHOLE_BYTES = 16 << 20
_END_BYTES = 4 << 20
_HEAD_BYTES = 64 << 10
_MOST_IN_FOLDER = 1_000
_MOST_MODULES = 200

_WAYS_TO_CAMPAIGN = re.compile(r"\{campaign_dir\}|\$ROSE_CAMPAIGN_DIR\b|\$\{ROSE_CAMPAIGN_DIR\}")
_BETWEEN_WORDS = re.compile(r"""[\s;|&<>()"'`]+""")
_IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+(\w+)|import[ \t]+([\w., \t]+))", re.MULTILINE)


def named_files(plan: Plan) -> dict[str, Path]:
    """Every file and folder that the plan names and that is there, by its path relative to the campaign's folder.

    What lies outside of that folder has its absolute path.
    """
    folder = plan.campaign_dir
    found = {path: None for word in dict.fromkeys(_words(plan)) for path in _as_file(word, folder)}
    sources = {file.source for learner in plan.learners for file in learner.files}
    modules = _modules(found)
    there = [*found, *modules, *(source for source in sorted(sources) if os.path.exists(source))]  # noqa: PTH110
    return {_key(path, folder): Path(path) for path in there}


def fingerprints(plan: Plan) -> dict[str, str]:
    """The fingerprint of every file that the plan names, is there and can be read."""
    found = {name: fingerprint(path) for name, path in named_files(plan).items()}
    return {name: text for name, text in found.items() if text is not None}


def fingerprint(path: Path) -> str | None:
    """A text that is another one once the file or folder has changed; None where it cannot be read."""
    try:
        if path.is_dir():
            return f"folder:{_folder_digest(path)}"
        status = path.stat()
        size = status.st_size
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            return None
        if size > MOST_WHOLE_BYTES:
            return f"ends:{size}:{_digest(path, _END_BYTES, ends=True)}"
        return f"sha256:{_digest(path, MOST_WHOLE_BYTES)}"
    except OSError:
        return None


def _words(plan: Plan) -> Iterator[tuple[str, bool]]:
    """Words that may name files, and whether each is looked up beside the campaign file."""
    steps = {id(step): step for learner in plan.learners for step in learner.all_steps}  # many share theirs
    commands = {id(command): command for step in steps.values() for command in step.commands}
    for command in commands.values():
        for position, word in enumerate(_command_words(command)):
            yield word, not command.shell and (command.beside is None or position in command.beside)
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


def _as_file(word: tuple[str, bool], folder: str) -> Iterator[str]:
    text, may_be_beside = word
    path = _WAYS_TO_CAMPAIGN.sub(lambda _: folder, text)
    if "{" in path.replace(folder, "") or "\0" in path:
        return
    if may_be_beside and is_beside(path, folder):
        path = path_beside(path, folder)
    if os.path.isabs(path) and os.path.isfile(path):  # noqa: PTH113, PTH117
        yield os.path.normpath(path)


def _modules(scripts: Iterable[str]) -> list[str]:
    """The modules that Python scripts import from their own folder, and those that these import."""
    found: dict[str, None] = {}
    waiting = [script for script in scripts if script.endswith(".py")]
    while waiting and len(found) < _MOST_MODULES:
        for path in _imported(waiting.pop()):
            if path not in found:
                found[path] = None
                waiting.append(path)
    return list(found)


def _imported(script: str) -> Iterator[str]:
    folder = os.path.dirname(script)  # noqa: PTH120
    try:
        text = Path(script).read_bytes()[:MOST_WHOLE_BYTES]
    except OSError:
        return
    for match in _IMPORT.finditer(text):
        for name in (match[1] or match[2]).split(b","):
            first = name.split()[0].partition(b".")[0].decode(errors="replace") if name.strip() else ""
            path = os.path.join(folder, f"{first}.py")  # noqa: PTH118
            if first and os.path.isfile(path):  # noqa: PTH113
                yield path


def _key(path: str, folder: str) -> str:
    relative = os.path.relpath(path, folder)
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


def _folder_digest(folder: Path) -> str:
    digest = sha256()
    count = 0
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if count == _MOST_IN_FOLDER:
                return digest.hexdigest()[:32]
            count += 1
            path = Path(where, name)
            if path.is_file():
                what = f"{path.relative_to(folder)}\0{path.stat().st_size}\0{_digest(path, _HEAD_BYTES)}\n"
                digest.update(os.fsencode(what))
    return digest.hexdigest()[:32]
