"""The expression language: Python's arithmetic to the last bit, one kind of error at its place, no way to do harm."""

from __future__ import annotations

import ast
import json
import math
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rose_cli.config.expression.compiler import Compiler, parse
from rose_cli.config.expression.functions import FUNCTIONS
from rose_cli.config.expression.parser import NAMES, ExpressionError, Value
from tests.conftest import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).parents[2]
HOSTILE = Path(__file__).with_name("hostile_expressions.txt")
LAST_TRIED_ITERATION = 500
START: dict[str, Value | None] = {"i": 0, "max_iter": None, "metric": None, "best": None}


def value_of(text: str, **scope: Value | None) -> Value:
    return parse(text).evaluate({**START, **scope})


def mistake_in(text: str, **scope: Value | None) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        value_of(text, **scope)
    return caught.value


# --- exact --------------------------------------------------------------------------------------------------------

SCHEDULES: dict[str, Callable[[int], Value]] = {
    "100 + i*50": lambda i: 100 + i * 50,
    "2.50": lambda _: 2.5,
    "0.1 * 0.95**i": lambda i: 0.1 * 0.95**i,
    "0.1 * (0.95 ** i)": lambda i: 0.1 * (0.95**i),
    "0.01 * 0.9**i": lambda i: 0.01 * 0.9**i,
    "0.01 * 0.95**i": lambda i: 0.01 * 0.95**i,
    "min(64, 32 + i*4)": lambda i: min(64, 32 + i * 4),
    "2**min(i, 10)": lambda i: 2 ** min(i, 10),
    "(-1)**i": lambda i: (-1) ** i,
    "-2**2 + i // 3 - i % 7": lambda i: -(2**2) + i // 3 - i % 7,
    "-i // 7 + -i % 7.5": lambda i: -i // 7 + -i % 7.5,
    "round(i / 2)": lambda i: round(i / 2),
    "round(i * 0.125, 2)": lambda i: round(i * 0.125, 2),
    "round(i * 12.5, -1)": lambda i: round(i * 12.5, -1),
    "round(i * 25, -2)": lambda i: round(i * 25, -2),
    "floor(i / 3) + ceil(i / 3)": lambda i: math.floor(i / 3) + math.ceil(i / 3),
    "0.5 * (1 + cos(3.14159 * i / 500))": lambda i: 0.5 * (1 + math.cos(3.14159 * i / 500)),
    "exp(-i/10) + log(i + 1) * sqrt(i)": lambda i: math.exp(-i / 10) + math.log(i + 1) * math.sqrt(i),
    "log2(i + 1) - log10(i + 1) + tanh(i)": lambda i: math.log2(i + 1) - math.log10(i + 1) + math.tanh(i),
    "sin(i) * tan(i) + abs(-i)": lambda i: math.sin(i) * math.tan(i) + abs(-i),
    "clip(i * 4, 32, 64)": lambda i: min(max(i * 4, 32), 64),
    "0.1 if i < 10 else 0.01 if i < 100 else 0.001": lambda i: 0.1 if i < 10 else 0.01 if i < 100 else 0.001,
    "'adam' if i % 2 == 0 else 'sgd'": lambda i: "adam" if i % 2 == 0 else "sgd",
    "3 <= i < 10 and i != 5 or not i": lambda i: (3 <= i < 10 and i != 5) or not i,
    "1if i else 2": lambda i: 1 if i else 2,
    " \t100 + i*50\n": lambda i: 100 + i * 50,
}


@pytest.mark.parametrize("text", SCHEDULES)
def test_schedules_are_python_to_the_last_bit(text: str) -> None:
    expression = parse(text)
    for i in (*range(LAST_TRIED_ITERATION + 1), 10**6, 10**12):
        ours, pythons = expression.evaluate({**START, "i": i}), SCHEDULES[text](i)
        assert (type(ours), repr(ours)) == (type(pythons), repr(pythons)), i


OPERANDS = st.one_of(
    st.just("i"),
    st.integers(0, 50).map(str),
    st.floats(0.01, 100).map(repr),
    st.sampled_from(["True", "False", ".5", "1e-3", "0x1F", "1_000"]),
)


