"""Every kind of event survives its way into the file and back, whatever users and tasks put into it."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose_cli.journal.events import (
    FORMAT_VERSION,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    IterationFinished,
    RunCreated,
    from_json,
    to_json,
)
from rose_cli.journal.record import Record, decode, encode, is_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

CLASSES = get_args(Event)
half_pairs = st.sampled_from(["\ud800", "\udcff", "a\udc80b"])
separators = st.just('\u2028\u2029\x85\r\n\0"\\')
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | half_pairs | separators
integers = st.integers(-(2**70), 2**70)
scalars = st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False) | text
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))
maps = st.dictionaries(text, values, max_size=4)
optional_text = st.none() | text
BY_TYPE: Mapping[str, st.SearchStrategy[Any]] = {
    "str": text,
    "str | None": optional_text,
    "int": integers,
    "int | None": st.none() | integers,
    "float": st.floats(),
    "float | None": st.none() | st.floats(),
    "tuple[str, ...]": st.lists(text, max_size=3).map(tuple),
    "Mapping[str, Any]": maps,
    "bool": st.booleans(),
    "Mapping[str, int]": st.dictionaries(text, integers, max_size=4),
    "Mapping[str, str]": st.dictionaries(text, text, max_size=4),
}


def _any_event(cls: type) -> st.SearchStrategy[Any]:
    strategies = {field.name: BY_TYPE[str(field.type)] for field in fields(cls)}
    if cls is RunCreated:
        strategies["format"] = st.just(FORMAT_VERSION)
    return st.builds(cls, **strategies)


events = st.one_of(*map(_any_event, CLASSES))


@given(event=events)
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    # by repr, in which nan is nan and -0.0 is not 0.0
    assert repr(_plain(from_json(json.loads(json.dumps(to_json(event), allow_nan=False))))) == repr(_plain(event))


def _plain(event: Event) -> Any:
    """Without the difference between an empty map and the default one."""
    return type(event), {
        field.name: value if not field.type.startswith("Mapping") else dict(value)
        for field in fields(event)
        for value in [getattr(event, field.name)]
    }


@given(event=events, sequence=st.integers(1, 10**12), time=st.floats(0, 1e11))
def test_a_record_is_one_line_of_strict_json_that_knows_it_is_whole(event: Event, sequence: int, time: float) -> None:
    line = encode(Record(sequence, time, event))
    assert is_whole(line)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line, parse_constant=pytest.fail)["seq"] == sequence
    assert encode(decode(line)) == line


def test_the_names_in_the_file_stay_what_they_are() -> None:
    names = "run_created session_started session_ended learner_started attempt_started process_spawned "
    names += "attempt_succeeded attempt_failed attempt_cancelled attempt_lost step_given_up iteration_finished "
    names += "learner_stopped learner_reopened max_iter_changed"
    for name, cls in zip(names.split(), CLASSES, strict=True):
        entries = {field.name: 1 for field in fields(cls) if field.name not in ("learners", "stderr_tail")}
        event = from_json({"event": name, **entries, "learners": []})
        assert type(event) is cls
        assert to_json(event)["event"] == name


@pytest.mark.parametrize(("number", "word"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")])
def test_what_json_has_no_number_for_is_a_word(number: float, word: str) -> None:
    finished = to_json(IterationFinished("a", 0, 1.0, number))
    assert finished["value"] == word
    assert repr(from_json(finished)) == repr(IterationFinished("a", 0, 1.0, number))
    reported = to_json(AttemptSucceeded("a", 0, "t", 0, 1, 1.0, {"x": [number]}))
    assert reported["result"] == {"x": [word]}


def test_inside_options_keys_become_text_and_tuples_lists() -> None:
    event = AttemptStarted("a", 0, "t", 0, 1, {"--layers": (64, 64), 3: True})  # type: ignore[dict-item]
    assert from_json(to_json(event)) == AttemptStarted("a", 0, "t", 0, 1, {"--layers": [64, 64], "3": True})


def test_what_is_empty_takes_no_room_unless_it_says_something() -> None:
    assert "result" not in to_json(AttemptSucceeded("a", 0, "t", 0, 1, 1.0))
    assert "value" not in to_json(AttemptSucceeded("a", 0, "t", 0, 1, 1.0))
    assert to_json(AttemptSucceeded("a", 0, "t", 0, 1, 1.0, value=0.0))["value"] == 0.0
    assert to_json(RunCreated("r", "c", "1", ()))["learners"] == []


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {"event": "sung"},
        {"event": ["run_created"]},
        {"event": "learner_started"},
        {"event": "iteration_finished", "learner": "a", "iteration": 0, "seconds": None},
        {"event": "iteration_finished", "learner": "a", "iteration": 0, "seconds": "long"},
        {"event": "iteration_finished", "learner": "a", "iteration": 0, "seconds": 10**400},
        {"event": "iteration_finished", "learner": "a", "iteration": 0, "seconds": [1]},
        {"event": "run_created", "run_id": "r", "campaign": "c", "rose_version": "1", "learners": 3},
    ],
)
def test_what_is_no_event_is_one_kind_of_mistake(entries: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="event"):
        from_json(entries)


def test_keys_of_a_later_version_are_passed_over() -> None:
    entries = {"event": "learner_started", "learner": "a", "mood": "good"}
    assert to_json(from_json(entries)) == {"event": "learner_started", "learner": "a"}


@given(data=st.binary(max_size=200))
def test_noise_is_not_whole(data: bytes) -> None:
    assert not is_whole(data)


@given(event=events, data=st.data())
def test_one_wrong_bit_is_noticed(event: Event, data: st.DataObject) -> None:
    line = bytearray(encode(Record(1, 2.5, event)))
    position = data.draw(st.integers(0, len(line) * 8 - 1))
    line[position // 8] ^= 1 << position % 8
    assert not is_whole(bytes(line))
