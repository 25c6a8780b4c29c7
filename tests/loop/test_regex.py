"""Which regular expressions are searched for without a time limit."""

from __future__ import annotations

import anyio
import pytest

from rose_cli.loop import regex as searching
from rose_cli.loop.regex import SlowMatchError, find_last, is_quick, last_match


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


def find(regex: str, text: str) -> str | None:
    async def found() -> str | None:
        return await find_last(regex, text)

    return anyio.run(found)


@pytest.mark.parametrize("text", ["xx=1 xx=2", "é=1\nxx=ü", "xx=\udcff", "xx= no", "y=3", ""])
@pytest.mark.parametrize("regex", [r"x=(\S+)", r"(x+)+=(\S*)", r"(x+)+=\S+", "(y)?="])
def test_a_search_in_a_process_finds_the_same(regex: str, text: str) -> None:
    assert find(regex, text) == last_match(regex, text)


def test_only_what_may_take_long_costs_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> int:
        raise SlowMatchError

    monkeypatch.setattr(searching, "_searched", refuse)
    assert find(r"x=(\S+)", "x=1") == "1"
    with pytest.raises(SlowMatchError):
        find(r"(x+)+=(\S+)", "x=1")


def test_a_search_that_is_killed_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    for code in (-9, 1, 0):

        async def ended(*_: object, code: int = code) -> int:
            return code

        monkeypatch.setattr(searching, "_searched", ended)
        with pytest.raises(SlowMatchError):
            find("(x+)+y", "x")
