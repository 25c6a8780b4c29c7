"""Whatever the text, it becomes a document or a `CampaignError`; honest documents keep every value and every place."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rose_cli.config.document import Document, parse_document, read_setting
from rose_cli.config.yaml import parser as yaml_parser
from rose_cli.config.yaml.nodes import plain_value
from rose_cli.util.errors import CampaignError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rose_cli.util.errors import KeyPath, Span

PARSERS: list[Any] = [yaml_parser.PurePythonParser]
if yaml_parser.new_parser is not yaml_parser.PurePythonParser:
    PARSERS.append(yaml_parser.new_parser)

FRAGMENTS = (
    *[
        "a",
        "b: ",
        "c:",
        "- ",
        "-1",
        "1",
        ": ",
        ":",
        ",",
        ", ",
        "{",
        "}",
        "[",
        "]",
        "'",
        '"',
        " ",
        "  ",
        "(",
        ")",
        "min(",
    ],
    *[
        "\n",
        "\n  ",
        "\n    ",
        "\n- ",
        "\n\n",
        "\r\n",
        "\r",
        "\t",
        "#",
        "# x",
        " #c\n",
        " #2",
        "é",
        "😀",
        "\u00a0",
        "\0",
    ],
    *["&a", "&a ", "*a", "*a ", "!t ", "!!str ", "|", "|\n  ", ">", ">=", "? ", "?", "%", "%YAML 1.2\n", "@", "`", "~"],
    *["---", "\n---\n", "\n...\n", "\\", "\\n", "\\u00e9", "\\ud800", "\\U00110000", "'q'", '"q"', "<<: ", "key: v\n"],
    *[
        "k: [1, 2]\n",
        "x: {",
        "- a: 1\n",
        "\n  c: 2",
        "'it''s'",
        "\u2028",
        "\ud800",
        "\ufeff",
        "--n: ",
        "0o17",
        "=",
        "\x1b",
    ],
)
YAMLISH = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join)


@contextmanager
def parsed_by(parser: Any) -> Iterator[None]:
    before, yaml_parser.new_parser = yaml_parser.new_parser, parser
    try:
        yield
    finally:
        yaml_parser.new_parser = before


def spans_of(read: Document) -> Iterator[tuple[KeyPath, Span | None, Span]]:
    for path in paths_of(read.data):
        yield path, read.key_span(path), read.value_span(path)


def paths_of(data: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    yield path
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(data, dict):
        children = data.items()
    elif isinstance(data, list):
        children = enumerate(data)
    for key, value in children:
        yield from paths_of(value, (*path, key))


def at(data: Any, path: KeyPath) -> Any:
    for part in path:
        data = data[part]
    return data


def offsets(text: str, span: Span) -> tuple[int, int]:
    """Where a span begins and ends in its text; fails where it is not in there."""
    lines = text.splitlines(keepends=True) or [""]
    if lines[-1].endswith(("\n", "\r")):
        lines.append("")
    found = []
    for line, column in ((span.line, span.column), (span.end_line, span.end_column)):
        assert 1 <= line <= len(lines)
        assert 1 <= column <= len(lines[line - 1].rstrip("\r\n")) + 1
        found.append(sum(map(len, lines[: line - 1])) + column - 1)
    assert found[0] <= found[1]
    return found[0], found[1]


def verdict(text: str | bytes) -> tuple[object, ...]:
    """What became of a text, after a look at every span."""
    try:
        read = parse_document(text, "x")
    except CampaignError as error:
        _check_error(error)
        return ("error",)
    spans = list(spans_of(read))
    for _, key, value in spans:
        offsets(read.text, value)
        offsets(read.text, key or value)
    return repr(read.data), spans, read.warnings


def _check_error(error: UsageError) -> None:
    assert error.message.isprintable()
    if not isinstance(error, CampaignError):
        return
    assert any(found.is_error for found in error.diagnostics)
    for found in error.diagnostics:
        assert found.message.isprintable()
        if found.span is not None:
            offsets(error.text or "", found.span)


def _encoded(encoding: str) -> st.SearchStrategy[bytes]:
    return YAMLISH.map(lambda text: text.encode(encoding, "surrogatepass"))


@settings(max_examples=1000)
@given(st.one_of(YAMLISH, YAMLISH.map("a: ".__add__), st.text(), st.binary(), _encoded("utf-8"), _encoded("utf-16")))
@example("a: |\n  x\n\t\nb: 1")
@example('"\\')
@example("a: [? ]")
@example("a: b\n\n\n")
@example("\r\n\ra: \r\n")
@example("a: {b:}")
@example("? ")
@example("&a")
@example("*")
@example("!<")
@example("%")
def test_any_text_becomes_a_document_or_mistakes_the_same_with_both_parsers(text: str | bytes) -> None:
    verdicts = []
    for parser in PARSERS:
        with parsed_by(parser):
            verdicts.append(verdict(text))
    assert verdicts[0] == verdicts[-1]


# -- honest documents --------------------------------------------------------------------------------------------------

# PyYAML writes YAML 1.1's further line breaks, and `[f(a, b)]` for a list of two, which a campaign file may not hold
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Zl", "Zp"], exclude_characters="\0\x85("), max_size=60)
# what PyYAML writes plain because YAML 1.1 does not know it
VALUES = TEXTS.filter(lambda text: plain_value(text) == text or "o" not in text)
SCALARS = st.one_of(
    VALUES,
    st.integers(-(10**60), 10**60),
    st.floats(allow_nan=False).filter(lambda number: "e" not in repr(number)),
    st.booleans(),
    st.none(),
)
KEYS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=30)
    .filter(lambda text: not (set(text) & set("\x85\ufeff(")))
    .filter(lambda text: plain_value(text) == text or "o" not in text),
    st.integers(-(10**18), 10**18),
)
TREES = st.recursive(
    SCALARS,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(KEYS, children, max_size=4),
    max_leaves=25,
)
MAPS = st.dictionaries(KEYS, TREES, min_size=1, max_size=5)


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def dumped(data: object, **style: Any) -> str:
    return str(yaml.dump(data, Dumper=_NoAliases, sort_keys=False, **style))


STYLES = st.fixed_dictionaries(
    {
        "allow_unicode": st.booleans(),
        "default_flow_style": st.sampled_from([True, False, None]),
        "width": st.sampled_from([20, 80, 100_000]),
        "indent": st.sampled_from([2, 4]),
        "line_break": st.sampled_from(["\n", "\r\n"]),
        "explicit_start": st.booleans(),
    }
)


@settings(max_examples=400)
@given(MAPS, STYLES)
@pytest.mark.parametrize("parser", PARSERS)
def test_what_pyyaml_writes_is_read_back_and_every_span_cuts_out_its_value(
    parser: Any, data: dict[Any, Any], style: dict[str, Any]
) -> None:
    text = dumped(data, **style)
    with parsed_by(parser):
        read = parse_document(text, "x")
        assert repr(read.data) == repr(data)
        for path, key, value in spans_of(read):
            _check_slices(text, read, path, key, value)


def _check_slices(text: str, read: Document, path: KeyPath, key: Span | None, value: Span) -> None:
    """What a span cuts out, read by itself, is the value; and nothing around it belongs to it."""
    if key is not None:
        start, end = offsets(text, key)
        assert parse_document(text[start:end] + ": 1", "key").data == {path[-1]: 1}
    expected = at(read.data, path)
    if not isinstance(expected, (dict, list)):
        start, end = offsets(text, value)
        piece = text[start:end]
        assert piece.strip(" \t\r\n") == piece
        assert repr(at(parse_document(f"k: {piece}", "value").data, ("k",))) == repr(expected)
        assert text[start - 1] in " \n[{"
        assert text[end : end + 1] in ("", "\r", "\n", ",", "]", "}")


class _Written(NamedTuple):
    """A text as it stands in the file: `starts[n]` is where its n-th character begins."""

    raw: str
    value: str
    starts: list[int]


@st.composite
def written(draw: st.DrawFn) -> _Written:
    """A text in plain, single-quoted or double-quoted form, written here character by character."""
    style = draw(st.sampled_from(["plain", "'", '"']))
    characters = st.sampled_from("aé😀日 x+" if style == "plain" else "aé😀日 x+'\"\\\t,:#[]{}")
    value = draw(st.text(characters, min_size=1, max_size=12))
    if style == "plain":
        value = "m" + " ".join(value.split()) + "z"
        return _Written(value, value, list(range(len(value))))
    raw, starts = style, []
    for character in value:
        starts.append(len(raw))
        raw += draw(st.sampled_from(_ways_to_write(character, style)))
    return _Written(raw + style, value, starts)


def _ways_to_write(character: str, style: str) -> list[str]:
    if style == "'":
        return ["''" if character == "'" else character]
    number = ord(character)
    ways = [f"\\U{number:08x}"] + ([f"\\u{number:04X}"] if number < 0x10000 else [])
    ways += [f"\\x{number:02x}"] if number < 0x100 else []
    ways += {'"': ['\\"'], "\\": ["\\\\"], "\t": ["\\t"]}.get(character, [character])
    return ways


@settings(max_examples=300)
@given(written(), written(), st.sampled_from(["é: ", "é:   ", "é: [1, ", "é: {'😀': ", "- [😀, "]), st.data())
@pytest.mark.parametrize("parser", PARSERS)
def test_inside_points_at_each_character(
    parser: Any, key: _Written, written: _Written, before: str, data: st.DataObject
) -> None:
    closing = "]" if "[" in before else "}" if "{" in before else ""
    above = f"{key.raw}: 1\nrest:\n  {before}"
    text = above + written.raw + closing + "\n"
    with parsed_by(parser):
        read = parse_document(text, "x")
    path, start = list(paths_of(read.data))[-1], len(above)
    assert at(read.data, path) == written.value
    assert offsets(text, read.value_span(path)) == (start, start + len(written.raw))
    assert offsets(text, read.key_span((key.value,)) or read.value_span(())) == (0, len(key.raw))
    first = data.draw(st.integers(0, len(written.value) - 1))
    last = data.draw(st.integers(first + 1, len(written.value)))
    ends = [*written.starts, len(written.raw) - (written.raw != written.value)]
    expected = (start + written.starts[first], start + ends[last])
    assert offsets(text, read.inside(path, first, last - first)) == expected


@settings(max_examples=300)
@given(MAPS, TREES, st.data())
def test_with_value_changes_that_value_and_its_place_and_nothing_else(
    data: dict[Any, Any], value: Any, choice: st.DataObject
) -> None:
    read = parse_document(dumped(data), "x")
    path = choice.draw(st.sampled_from([path for path in paths_of(data) if path]))
    text = dumped(value, default_flow_style=True, width=100_000, allow_unicode=False).removesuffix("\n...\n").strip()
    changed = read.with_value(path, text, f"--set {text}")
    assert repr(at(changed.data, path)) == repr(value)
    assert changed.locate(path)[0] == f"--set {text}"
    for other in paths_of(data):
        if other[: len(path)] != path and path[: len(other)] != other:
            assert repr(at(changed.data, other)) == repr(at(data, other))
            assert changed.place(other) == read.place(other)
    for under in paths_of(value, path):
        assert changed.place(under).source == f"--set {text}"
        offsets(changed.place(under).text, changed.value_span(under))


SET_IN = "a: [1, {b: 2}]\nb: {0: x, '1': y}\nc:\n"


@settings(max_examples=500)
@given(st.lists(st.one_of(st.integers(-2, 3), st.sampled_from(["a", "b", "0", "c"])), max_size=5), YAMLISH | st.text())
def test_any_option_is_set_or_refused(path: list[Any], text: str) -> None:
    read = parse_document(SET_IN, "x")
    try:
        changed = read.with_value(tuple(path), text, f"--set x={text}")
    except UsageError as error:
        _check_error(error)
        return
    given = f"--set x={text}"
    texts = {"x": SET_IN, given: read_setting(text, given).key.source.text}
    for each in paths_of(changed.data):
        place = changed.place(each)
        offsets(place.text, place.value)
        offsets(place.text, place.key or place.value)
        assert place.text == texts[place.source]
    assert changed.root.size >= len(list(paths_of(changed.data)))
