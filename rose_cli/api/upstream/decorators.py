"""The decorators of a learner: `@learner.training_task`, `@learner.training_task(as_executable=False)` and others."""

from __future__ import annotations

from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, overload

from rose_cli.api.script_errors import ScriptError, UnsupportedError
from rose_cli.api.task import in_task
from rose_cli.api.upstream.tracing import Definition

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

P = ParamSpec("P")
R = TypeVar("R")
Owner = TypeVar("Owner", bound="Registers")


class Registers(Protocol):
    """What has tasks."""

    def register(self, definition: Definition, name: str | None = None) -> None:
        """Take a task. `name`: of an algorithm or an environment, where there are several."""


class TaskDecorator:
    """Registers a function as a task of the learner that it belongs to."""

    def __init__(self, owner: Registers, task: str) -> None:
        self._owner = owner
        self._task = task

    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def __call__(
        self, function: None = None, /, *, as_executable: bool = True, log_params: Mapping[str, Any] | None = None,
        **resources: Any,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...  # fmt: skip

    def __call__(
        self, function: Callable[..., Any] | None = None, /, *, as_executable: bool = True,
        log_params: Mapping[str, Any] | None = None, **resources: Any,
    ) -> Any:  # fmt: skip
        """`as_executable`: the function returns a command; else it is the task, and what it returns is its result.

        `log_params`: for trackers. `resources`: ranks, cores_per_rank, gpus_per_rank, mem_per_rank and other keys of a
        task.
        """

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            definition = Definition(self._task, function, as_executable, resources, dict(log_params or {}))
            self._owner.register(definition)
            return Registered(function, self._task)

        return decorate if function is None else decorate(function)


class NamedDecorator:
    """Registers one of several functions for the same task; each has a name."""

    def __init__(self, owner: Registers, task: str) -> None:
        self._owner = owner
        self._task = task

    def __call__(
        self, name: str, *, as_executable: bool = True, log_params: Mapping[str, Any] | None = None, **resources: Any
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """As with the other tasks; `name` is that of an algorithm or an environment."""

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            definition = Definition(self._task, function, as_executable, resources, dict(log_params or {}))
            self._owner.register(definition, str(name))
            return Registered(function, self._task)

        if callable(name):  # as a decorator without a name
            message = f"each function of '{self._task}' needs a name"
            raise ScriptError(message, f"write @learner.{self._task}_task(name='…')")
        return decorate


class Registered(Generic[P, R]):
    """What a decorator returns. Rose calls the function itself; elsewhere a call is an error that says so."""

    def __init__(self, function: Callable[P, R], task: str) -> None:
        self._function = function
        self._task = task
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if in_task():  # used by another function of the script
            return self._function(*args, **kwargs)
        name = getattr(self._function, "__name__", "the function")
        message = f"{name}() is the task '{self._task}' of a learner: the learner runs it"
        hint = "for a loop of your own, write a campaign file: `before`, `tasks` and `when` say what runs when"
        raise UnsupportedError(message, hint)


class Utility(Generic[P, R]):
    """A function that a learner runs once, before its first iteration, if the script calls it before it starts."""

    def __init__(self, function: Callable[P, R], called: Callable[[tuple[Any, ...], dict[str, Any]], None]) -> None:
        self._function = function
        self._called = called
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Later:
        self._called(args, dict(kwargs))
        return Later(getattr(self._function, "__name__", "the function"))


class Later:
    """The result of a task that runs when the learner starts."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __await__(self) -> Generator[None, None, None]:
        yield from ()

    def result(self) -> None:
        """Nothing is known yet."""
        message = f"{self._name}() has not run: it runs when the learner starts, before its first iteration"
        raise UnsupportedError(message, "let it write its result to a file that the other tasks read")
