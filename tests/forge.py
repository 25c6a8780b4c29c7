"""Run directories as somebody else may leave them: records with right checksums, and plans, that say what is asked for.

A checksum in a journal tells of damage, and is no signature: whoever can write the file can write a right one.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any
from zlib import crc32

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


texts = st.sampled_from(
    ["", "x", "..", "../..", "/", "/etc/passwd", "a/../../b", ".", "\0", "a\0", "\ud800", "\x1b[2J", "{", "{home}",
     "nan",
     "1e999", "true", "x" * 5_000, "-", "~", "\u202e", "\uff0e\uff0e", "{workspace}/../../x", "$(id)", "'", "\n"]
)  # fmt: skip
numbers = st.sampled_from(
    [0, -1, 1, 2, 10**30, 2**63, 2**31, -(2**63), 0.5, -0.0, 1e300, float("inf"), float("nan"), 10**400]
)
leaves = st.none() | st.booleans() | numbers | texts
anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
                        max_leaves=4)  # fmt: skip
"""Whatever JSON can hold, at its edges."""


def sealed(text: str) -> bytes:
    """The line of a journal whose record begins with this text: all of it but the checksum."""
    body = text.encode()
    return body + b',"crc":"%08x"}\n' % crc32(body)


def line(sequence: int, event: dict[str, Any], time: object = 1.7e9) -> bytes:
    return sealed(json.dumps({"seq": sequence, "time": time, **event}, separators=(",", ":"))[:-1])


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()]


def write_records(run: Path, entries: list[dict[str, Any]]) -> None:
    lines = []
    for number, entry in enumerate(entries, 1):
        event = {key: value for key, value in entry.items() if key not in ("seq", "time", "crc")}
        lines.append(line(number, event, entry.get("time", 1.7e9)))
    (run / "journal.jsonl").write_bytes(b"".join(lines))


def append(run: Path, *events: dict[str, Any]) -> None:
    write_records(run, [*records(run), *events])


def change_records(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    entries = records(run)
    for entry in entries:
        change(entry)
    write_records(run, entries)


def change_plan(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Whatever learners share is put into each of them first, so that it can be changed for one."""
    path = run / "plan.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    spread(document["plan"])
    change(document["plan"])
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def spread(plan: dict[str, Any]) -> None:
    """Put what the learners share into each of them, as plans of format 2 have it."""
    shared = plan.pop("shared")
    for learner in plan["learners"]:
        for kind in ("steps", "files"):
            learner[kind] = [deepcopy(shared[kind][position]) for position in learner[kind]]
        if learner["criterion"] is not None:
            learner["criterion"] = deepcopy(shared["criteria"][learner["criterion"]])


def every_command(plan: dict[str, Any]) -> list[dict[str, Any]]:
    steps = [step for learner in plan["learners"] for step in learner["steps"]]
    return [command for step in steps for command in (step["otherwise"], *step["at"].values())]
