"""The actions of a crate: what ran, from one pass over the journal; one action for each attempt at a task."""

from __future__ import annotations

import os
import shlex
from collections import defaultdict
from dataclasses import field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rose_cli.journal import events as e
from rose_cli.plan.model import CRITERION
from rose_cli.provenance.entities import clean, local_id, reference, references, time_as_json
from rose_cli.provenance.package import OmittedError, path_in_crate
from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import open_inside
from rose_cli.util.redact import masked_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rose_cli.journal.codec import Record
    from rose_cli.plan.model import CommandPlan
    from rose_cli.provenance.entities import Graph
    from rose_cli.provenance.package import Package, Stored
    from rose_cli.run_info import RunInfo
    from rose_cli.util.files import OpenDirectory

COMPLETED = "http://schema.org/CompletedActionStatus"
FAILED = "http://schema.org/FailedActionStatus"

MOST_ACTIONS = 50_000
"""Of more attempts, the first ones have an action of their own, and all that failed."""

_UNKNOWN = "the plan of the run does not have it any more"

AttemptKey: TypeAlias = "tuple[str, int, str, int, int]"


def attempt_key(event: e.AttemptEvent) -> AttemptKey:
    return event.learner, event.iteration, event.task, event.replica, event.attempt


class FinalFiles:
    """Which attempt wrote each file of a workspace last, and its size then; all others wrote what is gone by now."""

    def __init__(self) -> None:
        self.of: dict[tuple[str, str], tuple[AttemptKey, int]] = {}
        self._by_attempt: dict[AttemptKey, list[tuple[str, int]]] | None = None

    def add(self, record: Record) -> None:
        event = record.event
        if isinstance(event, e.AttemptSucceeded | e.AttemptFailed | e.AttemptCancelled):
            for name, size in event.files.items():
                if size < 0:
                    self.of.pop((event.learner, name), None)
                else:
                    self.of[event.learner, name] = attempt_key(event), size

    def written_by(self, attempt: AttemptKey) -> list[tuple[str, int]]:
        """The files, with their sizes, that are still as this attempt wrote them, by what the journal knows."""
        if self._by_attempt is None:
            self._by_attempt = defaultdict(list)
            for (_, name), (key, size) in self.of.items():
                self._by_attempt[key].append((name, size))
        return self._by_attempt.get(attempt, [])


class _Tool(NamedTuple):
    """The program of a task, as the plan has it: `text`. `version`: the fingerprint of its file, if it is one."""

    identifier: str
    step: str
    task: str
    text: str
    version: str | None


class _Started(NamedTuple):
    time: float
    event: e.AttemptStarted
    session: int


@dataclass
class SessionActions:
    """What a session did: the ControlActions of the attempts that it started."""

    started: float
    event: e.SessionStarted
    controls: list[str] = field(default_factory=list)
    last: float = 0.0
    ended: e.SessionEnded | None = None


@dataclass
class Inputs:
    """`@id`s of what tasks start from: the files of each learner, and the values that all its tasks share."""

    files: Mapping[str, list[str]]
    seeds: Mapping[str, str]


