"""Standard input is empty: read, iterate, input()."""

import os
import sys

print(repr(sys.stdin.read()), list(sys.stdin), os.read(0, 10), os.path.samefile("/dev/null", "/proc/self/fd/0"))
try:
    input("prompt> ")
except EOFError as error:
    print("EOFError", error)
input()