UNARY_FUNCTIONS = ["abs", "round", "floor", "ceil", "sqrt", "log", "log2", "log10", "sin", "cos", "tan", "tanh"]


def larger(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Powers stay squares and leaves few, so that no value on the way can reach a bound that Python does not have."""
    operators = st.sampled_from([*"+-*/%<>", "//", "<=", ">=", "==", "!=", "and", "or"])
    return st.one_of(
        st.builds("{} {} {}".format, parts, operators, parts),
        st.builds("({} {} {})".format, parts, operators, parts),
        st.builds("({})**2".format, parts),
        st.builds("{}({})".format, st.sampled_from(["-", "+", "not "]), parts),
        st.builds("{}({})".format, st.sampled_from(UNARY_FUNCTIONS), parts),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), parts, parts),
        st.builds("round({}, {})".format, parts, st.integers(-15, 15)),
        st.builds("({} if {} else {})".format, parts, parts, parts),
    )


PYTHONS = {name: getattr(math, name, None) or getattr(__import__("builtins"), name, None) for name in FUNCTIONS}


@given(text=st.recursive(OPERANDS, larger, max_leaves=6), i=st.integers(0, LAST_TRIED_ITERATION))
@example(text="0.1 + 0.2", i=0)
@example(text="-i % 7 // 2.5", i=13)
def test_honest_expressions_are_python_to_the_last_bit(text: str, i: int) -> None:
    try:
        pythons = eval(text, {"__builtins__": {}, **PYTHONS}, {"i": i})
    except (ArithmeticError, ValueError):
        mistake_in(text, i=i)
        return
    except SyntaxError:
        with pytest.raises(ExpressionError):
            parse(text)
        return
    ours = value_of(text, i=i)
    assert (type(ours), repr(ours)) == (type(pythons), repr(pythons))


# --- values -------------------------------------------------------------------------------------------------------


def test_an_expression_is_a_value() -> None:
    expression = parse("max_iter - i if metric < best else since_best + previous")
    assert expression == parse(expression.text)
    assert hash(expression) == hash(parse(expression.text))
    assert expression != parse("i")
    assert expression.names == frozenset(NAMES)
    assert repr(parse("i")) == "Expression(text='i', names=frozenset({'i'}))"
    with pytest.raises(AttributeError):
        expression.text = "i"  # type: ignore[misc]


def test_quoted_text_is_a_result_a_branch_or_a_side_of_equality() -> None:
    assert value_of("'adam'") == "adam"
    assert value_of('"a" "b"') == "ab"
    assert value_of("'x' if i else 'y' if i == 0 else 'z'") == "y"
    assert value_of("1 if 'a' == ('a' if i == 0 else 'b') != 'c' else 2") == 1
    assert value_of("i if i else'(('") == "(("


def test_a_value_that_is_not_there_yet_is_asked_for_only_where_it_is_used() -> None:
    guarded = parse("metric * 2 if i > 0 else 0.5")
    assert guarded.evaluate(START) == 0.5
    assert guarded.evaluate({**START, "i": 1, "metric": 0.25}) == 0.5
    assert value_of("i == 0 or best") is True
    assert mistake_in("metric", i=3).message == "`metric` has no value yet at i=3"
    assert mistake_in("metric", i=3).hint is None
    assert value_of("max_iter - i", max_iter=15) == 15


def test_nan_and_infinity_compare_but_are_no_result() -> None:
    nan, infinity = math.nan, math.inf
    assert value_of("metric < 1", metric=nan) is False
    assert value_of("metric if metric == metric else 0.5", metric=nan) == 0.5
    assert value_of("metric > 1e300", metric=infinity) is True
    assert value_of("min(metric, 64)", metric=infinity) == 64
    assert "metric == metric" in str(mistake_in("metric", metric=nan).hint)
    for text in ("metric", "-metric", "metric * 2", "abs(metric)", "round(metric)", "1 if i else metric"):
        assert "nan" in mistake_in(text, metric=nan).message
        assert "inf" in mistake_in(text, metric=infinity).message
    for text in ("min(metric, 1)", "max(1, metric)", "clip(1, metric, 2)", "clip(metric, 1, 2)"):
        assert mistake_in(text, metric=nan).offset == 0


def test_bounds_are_met_exactly() -> None:
    assert value_of("2**1023") == 2**1023
    assert mistake_in("2**1024").offset == 1
    assert value_of("(-3)**645") == (-3) ** 645
    assert mistake_in("3**647").offset == 1
    assert value_of("10**300 // 10**299") == 10
    assert mistake_in("10**309").offset == 2
    assert value_of("2**511 * 2**512 * 1") == 2**1023
    assert mistake_in("2**512 * 2**512").offset == 7
    assert value_of(str(2**1024 - 1)) == 2**1024 - 1
    assert mistake_in(str(2**1024)).offset == 0
    assert value_of("-" * 399 + "1") == -1
    assert value_of("not " * 99 + "1") is False
    assert value_of("(" * 32 + "i" + ")" * 32) == 0
    assert mistake_in("(" * 33 + "i" + ")" * 33).offset == 32
    assert value_of("max(" + ",".join("1" * 197) + ")") == 1
    assert mistake_in("max(" + ",".join("1" * 199) + ")").message.startswith("the expression has 402 characters")
    assert value_of("1" + " " * 397 + "+1") == 2
    assert mistake_in("1" + " " * 398 + "+1").offset == 400
    assert value_of("round(1.5, 15) + round(1.5, -15)") == 1.5
    assert mistake_in("i", i=2**1024).message == "`i` is too large (over 1024 bits)"
    assert value_of("0 * i", i=2**1024 - 1) == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("+".join("i" * 34), 34),
        ("1" + "+i" * 199, 200),
        ("1" + "-i" * 199, -198),
        ("i**" * 132 + "i", 1),
        ("-i**" * 99 + "i", -1),
        ("i if i else " * 33 + "1", 1),
        (" and ".join("i" * 66), 1),
        ("i<=" * 132 + "i", True),
        ("abs(" * 32 + "-i" + ")" * 32, 1),
        ("i*(" * 32 + "i" + ")" * 32, 1),
    ],
)
def test_whatever_fits_into_400_characters_and_32_brackets_is_worked_out(text: str, value: Value) -> None:
    assert len(text) <= 400
    assert value_of(text, i=1) == value


# --- mistakes -----------------------------------------------------------------------------------------------------

TEXT_HINT = "it can be the whole result, a branch of `a if c else b`, or a side of =="
MISTAKES = [  # the text, with the place of the mistake between « and »; the message; the hint
    ("2 «^» i", "operator ^ is not allowed; use ** for powers", None),
    ("((i)) «^» (2)", "operator ^ is not allowed; use ** for powers", None),
    ("i > 1 «&&» i < 5", "operator && is not allowed; use and", None),
    ("i > 1 «||» i < 5", "operator || is not allowed; use or", None),
    ("«!»i", "operator ! is not allowed; use not", None),
    ("1 «<<» i", "operator << is not allowed; use * 2**n", None),
    ("i «?» 1 : 2", "operator ?: is not allowed", "write a if condition else b"),
    ("1 if i «=» 2 else 3", "operator = is not allowed; use == to compare", None),
    ("1 «if» i > 2", "'if' goes between two values", "write a if condition else b"),
    ("i «AND» 1", "'AND' is not known", "write it in lower case"),
    ("«lambda» i: i*2", "lambda is not allowed", "write only the expression"),
    ("«f'{i}'»", "f-strings are not allowed", "write the bare expression or string"),
    ("«[1, 2]» + i", "a list cannot be used in arithmetic", "write mean(...), sum(...) or len(...)"),
    ("[1, 2][«'a'»]", "a position is a number, not a name", "it counts from 0"),
    ("«[1, 2][i + 2]»", "`[1, 2]` has no value at position 2: it has 2", "write default(..., ...) around it"),
    ("[1, 2][«i:1»]", "a part of a list is not allowed", "write one position, counted from 0, as in [0]"),
    ("[1, «[2]»]", "a list cannot be inside a list", "write its entries one by one"),
    ("«i[0]»", "`i` is 0, not a list", "remove the position"),
    ("(1«]»", "']' cannot close '('", None),
    ("«{»i}", "braces are not allowed", "write plain names, as in 100 + i*50"),
    ("0.1 * «2i»", "'2i' is not a number", "write 2*i"),
    ("«2»(i + 1)", "'2' is not a function", "write * to multiply"),
    ("«0,5»", "a comma only separates the arguments of a function", "write decimals with a dot, as in 1.5"),
    ("0.1 * 0.95**«I»", "unknown name 'I'", "did you mean 'i'?"),
    ("  1 + «metrik»\n", "unknown name 'metrik'", "did you mean 'metric'?"),
    ("«x»", "unknown name 'x'", "known names: i, max_iter, metric, previous, best, since_best, pi, e, result, results"),
    ("«true»", "unknown name 'true'", "did you mean 'True'?"),
    ("«min» + 1", "the function 'min' has no arguments here", "write min(a, b, ...) or min(list)"),
    ("1 + «mni»(64, i)", "unknown function 'mni'", "did you mean 'min'?"),
    ("«str»(i)", "unknown function 'str'", "remove str(): values are written as by Python's str()"),
    ("2 * «math.sqrt»(i + 1)", "'math.sqrt' is not allowed", "write sqrt(i + 1)"),
    ("«np.exp»(-i)", "'np.exp' is not allowed", "write exp(-i)"),
    ("«math.pi» * i", "'math.pi' is not allowed", "write pi"),
    ("1 + «clip(i, 2)»", "clip is called with 2 arguments, expected clip(x, lo, hi)", None),
    ("«min(i)»", "min is called with 1 argument, expected min(a, b, ...) or min(list)", None),
    ("round(i«, n=»2)", "arguments are passed by position, not by name", "remove 'n='"),
    ("min(«*i»)", "* and ** before an argument are not allowed", "write the arguments one by one"),
    ("min(«64 32»)", "an operator or a comma is missing here", None),
    ("i «i»", "'i' is not expected here", None),
    ("i «+»", "the expression ends where a value is expected", None),
    (" «(»i", "'(' is never closed", None),
    (" i«)»", "')' closes nothing", None),
    ("i == «'a»", "the quoted string is never closed", None),
    ("«»", "the expression is empty", "write a number, or for example 100 + i*50"),
    ("i «−» 1", "the character '−' (minus sign) is not allowed", "write -"),  # noqa: RUF001
    ("i «#» 1", "the character '#' is not allowed", "remove the comment"),
    ("i +«\n» 1", "the character '\\n' is not allowed", "write the expression on one line"),
    ("«'a'» + 1", "a quoted string cannot be used in arithmetic", TEXT_HINT),
    ("1 «/» i", "division by zero", "i counts from 0: write, for example, i + 1"),
    ("i «%» (3-3)", "division by zero", None),
    ("(1+1) «**» (1100)", "power too large (over 1024 bits); write a float base, e.g. 2.0**i", None),
    ("(-8)«**»0.5", "the result of ** is complex", "a negative number cannot be raised to a fractional power"),
    ("1e308 «*» 10", "the result of * is infinite (over 1.8e308)", None),
    ("10.0 «**» 400", "the result of ** is too large for a float", None),
    ("1 + «sqrt(-1)»", "sqrt(-1) is not defined", "x must be at least 0"),
    ("«log(i)»", "log(0) is not defined", "x must be greater than 0"),
    ("«exp(1000)» / 2", "exp(1000) is too large for a float", None),
    ("«round(1, -10**9)»", "round(1, -1000000000) is not defined", "n must be an integer from -15 to 15"),
    ("«clip(i, 2, 1)»", "clip(0, 2, 1) is not defined", "lo must not be greater than hi, and none of them nan"),
    ("10 * «max_iter»", "`max_iter` has no value: the campaign sets none", "set max_iter, or do not use it here"),
    ("0.1 * «metric»", "`metric` has no value yet at i=0", "write `... if i > 0 else ...`"),
    ("«best»", "`best` has no value yet at i=0", "write `... if i > 0 else ...`"),
    ("3 «**» 700", "power too large (over 1024 bits); write a float base, e.g. 2.0**i", None),
    ("0 «**» -2000", "division by zero", None),
    ("(2**1023 - 1 + 2**1023) «/» 1", "the result of / is too large for a float", None),
    (f"«{2**1024}»", "the number is too large (over 1024 bits)", None),
    ("«zzz»(i)", "unknown function 'zzz'", f"known functions: {' '.join(FUNCTIONS)}"),
    ("«np.mni»(i)", "'np.mni' is not allowed", "did you mean 'min'?"),
    ("«sqrt(-12345678901234567890123)»", "sqrt(-12345678901234567890123) is not defined", "x must be at least 0"),
    ("«sqrt(-123456789012345678901234)»", "sqrt(-1234567890123456789012…) is not defined", "x must be at least 0"),
]  # fmt: skip


@pytest.mark.parametrize(("marked", "message", "hint"), MISTAKES, ids=[marked for marked, _, _ in MISTAKES])
def test_a_mistake_says_where_what_and_what_to_do(marked: str, message: str, hint: str | None) -> None:
    before, wrong, after = re.split("[«»]", marked)
    error = mistake_in(before + wrong + after)
    assert (error.message, error.hint) == (message, hint)
    assert str(error) == message
    assert (error.offset, error.length) == (len(before), len(wrong))


def test_an_infinite_metric_has_no_power() -> None:
    assert mistake_in("metric ** 2", metric=math.inf).message == "the result of ** is infinite (over 1.8e308)"


def test_what_is_too_large_on_either_side_is_named() -> None:
    for value in (2**1024, -(2**1024)):
        assert mistake_in("i", i=value).message == "`i` is too large (over 1024 bits)"


def test_a_range_of_one_value_clips_to_it() -> None:
    assert value_of("clip(5, 2, 2)") == 2


def test_without_an_iteration_no_hint_names_one() -> None:
    error = mistake_in("best", i=None)
    assert (error.message, error.hint) == ("`best` has no value yet", None)


def test_parts_are_counted_alike_in_chains_and_beside_each_other() -> None:
    assert parse("i").parts == 1
    assert parse("- - -i").parts == 5
    assert parse("1 + 2 + 3").parts == 6
    assert parse("min(i, 1) if i else 2").parts == 5


def test_an_expression_is_its_text() -> None:
    assert parse("i + 1") == parse("i + 1") != parse("i + 2")
    assert repr(parse("i")) == "Expression(text='i', names=frozenset({'i'}))"


def test_an_operator_that_no_table_has_is_refused() -> None:
    """The words and signs of all that Python has are refused before; a new one would come as far as here."""
    with pytest.raises(ExpressionError, match="this operator is not allowed"):
        Compiler("1 @ 2").value(ast.parse("1 @ 2", mode="eval").body)


@pytest.mark.parametrize("error", [ValueError, RecursionError, MemoryError, OverflowError])
def test_what_python_cannot_read_is_a_mistake_of_the_whole(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(ast, "parse", refuse)
    found = mistake_in(" i + 1")
    assert (found.message, found.offset, found.length) == ("the expression cannot be parsed", 1, 5)


def test_a_scope_value_of_another_type_is_a_mistake() -> None:
    assert mistake_in("metric", metric="0.1").message == "`metric` is '0.1', expected a number"


def test_pythons_own_warnings_are_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert value_of("1if i else 2") == 2
        assert value_of("0x1for i") == 31
    assert capfd.readouterr() == ("", "")


# --- hostile ------------------------------------------------------------------------------------------------------

UNPRINTABLE = [
    *("", " ", "\t", "\n", "\0", "i\0", "1\n2", "1\r2", "i\t+ 1", "\x7f", "\ud800", "\u200bi", "i\xa0+ 1", "i" * 401),
    *("(" * 10_000 + ")" * 10_000, "(" * 10_000, "[" * 10_000, "-" * 399 + "1", "not " * 99 + "1", "1" * 400),
    *("1" + "+1" * 199, "f(" * 32 + "i i" + ")" * 32, "a.b" + ".c" * 198, "1 if 1 else " * 33 + "1", "i<" * 199 + "i"),
    *("(" * 32 + "i:" + ")" * 32, "(i for " * 32 + "x" + ")" * 32, "lambda:" * 56 + "1", "max(" * 32 + "i=" + ")" * 32),
    *("1**" * 31 + "2", "2**" * 31 + "2", "max(" + "9**99," * 60 + "1)", "*".join(["9**99"] * 30), "i" + "(i)" * 60),
    *("9" * 10**6, "x" * 399 + "(", "1_" * 199 + "1", "a" * 10**6),
    *("'" * 400, "'a'" * 133, "'a'==" * 70 + "'a'", "f'" * 200, "f'{" * 30 + "i" + "}'" * 30, "i" * 400),
]  # fmt: skip

MEASURE = """
import json, os, resource, sys, time
from tests.work import on_an_idle_machine
from rose_cli.config.expression.parser import ExpressionError
from rose_cli.config.expression.compiler import parse
if os.fork():  # exec hands down the peak of whoever started it, here of pytest; a fork does not
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
ended = []
for text in json.load(sys.stdin):
    value, start = None, time.process_time()
    try:
        value = parse(text).evaluate({"i": 0, "max_iter": 9, "metric": 0.5, "best": None})
    except ExpressionError as error:
        assert 0 <= error.offset <= error.offset + error.length <= len(text), (text[:80], error.offset, error.length)
    ended.append((text, value, time.process_time() - start))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
longest = on_an_idle_machine(max(seconds for _, _, seconds in ended))
print(json.dumps({"ended": ended, "longest": longest, "peak_kib": peak}))
"""
HARMLESS = {  # of the hostile ones, those that have a bounded value
    *("(-1)**1000000000000", "1**1000000000000", "0**1000000000000", "True**1000000000000", "2**-1000000000000"),
    *("(-1)**i**0.5", "round(1.5, True)", "round(2**512, -15)", "sqrt(2**512)", "sin(2**512*2**511)", "tan(1e308)"),
    *("sin(1e308)", "floor(1e308)", "ceil(-1e308)"),
}


def test_hostile_expressions_end_at_once_and_in_little_memory() -> None:
    printable = HOSTILE.read_text(encoding="utf-8").split("\n")[:-1]
    texts = [*printable, *UNPRINTABLE]
    command = [sys.executable, "-c", MEASURE]
    done = subprocess.run(
        command,
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=REPOSITORY,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert len(report["ended"]) == len(texts) > 250
    assert report["longest"] < 0.5, max(report["ended"], key=lambda entry: entry[2])
    assert report["peak_kib"] < 200 * 1024
    assert {text for text, value, _ in report["ended"] if value is not None} & {*printable} == HARMLESS


TOKENS = st.sampled_from([
    *(*NAMES, *FUNCTIONS, *"()()(),,..:=*+-/%<>!&|^~@?$#;'\"{}[] 0123456789", "**", "//", "==", " if ", " else ", "x"),
    *(" and ", " not ", "lambda ", " in ", " is ", "'a'", "f'", '"""', "1e308", "1j", "None", "True", "yield ", ".5"),
])  # fmt: skip
SCOPES = st.fixed_dictionaries(
    {
        "i": st.integers(0),
        "max_iter": st.none() | st.integers(1),
        "metric": st.none() | st.floats(),
        "best": st.floats(),
    }
)


