"""The example of docs/trackers.md, built and installed as its readers would, with W&B in offline mode."""

from __future__ import annotations

import json
import subprocess
import zipfile
from shutil import copytree
from typing import TYPE_CHECKING, Any

from tests.conftest import PATIENCE, REPOSITORY, wait_until
from tests.others import other_environment, other_python

if TYPE_CHECKING:
    from pathlib import Path

CAMPAIGN = """\
max_iter: 3
tasks:
  train: {executable: "sh train.sh", adaptive: {--size: 10 * (i + 1)}}
stop: {metric: mse, threshold: 0.5, executable: "sh value.sh"}
learners: [{name: a}, {name: b}]
track: {wandb: {project: surrogates, mode: offline}}
"""

TRAIN = """\
echo '{"loss": 0.25, "odd": "nan", "note": "text"}' > "$ROSE_RESULT"
"""

VALUE = """\
test -e "$ROSE_CAMPAIGN_DIR/go" || test "$ROSE_ITERATION" = 0 || exit 1
echo $((2 - ROSE_ITERATION))
"""

READ = """
import json, struct, sys
from wandb.proto.wandb_internal_pb2 import Record

for path in sys.argv[1:]:
    data, position, parts = open(path, "rb").read(), 7, b""
    while position + 7 <= len(data):
        rest = 32768 - position % 32768
        if rest < 7:  # the end of a block is filled up
            position += rest
            continue
        length, kind = struct.unpack_from("<HB", data, position + 4)
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record, parts = Record.FromString(parts), b""
            run, history = record.run, record.history
            if run.run_id:
                print(json.dumps([run.display_name, "run", [run.run_id, run.project, run.run_group]]))
                name = run.display_name
            if history.item:
                values = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in history.item}
                print(json.dumps([name, "history", values]))
            summary = {item.key or "/".join(item.nested_key): item.value_json for item in record.summary.update}
            if "stop_reason" in summary:
                print(json.dumps([name, "stopped", json.loads(summary["stop_reason"])]))
"""


def installed(folder: Path) -> Path:
    """Where the package of the example is installed."""
    copytree(REPOSITORY / "docs/examples/rose-wandb", source := folder / "source")
    command = [other_python(), "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=source, env=other_environment(), check=True, capture_output=True, timeout=PATIENCE)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "packages")
    return folder / "packages"


def recorded(run: Path) -> list[tuple[str, str, Any]]:
    """What W&B has stored: by learner, values of iterations and why it stopped."""
    files = sorted(str(each) for each in run.glob("wandb/offline-run-*/*.wandb"))
    command = [other_python(), "-c", READ, *files]
    called = subprocess.run(
        command, env=other_environment(), check=True, capture_output=True, text=True, timeout=PATIENCE
    )
    return [(name, kind, value) for name, kind, value in map(json.loads, called.stdout.splitlines())]


def test_the_example_sends_to_weights_and_biases_and_a_resume_continues(tmp_path: Path) -> None:
    packages, work = installed(tmp_path / "built"), tmp_path / "work"
    work.mkdir()
    for name, text in {"campaign.yaml": CAMPAIGN, "train.sh": TRAIN, "value.sh": VALUE}.items():
        (work / name).write_text(text, encoding="utf-8")
    variables = {**other_environment(), "PYTHONPATH": str(packages), "WANDB_SILENT": "true"}

    def rose(*arguments: str) -> int:
        command = [other_python(), "-m", "rose_cli", *arguments, "-o", "quiet"]
        called = subprocess.run(
            command, cwd=work, env=variables, check=False, capture_output=True, text=True, timeout=PATIENCE
        )
        return called.returncode

    assert rose("run", "campaign.yaml") == 1
    run = (work / "rose-runs" / "latest").resolve()
    wait_until_closed(run)
    (work / "go").touch()
    assert rose("resume") == 0
    wait_until_closed(run)
    stored = recorded(run)
    for learner in ("a", "b"):
        own = [(kind, value) for name, kind, value in stored if name == learner]
        runs = {tuple(value) for kind, value in own if kind == "run"}
        ((_, project, group),) = runs
        assert (project, group) == ("surrogates", run.name)
        values = [value for kind, value in own if kind == "history"]
        assert [(value["_step"], value["mse"], value["option/train/size"]) for value in values] == [
            (0, 2.0, 10.0),
            (1, 1.0, 20.0),
            (2, 0.0, 30.0),
        ]
        assert {value["result/loss"] for value in values} == {0.25}
        assert not any("result/odd" in value or "result/note" in value for value in values)
        assert [value for kind, value in own if kind == "stopped"][-1] == "criterion_met"


def wait_until_closed(run: Path) -> None:
    """Until W&B knows of the end of the latest session: the position may still be that of an earlier one."""
    path, journal = run / "track" / "wandb" / "position.json", run / "journal.jsonl"

    def is_closed() -> bool:
        if not path.exists():
            return False
        position = json.loads(path.read_text(encoding="utf-8"))
        return bool(position["closed"]) and position["bytes"] >= journal.stat().st_size

    wait_until(is_closed)
