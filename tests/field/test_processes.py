"""The reports of processes.md, each as its reporter would try it on rose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.conftest import Rose


def error_of(rose: Rose) -> dict[str, Any]:
    error: dict[str, Any] = rose.learners("r")["learner-0"]["error"]
    return error


def with_pre_exec(rose: Rose, *lines: str) -> int:
    text = "max_iter: 1\nlearners: 1\ntasks: {t: {executable: sh -c 'echo $SOLVER > ran'}}\npre_exec:\n"
    rose.write(text + "".join(f"- |-\n  {line}\n" for line in lines))
    return rose("run", "campaign.yaml", "--run-dir", "r").code


def ran(rose: Rose) -> str | None:
    path = rose.folder / "r/learners/learner-0/workspace/ran"
    return path.read_text().strip() if path.exists() else None


def test_an_activation_script_may_fail_inside(rose: Rose) -> None:
    rose.write("false\ngrep -q nothing /dev/null\nexport SOLVER=fast\n", "setvars.sh")
    assert with_pre_exec(rose, f". '{rose.folder}/setvars.sh'", "false; true") == 0
    assert ran(rose) == "fast"


def test_the_line_that_fails_is_named(rose: Rose) -> None:
    rose.write("return 3\n", "setvars.sh")
    assert with_pre_exec(rose, "true", f". '{rose.folder}/setvars.sh'", "true") == 1
    assert error_of(rose)["kind"] == "not_started"
    assert "pre_exec line 2, '. " in error_of(rose)["message"]
    assert "ended with exit code 3; the program was not started" in error_of(rose)["message"]


def test_a_script_that_exits_is_no_success(rose: Rose) -> None:
    rose.write("echo already active; exit 0\n", "activate.sh")
    assert with_pre_exec(rose, f". '{rose.folder}/activate.sh'") == 1
    assert "ended the shell with exit code 0; the program was not started" in error_of(rose)["message"]
    assert ran(rose) is None
