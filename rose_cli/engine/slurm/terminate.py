"""Terminates steps while the session lives: TERM, the grace period, KILL, for many steps with one command."""

from __future__ import annotations

import math
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

from rose_cli.engine.base import Activity
from rose_cli.engine.slurm.steps import (
    GHOST_SECONDS,
    GIVE_UP_SECONDS,
    down_nodes,
    is_clean,
    list_steps,
    signal_steps,
    sweep_words,
    tracks_by_parents,
)
from rose_cli.util.dataclass import dataclass
from rose_cli.util.processes import add_helper, signal_group
from rose_cli.util.slurm_commands import clean_environment, run_slurm
from rose_cli.util.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rose_cli.engine.slurm.running import RunningStep
    from rose_cli.engine.slurm.srun import StepFiles
    from rose_cli.engine.slurm.steps import Step

_T = TypeVar("_T")

_PAUSE_SECONDS = 0.05

_LOOK_SECONDS = 2.0
"""How often rose asks about steps of which srun says nothing that it understands."""

_AGAIN_SECONDS = 2.0

_MOST_SWEEPS = 16
"""At the same time: each is a thread and an `srun`."""


@dataclass(eq=False)
class _Ending:
    """A step that is being terminated. `gone` is set once Slurm no longer lists it."""

    step: RunningStep
    kill_at: float
    gone: anyio.Event
    asked: bool = False
    killed_at: float | None = None
    again_at: float = 0.0
    since: float = field(default_factory=time.time)
    clean: set[str] = field(default_factory=set)
    """The nodes on which nothing of it was alive any more, some time after KILL."""


