"""Prints 50 MB, and as much as a megabyte of it as errors."""

import sys

line = b"x" * 99 + b"\n"
for _ in range(50):
    sys.stdout.buffer.write(line * 10_000)
sys.stderr.buffer.write(line * 10_000)
