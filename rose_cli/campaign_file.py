"""From the path of a campaign file to a checked plan, for `run`, `validate`, `plan` and others."""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli import COMMAND_NAMES
from rose_cli.check.campaign import check_plan
from rose_cli.config.allow import without_allowed
from rose_cli.config.load import declared_tasks, is_quoted, load, located, without_consequences
from rose_cli.config.recovery import read_with_recovery
from rose_cli.engine.labels import known_labels
from rose_cli.engine.machine import machine_capacity
from rose_cli.plan.compile import Overlay, compile_plan, with_learners
from rose_cli.plan.context import CheckContext
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import CampaignError, UsageError, check_known
from rose_cli.util.redact import Secrets, masked_setting, remember
from rose_cli.util.secrets import secrets_of_document, secrets_of_words
from rose_cli.util.shortage import no_collecting
from rose_cli.view.console import notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rose_cli.config.document import SettingNode
    from rose_cli.config.models import Campaign
    from rose_cli.engine.base import Capacity
    from rose_cli.engine.labels import ResourceLabel
    from rose_cli.plan.model import Lineage, Plan
    from rose_cli.util.errors import Diagnostic, KeyPath


def task_environment(environment: Mapping[str, str] = os.environ, interpreter: str = sys.executable) -> dict[str, str]:
    """The environment of every task: that of the terminal, with Python's output unbuffered unless it says otherwise.

    Called by its path (`.venv/bin/rose`), rose behaves as if its environment were activated: `python` in a campaign
    then is the interpreter that has the campaign's packages, not that of the system. If rose is called by its name, or
    in an activated environment, PATH is the user's own choice and stays unchanged.
    """
    environment = {"PYTHONUNBUFFERED": "1", **environment}
    programs = Path(interpreter).parent
    path = environment.get("PATH", os.defpath)
    named = [shutil.which(name, path=path) for name in COMMAND_NAMES]
    chosen = "VIRTUAL_ENV" in environment or "CONDA_PREFIX" in environment
    by_name = any(found and Path(found).resolve().parent == programs for found in named)
    if chosen or by_name or str(programs) in path.split(os.pathsep):
        return environment
    return {**environment, "PATH": f"{programs}{os.pathsep}{path}"}


MOST_COMPARED_LEARNERS = 200


@dataclass(frozen=True)
class Setting:
    """A value from the command line that overrides one in the file; `source` is how the user wrote it.

    `node`: the value, if it was read from a file that later diagnostics are to point into.
    """

    path: KeyPath
    text: str
    source: str
    node: SettingNode | None = None

    @property
    def value(self) -> str | SettingNode:
        return self.text if self.node is None else self.node


@dataclass(frozen=True)
class CheckedCampaign:
    """The result of checking a campaign file: its text, all diagnostics, and a plan if none of them is an error."""

    text: str
    diagnostics: tuple[Diagnostic, ...]
    plan: Plan | None
    _compiled_from: tuple[Campaign, CheckContext] | None = field(default=None, repr=False)

    @property
    def good_plan(self) -> Plan:
        """The plan. Raises CampaignError if there is none."""
        if self.plan is None:
            raise CampaignError(self.diagnostics, self.text)
        return self.plan

    @property
    def good_smoke_plan(self) -> Plan:
        """The plan of `rose run --smoke`. Raises CampaignError if there is none."""
        if self.smoke_plan is None:
            raise CampaignError(self.diagnostics, self.text)
        return self.smoke_plan

    @cached_property
    def smoke_plan(self) -> Plan | None:
        """The plan of `rose run --smoke`, if there is a plan."""
        if self.plan is None or self._compiled_from is None:
            return None
        campaign, ctx = self._compiled_from
        return compile_plan(campaign, ctx, Overlay.smoke(campaign))


@dataclass(frozen=True)
class Target:
    """What a campaign is checked against: a machine, the resource labels that a pilot can have there, and the nodes of
    the Slurm job around it. A machine that has nodes stands for such a job."""

    machine: Capacity
    find_labels: Callable[[], dict[str, ResourceLabel] | None]
    find_nodes: Callable[[], Capacity | None] = lambda: None

    @classmethod
    def this(cls, environment: Mapping[str, str]) -> Target:
        return cls(machine_capacity(environment), partial(known_labels, environment), partial(_allocated, environment))


