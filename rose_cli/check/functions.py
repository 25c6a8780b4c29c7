"""Checks the functions of tasks by reading their modules, never by importing them."""

from __future__ import annotations

import ast
import shutil
import sys
from dataclasses import field, replace
from typing import TYPE_CHECKING

from rose_cli.check.installed import MOST_BYTES, InstalledModules, libraries_of
from rose_cli.check.origin import origin_of
from rose_cli.engine.function import CONTEXT, OF_CAMPAIGN, parameter_of
from rose_cli.plan.words import file_of_module
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Diagnostic, KeyPath, Severity
from rose_cli.util.files import read_regular
from rose_cli.util.text import cut, did_you_mean, listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from rose_cli.check.origin import Layer
    from rose_cli.config.models import TaskFields
    from rose_cli.plan.context import CheckContext
    from rose_cli.plan.model import CommandPlan, OptionValue

_MOST_NAMED = 6


@dataclass(frozen=True)
class _Parameters:
    """What can be passed by keyword: `names`, of which some are `needed`; `others`: it takes any other name too."""

    names: tuple[str, ...]
    needed: tuple[str, ...]
    positional: tuple[str, ...]
    others: bool


@dataclass(frozen=True)
class _Module:
    """The names that a module defines. `functions` have None where only running the module shows the parameters.

    `is_open`: it might define others.
    """

    file: str
    functions: Mapping[str, _Parameters | None]
    classes: frozenset[str]
    is_open: bool


class FunctionChecker:
    """Checks each variant of a task that calls a function."""

    def __init__(self, ctx: CheckContext, *, is_local: bool, swept: Mapping[str, Collection[str]]) -> None:
        """`swept`: the options that a sweep sets, by task."""
        self._ctx = ctx
        self._swept = swept
        self._is_local = is_local
        self._modules: dict[str, _Module | Diagnostic | None] = {}
        self._bad: set[str] = set()

    def uses(self, command: CommandPlan, parameter: str) -> bool:
        """Whether a command uses a parameter of the campaign; so does a function whose own are not known."""
        if parameter not in command.parameters or command.called is None:
            return parameter in command.parameters
        name, _, attribute = command.called.partition(":")
        module = self._module(name, command)
        known = module.functions.get(attribute) if isinstance(module, _Module) else None
        return known is None or known.others or parameter in known.names or "parameters" in known.names

    def check(self, command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Diagnostic]:
        """`layers` go from the most specific one to the declaration."""
        if command.called is None:
            return
        at = origin_of(layers, "function")
        yield from _check_layers(command, layers)
        yield from _check_names(command, layers)
        name, _, attribute = command.called.partition(":")
        module = self._module(name, command)
        if isinstance(module, Diagnostic):
            if module.code == "missing-module":
                yield replace(module, path=at, depends_on=(("files",),))
            elif name not in self._bad:  # once, not for each task
                self._bad.add(name)
                yield replace(module, path=at)
        elif module is not None:
            swept = frozenset(map(parameter_of, self._swept.get(str(layers[-1].path[-1]), ())))
            yield from _check_function(command, module, attribute, layers, at, swept)

    def _module(self, name: str, command: CommandPlan) -> _Module | Diagnostic | None:
        """The module beside the campaign file; None if it is installed, or nobody knows."""
        if name not in self._modules:
            file = file_of_module(name, str(self._ctx.campaign_dir))
            self._modules[name] = _read(self._ctx.campaign_dir, file) if file is not None else self._missing(name)
        found = self._modules[name]
        is_unsure = command.pre_exec or not self._is_local or "PYTHONPATH" in command.environment
        if isinstance(found, Diagnostic) and found.code == "missing-module" and is_unsure:
            return None
        if isinstance(found, Diagnostic) and (is_unsure or _has_newer_python(self._ctx.environment)):
            return replace(found, severity=Severity.WARNING)  # it may know a syntax that this Python does not
        return found

    def _missing(self, name: str) -> Diagnostic | None:
        """The error for a module that is neither beside the campaign file nor, as far as known, installed."""
        first = name.partition(".")[0]
        installed = InstalledModules.of("python", self._ctx.environment)
        is_installed = None if installed is None else installed.has(first)
        near = did_you_mean(name, _modules_beside(name, self._ctx.campaign_dir))
        if is_installed or (is_installed is None and near is None):
            return None
        message = f"there is no module '{name}' beside the campaign file"
        message += "" if is_installed is None else ", and none is installed"
        hint = near or f"write the function to '{name.replace('.', '/')}.py', or install the module"
        return Diagnostic("missing-module", message, hint=hint)


