"""The plan on a page, as a user sees it."""

from __future__ import annotations

import os
from textwrap import dedent
from typing import TYPE_CHECKING

from rose_cli.campaign_file import check_campaign
from rose_cli.engine.base import Capacity
from rose_cli.plan.overview import Setting, overview
from rose_cli.plan.totals import totals
from rose_cli.view.overview import overview_lines
from rose_cli.view.settings import value_text
from rose_cli.view.wording import TIMES

if TYPE_CHECKING:
    from pathlib import Path

CAPACITY = Capacity(cores=8, memory_mb=16_000)


def golden(text: str) -> str:
    return dedent(text).strip("\n")


def page(folder: Path, text: str, width: int = 80) -> str:
    file = folder / "campaign.yaml"
    file.write_text(dedent(text), encoding="utf-8")
    plan = check_campaign(file, {"PATH": os.environ["PATH"]}).good_plan
    return "\n".join(overview_lines(plan, overview(plan), CAPACITY, width))


MIXED = """
    name: mixed
    max_iter: 10
    engine: {kind: local, cores: 1}
    limits: {output: null}
    tasks:
      simulation: {executable: echo sim, options: {--mesh: fine}}
      training: {executable: echo train}
      active_learn: {executable: echo learn}
    stop: {metric: mse, threshold: 0.1, executable: echo 1}
    learners:
      - {name: static, simulation: {--n: 300}}
      - {name: checkpoints, simulation: {0: {--n: 100}, 3: {--n: 200}, -1: {--n: 150}}}
      - name: adaptive
        simulation: {adaptive: {--n: 100 + i*50}}
        training: {adaptive: {--lr: 0.01 * 0.9**i, --bs: "min(64, 32 + i*4)"}}
      - {name: measured, training: {adaptive: {--lr: "0.1 if i == 0 else metric / 4", --c: 2 * 3}}}
    """


EVERYTHING = """
    name: everything
    max_iter: 40
    engine: {kind: local, cores: 1}
    env: {MESH: fine, HF_TOKEN: "0123456789abcdef"}
    pre_exec: ["module load gcc || true"]
    retries: {times: 2, pause: 10s}
    limits: {max_parallel_learners: 2, wall_time: 11h30m, same_failure: 5, output: 1 GB}
    stop_campaign: {after_converged: 1}
    tasks:
      label: {executable: "echo {replica} {seed}", replicas: 3}
      training:
        executable: "echo 'a b'"
        timeout: 90m
        options: {--lr: 0.10, --hidden: [32, 32], --name: "it's {learner}", --key=: true}
      sh:
        {executable: "for i in 1 2; do echo $i; done; echo", shell: true, args: [--a, "b c"], on_failure: continue,
         snapshot: true}
    stop:
      {metric: own, operator: <=, threshold: 0, executable: echo 1, patience: 5, min_delta: 0.01, min_iter: 3,
       read: {json: a.b}}
    learners:
      - {name: a, seed: 7}
      - name: b with a blank
        seed: 7
        max_iter: 20
        training: {0: {--lr: 0.2}, 5: {options: {--lr: 0.3}, replicas: 2}, 7: {--lr: 0.2}, hold: true}
        env: {MESH: coarse, API_KEY: fedcba9876543210}
      - {name: c, seed: 7, stop: null, training: {--password: hunter2hunter2}}
      - {name: d, seed: 7, stop: {threshold: 5}, sh: {executable: echo other, shell: true}}
    """

MANY = """
    max_iter: 1000000
    engine: {kind: local, cores: 1}
    limits: {output: null}
    tasks: {s: {executable: echo s, options: {--n: "{iteration}"}}}
    learners: [LEARNERS]
    """.replace("LEARNERS", ", ".join(f"{{name: l{n}, s: {{--m: {n if n < 40 else 7}}}}}" for n in range(5000)))

