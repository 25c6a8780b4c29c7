"""A report as Markdown: readable as it is in a terminal, and as GitHub shows it in a pull request or a CI summary.

What others wrote (names, values, messages) is put where Markdown cannot be in effect: into code.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from rose_cli.util.shared import part_of
from rose_cli.util.text import counted, cut, listed
from rose_cli.view.console import safe
from rose_cli.view.progress import sparkline
from rose_cli.view.wording import NOTHING, duration, number, short_time, value_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rose_cli.report.data import Failure, Learner, Report, Run

MOST_BYTES = 60_000
"""A comment on GitHub has at most 65,536 characters; what does not fit is left out, and said to be."""

MOST_LEARNERS, MOST_FAILURES, MOST_LINES, MOST_SETTINGS, MOST_DIFFERENCES = 30, 10, 15, 4, 40

LONGEST_CELL, LONGEST_LINE = 60, 300

CURVE_WIDTH = 12

_SIGNS = {
    "criterion_met": "✓", "finished": "✓", "running": "▸", "failed": "✗", "interrupted": "■", "cancelled": "■",
    "criterion_not_met": "•", "pending": "·",
}  # fmt: skip


def markdown(report: Report) -> str:
    """The report, ending in a line break."""
    parts = [f"{_text(_head(run, report))}{_text(_course(run))}" for run in report.runs]
    if report.comparison is not None:
        compared = f"## {counted(len(report.runs), 'run')} compared\n\n"
        parts.insert(0, compared + _text(_comparison(report.comparison)))
    more = [_text(section(run)) for section in (_failures, _ran) for run in report.runs]
    return _fitting(
        parts, [part for part in more if part], f"\n---\nreport by rose {report.rose}, {_time(report.made)}\n"
    )


def _fitting(parts: Sequence[str], more: Sequence[str], end: str) -> str:
    """All parts, and of those that come last as many as fit."""
    text, left_out = "\n".join(parts), 0
    if len(text.encode()) > MOST_BYTES - len(end) - 200:
        text = text.encode()[: MOST_BYTES - len(end) - 200].decode("utf-8", "ignore").rpartition("\n")[0] + "\n"
        left_out = 1
    for part in more:
        if len(text.encode()) + len(part.encode()) + len(end) + 200 > MOST_BYTES:
            left_out += 1
            continue
        text += f"\n{part}"
    note = "\nThis is not all: it would be longer than a comment on GitHub may be. `rose report` writes all of it.\n"
    return text + (note if left_out else "") + end


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


# --- the run --------------------------------------------------------------------------------------------------------


def _head(run: Run, report: Report) -> Iterator[str]:
    level = "##" if len(report.runs) == 1 else "###"
    yield f"{level} {_SIGNS.get(run.verdict, '')} {code(run.campaign)} {_headline(run)}"
    yield ""
    hosts = list(dict.fromkeys(session.host for session in run.sessions))
    facts = [f"run {code(run.name)}", f"began {_time(run.began)}" if run.began is not None else "not started"]
    facts += [counted(len(run.sessions), "session")] if len(run.sessions) != 1 else []
    facts += [f"on {', '.join(map(code, hosts[:3]))}{' and others' if len(hosts) > 3 else ''}"] if hosts else []
    facts.append(_use(run))
    yield " · ".join(fact for fact in facts if fact)
    for notice in run.notices:
        yield ""
        yield f"> {code(notice, LONGEST_LINE)}"
    for text in (run.left_out.text if run.left_out else None, run.tasks.text, run.columns_left_out):
        if text:
            yield ""
            yield f"> {text}"


def _headline(run: Run) -> str:
    """The sentence of the status: in rose's own words, but for the criterion."""
    for criterion in run.criteria:
        before, found, after = run.headline.partition(criterion.text)
        if found and not _odd(before + after):
            return f"{before}{code(found)}{after}"
    return code(run.headline, LONGEST_LINE) if _odd(run.headline) else run.headline


