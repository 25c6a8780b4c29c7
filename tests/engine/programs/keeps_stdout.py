"""Ends at once, but leaves a child in its group that keeps standard output open."""

import os
import signal

from say import say  # type: ignore[import-not-found]  # the file beside this one

ready, told = os.pipe()
if os.fork() == 0:
    say("background", os.getpid())
    os.write(told, b"!")
    while True:
        signal.pause()
os.read(ready, 1)
print("done", flush=True)  # noqa: T201
