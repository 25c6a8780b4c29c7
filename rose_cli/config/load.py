"""From a document to a campaign and all errors in it, each with its location."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from rose_cli.config.declared import declared_in
from rose_cli.config.models import LEARNER_KEYS, TASK_SECTIONS, Campaign, Smoke
from rose_cli.config.parameters import declared, declared_axes_are
from rose_cli.config.recovery import NO_PATHS, InvalidPaths
from rose_cli.config.sweep import SAMPLED
from rose_cli.config.validation import NESTED, diagnostics_of, unknown_task, value_at
from rose_cli.config.yaml.syntax_errors import LEFT_OVER
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Diagnostic, KeyPath, Span

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from rose_cli.config.document import Document, SourceLocation

MAX_ROUNDS = 8


@dataclass(frozen=True)
class Loaded:
    """The campaign of a document, with stand-ins for invalid values; None if that was not possible."""

    campaign: Campaign | None
    diagnostics: tuple[Diagnostic, ...]
    invalid: InvalidPaths


def load(document: Document, invalid: InvalidPaths = NO_PATHS) -> Loaded:
    """Find all errors in one go: report invalid values, replace them, and validate the rest again.

    `invalid` are the paths that were already found invalid when the document was parsed.
    """
    data, tasks = document.data, declared_tasks(document)
    names = declared_in(document.data)
    diagnostics: list[Diagnostic] = []
    removed: set[KeyPath] = set()
    repairs: set[KeyPath] = set()
    _build_models()
    for _ in range(MAX_ROUNDS):
        try:
            with declared(names.parameters), declared_axes_are(names.axes):
                return Loaded(Campaign.model_validate(data), tuple(diagnostics), invalid)
        except ValidationError as error:
            found = _about_tasks(diagnostics_of(error, data), data, tasks)
        diagnostics += [each for each in _telling(found, invalid) if not _is_emptied(each, removed)]
        removed |= {each.path[:length] for each in found for length in range(len(each.path))}
        invalid = invalid.with_paths(path for diagnostic in found for path in _invalid_paths(diagnostic))
        data = repaired(data, [_wider(each, repairs) for each in found])
        repairs |= {each.path for each in found}
    return Loaded(None, tuple(diagnostics), invalid)


def _wider(diagnostic: Diagnostic, repairs: Collection[KeyPath]) -> Diagnostic:
    """About what is around it, if no stand-in for the value itself was right."""
    path = diagnostic.path
    return replace(diagnostic, path=path[:-1], at_key=False) if path in repairs and len(path) > 1 else diagnostic


@cache
def _build_models() -> None:
    """Without plugins of pydantic: looking for them takes as long as the building, and what others install is none of a
    campaign file's business."""
    name, loader = "pydantic.plugin._loader", ModuleType("loader without plugins")
    vars(loader)["get_plugins"] = tuple
    if name not in sys.modules:
        sys.modules[name] = loader
    try:
        Campaign.model_rebuild()
    finally:
        if sys.modules.get(name) is loader:
            del sys.modules[name]


def declared_tasks(document: Document) -> frozenset[str]:
    """The names of all tasks that the file declares, including invalid ones."""
    return frozenset(str(name) for section in TASK_SECTIONS for name in _keys_below(document, section))


def _keys_below(document: Document, key: str) -> Iterable[object]:
    below = document.data.get(key) if isinstance(document.data, dict) else None
    return below if isinstance(below, dict) else ()


def located(document: Document, diagnostic: Diagnostic) -> Diagnostic:
    """The diagnostic with the file and the span of its path."""
    file, around = document.locate(diagnostic.path)
    hint = diagnostic.hint if file == document.name else _hint_on_command_line(diagnostic)
    return replace(diagnostic, hint=hint, file=file, span=span_of(document, diagnostic) or around)


