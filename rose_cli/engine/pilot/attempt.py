"""One attempt on a pilot: what has been heard of it, and what that says about its end."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import anyio

from rose_cli.engine.base import Ended, TaskOutcome
from rose_cli.engine.launch import prepare
from rose_cli.engine.outcome import ExitStatus, ended
from rose_cli.engine.processes import MARK_VARIABLE, open_pidfd, read_process
from rose_cli.engine.programs import NotStartedError, why_not_executed
from rose_cli.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rose_cli.engine.base import TaskRequest
    from rose_cli.engine.ending import Ending
    from rose_cli.engine.pilot.script import TaskScript
    from rose_cli.engine.processes import Identity

Json = dict[str, Any]

_NO_PROGRAM = (126, 127)
_BY_SIGNAL = 128


class Attempt:
    """It starts and ends once, whoever tells first: the task's own script, radical.pilot, or the end of the pilot."""

    def __init__(self, request: TaskRequest, script: TaskScript, environment: Mapping[str, str], *, here: bool) -> None:
        self.request = request
        self.script = script
        self._environment = environment
        self._here = here
        self.process: Identity | None = None
        self.started = anyio.Event()
        self.over = anyio.Event()
        self.lost: str | None = None
        self.began = time.monotonic()
        self.ended = self.began
        self._code: str | None = None
        self._final: Json | None = None

    @property
    def mark(self) -> str:
        """What its processes are known by."""
        return self._environment[MARK_VARIABLE]

    def on_notice(self, words: list[str]) -> None:
        """From its script, on this machine."""
        if words[0] == "start":
            self.process = int(words[1]), int(words[2])
            self._start()
        else:
            self._code = words[1]
            self._end()

    def on_message(self, message: Json) -> None:
        """From radical.pilot."""
        if message["kind"] == "running":
            if not self._here:  # it comes a moment before the start, which its script tells
                self._start()
        else:
            self._final = message
            self._end()

    def has_ended(self) -> bool:
        """Whether it has, also where that was not heard yet: rose may have been suspended."""
        if self.script.read_record() is not None:
            self._end()
        return self.over.is_set()

    def give_up(self, reason: str) -> None:
        """However it ends from now on, that says nothing about the task."""
        if not self.over.is_set():
            self.lost = self.lost or reason

    def lose(self, reason: str) -> None:
        self.give_up(reason)
        self._end()

    async def script_gone(self) -> None:
        """The script has told its end and is about to end itself."""
        if self.process is None:
            return
        descriptor = open_pidfd(self.process[0])
        if descriptor is None:
            return
        process = read_process(self.process[0])
        try:
            if process is not None and process.identity == self.process:
                await anyio.wait_readable(descriptor)
        finally:
            os.close(descriptor)

    def outcome(self, ending: Ending) -> TaskOutcome:
        """How it ended; `ending` is that of what it left behind. Raises EngineError where it must not run at all."""
        seconds = self.ended - self.began
        if self.lost is not None:
            return TaskOutcome(Ended.LOST, seconds, message=self.lost)
        code = self._code or self.script.read_record() or self._exit_code()
        if code == "held":
            raise EngineError(f"a task of an earlier pilot still works in '{self.request.directory}'")
        if code == "over":
            return TaskOutcome(Ended.LOST, seconds, message="its pilot was given up before it began")
        if code is None or code == "nowhere":
            return TaskOutcome(Ended.NOT_STARTED, seconds, message=self._unstarted())
        number = int(code)
        if number in _NO_PROGRAM and not self.request.pre_exec and (why := self._no_program()):
            return TaskOutcome(Ended.NOT_STARTED, seconds, message=why)
        outcome = ended(_status(number), ending, seconds)
        return self.script.note.judged(self.request, outcome) if self.request.pre_exec else outcome

    def _start(self) -> None:
        if not self.started.is_set():
            self.began = time.monotonic()
            self.started.set()

    def _end(self) -> None:
        if not self.over.is_set():
            self.ended = time.monotonic()
            self.started.set()
            self.over.set()

    def _exit_code(self) -> str | None:
        code = self._final and self._final["exit_code"]
        return None if code is None else str(code)

    def _unstarted(self) -> str:
        said = self._final and self._final["message"]
        return self._no_program() or f"radical.pilot could not start it{f': {said}' if said else ''}"

    def _no_program(self) -> str | None:
        """Why the program could not be started; None where it could."""
        try:
            prepare(self.request, self._environment)
        except NotStartedError as error:
            return str(error)
        if self.request.pre_exec:
            return None
        search_path = self._environment.get("PATH", os.defpath)
        return why_not_executed(self.request.argv, search_path, self.request.directory)


def _status(code: int) -> ExitStatus:
    """A shell tells of a signal as 128 and its number; a program that exits with such a code looks the same.

    Where the script was ended as well, radical.pilot has the number of the signal below zero.
    """
    if code < 0:
        return ExitStatus(signal=-code)
    by_signal = code - _BY_SIGNAL in set(signal.Signals)
    return ExitStatus(signal=code - _BY_SIGNAL) if by_signal else ExitStatus(code=code)
