"""How deep a program gets until its RecursionError: as deep as without the frame and the call below its own frame.

The interpreter counts in its thread state how many calls are left. Where that is in memory is found by trying, and only
if it is beyond doubt: in two ways to set a limit, one number is the limit and the one before it what is left of it.

Runs in the task's interpreter, see `server`.
"""

from __future__ import annotations

import ctypes
import sys

_NUMBERS = 40
_LIMITS = (7919, 6007)
_MOST_CALLS = 50


class Depth:
    """`measure` it in the first frame by a call, by `exec` of `in_text`, and by a call with unpacked arguments."""

    def __init__(self) -> None:
        self._left = _find()
        self._measured: list[int] = []
        self.in_text = compile("measure()", "", "exec"), {"measure": self.measure}

    def measure(self) -> None:
        self._measured.append(0 if self._left is None else sys.getrecursionlimit() - self._left.value)

    def forgive(self, *, text: bool) -> None:
        """Count no longer what is below a program: below a text that is executed, or below a function."""
        if self._left is not None:
            by_call, by_exec, by_unpacking = self._measured
            # a function that the interpreter calls itself has no frame below it at all
            self._left.value += by_exec - by_call if text else by_unpacking - by_call + 1


def _find() -> ctypes.c_int | None:
    """The number of calls that are left."""
    if sys.implementation.name != "cpython":
        return None
    state = ctypes.pythonapi.PyThreadState_Get
    state.restype = ctypes.c_void_p
    address = state()
    numbers = (ctypes.c_int * _NUMBERS).from_address(address)
    found = set(range(_NUMBERS - 1))
    before = sys.getrecursionlimit()
    for limit in _LIMITS:
        sys.setrecursionlimit(limit)
        found &= {at for at in found if numbers[at + 1] == limit and 0 < limit - numbers[at] < _MOST_CALLS}
    sys.setrecursionlimit(before)
    if len(found) != 1:
        return None
    return ctypes.c_int.from_address(address + found.pop() * ctypes.sizeof(ctypes.c_int))
