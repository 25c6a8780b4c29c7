"""Tasks that leave more on the disk than they may: real ones, that print and write without end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Rose

TOO_MUCH_OUTPUT = "wrote more than 1 MB of output (limits.output)"

PRINTING = {
    "endless": "exec yes",
    "to-stderr": "exec yes >&2",
    "to-both": "yes | head -c 600000; yes | head -c 600000 >&2; sleep 1000",
    "log-removed": "rm -r ../logs; exec yes",
    "log-replaced": "rm ../logs/0/s.1.out; echo small > ../logs/0/s.1.out; exec yes",
    "deaf-to-term": "trap '' TERM; yes; yes",
    "in-the-background": "(yes & exec yes) & sleep 1000",
    "sparse": "exec truncate -s 10G /proc/self/fd/1",
    "soon-over": "exec head -c 3000000 /dev/zero",
    "soon-failed": "head -c 3000000 /dev/zero; exit 3",
}
ALLOWED = {"little": "echo hi", "just-so": "exec head -c 1048576 /dev/zero"}


def test_output_beyond_the_bound_ends_the_task_and_nobody_else(rose: Rose) -> None:
    for name, line in {**PRINTING, **ALLOWED}.items():
        rose.script(f"#!/bin/sh\n{line}\n", f"{name}.sh")
    rose.write(
        f"""
        max_iter: 2
        engine: {{kind: local, cores: 16, grace: 0.3}}
        limits: {{output: 1 MB}}
        retries: {{times: 2, pause: 0}}
        tasks: {{s: {{executable: "sh -c 'exec $ROSE_CAMPAIGN_DIR/$ROSE_LEARNER.sh'"}}}}
        learners: [{", ".join(f"{{name: {name}}}" for name in (*PRINTING, *ALLOWED))}]
        """
    )
    called = rose("run", "campaign.yaml", "--run-dir", "r", "--output", "plain")
    assert called.code == 1
    learners = rose.learners("r")
    for name in PRINTING:
        error = learners[name]["error"]
        assert (error["kind"], error["message"]) == ("over_limit", TOO_MUCH_OUTPUT), name
        assert (error["exit_code"], error["attempt"]) == (None, 1), f"{name}: tried again"
    assert all(learners[name]["iterations_done"] == 2 for name in ALLOWED)
    assert f"{TOO_MUCH_OUTPUT}; not retried (log: r/learners/" in called.out
    assert learners["endless"]["error"]["log"] == str(rose.folder / "r/learners/endless/logs/0/s.1.out")
    assert learners["to-stderr"]["error"]["log"] == str(rose.folder / "r/learners/to-stderr/logs/0/s.1.err")
    assert "raise the limit under 'limits' in the campaign file\n" in called.out


FILLING = {
    "many-files": ("mkdir d; cd d; i=0; while :; do i=$((i+1)); : > $i; done", "files"),
    "many-folders": ("i=0; while :; do i=$((i+1)); mkdir $i; done", "files"),
    "many-links": ("mkdir -p .h/i; i=0; while :; do i=$((i+1)); ln -s /etc .h/i/$i; done", "files"),
    "deep": ("exec python3 $ROSE_CAMPAIGN_DIR/deep.py", "files"),
    "soon-over": ("seq 300 | xargs touch", "files"),
    "large": ("head -c 20000000 /dev/urandom > big; exec sleep 1000", "workspace"),
    "replica": ("[ $ROSE_REPLICA = 0 ] || exec sleep 1000; seq 300 | xargs touch", "files"),
}
DEEP = """\
    import os
    for _ in range(400):  # to a path that is longer than any call takes
        os.mkdir("d" * 50)
        os.chdir("d" * 50)
    """
KEPT_WITHIN = {
    "sparse-file": "truncate -s 10G big",
    "one-file-with-many-names": "head -c 3000000 /dev/urandom > a; for i in 1 2 3 4 5; do ln a $i; done",
    "link-to-much": "ln -s /usr/lib lib",
    "removes-them-again": "for n in 1 2 3 4; do seq 100 | xargs touch; seq 100 | xargs rm; done",
}
TOO_MUCH = {
    "files": "its workspace contains more than 200 files (limits.files)",
    "workspace": "its workspace is larger than 5 MB (limits.workspace)",
}


def test_a_workspace_beyond_its_bounds_ends_its_tasks_and_nobody_elses(rose: Rose) -> None:
    lines = {name: line for name, (line, _) in FILLING.items()} | KEPT_WITHIN
    for name, line in lines.items():
        rose.script(f"#!/bin/sh\n{line}\n", f"{name}.sh")
    rose.write(DEEP, "deep.py")
    others = ", ".join(f"{{name: {name}}}" for name in lines if name != "replica")
    rose.write(
        f"""
        max_iter: 1
        engine: {{kind: local, cores: 16, grace: 0.3}}
        limits: {{files: 200, workspace: 5 MB}}
        tasks: {{s: {{executable: "sh -c 'exec $ROSE_CAMPAIGN_DIR/$ROSE_LEARNER.sh'"}}}}
        learners: [{others}, {{name: replica, s: {{replicas: 2}}}}]
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    learners = rose.learners("r")
    for name, (_, which) in FILLING.items():
        error = learners[name]["error"]
        assert (error["kind"], error["message"]) == ("over_limit", TOO_MUCH[which]), name
    assert all(learners[name]["iterations_done"] == 1 for name in KEPT_WITHIN), learners


def test_with_on_failure_continue_the_learner_goes_on_without_the_step(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 2
        limits: {output: 100 KB}
        tasks:
          noisy: {executable: head -c 200000 /dev/zero, on_failure: continue, retries: 3}
          other: {executable: "true"}
        learners: 1
        """
    )
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 0
    assert "wrote more than 100 KB of output" in called.out  # although the learner is done
    names = [event["event"] for event in rose.events("r")]
    assert (names.count("attempt_failed"), names.count("step_given_up")) == (2, 2)


def test_a_session_that_was_killed_before_it_gave_up_does_not_try_again(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 1
        limits: {output: 100 KB}
        tasks: {noisy: {executable: head -c 200000 /dev/zero, retries: 3}}
        learners: 1
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    journal = rose.folder / "r/journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    failed = next(number for number, line in enumerate(lines) if json.loads(line)["event"] == "attempt_failed")
    journal.write_text("".join(lines[: failed + 1]))
    assert rose("resume", "r").code == 1
    assert [event["event"] for event in rose.events("r")].count("attempt_started") == 1
    assert rose("resume", "r").code == 1  # whoever asks for it again gets it
    assert [event["event"] for event in rose.events("r")].count("attempt_started") == 2


def test_by_default_ten_gigabytes_are_too_much_and_null_is_any_amount(rose: Rose) -> None:
    text = 'max_iter: 1\ntasks: {s: {executable: "truncate -s 11G /proc/self/fd/1"}}\nlearners: 1\n'
    rose.write(text)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    assert rose.learners("r")["learner-0"]["error"]["message"] == "wrote more than 10 GB of output (limits.output)"
    rose.write(f"{text}limits: {{output: null}}\n")
    assert rose("run", "campaign.yaml", "--run-dir", "any").code == 0
