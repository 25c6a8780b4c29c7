"""What people report about tools for tuning and experiments, tried on rose; `tuning.md` is the log."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE, Rose

ECHO = """\
import json, sys
print(json.dumps({"words": sys.argv[1:]}))
"""
"""Reports the words that it is called with."""


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Rose:
    """One run for all that is asked about words of a command line."""
    rose = Rose(tmp_path_factory.mktemp("options"))
    rose.write(ECHO, "echo.py")
    rose.write(
        """
        import argparse
        parser = argparse.ArgumentParser()
        parser.add_argument("--shift", type=float)
        parser.add_argument("--scale", type=float)
        print(vars(parser.parse_args()))
        """,
        "parse.py",
    )
    rose.write(
        """
        max_iter: 5
        tasks: {s: {executable: "{python} echo.py"}}
        learners:
          - name: letters
            max_iter: 1
            env: {VERSION: 3.10, RATE: 1e-3, MASK: 0x1F}
            s:
              args: [0.10, 3.10, 1e-3]
              options: {--a: 0.10, --b: [1e-3, 0x1F, .5, +5], --c: 0.1234567890123456789012345}
          - name: negative
            s: {executable: "{python} parse.py", adaptive: {--shift: "-0.1**(i+2)"}, options: {--scale: -0.00001}}
          - name: joined
            max_iter: 1
            s: {options: {lr=: 0.1, debug=: false, --p=: -foo, --q=: [1, -2]}, adaptive: {x=: "-0.00001*(i+1)"}}
          - name: equation
            max_iter: 1
            s: {options: {--equation: "1 + 2 = 3"}}
        """
    )
    assert rose("run", "campaign.yaml", "--output", "quiet", "--run-dir", "run").code == 0
    return rose


def reported(rose: Rose, learner: str) -> list[str]:
    rows = [json.loads(line) for line in rose("export", "run", "--format", "jsonl").out.splitlines()]
    found: list[str] = next(row["result.words"] for row in rows if row["learner"] == learner)
    return found


def test_numbers_arrive_letter_by_letter(options: Rose) -> None:
    given = "0.10 3.10 1e-3 --a 0.10 --b 1e-3 0x1F .5 +5 --c 0.1234567890123456789012345"
    assert " ".join(reported(options, "letters")) == given
    planned = options.json("plan", "campaign.yaml", "--learner", "letters", "--format", "json")
    variables = planned["learners"][0]["iterations"][0]["tasks"][0]["env"]
    assert [variables[name] for name in ("VERSION", "RATE", "MASK")] == ["3.10", "1e-3", "0x1F"]


def test_exports_have_numbers(options: Rose) -> None:
    row: dict[str, Any] = json.loads(options("export", "run", "--format", "jsonl").out.splitlines()[0])
    assert row["option.s.--a"] == 0.1
    assert row["option.s.--b"] == [0.001, 31, 0.5, 5]


def test_a_small_negative_number_reaches_argparse(options: Rose) -> None:
    logs = options.folder / "run/learners/negative/logs"
    printed = [(logs / f"{iteration}/s.1.out").read_text() for iteration in range(5)]
    assert printed[4] == f"{{'shift': {-(0.1**6)!r}, 'scale': -1e-05}}\n"
    assert len(set(printed)) == 5


def test_a_name_with_an_equals_sign_is_joined_to_its_value(options: Rose) -> None:
    expected = ["lr=0.1", "debug=false", "--p=-foo", "--q=1", "--q=-2", "x=-0.00001"]
    assert reported(options, "joined") == expected


def test_a_value_with_equals_signs_arrives_whole(options: Rose) -> None:
    assert reported(options, "equation") == ["--equation", "1 + 2 = 3"]


# --- the command line ----------------------------------------------------------------------------------------------


@pytest.fixture
def campaign(rose: Rose) -> Rose:
    rose.write(
        """
        max_iter: 9
        tasks: {s: {executable: echo, options: {--n: 5, --model.lr: 0.1, model.size: 3}}}  # rose: allow no-dashes
        learners: [{name: static, max_iter: 2, s: {--n: 1}}, {name: other, max_iter: 1, s: {--n: 2}}]
        """
    )
    return rose


def planned(rose: Rose, learner: str, *settings: str) -> str:
    """The command of a learner's first task, with settings laid over the file."""
    words = [word for setting in settings for word in ("--set", setting)]
    plan = rose.json("plan", "campaign.yaml", "--learner", learner, "--format", "json", *words)
    return " ".join(plan["learners"][0]["iterations"][0]["tasks"][0]["command"])


