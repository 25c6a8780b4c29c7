"""Reports about lines for a shell, words, programs, schedules and expressions: see commands.md."""

from __future__ import annotations

import os

import pytest

from tests.conftest import Rose


@pytest.mark.parametrize("given", [(), ("--max-iter", "3"), ("--set", "max_iter=3")], ids=["file", "option", "set"])
def test_a_schedule_may_go_beyond_the_end(rose: Rose, given: tuple[str, ...]) -> None:
    bound = 50 if given else 3
    rose.write(f"""
        max_iter: {bound}
        tasks: {{training: {{executable: echo}}}}
        stop: {{metric: mse, threshold: 0.1, executable: echo 1, min_iter: 8}}
        learners: [{{training: {{0: {{--lr: 1}}, 40: {{--lr: 2}}}}}}]
    """)
    assert rose("validate", "campaign.yaml").code == 0
    assert rose("run", "campaign.yaml", "--run-dir", "r", *given).code == 0
    assert rose.learners("r")["learner-0"]["iterations_done"] == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("+".join("1" * 200), "200"),
        ("+".join("i" * 34), "0"),
        ("10**300 // 10**298", "100"),
        ("2**1023 // 2**1020", "8"),
    ],
)
def test_a_long_sum_and_a_large_power_are_worked_out(rose: Rose, text: str, value: str) -> None:
    rose.write(f"""
        max_iter: 1
        tasks: {{a: {{executable: echo, adaptive: {{--r: {text}}}}}}}
        learners: 1
    """)
    assert f"echo --r {value}\n" in rose("plan", "campaign.yaml", "--iteration", "0").out


def test_true_in_a_list_is_the_word_of_the_file(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {a: {executable: echo, options: {--mix: [true, 1, false]}}}, learners: 1}")
    assert "echo --mix true 1 false\n" in rose("plan", "campaign.yaml").out


def test_a_dry_run_shows_the_run_that_would_be(rose: Rose) -> None:
    rose.write("{max_iter: 9, tasks: {a: {executable: echo, options: {--n: 1}}}, learners: 1, smoke: {a: {--n: 7}}}")
    shown = rose("run", "campaign.yaml", "--smoke", "--dry-run").out
    commands, _, programs = shown.partition("programs:")
    assert commands.count("echo") == commands.count("echo --n 7") == 1
    assert programs.split()[0] == "echo"


# --- values and shells ---------------------------------------------------------------------------------------------

FOLDERS = [
    "my dir", "a b;touch x", "$(touch x)", "`touch x`", "it's", 'say "x"', "two\nlines", "*", os.fsdecode(b"\xff\xe9"),
]  # fmt: skip


def in_folder(rose: Rose, name: str) -> Rose:
    folder = rose.folder / name
    folder.mkdir()
    inner = Rose(folder)
    inner.script("#!/bin/sh\necho b\necho a\n", "prepare")
    return inner


