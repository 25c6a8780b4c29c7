"""Texts that are a number, and what is said of those that are none; what is proposed is tried."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose_cli.loop.numerals import Wanted, advice_on_line, cleaned, last_line, number_of
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
