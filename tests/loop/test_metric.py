"""The criterion's value in process: where it is read, what is none, and when a file is of this iteration."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from rose_cli.journal.state import FileOrigin, LearnerState
from rose_cli.loop import metric
from rose_cli.loop.metric import GRAIN_SECONDS, METRIC_BYTES, MOST_ENTRIES, MetricFile, NoMetricError, read_metric
from rose_cli.loop.regex import SlowMatchError
from rose_cli.plan.model import CriterionPlan, FilePlan, LearnerPlan, MetricSource

if TYPE_CHECKING:
    from pathlib import Path

NOTHING: Any = None


class Place:
    """A run directory with the output of a criterion and a workspace."""

    def __init__(self, run: Path) -> None:
        self.run, self.stdout, self.workspace = run, run / "out", run / "workspace"
        self.workspace.mkdir()

    def read(
        self,
        *,
        file: str | None = None,
        json_path: str | None = None,
        regex: str | None = None,
        lowest: float | None = None,
        highest: float | None = None,
    ) -> float:
        criterion = CriterionPlan(
            NOTHING, "mse", "<", 0.5, MetricSource(file, json_path, regex), None, 0.0, 1, lowest, highest
        )

        async def found() -> float:
            return await read_metric(
                criterion, self.stdout, self.workspace, lambda text: text.replace("hush", "***"), inside=self.run
            )

        return anyio.run(found)

    def value(self, text: str, **more: Any) -> float:
        self.stdout.write_text(text)
        return self.read(**more)

    def refusal(self, text: str, **more: Any) -> str:
        with pytest.raises(NoMetricError) as caught:
            self.value(text, **more)
        return str(caught.value)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# --- the last line -------------------------------------------------------------------------------------------------


def test_the_value_is_the_last_line(place: Place) -> None:
    assert place.value("noise\n0.5\n\n") == 0.5
    assert place.value("0.5\r0.25\r\n") == 0.25
    assert math.isnan(place.value("nan"))


def test_what_is_no_number_is_shown_without_secrets(place: Place) -> None:
    message = place.refusal("0.5\nhush it is good\n")
    assert message.startswith("expected a number on the last line of its standard output, found '*** it is good'")
    assert place.refusal("") == "expected a number on the last line of its standard output, found nothing"
    long = place.refusal("x" * 121)
    assert f"found '{'x' * 117}...'" in long
    assert f"found '{'x' * 120}'" in place.refusal("x" * 120)
    assert "\\u200b" in place.refusal("0.5\u200b x")


def test_only_whole_lines_of_a_large_output_count(place: Place) -> None:
    line = "1" * 99 + "\n"
    large = line * (METRIC_BYTES // 100 + 1)
    assert place.value(large + "0.5\n") == 0.5
    cut = "123456\n" + "x" * (METRIC_BYTES - 4)
    assert "found 'xxx" in place.refusal(cut)
    assert "longer than 1 MB" in place.refusal("1" * (METRIC_BYTES + 1))
    assert place.value("9\n" + "1" + " " * (METRIC_BYTES - 2)) == 1.0, "what is cut is the line before"


# --- files ---------------------------------------------------------------------------------------------------------


def test_the_value_is_read_in_a_file_of_the_workspace(place: Place) -> None:
    (place.workspace / "m.txt").write_text("0.5\n0.25\n")
    assert place.value("7", file="m.txt") == 0.25


def test_a_file_that_is_not_there_is_told_from_what_is_no_file(place: Place) -> None:
    start = "expected the metric in 'm.txt': "
    assert place.refusal("7", file="m.txt") == f"{start}there is no such file in the workspace, which is empty"
    (place.workspace / "m.txt").mkdir()
    assert place.refusal("7", file="m.txt") == f"{start}that is a directory"
    (place.workspace / "m.txt").rmdir()
    os.mkfifo(place.workspace / "m.txt")
    assert place.refusal("7", file="m.txt") == f"{start}that is not a regular file"
    assert place.refusal("7", file="m.txt/x").endswith("no directory 'm.txt' in the workspace, which has 'm.txt'")
    place.stdout.unlink()
    with pytest.raises(NoMetricError, match="in its standard output: there is no such file"):
        place.read()


def test_the_files_that_are_there_instead_are_named_the_closest_first(place: Place) -> None:
    for name in ("a.py", "b.py", "out/loss.txt", "score0.json", "score1.json", "z.npz", ".hidden"):
        (place.workspace / name).parent.mkdir(exist_ok=True)
        (place.workspace / name).write_text("0.5")
    told = place.refusal("7", file="score{iteration}.json").partition(": there is ")[2]
    assert told == "no such file in the workspace, which has 'score1.json', 'score0.json', 'a.py', 'b.py' and 2 more"
    told = place.refusal("7", file="out/lass.txt").partition(": there is ")[2]
    assert told == "no such file in the directory 'out' of the workspace, which has 'loss.txt'"
    told = place.refusal("7", file="outs/deep/loss.txt").partition(": there is ")[2]
    assert told.startswith("no directory 'outs' in the workspace, which has 'out/', ")


def test_names_in_a_workspace_are_shown_without_secrets_and_without_effect_on_a_terminal(place: Place) -> None:
    for name in ("m.hush", "m.\x1b[2J", "m." + "x" * 200, os.fsdecode(b"m.\xff")):
        (place.workspace / name).write_text("0.5")
    told = place.refusal("7", file="m.txt")
    assert "'m.***'" in told
    assert "'m.\\x1b[2J'" in told
    assert "'m.\\udcff'" in told
    assert "x" * 60 not in told


def test_a_directory_of_many_files_is_not_read_to_its_end(place: Place) -> None:
    for number in range(MOST_ENTRIES + 5):
        (place.workspace / f"{number}.txt").touch()
    assert place.refusal("7", file="m.txt").endswith(f" and {MOST_ENTRIES - 4} more")


# --- JSON ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ('{"a": 1}', "a", 1.0),
        ('{"a": {"b": 0.5}}', "a.b", 0.5),
        ('{"a.b": 0.5, "a": {"b": 1}}', "a.b", 0.5),
        ('{"a": [1, 2]}', "a.1", 2.0),
        ('{"a": [1, 2]}', "a.-1", 2.0),
        ('{"a": [1, 2]}', "a.-2", 1.0),
        ('{"a": "0.5"}', "a", 0.5),
        ('{\n "a": 1\n}', "a", 1.0),
        ('{"a": 0}\n{"a": 1}', "a", 1.0),
        ('{"a": 1' + "0" * 400 + "}", "a", math.inf),
        ('{"a": -1' + "0" * 400 + "}", "a", -math.inf),
        ('[{"a": 3}]', "0.a", 3.0),
    ],
)
def test_the_value_is_read_in_json(place: Place, text: str, path: str, expected: float) -> None:
    assert place.value(text, json_path=path) == expected


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ('{"a": true}', "a", "expected a number on 'a' in the JSON of its standard output, found 'true'"),
        ('{"a": "hush"}', "a", "expected a number on 'a' in the JSON of its standard output, found '***'"),
        (
            '{"a": [1, 2]}',
            "a",
            "expected a number on 'a' in the JSON of its standard output, found a list of 2, counted from 0",
        ),
        ('{"a": {}}', "a", "expected a number on 'a' in the JSON of its standard output, found no keys"),
        ('{"b": 1, "c": 2}', "a", "expected the key 'a' in the JSON of its standard output, which has the keys b, c"),
        (
            '{"x": {"a": 1}}',
            "a",
            "expected the key 'a' in the JSON of its standard output, which has the keys x; did you mean 'x.a'?",
        ),
        (
            '{"a": [1, 2]}',
            "a.2",
            "expected the key 'a.2' in the JSON of its standard output, which has a list of 2, counted from 0",
        ),
        ('{"a": [1, 2]}', "a.-3", "expected the key 'a.-3' in"),
        ('{"a": [1, 2]}', "a.x", "expected the key 'a.x' in"),
        ('{"a": 1}', "a.b", "expected the key 'a.b' in the JSON of its standard output, which has '1'"),
        ("hush\n", "a", "expected JSON in its standard output; it ends with '***'"),
        ("", "a", "expected JSON in its standard output; it is empty"),
    ],
)
def test_json_without_the_value_is_explained(place: Place, text: str, path: str, message: str) -> None:
    assert place.refusal(text, json_path=path).startswith(message)


# --- regular expressions -------------------------------------------------------------------------------------------


def test_the_value_is_what_an_expression_finds_last(place: Place) -> None:
    assert place.value("mse: 1\nmse: 0.5\nacc: 9\n", regex=r"mse: (\S+)") == 0.5
    assert place.value("7", regex=r"\d") == 7.0
    assert place.value("\x1b[1m0.5\x1b[0m", regex=r"\x1b\[1m(\S+)\x1b") == 0.5, "also in what nobody sees"


def test_an_expression_that_finds_no_number_is_explained(place: Place) -> None:
    message = place.refusal("hush\n", regex="mse: (.*)")
    assert message == "expected its standard output to match 'mse: (.*)'; it ends with '***'"
    assert place.refusal("mse: hush", regex="mse: (.*)").startswith(
        "expected a number on what 'mse: (.*)' finds in its standard output, found '***'"
    )
    assert "found nothing" in place.refusal("mse: \n", regex="mse: ?(.*)")


def test_a_number_is_read_without_its_colours(place: Place) -> None:
    assert place.value('{"a": "\\u001b[1m0.5\\u001b[0m"}', json_path="a") == 0.5
    assert place.value("x=\x1b[1m0.5\x1b[0m", regex="x=(.*)") == 0.5


def test_what_looks_like_json_and_is_not_gets_advice(place: Place) -> None:
    message = place.refusal("{'a': 1}\n", json_path="a")
    assert message.startswith(
        "expected JSON in its standard output; it ends with '{'a': 1}'; this is not JSON: print it"
    )
    assert place.refusal("a: 1\n", json_path="a").endswith("it ends with 'a: 1'")


def test_the_key_that_is_proposed_has_the_same_last_part(place: Place) -> None:
    assert "did you mean" not in place.refusal('{"x": {"b": 1}}', json_path="a")
    assert place.refusal('{"x": {"b": {"a": 1}}, "a": {"y": 2}}', json_path="z.a").endswith("did you mean 'x.b.a'?")
    assert "did you mean" not in place.refusal('{"a": true}', json_path="b.a")


def test_an_expression_that_may_take_for_ever_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(*_: object) -> None:
        raise SlowMatchError

    monkeypatch.setattr(metric, "find_last", slow)
    message = place.refusal("x", regex="(a+)+b")
    assert message.startswith("the search for '(a+)+b' in its standard output was stopped after 2 seconds of CPU")


def test_a_metric_file_that_a_task_has_moved_elsewhere_is_read(place: Place, tmp_path: Path) -> None:
    """It may be a link out of the run, if the task owns it; others' links are not followed."""
    outside = tmp_path.parent / f"{tmp_path.name}.outside"
    outside.write_text("0.5")
    (place.workspace / "m.txt").symlink_to(outside)
    assert place.value("7", file="m.txt") == 0.5
    outside.unlink()
    os.mkfifo(outside)
    assert place.refusal("7", file="m.txt").endswith("in 'm.txt': that is not a regular file")


