"""All that leaves rose is valid UTF-8 and harmless, whatever tasks, files and names have in them, in every format."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rose_cli.view.console import Filter
from tests.conftest import PATIENCE, REPOSITORY, Rose

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTILE = (
    "\ud83d", "\ude00\ud83d", "\udcff.dat", "nul\0nul", "\x1b[2J\x1b]0;title\x07", "\x9b31m", "\u202etxt.exe\u2066",
    "a\nb\r\nc\rd", "\t,\";'|`", "=cmd|' /C calc'!A0", "größe 表示 \N{GRINNING FACE}", "\u2028\u2029\x85\x0b\x0c",
    "::error::no", "\\ud83d", "[red]no[/red] :smile:", "\ufeff\uffff", "x" * 60_000,
)  # fmt: skip
PLACES = ("C.UTF-8", "ascii", "no UTF-8 mode")
LOCALES: dict[str, dict[str, str]] = {
    "C.UTF-8": {"LC_ALL": "C.UTF-8"},
    "ascii": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"},
    "no UTF-8 mode": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
TASK = """\
#!{python}
import json, os, random, sys
texts = json.loads(open(os.path.join(os.path.dirname(sys.argv[0]), "texts.json")).read())
seed = random.Random(int(os.environ["ROSE_LEARNER_INDEX"]) * 10 + int(os.environ["ROSE_ITERATION"]))
def drawn():
    return "".join(seed.choice(texts[:-1]) for _ in range(seed.randrange(3)))
text = texts[int(os.environ["ROSE_LEARNER_INDEX"])]
report = {{"whole": text, drawn(): drawn(), "list": [drawn(), {{drawn(): 1}}], "nan": float("nan")}}
open(os.environ["ROSE_RESULT"], "w").write(json.dumps(report))
for stream in (sys.stdout.buffer, sys.stderr.buffer):
    stream.write(b"\\xff\\xfe\\0" + text.encode("utf-8", "surrogatepass") + drawn().encode("utf-16-le", "ignore"))
