"""The plan of a campaign on a page: the commands that all learners share, and a table of what differs."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.cells import cell_len

from rose_cli.plan.overview import Group, Overview, Setting, overview, tasks_of
from rose_cli.plan.render import keyword, option_words
from rose_cli.plan.secrets import shown_notify
from rose_cli.plan.totals import totals, undecided_tasks
from rose_cli.util.redact import masked_words
from rose_cli.util.text import counted, listed
from rose_cli.view.console import ELLIPSIS, safe
from rose_cli.view.differences import MOST_ALONE, MOST_GROUPS, difference_lines
from rose_cli.view.settings import quoted_word, size_text, stop_text, value_text
from rose_cli.view.wording import MOST_NAMED, TIMES, exact_duration, some

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.engine.base import Capacity
    from rose_cli.plan.model import Plan, PrunePlan
    from rose_cli.plan.totals import Totals


def overview_lines(plan: Plan, found: Overview, capacity: Capacity | None, width: int) -> Iterator[str]:
    """The campaign with its bounds, the commands of an iteration, and what differs, in `width` columns."""
    learners = f"{len(plan.learners):,} learner{'' if len(plan.learners) == 1 else 's'}"
    yield from wrapped(f"{plan.campaign}: {learners}, {_bound(found)}, engine {plan.engine.kind}", width)
    for fact in _facts(plan, found, capacity):
        yield from wrapped(f"  {fact}", width)
    yield from (f"  {line}" for line in _seed_lines(plan, width - 2))
    yield from _section_lines(plan, found)
    yield from difference_lines(found, width)


def wrapped(text: str, width: int) -> Iterator[str]:
    """The text in lines that break between words."""
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    yield from wrap(safe(text), width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


# --- the campaign as a whole ----------------------------------------------------------------------------------------


def _bound(found: Overview) -> str:
    bounds = {group.learners[0].max_iter for group in found.groups}
    known = sorted(bound for bound in bounds if bound is not None)
    if not known:
        return "no max_iter"
    if None in bounds:
        return f"at most {known[-1]:,} iterations or no max_iter"
    most = f"at most {known[-1]:,} iteration{'' if known[-1] == 1 else 's'}"
    is_alone = len(found.groups) == 1 and len(found.groups[0].learners) == 1
    return f"{most}, some fewer" if len(known) > 1 else most if is_alone else f"{most} each"


def _facts(plan: Plan, found: Overview, capacity: Capacity | None) -> Iterator[str]:
    """Totals, the criterion if all share it, and limits."""
    bound = totals(plan, found, capacity)
    most = f"no bound on the number of commands ({_why_unbounded(bound)})"
    if bound.commands is not None:
        most = f"at most {bound.commands:,} command{'' if bound.commands == 1 else 's'}"
    retried = f" ({bound.attempts:,} with every retry)" if bound.attempts != bound.commands else ""
    at_once = "" if bound.at_once is None else f", up to {bound.at_once:,} at a time"
    yield f"{most}{retried}{at_once} on {_capacity_text(plan, capacity)}"
    yield from _stop_lines(found)
    parameters = {s: value for s, value in found.common.items() if s.kind == "parameter"}
    if parameters:
        yield f"parameters: {', '.join(f'{s.name} {value_text(s, value)}' for s, value in parameters.items())}"
    if plan.stop_after_converged is not None:
        have = "has" if plan.stop_after_converged == 1 else "have"
        yield f"the campaign stops when {counted(plan.stop_after_converged, 'learner')} {have} met the criterion"
    if plan.prune is not None:
        yield f"prune: {_prune_text(plan, plan.prune)}"
    limits = [f"{name} {text}" for name, text in _limits(plan)]
    if limits:
        yield f"limits: {', '.join(limits)}"
    if plan.notify is not None:
        yield f"notify: {shown_notify(plan.notify)}"


def _why_unbounded(bound: Totals) -> str:
    if not bound.undecided:
        return "no max_iter"
    return f"{listed(bound.undecided, MOST_NAMED)}: an expression decides how many replicas"


def _prune_text(plan: Plan, rule: PrunePlan) -> str:
    """With several criteria, it names the one that compares learners."""
    first = counted(rule.min_iter, "iteration")
    found = (rule.criterion_of(learner) for learner in plan.learners)
    metrics = [safe(metric) for metric in dict.fromkeys(each.metric for each in found if each is not None)]
    by = f" by {listed(metrics, MOST_NAMED)}" if any(learner.more_criteria for learner in plan.learners) else ""
    if rule.rule == "median":
        return f"median{by}, from {first} on, if {counted(rule.min_learners, 'other learner')} can be compared"
    return f"successive_halving{by}, after {first} and {TIMES}{rule.factor} each: one learner in {rule.factor} goes on"


def _capacity_text(plan: Plan, capacity: Capacity | None) -> str:
    gpus = [counted(len(capacity.gpus), "GPU")] if capacity is not None and capacity.gpus else []
    text = " and ".join([counted(capacity.cores, "core") if capacity is not None else "the cores", *gpus])
    if capacity is not None and capacity.nodes:
        return f"{text} of the {counted(len(capacity.nodes), 'node')} of this Slurm job"
    if plan.engine.slurm is not None:
        return f"{text} of a Slurm job"
    if (pilot := plan.engine.pilot) is None:
        return text
    details = [f"{pilot.runtime_minutes} min", *([counted(pilot.nodes, "node")] if pilot.nodes else [])]
    details += [f"{name} {value}" for name, value in (("queue", pilot.queue), ("project", pilot.project)) if value]
    details += [f"up to {counted(pilot.restarts, 'restart')}"] if pilot.restarts else []
    return f"{text} of a pilot on {pilot.resource} ({', '.join(details)})"


def _limits(plan: Plan) -> Iterator[tuple[str, str]]:
    limits = plan.limits
    if limits.max_parallel_learners is not None:
        yield "max_parallel_learners", str(limits.max_parallel_learners)
    if limits.wall_time_seconds is not None:
        yield "wall_time", exact_duration(limits.wall_time_seconds)
    for name, count in (("same_failure", limits.same_failure), ("files", limits.workspace_files)):
        if count is not None:
            yield name, str(count)
    for name, size in (("output", limits.output_bytes), ("workspace", limits.workspace_bytes)):
        if size is not None:
            yield name, size_text(size / 2**20)
    if plan.keep.logs is not None:
        yield "keep.logs", str(plan.keep.logs)


def _stop_lines(found: Overview) -> Iterator[str]:
    """The criterion, as far as all learners that have one share it."""
    shared = {setting: value for setting, value in found.common.items() if setting.kind == "stop"}
    without = [learner.name for group in found.groups if not _has_criterion(group) for learner in group.learners]
    total = sum(len(group.learners) for group in found.groups)
    if len(without) == total:
        yield "no criterion"
    elif shared:
        exceptions = f" (not {some(without)}: no criterion)" if without else ""
        yield f"{'each ' if total > 1 else ''}{stop_text(shared)}{exceptions}"


def _has_criterion(group: Group) -> bool:
    return group.learners[0].criterion is not None


def _seed_lines(plan: Plan, width: int) -> Iterator[str]:
    seeds = {learner.seed for learner in plan.learners}
    if len(plan.learners) == 1:
        yield f"learner {plan.learners[0].name}, seed {plan.learners[0].seed}"
    elif len(seeds) == 1:
        yield f"seed {seeds.pop()} for all"
    elif len(plan.learners) > MOST_ALONE:
        yield f"{len(seeds):,} seeds: `--iteration` shows each learner with its own"
    else:
        yield from _filled("seeds: ", [f"{learner.name} {learner.seed}" for learner in plan.learners], width)


def _filled(label: str, items: Sequence[str], width: int) -> Iterator[str]:
    """The items, separated by commas, in lines of at most `width` cells if they fit."""
    line = label
    for position, item in enumerate(items):
        text = item if position == len(items) - 1 else f"{item}, "
        if line.strip() != label.strip() and cell_len(line) + cell_len(text.rstrip()) > width:
            yield line.rstrip()
            line = " " * len(label)
        line += text
    yield line


# --- the commands ---------------------------------------------------------------------------------------------------


def _section_lines(plan: Plan, found: Overview) -> Iterator[str]:
    """The commands under what says when they run."""
    one, shared = plan.learners[0], plan.shared
    once = [step.task for step in (*one.before, *one.after)]
    sections = [
        ("before the first iteration:", found, [step.task for step in one.before]),
        ("each iteration:", found, [task for task in tasks_of(found) if task not in once]),
        ("after the last iteration:", found, [step.task for step in one.after]),
    ]
    if shared is not None and shared.all_steps:
        own = overview(replace(plan, learners=(shared,), shared=None))
        sections.insert(0, ("once, before all learners:", own, [step.task for step in shared.before]))
        sections.append(("once, when all learners have ended:", own, [step.task for step in shared.after]))
    for title, where, tasks in sections:
        if tasks:
            yield from ("", title)
            yield from _task_lines(plan, where, tasks)


def _task_lines(plan: Plan, found: Overview, tasks: Sequence[str]) -> Iterator[str]:
    labels: dict[str, str] = {}
    undecided = set(undecided_tasks(plan, found))
    for task in tasks:
        replicas = "n" if task in undecided else found.common.get(Setting(task, "replicas"))
        labels[task] = f"{task} {TIMES}{replicas}" if replicas else task
    width = max(14, *map(cell_len, map(safe, labels.values())))
    notes = {task: list(_notes(plan, found, task, _NOTES if task in undecided else _NOTES[1:])) for task in labels}
    shared = [note for note in notes[next(iter(labels))] if all(note in each for each in notes.values())]
    if shared and len(labels) > 1:
        notes = {task: [note for note in each if note not in shared] for task, each in notes.items()}
        yield f"  (every task: {', '.join(shared)})"
    for task, label in labels.items():
        yield f"  {label}{' ' * (width - cell_len(safe(label)))} {_command_text(plan, found, task)}"
        if notes[task]:
            yield f"  {' ' * width} ({', '.join(notes[task])})"


def _command_text(plan: Plan, found: Overview, task: str) -> str:
    """The command with its placeholders; an ellipsis stands for what differs, brackets for what not all have."""
    common, differing = found.common, [setting for setting in found.differing if setting.task == task]
    command = common.get(Setting(task, "command"))
    called = common.get(Setting(task, "function"))
    words = list(command[0]) if command else [called or ELLIPSIS]
    rest = list(common.get(Setting(task, "args"), ()))
    rest += [ELLIPSIS] if Setting(task, "args") in differing else []
    options = {s.name: value for s, value in common.items() if s.task == task and s.kind == "option"}
    rest += [keyword(name, value) for name, value in options.items()] if called else option_words(options)
    sign = "=" if called else " "
    varying = [_varying_option(found, setting, sign) for setting in differing if setting.kind == "option"]
    if command and command[1]:
        words = ["/bin/sh", "-c", " ".join([words[0], *map(quoted_word, masked_words(rest)), *varying])]
        return " ".join(map(quoted_word, masked_words(words)))
    ranks = common.get(Setting(task, "ranks"))
    words = ["mpiexec", "-n", str(ranks), *words] if ranks and plan.engine.is_local else words
    return " ".join([*map(quoted_word, masked_words([*words, *rest])), *varying])


def _varying_option(found: Overview, setting: Setting, sign: str) -> str:
    """It is optional if an iteration lacks it, or has `false` for it, or if it may be a flag."""
    phases = [phase for group in islice(found.groups, MOST_GROUPS) for phase in group.phases]
    values = [phase.settings.get(setting) for phase in phases if any(s.task == setting.task for s in phase.settings)]
    text = f"{setting.name}{'' if setting.name.endswith('=') else sign}{ELLIPSIS}"
    return f"[{text}]" if len(found.groups) > MOST_GROUPS or any(value in (None, False) for value in values) else text


def _notes(plan: Plan, found: Overview, task: str, kinds: Sequence[str]) -> Iterator[str]:
    """What else all commands of a task have in common: their condition, resources, timeout, retries and so on."""
    for setting, value in found.common.items():
        if setting.kind == "preload" and not plan.engine.is_local:
            continue
        if setting.task == task and setting.kind in kinds:
            yield value_text(setting, value, noun=True)


_NOTES = (
    "replicas from",
    "when",
    "ranks",
    "cores",
    "gpus",
    "mem",
    "timeout",
    "retries",
    "on_failure",
    "snapshot",
    "preload",
)
