"""Field types of a campaign file: names, numbers, durations, and ways to read a metric."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from decimal import Decimal
from typing import Annotated

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from rose_cli.config import shapes
from rose_cli.config.errors import errors_of, expected, fail, fail_if_any
from rose_cli.config.rules import (
    MAX_COUNT,
    MAX_NAME_BYTES,
    MAX_REGEX_CHARACTERS,
    MAX_SEED,
    MAX_SIZE,
    OWN_VARIABLES,
    directory_name_error,
    is_mpi_type,
    is_option_name,
    is_task_name,
    is_variable_name,
    regex_error,
    srun_option_fault,
)
from rose_cli.config.yaml.nodes import plain_value
from rose_cli.util.errors import Diagnostic
from rose_cli.util.text import nearest, shortened


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        hint = f"quote it: '{str(value).lower()}'" if isinstance(value, bool) else None
        fail("wrong-type", expected("a string", value), hint)
    return str(value)


def filled_text(value: object) -> str:
    text = _text(value)
    if not text.strip():
        fail("wrong-type", "expected a string, got nothing")
    return text


def _lines(value: object) -> tuple[str, ...]:
    """Shell lines, without placeholders: their braces belong to the shell."""
    if not isinstance(value, list | tuple):
        return (_text(value),)
    fail_if_any(
        Diagnostic("wrong-type", expected("a shell line", line), (position,), "write each line as one string")
        for position, line in enumerate(value)
        if isinstance(line, bool) or not isinstance(line, str | int | float)
    )
    return tuple(str(line) for line in value)


def _campaign_name(value: object) -> str:
    name = _text(value)
    if not name.strip() or not name.isprintable() or len(name.encode()) > MAX_NAME_BYTES:
        hint = f"write one line of text, up to {MAX_NAME_BYTES} bytes"
        fail("bad-name", f"'{shortened(name)}' cannot be the name of a campaign", hint)
    return name


def _learner_name(value: object) -> str:
    name = _text(value)
    fault = directory_name_error(name)
    if fault is not None:
        message = f"'{shortened(name)}' cannot be the name of a learner and its directory: {fault[0]}"
        fail("bad-name", message, fault[1])
    return name


def _task_name(value: object) -> str:
    if not isinstance(value, str) or not is_task_name(value):
        hint = "use letters, digits, '_' and '-', starting with a letter"
        fail("bad-name", f"'{shortened(str(value))}' cannot be the name of a task", hint)
    return value


def _variable_name(value: object) -> str:
    if not isinstance(value, str) or not is_variable_name(value):
        hint = "use letters, digits and '_', starting with a letter"
        fail("bad-name", f"'{shortened(str(value))}' cannot be the name of an environment variable", hint)
    if value.startswith(OWN_VARIABLES):
        hint = "choose a name that does not start with ROSE_"
        fail(
            "bad-name",
            f"'{shortened(value)}' cannot be set: rose itself sets the variables that start with ROSE_",
            hint,
        )
    return value


def _option_name(value: object) -> str:
    name = str(value)
    if not is_option_name(name):
        fail(
            "bad-name",
            f"'{shortened(name)}' cannot be the name of an option",
            "use a name without spaces, like --n_labeled",
        )
    return name


Text = Annotated[str, PlainValidator(_text), shapes.TEXT]

FilledText = Annotated[str, PlainValidator(filled_text), shapes.FILLED_TEXT]

ShellLines = Annotated[tuple[str, ...], PlainValidator(_lines), shapes.SHELL_LINES]

CampaignName = Annotated[str, PlainValidator(_campaign_name), shapes.CAMPAIGN_NAME]

LearnerName = Annotated[str, PlainValidator(_learner_name), shapes.LEARNER_NAME]

TaskName = Annotated[str, PlainValidator(_task_name)]

VariableName = Annotated[str, PlainValidator(_variable_name), shapes.VARIABLE_NAME]

OptionName = Annotated[str, PlainValidator(_option_name), shapes.OPTION_NAME]

_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def _number(value: object, what: str = "a number") -> int | float:
    """`1e-3` is a string in YAML and a number here; `'15'` was quoted and is not a number."""
    if isinstance(value, str):
        value = _number_from(value, what)
    if isinstance(value, bool) or not isinstance(value, int | float):
        fail("wrong-type", expected(what, value))
    if isinstance(value, float) and not math.isfinite(value):
        fail("wrong-type", expected("a finite number", value))
    return value


def _number_from(text: str, what: str) -> str | float:
    plain = plain_value(text.strip())
    if isinstance(plain, int | float) and not isinstance(plain, bool):
        fail("wrong-type", expected(what, text), f"write {text.strip()} without quotes")
    if not _NUMBER.fullmatch(text):
        fail("wrong-type", expected(what, text), _number_hint(text))
    if re.match(r"[-+]?0[0-9]", text):
        fail("wrong-type", expected(what, text), f"write {float(text):g}")
    return float(text)


def _number_hint(text: str) -> str | None:
    bare = text.replace("_", "").replace(" ", "")
    comparison = re.match(r"[<>]=?|==?", bare)
    if comparison and _NUMBER.fullmatch(bare[comparison.end() :]):
        return f"write {bare[comparison.end() :]}, and operator: '{comparison[0]}' if it is not that of the metric"
    if _NUMBER.fullmatch(bare):
        return f"write {bare}"
    if _NUMBER.fullmatch(bare.replace(",", ".", 1)):
        return f"write {bare.replace(',', '.', 1)}, with a decimal point"
    if bare.endswith("%") and _NUMBER.fullmatch(bare[:-1]):
        return f"write {float(bare[:-1]) / 100:g}"
    return _without_unit(text.strip())


def _without_unit(text: str) -> str | None:
    """`10k`, `2 cores`."""
    thousands = re.fullmatch(r"([0-9]{0,9}\.?[0-9]{1,9})([kM])", text)
    if thousands is not None:
        return f"write {float(thousands[1]) * {'k': 1e3, 'M': 1e6}[thousands[2]]:.0f}"
    counted = re.fullmatch(r"([0-9]{1,9})\s+[a-z]+", text)
    return f"write {counted[1]}" if counted is not None else None


def _integer(value: object) -> int:
    number = _number(value, "an integer")
    if not float(number).is_integer():
        fail("wrong-type", expected("an integer", number))
    return int(number)


def whole_number(value: object, least: int, most: int = MAX_COUNT) -> int:
    number = _integer(value)
    if number < least:
        fail("out-of-range", expected(f"at least {least}", number).replace("the number ", ""))
    if number > most:
        fail("out-of-range", expected(f"at most {most}", number).replace("the number ", ""))
    return number


def _count(value: object) -> int:
    return whole_number(value, 1)


def _factor(value: object) -> int:
    return whole_number(value, 2)


def _natural(value: object) -> int:
    return whole_number(value, 0)


def _seed(value: object) -> int:
    return whole_number(value, 0, MAX_SEED)


_SIZE = re.compile(r"([0-9.]{1,30}) *([kmgt])i?b?", re.IGNORECASE)

_MEGABYTES = {"k": 2**-10, "m": 1.0, "g": 2.0**10, "t": 2.0**20}


def _megabytes(value: object) -> int:
    """Megabytes from `4096`, or from a size with a unit: `4GB`."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if (match is None or not _NUMBER.fullmatch(match[1])) and isinstance(value, str) and (hint := _size_hint(value)):
        fail("wrong-type", expected("megabytes, or a size with a unit", value), hint)
    if match is None or not _NUMBER.fullmatch(match[1]):
        return whole_number(value, 0)
    return whole_number(math.ceil(float(match[1]) * _MEGABYTES[match[2].lower()]), 0)


