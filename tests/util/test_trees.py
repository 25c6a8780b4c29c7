"""Copying and removing directory trees: everything comes along, and no symbolic link is followed."""

from __future__ import annotations

import os
import socket
import stat
import struct
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rose_cli.plan.model import FilePlan
from rose_cli.runs.workspace import prepare_workspace
from rose_cli.util.trees import clone_file, copy_contents, copy_file, format_size, remove_contents
from tests.conftest import REPOSITORY
from tests.trees import copy, described, odd_tree, opened, remove, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    return odd_tree(tmp_path / "workspace")


def test_a_copy_is_the_same_in_everything(odd: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    copy(odd, tmp_path / "copy", durable=True)
    assert described(tmp_path / "copy") == described(odd)
    remove(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert list(Path("/etc").iterdir())


def test_hard_links_become_files_and_sockets_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "from/one").write_text("x")
    (tmp_path / "from/two").hardlink_to(tmp_path / "from/one")
    monkeypatch.chdir(tmp_path / "from")  # the path of a socket has to be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        copy(tmp_path / "from", tmp_path / "to")
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["one", "two"]
    assert [(tmp_path / "to" / name).stat().st_nlink for name in ("one", "two")] == [1, 1]


def test_removing_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (tmp_path / "link").symlink_to("kept")
    remove(tmp_path / "link")
    remove(tmp_path / "nothing")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "kept/file").exists()


def test_a_file_is_copied_where_blocks_cannot_be_shared(tmp_path: Path) -> None:
    """And where they can, the copy does not change with the original."""
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "from/file").write_bytes(b"x" * 100_000)
    copy(tmp_path / "from", tmp_path / "to")
    (tmp_path / "from/file").write_bytes(b"y" * 100_000)
    assert (tmp_path / "to/file").read_bytes() == b"x" * 100_000
    read, write = os.pipe()
    assert not clone_file(read, write)
    os.close(read)
    os.close(write)


def blocks(path: Path) -> int:
    return path.stat().st_blocks


def sparse(path: Path) -> None:
    """A gigabyte, of which two pages are written."""
    with path.open("wb") as file:
        file.truncate(1 << 30)
        for at in (123, 700 << 20):
            file.seek(at)
            file.write(b"here")


def has_what_sparse_wrote(path: Path) -> bool:
    with path.open("rb") as file:
        return [os.pread(file.fileno(), 6, at - 1) for at in (123, 700 << 20)] == [b"\0here\0"] * 2