def _allocated(environment: Mapping[str, str]) -> Capacity | None:
    from rose_cli.engine.slurm.allocation import allocated

    return allocated(environment)


def check_campaign(
    path: Path,
    environment: Mapping[str, str],
    settings: Sequence[Setting] = (),
    target: Target | None = None,
    at: Path | None = None,
) -> CheckedCampaign:
    """Read, check and compile, for `target` (by default this machine), as if the file were `at` another path.

    Runs nothing, and reads only this file and, for a pilot, radical.pilot's descriptions of machines. For steps of
    Slurm, it asks about the job that rose runs in, if there is one.
    Raises UsageError if there is no such file; errors *in* the file are diagnostics.
    """
    with no_collecting():
        return _check(path, environment, settings, target or Target.this(environment), at or path)


def _check(
    path: Path, environment: Mapping[str, str], settings: Sequence[Setting], target: Target, at: Path
) -> CheckedCampaign:
    read = read_with_recovery(path, [(setting.path, setting.value, setting.source) for setting in settings])
    if read.document is None:
        return CheckedCampaign(read.text, _fit_to_show(read.diagnostics, read.text, settings), None)
    loaded = load(read.document, read.invalid)
    diagnostics, compiled = list(loaded.diagnostics), None
    ctx = CheckContext(
        campaign_file=Path(at).absolute(),
        environment=environment,
        machine=target.machine,
        task_names=declared_tasks(read.document) | read.lost_names,
        find_labels=target.find_labels,
        find_nodes=target.find_nodes,
        is_quoted=partial(is_quoted, read.document),
    )
    if loaded.campaign is not None:
        compiled = compile_plan(loaded.campaign, ctx)
        remember(partial(secrets_of_plan, compiled))
        diagnostics += check_plan(loaded.campaign, compiled, ctx, loaded.invalid)
    found_all = (*read.diagnostics, *(located(read.document, each) for each in diagnostics))
    found_all = without_allowed(read.document, without_consequences(found_all), is_complete=not settings)
    shown = in_order(_fit_to_show(found_all, read.text, settings), str(path))
    if loaded.campaign is None or any(diagnostic.is_error for diagnostic in shown):
        return CheckedCampaign(read.text, shown, None)
    return CheckedCampaign(read.text, shown, compiled, (loaded.campaign, ctx))


def _fit_to_show(diagnostics: Sequence[Diagnostic], text: str, settings: Sequence[Setting]) -> tuple[Diagnostic, ...]:
    """The diagnostics, with the secrets of the file and of the command line masked in what they quote."""
    if not diagnostics:
        return ()
    given = (secrets_of_words([setting.source.partition(" ")[2]]) for setting in settings)
    secrets = Secrets.of(secrets_of_document(text).union(*given))
    return tuple(
        replace(each, message=secrets.masked(each.message), hint=secrets.masked(each.hint) if each.hint else None)
        for each in diagnostics
    )


def in_order(diagnostics: Sequence[Diagnostic], name: str) -> tuple[Diagnostic, ...]:
    """In the order of the file; errors on the command line come last."""
    return tuple(sorted(diagnostics, key=lambda d: (d.file != name, d.file, d.span is None, d.span, d.code)))


def only_learners(plan: Plan, names: Sequence[str]) -> Plan:
    """The plan with only the named learners; unchanged if no name is given."""
    known = [learner.name for learner in plan.learners]
    for name in names:
        check_known("learner", name, known)
    return with_learners(plan, frozenset(names)) if names else plan


def smoke_settings(settings: Sequence[Setting]) -> list[Setting]:
    """`--max-iter` is meant for the smoke run itself and overrides the number under `smoke`."""
    given = [setting for setting in settings if setting.path == ("max_iter",)]
    return [*settings, *(Setting(("smoke", "max_iter"), setting.text, setting.source) for setting in given)]


def parse_setting(text: str, command: str = "--set") -> Setting:
    """Parse `key.path=value`, as in `--set`; a part that is a number is a position in a list or an iteration."""
    parts, rest = _key_path(text)
    if not rest.startswith("=") or not all(part != "" for part in parts):
        message = f"{command} takes key.path=value, not '{masked_setting(text)}'"
        raise UsageError(message, f"for example {command} max_iter=3 or {command} limits.wall_time=1h")
    return Setting(parts, rest[1:], f"--set {text}")


