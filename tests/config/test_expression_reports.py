"""Expressions on what tasks reported, on lists and on the history: exact, bounded, and wrong in one place at a time."""

from __future__ import annotations

import math
import re
import statistics
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose_cli.config.expression.compiler import parse
from rose_cli.config.expression.parser import ExpressionError, MissingError, Value
from rose_cli.config.expression.reports import TaskReports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class View:
    """Reports as they are given, the latest task last; a task with a list of reports has replicas."""

    def __init__(self, names: Mapping[str, tuple[str, ...]] | None = None, **tasks: Any) -> None:
        self.tasks = {
            task: TaskReports(tuple(given), (names or {}).get(task), is_list=True)
            if isinstance(given, list)
            else TaskReports((given,))
            for task, given in tasks.items()
        }

    def of(self, task: str) -> TaskReports | None:
        return self.tasks.get(task)

    def latest(self) -> Iterator[TaskReports]:
        return reversed(self.tasks.values())


REPORTS = View(
    {"train": ("cnn", "mlp")},
    sim={"energy": -1.5, "count": 3, "val": {"mse": 0.25, "all": [1, 2, 4]}, "my-key": 7, "name": "run", "ok": True},
    train=[{"rmse": 0.5, "val": {"r2": 1}}, {"rmse": 0.25}],
    select={"selected": ["s1", "s2", "s3"], "none": [], "empty": None, "count": 4, "odd": math.nan, "word": "nan"},
)


def value_of(text: str, **scope: Any) -> Value:
    return parse(text, ("n", "word")).evaluate({"i": 3, "reports": REPORTS, "n": 5, "word": "adam", **scope})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("results.sim.energy", -1.5),
        ("results.sim.val.mse * 4", 1.0),
        ("results.sim['my-key'] + result['my-key']", 14),
        ("results['sim'].val['all'][i - 1]", 4),
        ("results.sim.val.all", (1, 2, 4)),
        ("results.sim.val.all[-1]", 4),
        ("result.count", 4),
        ("result.energy", -1.5),
        ("result.selected", ("s1", "s2", "s3")),
        ("len(result.selected) + len(result.none)", 3),
        ("results.train.rmse", (0.5, 0.25)),
        ("results.train[1].rmse", 0.25),
        ("results.train[-1].rmse", 0.25),
        ("results.train.rmse[0]", 0.5),
        ("results.sim[0].energy + results.sim[-1].count", 1.5),
        ("results.train['mlp'].rmse", 0.25),
        ("results.train.val.r2", (1,)),
        ("mean(results.train.rmse)", 0.375),
        ("std(results.train.rmse)", 0.125),
        ("median(results.sim.val.all)", 2),
        ("min(results.train.rmse) + max(result.rmse)", 0.75),
        ("sum(results.sim.val.all)", 7),
        ("sum(result.none)", 0),
        ("mean(results.sim.energy)", -1.5),
        ("'big' if results.sim.ok else 'small'", "big"),
        ("results.sim.name == 'run'", True),
        ("results.sim.name", "run"),
        ("default(results.later.x, 2) + default(result.nothing, n)", 7),
        ("default(results.sim.energy, 9)", -1.5),
        ("default(mean(result.none), 9)", 9),
        ("default(result.empty, [1, 2])", (1, 2)),
        ("default(results.train[7].rmse, -1)", -1),
        ("n * 2", 10),
        ("word", "adam"),
        ("'a' if word == 'adam' else 'b'", "a"),
        ("[64, 128, 256][min(i, 2)]", 256),
        ("['a', 'b'] if i > 2 else []", ("a", "b")),
        ("last(2)", (0.5, 0.25)),
        ("mean(last(10))", 0.5833333333333334),
        ("len(last(1))", 1),
        ("previous - metric", 0.25),
        ("result.odd == result.odd", False),
        ("result.word == result.word", False),
    ],
)
def test_the_value_is(text: str, value: Value) -> None:
    history = (1.0, None, math.nan, 0.5, math.inf, 0.25)
    found = value_of(text, history=history, metric=0.25, previous=0.5)
    assert (type(found), found) == (type(value), value)


