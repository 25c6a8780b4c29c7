"""Tables of the keys of the campaign file, generated from the models that parse it."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from rose_cli.config import command, models, parameter_types, python_tasks, replica_types, sweep
from rose_cli.config import types as field_types
from tools.markdown import table

KINDS: tuple[tuple[object, str], ...] = (
    (field_types.Number, "number"),
    (field_types.Difference, "number from 0, or a percentage"),
    (field_types.ValueRange, "`[lowest, highest]`, or `any`"),
    (field_types.Count, "integer from 1"),
    (field_types.Factor, "integer from 2"),
    (field_types.Natural, "integer from 0"),
    (field_types.Minutes, "minutes, an integer from 1, or a [duration](#durations) with a unit"),
    (field_types.Megabytes, "megabytes, an integer, or a [size](#sizes)"),
    (field_types.Size, "[size](#sizes)"),
    (field_types.Seed, "integer from 0"),
    (field_types.Duration, "[duration](#durations)"),
    (field_types.Pause, "[duration](#durations), or 0"),
    (field_types.Text, "string"),
    (field_types.FilledText, "string"),
    (command.FilledFile, "string"),
    (field_types.ShellLines, "string or list of strings"),
    (field_types.CampaignName, "string"),
    (field_types.LearnerName, "[name](#names)"),
    (field_types.TaskName, "[name](#names)"),
    (field_types.VariableName, "name"),
    (field_types.OptionName, "name"),
    (field_types.JsonPath, "dotted path"),
    (field_types.Regex, "regular expression"),
    (python_tasks.FunctionReference, "`module:name`"),
    (python_tasks.Modules, "list of module names, `auto`, or `false`"),
    (command.Boolean, "`true` or `false`"),
    (command.Executable, "string, or list of arguments"),
    (command.Option, "[value](#options)"),
    (command.AdaptiveValue, "[expression](#expressions)"),
    (command.CriterionValue, "[expression](#expressions)"),
    (command.Argument, "string or number"),
    (command.VariableValue, "string or number"),
    (command.OperatorWord, "`<`, `<=`, `>`, `>=` or `==`"),
    (command.EndingWord, "`finished`, `failed` or `interrupted`"),
    (command.OnFailureWord, "`stop_learner`, `stop_campaign` or `continue`"),
    (field_types.MpiType, "name"),
    (field_types.SrunOptions, "list of options"),
    (parameter_types.ParameterName, "name"),
    (replica_types.Replicas, "integer from 1, list of names, [mapping of axes](#replicas), or expression"),
    (replica_types.Condition, "[expression](#expressions), `true` or `false`"),
    (parameter_types.ParameterValue, "number, string, `true` or `false`"),
    (models.Task, "[task](#a-task)"),
    (models.Stop, "[criterion](#the-stop-criterion)"),
    (models.StopOverride, "[criterion](#the-stop-criterion), or `null`"),
    (models.Read, "[where to read](#reading-the-value)"),
    (models.Retries, "integer, or [mapping](#when-a-task-fails)"),
    (models.File, "path, or [mapping](#files)"),
    (models.Engine, "`local`, `slurm`, or [mapping](#the-engine)"),
    (models.Limits, "[mapping](#limits)"),
    (models.Keep, "[mapping](#keeping-logs)"),
    (models.Notify, "command, or [mapping](#notices)"),
    (sweep.Sweep, "[mapping](#sweeps)"),
    (models.Prune, "`median`, `successive_halving`, or [mapping](#pruning)"),
    (models.StopCampaign, "[mapping](#stopping-the-other-learners)"),
    (models.Smoke, "[mapping](#smoke-runs)"),
)
BY_NAME = {
    "stop": "[criterion](#the-stop-criterion), or [several](#several-criteria)",
    "learners": "list of [learners](#a-learner), or their number",
    "gpus": "list of ids, or their number",
    **dict.fromkeys(("grid", "zip"), "axis → list of values"),
    **dict.fromkeys(sweep.SAMPLED, "axis → [range](#sweeps) or list"),
    "when": "one of `finished`, `failed` and `interrupted`, or a list",
    "track": "name, list of names, or [mapping](#trackers)",
}
"""What a user calls the values of each type, with a link to the section that explains them."""


def keys(model: type[BaseModel], *, without: type[BaseModel] | None = None) -> str:
    """A table of the keys of a model; with `without`, only of the keys that it adds to that model."""
    hints = get_type_hints(model, include_extras=True)
    inherited = without.model_fields if without is not None else {}
    shown = [name for name in model.model_fields if name not in inherited]
    return table(("key", "value", "meaning"), [_key_row(model, name, hints[name]) for name in shown])


def _key_row(model: type[BaseModel], name: str, hint: object) -> tuple[str, str, str]:
    field = model.model_fields[name]
    meaning = (field.description or "").replace("<", "&lt;")
    if field.is_required():
        meaning = f"required; {meaning}"
    elif (default := _default(field.default)) and "default" not in meaning:
        meaning = f"{meaning} (default `{default}`)"
    return f"`{field.alias or name}`", _by_type(hint) or BY_NAME.get(name) or kind(hint), meaning


def _default(value: object) -> str:
    if value is None or value in ((), {}) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}s" if isinstance(value, float) else str(value)


def _by_type(hint: object) -> str | None:
    return next((words for known, words in KINDS if hint == known), None)


def kind(hint: Any) -> str:  # noqa: ANN401 - an annotation
    """What a user calls the values that an annotation accepts."""
    if (words := _by_type(hint)) is not None:
        return words
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return kind(arguments[0])
    if origin in (Union, types.UnionType):
        return kind(next(argument for argument in arguments if argument is not type(None)))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is dict:
        return f"mapping of {kind(arguments[0])} → {kind(arguments[1])}"
    if origin is tuple:
        return f"list: {kind(arguments[0])}"
    message = f"no words for {hint!r}: add it to KINDS"
    raise LookupError(message)
