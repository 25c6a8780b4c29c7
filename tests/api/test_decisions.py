"""Decisions in Python between iterations: what they change, and that they are in the journal before they count."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

import rose_cli
from rose_cli.journal.codec import UnfitError, from_json
from tests.conftest import wait_until

if TYPE_CHECKING:
    from tests.conftest import Rose, Starter

CAMPAIGN = """\
    max_iter: 5
    tasks:
      work: {executable: python work.py}
    learners: [{name: a}, {name: b}, {name: c}]
"""
WITH_OPTION = CAMPAIGN.replace("{executable: python work.py}", "{executable: python work.py, options: {--lr: 1}}")
WORK = """\
import json, os, sys
with open("lines.txt", "a") as file: file.write(" ".join(sys.argv[1:]) + "\\n")
count = int(os.environ["ROSE_ITERATION"]) + 1
json.dump({"count": count, "args": sys.argv[1:]}, open(os.environ["ROSE_RESULT"], "w"))
"""


def changed(**change: Any) -> rose_cli.Decision:
    return rose_cli.Decision(tasks={"work": rose_cli.TaskChange(**change)})


@pytest.fixture
def campaign(rose: Rose) -> rose_cli.Campaign:
    rose.write(WORK, "work.py")
    return rose_cli.load(rose.write(CAMPAIGN))


def histories(run: rose_cli.Run) -> list[tuple[Any, ...]]:
    names = ["learner", "iteration", "stop_reason", "option.work.--extra", "result.count", "result.args"]
    table = run.history()
    return list(zip(*(table[name] for name in names), strict=True))


def given(run: rose_cli.Run, learner: str = "a") -> list[str]:
    """The arguments of each iteration."""
    return (run.workspace(learner) / "lines.txt").read_text().splitlines()


def test_a_decision_changes_options_until_a_later_one(campaign: rose_cli.Campaign) -> None:
    decisions = {
        0: rose_cli.Decision(tasks={"work": rose_cli.TaskChange(options={"--x": 1, "--list": [1, 2.5]})}),
        2: rose_cli.Decision(tasks={"work": rose_cli.TaskChange(args=["{iteration}", "{{}}"], options={"--x": None})}),
        3: rose_cli.Decision(tasks={"work": rose_cli.TaskChange()}),
    }
    run = campaign.run(decide=lambda state: decisions.get(state.number), learners=["a"], output="quiet")
    assert given(run) == ["", "--x 1 --list 1 2.5", "--x 1 --list 1 2.5", "3 {}", ""]


def test_what_decisions_changed_is_shown_and_run_again(campaign: rose_cli.Campaign, rose: Rose) -> None:
    def decide(state: rose_cli.Iteration) -> rose_cli.Decision:
        if state.number == 2:
            raise LookupError
        return rose_cli.Decision(tasks={"work": rose_cli.TaskChange(options={"--x": 10 * (state.number + 1)})})

    with pytest.raises(LookupError):
        campaign.run(run_dir=rose.folder / "run", decide=decide, learners=["a"], output="quiet")
    assert "work.py --x 10" in rose("exec", "run", "a", "1", "work").err
    assert "work.py --x 20" in rose("exec", "run", "a", "2", "work").err
    rewound = rose("resume", "run", "--from-iteration", "1", "--dry-run", "--without-decisions")
    assert rewound.code == 0
    assert "work.py --x 10" in rewound.out, "the decision after iteration 0 stays, the later one is forgotten"
    assert rose("resume", "run", "--dry-run").code == 4


def test_a_decision_replaces_the_whole_command(campaign: rose_cli.Campaign, rose: Rose) -> None:
    rose.write(WORK.replace("sys.argv[1:]", "['other', *sys.argv[1:]]"), "other.py")

    def decide(state: rose_cli.Iteration) -> rose_cli.Decision:
        words = ["python", "other.py", f"after {state.number}"]
        return rose_cli.Decision(stop=state.number == 2, tasks={"work": rose_cli.TaskChange(words=words)})

    run = campaign.run(decide=decide, learners=["a"], output="quiet")
    assert given(run) == ["", "other after 0", "other after 1"]
    assert run.learners["a"].stopped == "decided"


def test_a_learner_stopped_by_a_decision_says_so(campaign: rose_cli.Campaign, rose: Rose) -> None:
    def decide(state: rose_cli.Iteration) -> rose_cli.Decision | None:
        return rose_cli.Decision(stop=True, message="it is enough") if state.learner == "b" else None

    run = campaign.run(decide=decide, output="quiet")
    assert run.status == "done"
    assert {name: one.stopped for name, one in run.learners.items()} == {
        "a": "max_iter",
        "b": "decided",
        "c": "max_iter",
    }
    assert run.learners["b"].message == "it is enough"
    status = rose("status", run.path)
    assert "decided" in status.out
    assert rose.learners(run.path)["b"]["stop_reason"] == "decided"
    assert "1 stopped by decision" in rose("resume", run.path).err, "nothing to do"


def test_the_iteration_knows_what_the_tasks_got_and_reported(campaign: rose_cli.Campaign) -> None:
    seen: list[rose_cli.Iteration] = []

    def decide(state: rose_cli.Iteration) -> rose_cli.Decision:
        seen.append(state)
        return rose_cli.Decision(tasks={"work": rose_cli.TaskChange(options={"--n": state.number})})

    campaign.run(decide=decide, learners=["c"], output="quiet")
    assert [(one.learner, one.index, one.number, one.max_iter) for one in seen] == [("c", 2, n, 5) for n in range(4)]
    assert seen[3].options == {"work": {"--n": 2}}
    assert seen[3].results == {"work": [{"count": 4, "args": ["--n", "2"]}]}
    assert seen[3].result["count"] == 4
    assert seen[3].history == (None,) * 4


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (rose_cli.Decision(tasks={"wrk": rose_cli.TaskChange()}), r"there is no task 'wrk'(.|\n)*did you mean 'work'"),
        (rose_cli.Decision(tasks={"work": rose_cli.TaskChange(options={"--x": object()})}), "option '--x' of task"),  # type: ignore[dict-item]
        (rose_cli.Decision(tasks={"work": rose_cli.TaskChange(words="python x.py")}), "give a list of strings"),
        (rose_cli.Decision(tasks={"work": rose_cli.TaskChange(words=[])}), "has no words"),
        (True, "a decision cannot be True"),
        (rose_cli.Decision(stop="no"), "`stop` of a decision cannot be 'no'"),  # type: ignore[arg-type]
        (changed(options={"--x": "a\0b"}), "contains a NUL byte"),
        (changed(args=["{nonesuch}"]), r"unknown placeholder '\{nonesuch\}'"),
        (changed(options={"--x": ["{nonesuch}"]}), r"unknown placeholder '\{nonesuch\}'"),
        (changed(options={"--a\n": 1}), "cannot be an option of task 'work'"),
        (changed(options={"--x": 10**5000}), "a number of 16610 bits"),
        (changed(options={"lr": 1}), "task 'work' has no option 'lr', but '--lr'(.|\n)*write '--lr'"),
    ],
    ids=[
        "task",
        "option",
        "text",
        "no words",
        "no decision",
        "truth",
        "NUL",
        "argument",
        "placeholder",
        "name",
        "number",
        "other name",
    ],
)
def test_a_wrong_decision_interrupts_the_run(
    campaign: rose_cli.Campaign, answer: Any, message: str, rose: Rose
) -> None:
    rose.write(WITH_OPTION)
    campaign = rose_cli.load(campaign.path)
    with pytest.raises(rose_cli.UsageError, match=message):
        campaign.run(run_dir=rose.folder / "run", decide=lambda _: answer, output="quiet")
    run = rose_cli.open_run(rose.folder / "run")
    assert run.status == "interrupted"
    assert run.resume(decide=lambda _: None, output="quiet").status == "done"


def test_an_error_of_the_program_interrupts_the_run_and_is_raised(campaign: rose_cli.Campaign, rose: Rose) -> None:
    def decide(_: rose_cli.Iteration) -> None:
        raise LookupError("in the program")

    with pytest.raises(LookupError, match="in the program"):
        campaign.run(run_dir=rose.folder / "run", decide=decide, output="quiet")
    assert rose_cli.open_run(rose.folder / "run").status == "interrupted"
    with pytest.raises(LookupError, match="in the program"):
        list(rose_cli.open_run(rose.folder / "run").start(decide=decide, output="quiet"))


def test_who_resumes_without_the_program_has_to_say_so(campaign: rose_cli.Campaign, rose: Rose) -> None:
    def decide(state: rose_cli.Iteration) -> rose_cli.Decision:
        if state.number == 1:
            raise LookupError
        return rose_cli.Decision(tasks={"work": rose_cli.TaskChange(options={"--kept": True})})

    with pytest.raises(LookupError):
        campaign.run(run_dir=rose.folder / "run", decide=decide, learners=["a"], output="quiet")
    refused = rose("resume", "run")
    assert refused.code == 4
    assert "a Python program decides how the run 'run' goes on" in refused.err
    assert "--without-decisions" in refused.err
    with pytest.raises(rose_cli.RunDirectoryError, match="a Python program decides"):
        rose_cli.open_run(rose.folder / "run").resume(output="quiet")
    assert rose("resume", "run", "--without-decisions").code == 0
    assert given(rose_cli.open_run(rose.folder / "run")) == ["", *["--kept"] * 4]
    assert rose("resume", "run", "--max-iter", "6").code == 0, "the last session had nobody to ask"


@pytest.mark.parametrize("what", ["kill-me", "kill-session", "wait"])
def test_killed_or_interrupted_while_it_decides_it_comes_to_the_same_history(
    what: str, campaign: rose_cli.Campaign, rose: Rose, start_program: Starter
) -> None:
    file = campaign.path
    undisturbed = start_program("deciding.py", file, rose.folder / "calm" / "run", "")
    (rose.folder / "calm").mkdir(exist_ok=True)
    assert undisturbed.communicate()[0] == "done\n"
    expected = histories(rose_cli.open_run(rose.folder / "calm" / "run"))
    assert ("b", 2, "decided", 2, 3, ["--extra", "2"]) in expected

    program = start_program("deciding.py", file, rose.folder / "run", what)
    if what == "wait":
        assert program.stdout is not None
        assert program.stdout.readline() == "deciding\n"
        program.send_signal(signal.SIGINT)
    said = program.communicate()[0]
    code = {"kill-me": -signal.SIGKILL, "kill-session": 5, "wait": 130}[what]
    assert program.returncode == code, said
    wait_until(lambda: rose.status("run")["status"] != "running")
    assert rose.status("run")["status"] == ("lost" if what == "kill-session" else "interrupted")
    assert {"kill-me": "", "kill-session": "lost: the process of the", "wait": "interrupted: interrupted"}[what] in said

    again = start_program("deciding.py", file, rose.folder / "run", "")
    assert again.communicate()[0] == "done\n"
    assert histories(rose_cli.open_run(rose.folder / "run")) == expected
    asked = (rose.folder / "asked.txt").read_text().split("\n")[:-1]
    decided = [
        f"{event['learner']} {event['iteration']}" for event in rose.events("run") if event["event"] == "decision_made"
    ]
    assert len(decided) == len(set(decided)), "nothing is decided twice"
    assert set(asked) == set(decided)
    assert asked.count("a 0") == 1, "what is in the journal is not asked for again"


def test_a_learner_that_waits_for_a_decision_is_shown_as_waiting(
    campaign: rose_cli.Campaign, rose: Rose, start_program: Starter
) -> None:
    program = start_program("deciding.py", campaign.path, rose.folder / "run", "wait")
    assert program.stdout is not None
    assert program.stdout.readline() == "deciding\n"
    wait_until(lambda: "wait for a decision" in rose("status", "run").out)
    program.send_signal(signal.SIGINT)
    program.communicate()
    assert "decision" not in rose("status", "run").out


def test_what_a_decision_must_be_is_checked_when_it_is_read_again() -> None:
    for commands in [{"work": []}, {"work": {"words": []}}, {"work": {"words": [1]}}, {"work": {"options": {"a": {}}}}]:
        with pytest.raises(UnfitError, match="'commands' cannot be this"):
            from_json({"event": "decision_made", "learner": "a", "iteration": 0, "commands": commands})


def test_a_run_is_steered_while_its_program_decides(campaign: rose_cli.Campaign, rose: Rose) -> None:
    added = rose.write("name: d\n", "d.yaml")

    def decide(state: rose_cli.Iteration) -> rose_cli.Decision | None:
        if (state.learner, state.number) != ("a", 0):
            return None
        assert rose("set", "run", "max_iter=3").code == 0
        assert rose("add", "run", added).code == 0
        return rose_cli.Decision(tasks={"work": rose_cli.TaskChange(options={"--kept": True})})

    running = campaign.start(run_dir=rose.folder / "run", decide=decide, learners=["a"], output="quiet")
    found = [(one.learner, one.number, one.max_iter, one.stopped) for one in running]
    assert [each for each in found if each[0] == "a"] == [("a", 0, 3, None), ("a", 1, 3, None), ("a", 2, 3, "max_iter")]
    assert [each[1] for each in found if each[0] == "d"] == [0, 1, 2]
    assert given(running.wait()) == ["", "--kept", "--kept"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"decide": 3}, "`decide` cannot be 3"),
        ({"output": "table"}, "there is no output 'table'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    given: dict[str, Any], message: str, campaign: rose_cli.Campaign, rose: Rose
) -> None:
    with pytest.raises(rose_cli.UsageError, match=message):
        campaign.run(run_dir=rose.folder / "run", **given)
    assert not (rose.folder / "run").exists()


def test_iterations_of_a_resume_are_whole_numbers(campaign: rose_cli.Campaign) -> None:
    run = campaign.run(learners=["a"], output="quiet")
    with pytest.raises(rose_cli.UsageError, match="`max_iter` cannot be '10'"):
        run.resume(max_iter="10")  # type: ignore[arg-type]


CALLING = """\
    max_iter: 3
    tasks: {work: {function: "choose:select", options: {--count: 8}}}
    learners: 1
