"""The circuit breaker, and how much tasks may write."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import anyio
import pytest

from rose_cli.engine.base import ExitReason, TaskOutcome
from rose_cli.loop import limits
from rose_cli.loop.limits import CircuitBreaker, DiskLimits
from rose_cli.plan.model import Limits
from tests.loop.simulation import SimulatedLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from rose_cli.util.trees import DiskUsage


def test_what_the_watch_holds_open_is_closed_again(tmp_path: Path) -> None:
    anyio.run(_hold_and_close, tmp_path)


async def _hold_and_close(tmp_path: Path) -> None:
    bounds = DiskLimits(Limits(None, None, None, output_bytes=1), lambda _: tmp_path)
    files = tmp_path / "logs/out", tmp_path / "logs/err"
    with bounds.watched("a", files) as watched:
        watched.begin()
        held = [output.descriptor for output in watched.outputs]
        assert None not in held
        files[0].write_text("more than one")
        assert watched.output_size == 13
    assert [output.descriptor for output in watched.outputs] == [None, None]
    (tmp_path / "link").symlink_to("/etc/passwd")
    with bounds.watched("a", (tmp_path / "link", tmp_path)) as watched:
        watched.begin()
        assert [output.descriptor for output in watched.outputs] == [None, None]


# --- how much tasks may write ----------------------------------------------------------------------------------------


class Disk:
    """Two learners, `a` and `b`, whose attempts are watched in simulated time."""

    def __init__(self, run: Path, **most: int) -> None:
        self.run = run
        self.limits = DiskLimits(Limits(None, None, None, **most), lambda learner: run / learner)
        self.outputs = {learner: run / f"{learner}.out" for learner in "ab"}
        for learner in "ab":
            (run / learner).mkdir(exist_ok=True)

    def simulate(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run it in a loop whose clock jumps; threads take no time."""

        async def main() -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, SimulatedLoop)
            loop.jumping.threads = anyio.to_thread.current_default_thread_limiter()
            with anyio.fail_after(3600):
                await work()

        anyio.run(main, backend_options={"loop_factory": SimulatedLoop})

    def judge(self, outcome: TaskOutcome | None, exceeded: str | None = None) -> TaskOutcome:
        """What becomes of an attempt of `a` that ended like this, after it was perhaps cancelled."""
        found: list[TaskOutcome] = []

        async def judged() -> None:
            with self.limits.watched("a", (self.outputs["a"],)) as watched:
                watched.begin()
                if exceeded is not None:
                    watched.cancel(exceeded)
                found.append(await self.limits.judged(watched, outcome))

        self.simulate(judged)
        return found[0]

    def watch(self, write: Callable[[], object], *, seconds: float = 10.0) -> dict[str, tuple[str | None, float]]:
        """Which limit the attempts of each learner were found to exceed, and when, if `write` happens after 5.1 s."""
        ends: dict[str, tuple[str | None, float]] = {}

        async def attempt(learner: str) -> None:
            with self.limits.watched(learner, (self.outputs[learner],)) as watched:
                watched.begin()
                with watched.scope:
                    await anyio.sleep(seconds)
                ends[learner] = watched.exceeded, anyio.current_time()

        async def later() -> None:
            await anyio.sleep(5.1)
            write()

        async def watched() -> None:
            async with anyio.create_task_group() as watch:
                watch.start_soon(self.limits.watch_output)
                watch.start_soon(self.limits.watch_workspaces)
                async with anyio.create_task_group() as group:
                    for learner in "ab":
                        group.start_soon(attempt, learner)
                    group.start_soon(later)
                watch.cancel_scope.cancel()

        self.simulate(watched)
        return ends


TOO_MUCH_OUTPUT = "wrote more than 10 bytes of output (limits.output)"
TOO_MANY_FILES = "its workspace contains more than 2 files (limits.files)"
TOO_LARGE = "its workspace is larger than 10 bytes (limits.workspace)"
SUCCESS = TaskOutcome(ExitReason.EXITED, 2.0, exit_code=0)