_SIZE_WORDS = re.compile(
    r"([0-9]{0,9}\.?[0-9]{1,9})\s*([kmgt])(?:i?g?b|ig|egs?|igs?|(?:ilo|ega|iga|era)(?:bytes?)?)", re.IGNORECASE
)


def _size_hint(text: str) -> str | None:
    """`4 gigs`, `10 gigabytes`."""
    found = _SIZE_WORDS.fullmatch(text.strip())
    return f"write {found[1]} {found[2].upper()}B" if found else None


def _size(value: object) -> int:
    """Bytes from `500 MB`, `10GB`, `1.5 T`; 1 GB is 1024 MB."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not _NUMBER.fullmatch(match[1]):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        hint = f"add a unit: {value} MB or {value} GB" if is_number else _size_hint(str(value))
        hint = hint or "write for example 500 MB, 10 GB or 1 TB"
        fail("wrong-type", expected("a size with a unit", value), hint)
    size = int(float(match[1]) * _MEGABYTES[match[2].lower()] * 2**20)
    if not 1 <= size <= MAX_SIZE:
        fail("out-of-range", f"expected a size above zero and at most {MAX_SIZE // 2**40} TB, not {value}")
    return size


class Share(float):
    """A share, written as a percentage: `1%` is 0.01."""


_RELATIVE = "for example 0.001, or 1% of the best value so far"

_PERCENT = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)\s*%")


def _difference(value: object) -> float:
    """A difference, or a `Share` of the best value so far: `0.001`, `1%`."""
    percent = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) and len(value) <= 40 else None
    if percent is not None:
        share = Share(Decimal(percent[1]) / 100)  # 0.1% is the float that is printed as 0.001
        if share > 1:
            fail("out-of-range", f"expected at most 100%, not {value}", _RELATIVE)
        return share
    if isinstance(value, str) and re.search("%|percent", value):
        fail("wrong-type", expected("a number, or a percentage from 0%", value), _RELATIVE)
    number = _number(value)
    if number < 0:
        fail("out-of-range", f"expected at least 0, not {number}")
    return number


_ANY = "any"

_TWO_NUMBERS = re.compile(r"[\[(]?\s*(\S+?)\s*(?:-|\.\.+|:|,|\bto\b)\s*(\S+?)\s*[\])]?")

_LOWEST_WORDS, _HIGHEST_WORDS = ("lowest", "min", "low", "from"), ("highest", "max", "high", "to")


def _value_range(value: object) -> tuple[float | None, float | None]:
    """`any`, or the lowest and the highest value; an end that is null or infinite is open."""
    if value == _ANY:
        return None, None
    if not isinstance(value, list | tuple) or len(value) != 2:
        fail("wrong-type", expected("[lowest, highest] or any", value), _value_range_hint(value))
    lowest, highest = (_end(entry, place) for place, entry in enumerate(value))
    if lowest is not None and highest is not None and lowest >= highest:
        message = f"there is no value between {lowest:g} and {highest:g}"
        hint = f"write [{highest:g}, {lowest:g}]" if highest < lowest else "write the lowest value, then the highest"
        fail("out-of-range", message, hint)
    return lowest, highest


def _end(entry: object, place: int) -> float | None:
    """One end of a range."""
    if entry is None or (isinstance(entry, float) and entry == (-math.inf, math.inf)[place]):
        return None
    try:
        return float(_number(entry))
    except PydanticCustomError as error:
        hint = "write null for an open end"
        fail_if_any(replace(each, path=(place,), hint=each.hint or hint) for each in errors_of(error))
        raise


def _value_range_hint(value: object) -> str:
    if isinstance(value, dict):
        ends = [
            next((value[word] for word in words if word in value), None) for words in (_LOWEST_WORDS, _HIGHEST_WORDS)
        ]
        if ends != [None, None]:
            return f"write [{', '.join('null' if end is None else str(end) for end in ends)}]"
    if isinstance(value, str):
        if value.strip().lower() in ("percent", "percentage", "%"):
            return "write [0, 100]"
        match = _TWO_NUMBERS.fullmatch(value.strip())
        if match and all(_NUMBER.fullmatch(end) for end in match.groups()):
            return f"write [{match[1]}, {match[2]}]"
    return "write for example [0, 1], [0, null] for an open end, or any"


_DURATION = re.compile(
    r"(?:([0-9]+(?:\.[0-9]+)?)d)?(?:([0-9]+(?:\.[0-9]+)?)h)?(?:([0-9]+(?:\.[0-9]+)?)m)?(?:([0-9]+(?:\.[0-9]+)?)s)?"
)

_CLOCK = re.compile(r"([0-9]+):([0-5][0-9]):([0-5][0-9])")

_UNIT = re.compile(r"([0-9.]+)(?:(s)ec(?:ond)?s?|(m)in(?:ute)?s?|(h)(?:ou)?rs?|(d)ays?)", re.IGNORECASE)

_UNIT_SECONDS = (86400, 3600, 60, 1)


def _seconds(value: object) -> float:
    """Seconds from `90`, `1.5`, `30s`, `11h30m`, `2d`, `01:30:00`."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        return _seconds_from(value)
    number = float(value) if isinstance(value, str) else float(_number(value, "a duration"))
    if not math.isfinite(number):
        fail("wrong-type", expected("a finite duration", value))
    return number


