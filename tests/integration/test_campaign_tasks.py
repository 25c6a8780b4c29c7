"""The tasks of setup and finish are part of the run wherever its learners are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
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
