"""Whether the files of a run are still those that rose wrote and that its tasks used and left behind.

The journal has checksums of the plan and of the copy of the campaign file, fingerprints of the files that the plan
names, and the sizes of files in workspaces. A crate has the checksums of everything that it contains.
"""

from __future__ import annotations

import json
import os
import stat
import zipfile
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import unquote, unquote_to_bytes

from rose_cli.provenance.crate import METADATA
from rose_cli.runs.changes import checksums, fingerprint, named_files
from rose_cli.runs.workspace import GONE, workspace_changes
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import UsageError
from rose_cli.util.files import OpenDirectory, open_inside, open_regular, read_regular
from rose_cli.util.shared import SHARED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rose_cli.run_info import RunInfo

Verdict: TypeAlias = Literal["same", "changed", "missing", "new", "unknown"]

MOST_METADATA_BYTES = 1 << 29

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Check:
    """A file, and what became of it. `by`: what tells: a checksum, a fingerprint, or only its size."""

    part: str
    name: str
    verdict: Verdict
    by: str
    detail: str | None = None


def check_files(info: RunInfo, crate: Path | None = None) -> Iterator[Check]:
    """Check every file that the journal or the crate knows. Reads only. Raises UsageError for an unusable crate."""
    yield _journal(info)
    yield from _own_files(info)
    yield from _inputs(info)
    yield from _workspaces(info)
    if crate is not None:
        yield from _files_of_crate(info, crate)


def _journal(info: RunInfo) -> Check:
    name = info.directory.journal.name
    if info.damage is not None:
        return Check("run", name, "changed", "checksum", info.damage.message)
    return Check("run", name, "same", "checksum", "each of its records has one")


def _own_files(info: RunInfo) -> Iterator[Check]:
    now = checksums(info.directory)
    for name in (info.directory.plan.name, info.directory.campaign_copy.name):
        known = info.state.checksums.get(name)
        if not known:
            yield Check("run", name, "unknown", "checksum", "an older rose recorded no checksum")
        elif name not in now:
            yield Check("run", name, "missing", "checksum")
        else:
            yield Check("run", name, "same" if now[name] in known else "changed", "checksum")


def _inputs(info: RunInfo) -> Iterator[Check]:
    """The files that the plan names, as the latest session found them."""
    known, there = info.state.files, named_files(info.plan)
    for name, before in known.items():
        path = Path(info.plan.campaign_dir, name)
        now = fingerprint(path)
        if now is None:
            yield Check("input", name, _unreadable(path), "fingerprint")
        else:
            yield Check("input", name, "same" if now == before else "changed", "fingerprint")
    for name in there if known else ():
        if name not in known:
            yield Check("input", name, "new", "fingerprint")


def _unreadable(path: Path) -> Verdict:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "unknown"
    return "unknown" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "changed"


def _workspaces(info: RunInfo) -> Iterator[Check]:
    for name, learner in info.state.by_name().items():
        part = f"workspace of {name}" if name != SHARED else "shared directory"
        if not learner.files_are_known:
            if learner.prepared:
                yield Check(part, ".", "unknown", "size", "a task was running when the journal ends")
            continue
        workspace = info.directory.workspace(name)
        news = workspace_changes(workspace, learner.files, inside=info.directory.path)
        if not workspace.is_dir():
            news = dict.fromkeys(learner.files, GONE)
        for file, size in learner.files.items():
            now = news.get(file, size)
            if now == GONE:
                yield Check(part, file, "missing", "size")
            elif now != size:
                yield Check(part, file, "changed", "size", f"it had {size} bytes, and has {now}")
            else:
                yield Check(part, file, "same", "size")
        for file in news:
            if file not in learner.files:
                yield Check(part, file, "new", "size")


# --- against a crate -------------------------------------------------------------------------------------------------


def _files_of_crate(info: RunInfo, crate: Path) -> Iterator[Check]:
    """The files of the run that the crate has the checksums of; the journal may have grown since."""
    journal = info.directory.journal.name
    with OpenDirectory.at(info.directory.path, inside=info.directory.path) as run:
        for name, size, digest in _known_to(crate):
            if name == journal or name.startswith(("learners/", "campaign/")):
                yield _compared(name, partial(open_inside, run, name), size, digest, only_start=name == journal)
            elif name.startswith("inputs/"):
                yield _compared(name, partial(_open_input, info, name), size, digest)


def _open_input(info: RunInfo, name: str) -> int:
    source = name.removeprefix("inputs/")
    outside = source.removeprefix("elsewhere/")
    path = Path("/", outside) if outside != source else Path(info.plan.campaign_dir, source)
    return open_regular(path.resolve())


def _compared(name: str, opened: Callable[[], int], size: int, digest: str, *, only_start: bool = False) -> Check:
    part, by = "crate", "checksum"
    try:
        with os.fdopen(opened(), "rb") as file:
            there = os.fstat(file.fileno()).st_size
            if there < size or (there > size and not only_start):
                return Check(part, name, "changed", by, f"it had {size} bytes, and has {there}")
            found, left = sha256(), size
            while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
                found.update(chunk)
                left -= len(chunk)
    except FileNotFoundError:
        return Check(part, name, "missing", by)
    except (OSError, ValueError) as error:
        return Check(part, name, "changed", by, getattr(error, "strerror", None) or str(error))
    return Check(part, name, "same" if found.hexdigest() == digest else "changed", by)


def _known_to(crate: Path) -> Iterator[tuple[str, int, str]]:
    """The files of a crate by their names in the run, with size and SHA-256. Raises UsageError."""
    hint = "name a crate that `rose export --format ro-crate` wrote: its directory, or its ZIP file"
    try:
        graph = json.loads(_metadata(crate))["@graph"]
        entities = [each for each in graph if isinstance(each.get("sha256"), str) and isinstance(each.get("@id"), str)]
        found = [(_name_in_run(each["@id"]), int(each["contentSize"]), each["sha256"]) for each in entities]
        if not found:
            raise ValueError("it has no checksums")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, zipfile.BadZipFile) as error:
        raise UsageError(f"'{crate}' cannot be read as a crate: {error}", hint) from error
    yield from found


def _name_in_run(url: str) -> str:
    """The reverse of `path_in_crate` and `url_of`."""
    return os.fsdecode(unquote_to_bytes(unquote(url)))


def _metadata(crate: Path) -> bytes:
    if stat.S_ISDIR(crate.stat().st_mode):
        return read_regular(crate / METADATA, MOST_METADATA_BYTES)
    with os.fdopen(open_regular(crate.resolve()), "rb") as stream, zipfile.ZipFile(stream) as archive:
        entry = archive.getinfo(METADATA)
        if entry.file_size > MOST_METADATA_BYTES:
            raise ValueError("its metadata are too large")
        with archive.open(entry) as file:
            return file.read(MOST_METADATA_BYTES)
