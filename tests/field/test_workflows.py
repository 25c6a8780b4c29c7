"""What people report about workflow engines, tried on rose; `workflows.md` is the log."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import unicodedata
from typing import TYPE_CHECKING

import pytest

from rose_cli.plan.model import FilePlan
from rose_cli.runs.workspace import prepare_workspace
from rose_cli.util.errors import RunDirectoryError
from tests.conftest import REPOSITORY, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose


ONE = "max_iter: 1\nlearners: 1\n"
"""One learner, one iteration."""


def mistakes(rose: Rose, text: str) -> list[tuple[str, str, str]]:
    """Code, message and hint of all that `rose validate` finds."""
    found = json.loads(rose("validate", rose.write(text), "--format", "json").out)
    return [(one["code"], one["message"], one["hint"]) for one in found]


def test_what_only_a_shell_fills_in_is_warned_of(rose: Rose) -> None:
    text = """\
        env: {DATA: $HOME/data, PATH: "~/bin:/usr/bin:/bin"}
        tasks:
          t:
            executable: echo
            args: [$SCRATCH/x, $(RUNS)/y, "`date`", "${{A:-b}}", ~me/z]
            options: {--a: ~/a, --b: [1, --in=~/b]}
            env: {L: "/x:$L"}
        stop: {metric: mse, threshold: 1, executable: echo 0, options: {--c: "${{C}}"}}
        max_iter: 1
        learners: 1
        """
    found = mistakes(rose, text)
    assert {code for code, _, _ in found} == {"shell-sign"}
    assert [message.split("'")[1] for _, message, _ in found] == [
        "$HOME/data", "~/bin", "$SCRATCH/x", "$(RUNS)/y", "`date`", "${{A:-b}}", "~me/z", "~/a", "~/b", "$L", "${{C}}",
    ]  # fmt: skip
    assert found[1][2] == 'write the full path, or set it under pre_exec: export PATH="$HOME/bin:/usr/bin:/bin"'
    (unknown,) = mistakes(rose, ONE + "tasks: {t: {executable: echo, options: {--a: '${HOME}'}}}\n")
    assert unknown[2] == "write ${{HOME}} if a shell reads it; rose itself does not expand variables"


def test_a_dollar_that_no_shell_would_take_is_left_alone(rose: Rose) -> None:
    text = """\
        env: {LD_LIBRARY_PATH: "$ORIGIN/../lib", PRICE: 5$, RANGE: a~b, HASH: $2b$12$x, RE: "^a$", ABOUT: ~5}
        tasks:
          t: {executable: "sh -c 'echo $HOME $1' x", options: {--re: "x$", --approx: 1~2, --cost: 3 $ each}}
        max_iter: 1
        learners: 1
        """
    assert mistakes(rose, text) == []


def test_dashes_and_quotes_of_word_processors_are_named(rose: Rose) -> None:
    words = "t: {executable: echo \u2014x, options: {\u2013n: 5, -\u2014fasta: 1}, adaptive: {\u2015m: i}"
    found = mistakes(rose, ONE + f"tasks: {{{words}, args: [\u201ca b\u201d]}}}}\n")
    assert {code for code, _, _ in found} == {"typographic-sign"}
    assert [hint for _, _, hint in found] == [
        "write --x or -x",
        "write --n or -n",
        "write --fasta or -fasta",
        "write --m or -m",
        "write ' or \" if a quote is meant",
    ]
    assert "'\u2013' (U+2013) is not a hyphen" in found[1][1]
    meant = "[a \u2013 b, 3\u20135, don\u2019t, \u22125]"
    assert mistakes(rose, ONE + f"tasks: {{t: {{executable: echo, args: {meant}}}}}\n") == []


def test_a_name_in_another_unicode_form_is_told_from_a_missing_one(rose: Rose) -> None:
    rose.script("#!/bin/sh\n", unicodedata.normalize("NFD", "größe.sh"))
    rose.write("", unicodedata.normalize("NFD", "höhe.csv"))
    text = ONE + "files: [höhe.csv, hohe.csv]\ntasks: {t: {executable: ./größe.sh}}\n"
    found = mistakes(rose, text)
    assert [code for code, _, _ in found] == ["missing-file", "missing-file", "missing-program"]
    assert ["another Unicode form" in hint for _, _, hint in found] == [True, False, True]
    assert mistakes(rose, unicodedata.normalize("NFD", text.replace(", hohe.csv", ""))) == []
    learner = unicodedata.normalize("NFC", "größe")
    rose.write(f"{{max_iter: 1, tasks: {{t: {{executable: echo}}}}, learners: [{{name: {learner}}}]}}")
    called = rose("run", "campaign.yaml", "--learner", unicodedata.normalize("NFD", learner))
    assert called.code == 2
    assert f"help: '{learner}' looks the same" in called.err


def test_a_campaign_file_that_is_a_link_is_said_to_be_one(rose: Rose) -> None:
    (rose.folder / "project").mkdir()
    rose.script("#!/bin/sh\n", "project/sim.sh")
    text = ONE + "files: [data.csv]\ntasks: {t: {executable: ./sim.sh}}\n"
    target = rose.write(text, "project/campaign.yaml")
    (rose.folder / "campaign.yaml").symlink_to(target)
    called = rose("validate", "campaign.yaml")
    assert called.code == 2
    assert (
        called.out.count(f"the directory of the campaign file: that of the symbolic link, not that of '{target}'") == 2
    )


def test_runs_behind_a_link_that_leads_nowhere(rose: Rose) -> None:
    rose.write(ONE + "tasks: {t: {executable: 'true'}}\n")
    (rose.folder / "rose-runs").symlink_to(rose.folder / "scratch/runs")
    called = rose("run", "campaign.yaml")
    assert called.code == 4
    assert "it is a dangling symbolic link" in called.err
    assert f"create its target ('{rose.folder}/scratch/runs')" in called.err
    (rose.folder / "scratch/runs").mkdir(parents=True)
    assert rose("run", "campaign.yaml", "--output", "quiet").code == 0


def test_a_folder_is_not_copied_into_itself(rose: Rose) -> None:
    text = ONE + "files: [{{path: {path}, copy: true, to: all}}]\ntasks: {{t: {{executable: 'true'}}}}\n"
    for path in (".", "..", str(rose.folder)):
        ((code, message, _),) = mistakes(rose, text.format(path=path))
        assert code == "cannot-copy"
        assert message == f"'{path}' contains the campaign file and its runs: it would be copied into itself"
    assert mistakes(rose, text.format(path=".").replace("copy: true, ", "")) == []  # a link


def test_a_run_within_a_copied_folder(rose: Rose) -> None:
    (rose.folder / "data").mkdir()
    rose.write("1", "data/x.csv")
    rose.write(ONE + "files: [{path: data, copy: true}]\ntasks: {t: {executable: cat data/x.csv}}\n")
    called = rose("run", "campaign.yaml", "--run-dir", "data/run")
    assert called.code == 4
    assert "a directory cannot be copied into itself" in called.err
    assert rose("run", "campaign.yaml", "--run-dir", "run").code == 0


def test_pipes_and_devices_are_not_copied(rose: Rose) -> None:
    os.mkfifo(rose.folder / "p")
    text = ONE + "files: [{path: p, copy: true}, {path: /dev/zero, copy: true}]\ntasks: {t: {executable: 'true'}}\n"
    assert [(code, hint) for code, _, hint in mistakes(rose, text)] == [
        ("cannot-copy", "remove copy: true to get a symbolic link")
    ] * 2
    with pytest.raises(
        RunDirectoryError, match="a pipe, a socket or a device"
    ) as caught:  # in place by the time it runs
        prepare_workspace(rose.folder / "w", [FilePlan(str(rose.folder / "p"), "p", copied=True)], inside=rose.folder)
    assert caught.value.hint == "remove it from 'files', or omit 'copy: true' to get a link, then `rose resume`"


def test_a_folder_with_a_pipe_and_a_socket_is_copied(rose: Rose, monkeypatch: pytest.MonkeyPatch) -> None:
    (rose.folder / "data").mkdir()
    os.mkfifo(rose.folder / "data/p")
    rose.write("kept", "data/x.csv")
    (rose.folder / "data/l").symlink_to("x.csv")
    (rose.folder / "linked").symlink_to("data")
    monkeypatch.chdir(rose.folder)  # the path of a socket has to be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("data/s")
        prepare_workspace(
            rose.folder / "w", [FilePlan(str(rose.folder / "linked"), "d", copied=True)], inside=rose.folder
        )
    copied = rose.folder / "w/d"
    assert {path.name for path in copied.iterdir()} == {"p", "x.csv", "l"}
    assert (copied / "l").readlink().name == "x.csv"
    assert (copied / "x.csv").read_text() == "kept"


def test_the_longest_names_work(rose: Rose) -> None:
    campaign, learner, task = "c" * 100, "l" * 100, "t" * 100
    declared = f"tasks: {{{task}: {{executable: echo 1, replicas: 2}}}}"
    rose.write(f"{{name: {campaign}, max_iter: 1, {declared}, learners: [{{name: {learner}}}]}}")
    assert rose("run", "campaign.yaml", "--output", "quiet").code == 0
    assert rose("logs", "campaign.yaml").out.splitlines().count("1") == 2


def test_a_path_that_is_too_long_is_said_to_be(tmp_path: Path) -> None:
    workspace = tmp_path / "/".join(["d" * 200] * 21)
    with pytest.raises(RunDirectoryError) as caught:
        prepare_workspace(workspace, [], inside=tmp_path)
    assert str(caught.value).endswith("File name too long")
    assert "a shorter path for the run (--run-dir)" in str(caught.value.hint)


def test_scripts_that_could_not_be_executed_are_mistakes(rose: Rose) -> None:
    for name, text in {
        "crlf.sh": "#!/bin/sh\r\necho\r\n",
        "crlf.py": "#!/usr/bin/env python3\r\nprint()\r\n",
        "bom.sh": "\ufeff#!/bin/sh\n",
        "old.py": "#!/opt/old/bin/python\n",
        "env.py": "#!/usr/bin/env -S pythn -u\n",
        "plain.py": "print()\n",
        "deep.sh": f"#!{'/' * 250}bin/sh\n",
        "good.sh": "#!/bin/sh\necho\n",
        "good.py": "#!/usr/bin/env -S python3 -u\nprint()\n",
        "sourced.sh": "echo\r\n",
    }.items():
        rose.script(text, name)
        (rose.folder / name).write_text(text, encoding="utf-8", newline="")
    calls = ["./crlf.sh", "./crlf.py", "./bom.sh", "./old.py", "./env.py", "./plain.py", "./deep.sh", "sh sourced.sh"]
    fine = ["./good.sh", "./good.py", "python3 crlf.py", "echo"]
    tasks = "".join(f"  t{n}: {{executable: {call}}}\n" for n, call in enumerate([*calls, *fine]))
    found = mistakes(rose, ONE + "tasks:\n" + tasks)
    assert [(code, message.split("'")[1]) for code, message, _ in found] == [
        ("bad-script", "./crlf.sh"),
        ("bad-script", "./crlf.py"),
        ("bad-script", "./bom.sh"),
        ("missing-interpreter", "./old.py"),
        ("missing-interpreter", "./env.py"),
        ("bad-script", "./plain.py"),
        ("bad-script", "./deep.sh"),
        ("bad-script", "sourced.sh"),
    ]
    assert found[0][2] == r"save it with Unix line endings: sed -i 's/\r$//' crlf.sh"
    assert "names 'pythn', which is not on PATH" in found[4][1]
    loaded = ONE + "tasks: {t: {executable: ./env.py, pre_exec: export PATH=x}}\n"
    assert mistakes(rose, loaded) == []


ENDS = {
    "module": ("pre_exec: module load x", "start pre_exec with"),
    "conda": ("pre_exec: conda activate x", "etc/profile.d/conda.sh"),
    "here": ("pre_exec: source ./env.sh", "$ROSE_CAMPAIGN_DIR/"),
    "kill": ("executable: sh -c 'kill -9 $$'", "memory ran out"),
    "137": ("executable: sh -c 'exit 137'", "SIGKILL within it"),
    "139": ("executable: sh -c 'exit 139'", "SIGSEGV within it"),
    "141": ("executable: sh -c 'exit 141'", "'| head'"),
    "127": ("executable: sh -c nothing-like-it", "what pre_exec should load"),
    "126": ("executable: sh -c /etc/passwd", "could not be executed"),
    "python": ("executable: python3 -c 'import nothing_like_it'", "activate the right environment"),
    "crlf": ("executable: [sh, -c, 'printf \"x%sr: not found\" \\\\ >&2; exit 127']", "Windows line endings"),
    "3": ("executable: sh -c 'exit 3'", None),
}
"""How a task fails, and what the help has."""


@pytest.mark.parametrize("names", [list(ENDS)[:6], list(ENDS)[6:]])  # ten failures are told in full
def test_failures_come_with_what_helps(rose: Rose, names: list[str]) -> None:
    learners = "".join(f"  - {{name: '{name}', t: {{{ENDS[name][0]}}}}}\n" for name in names)
    rose.write("max_iter: 1\ntasks: {t: {executable: 'true'}}\nlearners:\n" + learners)
    called = rose("run", "campaign.yaml", PATH=f"/usr/bin:/bin:{os.environ['PATH']}")
    told = {part.split(":")[0]: part for part in called.out.split("✗ ") if "  command  " in part}
    assert set(told) == set(names)
    for name in names:
        _, label, help_ = told[name].partition("  help     ")
        expected = ENDS[name][1]
        assert bool(label) == (expected is not None), told[name]
        assert expected is None or expected in help_, told[name]


def test_a_file_that_is_sourced_from_the_workspace_is_warned_of(rose: Rose) -> None:
    (rose.folder / ".venv/bin").mkdir(parents=True)
    rose.write("", ".venv/bin/activate")
    lines = '[source .venv/bin/activate, "cd x && . ./.venv/bin/activate", source $X/.venv/bin/activate, . nothing.sh]'
    found = mistakes(rose, ONE + f"pre_exec: {lines}\ntasks: {{t: {{executable: 'true'}}}}\n")
    assert found[0] == (
        "relative-path",
        "'.venv/bin/activate' is looked up in the workspace, where pre_exec runs",
        'write "$ROSE_CAMPAIGN_DIR/.venv/bin/activate", or add it to files:',
    )
    assert len(found) == 1  # one for each key


def test_what_is_too_long_is_named(rose: Rose) -> None:
    rose.write(
        "max_iter: 1\ntasks: {t: {executable: 'true'}}\nlearners:\n"
        f"  - {{name: a, env: {{BIG: {'x' * 140_000}}}}}\n  - {{name: b, t: {{--ids: {'y' * 140_000}}}}}\n"
    )
    out = rose("run", "campaign.yaml").out
    assert "the environment variable BIG is too long for this system (140005 bytes, at most 131072)" in out
    assert "the command's argument 'yyyyyyyyyyyyyyyyyyyy…' is too long for this system (140001 bytes" in out


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv to be without root's rights")
def test_a_run_that_may_only_be_read(rose: Rose) -> None:
    rose.write(ONE + "tasks: {t: {executable: 'true'}}\n")
    assert rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet").code == 0
    for path in (rose.folder, rose.folder / "r"):
        path.chmod(0o555)
    dropped = "-dac_override,-dac_read_search"
    words = ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"] if os.geteuid() == 0 else []
    words += [sys.executable, "-m", "rose_cli"]
    calls = (["resume", "r", "--max-iter", "2"], ["status", "r"], ["resume", "r", "--max-iter", "2", "--dry-run"])
    done = [
        subprocess.run([*words, *call], cwd=rose.folder, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                       capture_output=True, text=True, check=False)
        for call in calls
    ]  # fmt: skip
    assert [call.returncode for call in done] == [4, 0, 0], done
    assert "Permission denied\nhelp: `rose status`, `logs` and `export` only read it" in done[0].stderr


def test_how_a_program_ends_is_what_counts(rose: Rose) -> None:
    pool = "concurrent.futures.ThreadPoolExecutor().submit(lambda: 1 / 0).result()"
    ends = {
        "zero": "sys.exit(0)",
        "none": "sys.exit(None)",
        "killed": "os.kill(os.getpid(), 9)",
        "text": "sys.exit('no mesh')",
        "pool": pool,
    }
    for name, line in ends.items():
        rose.write(f"import concurrent.futures, os, sys\n{line}\n", f"{name}.py")
    learners = "".join(f"  - {{name: {name}, t: {{executable: '{{python}} {name}.py'}}}}\n" for name in ends)
    rose.write("max_iter: 1\ntasks: {t: {executable: 'true'}}\nlearners:\n" + learners)
    assert rose("run", "campaign.yaml", "--output", "quiet").code == 1
    status = {name: learner["status"] for name, learner in rose.learners("campaign.yaml").items()}
    assert status == {"zero": "done", "none": "done", "killed": "failed", "text": "failed", "pool": "failed"}


def test_retries_are_counted_and_the_others_go_on(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 2
        retries: {times: 2, pause: 0}
        tasks: {t: {executable: "true"}}
        learners:
          - {name: never, t: {executable: "false"}}
          - {name: second, t: {executable: "sh -c '[ $ROSE_ATTEMPT = 2 ]'"}}
          - {name: always}
        """
    )
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 1
    assert "resume   rose resume r" in called.out
    started = [event for event in rose.events("r") if event["event"] == "attempt_started"]
    count = {name: sum(event["learner"] == name for event in started) for name in ("never", "second", "always")}
    assert count == {"never": 3, "second": 4, "always": 2}