sys.exit(int(os.environ["ROSE_ITERATION"]) == 2)
"""
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Rose:
    """A run of a learner for each hostile text, which two iterations report and the third fails with."""
    rose = Rose(tmp_path_factory.mktemp("größe b\udcffd"))
    (rose.folder / "texts.json").write_text(json.dumps(HOSTILE))
    rose.script(TASK.format(python=sys.executable), "task.py")
    names = ["größe µ", "شبكة", "e\N{COMBINING ACUTE ACCENT}", "=1+1", "a,b", "[red]", "%0A"]
    learners = [
        {"name": f"{names[number % len(names)]} {number}", "t": {"--text": text}}
        for number, text in enumerate(clean(text) for text in HOSTILE)
    ]
    campaign = {
        "name": "größe [b]x",
        "max_iter": 3,
        "engine": {"kind": "local", "cores": 4},
        "tasks": {"t": {"executable": "./task.py", "options": {"--ü": 1}}},
        "stop": {"metric": 'größe,"=x', "operator": "<", "threshold": 0, "executable": "echo nan"},
        "learners": learners,
    }
    (rose.folder / "campaign.yaml").write_text(json.dumps(campaign, ensure_ascii=False), encoding="utf-8")
    code, _, err = call(rose, "run", "campaign.yaml", "--run-dir", "r")
    assert code == 1, err
    return rose


def clean(text: str) -> str:
    """What a campaign file may hold: no half of a pair, no NUL; short enough for a command line."""
    return re.sub("[\x00\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\uffff]", "", text)[:1000].replace("{", "{{")


def call(rose: Rose, *words: str, **variables: str) -> tuple[int, str, str]:
    """Exit code, output and messages, which have to be UTF-8."""
    done = subprocess.run(
        [sys.executable, "-m", "rose_cli", *words],
        cwd=rose.folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    out, err = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
    assert done.returncode != 3, err
    assert "Traceback" not in err
    return done.returncode, out, err


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> dict[str, str]:
    return LOCALES[request.param]


def test_csv_has_all_rows_with_as_many_cells(run: Rose, place: dict[str, str]) -> None:
    code, out, _ = call(run, "export", "r", **place)
    rows = list(csv.reader(io.StringIO(out, newline="")))
    assert code == 0
    assert len(rows) == 1 + 2 * len(HOSTILE)
    assert {len(row) for row in rows} == {len(rows[0])}
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", out)
    whole = [dict(zip(rows[0], row, strict=True))["result.whole"] for row in rows[1::2]]
    assert whole[:5] == [
        "\\ud83d",
        "\\ude00\\ud83d",
        "\\udcff.dat",
        "nul\\u0000nul",
        "\\u001b[2J\\u001b]0;title\\u0007",
    ]
    assert whole[9:11] == [f"'{HOSTILE[9]}", HOSTILE[10]]
    assert call(run, "export", "r", "-o", "out.csv", **place)[0] == 0
    assert (run.folder / "out.csv").read_bytes() == out.encode()


def test_json_lines_give_back_what_was_reported(run: Rose, place: dict[str, str]) -> None:
    code, out, _ = call(run, "export", "r", "--format", "jsonl", **place)
    rows = [json.loads(line) for line in out.split("\n")[:-1]]
    assert code == 0
    assert [row["result.whole"] for row in rows[::2]] == list(HOSTILE)


@pytest.mark.parametrize(
    "words", ["status r", "status r --results --all-options", "list", "plan campaign.yaml", "validate campaign.yaml"]
)
def test_json_can_be_read(run: Rose, words: str) -> None:
    code, out, _ = call(run, *words.split(), "--format", "json", **LOCALES["ascii"])
    assert code == 0
    assert json.loads(out) is not None
    assert out.isascii()


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("status r", "C.UTF-8"),
        ("status r", "ascii"),
        ("status r --results", "C.UTF-8"),
        ("status r --results --all-options --sort name", "ascii"),
        ("list", "no UTF-8 mode"),
        ("plan campaign.yaml", "C.UTF-8"),
        ("plan campaign.yaml", "ascii"),
        ("validate campaign.yaml", "no UTF-8 mode"),
        ("resume r --dry-run", "ascii"),
        ("status no\x1b[2Jrun", "C.UTF-8"),
        ("validate --format github no\x1b]0;\x07file.yaml", "ascii"),
        ("run campaign.yaml --set name=\x1b[2J", "C.UTF-8"),
        ("logs r no\x1b[2J", "no UTF-8 mode"),
    ],
)
def test_texts_hold_no_control_characters(run: Rose, words: str, place: str) -> None:
    _, out, err = call(run, *words.split(" "), **LOCALES[place])
    assert out + err
    assert not RAW.search(out + err), out + err


@pytest.mark.parametrize(("output", "place"), [("plain", "ascii"), ("json", "no UTF-8 mode"), ("quiet", "C.UTF-8")])
def test_a_run_can_be_followed(run: Rose, output: str, place: str) -> None:
    code, out, err = call(run, "resume", "r", "--output", output, **LOCALES[place])
    assert code == 1
    assert not RAW.search(out + err), out + err
    if output == "json":
        assert [json.loads(line) for line in out.split("\n")[:-1]]


def test_a_summary_for_github_is_a_table(run: Rose) -> None:
    path = run.folder / "summary.md"
    code, _, _ = call(run, "run", "campaign.yaml", "--smoke", GITHUB_STEP_SUMMARY=str(path))
    lines = path.read_text(encoding="utf-8").split("\n")
    assert code == 0
    assert not RAW.search("\n".join(lines))
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines[4:-2]] == [5] * len(HOSTILE)


def test_a_report_of_a_bug_is_written_whatever_the_message_is(rose: Rose) -> None:
    program = "from rose_cli import cli; raise SystemExit(cli._report_bug(ValueError('\\ud83d\\x1b[2J')))"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(rose.folder)},
        capture_output=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 3
    assert b"\x1b" not in done.stderr
    report = next(rose.folder.glob("rose-bug-*.txt")).read_text(encoding="utf-8")
    assert "ValueError: \\ud83d" in report


# --- logs on a terminal --------------------------------------------------------------------------------------------


def on_terminal(rose: Rose, *words: str) -> bytes:
    """All that rose writes to a terminal."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rose_cli", *words], cwd=rose.folder, stdin=subprocess.DEVNULL, stdout=its, stderr=its,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    os.close(its)
    shown = b"".join(_until_closed(ours))
    os.close(ours)
    assert process.wait(60) == 0
    return shown


