"""plan.json, and the paths in it.

In memory every path is absolute. On disk the campaign's directory is relative to the run directory, and its files are
relative to that directory, so that a directory with campaign and runs can be moved or copied as a whole. A run that was
moved on its own finds its campaign where it was. Format 1 had absolute paths, and is read in the same way. Formats 1
and 2 repeated the steps of each learner, which format 3 has once. Format 4 has what runs once per campaign as `once`.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.plan.codec import InvalidPlanError, decode, encode_plan
from rose_cli.plan.model import Origin, Plan
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.files import planted_file_hint, read_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rose_cli.plan.model import FilePlan

FORMAT_VERSION = 4
"""An older rose ignores fields that it does not know, but continues no run whose journal is of a newer format."""
_DEEPEST = 3
"""The depth of the tables of what learners share: below it a value is on one line."""
MOST_BYTES = 1 << 30
"""A plan of a million commands, the maximum, takes less."""
MOST_CAMPAIGN_BYTES = 1 << 23
CAMPAIGN_TEXT = "campaign.yaml"
"""The run's own copy of its campaign file, beside plan.json."""


def dump_plan(plan: Plan, run: Path) -> str:
    """The contents of plan.json in the run directory `run`."""
    origin = Origin(str(run.absolute()), plan.campaign_dir)
    written = replace(_unrooted(plan, origin), origin=origin)
    return _laid_out({"format": FORMAT_VERSION, "plan": encode_plan(written)}) + "\n"


def _laid_out(value: object, depth: int = 0) -> str:
    """As JSON, in lines for a reader down to single steps and learners, which have a line each."""
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    if depth > _DEEPEST or not value or not isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, dict):
        lines = [f"{json.dumps(key)}: {_laid_out(entry, depth + 1)}" for key, entry in value.items()]
    else:
        lines = [json.dumps(entry) for entry in value]
    between = "\n" + " " * (depth + 1)
    return opening + between + f",{between}".join(lines) + between[:-1] + closing


def load_plan(path: Path) -> Plan:
    """The plan in `path`, with the present paths of the campaign and its files.

    If the campaign cannot be found, its paths are those where it was. Raises RunDirectoryError if the file is missing,
    damaged or of a newer rose.
    """
    try:
        document = json.loads(_text_of(path))
        version = document["format"]
        is_known = _is_known(version)
        plan = _rooted(_of_place(decode(document["plan"]), version), path.parent.absolute()) if is_known else None
    except OSError as error:
        message = f"cannot read '{path}': {error.strerror}"
        raise RunDirectoryError(message, planted_file_hint(error) or "is this a run directory?") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        message = f"'{path}' is damaged: {error}"
        raise RunDirectoryError(message, "restore the file from a copy, or start a new run") from error
    if plan is None:
        message = f"'{path}' was written by a newer rose (format {version}, this one reads up to {FORMAT_VERSION})"
        raise RunDirectoryError(message, "update rose")
    return plan


def _text_of(path: Path) -> bytes:
    data = read_regular(path, MOST_BYTES, text=True)
    if data[:64].strip()[:1] != b"{":
        raise ValueError("it contains no plan")
    return data


def _is_known(version: object) -> bool:
    if type(version) is not int or version < 1:
        raise ValueError(f"there is no format {version!r:.40}")
    return version <= FORMAT_VERSION


def _of_place(plan: Plan, version: int) -> Plan:
    """The plan, if its paths are those of that format. Raises InvalidPlanError."""
    name = os.path.basename(plan.campaign_file)  # noqa: PTH119
    is_relative = name == plan.campaign_file and name not in (".", "..")
    is_absolute = os.path.dirname(plan.campaign_file) == plan.campaign_dir and os.path.isabs(plan.campaign_dir)  # noqa: PTH117, PTH120
    if (version == 1) != (plan.origin is None) or not (is_absolute if version == 1 else is_relative):
        raise InvalidPlanError("is not in 'campaign_dir'", "campaign_file")
    return plan


# --- paths ---------------------------------------------------------------------------------------------------------


def _unrooted(plan: Plan, origin: Origin) -> Plan:
    """The plan with relative paths. Absolute paths in the file that lead outside its directory are kept."""
    campaign = origin.campaign

    @cache
    def relative(file: FilePlan) -> FilePlan:
        path = os.path.relpath(file.source, campaign)
        return file if file.fixed and _leads_out(path) else replace(file, source=path)

    return replace(
        _with_files(plan, relative),
        campaign_dir=os.path.relpath(campaign, origin.run),
        campaign_file=os.path.relpath(plan.campaign_file, campaign),
    )


