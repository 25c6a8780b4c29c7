"""Whose files these are: a path counts as the user's own only where nobody but they and root can have a say in it.

The rules are those of OpenSSH's `StrictModes` and of git's `safe.directory`: the owner is the user or root (for root,
also who called it through sudo), and neither everybody nor a group may write. A group that nobody else is in is no
group: there are systems that give one to each user, with a umask of 002.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import struct
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OVERFLOW_UID = 65534
"""What a container, or a file server, shows where it does not know whose a file is."""

_UMASK_OF_USER: list[int] = []

_EVERYBODY = "everybody on this machine"

_ACL = "system.posix_acl_access"

_NAMED_USER, _GROUP_ITSELF, _NAMED_GROUP = 0x02, 0x04, 0x08

_WRITE = 0x02


@dataclass(frozen=True)
class Doubt:
    """Why a path is not the user's own: `what` says it ("belongs to mallory (uid 4002)").

    `foreign`: it belongs to somebody else; otherwise somebody else may write to it.
    """

    path: Path
    what: str
    foreign: bool


def doubt_about(path: Path, *, sticky: bool = False) -> Doubt | None:
    """What keeps a path, which is not followed, from being the user's own; None where nothing does.

    In a folder with the sticky bit others may make files, but neither rename nor remove those of the user: with
    `sticky`, that is enough.
    """
    try:
        status = path.lstat()
    except OSError:  # it is not there, or will be refused when it is used
        return None
    if status.st_uid not in own_uids():
        what = "is a link that belongs to another user:" if stat.S_ISLNK(status.st_mode) else "belongs to"
        return Doubt(path, f"{what} {user_name(status.st_uid)}", foreign=True)
    if stat.S_ISLNK(status.st_mode) or (sticky and status.st_mode & stat.S_ISVTX):
        return None
    writer = next(_writers(path, status), None) if _has_permissions(status.st_dev) else None
    return None if writer is None else Doubt(path, f"can be changed by {writer}", foreign=False)


def doubt_about_open_folder(folder: Path) -> Doubt | None:
    """Whether everybody may rename and remove what lies in a folder, whoever owns it."""
    try:
        status = folder.stat()
    except OSError:
        return None
    is_open = status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX and _has_permissions(status.st_dev)
    return Doubt(folder, f"can be changed by {_EVERYBODY}", foreign=False) if is_open else None


def doubt_about_links(path: Path) -> Doubt | None:
    """The first link on the way to `path`, or in its place, that belongs to somebody else."""
    for place in (*reversed(path.absolute().parents), path.absolute()):
        if place.is_symlink() and (doubt := doubt_about(place)) is not None and not _is_of_the_system(place):
            return doubt
    return None


def may_be_roots(path: Path) -> bool:
    """Whether it is shown as nobody's where root's files are too: in a container that was started without root."""
    try:
        return path.lstat().st_uid == OVERFLOW_UID and not _is_root_known()
    except OSError:
        return False


def _is_of_the_system(link: Path) -> bool:
    """Whether it may be root's, and lies in a folder of the same owner where nobody else can have put it."""
    return may_be_roots(link) and may_be_roots(link.parent) and not link.parent.stat().st_mode & 0o022


@cache
def _is_root_known() -> bool:
    """Whether root of the machine has a number in this process's user namespace: see user_namespaces(7)."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:  # noqa: PTH123
            return any(line.split()[1] == "0" for line in file)
    except (OSError, IndexError):
        return True


def make_folders(path: Path, mode: int = 0o755) -> None:
    """A folder, and those above it, where they are missing. Nobody else may write there, whatever they inherit.

    Raises OSError.
    """
    if not path.is_dir():
        make_folders(path.parent)
        path.mkdir(mode, exist_ok=True)


def close_to_others(withheld: int = 0) -> None:
    """From now on nobody else may write what this process makes, nor have any of the rights in `withheld`.

    It is not for tasks, which go by the user's umask: `umask_of_user`.
    """
    before = os.umask(0o077)
    _UMASK_OF_USER.append(before)
    os.umask(before | 0o022 | withheld)


def umask_of_user() -> int:
    """The umask that this process was called with, for what is not rose's own; -1 is subprocess's word for it."""
    return _UMASK_OF_USER[0] if _UMASK_OF_USER else -1


def open_as_the_user_does(descriptor: int) -> None:
    """Let others write into a folder as the user's umask has it, which `close_to_others` keeps from them.

    Raises OSError.
    """
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    # no more than they may read: a run may be private
    wanted = mode | write_of_others() & (mode & 0o044) >> 1
    if wanted != mode:
        os.fchmod(descriptor, wanted)


def write_of_others() -> int:
    """The permissions to write that the user's umask leaves to others, and `close_to_others` keeps from them."""
    return 0o022 & ~umask_of_user() if _UMASK_OF_USER else 0


def own_uids() -> frozenset[int]:
    """Whose files are the user's own: theirs and root's, and for root those of who called it through sudo."""
    uids = {os.geteuid(), 0}
    if os.geteuid() == 0:
        with suppress(KeyError, ValueError):
            uids.add(int(os.environ["SUDO_UID"]))
    return frozenset(uids)


def user_name(uid: int) -> str:
    """ "mallory (uid 4002)", or "uid 4002" where this machine knows no name."""
    name = _name_of(uid)
    return f"uid {uid}" if name is None else f"{name} (uid {uid})"


def owner_of(path: Path) -> str | None:
    """The name of whom a path belongs to, its number where there is no name; None where nothing is there."""
    try:
        uid = path.stat().st_uid
    except OSError:
        return None
    return _name_of(uid) or str(uid)


def _writers(path: Path, status: os.stat_result) -> Iterator[str]:
    """Everybody else who may write, in words."""
    if status.st_mode & stat.S_IWOTH:
        yield _EVERYBODY
    if not status.st_mode & stat.S_IWGRP:  # with an access list, these bits are the most that it can give
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
    """To whom an access list gives the right to write, as (tag, number of the user or group); None without a list."""
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
    """Not a drive of Windows as WSL mounts it: there all files look as if everybody may write, and Windows decides."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:  # noqa: PTH123
            return not any(is_windows_drive(line, device) for line in mounts)
    except OSError:
        return True


def is_windows_drive(line: str, device: int) -> bool:
    """Whether a line of mountinfo(5) says so of a device."""
    mount, _, system = line.partition(" - ")
    is_drive = system.startswith("drvfs ") or (system.startswith("9p ") and "aname=drvfs" in system)
    return is_drive and f" {os.major(device)}:{os.minor(device)} " in mount


@cache
def _is_private(gid: int) -> bool:
    """Whether it is a user's own group, with the user's name and nobody else in it.

    Where the machine has no names for user and group, as in a container, the same number says so.
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
    """Those who have the group as their first one, as far as this machine's own list goes: a directory may be huge."""
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
