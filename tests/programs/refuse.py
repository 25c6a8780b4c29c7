"""Lets the kernel refuse a system call to this process from now on (seccomp): no disk has to break for a test."""

from __future__ import annotations

import ctypes
import platform
import struct

_NUMBERS = {
    "x86_64": {"flock": 73, "fsync": 74, "fdatasync": 75, "ftruncate": 77, "link": 86, "linkat": 265},
    "aarch64": {"flock": 32, "ftruncate": 46, "fsync": 82, "fdatasync": 83, "linkat": 37},
}
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2
_LOAD_NUMBER, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ERRNO, _ALLOW = 0x00050000, 0x7FFF0000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def supported() -> bool:
    return platform.system() == "Linux" and platform.machine() in _NUMBERS


def refuse(call: str, error: int) -> None:
    """Every later `call` fails with `error`; there is no way back."""
    number = _NUMBERS[platform.machine()].get(call)
    if number is None:
        return
    steps = (
        (_LOAD_NUMBER, 0, 0, 0),
        (_JUMP_IF_EQUAL, 0, 1, number),
        (_RETURN, 0, 0, _ERRNO | error),
        (_RETURN, 0, 0, _ALLOW),
    )
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(steps), code)
    refused = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    refused |= libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0)
    if refused:
        raise OSError(ctypes.get_errno(), "seccomp refused")