MISTAKES = [
    ("«result»", "`result` needs a key", "write result.KEY, with what a task reports"),
    ("«results.sim» + 1", "`results.sim` is a report, not a value", None),
    ("results[«0»].x", "`results` has tasks, not positions", "write results.TASK.KEY"),
    ("result[«0»]", "`result` has keys, not positions", "write result.KEY"),
    ("1 + «results.sim.name»", "`results.sim.name` is the string 'run', expected a number", None),
    ("«results.train.rmse» * 2", "`results.train.rmse` is a list of 2, expected a number",
     "write mean(results.train.rmse), max(results.train.rmse), len(results.train.rmse) or results.train.rmse[0]"),
    ("«results.sim.val»", "`results.sim.val` is a report, not a value", "add the key of a value in it"),
    ("«results.sim.energy.x»", "`results.sim.energy.x` looks for 'x' inside a value", None),
    ("«results.sim.engery»", "`results.sim.engery` has no value yet at i=3: nothing is reported under this key",
     "did you mean 'energy'?"),
    ("«results.later.x»", "`results.later.x` has no value yet at i=3", "write default(results.later.x, ...)"),
    ("«result.nothing»", "`result.nothing` has no value yet at i=3", "write default(result.nothing, ...)"),
    ("«results.train[2].rmse»", "`results.train[2].rmse` has no value yet at i=3: position 2 of a list of 2",
     "write default(results.train[2].rmse, ...)"),
    ("results.sim.val.all[«'x'»]", None, None),
    ("results.sim.val.all[«0:1»]", "a part of a list is not allowed", "write one position, counted from 0, as in [0]"),
    ("«mean(result.selected)»", "mean needs numbers, and there is the string 's1'", None),
    ("«mean(result.none)»", "mean of an empty list has no value yet", "write default(mean(...), ...)"),
    ("«len(n)»", "`n` is 5, not a list", None),
    ("«results.train.rmse.mean»()", "'results.train.rmse.mean' is not a function", "write mean(results.train.rmse)"),
    ("«last(0)»", "last(0) is not defined", "n must be from 1 to 10000"),
    ("«last(n / 2)»", "last(2.5) is not defined", "n must be from 1 to 10000"),
    ("«result.odd»", "the result of the expression is nan", None),
    ("«default(1)»", "default is called with 1 argument, expected default(x, fallback)", None),
    ("1 + «word»", "`word` is the string 'adam', expected a number", None),
    ("«m» + 1", "unknown name 'm'", None),
    ("result.«from»", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("marked", "message", "hint"), MISTAKES, ids=[marked for marked, _, _ in MISTAKES])
def test_a_mistake_says_where_what_and_what_to_do(marked: str, message: str | None, hint: str | None) -> None:
    before, wrong, after = re.split("[«»]", marked)
    with pytest.raises(ExpressionError) as caught:
        value_of(before + wrong + after, history=(0.5,))
    error = caught.value
    if message is not None:
        assert (error.message, error.offset, error.length) == (message, len(before), len(wrong))
    if hint is not None:
        assert error.hint == hint


def test_only_a_missing_value_has_a_default() -> None:
    with pytest.raises(ExpressionError, match="expected a number"):
        value_of("default(results.sim.name * 2, 1)")
    with pytest.raises(MissingError):
        value_of("results.later.x")


def test_it_says_what_it_reads_and_which_values_it_used() -> None:
    expression = parse("mean(results.train[0].val.r2) + default(result.count, 1) * metric + i")
    assert [(read.task, read.keys) for read in expression.reads] == [("train", ("val", "r2")), (None, ("count",))]
    used = expression.values_used({"i": 3, "metric": 0.5, "reports": REPORTS})
    assert used == {"results.train[0].val.r2": 1, "result.count": 4, "metric": 0.5}


# --- against a naive evaluator ---------------------------------------------------------------------------------------

NUMBERS = st.one_of(st.integers(-50, 50), st.floats(-50, 50, allow_nan=False).map(lambda x: round(x, 3)))
LISTS = st.lists(NUMBERS, min_size=1, max_size=6)


@given(
    reports=st.lists(st.fixed_dictionaries({"a": NUMBERS, "b": LISTS}), min_size=1, max_size=5), place=st.integers(0)
)
def test_replicas_are_as_in_python(reports: list[dict[str, Any]], place: int) -> None:
    view, at = View(t=reports), place % len(reports)

    def ours(text: str) -> Value:
        return parse(text).evaluate({"i": 0, "reports": view})

    column = [report["a"] for report in reports]
    assert ours("results.t.a") == tuple(column)
    assert ours(f"results.t[{at}].a") == ours(f"results.t.a[{at}]") == column[at]
    assert ours(f"results.t[{at}].b") == tuple(reports[at]["b"])
    for name in ("min", "max"):
        assert ours(f"{name}(result.a)") == getattr(__import__("builtins"), name)(column)
    assert math.isclose(float(ours("mean(result.a)")), statistics.fmean(column), abs_tol=1e-9)  # type: ignore[arg-type]
    assert math.isclose(float(ours("std(result.a)")), statistics.pstdev(column), abs_tol=1e-6)  # type: ignore[arg-type]
    assert ours("median(result.a)") == statistics.median(column)
    assert math.isclose(float(ours("sum(result.a)")), math.fsum(column), abs_tol=1e-9)  # type: ignore[arg-type]
    assert ours("len(results.t.a)") == len(column)


@given(history=st.lists(st.none() | st.floats(), max_size=12), count=st.integers(1, 15))
def test_the_last_values_are_the_finite_ones(history: list[float | None], count: int) -> None:
    finite = [value for value in history if value is not None and math.isfinite(value)]
    assert parse(f"last({count})").evaluate({"i": 0, "history": history}) == tuple(finite[-count:])


def assert_is_inside(error: ExpressionError, text: str) -> None:
    assert 0 <= error.offset <= error.offset + error.length <= len(text)
    assert error.message


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("nan"), st.just("\0")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=12,
)
PATHS = st.lists(st.sampled_from([".a", ".b", "['c']", "[0]", "[-1]", "[i]", "['x y']"]), max_size=5).map("".join)
USES = st.sampled_from(
    ["{}", "mean({})", "len({})", "1 + {}", "default({}, 0)", "sum({}) if {} else 1", "[{}, 1]", "{}[0]"]
)


