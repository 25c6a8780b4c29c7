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
    """Of a learner: the metric by iteration, why it stopped, and the options of its first task by iteration."""

    history: list[float | None] = field(default_factory=list)
    reason: str = ""
    options: list[dict[str, Any]] = field(default_factory=list)


def live(campaign: dict[str, Any], learner: dict[str, Any], script: Callable[[Try], Fate]) -> Life:
    """`campaign` and `learner` as they stand in the file."""
    life, tasks = Life(), dict(campaign["tasks"])
    stop = campaign.get("stop") if "stop" not in learner else learner["stop"]
    stop = None if stop is None else {**(campaign.get("stop") or {}), **stop}
    if stop is not None:
        tasks["criterion"] = stop
    while not life.reason:
        i, value = len(life.history), None
        life.options.append(_options(learner.get("t0", {}), i, life.history))
        for name, task in tasks.items():
            for replica in range(task.get("replicas", 1)):
                fate = _last_fate(task, Try(learner["name"], i, name, replica, 0), script)
                if _fails(fate, task, name) and task["on_failure"] != "continue":
                    life.reason = "failed"
                value = None if _fails(fate, task, name) or name != "criterion" else float(fate.printed)
            if life.reason:
                return life
        life.history.append(value)
        life.reason = _why_stop(stop, life.history, learner.get("max_iter", campaign["max_iter"]))
    return life


def _last_fate(task: dict[str, Any], tried: Try, script: Callable[[Try], Fate]) -> Fate:
    """That of the attempt which succeeds, or of the last one."""
    tries = [replace(tried, failures=failures) for failures in range(task["retries"]["times"] + 1)]
    fates = [script(each) for each in tries]
    return next((fate for fate in fates if not _fails(fate, task, tried.task)), fates[-1])


def _fails(fate: Fate, task: dict[str, Any], name: str) -> bool:
    no_number = name == "criterion" and fate.printed in ("no number", "-1", "-inf")  # an mse is never below 0
    return fate.exit_code != 0 or fate.seconds > task.get("timeout", math.inf) or no_number


def _why_stop(stop: dict[str, Any] | None, history: list[float | None], max_iter: int) -> str:
    if stop is not None and len(history) >= stop.get("min_iter", 1):
        last = history[-1]
        if last is not None and last < stop["threshold"]:
            return "criterion_met"
        patience = stop.get("patience")
        if patience and len(history) >= patience:
            before, since = _numbers(history[:-patience]), _numbers(history[-patience:])
            if not since or (before and round(min(before) - min(since), 9) <= stop.get("min_delta", 0)):
                return "no_improvement"
    return "max_iter" if len(history) >= max_iter else ""


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
