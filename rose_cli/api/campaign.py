"""A campaign file, loaded and checked, ready to run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli.api.explained import explaining
from rose_cli.api.html import campaign_html
from rose_cli.api.messages import NewRun
from rose_cli.api.results import Learner
from rose_cli.api.running import RunningRun, child_output
from rose_cli.api.settings import campaign_text, settings_of
from rose_cli.api.upstream.scripts import program_stem, script_name
from rose_cli.campaign_file import check_campaign, parse_setting, task_environment
from rose_cli.config.rules import directory_name_error
from rose_cli.made import Made
from rose_cli.runs.changes import PROGRAM
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import CampaignError, UsageError, check_known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.api.running import Decide, Run
    from rose_cli.api.runs import PathLike
    from rose_cli.campaign_file import CheckedCampaign
    from rose_cli.plan.model import Plan
    from rose_cli.util.errors import Diagnostic
    from rose_cli.view.screen import Output


class Campaign:
    """A campaign without errors. `problems` holds its warnings; `path` is its file.

    Of a campaign that the program has made, `path` has no file, and `text` is what a file would contain.
    """

    def __init__(
        self, path: Path, settings: tuple[str, ...], plan: Plan, problems: tuple[Diagnostic, ...], text: str | None
    ) -> None:
        self.path = path
        self.plan = plan
        self.problems = problems
        self.text = text
        self._settings = settings
        is_file = text is None and path.is_file()
        self._digest = hashlib.sha256(path.read_bytes()).hexdigest() if is_file else None

    @property
    def name(self) -> str:
        return self.plan.campaign

    @property
    def learners(self) -> tuple[Learner, ...]:
        return tuple(
            Learner(
                plan.name, plan.index, plan.seed, plan.max_iter, tuple(step.task for step in plan.steps),
                plan.criterion.metric if plan.criterion else None,
                plan.criterion.threshold if plan.criterion else None,
            )
            for plan in self.plan.learners
        )  # fmt: skip

    def run(
        self,
        *,
        run_dir: PathLike | None = None,
        learners: Sequence[str] = (),
        decide: Decide | None = None,
        output: Output = "auto",
    ) -> Run:
        """Run it as `rose run` does, and wait for the end. A learner that fails is no exception: see `Run.status`.

        `decide` is called after each iteration of a learner, in this thread, and returns a `Decision`, or None to go
        on. `output`: as for `rose run`; in a notebook, `auto` is a table that is kept up to date.

        Raises RoseError if the run cannot start or goes on no more. An exception of `decide`, and Ctrl-C, interrupt the
        run: they are raised when everything is in the journal, and `Run.resume` continues it.
        """
        return self.start(run_dir=run_dir, learners=learners, decide=decide, output=output).wait()

    def start(
        self,
        *,
        run_dir: PathLike | None = None,
        learners: Sequence[str] = (),
        decide: Decide | None = None,
        output: Output = "quiet",
    ) -> RunningRun:
        """The same in the background, by default without output: the program may print itself.

        The run ends with this program, as if interrupted, if nobody waits for it.
        """
        with explaining():
            for name in learners:
                check_known("learner", name, [plan.name for plan in self.plan.learners])
        job = NewRun(
            self.path, self._settings, tuple(learners), None if run_dir is None else Path(run_dir).absolute(),
            child_output(output), self._digest, self.text,
        )  # fmt: skip
        return RunningRun(job, decide, output)

    def __repr__(self) -> str:
        tasks = " → ".join(self.learners[0].tasks) if self.plan.learners else ""
        count = len(self.plan.learners)
        return f"<Campaign '{self.name}': {count} {'learner' if count == 1 else 'learners'}, {tasks}>"

    def _repr_html_(self) -> str:
        return campaign_html(self.name, self.learners, self.problems)


def load(
    file: PathLike | Mapping[str, Any],
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002 - as on the command line
    name: str | None = None,
) -> Campaign:
    """Load and check a campaign file. `set`: values that override those of the file, by their paths.

        campaign = rose_cli.load("campaign.yaml", set={"max_iter": 3, "tasks.training.options.--learning_rate": 0.01})

    Or check a campaign that the program has made: a dictionary with what a file would contain, and the `name` of the
    campaign, by default that of the program. Files are relative to the working directory.

    Raises CampaignError with all errors of the campaign, UsageError if there is no such file.
    """
    with explaining():
        settings = settings_of(set or {})
        source = _source(file, name)
        checked = source.checked(settings)
        if checked.plan is None:
            raise CampaignError(checked.diagnostics, checked.text)
    return Campaign(source.path.absolute(), settings, checked.plan, checked.diagnostics, source.text)


def problems(
    file: PathLike | Mapping[str, Any],
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002
) -> tuple[Diagnostic, ...]:
    """All errors and warnings of a campaign file, or of a dictionary, as `rose validate` finds them."""
    with explaining():
        return _source(file, None).checked(settings_of(set or {})).diagnostics


_MADE = "the dictionary, as YAML"
"""In place of the name of a file, where an error is shown."""


@dataclass(frozen=True)
class _Source:
    """Where a campaign comes from. `text`: what the program has made; then `path` stands for the program."""

    path: Path
    text: str | None = None

    def checked(self, settings: Sequence[str]) -> CheckedCampaign:
        parsed = [parse_setting(text) for text in settings]
        if self.text is None:
            return check_campaign(self.path, task_environment(), parsed)
        with Made(self.text).as_file(self.path) as file:
            found = check_campaign(file, task_environment(), parsed, at=self.path)
        named = [replace(each, file=_MADE) if each.file == str(file) else each for each in found.diagnostics]
        return replace(found, diagnostics=tuple(named))


def _source(file: PathLike | Mapping[str, Any], name: str | None) -> _Source:
    if isinstance(file, Mapping):
        if name and (fault := directory_name_error(name)) is not None:
            raise UsageError(f"{name!r:.60} cannot be the name of a campaign and its runs: {fault[0]}", fault[1])
        path = Path.cwd() / f"{name or program_stem()}{PROGRAM}"
        return _Source(path, campaign_text(file, f"made by {script_name()}"))
    if name is not None:
        raise UsageError("`name` is for a campaign that the program has made", "a file has its name already")
    return _Source(_located(file))


def _located(file: PathLike) -> Path:
    path = Path(file)
    if path.is_dir():
        path /= "campaign.yaml"
    if not path.exists():
        raise UsageError(f"there is no file '{path}'", "give the path of a campaign file")
    return path