def test_who_prints_too_much_is_cancelled_and_nobody_else(tmp_path: Path) -> None:
    disk = Disk(tmp_path, output_bytes=10)
    disk.outputs["b"].write_text("x" * 10)
    ends = disk.watch(lambda: disk.outputs["a"].write_text("x" * 11))
    assert ends["b"] == (None, 10.0)
    assert ends["a"][0] == TOO_MUCH_OUTPUT
    assert 5.1 < ends["a"][1] <= 5.1 + 0.25


def test_whose_workspace_is_too_large_is_cancelled_and_nobody_else(tmp_path: Path) -> None:
    disk = Disk(tmp_path, workspace_bytes=20_000)
    ends = disk.watch(lambda: (tmp_path / "a/large").write_bytes(b"x" * 30_000))
    assert ends["b"] == (None, 10.0)
    assert (ends["a"][0] or "").endswith("(limits.workspace)")
    assert 5.1 < ends["a"][1] <= 5.1 + 1.0


def test_every_attempt_in_a_workspace_with_too_many_files_is_cancelled(tmp_path: Path) -> None:
    disk = Disk(tmp_path, workspace_files=2)
    found: list[str | None] = []

    async def replica() -> None:
        with disk.limits.watched("a", ()) as watched:
            watched.begin()
            with watched.scope:
                await anyio.sleep(10)
            found.append(watched.exceeded)

    async def work() -> None:
        async with anyio.create_task_group() as watch:
            watch.start_soon(disk.limits.watch_workspaces)
            async with anyio.create_task_group() as group:
                group.start_soon(replica)
                group.start_soon(replica)
                await anyio.sleep(5)
                for name in "xyz":
                    (tmp_path / "a" / name).touch()
            watch.cancel_scope.cancel()

    disk.simulate(work)
    assert found == [TOO_MANY_FILES, TOO_MANY_FILES]


def test_nothing_is_watched_without_a_limit_or_an_attempt(tmp_path: Path) -> None:
    disk = Disk(tmp_path)

    async def both() -> None:
        await disk.limits.watch_output()
        await disk.limits.watch_workspaces()
        assert anyio.current_time() == 0.0

    disk.simulate(both)
    limited = DiskLimits(Limits(None, None, None, None, 1, 1), lambda _: pytest.fail("a workspace is measured"))

    async def nobody_runs() -> None:
        with limited.watched("a", ()):
            pass
        with limited.watched("a", ()), anyio.move_on_after(100):  # it waits in the queue of the engine
            await limited.watch_workspaces()
        assert anyio.current_time() == 100.0

    disk.simulate(nobody_runs)


def test_workspaces_that_take_long_to_measure_are_measured_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path, workspace_files=2)
    measured: list[float] = []

    async def excess(_: object, learner: str) -> None:
        measured.append(anyio.current_time())
        await anyio.sleep(0.5 if len(measured) == 1 else 0.0)

    monkeypatch.setattr(DiskLimits, "_excess_in", excess)

    async def work() -> None:
        with disk.limits.watched("a", ()) as watched, anyio.move_on_after(30):
            watched.begin()
            await disk.limits.watch_workspaces()

    disk.simulate(work)
    assert measured[:4] == [1.0, 26.5, 27.5, 28.5], "a fiftieth of the time at most"


def test_an_attempt_that_was_cancelled_for_its_limit_says_which_and_how_long_it_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path)
    times = iter((110.0, 117.5))
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: next(times)))
    judged = disk.judge(None, TOO_LARGE)
    assert judged == TaskOutcome(ExitReason.OVER_LIMIT, 7.5, message=TOO_LARGE), "since it had its slot"


def test_who_exceeds_a_limit_at_the_very_end_has_failed_too(tmp_path: Path) -> None:
    disk = Disk(tmp_path, output_bytes=10, workspace_files=2)
    over = TaskOutcome(ExitReason.OVER_LIMIT, 2.0, message=TOO_MUCH_OUTPUT)
    assert disk.judge(SUCCESS) == SUCCESS
    disk.outputs["a"].write_text("x" * 10)
    assert disk.judge(SUCCESS) == SUCCESS, "exactly the limit"
    disk.outputs["a"].write_text("x" * 11)
    assert disk.judge(SUCCESS) == over
    killed = TaskOutcome(ExitReason.SIGNALLED, 2.0, signal=9)
    assert disk.judge(killed) == over
    for reason in (ExitReason.LOST, ExitReason.TIMED_OUT, ExitReason.NOT_STARTED):
        outcome = TaskOutcome(reason, 2.0)
        assert disk.judge(outcome) == outcome
    disk.outputs["a"].unlink()
    assert disk.judge(SUCCESS, TOO_LARGE).message == TOO_LARGE, "what it was cancelled for counts"


