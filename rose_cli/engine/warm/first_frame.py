"""Executes the interpreter again, with `importlib_bootstrap` as its program and a first frame that nobody sees.

Since Python 3.11 tracebacks, `sys._getframe`, `inspect` and trace functions pass over a frame until it has come to its
first RESUME instruction. The program gets code without that instruction, from a file that exists in memory only.

Runs in the task's interpreter, see `server`; its arguments: the interpreter, its argument 0, and those of the program.
"""

from __future__ import annotations

import importlib.util
import marshal
import opcode
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType


def main() -> None:
    program, name, *arguments = sys.argv[1:]
    path, descriptor = os.path.join(os.path.dirname(os.path.abspath(__file__)), "importlib_bootstrap.py"), -1
    if sys.version_info >= (3, 11):
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec")
        descriptor = os.memfd_create("importlib_bootstrap", 0)
        os.write(descriptor, importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(_without_resume(code)))
        path = "/proc/self/fd/%d" % descriptor
    with open("/proc/self/environ", "rb") as file:  # without what this interpreter has added
        environment = dict(entry.split(b"=", 1) for entry in file.read().split(b"\0") if entry)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execve(program, [name, path, *arguments, str(descriptor)], environment)


def _without_resume(code: CodeType) -> CodeType:
    found = bytearray(code.co_code)
    for place in range(0, len(found), 2):
        if found[place] == opcode.opmap["RESUME"]:
            found[place : place + 2] = opcode.opmap["NOP"], 0
    return code.replace(co_code=bytes(found))


main()
