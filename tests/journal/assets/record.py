"""Records a run for the assets: `python -m tests.journal.assets.record v1`, once for each format of the journal.

The run has everything that a journal can hold: failures, retries, a step that was given up, replicas, `nan`, reports,
an interruption, a `kill -9`, an extension, a learner that was stopped and one that was sent back, an edited campaign,
tasks that run once, steps with conditions, named replicas, a second criterion, and decisions of a program.
What names this machine is taken out, the rest is as rose wrote it. What was recorded is never changed again.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

from rose_cli.api.decisions import Decision, TaskChange
from rose_cli.api.messages import Resume
from rose_cli.api.process import Asked, SessionProcess
from rose_cli.journal import events as e
from rose_cli.journal.codec import Record, encode
from rose_cli.journal.file import read_journal
from rose_cli.journal.state import RunState
from tests.conftest import PATIENCE, Rose

HERE = Path(__file__).parent
PLACE = "/home/user/oscillator"
"""Where the campaign of every asset lies, as far as its plan and its journal know."""

CAMPAIGN = """\
name: oscillator
max_iter: 4
seed: 7
engine: {kind: local, cores: 4, grace: 1}
limits: {max_parallel_learners: 4, wall_time: 1h, same_failure: 50}
env: {MESH: fine}
parameters: {mesh: 10, rate: 0.10}
setup:
  pool: {executable: [sh, -c, 'echo "{{\\"pool\\": {mesh}}}"']}
before:
  prepare: {executable: [sh, -c, '[ $ROSE_ATTEMPT != 1 ]'], retries: {times: 1, pause: 0}}
tasks:
  simulation:
    executable: [sh, -c, 'sleep 0.1; echo "{{\\"labeled\\": $ROSE_ITERATION, \\"odd\\": NaN}}"']
    options: {--n: 100}
  rollout: {executable: [sh, -c, '[ $ROSE_ITERATION != 1 ]'], replicas: 2, on_failure: continue}
  training:
    executable: [sh, -c, '[ $ROSE_ATTEMPT != 1 ] || [ $ROSE_ITERATION != 0 ] || {{ echo no mesh >&2; exit 3; }}']
    retries: {times: 2, pause: 0.1}
  validate: {executable: ["true"], when: i % 2 == 0 and result.labeled >= 0}
  members: {executable: [echo, '{{"spread": 0.5}}'], replicas: [cnn, mlp]}
  sampled: {executable: ["true"], replicas: 1 + i % 2}
after:
  gather: {executable: [echo, "{rate}"]}
finish:
  table: {executable: ["true"]}
stop:
  any:
    - {metric: mse, threshold: 0.2, executable: [sh, -c, 'echo 0.$((9 - $ROSE_ITERATION))']}
    - {metric: spread, operator: "<", value: mean(results.members.spread)}
learners:
  - {name: converges, stop: {metric: mse, threshold: 0.75}}
  - name: per iteration
    simulation: {0: {--n: 150}, 2: {--n: [1, 2.5]}, -1: {--n: 400, --fast: true}}
  - {name: adaptive, simulation: {adaptive: {--n: 100 + i*50, --rate: 0.1 * metric if i > 0 else 0.1}}}
  - {name: fails, training: {executable: [sh, -c, 'kill -SEGV $$'], retries: 0}}
  - {name: nan, parameters: {mesh: 20}, stop: {metric: mse, executable: [echo, nan], patience: 2}}
  - {name: stopped, simulation: {executable: [sleep, '1000'], options: {--n: null}}}