def _rooted(plan: Plan, run: Path) -> Plan:
    """The plan with absolute paths, based on where the run is now."""
    if plan.origin is None:  # format 1: by default the run was in a subdirectory of the campaign's directory
        origin = Origin(str(Path(plan.campaign_dir, run.parent.name, run.name)), plan.campaign_dir)
        if not os.path.exists(str(origin.run)) and os.path.isdir(origin.campaign):  # noqa: PTH110, PTH112
            return replace(plan, origin=Origin(None, plan.campaign_dir))
        plan = replace(_unrooted(plan, origin), origin=origin)
    else:
        origin = plan.origin
    name = plan.campaign_file
    directory = _directory_now(origin, run, plan.campaign_dir, name)
    has_moved = directory != origin.campaign

    @cache
    def absolute(file: FilePlan) -> FilePlan:
        source = os.path.normpath(os.path.join(directory, file.source))  # noqa: PTH118 - ten thousand learners
        before = os.path.normpath(os.path.join(origin.campaign, file.source))  # noqa: PTH118
        stays = has_moved and _leads_out(file.source) and not os.path.exists(source)  # noqa: PTH110
        return replace(file, source=before if stays else source)

    return replace(
        _with_files(plan, absolute),
        campaign_dir=directory,
        campaign_file=str(_campaign_file_now(Path(directory), name, run)),
    )


def _with_files(plan: Plan, change: Callable[[FilePlan], FilePlan]) -> Plan:
    @cache
    def changed(files: tuple[FilePlan, ...]) -> tuple[FilePlan, ...]:
        return tuple(map(change, files))

    learners = tuple(
        replace(learner, files=changed(learner.files)) if learner.files else learner for learner in plan.learners
    )
    shared = replace(plan.shared, files=changed(plan.shared.files)) if plan.shared is not None else None
    return replace(plan, learners=learners, shared=shared)


def _leads_out(path: str) -> bool:
    return path.split(os.sep, 1)[0] in ("..", "")


def _directory_now(origin: Origin, run: Path, way: str, name: str) -> str:
    """The campaign's directory: the one that was moved or copied with the run, otherwise the original one."""
    if origin.run is not None and _is_same(origin.run, run):
        return origin.campaign
    beside = list(dict.fromkeys((os.path.normpath(run / way), os.path.realpath(run / way))))
    was_there = os.path.isdir(origin.campaign)  # noqa: PTH112
    # a run that was moved on its own to another campaign still belongs to its own campaign
    is_alone = was_there and origin.run is not None and not os.path.isdir(origin.run)  # noqa: PTH112
    for directory in beside:
        file = _campaign_file_now(Path(directory), name, run)
        if os.path.isfile(file) and not (is_alone and not _has_text_of(run, file)):  # noqa: PTH113 - pathlib's raises for some errors
            return directory
    if not was_there and origin.run is not None and Path(origin.run).parent.name == run.parent.name:
        # the file has another name and other contents: what it needs will be searched for
        return next((directory for directory in beside if any(_campaign_files(Path(directory)))), origin.campaign)
    return origin.campaign


def _has_text_of(run: Path, file: Path) -> bool:
    """Whether the file is byte for byte the campaign file that the run was created from."""
    try:
        return _text_of_campaign(file) == read_regular(run / CAMPAIGN_TEXT, MOST_CAMPAIGN_BYTES)
    except OSError:
        return False


def _is_same(path: str, run: Path) -> bool:
    try:
        return os.path.samefile(path, run)  # noqa: PTH121
    except OSError:
        return False


def _campaign_file_now(directory: Path, name: str, run: Path) -> Path:
    """The campaign file with that name in `directory`; if there is none, one with the same contents."""
    path = directory / name
    if os.path.isfile(path):  # noqa: PTH113
        return path
    try:
        text = read_regular(run / CAMPAIGN_TEXT, MOST_CAMPAIGN_BYTES)
        return next((other for other in _campaign_files(directory) if _text_of_campaign(other) == text), path)
    except OSError:
        return path


def _text_of_campaign(file: Path) -> bytes:
    """The contents of the user's own file, which may be a symbolic link."""
    return read_regular(os.path.realpath(file), MOST_CAMPAIGN_BYTES)


def _campaign_files(directory: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from sorted(path for path in directory.iterdir() if path.suffix in (".yaml", ".yml") and path.is_file())