"""
CHOOSE = "def select(count, *, rate=0.1, iteration=0):\n    return {'selected': count, 'rate': rate}\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"--cuont": 4}, r"select\(\) in 'choose.py' has no parameter 'cuont'"),
        ({"--raet": 4}, r"has no parameter 'raet'(.|\n)*did you mean 'rate'"),
        ({"--count": None}, r"select\(\) in 'choose.py' needs 'count', which no option sets"),
        ({"--1st": 4}, r"the option '--1st' cannot be an argument of a function"),
    ],
    ids=["misspelt", "misspelt default", "removed", "no name"],
)
def test_a_decision_that_a_function_cannot_take_interrupts_the_run(
    options: dict[str, Any], message: str, rose: Rose
) -> None:
    rose.write(CHOOSE, "choose.py")
    campaign = rose_cli.load(rose.write(CALLING))
    with pytest.raises(rose_cli.UsageError, match=message):
        campaign.run(run_dir=rose.folder / "run", decide=lambda _: changed(options=options), output="quiet")
    run = rose_cli.open_run(rose.folder / "run")
    run = run.resume(decide=lambda _: changed(options={"--count": 4, "--rate": 0.2}), output="quiet")
    assert [row["result.selected"] for row in run.history().rows()] == [8, 4, 4]


def test_a_function_that_takes_any_name_gets_what_a_decision_says(rose: Rose) -> None:
    rose.write("def select(**given):\n    return {'given': sorted(given)}\n", "choose.py")
    run = rose_cli.load(rose.write(CALLING)).run(decide=lambda _: changed(options={"--new": 1}), output="quiet")
    assert run.history()["result.given"][1:] == [["count", "new"]] * 2
