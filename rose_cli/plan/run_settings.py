"""In which settings the runs of one campaign file differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.plan.settings import definitions, titles, values_at
from rose_cli.util.redact import Secrets
from rose_cli.util.text import listed

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from rose_cli.plan.model import LearnerPlan, Plan

MOST_LEARNERS = 1000
"""The settings of a run with more learners are not compared: they would fill the memory."""

MOST_VALUES = 3

_OF_THE_RUN = ("engine", "learners", "max_iter", "until")


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run; for each, a definition to compare, and its value as it is shown, by learner."""

    run: str
    learners: Mapping[str, Mapping[str, tuple[Hashable, str]]]
    engine: str

    @classmethod
    def of(cls, run: str, plan: Plan, bounds: Mapping[str, int | None]) -> RunSettings:
        """`bounds`: the present `max_iter` of each learner."""
        if len(plan.learners) > MOST_LEARNERS:
            return cls(run, {}, plan.engine.kind)
        secrets = Secrets.of(secrets_of_plan(plan))
        cache: dict[int, dict[str, tuple[str, ...]]] = {}
        found = {
            learner.name: {
                **{name: (text, text) for name, text in _own(learner, bounds[learner.name])},
                **_settings(learner, definitions(learner, cache), secrets),
            }
            for learner in plan.learners
        }
        return cls(run, found, plan.engine.kind)


def _own(learner: LearnerPlan, bound: int | None) -> Iterator[tuple[str, str]]:
    yield "max_iter", "none" if bound is None else str(bound)
    criterion = learner.criterion
    if criterion is not None and criterion.threshold is not None:
        yield "until", f"{criterion.metric} {criterion.operator} {criterion.threshold:.6g}"


def _settings(
    learner: LearnerPlan, defined: Mapping[str, tuple[str, ...]], secrets: Secrets
) -> dict[str, tuple[Hashable, str]]:
    """A value that changes from iteration to iteration is shown by its first."""
    values = values_at(learner, 0, {}, secrets)
    found: dict[str, tuple[Hashable, str]] = {}
    for name, definition in defined.items():
        text = _shown(values[name]) if name in values else "adaptive"
        found[name] = definition, f"{text} …" if len(definition) > 1 else text
    return found


def _shown(value: Any) -> str:  # noqa: ANN401 - an option's value
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def differing_settings(runs: Sequence[RunSettings]) -> dict[str, dict[str, str]]:
    """For each run, the settings whose values differ between the runs; only learners that all of them have count."""
    runs = [run for run in runs if run.learners]
    if len(runs) < 2:
        return {}
    common = [name for name in runs[0].learners if all(name in run.learners for run in runs)]
    found: dict[str, dict[str, str]] = {run.run: {} for run in runs}
    tables = {run.run: _table(run, common) for run in runs}
    names = list(dict.fromkeys(name for table in tables.values() for name in table))
    changed = [name for name in names if len({table.get(name, (None, ""))[0] for table in tables.values()}) > 1]
    settings = [name for name in changed if name not in _OF_THE_RUN]
    short = {**{name: name for name in changed}, **titles(settings)}
    for run, table in tables.items():
        for name in changed:
            found[run][short[name]] = table[name][1] if name in table else "none"
    return found


def _table(run: RunSettings, common: Sequence[str]) -> dict[str, tuple[Hashable, str]]:
    """The settings of all common learners together."""
    table: dict[str, tuple[Hashable, str]] = {"engine": (run.engine, run.engine)}
    table["learners"] = tuple(run.learners), listed(list(run.learners), MOST_VALUES)
    names = dict.fromkeys(name for learner in common for name in run.learners[learner])
    for name in names:
        values = [run.learners[learner].get(name, (None, "none")) for learner in common]
        texts = list(dict.fromkeys(text for _, text in values))
        table[name] = tuple(definition for definition, _ in values), listed(texts, MOST_VALUES)
    return table
