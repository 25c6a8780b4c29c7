"""Scripts and their programs, small enough for a test: what upstream's examples do, in our own words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from rose_cli.journal import events as e
from rose_cli.journal.tail import JournalTail
from tests.conftest import PATIENCE, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = {
    "sim.py": (
        "import json, sys\n"
        "json.dump(sys.argv[1:], open('sim.json', 'w'))\n"
        "print(json.dumps({'arguments': len(sys.argv) - 1}))\n"
    ),
    "train.py": "import json, sys\njson.dump(sys.argv[1:], open('train.json', 'w'))\n",
    "active.py": "print('selected')\n",
    "active_1.py": "print('selected')\n",
    "active_2.py": "open('fast', 'w').close()\n",
    "check_mse.py": (
        "import os\n"
        "i = int(os.environ['ROSE_ITERATION'])\n"
        "print(0.01 if i >= (1 if os.path.exists('fast') else 2) else 1.0 / (i + 1))\n"
    ),
}


ALONE = """\
_shown = open("shown.txt", "w", buffering=1)
def print(*words, **_):
    _shown.write(" ".join(map(str, words)) + "\\n")
"""
"""What a script prints goes to a file, not between the lines of its session."""


def write_programs(directory: Path) -> None:
    for name, text in PROGRAMS.items():
        (directory / name).write_text(text, encoding="utf-8")


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "always::UserWarning", **more}


def run_script(directory: Path, text: str, name: str = "script.py", **more: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a directory that has the programs."""
    write_programs(directory)
    (directory / name).write_text(ALONE + text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, name],
        cwd=directory,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    shown = directory / "shown.txt"
    return subprocess.CompletedProcess(
        done.args, done.returncode, shown.read_text(encoding="utf-8") if shown.exists() else "", done.stderr
    )


def runs(directory: Path) -> list[Path]:
    return sorted(path for path in (directory / "rose-runs").iterdir() if path.is_dir() and not path.is_symlink())


def records(run: Path) -> list[Any]:
    return [record.event for record in JournalTail(run / "journal.jsonl").read()]


def arguments(run: Path, task: str, learner: str) -> dict[int, dict[str, Any]]:
    """The options of a task by iteration."""
    return {
        event.iteration: dict(event.options)
        for event in records(run)
        if isinstance(event, e.AttemptStarted) and event.task == task and event.learner == learner
    }


def history(run: Path) -> list[tuple[str, Any]]:
    """What has happened, without times, attempts and processes: equal for a run that was interrupted and continued."""
    found: dict[tuple[object, ...], object] = {}
    for event in records(run):
        match event:
            case e.AttemptSucceeded():
                found["step", event.learner, event.iteration, event.task, event.replica] = event.value, event.result
            case e.DecisionMade():
                found["decision", event.learner, event.iteration] = event.stop, event.commands
            case e.IterationFinished():
                found["iteration", event.learner, event.iteration] = event.value
            case e.LearnerStopped():
                found["end", event.learner] = event.reason
    return sorted((json.dumps(key), json.dumps(value, sort_keys=True)) for key, value in found.items())