UNBOUNDED = """
    name: unbounded
    engine: {kind: local, cores: 1}
    limits: {output: null}
    tasks: {s: {executable: echo s}}
    stop: {metric: own, operator: ">", patience: 3, executable: echo 1}
    learners:
      - {name: a, s: {5: {--n: 1}, 8: {--n: 2}, hold: true}}
      - {name: b, s: {adaptive: {--n: 2 * i}}}
    """

ALIKE = """
    name: alike
    max_iter: 2
    engine: {kind: local, cores: 1}
    limits: {output: null}
    tasks: {s: {executable: echo s, adaptive: {--n: i}}}
    learners: 3
    """


def test_every_kind_of_options_in_80_columns(tmp_path: Path) -> None:
    assert page(tmp_path, MIXED, 80) == golden("""
        mixed: 4 learners, at most 10 iterations each, engine local
          at most 160 commands, up to 4 at a time on 8 cores
          each stops at mse < 0.1
          seeds: static 692843854, checkpoints 1395237443, adaptive 1159057297,
                 measured 752545091

        each iteration:
          simulation     echo sim --mesh fine [--n …]
          training       echo train [--lr …] [--bs …] [--c …]
          active_learn   echo learn
          criterion      echo 1

                                   simulation    training
          learner      iterations  --n           --lr
          static       0-9         300           -
          checkpoints  0           100           -
                       3           200           -
                       1-2, 4-9    150           -
          adaptive     0-9         = 100 + i*50  = 0.01 * 0.9**i
                         i = 0     100           0.01
                         i = 1     150           ~0.009
                         i = 2     200           ~0.0081
                         i = 9     550           ~0.003874
          measured     0-9         -             = 0.1 if i == 0 else metric / 4
                         i = 0                   0.1

                                   training
          learner      iterations  --bs                 --c
          adaptive     0-9         = min(64, 32 + i*4)  -
                         i = 0     32
                         i = 1     36
                         i = 2     40
                         i = 9     64
          measured     0-9         -                    6
          static                   -                    -
          checkpoints
          (=: an expression; ~: rounded; -: not set)
        """)


def test_every_kind_of_options_in_120_columns(tmp_path: Path) -> None:
    assert page(tmp_path, MIXED, 120) == golden("""
        mixed: 4 learners, at most 10 iterations each, engine local
          at most 160 commands, up to 4 at a time on 8 cores
          each stops at mse < 0.1
          seeds: static 692843854, checkpoints 1395237443, adaptive 1159057297, measured 752545091

        each iteration:
          simulation     echo sim --mesh fine [--n …]
          training       echo train [--lr …] [--bs …] [--c …]
          active_learn   echo learn
          criterion      echo 1

                                   simulation    training
          learner      iterations  --n           --lr                             --bs                 --c
          static       0-9         300           -                                -                    -
          checkpoints  0           100           -                                -                    -
                       3           200           -                                -                    -
                       1-2, 4-9    150           -                                -                    -
          adaptive     0-9         = 100 + i*50  = 0.01 * 0.9**i                  = min(64, 32 + i*4)  -
                         i = 0     100           0.01                             32
                         i = 1     150           ~0.009                           36
                         i = 2     200           ~0.0081                          40
                         i = 9     550           ~0.003874                        64
          measured     0-9         -             = 0.1 if i == 0 else metric / 4  -                    6
                         i = 0                   0.1
          (=: an expression; ~: rounded; -: not set)
        """)


