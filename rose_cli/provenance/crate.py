"""A run as an RO-Crate of the profile Provenance Run Crate 0.5: files, and what says how they came about.

https://www.researchobject.org/workflow-run-crate/profiles/provenance_run_crate: the campaign is the main workflow, each
task one of its tools and steps, each attempt an action, and rose the engine that ran them.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli import __version__
from rose_cli.journal.events import RunCreated
from rose_cli.plan.file import CAMPAIGN_TEXT, MOST_BYTES, MOST_CAMPAIGN_BYTES
from rose_cli.plan.model import CRITERION
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.provenance.actions import COMPLETED, FAILED, Actions, FinalFiles, Inputs
from rose_cli.provenance.entities import Graph, clean, local_id, reference, references, time_as_json
from rose_cli.provenance.package import OmittedError, new_package, path_in_crate
from rose_cli.runs.changes import checksums, fingerprint, unknown_checksums
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.files import OpenDirectory, open_regular, read_regular
from rose_cli.util.redact import Secrets, masked_document
from rose_cli.util.secrets import secrets_of_environment
from rose_cli.util.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.journal.codec import Record
    from rose_cli.journal.events import SessionDescribed
    from rose_cli.provenance.actions import SessionActions
    from rose_cli.provenance.package import Package, Stored
    from rose_cli.run_info import RunInfo

METADATA = "ro-crate-metadata.json"

_CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]

_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}

_WORKFLOW_PROFILE = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"

_LANGUAGE, _RUN, _LICENCE = "#rose-campaign", "#run", "#licence"

_ROSE_URL = "https://pypi.org/project/rose-cli/"

_MOST_NAMED = 100

_README = f"""\
# Run of the campaign {{campaign}}

This is a run of [rose]({_ROSE_URL}) as an RO-Crate (Provenance Run Crate 0.5): `ro-crate-metadata.json` says what ran,
when, where, with which options, from which files, and what came of it.

