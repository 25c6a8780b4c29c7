"""The values of a campaign file in its JSON Schema; `schema.py` has the keys and what depends on several of them.

A shape accepts all that the validator beside it accepts, and refuses as much as a schema can of the rest. Patterns use
only what JavaScript and Python share. `errorMessage` and `enumDescriptions` are for editors alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import WithJsonSchema

from rose_cli.config.expression.functions import SHAPES
from rose_cli.config.expression.parser import CONSTANTS, NAMES
from rose_cli.config.expression.references import ROOTS
from rose_cli.config.placeholders import PLACEHOLDERS
from rose_cli.config.rules import (
    AUTO,
    MAX_COUNT,
    MAX_LEARNERS,
    MAX_REGEX_CHARACTERS,
    MAX_REPLICAS,
    MAX_SEED,
    OWN_VARIABLES,
    SRUN_OWN,
)
from rose_cli.config.trackers import BUILT_IN, MOST_TRACKERS, TRACKER_NAME

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

Shape: TypeAlias = dict[str, Any]


class OrShorter:
    """Metadata of a field whose value may also be written in a shorter form."""

    def __init__(self, *shapes: Shape) -> None:
        self.shapes = shapes

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> Shape:
        return {"anyOf": [*self.shapes, handler(core_schema)]}


def words(meanings: dict[str, str]) -> Shape:
    """One of a few words, with the meaning of each."""
    return {"type": "string", "enum": list(meanings), "enumDescriptions": list(meanings.values())}


TELLING = ("description", "markdownDescription", "default", "examples")
"""The keywords that explain a value."""


def or_null(shape: Shape) -> Shape:
    """The shape, or no value at all."""
    if "type" in shape:
        shape = {**shape, "type": [*(each for each in _types(shape) if each != "null"), "null"]}
        if "enum" in shape and None not in shape["enum"]:
            shape |= {"enum": [*shape["enum"], None], "enumDescriptions": [*shape["enumDescriptions"], "not set"]}
        return shape
    if "anyOf" in shape:
        return shape if {"type": "null"} in shape["anyOf"] else {**shape, "anyOf": [*shape["anyOf"], {"type": "null"}]}
    told = {key: shape[key] for key in TELLING if key in shape}
    rest = {key: value for key, value in shape.items() if key not in told}
    return {**told, "anyOf": [rest, {"type": "null"}]}


def _types(shape: Shape) -> list[str]:
    given = shape["type"]
    return [given] if isinstance(given, str) else given


_DIGITS = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"

_EXPONENT = rf"[-+]?{_DIGITS}[eE][-+]?[0-9]+"
"""`1e-3` is a number for an editor, and a string for rose."""

_PART = r"[0-9]+(?:\.[0-9]+)?"

_UNITS = rf"(?=[^a-z]*[0-9])(?:{_PART} *d)? *(?:{_PART} *h)? *(?:{_PART} *m)? *(?:{_PART} *s)?"

_CLOCK = "[0-9]+:[0-5][0-9]:[0-5][0-9]"

_SOME_TIME = "(?=.*[1-9])"

_SIZE_UNIT = r"\s*[0-9.]+ *[kmgtKMGT][iI]?[bB]?\s*"

_FILLED = r"\S"

_PLACEHOLDERS = r"^(?:[^{}]|\{\{|\}\}|\{[A-Za-z_][A-Za-z0-9_]*\})*$"
"""Which parameters there are, a schema cannot know."""

UNQUOTED = r"""^(?:'[^']*'|"(?:\\[\s\S]|[^"\\])*"|\\[\s\S]|[^'"\\])*$"""
"""Every quote is closed."""

_NOT_A_NAME = r"\x00-\x2c\x2e\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f"
"""ASCII characters that are not in the name of a task; letters of all alphabets are."""

TASK_NAME = rf"^[^\x2d0-9{_NOT_A_NAME}][^{_NOT_A_NAME}]*$"

_RANGE = r"(?:0|[1-9][0-9]*)(?:\s*(?:-|\.\.)\s*(?:0|[1-9][0-9]*)|\s*\+)?"

ITERATIONS = rf"^(?:-1|{_RANGE}(?:,\s*{_RANGE})*)$"
"""A key that stands for iterations."""


def _whole(least: int, most: int = MAX_COUNT, what: str | None = None) -> Shape:
    message = what or (
        f"expected an integer of at least {least}" + (f" and at most {most}" if most < MAX_COUNT else "")
    )
    return {
        "type": ["integer", "string"],
        "minimum": least,
        "maximum": most,
        "pattern": f"^{_EXPONENT}$",
        "errorMessage": message,
    }


def _text(pattern: str, message: str, *types: str, **more: Any) -> Shape:  # noqa: ANN401
    """Types besides `string` for values that YAML reads as something else."""
    return {
        "type": ["string", *types] if types else "string",
        "pattern": pattern,
        "errorMessage": message,
        **more,
    }


