"""Campaigns on real pilots: from the command line to the last process, also where something dies on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.engines import unique_run_id
from rose_cli.util.files import directory_identity
from rose_cli.util.processes import ProcessScan, run_tag
from tests.conftest import PATIENCE, Rose
from tests.engine.conftest import require_pilot

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.xdist_group("pilot runs")]

CAMPAIGN = """\
    engine: {{kind: radical.pilot, resource: local.localhost, runtime: 20, cores: 2, grace: 1, restarts: {restarts}}}
    tasks:
      simulation: {{executable: "sh -c 'echo $ROSE_SEED.$ROSE_ITERATION > point.$ROSE_ITERATION; sleep {seconds}'"}}
      training: {{executable: "python train.py"}}
    stop: {{metric: mse, threshold: 0.5, executable: ./value.sh}}
    learners: [{{name: a}}, {{name: b, seed: 7}}, {{name: c}}]
    max_iter: {max_iter}
"""
VALUE = """\
    #!/bin/sh
    cat point.* | cksum | cut -d' ' -f1
"""
TRAIN = """\
    import os
    assert os.path.samefile(os.getcwd(), os.environ["ROSE_WORKSPACE"])
    print("trained at", os.environ["ROSE_ITERATION"])
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Callable[..., Rose]:
    """A campaign in a folder whose name has to be quoted, called as a batch job would: no environment activated."""
    require_pilot()
    folder = tmp_path / "it's a $folder"
    folder.mkdir()
    (tmp_path / "home").mkdir()

    def write(max_iter: int = 4, restarts: int = 0, seconds: float = 0.2) -> Rose:
        rose = Rose(folder)
        rose.write(CAMPAIGN.format(max_iter=max_iter, restarts=restarts, seconds=seconds))
        rose.script(VALUE, "value.sh")
        rose.write(TRAIN, "train.py")
        return rose

    return write


