"""Every kind of event survives its way into the file and back, whatever users and tasks put into it."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_args
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose_cli.config.rules import replica_name_error
from rose_cli.journal import codec
from rose_cli.journal.codec import (
    MOST_DEPTH,
    Record,
    UnfitError,
    decode,
    encode,
    from_json,
    holds_whole_line,
    is_inside,
    is_shallow,
    is_whole,
    may_be_first,
    to_json,
)
from rose_cli.journal.events import (
    FORMAT_VERSION,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    IterationFinished,
    LearnerStarted,
    RunCreated,
    SessionStarted,
)

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
counts = st.integers(0, 2**53 - 1)
places = st.none() | text.map(lambda name: f"/x{name}").filter(lambda path: is_inside(path[1:]))
BY_TYPE: Mapping[str, st.SearchStrategy[Any]] = {
    "str": text,
    "str | None": optional_text,
    "int": counts,
    "int | None": st.none() | counts,
    "float": st.floats(),
    "Mapping[str, float]": st.dictionaries(text, st.floats(), max_size=4),
    "float | None": st.none() | st.floats(),
    "tuple[str, ...]": st.lists(text, max_size=3).map(tuple),
    "tuple[str, ...] | None": st.none() | st.lists(text, min_size=1, max_size=3).map(tuple),
    "Mapping[str, Any]": maps,
    "bool": st.booleans(),
    "Mapping[str, int]": st.dictionaries(text, integers, max_size=4),
    "Mapping[str, str]": st.dictionaries(text.filter(lambda name: "\0" not in name), text, max_size=4),
}
WORDS = st.lists(text.filter(lambda word: "\0" not in word), max_size=3)
OPTION = st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False) | text
COMMAND_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "words": WORDS.filter(bool),
        "args": WORDS,
        "options": st.dictionaries(text, st.none() | OPTION | st.lists(OPTION, max_size=3), max_size=3),
    },
)
REPLICA = st.sampled_from(["0", "cnn-0", "m.1+2", "größe", "x" * 100])
BY_NAME: Mapping[str, st.SearchStrategy[Any]] = {
    "run_id": st.uuids().map(lambda uuid: uuid.hex),
    "directory": places,
    "campaign_dir": places,
    "log": text.filter(is_inside),
    "imported": st.lists(st.sampled_from(["numpy", "a.b_c", "größe.x1"]), max_size=3).map(tuple),
    "seconds": st.floats(0, 1e11),
    "suspended": st.one_of(st.none(), st.floats(0, 1e11)),
    "pid": st.integers(1, 2**31),
    "exit_code": st.none() | st.integers(-(2**31), 2**31),
    "format": st.just(FORMAT_VERSION),
    "commands": st.dictionaries(text, COMMAND_CHANGES, max_size=3),
    "replicas": st.none() | st.lists(REPLICA, min_size=1, max_size=3, unique=True).map(tuple),
}


def _any_event(cls: type) -> st.SearchStrategy[Any]:
    strategies = {
        field.name: BY_NAME[field.name] if field.name in BY_NAME else BY_TYPE[str(field.type)] for field in fields(cls)
    }
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


SAMPLES: Mapping[str, Any] = {"str": "x", "int": 1, "float": 1, "bool": True, "tuple": [], "Mapping": {}}


def test_the_names_in_the_file_stay_what_they_are() -> None:
    names = "run_created session_started session_described session_ended learner_started attempt_started "
    names += "process_spawned attempt_succeeded attempt_failed attempt_cancelled attempt_lost step_given_up "
    names += "step_decided iteration_finished decision_awaited decision_made learner_stopped learner_reopened "
    names += "max_iter_changed plan_changed"
    for name, cls in zip(names.split(), CLASSES, strict=True):
        entries = {field.name: SAMPLES[str(field.type).partition("[")[0].partition(" ")[0]] for field in fields(cls)}
        event = from_json({"event": name, **entries, "directory": "/x", "campaign_dir": "/x"})
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


STARTED = {"event": "session_started", "session": 1, "host": "h", "pid": 1, "engine": "local"}
ATTEMPT = {"learner": "a", "iteration": 0, "task": "t", "replica": 0, "attempt": 1}
SPAWNED = {"event": "process_spawned", **ATTEMPT, "pid": 1, "start_ticks": 1}
FAILED = {"event": "attempt_failed", **ATTEMPT, "kind": "k", "message": "m", "command": "c", "log": "l", "seconds": 1}
DONE = {"event": "attempt_succeeded", **ATTEMPT, "seconds": 1}
CREATED = {"event": "run_created", "run_id": "r", "campaign": "c", "rose_version": "1", "learners": ["a"]}


def nested(depth: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return {"x": value}


@pytest.mark.parametrize("pid", [0, -1, -5, 2**60, 1.0, "1", "../tmp/x", True, None, [1]])
def test_the_number_of_a_process_is_one(pid: object) -> None:
    with pytest.raises(UnfitError, match="'pid' cannot be"):
        from_json({**SPAWNED, "pid": pid})


@pytest.mark.parametrize(
    ("event", "field", "value"),
    [
        (SPAWNED, "learner", ["a"]),
        (SPAWNED, "task", 5),
        (SPAWNED, "iteration", 1e300),
        (SPAWNED, "replica", -1),
        (SPAWNED, "start_ticks", "x"),
        (STARTED, "directory", ""),
        (STARTED, "directory", "/"),
        (STARTED, "directory", "//"),
        (STARTED, "directory", "relative"),
        (STARTED, "campaign_dir", "/a\0b"),
        (STARTED, "campaign_dir", 5),
        (STARTED, "files", {"a": 1}),
        (STARTED, "files", {"a\0": "x"}),
        (STARTED, "host", {}),
        (FAILED, "log", "/etc/shadow"),
        (FAILED, "log", "learners/../../../../etc/shadow"),
        (FAILED, "log", ".."),
        (FAILED, "log", ""),
        (FAILED, "log", "learners/\ud800"),
        (STARTED, "directory", "/\ud800"),
        (FAILED, "stderr_tail", [1]),
        (FAILED, "stderr_tail", "abc"),
        (FAILED, "exit_code", "1"),
        (FAILED, "seconds", -1.0),
        (FAILED, "seconds", "nan"),
        (FAILED, "seconds", 1e300),
        (DONE, "value", "yesterday"),
        (DONE, "value", 10**400),
        (DONE, "value", []),
        (DONE, "files", {"a": "1"}),
        (DONE, "files", {"a": True}),
        (DONE, "files", ["a"]),
        (DONE, "result", []),
        (DONE, "result", nested(5_000)),
        (CREATED, "run_id", ""),
        (CREATED, "run_id", "r\0"),
        (CREATED, "run_id", "r" * 101),
        (CREATED, "learners", "ab"),
        (CREATED, "learners", [["a"]]),
    ],
)
def test_what_rose_never_writes_is_refused(event: dict[str, Any], field: str, value: object) -> None:
    with pytest.raises(UnfitError, match=f"event '{event['event']}'.* cannot be"):
        from_json({**event, field: value})


def test_every_field_that_has_to_be_there_is_missed() -> None:
    for event in (STARTED, SPAWNED, FAILED, DONE, CREATED):
        assert type(from_json(event)) in CLASSES
        for field in event.keys() - {"event"}:
            with pytest.raises(UnfitError, match=f"has no '{field}'"):
                from_json({key: value for key, value in event.items() if key != field})


def test_a_report_may_be_nested_as_deep_as_programs_nest() -> None:
    deep = nested(300)
    event = from_json({**DONE, "result": deep})
    assert from_json(to_json(event)) == event
    wide = {f"{n}": [n] for n in range(1_000)}
    assert to_json(from_json({**DONE, "result": wide}))["result"] == wide


def test_objects_of_a_thousand_shapes_are_judged_each_by_itself() -> None:
    for number in range(1_500):
        assert from_json({**SPAWNED, f"key{number}": 1}) == from_json(SPAWNED)
        with pytest.raises(UnfitError, match="'pid'"):
            from_json({**SPAWNED, f"key{number}": 1, "pid": -number})


PLACES_AND_TIMES = ['"1",1.0', "1.0,1.0", "true,1.0", '1,"yesterday"', "1,1e300", "1,-1.0", "1,null", "1,[1]", "1,NaN"]


@pytest.mark.parametrize("given", PLACES_AND_TIMES)
def test_place_and_time_of_a_record_are_numbers(given: str) -> None:
    sequence, time = given.split(",")
    with pytest.raises(UnfitError, match="'time' cannot be"):
        decode(f'{{"seq":{sequence},"time":{time},"event":"learner_started","learner":"a"}}'.encode())


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


# --- edges ---------------------------------------------------------------------------------------------------------


SAMPLE = LearnerStarted("a")


def decoded(entries: dict[str, Any]) -> Event:
    """The event of a record of that form, through the line of a file."""
    body = json.dumps({"seq": 1, "time": 1.5, **entries}, separators=(",", ":"))[:-1].encode()
    return decode(body + b',"crc":"%08x"}\n' % crc32(body)).event


SESSION = {"event": "session_started", "session": 1, "host": "h", "pid": 5, "engine": "local"}
FAILED = {"event": "attempt_failed", "learner": "a", "iteration": 0, "task": "s", "replica": 0, "attempt": 1,
          "kind": "exited", "message": "m", "command": "c", "log": "l", "seconds": 1}  # fmt: skip
SUCCEEDED = {"event": "attempt_succeeded", "learner": "a", "iteration": 0, "task": "s", "replica": 0, "attempt": 1,
             "seconds": 1}  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "field", "right", "wrong"),
    [
        (SESSION, "directory", ["/a", "/a/.."], ["", "a", "/", "//", "/a\0", "/\ud800\u1234"]),
        (SESSION, "pid", [1, 2**53 - 1], [0, -1, 2**53]),
        (SESSION, "session", [0, 1], [-1, 2**53, True, "1", 1.0, None]),
        (SESSION, "start_ticks", [None, 0, 2**53 - 1], [-1, 2**53, 1.0, "x"]),
        (SESSION, "host", ["", "x"], [None, 1]),
        (SESSION, "files", [{}, {"x": "y"}], [{"x": 1}, {"x\0": "y"}, [], None, "x"]),
        (FAILED, "log", ["l", "a/b", "a..b", "..a"], ["", "/l", "..", "a/../b", "l\0"]),
        (SUCCEEDED, "imported", [[], ["numpy", "a.b_c"], ["a"] * 100],
         [["a"] * 101, [""], ["a b"], ["-c"], ["a/b"], ["a."], ["\x1b[1m"], [1], "numpy", ["a" * 201]]),
        (FAILED, "seconds", [0, 0.5, 999_999_999_999], [-1, 1e12, "inf", "nan", "x", None, 10**400]),
        (FAILED, "exit_code", [None, 0, -(2**31)], [-(2**31) - 1, "1", 1.5]),
        (FAILED, "stderr_tail", [[], ["x"]], [[1], "x", None, {}]),
        (SUCCEEDED, "value", [None, 1, 0.5, "nan", "inf", "-inf"], ["x", [], True, 10**400]),
        (SUCCEEDED, "files", [{}, {"x": -1}, {"x": 2**60}], [{"x": 1.0}, {"x": "1"}, {"x": True}, {"x": None}]),
        (SUCCEEDED, "iteration", [0], [-1, 0.5]),
        (
            {"event": "run_created", "run_id": "r", "campaign": "c", "rose_version": "1", "learners": ["a"]},
            "run_id",
            ["x", "x" * 100],
            ["", "x" * 101, "a\n"],
        ),
        (
            {"event": "step_decided", "learner": "a", "iteration": 0, "task": "t", "runs": True},
            "replicas",
            [None, ["0", "1"], ["cnn-0", "m.1+2", "größe"], ["x" * 100]],
            [[""], ["../x"], ["-rf"], ["a b"], ["\x1b[31m"], ["\ud800"], ["a\0"], ["x" * 101], ["x", "x"], [1], "x"],
        ),
        ({"event": "learner_reopened", "learner": "a", "reason": "r"}, "fresh", [True, False], [0, 1, None, "x"]),
    ],
)  # fmt: skip
def test_a_field_holds_what_rose_writes(
    entries: dict[str, Any], field: str, right: list[object], wrong: list[object]
) -> None:
    for value in right:
        assert decoded({**entries, field: value}) is not None
    for value in wrong:
        with pytest.raises(UnfitError, match=f"'{field}' cannot be"):
            decoded({**entries, field: value})


@pytest.mark.parametrize(
    "name", ["0", "cnn-0", "m.1+2", "größe", "_", "-rf", "..", ".x", "a/b", " ", "x" * 101, "\u0300"]
)
def test_names_of_replicas_obey_the_rules_of_a_campaign_file(name: str) -> None:
    entries = {"event": "step_decided", "learner": "a", "iteration": 0, "task": "t", "runs": True, "replicas": [name]}
    with nullcontext() if replica_name_error(name) is None else pytest.raises(UnfitError):
        decoded(entries)


def test_a_place_need_not_be_printable() -> None:
    event = decoded({**SESSION, "directory": "/\udcff"})
    assert isinstance(event, SessionStarted)
    assert event.directory == "/\udcff"


@pytest.mark.parametrize(("time", "is_fit"), [(0, True), (253370764799.5, True), (253370764800, False), (-0.5, False)])
def test_the_time_of_a_record_is_one_of_the_calendar(time: float, is_fit: bool) -> None:
    line = encode(Record(1, time, SAMPLE))
    if is_fit:
        assert decode(line).time == time
    else:
        with pytest.raises(UnfitError, match="'seq' and 'time' cannot be 1 and"):
            decode(line)


@pytest.mark.parametrize("time", ["true", '"1.5"', "null"])
def test_a_time_is_a_number_and_nothing_else(time: str) -> None:
    body = b'{"seq":1,"time":%s,"event":"learner_started","learner":"a"' % time.encode()
    with pytest.raises(UnfitError):
        decode(body + b',"crc":"%08x"}\n' % crc32(body))


def levels(depth: int) -> dict[str, Any]:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"x": value}
    return {"x": value}


@pytest.mark.parametrize(("depth", "is_fit"), [(1, True), (MOST_DEPTH, True), (MOST_DEPTH + 1, False)])
def test_a_report_is_nested_so_deep_at_most(depth: int, is_fit: bool) -> None:
    assert is_shallow(levels(depth)) is is_fit
    assert is_shallow({"flat": 1, **levels(depth)}) is is_fit


def test_a_whole_record_behind_damage_is_found() -> None:
    line = encode(Record(7, 1.5, SAMPLE))
    assert holds_whole_line(b"garbage" + line)
    assert holds_whole_line(line[:-5] + line)
    assert holds_whole_line(line[:20] + line[:20] + line)
    assert not holds_whole_line(line), "at its beginning it would be no damage"
    assert not holds_whole_line(b"garbage" + line[:-1])
    assert not holds_whole_line(b"garbage" + line.replace(b"learner", b"LEARNER", 1))
    assert not holds_whole_line(b"garbage")


def test_what_takes_too_long_to_tell_is_taken_to_hold_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_MOST_BYTES_CHECKED", 100)
    line = encode(Record(7, 1.5, SAMPLE)).replace(b"learner", b"LEARNER", 1)
    assert not holds_whole_line(b"garbage" + line)
    assert holds_whole_line(b'{"seq":' * 50 + line)


def test_a_first_record_may_be_cut_anywhere_and_zeros_are_none() -> None:
    line = encode(Record(1, 1.5, SAMPLE))
    assert all(may_be_first(line[:end]) for end in range(len(line)))
    assert may_be_first(b"\0\0\0")
    assert not may_be_first(b'{"seq":2,')
    assert not may_be_first(b"\0x")


def test_what_is_empty_is_left_out_and_what_is_zero_is_not() -> None:
    assert to_json(AttemptSucceeded("a", 0, "s", 0, 1, 0.0)) == {
        "event": "attempt_succeeded", "learner": "a", "iteration": 0, "task": "s", "replica": 0, "attempt": 1,
        "seconds": 0.0,
    }  # fmt: skip
    assert to_json(AttemptSucceeded("a", 0, "s", 0, 1, 0.0, value=0.0))["value"] == 0.0
    assert to_json(AttemptSucceeded("a", 0, "s", 0, 1, 0.0, {"x": (1, math.nan, {2: None})}))["result"] == {
        "x": [1, "nan", {"2": None}]
    }


def test_a_format_is_newer_only_if_it_is_a_higher_number() -> None:
    def record(given: object) -> bytes:
        return json.dumps({"seq": 1, "time": 1.5, **CREATED, "format": given}).encode()

    assert decode(record(FORMAT_VERSION)).sequence == 1
    with pytest.raises(ValueError, match=f"written by a newer rose .format {FORMAT_VERSION + 1};") as raised:
        decode(record(FORMAT_VERSION + 1))
    assert not isinstance(raised.value, UnfitError)
    for odd in ("9", 9.5, None, [9]):
        with pytest.raises(UnfitError, match="'format' cannot be"):
            decode(record(odd))


@pytest.mark.parametrize(
    ("path", "is_fit"),
    [
        ("a", True), ("a/b", True), ("a..b/..c", True), ("a/..b", True), ("", False), ("/a", False), ("..", False),
        ("../a", False), ("a/../../b", False), ("a/..", False), ("a\0", False), ("\ud800", False), ("\udcff", True),
    ],
)  # fmt: skip
def test_a_path_inside_stays_inside(path: str, *, is_fit: bool) -> None:
    assert is_inside(path) is is_fit


def test_a_value_that_cannot_be_is_shown_in_short() -> None:
    def message(value: object) -> str:
        with pytest.raises(UnfitError) as raised:
            from_json({**CREATED, "run_id": value})
        return str(raised.value)

    assert message(5) == "event 'run_created': 'run_id' cannot be 5"
    assert message(["a"]) == message({"a": 1}) == "event 'run_created': 'run_id' cannot be this"
    assert message("x" * 200) == f"event 'run_created': 'run_id' cannot be '{'x' * 59}"
