"""Prints every byte there is, and no end of line."""

import sys

sys.stdout.buffer.write(bytes(range(256)))
