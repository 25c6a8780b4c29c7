"""What depends on several keys of a campaign file in its JSON Schema, and hints for keys that other tools have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from rose_cli.config import models
from rose_cli.config.document import foreign_keys
from rose_cli.config.forms import MAX_CRITERIA, MAX_TASKS
from rose_cli.config.rules import ENGINE_KINDS, MAX_LEARNERS
from rose_cli.config.shapes import ITERATIONS, TASK_NAME, TELLING, UNQUOTED, Shape, or_null, words
from rose_cli.config.sweep import GENERATORS, SAMPLED
from rose_cli.config.synonyms import hints
from rose_cli.config.validation import known_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

REF = "#/definitions/"

_TASK_KEYS = list(models.TaskFields.model_fields)


class Metric(NamedTuple):
    """A standard metric: its meaning, and the thresholds that it can meet with its standard operator and range."""

    meaning: str
    possible: Shape


def add_rules(found: dict[str, Shape], metrics: Mapping[str, Metric]) -> None:
    """Complete the shapes of the models, which are found by their names; `metrics` are the standard ones."""
    _shape_tasks(found)
    _shape_stops(found, metrics)
    _shape_learners(found)
    _shape_engine(found["Engine"])
    _shape_sweep(found)
    _shape_campaign(found["Campaign"], metrics)
    _add_hints(found)


def _given(*keys: str) -> Shape:
    """At least one of these keys has a value."""
    return {"anyOf": [{"required": [key], "properties": {key: {"not": {"type": "null"}}}} for key in keys]}


def _one_of(keys: list[str], message: str) -> Shape:
    return {"enum": keys, "errorMessage": message}


_NO_SHELL: Shape = {
    "if": {"required": ["shell"], "properties": {"shell": {"enum": [True]}}},
    "then": {"properties": {"executable": {"maxItems": 1}}},
    "else": {
        "properties": {"executable": {"pattern": UNQUOTED, "patternErrorMessage": "a quote is opened and never closed"}}
    },
}

_SHELL_NEEDS: Shape = {
    "if": {"required": ["shell"], "properties": {"shell": {"type": "boolean"}}},
    "then": {"required": ["executable"], "errorMessage": "'shell' needs an 'executable' beside it"},
}

_FUNCTION: Shape = {
    "if": {"required": ["function"], "properties": {"function": {"type": "string"}}},
    "then": {
        "properties": {
            "executable": {"enum": [None], "errorMessage": "a task runs either a command or a function: remove one"},
            "shell": {"enum": [None, False], "errorMessage": "'shell' cannot be combined with 'function'"},
            "args": {
                "type": ["array", "null"],
                "maxItems": 0,
                "errorMessage": "a function gets its arguments by name: write them under 'options'",
            },
            "ranks": {"enum": [None, 0, 1], "errorMessage": "'ranks' cannot be combined with 'function'"},
        }
    },
}


def _command_or_function(message: str) -> Shape:
    return {
        "anyOf": [
            {"required": ["executable"], "errorMessage": message},
            {"required": ["function"], "properties": {"function": {"type": "string"}}},
        ]
    }


def _shape_tasks(found: dict[str, Shape]) -> None:
    task, override = found["Task"], found["Override"]
    needed = "a task needs an 'executable', or a 'function'"
    task.pop("required")
    task["allOf"] = [_command_or_function(needed), _NO_SHELL, _FUNCTION]
    override.pop("additionalProperties")
    options = override["properties"]["options"]
    override["allOf"] = [_NO_SHELL, _SHELL_NEEDS, _FUNCTION]
    override["type"] = ["object", "null"]
    override["errorMessage"] = (
        "expected the overrides of a task, such as {--n_labeled: 300}; or is the name of the task misspelt?"
    )
    override["if"] = {"minProperties": 1, "propertyNames": {"not": {"enum": _TASK_KEYS}}}
    no_hold = {"pattern": "^(?!hold$)", "patternErrorMessage": "'hold' needs iteration keys beside it"}
    override["then"] = {
        "propertyNames": {"allOf": [options["propertyNames"], no_hold]},
        "additionalProperties": options["additionalProperties"],
    }
    beside = "not a key of a task; beside one, options belong under 'options', as in {options: {--n: 5}, timeout: 30m}"
    override["else"] = {"propertyNames": _one_of(_TASK_KEYS, beside)}


def _shape_learners(found: dict[str, Shape]) -> None:
    override, by_iteration = {"$ref": f"{REF}Override"}, f"^(?:hold|{ITERATIONS[1:-1]})$"
    hold = found["Iterations"]["properties"]["hold"]
    found["Iterations"] = {
        "type": "object",
        "description": "overrides by iteration: 3, 0-3, 5+ or 0,3,8-9, and -1 for all others",
        "properties": {"hold": hold},
        "patternProperties": {ITERATIONS: override},
        "additionalProperties": False,
        "errorMessage": "each key is an integer from 0, a range such as 0-3 or 5+, or -1 for all others",
    }
    found["Schedule"] = {
        "if": {
            "type": "object",
            "anyOf": [
                {"minProperties": 1, "propertyNames": {"pattern": by_iteration}},
                {"not": {"patternProperties": {ITERATIONS: {"not": {"type": "object"}}}}},
            ],
        },
        "then": {"$ref": f"{REF}Iterations"},
        "else": override,
    }
    learner = found["Learner"]
    learner["type"] = ["object", "null"]
    learner["errorMessage"] = "expected a mapping of settings for each learner, or {} for none"
    learner["additionalProperties"] = {"$ref": f"{REF}Schedule"}
    found["Smoke"]["additionalProperties"] = override


def _shape_stops(found: dict[str, Shape], metrics: Mapping[str, Metric]) -> None:
    offered = [words({name: metric.meaning}) for name, metric in metrics.items()]
    condition = r"^(?!\s*[^\s<>=!]+(?: [^\s<>=!]+){0,4}\s*(?:<=|>=|==?|<|>)\s*[-+.0-9])[\s\S]*\S"
    message = "expected the name of a metric; its operator and its threshold have a key each"
    custom = {"type": ["string", "number"], "pattern": condition, "errorMessage": message}
    for name in ("Stop", "StopOverride"):
        metric = found[name]["properties"]["metric"]
        told = {key: metric[key] for key in TELLING if key in metric}
        found[name]["properties"]["metric"] = {**told, "anyOf": [*offered, custom]}
    stop, override = found["Stop"], found["StopOverride"]
    stop["required"] = ["metric"]
    source = _command_or_function("a criterion needs an 'executable' that prints the value, or a 'value'")
    source["anyOf"] += [_given("value"), _REPORTED]
    stop["allOf"] = [source, _NO_SHELL, _FUNCTION, _NO_PROGRAM]
    override["properties"]["metric"]["anyOf"].append({"type": "null"})
    override["allOf"] = [_NO_SHELL, _FUNCTION, _NO_PROGRAM]
    for name in ("Criteria", "LearnerCriteria"):
        found[name]["oneOf"] = [{"required": [key], "properties": {key: {"type": "array"}}} for key in ("any", "all")]
        found[name]["errorMessage"] = "expected a list of criteria under 'any' or under 'all', and nothing beside it"
        for key in ("any", "all"):
            found[name]["properties"][key] |= {"minItems": 1, "maxItems": MAX_CRITERIA}
    _shape_property(found["Campaign"], "Stop", "Criteria")
    _shape_property(found["Learner"], "StopOverride", "LearnerCriteria")
    single = {"maximum": 1, "examples": [1], "errorMessage": "the criterion yields a single value"}
    override["properties"]["replicas"] |= single
    stop["allOf"] += _reachable(metrics)
    both = "'json' and 'regex' cannot be combined: remove one of the two"
    found["Read"]["if"] = {"required": ["json"], "properties": {"json": {"not": {"type": "null"}}}}
    found["Read"]["then"] = {"properties": {"regex": {"type": "null", "errorMessage": both}}}


_REPORTED: Shape = {
    "required": ["metric"],
    "properties": {"metric": {"type": "string", "pattern": r"^\s*results?\.\S"}},
}

_NO_PROGRAM: Shape = {
    "if": _given("value"),
    "then": {
        "properties": {
            key: {"enum": [None], "errorMessage": f"'{key}' cannot be combined with 'value', which runs no program"}
            for key in (*_TASK_KEYS, "read")
        }
    },
}


def _shape_property(owner: Shape, one: str, several: str) -> None:
    """`stop` as one criterion or as several, decided by its keys: an editor tells only what is wrong with that one."""
    told = {key: value for key, value in owner["properties"]["stop"].items() if key in TELLING}
    has_several = {"type": "object", "anyOf": [{"required": ["any"]}, {"required": ["all"]}]}
    either = {"if": has_several, "then": {"$ref": f"{REF}{several}"}, "else": {"$ref": f"{REF}{one}"}}
    owner["properties"]["stop"] = {**told, "anyOf": [either, {"type": "null"}]}


def _reachable(metrics: Mapping[str, Metric]) -> Iterator[Shape]:
    """Thresholds that the standard metrics can meet; an operator or a range of the user's own makes others possible."""
    groups: dict[str, list[str]] = {}
    for name, metric in metrics.items():
        if metric.possible:
            groups.setdefault(json.dumps(metric.possible), []).append(name)
    for possible, names in groups.items():
        own = [{"properties": {key: {"type": "null"}}} for key in ("operator", "range")]
        yield {
            "if": {"required": ["metric", "threshold"], "properties": {"metric": {"enum": names}}, "allOf": own},
            "then": {"properties": {"threshold": {**json.loads(possible), "errorMessage": "this can never be met"}}},
        }