def test_set_reaches_options_with_points(campaign: Rose) -> None:
    settings = ("--model.lr=0.5", "model.size=4", '"a.b="=x=y', "--new.one=1")
    assert planned(campaign, "other", *(f"tasks.s.options.{setting}" for setting in settings)) == (
        "echo --n 2 --model.lr 0.5 model.size 4 a.b=x=y --new.one 1"
    )
    refused = campaign("plan", "campaign.yaml", "--set", "tasks.s.options.new.one=1")
    assert refused.code == 2
    assert "put quotes around a key that contains a dot" in refused.err


def test_set_reaches_a_learner_by_its_name(campaign: Rose) -> None:
    assert planned(campaign, "static", "learners.static.s.--n=7") == "echo --n 7 --model.lr 0.1 model.size 3"
    refused = campaign("plan", "campaign.yaml", "--set", "learners.statik.s.--n=7")
    assert (refused.code, "did you mean 'static'?" in refused.err) == (2, True)


def test_a_misspelt_key_of_set_gets_a_guess(campaign: Rose) -> None:
    refused = campaign("plan", "campaign.yaml", "--set", "tasks.s.optins.--n=7")
    assert (refused.code, "did you mean 'options'?" in refused.err) == (2, True)


def test_a_value_that_changes_nothing_is_mentioned(campaign: Rose) -> None:
    called = campaign("run", "campaign.yaml", "--max-iter", "1", "--run-dir", "run", "--output", "quiet")
    assert called.code == 0
    assert "--max-iter 1 has no effect" in called.err
    plan = campaign("plan", "campaign.yaml", "--set", "tasks.s.options.--n=9", "--set", "tasks.s.options.--m=1")
    assert "--n=9 has no effect" in plan.err
    assert "--m=1 has no effect" not in plan.err


def test_a_warning_about_the_command_line_is_shown_there(campaign: Rose) -> None:
    stop = "stop={metric: mse, threshold: 1, patience: 20, executable: echo 1}"
    called = campaign("run", "campaign.yaml", "--set", stop, "--run-dir", "run", "--output", "quiet")
    assert "a patience of 20 never stops a learner" in called.err
    assert "see rose validate" not in called.err


def test_odd_values_of_set_are_read_or_refused_with_a_hint(campaign: Rose) -> None:
    read = {"[1, 2]": "--x 1 2", "a, b": "--x a, b", "http://h/x#y": "--x http://h/x#y", "1 + 2 = 3": "--x 1 + 2 = 3"}
    names = {value: f"--x{number}" for number, value in enumerate(read)}
    given = [f"tasks.s.options.{names[value]}={value}" for value in read]
    expected = " ".join(words.replace("--x", names[value]) for value, words in read.items())
    assert planned(campaign, "other", *given) == f"echo --n 2 --model.lr 0.1 model.size 3 {expected}"
    odd = ("*.csv", "@foo", "%d", "a: b", "[a", "a #b", "{a}")
    settings = [word for value in odd for word in ("--set", f"tasks.s.options.--x={value}")]
    refused = campaign("plan", "campaign.yaml", *settings)
    assert refused.code == 2
    for value in odd:
        assert f"--x={value}: error[" in refused.err
    assert refused.err.count("help: ") == len(odd)


# --- the metric ----------------------------------------------------------------------------------------------------

