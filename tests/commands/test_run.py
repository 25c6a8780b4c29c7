"""`rose run` from outside: what it leaves, what it prints, and the exit code of every way to end."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli import __version__
from rose_cli.campaign_file import task_environment
from tests.conftest import PATIENCE, REPOSITORY, Rose, wait_until

if TYPE_CHECKING:
    from tests.conftest import Called

GOOD = """
    name: good
    max_iter: 2
    tasks: {simulation: {executable: 'echo sim', options: {--n: 1}}}
    stop: {metric: mse, threshold: 0.1, executable: echo 0.5}
    learners: [{name: a}, {name: b, stop: {threshold: 0.6}}]
    """


def test_what_a_run_leaves(rose: Rose) -> None:
    file = rose.write(GOOD)
    assert rose("run", file).code == 0
    (run,) = (path for path in (rose.folder / "rose-runs").iterdir() if not path.is_symlink())
    assert (rose.folder / "rose-runs/latest").resolve() == run
    assert run.name.startswith("good-")
    assert run.name.endswith("-1")
    assert (run / "campaign.yaml").read_text() == file.read_text()
    assert {path.name for path in run.iterdir()} >= {"campaign.yaml", "plan.json", "journal.jsonl", "learners"}
    assert (run / "learners/a/logs/1/simulation.1.out").read_text() == "sim --n 1\n"
    assert (run / "learners/a/logs/1/simulation.1.err").read_text() == ""
    assert (run / "learners/b/workspace").is_dir()
    assert rose("run", file).code == 0
    assert (rose.folder / "rose-runs/latest").resolve().name == f"{run.name[:-1]}2"


def test_plain_lines_and_a_summary_off_a_terminal(rose: Rose) -> None:
    called = rose("run", rose.write(GOOD), "--run-dir", "r")
    assert "\x1b" not in called.out
    assert called.out.startswith("good: 2 learners on the local engine\n")
    assert " a 1/2 mse 0.5 (< 0.1) " in called.out
    assert " b 1/2 stopped: met the criterion\n" in called.out
    assert re.search(
        r"\n• good finished in 0:0\d: 1 of 2 learners met their criteria \(1 reached max_iter\)\n", called.out
    )
    assert called.err == ""


def test_json_is_an_event_a_line_and_nothing_else(rose: Rose) -> None:
    called = rose("run", rose.write(GOOD), "--run-dir", "r", "--output", "json")
    events = [json.loads(line) for line in called.out.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["event"] for event in events][:2] == ["run_created", "session_started"]
    assert events[-1]["event"] == "session_ended"
    assert [event["event"] for event in rose.events("r")] == [event["event"] for event in events]


def test_quiet_says_nothing_while_all_goes_well(rose: Rose) -> None:
    called = rose("run", rose.write(GOOD), "--run-dir", "r", "--output", "quiet")
    assert (called.code, called.out, called.err) == (0, "", "")


def test_a_failed_learner_is_told_in_full_and_is_exit_code_1(rose: Rose) -> None:
    rose.script("#!/bin/sh\necho working\necho oh no >&2\nexit 7\n", "sim.sh")
    learners = "[{name: a}, {name: b, sim: {executable: 'true'}}]"
    rose.write(f"{{max_iter: 2, tasks: {{sim: {{executable: ./sim.sh}}}}, learners: {learners}}}")
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 1
    tail = called.out[called.out.index("✗ a: ") :].splitlines()
    assert tail[:4] == [
        "✗ a: 'sim' failed in iteration 0, attempt 1: exit code 7",
        f"  command  {rose.folder}/sim.sh",
        "  stderr   oh no",
        "  logs     rose logs r a 0 sim",
    ]
    assert tail[-1] == "  resume   rose resume r"
    assert rose.learners("r")["b"]["stop_reason"] == "max_iter"


def test_what_was_never_started_has_no_log_to_look_at(rose: Rose) -> None:
    """A program that a task makes cannot be looked at before."""
    rose.write("""
        max_iter: 2
        tasks:
          make: {executable: "echo '#!/no/such/interpreter' > sim.sh; chmod +x sim.sh", shell: true}
          sim: {executable: "{workspace}/sim.sh"}
        learners: 1
    """)
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 1
    assert "needs the interpreter '/no/such/interpreter'" in called.out
    assert f"  command  {rose.folder}/r/learners/learner-0/workspace/sim.sh\n" in called.out
    assert "sim.1.err" not in called.out


def test_require_criterion(rose: Rose) -> None:
    rose.write(GOOD)
    called = rose("run", "campaign.yaml", "--run-dir", "r", "--require-criterion")
    assert called.code == 1
    assert called.err == "error: criterion not met by 1 of 2 learners: a (mse 0.5, requires < 0.1)\n"
    assert rose("resume", "r").code == 0
    again = rose("resume", "r", "--require-criterion")
    assert (again.code, again.err.splitlines()[-1]) == (1, called.err.strip())
    assert rose("run", "campaign.yaml", "--run-dir", "s", "--require-criterion", "--learner", "b").code == 0


@pytest.mark.parametrize("output", ["quiet", "json", "plain"])
def test_every_output_names_the_learners_that_did_not_meet_a_required_criterion(rose: Rose, output: str) -> None:
    rose.write(GOOD)
    called = rose("run", "campaign.yaml", "--run-dir", "r", "--require-criterion", "--output", output)
    assert called.code == 1
    assert "error: criterion not met by 1 of 2 learners: a (mse 0.5, requires < 0.1)\n" in called.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "missing.yaml"),
        ("run", "campaign.yaml", "--bogus"),
        ("run", "campaign.yaml", "--output", "bogus"),
        ("run", "campaign.yaml", "--learner", "bogus"),
        ("run", "campaign.yaml", "--engine", "bogus"),
        ("run", "campaign.yaml", "--max-iter", "0"),
        ("run", "campaign.yaml", "--set", "bogus=1"),
        ("run", "campaign.yaml", "--smoke", "--run-dir", "r"),
        ("bogus",),
    ],
)
def test_a_wrong_command_line_is_exit_code_2_and_leaves_nothing(rose: Rose, arguments: tuple[str, ...]) -> None:
    rose.write(GOOD)
    called = rose(*arguments)
    assert called.code == 2
    assert called.out == ""
    assert called.err
    assert [path.name for path in rose.folder.iterdir()] == ["campaign.yaml"]


@pytest.mark.parametrize("more", [(), ("--smoke",)])
def test_a_wrong_file_is_exit_code_2_and_leaves_nothing(rose: Rose, more: tuple[str, ...]) -> None:
    rose.write("{max_iter: 0, tasks: {s: {executable: 'true'}}, learners: 1}")
    called = rose("run", "campaign.yaml", *more)
    assert called.code == 2
    assert "campaign.yaml:1:12: error[out-of-range]" in called.err
    assert not (rose.folder / "rose-runs").exists()


def test_the_version_is_that_of_the_package(rose: Rose) -> None:
    assert rose("--version").out == f"rose {__version__}\n"


def test_an_environment_that_is_not_active_comes_first_on_the_path(tmp_path: Path) -> None:
    programs = tmp_path / "venv/bin"
    programs.mkdir(parents=True)
    (programs / "rose").touch(mode=0o755)

    def path(**environment: str) -> str:
        return task_environment(environment, str(programs / "python"))["PATH"]

    assert path(PATH="/usr/bin") == f"{programs}:/usr/bin"
    assert path(PATH="/usr/bin", VIRTUAL_ENV="another") == path(PATH="/usr/bin", CONDA_PREFIX="x") == "/usr/bin"
    assert path(PATH=f"/usr/bin:{programs}") == f"/usr/bin:{programs}"
    (tmp_path / "rose").symlink_to(programs / "rose")
    assert path(PATH=f"/usr/bin:{tmp_path}") == f"/usr/bin:{tmp_path}", "called by its name"


def test_called_as_rose_cli_the_path_is_the_users_own_too(tmp_path: Path) -> None:
    """Also where ROSE's own `rose` comes first on it."""
    programs, links, others = (tmp_path / name for name in ("venv/bin", "links", "others"))
    for directory in (programs, links, others):
        directory.mkdir(parents=True)
    (programs / "rose-cli").touch(mode=0o755)
    (others / "rose").touch(mode=0o755)
    (links / "rose-cli").symlink_to(programs / "rose-cli")
    given = f"{others}:{links}"
    assert task_environment({"PATH": given}, str(programs / "python"))["PATH"] == given


