"""Tasks that misbehave: they print gigabytes or bytes that are no text, leave daemons, ignore TERM, fill the disk."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.conftest import REPOSITORY, Rose
from tests.torture.full_disk import small_disk
from tests.torture.verdict import Report, events_of, finished_twice, left_running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEGABYTES_MORE = 40.0
"""Of memory, at most, on top of what a run of quiet tasks takes: less than the smallest of the loud ones prints."""

_CAMPAIGN = """
engine: {{kind: local, cores: 4, grace: 1}}
max_iter: 2
timeout: 10m
on_failure: continue
tasks: {{task: {{executable: "true"}}}}
learners:
{learners}
"""

_SCRIPTS = {
    "prints much": 'yes "a line like any other, again and again" | head -c {bytes}',
    "prints much to stderr and fails": 'yes "a line like any other, again and again" | head -c {bytes} >&2; exit 3',
    "prints one endless line": "head -c {bytes} /dev/zero | tr '\\\\0' x",
    "prints binary": "head -c 3000000 /dev/urandom; head -c 3000000 /dev/urandom >&2; exit 3",
    "prints half a character": "printf 'caf\\\\303'",
    "prints nothing": "true",
    "closes its output": "exec >&- 2>&-; sleep 0.2",
    "reports far too much": """printf '{{"a": "'; head -c 70000 /dev/zero | tr '\\\\0' x; echo '"}}'""",
    "reports a deep nest": "head -c 60000 /dev/zero | tr '\\\\0' '['; echo",
    "leaves a daemon": "setsid sleep 1000 & sleep 1000 & true",
    "leaves a daemon without a mark": "env -i /usr/bin/env setsid sleep 1000 & sleep 0.3",
    "leaves a daemon that holds its output": "(trap '' TERM HUP; while :; do echo still here; sleep 0.1; done) &",
    "removes its logs": "rm -rf ../logs; echo gone",
    "removes its workspace": 'rm -rf "$ROSE_WORKSPACE"',
    "ignores TERM": "trap '' TERM; while :; do sleep 0.1; done",
    "stops itself": "kill -STOP $$; sleep 1000",
    "kills itself": "kill -KILL $$",
}
_FAILING = {
    "prints much to stderr and fails": "exited",
    "prints binary": "exited",
    "removes its workspace": "not_started",
    "ignores TERM": "timed_out",
    "stops itself": "timed_out",
    "kills itself": "signalled",
}
"""How the second iteration of each ends; the others succeed."""


def misbehave(folder: Path, megabytes: int) -> Report:
    """Every kind at once, so much printed by each of the loud ones."""
    report = Report("tasks that misbehave")
    rose = Rose(folder)
    quiet = _write(rose, "quiet", {"prints nothing": "true"})
    _, base, _ = call(rose, "run", str(quiet), "--run-dir", "q", "--output", "quiet")
    loud = _write(rose, "loud", {name: text.format(bytes=megabytes << 20) for name, text in _SCRIPTS.items()})
    code, most, said = call(rose, "run", str(loud), "--run-dir", "r", "--output", "quiet")
    report.expect(code == 0, f"ended with {code}: {said}")
    report.expect(most - base <= MEGABYTES_MORE, f"{most - base:.0f} MB more than with a quiet task")
    report.count("kinds", len(_SCRIPTS))
    report.count("MB printed by each of the loud", megabytes)
    report.count("MB more than with a quiet task", round(most - base))
    report.findings += [*_unexpected(rose), *left_running(folder / "r"), *finished_twice(folder / "r")]
    for words in (("logs", "r"), ("status", "r"), ("export", "r")):
        code, most, said = call(rose, *words)
        report.expect(code == 0, f"rose {words[0]} ended with {code}: {said}")
        report.expect(most - base <= MEGABYTES_MORE, f"rose {words[0]}: {most - base:.0f} MB more than a quiet run")
    return report


def _write(rose: Rose, name: str, scripts: dict[str, str]) -> Path:
    folder = rose.folder / name
    folder.mkdir(parents=True)
    learners = []
    for number, (kind, text) in enumerate(scripts.items()):
        script = rose.script(f"#!/bin/bash\n{text}\n", f"{name}/{number}.sh")
        # what is made to run into its timeout need not take as long as what prints
        own = ", timeout: 2s" if _FAILING.get(kind) == "timed_out" else ""
        learners.append(f"  - {{name: {kind}, task: {{executable: {script}{own}}}}}")
    return rose.write(_CAMPAIGN.format(learners="\n".join(learners)), f"{name}/campaign.yaml")


def _unexpected(rose: Rose) -> Iterator[str]:
    failures = {
        event["learner"]: event["kind"] for event in events_of(rose.folder / "r") if event["event"] == "attempt_failed"
    }
    if failures != _FAILING:
        yield f"attempts ended like this: {failures}"
    for name, learner in rose.learners("r").items():
        if learner["iterations_done"] != 2:
            yield f"'{name}' has done {learner['iterations_done']} iterations of 2"


def call(rose: Rose, *arguments: str) -> tuple[int, float, str]:
    """Exit code, the most memory (MB) that rose or one of its children had, and what was said on standard error."""
    said = rose.folder / "said"
    with said.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "rose_cli", *arguments],
            cwd=rose.folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=err,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss / 1024, said.read_text(encoding="utf-8", errors="replace")


_DISK = """
engine: {kind: local, cores: 2}
max_iter: 6
retries: 1
tasks: {task: {executable: ./task.sh}}
stop: {metric: mine, operator: "<", threshold: 0, executable: "cat value"}
learners: [{name: greedy}, {name: modest}]
"""
_TASK = """\
#!/bin/sh
set -e
if [ "$ROSE_LEARNER$ROSE_ITERATION" = greedy2 ] && ! [ -e "$ROSE_CAMPAIGN_DIR/freed" ]; then
  head -c 100000000 /dev/zero > junk
