"""The end of the interpreter: files that were not closed are written, __del__ of globals and finalizers run."""

import gc
import os
import sys
import tempfile
import weakref
from pathlib import Path

file = open("left-open.txt", "w")  # noqa
file.write("not flushed by the script")
binary = open("left-open.bin", "wb", buffering=1 << 20)
binary.write(b"x" * 1000)
nested = {"a": [open("nested.txt", "w")]}
nested["a"][0].write("nested")


class Says:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        os.write(1, f"del {self.name} {sys.is_finalizing()}\n".encode())


def suspended():
    try:
        yield
    finally:
        print("generator closed")


one = Says("one")
two = Says("two")
cycle = Says("cycle")
cycle.self = cycle
generator = suspended()
next(generator)
finalized = type("Finalized", (), {})()
weakref.finalize(finalized, print, "finalizer at exit")
directory = tempfile.TemporaryDirectory(dir=".")
Path(directory.name, "x").write_text("gone at the end")
gc.collect()  # the order in which a collection at the end finalizes objects depends on when the last one was
