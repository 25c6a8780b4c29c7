"""A run that is going, started by this program."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, get_args

from rose_cli.api.explained import explaining
from rose_cli.api.iteration import Following, Iteration, Iterations
from rose_cli.api.messages import Resume
from rose_cli.api.notebook import Display, in_notebook
from rose_cli.api.process import Asked, Reading, Recorded, SessionProcess
from rose_cli.api.runs import RunReader
from rose_cli.api.settings import settings_of
from rose_cli.runs.stop_requests import StopRequest, send_request
from rose_cli.util.errors import UsageError, check_known
from rose_cli.view.screen import Output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from rose_cli.api.decisions import Decision
    from rose_cli.api.messages import Job
    from rose_cli.api.runs import PathLike
    from rose_cli.journal.events import Event

    Decide: TypeAlias = Callable[[Iteration], Decision | None]

Item = TypeVar("Item")


def child_output(output: Output) -> Output:
    """What the session shows itself: nothing, where the notebook shows it."""
    return "quiet" if output == "auto" and in_notebook() else output


def page_of(process: SessionProcess) -> str | None:
    """The table of its run as HTML, once that has begun."""
    return None if process.directory is None else Run(process.directory)._repr_html_()


def _check_given(job: Job, decide: object, output: str) -> None:
    """Raises UsageError before anything runs."""
    with explaining():
        check_known("output", output, get_args(Output))
        if decide is not None and not callable(decide):
            raise UsageError(f"`decide` cannot be {decide!r:.60}", "give a function that takes an Iteration")
        for name in ("max_iter", "from_iteration"):
            value = getattr(job, name, None)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
                raise UsageError(f"`{name}` cannot be {value!r:.60}", "give a whole number")


class Stream(Generic[Item]):
    """What happens in a run, for `for` and for `async for`. Each use starts at the beginning of the session."""

    def __init__(
        self,
        process: SessionProcess,
        opened: Callable[[], tuple[Reading, Callable[[], Iterator[Item]]]],
        check: Callable[[], object],
    ) -> None:
        """`check` raises the error of the program that ended the session, if one did."""
        self._process = process
        self._opened = opened
        self._check = check

    def __iter__(self) -> Iterator[Item]:
        yield from self._process.each(*self._opened())
        self._check()

    async def __aiter__(self) -> AsyncIterator[Item]:
        async for item in self._process.aeach(*self._opened()):
            yield item
        self._check()


class Run(RunReader):
    """A run in its directory, going or not."""

    def resume(
        self,
        *,
        set: Mapping[str, Any] | None = None,  # noqa: A002 - as on the command line
        max_iter: int | None = None,
        from_iteration: int | None = None,
        learners: Sequence[str] = (),
        decide: Decide | None = None,
        without_decisions: bool = False,
        output: Output = "auto",
        trust: bool = False,
    ) -> Run:
        """Continue where it stopped, as `rose resume` does, and wait for the end.

        Decisions that are in the journal are not asked for again. Raises RoseError, and KeyboardInterrupt once the
        session has been interrupted.
        """
        return self.start(
            set=set, max_iter=max_iter, from_iteration=from_iteration, learners=learners, decide=decide,
            without_decisions=without_decisions, output=output, trust=trust,
        ).wait()  # fmt: skip

    def start(
        self,
        *,
        set: Mapping[str, Any] | None = None,  # noqa: A002
        max_iter: int | None = None,
        from_iteration: int | None = None,
        learners: Sequence[str] = (),
        decide: Decide | None = None,
        without_decisions: bool = False,
        output: Output = "quiet",
        trust: bool = False,
    ) -> RunningRun:
        """As `resume`, in the background, by default without output."""
        job = Resume(
            self.path, settings_of(set or {}), tuple(learners), max_iter, from_iteration, child_output(output), trust,
            without_decisions,
        )  # fmt: skip
        return RunningRun(job, decide, output)

    def set(self, values: Mapping[str, Any], *, learners: Sequence[str] = (), trust: bool = False) -> tuple[str, ...]:
        """Change values of the run, going or not, by their paths; `learners`: for these only. As `rose set`.

            run.set({"training.--learning_rate": 0.001, "stop.threshold": 0.05})

        Returns what has changed, one line for each value, and nothing if the run has these values already. Each learner
        has them from its next iteration on. Raises CampaignError for values that cannot be, and UsageError for those
        that would falsify what has finished; then nothing is applied.
        """
        from rose_cli.commands.steer import values_set
        from rose_cli.replan.steered import RefusedError

        with explaining():
            try:
                return values_set(self.path, settings_of(values), tuple(learners), trust=trust)
            except RefusedError as error:
                raise UsageError("\n".join([error.message, *error.lines]), *error.hints) from None


def open_run(path: PathLike) -> Run:
    """The run in a directory. Raises RunDirectoryError if there is none."""
    with explaining():
        return Run(path)


class RunningRun:
    """A run that this program has started, and which ends with it.

    Iterating over it gives its iterations as they finish, with `for` and with `async for`; leaving such a loop does not
    stop the run. As a context manager it waits for the end of the run, or stops it if the block raises.
    """

    def __init__(self, job: Job, decide: Decide | None = None, output: Output = "auto") -> None:
        """Start it. Raises EngineError if no process can be started, and UsageError for values that cannot be."""
        _check_given(job, decide, output)
        self._decide = decide
        self._process = SessionProcess(job, gated=decide is not None)
        self._failure: BaseException | None = None
        self._display = Display(self._process, self._page) if output == "auto" and in_notebook() else None
        self._decider: threading.Thread | None = None
        self._is_deciding = threading.Lock()

    @property
    def run(self) -> Run:
        """The run; waits until it has begun. Raises the error that kept it from that."""
        for _ in self._process.each(reading := Reading(self._process, questions=False), reading.take):
            break
        if self._process.directory is None:
            self._process.wait()
        return Run(self._process.run_directory.path)

    @property
    def is_running(self) -> bool:
        return not self._process.has_ended

    def events(self) -> Stream[Event]:
        """The events of this session, as they are in the journal: of the classes in `rose_cli.journal.events`."""

        def opened() -> tuple[Reading, Callable[[], Iterator[Event]]]:
            self._decide_in_background()
            reading = Reading(self._process, questions=False)
            return reading, lambda: (each.record.event for each in reading.take() if isinstance(each, Recorded))

        return Stream(self._process, opened, self._check)

    def iterations(self) -> Stream[Iteration]:
        """The iterations that finish in this session."""

        def opened() -> tuple[Reading, Callable[[], Iterator[Iteration]]]:
            self._decide_in_background()
            reading = Iterations(self._process)
            return reading, reading.take_iterations

        return Stream(self._process, opened, self._check)

    def __iter__(self) -> Iterator[Iteration]:
        return iter(self.iterations())

    def __aiter__(self) -> AsyncIterator[Iteration]:
        return aiter(self.iterations())

    def stop(self, learner: str | None = None) -> None:
        """Stop the run, which can be resumed; or one learner for good. Returns at once."""
        if learner is None:
            self._process.stop("by the program")
            return
        with explaining():
            check_known("learner", learner, self.run.learners)
        send_request(self._process.run_directory.requests, StopRequest(learner))

    def set(self, values: Mapping[str, Any], *, learners: Sequence[str] = ()) -> tuple[str, ...]:
        """Change values while the run is going, as `Run.set`; waits, less than a second, until that is applied."""
        return self.run.set(values, learners=learners)

    def kill(self) -> None:
        """Stop the run, and kill its tasks immediately."""
        self._process.kill()

    def wait(self) -> Run:
        """Wait for the end. Raises the error of the session, or of `decide`; Ctrl-C interrupts the run first."""
        with self._process.interrupting():
            if self._display is not None:
                self._display.follow(self._decide_here if self._must_decide() else None)
            elif self._must_decide():
                self._decide_here()
        self._process.wait()
        self._check()
        return Run(self._process.run_directory.path)

    def __await__(self) -> Generator[object, None, Run]:
        return self._finished().__await__()

    async def _finished(self) -> Run:
        self._decide_in_background()
        reading = Reading(self._process, questions=False)
        try:
            async for _ in self._process.aeach(reading, reading.take):
                pass
        except asyncio.CancelledError:
            self._process.stop("because its program was cancelled")
            raise
        return self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None:
            self.wait()
        else:
            self._process.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None:
            await self
        else:
            self._process.stop()
            await asyncio.get_running_loop().run_in_executor(None, self._process.end)

    def __repr__(self) -> str:
        directory = self._process.directory
        name = f"'{directory.name}'" if directory is not None else "of a campaign"
        return f"<RunningRun {name}: {'running' if self.is_running else 'ended'}>"

    def _ipython_display_(self) -> None:
        """A table that is kept up to date while the run is going."""
        Display(self._process, self._page).follow_in_background()

    def _page(self) -> str | None:
        return page_of(self._process)

    # --- decisions ---

    def _check(self) -> None:
        """Raises the error of `decide`, if that ended the session."""
        if self._decider is not None:
            self._decider.join()
        if self._failure is not None:
            raise self._failure

    def _must_decide(self) -> bool:
        return self._decide is not None and self._decider is None and self._is_deciding.acquire(blocking=False)

    def _decide_here(self) -> None:
        """Answer all questions, in this thread. An exception of `decide` is raised."""
        reading = Following(self._process, questions=True)
        for message in self._process.each(reading, reading.take):
            if isinstance(message, Asked) and self._decide is not None:
                self._process.decide(message.question, self._decide(reading.asked(message)))

    def _decide_in_background(self) -> None:
        if self._must_decide():
            self._decider = threading.Thread(target=self._decide_safely, name="rose-decisions", daemon=True)
            self._decider.start()

    def _decide_safely(self) -> None:
        try:
            with self._process.interrupting():
                self._decide_here()
        except BaseException as error:  # noqa: BLE001 - `wait` raises it
            self._failure = self._failure or error