def _modules_beside(name: str, directory: Path) -> list[str]:
    """The modules and packages in the place where a module was expected."""
    *packages, _ = name.split(".")
    place = directory.joinpath(*packages)
    found = {path.stem for path in place.glob("*.py")} | {path.parent.name for path in place.glob("*/__init__.py")}
    return [".".join([*packages, each]) for each in sorted(found) if each != "__init__"]


def _has_newer_python(environment: Mapping[str, str]) -> bool:
    """Whether the `python` of the tasks might be newer than the one that runs rose."""
    program = shutil.which("python", path=environment.get("PATH", ""))
    minors = [place.name.removeprefix("python3.") for place in libraries_of(program)] if program is not None else []
    return any(minor.isdecimal() and int(minor) > sys.version_info.minor for minor in minors)


def _read(directory: Path, file: str) -> _Module | Diagnostic:
    try:
        tree = ast.parse(read_regular(directory / file, MOST_BYTES), file)
    except SyntaxError as error:
        place = f"{file}:{error.lineno}:{error.offset or 1}" if error.lineno else file
        line = f"correct that line: {cut(error.text.strip(), 60)}" if error.text else "correct that file"
        return Diagnostic("bad-module", f"syntax error in {place}: {error.msg}", hint=line)
    except (OSError, ValueError, RecursionError, MemoryError):
        message = f"'{file}' cannot be read as Python"
        hint = f"run `python -m py_compile {file}`: it shows why"
        return Diagnostic("bad-module", message, hint=hint, severity=Severity.WARNING)
    names = _Names()
    names.read(tree.body)
    return _Module(file, names.functions, frozenset(names.classes), names.is_open)