def _shape_engine(engine: Shape) -> None:
    engine["allOf"] = []
    for kind in ENGINE_KINDS:
        own = [key for key in engine["properties"] if key not in foreign_keys(kind)]
        is_kind: Shape = {"properties": {"kind": {"enum": [kind]}}}
        message = f"not a key of engine: {kind}"
        engine["allOf"].append(
            {
                "if": is_kind if kind == "local" else {**is_kind, "required": ["kind"]},
                "then": {"propertyNames": _one_of(own, message)},
            }
        )
    is_pilot = {"required": ["kind"], "properties": {"kind": {"enum": ["radical.pilot"]}}}
    number = {"type": "integer", "errorMessage": "a pilot takes a number of GPUs, not their IDs"}
    engine["allOf"].append({"if": is_pilot, "then": {"properties": {"gpus": number}}})


def _shape_campaign(campaign: Shape, metrics: Mapping[str, Metric]) -> None:
    """A key at the top that has no value counts as not given, unless it is needed."""
    properties = campaign["properties"]
    for key in properties.keys() - set(known_keys(models.Campaign)):
        del properties[key]
    reserved = "|".join(sorted(models.RESERVED_TASK_NAMES))
    message = "expected letters, digits, '_' and '-', starting with a letter, and not a key of a learner"
    properties["tasks"] |= {
        "minProperties": 1,
        "maxProperties": MAX_TASKS,
        "propertyNames": {"pattern": f"^(?!(?:{reserved})$){TASK_NAME[1:]}", "patternErrorMessage": message},
        "errorMessage": "expected a mapping, in the order of execution: simulation: {executable: python sim.py}",
    }
    properties["learners"]["anyOf"][-1] |= {"minItems": 1, "maxItems": MAX_LEARNERS}
    campaign["required"].remove("learners")
    none = "'learners' is missing, and there is no 'sweep' that makes them"
    campaign["properties"] = {
        key: value if key in campaign["required"] else or_null(value) for key, value in properties.items()
    }
    needed: Shape = {"anyOf": [{"required": ["learners"]}, *_given("sweep")["anyOf"]], "errorMessage": none}
    campaign["allOf"] = [*_across(list(metrics)), needed]