_FILL_IN = "single brace; write {NAME} for a parameter or one of " + ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
_FILL_IN += "; write {{ and }} for literal braces"

_SCALARS = ["string", "number", "boolean"]

COUNT = WithJsonSchema(_whole(1))
FACTOR = WithJsonSchema(_whole(2))
NATURAL = WithJsonSchema(_whole(0))
SEED = WithJsonSchema(_whole(0, MAX_SEED, "expected an integer of at least 0"))
NUMBER = WithJsonSchema(_text(f"^{_EXPONENT}$", "expected a number", "number"))
MEGABYTES = WithJsonSchema(
    _text(f"^(?:{_EXPONENT}|{_SIZE_UNIT})$", "expected a number of MB, or a size such as 4 GB", "integer", minimum=0)
)
SIZE = WithJsonSchema(_text(f"^(?=.*[1-9]){_SIZE_UNIT}$", "expected a size with a unit, such as 500 MB or 10 GB"))
DIFFERENCE = WithJsonSchema(
    _text(
        rf"^(?:\+?{_DIGITS}[eE][-+]?[0-9]+|\s*{_DIGITS}\s*%\s*)$",
        "expected a number of at least 0, or a percentage such as 1%",
        "number",
        minimum=0,
    )
)
DURATION = WithJsonSchema(
    _text(
        rf"^ *{_SOME_TIME}(?:\+?{_DIGITS}(?:[eE][-+]?[0-9]+)?|{_UNITS}|{_CLOCK}) *$",
        "expected a duration above zero: seconds as a number, or 90s, 30m, 11h30m, 2d, 01:30:00",
        "number",
        exclusiveMinimum=0,
    )
)
PAUSE = WithJsonSchema(
    _text(
        rf"^ *(?:[-+]?{_DIGITS}(?:[eE][-+]?[0-9]+)?|{_UNITS}|{_CLOCK}) *$",
        "expected a duration: seconds as a number, or 90s, 30m, 11h30m, 2d, 01:30:00",
        "number",
        minimum=0,
    )
)
MINUTES = WithJsonSchema(
    _text(
        rf"^ *{_SOME_TIME}(?:\+?{_DIGITS}[eE][-+]?[0-9]+|{_UNITS}|{_CLOCK}) *$",
        "expected a number of minutes, or a duration such as 2h",
        "integer",
        minimum=1,
    )
)
VALUE_RANGE = WithJsonSchema(
    {
        "anyOf": [
            words({"any": "every number is possible"}),
            {
                "type": "array",
                "minItems": 2,
                "maxItems": 2,
                "items": _text(f"^{_EXPONENT}$", "expected a number, or null for an open end", "number", "null"),
            },
        ],
    }
)
BOOLEAN = WithJsonSchema({"type": "boolean", "errorMessage": "expected true or false, without quotes"})
TEXT = WithJsonSchema({"type": ["string", "number"]})
FILLED_TEXT = WithJsonSchema(_text(_FILLED, "expected a string", "number"))
SHELL_LINES = WithJsonSchema({"type": ["string", "number", "array"], "items": {"type": ["string", "number"]}})
CAMPAIGN_NAME = WithJsonSchema(_text(_FILLED, "expected one line of text", "number"))
LEARNER_NAME = WithJsonSchema(
    _text(
        r"^(?![-. ])[^/\\\x00-\x1f\x7f]*[^/\\. \x00-\x1f\x7f]$",
        "the name of a learner is that of its directory: without / and \\, not starting or ending with a dot or space",
        "number",
    )
)
VARIABLE_NAME = WithJsonSchema(
    _text(
        rf"^(?!{OWN_VARIABLES})[A-Za-z_][A-Za-z0-9_]*$",
        f"expected letters, digits and '_', starting with a letter; not {OWN_VARIABLES}…, which rose sets itself",
    )
)
OPTION_NAME = WithJsonSchema(_text(r"^\S+$", "expected the name of an option, without spaces, such as --n_labeled"))
PARAMETER_NAME = WithJsonSchema(
    _text(
        rf"^(?!(?:{'|'.join((*PLACEHOLDERS, *NAMES, *CONSTANTS, *ROOTS, *SHAPES))})$)[A-Za-z_][A-Za-z0-9_]*$",
        "expected letters, digits and '_', starting with a letter, and no name that rose itself uses",
    )
)
PARAMETER = WithJsonSchema(
    {
        "type": _SCALARS,
        "pattern": _PLACEHOLDERS,
        "patternErrorMessage": _FILL_IN,
        "errorMessage": "expected a number, a string, true or false",
    }
)
JSON_PATH = WithJsonSchema(_text(r"^[^.]+(?:\.[^.]+)*$", "expected a dotted path, such as val.mse", "integer"))
REGEX = WithJsonSchema(
    {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_REGEX_CHARACTERS,
        "errorMessage": "expected a regular expression",
    }
)
FUNCTION = WithJsonSchema(
    _text(
        r"^\s*(?![^:]*\.py:)[^\s:.0-9/-][^\s:./-]*(?:\.[^\s:.0-9/-][^\s:./-]*)*:[^\s:.()0-9/-][^\s:.()/-]*\s*$",
        "expected module:name, for example simulation:run for the function run() in simulation.py",
    )
)
MODULES = WithJsonSchema(
    {
        "anyOf": [
            words({AUTO: "the modules that rose finds out"}),
            {"enum": [False], "enumDescriptions": ["no modules"]},
            {
                "type": "array",
                "maxItems": 100,
                "items": _text(
                    rf"^(?!{AUTO}$)[^\s.,:/0-9-][^\s.,:/-]*(?:\.[^\s.,:/0-9-][^\s.,:/-]*)*$",
                    "expected the name of a module, as after `import`",
                ),
            },
        ]
    }
)
EXECUTABLE = WithJsonSchema(
    {
        "type": ["string", "array"],
        "allOf": [{"pattern": _FILLED}, {"pattern": _PLACEHOLDERS, "patternErrorMessage": _FILL_IN}],
        "minItems": 1,
        "items": _text(_PLACEHOLDERS, _FILL_IN, "number"),
        "errorMessage": "expected a command: a string, or a list of arguments",
    }
)
OPTION = WithJsonSchema(
    {
        "type": [*_SCALARS, "null", "array"],
        "pattern": _PLACEHOLDERS,
        "patternErrorMessage": _FILL_IN,
        "errorMessage": "expected a number, a string, true, false, or a list of these",
        "items": _text(_PLACEHOLDERS, _FILL_IN, "number", "boolean"),
    }
)
CHOICES = WithJsonSchema(
    {
        "type": "array",
        "minItems": 1,
        "errorMessage": "expected a list of values",
        "items": {
            "type": [*_SCALARS, "array"],
            "pattern": _PLACEHOLDERS,
            "patternErrorMessage": _FILL_IN,
            "items": _text(_PLACEHOLDERS, _FILL_IN, "number", "boolean"),
        },
    }
)
AXIS_NAME = WithJsonSchema(_text(r"^\S+$", "expected TASK.OPTION, such as training.--lr, or the name of a parameter"))
_PRUNE_RULES = words(
    {
        "median": "a learner ends if its best value is behind the median of the others",
        "successive_halving": "after 3, 9, 27, … iterations, one learner in three goes on",
    }
)
PRUNE_RULE = WithJsonSchema(_PRUNE_RULES)
PRUNE = OrShorter(_PRUNE_RULES)
_EXPRESSION = (
    r"""^(?=[\s\S]*\S)(?:'[^']*'|"[^"]*"|0[xXoObB][0-9a-fA-F_]+(?![A-Za-z0-9_])"""
    r"""|[0-9.][0-9_.]*(?:[eE][-+]?[0-9]+)?(?![0-9_.])"""
    r"""|[A-Za-z_][A-Za-z0-9_]*(?![A-Za-z0-9_])|[ \t\r\n()\[\]+*/%,<>=!-])*$"""
)