VALUES = """\
#!/bin/sh
set -- $VALUES
shift $ROSE_ITERATION
echo "$1"
"""
"""Prints the value of this iteration."""


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Rose:
    """One run for all that is asked about values."""
    rose = Rose(tmp_path_factory.mktemp("metrics"))
    rose.script(VALUES, "values.sh")
    rose.write('{"val.mse": 0.05}', "points.json")
    rose.write('{"a": {"b.c": 0.06}}', "nested.json")
    rose.write('{"h": [0.5, 0.07]}', "list.json")
    rose.write('{"mse": 1' + "0" * 400 + "}", "integer.json")
    rose.write(
        """
        max_iter: 8
        tasks: {s: {executable: "true"}}
        stop: {metric: mse, threshold: 1e-30, patience: 2, executable: ./values.sh}
        learners:
          - {name: improving, env: {VALUES: 3 2 1 1}, stop: {patience: 1}}
          - {name: plateau, env: {VALUES: 5 5 4 4 4}}
          - {name: nan-first, env: {VALUES: nan 5 4 6 7}}
          - {name: nan-last, max_iter: 2, env: {VALUES: 5 nan}}
          - {name: all-nan, max_iter: 2, env: {VALUES: nan nan}}
          - {name: tiny, max_iter: 1, env: {VALUES: 3.2e-12}}
          - {name: huge, max_iter: 1, env: {VALUES: 1e300}}
          - {name: points, max_iter: 1, stop: {executable: "cat {campaign_dir}/points.json", read: {json: val.mse}}}
          - {name: nested, max_iter: 1, stop: {executable: "cat {campaign_dir}/nested.json", read: {json: a.b.c}}}
          - {name: last, max_iter: 1, stop: {executable: "cat {campaign_dir}/list.json", read: {json: h.-1}}}
          - {name: sum, stop: {metric: own, operator: ==, threshold: 0.3, executable: echo 0.30000000000000004}}
          - {name: integer, max_iter: 1, stop: {executable: "cat {campaign_dir}/integer.json", read: {json: mse}}}
        """
    )
    rose("run", "campaign.yaml", "--output", "quiet", "--run-dir", "run")
    return rose


def test_patience_counts_from_the_best_value(metrics: Rose) -> None:
    learners = metrics.learners("run")
    done = {name: learners[name]["iterations_done"] for name in ("improving", "plateau", "nan-first")}
    assert done == {"improving": 4, "plateau": 5, "nan-first": 5}
    assert {learners[name]["stop_reason"] for name in done} == {"no_improvement"}


def test_nan_is_never_the_best_value(metrics: Rose) -> None:
    learners = metrics.learners("run")
    best = {name: learners[name]["best_value"] for name in ("nan-first", "nan-last", "all-nan")}
    assert best == {"nan-first": 4, "nan-last": 5, "all-nan": None}


def test_tiny_and_huge_values_are_shown_as_such(metrics: Rose) -> None:
    shown = metrics("status", "run").out
    assert "3.2e-12" in shown
    assert "1.0e+300" in shown
    assert ",3.2e-12," in metrics("export", "run").out


def test_a_metric_is_found_under_keys_with_points_and_in_lists(metrics: Rose) -> None:
    learners = metrics.learners("run")
    assert [learners[name]["metric_value"] for name in ("points", "nested", "last")] == [0.05, 0.06, 0.07]


def test_an_equal_value_is_equal_whatever_rounding_makes_of_it(metrics: Rose) -> None:
    learner = metrics.learners("run")["sum"]
    assert (learner["stop_reason"], learner["history"]) == ("criterion_met", [0.1 + 0.2])


def test_a_metric_beyond_all_floats_is_infinite(metrics: Rose) -> None:
    rows = list(csv.DictReader(metrics("export", "run").out.splitlines()))
    assert next(row["metric_value"] for row in rows if row["learner"] == "integer") == "inf"


def test_patience_goes_on_over_resumes(rose: Rose) -> None:
    rose.script(VALUES, "values.sh")
    rose.script(
        "#!/bin/sh\ntest -e $ROSE_ITERATION && exit\ntouch $ROSE_ITERATION\nexit $((ROSE_ITERATION % 2))\n", "odd.sh"
    )
    rose.write(
        """
        max_iter: 9
        tasks: {s: {executable: ./odd.sh}}
        stop: {metric: mse, threshold: 0.1, patience: 3, executable: ./values.sh}
        env: {VALUES: 5 4 4 4 4 4}
        learners: 1
        """
    )
    assert rose("run", "campaign.yaml", "--output", "quiet", "--run-dir", "run").code == 1
    assert [rose("resume", "run", "--output", "quiet").code for _ in range(2)] == [1, 0]
    (learner,) = rose.status("run")["learners"]
    assert (learner["stop_reason"], learner["history"]) == ("no_improvement", [5, 4, 4, 4, 4])


