"""Goes on in spite of TERM, and says how often it got one."""

import os
import signal
from itertools import count

from say import say  # type: ignore[import-not-found]  # the file beside this one

numbers = count(1)
signal.signal(signal.SIGTERM, lambda *_: say("terms", next(numbers)))
say("pid", os.getpid())
while True:
    signal.pause()
