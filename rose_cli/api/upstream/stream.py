"""The states of a going run, one after another, and the script's answers to them.

A learner waits until the script has seen its state. Asking for the next state answers that; a script that never asks
again, because it has left its loop, stops the learners when it ends or shuts its learner down.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import weakref
from contextlib import contextmanager, suppress
from dataclasses import field
from typing import TYPE_CHECKING, Any

from rose_cli.api.decisions import Decision, TaskChange
from rose_cli.api.process import Asked, Began, Message, Recorded, SessionProcess
from rose_cli.api.script_errors import warn
from rose_cli.api.upstream.failures import LearnersFailedError, explained
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import RoseError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from rose_cli.api.upstream.control import Control
    from rose_cli.api.upstream.replay import FinishedRun
    from rose_cli.api.upstream.states import IterationState
    from rose_cli.api.upstream.translate import Learning, Translator
    from rose_cli.loop.gate import Question

_REASON = "the script left its loop"


@dataclass(eq=False)
class Running:
    """One run of one learner of the script, from its start to its end."""

    process: SessionProcess | FinishedRun
    translator: Translator
    control: Control
    changes: Callable[[Learning, int], Mapping[str, dict[str, Any]]]
    on_state: Callable[[IterationState], None]
    on_end: Callable[[IterationState | None, str], None]
    ended: Callable[[Running], None]
    handle: weakref.ref[StateStream] | None = None
    asked: tuple[Learning, Question] | None = None
    last: IterationState | None = None
    is_over: bool = False
    told: set[str] = field(default_factory=set)

    # --- messages --------------------------------------------------------------------------------------------------

    def states_of(self, message: Message) -> Iterator[IterationState]:
        """The states that a message makes complete. A question waits for its answer in `asked`."""
        if isinstance(message, Recorded):
            self.translator.replaying = message.record.position < self.process.position
            for learning, state in self.translator.take(message.record):
                yield self._shown(state)
                self._decided_before(learning, state)
        elif isinstance(message, Asked):
            learning = self.translator.learners[message.question.learner]
            self.translator.replaying = False
            state = self.translator.state(learning, message.question.iteration, message.question.value)
            self.asked = learning, message.question
            yield self._shown(state)
        elif not isinstance(message, Began):
            for _, state in self.translator.rest():
                yield self._shown(state)

    def _shown(self, state: IterationState) -> IterationState:
        _make_room()
        self.last = state
        self.on_state(state)
        return state

    def _decided_before(self, learning: Learning, state: IterationState) -> None:
        """The script has seen a state again: what it decides now should be what it decided then, which holds."""
        made = learning.made
        config, self.control.next_config = self.control.next_config, None
        if config is not None:
            learning.config, learning.is_set = config, True
        if made is None or made.iteration != state.iteration or not state.replayed:
            return
        wanted = self.changes(learning, state.iteration + 1) if learning.is_set else {}
        differs = any(learning.sent.get(task, {}) != change for task, change in wanted.items())
        if differs or self.control.is_stopped != made.stop:
            self._tell(
                f"the script now decides differently after iteration {state.iteration}: what it decided when that "
                "iteration ran holds"
            )

    def _tell(self, message: str) -> None:
        if message not in self.told:
            self.told.add(message)
            warn(message)

    # --- answers ---------------------------------------------------------------------------------------------------

    def answer(self) -> None:
        """Let the learner go on that waits for the script, with what the script has decided meanwhile."""
        if self.asked is None:
            return
        learning, question = self.asked
        self.asked = None
        config, self.control.next_config = self.control.next_config, None
        if config is not None:
            learning.config, learning.is_set = config, True
        wanted = self.changes(learning, question.iteration + 1) if learning.is_set else {}
        changes = {task: change for task, change in wanted.items() if learning.sent.get(task, {}) != change}
        stop = self.control.is_stopped
        decision = Decision(
            stop=stop,
            tasks={} if stop else {task: TaskChange(**change) for task, change in changes.items()},
            message="the script called stop()" if stop else None,
        )
        self.process.decide(question, decision)

    def leave(self) -> None:
        """The script will not ask again: the learners stop at the end of their iterations."""
        self.control.is_stopped = True
        if self.asked is not None:
            _, question = self.asked
            self.asked = None
            self.process.decide(question, Decision(stop=True, message=_REASON))

    # --- the end ---------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """The session has ended. Raises an error if a learner failed."""
        if self.is_over:
            return
        self.is_over = True
        self._forget()
        failed = {each.name: each.message for each in self.translator.learners.values() if each.reason == "failed"}
        self.on_end(self.last, self._reason(is_failed=bool(failed)))
        self.ended(self)
        if failed:
            raise LearnersFailedError(failed, self.process.directory)

    def fail(self) -> None:
        """The session could not go on."""
        if not self.is_over:
            self.is_over = True
            self._forget()
            self.on_end(self.last, "error")

    def _forget(self) -> None:
        if self in _running:
            _running.remove(self)

    def settle_message(self, message: Message) -> None:
        """Follow the run to its end, and stop each learner that asks."""
        if isinstance(message, Recorded):
            for _ in self.translator.take(message.record):
                pass
        elif isinstance(message, Asked):
            self.process.decide(message.question, Decision(stop=True, message=_REASON))

    def _reason(self, *, is_failed: bool) -> str:
        reasons = {each.reason for each in self.translator.learners.values()}
        if is_failed:
            return "error"
        if self.control.is_stopped or reasons & {"decided", "cancelled", "pruned", None}:
            return "stopped"
        return "max_iter_reached" if "max_iter" in reasons else "criterion_met"

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do for a later process of the script."""
        learners = self.translator.learners.values()
        return self.is_over and all(each.reason not in (None, "failed") for each in learners)