def recorded_settings(lineage: Lineage) -> list[Setting]:
    """The settings that a run was started or resumed with."""
    return settings_of(lineage.settings)


def settings_of(sources: Sequence[str]) -> list[Setting]:
    """Settings from their sources, as a plan keeps them."""
    return [_recorded(text) for text in sources]


def _recorded(text: str) -> Setting:
    option, _, value = text.partition(" ")
    if option == "--set":
        return parse_setting(value)
    return Setting((option.removeprefix("--").replace("-", "_"),), value, text)


_PART = re.compile(
    r"""(?P<quote>["'])(?P<quoted>.*?)(?P=quote)(?=[.=])|(?P<option>--[^=]*)|(?P<plain>(?!["'])[^.=]*)""", re.DOTALL
)
"""A part in quotes may contain dots and equals signs; an option such as `--model.lr` ends at the equals sign."""


def _key_path(text: str) -> tuple[KeyPath, str]:
    """The parts before the equals sign, and the rest of the text."""
    parts: list[str | int] = []
    while (match := _PART.match(text)) is not None:
        word = match[match.lastgroup or "plain"]
        is_number = match.lastgroup == "plain" and re.fullmatch(r"-?[0-9]+", word) is not None
        parts.append(int(word) if is_number else word)
        text = text[match.end() :]
        if not text.startswith("."):
            break
        text = text[1:]
    return tuple(parts), text


_ABOUT_LENGTH = frozenset({"patience-too-long", "iteration-never-comes", "never-runs", "out-of-range"})
"""The codes of warnings that a small `max_iter` causes, which is what a smoke run is for."""


def mention_settings(
    file: Path,
    environment: Mapping[str, str],
    settings: Sequence[Setting],
    checked: CheckedCampaign,
    *,
    is_smoke: bool = False,
) -> list[Diagnostic]:
    """Print the warnings that values from the command line cause, which `rose validate` never sees; return them."""
    caused = caused_by_settings(file, environment, settings, checked)
    for diagnostic in caused:
        if not (is_smoke and diagnostic.code in _ABOUT_LENGTH):
            notice(warning_line(diagnostic))
    compared = [setting for setting in settings if not (is_smoke and setting.path == ("max_iter",))]
    for setting in _idle(file, environment, compared, checked.plan):
        why = "every learner sets its own value, or has this one already"
        notice(f"warning: {masked_setting(setting.source)} has no effect: {why}")
    return caused


def caused_by_settings(
    file: Path,
    environment: Mapping[str, str],
    settings: Sequence[Setting],
    checked: CheckedCampaign,
    before: Sequence[Setting] = (),
) -> list[Diagnostic]:
    """The warnings, wherever they point, that the file does not have with the settings `before` alone."""
    sources = {setting.source for setting in settings}
    if not settings or all(each.file in sources for each in checked.diagnostics):
        return list(checked.diagnostics) if settings else []
    alone = check_campaign(file, environment, before, Target.this(environment)).diagnostics
    known = {(each.code, each.message, each.span) for each in alone}
    return [d for d in checked.diagnostics if d.file in sources or (d.code, d.message, d.span) not in known]


def warning_line(diagnostic: Diagnostic) -> str:
    """A warning on one line, with its code, its location and its hint."""
    span = None if diagnostic.file.startswith("--") else diagnostic.span
    where = f"{diagnostic.file}:{span.line}:{span.column}" if span else masked_setting(diagnostic.file)
    hint = f" ({diagnostic.hint})" if diagnostic.hint else ""
    return f"warning[{diagnostic.code}]: {where}: {diagnostic.message}{hint}"


def _idle(
    file: Path, environment: Mapping[str, str], settings: Sequence[Setting], plan: Plan | None
) -> Iterator[Setting]:
    """The settings without which the plan would be the same. Skipped for a large campaign: it would take too long."""
    if plan is None or len(plan.learners) > MOST_COMPARED_LEARNERS:
        return
    target = Target.this(environment)
    for setting in settings:
        rest = [other for other in settings if other is not setting]
        is_in_plan = setting.path[0] not in ("engine", "smoke")
        if is_in_plan and check_campaign(file, environment, rest, target).plan == plan:
            yield setting