def test_warnings_are_counted(rose: Rose) -> None:
    called = rose("run", rose.write(GOOD.replace("threshold: 0.1", "threshold: 0.1, operator: <=")), "--run-dir", "r")
    assert called.code == 0
    assert "1 warning in" in called.err
    assert "see rose validate" in called.err


def test_a_bug_is_exit_code_3_and_leaves_a_report(rose: Rose) -> None:
    code = """
import sys

class Bug:
    def find_spec(self, name, path, target=None):
        if name == "rose_cli.commands.run":
            raise RuntimeError("on purpose")

sys.meta_path.insert(0, Bug())
sys.argv = ["rose", "run", "campaign.yaml"]
from rose_cli.__main__ import main
main()
"""
    rose.write(GOOD)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=rose.folder, env={**os.environ, "TMPDIR": str(rose.folder)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "this is a bug in rose: RuntimeError: on purpose" in done.stderr
    (report,) = rose.folder.glob("rose-bug-*.txt")
    assert str(report) in done.stderr.replace("\n", "")
    assert "Traceback" in report.read_text()


def test_a_used_run_directory_is_exit_code_4(rose: Rose) -> None:
    (rose.folder / "r").mkdir()
    (rose.folder / "r/mine").touch()
    called = rose("run", rose.write(GOOD), "--run-dir", "r")
    assert called.code == 4
    assert [path.name for path in (rose.folder / "r").iterdir()] == ["mine"]


def test_a_damaged_journal_is_exit_code_4(rose: Rose) -> None:
    assert rose("run", rose.write(GOOD), "--run-dir", "r").code == 0
    lines = (rose.folder / "r/journal.jsonl").read_text().splitlines(keepends=True)
    (rose.folder / "r/journal.jsonl").write_text("".join([*lines[:3], "damage\n", *lines[4:]]))
    called = rose("resume", "r", "--max-iter", "9")
    assert called.code == 4
    assert "line 4" in called.err


def test_wall_time_is_exit_code_143_and_can_resume(rose: Rose) -> None:
    rose.write("{max_iter: 3, limits: {wall_time: 1}, tasks: {s: {executable: 'sleep 0.8'}}, learners: 1}")
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 143
    assert called.out.splitlines()[-1] == "  resume   rose resume r"
    assert rose.status("r")["status"] == "interrupted"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_the_first_task_has_ended(rose: Rose, number: int, code: int) -> None:
    rose.write("{max_iter: 2, tasks: {s: {executable: \"sh -c 'touch begun; sleep 600'\"}}, learners: 1}")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r")
    wait_until((rose.folder / "r/learners/learner-0/workspace/begun").exists)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, err
    assert out.splitlines()[-1] == "  resume   rose resume r"


@pytest.mark.parametrize("package", ["typer", "pydantic"])
def test_an_interrupt_before_anything_is_loaded_is_quiet(rose: Rose, package: str) -> None:
    code = f"""
import sys

class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == {package!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
sys.argv = ["rose", "run", "campaign.yaml"]
from rose_cli.__main__ import main
main()
"""
    rose.write(GOOD)
    done = subprocess.run([sys.executable, "-c", code], cwd=rose.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_set_max_iter_and_learner_change_this_run_only(rose: Rose) -> None:
    file = rose.write(GOOD)
    given = ("--set", "learners.0.simulation.--n=5", "--max-iter", "3", "--learner", "a")
    assert rose("run", file, "--run-dir", "r", *given).code == 0
    assert list(rose.learners("r")) == ["a"]
    assert rose.learners("r")["a"]["iterations_done"] == 3
    assert (rose.folder / "r/learners/a/logs/0/simulation.1.out").read_text() == "sim --n 5\n"
    assert file.read_text() == dedent(GOOD)


def test_a_dry_run_is_a_plan(rose: Rose) -> None:
    file = rose.write(GOOD)
    assert rose("run", file, "--dry-run", "--max-iter", "1").out == rose("plan", file, "--set", "max_iter=1").out
    assert not (rose.folder / "rose-runs").exists()


def test_a_dry_run_of_a_smoke_run_is_the_plan_of_the_smoke_run(rose: Rose) -> None:
    file = rose.write(GOOD + "smoke: {max_iter: 1, simulation: {--n: 77}}\n")
    shown = rose("run", file, "--smoke", "--dry-run", "--learner", "a").out
    assert "1 learner, at most 1 iteration," in shown
    assert "echo sim --n 77" in shown
    assert shown == rose("plan", file, "--smoke", "--learner", "a").out
    assert shown.count("--n 77") == 1
    assert "at most 3 iterations each," in rose("run", file, "--smoke", "--dry-run", "--max-iter", "3").out
    assert json.loads(rose("plan", file, "--smoke", "--format", "json").out)["learners"][0]["max_iter"] == 1
    assert rose("run", file, "--smoke", "--dry-run", "--run-dir", "r").code == 2
    assert not (rose.folder / "rose-runs").exists()


# --- smoke ---------------------------------------------------------------------------------------------------------


def smoke(rose: Rose, summary: str = "") -> Called:
    temporary = rose.folder / "tmp"
    temporary.mkdir()
    return rose("run", "--smoke", "campaign.yaml", TMPDIR=str(temporary), GITHUB_STEP_SUMMARY=summary)


def kept(rose: Rose) -> list[Path]:
    return list((rose.folder / "tmp").glob("rose-smoke-*"))


def test_smoke_runs_one_iteration_with_its_overrides_and_leaves_nothing(rose: Rose) -> None:
    summary = rose.folder / "summary.md"
    rose.write(GOOD + "smoke: {max_iter: 1, simulation: {--n: 77}}\n")
    called = smoke(rose, str(summary))
    assert called.code == 0
    assert " a 1/1 mse 0.5" in called.out
    assert kept(rose) == []
    assert not (rose.folder / "rose-runs").exists()
    assert "| a | 1 | mse 0.5 | max_iter |" in summary.read_text()


def test_a_smoke_run_is_one_iteration_of_every_learner_whether_or_not_they_learn(rose: Rose) -> None:
    rose.write(GOOD)
    called = smoke(rose)
    assert called.code == 0
    assert " a 1/1 mse 0.5" in called.out
    assert " b 1/1 stopped: met the criterion\n" in called.out


def test_a_smoke_run_prints_plain_lines_on_a_terminal_too(rose: Rose) -> None:
    rose.write(GOOD)
    terminal, its_end = pty.openpty()
    command = [sys.executable, "-m", "rose_cli", "run", "--smoke", "campaign.yaml"]
    subprocess.run(command, cwd=rose.folder, stdin=subprocess.DEVNULL, stdout=its_end, stderr=its_end, check=True)
    shown = os.read(terminal, 100_000).decode()
    os.close(its_end)
    os.close(terminal)
    assert " a 1/1 mse 0.5" in shown
    assert "learner  " not in shown


def test_a_smoke_run_that_is_interrupted_leaves_no_folder_without_a_word(rose: Rose) -> None:
    """At moments spread over its start, as fast or slow as this machine makes it, and once within the task."""
    rose.write("{max_iter: 1, tasks: {s: {executable: sleep 60}}, learners: 1}")
    (rose.folder / "tmp").mkdir()
    moments = {"folder": "rose-smoke-*", "plan": "*/plan.json", "session": "*/engine", "task": "*/learners/*/logs/0/*"}
    for name, pattern in moments.items():
        for number in (signal.SIGINT, signal.SIGTERM):
            process = rose.start("run", "--smoke", "campaign.yaml", TMPDIR=str(rose.folder / "tmp"))
            while process.poll() is None and not list((rose.folder / "tmp").glob(pattern)):
                pass  # no pause: the moment is what counts
            process.send_signal(number)
            out, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], (name, out, err)
            for folder in kept(rose):
                assert f"its directory is kept: {folder}" in err, (name, out, err)
                shutil.rmtree(folder)


def test_a_summary_that_cannot_be_written_is_said_and_changes_nothing(rose: Rose) -> None:
    rose.write(GOOD)
    called = smoke(rose, str(rose.folder / "no such folder/summary.md"))
    assert called.code == 0
    assert kept(rose) == []
    assert f"cannot write '{rose.folder}/no such folder/summary.md' ($GITHUB_STEP_SUMMARY)" in called.err


def test_a_run_writes_nothing_but_its_folder_and_the_link_to_it(rose: Rose) -> None:
    rose.write(GOOD)
    for name in ("home", "tmp", "elsewhere"):
        (rose.folder / name).mkdir()
    here = str(rose.folder)
    variables: dict[str, Any] = {"HOME": f"{here}/home", "TMPDIR": f"{here}/tmp", "PYTHONDONTWRITEBYTECODE": "1"}
    before = set(rose.folder.rglob("*"))
    there = Rose(rose.folder / "elsewhere")
    for command in ("run", "status", "logs", "export", "resume", "validate", "plan"):
        assert there(command, f"{here}/campaign.yaml", **variables).code in (0, 2)
    added = {path.relative_to(rose.folder) for path in set(rose.folder.rglob("*")) - before}
    (run,) = (path for path in (rose.folder / "rose-runs").iterdir() if not path.is_symlink())
    outside = {path for path in added if not (rose.folder / path).is_relative_to(run)}
    assert outside == {Path("rose-runs"), Path("rose-runs/latest")}


def test_a_failed_smoke_run_is_kept(rose: Rose) -> None:
    rose.write("{max_iter: 9, tasks: {s: {executable: 'false', options: {--n: 1}}}, learners: 1, smoke: {s: {--n: 2}}}")
    called = smoke(rose)
    assert called.code == 1
    (folder,) = kept(rose)
    assert str(folder) in called.err
    assert rose.events(folder)[0]["event"] == "run_created"
    assert "command  false --n 2" in called.out


def test_more_cores_than_rose_may_use_are_a_warning(rose: Rose) -> None:
    """A file that was written for a node of 64 cores, in a job that has one of them."""
    rose.write("{engine: {kind: local, cores: 64}, max_iter: 1, tasks: {t: {executable: echo ok}}, learners: 1}")
    one = min(os.sched_getaffinity(0))
    for call in ("validate campaign.yaml", "run campaign.yaml --output plain --run-dir r"):
        called = subprocess.run(
            [sys.executable, "-m", "rose_cli", *call.split()], cwd=rose.folder, timeout=PATIENCE, check=False,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {one}),
        )  # fmt: skip
        assert called.returncode == 0, called.stderr
        said = "the engine is set to 64 cores, but rose may use only 1 here: tasks may slow each other down"
        assert (called.stdout + called.stderr).count(said) == 1, called
        assert call.startswith("validate") or "1 warning in" not in called.stderr  # said once is enough
    rose.write("{engine: {kind: local, cores: 1}, max_iter: 1, tasks: {t: {executable: echo ok}}, learners: 1}")
    assert "the engine is set to" not in rose("run", "campaign.yaml", "--run-dir", "s").err


def test_a_smoke_run_names_the_expressions_that_it_did_not_try(rose: Rose) -> None:
    text = """
        max_iter: 5
        tasks:
          a: {executable: echo, adaptive: {--lr: 0.1 if i == 0 else metric, --n: i, --rate: "plateau(1, 0.5, 2)"}}
        stop: {metric: mse, threshold: 0.1, executable: echo 1}
        learners: 3
    """
    rose.write(dedent(text))
    names = "not tried: '--lr', '--rate' with a metric value, which exists from iteration 1 on"
    assert smoke(rose).err.endswith(f"\n{names}; set smoke: {{max_iter: 2}}\n")
    rose.write(dedent(text) + "smoke: {max_iter: 2}\n")
    assert "not tried" not in rose("run", "--smoke", "campaign.yaml").err
