"""`rose verify`: whether the files of a run are those of the run, and whether it gives the same results again."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli.find_runs import find_own_run, find_run, name_of
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.provenance.history import END, METRIC
from rose_cli.provenance.verify import Check, check_files
from rose_cli.run_info import notice_ownership, read_run
from rose_cli.runs.changes import campaign_has_changed
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import ExitCode, UsageError
from rose_cli.util.json_output import json_safe, write_json
from rose_cli.util.redact import remember
from rose_cli.util.text import counted
from rose_cli.view.console import notice, say
from rose_cli.view.wording import REASONS, short_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.provenance.history import ComparedValue, Rerun
    from rose_cli.run_info import RunInfo

MOST_SHOWN = 20

_FAULTS = ("changed", "missing")


@dataclass(frozen=True)
class VerifyOptions:
    """`crate`: its checksums are compared too. `directory`: for the second run, which is then kept."""

    crate: Path | None = None
    rerun: bool = False
    tolerance: str | None = None
    learners: Sequence[str] = ()
    directory: Path | None = None
    keep: bool = False
    trust: bool = False
    format: str = "text"

    @property
    def tolerated(self) -> float:
        """Raises UsageError."""
        try:
            value = float(self.tolerance or 0.0)
        except ValueError:
            value = -1.0
        if not 0 <= value < math.inf:
            raise UsageError(f"--tolerance cannot be {self.tolerance!r}", "give a share such as 1e-9")
        return value

    def __post_init__(self) -> None:
        of_rerun = {
            "--tolerance": self.tolerance, "--learner": self.learners, "--in": self.directory, "--keep": self.keep,
            "--trust": self.trust,
        }  # fmt: skip
        for name, value in of_rerun.items():
            if value and not self.rerun:
                raise UsageError(f"{name} needs --rerun", "add it, or remove the option")
        _ = self.tolerated


def verify(argument: str | None, options: VerifyOptions) -> ExitCode:
    """0: everything is the same; 1: a file has changed or is missing, or the history is another one."""
    directory = find_own_run(argument, "verify --rerun", trust=options.trust) if options.rerun else find_run(argument)
    info = read_run(directory, kept=True)
    remember(partial(secrets_of_plan, info.plan))
    if not options.rerun:
        notice_ownership(info.doubt)
    checks = list(check_files(info, options.crate))
    if options.format == "text":
        _print_checks(info, checks)
    again = None
    if options.rerun:
        from rose_cli.commands.rerun import run_again

        again = run_again(
            info, options.learners, options.directory, keep=options.keep, trust=options.trust,
            tolerance=options.tolerated,
        )  # fmt: skip
    if options.format == "json":
        write_json(_as_json(info, checks, again))
    elif again is not None:
        _print_rerun(again)
    if again is not None and again.code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        return again.code
    is_same = all(check.verdict not in _FAULTS for check in checks) and (again is None or again.is_same)
    return ExitCode.OK if is_same else ExitCode.LEARNER_FAILED


# --- files -----------------------------------------------------------------------------------------------------------


def _print_checks(info: RunInfo, checks: Sequence[Check]) -> None:
    counts = Counter(str(check.verdict) for check in checks)
    listed = [check for check in checks if check.verdict != "same"]
    listed.sort(key=lambda check: (*_FAULTS, "unknown", "new").index(check.verdict))
    for check in listed[:MOST_SHOWN]:
        detail = f": {check.detail}" if check.detail else ""
        say(f"{check.verdict:8} {_place(check)}{detail}")
    if len(listed) > MOST_SHOWN:
        say(f"and {len(listed) - MOST_SHOWN} more; `--format json` lists all")
    say(f"{name_of(info.directory)}: {', '.join(_counts(counts))}")
    if _campaign(info) != "same":
        notice(f"the campaign file '{short_path(Path(info.plan.campaign_file))}' {_EDITED[_campaign(info)]}")


def _place(check: Check) -> str:
    if check.name == ".":
        return check.part
    return f"'{check.name}'" if check.part in ("run", "crate") else f"'{check.name}' ({check.part})"


def _counts(counts: Counter[str]) -> Iterator[str]:
    words = {
        "same": "as recorded", "changed": "changed", "missing": "missing", "new": "new", "unknown": "cannot be checked",
    }  # fmt: skip
    yield from (f"{counted(counts[each], 'file')} {text}" for each, text in words.items() if counts[each])


_EDITED = {
    "changed": "was edited since; the run has its own copy, and is not affected",
    "missing": "no longer exists; the run has its own copy",
}


def _campaign(info: RunInfo) -> str:
    """Whether the user's campaign file is still the one of the run, which does not need it."""
    changed = campaign_has_changed(info.directory, info.plan)
    return "missing" if changed is None else "changed" if changed else "same"