"""


def record(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rose = Rose(Path(folder))
        _live(rose)
        _keep(rose.folder, HERE / name)


def _live(rose: Rose) -> None:
    rose.write(CAMPAIGN)
    process = rose.start("run", "campaign.yaml", "--run-dir", "run", "--output", "quiet")
    _wait_for(rose, "iteration_finished", 2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    process = rose.start("resume", "run", "--output", "quiet")
    _wait_for(rose, "iteration_finished", 5)
    process.kill()
    process.communicate(timeout=PATIENCE)
    process = rose.start("resume", "run", "--output", "quiet")
    _wait_for(rose, "learner_stopped", 5)
    rose("stop", "run", "--learner", "stopped")
    process.communicate(timeout=PATIENCE)
    _decide(rose, Resume(rose.folder / "run", max_iter=6, output="quiet"))
    rose("resume", "run", "--from-iteration", "3", "--learner", "adaptive", "--without-decisions", "--output", "quiet")
    rose.write(CAMPAIGN.replace("MESH: fine", "MESH: finer"))
    rose("resume", "run", "--output", "quiet")


def _decide(rose: Rose, job: Resume) -> None:
    """A session whose learners a program lets go on, one of them with another option."""
    process = SessionProcess(job, gated=True)
    for message in process.messages():
        if isinstance(message, Asked):
            change = {"simulation": TaskChange(options={"--fast": 1})} if message.question.learner == "adaptive" else {}
            process.decide(message.question, Decision(tasks=change))
    process.wait()


def _wait_for(rose: Rose, event: str, count: int) -> None:
    path = rose.folder / "run/journal.jsonl"
    end = time.monotonic() + PATIENCE
    while not path.exists() or path.read_text().count(f'"event":"{event}"') < count:
        if time.monotonic() > end:
            raise TimeoutError(event)
        time.sleep(0.01)


def _keep(folder: Path, asset: Path) -> None:
    asset.mkdir()
    records: list[Record] = []
    read_journal(folder / "run/journal.jsonl", records.append)
    (asset / "journal.jsonl").write_bytes(b"".join(encode(_anonymous(record, folder)) for record in records))
    state = RunState()
    read_journal(asset / "journal.jsonl", state.apply)
    (asset / "state.json").write_text(json.dumps(plain(state), indent=1) + "\n", encoding="utf-8")
    plan = (folder / "run/plan.json").read_text(encoding="utf-8")
    (asset / "plan.json").write_text(plan.replace(str(folder), PLACE), encoding="utf-8")
    (asset / "campaign.yaml").write_text((folder / "campaign.yaml").read_text(encoding="utf-8"), encoding="utf-8")


def _anonymous(record: Record, folder: Path) -> Record:
    event = record.event
    if isinstance(event, e.SessionStarted):
        event = replace(event, host="node01", pid=4711, directory=f"{PLACE}/run", campaign_dir=PLACE, boot=None)
    elif isinstance(event, e.SessionDescribed):
        system = (event.rose, "CPython 3.11.7", "/usr/bin/python3", "Linux 6.1.0 x86_64", "Debian 12", "A processor")
        commit = {"campaign_path": ".", "commit": "1" * 40, "branch": "main", "changes": 1, "changed": ("mesh.py",)}
        event = e.SessionDescribed(event.session, *system, "user", **commit)  # type: ignore[arg-type]
    elif isinstance(event, e.ProcessSpawned):
        event = replace(event, pid=4712, start_ticks=100)
    elif isinstance(event, e.AttemptFailed):
        event = replace(event, command=event.command.replace(str(folder), PLACE))
    if isinstance(event, e.RunCreated | e.SessionStarted | e.PlanChanged):  # plan.json has another place now
        event = replace(event, checksums={name: text for name, text in event.checksums.items() if name != "plan.json"})
    return replace(record, event=event)


def plain(value: object) -> object:
    """A state as what JSON can hold; what begins with `_` is nobody's business."""
    if is_dataclass(value):
        derived = {key: getattr(value, key) for key, entry in vars(type(value)).items() if isinstance(entry, property)}
        own = {field.name: getattr(value, field.name) for field in fields(value)}
        return {key: plain(entry) for key, entry in {**own, **derived}.items() if not key.startswith("_")}
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(entry) for entry in value]
    return value


if __name__ == "__main__":
    record(sys.argv[1])
