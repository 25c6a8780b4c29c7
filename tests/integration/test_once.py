"""Tasks that run once per learner or once per campaign, and parameters, as a user sees them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose

LOG = "sh -c 'echo {0} {{learner}} {{iteration}} >> {{shared}}/log.txt'"
CAMPAIGN = f"""
    parameters: {{n_start: 5, rate: 0.10}}
    setup:
      pool: {{executable: "sh -c 'test ! -e ../../../broken && seq {{n_start}} > pool.txt && echo pool >> log.txt'"}}
    before:
      boot: {{executable: "{LOG.format("boot")}"}}
    tasks:
      sim: {{executable: "{LOG.format("sim")}"}}
    after:
      gather: {{executable: "sh -c 'test ! -e ../../../../broken && echo gather {{learner}} {{iteration}} >> {{shared}}/log.txt'"}}
    finish:
      table: {{executable: "test ! -e ../../../broken-table && echo table $(wc -l < pool.txt) >> log.txt", shell: true}}
    max_iter: 2
    learners: [{{name: a}}]
    """  # noqa: E501
ONE_LIFE = ["pool", "boot a 0", "sim a 0", "sim a 1", "gather a 1", "table 5"]


@pytest.fixture
def ready(rose: Rose) -> Rose:
    rose.write(CAMPAIGN)
    return rose


def run(rose: Rose, *options: str, code: int = 0) -> Any:
    called = rose("run", "campaign.yaml", "--run-dir", "run", "-o", "plain", *options)
    assert called.code == code, called.err + called.out
    return called


def log(rose: Rose) -> list[str]:
    return (rose.folder / "run/campaign/workspace/log.txt").read_text().splitlines()


def test_each_runs_in_its_place(ready: Rose) -> None:
    run(ready)
    assert log(ready) == ONE_LIFE
    assert ready("resume", "run").err.startswith("nothing to do")
    assert log(ready) == ONE_LIFE


def test_a_failed_setup_ends_the_run_before_any_learner_starts(ready: Rose) -> None:
    (ready.folder / "broken").touch()
    called = run(ready, code=1)
    assert "campaign 'pool' failed in the setup, attempt 1: exit code 1; no retries left" in called.out
    assert "'pool' failed in the setup of the campaign: exit code 1" in called.out
    assert not (ready.folder / "run/learners").exists()
    status = ready.status("run")
    assert (status["status"], status["campaign_tasks"]["status"]) == ("failed", "failed")
    assert status["causes"][0]["learners"] == ["campaign"]
    assert "campaign: setup runs before all learners" in ready("resume", "run", "--dry-run").out
    (ready.folder / "broken").unlink()
    assert ready("resume", "run").code == 0
    assert log(ready) == ONE_LIFE


def test_a_failed_finish_runs_again_in_a_resume_and_nothing_else_does(ready: Rose) -> None:
    (ready.folder / "broken-table").touch()
    called = run(ready, code=1)
    assert "'table' failed in the finish of the campaign: exit code 1" in called.out
    assert ready.status("run")["outcome"] == "failed"
    assert ready("resume", "run").code == 1
    (ready.folder / "broken-table").unlink()
    assert ready("resume", "run").code == 0
    assert log(ready) == ONE_LIFE
    assert ready.status("run")["campaign_tasks"]["finishes_done"] == 1


def test_a_task_after_the_last_iteration_that_failed_runs_again_in_a_resume(ready: Rose) -> None:
    (ready.folder / "broken").touch()
    ready.write(CAMPAIGN.replace("test ! -e ../../../broken ", "true ", 1))
    run(ready, code=1)
    assert ready.learners("run")["a"]["stop_reason"] == "failed"
    assert log(ready) == ["pool", "boot a 0", "sim a 0", "sim a 1", "table 5"]
    (ready.folder / "broken").unlink()
    assert ready("resume", "run").code == 0
    assert log(ready)[5:] == ["gather a 1", "table 5"], "the finish runs again: its results have changed"


@pytest.mark.parametrize("left_out", ["when: i > 5", "replicas: i - i"])
def test_a_task_that_was_left_out_of_the_last_iteration_makes_nothing_run_again(ready: Rose, left_out: str) -> None:
    text = CAMPAIGN.replace("    after:", f"      extra: {{executable: 'false', {left_out}}}\n    after:")
    (ready.folder / "broken").touch()
    ready.write(text.replace("test ! -e ../../../broken ", "true ", 1))
    run(ready, code=1)
    (ready.folder / "broken").unlink()
    assert ready("resume", "run").code == 0
    assert log(ready) == ["pool", "boot a 0", "sim a 0", "sim a 1", "table 5", "gather a 1", "table 5"]


def test_what_runs_at_the_end_is_decided_anew_at_each_end(rose: Rose) -> None:
    """A learner that stops between two iterations has the steps of its end in the one that it does not run."""
    text = """
        tasks:
          sim:
            shell: true
            executable: >-
              echo '{{"x": {iteration}}}' > $ROSE_RESULT; test {iteration} != 2 || test -e ../../../../go
        after: {gather: {executable: touch gathered, when: result.x > 1}}
        max_iter: 4
        learners: [{name: a}]
        """
    rose.write(text)
    run(rose, code=1)
    rose.write(text.replace("max_iter: 4", "max_iter: 2"))
    assert rose("resume", "run").code == 0
    (rose.folder / "go").touch()
    rose.write(text.replace("max_iter: 4", "max_iter: 3"))
    assert rose("resume", "run").code == 0
    assert (rose.folder / "run/learners/a/workspace/gathered").exists()


def test_another_reason_to_have_stopped_is_no_other_end(rose: Rose) -> None:
    text = """
        tasks: {sim: {executable: 'true'}}
        after: {gather: {executable: "sh -c 'echo {iteration} >> gathered'"}}
        stop: {metric: m, operator: "<", threshold: 3, value: "2 + 0 * i"}
        max_iter: 1
        learners: [{name: a}]
        """
    rose.write(text)
    run(rose)
    assert rose.learners("run")["a"]["stop_reason"] == "criterion_met"
    rose.write(text.replace("threshold: 3", "threshold: 1"))
    assert rose("resume", "run").code == 0
    assert rose.learners("run")["a"]["stop_reason"] == "max_iter"
    assert (rose.folder / "run/learners/a/workspace/gathered").read_text() == "0\n"


def test_an_extended_run_gathers_and_finishes_again(ready: Rose) -> None:
    run(ready)
    assert ready("resume", "run", "--max-iter", "3").code == 0
    assert log(ready)[6:] == ["sim a 2", "gather a 2", "table 5"]


def test_a_rerun_from_the_first_iteration_prepares_the_learner_again_but_not_the_campaign(ready: Rose) -> None:
    run(ready)
    assert ready("resume", "run", "--from-iteration", "0").code == 0
    assert log(ready)[6:] == ONE_LIFE[1:]


def test_a_rerun_from_a_later_iteration_does_not_prepare_the_learner_again(ready: Rose) -> None:
    run(ready)
    assert ready("resume", "run", "--from-iteration", "1").code == 0
    assert log(ready)[6:] == ["sim a 1", "gather a 1", "table 5"]


def test_a_new_limit_of_a_going_learner_is_its_end_with_all_that_belongs_to_it(ready: Rose) -> None:
    """It has finished more iterations than it may have now."""
    (ready.folder / "broken").touch()
    ready.write(CAMPAIGN.replace("test ! -e ../../../broken ", "true ", 1))
    run(ready, code=1)
    (ready.folder / "broken").unlink()
    text = CAMPAIGN.replace("test ! -e ../../../broken ", "true ", 1).replace("max_iter: 2", "max_iter: 1")
    ready.write(text)
    called = ready("resume", "run")
    assert called.code == 0, called.err
    assert ready.learners("run")["a"]["stop_reason"] == "max_iter"
    assert [line for line in log(ready) if line.startswith("gather")] == ["gather a 1"]
    assert log(ready)[-1] == "table 5"


def test_a_finish_that_is_added_to_a_run_that_has_ended_runs_in_a_resume(rose: Rose) -> None:
    text = "{tasks: {sim: {executable: 'true'}}, max_iter: 1, learners: 1}\n"
    rose.write(text)
    run(rose)
    rose.write(text.replace("max_iter", "finish: {table: {executable: touch done}}, max_iter"))
    called = rose("resume", "run")
    assert called.code == 0, called.err
    assert (rose.folder / "run/campaign/workspace/done").exists()


def test_a_setup_that_has_run_cannot_change_in_the_same_run(ready: Rose) -> None:
    run(ready)
    ready.write(CAMPAIGN.replace("seq", "seq 1"))
    called = ready("resume", "run")
    assert called.code != 0
    assert "pool" in called.err
    ready.write(CAMPAIGN.replace("echo table", "echo other table"))
    assert ready("resume", "run", "--max-iter", "3").code == 0
    assert log(ready)[-1] == "other table 5"


def test_a_smoke_run_has_them_all(ready: Rose) -> None:
    ready.write(CAMPAIGN.rstrip() + "\n    smoke: {max_iter: 1, pool: {timeout: 60}, table: {timeout: 60}}\n")
    called = ready("run", "campaign.yaml", "--smoke")
    assert called.code == 0, called.err
    said = [line.split(" campaign ", 1)[1].split(" in ")[0] for line in called.out.splitlines() if " campaign " in line]
    assert said == ["'pool' of the setup starts", "setup done", "'table' of the finish starts", "finish done"]


def test_one_learner_of_several_alone_has_the_setup_and_the_finish(ready: Rose) -> None:
    ready.write(CAMPAIGN.replace("[{name: a}]", "[{name: a}, {name: b}]"))
    run(ready, "--learner", "a")
    assert log(ready) == ONE_LIFE


def test_commands_call_it_campaign(ready: Rose) -> None:
    run(ready)
    workspace = ready.folder / "run/campaign/workspace"
    assert ready("path", "run", "campaign").out.strip() == str(workspace)
    assert str(workspace / "pool.txt") in ready("path", "run", "campaign", "0").out
    rows = list(csv.DictReader(io.StringIO(ready("export", "run", "--table", "tasks").out)))
    assert [(row["learner"], row["task"]) for row in rows][:2] == [("", "pool"), ("a", "boot")]
    status = ready.status("run")["campaign_tasks"]
    assert (status["setup_done"], status["finishes_done"], status["status"]) == (True, 1, "done")


def test_logs_of_the_campaign_have_their_titles(rose: Rose) -> None:
    rose.write(
        "{setup: {pool: {executable: echo swim}}, tasks: {sim: {executable: 'true'}}, "
        "finish: {end: {executable: echo dry}}, max_iter: 1, learners: 1}\n"
    )
    run(rose)
    out = rose("logs", "run", "campaign").out
    assert "campaign · setup · pool · attempt 1 · stdout" in out
    assert "campaign · finish · end · attempt 1 · stdout" in out
    assert "swim" in out


def test_the_finish_knows_the_run(rose: Rose) -> None:
    rose.write(
        "{tasks: {sim: {executable: 'true'}}, max_iter: 1, learners: 1, finish: {end: {shell: true, "
        "executable: 'test -e $ROSE_RUN/journal.jsonl && test $ROSE_SHARED = $PWD && echo $ROSE_LEARNER. > end'}}}\n"
    )
    run(rose)
    assert (rose.folder / "run/campaign/workspace/end").read_text() == ".\n"


REPORT = 'shell: true, executable: "echo \'{{{{\\"{0}\\": {1}}}}}\' > $ROSE_RESULT"'
READING = f"""
    setup: {{pool: {{{REPORT.format("n", 4)}}}}}
    tasks: {{train: {{{REPORT.format("x", "{iteration}")}}}}}
    stop: {{metric: share, operator: ">=", threshold: 0.5, value: results.train.x / results.pool.n}}
    max_iter: 5
    learners: [{{name: a}}]
    """


def test_a_criterion_reads_reports_of_the_setup(rose: Rose) -> None:
    rose.write(READING)
    run(rose)
    learner = rose.learners("run")["a"]
    assert (learner["stop_reason"], learner["iterations_done"]) == ("criterion_met", 3)


def test_a_criterion_that_misspells_a_report_of_the_setup_fails_the_learner(rose: Rose) -> None:
    rose.write(READING.replace("pool.n", "pool.m"))
    called = run(rose, code=1)
    assert "the criterion 'share' has no value in iteration 0" in called.out


def test_an_edit_is_compared_with_what_the_setup_reported(rose: Rose) -> None:
    text = READING.replace("{train:", "{extra: {executable: 'true', when: results.pool.n > 3}, train:")
    rose.write(text)
    run(rose)
    rose.write(text.replace("n > 3", "n > 2").replace("0.5", "0.9"))
    called = rose("resume", "run")
    assert called.code == 0, called.err
    rose.write(text.replace("n > 3", "n > 4").replace("0.5", "0.95"))
    assert rose("resume", "run").code == 2


# --- parameters ----------------------------------------------------------------------------------------------------


def test_a_parameter_is_passed_as_it_is_written_and_a_learner_may_have_its_own(rose: Rose) -> None:
    rose.write(
        """
        parameters: {rate: 0.10, exponent: 1e-3, verbose: true, place: "{campaign_dir}/x", braces: "{{}}"}
        tasks: {sim: {executable: "echo {rate} {exponent} {verbose} {place} {braces}"}}
        max_iter: 1
        learners: [{name: a}, {name: b, parameters: {rate: 7}}]
        """
    )
    run(rose)
    out = {name: (rose.folder / f"run/learners/{name}/logs/0/sim.1.out").read_text() for name in "ab"}
    rest = f"1e-3 true {rose.folder}/x {{}}\n"
    assert out == {"a": f"0.10 {rest}", "b": f"7 {rest}"}


def test_a_parameter_is_a_name_in_expressions(rose: Rose) -> None:
    rose.write(
        """
        parameters: {start: 10, mode: fast}
        tasks: {sim: {executable: "echo", adaptive: {--n: "start + i if mode == 'fast' else 0"}}}
        max_iter: 2
        learners: [{name: a}, {name: b, parameters: {start: 20, mode: slow}}]
        """
    )
    run(rose)
    logs = rose.folder / "run/learners"
    assert [(logs / f"{name}/logs/1/sim.1.out").read_text().strip() for name in "ab"] == ["--n 11", "--n 0"]


def test_a_function_gets_parameters_by_name(rose: Rose) -> None:
    (rose.folder / "loop.py").write_text(
        "import json\n"
        "def sim(rate, learner, parameters, shared, other=3):\n"
        "    text = json.dumps([rate, learner, parameters, other, shared.name])\n"
        "    (shared / f'{learner}.json').write_text(text)\n"
    )
    rose.write(
        """
        parameters: {rate: 0.5, name: x, on: true}
        setup: {pool: {executable: "true"}}
        tasks: {sim: {function: "loop:sim"}}
        max_iter: 1
        learners: [{name: a}, {name: b, parameters: {rate: 7}}]
        """
    )
    assert "warning" not in rose("validate", "campaign.yaml").out, "a function that asks for all uses all"
    run(rose)
    shared = rose.folder / "run/campaign/workspace"
    found = [json.loads((shared / f"{name}.json").read_text()) for name in "ab"]
    assert found == [
        [0.5, "a", {"rate": 0.5, "name": "x", "on": True}, 3, "workspace"],
        [7, "b", {"rate": 7, "name": "x", "on": True}, 3, "workspace"],
    ]


def test_an_edited_parameter_falsifies_what_used_it_and_nothing_else(rose: Rose) -> None:
    text = """
        parameters: {one: 1, two: 2}
        tasks: {sim: {executable: "echo {one}"}, train: {executable: "echo"}}
        stop: {metric: mse, threshold: 0.1, executable: "sh -c 'echo 1 {two} > x; echo 1'"}
        max_iter: 1
        learners: 1
        """
    rose.write(text)
    run(rose)
    rose.write(text.replace("one: 1", "one: 3"))
    refused = rose("resume", "run", "--max-iter", "2")
    assert refused.code != 0
    assert "parameters" in refused.err
    assert "one" in refused.err
    rose.write(text.replace("one: 1", "one: 1, three: 3"))
    called = rose("resume", "run", "--max-iter", "2")
    assert called.code == 0, called.err


def test_the_plan_shows_parameters_and_when_each_task_runs(ready: Rose) -> None:
    ready.write(CAMPAIGN.replace("[{name: a}]", "[{name: a}, {name: b, parameters: {n_start: 9}}]"))
    out = ready("plan", "campaign.yaml").out
    for heading in ("once, before all learners:", "before the first iteration:", "each iteration:",
                    "after the last iteration:", "once, when all learners have ended:"):  # fmt: skip
        assert heading in out
    assert "parameters: rate 0.10" in out
    assert "at most 10 commands" in out
    whole = ready("plan", "campaign.yaml", "--full").out
    assert whole.count("gather") >= 2
    assert "setup  pool" in whole


def test_a_link_in_place_of_the_campaigns_logs_is_refused(rose: Rose) -> None:
    rose.script("#!/bin/sh\nrm -rf ../logs/0; ln -s $ROSE_CAMPAIGN_DIR ../logs/0\n", "plant.sh")
    rose.write(
        "{setup: {one: {executable: ./plant.sh}, two: {executable: echo x}}, tasks: {s: {executable: echo x}},"
        " max_iter: 1, learners: 1}"
    )
    before = sorted(path.name for path in rose.folder.iterdir())
    assert "campaign/logs/0' is a symbolic link that rose did not create" in run(rose, code=4).err
    assert sorted(path.name for path in rose.folder.iterdir()) == sorted([*before, "run"])
    logs = rose.folder / "run/campaign/logs"
    (logs / "0").unlink()
    logs.rmdir()
    logs.symlink_to(rose.folder)
    called = rose("resume", "run")
    assert (called.code, "campaign/logs' is a symbolic link" in called.err) == (4, True), called.err
    logs.unlink()
    assert rose("resume", "run").code == 0


SHARING = """
    max_iter: 2
    setup: {pool: {executable: "sh -c 'echo pool >> {shared}/log.txt'"}}
    tasks: {sim: {executable: "sh -c 'echo sim >> {shared}/log.txt; cat $ROSE_SHARED/log.txt'"}}
    finish: {table: {executable: "sh -c 'echo $ROSE_RUN; echo table >> log.txt; cat log.txt'"}}
    learners: [{name: a}]
    """


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["a", "1", "sim"], "pool sim sim table sim"),
        (["campaign", "1", "table"], "{run} pool sim sim table table"),
        (["campaign", "table"], "{run} pool sim sim table table"),
        (["table"], "{run} pool sim sim table table"),
        (["pool"], ""),
    ],
)
def test_exec_works_in_a_copy_of_what_tasks_share(rose: Rose, words: list[str], out: str) -> None:
    rose.write(SHARING)
    run(rose)
    before = log(rose)
    called = rose("exec", "run", *words)
    assert (called.code, called.out.split()) == (0, out.format(run=rose.folder / "run").split()), called.err
    script = rose("exec", "run", *words, "--print", "--in", str(rose.folder / "copy")).out
    assert subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout == called.out
    assert log(rose) == before == ["pool", "sim", "sim", "table"]


def test_exec_says_where_a_task_of_the_campaign_belongs(rose: Rose) -> None:
    rose.write(SHARING)
    run(rose)
    assert "'table' belongs to the finish of the campaign" in rose("exec", "run", "campaign", "0", "table").err
    assert "there is no task 'sim' in the campaign" in rose("exec", "run", "campaign", "sim").err
    assert "which task of the campaign?" in rose("exec", "run", "campaign", "0").err


def test_clean_takes_leftovers_of_the_campaign_but_never_its_workspace(ready: Rose) -> None:
    run(ready)
    campaign = ready.folder / "run/campaign"
    for name in ("workspace.lost-1", "snapshots/0.pool", "snapshots/1.table"):
        (campaign / name).mkdir(parents=True)
    called = ready("clean", "run", "--yes")
    assert "lost workspaces that a resume has set aside (campaign)" in called.out
    assert ready("clean", "run", "--yes", "--workspaces", "--keep-logs", "1").code == 0
    assert not (ready.folder / "run/learners/a/workspace").exists()
    assert sorted(str(path.relative_to(campaign)) for path in campaign.iterdir()) == ["logs", "snapshots", "workspace"]
    assert list((campaign / "snapshots").iterdir()) == []
    assert log(ready) == ONE_LIFE
    assert ready("verify", "run").code == 0


def test_a_rerun_to_verify_has_what_runs_once(ready: Rose) -> None:
    run(ready)
    called = ready("verify", "run", "--rerun")
    assert (called.code, "the history is the same" in called.out) == (0, True), called.err
    assert log(ready) == ONE_LIFE


def test_expressions_with_a_parameter_are_known_wherever_rose_looks_at_them(rose: Rose) -> None:
    rose.write("""
        parameters: {n_start: 5}
        tasks:
          a: {executable: "printf '{{\\"x\\": 1}}' > $ROSE_RESULT; echo", shell: true, adaptive: {--n: "n_start + i"}}
          b: {executable: echo, when: i + 2 < max_iter + n_start, replicas: "n_start - 4 + 0 * max_iter"}
        stop: {metric: m, operator: "<", value: "result.x + 0 * max_iter + n_start", patience: 9}
        max_iter: 2
        learners: [{name: a}]
        """)
    called = run(rose)
    assert "bug in rose" not in called.err
    assert (called := rose("run", "campaign.yaml", "--smoke")).code == 0, called.err
    assert (called := rose("verify", "run", "--rerun")).code == 0, called.err
    assert "an expression reads max_iter" in called.err.replace("\n", " ")
    called = rose("resume", "run", "--max-iter", "3")
    assert called.code == 0, called.err
    for place in ("b when = i + 2", "b replicas = n_start - 4", "stop value of m = result.x"):
        assert place in called.err, place
