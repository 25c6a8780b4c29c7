"""What stands in the place of a file: nothing of it is waited for, followed, or read without end."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from rose_cli.util.files import OpenDirectory, create_new, is_same_file, open_inside, open_regular, read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


WAYS = [os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_RDWR | os.O_APPEND]


def is_refused(path: Path, flags: int) -> int | None:
    with pytest.raises(OSError, match=re.escape(str(path))) as caught:
        os.close(open_regular(path, flags))
    return caught.value.errno


@pytest.mark.parametrize("flags", WAYS)
def test_a_link_is_not_followed(tmp_path: Path, flags: int) -> None:
    (tmp_path / "private").write_text("x")
    (tmp_path / "link").symlink_to("private")
    assert is_refused(tmp_path / "link", flags) == errno.ELOOP
    assert (tmp_path / "private").read_text() == "x"


@pytest.mark.parametrize("flags", WAYS)
def test_a_dangling_link_makes_no_file(tmp_path: Path, flags: int) -> None:
    (tmp_path / "link").symlink_to("elsewhere")
    assert is_refused(tmp_path / "link", flags) == errno.ELOOP
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("flags", WAYS)
def test_a_pipe_is_not_waited_for(tmp_path: Path, flags: int) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert is_refused(tmp_path / "pipe", flags) == errno.EINVAL


@pytest.mark.parametrize("flags", WAYS)
def test_a_pipe_with_a_reader_is_no_file_either(tmp_path: Path, flags: int) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert is_refused(tmp_path / "pipe", flags) == errno.EINVAL
    os.close(reader)


@pytest.mark.parametrize("flags", WAYS)
def test_neither_a_folder_nor_a_socket_is_a_file(tmp_path: Path, flags: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_refused(tmp_path, flags) == errno.EINVAL
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")  # the path of a socket is short
        assert is_refused(tmp_path / "s", flags) == errno.EINVAL


def test_a_device_is_no_file() -> None:
    with pytest.raises(OSError, match="not a regular file"):
        read_regular("/dev/zero", 10)


def test_a_file_is_opened_relative_to_a_folder_and_emptied(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    folder = os.open(tmp_path, os.O_RDONLY)
    assert read_regular("f", 3, dir_fd=folder) == b"old"
    descriptor = open_regular("f", os.O_WRONLY | os.O_TRUNC, dir_fd=folder)
    os.write(descriptor, b"n")
    os.close(descriptor)
    os.close(folder)
    assert (tmp_path / "f").read_text() == "n"


def test_a_new_file_replaces_nothing_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        with pytest.raises(FileExistsError):
            create_new(tmp_path / name)
    assert ((tmp_path / "file").read_text(), (tmp_path / "nowhere").exists()) == ("precious", False)
    with os.fdopen(create_new(tmp_path / "new", 0o600), "w", encoding="ascii") as new:
        new.write("content")
    assert ((tmp_path / "new").read_text(), (tmp_path / "new").stat().st_mode & 0o777) == ("content", 0o600)


def test_what_is_too_large_is_refused_after_a_look(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    os.truncate(tmp_path / "f", 1 << 40)
    with pytest.raises(OSError, match="larger than 1,000 bytes"):
        read_regular(tmp_path / "f", 1000)


LEASE = """
import fcntl, os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
file = os.open(sys.argv[1], os.O_RDONLY)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
print(flush=True)
signal.sigwait([signal.SIGIO])
print(flush=True)
sys.stdin.read(1)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
"""


@pytest.mark.skipif(not hasattr(fcntl, "F_SETLEASE"), reason="there are no leases here")
def test_a_file_that_a_client_of_this_file_server_holds_is_had_once_it_is_given_back(tmp_path: Path) -> None:
    """The kernel asks for it at the first try, and refuses that one, as nothing here waits in it."""
    path = tmp_path / "file"
    path.touch()
    words = (sys.executable, "-c", LEASE, path)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        if not client.stdout.readline():
            pytest.skip("this file system has no leases")
        found: list[int] = []
        opening = threading.Thread(target=lambda: found.append(open_regular(path, os.O_RDWR)))
        opening.start()
        assert client.stdout.readline()  # it was asked, and has the file yet
        assert not found
        client.stdin.write(b"x")
        client.stdin.close()
        opening.join()
    os.close(found[0])


NOBODY = 65534


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link to another user")


@pytest.fixture
def places(tmp_path: Path) -> Iterator[OpenDirectory]:
    """A folder `top` with a file, a folder in it, and a private file outside."""
    (tmp_path / "top/deep").mkdir(parents=True)
    (tmp_path / "top/file").write_text("inside")
    (tmp_path / "top/deep/file").write_text("deep inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("outside")
    with OpenDirectory.at(tmp_path / "top", inside=tmp_path) as top:
        yield top


def text_of(top: OpenDirectory, name: str, *, own_links_out: bool = True) -> str:
    with os.fdopen(open_inside(top, name, own_links_out=own_links_out)) as file:
        return file.read()


INSIDE = {
    "file": "inside", "deep/../file": "inside", "deep/file": "deep inside", "deep/up": "inside",
    "round/file": "deep inside", "far": "deep inside", "twice": "deep inside",
}  # fmt: skip


OUTSIDE = {"out": "outside", "to/file": "outside", "deep/climbs": "outside", "../outside/file": "outside"}


@pytest.fixture
def links(places: OpenDirectory, tmp_path: Path) -> OpenDirectory:
    top = tmp_path / "top"
    (top / "deep/up").symlink_to("../file")
    (top / "round").symlink_to("deep/../deep/.")
    (top / "far").symlink_to(top / "deep/file")
    (top / "twice").symlink_to("far")
    (top / "out").symlink_to(tmp_path / "outside/file")
    (top / "to").symlink_to("../outside")
    (top / "deep/climbs").symlink_to("../../outside/file")
    return places


@pytest.mark.parametrize("name", INSIDE)
def test_links_within_a_workspace_are_followed(links: OpenDirectory, name: str) -> None:
    for own_links_out in (False, True):
        assert text_of(links, name, own_links_out=own_links_out) == INSIDE[name]


@pytest.mark.parametrize("name", OUTSIDE)
def test_links_out_of_it_only_where_they_may(links: OpenDirectory, name: str) -> None:
    assert text_of(links, name) == OUTSIDE[name]
    with pytest.raises(OSError, match="points outside the run directory"):
        text_of(links, name, own_links_out=False)


@needs_root
def test_links_of_somebody_else_do_not_lead_out(links: OpenDirectory, tmp_path: Path) -> None:
    for path in tmp_path.rglob("*"):
        if path.is_symlink():
            os.lchown(path, NOBODY, NOBODY)
    for name, expected in INSIDE.items():
        assert text_of(links, name) == expected
    for name in OUTSIDE:
        if not name.startswith(".."):
            with pytest.raises(OSError, match="another user's symbolic link"):
                text_of(links, name)


@needs_root
def test_nor_does_a_link_of_ones_own_to_a_link_of_somebody_else(links: OpenDirectory, tmp_path: Path) -> None:
    (tmp_path / "outside/theirs").symlink_to("file")
    os.lchown(tmp_path / "outside/theirs", NOBODY, NOBODY)
    (tmp_path / "top/mine").symlink_to(tmp_path / "outside/theirs")
    with pytest.raises(OSError, match="another user's symbolic link"):
        text_of(links, "mine")


def test_links_in_a_circle_and_what_is_no_file(links: OpenDirectory, tmp_path: Path) -> None:
    (tmp_path / "top/a").symlink_to("b")
    (tmp_path / "top/b").symlink_to("a")
    os.mkfifo(tmp_path / "top/pipe")
    (tmp_path / "top/to-pipe").symlink_to("pipe")
    for name, number in {"a": errno.ELOOP, "to-pipe": errno.EINVAL, "deep": errno.EINVAL, "none": errno.ENOENT}.items():
        with pytest.raises(OSError, match=r"\w") as caught:
            text_of(links, name)
        assert caught.value.errno == number


def test_a_copy_made_in_the_same_tick_of_the_clock_is_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its status may have changed at the very time at which the original was last written."""
    original, copy = tmp_path / "journal", tmp_path / "copy"
    for path in (original, copy):
        path.write_text("x", encoding="utf-8")
    here = original.stat()
    same_tick = os.stat_result((*copy.stat()[:10],), {"st_ctime_ns": here.st_ctime_ns})
    assert (same_tick.st_ctime_ns, same_tick.st_size) == (here.st_ctime_ns, here.st_size)
    monkeypatch.setattr(type(copy), "stat", lambda self: same_tick if self == copy else here)
    assert not is_same_file(original, copy)
    assert is_same_file(original, original)
