"""How learners and steps spend their time (working, waiting, paused), and how long tasks take.

Everything is computed from the times of the records, so journals of every version have it.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable


class Moment(NamedTuple):
    """A time in UNIX seconds, and for how long the session had been suspended until then."""

    time: float = 0.0
    suspended: float = 0.0


_START = Moment()


@dataclass(frozen=True, slots=True)
class TimeSpent:
    """Seconds. `working`: an attempt was running; `waiting`: none was, although the session could start one.

    `paused`: between two sessions, or while rose or its machine was suspended.
    """

    working: float = 0.0
    waiting: float = 0.0
    paused: float = 0.0

    @property
    def elapsed(self) -> float:
        return self.working + self.waiting

    def __add__(self, other: TimeSpent) -> TimeSpent:
        return TimeSpent(self.working + other.working, self.waiting + other.waiting, self.paused + other.paused)

    def __sub__(self, other: TimeSpent) -> TimeSpent:
        return TimeSpent(self.working - other.working, self.waiting - other.waiting, self.paused - other.paused)


class Phase(str, Enum):
    IDLE = "idle"
    WAITING = "waiting"
    WORKING = "working"
    PAUSED = "paused"


@dataclass(slots=True)
class Stopwatch:
    """The seconds spent in each phase. `since` is when the present phase began."""

    phase: Phase = Phase.IDLE
    since: Moment = _START
    working: float = 0.0
    waiting: float = 0.0
    paused: float = 0.0

    @property
    def total(self) -> TimeSpent:
        """Up to `since`."""
        return TimeSpent(self.working, self.waiting, self.paused)

    def turn(self, phase: Phase, moment: Moment) -> None:
        """End the present phase, and begin another."""
        if self.phase is not Phase.IDLE:
            self.working, self.waiting, self.paused = self._seconds(moment)
        self.phase, self.since = phase, moment

    def spent(self, moment: Moment) -> TimeSpent:
        """The total up to `moment`."""
        return self.total if self.phase is Phase.IDLE else TimeSpent(*self._seconds(moment))

    def _seconds(self, moment: Moment) -> tuple[float, float, float]:
        now, suspended_now = moment
        then, suspended_then = self.since
        seconds = now - then if now > then else 0.0
        if self.phase is Phase.PAUSED:
            return self.working, self.waiting, self.paused + seconds
        if suspended_now <= suspended_then:
            suspended, paused = 0.0, self.paused
        else:
            suspended = min(seconds, suspended_now - suspended_then)
            paused = self.paused + suspended
        if self.phase is Phase.WORKING:
            return self.working + (seconds - suspended), self.waiting, paused
        return self.working, self.waiting + (seconds - suspended), paused


@dataclass(slots=True)
class LearnerTimes:
    """The stopwatch of a learner, which runs from its start to its stop, and what its steps' stopwatches need.

    `has_started`: it has had its place in a session. `ready`: when its latest attempt ended or its session started;
    `task_ready`: the same for the present task, so when its replicas began to wait. `counted`: the total up to the end
    of its latest iteration.
    """

    clock: Stopwatch = field(default_factory=Stopwatch)
    has_started: bool = False
    running: int = 0
    task: tuple[int, str] | None = None
    ready: Moment = _START
    task_ready: Moment = _START
    counted: TimeSpent = TimeSpent()

    def start(self, moment: Moment) -> None:
        """It has its place; only the first call has an effect."""
        if not self.has_started:
            self.has_started, self.ready = True, moment
            self.clock.turn(Phase.WAITING, moment)

    def start_attempt(self, step: Stopwatch, iteration: int, task: str, moment: Moment) -> None:
        """An attempt of a step starts. It waited since the task before, or its own attempt before, ended."""
        self.start(moment)
        if self.task != (iteration, task):
            self.task, self.task_ready = (iteration, task), self.ready
        if step.phase is Phase.IDLE:
            step.turn(Phase.WAITING, max(self.task_ready, step.since))
            self.running += 1
        step.turn(Phase.WORKING, moment)
        self.clock.turn(Phase.WORKING, moment)

    def end_attempt(self, step: Stopwatch, moment: Moment) -> None:
        """An attempt has ended. One that was lost with its session has been counted already."""
        self.ready = moment
        if step.phase is Phase.WORKING:
            step.turn(Phase.IDLE, moment)
            self.running -= 1
            if self.running == 0 and self.clock.phase is Phase.WORKING:
                self.clock.turn(Phase.WAITING, moment)

    def finish_iteration(self, moment: Moment) -> TimeSpent:
        """The time spent on the iteration, with what it waited for its first task."""
        before, self.counted = self.counted, self.clock.spent(moment)
        return self.counted - before

    def stop(self, moment: Moment) -> None:
        self.clock.turn(Phase.IDLE, moment)

    def reopen(self, moment: Moment) -> None:
        """It continues, although it had stopped: nobody counts the time since then."""
        self.counted, self.ready, self.task = self.clock.spent(moment), moment, None
        if self.has_started and self.clock.phase is Phase.IDLE:
            self.clock.turn(Phase.WAITING, moment)

    def start_session(self, moment: Moment) -> None:
        self.ready, self.task = moment, None
        if self.clock.phase is Phase.PAUSED:
            self.clock.turn(Phase.WAITING, moment)

    def end_session(self, steps: Iterable[Stopwatch], moment: Moment) -> None:
        """Whatever was running has ended with it."""
        for step in steps:
            step.turn(Phase.IDLE, moment)
        self.running = 0
        if self.clock.phase is not Phase.IDLE:
            self.clock.turn(Phase.PAUSED, moment)


LATEST_IN_LEARNER, LATEST_IN_RUN = 16, 64
"""How many durations the mean follows."""


@dataclass(slots=True)
class Durations:
    """How long the successful attempts of a task took: the longest, and mean and variance of the latest."""

    latest: int = LATEST_IN_LEARNER
    count: int = 0
    longest: float = 0.0
    mean: float = 0.0
    variance: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        weight = max(1 / self.count, 1 / self.latest)
        change = seconds - self.mean
        self.mean += weight * change
        self.variance = (1 - weight) * (self.variance + weight * change * change)
        self.longest = max(self.longest, seconds)
