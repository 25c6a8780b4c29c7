"""Checks options and arguments for values that are valid, but that the program probably gets in another way than meant.

Every check here is a guess, so each gives a warning, which the user can answer.
"""

from __future__ import annotations

import os
import re
from functools import cached_property
from itertools import chain
from pathlib import PurePath
from typing import TYPE_CHECKING

from rose_cli.check.literals import FOR_A_SHELL, check_lines, check_sign, check_variables
from rose_cli.config.expression.compiler import parse
from rose_cli.config.expression.parser import ExpressionError
from rose_cli.config.models import TaskFields
from rose_cli.config.synonyms import synonym
from rose_cli.plan.words import base_name
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Diagnostic, KeyPath, Severity
from rose_cli.util.text import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.config.models import Campaign
    from rose_cli.plan.context import CheckContext

_LOOKS_COMPUTED = re.compile(r"(?=.*\bi\b)(?=.*([*+/%(]| - ))")

_FULL_PATH = (
    'no shell reads this: write an absolute path, or "{campaign_dir}/…" for a file beside the campaign; '
    "or put it into 'executable' and set shell: true"
)

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"

_NUMBERS = re.compile(rf"{_NUMBER}(?:\s*,\s*{_NUMBER}|\s+{_NUMBER})+")

_OPTION_AND_MORE = re.compile(r"--?[A-Za-z][\w.-]*\s+\S.*", re.DOTALL)

_FEW_WORDS = re.compile(r"[a-z0-9_][\w.+-]*(?:\s+[a-z0-9_][\w.+-]*){1,4}")
"""Lower-case words without punctuation: more of them, or a capital first letter, are a sentence or a title."""

_SMALL_WORDS = re.compile(r"\b(?:an?|and|are|as|at|by|for|from|in|into|is|it|no|not|of|on|or|the|this|to|was|with)\b")

TAKES_A_PATTERN = re.compile(r"glob|pattern|include|exclude|regex|filter|match|mask|wildcard|ignore", re.IGNORECASE)

_IS_WRITTEN = re.compile(r"out|save|dest|log|write|result|export|dump|cache|tmp|checkpoint", re.IGNORECASE)

_IS_PATH = re.compile(r"path|dir(?:ectory)?(?![a-z])|file|folder|data|input", re.IGNORECASE)

_TAKE_PLAIN_WORDS = frozenset({"dd", "make", "env", "expr", "test", "ip", "find", "ninja", "scons", "cmake"})
"""Programs whose arguments often have no dashes."""

_PLAIN_NAME = re.compile(r"[A-Za-z_][\w.-]*")

_LONG = 200
"""A longer text is not examined: it is one string, such as a text or code, and the patterns would take too long."""

_PATH_WITH_WILDCARDS = re.compile(r"[\w./{}~*?-]+")

_OWN_DIRECTORY = re.compile(r"(?:\.{1,2}/?)+")


