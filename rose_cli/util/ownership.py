"""Ownership of paths: a path is the user's own only if nobody except them and root can change it.

The rules are those of OpenSSH's `StrictModes` and git's `safe.directory`: the owner is the user or root (for root, also
the user who called sudo), and neither everybody nor a group may write. A group without other members does not count:
some systems give one to each user, with a umask of 002.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import struct
import threading
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OVERFLOW_UID = 65534
"""The owner that a container or a file server shows for a file whose owner it does not know."""

_UMASK_OF_USER: list[int] = []

_UMASK_LOCK = threading.Lock()

_KEPT: list[int] = []
"""The umask of a program of the user, once for each of its calls that are going on."""

_EVERYBODY = "everybody on this machine"

_ACL = "system.posix_acl_access"

_NAMED_USER, _GROUP_ITSELF, _NAMED_GROUP = 0x02, 0x04, 0x08

_WRITE = 0x02


@dataclass(frozen=True)
class OwnershipProblem:
    """Why a path is not the user's own, as `what` says: "belongs to mallory (uid 4002)".

    `foreign`: it belongs to another user; otherwise another user may write to it.
    """

    path: Path
    what: str
    foreign: bool


def ownership_problem(path: Path, *, sticky: bool = False) -> OwnershipProblem | None:
    """Why a path is not the user's own; None if it is. A link is not followed.

    In a directory with the sticky bit others may create files, but neither rename nor remove those of the user: with
    `sticky`, that is good enough.
    """
    try:
        status = path.lstat()
    except OSError:  # it does not exist, or will be refused when it is used
        return None
    if status.st_uid not in own_uids():
        what = "is a symbolic link that belongs to another user:" if stat.S_ISLNK(status.st_mode) else "belongs to"
        return OwnershipProblem(path, f"{what} {user_name(status.st_uid)}", foreign=True)
    if stat.S_ISLNK(status.st_mode) or (sticky and status.st_mode & stat.S_ISVTX):
        return None
    writer = next(_writers(path, status), None) if _has_permissions(status.st_dev) else None
    return None if writer is None else OwnershipProblem(path, f"can be changed by {writer}", foreign=False)


def world_writable_problem(directory: Path) -> OwnershipProblem | None:
    """Reported if everybody may rename and remove the entries of a directory, whoever owns them."""
    try:
        status = directory.stat()
    except OSError:
        return None
    is_open = status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX and _has_permissions(status.st_dev)
    return OwnershipProblem(directory, f"can be changed by {_EVERYBODY}", foreign=False) if is_open else None


def foreign_link_problem(path: Path) -> OwnershipProblem | None:
    """The first link that belongs to another user on the way to `path`, or in its place."""
    for place in (*reversed(path.absolute().parents), path.absolute()):
        if place.is_symlink() and (doubt := ownership_problem(place)) is not None and not _is_of_the_system(place):
            return doubt
    return None


def may_belong_to_root(path: Path) -> bool:
    """Whether its owner is unknown, as root is too: in a container that was started without root."""
    try:
        return path.lstat().st_uid == OVERFLOW_UID and not _is_root_known()
    except OSError:
        return False


def _is_of_the_system(link: Path) -> bool:
    """Whether it may be root's, in a directory of the same owner into which nobody else can have put it."""
    return may_belong_to_root(link) and may_belong_to_root(link.parent) and not link.parent.stat().st_mode & 0o022


@cache
def _is_root_known() -> bool:
    """Whether the machine's root has a uid in this process's user namespace: see user_namespaces(7)."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:  # noqa: PTH123
            return any(line.split()[1] == "0" for line in file)
    except (OSError, IndexError):
        return True


def make_directories(path: Path, mode: int = 0o755) -> None:
    """Create a directory and its missing parents. Nobody else may write there, whatever permissions they inherit.

    Raises OSError.
    """
    if not path.is_dir():
        make_directories(path.parent)
        path.mkdir(mode, exist_ok=True)


def restrict_umask(withheld: int = 0) -> None:
    """From now on nobody else gets write permission for new files of this process, nor any right in `withheld`.

    Tasks are not affected: they get the user's own umask, `user_umask`.
    """
    with _UMASK_LOCK:
        before = os.umask(0o077)
        _UMASK_OF_USER.append(before)
        os.umask(before | 0o022 | withheld)


@contextmanager
def umask_kept() -> Iterator[None]:
    """For a call from a program of the user: once the last of those that are going on, in any thread, has ended, the
    program has the umask that it had before the first."""
    with _UMASK_LOCK:
        if not _KEPT:
            umask = os.umask(0o077)
            os.umask(umask)
        _KEPT.append(_KEPT[0] if _KEPT else umask)
    try:
        yield
    finally:
        with _UMASK_LOCK:
            umask = _KEPT.pop()
            if not _KEPT:
                os.umask(umask)
                _UMASK_OF_USER.clear()


def user_umask() -> int:
    """The umask that rose was called with, for the files of tasks; -1, as in subprocess, for an unchanged one."""
    return _UMASK_OF_USER[0] if _UMASK_OF_USER else -1


def apply_user_umask(descriptor: int) -> None:
    """Let others write into a directory as far as the user's umask allows, despite `restrict_umask`.

    Raises OSError.
    """
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    # only those who may read: a run may be private
    wanted = mode | user_umask_writable() & (mode & 0o044) >> 1
    if wanted != mode:
        os.fchmod(descriptor, wanted)


def user_umask_writable() -> int:
    """The write permissions of others that the user's umask allows and `restrict_umask` withholds."""
    return 0o022 & ~user_umask() if _UMASK_OF_USER else 0


