"""Which regular expressions are searched for without a time limit."""

from __future__ import annotations

import pytest

from rose_cli.loop.regex import is_quick, last_match


@pytest.mark.parametrize(
    ("regex", "length", "quick"),
    [
        (r"mse=(\S+)", 1000, True),
        (r"^mse\s*=\s*(\S+)", 30, True),
        ("x*x*x*x*x*y", 9, True),
        ("x*x*x*x*x*y", 50, False),
        ("x{1,9}x{1,9}x{1,9}x{1,9}x{1,9}y", 50, False),
        ("(x|x)(x|x)(x|x)(x|x)(x|x)(x|x)(x|x)(x|x)(x|x)(x|x)(x|x)(x|x)(x|x)(x|x)(x|x)(x|x)y", 1000, False),
        ("x?" * 30 + "x" * 30, 30, False),
        ("(x+)+y", 1, False),
        ("(?:x+){2}y", 1, False),
        ("(x)?y", 1, False),
        ("(.*)y", 1_000_000, False),
    ],
)
def test_only_what_is_surely_quick_is_searched_for_at_once(regex: str, length: int, quick: bool) -> None:
    assert is_quick(regex, "x" * length) == quick
    assert not quick or last_match(regex, "x" * length) is None


@pytest.mark.parametrize("regex", [r"mse=(\S+)", r"^mse: ([-+]?[\d.]+)$", "mse (.*)!", r"(?:mse|rmse)=(\S+)"])
def test_the_lines_of_a_log_are_searched_at_once(regex: str) -> None:
    """However many: nothing that matches within a line only goes on to the next."""
    assert is_quick(regex, "epoch 17 mse=0.125\n" * 1_000)
    assert not is_quick(regex, "x" * 20_000)


@pytest.mark.parametrize(
    "regex",
    [r"a\s*b*", r"[^=]*b", r"\D*b", r"\W*b", r"\n*b", r"[\t-x]*b", r"[\x00-x]*b", r"(?s).*b", "(?s:.*)b", "[\t-x]*b",
     r"[\0-x]*b", r"[\a-x]*b", r"[\b-x]*b", r"[\N{TAB}-x]*b", r"\12*b", "\n*b", r"\Z*b"],
)  # fmt: skip
def test_what_may_go_on_to_the_next_line_is_not(regex: str) -> None:
    assert not is_quick(regex, "a\n" * 20_000)