class StateStream:
    """The states of a learner as they come: for both `for` and `async for`."""

    def __init__(self, opened: Callable[[], Running]) -> None:
        self._open = opened
        self._started: Running | None = None
        self._messages: Iterator[Message] | None = None
        self._amessages: AsyncIterator[Message] | None = None
        self._states: Iterator[IterationState] = iter(())

    @property
    def _running(self) -> Running:
        """The run, which starts when the first state is asked for."""
        if self._started is None:
            settle_left()
            self._started = running = self._open()
            running.handle = weakref.ref(self)
            _running.append(running)
            atexit.register(settle_all)  # runs before what the process of the session has registered
        return self._started

    @property
    def run(self) -> Path | None:
        """The directory of the run, once it has begun."""
        return self._started.process.directory if self._started is not None else None

    def __iter__(self) -> Iterator[IterationState]:
        return self

    def __next__(self) -> IterationState:
        running = self._running
        with _failing(running), running.process.interrupting():
            while (state := next(self._states, None)) is None:
                running.answer()
                if self._messages is None:
                    self._messages = running.process.messages(from_start=True)
                message = next(self._messages, None)
                if message is None:
                    running.finish()
                    break
                self._states = running.states_of(message)
        if state is None:
            raise StopIteration
        return state

    def __aiter__(self) -> AsyncIterator[IterationState]:
        return self

    async def __anext__(self) -> IterationState:
        running = self._running
        with _failing(running):
            while (state := next(self._states, None)) is None:
                running.answer()
                if self._amessages is None:
                    self._amessages = running.process.amessages(from_start=True)
                message = await anext(self._amessages, None)
                if message is None:
                    running.finish()
                    break
                self._states = running.states_of(message)
        if state is None:
            raise StopAsyncIteration
        return state

    async def aclose(self) -> None:
        """Leave the loop: the learners stop."""
        if self._started is not None:
            await asyncio.to_thread(settle, self._started)


_CLEAR_BELOW = "\x1b[J"


def _make_room() -> None:
    """On a terminal, the cursor is at the start of the table: what the script prints takes its place."""
    if sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        sys.stdout.write(_CLEAR_BELOW)
        sys.stdout.flush()


@contextmanager
def _failing(running: Running) -> Iterator[None]:
    """An error ends the run; the script can be run again."""
    try:
        yield
    except RoseError as error:
        running.fail()
        raise explained(error) from None
    except BaseException:
        running.fail()
        raise


# --- runs whose script has left its loop ---------------------------------------------------------------------------

_running: list[Running] = []


def settle(running: Running, *, is_error: bool = False) -> None:
    """End a run whose script asks for no more states. After an error in the script, it can be resumed."""
    if running.is_over:
        return
    if is_error:
        running.process.end("because of an error in the script")
        running.fail()
        return
    running.leave()
    try:
        for message in running.process.messages(from_start=True):
            running.settle_message(message)
        running.finish()
    except RoseError as error:
        running.fail()
        warn(str(explained(error)))


def settle_left() -> None:
    """End the runs whose loops the script has left."""
    for running in _running:
        if running.handle is None or running.handle() is None:
            settle(running)


def settle_all() -> None:
    """At the end of the script."""
    is_error = getattr(sys, "last_exc", getattr(sys, "last_value", None)) is not None
    for running in _running:
        with suppress(Exception):
            settle(running, is_error=is_error)


def settle_those_of(control: Control, *, is_error: bool) -> None:
    """End the runs of one learner."""
    for running in _running:
        if running.control is control:
            settle(running, is_error=is_error)
