"""Texts that are a number, and what is said of those that are none; what is proposed is tried."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose_cli.loop.numerals import (
    LONGEST_LINE,
    MOST_NAMED,
    Wanted,
    advice_on_line,
    advice_on_regex,
    advice_on_word,
    cleaned,
    last_line,
    number_of,
    number_paths,
)
from rose_cli.loop.regex import last_match

MSE = Wanted("mse")
NUMBERS = {
    "0.5": 0.5, "+.5": 0.5, "5.": 5.0, " -1e-3 ": -1e-3, "1E+05": 1e5, "1.0D-03": 1e-3, "1.D5": 1e5, "-2d0": -2.0,
    "Infinity": math.inf, "-INF": -math.inf, "1e999": math.inf, "1e-999": 0.0, "0012": 12.0,
}  # fmt: skip
NO_NUMBERS = {
    "1.23-105": "1.23E-105", "1.5+100": "1.5E+100", "******": "make the field wider", "[1] 0.5": "cat(x",
    "np.float64(0.12)": "print(float(x))", "numpy.float32(1e-3)": "print(float(x))", "array(0.5)": "print(float(x))",
    "tensor(0.5)": "print(x.item())", "array([0.5])": "print(x.item())", "Decimal('0.5')": "print(float(x))",
    "tensor(0.5, device='cuda:0', grad_fn=<MeanBackward0>)": "print(x.item())", "(0.5,)": "print(x[0])",
    "<tf.Tensor: shape=(), dtype=float32, numpy=0.5>": "print(x.item())", "[[0.5]]": "print(x[0][0])",
    "[0.5, 0.4]": "one number, not several", "(0.5+0j)": "print(x.real)", "0.5%": "print 0.5 without the %",
    "0,5": "print 0.5:", "1,234": "print 1.234 (or 1234", "1,234.5": "print 1234.5", "1.234,5": "print 1234.5",
    "1_000": "print 1000", "1 000.5": "print 1000.5", "1'000": "print 1000", "\u22120.5": "print -0.5",
    "\u0661\u0662": "print 12", "0x1p-3": "print 0.125", "'0.5'": "print 0.5 and", "0.5;": "print 0.5 and",
    "None": "print nan", "N/A": "print nan", "mse=0,5": "print 0.5:", "mse: np.float64(0.5)": "print(float(x))",
    "{'mse': 0.5}": "json.dumps", '{"mse": nan}': "json.dumps", "{}": "no number in this JSON",
    "0.5 0.6": "print the value alone", "mse 0.5 -> 0.4": "print the value alone", "mse 1 000": "print the value alone",
    "epoch 3 loss 0.5": "print the value alone", "0.5 +- 0.1": "print the value alone",
}  # fmt: skip
FOUND = {
    "mse 0.5": 0.5, "mse = 0.5": 0.5, "MSE\t0.5\t": 0.5, "mse=0.5s": 0.5, "mse=0.5eV": 0.5, "epoch 3 mse 0.5": 0.5,
    "mse: 0.5, acc: 0.9": 0.5, "acc: 0.9, mse: 0.5": 0.5, "0.5 eV": 0.5, "<0.5>": 0.5, "Test MSE is 1.5e-3": 1.5e-3,
    "mse=-0.5e-3;": -0.5e-3, "val_mse 0.3 mse 0.2": 0.2, "mse 0.2 val_mse 0.3": 0.2, "mse=1.0D-03 J": 1e-3,
    "loss(0.5)": 0.5, "it's 0.5": 0.5, "mse (test) 0.5": 0.5,
}  # fmt: skip
PATHS = {
    '{"mse": 0.5}': "mse", '{"n": 3, "val": {"mse": 0.5}}': "val.mse", '{"val.mse": 0.5, "n": 1}': "val.mse",
    '{"mse": [0.6, 0.5]}': "mse.-1", '{"only": "0.5"}': "only", '{"mse": 0.5, "val_mse": 0.6}': "mse",
}  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_what_has_one_meaning_is_a_number(text: str) -> None:
    assert number_of(text) == NUMBERS[text]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_number_gets_a_hint(text: str) -> None:
    assert number_of(text) is None
    said = advice_on_line(text, text, MSE)
    assert NO_NUMBERS[text] in (said or "")
    assert "regex" not in (said or "")


@pytest.mark.parametrize("text", FOUND)
def test_a_regular_expression_that_is_proposed_finds_the_number(text: str) -> None:
    said = advice_on_line(text, f"before 7\n{text}", MSE)
    proposed = re.search(r"\{regex: '(.*)'\}", said or "")
    assert proposed is not None, said
    assert number_of(last_match(proposed[1].replace("''", "'"), f"mse 9\n{text}") or "") == FOUND[text]


@pytest.mark.parametrize("text", PATHS)
def test_a_key_that_is_proposed_is_there(text: str) -> None:
    assert (advice_on_line(text, text, MSE) or "").endswith(f"read: {{json: {PATHS[text]}}}")


def test_a_hint_keeps_the_file_and_knows_a_share() -> None:
    assert "{file: m.txt, json: mse}" in (advice_on_line('{"mse": 1}', '{"mse": 1}', Wanted("mse", file="m.txt")) or "")
    assert advice_on_line("80 %", "80 %", Wanted("accuracy", is_share=True)) == "print 0.8 for 80 %"


@given(st.text(st.sampled_from("0123456789.,-+eEdD%'_ \u2212\u00a0()[]=:mse\x1b\n\r{}\"")))
def test_whatever_is_printed_a_hint_is_right(text: str) -> None:
    """What a hint says to print is a number, and the regular expression in it finds one."""
    seen = cleaned(text)
    line = last_line(seen)
    if not line or number_of(line) is not None:
        return
    said = advice_on_line(line, seen, MSE) or ""
    if plain := re.match(r"print ([-+]?[.\d][-+.\deEdD]*)", said):
        assert number_of(plain[1]) is not None
    if proposed := re.search(r"\{regex: '(.*)'\}", said):
        assert number_of(last_match(proposed[1].replace("''", "'"), seen) or "") is not None


@given(st.floats(allow_nan=False))
def test_every_float_comes_back_as_it_was(value: float) -> None:
    for form in (repr(value), f" {value!r}\n", f"\x1b[1m{value!r}\x1b[0m", repr(value).replace("e", "D")):
        assert number_of(cleaned(form)) == value
        assert number_of(json.loads(json.dumps(form)).replace("\x1b[1m", "").replace("\x1b[0m", "")) == value


# --- what exactly is proposed --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "line", "regex"),
    [
        ("mse", "mse 0.5", r"mse\s+(\S+)"),
        ("mse", "MSE =  0.5", r"MSE\s+=\s+(\S+)"),
        ("mse", "mse=0.5s", r"mse=([-+.\deE]+)"),
        ("mse", "mse=0.5eV", r"mse=([-+]?[.\d]+)"),
        ("mse", "0.5 eV", r"^(\S+)\s+eV"),
        ("mse", "<0.5>", r"^<(\S+)>"),
        ("mse", "loss(0.5)", r"loss\(([-+.\deE]+)"),
        ("mse", "total loss 0.5", r"loss\s+(\S+)"),
        ("mse", "mse (test) 0.5", r"mse\s+\(test\)\s+(\S+)"),
        ("mse", "Test MSE is 0.5", r"MSE\s+is\s+(\S+)"),
        ("mse", "mse 0.2 val_mse 0.3", r"\bmse\s+(\S+)"),
        ("mse", "mse 0.5,rmse 0.6", r"\bmse\s+([-+.\deE]+)"),
        ("mse", "a.b 0.5, mse-x 0.6", r"mse-x\s+(\S+)"),
        ("mse", "mse: .5 (n=3)", r"mse:\s+(\S+)"),
        ("mse", "mse +- 3", r"mse\s+\+-\s+(\S+)"),
        ("mse", "'mse' : 0.5 and", r"mse''\s+:\s+(\S+)"),
        ("Mean_Sq-E", "n 4 mean.sq.e: 0.5", r"mean\.sq\.e:\s+(\S+)"),
        ("Mean_Sq-E", "meansqe 0.5 n 4", r"meansqe\s+(\S+)"),
    ],
)
def test_the_expression_names_the_label_of_the_number(metric: str, line: str, regex: str) -> None:
    assert advice_on_line(line, line, Wanted(metric)) == (
        f"to read the number in this line, write read: {{regex: '{regex}'}}"
    )


@pytest.mark.parametrize("line", ["x 0.5 n 4", "mse 0.5 mse 0.6", "mse 0.5 4", "m 0.5 n 3", "1;2", "mse 1;2"])
def test_of_several_numbers_without_a_name_none_is_guessed(line: str) -> None:
    assert "regex" not in (advice_on_line(line, line, MSE) or "")


def test_a_file_is_named_with_the_expression() -> None:
    said = advice_on_line("mse 0.5", "mse 0.5", Wanted("mse", file="m.txt"))
    assert (said or "").endswith(r"write read: {file: m.txt, regex: 'mse\s+(\S+)'}")


def test_a_number_above_the_last_line_is_found() -> None:
    assert advice_on_line("done", "x\n0.5\n 0.4 \ndone", MSE) == "print the value last: '0.4' is above it"
    assert advice_on_line("done", "x 0.5\ndone", MSE) is None
    assert advice_on_line("done", "1" * 50 + "\ndone", MSE) == f"print the value last: '{'1' * 40}' is above it"
    assert advice_on_line("done 3 4", "0.5\ndone 3 4", MSE) == "print the value alone, as the last line"
    for line in ("mse nan", "there is none", "done ***"):
        assert advice_on_line(line, line, MSE) is None


def test_a_name_means_the_metric_however_it_is_written() -> None:
    for name in ("mse", "MSE", "m-s_e", "val_mse", "mse2"):
        assert MSE.is_called(name), name
    assert Wanted("val_mse").is_called("mse")
    assert not MSE.is_called("rms")
    assert not MSE.is_called("m"), "one letter says nothing"
    assert [MSE.is_just(name) for name in ("M.S.E", "val_mse", "ms")] == [True, False, False]


EXPONENT = "leave room for the letter of the exponent, as the format ES24.16E3 does"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("1,234", "print 1.234 (or 1234, if the comma separates thousands): use a dot as the decimal separator"),
        ("-1,234", "print -1.234 (or -1234, if the comma separates thousands): use a dot as the decimal separator"),
        (",123", "print .123: use a dot as the decimal separator"),
        ("+1,23", "print +1.23: use a dot as the decimal separator"),
        ("\u22121,5e3", "print -1.5e3: use a dot as the decimal separator"),
        ("1,234,567.8", "print 1234567.8, without thousands separators"),
        ("-1.234.567,8", "print -1234567.8, without thousands separators"),
        ("12,34.5", None),
        ("1\u2009000", "print 1000, without separators between digits"),
        ("\u22121 000", "print -1000, without separators between digits"),
        ("1_000_000", "print 1000000, without separators between digits"),
        ("\u20130.5", "print -0.5, with an ASCII minus sign"),
        ("1_0", "print 10, in decimal and in ASCII digits"),
        ("0xff", "print 255, in decimal and in ASCII digits"),
        ("0X1P2", "print 4, in decimal and in ASCII digits"),
        ("0x1p99999", None),
        ("0x", None),
        ("abc", None),
        ("%", None),
        ("1e5%", "print 100000 without the %"),
        ("-12.5 %", "print -12.5 without the %"),
        ('"0.5",', "print 0.5 and nothing else"),
        ("'nan'", "print nan and nothing else"),
        ("0.5.", "print 0.5 and nothing else"),
        ("--", "print nan if there is no value"),
        ("NULL", "print nan if there is no value"),
        ("1.-100", f"Fortran may mean 1.E-100: {EXPONENT}"),
        ("-.5+300", f"Fortran may mean -.5E+300: {EXPONENT}"),
        ("1.5-10", None),
        ("1+100", None),
        ("*", None),
        ("**", "Fortran prints asterisks for a number that is too long for its field: make the field wider"),
        ("[1]  -2", 'R adds the [1]: print with cat(x, "\\n")'),
        ("[1] x", None),
    ],
)  # fmt: skip
def test_a_word_that_means_a_number_is_spelled_out(word: str, said: str | None) -> None:
    assert advice_on_word(word, MSE) == said


ALONE, ITEM = "print the number alone: print(float(x))", "print the number alone: print(x.item()) or print(float(x))"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("np.float64(0.5)", ALONE), ("float32(1)", ALONE), ("uint8(3)", ALONE), ("int(3)", ALONE), ("half(1)", ALONE),
        ("Fraction(1, 2)", ALONE), ("Decimal('0.5')", ALONE), ("mpf('0.5')", ALONE), ("array(0.5)", ALONE),
        ("DeviceArray(0.5)", ALONE), ("parameter(1)", ALONE), ("tensor(0.5)", ITEM), ("tensor([0.5])", ITEM),
        ("jax.Array([0.5])", ITEM), ("array((1,))", ITEM), ("tensor(3, device='cuda:0', dtype=x)", ITEM),
        ("<tf.Variable 'x' numpy=3>", ITEM),
        ("[0.5]", "print the number alone: print(x[0])"), ("(0.5,)", "print the number alone: print(x[0])"),
        ("[[[0.5]]]", "print the number alone: print(x[0][0][0])"),
        ("[0.5, 0.4]", "print one number, not several"), ("tensor([0.5 0.6])", "print one number, not several"),
        ("(1+2j)", "print the real part: print(x.real)"), ("complex128((1+2j))", None),
        ("foo(0.5)", None), ("myfloat32(0.5)", None), ("float()", None), ("[]", None), ("[x]", None),
        ("[0.5, x]", None), ("<x numpy=a>", None), ("np.float64(0.5", None), ("(1+2j, 3)", None),
    ],
)  # fmt: skip
def test_a_value_as_python_shows_it_is_unwrapped(word: str, said: str | None) -> None:
    assert advice_on_word(word, MSE) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "b": 2}', "to read a number in this JSON object, write read: {json: KEY} with one of a, b"),
        (
            '{"mse": 1, "b": {"mse": 2}}',
            "to read a number in this JSON object, write read: {json: KEY} with one of mse, b.mse",
        ),
        ('{"a": {"val_mse": 1}, "c": 3}', "to read the number in this JSON object, write read: {json: a.val_mse}"),
        ('{"val_mse": 1, "mse": 2}', "to read the number in this JSON object, write read: {json: mse}"),
        ('  {"c": 1}', "to read the number in this JSON object, write read: {json: c}"),
        ('{"a": "x"}', "there is no number in this JSON object"),
        ("{", "this is not JSON: print it with print(json.dumps(…)) and write read: {json: KEY}"),
    ],
)  # fmt: skip
def test_a_key_is_proposed_if_it_is_the_only_one(text: str, said: str) -> None:
    assert advice_on_line(text, text, MSE) == said


def test_only_the_first_keys_are_named() -> None:
    text = json.dumps({f"k{number}": number for number in range(MOST_NAMED + 2)})
    assert (advice_on_line(text, text, MSE) or "").endswith("one of k0, k1, k2, k3, k4, k5, k6, k7, k8, k9")


def test_the_paths_are_those_of_numbers_that_can_be_read() -> None:
    document = {"a": [1, 2], "b": {"c": "0.5", "d": "x", "e": True, "f": None}, "": 1, "g.": 2, "h": [], "i": [[3]]}
    assert list(number_paths(document)) == ["a.-1", "b.c", "i.-1.-1"]
    assert list(number_paths(1.5)) == []
    deep: object = 1
    for _ in range(MOST_NAMED):
        deep = {"x": deep}
    assert list(number_paths(deep)) == [".".join("x" * MOST_NAMED)]
    assert list(number_paths({"x": deep})) == []


@pytest.mark.parametrize(
    ("found", "regex", "text", "said"),
    [
        ("0.5,", r"mse (\S+)", "mse 0.5, n", "print 0.5 and nothing else"),
        ("0.5eV", r"mse=(\S+)", "mse=0.5eV", r"write 'mse=([-+]?[.\d]+)'"),
        ("1e-3J", r"mse=(\S+)", "mse=1e-3J", r"write 'mse=([-+.\deE]+)'"),
        ("0.5 eV", "mse=(.*)", "mse=0.5 eV", r"write 'mse=(\S+)'"),
        ("0.5 eV", "mse=(.+)", "mse=0.5 eV", r"write 'mse=(\S+)'"),
        ("0.5 eV", "it's=(.+)", "it's=0.5 eV", r"write 'it''s=(\S+)'"),
        ("a = 0,5", "x(.*)", "xa = 0,5", "print 0.5: use a dot as the decimal separator"),
        ("0.5/0.6", r"mse=(\S+)", "mse=0.5/0.6", None),
        ("0.5 0.6", "mse=(.*)", "mse=0.5 0.6", None),
        ("abc", r"mse=(\S+)", "mse=abc", None),
        ("0.5eV", r"mse=(\w.\w+)", "mse=0.5eV", None),
        ("0.5 eV", "(x+)+(.*)", "xx0.5 eV", None),
    ],
)
def test_a_better_expression_is_proposed_if_it_finds_that_number(
    found: str, regex: str, text: str, said: str | None
) -> None:
    assert advice_on_regex(found, regex, text, MSE) == said


def test_lines_up_to_a_length_are_advised_on() -> None:
    for length, is_short in ((LONGEST_LINE, True), (LONGEST_LINE + 1, False)):
        line = " " * (length - 3) + "0,5"
        assert (advice_on_line(line, line, MSE) is not None) == is_short
        assert (advice_on_word("*" * length, MSE) is not None) == is_short
        assert (advice_on_regex("*" * length, "x", "", MSE) is not None) == is_short


@pytest.mark.parametrize(
    ("printed", "seen"),
    [
        ("a\r\nb\rc\r\r\nd", "a\nb\nc\nd"), ("\ufeffa\n\ufeffb", "a\nb"), ("a\ufeff", "a\ufeff"),
        ("\x1b[1;32m0.5\x1b[0m", "0.5"), ("\x1b[2K0.5\x1b[K", "0.5"), ("\x1b[?25l0.5\x1b[?25h", "0.5"),
        ("\x1b(B0.5\x0f", "0.5"), ("\x1b]0;title\x070.5", "0.5"), ("\x1b]8;;u\x1b\\0.5", "0.5"),
        ("0.5\x0f", "0.5"), ("1\x1b[1D2", "1\x1b[1D2"),
    ],
)  # fmt: skip
def test_a_text_is_cleaned_as_a_screen_shows_it(printed: str, seen: str) -> None:
    assert cleaned(printed) == seen


def test_the_last_line_is_not_blank() -> None:
    assert [last_line(text) for text in ("a\nb\n \n\n", "a", "", "\n", "a\n b ")] == ["b", "a", "", "", " b"]