def check_it_parses_or_says_where_not(text: str, scope: dict[str, Value | None]) -> None:
    try:
        value = parse(text).evaluate(scope)
    except ExpressionError as mistake:
        error = mistake
    else:
        for each in value if isinstance(value, tuple) else (value,):
            assert isinstance(each, str) or -(2**1024) < each < 2**1024
        return
    assert 0 <= error.offset <= error.offset + error.length <= len(text)
    assert error.length > 0 or not text
    assert error.message


@given(text=st.text(max_size=450), scope=SCOPES)
def test_any_text_parses_or_says_where_it_does_not(text: str, scope: dict[str, Value | None]) -> None:
    check_it_parses_or_says_where_not(text, scope)


@given(text=st.lists(TOKENS, max_size=40).map("".join), scope=SCOPES)
def test_any_tokens_parse_or_say_where_they_do_not(text: str, scope: dict[str, Value | None]) -> None:
    check_it_parses_or_says_where_not(text, scope)


@given(text=st.recursive(OPERANDS | st.sampled_from([*NAMES, "9**99", "1e300"]), larger, max_leaves=12), scope=SCOPES)
def test_any_arithmetic_has_a_bounded_value_or_says_why_not(text: str, scope: dict[str, Value | None]) -> None:
    check_it_parses_or_says_where_not(text, scope)