fi
echo "$ROSE_ITERATION" > value.new
mv value.new value
"""


def hog_the_disk(folder: Path, megabytes: int = 4) -> Report:
    """A task fills the disk that the whole run lives on. With room again, the run comes to its end."""
    report = Report("a task fills the disk")
    rose = Rose(folder)
    rose.script(_TASK, "task.sh")
    rose.write(_DISK)
    with small_disk(folder / "small", megabytes << 10) as disk:
        _hog(report, rose, disk / "r")
    return report


def _hog(report: Report, rose: Rose, run: Path) -> None:
    first = rose("run", "campaign.yaml", "--run-dir", run, "--output", "quiet")
    report.expect(first.code in (1, 4), f"ended with {first.code}: {first.err}")
    report.expect(bool(first.err or first.out), "it said nothing")
    report.count(f"run ended with {first.code}")
    shown = rose("status", run)
    report.expect(shown.code == 0, f"status ended with {shown.code}: {shown.err}")
    full = rose("resume", run, "--output", "quiet")
    report.expect(full.code in (1, 4), f"resume on the full disk ended with {full.code}: {full.err}")
    report.count(f"resume on the full disk ended with {full.code}")
    (rose.folder / "freed").touch()
    (run / "learners/greedy/workspace/junk").unlink(missing_ok=True)
    again = rose("resume", run, "--output", "quiet")
    report.expect(again.code == 0, f"resume with room again ended with {again.code}: {again.err}")
    histories = {name: learner["history"] for name, learner in rose.learners(run).items()}
    expected = [float(number) for number in range(6)]
    report.expect(histories == {"greedy": expected, "modest": expected}, f"the histories are {histories}")
    report.findings += [*finished_twice(run), *left_running(run)]


_REMOVES = """
max_iter: 3
tasks: {first: {executable: "true"}, second: {executable: "sh -c 'sleep 0.2; rm -rf $ROSE_CAMPAIGN_DIR/r'"}}
learners: 2
"""


def remove_the_run(folder: Path) -> Report:
    """A task removes the folder of the whole run: no session goes on writing where nobody will ever look."""
    report = Report("a task removes the run")
    rose = Rose(folder)
    rose.write(_REMOVES)
    called = rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    report.expect(called.code == 4, f"ended with {called.code}: {called.err}")
    report.expect("was removed" in called.err, f"it does not say what happened: {called.err}")
    report.count("runs")
    return report
