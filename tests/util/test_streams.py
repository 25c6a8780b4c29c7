"""Byte streams that consist of lines. Standard streams are tested with the whole program: tests/integration."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rose_cli.util.streams import LineBuffer


@given(st.lists(st.binary(max_size=5).filter(lambda line: b"\n" not in line)), st.data())
def test_lines_are_the_same_however_the_stream_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines) + b"unfinished"
    buffer, found = LineBuffer(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += buffer.feed(stream[:size])
        stream = stream[size:]
    assert found == lines