def test_the_function_that_nan_reaches_says_so() -> None:
    assert mistake_in("clip(metric, 0, 1)", metric=math.nan).message == "clip(nan, 0, 1) is not defined"


def test_powers_end_at_the_bound_itself() -> None:
    for text in ("2**1024", "(-2)**1025", "4**512", "-2**1024"):
        assert mistake_in(text).message.startswith("power too large"), text
    assert mistake_in("-2**1023 * 2").message.startswith("the result of * is too large")


def test_signs_are_applied_from_the_inside() -> None:
    assert value_of("-(not 0)") == -1
    assert value_of("not -1") is False


@pytest.mark.parametrize(
    ("marked", "message"),
    [
        ("«None»", "'None' is not a number"),
        ("(«lambda»: 1)(2)", "lambda is not allowed"),
        ("«a.b.sqrt»(2)", "the attribute '.sqrt' is not allowed"),
        ("«b'x'»", "the prefix 'b' is not allowed"),
        ("«F'x'»", "f-strings are not allowed"),
        ("i == («'a'» + 1)", "a quoted string cannot be used in arithmetic"),
        ("«'a'» < 'b'", "a quoted string is neither smaller nor greater"),
        ("'a' == i < «'b'»", "a quoted string is neither smaller nor greater"),
        ("i«)») ", "')' closes nothing"),
    ],
)
def test_more_mistakes(marked: str, message: str) -> None:
    before, wrong, after = re.split("[«»]", marked)
    error = mistake_in(before + wrong + after)
    assert (error.message, error.offset, error.length) == (message, len(before), len(wrong))


