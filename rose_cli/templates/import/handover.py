"""Calls the functions of a workflow of ROSE: `rose import` has written this for the campaign beside it.

ROSE runs all functions in one program and passes the results of earlier tasks to each: train(simulated). Rose runs
each in a program of its own. So this keeps what a function returns in a file of the workspace, and passes it on from
there. Functions that read and write their files themselves do not need it: write `function: tasks:train` for them.
"""

import asyncio
import inspect
import os
import pickle
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

ITERATION = int(os.environ.get("ROSE_ITERATION", "0"))
FOLDER = Path(os.environ.get("ROSE_WORKSPACE", ".")) / "handover"


def call(
    function: str,
    previous: Sequence[str] = (),
    inputs: Sequence[str] = (),
    pythonpath: Sequence[str] = (),
    learner_label: "str | None" = None,
    parameters: "Mapping[str, object] | None" = None,
    **others: object,
) -> object:
    """Call a function, `module:name`, with the results of other tasks and with the parameters of the campaign.

    The results come first: of `previous` tasks, from the iteration before; then of the `inputs`, from this iteration.
    `others`: what cannot be a parameter of a campaign, such as a list.
    """
    given = {**(parameters or {}), **others}
    sys.path[:0] = [path for path in pythonpath if path not in sys.path]
    module, _, name = function.partition(":")
    task = getattr(import_module(module), name)
    results = [load(each, ITERATION - 1) for each in previous if ITERATION > 0]
    results += [load(each, ITERATION) for each in inputs]
    value = task(*results, **{**offered(task, pythonpath, learner_label), **given})
    if inspect.isawaitable(value):
        value = asyncio.run(awaited(value))
    keep(os.environ["ROSE_TASK"], value)
    return float(value) if os.environ["ROSE_TASK"] == "criterion" else report(value)


def offered(task: Callable, pythonpath: Sequence[str], learner_label: "str | None") -> dict:
    """What ROSE gives to tasks besides their parameters, as far as this one takes it."""
    given: dict = {"iteration": ITERATION, "learner_id": int(os.environ.get("ROSE_LEARNER_INDEX", "0"))}
    if pythonpath:
        given["pythonpath"] = list(pythonpath)
    if learner_label is not None:
        given["learner_label"] = learner_label
    known = inspect.signature(task).parameters
    takes_any = any(each.kind is each.VAR_KEYWORD for each in known.values())
    return {name: value for name, value in given.items() if takes_any or name in known}


async def awaited(value: Awaitable) -> object:
    return await value


def file_of(task: str, iteration: int) -> Path:
    return FOLDER / f"{task}-{iteration}.pickle"


def load(task: str, iteration: int) -> object:
    """What the task returned, None if it is a command. Only tasks of this learner write there."""
    try:
        return pickle.loads(file_of(task, iteration).read_bytes())
    except FileNotFoundError:
        return None


def keep(task: str, value: object) -> None:
    """Write the result, whole or not at all, and remove that of the iteration before the last."""
    FOLDER.mkdir(exist_ok=True)
    file = file_of(task, ITERATION)
    unfinished = file.with_suffix(".tmp")
    unfinished.write_bytes(pickle.dumps(value))
    unfinished.replace(file)
    file_of(task, ITERATION - 2).unlink(missing_ok=True)


def report(value: object) -> object:
    """The numbers and words in it, for the table and `rose export`; the rest stays in the file."""
    if isinstance(value, dict):
        plain = {name: number(entry) for name, entry in value.items() if isinstance(name, str)}
        return {name: entry for name, entry in plain.items() if entry is not None}
    return number(value) if isinstance(number(value), (int, float)) else None


def number(value: object) -> object:
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    is_short = isinstance(value, str) and len(value) <= 200
    return value if isinstance(value, (bool, int, float)) or is_short else None
