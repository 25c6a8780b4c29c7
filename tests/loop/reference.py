"""A naive model of one learner: what it comes to when nobody disturbs it, written from the documentation alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.loop.simulation import Fate, Try

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Life:
    """Of a learner: the metric by iteration, why it stopped, and the options of its first task by iteration.

    `further`: the values of further criteria, by metric.
    """

    history: list[float | None] = field(default_factory=list)
    reason: str = ""
    options: list[dict[str, Any] | None] = field(default_factory=list)
    further: dict[str, list[float | None]] = field(default_factory=dict)


def criteria_in(stop: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The criteria of a `stop`, whichever of its forms it has."""
    if stop is None:
        return []
    found: list[dict[str, Any]] = stop.get("any") or stop.get("all") or [stop]
    return found


def _stops(campaign: dict[str, Any], learner: dict[str, Any]) -> tuple[bool, list[dict[str, Any]]]:
    """Whether all criteria of a learner must agree, and the criteria."""
    declared = campaign.get("stop")
    own = criteria_in(declared)
    is_all = bool(declared and "all" in declared)
    if "stop" not in learner:
        return is_all, own
    given = learner["stop"]
    if given is None:
        return False, []
    if "any" in given or "all" in given:
        below = {each["metric"]: each for each in own}
        return "all" in given, [{**below.get(each["metric"], {}), **each} for each in criteria_in(given)]
    if len(own) == 1:
        return is_all, [{**own[0], **given}]
    return is_all, [{**each, **given} if each["metric"] == given["metric"] else each for each in own]


@dataclass(frozen=True)
class Choice:
    """What a program decides after an iteration: to stop, or what the option `--n` of the first task is from then on.

    `options`: None: as before; empty: what the campaign says.
    """

    stop: bool = False
    options: dict[str, Any] | None = None


def live(
    campaign: dict[str, Any],
    learner: dict[str, Any],
    script: Callable[[Try], Fate],
    choose: Callable[[str, int], Choice] = lambda _name, _iteration: Choice(),
) -> Life:
    """`campaign` and `learner` as they stand in the file."""
    life, tasks = Life(), dict(campaign["tasks"])
    is_all, stops = _stops(campaign, learner)
    names = ["criterion" if not place else f"criterion-{place + 1}" for place in range(len(stops))]
    tasks.update(zip(names, stops, strict=True))
    histories: dict[str, list[float | None]] = {name: [] for name in names}
    chosen: dict[str, Any] = {}
    while not life.reason:
        i, values = len(life.history), dict[str, float | None]()
        planned = _options(learner.get("t0", {}), i, life.history)
        options = {name: value for name, value in {**planned, **chosen}.items() if value is not None}
        most = learner.get("max_iter", campaign["max_iter"])
        life.options.append(options if _replicas(tasks["t0"], i, most) else None)
        for name, task in {**(campaign.get("before", {}) if i == 0 else {}), **tasks}.items():
            fates = all_fates(task, Try(learner["name"], i, name, 0, 0), script, _replicas(task, i, most))
            if any(_fails(fate, task, name) for fate in fates) and task["on_failure"] != "continue":
                life.reason = "failed"
                return life
            is_none = name not in names or _fails(fates[-1], task, name)
            values[name] = None if is_none else float(fates[-1].printed)
        for name in names:
            histories[name].append(values[name])
        verdicts = [_verdict(stop, histories[name]) for name, stop in zip(names, stops, strict=True) if _decides(stop)]
        reason = _decided(verdicts, is_all=is_all) or ("max_iter" if i + 1 >= most else "")
        if not reason:
            choice = choose(learner["name"], i)
            chosen = chosen if choice.options is None else choice.options
            reason = "decided" if choice.stop else ""
        if reason and fails(campaign.get("after", {}), learner["name"], i, script):
            life.reason = "failed"
            for history in histories.values():
                history.pop()
            return life
        life.history.append(values.get("criterion"))
        life.further = {stop["metric"]: histories[name] for name, stop in list(zip(names, stops, strict=True))[1:]}
        life.reason = reason
    return life