def test_a_limit_is_what_a_workspace_may_just_reach(tmp_path: Path) -> None:
    disk = Disk(tmp_path, workspace_files=2)
    (tmp_path / "a/one").touch()
    (tmp_path / "a/two").touch()
    assert disk.judge(SUCCESS) == SUCCESS
    (tmp_path / "a/three").touch()
    assert disk.judge(SUCCESS).message == TOO_MANY_FILES


def test_the_size_of_a_workspace_has_a_limit_too(tmp_path: Path) -> None:
    disk = Disk(tmp_path, workspace_bytes=10)
    assert disk.judge(SUCCESS) in (SUCCESS, TaskOutcome(ExitReason.OVER_LIMIT, 2.0, message=TOO_LARGE))
    (tmp_path / "a/large").write_bytes(b"x" * 100_000)
    assert disk.judge(SUCCESS) == TaskOutcome(ExitReason.OVER_LIMIT, 2.0, message=TOO_LARGE)
    roomy = DiskLimits(Limits(None, None, None, None, 99, 1 << 30), lambda _: tmp_path / "a")
    disk.limits = roomy
    assert disk.judge(SUCCESS) == SUCCESS


def test_counting_ends_where_a_limit_is_exceeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workspace with a million files is not walked to its end every second."""
    counted: list[bool] = []

    def count(_: Path, usage: DiskUsage, *, sizes: bool) -> Iterator[None]:
        while True:
            usage.files += 1
            counted.append(sizes)
            yield

    monkeypatch.setattr(limits, "count_usage", count)
    assert Disk(tmp_path, workspace_files=2).judge(SUCCESS).message == TOO_MANY_FILES
    assert counted == [False] * 3, "sizes cost a look at each file, and are left out without a limit on them"
    large = Disk(tmp_path, workspace_files=1_000, workspace_bytes=10)
    assert large.judge(SUCCESS).message == "its workspace contains more than 1,000 files (limits.files)"
    assert counted[3:] == [True] * 1_001


def test_a_deleted_output_still_counts_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    disk = Disk(tmp_path, output_bytes=10)

    async def work() -> None:
        with disk.limits.watched("a", (disk.outputs["a"], tmp_path / "a.err")) as watched:
            assert watched.output_size == 0, "it has no slot yet, and no files"
            watched.begin()
            with disk.outputs["a"].open("w") as output:
                disk.outputs["a"].unlink()
                output.write("x" * 11)
            assert watched.output_size == 11

    disk.simulate(work)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_without_descriptors_to_spare_outputs_are_not_held_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "is_spare_descriptor", lambda _: False)
    disk = Disk(tmp_path)

    async def work() -> None:
        before = open_descriptors()
        with disk.limits.watched("a", (disk.outputs["a"],)) as watched:
            watched.begin()
            assert [output.descriptor for output in watched.outputs] == [None]
            assert open_descriptors() == before
            disk.outputs["a"].write_text("three")
            assert watched.output_size == 5

    disk.simulate(work)


def test_the_breaker_trips_at_the_last_of_equal_failures_of_a_task() -> None:
    breaker = CircuitBreaker(3)
    assert [breaker.trips("s", kind="x") for _ in range(4)] == [False, False, True, True]
    breaker.reset("s")
    assert [breaker.trips("s", kind=kind) for kind in "xxyyxxx"] == [False] * 6 + [True]
    assert [breaker.trips("t", kind="x") for _ in range(2)] == [False, False], "each task is counted by itself"
    breaker.reset("nobody")
    assert CircuitBreaker(1).trips("s", kind="x")
    assert not any(CircuitBreaker(None).trips("s", kind="x") for _ in range(9))
