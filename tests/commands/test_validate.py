"""`rose validate` as a user calls it: all mistakes at once, each with its place, in three forms."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose

MANY = """\
name: x
max_iter: 10
max_iter: 12
tasks:
  simulation: {executable: python3 sim.py}
  training: {executable: nosuchprog --x}
stop: {metric: mse, threshold: 0, operator: =, executable: echo 1}
learners:
  - name: a
    simulaton: {--n: 1}
    training:
      0: {--a: 1}
      12: {--a: 2}
    simulation: {adaptive: {--n: 100 + i^2, --m: "1 / (i - 3)"}}
engine: {kind: local, cores: 2, gpu: [0]}
limits: {same_failures: 3, wall_time: 11 hours}
"""
FOUND = [
    (3, 1, "duplicate-key"),
    (5, 36, "missing-script"),
    (6, 26, "missing-program"),
    (7, 45, "wrong-value"),
    (10, 5, "unknown-key"),
    (14, 41, "bad-expression"),
    (14, 53, "bad-expression"),
    (15, 33, "unknown-key"),
    (16, 10, "unknown-key"),
    (16, 39, "wrong-type"),
]


def test_all_mistakes_come_at_once_each_with_its_place(rose: Rose) -> None:
    rose.write(MANY)
    called = rose("validate", "campaign.yaml", "--format", "json")
    assert called.code == 2
    errors = [d for d in json.loads(called.out) if d["severity"] == "error"]
    assert [(d["line"], d["column"], d["code"]) for d in errors] == FOUND
    assert all(d["file"] == "campaign.yaml" and d["message"] for d in errors)
    assert all((d["end_line"], d["end_column"]) > (d["line"], d["column"]) for d in errors)


def test_a_person_gets_the_line_a_caret_and_what_to_do(rose: Rose) -> None:
    rose.write(MANY)
    shown = rose("validate", "campaign.yaml").out
    assert "campaign.yaml:10:5: error[unknown-key]: unknown key 'simulaton'" in shown
    assert "10 |     simulaton: {--n: 1}\n   |     ^^^^^^^^^\nhelp: remove it: 'simulation' is already there" in shown
    assert f"{len(FOUND)} errors" in shown


def test_run_says_the_same_and_leaves_no_folder(rose: Rose) -> None:
    rose.write(MANY)
    called = rose("run", "campaign.yaml")
    assert called.code == 2
    assert "unknown key 'simulaton'" in called.err
    assert not (rose.folder / "rose-runs").exists()


def test_github_annotations(rose: Rose) -> None:
    rose.write("max_iter: 1\ntasks: {a: {executable: 'true'}}\nlerners: 1\n")
    (line, *_) = rose("validate", "campaign.yaml", "--format", "github").out.splitlines()
    assert line.startswith("::error file=campaign.yaml,line=3,col=1,")
    assert "lerners" in line


def test_a_good_file(rose: Rose) -> None:
    rose.write("max_iter: 1\ntasks: {a: {executable: 'true'}}\nlearners: 1\n")
    assert rose("validate", "campaign.yaml").code == 0
    assert rose("validate", "campaign.yaml", "--format", "json").out.strip() == "[]"


def test_a_file_that_is_not_there_does_not_hide_the_mistakes_of_the_others(rose: Rose) -> None:
    rose.write("max_iter: 0\ntasks: {a: {executable: 'true'}}\nlearners: 1\n")
    called = rose("validate", "gone.yaml", "campaign.yaml", "--format", "json")
    assert called.code == 2
    gone, wrong = json.loads(called.out)
    assert (gone["file"], gone["code"], gone["line"]) == ("gone.yaml", "cannot-read", None)
    assert (wrong["file"], wrong["code"], wrong["line"]) == ("campaign.yaml", "out-of-range", 1)


def test_a_value_of_the_command_line_is_named_as_the_place(rose: Rose) -> None:
    rose.write("max_iter: 1\ntasks: {a: {executable: 'true'}}\nlearners: 1\n")
    called = rose("run", "campaign.yaml", "--max-iter", "many", "--set", "limits.wall_time=soon")
    assert called.code == 2
    assert "--max-iter many" in called.err
    assert "--set limits.wall_time=soon" in called.err


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [" + "*a, " * 5 + "]",
        "a: " + "[" * 100_000,
        "x: !!python/object/apply:os.system ['touch pwned']",
        "max_iter: " + "9" * 5000,
        "a: &x [lol]\nb: &y [*x, *x]\n" + "".join(f"c{n}: &z{n} [*y, *y]\n" for n in range(30)),
        "tasks: {a: {executable: 'true', adaptive: {--x: 9**9**9}}}\nmax_iter: 1\nlearners: 1\n",
        "tasks: {a: {executable: 'true', adaptive: {--x: \"().__class__.__bases__[0]\"}}}\nmax_iter: 1\nlearners: 1\n",
        "tasks: {a: {executable: 'true', adaptive: {--x: " + "(" * 10_000 + "}}}\nmax_iter: 1\nlearners: 1\n",
    ],
    ids=["recursive alias", "deep", "tag", "long number", "bomb", "powers", "attributes", "brackets"],
)
def test_hostile_files_end_in_a_diagnostic_and_execute_nothing(rose: Rose, text: str) -> None:
    rose.write(text)
    called = rose("validate", "campaign.yaml")
    assert called.code == 2
    assert "error[" in called.out
    assert not list(rose.folder.rglob("pwned"))


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_looking_at_a_campaign_starts_nothing_of_it(rose: Rose, command: str) -> None:
    """Neither its programs, nor its lines for a shell, nor its scripts, nor what stands in place of python."""
    rose.script("#!/bin/sh\ntouch ran\n", "python3")
    rose.script("#!/bin/sh\ntouch ran\n", "prog.sh")
    rose.write("open('ran', 'w')\n", "train.py")
    rose.write("""
        max_iter: 1
        learners: 1
        tasks:
          a: {executable: ./prog.sh, pre_exec: touch ran}
          b: {executable: "touch ran; $(touch ran)", shell: true}
          c: {executable: python3 train.py}
          d: {executable: "{python} train.py"}
        stop: {metric: mse, threshold: 1, executable: ./prog.sh, pre_exec: ". ./prog.sh"}
    """)
    called = rose(command, "campaign.yaml", PATH=f"{rose.folder}:{os.environ['PATH']}")
    assert called.code == 0, called.err
    assert not list(rose.folder.rglob("ran"))


def test_where_only_python3_is_there_the_hint_names_it(rose: Rose) -> None:
    (rose.folder / "bin").mkdir()
    rose.script("#!/bin/sh\n", "bin/python3")
    rose.write('{max_iter: 1, tasks: {a: {executable: python -V, env: {PATH: "{campaign_dir}/bin"}}}, learners: 1}')
    said = rose("validate", "campaign.yaml").out
    assert "there is no program 'python'" in said
    assert "help: write python3, or {python} for the interpreter that runs rose" in said


def test_a_warning_that_a_comment_allows_is_shown_nowhere(rose: Rose) -> None:
    text = "max_iter: 3\ntasks: {a: {executable: 'true', options: {n: 5}}}\nlearners: 1\n"
    rose.write(text)
    assert "campaign.yaml:2:43: warning[no-dashes]: 'n' has no dashes" in rose("validate", "campaign.yaml").out
    rose.write(f"# rose: allow no-dashes (as this program takes it)\n{text}")
    assert rose("validate", "campaign.yaml").out == "✓ no errors in campaign.yaml\n"
    assert json.loads(rose("validate", "campaign.yaml", "--format", "json").out) == []
    assert rose("validate", "campaign.yaml", "--format", "github").out == ""
    assert "warning" not in rose("run", "campaign.yaml").err


@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_directory_names_the_campaign_files_in_it(rose: Rose, command: str) -> None:
    text = "max_iter: 1\ntasks: {a: {executable: 'true'}}\nlearners: 1\n"
    for name in ("b.yaml", "a b.yml"):
        (rose.folder / name).write_text(text, encoding="utf-8")
    (rose.folder / "other.yaml").write_text("x: 1\n", encoding="utf-8")
    (rose.folder / "pipe.yaml").mkdir()
    called = rose(command, ".")
    assert called.code == 2
    assert "cannot read '.': it is a directory" in called.out + called.err
    assert "help: name a campaign file in it: 'a b.yml', b.yaml\n" in called.out + called.err
    assert "there is no campaign file in it" in (called := rose(command, "pipe.yaml")).out + called.err


LONG_PATIENCE = """\
max_iter: 9
tasks: {a: {executable: 'true'}}
stop: {metric: mse, patience: 5, executable: echo 1}
learners: 1
"""


def test_values_from_the_command_line_are_validated_too(rose: Rose) -> None:
    rose.write(LONG_PATIENCE)
    assert rose("validate", "campaign.yaml").out == "✓ no errors in campaign.yaml\n"
    shown = rose("validate", "campaign.yaml", "--set", "max_iter=2", "--set", "tasks.a.options.--n=8 8")
    assert shown.code == 0
    assert (
        shown.out
        == """\
