"""The second run of `rose verify --rerun`: the plan of the run directory in a new one."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from rose_cli.campaign_file import only_learners, task_environment
from rose_cli.engine.function import PICKLE_SUFFIX
from rose_cli.find_runs import name_of
from rose_cli.integrity import altered, altered_lines, refusal
from rose_cli.journal import events as e
from rose_cli.made import Made
from rose_cli.new_run import begin
from rose_cli.plan.file import MOST_CAMPAIGN_BYTES
from rose_cli.plan.model import Lineage, Plan
from rose_cli.provenance.history import Rerun, compared
from rose_cli.run_info import require_trust
from rose_cli.run_session import exit_code, run_session
from rose_cli.runs.changes import checksums, readers_of_max_iter
from rose_cli.runs.directory import RunDirectory
from rose_cli.runs.lock import RunLock
from rose_cli.runs.scratch import scratch_directory
from rose_cli.util.errors import UsageError, check_known
from rose_cli.util.files import read_regular
from rose_cli.util.ownership import restrict_umask
from rose_cli.util.text import counted
from rose_cli.view.console import notice
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rose_cli.journal.codec import Record
    from rose_cli.journal.state import RunState
    from rose_cli.loop.gate import Gate, Question
    from rose_cli.loop.session import Session
    from rose_cli.plan.model import LearnerPlan
    from rose_cli.run_info import RunInfo


_MOST_FUNCTION_BYTES = 1 << 30

COMMAND = "verify --rerun"
"""As it is written in a hint."""


def run_again(
    info: RunInfo, learners: Sequence[str], where: Path | None, *, keep: bool, trust: bool, tolerance: float
) -> Rerun:
    """Run the plan of the run in a new directory, and compare the histories."""
    directory = info.directory
    if info.damage is not None:
        raise info.damage
    if info.alive:
        raise UsageError(f"the run {name_of(directory)} is still running", "wait until it ends, or omit --rerun")
    names = [learner.name for learner in info.plan.learners]
    for name in learners:
        check_known("learner", name, names, f" in the run {name_of(directory)}")
    require_trust(directory, COMMAND, trust=trust, doubt=directory.doubt_inside(()))
    if (changed := altered(info.state, checksums(directory))) and not trust:
        for line in altered_lines(directory, info.plan, changed):
            notice(line)
        raise refusal(directory, changed, COMMAND)
    plan = plan_of_rerun(info, learners)
    if not plan.engine.is_local and where is None:
        hint = "add --in DIR, on a file system that all nodes can use"
        raise UsageError(f"tasks of the engine {plan.engine.kind} cannot use a temporary directory", hint)
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_directory(where, keep=keep, prefix="rose-verify-"))
        restrict_umask()
        second = RunDirectory.at(scratch / "run")
        second.path.mkdir(0o700)
        stack.enter_context(RunLock.acquire(second.path))
        _tell_of_start(info, plan, second)
        if functions := _functions_of(directory):
            Made("", functions).write(second)
        setup = begin(second, plan, _campaign_text(directory), task_environment(), "quiet")
        if (program := _Program.of(info)) is not None:
            setup = replace(setup, door=program)
        with setup.journal:
            result = run_session(setup)
        code = exit_code(setup.state, result, require_criterion=False)
        values = list(compared(plan.learners, info.state.learners, setup.state.learners, tolerance))
    is_kept = keep or where is not None
    return Rerun(second.path if is_kept else None, values, code)


def _tell_of_start(info: RunInfo, plan: Plan, second: RunDirectory) -> None:
    learners = counted(len(plan.learners), "learner")
    iterations = sum(len(info.state.learners[learner.name].iterations) for learner in plan.learners)
    where = short_path(second.path)
    notice(f"running {learners} again, {counted(iterations, 'iteration')}, in '{where}'")
    if longer := [learner.name for learner in plan.learners if any(readers_of_max_iter(learner))]:
        notice(f"{counted(len(longer), 'learner')} may run longer than before: an expression reads max_iter")


class _Program:
    """In place of the Python program that decided how learners go on: its decisions, as the journal has them.

    It implements `loop.door.Door` and `loop.gate.Gate`.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[str, int], e.DecisionMade] = {}

    @classmethod
    def of(cls, info: RunInfo) -> _Program | None:
        """None if no program has decided anything."""
        found = cls()
        info.read_journal(found._learn)
        return found if found._made else None

    def _learn(self, record: Record) -> None:
        event = record.event
        if isinstance(event, e.DecisionMade):
            self._made[event.learner, event.iteration] = event
        elif isinstance(event, e.LearnerReopened) and event.from_iteration is not None:
            undone = [key for key in self._made if key[0] == event.learner and key[1] >= event.from_iteration]
            for key in undone:
                del self._made[key]

    @property
    def gate(self) -> Gate:
        return self

    async def decide(self, question: Question) -> e.DecisionMade:
        place = question.learner, question.iteration
        return self._made.get(place, e.DecisionMade(*place))

    def begin(self, run: Path, position: int) -> None:
        """Nobody reads the journal along."""

    def on_record(self, record: Record) -> None:
        """As above."""

    async def follow(self, session: Session) -> None:
        """It asks for nothing."""


def _functions_of(directory: RunDirectory) -> dict[str, bytes]:
    """The functions of the Python program that made the campaign; what they returned is not taken along."""
    files: dict[str, bytes] = {}
    with suppress(FileNotFoundError):
        for path in sorted(directory.python.iterdir()):
            if path.suffix == PICKLE_SUFFIX:
                files[path.name] = read_regular(path, _MOST_FUNCTION_BYTES)
    return files


def _campaign_text(directory: RunDirectory) -> str:
    """The run's own copy of its campaign file, never the user's."""
    try:
        return read_regular(directory.campaign_copy, MOST_CAMPAIGN_BYTES).decode("utf-8", "replace")
    except OSError:  # an older rose kept none
        return ""


def plan_of_rerun(info: RunInfo, names: Sequence[str]) -> Plan:
    """The plan of the run: its learners that have finished an iteration or failed, as far as they came.

    It neither tracks nor notifies: that was the run itself. It prunes nobody: who is how far, is by chance.
    """
    plan, state = only_learners(info.plan, names), info.state
    learners = tuple(
        replace(learner, max_iter=_bound(learner, state))
        for learner in plan.learners
        if state.learners[learner.name].iterations or state.learners[learner.name].stop_reason == "failed"
    )
    if not learners:
        raise UsageError("no learner has finished an iteration, so there is no history to compare", "omit --rerun")
    lineage = Lineage(plan.lineage.settings, plan.lineage.only) if plan.lineage is not None else None
    return replace(plan, learners=learners, lineage=lineage, track=(), notify=None, prune=None)


def _bound(learner: LearnerPlan, state: RunState) -> int | None:
    """As many iterations as before, and one more if it did not end with the last of them; all, if an expression reads
    the number."""
    if any(readers_of_max_iter(learner)):
        return state.bound(learner.name, learner.max_iter)
    before = state.learners[learner.name]
    return len(before.iterations) + (before.stop_reason in ("failed", "decided"))