def test_a_killed_session_leaves_no_lock_to_remove(rose: Rose) -> None:
    rose.script('#!/bin/sh\ncd "$ROSE_CAMPAIGN_DIR" && touch begun && { [ -e go ] || sleep 60; }\n', "t.sh")
    rose.write("max_iter: 2\ntasks: {first: {executable: echo}, t: {executable: ./t.sh}}\nlearners: 1\n")
    session = rose.start("run", "campaign.yaml", "--run-dir", "r")
    wait_until((rose.folder / "begun").exists)
    session.kill()
    session.communicate()
    (rose.folder / "go").touch()
    assert rose("resume", "r", "--output", "quiet").code == 0
    started = [event["task"] for event in rose.events("r") if event["event"] == "attempt_started"]
    assert started == ["first", "t", "t", "first", "t"]


def test_words_that_begin_with_dashes_arrive(rose: Rose) -> None:
    rose.write("kept\n", "-data.csv")
    rose.write(
        ONE + "files: [-data.csv]\n"
        "tasks: {c: {executable: cat ./-data.csv}, e: {executable: echo, options: {--x: --testing, --y: '-5'}}}\n"
    )
    assert rose("run", "campaign.yaml", "--output", "quiet").code == 0
    assert [line for line in rose("logs", "campaign.yaml").out.splitlines() if not line.startswith("──")] == [
        "kept",
        "--x --testing --y -5",
    ]


