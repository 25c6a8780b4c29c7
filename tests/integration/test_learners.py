"""Learners side by side: independent workspaces, shared slots, and what a task is given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Rose


def test_each_learner_has_its_own_workspace_with_its_files(rose: Rose) -> None:
    (rose.folder / "data").mkdir()
    (rose.folder / "data/pool.csv").write_text("1,2\n")
    (rose.folder / "start.txt").write_text("from the campaign\n")
    rose.write(
        """
        max_iter: 2
        files: [data/pool.csv, {path: start.txt, copy: true}]
        tasks:
          simulation: {executable: "sh -c 'cat data/pool.csv; echo $ROSE_LEARNER >> start.txt; cat start.txt > seen'"}
        learners: [{name: a}, {name: b, files: [{path: start.txt, to: extra/own.txt}]}]
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    for name in ("a", "b"):
        workspace = rose.folder / f"r/learners/{name}/workspace"
        assert (workspace / "seen").read_text() == f"from the campaign\n{name}\n{name}\n"
        assert (workspace / "data/pool.csv").is_symlink()
    assert (rose.folder / "r/learners/b/workspace/extra/own.txt").read_text() == "from the campaign\n"
    assert (rose.folder / "start.txt").read_text() == "from the campaign\n"


def test_no_more_tasks_run_at_once_than_there_are_cores_and_none_starves(rose: Rose) -> None:
    rose.script(
        """\
        #!/bin/sh
        # counts how many run at this moment by the folders that they hold
        mkdir "$ROSE_CAMPAIGN_DIR/busy/$ROSE_LEARNER"
        ls "$ROSE_CAMPAIGN_DIR/busy" | wc -l >> "$ROSE_CAMPAIGN_DIR/counts"
        rmdir "$ROSE_CAMPAIGN_DIR/busy/$ROSE_LEARNER"
        echo "$ROSE_LEARNER $ROSE_ITERATION" >> "$ROSE_CAMPAIGN_DIR/order"
        """,
        "sim.sh",
    )
    (rose.folder / "busy").mkdir()
    rose.write("{engine: {kind: local, cores: 2}, max_iter: 3, tasks: {s: {executable: ./sim.sh}}, learners: 64}")
    called = rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    assert called.code == 0, called.err
    counts = [int(line) for line in (rose.folder / "counts").read_text().split()]
    assert len(counts) == 64 * 3
    assert max(counts) <= 2
    order = (rose.folder / "order").read_text().splitlines()
    last_first_step = max(position for position, line in enumerate(order) if line.endswith(" 0"))
    assert last_first_step < 64 + 8, "a learner's first step waited behind second steps of others"