@pytest.mark.parametrize(
    ("marked", "message", "hint"),
    [
        ("«   »", "the expression is empty", "write a number, or for example 100 + i*50"),
        ("  1 «/» i", "division by zero", "i counts from 0: write, for example, i + 1"),
        ("1 «//» (0 * max_iter)", "division by zero", None),
        ("(i + «(»2", "'(' is never closed", None),
        ("«i»(2)", "'i' is not a function", "write * to multiply"),
        ("(«1 + 2»)(3)", "'1 + 2' is not a function", "write * to multiply"),
        ("«math.sqrt»", "'math.sqrt' is not allowed", "write sqrt(...)"),
        ("«np.zzz»(i)", "'np.zzz' is not allowed", f"known functions: {' '.join(FUNCTIONS)}"),
        ("«np.zzz»", "'np.zzz' is not allowed", f"known names: {', '.join((*NAMES, 'pi', 'e', 'result', 'results'))}"),
        ("«Iteration»", "unknown name 'Iteration'", "write i"),
        ("2 * «PI»", "unknown name 'PI'", "did you mean 'pi'?"),
        ("«2pi»", "'2pi' is not a number", "write 2*pi"),
        ("«pi»(2)", "'pi' is not a function", "write * to multiply"),
        ("«epoch»", "unknown name 'epoch'", "write i"),
        ("«loss»", "unknown name 'loss'", "write metric: that of the last iteration"),
        ("«patience»", "unknown name 'patience'", "write since_best"),
        ("«cosine_decay»(1, 0)", "unknown function 'cosine_decay'", "write cosine(start, end)"),
        ("«LN»(i)", "unknown function 'LN'", "write log(x)"),
        ("«1j»", "'1j' is not a number", None),
        ("«...»", "'...' is not a number", None),
        ("1 + «1e999»", "the number is too large (over 1024 bits)", None),
        ("«round(1, 16)»", "round(1, 16) is not defined", "n must be an integer from -15 to 15"),
        ("«round(1, -16)»", "round(1, -16) is not defined", "n must be an integer from -15 to 15"),
        ("«round(1, 1.0)»", "round(1, 1.0) is not defined", "n must be an integer from -15 to 15"),
        ("i«\u200b»", "the character zero width space is not allowed", "write plain ASCII"),
        ("i«\ud800»", "the character u+d800 is not allowed", "write plain ASCII"),
        ("«\N{LATIN SMALL LETTER E WITH ACUTE}»", "the character 'é' (latin small letter e with acute) is not allowed",
         "write plain ASCII"),
        ("«rb'x'» + i", "the prefix 'rb' is not allowed", "write the bare expression or string"),
        ("1" * 400 + "«11»", "the expression has 402 characters; at most 400 are allowed", None),
    ],
)  # fmt: skip
def test_less_common_mistakes_say_where_what_and_what_to_do(marked: str, message: str, hint: str | None) -> None:
    before, wrong, after = re.split("[«»]", marked)
    error = mistake_in(before + wrong + after, max_iter=9)
    assert (error.message, error.offset, error.length) == (message, len(before), len(wrong))
    assert error.hint == hint