def _odd(text: str) -> bool:
    return re.search(r"[^\w ,;:.()'-]", text) is not None


def _use(run: Run) -> str:
    totals = run.totals
    if not totals.attempts:
        return ""
    text = f"{totals.attempts:,} task attempts in {_core_hours(totals.core_seconds)} core-hours"
    if totals.capacity_core_seconds:
        text += f" ({100 * totals.core_seconds / totals.capacity_core_seconds:.0f} % of the cores)"
    return text


# --- tables ---------------------------------------------------------------------------------------------------------


def _course(run: Run) -> Iterator[str]:
    yield from _learners(run)
    yield from _first(run)
    yield from _once(run)
    yield from _tasks(run)
    yield from _sessions(run)


def _learners(run: Run) -> Iterator[str]:
    if not run.learners:
        return
    shown = run.learners[:MOST_LEARNERS]
    metrics = [run.criteria[each.criterion].metric if each.criterion is not None else "" for each in shown]
    settings = list(dict.fromkeys(name for each in shown for name in each.settings))[:MOST_SETTINGS]
    columns: list[tuple[str, list[str]]] = [("learner", [code(each.name) for each in shown])]
    if any(metrics):
        columns += [("metric", [code(name) if name else NOTHING for name in metrics])] if len(set(metrics)) > 1 else []
        best = [_value(each.values[each.best_at] if each.best_at is not None else None) for each in shown]
        title = "best" if len(set(metrics)) > 1 else f"best {code(metrics[0])}"
        columns.append(
            (title, [f"**{text}**" if each.is_best else text for text, each in zip(best, shown, strict=True)])
        )
        columns.append(("at", [_best_iteration(each) for each in shown]))
        columns.append(("last", [_value(each.values[-1] if each.values else None) for each in shown]))
        columns.append(("curve", [_curve(each) for each in shown]))
        columns += _further(run, shown)
    columns.append(("iterations", [f"{each.used.iterations:,}" for each in shown]))
    columns.append(("stopped", [_status(each) for each in shown]))
    columns.append(("core-hours", [_core_hours(each.used.core_seconds) for each in shown]))
    columns += [(code(name), [code(value_text(each.settings.get(name))) for each in shown]) for name in settings]
    yield ""
    yield from _table(columns)
    hidden = run.totals.learners - len(shown)
    if hidden > 0:
        yield ""
        yield f"and {counted(hidden, 'more learner')}, sorted by best value"


def _once(run: Run) -> Iterator[str]:
    """What runs once per campaign."""
    if not run.once:
        return
    values = [[f"{code(name)} {code(value_text(value))}" for name, value in each.reported.items()] for each in run.once]
    yield ""
    yield from _table(
        [
            ("once per campaign", [each.name for each in run.once]),
            ("tasks", [", ".join(map(code, each.tasks)) for each in run.once]),
            ("status", [f"{each.status}: {code(each.message)}" if each.message else each.status for each in run.once]),
            ("time", [short_time(each.seconds) if each.seconds else NOTHING for each in run.once]),
            ("core-hours", [_core_hours(each.core_seconds) for each in run.once]),
            ("reported", [", ".join(each) or NOTHING for each in values]),
        ]
    )


def _further(run: Run, shown: Sequence[Learner]) -> Iterator[tuple[str, list[str]]]:
    """The best and the last value of each further metric; one that is only watched has a best one too."""
    for metric in dict.fromkeys(run.criteria[each.criterion].metric for one in shown for each in one.further):
        of = [next((e for e in one.further if run.criteria[e.criterion].metric == metric), None) for one in shown]
        best = [_value(e.values[e.best_at] if e is not None and e.best_at is not None else None) for e in of]
        last = [_value(next((v for v in reversed(e.values if e else ()) if v is not None), None)) for e in of]
        yield f"best {code(metric)}", best
        yield f"last {code(metric)}", last


def _best_iteration(learner: Learner) -> str:
    return NOTHING if learner.best_at is None else f"{learner.iterations[learner.best_at]}"