# --- exports -------------------------------------------------------------------------------------------------------


def test_a_csv_export_is_whole_whatever_is_reported(rose: Rose) -> None:
    rose.write(
        """
        import json, os
        result = {"a,b": 1, 'q"x': "x\\ny", "n\\nl": None, "t": True, "l": [1, 2], "big": 2**70, "m": {"k": 1}, "": 5}
        result |= {"late": float("nan")} if os.environ["ROSE_ITERATION"] == "1" else {}
        print(json.dumps(result))
        """,
        "report.py",
    )
    rose.write("{max_iter: 2, learners: 1, tasks: {s: {executable: '{python} report.py'}}}")
    assert rose("run", "campaign.yaml", "--output", "quiet", "--run-dir", "run").code == 0
    text = rose("export", "run").out
    first, second = csv.DictReader(io.StringIO(text, newline=""))
    reported = ["a,b", 'q"x', "n\nl", "t", "l", "big", "m", "", "late"]
    assert [name.removeprefix("result.") for name in first if name.startswith("result.")] == reported
    values = {
        "a,b": "1",
        'q"x': "x\ny",
        "n\nl": "",
        "t": "true",
        "l": "[1, 2]",
        "big": str(2**70),
        "m": '{"k": 1}',
        "": "5",
    }
    assert {name: first[f"result.{name}"] for name in values} == values
    assert (first["result.late"], second["result.late"]) == ("", "nan")


def strict(text: str) -> Any:
    """What a parser makes of it that knows no `NaN`."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_every_output_for_programs_is_strict_json(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 1
        tasks: {s: {executable: echo, options: {--x: .nan, --y: [-.inf, 1]}}}
        stop: {metric: mine, operator: "<", threshold: 0, executable: echo nan}
        learners: 1
        """
    )
    plan = strict(rose("plan", "campaign.yaml", "--format", "json").out)
    assert plan["learners"][0]["iterations"][0]["tasks"][0]["options"] == {"--x": "nan", "--y": ["-inf", 1]}
    events = rose("run", "campaign.yaml", "--output", "json", "--run-dir", "run").out
    assert all(strict(line)["seq"] for line in events.splitlines())
    assert strict(rose("status", "run", "--format", "json").out)["learners"][0]["history"] == [None]
    assert strict(rose("export", "run", "--format", "jsonl").out)["option.s.--x"] == "nan"


def test_an_export_that_cannot_be_written_says_why(metrics: Rose) -> None:
    for place, why, help_ in (
        ("/dev/full", "No space left on device", "free some space"),
        (".", "Is a directory", "in an existing directory"),
        ("no/such/file.csv", "No such file or directory", "in an existing directory"),
    ):
        refused = metrics("export", "run", "-o", place)
        assert refused.code == 2
        assert why in refused.err
        assert help_ in refused.err


# --- tasks and their attempts --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> Rose:
    """One run for all that is asked about attempts: two learners fail, one does not."""
    rose = Rose(tmp_path_factory.mktemp("attempts"))
    rose.write("import time\nprint('begun')\ntime.sleep(60)\n", "hold.py")
    rose.script("#!/bin/sh\ntrap '' TERM\necho $$\nwhile :; do sleep 0.05; done\n", "deaf.sh")
    rose.script(
        """\
        #!/bin/sh
        echo try $ROSE_ATTEMPT
        test $ROSE_ATTEMPT = 1 || exit 0
        echo '{"left": 1}' > $ROSE_RESULT
        exit 1
        """,
        "again.sh",
    )
    rose.write(
        """
        max_iter: 1
        engine: {kind: local, cores: 8, grace: 0.2s}
        tasks: {s: {executable: "true", timeout: 3s}}
        learners:
          - {name: held, s: {executable: "{python} hold.py"}}
          - {name: own, env: {PYTHONUNBUFFERED: ""}, s: {executable: "{python} hold.py"}}
          - {name: deaf, s: {executable: ./deaf.sh}}
          - {name: again, s: {executable: ./again.sh, retries: {times: 1, pause: 0}}}
          - {name: later, s: {executable: sleep 1.5}}
        """
    )
    # the environment of whoever runs the tests may have one
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONUNBUFFERED", raising=False)
        called = rose("run", "campaign.yaml", "--output", "plain", "--run-dir", "run")
    assert called.code == 1
    rose.write(called.out, "said.txt")
    return rose


