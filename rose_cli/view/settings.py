"""The settings of a plan as text: what they are called, and their values, with secrets masked."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from rose_cli.plan.model import CRITERION, Adaptive
from rose_cli.plan.overview import Setting
from rose_cli.util.redact import MASK, masked_environment, masked_line, masked_options, masked_words
from rose_cli.util.text import counted
from rose_cli.view.console import ELLIPSIS
from rose_cli.view.wording import exact_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rose_cli.plan.overview import Phase

UNSET = "-"

_DEFAULTS = {"replicas": "1", "ranks": "1", "cores": "1", "gpus": "0"}


def cell_text(setting: Setting, phase: Phase) -> str:
    """Blank for the criterion of a learner that has none."""
    is_criterion = setting.kind == "stop" or setting.task == CRITERION
    if is_criterion and Setting(setting.task, "stop", "at") not in phase.settings:
        return "no criterion" if setting.name == "at" else ""
    return value_text(setting, phase.settings.get(setting))


def title_of(setting: Setting) -> str:
    names = {"at": "stops at", "reading": "read", "min_delta_share": "min_delta"}
    titles = {
        "parameter": setting.name,
        "option": setting.name,
        "env": f"${setting.name}",
        "stop": names.get(setting.name, setting.name),
    }
    return titles.get(setting.kind, setting.kind)


def value_text(setting: Setting, value: object, *, noun: bool = False) -> str:
    """A value in a cell or, with its noun, in a list; secrets are masked."""
    if value is None:
        return _DEFAULTS.get(setting.kind, UNSET)
    texts = {
        "stop": lambda: _stop_field(setting.name, value),
        "command": lambda: _own_command(value),  # type: ignore[arg-type]
        "args": lambda: _words_text(value),  # type: ignore[arg-type]
        "pre_exec": lambda: " && ".join(map(masked_line, value)),  # type: ignore[call-overload]
        "env": lambda: masked_environment({setting.name: str(value)})[setting.name],
        "mem": lambda: size_text(float(str(value))),
        "timeout": lambda: exact_duration(float(str(value))),
        "preload": lambda: ", ".join(value),  # type: ignore[arg-type]
        "retries": lambda: _retries(*value),  # type: ignore[misc]
        "option": lambda: _option_text(setting.name, value),
        "parameter": lambda: _option_text(setting.name, value),
    }
    text = texts.get(setting.kind, lambda: str(value).lower() if isinstance(value, bool) else str(value))()
    if not noun:
        return text
    nouns = {"ranks": "rank", "cores": "core", "gpus": "GPU"}
    if setting.kind in nouns:
        return counted(int(text), nouns[setting.kind])
    return {"mem": text, "snapshot": "snapshot before each attempt"}.get(setting.kind, f"{setting.kind} {text}")


def _own_command(value: tuple[Sequence[str], bool, object]) -> str:
    words, shell, _ = value
    return _words_text(["/bin/sh", "-c", *words] if shell else words)


def _words_text(words: Sequence[str]) -> str:
    return " ".join(map(quoted_word, masked_words(words)))


def _option_text(name: str, value: object) -> str:
    if isinstance(value, Adaptive):
        return f"= {value.expression}"
    shown = masked_options({name: value})[name]
    entries = shown if isinstance(shown, tuple) else (shown,)
    texts = [str(entry).lower() if isinstance(entry, bool) else getattr(entry, "text", str(entry)) for entry in entries]
    quoted = " ".join(quoted_word(text) for text in texts)
    return f"'{quoted}'" if quoted in (UNSET, "?") else quoted or "''"


def _retries(times: int, pause_seconds: float) -> str:
    return f"{times}{f' after {exact_duration(pause_seconds)}' if pause_seconds else ''}"


def size_text(size: float) -> str:
    for unit, factor in (("TB", 2**20), ("GB", 2**10)):
        if size >= factor and size % factor == 0:
            return f"{size / factor:.0f} {unit}"
    return f"{size:g} MB" if size >= 1 else f"{size * 1024:g} KB"


def stop_text(settings: Mapping[Setting, Any]) -> str:
    """When a learner stops, by the settings of its criteria."""
    tasks = dict.fromkeys(setting.task for setting in settings)
    fields = [{s.name: value for s, value in settings.items() if s.task == task and s.name != "rule"} for task in tasks]
    if not fields:
        return "no criterion"
    if len(fields) == 1:
        return _criterion_text(fields[0])
    rule = settings.get(Setting(CRITERION, "stop", "rule"))
    when = {"any": "stops when one is met: ", "all": "stops when all are met: "}.get(str(rule), "checks ")
    return when + "; ".join(_criterion_text(each, verb="") for each in fields)


def _criterion_text(stop: Mapping[str, Any], verb: str = "stops ") -> str:
    names = sorted(stop, key=lambda name: name == "reading")
    others = ", ".join(_stop_field(name, stop[name], noun=True) for name in names if name != "at")
    if "at" not in stop:
        return f"{verb}with {others}"
    metric, _, threshold = stop["at"]
    if threshold is None and "patience" not in stop:
        head = f"watches {metric}" if verb else f"{metric} (only watched)"
    elif threshold is None:
        head = f"{verb}by {metric}"
    else:
        head = f"{verb}{'at ' if verb else ''}{_stop_field('at', stop['at'])}"
    return f"{head}, {others}" if others else head


def _stop_field(name: str, value: Any, *, noun: bool = False) -> str:  # noqa: ANN401 - any field of a criterion
    if name == "at":
        metric, operator, threshold = value
        return metric if threshold is None else f"{metric} {operator} {_exact(threshold)}"
    if name == "reading":
        given = (("file", value.file), ("json", value.json_path), ("regex", value.regex))
        text = ", ".join(f"{kind} {masked_line(where)}" for kind, where in given if where is not None)
        return f"read: {text}" if noun else text
    if name == "range":
        text = " to ".join("any" if end is None else _exact(end) for end in value)
    elif name == "min_delta_share":
        name, text = "min_delta", f"{value * 100:g}%"
    else:
        text = _exact(value) if isinstance(value, float) else str(value)
    return f"{name} {text}" if noun else text


def _exact(value: float) -> str:
    return short if float(short := f"{value:g}") == value else repr(value)


_PLACEHOLDER = re.compile(r"\{\w+\}")


def quoted_word(word: str) -> str:
    """As a shell needs it; placeholders, masks and the ellipsis need no quotes."""
    plain = _PLACEHOLDER.sub("x", word).replace(MASK, "x").replace(ELLIPSIS, "x")
    return word if shlex.quote(plain) == plain else shlex.quote(word)
