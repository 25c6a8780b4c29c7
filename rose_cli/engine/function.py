"""Calls one function of the user, as a program: `python function.py MODULE:CALLABLE [--name=VALUE …]`.

It runs in the interpreter of the task, in which rose might not be installed, and on nodes that see only the copy of
this file in the run directory: it needs the standard library of Python 3.8 or later, and no other file.
"""

from __future__ import annotations

import json
import math
import operator
import os
import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Any

RETURN_FILE, RESULTS_FILE, AXES = "ROSE_RETURN", "ROSE_RESULTS", "ROSE_AXES"
"""The variables that name the file for what the function returns, and the one with the reports of other tasks."""

PARAMETERS = "ROSE_PARAMETERS"
"""The variable with the parameters of the learner, as JSON."""

PICKLE_SUFFIX = ".pkl"
"""Of the functions of a Python program in a run directory, and of what they returned."""

REPORT_BYTES = 1 << 16
MOST_DEPTH = 400
"""How large and how deeply nested the JSON of a report can be."""
_MOST_ELEMENTS = REPORT_BYTES // 3
"""Of an array: in JSON, each has a character at least, a comma and a space."""


def _workspace() -> object:
    from pathlib import Path

    return Path(os.environ["ROSE_WORKSPACE"])


def _axes() -> dict[str, object]:
    """The name of a replica, and its place on each axis, if replicas have names."""
    found: dict[str, object] = json.loads(os.environ.get(AXES) or "{}")
    return found


def _results() -> object:
    path = os.environ.get(RESULTS_FILE)
    if not path:
        return {}
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        return json.load(file)


def given_parameters() -> dict[str, object]:
    """The parameters of the campaign file, with the learner's own values."""
    found: dict[str, object] = json.loads(os.environ.get(PARAMETERS, "{}"))
    return found


CONTEXT: Mapping[str, Callable[[], object]] = {
    "iteration": lambda: int(os.environ["ROSE_ITERATION"]),
    "learner": lambda: os.environ["ROSE_LEARNER"],
    "seed": lambda: int(os.environ["ROSE_SEED"]),
    "results": _results,
    "workspace": _workspace,
    "replica": lambda: int(os.environ["ROSE_REPLICA"]),
    "attempt": lambda: int(os.environ["ROSE_ATTEMPT"]),
}
"""What a function gets if one of its parameters has that name, unless an option has it too."""

OF_CAMPAIGN = ("parameters", "shared")
"""The same, but only in a campaign that has parameters or a shared workspace: others keep their defaults."""


def _of_campaign() -> dict[str, object]:
    from pathlib import Path

    given = given_parameters()
    shared = {"shared": Path(os.environ["ROSE_SHARED"])} if "ROSE_SHARED" in os.environ else {}
    return {**given, **({"parameters": given} if given else {}), **shared}


class ReturnError(TypeError):
    """The function returned something that is neither a report nor a number."""


def parameter_of(option: str) -> str:
    """The name of the parameter that an option sets: `--n-samples` is `n_samples`."""
    return option.lstrip("-").replace("-", "_")


def call(function: Callable[..., object], options: Mapping[str, object], context: Mapping[str, object]) -> object:
    """Call a function with its options as keyword arguments, and with what it asks for of `context` by name.

    Returns a report, an int or a float, or None. Raises ReturnError if the function returned anything else.
    """
    asked = {name: context[name] for name in parameters_of(function) if name in context}
    value = function(**{**asked, **options})
    if hasattr(value, "__await__") and hasattr(value, "send"):  # of an `async def`
        import asyncio  # rarely needed

        value = asyncio.run(value)  # type: ignore[arg-type]
    return plain(value)


def parameters_of(function: Callable[..., object]) -> Sequence[str]:
    """The names of the parameters that can be set by keyword."""
    code = getattr(function, "__code__", None)
    if code is not None and not hasattr(function, "__wrapped__"):
        count = code.co_argcount + code.co_kwonlyargcount
        names: Sequence[str] = code.co_varnames[code.co_posonlyargcount : count]
        return names
    import inspect  # takes longer than all of the rest

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of a function in C
        return ()
    return [each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]


# --- what it returned ----------------------------------------------------------------------------------------------


def plain(value: object) -> object:
    """A report, a number or None as JSON has them. Raises ReturnError for anything else."""
    if isinstance(value, dict):
        try:
            return _entry(value, "", 0)
        except RecursionError:
            message = "the report is nested too deeply, or contains itself"
            raise ReturnError(message) from None
    number = _scalar(_only_element(value))
    if value is None or (isinstance(number, (int, float)) and not isinstance(number, bool)):
        return number
    message = f"it returned {_kind(value)}: return a dict (the report), a number, or nothing"
    raise ReturnError(message)


def _only_element(value: object) -> object:
    """Of an array or a tensor with exactly one element, that element; anything else unchanged."""
    if not _is_array(value) or not value.shape or math.prod(value.shape) != 1:  # type: ignore[attr-defined]
        return value
    element = value.tolist()  # type: ignore[attr-defined]
    while isinstance(element, list):
        (element,) = element
    return element


def _is_array(value: object) -> bool:
    """Whether it has elements, in lists or alone, as arrays and scalars of numpy and tensors have."""
    return isinstance(getattr(value, "shape", None), tuple) and hasattr(value, "tolist")