@given(report=JSON, several=st.booleans(), path=PATHS, use=USES)
def test_whatever_a_task_reports_is_a_bounded_value_or_a_mistake_in_its_place(
    report: Any, several: bool, path: str, use: str
) -> None:
    given = report if isinstance(report, dict) else {"a": report}
    view = View(t=[given, {}] if several else given)
    text = use.replace("{}", f"results.t{path}")
    try:
        value = parse(text).evaluate({"i": 0, "reports": view})
    except ExpressionError as error:
        assert_is_inside(error, text)
        return
    for each in value if isinstance(value, tuple) else (value,):
        assert isinstance(each, bool | int | float | str)
        assert not isinstance(each, float) or math.isfinite(each)


HOSTILE = st.text(alphabet="result.s[]'()\"-0 i,mean_x:{}+\\\n\u00e9", max_size=60)


@given(text=HOSTILE.map(lambda text: f"results{text}") | HOSTILE.map(lambda text: f"mean(result.{text})"))
def test_any_text_with_references_parses_or_says_where_it_does_not(text: str) -> None:
    try:
        parse(text).evaluate({"i": 0, "reports": REPORTS})
    except ExpressionError as error:
        assert_is_inside(error, text)


def test_long_chains_lists_and_texts_are_refused() -> None:
    deep: dict[str, Any] = {"a": 1}
    for _ in range(190):
        deep = {"a": deep}
    text = "results.t" + ".a" * 191
    assert parse(text).evaluate({"i": 0, "reports": View(t=deep)}) == 1
    for reported in (list(range(10_001)), "x" * 5_000, 2**1024, [[1]], "a\0b", "\ud800"):
        with pytest.raises(ExpressionError):
            parse("results.t.a").evaluate({"i": 0, "reports": View(t={"a": reported})})