def printed(rose: Rose, learner: str, name: str = "s.1.out", run: str = "run") -> str:
    return (rose.folder / run / f"learners/{learner}/logs/0/{name}").read_text(encoding="utf-8")


def test_what_a_task_printed_before_it_was_ended_is_not_lost(attempts: Rose) -> None:
    assert printed(attempts, "held") == "begun\n"
    assert printed(attempts, "own") == ""


def test_a_task_that_hangs_is_ended_by_its_timeout(attempts: Rose) -> None:
    error = attempts.learners("run")["deaf"]["error"]
    assert (error["kind"], error["message"]) == ("timed_out", "terminated by rose after its timeout of 3 s")
    assert not Path("/proc", printed(attempts, "deaf").strip()).exists()


def test_a_report_of_a_failed_attempt_is_not_taken_over(attempts: Rose) -> None:
    assert attempts.learners("run")["again"]["result"] == {}
    assert "result.left" not in attempts("export", "run").out


def test_a_failure_is_told_when_it_happens(attempts: Rose) -> None:
    lines = (attempts.folder / "said.txt").read_text(encoding="utf-8").splitlines()
    told = next(
        number for number, line in enumerate(lines) if " again 0/1 's' failed in iteration 0, attempt 1" in line
    )
    assert told < next(number for number, line in enumerate(lines) if " later 1/1 " in line)
    assert attempts.learners("run")["later"]["stop_reason"] == "max_iter"


def test_no_attempt_overwrites_the_log_of_another(rose: Rose) -> None:
    rose.script("#!/bin/sh\necho try $ROSE_ATTEMPT\ntest $ROSE_ATTEMPT != 1\n", "task.sh")
    rose.write("{max_iter: 1, retries: {times: 1, pause: 0}, tasks: {s: {executable: ./task.sh}}, learners: 1}")
    assert rose("run", "campaign.yaml", "--output", "quiet", "--run-dir", "run").code == 0
    assert rose("resume", "run", "--from-iteration", "0", "--output", "quiet").code == 0
    assert [printed(rose, "learner-0", f"s.{n}.out") for n in (1, 2, 3)] == ["try 1\n", "try 2\n", "try 3\n"]


# --- going on ------------------------------------------------------------------------------------------------------


def test_a_campaign_that_failed_fast_can_resume(rose: Rose) -> None:
    rose.script("#!/bin/sh\ntest -e $ROSE_CAMPAIGN_DIR/ok || sleep 60\n", "slow.sh")
    rose.script("#!/bin/sh\ntest -e $ROSE_CAMPAIGN_DIR/ok\n", "failing.sh")
    rose.write(
        """
        max_iter: 2
        on_failure: stop_campaign
        engine: {kind: local, cores: 2, grace: 0.2s}
        tasks: {s: {executable: ./slow.sh}}
        learners: [{name: slow}, {name: failing, s: {executable: ./failing.sh}}]
        """
    )
    assert rose("run", "campaign.yaml", "--output", "quiet", "--run-dir", "run").code == 1
    assert {name: each["stop_reason"] for name, each in rose.learners("run").items()} == {
        "slow": None,
        "failing": "failed",
    }
    (rose.folder / "ok").touch()
    assert rose("resume", "run", "--output", "quiet").code == 0
    assert {each["iterations_done"] for each in rose.learners("run").values()} == {2}