# --- the range -----------------------------------------------------------------------------------------------------


def test_a_value_lies_in_the_range_of_its_metric(place: Place) -> None:
    for text in ("0", "1", "1.0000001", "-0.0000001", "nan"):
        place.value(text, lowest=0.0, highest=1.0)
    assert place.value("-5") == -5.0
    said = "is outside the range of 'mse', "
    assert place.refusal("-0.5", lowest=0.0).startswith(f"-0.5 {said}0 and above: print nan if there is no value, or")
    assert place.refusal("7", highest=5.0).startswith(f"7 {said}up to 5: print nan")
    assert place.refusal("95", lowest=0.0, highest=1.0).startswith(f"95 {said}0 to 1: print 0.95 for 95 %, or set")
    assert "or set range: any" in place.refusal("101", lowest=0.0, highest=1.0)
    assert "print 1 for 100 %" in place.refusal("100", lowest=0.0, highest=1.0)
    assert place.refusal("inf", highest=5.0).endswith("up to 5: print nan if there is no value")
    assert place.value("1000.0005", highest=1000.0) == 1000.0005
    assert "outside" in place.refusal("1000.002", highest=1000.0)
    assert "outside" in place.refusal("-1000.002", lowest=-1000.0)


# --- files of this iteration ---------------------------------------------------------------------------------------


