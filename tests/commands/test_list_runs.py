"""`rose list`: the runs below a directory."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.conftest import PATIENCE, wait_until

if TYPE_CHECKING:
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
         "outcome_text", "counts", "best", "elapsed_seconds", "size", "differs")
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