def without_consequences(diagnostics: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Without a key that has no value in what is wrong as a whole: `replicas: {models}`, `{python} sim.py`."""
    wrong = [each for each in diagnostics if each.code in ("wrong-type", "yaml-syntax") and each.span is not None]
    return tuple(
        each
        for each in diagnostics
        if each.code != "missing-value" or not any(_is_inside(each, other) or _follows(each, other) for other in wrong)
    )


def _follows(inner: Diagnostic, other: Diagnostic) -> bool:
    """Whether `other` is what follows a mapping that would be the start of a string: `{python} sim.py`."""
    if inner.span is None or other.span is None or other.message != LEFT_OVER:
        return False
    gap = other.span.column - inner.span.end_column
    return inner.file == other.file and inner.span.end_line == other.span.line and 0 < gap <= 2


def _is_inside(inner: Diagnostic, outer: Diagnostic) -> bool:
    if inner.span is None or outer.span is None or inner.file != outer.file or inner.span == outer.span:
        return False
    start, end = (outer.span.line, outer.span.column), (outer.span.end_line, outer.span.end_column)
    return start <= (inner.span.line, inner.span.column) and (inner.span.end_line, inner.span.end_column) <= end


_ENTRY = re.compile(r"' is entry (\d+) of '(any|all)'")


def _hint_on_command_line(diagnostic: Diagnostic) -> str | None:
    """The hint for a value of `--set`, which overrides the keys of the file."""
    hint, path = diagnostic.hint or "", diagnostic.path
    if diagnostic.code == "unknown-key" and hint.startswith("remove it: '"):
        return f"did you mean '{hint.split(chr(39))[1]}'?"
    if diagnostic.code == "unknown-key" and hint.startswith("put it into an entry of '"):
        entry = ".".join(map(str, (*path[:-1], hint.split("'")[1], 0, path[-1])))
        return f"write {entry} for the first criterion"
    if diagnostic.code == "unknown-key" and (found := _ENTRY.search(hint)) is not None:
        return f"write {'.'.join(map(str, (*path[:-1], found[2], found[1])))} in place of {'.'.join(map(str, path))}"
    if diagnostic.code == "unknown-key" and hint.startswith("valid keys: executable"):
        dashed = f"-{path[-1]}" if len(str(path[-1])) == 1 else f"--{path[-1]}"
        return f"for an option write {path[-2]}.{dashed}; {hint}"
    if diagnostic.code == "wrong-type" and diagnostic.message.endswith("not a mapping"):
        return "put quotes around a key that contains a dot: --set 'options.\"model.lr\"=0.1'"
    return diagnostic.hint


# --- which errors to report ----------------------------------------------------------------------------------------


def _is_emptied(diagnostic: Diagnostic, removed: Collection[KeyPath]) -> bool:
    """Whether a mapping or list has no entries only because the wrong ones, `removed` from it, were reported."""
    return diagnostic.message.endswith("got none") and diagnostic.path in removed


def _telling(found: Sequence[Diagnostic], invalid: InvalidPaths) -> list[Diagnostic]:
    """Without errors that follow from others: from an earlier round, a misspelt key, or an invalid key."""
    guesses = {(*f.path[:-1], _IN_PLACE_OF.get(guess := _guess(f), guess)) for f in found}
    guesses |= {(home[1], f.path[0]) for f in found if len(f.path) == 1 and (home := _HOME.search(f.hint or ""))}
    keys = InvalidPaths(frozenset(f.path for f in found if f.at_key))
    return [
        each
        for each in found
        if not invalid.hide(each)
        and not (each.code == "missing-key" and each.path in guesses)
        and not (keys.hide(each) and not each.at_key)
    ]


_HOME = re.compile(r"it belongs under '(\w+)'")

_IN_PLACE_OF = {"function": "executable"}
"""A key that makes another one, which is required, superfluous."""


def _guess(diagnostic: Diagnostic) -> str:
    """The key that was meant."""
    return diagnostic.hint.split("'")[1] if diagnostic.hint and diagnostic.hint.startswith("did you mean '") else ""


def _invalid_paths(diagnostic: Diagnostic) -> list[KeyPath]:
    if (diagnostic.hint or "").startswith(NESTED):
        return [diagnostic.path, *((*diagnostic.path[:-1], key) for key in ("metric", "executable"))]
    home = _HOME.search(diagnostic.hint or "") if len(diagnostic.path) == 1 else None
    elsewhere: list[KeyPath] = [] if home is None else [(home[1], *diagnostic.path)]
    meant = [(*diagnostic.path[:-1], _guess(diagnostic))] if _guess(diagnostic) else []
    return [diagnostic.path, *meant, *elsewhere]


def _about_tasks(found: Sequence[Diagnostic], data: Any, tasks: frozenset[str]) -> list[Diagnostic]:  # noqa: ANN401
    """With one diagnostic on the key where a learner's `nme: a` was taken for the options of a task `nme`."""
    misnamed = {path for each in found if (path := _task_path(each.path)) and _is_misnamed(path, data, tasks)}
    once = {str(name) for part in ("setup", "finish") for name in _names_below(data, part)}
    unknown = [unknown_task(str(path[-1]), path, tasks, value_at(path[:-1], data), once) for path in misnamed]
    return [each for each in found if _task_path(each.path) not in misnamed] + unknown


def _names_below(data: Any, section: str) -> Iterable[object]:  # noqa: ANN401
    below = data.get(section) if isinstance(data, dict) else None
    return below if isinstance(below, dict) else ()


def _task_path(path: KeyPath) -> KeyPath | None:
    """The part of a path that leads to the key of a task, in a learner or in `smoke`."""
    length = {"learners": 3, "smoke": 2}.get(str(path[0])) if path else None
    return path[:length] if length and len(path) >= length else None


def _is_misnamed(path: KeyPath, data: Any, tasks: frozenset[str]) -> bool:  # noqa: ANN401
    own = LEARNER_KEYS if path[0] == "learners" else Smoke.model_fields
    is_map = isinstance(value_at(path, data), dict) and path[-1] not in Campaign.model_fields
    return bool(tasks) and path[-1] not in tasks and path[-1] not in own and not is_map


# For keys that a model requires. Later errors about them are not shown.
_FILLERS: dict[str, Any] = {
    "tasks": {},
    "learners": [{}],
    "executable": "{python}",
    "function": "module:name",
    "metric": "metric",
    "path": "file",
    "times": 0,
    "after_converged": 1,
    "max_learners": 1,
    "rule": "median",
}


def repaired(data: Any, diagnostics: Iterable[Diagnostic]) -> Any:  # noqa: ANN401 - plain values
    """A copy of `data` in which invalid values are removed or replaced."""
    data = _copied(data)
    if any(diagnostic.path == ("sweep",) for diagnostic in diagnostics):
        data.setdefault("learners", 1)  # which a sweep makes superfluous
    for path, is_key in sorted({_cut(diagnostic) for diagnostic in diagnostics}, key=lambda cut: -len(cut[0])):
        if path:
            _replace_invalid(data, path, is_key=is_key)
    return data


def _copied(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _copied(entry) for key, entry in value.items()}
    return [_copied(entry) for entry in value] if isinstance(value, list) else value


def _cut(diagnostic: Diagnostic) -> tuple[KeyPath, bool]:
    return diagnostic.path, diagnostic.at_key


def _any_criterion(place: str | int) -> dict[str, Any]:
    return {"metric": f"metric-{place}", "operator": "<", "threshold": 0, "executable": "{python}"}


def _replace_invalid(data: Any, path: KeyPath, *, is_key: bool) -> None:  # noqa: ANN401
    is_axis = path[0] == "sweep" and len(path) > 2 and (len(path) == 3 or path[1] in SAMPLED)
    if is_axis and not (is_key and len(path) == 3):
        data["sweep"][path[1]][path[2]] = [1]  # both bounds of a range, or none
        return
    for part in path[:-1]:
        data = data[part]
    last = path[-1]
    if isinstance(data, list) and path[-2] in ("any", "all"):
        data[int(last)] = _any_criterion(last)
    elif isinstance(data, list):
        data[int(last)] = {} if path[0] == "learners" and len(path) == 2 else f"item-{last}"
    elif not isinstance(data, dict):
        return
    elif is_key:
        data.pop(last, None)
    elif path[-2:-1] == ("stop",) and last in ("any", "all"):
        data[last] = [_any_criterion(0)]
    elif path[0] in TASK_SECTIONS and len(path) == 2:
        data[last] = {"executable": "{python}"}
    elif last in _FILLERS:
        data[last] = _FILLERS[str(last)]
    else:
        data.pop(last, None)


def span_of(document: Document, diagnostic: Diagnostic) -> Span | None:
    """None if nothing better is known than the nearest value around it."""
    path = as_written(document, diagnostic.path)
    if diagnostic.at_key:
        return document.key_span(path)
    if not is_there(document, path):
        return _head(document, path[:-1])
    if diagnostic.inside is not None:
        return _inside(document, path, *diagnostic.inside)
    span = document.value_span(path)
    is_empty = (span.line, span.column) == (span.end_line, span.end_column)
    return document.key_span(path) if is_empty else span


def as_written(document: Document, path: KeyPath) -> KeyPath:
    """Without `options` or `path` if the user wrote a bare mapping of options, or the bare path of a file.

    With `function` for an `executable` that is not written.
    """
    if "executable" in path and not is_there(document, path):
        called = tuple("function" if part == "executable" else part for part in path)
        path = called if is_there(document, called) else path
    for key in ("options", "path"):
        if key in path and not is_there(document, path):
            at = path.index(key)
            bare = (*path[:at], *path[at + 1 :])
            path = bare if is_there(document, bare) else path
    return path


def is_quoted(document: Document, path: KeyPath) -> bool:
    return document.is_quoted(as_written(document, path))


def is_there(document: Document, path: KeyPath) -> bool:
    data: Any = document.data
    for part in path:
        if not (isinstance(data, dict) and part in data) and not (isinstance(data, list) and isinstance(part, int)):
            return False
        data = data[part]  # type: ignore[index]
    return True


def _head(document: Document, path: KeyPath) -> Span | None:
    """The start of a mapping that lacks a key: its own key; the first key of the file; the first line of an item."""
    if not path:
        first = next(iter(document.data), None) if isinstance(document.data, dict) else None
        return document.key_span((first,)) if first is not None else None
    key, place = document.key_span(path), document.place(path)
    if key is not None or place.value.line == place.value.end_line:
        return key
    return Span(place.value.line, place.value.column, place.value.line, len(place.line.rstrip()) + 1)


def _inside(document: Document, path: KeyPath, offset: int, length: int) -> Span:
    """The span in the document; in a string over several lines, found by counting non-whitespace characters."""
    place, value = document.place(path), document.data
    if place.value.line == place.value.end_line:
        return document.inside(path, offset, length)
    for part in path:
        value = value[part]  # type: ignore[index]
    return _in_lines(place, str(value), offset, length) or document.inside(path, offset, length)


def _in_lines(place: SourceLocation, value: str, offset: int, length: int) -> Span | None:
    """Folding and indentation change only whitespace: the n-th other character is the same in value and source."""
    while offset and value[offset].isspace():  # shown at the last character before
        offset -= 1
    wanted = len("".join(value[:offset].split()))
    lines = place.text.splitlines()
    is_block = lines[place.value.line - 1][place.value.column - 1 :].startswith(("|", ">"))
    seen = 0
    for number in range(place.value.line + is_block, place.value.end_line + 1):
        line, start = lines[number - 1], place.value.column - 1 if number == place.value.line else 0
        there = len("".join(line[start:].split()))
        if seen + there <= wanted:
            seen += there
            continue
        for column in range(start, len(line)):
            if not line[column].isspace():
                if seen == wanted:
                    is_right = line[column] == value[offset : offset + 1]
                    return Span(number, column + 1, number, column + 1 + length) if is_right else None
                seen += 1
    return None