def _curve(learner: Learner) -> str:
    values = learner.values
    if len(values) < 2:
        return ""
    places = [round(at * (len(values) - 1) / (CURVE_WIDTH - 1)) for at in range(CURVE_WIDTH)]
    shown = values if len(values) <= CURVE_WIDTH else [values[at] for at in places]
    return sparkline(list(shown), CURVE_WIDTH)


def _status(learner: Learner) -> str:
    if learner.reason == "criterion_met" and learner.message:
        return f"met {code(learner.message)}"
    words = {"criterion_met": "criterion met", "max_iter": "max_iter", "no_improvement": "no improvement"}
    if learner.reason == "no_improvement" and learner.message:
        return code(learner.message)
    return words.get(learner.reason or "", learner.reason or learner.status).replace("_", " ")


def _first(run: Run) -> Iterator[str]:
    """Who met the criterion, by iterations, and what it took."""
    met = [(each, each.met) for each in run.learners if each.met is not None]
    if not met or len(run.learners) < 2:
        return
    met.sort(key=lambda pair: (pair[0].places.get("iterations", 0), pair[0].places.get("time", 0)))
    shown = met[:MOST_LEARNERS]

    def place(learner: Learner, order: str, text: str) -> str:
        return f"**{text}**" if learner.places.get(order) == 1 else text

    yield ""
    yield f"**Criterion met** by {len(met):,} of {counted(run.totals.with_threshold, 'learner')}; the first is bold:"
    yield ""
    yield from _table(
        [
            ("learner", [code(each.name) for each, _ in shown]),
            ("iterations", [place(each, "iterations", f"{cost.iterations:,}") for each, cost in shown]),
            ("working time", [place(each, "time", short_time(cost.seconds)) for each, cost in shown]),
            ("core-hours", [place(each, "core-seconds", _core_hours(cost.core_seconds)) for each, cost in shown]),
            ("after the start", [NOTHING if cost.at is None else duration(cost.at) for _, cost in shown]),
        ]
    )


def _tasks(run: Run) -> Iterator[str]:
    tasks = [task for task in run.durations if task.attempts]
    if not tasks:
        return
    others = any(task.lost or task.cancelled for task in tasks)
    yield ""
    yield from _table(
        [
            ("task", [code(task.task) for task in tasks]),
            ("attempts", [f"{task.attempts:,}" for task in tasks]),
            ("failed", [f"{task.failed:,}" for task in tasks]),
            *([("lost, cancelled", [f"{task.lost + task.cancelled:,}" for task in tasks])] if others else []),
            ("median", [short_time(task.seconds[2]) if task.seconds else NOTHING for task in tasks]),
            ("longest", [short_time(task.seconds[4]) if task.seconds else NOTHING for task in tasks]),
            ("median wait", [short_time(task.waited[2]) if task.waited else NOTHING for task in tasks]),
            ("core-hours", [_core_hours(task.core_seconds) for task in tasks]),
        ]
    )


def _sessions(run: Run) -> Iterator[str]:
    if len(run.sessions) < 2:
        return
    ends = [run.until - (run.began or run.until) if each.end is None else each.end for each in run.sessions]
    yield ""
    yield from _table(
        [
            ("session", [str(each.number) for each in run.sessions]),
            ("began", [_time((run.began or 0) + each.start) for each in run.sessions]),
            ("lasted", [duration(end - each.start) for end, each in zip(ends, run.sessions, strict=True)]),
            ("ended", [_ended(each.reason, running=each.end is None) for each in run.sessions]),
            ("host", [code(each.host) for each in run.sessions]),
            ("cores", [NOTHING if each.cores is None else str(each.cores) for each in run.sessions]),
        ]
    )


def _ended(reason: str | None, *, running: bool) -> str:
    if running:
        return "is running"
    if reason is None:
        return "died"
    return reason.replace("_", " ") if reason in _ENDS else code(reason)