@pytest.mark.parametrize("umask", [0o027, 0o077])
def test_modes_are_those_of_the_umask_and_of_the_files(rose: Rose, umask: int) -> None:
    rose.script("#!/bin/sh\n", "tool.sh").chmod(0o750)
    rose.write("1", "data.csv").chmod(0o640)
    rose.write(
        ONE + "files: [{path: tool.sh, copy: true}, {path: data.csv, copy: true}]\ntasks: {t: {executable: echo}}\n"
    )
    before = os.umask(umask)
    try:
        assert rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet").code == 0
    finally:
        os.umask(before)
    copies = {"tool.sh": 0o750, "data.csv": 0o640}
    for path in (rose.folder / "r").rglob("*"):
        usual = (0o777 if path.is_dir() else 0o666) & ~umask
        assert path.stat().st_mode & 0o777 == copies.get(path.name, usual), path


def test_commands_in_messages_can_be_pasted(rose: Rose) -> None:
    assert "next: rose run 'my dir/campaign.yaml'\n" in rose("init", "my dir").out
    rose.write(ONE + "tasks: {t: {executable: sleep 60}}\n")
    session = rose.start("run", "campaign.yaml", "--run-dir", "my run")
    try:
        wait_until((rose.folder / "my run/lock").exists)
        used = rose("run", "campaign.yaml", "--run-dir", "my run")
        locked = rose("resume", "my run")
    finally:
        session.kill()
        session.communicate()
    assert used.err.endswith("rose resume 'my run'\n")
    assert f"`rose stop '{rose.folder}/my run'`" in locked.err
    rose.write("echo", "my tool.sh")
    (mistake,) = mistakes(rose, ONE + "tasks: {t: {executable: './my\\ tool.sh'}}\n")
    assert mistake[2] == "run chmod +x './my tool.sh', or name its interpreter: sh './my tool.sh'"