def _seconds_from(text: str) -> float:
    bare = text.replace(" ", "")
    clock, parts = _CLOCK.fullmatch(bare), _DURATION.fullmatch(bare)
    if clock:
        hours, minutes, seconds = (int(part) for part in clock.groups())
        return float(hours * 3600 + minutes * 60 + seconds)
    if parts is None or not bare:
        fail("wrong-type", expected("a duration", text if bare else None), _duration_hint(bare))
    return sum(float(part or 0) * unit for part, unit in zip(parts.groups(), _UNIT_SECONDS, strict=True))


def _duration_hint(text: str) -> str:
    meant = _UNIT.sub(lambda part: part[1] + "".join(letter or "" for letter in part.groups()[1:]), text).lower()
    if text and _DURATION.fullmatch(meant):
        return f"write {meant}"
    return "write seconds as a number, or 90s, 30m, 11h30m, 2d, 01:30:00"


def _duration(value: object) -> float:
    seconds = _seconds(value)
    if seconds <= 0:
        fail("out-of-range", f"expected a duration above zero, not {value}")
    return seconds


def _pause(value: object) -> float:
    seconds = _seconds(value)
    if seconds < 0:
        fail("out-of-range", f"expected a duration of zero or more, not {value}")
    return seconds


def _minutes(value: object) -> int:
    """Minutes, as batch systems take them, from `120`, or from a duration with a unit: `2h`."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value) and re.search("[a-z:]", value, re.IGNORECASE):
        return whole_number(math.ceil(_seconds_from(value) / 60), 1)
    return whole_number(value, 1)


Number = Annotated[float, PlainValidator(_number), shapes.NUMBER]

ValueRange = Annotated[tuple[float | None, float | None], PlainValidator(_value_range), shapes.VALUE_RANGE]

Difference = Annotated[float, PlainValidator(_difference), shapes.DIFFERENCE]

Count = Annotated[int, PlainValidator(_count), shapes.COUNT]

Factor = Annotated[int, PlainValidator(_factor), shapes.FACTOR]

Natural = Annotated[int, PlainValidator(_natural), shapes.NATURAL]

Megabytes = Annotated[int, PlainValidator(_megabytes), shapes.MEGABYTES]

Size = Annotated[int, PlainValidator(_size), shapes.SIZE]

Seed = Annotated[int, PlainValidator(_seed), shapes.SEED]

Minutes = Annotated[int, PlainValidator(_minutes), shapes.MINUTES]

Duration = Annotated[float, PlainValidator(_duration), shapes.DURATION]

Pause = Annotated[float, PlainValidator(_pause), shapes.PAUSE]


_MPI_TYPES = ("none", "pmi2", "pmix", "pmix_v3", "pmix_v4", "pmix_v5", "cray_shasta")

_MPI_OF = {"mpich": "pmi2", "intel": "pmi2", "intelmpi": "pmi2", "mvapich": "pmi2", "openmpi": "pmix", "ompi": "pmix"}
"""Which type libraries use that are not types themselves."""


def _mpi_type(value: object) -> str:
    """A close misspelling of a common one is refused; which ones there are, only the cluster knows."""
    if value is False or value is None:  # `mpi: no`
        return "none"
    text = filled_text(value)
    word = text.lower()
    meant = None if text in _MPI_TYPES else _MPI_OF.get(word.replace(" ", "").replace("-", ""))
    if meant is None and text not in _MPI_TYPES and not re.fullmatch(r"pmi\w+", text, re.ASCII):
        meant = nearest(word, _MPI_TYPES, ratio=0.75)
    if meant is not None or not is_mpi_type(text):
        hint = f"did you mean {meant}?" if meant else "see `srun --mpi=list`; often pmix, pmi2 or none"
        fail("wrong-value", expected("the name of an MPI type of srun", value), hint)
    return text


def _srun_options(value: object) -> tuple[str, ...]:
    entries = value if isinstance(value, list | tuple) else [value]
    options: list[str] = []
    errors: list[Diagnostic] = []
    for position, entry in enumerate(entries):
        at = (position,) if isinstance(value, list | tuple) else ()
        if not isinstance(entry, str):
            hint = "write --option=value, each as one item of the list"
            errors.append(Diagnostic("wrong-type", expected("an option of srun", entry), at, hint))
            continue
        options.append(entry)
        fault = srun_option_fault(entry)
        if fault is not None:
            errors.append(Diagnostic("wrong-value", fault[0], at, fault[1]))
    fail_if_any(errors)
    return tuple(options)


MpiType = Annotated[str, PlainValidator(_mpi_type), shapes.MPI_TYPE]

SrunOptions = Annotated[tuple[str, ...], PlainValidator(_srun_options), shapes.SRUN_OPTIONS]


def _json_path(value: object) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool):
        fail("wrong-type", expected("a dotted path", value))
    path = str(value)
    if not all(path.split(".")):
        fail("wrong-value", f"'{path}' contains an empty key", "write a single dot between two keys, as in val.mse")
    return path


def _regex(value: object) -> str:
    if not isinstance(value, str) or not value:
        fail("wrong-type", expected("a regular expression", value or None))
    if len(value) > MAX_REGEX_CHARACTERS:
        message = f"the regular expression has {len(value)} characters; at most {MAX_REGEX_CHARACTERS} are allowed"
        fail("bad-regex", message, "shorten it")
    fault = regex_error(value)
    if isinstance(fault, re.error):
        place = min(fault.pos or 0, len(value) - 1)
        hint = "put a \\ before a character that is meant literally; the syntax is that of Python's re module"
        fail("bad-regex", f"this is not a regular expression: {fault.msg}", hint, inside=(place, 1))
    if fault is not None:
        fail("bad-regex", fault, "shorten it")
    return value


JsonPath = Annotated[str, PlainValidator(_json_path), shapes.JSON_PATH]

Regex = Annotated[str, PlainValidator(_regex), shapes.REGEX]