def learner_plan(*files: FilePlan) -> LearnerPlan:
    return LearnerPlan("a", 0, 0, None, (), None, files)


@pytest.fixture
def file(place: Place) -> MetricFile:
    (place.workspace / "m.txt").write_text("0.5")
    return MetricFile("m.txt", place.workspace, inside=place.run)


def look(file: MetricFile) -> str | None:
    async def looked() -> str | None:
        return file.look()

    return anyio.run(looked)


def age(place: Place, seconds: float) -> None:
    now = time.time() - seconds
    os.utime(place.workspace / "m.txt", (now, now))


def why(file: MetricFile, *origins: FileOrigin, files: tuple[FilePlan, ...] = (), started: float | None = 0.0) -> str:
    return file.why_stale(learner_plan(*files), LearnerState("a", file_origins=origins), started)


def test_where_a_file_comes_from_is_said(place: Place, file: MetricFile) -> None:
    now = look(file)
    assert now is not None
    start = "'m.txt' was not written in this iteration: "
    of = [FileOrigin(now, 3, "s", failed) for failed in (True, False)]
    assert why(file, of[0]).startswith(f"{start}an attempt of 's' wrote it in iteration 3, and failed (")
    assert why(file, of[1]).startswith(f"{start}it is from iteration 3 (")
    assert why(file, of[0], of[1]).startswith(f"{start}it is from iteration 3"), "the first who wrote it"
    assert why(file, FileOrigin("other", 3, "s", False)).startswith(f"{start}no successful attempt wrote it (")
    changed = why(file, FileOrigin("other", 0, "s", False))
    assert changed.startswith("'m.txt' has changed since 's' wrote it in this iteration (")
    assert "`--from-iteration 0`" in changed
    assert why(file, FileOrigin("other", 0, "s", True)).startswith(f"{start}no successful attempt wrote it (")
    for target, is_it in (("m.txt", True), ("./x/../m.txt", True), ("m", False), ("x", False)):
        brought = why(file, files=(FilePlan("/x", target, False, False),))
        assert (
            brought.startswith(f"{start}{'files' if is_it else 'no successful attempt'}")
            or ("it comes from 'files'" in brought) == is_it
        )
    age(place, 100)
    assert why(file, started=time.time() - 50).startswith(f"{start}it is older than this run (")
    assert why(file, started=time.time() - 500).startswith(f"{start}no successful attempt")
    assert why(file, started=None).startswith(f"{start}no successful attempt")
    inner = MetricFile("d/m.txt", place.workspace, inside=place.run)
    assert "it comes from 'files'" in why(inner, files=(FilePlan("/x", "d", False, False),))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1.2, "(1 s old)"), (119, "(119 s old)"), (121, "(2 min old)"), (7100, "(118 min old)"), (7300, "(2 hours old)"),
     (172_000, "(48 hours old)"), (173_000, "(2 days old)"), (864_000, "(10 days old)")],
)  # fmt: skip
def test_how_old_a_file_is(
    place: Place, file: MetricFile, seconds: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    os.utime(place.workspace / "m.txt", (now - seconds, now - seconds))
    assert said in why(file)


def test_a_file_of_the_future_has_no_age(place: Place, file: MetricFile) -> None:
    age(place, -1000)
    assert " old)" not in why(file)


def test_a_signature_is_that_of_what_is_there(place: Place, file: MetricFile) -> None:
    first = look(file)
    assert first is not None
    assert look(file) == first
    (place.workspace / "m.txt").write_text("0.25")
    assert look(file) not in {first, None}
    (place.workspace / "m.txt").unlink()
    assert look(file) is None


def test_a_file_settles_before_an_attempt(place: Place, file: MetricFile) -> None:
    """Until the same bytes, written anew, have another time; at once where the file is gone or has settled."""

    async def settled(mtime_ns: int | None) -> float:
        path = place.workspace / "m.txt"
        watched = MetricFile("m.txt", place.workspace, inside=place.run)
        if mtime_ns is None:
            path.unlink()
        else:
            path.write_text("0.5")
            os.utime(path, ns=(1, mtime_ns))
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(anyio, "sleep", sleep)
            await watched.settle()
        return sum(slept)

    fine, coarse = anyio.run(settled, 1_000_000_001), anyio.run(settled, 2_000_000_000)
    assert 0 < fine <= GRAIN_SECONDS
    assert GRAIN_SECONDS < coarse <= 2.1
    assert anyio.run(settled, None) == 0