def test_lines_that_hide_failures_are_warned_of(rose: Rose) -> None:
    lines = {
        "a": "false | cat",
        "b": r"false\necho hi",
        "c": r"cat <<E | sort\nx\nE",
        "d": r"(false)\n# a comment\necho hi",
        "e": "false || echo 'a | b'",
        "f": r"set -eu\nfalse\necho hi",
        "g": r"for i in 1 2\ndo echo $i\ndone",
        "h": r"cat <<E\na | b\nE\n# the end\n",
        "i": "echo >| out.txt",
    }
    tasks = "".join(f'  {name}: {{executable: "{line}", shell: true}}\n' for name, line in lines.items())
    found = mistakes(rose, ONE + "tasks:\n" + tasks)
    assert [(code, hint) for code, _, hint in found] == [
        ("hidden-failure", "remove shell: true and write [bash, -o, pipefail, -c, '…']"),
        ("hidden-failure", "start with the line 'set -e'"),
        ("hidden-failure", "remove shell: true and write [bash, -o, pipefail, -c, '…']"),
    ]
    right = ONE + "tasks:\n  a: {executable: [bash, -o, pipefail, -c, 'false | cat']}\n"
    assert mistakes(rose, right) == []
    assert rose("run", "campaign.yaml", "--output", "quiet").code == 1


