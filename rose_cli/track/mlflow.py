"""The MLflow tracker: a parent run for the campaign, and a child run for each learner that has started.

Runs have tags by which they are found again, and every value has its time in the journal: what is sent twice is stored
once.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import field
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any

from rose_cli.track import interface as t
from rose_cli.track.mlflow_client import Client, Found, Point, fit
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_RUN, _LEARNER_OF, _LEARNER = "rose.run_id", "rose.learner_of", "rose.learner"
"""The tags by which runs are found again: that of the campaign has the first one, those of learners the others."""

_PARENT = "mlflow.parentRunId"

_RUNNING = "RUNNING"
_STATUS = {"done": "FINISHED", "failed": "FAILED"}
"""Of a run or a learner that has ended. Any other end was an interruption or a cancellation: KILLED."""

_CONNECTIONS = 8
_MOST_NAMES = 5_000
_LONGEST_NAME = 240


@dataclass
class _Update:
    """What changes a learner's run. `ended`: when it reached its `status`."""

    started: float
    points: list[Point] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    status: str = _RUNNING
    ended: float | None = None


class MLflowTracker:
    """Sends a run to MLflow."""

    def __init__(self) -> None:
        self._client: Client
        self._run: t.TrackedRun
        self._parent: Found
        self._memory: dict[str, Any] = {}
        self._learners: dict[str, t.TrackedLearner] = {}
        self._children: dict[str, Found] = {}
        self._described: set[str] = set()

    def open(self, run: t.TrackedRun, memory: dict[str, Any]) -> str | None:
        """The address of the parent run, if a browser can open it."""
        self._run, self._memory = run, memory
        self._learners = {learner.name: learner for learner in run.learners}
        self._client = client = Client(_setting(run, "uri"))
        experiment = client.experiment(_experiment(run))
        for name, value in {"server": client.shown, "experiment": experiment}.items():
            if memory.setdefault(name, value) != value:
                raise t.StartOverError
        self._names = _Names(memory.setdefault("names", {}))
        self._parent = self._open_parent()
        self._find_children()
        with suppress(t.TrackerError):  # they come again at the end; values do not wait for a store that does not work
            client.upload(self._parent.run_id, run.artifacts.values())
        where = f"{client.uri.rstrip('/')}/#/experiments/{experiment}/runs/{self._parent.run_id}"
        return where if client.is_web else None

    def _open_parent(self) -> Found:
        run, client, known = self._run, self._client, self._memory.get("parent")
        if known is not None:
            parent = client.active_run(known)
        else:
            parent = next(client.runs(self._memory["experiment"], _RUN, self._mark), None) or client.create(
                self._memory["experiment"], run.name, _millis(run.started), {_RUN: self._mark}
            )
            self._memory["parent"] = parent.run_id
        params, edited = _new_params(parent, _campaign_params(run))
        client.log(parent.run_id, params=params, tags={**_campaign_tags(run), **edited})
        client.set_status(parent.run_id, _RUNNING, None)
        return parent

    @property
    def _mark(self) -> str:
        """What runs are searched by."""
        return re.sub(r"[^\w.:-]", "_", self._run.run_id)[:200]

    def _find_children(self) -> None:
        """The runs of learners that exist: also those that were created just before a process of rose was killed."""
        known, parent = self._memory.setdefault("runs", {}), self._parent.run_id
        for child in self._client.runs(self._memory["experiment"], _LEARNER_OF, self._mark):
            self._children.setdefault(child.tags.get(_LEARNER, ""), child)
            if child.tags.get(_PARENT) != parent:  # the former one was deleted
                self._client.log(child.run_id, tags={_PARENT: parent})
        if any(learner not in self._children for learner in known):
            raise t.StartOverError
        known.update({learner: child.run_id for learner, child in self._children.items()})

    def send(self, changes: Sequence[t.Change]) -> None:
        """Send what changed: one request for each learner, if that is enough."""
        updates: dict[str, _Update] = {}
        for change in changes:
            if isinstance(change, t.SessionStarted | t.SessionEnded):
                continue
            time = change.ended if isinstance(change, t.IterationFinished) else change.time
            update = updates.setdefault(change.learner, _Update(time))
            update.status, update.ended = _RUNNING, None
            self._note(change, update)
        self._in_parallel(updates)

    @singledispatchmethod
    def _note(self, change: t.Change, update: _Update) -> None:
        """Note in `update` what a change means."""

    @_note.register
    def _(self, change: t.IterationFinished, update: _Update) -> None:
        update.started = min(update.started, change.started)
        for name, value in self._values(change):
            if math.isfinite(value):
                update.points.append(Point(name, value, _millis(change.ended), change.iteration))
            else:  # MLflow stores infinities as other numbers, and some of its pages fail for nan
                update.tags[f"{name}.not_finite"] = f"{value!r} in iteration {change.iteration}"
        for name, value in change.result.items():
            if isinstance(value, str) and not t.numbers({name: value}) and (tag := self._names("result", name)):
                update.tags[tag] = value

    def _values(self, change: t.IterationFinished) -> Iterator[tuple[str, float]]:
        """The metrics of an iteration. An option that is a parameter, since it never changes, is none."""
        learner = self._learners.get(change.learner)
        values: list[tuple[tuple[str, ...], float]] = []
        if change.value is not None:
            values.append(((_metric(learner),), change.value))
        values += [((metric,), value) for metric, value in change.metrics.items()]
        values += [(("result", name), value) for name, value in t.numbers(change.result).items()]
        for task, reports in change.replicas.items():
            for replica, report in enumerate(reports):
                values += [(("replica", task, str(replica), name), value) for name, value in t.numbers(report).items()]
        for task, options in change.options.items():
            planned, varying = (learner.options.get(task, {}), learner.varying.get(task, ())) if learner else ({}, ())
            for name, value in t.numbers(options).items():
                if name in varying or planned.get(name) != options.get(name):
                    values.append((("option", task, name), value))
        values += [(("time", "seconds"), change.seconds), (("time", "core_seconds"), change.core_seconds)]
        return ((known, value) for key, value in values if (known := self._names(*key)) is not None)

    @_note.register
    def _(self, change: t.TaskFailed, update: _Update) -> None:
        update.tags["rose.failure"] = (
            f"{change.task} in iteration {change.iteration}, attempt {change.attempt}: {change.message}"
        )

    @_note.register
    def _(self, change: t.LearnerStopped, update: _Update) -> None:
        update.tags["rose.stop_reason"] = change.reason
        if change.message:
            update.tags["rose.message"] = change.message
        status = {"failed": "failed", "cancelled": "cancelled"}.get(change.reason, "done")
        update.status, update.ended = _STATUS.get(status, "KILLED"), change.time

    @_note.register
    def _(self, change: t.LearnerReopened, update: _Update) -> None:
        update.tags |= {"rose.stop_reason": "", "rose.message": ""}
        if change.from_iteration is not None:
            update.tags["rose.rerun_from"] = str(change.from_iteration)

    def _in_parallel(self, updates: Mapping[str, _Update]) -> None:
        """Send updates by some connections at a time; a database without a server has one writer."""
        pool = ThreadPoolExecutor(_CONNECTIONS if self._client.is_web else 1)
        try:
            for future in [pool.submit(self._deliver, learner, update) for learner, update in updates.items()]:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _deliver(self, learner: str, update: _Update) -> None:
        client, child = self._client, self._children.get(learner)
        if child is None:
            child = client.create(self._memory["experiment"], learner, _millis(update.started), self._tags_of(learner))
            self._memory["runs"][learner] = child.run_id
        wanted = {} if learner in self._described else self._params_of(learner)
        params, edited = _new_params(child, wanted)
        client.log(child.run_id, update.points, params, {**edited, **update.tags})
        self._described.add(learner)
        if child.status != update.status:
            client.set_status(child.run_id, update.status, None if update.ended is None else _millis(update.ended))
        self._children[learner] = child._replace(status=update.status)

    def _tags_of(self, learner: str) -> dict[str, str]:
        return {
            _PARENT: self._parent.run_id,
            _LEARNER_OF: self._mark,
            _LEARNER: learner,
            "rose.run": self._run.name,
            **_common_tags(self._run),
        }

    def _params_of(self, learner: str) -> dict[str, str]:
        planned = self._learners.get(learner)
        if planned is None:
            return {}
        options = {(task, name): value for task, each in planned.options.items() for name, value in each.items()}
        named = {self._names("option", *key): str(value) for key, value in options.items()}
        return {**_facts(planned), **{name: value for name, value in named.items() if name}}

    def close(self, end: t.TrackedEnd) -> None:
        """Send the best values, how each run has ended, and the artifacts."""
        updates: dict[str, _Update] = {}
        for learner in end.learners:
            child = self._children.get(learner.name)
            if child is None:
                continue
            update = _Update(end.time, status=child.status)
            if child.status == _RUNNING:
                update.status, update.ended = _STATUS.get(learner.status, "KILLED"), end.time
            if learner.best is not None and child.tags.get("rose.best_iteration") != str(learner.best_iteration):
                update.tags["rose.best_iteration"] = str(learner.best_iteration)
                update.points += self._best(learner, end)
            updates[learner.name] = update
        self._in_parallel(updates)
        self._close_parent(end)

    def _best(self, learner: t.LearnerEnd, end: t.TrackedEnd) -> list[Point]:
        name, best = self._names("best", _metric(self._learners.get(learner.name))), learner.best
        if name is None or best is None or not math.isfinite(best):
            return []
        return [Point(name, best, _millis(end.time), learner.best_iteration or 0)]

    def _close_parent(self, end: t.TrackedEnd) -> None:
        parent, time, client = self._parent.run_id, _millis(end.time), self._client
        counts = Counter(learner.reason or learner.status for learner in end.learners)
        points = [Point(f"learners/{reason}", count, time, 0) for reason, count in counts.items()]
        tags = {"rose.status": end.status}
        for part in end.campaign:
            points += self._points_of(part)
            texts = {name: value for name, value in part.result.items() if isinstance(value, str)}
            tags |= {tag: value for name, value in texts.items() if (tag := self._names(part.part, name))}
        for learner in end.learners:
            if learner.is_best and (best := self._best(learner, end)):
                points += best
                tags[f"rose.best_learner.{best[0].name.partition('/')[2]}"] = learner.name
        if left_out := self._names.left_out + client.refused:
            tags["rose.left_out"] = f"{left_out} values that MLflow does not accept"
        client.log(parent, points, tags=tags)
        client.set_status(parent, _STATUS.get(end.status, "KILLED"), time)
        try:
            client.upload(parent, end.artifacts.values())
        except t.TrackerError as error:
            message = f"the artifacts are not stored, only the values: {error.message}"
            raise t.TrackerError(message, error.hint, temporary=error.temporary) from error

    def _points_of(self, part: t.CampaignPart) -> Iterator[Point]:
        """The values of the setup or of a finish; those that were sent before are not sent again."""
        key = f"{part.part}.{part.number}"
        sent = self._memory.setdefault("once", [])
        if key in sent:
            return
        sent.append(key)
        values = {"seconds": part.seconds, "core_seconds": part.core_seconds, **t.numbers(part.result)}
        for name, value in values.items():
            if math.isfinite(value) and (named := self._names(part.part, name)) is not None:
                yield Point(named, value, _millis(part.ended), part.number)


