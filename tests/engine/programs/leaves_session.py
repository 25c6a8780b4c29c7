"""Forks a child that leaves for a session of its own; then stays, or ends itself ("leave").

The child ignores TERM with "deaf", and is without an environment with "bare".
"""

import os
import signal
import sys

from say import say  # type: ignore[import-not-found]  # the file beside this one

ready, told = os.pipe()
if os.fork() == 0:
    os.setsid()
    if "deaf" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("grandchild", os.getpid())
    os.write(told, b"!")
    if "bare" in sys.argv:
        os.execve("/bin/sleep", ["sleep", "1000"], {})
    while True:
        signal.pause()
os.read(ready, 1)
say("pid", os.getpid())
while "leave" not in sys.argv:
    signal.pause()