@dataclass
class ArgumentChecker:
    campaign: Campaign
    ctx: CheckContext

    def check(self, fields: TaskFields, path: KeyPath, declared: TaskFields | None = None) -> Iterator[Diagnostic]:
        """Check what one layer sets of a command; `declared` is the task that it overrides."""
        yield from check_lines(fields.pre_exec, (*path, "pre_exec"), self.ctx.campaign_dir)
        calls = calls_function(fields, declared)
        for position, argument in enumerate(fields.args or ()):
            yield from self._check_text(argument, "", (*path, "args", position))
        for name, value in (fields.options or {}).items():
            at = (*path, "options", name)
            yield from _check_computed(name, value, at)
            for below, text in _texts(value):
                yield from self._check_text(text, name, (*at, *below), is_one=calls)
        if not calls:
            yield from self._check_names(fields, path, declared)
        yield from self._check_words(fields, path)
        yield from check_variables(fields.env, (*path, "env"))

    # --- values ----------------------------------------------------------------------------------------------------

    def _check_text(self, text: str, name: str, path: KeyPath, *, is_one: bool = False) -> Iterator[Diagnostic]:
        """`is_one`: a text with spaces is clearly one value, as for a function."""
        if found := FOR_A_SHELL.search(text):
            message = f"'{found[1]}' is passed literally: rose expands neither variables nor '~'"
            yield Diagnostic("shell-sign", message, path, _FULL_PATH, Severity.WARNING)
        elif is_wildcard(text) and not TAKES_A_PATTERN.search(name):
            message = f"'{text}' is passed literally: rose does not expand wildcards"
            hint = "name the files or their directory, or write a shell line in 'executable', with shell: true"
            yield Diagnostic("shell-sign", message, path, hint, Severity.WARNING)
        elif any(c.isspace() for c in text[:_LONG]) and not self.ctx.is_quoted(path):
            if is_one:
                return
            yield from _check_spaces(text, path, is_argument=not name)
        elif self._is_only_beside(text, name) and not _IS_WRITTEN.search(name):
            file = os.path.normpath(text)
            message = f"'{text}' is looked up in the workspace, where the task runs, not beside the campaign file"
            hint = f'write "{{campaign_dir}}/{file}"'
            hint += "" if file.startswith("..") else f", or add {file} to 'files:'"
            yield Diagnostic("relative-path", message, path, hint, Severity.WARNING)
        yield from check_sign(text, path)

    def _is_only_beside(self, text: str, name: str) -> bool:
        """Whether a relative path exists beside the campaign file, and no workspace starts with it."""
        looks_like_path = "/" in text or PurePath(text).suffix not in ("", ".") or _IS_PATH.search(name) is not None
        if not looks_like_path or text.startswith("/") or "{" in text or _OWN_DIRECTORY.fullmatch(text):
            return False
        path = PurePath(os.path.normpath(text))
        is_given = not self._given.isdisjoint({path, *path.parents})
        return not is_given and os.path.exists(self.ctx.campaign_dir / text)  # noqa: PTH110 - does not raise

    @cached_property
    def _given(self) -> frozenset[PurePath]:
        """The paths of all `files` of the campaign and of the learners in their workspaces, and what is in them."""
        files = chain(self.campaign.files, *(learner.files or () for learner in self.campaign.learners))
        return frozenset(PurePath(os.path.normpath(file.to or file.path)) for file in files)

    def _check_words(self, fields: TaskFields, path: KeyPath) -> Iterator[Diagnostic]:
        """Words of `executable`; `programs` checks those that a shell would split."""
        line = None if fields.shell else fields.executable
        for position, word in enumerate(line.words if line is not None else ()):
            place, inside = line.place(position) if line is not None else ((), None)
            at = (*path, "executable", *place)
            yield from check_sign(word, at, inside=inside)
            if position and place and _OPTION_AND_MORE.fullmatch(word) and not self.ctx.is_quoted(at):
                yield from _check_spaces(word, at, is_argument=True)

    # --- names -----------------------------------------------------------------------------------------------------

    def _check_names(self, fields: TaskFields, path: KeyPath, declared: TaskFields | None) -> Iterator[Diagnostic]:
        names = {name: (*path, key, name) for key in ("options", "adaptive") for name in getattr(fields, key) or {}}
        known = names_of(declared) if declared is not None else []
        for name, at in names.items():
            yield from check_sign(name, at, at_key=True)
            yield from _check_value_in_name(name, (fields.options or {}).get(name, True), at)
        others = {name: other for name in names if name not in known and (other := same_option(name, known))}
        for name, other in others.items():
            is_null = name in (fields.options or {}) and (fields.options or {})[name] is None
            effect = "null removes nothing" if is_null else "the command gets both"
            message = f"the option '{name}' is not the task's '{other}': {effect}"
            hint = f"write {other} to {'remove' if is_null else 'override'} it"
            yield Diagnostic("similar-option", message, names[name], hint, Severity.WARNING, at_key=True)
        bare = [name for name in names if _PLAIN_NAME.fullmatch(name) and name not in (*known, *others)]
        if bare and not self._takes_plain_words(fields, declared):
            yield _without_dashes(bare, fields, names[bare[0]])

    @staticmethod
    def _takes_plain_words(fields: TaskFields, declared: TaskFields | None) -> bool:
        layers = [layer for layer in (fields, declared) if layer is not None and layer.executable is not None]
        words = layers[0].executable.words if layers and layers[0].executable else ()
        programs = words[0].split() if layers and layers[0].shell and words else words[:1]
        return any(base_name(word) in _TAKE_PLAIN_WORDS for word in programs)


def calls_function(fields: TaskFields, declared: TaskFields | None) -> bool:
    lines = [layer.executable for layer in (fields, declared) if layer is not None and layer.executable is not None]
    return bool(lines) and lines[0].function


def names_of(fields: TaskFields) -> list[str]:
    """The options of a task, including those that are words of its command or its `args`."""
    words = fields.executable.words[1:] if fields.executable is not None and not fields.shell else ()
    written = (word.partition("=")[0] for word in (*words, *(fields.args or ())) if word.startswith("-"))
    return [*(fields.options or {}), *(fields.adaptive or {}), *written]


def same_option(name: str, known: list[str]) -> str | None:
    """The known name that differs only in case, dashes or underscores; short options such as -v and -V do not count."""
    return next((other for other in known if _folded(other) == _folded(name) and not _is_short(name, other)), None)