def test_what_else_belongs_to_tasks_and_learners(tmp_path: Path) -> None:
    assert page(tmp_path, EVERYTHING, 100).replace(TIMES, "{times}") == golden("""
        everything: 4 learners, at most 40 iterations, some fewer, engine local
          at most 802 commands (2,406 with every retry), up to 6 at a time on 8 cores
          each stops with patience 5, min_delta 0.01, min_iter 3, read: json a.b (not c: no criterion)
          the campaign stops when 1 learner has met the criterion
          limits: max_parallel_learners 2, wall_time 11h30m, same_failure 5, output 1 GB
          seed 7 for all

        each iteration:
          (every task: retries 2 after 10s)
          label {times}3       echo {replica} {seed}
          training       echo 'a b' --hidden 32 32 --name 'it'"'"'s {learner}' --key=true --lr … [--password …]
                         (timeout 1h30m)
          sh             … --a 'b c'
                         (on_failure continue, snapshot before each attempt)
          criterion      echo 1

                                                    every task            training
          learner         iterations  stops at      $MESH   $API_KEY  --lr  replicas  --password
          a               0-39        own <= 0      fine    -         0.10  1         -
          b with a blank  5-6         own <= 0      coarse  ********  0.3   2         -
                          0-4, 7-19   own <= 0      coarse  ********  0.2   1         -
          c               0-39        no criterion  fine    -         0.10  1         ********
          d               0-39        own <= 5      fine    -         0.10  1         -

                                      sh
          learner         iterations  command
          a               0-39        /bin/sh -c 'for i in 1 2; do echo $i; done; echo'
          b with a blank  0-19        /bin/sh -c 'for i in 1 2; do echo $i; done; echo'
          c               0-39        /bin/sh -c 'for i in 1 2; do echo $i; done; echo'
          d               0-39        /bin/sh -c 'echo other'
          (-: not set)
        """)


def test_learners_without_an_end(tmp_path: Path) -> None:
    assert page(tmp_path, UNBOUNDED, 80) == golden("""
        unbounded: 2 learners, no max_iter, engine local
          no bound on the number of commands (no max_iter), up to 2 at a time on 8 cores
          each stops by own, patience 3
          seeds: a 1324999421, b 1880148350

        each iteration:
          s              echo s [--n …]
          criterion      echo 1

                               s
          learner  iterations  --n
          a        0-4         -
                   5-7         1
                   8+          2
          b        0+          = 2 * i
                     i = 0     0
                     i = 1     2
                     i = 2     4
          (=: an expression; -: not set)
        """)


def test_learners_that_differ_in_nothing_but_their_seeds(tmp_path: Path) -> None:
    assert page(tmp_path, ALIKE, 80) == golden("""
        alike: 3 learners, at most 2 iterations each, engine local
          at most 6 commands, up to 3 at a time on 8 cores
          no criterion
          seeds: learner-0 842776430, learner-1 2021144396, learner-2 419264986

        each iteration:
          s              echo s --n …

                                     s
          learner        iterations  --n
          every learner  0-1         = i
                           i = 0     0
                           i = 1     1
          (=: an expression)
        """)


def test_thousands_of_learners_and_a_million_iterations_have_a_bound(tmp_path: Path) -> None:
    lines = page(tmp_path, MANY).splitlines()
    assert lines[0] == "campaign: 5,000 learners, at most 1,000,000 iterations each, engine local"
    assert lines[1] == "  at most 5,000,000,000 commands, up to 8 at a time on 8 cores"
    assert "  and 4,959 more" in lines, "those with the same plan"
    assert lines[-1] == "  and 10 more learners: `--learner NAME` shows one of them, `--full` all"
    assert len(lines) < 50


def test_many_sets_of_iterations_have_a_bound(tmp_path: Path) -> None:
    keys = ", ".join(f"{n}: {{--n: {n}}}" for n in range(0, 6000, 10))
    lines = page(
        tmp_path, f"{{max_iter: 1000000, tasks: {{s: {{executable: echo}}}}, learners: [{{s: {{{keys}}}}}]}}"
    ).splitlines()
    assert [line.split() for line in lines[-3:-1]] == [["588", "more"], ["all", "others", "-"]]
    assert max(map(len, lines)) < 80


def test_the_range_of_a_metric_is_shown_if_it_is_another_one(tmp_path: Path) -> None:
    stop = "stop: {metric: accuracy, threshold: 0.9, executable: echo 1, range: RANGE}\n"
    text = f"max_iter: 3\ntasks: {{a: {{executable: echo}}}}\n{stop}learners: 1\n"
    for given, shown in {"[0, 1]": "", "[0, null]": ", range 0 to any", "[-1, 2.5]": ", range -1 to 2.5"}.items():
        assert f"  stops at accuracy >= 0.9{shown}" in page(tmp_path, text.replace("RANGE", given)).splitlines()