@dataclass
class _Names:
    """The names that statements define at the level of the module."""

    functions: dict[str, _Parameters | None] = field(default_factory=dict)
    classes: set[str] = field(default_factory=set)
    is_open: bool = False

    def read(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            self._read(statement)

    def _read(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            known = not statement.decorator_list and statement.name not in self.functions
            self.functions[statement.name] = _parameters(statement.args) if known else None
            return
        if isinstance(statement, ast.ClassDef):
            self.classes.add(statement.name)
            return
        for node in ast.walk(statement):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.functions[node.name] = None
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.functions[node.id] = None
            elif isinstance(node, ast.alias):
                self.is_open |= node.name == "*"
                self.functions[node.asname or node.name.partition(".")[0]] = None
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                self.is_open |= node.func.id in ("globals", "setattr", "exec")


def _parameters(given: ast.arguments) -> _Parameters:
    positional, by_name = [each.arg for each in given.posonlyargs], [each.arg for each in given.args]
    both = [*positional, *by_name]
    needed = both[: len(both) - len(given.defaults)]
    keyword = [each.arg for each in given.kwonlyargs]
    needed += [name for name, default in zip(keyword, given.kw_defaults, strict=True) if default is None]
    return _Parameters((*by_name, *keyword), tuple(needed), tuple(positional), given.kwarg is not None)


def problems_with_options(
    command: CommandPlan, options: Mapping[str, OptionValue], directory: Path
) -> list[Diagnostic]:
    """What is wrong with a command that calls a function, if its options become these; not what was wrong before."""
    if command.called is None:
        return []
    name, _, attribute = command.called.partition(":")
    file = file_of_module(name, str(directory))
    module = _read(directory, file) if file is not None else None

    def found(command: CommandPlan) -> Iterator[Diagnostic]:
        yield from _check_names(command, ())
        if isinstance(module, _Module):
            yield from _check_function(command, module, attribute, (), ("options",), frozenset())

    before = {each.message for each in found(command)}
    return [each for each in found(replace(command, options=options)) if each.message not in before]


# --- diagnostics ---------------------------------------------------------------------------------------------------


def _check_layers(command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Diagnostic]:
    """What a level sets although the function comes from another one."""
    for layer in layers:
        if layer.fields.args:
            hint = "write them under 'options': a function gets its arguments by name"
            message = f"'args' cannot be passed to the function '{command.called}'"
            yield Diagnostic("conflicting-keys", message, (*layer.path, "args"), hint, at_key=True)
    if command.ranks > 1:
        message = f"the function '{command.called}' cannot run in {command.ranks} ranks"
        hint = "start ranks with an 'executable', or set cores_per_rank for a function that uses several cores"
        yield Diagnostic("conflicting-keys", message, origin_of(layers, "ranks"), hint, at_key=True)


def _option_path(layers: Sequence[Layer[TaskFields]], name: str) -> KeyPath:
    """Where the most specific layer sets an option."""
    for layer in layers:
        for key in ("adaptive", "options"):
            if name in (getattr(layer.fields, key) or {}):
                return (*layer.path, key, name)
    return (*layers[-1].path, "options") if layers else ("options", name)


def _check_names(command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Diagnostic]:
    known: dict[str, str] = {}
    for name in command.options:
        parameter = parameter_of(name)
        if not parameter.isidentifier():
            message = f"the option '{name}' cannot be an argument of a function"
            hint = "use letters, digits, '_' and '-', starting with a letter"
            yield Diagnostic("bad-name", message, _option_path(layers, name), hint, at_key=True)
        elif (other := known.setdefault(parameter, name)) != name:
            message = f"the options '{other}' and '{name}' are both the argument '{parameter}'"
            yield Diagnostic("duplicate-key", message, _option_path(layers, name), "remove one of the two", at_key=True)


def _check_function(
    command: CommandPlan,
    module: _Module,
    attribute: str,
    layers: Sequence[Layer[TaskFields]],
    at: KeyPath,
    swept: frozenset[str],
) -> Iterator[Diagnostic]:
    if attribute not in module.functions:
        if attribute in module.classes:
            message = f"the name '{attribute}' in '{module.file}' is that of a class, not of a function"
            yield Diagnostic(
                "missing-function", message, at, "name a function that uses it and returns a dict or a number"
            )
        elif not module.is_open:
            message = f"there is no function '{attribute}' in '{module.file}'"
            known = [name for name, parameters in module.functions.items() if parameters is not None]
            hint = did_you_mean(attribute, known) or (
                f"it has {listed([f'{name}()' for name in known], _MOST_NAMED)}" if known else "define it there"
            )
            yield Diagnostic("missing-function", message, at, hint)
        return
    parameters = module.functions[attribute]
    if parameters is None:
        return
    given = {parameter_of(name): name for name in command.options}
    yield from _unknown(attribute, module, parameters, given, layers)
    filled_in = {*CONTEXT, *command.replica_axes}
    missing = [
        name
        for name in parameters.needed
        if name not in given and (not (name in filled_in or _is_known(name, command)) or name in parameters.positional)
    ]
    misspelt = [] if parameters.others else [name for name in given if name not in parameters.names]
    misspelt += [] if parameters.others else [name for name in swept if name not in parameters.names]
    missing = [name for name in missing if name not in swept and not any(did_you_mean(o, [name]) for o in misspelt)]
    if missing:
        yield _lacking(attribute, module, parameters, missing, at)


def _is_known(name: str, command: CommandPlan) -> bool:
    """Whether rose gives it to a function that asks for it."""
    return name in CONTEXT or name in command.parameters or name in OF_CAMPAIGN


def _unknown(
    attribute: str,
    module: _Module,
    parameters: _Parameters,
    given: Mapping[str, str],
    layers: Sequence[Layer[TaskFields]],
) -> Iterator[Diagnostic]:
    for parameter, name in given.items():
        if parameter in parameters.names or parameters.others or not parameter.isidentifier():
            continue
        message = f"{attribute}() in '{module.file}' has no parameter '{parameter}'"
        free = [each for each in parameters.names if each not in given and each not in CONTEXT]
        hint = did_you_mean(parameter, free)
        if hint is None:
            hint = (
                f"it has {listed(list(parameters.names), _MOST_NAMED)}" if parameters.names else "it has no parameters"
            )
        yield Diagnostic("unknown-parameter", message, _option_path(layers, name), hint, at_key=True)


def _lacking(
    attribute: str, module: _Module, parameters: _Parameters, missing: Sequence[str], at: KeyPath
) -> Diagnostic:
    by_position = [name for name in missing if name in parameters.positional]
    if by_position:
        message = f"{attribute}() in '{module.file}' takes '{by_position[0]}' only by position"
        return Diagnostic(
            "missing-argument", message, at, "remove the '/' from its parameters: options are passed by name"
        )
    names = listed([f"'{name}'" for name in missing], _MOST_NAMED)
    which = "which no option sets" if len(missing) == 1 else "which no options set"
    message = f"{attribute}() in '{module.file}' needs {names}, {which}"
    hint = f"add it under 'options': {{--{missing[0].replace('_', '-')}: …}}, or give it a default value"
    decisive = tuple((*at[:-1], key) for key in ("options", "adaptive"))
    return Diagnostic("missing-argument", message, at, hint, depends_on=decisive)