def test_a_division_by_zero_later_on_has_nothing_to_do_with_counting() -> None:
    error = mistake_in("1 / (i - 3)", i=3)
    assert (error.message, error.hint) == ("division by zero", None)
    assert mistake_in("1 / (2 * i)").hint is not None
    assert mistake_in("1 / max_iter", max_iter=0).hint is None


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_called_with_as_many_arguments_as_its_shape_has(name: str) -> None:
    several = {"min": range(2, 9), "max": range(2, 9), "round": range(1, 3), "clip": range(3, 4), "exp": range(1, 4)}
    schedules = {"linear": range(2, 5), "cosine": range(2, 5), "step": range(3, 5), "plateau": range(3, 4)}
    of_lists = dict.fromkeys(("mean", "sum", "median", "std"), range(1, 9))
    accepted = {**several, **schedules, **of_lists, "default": range(2, 3)}.get(name, range(1, 2))
    for count in range(9):
        text = f"{name}({', '.join(['[1]' if name == 'len' else '1'] * count)})"
        if count in accepted:
            assert value_of(text, max_iter=5, improved="") is not None
        else:
            given = f"{count} argument" + ("s" if count != 1 else "")
            assert mistake_in(text).message.startswith(f"{name} is called with {given}, expected {name}("), text


def test_a_value_of_another_kind_of_float_counts_as_pythons() -> None:
    """numpy's floats warn where Python's raise."""

    class Other(float):
        pass

    for text in ("metric", "metric + 0", "metric if metric else 1"):
        assert type(value_of(text, metric=Other(0.5))) is float


@pytest.mark.parametrize(
    ("place", "end", "offset", "length"),
    [
        (1, 2, 0, 1), (3, 6, 2, 3), (3, 3, 2, 1), (3, 99, 2, 4), (6, 7, 5, 1), (99, 99, 5, 1), (0, 0, 0, 1),
        (None, None, 0, 1), (3, None, 2, 1), (None, 3, 0, 2),
    ],
)  # fmt: skip
def test_an_error_of_pythons_parser_is_shown_inside_the_expression(
    monkeypatch: pytest.MonkeyPatch, place: int | None, end: int | None, offset: int, length: int
) -> None:
    """Its positions differ by version, and some lie outside of the text."""

    def refuse(source: str, **_: object) -> None:
        raise SyntaxError("Odd thing", ("", 1, place, source, 1, end))

    monkeypatch.setattr(ast, "parse", refuse)
    found = mistake_in("i + 10")
    assert (found.message, found.offset, found.length) == ("odd thing", offset, length)