campaign.yaml:3:31: warning[patience-too-long]: a patience of 5 never stops a learner before max_iter 2 does
  |
3 | stop: {metric: mse, patience: 5, executable: echo 1}
  |                               ^
help: lower it, or remove it

--set tasks.a.options.--n=8 8: warning[one-argument]: '8 8' is passed as one argument that contains a space
 |
 | --set tasks.a.options.--n=8 8
 |                           ^^^
help: for two arguments write [8, 8]; for one, put it in quotes

2 warnings in campaign.yaml
"""
    )
    refused = rose("validate", "campaign.yaml", "--set", "max_iters=2", "--format", "json")
    assert refused.code == 2
    (error,) = json.loads(refused.out)
    assert (error["file"], error["code"]) == ("--set max_iters=2", "unknown-key")
    assert error["hint"] == "did you mean 'max_iter'?"


def test_a_smoke_run_shows_the_warnings_of_its_values_but_not_that_it_is_short(rose: Rose) -> None:
    rose.write(LONG_PATIENCE)
    called = rose("run", "campaign.yaml", "--smoke", "--max-iter", "2", "--set", "tasks.a.options.--n=8 8")
    assert called.code == 0
    assert called.err.startswith(
        "warning[one-argument]: --set tasks.a.options.--n=8 8: '8 8' is passed as one argument"
    )
    assert called.err.count("warning") == 1


def test_in_a_job_the_hint_names_what_the_job_lacks(rose: Rose) -> None:
    rose.write(
        "{max_iter: 1, learners: 1, tasks: {s: {executable: 'true', mem_per_rank: 1 GB, cores_per_rank: 100000}}}"
    )
    job = {"SLURM_JOB_ID": "3", "SLURMD_NODENAME": "n1", "SLURM_CPUS_ON_NODE": "1", "SLURM_MEM_PER_CPU": "100"}
    called = rose("validate", "campaign.yaml", **job)
    assert "help: request less, or submit the job with more memory: SLURM_MEM_PER_CPU leaves 100 here\n" in called.out
    more_cores = "submit the job with more cores: SLURM_CPUS_ON_NODE leaves 1 here"
    assert f"help: request at most 1, or {more_cores}\n" in called.out
    assert "submit the job" not in rose("validate", "campaign.yaml").out