- `campaign.yaml`: the campaign; `plan.json`: the plan that rose made of it. Secrets in them are masked.
- `journal.jsonl`: everything that happened, one event per line.
- `inputs/`: files that the campaign names, if they had not changed since the run.
- `learners/NAME/logs/ITERATION/`: the output and the report of each task.
- `campaign/logs/`: those of the tasks that run once per campaign: the setup in `0`, a finish in `1` and so on.
- `learners/NAME/workspace/`: files that tasks wrote, as they were when this crate was made.
"""


@dataclass
class CrateReport:
    """`omitted`: why files are not in the crate, each with how many. `left_out`: attempts without an action."""

    path: Path
    omitted: dict[str, int]
    left_out: int
    actions: int
    files: int


def write_crate(info: RunInfo, output: Path) -> CrateReport:
    """Write the run as a crate to the new directory, or the new ZIP file, `output`. Raises RoseError."""
    if not info.state.steps_done and not info.state.attempts_failed and info.state.session is None:
        raise RunDirectoryError("this run has not started a task, so there is nothing to describe", "run it first")
    secrets = secrets_of_plan(info.plan) | secrets_of_environment(os.environ)
    mode = stat.S_IMODE(info.directory.path.stat().st_mode) | 0o700
    with (
        new_package(output, secrets, mode) as package,
        tempfile.TemporaryFile("w+", encoding="ascii") as stream,
        OpenDirectory.at(info.directory.path, inside=info.directory.path) as run,
    ):
        crate = _Crate(info, package, Graph(stream), Secrets.of(secrets), run)
        crate.write()
        stream.seek(0)
        with tempfile.TemporaryFile() as metadata:
            metadata.write(b'{"@context": ' + json.dumps(_CONTEXT).encode() + b', "@graph": [\n')
            while text := stream.read(1 << 20):
                metadata.write(text.encode("ascii"))
            metadata.write(b"\n]}\n")
            metadata.seek(0)
            package.add_stream(METADATA, metadata)
    return CrateReport(
        output, crate.actions.omitted, crate.actions.left_out, len(crate.graph.actions) - 1, len(crate.graph.parts)
    )


class _Crate:
    def __init__(self, info: RunInfo, package: Package, graph: Graph, secrets: Secrets, run: OpenDirectory) -> None:
        self._info, self._package, self.graph, self._secrets = info, package, graph, secrets
        state, plan = info.state, info.plan
        self._facts = state.described
        final = FinalFiles()
        info.read_journal(final.add)
        self._versions: dict[int, str] = {}
        self._rose = __version__
        self._inputs = self._input_files()
        inputs = Inputs(
            {
                learner.name: [self._inputs[file.source] for file in learner.files if file.source in self._inputs]
                for learner in plan.learners
            },
            {learner.name: graph.add_value(("campaign",), "seed", learner.seed) for learner in plan.learners},
        )
        self.actions = Actions(info, graph, package, run, final, inputs, state.files)

    def write(self) -> None:
        graph, actions, info = self.graph, self.actions, self._info
        self._add_descriptor()
        for number, facts in self._facts.items():
            actions.agents[number] = self._agent(facts)
        info.read_journal(self._note_version)
        info.read_journal(actions.add)
        actions.finish()
        if not actions.tools:
            raise RunDirectoryError("this run has not started a task, so there is nothing to describe", "run it first")
        files = [self._own_file(name) for name in (info.directory.campaign_copy.name, info.directory.plan.name)]
        journal = self._journal()
        workflow = next(each for each in files if each is not None)
        self._add_workflow(workflow)
        for stored in files:
            if stored is not None and stored is not workflow:
                graph.add_file(stored, stored.url, description="The plan that rose made of the campaign.")
        if journal is not None:
            graph.add_file(
                journal, journal.url, description="Everything that happened in the run, as rose recorded it."
            )
        self._add_run(workflow, journal)
        for session in actions.sessions.values():
            if session.controls:
                self._add_session(session)
        self._add_readme()
        actions.add_tools()
        graph.add_parameters()
        self._add_root(workflow)

    # --- files of the run, and those that it starts from -------------------------------------------------------------

    def _own_file(self, name: str) -> Stored | None:
        """The plan or the campaign file, with its secrets masked."""
        path = self._info.directory.path / name
        try:
            data = read_regular(path, MOST_CAMPAIGN_BYTES if name == CAMPAIGN_TEXT else MOST_BYTES)
        except FileNotFoundError:  # an older rose kept no copy of the campaign file
            return None
        except OSError as error:
            raise RunDirectoryError(f"cannot read '{path}': {error.strerror}", "restore it from a backup") from error
        text = data.decode("utf-8", "replace")
        shown = self._secrets.masked(masked_document(text) if name == CAMPAIGN_TEXT else text)
        return self._package.add_data(name, data if shown == text else shown.encode("utf-8", "replace"))

    def _journal(self) -> Stored | None:
        path = self._info.directory.journal
        try:
            return self._package.add(path.name, open_regular(path))
        except (OSError, OmittedError) as error:
            self.actions.omitted[f"the journal: {error}"] = 1
            return None

    def _input_files(self) -> dict[str, str]:
        """The `@id` of every file that the plan names, by its path: in the crate if it is still what the run used."""
        info, found = self._info, dict[str, str]()
        campaign = Path(info.plan.campaign_dir)
        named = {str(campaign / name): text for name, text in info.state.files.items()}
        sources = {file.source: "" for learner in info.plan.learners for file in learner.files}
        for source, recorded in {**sources, **named}.items():
            path = Path(source)
            inside = path.is_relative_to(campaign)
            name = str(path.relative_to(campaign)) if inside else source
            found[source] = self._input_file(path, name, inside, recorded)
        return found

    def _input_file(self, path: Path, name: str, inside: bool, recorded: str) -> str:
        now = fingerprint(path)
        if now is None:
            return self.graph.add_missing(name, "it no longer exists, or cannot be read", fingerprint=recorded or None)
        if recorded and now != recorded:
            return self.graph.add_missing(name, "it has changed since the run used it", fingerprint=recorded)
        if not recorded:  # a forged plan could name a private file of whoever exports it
            return self.graph.add_missing(name, "the journal has no fingerprint of it", fingerprint=now)
        if path.is_dir():
            return self.graph.add_missing(name, "it is a directory", fingerprint=now)
        try:
            stored = self._package.add(
                path_in_crate("inputs", *(() if inside else ("elsewhere",)), name), _opened(path)
            )
        except (OSError, OmittedError) as error:
            return self.graph.add_missing(name, str(error), fingerprint=now)
        return self.graph.add_file(stored, name, exampleOfWork=None)

    # --- entities ----------------------------------------------------------------------------------------------------

    def _add_descriptor(self) -> None:
        self.graph.add(
            METADATA, "CreativeWork", about=reference("./"),
            conformsTo=references(["https://w3id.org/ro/crate/1.1", "https://w3id.org/workflowhub/workflow-ro-crate/1.0"]),
        )  # fmt: skip

    def _add_readme(self) -> None:
        data = _README.format(campaign=clean(self._info.plan.campaign)).encode("utf-8")
        self.graph.add_file(
            self._package.add_data("README.md", data),
            "README.md",
            about=reference("./"),
            encodingFormat="text/markdown",
        )

    def _agent(self, facts: SessionDescribed) -> str:
        name = facts.user or "unknown user"
        return self.graph.add(local_id("person", name), "Person", name=clean(name))

    def _note_version(self, record: Record) -> None:
        if isinstance(record.event, RunCreated):
            self._rose = clean(record.event.rose_version)

    def _engine(self, session: int) -> str:
        """The version of rose that a session ran with, which an older one recorded only for the run."""
        facts = self._facts.get(session)
        version = facts.rose if facts is not None and facts.rose else self._rose
        python = None
        if facts is not None and facts.python is not None:
            name, _, number = facts.python.partition(" ")
            python = self.graph.add(
                local_id("software", name, number), "SoftwareApplication", name=clean(name),
                softwareVersion=clean(number), url="https://www.python.org/",
            )  # fmt: skip
        return self.graph.add(
            local_id("software", "rose", version, *([python] if python else [])), "SoftwareApplication", name="rose",
            softwareVersion=clean(version), url=_ROSE_URL,
            softwareRequirements=reference(python) if python is not None else None,
        )  # fmt: skip

    def _add_workflow(self, workflow: Stored) -> None:
        graph, info = self.graph, self._info
        graph.add(_LANGUAGE, "ComputerLanguage", name="rose campaign", url=_ROSE_URL)
        commit = self._latest_commit()
        graph.add_file(
            workflow,
            clean(info.plan.campaign),
            ("SoftwareSourceCode", "ComputationalWorkflow", "HowTo"),
            encodingFormat=graph.format_of(workflow.url),
            description="The campaign file of the run." if workflow.url == CAMPAIGN_TEXT else "The plan of the run.",
            conformsTo=reference(_WORKFLOW_PROFILE),
            programmingLanguage=reference(_LANGUAGE),
            version=commit.commit if commit is not None and commit.commit else f"sha256:{workflow.sha256}",
            codeRepository=commit.remote if commit is not None else None,
            url=commit.remote if commit is not None else None,
            hasPart=references(self.actions.tools),
            step=references(self.actions.steps),
            input=references(graph.parameters("campaign")),
            output=references(graph.parameters(CRITERION, "result")),
        )

    def _latest_commit(self) -> SessionDescribed | None:
        return next((facts for facts in reversed(self._facts.values()) if facts.commit is not None), None)

    def _add_run(self, workflow: Stored, journal: Stored | None) -> None:
        state, actions = self._info.state, self.actions
        sessions = list(actions.sessions.values())
        status = self._info.status.value
        has_ended = status not in ("running", "pending")
        last = sessions[-1].last if sessions else state.last_time
        failed = [learner for learner in state.learners.values() if learner.stop_reason == "failed"]
        error = f"{counted(len(failed), 'learner')} failed" if failed else f"the run is {status}"
        if state.shared is not None and state.shared.stop_reason == "failed" and state.shared.message:
            error = clean(state.shared.message)
        self.graph.actions.append(_RUN)
        self.graph.add(
            _RUN,
            "CreateAction",
            name=clean(f"Run of the campaign {self._info.plan.campaign}"),
            description=clean(f"The run {self._info.directory.path.name}, which is {status}."),
            instrument=reference(workflow.url),
            agent=reference(next(iter(actions.agents.values()))) if actions.agents else None,
            startTime=time_as_json(state.started or 0.0),
            endTime=time_as_json(last) if has_ended else None,
            actionStatus=(COMPLETED if status == "done" else FAILED) if has_ended else None,
            error=error if has_ended and status != "done" else None,
            object=references([*dict.fromkeys(actions.seeds), *self._inputs.values()]),
            result=references([*self._best(), *([journal.url] if journal is not None else []), *actions.results]),
        )

    def _best(self) -> Iterator[str]:
        """The last value of each learner's metric."""
        for learner in self._info.plan.learners:
            history = [value for value in self._info.state.learners[learner.name].history if value is not None]
            if learner.criterion is not None and history:
                yield self.graph.add_value((CRITERION, "result"), learner.criterion.metric, history[-1])

    def _add_session(self, session: SessionActions) -> None:
        event, facts = session.event, self._facts.get(session.event.session)
        end = session.ended
        has_failed = end is not None and end.reason != "finished"
        self.graph.add(
            local_id("session", event.session),
            "OrganizeAction",
            name=f"Session {event.session}",
            description=clean(f"One process of rose that worked on the run, on {event.host}."),
            instrument=reference(self._engine(event.session)),
            agent=reference(self.actions.agents[event.session]) if event.session in self.actions.agents else None,
            startTime=time_as_json(session.started),
            endTime=time_as_json(session.last),
            actionStatus=COMPLETED if end is not None and not has_failed else FAILED if end is not None else None,
            error=clean(f"{end.reason}: {end.message}" if end.message else end.reason) if end and has_failed else None,
            object=references(session.controls),
            result=reference(_RUN),
            additionalProperty=references(self._session_facts(session, facts)),
        )

    def _session_facts(self, session: SessionActions, facts: SessionDescribed | None) -> Iterator[str]:
        event = session.event
        found: dict[str, Any] = {
            "host": event.host, "engine": event.engine, "cores": event.cores, "GPUs": event.gpus or None,
            "nodes": event.nodes,
        }  # fmt: skip
        if facts is not None:
            changed, more = list(facts.changed[:_MOST_NAMED]), list(facts.untracked[:_MOST_NAMED])
            found |= {
                "operating system": facts.distribution, "system": facts.system, "CPU": facts.cpu,
                "Python": facts.python, "interpreter of rose": facts.interpreter,
                "git commit": facts.commit, "git branch": facts.branch, "git remote": facts.remote,
                "campaign in the repository": facts.campaign_path,
                "git: files that differ from the commit": facts.changes,
                "git: names of these files": "\n".join(changed) or None,
                "git: untracked files": facts.untracked_count,
                "git: names of untracked files": "\n".join(more) or None,
                "git: not known because": facts.git_problem,
            }  # fmt: skip
        for name, value in found.items():
            if value is not None:
                yield self.graph.add_fact(name, value)

    def _add_root(self, workflow: Stored) -> None:
        graph, info, actions = self.graph, self._info, self.actions
        for identifier, (name, version) in _PROFILES.items():
            graph.add(identifier, "CreativeWork", name=name, version=version)
        graph.add(_LICENCE, "CreativeWork", name="No licence stated", description="Ask the authors of the campaign.")
        notes = [f"A run of the campaign {info.plan.campaign} with rose: {info.directory.path.name}."]
        if actions.left_out:
            notes.append(
                f"{counted(actions.left_out, 'attempt')} beyond the first have no action here; see the journal."
            )
        if actions.omitted:
            reasons = "; ".join(f"{number}: {reason}" for reason, number in actions.omitted.items())
            notes.append(f"Files that are not included: {reasons}.")
        if altered := [
            n for n in unknown_checksums(info.state, checksums(info.directory)) if n in info.state.checksums
        ]:
            notes.append(f"{' and '.join(altered)} of the run were modified after rose wrote them.")
        graph.add(
            "./",
            "Dataset",
            name=clean(f"Run of the campaign {info.plan.campaign}"),
            description=clean(" ".join(notes)),
            datePublished=time_as_json(info.state.last_time),
            license=reference(_LICENCE),
            author=references(actions.agents.values()) if actions.agents else None,
            conformsTo=references(_PROFILES),
            mainEntity=reference(workflow.url),
            hasPart=references(graph.parts),
            mentions=references(graph.actions),
        )


def _opened(path: Path) -> int:
    """A file that the user's own plan names, through links; a pipe there does not block."""
    return open_regular(path.resolve())
