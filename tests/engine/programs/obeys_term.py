"""Ends well when it is asked to, and says so."""

import os
import signal
import sys

from say import say  # type: ignore[import-not-found]  # the file beside this one


def end(*_: object) -> None:
    say("ended-well")
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
say("pid", os.getpid())
while True:
    signal.pause()