def _shape_sweep(found: dict[str, Shape]) -> None:
    """One of the generators; those that draw points need to know how many."""
    sweep, prune = found["Sweep"], found["Prune"]
    sweep["allOf"] = [
        {**_given(*GENERATORS), "errorMessage": f"'sweep' needs one of {', '.join(GENERATORS)}"},
        {
            "if": _given(*SAMPLED),
            "then": {"required": ["max_learners"], "errorMessage": "say how many points to draw: max_learners: 20"},
        },
    ]
    foreign = {"median": "factor", "successive_halving": "min_learners"}
    prune["allOf"] = [
        {
            "if": {"required": ["rule"], "properties": {"rule": {"enum": [rule]}}},
            "then": {"properties": {key: {"type": "null", "errorMessage": f"not a key of rule: {rule}"}}},
        }
        for rule, key in foreign.items()
    ]


def _across(metrics: list[str]) -> list[Shape]:
    """What the top of the file and its learners must have between them."""

    def unless(top: Shape, needed: Shape, message: str) -> Shape:
        """Each learner needs something, unless the top of the file has it."""
        items = {"type": "object", **needed, "errorMessage": message}
        learners = {"type": "array", "items": items, "errorMessage": message}
        return {"if": {"not": top}, "then": {"properties": {"learners": learners}}}

    def stop(**shape: Any) -> Shape:  # noqa: ANN401
        return {"required": ["stop"], "properties": {"stop": {"type": "object", **shape}}}

    def any_stop(shape: Shape) -> Shape:
        """No criterion, or one like this."""
        return {"properties": {"stop": {"anyOf": [{"type": "null"}, shape]}}}

    unknown = {"pattern": "^[a-z0-9_]*$", "not": {"enum": metrics}}
    named = {"anyOf": [{"required": ["operator"]}, {"properties": {"metric": {"not": {"type": "string", **unknown}}}}]}
    endless = "this would never stop: add max_iter: 15, or a 'stop'"
    needs_operator = "a metric that is not a standard one needs an 'operator'"
    no_stop = {"required": ["stop"], "properties": {"stop": {"type": "null"}}}
    not_endless = {"anyOf": [_given("max_iter"), {"not": no_stop}]}
    several = ("any", "all")
    goal, own = _given("threshold", "patience", *several), _given("executable", "function", "value")
    whole = {"anyOf": [{"required": ["metric"], **own}, _REPORTED, _given(*several)]}
    length = _given("max_iter")
    return [
        unless(_given("max_iter", "stop"), _given("max_iter", "stop"), endless),
        unless(
            {"anyOf": [any_stop(goal), length]},
            {"anyOf": [stop(**goal), length]},
            "'stop' needs a 'threshold' to reach, or a 'patience'; or add max_iter: 15",
        ),
        {
            "if": {"not": stop(anyOf=[{"required": [key]} for key in ("operator", *several)])},
            "then": {"properties": {"learners": {"items": {**any_stop(named), "errorMessage": needs_operator}}}},
        },
        {
            "if": {"not": _given("max_iter")},
            "then": {"properties": {"learners": {"items": {**not_endless, "errorMessage": endless}}}},
        },
        unless(any_stop(named), stop(**_given("operator", "metric")), needs_operator),
        {
            "if": {"not": stop()},
            "then": {
                "properties": {
                    "learners": {
                        "items": {
                            **any_stop(whole),
                            "errorMessage": "without a 'stop' at the top, it needs a 'metric' and an 'executable'",
                        }
                    }
                }
            },
        },
        *(
            {
                "if": {**_given(key), "not": stop()},
                "then": {
                    "required": ["learners"],
                    "properties": {"learners": {"type": "array", "contains": stop(), "errorMessage": message}},
                },
            }
            for key, message in (
                ("stop_campaign", "no learner can converge: add a 'stop'"),
                ("prune", "'prune' compares values of a metric: add a 'stop'"),
            )
        ),
    ]


# --- hints -----------------------------------------------------------------------------------------------------------

_HINTED: dict[str, type[BaseModel]] = {
    model.__name__: model
    for model in (
        models.Campaign, models.Task, models.Stop, models.StopOverride, models.Engine, models.Limits, models.Keep,
        models.StopCampaign, models.Retries, models.File, models.Read, models.Notify,
    )
}  # fmt: skip
"""Not those that have keys with any name."""


def _add_hints(found: dict[str, Shape]) -> None:
    for name, model in _HINTED.items():
        known = known_keys(model)
        names = [
            {"pattern": f"^(?!(?:{'|'.join(words)})$)", "patternErrorMessage": hint}
            for hint, words in hints(model, known).items()
        ]
        found[name]["propertyNames"] = {"allOf": names}
