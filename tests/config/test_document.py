"""A campaign file becomes plain values with exact places, or every mistake in it at once, whichever parser there is."""

from __future__ import annotations

import math
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from rose_cli.config.document import Document, parse_document, read_document
from rose_cli.config.yaml import parser as yaml_parser
from rose_cli.config.yaml.nodes import plain_value
from rose_cli.util.errors import CampaignError, Diagnostic, Severity, Span, UsageError


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs with both parsers of PyYAML: which one is installed must make no difference."""
    if request.param == "libyaml":
        monkeypatch.setattr(yaml_parser, "new_parser", pytest.importorskip("yaml._yaml").CParser)
    else:
        monkeypatch.setattr(yaml_parser, "new_parser", yaml_parser.PurePythonParser)
    return str(request.param)


def document(text: str | bytes) -> Document:
    return parse_document(text, "campaign.yaml")


def mistakes(text: str | bytes) -> list[Diagnostic]:
    with pytest.raises(CampaignError) as caught:
        document(text)
    return list(caught.value.diagnostics)


def mistake(text: str | bytes) -> Diagnostic:
    (only,) = mistakes(text)
    return only


def cut(text: str, span: Span | None) -> str:
    """What stands at a span."""
    assert span is not None
    lines = text.splitlines(keepends=True)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines) + 1)]
    return text[starts[span.line - 1] + span.column - 1 : starts[span.end_line - 1] + span.end_column - 1]


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_nothing_is_none(text: str) -> None:
    assert document(f"a: {text}").data == {"a": None}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(word, True) for word in ("true", "True", "TRUE")],
        *[(word, False) for word in ("false", "False", "FALSE")],
        *[("0", 0), ("15", 15), ("-1", -1), ("+3", 3), ("-0", 0), ("0xFf", 255), ("0o17", 15)],
        *[("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("-0.25", -0.25), ("007.5", 7.5)],
        *[(".inf", math.inf), ("-.INF", -math.inf), ("+.Inf", math.inf)],
        ("9" * 64, int("9" * 64)),
        ("-" + "9" * 64, -int("9" * 64)),
    ],
)
def test_plain_words_and_numbers(text: str, value: object) -> None:
    read = plain_value(text)
    assert (read, isinstance(read, bool), isinstance(read, float)) == (
        value,
        isinstance(value, bool),
        isinstance(value, float),
    )
    assert document(f"a: {text}").data == {"a": value}


@pytest.mark.parametrize(
    "text", ["15", "-1", "+3", "-0", "0xFf", "0o17", "1.5", ".5", "1.", "0.10", "007.5", "-0.00001"]
)
def test_a_number_keeps_its_letters(text: str) -> None:
    assert str(plain_value(text)) == text


def test_nan() -> None:
    assert math.isnan(float(str(plain_value(".nan"))))


@pytest.mark.parametrize(
    "text",
    [
        *["1e-3", "1E5", "1.5e3", "007", "-01", "1_000", "1:30", "12:30:45", "2024-01-31", "2024-13-45"],
        *["yes", "no", "on", "off", "Yes", "NO", "y", "n", "tRue", "nULL", "0b11", "0x", "0xg", "0o8", "-0x1", "."],
        *["inf", "nan", ".iNf", "1.2.3", "--1", "+", "-", "=", "٣", "1٣", "½"],
        *["9" * 65, "9" * 5000, "0x" + "f" * 64, "0." + "1" * 64, "1,5", "0.1 * 0.95**i", "100 + i*50"],
    ],
)
def test_everything_else_plain_is_text(text: str) -> None:
    assert plain_value(text) == text


@pytest.mark.parametrize("quoted", ["'1'", '"1"', "'true'", '"null"', "''", "'~'", '"1.5"'])
def test_quotes_make_text(quoted: str) -> None:
    assert document(f"a: {quoted}").data == {"a": quoted[1:-1]}


def test_text_blocks_are_text() -> None:
    text = "a: |\n  12\nb: >-\n  one\n  two\nc: |+\n  x\n\n"
    assert document(text).data == {"a": "12\n", "b": "one two", "c": "x\n\n"}


def test_keys_are_text_or_whole_numbers() -> None:
    text = "0: a\n-1: b\n'0': c\n--n_labeled: d\n1.5e3: e\nyes: f\n0x10: g\n"
    data = document(text).data
    assert data == {0: "a", -1: "b", "0": "c", "--n_labeled": "d", "1.5e3": "e", "yes": "f", 16: "g"}


def test_the_tutorial() -> None:
    text = """\