def test_gpus_are_shared_out_by_id(rose: Rose) -> None:
    rose.write(
        """
        engine: {kind: local, cores: 4, gpus: [3, 5]}
        max_iter: 5
        tasks:
          training: {executable: "sh -c 'echo $CUDA_VISIBLE_DEVICES'", gpus_per_rank: 1}
          plain: {executable: "sh -c 'echo [$CUDA_VISIBLE_DEVICES]'"}
        learners: 4
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    logs = rose.folder / "r/learners"
    assert {path.read_text() for path in logs.glob("*/logs/*/training.1.out")} == {"3\n", "5\n"}
    assert {path.read_text() for path in logs.glob("*/logs/*/plain.1.out")} == {"[]\n"}


def test_what_a_task_is_given_and_may_report(rose: Rose) -> None:
    rose.script("""#!/bin/sh\necho '{"from_file": 1}' > $ROSE_RESULT; echo '{"ignored": 2}'\n""", "two.sh")
    rose.script("""#!/bin/sh\necho words; echo '{"labeled_count": 42, "loss": 0.5}'\n""", "three.sh")
    rose.write(
        """
        name: mine
        max_iter: 1
        seed: 7
        env: {A: campaign, B: campaign, C: "{learner}"}
        tasks:
          one: {executable: env, env: {B: task}}
          two: {executable: ./two.sh}
          three: {executable: ./three.sh}
        learners: [{name: x, env: {D: learner}}]
        """
    )
    called = rose("run", "campaign.yaml", "--run-dir", "r", HOME_OF_MINE="inherited")
    assert called.code == 0, called.out
    printed = (rose.folder / "r/learners/x/logs/0/one.1.out").read_text().splitlines()
    given = dict(line.split("=", 1) for line in printed if "=" in line)
    assert {name: given[name] for name in "ABCD"} == {"A": "campaign", "B": "task", "C": "x", "D": "learner"}
    assert given["HOME_OF_MINE"] == "inherited"
    workspace = str(rose.folder / "r/learners/x/workspace")
    assert given["PWD"] == given["ROSE_WORKSPACE"] == workspace
    expected = {
        "ROSE_CAMPAIGN": "mine",
        "ROSE_LEARNER": "x",
        "ROSE_LEARNER_INDEX": "0",
        "ROSE_ITERATION": "0",
        "ROSE_TASK": "one",
        "ROSE_ATTEMPT": "1",
        "ROSE_REPLICA": "0",
        "ROSE_CAMPAIGN_DIR": str(rose.folder),
    }
    assert {name: given[name] for name in expected} == expected
    assert given["ROSE_SEED"].isdigit()
    (row,) = [json.loads(line) for line in rose("export", "r", "--format", "jsonl").out.splitlines()]
    reported = {name: value for name, value in row.items() if name.startswith("result.")}
    assert reported == {"result.from_file": 1, "result.labeled_count": 42, "result.loss": 0.5}
    assert rose.learners("r")["x"]["result"] == {"from_file": 1, "labeled_count": 42, "loss": 0.5}
    assert "x: from_file 1, labeled_count 42, loss 0.5" in rose("status", "r").out


def test_null_leaves_what_the_terminal_has(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 1
        tasks: {t: {executable: "sh -c 'echo ${{PLACE-unset}} [${{EMPTY-unset}}]'", env: {PLACE: null, EMPTY: ""}}}
        learners: [{name: a}]
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r", PLACE="here", EMPTY="here").code == 0
    assert (rose.folder / "r/learners/a/logs/0/t.1.out").read_text() == "here []\n"


def test_the_later_of_two_reports_counts_and_what_is_no_object_is_none(rose: Rose) -> None:
    lines = {"one": '{"x": 1, "y": 1}', "two": '{"x": 2}', "list": "[1]", "words": "done", "half": '{"z": 1'}
    for name, line in lines.items():
        rose.script(f"#!/bin/sh\necho '{line}'\n", name)
    tasks = ", ".join(f"{name}: {{executable: ./{name}}}" for name in lines)
    rose.write(f"{{max_iter: 1, tasks: {{{tasks}}}, learners: [{{name: a}}]}}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert rose.learners("r")["a"]["result"] == {"x": 2, "y": 1}


def test_replicas_run_at_once_and_the_step_ends_when_all_have(rose: Rose) -> None:
    rose.write(
        """
        engine: {kind: local, cores: 3}
        max_iter: 2
        tasks:
          environment:
            executable: sh -c 'echo {replica} $ROSE_REPLICA > rollout.{replica}'
            replicas: 3
          update: {executable: "sh -c 'cat rollout.0 rollout.1 rollout.2'"}
        learners: 1
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert (rose.folder / "r/learners/learner-0/logs/1/update.1.out").read_text() == "0 0\n1 1\n2 2\n"
    started = [e for e in rose.events("r") if e["event"] == "attempt_started" and e["task"] == "environment"]
    assert sorted(e["replica"] for e in started) == [0, 0, 1, 1, 2, 2]


def test_limits_on_learners_that_are_under_way_at_once(rose: Rose) -> None:
    rose.write(
        """
        engine: {kind: local, cores: 4}
        limits: {max_parallel_learners: 1}
        max_iter: 2
        tasks: {s: {executable: "true"}}
        learners: 3
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    order = [e["learner"] for e in rose.events("r") if e["event"] == "attempt_started"]
    assert order == [f"learner-{index}" for index in (0, 0, 1, 1, 2, 2)]


def test_near_the_wall_time_no_task_starts_that_would_not_finish(rose: Rose) -> None:
    rose.write(
        """
        limits: {wall_time: 6s}
        max_iter: 100
        tasks: {s: {executable: sleep 1.5}}
        learners: 1
        """
    )
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 143
    assert "rose resume" in called.out
    events = rose.events("r")
    assert [e for e in events if e["event"] == "attempt_cancelled"] == []
    assert events[-1]["reason"] == "wall_time"
    assert 1 <= rose.learners("r")["learner-0"]["iterations_done"] <= 3


def test_pre_exec_and_shell_lines(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 1
        pre_exec: ["export FIRST='one $x {learner}'"]
        tasks:
          a: {executable: [sh, -c, "echo $FIRST $SECOND"], pre_exec: export SECOND=two}
          b: {executable: "echo first && echo second | tr a-z A-Z", shell: true}
        learners: 1
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    logs = rose.folder / "r/learners/learner-0/logs/0"
    assert (logs / "a.1.out").read_text() == "one $x {learner} two\n", "braces of pre_exec are the shell's"
    assert (logs / "b.1.out").read_text() == "first\nSECOND\n"


def test_option_values_never_reach_a_shell(rose: Rose) -> None:
    evil = "$(touch pwned); `touch pwned` | x > y"
    rose.write(
        f"""
        max_iter: 1
        tasks: {{a: {{executable: printf %s, args: ['{evil}'], pre_exec: "true"}}}}
        learners: 1
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert (rose.folder / "r/learners/learner-0/logs/0/a.1.out").read_text() == evil
    assert not list(rose.folder.rglob("pwned"))
