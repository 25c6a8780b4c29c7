"""The run directory: where everything of one run lies, and how a workspace gets its files."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count, groupby, islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from uuid import uuid4

from rose_cli.util.errors import LearnerFoldersError, RunDirectoryError
from rose_cli.util.files import OpenDirectory, create_new, open_regular
from rose_cli.util.ownership import (
    OwnershipProblem,
    apply_user_umask,
    foreign_link_problem,
    make_directories,
    ownership_problem,
    world_writable_problem,
)
from rose_cli.util.shortage import shortage
from rose_cli.util.trees import copy_contents, copy_file, find_links, remove_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rose_cli.plan.model import FilePlan

GONE = -1
"""The size of a file that is no longer there."""

MOST_KNOWN_FILES = 100

MOST_KNOWN_IN_A_FOLDER = 25

MOST_LOOKED_AT = 2_000

MOST_DEEP = 32

RUNS = "rose-runs"

LATEST = "latest"

LOST = "workspace.lost-"
"""With a number, what a lost workspace is called that was set aside."""


@dataclass(frozen=True)
class RunDirectory:
    """`path` is absolute: tasks get paths below it and work in other folders."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> RunDirectory:
        return cls(path.absolute())

    @property
    def campaign_text(self) -> Path:
        return self.path / "campaign.yaml"

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def learners(self) -> Path:
        return self.path / "learners"

    @property
    def engine(self) -> Path:
        return self.path / "engine"

    @property
    def requests(self) -> Path:
        return self.path / "requests"

    @property
    def doubt(self) -> OwnershipProblem | None:
        """What keeps the run from being the user's own: who can write here can have anything run in their name.

        What is deeper inside is left to `doubt_inside`.
        """
        files = (self.plan, self.journal, self.campaign_text, self.lock)
        folders = (self.path.resolve(), self.engine, self.requests, self.learners)
        place = (look(self.path) for look in (foreign_link_problem, doubt_about_place))
        return next(filter(None, chain(place, map(ownership_problem, (*folders, *files)))), None)

    def doubt_inside(self, learners: Iterable[str]) -> OwnershipProblem | None:
        """The same for what the engine keeps, and for the folders of learners.

        A workspace may be written by others: it has the user's umask.
        """
        with suppress(OSError):
            for path in sorted(self.engine.iterdir()):
                if (doubt := ownership_problem(path)) is not None:
                    return doubt
        for learner in learners:
            workspace = ownership_problem(self.workspace(learner))
            own = (self.learner(learner), self.snapshots(learner), self.all_logs(learner))
            doubts = (*map(ownership_problem, own), workspace if workspace and workspace.foreign else None)
            if (doubt := next(filter(None, doubts), None)) is not None:
                return doubt
        return None

    def learner(self, learner: str) -> Path:
        return self.learners / learner

    def workspace(self, learner: str) -> Path:
        return self.learner(learner) / "workspace"

    def snapshots(self, learner: str) -> Path:
        return self.learner(learner) / "snapshots"

    def all_logs(self, learner: str) -> Path:
        return self.learner(learner) / "logs"

    def logs(self, learner: str, iteration: int) -> Path:
        return self.all_logs(learner) / str(iteration)

    def refuse_linked_logs(self, learner: str, iteration: int) -> None:
        """Raises LearnerFoldersError where the folder for the logs of an iteration, or the one above, is a link.

        So it does where that cannot be told, as a task has taken away the right to enter the folder.
        """
        logs = self.logs(learner, iteration)
        for path in (logs.parent, logs):
            try:
                is_link = path.is_symlink()
            except OSError as error:
                message = f"cannot use '{path}': {error.strerror}"
                raise LearnerFoldersError(message, "see that it can be read and written, then `rose resume`") from error
            if is_link:
                message = f"'{path}' is a symbolic link that rose did not create"
                raise LearnerFoldersError(message, "remove it, then `rose resume`")

    def inside(self, name: str) -> Path | None:
        """What lies at a relative path in here; None where links lead out: whoever is told of it may hand it on."""
        path = self.path / name
        return path if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.path)) else None

    def log(self, learner: str, iteration: int, task: str, replica: int, attempt: int, ending: str) -> Path:
        """`<task>.<attempt>.<ending>`; from the second replica on, `<task>.r<replica>.<attempt>.<ending>`."""
        copy = f"{task}.r{replica}" if replica else task
        return self.logs(learner, iteration) / f"{copy}.{attempt}.{ending}"