def _until_closed(descriptor: int) -> Iterator[bytes]:
    try:
        while data := os.read(descriptor, 1 << 16):
            yield data
    except OSError:  # EIO: nobody has the other end any more
        return


PRINTED = (
    b"\x1b]0;title\x07clear \x1b[2J\x1b[31mred\x1b[0m \x1b[38;5;8mgrey\r\n1%\r2%\r100%\tdone\x08\x9b31m "
    b"\xc2\x9b2J\xe2\x80\xaegro\xc3\x9fe\xff\x1b"
)
SHOWN = (
    "␛]0;title␇clear ␛[2J\x1b[31mred\x1b[0m \x1b[38;5;8mgrey\n1%\n2%\n100%\tdone␈�31m �2J�große�␛\x1b[0m"
)  # fmt: skip


def write_log(rose: Rose, printed: bytes) -> None:
    (rose.folder / "printed").write_bytes(printed)
    rose.write("{max_iter: 1, tasks: {t: {executable: 'cat {campaign_dir}/printed'}}, learners: 1}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0


def test_nothing_of_a_log_acts_on_a_terminal_but_colours(rose: Rose) -> None:
    write_log(rose, PRINTED)
    shown = on_terminal(rose, "logs", "r").decode("utf-8").replace("\r\n", "\n")
    assert shown == f"── learner-0 · iteration 0 · t · attempt 1 · stdout\n{SHOWN}"


def test_a_log_is_passed_on_as_it_is_when_asked_for_and_to_a_file(rose: Rose) -> None:
    write_log(rose, PRINTED)
    assert PRINTED.replace(b"\n", b"\r\n") in on_terminal(rose, "logs", "r", "--raw")
    done = subprocess.run(
        [sys.executable, "-m", "rose_cli", "logs", "r"], cwd=rose.folder, capture_output=True, check=True,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.stdout.endswith(PRINTED)


def test_a_large_log_comes_out_whole_on_a_terminal(rose: Rose) -> None:
    """A megabyte, in which letters and colours stand across the pieces that it is read in."""
    write_log(rose, ("ß\x1b[32m表\x1b[0m" * 70_000).encode())
    shown = on_terminal(rose, "logs", "r").decode("utf-8")
    assert shown.partition("\n")[2] == "ß\x1b[32m表\x1b[0m" * 70_000 + "\x1b[0m"


@settings(deadline=None)
@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"\x1b", b"[", b"3", b"m", b"\r", b"\n", b"\xc3\x9f"])))
def test_any_bytes_in_any_pieces_are_filtered_alike(pieces: list[bytes]) -> None:
    def filtered(pieces: list[bytes]) -> str:
        each = Filter()
        return "".join([*map(each.feed, pieces), each.finish()])

    text = filtered(pieces)
    assert text == filtered([b"".join(pieces)])
    assert not RAW.search(re.sub(r"\x1b\[[0-9;:]*m", "", text))
    text.encode("utf-8")


# --- names under every locale --------------------------------------------------------------------------------------


def test_names_that_ascii_lacks_are_names_of_folders_in_every_locale(rose: Rose, place: dict[str, Any]) -> None:
    rose.write("{max_iter: 1, tasks: {t: {executable: 'echo {{}}', options: {--n: ü}}}, learners: [{name: größe µ}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "läufe", **place).code == 0
    assert (rose.folder / "läufe/learners/größe µ/workspace").is_dir()
    assert rose("status", "läufe", **place).code == 0
    assert call(rose, "export", "läufe", **place)[1].splitlines()[1].startswith("größe µ,0,")


@pytest.fixture(scope="session")
def latin_1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("locales")
    made = subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(folder / "de_DE.ISO-8859-1")], check=False,
        capture_output=True,
    )  # fmt: skip
    if made.returncode > 1 or not (folder / "de_DE.ISO-8859-1").exists():  # 1: with warnings
        pytest.skip("no locale of another encoding can be made here")
    return {"LOCPATH": str(folder), "LC_ALL": "de_DE.ISO-8859-1"}


