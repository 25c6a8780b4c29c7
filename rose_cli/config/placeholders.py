"""Placeholders in commands: `{learner}` and others, and parameters; a doubled brace stands for a literal one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rose_cli.config.parameters import declared_axes, declared_parameters, is_parameter_name
from rose_cli.util.errors import Diagnostic
from rose_cli.util.text import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PLACEHOLDERS = ("learner", "iteration", "workspace", "campaign_dir", "python", "replica", "seed", "shared")

_TOKEN = re.compile(r"\{\{|\}\}|\{([A-Za-z_]\w*)\}|[{}]")


def placeholder_errors(text: str) -> Iterator[Diagnostic]:
    """Braces that are not doubled and not those of a placeholder."""
    for match in _TOKEN.finditer(text) if "{" in text or "}" in text else ():
        token, name = match.group(0), match.group(1)
        if token in ("{", "}"):
            hint = f"write '{token * 2}' for a literal brace"
            yield _error(f"a single '{token}' is not a placeholder", hint, match)
        elif name is not None and name not in _known():
            hint = _instead_of(name, of_shell=text[: match.start()].endswith("$"))
            yield _error(f"unknown placeholder '{token}'", hint, match)


def _known() -> tuple[str, ...]:
    return (
        *PLACEHOLDERS,
        *sorted(filter(is_parameter_name, declared_parameters() - {*PLACEHOLDERS})),
        *sorted(declared_axes()),
    )


def _error(message: str, hint: str, match: re.Match[str]) -> Diagnostic:
    return Diagnostic("bad-placeholder", message, hint=hint, inside=(match.start(), len(match.group())))


def _instead_of(name: str, *, of_shell: bool) -> str:
    if of_shell:
        return f"write ${{{{{name}}}}} if a shell reads it; rose itself does not expand variables"
    names = _known()
    near = nearest(name, names)
    if near is not None:
        return f"did you mean '{{{near}}}'?"
    known = ", ".join(f"{{{known}}}" for known in names)
    return (
        f"declare it, as in parameters: {{{name}: 10}}; or write {{{{{name}}}}} for literal braces; known are {known}"
    )


def has_placeholder(text: str) -> bool:
    return any(match.group(1) for match in _TOKEN.finditer(text)) if "{" in text else False


def pieces_of(text: str) -> Iterator[tuple[str, str | None, int]]:
    """The parts of `text`: the string, the name if it is a placeholder, and its offset."""
    end = 0
    for match in _TOKEN.finditer(text):
        if match.start() > end:
            yield text[end : match.start()], None, end
        name = match.group(1)
        yield (match.group(0) if name else match.group(0)[0]), name, match.start()
        end = match.end()
    if end < len(text):
        yield text[end:], None, end


def fill_placeholders(text: str, values: Mapping[str, str]) -> str:
    """`text` with `{name}` replaced from `values`; a doubled brace becomes a single one."""

    def replacement(match: re.Match[str]) -> str:
        return values[match.group(1)] if match.group(1) else match.group(0)[0]

    return _TOKEN.sub(replacement, text) if "{" in text or "}" in text else text


def fill_known(text: str, values: Mapping[str, str]) -> str | None:
    """`text` with its placeholders filled in; None if one of them is not among `values`."""
    names = {name for _, name, _ in pieces_of(text) if name is not None}
    return fill_placeholders(text, values) if names <= values.keys() else None
