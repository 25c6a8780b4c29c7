"""`rose list`: the runs below a directory."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rose_cli.commands import list_runs
from rose_cli.commands.list_runs import RunSettings, differing_settings
from rose_cli.util.trees import format_size
from tests.conftest import PATIENCE, wait_until
from tests.view.scenarios import make_criterion, make_plan

if TYPE_CHECKING:
    import pytest

    from rose_cli.plan.model import Plan
from tests.conftest import Rose


def test_without_a_run_there_is_a_word_about_it(campaign: Rose) -> None:
    assert campaign("list").err.startswith("no runs in '.'")
    assert campaign("status").code == 2


def test_runs_are_listed_and_named(campaign: Rose) -> None:
    for learner in ("short", "adaptive"):
        assert campaign("run", "campaign.yaml", "--learner", learner, "--max-iter", "1").code == 0
    runs = campaign.json("list", "--format", "json")
    assert {tuple(run) for run in runs} == {
        ("name", "campaign", "status", "learners_done", "learners", "started", "note", "owner", "untrusted", "outcome",
         "outcome_text", "counts", "best", "elapsed_seconds", "size", "differs", "jobs")
    }  # fmt: skip
    assert [(run["outcome"], run["counts"]) for run in runs] == [("criterion_not_met", {"done": 1})] * 2
    assert runs[0]["best"]["learner"] == "adaptive"
    assert [run["size"] for run in runs] == [None, None]
    assert [run["name"].rpartition("-")[2] for run in runs] == ["2", "1"]
    newer, older = (run["name"] for run in runs)
    for name, run in ((older, older), ("campaign.yaml", newer), ("rose-runs/latest", newer), (".", newer)):
        assert list(campaign.learners(name)) == ["adaptive" if run == newer else "short"]
    (learner,) = campaign.json("status", "--format", "json")["learners"]
    assert learner["name"] == "adaptive", "without a name it is the latest"


def test_a_run_elsewhere_is_found_by_its_folder_only(campaign: Rose) -> None:
    assert campaign("run", "campaign.yaml", "--run-dir", "elsewhere/r").code == 0
    assert campaign.json("list", "--format", "json") == []
    assert [campaign("status", name).code for name in ("elsewhere/r", "r", "campaign.yaml", ".")] == [0, 2, 2, 2]


def test_failed_learners_are_not_counted_as_done(rose: Rose) -> None:
    rose.write("{name: bad, max_iter: 1, tasks: {s: {executable: 'false'}}, learners: 5}")
    assert rose("run", "campaign.yaml").code == 1
    line = rose("list", COLUMNS="80").out.splitlines()[1]
    assert line.startswith("✗ bad-")
    assert "5 failed" in line
    assert "5/5" not in line
    (run,) = rose.json("list", "--format", "json")
    assert (run["outcome"], run["counts"]) == ("failed", {"failed": 5})


def test_the_size_of_a_run_is_counted_on_demand(rose: Rose) -> None:
    rose.write("""
        name: big
        max_iter: 1
        tasks: {s: {executable: "head -c 3000000 /dev/zero > x", shell: true}}
        learners: 1
    """)
    assert rose("run", "campaign.yaml").code == 0
    assert "size" not in rose("list").out
    assert " MB" in rose("list", "--size", COLUMNS="80").out.splitlines()[1]
    (run,) = rose.json("list", "--size", "--format", "json")
    assert 3_000_000 <= run["size"] < 4_000_000
    assert format_size(run["size"]) in rose("clean", run["name"], "--all", "--dry-run").out


def test_a_running_run_is_marked(rose: Rose) -> None:
    rose.write("{name: slow, max_iter: 1, tasks: {s: {executable: sleep 600}}, learners: 2}")
    process = rose.start("run", "campaign.yaml", "--output", "quiet")
    wait_until(lambda: rose("list").out.startswith(" ") and " running  " in rose("list").out)
    line = rose("list").out.splitlines()[1]
    assert line.startswith("▸ slow-")
    assert "2 running" in line
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert rose("list").out.splitlines()[1].startswith("■ slow-")


def test_the_settings_that_differ_between_runs_of_a_campaign(campaign: Rose) -> None:
    campaign.write("{name: other, max_iter: 1, tasks: {s: {executable: 'true'}}, learners: 1}", "other.yaml")
    assert campaign("run", "campaign.yaml", "--max-iter", "1").code == 0
    assert campaign("run", "other.yaml").code == 0
    assert campaign("run", "campaign.yaml", "--max-iter", "1", "--set", "tasks.simulation.options.--rate=0.5").code == 0
    listed = campaign.json("list", "--format", "json")
    runs = {f"{run['campaign']}-{run['name'][-1]}": run for run in listed}
    assert {name: run["differs"] for name, run in runs.items()} == {
        "looks-1": {"--rate": "0.001"},
        "looks-2": {"--rate": "0.5"},
        "other-1": {},
    }
    assert "\n    --rate 0.5\n" in campaign("list").out


# --- in which settings runs of one campaign file differ ---------------------------------------------------------------


def with_options(plan: Plan, **options: dict[str, Any]) -> Plan:
    """The plan with options of its first task, by learner."""
    learners = []
    for learner in plan.learners:
        first, *others = learner.steps
        command = replace(first.otherwise, options=options.get(learner.name, {}))
        learners.append(replace(learner, steps=(replace(first, otherwise=command), *others)))
    return replace(plan, learners=tuple(learners))


def settings(run: str, plan: Plan, bound: int | None = 15) -> RunSettings:
    return RunSettings.of(run, plan, {learner.name: bound for learner in plan.learners})


def test_only_what_differs_is_shown() -> None:
    plan = make_plan(("a", "b"))
    one = with_options(plan, a={"--lr": 0.1, "--n": 5}, b={"--lr": 0.1})
    two = with_options(plan, a={"--lr": 0.2, "--n": 5}, b={"--lr": 0.3})
    assert differing_settings([settings("1", one), settings("2", two, 20)]) == {
        "1": {"max_iter": "15", "--lr": "0.1"},
        "2": {"max_iter": "20", "--lr": "0.2, 0.3"},
    }
    assert differing_settings([settings("1", one), settings("2", one)]) == {"1": {}, "2": {}}
    assert differing_settings([settings("1", one)]) == {}


def test_an_option_that_a_run_lacks_another_threshold_and_another_engine() -> None:
    plan = make_plan(("a",))
    other = make_plan(("a",), criterion=make_criterion("mse", "<", 0.5))
    other = replace(with_options(other, a={"--fast": True}), engine=replace(plan.engine, kind="radical.pilot"))
    found = differing_settings([settings("1", plan), settings("2", other)])
    assert found["1"] == {"engine": "local", "until": "mean_squared_error_mse < 0.1", "--fast": "none"}
    assert found["2"] == {"engine": "radical.pilot", "until": "mse < 0.5", "--fast": "true"}


def test_values_are_written_as_in_other_tables() -> None:
    one, two = (with_options(make_plan(("a",)), a={"--hidden": hidden}) for hidden in ((32, 0.5), (True, False)))
    found = differing_settings([settings("1", one), settings("2", two)])
    assert found == {"1": {"--hidden": "32 0.5"}, "2": {"--hidden": "true false"}}


def test_learners_that_only_one_run_has_are_named_and_not_compared() -> None:
    one = with_options(make_plan(("a", "b")), a={"--lr": 0.1}, b={"--lr": 0.2})
    two = with_options(make_plan(("a",)), a={"--lr": 0.1})
    assert differing_settings([settings("1", one), settings("2", two)]) == {
        "1": {"learners": "a, b"},
        "2": {"learners": "a"},
    }


def test_secrets_are_not_shown() -> None:
    plan = make_plan(("a",))
    one, two = (with_options(plan, a={"--password": secret}) for secret in ("hunter2-hunter2", "swordfish-11"))
    found = differing_settings([settings("1", one), settings("2", two)])
    assert "hunter2" not in str(found)
    assert "swordfish" not in str(found)
    assert list(found["1"]) == ["--password"]


def test_a_run_of_very_many_learners_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_runs, "MOST_LEARNERS", 1)
    one, two = make_plan(("a", "b")), with_options(make_plan(("a",)), a={"--lr": 0.1})
    assert differing_settings([settings("1", one), settings("2", two), settings("3", make_plan(("a",)))]) == {
        "2": {"--lr": "0.1"},
        "3": {"--lr": "none"},
    }


def test_where_there_is_none_the_runs_nearby_are_named(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {s: {executable: 'true'}}, learners: 1}")
    assert rose("run", "campaign.yaml", "--run-dir", "elsewhere").code == 0
    assert rose("list").err == "no runs in '.'; there are runs in 'elsewhere'; try `rose status elsewhere`\n"