def create_run_directory(parent: Path, name: str, day: str) -> RunDirectory:
    """A new folder `<name>-<day>-<n>` under `parent`, which is made where it is missing."""
    try:
        _refuse(foreign_link_problem(parent))
        make_directories(parent)
        _refuse(ownership_problem(parent.resolve(), sticky=True))
        for number in range(1, 1_000_000):
            path = parent / f"{name}-{day}-{number}"
            try:
                path.mkdir(0o755)
            except FileExistsError:
                continue
            _point_latest(parent, path.name)
            return RunDirectory.at(path)
    except OSError as error:
        message = f"cannot create a run directory in '{parent}': {_why(parent, error)}"
        raise RunDirectoryError(message, _elsewhere(parent)) from error
    message = f"no free name for a run in '{parent}'"
    raise RunDirectoryError(message, "remove old runs")


def claim_run_directory(path: Path) -> RunDirectory:
    """The folder that the user named for a new run: it has to be new, or their own and empty."""
    try:
        _refuse(foreign_link_problem(path))
        make_directories(path)
        doubt = ownership_problem(path.resolve())
        if doubt is not None and doubt.foreign:
            _refuse(doubt)
        used = any(path.iterdir())
        if not used:
            _refuse(doubt_about_place(path) or world_writable_problem(path.resolve()))
            if doubt is not None:  # of a group: a run is for one person to write
                path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o022)
    except OSError as error:
        message = f"cannot use '{path}' as a run directory: {_why(path, error)}"
        raise RunDirectoryError(message, _elsewhere(path)) from error
    if used:
        message = f"'{path}' is not empty"
        raise RunDirectoryError(
            message, f"choose a new folder, or go on with that run: rose resume {shlex.quote(str(path))}"
        )
    return RunDirectory.at(path)


def _refuse(doubt: OwnershipProblem | None) -> None:
    """One's own link to a larger disk is welcome; somebody else's folder or link is no place for a run."""
    if doubt is None:
        return
    elsewhere = "choose another place with --run-dir"
    if doubt.path.is_symlink():
        target = shlex.quote(os.path.realpath(doubt.path))
        way = f"if you trust what it leads to, name that instead: {target}; or {elsewhere}"
        raise RunDirectoryError(
            f"'{doubt.path}' {doubt.what}", f"remove it, or {elsewhere}" if doubt.path.name == RUNS else way
        )
    message = f"'{doubt.path}' {doubt.what}, who could replace your run"
    if doubt.path.stat().st_uid != os.geteuid():
        raise RunDirectoryError(message, elsewhere)
    folder = shlex.quote(str(doubt.path))
    way = f"`chmod go-w {folder}`, or `chmod +t {folder}` where others have runs in it too; or {elsewhere}"
    raise RunDirectoryError(message, way)


def _why(path: Path, error: OSError) -> str:
    """The machine's word on a folder that cannot be made, or a better one."""
    if not isinstance(error, FileExistsError):
        return str(error.strerror).lower()
    return "it is a link that leads nowhere" if path.is_symlink() and not path.exists() else "it is not a folder"


def _elsewhere(path: Path) -> str:
    if os.path.islink(path) and not os.path.exists(path):
        return f"make the folder that it leads to ('{path.readlink()}'), or choose another place with --run-dir"
    return "choose another place with --run-dir"


def doubt_about_place(run: Path) -> OwnershipProblem | None:
    """Whoever may rename what lies in the folder of a run can put another run in its place.

    `rose-runs` is the user's, as rose makes it. Another folder may be that of people who work together, but not of
    everybody.
    """
    named, place = run.absolute().parent, run.resolve().parent
    return ownership_problem(place, sticky=True) if RUNS in (named.name, place.name) else world_writable_problem(place)


def refuse_links(directory: RunDirectory, learners: Iterable[str]) -> None:
    """Nothing that rose itself makes in a run directory is a link: who planted one wants rose to write elsewhere."""
    own = [directory.engine, directory.requests, directory.learners]
    for learner in learners:
        own += [directory.learner(learner), directory.workspace(learner)]
        own += [directory.snapshots(learner), directory.all_logs(learner)]
    for path in own:
        if path.is_symlink():
            message = f"'{path}' is a symbolic link that rose did not create"
            raise RunDirectoryError(message, "put the folder itself there, then `rose resume`")