@pytest.mark.parametrize("name", FOLDERS, ids=ascii)
def test_a_line_for_a_shell_runs_in_every_folder(rose: Rose, name: str) -> None:
    inner = in_folder(rose, name)
    inner.write("""
        max_iter: 1
        tasks:
          bare: {executable: "{campaign_dir}/prepare | sort > out-{iteration}.txt", shell: true}
          single: {executable: "'{campaign_dir}/prepare' >> out-0.txt", shell: true}
          double: {executable: "\\"{campaign_dir}/prepare\\" >> {workspace}/out-0.txt", shell: true}
          inner: {executable: "X=$(\\"{campaign_dir}/prepare\\") && echo $X >> out-0.txt", shell: true}
          words: {executable: "printf '%s.' {campaign_dir} x{learner} >> out-0.txt", shell: true}
        learners: [{name: "l';touch x"}]
    """)
    assert inner("validate", "campaign.yaml").out.count("error") == 0
    called = inner("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 0, called.out + called.err
    (workspace,) = inner.folder.glob("r/learners/*/workspace")
    printed = (workspace / "out-0.txt").read_bytes()
    assert printed == b"a\nb\n" + b"b\na\n" * 2 + b"b a\n" + os.fsencode(f"{inner.folder}.xl';touch x.")
    assert list(rose.folder.rglob("x")) == []


def test_code_that_rose_hands_to_a_shell_is_quoted_too(rose: Rose) -> None:
    inner = in_folder(rose, "a b;touch x")
    inner.write("""
        max_iter: 1
        tasks:
          a: {executable: [sh, -c, "cd {campaign_dir} && ./prepare > {workspace}/out.txt"]}
          b: {executable: [bash, -o, pipefail, -c, "{campaign_dir}/prepare | sort >> out.txt"]}
          c: {executable: "sh -c '\\"{campaign_dir}/prepare\\" >> out.txt'"}
        learners: 1
    """)
    assert "no errors" in inner("validate", "campaign.yaml").out
    assert inner("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert (inner.folder / "r/learners/learner-0/workspace/out.txt").read_text() == "b\na\na\nb\nb\na\n"
    assert list(rose.folder.rglob("x")) == []


@pytest.mark.parametrize(
    "command",
    [
        "{executable: \"sh -c 'cd {campaign_dir} && ls'\", shell: true}",
        "{executable: 'eval \"ls {campaign_dir}\"', shell: true}",
        "{executable: [python3, -c, \"print('{campaign_dir}')\"]}",
    ],
)
def test_code_for_another_shell_is_refused_in_a_hostile_folder(rose: Rose, command: str) -> None:
    text = f"{{max_iter: 1, tasks: {{a: {command}}}, learners: 1}}"
    for name, code, said in (
        ("a", 0, "warning[doubtful-placeholder]"),
        ("a;touch x", 2, "error[doubtful-placeholder]"),
    ):
        inner = in_folder(rose, name)
        inner.write(text)
        validated = inner("validate", "campaign.yaml")
        assert (validated.code, said in validated.out) == (code, True)
        assert "ROSE_CAMPAIGN_DIR" in validated.out
        assert inner("run", "campaign.yaml").code == code
    assert list(rose.folder.rglob("x")) == []


def test_options_reach_the_last_command_of_a_line(rose: Rose) -> None:
    rose.write("""
        max_iter: 1
        tasks:
          a:
            executable: |
              true
              echo
            shell: true
            options: {--n: 5}
        learners: 1
    """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert (rose.folder / "r/learners/learner-0/logs/0/a.1.out").read_text() == "--n 5\n"
    for line in ("echo # note", "cat <<E\\nE", "sleep 1 &"):
        rose.write(
            f'{{max_iter: 1, tasks: {{a: {{executable: "{line}", shell: true}}}}, learners: [{{a: {{--n: 1}}}}]}}'
        )
        called = rose("validate", "campaign.yaml")
        assert (called.code, "error[lost-arguments]" in called.out) == (2, True)


# --- words and programs --------------------------------------------------------------------------------------------


def test_words_that_happen_to_be_files_stay_as_they_are(rose: Rose) -> None:
    rose.script('#!/bin/sh\necho "$@"\n', "run.sh")
    for name in ("train", "water", "0.5"):
        rose.write("print('script')\n", name)
    rose.write("""
        max_iter: 1
        tasks:
          a: {executable: ./run.sh --mode train --system water --lr 0.5}
          b: {executable: "{python} train train"}
          c: {executable: ./run.sh ./train}
        learners: 1
    """)
    called = rose("validate", "campaign.yaml")
    assert (called.code, called.out.count("warning[bare-word]")) == (0, 2)
    assert "'train', 'water', '0.5' are passed literally" in called.out
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    logs = rose.folder / "r/learners/learner-0/logs/0"
    printed = [(logs / f"{task}.1.out").read_text() for task in "abc"]
    assert printed == ["--mode train --system water --lr 0.5\n", "script\n", f"{rose.folder}/train\n"]


def test_a_program_of_a_bare_name_comes_from_path(rose: Rose) -> None:
    rose.script("#!/bin/sh\necho mine\n", "echo")
    rose.script("#!/bin/sh\necho mine\n", "only-here")
    rose.script("#!/bin/sh\necho mine\n", "script.sh")
    text = "{{max_iter: 1, tasks: {{a: {{executable: {}}}}}, learners: 1}}"
    for executable, printed in (("echo hello", "hello\n"), ("./echo hello", "mine\n"), ("script.sh", "mine\n")):
        rose.write(text.format(executable))
        assert rose("run", "campaign.yaml", "--run-dir", f"r-{executable[:3]}-{printed[:2]}".replace("/", "")).code == 0
        (log,) = rose.folder.glob(f"r-{executable[:3].replace('/', '')}-{printed[:2]}/learners/*/logs/0/a.1.out")
        assert log.read_text() == printed
    rose.write(text.format("only-here"))
    called = rose("validate", "campaign.yaml")
    assert called.code == 2
    assert "help: write ./only-here for the file there" in called.out


def test_a_line_with_a_launcher_runs_once(rose: Rose) -> None:
    bin_ = rose.folder / "bin"
    bin_.mkdir()
    rose.script('#!/bin/sh\nshift 2\n"$@"; "$@"\n', "bin/mpiexec")
    rose.write("""
        max_iter: 1
        engine: {kind: local, cores: 2}
        tasks:
          a: {executable: "mpiexec -n 2 echo x", shell: true, ranks: 2}
          b: {executable: "echo x", shell: true, ranks: 2}
          c: {executable: "echo x", ranks: 2}
        learners: 1
    """)
    path = f"{bin_}:{os.environ['PATH']}"
    assert rose("validate", "campaign.yaml", PATH=path).out.count("warning[no-launcher]") == 1
    assert rose("run", "campaign.yaml", "--run-dir", "r", PATH=path).code == 0
    logs = rose.folder / "r/learners/learner-0/logs/0"
    assert [(logs / f"{task}.1.out").read_text() for task in "abc"] == ["x\nx\n", "x\n", "x\nx\n"]


def test_a_program_is_looked_for_on_the_path_that_the_task_will_have(rose: Rose) -> None:
    (rose.folder / "bin").mkdir()
    rose.script("#!/bin/sh\necho hi\n", "bin/hello")
    text = '{{max_iter: 1, tasks: {{a: {{executable: hello, env: {{PATH: "{}"}}}}}}, learners: [{{name: bin}}]}}'
    for path in ("{campaign_dir}/bin:/usr/bin:/bin", "/nowhere:{campaign_dir}/{learner}:/usr/bin:/bin"):
        rose.write(text.format(path))
        assert rose("validate", "campaign.yaml").code == 0
        assert rose("run", "campaign.yaml").code == 0
    for path in ("{campaign_dir}/nowhere:/usr/bin", "/usr/bin:$PATH"):
        rose.write(text.format(path))
        assert rose("validate", "campaign.yaml").code == 2