ADAPTIVE = WithJsonSchema(
    _text(
        _EXPRESSION,
        f"expected an expression of {', '.join(NAMES)}, such as 100 + i*50",
        *("number", "boolean", "null"),
    )
)
CRITERION_VALUE = WithJsonSchema(
    _text(_FILLED, "expected an expression of what tasks reported, such as result.mse", "number", "null")
)
_NAMES_OF_REPLICAS: Shape = {
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_REPLICAS,
    "uniqueItems": True,
    "items": _text(r"^[^\s!-,/:-@\[-^`{-~.-][^\s!-*,/:-@\[-^`{-~]*$", "expected the name of a replica", "number"),
}
REPLICAS = WithJsonSchema(
    {
        "anyOf": [
            _whole(1),
            _NAMES_OF_REPLICAS,
            {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
                "additionalProperties": {"anyOf": [_whole(1, MAX_REPLICAS), _NAMES_OF_REPLICAS]},
            },
            _text(_EXPRESSION, "expected a number, a list of names, a mapping of axes, or an expression"),
            {"type": "null"},
        ]
    }
)
CONDITION = WithJsonSchema(
    _text(_EXPRESSION, "expected an expression that is true or false, such as i % 5 == 0", "boolean", "null")
)
ARGUMENT = WithJsonSchema(_text(_PLACEHOLDERS, _FILL_IN, "number"))
VARIABLE_VALUE = WithJsonSchema(_text(_PLACEHOLDERS, _FILL_IN, "number", "boolean", "null"))
FILLED_FILE = WithJsonSchema(
    {
        "type": ["string", "number"],
        "allOf": [{"pattern": _FILLED}, {"pattern": _PLACEHOLDERS, "patternErrorMessage": _FILL_IN}],
    }
)
OPERATOR = WithJsonSchema(
    words(
        {
            "<": "stop when the value is below the threshold",
            "<=": "stop when the value is at or below the threshold",
            ">": "stop when the value is above the threshold",
            ">=": "stop when the value is at or above the threshold",
            "==": "stop when the value equals the threshold",
        }
    )
)
ENDING = WithJsonSchema(
    words(
        {
            "finished": "every learner has stopped, and none has failed",
            "failed": "a learner, the campaign or its engine has failed",
            "interrupted": "learners are unfinished, and the run can be resumed",
        }
    )
)
ON_FAILURE = WithJsonSchema(
    words(
        {
            "stop_learner": "the learner fails; the other learners continue",
            "stop_campaign": "the learner fails, and all other learners are stopped",
            "continue": "the learner continues with the next task",
        }
    )
)
_KINDS = words(
    {
        "local": "processes on this machine",
        "slurm": "steps of the Slurm job that rose runs in",
        "radical.pilot": "tasks of a pilot of RADICAL-Pilot",
    }
)