def write_new(path: Path, text: str, *, private: bool) -> None:
    """A new file, never through a link and never over another one; durable. `private`: for nobody else to read."""
    with open(create_new(path, 0o600 if private else 0o644), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _point_latest(parent: Path, name: str) -> None:
    """`latest` is replaced in one step; where links are not to be had, the newest folder is looked for instead."""
    temporary = parent / f".{LATEST}-{os.getpid()}"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(name)
        temporary.replace(parent / LATEST)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def prepare_workspace(workspace: Path, files: Iterable[FilePlan], *, inside: Path) -> None:
    """A fresh workspace with its files. What an interrupted preparation left there is made anew.

    It is reached from `inside`, the run directory, through no link. Raises RunDirectoryError.
    """
    try:
        _prepare(workspace, files, inside)
    except OSError as error:
        if (short := shortage(error)) is not None:
            raise short from error
        place = f" ('{error.filename}')" if error.filename and error.filename != str(workspace) else ""
        message = f"cannot prepare workspace '{workspace}': {error.strerror or error}{place}"
        is_foreign = error.errno in (errno.ENOTDIR, errno.ELOOP) and str(error.filename).startswith(str(inside))
        way = _NOT_ROSES if is_foreign else f"{_WAYS_OUT.get(error.errno or 0, _WAY_OUT)}, then `rose resume`"
        raise RunDirectoryError(message, way) from error


_WAY_OUT = "see that its 'files' can be read and there is space"

_NOT_ROSES = "rose did not create that: find its owner with `ls -l`, remove it, then `rose resume`"

_WAYS_OUT = {
    errno.ENAMETOOLONG: "give the run a shorter place (--run-dir), or its learners and files shorter names",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space: your quota is used up",
    errno.EROFS: "choose another place with --run-dir: nothing can be written there",
    errno.EINVAL: "take it out of 'files', or leave 'copy: true' out for a link",
}


def _prepare(workspace: Path, files: Iterable[FilePlan], inside: Path) -> None:
    with OpenDirectory.at(workspace, inside=inside, make=True, mode=0o777) as folder:
        apply_user_umask(folder.descriptor)
        for file in files:
            *parents, name = PurePath(file.target).parts or (".",)
            with folder.below(parents, make=True, mode=0o777) as parent:
                apply_user_umask(parent.descriptor)
                for _ in remove_entry(parent, name):
                    pass
                _place(file, parent, name)
    workspace.lstat()  # tasks will be given its path, which may be too long


def _place(file: FilePlan, folder: OpenDirectory, name: str) -> None:
    if not file.copied:
        os.symlink(file.source, name, dir_fd=folder.descriptor)
        return
    source = Path(file.source).resolve(strict=True)
    if Path(folder.path).resolve().is_relative_to(source):
        raise OSError(errno.EINVAL, "a folder cannot be copied into itself", file.source)
    if source.is_dir():
        with OpenDirectory.at(source, inside=source.parent) as old, folder.subdirectory(name, make=True) as new:
            for _ in copy_contents(old, new, exact=False):
                pass
    elif source.is_file():
        with open(open_regular(source), "rb") as old_file:
            copy_file(old_file.fileno(), folder, name, exact=False)
    else:
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, and cannot be copied", file.source)


def news_of_files(workspace: Path, known: Mapping[str, int], *, inside: Path) -> dict[str, int]:
    """What has changed in a workspace since `known`: each file with its size, GONE for one that is no longer there.

    A sample that costs little, to tell later whether these files are still there: at most so many of them, and so many
    of one folder, none that is hidden, nothing behind links. Nothing is news in a folder that is not there.
    """
    try:
        with OpenDirectory.at(workspace, inside=inside) as folder:
            news = _changed(folder, known)
            room = MOST_KNOWN_FILES - len(known) + sum(size == GONE for size in news.values())
            if room > 0:
                taken = Counter(os.path.dirname(name) for name in known if news.get(name) != GONE)
                news.update(islice(_fresh(folder, known, taken), room))
            return news
    except OSError:
        return {}


def _fresh(workspace: OpenDirectory, known: Mapping[str, int], taken: Counter[str]) -> Iterator[tuple[str, int]]:
    for name, size in islice(_files(workspace), MOST_LOOKED_AT):
        folder = os.path.dirname(name)
        if name not in known and taken[folder] < MOST_KNOWN_IN_A_FOLDER:
            taken[folder] += 1
            yield name, size


def changed_files(workspace: Path, known: Mapping[str, int], *, inside: Path) -> dict[str, int]:
    """Of the files in `known`, those with another size now, or GONE."""
    try:
        with OpenDirectory.at(workspace, inside=inside) as folder:
            return _changed(folder, known)
    except (FileNotFoundError, NotADirectoryError):
        return dict.fromkeys(known, GONE)
    except OSError:  # they may be there
        return {}


def _changed(workspace: OpenDirectory, known: Mapping[str, int]) -> dict[str, int]:
    news = {}
    for place, names in groupby(sorted(known, key=os.path.dirname), key=os.path.dirname):
        sizes = _sizes(workspace, place, list(names))
        news.update({name: size for name, size in sizes.items() if size != known[name]})
    return news


def _sizes(workspace: OpenDirectory, place: str, names: list[str]) -> dict[str, int]:
    """Those of files in one folder, as far as they can be told: what lies behind a link is not looked at."""
    try:
        with workspace.below(place.split("/") if place else ()) as folder:
            sizes = {name: _size(folder.descriptor, os.path.basename(name)) for name in names}
            return {name: size for name, size in sizes.items() if size is not None}
    except (FileNotFoundError, NotADirectoryError):
        return dict.fromkeys(names, GONE)
    except OSError:
        return {}


def _size(folder: int, name: str) -> int | None:
    try:
        return os.lstat(name, dir_fd=folder).st_size
    except (FileNotFoundError, NotADirectoryError):
        return GONE
    except OSError:
        return None


def _files(workspace: OpenDirectory) -> Iterator[tuple[str, int]]:
    """Files and their sizes, those nearest to the top first."""
    folders: deque[tuple[str, ...]] = deque([()])
    while folders:
        names = folders.popleft()
        with suppress(OSError), workspace.below(names) as folder, os.scandir(folder.descriptor) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == "__pycache__":
                    continue
                if entry.is_file(follow_symlinks=False):
                    yield "/".join((*names, entry.name)), entry.stat(follow_symlinks=False).st_size
                elif entry.is_dir(follow_symlinks=False) and len(names) < MOST_DEEP:
                    folders.append((*names, entry.name))


def set_aside(workspace: Path, *, inside: Path) -> Path | None:
    """Make room for a fresh workspace; where what was left of the old one lies now. Raises RunDirectoryError."""
    try:
        with OpenDirectory.at(workspace.parent, inside=inside) as folder:
            if _is_nothing(folder, workspace.name):
                return None
            names = set(folder.names())
            aside = next(name for n in count(1) if (name := f"{LOST}{n}") not in names)
            os.rename(workspace.name, aside, src_dir_fd=folder.descriptor, dst_dir_fd=folder.descriptor)
            return workspace.with_name(aside)
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"cannot rename '{workspace}': {error.strerror}"
        raise RunDirectoryError(message, "see that its folder can be written, then `rose resume`") from error


def _is_nothing(folder: OpenDirectory, name: str) -> bool:
    """Whether there is nothing of that name, or an empty folder."""
    try:
        with folder.subdirectory(name) as found:
            return not found.names()
    except FileNotFoundError:
        return True
    except OSError:  # a link, a file, or closed
        return False


def lead_links(folders: Iterable[Path], moves: Mapping[str, str], *, inside: Path) -> int:
    """Every link below `folders` that leads into an old place leads to its new one; how many did.

    Tasks make links of their own, by absolute paths: those are led along as well. Raises RunDirectoryError.
    """
    return sum(_led_below(path, moves, inside) for path in folders)


def _led_below(path: Path, moves: Mapping[str, str], inside: Path) -> int:
    try:
        with OpenDirectory.at(path, inside=inside) as folder:
            return sum(_lead(*link, moves) for link in find_links(folder))
    except (FileNotFoundError, PermissionError):  # there is none yet, or nobody may look into it
        return 0
    except OSError as error:
        unreadable = RunDirectoryError(f"cannot look into '{path}': {error.strerror}", _NOT_ROSES)
        raise shortage(error) or unreadable from error


def _lead(folder: int, name: str, path: str, moves: Mapping[str, str]) -> bool:
    """Whether that link had to be led elsewhere."""
    try:
        return _is_led(folder, name, moves)
    except OSError as error:
        message = f"cannot point the link '{path}' to the new place: {error.strerror}"
        raise RunDirectoryError(message, "see that it can be written, then `rose resume`") from error


def _is_led(folder: int, name: str, moves: Mapping[str, str]) -> bool:
    target = os.readlink(name, dir_fd=folder)
    old = next((old for old in moves if target == old or target.startswith(f"{old}/")), None)
    if old is None:
        return False
    temporary = f".rose-{os.getpid()}-{uuid4().hex[:8]}"
    os.symlink(moves[old] + target[len(old) :], temporary, dir_fd=folder)
    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    return True


def moves_between(before: Sequence[str | None], now: Sequence[str]) -> dict[str, str]:
    """Old place → new place, the deepest first, under each of its names; nothing for what is where it was."""
    pairs = {
        name: there
        for place, there in zip(before, now, strict=True)
        if place is not None and place != there and not is_same_folder(place, there)
        for name in (place, os.path.realpath(place))
    }
    return dict(sorted(pairs.items(), key=lambda pair: -len(pair[0])))


def is_same_folder(one: str, other: str) -> bool:
    """Whether both paths lead to one folder that is there."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