def test_a_bound_is_a_total_and_counting_goes_on(rose: Rose) -> None:
    rose.script("#!/bin/sh\ntest $ROSE_ITERATION != 1 || test -e $ROSE_CAMPAIGN_DIR/ok\n", "task.sh")
    rose.write("{max_iter: 3, tasks: {s: {executable: ./task.sh}}, learners: 1}")
    assert rose("run", "campaign.yaml", "--output", "quiet", "--run-dir", "run").code == 1
    (rose.folder / "ok").touch()
    assert rose("resume", "run", "--output", "quiet").code == 0
    rows = csv.DictReader(rose("export", "run").out.splitlines())
    assert [row["iteration"] for row in rows] == ["0", "1", "2"]


def test_a_resume_after_early_stopping_says_what_can_be_done(metrics: Rose) -> None:
    rose = metrics
    rose.write(
        """
        max_iter: 9
        tasks: {s: {executable: "true"}}
        stop: {metric: mse, threshold: 0.1, patience: 1, executable: echo 1}
        learners: 1
        """,
        "early.yaml",
    )
    assert rose("run", "early.yaml", "--output", "quiet", "--run-dir", "early").code == 0
    for words in ((), ("--max-iter", "20")):
        called = rose("resume", "early", *words)
        assert (called.code, called.out) == (0, "")
        assert "1 stopped improving" in called.err
        assert "\n  `rose resume early --set stop.patience=N` continues it with more patience\n" in called.err
        assert "--max-iter" not in called.err
    assert rose("resume", "early", "--set", "stop.patience=3", "--output", "quiet").code == 0
    assert rose.learners("early")["learner-0"]["iterations_done"] == 4


def test_one_folder_takes_one_run(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {s: {executable: sleep 0.2}}, learners: 1}")
    calls = [rose.start("run", "campaign.yaml", "--run-dir", "same", "--output", "quiet") for _ in range(4)]
    ended = [(call.communicate(timeout=PATIENCE)[1], call.returncode) for call in calls]
    assert sorted(code for _, code in ended) == [0, 4, 4, 4]
    assert all(
        "'same' is not empty" in said or "same' is locked by process" in said for said, code in ended if code == 4
    )
    assert rose.status("same")["status"] == "done"


def test_learners_have_seeds_of_their_own_and_keep_them(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 1
        tasks: {s: {executable: echo $ROSE_SEED, shell: true, replicas: 2}}
        learners: [{name: a}, {name: b}, {}, {}]
        """
    )
    assert rose("run", "campaign.yaml", "--output", "quiet", "--run-dir", "all").code == 0
    seeds = {name: printed(rose, name, run="all") for name in rose.learners("all")}
    assert len(set(seeds.values())) == 4
    assert printed(rose, "a", "s.r1.1.out", "all") == seeds["a"]
    assert rose("run", "campaign.yaml", "--output", "quiet", "--run-dir", "one", "--learner", "b").code == 0
    assert rose("resume", "one", "--from-iteration", "0", "--output", "quiet").code == 0
    assert {printed(rose, "b", f"s.{n}.out", "one") for n in (1, 2)} == {seeds["b"]}


# --- what is on the screen -----------------------------------------------------------------------------------------


def test_no_line_is_wider_than_the_window(metrics: Rose) -> None:
    for width in (20, 40, 80, 120):
        head, table, _ = metrics("status", "run", COLUMNS=str(width)).out.split("\n\n", 2)
        assert max(len(line) for line in (head, *table.splitlines())) <= width
        assert "plateau" in table


def test_a_pipe_gets_plain_lines(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {s: {executable: 'true'}}, learners: 1}")
    for term, force, ci in (("xterm", "1", ""), ("xterm", "", "true"), ("dumb", "", "")):
        words = ("--run-dir", f"run-{term}-{ci}", "--output", "live")
        called = rose("run", "campaign.yaml", *words, TERM=term, FORCE_COLOR=force, CI=ci)
        assert called.out.startswith("campaign: 1 learner on the local engine\n")
        assert re.sub(r"\x1b\[[0-9;]*m|\n", "", called.out).isprintable()
        assert "learner-0 1/1 stopped: reached max_iter" in called.out