def test_a_hole_in_a_file_stays_a_hole(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    sparse(tmp_path / "from/some")
    (tmp_path / "from/only").touch()
    os.truncate(tmp_path / "from/only", 1 << 40)
    copy(tmp_path / "from", tmp_path / "to", durable=True)
    assert (tmp_path / "to/some").stat().st_size == 1 << 30
    assert has_what_sparse_wrote(tmp_path / "to/some")
    assert blocks(tmp_path / "to/some") <= blocks(tmp_path / "from/some") + 16
    assert (tmp_path / "to/only").stat().st_size == 1 << 40
    assert blocks(tmp_path / "to/only") <= 16


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 200_000), st.binary(min_size=1, max_size=9000)), max_size=6), st.data())
def test_any_file_is_copied_byte_for_byte(written: list[tuple[int, bytes]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        with source.open("wb") as file:
            for at, text in written:
                file.seek(at)
                file.write(text)
            file.truncate(data.draw(st.integers(0, 300_000)))
        with source.open("rb") as file, opened(target.parent) as parent:
            copy_file(file.fileno(), parent, target.name)
        assert target.read_bytes() == source.read_bytes()
        assert target.stat().st_mtime_ns == source.stat().st_mtime_ns


def test_files_that_are_copied_into_a_workspace_keep_their_holes(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    sparse(tmp_path / "data/one")
    plans = [
        FilePlan(str(tmp_path / "data"), "data", copied=True),
        FilePlan(str(tmp_path / "data/one"), "one", copied=True),
    ]
    prepare_workspace(tmp_path / "workspace", plans, inside=tmp_path)
    for name in ("data/one", "one"):
        assert has_what_sparse_wrote(tmp_path / "workspace" / name)
        assert blocks(tmp_path / "workspace" / name) <= blocks(tmp_path / "data/one") + 16


# --- somebody exchanges folders and links --------------------------------------------------------------------------


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A folder that no tree here has to do with, with the names of what lies in the trees."""
    folder = tmp_path / "private"
    for name in ("0", "1", "inner/2"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("private")
    return folder


def grown(tmp_path: Path) -> Path:
    """A tree with folders in folders, and the link that is to take their place."""
    tree = Path(tempfile.mkdtemp(dir=tmp_path))
    for name in ("d/0", "d/1", "d/inner/2", "e/0"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("of the tree")
    return tree


def exchange(tree: Path, place: str, private: Path) -> None:
    """Put a link where a folder is, if it is there still."""
    with suppress(FileNotFoundError):
        (tree / place).rename(tree.with_name(f"{tree.name}-{place.replace('/', '-')}"))
        (tree / place).symlink_to(private / place.partition("/")[2])


def exchanged_at(moment: int, work: Iterator[None], deed: Callable[[], None]) -> None:
    """Do the deed between two steps of the work; that it cannot be completed then is fine."""
    with suppress(OSError):
        for number, _ in enumerate(work):
            if number == moment:
                deed()


@pytest.mark.parametrize("place", ["d", "d/inner"])
def test_a_link_put_where_a_folder_is_removed_leads_nowhere(tmp_path: Path, private: Path, place: str) -> None:
    before = described(private)
    for moment in range(12):
        tree = grown(tmp_path)
        with opened(tree) as folder:
            exchanged_at(moment, remove_contents(folder), partial(exchange, tree, place, private))
        assert described(private) == before, moment


@pytest.mark.parametrize("place", ["d", "d/inner"])
def test_a_link_put_where_a_folder_is_copied_from_or_to_leads_nowhere(
    tmp_path: Path, private: Path, place: str
) -> None:
    before = described(private)
    for moment in range(12):
        for exchanges_target in (False, True):
            tree, target = grown(tmp_path), Path(tempfile.mkdtemp(dir=tmp_path))
            with opened(tree) as old, opened(target) as new:
                deed = partial(exchange, target if exchanges_target else tree, place, private)
                exchanged_at(moment, copy_contents(old, new), deed)
            assert described(private) == before, moment
            copied = [path for path in target.rglob("*") if path.is_file() and not path.is_symlink()]
            assert {path.read_text() for path in copied} <= {"of the tree"}, moment


EXCHANGES = """\
import ctypes, os, sys
exchange = ctypes.CDLL(None).renameat2
folder, link = [ctypes.c_char_p(os.fsencode(word)) for word in sys.argv[1:]]
print("at it", flush=True)
while True:
    exchange(-100, folder, -100, link, 2)  # AT_FDCWD, RENAME_EXCHANGE
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two names in one step")
def test_whoever_exchanges_a_folder_and_a_link_all_the_time_gets_nothing(tmp_path: Path, private: Path) -> None:
    before, tree, link, copied = described(private), tmp_path / "tree", tmp_path / "link", tmp_path / "copied"
    racer = subprocess.Popen([sys.executable, "-c", EXCHANGES, tree / "d", link], stdout=subprocess.PIPE)
    try:
        assert racer.stdout is not None
        racer.stdout.readline()
        for number in range(40):
            fresh = tmp_path / f"tree-{number}"
            (fresh / "d/inner").mkdir(parents=True)
            for name in ("0", "1", "inner/2", *map(str, range(3, 40))):
                (fresh / "d" / name).write_text("of the tree")
            link.symlink_to(private)
            copied.mkdir()
            fresh.rename(tree)  # from now on it is raced for
            with suppress(OSError):
                copy(tree, copied)
            with suppress(OSError), opened(tree) as folder:
                run(remove_contents(folder))
            tree.rename(tmp_path / f"left-{number}")
            assert described(private) == before
            files = [path for path in copied.rglob("*") if path.is_file() and not path.is_symlink()]
            assert {path.read_text() for path in files} <= {"of the tree"}
            remove(copied)
            remove(link)
    finally:
        racer.kill()
        racer.communicate()


DEEP = """\
import os, resource, sys
from pathlib import Path
from rose_cli.util.files import OpenDirectory, supports_syncfs, sync_file_system
from rose_cli.util.trees import copy_contents, find_links, remove_entry
root, depth = Path(sys.argv[1]), 2000
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
here = os.open(root, os.O_RDONLY)
for name in ["tree"] + ["d"] * depth:
    os.mkdir(name, dir_fd=here)
    below = os.open(name, os.O_RDONLY, dir_fd=here)
    os.close(here)
    here = below
os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=here))
os.symlink("file", "link", dir_fd=here)
os.close(here)
(root / "copy").mkdir()
with OpenDirectory.at(root, inside=root) as top:
    with top.subdirectory("tree") as tree, top.subdirectory("copy") as copy:
        for _ in copy_contents(tree, copy):
            pass
    for name in ("tree", "copy"):
        with top.subdirectory(name) as folder:
            print([path.count("/d") - str(root).count("/d") for _, _, path in find_links(folder)])
        for _ in remove_entry(top, name):
            pass
    print(top.names())
"""


def test_a_deep_tree_needs_few_open_folders(tmp_path: Path) -> None:
    """Its paths are longer than any that a system takes, too."""
    done = subprocess.run(
        [sys.executable, "-c", DEEP, tmp_path / "."],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "[2000]\n[2000]\n[]\n"), done.stderr


# --- what a copy does not bring along ------------------------------------------------------------------------------


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_no_copy_has_more_than_plain_permissions(tmp_path: Path) -> None:
    """A set-user-ID program of a colleague's would become one with the rights of who copied it."""
    data, target = tmp_path / "data", tmp_path / "target"
    (data / "folder").mkdir(parents=True)
    target.mkdir()
    for name, mode in {"tool": 0o4755, "group": 0o2755, "all": 0o7777, "odd": 0o0461}.items():
        (data / name).touch()
        (data / name).chmod(mode)
    (data / "folder").chmod(0o7775)
    copy(data, target)
    assert {path.name: oct(mode_of(path)) for path in target.iterdir()} == {
        "tool": "0o755", "group": "0o755", "all": "0o777", "odd": "0o461", "folder": "0o775",
    }  # fmt: skip


def test_a_folder_keeps_the_group_of_where_it_is_copied_to(tmp_path: Path) -> None:
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "target").mkdir()
    (tmp_path / "target").chmod(0o2775)
    (tmp_path / "data/deep").chmod(0o750)
    copy(tmp_path / "data", tmp_path / "target")
    assert mode_of(tmp_path / "target/deep") == 0o2750
    assert mode_of(tmp_path / "target") & stat.S_ISGID


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_what_is_copied_into_a_workspace_is_for_nobody_else_to_write_to(tmp_path: Path, umask: int) -> None:
    """Though a colleague lets everybody write to the original."""
    (tmp_path / "data/folder").mkdir(parents=True)
    modes = {"a": 0o666, "b": 0o4777, "c": 0o444, "d": 0o600}
    for name, mode in modes.items():
        (tmp_path / "data" / name).touch()
        (tmp_path / "data" / name).chmod(mode)
    (tmp_path / "data/folder").chmod(0o1777)
    plans = [
        FilePlan(str(tmp_path / "data"), "data", copied=True),
        FilePlan(str(tmp_path / "data/b"), "b", copied=True),
    ]
    before = os.umask(umask)
    try:
        prepare_workspace(tmp_path / "workspace", plans, inside=tmp_path)
    finally:
        os.umask(before)
    for name, mode in {**modes, "folder": 0o777}.items():
        assert mode_of(tmp_path / "workspace/data" / name) == mode & 0o777 & ~(umask & 0o022)
    assert mode_of(tmp_path / "workspace/b") == 0o777 & ~(umask & 0o022)


def access_list(owner: int, named: int, group: int, mask: int) -> bytes:
    """An access control list that lets user 4002 in, as the kernel keeps it."""
    nobody = 0xFFFFFFFF
    entries = [(1, owner, nobody), (2, named, 4002), (4, group, nobody), (16, mask, nobody), (32, 0, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def set_attribute(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except (OSError, AttributeError) as error:
        pytest.skip(f"no such attributes here: {error}")


def test_no_copy_has_an_access_control_list(tmp_path: Path) -> None:
    """And the group gets no more than the list gave it: the permissions of a file with a list show its mask."""
    for name in ("data/folder", "target"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data/file").touch()
    for path in (tmp_path / "data/file", tmp_path / "data/folder"):
        set_attribute(path, "system.posix_acl_access", access_list(owner=7, named=7, group=4, mask=7))
        assert mode_of(path) == 0o770
        set_attribute(path, "user.kept", b"by whoever set it")
    set_attribute(tmp_path / "data/folder", "system.posix_acl_default", access_list(owner=7, named=7, group=7, mask=7))
    copy(tmp_path / "data", tmp_path / "target")
    for name in ("file", "folder"):
        path = tmp_path / "target" / name
        assert (os.listxattr(path), oct(mode_of(path))) == (["user.kept"], "0o740")


def test_the_access_control_list_of_where_it_is_copied_to_holds(tmp_path: Path) -> None:
    """The owner of a project gave its folder that list for all that is made in it."""
    for name in ("project/workspace", "project/snapshot"):
        (tmp_path / name).mkdir(parents=True)
    workspace = tmp_path / "project/workspace"
    set_attribute(workspace, "system.posix_acl_default", access_list(owner=7, named=7, group=5, mask=7))
    (workspace / "file").touch(0o660)
    before = os.getxattr(workspace / "file", "system.posix_acl_access")
    copy(workspace, tmp_path / "project/snapshot")
    (workspace / "file").unlink()
    copy(tmp_path / "project/snapshot", workspace)
    after = os.getxattr(workspace / "file", "system.posix_acl_access")
    assert (len(after), mode_of(workspace / "file") & ~0o770) == (len(before), 0)


def test_sizes_in_words() -> None:
    sizes = (0, 1023, 1024, 1536, 1_000_000, 10 * 2**30, 1.5 * 2**40, 5000 * 2**40)
    assert [format_size(size) for size in sizes] == [
        "0 bytes", "1023 bytes", "1 KB", "1.5 KB", "977 KB", "10 GB", "1.5 TB", "5,000 TB",
    ]  # fmt: skip
