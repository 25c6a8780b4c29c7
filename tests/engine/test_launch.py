"""The shell around `pre_exec`, bash and where there is none: which line fails, and what no line can feign."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rose_cli.engine.base import ExitReason, TaskOutcome, TaskRequest
from rose_cli.engine.launch import look_up, note_beside, shell_words

SHELLS = [
    pytest.param(Path(path), marks=pytest.mark.skipif(not Path(path).exists(), reason=f"there is no {path}"))
    for path in ("/bin/bash", "/bin/sh")
]
PROGRAM = ("printenv", "GIVEN")


@pytest.fixture(params=SHELLS, ids=lambda path: path.name)
def shell(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def outcome_of(folder: Path, shell: Path, *lines: str, argv: tuple[str, ...] = PROGRAM) -> TaskOutcome:
    (folder / "stops.sh").write_text("exit 0\n")
    (folder / "inner.sh").write_text("false\nexport GIVEN=yes\n")
    (folder / "words.sh").write_text("set -- of its own\n")
    note = note_beside(folder / "task.err")
    note.path.touch()
    request = TaskRequest("uid", argv, {}, folder, folder / "task.out", folder / "task.err", lines)
    environment = {"PATH": "/usr/bin:/bin", "GIVEN": "before"}
    done = subprocess.run(
        shell_words(request, note, shell), cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    code, signal = (done.returncode, None) if done.returncode >= 0 else (None, -done.returncode)
    how = ExitReason.EXITED if signal is None else ExitReason.SIGNALLED
    return note.judged(request, TaskOutcome(how, 0.0, code, signal, message=done.stdout))


REACHED = {
    "nothing": ((), "before"),
    "a line whose last command does well": (("false; true",), "before"),
    "a script that fails inside": ((". ./inner.sh",), "yes"),
    "a block over several lines": (("if true", "then GIVEN=1", "fi"), "1"),
    "a block in one text": (("for x in 1 2 3; do\n  GIVEN=$x\ndone\n",), "3"),
    "a case": (("case a in", "  a) GIVEN=a;;", "esac"), "a"),
    "a here-document": (("read -r GIVEN <<END", "it's $((1 + 1))", "END"), "it's 2"),
    "a function": (("set_it() {", "  false", "  GIVEN=here", "}", "set_it"), "here"),
    "a text over two lines": (("GIVEN='a", "b'"), "a\nb"),
    "a substitution over lines": (("GIVEN=$(", "echo x", ")"), "x"),
    "a list over lines": (("true &&", "GIVEN=2"), "2"),
    "a line that goes on": (("GIVEN=\\", "3"), "3"),
    "comments and blank lines": (("# it's", "", "GIVEN=4 # 'x"), "4"),
    "options of the shell": (("set -u", "set -a", "set -C", "set -f", "IFS=0123456789", "GIVEN=5"), "5"),
    "a set -e of one's own": (("set -e", "false || true", "GIVEN=6"), "6"),
    "other positional parameters": ((". ./words.sh", "GIVEN=0"), "0"),
    "a trap of one's own": (("trap 'echo bye' EXIT", "GIVEN=7"), "7"),
    "another folder": (("cd /", "GIVEN=8"), "8"),
    "what may fail": (("test -f nowhere && . nowhere || true", "GIVEN=9"), "9"),
    "output that goes elsewhere": (("exec 3>other", "GIVEN=10"), "10"),
}


@pytest.mark.parametrize(("lines", "given"), REACHED.values(), ids=REACHED)
def test_the_program_runs(tmp_path: Path, shell: Path, lines: tuple[str, ...], given: str) -> None:
    outcome = outcome_of(tmp_path, shell, *lines)
    assert (outcome.reason, outcome.exit_code, outcome.message) == (ExitReason.EXITED, 0, f"{given}\n")


UNREACHED = {
    "a failure": (("true", "false", "true"), "line 2, 'false', ended with exit code 1"),
    "a failure in a block": (("true", "if true", "then false", "fi"), "line 2, 'if true', ended with exit code 1"),
    "a failure at the end of a list": (("true && false",), "line 1, 'true && false', ended with exit code 1"),
    "a text of several lines": (("true\n\n  false  \ntrue",), "line 3, 'false', ended with exit code 1"),
    "exit 0": (("exit 0",), "line 1, 'exit 0', ended the shell with exit code 0"),
    "exit 7": (("exit 7",), "line 1, 'exit 7', ended the shell with exit code 7"),
    "exec true": (("true", "exec true"), "line 2, 'exec true', ended the shell with exit code 0"),
    "a script that exits": ((". ./stops.sh",), "line 1, '. ./stops.sh', ended the shell with exit code 0"),
    "an exit under a trap": (("trap : EXIT", "exit 0"), "line 2, 'exit 0', ended the shell with exit code 0"),
    "set -e of one's own": (("set -e", "false; true"), "line 2, 'false; true', ended the shell with exit code 1"),
    "set -u of one's own": (("set -u", ": $NOWHERE"), "line 2, ': $NOWHERE', ended the shell with exit code "),
    "a signal": (("kill -KILL $$",), "line 1, 'kill -KILL $$', was killed by SIGKILL (signal 9)"),
    "half a command": (("true", "if true; then"), "line 2, 'if true; then', ended "),
    "no command": (("true", "fi"), "line 2, 'fi', ended "),
    "a long line": ((f"false {'x' * 500}",), f"line 1, 'false {'x' * 73}…', ended with exit code 1"),
}


@pytest.mark.parametrize(("lines", "said"), UNREACHED.values(), ids=UNREACHED)
def test_the_program_is_not_started(tmp_path: Path, shell: Path, lines: tuple[str, ...], said: str) -> None:
    outcome = outcome_of(tmp_path, shell, *lines, argv=("touch", "ran"))
    assert outcome.reason is ExitReason.NOT_STARTED
    assert (outcome.message or "").startswith(f"pre_exec {said}")
    assert "the program was not started" in (outcome.message or "")
    assert not (tmp_path / "ran").exists()


def test_a_condition_that_does_not_hold_is_a_failure_with_a_way_out(tmp_path: Path, shell: Path) -> None:
    outcome = outcome_of(tmp_path, shell, "[ -f nowhere ] && . nowhere")
    assert outcome.reason is ExitReason.NOT_STARTED
    assert (outcome.message or "").endswith("if it may fail, write '|| true' after it")


def test_the_path_of_the_lines_counts(tmp_path: Path, shell: Path) -> None:
    missing = outcome_of(tmp_path, shell, "PATH=/nowhere")
    assert missing.reason is ExitReason.NOT_STARTED
    assert "no program 'printenv' on the task's PATH ('/nowhere')" in (missing.message or "")


def test_a_relative_entry_of_the_path_starts_in_the_working_directory(tmp_path: Path) -> None:
    program = tmp_path / "a:b" / "bin" / "tool"  # the colon is part of a name here, and separates nothing
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert look_up("tool", "/nowhere:bin", tmp_path / "a:b") == str(program)


def test_a_program_that_cannot_be_executed_says_why(tmp_path: Path, shell: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("#!/nowhere/python\n")
    bad.chmod(0o755)
    outcome = outcome_of(tmp_path, shell, "true", argv=(str(bad),))
    assert outcome.reason is ExitReason.NOT_STARTED
    assert "needs the interpreter '/nowhere/python', which does not exist" in (outcome.message or "")


def test_a_program_that_fails_was_started(tmp_path: Path, shell: Path) -> None:
    for code in (1, 126, 127, 137):
        outcome = outcome_of(tmp_path, shell, "true", argv=("sh", "-c", f"exit {code}"))
        assert (outcome.reason, outcome.exit_code) == (ExitReason.EXITED, code)


def test_a_note_that_cannot_be_written_keeps_the_program_from_starting(tmp_path: Path, shell: Path) -> None:
    outcome = outcome_of(tmp_path, shell, f"rm '{tmp_path}/task.pre_exec'; mkdir '{tmp_path}/task.pre_exec'")
    assert outcome.reason is ExitReason.NOT_STARTED


def test_a_shell_that_ended_before_the_first_line_started_nothing(tmp_path: Path) -> None:
    note = note_beside(tmp_path / "task.err")
    note.path.touch()  # and nothing in it, as where BASH_ENV names a file that exits
    request = TaskRequest("uid", PROGRAM, {}, tmp_path, tmp_path / "task.out", tmp_path / "task.err", ("true",))
    outcome = note.judged(request, TaskOutcome(ExitReason.EXITED, 0.0, 0))
    assert (outcome.reason, outcome.message) == (
        ExitReason.NOT_STARTED,
        "the shell ended with exit code 0 before the first pre_exec line; the program was not started",
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_what_only_bash_knows(tmp_path: Path) -> None:
    bash = Path("/bin/bash")
    lines = ("declare -A m", "m[a]=1", "shopt -s extglob", "GIVEN=${m[a]}!(x)", "source ./inner.sh", "set -o posix")
    assert outcome_of(tmp_path, bash, *lines).message == "yes\n"
    returned = outcome_of(tmp_path, bash, "return 0")
    assert returned.reason is ExitReason.NOT_STARTED
