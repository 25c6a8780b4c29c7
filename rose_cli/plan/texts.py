"""What is handed to tasks as it stands, although something else was meant: formulas, `~` and `$HOME`, curly quotes."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from rose_cli.diagnostic import Finding, KeyPath, Severity
from rose_cli.spec.expression import ExpressionError, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rose_cli.spec.campaign import TaskFields

_LOOKS_COMPUTED = re.compile(r"(?=.*\bi\b)(?=.*([*+/%(]| - ))")
_HOME = r"~(?:[\w.-]*/|(?=:|$))[^:=]*"
# the dynamic linker knows three of its own
_VARIABLE = r"\$(?!\{*(?:ORIGIN|LIB|PLATFORM)\b)(?:\{+\w+[^{}]*\}+|\([^()]+\)|[A-Za-z_]\w*)[^:=]*"
# at the beginning, in a list such as PATH, or in --name=value
_FOR_A_SHELL = re.compile(f"(?:^|[:=])({_HOME}|{_VARIABLE}|`[^`]+`)")
_DASHES = "\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{FIGURE DASH}\N{EN DASH}\N{EM DASH}\N{HORIZONTAL BAR}\N{MINUS SIGN}"
# curly quotes, low ones, and those that point
_TYPOGRAPHIC = re.compile(f"-?[{_DASHES}](?=[^\\W\\d]|-)|[\u2018-\u201f\u00ab\u00bb]")

_WHOLE_PATH = "no shell reads this: write the whole path, or begin with {campaign_dir} or {workspace}"


_SOURCED = re.compile(r"(?:^|[;&|]\s*)(?:source|\.)\s+([\"']?)([\w.][\w./+ -]*?)\1(?=\s|$|[;&|])")


def check_texts(fields: TaskFields, path: KeyPath, campaign_dir: Path) -> Iterator[Finding]:
    """What one layer gives of a command."""
    yield from check_lines(fields.pre_exec, (*path, "pre_exec"), campaign_dir)
    for position, argument in enumerate(fields.args or ()):
        yield from _check_text(argument, (*path, "args", position))
    for name, value in (fields.options or {}).items():
        at = (*path, "options", name)
        yield from _check_computed(name, value, at)
        yield from _check_sign(name, at, at_key=True)
        for below, text in _texts(value):
            yield from _check_text(text, (*at, *below))
    for name in fields.adaptive or {}:
        yield from _check_sign(name, (*path, "adaptive", name), at_key=True)
    line = None if fields.shell else fields.executable
    for position, word in enumerate(line.words if line is not None else ()):
        place, inside = line.place(position) if line is not None else ((), None)
        yield from _check_sign(word, (*path, "executable", *place), inside=inside)
    yield from check_variables(fields.env, (*path, "env"))


def check_variables(variables: Mapping[str, str | None] | None, path: KeyPath) -> Iterator[Finding]:
    for name, value in (variables or {}).items():
        if value is not None and (found := _FOR_A_SHELL.search(value)):
            message = f"'{found[1]}' is handed on as it stands: rose fills in no variables and no '~'"
            hint = f'write the whole path, or under pre_exec: export {name}="{_for_export(value)}"'
            yield Finding("shell-sign", message, (*path, name), hint, Severity.WARNING)


def check_lines(lines: Sequence[str] | None, path: KeyPath, campaign_dir: Path) -> Iterator[Finding]:
    """`source .venv/bin/activate`: the lines run in the workspace, which has no such file."""
    for line in lines or ():
        for _, name in _SOURCED.findall(line):
            if os.path.isfile(campaign_dir / name):  # noqa: PTH113 - pathlib's raises for a name too long
                message = f"'{name}' is looked up in the workspace, where the lines of pre_exec run"
                hint = f'write "$ROSE_CAMPAIGN_DIR/{name}", or bring it along with files:'
                yield Finding("relative-path", message, path, hint, Severity.WARNING)


def _for_export(value: str) -> str:
    """As a shell takes it within double quotes, where it fills in no `~`."""
    plain = value.replace("{{", "{").replace("}}", "}")
    return re.sub(r"(^|[:=])~(?=/|:|$)", r"\1$HOME", plain)


def _texts(value: object) -> Iterator[tuple[tuple[int, ...], str]]:
    if isinstance(value, str):
        yield (), value
    elif isinstance(value, tuple):
        yield from (((position,), entry) for position, entry in enumerate(value) if isinstance(entry, str))


def _check_text(text: str, path: KeyPath) -> Iterator[Finding]:
    if found := _FOR_A_SHELL.search(text):
        message = f"'{found[1]}' is handed on as it stands: rose fills in no variables and no '~'"
        yield Finding("shell-sign", message, path, _WHOLE_PATH, Severity.WARNING)
    yield from _check_sign(text, path)


def _check_sign(
    word: str, path: KeyPath, *, at_key: bool = False, inside: tuple[int, int] | None = None
) -> Iterator[Finding]:
    """`—rate` and `“text”`: word processors and web pages write them, programs do not know them."""
    if found := _TYPOGRAPHIC.match(word):
        sign = found[0][-1]
        meant = f"write --{word[found.end() :].lstrip('-')} or -{word[found.end() :].lstrip('-')}"
        what, hint = ("hyphen", meant) if sign in _DASHES else ("quote", "write ' or \" where a quote is meant")
        message = f"'{sign}' (U+{ord(sign):04X}) is no {what}: the program gets it as it stands"
        yield Finding("typographic-sign", message, path, hint, Severity.WARNING, at_key=at_key, inside=inside)


def _check_computed(name: str, value: object, path: KeyPath) -> Iterator[Finding]:
    """`--n: 100 + i*50` outside of `adaptive`."""
    if isinstance(value, str) and _LOOKS_COMPUTED.match(value) and _is_expression(value):
        message = f"'{value}' is handed on as a text: only under 'adaptive' it is computed"
        hint = f"write adaptive: {{{name}: {value}}}"
        yield Finding("computed-option", message, path, hint, Severity.WARNING)


def _is_expression(text: str) -> bool:
    try:
        return "i" in parse(text).names
    except ExpressionError:
        return False