_ENDS = ("finished", "failed", "interrupted", "terminated", "stop_requested", "wall_time", "engine_lost")


# --- failures, and what was run -------------------------------------------------------------------------------------


def _failures(run: Run) -> Iterator[str]:
    if not run.failures:
        return
    order = sorted(
        run.failures, key=lambda failure: (-failure.final, failure.made_good == failure.attempts, failure.at)
    )
    total = len(run.failures)
    yield f"**Failures** of {code(run.name)}: {counted(run.totals.failed, 'attempt')} with {counted(total, 'cause')}"
    for failure in order[:MOST_FAILURES]:
        yield ""
        yield from _failure(failure)
    hidden = total - MOST_FAILURES + run.failures_left_out
    if hidden > 0:
        yield ""
        yield f"and {counted(hidden, 'more cause')}; `rose logs --failed` shows them"


def _failure(failure: Failure) -> Iterator[str]:
    replica = f" (replica {failure.replica})" if failure.replica else ""
    many = f" and {counted(failure.attempts - 1, 'more attempt')}" if failure.attempts > 1 else ""
    consequence = f"{counted(failure.final, 'learner')} stopped" if failure.final else ""
    if failure.final and failure.where in (part_of(0), part_of(1)):
        consequence = "the campaign stopped"
    if failure.made_good == failure.attempts:
        consequence = "a retry succeeded"
    where = f"{_tag(failure.task)}{replica} of {_tag(failure.learner)}, {failure.where}{many}"
    yield "<details>"
    yield f"<summary>✗ {where}: {_tag(failure.message)}{f' ({consequence})' if consequence else ''}</summary>"
    yield ""
    if len(failure.learners) > 1:
        names = [code(name) for name in failure.learners] + [""] * failure.learners_left_out
        yield f"learners: {listed(names, 8)}"
        yield ""
    yield from _block([f"$ {failure.command}", *failure.lines[-MOST_LINES:]])
    if failure.log is not None:
        yield f"log: {code(failure.log, LONGEST_LINE)}"
    if failure.help is not None:
        yield f"help: {code(failure.help, LONGEST_LINE)}"
    yield ""
    yield "</details>"


def _ran(run: Run) -> Iterator[str]:
    yield f"<details><summary>What was run: {_tag(run.name)}</summary>"
    yield ""
    yield from _table(
        [
            ("fact", [label for label, _ in run.ran.facts]),
            ("value", [code(text, LONGEST_LINE) for _, text in run.ran.facts]),
        ]
    )
    for setting in run.ran.settings:
        yield f"\n{code(setting, LONGEST_LINE)}"
    for edit in run.edits:
        for line in edit.lines:
            yield f"\nchanged after {duration(edit.at)}: {code(line, LONGEST_LINE)}"
    yield ""
    yield from _block(run.ran.plan)
    if run.ran.campaign is not None:
        lines = run.ran.campaign.splitlines()
        width = len(str(len(lines)))
        yield ""
        yield from _block([f"{at:>{width}}  {line}" for at, line in enumerate(lines, 1)])
    yield "</details>"