class _Names:
    """Names that MLflow accepts: `result/loss`. Different names stay different, even for databases that ignore case."""

    def __init__(self, known: dict[str, str]) -> None:
        """`known` is kept, and grows."""
        self._known = known
        self._used = {name.casefold() for name in known.values()}
        self.left_out = 0

    def __call__(self, *parts: str) -> str | None:
        """The name; None once there are thousands, which MLflow's pages cannot show."""
        key = "\n".join(parts)
        if len(key) > _LONGEST_NAME:
            key = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        if key not in self._known:
            if len(self._known) >= _MOST_NAMES:
                self.left_out += 1
                return None
            base = _valid("/".join(parts))
            name, number = base, 1
            while name.casefold() in self._used:
                number += 1
                name = f"{base}_{number}"
            self._known[key] = name
            self._used.add(name.casefold())
        return self._known[key]


def _valid(name: str) -> str:
    """The name with only characters that MLflow accepts, and none of the parts that a path cannot keep."""
    parts = [part.lstrip("-") or part for part in re.sub(r"[^\w.\- :/]", "_", name).split("/")]
    kept = ["__" if part == ".." else part for part in parts if part not in {"", "."}]
    return "/".join(kept)[:_LONGEST_NAME].strip(" /") or "_"


def _setting(run: t.TrackedRun, name: str) -> str | None:
    value = run.settings.get(name)
    return None if value is None else str(value)