class StepTerminator:
    """Terminates the steps of a session; whoever asks waits until Slurm no longer lists them.

    The steps of all who ask are dealt with together, in rounds of `keep`.
    """

    def __init__(self, files: StepFiles, environment: Mapping[str, str]) -> None:
        self._files = files
        self._environment = environment
        self._endings: set[_Ending] = set()
        self._wake = anyio.Event()
        self._by_parents: bool | None = None
        self._unanswered_since: float | None = None
        self.has_given_up = False
        """Whether a step may be left, which the next resume has to end; its cores stay busy."""
        self._sweeps = anyio.CapacityLimiter(_MOST_SWEEPS)
        self._threads = anyio.CapacityLimiter(math.inf)

    @property
    def activity(self) -> Activity | None:
        if self._unanswered_since is not None:
            return Activity("waiting for Slurm's controller, which does not answer", self._unanswered_since)
        before = time.monotonic() - _AGAIN_SECONDS
        late = [each for each in self._endings if each.killed_at is not None and each.killed_at < before]
        if late:
            words = f"waiting for Slurm to end {counted(len(late), 'step', 'steps')}"
            return Activity(words, min(each.since for each in late))
        return None

    async def answers(self) -> bool:
        """Whether the controller answers."""
        return await self._list() is not None

    async def tracks_by_parents(self) -> bool:
        """Whether Slurm signals all descendants of a step, but may lose sight of those whose parents have ended."""
        if self._by_parents is None:
            self._by_parents = await self._in_thread(partial(tracks_by_parents, self._environment))
        return self._by_parents

    async def terminate(self, steps: Sequence[RunningStep], grace_seconds: float) -> None:
        kill_at = time.monotonic() + grace_seconds
        endings = [_Ending(step, kill_at, anyio.Event()) for step in steps]
        self._endings.update(endings)
        self._wake.set()
        try:
            for ending in endings:
                await ending.gone.wait()
        finally:
            self._endings.difference_update(endings)

    def kill(self, steps: Sequence[RunningStep]) -> None:
        """Kill these steps now, and those that are being terminated; does not wait."""
        ids = [step.messages.step_id for step in steps if step.messages.step_id is not None]
        for step in steps:
            step.abort()
        if ids:
            with suppress(OSError, MemoryError):
                environment = clean_environment(self._environment)
                add_helper(subprocess.Popen(
                    ["scancel", *ids], cwd="/", env=environment, start_new_session=True,
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                ))  # fmt: skip
        for ending in self._endings:
            ending.kill_at = 0.0
        self._wake.set()

    async def keep(self, running: Callable[[], Sequence[RunningStep]]) -> None:
        """Deal with the steps that are being terminated, and find out which of the `running` ones have started."""
        while True:
            if self._endings:
                await self._round()
                await anyio.sleep(_PAUSE_SECONDS)
                continue
            self._wake = anyio.Event()
            with anyio.move_on_after(_LOOK_SECONDS):
                await self._wake.wait()
            await self._look_for_starts(running())

    async def down(self, nodes: Sequence[str]) -> set[str]:
        """Those of the nodes that Slurm calls down."""
        return await self._in_thread(partial(down_nodes, nodes, self._environment))

    # ---- one round

    async def _round(self) -> None:
        endings = list(self._endings)
        for ending in endings:
            ending.step.read()
        steps = await self._list()
        ids = {} if steps is None else {step.name: step.id for step in steps}
        now = time.monotonic()
        dead = await self._dead([ending for ending in endings if ending.killed_at is not None])
        for ending in endings:
            self._settle(ending, steps is not None, ids, now)
            if dead.issuperset(ending.step.nodes) and ending.step.nodes and ending.step.child.has_ended:
                ending.gone.set()
        remaining = [ending for ending in endings if not ending.gone.is_set()]
        await self._ask([ending for ending in remaining if not ending.asked and now < ending.kill_at], ids)
        late = [ending for ending in remaining if ending.kill_at <= now >= ending.again_at]
        if late:
            await self._kill(late, ids)

    async def _dead(self, killed: Sequence[_Ending]) -> set[str]:
        """The nodes that will never end a step, among those where a step does not end."""
        now = time.monotonic()
        late = [ending for ending in killed if ending.killed_at is not None and now > ending.killed_at + _AGAIN_SECONDS]
        return await self.down(sorted({node for ending in late for node in ending.step.nodes})) if late else set()

    def _settle(self, ending: _Ending, answered: bool, ids: Mapping[str, str], now: float) -> None:
        has_ended = ending.step.child.has_ended
        if has_ended and ending.step.name not in ids and (answered or ending.step.messages.finished):
            ending.gone.set()
        elif has_ended and ending.step.messages.all_started and ending.clean.issuperset(ending.step.nodes or "?"):
            self.has_given_up = True
            ending.gone.set()
        elif ending.killed_at is not None and now > ending.killed_at + GIVE_UP_SECONDS:
            if not has_ended:
                signal_group(ending.step.child.pid, signal.SIGKILL)
            self.has_given_up = True
            ending.gone.set()

    async def _ask(self, endings: Sequence[_Ending], ids: Mapping[str, str]) -> None:
        known = []
        for ending in endings:
            step = ending.step
            if (step_id := ids.get(step.name)) is not None:
                known.append(step_id)
                ending.asked = True
            elif not step.messages.launched:
                step.abort()
                ending.asked = True
        if known:
            await self._in_thread(partial(signal_steps, known, "TERM", self._environment))

    async def _kill(self, endings: Sequence[_Ending], ids: Mapping[str, str]) -> None:
        listed = [ending for ending in endings if ending.step.name in ids]
        before = time.monotonic() - GHOST_SECONDS
        old = [ending for ending in listed if ending.killed_at is not None and ending.killed_at < before]
        await self._sweep(listed if await self.tracks_by_parents() else old, old)
        if listed:
            known = [ids[ending.step.name] for ending in listed]
            await self._in_thread(partial(signal_steps, known, None, self._environment))
        for ending in endings:
            now = time.monotonic()
            if ending not in listed or ending.killed_at is not None:
                ending.step.abort()  # which needs no controller
            if ending.killed_at is not None and now > ending.killed_at + 2 * _AGAIN_SECONDS and ending not in listed:
                signal_group(ending.step.child.pid, signal.SIGKILL)
            ending.killed_at = ending.killed_at or now
            ending.again_at = now + _AGAIN_SECONDS

    async def _sweep(self, endings: Sequence[_Ending], old: Sequence[_Ending]) -> None:
        """Kill what Slurm may have lost sight of, as long as its parents live, by whom some of it is found."""
        async with anyio.create_task_group() as group:
            for ending in endings:
                for node in ending.step.nodes:
                    group.start_soon(self._sweep_node, ending, node, ending in old)

    async def _sweep_node(self, ending: _Ending, node: str, is_old: bool) -> None:
        words = sweep_words(self._files.job_id, node, ending.step.tag, exact=True, environment=self._environment)
        async with self._sweeps:
            answer = await self._in_thread(partial(run_slurm, words, 10.0, self._environment))
        if is_old and is_clean(answer):
            ending.clean.add(node)

    async def _look_for_starts(self, running: Sequence[RunningStep]) -> None:
        for step in running:
            step.read()
        silent = [
            step for step in running if not step.messages.started.is_set() and time.time() - step.since > _LOOK_SECONDS
        ]
        if not silent:
            self._unanswered_since = None  # nobody waits for an answer
        else:
            listed = {step.name for step in await self._list() or ()}
            for step in silent:
                if step.name in listed:
                    step.start()

    async def _list(self) -> list[Step] | None:
        steps = await self._in_thread(partial(list_steps, self._files.job_id, self._files.prefix, self._environment))
        self._unanswered_since = None if steps is not None else self._unanswered_since or time.time()
        return steps

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await anyio.to_thread.run_sync(call, limiter=self._threads, abandon_on_cancel=True)
