"""A script that was killed goes on when it is run again, to the same history."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rose_cli.journal import events as e
from tests.api.upstream import scripts, tutorial
from tests.api.upstream.programs import environment, history, records, run_script, runs, write_programs
from tests.api.upstream.test_scripts import FOR, states
from tests.conftest import PATIENCE, wait_until

if TYPE_CHECKING:
    from pathlib import Path

KILLS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]


def held_in_iteration_2(directory: Path) -> subprocess.Popen[str]:
    """The script with values, which has seen its third state and waits."""
    write_programs(directory)
    (directory / "script.py").write_text(scripts.VALUES, encoding="utf-8")
    (directory / "pause").touch()
    process = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=directory,
        env=environment(PAUSE="pause"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "state 2" in line:
            break
    return process


def killed_in_iteration_2(directory: Path, kind: signal.Signals) -> None:
    process = held_in_iteration_2(directory)
    process.send_signal(kind)
    process.communicate(timeout=PATIENCE)
    (directory / "pause").unlink()


@pytest.mark.parametrize("kind", KILLS, ids=[kind.name for kind in KILLS])
def test_a_script_that_was_killed_goes_on_to_the_same_history(kind: signal.Signals, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    expected = run_script(whole, scripts.VALUES)
    killed_in_iteration_2(broken, kind)
    done = run_script(broken, scripts.VALUES, PAUSE="pause")
    assert done.returncode == 0, done.stderr
    assert states(done.stdout) == states(expected.stdout)
    (run,) = runs(broken)
    assert history(run) == history(*runs(whole))


def test_a_script_that_runs_is_not_run_a_second_time(tmp_path: Path) -> None:
    first = held_in_iteration_2(tmp_path)
    try:
        second = run_script(tmp_path, scripts.VALUES)
    finally:
        (tmp_path / "pause").unlink()
        first.communicate(timeout=PATIENCE)
    assert second.returncode == 1
    assert "RunLockedError: " in second.stderr
    assert "stop it with `rose stop" in second.stderr
    assert first.returncode == 0
    assert len(runs(tmp_path)) == 1


SLOW = """
import pathlib, time
from rose_cli.api.upstream import opening

begin = opening.SessionProcess

def slow(*args, **kwargs):
    pathlib.Path("found").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    return begin(*args, **kwargs)