def test_facts_break_between_words_in_a_narrow_window(tmp_path: Path) -> None:
    lines = page(tmp_path, EVERYTHING, 50).splitlines()
    head = lines[: lines.index("each iteration:")]
    assert head[0:2] == ["everything: 4 learners, at most 40 iterations,", "  some fewer, engine local"]
    assert max(map(len, head)) <= 50
    assert any(line.endswith(" output 1 GB") for line in head)


def test_what_a_task_holds_is_counted_in_its_units() -> None:
    held = {"ranks": 4, "cores": 1, "gpus": 2, "mem": 16384, "timeout": 5400.0, "retries": (2, 0.5)}
    assert [value_text(Setting("t", kind), value, noun=True) for kind, value in held.items()] == [
        "4 ranks", "1 core", "2 GPUs", "16 GB", "timeout 1h30m", "retries 2 after 0.5s",
    ]  # fmt: skip
    assert [value_text(Setting("t", "mem"), value) for value in (512, 1536, 2**20)] == ["512 MB", "1536 MB", "1 TB"]


def test_a_relative_min_delta_is_shown_as_it_was_written(tmp_path: Path) -> None:
    stop = "stop: {metric: mse, threshold: 0.1, executable: echo 1, patience: 5, min_delta: 0.5%}\n"
    text = f"max_iter: 3\ntasks: {{a: {{executable: echo}}}}\n{stop}learners: [{{}}, {{stop: {{min_delta: 2%}}}}]\n"
    assert "  learner    iterations  min_delta\n  learner-0  0-2         0.5%\n  learner-1  0-2         2%" in page(
        tmp_path, text
    )
    alike = text.replace(", {stop: {min_delta: 2%}}", "")
    assert "patience 5, min_delta 0.5%" in page(tmp_path, alike)


def test_a_plateau_has_its_first_value_before_the_run(tmp_path: Path) -> None:
    stop = "stop: {metric: mse, threshold: 0.1, executable: echo 1}\n"
    learners = 'learners: [{a: {adaptive: {--lr: "plateau(0.1, 0.5, 3)"}}}, {}]\n'
    text = f"max_iter: 3\ntasks: {{a: {{executable: echo}}}}\n{stop}{learners}"
    assert "  learner-0  0-2         = plateau(0.1, 0.5, 3)\n               i = 0     0.1\n" in page(tmp_path, text)


DECIDED = """
    name: decided
    max_iter: 3
    env: {MESH: fine}
    setup: {pool: {executable: "echo pool --to {shared}/pool.csv"}}
    tasks:
      label: {executable: "echo {replica}", replicas: result.selected, when: i > 0}
      train: {executable: echo train}
    learners: 1
    """


def test_what_a_result_decides_has_no_bound_and_stands_beside_its_task(tmp_path: Path) -> None:
    lines = page(tmp_path, DECIDED, 120).splitlines()
    why = "label: an expression decides how many replicas"
    assert lines[1] == f"  no bound on the number of commands ({why}), up to 8 at a time on 8 cores"
    at = next(place for place, line in enumerate(lines) if "echo {replica}" in line)
    assert lines[at].split()[:2] == ["label", f"{TIMES}n"]
    assert lines[at + 1].strip() == "(replicas from result.selected, when i > 0)"


def test_without_a_capacity_nothing_bounds_the_replicas_that_a_result_decides(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(dedent(DECIDED), encoding="utf-8")
    plan = check_campaign(file, {"PATH": os.environ["PATH"]}).good_plan
    found = totals(plan, overview(plan), None)
    assert (found.commands, found.attempts, found.at_once, found.undecided) == (None, None, None, ("label",))
    lines = list(overview_lines(plan, overview(plan), None, 120))
    assert lines[1].endswith("decides how many replicas) on the cores")
