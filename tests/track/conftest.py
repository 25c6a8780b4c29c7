"""A campaign, and trackers of the test: installed as packages are, in a folder on PYTHONPATH."""

from __future__ import annotations

import json
from dataclasses import dataclass
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PATIENCE, REPOSITORY, Called, Rose

if TYPE_CHECKING:
    from pathlib import Path

SMALL = """\
'''A tracker that writes what it is told, a line each, into the file that its settings name.'''
import dataclasses
import json


class Small:
    def _write(self, what, value):
        with open(self.file, "a") as file:
            file.write(json.dumps([what, value], default=str) + "\\n")

    def open(self, run, memory):
        self.file, self.memory = run.settings["file"], memory
        memory["opened"] = memory.get("opened", 0) + 1
        facts = dataclasses.asdict(run)
        facts["artifacts"] = {name: path.read_text() for name, path in run.artifacts.items()}
        self._write("open", {**facts, "memory": dict(memory)})
        return f"see {self.file}"

    def send(self, changes):
        self.memory["sent"] = self.memory.get("sent", 0) + len(changes)
        for change in changes:
            self._write(type(change).__name__, dataclasses.asdict(change))

    def close(self, end):
        facts = dataclasses.asdict(end)
        facts["artifacts"] = {name: path.read_text() for name, path in end.artifacts.items()}
        self._write("close", facts)
"""

WAIT = "TEST_WAIT_SECONDS"

CAMPAIGN = """\
max_iter: 3
tasks:
  train: {executable: "sh train.sh", options: {--lr: 0.5, --n: 3}}
stop: {metric: mse, threshold: 0.5, executable: "sh value.sh"}
learners: [{name: a}, {name: b, train: {--lr: 0.25}}]
track: TRACK
"""

PATIENT = f"""\
'''What the interpreter of rose reads first: the end of a session waits for trackers as long as a test says.'''
import os, sys
if {{"run", "resume"}} & {{*sys.orig_argv}} and "{WAIT}" in os.environ:
    from rose_cli.track import session
    session.WAIT_SECONDS = float(os.environ["{WAIT}"])
"""

TRAIN = """\
echo '{"loss": {"train": 0.5, "test": "nan"}, "note": "text", "ok": true}' > "$ROSE_RESULT"
"""

VALUE = "echo $((10 - ROSE_ITERATION))\n"


@dataclass(frozen=True)
class Tracked:
    """rose with trackers of the test; `heard` is what the small one was told."""

    rose: Rose
    packages: Path

    def install(self, name: str, source: str, target: str = "Small") -> None:
        """Install a package that declares a tracker with that name."""
        (self.packages / f"{name}_tracker.py").write_text(dedent(source), encoding="utf-8")
        facts = self.packages / f"{name}_tracker-1.0.dist-info"
        facts.mkdir(exist_ok=True)
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-tracker\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(f"[rose.trackers]\n{name} = {name}_tracker:{target}\n")

    def campaign(self, track: str = "{small: {file: heard.txt}}", text: str = CAMPAIGN) -> Path:
        self.rose.write(TRAIN, "train.sh")
        self.rose.write(VALUE, "value.sh")
        return self.rose.write(text.replace("TRACK", track))

    def __call__(self, *arguments: str | Path, **variables: str) -> Called:
        return self.rose(*arguments, **{**self.variables, **variables})

    @property
    def variables(self) -> dict[str, str]:
        """With them, the end of a session waits until its trackers have everything, however busy the machine is."""
        return {"PYTHONPATH": f"{REPOSITORY}:{self.packages}", WAIT: str(PATIENCE)}

    @property
    def heard(self) -> list[tuple[str, dict[str, Any]]]:
        path = self.rose.folder / "heard.txt"
        *lines, _unfinished = path.read_text(encoding="utf-8").split("\n") if path.exists() else [""]
        return [(what, value) for what, value in map(json.loads, lines)]

    def told(self, *kinds: str) -> list[dict[str, Any]]:
        return [value for what, value in self.heard if what in kinds]

    @property
    def run(self) -> Path:
        return (self.rose.folder / "rose-runs" / "latest").resolve()


@pytest.fixture
def tracked(rose: Rose, tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    found = Tracked(rose, tmp_path_factory.mktemp("packages"))
    found.install("small", SMALL)
    (found.packages / "sitecustomize.py").write_text(PATIENT, encoding="utf-8")
    return found