def test_names_that_a_locale_lacks_are_refused_before_anything_runs(rose: Rose, latin_1: dict[str, Any]) -> None:
    rose.write("{max_iter: 1, tasks: {t: {executable: 'true'}}, learners: [{name: 表}]}")
    called = rose("run", "campaign.yaml", "--run-dir", "r", **latin_1)
    assert called.code == 2
    assert "error[bad-name]: no directory can be named" in called.err
    assert "PYTHONUTF8=1" in called.err
    assert rose("run", "campaign.yaml", "--run-dir", "r", **latin_1, PYTHONUTF8="1").code == 0


def test_a_word_of_a_command_that_a_locale_lacks_fails_its_task_and_says_so(
    rose: Rose, latin_1: dict[str, Any]
) -> None:
    rose.write("{max_iter: 1, tasks: {t: {executable: echo, options: {--name: 表}}}, learners: 1}")
    called = rose("run", "campaign.yaml", "--run-dir", "r", **latin_1)
    assert called.code == 1
    assert "the terminal's encoding, latin-1, lacks" in called.out


def test_a_folder_that_a_locale_lacks_is_no_bug(rose: Rose, latin_1: dict[str, Any]) -> None:
    rose.write("{name: 表, max_iter: 1, tasks: {t: {executable: 'true'}}, learners: 1}")
    called = rose("run", "campaign.yaml", **latin_1)
    assert called.code == 4
    assert "cannot name a file here: the encoding of this terminal is latin-1" in called.err


FORMULAS = ["=HYPERLINK(1)", "=cmd|' /C calc'!A0", "+1+1", "-1-1", "@SUM(1)", "\t=1", "\n=1", "--option", "\uff1d1+1"]
NUMBERS = ["-0.5", "+1e-3", "-inf", "-.5", "-7", "1e5", "plain", "a=b", " =1", "'=1"]


def test_no_cell_of_csv_is_a_formula(rose: Rose) -> None:
    """Keys, values, options and names; and numbers come back as they were, be they typed or texts."""
    texts = {str(position): text for position, text in enumerate((*FORMULAS, *NUMBERS))}
    report = {**texts, "=key": -0.25, "@key": float("-inf"), "list": ["=1", -1]}
    tasks = {"sim": {"executable": "./sim.sh", "options": {"--n": "=1+1", "--m": -0.5}}}
    (rose.folder / "report").write_text(json.dumps(report) + "\n", encoding="utf-8")
    (rose.folder / "sim.sh").write_text('#!/bin/sh\ncat "$ROSE_CAMPAIGN_DIR/report"\n', encoding="utf-8")
    (rose.folder / "sim.sh").chmod(0o755)
    rose.write(json.dumps({"max_iter": 1, "learners": [{"name": "=learner"}], "tasks": tasks}))
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    (row,) = csv.DictReader(io.StringIO(rose("export", "r").out, newline=""))
    cells = [*row, *row.values()]
    number = re.compile("[-+]?[0-9.]+(e[-+]?[0-9]+)?|-inf")
    assert [cell for cell in cells if cell[:1] in tuple("=+-@\t\n\uff1d") and cell and not number.fullmatch(cell)] == []
    for position, text in enumerate(FORMULAS):
        assert row[f"result.{position}"] == f"'{text}"
    for position, text in enumerate(NUMBERS, len(FORMULAS)):
        assert row[f"result.{position}"] == text
    assert (row["result.=key"], row["result.@key"], row["result.list"]) == ("-0.25", "-inf", '["=1", -1]')
    assert (row["learner"], row["option.sim.--n"], row["option.sim.--m"]) == ("'=learner", "'=1+1", "-0.5")
    lines = json.loads(rose("export", "r", "--format", "jsonl").out)
    assert [lines[f"result.{position}"] for position in range(len(FORMULAS))] == FORMULAS
    assert lines["learner"] == "=learner"
