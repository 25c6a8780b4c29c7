"""The end of a forked task: modules that it shares with the server need no end of their own, if nobody can tell.

An interpreter that ends takes its modules apart. In a forked process that copies every page of memory that it shares
with the server, which takes longer than most tasks. Only what runs when an object is finalised can tell. So the modules
are left alone unless the task has an object with a finaliser, to which they may refer.

Runs in the task's interpreter, see `server`.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import sys

_ORDINARY = {"generator", "coroutine", "FileIO", "BufferedReader", "BufferedWriter", "TextIOWrapper"}
"""Types with finalisers of objects that imports leave; the files are those of the standard streams."""


class Ending:
    """Create it before any module is imported: functions at exit are called last to first, and this one is the last."""

    def __init__(self) -> None:
        self._shared: list[str] = []
        self._finalised: list[tuple[object, object]] = []
        atexit.register(self._at_exit)

    def freeze(self, names: list[str]) -> None:
        """Note the modules that are shared, and take all objects that there are from the garbage collector."""
        gc.collect()
        self._shared = names
        self._finalised = [
            (each, dict(getattr(each, "__dict__", ())))
            for each in gc.get_objects()
            if hasattr(type(each), "__del__") and type(each).__name__ not in _ORDINARY
        ]
        gc.freeze()  # a collection in a task does not write to the pages that it shares

    def _at_exit(self) -> None:
        if sys._getframe().f_back is not None:  # noqa: SLF001
            return  # the program called the functions at exit itself
        kinds = {type(each) for each in gc.get_objects()}
        changed = any(dict(getattr(each, "__dict__", ())) != before for each, before in self._finalised)
        replaced = (
            sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__
        )  # which are flushed when they go
        if changed or replaced or any(hasattr(kind, "__del__") for kind in kinds):
            gc.unfreeze()
            return
        kept = [sys.modules.pop(name, None) for name in self._shared]
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))  # for good: the interpreter does not find them