def own_uids() -> frozenset[int]:
    """Whose files are the user's own: theirs and root's, and for root those of the user who called sudo."""
    uids = {os.geteuid(), 0}
    if os.geteuid() == 0:
        with suppress(KeyError, ValueError):
            uids.add(int(os.environ["SUDO_UID"]))
    return frozenset(uids)


def user_name(uid: int) -> str:
    """ "mallory (uid 4002)", or "uid 4002" if this machine knows no name."""
    name = _name_of(uid)
    return f"uid {uid}" if name is None else f"{name} (uid {uid})"


def owner_name(path: Path) -> str | None:
    """The name of a path's owner, or their uid if there is no name; None if the path does not exist."""
    try:
        uid = path.stat().st_uid
    except OSError:
        return None
    return _name_of(uid) or str(uid)


def _writers(path: Path, status: os.stat_result) -> Iterator[str]:
    """All others who may write, as messages name them."""
    if status.st_mode & stat.S_IWOTH:
        yield _EVERYBODY
    if not status.st_mode & stat.S_IWGRP:  # with an access control list, these bits are its upper limit
        return
    listed = _list_of_writers(path)
    for tag, number in [(_GROUP_ITSELF, 0)] if listed is None else listed:
        if tag == _NAMED_USER and number not in own_uids():
            yield user_name(number)
        elif tag == _NAMED_GROUP and not _is_private(number):
            yield _group_name(number)
        elif tag == _GROUP_ITSELF and not _is_private(status.st_gid):
            yield _group_name(status.st_gid)


def _list_of_writers(path: Path) -> list[tuple[int, int]] | None:
    """Who may write by an access control list, as (tag, number of the user or group); None without a list."""
    if not hasattr(os, "getxattr"):
        return None
    try:
        data = os.getxattr(path, _ACL, follow_symlinks=False)
        entries = list(struct.iter_unpack("<HHI", data[4:]))
    except (OSError, struct.error):
        return None
    return [(tag, number) for tag, rights, number in entries if rights & _WRITE]


@cache
def _has_permissions(device: int) -> bool:
    """False for a Windows drive as WSL mounts it: all files there look writable for everybody, and Windows decides."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:  # noqa: PTH123
            return not any(is_windows_drive(line, device) for line in mounts)
    except OSError:
        return True


def is_windows_drive(line: str, device: int) -> bool:
    """Whether a line of mountinfo(5) mounts that device as a Windows drive."""
    mount, _, system = line.partition(" - ")
    is_drive = system.startswith("drvfs ") or (system.startswith("9p ") and "aname=drvfs" in system)
    return is_drive and f" {os.major(device)}:{os.minor(device)} " in mount


@cache
def _is_private(gid: int) -> bool:
    """Whether it is a user's own group, with the user's name and no other member.

    If the machine has no names for user and group, as in a container, they must have the same number.
    """
    owner = next((uid for uid in sorted(own_uids(), reverse=True) if _is_group_of(gid, uid)), None)
    return owner is not None and not any(uid not in own_uids() for uid in _users_of(gid))


def _is_group_of(gid: int, uid: int) -> bool:
    name = _name_of(uid)
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return name is None and gid == uid
    return group.gr_name == name and set(group.gr_mem) <= {name}


def _users_of(gid: int) -> Iterator[int]:
    """Users with this primary group, according to this machine's own list: a directory service may be huge."""
    with suppress(OSError), open("/etc/passwd", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        for line in file:
            entries = line.split(":")
            if len(entries) > 3 and entries[3] == str(gid) and entries[2].isdigit():
                yield int(entries[2])


def _group_name(gid: int) -> str:
    try:
        return f"the group '{grp.getgrgid(gid).gr_name}'"
    except KeyError:
        return f"the group {gid}"


@cache
def _name_of(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