def _comparison(found: Mapping[str, Any]) -> Iterator[str]:
    runs = found["runs"]
    names = [code(str(run["run"]).rstrip("/").rpartition("/")[2]) for run in runs]
    rows = [(name, run, metric) for name, run in zip(names, runs, strict=True) for metric in run["metrics"] or [None]]
    columns = [("run", [name for name, _, _ in rows])]
    columns.append(("metric", [code(metric["metric_name"]) if metric else NOTHING for _, _, metric in rows]))
    columns.append(("best", [_best(metric) for _, _, metric in rows]))
    columns.append(("of", [_of(metric) for _, _, metric in rows]))
    columns.append(("met", [_met(metric) for _, _, metric in rows]))
    columns.append(("first after", [_first_after(metric) for _, _, metric in rows]))
    columns.append(("iterations", [f"{run['iterations']:,}" for _, run, _ in rows]))
    columns.append(("time", [short_time(run["elapsed_seconds"]) for _, run, _ in rows]))
    columns.append(("core-hours", [_core_hours(run["core_seconds"]) for _, run, _ in rows]))
    yield from _table(columns)
    differences = found["differences"]
    yield ""
    if not differences:
        yield "no differences in campaigns, settings, seeds, criteria, code and files"
        return
    shown = differences[:MOST_DIFFERENCES]
    labels = [f"{each['name']} ({listed(each['learners'], 2)})" if each["learners"] else each["name"] for each in shown]
    values = [
        (name, [NOTHING if each["values"][place] is None else code(str(each["values"][place])) for each in shown])
        for place, name in enumerate(names)
    ]
    kinds = [f"{each['kind']} {code(label)}" for each, label in zip(shown, labels, strict=True)]
    yield from _table([("differs", kinds), *values])
    if len(differences) > len(shown):
        yield ""
        yield f"and {len(differences) - len(shown):,} more; `rose status --format json` with these runs has all"


def _best(metric: Mapping[str, Any] | None) -> str:
    text = _value(metric["best_value"]) if metric else NOTHING
    return f"**{text}**" if metric and metric["is_best"] else text


def _of(metric: Mapping[str, Any] | None) -> str:
    if not metric or metric["best_learner"] is None:
        return NOTHING
    return f"{code(metric['best_learner'])}, iteration {metric['best_iteration']}"


def _met(metric: Mapping[str, Any] | None) -> str:
    if not metric or not metric["learners_with_threshold"]:
        return NOTHING
    return f"{metric['learners_met']} of {metric['learners_with_threshold']}"


def _first_after(metric: Mapping[str, Any] | None) -> str:
    first = metric["first_met"] if metric else None
    if first is None:
        return NOTHING
    cost = f"{short_time(first['working_seconds'])}, {_core_hours(first['core_seconds'])} core-hours"
    return f"{counted(first['iterations'], 'iteration')}, {cost}"


# --- Markdown -------------------------------------------------------------------------------------------------------


def _table(columns: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
    """Cells are Markdown already. They are padded, so that the table can be read as it is."""
    widths = [max(3, *map(len, (title, *cells))) for title, cells in columns]

    def row(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |"

    yield row([title for title, _ in columns])
    yield f"| {' | '.join('-' * width for width in widths)} |"
    for cells in zip(*[cells for _, cells in columns], strict=True):
        yield row(cells)


def code(text: str, most: int = LONGEST_CELL) -> str:
    """Foreign text as code, which fits into a cell of a table: nothing in it has an effect.

    In a table, a backslash before a bar, and more than a few backticks, cannot be expressed in a code span.
    """
    text = cut(safe(text), most)
    if not text.strip():
        return f"`{' ' * max(1, len(text))}`" if text else ""
    if "\\|" in text or ("`" in text and "|" in text):
        return _tag(text, most)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|")


def _tag(text: str, most: int = LONGEST_CELL) -> str:
    """The same as HTML, with punctuation as entities: Markdown takes none of it for its own, and makes no links."""
    text = cut(safe(text), most)
    harmless = "" if "www" in text.casefold() else "."
    return f"<code>{''.join(c if c in harmless else f'&#{ord(c)};' if c in _PUNCTUATION else c for c in text)}</code>"


_PUNCTUATION = frozenset('!"#$%&*+.:;<=>?@[\\]^_`{|}~')


def _block(lines: Iterable[str]) -> Iterator[str]:
    """A block of code that nothing in it can end."""
    shown = [cut(safe(line.expandtabs()), LONGEST_LINE) for line in lines]
    fence = "`" * max(3, 1 + max((len(run) for line in shown for run in re.findall("`+", line)), default=0))
    yield f"{fence}text"
    yield from shown
    yield fence


def _value(value: float | None) -> str:
    return NOTHING if value is None else number(value, 6)


def _core_hours(core_seconds: float) -> str:
    return number(core_seconds / 3600, 3)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