def test_options_belong_to_the_last_command_of_a_line(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 1
        learners: 1
        tasks:
          t:
            executable: |
              set -e
              true
              echo sim
            shell: true
            options: {--n: 5}
        """
    )
    assert rose("run", "campaign.yaml", "--output", "quiet").code == 0
    assert rose("logs", "campaign.yaml").out.endswith("sim --n 5\n")
    ((code, message, _),) = mistakes(
        rose, ONE + "tasks: {t: {executable: 'echo sim # fast', shell: true, options: {--n: 5}}}\n"
    )
    assert (code, message) == (
        "lost-arguments",
        "'options' cannot be appended to the line: it ends in a comment",
    )


def test_a_criterion_reads_a_file_of_its_iteration(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 3
        learners: [{name: a}]
        tasks: {t: {executable: "true"}}
        stop:
          metric: mse
          threshold: 0.6
          executable: sh -c 'echo 0.$((9 - ROSE_ITERATION * 2)) > mse-$ROSE_LEARNER-$ROSE_ITERATION.txt'
          read: {file: "mse-{learner}-{iteration}.txt"}
        """
    )
    assert rose("run", "campaign.yaml", "--output", "quiet").code == 0
    assert rose.learners("campaign.yaml")["a"]["history"] == [0.9, 0.7, 0.5]
    wrong = (rose.folder / "campaign.yaml").read_text().replace("{learner}", "{lerner}")
    ((code, message, hint),) = mistakes(rose, wrong)
    assert (code, message, hint) == ("bad-placeholder", "unknown placeholder '{lerner}'", "did you mean '{learner}'?")


