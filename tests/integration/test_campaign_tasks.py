"""The tasks of setup and finish are part of the run wherever its learners are."""

from __future__ import annotations

import json
import textwrap

import pytest

from tests.conftest import Rose

SETUP = """
    setup: {pool: {executable: "test ! -e {campaign_dir}/broken", shell: true}}
    tasks: {sim: {executable: "true"}}
    max_iter: 1
    learners: [{name: a}]
    """
FINISH = """
    tasks: {sim: {executable: "true"}}
    finish: {table: {executable: "test ! -e {campaign_dir}/broken", shell: true}}
    max_iter: 1
    learners: [{name: a}]
    """


def run(rose: Rose, text: str, *options: str, code: int = 0) -> None:
    rose.write(text)
    called = rose("run", "campaign.yaml", "--run-dir", "run", "-o", "plain", *options)
    assert called.code == code, called.err + called.out


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        pytest.param(SETUP, SETUP.replace("pool", "prepare"), id="another-setup"),
        pytest.param(FINISH, FINISH.replace("{table", "{gather"), id="another-finish"),
    ],
)
def test_a_run_whose_setup_or_finish_was_renamed_after_a_failure_stays_readable(
    rose: Rose, text: str, edited: str
) -> None:
    (rose.folder / "broken").touch()
    run(rose, text, code=1)
    (rose.folder / "broken").unlink()
    rose.write(edited)
    called = rose("resume", "run")
    assert called.code == 0, called.err
    assert rose.status("run")["status"] == "done"


def test_edits_of_setup_and_finish_are_told_in_their_words(rose: Rose) -> None:
    text = SETUP + "finish: {table: {executable: 'true'}}\n"
    rose.write(text)
    (rose.folder / "broken").touch()
    run(rose, text, code=1)
    rose.write(
        text.replace("shell: true", "shell: true, retries: 2").replace(
            "{table: {executable", "{table: {retries: 1, executable"
        )
    )
    out = rose("resume", "run", "--dry-run").out
    assert "(pool of the campaign)" in out, out
    assert "(table of the campaign)" in out, out
    (rose.folder / "broken").unlink()
    rose.write(text)
    assert rose("resume", "run").code == 0
    rose.write(text.replace("{pool: {", "{pool: {args: [x], "))
    refused = rose("resume", "run", "--max-iter", "2")
    assert "the setup of the campaign ran with" in refused.err, refused.err
    assert "--from-iteration" not in refused.err, "it does not run a setup again"
    rose.write(text.replace("{pool: {", "{pool: {options: {--n: 2}, "))
    refused = rose("resume", "run", "--max-iter", "2")
    assert "adaptive" not in refused.err, refused.err


def test_a_setup_that_has_run_cannot_be_set_but_what_follows_it_can(rose: Rose) -> None:
    text = """
        parameters: {n: 1}
        setup: {pool: {executable: echo, args: ["{n}"], options: {--n: 1}}}
        tasks: {sim: {executable: "echo {n} >> seen", shell: true}}
        max_iter: 1
        learners: [{name: a}]
        """
    run(rose, text)
    refused = rose("set", "run", "pool.--n=2")
    assert refused.code == 2, refused.out
    assert "the setup of the campaign runs once, and has begun" in refused.err
    called = rose("set", "run", "n=5", "max_iter=2")
    assert called.code == 0, called.err
    assert rose("resume", "run").code == 0
    assert (rose.folder / "run/learners/a/workspace/seen").read_text().split() == ["1", "5"]


def test_a_dry_run_shows_the_commands_that_run_next_with_all_that_they_know(rose: Rose) -> None:
    broken = "test ! -e {campaign_dir}/broken"
    report = r"""'{{\"n\": 3, \"names\": [\"x\", \"y\"]}}'"""
    text = f"""
        setup:
          pool: {{executable: "{broken} && echo {report} > $ROSE_RESULT", shell: true}}
        tasks:
          rare: {{executable: "true", when: results.pool.n > 5}}
          label: {{executable: "{broken} && echo {{replica}} {{shared}}", shell: true, replicas: results.pool.names}}
        finish:
          table: {{executable: "{broken}", shell: true}}
        max_iter: 1
        learners: [{{name: a}}]
        """
    (rose.folder / "broken").touch()
    run(rose, text, code=1)
    assert "  campaign: pool\n" in rose("resume", "run", "--dry-run").out
    (rose.folder / "broken").unlink()
    rose.write(text.replace("echo {replica}", "false && echo {replica}"))
    assert rose("resume", "run").code == 1
    shown = rose("resume", "run", "--dry-run").out
    assert "  campaign: pool\n" not in shown
    assert "  a: label\n" in shown, shown
    assert f"x'\"'\"' {rose.folder}/run/campaign/workspace'" in shown


def test_tasks_of_the_campaign_have_whole_rows(rose: Rose) -> None:
    run(rose, FINISH.replace("shell: true", "shell: true, mem_per_rank: 7 MB, replicas: {model: [x, y]}"))
    out = rose("export", "run", "--table", "tasks", "--format", "jsonl").out
    rows = [row for row in map(json.loads, out.splitlines()) if row["task"] == "table"]
    assert [(row["replica_name"], row["memory_mb"], row["gpus"], row["start"]) for row in rows] == [
        ("x", 7, 0, "cold"), ("y", 7, 0, "cold"),
    ]  # fmt: skip
    assert {(row["learner"], row["learner_index"], row["undone"]) for row in rows} == {(None, None, False)}


def test_a_finish_that_starts_over_undoes_what_it_had_done(rose: Rose) -> None:
    text = FINISH.replace("{table:", "{first: {executable: 'true'}, table:")
    (rose.folder / "broken").touch()
    run(rose, text, code=1)
    (rose.folder / "broken").unlink()
    assert rose("resume", "run", "--max-iter", "2").code == 0
    out = rose("export", "run", "--table", "tasks", "--format", "jsonl").out
    rows = [row for row in map(json.loads, out.splitlines()) if row["task"] in ("first", "table")]
    assert [(row["task"], row["undone"]) for row in rows] == [
        ("first", True), ("table", True), ("first", False), ("table", False),
    ]  # fmt: skip


@pytest.mark.parametrize("text", [SETUP, FINISH], ids=["setup", "finish"])
def test_the_campaigns_own_files_move_with_it(rose: Rose, text: str) -> None:
    home = rose.folder / "home"
    home.mkdir()
    (home / "data").touch()
    (home / "campaign.yaml").write_text(textwrap.dedent(text) + "files: [data]\n")
    assert Rose(home)("run", "campaign.yaml", "--run-dir", "run").code == 0
    home.rename(rose.folder / "there")
    there = Rose(rose.folder / "there")
    file = there.folder / "campaign.yaml"
    file.write_text(file.read_text().replace("max_iter: 1", "max_iter: 2"))
    called = there("resume", "run")
    assert called.code == 0, called.err


def test_a_finish_that_was_interrupted_is_not_the_end_that_is_told(rose: Rose) -> None:
    told = "notify: {executable: 'cat > told.json', shell: true, when: [finished, failed, interrupted]}"
    rose.write(FINISH.replace("test ! -e {campaign_dir}/broken", "kill -TERM $PPID; sleep 600") + told)
    rose("run", "campaign.yaml", "--run-dir", "run")
    (found,) = rose.folder.rglob("told.json")
    assert json.loads(found.read_text())["ending"] == "interrupted"
