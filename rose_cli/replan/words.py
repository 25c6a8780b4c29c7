"""The words of `rose set` and `rose add`, as settings of the run (`--set a.b=c`) with whole paths.

training.--lr=0.1                   the option of a task
--learner a training.--lr=0.1       the same for one learner, in every form that its schedule can have
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from rose_cli.campaign_file import Setting, parse_setting
from rose_cli.config.document import SettingNode, parse_document
from rose_cli.config.expression.references import LATEST
from rose_cli.config.iterations import REST, is_iteration_key
from rose_cli.config.models import Campaign, Learner, TaskFields
from rose_cli.config.yaml.builder import build
from rose_cli.config.yaml.flow import flow_text
from rose_cli.config.yaml.nodes import Entry, ListNode, MappingNode, ScalarNode, followed, with_entry
from rose_cli.config.yaml.source import decode, read_bytes
from rose_cli.plan.file import CAMPAIGN_TEXT
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import CampaignError, UsageError, check_known
from rose_cli.util.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rose_cli.config.yaml.nodes import Node
    from rose_cli.util.errors import KeyPath

_MOST_NUMBERED = 1000
"""`learners: N` is written out as a list up to so many."""

SECTIONS = ("tasks", "setup", "before", "after", "finish", "parameters")
"""Where a name without its section is looked for: the parameters come last."""

_PLAIN_PART = re.compile(r"[^.=\"'\s-][^.=\"'\s]*")


class Words:
    """Words that refer to a campaign with its settings. `learners`: those of the run."""

    def __init__(self, text: str, settings: Sequence[Setting], learners: Sequence[str]) -> None:
        document = parse_document(text, CAMPAIGN_TEXT)
        for setting in settings:
            if setting.path != ("engine",):
                document = document.with_value(setting.path, setting.value, setting.source)
        self._data: Any = document.data
        self._settings = list(settings)
        self._learners = list(learners)

    def given(self, words: Sequence[str], chosen: Sequence[str]) -> list[Setting]:
        """The settings for all of the campaign, or for the chosen learners. Raises UsageError."""
        named = [each.get("name") for each in _mappings(self._data.get("learners"))]
        for name in chosen:
            check_known("learner", name, self._learners, " in this run")
            if self._is_swept and name not in named:
                message = f"learner '{name}' is made by 'sweep', and has no place of its own in the campaign file"
                raise UsageError(message, "set the value for all learners, or change the sweep: `sweep.grid.AXIS=[…]`")
        found = [each for text in words for each in self._settings_of(parse_setting(text, "rose set"), chosen)]
        return [*(self._written_out() if chosen else ()), *found]

    def withdrawn(self, words: Sequence[str], chosen: Sequence[str]) -> list[str]:
        """The settings of the run that these paths name. Raises UsageError if there are none."""
        found: list[str] = []
        for word in words:
            path = parse_setting(f"{word}=").path
            wanted = [each for learner in _each(chosen) for each in self._paths(path, learner)]
            here = [each.source for each in self._settings if any(each.path[: len(one)] == one for one in wanted)]
            if not here:
                known = ", ".join(_masked(each) for each in self._settings) or "none"
                message = f"nothing to unset: this run has no setting of its own for '{word}'"
                raise UsageError(message, f"its settings: {known}; `{word}=null` sets no value")
            found += here
        return list(dict.fromkeys(found))

    def _settings_of(self, setting: Setting, chosen: Sequence[str]) -> Iterator[Setting]:
        for learner in _each(chosen):
            if learner is not None and (metric := self._overridden(setting.path, learner)) is not None:
                yield _setting(("learners", learner, "stop", "metric"), json.dumps(metric))
            for path in self._paths(setting.path, learner):
                is_expression = len(path) > 1 and path[-2] == "adaptive"
                yield _setting(path, _as_expression(setting.text) if is_expression else setting.text)

    def _paths(self, path: KeyPath, learner: str | None) -> list[KeyPath]:
        path = self._of_task(path)
        if learner is None:
            return [self._of_option(path)]
        if self._is_only(learner):
            return [self._of_option(path)]
        own: KeyPath = path[1:] if path[0] in ("before", "tasks", "after") else path
        if len(own) < 1 or (own[0] not in Learner.model_fields and own[0] not in self._tasks):
            name = ".".join(map(str, path))
            raise UsageError(f"'{name}' is a setting of the campaign, not of a learner", "omit `--learner`")
        if own[0] not in self._tasks:
            own = (own[0], *own[3:]) if self._overridden(path, learner) is not None else own
            return [("learners", learner, *_with_options(own))]
        schedule = self._entry(learner).get(own[0])
        return [("learners", learner, own[0], *rest) for rest in _in_schedule(schedule, own[1:])]

    def _overridden(self, path: KeyPath, learner: str) -> str | None:
        """The metric of the campaign's criterion that a path like `stop.any.0.threshold` is about, for a learner that
        overrides this one or none; None: the path is another one, or the learner has a list of its own.

        Raises UsageError if it overrides another one.
        """
        stop = self._section("stop")
        if self._is_only(learner) or len(path) < 4 or path[0] != "stop" or path[1] not in stop:
            return None
        entries, at = stop[path[1]], path[2]
        if not isinstance(entries, list) or not isinstance(at, int) or not at < len(entries):
            raise UsageError(f"there is no criterion at 'stop.{path[1]}.{at}'", f"write 0 to {len(entries or ()) - 1}")
        entry = entries[at]
        metric = entry.get("metric") if isinstance(entry, dict) else None
        own = self._entry(learner).get("stop")
        if not isinstance(metric, str) or (isinstance(own, dict) and not {"any", "all"}.isdisjoint(own)):
            return None
        name = metric.removeprefix(f"{LATEST}.")
        if isinstance(own, dict) and own.get("metric") not in (None, metric, name):
            message = f"learner '{learner}' overrides the criterion '{own.get('metric')}', and so no other one"
            raise UsageError(message, f"give it a whole list: stop={{{path[1]}: [{{metric: {name}, …}}, …]}}")
        return name

    def _of_task(self, path: KeyPath) -> KeyPath:
        """`training.--lr` is short for `tasks.training.--lr`."""
        first = path[0]
        if first in Campaign.model_fields:
            return path
        for section in SECTIONS:
            if first in self._section(section):
                return (section, *path)
        known = [*Campaign.model_fields, *(name for section in SECTIONS for name in self._section(section))]
        if first not in known and isinstance(first, str):
            hint = (
                did_you_mean(first, known)
                or f"a task ({', '.join(map(str, self._tasks))}) or a key of the campaign file"
            )
            raise UsageError(f"there is no task and no key '{first}' in this campaign", hint)
        return path

    def _of_option(self, path: KeyPath) -> KeyPath:
        if path[0] in SECTIONS[:-1] and len(path) > 2:
            task = self._section(str(path[0])).get(path[1])
            rest = next(iter(_in_entry(task, path[2:], is_declared=True)))
            return (path[0], path[1], *rest)
        return _with_options(path)

    def _section(self, name: str) -> dict[Any, Any]:
        found = self._data.get(name) if isinstance(self._data, dict) else None
        return found if isinstance(found, dict) else {}

    @property
    def _tasks(self) -> dict[Any, Any]:
        """Those that a learner can have otherwise."""
        return {**self._section("before"), **self._section("tasks"), **self._section("after")}

    @property
    def _is_swept(self) -> bool:
        return bool(self._section("sweep"))

    def _is_only(self, learner: str) -> bool:
        """Whether the campaign has this one learner, without an entry for it."""
        return not isinstance(self._data.get("learners"), list) and self._learners == [learner]

    def _entry(self, learner: str) -> dict[Any, Any]:
        found = (each for each in _mappings(self._data.get("learners")) if each.get("name") == learner)
        return next(found, {})

    def _written_out(self) -> list[Setting]:
        """The learners as a list with names, if the file gives only their number, or not all of their names."""
        entries = self._data.get("learners")
        if self._is_swept or (entries is None and len(self._learners) == 1):
            return []
        if isinstance(entries, list):
            return [
                _setting(("learners", at, "name"), f"learner-{at}")
                for at, each in enumerate(entries)
                if not (isinstance(each, dict) and each.get("name")) and f"learner-{at}" in self._learners
            ]
        if len(self._learners) > _MOST_NUMBERED:
            raise UsageError("the campaign file gives only the number of its learners", "write them as a list")
        return [_setting(("learners",), f"[{', '.join(f'{{name: {name}}}' for name in self._learners)}]")]

    def added(self, file: Path, name: str | None) -> tuple[list[Setting], list[Setting]]:
        """The learners in a file as settings of the run; and the same as they are checked, with their places in it.

        Raises CampaignError and UsageError.
        """
        entries = _learners_in(file, name)
        names = [each.name for each in entries]
        listed = self._data.get("learners")
        taken = {*self._learners, *(each.get("name") for each in _mappings(listed))}
        for at, each in enumerate(entries):
            if each.name in taken or each.name in names[:at]:
                where = "this run" if each.name in taken else f"'{file}'"
                raise UsageError(
                    f"there is a learner '{each.name}' in {where} already", "give the new one another name"
                )
        before = self._written_out()
        if self._is_swept and not isinstance(self._data.get("learners"), list):
            # an entry without a name has no part in the names of the learners that the sweep makes of it
            count = self._data.get("learners") or 1
            before = [_setting(("learners",), f"[{', '.join(['{}'] * count)}]")]
        if not before and not isinstance(self._data.get("learners"), list):
            before = [_setting(("learners",), f"[{', '.join(f'{{name: {each}}}' for each in self._learners)}]")]
        recorded = [_setting(("learners", each.name), flow_text(each.node)) for each in entries]
        checked = [
            Setting(one.path, one.text, one.source, SettingNode(each.node.at, each.node, ()))
            for one, each in zip(recorded, entries, strict=True)
        ]
        return [*before, *recorded], [*before, *checked]


def _mappings(entries: object) -> list[dict[Any, Any]]:
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []


def _each(chosen: Sequence[str]) -> Sequence[str | None]:
    """The chosen learners; None stands for the campaign."""
    return list(chosen) or [None]


def _with_options(path: KeyPath) -> KeyPath:
    """`stop.--n` is short for `stop.options.--n`."""
    return (*path[:-1], "options", path[-1]) if len(path) == 2 and str(path[-1]).startswith("--") else path


def _in_schedule(schedule: object, rest: KeyPath) -> Iterator[KeyPath]:
    """Where a value of a task is set in the entry of a learner, for all iterations."""
    entries = schedule if isinstance(schedule, dict) else {}
    keys = [key for key in entries if is_iteration_key(key)]
    if not keys or (rest and is_iteration_key(rest[0])):
        yield from _in_entry(schedule, rest)
        return
    for key in keys:
        for inner in _in_entry(entries[key], rest):
            yield (key, *inner)
    if REST not in keys:
        for inner in _in_entry(None, rest):
            yield (REST, *inner)


def _in_entry(entry: object, rest: KeyPath, *, is_declared: bool = False) -> Iterator[KeyPath]:
    """An option where the entry has it: among the options, as an expression, or beside nothing but options."""
    if not rest or not (len(rest) == 1 and str(rest[0]).startswith("--")):
        yield rest
        return
    entries = entry if isinstance(entry, dict) else {}
    adaptive = entries.get("adaptive")
    if isinstance(adaptive, dict) and rest[0] in adaptive:
        yield ("adaptive", *rest)
    elif is_declared or any(key in TaskFields.model_fields for key in entries):
        yield ("options", *rest)
    else:
        yield rest


def _as_expression(text: str) -> str:
    """A value as an expression that gives it."""
    try:
        float(text)
    except ValueError:
        return text if text in ("true", "false", "null") else json.dumps(json.dumps(text.strip("\"'")))
    return text


def _setting(path: KeyPath, text: str) -> Setting:
    return Setting(path, text, f"--set {'.'.join(map(_part, path))}={text}")


def _part(part: str | int) -> str:
    """A part of a path, in quotes where it would be read otherwise."""
    text = str(part)
    if isinstance(part, int) or text.startswith("--") or _PLAIN_PART.fullmatch(text):
        return text if isinstance(part, int) or not re.fullmatch(r"-?[0-9]+", text) else f'"{text}"'
    return f"'{text}'" if '"' in text else f'"{text}"'


def _masked(setting: Setting) -> str:
    from rose_cli.util.redact import masked_setting

    return masked_setting(setting.source)


# --- learners of a file --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    name: str
    node: MappingNode


def _learners_in(file: Path, name: str | None) -> list[_Entry]:
    """One learner, or a list of them, as under `learners:`; `name` names a single one."""
    source, diagnostics = decode(read_bytes(file, str(file)), str(file))
    root, found = build(source)
    diagnostics += found
    if root is None or any(each.is_error for each in diagnostics):
        if not any(each.is_error for each in diagnostics):
            diagnostics.append(
                source.diagnostic("empty-file", "the file is empty", (0, 0), "write a learner, as under 'learners:'")
            )
        raise CampaignError(diagnostics, source.text)
    top = followed(root)
    if isinstance(top, MappingNode) and set(top.entries) == {"learners"}:
        top = followed(top.entries["learners"].value)
    items = top.items if isinstance(top, ListNode) else (top,)
    if name is not None and len(items) != 1:
        raise UsageError(f"'{file}' has {len(items)} learners, so `--name` cannot name them", "name them in the file")
    entries, wrong = [], []
    for item in items:
        entry = _entry(item, name)
        if isinstance(entry, _Entry):
            entries.append(entry)
        else:
            at = followed(item).at
            wrong.append(source.diagnostic(*entry[:2], (at.start, at.end), entry[2]))
    if wrong:
        raise CampaignError(wrong, source.text)
    return entries


def _entry(item: Node, name: str | None) -> _Entry | tuple[str, str, str]:
    """A learner with its name, or what is wrong: code, message and hint."""
    node = followed(item)
    if not isinstance(node, MappingNode):
        return "wrong-type", "a learner is a mapping", "write for example {name: b, max_iter: 5}"
    if name is not None:
        key = node.entries["name"].key if "name" in node.entries else node.at
        node = with_entry(node, "name", Entry(key, ScalarNode(node.at, name, "'")))
    given = followed(node.entries["name"].value) if "name" in node.entries else None
    if not isinstance(given, ScalarNode) or given.value is None:
        return "missing-key", "a new learner needs a name", "add `name: …`, or `--name` on the command line"
    return _Entry(str(given.value), node)
