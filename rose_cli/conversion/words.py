"""A command of ROSE, whose `{name}` Python's `str.format` fills from the parameters, as a command of rose."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rose_cli.config.expression.functions import SHAPES
from rose_cli.config.expression.parser import CONSTANTS, NAMES
from rose_cli.config.expression.references import ROOTS
from rose_cli.config.parameters import is_parameter_name
from rose_cli.config.placeholders import PLACEHOLDERS
from rose_cli.util.errors import Diagnostic
from rose_cli.util.text import did_you_mean, listed, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rose_cli.conversion.spec import TaskSpec

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")

INJECTED = {"iteration": "{iteration}", "learner_label": "{learner}", "learner_id": "{learner_id}"}
"""What ROSE sets itself, and what takes its place in rose; `learner_id` becomes a parameter."""


def is_parameter(name: str, value: object) -> bool:
    """Whether it can be a parameter of a campaign, and reaches a command letter by letter as in ROSE."""
    is_taken = name in (*PLACEHOLDERS, *NAMES, *CONSTANTS, *SHAPES, *ROOTS)
    return is_parameter_name(name) and not is_taken and isinstance(value, str | int | float)


def escaped(text: str) -> str:
    """Without placeholders."""
    return text.replace("{", "{{").replace("}", "}}")


def command_of(task: TaskSpec, parameters: Mapping[str, Any]) -> tuple[str, set[str], list[Diagnostic]]:
    """The command, the names of what ROSE would fill in, and the mistakes in it."""
    used: set[str] = set()
    found: list[Diagnostic] = []

    def replacement(match: re.Match[str]) -> str:
        token, name = match[0], match[1]
        if token in ("{{", "}}"):
            return token
        known = name in INJECTED or name in parameters
        if not known:
            found.append(_mistake(task, match, parameters))
            return ""
        used.add(name)
        return INJECTED[name] if name in INJECTED else _filled(name, parameters[name])

    return _TOKEN.sub(replacement, task.text), used, found


def stays_a_parameter(name: str, value: object) -> bool:
    """Whether a command of rose has the placeholder, and not the value itself: ROSE splits one of several words."""
    is_word = not isinstance(value, bool) and not re.search(r"[\s'\"\\]", str(value))
    return is_parameter(name, value) and is_word and value != ""


def _filled(name: str, value: object) -> str:
    """The placeholder, or the text that Python would put there."""
    return f"{{{name}}}" if stays_a_parameter(name, value) else escaped(str(value))


def _mistake(task: TaskSpec, match: re.Match[str], parameters: Mapping[str, Any]) -> Diagnostic:
    token, name = match[0], match[1]
    if name is None:
        message, hint = f"a single '{token}' fails in ROSE", f"write '{token * 2}' for a literal brace"
    elif re.match(r"\w+[!:.\[]", name):
        message = f"rose fills in values as they are: it has no '{shortened(token)}'"
        hint = "write the value itself, or let the program format it"
    else:
        message = f"there is no parameter '{shortened(name)}'"
        names = [*parameters, *INJECTED]
        hint = did_you_mean(name, names) or f"known here: {listed(names, 10)}"
    return Diagnostic("bad-placeholder", message, (*task.path, "command"), hint, inside=(match.start(), len(token)))