def _replicas(task: dict[str, Any], i: int, most: int) -> int:
    """How many replicas run in an iteration, none if its `when` does not hold."""
    if not eval(task.get("when", "True"), {}, {"i": i, "max_iter": most}):
        return 0
    given = task.get("replicas", 1)
    given = eval(given, {}, {"i": i}) if isinstance(given, str) else given
    if isinstance(given, dict):
        return math.prod(len(names) if isinstance(names, list) else names for names in given.values())
    return len(given) if isinstance(given, list) else int(given)


def _decides(stop: dict[str, Any]) -> bool:
    return "threshold" in stop or "patience" in stop


def _decided(verdicts: list[str], *, is_all: bool) -> str:
    if not verdicts or (is_all and "" in verdicts):
        return ""
    order = ("no_improvement", "criterion_met") if is_all else ("criterion_met", "no_improvement")
    return next((word for word in order if word in verdicts), "")


def fails(tasks: dict[str, Any], learner: str, iteration: int, script: Callable[[Try], Fate]) -> bool:
    """Whether one of the tasks fails for good."""
    return any(
        _fails(fate, task, name)
        for name, task in tasks.items()
        for fate in all_fates(task, Try(learner, iteration, name, 0, 0), script)
        if task["on_failure"] != "continue"
    )


def all_fates(
    task: dict[str, Any], tried: Try, script: Callable[[Try], Fate], replicas: int | None = None
) -> list[Fate]:
    """By replica, that of the attempt which succeeds, or of the last one."""
    count = task.get("replicas", 1) if replicas is None else replicas
    return [_last_fate(task, replace(tried, replica=n), script) for n in range(count)]


def _last_fate(task: dict[str, Any], tried: Try, script: Callable[[Try], Fate]) -> Fate:
    """That of the attempt which succeeds, or of the last one."""
    tries = [replace(tried, failures=failures) for failures in range(task["retries"]["times"] + 1)]
    fates = [script(each) for each in tries]
    return next((fate for fate in fates if not _fails(fate, task, tried.task)), fates[-1])


def _fails(fate: Fate, task: dict[str, Any], name: str) -> bool:
    no_number = name.startswith("criterion") and fate.printed in ("no number", "-1", "-inf")  # an mse is never below 0
    return fate.exit_code != 0 or fate.seconds > task.get("timeout", math.inf) or no_number


def _verdict(stop: dict[str, Any], history: list[float | None]) -> str:
    if len(history) < stop.get("min_iter", 1):
        return ""
    last = history[-1]
    if last is not None and "threshold" in stop and last < stop["threshold"]:
        return "criterion_met"
    patience = stop.get("patience")
    if patience and len(history) >= patience:
        before, since = _numbers(history[:-patience]), _numbers(history[-patience:])
        if not since or (before and round(min(before) - min(since), 9) <= stop.get("min_delta", 0)):
            return "no_improvement"
    return ""


def _numbers(history: list[float | None]) -> list[float]:
    return [value for value in history if value is not None and math.isfinite(value)]


def _options(schedule: dict[Any, Any], i: int, history: list[float | None]) -> dict[str, Any]:
    """The option `--n`, by whichever of the three kinds of schedule."""
    if "adaptive" in schedule:
        follows_metric = i > 0 and "metric" in schedule["adaptive"]["--n"]
        return {"--n": 1000 * (history[-1] or 0.0) if follows_metric else i * 10}
    keys = [key for key in schedule if isinstance(key, int)]
    if not keys:
        return schedule
    if schedule.get("hold"):
        starts = [key for key in keys if 0 <= key <= i]
        chosen = max(starts) if starts else -1
    else:
        chosen = i if i in keys else -1
    return dict(schedule.get(chosen, {}))
