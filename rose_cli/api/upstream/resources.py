"""Upstream's engines and backends: all of them become the `engine` of the campaign."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from rose_cli.api.script_errors import ScriptError, UnsupportedError
from rose_cli.api.upstream.states import Done

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from typing_extensions import Self

LOCAL = "local.localhost"
_OF_PILOT = ("resource", "runtime", "nodes", "cores", "project", "queue", "access_schema")
_OF_OWN_LOOPS = ("function_task", "executable_task", "prompt_task", "mcp_task", "block")
_OWN_LOOP = "for a loop of your own, write a campaign file: `before`, `tasks` and `when` say what runs when"
_KNOWN = {*_OF_PILOT, "gpus", "kind", "grace", "restarts", "mpi", "srun"}


class ResourceEngine:
    """Where the tasks run: a description as for a pilot of radical.pilot.

    `local.localhost` is this machine, without a pilot; `{"kind": "slurm"}` are steps of the Slurm job of the script.
    The other keys are those of `engine` in a campaign file. Rose starts and stops what is needed itself.
    """

    def __init__(self, description: Mapping[str, Any] | None = None) -> None:
        self.description = dict(description or {})
        if unknown := sorted(self.description.keys() - _KNOWN):
            message = f"an engine has no '{unknown[0]}'"
            raise ScriptError(message, f"choose from {', '.join(sorted(_KNOWN))}")

    def __await__(self) -> Generator[None, None, Self]:
        yield from ()
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """The `engine` of the campaign."""
        given = {key: value for key, value in self.description.items() if value is not None}
        if "kind" in given:
            return given
        if given.get("resource", LOCAL) == LOCAL:
            return {"kind": "local", **{key: given[key] for key in ("cores", "gpus") if key in given}}
        return {"kind": "radical.pilot", **given}

    def shutdown(self, *_: object, **__: object) -> Done:
        """Nothing is left to do: each session of rose ends what it has started."""
        return Done()


class RadicalExecutionBackend(ResourceEngine):
    """A pilot of radical.pilot; `local.localhost` is this machine, without a pilot."""


class ConcurrentExecutionBackend(ResourceEngine):
    """This machine. The executor is not used: rose runs as many tasks at the same time as there are cores."""

    def __init__(self, executor: object = None) -> None:
        super().__init__()
        self.executor = executor


class DragonExecutionBackendV3(ResourceEngine):
    """Not supported."""

    def __init__(self, *_: object, **__: object) -> None:
        hint = "use ConcurrentExecutionBackend() on one machine, or ResourceEngine({'kind': 'slurm'}) in a Slurm job"
        raise UnsupportedError("rose does not run tasks with Dragon", hint)


class WorkflowEngine(ResourceEngine):
    """The engine of a learner, made from a backend."""

    @classmethod
    async def create(cls, backend: ResourceEngine | None = None, dry_run: bool = False, **_: object) -> WorkflowEngine:
        """The same engine as its backend."""
        if dry_run:
            hint = "write campaign_text() of the learner to a file: `rose plan` shows what would run"
            raise UnsupportedError("a dry run is not supported", hint)
        return cls(backend.description if backend is not None else None)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            if name in _OF_OWN_LOOPS:
                raise UnsupportedError(f"rose_cli.WorkflowEngine has no {name}: it runs learners only", _OWN_LOOP)
            raise AttributeError(f"'WorkflowEngine' object has no attribute '{name}'")


def init_default_logger(level: int | str = logging.INFO, **_: object) -> logging.Logger:
    """Show the log messages of the script. What rose does is in its table and in the journal, whatever the level."""
    logging.basicConfig(level=level)
    return logging.getLogger("rose")