max_iter: 15
learners:
  - name: adaptive
    simulation:
      adaptive: {--n_labeled: 100 + i*50, --n_features: 2, --noise_level: 0.1 * 0.95**i}
    training:
      adaptive: {--learning_rate: 0.01 * 0.9**i, --batch_size: "min(64, 32 + i*4)"}
  - name: per-iteration
    simulation:
      0:  {--n_labeled: 150}
      -1: {--n_labeled: 400}
  - {}
"""
    options = {"--n_labeled": "100 + i*50", "--n_features": 2, "--noise_level": "0.1 * 0.95**i"}
    training = {"--learning_rate": "0.01 * 0.9**i", "--batch_size": "min(64, 32 + i*4)"}
    assert document(text).data == {
        "max_iter": 15,
        "learners": [
            {"name": "adaptive", "simulation": {"adaptive": options}, "training": {"adaptive": training}},
            {"name": "per-iteration", "simulation": {0: {"--n_labeled": 150}, -1: {"--n_labeled": 400}}},
            {},
        ],
    }


def test_order_is_the_order_of_the_file() -> None:
    data = document("z: 1\na: 2\nm: 3\n").data
    assert isinstance(data, dict)
    assert list(data) == ["z", "a", "m"]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("\ufeffa: 1", {"a": 1}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("---\na: 1\n...\n", {"a": 1}),
        ("%YAML 1.2\n---\na: 1\n", {"a": 1}),
        ("a:\t1\t# one\nb: x\ty\n\t\nc: [1,\t2]\n", {"a": 1, "b": "x\ty", "c": [1, 2]}),
        ("a: {q: why?, r: a?b, 's':1}\n", {"a": {"q": "why?", "r": "a?b", "s": 1}}),
        ("a:\n- 1\n- - 2\n  - 3\n", {"a": [1, [2, 3]]}),
        ("a: [x: 1]\n", {"a": [{"x": 1}]}),
        ("a: {b: , c}\n".replace(", c", ", c: "), {"a": {"b": None, "c": None}}),
        ("a: {b: (, c: x( }\n", {"a": {"b": "(", "c": "x("}}),
        ("a: {}\nb: []\n", {"a": {}, "b": []}),
        ("a: see http://x.org:80/#y\nb: C:\\temp\n", {"a": "see http://x.org:80/#y", "b": "C:\\temp"}),
        ("a: 'it''s'\nb: \"\\u00e9\\x41\\n\"\n", {"a": "it's", "b": "éA\n"}),
    ],
)
def test_good_yaml(text: str, data: object) -> None:
    read = document(text)
    assert read.data == data
    assert read.warnings == ()


def test_aliases_become_copies() -> None:
    read = document("a: &x {k: [1]}\nb: *x\nc: [*x, *x]\n")
    data: Any = read.data
    data["b"]["k"].append(2)
    assert data == {"a": {"k": [1]}, "b": {"k": [1, 2]}, "c": [{"k": [1]}, {"k": [1]}]}
    assert read.warnings == ()


# -- places ------------------------------------------------------------------------------------------------------------

PLACED = """\
# a comment é
"näme": Größe 😀   # another
😀: [a, 'ü ''x''', "\\u00e9 \\"q\\"", -1 ]
tasks:
  simulation: {executable: python sim.py, 日本: &d 0.5}
  training:
    - x
    -  {y: *d}
empty:
folded: 'one
  two'
block: |
  line

