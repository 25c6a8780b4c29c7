"""Texts and names: what a campaign, a learner, a task, a variable and an option may be called."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import PlainValidator

from rose_cli.spec.rejection import Slip, expected, reject, reject_any, shortened

MAX_NAME_BYTES = 100

_TASK_NAME = re.compile(r"[^\W\d][\w-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


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
    # a look-alike, as full-width points, is harmless here, and '..' wherever somebody normalises it
    fault = _folder_fault(name) or _folder_fault(unicodedata.normalize("NFKC", name))
    if fault is not None:
        message = f"'{shortened(name)}' cannot name a learner, whose folder bears the name: {fault[0]}"
        reject("bad-name", message, fault[1])
    return name


def _folder_fault(name: str) -> tuple[str, str] | None:
    """Why a name cannot be that of a folder, and what to do."""
    if not name.strip():
        return "it is empty", "leave 'name' out for the name learner-<index>"
    odd = next((c for c in name if c in "/\\" or not c.isprintable()), None)
    if odd is not None:
        return f"it holds '{shortened(odd)}'", "write - or _ instead"
    if name[0] in "-. " or name[-1] in ". ":
        return f"it begins or ends with '{name[0] if name[0] in '-. ' else name[-1]}'", "take it away"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"it is longer than {MAX_NAME_BYTES} bytes", "shorten it"
    return None


def _task_name(value: object) -> str:
    if not isinstance(value, str) or not _TASK_NAME.fullmatch(value) or len(value.encode()) > MAX_NAME_BYTES:
        hint = "write letters, digits, '_' and '-', beginning with a letter"
        reject("bad-name", f"'{shortened(str(value))}' cannot name a task", hint)
    return value


def _variable_name(value: object) -> str:
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        hint = "write letters, digits and '_', beginning with a letter"
        reject("bad-name", f"'{shortened(str(value))}' cannot name an environment variable", hint)
    if value.startswith("ROSE_"):
        hint = "choose a name that does not begin with ROSE_"
        reject("bad-name", f"'{shortened(value)}' cannot be set: names with ROSE_ are set by rose itself", hint)
    return value


def _option_name(value: object) -> str:
    name = str(value)
    if not name or any(c.isspace() or not c.isprintable() for c in name):
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