def _scalar(value: object) -> object:
    """A number of any library as an int or a float; anything else unchanged."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):  # as numpy's float64 is, which JSON writes in another way
        return int(value) if isinstance(value, int) else float(value)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        item = value.tolist() if hasattr(value, "tolist") else value.item()  # a masked number's item() is 0
        if type(item) is not type(value):
            return _scalar(item)
    return value if getattr(value, "shape", None) and _is_array(value) else _converted(value)


def _converted(value: object) -> object:
    """A number by what Python asks for: an index, or a float as Decimal and Fraction have it."""
    kind = type(value)
    is_complex = getattr(getattr(value, "dtype", None), "kind", None) == "c"  # has a float, without its second part
    is_real = hasattr(kind, "__float__") and not hasattr(value, "__len__") and not is_complex
    for convert in (operator.index, float) if is_real else (operator.index,):
        try:
            return convert(value)  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001, PERF203, S112 - a tensor of floats has __index__, and raises anything
            continue
    return value


def _entry(value: object, place: str, depth: int) -> object:
    """A part of a report as JSON has it, `depth` levels below its top."""
    if depth >= MOST_DEPTH and isinstance(value, (dict, list, tuple)):
        raise RecursionError
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                message = f"the key {key!r:.60} of the report{_at(place)} is {_kind(key)}: keys are strings"
                raise ReturnError(message)
        return {key: _entry(each, f"{place}.{key}" if place else key, depth + 1) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_entry(each, f"{place}.{at}", depth + 1) for at, each in enumerate(value)]
    scalar = _scalar(value)
    if scalar is None or isinstance(scalar, (bool, int, float, str)):
        return scalar
    if _is_array(value):
        return _entry(_elements(value, place), place, depth)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    message = f"the report's '{place}' is {_kind(value)}, which JSON cannot hold"
    raise ReturnError(message)


def _elements(array: Any, place: str) -> object:  # noqa: ANN401 - of any library
    """The nested lists of an array, which might be far larger than a report."""
    if math.prod(max(1, length) for length in array.shape) > _MOST_ELEMENTS:
        shape = " x ".join(f"{length:,}" for length in array.shape)
        message = f"the report's '{place}' is an array of {shape} elements, and {_LIMIT}"
        raise ReturnError(message)
    elements = array.tolist()
    if type(elements) is type(array):
        message = f"the report's '{place}' is {_kind(array)}, which JSON cannot hold"
        raise ReturnError(message)
    return elements


_LIMIT = f"a report has at most {REPORT_BYTES:,} bytes: write it to a file in the workspace"


def _at(place: str) -> str:
    return f" at '{place}'" if place else ""


def _kind(value: object) -> str:
    kind = type(value)
    if isinstance(value, (bool, str)):
        return f"the {'boolean' if isinstance(value, bool) else 'string'} {value!r:.60}"
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"an object of type {module}{kind.__qualname__}"


# --- the program ---------------------------------------------------------------------------------------------------


def main(name: str, *options: str) -> int:
    module, _, attribute = name.partition(":")
    directory, return_file = os.environ["ROSE_CAMPAIGN_DIR"], os.environ[RETURN_FILE]
    own = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    sys.path[: 1 if sys.path and os.path.abspath(sys.path[0]) == own else 0] = [directory]  # noqa: PTH100
    sys.argv[:] = [name]
    try:
        text = _as_json(_called(module, attribute, dict(map(_option, options))))
        code = 0
    except ReturnError as error:
        sys.stderr.write(f"{name}: {error}\n")
        text, code = json.dumps({"raised": str(error)}), 1
    except Exception as error:  # noqa: BLE001 - a task fails with any of them
        trace = _without_own_frames(error.__traceback__)
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        text, code = json.dumps({"raised": _in_a_line(error)}), 1
    with open(return_file, "w", encoding="utf-8", opener=_open_unlinked) as file:
        file.write(text)
    return code


def _as_json(value: object) -> str:
    """The content of the file for what the function returned. Raises ReturnError if it is larger than a report."""
    text = json.dumps(value)
    if len(text) > REPORT_BYTES:
        message = f"what it returned has {len(text):,} bytes, and {_LIMIT}"
        raise ReturnError(message + _largest(value))
    return f'{{"returned": {text}}}'


def _largest(value: object) -> str:
    """Which part of a report takes most of it."""
    sizes = {key: len(json.dumps(each)) for key, each in value.items()} if isinstance(value, dict) else {}
    key = max(sizes, key=sizes.__getitem__, default=None)
    return f" (its '{key:.60}' has {sizes[key]:,} bytes)" if key is not None else ""


def _called(module: str, attribute: str, options: Mapping[str, object]) -> object:
    function = getattr(import_module(module), attribute)
    if not callable(function):
        message = f"'{module}:{attribute}' is {_kind(function)}, which cannot be called"
        raise TypeError(message)
    axes = _axes()
    asked = [name for name in parameters_of(function) if name not in options]
    own = {name: context() for name, context in CONTEXT.items() if name not in axes and name in asked}
    known = {**_of_campaign(), **own, **axes}
    return call(function, options, {name: known[name] for name in asked if name in known})


def _open_unlinked(path: str, flags: int) -> int:
    """Never what a symbolic link in its place names."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _option(word: str) -> tuple[str, object]:
    """From `--name=VALUE`: JSON, or else plain text."""
    name, _, text = word.partition("=")
    try:
        return parameter_of(name), json.loads(text)
    except ValueError:
        return parameter_of(name), text


def _without_own_frames(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that begins in the user's code."""
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, *_IMPORTING):
        trace = trace.tb_next
    return trace


_IMPORTING = (
    "<frozen importlib._bootstrap>",
    "<frozen importlib._bootstrap_external>",
    import_module.__code__.co_filename,
)


def _in_a_line(error: Exception) -> str:
    """As the last line of a traceback."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