last: [[1, 2], {z: 3}]"""


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("näme",), '"näme"', "Größe 😀"),
        (("😀",), "😀", "[a, 'ü ''x''', \"\\u00e9 \\\"q\\\"\", -1 ]"),
        (("😀", 0), None, "a"),
        (("😀", 1), None, "'ü ''x'''"),
        (("😀", 2), None, '"\\u00e9 \\"q\\""'),
        (("😀", 3), None, "-1"),
        (("tasks", "simulation"), "simulation", "{executable: python sim.py, 日本: &d 0.5}"),
        (("tasks", "simulation", "executable"), "executable", "python sim.py"),
        (("tasks", "simulation", "日本"), "日本", "0.5"),
        (("tasks", "training"), "training", "- x\n    -  {y: *d}"),
        (("tasks", "training", 1), None, "{y: *d}"),
        (("tasks", "training", 1, "y"), "y", "*d"),
        (("empty",), "empty", ""),
        (("folded",), "folded", "'one\n  two'"),
        (("block",), "block", "|\n  line"),
        (("last", 0, 1), None, "2"),
        (("last", 1, "z"), "z", "3"),
    ],
)
@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_spans_cut_out_what_was_written(
    path: tuple[str | int, ...], key: str | None, value: str, line_break: str
) -> None:
    text = PLACED.replace("\n", line_break)
    read = document("\ufeff" + text)
    assert read.text == text
    assert cut(text, read.value_span(path)) == value.replace("\n", line_break)
    assert read.key_span(path) is None if key is None else cut(text, read.key_span(path)) == key


def test_lines_and_columns_count_characters_from_one() -> None:
    read = document(PLACED)
    assert read.value_span(("😀", 3)) == Span(3, 35, 3, 37)
    assert read.key_span(("tasks", "simulation", "日本")) == Span(5, 43, 5, 45)
    assert read.value_span(("empty",)) == Span(9, 7, 9, 7)
    assert read.place(("empty",)).line == "empty:"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tasks", "simulation", "timeout"), "{executable: python sim.py, 日本: &d 0.5}"),
        (("tasks", "simulation", "executable", "x", 3), "python sim.py"),
        (("last", 7), "[[1, 2], {z: 3}]"),
        (("last", "7"), "[[1, 2], {z: 3}]"),
        (("last", -1), "[[1, 2], {z: 3}]"),
    ],
)
def test_a_path_that_is_not_there_gives_the_nearest_place(path: tuple[str | int, ...], value: str) -> None:
    read = document(PLACED)
    assert cut(PLACED, read.value_span(path)) == value
    assert read.key_span(path) is None
    assert cut(PLACED, read.inside(path, 1, 2)) == value
    assert read.locate(path) == ("campaign.yaml", read.value_span(path))


@pytest.mark.parametrize(
    ("value", "part", "written"),
    [
        ("min(64, mni(i))", "mni", "mni"),
        ("'min(\"ü\", mni(i))'", "mni", "mni"),
        ("'it''s mni'", "mni", "mni"),
        ("'it''s mni'", "'s", "''s"),
        ('"\\u00e9\\x41\\n\\"\\\\ mni"', "mni", "mni"),
        ('"\\U0001F600 mni"', "\N{GRINNING FACE}", "\\U0001F600"),
        ('"😀\\tmni"', "\tm", "\\tm"),
        ("2048", "04", "04"),
        ("&x mni + 1", "mni", "mni"),
    ],
)
def test_a_place_inside_a_value(value: str, part: str, written: str) -> None:
    text = f"é: {value}\nused: *x\n" if value.startswith("&") else f"é: {value}\n"
    read = document(text)
    data: Any = read.data
    assert cut(text, read.inside(("é",), str(data["é"]).index(part), len(part))) == written


def test_a_place_inside_an_alias_is_where_it_is_defined() -> None:
    text = "a: &x min(1, y)\nb: *x\n"
    read = document(text)
    assert read.inside(("b",), 7) == Span(1, 14, 1, 15)
    assert cut(text, read.value_span(("b",))) == "*x"


@pytest.mark.parametrize("value", ["'one\n  two'", "|\n  one two", "one\n  two", '"one\\\n  two"'])
def test_inside_a_value_of_several_lines_is_the_whole_value(value: str) -> None:
    read = document(f"a: {value}\n")
    assert read.inside(("a",), 4, 3) == read.value_span(("a",))


def test_just_behind_a_value_is_its_end() -> None:
    read = document("a: 1 +\nb: '1 +'\n")
    assert read.inside(("a",), 3) == Span(1, 7, 1, 7)
    assert read.inside(("b",), 3) == Span(2, 8, 2, 8)
    assert read.inside(("b",), 99, 99) == Span(2, 8, 2, 8)


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "place", "message", "hint"),
    [
        ("a:\n\tb: 1\n", "tab", "\t", "indented with a tab", "spaces"),
        ("a: @x\n", "yaml-syntax", "@", "cannot start with '@'", 'quote it: "@x"'),
        ("a: `x` # c\n", "yaml-syntax", "`", "cannot start with '`'", 'quote it: "`x`"'),
        ("a: [%d, 1]\n", "yaml-syntax", "%", "cannot start with '%'", 'quote it: "%d"'),
        ("a: *.py\n", "yaml-syntax", "*.py", "cannot start with '*'", 'quote it: "*.py"'),
        ("a: & b\n", "yaml-syntax", "& b", "cannot start with '&'", 'quote it: "& b"'),
        ("a: &i * 2\n", "yaml-syntax", "&i * 2", "cannot start with '&'", 'quote it: "&i * 2"'),
        ("a: &i\nb: 1\n", "bare-anchor", "&i", "'&i' is an anchor without a value", 'quote it: "&i"'),
        ("a: *x\n", "unknown-alias", "*x", "the anchor '&x'", 'quote it: "*x"'),
        ("a: &x [*x]\n", "recursive-alias", "*x", "inside the value that it refers to", "write the value out"),
        ("a: &x 1\nb: &x 2\nc: *x\n", "duplicate-anchor", "&x", "first on line 1", "rename"),
        ("a: 'it's'\n", "unclosed-quote", "s", "ends with the quote before", "written ''"),
        ('a: "x" y\n', "unclosed-quote", "y", "ends with the quote before", "whole value"),
        ("a: 'x\nb: 'y'\n", "unclosed-quote", "y", "ends with the quote before", "above this line"),
        ('a: "abc\nb: 1\n', "unclosed-quote", '"', "never closed", 'close it with "'),
        ("a: [1, 2\nb: 3\n", "unclosed-bracket", "[", "not closed before line 2", "']'"),
        ("a: {x: 1\n", "unclosed-bracket", "{", "not closed", "'}'"),
        ("a: 1\n[b\n", "unclosed-bracket", "[", "not closed", "']'"),
        ("a: [1, 2}\n", "unclosed-bracket", "}", "expected ']' here, not '}'", "its own"),
        ("a: {\n  x: 1\n  y: 2\n}\n", "yaml-syntax", ":", "expected ',' or '}'", "comma"),
        ("a: [1,,2]\n", "yaml-syntax", ",", "no value before", "null"),
        ("a: 1\nb: ]\n", "yaml-syntax", "]", "closes no bracket", "quotes"),
        ("a: ,b\n", "yaml-syntax", ",", "is outside brackets", "quotes"),
        ("a: b: c\n", "yaml-syntax", ":", "a second ': '", "quote the value"),
        ("a: 1\n  b: 2\n", "indentation", "b", "indented under a value", "like the keys beside it"),
        ("a:\n    b: 1\n  c: 2\n", "indentation", "c: 2", "indented by 2", "by 0 or 4"),
        ("  a: 1\nb: 2\n", "indentation", "b: 2", "indented by 0", "by 2"),
        ("a:\n  - b\n  c: 1\n", "indentation", "c: 1", "a list item was expected", "cannot be mixed"),
        ("a:\n  b: 1\n  - c\n", "indentation", "- c", "a key was expected", "cannot be mixed"),
        ("a: - b\n", "yaml-syntax", "-", "a list cannot start", "next line"),
        ("max_iter:15\n", "missing-space", ":", "a space is missing", "'key: value'"),
        ("a: 1\nmax_iter:15\nb: 2\n", "missing-space", ":", "a space is missing", "'key: value'"),
        ("a:\n  - b: 1\n    c:2\n", "missing-space", ":", "a space is missing", "'key: value'"),
        ("a: {b:[1]}\n", "missing-space", ":", "a space is missing", "'key: value'"),
        ("a: {b:1}\n", "missing-value", "b:1", "'b:1' has no value", "space after the colon"),
        ("a: {--n 100, b: 1}\n", "missing-value", "--n 100", "has no value", "write --n: 100"),
        ("a: 1\nkey value # c\nb: 2\n", "missing-value", "key value", "has no colon", "'key: value'"),
        ("name x\nmax_iter: 3\n", "missing-value", "name x", "has no colon", "'key: value'"),
        ("operator: >\nx: 1\n", "block-text", ">", "starts a block of text", 'quote it: ">"'),
        ("operator: >=\nx: 1\n", "block-text", ">=", "starts a block of text", 'quote it: ">="'),
        ("s: {operator: >=, t: 1}\n", "block-text", ">=", "starts a block of text", 'quote it: ">="'),
        ("a: | foo\n", "block-text", "| foo", "starts a block of text", 'quote it: "| foo"'),
        ("a: {lr: min(64, 32)}\n", "split-by-comma", "min(64, 32)", "after 'min(64'", 'quote it: "min(64, 32)"'),
        ("a: [min(64, 32), 5]\n", "split-by-comma", "min(64, 32)", "after 'min(64'", 'quote it: "min(64, 32)"'),
        ("a: {x: f(1, [2, 3])}\n", "split-by-comma", "f(1, [2, 3])", "after 'f(1'", "quote it"),
        ("a: {x: f(1, g(2, 3), 4), y: 1}\n", "split-by-comma", "f(1, g(2, 3), 4)", "after 'f(1'", "quote it"),
        (
            "a: !!python/object/apply:os.system ['x']\n",
            "tag",
            "!!python/object/apply:os.system",
            "a YAML tag",
            "quotes",
        ),
        ("a: !foo\n", "tag", "!foo", "a YAML tag", "quotes"),
        ("a: !!str 1\n", "tag", "!!str", "a YAML tag", "quotes"),
        ("a: ! 1\n", "tag", "!", "a YAML tag", "quotes"),
        ("<<: {a: 1}\n", "odd-key", "<<", "merge keys", "write the keys out"),
        ("true: 1\n", "odd-key", "true", "'true' is neither a string", 'quote it: "true"'),
        ("1.5: 1\n", "odd-key", "1.5", "'1.5' is neither a string", 'quote it: "1.5"'),
        ("~: 1\n", "odd-key", "~", "'~' is neither a string", 'quote it: "~"'),
        ("[a]: 1\n", "odd-key", "[a]", "not a list", "quotes"),
        ("{a: 1}: 1\n", "odd-key", "{a: 1}", "not a list, a map", "quotes"),
        ("a: &x 1\n*x : 2\n", "odd-key", "*x", "or an alias", "quotes"),
        ("? a\n: b\n", "odd-key", "?", "'?' marks a key", "'key: value'"),
        (f"{10**19}: 1\n", "odd-key", str(10**19), "too large for a key", "-1"),
        ("a: 1\na: 2\n", "duplicate-key", "a", "duplicate key 'a' (first on line 1)", "remove one"),
        ("1: a\n'1': b\n+1: c\n", "duplicate-key", "+1", "duplicate key '1' (first on line 1)", "remove one"),
        ('a: "acc=(\\S+)"\n', "bad-escape", "\\S", "not a valid escape", "single quotes"),
        ('a: "\\ud800"\n', "bad-escape", "\\ud800", "not a valid escape", "single quotes"),
        ('a: "\\UFFFFFFFF"\n', "bad-escape", "\\UFFFFFFFF", "not a valid escape", "single quotes"),
        ('a: "x\\0"\n', "bad-escape", '"x\\0"', "cannot be passed to a program", "remove"),
        ("%FOO bar\n---\na: 1\n", "directive", "%FOO bar", "a YAML directive", "delete"),
        ("%TAG ! tag:x,2000:\n---\na: 1\n", "directive", "%TAG ! tag:x,2000:", "a YAML directive", "delete"),
        ("a: 1\n---\nb: 2\n", "second-document", "-", "a second document", "one document"),
        ("", "empty-file", "", "the file is empty", "tasks"),
        ("# nothing\n", "empty-file", "", "the file is empty", "tasks"),
        ("---\n", "empty-file", "", "the file is empty", "tasks"),
        ("- a\n- b\n", "not-a-map", "- a\n- b", "a list", "'key: value'"),
        ("hello\n", "not-a-map", "hello", "a single value", "'key: value'"),
        ("a: b\x1b[31m\n", "odd-character", "\x1b", "U+001B", '"\\e"'),
        ("a: b\u2028c\n", "odd-character", "\u2028", "U+2028", "delete"),
        ("a: \ud800\n", "odd-character", "\ud800", "U+D800", "delete"),
    ],
)
def test_one_mistake(text: str, code: str, place: str, message: str, hint: str) -> None:
    found = mistake(text)
    assert found.code == code
    assert cut(text, found.span) == place
    assert message in found.message
    assert hint in (found.hint or "")
    assert (found.file, found.severity) == ("campaign.yaml", Severity.ERROR)


def test_all_mistakes_at_once_in_the_order_of_the_file() -> None:
    text = """\
