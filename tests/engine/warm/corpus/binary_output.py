"""Binary output, and the order of what is buffered and what is not."""

import ctypes
import os
import sys

sys.stdout.buffer.write(bytes(range(256)))
print("buffered")
os.write(1, b"unbuffered\n")
sys.stderr.write("half a line")
os.write(2, b" unbuffered\n")
sys.stderr.buffer.write(b"\xff\xfe")
libc = ctypes.CDLL(None)
libc.printf(b"by printf, buffered in C\n")
libc.puts(b"by puts")
sys.stdout.flush()
print("in Python at the end")