def start(rose: Rose, *arguments: str, most_files: int | None = None) -> subprocess.Popen[str]:
    """A bare environment: radical.pilot's scripts are not on PATH, and the home is one that shows every trace."""
    log = (rose.folder.parent / "rose.log").open("a")
    limited = [] if most_files is None else ["/bin/sh", "-c", f'ulimit -n {most_files}; exec "$@"', "sh"]
    return subprocess.Popen(
        [*limited, sys.executable, "-m", "rose_cli", *arguments],
        cwd=rose.folder,
        env={"HOME": str(rose.folder.parent / "home"), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        text=True,
    )


def ended(rose: Rose, process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code, and all that was said."""
    code = process.wait(timeout=PATIENCE)
    return code, (rose.folder.parent / "rose.log").read_text(encoding="utf-8")


def until(condition: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> Any:
    """Wait for it, and for nothing else; gives what it gives."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        assert process is None or process.poll() is None, f"rose ended before, with {process.returncode}"
        time.sleep(0.05)
    return found


def events(rose: Rose, kind: str) -> list[dict[str, Any]]:
    try:
        return [event for event in rose.events("r") if event["event"] == kind]
    except FileNotFoundError:
        return []


def alive(rose: Rose) -> list[int]:
    """Every process of the run, whatever it is: tasks, agent, host."""
    created = events(rose, "run_created")
    if not created:
        return []
    run = run_tag(unique_run_id(created[0]["run_id"], directory_identity(rose.folder / "r")))
    return [process.pid for process in ProcessScan().find(lambda tag: tag.startswith(run))]


def part(rose: Rose, title: str) -> int | None:
    """The process of radical.pilot that calls itself so."""
    for pid in alive(rose):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        except OSError:
            continue
        if words.startswith(title):
            return pid
    return None


def assert_no_trace(rose: Rose) -> None:
    assert alive(rose) == []
    assert sorted(path.name for path in rose.folder.iterdir()) == ["campaign.yaml", "r", "train.py", "value.sh"]
    assert list((rose.folder.parent / "home").iterdir()) == []
    assert [path.name for path in (rose.folder / "r/engine").glob("*") if not path.name.startswith("pilot-")] in (
        ["watchdog.log"], [],
    )  # fmt: skip


def test_killed_and_resumed_a_run_has_the_history_of_one_on_this_machine(campaign: Callable[..., Rose]) -> None:
    rose = campaign()
    process = start(rose, "run", "campaign.yaml", "--run-dir", "r")
    until(lambda: len(events(rose, "iteration_finished")) >= 3, process)
    process.kill()
    process.wait()
    until(lambda: not alive(rose))

    code, said = ended(rose, start(rose, "resume", "r"))
    assert code == 0, said
    assert "starting pilot" in said
    assert "radical" not in said.replace("radical.pilot", ""), "nothing of its own reaches the screen"
    assert_no_trace(rose)
    for pilot in ("pilot-1.1", "pilot-2.1"):
        written = rose.folder / "r/engine" / pilot
        assert (written / "host.log").is_file()
        assert {path.name for path in (written / "radical").iterdir()} >= {"client", "agent"}
    on_pilot = {name: learner["history"] for name, learner in rose.learners("r").items()}
    called = rose("run", "campaign.yaml", "--run-dir", "local", "--engine", "local")
    assert called.code == 0, called.err
    assert on_pilot == {name: learner["history"] for name, learner in rose.learners("local").items()}


def test_what_is_lost_is_run_again_on_another_pilot_as_often_as_allowed(campaign: Callable[..., Rose]) -> None:
    rose = campaign(max_iter=1000, restarts=1)
    process = start(rose, "run", "campaign.yaml", "--run-dir", "r")
    until(lambda: events(rose, "iteration_finished"), process)
    executor = until(lambda: part(rose, "rp.agent_executing.0"), process)
    os.kill(executor, signal.SIGKILL)
    lost = until(lambda: events(rose, "attempt_lost"), process)
    assert "a part of radical.pilot died: 'rp.agent_executing.0000'" in lost[0]["reason"]

    before = len(events(rose, "iteration_finished"))
    until(lambda: len(events(rose, "iteration_finished")) > before + 3, process)
    assert not events(rose, "attempt_failed"), "lost is not failed"
    os.kill(until(lambda: part(rose, sys.executable), process), signal.SIGKILL)  # the bridge process
    code, said = ended(rose, process)
    assert code == 5, said
    assert "starting another pilot" in said
    assert "bridge process of radical.pilot ended" in said
    assert str(rose.folder / "r/engine/pilot-1.2") in said
    assert rose.events("r")[-1]["reason"] == "engine_lost"
    assert len(events(rose, "attempt_lost")) > len(lost)
    assert not events(rose, "attempt_cancelled")
    assert rose.status("r")["status"] == "lost"
    assert_no_trace(rose)


def test_too_few_open_files_are_said(campaign: Callable[..., Rose]) -> None:
    """A pilot opens some hundred, in whatever part of it first comes to the limit."""
    rose = campaign()
    code, said = ended(rose, start(rose, "run", "campaign.yaml", "--run-dir", "r", most_files=128))
    assert code == 5, said
    assert "open files" in said
    assert not events(rose, "attempt_started")
    assert_no_trace(rose)


def test_interrupted_while_the_pilot_starts(campaign: Callable[..., Rose]) -> None:
    rose = campaign()
    process = start(rose, "run", "campaign.yaml", "--run-dir", "r")
    until(lambda: part(rose, "rp."), process)
    process.send_signal(signal.SIGINT)
    code, said = ended(rose, process)
    assert code == 130, said
    assert not events(rose, "attempt_started")
    assert_no_trace(rose)


def test_terminated_and_then_at_once(campaign: Callable[..., Rose]) -> None:
    rose = campaign(max_iter=1000, seconds=600)
    rose.write(rose.folder.joinpath("campaign.yaml").read_text().replace("grace: 1,", "grace: 600,").replace(
        "sleep 600", "trap : TERM; echo here; while :; do sleep 1; done"
    ))  # fmt: skip
    process = start(rose, "run", "campaign.yaml", "--run-dir", "r")
    until(lambda: len(list(rose.folder.glob("r/learners/*/workspace/point.0"))) == 2, process)
    process.send_signal(signal.SIGTERM)
    until(lambda: "send a second signal to kill them now" in (rose.folder.parent / "rose.log").read_text(), process)
    process.send_signal(signal.SIGTERM)
    code, said = ended(rose, process)
    assert code == 143, said
    assert_no_trace(rose)