a: 1
b: !t 2
a: 3
true: 4
c: {x: f(1, 2), y: g(3, 4), z}
d: *nothing
e: [1, 2
"""
    found = [(d.code, d.span.line if d.span else 0) for d in mistakes(text)]
    assert found == [
        *[("tag", 2), ("duplicate-key", 3), ("odd-key", 4)],
        *[("split-by-comma", 5), ("split-by-comma", 5), ("missing-value", 5)],
        *[("unknown-alias", 6), ("unclosed-bracket", 7)],
    ]


def test_every_line_with_a_tab_is_named_but_not_those_inside_texts() -> None:
    text = "a: 'x\n\ty'\nb: |\n  x\n  \ty\nc:\n\td: 1\n \te: 2\n"
    assert [(d.code, d.span and d.span.line) for d in mistakes(text)] == [("tab", 7)]
    flow = "a: {\n\tb: 1,\n\tc: 2\n\t}\n"
    assert [(d.code, d.span and d.span.line) for d in mistakes(flow)] == [("tab", 2), ("tab", 3), ("tab", 4)]


def test_no_more_than_a_hundred_mistakes() -> None:
    assert len(mistakes("a: 1\n" * 1000)) == 100


def test_a_message_never_holds_a_control_character_or_a_long_value() -> None:
    found = mistakes("\x1b[31m: 1\n" + "\x1b[31m: 2\n" + "k" * 900 + ": 1\n" + "k" * 900 + ": 2\n")
    assert {d.code for d in found} == {"odd-character", "duplicate-key"}
    assert all(d.message.isprintable() and len(d.message) < 120 for d in found)


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("a: 1 #2\n", "cut-by-comment", "#2"),
        ("a: &x 5\n", "unused-anchor", "&x"),
        ("a: python\u00a0sim.py\n", "invisible-character", "\u00a0"),
        ("a\u200b: 1\n", "invisible-character", "\u200b"),
    ],
)
def test_what_may_not_be_meant_is_a_warning(text: str, code: str, place: str) -> None:
    (warning,) = document(text).warnings
    assert (warning.code, warning.severity) == (code, Severity.WARNING)
    assert cut(text, warning.span) == place


@pytest.mark.parametrize(
    "text", ["a: 1 # 2\n", "a: 1  #2\n", "a: '1 #2'\n", "a: x#2\n", "a: &x 1\nb: *x\n", "a: 👩‍💻\n"]
)
def test_no_warning_without_need(text: str) -> None:
    assert document(text).warnings == ()


def test_warnings_come_with_the_errors_too() -> None:
    assert [d.severity.value for d in mistakes("a: 1 #2\nb: !t 1\n")] == ["warning", "error"]


@pytest.mark.parametrize(
    ("data", "place", "message"),
    [
        (b"a: 1\nb: caf\xe9\n", Span(2, 7, 2, 8), "0xe9"),
        ("é: ".encode() + b"\xff\n", Span(1, 4, 1, 5), "0xff"),
        (b"a: \xed\xa0\x80\n", Span(1, 4, 1, 5), "0xed"),
        ("a: 1\n".encode("utf-16"), Span(1, 1, 1, 1), "UTF-16"),
        ("a: 1\n".encode("utf-16-be"), Span(1, 1, 1, 1), "UTF-16"),
        ("a: 1\n".encode("utf-32"), Span(1, 1, 1, 1), "UTF-32"),
    ],
)
def test_only_utf8(data: bytes, place: Span, message: str) -> None:
    found = mistake(data)
    assert (found.code, found.span) == ("not-utf8", place)
    assert message in found.message
    assert "UTF-8" in (found.hint or "")


def test_latin1_is_named_with_the_character_and_the_text_can_be_shown() -> None:
    with pytest.raises(CampaignError) as caught:
        document(b"a: caf\xe9\na: 2\n")
    assert [d.code for d in caught.value.diagnostics] == ["not-utf8", "duplicate-key"]
    assert "'é'" in (caught.value.diagnostics[0].hint or "")
    assert caught.value.text == "a: caf\N{REPLACEMENT CHARACTER}\na: 2\n"


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_file_is_called_what_the_user_calls_it(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_bytes("\ufeffa: é\n".encode())
    assert read_document(file).name == str(file)
    read = read_document(file, "./campaign.yaml")
    assert (read.name, read.text, read.data) == ("./campaign.yaml", "a: é\n", {"a": "é"})
    assert read.locate(("a",)) == ("./campaign.yaml", Span(1, 4, 1, 5))


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket"))
    for name, reason in {
        "missing.yaml": "no such file",
        "missing/x.yaml": "no such file",
        "": "a directory",
        "pipe": "a pipe or a device",
        "loop": "",
        "socket": "",
        "x" * 300: "too long",
        "nul\0": "not a file name",
    }.items():
        with pytest.raises(UsageError) as caught:
            read_document(tmp_path / name, name)
        assert not isinstance(caught.value, CampaignError)
        assert reason in caught.value.message
        assert caught.value.hint
    listening.close()


def test_a_device_ends_at_once() -> None:
    for device in ("/dev/zero", "/dev/null", "/dev/stdin"):
        with pytest.raises(UsageError, match=r"a pipe or a device|no such"):
            read_document(Path(device))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.touch(mode=0o000)
    with pytest.raises(UsageError, match="permission denied"):
        read_document(file)


def test_the_size_of_a_file_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_bytes(b"a: 1\n#" + b"x" * ((1 << 22) - 6))
    assert read_document(file).data == {"a": 1}
    file.write_bytes(b"a: 1\n#" + b"x" * ((1 << 22) - 5))
    with pytest.raises(CampaignError) as caught:
        read_document(file)
    assert [d.code for d in caught.value.diagnostics] == ["file-too-large"]


# -- --set -------------------------------------------------------------------------------------------------------------

BASE = """\
max_iter: 15
tasks: {simulation: {executable: sim}}
shared: &s {x: 1}
learners:
  - name: a
    simulation: *s
  - name: b
    simulation: {0: {x: 1}, "7": {x: 2}}
  - {}
nothing:
"""


def with_option(option: str, read: Document | None = None) -> Document:
    keys, _, text = option.partition("=")
    path = tuple(plain_value(key) for key in keys.split("."))
    return (read or document(BASE)).with_value(path, text, f"--set {option}")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_iter=20", 20),
        ("max_iter=", None),
        ("max_iter=1e-3", "1e-3"),
        ("max_iter='20'", "20"),
        ("max_iter=[1, {a: b}]", [1, {"a": "b"}]),
        ("max_iter=foo, bar", "foo, bar"),
        ("max_iter=min(1, 2)", "min(1, 2)"),
        ("max_iter=a=b", "a=b"),
        ("learners.0.name=z", "z"),
        ("learners.2.simulation.5.--n=3", 3),
        ("learners.1.simulation.7.x=9", 9),
        ("tasks.training.executable=python train.py", "python train.py"),
        ("nothing.is.deep=true", True),
    ],
)
def test_a_value_is_set(option: str, value: object) -> None:
    before = document(BASE)
    after = with_option(option, before)
    data: Any = after.data
    for part in option.partition("=")[0].split("."):
        data = data[int(part)] if isinstance(data, list) else data[part if part in data else plain_value(part)]
    assert data == value
    assert before.data == document(BASE).data
    assert after.text == BASE


def test_what_is_set_has_its_places_in_the_option() -> None:
    option = "--set tasks.simulation.options={lr: [0.1, mni(i)]}"
    keys, _, text = option.removeprefix("--set ").partition("=")
    read = document(BASE).with_value(tuple(keys.split(".")), text, option)
    path = ("tasks", "simulation", "options", "lr", 1)
    source, span = read.locate(path)
    assert (source, cut(option, span)) == (option, "mni(i)")
    assert cut(option, read.inside(path, 4, 1)) == "i"
    assert cut(option, read.key_span(("tasks", "simulation", "options"))) == "tasks.simulation.options"
    assert read.locate((*path, "more")) == (source, span)
    assert read.place(path).text == option
    assert read.place(("tasks", "simulation", "executable")).text == BASE
    assert cut(BASE, read.key_span(("tasks", "simulation"))) == "simulation"
    assert read.locate(("tasks", "simulation", "executable"))[0] == "campaign.yaml"


def test_maps_that_are_made_on_the_way_come_from_the_option() -> None:
    read = with_option("tasks.new.timeout=30m")
    assert read.locate(("tasks", "new"))[0] == "--set tasks.new.timeout=30m"
    assert read.place(("tasks", "new")).key == Span(1, 7, 1, 24)
    assert read.locate(("tasks", "new", "executable"))[0] == "--set tasks.new.timeout=30m"


def test_a_source_of_any_name() -> None:
    read = document(BASE).with_value(("max_iter",), " abc", "the environment")
    assert read.locate(("max_iter",)) == ("the environment", Span(1, 2, 1, 5))
    assert read.place(("max_iter",)).text == " abc"


def test_setting_through_an_alias_changes_that_place_only() -> None:
    data: Any = with_option("learners.0.simulation.x=5").data
    assert data["learners"][0]["simulation"] == {"x": 5}
    assert data["shared"] == {"x": 1}


def test_later_options_win_and_all_keep_their_places() -> None:
    read = with_option("max_iter=3", with_option("stop.threshold=1", with_option("max_iter=2")))
    assert read.data == {**document(BASE).data, "max_iter": 3, "stop": {"threshold": 1}}  # type: ignore[dict-item]
    assert read.locate(("max_iter",))[0] == "--set max_iter=3"
    assert read.locate(("stop", "threshold"))[0] == "--set stop.threshold=1"


@pytest.mark.parametrize(
    ("option", "code", "place"),
    [
        ("a=[1", "unclosed-bracket", "["),
        ("a=*.py", "yaml-syntax", "*.py"),
        ("a=b: c", "block-value", "b: c"),
        ("a=- 1", "block-value", "- 1"),
        ("a=!!python/name:os.system", "tag", "!!python/name:os.system"),
        ("a={x: f(1, 2)}", "split-by-comma", "f(1, 2)"),
        ("a={x: 1, x: 2}", "duplicate-key", "x"),
        ("a=1 # one", "cut-by-comment", " # one"),
        ("a=#one", "cut-by-comment", "#one"),
        ("a=>", "block-text", ">"),
        ("a=&i", "bare-anchor", "&i"),
    ],
)
def test_a_mistake_in_an_option(option: str, code: str, place: str) -> None:
    with pytest.raises(CampaignError) as caught:
        with_option(option)
    (found,) = caught.value.diagnostics
    assert (found.code, found.file) == (code, f"--set {option}")
    assert caught.value.text == f"--set {option}"
    assert cut(caught.value.text, found.span) == place


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("max_iter.x=1", "cannot set 'max_iter.x': 'max_iter' is '15', which has no keys"),
        ("learners.3.name=x", "'learners' is a list of 3, counted from 0, and has no '3'"),
        ("learners.-1.name=x", "has no '-1'"),
        ("learners.first=x", "has no 'first'"),
        (".".join("a" * 40) + "=1", "nested too deeply"),
    ],
)
def test_a_path_that_cannot_be_followed(option: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_option(option)
    assert not isinstance(caught.value, CampaignError)
    assert message in caught.value.message


def test_an_empty_path_cannot_be_set() -> None:
    with pytest.raises(UsageError, match="no key is given"):
        document(BASE).with_value((), "1", "--set =1")


# --- large files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def fast_parser() -> None:
    if yaml_parser.new_parser is yaml_parser.PurePythonParser:
        pytest.skip("PyYAML's own parser takes a minute")


@pytest.mark.usefixtures("fast_parser")
def test_a_file_of_sixty_thousand_lines_is_read_with_the_location_of_each_value() -> None:
    learner = "- name: l{0}\n  seed: {0}\n  sim:\n    options:\n      --lr: 0.{0}\n      --n: {0}\n"
    document = parse_document("learners:\n" + "".join(learner.format(number) for number in range(1, 10_001)), "c")
    assert isinstance(document.data, dict)
    learners = document.data["learners"]
    assert isinstance(learners, list)
    assert learners[9_999] == {"name": "l10000", "seed": 10_000, "sim": {"options": {"--lr": 0.1, "--n": 10_000}}}
    span = document.value_span(("learners", 9_999, "sim", "options", "--n"))
    assert (span.line, span.column, span.end_column) == (60_001, 12, 17)


@pytest.mark.usefixtures("fast_parser")
@pytest.mark.parametrize("form", ["{}: 1\n", "- {}\n"])
def test_one_mapping_or_list_has_a_bound(form: str) -> None:
    text = "".join(form.format(number) for number in range(1 << 16))
    with pytest.raises(CampaignError) as caught:
        parse_document(text + form.format(1 << 16), "c")
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("too-large", "more than 65536 entries in one mapping or list")
    assert found.span is not None
    assert found.span.line == (1 << 16) + 1
    if ":" in form:
        assert len(parse_document(text, "c").data) == 1 << 16  # type: ignore[arg-type]


@pytest.mark.usefixtures("fast_parser")
def test_the_whole_file_has_a_bound_too() -> None:
    text = "".join(f"k{number}: [{'1, ' * 99}1]\n" for number in range(5_000))
    with pytest.raises(CampaignError) as caught:
        parse_document(text, "c")
    assert [found.message for found in caught.value.diagnostics] == [
        "more than 500000 keys and values, counting each use of an alias"
    ]