opening.SessionProcess = slow
"""


def test_a_second_start_is_refused_even_before_the_first_has_a_run(tmp_path: Path) -> None:
    write_programs(tmp_path)
    (tmp_path / "script.py").write_text(SLOW + FOR + "learner.teach(max_iter=1)\n", encoding="utf-8")
    call = [sys.executable, "script.py"]
    first = subprocess.Popen(call, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL)
    try:
        wait_until((tmp_path / "found").exists)
        second = subprocess.run(
            call, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    finally:
        (tmp_path / "go").touch()
        first.communicate(timeout=PATIENCE)
    assert second.returncode == 1
    assert "RunLockedError: 'script.py' runs already" in second.stderr
    assert first.returncode == 0
    assert len(runs(tmp_path)) == 1


def test_a_script_that_has_reached_its_end_starts_anew(tmp_path: Path) -> None:
    text = FOR + "learner.teach(max_iter=1)\n"
    for count in (1, 2):
        assert run_script(tmp_path, text).returncode == 0
        assert len(runs(tmp_path)) == count


def test_what_a_broken_script_has_finished_is_told_again_and_the_rest_runs(tmp_path: Path) -> None:
    text = FOR + "print('last', learner.teach(max_iter=2).replayed)\n"
    more = (
        "import os\nif not os.path.exists('ready'): os._exit(9)\nprint('last', learner.teach(max_iter=3).iteration)\n"
    )
    assert run_script(tmp_path, text + more).returncode == 9
    (tmp_path / "ready").touch()
    done = run_script(tmp_path, text + more)
    assert states(done.stdout) == ["True", "2"], done.stderr
    assert len(runs(tmp_path)) == 2


def test_an_exception_in_the_script_interrupts_its_run_and_decides_nothing(tmp_path: Path) -> None:
    text = FOR + "for state in learner.start(max_iter=3):\n    print('state', state.iteration, state.replayed)\n"
    done = run_script(tmp_path, text + "    assert state.iteration != 1\n")
    assert done.returncode == 1
    done = run_script(tmp_path, text)
    assert states(done.stdout) == ["0 True", "1 False", "2 False"], done.stderr
    assert len(runs(tmp_path)) == 1


def test_a_script_that_decides_otherwise_is_told_and_its_old_decisions_hold(tmp_path: Path) -> None:
    text = FOR + (
        "for state in learner.start(max_iter=4):\n"
        "    print('state', state.iteration, flush=True)\n"
        "    learner.set_next_config(LearnerConfig(simulation=TaskConfig(kwargs={'words': ['one']})))\n"
    )
    assert run_script(tmp_path, text + "    assert state.iteration != 2\n").returncode == 1
    before = history(*runs(tmp_path))
    done = run_script(tmp_path, text.replace("'one'", "'two'"))
    assert done.returncode == 0, done.stderr
    assert "the script now decides differently after iteration 0" in done.stderr
    after = history(*runs(tmp_path))
    assert [entry for entry in before if "decision" in entry[0]] == [
        entry for entry in after if "decision" in entry[0]
    ][:2]


def test_a_script_that_describes_another_campaign_is_refused_and_nothing_is_mixed(tmp_path: Path) -> None:
    text = FOR + "for state in learner.start(max_iter=4):\n    assert state.iteration != 1\n"
    assert run_script(tmp_path, text).returncode == 1
    before = history(*runs(tmp_path))
    done = run_script(tmp_path, text.replace('["true", *', '["echo", *'))
    assert done.returncode == 1
    assert "nothing was applied: finished steps would no longer be what" in done.stderr
    assert "`ROSE_RESUME=no python script.py` starts a new run" in done.stderr
    assert history(*runs(tmp_path)) == before
    done = run_script(tmp_path, text.replace('["true", *', '["echo", *').replace("!= 1", "!= 9"), ROSE_RESUME="no")
    assert done.returncode == 0, done.stderr
    assert len(runs(tmp_path)) == 2


def test_a_function_that_has_changed_is_told(tmp_path: Path) -> None:
    (tmp_path / "pause").touch()
    killed_in_iteration_2(tmp_path, signal.SIGKILL)
    done = run_script(tmp_path, scripts.VALUES.replace("n_select=2", "n_select=3"), PAUSE="pause")
    assert done.returncode == 0, done.stderr
    assert "the function of 'active_learn'. What has finished is kept as it is" in done.stderr


def test_a_run_of_a_script_shows_like_any_other_and_rose_run_takes_its_campaign(tmp_path: Path) -> None:
    assert run_script(tmp_path, tutorial.SETUP + tutorial.STATIC).returncode == 0
    (run,) = runs(tmp_path)

    def rose(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "rose_cli", *words],
            cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=True,
        ).stdout  # fmt: skip

    assert "2 done" in rose("status", run.name)
    (run / "campaign.yaml").rename(tmp_path / "again.yaml")
    rose("run", "again.yaml")
    assert len(runs(tmp_path)) == 2


def test_rose_offers_no_command_that_is_refused_for_a_run_that_its_script_decides(tmp_path: Path) -> None:
    stop = "@learner.as_stop_criterion('error', 0.1, '<')\ndef criterion(*args):\n    return 'echo 1'\n"
    text = FOR + stop + "for state in learner.start(max_iter=2):\n    assert state.iteration != BAD\n"

    def rose(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rose_cli", *words],
            cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    assert run_script(tmp_path, text.replace("BAD", "0")).returncode == 1
    (run,) = runs(tmp_path)
    again = "run the script again: python script.py"
    assert rose("status", run.name).stdout.splitlines()[-1] == f"  resume   {again}"
    assert f"help: {again}\n" in rose("resume", run.name).stderr
    assert run_script(tmp_path, text.replace("BAD", "9")).returncode == 0
    longer = f"start(max_iter=4, resume='rose-runs/{run.name}') in script.py"
    assert rose("status", run.name).stdout.splitlines()[-1] == f"  extend   {longer}"
    assert f"help: {longer}\n" in rose("resume", run.name, "--max-iter", "4").stderr


def test_a_run_of_a_script_is_extended_with_other_values_by_the_command_line(tmp_path: Path) -> None:
    stop = "@learner.as_stop_criterion('error', 0.1, '<')\ndef criterion(*args):\n    return 'echo 1'\n"
    assert run_script(tmp_path, FOR + stop + "learner.teach(max_iter=1)\n").returncode == 0
    (run,) = runs(tmp_path)
    words = ["resume", run.name, "--max-iter", "3", "--set", "stop.threshold=0.2"]
    done = subprocess.run(
        [sys.executable, "-m", "rose_cli", *words],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "error < 0.2" in done.stdout + done.stderr
    assert [event.iteration for event in records(run) if isinstance(event, e.IterationFinished)] == [0, 1, 2]


def test_a_script_goes_on_when_its_folder_has_been_moved(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    text = FOR + "for state in learner.start(max_iter=3):\n    assert state.iteration != BAD\n"
    assert run_script(before, text.replace("BAD", "1")).returncode == 1
    before.rename(after)
    done = run_script(after, text.replace("BAD", "9"))
    assert done.returncode == 0, done.stderr
    (run,) = runs(after)
    assert [event.iteration for event in records(run) if isinstance(event, e.IterationFinished)] == [0, 1, 2]


def test_a_run_that_an_older_rose_began_for_a_script_goes_on(tmp_path: Path) -> None:
    text = FOR + "for state in learner.start(max_iter=3):\n    assert state.iteration != BAD\n"
    assert run_script(tmp_path, text.replace("BAD", "1")).returncode == 1
    (run,) = runs(tmp_path)
    record = run / "python" / "script.json"
    assert '[\\"script.py\\"]' in record.read_text(encoding="utf-8")
    absolute = json.dumps(str(tmp_path / "script.py"))[1:-1]
    record.write_text(record.read_text(encoding="utf-8").replace("script.py", absolute), encoding="utf-8")
    assert run_script(tmp_path, text.replace("BAD", "9")).returncode == 0
    assert runs(tmp_path) == [run]
