"""Signals that a script sends to itself: the outcome names the signal; a handler runs; a core of Python's own."""
# run: python signals_self.py TERM
# run: python signals_self.py SEGV
# run: python signals_self.py KILL
# run: python signals_self.py ABRT
# run: python signals_self.py INT
# run: python signals_self.py INT-default
# run: python signals_self.py HUP
# run: python signals_self.py PIPE
# run: python signals_self.py CHLD
# run: python signals_self.py handled
# run: python signals_self.py handler-exits
# run: python signals_self.py alarm
# run: python signals_self.py abort
# run: python signals_self.py group
# run: python signals_self.py blocked

import os
import signal
import sys

how = sys.argv[1]
print("before", flush=True)
print("not flushed")
if how == "handled":
    signal.signal(signal.SIGTERM, lambda number, frame: print("handled", number, frame.f_code.co_name))
    os.kill(os.getpid(), signal.SIGTERM)
elif how == "handler-exits":
    signal.signal(signal.SIGUSR1, lambda *_: sys.exit(4))
    os.kill(os.getpid(), signal.SIGUSR1)
elif how == "alarm":
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    signal.pause()
elif how == "abort":
    os.abort()
elif how == "group":
    os.killpg(os.getpgrp(), signal.SIGTERM)
elif how == "blocked":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    os.kill(os.getpid(), signal.SIGTERM)
    print(signal.sigpending())
elif how == "INT-default":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
else:
    os.kill(os.getpid(), getattr(signal, f"SIG{how}"))
print("after")
