"""Texts and names: what a campaign, a learner, a task, a variable and an option may be called."""

from __future__ import annotations

from typing import Annotated

from pydantic import PlainValidator

from rose_cli.spec.rejection import Slip, expected, reject, reject_any, shortened
from rose_cli.spec.rules import (
    MAX_NAME_BYTES,
    OWN_VARIABLES,
    folder_fault,
    is_option_name,
    is_task_name,
    is_variable_name,
)


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        hint = f"quote it: '{str(value).lower()}'" if isinstance(value, bool) else None
        reject("wrong-type", expected("a text", value), hint)
    return str(value)


def filled_text(value: object) -> str:
    text = _text(value)
    if not text.strip():
        reject("wrong-type", "expected a text, but it is empty")
    return text


def _lines(value: object) -> tuple[str, ...]:
    """Shell lines, which nothing is filled into: braces are the shell's own."""
    if not isinstance(value, list | tuple):
        return (_text(value),)
    slips = [
        Slip("wrong-type", expected("a line for a shell", line), "write each line as one text", (position,))
        for position, line in enumerate(value)
        if isinstance(line, bool) or not isinstance(line, str | int | float)
    ]
    reject_any(slips)
    return tuple(str(line) for line in value)


def _campaign_name(value: object) -> str:
    name = _text(value)
    if not name.strip() or not name.isprintable() or len(name.encode()) > MAX_NAME_BYTES:
        hint = f"a line of text, up to {MAX_NAME_BYTES} bytes"
        reject("bad-name", f"'{shortened(name)}' cannot name a campaign", hint)
    return name


def _learner_name(value: object) -> str:
    name = _text(value)
    fault = folder_fault(name)
    if fault is not None:
        message = f"'{shortened(name)}' cannot name a learner, whose folder bears the name: {fault[0]}"
        reject("bad-name", message, fault[1])
    return name


def _task_name(value: object) -> str:
    if not isinstance(value, str) or not is_task_name(value):
        hint = "write letters, digits, '_' and '-', beginning with a letter"
        reject("bad-name", f"'{shortened(str(value))}' cannot name a task", hint)
    return value


def _variable_name(value: object) -> str:
    if not isinstance(value, str) or not is_variable_name(value):
        hint = "write letters, digits and '_', beginning with a letter"
        reject("bad-name", f"'{shortened(str(value))}' cannot name an environment variable", hint)
    if value.startswith(OWN_VARIABLES):
        hint = "choose a name that does not begin with ROSE_"
        reject("bad-name", f"'{shortened(value)}' cannot be set: names with ROSE_ are set by rose itself", hint)
    return value


def _option_name(value: object) -> str:
    name = str(value)
    if not is_option_name(name):
        reject("bad-name", f"'{shortened(name)}' cannot name an option", "a word without blanks, like --n_labeled")
    return name


Text = Annotated[str, PlainValidator(_text)]
FilledText = Annotated[str, PlainValidator(filled_text)]
Lines = Annotated[tuple[str, ...], PlainValidator(_lines)]
CampaignName = Annotated[str, PlainValidator(_campaign_name)]
LearnerName = Annotated[str, PlainValidator(_learner_name)]
TaskName = Annotated[str, PlainValidator(_task_name)]
VariableName = Annotated[str, PlainValidator(_variable_name)]
OptionName = Annotated[str, PlainValidator(_option_name)]