def _folded(name: str) -> str:
    return name.strip("-=").replace("-", "_").casefold()


def _is_short(*names: str) -> bool:
    return all(len(name) == 2 and name[0] == "-" for name in names)


def is_wildcard(text: str) -> bool:
    """`*.npz`, `data/*.csv`, `frame_??.xyz`, `model.*`; not `*` alone, and no regular expression such as `.*\\.npz`."""
    if len(text) > _LONG or not _PATH_WITH_WILDCARDS.fullmatch(text) or not ("*" in text or "?" in text):
        return False
    before, _, name = text.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    is_regex = ".*" in text.removesuffix(".*") or ".?" in text or text.startswith((".*", "?"))
    return not is_regex and bool(before or (dot and stem and suffix))


def _texts(value: object) -> Iterator[tuple[tuple[int, ...], str]]:
    if isinstance(value, str):
        yield (), value
    elif isinstance(value, tuple):
        yield from (((position,), entry) for position, entry in enumerate(value) if isinstance(entry, str))


def _check_computed(name: str, value: object, path: KeyPath) -> Iterator[Diagnostic]:
    """`--n: 100 + i*50` outside of `adaptive`."""
    if isinstance(value, str) and _LOOKS_COMPUTED.match(value) and _is_expression(value):
        message = f"'{value}' is passed as plain text: expressions are evaluated only under 'adaptive'"
        hint = f"write adaptive: {{{name}: {value}}}"
        yield Diagnostic("computed-option", message, path, hint, Severity.WARNING)


def _is_expression(text: str) -> bool:
    try:
        return "i" in parse(text).names
    except ExpressionError:
        return False


def _check_spaces(text: str, path: KeyPath, *, is_argument: bool) -> Iterator[Diagnostic]:
    """`--hidden: 32 32`, `args: [--n 5]`."""
    if len(text) > _LONG:
        return
    are_numbers = _NUMBERS.fullmatch(text.strip()) is not None
    are_words = _FEW_WORDS.fullmatch(text) is not None and _SMALL_WORDS.search(text) is None
    words = re.split(r"[\s,]+", text.strip()) if are_numbers else text.split()
    if not (are_numbers or are_words or _OPTION_AND_MORE.fullmatch(text)) or len(words) < 2:
        return
    count = "two" if len(words) == 2 else str(len(words))
    written = ", ".join(words) if len(words) <= 8 else f"{words[0]}, {words[1]}, …"
    is_entry = is_argument or isinstance(path[-1], int)
    hint = f"for {count} arguments write {written if is_entry else f'[{written}]'}; for one, put it in quotes"
    message = f"'{text}' is passed as one argument that contains {'a space' if len(text.split()) == 2 else 'spaces'}"
    yield Diagnostic("one-argument", message, path, hint, Severity.WARNING)


def _check_value_in_name(name: str, value: object, path: KeyPath) -> Iterator[Diagnostic]:
    """`--mom=0.9: true`: a layer above that sets `--mom` would add an option, not replace this one."""
    option, equals, given = name.partition("=")
    if not (option and equals and given) or value is None:
        return
    message = f"the option '{name}' has its value in its name: '{option}' elsewhere would not replace it"
    hint = f"write {option}: {given}, or '{option}=': {given} if the program needs the equals sign"
    hint = hint if option.startswith("-") else f"write '{option}=': {given}"
    if value is not True:
        message = f"the command gets '{name}' and then '{value}' as another argument"
    yield Diagnostic("value-in-name", message, path, hint, Severity.WARNING, at_key=True)


def _without_dashes(names: list[str], fields: TaskFields, path: KeyPath) -> Diagnostic:
    """`options: {lr: 0.1}`: reported once for each mapping."""
    first = names[0]
    value = (fields.options or {}).get(first)
    shown = "…" if value is None or isinstance(value, tuple) else str(value).lower() if value is True else str(value)
    words = first if value is True else f"{first} {shown}"
    dashed = f"-{first}" if len(first) == 1 else f"--{first}"
    listing = listed([f"'{name}'" for name in names], 4)
    message = f"{listing} {'has' if len(names) == 1 else 'have'} no dashes: the command gets '{words}'"
    hint = f"write {dashed}: {shown}, or '{first}=': {shown} to pass {first}={shown}"
    meant = synonym(first, TaskFields) or ""
    if meant.startswith("did you mean") and "'options'" not in meant:
        hint += f"; or {meant}"
    return Diagnostic("no-dashes", message, path, hint, Severity.WARNING, at_key=True)