class Actions:
    """Writes an action for every attempt of a journal, record by record."""

    def __init__(
        self,
        info: RunInfo,
        graph: Graph,
        package: Package,
        run: OpenDirectory,
        final: FinalFiles,
        inputs: Inputs,
        programs: Mapping[str, str],
    ) -> None:
        self._info, self._graph, self._package, self._run, self._final = info, graph, package, run, final
        self._inputs, self._programs = inputs, programs
        self._learners = {learner.name: learner for learner in info.plan.everyone}
        self._open: dict[AttemptKey, _Started] = {}
        self._tools: dict[tuple[str, str], _Tool] = {}
        self._count = 0
        self.left_out = 0
        self.omitted: dict[str, int] = {}
        self.sessions: dict[int, SessionActions] = {}
        self.agents: dict[int, str] = {}
        self.results: list[str] = []

    @property
    def seeds(self) -> list[str]:
        return list(self._inputs.seeds.values())

    @property
    def tools(self) -> list[str]:
        return [tool.identifier for tool in self._tools.values()]

    @property
    def steps(self) -> list[str]:
        return [tool.step for tool in self._tools.values()]

    def add(self, record: Record) -> None:
        event, session = record.event, self._session
        if isinstance(event, e.SessionStarted):
            self.sessions[event.session] = SessionActions(record.time, event, last=record.time)
            return
        if session is not None:
            session.last = record.time
        if isinstance(event, e.AttemptStarted):
            self._open[attempt_key(event)] = _Started(record.time, event, max(self.sessions, default=0))
        elif isinstance(event, e.SessionEnded) and session is not None:
            session.ended = event
        elif isinstance(event, e.AttemptSucceeded | e.AttemptFailed | e.AttemptCancelled | e.AttemptLost):
            started = self._open.pop(attempt_key(event), None)
            if started is not None:
                self._ended(started, record.time, event)

    def finish(self) -> None:
        """Write the actions of attempts that have not ended."""
        for started in self._open.values():
            self._ended(started, None, None)

    @property
    def _session(self) -> SessionActions | None:
        return self.sessions[max(self.sessions)] if self.sessions else None

    def _ended(self, started: _Started, time: float | None, event: e.Event | None) -> None:
        if self._count >= MOST_ACTIONS and not isinstance(event, e.AttemptFailed):
            self.left_out += 1
            return
        self._count += 1
        begun = started.event
        key = attempt_key(begun)
        command = self._command(begun)
        tool = self._tool(begun, command)
        results = [*self._reported(begun, event), *self._logs(key), *self._files(key)]
        name = f"{begun.task} of learner {begun.learner}, iteration {begun.iteration}"
        name += f", replica {begun.replica}" if begun.replica else ""
        name += f", attempt {begun.attempt}" if begun.attempt > 1 else ""
        was_lost = isinstance(event, e.AttemptLost)
        action = self._graph.add(
            local_id("run", *key[:2], f"{begun.task}.{begun.replica}", begun.attempt),
            "CreateAction",
            name=clean(name),
            description=clean(self._description(begun, event)),
            instrument=reference(tool.identifier),
            agent=reference(self.agents[started.session]) if started.session in self.agents else None,
            startTime=time_as_json(started.time),
            endTime=None if time is None or was_lost else time_as_json(time),
            actionStatus=None if event is None else COMPLETED if isinstance(event, e.AttemptSucceeded) else FAILED,
            error=_error(event),
            object=references([*self._options(begun), *self._shared(begun.learner)]),
            result=references(results),
            resourceUsage=self._usage(begun),
        )
        self._graph.actions.append(action)
        control = self._graph.add(
            local_id("control", *key[:2], f"{begun.task}.{begun.replica}", begun.attempt), "ControlAction",
            name=clean(f"orchestrate {name}"), instrument=reference(tool.step), object=reference(action),
        )  # fmt: skip
        if started.session in self.sessions:
            self.sessions[started.session].controls.append(control)

    # --- what it ran -------------------------------------------------------------------------------------------------

    def _command(self, event: e.AttemptStarted) -> CommandPlan | None:
        learner = self._learners.get(event.learner)
        steps = learner.all_steps if learner is not None else ()
        return next((step.command(event.iteration) for step in steps if step.task == event.task), None)

    def _tool(self, event: e.AttemptStarted, command: CommandPlan | None) -> _Tool:
        """The program that it ran: learners can have different ones for the same task."""
        given = command.words if command is not None else ()
        words = masked_words(given[1:] if command is not None and command.function else given)
        text = " ".join(words) if command is not None and command.shell else shlex.join(words)
        tool = self._tools.get((event.task, text))
        if tool is None:
            number = 1 + sum(task == event.task for task, _ in self._tools)
            parts = (event.task,) if number == 1 else (event.task, number)
            version = next((self._programs[word] for word in map(_plain, words) if word in self._programs), None)
            tool = _Tool(local_id("tool", *parts), local_id("step", *parts), event.task, text, version)
            self._tools[event.task, text] = tool
        return tool

    def add_tools(self) -> None:
        """Write the tools, with what they take and give, and the steps; once all values are known."""
        learners = self._info.plan.learners
        order = {step.task: place for learner in learners for place, step in enumerate(learner.all_steps, 1)}
        for tool in self._tools.values():
            self._graph.add(
                tool.identifier, "SoftwareApplication", name=clean(tool.task), softwareVersion=tool.version,
                description=clean(f"The program of the task {tool.task}: {tool.text or _UNKNOWN}"),
                input=references(self._graph.parameters(tool.task, "option")),
                output=references(self._graph.parameters(tool.task, "result")),
            )  # fmt: skip
            self._graph.add(
                tool.step, "HowToStep", name=clean(tool.task), position=str(order.get(tool.task, len(order) + 1)),
                workExample=reference(tool.identifier),
            )  # fmt: skip

    def _options(self, event: e.AttemptStarted) -> list[str]:
        return [self._graph.add_value((event.task, "option"), name, value) for name, value in event.options.items()]

    def _shared(self, learner: str) -> list[str]:
        seed = self._inputs.seeds.get(learner)
        return [*([seed] if seed is not None else []), *self._inputs.files.get(learner, ())]

    def _usage(self, event: e.AttemptStarted) -> Any:  # noqa: ANN401 - a reference or None
        cores = event.cores
        if cores is None:
            return None
        return reference(self._graph.add_fact("cores", cores, propertyID="cores", unitCode="C62"))

    def _description(self, begun: e.AttemptStarted, event: e.Event | None) -> str:
        if event is None:
            return "It was running, or its session had just died, when this crate was made."
        ending = {
            e.AttemptSucceeded: "It succeeded.",
            e.AttemptFailed: "It failed.",
            e.AttemptCancelled: "It was cancelled.",
            e.AttemptLost: "It was running when its session or its engine died; when it ended is not known.",
        }
        return f"Attempt {begun.attempt} at one task in one iteration of a learner. {ending[type(event)]}"

    # --- what came of it ---------------------------------------------------------------------------------------------

    def _reported(self, begun: e.AttemptStarted, event: e.Event | None) -> list[str]:
        if isinstance(event, e.AttemptFailed):
            name, value = ("signal", event.signal) if event.signal is not None else ("exit code", event.exit_code)
            return [] if value is None else [self._graph.add_fact(name, value)]
        if not isinstance(event, e.AttemptSucceeded):
            return []
        found = [self._graph.add_fact("exit code", 0)]
        learner = self._learners.get(begun.learner)
        criterion = learner.criterion_of(begun.task) if learner is not None else None
        if event.value is not None and (criterion is not None or begun.task == CRITERION):
            metric = criterion.metric if criterion is not None else "metric"
            found.append(self._graph.add_value((begun.task, "result"), metric, event.value))
        return found + [
            self._graph.add_value((begun.task, "result"), name, value) for name, value in event.result.items()
        ]

    def _logs(self, key: AttemptKey) -> list[str]:
        found = []
        for path in self._info.directory.logs_of(*key):
            name = str(path.relative_to(self._info.directory.path))
            if (stored := self._stored(name, None)) is not None:
                found.append(self._graph.add_file(stored, path.name))
        return found

    def _files(self, key: AttemptKey) -> list[str]:
        found = []
        for name, size in self._final.written_by(key):
            path = self._info.directory.workspace(key[0]) / name
            relative = str(path.relative_to(self._info.directory.path))
            stored = self._stored(relative, size)
            if stored is not None:
                found.append(self._graph.add_file(stored, name))
        self.results += found
        return found

    def _stored(self, name: str, size: int | None) -> Stored | None:
        """A file of the run directory as it is in the crate; None if it cannot be."""
        try:
            descriptor = open_inside(self._run, name)
            if size is None and os.fstat(descriptor).st_size == 0:  # a log without output
                os.close(descriptor)
                return None
            return self._package.add(path_in_crate(name), descriptor, size)
        except FileNotFoundError:
            if size is not None:
                self._omit("no longer exist")
        except OmittedError as error:
            self._omit(str(error).partition(":")[0])
        except (OSError, ValueError):
            self._omit("cannot be read, or are links that lead elsewhere")
        return None

    def _omit(self, reason: str) -> None:
        self.omitted[reason] = self.omitted.get(reason, 0) + 1


def _plain(word: str) -> str:
    """A word as the names of fingerprints have it: from the campaign's directory."""
    for start in ("{campaign_dir}/", "$ROSE_CAMPAIGN_DIR/", "${ROSE_CAMPAIGN_DIR}/", "./"):
        word = word.removeprefix(start)
    return word


def _error(event: e.Event | None) -> str | None:
    if isinstance(event, e.AttemptFailed):
        return clean("\n".join([event.message, *event.stderr_tail]))
    return event.reason if isinstance(event, e.AttemptCancelled | e.AttemptLost) else None