# --- the second run --------------------------------------------------------------------------------------------------


def _print_rerun(again: Rerun) -> None:
    learners: dict[str, list[ComparedValue]] = {}
    for value in again.values:
        learners.setdefault(value.learner, []).append(value)
    shown = 0
    for name, values in learners.items():
        faults = [value for value in values if value.match not in ("equal", "close")]
        counts = Counter(str(value.match) for value in values if value.kind != END)
        ended = ["stopped for the same reason"] if any(v.kind == END and v.match == "equal" for v in values) else []
        mark = "✗" if any(value.is_fault for value in values) else "✓"
        say(f"{mark} {name}: {', '.join([*_value_counts(counts), *ended])}")
        for value in faults[: max(0, MOST_SHOWN - shown)]:
            say(f"    {_value_line(value)}")
        shown += len(faults)
    if shown > MOST_SHOWN:
        say(f"and {shown - MOST_SHOWN} more; `--format json` lists all")
    say("the history is the same" if again.is_same else "the history is not the same")
    if again.code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        notice("the second run was interrupted: iterations that are missing were not run")
    if again.directory is not None:
        notice(f"the second run is in '{short_path(again.directory)}'")


def _value_counts(counts: Counter[str]) -> Iterator[str]:
    words = {"equal": "equal", "close": "within the tolerance", "different": "different", "missing": "missing"}
    yield from (f"{counted(counts[each], 'value')} {text}" for each, text in words.items() if counts[each])


def _value_line(value: ComparedValue) -> str:
    if value.kind == END:
        before, after = (REASONS.get(each, each) if each else "none" for each in (value.before, value.after))
        return f"stopped for another reason: {after}, not {before}"
    name = value.name or "the iteration"
    if value.match == "missing":
        return f"iteration {value.iteration}: {name} is missing"
    remark = "" if value.decides else " (reported, does not count)"
    return f"iteration {value.iteration}: {name} is {value.after!r}, was {value.before!r}{remark}"


def _as_json(info: RunInfo, checks: Sequence[Check], again: Rerun | None) -> dict[str, Any]:
    faults = any(check.verdict in _FAULTS for check in checks)
    return {
        "run": str(info.directory.path),
        "verdict": "changed" if faults else "same",
        "counts": {
            verdict: sum(check.verdict == verdict for check in checks)
            for verdict in ("same", "changed", "missing", "new", "unknown")
        },
        "campaign_file": _campaign(info),
        "files": [asdict(check) for check in checks],
        "rerun": None if again is None else _rerun_as_json(again),
    }


def _rerun_as_json(again: Rerun) -> dict[str, Any]:
    return {
        "directory": None if again.directory is None else str(again.directory),
        "complete": again.code not in (ExitCode.INTERRUPTED, ExitCode.TERMINATED),
        "verdict": "same" if again.is_same else "different",
        "values": [
            {**asdict(value), "before": _json_value(value.before), "after": _json_value(value.after)}
            for value in again.values
        ],
        "metrics": {
            match: sum(value.match == match for value in again.values if value.kind == METRIC)
            for match in ("equal", "close", "different", "missing")
        },
    }


def _json_value(value: Any) -> Any:  # noqa: ANN401 - whatever a task reports
    """Numbers that JSON has no words for are strings, since two nulls would look equal."""
    return str(value) if isinstance(value, float) and json_safe(value) is None else json_safe(value)
