"""From runs as they were read to what a report shows of them. Whatever others wrote is cut to a length that fits."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from rose_cli import __version__
from rose_cli.engine.base import Capacity
from rose_cli.journal.state import learner_status
from rose_cli.loop.criterion import best_iteration, criterion_key, values_by
from rose_cli.loop.curves import best_so_far
from rose_cli.loop.once import parts_of
from rose_cli.loop.results import results
from rose_cli.loop.usage import core_seconds, iteration_use
from rose_cli.plan.file import MOST_CAMPAIGN_BYTES
from rose_cli.plan.overview import overview
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.report import data, reduce
from rose_cli.report.columns import columns
from rose_cli.run_info import ownership_text
from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import read_regular
from rose_cli.util.redact import Secrets, known_secrets, masked_document, masked_setting
from rose_cli.util.shared import SHARED, part_of, shown_name
from rose_cli.util.text import counted, cut
from rose_cli.view.advice import advice
from rose_cli.view.columns import threshold_text
from rose_cli.view.failures import has_log
from rose_cli.view.outcome import outcome_of
from rose_cli.view.overview import overview_lines
from rose_cli.view.progress import status_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rose_cli.journal.events import SessionDescribed
    from rose_cli.loop.criterion import MetricKey
    from rose_cli.loop.results import Cost, LearnerResult, Results
    from rose_cli.plan.model import CriterionPlan
    from rose_cli.report.timeline import Cause, Timeline
    from rose_cli.run_info import RunInfo

MOST_CHARACTERS, LONGEST_LINE = 2_000, 400
"""Of a message, and of a line of output."""

MOST_LINES, MOST_CAMPAIGN_LINES = 40, 4_000

MOST_SESSIONS, MOST_EDITS, MOST_SETTINGS = 1_000, 50, 20
"""Of sessions and edits, the latest."""

MOST_NAMED = 20
"""Learners that are named for each cause of failures."""

MOST_REPORTED = 50
"""Values of the setup, and of a finish."""

PLAN_WIDTH = 110


def report(
    runs: Sequence[tuple[RunInfo, Timeline]],
    now: float,
    comparison: Mapping[str, Any] | None = None,
    refresh: float | None = None,
    metric: str | None = None,
) -> data.Report:
    """The report on runs at the time `now`, in UNIX seconds; `metric`: the one that `by_metric` has put first."""
    shown = tuple(_Building.of(info, timeline, now).run() for info, timeline in runs)
    is_running = any(run.alive for run in shown)
    return data.Report(now, __version__, shown, comparison, refresh if is_running else None, metric)


@dataclass(frozen=True)
class _Building:
    """A run, and what several parts of its report need. `until`: up to when it is reported."""

    info: RunInfo
    timeline: Timeline
    found: Results
    secrets: Secrets
    began: float
    until: float

    @classmethod
    def of(cls, info: RunInfo, timeline: Timeline, now: float) -> _Building:
        state = info.state
        until = max(now, state.last_time) if info.alive else state.last_time
        secrets = Secrets.of(secrets_of_plan(info.plan)) | known_secrets()
        began = until if state.started is None else state.started
        timeline.settle(alive=info.alive)
        return cls(info, timeline, results(info.plan, state, until), secrets, began, until)

    def run(self) -> data.Run:
        info, state, timeline = self.info, self.info.state, self.timeline
        outcome = outcome_of(info.plan, state, alive=info.alive, now=self.until)
        why, left_out = reduce.shown_learners(self.found.learners)
        chosen = [learner for learner in self.found.learners if learner.name in why]
        criteria = _criteria(chosen)
        learners = tuple(self._learners(chosen, why, list(criteria)))
        iterations = [learner.iterations for learner in learners]
        shown_columns, columns_left_out = columns(chosen, iterations, self._shown)
        shown = {timeline.place(each.name): at for at, each in enumerate(chosen)}
        shown |= {timeline.place(SHARED): len(chosen)} if info.plan.shared is not None else {}
        capacities = reduce.capacities(timeline.sessions, info.plan.engine.cores, self.began, self.until)
        durations = reduce.durations(timeline, self.until)
        return data.Run(
            name=info.directory.path.resolve().name,
            directory=str(info.directory.path.absolute()),
            campaign=self._text(info.plan.campaign),
            file=info.plan.campaign_file,
            status=info.status.value,
            verdict=outcome.verdict.value,
            outcome=self._text(outcome.words),
            headline=self._text(f"{outcome.what}: {outcome.words}"),
            alive=info.alive,
            began=state.started,
            until=self.until,
            elapsed=state.seconds(self.until),
            notices=tuple(map(self._text, self._notices())),
            sessions=tuple(self._sessions()),
            edits=tuple(
                data.Edit(time - self.began, tuple(map(self._text, event.edits[:MOST_EDITS])))
                for time, event in state.plan_changes[-MOST_EDITS:]
            ),
            criteria=tuple(_criterion(criterion) for criterion in criteria.values()),
            learners=learners,
            left_out=left_out,
            bands=tuple(self._bands(criteria.values())),
            columns=shown_columns,
            columns_left_out=columns_left_out,
            tasks=reduce.bars(timeline, shown, self.began, self.until),
            durations=durations,
            cores=reduce.core_use(timeline, self.began, self.until, capacities[-2 * MOST_SESSIONS :]),
            failures=tuple(self._failure(cause) for cause in timeline.causes),
            failures_left_out=timeline.causes_left_out,
            totals=self._totals(durations, capacities),
            ran=self._ran(),
            once=tuple(self._once()),
        )

    def _once(self) -> Iterator[data.Part]:
        """What runs once per campaign."""
        for part in parts_of(self.info.plan, self.info.state, self.until, alive=self.info.alive):
            reported = list(part.reported.items())[:MOST_REPORTED]
            yield data.Part(
                part.name,
                part.status.value,
                None if part.message is None else self._text(part.message),
                part.tasks,
                None if part.ended is None else part.ended - self.began,
                part.seconds,
                part.core_seconds,
                {self._text(name, MOST_CHARACTERS // 8): self._shown(value) for name, value in reported},
            )

    # --- texts -------------------------------------------------------------------------------------------------------

    def _text(self, text: str, most: int = MOST_CHARACTERS) -> str:
        """A text of others: without secrets, and not too long."""
        return cut(self.secrets.masked(text[: 4 * most]), most)

    def _shown(self, value: Any) -> Any:  # noqa: ANN401 - an option's value, or what was reported
        """A value as it is shown: numbers, truth values and short texts as they are, everything else as text."""
        if value is None or isinstance(value, bool | int | float):
            return value
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return self._text(text, MOST_CHARACTERS // 8)

    def _notices(self) -> Iterator[str]:
        info = self.info
        if info.doubt is not None:
            yield f"this run is not {'yours' if info.doubt.foreign else 'yours alone'}: {ownership_text(info.doubt)}"
        if info.damage is not None:
            yield f"the journal is damaged, and the report incomplete: {info.damage.message}"

    # --- learners ----------------------------------------------------------------------------------------------------

    def _learners(
        self, chosen: Sequence[LearnerResult], why: Mapping[str, str | None], criteria: Sequence[object]
    ) -> Iterator[data.Learner]:
        most = max(reduce.LEAST_POINTS, reduce.MOST_POINTS // max(1, len(chosen)))
        places = reduce.places(self.found.learners)
        for learner in chosen:
            yield self._learner(learner, most, places[learner.name], why[learner.name], criteria)

    def _learner(
        self,
        learner: LearnerResult,
        most: int,
        places: Mapping[str, int],
        why: str | None,
        criteria: Sequence[object],
    ) -> data.Learner:
        plan, state = learner.plan, learner.state
        values = state.history
        best_at = learner.best.number if learner.best is not None else None
        met = learner.to_threshold
        keep = [at for at in (best_at, met.iterations - 1 if met else None) if at is not None and at < len(values)]
        shown = reduce.thinned(values, most, keep)
        iterations = list(state.iterations)
        seconds = list(accumulate(each.spent.working for each in iterations))
        cores = list(accumulate(core_seconds(iteration_use(plan, each)) for each in iterations))
        best = best_so_far(plan.criterion, values)
        criterion = plan.criterion
        return data.Learner(
            name=learner.name,
            index=plan.index,
            status=status_words(learner_status(state, alive=self.info.alive)),
            reason=state.stop_reason,
            message=None if state.message is None else self._text(state.message),
            criterion=None if criterion is None else criteria.index(_key(criterion)),
            seed=plan.seed,
            max_iter=self.info.state.bound(learner.name, plan.max_iter),
            current=state.current.number if state.current is not None else None,
            iterations=[iterations[at].number for at in shown],
            values=[values[at] for at in shown],
            best=[best[at] for at in shown],
            ended=[iterations[at].ended - self.began for at in shown],
            seconds=[seconds[at] for at in shown],
            core_seconds=[cores[at] for at in shown],
            best_at=None if best_at is None else next((i for i, at in enumerate(shown) if at == best_at), None),
            is_best=learner.name in self.found.best,
            met=None if met is None else _cost(met, iterations[met.iterations - 1].ended - self.began),
            used=_cost(learner.cost),
            places=places,
            settings={
                name: self._shown(learner.settings[name])
                for name in self.found.changed[:MOST_SETTINGS]
                if name in learner.settings
            },
            why=why,
            iterations_left_out=len(values) - len(shown),
            further=tuple(_further(learner, each, criteria, shown) for each in plan.more_criteria),
        )

    def _bands(self, criteria: Iterable[CriterionPlan]) -> Iterator[data.Band]:
        """Of all learners whose values can be compared, by the first of their criteria."""
        histories: dict[MetricKey, list[Sequence[float | None]]] = {}
        for learner in self.found.learners:
            for each in learner.plan.criteria if learner.state.iterations else ():
                values = values_by(each, learner.plan, learner.state)
                histories.setdefault(criterion_key(each), []).append(values)
        places: dict[MetricKey, int] = {}
        for place, criterion in enumerate(criteria):
            places.setdefault(criterion_key(criterion), place)
        for key, place in places.items():
            if (found := reduce.band(place, histories.get(key, ()))) is not None:
                yield found

    # --- the course of the run ---------------------------------------------------------------------------------------

    def _sessions(self) -> Iterator[data.Session]:
        latest = self.timeline.sessions[-1] if self.timeline.sessions else None
        for session in self.timeline.sessions[-MOST_SESSIONS:]:
            is_running = session is latest and self.info.alive and session.ended is None
            ended = self.info.state.last_time if session.ended is None and not is_running else session.ended
            yield data.Session(
                session.number,
                session.started - self.began,
                None if ended is None else ended - self.began,
                session.reason,
                None if session.message is None else self._text(session.message),
                self._text(session.host, 200),
                session.engine,
                session.cores,
                session.nodes,
            )

    def _failure(self, cause: Cause) -> data.Failure:
        error = cause.first
        log = self.info.directory.inside(error.log) if has_log(error) else None
        lines = [line[:LONGEST_LINE] for line in error.stderr_tail[-MOST_LINES:]]
        return data.Failure(
            shown_name(error.learner), error.iteration, _where(error.learner, error.iteration), error.task,
            error.replica, error.attempt,
            cause.at - self.began, cause.last_at - self.began, cause.attempts,
            tuple(map(shown_name, cause.learners))[:MOST_NAMED], max(0, len(cause.learners) - MOST_NAMED),
            cause.made_good,
            len(cause.final),
            error.kind, self._text(error.message), error.exit_code, error.signal, self._text(error.command),
            tuple(self.secrets.masked("\n".join(lines)).split("\n")) if lines else (),
            None if log is None else error.log, None if log is None else str(log), advice(error),
        )  # fmt: skip

    def _totals(self, durations: Iterable[data.TaskDurations], capacities: Sequence[data.Capacity]) -> data.Totals:
        outcome, learners = self.timeline.outcome, self.found.learners
        lost = 0.0
        for row, how in enumerate(outcome):
            if how in (data.FAILED, data.CANCELLED, data.LOST):
                lost += (self.timeline.end[row] - self.timeline.start[row]) * self.timeline.cores[row]
        capacity: float | None = 0.0
        for start, end in zip(capacities[::2], capacities[1::2], strict=True):
            capacity = None if start.cores is None or capacity is None else capacity + start.cores * (end.at - start.at)
        return data.Totals(
            learners=len(learners),
            met=sum(learner.state.stop_reason == "criterion_met" for learner in learners),
            with_threshold=sum(learner.has_threshold for learner in learners),
            iterations=sum(len(learner.state.iterations) for learner in learners),
            attempts=len(outcome),
            failed=outcome.count(data.FAILED),
            cancelled=outcome.count(data.CANCELLED),
            lost=outcome.count(data.LOST),
            running=outcome.count(data.RUNNING),
            core_seconds=sum(task.core_seconds for task in durations),
            lost_core_seconds=lost,
            capacity_core_seconds=capacity,
        )

    # --- what was run ------------------------------------------------------------------------------------------------

    def _ran(self) -> data.Ran:
        plan = self.info.plan
        settings = plan.lineage.settings if plan.lineage is not None else ()
        return data.Ran(
            self._campaign(),
            tuple(map(self._text, overview_lines(plan, overview(plan), self._capacity(), PLAN_WIDTH))),
            tuple((label, self._text(text)) for label, text in self._facts()),
            tuple(self._text(masked_setting(text)) for text in settings),
        )

    def _capacity(self) -> Capacity | None:
        """What the engine of the latest session had."""
        session = self.info.state.session
        if session is None or session.cores is None:
            return None
        return Capacity(session.cores, tuple(map(str, range(session.gpus or 0))), session.memory_mb)

    def _campaign(self) -> str | None:
        """The run's copy of its campaign file; of a very long one, its beginning."""
        try:
            text = read_regular(self.info.directory.campaign_copy, MOST_CAMPAIGN_BYTES, text=True)
        except OSError:
            return None
        lines = self.secrets.masked(masked_document(text.decode("utf-8", "replace"))).split("\n")
        shown = [cut(line, MOST_CHARACTERS) for line in lines[:MOST_CAMPAIGN_LINES]]
        left_out = [f"# {counted(len(lines) - len(shown), 'more line')}"] if len(lines) > len(shown) else []
        return "\n".join([*shown, *left_out])

    def _facts(self) -> Iterator[tuple[str, str]]:
        """What the sessions ran with; of several, each different text once."""
        plan, sessions = self.info.plan, self.timeline.sessions
        described = [self.info.state.described[n] for n in sorted(self.info.state.described)]
        yield "run", str(self.info.directory.path.absolute())
        yield "campaign file", plan.campaign_file
        versions = [each.rose for each in described] or [self.timeline.rose_version]
        facts: list[tuple[str, Iterable[object]]] = [
            ("code", map(_code, described)),
            ("rose", versions),
            ("Python", (each.python for each in described)),
            ("host", (session.host for session in sessions)),
            ("system", (" · ".join(filter(None, (each.system, each.distribution))) for each in described)),
            ("processor", (each.cpu for each in described)),
            ("user", (each.user for each in described)),
            ("engine", [session.engine for session in sessions] or [plan.engine.kind]),
            ("cores", (session.cores for session in sessions)),
        ]
        for label, values in facts:
            texts = list(dict.fromkeys(str(value) for value in values if value not in (None, "")))
            if texts:
                yield label, ", ".join(texts)
        yield "sessions", str(len(sessions))
        yield "learners", str(len(plan.learners))
        yield "seeds", _seeds([learner.seed for learner in plan.learners])


