"""Where in a campaign file, or on a command line, an edit is written."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from rose_cli.config.document import parse_document
from rose_cli.util.errors import RoseError
from rose_cli.util.redact import masked_setting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rose_cli.campaign_file import Setting
    from rose_cli.config.document import Document
    from rose_cli.loop.edits import Edit
    from rose_cli.plan.model import Plan


def places_in(text: str, name: str, settings: Sequence[Setting], plan: Plan) -> Callable[[Edit], str | None]:
    """What says where an edit of the file with this text, or of a setting, is written: "line 5" or "--set a=b"."""
    return partial(_place, _document(text, name, settings), plan)


def _document(text: str, name: str, settings: Sequence[Setting]) -> Document | None:
    try:
        document = parse_document(text, name)
        for setting in settings:
            if setting.path != ("engine",):
                document = document.with_value(setting.path, setting.text, setting.source)
    except RoseError:
        return None
    return document


def _place(document: Document | None, plan: Plan, edit: Edit) -> str | None:
    if document is None or edit.new is None:
        return None
    index = {learner.name: at for at, learner in enumerate(plan.learners)}
    learners = [index[name] for name in (str(edit.new),) if edit.kind == "added" and name in index]
    at = [index[name] for name in edit.learners[:1] if name in index]
    swept = _has_sweep(document)
    if swept and edit.kind in ("added", "renamed"):
        place = document.place(("sweep",))
        return (
            f"line {(place.key or place.value).line}" if place.source == document.name else masked_setting(place.source)
        )
    for path in _paths(edit, [] if swept else learners or at):
        if at_path(document.data, path) is not NOTHING:
            place = document.place(path)
            if place.source != document.name:
                return masked_setting(place.source)
            return f"line {(place.key or place.value).line}"
    return None


def _has_sweep(document: Document) -> bool:
    """Then learners are not where the file lists them."""
    return isinstance(document.data, dict) and document.data.get("sweep") is not None


def _paths(edit: Edit, learners: Sequence[int]) -> list[tuple[str | int, ...]]:
    """Where the value may be, the most specific place first."""
    if edit.kind in ("added", "renamed"):
        return [("learners", *learners)] if learners else []
    key = edit.key[:1] if edit.key[0] == "files" else edit.key
    if edit.key[0] in ("name", "engine", "limits", "keep", "stop_campaign", "track", "notify"):
        return [key, key[:1]] if edit.key[0] == "track" else [key]
    forms = [key]
    if len(edit.tasks) > 1:
        forms += [(edit.tasks[0], *key)]
    if len(key) == 3 and key[1] == "options":
        forms = [(key[0], "adaptive", key[2]), key, (key[0], key[2])]
    if len(key) == 3 and key[1] == "parameters":
        forms = [key[1:]]
    first = edit.ranges[0][0] if edit.ranges else 0
    found: list[tuple[str | int, ...]] = []
    for learner in learners:
        for form in forms:
            found += [("learners", learner, form[0], first, *form[1:]), ("learners", learner, *form)]
    found += [("tasks", *form) for form in forms] + [tuple(form) for form in forms]
    return [*found, ("tasks", key[0]), (key[0],)] if len(key) > 1 else found


def at_path(data: Any, path: Sequence[str | int]) -> object:  # noqa: ANN401 - a document
    """The value at a path of plain values; NOTHING if there is none."""
    for part in path:
        key = _position(data, part) if isinstance(data, list) else part
        is_position = isinstance(data, list) and isinstance(key, int) and 0 <= key < len(data)
        if is_position or (isinstance(data, dict) and key in data):
            data = data[key]
        else:
            return NOTHING
    return data


def _position(items: list[Any], part: str | int) -> int:
    """Of an item by its position or its name; -1 if there is none."""
    if isinstance(part, int):
        return part
    return next((at for at, item in enumerate(items) if isinstance(item, dict) and item.get("name") == part), -1)


NOTHING = object()
