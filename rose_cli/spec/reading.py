"""Where a value stands in what the criterion prints: keys into JSON, and regular expressions."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import PlainValidator

from rose_cli.spec.rejection import expected, reject
from rose_cli.spec.rules import MAX_REGEX_CHARACTERS, regex_fault


def _json_path(value: object) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool):
        reject("wrong-type", expected("keys with points between them", value))
    path = str(value)
    if not all(path.split(".")):
        reject("wrong-value", f"'{path}' holds an empty key", "write keys with points between them, as in val.mse")
    return path


def _regex(value: object) -> str:
    if not isinstance(value, str) or not value:
        reject("wrong-type", expected("a regular expression", value or None))
    if len(value) > MAX_REGEX_CHARACTERS:
        message = f"a regular expression of {len(value)} characters, at most {MAX_REGEX_CHARACTERS} are allowed"
        reject("bad-regex", message, "make it shorter")
    fault = regex_fault(value)
    if isinstance(fault, re.error):
        place = min(fault.pos or 0, len(value) - 1)
        hint = "put a \\ before a sign that stands for itself; Python's re module has the syntax"
        reject("bad-regex", f"this is no regular expression: {fault.msg}", hint, inside=(place, 1))
    if fault is not None:
        reject("bad-regex", fault, "make it shorter")
    return value


JsonPath = Annotated[str, PlainValidator(_json_path)]
Regex = Annotated[str, PlainValidator(_regex)]