def test_a_title_begins_on_a_line_of_its_own(rose: Rose) -> None:
    rose.write(ONE + "tasks: {a: {executable: printf kept}, b: {executable: echo b}, c: {executable: printf end}}\n")
    assert rose("run", "campaign.yaml", "--output", "quiet").code == 0
    out = rose("logs", "campaign.yaml").out
    assert out.splitlines()[1::2] == ["kept", "b", "end"]
    assert out.endswith("\nend")


def test_byte_order_marks_count_for_nothing(rose: Rose) -> None:
    mark = "\ufeff"
    for name, text in {
        "number": f"{mark}0.5\r\n",
        "later": f"{mark}a log\n{mark}0.5\n",
        "json": f'{mark}{{"mse": 0.5}}\n',
        "report": f'{mark}a log\n{mark}{{"x": 1}}\r\n',
        "whole": f'{mark}{{\n  "y": 2\n}}\n',
    }.items():
        (rose.folder / name).write_bytes(text.encode())
    rose.write(
        """
        max_iter: 1
        files: [number, later, json, report, whole]
        tasks: {t: {executable: cat report}, u: {executable: sh -c 'cat whole > $ROSE_RESULT'}}
        stop: {metric: mse, threshold: 1, executable: cat number}
        learners:
          - name: number
          - {name: later, stop: {executable: cat later}}
          - {name: json, stop: {executable: cat json, read: {json: mse}}}
          - {name: file, stop: {executable: sh -c 'cat later > m.txt', read: {file: m.txt}}}
        """
    )
    assert rose("run", "campaign.yaml", "--output", "quiet", "--require-criterion").code == 0
    learners = rose.learners("campaign.yaml")
    reported = {name: (learner["result"]["x"], learner["result"]["y"]) for name, learner in learners.items()}
    assert reported == dict.fromkeys(("number", "later", "json", "file"), (1, 2))


def test_signs_that_nobody_sees_are_spelled_out(rose: Rose) -> None:
    (rose.folder / "number").write_text("0.5\u200b\n", encoding="utf-8")
    stop = "stop: {metric: mse, threshold: 1, executable: cat number}\n"
    rose.write(ONE + "files: [number]\ntasks: {t: {executable: 'true'}}\n" + stop)
    assert rose("run", "campaign.yaml", "--output", "quiet").code == 1
    message = rose.learners("campaign.yaml")["learner-0"]["error"]["message"]
    assert r"found '0.5\u200b'" in message


def test_a_report_over_several_lines_is_not_lost_without_a_word(rose: Rose) -> None:
    rose.write('import json\nprint(json.dumps({"a": 1, "b": {"c": [2]}}, indent=2))\n', "report.py")
    rose.write(ONE + 'tasks: {t: {executable: "{python} report.py"}}\n')
    called = rose("run", "campaign.yaml")
    assert called.code == 0
    assert "its output ends with JSON over several lines: print it on one line" in called.out
