"""What a task left behind, in process: the end of a file, its last lines, and a report."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from rose_cli.loop.output import (
    REPORT_BYTES,
    SHOWN_WIDTH,
    SLACK_BYTES,
    Report,
    end_of,
    last_lines,
    remove_old_report,
    report_of,
    same_content,
)
from rose_cli.util.errors import LearnerDirectoryError, RunDirectoryError
from rose_cli.util.redact import Secrets

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2-correct-horse"


@pytest.fixture
def result(tmp_path: Path) -> Path:
    return tmp_path / "s.1.result.json"


@pytest.fixture
def stdout(tmp_path: Path) -> Path:
    return tmp_path / "s.1.out"


# --- the end of a file ---------------------------------------------------------------------------------------------


def test_the_end_of_a_file_is_its_last_bytes(stdout: Path, tmp_path: Path) -> None:
    stdout.write_bytes(b"0123456789")
    os.utime(stdout, ns=(1, 5_000_000_007))
    found = {size: end_of(stdout, size, inside=tmp_path) for size in (3, 10, 11)}
    assert {size: (end.size, end.mtime_ns, end.data, end.is_whole) for size, end in found.items() if end} == {
        3: (10, 5_000_000_007, b"789", False),
        10: (10, 5_000_000_007, b"0123456789", True),
        11: (10, 5_000_000_007, b"0123456789", True),
    }


def test_what_is_no_regular_file_of_the_run_has_no_end(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "run" / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "run" / "pipe")
    for name in ("link", "pipe", "none", "."):
        assert end_of(tmp_path / "run" / name, 9, inside=tmp_path / "run") is None, name
    linked = end_of(tmp_path / "run" / "link", 9, inside=tmp_path / "run", own_links_out=True)
    assert linked is not None
    assert linked.data == b"x"


def test_a_signature_changes_with_size_time_and_bytes(stdout: Path, tmp_path: Path) -> None:
    def signature(data: bytes, time_ns: int) -> str:
        stdout.write_bytes(data)
        os.utime(stdout, ns=(1, time_ns))
        end = end_of(stdout, 4, inside=tmp_path)
        assert end is not None
        return end.signature

    first = signature(b"abcd", 1)
    assert signature(b"abcd", 1) == first
    others = [signature(b"abcd", 2), signature(b"abce", 1), signature(b"xabcd", 1)]
    assert len({first, *others}) == 4
    assert [same_content(first, other) for other in others] == [True, False, False]
    assert not same_content(first, None)


# --- the last lines ------------------------------------------------------------------------------------------------


def lines(stdout: Path, text: str | bytes, *secrets: str, count: int = 3) -> tuple[str, ...]:
    stdout.write_bytes(text if isinstance(text, bytes) else text.encode())
    return last_lines(stdout, Secrets(secrets), count, inside=stdout.parent)


def test_the_last_lines_are_those_with_something_in_them(stdout: Path) -> None:
    assert lines(stdout, "a\n\n b  \n \t\nc\r\nd\n\n") == (" b", "c", "d")
    assert lines(stdout, "a") == ("a",)
    assert lines(stdout, "") == ()
    assert last_lines(stdout.with_name("none"), Secrets(), inside=stdout.parent) == ()
    assert lines(stdout, b"\xff") == ("\ufffd",)


def test_a_long_line_is_cut(stdout: Path) -> None:
    assert lines(stdout, "x" * SHOWN_WIDTH) == ("x" * SHOWN_WIDTH,)
    assert lines(stdout, "x" * (SHOWN_WIDTH + 1)) == ("x" * (SHOWN_WIDTH - 1) + "…",)


def test_there_is_no_secret_in_the_lines(stdout: Path) -> None:
    (line,) = lines(stdout, f"denied: {SECRET}!", SECRET)
    assert SECRET not in line
    assert line.startswith("denied: ")
    assert line.endswith("!")


def test_half_a_secret_is_one_too(stdout: Path) -> None:
    """Only the end of a large file is read, and that may begin within a secret."""
    longest = Secrets([SECRET]).longest
    for cut in range(1, len(SECRET)):
        rest = "x" * (4096 + longest - (len(SECRET) - cut))
        shown = "".join(lines(stdout, f"{SECRET}{rest}", SECRET, count=1))
        assert SECRET[cut:] not in shown or len(SECRET) - cut < 4
    assert lines(stdout, "y\n" + "x" * 4095 + "\nend", count=1) == ("end",)


# --- the report ----------------------------------------------------------------------------------------------------


def reported(result: Path, stdout: Path) -> Report:
    return report_of(result, stdout, inside=result.parent)


def printed(result: Path, stdout: Path, text: str | bytes) -> Report:
    stdout.write_bytes(text if isinstance(text, bytes) else text.encode())
    return reported(result, stdout)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ('noise\n{"a": 1}\n\n', {"a": 1}),
        ('noise\r{"a": 1}\r\n', {"a": 1}),
        ('  {"a": 1}  \n', {"a": 1}),
        ('\ufeff{"a": 1}', {"a": 1}),
        ('\x1b[32m{"a": 1}\x1b[0m\n', {"a": 1}),
        ('{"a": NaN}', None),
        ('{"a": 1}\nlast words\n', {}),
        ("[1]\n", {}),
        ("", {}),
        ("}", {}),
        ("{}", {}),
    ],
)
def test_a_report_is_the_object_on_the_last_line(
    result: Path, stdout: Path, text: str, expected: dict[str, object] | None
) -> None:
    found = printed(result, stdout, text)
    assert found.problem is None
    assert expected is None or found.result == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "{x}",
            "the last line of its output is not JSON (Expecting property name enclosed in double quotes, character 2)",
        ),
        ('{"a": ' + "9" * 5000 + "}", "the last line of its output contains a number with too many digits"),
        ('{"a": ' + "[" * 500 + "]" * 500 + "}", "the last line of its output is nested too deeply"),
        ('{"a": ' + "[" * 20_000 + "]" * 20_000 + "}", "the last line of its output is nested too deeply"),
        ('x\n{\n "a": 1\n}\n', "its output ends with JSON over several lines: print it on one line"),
        ('{\n "a": 1\n}\n', "its output ends with JSON over several lines: print it on one line"),
    ],
)
def test_a_report_that_is_not_kept_is_explained(result: Path, stdout: Path, text: str, problem: str) -> None:
    found = printed(result, stdout, text)
    assert found.result == {}
    assert found.problem is not None
    assert found.problem.startswith(problem)


def test_braces_over_several_lines_that_are_no_json_are_no_report(result: Path, stdout: Path) -> None:
    assert printed(result, stdout, "if (x) {\n y\n}\n") == Report()
    assert printed(result, stdout, "[\n{\n]\n}\n") == Report()


def of_size(size: int) -> str:
    return json.dumps({"a": "x" * (size - len('{"a": ""}'))})


def test_a_report_has_a_bound(result: Path, stdout: Path) -> None:
    assert len(printed(result, stdout, f"noise\n{of_size(REPORT_BYTES)}\n").result) == 1
    assert printed(result, stdout, f"noise\n{of_size(REPORT_BYTES + 1)}\n") == Report(
        problem="the last line of its output has 65,537 bytes; the maximum is 65,536"
    )
    cut = printed(result, stdout, of_size(REPORT_BYTES + SLACK_BYTES + 1))
    assert cut.problem == "the last line of its output, cut here, has 69,632 bytes; the maximum is 65,536"
    assert printed(result, stdout, "x" * (REPORT_BYTES + SLACK_BYTES + 1)) == Report()


def test_the_result_file_goes_before_the_output(result: Path, stdout: Path) -> None:
    stdout.write_text('{"a": 1}')
    result.write_text(' {"b": 2}\n')
    assert reported(result, stdout) == Report({"b": 2})
    result.write_text("{")
    assert (reported(result, stdout).problem or "").startswith("$ROSE_RESULT is not JSON")
    result.write_text("")
    assert reported(result, stdout) == Report(problem="$ROSE_RESULT is empty")
    result.write_text("[1]")
    assert reported(result, stdout) == Report(problem='$ROSE_RESULT is not a JSON object, as in {"loss": 0.1}')
    result.write_text(of_size(REPORT_BYTES) + " " * SLACK_BYTES)
    assert len(reported(result, stdout).result) == 1
    result.write_text(of_size(REPORT_BYTES) + " " * (SLACK_BYTES + 1))
    assert reported(result, stdout) == Report(problem="$ROSE_RESULT has 69,633 bytes; the maximum is 65,536")
    result.write_text(of_size(REPORT_BYTES + 1))
    assert "has 65,537 bytes" in (reported(result, stdout).problem or "")


def test_a_result_file_that_leads_out_of_the_run_is_none(result: Path, stdout: Path, tmp_path: Path) -> None:
    stdout.write_text('{"a": 1}')
    result.symlink_to("/etc/hostname")
    assert reported(result, stdout).result == {}
    assert "not a regular file" in (reported(result, stdout).problem or "")


def test_an_old_report_is_removed(result: Path, tmp_path: Path) -> None:
    remove_old_report(result, inside=tmp_path)
    result.write_text("{}")
    remove_old_report(result, inside=tmp_path)
    assert not result.exists()
    outside = tmp_path / "kept"
    outside.touch()
    result.symlink_to(outside)
    remove_old_report(result, inside=tmp_path)
    assert not result.is_symlink()
    assert outside.exists()


@pytest.mark.parametrize(
    ("error", "kind"), [(PermissionError(13, "no"), LearnerDirectoryError), (OSError(5, "broken"), RunDirectoryError)]
)
def test_an_old_report_that_stays_is_an_error(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, kind: type[Exception]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    result.touch()
    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(kind, match=r"no|broken"):
        remove_old_report(result, inside=tmp_path)


def test_a_folder_in_the_place_of_a_report_is_left_to_the_attempt(result: Path, tmp_path: Path) -> None:
    result.mkdir()
    remove_old_report(result, inside=tmp_path)
    assert result.is_dir()


def test_a_task_that_printed_nothing_anywhere_has_no_report(result: Path, stdout: Path) -> None:
    assert reported(result, stdout) == Report()


def test_a_number_with_too_many_digits_in_a_result_file_is_explained(result: Path, stdout: Path) -> None:
    result.write_text('{"a": ' + "9" * 5000 + "}")
    assert reported(result, stdout) == Report(problem="$ROSE_RESULT contains a number with too many digits")


def test_as_many_lines_are_read_as_are_shown(stdout: Path) -> None:
    """Lines of up to 4096 bytes; with secrets, so much more as the longest of them may be cut off."""
    assert [len(line) for line in lines(stdout, ("x" * 4095 + "\n") * 4, count=3)] == [SHOWN_WIDTH] * 3
    secret = "s" * 5000
    assert lines(stdout, "a\n" + "b" * 4089 + "\n" + "c" * 3 + "\n", secret, count=2)[0].startswith("bbb")
    assert lines(stdout, "z" * 9000 + "\nlast\n" + "y" * 4000, secret, count=1) == ("y" * (SHOWN_WIDTH - 1) + "…",)