ENGINE_KIND, ENGINE = WithJsonSchema(_KINDS), OrShorter(_KINDS)
MPI_TYPE = WithJsonSchema(
    {
        "anyOf": [
            words(
                {
                    "pmix": "the newest version of PMIx that Slurm has",
                    "pmix_v3": "PMIx 3",
                    "pmix_v4": "PMIx 4",
                    "pmix_v5": "PMIx 5",
                    "pmi2": "PMI-2, for MPICH, Intel MPI and MVAPICH",
                    "cray_shasta": "for HPE Cray systems",
                    "none": "srun prepares nothing for MPI",
                }
            ),
            _text("^[A-Za-z][A-Za-z0-9_-]*$", "expected the name of an MPI type; see `srun --mpi=list`"),
            {"enum": [False], "doNotSuggest": True},
        ]
    }
)

_OWN_SHORT = "".join(sorted(short for short in SRUN_OWN.values() if short))

_SRUN_OPTION = _text(
    rf"^(?!--(?:{'|'.join(SRUN_OWN)})(?:=|$))(?!-[{_OWN_SHORT}])(?:--[A-Za-z][A-Za-z0-9-]*(?:=[\s\S]+)?|-[A-Za-z][\s\S]*)$",
    "expected an option of srun with its value, --option=value, that rose does not set itself",
)

SRUN_OPTIONS = WithJsonSchema({**_SRUN_OPTION, "type": ["string", "array"], "items": _SRUN_OPTION})
GPUS = OrShorter({"type": "integer", "minimum": 0, "maximum": 1024})
RETRIES = OrShorter(_whole(0))
LEARNERS = OrShorter(
    {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_LEARNERS,
        "errorMessage": f"expected a list of learners, or a number from 1 to {MAX_LEARNERS}",
    }
)
FILE = OrShorter(_text(_FILLED, "expected the path of a file, or a mapping", "number"))
NOTIFY = OrShorter({"type": "string", "minLength": 1})
ENDINGS = OrShorter(
    words({"finished": "only then", "failed": "only then", "interrupted": "only then"}),
)
READ = OrShorter(
    words({"last_line": "the last line of standard output is the value"}),
    {"enum": ["last line"], "doNotSuggest": True},
)


def _trackers() -> Shape:
    """A name, a list, or names with their settings."""
    pattern, message = TRACKER_NAME, "expected the name of a tracker: letters, digits, '_', '-' and '.'"
    more = {"anyOf": [{"type": [*_SCALARS, "null"]}, {"type": ["array", "object"]}]}
    settings = {
        name: {
            "description": f"settings of {name}",
            "type": ["object", "null"],
            "properties": {key: {"description": meaning, **more} for key, meaning in tracker.settings.items()},
            "additionalProperties": False,
        }
        for name, tracker in BUILT_IN.items()
    }
    named = {
        "type": "object",
        "properties": settings,
        "propertyNames": {"pattern": pattern, "patternErrorMessage": message},
        "additionalProperties": {"type": ["object", "null"], "errorMessage": "expected a mapping of settings"},
    }
    names = [words({name: f"settings: {', '.join(tracker.settings)}" for name, tracker in BUILT_IN.items()})]
    names.append(_text(pattern, message))
    listed = {"type": "array", "maxItems": MOST_TRACKERS, "items": {"anyOf": [*names, named]}}
    return {"anyOf": [*names, {**named, "maxProperties": MOST_TRACKERS}, listed]}


TRACK = WithJsonSchema(_trackers())
