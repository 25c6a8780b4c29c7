"""Checks the modules that Python tasks preload."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from rose_cli.check.installed import InstalledModules
from rose_cli.config.rules import AUTO
from rose_cli.plan.compile import why_never_warm
from rose_cli.util.errors import Diagnostic, KeyPath, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from rose_cli.check.origin import Layer
    from rose_cli.config.models import Campaign, Engine, TaskFields
    from rose_cli.plan.context import CheckContext
    from rose_cli.plan.model import CommandPlan, Plan


class PreloadChecker:
    """Checks what the tasks of a campaign preload."""

    def __init__(self, engine: Engine, ctx: CheckContext) -> None:
        self._kind = engine.kind
        self._ctx = ctx
        self._installed: dict[str, InstalledModules | None] = {}

    def check(self, command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Diagnostic]:
        """Check what a layer of this command preloads; `layers` go from the most specific one to the declaration."""
        layer = next((layer for layer in layers if layer.defines("preload")), None)
        if layer is None or not layer.fields.preload:
            return
        path, why = (*layer.path, "preload"), why_never_warm(command)
        if why is not None:
            depends_on = ((*layer.path, "executable"), ("pre_exec",))
            yield _without_effect(path, why, "remove it", depends_on)
        elif self._kind != "local":
            yield _not_local(path, self._kind)
        yield from self._check_modules(layer.fields.preload, path, [command])

    def check_common(self, campaign: Campaign, plan: Plan) -> Iterator[Diagnostic]:
        """Check what the campaign preloads for all tasks; no matter that some of them do not run Python."""
        if not campaign.preload:
            return
        steps = {id(step): step for learner in plan.everyone for step in learner.all_steps}.values()
        commands = [command for step in steps for command in step.commands]
        whys = [why_never_warm(command) for command in commands]
        if whys and None not in whys:
            why = whys[0] if len(set(whys)) == 1 else "no task starts Python directly"
            yield _without_effect(("preload",), str(why), "remove it", (("tasks",), ("learners",), ("pre_exec",)))
        elif self._kind != "local":
            yield _not_local(("preload",), self._kind)
        yield from self._check_modules(campaign.preload, ("preload",), commands)

    def _check_modules(
        self, modules: Sequence[str], path: KeyPath, commands: Sequence[CommandPlan]
    ) -> Iterator[Diagnostic]:
        """The user's own modules must be imported afresh: they may read the iteration, and may be edited in a run."""
        directories = _own_directories(commands, self._ctx)
        given = [command for command in commands if command.preload == tuple(modules) and not why_never_warm(command)]
        pythons = {name: self._modules_of(name) for name in map(_python_of, given)} if self._kind == "local" else {}
        for position, name in enumerate(modules if tuple(modules) != (AUTO,) else ()):
            at = (*path, position)
            file = next((file for each in directories if (file := _file_of(name, each)) is not None), None)
            if file is not None:
                message = (
                    f"the module '{name}' is beside the campaign file, in '{file}': it is imported afresh in every task"
                )
                yield Diagnostic("own-module", message, at, "remove it; preload only installed packages")
                continue
            lacking = [None if installed is None else installed.lacks(name) for installed in pythons.values()]
            if lacking and None not in lacking:
                yield _not_installed(lacking[0], name, at)

    def _modules_of(self, python: str | None) -> InstalledModules | None:
        if python is None:
            return None
        if python not in self._installed:
            self._installed[python] = InstalledModules.of(python, self._ctx.environment)
        return self._installed[python]


def _python_of(command: CommandPlan) -> str | None:
    """The interpreter, if its modules can be known before it runs."""
    word = command.words[0]
    is_unsure = {"PATH", "PYTHONPATH", "PYTHONHOME"} & {*command.environment} or ("/" in word and word[0] != "/")
    return None if is_unsure else sys.executable if word == "{python}" else word


def _not_installed(lacking: tuple[str, str | None] | None, name: str, path: KeyPath) -> Diagnostic:
    part, near = lacking or (name, None)
    hint = f"did you mean '{near}{name[len(part) :]}'?" if near else "install it, or remove it from the list"
    message = f"no module '{part}' is installed: every task with this list starts in a new interpreter"
    return Diagnostic("not-installed", message, path, hint, Severity.WARNING, depends_on=(("pre_exec",), ("env",)))


def _without_effect(path: KeyPath, why: str, hint: str, depends_on: tuple[KeyPath, ...]) -> Diagnostic:
    message = f"'preload' has no effect: {why}"
    return Diagnostic("unused-preload", message, path, hint, Severity.WARNING, at_key=True, depends_on=depends_on)


def _not_local(path: KeyPath, kind: str) -> Diagnostic:
    hint = "remove it, or keep it for the local engine and add the comment '# rose: allow unused-preload'"
    why = f"on {kind}, each task starts a new interpreter"
    return _without_effect(path, why, hint, (("engine", "kind"),))


def _own_directories(commands: Iterable[CommandPlan], ctx: CheckContext) -> list[Path]:
    """Where Python finds the user's own modules: beside the campaign file, and beside each script."""
    scripts = {command.words[position] for command in commands for position in command.beside or ()}
    return [ctx.campaign_dir, *{(ctx.campaign_dir / script).parent: None for script in sorted(scripts)}]


def _file_of(module: str, directory: Path) -> str | None:
    """The file in a directory that has the module, or the package that it is in, as the user calls it."""
    first, *_ = parts = module.split(".")
    files = (f"{first}.py", f"{first}/__init__.py", "/".join(parts) + ".py", "/".join(parts) + "/__init__.py")
    return next((file for file in files if os.path.isfile(directory / file)), None)  # noqa: PTH113 - does not raise
