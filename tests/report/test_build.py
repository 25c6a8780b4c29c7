"""What a report shows of a run: from whole run directories, against what they were made to contain."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.journal import events as e
from rose_cli.loop.results import results
from rose_cli.report import build, columns, reduce
from rose_cli.report.data import OUTCOMES, Run, to_json
from rose_cli.report.reading import Reading
from rose_cli.report.timeline import Timeline
from rose_cli.run_info import initial_state, read_run
from rose_cli.runs.directory import RunDirectory
from tests.report import samples
from tests.report.samples import BEGAN, SAMPLES, SECRET, TRACEBACK, campaign, story

if TYPE_CHECKING:
    from pathlib import Path

    from rose_cli.journal.codec import Record


def shown(directory: Path, now: float = BEGAN + 1e6) -> Run:
    return build.report([Reading(RunDirectory.at(directory)).read()], now).runs[0]


def rows(run: Run) -> list[dict[str, Any]]:
    """The attempts, one by one."""
    names = ("learner", "iteration", "last", "replica", "attempt", "start", "seconds", "waited", "cores")
    return [
        {name: getattr(run.tasks, name)[at] for name in names}
        | {"task": run.tasks.names[run.tasks.task[at]] if run.tasks.task[at] >= 0 else None}
        | {"outcome": OUTCOMES[run.tasks.outcome[at]]}
        for at in range(len(run.tasks.start))
    ]


@pytest.mark.parametrize("name", sorted(SAMPLES.keys() - {"large", "five-hundred", "ten-thousand"}))
def test_every_sample_is_json_and_its_columns_have_one_length(name: str, tmp_path: Path) -> None:
    run = shown(SAMPLES[name](tmp_path))
    for learner in run.learners:
        lengths = {
            len(column)
            for column in (
                learner.iterations,
                learner.values,
                learner.best,
                learner.ended,
                learner.seconds,
                learner.core_seconds,
            )
        }
        assert len(lengths) == 1
    for column in run.columns:
        assert len(column.values) == len(run.learners)
        for values, learner in zip(column.values, run.learners, strict=True):
            assert not isinstance(values, list) or len(values) == len(learner.iterations)
    assert len({len(getattr(run.tasks, name)) for name in ("learner", "iteration", "start", "outcome", "cores")}) == 1
    text = json.dumps(samples.object_of(tmp_path / "rose-runs" / name, now=BEGAN), allow_nan=False)
    assert SECRET not in text


def test_values_ranks_and_costs_are_those_of_the_results(tmp_path: Path) -> None:
    directory = samples.two(tmp_path)
    run, info = shown(directory), read_run(RunDirectory.at(directory))
    found = results(info.plan, info.state, info.state.last_time)
    assert [learner.name for learner in run.learners] == [learner.name for learner in found.learners]
    for learner, expected in zip(run.learners, found.learners, strict=True):
        assert list(learner.values) == expected.state.history
        assert learner.used.core_seconds == pytest.approx(expected.cost.core_seconds)
        assert learner.seconds[-1] == pytest.approx(expected.cost.seconds)
        if expected.to_threshold is None:
            assert learner.met is None
        else:
            assert learner.met is not None
            assert learner.met.iterations == expected.to_threshold.iterations
            assert learner.met.at == pytest.approx(learner.ended[learner.met.iterations - 1])
    static, adaptive = run.learners
    assert static.places == {"best": 1, "iterations": 1, "time": 1, "core-seconds": 1}
    assert adaptive.places == {"best": 2}
    assert run.criteria[0].text == "rmse < 0.2"
    assert run.criteria[0].lower is True


def test_the_best_so_far_never_gets_worse(tmp_path: Path) -> None:
    run = shown(samples.several_metrics(tmp_path))
    by_name = {learner.name: learner for learner in run.learners}
    assert list(by_name["up"].best) == [max(by_name["up"].values[: at + 1]) for at in range(14)]  # type: ignore[type-var]
    assert list(by_name["down"].best) == [min(by_name["down"].values[: at + 1]) for at in range(9)]  # type: ignore[type-var]
    assert [criterion.lower for criterion in run.criteria] == [True, False, None, True]
    assert by_name["near"].best[-1] == min(by_name["near"].values, key=lambda value: abs((value or 0) - 0.5))


def test_numbers_at_the_edges_stay_what_they_are(tmp_path: Path) -> None:
    run = samples.object_of(samples.odd(tmp_path))["runs"][0]
    values = {learner["name"]: learner["values"] for learner in run["learners"]}
    assert values["learner-0"] == [
        "nan",
        0.5,
        "inf",
        1e308,
        "-inf",
        5e-324,
        0,
        0.25,
        "nan",
        1e-12,
        2.0**60,
        0.1 + 0.2,
    ]
    assert values["learner-2"] == [None] * 12
    found = {column["name"]: column for column in run["columns"] if column["kind"] == "reported"}
    assert found["huge"]["values"][0][:2] == [str(2**70), str(2**70 + 1)]
    assert found["x"]["is_numeric"]
    assert not found["mixed"]["is_numeric"]
    assert found["list"]["values"][0] == '[1, 2.5, "three", null]'
    assert found["nested"]["values"][0] == '{"a": [1, {"b": "nan"}]}'


# --- the timeline ---------------------------------------------------------------------------------------------------


def test_a_comparison_keeps_all_digits_of_its_values(tmp_path: Path) -> None:
    """It has times too, but a best value of 0.00078745 must not become 0.001, which nobody has computed."""
    compared = {"runs": [{"metrics": [{"best_value": 0.00078745, "thresholds": [0.0004]}]}]}
    run = Reading(RunDirectory.at(samples.odd(tmp_path))).read()
    assert to_json(build.report([run], BEGAN, compared))["comparison"] == compared


def test_every_attempt_is_there_with_its_wait_and_its_end(tmp_path: Path) -> None:
    text = campaign(learners=2, max_iter=1)
    told = story(tmp_path, "r", text, 1, seconds=lambda *_: 10.0, fails=lambda learner, _, task, attempt: (
        TRACEBACK if (learner.index, task, attempt) == (0, "train", 1) else None))  # fmt: skip
    told.run()
    told.end("finished")
    run = shown(told.write(text))
    place = {learner.name: at for at, learner in enumerate(run.learners)}
    first = [row for row in rows(run) if row["learner"] == place["learner-0"]]
    assert [(row["task"], row["attempt"], row["outcome"], row["start"]) for row in first] == [
        ("simulate", 1, "succeeded", 0.0),
        ("train", 1, "failed", 20.0),
        ("train", 2, "succeeded", 40.0),
        ("criterion", 1, "succeeded", 60.0),
    ]
    assert [row["waited"] for row in first] == [0.0, 10.0, 10.0, 10.0]
    assert {row["seconds"] for row in first} == {10.0}
    assert (run.cores.at[0], run.cores.used[0]) == (0.0, 1.0)
    assert (run.cores.at[-1], run.cores.used[-1]) == (70.0, 0.0)
    assert [(task.task, task.attempts, task.failed) for task in run.durations] == [
        ("simulate", 2, 0), ("train", 3, 1), ("criterion", 2, 0),
    ]  # fmt: skip
    assert run.totals.core_seconds == pytest.approx(70)
    assert run.totals.lost_core_seconds == pytest.approx(10)
    assert run.totals.capacity_core_seconds == pytest.approx(70)


def test_an_end_that_is_recorded_late_uses_no_core_twice(tmp_path: Path) -> None:
    """On one core: the next attempt begins on it before the end of the one before is in the journal."""
    text = campaign(learners=2, max_iter=1)
    told = story(tmp_path, "r", text, 1, seconds=lambda *_: 10.0)
    told.run()
    told.end("finished")
    info = read_run(RunDirectory.at(told.write(text)))
    records: list[Record] = []
    info.read_journal(records.append)
    for at in range(len(records) - 1):
        end, start = records[at : at + 2]
        if isinstance(end.event, e.AttemptSucceeded) and isinstance(start.event, e.AttemptStarted):
            records[at : at + 2] = [start, replace(end, time=end.time + 0.008)]
    timeline = Timeline(info.plan, initial_state(info.plan))
    for record in records:
        timeline.consume(record)
    assert max(timeline.use) == 1
    assert [end - start for start, end in zip(timeline.start, timeline.end, strict=True)] == pytest.approx([10.0] * 6)


def test_no_more_cores_are_in_use_than_there_are_however_late_ends_are_recorded(tmp_path: Path) -> None:
    """On two cores: both are free and taken again before either end is in the journal; what the engine measured counts
    from the start of the process, and so seems to end after the next attempt began."""
    told = story(tmp_path, "r", text := campaign(learners=2, max_iter=1), 2)
    steps = [
        (learner, 0, task, 0, 1)
        for task in ("simulate", "train", "criterion")
        for learner in ("learner-0", "learner-1")
    ]
    for step in steps[:2]:
        told.tell(e.AttemptStarted(*step, cores=1))
    for before, after in ((steps[:2], steps[2:4]), (steps[2:4], steps[4:])):
        told.now += 10
        for step in after:
            told.tell(e.AttemptStarted(*step, cores=1))
            told.now += 0.001
        told.now += 0.02
        for step in before:
            told.tell(e.AttemptSucceeded(*step, seconds=10.01))
    told.now += 10
    for step in steps[4:]:
        told.tell(e.AttemptSucceeded(*step, seconds=9.9, value=0.5 if step[2] == "criterion" else None))
    told.end("interrupted")
    run = shown(told.write(text))
    assert max(run.cores.used) == 2
    assert run.cores.used[-1] == 0
    assert list(run.cores.at) == sorted(run.cores.at)


def test_sessions_that_died_lose_their_attempts_where_they_ended(tmp_path: Path) -> None:
    run = shown(samples.interrupted(tmp_path))
    first, second = run.sessions
    assert (first.reason, first.message, second.reason) == ("interrupted", "Ctrl-C", None)
    assert second.start == pytest.approx(900)
    assert second.end is not None
    for kind in ("failed", "cancelled", "lost"):
        assert sum(getattr(task, kind) for task in run.durations) == getattr(run.totals, kind)
    cancelled = [row for row in rows(run) if row["outcome"] == "cancelled"]
    lost = [row for row in rows(run) if row["outcome"] == "lost"]
    assert len(cancelled) == 4
    assert [row["start"] + row["seconds"] for row in cancelled] == pytest.approx([300] * 4)
    assert lost
    assert [row["start"] + row["seconds"] for row in lost] == pytest.approx([second.end] * len(lost))
    assert [capacity.cores for capacity in run.cores.capacity] == [4, None, 4, None]
    assert not [row for row in rows(run) if row["outcome"] == "running"]


def test_running_tasks_are_drawn_up_to_now(tmp_path: Path) -> None:
    directory = samples.running(tmp_path)
    info, timeline = Reading(RunDirectory.at(directory)).read()
    now = info.state.last_time + 50
    run = build.report([(info, timeline)], now).runs[0]
    open_ends = [row for row in rows(run) if row["outcome"] == "running"]
    assert run.alive
    assert len(open_ends) == 4
    assert [row["start"] + row["seconds"] for row in open_ends] == pytest.approx([now - (run.began or 0)] * 4)
    assert run.sessions[0].end is None
    assert run.totals.running == 4


def test_a_rerun_marks_what_it_has_undone(tmp_path: Path) -> None:
    told = story(tmp_path, "r", text := campaign(learners="[{name: a}]", max_iter=3, threshold=0.0001), 1)
    told.run()
    told.end("finished")
    told.now += 10
    told.start()
    told.tell(e.LearnerReopened("a", "rerun", from_iteration=1))
    where = ("a", 1, "simulate", 0, 2)
    told.tell(e.AttemptStarted(*where, cores=1))
    told.now += 5
    told.tell(e.AttemptSucceeded(*where, seconds=5.0))
    told.end("interrupted")
    run = shown(told.write(text))
    assert [(rows(run)[at]["iteration"], rows(run)[at]["attempt"]) for at in run.tasks.undone] == [(1, 1)] * 3 + [
        (2, 1)
    ] * 3
    assert list(run.learners[0].iterations) == [0]


def test_a_learner_of_a_session_that_died_is_interrupted_as_in_the_status(tmp_path: Path) -> None:
    run = shown(samples.interrupted(tmp_path))
    assert run.headline.startswith("interrupted")
    assert {learner.status for learner in run.learners} == {"interrupted"}


def test_the_plan_counts_with_the_cores_that_the_latest_session_had(tmp_path: Path) -> None:
    told = story(tmp_path, "r", text := campaign(learners=6), 3)
    told.run()
    told.end("finished")
    assert "up to 3 at a time on 3 cores" in " ".join(shown(told.write(text)).ran.plan)


def test_equal_failures_are_one(tmp_path: Path) -> None:
    run = shown(samples.failed(tmp_path))
    (failure,) = run.failures
    assert failure.attempts == 15
    assert failure.final == 5
    assert failure.made_good == 0
    assert len(failure.learners) == 5
    assert failure.lines[-1].startswith("ValueError: no data for learner-")
    assert failure.log == f"learners/{failure.learner}/logs/0/train.1.err"
    again = shown(samples.resumed(tmp_path))
    assert all(each.final == 0 and each.made_good == each.attempts for each in again.failures)


# --- what was run ---------------------------------------------------------------------------------------------------


def test_what_was_run_has_no_secret(tmp_path: Path) -> None:
    run = shown(samples.two(tmp_path))
    assert run.ran.campaign is not None
    assert SECRET not in run.ran.campaign
    assert "HF_TOKEN: *****" in run.ran.campaign
    assert dict(run.ran.facts)["host"] == "node017"
    assert dict(run.ran.facts)["sessions"] == "1"
    assert dict(run.ran.facts)["Python"] == "3.12.4"
    assert any("train.py" in line for line in run.ran.plan)


def test_the_code_of_each_session_is_named(tmp_path: Path) -> None:
    commit = "5f4dcc3b5aa765d61d8327deb882cf99ab12cd34 (main) of https://example.org/ada/al.git"
    assert (
        dict(shown(samples.interrupted(tmp_path)).ran.facts)["code"] == f"{commit}, unchanged, {commit}, 1 file changed"
    )


@pytest.mark.parametrize(
    ("session", "text"),
    [
        (e.SessionDescribed(1), "not in a git repository"),
        (e.SessionDescribed(1, git_problem="git took too long"), "unknown (git took too long)"),
        (e.SessionDescribed(1, campaign_path="."), "no commit yet"),
        (e.SessionDescribed(1, campaign_path=".", commit="c1"), "c1, changes unknown"),
        (
            e.SessionDescribed(1, campaign_path=".", commit="c1", changes=0, untracked_count=2),
            "c1, unchanged, 2 untracked files",
        ),
    ],
)
def test_what_is_known_of_the_code_is_said(session: e.SessionDescribed, text: str) -> None:
    assert build._code(session) == text


def test_a_secret_in_a_forged_journal_is_masked_too(tmp_path: Path) -> None:
    told = story(
        tmp_path, "r", text := campaign(learners=1, max_iter=1),
        fails=lambda *_: (f"token hf_{SECRET}",), result=lambda *_: {f"hf_{SECRET}": f"x hf_{SECRET}"},
    )  # fmt: skip
    told.run()
    told.end("finished", f"hf_{SECRET}")
    assert SECRET not in json.dumps(to_json(build.report([Reading(RunDirectory.at(told.write(text))).read()], BEGAN)))


def test_a_run_without_its_campaign_file_is_reported(tmp_path: Path) -> None:
    directory = samples.two(tmp_path)
    (directory / "campaign.yaml").unlink()
    assert shown(directory).ran.campaign is None


# --- less of many ---------------------------------------------------------------------------------------------------


def test_of_too_many_learners_the_telling_ones_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = campaign(learners=60, max_iter=5, threshold=0.6)
    told = story(tmp_path, "r", text, 30, fails=lambda learner, i, task, _: (
        TRACEBACK if task == "train" and i == 1 and learner.index % 10 == 3 else None))  # fmt: skip
    told.run()
    told.end("finished")
    whole = shown(told.write(text))
    assert whole.left_out is None
    for name, value in (("MOST_LEARNERS", 50), ("BEST", 10), ("WORST", 5), ("FAILED_ONES", 4), ("FIRST", 2)):
        monkeypatch.setattr(reduce, name, value)
    run = shown(told.write(text))
    names = [learner.name for learner in run.learners]
    order = [learner.name for learner in whole.learners]
    assert [name for name in order if name in names] == names
    assert names[:10] == order[:10]
    assert sum(learner.why == "failed" for learner in run.learners) >= 3
    assert {learner.why for learner in run.learners} >= {"best", "worst", "failed"}
    first = min((each.met.core_seconds, each.name) for each in whole.learners if each.met)
    assert first[1] in names
    assert run.left_out is not None
    assert run.left_out.learners == 60 - len(names)
    assert run.left_out.text.startswith(
        f"{len(names)} of 60 learners are shown one by one: the best 10, the first 2 to meet"
    )
    assert run.bands == whole.bands
    assert run.totals == whole.totals
    assert run.durations == whole.durations
    places = {learner.name: learner.places for learner in whole.learners}
    assert all(learner.places == places[learner.name] for learner in run.learners)


def test_too_many_attempts_become_bars_of_iterations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = samples.resumed(tmp_path)
    whole = shown(directory)
    monkeypatch.setattr(reduce, "MOST_BARS", 60)
    run = shown(directory)
    assert len(run.tasks.start) <= 120
    assert run.tasks.merged > 1
    assert run.tasks.text is not None
    assert run.tasks.text.startswith(
        f"{len(whole.tasks.start)} attempts: bars stand for up to {run.tasks.merged} iterations"
    )
    kept = [row for row in rows(run) if row["outcome"] not in ("succeeded", "running")]
    assert kept == [row for row in rows(whole) if row["outcome"] not in ("succeeded", "running")]
    for row in rows(run):
        if row["task"] is None:
            inside = [
                each for each in rows(whole)
                if each["learner"] == row["learner"] and row["iteration"] <= each["iteration"] <= row["last"]
                and each["outcome"] == "succeeded" and row["start"] <= each["start"] <= row["start"] + row["seconds"]
            ]  # fmt: skip
            assert inside
            assert row["seconds"] == pytest.approx(max(r["start"] + r["seconds"] for r in inside) - row["start"])
    assert list(run.tasks.start) == sorted(run.tasks.start)


def test_a_long_curve_keeps_its_ends_and_its_extremes() -> None:
    values: list[float | None] = [math.sin(at / 50) + (at == 777) * 5 - (at == 1234) * 5 for at in range(5_000)]
    values[10] = None
    kept = reduce.thinned(values, 200, [333])
    assert len(kept) <= 210
    assert {0, 333, 777, 1234, 4_999} <= set(kept)
    assert list(reduce.thinned(values[:200], 200)) == list(range(200))


def test_cores_in_use_are_means_and_peaks_where_they_change_too_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = samples.two(tmp_path)
    whole = shown(directory).cores
    monkeypatch.setattr(reduce, "MOST_STEPS", 40)
    run = shown(directory)
    assert run.cores.seconds is not None
    assert len(run.cores.used) == 10
    exact = sum(used * (end - at) for used, at, end in zip(whole.used, whole.at, whole.at[1:], strict=False))
    assert sum(run.cores.used) * run.cores.seconds == pytest.approx(exact)
    assert max(run.cores.peak) == max(whole.used)


def test_percentiles_are_those_of_the_values() -> None:
    found = reduce.band(0, [[float(value)] for value in range(11)] + [[math.nan], [None], []])
    assert found is not None
    assert found.counts == [11]
    assert (found.p0[0], found.p10[0], found.p25[0], found.p50[0], found.p90[0], found.p100[0]) == (0, 1, 2.5, 5, 9, 10)
    assert reduce.band(0, [[1.0], [2.0]]) is None
    assert reduce.band(0, [[math.nan]] * 4) is None


def test_learners_with_thresholds_of_their_own_have_percentiles_together(tmp_path: Path) -> None:
    learners = [f"{{name: t{at}, stop: {{metric: rmse, threshold: 0.{at}}}}}" for at in range(1, 6)]
    told = story(tmp_path, "r", text := campaign(learners=f"[{', '.join(learners)}]", max_iter=3))
    told.run()
    told.end("finished")
    run = shown(told.write(text))
    assert [criterion.threshold for criterion in run.criteria] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert [(band.criterion, band.counts[0]) for band in run.bands] == [(0, 5)]


def test_what_others_wrote_cannot_make_a_report_large(tmp_path: Path) -> None:
    """Long texts in each place where a task or a campaign can have one."""
    long = "".join(map(chr, range(0x4E00, 0x4E00 + 1_000))) * 20
    text = campaign(learners=5, max_iter=3) + f"# {long}\n" + "#\n" * 100_000
    told = story(
        tmp_path, "r", text, result=lambda _, i, __: {f"{at} {long[:9_000]}": f"{i} {long}" for at in range(3)},
        fails=lambda _, i, task, attempt: [f"{i} {long}"] * 20 if (task, attempt) == ("train", 1) else None,
    )  # fmt: skip
    told.run()
    told.end("failed", long)
    report = build.report([Reading(RunDirectory.at(told.write(text))).read()], BEGAN)
    assert len(json.dumps(to_json(report), ensure_ascii=False)) < 2_000_000
    assert report.runs[0].ran.campaign is not None
    assert report.runs[0].ran.campaign.endswith("more lines")


def test_too_many_columns_and_values_are_left_out_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = samples.two(tmp_path)
    monkeypatch.setattr(columns, "MOST_COLUMNS", 2)
    assert shown(directory).columns_left_out == "6 of 8 columns are left out"
    monkeypatch.setattr(columns, "MOST_VALUES", 10)
    run = shown(directory)
    assert run.columns_left_out is not None
    assert run.columns_left_out.startswith("options and reported values are those of the first 1 learners of the list")
    assert run.columns[0].values[1] is None


# --- reading on -----------------------------------------------------------------------------------------------------


def test_a_running_run_is_read_on_and_gives_what_a_whole_reading_gives(tmp_path: Path) -> None:
    directory = samples.interrupted(tmp_path)
    journal = directory / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    reading = Reading(RunDirectory.at(directory))
    for end in (1, 2, 40, 41, len(lines) // 2, len(lines) - 3, len(lines)):
        journal.write_bytes(b"".join(lines[:end]) + b'{"seq":')
        new = to_json(build.report([reading.read()], BEGAN))
        assert new == to_json(build.report([Reading(RunDirectory.at(directory)).read()], BEGAN)), end


def test_only_new_records_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = RunDirectory.at(samples.two(tmp_path))
    reading = Reading(directory)
    _, timeline = reading.read()
    seen: list[object] = []
    monkeypatch.setattr(timeline, "consume", seen.append)
    assert reading.read()[1] is timeline
    assert seen == []
    plan = directory.plan.read_text(encoding="utf-8")
    directory.plan.unlink()
    directory.plan.write_text(plan, encoding="utf-8")
    assert reading.read()[1] is not timeline


def test_nothing_is_written_to_the_run(tmp_path: Path) -> None:
    directory = samples.running(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")} | {
        directory: directory.stat().st_mtime_ns
    }
    shown(directory)
    assert before == {path: path.stat().st_mtime_ns for path in directory.rglob("*")} | {
        directory: directory.stat().st_mtime_ns
    }


def test_a_damaged_journal_is_reported_up_to_its_damage(tmp_path: Path) -> None:
    directory = samples.two(tmp_path)
    lines = (directory / "journal.jsonl").read_bytes().splitlines(keepends=True)
    lines[30] = lines[30].replace(b"4", b"5", 1)
    (directory / "journal.jsonl").write_bytes(b"".join(lines))
    run = shown(directory)
    assert "the journal is damaged, and the report incomplete" in run.notices[0]
    assert 0 < len(run.tasks.start) < 20