def _where(learner: str, iteration: int) -> str:
    return f"iteration {iteration}" if learner != SHARED else part_of(iteration)


def _code(session: SessionDescribed) -> str:
    """Which code a session ran: the commit of the campaign's directory, and whether its files were those."""
    if session.git_problem is not None:
        return f"unknown ({session.git_problem})"
    if session.campaign_path is None:
        return "not in a git repository"
    if session.commit is None:
        return "no commit yet"
    branch = f" ({session.branch})" if session.branch else ""
    remote = f" of {session.remote}" if session.remote else ""
    unknown = f", {counted(session.untracked_count, 'untracked file')}" if session.untracked_count else ""
    if session.changes is None:
        return f"{session.commit}{branch}{remote}, changes unknown"
    changes = f", {counted(session.changes, 'file')} changed" if session.changes else ", unchanged"
    return f"{session.commit}{branch}{remote}{changes}{unknown}"


def _seeds(seeds: Sequence[int]) -> str:
    if len(set(seeds)) == 1:
        return f"{seeds[0]} for all" if len(seeds) > 1 else str(seeds[0])
    if list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds)) if len(seeds) <= MOST_NAMED else f"{counted(len(set(seeds)), 'seed')}"


def _further(
    learner: LearnerResult, criterion: CriterionPlan, criteria: Sequence[object], shown: Sequence[int]
) -> data.Further:
    values = learner.state.iterations.values_of(criterion.metric)
    best, best_at = best_so_far(criterion, values), best_iteration(criterion, values)
    return data.Further(
        criteria.index(_key(criterion)),
        [values[at] for at in shown],
        [best[at] for at in shown],
        None if best_at is None else next((i for i, at in enumerate(shown) if at == best_at), None),
    )


def _cost(cost: Cost, at: float | None = None) -> data.Cost:
    return data.Cost(cost.iterations, cost.seconds, cost.core_seconds, at)


def _key(criterion: CriterionPlan) -> tuple[object, ...]:
    return criterion.metric, criterion.operator, criterion.threshold, criterion.patience


def _criteria(learners: Iterable[LearnerResult]) -> dict[tuple[object, ...], CriterionPlan]:
    """The different criteria, in the order of the plan: those that rank learners first."""
    plans = [learner.plan for learner in sorted(learners, key=lambda each: each.plan.index)]
    first = [plan.criterion for plan in plans if plan.criterion is not None]
    found: dict[tuple[object, ...], CriterionPlan] = {}
    for criterion in (*first, *(each for plan in plans for each in plan.more_criteria)):
        found.setdefault(_key(criterion), criterion)
    return found


def _criterion(criterion: CriterionPlan) -> data.Criterion:
    lower = {"<": True, ">": False}.get(criterion.operator[0])
    text = threshold_text(criterion, with_metric=True)
    return data.Criterion(cut(criterion.metric, 200), criterion.operator, criterion.threshold, text, lower)