def _experiment(run: t.TrackedRun) -> str:
    return (_setting(run, "experiment") or os.environ.get("MLFLOW_EXPERIMENT_NAME") or run.campaign)[:400]


def _metric(learner: t.TrackedLearner | None) -> str:
    return (learner and learner.metric) or "metric"


def _facts(learner: t.TrackedLearner) -> dict[str, str]:
    """The parameters of a learner besides the options of its tasks."""
    facts = {"seed": learner.seed, "max_iter": learner.max_iter, "metric": learner.metric}
    if learner.metric is not None and learner.threshold is not None:
        facts["criterion"] = f"{learner.metric} {learner.operator} {learner.threshold!r}"
    return {name: str(value) for name, value in facts.items() if value is not None}


def _campaign_params(run: t.TrackedRun) -> dict[str, str]:
    """What all learners have in common, and how many they are."""
    facts = [_facts(learner).items() for learner in run.learners]
    common = set(facts[0]).intersection(*facts[1:]) if facts else set()
    return {"campaign": run.campaign, "learners": str(len(run.learners)), **dict(sorted(common))}


def _campaign_tags(run: t.TrackedRun) -> dict[str, str]:
    directory = str(run.directory.resolve())
    note = f"A run of the campaign `{run.campaign}` by rose {run.rose_version}, in `{directory}`"
    return {"rose.directory": directory, "mlflow.note.content": note, **_common_tags(run)}


def _common_tags(run: t.TrackedRun) -> dict[str, str]:
    """The tags of the campaign's run and of its learners' runs."""
    tags = {"mlflow.source.name": run.campaign, "mlflow.source.type": "LOCAL", "rose.version": run.rose_version}
    with suppress(KeyError, OSError):
        tags["mlflow.user"] = run.directory.owner()
    given = run.settings.get("tags")
    return {**tags, **{_valid(str(name)): str(value) for name, value in (given or {}).items()}}


def _new_params(run: Found, wanted: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The parameters that the run does not have yet; tags for those that an edited campaign changed.

    MLflow's parameters cannot be changed.
    """
    wanted = {name: fit(value) for name, value in wanted.items()}
    new = {name: value for name, value in wanted.items() if name not in run.params}
    edited = {f"edited/{name}": value for name, value in wanted.items() if run.params.get(name, value) != value}
    return new, edited


def _millis(time: float) -> int:
    """UNIX milliseconds; 0 for a time that no clock shows."""
    return int(time * 1000) if math.isfinite(time) and 0 <= time < 1e11 else 0
